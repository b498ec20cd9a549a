//! From a function body to register bytecode, in one pass: the interpreter's [`Sink`].
//!
//! The abstract value stack holds, for each operand, where its value is ([`Operand`]):
//!
//! * `Temp`: in its own register, the *canonical* one: behind the locals and the operands below it;
//! * `Local`: still in the local that it was read from, nothing was emitted;
//! * `Const`: nowhere yet.
//!
//! A vector takes two registers, and its constants are `Temp` at once.
//!
//! Reading a local or a constant thus costs no instruction; the operator that consumes it names the local's register or
//! takes an immediate. Three rules keep this sound:
//!
//! 1. Before a local is written, operands that still lie in it move to their own registers ([`Translator::preserve`]).
//!    Entries of one local are chained, so this costs the number of such operands, not the height of the stack.
//! 2. At every label all operands are canonical: constructs make them so when they open ([`Translator::flush`]), and
//!    branches move their results into place.
//! 3. A register above the current height holds nothing that anybody reads.
//!
//! Two peepholes look at the last instruction, if no label was bound since: a result that goes straight to a local is
//! written there, and a comparison whose result is only branched on becomes part of the jump. More of them, in
//! `fuse.rs`, make one instruction of two.

mod branches;
mod exceptions;
mod fuse;
mod operands;
mod vectors;

use super::code::{FunctionCode, ModuleCode, STRETCH};
use super::inst::{Inst, Pc, Reg};
use crate::error::ModuleError;
use crate::frontend::{BlockSignature, Catch, Control, ControlKind, LoopHints, MemoryAccess, Sink};
use crate::handlers::HandlerTable;
use crate::index_spaces::IndexSpaces;
use crate::operator::{
    BinaryOp, CompareOp, ExtractLaneOp, LaneWidth, Libcall, LoadOp, ReplaceLaneOp, SplatOp, StoreOp, UnaryOp,
    VectorBinaryOp, VectorLoadOp, VectorShiftOp, VectorTernaryOp, VectorTestOp, VectorUnaryOp,
};
use crate::types::{FuncType, ValType};
pub(crate) use branches::Label;
use operands::{Entry, Shapes};

/// Where an operand's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    Temp,
    /// In a local; `previous` is the stack position of the next older operand in the same local, plus one.
    Local {
        local: Reg,
        previous: u32,
    },
    Const(u64),
}

/// The second operand of an instruction that takes two.
enum Second {
    Reg(Reg),
    Imm(u64),
}

/// The translation of one function; `code`, `vectors` and `handlers` are its module's, which grow at the end.
pub(crate) struct Translator<'m> {
    code: &'m mut Vec<Inst>,
    /// The number of its first instruction in the module.
    first: Pc,
    vectors: &'m mut Vec<u128>,
    handlers: &'m mut HandlerTable,
    imported_funcs: u32,
    /// Whether memory 0 has 64-bit addresses, which the short loads and stores do not take.
    memory64: bool,
    /// Slots of the parameters.
    params: usize,
    /// Results, and their slots.
    results: (usize, usize),
    /// Slots of the parameters and declared locals.
    locals: usize,
    /// First slot of each local; `None` where each has just one.
    local_regs: Option<Vec<Reg>>,
    stack: Vec<Entry>,
    /// Operands below this position are `Temp`.
    flushed: usize,
    /// For each slot of a local, the newest operand that lies in it: stack position plus one, 0 for none.
    newest: Vec<u32>,
    /// The most slots that operands take.
    max_height: usize,
    shapes: Shapes,
    /// Instructions before this one may be jumped over or into: peepholes must not look there.
    barrier: usize,
    /// The most instructions that any path to here has run since it last paid: see [`STRETCH`].
    unpaid: u32,
    /// Length beyond which this function is refused.
    code_limit: usize,
}

/// Instructions that a module may become for each byte of its bodies, and in any case. Ordinary code needs less than one;
/// only branches that carry many results around need more, and hostile bodies could ask for thousands. The second
/// allowance is the whole module's: it must not grow with the number of functions, which can be a million.
const INSTRUCTIONS_PER_BYTE: usize = 4;
const INSTRUCTIONS_FREE: usize = 1 << 16;

