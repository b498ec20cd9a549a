//! Shortest remaining service first.

use std::time::Duration;

use super::queue::Banded;
use super::{Candidate, Policy, Rules};
use crate::task::TaskId;

/// The task that needs the core for the shortest time from now on goes first, by the estimates; deadlines do not matter.
///
/// No order has a shorter mean response time where the estimates hold (Schrage, *A Proof of the Optimality of the Shortest
/// Remaining Processing Time Discipline*, Operations Research 16(3), 1968). Under overload it starves what is long. The
/// abbreviation has two readings: "service", as in queueing theory and here, and "slack", which is
/// [`LeastSlack`](super::LeastSlack).
#[derive(Debug, Default)]
pub struct Srsf(Banded<(Duration, u64)>);

impl Srsf {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for Srsf {
    fn rules(&self) -> Rules {
        Rules {
            bands: true,
            demotes: false,
            by_deadline: false,
        }
    }

    fn enqueue(&mut self, candidate: Candidate) {
        self.0.insert(&candidate, key(&candidate));
    }

    fn pick(&mut self, may_start: bool) -> Option<TaskId> {
        self.0.pop(may_start)
    }

    fn peek(&self, may_start: bool) -> Option<TaskId> {
        self.0.peek(may_start)
    }

    fn remove(&mut self, candidate: &Candidate) {
        self.0.remove(candidate, key(candidate));
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

fn key(candidate: &Candidate) -> (Duration, u64) {
    (candidate.remaining(), candidate.arrival)
}
