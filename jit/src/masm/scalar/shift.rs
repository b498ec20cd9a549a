//! Shifts and rotations.
//!
//! By a constant they are single instructions. By a register they are too with BMI2, rotations excepted; otherwise the
//! count has to be in `cl`, and whatever is in `rcx` has to stand back for it.

use super::super::encode::emit;
use super::super::general::{Imm, Opcode};
use super::super::{Masm, Mem, Reg, Rhs, SCRATCH, SCRATCH2};
use dynasmrt::DynasmApi;

/// What moves where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shift {
    Left,
    RightSigned,
    RightUnsigned,
    RotateLeft,
    RotateRight,
}

impl Shift {
    /// Its number in the group of shifts.
    fn number(self) -> u8 {
        match self {
            Self::RotateLeft => 0,
            Self::RotateRight => 1,
            Self::Left => 4,
            Self::RightUnsigned => 5,
            Self::RightSigned => 7,
        }
    }
}

impl Masm {
    /// `dst = a op b`, the count taken modulo the width.
    pub(super) fn shift(&mut self, op: Shift, dst: Reg, a: Reg, b: Rhs, width: u32) {
        match b {
            Rhs::Imm(bits) => {
                let count = (bits & u64::from(width * 8 - 1)) as u8;
                self.shift_by_constant(op, dst, a, count, width);
            }
            b if self.cpu.bmi2 && !matches!(op, Shift::RotateLeft | Shift::RotateRight) => {
                let count = match b {
                    Rhs::Reg(count) => count,
                    b => self.in_register(b, SCRATCH, width),
                };
                self.shift_any(op, dst, a, count, width);
            }
            b => self.shift_by_rcx(op, dst, a, b, width),
        }
    }

    /// `dst = dst op count`, for a count below the width that is not 0.
    pub(super) fn shift_imm(&mut self, op: Shift, dst: Reg, count: u8, width: u32) {
        debug_assert!(count != 0 && u32::from(count) < width * 8);
        let count = Imm::Byte(count.cast_signed());
        self.of_registers(Opcode::SHIFT_IMM, op.number(), dst, width == 8, count);
    }

    fn shift_by_constant(&mut self, op: Shift, dst: Reg, a: Reg, count: u8, width: u32) {
        let wide = width == 8;
        let rotation = match op {
            Shift::RotateRight => Some(count),
            Shift::RotateLeft => Some(width as u8 * 8 - count),
            _ => None,
        };
        match rotation {
            _ if count == 0 => self.mov(dst, a, width),
            Some(count) if dst != a && self.cpu.bmi2 => {
                if wide {
                    emit!(self; rorx Rq(dst), Rq(a), BYTE count as i8);
                } else {
                    emit!(self; rorx Rd(dst), Rd(a), BYTE count as i8);
                }
            }
            None if dst != a && op == Shift::Left && count == 1 => {
                self.lea_width(dst, Mem::indexed(a, a, 0), wide);
            }
            _ => {
                self.mov(dst, a, width);
                self.shift_imm(op, dst, count, width);
            }
        }
    }

    /// By any register (BMI2).
    fn shift_any(&mut self, op: Shift, dst: Reg, a: Reg, count: Reg, width: u32) {
        match (op, width == 8) {
            (Shift::Left, false) => emit!(self; shlx Rd(dst), Rd(a), Rd(count)),
            (Shift::Left, true) => emit!(self; shlx Rq(dst), Rq(a), Rq(count)),
            (Shift::RightSigned, false) => emit!(self; sarx Rd(dst), Rd(a), Rd(count)),
            (Shift::RightSigned, true) => emit!(self; sarx Rq(dst), Rq(a), Rq(count)),
            (_, false) => emit!(self; shrx Rd(dst), Rd(a), Rd(count)),
            (_, true) => emit!(self; shrx Rq(dst), Rq(a), Rq(count)),
        }
    }

