//! Goldens: what functions become, beside the functions.
//!
//! A file in `jit/filetests` is a module in the text format, in which each function is followed by its machine code:
//!
//! ```text
//!   ;; options: bounds=software cpu=least fuel
//!   (module
//!     (func (param i32 i32) (result i32)
//!       (i32.add (local.get 0) (local.get 1)))
//!       ;;| push rbp
//!       ;;| ...
//! ```
//!
//! What every function begins with is left out unless the file asks for it (`frames`). The files in
//! `jit/filetests/operators` are written whole, from the table of operators: see `filetests/operators.rs`. Where a change is
//! meant, `BLESS=1 cargo test -p luge-jit --test filetests` writes the new code into the files, and the reviewer sees in
//! their diff which instructions changed. The processor is a fixed one, not this machine's.

#[path = "filetests/listing.rs"]
mod listing;
#[path = "filetests/operators.rs"]
mod operators;
#[path = "filetests/source.rs"]
mod source;
#[path = "emit/operators.rs"]
#[expect(dead_code, reason = "the meanings are for who runs the operators")]
mod table;

use libtest_mimic::{Arguments, Failed, Trial};
use luge_core::WasmLevel;
use luge_core::compiler::{self, BoundsStrategy};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use source::Source;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests");
    let entries = std::fs::read_dir(&folder).expect("the folder of the goldens");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wat"));
    files.sort();
    let bless = std::env::var_os("BLESS").is_some();
    let trials = files.into_iter().map(|file| {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Trial::test(name, move || check(&file, bless))
    });
    let mut trials: Vec<Trial> = trials.collect();
    for (name, made) in operators::goldens() {
        let file = folder.join("operators").join(format!("{name}.txt"));
        let name = format!("operators/{name}");
        trials.push(Trial::test(name, move || check_operators(&file, &made, bless)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// How a file wants its code made and shown.
struct Options {
    baseline: BaselineOptions,
    frames: bool,
}

/// Everything that code generation knows of.
const FULL: CpuFeatures = CpuFeatures {
    avx: true,
    avx2: true,
    fma: true,
    bmi1: true,
    bmi2: true,
    lzcnt: true,
    popcnt: true,
};

fn options(words: &str) -> Result<Options, String> {
    let mut options = Options {
        baseline: BaselineOptions {
            bounds: BoundsStrategy::Guard,
            fuel: false,
            positions: false,
            cpu: FULL,
        },
        frames: false,
    };
    for word in words.split_whitespace() {
        match word {
            "bounds=software" => options.baseline.bounds = BoundsStrategy::Software,
            "cpu=least" => options.baseline.cpu = CpuFeatures::BASELINE,
            "fuel" => options.baseline.fuel = true,
            "frames" => options.frames = true,
            other => return Err(format!("{other:?} is no option")),
        }
    }
    Ok(options)
}

fn check(file: &Path, bless: bool) -> Result<(), Failed> {
    let text = std::fs::read_to_string(file)?;
    let source = Source::read(&text)?;
    let options = options(&source.options)?;
    let wasm = wat::parse_str(&source.module)?;
    let artifact = compiler::compile(WasmLevel::Latest, &Baseline::new(options.baseline), &wasm)?;
    let listings = listing::functions(&artifact, options.frames);
    settle(file, &text, &source.with(&listings)?, bless)
}

fn check_operators(file: &Path, made: &str, bless: bool) -> Result<(), Failed> {
    let written = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        written => written?,
    };
    settle(file, &written, made, bless)
}

/// Writes what is made, or finds it as it is written.
fn settle(file: &Path, written: &str, made: &str, bless: bool) -> Result<(), Failed> {
    if written == made {
        return Ok(());
    }
    if bless {
        std::fs::write(file, made)?;
        return Ok(());
    }
    Err(format!(
        "{}: the code is not as written (- written, + made; BLESS=1 writes what is made):\n{}",
        file.display(),
        difference(written, made)
    )
    .into())
}

/// The lines that differ, with those around them (by the longest common subsequence).
fn difference(written: &str, made: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (written.lines().collect(), made.lines().collect());
    let mut longest = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = if a[i] == b[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(format!("  {}", a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && longest[i + 1][j] >= longest[i][j + 1] {
            lines.push(format!("- {}", a[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", b[j]));
            j += 1;
        }
    }
    let changed = |line: &String| !line.starts_with(' ');
    let near = |at: usize| {
        lines[at.saturating_sub(2)..(at + 3).min(lines.len())]
            .iter()
            .any(changed)
    };
    let shown: Vec<&str> = (0..lines.len())
        .filter(|&at| near(at))
        .map(|at| lines[at].as_str())
        .collect();
    shown.join("\n")
}
