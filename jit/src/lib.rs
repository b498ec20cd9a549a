//! Luge's machine-code tiers.
//!
//! A tier implements [`luge_core::compiler::CodeGenerator`]: it is a `Sink` of the engine's front end and returns inert
//! bytes, which the engine publishes and enters. Nothing here needs `unsafe`, and none is allowed.
//!
//! | module | holds |
//! |---|---|
//! | `baseline` | the one-pass compiler, [`Baseline`] |
//! | `masm` | the macro assembler, which all tiers share |
//! | `cpu` | what the processor has |
#![forbid(unsafe_code)]

mod baseline;
mod cpu;
mod masm;

pub use baseline::{Baseline, BaselineOptions};
pub use cpu::CpuFeatures;
