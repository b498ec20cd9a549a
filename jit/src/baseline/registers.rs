//! The register cache: which register is given out next, and what has to leave it.
//!
//! Registers hold locals (as a cache of their place in the frame, *dirty* if newer than it) and operands. Nothing is
//! stored before it must be: a local leaves its register for the frame when the register is wanted, before a call, or
//! where a label wants it there.

use super::function::Function;
use super::place::{Operand, Place, RegSet, registers_for, width, words};
use crate::masm::{Mem, Reg, Rhs, SCRATCH, SCRATCH2, VSCRATCH};
use luge_core::ValType;

impl Function<'_> {
    // --- Places --------------------------------------------------------------------------------------------------

    /// The slot of an operand.
    pub(super) fn slot(&self, operand: Operand) -> Mem {
        self.slot_at(operand.words(), operand.ty())
    }

    /// The slot of an operand of this type with so many words below it.
    pub(super) fn slot_at(&self, below: u32, ty: ValType) -> Mem {
        let end = (below + words(ty)) as i32;
        Mem::new(Reg::RBP, self.operands_end - end * 8)
    }

    /// The place of a local in the frame.
    pub(super) fn local_mem(&self, local: u32) -> Mem {
        Mem::new(Reg::RBP, self.locals[local as usize].disp)
    }

    // --- Registers -----------------------------------------------------------------------------------------------

    /// Registers that hold anything.
    #[inline(always)]
    pub(super) fn occupied(&self) -> RegSet {
        self.cached.used.with(self.holding)
    }

    /// A register for a value of this type, which nothing holds any more; it is protected until the operator is done.
    pub(super) fn allocate(&mut self, ty: ValType) -> Reg {
        let class = registers_for(ty).without(self.busy);
        let free = class.without(self.occupied());
        let reg = free
            .without(self.homes)
            .first()
            .or_else(|| free.first())
            .unwrap_or_else(|| self.evict(class));
        self.busy.insert(reg);
        reg
    }

    /// A free register of the type, if there is one that no loop wants for another.
    pub(super) fn allocate_if_free(&mut self, ty: ValType) -> Option<Reg> {
        let free = registers_for(ty).without(self.busy).without(self.occupied());
        let reg = free.without(self.homes).first()?;
        self.busy.insert(reg);
        Some(reg)
    }

    /// Empties the register of `class`, all of which are occupied, that is cheapest to do without.
    #[inline(never)]
    fn evict(&mut self, class: RegSet) -> Reg {
        let mut best = None;
        for reg in class.iter() {
            let cost = if self.cached.used.contains(reg) {
                let home = self.locals[self.cached.holds(reg) as usize].home == Some(reg);
                1 + u32::from(self.cached.dirty.contains(reg)) + if home { 4 } else { 0 }
            } else if (self.positions_held[reg.index()] as usize) + 4 < self.stack.len() {
                // The deepest is needed last.
                3
            } else {
                4
            };
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, reg));
            }
        }
        let (_, reg) = best.expect("an operator needs fewer registers than there are");
        self.vacate(reg);
        reg
    }

    /// Empties a register.
    pub(super) fn vacate(&mut self, reg: Reg) {
        if self.cached.used.contains(reg) {
            let local = self.cached.holds(reg);
            self.write_back(reg, local);
            self.uncache(local);
        } else if self.holding.contains(reg) {
            let position = self.positions_held[reg.index()] as usize;
            let operand = self.stack[position];
            let slot = self.slot(operand);
            self.masm.spill_store(slot, reg, width(operand.ty()));
            self.replace(position, Place::Slot);
            self.holding.remove(reg);
        }
    }

    /// Stores a cached local if the frame does not have its value.
    pub(super) fn write_back(&mut self, reg: Reg, local: u32) {
        if self.cached.dirty.contains(reg) {
            let of = &self.locals[local as usize];
            let (mem, width) = (Mem::new(Reg::RBP, of.disp), width(of.ty));
            self.masm.spill_store(mem, reg, width);
            self.cached.dirty.remove(reg);
        }
    }

    /// Lets a register hold the operand at a position.
    #[inline(always)]
    fn hold(&mut self, reg: Reg, position: usize) {
        self.positions_held[reg.index()] = position as u32;
        self.holding.insert(reg);
    }

    /// Forgets that a local is cached.
    pub(super) fn uncache(&mut self, local: u32) {
        if let Some(reg) = self.locals[local as usize].reg.take() {
            self.cached.remove(reg);
        }
    }

    /// Lets a register cache a local.
    #[inline]
    pub(super) fn cache(&mut self, reg: Reg, local: u32, dirty: bool) {
        debug_assert!(!self.occupied().contains(reg));
        self.cached.insert(reg, local, dirty);
        self.locals[local as usize].reg = Some(reg);
    }

    /// The register of a local, loaded where it has none; protected until the operator is done.
    #[inline]
    pub(super) fn local_reg(&mut self, local: u32) -> Reg {
        match self.locals[local as usize].reg {
            Some(reg) => {
                self.busy.insert(reg);
                reg
            }
            None => self.load_local(local),
        }
    }

    #[inline(never)]
    fn load_local(&mut self, local: u32) -> Reg {
        let ty = self.locals[local as usize].ty;
        let reg = match self.locals[local as usize].home {
            Some(home) if !self.occupied().contains(home) && !self.busy.contains(home) => {
                self.busy.insert(home);
                home
            }
            _ => self.allocate(ty),
        };
        let mem = self.local_mem(local);
        self.masm.spill_load(reg, mem, width(ty));
        self.cache(reg, local, false);
        reg
    }

    // --- The stack -----------------------------------------------------------------------------------------------

    /// Pushes an operand.
    pub(super) fn push(&mut self, ty: ValType, place: Place) {
        self.settle_flags();
        self.push_settled(ty, place);
    }

    /// Pushes an operand on a stack whose top is not in the flags.
    #[inline(always)]
    pub(super) fn push_settled(&mut self, ty: ValType, place: Place) {
        debug_assert!(!self.flags_on_top);
        let below = self.height_words;
        match place {
            Place::Reg(reg) => self.hold(reg, self.stack.len()),
            Place::Flags(_) => self.flags_on_top = true,
            _ => {}
        }
        self.height_words = below + words(ty);
        self.most_words = self.most_words.max(self.height_words);
        self.stack.push(Operand::new(ty, place, below));
    }

    /// Pushes the value of a local.
    pub(super) fn push_local(&mut self, local: u32) {
        if self.flags_on_top {
            return self.push_local_settling(local);
        }
        let position = self.stack.len() as u32 + 1;
        let of = &mut self.locals[local as usize];
        let previous = std::mem::replace(&mut of.newest, position);
        let ty = of.ty;
        self.push_settled(ty, Place::Local { local, previous });
    }

    #[cold]
    #[inline(never)]
    fn push_local_settling(&mut self, local: u32) {
        self.settle_flags();
        self.push_local(local);
    }

    /// Puts another place in for that of the operand at a position.
    #[inline(always)]
    pub(super) fn replace(&mut self, position: usize, place: Place) {
        let operand = &mut self.stack[position];
        *operand = operand.at(place);
    }

    /// Pops an operand, wherever it is. A register of its own is given up, but stays protected until the operator is done.
    #[inline]
    pub(super) fn pop(&mut self) -> Operand {
        let operand = self.stack.pop();
        self.flushed = self.flushed.min(self.stack.len());
        self.height_words = operand.words();
        self.flags_on_top = false;
        match operand.place() {
            Place::Local { local, previous } => self.locals[local as usize].newest = previous,
            Place::Reg(reg) => {
                self.holding.remove(reg);
                self.busy.insert(reg);
            }
            _ => {}
        }
        operand
    }

    /// The value of a popped operand in a register: its own, its local's, or a new one. It must not be changed unless it is
    /// the operator's destination.
    #[inline]
    pub(super) fn in_reg(&mut self, operand: Operand) -> Reg {
        match operand.place() {
            Place::Reg(reg) => reg,
            Place::Local { local, .. } => self.local_reg(local),
            _ => self.brought(operand),
        }
    }

    /// The value of a popped operand that is in no register, in a new one.
    #[inline(never)]
    fn brought(&mut self, operand: Operand) -> Reg {
        let reg = self.allocate(operand.ty());
        match operand.place() {
            Place::Slot => {
                let slot = self.slot(operand);
                self.masm.spill_load(reg, slot, width(operand.ty()));
            }
            Place::Const(bits) => self.load_const(reg, operand.ty(), bits),
            Place::Flags(condition) => self.masm.set(reg, condition),
            Place::Reg(_) | Place::Local { .. } => unreachable!("these have registers of their own"),
        }
        reg
    }

    /// Pops an operand into a register.
    pub(super) fn pop_reg(&mut self) -> Reg {
        let operand = self.pop();
        self.in_reg(operand)
    }

    /// Pops a second operand: a constant, a place in the frame, or a register.
    pub(super) fn pop_rhs(&mut self) -> Rhs {
        let operand = self.pop();
        match operand.place() {
            Place::Const(bits) if !operand.ty().is_float() => Rhs::Imm(bits),
            Place::Slot if operand.ty() != ValType::V128 => Rhs::Mem(self.slot(operand)),
            _ => Rhs::Reg(self.in_reg(operand)),
        }
    }

    /// A constant in a register.
    pub(super) fn load_const(&mut self, reg: Reg, ty: ValType, bits: u64) {
        match ty {
            ValType::V128 if bits == 0 => self.masm.vector_imm(reg, 0),
            ValType::V128 => unreachable!("vector constants go to a register at once"),
            ValType::F32 | ValType::F64 => self.masm.float_imm(reg, bits, width(ty)),
            _ => self.masm.mov_imm(reg, bits, width(ty)),
        }
    }

    /// The value of an operand that stays on the stack, in this register, which holds nothing that is needed. Changes no
    /// flags and no state.
    pub(super) fn copy_to(&mut self, dst: Reg, operand: Operand) {
        match operand.place() {
            Place::Reg(reg) => self.masm.mov(dst, reg, width(operand.ty())),
            Place::Local { local, .. } => match self.locals[local as usize].reg {
                Some(reg) => self.masm.mov(dst, reg, width(operand.ty())),
                None => {
                    let mem = self.local_mem(local);
                    self.masm.spill_load(dst, mem, width(operand.ty()));
                }
            },
            Place::Slot => {
                let slot = self.slot(operand);
                self.masm.spill_load(dst, slot, width(operand.ty()));
            }
            Place::Const(bits) => self.load_const(dst, operand.ty(), bits),
            Place::Flags(_) => unreachable!("flags settle before they are copied"),
        }
    }

    /// The value of an operand that stays on the stack, in memory. Changes no flags and no state; `general` and
    /// [`VSCRATCH`] may be lost.
    pub(super) fn copy_to_memory(&mut self, mem: Mem, operand: Operand, general: Reg) {
        let width = width(operand.ty());
        if let Place::Const(bits) = operand.place()
            && operand.ty() != ValType::V128
        {
            let small = if width == 4 {
                Some(bits as u32 as i32)
            } else {
                i32::try_from(bits.cast_signed()).ok()
            };
            if let Some(small) = small {
                self.masm.store_imm(mem, small, width);
                return;
            }
            self.masm.mov_imm(general, bits, 8);
            self.masm.spill_store(mem, general, width);
            return;
        }
        let in_register = match operand.place() {
            Place::Reg(reg) => Some(reg),
            Place::Local { local, .. } => self.locals[local as usize].reg,
            _ => None,
        };
        let reg = in_register.unwrap_or_else(|| {
            let scratch = if operand.ty() == ValType::V128 {
                VSCRATCH
            } else {
                general
            };
            self.copy_raw(scratch, operand);
            scratch
        });
        self.masm.spill_store(mem, reg, width);
    }

    /// As [`Function::copy_to`], where a float may come to a general register, as its bits.
    fn copy_raw(&mut self, dst: Reg, operand: Operand) {
        let mem = match operand.place() {
            Place::Local { local, .. } => self.local_mem(local),
            Place::Slot => self.slot(operand),
            _ => return self.copy_to(dst, operand),
        };
        self.masm.spill_load(dst, mem, width(operand.ty()));
    }

    /// Turns flags on top of the stack into a value.
    #[inline]
    pub(super) fn settle_flags(&mut self) {
        if self.flags_on_top {
            self.set_from_flags();
        }
    }

    #[cold]
    fn set_from_flags(&mut self) {
        self.flags_on_top = false;
        let position = self.stack.len() - 1;
        let Place::Flags(condition) = self.stack[position].place() else {
            unreachable!("the flags are known to hold the top")
        };
        let busy = self.busy;
        let reg = self.allocate(ValType::I32);
        self.masm.set(reg, condition);
        self.busy = busy;
        self.replace(position, Place::Reg(reg));
        self.hold(reg, position);
    }

    /// Puts the operand at a position into its slot, unless it is a constant. Its local's chain is the caller's matter.
    pub(super) fn settle(&mut self, position: usize) {
        let operand = self.stack[position];
        match operand.place() {
            Place::Const(_) | Place::Slot => return,
            Place::Flags(_) => unreachable!("flags settle on their own"),
            Place::Reg(_) | Place::Local { .. } => {
                let slot = self.slot(operand);
                self.copy_to_memory(slot, operand, SCRATCH2);
            }
        }
        if let Place::Reg(reg) = operand.place() {
            self.holding.remove(reg);
        }
        self.replace(position, Place::Slot);
    }

    /// Puts all operands into their slots; constants stay what they are. Changes no flags.
    pub(super) fn flush(&mut self) {
        for position in self.flushed..self.stack.len() {
            if let Place::Local { local, .. } = self.stack[position].place() {
                // Whatever lies in a local lies above `flushed` and leaves it now.
                self.locals[local as usize].newest = 0;
            }
            self.settle(position);
        }
        self.flushed = self.stack.len();
    }

    /// Moves operands that lie in a local out of it, because it is about to be written.
    pub(super) fn preserve(&mut self, local: u32) {
        let mut next = std::mem::take(&mut self.locals[local as usize].newest);
        while next != 0 {
            let position = next as usize - 1;
            let operand = self.stack[position];
            let Place::Local { previous, .. } = operand.place() else {
                unreachable!("the chain of a local holds operands in that local")
            };
            let busy = self.busy;
            match self.allocate_if_free(operand.ty()) {
                Some(reg) => {
                    self.copy_to(reg, operand);
                    self.replace(position, Place::Reg(reg));
                    self.hold(reg, position);
                    self.flushed = self.flushed.min(position);
                }
                None => self.settle(position),
            }
            self.busy = busy;
            next = previous;
        }
    }

    /// A register for the result of the operator that is being translated: the one that the next operator wants it in, that of
    /// an operand which is used up, or a new one.
    #[inline(always)]
    pub(super) fn result_reg<const N: usize>(&mut self, ty: ValType, operands: [Operand; N]) -> Reg {
        if let Some(local) = self.result_local
            && let Some(reg) = self.claim(local, ty)
        {
            return reg;
        }
        for operand in operands {
            if let Place::Reg(reg) = operand.place()
                && operand.ty().is_float() == ty.is_float()
            {
                return reg;
            }
        }
        self.allocate(ty)
    }

    /// Empties the register that a local is to be in, because the next operator writes the local. `None` where it has none.
    #[inline(never)]
    fn claim(&mut self, local: u32, ty: ValType) -> Option<Reg> {
        // The next operator is not validated yet.
        let of = *self.locals.get(local as usize).filter(|of| of.ty == ty)?;
        let reg = match (of.home, of.reg) {
            (Some(home), Some(reg)) if home == reg => home,
            // Protected, and yet held by nothing: a source of this very operator.
            (Some(home), _) if !self.occupied().contains(home) => home,
            (None, Some(reg)) => reg,
            _ => return None,
        };
        self.preserve(local);
        self.uncache(local);
        self.busy.insert(reg);
        Some(reg)
    }

    /// Ends an operator: pushes its result, if any, and lifts the protection of its registers.
    pub(super) fn push_result(&mut self, ty: ValType, reg: Reg) {
        self.busy = RegSet::default();
        self.push_settled(ty, Place::Reg(reg));
    }

    /// Scratch of the class of a type.
    pub(super) fn scratch_for(ty: ValType) -> Reg {
        if ty.is_float() { VSCRATCH } else { SCRATCH }
    }
}
