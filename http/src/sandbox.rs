//! One run of a function, as a task of the scheduler: the one place where engine and scheduler meet.
//!
//! ```text
//!            first slice                    later slices
//!   Prepared ----------> Starting --------> Running ----------> Ended(outcome)
//!   context, body        store, instance;   `_start`            store and memory are gone
//!                        `start` function
//! ```
//! The scheduler gives a run a slice of time; the engine counts fuel. The sandbox turns one into the other: it runs
//! fuel in small chunks, whose size follows what they take, and looks at the clock between them. Nothing is instantiated before the first slice, so a
//! request that waits in the queue costs its body and no memory, and everything happens on the shard that runs it.
//!
//! Nothing here knows how the engine leaves a run and takes it up again. The interpreter keeps the run on the heap; machine
//! code has a stack of its own, which stays as it is while the run waits, and which is freed as it is when the run is
//! stopped: no frame on it owns anything.
//!
//! Two lines of defence keep a guest's failure its own: every trap is a value, and should the engine itself panic, the
//! scheduler ends this task alone; its store is dropped whole, and the server goes on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use luge_core::wasi::{Input, Output, WasiCtx};
use luge_core::{Execution, Instance, InstantiateError, Store};
use luge_shards::Task;

use crate::engine::Tier;
use crate::error::Failure;
use crate::function::{Function, Registry};
use crate::inflight::RequestId;

/// Bytes of stderr that wait to be logged; more is not taken from the guest until it is.
const STDERR_BUFFER: usize = 256 * 1024;
/// From this much on, stderr is logged while the guest still runs.
const STDERR_FLUSH: usize = 32 * 1024;
/// Bytes of stderr that one run may bring into the log; the rest is dropped, and that is logged too.
const STDERR_MAX: usize = 64 * 1024;
/// Lines of stderr that one run may bring into the log: writing a line costs the shard a microsecond or more, and a run
/// that writes thousands of short ones would push the lines of all others out of the log's queue.
const STDERR_LINES_MAX: usize = 256;
/// Longest line of it; longer ones are cut.
const STDERR_LINE_MAX: usize = 4096;

/// One run of one function.
pub struct Sandbox {
    registry: Registry,
    function: usize,
    request: RequestId,
    state: State,
    pace: Pace,
    allowance: LogAllowance,
}

enum State {
    Prepared(Box<WasiCtx>),
    Starting(Box<Run>),
    Running(Box<Run>),
    Ended(Result<Bytes, Failure>),
    /// The engine panicked, or the outcome was taken.
    Gone,
}

/// Fields are dropped in this order: what runs goes before what it runs in.
struct Run {
    execution: Execution,
    instance: Instance,
    store: Store<WasiCtx>,
}

impl Sandbox {
    /// Prepares a run of the registry's function with that index, with this environment beside the granted one.
    ///
    /// # Errors
    /// When the environment is larger than a guest may have.
    pub fn new(
        registry: &Registry,
        function: usize,
        request: RequestId,
        variables: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<Sandbox, Failure> {
        let deployed = &registry.functions()[function];
        // One byte beyond the limit tells an output that is too long from one that just fits.
        let stdout = Output::Buffer {
            limit: deployed.config().response_bytes + 1,
        };
        let stderr = Output::Buffer { limit: STDERR_BUFFER };
        let mut context = deployed
            .template()
            .instantiate(Input::Bytes(body), stdout, stderr);
        if !variables.is_empty() {
            context.extend_env(variables).map_err(|_| Failure::HeadTooLong)?;
        }
        let state = State::Prepared(Box::new(context));
        Ok(Sandbox {
            registry: registry.clone(),
            function,
            request,
            state,
            pace: Pace::new(deployed.tier()),
            allowance: LogAllowance::default(),
        })
    }

    /// What the run wrote to stdout, or why it failed. A run that has not ended by itself was stopped: then the
    /// scheduler knows why, and this is `None`.
    #[must_use]
    pub fn into_outcome(mut self) -> Option<Result<Bytes, Failure>> {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Ended(outcome) => Some(outcome),
            State::Gone => Some(Err(Failure::Internal)),
            State::Prepared(_) => None,
            State::Starting(mut run) | State::Running(mut run) => {
                self.log_stderr(&mut run);
                None
            }
        }
    }

    fn function(&self) -> &Function {
        &self.registry.functions()[self.function]
    }

