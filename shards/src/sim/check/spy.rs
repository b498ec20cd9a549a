//! What a policy was told of each task: the order that it promises is recomputed from this.
//!
//! Estimates and bands are the scheduler's opinions and cannot be had from outside. So a [`Spy`] stands between a
//! scheduler and its policy and notes what goes by; it changes nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::policy::{Candidate, Policy, Rules};
use crate::task::TaskId;

/// What one shard's policy was last told of each task, and in which turn.
pub(super) type Told = Rc<RefCell<BTreeMap<TaskId, (Candidate, u64)>>>;

/// A policy whose every word is noted.
#[derive(Debug)]
pub struct Spy<P> {
    policy: P,
    told: Told,
    turns: u64,
}

impl<P> Spy<P> {
    pub(super) fn new(policy: P, told: Told) -> Self {
        Self {
            policy,
            told,
            turns: 0,
        }
    }
}

impl<P: Policy> Policy for Spy<P> {
    fn rules(&self) -> Rules {
        self.policy.rules()
    }

    fn enqueue(&mut self, candidate: Candidate) {
        self.turns += 1;
        self.told
            .borrow_mut()
            .insert(candidate.id, (candidate, self.turns));
        self.policy.enqueue(candidate);
    }

    fn pick(&mut self, may_start: bool) -> Option<TaskId> {
        self.policy.pick(may_start)
    }

    fn peek(&self, may_start: bool) -> Option<TaskId> {
        self.policy.peek(may_start)
    }

    fn remove(&mut self, candidate: &Candidate) {
        self.policy.remove(candidate);
    }

    fn len(&self) -> usize {
        self.policy.len()
    }
}
