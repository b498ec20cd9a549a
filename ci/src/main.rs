//! `cargo xtask`: the checks that every change passes, in the project's own language.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo xtask check [STAGE...]` | fmt, clippy, deny, tidy, callgrind, in this order; or only the named ones |
//! | `cargo xtask tidy` | the rules of the source tree, see [`tidy`] |
//! | `cargo xtask callgrind [--bless\|--twice]` | instruction counts against `bench-suite/expected.toml`, see [`callgrind`] |
//!
//! The continuous-integration script calls the same stages, so what passes at home passes there.
#![forbid(unsafe_code)]

mod callgrind;
mod check;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check [STAGE...]      run fmt, clippy, deny, tidy and callgrind, or only the named stages, and report each
  tidy                  check the rules of the source tree
  callgrind [--bless]   compare instruction counts with bench-suite/expected.toml; --bless rewrites that file
  callgrind --twice     count twice, and fail where the same code gave different counts
  help                  print this text

examples:
  cargo xtask check fmt clippy
  cargo xtask callgrind --bless";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = workspace_root();
    let outcome = match arguments.as_slice() {
        ["check", stages @ ..] => check::run(&root, stages),
        ["tidy"] => tidy::run(&root),
        ["callgrind"] => callgrind::run(&root, callgrind::Mode::Gate),
        ["callgrind", "--bless"] => callgrind::run(&root, callgrind::Mode::Bless),
        ["callgrind", "--twice"] => callgrind::run(&root, callgrind::Mode::Twice),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace: the one above this crate's.
fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
