//! Bytes of linear memory for the dispatch loop: the short way to memory 0, and the general one to any.

use super::inst::LaneAt;
use crate::instance::InstanceEntity;
use crate::operator::VectorLoadOp;
use crate::trap::Trap;
use crate::vm::linear::LinearMemory;

/// Reads `N` bytes of a memory with 32-bit addresses. The sum is taken in 64 bits, where it cannot wrap.
#[inline(always)]
pub(super) fn load<const N: usize>(memory: &[u8], address: u64, offset: u32) -> Result<[u8; N], Trap> {
    let start = (u64::from(address as u32) + u64::from(offset)) as usize;
    let bytes = memory.get(start..start + N).ok_or(Trap::MemoryOutOfBounds)?;
    Ok(bytes.try_into().expect("so many bytes"))
}

/// Writes `N` bytes at `address + offset`.
#[inline(always)]
pub(super) fn store<const N: usize>(
    memory: &mut [u8],
    address: u64,
    offset: u32,
    bytes: [u8; N],
) -> Result<(), Trap> {
    let start = (u64::from(address as u32) + u64::from(offset)) as usize;
    let slot = memory.get_mut(start..start + N).ok_or(Trap::MemoryOutOfBounds)?;
    slot.copy_from_slice(&bytes);
    Ok(())
}

/// The memories of a store but for one, which the dispatch loop holds on its own: its instance's memory 0.
pub(super) struct Others<'m> {
    before: &'m mut [LinearMemory],
    after: &'m mut [LinearMemory],
}

impl<'m> Others<'m> {
    /// Takes memory 0 of `instance` out of the store's; no bytes where it has none.
    pub(super) fn split(
        memories: &'m mut [LinearMemory],
        instance: &InstanceEntity,
    ) -> (&'m mut [u8], Others<'m>) {
        let first = instance.memories.first().map(|&number| number as usize);
        match first.and_then(|number| memories.split_at_mut_checked(number)) {
            Some((before, [memory, after @ ..])) => (memory.bytes_mut(), Others { before, after }),
            _ => (
                &mut [],
                Others {
                    before: &mut [],
                    after: &mut [],
                },
            ),
        }
    }

    /// Memory `memory` of `instance`; `zero` is its memory 0, which an import may name a second time.
    #[inline(always)]
    pub(super) fn get<'a>(
        &'a mut self,
        zero: &'a mut [u8],
        instance: &InstanceEntity,
        memory: u8,
    ) -> &'a mut [u8] {
        if memory == 0 {
            return zero;
        }
        let number = instance.memories[usize::from(memory)] as usize;
        match number.checked_sub(self.before.len()) {
            None => self.before[number].bytes_mut(),
            Some(0) => zero,
            Some(above) => self.after[above - 1].bytes_mut(),
        }
    }
}

/// Reads `width` bytes as the low ones of a number, from a memory with addresses of any width.
#[inline(always)]
pub(super) fn read(memory: &[u8], address: u64, offset: u64, width: u32) -> Option<u128> {
    let start = usize::try_from(address.checked_add(offset)?).ok()?;
    let bytes = memory.get(start..)?;
    Some(match width {
        1 => u128::from(*bytes.first()?),
        2 => u128::from(u16::from_le_bytes(*bytes.first_chunk()?)),
        4 => u128::from(u32::from_le_bytes(*bytes.first_chunk()?)),
        8 => u128::from(u64::from_le_bytes(*bytes.first_chunk()?)),
        _ => u128::from_le_bytes(*bytes.first_chunk()?),
    })
}

/// Writes the low `width` bytes of a number.
#[inline(always)]
pub(super) fn write(memory: &mut [u8], address: u64, offset: u64, bits: u128, width: u32) -> Option<()> {
    let start = usize::try_from(address.checked_add(offset)?).ok()?;
    let end = start.checked_add(width as usize)?;
    memory
        .get_mut(start..end)?
        .copy_from_slice(&bits.to_le_bytes()[..width as usize]);
    Some(())
}

/// A vector load.
pub(super) fn load_vector(memory: &[u8], address: u64, offset: u64, op: VectorLoadOp) -> Option<u128> {
    read(memory, address, offset, op.width()).map(|bits| op.eval(bits))
}

/// A vector with a lane read from memory.
pub(super) fn load_lane(memory: &[u8], address: u64, offset: u64, at: LaneAt, vector: u128) -> Option<u128> {
    let bits = read(memory, address, offset, at.width().bytes())?;
    Some(at.width().replace(vector, at.lane(), bits as u64))
}

/// Writes a lane to memory.
pub(super) fn store_lane(
    memory: &mut [u8],
    address: u64,
    offset: u64,
    at: LaneAt,
    vector: u128,
) -> Option<()> {
    let bits = at.width().extract(vector, at.lane());
    write(memory, address, offset, u128::from(bits), at.width().bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_that_does_not_fit_is_none() {
        let mut memory = [7; 20];
        assert_eq!(read(&memory, 4, 0, 16), Some(u128::from_le_bytes([7; 16])));
        for width in [1, 2, 4, 8, 16] {
            let last = 20 - u64::from(width);
            assert!(read(&memory, last, 0, width).is_some());
            assert!(read(&memory, last, 1, width).is_none());
            assert!(read(&memory, u64::MAX, 1, width).is_none());
            assert!(read(&memory, 21, 0, width).is_none());
            assert!(write(&mut memory, last, 1, 0, width).is_none());
            assert!(write(&mut memory, u64::MAX, u64::MAX, 0, width).is_none());
        }
        assert_eq!(memory, [7; 20]);
        assert_eq!(write(&mut memory, 16, 2, 0x0201, 2), Some(()));
        assert_eq!(memory[17..], [7, 1, 2]);
    }
}
