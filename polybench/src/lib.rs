//! The measures by which the PolyBench overhead suite reports.
//!
//! A figure such as "1.9 times native" hides four choices: which of many runs counts, how far they spread, how two
//! programs are compared on a machine that is never quiet, and how thirty kernels become one number. This crate makes
//! each choice once, in a function with its reason:
//!
//! | question | measure |
//! |---|---|
//! | which run counts? | the median, [`Samples::median`] |
//! | how far do runs spread? | the relative interquartile range, [`Samples::spread`] |
//! | how do two programs compare? | the median of the ratios of *paired* samples, [`paired_ratio`] |
//! | what is the figure for the suite? | the geometric mean of the kernels' ratios, [`geometric_mean`] |
//!
//! # What comes later
//! Only the measures are here. The kernels, the native reference that each result is checked against before it is
//! timed, the runners for the engine's tiers and the report with machine and commit will use them, and are not written.
#![forbid(unsafe_code)]

mod measures;

pub use measures::{MeasureError, Ratio, Samples, geometric_mean, paired_ratio};
