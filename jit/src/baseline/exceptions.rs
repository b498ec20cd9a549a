//! Exceptions: `throw`, and the landings of a `try_table`.
//!
//! ```text
//!            jmp body               operands are in their slots, locals anywhere
//!   landing: mov rax, [rsp]         payload and reference, where the engine has left them
//!            ...                    on to where the clause branches
//!   body:    ...                    the region: from here ..
//!            ...                    .. to the construct's end
//! ```
//!
//! Nothing is in a register at a landing, and needs to be: before every call locals that are newer than the frame are
//! stored, and operands below those of the construct were in their slots when it opened. What throws is such a call.

use super::control::Label;
use super::function::Function;
use super::place::{Locations, Place, width, words};
use crate::masm::{Mem, Reg, SCRATCH};
use luge_core::compiler::{Handler, abi};
use luge_core::{BlockSignature, Catch, Control, FuncType, ValType};

impl Function<'_> {
    pub(super) fn open_try_table(
        &mut self,
        controls: &mut [Control<Label>],
        ty: BlockSignature<'_>,
        catches: &[Catch<'_>],
    ) -> Label {
        self.settle_flags();
        self.flush();
        self.settle_params(ty.params.len());
        let mut label = self.new_label(ty);
        if catches.is_empty() {
            return label;
        }
        let height = self.stack.len() - ty.params.len();
        let state = self.locations();
        let body = self.masm.label();
        self.masm.jump(body);
        let mut handlers = Vec::with_capacity(catches.len());
        for catch in catches {
            self.truncate(height);
            self.adopt(&Locations::EMPTY);
            let landing = self.masm.label();
            self.masm.bind(landing);
            handlers.push(Handler {
                tag: catch.tag,
                with_ref: catch.with_ref,
                target: self.masm.here(),
                // Known when the function ends.
                place: 0,
            });
            self.push_caught(catch);
            let around = controls.len() - 1 - catch.depth as usize;
            self.branch(&mut controls[around]);
            if self.is_too_large() {
                break;
            }
        }
        self.truncate(height);
        self.masm.bind(body);
        self.adopt(&state);
        self.spare.push(state);
        self.push_slots(ty.params);
        self.handlers.open(self.masm.here(), &handlers);
        label.catches = true;
        label
    }

    /// Pushes what a landing finds.
    fn push_caught(&mut self, catch: &Catch<'_>) {
        let reference = catch.with_ref.then_some(ValType::ExnRef);
        let count = catch.payload.len() + usize::from(catch.with_ref);
        let mut slot = 0;
        for &ty in catch.payload.iter().chain(&reference) {
            let from = Mem::new(Reg::RSP, slot * 8);
            slot += words(ty) as i32;
            if count == 1 {
                let reg = self.allocate(ty);
                self.masm.spill_load(reg, from, width(ty));
                self.push_result(ty, reg);
                continue;
            }
            self.push(ty, Place::Slot);
            if !self.is_too_large() {
                let scratch = Self::scratch_for(ty);
                self.masm.spill_load(scratch, from, width(ty));
                let to = self.slot(self.stack[self.stack.len() - 1]);
                self.masm.spill_store(to, scratch, width(ty));
            }
        }
        self.needs_outgoing(slot as u32 * 8);
    }

    pub(super) fn throw_exception(&mut self, tag: u32, ty: &FuncType) {
        self.settle_flags();
        self.leave_with(abi::LEAVE_THROW, tag, ty.params().len());
    }

    pub(super) fn throw_reference(&mut self) {
        self.leave_with(abi::LEAVE_THROW_REF, 0, 1);
    }

    /// Leaves for good with the top `count` operands as slots.
    fn leave_with(&mut self, request: u32, a: u32, count: usize) {
        self.save_for_call(count);
        let mut slot = 0;
        for position in self.stack.len() - count..self.stack.len() {
            let operand = self.stack[position];
            let to = Mem::new(Reg::RSP, slot * 8);
            slot += words(operand.ty()) as i32;
            self.copy_to_memory(to, operand, SCRATCH);
            if width(operand.ty()) == 4 {
                self.masm.store_imm(Mem::new(Reg::RSP, to.disp + 4), 0, 4);
            }
        }
        self.needs_outgoing((slot as u32).max(abi::LEAVE_SLOTS as u32) * 8);
        self.masm.leave(request, a, 0);
        self.after_call(count);
    }

    /// Carries out a tail call as a call and a return, both by `call`: what the callee throws is no business of this
    /// function's handlers.
    pub(super) fn outside_of_handlers(&mut self, call: impl FnOnce(&mut Self)) {
        self.handlers.open_tail_call(self.masm.here());
        call(self);
        self.handlers.close(self.masm.here());
    }
}
