//! What a memory holds when an instance begins: the pages that are not zero.
//!
//! ```text
//! memory   │ page 0 │ page 1 │ page 2 │ page 3 │ ... zero to the end
//! index      0        ZERO     1        ZERO
//! bytes    │ page 0 │ page 2 │
//! ```
//!
//! An image is made once for each module, from a memory into which its data segments have been written and its start
//! function has run. Instances begin with a copy of the pages that they touch, and are brought back to it when they end.

/// Bytes of a page of an image: the unit in which memory is handed out and written back.
pub(crate) const IMAGE_PAGE: usize = 4096;

/// A page that holds zeros only.
const ZERO: u32 = u32::MAX;

/// The first contents of a memory.
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// For each page its number in `bytes`; pages behind the last are zero.
    index: Box<[u32]>,
    bytes: Box<[u8]>,
    /// Bytes of the memory, zeros included.
    len: usize,
}

impl Image {
    /// The image of a memory that holds `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut index = Vec::new();
        let mut kept = Vec::new();
        for page in bytes.chunks(IMAGE_PAGE) {
            if page.iter().all(|&byte| byte == 0) {
                index.push(ZERO);
            } else {
                // A memory has at most 2^20 pages of this size.
                index.push((kept.len() / IMAGE_PAGE) as u32);
                kept.extend_from_slice(page);
                kept.resize(kept.len().next_multiple_of(IMAGE_PAGE), 0);
            }
        }
        let used = index
            .iter()
            .rposition(|&page| page != ZERO)
            .map_or(0, |last| last + 1);
        index.truncate(used);
        Self {
            index: index.into(),
            bytes: kept.into(),
            len: bytes.len(),
        }
    }

    /// Bytes that the memory has at its start.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that are not zero, in whole pages.
    pub(crate) fn kept(&self) -> usize {
        self.bytes.len()
    }

    /// The contents of a page; `None` where it is zero.
    #[inline]
    pub(crate) fn page(&self, number: usize) -> Option<&[u8]> {
        let &page = self.index.get(number)?;
        let start = page as usize * IMAGE_PAGE;
        // One that is zero lies behind the end.
        self.bytes.get(start..start + IMAGE_PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_zero_is_kept() {
        let mut bytes = vec![0; 5 * IMAGE_PAGE];
        bytes[1] = 1;
        bytes[3 * IMAGE_PAGE - 1] = 3;
        let image = Image::of(&bytes);
        assert_eq!((image.len(), image.kept()), (5 * IMAGE_PAGE, 2 * IMAGE_PAGE));
        assert_eq!(image.page(0).map(|page| page[1]), Some(1));
        assert_eq!(image.page(1), None);
        assert_eq!(image.page(2).map(|page| page[IMAGE_PAGE - 1]), Some(3));
        assert_eq!(image.page(3), None);
        assert_eq!(image.page(1 << 40), None);
        assert_eq!(Image::of(&[]).page(0), None);
    }
}
