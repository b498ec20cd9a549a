//! Conversions between integers and floats.
//!
//! The processor converts to signed integers of 32 and 64 bits, and gives the least one for whatever does not fit. A
//! truncation to 32 bits, signed or not, is done in 64 and then looked at: what the lower half does not hold did not fit.
//! To 64 bits the least integer is the sign that something may be wrong. The code for that stands behind, over which the
//! usual case jumps.

use super::super::encode::emit;
use super::super::{Condition, Masm, Reg, Rhs, SCRATCH, SCRATCH2, VSCRATCH, VSCRATCH2};
use super::float::FloatOp;
use super::int::Alu;
use super::shift::Shift;
use dynasmrt::DynasmApi;
use luge_core::Trap;
use luge_core::operator::UnaryOp;

/// A truncation of a float to an integer.
#[derive(Debug, Clone, Copy)]
struct Truncation {
    /// Bytes of the float.
    from: u32,
    /// Bytes of the integer.
    to: u32,
    signed: bool,
    /// Whether what does not fit becomes the nearest that does, and NaN zero; else they trap.
    saturating: bool,
}

impl Truncation {
    /// What the operator truncates, if it does.
    fn of(op: UnaryOp) -> Option<Self> {
        use UnaryOp as U;
        let (from, to, signed, saturating) = match op {
            U::I32TruncF32S => (4, 4, true, false),
            U::I32TruncF32U => (4, 4, false, false),
            U::I32TruncF64S => (8, 4, true, false),
            U::I32TruncF64U => (8, 4, false, false),
            U::I64TruncF32S => (4, 8, true, false),
            U::I64TruncF32U => (4, 8, false, false),
            U::I64TruncF64S => (8, 8, true, false),
            U::I64TruncF64U => (8, 8, false, false),
            U::I32TruncSatF32S => (4, 4, true, true),
            U::I32TruncSatF32U => (4, 4, false, true),
            U::I32TruncSatF64S => (8, 4, true, true),
            U::I32TruncSatF64U => (8, 4, false, true),
            U::I64TruncSatF32S => (4, 8, true, true),
            U::I64TruncSatF32U => (4, 8, false, true),
            U::I64TruncSatF64S => (8, 8, true, true),
            U::I64TruncSatF64U => (8, 8, false, true),
            _ => return None,
        };
        Some(Self {
            from,
            to,
            signed,
            saturating,
        })
    }

    /// The least and the greatest integer.
    fn bounds(self) -> (u64, u64) {
        match (self.to, self.signed) {
            (4, true) => (0x8000_0000, 0x7fff_ffff),
            (4, false) => (0, 0xffff_ffff),
            (_, true) => (1 << 63, (1 << 63) - 1),
            (_, false) => (0, u64::MAX),
        }
    }
}

impl Masm {
    /// The conversions that change a value's type and its bits.
    pub(super) fn convert(&mut self, op: UnaryOp, dst: Reg, src: Reg) {
        use UnaryOp as U;
        match op {
            U::F32ConvertI32S => self.convert_signed(dst, src, 4, 4),
            U::F64ConvertI32S => self.convert_signed(dst, src, 4, 8),
            // Zero-extended, it is a signed number of 64 bits.
            U::F32ConvertI32U | U::F32ConvertI64S => self.convert_signed(dst, src, 8, 4),
            U::F64ConvertI32U | U::F64ConvertI64S => self.convert_signed(dst, src, 8, 8),
            U::F32ConvertI64U => self.convert_unsigned(dst, src, 4),
            U::F64ConvertI64U => self.convert_unsigned(dst, src, 8),
            U::F32DemoteF64 if self.cpu.avx => emit!(self; vcvtsd2ss Rx(dst), Rx(src), Rx(src)),
            U::F32DemoteF64 => emit!(self; cvtsd2ss Rx(dst), Rx(src)),
            U::F64PromoteF32 if self.cpu.avx => emit!(self; vcvtss2sd Rx(dst), Rx(src), Rx(src)),
            U::F64PromoteF32 => emit!(self; cvtss2sd Rx(dst), Rx(src)),
            op => {
                let truncation = Truncation::of(op).expect("what is left of the operators truncates");
                match (truncation.to, truncation.signed) {
                    (4, _) => self.truncate_to_32(truncation, dst, src),
                    (_, true) => self.truncate_to_signed_64(truncation, dst, src),
                    (_, false) => self.truncate_to_unsigned_64(truncation, dst, src),
                }
            }
        }
    }

