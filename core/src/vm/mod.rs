//! The one door of `unsafe` in this crate: what touches the machine itself.
//!
//! ```text
//!   mmap ── linear     a guest's bytes, behind address space that faults
//!   region ──┘         the same for pools: pages become accessible when they are touched
//!   pages              writing them back when a run is over
//!   vmctx, layout      what machine code can reach, and where
//!   code               where machine code lies: one range of addresses for the process
//!   context            an instance's VmCtx, kept true by the store
//!   stack, run         what a run needs beside: a stack and a record
//!   switch, signals    the ways in and out of machine code: by call, and by fault
//!   preempt            the signal that makes a thread leave its guest at any instruction
//!   unwind             the way of an exception through the frames of a run
//!   native             a run of machine code, as safe as a run of the interpreter
//!   debugger, elf      what GDB is told of code
//!   marker             how perf finds a file
//! ```
//!
//! Everything outside of this module is `deny(unsafe_code)`.

pub(crate) mod code;
pub(crate) mod context;
pub(crate) mod debugger;
mod elf;
pub mod layout;
pub(crate) mod linear;
pub(crate) mod marker;
mod mmap;
pub(crate) mod native;
mod pages;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod preempt;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "preempt_absent.rs"]
pub(crate) mod preempt;
pub(crate) mod region;
mod run;
mod signals;
pub(crate) mod stack;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod switch;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "switch_absent.rs"]
mod switch;
// Miri runs no machine code.
#[cfg(all(test, not(miri), target_arch = "x86_64", target_os = "linux"))]
mod tests;
mod unwind;
pub mod vmctx;

/// Whether machine code can be run on this machine at all.
pub(crate) const SUPPORTED: bool = switch::SUPPORTED;
