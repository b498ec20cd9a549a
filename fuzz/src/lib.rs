//! Random modules through every tier of the engine and through an independent one.
//!
//! A seed makes a module, by wasm-smith (any valid code) or by a generator of our own (code with the structure of real
//! programs). The interpreter, the baseline tier in three forms and wasmi run the same calls on it, and have to agree on
//! results, on whether and why a call traps, and afterwards on every global, memory and table size. Two of the forms are
//! preempted every few instructions, so that leaving and resuming is tested with everything else.
//!
//! `tests/differential.rs` runs some hundred seeds with the test command; the program runs any range of them.
#![forbid(unsafe_code)]
#![allow(
    unreachable_pub,
    reason = "the program and the tests use what is given on here; the rest is the modules' own"
)]

mod compare;
mod random;
mod sides;
mod smith;
mod structured;

pub use compare::{Counts, Runner};
pub use structured::{Features, Structured};

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Which generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generator {
    /// wasm-smith.
    Smith,
    /// Our own.
    Structured,
}

impl Generator {
    /// The module of a seed.
    #[must_use]
    pub fn wasm(self, seed: u64, features: Features) -> Vec<u8> {
        match self {
            Self::Smith => smith::module(seed, features),
            Self::Structured => Structured::generate(seed, features).wasm(),
        }
    }

    /// Its name, for files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smith => "smith",
            Self::Structured => "structured",
        }
    }
}

/// A module on which engines disagree.
#[derive(Debug)]
pub struct Disagreement {
    /// How they do.
    pub message: String,
    /// The module.
    pub wasm: Vec<u8>,
}

/// Compares the engines on the module of a seed; what panics disagrees.
///
/// # Errors
/// The disagreement.
pub fn run_seed(
    runner: &mut Runner,
    generator: Generator,
    seed: u64,
    features: Features,
) -> Result<Counts, Disagreement> {
    let wasm = generator.wasm(seed, features);
    check(runner, &wasm, seed).map_err(|message| Disagreement { message, wasm })
}

/// Compares the engines on a module; a panic is a disagreement.
///
/// # Errors
/// How they disagree.
pub fn check(runner: &mut Runner, wasm: &[u8], seed: u64) -> Result<Counts, String> {
    catch_unwind(AssertUnwindSafe(|| runner.check(wasm, seed))).unwrap_or_else(|panic| {
        *runner = Runner::new();
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a message")))
    })
}

/// Cuts the structured program of a seed down to a smaller module on which engines still disagree.
#[must_use]
pub fn reduce(runner: &mut Runner, seed: u64, features: Features) -> Vec<u8> {
    let program = Structured::generate(seed, features);
    program.reduced(|wasm| check(runner, wasm, seed).is_err()).wasm()
}
