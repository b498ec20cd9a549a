//! The one visitor: from the decoder's operators to the classes of a [`Sink`].
//!
//! The decoder's own list of operators generates the methods, so an operator that it learns in a later version cannot
//! be forgotten: everything without a rule here falls to the last arm of `rule!` and is refused by its name.
//!
//! Dead code. After an unconditional branch the current point cannot be reached. Constructs opened there get no label
//! (`None` on the control stack) and the sink hears nothing until the `end` or `else` of the innermost construct that
//! was opened in live code.

use super::sink::{Control, ControlKind, MemoryAccess, Sink};
use crate::error::ModuleError;
use crate::index_spaces::IndexSpaces;
use crate::operator::{Libcall, LoadOp, StoreOp, TwoOperands, UnaryOp};
use crate::types::ValType;
use wasmparser::{BlockType, FuncValidator, MemArgTarget, ValidatorResources, VisitOperator};

/// The visitor of one function body.
pub(super) struct Visitor<'a, S: Sink> {
    types: &'a IndexSpaces,
    validator: &'a mut FuncValidator<ValidatorResources>,
    sink: &'a mut S,
    /// Open constructs of live code, outermost first.
    controls: Vec<Control<S::Label>>,
    /// For each entry of `controls`: whether something branches to its end.
    branched: Vec<bool>,
    /// Constructs opened in dead code and not yet closed.
    dead_depth: u32,
    reachable: bool,
    locals: Vec<ValType>,
    /// Kept to be used again: targets of a `br_table`.
    targets: Vec<u32>,
    /// Where the operator that is being visited begins.
    pub(super) offset: u64,
}

/// More operands than any compiler leaves on the stack.
const MAX_OPERANDS: u32 = 1 << 20;

type Outcome = Result<(), ModuleError>;

impl<'a, S: Sink> Visitor<'a, S> {
    pub(super) fn new(
        types: &'a IndexSpaces,
        validator: &'a mut FuncValidator<ValidatorResources>,
        sink: &'a mut S,
        locals: Vec<ValType>,
        results: u32,
        label: S::Label,
    ) -> Self {
        Self {
            types,
            validator,
            sink,
            controls: vec![Control {
                kind: ControlKind::Body,
                params: 0,
                results,
                label,
            }],
            branched: vec![false],
            dead_depth: 0,
            reachable: true,
            locals,
            targets: Vec::new(),
            offset: 0,
        }
    }

    /// Whether translation has to stop here, because the tier cannot go on.
    ///
    /// # Errors
    /// [`ModuleError::TooLarge`] where even the validator's own stack grows out of proportion, as it can in dead code.
    pub(super) fn is_exhausted(&self) -> Result<bool, ModuleError> {
        let height = self.validator.operand_stack_height();
        if height > MAX_OPERANDS {
            return Err(ModuleError::TooLarge {
                what: "the operands on a function's stack",
                have: u64::from(height),
                limit: u64::from(MAX_OPERANDS),
            });
        }
        Ok(self.sink.is_exhausted())
    }

    /// How many values a construct takes and leaves.
    fn arity(&self, ty: BlockType) -> (u32, u32) {
        let count = |types: &[ValType]| u32::try_from(types.len()).unwrap_or(u32::MAX);
        match ty {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => {
                let ty = self.types.type_at(index);
                (count(ty.params()), count(ty.results()))
            }
        }
    }

    fn open(&mut self, kind: ControlKind, ty: BlockType) {
        if !self.reachable {
            self.dead_depth += 1;
            return;
        }
        let (params, results) = self.arity(ty);
        let label = match kind {
            ControlKind::Loop => self.sink.loop_(params, results),
            ControlKind::If => self.sink.if_(params, results),
            _ => self.sink.block(params, results),
        };
        self.controls.push(Control {
            kind,
            params,
            results,
            label,
        });
        self.branched.push(false);
    }

