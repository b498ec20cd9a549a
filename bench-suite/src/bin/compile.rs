//! `compile`: how many megabytes of wasm each engine compiles per CPU second, on large real modules.
//!
//! What is timed is bytes in memory to code that is ready to run, validation included, on one thread. The modules come
//! from `compile/fetch.sh`; what is not fetched is left out with a notice.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use clap::Parser;
use luge_bench_suite::kernel::FOLDER;
use luge_bench_suite::lineup::{Lineup, REFERENCE, reference};
use luge_polybench::contender::{Contender, ContenderError};
use luge_polybench::{Samples, geometric_mean};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The list that `compile/fetch.sh` reads as well.
const MODULES: &str = include_str!("../../compile/modules.txt");

/// Measures compile throughput, validation included, of our tiers and of other engines.
#[derive(Debug, Parser)]
#[command(name = "compile")]
struct Options {
    /// Modules to compile; those that `compile/fetch.sh` fetched when none is named.
    modules: Vec<PathBuf>,
    #[command(flatten)]
    lineup: Lineup,
    /// How often everything is compiled.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Writes all samples to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A module, and for each engine a sample a round or none at all.
struct Row {
    path: PathBuf,
    bytes: u64,
    samples: Vec<Vec<Duration>>,
}

impl Row {
    fn name(&self) -> String {
        self.path
            .file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
    }

    /// Megabytes (10^6 bytes) of wasm per CPU second.
    fn throughput(&self, engine: usize) -> Option<f64> {
        let seconds: Vec<_> = self.samples[engine].iter().map(Duration::as_secs_f64).collect();
        let time = Samples::new(&seconds).ok()?.median();
        Some(self.bytes as f64 / 1e6 / time)
    }
}

fn main() -> ExitCode {
    match compare(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compile: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<()> {
    let paths = if options.modules.is_empty() {
        fetched()
    } else {
        options.modules.clone()
    };
    if paths.is_empty() {
        eprintln!("notice: no modules: run bench-suite/compile/fetch.sh or name files");
        return Ok(());
    }
    let mut engines = options.lineup.start(None)?;
    let mut rows = Vec::new();
    for path in paths {
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        let bytes = path.metadata()?.len();
        let samples = vec![Vec::new(); engines.len()];
        rows.push(Row { path, bytes, samples });
    }
    let mut refused = vec![vec![false; engines.len()]; rows.len()];
    for round in 0..options.rounds as usize {
        for (row, refused) in rows.iter_mut().zip(&mut refused) {
            compile_once(&mut engines, row, refused, round)?;
        }
    }
    print_table(&engines, &rows);
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report(options, &engines, &rows))?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Paths of the listed modules that are there.
fn fetched() -> Vec<PathBuf> {
    let mut there = Vec::new();
    for name in listed(MODULES) {
        let path = Path::new(FOLDER).join(".cache").join(format!("{name}.wasm"));
        if path.exists() {
            there.push(path);
        } else {
            eprintln!("notice: {name} is not fetched; run bench-suite/compile/fetch.sh");
        }
    }
    there
}

/// First words of the lines that are no comments.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
}

/// One module by each engine, beginning with another engine each round.
fn compile_once(
    engines: &mut [Box<dyn Contender>],
    row: &mut Row,
    refused: &mut [bool],
    round: usize,
) -> Result<()> {
    for position in 0..engines.len() {
        let index = (position + round) % engines.len();
        if refused[index] {
            continue;
        }
        let engine = &mut engines[index];
        match engine.compile(&row.path) {
            Ok(time) => row.samples[index].push(time),
            Err(ContenderError::Unsupported(why)) => {
                eprintln!("notice: {} does not take {}: {why}", engine.name(), row.name());
                refused[index] = true;
            }
            Err(error) => return Err(error).with_context(|| engine.name().to_owned()),
        }
    }
    Ok(())
}

fn print_table(engines: &[Box<dyn Contender>], rows: &[Row]) {
    for engine in engines {
        println!("{:<10} {}", engine.name(), engine.description());
    }
    println!("\nMB of wasm per CPU second (median), and its ratio to that of {REFERENCE}; more is better\n");
    print!("{:<16}{:>10}", "module", "MB");
    for engine in engines {
        print!("{:>18}", engine.name());
    }
    println!();
    let reference = reference(engines, REFERENCE);
    for row in rows {
        print!("{:<16}{:>10.2}", row.name(), row.bytes as f64 / 1e6);
        for index in 0..engines.len() {
            let ratio = ratio(row, index, reference);
            print!("{:>10}{:>8}", show(row.throughput(index)), show(ratio));
        }
        println!();
    }
    print!("{:<26}", "geometric mean");
    for index in 0..engines.len() {
        let throughputs: Vec<_> = rows.iter().filter_map(|row| row.throughput(index)).collect();
        let ratios: Vec<_> = rows
            .iter()
            .filter_map(|row| ratio(row, index, reference))
            .collect();
        print!(
            "{:>10}{:>8}",
            show(geometric_mean(&throughputs).ok()),
            show(geometric_mean(&ratios).ok())
        );
    }
    println!();
}

fn ratio(row: &Row, engine: usize, reference: Option<usize>) -> Option<f64> {
    Some(row.throughput(engine)? / row.throughput(reference?)?)
}

fn show(figure: Option<f64>) -> String {
    figure.map_or("-".to_owned(), |figure| format!("{figure:.2}"))
}

fn report(options: &Options, engines: &[Box<dyn Contender>], rows: &[Row]) -> serde_json::Value {
    let described = engines
        .iter()
        .map(|engine| json!({"name": engine.name(), "description": engine.description()}));
    let results = rows.iter().flat_map(|row| {
        engines.iter().enumerate().map(move |(index, engine)| {
            let samples: Vec<_> = row.samples[index].iter().map(Duration::as_nanos).collect();
            json!({
                "module": row.name(),
                "bytes": row.bytes,
                "engine": engine.name(),
                "megabytes_per_cpu_second": row.throughput(index),
                "samples_ns": samples,
            })
        })
    });
    json!({
        "rounds": options.rounds,
        "engines": described.collect::<Vec<_>>(),
        "results": results.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_megabytes_per_second_of_the_median() {
        let row = Row {
            path: PathBuf::from("a/b.wasm"),
            bytes: 3_000_000,
            samples: vec![[900, 500, 100].map(Duration::from_millis).to_vec(), Vec::new()],
        };
        assert_eq!(row.name(), "b");
        assert_eq!(row.throughput(0), Some(6.0));
        assert_eq!(row.throughput(1), None);
        assert_eq!(ratio(&row, 0, Some(1)), None);
    }

    #[test]
    fn the_list_names_modules_with_their_checksums() {
        assert!(listed(MODULES).count() >= 3);
        for line in MODULES.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<_> = line.split_whitespace().collect();
            let [_, package, file, sum] = words[..] else {
                panic!("{line}");
            };
            assert!(package.rfind('@') > Some(0), "{line}: no version");
            assert!(file.ends_with(".wasm"), "{line}");
            assert!(
                sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{line}"
            );
        }
    }
}
