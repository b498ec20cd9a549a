//! WASI snapshot preview 1: what a guest may ask of its host.
//!
//! Pure functions over `(context, memory, arguments)`. Only [`add_to_linker`] knows the engine: it takes the table
//! [`WasiFunction::ALL`], and for each import calls [`WasiFunction::call`] with the guest's memory and its raw slots. The
//! standard is `wasi_snapshot_preview1.witx` with `typenames.witx` (WebAssembly/WASI, `legacy/preview1/witx`); the
//! files below follow its chapters.
//!
//! ```text
//! linker --slots--> function (table, dispatch) --> strings  args_*, environ_*
//!                                             |--> clock    clock_*              one run's state:
//!                                             |--> fd, io   fd_*                   ctx     WasiCtx
//!                                             |--> dir      fd_prestat_*, readdir  table   descriptors, rights
//!                                             |--> path     path_*                 stdio   the three streams
//!                                             |--> poll     poll_oneoff            config  what is granted
//!                                             |--> process  proc_*, random_get
//!                                             '--> socket   sock_*               every pointer: memory
//! ```
//!
//! **Invariants.**
//! - A guest's numbers are never trusted: a pointer out of range is `fault`, an index out of range `badf`; nothing
//!   panics, wraps at 32 bits, or allocates in proportion to a number that has no bound.
//! - One call does a bounded amount of work. What must be longer (sleeping, a large `random_get`) stops with
//!   [`Stop::Block`] and goes on when the same call is made again. What a call does is charged as fuel, so that a loop of
//!   dear calls comes back to the scheduler as soon as a loop of cheap instructions.
//! - Nothing of the host is visible but what was granted; no path leads out of a preopen; nothing is written to a host
//!   file.
//! - Host files are read synchronously, on the thread that runs the guest: at most a mebibyte, or one directory, per call.
//!   Functions that read much from slow disks hold their shard for so long.

#![forbid(unsafe_code)]

mod clock;
mod config;
mod ctx;
mod dir;
mod errno;
mod fd;
mod function;
#[cfg(test)]
mod hostile;
mod io;
mod link;
mod memory;
mod outcome;
mod path;
#[cfg(test)]
mod path_tests;
mod poll;
#[cfg(test)]
mod poll_tests;
mod process;
mod socket;
mod stdio;
mod strings;
mod table;
#[cfg(test)]
mod testing;
mod types;

pub use clock::{CLOCK_RESOLUTION_NS, MONOTONIC_START_NS};
pub use config::{Environment, OutputOverflow, WasiBuilder, WasiConfigError, WasiLimits, WasiTemplate};
pub use ctx::WasiCtx;
pub use errno::Errno;
pub use function::{MODULE, SlotType, WasiFunction};
pub use link::add_to_linker;
pub use outcome::{Fault, OutputStream, Stop};
pub use stdio::{Input, Output};
pub use strings::{STRINGS_MAX, Variables};
