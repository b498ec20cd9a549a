//! The two clocks of a measurement.
//!
//! CPU time of the calling thread is what ratios are made of: on a machine that does other things besides, the wall clock
//! tells about those too. Elapsed time stands beside it, because where the two differ the machine was busy.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What a piece of work took by each clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Time {
    /// CPU time of the thread that worked, user and system. (Of its process, where the engine has no such clock.)
    pub cpu: Duration,
    /// Elapsed time.
    pub wall: Duration,
}

/// CPU time that the calling thread has used, user and system.
///
/// # Panics
/// If the system's clock is before its zero.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("CPU time counts from zero");
    let nanoseconds = u32::try_from(time.tv_nsec).expect("less than a second");
    Duration::new(seconds, nanoseconds)
}

/// Runs `work` and says what it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Time) {
    let began = Instant::now();
    let before = thread_cpu();
    let result = work();
    let cpu = thread_cpu().saturating_sub(before);
    let wall = began.elapsed();
    (result, Time { cpu, wall })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_sleep_takes_no_cpu() {
        let (sum, time) = timed(|| (0..100_000_u64).map(std::hint::black_box).sum::<u64>());
        assert_eq!(sum, 4_999_950_000);
        assert!(time.cpu > Duration::ZERO && time.wall > Duration::ZERO);
        let nap = Duration::from_millis(20);
        let ((), slept) = timed(|| std::thread::sleep(nap));
        assert!(slept.wall >= nap && slept.cpu < nap);
    }
}
