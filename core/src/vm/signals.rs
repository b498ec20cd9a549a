//! Faults of generated code, told apart from everybody else's.
//!
//! ```text
//!   fault ──► handler, on the thread's alternate stack
//!               │ a guest runs on this thread, and the address is generated code?
//!        yes ◄──┴──► no: the handler that was there before
//!         │
//!         └ notes in the run's record where and why, and lets the thread go on in `switch::landing`,
//!           which returns from `enter` or `resume`: what the fault means is found out there, in ordinary code
//! ```
//!
//! Before all that it looks whether what was touched is a page of a pooled memory that is only to be made accessible (see
//! `super::region`), by the guest or by the host.
//!
//! The handler takes no lock, allocates nothing and reads nothing but the record, two numbers and where pools are. A preemption that
//! comes meanwhile waits ([`super::preempt`] has a handler of its own).

use super::region::{self, Touch};
use super::run::{Left, RunRecord};
use super::{code, preempt, switch};
use rustix::mm::{MapFlags, ProtFlags};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The signals by which a processor tells of a fault.
const SIGNALS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];

/// Bytes of an alternate stack: room for a frame with all vector state, our handler, and Rust's own behind it.
const ALTERNATE: usize = 64 << 10;

/// What handled the signals before us, in the order of [`SIGNALS`].
static PREVIOUS: OnceLock<[libc::sigaction; 4]> = OnceLock::new();

thread_local! {
    /// The run whose guest is running on this thread now; null while the host runs.
    static CURRENT: Cell<*mut RunRecord> = const { Cell::new(ptr::null_mut()) };
    /// Keeps the thread's alternate stack, once it has been looked at.
    static PREPARED: Cell<Option<AlternateStack>> = const { Cell::new(None) };
    /// Whether it has been.
    static IS_PREPARED: Cell<bool> = const { Cell::new(false) };
}

/// Says for as long as it lives whose faults are the guest's. Made around each entry, by [`guest_runs`].
#[derive(Debug)]
pub(super) struct GuestRuns(());

/// Faults in generated code on this thread are `record`'s until the answer is dropped.
pub(super) fn guest_runs(record: *mut RunRecord) -> GuestRuns {
    CURRENT.set(record);
    GuestRuns(())
}

/// The run whose guest runs on this thread, or is about to; null while the host runs. Safe to ask in a signal handler.
pub(super) fn current() -> *mut RunRecord {
    CURRENT.get()
}

impl Drop for GuestRuns {
    fn drop(&mut self) {
        CURRENT.set(ptr::null_mut());
    }
}

/// Makes sure that the process has our handlers and the thread a stack for them.
///
/// # Errors
/// What the system says where either cannot be had.
pub(super) fn prepare_thread() -> io::Result<()> {
    if IS_PREPARED.get() {
        return Ok(());
    }
    install()?;
    let stack = AlternateStack::ensure()?;
    // While the thread ends there is nobody any more who would give the stack back: then it stays.
    let mut stack = Some(stack);
    let _ = PREPARED.try_with(|prepared| prepared.set(stack.take()));
    std::mem::forget(stack);
    IS_PREPARED.set(true);
    Ok(())
}

