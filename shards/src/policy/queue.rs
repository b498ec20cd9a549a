//! The ordered sets of ready tasks behind every policy but FIFO.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Band, Candidate};
use crate::task::TaskId;

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

/// Two maps: tasks that have begun and tasks that have not, because at the bound of started tasks only the former run.
#[derive(Debug)]
pub(super) struct Queue<K> {
    started: BTreeMap<K, TaskId>,
    fresh: BTreeMap<K, TaskId>,
}

impl<K: Ord + Copy> Queue<K> {
    pub(super) fn insert(&mut self, candidate: &Candidate, key: K) {
        let before = self.side(candidate.started).insert(key, candidate.id);
        debug_assert_eq!(before, None, "a task is ready at most once");
    }

    pub(super) fn remove(&mut self, candidate: &Candidate, key: K) {
        let removed = self.side(candidate.started).remove(&key);
        debug_assert_eq!(removed, Some(candidate.id), "only a ready task is removed");
    }

    pub(super) fn pop(&mut self, may_start: bool) -> Option<TaskId> {
        let fresh = if may_start { self.fresh.first_entry() } else { None };
        let next = match (self.started.first_entry(), fresh) {
            (Some(started), Some(fresh)) if fresh.key() < started.key() => fresh,
            (Some(next), _) | (None, Some(next)) => next,
            (None, None) => return None,
        };
        Some(next.remove())
    }

    pub(super) fn peek(&self, may_start: bool) -> Option<TaskId> {
        let fresh = self.fresh.first_key_value().filter(|_| may_start);
        match (self.started.first_key_value(), fresh) {
            (Some(started), Some(fresh)) if fresh.0 < started.0 => Some(*fresh.1),
            (Some((_, next)), _) | (None, Some((_, next))) => Some(*next),
            (None, None) => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.started.len() + self.fresh.len()
    }

    fn side(&mut self, started: bool) -> &mut BTreeMap<K, TaskId> {
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
            started: BTreeMap::new(),
            fresh: BTreeMap::new(),
        }
    }
}
