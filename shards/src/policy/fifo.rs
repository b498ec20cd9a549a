//! First in, first out.

use std::collections::BTreeMap;

use super::{Candidate, Policy, Rules};
use crate::task::TaskId;

/// First in, first out, run to completion.
///
/// Tasks run in the order of their submission. A preempted task keeps its place, so it goes on after the driver has
/// looked at the network, and a task that wakes from sleep goes ahead of all that came after it. Only sleep lets a
/// later task run first. There is one band.
#[derive(Debug, Default)]
pub struct Fifo {
    started: BTreeMap<u64, TaskId>,
    fresh: BTreeMap<u64, TaskId>,
}

impl Fifo {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn side(&mut self, started: bool) -> &mut BTreeMap<u64, TaskId> {
        if started {
            &mut self.started
        } else {
            &mut self.fresh
        }
    }
}

impl Policy for Fifo {
    fn rules(&self) -> Rules {
        Rules {
            bands: false,
            demotes: false,
            by_deadline: false,
        }
    }

    fn enqueue(&mut self, candidate: Candidate) {
        let before = self
            .side(candidate.started)
            .insert(candidate.arrival, candidate.id);
        debug_assert_eq!(before, None, "a task is ready at most once");
    }

    fn pick(&mut self, may_start: bool) -> Option<TaskId> {
        // Unstarted tasks came after every started one: tasks start in the order of arrival.
        let next = self
            .started
            .pop_first()
            .or_else(|| if may_start { self.fresh.pop_first() } else { None });
        next.map(|(_, id)| id)
    }

    fn peek(&self, may_start: bool) -> Option<TaskId> {
        let fresh = self.fresh.first_key_value().filter(|_| may_start);
        self.started.first_key_value().or(fresh).map(|(_, id)| *id)
    }

    fn remove(&mut self, candidate: &Candidate) {
        let removed = self.side(candidate.started).remove(&candidate.arrival);
        debug_assert_eq!(removed, Some(candidate.id), "only a ready task is removed");
    }

    fn len(&self) -> usize {
        self.started.len() + self.fresh.len()
    }
}
