//! Conditions as values, and selection by them.

use super::super::general::{Imm, Opcode};
use super::super::label::ShortJump;
use super::super::reg::Parity;
use super::super::{Condition, Masm, Reg, SCRATCH, SCRATCH2, VSCRATCH};
use super::int::Alu;

impl Masm {
    /// Tests a general register; the condition holds when it is zero.
    #[must_use]
    pub(crate) fn test_zero(&mut self, src: Reg, width: u32) -> Condition {
        self.test_for_zero(src, width);
        Condition::EQUAL
    }

    /// `dst` = 1 if the condition holds, else 0. May use [`SCRATCH2`].
    pub(crate) fn set(&mut self, dst: Reg, condition: Condition) {
        self.setcc(condition.code(), dst);
        match condition.parity() {
            Parity::Ignored => {}
            Parity::AndOrdered => {
                self.setcc(Condition::NOT_PARITY.code(), SCRATCH2);
                self.alu(Alu::And, dst, super::Rhs::Reg(SCRATCH2), 4);
            }
            Parity::OrUnordered => {
                self.setcc(Condition::PARITY.code(), SCRATCH2);
                self.alu(Alu::Or, dst, super::Rhs::Reg(SCRATCH2), 4);
            }
        }
        // Bytes above the lowest, which hold the rest of whatever was there.
        self.zero_extend_byte(dst);
    }

    /// `dst` = `if_true` if the condition holds, else `if_false`: `width` bytes of general registers, or whole vector
    /// registers. Keeps the flags. May use a scratch register of their class.
    pub(crate) fn select(&mut self, dst: Reg, condition: Condition, if_true: Reg, if_false: Reg, width: u32) {
        if if_true == if_false {
            return self.mov(dst, if_true, width);
        }
        // A conjunction is the negation of a disjunction, which two conditional moves make.
        match condition.parity() {
            Parity::AndOrdered => self.select_any(dst, condition.negated(), if_false, if_true, width),
            Parity::Ignored if dst == if_true => {
                self.select_any(dst, condition.negated(), if_false, if_true, width);
            }
            _ => self.select_any(dst, condition, if_true, if_false, width),
        }
    }

    /// [`Masm::select`] for a condition that needs no conjunction.
    fn select_any(&mut self, dst: Reg, condition: Condition, if_true: Reg, if_false: Reg, width: u32) {
        let mut if_true = if_true;
        if dst == if_true {
            let scratch = if dst.is_xmm() { VSCRATCH } else { SCRATCH };
            self.mov(scratch, if_true, width);
            if_true = scratch;
        }
        self.mov(dst, if_false, width);
        let unordered = condition.parity() == Parity::OrUnordered;
        if dst.is_xmm() {
            let move_it = unordered.then(|| self.short_forward(Condition::PARITY));
            let skip = self.short_forward_unless(condition);
            if let Some(move_it) = move_it {
                self.land(move_it);
            }
            self.mov(dst, if_true, width);
            self.land(skip);
        } else {
            self.cmov(condition.code(), dst, if_true, width);
            if unordered {
                self.cmov(Condition::PARITY.code(), dst, if_true, width);
            }
        }
    }

    /// A jump over few bytes if the condition's code does not hold.
    fn short_forward_unless(&mut self, condition: Condition) -> ShortJump {
        self.short_forward(condition.negated())
    }

    /// `dst = src` if the condition code holds.
    pub(super) fn cmov(&mut self, code: u8, dst: Reg, src: Reg, width: u32) {
        self.of_registers(Opcode::cmov(code), dst.number(), src, width == 8, Imm::None);
    }

    /// `dst` = whether a general register is zero.
    pub(super) fn is_zero(&mut self, dst: Reg, src: Reg, width: u32) {
        let condition = self.test_zero(src, width);
        self.set(dst, condition);
    }

    /// Sets the lowest byte of a general register to 0 or 1.
    fn setcc(&mut self, code: u8, dst: Reg) {
        let keep_rex = dst.is_byte_with_rex();
        self.of_registers_keeping(Opcode::setcc(code), 0, dst, false, keep_rex, Imm::None);
    }

