//! Ending, yielding, signals and randomness.
//!
//! `random_get` gives no count back, so it must fill the whole buffer; a guest may ask for gigabytes. It works in
//! portions: after each it blocks until *now*, which lets others run, and the call that follows goes on where this one
//! ended. The progress is recognised by the arguments and forgotten as soon as the guest calls anything else.

use std::time::Instant;

use super::Errno;
use super::ctx::{Pending, WasiCtx};
use super::memory::{GuestMemory, touch};
use super::outcome::{Outcome, Stop};

/// The most random bytes that one call makes before it lets others run: well under a millisecond of work.
pub(super) const RANDOM_PORTION: u32 = 128 * 1024;

/// `proc_exit`: ends the run with any 32-bit code.
pub(super) fn proc_exit(_: &mut WasiCtx, _: &mut GuestMemory<'_>, code: u32) -> Outcome {
    Err(Stop::Exit(code).into())
}

/// `proc_raise`: there are no signals; later versions of the interface dropped the function.
pub(super) fn proc_raise(_: &mut WasiCtx, _: &mut GuestMemory<'_>, _signal: u32) -> Outcome {
    Err(Errno::Nosys.into())
}

/// `sched_yield`: succeeds at once. A guest has one thread, and the scheduler preempts it when its slice is used up,
/// whether it yields or not.
pub(super) fn sched_yield(_: &mut WasiCtx, _: &mut GuestMemory<'_>) -> Outcome {
    Ok(())
}

/// `random_get`: fills a buffer from the system's cryptographic generator.
pub(super) fn random_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    buffer: u32,
    length: u32,
) -> Outcome {
    let done = match ctx.pending.take() {
        Some(Pending::Random {
            buffer: at,
            length: of,
            done,
        }) if (at, of) == (buffer, length) => done,
        _ => 0,
    };
    let end = length.min(done.saturating_add(RANDOM_PORTION));
    let whole = memory.slice_mut(buffer, length)?;
    let portion = &mut whole[done as usize..end as usize];
    touch(portion);
    getrandom::fill(portion).map_err(|_| Errno::Io)?;
    ctx.charge_system_calls(1);
    // The generator makes a byte in about the time of an instruction.
    ctx.charge(u64::from(end - done));
    if end == length {
        return Ok(());
    }
    ctx.pending = Some(Pending::Random {
        buffer,
        length,
        done: end,
    });
    Err(Stop::Block {
        until: Instant::now(),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::WasiFunction as F;
    use crate::wasi::testing::{Guest, call};

    #[test]
    fn every_exit_code_is_passed_on_whole() {
        let mut guest = Guest::bare();
        for code in [0, 1, 255, 256, u32::MAX] {
            let stop = F::ProcExit.call(&mut guest.ctx, &mut guest.memory, &mut [u64::from(code)]);
            assert_eq!(stop, Err(Stop::Exit(code)));
        }
    }

    #[test]
    fn yielding_succeeds_and_signals_do_not_exist() {
        let mut guest = Guest::bare();
        assert_eq!(call(&mut guest, F::SchedYield, &[]), Errno::Success);
        assert_eq!(call(&mut guest, F::ProcRaise, &[6]), Errno::Nosys);
    }

    #[test]
    fn a_small_buffer_is_filled_at_once_and_nothing_beside_it() {
        let mut guest = Guest::bare();
        assert_eq!(call(&mut guest, F::RandomGet, &[16, 64]), Errno::Success);
        assert!(guest.memory[16..80].iter().any(|byte| *byte != 0));
        assert!(
            guest.memory[..16]
                .iter()
                .chain(&guest.memory[80..])
                .all(|byte| *byte == 0)
        );
        let first = guest.memory[16..80].to_vec();
        assert_eq!(call(&mut guest, F::RandomGet, &[16, 64]), Errno::Success);
        assert_ne!(first, &guest.memory[16..80]);
    }

    #[test]
    fn a_large_buffer_is_filled_in_portions_of_the_same_call() {
        let mut guest = Guest::bare();
        let length = RANDOM_PORTION * 2 + 5;
        guest.memory = vec![0; length as usize + 1];
        let mut blocks = 0;
        loop {
            let mut slots = [0, u64::from(length)];
            match F::RandomGet.call(&mut guest.ctx, &mut guest.memory, &mut slots) {
                Ok(()) => break assert_eq!(slots[0], 0),
                Err(Stop::Block { until }) => assert!(until <= Instant::now()),
                Err(stop) => panic!("{stop:?}"),
            }
            blocks += 1;
        }
        assert_eq!(blocks, 2);
        let portion = RANDOM_PORTION as usize;
        for part in [&guest.memory[..portion], &guest.memory[portion..2 * portion]] {
            assert!(part.iter().any(|byte| *byte != 0));
        }
        assert_eq!(guest.memory[length as usize], 0);
        assert!(guest.ctx.pending.is_none());
    }

    #[test]
    fn progress_is_forgotten_when_something_else_is_called() {
        let mut guest = Guest::bare();
        let length = u64::from(RANDOM_PORTION + 1);
        guest.memory = vec![0; length as usize];
        let slots = [0, length];
        assert!(
            F::RandomGet
                .call(&mut guest.ctx, &mut guest.memory, &mut { slots })
                .is_err()
        );
        assert_eq!(call(&mut guest, F::SchedYield, &[]), Errno::Success);
        assert!(
            F::RandomGet
                .call(&mut guest.ctx, &mut guest.memory, &mut { slots })
                .is_err()
        );
        assert_eq!(call(&mut guest, F::RandomGet, &slots), Errno::Success);
    }

    #[test]
    fn a_buffer_outside_of_memory_is_a_fault() {
        let mut guest = Guest::bare();
        let end = guest.memory.len() as u64;
        assert_eq!(call(&mut guest, F::RandomGet, &[end, 1]), Errno::Fault);
        assert_eq!(
            call(&mut guest, F::RandomGet, &[8, u64::from(u32::MAX)]),
            Errno::Fault
        );
        assert_eq!(call(&mut guest, F::RandomGet, &[end, 0]), Errno::Success);
    }
}
