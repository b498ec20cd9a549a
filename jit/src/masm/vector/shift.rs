//! Shifts of lanes by one count, which is taken modulo their width.
//!
//! There are none of bytes, and no arithmetic one of 64 bits. They are made of their neighbours:
//!
//! - Bytes are shifted as words, and what crosses from one into the other is masked away.
//! - An arithmetic shift is a logical one with the sign spread anew: `(x ^ m) - m`, `m` being where the sign bit has gone.

use super::super::encode::emit;
use super::super::{Masm, Reg, SCRATCH, VSCRATCH, VSCRATCH2};
use super::constants::{bytes, qwords};
use dynasmrt::DynasmApi;
use luge_core::operator::VectorShiftOp;

/// By how many bits lanes are shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShiftCount {
    /// As many as the `i32` in a general register says.
    Reg(Reg),
    /// That many.
    Imm(u32),
}

impl Masm {
    /// `dst = a op count`, the count modulo the width of a lane.
    pub(crate) fn vector_shift(&mut self, op: VectorShiftOp, dst: Reg, a: Reg, count: ShiftCount) {
        match count {
            ShiftCount::Imm(count) => match count & (lane_bits(op) - 1) {
                0 => self.movaps(dst, a),
                count => self.shift_lanes_imm(op, dst, a, count as u8),
            },
            ShiftCount::Reg(count) => self.shift_lanes(op, dst, a, count),
        }
    }

    fn shift_lanes_imm(&mut self, op: VectorShiftOp, dst: Reg, a: Reg, count: u8) {
        use VectorShiftOp as O;
        match op {
            O::I8x16Shl => {
                self.psllw_imm(dst, a, count);
                self.with_constant(dst, dst, bytes(0xff << count), Self::pand);
            }
            O::I8x16ShrU => {
                self.psrlw_imm(dst, a, count);
                self.with_constant(dst, dst, bytes(0xff >> count), Self::pand);
            }
            O::I8x16ShrS => {
                self.psrlw_imm(dst, a, count);
                self.with_constant(dst, dst, bytes(0xff >> count), Self::pand);
                self.with_constant(dst, dst, bytes(0x80 >> count), Self::pxor);
                self.with_constant(dst, dst, bytes(0x80 >> count), Self::psubb);
            }
            O::I16x8Shl => self.psllw_imm(dst, a, count),
            O::I16x8ShrS => self.psraw_imm(dst, a, count),
            O::I16x8ShrU => self.psrlw_imm(dst, a, count),
            O::I32x4Shl => self.pslld_imm(dst, a, count),
            O::I32x4ShrS => self.psrad_imm(dst, a, count),
            O::I32x4ShrU => self.psrld_imm(dst, a, count),
            O::I64x2Shl => self.psllq_imm(dst, a, count),
            O::I64x2ShrU => self.psrlq_imm(dst, a, count),
            O::I64x2ShrS => {
                let sign = 1 << 63 >> count;
                self.psrlq_imm(dst, a, count);
                self.with_constant(dst, dst, qwords(sign), Self::pxor);
                self.with_constant(dst, dst, qwords(sign), Self::psubq);
            }
        }
    }

    fn shift_lanes(&mut self, op: VectorShiftOp, dst: Reg, a: Reg, count: Reg) {
        use VectorShiftOp as O;
        self.mov(SCRATCH, count, 4);
        emit!(self; and Rd(SCRATCH), BYTE (lane_bits(op) - 1) as i8);
        if matches!(op, O::I8x16Shl | O::I8x16ShrS | O::I8x16ShrU) {
            return self.shift_bytes(op, dst, a);
        }
        self.mov_across(VSCRATCH, SCRATCH, 4);
        match op {
            O::I16x8Shl => self.psllw(dst, a, VSCRATCH),
            O::I16x8ShrS => self.psraw(dst, a, VSCRATCH),
            O::I16x8ShrU => self.psrlw(dst, a, VSCRATCH),
            O::I32x4Shl => self.pslld(dst, a, VSCRATCH),
            O::I32x4ShrS => self.psrad(dst, a, VSCRATCH),
            O::I32x4ShrU => self.psrld(dst, a, VSCRATCH),
            O::I64x2Shl => self.psllq(dst, a, VSCRATCH),
            O::I64x2ShrU => self.psrlq(dst, a, VSCRATCH),
            O::I64x2ShrS => {
                let sign = self.constant(qwords(1 << 63));
                self.load_constant(VSCRATCH2, sign);
                self.psrlq(VSCRATCH2, VSCRATCH2, VSCRATCH);
                self.psrlq(dst, a, VSCRATCH);
                self.pxor(dst, dst, VSCRATCH2);
                self.psubq(dst, dst, VSCRATCH2);
            }
            O::I8x16Shl | O::I8x16ShrS | O::I8x16ShrU => unreachable!("shifted as words"),
        }
    }

    /// Shifts bytes by the count in [`SCRATCH`], which is below 8.
    fn shift_bytes(&mut self, op: VectorShiftOp, dst: Reg, a: Reg) {
        // More by eight, it takes a byte out of a word's upper half.
        self.move_count(8);
        if op == VectorShiftOp::I8x16ShrS {
            self.punpckhbw(VSCRATCH2, a, a);
            self.psraw(VSCRATCH2, VSCRATCH2, VSCRATCH);
            self.punpcklbw(dst, a, a);
            self.psraw(dst, dst, VSCRATCH);
            self.packsswb(dst, dst, VSCRATCH2);
            return;
        }
        // The bits of a byte that stay in it (to the left) or are left of it (to the right).
        self.all_ones(VSCRATCH2);
        self.psrlw(VSCRATCH2, VSCRATCH2, VSCRATCH);
        self.packuswb(VSCRATCH2, VSCRATCH2, VSCRATCH2);
        self.move_count(-8);
        if op == VectorShiftOp::I8x16Shl {
            self.pand(dst, a, VSCRATCH2);
            self.psllw(dst, dst, VSCRATCH);
        } else {
            self.psrlw(dst, a, VSCRATCH);
            self.pand(dst, dst, VSCRATCH2);
        }
    }

    /// Adds to the count in [`SCRATCH`] and puts it into [`VSCRATCH`].
    fn move_count(&mut self, more: i8) {
        emit!(self; add Rd(SCRATCH), BYTE more);
        self.mov_across(VSCRATCH, SCRATCH, 4);
    }
}

fn lane_bits(op: VectorShiftOp) -> u32 {
    use VectorShiftOp as O;
    match op {
        O::I8x16Shl | O::I8x16ShrS | O::I8x16ShrU => 8,
        O::I16x8Shl | O::I16x8ShrS | O::I16x8ShrU => 16,
        O::I32x4Shl | O::I32x4ShrS | O::I32x4ShrU => 32,
        O::I64x2Shl | O::I64x2ShrS | O::I64x2ShrU => 64,
    }
}
