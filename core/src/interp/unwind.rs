//! Throwing: from the frame that throws to one that catches.
//!
//! ```text
//!   frames      entry ◄── caller ◄── caller ◄── thrower         each is looked up in its module's handlers by where it stands
//!                            └─ catches: the frames above it are gone, payload and reference lie where its handler
//!                               wants them, and it goes on there
//! ```
//!
//! Nothing is changed before a handler is found, so that the report of an exception that nobody catches names all who were
//! active.

use super::inst::Pc;
use super::machine::{Exit, Frame, Machine};
use crate::exception::Thrown;
use crate::handlers::Handler;
use crate::store::StoreInner;
use crate::trap::Trap;

/// Fuel that throwing costs beside what is looked at: as much as any stretch of code, so that a handler begins with all paid.
const THROW_COST: i64 = super::code::STRETCH as i64;

/// A frame that catches.
struct Catcher {
    handler: Handler,
    instance: u32,
    base: usize,
    /// How many frames wait for it and its callees.
    callers: usize,
}

impl Machine {
    /// What the running instance throws by `throw`, its payload from slot `base` on.
    pub(super) fn thrown(&self, store: &StoreInner, tag: u32, base: usize) -> Thrown {
        let tag = store.instances[self.instance as usize].tags[tag as usize];
        let slots = store.tags[tag as usize].param_slots();
        Thrown::new(tag, &self.stack[base..base + slots])
    }

    /// Throws; gives what the embedder has to know.
    pub(super) fn throw(&mut self, store: &mut StoreInner, thrown: Result<Thrown, Trap>) -> Option<Exit> {
        self.fuel -= THROW_COST;
        if let Err(trap) = thrown.and_then(|thrown| self.unwind(store, thrown)) {
            return Some(Exit::Trapped(self.report(store, trap)));
        }
        (self.fuel < 0).then_some(Exit::Preempted)
    }

    /// Goes on in the innermost frame that catches.
    fn unwind(&mut self, store: &mut StoreInner, thrown: Thrown) -> Result<(), Trap> {
        let catcher = self.catcher(store, thrown.tag).ok_or(Trap::UncaughtException)?;
        let Handler {
            tag,
            with_ref,
            target,
            place,
        } = catcher.handler;
        // Whatever the run refers to lies below the end of the frame that throws.
        let stack = &self.stack[..self.frame_end(store)];
        let (slots, cost) = thrown.caught(store, stack, (tag.is_some(), with_ref))?;
        self.fuel -= cost;
        let first = catcher.base + place as usize;
        self.stack[first..first + slots.len()].copy_from_slice(&slots);
        self.frames.truncate(catcher.callers);
        self.instance = catcher.instance;
        self.base = catcher.base;
        self.pc = target;
        Ok(())
    }

    /// The innermost frame that catches exceptions of the store's tag `tag`.
    fn catcher(&mut self, store: &StoreInner, tag: u32) -> Option<Catcher> {
        let (mut instance, mut pc, mut base): (u32, Pc, usize) = (self.instance, self.pc, self.base);
        let mut callers = self.frames.len();
        loop {
            let entity = &store.instances[instance as usize];
            let catches = |number: u32| entity.tags[number as usize] == tag;
            let (handler, looked_at) = entity.module.code().handlers.find(pc, catches);
            self.fuel -= i64::from(looked_at);
            if let Some(handler) = handler {
                return Some(Catcher {
                    handler,
                    instance,
                    base,
                    callers,
                });
            }
            callers -= 1;
            let caller = self.frames[callers];
            if caller.pc == Frame::ENTRY {
                return None;
            }
            // A return address is one past the call.
            (instance, pc, base) = (caller.instance, caller.pc - 1, caller.base);
        }
    }

    /// The slot behind the running frame.
    fn frame_end(&self, store: &StoreInner) -> usize {
        let code = store.instances[self.instance as usize].module.code();
        let func = code
            .func_at(self.pc)
            .expect("the running instruction is some function's");
        self.base + usize::from(code.funcs[func as usize].frame)
    }
}
