//! The one visitor: from the decoder's operators to the classes of a [`Sink`].
//!
//! The decoder's own list of operators generates the methods, so an operator that it learns in a later version cannot
//! be forgotten: everything without a rule here falls to the last arm of `rule!` and is refused by its name.
//!
//! Dead code. After an unconditional branch the current point cannot be reached. Constructs opened there get no label
//! (`None` on the control stack) and the sink hears nothing until the `end` or `else` of the innermost construct that
//! was opened in live code.

use super::scan::{Immediates, LoopHints, Scan, next_after};
use super::sink::{BlockSignature, Catch, Control, ControlKind, MemoryAccess, Next, Sink};
use crate::error::ModuleError;
use crate::index_spaces::IndexSpaces;
use crate::operator::{
    LaneWidth, Libcall, LoadOp, StoreOp, TwoOperands, UnaryOp, VectorLoadOp, VectorOperator,
};
use crate::types::ValType;
use wasmparser::{
    BlockType, FrameKind, FrameStack, FuncValidator, FunctionBody, MemArgTarget, ValidatorResources,
    VisitOperator, VisitSimdOperator,
};

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
    locals: &'a [ValType],
    /// What loops use, for sinks that look ahead.
    scan: Option<&'a mut Scan>,
    /// While a scanned loop is open, its place in `controls`.
    scanned: Option<usize>,
    /// How many loops have opened since, itself among them.
    loops: usize,
    /// Where in the module the last scan ended.
    scan_end: u64,
    /// The body's bytes, and where in the module they begin.
    body: (&'a [u8], u64),
    /// Kept to be used again: targets of a `br_table`.
    targets: Vec<u32>,
    /// Where the operator that is being visited begins.
    pub(super) offset: u64,
    /// How many bytes it has, if that is known already; 0 where it is not.
    pub(super) length: usize,
}

/// More operands than any compiler leaves on the stack.
const MAX_OPERANDS: u32 = 1 << 20;

/// More constructs in each other than any compiler makes. A tier keeps some hundred bytes of each that is open.
const MAX_OPEN: usize = 1 << 17;

/// Few functions have more constructs in each other.
const USUAL_OPEN: usize = 8;

/// The error is boxed, so that what each operator answers fits registers.
pub(super) type Outcome = Result<(), Box<ModuleError>>;

impl<'a, S: Sink> Visitor<'a, S> {
    pub(super) fn new(
        types: &'a IndexSpaces,
        validator: &'a mut FuncValidator<ValidatorResources>,
        sink: &'a mut S,
        locals: &'a [ValType],
        results: u32,
        label: S::Label,
        body: &FunctionBody<'a>,
    ) -> Self {
        let (mut controls, mut branched) = (Vec::with_capacity(USUAL_OPEN), Vec::with_capacity(USUAL_OPEN));
        controls.push(Control {
            kind: ControlKind::Body,
            params: 0,
            results,
            label,
        });
        branched.push(false);
        Self {
            types,
            validator,
            sink,
            controls,
            branched,
            dead_depth: 0,
            reachable: true,
            locals,
            scan: None,
            scanned: None,
            loops: 0,
            scan_end: 0,
            body: (body.as_bytes(), body.range().start),
            targets: Vec::new(),
            offset: 0,
            length: 0,
        }
    }

    /// Gives what a sink that looks ahead is told.
    pub(super) fn look_ahead(&mut self, scan: &'a mut Scan) {
        if S::LOOKS_AHEAD {
            self.scan = Some(scan);
        }
    }

    /// Whether the function has not ended yet.
    #[inline(always)]
    pub(super) fn is_open(&self) -> bool {
        !self.controls.is_empty()
    }

    /// Announces an operator to a sink that looks ahead.
    #[inline(always)]
    fn begin(&mut self, immediates: Option<Immediates>) {
        if S::LOOKS_AHEAD {
            match immediates {
                Some(immediates) => self.begin_with_result(immediates),
                None => self.sink.begin(self.offset, Next::Other),
            }
        }
    }

