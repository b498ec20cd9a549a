//! What stands for the switch on machines for which there is none: no module with machine code can be made there, so that
//! nothing here is ever called.

use super::run::{Left, RunRecord};
use std::ffi::c_void;

/// There are no stubs for this processor and system.
pub(super) const SUPPORTED: bool = false;

const ABSENT: &str = "machine code is refused where it cannot be run";

/// Never called.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn enter(_record: *mut RunRecord, _world: *mut c_void) -> u32 {
    unreachable!("{ABSENT}")
}

/// Never called.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn resume(_record: *mut RunRecord, _world: *mut c_void) -> u32 {
    unreachable!("{ABSENT}")
}

pub(super) fn leave_address() -> usize {
    unreachable!("{ABSENT}")
}

pub(super) fn tail_call_address() -> usize {
    unreachable!("{ABSENT}")
}

pub(super) fn preempt_address() -> usize {
    unreachable!("{ABSENT}")
}

pub(super) fn has_avx() -> bool {
    false
}

/// Nothing that is generated code: the handler passes every fault on.
pub(super) fn interrupted(_context: &libc::ucontext_t) -> (usize, usize) {
    (0, 0)
}

pub(super) fn stack_pointer(_context: &libc::ucontext_t) -> usize {
    0
}

pub(super) fn redirect(_context: &mut libc::ucontext_t, _record: &mut RunRecord, _left: Left) {
    unreachable!("{ABSENT}")
}
