//! Preemption by signal: a thread gets its core back from a guest that has asked for nothing.
//!
//! ```text
//!   Backstop      the thread has computed for a while  ─┐
//!   Doorbell      something has arrived                 ├─ a signal ───► the guest leaves at its next instruction,
//!   Interrupter   another thread wants something       ─┘                Execution::resume gives Step::Preempted
//! ```
//!
//! Generated code pays nothing for this: nothing in it asks whether it should stop. A signal that finds the thread in a
//! guest's code keeps the registers where they are, on the guest's own stack, and [`Execution::resume`] returns. One that
//! finds it elsewhere sets the thread's *mark*, which is looked at on the way out of the engine's own work and before a guest is
//! entered: then `resume` returns at once. The interpreter looks at it every few microseconds. So after a signal no guest goes on
//! before the embedder has had the thread.
//!
//! The mark stays until `resume` has returned for it or [`take_request`] has taken it. A scheduler calls that just before it
//! looks at its queues: what comes later is not in what it has seen, and marks again.
//!
//! A run that was preempted in this way may stand between any two instructions of its code. It can wait for as long as it takes,
//! go on in another thread, or be dropped. Until it goes on its store must stay as it is where code may have looked: if an
//! instance or a table is added to it, or a table of it grows, which takes another run of the same store or the embedder,
//! the run ends with [`Trap::HostAborted`](crate::Trap::HostAborted).
//!
//! [`Execution::resume`]: crate::Execution::resume

use crate::vm::preempt::{self as signal, Timer};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// Preemption by signal on the thread that made this, and on no other; until this and all of its sources are gone.
///
/// ```
/// use luge_core::preempt::{Preemption, stats};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// # if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) { return Ok(()); }
/// let preemption = Preemption::enable()?;
/// let _backstop = preemption.backstop(Duration::from_millis(5))?;
/// assert!(preemption.interrupter().interrupt());
/// assert!(stats().signals >= 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "preemption ends when this is dropped"]
pub struct Preemption {
    thread: Rc<Thread>,
}

/// What is undone last. It stays in its thread, as everything that holds an `Rc` does.
#[derive(Debug)]
struct Thread {
    was_blocked: bool,
    /// The thread's number; 0 once nobody listens.
    number: Arc<AtomicI32>,
}

impl Preemption {
    /// Lets this thread be preempted. Takes the signals SIGURG and SIGVTALRM: handlers that were there before are called as
    /// well, for every one. Gives the thread a stack for signals where it has none that is large enough, and lets the signal through.
    ///
    /// # Errors
    /// `AlreadyExists` if the thread has one already (clone that one), `Unsupported` on anything but x86-64 Linux, and what
    /// the system says where it has no memory for a stack.
    pub fn enable() -> io::Result<Self> {
        let was_blocked = signal::enable()?;
        let number = Arc::new(AtomicI32::new(signal::this_thread()));
        Ok(Self {
            thread: Rc::new(Thread { was_blocked, number }),
        })
    }

    /// Asks for the thread each time that it has used `period` of CPU time, whatever it did: while it sleeps, nothing comes. The
    /// kernel looks at its ticks, so that the least period is some milliseconds (4 at 250 Hz).
    ///
    /// # Errors
    /// `InvalidInput` for a period of zero; `WouldBlock` where the process has as many timers as it may have signals pending
    /// (`RLIMIT_SIGPENDING`).
    pub fn backstop(&self, period: Duration) -> io::Result<Backstop> {
        Ok(Backstop {
            _timer: Timer::new(period)?,
            _thread: Rc::clone(&self.thread),
        })
    }

    /// Asks for the thread whenever something arrives at `file`, or room for what is to be sent: a socket, a pipe or a terminal.
    /// What was there before does not ring.
    ///
    /// Who is asked belongs to the open file, not to the descriptor: the file serves one doorbell, even if it was duplicated.
    ///
    /// # Errors
    /// `Unsupported` for files that cannot signal. Eventfds and timerfds are among them: whoever writes to one from within the
    /// process has an [`Interrupter`] instead.
    pub fn doorbell<F: AsFd>(&self, file: F) -> io::Result<Doorbell<F>> {
        signal::watch(file.as_fd())?;
        Ok(Doorbell {
            file,
            _thread: Rc::clone(&self.thread),
        })
    }

