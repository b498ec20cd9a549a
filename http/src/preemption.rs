//! How a run is made to give its core back, and what that takes of a shard's thread.
//!
//! ```text
//!   signals   what arrives for the shard asks for its thread, and so does a timer on the thread's CPU time: the guest
//!             leaves at its next instruction, the code does not know of it
//!   polls     the code counts fuel at loops and calls, and comes back when it is used up: everywhere, and slower
//!   off       as signals (or polls, where those are missing), but only to end runs at their limits: the scheduler
//!             lets one that has begun go on
//! ```

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use luge_core::preempt::{self, Backstop, Preemption};
use luge_shards::{Doorbell, Interrupt};

/// CPU time after which a shard's thread is asked for. The kernel looks at such timers when its clock ticks, most often
/// each 4 ms.
const BACKSTOP: Duration = Duration::from_millis(4);

/// How runs are made to give their core back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PreemptionMode {
    /// By a signal, at any instruction
    #[default]
    Signals,
    /// By counting, at loops and calls: for machines without the other, and for measurements
    Polls,
    /// Not for other runs, only at its own deadline or budget: for measurements
    Off,
}

impl PreemptionMode {
    /// The name in manifests, flags and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Signals => "signals",
            Self::Polls => "polls",
            Self::Off => "off",
        }
    }

    /// Whether machine code has to count fuel.
    #[must_use]
    pub fn counts_fuel(self) -> bool {
        self == Self::Polls
    }

    /// This mode, or polls with the reason, where this machine has no preemption by signal.
    #[must_use]
    pub fn or_polls(self) -> (PreemptionMode, Option<io::Error>) {
        if self == Self::Polls {
            return (self, None);
        }
        match Preemption::enable() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => (Self::Polls, Some(error)),
            // What else could be in the way is told by the shard that it is in the way of.
            _ => (self, None),
        }
    }

    /// Lets this thread be preempted in this way, until what is given is dropped.
    ///
    /// # Errors
    /// What the system says where it has no stack for signals, or no timer.
    pub fn begin(self) -> io::Result<Preempted> {
        Ok(Preempted(match self {
            Self::Polls => None,
            Self::Signals | Self::Off => {
                let preemption = Preemption::enable()?;
                let backstop = preemption.backstop(BACKSTOP)?;
                // Until a guest runs that is worth disturbing.
                preempt::set_deaf(true);
                Some((backstop, preemption))
            }
        }))
    }
}

impl fmt::Display for PreemptionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What preempts the guests of a thread; nothing where they come back by themselves.
#[derive(Debug)]
#[must_use = "guests are not preempted any more once this is dropped"]
pub struct Preempted(Option<(Backstop, Preemption)>);

impl Preempted {
    /// Lets arrivals at a shard's sockets interrupt its guests. Nothing where guests come back by themselves.
    #[must_use]
    pub fn doorbell(&self) -> Option<Rc<dyn Doorbell>> {
        let (_, preemption) = self.0.as_ref()?;
        Some(Rc::new(SocketBell(preemption.clone())))
    }
}

/// Sockets that signal.
#[derive(Debug)]
struct SocketBell(Preemption);

impl Doorbell for SocketBell {
    fn hush(&self) {
        preempt::take_rung();
    }

    fn watch(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.0.ring_for(socket)
    }

    fn interrupt(&self) -> Interrupt {
        let interrupter = self.0.interrupter();
        Arc::new(move || {
            interrupter.interrupt();
        })
    }
}
