//! The ordered sets of ready tasks behind every policy but FIFO.

use super::{Band, Candidate};
use crate::sorted::Sorted;
use crate::task::TaskId;
use crate::time::Instant;

/// Ready tasks of the first band in the order of `K`, and those of the lower bands by deadline.
#[derive(Debug)]
pub(super) struct Banded<K> {
    first: Queue<K>,
    lower: Queue<(Band, Instant, u64)>,
}

impl<K: Ord + Copy> Banded<K> {
    /// A task becomes ready. `key` is its place in the first band, unique among the ready.
    pub(super) fn insert(&mut self, candidate: &Candidate, key: K) {
        match candidate.band {
            Band::First => self.first.insert(candidate, key),
            band => self.lower.insert(candidate, lower_key(band, candidate)),
        }
    }

    /// A ready task leaves; `key` is the one under which it came.
    pub(super) fn remove(&mut self, candidate: &Candidate, key: K) {
        match candidate.band {
            Band::First => self.first.remove(candidate, key),
            band => self.lower.remove(candidate, lower_key(band, candidate)),
        }
    }

    pub(super) fn pop(&mut self, may_start: bool) -> Option<TaskId> {
        self.first.pop(may_start).or_else(|| self.lower.pop(may_start))
    }

    pub(super) fn peek(&self, may_start: bool) -> Option<TaskId> {
        self.first.peek(may_start).or_else(|| self.lower.peek(may_start))
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.lower.len()
    }
}

impl<K> Default for Banded<K> {
    fn default() -> Self {
        Self {
            first: Queue::default(),
            lower: Queue::default(),
        }
    }
}

fn lower_key(band: Band, candidate: &Candidate) -> (Band, Instant, u64) {
    (band, candidate.meta.deadline, candidate.arrival)
}

/// Two sets: tasks that have begun and tasks that have not, because at the bound of started tasks only the former run.
#[derive(Debug)]
pub(super) struct Queue<K> {
    started: Sorted<(K, TaskId)>,
    fresh: Sorted<(K, TaskId)>,
}

impl<K: Ord + Copy> Queue<K> {
    pub(super) fn insert(&mut self, candidate: &Candidate, key: K) {
        let is_new = self.side(candidate.started).insert((key, candidate.id));
        debug_assert!(is_new, "a task is ready at most once");
    }

    pub(super) fn remove(&mut self, candidate: &Candidate, key: K) {
        let was_there = self.side(candidate.started).remove(&(key, candidate.id));
        debug_assert!(was_there, "only a ready task is removed");
    }

    pub(super) fn pop(&mut self, may_start: bool) -> Option<TaskId> {
        let fresh = self.fresh.first().filter(|_| may_start);
        let from = match (self.started.first(), fresh) {
            (Some(started), Some(fresh)) if fresh < started => &mut self.fresh,
            (Some(_), _) => &mut self.started,
            (None, Some(_)) => &mut self.fresh,
            (None, None) => return None,
        };
        from.pop_first().map(|(_, id)| id)
    }

    pub(super) fn peek(&self, may_start: bool) -> Option<TaskId> {
        let fresh = self.fresh.first().filter(|_| may_start);
        match (self.started.first(), fresh) {
            (Some(started), Some(fresh)) if fresh < started => Some(fresh.1),
            (Some((_, next)), _) | (None, Some((_, next))) => Some(*next),
            (None, None) => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.started.len() + self.fresh.len()
    }

    fn side(&mut self, started: bool) -> &mut Sorted<(K, TaskId)> {
        if started {
            &mut self.started
        } else {
            &mut self.fresh
        }
    }
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            started: Sorted::default(),
            fresh: Sorted::default(),
        }
    }
}
