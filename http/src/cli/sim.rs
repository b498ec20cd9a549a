//! `luge sim`: what would shards make of a load, on so many cores, under which policy? And do they keep their rules?
//!
//! The shards are the server's own, under a virtual clock ([`luge_shards::sim`]); this is the command line. The same command
//! says the same on every run.

mod chart;
mod table;

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use luge_shards::sim::check::{Checked, Failed, check};
use luge_shards::sim::{CORES_MAX, Faults, Scenario, Seed, Settings, Simulation, Tally, start_of_time};
use luge_shards::{AnyPolicy, PolicyKind};

use crate::config::parse_duration;

/// Arguments of `luge sim`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  luge sim                                          a short function beside a long one, on 16 cores, each policy
  luge sim --cores 2,64 --policy edf,fifo --scenario bursty --load 0.5,0.8,0.95,1.2 --svg bursty.svg
  luge sim --faults --seed 7                        the same requests every time, and things that go wrong
  luge sim --no-spill --no-steal --scenario adversarial     what moving work is worth
  luge sim --no-admission                           orders alone: nothing is refused that will be late
  luge sim --check --seeds 0..10000                 random settings and faults before the checkers
  luge sim --check --seeds 4711 --policy edf        one of them again

`missed` counts requests that were taken and not done in time, `refused` those that were told so at once. Latencies are those of
the short function, from arrival to answer. Load 1 is all that the cores can do without any overhead.")]
pub struct SimArgs {
    /// Numbers of cores, 1 to 256
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_values_t = [16], value_parser = parse_cores)]
    pub cores: Vec<usize>,
    /// Policies: edf, edf-plain, srsf, fifo, round-robin, least-slack [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub policy: Vec<PolicyKind>,
    /// What arrives
    #[arg(long, value_enum, default_value = "mixed", value_name = "NAME")]
    pub scenario: ScenarioName,
    /// Work offered, as parts of what the cores can do
    #[arg(long, value_delimiter = ',', value_name = "PART,...", default_values_t = [0.5, 0.8, 0.95, 1.2], value_parser = parse_load)]
    pub load: Vec<f64>,
    /// Names the run: requests, costs and faults follow from it
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// For how long requests arrive, in virtual time
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_length)]
    pub duration: Duration,
    /// Let some of everything go wrong
    #[arg(long)]
    pub faults: bool,
    /// Take every request that the bounds allow, even if it will be late
    #[arg(long)]
    pub no_admission: bool,
    /// Let classes that take more than others leave these no room, where not all fits
    #[arg(long)]
    pub no_fairness: bool,
    /// Leave requests where they arrive, even if they are late there
    #[arg(long)]
    pub no_spill: bool,
    /// Do not let idle cores take work from others
    #[arg(long)]
    pub no_steal: bool,
    /// Draw failures and latencies against load into this file
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub svg: Option<PathBuf>,
    /// Draw settings and faults from each seed too, and check that no rule is broken
    #[arg(long)]
    pub check: bool,
    /// The seeds to check: one, or FROM..TO [default: 0..1000]
    #[arg(long, value_name = "SEEDS", value_parser = parse_seeds, requires = "check")]
    pub seeds: Option<Range<u64>>,
}

/// The scenarios, as the command line names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// 2 ms of work, memoryless arrivals
    Poisson,
    /// The same in bursts
    Bursty,
    /// Service times with a heavy tail
    Heavy,
    /// A rate that rises and falls
    Diurnal,
    /// Tight bursts at one shard, and deadlines that fall like dominoes
    Adversarial,
    /// A 60 ms function
    Mixed,
}

impl ScenarioName {
    fn scenario(self) -> Scenario {
        Scenario::ALL[self as usize]
    }
}

/// Why there is no table, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimProblem {
    /// A rule was broken.
    #[error("{count} of {of} seeds break a rule; the first: {first}")]
    Broken {
        /// Seeds that do.
        count: usize,
        /// Seeds that were run.
        of: u64,
        /// The lowest of them.
        first: Box<Failed>,
    },
    /// The drawing library failed: a bug of ours.
    #[error("cannot draw: {0}")]
    Draw(String),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// A run and what was counted in it.
