//! The state of one run, and the outer loop that drives the dispatch loop.
//!
//! ```text
//!   Machine ── stack: slots ──────────────┐        frames: who called whom
//!     0 ┌──────────────┐                  │        ┌ instance, return pc, caller's base ┐
//!       │ frame 0      │                  │        ├────────────────────────────────────┤
//!  base │ frame 1      │ ← window of 2^16 │        │ ...                                │
//!       │   ...        │   slots          │        └────────────────────────────────────┘
//! limit ├──────────────┤ ← frames end below this
//!       │ 2^16 spare   │ ← so that the window always fits
//!       └──────────────┘
//! ```
//!
//! The slots are never cleared between frames: parameters are written by the caller, declared locals are zeroed on
//! entry, and validation proves that an operand is written before it is read. A guest therefore cannot see what another
//! frame, or another run on the same stack, has left.
//!
//! The dispatch loop holds the running instance's memory and globals by reference. Whatever needs more of the store (host
//! calls, table and bulk operators, calls into another instance) leaves it with an [`Action`], is done here, and
//! enters it again.

use super::dispatch::{self, Action};
use super::inst::Pc;
use super::libcall::{LIBCALL_SLOTS, Progress, perform_libcall};
use super::stack::ValueStack;
use crate::exception::Thrown;
use crate::store::{FuncEntity, StoreInner};
use crate::trap::{BacktraceFrame, Trap, TrapReport};

/// A caller that waits for its callee.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// Where it goes on; [`Frame::ENTRY`] marks the embedder.
    pub(super) pc: Pc,
    /// Its instance.
    pub(super) instance: u32,
    /// Its first slot.
    pub(super) base: usize,
}

impl Frame {
    /// The return address of a run's first frame.
    pub(super) const ENTRY: Pc = Pc::MAX;
}

/// One run.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(super) stack: ValueStack,
    pub(super) frames: Vec<Frame>,
    /// First slot that no frame may reach.
    pub(super) limit: usize,
    /// Frames that may be active at once.
    pub(super) max_depth: usize,
    pub(super) instance: u32,
    pub(super) pc: Pc,
    pub(super) base: usize,
    /// Units left until the run has to be offered back; may go below zero by the last step.
    pub(super) fuel: i64,
}

/// Why the interpreter came back.
#[derive(Debug)]
pub(crate) enum Exit {
    /// The first function has returned; its results are in the first slots.
    Finished,
    /// Fuel is used up; the run can go on.
    Preempted,
    /// A host function is to be called, with its slots from `base` on; then the run goes on.
    Host { func: u32, base: usize, instance: u32 },
    /// The guest trapped.
    Trapped(TrapReport),
}

impl Machine {
    /// A machine whose value stack has `slots` slots and at most `max_depth` frames.
    pub(crate) fn new(slots: usize, max_depth: usize) -> Self {
        let stack = ValueStack::new(slots);
        Self {
            limit: stack.limit(),
            stack,
            frames: Vec::new(),
            max_depth,
            instance: 0,
            // Nothing is active yet: a report has no frames to name.
            pc: Frame::ENTRY,
            base: 0,
            fuel: 0,
        }
    }

    /// Prepares a call of a wasm function, whose arguments are already in the first slots.
    ///
    /// # Errors
    /// [`Trap::StackExhausted`] where its frame does not fit.
    pub(crate) fn enter(&mut self, store: &StoreInner, instance: u32, func: u32) -> Result<(), Trap> {
        self.frames.clear();
        self.instance = instance;
        self.base = 0;
        self.pc = Frame::ENTRY;
        self.push_frame(store, instance, func, 0)
    }

    /// The slots from `base` on.
    pub(crate) fn slots_mut(&mut self, base: usize) -> &mut [u64] {
        &mut self.stack[base..]
    }

    /// `count` slots from `base` on for a host function; `None` where they would not fit the stack.
    pub(crate) fn host_slots(&mut self, base: usize, count: usize) -> Option<&mut [u64]> {
        self.stack.get_mut(base..base.checked_add(count)?)
    }

    /// Units of fuel that the last [`Machine::run`] has left.
    pub(crate) fn fuel_left(&self) -> i64 {
        self.fuel
    }

