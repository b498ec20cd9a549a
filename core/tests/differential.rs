//! Random modules through this engine's tiers and an independent engine.
//!
//! A seed makes a module (wasm-smith: always valid, always ending, NaNs canonical), which is instantiated by our
//! interpreter, by our baseline compiler (bounds by guard pages, and by comparisons in code that counts fuel), and by wasmi.
//! Every exported function is called with the same arguments, and all must agree with the interpreter on
//! results bit by bit, on whether and why a call traps, and afterwards on every exported global, memory and table size.
//! The interpreter and one baseline run in slices of a few units of fuel, so that being preempted and resumed is tested with
//! everything else.
//!
//! ```text
//! LUGE_SEEDS=1000..20000 cargo test --release -p luge-core --test differential      a longer run
//! LUGE_SEEDS=1234..1235  cargo test -p luge-core --test differential                one seed again
//! ```
//!
//! A failing seed leaves its module in the target folder, and the message names the file. Skipped and counted: a call in which
//! either engine exhausts its call stack, for no two engines have frames of the same size; what that call left behind is
//! undefined, so the round ends there.

#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/sides.rs"]
mod sides;

use generate::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use sides::{Ended, LugeModule, Side, Snapshot, Tier, WasmiModule};
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// Seeds of a run without `LUGE_SEEDS`.
const SEEDS: Range<u64> = 0..300;

/// Seeds per trial.
const CHUNK: u64 = 25;

/// Instances that a module is tried in, each with other arguments in another order.
const ROUNDS: u64 = 3;

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
    let trials = seeds.clone().step_by(CHUNK as usize).map(|from| {
        let range = from..(from + CHUNK).min(seeds.end);
        let counts = Arc::clone(&counts);
        Trial::test(format!("seeds {}..{}", range.start, range.end), move || {
            range.into_iter().try_for_each(|seed| run_seed(seed, &counts))
        })
    });
    let trials = trials.collect();
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

fn parse_range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..")?;
    let range = from.trim().parse().ok()?..to.trim().parse().ok()?;
    (!range.is_empty()).then_some(range)
}

/// What was compared.
#[derive(Default)]
struct Counts {
    modules: usize,
    returned: usize,
    trapped: usize,
    exhausted: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} modules, {} calls returned alike, {} trapped alike, {} skipped for stack exhaustion",
            self.modules, self.returned, self.trapped, self.exhausted
        )
    }
}

/// Runs one seed; a disagreement or panic names the seed and keeps the module.
fn run_seed(seed: u64, counts: &Mutex<Counts>) -> Result<(), Failed> {
    let case = Case::generate(seed);
    let checked = catch_unwind(AssertUnwindSafe(|| check(&case)));
    let message = match checked {
        Ok(Ok(found)) => {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.modules += 1;
            counts.returned += found.returned;
            counts.trapped += found.trapped;
            counts.exhausted += found.exhausted;
            return Ok(());
        }
        Ok(Err(message)) => message,
        Err(_) => "panicked; the message stands above".to_owned(),
    };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("differential-{seed}.wasm"));
    let kept = match std::fs::write(&file, &case.wasm) {
        Ok(()) => file.display().to_string(),
        Err(error) => format!("not kept: {error}"),
    };
    Err(format!(
        "seed {seed}: {message}\nmodule: {kept}\nagain: LUGE_SEEDS={seed}..{}",
        seed + 1
    )
    .into())
}

fn check(case: &Case) -> Result<Counts, String> {
    let mut counts = Counts::default();
    let modules = Modules {
        interpreter: LugeModule::new(&case.wasm, Tier::Interpreter)?,
        wasmi: WasmiModule::new(&case.wasm)?,
        guarded: LugeModule::new(&case.wasm, Tier::Guarded)?,
        checked: LugeModule::new(&case.wasm, Tier::Checked)?,
    };
    for round in 0..ROUNDS {
        check_round(case, &modules, round, &mut counts)
            .map_err(|message| format!("round {round}: {message}"))?;
    }
    Ok(counts)
}

/// A case as each engine has taken it.
struct Modules {
    interpreter: LugeModule,
    wasmi: WasmiModule,
    guarded: LugeModule,
    checked: LugeModule,
}

