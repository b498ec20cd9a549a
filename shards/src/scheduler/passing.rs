//! Tasks that pass: where nobody waits for the core, a short one has it at once, and is never in the queue.
//!
//! ```text
//!   usual     Submit ──► Admitted    CoreFree ──► Run    Sliced ──► End   into ledger, queue and alarms, and out of each again
//!   passing   passes? ─► a slice                         Passed ──► End   into none of them
//!                                                          └──────► Admitted   it is not done: as if it had come by the usual way
//! ```
//! What is decided is the same: the task would be admitted, taken out of the queue as the only one there, and end in its first slice.
//! Most of what a short task costs is its way into what is kept in order, and out of it again.

use std::time::Duration;

use super::Scheduler;
use crate::event::{Action, SliceOutcome};
use crate::policy::Policy;
use crate::task::{Account, Ending, Slice, TaskId, TaskMeta};
use crate::time::Instant;

impl<P: Policy> Scheduler<P> {
    /// Whether a task that comes now may have the core at once: it would be admitted, no other is ready, none sleeps whose time has
    /// come, nobody is over a share of the core or was refused lately, and nine of ten of its class have taken no longer than `longest`.
    ///
    /// Gives its slice. When that is over, [`Event::Passed`](crate::Event::Passed) is to be told; until then nothing but submissions and
    /// cancellations. Nothing changes before. Costs the same for any number of tasks.
    pub fn passes(&self, meta: &TaskMeta, longest: Duration, now: Instant) -> Option<Slice> {
        let is_free = self.running.is_none() && self.policy.is_empty() && self.has_room().is_ok();
        let is_quiet = self.alarms.first().is_none_or(|&(at, ..)| at > now)
            && !self.shares.is_any_over()
            && !self.fairness.is_contended(now);
        let may_start = self.load.started < self.config.started_bound;
        // What it is taken to need may be less: half of them need no more, where nine of ten would be late.
        let is_short = self.estimates.are_within(meta.class, longest);
        if !is_free || !is_quiet || !may_start || !is_short {
            return None;
        }
        let candidate = self.newcomer(*meta, now)?;
        self.surely_has_room_for(meta.deadline, candidate.estimate, now)
            .then(|| self.slice_of(&candidate, now))
    }

    /// The slice of a task that [passes](Scheduler::passes) is over, and so is the task. It began at the second of the two instants; since
    /// the first this task or another has wanted the core.
    pub(crate) fn has_passed(
        &mut self,
        meta: &TaskMeta,
        (wanted, since): (Instant, Instant),
        ending: Ending,
        now: Instant,
    ) -> (TaskId, Account) {
        let id = self.newcomer_id().expect(HAD_PLACE);
        let account = Account {
            ran: now.saturating_duration_since(since),
            slices: 1,
            ..Account::default()
        };
        self.arrivals += 1;
        self.total.ran += account.ran;
        self.total.slices += 1;
        self.estimates.accepted(meta.class, id, false, since);
        self.estimates.ended(meta.class, id, ending, account.ran, now);
        self.supply.given(wanted, since);
        let went_over = self.shares.charge(meta.class, account.ran, now);
        // It may have submitted others.
        if !self.policy.is_empty() {
            self.supply.wanted(now);
        }
        if went_over && self.rules.bands {
            self.sort_into_bands(now);
        }
        (id, account)
    }

    /// The slice of a task that [passes](Scheduler::passes) is over, as for [`Scheduler::has_passed`].
    pub(super) fn passed(
        &mut self,
        meta: &TaskMeta,
        (wanted, since): (Instant, Instant),
        outcome: SliceOutcome,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if let Some(ending) = outcome.ending() {
            let (id, account) = self.has_passed(meta, (wanted, since), ending, now);
            actions.push(Action::End { id, ending, account });
            return;
        }
        let candidate = self.newcomer(*meta, since).expect(HAD_PLACE);
        self.accept(&candidate, false, since);
        self.supply.given(wanted, since);
        self.put_on_core(candidate.id, since);
        actions.push(Action::Admitted(candidate.id));
        self.sliced(outcome, Duration::ZERO, now, actions);
    }
}

/// Nothing that is told during its slice takes the last place.
const HAD_PLACE: &str = "there are fewer than four billion tasks";
