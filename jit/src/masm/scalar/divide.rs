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
            return if op.remainder { self.zero(dst) } else { self.mov(dst, a, width) };
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
