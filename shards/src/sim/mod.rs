//! Shards under a virtual clock: the server's own schedulers, policies, steering and stealing, in front of modelled cores.
//!
//! ```text
//!   Arrivals ──► network ──► shard 0: mail ─► place ─► Scheduler<P> ─► slices on a modelled core
//!    (seed)         │           │  ▲  parcels, outcomes, work asked for
//!                   │           ▼  │
//!                   └──────► shard 1 ...                 Faults (seed): stalls, lost bells, lies ...
//!
//!   all that goes into a scheduler and comes out ──► Observer: checkers, trace, reports
//! ```
//!
//! A server cannot be asked what it would do on 64 cores, nor be shown the same unlucky second twice. A simulation can: a
//! [`Seed`](random::Seed) names all that happens in it, to the nanosecond. So it serves three ends:
//!
//! - *Checking*: [`check`] lets checkers, which share no code with what they check, look at runs with random
//!   settings and faults. A seed that fails is replayed by its number.
//! - *Planning*: [`Simulation::run`] counts what becomes of a load under each policy, on more cores than one has.
//! - *Comparing*: with faults or another policy, the same requests come at the same instants.
//!
//! What is modelled is the machine: what a slice, a switch, a hand-off and a wake-up cost, and when guests can be stopped
//! ([`Overheads`]). What is not modelled: caches, memory, and the network beyond its backlog.

#![forbid(unsafe_code)]

mod agenda;
pub mod check;
mod cores;
mod faults;
mod machine;
mod moving;
mod random;
mod seen;
mod settings;
mod simulation;
mod tally;
mod workload;

pub use faults::Faults;
pub use random::Seed;
pub use seen::{Answer, Observer, Seen, Trace, Turn};
pub use settings::{CORES_MAX, Overheads, Settings};
pub use simulation::{Simulation, start_of_time};
pub use tally::{ClassTally, Tally};
pub use workload::{Arrival, Arrivals, Class, Cost, Scenario};
