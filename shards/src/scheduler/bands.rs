//! Who is let in, and the band in which each task stands: what estimates, admission and shares say comes down to that.
//!
//! ```text
//!   new, firm       fits beside what was promised, and the room that it owes others? ── no: a probe? ── no: refused, with
//!                   the time after which it would
//!   new, not firm   fits? first band ── no: second ── late even alone: late
//!   overrun         unusual for its class: stands anew, as if it were new
//!   core free       the first band cannot be in time as a whole: the longest that has not begun leaves it
//!   share used up   second band, until there is some again
//! ```

use std::time::Duration;

use super::{Running, Scheduler};
use crate::admission::{Front, Owed, TASK_OVERHEAD};
use crate::policy::{Band, Candidate, Policy, Rules};
use crate::task::{RejectReason, TaskId, TaskMeta};
use crate::time::{Instant, nanoseconds};

impl<P: Policy> Scheduler<P> {
    /// The bounds, which hold for every task.
    pub(super) fn has_room(&self) -> Result<(), RejectReason> {
        if self.is_draining() {
            return Err(RejectReason::Draining);
        }
        if self.load.queued >= self.config.queue_bound {
            return Err(RejectReason::QueueFull {
                retry_after: self.place_free_after(),
            });
        }
        Ok(())
    }

    /// Whether a firm task of this class finds a place in the queue that it does not have to leave to other firm ones, or after which time it
    /// may.
    pub(super) fn place_for(&self, class: u32, now: Instant) -> Result<(), RejectReason> {
        if self.firm < self.fairness.places(class, self.config.queue_bound, now) {
            return Ok(());
        }
        let held_for = self.fairness.held_for(class, now);
        Err(RejectReason::DeadlineInfeasible {
            retry_after: self.place_free_after().min(held_for),
        })
    }

    /// The bounds for a new task, which is `over` its share or not. Places are dealt out as the core's time is: with brief tasks the queue may
    /// be full long before there is no time left.
    pub(super) fn find_place(
        &mut self,
        meta: &TaskMeta,
        over: bool,
        now: Instant,
    ) -> Result<(), RejectReason> {
        let room = self.has_room();
        // Nearly always there is a place, and nobody to leave one to.
        let is_plain = room.is_ok() && !self.fairness.is_contended(now);
        if is_plain || self.is_draining() || !meta.firm || over {
            return room;
        }
        let has_room = room.is_ok();
        let Err(reason) = room.and_then(|()| self.place_for(meta.class, now)) else {
            return Ok(());
        };
        let time = meta.deadline.saturating_duration_since(now);
        let estimate = self.assumed(meta, now);
        if self.fits_alone(estimate, time) {
            self.ask(meta.class, estimate, now);
            if has_room {
                self.fairness.spare();
            } else {
                self.fairness.refuse(meta.class, estimate, now);
            }
        }
        Err(reason)
    }

    /// Finds the band for a new task, or the reason to refuse it. Gives whether it is let in to see how long it takes.
    pub(super) fn admit(
        &mut self,
        candidate: &mut Candidate,
        over: bool,
        now: Instant,
    ) -> Result<bool, RejectReason> {
        let meta = candidate.meta;
        if !meta.firm {
            candidate.band = self.band_of(candidate, over, now);
            if candidate.band == Band::First {
                // It is never held back, but whoever takes less is not above it.
                self.ask(meta.class, candidate.estimate, now);
                self.fairness.give(meta.class, candidate.estimate, now);
            }
            return Ok(false);
        }
        let time = meta.deadline.saturating_duration_since(now);
        let estimate = candidate.estimate;
        // What has no room even alone is nobody's fault.
        let fits_alone = self.fits_alone(estimate, time);
        if fits_alone {
            self.ask(meta.class, estimate, now);
        }
        let needed = self.needed(meta.class, estimate, time, now);
        let Err(mut retry_after) = self.let_in_by(meta.deadline, needed, now) else {
            self.fairness.give(meta.class, estimate, now);
            return Ok(false);
        };
        if needed > estimate {
            let held_for = self.fairness.held_for(meta.class, now);
            match self.let_in_by(meta.deadline, estimate, now) {
                // It is refused for the sake of others alone.
                Ok(()) => {
                    self.fairness.spare();
                    let retry_after = retry_after.min(held_for);
                    return Err(RejectReason::DeadlineInfeasible { retry_after });
                }
                Err(plain) => retry_after = retry_after.min(plain.max(held_for)),
            }
        }
        let hopeless = estimate > time;
        let probe = self.estimates.probe(meta.class, time, estimate, now);
        if let Some(probe) = probe.filter(|&probe| self.has_room_for(meta.deadline, probe, now)) {
            candidate.estimate = probe;
            self.fairness.give(meta.class, probe, now);
            return Ok(true);
        }
        if hopeless {
            // An empty core would not help.
            retry_after = self.estimates.next_probe(meta.class, now);
        } else if fits_alone {
            self.fairness.refuse(meta.class, estimate, now);
        }
        Err(RejectReason::DeadlineInfeasible { retry_after })
    }

