//! What stands for preemption by signal on machines for which there is none: it cannot be enabled, so that no mark is ever
//! set.

use std::convert::Infallible;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Signals that the handlers of faults would block.
pub(super) const SIGNALS: [i32; 0] = [];

fn absent() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "preemption by signal is there for x86-64 Linux: give runs little fuel at a time instead",
    )
}

pub(crate) fn counts() -> [u64; 4] {
    [0; 4]
}

pub(crate) fn is_enabled() -> bool {
    false
}

pub(crate) fn take_mark() -> bool {
    false
}

pub(super) fn mark_address() -> usize {
    0
}

pub(crate) fn enable() -> io::Result<bool> {
    Err(absent())
}

pub(crate) fn disable(_was_blocked: bool) {}

pub(crate) fn set_deaf(_deaf: bool) {}

pub(crate) fn take_rung() -> bool {
    false
}

pub(crate) fn this_thread() -> i32 {
    0
}

pub(crate) fn send(_thread: i32) -> bool {
    false
}

/// There is none.
#[derive(Debug)]
pub(crate) struct Timer(#[expect(dead_code, reason = "says that no value of it exists")] Infallible);

impl Timer {
    pub(crate) fn new(_period: Duration) -> io::Result<Self> {
        Err(absent())
    }
}

pub(crate) fn watch_for_ever(_file: BorrowedFd<'_>) -> io::Result<()> {
    Err(absent())
}

pub(crate) fn watch(_file: BorrowedFd<'_>) -> io::Result<()> {
    Err(absent())
}

pub(crate) fn unwatch(_file: BorrowedFd<'_>) {}
