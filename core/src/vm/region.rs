//! The address space of pooled memories: reserved once, made accessible page by page as guests touch it.
//!
//! ```text
//! base     slot 0                          slot 1
//!  ├───────┬─────┬──────┬───┬── guard ─────┼──────┬── ...
//!    extent      extent   no access yet      a slot: 8 GiB and 64 KiB
//!    ▲ pages that were touched              ▲
//!    └── readable, writable                 └── up to `accessible` a touch makes pages accessible; beyond it is a trap
//! ```
//!
//! What makes a used memory as good as new is to write back what a run has changed. Nobody tells which pages that were, so
//! all that could be written are: hence the fewer that are accessible, the better. A slot begins without access to
//! any page. The first touch of a page is a fault, upon which the handler ([`touch`]) makes it accessible, with what the
//! module's image says, and notes it in one of the slot's few *extents*. Pages stay accessible from run to run, so that
//! in the steady state there are neither faults nor system calls: [`SlotMemory::reset`] writes the pages of the extents and
//! that is all.
//!
//! Two things hold whenever nobody runs in a slot:
//!
//! 1. A page within an extent holds what the image says.
//! 2. A page outside of all extents has no access and is zero, or the kernel has none for it.
//!
//! The handler may run at any instruction that touches guest memory, in generated code or in Rust. It runs on the thread
//! that has the slot, and that thread touches no page of a slot while it changes the slot's extents. So there is one writer, and the
//! atomics below are for the compiler only.

use super::pages::{Page, write_back};
use super::signals;
use crate::image::{IMAGE_PAGE, Image};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes from one slot to the next: what any 32-bit address plus any 32-bit offset can reach, and the widest access behind it.
pub(crate) const STRIDE: usize = (8 << 30) + (64 << 10);

/// Extents that a slot may have. Each is a mapping of its own, and so is the gap behind it.
const EXTENTS: usize = 6;

/// Pages between an extent and a touched page that are taken along, so that a few stray touches make one extent.
const GAP: usize = 4;

/// Pages by which an extent that is touched at its end grows at most.
const GROWTH: usize = 64;

/// Regions that a process can have at once: one for each shard, and some to spare.
const REGIONS: usize = 1024;

/// Where all regions are, for the handler.
static REGISTRY: [Entry; REGIONS] = [const { Entry::new() }; REGIONS];

/// How many entries of the registry have ever been used.
static USED: AtomicUsize = AtomicUsize::new(0);

/// A place of the registry. `base` is 0 where it is free, and written last.
struct Entry {
    base: AtomicUsize,
    len: AtomicUsize,
    region: AtomicPtr<Region>,
}

impl Entry {
    const fn new() -> Self {
        Self {
            base: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            region: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

/// What the handler has found out about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// The page is accessible now: the access can be made again.
    Committed,
    /// It could have been, but the system has no room.
    NoRoom,
    /// It is none of ours, or out of its memory's bounds.
    Foreign,
}

/// Makes the page of a pooled memory accessible that an access has missed. For the fault handler: takes no lock and
/// allocates nothing.
pub(super) fn touch(address: usize) -> Touch {
    for entry in &REGISTRY[..USED.load(Ordering::Acquire).min(REGIONS)] {
        let base = entry.base.load(Ordering::Acquire);
        if base == 0 || address.wrapping_sub(base) >= entry.len.load(Ordering::Relaxed) {
            continue;
        }
        let region = entry.region.load(Ordering::Acquire);
        if entry.base.load(Ordering::Acquire) != base {
            continue;
        }
        // SAFETY: the region was in the registry just now, and its addresses are those that this thread has touched. Only who
        // has one of its slots does so, and a slot holds its region alive. Of other regions nothing was looked at but
        // what the registry itself has.
        let region = unsafe { &*region };
        return region.touch(address - base);
    }
    Touch::Foreign
}

/// A range of slots.
#[derive(Debug)]
pub(crate) struct Region {
    base: usize,
    /// Its place in the registry.
    entry: usize,
    slots: Box<[Slot]>,
    free: Mutex<Vec<u32>>,
    /// Extents that all slots have together, beyond the first of each; and how many they may have.
    further: AtomicUsize,
    further_max: usize,
}

/// What is known of a slot. Written by the thread that has it alone.
#[derive(Debug)]
struct Slot {
    /// Bytes from its start that a touch may make accessible: the size of the memory now.
    accessible: AtomicUsize,
    /// What its pages hold at first; null for zeros.
    image: AtomicPtr<Image>,
    /// First page in the upper half, one past the last in the lower; in ascending order; they may adjoin.
    extents: [AtomicU64; EXTENTS],
    count: AtomicUsize,
    /// Touches that were a fault.
    faults: AtomicU32,
}

/// A few pages of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    start: usize,
    end: usize,
}

impl Extent {
    fn pack(self) -> u64 {
        (self.start as u64) << 32 | self.end as u64
    }

