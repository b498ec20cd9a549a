//! Throwing, in a run of machine code: from the frame that leaves with an exception to one that catches it.
//!
//! ```text
//!   rbp ─► ┌──────────────┐ ▲ the frames of what was called lie below, and are given up
//!          │ context      │ │
//!          │ locals ...   │ │ place: what the handler says of its function's frame
//!          ├──────────────┤ │
//!   rsp ─► │ payload, ref │ ▼ where the handler looks for them
//!          ├──────────────┤
//!          │ handler      │ what `leave` would have pushed, had it been called from the handler: going on means to
//!          │ rbp r15 r14  │ return from it
//!          │ rest of leave│ ◄─ guest_rsp
//!          └──────────────┘
//! ```
//!
//! Nothing of the guest's code runs on the way, and nothing is changed before a handler is found. All of it works on numbers: what
//! is read and written of the guest's stack goes through [`GuestStack`](super::stack::GuestStack), which lets nothing
//! else be reached.

use super::native::{NativeRun, compiler_bug};
use super::stack::ENTRY_SLOTS;
use crate::compiler::Handler;
use crate::exception::Thrown;
use crate::store::StoreInner;
use crate::trap::Trap;

/// Fuel that throwing costs beside what is looked at.
const THROW_COST: i64 = 128;

/// Words that `leave` pushes.
const LEAVE_WORDS: usize = 5;

/// A frame that catches.
struct Catcher {
    handler: Handler,
    instance: usize,
    frame: usize,
}

impl NativeRun {
    /// Throws an exception of the tag that the guest's instance has under this number, or once more the one that it refers
    /// to: afterwards the guest can go on.
    ///
    /// # Errors
    /// The trap that ends the run: [`Trap::UncaughtException`] where nobody catches it, or as [`Thrown`] says.
    pub(super) fn throw(&mut self, store: &mut StoreInner, tag: Option<u32>) -> Result<(), Trap> {
        self.fuel -= THROW_COST;
        let thrown = self.thrown(store, tag)?;
        let catcher = self.catcher(store, thrown.tag).ok_or(Trap::UncaughtException)?;
        let wants = (catcher.handler.tag.is_some(), catcher.handler.with_ref);
        let lowest = self.record().guest_rsp;
        let words = (self.stack.slots() + ENTRY_SLOTS * 8).saturating_sub(lowest) / 8;
        let Some(stack) = self.stack.slots_at(lowest, words) else {
            compiler_bug(&format!(
                "an exception came from {lowest:#x}, outside of its stack"
            ));
        };
        let (slots, cost) = thrown.caught(store, stack, wants)?;
        self.fuel -= cost;
        if self.land(store, &catcher, &slots).is_none() {
            compiler_bug(&format!(
                "the frame at {:#x} that catches an exception reaches out of its stack",
                catcher.frame
            ));
        }
        Ok(())
    }

    /// What the guest has left to throw.
    fn thrown(&mut self, store: &StoreInner, tag: Option<u32>) -> Result<Thrown, Trap> {
        let (instance, address) = (self.record().instance, self.record().slots);
        let tag = tag.map(|tag| store.instances[instance].tags[tag as usize]);
        let count = tag.map_or(1, |tag| store.tags[tag as usize].param_slots());
        let Some(slots) = self.stack.slots_at(address, count) else {
            compiler_bug(&format!(
                "an exception got its payload at {address:#x}, outside of its stack"
            ));
        };
        match tag {
            Some(tag) => Ok(Thrown::new(tag, slots)),
            None => Thrown::again(store, slots[0]),
        }
    }

    /// The innermost frame that catches exceptions of the store's tag `tag`.
    fn catcher(&mut self, store: &StoreInner, tag: u32) -> Option<Catcher> {
        let mut cost = 0;
        // Most frames are of the same instance as the one before.
        let mut last = self.record().instance;
        let mut found = None;
        for (pc, frame) in self.frames() {
            cost += 1;
            let Some(context) = self.stack.word(frame.wrapping_sub(8)) else {
                continue;
            };
            let is = |instance: usize| {
                let context_of = store.instances[instance].context.as_ref();
                context_of.is_some_and(|of| of.vmctx().addr() == context)
            };
            if !is(last) {
                cost += store.instances.len() as i64;
                match (0..store.instances.len()).find(|&instance| is(instance)) {
                    Some(instance) => last = instance,
                    None => continue,
                }
            }
            let instance = &store.instances[last];
            let code = instance.module.machine_code();
            // A frame may be a stub's that keeps a context for whom it calls.
            let Some((code, offset)) = code.and_then(|code| Some((code, code.offset_of(pc)?))) else {
                continue;
            };
            let catches = |number: u32| instance.tags[number as usize] == tag;
            let (handler, looked_at) = code.handlers().find(offset, catches);
            cost += i64::from(looked_at);
            if let Some(handler) = handler {
                found = Some(Catcher {
                    handler,
                    instance: last,
                    frame,
                });
                break;
            }
        }
        self.fuel -= cost;
        found
    }

    /// Lets the guest go on at the handler, which finds `slots`. `None` where the frame is none.
    fn land(&mut self, store: &mut StoreInner, catcher: &Catcher, slots: &[u64]) -> Option<()> {
        let &Catcher {
            handler,
            instance,
            frame,
        } = catcher;
        let StoreInner {
            instances, memories, ..
        } = store;
        let instance = &instances[instance];
        let memory_base = match instance.memories.first() {
            Some(&memory) => memories[memory as usize].bytes_mut().as_mut_ptr().addr(),
            None => 0,
        };
        let target = instance.module.machine_code()?.address_of(handler.target);
        let context = instance.context.as_ref()?.vmctx().addr();
        let rest_of_leave = self.stack.word(self.record().guest_rsp)?;
        let low = frame.checked_sub(handler.place as usize)?;
        let pushed = low.checked_sub(LEAVE_WORDS * 8)?;
        self.stack.slots_at(low, slots.len())?.copy_from_slice(slots);
        let words = [rest_of_leave, memory_base, context, frame, target];
        let to = self.stack.slots_at(pushed, LEAVE_WORDS)?;
        for (slot, word) in to.iter_mut().zip(words) {
            *slot = word as u64;
        }
        self.record_mut().guest_rsp = pushed;
        Some(())
    }
}
