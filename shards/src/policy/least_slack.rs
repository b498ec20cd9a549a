//! Least slack first.

use super::queue::Banded;
use super::{Candidate, Policy, Rules};
use crate::task::TaskId;
use crate::time::Instant;

/// The task with the least slack first: deadline - now - remaining work, also called laxity (Mok, MIT, 1983). Some
/// papers call it "shortest remaining slack first", SRSF; here that name is [`Srsf`](super::Srsf)'s, another order.
///
/// Between two tasks that wait, the order never changes: the slack of both shrinks at the same pace. So tasks are kept by
/// the instant at which their slack is used up, deadline - remaining work. A task that runs keeps its slack while that of
/// the others shrinks, so two tasks of about the same slack alternate, a slice each: this costs switches that EDF does not
/// make, and finishes both late where EDF would finish one early. With exact estimates and short slices both meet what can
/// be met; this order sees sooner that a long task with a late deadline is in danger, and errs where estimates do.
#[derive(Debug, Default)]
pub struct LeastSlack(Banded<(Instant, u64)>);

impl LeastSlack {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for LeastSlack {
    fn rules(&self) -> Rules {
        Rules {
            bands: true,
            demotes: true,
            by_deadline: true,
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

fn key(candidate: &Candidate) -> (Instant, u64) {
    (candidate.latest_start(), candidate.arrival)
}
