//! Any range of seeds through all engines; see `README.md` beside for how to run it.
#![forbid(unsafe_code)]

use luge_fuzz::{Counts, Features, Generator, Runner, reduce, run_seed};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seconds after which a module that should end in milliseconds counts as one that hangs.
const HANGS: u64 = 60;

/// Disagreements after which a run ends: the next ones would be of the same kind.
const MOST_FAILURES: usize = 20;

struct Options {
    generators: Vec<Generator>,
    from: u64,
    to: u64,
    features: Features,
    folder: String,
    /// Only writes the modules.
    write: bool,
    /// Says each seed before it runs.
    verbose: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        generators: vec![Generator::Structured, Generator::Smith],
        from: 0,
        to: u64::MAX,
        features: Features::ALL,
        folder: ".".to_owned(),
        write: false,
        verbose: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--smith" => options.generators = vec![Generator::Smith],
            "--structured" => options.generators = vec![Generator::Structured],
            "--no-vectors" => options.features.vectors = false,
            "--no-tail-calls" => options.features.tail_calls = false,
            "--no-exceptions" => options.features.exceptions = false,
            "--no-relaxed" => options.features.relaxed = false,
            "--one-memory" => options.features.memories = false,
            "--write" => options.write = true,
            "--verbose" => options.verbose = true,
            "--keep" => options.folder = arguments.next().ok_or("--keep FOLDER")?,
            range => {
                let (from, to) = range
                    .split_once("..")
                    .ok_or(format!("{range}: not an option, nor FROM..TO"))?;
                let parse = |text: &str| text.parse().map_err(|error| format!("{range}: {error}"));
                options.from = parse(from)?;
                options.to = if to.is_empty() { u64::MAX } else { parse(to)? };
            }
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("luge-fuzz: {message}");
            return ExitCode::FAILURE;
        }
    };
    if options.write {
        return write_modules(&options);
    }
    // What panics is reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let now = watch();
    let mut runner = Runner::new();
    let (mut counts, mut failures) = (Counts::default(), 0);
    let (begin, mut said) = (Instant::now(), Instant::now());
    println!(
        "seeds {}..{}, engines {runner:?}, {:?}",
        options.from, options.to, options.features
    );
    'seeds: for seed in options.from..options.to {
        for &generator in &options.generators {
            now.store(seed, Ordering::Relaxed);
            if options.verbose {
                println!("{} {seed}", generator.name());
            }
            match run_seed(&mut runner, generator, seed, options.features) {
                Ok(found) => counts.add(found),
                Err(found) => {
                    failures += 1;
                    println!("{} seed {seed}: {}", generator.name(), found.message);
                    keep(&options, &mut runner, generator, seed, &found.wasm);
                    if failures == MOST_FAILURES {
                        break 'seeds;
                    }
                }
            }
        }
        if said.elapsed() > Duration::from_secs(30) {
            said = Instant::now();
            println!(
                "after seed {seed}: {counts}, {failures} disagreements, {:.0?}",
                begin.elapsed()
            );
        }
    }
    println!(
        "done: {counts}, {failures} disagreements, {:.0?}",
        begin.elapsed()
    );
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Ends the process where one seed goes on for too long.
fn watch() -> Arc<AtomicU64> {
    let now = Arc::new(AtomicU64::new(u64::MAX));
    let watched = Arc::clone(&now);
    std::thread::spawn(move || {
        let (mut last, mut since) = (u64::MAX, Instant::now());
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let seed = watched.load(Ordering::Relaxed);
            if seed != last {
                (last, since) = (seed, Instant::now());
            } else if since.elapsed() > Duration::from_secs(HANGS) {
                println!("seed {seed}: hangs");
                std::process::exit(2);
            }
        }
    });
    now
}

fn keep(options: &Options, runner: &mut Runner, generator: Generator, seed: u64, wasm: &[u8]) {
    let write = |name: String, wasm: &[u8]| match std::fs::write(format!("{}/{name}", options.folder), wasm) {
        Ok(()) => println!("  kept: {name}"),
        Err(error) => println!("  {name} not kept: {error}"),
    };
    write(format!("{}-{seed}.wasm", generator.name()), wasm);
    if generator == Generator::Structured {
        let small = reduce(runner, seed, options.features);
        write(format!("{}-{seed}-reduced.wasm", generator.name()), &small);
    }
}

fn write_modules(options: &Options) -> ExitCode {
    for seed in options.from..options.to {
        for &generator in &options.generators {
            let file = format!("{}/{}-{seed}.wasm", options.folder, generator.name());
            if let Err(error) = std::fs::write(&file, generator.case(seed, options.features).wasm) {
                eprintln!("{file}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
