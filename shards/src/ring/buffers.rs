//! Provided buffers: memory that the kernel fills when bytes arrive, whoever they are for.
//!
//! ```text
//!   entries   [ addr len id | addr len id | ...  ]   a ring that both sides see; we write its tail
//!   memory    [ buffer 0 | buffer 1 | buffer 2 | ... ]
//!
//!   offered ──kernel takes it for a receive──► filled ──completion──► Chunk ──drop──► spare, or offered, at the tail
//!      ▲                                                                                │
//!      └──────────────── the spare one that was used last, for each that was taken ◄────┘
//! ```
//! A connection that waits for bytes holds no memory of its own; the number of buffers bounds what a shard holds for all of
//! them. Each buffer belongs to exactly one of four: to the kernel while its entry is in the ring, to a completion that has
//! not been read, to the one [`Chunk`] that was made of that, or to nobody while it is spare.
//!
//! The kernel takes what it is offered in turn. With all buffers offered, small requests would go through a megabyte of them, of which no
//! cache near the core keeps the lines that are used; so it is offered [`FEW`] until these do not suffice. And as all requests lie at the
//! beginning of a buffer, buffers are not a power of two apart: they would share a few sets of the cache.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// Alignment that the kernel asks of the entries.
const PAGE: usize = 4096;

/// Between two buffers: a cache line.
const GAP: usize = 64;

/// So many are offered where no more are known to be needed.
const FEW: u16 = 32;

/// After so many receives since there were too few, half as many are offered again.
const ENOUGH: u32 = 1 << 16;

/// The buffers of one ring.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// A power of two, so that the tail may wrap.
    count: u16,
    size: u32,
    tail: Cell<u16>,
    /// How many are with the kernel.
    offered: Cell<u16>,
    /// How many should be.
    wanted: Cell<u16>,
    /// Receives since there were too few, or since that was last thought about.
    received: Cell<u32>,
    /// Those that nobody has, in the order in which they were used.
    spare: RefCell<Vec<u16>>,
}

impl Buffers {
    /// Allocates `count` buffers of `size` bytes and puts some of them into the ring of entries.
    ///
    /// # Panics
    /// If `count` is not a power of two of at most 32,768, or `size` is 0.
    pub(super) fn new(count: u16, size: u32) -> Rc<Self> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "the kernel's rule");
        assert!(size > 0, "a buffer has room");
        let buffers = Self {
            entries: allocate(Self::entries_layout(count)).cast(),
            memory: allocate(Self::memory_layout(count, size)),
            count,
            size,
            tail: Cell::new(0),
            offered: Cell::new(0),
            wanted: Cell::new(FEW.min(count)),
            received: Cell::new(0),
            spare: RefCell::new((0..count).rev().collect()),
        };
        buffers.offer_spare();
        Rc::new(buffers)
    }

    /// Address of the entries, for the kernel.
    pub(super) fn address(&self) -> u64 {
        self.entries.as_ptr().expose_provenance() as u64
    }

    /// How many buffers there are.
    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// How many of them can still be filled.
    pub(super) fn free(&self) -> u16 {
        self.offered.get() + self.spare.borrow().len() as u16
    }

    #[cfg(test)]
    pub(super) fn wanted(&self) -> u16 {
        self.wanted.get()
    }

    /// The kernel has not found a buffer for so many receives: at least as many more are offered from now on, up to a power of two.
    pub(super) fn too_few(&self, missing: u32) {
        let wanted = (u32::from(self.wanted.get()) + missing).next_power_of_two();
        self.wanted.set(wanted.min(self.count.into()) as u16);
        self.received.set(0);
        self.offer_spare();
    }

    /// Takes over a buffer that a completion names as filled with so many bytes.
    ///
    /// # Safety
    /// The kernel has filled buffer `id` of this ring and said so in a completion, and this is called once for that.
    ///
    /// # Panics
    /// If there is no such buffer, or not so much room in it.
    pub(super) unsafe fn take(self: &Rc<Self>, id: u16, length: usize) -> Chunk {
        assert!(id < self.count && length <= self.size as usize);
        self.offered.set(self.offered.get() - 1);
        self.received.set(self.received.get() + 1);
        if self.received.get() >= ENOUGH {
            self.received.set(0);
            self.wanted.set((self.wanted.get() / 2).max(FEW).min(self.count));
        }
        self.offer_spare();
        Chunk {
            buffers: self.clone(),
            id,
            at: 0,
            length,
        }
    }

    /// Takes back a buffer that was read.
    fn give(&self, id: u16) {
        self.spare.borrow_mut().push(id);
        self.offer_spare();
    }

    /// Offers as many as are wanted, if there are so many.
    fn offer_spare(&self) {
        while self.offered.get() < self.wanted.get() {
            let Some(id) = self.spare.borrow_mut().pop() else {
                return;
            };
            self.offer(id);
        }
    }

    /// Gives a buffer to the kernel.
    fn offer(&self, id: u16) {
        debug_assert!(self.offered.get() < self.count, "each is offered once");
        let tail = self.tail.get();
        let index = usize::from(tail & (self.count - 1));
        let start = self.start(id);
        // SAFETY: the index is below the count, for which the memory was allocated.
        let entry = unsafe { self.entries.add(index) };
        // SAFETY: behind the tail the kernel does not look, and fewer than all are offered, so nobody else refers to this entry.
        let entry = unsafe { &mut *entry.as_ptr() };
        // SAFETY: the id is below the count, for which there is memory with the gaps.
        let buffer = unsafe { self.memory.add(start) };
        entry.set_addr(buffer.as_ptr().expose_provenance() as u64);
        entry.set_len(self.size);
        entry.set_bid(id);
        self.tail.set(tail.wrapping_add(1));
        self.offered.set(self.offered.get() + 1);
        // SAFETY: this is the address of the first entry, and all of them are initialised: zero is a value of theirs.
        let shared = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: the tail is aligned, lives as long as the entries, and is reached by atomic accesses only.
        let shared = unsafe { AtomicU16::from_ptr(shared.cast_mut()) };
        // The kernel sees the entry before the tail that includes it.
        shared.store(self.tail.get(), Ordering::Release);
    }

    fn entries_layout(count: u16) -> Layout {
        layout(usize::from(count) * size_of::<BufRingEntry>())
    }

    fn memory_layout(count: u16, size: u32) -> Layout {
        layout(usize::from(count) * (size as usize + GAP))
    }

    /// Where a buffer begins in the memory.
    fn start(&self, id: u16) -> usize {
        usize::from(id) * (self.size as usize + GAP)
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, PAGE).expect("far less than the address space")
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: the layout is not empty, as counts and sizes are not zero.
    NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let entries = Self::entries_layout(self.count);
        let memory = Self::memory_layout(self.count, self.size);
        // SAFETY: allocated with this layout. The ring holds a share in this until it is closed, and leaks it if receives may
        // still be under way then, so the kernel does not write to it any more.
        unsafe { dealloc(self.entries.as_ptr().cast(), entries) };
        // SAFETY: likewise.
        unsafe { dealloc(self.memory.as_ptr(), memory) };
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers")
            .field("count", &self.count)
            .field("size", &self.size)
            .field("free", &self.free())
            .finish_non_exhaustive()
    }
}

