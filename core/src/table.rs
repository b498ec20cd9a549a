//! Tables: arrays of references, reachable by guests only through table instructions.
//!
//! A reference is its slot: 0 for null, and otherwise one more than the number of a function in the store, or than what
//! the embedder numbered. It is never an address.

use crate::trap::Trap;
use crate::types::TableType;

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    elements: Vec<u64>,
    ty: TableType,
    ceiling: u32,
    /// Whether it may be otherwise than it was made, or than it was last restored.
    changed: bool,
}

impl Table {
    /// A table of `ty.minimum` elements, all `init`, which may grow to `limit`.
    pub(crate) fn new(ty: TableType, limit: u32, init: u64) -> Self {
        let ceiling = ty.maximum.unwrap_or(u32::MAX).min(limit);
        Self {
            elements: vec![init; ty.minimum as usize],
            ty,
            ceiling,
            changed: false,
        }
    }

    /// Its type, with the size that it has now.
    pub(crate) fn ty(&self) -> TableType {
        TableType {
            minimum: self.size(),
            ..self.ty
        }
    }

    /// How many elements it has.
    pub(crate) fn size(&self) -> u32 {
        self.elements.len() as u32
    }

    /// The reference at `index`.
    #[inline(always)]
    pub(crate) fn get(&self, index: u64) -> Option<u64> {
        self.elements.get(usize::try_from(index).ok()?).copied()
    }

    /// All elements.
    pub(crate) fn elements(&self) -> &[u64] {
        &self.elements
    }

    /// Makes the elements those of `initial`, of whatever table they are.
    pub(crate) fn replace(&mut self, initial: &[u64]) {
        self.elements = initial.into();
        self.changed = false;
    }

    /// Makes the elements those of `initial`, and tells whether there were more or fewer.
    pub(crate) fn restore(&mut self, initial: &[u64]) -> bool {
        if !std::mem::take(&mut self.changed) {
            return false;
        }
        let resized = self.elements.len() != initial.len();
        self.elements.clear();
        self.elements.extend_from_slice(initial);
        if resized {
            // A table that has grown once is not to keep what it took for ever.
            self.elements.shrink_to(2 * initial.len());
        }
        resized
    }

    /// Writes an element.
    pub(crate) fn set(&mut self, index: u64, reference: u64) -> Result<(), Trap> {
        self.changed = true;
        let element = usize::try_from(index)
            .ok()
            .and_then(|index| self.elements.get_mut(index));
        *element.ok_or(Trap::TableOutOfBounds)? = reference;
        Ok(())
    }

    /// Grows by `delta` elements; gives the size before, or `None` where it may not.
    pub(crate) fn grow(&mut self, delta: u32, init: u64) -> Option<u32> {
        let before = self.size();
        let after = before.checked_add(delta).filter(|&after| after <= self.ceiling)?;
        // Room doubles, so that growing by one stays cheap, but never beyond what the table may have.
        if after as usize > self.elements.capacity() {
            let room = before.saturating_mul(2).clamp(after, self.ceiling);
            self.elements.try_reserve_exact((room - before) as usize).ok()?;
        }
        self.changed = true;
        self.elements.resize(after as usize, init);
        Some(before)
    }

    /// Elements `start .. start + len`.
    ///
    /// # Errors
    /// [`Trap::TableOutOfBounds`] where there are fewer.
    pub(crate) fn range_mut(&mut self, start: u64, len: u64) -> Result<&mut [u64], Trap> {
        let (start, end) = bounds(start, len, self.elements.len()).ok_or(Trap::TableOutOfBounds)?;
        self.changed = true;
        Ok(&mut self.elements[start..end])
    }

    /// Copies within this table; the ranges may overlap.
    pub(crate) fn copy_within(&mut self, dst: u64, src: u64, len: u64) -> Result<(), Trap> {
        let size = self.elements.len();
        let (start, end) = bounds(src, len, size).ok_or(Trap::TableOutOfBounds)?;
        let (dst, _) = bounds(dst, len, size).ok_or(Trap::TableOutOfBounds)?;
        self.changed = true;
        self.elements.copy_within(start..end, dst);
        Ok(())
    }
}

/// The range `start .. start + len` if it lies within `size`.
pub(crate) fn bounds(start: u64, len: u64, size: usize) -> Option<(usize, usize)> {
    let end = start.checked_add(len)?;
    let end = usize::try_from(end).ok().filter(|&end| end <= size)?;
    Some((start as usize, end))
}
