//! How requests come to other shards in a [`Simulation`]: placed there, spilled, or taken by a shard that has nothing to do.
//!
//! The decisions are the server's own: [`place`], and [`Stealing`](crate::mesh::Stealing) on both sides. What is modelled is the
//! board: each shard shows its load whenever its scheduler is about to be asked, and others read it as it was then.

use std::time::Duration;

use super::machine::Name;
use super::seen::{Answer, Observer};
use super::simulation::Simulation;
use crate::event::Event;
use crate::mesh::ShardLoad;
use crate::policy::Policy;
use crate::steering::{Placement, Request, place};
use crate::task::RejectReason;

impl<P: Policy, O: Observer> Simulation<P, O> {
    /// Decides where a request is served, and brings it there.
    pub(super) fn place(&mut self, shard: usize, name: Name) {
        let now = self.instant(self.now);
        let request = &self.requests[name.key];
        let class = request.arrival.class;
        let known = self.cores[shard].scheduler.estimate(class);
        let estimate = known.map_or(Duration::ZERO, |known| known.p90);
        let firm = self.is_firm(class);
        let deadline = self.start + request.arrival.deadline;
        let scheduler = &self.cores[shard].scheduler;
        let held_back = match firm {
            true => scheduler.held_back(class, estimate, deadline, now),
            false => Duration::ZERO,
        };
        let asked = Request {
            class,
            function: u64::from(class),
            affinity: self.settings.has_keys.then_some(request.affinity),
            deadline: Some(deadline),
            estimate,
            held_back,
            movable: true,
            spills: true,
            firm,
            lot: request.number,
        };
        self.show(shard);
        let load = |shard: usize| self.load_of(shard);
        match place(
            &asked,
            shard,
            self.cores.len(),
            now,
            load,
            &self.settings.steering,
        ) {
            Placement::There(to) if self.has_room(shard, to) => self.send(shard, to, name, false),
            Placement::Here | Placement::There(_) => self.submit(shard, name),
            Placement::Infeasible { retry_after } => {
                self.tell(shard, Event::TurnedAway { class, deadline }, None);
                self.answer(
                    name,
                    Answer::Rejected(RejectReason::DeadlineInfeasible { retry_after }),
                );
            }
        }
    }

    /// Shows others what a shard has to do.
    pub(super) fn show(&mut self, shard: usize) {
        if self.cores.len() == 1 {
            return;
        }
        let now = self.instant(self.now);
        let core = &mut self.cores[shard];
        let demand = core.scheduler.demand(now);
        core.shown = ShardLoad {
            movable: demand.unstarted_movable,
            total: demand.total,
            by_slack: demand.by_slack,
            ..ShardLoad::idle(now)
        };
    }

    /// At a scheduling point: gives work to the shard that has asked for it, and wakes one that could take some.
    pub(super) fn share_work(&mut self, shard: usize) {
        self.show(shard);
        if !self.settings.steals {
            return;
        }
        if let Some(thief) = self.cores[shard].asked_by.take() {
            self.give(shard, thief);
        }
        let now = self.instant(self.now);
        let own = self.cores[shard].shown;
        let mut stealing = self.cores[shard].stealing.clone();
        let sleeper = stealing.hint(&own, now, |other| self.cores[other].is_parked());
        self.cores[shard].stealing = stealing;
        if let Some(sleeper) = sleeper {
            self.ring(sleeper, None);
        }
    }

    fn give(&mut self, shard: usize, thief: usize) {
        let now = self.instant(self.now);
        let (own, other) = (self.load_of(shard), self.load_of(thief));
        let Some(mut gift) = self.cores[shard].stealing.gives(&own, &other, now) else {
            return;
        };
        while let Some(want) = gift.next().filter(|_| self.has_room(shard, thief)) {
            let before = self.cores[shard].scheduler.work();
            self.tell(shard, Event::Release { to: thief, want }, None);
            gift.gave(before.saturating_sub(self.cores[shard].scheduler.work()));
        }
        self.show(shard);
    }

    /// Before a shard parks: asks another one for work, if that has too much.
    pub(super) fn ask_for_work(&mut self, shard: usize) {
        if !self.settings.steals {
            return;
        }
        let now = self.instant(self.now);
        let mut stealing = self.cores[shard].stealing.clone();
        let victim = stealing.look(now, |other| self.load_of(other));
        self.cores[shard].stealing = stealing;
        if let Some(victim) = victim {
            let place = &mut self.cores[victim].asked_by;
            if place.is_none() {
                *place = Some(shard);
            }
        }
    }

    fn load_of(&self, shard: usize) -> ShardLoad {
        let core = &self.cores[shard];
        ShardLoad {
            parked: core.is_parked(),
            ..core.shown
        }
    }
}
