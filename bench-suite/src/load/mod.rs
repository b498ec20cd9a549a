//! An open-loop load generator for HTTP/1.1: what the program `luge-load` is made of.
//!
//! **Open loop.** Requests of the world do not wait for each other. A generator that sends its next request when the last
//! answer has come (a *closed* loop, as most tools are) stops asking exactly while the server is stuck: the requests that
//! would have met the stall are never sent, and the percentiles never see it. Tene calls this *coordinated omission*. Here
//! the moment of every request is drawn ahead from a seed, and latency counts from that **intended start**, whether or not
//! the generator, a connection or the server was ready. The closed loop is there too, to compare with tools that know no other.
//!
//! ```text
//!   scenario.toml ──► Plan ──► worker (a thread, an epoll, its connections) ──► Record ─┐
//!   command line  ──►     └──► worker ...                                   ──► Record ─┼─► Report ──► table, JSON, SVG
//!                              /proc/PID of the server, before and after    ────────────┘
//!
//!   intended start      issued         first byte sent           answer complete
//!        │◄── lateness ──►│◄── connect ──►│◄──── from send ────────────►│
//!        │◄───────────────────── latency from intended start ───────────►│
//! ```
//!
//! *Lateness* is the generator's own fault and therefore reported; where it dominates, the run is declared not trustworthy.
//! Memory is bounded: a request in flight needs a connection, connections and the queue before them have a bound per class,
//! what exceeds them is **shed** and counted; latencies are kept in histograms of fixed size.
//!
//! References: Schroeder, Wierman, Harchol-Balter, "Open Versus Closed: A Cautionary Tale" (NSDI 2006); Tene, "How NOT to
//! Measure Latency"; RFC 9112.

mod answer;
mod arrivals;
mod chart;
mod connection;
mod lane;
mod manifest;
mod plan;
mod poller;
mod process;
mod record;
mod report;
mod request;
mod run;
mod scenario;
mod table;
mod taken;
mod units;
mod worker;

pub use answer::{AnswerReader, BadAnswer, Complete, Progress};
pub use arrivals::{Arrivals, RouteSampler, Schedule};
pub(crate) use chart::COLOURS;
pub use chart::{ChartError, svg};
pub use manifest::{ManifestError, ROUTES_MAX, manifest};
pub use plan::{Class, Connections, Mode, Path, Plan, PlanError, Target, TargetError};
pub use process::{ProcessError, Snapshot, Usage};
pub use record::{ErrorKind, Latency, Record, Window};
pub use report::{ClassReport, Deadlines, Generator, Percentiles, Report, Server, Trust};
pub use run::{RunError, may_have_nice, run, run_on};
pub use scenario::{SCENARIOS, Scenario, ScenarioError, body_of, read_bounded};
pub use table::table;
pub use taken::Taken;
pub use units::{duration_text, parse_duration};
