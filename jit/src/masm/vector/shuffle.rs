//! Shuffles by the cheapest instruction that does it.
//!
//! Compilers write `i8x16.shuffle` for every permutation they have, and most of them are one instruction. The list of lanes
//! is compared with what each of those does; the rest is a `pshufb` of each source with the lanes of the other cleared,
//! and their union.

use super::super::{Masm, Reg, VSCRATCH, VSCRATCH2};
use super::int::Binary;

/// Which byte of both vectors, 0-31, each byte of the result is.
type Lanes = [u8; 16];

/// An index for which `pshufb` gives zero.
const NONE: u8 = 0x80;

impl Masm {
    /// `dst[i] = (a, b)[lanes[i]]`; `lanes` are below 32.
    pub(crate) fn shuffle(&mut self, dst: Reg, a: Reg, b: Reg, lanes: [u8; 16]) {
        debug_assert!(lanes.iter().all(|&lane| lane < 32));
        if a == b || lanes.iter().all(|&lane| lane < 16) {
            self.shuffle_one(dst, a, lanes.map(|lane| lane & 15));
        } else if lanes.iter().all(|&lane| lane >= 16) {
            self.shuffle_one(dst, b, lanes.map(|lane| lane & 15));
        } else {
            self.shuffle_two(dst, a, b, &lanes);
        }
    }

    fn shuffle_one(&mut self, dst: Reg, src: Reg, lanes: Lanes) {
        if let Some(dwords) = units::<4>(&lanes, 4) {
            if dwords == [0, 1, 2, 3] {
                self.movaps(dst, src);
            } else {
                self.pshufd(dst, src, order(&dwords));
            }
            return;
        }
        if let Some(words) = units::<8>(&lanes, 2) {
            let (low, high) = (&words[..4], &words[4..]);
            if high == [4, 5, 6, 7] && low.iter().all(|&word| word < 4) {
                return self.pshuflw(dst, src, order(low));
            }
            if low == [0, 1, 2, 3] && high.iter().all(|&word| word >= 4) {
                return self.pshufhw(dst, src, order(high));
            }
        }
        if self.shuffle_by_pattern(dst, src, src, &lanes, 15) {
            return;
        }
        self.with_constant(dst, src, u128::from_le_bytes(lanes), Self::pshufb);
    }

    fn shuffle_two(&mut self, dst: Reg, a: Reg, b: Reg, lanes: &Lanes) {
        let swapped = lanes.map(|lane| lane ^ 16);
        if self.shuffle_by_pattern(dst, a, b, lanes, 31) || self.shuffle_by_pattern(dst, b, a, &swapped, 31) {
            return;
        }
        // Both beside `dst`, which may be either.
        let of_a = self.constant(u128::from_le_bytes(
            lanes.map(|lane| if lane < 16 { lane } else { NONE }),
        ));
        let of_b = self.constant(u128::from_le_bytes(
            swapped.map(|lane| if lane < 16 { lane } else { NONE }),
        ));
        self.pshufb(VSCRATCH2, a, of_a);
        self.pshufb(VSCRATCH, b, of_b);
        self.por(dst, VSCRATCH2, VSCRATCH);
    }

    /// Tries the instructions that combine two vectors, with the operands in this order. `mask` says which bits of an
    /// index count.
    fn shuffle_by_pattern(&mut self, dst: Reg, a: Reg, b: Reg, lanes: &Lanes, mask: u8) -> bool {
        let is = |pattern: &dyn Fn(u8) -> u8| {
            (0..16)
                .zip(lanes)
                .all(|(i, &lane)| (pattern(i) ^ lane) & mask == 0)
        };
        let interleaves: [(u8, Binary, Binary); 4] = [
            (1, Self::punpcklbw, Self::punpckhbw),
            (2, Self::punpcklwd, Self::punpckhwd),
            (4, Self::punpckldq, Self::punpckhdq),
            (8, Self::punpcklqdq, Self::punpckhqdq),
        ];
        for (width, low, high) in interleaves {
            // Lanes of either vector in turn, each half as fast.
            let interleave = |i: u8| (i / width % 2) * 16 + i / (2 * width) * width + i % width;
            if is(&interleave) {
                low(self, dst, a, b);
                return true;
            }
            if is(&|i| interleave(i) + 8) {
                high(self, dst, a, b);
                return true;
            }
        }
        let first = lanes[0];
        if first < 16 && is(&|i| i + first) {
            // The upper part of what comes first, under the lower part of what follows.
            self.palignr(dst, b, a, first);
            return true;
        }
        // From the same place of either.
        if mask == 31
            && is(&|i| i | (lanes[usize::from(i)] & 16))
            && let Some(words) = units::<8>(lanes, 2)
        {
            let from_b = (0..8).filter(|&i| words[i] >= 8).fold(0, |bits, i| bits | 1 << i);
            self.pblendw(dst, a, b, from_b);
            return true;
        }
        if let Some(dwords) = units::<4>(lanes, 4)
            && dwords[..2].iter().all(|&dword| dword < 4)
            && dwords[2..].iter().all(|&dword| dword >= 4)
        {
            self.shufps(dst, a, b, order(&dwords));
            return true;
        }
        false
    }
}

/// The lanes as units of `width` bytes, if they move as such.
fn units<const N: usize>(lanes: &Lanes, width: u8) -> Option<[u8; N]> {
    let mut units = [0; N];
    for (unit, lanes) in units.iter_mut().zip(lanes.chunks_exact(usize::from(width))) {
        let whole = (lanes[0]..).zip(lanes).all(|(expected, &lane)| expected == lane);
        if lanes[0] % width != 0 || !whole {
            return None;
        }
        *unit = lanes[0] / width;
    }
    Some(units)
}

/// Four indices modulo four, as immediates of shuffles have them.
fn order(units: &[u8]) -> u8 {
    units.iter().rev().fold(0, |bits, &unit| bits << 2 | (unit & 3))
}
