//! `kernels`: runs every loop kernel on each engine, in one run, and compares.
//!
//! In a round each kernel runs once on each engine, and another engine begins each round: whatever else the machine does
//! meets all of them alike. Reported are medians over the rounds, and of the ratios of each round to one engine, Liftoff if
//! nothing else is said. A wrong checksum from any engine ends the run.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use luge_bench_suite::kernel::Kernel;
use luge_bench_suite::lineup::{Lineup, REFERENCE, chosen, reference};
use luge_bench_suite::load::parse_duration;
use luge_polybench::contender::{Build, Checksum, Contender, ContenderError};
use luge_polybench::{Samples, geometric_mean};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs loop kernels on our tiers and on other engines, and compares CPU time of the run alone.
#[derive(Debug, Parser)]
#[command(name = "kernels")]
struct Options {
    /// Kernels to run, separated by commas; all when the option is not given.
    #[arg(long, value_delimiter = ',')]
    kernels: Option<Vec<String>>,
    /// Which builds of them.
    #[arg(long, value_enum, default_value_t = Builds::Both)]
    simd: Builds,
    #[command(flatten)]
    lineup: Lineup,
    /// The engine that the others are compared with.
    #[arg(long, default_value = REFERENCE)]
    reference: String,
    /// CPU time after which preemptible tiers are preempted, each time.
    #[arg(long, default_value = "4ms", value_parser = period)]
    backstop: Duration,
    /// How often everything runs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Writes all samples to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Builds {
    Scalar,
    Simd,
    Both,
}

impl Builds {
    fn include(self, build: Build) -> bool {
        match self {
            Self::Scalar => build == Build::Scalar,
            Self::Simd => build == Build::Simd,
            Self::Both => true,
        }
    }
}

/// A build of a kernel, and what each engine needed for it.
struct Row {
    kernel: Kernel,
    build: Build,
    /// For each engine, whether it takes this module.
    takes: Vec<bool>,
    /// For each engine that takes it, a sample a round.
    samples: Vec<Vec<Duration>>,
}

