//! The signal that makes a thread leave its guest, wherever it stands.
//!
//! ```text
//!   timer, doorbell, interrupter ──► SIGURG ──► handler, on the thread's alternate stack
//!                                                 │ where was the thread?
//!      in generated code ◄────────────────────────┼──► between the mark's test and the guest: back to the host,
//!        all registers to the guest's stack,      │    the run is as it was (`TurnedBack`)
//!        on to the host (`Interrupted`)           └──► anywhere else: sets the thread's mark
//! ```
//!
//! **Why none is lost.** A thread has one mark, and the way in ([`switch::enter`], [`switch::resume`]) tests it last of
//! all that it does on the host's side, by one `cmp`. A signal is handled between two instructions:
//!
//! 1. Before that `cmp`, or after the guest has left (by a stub of [`switch`] that is not [`Stubs::is_entering`], or by
//!    [`switch::landing`]): the mark is set, and whoever tests it next finds it. Nothing but [`take_mark`] clears it, which is
//!    called only by those who then give the thread back to the embedder, or by the embedder himself before he looks
//!    what there is to do. So the next guest is not entered before the embedder has looked.
//! 2. From behind the `cmp` to the guest's next instruction: the thread is turned back, and the embedder gets it.
//! 3. In the guest: the guest leaves, and the embedder gets the thread.
//!
//! The bounds of 2 are labels in the stubs: the first lies right behind the `cmp`, the second where the thread comes back from
//! the guest. Each address of the text belongs to exactly one of the three. That a run is current ([`signals::current`]) is said
//! before the stub is called and taken back after it has returned; both in 1, where nobody asks.
//!
//! The handler makes no system call, takes no lock, allocates nothing, and leaves no frame behind: it returns at once, in
//! the cases 2 and 3 to the host's side. So the thread's signal mask is its own again before the embedder sees the run, and a
//! run can be dropped as it stands. While the handler of a fault runs the signal is blocked; it comes when that has decided.

use super::signals::{self, check};
use super::switch::{self, Stubs};
use super::{code, run::Left};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The signal of doorbells and interrupters. A process that does not ask for it ignores it, so that one that comes late harms
/// nobody. It is none of the real-time ones, of which a full queue loses some, and sends SIGIO for others, which kills.
const SIGNAL: c_int = libc::SIGURG;
/// The signal of the timer: another one, so that a thread can be [deaf](set_deaf) to what arrives and is still asked for when it
/// has computed for long. It comes only while there is a timer, and the handler was there before.
const TIMER_SIGNAL: c_int = libc::SIGVTALRM;
/// Both, for the handlers of faults to block.
pub(super) const SIGNALS: [c_int; 2] = [SIGNAL, TIMER_SIGNAL];

/// What the handler needs to know, written before it is installed.
static INSTALLED: OnceLock<Installed> = OnceLock::new();

#[derive(Debug)]
struct Installed {
    stubs: Stubs,
    /// What handled the signals before us, in the order of [`SIGNALS`].
    previous: [libc::sigaction; 2],
}

thread_local! {
    /// Not 0: somebody has asked for this thread while it was at the host's side.
    static MARK: AtomicU32 = const { AtomicU32::new(0) };
    /// Whether signals to this thread mean us.
    static ENABLED: Cell<bool> = const { Cell::new(false) };
    static COUNTS: [AtomicU64; 4] = const { [const { AtomicU64::new(0) }; 4] };
}

/// Indices of `COUNTS`.
const CAME: usize = 0;
const SUSPENDED: usize = 1;
const TURNED_BACK: usize = 2;
const MARKED: usize = 3;

/// How many signals this thread has had, and of these: suspended a guest, turned back at the door, set the mark.
pub(crate) fn counts() -> [u64; 4] {
    COUNTS.with(|counts| counts.each_ref().map(|count| count.load(Ordering::Relaxed)))
}

/// Whether signals reach this thread.
pub(crate) fn is_enabled() -> bool {
    ENABLED.get()
}

/// Clears the thread's mark. `true` if it was set: then the caller has to let the embedder have the thread.
///
/// A signal between the two accesses is forgotten, but only where the mark was set anyway, and then the caller lets the
/// embedder look afterwards.
pub(crate) fn take_mark() -> bool {
    MARK.with(|mark| {
        let marked = mark.load(Ordering::Relaxed) != 0;
        if marked {
            mark.store(0, Ordering::Relaxed);
        }
        marked
    })
}

/// Where the stubs find the mark. The address is good for as long as the thread.
pub(super) fn mark_address() -> usize {
    MARK.with(AtomicU32::as_ptr).expose_provenance()
}

/// Lets signals reach this thread. Gives whether the signal was blocked before.
///
/// # Errors
/// `AlreadyExists` where they do already; what the system says where handlers or stacks for them cannot be had.
pub(crate) fn enable() -> io::Result<bool> {
    if ENABLED.get() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "preemption is enabled on this thread: keep what enabled it and use that",
        ));
    }
    install()?;
    signals::prepare_thread()?;
    take_mark();
    ENABLED.set(true);
    let blocked = set_blocked(false);
    if blocked.is_err() {
        ENABLED.set(false);
    }
    blocked
}