/// Calls every exported function once. After a trap the rest goes on in a new instance, for the trap may be the end of
/// the module's fuel, after which every call would trap at once.
fn check_round(case: &Case, modules: &Modules, round: u64, counts: &mut Counts) -> Result<(), String> {
    let mut random = case.random(round);
    let mut pending = None;
    loop {
        let slice = 1 << random.below(12);
        let ours = modules.interpreter.instantiate(slice)?;
        let contenders: [(&str, Contender); 3] = [
            ("wasmi", boxed(modules.wasmi.instantiate()?)),
            ("baseline", boxed(modules.guarded.instantiate(u64::MAX)?)),
            ("baseline-software", boxed(modules.checked.instantiate(slice)?)),
        ];
        let mut ours = match ours {
            Ok(ours) => ours,
            Err(end) => {
                for (name, there) in &contenders {
                    match there {
                        Err(there) => agree("instantiation", &end, name, there, counts)?,
                        Ok(_) => return Err(format!("instantiates by {name} and here ended with {end:?}")),
                    };
                }
                return Ok(());
            }
        };
        let mut others = Vec::new();
        for (name, there) in contenders {
            match there {
                Ok(there) => others.push((name, there)),
                Err(end) => return Err(format!("instantiates here and by {name} ended with {end:?}")),
            }
        }
        let functions = pending.get_or_insert_with(|| {
            let mut functions = ours.functions();
            random.shuffle(&mut functions);
            functions
        });
        let mut trapped = false;
        while !trapped && let Some((name, ty)) = functions.pop() {
            let arguments = random.arguments(ty.params());
            let place = format!("{name:?} {arguments:?}");
            let our_end = ours.call(&name, &arguments)?;
            for (by, other) in &mut others {
                if !agree(&place, &our_end, by, &other.call(&name, &arguments)?, counts)? {
                    return Ok(());
                }
            }
            trapped = matches!(our_end, Ended::Trapped(_));
        }
        for (by, other) in &others {
            same_state(&ours.state(), &other.state()).map_err(|message| format!("{by}: {message}"))?;
        }
        if functions.is_empty() {
            return Ok(());
        }
    }
}

/// An instance in another engine, or how making one has ended.
type Contender = Result<Box<dyn Side>, Ended>;

fn boxed<S: Side + 'static>(side: Result<S, Ended>) -> Contender {
    side.map(|side| Box::new(side) as Box<dyn Side>)
}

/// Counts a call on which both sides agree; `false` when it has to be skipped.
fn agree(place: &str, ours: &Ended, by: &str, theirs: &Ended, counts: &mut Counts) -> Result<bool, String> {
    match (ours, theirs) {
        (Ended::Exhausted, _) | (_, Ended::Exhausted) => {
            counts.exhausted += 1;
            return Ok(false);
        }
        (Ended::Returned(ours), Ended::Returned(theirs)) if ours == theirs => counts.returned += 1,
        (Ended::Trapped(ours), Ended::Trapped(theirs)) if ours == theirs => counts.trapped += 1,
        _ => return Err(format!("{place}: here {ours:?}, by {by} {theirs:?}")),
    }
    Ok(true)
}

fn same_state(ours: &[(String, Snapshot)], theirs: &[(String, Snapshot)]) -> Result<(), String> {
    if ours.len() != theirs.len() {
        return Err(format!(
            "{} exports of state here, {} there",
            ours.len(),
            theirs.len()
        ));
    }
    for ((name, ours), (other, theirs)) in ours.iter().zip(theirs) {
        match (ours, theirs) {
            _ if name != other => return Err(format!("export {name:?} here, {other:?} there")),
            (Snapshot::Memory(ours), Snapshot::Memory(theirs)) if ours.len() == theirs.len() => {
                if let Some(at) = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs) {
                    return Err(format!(
                        "memory {name:?} at {at:#x}: here {:#04x}, there {:#04x}",
                        ours[at], theirs[at]
                    ));
                }
            }
            (Snapshot::Memory(ours), Snapshot::Memory(theirs)) => {
                return Err(format!(
                    "memory {name:?}: {} bytes here, {} there",
                    ours.len(),
                    theirs.len()
                ));
            }
            (ours, theirs) if ours == theirs => {}
            (ours, theirs) => return Err(format!("{name:?}: here {ours:?}, there {theirs:?}")),
        }
    }
    Ok(())
}
