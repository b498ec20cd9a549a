//! Trials: luge beside variants of itself and beside other servers, in one run, by one command.
//!
//! A scenario says what is sent to one server. A trial says which servers there are, what each is asked, in which order,
//! and what is compared: figures of two runs are not comparable, ratios within one are.
//!
//! ```text
//!   trials/mixed.toml ──► Definition ──► Bench: starts a server per variant, calibrates the functions' work
//!                                          │
//!          round 1:  luge  fifo  ...  cgi  │  every variant once a round, another first each round,
//!          round 2:  fifo  ...  cgi  luge  │  all phases (loads) of a variant in a row
//!                                          ▼
//!                                       Samples (round, variant, phase, metric) ──► medians ──► tables, CSV, SVG, bars
//! ```
//!
//! All servers run from the beginning to the end; idle ones take no time. The generator is part of the process, and where it is allowed
//! to, it runs at a higher priority than the servers: it stands for clients with computers of their own, and takes a few
//! hundredths of a core.

mod bench;
mod chart;
mod client;
mod definition;
mod hello;
mod metrics;
mod mixed;
mod overload;
mod peers;
mod samples;
mod server;
mod skew;
mod soak;

use std::path::PathBuf;
use std::time::Duration;

use super::load::{ChartError, RunError};

pub use definition::{
    Definition, DefinitionError, Function, Hello, Kind, Mix, Mixed, Module, Overload, Peer, Skew, Soak,
    TRIALS, Variant,
};
pub use metrics::Metrics;
pub use samples::{Key, Sample, Samples, Table};
pub use server::ServerError;

/// What the command line may say of a trial.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's program.
    pub luge: PathBuf,
    /// Rounds; every variant is measured once in each.
    pub rounds: Option<u32>,
    /// Length of a phase.
    pub phase: Option<Duration>,
    /// Cores of the servers.
    pub cores: Option<usize>,
    /// Only these variants, where any is named. The first that the trial has is what is calibrated.
    pub variants: Vec<String>,
    /// Number of requests, where the trial is counted by them.
    pub requests: Option<u64>,
    /// A phase in which more than this part of any core's time was stolen, from 0 to 1, is measured again; none where nothing is said.
    pub max_steal: Option<f64>,
    /// Where all randomness comes from.
    pub seed: u64,
}

/// What a trial found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Tables and remarks, as Markdown.
    pub text: String,
    /// Every single figure.
    pub samples: Samples,
    /// A drawing, of trials that have one.
    pub chart: Option<String>,
    /// Whether something happened that must never happen, however slow the machine is.
    pub is_broken: bool,
}

/// Why a trial did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// A server did not start, or ended.
    #[error("variant {variant}")]
    Server {
        /// Which.
        variant: String,
        /// What it said.
        source: ServerError,
    },
    /// A measurement did not come about.
    #[error("variant {variant}, {phase}")]
    Run {
        /// Of which server.
        variant: String,
        /// In which phase.
        phase: String,
        /// What went wrong.
        source: RunError,
    },
    /// No answer, or no good one where there must be some.
    #[error("variant {variant}, {phase}: no request had an answer that counts")]
    NoAnswer {
        /// Of which server.
        variant: String,
        /// In which phase.
        phase: String,
    },
    /// The command line names a variant that the trial lacks, or leaves none.
    #[error("no variant is called {0}; there are {1}")]
    NoVariant(String, String),
    /// No connection came to the shard that is to have all.
    #[error(
        "after {0} connections none is on shard 0; has the server two shards, and does it count them by shard?"
    )]
    NoShard(usize),
    /// Files or threads of this machine.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// The drawing.
    #[error(transparent)]
    Chart(#[from] ChartError),
}

/// Carries a trial out; says on `progress` what it does. Blocks until the end.
///
/// # Errors
/// [`TrialError`], when there is nothing to report.
pub fn run(
    definition: &Definition,
    settings: &Settings,
    progress: &mut dyn FnMut(&str),
) -> Result<Outcome, TrialError> {
    let mut bench = bench::Bench::new(definition, settings, progress)?;
    match &definition.kind {
        Kind::Mixed(of) => mixed::run(&mut bench, of),
        Kind::Overload(of) => overload::run(&mut bench, of),
        Kind::Hello(of) => hello::run(&mut bench, of),
        Kind::Skew(of) => skew::run(&mut bench, of),
        Kind::Soak(of) => soak::run(&mut bench, of),
    }
}