impl<'m> Translator<'m> {
    /// Begins function `func`, whose locals, parameters included, are of these types. `body_bytes` are those of the module's
    /// bodies up to this one and with it, in proportion to which the module's code may grow.
    pub(crate) fn new(
        code: &'m mut ModuleCode,
        types: &IndexSpaces,
        func: u32,
        locals: &[ValType],
        body_bytes: usize,
    ) -> Self {
        let ModuleCode {
            words,
            insts: code,
            vectors,
            handlers,
            ..
        } = code;
        code.clear();
        let first = words.len();
        let ty = types.func_type(func);
        let slots = locals.iter().map(|ty| ty.slots()).sum();
        let local_regs = locals.contains(&ValType::V128).then(|| {
            let ends = locals.iter().scan(0, |end, ty| {
                *end += ty.slots();
                Some(narrow(*end - ty.slots()))
            });
            ends.collect()
        });
        Self {
            code,
            first: first as Pc,
            vectors,
            handlers,
            imported_funcs: types.imported_funcs,
            memory64: types.memories.first().is_some_and(|ty| ty.memory64),
            params: ty.param_slots(),
            results: (ty.results().len(), ty.result_slots()),
            locals: slots,
            local_regs,
            stack: Vec::new(),
            flushed: 0,
            // More locals than registers are refused, after an operator that still sees them wrapped.
            newest: vec![0; slots.min(usize::from(Reg::MAX) + 1)],
            max_height: ty.result_slots(),
            shapes: Shapes::default(),
            barrier: 0,
            unpaid: 0,
            code_limit: body_bytes
                .saturating_mul(INSTRUCTIONS_PER_BYTE)
                .saturating_add(INSTRUCTIONS_FREE)
                .saturating_sub(first),
        }
    }

    /// The label of the function's body.
    pub(crate) fn body_label() -> Label {
        Label::body()
    }

    /// What the runtime has to know of the function.
    ///
    /// # Errors
    /// [`ModuleError::TooLarge`] where a frame would need more registers than an instruction can name, or the
    /// code would be out of proportion to the body.
    pub(crate) fn finish(self) -> Result<FunctionCode, ModuleError> {
        let frame = self.locals + self.max_height;
        if self.code.len() > self.code_limit {
            return Err(ModuleError::TooLarge {
                what: "the instructions that branches carry values with",
                have: u64::from(self.position()),
                limit: u64::from(self.first) + self.code_limit as u64,
            });
        }
        if frame > usize::from(Reg::MAX) {
            return Err(ModuleError::TooLarge {
                what: "the locals and operands of a function",
                have: frame as u64,
                limit: u64::from(Reg::MAX),
            });
        }
        Ok(FunctionCode {
            entry: self.first,
            end: self.position(),
            params: narrow(self.params),
            locals: narrow(self.locals),
            stretch: self.code.len().min(STRETCH as usize) as u8,
            frame: narrow(frame),
        })
    }

    // --- Emission -----------------------------------------------------------------------------------------------

    fn emit(&mut self, inst: Inst) -> Pc {
        if self.unpaid >= STRETCH {
            self.code.push(Inst::Pay);
            self.unpaid = 0;
        }
        self.unpaid += 1;
        let at = self.position();
        self.code.push(inst);
        at
    }

    /// The number of the next instruction.
    fn position(&self) -> Pc {
        // A module's bytes are bounded far below 2^32, and an operator makes a bounded number of instructions.
        self.first + self.code.len() as Pc
    }

    /// An instruction of this function.
    fn inst_mut(&mut self, at: Pc) -> &mut Inst {
        &mut self.code[(at - self.first) as usize]
    }

    /// Binds the current position: whatever was emitted before may have been jumped over.
    fn bind(&mut self, jumps: Vec<Pc>) {
        let here = self.position();
        for jump in jumps {
            *self
                .inst_mut(jump)
                .target_mut()
                .expect("only jumps wait for a label") = here;
        }
        self.barrier = self.code.len();
    }

