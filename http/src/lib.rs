//! The front of Luge: HTTP, manifest, functions, admin address and command line.
//!
//! ```text
//!   luge.toml, flags --> config --> engine: tiers --> function (compiled once) --> server: one shard per core
//!                                                                                 |
//!   connection --> h1 --> service: routes, admission --> sandbox (a scheduler task) --> cgi --> answer
//!                            |                              |
//!                            +---- metrics, inflight -------+----> admin: /livez /readyz /metrics /requests
//! ```
//! This is the only crate that turns errors into status codes (`error`), and `sandbox` is the only place where the
//! engine and the scheduler meet.
#![forbid(unsafe_code)]

pub mod admin;
pub mod capacity;
pub mod cgi;
pub mod cli;
pub mod config;
pub mod door;
pub mod engine;
pub mod error;
pub mod examples;
pub mod function;
pub mod h1;
pub mod inflight;
pub mod lifecycle;
pub mod log;
pub mod metrics;
pub mod net;
pub mod preemption;
pub mod profile;
pub mod remote;
pub mod routes;
pub mod sandbox;
pub mod sandboxes;
pub mod scheduling;
pub mod server;
pub mod service;
