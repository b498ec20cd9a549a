//! Clocks: real time and a monotonic one, both coarser than the host's.
//!
//! A guest gets the two clocks that programs need. The CPU-time clocks of the process and the thread are `inval`, as the
//! standard asks for clocks that are not supported: they would tell a guest about its neighbours.
//!
//! **Monotonic time** is counted from the guest's own first look at it, not from the start of the host, so the host's
//! uptime stays unknown. The first look reads one day and not 0: programs subtract timeouts from it, and Go's runtime
//! takes 0 for an error.
//!
//! **Coarseness.** Both clocks are rounded down to a microsecond, and `clock_res_get` says so. That is enough for any
//! honest measurement and takes nanosecond steps from who would time caches; it hinders a patient attacker and does not
//! stop one. `precision`, the lag that a caller would tolerate, is ignored: a time is never staler than the rounding.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Errno;
use super::ctx::WasiCtx;
use super::memory::GuestMemory;
use super::outcome::Outcome;

/// The step of both clocks, in nanoseconds.
pub const CLOCK_RESOLUTION_NS: u64 = 1_000;

/// What the monotonic clock shows when the guest first looks at it, in nanoseconds: one day.
pub const MONOTONIC_START_NS: u64 = 86_400 * 1_000_000_000;

/// The clocks that there are (`$clockid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Realtime,
    Monotonic,
}

impl Clock {
    pub(super) fn from_id(id: u32) -> Result<Self, Errno> {
        match id {
            0 => Ok(Self::Realtime),
            1 => Ok(Self::Monotonic),
            _ => Err(Errno::Inval),
        }
    }

    /// The clock's time in nanoseconds at `now`, not rounded. For the real time, `now` must be now.
    pub(super) fn read(self, ctx: &mut WasiCtx, now: Instant) -> u64 {
        match self {
            Self::Realtime => nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Self::Monotonic => {
                let origin = *ctx.monotonic_origin.get_or_insert(now);
                MONOTONIC_START_NS.saturating_add(nanoseconds(now.saturating_duration_since(origin)))
            }
        }
    }
}

/// `clock_res_get`: the resolution of a clock.
pub(super) fn clock_res_get(_: &mut WasiCtx, memory: &mut GuestMemory<'_>, id: u32, result: u32) -> Outcome {
    Clock::from_id(id)?;
    Ok(memory.write_u64(result, CLOCK_RESOLUTION_NS)?)
}

/// `clock_time_get`: the time of a clock.
pub(super) fn clock_time_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    id: u32,
    _precision: u64,
    result: u32,
) -> Outcome {
    let clock = Clock::from_id(id)?;
    memory.check(result, 8)?;
    let time = clock.read(ctx, Instant::now());
    Ok(memory.write_u64(result, time - time % CLOCK_RESOLUTION_NS)?)
}

/// A duration in nanoseconds; 584 years and more are the largest number.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::WasiFunction as F;
    use crate::wasi::testing::{Guest, call};

    #[test]
    fn monotonic_time_begins_with_the_guest_and_never_goes_back() {
        let mut guest = Guest::bare();
        let mut last = 0;
        for round in 0..100 {
            assert_eq!(call(&mut guest, F::ClockTimeGet, &[1, 0, 8]), Errno::Success);
            let time = guest.u64(8);
            assert_eq!(time % CLOCK_RESOLUTION_NS, 0);
            if round == 0 {
                assert_eq!(time, MONOTONIC_START_NS);
            }
            assert!(time >= last);
            last = time;
        }
    }

    #[test]
    fn real_time_lies_between_two_looks_of_the_host() {
        let mut guest = Guest::bare();
        let host = || nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        let before = host();
        assert_eq!(
            call(&mut guest, F::ClockTimeGet, &[0, u64::MAX, 0]),
            Errno::Success
        );
        let after = host();
        assert!((before - CLOCK_RESOLUTION_NS..=after).contains(&guest.u64(0)));
        assert_eq!(guest.u64(0) % CLOCK_RESOLUTION_NS, 0);
    }

    #[test]
    fn cpu_clocks_and_unknown_ones_are_invalid() {
        let mut guest = Guest::bare();
        for id in [2, 3, 4, u64::from(u32::MAX)] {
            assert_eq!(call(&mut guest, F::ClockTimeGet, &[id, 0, 0]), Errno::Inval);
            assert_eq!(call(&mut guest, F::ClockResGet, &[id, 0]), Errno::Inval);
        }
        assert_eq!(call(&mut guest, F::ClockResGet, &[1, 0]), Errno::Success);
        assert_eq!(guest.u64(0), CLOCK_RESOLUTION_NS);
    }

    #[test]
    fn a_result_outside_of_memory_is_a_fault() {
        let mut guest = Guest::bare();
        let end = guest.memory.len() as u64;
        assert_eq!(call(&mut guest, F::ClockTimeGet, &[0, 0, end - 7]), Errno::Fault);
        assert_eq!(
            call(&mut guest, F::ClockResGet, &[0, u64::from(u32::MAX)]),
            Errno::Fault
        );
    }
}