    /// Runs until something has to be done outside of the interpreter.
    pub(crate) fn run(&mut self, store: &mut StoreInner, fuel: i64) -> Exit {
        self.fuel = fuel;
        loop {
            match dispatch::run(store, self) {
                Action::Finished => return Exit::Finished,
                Action::Preempted => return Exit::Preempted,
                Action::Trap(trap) => return Exit::Trapped(self.report(store, trap)),
                Action::SwitchInstance => {}
                Action::Stray => unreachable!("code goes on, calls and returns to what there is"),
                Action::Call { func, base } => match store.funcs[func as usize] {
                    FuncEntity::Wasm { instance, func, .. } => {
                        if let Err(trap) = self.push_frame(store, instance, func, base) {
                            return Exit::Trapped(self.report(store, trap));
                        }
                        if self.fuel < 0 {
                            return Exit::Preempted;
                        }
                    }
                    FuncEntity::Host { .. } => {
                        return Exit::Host {
                            func,
                            base,
                            instance: self.instance,
                        };
                    }
                },
                Action::TailCall { func, base } => match store.funcs[func as usize] {
                    FuncEntity::Wasm { instance, func, .. } => {
                        if let Err(trap) = self.replace_frame(store, instance, func, base) {
                            return Exit::Trapped(self.report(store, trap));
                        }
                        if self.fuel < 0 {
                            return Exit::Preempted;
                        }
                    }
                    FuncEntity::Host { .. } => {
                        return Exit::Host {
                            func,
                            base,
                            instance: self.instance,
                        };
                    }
                },
                Action::Throw { tag, base } => {
                    let thrown = self.thrown(store, tag, base);
                    if let Some(exit) = self.throw(store, Ok(thrown)) {
                        return exit;
                    }
                }
                Action::ThrowRef { reference } => {
                    let thrown = Thrown::again(store, reference);
                    if let Some(exit) = self.throw(store, thrown) {
                        return exit;
                    }
                }
                Action::Libcall { base, call, a, b } => {
                    let slots = &mut self.stack[base..base + LIBCALL_SLOTS];
                    let instance = self.instance as usize;
                    match perform_libcall(store, instance, slots, &mut self.fuel, call, a, b) {
                        Ok(Progress::Done) => self.pc += 1,
                        // The operands say what is left: the same instruction goes on later.
                        Ok(Progress::Partial) => {}
                        Err(trap) => return Exit::Trapped(self.report(store, trap)),
                    }
                    if self.fuel < 0 {
                        return Exit::Preempted;
                    }
                }
            }
        }
    }

    /// After a host function has answered: the call instruction is done.
    pub(crate) fn host_returned(&mut self) {
        self.pc += 1;
    }

    /// Enters a function: the caller goes on after the instruction at `pc`.
    fn push_frame(&mut self, store: &StoreInner, instance: u32, func: u32, base: usize) -> Result<(), Trap> {
        let code = store.instances[instance as usize].module.code().funcs[func as usize];
        if base + usize::from(code.frame) > self.limit || self.frames.len() >= self.max_depth {
            return Err(Trap::StackExhausted);
        }
        let pc = if self.pc == Frame::ENTRY {
            Frame::ENTRY
        } else {
            self.pc + 1
        };
        self.frames.push(Frame {
            pc,
            instance: self.instance,
            base: self.base,
        });
        self.stack[base + usize::from(code.params)..base + usize::from(code.locals)].fill(0);
        self.instance = instance;
        self.base = base;
        self.pc = code.entry;
        self.fuel -= code.call_cost();
        Ok(())
    }

    /// Enters a function in the place of the running one, with the arguments from `base` on.
    fn replace_frame(
        &mut self,
        store: &StoreInner,
        instance: u32,
        func: u32,
        base: usize,
    ) -> Result<(), Trap> {
        let code = store.instances[instance as usize].module.code().funcs[func as usize];
        if self.base + usize::from(code.frame) > self.limit {
            return Err(Trap::StackExhausted);
        }
        let (params, locals) = (usize::from(code.params), usize::from(code.locals));
        self.stack.copy_within(base..base + params, self.base);
        self.stack[self.base + params..self.base + locals].fill(0);
        self.instance = instance;
        self.pc = code.entry;
        self.fuel -= code.call_cost();
        Ok(())
    }

    /// A trap with the functions that are active.
    #[cold]
    pub(crate) fn report(&self, store: &StoreInner, trap: Trap) -> TrapReport {
        let mut backtrace = Vec::new();
        let mut at = Some((self.instance, self.pc));
        let mut callers = self.frames.iter().rev();
        while let Some((instance, pc)) = at {
            if pc == Frame::ENTRY || backtrace.len() == TrapReport::MAX_FRAMES {
                break;
            }
            let module = &store.instances[instance as usize].module;
            if let Some(func) = module.code().func_at(pc) {
                let func_index = module.imported_funcs() + func;
                backtrace.push(BacktraceFrame {
                    func_index,
                    name: module.func_name(func_index).map(str::to_owned),
                });
            }
            // A return address is one past the call.
            at = callers.next().map(|frame| {
                let pc = if frame.pc == Frame::ENTRY {
                    Frame::ENTRY
                } else {
                    frame.pc - 1
                };
                (frame.instance, pc)
            });
        }
        TrapReport { trap, backtrace }
    }
}
