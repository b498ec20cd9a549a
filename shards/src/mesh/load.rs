//! How much a shard has to do, as other shards see it: a reading of the board, and what can be told from it.
//!
//! ```text
//!   work due within    250 us   1 ms   4 ms   16 ms   64 ms   256 ms   1.02 s   4.1 s   ever
//!   by_slack               0      1      2       3       4        5        6       7   total     (cumulative)
//! ```
//!
//! A reading is a moment old and its buckets are wide, so it answers with two bounds ([`Due`]): steering moves a request
//! only where the upper bound says that it fits, and refuses it only where the lower bound says that it does not.

use std::time::Duration;

use crate::time::Instant;

/// Buckets of slack that a shard's work is counted in.
pub const SLACK_BUCKETS: usize = 8;

/// Work due within this time of the publication is counted in bucket `bucket`: 250 us times 4 to the power of it.
pub fn slack_of_bucket(bucket: usize) -> Duration {
    Duration::from_micros(250 << (2 * bucket.min(SLACK_BUCKETS)))
}

/// A reading of how much one shard has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShardLoad {
    /// When the shard published it. Nothing below is older.
    pub published: Instant,
    /// Tasks that have not started and may go to another shard.
    pub movable: u32,
    /// Work that remains, of all tasks.
    pub total: Duration,
    /// Of that, what was due within [`slack_of_bucket`] of each bucket at the publication; each includes those before.
    pub by_slack: [Duration; SLACK_BUCKETS],
    /// Share of its time that the shard worked lately, 0 to 1.
    pub utilisation: f64,
    /// Whether the shard sleeps.
    pub parked: bool,
}

/// Bounds on the work that goes before a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What surely does, unless it was overestimated.
    pub at_least: Duration,
    /// What may.
    pub at_most: Duration,
}

impl ShardLoad {
    /// A shard that has nothing to do.
    pub fn idle(published: Instant) -> Self {
        Self {
            published,
            movable: 0,
            total: Duration::ZERO,
            by_slack: [Duration::ZERO; SLACK_BUCKETS],
            utilisation: 0.0,
            parked: false,
        }
    }

    /// The work that remains at `now`: what was published, less the time since, in which the shard has worked.
    pub fn waiting(&self, now: Instant) -> Duration {
        self.total.saturating_sub(self.age(now))
    }

    /// Bounds on the work that goes before something due at `deadline`, where the earliest deadline goes first.
    ///
    /// The lower bound takes the largest bucket that ends before the deadline, and assumes that the shard has worked on
    /// it ever since; the upper bound takes the smallest that includes the deadline, and assumes that it has not.
    pub fn due(&self, deadline: Instant, now: Instant) -> Due {
        let slack = deadline.saturating_duration_since(self.published);
        let wider = (0..SLACK_BUCKETS).find(|bucket| slack_of_bucket(*bucket) >= slack);
        let narrower = (0..SLACK_BUCKETS).rfind(|bucket| slack_of_bucket(*bucket) <= slack);
        let at_least = narrower.map_or(Duration::ZERO, |bucket| self.by_slack[bucket]);
        Due {
            at_least: at_least.saturating_sub(self.age(now)),
            at_most: wider.map_or(self.total, |bucket| self.by_slack[bucket]),
        }
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.published)
    }
}

#[cfg(all(test, not(loom)))]
#[expect(clippy::disallowed_methods, reason = "any instant will do as a start")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn load(published: Instant) -> ShardLoad {
        ShardLoad {
            total: 20 * MS,
            by_slack: [0, 1, 3, 3, 8, 8, 8, 9].map(|ms| ms * MS),
            ..ShardLoad::idle(published)
        }
    }

    #[test]
    fn the_buckets_reach_from_a_quarter_millisecond_to_four_seconds() {
        assert_eq!(slack_of_bucket(0), Duration::from_micros(250));
        assert_eq!(slack_of_bucket(7), Duration::from_micros(4_096_000));
    }

    #[test]
    fn a_deadline_between_two_buckets_has_bounds_from_both() {
        let now = Instant::now();
        let due = |slack| {
            let due = load(now).due(now + slack, now);
            (due.at_least, due.at_most)
        };
        assert_eq!(due(Duration::ZERO), (Duration::ZERO, Duration::ZERO));
        assert_eq!(due(MS / 2), (Duration::ZERO, MS));
        assert_eq!(due(4 * MS), (3 * MS, 3 * MS), "a bucket's own end");
        assert_eq!(due(20 * MS), (3 * MS, 8 * MS));
        assert_eq!(due(9000 * MS), (9 * MS, 20 * MS), "past the last bucket");
    }

    #[test]
    fn time_that_has_passed_is_taken_from_what_surely_remains() {
        let then = Instant::now();
        let now = then + 2 * MS;
        assert_eq!(load(then).waiting(now), 18 * MS);
        assert_eq!(load(then).waiting(now + 60 * MS), Duration::ZERO);
        let due = load(then).due(then + 4 * MS, now);
        assert_eq!((due.at_least, due.at_most), (MS, 3 * MS));
    }
}
