//! The stack that a run of machine code has for itself, and a few spare ones kept for the next.
//!
//! ```text
//! low                                                                          high
//!  ├ guard ┼ headroom ┼ what Limits::stack_bytes allows ┼ entry, slots ┼ record ┤
//!  │ no    │          │                                 │              └ RunRecord
//!  │ access│          └ stack_limit                     └ rsp at the start: below the slots
//! ```
//!
//! Prologues compare with `stack_limit`. The headroom below it is for what does not: a trampoline with as many slots as a
//! function can have parameters or results, an exit to the engine, and a signal's frame. Should code reach the guard all
//! the same, the fault is taken for an exhausted stack.
//!
//! A stack is used again as it was left: code writes a slot before it reads it.

use super::run::RunRecord;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;

/// No access: a frame cannot be so large that its first touch lands beyond it, for prologues compare first.
const GUARD: usize = 64 << 10;

/// For a signal's frame and handler, of those that run on the stack that they find.
const SIGNAL: usize = 16 << 10;

/// Below `stack_limit`: that, and 32 KiB for a trampoline (1,000 vectors are 16,000 bytes).
const HEADROOM: usize = SIGNAL + (32 << 10);

/// For the slots of arguments and results, and for the entry trampoline's copies of both.
const ENTRY: usize = 64 << 10;

/// Slots for arguments and results: a function has at most 1,000 of either, and a vector takes two.
pub(super) const ENTRY_SLOTS: usize = 2048;

/// Room for the record at the top.
const RECORD: usize = 256;

/// Spare stacks that a thread keeps, of whatever sizes its functions use, beside those that it is told to keep.
pub(crate) const SPARES: usize = 16;

const _: () = assert!(size_of::<RunRecord>() <= RECORD && RECORD.is_multiple_of(16));

thread_local! {
    static KEPT: RefCell<Vec<Mapping>> = const { RefCell::new(Vec::new()) };
    static MORE: Cell<usize> = const { Cell::new(0) };
}

/// Says how many more spare stacks this thread keeps than [`SPARES`].
pub(crate) fn keep(more: usize) {
    MORE.set(more);
    // While the thread ends there may be no spares any more.
    let _ = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        let beyond = kept.len().saturating_sub(SPARES + more);
        drop(kept.drain(..beyond));
    });
}

/// A stack of a run's own.
#[derive(Debug)]
pub(super) struct GuestStack {
    /// Always there until the stack is dropped.
    mapping: Option<Mapping>,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a stack is plain memory that its owner alone refers to; nothing on it belongs to a thread, because no frame of
// Rust's is ever on it.
unsafe impl Send for GuestStack {}
// SAFETY: what a shared reference gives is addresses, and reads of integers that only `&mut` and the run itself, which
// needs `&mut`, write.
unsafe impl Sync for GuestStack {}

impl GuestStack {
    /// A stack on which frames may take `stack_bytes`.
    ///
    /// # Errors
    /// What the system says where address space or mappings lack.
    pub(super) fn new(stack_bytes: usize) -> io::Result<Self> {
        let len = stack_bytes
            .checked_next_multiple_of(GUARD)
            .and_then(|bytes| bytes.checked_add(2 * GUARD + HEADROOM + ENTRY))
            .ok_or(io::ErrorKind::OutOfMemory)?
            & !(GUARD - 1);
        // While the thread ends there may be no spares any more.
        let spare = KEPT.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            let fits = spares.iter().rposition(|spare| spare.len == len)?;
            Some(spares.swap_remove(fits))
        });
        let mapping = match spare.ok().flatten() {
            Some(spare) => spare,
            None => Mapping::new(len)?,
        };
        let start = mapping.start;
        Ok(Self {
            mapping: Some(mapping),
            start,
            len,
        })
    }

    /// The lowest address that a frame may reach, if all frames together may take `stack_bytes`, which is no more than
    /// what the stack was made for.
    pub(super) fn limit(&self, stack_bytes: usize) -> usize {
        (self.slots() - (ENTRY - ENTRY_SLOTS * 8))
            .saturating_sub(stack_bytes)
            .max(self.start.addr().get() + GUARD + HEADROOM)
    }

    /// The record of its run.
    pub(super) fn record(&self) -> *mut RunRecord {
        self.start.as_ptr().wrapping_add(self.len - RECORD).cast()
    }

    /// Address of the first of [`ENTRY_SLOTS`] slots; frames begin below it. A multiple of 16.
    pub(super) fn slots(&self) -> usize {
        self.record().addr() - ENTRY_SLOTS * 8
    }

    /// Whether an address lies in the guard below the stack.
    pub(super) fn is_guard(&self, address: usize) -> bool {
        address.wrapping_sub(self.start.addr().get()) < GUARD
    }

    /// Whether a stack that ends there has less room than is kept for a signal. Code that compares with `stack_limit` does not come
    /// so far.
    pub(super) fn lacks_room_for_signal(&self, rsp: usize) -> bool {
        rsp.wrapping_sub(self.start.addr().get()) < GUARD + SIGNAL
    }

    /// The word at an address of the stack.
    pub(super) fn word(&self, address: usize) -> Option<usize> {
        let word = self.range(address, 1)?;
        // SAFETY: `range` gives what lies aligned in the accessible part of our mapping, where every bit pattern is an integer.
        Some(unsafe { word.cast::<usize>().read() })
    }

    /// `count` slots at an address of the stack.
    pub(super) fn slots_at(&mut self, address: usize, count: usize) -> Option<&mut [u64]> {
        let slots = self.range(address, count)?;
        // SAFETY: `range` gives what lies aligned in the accessible part of our mapping and below the record, which every
        // bit pattern may fill; `&mut self` makes this the only reference, and the guest does not run meanwhile.
        Some(unsafe { std::slice::from_raw_parts_mut(slots, count) })
    }

    /// `count` words at an address, if they lie between guard and record.
    fn range(&self, address: usize, count: usize) -> Option<*mut u64> {
        let offset = address.checked_sub(self.start.addr().get())?;
        let end = offset.checked_add(count.checked_mul(8)?)?;
        let inside = offset >= GUARD && end <= self.len - RECORD && address.is_multiple_of(8);
        inside.then(|| self.start.as_ptr().wrapping_add(offset).cast())
    }
}