    /// The offset of an access that the short forms reach: to memory 0, with an address of 32 bits.
    fn near(&self, access: MemoryAccess) -> Option<u32> {
        let offset = u32::try_from(access.offset).ok()?;
        (access.memory == 0 && !self.memory64).then_some(offset)
    }

    /// The last instruction, where a peephole may change it.
    fn last(&mut self) -> Option<&mut Inst> {
        if self.code.len() > self.barrier {
            self.code.last_mut()
        } else {
            None
        }
    }
}

impl Sink for Translator<'_> {
    type Label = Label;

    fn constant(&mut self, _ty: ValType, bits: u64) {
        self.push(Operand::Const(bits), false);
    }

    fn local_get(&mut self, local: u32, ty: ValType) {
        self.push_local(self.local_reg(local), ty == ValType::V128);
    }

    fn local_set(&mut self, local: u32, _ty: ValType) {
        self.write_local(self.local_reg(local));
    }

    fn local_tee(&mut self, local: u32, ty: ValType) {
        let local = self.local_reg(local);
        let constant = match self.stack.last().map(|entry| entry.place) {
            Some(Operand::Const(value)) => Some(value),
            _ => None,
        };
        self.write_local(local);
        match constant {
            Some(value) => self.push(Operand::Const(value), false),
            None => self.push_local(local, ty == ValType::V128),
        }
    }

    fn global_get(&mut self, global: u32, ty: ValType) {
        let dst = self.push_result(ty == ValType::V128);
        self.emit(match ty {
            ValType::V128 => Inst::VectorGlobalGet { dst, global },
            _ => Inst::GlobalGet { dst, global },
        });
    }

    fn global_set(&mut self, global: u32, ty: ValType) {
        let src = self.pop_reg();
        self.emit(match ty {
            ValType::V128 => Inst::VectorGlobalSet { src, global },
            _ => Inst::GlobalSet { src, global },
        });
    }

    fn drop_value(&mut self) {
        self.pop();
    }

    fn select(&mut self) {
        let cond = self.pop_reg();
        if !self.stack.last().is_some_and(|entry| entry.wide) {
            return self.emit_select(cond);
        }
        let (b, a) = (self.pop_reg(), self.pop_reg());
        let dst = self.push_vector();
        self.emit(Inst::VectorSelect { dst, cond, a, b });
    }

    fn unary(&mut self, op: UnaryOp) {
        let a = self.pop_reg();
        let dst = self.push_temp();
        self.emit(op.inst(dst, a));
    }

    fn binary(&mut self, op: BinaryOp) {
        let len = self.stack.len();
        if op.is_commutative() && matches!(self.stack[len - 2].place, Operand::Const(_)) {
            self.swap_top();
        }
        let (a, b) = self.pop_two();
        let dst = self.push_temp();
        self.emit_binary(op, dst, a, b);
    }

    fn compare(&mut self, op: CompareOp) {
        let len = self.stack.len();
        let swap = matches!(self.stack[len - 2].place, Operand::Const(_)) && self.swap_top();
        let op = if swap { op.swapped() } else { op };
        let (a, b) = self.pop_two();
        let dst = self.push_temp();
        self.emit(match b {
            Second::Reg(b) => op.inst(dst, a, b),
            Second::Imm(b) => op.inst_imm(dst, a, b),
        });
    }

    fn load(&mut self, op: LoadOp, access: MemoryAccess) {
        match self.near(access) {
            Some(offset) => self.load_near(op, offset),
            None => self.load_from(op, access),
        }
    }

    fn store(&mut self, op: StoreOp, access: MemoryAccess) {
        match self.near(access) {
            Some(offset) => self.store_near(op, offset),
            None => self.store_to(op, access),
        }
    }

    fn libcall(&mut self, call: Libcall, [a, b]: [u32; 2]) {
        let (params, results) = call.arity();
        let base = self.settle_top(usize::from(params));
        self.emit(Inst::Libcall { base, call, a, b });
        // Of what type the result is matters to nobody: it is a scalar.
        self.replace_top(usize::from(params), &[ValType::I64][..usize::from(results)]);
    }

    fn vector_constant(&mut self, bits: u128) {
        self.vector_const(bits);
    }

    fn vector_unary(&mut self, op: VectorUnaryOp) {
        let a = self.pop_reg();
        let dst = self.push_vector();
        self.emit(op.inst(dst, a));
    }

    fn vector_binary(&mut self, op: VectorBinaryOp) {
        self.emit_vector_binary(op);
    }

    fn vector_ternary(&mut self, op: VectorTernaryOp) {
        let (c, b, a) = (self.pop_reg(), self.pop_reg(), self.pop_reg());
        let dst = self.push_vector();
        self.emit(op.inst(dst, a, b, c));
    }

    fn vector_shift(&mut self, op: VectorShiftOp) {
        self.shift_vector(op);
    }

    fn vector_test(&mut self, op: VectorTestOp) {
        let a = self.pop_reg();
        let dst = self.push_temp();
        self.emit(op.inst(dst, a));
    }

    fn splat(&mut self, op: SplatOp) {
        self.splat_vector(op);
    }

    fn extract_lane(&mut self, op: ExtractLaneOp, lane: u8) {
        let a = self.pop_reg();
        let dst = self.push_temp();
        self.emit(op.inst(lane, dst, a));
    }

    fn replace_lane(&mut self, op: ReplaceLaneOp, lane: u8) {
        let (b, a) = (self.pop_reg(), self.pop_reg());
        let dst = self.push_vector();
        self.emit(op.inst(lane, dst, a, b));
    }

    fn shuffle(&mut self, lanes: [u8; 16]) {
        self.vector_shuffle(lanes);
    }

    fn vector_load(&mut self, op: VectorLoadOp, access: MemoryAccess) {
        self.load_vector(op, access);
    }

    fn vector_store(&mut self, access: MemoryAccess) {
        self.store_vector(access);
    }

    fn load_lane(&mut self, width: LaneWidth, access: MemoryAccess, lane: u8) {
        self.load_into_lane((width, lane), access);
    }

    fn store_lane(&mut self, width: LaneWidth, access: MemoryAccess, lane: u8) {
        self.store_from_lane((width, lane), access);
    }

    fn call(&mut self, func: u32, ty: &FuncType) {
        let base = self.settle_top(ty.params().len());
        self.emit(match func.checked_sub(self.imported_funcs) {
            Some(func) => Inst::Call { base, func },
            None => Inst::CallImport { base, func },
        });
        self.replace_top(ty.params().len(), ty.results());
    }

    fn call_indirect(&mut self, table: u32, type_index: u32, ty: &FuncType) {
        let index = self.pop_reg();
        let base = self.settle_top(ty.params().len());
        self.emit(Inst::CallIndirect {
            base,
            index,
            table,
            ty: type_index,
        });
        self.replace_top(ty.params().len(), ty.results());
    }

    fn return_call(&mut self, func: u32, ty: &FuncType) {
        let base = self.settle_top(ty.params().len());
        if let Some(func) = func.checked_sub(self.imported_funcs) {
            self.emit(Inst::ReturnCall { base, func });
            return;
        }
        self.emit(Inst::ReturnCallImport { base, func });
        self.replace_top(ty.params().len(), ty.results());
        self.emit_return();
    }

    fn return_call_indirect(&mut self, table: u32, type_index: u32, ty: &FuncType) {
        let index = self.pop_reg();
        let base = self.settle_top(ty.params().len());
        self.emit(Inst::ReturnCallIndirect {
            base,
            index,
            table,
            ty: type_index,
        });
        self.replace_top(ty.params().len(), ty.results());
        self.emit_return();
    }

    fn block(&mut self, ty: BlockSignature<'_>) -> Label {
        self.flush();
        self.open(ty)
    }

    fn try_table(
        &mut self,
        controls: &mut [Control<Label>],
        ty: BlockSignature<'_>,
        catches: &[Catch<'_>],
    ) -> Label {
        self.open_try_table(controls, ty, catches)
    }

    fn loop_(&mut self, ty: BlockSignature<'_>, _hints: &LoopHints<'_>) -> Label {
        self.flush();
        let mut label = self.open(ty);
        label.start = self.position();
        label
    }

    fn if_(&mut self, ty: BlockSignature<'_>) -> Label {
        // The condition stays out of the flush: it is often a comparison that the jump can swallow, so everything
        // beneath it has to be settled before the comparison is. Where that would need code between the two, the
        // condition settles as well.
        let below_settled = self.flushed >= self.stack.len() - 1
            || self.stack[self.flushed..self.stack.len() - 1]
                .iter()
                .all(|entry| entry.place == Operand::Temp);
        if !below_settled {
            self.flush();
        }
        let jump = self.conditional(false);
        let jump = self.emit(jump);
        self.flushed = self.stack.len();
        self.barrier = self.code.len();
        let mut label = self.open(ty);
        label.otherwise = Some((jump, self.unpaid));
        label
    }

    fn else_(&mut self, control: &mut Control<Label>, reachable: bool) {
        if reachable {
            self.move_results(control.label.offset, control.results as usize);
            let jump = self.emit(Inst::Br { target: 0 });
            control.label.pending.push(jump);
            control.label.unpaid = control.label.unpaid.max(self.unpaid);
        }
        let (otherwise, unpaid) = control
            .label
            .otherwise
            .take()
            .expect("an if has a jump around its first arm");
        self.bind(vec![otherwise]);
        self.unpaid = unpaid;
        self.truncate(control.label.height);
        self.push_shape(control.params, &control.label.params);
        self.flushed = self.stack.len();
    }

    fn end(&mut self, control: Control<Label>, reachable: bool) {
        let Control {
            kind,
            params: _,
            results,
            label,
        } = control;
        if label.catches {
            self.handlers.close(self.position());
        }
        if kind == ControlKind::Body && label.pending.is_empty() {
            if reachable {
                self.emit_return();
            }
            return;
        }
        if reachable {
            self.move_results(label.offset, results as usize);
        } else {
            self.unpaid = 0;
        }
        let mut jumps = label.pending;
        self.unpaid = self.unpaid.max(label.unpaid);
        // An if without an else has as many parameters as results, canonical when it opened.
        if let Some((otherwise, unpaid)) = label.otherwise {
            jumps.push(otherwise);
            self.unpaid = self.unpaid.max(unpaid);
        }
        self.bind(jumps);
        self.truncate(label.height);
        self.push_shape(results, &label.results);
        self.flushed = self.stack.len();
        if kind == ControlKind::Body {
            self.emit_return();
        }
    }

    fn br(&mut self, target: &mut Control<Label>) {
        if target.kind == ControlKind::Body {
            self.emit_return();
            return;
        }
        self.move_results(target.label.offset, target.branch_arity() as usize);
        self.jump(Inst::Br { target: 0 }, target);
    }

    fn br_if(&mut self, target: &mut Control<Label>) {
        self.branch_if(target);
    }

    fn br_table(&mut self, controls: &mut [Control<Label>], depths: &[u32]) {
        self.branch_table(controls, depths);
    }

    fn return_(&mut self) {
        self.emit_return();
    }

    fn unreachable(&mut self) {
        self.emit(Inst::Unreachable);
    }

    fn throw(&mut self, tag: u32, ty: &FuncType) {
        let base = self.settle_top(ty.params().len());
        self.emit(Inst::Throw { base, tag });
    }

    fn throw_ref(&mut self) {
        let src = self.pop_reg();
        self.emit(Inst::ThrowRef { src });
    }

    fn is_exhausted(&self) -> bool {
        self.locals + self.max_height > usize::from(Reg::MAX) || self.code.len() > self.code_limit
    }
}

/// A count as a register number; what does not fit is found in [`Translator::finish`].
fn narrow(count: usize) -> u16 {
    count as u16
}
