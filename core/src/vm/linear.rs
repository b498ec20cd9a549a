//! Linear memory: a guest's bytes.
//!
//! ```text
//! base            size                 4 GiB                    8 GiB + 64 KiB
//!  ├─── pages ──────┼─── not committed ───┼──── guard ─────────────┤
//!     accessible        any touch of these is a fault
//! ```
//!
//! A 32-bit address plus a 32-bit constant offset, added in 64 bits, is below 8 GiB; with the widest access behind it,
//! below 8 GiB + 64 KiB. The whole of that is reserved, so that machine code needs no bounds check: what is out of bounds
//! lands on a page without access. The base never moves. A 64-bit address can be anything and needs a check wherever it is
//! used, but the memory is the same: it only may not grow beyond 4 GiB. The interpreter checks against the size all the same.

use super::mmap::Reservation;
use super::region::{STRIDE, SlotMemory};
use crate::image::Image;
use crate::types::MemoryType;
use std::io;
use std::sync::Arc;

/// Bytes in a page of linear memory.
pub(crate) const PAGE: usize = 65536;

/// What is reserved for each memory.
const RESERVED: usize = (8 << 30) + PAGE;

const _: () = assert!(STRIDE == RESERVED);

/// The most pages that a 32-bit address can reach.
pub(crate) const MAX_PAGES: u32 = 65536;

/// A linear memory.
#[derive(Debug)]
pub(crate) struct LinearMemory {
    backing: Backing,
    /// Pages that it may grow to: the least of the module's maximum, the limits', and the address space's.
    ceiling: u32,
    maximum: Option<u32>,
    memory64: bool,
}

/// Where the bytes lie.
#[derive(Debug)]
enum Backing {
    /// In a mapping of the memory's own.
    Owned(Reservation),
    /// In a slot of a pool's region: pages become accessible when they are touched.
    Pooled(SlotMemory),
}

impl LinearMemory {
    /// A memory of `ty.minimum` zeroed pages, which may grow to `limit` pages at most.
    ///
    /// # Errors
    /// What the system says where address space or memory lacks.
    pub(crate) fn new(ty: MemoryType, limit: u32) -> io::Result<Self> {
        let mut area = Reservation::new(RESERVED)?;
        area.commit(ty.minimum as usize * PAGE)?;
        Ok(Self::backed(Backing::Owned(area), ty, limit))
    }

    /// The same in a slot, whose pages hold what `image` says.
    pub(crate) fn pooled(mut slot: SlotMemory, image: &Arc<Image>, ty: MemoryType, limit: u32) -> Self {
        slot.rebind(image, 0);
        Self::backed(Backing::Pooled(slot), ty, limit)
    }

    fn backed(backing: Backing, ty: MemoryType, limit: u32) -> Self {
        Self {
            backing,
            ceiling: ty.maximum.unwrap_or(MAX_PAGES).min(limit).min(MAX_PAGES),
            maximum: ty.maximum,
            memory64: ty.memory64,
        }
    }

    fn len(&self) -> usize {
        match &self.backing {
            Backing::Owned(area) => area.committed(),
            Backing::Pooled(slot) => slot.accessible(),
        }
    }

    /// Its size now, in pages.
    pub(crate) fn pages(&self) -> u32 {
        (self.len() / PAGE) as u32
    }

    /// Its type, with the size that it has now, as importing modules see it.
    pub(crate) fn ty(&self) -> MemoryType {
        MemoryType {
            minimum: self.pages(),
            maximum: self.maximum,
            memory64: self.memory64,
        }
    }

    /// Grows by `delta` pages; gives the size before, or `None` where it may not or cannot.
    pub(crate) fn grow(&mut self, delta: u32) -> Option<u32> {
        let before = self.pages();
        let after = before.checked_add(delta)?;
        if after > self.ceiling {
            return None;
        }
        let bytes = after as usize * PAGE;
        match &mut self.backing {
            Backing::Owned(area) => area.commit(bytes).ok()?,
            Backing::Pooled(slot) => slot.grow(bytes),
        }
        Some(before)
    }

    /// Whether an address is one of those that are reserved for it: where a guest's access may fault.
    pub(super) fn reserves(&self, address: usize) -> bool {
        match &self.backing {
            Backing::Owned(area) => area.contains(address),
            Backing::Pooled(slot) => slot.contains(address),
        }
    }

    /// Whether an address is one of its bytes.
    pub(super) fn is_in_bounds(&self, address: usize) -> bool {
        self.reserves(address) && address.wrapping_sub(self.bytes().as_ptr().addr()) < self.len()
    }

    /// All its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.backing {
            Backing::Owned(area) => area.bytes(),
            Backing::Pooled(slot) => slot.bytes(),
        }
    }

    /// All its bytes, to be written.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.backing {
            Backing::Owned(area) => area.bytes_mut(),
            Backing::Pooled(slot) => slot.bytes_mut(),
        }
    }

    /// The slot that it lies in, if it is pooled.
    pub(crate) fn slot_mut(&mut self) -> Option<&mut SlotMemory> {
        match &mut self.backing {
            Backing::Owned(_) => None,
            Backing::Pooled(slot) => Some(slot),
        }
    }

    /// The same, to be asked.
    pub(crate) fn slot(&self) -> Option<&SlotMemory> {
        match &self.backing {
            Backing::Owned(_) => None,
            Backing::Pooled(slot) => Some(slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn grows_to_its_maximum_and_no_further() {
        let ty = MemoryType {
            minimum: 1,
            maximum: Some(3),
            memory64: false,
        };
        let mut memory = LinearMemory::new(ty, 100).expect("memory");
        assert_eq!(memory.grow(2), Some(1));
        assert_eq!(memory.grow(1), None);
        assert_eq!(memory.grow(0), Some(3));
        assert_eq!(memory.bytes().len(), 3 * PAGE);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn the_limit_counts_where_the_module_names_none() {
        let mut memory = LinearMemory::new(
            MemoryType {
                minimum: 0,
                maximum: None,
                memory64: false,
            },
            2,
        )
        .expect("memory");
        assert_eq!(memory.grow(3), None);
        assert_eq!(memory.grow(2), Some(0));
        assert_eq!(memory.grow(u32::MAX), None);
    }
}
