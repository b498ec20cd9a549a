//! 128-bit operators: tables from each operator to an instruction, or to the sequence that makes it up.
//!
//! | module | holds |
//! |---|---|
//! | `inst` | instructions, in their AVX or their SSE form |
//! | `constants` | masks, behind the function's code |
//! | `int` | integer sequences and comparisons |
//! | `shift` | shifts |
//! | `float` | float extrema and fused multiply-add |
//! | `convert` | conversions between integers and floats, widening |
//! | `lanes` | splat, extract, replace |
//! | `shuffle` | shuffles, by the cheapest instruction that does it |
//! | `memory` | loads and stores |
//!
//! Sources other than the destination stay as they were; the destination may be any of the sources. Beyond AVX's level,
//! only SSE4.2 is taken for granted.

mod constants;
mod convert;
mod float;
mod inst;
mod int;
mod lanes;
mod memory;
mod shift;
mod shuffle;
#[cfg(test)]
mod tests;

pub(super) use constants::Constants;
pub(crate) use shift::ShiftCount;

use super::{Condition, Masm, Reg, VSCRATCH};
use constants::{bytes, dwords, qwords, words};
use convert::Part;
use float::Rounding;
use luge_core::operator::{VectorBinaryOp, VectorTernaryOp, VectorTestOp, VectorUnaryOp};

impl Masm {
    /// `dst = op src`.
    pub(crate) fn vector_unary(&mut self, op: VectorUnaryOp, dst: Reg, src: Reg) {
        use VectorUnaryOp as O;
        match op {
            O::V128Not => self.invert(dst, src),
            O::I8x16Abs => self.pabsb(dst, src),
            O::I16x8Abs => self.pabsw(dst, src),
            O::I32x4Abs => self.pabsd(dst, src),
            O::I64x2Abs => self.abs_qwords(dst, src),
            O::I8x16Neg => self.negate_lanes(dst, src, Self::psubb),
            O::I16x8Neg => self.negate_lanes(dst, src, Self::psubw),
            O::I32x4Neg => self.negate_lanes(dst, src, Self::psubd),
            O::I64x2Neg => self.negate_lanes(dst, src, Self::psubq),
            O::I8x16Popcnt => self.popcnt_bytes(dst, src),
            O::I16x8ExtAddPairwiseI8x16S => self.add_pairs_of_bytes_s(dst, src),
            O::I16x8ExtAddPairwiseI8x16U => self.add_pairs_of_bytes_u(dst, src),
            O::I32x4ExtAddPairwiseI16x8S => self.add_pairs_of_words_s(dst, src),
            O::I32x4ExtAddPairwiseI16x8U => self.add_pairs_of_words_u(dst, src),
            O::I16x8ExtendLowI8x16S => self.pmovsxbw(dst, src),
            O::I16x8ExtendLowI8x16U => self.pmovzxbw(dst, src),
            O::I32x4ExtendLowI16x8S => self.pmovsxwd(dst, src),
            O::I32x4ExtendLowI16x8U => self.pmovzxwd(dst, src),
            O::I64x2ExtendLowI32x4S => self.pmovsxdq(dst, src),
            O::I64x2ExtendLowI32x4U => self.pmovzxdq(dst, src),
            O::I16x8ExtendHighI8x16S => self.widen(dst, src, Part::High, Self::pmovsxbw),
            O::I16x8ExtendHighI8x16U => self.widen(dst, src, Part::High, Self::pmovzxbw),
            O::I32x4ExtendHighI16x8S => self.widen(dst, src, Part::High, Self::pmovsxwd),
            O::I32x4ExtendHighI16x8U => self.widen(dst, src, Part::High, Self::pmovzxwd),
            O::I64x2ExtendHighI32x4S => self.widen(dst, src, Part::High, Self::pmovsxdq),
            O::I64x2ExtendHighI32x4U => self.widen(dst, src, Part::High, Self::pmovzxdq),
            O::F32x4Ceil => self.roundps(dst, src, Rounding::Up as u8),
            O::F32x4Floor => self.roundps(dst, src, Rounding::Down as u8),
            O::F32x4Trunc => self.roundps(dst, src, Rounding::ToZero as u8),
            O::F32x4Nearest => self.roundps(dst, src, Rounding::ToEven as u8),
            O::F64x2Ceil => self.roundpd(dst, src, Rounding::Up as u8),
            O::F64x2Floor => self.roundpd(dst, src, Rounding::Down as u8),
            O::F64x2Trunc => self.roundpd(dst, src, Rounding::ToZero as u8),
            O::F64x2Nearest => self.roundpd(dst, src, Rounding::ToEven as u8),
            O::F32x4Abs => self.with_constant(dst, src, dwords(0x7fff_ffff), Self::andps),
            O::F32x4Neg => self.with_constant(dst, src, dwords(0x8000_0000), Self::xorps),
            O::F64x2Abs => self.with_constant(dst, src, qwords(0x7fff_ffff_ffff_ffff), Self::andps),
            O::F64x2Neg => self.with_constant(dst, src, qwords(0x8000_0000_0000_0000), Self::xorps),
            O::F32x4Sqrt => self.sqrtps(dst, src),
            O::F64x2Sqrt => self.sqrtpd(dst, src),
            O::I32x4TruncSatF32x4S => self.f32_to_i32(dst, src),
            O::I32x4TruncSatF32x4U => self.f32_to_u32(dst, src),
            O::F32x4ConvertI32x4S => self.cvtdq2ps(dst, src),
            O::F32x4ConvertI32x4U => self.u32_to_f32(dst, src),
            O::I32x4TruncSatF64x2SZero => self.f64_to_i32(dst, src),
            O::I32x4TruncSatF64x2UZero => self.f64_to_u32(dst, src),
            O::F64x2ConvertLowI32x4S => self.cvtdq2pd(dst, src),
            O::F64x2ConvertLowI32x4U => self.u32_to_f64(dst, src),
            O::F32x4DemoteF64x2Zero => self.cvtpd2ps(dst, src),
            O::F64x2PromoteLowF32x4 => self.cvtps2pd(dst, src),
        }
    }

