//! From a seed to a program.
//!
//! What a program does is bounded while it is made: loops count down, functions call only what was made before them, and a
//! function's cost, with all that it calls as often as it does, stays below a limit. Each seed draws its own mixture first
//! (A. Groce et al., "Swarm testing", ISSTA 2012): programs of integers alone, of one loop with forty locals, of calls with
//! twenty arguments are all rare where every choice is uniform, and each finds what the others do not.

mod exprs;
mod stmts;

use super::operators::Ty;
use super::tree::{Func, Label, Program};
use crate::random::Random;

/// What a program is allowed to use.
#[derive(Debug, Clone, Copy)]
pub struct Features {
    /// Vectors.
    pub vectors: bool,
    /// Tail calls.
    pub tail_calls: bool,
    /// A second memory, and memories of 64 bits.
    pub memories: bool,
    /// Exceptions.
    pub exceptions: bool,
    /// Relaxed vectors.
    pub relaxed: bool,
}

impl Features {
    /// All of them.
    pub const ALL: Self = Self {
        vectors: true,
        tail_calls: true,
        memories: true,
        exceptions: true,
        relaxed: true,
    };
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
    /// Whether each is addressed in 64 bits.
    memories: Vec<bool>,
    tail_calls: bool,
    /// What the exceptions of each tag carry.
    tags: Vec<Vec<Ty>>,
    throws: usize,
    relaxed: bool,
}

impl Mixture {
    fn draw(random: &mut Random, features: Features) -> Self {
        let mut types = vec![Ty::I32];
        for ty in [Ty::I32, Ty::I64, Ty::F32, Ty::F64, Ty::V128] {
            if random.chance(55) && (ty != Ty::V128 || features.vectors) {
                types.push(ty);
            }
        }
        let mut memories = vec![features.memories && random.chance(15)];
        if features.memories && random.chance(30) {
            memories.push(random.chance(30));
        }
        let mut tags = Vec::new();
        if features.exceptions && random.chance(30) {
            for _ in 0..1 + random.below(4) {
                let count = random.below(5);
                tags.push((0..count).map(|_| *random.pick(&types)).collect());
            }
        }
        Self {
            relaxed: features.relaxed && types.contains(&Ty::V128) && random.chance(20),
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
            memories,
            tail_calls: features.tail_calls,
            throws: if tags.is_empty() {
                0
            } else {
                *random.pick(&[5, 10, 30])
            },
            tags,
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
        memories: mixture.memories.clone(),
        tags: mixture.tags.clone(),
        relaxed: mixture.relaxed,
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

/// A label that is open, and the types of the values that it takes.
#[derive(Clone)]
struct Open {
    label: Label,
    types: Vec<Ty>,
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
}
