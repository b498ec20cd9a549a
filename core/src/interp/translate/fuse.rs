//! The peepholes that make fused instructions: each looks at the last instruction, where it may, and takes it back.
//!
//! ```text
//!   x = i32.shl i, 3                        (taken back)
//!   y = i32.add x, 65536        becomes     (taken back)
//!   z = f64.load y, offset=8                z = load64 [(i << 3) + 65536] + 8
//! ```
//!
//! What makes this sound is that the operand was popped: its own register lies above the stack then, and nobody reads
//! it. An operand that lies in a local is another matter; its instruction stays. Each look costs a constant amount of work, and each
//! instruction is taken back at most once.

use super::super::inst::{Inst, Reg};
use super::{Operand, Second, Translator};
use crate::operator::{BinaryOp, LoadOp, StoreOp, VectorBinaryOp, VectorLoadOp};

/// Where a load or store goes.
enum Address {
    Plain(Reg),
    /// The sum of two registers.
    Indexed([Reg; 2]),
    /// A register shifted to the left.
    Scaled((Reg, u8)),
}

impl Translator<'_> {
    /// The last instruction, if all it does is to make the value of an operand that has just been popped.
    fn maker(&mut self, operand: Reg) -> Option<Inst> {
        if usize::from(operand) < self.locals {
            return None;
        }
        let mut inst = *self.last()?;
        (*inst.dst_mut()? == operand).then_some(inst)
    }

    /// An operator of two popped operands.
    pub(super) fn emit_binary(&mut self, op: BinaryOp, dst: Reg, a: Reg, b: Second) {
        let (fused, plain) = match b {
            Second::Reg(b) => {
                let behind = self.maker(b).and_then(|inner| inner.behind(op, dst, a));
                let fused = behind.or_else(|| self.maker(a)?.before(op, dst, b));
                (fused, op.inst(dst, a, b))
            }
            Second::Imm(b) => {
                let fused = self.maker(a).and_then(|inner| inner.outside(op, dst, b));
                (fused, op.inst_imm(dst, a, b))
            }
        };
        let Some(fused) = fused else {
            self.emit(plain);
            return;
        };
        self.code.pop();
        let fused = self.two_rotations(fused).unwrap_or(fused);
        self.emit(fused);
    }

    /// An operator of two vectors.
    pub(super) fn emit_vector_binary(&mut self, op: VectorBinaryOp) {
        let (b, a) = (self.pop_reg(), self.pop_reg());
        let dst = self.push_vector();
        let behind = self.maker(b).and_then(|inner| inner.vector_behind(op, dst, a));
        let fused = behind.or_else(|| self.maker(a)?.vector_before(op, dst, b));
        if fused.is_some() {
            self.code.pop();
        }
        self.emit(fused.unwrap_or_else(|| op.inst(dst, a, b)));
    }

    /// The exclusive or of two rotations, of which the first is an instruction on its own still.
    fn two_rotations(&mut self, second: Inst) -> Option<Inst> {
        let Inst::I32RotlImmXor { dst, a, c, b: by_a } = second else {
            return None;
        };
        let Inst::I32RotlImm { a: b, b: by_b, .. } = self.maker(c)? else {
            return None;
        };
        self.code.pop();
        let (by_a, by_b) = (by_a as u8 & 31, by_b as u8 & 31);
        Some(Inst::I32RotlXorRotl {
            dst,
            a,
            b,
            by_a,
            by_b,
        })
    }

    /// A copy, together with one or two before it.
    pub(super) fn emit_copy(&mut self, dst: Reg, src: Reg) {
        let together = match self.last() {
            Some(&mut Inst::Copy { dst: dst1, src: src1 }) => Inst::Copy2 {
                dst: dst1,
                src: src1,
                dst2: dst,
                src2: src,
            },
            Some(&mut Inst::Copy2 {
                dst: dst1,
                src: src1,
                dst2,
                src2,
            }) => Inst::Copy3 {
                dst: dst1,
                src: src1,
                dst2,
                src2,
                dst3: dst,
                src3: src,
            },
            _ => {
                self.emit(Inst::Copy { dst, src });
                return;
            }
        };
        self.code.pop();
        self.emit(together);
    }

    /// After a local was written: two additions to locals in a row become one instruction.
    pub(super) fn join_steps(&mut self) {
        let from = self.barrier.max(self.code.len().saturating_sub(2));
        let &[
            Inst::I32AddImm {
                dst: a,
                a: from_a,
                b: by_a,
            },
            Inst::I32AddImm {
                dst: b,
                a: from_b,
                b: by_b,
            },
        ] = &self.code[from..]
        else {
            return;
        };
        let of_locals = usize::from(a) < self.locals && usize::from(b) < self.locals;
        if a == from_a && b == from_b && of_locals {
            self.code.truncate(from);
            let (by_a, by_b) = (by_a as i32, by_b as i32);
            self.emit(Inst::I32Step2 { a, b, by_a, by_b });
        }
    }

    /// A selection by a popped scalar condition, together with the comparison that made it.
    pub(super) fn emit_select(&mut self, cond: Reg) {
        let made = self.maker(cond).filter(|inst| inst.chosen(0, 0, 0).is_some());
        if made.is_some() {
            self.code.pop();
        }
        let (b, a) = (self.pop_reg(), self.pop_reg());
        let dst = self.push_temp();
        let fused = made.and_then(|inst| inst.chosen(dst, a, b));
        self.emit(fused.unwrap_or(Inst::Select { dst, cond, a, b }));
    }

    /// A jump, with the addition before it where that steps a register that it compares.
    pub(super) fn with_step(&mut self, jump: Inst) -> Inst {
        let Some(&mut add) = self.last() else {
            return jump;
        };
        // A number compared with zero.
        let compared = match (jump, add) {
            (Inst::BrIf { cond, .. }, Inst::I32Add { .. } | Inst::I32AddImm { .. }) => Inst::BrI32NeImm {
                a: cond,
                target: 0,
                b: 0,
            },
            (Inst::BrIfNot { cond, .. }, Inst::I32Add { .. } | Inst::I32AddImm { .. }) => Inst::BrI32EqImm {
                a: cond,
                target: 0,
                b: 0,
            },
            _ => jump,
        };
        let exchanged = || compared.with_operands_exchanged()?.with_step(add);
        match compared.with_step(add).or_else(exchanged) {
            Some(fused) => {
                self.code.pop();
                fused
            }
            None => jump,
        }
    }

    /// Splits a popped address into what it was made from, and a number that is added with wrap-around.
    fn address(&mut self, mut addr: Reg, composed: bool) -> (Address, u32) {
        let mut plus = 0;
        if let Some(Inst::I32AddImm { a, b, .. }) = self.maker(addr) {
            self.code.pop();
            (addr, plus) = (a, b as u32);
        }
        let address = match self.maker(addr) {
            Some(Inst::I32Add { a, b, .. }) if composed => Address::Indexed([a, b]),
            Some(Inst::I32ShlImm { a, b, .. }) if composed => Address::Scaled((a, b as u8 & 31)),
            Some(Inst::I32AddThenAddImm { a, b, c, .. }) if composed => {
                plus = plus.wrapping_add(c as u32);
                Address::Indexed([a, b])
            }
            _ => return (Address::Plain(addr), plus),
        };
        self.code.pop();
        (address, plus)
    }

    /// The same for an instruction that takes one register alone.
    fn plain_address(&mut self, addr: Reg) -> (Reg, u32) {
        let (address, plus) = self.address(addr, false);
        let Address::Plain(addr) = address else {
            unreachable!("not composed")
        };
        (addr, plus)
    }

    /// The constant that the top operand is, if it is one.
    fn top_constant(&self) -> Option<u64> {
        match self.stack.last()?.place {
            Operand::Const(bits) => Some(bits),
            _ => None,
        }
    }

    /// A load from memory 0.
    pub(super) fn load_near(&mut self, op: LoadOp, offset: u32) {
        if let Some(at) = self.top_constant()
            && op.absolute(0, 0, 0).is_some()
        {
            self.pop();
            let dst = self.push_temp();
            let load = op.absolute(dst, at as u32, offset).expect("it has such a form");
            self.emit(load);
            return;
        }
        let addr = self.pop_reg();
        let composed = op.indexed(0, [0, 0], 0, 0).is_some();
        let (address, plus) = self.address(addr, composed);
        let dst = self.push_temp();
        let fused = match address {
            Address::Plain(addr) => Some(op.inst(dst, addr, plus, offset)),
            Address::Indexed(sum) => op.indexed(dst, sum, plus, offset),
            Address::Scaled(index) => op.scaled(dst, index, plus, offset),
        };
        self.emit(fused.expect("only these are composed"));
    }

    /// A store to memory 0.
    pub(super) fn store_near(&mut self, op: StoreOp, offset: u32) {
        let number = self.top_constant().and_then(|bits| op.short_constant(bits));
        if let Some(value) = number {
            self.pop();
            let addr = self.pop_reg();
            let (addr, plus) = self.plain_address(addr);
            self.emit(op.immediate(addr, value, plus, offset));
            return;
        }
        let src = self.pop_reg();
        if let Some(at) = self.top_constant() {
            self.pop();
            self.emit(op.absolute(at as u32, src, offset));
            return;
        }
        let addr = self.pop_reg();
        let made = self.maker(src);
        if let Some(made) = made.filter(|inst| inst.stored(op, 0, 0, 0).is_some()) {
            self.code.pop();
            let (addr, plus) = self.plain_address(addr);
            let fused = made.stored(op, addr, plus, offset).expect("it is such a pair");
            self.emit(fused);
            return;
        }
        let (address, plus) = self.address(addr, true);
        self.emit(match address {
            Address::Plain(addr) => op.inst(addr, src, plus, offset),
            Address::Indexed(sum) => op.indexed(sum, src, plus, offset),
            Address::Scaled(index) => op.scaled(index, src, plus, offset),
        });
    }

    /// A vector load from memory 0.
    pub(super) fn load_vector_near(&mut self, op: VectorLoadOp, offset: u32) {
        let addr = self.pop_reg();
        let (addr, plus) = self.plain_address(addr);
        let dst = self.push_vector();
        self.emit(op.inst(dst, addr, plus, offset));
    }

    /// A vector store to memory 0.
    pub(super) fn store_vector_near(&mut self, offset: u32) {
        let src = self.pop_reg();
        let addr = self.pop_reg();
        if let Some(made) = self
            .maker(src)
            .filter(|inst| inst.vector_stored(0, 0, 0).is_some())
        {
            self.code.pop();
            let (addr, plus) = self.plain_address(addr);
            let fused = made.vector_stored(addr, plus, offset).expect("it is such a pair");
            self.emit(fused);
            return;
        }
        let (addr, plus) = self.plain_address(addr);
        self.emit(Inst::VectorStore {
            addr,
            src,
            plus,
            offset,
        });
    }
}
