//! The HTTP/1.1 connection as a client meets it: real sockets, raw bytes, each promise of `luge_http::h1` at least once.

mod bodies;
mod framing;
mod harness;
mod lifecycle;
mod timing;
