//! Integer arithmetic, logic and counts.

use super::super::encode::{emit, emit_byte};
use super::super::general::{Imm, Opcode};
use super::super::{Condition, Masm, Mem, Reg, Rhs, SCRATCH, SCRATCH2};
use super::shift::Shift;
use dynasmrt::DynasmApi;
use luge_core::operator::UnaryOp;

/// The two-operand instructions that share an encoding, by the number that tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

impl Masm {
    /// `dst = dst op b`, or the comparison of both. Constants that no instruction holds go through [`SCRATCH`].
    pub(super) fn alu(&mut self, op: Alu, dst: Reg, b: Rhs, width: u32) {
        let (wide, number) = (width == 8, op as u8);
        match b {
            Rhs::Reg(b) => self.of_registers(Opcode::alu_to_rm(number), b.number(), dst, wide, Imm::None),
            Rhs::Mem(mem) => self.of_memory(Opcode::alu_to_reg(number), dst.number(), mem, wide),
            Rhs::Imm(bits) => match Self::immediate(bits, width).map(|value| (value, i8::try_from(value))) {
                Some((_, Ok(b))) => self.of_registers(Opcode::ALU_IMM_BYTE, number, dst, wide, Imm::Byte(b)),
                Some((b, Err(_))) => self.of_registers(Opcode::ALU_IMM, number, dst, wide, Imm::Dword(b)),
                None => {
                    let b = self.in_register(b, SCRATCH, width);
                    self.of_registers(Opcode::alu_to_rm(number), b.number(), dst, wide, Imm::None);
                }
            },
        }
        self.note_zero_flag(op, dst, width);
    }

    /// Remembers what the zero flag says after the last instruction.
    fn note_zero_flag(&mut self, op: Alu, dst: Reg, width: u32) {
        self.zero_flag = (op != Alu::Cmp).then(|| (dst, width, self.here()));
    }

    /// Compares a register with zero, for the zero flag alone: often the last instruction has done so already.
    pub(super) fn test_for_zero(&mut self, src: Reg, width: u32) {
        if self.zero_flag != Some((src, width, self.here())) {
            self.test(src, src, width);
        }
    }

    /// `a & b`, for its flags.
    pub(super) fn test(&mut self, a: Reg, b: Reg, width: u32) {
        self.of_registers(Opcode::TEST, b.number(), a, width == 8, Imm::None);
    }

    /// `dst = a op b` for an operator whose operands may change places.
    pub(super) fn commutative(&mut self, op: Alu, dst: Reg, a: Reg, b: Rhs, width: u32) {
        if b == Rhs::Reg(dst) {
            self.alu(op, dst, Rhs::Reg(a), width);
        } else {
            let b = self.place(dst, a, b, SCRATCH, width);
            self.alu(op, dst, b, width);
        }
    }

    pub(super) fn add(&mut self, dst: Reg, a: Reg, b: Rhs, width: u32) {
        match b {
            Rhs::Imm(bits) if dst != a => match Self::immediate(bits, width) {
                Some(0) => self.mov(dst, a, width),
                Some(value) => self.lea_width(dst, Mem::new(a, value), width == 8),
                None => self.commutative(Alu::Add, dst, a, b, width),
            },
            Rhs::Reg(b) if dst != a && dst != b => {
                self.lea_width(dst, Mem::indexed(a, b, 0), width == 8);
            }
            b => self.commutative(Alu::Add, dst, a, b, width),
        }
    }

    pub(super) fn subtract(&mut self, dst: Reg, a: Reg, b: Rhs, width: u32) {
        match b {
            // The least number is its own negation modulo 2^32; in 64 bits its negation does not fit and is not used.
            Rhs::Imm(bits)
                if dst != a && (width == 4 || Self::immediate(bits.wrapping_neg(), 8).is_some()) =>
            {
                self.add(dst, a, Rhs::Imm(bits.wrapping_neg()), width);
            }
            Rhs::Reg(own) if own == dst && dst != a => {
                self.negate(dst, width);
                self.alu(Alu::Add, dst, Rhs::Reg(a), width);
            }
            b => {
                let b = self.place(dst, a, b, SCRATCH, width);
                self.alu(Alu::Sub, dst, b, width);
            }
        }
    }

    /// `dst = -dst`; the flags say whether it overflowed.
    pub(super) fn negate(&mut self, dst: Reg, width: u32) {
        if width == 8 {
            emit!(self; neg Rq(dst));
        } else {
            emit!(self; neg Rd(dst));
        }
    }

