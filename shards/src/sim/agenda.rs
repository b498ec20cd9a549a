//! What is going to happen, in the order of its time: the heap at the heart of any simulation of discrete events.
//!
//! Happenings of one instant come out in the order in which they were put in, so that a run depends on nothing but its
//! seed. What is not to happen any more is not searched for: whoever takes it out sees by its epoch that it is void.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// A queue of happenings by virtual time.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    put: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Duration,
    order: u64,
    what: T,
}

impl<T> Agenda<T> {
    pub(super) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            put: 0,
        }
    }

    /// Puts something in.
    pub(super) fn put(&mut self, at: Duration, what: T) {
        self.heap.push(Reverse(Entry {
            at,
            order: self.put,
            what,
        }));
        self.put += 1;
    }

    /// Takes out what comes first.
    pub(super) fn take(&mut self) -> Option<(Duration, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}

impl<T> Entry<T> {
    fn key(&self) -> (Duration, u64) {
        (self.at, self.order)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn happenings_come_in_the_order_of_time_and_then_of_their_putting_in() {
        let mut agenda = Agenda::new();
        for (at, what) in [(3, 'd'), (1, 'a'), (1, 'b'), (2, 'c')] {
            agenda.put(Duration::from_secs(at), what);
        }
        let order: String = std::iter::from_fn(|| agenda.take())
            .map(|(_, what)| what)
            .collect();
        assert_eq!(order, "abcd");
    }
}