    fn ask(&mut self, class: u32, work: Duration, now: Instant) {
        self.fairness.supplied_by(&self.supply);
        self.fairness.ask(class, work, now);
    }

    /// Steering has refused a firm task: that counts as if it had been refused here, but for where there is another reason for it.
    pub(super) fn turned_away(&mut self, class: u32, deadline: Instant, now: Instant) {
        let time = deadline.saturating_duration_since(now);
        let estimate = self.estimates.for_new(class, time, now);
        let has_reason = self.is_draining() || self.shares.over_for(class, now).is_some();
        if has_reason || !self.fits_alone(estimate, time) {
            return;
        }
        self.ask(class, estimate, now);
        let needed = self.needed(class, estimate, time, now);
        if needed > estimate && self.has_room_for(deadline, estimate, now) {
            self.fairness.spare();
        } else {
            self.fairness.refuse(class, estimate, now);
        }
    }

    /// Whether a core without other work has so much before a deadline, to which there is so much time.
    fn fits_alone(&self, work: Duration, time: Duration) -> bool {
        work.saturating_add(TASK_OVERHEAD) <= self.supply_within(time)
    }

    pub(super) fn supply_within(&self, time: Duration) -> Duration {
        Duration::from_nanos(self.supply.of(nanoseconds(time)))
    }

    /// How much has to fit so that a firm task is let in, which has `time` to its deadline.
    pub(super) fn needed(&self, class: u32, work: Duration, time: Duration, now: Instant) -> Duration {
        if !self.fairness.is_contended(now) {
            return work;
        }
        self.fairness.needed(class, work, self.supply_within(time), now)
    }

    /// Whether so much fits, or after which time it would.
    fn let_in_by(&self, deadline: Instant, work: Duration, now: Instant) -> Result<(), Duration> {
        if self.surely_has_room_for(deadline, work, now) {
            return Ok(());
        }
        self.room_for(deadline, work, now).map(drop)
    }

    /// The band in which a task belongs that the ledger does not hold.
    fn band_of(&self, candidate: &Candidate, over: bool, now: Instant) -> Band {
        let Rules { bands, demotes, .. } = self.rules;
        if demotes && candidate.is_hopeless(now) {
            Band::Late
        } else if (bands && over)
            || (demotes && !self.has_room_for(candidate.meta.deadline, candidate.remaining(), now))
        {
            Band::Second
        } else {
            Band::First
        }
    }

    /// Whether this much work with this deadline fits beside what was promised, as is usually seen at a glance.
    fn has_room_for(&self, deadline: Instant, work: Duration, now: Instant) -> bool {
        self.let_in_by(deadline, work, now).is_ok()
    }

    pub(super) fn surely_has_room_for(&self, deadline: Instant, work: Duration, now: Instant) -> bool {
        self.ledger.surely_fits(deadline, work, &self.supply, now)
    }

    /// Whether this much work with this deadline fits beside what was promised, with how much to spare, or after which time.
    pub(super) fn room_for(
        &self,
        deadline: Instant,
        work: Duration,
        now: Instant,
    ) -> Result<Duration, Duration> {
        let asked = Owed {
            deadline,
            work,
            by_deadline: self.rules.by_deadline,
            skip_late: self.rules.demotes,
        };
        self.ledger.fits(asked, self.front(now), &self.supply, now)
    }

