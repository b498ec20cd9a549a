//! The HTTP/1.1 connection as a client meets it: real sockets, raw bytes, each promise of `luge_http::h1` at least once.
//!
//! This program serves on an executor that counts wake-ups; the program `h1_shards` runs the same tests on a shard.

mod bodies;
mod executor;
mod framing;
mod harness;
mod lifecycle;
mod timing;