    /// One function for all of them: operators that give a value are many.
    #[inline(never)]
    fn begin_with_result(&mut self, immediates: Immediates) {
        let operators = self.operators_from_here();
        let next = match operators.get(self.length..) {
            Some(&[0x21, local, ..]) if local < 0x80 && self.length > 0 => Next::LocalSet(u32::from(local)),
            Some(&[0x22, local, ..]) if local < 0x80 && self.length > 0 => Next::LocalTee(u32::from(local)),
            Some(&[next, ..]) if !matches!(next, 0x21 | 0x22) && self.length > 0 => Next::Other,
            _ => return self.begin_with_far_result(immediates),
        };
        self.sink.begin(self.offset, next);
    }

    #[cold]
    #[inline(never)]
    fn begin_with_far_result(&mut self, immediates: Immediates) {
        let next = next_after(self.operators_from_here(), immediates);
        self.sink.begin(self.offset, next);
    }

    /// The body's bytes from the operator that is being visited on.
    #[inline(always)]
    fn operators_from_here(&self) -> &'a [u8] {
        let (bytes, start) = self.body;
        let at = usize::try_from(self.offset - start).unwrap_or(usize::MAX);
        bytes.get(at..).unwrap_or_default()
    }

    /// Whether translation has to stop here: because the tier cannot go on, or for [`Visitor::excess`].
    #[inline(always)]
    pub(super) fn is_exhausted(&self) -> bool {
        self.validator.operand_stack_height() > MAX_OPERANDS
            || self.controls.len() > MAX_OPEN
            || self.sink.is_exhausted()
    }

    /// What there is too much of.
    ///
    /// # Errors
    /// [`ModuleError::TooLarge`] where even the validator's own stack grows out of proportion, as it can in dead code, or too
    /// many constructs are open.
    #[cold]
    pub(super) fn excess(&self) -> Result<(), ModuleError> {
        let height = self.validator.operand_stack_height();
        if height > MAX_OPERANDS {
            return Err(ModuleError::TooLarge {
                what: "the operands on a function's stack",
                have: u64::from(height),
                limit: u64::from(MAX_OPERANDS),
            });
        }
        if self.controls.len() > MAX_OPEN {
            return Err(ModuleError::TooLarge {
                what: "the blocks, loops and ifs that are open in a function",
                have: self.controls.len() as u64,
                limit: MAX_OPEN as u64,
            });
        }
        Ok(())
    }

    /// What a construct takes and leaves.
    ///
    /// The validator knows types that are not among ours: with exceptions come references that are never null, or always.
    /// They are refused in dead code too, so that what is taken does not depend on what can be reached.
    fn signature(&self, ty: BlockType) -> Result<BlockSignature<'a>, Box<ModuleError>> {
        let types = self.types;
        Ok(match ty {
            BlockType::Empty => BlockSignature {
                params: &[],
                results: &[],
            },
            BlockType::Type(ty) => BlockSignature {
                params: &[],
                results: ValType::from_wasm(ty)
                    .ok_or_else(|| self.unsupported_type(ty))?
                    .as_slice(),
            },
            BlockType::FuncType(index) => {
                let ty = types.type_at(index);
                BlockSignature {
                    params: ty.params(),
                    results: ty.results(),
                }
            }
        })
    }

    fn open(&mut self, kind: ControlKind, ty: BlockType) -> Outcome {
        let signature = self.signature(ty)?;
        let loop_number = self.loops;
        self.loops += usize::from(kind == ControlKind::Loop);
        if !self.reachable {
            self.dead_depth += 1;
            return Ok(());
        }
        self.begin(None);
        let label = match kind {
            ControlKind::Loop => self.open_loop(signature, loop_number),
            ControlKind::If => self.sink.if_(signature),
            _ => self.sink.block(signature),
        };
        self.enter(kind, signature, label);
        Ok(())
    }

    /// Opens a loop; one that is in no other is scanned first, with all that are in it.
    fn open_loop(&mut self, signature: BlockSignature<'_>, number: usize) -> S::Label {
        let operators = self.operators_from_here();
        let Some(scan) = &mut self.scan else {
            return self.sink.loop_(signature, &LoopHints::default());
        };
        let mut number = number;
        if self.scanned.is_none() {
            // No byte is scanned twice, whatever the scan takes for a loop's end: time stays linear.
            if self.offset < self.scan_end {
                scan.read(&[], self.locals);
            } else {
                self.scan_end = self.offset + scan.read(operators, self.locals) as u64;
            }
            self.scanned = Some(self.controls.len());
            (number, self.loops) = (0, 1);
        }
        self.sink.loop_(signature, &scan.hints(number))
    }

    /// Takes in a construct that the sink has opened.
    fn enter(&mut self, kind: ControlKind, signature: BlockSignature<'_>, label: S::Label) {
        let count = |types: &[ValType]| u32::try_from(types.len()).unwrap_or(u32::MAX);
        self.controls.push(Control {
            kind,
            params: count(signature.params),
            results: count(signature.results),
            label,
        });
        self.branched.push(false);
    }

    fn try_table(&mut self, table: &wasmparser::TryTable) -> Outcome {
        let signature = self.signature(table.ty)?;
        if !self.reachable {
            self.dead_depth += 1;
            return Ok(());
        }
        self.begin(None);
        let types = self.types;
        let clause = |clause: &wasmparser::Catch| {
            let (tag, with_ref, depth) = match *clause {
                wasmparser::Catch::One { tag, label } => (Some(tag), false, label),
                wasmparser::Catch::OneRef { tag, label } => (Some(tag), true, label),
                wasmparser::Catch::All { label } => (None, false, label),
                wasmparser::Catch::AllRef { label } => (None, true, label),
            };
            let payload = tag.map_or(&[][..], |tag| types.tag_type(tag).params());
            Catch {
                tag,
                payload,
                with_ref,
                depth,
            }
        };
        let catches: Vec<_> = table.catches.iter().map(clause).collect();
        for catch in &catches {
            let target = self.index_of(catch.depth);
            self.branched[target] = true;
        }
        let label = self.sink.try_table(&mut self.controls, signature, &catches);
        self.enter(ControlKind::Block, signature, label);
        Ok(())
    }

    fn else_(&mut self) {
        if self.dead_depth > 0 {
            return;
        }
        self.begin(None);
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
        self.begin(None);
        let control = self.controls.pop().expect("validated: an end has its construct");
        let branched = self.branched.pop().expect("as long as controls");
        if self.scanned == Some(self.controls.len()) {
            self.scanned = None;
        }
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
            self.targets.push(target.map_err(invalid)?);
        }
        self.targets.push(table.default());
        for i in 0..self.targets.len() {
            let index = self.index_of(self.targets[i]);
            self.branched[index] = true;
        }
        self.begin(None);
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

    fn vector(&mut self, op: VectorOperator, lane: u8) {
        match op {
            VectorOperator::Unary(op) => self.sink.vector_unary(op),
            VectorOperator::Binary(op) => self.sink.vector_binary(op),
            VectorOperator::Ternary(op) => self.sink.vector_ternary(op),
            VectorOperator::Shift(op) => self.sink.vector_shift(op),
            VectorOperator::Test(op) => self.sink.vector_test(op),
            VectorOperator::Splat(op) => self.sink.splat(op),
            VectorOperator::Extract(op) => self.sink.extract_lane(op, lane),
            VectorOperator::Replace(op) => self.sink.replace_lane(op, lane),
        }
    }

    fn local_type(&self, local: u32) -> ValType {
        self.locals[local as usize]
    }

    #[cold]
    fn unsupported(&self, operator: &str, proposal: &str) -> Box<ModuleError> {
        let message = format!("operator {operator} is of the {proposal} proposal, which is not implemented");
        Box::new(ModuleError::Invalid {
            message,
            offset: self.offset,
        })
    }

    #[cold]
    fn unsupported_type(&self, ty: wasmparser::ValType) -> Box<ModuleError> {
        let message = format!("type {ty} is of a proposal that this engine does not implement");
        Box::new(ModuleError::Invalid {
            message,
            offset: self.offset,
        })
    }
}