    /// The task that has the core, or will have it again before any other.
    pub(super) fn front(&self, now: Instant) -> Option<Front<'_>> {
        let held = || self.held.map(|id| Running { id, since: now });
        let Running { id, since } = self.running.or_else(held)?;
        Some(Front {
            candidate: &self.tasks[id.slot()].candidate,
            elapsed: now.saturating_duration_since(since),
            first_of_all: !self.config.preemptive,
        })
    }

    /// When a place in the queue should be free: what is to do, over those who do it.
    pub(super) fn place_free_after(&self) -> Duration {
        let tasks = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX).max(1);
        (self.ledger.total() / tasks).max(Duration::from_millis(1))
    }

    pub(super) fn assumed(&self, meta: &TaskMeta, now: Instant) -> Duration {
        let time = meta.deadline.saturating_duration_since(now);
        self.estimates.for_new(meta.class, time, now).min(meta.cpu_budget)
    }

    /// Where the first band cannot keep all its promises, breaks as few as it can: of all tasks that are due by the deadline that
    /// cannot be met, the longest that has not begun leaves the band (Moore, *An n Job, One Machine Sequencing Algorithm for
    /// Minimizing the Number of Late Jobs*, 1968). Otherwise each would drag the next down.
    pub(super) fn shed(&mut self, now: Instant) {
        while let Some(deadline) = self.ledger.first_late(now) {
            let waiting = self.tasks.iter().map(|(_, entry)| &entry.candidate);
            let longest = waiting
                .filter(|candidate| {
                    candidate.band == Band::First
                        && !candidate.started
                        && candidate.meta.deadline <= deadline
                        && !candidate.is_hopeless(now)
                })
                .max_by_key(|candidate| (candidate.estimate, candidate.arrival));
            let Some(before) = longest.copied() else { return };
            self.policy.remove(&before);
            let after = self.put_into(before.id, Band::Second, now);
            self.policy.enqueue(after);
        }
    }

    /// Puts a task that the policy does not hold into another band.
    pub(super) fn put_into(&mut self, id: TaskId, band: Band, now: Instant) -> Candidate {
        let candidate = &mut self.tasks[id.slot()].candidate;
        let before = *candidate;
        candidate.band = band;
        let after = *candidate;
        self.ledger.change(&before, &after, now);
        after
    }

    /// Takes in that a task has now had the core for `ran`: what it will need, and where it stands.
    pub(super) fn assess(&mut self, before: Candidate, ran: Duration, now: Instant) -> Candidate {
        let mut candidate = Candidate { ran, ..before };
        let overrun = ran >= candidate.estimate;
        if overrun {
            let longer = self.estimates.after_overrun(candidate.meta.class, ran);
            candidate.estimate = longer.min(candidate.meta.cpu_budget);
        }
        let usual = !overrun
            || self
                .estimates
                .is_usual(candidate.meta.class, Some(candidate.id), ran);
        let kept = before.band == Band::First && usual && !candidate.is_hopeless(now);
        if self.rules.demotes && !kept {
            self.ledger.remove(&before);
            let over = self.shares.over_for(candidate.meta.class, now).is_some();
            candidate.band = self.band_of(&candidate, over, now);
            self.ledger.add(&candidate, now);
        } else {
            self.ledger.change(&before, &candidate, now);
        }
        self.tasks[candidate.id.slot()].candidate = candidate;
        candidate
    }

    /// A class or tenant has come over its share, or under it again: finds the bands of all tasks anew. O(n^2) at worst, but
    /// seldom: a bucket changes sides a few times a second at most.
    pub(super) fn sort_into_bands(&mut self, now: Instant) {
        let all: Vec<TaskId> = self.tasks.iter().map(|(_, entry)| entry.candidate.id).collect();
        for id in all {
            let entry = &self.tasks[id.slot()];
            let (before, waits) = (entry.candidate, entry.life.state().waits_for_core());
            let over = self.shares.over_for(before.meta.class, now).is_some();
            if before.band == Band::Late || over == (before.band == Band::Second) {
                continue;
            }
            if waits {
                self.policy.remove(&before);
            }
            self.ledger.remove(&before);
            let band = self.band_of(&before, over, now);
            let candidate = &mut self.tasks[id.slot()].candidate;
            candidate.band = band;
            let after = *candidate;
            self.ledger.add(&after, now);
            if waits {
                self.policy.enqueue(after);
            }
        }
    }
}
