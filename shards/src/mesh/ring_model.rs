//! The ring in loom's models: `rtrb`'s interface and its orderings, made of parts whose interleavings loom explores.
//!
//! Head and tail are published with Release and read with Acquire, as in `rtrb`, so a consumer may see a stale tail and
//! find nothing. The mutex around each slot orders nothing that these do not: a slot is only touched after the position
//! was read that gives it away.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Why an item was not taken.
pub(super) enum PushError<T> {
    /// There is no room; the item comes back.
    Full(T),
}

/// Nothing is in the ring.
pub(super) struct PopError;

/// The end that puts items in.
pub(super) struct Producer<T>(Arc<Ring<T>>);

/// The end that takes items out.
pub(super) struct Consumer<T>(Arc<Ring<T>>);

struct Ring<T> {
    slots: Box<[Mutex<Option<T>>]>,
    /// Items that were ever taken out.
    head: AtomicUsize,
    /// Items that were ever put in.
    tail: AtomicUsize,
    is_abandoned: AtomicBool,
}

/// A ring with room for `capacity` items.
pub(super) fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let ring = Arc::new(Ring {
        slots: (0..capacity).map(|_| Mutex::new(None)).collect(),
        head: AtomicUsize::new(0),
        tail: AtomicUsize::new(0),
        is_abandoned: AtomicBool::new(false),
    });
    (Producer(ring.clone()), Consumer(ring))
}

impl<T> Producer<T> {
    pub(super) fn push(&mut self, item: T) -> Result<(), PushError<T>> {
        let ring = &*self.0;
        let tail = ring.tail.load(Ordering::Relaxed);
        if tail - ring.head.load(Ordering::Acquire) == ring.slots.len() {
            return Err(PushError::Full(item));
        }
        *ring.slot(tail) = Some(item);
        ring.tail.store(tail + 1, Ordering::Release);
        Ok(())
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.0.is_abandoned.load(Ordering::Acquire)
    }
}

impl<T> Consumer<T> {
    pub(super) fn pop(&mut self) -> Result<T, PopError> {
        let ring = &*self.0;
        let head = ring.head.load(Ordering::Relaxed);
        if head == ring.tail.load(Ordering::Acquire) {
            return Err(PopError);
        }
        let item = ring.slot(head).take();
        ring.head.store(head + 1, Ordering::Release);
        item.ok_or(PopError)
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.0.is_abandoned.store(true, Ordering::Release);
    }
}

impl<T> Ring<T> {
    fn slot(&self, position: usize) -> loom::sync::MutexGuard<'_, Option<T>> {
        let slot = &self.slots[position % self.slots.len()];
        slot.lock().expect("nobody panics while it holds a slot")
    }
}
