//! From a function body to register bytecode, in one pass: the interpreter's [`Sink`].
//!
//! The abstract value stack holds, for each operand, where its value is ([`Operand`]):
//!
//! * `Temp`: in its own register, the *canonical* one: `locals + position on the stack`;
//! * `Local`: still in the local that it was read from, nothing was emitted;
//! * `Const`: nowhere yet.
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
//! written there, and a comparison whose result is only branched on becomes part of the jump.

use super::code::{FunctionCode, ModuleCode, STRETCH};
use super::inst::{Inst, Pc, Reg};
use crate::error::ModuleError;
mod branches;
mod operands;

use crate::frontend::{BlockSignature, Control, ControlKind, LoopHints, MemoryAccess, Sink};
use crate::operator::{
    BinaryOp, CompareOp, ExtractLaneOp, LaneWidth, Libcall, LoadOp, ReplaceLaneOp, SplatOp, StoreOp, UnaryOp,
    VectorBinaryOp, VectorLoadOp, VectorShiftOp, VectorTernaryOp, VectorTestOp, VectorUnaryOp,
};
use crate::types::{FuncType, ValType};

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

/// A branch target.
#[derive(Debug)]
pub(crate) struct Label {
    /// Stack height below the construct's parameters.
    height: usize,
    /// Where a loop begins.
    start: Pc,
    /// Jumps to the end, waiting for it.
    pending: Vec<Pc>,
    /// The most that is unpaid where one of them comes from.
    unpaid: u32,
    /// The jump of an `if` around its first arm, and what is unpaid there.
    otherwise: Option<(Pc, u32)>,
}

/// The translation of one function; `code` is its module's, which grows at the end.
pub(crate) struct Translator<'m> {
    code: &'m mut Vec<Inst>,
    imported_funcs: u32,
    entry: Pc,
    params: usize,
    results: usize,
    locals: usize,
    stack: Vec<Operand>,
    /// Operands below this position are `Temp`.
    flushed: usize,
    /// For each local, the newest operand that lies in it: stack position plus one, 0 for none.
    newest: Vec<u32>,
    max_height: usize,
    /// Instructions before this one may be jumped over or into: peepholes must not look there.
    barrier: usize,
    /// The most instructions that any path to here has run since it last paid: see [`STRETCH`].
    unpaid: u32,
    /// Length of the module's code beyond which this function is refused.
    code_limit: usize,
}

/// Instructions that a module may become for each byte of its bodies, and in any case. Ordinary code needs less than one;
/// only branches that carry many results around need more, and hostile bodies could ask for thousands. The second
/// allowance is the whole module's: it must not grow with the number of functions, which can be a million.
const INSTRUCTIONS_PER_BYTE: usize = 4;
const INSTRUCTIONS_FREE: usize = 1 << 16;

impl<'m> Translator<'m> {
    /// Begins a function of this type, with so many locals (parameters included). `body_bytes` are those of the module's
    /// bodies up to this one and with it, in proportion to which the module's code may grow.
    pub(crate) fn new(
        code: &'m mut ModuleCode,
        imported_funcs: u32,
        ty: &FuncType,
        locals: usize,
        body_bytes: usize,
    ) -> Self {
        let code = &mut code.insts;
        let entry = position(code);
        let barrier = code.len();
        Self {
            code,
            imported_funcs,
            entry,
            params: ty.params().len(),
            results: ty.results().len(),
            locals,
            stack: Vec::new(),
            flushed: 0,
            newest: vec![0; locals],
            max_height: ty.results().len(),
            barrier,
            unpaid: 0,
            code_limit: body_bytes
                .saturating_mul(INSTRUCTIONS_PER_BYTE)
                .saturating_add(INSTRUCTIONS_FREE),
        }
    }

    /// The label of the function's body.
    pub(crate) fn body_label() -> Label {
        Label {
            height: 0,
            start: 0,
            pending: Vec::new(),
            unpaid: 0,
            otherwise: None,
        }
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
                have: self.code.len() as u64,
                limit: self.code_limit as u64,
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
            entry: self.entry,
            end: position(self.code),
            params: narrow(self.params),
            locals: narrow(self.locals),
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
        let at = position(self.code);
        self.code.push(inst);
        at
    }