    /// As [`Preemption::doorbell`], for a file that rings until it is closed: nothing is taken back, and three system calls do.
    ///
    /// # Errors
    /// What the system says. Of a file that cannot signal it says nothing; such a file is silent.
    pub fn ring_for(&self, file: impl AsFd) -> io::Result<()> {
        signal::watch_for_ever(file.as_fd())
    }

    /// What other threads, or this one, ask for the thread with.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter {
            number: Arc::clone(&self.thread.number),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.number.store(0, Ordering::Relaxed);
        signal::disable(self.was_blocked);
    }
}

/// A timer on the thread's CPU time: see [`Preemption::backstop`]. Stops when it is dropped.
#[derive(Debug)]
#[must_use = "the timer stops when this is dropped"]
pub struct Backstop {
    _timer: Timer,
    _thread: Rc<Thread>,
}

/// A file that asks for the thread: see [`Preemption::doorbell`]. Falls silent when it is dropped.
#[derive(Debug)]
#[must_use = "the doorbell is silent once this is dropped"]
pub struct Doorbell<F: AsFd> {
    file: F,
    _thread: Rc<Thread>,
}

impl<F: AsFd> Doorbell<F> {
    /// The file.
    pub fn file(&self) -> &F {
        &self.file
    }
}

impl<F: AsFd> Drop for Doorbell<F> {
    fn drop(&mut self) {
        signal::unwatch(self.file.as_fd());
    }
}

/// Asks for the thread of a [`Preemption`], from any thread: see [`Preemption::interrupter`].
#[derive(Debug, Clone)]
pub struct Interrupter {
    number: Arc<AtomicI32>,
}

impl Interrupter {
    /// Asks. `false` where the thread is gone, or cannot be preempted any more; then nothing happens.
    ///
    /// Should the thread end just now and its number be given to another one of the process, that one is asked; it costs it a
    /// preemption, if it can be preempted at all.
    pub fn interrupt(&self) -> bool {
        let number = self.number.load(Ordering::Relaxed);
        number != 0 && signal::send(number)
    }
}

/// Takes the mark that a signal has left on this thread, if one has: to be called just before a scheduler looks what there is
/// to do. Without it, the next [`Execution::resume`](crate::Execution::resume) returns at once, with
/// [`Step::Preempted`](crate::Step::Preempted).
pub fn take_request() -> bool {
    signal::take_mark()
}

/// Makes this thread deaf to doorbells and interrupters, or not any more; a [`Backstop`] is heard in any case.
///
/// For as long as a thread does what is over in a moment, what arrives may wait: then it costs the sender less, and this thread
/// nothing. What has rung rings when the thread hears again, however often it was. Costs a system call; does nothing on a thread
/// without [`Preemption`].
pub fn set_deaf(deaf: bool) {
    signal::set_deaf(deaf);
}

/// Takes what has rung while this thread was [deaf](set_deaf): to be called just before a scheduler looks what there is to do.
/// Costs a system call.
pub fn take_rung() -> bool {
    signal::take_rung()
}

/// What signals have done to a thread since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Signals that came. Several that come at once are one.
    pub signals: u64,
    /// Of these, how many found a guest in its code and made it leave.
    pub suspended: u64,
    /// How many found the thread on its way to a guest, and turned it back.
    pub turned_back: u64,
    /// How many found it elsewhere, and left a mark.
    pub marked: u64,
}

/// The counts of this thread.
#[must_use]
pub fn stats() -> Stats {
    let [signals, suspended, turned_back, marked] = signal::counts();
    Stats {
        signals,
        suspended,
        turned_back,
        marked,
    }
}