/// Installs the handlers, once for the process.
fn install() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    // Read first and written afterwards: the handler has to know its predecessors before it can be called.
    let mut previous = [const { MaybeUninit::<libc::sigaction>::zeroed() }; 4];
    for (&signal, previous) in SIGNALS.iter().zip(&mut previous) {
        // SAFETY: a null action only asks; the answer goes to memory of the right type.
        check(unsafe { libc::sigaction(signal, ptr::null(), previous.as_mut_ptr()) })?;
    }
    // SAFETY: all four have been written by the system, or are zero, which is a valid value of the plain struct.
    PREVIOUS.get_or_init(|| previous.map(|previous| unsafe { previous.assume_init() }));
    for signal in SIGNALS {
        // SAFETY: zero is a valid value of the plain struct.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = handle;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // A preemption waits until the thread is back on one side or the other.
        // SAFETY: the set is a valid one, being zero, and the signal exists.
        for preempts in preempt::SIGNALS {
            // SAFETY: the mask is part of the plain struct.
            check(unsafe { libc::sigaddset(&raw mut action.sa_mask, preempts) })?;
        }
        // SAFETY: `handle` is a handler of the kind that SA_SIGINFO says, and does only what a handler may.
        check(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    }
    *installed = true;
    Ok(())
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let record = CURRENT.get();
    // SAFETY: the system hands a handler with SA_SIGINFO both, for as long as it runs, and nobody else refers to them.
    let details = unsafe { &*info };
    if signal == libc::SIGSEGV && details.si_code > 0 {
        // SAFETY: the field is there for a SIGSEGV that the kernel tells of by itself.
        let address = unsafe { details.si_addr() } as usize;
        if region::touch(address) == Touch::Committed {
            return;
        }
    }
    // What another process or thread sends is no fault of the guest's, wherever it arrives.
    if !record.is_null() && details.si_code > 0 {
        // SAFETY: as above: with SA_SIGINFO the third argument is a ucontext_t.
        let interrupted = unsafe { &mut *context.cast::<libc::ucontext_t>() };
        let (pc, frame) = switch::interrupted(interrupted);
        if code::contains(pc) {
            // SAFETY: the record belongs to the `enter` or `resume` that this thread is in, so it is alive, and the guest,
            // which alone uses it meanwhile, is stopped.
            let record = unsafe { &mut *record };
            record.guest_pc = pc;
            record.guest_frame = frame;
            record.signal = signal;
            // SAFETY: the field is there for the signals of faults; for others it is some number, which is only shown.
            record.fault_address = unsafe { details.si_addr() } as usize;
            record.fault_rsp = if details.si_code == libc::SI_KERNEL {
                switch::stack_pointer(interrupted)
            } else {
                0
            };
            switch::redirect(interrupted, record, Left::Faulted);
            return;
        }
    }
    pass_on(signal, info, context);
}

/// Does what would have been done without us.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let index = SIGNALS.iter().position(|&ours| ours == signal);
    let previous = index.and_then(|index| PREVIOUS.get().map(|previous| &previous[index]));
    let Some(previous) = previous else { return };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: `info` is the system's, as in `handle`.
            let sent = unsafe { (*info).si_code } <= 0;
            if sent && previous.sa_sigaction == libc::SIG_IGN {
                return;
            }
            // SAFETY: gives the signal back to whom it was taken from. A fault happens again when we return, and ends
            // the process as it should.
            unsafe { libc::sigaction(signal, previous, ptr::null_mut()) };
            if sent {
                // SAFETY: allowed in a handler; it arrives when we return.
                unsafe { libc::raise(signal) };
            }
        }
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

/// A thread's alternate stack, if it is of our making; given back when the thread ends.
#[derive(Debug)]
struct AlternateStack {
    /// Null where the thread had one that is large enough.
    start: *mut c_void,
}

impl AlternateStack {
    /// Looks whether the thread has a stack that suffices, and gives it one if not.
    fn ensure() -> io::Result<Self> {
        if query()?.is_some_and(|stack| stack.ss_size >= ALTERNATE) {
            return Ok(Self {
                start: ptr::null_mut(),
            });
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping at an address of the kernel's choice replaces nothing.
        let start =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), ALTERNATE, access, MapFlags::PRIVATE) }?;
        let stack = libc::stack_t {
            ss_sp: start,
            ss_flags: 0,
            ss_size: ALTERNATE,
        };
        let ours = Self { start };
        // SAFETY: the mapping is writable and stays until `ours` is dropped, which takes it out of use first.
        check(unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) })?;
        Ok(ours)
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        if self.start.is_null() {
            return;
        }
        // Rust's own stack, which ours has replaced, is already gone when a thread's values are dropped.
        if matches!(query(), Ok(Some(stack)) if stack.ss_sp == self.start) {
            let none = libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: ALTERNATE,
            };
            // SAFETY: takes the thread's stack out of use; nothing runs on it, for we run on the ordinary one.
            unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) };
        }
        // What else is dropped with the thread may run a guest: it has to ask for a stack again.
        IS_PREPARED.set(false);
        // SAFETY: the mapping is ours and out of use.
        let _ = unsafe { rustix::mm::munmap(self.start, ALTERNATE) };
    }
}

/// The thread's alternate stack, if it has one.
fn query() -> io::Result<Option<libc::stack_t>> {
    let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: a null stack only asks; the answer goes to memory of the right type.
    check(unsafe { libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) })?;
    // SAFETY: written by the system.
    let stack = unsafe { stack.assume_init() };
    Ok((stack.ss_flags & libc::SS_DISABLE == 0).then_some(stack))
}

pub(super) fn check(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
