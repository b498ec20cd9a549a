//! One run of a function, as a task of the scheduler: the one place where engine and scheduler meet.
//!
//! ```text
//!            first slice             later slices
//!   Prepared ----------> Running ------------------> Ended(outcome)     its slot is in the pool again
//!   body, variables |    a slot of the pool     \--> Stopped            the scheduler knows why; the same
//!                   \--> Ended(failure)
//! ```
//! The scheduler gives a run a slice of time. Where signals preempt, the guest runs until the thread is asked for, and the slice
//! ends with that: the scheduler decides who goes on. Where code polls, the engine counts fuel: the sandbox runs it in small chunks,
//! whose size follows what they take, and looks at the clock between them. No slot is taken before the first slice, so a
//! request that waits in the queue costs its body and no memory, and everything happens on the shard that runs it.
//! The guest's context lies in the slot and stays there for the next run of the function, which makes it anew: so what the
//! scheduler moves about is a few words, and a run writes to nothing that another core writes to.
//!
//! The pool has a slot for each run that the scheduler starts. A run gives its slot back when it ends, before any other
//! can begin: at its own end in the slice itself, and when it is stopped by [`Task::stop`]. So a run that begins finds one.
//!
//! Nothing here knows how the engine leaves a run and takes it up again. The interpreter keeps the run on the heap; machine
//! code has a stack of its own, which stays as it is while the run waits, and which is used again as it is when the run is
//! stopped: no frame on it owns anything.
//!
//! Two lines of defence keep a guest's failure its own: every trap is a value, and should the engine itself panic, the
//! scheduler ends this task alone; its slot is thrown away, and the server goes on.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use luge_core::pool::{self, AcquireError};
use luge_core::wasi::{Environment, Input, Output, WasiCtx};
use luge_core::{InstantiateError, preempt};
use luge_shards::{Ending, Instant, Task};

use crate::engine::Tier;
use crate::error::Failure;
use crate::function::{Function, Registry};
use crate::inflight::RequestId;
use crate::preemption::PreemptionMode;
use crate::sandboxes::Sandboxes;

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
    sandboxes: Rc<Sandboxes>,
    function: usize,
    request: RequestId,
    state: State,
    pace: Pace,
    allowance: LogAllowance,
}

/// A run that has not begun and goes to another shard.
pub struct Departing {
    function: usize,
    request: RequestId,
    order: Order,
}

/// What a run begins with, beside what its function gives all of them.
struct Order {
    body: Bytes,
    /// Where it is not the function's alone.
    environment: Option<Environment>,
}

enum State {
    Prepared(Order),
    Running(Run),
    Ended(Result<Bytes, Failure>),
    /// The scheduler has ended it, and knows why.
    Stopped,
    /// The engine panicked, or the outcome was taken.
    Gone,
}

struct Run {
    sandbox: pool::Sandbox<WasiCtx>,
    /// Page faults of its slot before it began.
    faults: u64,
}

impl Sandbox {
    /// Prepares a run of the function with that index, with this environment if it is not the function's.
    #[must_use]
    pub fn new(
        sandboxes: &Rc<Sandboxes>,
        function: usize,
        request: RequestId,
        environment: Option<Environment>,
        body: Bytes,
    ) -> Sandbox {
        Self::prepared(sandboxes, function, request, Order { body, environment })
    }

    /// Takes a run that comes from another shard, of the same registry.
    #[must_use]
    pub fn arriving(sandboxes: &Rc<Sandboxes>, registry: &Registry, run: Departing) -> Sandbox {
        debug_assert!(
            std::ptr::eq(registry.functions(), sandboxes.registry().functions()),
            "the number of a function is that of one registry"
        );
        let Departing {
            function,
            request,
            order,
        } = run;
        Self::prepared(sandboxes, function, request, order)
    }

    fn prepared(sandboxes: &Rc<Sandboxes>, function: usize, request: RequestId, order: Order) -> Sandbox {
        let tier = sandboxes.registry().functions()[function].tier();
        Sandbox {
            sandboxes: Rc::clone(sandboxes),
            function,
            request,
            state: State::Prepared(order),
            pace: Pace::new(sandboxes.mode(), tier),
            allowance: LogAllowance::default(),
        }
    }

    /// Makes the run ready for another shard; nothing where it has begun.
    #[must_use]
    pub fn departing(self) -> Option<Departing> {
        let State::Prepared(order) = self.state else {
            return None;
        };
        Some(Departing {
            function: self.function,
            request: self.request,
            order,
        })
    }

