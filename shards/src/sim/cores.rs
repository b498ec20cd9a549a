//! What cores do in a [`Simulation`]: look at their mail, ask their schedulers, run slices, sleep, stand still.

use std::time::Duration;

use super::faults::happens;
use super::machine::{Doing, Mail, Slice, Stage};
use super::seen::{Answer, Observer, Seen};
use super::simulation::{Happening, Simulation};
use crate::event::{Action, Event, SliceOutcome};
use crate::policy::Policy;
use crate::task::{Step, TaskId};

impl<P: Policy, O: Observer> Simulation<P, O> {
    /// Mail has come, and the core learns of it if it must.
    pub(super) fn deliver(&mut self, shard: usize, mail: Mail) {
        let urgency = match mail {
            Mail::Parcel(name) => self.request(name).map(|request| request.arrival.deadline),
            Mail::Request(_) | Mail::Outcome(..) => Some(Duration::ZERO),
            Mail::Gone(_) | Mail::Cancel(_) => None,
        };
        self.cores[shard].mail.push_back(mail);
        self.ring(shard, urgency);
    }

    /// Wakes a parked core. Interrupts a guest for what is more urgent; what has no urgency never interrupts.
    pub(super) fn ring(&mut self, shard: usize, urgency: Option<Duration>) {
        let (now, overheads, epoch) = (self.now, self.settings.overheads, self.cores[shard].epoch);
        match &mut self.cores[shard].doing {
            Doing::Parked { waking: true } | Doing::Mail(..) => {}
            Doing::Parked { waking } => {
                *waking = true;
                let late = self.settings.faults.wake(&mut self.faults);
                self.agenda
                    .put(now + overheads.wake + late, Happening::Wake { shard, epoch });
            }
            Doing::Slice(slice) => {
                let (began, name) = (slice.began, slice.name);
                let arrival = &self.requests[name.key].arrival;
                let is_urgent = urgency.is_some_and(|deadline| deadline < arrival.deadline);
                if is_urgent
                    && !arrival.slow
                    && !happens(self.settings.faults.lost_doorbells, &mut self.faults)
                {
                    let bell = Happening::Doorbell { shard, slice: began };
                    self.agenda.put(now + overheads.doorbell, bell);
                }
            }
        }
    }

    /// A parked core wakes, if it still is and does not stand still.
    pub(super) fn wake(&mut self, shard: usize, epoch: u64) {
        let core = &mut self.cores[shard];
        if core.epoch != epoch || !matches!(core.doing, Doing::Parked { .. }) {
            return;
        }
        if core.still_until > self.now {
            let at = core.still_until;
            return self.agenda.put(at, Happening::Wake { shard, epoch });
        }
        self.look(shard);
    }

    /// A doorbell stops the guest of the slice for which it was rung.
    pub(super) fn doorbell(&mut self, shard: usize, slice: Duration) {
        let core = &self.cores[shard];
        if matches!(&core.doing, Doing::Slice(running) if running.began == slice) {
            let at = self.now.max(core.still_until);
            self.busy_until(shard, at);
        }
    }

    /// A core stands still: what it does takes longer, and if it sleeps it does not wake.
    pub(super) fn stand_still(&mut self, shard: usize, length: Duration) {
        self.see(Seen::Stalled { shard, length });
        let now = self.now;
        let core = &mut self.cores[shard];
        let from = core.still_until.max(now);
        core.still_until = from + length;
        if let Doing::Slice(slice) = &mut core.doing {
            slice.lost += length;
        }
        if !matches!(core.doing, Doing::Parked { .. }) {
            let at = core.busy_until + length;
            self.busy_until(shard, at);
        }
    }

    /// What a core does ends at this time, and not when it was said before.
    fn busy_until(&mut self, shard: usize, at: Duration) {
        let core = &mut self.cores[shard];
        core.epoch += 1;
        core.busy_until = at;
        let epoch = core.epoch;
        self.agenda.put(at, Happening::Done { shard, epoch });
    }

    /// A core is done with what it did.
    pub(super) fn done(&mut self, shard: usize) {
        let now = self.now;
        let doing = std::mem::replace(&mut self.cores[shard].doing, Doing::Parked { waking: false });
        match doing {
            Doing::Parked { .. } => unreachable!("nothing has no end"),
            Doing::Mail(mail, since) => {
                self.tally.busy(since, now);
                self.handle(shard, mail);
            }
            Doing::Slice(slice) => self.sliced(shard, &slice),
        }
        self.look(shard);
    }

