//! Division and remainder.
//!
//! `div` and `idiv` take their dividend from `rdx:rax` and leave quotient and remainder there. `rax` is a scratch register,
//! but `rdx` belongs to the tier: it is saved over the instruction, unless it is the destination. Division by zero is left
//! to the processor, whose fault becomes the trap. That processors fault on the overflow of signed division too, with no
//! way to tell the two apart, is why a divisor of -1 is looked for before. Constant powers of two need no division.

use super::super::encode::{emit, emit_mem};
use super::super::{Condition, Masm, Reg, Rhs, SCRATCH, SCRATCH2};
use super::int::Alu;
use super::shift::Shift;
use dynasmrt::DynasmApi;
use luge_core::Trap;

/// Which result of which division.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Division {
    signed: bool,
    remainder: bool,
}

impl Division {
    pub(super) const SIGNED_QUOTIENT: Self = Self {
        signed: true,
        remainder: false,
    };
    pub(super) const SIGNED_REMAINDER: Self = Self {
        signed: true,
        remainder: true,
    };
    pub(super) const UNSIGNED_QUOTIENT: Self = Self {
        signed: false,
        remainder: false,
    };
    pub(super) const UNSIGNED_REMAINDER: Self = Self {
        signed: false,
        remainder: true,
    };
}

impl Masm {
    /// `dst = a op b`, or a trap.
    pub(super) fn divide(&mut self, op: Division, dst: Reg, a: Reg, b: Rhs, width: u32) {
        if let Rhs::Imm(bits) = b {
            let bits = if width == 4 { bits & 0xffff_ffff } else { bits };
            let minus_one = u64::MAX >> (64 - width * 8);
            if op.signed && bits == minus_one {
                return self.divide_by_minus_one(op, dst, a, width);
            }
            if bits.is_power_of_two() && !op.signed {
                return self.divide_by_power_of_two(op, dst, a, bits, width);
            }
            if bits.is_power_of_two() && bits <= minus_one >> 1 {
                return self.divide_by_signed_power_of_two(op, dst, a, bits, width);
            }
        }
        self.mov(SCRATCH, a, width);
        // Where `rdx` waits. A constant takes the other scratch register, and then the destination is free.
        let saved = match b {
            _ if dst == Reg::RDX && !b.mentions(Reg::RDX) => None,
            Rhs::Imm(_) => Some(dst),
            _ => Some(SCRATCH2),
        };
        let mut divisor = b;
        if let Some(saved) = saved {
            self.mov(saved, Reg::RDX, 8);
            divisor = divisor.renamed(Reg::RDX, saved);
        }
        if let Rhs::Imm(_) = b {
            divisor = Rhs::Reg(self.in_register(b, SCRATCH2, width));
        }
        self.divide_scratch(op, divisor, matches!(b, Rhs::Imm(_)), width);
        match saved {
            Some(saved) if dst != Reg::RDX => {
                if op.remainder && saved == dst {
                    self.exchange(dst, Reg::RDX);
                } else {
                    if op.remainder {
                        self.mov(dst, Reg::RDX, width);
                    }
                    self.mov(Reg::RDX, saved, 8);
                    if !op.remainder {
                        self.mov(dst, SCRATCH, width);
                    }
                }
            }
            _ if op.remainder => {}
            _ => self.mov(dst, SCRATCH, width),
        }
    }

    /// Divides [`SCRATCH`], which is `rax`, by what is neither in it nor in `rdx`.
    fn divide_scratch(&mut self, op: Division, divisor: Rhs, constant: bool, width: u32) {
        if !op.signed {
            self.zero(Reg::RDX);
            return self.divide_instruction(false, divisor, width);
        }
        if constant {
            // Not -1.
            self.extend_dividend(width);
            return self.divide_instruction(true, divisor, width);
        }
        let minus_one = Rhs::Imm(u64::MAX);
        if op.remainder {
            // The remainder by -1 is 0, and needs no division, which might overflow.
            self.zero(Reg::RDX);
            self.compare_with(divisor, minus_one, width);
            let done = self.short_forward(Condition::EQUAL);
            self.extend_dividend(width);
            self.divide_instruction(true, divisor, width);
            self.land(done);
        } else {
            self.compare_with(divisor, minus_one, width);
            let fine = self.short_forward(Condition::NOT_EQUAL);
            // Only the least number overflows when 1 is taken from it.
            self.alu(Alu::Cmp, SCRATCH, Rhs::Imm(1), width);
            self.trap_if(Condition::OVERFLOW, Trap::IntegerOverflow);
            self.land(fine);
            self.extend_dividend(width);
            self.divide_instruction(true, divisor, width);
        }
    }