pub(crate) struct Point {
    pub(crate) cores: usize,
    pub(crate) policy: PolicyKind,
    pub(crate) load: f64,
    pub(crate) tally: Tally,
}

/// Runs what was asked for, and writes its figures. The inner result is that of writing these.
///
/// # Errors
/// [`SimProblem`].
pub fn sim(args: &SimArgs, out: &mut impl Write) -> Result<io::Result<()>, SimProblem> {
    if args.check {
        return check_seeds(args, out);
    }
    if let Some(path) = &args.svg {
        // What cannot be written is told now, not after an hour.
        write_file(path, "")?;
    }
    let points = run_all(args);
    if let Some(path) = &args.svg {
        let title = format!("{}, seed {}", args.scenario.scenario().name(), args.seed);
        let text = chart::svg(&points, &title).map_err(|error| SimProblem::Draw(error.to_string()))?;
        write_file(path, &text)?;
    }
    Ok(table::write(args.scenario.scenario(), &points, out))
}

fn run_all(args: &SimArgs) -> Vec<Point> {
    let mut wanted = Vec::new();
    for &cores in &args.cores {
        for policy in policies(args) {
            wanted.extend(args.load.iter().map(|&load| (cores, policy, load)));
        }
    }
    in_parallel(wanted.len(), |index| {
        let (cores, policy, load) = wanted[index];
        let mut settings = Settings::new(cores, args.scenario.scenario(), load, Seed(args.seed));
        settings.duration = args.duration;
        settings.scheduler.policy = policy;
        settings.admission = !args.no_admission;
        settings.scheduler.fair_admission = !args.no_fairness;
        settings.steering.spill = !args.no_spill;
        settings.steals = !args.no_steal;
        if args.faults {
            settings.faults = Faults::SOME;
        }
        let new = |_| AnyPolicy::new(policy);
        let (tally, ()) = Simulation::new(settings, start_of_time(), new, ()).run();
        Point {
            cores,
            policy,
            load,
            tally,
        }
    })
}

fn policies(args: &SimArgs) -> Vec<PolicyKind> {
    if args.policy.is_empty() {
        PolicyKind::ALL.into()
    } else {
        args.policy.clone()
    }
}

fn check_seeds(args: &SimArgs, out: &mut impl Write) -> Result<io::Result<()>, SimProblem> {
    let seeds = args.seeds.clone().unwrap_or(0..1000);
    let policies: Vec<Option<PolicyKind>> = if args.policy.is_empty() {
        vec![None]
    } else {
        args.policy.iter().copied().map(Some).collect()
    };
    let of = (seeds.end - seeds.start) * policies.len() as u64;
    let checked = in_parallel(of as usize, |index| {
        let index = index as u64;
        let policy = policies[(index % policies.len() as u64) as usize];
        Verdict::of(check(Seed(seeds.start + index / policies.len() as u64), policy))
    });
    let (mut sum, mut failed) = (Verdict::default(), Vec::new());
    for verdict in checked {
        sum.add(&verdict);
        failed.extend(verdict.failed);
    }
    if let Some(first) = failed.first().cloned() {
        for failed in &failed[1..] {
            super::report(failed);
        }
        let count = failed.len();
        return Err(SimProblem::Broken { count, of, first });
    }
    Ok(sum.write(of, out))
}

/// What a checked seed adds to the sum.
#[derive(Default)]
struct Verdict {
    trace: u64,
    seen: u64,
    offered: u64,
    met: u64,
    honest: u64,
    failed: Option<Box<Failed>>,
}

