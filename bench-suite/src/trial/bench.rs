//! What all trials share: the servers, the functions' calibrated work, the figures.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity};
use tempfile::TempDir;

use super::definition::{Definition, Function, Module};
use super::samples::Samples;
use super::server::{Server, ServerError};
use super::{Settings, TrialError};
use crate::load::{self, Class, Mode, Path, Plan, Report, Snapshot, Taken};

/// The generator's priority where it is allowed: see the module's top.
const NICE: i32 = -10;
/// Steps of `work` whose time is taken to calibrate it: some milliseconds.
const CALIBRATION_STEPS: u64 = 4_000_000;
/// How often.
const CALIBRATION_REQUESTS: u64 = 100;
/// Part of a phase that is not counted: what the phase before has left behind ends in it.
const WARMUP_SHARE: f64 = 0.1;
/// How often a phase is measured at most where too much is stolen from it.
const TRIES: u32 = 10;
/// How long a phase waits for its last answers.
const DRAIN: Duration = Duration::from_secs(20);

/// A variant and its server.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) name: String,
    pub(super) cores: usize,
    /// The CPUs that the generator keeps to; empty: all.
    pub(super) generator: Vec<usize>,
    pub(super) server: Server,
}

/// What a server can do of a function alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Capacity {
    /// Requests a second.
    pub(super) rate: f64,
    /// The part of its cores, from 0 to 1, that it could have had meanwhile: see [`Taken`](crate::load::Taken).
    pub(super) left: f64,
}

/// A trial under way.
pub(super) struct Bench<'a> {
    pub(super) definition: &'a Definition,
    pub(super) settings: &'a Settings,
    pub(super) samples: Samples,
    pub(super) rounds: u32,
    pub(super) phase: Duration,
    pub(super) cores: usize,
    /// All that run, in the definition's order.
    pub(super) running: Vec<Running>,
    /// What the reader has to know.
    pub(super) notices: Vec<String>,
    progress: &'a mut dyn FnMut(&str),
    nice: i32,
    /// Phases that were measured again.
    repeated: Cell<u32>,
    /// Phases that were disturbed each time.
    disturbed: Cell<u32>,
    /// Steps of `work` in a nanosecond of CPU time.
    steps_per_ns: f64,
    /// Holds manifests, modules, peers.
    _folder: TempDir,
}