    fn unpack(bits: u64) -> Self {
        Self {
            start: (bits >> 32) as usize,
            end: (bits as u32) as usize,
        }
    }

    fn len(self) -> usize {
        self.end - self.start
    }
}

impl Region {
    /// Reserves `slots` slots. With more extents than one for each slot and `further_max` beside, pages in between are taken along.
    ///
    /// # Errors
    /// What the system says where it has no room for so many addresses; `Unsupported` where the handler could not tell a
    /// touch.
    pub(crate) fn new(slots: usize, further_max: usize) -> io::Result<Arc<Self>> {
        // SAFETY: it only asks. (rustix's way to ask reads what valgrind does not show.)
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        if !super::SUPPORTED || usize::try_from(page) != Ok(IMAGE_PAGE) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "pooled memories need pages of 4 KiB and fault handlers, which this machine has not",
            ));
        }
        signals::prepare_thread()?;
        let len = slots
            .checked_mul(STRIDE)
            .ok_or(io::ErrorKind::OutOfMemory)?
            .max(STRIDE);
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new private mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), flags) }?;
        let mut region = Self {
            base: base.addr(),
            entry: REGIONS,
            slots: (0..slots).map(|_| Slot::new()).collect(),
            // The lowest first.
            free: Mutex::new((0..slots as u32).rev().collect()),
            further: AtomicUsize::new(0),
            further_max,
        };
        region.entry = claim_entry()?;
        let region = Arc::new(region);
        let entry = &REGISTRY[region.entry];
        entry.len.store(len, Ordering::Relaxed);
        entry
            .region
            .store(Arc::as_ptr(&region).cast_mut(), Ordering::Relaxed);
        entry.base.store(region.base, Ordering::Release);
        Ok(region)
    }

    fn len(&self) -> usize {
        self.slots.len().max(1) * STRIDE
    }

    /// Takes a slot, for a memory of no size yet. `None` where all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Option<SlotMemory> {
        let slot = self.free().pop()?;
        Some(SlotMemory {
            region: self.clone(),
            slot,
            image: Arc::default(),
        })
    }

    /// Slots that are not taken.
    pub(crate) fn available(&self) -> usize {
        self.free().len()
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_of(&self, slot: usize) -> usize {
        self.base + slot * STRIDE
    }

    fn touch(&self, offset: usize) -> Touch {
        let (number, within) = (offset / STRIDE, offset % STRIDE);
        let Some(slot) = self.slots.get(number) else {
            return Touch::Foreign;
        };
        let accessible = slot.accessible.load(Ordering::Relaxed);
        if within >= accessible {
            return Touch::Foreign;
        }
        let page = within / IMAGE_PAGE;
        let pages = accessible / IMAGE_PAGE;
        let (extents, count) = slot.extents();
        let extents = &extents[..count];
        if extents
            .iter()
            .any(|extent| (extent.start..extent.end).contains(&page))
        {
            return Touch::Foreign;
        }
        let more = count == 0 || self.further.load(Ordering::Relaxed) < self.further_max;
        let grown = growth(extents, page, pages, more && count < EXTENTS);
        slot.faults.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the pages belong to the slot, whose owner is on this thread and waits for this very access.
        if unsafe { self.commit(number, grown) }.is_err() {
            return Touch::NoRoom;
        }
        slot.add(grown);
        self.recount(count, slot.count.load(Ordering::Relaxed));
        Touch::Committed
    }

    /// Notes that a slot which had `before` extents has `after` now.
    fn recount(&self, before: usize, after: usize) {
        let (before, after) = (before.max(1), after.max(1));
        // Mostly they are as many, and then a locked instruction would be all that this does.
        if after > before {
            self.further.fetch_add(after - before, Ordering::Relaxed);
        } else if after < before {
            self.further.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Makes pages accessible that were not, with what the image says.
    ///
    /// # Safety
    /// The slot is the caller's, or the thread's that called the handler which this is in.
    unsafe fn commit(&self, number: usize, pages: Extent) -> io::Result<()> {
        let at = self.start_of(number) + pages.start * IMAGE_PAGE;
        let access = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the range lies in our own mapping, in the caller's slot.
        unsafe { rustix::mm::mprotect(at as *mut _, pages.len() * IMAGE_PAGE, access) }?;
        let image = self.slots[number].image.load(Ordering::Relaxed);
        // SAFETY: the owner of the slot keeps the image that it has named alive, until it names another.
        let Some(image) = (unsafe { image.as_ref() }) else {
            return Ok(());
        };
        for page in pages.start..pages.end {
            if let Some(bytes) = image.page(page) {
                let to = (self.start_of(number) + page * IMAGE_PAGE) as *mut u8;
                // SAFETY: a page that is writable since the call above, of a slot that nobody else has; `bytes` lies elsewhere.
                unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, IMAGE_PAGE) };
            }
        }
        Ok(())
    }

    /// Takes access and contents of pages away.
    ///
    /// # Errors
    /// What the system says: to take the end of a mapping away needs another for a moment, of which there may be none.
    ///
    /// # Safety
    /// The slot is the caller's, and no reference into the pages exists.
    unsafe fn release(&self, number: usize, pages: Extent) -> io::Result<()> {
        let (at, len) = (
            (self.start_of(number) + pages.start * IMAGE_PAGE) as *mut _,
            pages.len() * IMAGE_PAGE,
        );
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: the caller answers for the pages, which are ours; new ones without access take their place.
        if unsafe { rustix::mm::mmap_anonymous(at, len, ProtFlags::empty(), flags) }.is_ok() {
            return Ok(());
        }
        // At the limit of mappings there is no new one even in the place of another. What follows takes none, if the range is
        // that of whole ones.
        // SAFETY: as above; leaves zeros.
        unsafe { rustix::mm::madvise(at, len, rustix::mm::Advice::LinuxDontNeed) }?;
        // SAFETY: as above; takes access away.
        unsafe { rustix::mm::mprotect(at, len, MprotectFlags::empty()) }?;
        Ok(())
    }

    /// The same with all pages from the first extent to the last.
    ///
    /// # Safety
    /// As of [`Region::release`].
    unsafe fn release_all(&self, number: usize, extents: &[Extent]) {
        let (Some(first), Some(last)) = (extents.first(), extents.last()) else {
            return;
        };
        let (start, end) = (first.start, last.end);
        // SAFETY: the caller answers for the pages.
        let released = unsafe { self.release(number, Extent { start, end }) };
        // Whole mappings go, and what lies between them, so the system has no reason to refuse; and what a guest has left
        // must not be found by the next.
        assert!(released.is_ok(), "pages of a pooled memory can be given back");
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(entry) = REGISTRY.get(self.entry) {
            // Last what makes the place free: from then on it may be another region's.
            entry.len.store(0, Ordering::Relaxed);
            entry.region.store(ptr::null_mut(), Ordering::Relaxed);
            entry.base.store(0, Ordering::Release);
        }
        // SAFETY: the mapping is ours, whole, and no slot is taken: each holds the region.
        let unmapped = unsafe { rustix::mm::munmap(self.base as *mut _, self.len()) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}

/// Takes a place of the registry.
fn claim_entry() -> io::Result<usize> {
    for (index, entry) in REGISTRY.iter().enumerate() {
        // While a region is made its place holds an address that no one has.
        let claimed = entry
            .base
            .compare_exchange(0, usize::MAX, Ordering::AcqRel, Ordering::Relaxed);
        if claimed.is_ok() {
            entry.len.store(0, Ordering::Relaxed);
            USED.fetch_max(index + 1, Ordering::Release);
            return Ok(index);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::OutOfMemory,
        format!("a process has at most {REGIONS} pools"),
    ))
}

/// What is to be made accessible for a touch of `page`, in a memory of `pages` pages with these extents; `more` says whether
/// there may be another extent.
fn growth(extents: &[Extent], page: usize, pages: usize, more: bool) -> Extent {
    let next = extents.partition_point(|extent| extent.start <= page);
    let below = next.checked_sub(1).map(|before| extents[before]);
    let above = extents.get(next).copied();
    let upwards = |below: Extent| {
        let room = above.map_or(pages, |above| above.start);
        // Who goes on where the extent ended goes on further: as much again.
        let end = (below.end + below.len().min(GROWTH)).clamp(page + 1, room);
        Extent {
            start: below.end,
            end,
        }
    };
    let downwards = |above: Extent| {
        let room = below.map_or(0, |below| below.end);
        let start = above.start.saturating_sub(above.len().min(GAP)).clamp(room, page);
        Extent {
            start,
            end: above.start,
        }
    };
    let near = |distance| distance <= GAP;
    let (to_below, to_above) = (
        below.map(|below| page - below.end),
        above.map(|above| above.start - page),
    );
    match (below, above) {
        (Some(below), _) if to_below.is_some_and(near) => upwards(below),
        (_, Some(above)) if to_above.is_some_and(near) => downwards(above),
        _ if more => Extent {
            start: page,
            end: page + 1,
        },
        (Some(below), None) => upwards(below),
        (Some(below), _) if to_below <= to_above => upwards(below),
        (_, Some(above)) => downwards(above),
        (None, None) => Extent {
            start: page,
            end: page + 1,
        },
    }
}

impl Slot {
    fn new() -> Self {
        Self {
            accessible: AtomicUsize::new(0),
            image: AtomicPtr::new(ptr::null_mut()),
            extents: [const { AtomicU64::new(0) }; EXTENTS],
            count: AtomicUsize::new(0),
            faults: AtomicU32::new(0),
        }
    }

    fn extents(&self) -> ([Extent; EXTENTS], usize) {
        let extents = self
            .extents
            .each_ref()
            .map(|extent| Extent::unpack(extent.load(Ordering::Relaxed)));
        (extents, self.count.load(Ordering::Relaxed))
    }

    fn set_extents(&self, extents: &[Extent]) {
        for (slot, extent) in self.extents.iter().zip(extents) {
            slot.store(extent.pack(), Ordering::Relaxed);
        }
        self.count.store(extents.len(), Ordering::Relaxed);
    }

    /// Notes pages that are accessible now: as more of the extent below or above that they adjoin, or else as one of their own.
    fn add(&self, added: Extent) {
        let (mut extents, count) = self.extents();
        let at = extents[..count].partition_point(|extent| extent.start < added.start);
        if at > 0 && extents[at - 1].end == added.start {
            // Pages that were written apart stay mappings of their own where they meet, so two extents never become one.
            extents[at - 1].end = added.end;
            return self.set_extents(&extents[..count]);
        }
        if at < count && extents[at].start == added.end {
            extents[at].start = added.start;
            return self.set_extents(&extents[..count]);
        }
        extents.copy_within(at..count, at + 1);
        extents[at] = added;
        self.set_extents(&extents[..count + 1]);
    }
}

/// A memory in a slot of a region.
#[derive(Debug)]
pub(crate) struct SlotMemory {
    region: Arc<Region>,
    slot: u32,
    /// What the slot's pages hold at first. Kept here for the handler, which knows its address.
    image: Arc<Image>,
}

impl SlotMemory {
    fn slot(&self) -> &Slot {
        &self.region.slots[self.slot as usize]
    }

    /// Its first byte.
    pub(super) fn base(&self) -> *mut u8 {
        self.region.start_of(self.slot as usize) as *mut u8
    }

    /// Bytes that may be touched.
    pub(super) fn accessible(&self) -> usize {
        self.slot().accessible.load(Ordering::Relaxed)
    }

    /// All its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: that many bytes from `base` on are ours, and are initialised: those of pages that are not accessible become
        // so when they are touched, which nobody but the handler sees, as it is with any page that the kernel brings in on
        // demand. Writers need `&mut self`.
        unsafe { std::slice::from_raw_parts(self.base(), self.accessible()) }
    }

    /// All its bytes, to be written.
    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.base(), self.accessible()) }
    }

    /// Whether an address lies in the slot, accessible or not.
    pub(super) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base().addr()) < STRIDE
    }

    /// Lets the memory grow to so many bytes, whole pages of wasm.
    pub(super) fn grow(&mut self, bytes: usize) {
        debug_assert!(bytes >= self.accessible() && bytes <= 1 << 32);
        self.slot().accessible.store(bytes, Ordering::Relaxed);
    }

    /// Touches that were a fault since the slot was taken.
    pub(crate) fn faults(&self) -> u32 {
        self.slot().faults.load(Ordering::Relaxed)
    }

    /// Bytes that are accessible, and so may take memory.
    pub(crate) fn committed(&self) -> usize {
        let (extents, count) = self.slot().extents();
        extents[..count]
            .iter()
            .map(|extent| extent.len() * IMAGE_PAGE)
            .sum()
    }

    /// Makes the memory begin with `image`, whatever it held before. Of what is accessible, `kept` bytes at most stay so;
    /// the rest is given back to the system.
    pub(crate) fn rebind(&mut self, image: &Arc<Image>, kept: usize) {
        // The handler must never see an image that is not kept alive.
        self.slot()
            .image
            .store(Arc::as_ptr(image).cast_mut(), Ordering::Relaxed);
        self.image = image.clone();
        self.reset(kept);
    }

    /// Makes the memory as it was at first: `kept` as of [`SlotMemory::rebind`].
    pub(crate) fn reset(&mut self, kept: usize) {
        let pages = self.image.len() / IMAGE_PAGE;
        let (before, count) = self.slot().extents();
        let mut after = [Extent { start: 0, end: 0 }; EXTENTS];
        let mut len = 0;
        let mut room = kept / IMAGE_PAGE;
        for extent in &before[..count] {
            // What the memory has grown by must fault again; what is too much is given back.
            let end = extent
                .end
                .min(pages)
                .min(extent.start.saturating_add(room))
                .max(extent.start);
            let (stays, goes) = (
                Extent { end, ..*extent },
                Extent {
                    start: end,
                    ..*extent
                },
            );
            // SAFETY: the slot is ours, and `&mut self` says that nobody refers into it.
            if goes.len() > 0 && unsafe { self.region.release(self.slot as usize, goes) }.is_err() {
                // SAFETY: as above.
                unsafe { self.region.release_all(self.slot as usize, &before[..count]) };
                len = 0;
                break;
            }
            if stays.len() > 0 {
                room -= stays.len();
                self.write_back(stays);
                after[len] = stays;
                len += 1;
            }
        }
        let slot = self.slot();
        slot.accessible.store(self.image.len(), Ordering::Relaxed);
        slot.set_extents(&after[..len]);
        self.region.recount(count, len);
    }

    /// Writes what the image says to accessible pages.
    fn write_back(&mut self, extent: Extent) {
        let start = self.base().wrapping_add(extent.start * IMAGE_PAGE).cast::<Page>();
        // SAFETY: the pages are accessible and initialised, begin at a page's start, and are ours alone for as long as `self` is
        // borrowed mutably.
        let pages = unsafe { std::slice::from_raw_parts_mut(start, extent.len()) };
        write_back(pages, extent.start, &self.image);
    }
}