#[cold]
fn invalid(error: wasmparser::Error) -> Box<ModuleError> {
    Box::new(ModuleError::invalid(error))
}

/// The type of a null reference.
fn null_type(heap: wasmparser::HeapType) -> ValType {
    match heap {
        wasmparser::HeapType::FUNC => ValType::FuncRef,
        wasmparser::HeapType::Abstract {
            ty: wasmparser::AbstractHeapType::Exn | wasmparser::AbstractHeapType::NoExn,
            ..
        } => ValType::ExnRef,
        // Validated: the level has no others.
        _ => ValType::ExternRef,
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
    ($self:ident, mvp, Block, $v:ident [$ty:ident] $ann:tt) => {{ validate!($self, $v, $ty); $self.open(ControlKind::Block, $ty) }};
    ($self:ident, mvp, Loop, $v:ident [$ty:ident] $ann:tt) => {{ validate!($self, $v, $ty); $self.open(ControlKind::Loop, $ty) }};
    ($self:ident, mvp, If, $v:ident [$ty:ident] $ann:tt) => {{ validate!($self, $v, $ty); $self.open(ControlKind::If, $ty) }};
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

    ($self:ident, mvp, $op:ident, $v:ident [$arg:ident] (arity memarg 1 -> 1)) => { live!($self, $v [$arg], Some(Immediates::Memory), $self.sink.load(LoadOp::$op, memory_access(&$arg))) };
    ($self:ident, mvp, $op:ident, $v:ident [$arg:ident] (arity memarg 2 -> 0)) => { live!($self, $v [$arg], $self.sink.store(StoreOp::$op, memory_access(&$arg))) };
    ($self:ident, mvp, $op:ident, $v:ident [] (arity 1 -> 1)) => { live!($self, $v [], Some(Immediates::None), $self.sink.unary(UnaryOp::$op)) };
    ($self:ident, mvp, $op:ident, $v:ident [] (arity 2 -> 1)) => { live!($self, $v [], Some(Immediates::None), $self.two_operands(TwoOperands::$op)) };
    ($self:ident, sign_extension, $op:ident, $v:ident [] $ann:tt) => { live!($self, $v [], Some(Immediates::None), $self.sink.unary(UnaryOp::$op)) };
    ($self:ident, saturating_float_to_int, $op:ident, $v:ident [] $ann:tt) => { live!($self, $v [], Some(Immediates::None), $self.sink.unary(UnaryOp::$op)) };

    ($self:ident, bulk_memory, MemoryInit, $v:ident [$data:ident, $mem:ident] $ann:tt) => { live!($self, $v [$data, $mem], $self.sink.libcall(Libcall::MemoryInit, [$mem, $data])) };
    ($self:ident, bulk_memory, TableInit, $v:ident [$elem:ident, $table:ident] $ann:tt) => { live!($self, $v [$elem, $table], $self.sink.libcall(Libcall::TableInit, [$table, $elem])) };
    ($self:ident, bulk_memory, $op:ident, $v:ident [$a:ident] $ann:tt) => { live!($self, $v [$a], $self.sink.libcall(Libcall::$op, [$a, 0])) };
    ($self:ident, bulk_memory, $op:ident, $v:ident [$a:ident, $b:ident] $ann:tt) => { live!($self, $v [$a, $b], $self.sink.libcall(Libcall::$op, [$a, $b])) };

    ($self:ident, reference_types, TypedSelect, $v:ident [$ty:ident] $ann:tt) => { live!($self, $v [$ty], $self.sink.select()) };
    ($self:ident, reference_types, RefNull, $v:ident [$heap:ident] $ann:tt) => { live!($self, $v [$heap], {
        $self.sink.constant(null_type($heap), 0);
    }) };
    ($self:ident, reference_types, RefIsNull, $v:ident [] $ann:tt) => { live!($self, $v [], $self.sink.unary(UnaryOp::RefIsNull)) };
    ($self:ident, reference_types, RefFunc, $v:ident [$func:ident] $ann:tt) => { live!($self, $v [$func], $self.sink.libcall(Libcall::RefFunc, [$func, 0])) };
    ($self:ident, reference_types, TypedSelectMulti, $v:ident [$tys:ident] $ann:tt) => {{ let _ = $tys; Err($self.unsupported("TypedSelectMulti", "multi-value select")) }};
    ($self:ident, reference_types, $op:ident, $v:ident [$table:ident] $ann:tt) => { live!($self, $v [$table], $self.sink.libcall(Libcall::$op, [$table, 0])) };

    ($self:ident, tail_call, ReturnCall, $v:ident [$func:ident] $ann:tt) => { live!($self, $v [$func], {
        let types = $self.types;
        $self.sink.return_call($func, types.func_type($func));
        $self.reachable = false;
    }) };
    ($self:ident, tail_call, ReturnCallIndirect, $v:ident [$ty:ident, $table:ident] $ann:tt) => { live!($self, $v [$ty, $table], {
        let types = $self.types;
        $self.sink.return_call_indirect($table, $ty, types.type_at($ty));
        $self.reachable = false;
    }) };

    ($self:ident, exceptions, TryTable, $v:ident [$table:ident] $ann:tt) => {{ validate!($self, $v, $table.clone()); $self.try_table(&$table) }};
    ($self:ident, exceptions, Throw, $v:ident [$tag:ident] $ann:tt) => { live!($self, $v [$tag], {
        let types = $self.types;
        $self.sink.throw($tag, types.tag_type($tag));
        $self.reachable = false;
    }) };
    ($self:ident, exceptions, ThrowRef, $v:ident [] $ann:tt) => { live!($self, $v [], { $self.sink.throw_ref(); $self.reachable = false; }) };

    ($self:ident, simd, V128Const, $v:ident [$value:ident] $ann:tt) => { live!($self, $v [$value], $self.sink.vector_constant($value.i128().cast_unsigned())) };
    ($self:ident, simd, I8x16Shuffle, $v:ident [$lanes:ident] $ann:tt) => { live!($self, $v [$lanes], $self.sink.shuffle($lanes)) };
    ($self:ident, simd, V128Store, $v:ident [$arg:ident] $ann:tt) => { live!($self, $v [$arg], $self.sink.vector_store(memory_access(&$arg))) };
    ($self:ident, simd, $op:ident, $v:ident [$arg:ident] (arity memarg 1 -> 1)) => { live!($self, $v [$arg], Some(Immediates::Memory), $self.sink.vector_load(VectorLoadOp::$op, memory_access(&$arg))) };
    ($self:ident, simd, V128Load8Lane, $v:ident [$arg:ident, $lane:ident] $ann:tt) => { live!($self, $v [$arg, $lane], $self.sink.load_lane(LaneWidth::Bits8, memory_access(&$arg), $lane)) };
    ($self:ident, simd, V128Load16Lane, $v:ident [$arg:ident, $lane:ident] $ann:tt) => { live!($self, $v [$arg, $lane], $self.sink.load_lane(LaneWidth::Bits16, memory_access(&$arg), $lane)) };
    ($self:ident, simd, V128Load32Lane, $v:ident [$arg:ident, $lane:ident] $ann:tt) => { live!($self, $v [$arg, $lane], $self.sink.load_lane(LaneWidth::Bits32, memory_access(&$arg), $lane)) };
    ($self:ident, simd, V128Load64Lane, $v:ident [$arg:ident, $lane:ident] $ann:tt) => { live!($self, $v [$arg, $lane], $self.sink.load_lane(LaneWidth::Bits64, memory_access(&$arg), $lane)) };
    ($self:ident, simd, V128Store8Lane, $v:ident [$arg:ident, $lane:ident] $ann:tt) => { live!($self, $v [$arg, $lane], $self.sink.store_lane(LaneWidth::Bits8, memory_access(&$arg), $lane)) };
    ($self:ident, simd, V128Store16Lane, $v:ident [$arg:ident, $lane:ident] $ann:tt) => { live!($self, $v [$arg, $lane], $self.sink.store_lane(LaneWidth::Bits16, memory_access(&$arg), $lane)) };
    ($self:ident, simd, V128Store32Lane, $v:ident [$arg:ident, $lane:ident] $ann:tt) => { live!($self, $v [$arg, $lane], $self.sink.store_lane(LaneWidth::Bits32, memory_access(&$arg), $lane)) };
    ($self:ident, simd, V128Store64Lane, $v:ident [$arg:ident, $lane:ident] $ann:tt) => { live!($self, $v [$arg, $lane], $self.sink.store_lane(LaneWidth::Bits64, memory_access(&$arg), $lane)) };
    ($self:ident, simd, $op:ident, $v:ident [$lane:ident] $ann:tt) => { live!($self, $v [$lane], $self.vector(VectorOperator::$op, $lane)) };
    ($self:ident, simd, $op:ident, $v:ident [] $ann:tt) => { live!($self, $v [], Some(Immediates::None), $self.vector(VectorOperator::$op, 0)) };
    ($self:ident, relaxed_simd, $op:ident, $v:ident [] $ann:tt) => { live!($self, $v [], Some(Immediates::None), $self.vector(relaxed::$op, 0)) };

    ($self:ident, $proposal:ident, $op:ident, $v:ident [$($arg:ident),*] $ann:tt) => {{
        $( let _ = $arg; )*
        Err($self.unsupported(stringify!($op), stringify!($proposal)))
    }};
}

macro_rules! validate {
    ($self:ident, $visit:ident $(, $arg:expr)*) => {
        $self.validator.simd_visitor($self.offset).$visit($($arg),*).map_err(invalid)?
    };
}

macro_rules! live {
    ($self:ident, $visit:ident [$($arg:ident),*], $rule:expr) => { live!($self, $visit [$($arg),*], None, $rule) };
    ($self:ident, $visit:ident [$($arg:ident),*], $immediates:expr, $rule:expr) => {{
        validate!($self, $visit $(, $arg)*);
        if $self.reachable {
            $self.begin($immediates);
            $rule;
        }
        Ok(())
    }};
}

impl<S: Sink> FrameStack for Visitor<'_, S> {
    fn current_frame(&self) -> Option<FrameKind> {
        self.validator.get_control_frame(0).map(|frame| frame.kind)
    }
}

