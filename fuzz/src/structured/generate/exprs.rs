//! Expressions: what gives one value.

use super::super::operators::{LANE_LOADS, LOADS, OPERATORS, Operator, RELAXED, Trait, Ty};
use super::super::tree::{Arm, Expr, Place};
use super::{Generator, MOST_COST, Open, constant};
use std::collections::HashMap;
use std::sync::LazyLock;

impl Generator<'_> {
    pub(super) fn exprs(&mut self, types: &[Ty], depth: usize) -> Vec<Expr> {
        types.iter().map(|&ty| self.expr(ty, depth)).collect()
    }

    pub(super) fn any(&mut self, ty: Ty) -> Expr {
        let depth = 1 + self.random.below(self.mixture.depth);
        self.expr(ty, depth)
    }

    pub(super) fn leaf(&mut self, ty: Ty) -> Expr {
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

    pub(super) fn expr(&mut self, ty: Ty, depth: usize) -> Expr {
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

    pub(super) fn operator(&mut self, ty: Ty, depth: usize) -> Expr {
        let traps = self.random.chance(self.mixture.traps);
        let op = loop {
            let from: &'static [Operator] = if self.mixture.relaxed && self.random.chance(10) {
                &RELAXED
            } else {
                &OPERATORS
            };
            let op = self.random.pick(from);
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

    pub(super) fn place(&mut self, align: u32) -> Place {
        let offset = match self.random.below(40) {
            0 if self.mixture.traps > 0 => {
                *self.random.pick(&[0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])
            }
            0..20 => 0,
            20..35 => self.random.below(64) as u64,
            _ => self.random.below(0x8000) as u64,
        };
        Place {
            memory: self.random.below(self.mixture.memories.len()) as u32,
            offset,
            align: self.random.below(align as usize + 1) as u32,
        }
    }

    /// The type of a memory's addresses.
    pub(super) fn address_type(&self, memory: u32) -> Ty {
        if self.mixture.memories[memory as usize] {
            Ty::I64
        } else {
            Ty::I32
        }
    }

    /// An address that most often lies in a small part of the memory.
    pub(super) fn address(&mut self, memory: u32, depth: usize) -> Expr {
        let ty = self.address_type(memory);
        if self.random.chance(15) {
            return Expr::Const(ty, self.random.below(0x7ff0) as u128);
        }
        let address = self.expr(ty, depth);
        if self.random.chance(self.mixture.traps) {
            return address;
        }
        let mask = *self.random.pick(&[0x7f, 0x7f, 0xfff, 0x7ff8]);
        binary("and", address, mask)
    }

    pub(super) fn load(&mut self, ty: Ty, depth: usize) -> Option<Expr> {
        if ty == Ty::V128 && self.random.chance(25) {
            let access = self.random.pick(LANE_LOADS);
            let (lane, place) = (
                self.random.below(access.lanes as usize) as u8,
                self.place(access.align),
            );
            let operands = [self.address(place.memory, depth - 1), self.expr(ty, depth - 1)];
            return Some(Expr::LoadLane(access, lane, place, Box::new(operands)));
        }
        let fitting: Vec<_> = LOADS.iter().filter(|access| access.ty == ty).collect();
        let access = *self.random.pick(&fitting);
        let place = self.place(access.align);
        Some(Expr::Load(
            access,
            place,
            Box::new(self.address(place.memory, depth - 1)),
        ))
    }

    /// A function that can be called here, and what its results have to satisfy.
    pub(super) fn callee(&mut self, fits: impl Fn(&[Ty]) -> bool) -> Option<u32> {
        let room = MOST_COST.saturating_sub(self.cost);
        let fitting: Vec<u32> = (0..self.made.len() as u32)
            .filter(|&func| {
                let made = &self.made[func as usize];
                fits(&made.results) && made.cost.saturating_mul(self.turns) < room
            })
            .collect();
        (!fitting.is_empty()).then(|| *self.random.pick(&fitting))
    }

    pub(super) fn call(&mut self, ty: Ty, depth: usize) -> Option<Expr> {
        let func = self.callee(|results| results == [ty])?;
        let made = &self.made[func as usize];
        self.cost += made.cost * self.turns;
        let arguments = self.exprs(&made.params, depth - 1);
        if self.random.chance(70) {
            return Some(Expr::Call(ty, func, arguments));
        }
        let index = self.index_of(func, depth);
        Some(Expr::CallIndirect(ty, func, arguments, Box::new(index)))
    }

    /// An index in the table at which a function of the type of `func` lies, most often.
    pub(super) fn index_of(&mut self, func: u32, depth: usize) -> Expr {
        if self.random.chance(90) {
            Expr::Const(Ty::I32, u128::from(func))
        } else if self.random.chance(self.mixture.traps * 20) {
            self.expr(Ty::I32, depth - 1)
        } else {
            // Known only when it runs.
            let zero = binary("and", self.expr(Ty::I32, depth - 1), 0);
            binary("or", zero, u128::from(func))
        }
    }

    pub(super) fn control(&mut self, ty: Ty, depth: usize) -> Expr {
        match self.random.below(12) {
            0 => return self.memory_size().of(ty),
            1 if self.mixture.memory > 0 => {
                let memory = self.random.below(self.mixture.memories.len()) as u32;
                let address = self.address_type(memory);
                let pages = Box::new(Expr::Const(address, self.random.below(2) as u128));
                return to_i32(Expr::MemoryGrow(address, memory, pages)).of(ty);
            }
            2..7 => {
                let condition = Box::new(self.expr(Ty::I32, depth - 1));
                let arms = [self.arm(ty, depth), self.arm(ty, depth)];
                return Expr::If(ty, condition, Box::new(arms));
            }
            _ => {}
        }
        let label = self.label();
        self.labels.push(Open {
            label,
            types: vec![ty],
        });
        let arm = self.arm(ty, depth);
        self.labels.pop();
        Expr::Block(ty, label, Box::new(arm))
    }

    pub(super) fn memory_size(&mut self) -> Expr {
        let memory = self.random.below(self.mixture.memories.len()) as u32;
        to_i32(Expr::MemorySize(self.address_type(memory), memory))
    }

    pub(super) fn arm(&mut self, ty: Ty, depth: usize) -> Arm {
        let count = self.random.below(3);
        let body = self.stmts(count);
        Arm {
            body,
            value: self.expr(ty, depth - 1),
        }
    }
}

/// Makes the NaNs of a float one, where they could be something else.
pub(super) fn canonicalize(value: &mut Expr) {
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

pub(super) fn binary(name: &str, left: Expr, right: u128) -> Expr {
    let ty = left.ty();
    let name = match (ty, name) {
        (Ty::I64, "or") => "I64Or",
        (Ty::I64, _) => "I64And",
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

fn to_i32(integer: Expr) -> Expr {
    match integer.ty() {
        Ty::I64 => Expr::Op(find("I32WrapI64"), vec![integer]),
        _ => integer,
    }
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
