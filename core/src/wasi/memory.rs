//! Linear memory as a WASI function sees it: untrusted offsets turned into slices, or refused.
//!
//! A guest pointer is a 32-bit number that may be anything. It is widened to 64 bits before anything is added to it, so
//! `pointer + length` cannot wrap, and then compared with the length of the memory. What does not fit is `fault`: an
//! answer to the guest, never a trap and never a panic. Nothing here allocates.
//!
//! An I/O vector is an array of (pointer, length) pairs that itself lies in linear memory. A read may well overwrite the
//! very array that describes it; therefore each pair is checked at the moment when it is used.

use super::Errno;
use crate::image::IMAGE_PAGE;

/// The longest I/O vector, as Linux has it (`IOV_MAX`); a longer one is `inval`, as in POSIX.
pub(super) const IOV_MAX: u32 = 1024;

/// One linear memory, borrowed for one call.
pub(super) struct GuestMemory<'a>(&'a mut [u8]);

impl<'a> GuestMemory<'a> {
    pub(super) fn new(memory: &'a mut [u8]) -> Self {
        Self(memory)
    }

    /// The `length` bytes at `pointer`.
    pub(super) fn slice(&self, pointer: u32, length: u32) -> Result<&[u8], Errno> {
        let start = usize::try_from(pointer).map_err(|_| Errno::Fault)?;
        let end = usize::try_from(u64::from(pointer) + u64::from(length)).map_err(|_| Errno::Fault)?;
        self.0.get(start..end).ok_or(Errno::Fault)
    }

    /// The `length` bytes at `pointer`, to be written.
    pub(super) fn slice_mut(&mut self, pointer: u32, length: u32) -> Result<&mut [u8], Errno> {
        let start = usize::try_from(pointer).map_err(|_| Errno::Fault)?;
        let end = usize::try_from(u64::from(pointer) + u64::from(length)).map_err(|_| Errno::Fault)?;
        self.0.get_mut(start..end).ok_or(Errno::Fault)
    }

    /// The `N` bytes at `pointer`: a record of fixed size.
    pub(super) fn read<const N: usize>(&self, pointer: u32) -> Result<[u8; N], Errno> {
        let start = usize::try_from(pointer).map_err(|_| Errno::Fault)?;
        let record = self.0.get(start..).and_then(<[u8]>::first_chunk);
        record.copied().ok_or(Errno::Fault)
    }

    /// Writes a record of fixed size.
    pub(super) fn write<const N: usize>(&mut self, pointer: u32, record: &[u8; N]) -> Result<(), Errno> {
        let start = usize::try_from(pointer).map_err(|_| Errno::Fault)?;
        let place = self.0.get_mut(start..).and_then(<[u8]>::first_chunk_mut);
        *place.ok_or(Errno::Fault)? = *record;
        Ok(())
    }

    /// Writes a `$size` or a pointer.
    pub(super) fn write_u32(&mut self, pointer: u32, value: u32) -> Result<(), Errno> {
        self.write(pointer, &value.to_le_bytes())
    }

    /// Writes a `$timestamp` or a `$filesize`.
    pub(super) fn write_u64(&mut self, pointer: u32, value: u64) -> Result<(), Errno> {
        self.write(pointer, &value.to_le_bytes())
    }

    /// Whether a record of `length` bytes could be written at `pointer`. Asked before anything has an effect that could
    /// no longer be undone.
    pub(super) fn check(&self, pointer: u32, length: u32) -> Result<(), Errno> {
        self.slice(pointer, length).map(|_| ())
    }

    /// Checks an I/O vector and everything that it points to, before any byte moves.
    pub(super) fn io_vector(&self, pointer: u32, count: u32) -> Result<IoVector, Errno> {
        if count > IOV_MAX {
            return Err(Errno::Inval);
        }
        let vector = IoVector { pointer, count };
        self.check(pointer, count * IoVector::PAIR)?;
        for index in 0..count {
            let (buffer, length) = vector.region(self, index)?;
            self.check(buffer, length)?;
        }
        Ok(vector)
    }
}