impl<'a, S: Sink> VisitOperator<'a> for Visitor<'_, S> {
    type Output = Outcome;

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = Outcome>> {
        Some(self)
    }

    wasmparser::for_each_visit_operator!(visit);
}

impl<'a, S: Sink> VisitSimdOperator<'a> for Visitor<'_, S> {
    wasmparser::for_each_visit_simd_operator!(visit);
}

/// What each relaxed operator means in the deterministic profile (specification 3.0, appendix "Profiles").
#[expect(
    non_upper_case_globals,
    reason = "the constants carry the operators' own names"
)]
mod relaxed {
    use crate::operator::VectorOperator as V;

    pub(super) const I8x16RelaxedSwizzle: V = V::I8x16Swizzle;
    pub(super) const I32x4RelaxedTruncF32x4S: V = V::I32x4TruncSatF32x4S;
    pub(super) const I32x4RelaxedTruncF32x4U: V = V::I32x4TruncSatF32x4U;
    pub(super) const I32x4RelaxedTruncF64x2SZero: V = V::I32x4TruncSatF64x2SZero;
    pub(super) const I32x4RelaxedTruncF64x2UZero: V = V::I32x4TruncSatF64x2UZero;
    pub(super) const F32x4RelaxedMadd: V = V::F32x4RelaxedMadd;
    pub(super) const F32x4RelaxedNmadd: V = V::F32x4RelaxedNmadd;
    pub(super) const F64x2RelaxedMadd: V = V::F64x2RelaxedMadd;
    pub(super) const F64x2RelaxedNmadd: V = V::F64x2RelaxedNmadd;
    pub(super) const I8x16RelaxedLaneselect: V = V::V128Bitselect;
    pub(super) const I16x8RelaxedLaneselect: V = V::V128Bitselect;
    pub(super) const I32x4RelaxedLaneselect: V = V::V128Bitselect;
    pub(super) const I64x2RelaxedLaneselect: V = V::V128Bitselect;
    pub(super) const F32x4RelaxedMin: V = V::F32x4Min;
    pub(super) const F32x4RelaxedMax: V = V::F32x4Max;
    pub(super) const F64x2RelaxedMin: V = V::F64x2Min;
    pub(super) const F64x2RelaxedMax: V = V::F64x2Max;
    pub(super) const I16x8RelaxedQ15mulrS: V = V::I16x8Q15MulrSatS;
    pub(super) const I16x8RelaxedDotI8x16I7x16S: V = V::I16x8RelaxedDotI8x16I7x16S;
    pub(super) const I32x4RelaxedDotI8x16I7x16AddS: V = V::I32x4RelaxedDotI8x16I7x16AddS;
}
