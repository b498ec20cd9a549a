//! Histograms of durations with buckets fixed at compile time, under the rule of all counters here: one writer, any readers.
//!
//! ```text
//!   hand-off   256 ns   512 ns   1.02 us   ...   33.6 ms   67.1 ms    longer
//!             |   0    |   1    |   2     | ... |  17     |   18     |  19      a bucket is an octave: found by one shift
//!
//!   slack       0     0.1 ms   0.3 ms   1 ms   ...   300 ms   1 s     longer
//!             |  0   |   1    |   2    |  3   | ... |  8     |  9    |  10      a bucket is half a decade: found by a scan
//! ```
//!
//! A bucket holds what is above the bound before it and at most its own, as Prometheus has it. Sum and number are kept
//! beside the buckets; a reader may see a duration in one and not yet in the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::add;
use crate::time::nanoseconds;

/// Number of buckets of [`HANDOFF_BOUNDS`], the one beyond the last bound included.
pub const HANDOFF_BUCKETS: usize = HANDOFF_BOUNDS.len() + 1;

/// The shortest hand-off that is told from shorter ones, as a power of two of nanoseconds.
const HANDOFF_FIRST: u32 = 8;

/// The ends of the buckets for hand-off latencies: 256 ns and each double of it up to 67 ms.
pub const HANDOFF_BOUNDS: [Duration; 19] = {
    let mut bounds = [Duration::ZERO; 19];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = Duration::from_nanos(1 << (HANDOFF_FIRST as usize + index));
        index += 1;
    }
    bounds
};

/// Number of buckets of [`ADMISSION_SLACK_BOUNDS`], the one beyond the last bound included.
pub const ADMISSION_SLACK_BUCKETS: usize = ADMISSION_SLACK_BOUNDS.len() + 1;

/// The ends of the buckets for the slack at admission. The first holds what had none.
pub const ADMISSION_SLACK_BOUNDS: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_micros(100),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
];

/// A histogram as it is counted.
#[derive(Debug)]
pub(super) struct Histogram<const BUCKETS: usize> {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// One reading of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramSnapshot<const BUCKETS: usize> {
    /// How many durations fell into each bucket, the next one's not included.
    pub buckets: [u64; BUCKETS],
    /// The sum of all durations.
    pub sum: Duration,
}

impl<const BUCKETS: usize> HistogramSnapshot<BUCKETS> {
    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl<const BUCKETS: usize> Default for HistogramSnapshot<BUCKETS> {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            sum: Duration::ZERO,
        }
    }
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    pub(super) fn snapshot(&self) -> HistogramSnapshot<BUCKETS> {
        HistogramSnapshot {
            buckets: self
                .buckets
                .each_ref()
                .map(|bucket| bucket.load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)),
        }
    }

    fn count(&self, bucket: usize, duration: Duration) {
        add(&self.buckets[bucket], 1);
        add(&self.sum_ns, nanoseconds(duration));
    }
}

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_ns: AtomicU64::new(0),
        }
    }
}

impl Histogram<HANDOFF_BUCKETS> {
    pub(super) fn handed_off(&self, latency: Duration) {
        self.count(octave(nanoseconds(latency)), latency);
    }
}

impl Histogram<ADMISSION_SLACK_BUCKETS> {
    /// Nothing: the slack was negative, which adds nothing to the sum.
    pub(super) fn admitted(&self, slack: Option<Duration>) {
        let slack = slack.unwrap_or_default();
        let bucket = ADMISSION_SLACK_BOUNDS.iter().position(|bound| slack <= *bound);
        self.count(bucket.unwrap_or(ADMISSION_SLACK_BOUNDS.len()), slack);
    }
}

/// The bucket for a latency: the binary logarithm, rounded up, from that of the first bound.
fn octave(nanoseconds: u64) -> usize {
    let rounded_up = u64::BITS - nanoseconds.saturating_sub(1).leading_zeros();
    (rounded_up.saturating_sub(HANDOFF_FIRST) as usize).min(HANDOFF_BOUNDS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_falls_into_the_first_bucket_whose_bound_it_does_not_exceed() {
        let first_that_holds = |latency: u64| {
            let bounds = HANDOFF_BOUNDS.iter();
            let bucket = bounds
                .clone()
                .position(|&bound| Duration::from_nanos(latency) <= bound);
            bucket.unwrap_or(bounds.len())
        };
        for power in 0..40 {
            for latency in [(1 << power) - 1, 1 << power, (1 << power) + 1] {
                assert_eq!(octave(latency), first_that_holds(latency), "{latency} ns");
            }
        }
        assert_eq!(octave(u64::MAX), HANDOFF_BUCKETS - 1);
        assert_eq!(HANDOFF_BOUNDS[0], Duration::from_nanos(256));
        assert_eq!(HANDOFF_BOUNDS[18].as_millis(), 67);
    }

    #[test]
    fn sum_and_number_go_with_the_buckets() {
        let histogram = Histogram::<HANDOFF_BUCKETS>::default();
        for latency in [200, 300, 400] {
            histogram.handed_off(Duration::from_nanos(latency));
        }
        histogram.handed_off(Duration::from_secs(1));
        let read = histogram.snapshot();
        assert_eq!(read.count(), 4);
        assert_eq!(read.sum, Duration::from_nanos(1_000_000_900));
        assert_eq!((read.buckets[0], read.buckets[1], read.buckets[19]), (1, 2, 1));
    }

    #[test]
    fn no_slack_has_a_bucket_of_its_own() {
        let histogram = Histogram::<ADMISSION_SLACK_BUCKETS>::default();
        histogram.admitted(None);
        histogram.admitted(Some(Duration::ZERO));
        histogram.admitted(Some(Duration::from_micros(1)));
        histogram.admitted(Some(Duration::from_millis(3)));
        histogram.admitted(Some(Duration::from_secs(60)));
        let read = histogram.snapshot();
        assert_eq!(read.buckets, [2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(read.sum, Duration::from_micros(60_003_001));
    }
}
