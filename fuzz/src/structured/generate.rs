//! From a seed to a program.
//!
//! What a program does is bounded while it is made: loops count down, functions call only what was made before them, and a
//! function's cost, with all that it calls as often as it does, stays below a limit. Each seed draws its own mixture first
//! (A. Groce et al., "Swarm testing", ISSTA 2012): programs of integers alone, of one loop with forty locals, of calls with
//! twenty arguments are all rare where every choice is uniform, and each finds what the others do not.

use super::operators::{LANE_LOADS, LANE_STORES, LOADS, OPERATORS, Operator, STORES, Trait, Ty};
use super::tree::{Arm, Expr, Func, Label, Loop, Many, Place, Program, Shape, Stmt};
use crate::random::Random;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a program is allowed to use.
#[derive(Debug, Clone, Copy)]
pub struct Features {
    /// Vectors.
    pub vectors: bool,
    /// Tail calls.
    pub tail_calls: bool,
    /// A second memory.
    pub memories: bool,
}

/// Nodes that a function's run may take.
const MOST_COST: u64 = 60_000;

/// The mixture of a program: percentages, and bounds.
struct Mixture {
    types: Vec<Ty>,
    most_params: usize,
    most_locals: usize,
    /// Nodes per function.
    nodes: i64,
    depth: usize,
    constants: usize,
    memory: usize,
    calls: usize,
    control: usize,
    traps: usize,
    /// Locals that are used most.
    hot: usize,
    trips: usize,
    memories: u32,
    tail_calls: bool,
}

impl Mixture {
    fn draw(random: &mut Random, features: Features) -> Self {
        let mut types = vec![Ty::I32];
        for ty in [Ty::I32, Ty::I64, Ty::F32, Ty::F64, Ty::V128] {
            if random.chance(55) && (ty != Ty::V128 || features.vectors) {
                types.push(ty);
            }
        }
        Self {
            types,
            most_params: *random.pick(&[0, 2, 4, 8, 8, 20]),
            most_locals: *random.pick(&[0, 2, 5, 10, 20, 50]),
            nodes: *random.pick(&[20, 60, 150, 300, 700]),
            depth: *random.pick(&[2, 4, 6, 12, 20]),
            constants: *random.pick(&[5, 20, 50]),
            memory: *random.pick(&[0, 10, 30]),
            calls: *random.pick(&[0, 3, 10, 20]),
            control: *random.pick(&[0, 10, 20, 40]),
            traps: *random.pick(&[0, 0, 0, 1, 3]),
            hot: *random.pick(&[1, 3, 6, 30]),
            trips: *random.pick(&[2, 4, 10]),
            memories: if features.memories && random.chance(30) {
                2
            } else {
                1
            },
            tail_calls: features.tail_calls,
        }
    }
}

/// What is known of a function that was made.
struct Made {
    params: Vec<Ty>,
    results: Vec<Ty>,
    cost: u64,
}

/// The program of a seed.
pub(crate) fn program(random: &mut Random, features: Features) -> Program {
    let mixture = Mixture::draw(random, features);
    let mut globals = Vec::new();
    for _ in 0..2 + random.below(6) {
        let ty = *random.pick(&mixture.types);
        globals.push((ty, constant(random, ty)));
    }
    let data = (0..1024)
        .map(|_| random.bits() as u8 & random.bits() as u8)
        .collect();
    let mut program = Program {
        funcs: Vec::new(),
        globals,
        memories: mixture.memories,
        data,
    };
    let mut made = Vec::new();
    for _ in 0..1 + random.below(6) {
        let generator = Generator::new(random, &mixture, &made, &program.globals);
        let (func, cost) = generator.function();
        made.push(Made {
            params: func.params.clone(),
            results: func.results.clone(),
            cost,
        });
        program.funcs.push(func);
    }
    program
}