/// Bytes that have arrived, in a provided buffer; dropping this frees the buffer for others.
#[derive(Debug)]
pub(crate) struct Chunk {
    buffers: Rc<Buffers>,
    id: u16,
    at: usize,
    length: usize,
}

impl Chunk {
    /// Leaves the first bytes out from now on.
    ///
    /// # Panics
    /// If there are not so many.
    pub(crate) fn advance(&mut self, count: usize) {
        assert!(count <= self.length - self.at);
        self.at += count;
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = self.buffers.start(self.id) + self.at;
        // SAFETY: `take` has checked that the buffer exists and holds `length` bytes, and `at` is not beyond them.
        let first = unsafe { self.buffers.memory.add(start) };
        // SAFETY: the memory was zeroed when it was allocated, and the buffer belongs to this chunk alone until it is dropped:
        // neither the kernel nor another chunk writes to it.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), self.length - self.at) }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.buffers.give(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what it is offered, in turn, as the kernel does.
    struct Kernel {
        buffers: Rc<Buffers>,
        head: u16,
    }

    impl Kernel {
        fn new(count: u16) -> Self {
            Self {
                buffers: Buffers::new(count, 16),
                head: 0,
            }
        }

        fn offered(&self) -> u16 {
            self.buffers.tail.get().wrapping_sub(self.head)
        }

        /// Fills the next buffer, if there is one.
        fn fill(&mut self) -> Option<Chunk> {
            assert_eq!(self.offered(), self.buffers.offered.get());
            if self.offered() == 0 {
                return None;
            }
            let index = usize::from(self.head & (self.buffers.count - 1));
            // SAFETY: the index is below the count, for which the memory was allocated.
            let entry = unsafe { self.buffers.entries.add(index) };
            // SAFETY: it is initialised, and nobody writes to it meanwhile.
            let id = unsafe { entry.as_ref() }.bid();
            self.head = self.head.wrapping_add(1);
            // SAFETY: all memory was zeroed; this is the one who takes what is offered.
            Some(unsafe { self.buffers.take(id, 16) })
        }

        /// So many at a time, all of which are read then.
        fn fill_and_read(&mut self, count: usize) {
            let held: Vec<_> = (0..count).map(|_| self.fill().expect("enough")).collect();
            let mut starts: Vec<_> = held.iter().map(|chunk| chunk.as_ptr()).collect();
            starts.sort();
            starts.dedup();
            assert_eq!(starts.len(), count, "each is one chunk's alone");
        }
    }

    #[test]
    fn as_many_are_offered_as_were_needed_and_fewer_after_a_while() {
        let mut kernel = Kernel::new(256);
        assert_eq!((kernel.offered(), kernel.buffers.free()), (FEW, 256));
        kernel.fill_and_read(100);
        assert_eq!(kernel.offered(), FEW);
        kernel.buffers.too_few(1);
        assert_eq!(kernel.offered(), 2 * FEW);
        kernel.buffers.too_few(3 * u32::from(FEW));
        assert_eq!(kernel.offered(), 256);
        kernel.buffers.too_few(u32::from(u16::MAX));
        assert_eq!((kernel.offered(), kernel.buffers.free()), (256, 256));
        for expected in [128, 64, FEW, FEW] {
            for _ in 0..ENOUGH / 64 {
                kernel.fill_and_read(64);
            }
            // What is offered already is taken first.
            kernel.fill_and_read(150);
            assert_eq!((kernel.offered(), kernel.buffers.free()), (expected, 256));
        }
    }

    #[test]
    fn what_is_held_is_not_offered() {
        for count in [1, 2, 64, 256] {
            let mut kernel = Kernel::new(count);
            let held: Vec<_> = std::iter::from_fn(|| kernel.fill())
                .take(2 * usize::from(count))
                .collect();
            assert_eq!((held.len(), kernel.buffers.free()), (count.into(), 0));
            drop(held);
            assert_eq!((kernel.offered(), kernel.buffers.free()), (FEW.min(count), count));
        }
    }
}
