//! Earliest deadline first: with bands, which is what to use, and without, to compare with.

use super::queue::{Banded, Queue};
use super::{Candidate, Policy, Rules};
use crate::task::TaskId;
use crate::time::Instant;

/// Earliest deadline first (Liu and Layland, *Scheduling Algorithms for Multiprogramming in a Hard-Real-Time
/// Environment*, JACM 20(1), 1973), safe under overload by [`Band`](super::Band)s.
///
/// On one core that may be taken away at any time, no order meets the deadlines of a set of tasks if this one does not
/// (Dertouzos, 1974). With the bands, what holds for the set holds for the part of it that was accepted. Tasks with the
/// same deadline run in the order of their submission.
#[derive(Debug)]
pub struct Edf(Order);

type Key = (Instant, u64);

#[derive(Debug)]
enum Order {
    Banded(Banded<Key>),
    Plain(Queue<Key>),
}

impl Edf {
    /// An empty queue with bands.
    #[must_use]
    pub fn new() -> Self {
        Self(Order::Banded(Banded::default()))
    }

    /// An empty queue by deadline alone. It shows the domino effect under overload, and is here to show it.
    #[must_use]
    pub fn plain() -> Self {
        Self(Order::Plain(Queue::default()))
    }
}

impl Default for Edf {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for Edf {
    fn rules(&self) -> Rules {
        let banded = matches!(self.0, Order::Banded(_));
        Rules {
            bands: banded,
            demotes: banded,
            by_deadline: true,
        }
    }

    fn enqueue(&mut self, candidate: Candidate) {
        let key = (candidate.meta.deadline, candidate.arrival);
        match &mut self.0 {
            Order::Banded(queue) => queue.insert(&candidate, key),
            Order::Plain(queue) => queue.insert(&candidate, key),
        }
    }

    fn pick(&mut self, may_start: bool) -> Option<TaskId> {
        match &mut self.0 {
            Order::Banded(queue) => queue.pop(may_start),
            Order::Plain(queue) => queue.pop(may_start),
        }
    }

    fn peek(&self, may_start: bool) -> Option<TaskId> {
        match &self.0 {
            Order::Banded(queue) => queue.peek(may_start),
            Order::Plain(queue) => queue.peek(may_start),
        }
    }

    fn remove(&mut self, candidate: &Candidate) {
        let key = (candidate.meta.deadline, candidate.arrival);
        match &mut self.0 {
            Order::Banded(queue) => queue.remove(candidate, key),
            Order::Plain(queue) => queue.remove(candidate, key),
        }
    }

    fn len(&self) -> usize {
        match &self.0 {
            Order::Banded(queue) => queue.len(),
            Order::Plain(queue) => queue.len(),
        }
    }
}