/// Bits of a constant: small, an edge, or anything.
pub(crate) fn constant(random: &mut Random, ty: Ty) -> u128 {
    const FLOATS: [f64; 14] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        2.0,
        3.75,
        -1e10,
        2147483648.0,
        4294967296.0,
        9.3e18,
        f64::INFINITY,
        f64::NAN,
        1e-310,
    ];
    let integer = |random: &mut Random| match random.below(8) {
        0..3 => random.below(20) as u64,
        3 => (random.below(20) as u64).wrapping_neg(),
        4 => 1 << random.below(64),
        5 => (1_u64 << random.below(64)).wrapping_sub(1 + random.below(2) as u64),
        6 => random.bits() as i32 as u64,
        _ => random.bits(),
    };
    match ty {
        Ty::I32 => u128::from(integer(random) as u32),
        Ty::I64 => u128::from(integer(random)),
        Ty::F32 => u128::from((*random.pick(&FLOATS) as f32).to_bits()),
        Ty::F64 => u128::from(random.pick(&FLOATS).to_bits()),
        Ty::V128 if random.chance(30) => 0,
        Ty::V128 if random.chance(30) => {
            let one = (*random.pick(&FLOATS) as f32).to_bits();
            u128::from(one) * 0x0000_0001_0000_0001_0000_0001_0000_0001
        }
        Ty::V128 => u128::from(integer(random)) << 64 | u128::from(integer(random)),
    }
}

/// A label that is open, and the type of the value that it takes.
#[derive(Clone, Copy)]
struct Open {
    label: Label,
    ty: Option<Ty>,
}

struct Generator<'g> {
    random: &'g mut Random,
    mixture: &'g Mixture,
    made: &'g [Made],
    globals: &'g [(Ty, u128)],
    locals: Vec<Ty>,
    results: Vec<Ty>,
    /// Locals that count loops: read, and never written.
    counters: Vec<u32>,
    labels: Vec<Open>,
    next_label: Label,
    /// Nodes that are left.
    nodes: i64,
    /// How often what is made now runs.
    turns: u64,
    cost: u64,
}

impl<'g> Generator<'g> {
    fn new(
        random: &'g mut Random,
        mixture: &'g Mixture,
        made: &'g [Made],
        globals: &'g [(Ty, u128)],
    ) -> Self {
        let nodes = mixture.nodes;
        Self {
            random,
            mixture,
            made,
            globals,
            locals: Vec::new(),
            results: Vec::new(),
            counters: Vec::new(),
            labels: Vec::new(),
            next_label: 0,
            nodes,
            turns: 1,
            cost: 0,
        }
    }

    fn function(mut self) -> (Func, u64) {
        let params = self.types(self.mixture.most_params);
        let most_results = *self.random.pick(&[1, 1, 1, 3, 10]);
        self.results = self.types(most_results);
        // Often of a type that another has: for indirect calls.
        let (params, results) = match self.made.last() {
            Some(last) if self.random.chance(30) => (last.params.clone(), last.results.clone()),
            _ => (params, self.results.clone()),
        };
        self.results.clone_from(&results);
        self.locals = params.clone();
        let more = self.types(self.mixture.most_locals);
        self.locals.extend(more);
        let mut body = Vec::new();
        while self.nodes > 0 {
            body.push(self.stmt());
        }
        self.nodes = 20;
        let values = self.exprs(&results, 3);
        let func = Func {
            params,
            results,
            locals: self.locals,
            body,
            values,
        };
        (func, self.cost + 1)
    }

    fn types(&mut self, most: usize) -> Vec<Ty> {
        let count = self.random.below(most + 1);
        (0..count)
            .map(|_| *self.random.pick(&self.mixture.types))
            .collect()
    }

    fn spend(&mut self) {
        self.nodes -= 1;
        self.cost += self.turns;
    }

    fn label(&mut self) -> Label {
        self.next_label += 1;
        self.next_label
    }

    fn counter(&mut self) -> u32 {
        self.locals.push(Ty::I32);
        let counter = self.locals.len() as u32 - 1;
        self.counters.push(counter);
        counter
    }

    /// A local of the type, most often one of the few hot ones.
    fn local(&mut self, ty: Ty, written: bool) -> Option<u32> {
        let of_type = |(_, other): &(usize, &Ty)| **other == ty;
        let mut all: Vec<u32> = self
            .locals
            .iter()
            .enumerate()
            .filter(of_type)
            .map(|(index, _)| index as u32)
            .collect();
        if written {
            all.retain(|local| !self.counters.contains(local));
        }
        let among = if self.random.chance(80) {
            all.len().min(self.mixture.hot)
        } else {
            all.len()
        };
        (among > 0).then(|| all[self.random.below(among)])
    }