    pub(super) fn multiply(&mut self, dst: Reg, a: Reg, b: Rhs, width: u32) {
        let wide = width == 8;
        let b = match b {
            Rhs::Imm(bits) => match Self::immediate(bits, width) {
                Some(value) => return self.multiply_imm(dst, a, value, width),
                None if bits.is_power_of_two() => {
                    let count = Rhs::Imm(u64::from(bits.trailing_zeros()));
                    return self.shift(Shift::Left, dst, a, count, width);
                }
                None => Rhs::Reg(self.in_register(b, SCRATCH, width)),
            },
            b => b,
        };
        let b = if b == Rhs::Reg(dst) {
            Rhs::Reg(a)
        } else {
            self.place(dst, a, b, SCRATCH, width)
        };
        match b {
            Rhs::Reg(b) => self.of_registers(Opcode::IMUL, dst.number(), b, wide, Imm::None),
            Rhs::Mem(mem) => self.of_memory(Opcode::IMUL, dst.number(), mem, wide),
            Rhs::Imm(_) => unreachable!("constants were dealt with"),
        }
    }

    fn multiply_imm(&mut self, dst: Reg, a: Reg, value: i32, width: u32) {
        let wide = width == 8;
        match value {
            0 => self.zero(dst),
            1 => self.mov(dst, a, width),
            3 => self.lea_scaled(dst, Some(a), a, 1, 0, width),
            5 => self.lea_scaled(dst, Some(a), a, 2, 0, width),
            9 => self.lea_scaled(dst, Some(a), a, 3, 0, width),
            -1 => {
                self.mov(dst, a, width);
                self.negate(dst, width);
            }
            value if value > 0 && value.unsigned_abs().is_power_of_two() => {
                let count = Rhs::Imm(u64::from(value.trailing_zeros()));
                self.shift(Shift::Left, dst, a, count, width);
            }
            value => match i8::try_from(value) {
                Ok(b) => self.of_registers(Opcode::IMUL_IMM_BYTE, dst.number(), a, wide, Imm::Byte(b)),
                Err(_) => self.of_registers(Opcode::IMUL_IMM, dst.number(), a, wide, Imm::Dword(value)),
            },
        }
    }

    pub(super) fn and(&mut self, dst: Reg, a: Reg, b: Rhs, width: u32) {
        let Rhs::Imm(bits) = b else {
            return self.commutative(Alu::And, dst, a, b, width);
        };
        match if width == 4 { bits & 0xffff_ffff } else { bits } {
            0xff => {
                let (opcode, keep_rex) = (Opcode::MOVZX_BYTE, a.is_byte_with_rex());
                self.of_registers_keeping(opcode, dst.number(), a, false, keep_rex, Imm::None);
            }
            0xffff => self.of_registers(Opcode::MOVZX_WORD, dst.number(), a, false, Imm::None),
            0xffff_ffff => self.wrap(dst, a),
            // The upper half vanishes, which is what an instruction of 32 bits does by itself.
            small if small <= 0xffff_ffff => self.commutative(Alu::And, dst, a, b, 4),
            _ => self.commutative(Alu::And, dst, a, b, width),
        }
    }

    /// `dst` = the lower half of `src`, zero-extended even if the two are one register.
    pub(super) fn wrap(&mut self, dst: Reg, src: Reg) {
        self.of_registers(Opcode::MOV_STORE, src.number(), dst, false, Imm::None);
    }

    pub(super) fn sign_extend(&mut self, op: UnaryOp, dst: Reg, src: Reg) {
        match op {
            UnaryOp::I32Extend8S => emit_byte!(self, src; movsx Rd(dst), Rb(src)),
            UnaryOp::I32Extend16S => emit!(self; movsx Rd(dst), Rw(src)),
            UnaryOp::I64Extend8S => emit_byte!(self, src; movsx Rq(dst), Rb(src)),
            UnaryOp::I64Extend16S => emit!(self; movsx Rq(dst), Rw(src)),
            _ => emit!(self; movsxd Rq(dst), Rd(src)),
        }
    }

    pub(super) fn leading_zeros(&mut self, dst: Reg, src: Reg, width: u32) {
        let wide = width == 8;
        if self.cpu.lzcnt {
            if wide {
                emit!(self; lzcnt Rq(dst), Rq(src));
            } else {
                emit!(self; lzcnt Rd(dst), Rd(src));
            }
            return;
        }
        // The place of the highest bit, counted from below; for zero, what the exclusive or turns into the width.
        let (none, top) = if wide { (127, 63) } else { (63, 31) };
        if wide {
            emit!(self; bsr Rq(SCRATCH), Rq(src));
        } else {
            emit!(self; bsr Rd(SCRATCH), Rd(src));
        }
        self.mov_imm(SCRATCH2, none, 4);
        self.cmov(Condition::EQUAL.code(), SCRATCH, SCRATCH2, 4);
        self.alu(Alu::Xor, SCRATCH, Rhs::Imm(top), 4);
        self.mov(dst, SCRATCH, 4);
    }