    fn shift_by_rcx(&mut self, op: Shift, dst: Reg, a: Reg, b: Rhs, width: u32) {
        // The value stays clear of `rcx`, and of what the count is still to be read from.
        let work = if dst == Reg::RCX || b.mentions(dst) {
            SCRATCH
        } else {
            dst
        };
        self.mov(work, a, width);
        let in_place = b == Rhs::Reg(Reg::RCX);
        let save = !in_place && dst != Reg::RCX;
        if save {
            self.mov(SCRATCH2, Reg::RCX, 8);
        }
        if !in_place {
            self.in_register(b, Reg::RCX, width);
        }
        self.of_registers(Opcode::SHIFT_CL, op.number(), work, width == 8, Imm::None);
        if save {
            self.mov(Reg::RCX, SCRATCH2, 8);
        }
        self.mov(dst, work, width);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{FULL, R12, RBP, RBX, RCX, RSI, check};
    use super::super::super::{Mem, Rhs};
    use crate::cpu::CpuFeatures;
    use luge_core::operator::BinaryOp as B;

    #[test]
    fn by_constants() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Shl, RBX, RBX, Rhs::Imm(33)),
            "shl ebx,1",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64ShrS, RBX, RSI, Rhs::Imm(33)),
            "mov rbx,rsi; sar rbx,21h",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32ShrU, RBX, RSI, Rhs::Imm(32)),
            "mov ebx,esi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64Rotl, RBX, RSI, Rhs::Imm(1)),
            "mov rbx,rsi; rol rbx,1",
        );
        check(
            FULL,
            |m| m.binary(B::I64Rotl, RBX, RSI, Rhs::Imm(8)),
            "rorx rbx,rsi,38h",
        );
        check(FULL, |m| m.binary(B::I32Rotr, RBX, RBX, Rhs::Imm(8)), "ror ebx,8");
    }

    #[test]
    fn by_any_register_with_bmi2() {
        check(
            FULL,
            |m| m.binary(B::I32Shl, RBX, RSI, Rhs::Reg(RBX)),
            "shlx ebx,esi,ebx",
        );
        check(
            FULL,
            |m| m.binary(B::I64ShrS, RBX, RSI, Rhs::Reg(R12)),
            "sarx rbx,rsi,r12",
        );
        check(
            FULL,
            |m| m.binary(B::I32ShrU, RBX, RSI, Rhs::Mem(Mem::new(RBP, -8))),
            "mov eax,[rbp-8]; shrx ebx,esi,eax",
        );
    }

    #[test]
    fn through_rcx_which_is_kept() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Shl, RBX, RBX, Rhs::Reg(RCX)),
            "shl ebx,cl",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32Shl, RBX, RSI, Rhs::Reg(R12)),
            "mov ebx,esi; mov r11,rcx; mov ecx,r12d; shl ebx,cl; mov rcx,r11",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I64ShrS, RBX, RSI, Rhs::Reg(RBX)),
            "mov rax,rsi; mov r11,rcx; mov rcx,rbx; sar rax,cl; mov rcx,r11; mov rbx,rax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32ShrU, RCX, RCX, Rhs::Reg(RSI)),
            "mov eax,ecx; mov ecx,esi; shr eax,cl; mov ecx,eax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32ShrU, RCX, RSI, Rhs::Reg(RCX)),
            "mov eax,esi; shr eax,cl; mov ecx,eax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::I32ShrU, RBX, RCX, Rhs::Reg(RSI)),
            "mov ebx,ecx; mov r11,rcx; mov ecx,esi; shr ebx,cl; mov rcx,r11",
        );
        check(
            FULL,
            |m| m.binary(B::I64Rotr, RBX, RSI, Rhs::Mem(Mem::new(RCX, 8))),
            "mov rbx,rsi; mov r11,rcx; mov rcx,[rcx+8]; ror rbx,cl; mov rcx,r11",
        );
        check(
            FULL,
            |m| m.binary(B::I32Rotl, RBX, RBX, Rhs::Reg(RBX)),
            "mov eax,ebx; mov r11,rcx; mov ecx,ebx; rol eax,cl; mov rcx,r11; mov ebx,eax",
        );
    }
}