    /// The same, made where there is none.
    fn target(&mut self, ty: Ty) -> u32 {
        self.local(ty, true).unwrap_or_else(|| {
            self.locals.push(ty);
            self.locals.len() as u32 - 1
        })
    }

    // --- Expressions ---------------------------------------------------------------------------------------------

    fn exprs(&mut self, types: &[Ty], depth: usize) -> Vec<Expr> {
        types.iter().map(|&ty| self.expr(ty, depth)).collect()
    }

    fn any(&mut self, ty: Ty) -> Expr {
        let depth = 1 + self.random.below(self.mixture.depth);
        self.expr(ty, depth)
    }

    fn leaf(&mut self, ty: Ty) -> Expr {
        if !self.random.chance(self.mixture.constants) {
            if self.random.chance(85)
                && let Some(local) = self.local(ty, false)
            {
                return Expr::Get(ty, local);
            }
            let of_type: Vec<u32> = (0..self.globals.len() as u32)
                .filter(|&global| self.globals[global as usize].0 == ty)
                .collect();
            if !of_type.is_empty() {
                return Expr::Global(ty, *self.random.pick(&of_type));
            }
        }
        Expr::Const(ty, constant(self.random, ty))
    }

    fn expr(&mut self, ty: Ty, depth: usize) -> Expr {
        self.spend();
        if depth == 0 || self.nodes <= 0 || self.random.chance(10) {
            return self.leaf(ty);
        }
        let mixture = self.mixture;
        if self.random.chance(mixture.memory)
            && let Some(load) = self.load(ty, depth)
        {
            return load;
        }
        if self.random.chance(mixture.calls)
            && let Some(call) = self.call(ty, depth)
        {
            return call;
        }
        if self.random.chance(mixture.control / 2) {
            return self.control(ty, depth);
        }
        match self.random.below(20) {
            0..2 => {
                let local = self.target(ty);
                Expr::Tee(ty, local, Box::new(self.expr(ty, depth - 1)))
            }
            2..4 => {
                let operands = [ty, ty, Ty::I32].map(|ty| self.expr(ty, depth - 1));
                Expr::Select(ty, Box::new(operands))
            }
            _ => self.operator(ty, depth),
        }
    }

    fn operator(&mut self, ty: Ty, depth: usize) -> Expr {
        let traps = self.random.chance(self.mixture.traps);
        let op = loop {
            let op: &'static Operator = self.random.pick(&OPERATORS);
            let allowed = op.params.iter().all(|param| self.mixture.types.contains(param));
            if op.result == ty && (op.kind != Trait::Traps || traps) {
                // Operands of a type that this program does not use are rare, but every type has to come from somewhere.
                if allowed || self.random.chance(5) && (op.params.iter().all(|&param| param != Ty::V128)) {
                    break op;
                }
            }
        };
        let mut operands = self.exprs(op.params, depth - 1);
        if op.kind == Trait::Divides && !traps {
            let divisor = operands.pop().expect("a division has a divisor");
            operands.push(nonzero(divisor));
        }
        let shows = matches!(op.kind, Trait::Shows);
        for (operand, ty) in operands.iter_mut().zip(op.params) {
            if shows && ty.is_float() {
                canonicalize(operand);
            }
        }
        let lanes = match op.kind {
            Trait::Floats32 => Ty::F32,
            Trait::Floats64 => Ty::F64,
            Trait::Shuffles => {
                let lanes = std::array::from_fn(|_| self.random.below(32) as u8);
                let operands = operands.try_into().expect("a shuffle takes two");
                return Expr::Shuffle(lanes, Box::new(operands));
            }
            _ => return Expr::Op(op, operands),
        };
        Expr::Canon(Ty::V128, lanes, Box::new(Expr::Op(op, operands)))
    }

    fn place(&mut self, align: u32) -> Place {
        let offset = match self.random.below(40) {
            0 if self.mixture.traps > 0 => {
                *self.random.pick(&[0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])
            }
            0..20 => 0,
            20..35 => self.random.below(64) as u64,
            _ => self.random.below(0x8000) as u64,
        };
        Place {
            memory: self.random.below(self.mixture.memories as usize) as u32,
            offset,
            align: self.random.below(align as usize + 1) as u32,
        }
    }