    fn divide_by_minus_one(&mut self, op: Division, dst: Reg, a: Reg, width: u32) {
        if op.remainder {
            self.zero(dst);
        } else {
            self.mov(dst, a, width);
            self.negate(dst, width);
            self.trap_if(Condition::OVERFLOW, Trap::IntegerOverflow);
        }
    }

    fn divide_by_one(&mut self, op: Division, dst: Reg, a: Reg, width: u32) {
        if op.remainder {
            self.zero(dst);
        } else {
            self.mov(dst, a, width);
        }
    }

    fn divide_by_power_of_two(&mut self, op: Division, dst: Reg, a: Reg, divisor: u64, width: u32) {
        if op.remainder {
            self.and(dst, a, Rhs::Imm(divisor - 1), width);
        } else {
            let count = Rhs::Imm(u64::from(divisor.trailing_zeros()));
            self.shift(Shift::RightUnsigned, dst, a, count, width);
        }
    }

    /// A shift rounds down. What a negative dividend lacks to be rounded up, the divisor less one, is added to it before.
    fn divide_by_signed_power_of_two(&mut self, op: Division, dst: Reg, a: Reg, divisor: u64, width: u32) {
        let (log, bits) = (divisor.trailing_zeros() as u8, width as u8 * 8);
        if log == 0 {
            return self.divide_by_one(op, dst, a, width);
        }
        self.mov(SCRATCH, a, width);
        if log > 1 {
            self.shift_imm(Shift::RightSigned, SCRATCH, bits - 1, width);
        }
        self.shift_imm(Shift::RightUnsigned, SCRATCH, bits - log, width);
        self.alu(Alu::Add, SCRATCH, Rhs::Reg(a), width);
        if op.remainder {
            // What is left of the dividend without the multiple of the divisor.
            self.shift_imm(Shift::RightUnsigned, SCRATCH, log, width);
            self.shift_imm(Shift::Left, SCRATCH, log, width);
            self.subtract(dst, a, Rhs::Reg(SCRATCH), width);
        } else {
            self.mov(dst, SCRATCH, width);
            self.shift_imm(Shift::RightSigned, dst, log, width);
        }
    }

    fn compare_with(&mut self, a: Rhs, minus_one: Rhs, width: u32) {
        match (a, width == 8) {
            (Rhs::Reg(a), _) => self.alu(Alu::Cmp, a, minus_one, width),
            (Rhs::Mem(mem), false) => emit_mem!(self, mem; cmp [] DWORD [, DWORD -1]),
            (Rhs::Mem(mem), true) => emit_mem!(self, mem; cmp [] QWORD [, DWORD -1]),
            (Rhs::Imm(_), _) => unreachable!("constants are in a register"),
        }
    }

    /// Sign-extends the dividend into `rdx`.
    fn extend_dividend(&mut self, width: u32) {
        if width == 8 {
            dynasmrt::dynasm!(self ; .arch x64 ; cqo);
        } else {
            dynasmrt::dynasm!(self ; .arch x64 ; cdq);
        }
    }