impl Drop for GuestStack {
    fn drop(&mut self) {
        let mapping = self.mapping.take();
        // As above; then the stack is unmapped.
        let _ = KEPT.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() >= SPARES + MORE.get() {
                spares.swap_remove(0);
            }
            spares.extend(mapping);
        });
    }
}

/// The memory of a stack.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping at an address of the kernel's choice replaces nothing.
        let start = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, access, flags) }?;
        let start =
            NonNull::new(start.cast::<u8>()).ok_or_else(|| io::Error::other("a mapping at address zero"))?;
        let mapping = Self { start, len };
        // SAFETY: the range is the lower end of the mapping just made, to which nothing refers yet.
        unsafe { rustix::mm::mprotect(start.as_ptr().cast(), GUARD, MprotectFlags::empty()) }?;
        Ok(mapping)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and nothing refers into it any more.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn frames_get_what_was_asked_for() {
        for bytes in [0, 1, 4096, 65_536, 1 << 20] {
            let stack = GuestStack::new(bytes).expect("a stack");
            let room = stack.slots() - stack.limit(bytes);
            assert_eq!(room, bytes + ENTRY - ENTRY_SLOTS * 8);
            assert!(stack.limit(bytes) >= stack.start.addr().get() + GUARD + HEADROOM);
            assert!(stack.slots().is_multiple_of(16));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn only_the_stack_itself_is_read() {
        let mut stack = GuestStack::new(1 << 16).expect("a stack");
        let (slots, start) = (stack.slots(), stack.start.addr().get());
        stack.slots_at(slots, 2).expect("slots")[1] = 7;
        assert_eq!(stack.word(slots + 8), Some(7));
        assert_eq!(stack.word(slots + 9), None);
        assert_eq!(stack.word(start), None);
        assert!(stack.word(start + GUARD).is_some());
        assert_eq!(stack.word(stack.record().addr()), None);
        assert_eq!(stack.word(usize::MAX - 7), None);
        assert_eq!(stack.word(0), None);
        assert!(stack.slots_at(slots, ENTRY_SLOTS).is_some());
        assert!(stack.slots_at(slots, ENTRY_SLOTS + 1).is_none());
        assert!(stack.slots_at(slots, usize::MAX).is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn spares_are_used_again_and_bounded() {
        let stack = GuestStack::new(1 << 17).expect("a stack");
        let start = stack.start;
        drop(stack);
        assert_eq!(GuestStack::new(1 << 17).expect("a stack").start, start);
        let churn = || {
            let stack = |_| GuestStack::new(0).expect("a stack");
            drop((0..2 * SPARES).map(stack).collect::<Vec<_>>());
            KEPT.with_borrow(Vec::len)
        };
        assert_eq!(churn(), SPARES);
        keep(5);
        assert_eq!(churn(), SPARES + 5);
        keep(0);
        assert_eq!(KEPT.with_borrow(Vec::len), SPARES);
    }
}
