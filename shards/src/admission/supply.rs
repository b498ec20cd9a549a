//! How much of the core its tasks get: what they do not get goes into the network, into steering and refusing, into switching, and
//! to whatever else runs on the machine.
//!
//! ```text
//!   ready  ├──────────────────────────────────────────────►  a task wants the core
//!   runs        ├────────┤  ├───────────┤    ├──────┤         one has it
//!   kept   ├────┤        ├──┤           ├────┤                the core was kept from them
//! ```
//! The demand-bound test asks whether work fits into the time until a deadline. A task's own cost is charged with it, but what
//! arrives and is refused, and answers of what has ended, cost the same core and belong to no task. So the share of the time that
//! was lately kept from tasks that wanted it is taken off the time that is promised: a supply bound in the sense of Shin and Lee,
//! *Periodic Resource Model for Compositional Real-Time Guarantees*, RTSS 2003, measured instead of given.

use std::time::Duration;

use crate::time::{Instant, nanoseconds};

/// Over so many nanoseconds the kept time is counted; then it is as much of the figure as all the windows before it.
const WINDOW: u64 = 50_000_000;

/// A share is in parts of this.
const WHOLE: u64 = 1024;

/// However much was kept from them: what tasks are taken to get. Nothing would ever be admitted again otherwise.
const LEAST: u64 = WHOLE / 8;

/// The share of the core that tasks get.
#[derive(Debug)]
pub(crate) struct Supply {
    /// Since when a task has wanted the core that nobody has.
    wanted: Option<Instant>,
    /// When the window began.
    began: Option<Instant>,
    /// Nanoseconds of this window that were kept from tasks.
    kept: u64,
    /// What of the core they get, in parts of [`WHOLE`].
    share: u64,
}

impl Supply {
    /// Everything.
    pub(crate) fn new() -> Self {
        Self {
            wanted: None,
            began: None,
            kept: 0,
            share: WHOLE,
        }
    }

    /// A task is ready, and none runs.
    pub(crate) fn wanted(&mut self, now: Instant) {
        self.wanted.get_or_insert(now);
    }

    /// A task had the core in name, and so long of it did not have it.
    pub(crate) fn kept(&mut self, time: Duration) {
        self.kept = self.kept.saturating_add(nanoseconds(time));
    }

    /// A task is given the core, or none is ready any more.
    pub(crate) fn settled(&mut self, now: Instant) {
        let Some(since) = self.wanted.take() else { return };
        let time_since = |earlier: Instant| now.as_nanos().saturating_sub(earlier.as_nanos());
        self.kept = self.kept.saturating_add(time_since(since));
        let began = *self.began.get_or_insert(since);
        let window = time_since(began);
        if window >= WINDOW {
            let kept = self.kept.saturating_mul(WHOLE) / window;
            self.share = self.share.midpoint(WHOLE.saturating_sub(kept)).max(LEAST);
            self.kept = 0;
            self.began = Some(now);
        }
    }

    /// A task has got the core that has wanted it since then.
    pub(crate) fn given(&mut self, wanted: Instant, now: Instant) {
        self.wanted(wanted);
        self.settled(now);
    }

    /// How much of so many nanoseconds tasks get.
    pub(crate) fn of(&self, nanoseconds: u64) -> u64 {
        if self.share == WHOLE {
            return nanoseconds;
        }
        // Days in nanoseconds, times 1024, are not beyond what the type holds; longer need not be exact.
        nanoseconds.saturating_mul(self.share) / WHOLE
    }

    /// The share, from 1/8 to 1.
    pub(crate) fn share(&self) -> f64 {
        self.share as f64 / WHOLE as f64
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to start from")]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    /// The share after this long of slices of 900 us with so much between them.
    fn after(time: Duration, between: Duration, is_wanted: bool) -> f64 {
        let start = Instant::now();
        let mut supply = Supply::new();
        let mut now = start;
        while now < start + time {
            if is_wanted {
                supply.wanted(now);
            }
            now += between;
            supply.settled(now);
            now += 900 * US;
        }
        supply.share()
    }

    #[test]
    fn what_is_kept_from_tasks_that_want_the_core_is_taken_off() {
        let second = 1_000_000 * US;
        assert!((after(second, 100 * US, true) - 0.9).abs() < 0.01);
        assert!((after(second, 900 * US, true) - 0.5).abs() < 0.01);
        assert_eq!(after(second, 100_000 * US, true), LEAST as f64 / WHOLE as f64);
    }

    #[test]
    fn a_core_that_nobody_wants_is_not_kept_from_anybody() {
        assert_eq!(after(1_000_000 * US, 900 * US, false), 1.0);
    }

    #[test]
    fn half_of_a_change_is_seen_after_a_window() {
        let half = after(60_000 * US, 900 * US, true);
        assert!((0.7..0.8).contains(&half), "{half}");
    }

    #[test]
    fn no_time_is_too_long() {
        let mut supply = Supply::new();
        supply.share = WHOLE / 2;
        assert_eq!(supply.of(1_000_000), 500_000);
        assert!(supply.of(u64::MAX) >= u64::MAX / WHOLE);
    }
}
