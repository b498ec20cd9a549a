//! From a program's tree to the bytes of a module.

use super::operators::Ty;
use super::tree::{Arm, Expr, Func, Label, Loop, Many, Place, Program, Shape, Stmt, Try};
use std::borrow::Cow;
use std::collections::HashMap;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, ElementSection, Elements, ExportKind, ExportSection,
    Function, FunctionSection, GlobalSection, GlobalType, Instruction, MemArg, MemorySection, MemoryType,
    Module, RefType, TableSection, TableType, TagKind, TagSection, TagType, TypeSection, ValType,
};

/// Pages that a memory starts with and may grow to.
const PAGES: (u64, u64) = (1, 3);

type Signature = (Vec<Ty>, Vec<Ty>);

/// The types of a module, each once.
#[derive(Default)]
struct Types {
    section: TypeSection,
    numbers: HashMap<(Vec<ValType>, Vec<ValType>), u32>,
}

impl Types {
    fn number(&mut self, (params, results): &Signature) -> u32 {
        let encoded = |types: &[Ty]| types.iter().map(|ty| ty.encoded()).collect();
        self.func(encoded(params), encoded(results))
    }

    /// That of a block which takes nothing.
    fn block(&mut self, results: Vec<ValType>) -> BlockType {
        match results[..] {
            [] => BlockType::Empty,
            [result] => BlockType::Result(result),
            _ => BlockType::FunctionType(self.func(Vec::new(), results)),
        }
    }

    fn func(&mut self, params: Vec<ValType>, results: Vec<ValType>) -> u32 {
        let next = self.numbers.len() as u32;
        let key = (params.clone(), results.clone());
        *self.numbers.entry(key).or_insert_with(|| {
            self.section.ty().function(params, results);
            next
        })
    }
}

/// The bytes of a program.
pub(crate) fn encode(program: &Program) -> Vec<u8> {
    let mut types = Types::default();
    let mut functions = FunctionSection::new();
    let mut exports = ExportSection::new();
    let mut codes = CodeSection::new();
    for (index, func) in program.funcs.iter().enumerate() {
        functions.function(types.number(&(func.params.clone(), func.results.clone())));
        exports.export(&format!("f{index}"), ExportKind::Func, index as u32);
        codes.function(&Encoder::function(program, func, &mut types));
    }
    let count = program.funcs.len() as u64;
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: count + 1,
        maximum: Some(count + 1),
        shared: false,
    });
    let memories = memories(program, &mut exports);
    let mut tags = TagSection::new();
    for payload in &program.tags {
        tags.tag(TagType {
            kind: TagKind::Exception,
            func_type_idx: types.number(&(payload.clone(), Vec::new())),
        });
    }
    let mut globals = GlobalSection::new();
    for (index, &(ty, bits)) in program.globals.iter().enumerate() {
        let ty = GlobalType {
            val_type: ty.encoded(),
            mutable: true,
            shared: false,
        };
        globals.global(
            ty,
            &ConstExpr::extended([constant(program.globals[index].0, bits)]),
        );
        exports.export(&format!("g{index}"), ExportKind::Global, index as u32);
    }
    let mut elements = ElementSection::new();
    let all: Vec<u32> = (0..count as u32).collect();
    elements.active(
        None,
        &ConstExpr::i32_const(0),
        Elements::Functions(Cow::Borrowed(&all)),
    );
    let mut module = Module::new();
    module
        .section(&types.section)
        .section(&functions)
        .section(&tables)
        .section(&memories);
    if !program.tags.is_empty() {
        module.section(&tags);
    }
    module
        .section(&globals)
        .section(&exports)
        .section(&elements)
        .section(&codes)
        .section(&data(program));
    module.finish()
}

