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
pub mod hostile;
mod random;
mod sides;
mod smith;
mod structured;

pub use compare::{Counts, Runner};
pub use sides::Uses;
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
    pub fn case(self, seed: u64, features: Features) -> Case {
        match self {
            Self::Smith => smith::case(seed, features),
            Self::Structured => Structured::generate(seed, features).case(),
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

/// A module to compare engines on.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its bytes.
    pub wasm: Vec<u8>,
    /// What it may use: engines that lack it stay away.
    pub uses: Uses,
    /// Whether NaNs are canonical wherever they are made, so that their bits are comparable.
    pub exact_nans: bool,
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
    let case = generator.case(seed, features);
    check(runner, &case, seed).map_err(|message| Disagreement {
        message,
        wasm: case.wasm,
    })
}

/// Compares the engines on a module; a panic is a disagreement.
///
/// # Errors
/// How they disagree.
pub fn check(runner: &mut Runner, case: &Case, seed: u64) -> Result<Counts, String> {
    catch_unwind(AssertUnwindSafe(|| runner.check(case, seed))).unwrap_or_else(|panic| {
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
    let small = program.reduced(|case| check(runner, case, seed).is_err());
    small.case().wasm
}
