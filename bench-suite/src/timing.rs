//! The clock of the comparisons, and what is made of its readings.
//!
//! CPU time of the calling thread, not time on the wall: on a machine that does other things besides, the wall tells
//! about those too. Medians, because what disturbs a round only ever makes it longer; geometric means of ratios, because
//! they do not depend on which engine is the denominator.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU time that the calling thread has used, user and system.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("CPU time counts from zero");
    let nanoseconds = u32::try_from(time.tv_nsec).expect("less than a second");
    Duration::new(seconds, nanoseconds)
}

/// Runs `work` and says how much CPU time of this thread it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = thread_cpu();
    let result = work();
    (result, thread_cpu().saturating_sub(before))
}

/// The middle value, or the mean of the two in the middle; `None` of nothing.
pub fn median(samples: &[Duration]) -> Option<Duration> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + upper) / 2)
}

/// The geometric mean of positive numbers; `None` of nothing.
pub fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (logarithms / ratios.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        let of = |millis: &[u64]| {
            let samples: Vec<_> = millis.iter().copied().map(Duration::from_millis).collect();
            median(&samples)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[9, 1, 5]), Some(Duration::from_millis(5)));
        assert_eq!(of(&[9, 1, 5, 7]), Some(Duration::from_millis(6)));
    }

    #[test]
    fn the_geometric_mean_takes_doubling_and_halving_for_nothing() {
        assert_eq!(geometric_mean(&[]), None);
        let mean = geometric_mean(&[2.0, 0.5, 8.0, 0.125]).expect("four ratios");
        assert!((mean - 1.0).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn work_takes_time() {
        let (sum, time) = timed(|| (0..100_000_u64).map(std::hint::black_box).sum::<u64>());
        assert_eq!(sum, 4_999_950_000);
        assert!(time > Duration::ZERO);
    }
}