fn main() -> ExitCode {
    match compare(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kernels: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn period(text: &str) -> Result<Duration, String> {
    let period = parse_duration(text).filter(|period| !period.is_zero());
    period.ok_or_else(|| "write a number of more than 0 and ns, us, ms, s or min".to_owned())
}

fn compare(options: &Options) -> Result<()> {
    let mut engines = options.lineup.start(Some(options.backstop))?;
    let named = reference(&engines, &options.reference);
    ensure!(
        named.is_some() || options.reference == REFERENCE,
        "`{}`, which the others are to be compared with, does not take part",
        options.reference
    );
    let mut rows = rows(options, engines.len())?;
    load(&mut engines, &mut rows)?;
    for round in 0..options.rounds as usize {
        for row in &mut rows {
            run_once(&mut engines, row, round)?;
        }
    }
    print_table(options, &engines, &rows);
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report(options, &engines, &rows))?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The scalar builds, then those with vectors.
fn rows(options: &Options, engines: usize) -> Result<Vec<Row>> {
    let kernels = Kernel::all();
    let names: Vec<_> = kernels.iter().map(|kernel| kernel.name.as_str()).collect();
    let wanted = chosen("kernel", options.kernels.as_deref(), &names)?;
    let mut rows = Vec::new();
    for build in [Build::Scalar, Build::Simd] {
        let there = kernels.iter().filter(|kernel| {
            wanted.contains(&kernel.name.as_str())
                && kernel.builds().contains(&build)
                && options.simd.include(build)
        });
        rows.extend(there.map(|kernel| Row {
            kernel: kernel.clone(),
            build,
            takes: vec![false; engines],
            samples: vec![Vec::new(); engines],
        }));
    }
    ensure!(!rows.is_empty(), "no kernel has such a build");
    Ok(rows)
}

/// Loads every module into every engine and runs it once, small and not measured: what is done the first time a module
/// runs is no part of the comparison.
fn load(engines: &mut [Box<dyn Contender>], rows: &mut [Row]) -> Result<()> {
    for row in rows {
        let name = row.kernel.module_name(row.build);
        for (engine, takes) in engines.iter_mut().zip(&mut row.takes) {
            match engine.load(&name, &row.kernel.path(row.build)) {
                Ok(()) => *takes = true,
                Err(ContenderError::Unsupported(why)) => {
                    eprintln!("notice: {} does not take {name}: {why}", engine.name());
                    continue;
                }
                Err(error) => return Err(error).with_context(|| engine.name().to_owned()),
            }
            checked_run(&mut **engine, &name, row.kernel.test_n, row.kernel.test_checksum)?;
        }
    }
    Ok(())
}

/// One kernel on each engine.
fn run_once(engines: &mut [Box<dyn Contender>], row: &mut Row, round: usize) -> Result<()> {
    let name = row.kernel.module_name(row.build);
    for position in 0..engines.len() {
        let index = (position + round) % engines.len();
        if row.takes[index] {
            let time = checked_run(&mut *engines[index], &name, row.kernel.n, row.kernel.checksum)?;
            row.samples[index].push(time);
        }
    }
    Ok(())
}

fn checked_run(engine: &mut dyn Contender, name: &str, n: i32, expected: Checksum) -> Result<Duration> {
    let run = engine.run(name, n).with_context(|| engine.name().to_owned())?;
    ensure!(
        run.checksum == expected,
        "{}: {name}: run({n}) is {}, and must be {expected}",
        engine.name(),
        run.checksum
    );
    Ok(run.time.cpu)
}

fn print_table(options: &Options, engines: &[Box<dyn Contender>], rows: &[Row]) {
    for engine in engines {
        println!("{:<20} {}", engine.name(), engine.description());
    }
    println!(
        "\nCPU time of run(n), and its ratio to that of {} in the same round: medians\n",
        options.reference
    );
    print!("{:<18}{:>9}", "kernel", "n");
    for engine in engines {
        print!("{:>22}", engine.name());
    }
    println!();
    let reference = reference(engines, &options.reference);
    for row in rows {
        print!("{:<18}{:>9}", row.kernel.module_name(row.build), row.kernel.n);
        for index in 0..engines.len() {
            let time = median(&row.samples[index]);
            let time = time.map_or("-".to_owned(), |time| format!("{:.1} ms", time * 1e3));
            print!("{time:>14}{:>8}", show_ratio(ratio(row, index, reference)));
        }
        println!();
    }
    for build in [Build::Scalar, Build::Simd] {
        if !rows.iter().any(|row| row.build == build) {
            continue;
        }
        print!("{:<27}", format!("geometric mean, {}", build.name()));
        for index in 0..engines.len() {
            let (mean, count) = mean_ratio(rows, build, index, reference);
            print!("{:>14}{:>8}", format!("of {count}"), show_ratio(mean));
        }
        println!();
    }
}

/// Time of an engine relative to the reference's in the same round, where both ran the kernel: the middle of all rounds.
fn ratio(row: &Row, engine: usize, reference: Option<usize>) -> Option<f64> {
    let rounds = row.samples[engine].iter().zip(&row.samples[reference?]);
    let ratios: Vec<_> = rounds
        .map(|(own, other)| own.as_secs_f64() / other.as_secs_f64())
        .collect();
    Samples::new(&ratios).ok().map(|samples| samples.median())
}

/// The middle CPU time in seconds.
fn median(samples: &[Duration]) -> Option<f64> {
    let seconds: Vec<_> = samples.iter().map(Duration::as_secs_f64).collect();
    Samples::new(&seconds).ok().map(|samples| samples.median())
}

/// The geometric mean of an engine's ratios in one build, and of how many kernels it is.
fn mean_ratio(rows: &[Row], build: Build, engine: usize, reference: Option<usize>) -> (Option<f64>, usize) {
    let ratios: Vec<_> = rows
        .iter()
        .filter(|row| row.build == build)
        .filter_map(|row| ratio(row, engine, reference))
        .collect();
    (geometric_mean(&ratios).ok(), ratios.len())
}

fn show_ratio(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"))
}

fn report(options: &Options, engines: &[Box<dyn Contender>], rows: &[Row]) -> serde_json::Value {
    let reference = reference(engines, &options.reference);
    let described = engines
        .iter()
        .map(|engine| json!({"name": engine.name(), "description": engine.description()}));
    let results = rows.iter().flat_map(|row| {
        engines.iter().enumerate().map(move |(index, engine)| {
            let samples: Vec<_> = row.samples[index].iter().map(Duration::as_nanos).collect();
            json!({
                "kernel": row.kernel.name,
                "build": row.build.name(),
                "n": row.kernel.n,
                "checksum": row.kernel.checksum.to_string(),
                "engine": engine.name(),
                "median_ns": median(&row.samples[index]).map(|time| time * 1e9),
                "ratio": ratio(row, index, reference),
                "samples_ns": samples,
            })
        })
    });
    let means = [Build::Scalar, Build::Simd].into_iter().flat_map(|build| {
        engines.iter().enumerate().map(move |(index, engine)| {
            let (mean, count) = mean_ratio(rows, build, index, reference);
            json!({"build": build.name(), "engine": engine.name(), "ratio": mean, "kernels": count})
        })
    });
    json!({
        "rounds": options.rounds,
        "reference": reference.map(|_| &options.reference),
        "engines": described.collect::<Vec<_>>(),
        "results": results.collect::<Vec<_>>(),
        "geometric_means": means.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use luge_polybench::clock::timed;
    use luge_polybench::contender::Run;

    fn row(build: Build, millis: [&[u64]; 2]) -> Row {
        let samples = millis.map(|samples| samples.iter().copied().map(Duration::from_millis).collect());
        Row {
            kernel: Kernel::all().swap_remove(0),
            build,
            takes: vec![true; 2],
            samples: samples.to_vec(),
        }
    }

    #[test]
    fn means_are_over_what_both_engines_ran_in_that_build() {
        let rows = [
            row(Build::Scalar, [&[10, 30, 20], &[40, 60, 20]]),
            row(Build::Scalar, [&[10], &[5]]),
            row(Build::Scalar, [&[10], &[]]),
            row(Build::Simd, [&[10], &[70]]),
        ];
        let first = ratio(&rows[0], 1, Some(0)).expect("both ran");
        assert!((first - 2.0).abs() < 1e-12);
        assert_eq!(ratio(&rows[2], 1, Some(0)), None);
        let (mean, count) = mean_ratio(&rows, Build::Scalar, 1, Some(0));
        assert_eq!(count, 2);
        assert!((mean.expect("two ratios") - 1.0).abs() < 1e-12);
        assert_eq!(mean_ratio(&rows, Build::Scalar, 1, None), (None, 0));
    }

    #[test]
    fn a_wrong_checksum_is_an_error() {
        struct Wrong;
        impl Contender for Wrong {
            fn name(&self) -> &str {
                "wrong"
            }
            fn description(&self) -> &str {
                "answers 1"
            }
            fn load(&mut self, _: &str, _: &std::path::Path) -> Result<(), ContenderError> {
                Ok(())
            }
            fn run(&mut self, _: &str, _: i32) -> Result<Run, ContenderError> {
                let time = timed(|| ()).1;
                Ok(Run {
                    checksum: Checksum(1),
                    time,
                })
            }
            fn dump(&mut self, _: &str, _: &std::path::Path) -> Result<(), ContenderError> {
                Ok(())
            }
            fn compile(&mut self, _: &std::path::Path) -> Result<Duration, ContenderError> {
                Ok(Duration::ZERO)
            }
        }
        assert!(checked_run(&mut Wrong, "a", 1, Checksum(1)).is_ok());
        let error = checked_run(&mut Wrong, "a", 1, Checksum(2)).expect_err("wrong");
        assert!(error.to_string().starts_with("wrong: a: run(1)"), "{error}");
    }
}