    /// Binds the current position: whatever was emitted before may have been jumped over.
    fn bind(&mut self, jumps: Vec<Pc>) {
        let here = position(self.code);
        for jump in jumps {
            *self.code[jump as usize]
                .target_mut()
                .expect("only jumps wait for a label") = here;
        }
        self.barrier = self.code.len();
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
        self.push(Operand::Const(bits));
    }

    fn local_get(&mut self, local: u32, _ty: ValType) {
        self.push_local(local);
    }

    fn local_set(&mut self, local: u32, _ty: ValType) {
        let (operand, position) = self.pop();
        let own = self.temp(position);
        let dst = local as Reg;
        let untouched = self.newest[local as usize] == 0;
        if operand == Operand::Temp
            && untouched
            && let Some(written) = self.last().and_then(Inst::dst_mut)
            && *written == own
        {
            *written = dst;
            return;
        }
        self.preserve(local);
        match operand {
            Operand::Temp => self.emit(Inst::Copy { dst, src: own }),
            Operand::Local { local: src, .. } => self.emit(Inst::Copy { dst, src }),
            Operand::Const(value) => self.emit(Inst::Const { dst, value }),
        };
    }

    fn local_tee(&mut self, local: u32, ty: ValType) {
        let constant = match self.stack.last() {
            Some(&Operand::Const(value)) => Some(value),
            _ => None,
        };
        self.local_set(local, ty);
        match constant {
            Some(value) => self.push(Operand::Const(value)),
            None => self.push_local(local),
        }
    }

    fn global_get(&mut self, global: u32, _ty: ValType) {
        let dst = self.push_temp();
        self.emit(Inst::GlobalGet { dst, global });
    }

    fn global_set(&mut self, global: u32, _ty: ValType) {
        let src = self.pop_reg();
        self.emit(Inst::GlobalSet { src, global });
    }

    fn drop_value(&mut self) {
        self.pop();
    }

    fn select(&mut self) {
        let cond = self.pop_reg();
        let b = self.pop_reg();
        let a = self.pop_reg();
        let dst = self.push_temp();
        self.emit(Inst::Select { dst, cond, a, b });
    }

    fn unary(&mut self, op: UnaryOp) {
        let a = self.pop_reg();
        let dst = self.push_temp();
        self.emit(op.inst(dst, a));
    }

    fn binary(&mut self, op: BinaryOp) {
        let len = self.stack.len();
        if op.is_commutative() && matches!(self.stack[len - 2], Operand::Const(_)) {
            self.swap_top();
        }
        let (a, b) = self.pop_two();
        let dst = self.push_temp();
        self.emit(match b {
            Second::Reg(b) => op.inst(dst, a, b),
            Second::Imm(b) => op.inst_imm(dst, a, b),
        });
    }

    fn compare(&mut self, op: CompareOp) {
        let len = self.stack.len();
        let swap = matches!(self.stack[len - 2], Operand::Const(_)) && self.swap_top();
        let op = if swap { op.swapped() } else { op };
        let (a, b) = self.pop_two();
        let dst = self.push_temp();
        self.emit(match b {
            Second::Reg(b) => op.inst(dst, a, b),
            Second::Imm(b) => op.inst_imm(dst, a, b),
        });
    }

    fn load(&mut self, op: LoadOp, access: MemoryAccess) {
        debug_assert_eq!(access.memory, 0, "validated: there is one memory");
        let addr = self.pop_reg();
        let dst = self.push_temp();
        self.emit(op.inst(dst, addr, access.offset));
    }

    fn store(&mut self, op: StoreOp, access: MemoryAccess) {
        debug_assert_eq!(access.memory, 0, "validated: there is one memory");
        let src = self.pop_reg();
        let addr = self.pop_reg();
        self.emit(op.inst(addr, src, access.offset));
    }