/// Touches all pages of a part of linear memory that is about to be handed to a system call.
///
/// Pages of a pooled memory become accessible when they are touched, which a fault tells of. The kernel's own accesses
/// raise none: they fail with `EFAULT`.
pub(super) fn touch(bytes: &[u8]) {
    for page in bytes.chunks(IMAGE_PAGE) {
        std::hint::black_box(page[0]);
    }
    std::hint::black_box(bytes.last());
}

/// An I/O vector (`$iovec_array`, `$ciovec_array`) whose array lies within memory and has at most [`IOV_MAX`] pairs.
#[derive(Clone, Copy)]
pub(super) struct IoVector {
    pointer: u32,
    count: u32,
}

impl IoVector {
    /// Bytes per pair: a pointer and a length of 32 bits each.
    const PAIR: u32 = 8;

    /// How many pairs there are.
    pub(super) fn count(self) -> u32 {
        self.count
    }

    /// The pair at `index`, as it is now.
    pub(super) fn region(self, memory: &GuestMemory<'_>, index: u32) -> Result<(u32, u32), Errno> {
        let pointer = self.pointer.checked_add(index * Self::PAIR).ok_or(Errno::Fault)?;
        let pair: [u8; 8] = memory.read(pointer)?;
        let (buffer, length) = pair.split_at(4);
        Ok((little_endian(buffer), little_endian(length)))
    }
}

/// The 32-bit number in the first four bytes; bytes that are missing count as zero.
pub(super) fn little_endian(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .rev()
        .fold(0, |value, byte| value << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_may_end_where_memory_ends_and_not_one_byte_later() {
        let mut bytes = [7; 16];
        let mut memory = GuestMemory::new(&mut bytes);
        assert_eq!(memory.slice(8, 8).unwrap().len(), 8);
        assert_eq!(memory.slice(16, 0).unwrap().len(), 0);
        assert_eq!(memory.slice(8, 9), Err(Errno::Fault));
        assert_eq!(memory.slice(17, 0), Err(Errno::Fault));
        assert_eq!(memory.slice_mut(9, 8), Err(Errno::Fault));
        assert_eq!(memory.write_u64(8, 1), Ok(()));
        assert_eq!(memory.write_u64(9, 1), Err(Errno::Fault));
        assert_eq!(memory.read::<4>(13), Err(Errno::Fault));
    }

    #[test]
    fn a_pointer_and_a_length_that_wrap_at_32_bits_are_refused() {
        let mut bytes = [0; 64];
        let memory = GuestMemory::new(&mut bytes);
        assert_eq!(memory.slice(u32::MAX, u32::MAX), Err(Errno::Fault));
        assert_eq!(memory.slice(32, u32::MAX - 15), Err(Errno::Fault));
        assert_eq!(memory.slice(u32::MAX, 1), Err(Errno::Fault));
        assert_eq!(memory.read::<8>(u32::MAX - 3), Err(Errno::Fault));
    }

    #[test]
    fn an_io_vector_is_bounded_and_wholly_within_memory() {
        let mut bytes = [0; 64];
        bytes[0..4].copy_from_slice(&32_u32.to_le_bytes());
        bytes[4..8].copy_from_slice(&32_u32.to_le_bytes());
        let memory = GuestMemory::new(&mut bytes);
        let vector = memory.io_vector(0, 1).unwrap();
        assert_eq!(vector.region(&memory, 0), Ok((32, 32)));
        assert_eq!(memory.io_vector(0, 1025).err(), Some(Errno::Inval));
        assert_eq!(memory.io_vector(0, 9).err(), Some(Errno::Fault));
        assert_eq!(memory.io_vector(u32::MAX - 7, 1).err(), Some(Errno::Fault));
        bytes[4] = 33;
        assert_eq!(
            GuestMemory::new(&mut bytes).io_vector(0, 1).err(),
            Some(Errno::Fault)
        );
    }

    #[test]
    fn no_memory_at_all_faults() {
        let memory = GuestMemory::new(&mut []);
        assert_eq!(memory.slice(0, 1), Err(Errno::Fault));
        assert_eq!(memory.slice(0, 0), Ok(&[][..]));
        assert_eq!(memory.read::<4>(0), Err(Errno::Fault));
    }
}