    /// Takes the state one step further, for at most one chunk of fuel.
    fn advance(&mut self, state: State) -> (State, Progress) {
        match state {
            State::Prepared(context) => match self.instantiate(*context) {
                Ok(state) => (state, Progress::More),
                Err(failure) => (State::Ended(Err(failure)), Progress::Done),
            },
            State::Starting(mut run) => match run.execution.resume(&mut run.store, self.pace.chunk) {
                luge_core::Step::Finished => match self.enter(run) {
                    Ok(state) => (state, Progress::More),
                    Err(failure) => (State::Ended(Err(failure)), Progress::Done),
                },
                step => self.after(step, run, State::Starting),
            },
            State::Running(mut run) => {
                let step = run.execution.resume(&mut run.store, self.pace.chunk);
                self.after(step, run, State::Running)
            }
            State::Ended(_) | State::Gone => (state, Progress::Done),
        }
    }

    fn instantiate(&self, context: WasiCtx) -> Result<State, Failure> {
        let function = self.function();
        let mut store = Store::new(function.engine(), function.limits(), context);
        let instance = function
            .linked()
            .instantiate(&mut store)
            .map_err(|error| match error {
                InstantiateError::Trap(report) => Failure::Trap(report),
                InstantiateError::Exit(code) => Failure::Exit(code),
                other => Failure::Instantiate(other.to_string()),
            })?;
        let (start, is_start) = match instance.start(&store) {
            Some(start) => (start, true),
            None => (instance.func(&store, "_start").ok_or(Failure::Internal)?, false),
        };
        let execution = Execution::new(&mut store, start, &[]).map_err(|_| Failure::Internal)?;
        let run = Box::new(Run {
            execution,
            instance,
            store,
        });
        Ok(if is_start {
            State::Starting(run)
        } else {
            State::Running(run)
        })
    }

    /// From the module's start function, which has finished, to `_start`.
    fn enter(&self, mut run: Box<Run>) -> Result<State, Failure> {
        let main = run.instance.func(&run.store, "_start").ok_or(Failure::Internal)?;
        run.execution = Execution::new(&mut run.store, main, &[]).map_err(|_| Failure::Internal)?;
        Ok(State::Running(run))
    }

    fn after(
        &mut self,
        step: luge_core::Step,
        mut run: Box<Run>,
        same: fn(Box<Run>) -> State,
    ) -> (State, Progress) {
        let limit = self.function().config().response_bytes;
        let context = run.store.data();
        let outcome = match step {
            // Looked at first: a guest that finds its output full may exit with any code.
            _ if context.stdout().len() > limit => Err(Failure::OutputTooLong { limit }),
            luge_core::Step::Preempted | luge_core::Step::Blocked { .. } => {
                if context.stderr().len() >= STDERR_FLUSH {
                    self.log_stderr(&mut run);
                }
                let progress = match step {
                    luge_core::Step::Blocked { until } => Progress::Blocked(until),
                    _ => Progress::More,
                };
                return (same(run), progress);
            }
            luge_core::Step::Finished | luge_core::Step::Exited(0) => {
                Ok(Bytes::from(run.store.data_mut().take_stdout()))
            }
            luge_core::Step::Exited(code) => Err(Failure::Exit(code)),
            luge_core::Step::Trapped(report) => Err(Failure::Trap(report)),
        };
        self.log_stderr(&mut run);
        (State::Ended(outcome), Progress::Done)
    }

    /// Moves what the guest wrote to stderr into the log, line by line.
    fn log_stderr(&mut self, run: &mut Run) {
        let text = run.store.data_mut().take_stderr();
        let function = self.registry.functions()[self.function].config().name.as_str();
        let request = self.request;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = &line[..line.len().min(STDERR_LINE_MAX)];
            match self.allowance.admit(line) {
                Admit::Line => {
                    let line = String::from_utf8_lossy(line);
                    tracing::info!(function, %request, stderr = %line.escape_debug(), "guest wrote");
                }
                Admit::LastWords => {
                    tracing::info!(function, %request, "guest wrote more to stderr; dropped");
                    return;
                }
                Admit::Nothing => return,
            }
        }
    }
}

/// How much fuel a run gets between two looks at the clock.
///
/// What a unit of fuel takes differs a thousandfold. The interpreter needs about two nanoseconds for an operator. Machine
/// code does twenty in one where locals are in registers, and it pays in advance for branches that it then does not take;
/// where each load misses the caches it needs twenty nanoseconds for one. So the size is found for each run, from how
/// long its chunks take.
#[derive(Debug)]
struct Pace {
    chunk: u64,
}

