//! Labels: where control flow meets, and how what is in registers is made the same on every way there.
//!
//! Operands are in their slots (or constants) at every label, but for the one result that a block may have, which comes
//! in a scratch register. What differs from way to way is which locals are in registers. The first branch to the end of a
//! block decides that ([`Locations`]); later ones, and the way that falls through, move, load and store what differs. At
//! the head of a loop the front end's hints decide: the locals that the loop uses most stay in registers around it.

use super::function::Function;
use super::moves::{Move, parallel};
use super::place::{Locations, Place, RegSet, registers_for, width, words};
use crate::masm::{self, Mem, Reg, SCRATCH, SCRATCH2, VSCRATCH, VSCRATCH2};
use luge_core::{BlockSignature, Control, ControlKind, LoopHints, ValType};
use std::rc::Rc;

/// A branch target.
#[derive(Debug)]
pub(crate) struct Label {
    target: masm::Label,
    /// Operands below the construct's parameters, and the words that they take.
    height: usize,
    words: u32,
    params: Carried,
    results: Carried,
    /// Where locals are at the target, once that is decided.
    state: Option<Box<Locations>>,
    /// The way around the first arm of an `if`, and where locals are on it.
    otherwise: Option<(masm::Label, Box<Locations>)>,
    looping: Option<Box<Looping>>,
    /// Whether it opened a region of handlers, which ends with it.
    pub(super) catches: bool,
}

/// What is undone where a loop ends.
#[derive(Debug)]
struct Looping {
    /// The locals that had homes outside, with them.
    outer: Vec<(u32, Reg)>,
    outer_homes: RegSet,
    /// Where the fuel that an iteration costs is written, and the number of operators at its start.
    fuel: Option<(u32, u32)>,
}

/// The values that a branch carries.
#[derive(Debug, Clone)]
enum Carried {
    Nothing,
    /// In the scratch register of its class.
    One(ValType),
    /// In the slots from the label's height on. Labels share their lists of types, which may be long.
    Slots(Rc<[ValType]>),
}

impl Carried {
    fn types(&self) -> &[ValType] {
        match self {
            Self::Nothing => &[],
            Self::One(ty) => std::slice::from_ref(ty),
            Self::Slots(types) => types,
        }
    }
}

/// Registers of each kind that a loop may keep for its locals: the rest is for what it computes.
const MOST_GENERAL_HOMES: u32 = 7;
const MOST_VECTOR_HOMES: u32 = 10;