    /// `dst = op a, b`.
    #[expect(clippy::too_many_lines, reason = "a table with a line for each operator")]
    pub(crate) fn vector_binary(&mut self, op: VectorBinaryOp, dst: Reg, a: Reg, b: Reg) {
        use VectorBinaryOp as O;
        match op {
            O::I8x16Swizzle => self.swizzle(dst, a, b),
            O::V128And => self.pand(dst, a, b),
            O::V128AndNot => self.pandn(dst, b, a),
            O::V128Or => self.por(dst, a, b),
            O::V128Xor => self.pxor(dst, a, b),

            O::I8x16Eq => self.pcmpeqb(dst, a, b),
            O::I16x8Eq => self.pcmpeqw(dst, a, b),
            O::I32x4Eq => self.pcmpeqd(dst, a, b),
            O::I64x2Eq => self.pcmpeqq(dst, a, b),
            O::I8x16Ne => self.inverted(dst, a, b, Self::pcmpeqb),
            O::I16x8Ne => self.inverted(dst, a, b, Self::pcmpeqw),
            O::I32x4Ne => self.inverted(dst, a, b, Self::pcmpeqd),
            O::I64x2Ne => self.inverted(dst, a, b, Self::pcmpeqq),
            O::I8x16GtS => self.pcmpgtb(dst, a, b),
            O::I16x8GtS => self.pcmpgtw(dst, a, b),
            O::I32x4GtS => self.pcmpgtd(dst, a, b),
            O::I64x2GtS => self.pcmpgtq(dst, a, b),
            O::I8x16LtS => self.pcmpgtb(dst, b, a),
            O::I16x8LtS => self.pcmpgtw(dst, b, a),
            O::I32x4LtS => self.pcmpgtd(dst, b, a),
            O::I64x2LtS => self.pcmpgtq(dst, b, a),
            O::I8x16GtU => self.above(dst, a, b, bytes(0x80), Self::pcmpgtb),
            O::I16x8GtU => self.above(dst, a, b, words(0x8000), Self::pcmpgtw),
            O::I32x4GtU => self.above(dst, a, b, dwords(0x8000_0000), Self::pcmpgtd),
            O::I8x16LtU => self.above(dst, b, a, bytes(0x80), Self::pcmpgtb),
            O::I16x8LtU => self.above(dst, b, a, words(0x8000), Self::pcmpgtw),
            O::I32x4LtU => self.above(dst, b, a, dwords(0x8000_0000), Self::pcmpgtd),
            // `a` is at least `b` if it is the greater one of the two.
            O::I8x16GeS => self.is_extremum(dst, a, b, Self::pmaxsb, Self::pcmpeqb),
            O::I8x16GeU => self.is_extremum(dst, a, b, Self::pmaxub, Self::pcmpeqb),
            O::I8x16LeS => self.is_extremum(dst, a, b, Self::pminsb, Self::pcmpeqb),
            O::I8x16LeU => self.is_extremum(dst, a, b, Self::pminub, Self::pcmpeqb),
            O::I16x8GeS => self.is_extremum(dst, a, b, Self::pmaxsw, Self::pcmpeqw),
            O::I16x8GeU => self.is_extremum(dst, a, b, Self::pmaxuw, Self::pcmpeqw),
            O::I16x8LeS => self.is_extremum(dst, a, b, Self::pminsw, Self::pcmpeqw),
            O::I16x8LeU => self.is_extremum(dst, a, b, Self::pminuw, Self::pcmpeqw),
            O::I32x4GeS => self.is_extremum(dst, a, b, Self::pmaxsd, Self::pcmpeqd),
            O::I32x4GeU => self.is_extremum(dst, a, b, Self::pmaxud, Self::pcmpeqd),
            O::I32x4LeS => self.is_extremum(dst, a, b, Self::pminsd, Self::pcmpeqd),
            O::I32x4LeU => self.is_extremum(dst, a, b, Self::pminud, Self::pcmpeqd),
            O::I64x2GeS => self.inverted(dst, b, a, Self::pcmpgtq),
            O::I64x2LeS => self.inverted(dst, a, b, Self::pcmpgtq),
            O::F32x4Eq => self.cmpps(dst, a, b, float::EQUAL),
            O::F32x4Ne => self.cmpps(dst, a, b, float::NOT_EQUAL),
            O::F32x4Lt => self.cmpps(dst, a, b, float::LESS),
            O::F32x4Gt => self.cmpps(dst, b, a, float::LESS),
            O::F32x4Le => self.cmpps(dst, a, b, float::LESS_EQUAL),
            O::F32x4Ge => self.cmpps(dst, b, a, float::LESS_EQUAL),
            O::F64x2Eq => self.cmppd(dst, a, b, float::EQUAL),
            O::F64x2Ne => self.cmppd(dst, a, b, float::NOT_EQUAL),
            O::F64x2Lt => self.cmppd(dst, a, b, float::LESS),
            O::F64x2Gt => self.cmppd(dst, b, a, float::LESS),
            O::F64x2Le => self.cmppd(dst, a, b, float::LESS_EQUAL),
            O::F64x2Ge => self.cmppd(dst, b, a, float::LESS_EQUAL),

            O::I8x16NarrowI16x8S => self.packsswb(dst, a, b),
            O::I8x16NarrowI16x8U => self.packuswb(dst, a, b),
            O::I16x8NarrowI32x4S => self.packssdw(dst, a, b),
            O::I16x8NarrowI32x4U => self.packusdw(dst, a, b),

            O::I8x16Add => self.paddb(dst, a, b),
            O::I8x16AddSatS => self.paddsb(dst, a, b),
            O::I8x16AddSatU => self.paddusb(dst, a, b),
            O::I8x16Sub => self.psubb(dst, a, b),
            O::I8x16SubSatS => self.psubsb(dst, a, b),
            O::I8x16SubSatU => self.psubusb(dst, a, b),
            O::I8x16MinS => self.pminsb(dst, a, b),
            O::I8x16MinU => self.pminub(dst, a, b),
            O::I8x16MaxS => self.pmaxsb(dst, a, b),
            O::I8x16MaxU => self.pmaxub(dst, a, b),
            O::I8x16AvgrU => self.pavgb(dst, a, b),
            O::I16x8Add => self.paddw(dst, a, b),
            O::I16x8AddSatS => self.paddsw(dst, a, b),
            O::I16x8AddSatU => self.paddusw(dst, a, b),
            O::I16x8Sub => self.psubw(dst, a, b),
            O::I16x8SubSatS => self.psubsw(dst, a, b),
            O::I16x8SubSatU => self.psubusw(dst, a, b),
            O::I16x8Mul => self.pmullw(dst, a, b),
            O::I16x8MinS => self.pminsw(dst, a, b),
            O::I16x8MinU => self.pminuw(dst, a, b),
            O::I16x8MaxS => self.pmaxsw(dst, a, b),
            O::I16x8MaxU => self.pmaxuw(dst, a, b),
            O::I16x8AvgrU => self.pavgw(dst, a, b),
            O::I16x8Q15MulrSatS => self.q15_mul(dst, a, b),
            O::I32x4Add => self.paddd(dst, a, b),
            O::I32x4Sub => self.psubd(dst, a, b),
            O::I32x4Mul => self.pmulld(dst, a, b),
            O::I32x4MinS => self.pminsd(dst, a, b),
            O::I32x4MinU => self.pminud(dst, a, b),
            O::I32x4MaxS => self.pmaxsd(dst, a, b),
            O::I32x4MaxU => self.pmaxud(dst, a, b),
            O::I32x4DotI16x8S => self.pmaddwd(dst, a, b),
            O::I64x2Add => self.paddq(dst, a, b),
            O::I64x2Sub => self.psubq(dst, a, b),
            O::I64x2Mul => self.mul_qwords(dst, a, b),

            O::I16x8ExtMulLowI8x16S => self.mul_widened_bytes(dst, a, b, Part::Low, Self::pmovsxbw),
            O::I16x8ExtMulHighI8x16S => self.mul_widened_bytes(dst, a, b, Part::High, Self::pmovsxbw),
            O::I16x8ExtMulLowI8x16U => self.mul_widened_bytes(dst, a, b, Part::Low, Self::pmovzxbw),
            O::I16x8ExtMulHighI8x16U => self.mul_widened_bytes(dst, a, b, Part::High, Self::pmovzxbw),
            O::I32x4ExtMulLowI16x8S => self.mul_widened_words(dst, a, b, Self::pmulhw, Self::punpcklwd),
            O::I32x4ExtMulHighI16x8S => self.mul_widened_words(dst, a, b, Self::pmulhw, Self::punpckhwd),
            O::I32x4ExtMulLowI16x8U => self.mul_widened_words(dst, a, b, Self::pmulhuw, Self::punpcklwd),
            O::I32x4ExtMulHighI16x8U => self.mul_widened_words(dst, a, b, Self::pmulhuw, Self::punpckhwd),
            O::I64x2ExtMulLowI32x4S => self.mul_widened_dwords(dst, a, b, Part::Low, Self::pmuldq),
            O::I64x2ExtMulHighI32x4S => self.mul_widened_dwords(dst, a, b, Part::High, Self::pmuldq),
            O::I64x2ExtMulLowI32x4U => self.mul_widened_dwords(dst, a, b, Part::Low, Self::pmuludq),
            O::I64x2ExtMulHighI32x4U => self.mul_widened_dwords(dst, a, b, Part::High, Self::pmuludq),
            O::I16x8RelaxedDotI8x16I7x16S => self.dot_bytes(dst, a, b),

            O::F32x4Add => self.addps(dst, a, b),
            O::F32x4Sub => self.subps(dst, a, b),
            O::F32x4Mul => self.mulps(dst, a, b),
            O::F32x4Div => self.divps(dst, a, b),
            O::F64x2Add => self.addpd(dst, a, b),
            O::F64x2Sub => self.subpd(dst, a, b),
            O::F64x2Mul => self.mulpd(dst, a, b),
            O::F64x2Div => self.divpd(dst, a, b),
            O::F32x4Min => self.min_f32(dst, a, b),
            O::F32x4Max => self.max_f32(dst, a, b),
            O::F64x2Min => self.min_f64(dst, a, b),
            O::F64x2Max => self.max_f64(dst, a, b),
            // Where nothing is less or greater, the processor takes its second operand and WebAssembly the first.
            O::F32x4PMin => self.minps(dst, b, a),
            O::F32x4PMax => self.maxps(dst, b, a),
            O::F64x2PMin => self.minpd(dst, b, a),
            O::F64x2PMax => self.maxpd(dst, b, a),
        }
    }

