//! The tests of `h1_server` again, with every server on a shard: its streams, its timers and its drain; and one of how
//! often these are asked.

#[path = "../h1_server/bodies.rs"]
mod bodies;
mod executor;
#[path = "../h1_server/framing.rs"]
mod framing;
#[path = "../h1_server/harness/mod.rs"]
mod harness;
#[path = "../h1_server/lifecycle.rs"]
mod lifecycle;
mod polls;
#[path = "../h1_server/timing.rs"]
mod timing;