    pub(super) fn trailing_zeros(&mut self, dst: Reg, src: Reg, width: u32) {
        let wide = width == 8;
        match (self.cpu.bmi1, wide) {
            (true, false) => emit!(self; tzcnt Rd(dst), Rd(src)),
            (true, true) => emit!(self; tzcnt Rq(dst), Rq(src)),
            (false, false) => emit!(self; bsf Rd(SCRATCH), Rd(src)),
            (false, true) => emit!(self; bsf Rq(SCRATCH), Rq(src)),
        }
        if !self.cpu.bmi1 {
            self.mov_imm(SCRATCH2, u64::from(width) * 8, 4);
            self.cmov(Condition::EQUAL.code(), SCRATCH, SCRATCH2, 4);
            self.mov(dst, SCRATCH, 4);
        }
    }

    pub(super) fn count_ones(&mut self, dst: Reg, src: Reg, width: u32) {
        let wide = width == 8;
        if self.cpu.popcnt {
            if wide {
                emit!(self; popcnt Rq(dst), Rq(src));
            } else {
                emit!(self; popcnt Rd(dst), Rd(src));
            }
            return;
        }
        // Sums of bits, of pairs, of nibbles, of bytes (Warren, "Hacker's Delight", section 5-1). `dst` holds the masks.
        let (sum, part) = (SCRATCH, SCRATCH2);
        self.mov(sum, src, width);
        self.mov(part, sum, width);
        self.shift_imm(Shift::RightUnsigned, part, 1, width);
        self.mov_imm(dst, 0x5555_5555_5555_5555, width);
        self.alu(Alu::And, part, Rhs::Reg(dst), width);
        self.alu(Alu::Sub, sum, Rhs::Reg(part), width);
        self.mov(part, sum, width);
        self.shift_imm(Shift::RightUnsigned, sum, 2, width);
        self.mov_imm(dst, 0x3333_3333_3333_3333, width);
        self.alu(Alu::And, sum, Rhs::Reg(dst), width);
        self.alu(Alu::And, part, Rhs::Reg(dst), width);
        self.alu(Alu::Add, sum, Rhs::Reg(part), width);
        self.mov(part, sum, width);
        self.shift_imm(Shift::RightUnsigned, part, 4, width);
        self.alu(Alu::Add, sum, Rhs::Reg(part), width);
        self.mov_imm(dst, 0x0f0f_0f0f_0f0f_0f0f, width);
        self.alu(Alu::And, sum, Rhs::Reg(dst), width);
        self.mov_imm(dst, 0x0101_0101_0101_0101, width);
        self.multiply(dst, dst, Rhs::Reg(sum), width);
        self.shift_imm(Shift::RightUnsigned, dst, width as u8 * 8 - 8, width);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{FULL, R12, R13, RBP, RBX, RCX, RDX, RSI, check};
    use super::super::super::{Mem, Rhs};
    use crate::cpu::CpuFeatures;
    use luge_core::operator::BinaryOp as B;
    use luge_core::operator::UnaryOp as U;

    #[test]
    fn addition_takes_three_operands() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Add, RBX, RBX, Rhs::Reg(RSI)),
            "add ebx,esi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Add, RBX, RSI, Rhs::Reg(RBX)),
            "add ebx,esi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Add, RBX, RSI, Rhs::Reg(RCX)),
            "lea ebx,[rsi+rcx]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Add, RBX, R13, Rhs::Reg(R12)),
            "lea rbx,[r13+r12]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Add, RBX, RBX, Rhs::Imm(0xffff_ffff)),
            "add ebx,0FFFFFFFFh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Add, RBX, RSI, Rhs::Imm(0xffff_ff00)),
            "lea ebx,[rsi-100h]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Add, RBX, RSI, Rhs::Imm(1 << 40)),
            "mov rbx,rsi; mov rax,10000000000h; add rbx,rax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Add, RBX, RBX, Rhs::Imm(128)),
            "add rbx,80h",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Add, RBX, RSI, Rhs::Mem(Mem::new(RBP, -8))),
            "mov rbx,rsi; add rbx,[rbp-8]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Add, RBX, RSI, Rhs::Mem(Mem::new(RBX, 4))),
            "mov eax,[rbx+4]; mov ebx,esi; add ebx,eax",
        );
    }

    #[test]
    fn subtraction_minds_its_destination() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Sub, RBX, RBX, Rhs::Reg(RSI)),
            "sub ebx,esi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Sub, RBX, RSI, Rhs::Reg(RBX)),
            "neg ebx; add ebx,esi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Sub, RBX, RSI, Rhs::Reg(RCX)),
            "mov rbx,rsi; sub rbx,rcx",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Sub, RBX, RSI, Rhs::Imm(0x8000_0000)),
            "lea ebx,[rsi-80000000h]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Sub, RBX, RSI, Rhs::Imm(0xffff_ffff_8000_0000)),
            "mov rbx,rsi; sub rbx,0FFFFFFFF80000000h",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Sub, RBX, RBX, Rhs::Imm(1)),
            "sub rbx,1",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Sub, RBX, RSI, Rhs::Mem(Mem::indexed(RCX, RBX, 0))),
            "mov rax,[rcx+rbx]; mov rbx,rsi; sub rbx,rax",
        );
    }

    #[test]
    fn multiplication_by_constants() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Mul, RBX, RSI, Rhs::Reg(RBX)),
            "imul ebx,esi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Mul, RBX, RSI, Rhs::Mem(Mem::new(RBP, -300))),
            "mov rbx,rsi; imul rbx,[rbp-12Ch]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Mul, RBX, RSI, Rhs::Imm(0)),
            "xor ebx,ebx",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Mul, RBX, RSI, Rhs::Imm(2)),
            "lea ebx,[rsi+rsi]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Mul, RBX, RSI, Rhs::Imm(5)),
            "lea ebx,[rsi+rsi*4]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Mul, RBX, RSI, Rhs::Imm(16)),
            "mov rbx,rsi; shl rbx,4",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Mul, RBX, RSI, Rhs::Imm(0xffff_ffff)),
            "mov ebx,esi; neg ebx",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Mul, RBX, RSI, Rhs::Imm(100)),
            "imul rbx,rsi,64h",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Mul, RBX, RSI, Rhs::Imm(1000)),
            "imul rbx,rsi,3E8h",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Mul, RBX, RSI, Rhs::Imm(1 << 40)),
            "mov rbx,rsi; shl rbx,28h",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Mul, RBX, RSI, Rhs::Imm((1 << 40) + 1)),
            "mov rax,10000000001h; mov rbx,rsi; imul rbx,rax",
        );
    }

    #[test]
    fn masks_are_zero_extensions() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32And, RBX, RSI, Rhs::Imm(0xff)),
            "movzx ebx,sil",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64And, RBX, RCX, Rhs::Imm(0xffff)),
            "movzx ebx,cx",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64And, RBX, RBX, Rhs::Imm(0xffff_ffff)),
            "mov ebx,ebx",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64And, RBX, RBX, Rhs::Imm(0xffff_fff0)),
            "and ebx,0FFFFFFF0h",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64And, RBX, RBX, Rhs::Imm(0xffff_ffff_ffff_fff0)),
            "and rbx,0FFFFFFFFFFFFFFF0h",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Or, RBX, RBX, Rhs::Imm(0xffff_fff0)),
            "mov eax,0FFFFFFF0h; or rbx,rax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Xor, RBX, RBX, Rhs::Imm(0xffff_ffff)),
            "xor ebx,0FFFFFFFFh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Xor, R12, RSI, Rhs::Mem(Mem::new(R12, 0))),
            "mov rax,[r12]; mov r12,rsi; xor r12,rax",
        );
    }

    #[test]
    fn counts_with_and_without_their_instructions() {
        check(FULL, |m| m.unary(U::I32Clz, RBX, RSI), "lzcnt ebx,esi");
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I32Clz, RBX, RSI),
            "bsr eax,esi; mov r11d,3Fh; cmove eax,r11d; xor eax,1Fh; mov ebx,eax",
        );
        check(FULL, |m| m.unary(U::I64Ctz, RBX, R12), "tzcnt rbx,r12");
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I64Ctz, RBX, R12),
            "bsf rax,r12; mov r11d,40h; cmove eax,r11d; mov ebx,eax",
        );
        check(FULL, |m| m.unary(U::I64Popcnt, RBX, RBX), "popcnt rbx,rbx");
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I32Popcnt, RBX, RBX),
            "mov eax,ebx; mov r11d,eax; shr r11d,1; mov ebx,55555555h; and r11d,ebx; sub eax,r11d; mov r11d,eax; shr eax,2; mov ebx,33333333h; and eax,ebx; and r11d,ebx; add eax,r11d; mov r11d,eax; shr r11d,4; add eax,r11d; mov ebx,0F0F0F0Fh; and eax,ebx; mov ebx,1010101h; imul ebx,eax; shr ebx,18h",
        );
    }

    #[test]
    fn extensions() {
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I32Extend8S, RBX, RSI),
            "movsx ebx,sil",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I64Extend8S, RBX, RCX),
            "movsx rbx,cl",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I32Extend16S, RDX, R12),
            "movsx edx,r12w",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I64ExtendI32S, RBX, RSI),
            "movsxd rbx,esi",
        );
        check(CpuFeatures::BASELINE, |m| m.unary(U::I64ExtendI32U, RBX, RBX), "");
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I32WrapI64, RBX, RBX),
            "mov ebx,ebx",
        );
    }
}
