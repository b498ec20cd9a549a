//! The 128-bit constants of a function, behind its code:
//!
//! ```text
//! | instructions | trap stubs | int3 ... | constant | constant | ... |
//!                                        ^ a multiple of 16
//! ```
//!
//! Instructions address them relative to `rip`, so that a mask costs no instruction and no register of its own. Without
//! AVX a memory operand has to be aligned: a function's code therefore begins at a multiple of 16.

use super::super::{Label, Masm, Reg};
use dynasmrt::DynasmApi;
use std::collections::BTreeMap;

/// Bytes of a constant, and what it is aligned to.
const SIZE: usize = 16;

/// What an instruction may take as its last operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A vector register.
    Reg(Reg),
    /// A constant of this function.
    Constant(Label),
}

impl From<Reg> for Source {
    fn from(reg: Reg) -> Self {
        debug_assert!(reg.is_xmm());
        Self::Reg(reg)
    }
}

/// The constants that the current function uses, each once. Ordered, so that equal functions give equal code.
#[derive(Debug, Default)]
pub(in super::super) struct Constants(BTreeMap<u128, Label>);

impl Masm {
    /// Loads a 128-bit constant into a vector register.
    pub(crate) fn vector_constant(&mut self, dst: Reg, bits: u128) {
        if bits == 0 {
            self.zero_vector(dst);
        } else if bits == u128::MAX {
            self.all_ones(dst);
        } else {
            let constant = self.constant(bits);
            self.load_constant(dst, constant);
        }
    }

    /// Writes the constants of this function behind its code.
    pub(in super::super) fn finish_constants(&mut self) {
        let constants = std::mem::take(&mut self.constants).0;
        if constants.is_empty() {
            return;
        }
        // What lies between is never run: `int3`.
        self.align(SIZE, 0xcc);
        let start = self.here();
        for (bits, label) in constants {
            self.bind(label);
            self.code.put_bytes(&bits.to_le_bytes());
        }
        self.data_since(start);
    }

    /// A constant as an operand.
    pub(super) fn constant(&mut self, bits: u128) -> Source {
        if let Some(&label) = self.constants.0.get(&bits) {
            return Source::Constant(label);
        }
        let label = self.label();
        self.constants.0.insert(bits, label);
        Source::Constant(label)
    }

    /// Puts the distance to a constant in place of the displacement that ends the last instruction.
    pub(super) fn refer_to(&mut self, constant: Label) {
        self.code.truncate(self.code.len() - 4);
        self.displacement(constant);
    }
}

/// A constant with the same byte everywhere.
pub(super) const fn bytes(lane: u8) -> u128 {
    u128::from_le_bytes([lane; 16])
}

/// A constant of eight equal lanes.
pub(super) const fn words(lane: u16) -> u128 {
    lane as u128 * 0x0001_0001_0001_0001_0001_0001_0001_0001
}

/// A constant of four equal lanes.
pub(super) const fn dwords(lane: u32) -> u128 {
    lane as u128 * 0x0000_0001_0000_0001_0000_0001_0000_0001
}

/// A constant of two equal lanes.
pub(super) const fn qwords(lane: u64) -> u128 {
    lane as u128 * 0x0000_0000_0000_0001_0000_0000_0000_0001
}