/// Takes back what [`enable`] has done to this thread.
pub(crate) fn disable(was_blocked: bool) {
    ENABLED.set(false);
    take_mark();
    // As it was, even if the thread is deaf. It cannot fail: the signals are some, and the set is ours.
    let _ = set_blocked(was_blocked);
}

/// Blocks the signals for this thread or lets them through; gives whether that of doorbells was blocked before.
fn set_blocked(blocked: bool) -> io::Result<bool> {
    mask(&SIGNALS, blocked)
}

/// Lets doorbells and interrupters wait until the thread is not deaf any more, or lets them through again. What has rung
/// meanwhile rings then, once.
pub(crate) fn set_deaf(deaf: bool) {
    if ENABLED.get() {
        // It cannot fail: the signal is one, and the set is ours.
        let _ = mask(&[SIGNAL], deaf);
    }
}

/// Takes what has rung while the thread was deaf.
pub(crate) fn take_rung() -> bool {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let Ok(set) = set_of(&[SIGNAL]) else {
        return false;
    };
    // SAFETY: set and time are ours, and nothing is asked of what the signal brings.
    unsafe { libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const time) == SIGNAL }
}

fn set_of(signals: &[c_int]) -> io::Result<libc::sigset_t> {
    // SAFETY: zero is an empty set.
    let mut set: libc::sigset_t = unsafe { MaybeUninit::zeroed().assume_init() };
    for &signal in signals {
        // SAFETY: the set is ours.
        check(unsafe { libc::sigaddset(&raw mut set, signal) })?;
    }
    Ok(set)
}

