//! `luge-load` against servers that stall, refuse, lie and close: what the generator says of them must be true.
//!
//! No test here measures speed: on a busy machine all of these numbers only grow, and the assertions hold all the more.

mod failures;
mod loops;
mod program;
mod server;
