//! The PolyBench overhead suite: how much longer than native code does WebAssembly take, tier by tier and engine by engine?
//!
//! ```text
//!   suite: 30 kernels ──► native builds ─────┐
//!     C sources and       tiers of ours ─────┤ contender     runner              report
//!     wasm modules,  ──► peers: V8, ... ─────┴──────────► verify, then time ──► text, JSON, CSV, chart
//!     operation counts                                     in paired rounds
//! ```
//!
//! `luge polybench` is its command line. The parts:
//!
//! | module | what |
//! |---|---|
//! | [`suite`] | the kernels: dimensions, operation counts from the definitions, live-out arrays, sources and modules |
//! | [`contender`] | what anything does that can be compared |
//! | [`tier`], [`native`], [`peer`], [`peers`] | our tiers in this process; native builds and other engines in processes of their own |
//! | [`verify`] | whether a result is right, bit for bit |
//! | [`runner`] | the order of a run |
//! | [`report`] | figures, tables, files, chart |
//!
//! `bench-suite` compares the same engines on kernels of its own and takes contenders, peers and clocks from here.
//!
//! # Measures
//! A figure such as "1.9 times native" hides four choices: which of many runs counts, how far they spread, how two
//! programs are compared on a machine that is never quiet, and how thirty kernels become one number. Each is made once, in a
//! function with its reason:
//!
//! | question | measure |
//! |---|---|
//! | which run counts? | the median, [`Samples::median`] |
//! | how far do runs spread? | the relative interquartile range, [`Samples::spread`] |
//! | how do two programs compare? | the median of the ratios of *paired* samples, [`paired_ratio`] |
//! | what is the figure for the suite? | the geometric mean of the kernels' ratios, [`geometric_mean`] |
#![forbid(unsafe_code)]

pub mod clock;
pub mod contender;
mod measures;
pub mod native;
pub mod peer;
pub mod peers;
pub mod progress;
pub mod report;
pub mod runner;
mod scratch;
pub mod suite;
pub mod tier;
pub mod verify;

pub use measures::{MeasureError, Ratio, Samples, geometric_mean, paired_ratio};
