//! Traps: the ways in which a guest's computation can end without a result.
//!
//! A trap is a value. It is the guest's own fault, it ends the guest's run alone, and it never unwinds through the
//! host. The words are those of the specification's test suite, so that a message can be looked up there.

use std::fmt;

/// Why a guest's run ended without a result (WebAssembly core specification 2.0, section 4.4, "trap").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Trap {
    /// The `unreachable` instruction was executed.
    #[error("unreachable")]
    Unreachable,
    /// A load, store or bulk operation touched bytes outside its linear memory.
    #[error("out of bounds memory access")]
    MemoryOutOfBounds,
    /// A table instruction touched elements outside its table.
    #[error("out of bounds table access")]
    TableOutOfBounds,
    /// `call_indirect` named an element outside its table.
    #[error("undefined element")]
    UndefinedElement,
    /// `call_indirect` found a null reference.
    #[error("uninitialized element")]
    UninitializedElement,
    /// `call_indirect` found a function of another type.
    #[error("indirect call type mismatch")]
    IndirectCallTypeMismatch,
    /// A signed division overflowed, or a float does not fit the integer that it is truncated to.
    #[error("integer overflow")]
    IntegerOverflow,
    /// Division or remainder by zero.
    #[error("integer divide by zero")]
    IntegerDivideByZero,
    /// A NaN was truncated to an integer.
    #[error("invalid conversion to integer")]
    InvalidConversionToInteger,
    /// An exception was thrown that no handler of the run catches (exception handling proposal).
    #[error("uncaught exception")]
    UncaughtException,
    /// `throw_ref` was given a null reference.
    #[error("null exception reference")]
    NullException,
    /// The exceptions to which the guest holds references would take more than the limits allow.
    #[error("too many exceptions are referred to")]
    TooManyExceptions,
    /// Calls are nested deeper, or their frames are larger, than the limits allow.
    #[error("call stack exhausted")]
    StackExhausted,
    /// The host has no room for a page of the guest's memory.
    #[error("the host has no memory left for the guest's")]
    HostMemoryExhausted,
    /// The host ended the run from within a host call, for a reason of its own that it keeps beside (for instance
    /// [`crate::wasi::WasiCtx::fault`]).
    #[error("ended by the host")]
    HostAborted,
}

/// One function of a guest that was active when it trapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BacktraceFrame {
    /// Index in the function index space of its module, imports counted.
    pub func_index: u32,
    /// Its name from the module's name section, where there is one.
    pub name: Option<String>,
}

/// A trap and the functions that were active, innermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrapReport {
    /// What happened.
    pub trap: Trap,
    /// Where it happened, innermost first; at most [`TrapReport::MAX_FRAMES`] entries.
    pub backtrace: Vec<BacktraceFrame>,
}

impl TrapReport {
    /// The innermost frames that a report keeps; deeper stacks are cut there.
    pub const MAX_FRAMES: usize = 16;
}

impl fmt::Display for TrapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.trap)?;
        match self.backtrace.first() {
            Some(BacktraceFrame { name: Some(name), .. }) => write!(f, " in `{}`", name.escape_debug()),
            Some(BacktraceFrame { func_index, .. }) => write!(f, " in function {func_index}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TrapReport {}