fn mask(signals: &[c_int], blocked: bool) -> io::Result<bool> {
    let set = set_of(signals)?;
    let mut before = set_of(&[])?;
    let how = if blocked {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    // SAFETY: both sets are ours; the second is written by the system.
    let error = unsafe { libc::pthread_sigmask(how, &raw const set, &raw mut before) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: the set is ours.
    Ok(unsafe { libc::sigismember(&raw const before, SIGNAL) } == 1)
}

/// Installs the handler, once for the process.
fn install() -> io::Result<()> {
    static LOCK: Mutex<bool> = Mutex::new(false);
    let mut installed = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    // SAFETY: zero is a valid value of the plain struct.
    let none: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut previous = [none; 2];
    for (signal, previous) in SIGNALS.into_iter().zip(&mut previous) {
        // SAFETY: a null action only asks; the answer goes to memory of the right type.
        check(unsafe { libc::sigaction(signal, ptr::null(), previous) })?;
    }
    INSTALLED.get_or_init(|| Installed {
        stubs: Stubs::find(),
        previous,
    });
    let mut action = none;
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = handle;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // One at a time: the second waits for the first to have decided.
    action.sa_mask = set_of(&SIGNALS)?;
    for signal in SIGNALS {
        // SAFETY: `handle` is a handler of the kind that SA_SIGINFO says, and does only what a handler may.
        check(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    }
    *installed = true;
    Ok(())
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(Installed { stubs, previous }) = INSTALLED.get() else {
        return;
    };
    pass_on(
        &previous[usize::from(signal == TIMER_SIGNAL)],
        signal,
        info,
        context,
    );
    if !ENABLED.get() {
        return;
    }
    count(CAME);
    let record = signals::current();
    if !record.is_null() {
        // SAFETY: with SA_SIGINFO the third argument is a ucontext_t, which nobody else refers to while we run.
        let interrupted = unsafe { &mut *context.cast::<libc::ucontext_t>() };
        let (pc, _) = switch::interrupted(interrupted);
        let guest = code::contains(pc) || stubs.is_guest(pc);
        if guest || stubs.is_entering(pc) {
            // SAFETY: the record belongs to the `enter` or `resume` that this thread is in, so it is alive, and the guest and
            // its stubs, which alone use it meanwhile, are stopped.
            let record = unsafe { &mut *record };
            if !guest {
                count(TURNED_BACK);
                switch::redirect(interrupted, record, Left::TurnedBack);
                return;
            }
            // SAFETY: the guest is that of the record, and was stopped there.
            if unsafe { switch::suspend(interrupted, record) } {
                count(SUSPENDED);
                return;
            }
        }
    }
    count(MARKED);
    MARK.with(|mark| mark.store(1, Ordering::Relaxed));
}

/// One more; only this thread and its handler write.
fn count(index: usize) {
    COUNTS.with(|counts| {
        let count = &counts[index];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    });
}

/// Calls the handler that was there before us, if there was one.
fn pass_on(previous: &libc::sigaction, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    match previous.sa_sigaction {
        // Nobody else has asked for it.
        libc::SIG_DFL | libc::SIG_IGN => {}
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: whoever installed the address with SA_SIGINFO said that it is such a function.
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: whoever installed the address without SA_SIGINFO said that it is such a function.
            let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}

/// A thread's number, for [`send`].
pub(crate) fn this_thread() -> i32 {
    // SAFETY: it only asks.
    unsafe { libc::gettid() }
}

/// Sends the signal to a thread of this process. `false` where there is none of this number.
pub(crate) fn send(thread: i32) -> bool {
    // SAFETY: it only asks.
    let process = unsafe { libc::getpid() };
    // SAFETY: the system looks whether the thread is there and of this process.
    unsafe { libc::tgkill(process, thread, SIGNAL) == 0 }
}

/// A timer on the CPU time of the thread that made it, which signals that thread.
#[derive(Debug)]
pub(crate) struct Timer(libc::timer_t);

impl Timer {
    /// Begins to count; signals each time that the thread has run for `period` more.
    ///
    /// # Errors
    /// `InvalidInput` for a period of zero, or one too long; what the system says where it has no timers.
    pub(crate) fn new(period: Duration) -> io::Result<Self> {
        let seconds = libc::time_t::try_from(period.as_secs());
        let (false, Ok(tv_sec)) = (period.is_zero(), seconds) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a timer's period is more than zero, and of so many seconds as a time can have",
            ));
        };
        let period = libc::timespec {
            tv_sec,
            tv_nsec: period.subsec_nanos().into(),
        };
        let mut timer = MaybeUninit::<libc::timer_t>::zeroed();
        // SAFETY: zero is a valid value of the plain struct.
        let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = TIMER_SIGNAL;
        event.sigev_notify_thread_id = this_thread();
        let clock = libc::CLOCK_THREAD_CPUTIME_ID;
        // SAFETY: the event says all that its kind needs, and the timer's number goes to memory of the right type.
        check(unsafe { libc::timer_create(clock, &raw mut event, timer.as_mut_ptr()) })?;
        // SAFETY: written by the system.
        let timer = Self(unsafe { timer.assume_init() });
        let times = libc::itimerspec {
            it_interval: period,
            it_value: period,
        };
        // SAFETY: the timer is ours, and the times are valid.
        check(unsafe { libc::timer_settime(timer.0, 0, &raw const times, ptr::null_mut()) })?;
        Ok(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer is ours and not used any more.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// What `F_SETOWN_EX` takes, and says that a thread is meant.
#[repr(C)]
struct Owner {
    kind: c_int,
    id: libc::pid_t,
}

const F_SETSIG: c_int = 10;
const F_SETOWN_EX: c_int = 15;
const F_OWNER_TID: c_int = 0;

/// Lets whatever makes the file ready signal this thread.
///
/// # Errors
/// `Unsupported` for a file that cannot signal; what the system says.
pub(crate) fn watch(file: BorrowedFd<'_>) -> io::Result<()> {
    let fd = file.as_raw_fd();
    own(fd, this_thread())?;
    // SAFETY: the file is open, and the signal is one.
    let signal = unsafe { libc::fcntl(fd, F_SETSIG, SIGNAL) };
    let flags = check(signal).and_then(|()| set_async(fd, true));
    let async_now = match flags {
        // Some files take the flag and do nothing: then it does not stay.
        Ok(()) => get_flags(fd).map(|flags| flags & libc::O_ASYNC != 0),
        Err(error) => Err(error),
    };
    if let Ok(true) = async_now {
        return Ok(());
    }
    unwatch(file);
    async_now?;
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "a file of this kind cannot signal that it is ready: sockets, pipes and terminals can",
    ))
}

/// As [`watch`], for a file that signals until it is closed and is known to be of a kind that can.
///
/// # Errors
/// What the system says.
pub(crate) fn watch_for_ever(file: BorrowedFd<'_>) -> io::Result<()> {
    let fd = file.as_raw_fd();
    own(fd, this_thread())?;
    // SAFETY: the file is open, and the signal is one.
    check(unsafe { libc::fcntl(fd, F_SETSIG, SIGNAL) })?;
    let on: c_int = 1;
    // SAFETY: the file is open, and the third argument is what this request reads.
    check(unsafe { libc::ioctl(fd, libc::FIOASYNC, &raw const on) })
}

/// Takes [`watch`] back.
pub(crate) fn unwatch(file: BorrowedFd<'_>) {
    let fd = file.as_raw_fd();
    // None of these can fail on an open file that has been watched; if one did, a signal too many would come.
    let _ = set_async(fd, false);
    // SAFETY: the file is open; 0 is what there was at first.
    let _ = unsafe { libc::fcntl(fd, F_SETSIG, 0) };
    let _ = own(fd, 0);
}

/// Makes a thread of this process, or 0 for nobody, the one that a file signals.
fn own(fd: RawFd, id: libc::pid_t) -> io::Result<()> {
    let owner = Owner {
        kind: F_OWNER_TID,
        id,
    };
    // SAFETY: the file is open, and the third argument is what this command takes.
    check(unsafe { libc::fcntl(fd, F_SETOWN_EX, &raw const owner) })
}

fn get_flags(fd: RawFd) -> io::Result<c_int> {
    // SAFETY: it only asks.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(flags)
}

fn set_async(fd: RawFd, on: bool) -> io::Result<()> {
    let flags = get_flags(fd)?;
    let flags = if on {
        flags | libc::O_ASYNC
    } else {
        flags & !libc::O_ASYNC
    };
    // SAFETY: the file is open, and all other flags stay as they are.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags) })
}