    /// Clears all but the lowest byte of a general register.
    pub(in super::super) fn zero_extend_byte(&mut self, dst: Reg) {
        let (opcode, keep_rex) = (Opcode::MOVZX_BYTE, dst.is_byte_with_rex());
        self.of_registers_keeping(opcode, dst.number(), dst, false, keep_rex, Imm::None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{R12, RBP, RBX, RCX, RDX, RSI, X0, X1, X9, check};
    use super::super::super::{Condition, Mem, Rhs};
    use crate::cpu::CpuFeatures;
    use luge_core::operator::CompareOp as C;
    use luge_core::operator::UnaryOp as U;

    #[test]
    fn comparisons_of_integers() {
        check(
            CpuFeatures::BASELINE,
            |m| {
                let c = m.compare(C::I32LtS, RBX, Rhs::Imm(0));
                m.set(RSI, c);
            },
            "test ebx,ebx; setl sil; movzx esi,sil",
        );
        check(
            CpuFeatures::BASELINE,
            |m| {
                let c = m.compare(C::I32GeU, RBX, Rhs::Imm(0xffff_ffff));
                m.set(RBX, c);
            },
            "cmp ebx,0FFFFFFFFh; setae bl; movzx ebx,bl",
        );
        check(
            CpuFeatures::BASELINE,
            |m| {
                let c = m.compare(C::I64Eq, R12, Rhs::Imm(1 << 32));
                m.set(R12, c);
            },
            "mov rax,100000000h; cmp r12,rax; sete r12b; movzx r12d,r12b",
        );
        check(
            CpuFeatures::BASELINE,
            |m| {
                let c = m.compare(C::I64GtS, RBX, Rhs::Mem(Mem::new(RBP, -8)));
                m.set(RDX, c);
            },
            "cmp rbx,[rbp-8]; setg dl; movzx edx,dl",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I64Eqz, RBX, RBX),
            "test rbx,rbx; sete bl; movzx ebx,bl",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::I32Eqz, RSI, RBX),
            "test ebx,ebx; sete sil; movzx esi,sil",
        );
    }

    #[test]
    fn parity_joins_in() {
        check(
            CpuFeatures::BASELINE,
            |m| m.set(RBX, Condition::FLOAT_EQUAL),
            "sete bl; setnp r11b; and ebx,r11d; movzx ebx,bl",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.set(RSI, Condition::FLOAT_NOT_EQUAL),
            "setne sil; setp r11b; or esi,r11d; movzx esi,sil",
        );
    }

    #[test]
    fn selection_by_conditional_moves() {
        check(
            CpuFeatures::BASELINE,
            |m| m.select(RBX, Condition::LESS, RBX, RSI, 4),
            "cmovge ebx,esi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.select(RBX, Condition::LESS, RSI, RBX, 8),
            "cmovl rbx,rsi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.select(RBX, Condition::LESS, RSI, R12, 8),
            "mov rbx,r12; cmovl rbx,rsi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.select(RBX, Condition::FLOAT_NOT_EQUAL, RSI, RBX, 8),
            "cmovne rbx,rsi; cmovp rbx,rsi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.select(RBX, Condition::FLOAT_NOT_EQUAL, RBX, RCX, 8),
            "mov rax,rbx; mov rbx,rcx; cmovne rbx,rax; cmovp rbx,rax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.select(RBX, Condition::FLOAT_EQUAL, RBX, RCX, 4),
            "cmovne ebx,ecx; cmovp ebx,ecx",
        );
    }

    #[test]
    fn selection_of_vectors_by_jumps() {
        check(
            CpuFeatures::BASELINE,
            |m| m.select(X0, Condition::ABOVE, X0, X1, 8),
            "ja 5; movaps xmm0,xmm1",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.select(X0, Condition::ABOVE, X1, X0, 8),
            "jbe 5; movaps xmm0,xmm1",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.select(X0, Condition::FLOAT_EQUAL, X1, X9, 16),
            "movaps xmm0,xmm1; jp 7; je 0Bh; movaps xmm0,xmm9",
        );
    }
}
