//! The slots that a run computes in, and a few spare ones kept for the next.
//!
//! A stack is used again as it was left. Nothing that a guest can read depends on what is in it: parameters are written
//! by the caller, locals are zeroed on entry, and validation proves that an operand is written before it is read. Making
//! one afresh for each run would cost either a mapping from the system or clearing a megabyte.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};

/// The slots that a register can name, and one behind the last for the high half of a vector there; also the spare room
/// at the end of every stack.
pub(super) const WINDOW: usize = (1 << 16) + 1;

/// Spare stacks that a thread keeps, of whatever sizes its functions use, beside those that it is told to keep.
const SPARES: usize = 16;

thread_local! {
    static KEPT: RefCell<Vec<Box<[u64]>>> = const { RefCell::new(Vec::new()) };
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

/// The slots of one run. Its frames end below [`ValueStack::limit`]; [`WINDOW`] more slots follow, so that a window over
/// the last frame fits.
#[derive(Debug)]
pub(super) struct ValueStack(Box<[u64]>);

impl ValueStack {
    /// A stack for frames of so many slots together, holding anything.
    pub(super) fn new(slots: usize) -> Self {
        let len = slots.saturating_add(WINDOW);
        // While the thread ends there may be no spares any more.
        let spare = KEPT.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            let fits = spares.iter().rposition(|spare| spare.len() == len)?;
            Some(spares.swap_remove(fits))
        });
        // Zeroed memory of this size comes from the system page by page, as it is touched.
        Self(
            spare
                .ok()
                .flatten()
                .unwrap_or_else(|| vec![0; len].into_boxed_slice()),
        )
    }

    /// First slot that no frame may reach.
    pub(super) fn limit(&self) -> usize {
        self.0.len() - WINDOW
    }
}

impl Drop for ValueStack {
    fn drop(&mut self) {
        let slots = std::mem::take(&mut self.0);
        // As above; then the slots are freed like any others.
        let _ = KEPT.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() >= SPARES + MORE.get() {
                spares.swap_remove(0);
            }
            spares.push(slots);
        });
    }
}

impl Deref for ValueStack {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.0
    }
}

impl DerefMut for ValueStack {
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_used_again_as_it_was_left() {
        let mut stack = ValueStack::new(1234);
        assert_eq!(stack.limit(), 1234);
        stack[7] = 42;
        drop(stack);
        assert_eq!(ValueStack::new(1234)[7], 42);
        assert_eq!(ValueStack::new(1235).limit(), 1235);
    }

    #[test]
    fn spares_are_bounded() {
        let churn = || {
            drop((0..2 * SPARES).map(ValueStack::new).collect::<Vec<_>>());
            KEPT.with_borrow(Vec::len)
        };
        assert_eq!(churn(), SPARES);
        keep(5);
        assert_eq!(churn(), SPARES + 5);
        keep(0);
        assert_eq!(KEPT.with_borrow(Vec::len), SPARES);
    }
}
