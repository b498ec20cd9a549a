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
use crate::types::MemoryType;
use std::io;

/// Bytes in a page of linear memory.
pub(crate) const PAGE: usize = 65536;

/// What is reserved for each memory.
const RESERVED: usize = (8 << 30) + PAGE;

/// The most pages that a 32-bit address can reach.
pub(crate) const MAX_PAGES: u32 = 65536;

/// A linear memory.
#[derive(Debug)]
pub(crate) struct LinearMemory {
    area: Reservation,
    /// Pages that it may grow to: the least of the module's maximum, the limits', and the address space's.
    ceiling: u32,
    maximum: Option<u32>,
    memory64: bool,
}

impl LinearMemory {
    /// A memory of `ty.minimum` zeroed pages, which may grow to `limit` pages at most.
    ///
    /// # Errors
    /// What the system says where address space or memory lacks.
    pub(crate) fn new(ty: MemoryType, limit: u32) -> io::Result<Self> {
        let mut area = Reservation::new(RESERVED)?;
        area.commit(ty.minimum as usize * PAGE)?;
        let ceiling = ty.maximum.unwrap_or(MAX_PAGES).min(limit).min(MAX_PAGES);
        Ok(Self {
            area,
            ceiling,
            maximum: ty.maximum,
            memory64: ty.memory64,
        })
    }

    /// Its size now, in pages.
    pub(crate) fn pages(&self) -> u32 {
        (self.area.committed() / PAGE) as u32
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
        self.area.commit(after as usize * PAGE).ok()?;
        Some(before)
    }

    /// Whether an address is one of those that are reserved for it: where a guest's access may fault.
    pub(super) fn reserves(&self, address: usize) -> bool {
        self.area.contains(address)
    }

    /// All its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.area.bytes()
    }

    /// All its bytes, to be written.
    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.area.bytes_mut()
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