fn memories(program: &Program, exports: &mut ExportSection) -> MemorySection {
    let mut memories = MemorySection::new();
    for (index, &memory64) in program.memories.iter().enumerate() {
        memories.memory(MemoryType {
            minimum: PAGES.0,
            maximum: Some(PAGES.1),
            memory64,
            shared: false,
            page_size_log2: None,
        });
        exports.export(&format!("m{index}"), ExportKind::Memory, index as u32);
    }
    memories
}

/// The same bytes at the beginning of each memory.
fn data(program: &Program) -> DataSection {
    let mut data = DataSection::new();
    for (index, &wide) in program.memories.iter().enumerate() {
        let offset = if wide {
            ConstExpr::i64_const(0)
        } else {
            ConstExpr::i32_const(0)
        };
        data.active(index as u32, &offset, program.data.iter().copied());
    }
    data
}

fn constant(ty: Ty, bits: u128) -> Instruction<'static> {
    match ty {
        Ty::I32 => Instruction::I32Const(bits as i32),
        Ty::I64 => Instruction::I64Const(bits as i64),
        Ty::F32 => Instruction::F32Const(wasm_encoder::Ieee32::new(bits as u32)),
        Ty::F64 => Instruction::F64Const(wasm_encoder::Ieee64::new(bits as u64)),
        Ty::V128 => Instruction::V128Const(bits as i128),
    }
}

/// The scratch local that keeps a caught exception; there is one only where there are tags.
const CAUGHT: u32 = 3;

/// One function on its way.
struct Encoder<'p> {
    program: &'p Program,
    types: &'p mut Types,
    code: Function,
    /// Constructs that are open, with their labels where they have one.
    labels: Vec<Option<Label>>,
    /// The first of the locals that the program does not know of: those in which NaNs are made one, and [`CAUGHT`].
    scratch: u32,
}

impl<'p> Encoder<'p> {
    fn function(program: &'p Program, func: &Func, types: &'p mut Types) -> Function {
        let declared = func.locals[func.params.len()..].iter().map(|ty| ty.encoded());
        let floats = [Ty::F32, Ty::F64, Ty::V128].map(Ty::encoded);
        let caught = (!program.tags.is_empty()).then_some(ValType::EXNREF);
        let scratch = floats.into_iter().chain(caught);
        let mut encoder = Encoder {
            program,
            types,
            code: Function::new_with_locals_types(declared.chain(scratch)),
            labels: Vec::new(),
            scratch: func.locals.len() as u32,
        };
        encoder.stmts(&func.body);
        encoder.exprs(&func.values);
        encoder.put(&Instruction::End);
        encoder.code
    }

    fn put(&mut self, instruction: &Instruction<'_>) {
        self.code.instruction(instruction);
    }

    fn open(&mut self, instruction: &Instruction<'_>, label: Option<Label>) {
        self.put(instruction);
        self.labels.push(label);
    }

    fn close(&mut self) {
        self.labels.pop();
        self.put(&Instruction::End);
    }

    fn depth(&self, label: Label) -> Option<u32> {
        let depth = self.labels.iter().rev().position(|&open| open == Some(label));
        depth.map(|depth| depth as u32)
    }

