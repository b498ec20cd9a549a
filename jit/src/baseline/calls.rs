//! Calls: of the module's functions, of others through a `FuncRef`, in the place of a return, and into the engine.
//!
//! No register survives a call. What operands hold in registers goes to their slots, locals that are newer than the frame
//! are stored, and afterwards everything is in the frame; it comes back to registers when it is used.

use super::function::Function;
use super::moves::{AbiPlace, AbiPlaces, Move, Signature, parallel};
use super::place::{Operand, Place, RegSet, width, words};
use crate::masm::{Mem, Reg, SCRATCH, SCRATCH2, VSCRATCH};
use luge_core::compiler::abi;
use luge_core::operator::Libcall;
use luge_core::vmctx::offsets;
use luge_core::{FuncType, ValType};
use std::rc::Rc;

/// Where values lie that find no register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StackPart {
    /// At the low end of the own frame: for a callee.
    Outgoing,
    /// In the caller's frame.
    Incoming,
}

impl StackPart {
    fn mem(self, at: u32) -> Mem {
        match self {
            Self::Outgoing => Mem::new(Reg::RSP, at as i32),
            Self::Incoming => Mem::new(Reg::RBP, 16 + at as i32),
        }
    }
}

impl Function<'_> {
    /// Puts the operands on top of the stack to where the calling convention wants them, as many as there are places; the stack
    /// stays as it is. Keeps [`SCRATCH2`].
    pub(super) fn marshal(&mut self, places: &[AbiPlace], part: StackPart) {
        let first = self.stack.len() - places.len();
        if part == StackPart::Incoming && places.iter().any(|place| matches!(place, AbiPlace::Stack(_))) {
            self.marshal_in_place(first, places);
        } else {
            self.marshal_to(first, places, part);
        }
    }

    fn marshal_to(&mut self, first: usize, places: &[AbiPlace], part: StackPart) {
        let mut moves = std::mem::take(&mut self.moves);
        let mut elsewhere = std::mem::take(&mut self.elsewhere);
        for (i, &place) in places.iter().enumerate() {
            let operand = self.stack[first + i];
            match (place, self.register_of(operand)) {
                (AbiPlace::Stack(at), _) => self.copy_to_memory(part.mem(at), operand, SCRATCH),
                (AbiPlace::Reg(dst), None) => elsewhere.push((dst, operand)),
                (AbiPlace::Reg(dst), Some(src)) if dst == src => {}
                (AbiPlace::Reg(dst), Some(src)) => {
                    let ty = operand.ty();
                    moves.push(Move { dst, src, ty });
                }
            }
        }
        parallel(&mut self.masm, &mut moves, SCRATCH, VSCRATCH);
        self.moves = moves;
        for (dst, operand) in elsewhere.drain(..) {
            self.copy_to(dst, operand);
        }
        self.elsewhere = elsewhere;
    }

    /// As [`Function::marshal_to`] where values go to the caller's frame, in which sources may still lie: everything is
    /// first copied to its slot.
    fn marshal_in_place(&mut self, first: usize, places: &[AbiPlace]) {
        for position in first..self.stack.len() {
            let operand = self.stack[position];
            if operand.place() != Place::Slot {
                let slot = self.slot(operand);
                self.copy_to_memory(slot, operand, SCRATCH);
            }
        }
        for (i, place) in places.iter().enumerate() {
            let operand = self.stack[first + i];
            let slot = self.slot(operand);
            match *place {
                AbiPlace::Reg(dst) => self.masm.spill_load(dst, slot, width(operand.ty())),
                AbiPlace::Stack(at) => {
                    let scratch = if operand.ty() == ValType::V128 {
                        VSCRATCH
                    } else {
                        SCRATCH
                    };
                    self.masm.spill_load(scratch, slot, width(operand.ty()));
                    self.masm
                        .spill_store(StackPart::Incoming.mem(at), scratch, width(operand.ty()));
                }
            }
        }
    }

    /// The register that an operand is in.
    fn register_of(&self, operand: Operand) -> Option<Reg> {
        match operand.place() {
            Place::Reg(reg) => Some(reg),
            Place::Local { local, .. } => self.locals[local as usize].reg,
            _ => None,
        }
    }

    /// Before a call that takes the top `count` operands: whatever else is in registers goes to the frame. Changes no register.
    pub(super) fn save_for_call(&mut self, count: usize) {
        let first = (self.stack.len() - count) as u32;
        for reg in self.holding.with(self.cached.dirty).iter() {
            if self.cached.used.contains(reg) {
                self.write_back(reg, self.cached.holds(reg));
            } else if self.positions_held[reg.index()] < first {
                self.vacate(reg);
            }
        }
    }

    /// After a call: its operands are gone, and nothing is in a register.
    pub(super) fn after_call(&mut self, count: usize) {
        let first = self.stack.len() - count;
        if let Some(operand) = self.stack.get(first) {
            self.height_words = operand.words();
        }
        for position in (first..self.stack.len()).rev() {
            if let Place::Local { local, previous } = self.stack[position].place() {
                self.locals[local as usize].newest = previous;
            }
        }
        self.stack.truncate(first);
        self.flushed = self.flushed.min(first);
        self.holding = RegSet::default();
        self.forget_cached();
        self.done();
    }

    /// Pushes the results of a call.
    fn push_call_results(&mut self, ty: &FuncType, places: &[AbiPlace]) {
        for (&ty, &place) in ty.results().iter().zip(places) {
            match place {
                AbiPlace::Reg(reg) => self.push_settled(ty, Place::Reg(reg)),
                AbiPlace::Stack(at) => {
                    let scratch = Self::scratch_for(ty);
                    self.masm
                        .spill_load(scratch, StackPart::Outgoing.mem(at), width(ty));
                    self.push_settled(ty, Place::Slot);
                    let slot = self.slot(self.stack[self.stack.len() - 1]);
                    self.masm.spill_store(slot, scratch, width(ty));
                }
            }
        }
        self.done();
    }

    /// Where the values of calls of a type lie.
    fn signature(&self, type_index: u32) -> Rc<Signature> {
        Rc::clone(&self.signatures[type_index as usize])
    }

    /// Moves the arguments of a call to their places and provides the stack's part.
    fn pass_arguments(&mut self, signature: &Signature) {
        self.save_for_call(signature.params.len());
        self.needs_outgoing(signature.stack_bytes.max(abi::LEAST_STACK_BYTES));
        self.marshal(&signature.params, StackPart::Outgoing);
    }

    pub(super) fn direct_call(&mut self, func: u32, ty: &FuncType) {
        self.settle_flags();
        let signature = self.signature(self.module.funcs()[func as usize]);
        self.pass_arguments(&signature);
        if func < self.module.imported_funcs() {
            self.load_import(func);
            self.masm.call_func_ref();
        } else {
            let at = self.masm.call_unknown();
            self.link_to(at, func);
        }
        self.after_call(signature.params.len());
        self.push_call_results(ty, &signature.results);
    }

    /// Lets a displacement lead to a function of the module, now or when it is compiled.
    fn link_to(&mut self, at: u32, func: u32) {
        let defined = func - self.module.imported_funcs();
        match self.entries.get(defined as usize) {
            Some(&entry) => self.masm.link(at, entry),
            None => self.calls.push((at, defined)),
        }
    }

    /// Puts the `FuncRef` of an imported function into [`SCRATCH2`].
    fn load_import(&mut self, func: u32) {
        let at = self.module.layout().imported_func(func);
        self.masm.lea(SCRATCH2, Mem::new(Reg::VMCTX, at));
    }

    /// Pops a table's index and puts the checked `FuncRef` into [`SCRATCH2`].
    fn pop_func_ref(&mut self, table: u32, type_index: u32) {
        let index = self.pop_reg();
        let layout = self.module.layout();
        self.masm
            .load_func_ref(index, layout.table(table), layout.signature(type_index));
        self.done();
    }

    pub(super) fn table_call(&mut self, table: u32, type_index: u32, ty: &FuncType) {
        self.pop_func_ref(table, type_index);
        let signature = self.signature(type_index);
        self.pass_arguments(&signature);
        self.masm.call_func_ref();
        self.after_call(signature.params.len());
        self.push_call_results(ty, &signature.results);
    }

    pub(super) fn direct_tail_call(&mut self, func: u32, ty: &FuncType) {
        self.settle_flags();
        let signature = self.signature(self.module.funcs()[func as usize]);
        if func < self.module.imported_funcs() {
            self.load_import(func);
            self.foreign_tail_call(ty, &signature);
        } else if signature.stack_bytes <= self.incoming {
            self.marshal(&signature.params, StackPart::Incoming);
            self.masm.close_frame();
            let at = self.masm.jump_unknown();
            self.link_to(at, func);
        } else {
            self.outside_of_handlers(|this| this.direct_call(func, ty));
            self.emit_return();
        }
    }

    pub(super) fn table_tail_call(&mut self, table: u32, type_index: u32, ty: &FuncType) {
        self.pop_func_ref(table, type_index);
        let signature = self.signature(type_index);
        if signature.stack_bytes <= self.incoming {
            let foreign = self.masm.compare_instance();
            let elsewhere = self.masm.label();
            self.masm.jump_if(foreign, elsewhere);
            self.marshal(&signature.params, StackPart::Incoming);
            self.masm.close_frame();
            self.masm.jump_func_ref();
            self.masm.bind(elsewhere);
        }
        self.foreign_tail_call(ty, &signature);
    }

    /// Calls the `FuncRef` in [`SCRATCH2`], which may be of another instance or a host's, in the place of a return.
    ///
    /// A host's function comes back before long and needs its caller's frame to find the caller. What is passed on the
    /// stack needs the frame as well: only then can tail calls between instances use up the stack.
    fn foreign_tail_call(&mut self, ty: &FuncType, signature: &Signature) {
        if signature.stack_bytes == 0 {
            let host = self.masm.compare_host();
            let plain = self.masm.label();
            self.masm.jump_if(host, plain);
            self.marshal(&signature.params, StackPart::Incoming);
            self.masm.close_frame();
            self.masm.jump_tail_call();
            self.masm.bind(plain);
        }
        self.pass_arguments(signature);
        self.outside_of_handlers(|this| this.masm.call_func_ref());
        self.after_call(signature.params.len());
        self.push_call_results(ty, &signature.results);
        self.emit_return();
    }

    /// Has the engine carry out an operator.
    pub(super) fn call_engine(&mut self, libcall: Libcall, a: u32, b: u32) {
        let (params, results) = libcall.arity();
        let count = usize::from(params);
        self.save_for_call(count);
        self.needs_outgoing((abi::LEAVE_SLOTS * 8) as u32);
        let first = self.stack.len() - count;
        for i in 0..count {
            let operand = self.stack[first + i];
            let mem = Mem::new(Reg::RSP, i as i32 * 8);
            self.copy_to_memory(mem, operand, SCRATCH);
            if width(operand.ty()) == 4 {
                self.masm.store_imm(Mem::new(Reg::RSP, i as i32 * 8 + 4), 0, 4);
            }
        }
        self.masm.leave(libcall as u32, a, b);
        self.after_call(count);
        if results == 1 {
            let ty = self.libcall_result(libcall, a);
            let reg = self.allocate(ty);
            self.masm.spill_load(reg, Mem::new(Reg::RSP, 0), width(ty));
            self.push_result(ty, reg);
        }
    }

    fn libcall_result(&self, libcall: Libcall, a: u32) -> ValType {
        match libcall {
            Libcall::RefFunc => ValType::FuncRef,
            Libcall::TableGet => self.module.tables()[a as usize].element,
            Libcall::TableSize | Libcall::TableGrow if self.module.tables()[a as usize].table64 => {
                ValType::I64
            }
            Libcall::MemoryGrow if self.module.memories()[a as usize].memory64 => ValType::I64,
            _ => ValType::I32,
        }
    }

    // --- Trampolines ---------------------------------------------------------------------------------------------

    /// The trampoline by which the engine enters functions of a type; gives its offset.
    pub(super) fn entry_trampoline(&mut self, ty: &FuncType) -> u32 {
        let stack = AbiPlaces::stack_bytes(ty.params())
            .max(AbiPlaces::stack_bytes(ty.results()))
            .max(abi::LEAST_STACK_BYTES);
        self.masm.clear_labels();
        self.masm.align_function();
        let start = self.masm.here();
        self.masm.push_frame();
        self.masm.reserve_unchecked((stack + 16 + 15) & !15);
        let kept = Mem::new(Reg::RBP, -16);
        self.masm.spill_store(kept, Reg::RDI, 8);
        let mut places = AbiPlaces::default();
        let mut slot = 0;
        let mut first = None;
        for &ty in ty.params() {
            let from = Mem::new(Reg::RDI, slot * 8);
            slot += words(ty) as i32;
            match places.next(ty) {
                // The slots' own register comes last.
                AbiPlace::Reg(Reg::RDI) => first = Some((from, ty)),
                AbiPlace::Reg(reg) => self.masm.spill_load(reg, from, width(ty)),
                AbiPlace::Stack(at) => {
                    let scratch = if ty.is_float() { VSCRATCH } else { SCRATCH2 };
                    self.masm.spill_load(scratch, from, width(ty));
                    self.masm
                        .spill_store(StackPart::Outgoing.mem(at), scratch, width(ty));
                }
            }
        }
        if let Some((from, ty)) = first {
            self.masm.spill_load(Reg::RDI, from, width(ty));
        }
        self.masm.call_scratch();
        self.masm.spill_load(SCRATCH2, kept, 8);
        let mut places = AbiPlaces::default();
        let mut slot = 0;
        for &ty in ty.results() {
            let to = Mem::new(SCRATCH2, slot * 8);
            slot += words(ty) as i32;
            let src = match places.next(ty) {
                AbiPlace::Reg(reg) => reg,
                AbiPlace::Stack(at) => {
                    let scratch = Self::scratch_for(ty);
                    self.masm
                        .spill_load(scratch, StackPart::Outgoing.mem(at), width(ty));
                    scratch
                }
            };
            self.store_slot(to, src, ty);
        }
        self.masm.return_();
        self.masm.finish_function();
        start
    }

    /// Stores a value as a slot, whose upper half is zero if the value has 32 bits.
    fn store_slot(&mut self, to: Mem, src: Reg, ty: ValType) {
        self.masm.spill_store(to, src, width(ty));
        if width(ty) == 4 {
            let upper = Mem::new(to.base, to.disp + 4);
            self.masm.store_imm(upper, 0, 4);
        }
    }

    /// The trampoline that stands for host functions of a type; gives its offset.
    pub(super) fn host_trampoline(&mut self, ty: &FuncType) -> u32 {
        let slots = |types: &[ValType]| types.iter().map(|&ty| words(ty)).sum::<u32>();
        let slots = slots(ty.params())
            .max(slots(ty.results()))
            .max(abi::HOST_SLOTS as u32);
        self.masm.clear_labels();
        self.masm.align_function();
        let start = self.masm.here();
        self.masm.push_frame();
        self.masm.adopt_caller();
        self.masm.reserve((slots * 8 + 16 + 15) & !15);
        let mut places = AbiPlaces::default();
        let mut slot = 0;
        for &ty in ty.params() {
            let to = Mem::new(Reg::RSP, slot * 8);
            slot += words(ty) as i32;
            let src = match places.next(ty) {
                AbiPlace::Reg(reg) => reg,
                AbiPlace::Stack(at) => {
                    let scratch = Self::scratch_for(ty);
                    self.masm
                        .spill_load(scratch, StackPart::Incoming.mem(at), width(ty));
                    scratch
                }
            };
            self.store_slot(to, src, ty);
        }
        self.masm.leave_for_host();
        let mut places = AbiPlaces::default();
        let mut slot = 0;
        for &ty in ty.results() {
            let from = Mem::new(Reg::RSP, slot * 8);
            slot += words(ty) as i32;
            match places.next(ty) {
                AbiPlace::Reg(reg) => self.masm.spill_load(reg, from, width(ty)),
                AbiPlace::Stack(at) => {
                    let scratch = Self::scratch_for(ty);
                    self.masm.spill_load(scratch, from, width(ty));
                    self.masm
                        .spill_store(StackPart::Incoming.mem(at), scratch, width(ty));
                }
            }
        }
        self.masm.return_();
        self.masm.finish_function();
        start
    }
}

// The context is reached with one-byte displacements.
const _: () = assert!(offsets::memory_base >= 0);
