//! Statements: what gives nothing.

use super::super::operators::{LANE_STORES, STORES, Ty};
use super::super::tree::{Catch, Expr, Label, Loop, Many, Shape, Stmt, Try};
use super::exprs::{binary, canonicalize};
use super::{Generator, MOST_COST, Open};

impl Generator<'_> {
    pub(super) fn stmts(&mut self, most: usize) -> Vec<Stmt> {
        let mut stmts = Vec::new();
        for _ in 0..most {
            if self.nodes > 0 {
                stmts.push(self.stmt());
            }
        }
        stmts
    }

    pub(super) fn stmt(&mut self) -> Stmt {
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

    pub(super) fn store(&mut self) -> Stmt {
        if self.random.chance(10) {
            return self.bulk();
        }
        let depth = self.mixture.depth.min(4);
        if self.mixture.types.contains(&Ty::V128) && self.random.chance(10) {
            let access = self.random.pick(LANE_STORES);
            let (lane, place) = (
                self.random.below(access.lanes as usize) as u8,
                self.place(access.align),
            );
            return Stmt::StoreLane(
                access,
                lane,
                place,
                [self.address(place.memory, depth), self.any(Ty::V128)],
            );
        }
        let fitting: Vec<_> = STORES
            .iter()
            .filter(|access| self.mixture.types.contains(&access.ty))
            .collect();
        let access = *self.random.pick(&fitting);
        let place = self.place(access.align);
        let address = self.address(place.memory, depth);
        let mut value = self.any(access.ty);
        if access.ty.is_float() {
            canonicalize(&mut value);
        }
        Stmt::Store(access, place, [address, value])
    }

    pub(super) fn bulk(&mut self) -> Stmt {
        let count = self.mixture.memories.len();
        let [to, from] = [(), ()].map(|()| self.random.below(count) as u32);
        let [wide, other] = [to, from].map(|memory| self.address_type(memory));
        let mut masked = |ty: Ty, mask| binary("and", self.expr(ty, 2), mask);
        let length = if wide == other { wide } else { Ty::I32 };
        let copy = Box::new([masked(wide, 0x7f), masked(other, 0x7f), masked(length, 0x3f)]);
        if self.random.chance(50) {
            return Stmt::Copy([to, from], copy);
        }
        let mut masked = |ty: Ty, mask| binary("and", self.expr(ty, 2), mask);
        Stmt::Fill(
            to,
            Box::new([masked(wide, 0xfff), masked(Ty::I32, 0xff), masked(wide, 0x3f)]),
        )
    }

    pub(super) fn branch(&mut self) -> Stmt {
        let open = self.random.pick(&self.labels).clone();
        let values: Vec<Expr> = open.types.iter().map(|&ty| self.any(ty)).collect();
        match self.random.below(100) {
            0..8 => Stmt::Br(open.label, values),
            8..30 => {
                let alike = self.labels.iter().filter(|other| other.types == open.types);
                let alike: Vec<Label> = alike.map(|open| open.label).collect();
                let count = 1 + self.random.below(6);
                let labels = (0..count).map(|_| *self.random.pick(&alike)).collect();
                let index = binary("and", self.any(Ty::I32), 7);
                Stmt::BrTable(labels, values, index)
            }
            _ => Stmt::BrIf(open.label, values, self.any(Ty::I32)),
        }
    }

    /// Statements inside a label that takes nothing.
    pub(super) fn labelled(&mut self, most: usize) -> (Label, Vec<Stmt>) {
        let label = self.label();
        self.labels.push(Open {
            label,
            types: Vec::new(),
        });
        let count = 1 + self.random.below(most);
        let body = self.stmts(count);
        self.labels.pop();
        (label, body)
    }

    pub(super) fn construct(&mut self) -> Stmt {
        if self.random.chance(self.mixture.throws) {
            return self.attempt();
        }
        match self.random.below(20) {
            0..6 => {
                let condition = self.any(Ty::I32);
                let then = 1 + self.random.below(4);
                let otherwise = self.random.below(2) * self.random.below(4);
                let (then, otherwise) = (self.stmts(then), self.stmts(otherwise));
                Stmt::If(condition, then, otherwise)
            }
            6..10 => {
                let (label, body) = self.labelled(5);
                Stmt::Block(label, body)
            }
            10..16 => self.turns(),
            16..19 => self.many(),
            _ => self.leave(),
        }
    }

    /// Makes the body of a loop.
    pub(super) fn repeated(&mut self, trips: u32, make: impl FnOnce(&mut Self) -> Vec<Stmt>) -> Vec<Stmt> {
        let outer = self.turns;
        self.turns *= u64::from(trips);
        let body = make(self);
        self.turns = outer;
        body
    }

    pub(super) fn trips(&mut self) -> u32 {
        let trips = 1 + self.random.below(self.mixture.trips) as u32;
        if self.cost + self.turns * u64::from(trips) * 50 > MOST_COST {
            1
        } else {
            trips
        }
    }

    pub(super) fn turns(&mut self) -> Stmt {
        let (counter, trips) = (self.counter(), self.trips());
        let labels = self.random.chance(50).then(|| (self.label(), self.label()));
        let open = self.labels.len();
        if let Some((next, end)) = labels {
            let open = |label| Open {
                label,
                types: Vec::new(),
            };
            self.labels.extend([next, end].map(open));
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

    pub(super) fn many(&mut self) -> Stmt {
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
        let label = self.label();
        let is_loop = matches!(shape, Shape::Loop(..));
        let body = self.repeated(trips, |this| {
            let count = this.random.below(5);
            if !is_loop {
                let types = types.clone();
                this.labels.push(Open { label, types });
            }
            let body = this.stmts(count);
            if !is_loop {
                this.labels.pop();
            }
            outputs = types.iter().map(|&ty| this.any(ty)).collect();
            body
        });
        let leave = self.random.chance(50).then(|| self.any(Ty::I32));
        Stmt::Many(Box::new(Many {
            shape,
            label,
            types,
            inputs,
            into,
            body,
            outputs,
            leave,
            results,
        }))
    }

    pub(super) fn throw(&mut self) -> Stmt {
        if self.random.chance(25) {
            return Stmt::ThrowRef;
        }
        let tag = self.random.below(self.mixture.tags.len());
        let values = self.mixture.tags[tag].iter().map(|&ty| self.any(ty)).collect();
        Stmt::Throw(tag as u32, values)
    }

    /// Something that may throw, mostly, with handlers around it.
    pub(super) fn attempt(&mut self) -> Stmt {
        let (label, mut body) = self.labelled(4);
        if self.random.chance(70) {
            let condition = self.any(Ty::I32);
            let throw = self.throw();
            body.insert(
                self.random.below(body.len() + 1),
                Stmt::If(condition, vec![throw], Vec::new()),
            );
        }
        let mut catches = Vec::new();
        for _ in 0..self.random.below(4) {
            let tag = self
                .random
                .chance(75)
                .then(|| self.random.below(self.mixture.tags.len()));
            let payload = tag.map_or(&[][..], |tag| &self.mixture.tags[tag]);
            let into = payload.iter().map(|&ty| self.target(ty)).collect();
            let count = self.random.below(3);
            let mut handler = self.stmts(count);
            if self.random.chance(15) {
                let again = self.throw();
                handler.push(Stmt::If(self.any(Ty::I32), vec![again], Vec::new()));
            }
            catches.push(Catch {
                tag: tag.map(|tag| tag as u32),
                reference: self.random.chance(40),
                into,
                handler,
            });
        }
        Stmt::Try(Box::new(Try { label, body, catches }))
    }

    /// A way out of the function, taken if something holds.
    pub(super) fn leave(&mut self) -> Stmt {
        let condition = self.any(Ty::I32);
        let results = self.results.clone();
        let tail = self
            .callee(|other| other == results)
            .filter(|_| self.mixture.tail_calls);
        let way = match tail {
            Some(func) => {
                let made = &self.made[func as usize];
                self.cost += made.cost * self.turns;
                let arguments = self.exprs(&made.params, 3);
                let index = self.random.chance(30).then(|| self.index_of(func, 3));
                Stmt::ReturnCall(func, arguments, index)
            }
            None if self.random.chance(self.mixture.throws * 3) => self.throw(),
            None if self.random.chance(self.mixture.traps) => Stmt::Unreachable,
            None => Stmt::Return(self.exprs(&results, 3)),
        };
        let mut body = self.stmts(2);
        body.push(way);
        Stmt::If(condition, body, Vec::new())
    }
}
