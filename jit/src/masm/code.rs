//! The bytes of an instruction stream.
//!
//! Instructions come as words of eight bytes of which the first few count. There is always room to write the whole word, so
//! that appending is a check, a store and an addition:
//!
//! ```text
//!   .. code so far |48 89 45 f8|00 00 00 00 .. room, zero ..
//!                  ^ len       ^ len after four bytes of a word
//! ```

use std::ops::{Deref, DerefMut};

/// Code so far, and room behind it.
#[derive(Debug, Default)]
pub(super) struct Code {
    bytes: Vec<u8>,
    /// How much of `bytes` is code.
    len: usize,
}

/// Room is made in steps of so many bytes: few enough that they are still in the cache when they are written.
const STEP: usize = 1 << 14;

impl Code {
    /// Expects so many bytes.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// How many bytes there are.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends the lowest `count` bytes of a word, at most eight.
    #[inline(always)]
    pub(super) fn put(&mut self, word: u64, count: u32) {
        debug_assert!(count <= 8);
        match self.bytes.get_mut(self.len..self.len + 8) {
            Some(room) => room.copy_from_slice(&word.to_le_bytes()),
            None => self.put_behind_room(word),
        }
        self.len += count as usize;
    }

    #[cold]
    #[inline(never)]
    fn put_behind_room(&mut self, word: u64) {
        self.make_room(8);
        self.bytes[self.len..self.len + 8].copy_from_slice(&word.to_le_bytes());
    }

    /// Appends bytes.
    #[inline]
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        if self.bytes.len() - self.len < bytes.len() {
            self.make_room(bytes.len());
        }
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, bytes: usize) {
        self.bytes.resize(self.len + bytes.max(STEP), 0);
    }

    /// Takes the last bytes back.
    #[inline]
    pub(super) fn truncate(&mut self, len: usize) {
        debug_assert!(len <= self.len);
        self.len = len;
    }

    /// The code itself.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }
}

impl Deref for Code {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl DerefMut for Code {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, STEP};

    /// Words at every place around where room ends, and what is taken back is written over.
    #[test]
    fn as_many_bytes_count_as_are_said_to() {
        let mut code = Code::default();
        let mut expected = Vec::new();
        for round in 0..STEP as u64 {
            let (word, count) = (round.wrapping_mul(0x9e37_79b9_7f4a_7c15), (round % 9) as u32);
            code.put(word, count);
            expected.extend_from_slice(&word.to_le_bytes()[..count as usize]);
            if round % 7 == 0 {
                code.put_bytes(&[0xcc; 5]);
                expected.extend_from_slice(&[0xcc; 5]);
                code.truncate(code.len() - 3);
                expected.truncate(expected.len() - 3);
            }
        }
        code.put_bytes(&vec![1; 3 * STEP]);
        expected.extend(vec![1; 3 * STEP]);
        assert_eq!(*code, expected);
        assert_eq!(code.into_bytes(), expected);
    }
}
