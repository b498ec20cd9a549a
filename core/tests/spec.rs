//! The official WebAssembly tests, and regressions of our own, through every configuration of the engine.
//!
//! One named trial per script and configuration (`wasm-v2/br_table.wast interp`), so that a failure names its place and
//! `cargo test -p luge-core --test spec br_table` runs one file. Within a trial every directive is carried out and
//! counted, and a failing one does not hide those behind it. After the trials the counts of each suite are printed, the
//! scripts that are not yet covered among them.
//!
//! | module | holds |
//! |---|---|
//! | `suite` | the scripts and the matrix of configurations |
//! | `script` | how one script is carried out |
//! | `compare` | values and the patterns that results must match |
//! | `spectest` | the host module that the official scripts import |
//! | `expected` | `expected-failures.toml`, which may only shrink |
//! | `tally` | the counts |

#[path = "spec/compare.rs"]
mod compare;
#[path = "spec/expected.rs"]
mod expected;
#[path = "spec/script.rs"]
mod script;
#[path = "spec/spectest.rs"]
mod spectest;
#[path = "spec/suite.rs"]
mod suite;
#[path = "spec/tally.rs"]
mod tally;

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let expected = match expected::ExpectedFailures::read() {
        Ok(expected) => Arc::new(expected),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let tally = Arc::new(Mutex::new(tally::Tally::default()));
    let scripts = suite::scripts();
    let mut trials = Vec::new();
    for script in scripts.iter().filter(|script| script.covered) {
        for configuration in suite::CONFIGURATIONS {
            let (script, expected, tally) = (script.clone(), Arc::clone(&expected), Arc::clone(&tally));
            let name = format!("{} {}", script.name(), configuration.name);
            trials.push(Trial::test(name, move || {
                trial(&script, configuration, &expected, &tally)
            }));
        }
    }
    let every_script = scripts.clone();
    trials.push(Trial::test("expected-failures.toml", move || {
        Ok(expected.check(&every_script)?)
    }));
    let listing = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !listing {
        let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        print!("{}", tally.summary(&scripts));
    }
    conclusion.exit_code()
}

/// Runs one script under one configuration and holds its failures against the expected ones.
fn trial(
    script: &suite::Script,
    configuration: &suite::Configuration,
    expected: &expected::ExpectedFailures,
    tally: &Mutex<tally::Tally>,
) -> Result<(), Failed> {
    let outcome = script::run(script, configuration)?;
    let verdict = expected.judge(&script.name(), configuration.name, &outcome.failures);
    tally.lock().unwrap_or_else(PoisonError::into_inner).add(
        (script.suite, configuration.name),
        outcome.passed,
        verdict.unexpected.len(),
        verdict.expected,
    );
    let mut complaints = verdict.unexpected;
    complaints.extend(verdict.fixed);
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n").into())
    }
}