    fn exprs(&mut self, exprs: &[Expr]) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn arm(&mut self, arm: &Arm) {
        self.stmts(&arm.body);
        self.expr(&arm.value);
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Const(ty, bits) => self.put(&constant(*ty, *bits)),
            Expr::Get(_, local) => self.put(&Instruction::LocalGet(*local)),
            Expr::Tee(_, local, value) => {
                self.expr(value);
                self.put(&Instruction::LocalTee(*local));
            }
            Expr::Global(_, global) => self.put(&Instruction::GlobalGet(*global)),
            Expr::Op(op, operands) => {
                self.exprs(operands);
                self.put(&op.instruction);
            }
            Expr::Shuffle(lanes, operands) => {
                self.exprs(&**operands);
                self.put(&Instruction::I8x16Shuffle(*lanes));
            }
            Expr::Load(access, place, address) => {
                self.expr(address);
                self.put(&(access.make)(memarg(*place)));
            }
            Expr::LoadLane(access, lane, place, operands) => {
                self.exprs(&**operands);
                self.put(&(access.make)(memarg(*place), *lane));
            }
            Expr::Select(_, operands) => {
                self.exprs(&**operands);
                self.put(&Instruction::Select);
            }
            Expr::Canon(ty, lanes, value) => self.canon(*ty, *lanes, value),
            Expr::If(ty, condition, arms) => {
                self.expr(condition);
                self.open(&Instruction::If(BlockType::Result(ty.encoded())), None);
                self.arm(&arms[0]);
                self.put(&Instruction::Else);
                self.arm(&arms[1]);
                self.close();
            }
            Expr::Block(ty, label, arm) => {
                self.open(&Instruction::Block(BlockType::Result(ty.encoded())), Some(*label));
                self.arm(arm);
                self.close();
            }
            Expr::Call(_, func, arguments) => {
                self.exprs(arguments);
                self.put(&Instruction::Call(*func));
            }
            Expr::CallIndirect(_, func, arguments, index) => {
                self.exprs(arguments);
                self.expr(index);
                let type_index = self.type_of(*func);
                self.put(&Instruction::CallIndirect {
                    type_index,
                    table_index: 0,
                });
            }
            Expr::MemorySize(_, memory) => self.put(&Instruction::MemorySize(*memory)),
            Expr::MemoryGrow(_, memory, pages) => {
                self.expr(pages);
                self.put(&Instruction::MemoryGrow(*memory));
            }
        }
    }

    /// A value that is not equal to itself is a NaN.
    fn canon(&mut self, ty: Ty, lanes: Ty, value: &Expr) {
        use Instruction::{F32Eq, F32x4Eq, F64Eq, F64x2Eq, LocalGet, LocalTee, Select, V128Bitselect};
        const NAN32: u128 = 0x7fc0_0000;
        const NAN64: u128 = 0x7ff8_0000_0000_0000;
        let (local, nan, compare, choose) = match (ty, lanes) {
            (Ty::F32, _) => (0, NAN32, F32Eq, Select),
            (Ty::F64, _) => (1, NAN64, F64Eq, Select),
            (_, Ty::F32) => (
                2,
                NAN32 << 96 | NAN32 << 64 | NAN32 << 32 | NAN32,
                F32x4Eq,
                V128Bitselect,
            ),
            _ => (2, NAN64 << 64 | NAN64, F64x2Eq, V128Bitselect),
        };
        let local = self.scratch + local;
        self.expr(value);
        for instruction in [
            LocalTee(local),
            constant(ty, nan),
            LocalGet(local),
            LocalGet(local),
            compare,
            choose,
        ] {
            self.put(&instruction);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Set(local, value) => {
                self.expr(value);
                self.put(&Instruction::LocalSet(*local));
            }
            Stmt::GlobalSet(global, value) => {
                self.expr(value);
                self.put(&Instruction::GlobalSet(*global));
            }
            Stmt::Store(access, place, operands) => {
                self.exprs(operands);
                self.put(&(access.make)(memarg(*place)));
            }
            Stmt::StoreLane(access, lane, place, operands) => {
                self.exprs(operands);
                self.put(&(access.make)(memarg(*place), *lane));
            }
            Stmt::Drop(value) => {
                self.expr(value);
                self.put(&Instruction::Drop);
            }
            Stmt::Call(func, arguments, into) => {
                self.exprs(arguments);
                self.put(&Instruction::Call(*func));
                self.set_all(into);
            }
            Stmt::Fill(mem, operands) => {
                self.exprs(&**operands);
                self.put(&Instruction::MemoryFill(*mem));
            }
            Stmt::Copy([dst_mem, src_mem], operands) => {
                self.exprs(&**operands);
                self.put(&Instruction::MemoryCopy {
                    src_mem: *src_mem,
                    dst_mem: *dst_mem,
                });
            }
            Stmt::If(..) | Stmt::Block(..) | Stmt::Loop(_) | Stmt::Many(_) | Stmt::Try(_) => {
                self.construct(stmt);
            }
            _ => self.branch(stmt),
        }
    }

    fn construct(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::If(condition, then, otherwise) => {
                self.expr(condition);
                self.open(&Instruction::If(BlockType::Empty), None);
                self.stmts(then);
                if !otherwise.is_empty() {
                    self.put(&Instruction::Else);
                    self.stmts(otherwise);
                }
                self.close();
            }
            Stmt::Block(label, body) => {
                self.open(&Instruction::Block(BlockType::Empty), Some(*label));
                self.stmts(body);
                self.close();
            }
            Stmt::Loop(turn) => self.turns(turn),
            Stmt::Many(many) => self.many(many),
            Stmt::Try(attempt) => self.attempt(attempt),
            _ => unreachable!("the constructs are those above"),
        }
    }

    /// Branches, and other ways to leave; a branch whose target is gone only evaluates its operands.
    fn branch(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Br(label, values) => {
                if let Some(depth) = self.depth(*label) {
                    self.exprs(values);
                    self.put(&Instruction::Br(depth));
                }
            }
            Stmt::BrIf(label, values, condition) => {
                self.exprs(values);
                self.expr(condition);
                let depth = self.depth(*label);
                self.put(&depth.map_or(Instruction::Drop, Instruction::BrIf));
                self.drop_all(values);
            }
            Stmt::BrTable(labels, values, index) => {
                self.exprs(values);
                self.expr(index);
                let mut depths: Vec<u32> = labels.iter().filter_map(|&label| self.depth(label)).collect();
                match depths.pop() {
                    Some(last) => self.put(&Instruction::BrTable(depths.into(), last)),
                    None => {
                        self.put(&Instruction::Drop);
                        self.drop_all(values);
                    }
                }
            }
            Stmt::Return(values) => {
                self.exprs(values);
                self.put(&Instruction::Return);
            }
            Stmt::ReturnCall(func, arguments, None) => {
                self.exprs(arguments);
                self.put(&Instruction::ReturnCall(*func));
            }
            Stmt::ReturnCall(func, arguments, Some(index)) => {
                self.exprs(arguments);
                self.expr(index);
                let type_index = self.type_of(*func);
                self.put(&Instruction::ReturnCallIndirect {
                    type_index,
                    table_index: 0,
                });
            }
            Stmt::Throw(tag, values) => {
                self.exprs(values);
                self.put(&Instruction::Throw(*tag));
            }
            Stmt::ThrowRef => {
                self.put(&Instruction::LocalGet(self.scratch + CAUGHT));
                self.put(&Instruction::ThrowRef);
            }
            _ => self.put(&Instruction::Unreachable),
        }
    }

    fn drop_all(&mut self, values: &[Expr]) {
        for _ in values {
            self.put(&Instruction::Drop);
        }
    }

    fn type_of(&mut self, func: u32) -> u32 {
        let callee = &self.program.funcs[func as usize];
        self.types
            .number(&(callee.params.clone(), callee.results.clone()))
    }

    /// A block for each clause around the statements, in which the clause's exception arrives, and one around all.
    ///
    /// ```text
    /// block  block (result ..)  block (result ..)  try_table (catch .. 0) (catch .. 1)  ...  end  br 2
    ///   end  first handler  br 1  end  second handler  end
    /// ```
    fn attempt(&mut self, attempt: &Try) {
        self.open(&Instruction::Block(BlockType::Empty), None);
        for catch in attempt.catches.iter().rev() {
            let payload = catch.tag.map_or(&[][..], |tag| &self.program.tags[tag as usize]);
            let mut results: Vec<ValType> = payload.iter().map(|ty| ty.encoded()).collect();
            results.extend(catch.reference.then_some(ValType::EXNREF));
            let ty = self.types.block(results);
            self.open(&Instruction::Block(ty), None);
        }
        let clauses = attempt.catches.iter().zip(0..).map(|(catch, label)| {
            use wasm_encoder::Catch as Clause;
            match (catch.tag, catch.reference) {
                (Some(tag), false) => Clause::One { tag, label },
                (Some(tag), true) => Clause::OneRef { tag, label },
                (None, false) => Clause::All { label },
                (None, true) => Clause::AllRef { label },
            }
        });
        let clauses = clauses.collect();
        self.open(
            &Instruction::TryTable(BlockType::Empty, clauses),
            Some(attempt.label),
        );
        self.stmts(&attempt.body);
        self.close();
        for (catch, outside) in attempt
            .catches
            .iter()
            .zip((0..attempt.catches.len() as u32).rev())
        {
            self.put(&Instruction::Br(outside + 1));
            self.close();
            if catch.reference {
                self.put(&Instruction::LocalSet(self.scratch + CAUGHT));
            }
            self.set_all(&catch.into);
            self.stmts(&catch.handler);
        }
        self.close();
    }

    /// Takes one off a counter, which stays on the stack.
    fn count_down(&mut self, counter: u32) {
        self.put(&Instruction::LocalGet(counter));
        self.put(&Instruction::I32Const(1));
        self.put(&Instruction::I32Sub);
        self.put(&Instruction::LocalTee(counter));
    }

    fn turns(&mut self, turn: &Loop) {
        self.put(&Instruction::I32Const(turn.trips as i32));
        self.put(&Instruction::LocalSet(turn.counter));
        let empty = BlockType::Empty;
        let Some((next, end)) = turn.labels else {
            self.open(&Instruction::Loop(empty), None);
            self.stmts(&turn.body);
            self.count_down(turn.counter);
            self.put(&Instruction::BrIf(0));
            return self.close();
        };
        self.open(&Instruction::Block(empty), Some(end));
        self.open(&Instruction::Loop(empty), Some(next));
        self.put(&Instruction::LocalGet(turn.counter));
        self.put(&Instruction::I32Eqz);
        self.put(&Instruction::BrIf(1));
        self.count_down(turn.counter);
        self.put(&Instruction::Drop);
        self.stmts(&turn.body);
        self.put(&Instruction::Br(0));
        self.close();
        self.close();
    }

    fn many(&mut self, many: &Many) {
        if let Shape::Loop(counter, trips) = many.shape {
            self.put(&Instruction::I32Const(trips as i32));
            self.put(&Instruction::LocalSet(counter));
        }
        self.exprs(&many.inputs);
        let number = self.types.number(&(many.types.clone(), many.types.clone()));
        let ty = BlockType::FunctionType(number);
        match &many.shape {
            Shape::Block => self.open(&Instruction::Block(ty), Some(many.label)),
            Shape::If(condition) => {
                self.expr(condition);
                self.open(&Instruction::If(ty), Some(many.label));
            }
            Shape::Loop(..) => self.open(&Instruction::Loop(ty), None),
        }
        self.set_all(&many.into);
        self.stmts(&many.body);
        self.exprs(&many.outputs);
        if let Shape::Loop(counter, _) = many.shape {
            self.count_down(counter);
            self.put(&Instruction::BrIf(0));
        } else if let Some(condition) = &many.leave {
            self.expr(condition);
            self.put(&Instruction::BrIf(0));
        }
        // The other arm passes its parameters on.
        self.close();
        self.set_all(&many.results);
    }

    fn set_all(&mut self, locals: &[u32]) {
        for local in locals.iter().rev() {
            self.put(&Instruction::LocalSet(*local));
        }
    }
}

fn memarg(place: Place) -> MemArg {
    MemArg {
        offset: place.offset,
        align: place.align,
        target: wasm_encoder::MemArgTarget::Memory(place.memory),
        ordering: None,
    }
}
