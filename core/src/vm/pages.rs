//! Writing pages back: making them hold what an image says, whatever a run has left there.
//!
//! Most lines of a page that was touched are as they were. To read one costs half of what writing it does, which is to fetch it
//! and to put it back; so each is looked at first, and written only where it differs.

use crate::image::{IMAGE_PAGE, Image};

/// A page as the lines that are looked at and written as a whole.
pub(super) type Page = [[u64; LINE]; IMAGE_PAGE / size_of::<[u64; LINE]>()];

/// Words of such a line: four of the cache's.
const LINE: usize = 32;

/// Makes pages hold what the image says from page `first` on.
pub(super) fn write_back(pages: &mut [Page], first: usize, image: &Image) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { write_back_avx2(pages, first, image) };
    }
    compare_and_write(pages, first, image);
}

/// [`compare_and_write`] with 256-bit vectors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn write_back_avx2(pages: &mut [Page], first: usize, image: &Image) {
    compare_and_write(pages, first, image);
}

#[inline(always)]
fn compare_and_write(pages: &mut [Page], first: usize, image: &Image) {
    for (page, number) in pages.iter_mut().zip(first..) {
        match image.page(number) {
            None => clear(page),
            Some(bytes) => restore(page, bytes),
        }
    }
}

#[inline(always)]
fn clear(page: &mut Page) {
    for line in page {
        if line.iter().fold(0, |any, word| any | word) != 0 {
            *line = [0; LINE];
        }
    }
}

#[inline(always)]
fn restore(page: &mut Page, bytes: &[u8]) {
    let first: &[[u8; LINE * 8]] = bytes.as_chunks().0;
    for (line, first) in page.iter_mut().zip(first) {
        let first: &[[u8; 8]] = first.as_chunks().0;
        let mut wanted = [0; LINE];
        for (word, first) in wanted.iter_mut().zip(first) {
            *word = u64::from_ne_bytes(*first);
        }
        let differs = line
            .iter()
            .zip(&wanted)
            .fold(0, |any, (is, wanted)| any | (is ^ wanted));
        if differs != 0 {
            *line = wanted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_as_the_image_says_again() {
        let mut bytes = vec![0; 3 * IMAGE_PAGE];
        bytes[IMAGE_PAGE..2 * IMAGE_PAGE].fill(7);
        let image = Image::of(&bytes);
        let mut pages = [[[0_u64; LINE]; IMAGE_PAGE / (LINE * 8)]; 2];
        pages[0][3][5] = 1;
        pages[1][0][0] = 2;
        pages[1][15][31] = 3;
        write_back(&mut pages, 1, &image);
        assert!(
            pages[0]
                .iter()
                .flatten()
                .all(|&word| word == 0x0707_0707_0707_0707)
        );
        assert!(pages[1].iter().flatten().all(|&word| word == 0));
    }
}