    /// An address that most often lies in a small part of the memory.
    fn address(&mut self, depth: usize) -> Expr {
        if self.random.chance(15) {
            return Expr::Const(Ty::I32, self.random.below(0x7ff0) as u128);
        }
        let address = self.expr(Ty::I32, depth);
        if self.random.chance(self.mixture.traps) {
            return address;
        }
        let mask = *self.random.pick(&[0x7f, 0x7f, 0xfff, 0x7ff8]);
        binary("and", address, mask)
    }

    fn load(&mut self, ty: Ty, depth: usize) -> Option<Expr> {
        if ty == Ty::V128 && self.random.chance(25) {
            let access = self.random.pick(LANE_LOADS);
            let (lane, place) = (
                self.random.below(access.lanes as usize) as u8,
                self.place(access.align),
            );
            let operands = [self.address(depth - 1), self.expr(ty, depth - 1)];
            return Some(Expr::LoadLane(access, lane, place, Box::new(operands)));
        }
        let fitting: Vec<_> = LOADS.iter().filter(|access| access.ty == ty).collect();
        let access = *self.random.pick(&fitting);
        let place = self.place(access.align);
        Some(Expr::Load(access, place, Box::new(self.address(depth - 1))))
    }

    /// A function that can be called here, and what its results have to satisfy.
    fn callee(&mut self, fits: impl Fn(&[Ty]) -> bool) -> Option<u32> {
        let room = MOST_COST.saturating_sub(self.cost);
        let fitting: Vec<u32> = (0..self.made.len() as u32)
            .filter(|&func| {
                let made = &self.made[func as usize];
                fits(&made.results) && made.cost.saturating_mul(self.turns) < room
            })
            .collect();
        (!fitting.is_empty()).then(|| *self.random.pick(&fitting))
    }

    fn call(&mut self, ty: Ty, depth: usize) -> Option<Expr> {
        let func = self.callee(|results| results == [ty])?;
        let made = &self.made[func as usize];
        self.cost += made.cost * self.turns;
        let arguments = self.exprs(&made.params, depth - 1);
        if self.random.chance(70) {
            return Some(Expr::Call(ty, func, arguments));
        }
        let index = if self.random.chance(90) {
            Expr::Const(Ty::I32, u128::from(func))
        } else if self.random.chance(self.mixture.traps * 20) {
            self.expr(Ty::I32, depth - 1)
        } else {
            // Known only when it runs.
            let zero = binary("and", self.expr(Ty::I32, depth - 1), 0);
            binary("or", zero, u128::from(func))
        };
        Some(Expr::CallIndirect(ty, func, arguments, Box::new(index)))
    }

    fn control(&mut self, ty: Ty, depth: usize) -> Expr {
        match self.random.below(12) {
            0 => return Expr::Op(eqz(), vec![Expr::MemorySize(0)]).of(ty),
            1 if self.mixture.memory > 0 => {
                let pages = Box::new(Expr::Const(Ty::I32, self.random.below(2) as u128));
                return Expr::MemoryGrow(0, pages).of(ty);
            }
            2..7 => {
                let condition = Box::new(self.expr(Ty::I32, depth - 1));
                let arms = [self.arm(ty, depth), self.arm(ty, depth)];
                return Expr::If(ty, condition, Box::new(arms));
            }
            _ => {}
        }
        let label = self.label();
        self.labels.push(Open { label, ty: Some(ty) });
        let arm = self.arm(ty, depth);
        self.labels.pop();
        Expr::Block(ty, label, Box::new(arm))
    }

    fn arm(&mut self, ty: Ty, depth: usize) -> Arm {
        let count = self.random.below(3);
        let body = self.stmts(count);
        Arm {
            body,
            value: self.expr(ty, depth - 1),
        }
    }

    // --- Statements ----------------------------------------------------------------------------------------------

    fn stmts(&mut self, most: usize) -> Vec<Stmt> {
        let mut stmts = Vec::new();
        for _ in 0..most {
            if self.nodes > 0 {
                stmts.push(self.stmt());
            }
        }
        stmts
    }

