//! One function under translation: what an operator becomes, given where its operands are.
//!
//! ```text
//!   rbp + 16 ..   arguments that found no register, and results likewise (the caller's frame)
//!   rbp + 8       return address
//!   rbp           the caller's rbp
//!   rbp - 8       the instance's context
//!   rbp - 16 ..   locals
//!        ..       operands, one slot for each height of the stack
//!   rsp ..        what this function passes on the stack, or hands to the engine
//! ```

use super::BaselineOptions;
use super::control::Label;
use super::moves::{AbiPlace, AbiPlaces, Move};
use super::place::{Holder, Local, Locations, Operand, Place, RegSet, width, words};
use crate::masm::{self, Condition, Masm, Mem, Reg, Rhs, SCRATCH, SCRATCH2};
use luge_core::compiler::{HandlerTable, ModuleView, SourcePosition, abi};
use luge_core::operator::{
    BinaryOp, CompareOp, ExtractLaneOp, LaneWidth, Libcall, LoadOp, ReplaceLaneOp, SplatOp, StoreOp, UnaryOp,
    VectorBinaryOp, VectorLoadOp, VectorShiftOp, VectorTernaryOp, VectorTestOp, VectorUnaryOp,
};
use luge_core::vmctx::offsets;
use luge_core::{
    BlockSignature, Catch, Control, FuncType, LoopHints, MemoryAccess, Next, Sink, Trap, ValType,
};
use std::collections::HashSet;
use std::rc::Rc;

/// The compiler of a module's functions, one after the other; its buffers are used again for each.
pub(super) struct Function<'w> {
    pub(super) options: BaselineOptions,
    pub(super) module: ModuleView<'w>,
    pub(super) masm: Masm,
    pub(super) positions: Vec<SourcePosition>,
    /// Direct calls of functions that are not compiled yet: the displacement and the callee.
    pub(super) calls: Vec<(u32, u32)>,
    /// Where each compiled function begins.
    pub(super) entries: Vec<u32>,
    /// Where exceptions are caught.
    pub(super) handlers: HandlerTable,
    /// The first handler of the current function.
    first_handler: usize,

    // Of the current function.
    pub(super) results: &'w [ValType],
    pub(super) locals: Vec<Local>,
    pub(super) stack: Vec<Operand>,
    /// Operands below this position are in their slots, or constants.
    pub(super) flushed: usize,
    /// Words of the operand area that the stack reaches to.
    pub(super) height_words: u32,
    /// Whether the value on top of the stack is in the flags.
    pub(super) flags_on_top: bool,
    /// Distance of the operand area's upper end from `rbp`.
    pub(super) operands_end: i32,
    pub(super) most_words: u32,
    /// Bytes at the frame's low end for what is passed on.
    pub(super) outgoing: u32,
    /// Bytes of the caller's frame that this function's arguments and results may lie in.
    pub(super) incoming: u32,
    pub(super) holders: [Holder; 32],
    pub(super) occupied: RegSet,
    /// Registers whose local is newer than the frame.
    pub(super) dirty: RegSet,
    /// Registers that the operator under translation uses.
    pub(super) busy: RegSet,
    /// Registers that the innermost loop wants for its locals, and those locals.
    pub(super) homes: RegSet,
    pub(super) home_locals: Vec<u32>,
    /// The local that the next operator writes the result to.
    pub(super) result_local: Option<u32>,
    /// Kept to be used again.
    pub(super) moves: Vec<Move>,
    pub(super) places: Vec<AbiPlace>,
    pub(super) wanted: Vec<(u32, bool)>,
    /// For each depth, where a jump table's way there begins; all empty but while one is written.
    pub(super) ways: Vec<Option<masm::Label>>,
    #[expect(
        clippy::vec_box,
        reason = "labels hold boxes, which come from here and go back"
    )]
    pub(super) spare: Vec<Box<Locations>>,
    /// Lists of types that labels share: of the module's types, so that there are no more than it has.
    pub(super) type_lists: HashSet<Rc<[ValType]>>,
    /// The last instruction, if it is a small shift to the left.
    shifted: Option<Shifted>,
    /// Operators so far.
    pub(super) operators: u32,
    /// Where fuel runs out, and where to go on.
    pub(super) preemptions: Vec<(masm::Label, masm::Label)>,
    /// Entries of jump tables: where, the table's start, and the target.
    pub(super) table_entries: Vec<(u32, u32, masm::Label)>,
    /// What the module asks for that this tier does not do.
    pub(super) unsupported: Option<&'static str>,
    frame_patch: u32,
    fuel_patch: Option<u32>,
    code_limit: u32,
    first_byte: u32,
}

