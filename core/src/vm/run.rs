//! What a run of machine code and the engine tell each other.

/// The record of a run. `VmCtx::run` points to it; it lies at the top of the run's stack.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct RunRecord {
    /// Units that are left; code that was asked to counts them down. Code finds it by being first.
    pub(super) fuel: i64,
    /// The host's stack while the guest runs.
    pub(super) host_rsp: usize,
    /// The guest's stack while the host runs; before the run begins, where it begins.
    pub(super) guest_rsp: usize,
    /// Where the guest left: the faulting instruction, or the return address of its call of `leave`.
    pub(super) guest_pc: usize,
    /// The guest's frame there.
    pub(super) guest_frame: usize,
    /// The instance that called `leave`.
    pub(super) instance: usize,
    /// The slots that it gave; before the run begins, those of the arguments.
    pub(super) slots: usize,
    /// What it left for.
    pub(super) request: u32,
    /// First immediate of the request.
    pub(super) a: u32,
    /// Second one.
    pub(super) b: u32,
    /// The signal of the fault.
    pub(super) signal: i32,
    /// The address that could not be accessed.
    pub(super) fault_address: usize,
    /// Where the guest's stack ended at a fault for which the system knows no address; 0 at others.
    pub(super) fault_rsp: usize,
    /// Function in which the run begins.
    pub(super) code: usize,
    /// The trampoline of its type.
    pub(super) entry: usize,
    /// Its instance's context.
    pub(super) vmctx: usize,
    /// Not 0 where the processor has AVX, so that its state is to be cleared on the way out.
    pub(super) avx: u32,
    /// The mark of the thread that enters: see [`super::preempt`].
    pub(super) mark: usize,
}

const _: () = assert!(std::mem::offset_of!(RunRecord, fuel) == 0);

/// Why the guest's side came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// The function has returned.
    Finished,
    /// For the request in the record.
    Request,
    /// By a poll, to be taken up again whatever happens in between.
    Preempted,
    /// By a signal, between any two instructions: what it holds in registers has to stay where it is.
    Interrupted,
    /// It has not been there at all: a preemption was asked for at the door. Everything is as it was before.
    TurnedBack,
    /// By a fault, of which the record tells.
    Faulted,
}

impl Left {
    /// What a stub's number, by `as`, means.
    pub(super) fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Finished,
            1 => Self::Request,
            2 => Self::Preempted,
            3 => Self::Interrupted,
            4 => Self::TurnedBack,
            _ => Self::Faulted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_stubs_own() {
        for left in [
            Left::Finished,
            Left::Request,
            Left::Preempted,
            Left::Interrupted,
            Left::TurnedBack,
            Left::Faulted,
        ] {
            assert_eq!(Left::from_number(left as u32), left);
        }
    }
}