    fn stmt(&mut self) -> Stmt {
        self.spend();
        let mixture = self.mixture;
        if self.random.chance(mixture.control) {
            return self.construct();
        }
        if self.random.chance(mixture.memory) {
            return self.store();
        }
        if self.random.chance(mixture.calls)
            && let Some(func) = self.callee(|_| true)
        {
            let made = &self.made[func as usize];
            self.cost += made.cost * self.turns;
            let arguments: Vec<Expr> = made.params.iter().map(|&ty| self.any(ty)).collect();
            let into = made.results.iter().map(|&ty| self.target(ty)).collect();
            return Stmt::Call(func, arguments, into);
        }
        if self.random.chance(20) && !self.globals.is_empty() {
            let global = self.random.below(self.globals.len());
            return Stmt::GlobalSet(global as u32, self.any(self.globals[global].0));
        }
        if !self.labels.is_empty() && self.random.chance(20) {
            return self.branch();
        }
        let ty = *self.random.pick(&mixture.types);
        if self.random.chance(3) {
            return Stmt::Drop(self.any(ty));
        }
        let local = self.target(ty);
        Stmt::Set(local, self.any(ty))
    }

    fn store(&mut self) -> Stmt {
        let memory = self.random.below(self.mixture.memories as usize) as u32;
        if self.random.chance(5) {
            let operands = [0xfff, 0xff, 0x3f].map(|mask| binary("and", self.expr(Ty::I32, 2), mask));
            return Stmt::Fill(memory, Box::new(operands));
        }
        if self.random.chance(5) {
            let operands = [0x7f, 0x7f, 0x3f].map(|mask| binary("and", self.expr(Ty::I32, 2), mask));
            return Stmt::Copy(memory, Box::new(operands));
        }
        let depth = self.mixture.depth.min(4);
        if self.mixture.types.contains(&Ty::V128) && self.random.chance(10) {
            let access = self.random.pick(LANE_STORES);
            let (lane, place) = (
                self.random.below(access.lanes as usize) as u8,
                self.place(access.align),
            );
            return Stmt::StoreLane(access, lane, place, [self.address(depth), self.any(Ty::V128)]);
        }
        let fitting: Vec<_> = STORES
            .iter()
            .filter(|access| self.mixture.types.contains(&access.ty))
            .collect();
        let access = *self.random.pick(&fitting);
        let place = self.place(access.align);
        let address = self.address(depth);
        let mut value = self.any(access.ty);
        if access.ty.is_float() {
            canonicalize(&mut value);
        }
        Stmt::Store(access, place, [address, value])
    }

    fn branch(&mut self) -> Stmt {
        let open = *self.random.pick(&self.labels);
        match open.ty {
            Some(ty) => Stmt::BrValue(open.label, [self.any(ty), self.any(Ty::I32)]),
            None if self.random.chance(10) => Stmt::Br(open.label),
            None if self.random.chance(25) => {
                let plain: Vec<Label> = self
                    .labels
                    .iter()
                    .filter(|open| open.ty.is_none())
                    .map(|open| open.label)
                    .collect();
                let count = 1 + self.random.below(6);
                let labels = (0..count).map(|_| *self.random.pick(&plain)).collect();
                let index = binary("and", self.any(Ty::I32), 7);
                Stmt::BrTable(labels, index)
            }
            None => Stmt::BrIf(open.label, self.any(Ty::I32)),
        }
    }

    fn construct(&mut self) -> Stmt {
        match self.random.below(20) {
            0..6 => {
                let condition = self.any(Ty::I32);
                let then = 1 + self.random.below(4);
                let otherwise = self.random.below(2) * self.random.below(4);
                let (then, otherwise) = (self.stmts(then), self.stmts(otherwise));
                Stmt::If(condition, then, otherwise)
            }
            6..10 => {
                let label = self.label();
                self.labels.push(Open { label, ty: None });
                let count = 1 + self.random.below(5);
                let body = self.stmts(count);
                self.labels.pop();
                Stmt::Block(label, body)
            }
            10..16 => self.turns(),
            16..19 => self.many(),
            _ => self.leave(),
        }
    }

    /// Makes the body of a loop.
    fn repeated(&mut self, trips: u32, make: impl FnOnce(&mut Self) -> Vec<Stmt>) -> Vec<Stmt> {
        let outer = self.turns;
        self.turns *= u64::from(trips);
        let body = make(self);
        self.turns = outer;
        body
    }

    fn trips(&mut self) -> u32 {
        let trips = 1 + self.random.below(self.mixture.trips) as u32;
        if self.cost + self.turns * u64::from(trips) * 50 > MOST_COST {
            1
        } else {
            trips
        }
    }

