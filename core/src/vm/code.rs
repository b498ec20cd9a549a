//! Where machine code lies: one range of addresses, reserved once for the whole process.
//!
//! ```text
//! start                                                                   end
//!  ├─ module A ─┬─ free ─┬─ module B ──┬─ free ─────────────────────────────┤
//!     read, execute         read, execute    no access
//! ```
//!
//! A signal handler can tell by one comparison whether an address is generated code, without a lock and without
//! looking anything up. Pages are writable while code is copied in and executable afterwards, never both.

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is reserved, if the system lets us: a guess at what a machine full of functions needs. Where it does not, a quarter of
/// what it still has.
const RESERVED_MAX: usize = 4 << 30;

/// The least that is worth reserving.
const RESERVED_MIN: usize = 16 << 20;

/// Granularity of what modules get: a multiple of every system's pages. Only those that hold code cost memory.
const PAGE: usize = 64 << 10;

/// First address of the range; 0 until it is reserved.
static START: AtomicUsize = AtomicUsize::new(0);
/// Its length, written before `START`.
static LENGTH: AtomicUsize = AtomicUsize::new(0);
/// The parts of the range that no module has.
static FREE: Mutex<FreePages> = Mutex::new(FreePages(Vec::new()));

/// Whether an address may be one of generated code. Safe to ask in a signal handler.
pub(super) fn contains(address: usize) -> bool {
    let start = START.load(Ordering::Acquire);
    start != 0 && address.wrapping_sub(start) < LENGTH.load(Ordering::Relaxed)
}

/// Machine code that can be run. Dropping it gives its pages back.
#[derive(Debug)]
pub(crate) struct PublishedCode {
    start: usize,
    len: usize,
}

impl PublishedCode {
    /// Copies `text` to where it can be run.
    ///
    /// # Errors
    /// What the system says; `OutOfMemory` where the range is full.
    pub(crate) fn new(text: &[u8]) -> io::Result<Self> {
        if text.is_empty() {
            return Ok(Self { start: 0, len: 0 });
        }
        let start = FreePages::lock().take(text.len().div_ceil(PAGE) * PAGE)?;
        let code = Self {
            start,
            len: text.len(),
        };
        code.protect(MprotectFlags::READ | MprotectFlags::WRITE)?;
        // SAFETY: the pages are ours alone, writable since the line above, and `text` is a slice of elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), start as *mut u8, text.len()) };
        code.protect(MprotectFlags::READ | MprotectFlags::EXEC)?;
        Ok(code)
    }

    /// Address of its first byte.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Its bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The offset of an address in it.
    pub(crate) fn offset_of(&self, address: usize) -> Option<u32> {
        let offset = address.wrapping_sub(self.start);
        (offset < self.len).then_some(offset as u32)
    }

    fn pages(&self) -> Range<usize> {
        self.start..self.start + self.len.div_ceil(PAGE) * PAGE
    }

    fn protect(&self, flags: MprotectFlags) -> io::Result<()> {
        // SAFETY: the pages lie in the range that this module reserved and belong to `self`; they are writable only in
        // `new`, before anybody knows their address.
        Ok(unsafe { rustix::mm::mprotect(self.start as *mut _, self.pages().len(), flags) }?)
    }
}

impl Drop for PublishedCode {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: the pages are ours, and nobody runs in them: a run needs its store, whose instances hold the module.
        if unsafe { map(self.start, self.pages().len(), MapFlags::FIXED) }.is_ok() {
            FreePages::lock().give(self.pages());
        }
        // Otherwise the system has no room for bookkeeping: the pages stay as they are and are not used again.
    }
}

/// Maps inaccessible pages.
///
/// # Safety
/// With `MapFlags::FIXED` the range must be the caller's own, and nothing may refer to it.
unsafe fn map(start: usize, len: usize, flags: MapFlags) -> io::Result<usize> {
    let flags = flags | MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: without FIXED nothing is replaced; with it, only what the caller answers for.
    let mapped = unsafe { rustix::mm::mmap_anonymous(start as *mut _, len, ProtFlags::empty(), flags) }?;
    Ok(mapped as usize)
}

/// Ranges of free addresses, in ascending order, no two of them adjacent.
#[derive(Debug)]
struct FreePages(Vec<Range<usize>>);

impl FreePages {
    fn lock() -> std::sync::MutexGuard<'static, Self> {
        FREE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `len` bytes from the first range that has them.
    fn take(&mut self, len: usize) -> io::Result<usize> {
        if START.load(Ordering::Relaxed) == 0 {
            self.reserve()?;
        }
        let index = self.0.iter().position(|free| free.len() >= len);
        let index = index.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::OutOfMemory,
                "the address space for machine code is full",
            )
        })?;
        let start = self.0[index].start;
        self.0[index].start += len;
        if self.0[index].is_empty() {
            self.0.remove(index);
        }
        Ok(start)
    }

    /// Takes a range back.
    fn give(&mut self, range: Range<usize>) {
        let next = self.0.partition_point(|free| free.start < range.start);
        self.0.insert(next, range);
        if next + 1 < self.0.len() && self.0[next].end == self.0[next + 1].start {
            self.0[next].end = self.0.remove(next + 1).end;
        }
        if next > 0 && self.0[next - 1].end == self.0[next].start {
            self.0[next - 1].end = self.0.remove(next).end;
        }
    }

    fn reserve(&mut self) -> io::Result<()> {
        let mut len = RESERVED_MAX;
        let start = loop {
            // SAFETY: not FIXED.
            match unsafe { map(0, len, MapFlags::empty()) } {
                Ok(start) => break start,
                Err(_) if len > RESERVED_MIN => len /= 2,
                Err(error) => return Err(error),
            }
        };
        if len < RESERVED_MAX {
            // Address space is limited, and this may be the last of it: stacks need some too.
            let kept = (len / 4).max(RESERVED_MIN);
            // SAFETY: the rest of the mapping just made, to which nothing refers.
            if unsafe { rustix::mm::munmap((start + kept) as *mut _, len - kept) }.is_ok() {
                len = kept;
            }
        }
        LENGTH.store(len, Ordering::Relaxed);
        START.store(start, Ordering::Release);
        self.0.push(start..start + len);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_pages_grow_together_again() {
        let mut free = FreePages(Vec::new());
        for range in [100..200, 300..400, 50..60] {
            free.give(range);
        }
        assert_eq!(free.0, [50..60, 100..200, 300..400]);
        free.give(200..300);
        assert_eq!(free.0, [50..60, 100..400]);
        free.give(60..100);
        assert_eq!((free.0.len(), free.0[0].clone()), (1, 50..400));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn code_lies_in_the_range_while_it_is_published() {
        let text = vec![0xcc; PAGE + 1];
        let code = PublishedCode::new(&text).expect("executable memory");
        assert!(contains(code.start()) && contains(code.start() + PAGE));
        assert_eq!(code.offset_of(code.start() + PAGE), Some(PAGE as u32));
        assert_eq!(code.offset_of(code.start() + PAGE + 1), None);
        assert_eq!(code.offset_of(code.start().wrapping_sub(1)), None);
        assert!(!contains(contains as *const () as usize));
        assert!(!contains(0));
    }

    #[test]
    fn empty_code_needs_no_pages() {
        let code = PublishedCode::new(&[]).expect("nothing");
        assert_eq!((code.start(), code.len()), (0, 0));
        assert_eq!(code.offset_of(0), None);
    }
}
