//! The program `luge-load`: reads the command line, makes a plan, runs it, writes the report.
//!
//! Exit codes: 0 done; 1 no figures came about, and stderr says why; 2 the command line is not understood; 3 there are
//! figures, but they are the generator's own rather than the server's (see [`load::Trust`]).
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use luge_bench_suite::load::{
    self, Arrivals, Class, Connections, Mode, Path, Plan, Report, SCENARIOS, Scenario, Target, Trust,
};
use luge_bench_suite::trial::{self, Definition, Settings, TRIALS};

/// The exit code for figures that are not to be believed.
const EXIT_NOT_TRUSTWORTHY: u8 = 3;

/// Send HTTP requests at moments drawn ahead, and tell how long their senders waited.
#[derive(Parser)]
#[command(
    name = "luge-load",
    version,
    max_term_width = 110,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a scenario, embedded or from a file
    Run(RunArgs),
    /// Send one kind of request to a URL
    Url(UrlArgs),
    /// Measure luge beside variants of itself and beside other servers, in one run; starts and ends all of them
    Trial(TrialArgs),
    /// List the embedded trials, or show one
    Trials {
        /// The one to show
        name: Option<String>,
    },
    /// Write a manifest with many functions for the server
    Manifest(ManifestArgs),
    /// List the embedded scenarios, or show one
    Scenarios {
        /// The one to show
        name: Option<String>,
    },
}

#[derive(Args)]
#[command(after_help = "Examples:
  luge-load run hello
  luge-load run mixed --pid $(pidof luge) --svg mixed.svg --json mixed.json
  luge-load run my.toml --url http://127.0.0.1:8080 --scale 2 --duration 30s")]
struct RunArgs {
    /// Name of an embedded scenario, or a file
    scenario: String,
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Multiply all rates
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    scale: f64,
    /// Number of functions, of classes whose path has a number
    #[arg(long, value_name = "N")]
    routes: Option<u32>,
    /// Connections of each class
    #[arg(short, long, value_name = "N")]
    connections: Option<usize>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args)]
#[command(after_help = "Examples:
  luge-load url http://127.0.0.1:8080/empty --rate 2000
  luge-load url http://127.0.0.1:8080/hash --body-bytes 4096 --rate 500 --deadline 20ms
  luge-load url http://127.0.0.1:8080/empty --closed --connections 64      as wrk -t1 -c64 does")]
struct UrlArgs {
    /// What to ask for: `http://HOST[:PORT][/PATH]`
    url: String,
    /// Requests a second
    #[arg(short, long, default_value_t = 1000.0)]
    rate: f64,
    /// How the gaps between arrivals are distributed
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: ArrivalsArg,
    /// How many requests start together
    #[arg(long, default_value_t = 1, value_name = "N")]
    batch: u32,
    /// The method [default: GET, or POST with a body]
    #[arg(long)]
    method: Option<String>,
    /// A field of the head
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// The body
    #[arg(long, group = "a_body")]
    body: Option<String>,
    /// The body, from a file
    #[arg(long, group = "a_body", value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// A body of this size
    #[arg(long, group = "a_body", value_name = "N")]
    body_bytes: Option<usize>,
    /// A good answer later than this is late
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    deadline: Option<Duration>,
    /// The field that tells the server the deadline, in milliseconds
    #[arg(long, value_name = "NAME", requires = "deadline")]
    deadline_header: Option<String>,
    /// Give a request up after this time
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_time)]
    timeout: Duration,
    /// A new connection for each request
    #[arg(long)]
    per_request: bool,
    /// Connections that are opened before the start; in the closed loop, all there are
    #[arg(short, long, default_value_t = 16, value_name = "N")]
    connections: usize,
    /// Most requests at a time
    #[arg(long, default_value_t = 1024, value_name = "N")]
    max_in_flight: usize,
    /// Most requests that wait when so many are under way; what exceeds both is shed and counted
    #[arg(long, default_value_t = 0, value_name = "N")]
    queue: usize,
    #[command(flatten)]
    common: CommonArgs,
}

/// Options of every run.
#[derive(Args)]
struct CommonArgs {
    /// No request starts after this time [default: that of the scenario, or 10s]
    #[arg(short, long, value_name = "TIME", value_parser = parse_time)]
    duration: Option<Duration>,
    /// Requests before this time are not counted [default: that of the scenario, or none]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    warmup: Option<Duration>,
    /// No request starts after this many, warm-up included
    #[arg(short = 'n', long, value_name = "N")]
    requests: Option<u64>,
    /// How long to wait for the last answers
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = parse_time)]
    drain: Duration,
    /// Each connection sends its next request after the last answer, as wrk does: hides queueing
    #[arg(long)]
    closed: bool,
    /// Where all randomness comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Workers, each with a share of rates and connections
    #[arg(short, long, default_value_t = 1, value_name = "N")]
    threads: usize,
    /// Watch the clock instead of sleeping for this long before each start; takes a core
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "200us", value_parser = parse_time)]
    spin: Option<Duration>,
    /// Priority of the generator, from -20 to 19; below 0 needs a privilege
    #[arg(long, default_value_t = 0, value_name = "NICE", allow_negative_numbers = true)]
    nice: i32,
    /// Process whose CPU time, memory and context switches are to be told
    #[arg(long)]
    pid: Option<u32>,
    /// Send load to another machine
    #[arg(long)]
    allow_remote: bool,
    /// Write the report as JSON; - is standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the distribution of latencies
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  luge-load trial mixed --csv mixed.csv --svg mixed.svg
  luge-load trial overload --rounds 5 --phase 10s
  luge-load trial soak --requests 100000
  luge-load trial mixed --variants luge,cgi --luge target/release/luge")]