impl Verdict {
    fn of(result: Result<Checked, Box<Failed>>) -> Self {
        match result {
            Err(failed) => Self {
                failed: Some(failed),
                ..Self::default()
            },
            Ok(checked) => {
                let all = checked.tally.all();
                Self {
                    trace: checked.trace.hash(),
                    seen: checked.trace.len,
                    offered: all.offered,
                    met: all.met,
                    honest: if checked.plan.is_honest { all.met } else { 0 },
                    failed: None,
                }
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.trace = self.trace.rotate_left(1) ^ other.trace;
        self.seen += other.seen;
        self.offered += other.offered;
        self.met += other.met;
        self.honest += other.honest;
    }

    fn write(&self, seeds: u64, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{seeds} seeds, no rule broken, trace {:016x}", self.trace)?;
        writeln!(
            out,
            "{} requests, {} served in time, {} of them where all that is taken must be; {} steps seen",
            self.offered, self.met, self.honest, self.seen
        )
    }
}

/// Runs `work` for each number below `count`, on all of the machine's cores. Results come in the order of the numbers.
fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(count);
    let mut results: Vec<(usize, T)> = thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count || sender.send((index, work(index))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        receiver.iter().collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn write_file(path: &Path, text: &str) -> Result<(), SimProblem> {
    std::fs::write(path, text).map_err(|source| SimProblem::Write {
        path: path.to_owned(),
        source,
    })
}

fn parse_cores(text: &str) -> Result<usize, String> {
    let cores = text.parse().ok().filter(|cores| (1..=CORES_MAX).contains(cores));
    cores.ok_or_else(|| format!("write a number from 1 to {CORES_MAX}"))
}

fn parse_load(text: &str) -> Result<f64, String> {
    let load = text.parse().ok().filter(|load| (0.0..=10.0).contains(load));
    load.ok_or_else(|| "write a number from 0 to 10, where 1 is all that the cores can do".to_owned())
}

fn parse_length(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text)
        .filter(|length| *length > Duration::ZERO && *length <= Duration::from_secs(3600));
    length.ok_or_else(|| "write a whole number and us, ms, s, min or h, up to an hour".to_owned())
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().ok();
    let seeds = match text.split_once("..") {
        None => number(text).map(|seed| seed..seed.saturating_add(1)),
        Some((from, to)) => number(from).zip(number(to)).map(|(from, to)| from..to),
    };
    seeds
        .filter(|seeds| !seeds.is_empty())
        .ok_or_else(|| "write a seed, or FROM..TO, where TO is not included".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn run(line: &str) -> Result<String, SimProblem> {
        let Command::Sim(args) = Cli::parse_from(line.split_whitespace()).command else {
            panic!("another command")
        };
        let mut out = Vec::new();
        sim(&args, &mut out)?.expect("a vector takes everything");
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn the_same_command_says_the_same() {
        let line = "luge sim --cores 2,3 --policy edf,fifo --load 0.5,0.9 --duration 300ms --faults";
        let [one, two] = [run(line).unwrap(), run(line).unwrap()];
        assert_eq!(one, two);
        assert_eq!(one.matches("edf ").count(), 4, "{one}");
        assert_ne!(one, run(&format!("{line} --seed 2")).unwrap());
    }

    #[test]
    fn a_chart_is_drawn_for_each_number_of_cores() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("chart.svg");
        let line = "luge sim --cores 1,2 --policy edf,srsf --load 0.5,0.9 --duration 200ms --svg";
        run(&format!("{line} {}", path.display())).unwrap();
        let svg = std::fs::read_to_string(&path).expect("it was written");
        assert!(svg.starts_with("<svg") && svg.contains("2 cores") && svg.contains("srsf"));
        let missing = folder.path().join("no/folder.svg");
        let error = run(&format!("{line} {}", missing.display())).unwrap_err();
        assert!(error.to_string().contains("folder.svg"), "{error}");
    }

    #[test]
    fn seeds_are_checked_with_each_policy() {
        let told = run("luge sim --check --seeds 3..6 --policy edf,fifo").unwrap();
        assert!(told.starts_with("6 seeds, no rule broken, trace "), "{told}");
        assert!(run("luge sim --check --seeds 4").unwrap().starts_with("1 seeds"));
    }

    #[test]
    fn what_is_out_of_range_is_told_with_what_to_write() {
        for (line, hint) in [
            ("--cores 0", "from 1 to 256"),
            ("--load x", "from 0 to 10"),
            ("--duration 2h", "up to an hour"),
            ("--check --seeds 9..3", "FROM..TO"),
            ("--policy lifo", "least-slack"),
            ("--seeds 3", "--check"),
        ] {
            let words = ["luge", "sim"].into_iter().chain(line.split(' '));
            let error = Cli::try_parse_from(words).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}
