//! Conversions between integers and floats, and widening.
//!
//! The processor converts signed 32-bit integers only, and answers what does not fit with 0x8000_0000. What WebAssembly
//! asks beside that (saturation, zero for NaN, unsigned integers) is arithmetic around it.

use super::super::{Masm, Reg, VSCRATCH, VSCRATCH2};
use super::constants::{dwords, qwords};
use super::float::{EQUAL, LESS_EQUAL, Rounding};
use super::int::Unary;

/// Half of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Low,
    High,
}

/// 2^31.
const TWO_31: u32 = 0x4f00_0000;
/// 2^52, whose lowest bit is worth one.
const TWO_52: u64 = 0x4330_0000_0000_0000;
/// 2^31 - 1.
const I32_MAX: u64 = 0x41df_ffff_ffc0_0000;
/// 2^32 - 1.
const U32_MAX: u64 = 0x41ef_ffff_ffe0_0000;

impl Masm {
    /// Widens half of the lanes with an instruction that does so with the lower ones.
    pub(super) fn widen(&mut self, dst: Reg, src: Reg, part: Part, widen: Unary) {
        match part {
            Part::Low => widen(self, dst, src),
            Part::High => {
                self.pshufd(dst, src, 0b11_10_11_10);
                widen(self, dst, dst);
            }
        }
    }

    pub(super) fn f32_to_i32(&mut self, dst: Reg, src: Reg) {
        let two_31 = self.constant(dwords(TWO_31));
        self.load_constant(VSCRATCH, two_31);
        self.cmpps(VSCRATCH, VSCRATCH, src, LESS_EQUAL);
        self.cmpps(VSCRATCH2, src, src, EQUAL);
        self.cvttps2dq(dst, src);
        // NaN to zero; 0x8000_0000 to 0x7fff_ffff where it was too large.
        self.pand(dst, dst, VSCRATCH2);
        self.pxor(dst, dst, VSCRATCH);
    }

    /// The sum of what of the value lies below 2^31 and what lies above, each of which converts as signed.
    pub(super) fn f32_to_u32(&mut self, dst: Reg, src: Reg) {
        let two_31 = self.constant(dwords(TWO_31));
        // NaN and what is negative to zero: of NaN and a number, the second operand is taken.
        self.zero_vector(VSCRATCH);
        self.maxps(dst, src, VSCRATCH);
        self.subps(VSCRATCH, dst, two_31);
        self.cvttps2dq(dst, dst);
        // All ones where it exceeds the range altogether.
        self.load_constant(VSCRATCH2, two_31);
        self.cmpps(VSCRATCH2, VSCRATCH2, VSCRATCH, LESS_EQUAL);
        self.cvttps2dq(VSCRATCH, VSCRATCH);
        self.pxor(VSCRATCH, VSCRATCH, VSCRATCH2);
        self.zero_vector(VSCRATCH2);
        self.pmaxsd(VSCRATCH, VSCRATCH, VSCRATCH2);
        self.paddd(dst, dst, VSCRATCH);
    }

    /// Both halves of 16 bits become floats by being put under an exponent; only their sum is rounded.
    pub(super) fn u32_to_f32(&mut self, dst: Reg, src: Reg) {
        // 2^23 + low, and 2^39 + high * 2^16.
        self.with_constant(VSCRATCH, src, dwords(0xffff), Self::pand);
        self.with_constant(VSCRATCH, VSCRATCH, dwords(0x4b00_0000), Self::por);
        self.psrld_imm(dst, src, 16);
        self.with_constant(dst, dst, dwords(0x5300_0000), Self::por);
        // 2^39 + 2^23.
        self.with_constant(dst, dst, dwords(0x5300_0080), Self::subps);
        self.addps(dst, dst, VSCRATCH);
    }

    pub(super) fn f64_to_i32(&mut self, dst: Reg, src: Reg) {
        self.cmppd(VSCRATCH, src, src, EQUAL);
        self.with_constant(VSCRATCH, VSCRATCH, qwords(I32_MAX), Self::andps);
        // Of NaN and a number the second operand, which is then zero.
        self.minpd(dst, src, VSCRATCH);
        self.cvttpd2dq(dst, dst);
    }

    /// An integer below 2^32, added to 2^52, stands in the lower half of the float.
    pub(super) fn f64_to_u32(&mut self, dst: Reg, src: Reg) {
        self.zero_vector(VSCRATCH);
        self.maxpd(dst, src, VSCRATCH);
        self.with_constant(dst, dst, qwords(U32_MAX), Self::minpd);
        self.roundpd(dst, dst, Rounding::ToZero as u8);
        self.with_constant(dst, dst, qwords(TWO_52), Self::addpd);
        self.shufps(dst, dst, VSCRATCH, 0b10_00_10_00);
    }

    /// The other way round: an integer under the exponent of 2^52 is 2^52 more than itself.
    pub(super) fn u32_to_f64(&mut self, dst: Reg, src: Reg) {
        self.with_constant(dst, src, dwords((TWO_52 >> 32) as u32), Self::unpcklps);
        self.with_constant(dst, dst, qwords(TWO_52), Self::subpd);
    }
}