    /// A signed integer of `from` bytes to a float of `to` bytes.
    fn convert_signed(&mut self, dst: Reg, src: Reg, from: u32, to: u32) {
        // The instruction keeps the upper part of its destination, and would wait for whatever wrote it last.
        self.zero_float(dst);
        match (from == 8, to == 8, self.cpu.avx) {
            (false, false, false) => emit!(self; cvtsi2ss Rx(dst), Rd(src)),
            (false, true, false) => emit!(self; cvtsi2sd Rx(dst), Rd(src)),
            (true, false, false) => emit!(self; cvtsi2ss Rx(dst), Rq(src)),
            (true, true, false) => emit!(self; cvtsi2sd Rx(dst), Rq(src)),
            (false, false, true) => emit!(self; vcvtsi2ss Rx(dst), Rx(dst), Rd(src)),
            (false, true, true) => emit!(self; vcvtsi2sd Rx(dst), Rx(dst), Rd(src)),
            (true, false, true) => emit!(self; vcvtsi2ss Rx(dst), Rx(dst), Rq(src)),
            (true, true, true) => emit!(self; vcvtsi2sd Rx(dst), Rx(dst), Rq(src)),
        }
    }

    /// An unsigned integer of 64 bits. With the highest bit set it is halved first; the bit that falls out stays in the
    /// lowest of the half, so that it is rounded the right way, and doubling is exact.
    fn convert_unsigned(&mut self, dst: Reg, src: Reg, to: u32) {
        self.test(src, src, 8);
        let large = self.short_forward(Condition::SIGN);
        self.convert_signed(dst, src, 8, to);
        let done = self.short_forward_always();
        self.land(large);
        self.mov(SCRATCH, src, 8);
        self.mov(SCRATCH2, src, 4);
        self.shift_imm(Shift::RightUnsigned, SCRATCH, 1, 8);
        self.alu(Alu::And, SCRATCH2, Rhs::Imm(1), 4);
        self.alu(Alu::Or, SCRATCH, Rhs::Reg(SCRATCH2), 8);
        self.convert_signed(dst, SCRATCH, 8, to);
        self.float_arithmetic(FloatOp::Add, dst, dst, Rhs::Reg(dst), to);
        self.land(done);
    }

    fn truncate_to_32(&mut self, op: Truncation, dst: Reg, src: Reg) {
        self.truncate(SCRATCH, src, op.from);
        self.mov(dst, SCRATCH, 4);
        if op.signed {
            emit!(self; movsxd Rq(SCRATCH2), Rd(SCRATCH));
            self.alu(Alu::Cmp, SCRATCH, Rhs::Reg(SCRATCH2), 8);
        } else {
            self.alu(Alu::Cmp, SCRATCH, Rhs::Reg(dst), 8);
        }
        let done = self.short_forward(Condition::EQUAL);
        self.does_not_fit(op, dst, src);
        self.land(done);
    }

    fn truncate_to_signed_64(&mut self, op: Truncation, dst: Reg, src: Reg) {
        self.truncate(dst, src, op.from);
        // Only the least number overflows when 1 is taken from it.
        self.alu(Alu::Cmp, dst, Rhs::Imm(1), 8);
        let done = self.short_forward(Condition::OVERFLOW.negated());
        if op.saturating {
            self.does_not_fit(op, dst, src);
        } else {
            // -2^63 itself fits, and no other float truncates to it.
            let least = if op.from == 4 {
                0xdf00_0000
            } else {
                0xc3e0_0000_0000_0000
            };
            self.float_imm(VSCRATCH, least, op.from);
            self.compare_ordered(src, Rhs::Reg(VSCRATCH), op.from);
            self.trap_if(Condition::PARITY, Trap::InvalidConversionToInteger);
            self.trap_if(Condition::NOT_EQUAL, Trap::IntegerOverflow);
        }
        self.land(done);
    }

    /// What is 2^63 or more is truncated less 2^63.
    fn truncate_to_unsigned_64(&mut self, op: Truncation, dst: Reg, src: Reg) {
        self.truncate(dst, src, op.from);
        self.test(dst, dst, 8);
        let done = self.short_forward(Condition::NOT_SIGN);
        let half = if op.from == 4 {
            0x5f00_0000
        } else {
            0x43e0_0000_0000_0000
        };
        self.float_imm(VSCRATCH2, half, op.from);
        self.float_arithmetic(FloatOp::Sub, VSCRATCH, src, Rhs::Reg(VSCRATCH2), op.from);
        self.truncate(dst, VSCRATCH, op.from);
        // Adds 2^63; the carry flag says whether the bit was there, which means that the difference did not fit either.
        emit!(self; btc Rq(dst), BYTE 63);
        let done_too = self.short_forward(Condition::ABOVE_EQUAL);
        self.does_not_fit(op, dst, src);
        self.land(done);
        self.land(done_too);
    }

    /// Deals with a float that the integer type has no value for.
    fn does_not_fit(&mut self, op: Truncation, dst: Reg, src: Reg) {
        if !op.saturating {
            self.compare_ordered(src, Rhs::Reg(src), op.from);
            self.trap_if(Condition::PARITY, Trap::InvalidConversionToInteger);
            let overflow = self.trap_label(Trap::IntegerOverflow);
            return self.jump(overflow);
        }
        let (least, greatest) = op.bounds();
        self.zero_float(VSCRATCH);
        self.zero(dst);
        self.compare_ordered(src, Rhs::Reg(VSCRATCH), op.from);
        if op.signed {
            let unordered = self.short_forward(Condition::PARITY);
            self.mov_imm(dst, greatest, op.to);
            let above = self.short_forward(Condition::ABOVE);
            self.mov_imm(dst, least, op.to);
            self.land(above);
            self.land(unordered);
        } else {
            let below = self.short_forward(Condition::BELOW_EQUAL);
            self.mov_imm(dst, greatest, op.to);
            self.land(below);
        }
    }