impl Function<'_> {
    /// The label of the function's body.
    pub(super) fn body_label(&mut self) -> Label {
        Label {
            target: self.masm.label(),
            height: 0,
            words: 0,
            params: Carried::Nothing,
            results: Carried::Nothing,
            state: None,
            otherwise: None,
            looping: None,
            catches: false,
        }
    }

    pub(super) fn new_label(&mut self, ty: BlockSignature<'_>) -> Label {
        let height = self.stack.len() - ty.params.len();
        let words = self
            .stack
            .get(height)
            .map_or(self.height_words, |first| first.words());
        // Branches to the end reach as high as the results do.
        let results: u32 = ty.results.iter().map(|&ty| self::words(ty)).sum();
        self.most_words = self.most_words.max(words + results);
        Label {
            target: self.masm.label(),
            height,
            words,
            params: self.carried_in_slots(ty.params),
            results: match ty.results {
                [one] => Carried::One(*one),
                types => self.carried_in_slots(types),
            },
            state: None,
            otherwise: None,
            looping: None,
            catches: false,
        }
    }

    fn carried_in_slots(&mut self, types: &[ValType]) -> Carried {
        if types.is_empty() {
            return Carried::Nothing;
        }
        if let Some(list) = self.type_lists.get(types) {
            return Carried::Slots(Rc::clone(list));
        }
        let list: Rc<[ValType]> = types.into();
        self.type_lists.insert(Rc::clone(&list));
        Carried::Slots(list)
    }

    /// Puts even those of the top operands that are constants into their slots.
    pub(super) fn settle_params(&mut self, count: usize) {
        for position in self.stack.len() - count..self.stack.len() {
            let operand = self.stack[position];
            if let Place::Const(_) = operand.place() {
                let slot = self.slot(operand);
                self.copy_to_memory(slot, operand, SCRATCH2);
                self.replace(position, Place::Slot);
            }
        }
    }

    pub(super) fn open_block(&mut self, ty: BlockSignature<'_>) -> Label {
        self.settle_flags();
        self.flush();
        self.new_label(ty)
    }

    pub(super) fn open_if(&mut self, ty: BlockSignature<'_>) -> Label {
        let condition = self.pop_condition();
        self.done();
        self.flush();
        self.settle_params(ty.params.len());
        let mut label = self.new_label(ty);
        let otherwise = self.masm.label();
        self.masm.jump_if(condition.negated(), otherwise);
        label.otherwise = Some((otherwise, self.locations()));
        label
    }

    pub(super) fn open_loop(&mut self, ty: BlockSignature<'_>, hints: &LoopHints<'_>) -> Label {
        self.settle_flags();
        self.flush();
        self.settle_params(ty.params.len());
        let mut looping = Looping {
            outer: Vec::new(),
            outer_homes: self.homes,
            fuel: None,
        };
        self.choose_homes(hints, &mut looping);
        let state = self.loop_state(hints);
        let mut label = self.new_label(ty);
        label.target = self.masm.label_here();
        label.state = Some(state);
        if self.options.fuel {
            let (out, back) = (self.masm.label(), self.masm.label());
            looping.fuel = Some((self.masm.take_fuel(out), self.operators));
            self.masm.bind(back);
            self.preemptions.push((out, back));
        }
        label.looping = Some(Box::new(looping));
        label
    }

    // --- Homes ---------------------------------------------------------------------------------------------------

    /// Gives the locals that a loop uses most a register each, and puts them there; all other locals leave their
    /// registers, but for those that a loop around this one wants in theirs, while there is room.
    fn choose_homes(&mut self, hints: &LoopHints<'_>, looping: &mut Looping) {
        looping.outer.reserve_exact(self.home_locals.len());
        while let Some(local) = self.home_locals.pop() {
            if let Some(home) = self.locals[local as usize].home.take() {
                looping.outer.push((local, home));
            }
        }
        // In the order in which they were given.
        looping.outer.reverse();
        self.homes = RegSet::default();
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.clear();
        let (mut general, mut vector) = (0, 0);
        let mut room = |ty: ValType| {
            let (count, most) = if ty.is_float() {
                (&mut vector, MOST_VECTOR_HOMES)
            } else {
                (&mut general, MOST_GENERAL_HOMES)
            };
            *count += 1;
            *count <= most
        };
        for used in hints.locals {
            if room(self.locals[used.local as usize].ty) {
                wanted.push((used.local, used.written));
            }
        }
        for &(local, home) in &looping.outer {
            let of = &self.locals[local as usize];
            let kept = of.reg == Some(home) && !hints.locals.iter().any(|used| used.local == local);
            if kept && room(of.ty) {
                wanted.push((local, false));
            }
        }
        // Who has a register keeps it.
        for &(local, _) in &wanted {
            if let Some(reg) = self.locals[local as usize].reg {
                self.set_home(local, reg);
            }
        }
        for reg in self.occupied().without(self.homes).iter() {
            self.vacate(reg);
        }
        for &(local, written) in &wanted {
            if self.locals[local as usize].home.is_none() {
                let outer = looping.outer.iter().find(|(of, _)| *of == local);
                self.load_home(local, outer.map(|&(_, home)| home));
            }
            let reg = self.locals[local as usize].home.expect("a home was given above");
            if !written {
                // Stored once here, and never inside.
                self.write_back(reg, local);
            }
        }
        self.wanted = wanted;
    }

    fn set_home(&mut self, local: u32, reg: Reg) {
        self.locals[local as usize].home = Some(reg);
        self.homes.insert(reg);
        self.home_locals.push(local);
    }

    /// Loads a local into a register that becomes its home, `preferred` if that is free.
    fn load_home(&mut self, local: u32, preferred: Option<Reg>) {
        let ty = self.locals[local as usize].ty;
        let free = registers_for(ty).without(self.occupied());
        let reg = preferred
            .filter(|&reg| free.contains(reg))
            .or_else(|| free.first())
            .expect("fewer homes than registers, and all else is vacated");
        let mem = self.local_mem(local);
        self.masm.spill_load(reg, mem, width(ty));
        self.cache(reg, local, false);
        self.set_home(local, reg);
    }

    /// Where locals are at the head of a loop: as now, where those that the loop writes may be newer than the frame.
    fn loop_state(&mut self, hints: &LoopHints<'_>) -> Box<Locations> {
        for used in hints.locals.iter().filter(|used| used.written) {
            if let Some(reg) = self.locals[used.local as usize].reg {
                self.cached.dirty.insert(reg);
            }
        }
        self.locations()
    }

    /// Back to the homes outside of a loop.
    fn leave_loop(&mut self, looping: &Looping) {
        while let Some(local) = self.home_locals.pop() {
            self.locals[local as usize].home = None;
        }
        for &(local, home) in &looping.outer {
            self.locals[local as usize].home = Some(home);
            self.home_locals.push(local);
        }
        self.homes = looping.outer_homes;
        if let Some((patch, operators)) = looping.fuel {
            self.masm
                .patch_u32(patch, (self.operators - operators).clamp(1, 1 << 20));
        }
    }

    // --- Locations -----------------------------------------------------------------------------------------------

    /// Where locals are now.
    pub(super) fn locations(&mut self) -> Box<Locations> {
        Self::copied(self.spare.pop(), &self.cached)
    }

    /// A copy of where locals are at a label.
    fn kept(&mut self, locations: &Locations) -> Box<Locations> {
        Self::copied(self.spare.pop(), locations)
    }

    fn copied(spare: Option<Box<Locations>>, from: &Locations) -> Box<Locations> {
        match spare {
            Some(mut locations) => {
                (*locations).clone_from(from);
                locations
            }
            None => Box::new(from.clone()),
        }
    }

    /// Forgets that locals are cached.
    pub(super) fn forget_cached(&mut self) {
        for reg in self.cached.used.iter() {
            self.locals[self.cached.holds(reg) as usize].reg = None;
        }
        self.cached.used = RegSet::default();
        self.cached.dirty = RegSet::default();
    }

    /// Takes it that locals are there. All operands are in their slots.
    pub(super) fn adopt(&mut self, locations: &Locations) {
        self.forget_cached();
        self.holding = RegSet::default();
        for reg in locations.used.iter() {
            self.locals[locations.holds(reg) as usize].reg = Some(reg);
        }
        self.cached.clone_from(locations);
    }

    /// Whether locals are where `to` wants them.
    fn is_conforming(&self, to: &Locations) -> bool {
        let (dirty, used) = (self.cached.dirty, to.used);
        dirty.without(to.dirty).is_empty()
            && used.without(self.cached.used).is_empty()
            && used.iter().all(|reg| self.cached.holds(reg) == to.holds(reg))
    }

    /// Moves locals to where `to` wants them. Changes no flags, not the registers that carry a result, and nothing that is
    /// known of the way on which this is not run.
    fn conform(&mut self, to: &Locations) {
        if self.is_conforming(to) {
            return;
        }
        let mut moves = std::mem::take(&mut self.moves);
        let mut loads = RegSet::default();
        let mut stays = RegSet::default();
        for reg in to.used.iter() {
            let of = &self.locals[to.holds(reg) as usize];
            match of.reg {
                Some(src) => {
                    if to.dirty.contains(reg) {
                        stays.insert(src);
                    }
                    if reg != src {
                        let ty = of.ty;
                        moves.push(Move { dst: reg, src, ty });
                    }
                }
                None => loads.insert(reg),
            }
        }
        for reg in self.cached.dirty.without(stays).iter() {
            let of = &self.locals[self.cached.holds(reg) as usize];
            self.masm
                .spill_store(Mem::new(Reg::RBP, of.disp), reg, width(of.ty));
        }
        parallel(&mut self.masm, &mut moves, SCRATCH2, VSCRATCH2);
        self.moves = moves;
        for reg in loads.iter() {
            let of = &self.locals[to.holds(reg) as usize];
            self.masm
                .spill_load(reg, Mem::new(Reg::RBP, of.disp), width(of.ty));
        }
    }

    // --- Branches ------------------------------------------------------------------------------------------------

    /// What a branch to a construct carries.
    fn carried(control: &Control<Label>) -> &Carried {
        if control.kind == ControlKind::Loop {
            &control.label.params
        } else {
            &control.label.results
        }
    }

    /// Copies the values that a branch carries to where the label wants them; the stack stays as it is.
    fn carry(&mut self, carried: &Carried, height_words: u32) {
        match carried {
            Carried::Nothing => {}
            Carried::One(ty) => {
                let top = *self.stack.last().expect("validated: a branch has its value");
                self.copy_to(Self::scratch_for(*ty), top);
            }
            Carried::Slots(types) => {
                let first = self.stack.len() - types.len();
                let mut below = height_words;
                for (i, &ty) in types.iter().enumerate() {
                    let operand = self.stack[first + i];
                    let in_place = operand.place() == Place::Slot && operand.words() == below;
                    if !in_place {
                        let slot = self.slot_at(below, ty);
                        self.copy_to_memory(slot, operand, SCRATCH);
                    }
                    below += words(ty);
                    if self.is_too_large() {
                        return;
                    }
                }
            }
        }
    }

    /// Goes to a construct's branch target, with the values that it carries on top of the stack.
    pub(super) fn branch(&mut self, target: &mut Control<Label>) {
        if target.kind == ControlKind::Body {
            self.emit_return();
            return;
        }
        let carried = Self::carried(target).clone();
        self.carry(&carried, target.label.words);
        self.conform_to(&mut target.label);
        self.masm.jump(target.label.target);
    }

    /// Makes locals as a label wants them, or the label as they are.
    fn conform_to(&mut self, label: &mut Label) {
        match &label.state {
            Some(state) => self.conform(state),
            None => label.state = Some(self.locations()),
        }
    }

    pub(super) fn branch_if(&mut self, target: &mut Control<Label>) {
        let condition = self.pop_condition();
        self.done();
        let direct = target.kind != ControlKind::Body
            && matches!(Self::carried(target), Carried::Nothing)
            && target
                .label
                .state
                .as_ref()
                .is_none_or(|state| self.is_conforming(state));
        if direct {
            self.conform_to(&mut target.label);
            self.masm.jump_if(condition, target.label.target);
            return;
        }
        let skip = self.masm.label();
        self.masm.jump_if(condition.negated(), skip);
        self.branch(target);
        self.masm.bind(skip);
    }

    pub(super) fn branch_table(&mut self, controls: &mut [Control<Label>], depths: &[u32]) {
        let index = self.pop_reg();
        let innermost = controls.len() - 1;
        let table = self.masm.label();
        let last = depths.len() as u32 - 1;
        self.masm.jump_table(index, last, table);
        self.done();
        self.masm.align_data();
        self.masm.bind(table);
        let start = self.masm.here();
        // One way for each distinct target, behind the table.
        let mut ways = std::mem::take(&mut self.ways);
        ways.resize(ways.len().max(controls.len()), None);
        let mut order = Vec::new();
        for &depth in depths {
            let at = self.masm.here();
            let target = &controls[innermost - depth as usize];
            let direct = target.kind != ControlKind::Body
                && matches!(Self::carried(target), Carried::Nothing)
                && target
                    .label
                    .state
                    .as_ref()
                    .is_some_and(|state| self.is_conforming(state));
            let way = if direct {
                target.label.target
            } else {
                *ways[depth as usize].get_or_insert_with(|| {
                    order.push(depth);
                    self.masm.label()
                })
            };
            self.table_entries.push((at, start, way));
            self.masm.word(0);
        }
        self.masm.data_since(start);
        for depth in order {
            // Whoever comes next finds them empty.
            let way = ways[depth as usize].take().expect("given above");
            if !self.is_too_large() {
                self.masm.bind(way);
                self.branch(&mut controls[innermost - depth as usize]);
            }
        }
        self.ways = ways;
    }

    // --- Ends ----------------------------------------------------------------------------------------------------

    /// Forgets the operands above a height.
    pub(super) fn truncate(&mut self, height: usize) {
        while self.stack.len() > height {
            self.pop();
        }
        self.done();
    }

    /// Pushes values that are in their slots.
    pub(super) fn push_slots(&mut self, types: &[ValType]) {
        for &ty in types {
            self.push(ty, Place::Slot);
        }
        self.flushed = self.stack.len();
    }

    pub(super) fn begin_else(&mut self, control: &mut Control<Label>, reachable: bool) {
        let label = &mut control.label;
        if reachable {
            self.settle_flags();
            let results = label.results.clone();
            self.carry(&results, label.words);
            self.conform_to(label);
            self.masm.jump(label.target);
        }
        self.truncate(label.height);
        let (otherwise, state) = label
            .otherwise
            .take()
            .expect("an if has a way around its first arm");
        self.masm.bind(otherwise);
        self.adopt(&state);
        self.spare.push(state);
        self.push_slots(label.params.types());
    }

    pub(super) fn end_construct(&mut self, control: Control<Label>, reachable: bool) {
        if reachable {
            self.settle_flags();
        }
        let Control { kind, mut label, .. } = control;
        if label.catches {
            self.handlers.close(self.masm.here());
        }
        match kind {
            ControlKind::Body => {
                if reachable {
                    self.emit_return();
                }
                self.masm.bind(label.target);
            }
            ControlKind::Loop => {
                let looping = label.looping.take().expect("a loop knows what is outside");
                self.leave_loop(&looping);
                self.spare.extend(label.state.take());
                if !reachable {
                    self.truncate(label.height);
                    self.push_slots(label.results.types());
                }
            }
            _ if label.state.is_none() && label.otherwise.is_none() => {
                // Nobody branches here: everything may stay where it is.
                self.masm.bind(label.target);
                if !reachable {
                    self.truncate(label.height);
                    self.push_slots(label.results.types());
                }
            }
            _ => self.join(&mut label, reachable),
        }
    }

    /// The end of a construct to which more than one way leads.
    fn join(&mut self, label: &mut Label, reachable: bool) {
        let otherwise = label.otherwise.take();
        let state = match (label.state.take(), &otherwise) {
            (Some(state), _) => state,
            (None, Some((_, state))) => self.kept(state),
            (None, None) => unreachable!("decided by now"),
        };
        if reachable {
            let results = label.results.clone();
            self.carry(&results, label.words);
            self.conform(&state);
        }
        self.truncate(label.height);
        if let Some((around, at)) = otherwise {
            // The arm that is missing: its parameters are its results.
            let one = matches!(label.results, Carried::One(_));
            if *at == *state && !one {
                self.masm.bind(around);
            } else {
                if reachable {
                    self.masm.jump(label.target);
                }
                self.masm.bind(around);
                self.adopt(&at);
                self.push_slots(label.params.types());
                let results = label.results.clone();
                self.carry(&results, label.words);
                self.conform(&state);
                self.truncate(label.height);
            }
            self.spare.push(at);
        }
        self.masm.bind(label.target);
        self.adopt(&state);
        self.spare.push(state);
        match &label.results {
            Carried::One(ty) => {
                let reg = self.allocate(*ty);
                self.masm.mov(reg, Self::scratch_for(*ty), width(*ty));
                self.push_result(*ty, reg);
            }
            many => self.push_slots(many.types()),
        }
    }

    /// Returns, with the results on top of the stack, which stays as it is.
    pub(super) fn emit_return(&mut self) {
        let signature = Rc::clone(&self.signature);
        self.marshal(&signature.results, super::calls::StackPart::Incoming);
        self.masm.return_();
    }
}

const _: () = {
    // A result is carried in what `conform` does not use.
    assert!(!SCRATCH.same_as(SCRATCH2) && !VSCRATCH.same_as(VSCRATCH2));
};