/// A shift to the left that an addition behind it can do itself: `lea` scales one of its operands.
#[derive(Debug, Clone, Copy)]
struct Shifted {
    /// Where it begins and ends.
    start: u32,
    end: u32,
    dst: Reg,
    src: Reg,
    shift: u8,
    ty: ValType,
}

/// Bytes of code that a function may become for each byte of its body, and in any case. Ordinary code needs less than
/// ten; only branches that carry many values around need more, and hostile bodies could ask for thousands.
const CODE_PER_BYTE: u64 = 64;
const CODE_FREE: u64 = 1 << 20;

impl<'w> Function<'w> {
    pub(super) fn new(options: BaselineOptions, module: ModuleView<'w>) -> Self {
        Self {
            options,
            module,
            masm: Masm::new(options.cpu),
            positions: Vec::new(),
            calls: Vec::new(),
            entries: Vec::new(),
            handlers: HandlerTable::default(),
            first_handler: 0,
            results: &[],
            locals: Vec::new(),
            stack: Vec::new(),
            flushed: 0,
            height_words: 0,
            flags_on_top: false,
            operands_end: 0,
            most_words: 0,
            outgoing: 0,
            incoming: 0,
            holders: [Holder::Nothing; 32],
            occupied: RegSet::default(),
            dirty: RegSet::default(),
            busy: RegSet::default(),
            homes: RegSet::default(),
            home_locals: Vec::new(),
            result_local: None,
            moves: Vec::new(),
            places: Vec::new(),
            wanted: Vec::new(),
            ways: Vec::new(),
            spare: Vec::new(),
            type_lists: HashSet::new(),
            shifted: None,
            operators: 0,
            preemptions: Vec::new(),
            table_entries: Vec::new(),
            unsupported: None,
            frame_patch: 0,
            fuel_patch: None,
            code_limit: 0,
            first_byte: 0,
        }
    }

    /// Begins a function of the module.
    pub(super) fn open(&mut self, ty: &'w FuncType, locals: &[ValType], body_bytes: u64) {
        self.stack.clear();
        self.locals.clear();
        self.flushed = 0;
        self.height_words = 0;
        self.flags_on_top = false;
        self.most_words = 0;
        self.outgoing = 0;
        self.holders = [Holder::Nothing; 32];
        self.occupied = RegSet::default();
        self.dirty = RegSet::default();
        self.busy = RegSet::default();
        self.homes = RegSet::default();
        self.home_locals.clear();
        self.operators = 0;
        self.shifted = None;
        self.result_local = None;
        self.first_handler = self.handlers.len();
        self.masm.clear_labels();
        self.results = ty.results();
        self.incoming = AbiPlaces::stack_bytes(ty.params())
            .max(AbiPlaces::stack_bytes(ty.results()))
            .max(abi::LEAST_STACK_BYTES);
        self.masm.align_function();
        self.first_byte = self.masm.here();
        let limit = body_bytes.saturating_mul(CODE_PER_BYTE) + CODE_FREE + u64::from(self.first_byte);
        self.code_limit = u32::try_from(limit).unwrap_or(u32::MAX).min(super::MOST_TEXT);
        self.entries.push(self.first_byte);
        self.frame_patch = self.masm.open_frame();
        self.open_locals(ty.params(), locals);
        if self.options.fuel {
            let (out, back) = (self.masm.label(), self.masm.label());
            self.fuel_patch = Some(self.masm.take_fuel(out));
            self.masm.bind(back);
            self.preemptions.push((out, back));
        }
    }

    fn open_locals(&mut self, params: &[ValType], locals: &[ValType]) {
        let mut places = AbiPlaces::default();
        let mut disp = -8;
        for (index, &ty) in locals.iter().enumerate() {
            let place = params.get(index).map(|&ty| places.next(ty));
            let local_disp = match place {
                Some(AbiPlace::Stack(at)) => 16 + at as i32,
                _ => {
                    disp -= words(ty) as i32 * 8;
                    disp
                }
            };
            self.locals.push(Local {
                ty,
                disp: local_disp,
                reg: None,
                home: None,
                newest: 0,
            });
            if let Some(AbiPlace::Reg(reg)) = place {
                self.cache(reg, index as u32, true);
            }
            if index + 1 == params.len() {
                self.operands_end = disp;
            }
        }
        if params.is_empty() {
            self.operands_end = -8;
        }
        let declared = (self.operands_end - disp) as u32 / 8;
        self.masm.zero_words(disp, declared);
        self.operands_end = disp;
    }

