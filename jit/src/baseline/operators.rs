//! What each operator becomes, given where its operands are.

use super::address::Shifted;
use super::control::Label;
use super::function::Function;
use super::place::{Operand, Place, RegSet, width};
use crate::masm::{self, Condition, Mem, Reg, Rhs, SCRATCH};
use luge_core::compiler::SourcePosition;
use luge_core::operator::{
    BinaryOp, CompareOp, ExtractLaneOp, LaneWidth, Libcall, LoadOp, ReplaceLaneOp, SplatOp, StoreOp, UnaryOp,
    VectorBinaryOp, VectorLoadOp, VectorShiftOp, VectorTernaryOp, VectorTestOp, VectorUnaryOp,
};
use luge_core::{
    BlockSignature, Catch, Control, FuncType, LoopHints, MemoryAccess, Next, Sink, Trap, ValType,
};

impl Sink for Function<'_> {
    type Label = Label;

    const LOOKS_AHEAD: bool = true;

    #[inline]
    fn begin(&mut self, offset: u64, next: Next) {
        self.operators += 1;
        self.result_local = match next {
            Next::LocalSet(local) | Next::LocalTee(local) => Some(local),
            Next::Other => None,
        };
        if self.options.positions {
            self.note_position(offset);
        }
    }

    #[inline]
    fn constant(&mut self, ty: ValType, bits: u64) {
        if self.flags_on_top {
            return self.push(ty, Place::Const(bits));
        }
        self.push_settled(ty, Place::Const(bits));
    }

    fn vector_constant(&mut self, bits: u128) {
        self.settle_flags();
        let reg = self.allocate(ValType::V128);
        self.masm.vector_constant(reg, bits);
        self.push_result(ValType::V128, reg);
    }

    fn local_get(&mut self, local: u32, _ty: ValType) {
        self.push_local(local);
    }

    fn local_set(&mut self, local: u32, _ty: ValType) {
        let operand = self.pop();
        self.write_local(local, operand);
        self.done();
    }

    fn local_tee(&mut self, local: u32, ty: ValType) {
        let operand = self.pop();
        self.write_local(local, operand);
        self.done();
        match operand.place() {
            Place::Const(bits) => self.push(ty, Place::Const(bits)),
            _ => self.push_local(local),
        }
    }

    fn global_get(&mut self, global: u32, ty: ValType) {
        self.settle_flags();
        let dst = self.result_reg(ty, []);
        let at = self.module.layout().global(global);
        self.masm.spill_load(SCRATCH, Mem::new(Reg::VMCTX, at), 8);
        self.masm.spill_load(dst, Mem::new(SCRATCH, 0), width(ty));
        self.push_result(ty, dst);
    }

    fn global_set(&mut self, global: u32, ty: ValType) {
        let src = self.pop_reg();
        let at = self.module.layout().global(global);
        self.masm.spill_load(SCRATCH, Mem::new(Reg::VMCTX, at), 8);
        self.masm.spill_store(Mem::new(SCRATCH, 0), src, width(ty));
        self.done();
    }

    fn drop_value(&mut self) {
        self.pop();
        self.done();
    }

    fn select(&mut self) {
        let condition = self.pop();
        let b = self.pop();
        let a = self.pop();
        // Loads between the flags and their use change none of them.
        let if_false = self.in_reg(b);
        let if_true = self.in_reg(a);
        let tested = match condition.place() {
            Place::Flags(_) => None,
            _ => Some(self.in_reg(condition)),
        };
        let dst = self.result_reg(a.ty(), [a, b]);
        let condition = match (condition.place(), tested) {
            (Place::Flags(condition), _) => condition,
            (_, Some(reg)) => self.masm.test_zero(reg, 4).negated(),
            (_, None) => unreachable!("what is not in the flags is in a register"),
        };
        self.masm.select(dst, condition, if_true, if_false, width(a.ty()));
        self.push_result(a.ty(), dst);
    }

    fn unary(&mut self, op: UnaryOp) {
        if matches!(op, UnaryOp::I32Eqz | UnaryOp::I64Eqz | UnaryOp::RefIsNull) {
            return self.eqz();
        }
        let a = self.pop();
        let src = self.in_reg(a);
        let dst = self.result_reg(op.result(), [a]);
        self.masm.unary(op, dst, src);
        self.push_result(op.result(), dst);
    }

    fn binary(&mut self, op: BinaryOp) {
        let len = self.stack.len();
        if op.is_commutative() && self.stack[len - 2].constant().is_some() {
            self.swap_top();
        }
        let b = self.pop();
        let a = self.pop();
        if matches!(op, BinaryOp::I32Add | BinaryOp::I64Add) && self.add_scaled(op.ty(), a, b) {
            return;
        }
        let rhs = self.rhs(b);
        let lhs = self.in_reg(a);
        let dst = self.result_reg(op.ty(), [a, b]);
        let start = self.masm.here();
        self.masm.binary(op, dst, lhs, rhs);
        if let (BinaryOp::I32Shl | BinaryOp::I64Shl, Rhs::Imm(shift @ 1..=3)) = (op, rhs) {
            self.shifted = Some(Shifted {
                start,
                end: self.masm.here(),
                dst,
                src: lhs,
                shift: shift as u8,
                ty: op.ty(),
            });
        }
        self.push_result(op.ty(), dst);
    }

    fn compare(&mut self, op: CompareOp) {
        let len = self.stack.len();
        let mut op = op;
        if !op.ty().is_float() && self.stack[len - 2].constant().is_some() && self.swap_top() {
            op = op.swapped();
        }
        let rhs = self.pop_rhs();
        let lhs = self.pop_reg();
        let condition = self.masm.compare(op, lhs, rhs);
        self.push(ValType::I32, Place::Flags(condition));
        self.done();
    }

    fn load(&mut self, op: LoadOp, access: MemoryAccess) {
        let (mem, faults) = self.pop_address(access, op.width());
        let dst = self.result_reg(op.ty(), []);
        self.masm.load(op, dst, mem, faults);
        self.push_result(op.ty(), dst);
    }

    fn store(&mut self, op: StoreOp, access: MemoryAccess) {
        let value = self.pop();
        let src = match value.place() {
            Place::Const(bits) if !value.ty().is_float() && fits_store(bits, op.width()) => Rhs::Imm(bits),
            _ => Rhs::Reg(self.in_reg(value)),
        };
        let (mem, faults) = self.pop_address(access, op.width());
        self.masm.store(op, mem, src, faults);
        self.done();
    }

    fn libcall(&mut self, libcall: Libcall, [a, b]: [u32; 2]) {
        self.settle_flags();
        if libcall == Libcall::MemorySize {
            return self.memory_size(a);
        }
        self.call_engine(libcall, a, b);
    }

    fn vector_unary(&mut self, op: VectorUnaryOp) {
        let [a, ..] = self.operand_places(1);
        let src = self.in_reg(a);
        let dst = self.result_reg(ValType::V128, [a]);
        self.masm.vector_unary(op, dst, src);
        self.push_result(ValType::V128, dst);
    }

    fn vector_binary(&mut self, op: VectorBinaryOp) {
        let [a, b, _] = self.operand_places(2);
        let (left, right) = (self.in_reg(a), self.in_reg(b));
        let dst = self.result_reg(ValType::V128, [a, b]);
        self.masm.vector_binary(op, dst, left, right);
        self.push_result(ValType::V128, dst);
    }

    fn vector_ternary(&mut self, op: VectorTernaryOp) {
        use VectorTernaryOp as T;
        let fused = !matches!(op, T::V128Bitselect | T::I32x4RelaxedDotI8x16I7x16AddS);
        if fused && !self.masm.supports_relaxed_madd() {
            self.unsupported = Some("fused multiply-add, which this processor does not have");
            return;
        }
        let [a, b, c] = self.operand_places(3);
        let regs = [self.in_reg(a), self.in_reg(b), self.in_reg(c)];
        let dst = self.result_reg(ValType::V128, [a, b, c]);
        self.masm.vector_ternary(op, dst, regs[0], regs[1], regs[2]);
        self.push_result(ValType::V128, dst);
    }

    fn vector_shift(&mut self, op: VectorShiftOp) {
        let [a, count, _] = self.operand_places(2);
        let count = match count.place() {
            Place::Const(bits) => masm::ShiftCount::Imm(bits as u32),
            _ => masm::ShiftCount::Reg(self.in_reg(count)),
        };
        let src = self.in_reg(a);
        let dst = self.result_reg(ValType::V128, [a]);
        self.masm.vector_shift(op, dst, src, count);
        self.push_result(ValType::V128, dst);
    }

    fn vector_test(&mut self, op: VectorTestOp) {
        let src = self.pop_reg();
        let dst = self.result_reg(ValType::I32, []);
        self.masm.vector_test(op, dst, src);
        self.push_result(ValType::I32, dst);
    }

    fn splat(&mut self, op: SplatOp) {
        let [a, ..] = self.operand_places(1);
        let src = self.in_reg(a);
        let dst = self.result_reg(ValType::V128, [a]);
        self.masm.splat(op, dst, src);
        self.push_result(ValType::V128, dst);
    }

    fn extract_lane(&mut self, op: ExtractLaneOp, lane: u8) {
        let [a, ..] = self.operand_places(1);
        let src = self.in_reg(a);
        let dst = self.result_reg(op.lane_type(), [a]);
        self.masm.extract_lane(op, dst, src, lane);
        self.push_result(op.lane_type(), dst);
    }

    fn replace_lane(&mut self, op: ReplaceLaneOp, lane: u8) {
        let [a, value, _] = self.operand_places(2);
        let (src, value) = (self.in_reg(a), self.in_reg(value));
        let dst = self.result_reg(ValType::V128, [a]);
        self.masm.replace_lane(op, dst, src, value, lane);
        self.push_result(ValType::V128, dst);
    }

    fn shuffle(&mut self, lanes: [u8; 16]) {
        let [a, b, _] = self.operand_places(2);
        let (left, right) = (self.in_reg(a), self.in_reg(b));
        let dst = self.result_reg(ValType::V128, [a, b]);
        self.masm.shuffle(dst, left, right, lanes);
        self.push_result(ValType::V128, dst);
    }

    fn vector_load(&mut self, op: VectorLoadOp, access: MemoryAccess) {
        let (mem, faults) = self.pop_address(access, op.width());
        let dst = self.result_reg(ValType::V128, []);
        self.masm.vector_load(op, dst, mem, faults);
        self.push_result(ValType::V128, dst);
    }

    fn vector_store(&mut self, access: MemoryAccess) {
        let src = self.pop_reg();
        let (mem, faults) = self.pop_address(access, 16);
        self.masm.vector_store(mem, src, faults);
        self.done();
    }

    fn load_lane(&mut self, width: LaneWidth, access: MemoryAccess, lane: u8) {
        let a = self.pop();
        let src = self.in_reg(a);
        let (mem, faults) = self.pop_address(access, width.bytes());
        let dst = self.result_reg(ValType::V128, [a]);
        self.masm.load_lane(width, dst, src, mem, lane, faults);
        self.push_result(ValType::V128, dst);
    }

    fn store_lane(&mut self, width: LaneWidth, access: MemoryAccess, lane: u8) {
        let src = self.pop_reg();
        let (mem, faults) = self.pop_address(access, width.bytes());
        self.masm.store_lane(width, mem, src, lane, faults);
        self.done();
    }

    fn call(&mut self, func: u32, ty: &FuncType) {
        self.direct_call(func, ty);
    }

    fn call_indirect(&mut self, table: u32, type_index: u32, ty: &FuncType) {
        self.table_call(table, type_index, ty);
    }

    fn return_call(&mut self, func: u32, ty: &FuncType) {
        self.direct_tail_call(func, ty);
    }

    fn return_call_indirect(&mut self, table: u32, type_index: u32, ty: &FuncType) {
        self.table_tail_call(table, type_index, ty);
    }

    fn block(&mut self, ty: BlockSignature<'_>) -> Label {
        self.open_block(ty)
    }

    fn try_table(
        &mut self,
        controls: &mut [Control<Label>],
        ty: BlockSignature<'_>,
        catches: &[Catch<'_>],
    ) -> Label {
        self.open_try_table(controls, ty, catches)
    }

    fn loop_(&mut self, ty: BlockSignature<'_>, hints: &LoopHints<'_>) -> Label {
        self.open_loop(ty, hints)
    }

    fn if_(&mut self, ty: BlockSignature<'_>) -> Label {
        self.open_if(ty)
    }

    fn else_(&mut self, control: &mut Control<Label>, reachable: bool) {
        self.begin_else(control, reachable);
    }

    fn end(&mut self, control: Control<Label>, reachable: bool) {
        self.end_construct(control, reachable);
    }

    fn br(&mut self, target: &mut Control<Label>) {
        self.settle_flags();
        self.branch(target);
    }

    fn br_if(&mut self, target: &mut Control<Label>) {
        self.branch_if(target);
    }

    fn br_table(&mut self, controls: &mut [Control<Label>], depths: &[u32]) {
        self.branch_table(controls, depths);
    }

    fn return_(&mut self) {
        self.settle_flags();
        self.emit_return();
    }

    fn unreachable(&mut self) {
        self.masm.trap(Trap::Unreachable);
    }

    fn throw(&mut self, tag: u32, ty: &FuncType) {
        self.throw_exception(tag, ty);
    }

    fn throw_ref(&mut self) {
        self.throw_reference();
    }

    fn is_exhausted(&self) -> bool {
        self.is_too_large() || self.unsupported.is_some()
    }
}