    fn turns(&mut self) -> Stmt {
        let (counter, trips) = (self.counter(), self.trips());
        let labels = self.random.chance(50).then(|| (self.label(), self.label()));
        let open = self.labels.len();
        if let Some((next, end)) = labels {
            self.labels
                .extend([next, end].map(|label| Open { label, ty: None }));
        }
        let count = 1 + self.random.below(6);
        let body = self.repeated(trips, |this| this.stmts(count));
        self.labels.truncate(open);
        Stmt::Loop(Loop {
            counter,
            trips,
            labels,
            body,
        })
    }

    fn many(&mut self) -> Stmt {
        let count = 1 + self.random.below(5);
        let types: Vec<Ty> = (0..count)
            .map(|_| *self.random.pick(&self.mixture.types))
            .collect();
        let inputs = types.iter().map(|&ty| self.any(ty)).collect();
        let mut targets = || types.iter().map(|&ty| self.target(ty)).collect();
        let (into, results) = (targets(), targets());
        let (shape, trips) = match self.random.below(3) {
            0 => (Shape::Block, 1),
            1 => (Shape::If(self.any(Ty::I32)), 1),
            _ => {
                let trips = self.trips();
                (Shape::Loop(self.counter(), trips), trips)
            }
        };
        let mut outputs = Vec::new();
        let body = self.repeated(trips, |this| {
            let count = this.random.below(5);
            let body = this.stmts(count);
            outputs = types.iter().map(|&ty| this.any(ty)).collect();
            body
        });
        let leave = self.random.chance(50).then(|| self.any(Ty::I32));
        Stmt::Many(Box::new(Many {
            shape,
            types,
            inputs,
            into,
            body,
            outputs,
            leave,
            results,
        }))
    }

    /// A way out of the function, taken if something holds.
    fn leave(&mut self) -> Stmt {
        let condition = self.any(Ty::I32);
        let results = self.results.clone();
        let tail = self
            .callee(|other| other == results)
            .filter(|_| self.mixture.tail_calls);
        let way = match tail {
            Some(func) => {
                let made = &self.made[func as usize];
                self.cost += made.cost * self.turns;
                Stmt::ReturnCall(func, self.exprs(&made.params, 3))
            }
            None if self.random.chance(self.mixture.traps) => Stmt::Unreachable,
            None => Stmt::Return(self.exprs(&results, 3)),
        };
        let mut body = self.stmts(2);
        body.push(way);
        Stmt::If(condition, body, Vec::new())
    }
}

/// Makes the NaNs of a float one, where they could be something else.
fn canonicalize(value: &mut Expr) {
    let ty = value.ty();
    let inner = std::mem::replace(value, Expr::Const(ty, 0));
    *value = Expr::Canon(ty, ty, Box::new(inner));
}

/// An operator by its name.
fn find(name: &str) -> &'static Operator {
    static NAMES: LazyLock<HashMap<String, &'static Operator>> = LazyLock::new(|| {
        let named = |op: &'static Operator| (format!("{:?}", op.instruction), op);
        OPERATORS.iter().map(named).collect()
    });
    NAMES[name]
}

fn binary(name: &str, left: Expr, right: u128) -> Expr {
    let ty = left.ty();
    let name = match (ty, name) {
        (Ty::I64, "or") => "I64Or",
        (_, "or") => "I32Or",
        _ => "I32And",
    };
    Expr::Op(find(name), vec![left, Expr::Const(ty, right)])
}

fn nonzero(divisor: Expr) -> Expr {
    match divisor {
        Expr::Const(ty, 0) => Expr::Const(ty, 1),
        Expr::Const(..) => divisor,
        _ => binary("or", divisor, 1),
    }
}

fn eqz() -> &'static Operator {
    find("I32Eqz")
}

impl Expr {
    /// An integer as a value of another type.
    fn of(self, ty: Ty) -> Expr {
        let name = match ty {
            Ty::I32 => return self,
            Ty::I64 => "I64ExtendI32S",
            Ty::F32 => "F32ConvertI32S",
            Ty::F64 => "F64ConvertI32S",
            Ty::V128 => "I32x4Splat",
        };
        Expr::Op(find(name), vec![self])
    }
}
