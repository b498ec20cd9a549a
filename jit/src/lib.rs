//! Luge's machine-code tiers.
//!
//! A tier implements [`luge_core::compiler::Compiler`]: it is a `Sink` of the engine's front end and returns inert
//! bytes, which the engine publishes and enters. Nothing here needs `unsafe`, and none is allowed.
//!
//! What stands so far is the seam: [`Baseline`] has a name and its place in the engine, and declines every function, so
//! that the engine interprets it. The code generator comes behind this same interface.
#![forbid(unsafe_code)]

mod baseline;
mod cpu;
#[allow(dead_code, reason = "its users follow")]
mod masm;

pub use baseline::{Baseline, BaselineOptions};
pub use cpu::CpuFeatures;