impl Function<'_> {
    /// Notes where the code of an operator begins.
    #[cold]
    #[inline(never)]
    fn note_position(&mut self, wasm: u64) {
        // What was taken back, to be done in another way, has no place any more.
        let here = self.masm.here();
        let gone = self.positions.iter_mut().rev();
        gone.take_while(|position| position.offset > here)
            .for_each(|position| position.offset = here);
        self.positions.push(SourcePosition {
            offset: here,
            wasm: wasm as u32,
        });
    }

    /// Writes a popped operand to a local.
    fn write_local(&mut self, local: u32, operand: Operand) {
        let of = self.locals[local as usize];
        match operand.place() {
            Place::Local { local: from, .. } if from == local => return,
            // Without a register to put it in, a constant goes to the frame.
            Place::Const(bits)
                if of.reg.is_none() && of.home.is_none() && bits == 0 && of.ty != ValType::V128 =>
            {
                self.preserve(local);
                let mem = self.local_mem(local);
                self.masm.store_imm(mem, 0, width(of.ty));
                return;
            }
            _ => {}
        }
        self.preserve(local);
        let reg = match operand.place() {
            // A value of its own: its register becomes the local's, unless a loop wants it elsewhere and can have it.
            Place::Reg(reg) => {
                self.uncache(local);
                match of.home {
                    Some(home) if home != reg && !self.occupied().contains(home) => {
                        self.masm.mov(home, reg, width(of.ty));
                        home
                    }
                    _ => reg,
                }
            }
            _ => {
                let dst = match (of.home, of.reg) {
                    (Some(home), Some(reg)) if home == reg => home,
                    (Some(home), _) if !self.occupied().contains(home) && !self.busy.contains(home) => home,
                    (_, Some(reg)) => reg,
                    _ => self.allocate(of.ty),
                };
                match operand.place() {
                    Place::Flags(condition) => self.masm.set(dst, condition),
                    _ => self.copy_to(dst, operand),
                }
                self.uncache(local);
                dst
            }
        };
        self.cache(reg, local, true);
    }

    /// Pops a condition into the flags.
    pub(super) fn pop_condition(&mut self) -> Condition {
        let operand = self.pop();
        if let Place::Flags(condition) = operand.place() {
            return condition;
        }
        let reg = self.in_reg(operand);
        self.masm.test_zero(reg, 4).negated()
    }

    /// Ends an operator without a result.
    pub(super) fn done(&mut self) {
        self.busy = RegSet::default();
    }

    /// A test of whether a value is zero: stays in the flags.
    fn eqz(&mut self) {
        let operand = self.pop();
        let condition = if let Place::Flags(condition) = operand.place() {
            condition.negated()
        } else {
            let reg = self.in_reg(operand);
            self.masm.test_zero(reg, width(operand.ty()))
        };
        self.push(ValType::I32, Place::Flags(condition));
        self.done();
    }

    fn operand_places(&mut self, count: usize) -> [Operand; 3] {
        let mut operands = [Operand::new(ValType::I32, Place::Slot, 0); 3];
        for operand in operands[..count].iter_mut().rev() {
            *operand = self.pop();
        }
        operands
    }

    /// A popped second operand: a constant, a place in the frame, or a register.
    fn rhs(&mut self, operand: Operand) -> Rhs {
        match operand.place() {
            Place::Const(bits) if !operand.ty().is_float() => Rhs::Imm(bits),
            Place::Slot if operand.ty() != ValType::V128 => Rhs::Mem(self.slot(operand)),
            _ => Rhs::Reg(self.in_reg(operand)),
        }
    }

    /// Exchanges the top two operands where the lower one is a constant and the upper one is not bound to its slot; says
    /// whether it did.
    fn swap_top(&mut self) -> bool {
        let len = self.stack.len();
        let (lower, upper) = (self.stack[len - 2], self.stack[len - 1]);
        if lower.ty() == ValType::V128
            || upper.ty() != lower.ty()
            || matches!(upper.place(), Place::Slot | Place::Const(_))
        {
            return false;
        }
        self.settle_flags();
        let upper = self.pop();
        let lower = self.pop();
        match upper.place() {
            Place::Local { local, .. } => self.push_local(local),
            place => self.push(upper.ty(), place),
        }
        self.push(lower.ty(), lower.place());
        self.done();
        true
    }
}

/// Whether a store can take a constant from its instruction.
fn fits_store(bits: u64, width: u32) -> bool {
    width <= 4 || i32::try_from(bits.cast_signed()).is_ok()
}
