//! A run in whichever tier the engine has: the interpreter's machine, or machine code.
//!
//! Both keep arguments and results in slots, both come back with an [`Exit`] where the embedder has something to do, and
//! both can be left there for as long as it takes.

use crate::error::CallError;
use crate::interp::{Exit, Machine};
use crate::store::StoreInner;
use crate::trap::{Trap, TrapReport};
use crate::vm::native::NativeRun;
use crate::vm::preempt;
use std::sync::Arc;

/// Fuel for which the interpreter runs between two looks at the thread's mark: some tens of microseconds.
const UNWATCHED_FUEL: i64 = 16 << 10;

/// One run.
#[derive(Debug)]
pub(crate) enum Tier {
    /// By the interpreter.
    Interpreted {
        machine: Machine,
        /// What the last run has left.
        fuel: i64,
    },
    /// By the processor.
    Compiled(NativeRun),
}

impl Tier {
    /// A run for functions of the store, bounded by its limits.
    ///
    /// # Errors
    /// [`CallError::Host`] where the system has no room for a stack.
    pub(crate) fn new(store: &StoreInner) -> Result<Self, CallError> {
        let limits = &store.limits;
        if store.engine.config().compiler.is_some() {
            let run = NativeRun::new(limits.stack_bytes);
            return Ok(Self::Compiled(
                run.map_err(|error| CallError::Host(Arc::new(error)))?,
            ));
        }
        let slots = limits.stack_bytes / size_of::<u64>();
        Ok(Self::Interpreted {
            machine: Machine::new(slots, limits.call_depth),
            fuel: 0,
        })
    }

    /// Prepares a call of a wasm function, whose arguments are already in the first slots.
    ///
    /// # Errors
    /// [`Trap::StackExhausted`] where its frame does not fit.
    pub(crate) fn enter(&mut self, store: &StoreInner, instance: u32, func: u32) -> Result<(), Trap> {
        match self {
            Self::Interpreted { machine, .. } => machine.enter(store, instance, func),
            Self::Compiled(run) => {
                run.enter(store, instance, func);
                Ok(())
            }
        }
    }

    /// The slots of arguments and results.
    pub(crate) fn slots_mut(&mut self) -> &mut [u64] {
        match self {
            Self::Interpreted { machine, .. } => machine.slots_mut(0),
            Self::Compiled(run) => run.slots_mut(),
        }
    }

    /// `count` slots, from `base` on where the tier counts them, for a host function; `None` where they would not
    /// fit the stack.
    pub(crate) fn host_slots(&mut self, base: usize, count: usize) -> Option<&mut [u64]> {
        match self {
            Self::Interpreted { machine, .. } => machine.host_slots(base, count),
            Self::Compiled(run) => run.host_slots(count),
        }
    }

    /// Units of fuel that the last [`Tier::run`] has left.
    pub(crate) fn fuel_left(&self) -> i64 {
        match self {
            Self::Interpreted { fuel, .. } => *fuel,
            Self::Compiled(run) => run.fuel_left(),
        }
    }

    /// Runs until something has to be done outside.
    pub(crate) fn run(&mut self, store: &mut StoreInner, fuel: i64) -> Exit {
        match self {
            Self::Interpreted { machine, fuel: left } => {
                *left = fuel;
                interpret(machine, store, left)
            }
            Self::Compiled(run) => run.run(store, fuel),
        }
    }

    /// After a host function has answered.
    pub(crate) fn host_returned(&mut self) {
        match self {
            Self::Interpreted { machine, .. } => machine.host_returned(),
            Self::Compiled(run) => run.host_returned(),
        }
    }

    /// A trap with the functions that are active.
    #[cold]
    pub(crate) fn report(&self, store: &StoreInner, trap: Trap) -> TrapReport {
        match self {
            Self::Interpreted { machine, .. } => machine.report(store, trap),
            Self::Compiled(run) => run.report(store, trap),
        }
    }
}

/// Runs until something has to be done outside, or the thread is asked for. The run stops for want of fuel where it would if all
/// of it were given at once: what code pays does not depend on what there is.
fn interpret(machine: &mut Machine, store: &mut StoreInner, fuel: &mut i64) -> Exit {
    loop {
        if preempt::take_mark() {
            return Exit::Preempted;
        }
        let given = if preempt::is_enabled() {
            UNWATCHED_FUEL.min(*fuel)
        } else {
            *fuel
        };
        let exit = machine.run(store, given);
        *fuel -= given - machine.fuel_left();
        if *fuel < 0 || !matches!(exit, Exit::Preempted) {
            return exit;
        }
    }
}