    fn else_(&mut self) {
        if self.dead_depth > 0 {
            return;
        }
        let control = self.controls.last_mut().expect("validated: an else has its if");
        self.sink.else_(control, self.reachable);
        control.kind = ControlKind::Else;
        // The end is reached at least by whoever came through the first arm.
        if self.reachable {
            *self.branched.last_mut().expect("as long as controls") = true;
        }
        self.reachable = true;
    }

    fn end(&mut self) {
        if self.dead_depth > 0 {
            self.dead_depth -= 1;
            return;
        }
        let control = self.controls.pop().expect("validated: an end has its construct");
        let branched = self.branched.pop().expect("as long as controls");
        let joined = match control.kind {
            ControlKind::Loop => false,
            ControlKind::If => true,
            _ => branched,
        };
        self.sink.end(control, self.reachable);
        self.reachable |= joined;
    }

    fn branch(&mut self, depth: u32, emit: impl FnOnce(&mut S, &mut Control<S::Label>)) {
        let index = self.index_of(depth);
        self.branched[index] = true;
        emit(self.sink, &mut self.controls[index]);
    }

    fn index_of(&self, depth: u32) -> usize {
        self.controls.len() - 1 - depth as usize
    }

    fn br_table(&mut self, table: &wasmparser::BrTable<'_>) -> Outcome {
        self.targets.clear();
        for target in table.targets() {
            self.targets.push(target.map_err(ModuleError::invalid)?);
        }
        self.targets.push(table.default());
        for i in 0..self.targets.len() {
            let index = self.index_of(self.targets[i]);
            self.branched[index] = true;
        }
        self.sink.br_table(&mut self.controls, &self.targets);
        self.reachable = false;
        Ok(())
    }

    fn two_operands(&mut self, op: TwoOperands) {
        match op {
            TwoOperands::Binary(op) => self.sink.binary(op),
            TwoOperands::Compare(op) => self.sink.compare(op),
        }
    }

    fn local_type(&self, local: u32) -> ValType {
        self.locals[local as usize]
    }

    #[cold]
    fn unsupported(&self, operator: &str, proposal: &str) -> ModuleError {
        let message = format!("operator {operator} is of the {proposal} proposal, which is not implemented");
        ModuleError::Invalid {
            message,
            offset: self.offset,
        }
    }
}

fn memory_access(arg: &wasmparser::MemArg) -> MemoryAccess {
    let memory = match arg.target {
        MemArgTarget::Memory(memory) => memory,
        // Atomic accesses to GC arrays are refused by validation.
        MemArgTarget::Array(_) => unreachable!("validated: plain loads and stores go to a memory"),
    };
    MemoryAccess {
        memory,
        offset: arg.offset,
    }
}

/// One method per operator of the decoder's list: validate, then, in live code, apply the operator's rule.
macro_rules! visit {
    ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*) )*) => {
        $(
            fn $visit(&mut self $($(, $arg: $argty)*)?) -> Outcome {
                rule!(self, $proposal, $op, $visit [$($($arg),*)?] ($($ann)*))
            }
        )*
    };
}

