//! A reserved range of addresses, committed from its start as it is asked for.
//!
//! ```text
//! base                    committed                                     reserved
//!  ├── readable, writable ──┼──── no access: any touch is a fault ─────────┤
//! ```
//!
//! Reserving costs address space and one mapping, no memory. Pages that are committed read as zero until they are written.

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::io;
use std::ptr::NonNull;

/// A private anonymous mapping that nobody else knows of.
#[derive(Debug)]
pub(super) struct Reservation {
    base: NonNull<u8>,
    reserved: usize,
    committed: usize,
}

// SAFETY: the mapping is owned by this value alone and is plain memory; nothing about it belongs to a thread.
unsafe impl Send for Reservation {}
// SAFETY: shared access gives out `&[u8]` only; every write needs `&mut self`.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `reserved` bytes, none of them accessible yet. A multiple of the host's page size.
    ///
    /// # Errors
    /// What the system says, above all `ENOMEM` where address space or the number of mappings is limited.
    pub(super) fn new(reserved: usize) -> io::Result<Self> {
        if reserved == 0 {
            return Ok(Self {
                base: NonNull::dangling(),
                reserved: 0,
                committed: 0,
            });
        }
        // SAFETY: a new private mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                reserved,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("a mapping at address zero"))?;
        Ok(Self {
            base,
            reserved,
            committed: 0,
        })
    }

    /// Makes the first `bytes` bytes accessible; never takes any back.
    ///
    /// # Errors
    /// What the system says; `ENOMEM` where `bytes` exceeds the reservation.
    pub(super) fn commit(&mut self, bytes: usize) -> io::Result<()> {
        if bytes <= self.committed {
            return Ok(());
        }
        if bytes > self.reserved {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        let start = self.base.as_ptr().wrapping_add(self.committed);
        // SAFETY: the range lies inside of our own mapping, behind what is committed, and nothing refers to it yet.
        unsafe {
            rustix::mm::mprotect(
                start.cast(),
                bytes - self.committed,
                MprotectFlags::READ | MprotectFlags::WRITE,
            )
        }?;
        self.committed = bytes;
        Ok(())
    }

    /// Whether an address lies in the reservation, accessible or not.
    pub(super) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base.addr().get()) < self.reserved
    }

    /// Bytes that are accessible.
    pub(super) fn committed(&self) -> usize {
        self.committed
    }

    /// The committed bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `committed` bytes from `base` on are mapped readable, initialised (anonymous pages are zero), and live
        // as long as `self`; writers need `&mut self`. With nothing committed the slice is empty and `base` dangling.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.committed) }
    }

    /// The committed bytes, to be written.
    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.committed) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.reserved == 0 {
            return;
        }
        // SAFETY: the mapping is ours, whole, and no reference into it outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.reserved) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn committed_pages_are_zero_and_writable() {
        let mut area = Reservation::new(1 << 32).expect("address space");
        assert!(area.bytes().is_empty());
        area.commit(65536).expect("memory");
        assert!(area.bytes().iter().all(|&byte| byte == 0));
        area.bytes_mut()[65535] = 7;
        area.commit(131_072).expect("memory");
        assert_eq!(area.bytes()[65535], 7);
        assert_eq!(area.committed(), 131_072);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn more_than_reserved_is_refused() {
        let mut area = Reservation::new(65536).expect("address space");
        assert_eq!(
            area.commit(131_072).unwrap_err().kind(),
            io::ErrorKind::OutOfMemory
        );
    }
}
