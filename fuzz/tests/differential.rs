//! Some hundred seeds of each generator, in the time that a test may take.
//!
//! ```text
//! LUGE_SEEDS=1234..1235 cargo test -p luge-fuzz --test differential      one seed again
//! ```
//!
//! A failing seed leaves its module in the target folder, and the message names the file.

use libtest_mimic::{Arguments, Failed, Trial};
use luge_fuzz::{Counts, Features, Generator, Runner, run_seed};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// Seeds of a run without `LUGE_SEEDS`.
const SEEDS: Range<u64> = 0..400;

/// Seeds per trial.
const CHUNK: u64 = 50;

/// Rounds of a trial that may end because the stack is exhausted, behind which nothing is compared.
const MOST_EXHAUSTED: usize = 2;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let seeds = match std::env::var("LUGE_SEEDS") {
        Err(_) => SEEDS,
        Ok(text) => match parse_range(&text) {
            Some(seeds) => seeds,
            None => {
                eprintln!("LUGE_SEEDS={text}: expected FROM..TO, such as 0..300");
                return ExitCode::FAILURE;
            }
        },
    };
    let counts = Arc::new(Mutex::new(Counts::default()));
    let mut trials = Vec::new();
    for generator in [Generator::Smith, Generator::Structured] {
        for from in seeds.clone().step_by(CHUNK as usize) {
            let range = from..(from + CHUNK).min(seeds.end);
            let counts = Arc::clone(&counts);
            let name = format!("{} seeds {}..{}", generator.name(), range.start, range.end);
            trials.push(Trial::test(name, move || {
                let (mut runner, mut own) = (Runner::new(), Counts::default());
                for seed in range {
                    own.add(try_seed(&mut runner, generator, seed)?);
                }
                counts.lock().unwrap_or_else(PoisonError::into_inner).add(own);
                if own.exhausted > MOST_EXHAUSTED {
                    return Err(format!("too little is compared: {own}").into());
                }
                Ok(())
            }));
        }
    }
    for generator in [Generator::Smith, Generator::Structured] {
        trials.push(Trial::test(
            format!("{} uses every feature", generator.name()),
            move || uses_every_feature(generator),
        ));
    }
    let listing = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !listing {
        println!(
            "differential: {}",
            counts.lock().unwrap_or_else(PoisonError::into_inner)
        );
    }
    conclusion.exit_code()
}

/// The first modules together have all features that the engine takes.
fn uses_every_feature(generator: Generator) -> Result<(), Failed> {
    const EXPECTED: [&str; 10] = [
        "bulk-memory",
        "exceptions",
        "memory64",
        "multi-memory",
        "multi-value",
        "relaxed-simd",
        "saturating-float-to-int",
        "sign-extension",
        "simd",
        "tail-call",
    ];
    let mut used = BTreeSet::new();
    for seed in 0..200 {
        used.extend(luge_core::features_used(
            &generator.case(seed, Features::ALL).wasm,
        )?);
    }
    let missing: Vec<_> = EXPECTED.iter().filter(|name| !used.contains(*name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("no module uses {missing:?}").into())
}

fn parse_range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..")?;
    let range = from.trim().parse().ok()?..to.trim().parse().ok()?;
    (!range.is_empty()).then_some(range)
}

fn try_seed(runner: &mut Runner, generator: Generator, seed: u64) -> Result<Counts, Failed> {
    let found = match run_seed(runner, generator, seed, Features::ALL) {
        Ok(counts) => return Ok(counts),
        Err(found) => found,
    };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{seed}.wasm", generator.name()));
    let kept = match std::fs::write(&file, &found.wasm) {
        Ok(()) => file.display().to_string(),
        Err(error) => format!("not kept: {error}"),
    };
    Err(format!(
        "{} seed {seed}: {}\nmodule: {kept}\nagain: LUGE_SEEDS={seed}..{}",
        generator.name(),
        found.message,
        seed + 1
    )
    .into())
}