/// The rules. Those that look at dead code too come first; `live` rules are skipped in dead code.
macro_rules! rule {
    ($self:ident, mvp, Block, $v:ident [$ty:ident] $ann:tt) => {{ validate!($self, $v, $ty); $self.open(ControlKind::Block, $ty); Ok(()) }};
    ($self:ident, mvp, Loop, $v:ident [$ty:ident] $ann:tt) => {{ validate!($self, $v, $ty); $self.open(ControlKind::Loop, $ty); Ok(()) }};
    ($self:ident, mvp, If, $v:ident [$ty:ident] $ann:tt) => {{ validate!($self, $v, $ty); $self.open(ControlKind::If, $ty); Ok(()) }};
    ($self:ident, mvp, Else, $v:ident [] $ann:tt) => {{ validate!($self, $v); $self.else_(); Ok(()) }};
    ($self:ident, mvp, End, $v:ident [] $ann:tt) => {{ validate!($self, $v); $self.end(); Ok(()) }};
    ($self:ident, mvp, Nop, $v:ident [] $ann:tt) => {{ validate!($self, $v); Ok(()) }};

    ($self:ident, mvp, Unreachable, $v:ident [] $ann:tt) => { live!($self, $v [], { $self.sink.unreachable(); $self.reachable = false; }) };
    ($self:ident, mvp, Br, $v:ident [$depth:ident] $ann:tt) => { live!($self, $v [$depth], { $self.branch($depth, S::br); $self.reachable = false; }) };
    ($self:ident, mvp, BrIf, $v:ident [$depth:ident] $ann:tt) => { live!($self, $v [$depth], $self.branch($depth, S::br_if)) };
    ($self:ident, mvp, BrTable, $v:ident [$table:ident] $ann:tt) => {{
        validate!($self, $v, $table.clone());
        if $self.reachable { $self.br_table(&$table)?; }
        Ok(())
    }};
    ($self:ident, mvp, Return, $v:ident [] $ann:tt) => { live!($self, $v [], { $self.sink.return_(); $self.reachable = false; }) };
    ($self:ident, mvp, Call, $v:ident [$func:ident] $ann:tt) => { live!($self, $v [$func], {
        let types = $self.types;
        $self.sink.call($func, types.func_type($func));
    }) };
    ($self:ident, mvp, CallIndirect, $v:ident [$ty:ident, $table:ident] $ann:tt) => { live!($self, $v [$ty, $table], {
        let types = $self.types;
        $self.sink.call_indirect($table, $ty, types.type_at($ty));
    }) };
    ($self:ident, mvp, Drop, $v:ident [] $ann:tt) => { live!($self, $v [], $self.sink.drop_value()) };
    ($self:ident, mvp, Select, $v:ident [] $ann:tt) => { live!($self, $v [], $self.sink.select()) };
    ($self:ident, mvp, LocalGet, $v:ident [$local:ident] $ann:tt) => { live!($self, $v [$local], $self.sink.local_get($local, $self.local_type($local))) };
    ($self:ident, mvp, LocalSet, $v:ident [$local:ident] $ann:tt) => { live!($self, $v [$local], $self.sink.local_set($local, $self.local_type($local))) };
    ($self:ident, mvp, LocalTee, $v:ident [$local:ident] $ann:tt) => { live!($self, $v [$local], $self.sink.local_tee($local, $self.local_type($local))) };
    ($self:ident, mvp, GlobalGet, $v:ident [$global:ident] $ann:tt) => { live!($self, $v [$global], $self.sink.global_get($global, $self.types.global_type($global).content)) };
    ($self:ident, mvp, GlobalSet, $v:ident [$global:ident] $ann:tt) => { live!($self, $v [$global], $self.sink.global_set($global, $self.types.global_type($global).content)) };
    ($self:ident, mvp, I32Const, $v:ident [$value:ident] $ann:tt) => { live!($self, $v [$value], $self.sink.constant(ValType::I32, u64::from($value.cast_unsigned()))) };
    ($self:ident, mvp, I64Const, $v:ident [$value:ident] $ann:tt) => { live!($self, $v [$value], $self.sink.constant(ValType::I64, $value.cast_unsigned())) };
    ($self:ident, mvp, F32Const, $v:ident [$value:ident] $ann:tt) => { live!($self, $v [$value], $self.sink.constant(ValType::F32, u64::from($value.bits()))) };
    ($self:ident, mvp, F64Const, $v:ident [$value:ident] $ann:tt) => { live!($self, $v [$value], $self.sink.constant(ValType::F64, $value.bits())) };
    ($self:ident, mvp, MemorySize, $v:ident [$mem:ident] $ann:tt) => { live!($self, $v [$mem], $self.sink.libcall(Libcall::MemorySize, [$mem, 0])) };
    ($self:ident, mvp, MemoryGrow, $v:ident [$mem:ident] $ann:tt) => { live!($self, $v [$mem], $self.sink.libcall(Libcall::MemoryGrow, [$mem, 0])) };

    ($self:ident, mvp, $op:ident, $v:ident [$arg:ident] (arity memarg 1 -> 1)) => { live!($self, $v [$arg], $self.sink.load(LoadOp::$op, memory_access(&$arg))) };
    ($self:ident, mvp, $op:ident, $v:ident [$arg:ident] (arity memarg 2 -> 0)) => { live!($self, $v [$arg], $self.sink.store(StoreOp::$op, memory_access(&$arg))) };
    ($self:ident, mvp, $op:ident, $v:ident [] (arity 1 -> 1)) => { live!($self, $v [], $self.sink.unary(UnaryOp::$op)) };
    ($self:ident, mvp, $op:ident, $v:ident [] (arity 2 -> 1)) => { live!($self, $v [], $self.two_operands(TwoOperands::$op)) };
    ($self:ident, sign_extension, $op:ident, $v:ident [] $ann:tt) => { live!($self, $v [], $self.sink.unary(UnaryOp::$op)) };
    ($self:ident, saturating_float_to_int, $op:ident, $v:ident [] $ann:tt) => { live!($self, $v [], $self.sink.unary(UnaryOp::$op)) };

    ($self:ident, bulk_memory, MemoryInit, $v:ident [$data:ident, $mem:ident] $ann:tt) => { live!($self, $v [$data, $mem], $self.sink.libcall(Libcall::MemoryInit, [$mem, $data])) };
    ($self:ident, bulk_memory, TableInit, $v:ident [$elem:ident, $table:ident] $ann:tt) => { live!($self, $v [$elem, $table], $self.sink.libcall(Libcall::TableInit, [$table, $elem])) };
    ($self:ident, bulk_memory, $op:ident, $v:ident [$a:ident] $ann:tt) => { live!($self, $v [$a], $self.sink.libcall(Libcall::$op, [$a, 0])) };
    ($self:ident, bulk_memory, $op:ident, $v:ident [$a:ident, $b:ident] $ann:tt) => { live!($self, $v [$a, $b], $self.sink.libcall(Libcall::$op, [$a, $b])) };

    ($self:ident, reference_types, TypedSelect, $v:ident [$ty:ident] $ann:tt) => { live!($self, $v [$ty], $self.sink.select()) };
    ($self:ident, reference_types, RefNull, $v:ident [$heap:ident] $ann:tt) => { live!($self, $v [$heap], {
        let ty = if $heap == wasmparser::HeapType::FUNC { ValType::FuncRef } else { ValType::ExternRef };
        $self.sink.constant(ty, 0);
    }) };
    ($self:ident, reference_types, RefIsNull, $v:ident [] $ann:tt) => { live!($self, $v [], $self.sink.unary(UnaryOp::RefIsNull)) };
    ($self:ident, reference_types, RefFunc, $v:ident [$func:ident] $ann:tt) => { live!($self, $v [$func], $self.sink.libcall(Libcall::RefFunc, [$func, 0])) };
    ($self:ident, reference_types, TypedSelectMulti, $v:ident [$tys:ident] $ann:tt) => {{ let _ = $tys; Err($self.unsupported("TypedSelectMulti", "multi-value select")) }};
    ($self:ident, reference_types, $op:ident, $v:ident [$table:ident] $ann:tt) => { live!($self, $v [$table], $self.sink.libcall(Libcall::$op, [$table, 0])) };

    ($self:ident, $proposal:ident, $op:ident, $v:ident [$($arg:ident),*] $ann:tt) => {{
        $( let _ = $arg; )*
        Err($self.unsupported(stringify!($op), stringify!($proposal)))
    }};
}

macro_rules! validate {
    ($self:ident, $visit:ident $(, $arg:expr)*) => {
        $self.validator.visitor($self.offset).$visit($($arg),*).map_err(ModuleError::invalid)?
    };
}

macro_rules! live {
    ($self:ident, $visit:ident [$($arg:ident),*], $rule:expr) => {{
        validate!($self, $visit $(, $arg)*);
        if $self.reachable {
            $rule;
        }
        Ok(())
    }};
}

impl<'a, S: Sink> VisitOperator<'a> for Visitor<'_, S> {
    type Output = Outcome;

    wasmparser::for_each_visit_operator!(visit);
}
