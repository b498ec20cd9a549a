//! What a shard tells of each class of its tasks: how long one is expected to take, and how long the core was theirs.
//!
//! ```text
//!   class 0 | p50 p90 p99 samples ended busy |  a cache line each, so that a reader disturbs the writer
//!   class 1 | p50 p90 p99 samples ended busy |  in the class that it reads only
//! ```
//!
//! The table has its size from the start and is published as tasks end. The figures of an estimate are stored one by one:
//! a reader may see a median of now beside a p99 of one task ago.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::add;
use crate::estimate::Estimate;
use crate::time::nanoseconds;

/// What is known of a class, as its shard's thread writes it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct ClassStats {
    p50_ns: AtomicU64,
    p90_ns: AtomicU64,
    p99_ns: AtomicU64,
    samples: AtomicU64,
    ended: AtomicU64,
    busy_ns: AtomicU64,
}

/// One reading of what a shard tells of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSnapshot {
    /// How long its tasks take; nothing before a task has ended of which that was learnt.
    pub estimate: Option<Estimate>,
    /// Its tasks that have ended on this shard, in any way.
    pub ended: u64,
    /// How long these occupied the core.
    pub busy: Duration,
}

impl ClassStats {
    pub(super) fn ended(&self, ran: Duration, estimate: Option<Estimate>) {
        add(&self.ended, 1);
        add(&self.busy_ns, nanoseconds(ran));
        let Some(estimate) = estimate else { return };
        self.p50_ns.store(nanoseconds(estimate.p50), Ordering::Relaxed);
        self.p90_ns.store(nanoseconds(estimate.p90), Ordering::Relaxed);
        self.p99_ns.store(nanoseconds(estimate.p99), Ordering::Relaxed);
        self.samples.store(estimate.samples, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> ClassSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let duration = |counter| Duration::from_nanos(read(counter));
        let samples = read(&self.samples);
        let estimate = (samples > 0).then(|| Estimate {
            p50: duration(&self.p50_ns),
            p90: duration(&self.p90_ns),
            p99: duration(&self.p99_ns),
            samples,
        });
        ClassSnapshot {
            estimate,
            ended: read(&self.ended),
            busy: duration(&self.busy_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_last_is_told() {
        let class = ClassStats::default();
        class.ended(Duration::from_millis(2), None);
        assert_eq!(class.snapshot().estimate, None);
        let estimate = |p50| Estimate {
            p50: Duration::from_micros(p50),
            p90: Duration::from_micros(2 * p50),
            p99: Duration::from_micros(3 * p50),
            samples: p50,
        };
        class.ended(Duration::from_millis(3), Some(estimate(10)));
        class.ended(Duration::ZERO, Some(estimate(20)));
        let expected = ClassSnapshot {
            estimate: Some(estimate(20)),
            ended: 3,
            busy: Duration::from_millis(5),
        };
        assert_eq!(class.snapshot(), expected);
    }

    #[test]
    fn a_class_has_a_cache_line() {
        assert_eq!((size_of::<ClassStats>(), align_of::<ClassStats>()), (64, 64));
    }
}