    /// Ends the function: what lies behind its last instruction, and what was left open in it.
    pub(super) fn close(&mut self) {
        for (out, back) in std::mem::take(&mut self.preemptions) {
            self.masm.bind(out);
            self.masm.preempt();
            self.masm.jump(back);
        }
        self.masm.finish_function();
        for (at, table, target) in std::mem::take(&mut self.table_entries) {
            let target = self
                .masm
                .offset_of(target)
                .expect("every label is bound at the end");
            self.masm.patch_u32(at, target.wrapping_sub(table));
        }
        let below = (-self.operands_end) as u32 + self.most_words * 8 + self.outgoing;
        let size = (below + 15) & !15;
        self.masm.patch_frame(self.frame_patch, size);
        for handler in self.handlers.handlers_mut(self.first_handler) {
            handler.place = size;
        }
        if let Some(patch) = self.fuel_patch.take() {
            self.masm.patch_u32(patch, self.operators.clamp(1, 1 << 20));
        }
    }

    /// Whether the function has become larger than it may.
    pub(super) fn is_too_large(&self) -> bool {
        self.masm.here() > self.code_limit
    }

    /// How large the code may be after this function.
    pub(super) fn code_limit(&self) -> u32 {
        self.code_limit
    }

    /// Where this function begins.
    pub(super) fn first_byte(&self) -> u32 {
        self.first_byte
    }

    /// Makes room for what is passed on the stack.
    pub(super) fn needs_outgoing(&mut self, bytes: u32) {
        self.outgoing = self.outgoing.max(bytes);
    }

    // --- Memory --------------------------------------------------------------------------------------------------

    /// Pops an address; gives where the access goes, and whether it faults when that is out of bounds. May use
    /// both scratch registers.
    fn pop_address(&mut self, access: MemoryAccess, size: u32) -> (Mem, bool) {
        let operand = self.pop();
        let base = if access.memory == 0 { Reg::MEMORY } else { SCRATCH2 };
        let checked =
            self.is_64(access.memory) || self.options.bounds == luge_core::compiler::BoundsStrategy::Software;
        let index = match operand.place {
            Place::Const(address) if !checked => {
                let Some(disp) = address.checked_add(access.offset) else {
                    unreachable!("two numbers of 32 bits")
                };
                self.memory_base(access.memory);
                if let Ok(disp) = i32::try_from(disp) {
                    return (Mem::new(base, disp), true);
                }
                self.masm.mov_imm(SCRATCH, disp, 8);
                return (Mem::indexed(base, SCRATCH, 0), true);
            }
            _ => self.in_reg(&operand),
        };
        if checked {
            self.check_bounds(access, size, index);
        }
        self.memory_base(access.memory);
        let mem = if let Ok(disp) = i32::try_from(access.offset) {
            Mem::indexed(base, index, disp)
        } else {
            self.masm.mov_imm(SCRATCH, access.offset, 8);
            self.masm.lea(SCRATCH, Mem::indexed(SCRATCH, index, 0));
            Mem::indexed(base, SCRATCH, 0)
        };
        (mem, !checked)
    }

    /// Traps unless `index + offset + size` lies within the memory.
    fn check_bounds(&mut self, access: MemoryAccess, size: u32, index: Reg) {
        let Some(end) = access.offset.checked_add(u64::from(size)) else {
            self.masm.trap_always(Trap::MemoryOutOfBounds);
            return;
        };
        if let (Ok(disp), false) = (i32::try_from(end), self.is_64(access.memory)) {
            self.masm.lea(SCRATCH, Mem::new(index, disp));
        } else {
            self.masm.mov(SCRATCH, index, 8);
            self.masm.add_wide(SCRATCH, end);
            self.masm.trap_if(Condition::BELOW, Trap::MemoryOutOfBounds);
        }
        let bytes = if access.memory == 0 {
            offsets::memory_bytes
        } else {
            self.module.layout().memory(access.memory) + luge_core::vmctx::parts::MEMORY_BYTES
        };
        self.masm.compare_memory(SCRATCH, Mem::new(Reg::VMCTX, bytes));
        self.masm.trap_if(Condition::ABOVE, Trap::MemoryOutOfBounds);
    }