    fn libcall(&mut self, call: Libcall, [a, b]: [u32; 2]) {
        let (params, results) = call.arity();
        let base = self.settle_top(usize::from(params));
        self.emit(Inst::Libcall { base, call, a, b });
        self.replace_top(usize::from(params), usize::from(results));
    }

    fn vector_constant(&mut self, _bits: u128) {
        unreachable!("no level has vectors yet")
    }
    fn vector_unary(&mut self, _op: VectorUnaryOp) {
        unreachable!("no level has vectors yet")
    }
    fn vector_binary(&mut self, _op: VectorBinaryOp) {
        unreachable!("no level has vectors yet")
    }
    fn vector_ternary(&mut self, _op: VectorTernaryOp) {
        unreachable!("no level has vectors yet")
    }
    fn vector_shift(&mut self, _op: VectorShiftOp) {
        unreachable!("no level has vectors yet")
    }
    fn vector_test(&mut self, _op: VectorTestOp) {
        unreachable!("no level has vectors yet")
    }
    fn splat(&mut self, _op: SplatOp) {
        unreachable!("no level has vectors yet")
    }
    fn extract_lane(&mut self, _op: ExtractLaneOp, _lane: u8) {
        unreachable!("no level has vectors yet")
    }
    fn replace_lane(&mut self, _op: ReplaceLaneOp, _lane: u8) {
        unreachable!("no level has vectors yet")
    }
    fn shuffle(&mut self, _lanes: [u8; 16]) {
        unreachable!("no level has vectors yet")
    }
    fn vector_load(&mut self, _op: VectorLoadOp, _access: MemoryAccess) {
        unreachable!("no level has vectors yet")
    }
    fn vector_store(&mut self, _access: MemoryAccess) {
        unreachable!("no level has vectors yet")
    }
    fn load_lane(&mut self, _width: LaneWidth, _access: MemoryAccess, _lane: u8) {
        unreachable!("no level has vectors yet")
    }
    fn store_lane(&mut self, _width: LaneWidth, _access: MemoryAccess, _lane: u8) {
        unreachable!("no level has vectors yet")
    }
    fn return_call(&mut self, _func: u32, _ty: &FuncType) {
        unreachable!("no level has tail calls yet")
    }
    fn return_call_indirect(&mut self, _table: u32, _type_index: u32, _ty: &FuncType) {
        unreachable!("no level has tail calls yet")
    }

    fn call(&mut self, func: u32, ty: &FuncType) {
        let base = self.settle_top(ty.params().len());
        self.emit(match func.checked_sub(self.imported_funcs) {
            Some(func) => Inst::Call { base, func },
            None => Inst::CallImport { base, func },
        });
        self.replace_top(ty.params().len(), ty.results().len());
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
        self.replace_top(ty.params().len(), ty.results().len());
    }

    fn block(&mut self, ty: BlockSignature<'_>) -> Label {
        self.flush();
        self.open(ty.params.len() as u32)
    }

    fn loop_(&mut self, ty: BlockSignature<'_>, _hints: &LoopHints<'_>) -> Label {
        self.flush();
        let mut label = self.open(ty.params.len() as u32);
        label.start = position(self.code);
        label
    }

    fn if_(&mut self, ty: BlockSignature<'_>) -> Label {
        // The condition stays out of the flush: it is often a comparison that the jump can swallow, so everything
        // beneath it has to be settled before the comparison is. Where that would need code between the two, the
        // condition settles as well.
        let below_settled = self.flushed >= self.stack.len() - 1
            || self.stack[self.flushed..self.stack.len() - 1]
                .iter()
                .all(|operand| *operand == Operand::Temp);
        if !below_settled {
            self.flush();
        }
        let jump = self.conditional(false);
        let jump = self.emit(jump);
        self.flushed = self.stack.len();
        self.barrier = self.code.len();
        let mut label = self.open(ty.params.len() as u32);
        label.otherwise = Some((jump, self.unpaid));
        label
    }