impl Drop for SlotMemory {
    fn drop(&mut self) {
        let slot = self.slot();
        slot.accessible.store(0, Ordering::Relaxed);
        let (extents, count) = slot.extents();
        // SAFETY: the slot is ours, and no reference into it outlives `self`.
        unsafe { self.region.release_all(self.slot as usize, &extents[..count]) };
        slot.set_extents(&[]);
        slot.image.store(ptr::null_mut(), Ordering::Relaxed);
        slot.faults.store(0, Ordering::Relaxed);
        self.region.recount(count, 0);
        self.region.free().push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(of: &[(usize, usize)]) -> Vec<Extent> {
        of.iter().map(|&(start, end)| Extent { start, end }).collect()
    }

    /// What is made accessible for a touch of `page` in a memory of 1000 pages.
    fn grown(of: &[(usize, usize)], page: usize, more: bool) -> (usize, usize) {
        let Extent { start, end } = growth(&extents(of), page, 1000, more);
        assert!(start <= page && page < end && end <= 1000);
        (start, end)
    }

    #[test]
    fn a_touch_brings_its_page_and_who_goes_on_gets_more() {
        assert_eq!(grown(&[], 5, true), (5, 6));
        assert_eq!(grown(&[(0, 1)], 1, true), (1, 2));
        assert_eq!(grown(&[(0, 8)], 8, true), (8, 16));
        assert_eq!(grown(&[(0, 500)], 500, true), (500, 564), "but not all at once");
        assert_eq!(
            grown(&[(0, 8)], 10, true),
            (8, 16),
            "stray pages make no extent of their own"
        );
        assert_eq!(grown(&[(0, 8)], 100, true), (100, 101));
        assert_eq!(grown(&[(10, 12)], 9, true), (8, 10), "a stack grows downwards");
        assert_eq!(grown(&[(0, 8), (12, 20)], 8, true), (8, 12), "not into the next");
        assert_eq!(grown(&[(0, 990)], 999, true), (999, 1000));
        assert_eq!(grown(&[(0, 998)], 998, true), (998, 1000), "not beyond the end");
    }

    #[test]
    fn without_room_for_an_extent_the_nearest_grows() {
        assert_eq!(grown(&[(0, 1)], 100, false), (1, 101));
        assert_eq!(grown(&[(900, 901)], 100, false), (100, 900));
        assert_eq!(grown(&[(0, 1), (200, 201)], 90, false), (1, 91));
        assert_eq!(grown(&[(0, 1), (200, 201)], 190, false), (190, 200));
        assert_eq!(grown(&[], 7, false), (7, 8), "the first is always to be had");
    }

    #[test]
    fn extents_are_in_order_and_never_become_one() {
        let slot = Slot::new();
        for (added, after) in [
            ((10, 11), &[(10, 11)][..]),
            ((2, 3), &[(2, 3), (10, 11)]),
            ((20, 24), &[(2, 3), (10, 11), (20, 24)]),
            ((11, 13), &[(2, 3), (10, 13), (20, 24)]),
            ((13, 20), &[(2, 3), (10, 20), (20, 24)]),
            ((1, 2), &[(1, 3), (10, 20), (20, 24)]),
        ] {
            let (start, end) = added;
            slot.add(Extent { start, end });
            let (extents, count) = slot.extents();
            assert_eq!(extents[..count], self::extents(after)[..]);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn slots_come_back_and_their_extents_with_them() {
        let region = Region::new(2, 3).expect("address space");
        let image = Arc::new(Image::of(&vec![0; 1 << 20]));
        let mut slot = region.take().expect("a slot");
        let _other = region.take().expect("another");
        assert!(region.take().is_none());
        slot.rebind(&image, 0);
        for page in [0, 50, 100, 150, 200] {
            slot.bytes_mut()[page * IMAGE_PAGE] = 1;
        }
        assert_eq!(region.further.load(Ordering::Relaxed), 3, "and no more");
        assert_eq!(slot.faults(), 5);
        slot.reset(usize::MAX);
        assert!(slot.bytes().iter().all(|&byte| byte == 0));
        assert_eq!(slot.committed(), 1 << 20);
        assert_eq!(
            region.further.load(Ordering::Relaxed),
            3,
            "they stay what they are"
        );
        slot.reset(0);
        assert_eq!((slot.committed(), region.further.load(Ordering::Relaxed)), (0, 0));
        drop(slot);
        assert_eq!(region.available(), 1);
    }
}
