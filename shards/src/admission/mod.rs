//! Admission: what the first band owes ([`Ledger`]), what of the core there is to pay with ([`Supply`]), what classes and
//! tenants are granted ([`Shares`]), who leaves room for others ([`Fairness`]), and what follows for a new task ([`Fit`]) and for whoever looks from another shard
//! ([`Demand`]).

mod fairness;
mod ledger;
mod shares;
mod supply;

use std::time::Duration;

pub(crate) use fairness::Fairness;
pub(crate) use ledger::{Front, Ledger, Owed};
pub(crate) use shares::Shares;
pub(crate) use supply::Supply;

use crate::task::RejectReason;

/// What a task costs beside its own service: taking it over, its place in a pool, switching to it, and the interruption of
/// whatever ran when it came. Charged once per live task by the tests of admission.
pub const TASK_OVERHEAD: Duration = Duration::from_micros(20);

/// Number of steps of [`Demand::by_slack`].
pub const SLACK_STEPS: usize = 8;

/// Whether a task that is not there yet would meet its deadline on this shard, by the estimates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It would, and nobody would be late because of it.
    Yes {
        /// How much more work would fit: of the new task and all those due after it, the least time to spare.
        slack: Duration,
    },
    /// A firm one would be refused.
    No(RejectReason),
}

impl Fit {
    /// Whether it fits.
    #[must_use]
    pub fn is_yes(self) -> bool {
        matches!(self, Self::Yes { .. })
    }
}

/// What a shard has still to do, by the estimates, as it tells others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Number of tasks that wait, have not begun and may move.
    pub unstarted_movable: u32,
    /// Remaining work of all tasks.
    pub total: Duration,
    /// Remaining work of the tasks of the first [`Band`](crate::Band) that are due within 250 us * 4^k, cumulative: what
    /// goes ahead of a new task with that much time. Other bands do not, so they count in the total alone.
    pub by_slack: [Duration; SLACK_STEPS],
}

impl Demand {
    /// How far step `step` of [`Demand::by_slack`] reaches.
    #[must_use]
    pub fn horizon(step: usize) -> Duration {
        Duration::from_micros(250 << (2 * step.min(SLACK_STEPS - 1)))
    }
}