    /// Whether a memory has 64-bit addresses.
    fn is_64(&self, memory: u32) -> bool {
        self.module.memories()[memory as usize].memory64
    }

    /// Puts the base of a memory other than the first into [`SCRATCH2`].
    fn memory_base(&mut self, memory: u32) {
        if memory != 0 {
            // What leaves the result's local when its register is claimed may go through this very register.
            if let Some(local) = self.result_local
                && (local as usize) < self.locals.len()
            {
                self.preserve(local);
            }
            let at = self.module.layout().memory(memory) + luge_core::vmctx::parts::MEMORY_BASE;
            self.masm.spill_load(SCRATCH2, Mem::new(Reg::VMCTX, at), 8);
        }
    }

    // --- Locals --------------------------------------------------------------------------------------------------

    /// Writes a popped operand to a local.
    fn write_local(&mut self, local: u32, operand: &Operand) {
        let of = self.locals[local as usize];
        match operand.place {
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
        let reg = match operand.place {
            // A value of its own: its register becomes the local's, unless a loop wants it elsewhere and can have it.
            Place::Reg(reg) => {
                self.uncache(local);
                match of.home {
                    Some(home) if home != reg && !self.occupied.contains(home) => {
                        self.masm.mov(home, reg, width(of.ty));
                        home
                    }
                    _ => reg,
                }
            }
            _ => {
                let dst = match (of.home, of.reg) {
                    (Some(home), Some(reg)) if home == reg => home,
                    (Some(home), _) if !self.occupied.contains(home) && !self.busy.contains(home) => home,
                    (_, Some(reg)) => reg,
                    _ => self.allocate(of.ty),
                };
                match operand.place {
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
        if let Place::Flags(condition) = operand.place {
            return condition;
        }
        let reg = self.in_reg(&operand);
        self.masm.test_zero(reg, 4).negated()
    }

    /// Ends an operator without a result.
    pub(super) fn done(&mut self) {
        self.busy = RegSet::default();
    }

    /// A test of whether a value is zero: stays in the flags.
    fn eqz(&mut self) {
        let operand = self.pop();
        let condition = if let Place::Flags(condition) = operand.place {
            condition.negated()
        } else {
            let reg = self.in_reg(&operand);
            self.masm.test_zero(reg, width(operand.ty))
        };
        self.push(ValType::I32, Place::Flags(condition));
        self.done();
    }

    fn operand_places(&mut self, count: usize) -> [Operand; 3] {
        let mut operands = [Operand {
            ty: ValType::I32,
            place: Place::Slot,
            words: 0,
        }; 3];
        for operand in operands[..count].iter_mut().rev() {
            *operand = self.pop();
        }
        operands
    }
}

impl Sink for Function<'_> {
    type Label = Label;

    const LOOKS_AHEAD: bool = true;

    fn begin(&mut self, offset: u64, next: Next) {
        self.operators += 1;
        self.result_local = match next {
            Next::LocalSet(local) | Next::LocalTee(local) => Some(local),
            Next::Other => None,
        };
        if self.options.positions {
            // What was taken back, to be done in another way, has no place any more.
            let here = self.masm.here();
            let gone = self.positions.iter_mut().rev();
            gone.take_while(|position| position.offset > here)
                .for_each(|position| position.offset = here);
            let position = SourcePosition {
                offset: self.masm.here(),
                wasm: offset as u32,
            };
            self.positions.push(position);
        }
    }

    fn constant(&mut self, ty: ValType, bits: u64) {
        self.push(ty, Place::Const(bits));
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
        self.write_local(local, &operand);
        self.done();
    }

    fn local_tee(&mut self, local: u32, ty: ValType) {
        let operand = self.pop();
        self.write_local(local, &operand);
        self.done();
        match operand.place {
            Place::Const(bits) => self.push(ty, Place::Const(bits)),
            _ => self.push_local(local),
        }
    }

    fn global_get(&mut self, global: u32, ty: ValType) {
        self.settle_flags();
        let dst = self.result_reg(ty, &[]);
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
        let if_false = self.in_reg(&b);
        let if_true = self.in_reg(&a);
        let tested = match condition.place {
            Place::Flags(_) => None,
            _ => Some(self.in_reg(&condition)),
        };
        let dst = self.result_reg(a.ty, &[a, b]);
        let condition = match (condition.place, tested) {
            (Place::Flags(condition), _) => condition,
            (_, Some(reg)) => self.masm.test_zero(reg, 4).negated(),
            (_, None) => unreachable!("what is not in the flags is in a register"),
        };
        self.masm.select(dst, condition, if_true, if_false, width(a.ty));
        self.push_result(a.ty, dst);
    }

    fn unary(&mut self, op: UnaryOp) {
        if matches!(op, UnaryOp::I32Eqz | UnaryOp::I64Eqz | UnaryOp::RefIsNull) {
            return self.eqz();
        }
        let a = self.pop();
        let src = self.in_reg(&a);
        let dst = self.result_reg(op.result(), &[a]);
        self.masm.unary(op, dst, src);
        self.push_result(op.result(), dst);
    }

    fn binary(&mut self, op: BinaryOp) {
        let len = self.stack.len();
        if op.is_commutative() && matches!(self.stack[len - 2].place, Place::Const(_)) {
            self.swap_top();
        }
        let b = self.pop();
        let a = self.pop();
        if matches!(op, BinaryOp::I32Add | BinaryOp::I64Add) && self.add_scaled(op.ty(), &a, &b) {
            return;
        }
        let rhs = self.rhs(&b);
        let lhs = self.in_reg(&a);
        let dst = self.result_reg(op.ty(), &[a, b]);
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
        if !op.ty().is_float() && matches!(self.stack[len - 2].place, Place::Const(_)) && self.swap_top() {
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
        let dst = self.result_reg(op.ty(), &[]);
        self.masm.load(op, dst, mem, faults);
        self.push_result(op.ty(), dst);
    }

    fn store(&mut self, op: StoreOp, access: MemoryAccess) {
        let value = self.pop();
        let src = match value.place {
            Place::Const(bits) if !value.ty.is_float() && fits_store(bits, op.width()) => Rhs::Imm(bits),
            _ => Rhs::Reg(self.in_reg(&value)),
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
        let src = self.in_reg(&a);
        let dst = self.result_reg(ValType::V128, &[a]);
        self.masm.vector_unary(op, dst, src);
        self.push_result(ValType::V128, dst);
    }

    fn vector_binary(&mut self, op: VectorBinaryOp) {
        let [a, b, _] = self.operand_places(2);
        let (left, right) = (self.in_reg(&a), self.in_reg(&b));
        let dst = self.result_reg(ValType::V128, &[a, b]);
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
        let regs = [self.in_reg(&a), self.in_reg(&b), self.in_reg(&c)];
        let dst = self.result_reg(ValType::V128, &[a, b, c]);
        self.masm.vector_ternary(op, dst, regs[0], regs[1], regs[2]);
        self.push_result(ValType::V128, dst);
    }

    fn vector_shift(&mut self, op: VectorShiftOp) {
        let [a, count, _] = self.operand_places(2);
        let count = match count.place {
            Place::Const(bits) => masm::ShiftCount::Imm(bits as u32),
            _ => masm::ShiftCount::Reg(self.in_reg(&count)),
        };
        let src = self.in_reg(&a);
        let dst = self.result_reg(ValType::V128, &[a]);
        self.masm.vector_shift(op, dst, src, count);
        self.push_result(ValType::V128, dst);
    }

    fn vector_test(&mut self, op: VectorTestOp) {
        let src = self.pop_reg();
        let dst = self.result_reg(ValType::I32, &[]);
        self.masm.vector_test(op, dst, src);
        self.push_result(ValType::I32, dst);
    }

    fn splat(&mut self, op: SplatOp) {
        let [a, ..] = self.operand_places(1);
        let src = self.in_reg(&a);
        let dst = self.result_reg(ValType::V128, &[a]);
        self.masm.splat(op, dst, src);
        self.push_result(ValType::V128, dst);
    }

    fn extract_lane(&mut self, op: ExtractLaneOp, lane: u8) {
        let [a, ..] = self.operand_places(1);
        let src = self.in_reg(&a);
        let dst = self.result_reg(op.lane_type(), &[a]);
        self.masm.extract_lane(op, dst, src, lane);
        self.push_result(op.lane_type(), dst);
    }

    fn replace_lane(&mut self, op: ReplaceLaneOp, lane: u8) {
        let [a, value, _] = self.operand_places(2);
        let (src, value) = (self.in_reg(&a), self.in_reg(&value));
        let dst = self.result_reg(ValType::V128, &[a]);
        self.masm.replace_lane(op, dst, src, value, lane);
        self.push_result(ValType::V128, dst);
    }

    fn shuffle(&mut self, lanes: [u8; 16]) {
        let [a, b, _] = self.operand_places(2);
        let (left, right) = (self.in_reg(&a), self.in_reg(&b));
        let dst = self.result_reg(ValType::V128, &[a, b]);
        self.masm.shuffle(dst, left, right, lanes);
        self.push_result(ValType::V128, dst);
    }

    fn vector_load(&mut self, op: VectorLoadOp, access: MemoryAccess) {
        let (mem, faults) = self.pop_address(access, op.width());
        let dst = self.result_reg(ValType::V128, &[]);
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
        let src = self.in_reg(&a);
        let (mem, faults) = self.pop_address(access, width.bytes());
        let dst = self.result_reg(ValType::V128, &[a]);
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

/// Whether a store can take a constant from its instruction.
fn fits_store(bits: u64, width: u32) -> bool {
    width <= 4 || i32::try_from(bits.cast_signed()).is_ok()
}

impl Function<'_> {
    /// A popped second operand: a constant, a place in the frame, or a register.
    fn rhs(&mut self, operand: &Operand) -> Rhs {
        match operand.place {
            Place::Const(bits) if !operand.ty.is_float() => Rhs::Imm(bits),
            Place::Slot if operand.ty != ValType::V128 => Rhs::Mem(self.slot(operand)),
            _ => Rhs::Reg(self.in_reg(operand)),
        }
    }

    /// Adds two popped operands by one `lea` if the last instruction scales one of them; says whether it did.
    fn add_scaled(&mut self, ty: ValType, a: &Operand, b: &Operand) -> bool {
        let Some(shifted) = self.shifted.take() else {
            return false;
        };
        if shifted.end != self.masm.here() || shifted.ty != ty {
            return false;
        }
        let scaled = Place::Reg(shifted.dst);
        let other = match (a.place == scaled, b.place == scaled) {
            (true, _) => b,
            (_, true) => a,
            _ => return false,
        };
        let constant = match other.place {
            Place::Const(bits) if ty == ValType::I32 => Some(bits as u32 as i32),
            Place::Const(bits) => i32::try_from(bits.cast_signed()).ok(),
            _ => None,
        };
        self.masm.rewind(shifted.start);
        // Operators in between made no code, and begin where the instruction did that is taken back.
        for position in self.positions.iter_mut().rev() {
            if position.offset <= shifted.start {
                break;
            }
            position.offset = shifted.start;
        }
        // Nothing was emitted since: what was shifted is still where it was.
        self.busy.insert(shifted.src);
        let base = if constant.is_some() {
            None
        } else {
            Some(self.in_reg(other))
        };
        let dst = self.result_reg(ty, &[*a, *b]);
        self.masm.lea_scaled(
            dst,
            base,
            shifted.src,
            shifted.shift,
            constant.unwrap_or(0),
            width(ty),
        );
        self.push_result(ty, dst);
        true
    }

    /// Exchanges the top two operands where the lower one is a constant and the upper one is not bound to its slot; says
    /// whether it did.
    fn swap_top(&mut self) -> bool {
        let len = self.stack.len();
        let (lower, upper) = (self.stack[len - 2], self.stack[len - 1]);
        if lower.ty == ValType::V128
            || upper.ty != lower.ty
            || matches!(upper.place, Place::Slot | Place::Const(_))
        {
            return false;
        }
        self.settle_flags();
        let upper = self.pop();
        let lower = self.pop();
        match upper.place {
            Place::Local { local, .. } => self.push_local(local),
            place => self.push(upper.ty, place),
        }
        self.push(lower.ty, lower.place);
        self.done();
        true
    }

    fn memory_size(&mut self, memory: u32) {
        let ty = if self.is_64(memory) {
            ValType::I64
        } else {
            ValType::I32
        };
        let dst = self.result_reg(ty, &[]);
        let at = if memory == 0 {
            offsets::memory_bytes
        } else {
            self.module.layout().memory(memory) + luge_core::vmctx::parts::MEMORY_BYTES
        };
        self.masm.spill_load(dst, Mem::new(Reg::VMCTX, at), 8);
        self.masm.bytes_to_pages(dst);
        self.push_result(ty, dst);
    }
}