impl<'a> Bench<'a> {
    /// Starts all servers, and calibrates the work of the first.
    pub(super) fn new(
        definition: &'a Definition,
        settings: &'a Settings,
        progress: &'a mut dyn FnMut(&str),
    ) -> Result<Bench<'a>, TrialError> {
        let names = &settings.variants;
        let is_known = |name: &&String| definition.variants.iter().any(|variant| variant.name == **name);
        if let Some(name) = names.iter().find(|name| !is_known(name)) {
            return Err(TrialError::NoVariant(name.clone(), definition.variant_names()));
        }
        let folder = tempfile::Builder::new().prefix("luge-trial-").tempdir()?;
        let may_hurry = load::may_have_nice(NICE);
        let mut bench = Bench {
            definition,
            settings,
            samples: Samples::default(),
            rounds: settings.rounds.unwrap_or(definition.rounds),
            phase: settings.phase.unwrap_or(definition.phase),
            cores: settings.cores.unwrap_or(definition.cores),
            running: Vec::new(),
            notices: Vec::new(),
            progress,
            nice: if may_hurry { NICE } else { 0 },
            repeated: Cell::new(0),
            disturbed: Cell::new(0),
            steps_per_ns: 1.0,
            _folder: folder,
        };
        if !may_hurry {
            bench.notice("the generator may not raise its priority: its lateness is part of all latencies");
        }
        bench.start()?;
        bench.calibrate()?;
        Ok(bench)
    }

    fn start(&mut self) -> Result<(), TrialError> {
        let names = &self.settings.variants;
        let chosen = |name: &String| names.is_empty() || names.contains(name);
        for variant in self
            .definition
            .variants
            .iter()
            .filter(|variant| chosen(&variant.name))
        {
            let cores = variant.cores.unwrap_or(self.cores);
            let folder = self._folder.path();
            let generator = if variant.apart {
                beside(cores)
            } else {
                Some(Vec::new())
            };
            let Some(generator) = generator else {
                let text = format!(
                    "{} is left out: the generator has no core beside its {cores}",
                    variant.name
                );
                self.notice(&text);
                continue;
            };
            let started = match variant.peer {
                Some(peer) => peer.start(folder, self.definition, cores),
                None => Server::luge(&self.settings.luge, folder, self.definition, variant, cores),
            };
            match started {
                Ok(server) => self.running.push(Running {
                    name: variant.name.clone(),
                    cores,
                    generator,
                    server,
                }),
                Err(ServerError::Unavailable(why)) => {
                    let text = format!("{} is left out: {}", variant.name, why.trim_end());
                    self.notice(&text);
                }
                Err(source) => return Err(self.server_error(&variant.name, source)),
            }
        }
        if self.running.is_empty() {
            return Err(TrialError::NoVariant(
                "none".to_owned(),
                self.definition.variant_names(),
            ));
        }
        Ok(())
    }

    /// Finds out how many steps of `work` take a nanosecond of CPU time, by the first variant.
    fn calibrate(&mut self) -> Result<(), TrialError> {
        let functions = &self.definition.functions;
        let Some(function) = functions.iter().max_by_key(|function| function.cpu) else {
            return Ok(());
        };
        if function.module != Module::Work {
            return Ok(());
        }
        let path = format!("/{}?i={CALIBRATION_STEPS}", function.name);
        let first = &self.running[0];
        let metrics = || {
            first
                .server
                .metrics()
                .map_err(|source| self.server_error(&first.name, source))
        };
        let before = metrics()?;
        let mut plan = self.plan(
            0,
            Mode::Closed,
            vec![Class::new("calibration", Path::Fixed(path), 1.0)],
        );
        plan.classes[0].opened = 1;
        plan.warmup = Duration::ZERO;
        plan.duration = Duration::from_secs(60);
        plan.requests = Some(CALIBRATION_REQUESTS);
        let report = self.run(0, "calibration", &plan)?;
        let after = metrics()?;
        let cpu = after.cpu_seconds(&function.name) - before.cpu_seconds(&function.name);
        let runs = after.requests(&function.name) - before.requests(&function.name);
        // The mean of what the server counts, or the fastest answer: on a busy machine the former holds time of others, and a
        // server that counts none is measured by its clients.
        let fastest = report.total.record.latency.intended.min() as f64;
        let mean = if cpu > 0.0 && runs > 0.0 {
            cpu * 1e9 / runs
        } else {
            f64::MAX
        };
        let each_ns = mean.min(fastest);
        self.steps_per_ns = CALIBRATION_STEPS as f64 / each_ns.max(1.0);
        let text = format!(
            "a step of work takes {:.3} ns of CPU time",
            1.0 / self.steps_per_ns
        );
        self.say(&text);
        Ok(())
    }

    /// Keeps words for the report, and shows them at once.
    pub(super) fn notice(&mut self, text: &str) {
        self.say(&format!("notice: {text}"));
        self.notices.push(text.to_owned());
    }

    pub(super) fn say(&mut self, text: &str) {
        (self.progress)(text);
    }

    /// Notices as Markdown, with what is to be known of the machine.
    pub(super) fn notes(&self) -> String {
        let mut text = String::new();
        for notice in &self.notices {
            text += &format!("- {notice}\n");
        }
        let times = self.repeated.get();
        if let Some(most) = self.settings.max_steal.filter(|_| times > 0) {
            text += &format!(
                "- {times} times a phase was measured again, as more than {} % of a core's time was stolen in it; {} phases still have more\n",
                most * 100.0,
                self.disturbed.get()
            );
        }
        text
    }

    pub(super) fn server_error(&self, variant: &str, source: ServerError) -> TrialError {
        TrialError::Server {
            variant: variant.to_owned(),
            source,
        }
    }

    /// Indices of the servers in the order of a round (from 1): another one begins each.
    pub(super) fn order(&self, round: u32) -> Vec<usize> {
        let count = self.running.len();
        (0..count)
            .map(|turn| (turn + round as usize - 1) % count)
            .collect()
    }

    /// The function of that name, which the definition was checked to have.
    pub(super) fn function(&self, name: &str) -> &'a Function {
        let found = self
            .definition
            .functions
            .iter()
            .find(|function| function.name == name);
        found.expect("checked when the definition was read")
    }

    /// Steps of `work` that take the function's CPU time.
    pub(super) fn steps(&self, function: &Function) -> u64 {
        (function.cpu.as_nanos() as f64 * self.steps_per_ns) as u64
    }

    /// A class that asks for a function at its calibrated size.
    pub(super) fn class(&self, name: &str, rate: f64) -> Class {
        let function = self.function(name);
        let path = match function.module {
            Module::Work => format!("/{name}?i={}", self.steps(function)),
            Module::Empty | Module::Echo => format!("/{name}"),
        };
        let mut class = Class::new(name, Path::Fixed(path), rate);
        class.deadline = Some(function.deadline);
        class.timeout = function.deadline.max(Duration::from_secs(1)) * 2;
        class
    }

    /// A run of a phase's length against a server.
    pub(super) fn plan(&self, variant: usize, mode: Mode, classes: Vec<Class>) -> Plan {
        Plan {
            target: self.running[variant].server.target.clone(),
            mode,
            seed: self.settings.seed,
            threads: 1,
            warmup: self.warmup(),
            duration: self.phase,
            requests: None,
            drain: DRAIN,
            spin: Duration::ZERO,
            window: Duration::ZERO,
            looks: Vec::new(),
            nice: self.nice,
            cpus: self.running[variant].generator.clone(),
            classes,
        }
    }

    /// Carries a plan out; a phase without any answer is an error.
    pub(super) fn run(&self, variant: usize, phase: &str, plan: &Plan) -> Result<Report, TrialError> {
        self.undisturbed(|| self.run_once(variant, phase, plan))
    }

    /// As [`Bench::run`], however much is stolen meanwhile.
    pub(super) fn run_once(&self, variant: usize, phase: &str, plan: &Plan) -> Result<Report, TrialError> {
        let report = load::run(plan, Some(self.running[variant].server.pid()));
        self.judge(variant, phase, report)
    }

    /// Measures something, and again while too much of the machine's time is stolen meanwhile, if the settings say what that is. What came
    /// of it does not matter.
    pub(super) fn undisturbed<T>(
        &self,
        mut measure: impl FnMut() -> Result<T, TrialError>,
    ) -> Result<T, TrialError> {
        let Some(most) = self.settings.max_steal else {
            return measure();
        };
        let cpus = allowed();
        let (found, repeated, disturbed) = until_quiet(most, || {
            let (began, before) = (Instant::now(), Taken::look(Duration::ZERO));
            let found = measure()?;
            let stolen = Taken::look(began.elapsed()).most_stolen_since(&before, &cpus);
            Ok::<_, TrialError>((found, stolen))
        })?;
        self.repeated.set(self.repeated.get() + repeated);
        self.disturbed.set(self.disturbed.get() + u32::from(disturbed));
        Ok(found)
    }

    /// A report, or the reason why there is none.
    pub(super) fn judge(
        &self,
        variant: usize,
        phase: &str,
        report: Result<Report, load::RunError>,
    ) -> Result<Report, TrialError> {
        let (variant, phase) = (self.running[variant].name.clone(), phase.to_owned());
        match report {
            Ok(report) if report.total.statuses.is_empty() => Err(TrialError::NoAnswer { variant, phase }),
            Ok(report) => Ok(report),
            Err(source) => Err(TrialError::Run {
                variant,
                phase,
                source,
            }),
        }
    }

    /// What a server can do of a function alone in a phase, with four requests for each of its cores under way: with two it waits now and then
    /// for a generator that has a core of its own.
    pub(super) fn capacity(&mut self, variant: usize, name: &str) -> Result<Capacity, TrialError> {
        let mut class = self.class(name, 1.0);
        class.opened = 4 * self.running[variant].cores;
        let mut plan = self.plan(variant, Mode::Closed, vec![class]);
        plan.looks = vec![plan.warmup, plan.duration];
        let report = self.run(variant, "capacity", &plan)?;
        let left = self.left(variant, &report);
        // Of all that began in this time; the last of them end after it, as those did before that began before.
        let rate = report.total.good as f64 / (plan.duration - plan.warmup).as_secs_f64();
        let variant = self.running[variant].name.clone();
        if rate <= 0.0 {
            let phase = format!("capacity of {name}");
            return Err(TrialError::NoAnswer { variant, phase });
        }
        self.say(&format!("capacity of {variant}: {rate:.1} of {name} a second"));
        Ok(Capacity { rate, left })
    }

    /// The part of a server's cores, from 0 to 1, that was left to it between the first of a report's looks and the last.
    pub(super) fn left(&self, variant: usize, report: &Report) -> f64 {
        let [first, .., last] = report.taken.as_slice() else {
            return 1.0;
        };
        let running = &self.running[variant];
        let cpus = allowed();
        let own = &cpus[..running.cores.min(cpus.len())];
        // With other CPUs to choose from nobody knows whose time the generator took.
        let shares = running.generator.is_empty() && own.len() == cpus.len();
        last.left_since(first, own, shares)
    }

    /// The part of a phase that is not counted.
    pub(super) fn warmup(&self) -> Duration {
        self.phase.mul_f64(WARMUP_SHARE)
    }

    /// Resident memory of a server now.
    pub(super) fn resident_bytes(&self, variant: usize) -> Option<u64> {
        let now = Snapshot::read(self.running[variant].server.pid()).ok()?;
        Some(now.since(&now).ok()?.resident_bytes)
    }
}

