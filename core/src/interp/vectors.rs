//! Vectors in registers, read and written in place.
//!
//! A vector lies in two consecutive slots, its low half first. On a little-endian host these are its 16 bytes in
//! the order that the operators take them in, so that a lane is one load from where it lies, and a whole operator on it one
//! vector instruction between two moves.

use super::inst::Reg;
use super::stack::WINDOW;
use crate::operator::Bytes;

const _: () = assert!(
    cfg!(target_endian = "little"),
    "vectors in registers are bytes in the order of memory"
);

/// The two halves of the vector in `reg`. A window has a slot behind the last register: there is nothing to check.
#[inline(always)]
pub(super) fn halves(regs: &[u64; WINDOW], reg: Reg) -> &[u64; 2] {
    let first = usize::from(reg);
    (&regs[first..first + 2]).try_into().expect("two slots")
}

#[inline(always)]
pub(super) fn halves_mut(regs: &mut [u64; WINDOW], reg: Reg) -> &mut [u64; 2] {
    let first = usize::from(reg);
    (&mut regs[first..first + 2]).try_into().expect("two slots")
}

/// The bytes of the vector in `reg`.
#[inline(always)]
pub(super) fn vector(regs: &[u64; WINDOW], reg: Reg) -> &Bytes {
    bytemuck::must_cast_ref(halves(regs, reg))
}

#[inline(always)]
pub(super) fn vector_mut(regs: &mut [u64; WINDOW], reg: Reg) -> &mut Bytes {
    bytemuck::must_cast_mut(halves_mut(regs, reg))
}

/// A vector of these bytes, and zeros above.
#[inline(always)]
pub(super) fn widened<const N: usize>(bytes: [u8; N]) -> Bytes {
    let mut out = [0; 16];
    out[..N].copy_from_slice(&bytes);
    out
}