struct TrialArgs {
    /// Name of an embedded trial, or a file
    trial: String,
    /// The server's program [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    luge: Option<PathBuf>,
    /// Rounds; every variant is measured once in each [default: that of the trial]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Length of a phase [default: that of the trial]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    phase: Option<Duration>,
    /// Cores of each server [default: those of the trial]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    cores: Option<u16>,
    /// Only these servers; the first that the trial has is what all is calibrated by
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    variants: Vec<String>,
    /// Requests, of trials that are counted by them
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// On a virtual machine: measure a phase again, up to nine times, when other guests took more than this part of a core's time
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    max_steal: Option<f64>,
    /// Where all randomness comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write every single figure as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw the chart, of trials that have one
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  luge-load manifest --routes 1000 functions/wasm/empty.wasm > many.toml
  luge-load manifest --routes 10000 functions/wasm/empty.wasm functions/wasm/hash.wasm > many.toml")]
struct ManifestArgs {
    /// Modules, taken in turn
    #[arg(required = true)]
    modules: Vec<PathBuf>,
    /// Number of functions: at /f/1, /f/2 ...
    #[arg(long, default_value_t = 1000, value_name = "N")]
    routes: u32,
    /// Deadline of each
    #[arg(long, default_value = "5s", value_name = "TIME")]
    deadline: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum ArrivalsArg {
    Poisson,
    Fixed,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "luge-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run_scenario(&args),
        Command::Url(args) => run_url(args),
        Command::Trial(args) => run_trial(&args),
        Command::Trials { name: None } => {
            let described = TRIALS.map(|(name, text)| {
                let trial = Definition::parse(text, name);
                trial.map(|trial| format!("{name:<16}{}\n", trial.description))
            });
            print(&described.into_iter().collect::<Result<String, _>>()?)
        }
        Command::Trials { name: Some(name) } => {
            let found = TRIALS.iter().find(|(own, _)| *own == name);
            let (_, text) = found.with_context(|| format!("no trial is called {name}"))?;
            print(text)
        }
        Command::Manifest(args) => {
            // Absolute, because nobody knows the folder in which the manifest will lie.
            let absolute =
                |path: &PathBuf| path.canonicalize().with_context(|| format!("{}", path.display()));
            let modules: Vec<_> = args.modules.iter().map(absolute).collect::<Result<_, _>>()?;
            let modules: Vec<_> = modules.iter().map(PathBuf::as_path).collect();
            print(&load::manifest(args.routes, &modules, &args.deadline)?)
        }
        Command::Scenarios { name: None } => {
            let described = SCENARIOS.map(|(name, text)| {
                let scenario = Scenario::parse(text, name, FilePath::new(""));
                scenario.map(|scenario| format!("{name:<16}{}\n", scenario.description))
            });
            print(&described.into_iter().collect::<Result<String, _>>()?)
        }
        Command::Scenarios { name: Some(name) } => {
            let found = SCENARIOS.iter().find(|(own, _)| *own == name);
            let (_, text) = found.with_context(|| format!("no scenario is called {name}"))?;
            print(text)
        }
    }
}

fn run_scenario(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let mut scenario = Scenario::load(&args.scenario)?;
    let (target, path) = Target::parse(&args.url, args.common.allow_remote)?;
    ensure!(
        path == "/",
        "the scenario says the paths: give --url without {path}"
    );
    for class in &mut scenario.classes {
        class.rate *= args.scale;
        if let (Path::Numbered { routes, .. }, Some(number)) = (&mut class.path, args.routes) {
            *routes = number;
        }
        if let Some(connections) = args.connections {
            class.opened = connections;
            class.max_in_flight = class.max_in_flight.max(connections);
        }
    }
    let plan = plan(&args.common, target, scenario);
    execute(&plan, &args.common, &args.scenario)
}

fn run_url(args: UrlArgs) -> anyhow::Result<ExitCode> {
    let (target, path) = Target::parse(&args.url, args.common.allow_remote)?;
    let mut class = Class::new("requests", Path::Fixed(path), args.rate);
    class.arrivals = match args.arrivals {
        ArrivalsArg::Poisson => Arrivals::Poisson,
        ArrivalsArg::Fixed => Arrivals::Fixed,
    };
    class.batch = args.batch;
    class.headers = args.headers;
    class.body = match (args.body, args.body_file, args.body_bytes) {
        (Some(text), _, _) => text.into_bytes(),
        (_, Some(file), _) => load::read_bounded(&file).with_context(|| format!("{}", file.display()))?,
        (_, _, Some(size)) => load::body_of(size).context("--body-bytes: at most 64 MiB")?,
        _ => Vec::new(),
    };
    let usual = if class.body.is_empty() { "GET" } else { "POST" };
    class.method = args.method.unwrap_or_else(|| usual.to_owned());
    class.deadline = args.deadline;
    class.deadline_header = args.deadline_header;
    class.timeout = args.timeout;
    if args.per_request {
        class.connections = Connections::PerRequest;
    }
    class.max_in_flight = args.max_in_flight;
    class.queue = args.queue;
    class.opened = args.connections;
    if !args.common.closed {
        class.opened = class.opened.min(class.max_in_flight);
    }
    let scenario = Scenario {
        description: args.url.clone(),
        duration: Duration::from_secs(10),
        warmup: Duration::ZERO,
        classes: vec![class],
    };
    execute(&plan(&args.common, target, scenario), &args.common, &args.url)
}

fn run_trial(args: &TrialArgs) -> anyhow::Result<ExitCode> {
    let definition = Definition::load(&args.trial)?;
    let beside = || -> anyhow::Result<PathBuf> { Ok(std::env::current_exe()?.with_file_name("luge")) };
    let settings = Settings {
        luge: args.luge.clone().map_or_else(beside, Ok)?,
        rounds: args.rounds,
        phase: args.phase,
        cores: args.cores.map(usize::from),
        variants: args.variants.clone(),
        requests: args.requests,
        max_steal: args.max_steal.map(|percent| percent / 100.0),
        seed: args.seed,
    };
    let mut progress = |text: &str| {
        // Nobody who looks is no reason to stop.
        let _ = writeln!(io::stderr(), "{text}");
    };
    let outcome = trial::run(&definition, &settings, &mut progress)?;
    let write = |path: &PathBuf, text: &str| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &args.csv {
        write(path, &outcome.samples.csv())?;
    }
    if let Some(path) = &args.svg {
        let chart = outcome.chart.as_deref();
        write(
            path,
            chart.with_context(|| format!("the trial {} has no chart", args.trial))?,
        )?;
    }
    print(&outcome.text)?;
    Ok(if outcome.is_broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn plan(args: &CommonArgs, target: Target, scenario: Scenario) -> Plan {
    let duration = args.duration.unwrap_or(scenario.duration);
    let warmup = warmup(&scenario, duration);
    Plan {
        target,
        mode: if args.closed { Mode::Closed } else { Mode::Open },
        seed: args.seed,
        threads: args.threads,
        warmup: args.warmup.unwrap_or(warmup),
        duration,
        requests: args.requests,
        drain: args.drain,
        spin: args.spin.unwrap_or_default(),
        window: Duration::ZERO,
        looks: Vec::new(),
        nice: args.nice,
        cpus: Vec::new(),
        classes: scenario.classes,
    }
}

/// A run shorter than the scenario's has a warm-up that is shorter in proportion.
fn warmup(scenario: &Scenario, duration: Duration) -> Duration {
    let share = duration.as_secs_f64() / scenario.duration.as_secs_f64().max(1e-9);
    scenario.warmup.mul_f64(share.min(1.0))
}

fn execute(plan: &Plan, args: &CommonArgs, title: &str) -> anyhow::Result<ExitCode> {
    let report = load::run(plan, args.pid)?;
    let is_json_only = args.json.as_deref() == Some(FilePath::new("-"));
    if let Some(path) = &args.json {
        let mut text = serde_json::to_string_pretty(&report)?;
        text.push('\n');
        if is_json_only {
            print(&text)?;
        } else {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if let Some(path) = &args.svg {
        let text = load::svg(&report, title)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !is_json_only {
        print(&load::table(&report))?;
    }
    Ok(verdict(&report))
}

fn verdict(report: &Report) -> ExitCode {
    if report.total.good == 0 {
        let _ = writeln!(io::stderr(), "luge-load: no request had a good answer");
        return ExitCode::FAILURE;
    }
    match report.generator.trust {
        Trust::Good | Trust::Doubtful => ExitCode::SUCCESS,
        Trust::None => EXIT_NOT_TRUSTWORTHY.into(),
    }
}

/// A reader that has seen enough and closed the pipe is no error.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    load::parse_duration(text).ok_or_else(|| "write a number and ns, us, ms, s or min".to_owned())
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.trim_end_matches('%').trim_end().parse().ok();
    percent
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "write a number from 0 to 100".to_owned())
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn only_a_shorter_run_has_a_shorter_warm_up() {
        let scenario = Scenario {
            description: String::new(),
            duration: Duration::from_secs(10),
            warmup: Duration::from_secs(4),
            classes: Vec::new(),
        };
        for (duration, expected) in [(10, 4000), (60, 4000), (5, 2000)] {
            let found = warmup(&scenario, Duration::from_secs(duration));
            assert_eq!(found, Duration::from_millis(expected), "{duration} s");
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