/// Calls `measure`, which gives something and the part of a core's time that was stolen meanwhile, until that is no more than `most`,
/// [`TRIES`] times at most. Gives what the last call gave, how many there were before it, and whether that was disturbed too.
fn until_quiet<T, E>(
    most: f64,
    mut measure: impl FnMut() -> Result<(T, f64), E>,
) -> Result<(T, u32, bool), E> {
    let mut repeated = 0;
    loop {
        let (found, stolen) = measure()?;
        let disturbed = stolen > most;
        if !disturbed || repeated + 1 == TRIES {
            return Ok((found, repeated, disturbed));
        }
        repeated += 1;
    }
}

/// The CPUs that this process may use beside the first so many, which are the server's; nothing where there are none.
fn beside(cores: usize) -> Option<Vec<usize>> {
    let mut cpus = allowed();
    let left = cpus.split_off(cores.min(cpus.len()));
    Some(left).filter(|left| !left.is_empty())
}

/// The CPUs that this process may use. A server of N cores takes the first N.
fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_default();
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_disturbed_is_measured_again_but_not_for_ever() {
        let measured = |stolen: &[f64]| {
            let mut calls = 0;
            let found = until_quiet(0.02, || {
                calls += 1;
                Ok::<_, TrialError>((calls, stolen[calls - 1]))
            });
            found.expect("no measurement failed")
        };
        assert_eq!(measured(&[0.02]), (1, 0, false));
        assert_eq!(measured(&[0.03, 0.5, 0.0, 0.9]), (3, 2, false));
        assert_eq!(measured(&[0.03; 10]), (10, 9, true));
        let failed = until_quiet(0.0, || Err::<((), f64), _>("no server"));
        assert_eq!(failed, Err("no server"));
    }

    #[test]
    fn the_generator_has_what_the_server_leaves() {
        let all = beside(0).expect("a CPU to run on");
        assert_eq!(beside(1).unwrap_or_default(), all[1..]);
        assert_eq!(beside(all.len()), None);
    }
}
