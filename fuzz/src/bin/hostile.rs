//! What modules made to be slow cost per byte: in time, and in instructions, which no busy machine changes.
//!
//! ```text
//! cargo run --release -p luge-fuzz --bin hostile                    time of this thread, code and memory
//! cargo run --release -p luge-fuzz --bin hostile -- --count         instructions, by callgrind
//! cargo run --release -p luge-fuzz --bin hostile -- --count loops   only the shapes with this in their names
//! ```
//!
//! Each shape at five sizes, each twice the one before. `validate` is the decoder's and validator's work alone, which both
//! tiers include: what grows there, and what comes of a first touch of fresh memory, is not the tiers' own. Compare a
//! column downwards: where it grows with the size, the work is not linear.
#![forbid(unsafe_code)]

use luge_core::compiler::{BoundsStrategy, CodeArtifact, CodeGenerator, ModuleTranslation, compile};
use luge_core::{Engine, Module, ModuleError, WasmLevel};
use luge_fuzz::hostile::{Shape, shapes};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use rustix::time::{ClockId, clock_gettime};
use std::process::{Command, ExitCode};

/// Runs of which the best counts.
const RUNS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Makes the module, and nothing of it: what is taken off the counts of the others.
    Nothing,
    Validate,
    Interpreter,
    Baseline,
}

impl Work {
    const MEASURED: [Self; 3] = [Self::Validate, Self::Interpreter, Self::Baseline];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Validate => "validate",
            Self::Interpreter => "interpreter",
            Self::Baseline => "baseline",
        }
    }

    /// Bytes of machine code.
    fn run(self, wasm: &[u8]) -> Result<usize, ModuleError> {
        let options = BaselineOptions {
            bounds: BoundsStrategy::Guard,
            fuel: true,
            positions: false,
            cpu: CpuFeatures::BASELINE,
        };
        match self {
            Self::Nothing => Ok(0),
            Self::Validate => compile(WasmLevel::Latest, &Validator, wasm).map(|_| 0),
            Self::Interpreter => Module::new(&Engine::default(), wasm).map(|_| 0),
            Self::Baseline => {
                compile(WasmLevel::Latest, &Baseline::new(options), wasm).map(|made| made.text.len())
            }
        }
    }
}

/// A tier that only validates.
#[derive(Debug)]
struct Validator;

impl CodeGenerator for Validator {
    fn name(&self) -> &'static str {
        "validator"
    }

    fn fingerprint(&self) -> String {
        String::new()
    }

    fn compile(&self, module: &mut ModuleTranslation<'_>) -> Result<CodeArtifact, ModuleError> {
        while let Some(function) = module.next_function()? {
            function.validate()?;
        }
        Ok(CodeArtifact::default())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let all = shapes();
    let named = |parts: &[&str]| {
        let shapes = all.iter();
        shapes
            .filter(|shape| parts.is_empty() || parts.iter().any(|part| shape.name.contains(part)))
            .collect::<Vec<_>>()
    };
    let done = match arguments.as_slice() {
        ["--one", work, size, name] => one(&all, work, size, name),
        ["--count", parts @ ..] => count(&named(parts)),
        parts => time(&named(parts)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("hostile: {message}");
            ExitCode::FAILURE
        }
    }
}

fn sizes(shape: &Shape) -> impl Iterator<Item = usize> {
    let least = shape.size / 4;
    (0..5).map(move |power| least << power)
}

/// Compiles one module once: what runs under callgrind.
fn one(all: &[Shape], work: &str, size: &str, name: &str) -> Result<(), String> {
    let works = [Work::Nothing, Work::Validate, Work::Interpreter, Work::Baseline];
    let work = works.into_iter().find(|known| known.name() == work);
    let shape = all.iter().find(|shape| shape.name == name);
    let size: usize = size.parse().map_err(|error| format!("{size}: {error}"))?;
    let (Some(work), Some(shape)) = (work, shape) else {
        return Err(format!("{name}: no such shape, or no such work"));
    };
    work.run(&shape.module(size))
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn time(shapes: &[&Shape]) -> Result<(), String> {
    println!(
        "{:32} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "ns, code and memory per byte", "bytes", "validate", "interp", "baseline", "code", "peak"
    );
    for shape in shapes {
        for size in sizes(shape) {
            let wasm = shape.module(size);
            let (mut row, mut code, mut peak) = (Vec::new(), 0, 0);
            for work in Work::MEASURED {
                let mut best = u64::MAX;
                for _ in 0..RUNS {
                    let before = memory()?;
                    let begin = thread_time();
                    code = work
                        .run(&wasm)
                        .map_err(|error| format!("{}: {error}", shape.name))?;
                    best = best.min(thread_time() - begin);
                    peak = memory()?.saturating_sub(before);
                }
                row.push(best as f64 / wasm.len() as f64);
            }
            let per_byte = |amount: usize| amount as f64 / wasm.len() as f64;
            println!(
                "{:32} {:>9} {:>9.1} {:>9.1} {:>9.1} {:>7.1} {:>7.1}",
                shape.name,
                wasm.len(),
                row[0],
                row[1],
                row[2],
                per_byte(code),
                per_byte(peak),
            );
        }
    }
    Ok(())
}

/// CPU time of this thread in nanoseconds.
fn thread_time() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The most memory that was resident since the last call, in bytes.
fn memory() -> Result<usize, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    std::fs::write("/proc/self/clear_refs", "5").map_err(|error| error.to_string())?;
    Ok(kib.ok_or("no VmHWM in /proc/self/status")? * 1024)
}

fn count(shapes: &[&Shape]) -> Result<(), String> {
    println!(
        "{:32} {:>9} {:>9} {:>9} {:>9}",
        "instructions per byte", "bytes", "validate", "interp", "baseline"
    );
    for shape in shapes {
        for size in sizes(shape) {
            let bytes = shape.module(size).len();
            let nothing = instructions(Work::Nothing, size, shape)?;
            let mut row = String::new();
            for work in Work::MEASURED {
                let own = instructions(work, size, shape)?.saturating_sub(nothing);
                row += &format!(" {:>9.1}", own as f64 / bytes as f64);
            }
            println!("{:32} {bytes:>9}{row}", shape.name);
        }
    }
    Ok(())
}

/// Instructions of a process that does this and nothing else.
fn instructions(work: Work, size: usize, shape: &Shape) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["--one", work.name(), &size.to_string(), &shape.name])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    count
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("{}: {text}", shape.name))
}