    /// `dst = op a, b, c`. Fused multiply-add needs [`Masm::supports_relaxed_madd`].
    pub(crate) fn vector_ternary(&mut self, op: VectorTernaryOp, dst: Reg, a: Reg, b: Reg, c: Reg) {
        use VectorTernaryOp as O;
        match op {
            O::V128Bitselect => self.select_bits(dst, a, b, c),
            O::F32x4RelaxedMadd | O::F32x4RelaxedNmadd | O::F64x2RelaxedMadd | O::F64x2RelaxedNmadd => {
                self.multiply_add(op, dst, a, b, c);
            }
            O::I32x4RelaxedDotI8x16I7x16AddS => self.dot_bytes_add(dst, a, b, c),
        }
    }

    /// `dst = op src`, an `i32` in a general register.
    pub(crate) fn vector_test(&mut self, op: VectorTestOp, dst: Reg, src: Reg) {
        use VectorTestOp as O;
        debug_assert!(!dst.is_xmm());
        match op {
            O::V128AnyTrue => {
                self.ptest(src, src);
                self.set(dst, Condition::NOT_EQUAL);
            }
            O::I8x16AllTrue => self.no_lane_is_zero(dst, src, Self::pcmpeqb),
            O::I16x8AllTrue => self.no_lane_is_zero(dst, src, Self::pcmpeqw),
            O::I32x4AllTrue => self.no_lane_is_zero(dst, src, Self::pcmpeqd),
            O::I64x2AllTrue => self.no_lane_is_zero(dst, src, Self::pcmpeqq),
            O::I8x16Bitmask => self.sign_bits_of_bytes(dst, src),
            O::I16x8Bitmask => {
                // Saturation keeps the signs; the same eight stand in both halves.
                self.packsswb(VSCRATCH, src, src);
                self.sign_bits_of_bytes(dst, VSCRATCH);
                self.zero_extend_byte(dst);
            }
            O::I32x4Bitmask => self.sign_bits_of_dwords(dst, src),
            O::I64x2Bitmask => self.sign_bits_of_qwords(dst, src),
        }
    }
}
