//! Vectors in registers, read and written in place.
//!
//! A vector lies in two consecutive slots, its low half first. On a little-endian host these are its 16 bytes in
//! the order that the operators take them in, so that a lane is one load from where it lies, and a whole operator on it one
//! vector instruction between two moves.

use super::dispatch::Regs;
use super::inst::Reg;
use crate::operator::Bytes;

const _: () = assert!(
    cfg!(target_endian = "little"),
    "vectors in registers are bytes in the order of memory"
);

/// The two halves of the vector in `reg`. A window has a slot behind the last register: there is nothing to check.
#[inline(always)]
pub(super) fn halves(regs: Regs<'_>, reg: Reg) -> [u64; 2] {
    let first = usize::from(reg);
    [regs[first].get(), regs[first + 1].get()]
}

#[inline(always)]
pub(super) fn set_halves(regs: Regs<'_>, reg: Reg, halves: [u64; 2]) {
    let first = usize::from(reg);
    regs[first].set(halves[0]);
    regs[first + 1].set(halves[1]);
}

/// The bytes of the vector in `reg`.
#[inline(always)]
pub(super) fn vector(regs: Regs<'_>, reg: Reg) -> Bytes {
    join(halves(regs, reg))
}

#[inline(always)]
pub(super) fn set_vector(regs: Regs<'_>, reg: Reg, bytes: Bytes) {
    set_halves(regs, reg, split(bytes));
}

/// Said in terms of a vector, it is one load: two numbers the compiler would take apart into lanes by shifts. The vector is one of
/// floats because those are not put together by way of general registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn join(halves: [u64; 2]) -> Bytes {
    bytemuck::must_cast(safe_arch::m128d::from_array(halves.map(f64::from_bits)))
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn join(halves: [u64; 2]) -> Bytes {
    bytemuck::must_cast(halves)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn split(bytes: Bytes) -> [u64; 2] {
    let vector: safe_arch::m128i = bytemuck::must_cast(bytes);
    let high = safe_arch::unpack_high_i64_m128i(vector, vector);
    [vector, high].map(|half| safe_arch::get_i64_from_m128i_s(half) as u64)
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn split(bytes: Bytes) -> [u64; 2] {
    bytemuck::must_cast(bytes)
}

/// A vector of these bytes, and zeros above.
#[inline(always)]
pub(super) fn widened<const N: usize>(bytes: [u8; N]) -> Bytes {
    let mut out = [0; 16];
    out[..N].copy_from_slice(&bytes);
    out
}