    fn else_(&mut self, control: &mut Control<Label>, reachable: bool) {
        if reachable {
            self.move_results(control.label.height, control.results as usize);
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
        self.replace_top(0, control.params as usize);
        self.flushed = self.stack.len();
    }

    fn end(&mut self, control: Control<Label>, reachable: bool) {
        let Control {
            kind,
            params: _,
            results,
            label,
        } = control;
        let results = results as usize;
        if kind == ControlKind::Body && label.pending.is_empty() {
            if reachable {
                self.emit_return();
            }
            return;
        }
        if reachable {
            self.move_results(label.height, results);
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
        self.replace_top(0, results);
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
        self.move_results(target.label.height, target.branch_arity() as usize);
        self.jump(Inst::Br { target: 0 }, target);
    }

    fn br_if(&mut self, target: &mut Control<Label>) {
        let arity = target.branch_arity() as usize;
        let condition = self.stack.len() - 1;
        // Seen without the condition: are the results where the label wants them?
        let top = self.stack.pop().expect("validated: a condition");
        let in_place = arity == 0 || self.in_place(target.label.height, arity);
        self.stack.push(top);
        debug_assert_eq!(self.stack.len() - 1, condition);
        if in_place {
            let jump = self.conditional(true);
            self.jump(jump, target);
        } else {
            let skip = self.conditional(false);
            let skip = self.emit(skip);
            let unpaid = self.unpaid;
            self.move_results(target.label.height, arity);
            self.jump(Inst::Br { target: 0 }, target);
            self.bind(vec![skip]);
            self.unpaid = unpaid;
        }
        self.barrier = self.code.len();
    }

    fn br_table(&mut self, controls: &mut [Control<Label>], depths: &[u32]) {
        let index = self.pop_reg();
        let innermost = controls.len() - 1;
        let arity = controls[innermost - *depths.last().expect("a default") as usize].branch_arity() as usize;
        // The results settle once, before the jump; where a target wants them lower, a stub moves them there.
        self.settle_top(arity);
        let settled = self.stack.len() - arity;
        let last = depths.len() as u32 - 1;
        self.emit(Inst::BrTable { index, last });
        let first_entry = self.code.len();
        self.code
            .resize(first_entry + depths.len(), Inst::Br { target: 0 });
        // The entry is an instruction as well.
        let unpaid = self.unpaid + 1;
        // One stub for each distinct target that needs one, found by depth.
        let mut stubs: std::collections::HashMap<u32, Pc> = std::collections::HashMap::new();
        for (i, &depth) in depths.iter().enumerate() {
            let entry = (first_entry + i) as Pc;
            let target = &mut controls[innermost - depth as usize];
            if arity == 0 || target.label.height == settled {
                if target.kind == ControlKind::Loop {
                    self.code[entry as usize] = Inst::Br {
                        target: target.label.start,
                    };
                } else {
                    target.label.pending.push(entry);
                    target.label.unpaid = target.label.unpaid.max(unpaid);
                }
                continue;
            }
            let here = position(self.code);
            let stub = *stubs.entry(depth).or_insert(here);
            if stub == here {
                self.unpaid = unpaid;
                self.move_results(target.label.height, arity);
                self.jump(Inst::Br { target: 0 }, target);
            }
            self.code[entry as usize] = Inst::Br { target: stub };
        }
        self.barrier = self.code.len();
    }

    fn return_(&mut self) {
        self.emit_return();
    }

    fn unreachable(&mut self) {
        self.emit(Inst::Unreachable);
    }

    fn is_exhausted(&self) -> bool {
        self.max_height > usize::from(Reg::MAX) || self.code.len() > self.code_limit
    }
}

/// The number of the next instruction.
fn position(code: &[Inst]) -> Pc {
    // A module's bytes are bounded far below 2^32, and an operator makes a bounded number of instructions.
    code.len() as Pc
}

/// A count as a register number; what does not fit is found in [`Translator::finish`].
fn narrow(count: usize) -> u16 {
    count as u16
}
