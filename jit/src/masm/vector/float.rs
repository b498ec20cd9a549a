//! Extrema of floats and fused multiply-add; what comparisons and roundings are called in immediates.

use super::super::encode::emit;
use super::super::{Masm, Reg, VSCRATCH, VSCRATCH2};
use dynasmrt::DynasmApi;
use luge_core::operator::VectorTernaryOp;

/// Predicates of `cmpps`.
pub(super) const EQUAL: u8 = 0;
pub(super) const LESS: u8 = 1;
pub(super) const LESS_EQUAL: u8 = 2;
pub(super) const UNORDERED: u8 = 3;
pub(super) const NOT_EQUAL: u8 = 4;

/// Modes of `roundps`, with exceptions suppressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    ToEven = 8,
    Down = 9,
    Up = 10,
    ToZero = 11,
}

/// Extrema as WebAssembly wants them: -0 below +0, and NaN if there is one.
///
/// Of two zeros, and of NaN and anything, the processor gives its second operand. So both orders are computed, and differ
/// just there: a minimum takes all bits that are set in either, which makes -0 of different zeros and NaN of NaN and
/// anything; a maximum clears the difference by a subtraction. A NaN then still has bits of both, and is cut down to
/// the canonical one.
macro_rules! extrema {
    ($min:ident $max:ident: $minp:ident $maxp:ident $sub:ident $cmp:ident $shift:ident $payload:literal) => {
        impl Masm {
            pub(super) fn $min(&mut self, dst: Reg, a: Reg, b: Reg) {
                self.$minp(VSCRATCH, a, b);
                self.$minp(VSCRATCH2, b, a);
                self.orps(VSCRATCH, VSCRATCH, VSCRATCH2);
                self.$cmp(VSCRATCH2, VSCRATCH, VSCRATCH, UNORDERED);
                // Both NaNs may be signalling ones, which the payload alone tells from infinity.
                self.orps(VSCRATCH, VSCRATCH, VSCRATCH2);
                // The payload's bits where there is a NaN.
                self.$shift(VSCRATCH2, VSCRATCH2, $payload);
                self.canonical(dst);
            }

            pub(super) fn $max(&mut self, dst: Reg, a: Reg, b: Reg) {
                self.$maxp(VSCRATCH, a, b);
                self.$maxp(VSCRATCH2, b, a);
                self.xorps(VSCRATCH2, VSCRATCH2, VSCRATCH);
                self.orps(VSCRATCH, VSCRATCH, VSCRATCH2);
                self.$sub(VSCRATCH, VSCRATCH, VSCRATCH2);
                self.$cmp(VSCRATCH2, VSCRATCH, VSCRATCH, UNORDERED);
                self.$shift(VSCRATCH2, VSCRATCH2, $payload);
                self.canonical(dst);
            }
        }
    };
}

// Sign, exponent and the highest bit of the fraction stay.
extrema!(min_f32 max_f32: minps maxps subps cmpps psrld_imm 10);
extrema!(min_f64 max_f64: minpd maxpd subpd cmppd psrlq_imm 13);

impl Masm {
    /// Whether relaxed multiply-add can be emitted. The deterministic profile rounds once, which needs FMA.
    pub(crate) fn supports_relaxed_madd(&self) -> bool {
        self.cpu.avx && self.cpu.fma
    }

    /// `dst = a * b + c`, or `-(a * b) + c`, rounded once.
    pub(super) fn multiply_add(&mut self, op: VectorTernaryOp, dst: Reg, a: Reg, b: Reg, c: Reg) {
        debug_assert!(
            self.supports_relaxed_madd(),
            "whoever translates has to ask first"
        );
        use VectorTernaryOp as O;
        let negated = matches!(op, O::F32x4RelaxedNmadd | O::F64x2RelaxedNmadd);
        let factor = if dst == a { b } else { a };
        let start = if (dst == a || dst == b) && dst != c {
            let start = self.code.len();
            if negated {
                emit!(self; vfnmadd213ps Rx(dst), Rx(factor), Rx(c));
            } else {
                emit!(self; vfmadd213ps Rx(dst), Rx(factor), Rx(c));
            }
            start
        } else {
            self.movaps(dst, c);
            let start = self.code.len();
            if negated {
                emit!(self; vfnmadd231ps Rx(dst), Rx(a), Rx(b));
            } else {
                emit!(self; vfmadd231ps Rx(dst), Rx(a), Rx(b));
            }
            start
        };
        if matches!(op, O::F64x2RelaxedMadd | O::F64x2RelaxedNmadd) {
            // VEX.W makes them doubles, which `dynasm` forgets.
            self.code[start + 2] |= 0x80;
        }
    }

    /// `dst` = [`VSCRATCH`] without the bits of [`VSCRATCH2`].
    fn canonical(&mut self, dst: Reg) {
        self.andnps(VSCRATCH2, VSCRATCH2, VSCRATCH);
        self.movaps(dst, VSCRATCH2);
    }
}