    fn divide_instruction(&mut self, signed: bool, divisor: Rhs, width: u32) {
        self.trap_here(Trap::IntegerDivideByZero);
        match (divisor, signed, width == 8) {
            (Rhs::Reg(b), false, false) => emit!(self; div Rd(b)),
            (Rhs::Reg(b), false, true) => emit!(self; div Rq(b)),
            (Rhs::Reg(b), true, false) => emit!(self; idiv Rd(b)),
            (Rhs::Reg(b), true, true) => emit!(self; idiv Rq(b)),
            (Rhs::Mem(mem), false, false) => emit_mem!(self, mem; div [] DWORD []),
            (Rhs::Mem(mem), false, true) => emit_mem!(self, mem; div [] QWORD []),
            (Rhs::Mem(mem), true, false) => emit_mem!(self, mem; idiv [] DWORD []),
            (Rhs::Mem(mem), true, true) => emit_mem!(self, mem; idiv [] QWORD []),
            (Rhs::Imm(_), _, _) => unreachable!("constants are in a register"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{R12, RBP, RBX, RCX, RDX, RSI, assemble, check};
    use super::super::super::{Mem, Rhs};
    use crate::cpu::CpuFeatures;
    use luge_core::Trap;
    use luge_core::operator::BinaryOp as B;

    #[test]
    fn unsigned_division_keeps_rdx() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32DivU, RBX, RSI, Rhs::Reg(RCX)),
            "mov eax,esi; mov r11,rdx; xor edx,edx; div ecx; mov rdx,r11; mov ebx,eax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64RemU, RBX, RDX, Rhs::Reg(RCX)),
            "mov rax,rdx; mov r11,rdx; xor edx,edx; div rcx; mov rbx,rdx; mov rdx,r11",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32DivU, RBX, RSI, Rhs::Reg(RDX)),
            "mov eax,esi; mov r11,rdx; xor edx,edx; div r11d; mov rdx,r11; mov ebx,eax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32DivU, RDX, RSI, Rhs::Reg(RDX)),
            "mov eax,esi; mov r11,rdx; xor edx,edx; div r11d; mov edx,eax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64RemU, RDX, RSI, Rhs::Mem(Mem::new(RBP, -8))),
            "mov rax,rsi; xor edx,edx; div qword [rbp-8]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32RemU, RBX, RSI, Rhs::Mem(Mem::indexed(RBX, RDX, 0))),
            "mov eax,esi; mov r11,rdx; xor edx,edx; div dword [rbx+r11]; mov ebx,edx; mov rdx,r11",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32RemU, RBX, RSI, Rhs::Imm(10)),
            "mov eax,esi; mov rbx,rdx; mov r11d,0Ah; xor edx,edx; div r11d; xchg rbx,rdx",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64DivU, RDX, RDX, Rhs::Imm(10)),
            "mov rax,rdx; mov r11d,0Ah; xor edx,edx; div r11; mov rdx,rax",
        );
    }

    #[test]
    fn signed_division_looks_for_minus_one() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32DivS, RBX, RBX, Rhs::Reg(RCX)),
            "mov eax,ebx; mov r11,rdx; cmp ecx,0FFFFFFFFh; jne 13h; cmp eax,1; jo 1Bh; cdq; idiv ecx; mov rdx,r11; mov ebx,eax; ud2",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64RemS, RDX, RDX, Rhs::Reg(R12)),
            "mov rax,rdx; xor edx,edx; cmp r12,0FFFFFFFFFFFFFFFFh; je 10h; cqo; idiv r12",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64DivS, RBX, RSI, Rhs::Imm(10)),
            "mov rax,rsi; mov rbx,rdx; mov r11d,0Ah; cqo; idiv r11; mov rdx,rbx; mov rbx,rax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32DivS, RBX, RSI, Rhs::Imm(0xffff_ffff)),
            "mov ebx,esi; neg ebx; jo 0Ah; ud2",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32RemS, RBX, RSI, Rhs::Imm(0xffff_ffff)),
            "xor ebx,ebx",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32RemS, RDX, RSI, Rhs::Mem(Mem::new(RDX, 4))),
            "mov eax,esi; mov r11,rdx; xor edx,edx; cmp dword [r11+4],0FFFFFFFFh; je 16h; cdq; idiv dword [r11+4]",
        );
    }

    #[test]
    fn powers_of_two_need_no_division() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32DivU, RBX, RSI, Rhs::Imm(8)),
            "mov ebx,esi; shr ebx,3",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64RemU, RBX, RSI, Rhs::Imm(1 << 40)),
            "mov rbx,rsi; mov rax,0FFFFFFFFFFh; and rbx,rax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32DivS, RBX, RBX, Rhs::Imm(2)),
            "mov eax,ebx; shr eax,1Fh; add eax,ebx; mov ebx,eax; sar ebx,1",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64DivS, RBX, RSI, Rhs::Imm(8)),
            "mov rax,rsi; sar rax,3Fh; shr rax,3Dh; add rax,rsi; mov rbx,rax; sar rbx,3",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32RemS, RBX, RBX, Rhs::Imm(8)),
            "mov eax,ebx; sar eax,1Fh; shr eax,1Dh; add eax,ebx; shr eax,3; shl eax,3; sub ebx,eax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32DivS, RBX, RSI, Rhs::Imm(0x8000_0000)),
            "mov eax,esi; mov rbx,rdx; mov r11d,80000000h; cdq; idiv r11d; mov rdx,rbx; mov ebx,eax",
        );
    }

    #[test]
    fn faults_are_marked_where_they_happen() {
        let (code, traps) = assemble(CpuFeatures::BASELINE, |m| {
            m.binary(B::I32DivS, RBX, RSI, Rhs::Reg(RCX));
        });
        let division = traps
            .iter()
            .find(|site| site.trap == Trap::IntegerDivideByZero)
            .expect("division faults");
        assert_eq!(code[division.offset as usize..][..2], [0xf7, 0xf9], "idiv ecx");
        let overflow = traps
            .iter()
            .find(|site| site.trap == Trap::IntegerOverflow)
            .expect("division overflows");
        assert_eq!(code[overflow.offset as usize..], [0x0f, 0x0b], "ud2");
    }
}
