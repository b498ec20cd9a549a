//! Who wants to know where machine code lies: profilers and debuggers, which cannot read it off a file.
//!
//! The engine tells a [`CodeObserver`] of each module's code when it has been published and before it goes. What observers
//! do with it (write a map for `perf`, register it with a debugger) is theirs: the engine knows of no files.

pub use crate::vm::debugger::Debugger;
pub use crate::vm::marker::FileMarker;

use rustix::time::{ClockId, clock_gettime};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// Is told of machine code.
pub trait CodeObserver: Debug + Send + Sync {
    /// Code lies at its address and can be run from now on. Called on the thread that makes the module; what it does takes
    /// time from that alone. It cannot fail: an observer keeps its troubles to itself, or logs them.
    fn published(&self, code: &CodeView<'_>);

    /// The code that was published at `address` is about to go; other code may be published there.
    fn withdrawn(&self, address: usize);
}

/// The machine code of one module.
#[derive(Debug, Clone, Copy)]
pub struct CodeView<'a> {
    /// The tier that made it.
    pub tier: &'static str,
    /// The module's name, where it has one.
    pub module: Option<&'a str>,
    /// Where it lies.
    pub address: usize,
    /// Its bytes, as they lie there.
    pub text: &'a [u8],
    /// What lies in it, in ascending order and without overlap.
    pub symbols: &'a [CodeSymbol],
}

/// A function or trampoline in the code of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeSymbol {
    /// Its name, which is the module author's: it may hold anything, a line's end too.
    pub name: String,
    /// The function's number in the module, imports counted; `None` for what is no function.
    pub func: Option<u32>,
    /// Where it lies, in bytes from the start of the text.
    pub range: Range<u32>,
}

/// Nanoseconds of `CLOCK_MONOTONIC`, by which profilers order events.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The kernel's number of this thread, as profilers name it.
#[must_use]
pub fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

/// Tells an observer that code goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Observed {
    observer: Arc<dyn CodeObserver>,
    address: usize,
}

impl Observed {
    /// Tells an observer of code.
    pub(crate) fn tell(observer: &Arc<dyn CodeObserver>, code: &CodeView<'_>) -> Self {
        observer.published(code);
        Self {
            observer: Arc::clone(observer),
            address: code.address,
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.observer.withdrawn(self.address);
    }
}

/// Several observers as one.
impl CodeObserver for Vec<Arc<dyn CodeObserver>> {
    fn published(&self, code: &CodeView<'_>) {
        for observer in self {
            observer.published(code);
        }
    }

    fn withdrawn(&self, address: usize) {
        for observer in self {
            observer.withdrawn(address);
        }
    }
}