impl Pace {
    /// What a chunk should take: long against the tens of nanoseconds that leaving the guest, the look and the way back
    /// cost, and short against the slice.
    const GOAL: Duration = Duration::from_micros(20);
    const LEAST: u64 = 1024;
    /// Bounds the time by which a guest can be late that turns from the quickest code to the slowest.
    const MOST: u64 = 512 * 1024;

    /// The pace of a run that nothing is known of.
    fn new(tier: Tier) -> Pace {
        let chunk = match tier {
            Tier::Interp => 16 * 1024,
            Tier::Baseline => 64 * 1024,
        };
        Pace { chunk }
    }

    /// After a chunk that took so long.
    fn learn(&mut self, took: Duration) {
        if took < Self::GOAL / 2 {
            self.chunk = (self.chunk * 2).min(Self::MOST);
        } else if took > Self::GOAL * 2 {
            self.chunk = (self.chunk / 4).max(Self::LEAST);
        }
    }
}

/// What one run may still bring into the log.
#[derive(Debug)]
struct LogAllowance {
    bytes: usize,
    lines: usize,
    exceeded: bool,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Admit {
    Line,
    /// Neither this nor a later line is logged, and the log is to say so.
    LastWords,
    Nothing,
}

impl Default for LogAllowance {
    fn default() -> Self {
        Self {
            bytes: STDERR_MAX,
            lines: STDERR_LINES_MAX,
            exceeded: false,
        }
    }
}

impl LogAllowance {
    fn admit(&mut self, line: &[u8]) -> Admit {
        if self.exceeded {
            return Admit::Nothing;
        }
        if self.lines == 0 || self.bytes < line.len() {
            self.exceeded = true;
            return Admit::LastWords;
        }
        self.lines -= 1;
        self.bytes -= line.len();
        Admit::Line
    }
}

enum Progress {
    More,
    Blocked(Instant),
    Done,
}

impl Task for Sandbox {
    fn run(&mut self, until: Instant) -> luge_shards::Step {
        let mut before = Instant::now();
        loop {
            // Moved out and in: after a panic of the engine the scheduler finds nothing half-done here.
            let state = std::mem::replace(&mut self.state, State::Gone);
            let (state, progress) = self.advance(state);
            self.state = state;
            match progress {
                Progress::Done => return luge_shards::Step::Done,
                Progress::Blocked(until) => return luge_shards::Step::Blocked { until },
                Progress::More => {
                    let now = Instant::now();
                    // Making the instance counts too, which costs a run the right size of its first chunk at most.
                    self.pace.learn(now.saturating_duration_since(before));
                    if now >= until {
                        return luge_shards::Step::Preempted;
                    }
                    before = now;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_and_shrink_to_what_they_should_take() {
        for tier in Tier::ALL {
            for unit_ns in [0.02, 0.5, 2.0, 20.0] {
                let mut pace = Pace::new(tier);
                let took = |pace: &Pace| Duration::from_secs_f64(pace.chunk as f64 * unit_ns / 1e9);
                for _ in 0..8 {
                    pace.learn(took(&pace));
                }
                let took = took(&pace);
                assert!(
                    (Pace::GOAL / 2..=Pace::GOAL * 2).contains(&took),
                    "{tier}, {unit_ns} ns: {took:?}"
                );
            }
        }
    }

    #[test]
    fn chunks_have_bounds() {
        let mut pace = Pace::new(Tier::Baseline);
        for _ in 0..100 {
            pace.learn(Duration::ZERO);
        }
        assert_eq!(pace.chunk, Pace::MOST);
        for _ in 0..100 {
            pace.learn(Duration::from_secs(1));
        }
        assert_eq!(pace.chunk, Pace::LEAST);
    }

    #[test]
    fn a_run_brings_a_bounded_number_of_lines_into_the_log() {
        let mut allowance = LogAllowance::default();
        for _ in 0..STDERR_LINES_MAX {
            assert_eq!(allowance.admit(b"y"), Admit::Line);
        }
        assert_eq!(allowance.admit(b"y"), Admit::LastWords, "said once");
        assert_eq!(allowance.admit(b"y"), Admit::Nothing);
    }

    #[test]
    fn a_run_brings_a_bounded_number_of_bytes_into_the_log() {
        let mut allowance = LogAllowance::default();
        for _ in 0..STDERR_MAX / STDERR_LINE_MAX {
            assert_eq!(allowance.admit(&[b'x'; STDERR_LINE_MAX]), Admit::Line);
        }
        assert_eq!(allowance.admit(b"y"), Admit::LastWords);
    }
}
