//! Round robin.

use super::queue::Banded;
use super::{Candidate, Policy, Rules};
use crate::task::TaskId;

/// A slice each, in turn: a task that becomes ready, for whatever reason, goes to the end of the line.
///
/// What runs on a core under a fair-share scheduler gets about this. Deadlines and estimates do not matter.
#[derive(Debug, Default)]
pub struct RoundRobin {
    queue: Banded<u64>,
    /// Number of times that a task was put into the line.
    turns: u64,
    /// The turn of each ready task, by its slot.
    turn_of: Vec<u64>,
}

impl RoundRobin {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for RoundRobin {
    fn rules(&self) -> Rules {
        Rules {
            bands: true,
            demotes: false,
            by_deadline: false,
        }
    }

    fn enqueue(&mut self, candidate: Candidate) {
        let slot = candidate.id.slot();
        if self.turn_of.len() <= slot {
            self.turn_of.resize(slot + 1, 0);
        }
        self.turn_of[slot] = self.turns;
        self.queue.insert(&candidate, self.turns);
        self.turns += 1;
    }

    fn pick(&mut self, may_start: bool) -> Option<TaskId> {
        self.queue.pop(may_start)
    }

    fn peek(&self, may_start: bool) -> Option<TaskId> {
        self.queue.peek(may_start)
    }

    fn remove(&mut self, candidate: &Candidate) {
        let turn = self.turn_of[candidate.id.slot()];
        self.queue.remove(candidate, turn);
    }

    fn len(&self) -> usize {
        self.queue.len()
    }
}