    /// What the run wrote to stdout, or why it failed. A run that has not ended by itself was stopped: then the
    /// scheduler knows why, and this is `None`.
    #[must_use]
    pub fn into_outcome(mut self) -> Option<Result<Bytes, Failure>> {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Ended(outcome) => Some(outcome),
            State::Gone => Some(Err(Failure::Internal)),
            State::Prepared(_) | State::Running(_) | State::Stopped => None,
        }
    }

    fn function(&self) -> &Function {
        &self.sandboxes.registry().functions()[self.function]
    }

    /// Takes the state one step further, for at most one portion of fuel.
    fn advance(&mut self, state: State) -> (State, Progress) {
        let run = match state {
            State::Prepared(order) => self.begin(order),
            State::Running(run) => Ok(run),
            State::Ended(_) | State::Stopped | State::Gone => return (state, Progress::Done),
        };
        let stepped = run.and_then(|mut run| {
            let step = run
                .sandbox
                .resume(self.pace.fuel())
                .map_err(|error| Failure::Instantiate(error.to_string()))?;
            Ok((step, run))
        });
        match stepped {
            Ok((step, run)) => self.after(step, run),
            Err(failure) => (State::Ended(Err(failure)), Progress::Done),
        }
    }

    /// Takes a slot, and makes the context that lies there the guest's.
    fn begin(&self, order: Order) -> Result<Run, Failure> {
        let Order { body, environment } = order;
        let function = self.function();
        // One byte beyond the limit tells an output that is too long from one that just fits.
        let stdout = Output::Buffer {
            limit: function.config().response_bytes + 1,
        };
        let stderr = Output::Buffer { limit: STDERR_BUFFER };
        let renew = |kept: &mut Option<WasiCtx>| {
            let context = function
                .surroundings()
                .renew(kept, Input::Bytes(body), stdout, stderr);
            if let Some(environment) = environment {
                context.set_environment(environment);
            }
        };
        let pool = self.sandboxes.pool();
        let sandbox = pool
            .acquire_with(function.template(), renew, &[])
            .map_err(not_begun)?;
        let faults = sandbox.faults();
        Ok(Run { sandbox, faults })
    }

    fn after(&mut self, step: luge_core::Step, mut run: Run) -> (State, Progress) {
        let limit = self.function().config().response_bytes;
        let context = run.sandbox.data();
        let outcome = match step {
            // Looked at first: a guest that finds its output full may exit with any code.
            _ if context.stdout().len() > limit => Err(Failure::OutputTooLong { limit }),
            luge_core::Step::Preempted | luge_core::Step::Blocked { .. } => {
                if context.stderr().len() >= STDERR_FLUSH {
                    let text = run.sandbox.data_mut().take_stderr();
                    self.log_stderr(&text);
                }
                let progress = match step {
                    luge_core::Step::Blocked { until } => Progress::Blocked(until.into()),
                    _ => Progress::More,
                };
                return (State::Running(run), progress);
            }
            luge_core::Step::Finished | luge_core::Step::Exited(0) => {
                Ok(run.sandbox.data_mut().take_stdout_bytes())
            }
            luge_core::Step::Exited(code) => Err(Failure::Exit(code)),
            luge_core::Step::Trapped(report) => Err(Failure::Trap(report)),
        };
        self.end(run);
        (State::Ended(outcome), Progress::Done)
    }

    /// Ends a run where it stands, and gives its slot back.
    fn end(&mut self, run: Run) {
        let Run { sandbox, faults } = run;
        let page_faults = &self.sandboxes.metrics().page_faults;
        page_faults.add(sandbox.faults().saturating_sub(faults));
        if !sandbox.data().stderr().is_empty() {
            self.log_stderr(sandbox.data().stderr());
        }
        sandbox.retire(WasiCtx::clear);
    }

    /// Writes what the guest wrote to stderr into the log, line by line.
    fn log_stderr(&mut self, text: &[u8]) {
        let functions = self.sandboxes.registry().functions();
        let function = functions[self.function].config().name.as_str();
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
/// Where code polls, what a unit of fuel takes differs a thousandfold. The interpreter needs about two nanoseconds for an
/// operator. Machine code does twenty in one where locals are in registers, and it pays in advance for branches that it then
/// does not take; where each load misses the caches it needs twenty nanoseconds for one. So the size is found for each run,
/// from how long its chunks take.
#[derive(Debug)]
enum Pace {
    /// A signal brings the run back. Machine code counts nothing then, but calls of the host still cost fuel, and so a run that
    /// writes much comes back before its buffers are full.
    Signals,
    /// Nothing but fuel does.
    Polls { chunk: u64 },
}

impl Pace {
    /// What a chunk should take: long against the tens of nanoseconds that leaving the guest, the look and the way back
    /// cost, and short against the slice.
    const GOAL: Duration = Duration::from_micros(20);
    const LEAST: u64 = 1024;
    /// Bounds the time by which a guest can be late that turns from the quickest code to the slowest.
    const MOST: u64 = 512 * 1024;
    /// About a hundred microseconds of the interpreter, to which a look at the clock is nothing.
    const OF_SIGNALS: u64 = 64 * 1024;

    /// The pace of a run that nothing is known of.
    fn new(mode: PreemptionMode, tier: Tier) -> Pace {
        match (mode, tier) {
            (PreemptionMode::Signals | PreemptionMode::Off, _) => Pace::Signals,
            (PreemptionMode::Polls, Tier::Interp) => Pace::Polls { chunk: 16 * 1024 },
            (PreemptionMode::Polls, Tier::Baseline) => Pace::Polls { chunk: 64 * 1024 },
        }
    }

    fn fuel(&self) -> u64 {
        match self {
            Self::Signals => Self::OF_SIGNALS,
            Self::Polls { chunk } => *chunk,
        }
    }

    /// After a chunk that took so long.
    fn learn(&mut self, took: Duration) {
        let Self::Polls { chunk } = self else { return };
        if took < Self::GOAL / 2 {
            *chunk = (*chunk * 2).min(Self::MOST);
        } else if took > Self::GOAL * 2 {
            *chunk = (*chunk / 4).max(Self::LEAST);
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
    fn run(&mut self, slice: luge_shards::Slice) -> luge_shards::Step {
        let step = match self.pace {
            Pace::Signals => self.run_attentively(slice),
            Pace::Polls { .. } => self.run_by_chunks(slice.until),
        };
        self.sandboxes.publish();
        step
    }

    fn stop(&mut self, _ending: Ending) {
        if let State::Running(run) = std::mem::replace(&mut self.state, State::Stopped) {
            self.end(run);
            self.sandboxes.publish();
        }
    }
}

/// Why a run could not begin.
fn not_begun(error: AcquireError) -> Failure {
    match error {
        AcquireError::Instantiate(InstantiateError::Trap(report)) => Failure::Trap(report),
        AcquireError::Instantiate(InstantiateError::Exit(code)) => Failure::Exit(code),
        AcquireError::Full { .. } => {
            tracing::error!(%error, "the scheduler has started more runs than it may");
            Failure::Internal
        }
        other => Failure::Instantiate(other.to_string()),
    }
}

impl Sandbox {
    /// Runs until the guest ends, waits, or a signal brings it back; what to do then is the scheduler's to decide. A run that
    /// is expected to be over in a moment is not disturbed by what arrives.
    fn run_attentively(&mut self, slice: luge_shards::Slice) -> luge_shards::Step {
        // What the timer has asked before is answered: the scheduler has just looked, and decided for this run.
        preempt::take_request();
        let _attentive = (!slice.undisturbed).then(Attentive::begin);
        match self.step() {
            Progress::Done => luge_shards::Step::Done,
            Progress::Blocked(until) => luge_shards::Step::Blocked { until },
            Progress::More => luge_shards::Step::Preempted,
        }
    }

    /// Runs chunk after chunk until the guest ends, waits, or the slice is over.
    fn run_by_chunks(&mut self, until: Instant) -> luge_shards::Step {
        let mut before = Instant::now();
        loop {
            match self.step() {
                Progress::Done => return luge_shards::Step::Done,
                Progress::Blocked(until) => return luge_shards::Step::Blocked { until },
                Progress::More => {
                    let now = Instant::now();
                    // Taking the slot counts too, which costs a run the right size of its first chunk at most.
                    self.pace.learn(now.saturating_duration_since(before));
                    before = now;
                    if now >= until {
                        return luge_shards::Step::Preempted;
                    }
                }
            }
        }
    }

    fn step(&mut self) -> Progress {
        // Moved out and in: after a panic of the engine the scheduler finds nothing half-done here.
        let state = std::mem::replace(&mut self.state, State::Gone);
        let (state, progress) = self.advance(state);
        self.state = state;
        progress
    }
}

/// As long as this lives, the thread hears what arrives.
struct Attentive;

impl Attentive {
    fn begin() -> Attentive {
        preempt::set_deaf(false);
        Attentive
    }
}

impl Drop for Attentive {
    fn drop(&mut self) {
        preempt::set_deaf(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_and_shrink_to_what_they_should_take() {
        for tier in Tier::ALL {
            for unit_ns in [0.02, 0.5, 2.0, 20.0] {
                let mut pace = Pace::new(PreemptionMode::Polls, tier);
                let took = |pace: &Pace| Duration::from_secs_f64(pace.fuel() as f64 * unit_ns / 1e9);
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
        let mut pace = Pace::new(PreemptionMode::Polls, Tier::Baseline);
        for _ in 0..100 {
            pace.learn(Duration::ZERO);
        }
        assert_eq!(pace.fuel(), Pace::MOST);
        for _ in 0..100 {
            pace.learn(Duration::from_secs(1));
        }
        assert_eq!(pace.fuel(), Pace::LEAST);
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