    /// A core that is free looks at its mail, then asks its scheduler.
    fn look(&mut self, shard: usize) {
        loop {
            let core = &mut self.cores[shard];
            if core.batch > 0
                && let Some(mail) = core.mail.pop_front()
            {
                core.batch -= 1;
                core.doing = Doing::Mail(mail, self.now);
                let price = self.price(mail);
                let at = (self.now + price).max(self.cores[shard].still_until);
                return self.busy_until(shard, at);
            }
            self.refill(shard);
            self.share_work(shard);
            match self.tell(shard, Event::CoreFree, None) {
                Some(Action::Run { id, slice }) => {
                    let until = slice.until.saturating_duration_since(self.start);
                    return self.begin(shard, id, until);
                }
                Some(Action::Idle { wake_at }) => {
                    if self.cores[shard].mail.is_empty() {
                        let wake_at = wake_at.map(|at| at.saturating_duration_since(self.start));
                        return self.park(shard, wake_at);
                    }
                }
                other => unreachable!("a free core is told what to do, not {other:?}"),
            }
        }
    }

    fn price(&self, mail: Mail) -> Duration {
        let overheads = &self.settings.overheads;
        match mail {
            Mail::Request(_) => overheads.request,
            _ => overheads.parcel,
        }
    }

    fn park(&mut self, shard: usize, wake_at: Option<Duration>) {
        let core = &mut self.cores[shard];
        core.epoch += 1;
        core.doing = Doing::Parked { waking: false };
        let epoch = core.epoch;
        if let Some(at) = wake_at {
            let late = self.settings.faults.timer(&mut self.faults);
            self.agenda
                .put(at.max(self.now) + late, Happening::Wake { shard, epoch });
        }
        self.show(shard);
        self.ask_for_work(shard);
    }

    /// A slice begins. It ends with the work, at a nap, at its time, or at the backstop, whichever comes first.
    fn begin(&mut self, shard: usize, task: TaskId, until: Duration) {
        let (now, overheads) = (self.now, self.settings.overheads);
        let name = self.cores[shard].name_of(task);
        let arrival = &self.requests[name.key].arrival;
        let left = self.requests[name.key].goes_on_for();
        let core = &mut self.cores[shard];
        let switch = if core.last == Some(task) {
            Duration::ZERO
        } else {
            overheads.switch
        };
        core.last = Some(task);
        let works_from = now.max(core.still_until) + switch;
        let tick = overheads.backstop.as_nanos();
        let to_tick = tick - (core.worked + switch).as_nanos() % tick;
        let mut end = works_from + left.min(Duration::from_nanos(u64::try_from(to_tick).unwrap_or(u64::MAX)));
        if !arrival.slow {
            let late = self.settings.faults.timer(&mut self.faults);
            end = end.min(until.max(works_from) + late);
        }
        core.doing = Doing::Slice(Slice {
            task,
            name,
            began: now,
            works_from,
            lost: Duration::ZERO,
        });
        let has_mail = !core.mail.is_empty();
        self.busy_until(shard, end);
        if has_mail {
            // More has come than is handled at a time: the guest gets a moment.
            self.ring(shard, Some(Duration::ZERO));
        }
    }

    fn sliced(&mut self, shard: usize, slice: &Slice) {
        let now = self.now;
        self.tally.busy(slice.began, now);
        let core = &mut self.cores[shard];
        core.worked += (now - slice.began).saturating_sub(slice.lost);
        let worked = now.saturating_sub(slice.works_from).saturating_sub(slice.lost);
        let request = &mut self.requests[slice.name.key];
        request.done += worked.min(request.goes_on_for());
        let step = if request.done >= request.arrival.cost {
            Step::Done
        } else if let Some((_, asleep)) = request.arrival.nap.take_if(|(at, _)| *at <= request.done) {
            Step::Blocked {
                until: self.start + now + asleep,
            }
        } else {
            Step::Preempted
        };
        debug_assert_eq!(
            self.cores[shard].last,
            Some(slice.task),
            "a slice is of the task that ran"
        );
        let outcome = SliceOutcome::Returned(step);
        let kept = Duration::ZERO;
        self.tell(shard, Event::Sliced { outcome, kept }, Some(slice.name));
    }

    /// Does what a message asks for.
    fn handle(&mut self, shard: usize, mail: Mail) {
        match mail {
            Mail::Request(name) => {
                self.cores[shard].backlog -= 1;
                if self.request(name).is_some() {
                    self.place(shard, name);
                }
            }
            Mail::Gone(name) => match self.request(name).map(|request| request.stage) {
                Some(Stage::Submitted(here, task)) if here == shard => {
                    self.tell(shard, Event::Cancel(task), None);
                }
                Some(Stage::Submitted(there, _) | Stage::Sent(there)) => {
                    self.post(shard, there, Mail::Cancel(name));
                }
                Some(Stage::Backlog | Stage::Returning) | None => {}
            },
            Mail::Cancel(name) => {
                if let Some(Stage::Submitted(here, task)) = self.request(name).map(|request| request.stage)
                    && here == shard
                {
                    self.tell(shard, Event::Cancel(task), None);
                }
            }
            Mail::Parcel(name) => self.submit(shard, name),
            Mail::Outcome(name, result) => {
                let there = self.requests[name.key].sent_to.expect("it was elsewhere");
                self.rings[shard * self.settings.cores + there] -= 1;
                self.answer(name, result.map_or_else(Answer::Rejected, Answer::Ended));
            }
        }
    }
}