    /// To a signed integer of 64 bits, the processor's way.
    fn truncate(&mut self, dst: Reg, src: Reg, from: u32) {
        match (from == 8, self.cpu.avx) {
            (false, false) => emit!(self; cvttss2si Rq(dst), Rx(src)),
            (true, false) => emit!(self; cvttsd2si Rq(dst), Rx(src)),
            (false, true) => emit!(self; vcvttss2si Rq(dst), Rx(src)),
            (true, true) => emit!(self; vcvttsd2si Rq(dst), Rx(src)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{FULL, RBX, RSI, X0, X1, X9, check};
    use crate::cpu::CpuFeatures;
    use luge_core::operator::UnaryOp as U;

    #[test]
    fn integers_to_floats() {
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::F32ConvertI32S, X0, RSI),
            "xorps xmm0,xmm0; cvtsi2ss xmm0,esi",
        );
        check(
            FULL,
            |m| m.unary(U::F64ConvertI32U, X9, RSI),
            "vxorps xmm9,xmm9,xmm9; vcvtsi2sd xmm9,xmm9,rsi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::F64ConvertI64S, X0, RSI),
            "xorps xmm0,xmm0; cvtsi2sd xmm0,rsi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::F32ConvertI64U, X0, RSI),
            "test rsi,rsi; js 0Fh; xorps xmm0,xmm0; cvtsi2ss xmm0,rsi; jmp 2Ch; mov rax,rsi; mov r11d,esi; shr rax,1; and r11d,1; or rax,r11; xorps xmm0,xmm0; cvtsi2ss xmm0,rax; addss xmm0,xmm0",
        );
    }

    #[test]
    fn truncations_that_trap() {
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I32TruncF32S, RBX, X0),
            "cvttss2si rax,xmm0; mov ebx,eax; movsxd r11,eax; cmp rax,r11; je 1Dh; ucomiss xmm0,xmm0; jp 1Dh; jmp 1Fh; ud2; ud2",
        );
        check(
            FULL,
            |m| m.unary(U::I32TruncF64U, RBX, X0),
            "vcvttsd2si rax,xmm0; mov ebx,eax; cmp rax,rbx; je 1Bh; vucomisd xmm0,xmm0; jp 1Bh; jmp 1Dh; ud2; ud2",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I64TruncF64S, RBX, X0),
            "cvttsd2si rbx,xmm0; cmp rbx,1; jno 2Bh; mov rax,0C3E0000000000000h; movq xmm15,rax; ucomisd xmm0,xmm15; jp 2Bh; jne 2Dh; ud2; ud2",
        );
        check(
            FULL,
            |m| m.unary(U::I64TruncF32U, RBX, X9),
            "vcvttss2si rbx,xmm9; test rbx,rbx; jns 34h; mov eax,5F000000h; vmovd xmm14,eax; vsubss xmm15,xmm9,xmm14; vcvttss2si rbx,xmm15; btc rbx,3Fh; jae 34h; vucomiss xmm9,xmm9; jp 34h; jmp 36h; ud2; ud2",
        );
    }

    #[test]
    fn truncations_that_saturate() {
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I32TruncSatF32S, RBX, X0),
            "cvttss2si rax,xmm0; mov ebx,eax; movsxd r11,eax; cmp rax,r11; je 27h; xorps xmm15,xmm15; xor ebx,ebx; ucomiss xmm0,xmm15; jp 27h; mov ebx,7FFFFFFFh; ja 27h; mov ebx,80000000h",
        );
        check(
            FULL,
            |m| m.unary(U::I64TruncSatF64U, RBX, X0),
            "vcvttsd2si rbx,xmm0; test rbx,rbx; jns 3Fh; mov rax,43E0000000000000h; vmovq xmm14,rax; vsubsd xmm15,xmm0,xmm14; vcvttsd2si rbx,xmm15; btc rbx,3Fh; jae 3Fh; vxorps xmm15,xmm15,xmm15; xor ebx,ebx; vucomisd xmm0,xmm15; jbe 3Fh; mov rbx,0FFFFFFFFFFFFFFFFh",
        );
    }

    #[test]
    fn between_floats_and_as_bits() {
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::F32DemoteF64, X0, X1),
            "cvtsd2ss xmm0,xmm1",
        );
        check(
            FULL,
            |m| m.unary(U::F64PromoteF32, X0, X1),
            "vcvtss2sd xmm0,xmm1,xmm1",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I32ReinterpretF32, RBX, X0),
            "movd ebx,xmm0",
        );
        check(FULL, |m| m.unary(U::F64ReinterpretI64, X0, RBX), "vmovq xmm0,rbx");
    }
}
