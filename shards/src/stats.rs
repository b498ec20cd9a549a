//! Counters of one shard, written by its thread and read by any.
//!
//! Each counter has a single writer, so an increment is a load and a store without a locked instruction; the whole
//! block is aligned to 128 bytes (two cache lines: the adjacent-line prefetcher fetches pairs), so that a reader of one
//! shard never slows the writer of another. Readers see each counter at some recent moment, not all at the same one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::event::Load;
use crate::task::{Account, Ending};

/// Live counters of one shard; see [`ShardStats::snapshot`].
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ShardStats {
    queued: AtomicU64,
    started: AtomicU64,
    blocked: AtomicU64,
    submitted: AtomicU64,
    rejected: AtomicU64,
    completed: AtomicU64,
    cancelled: AtomicU64,
    deadline_exceeded: AtomicU64,
    cpu_budget_exceeded: AtomicU64,
    drained: AtomicU64,
    panicked: AtomicU64,
    slices: AtomicU64,
    preemptions: AtomicU64,
    queued_ns: AtomicU64,
    busy_ns: AtomicU64,
    preempted_ns: AtomicU64,
    blocked_ns: AtomicU64,
    ready_ns: AtomicU64,
    reactor_polls: AtomicU64,
    accepted: AtomicU64,
    open_connections: AtomicU64,
    accept_errors: AtomicU64,
}

/// One reading of a shard's counters. Gauges tell the present, all others count since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// Gauge: tasks that were admitted and have not run.
    pub queued: u64,
    /// Gauge: tasks that have run and not ended, the sleeping ones among them.
    pub started: u64,
    /// Gauge: tasks that sleep.
    pub blocked: u64,
    /// Tasks that were admitted.
    pub submitted: u64,
    /// Tasks that were refused.
    pub rejected: u64,
    /// Tasks that ended by themselves.
    pub completed: u64,
    /// Tasks whose ticket was dropped before their end.
    pub cancelled: u64,
    /// Tasks that were ended at their deadline.
    pub deadline_exceeded: u64,
    /// Tasks that were ended because they used up their CPU time.
    pub cpu_budget_exceeded: u64,
    /// Tasks that were ended because the drain's grace period was over.
    pub drained: u64,
    /// Tasks and spawned futures that panicked.
    pub panicked: u64,
    /// Slices that were run.
    pub slices: u64,
    /// Slices that were too short for their task.
    pub preemptions: u64,
    /// Nanoseconds that tasks spent before their first slice. This and the following count a task's time when it leaves
    /// the state.
    pub queued_ns: u64,
    /// Nanoseconds that slices occupied the core.
    pub busy_ns: u64,
    /// Nanoseconds that tasks waited to go on after a slice that was too short.
    pub preempted_ns: u64,
    /// Nanoseconds that tasks waited on their own wish.
    pub blocked_ns: u64,
    /// Nanoseconds that tasks waited to go on after that.
    pub ready_ns: u64,
    /// How often the runner stepped aside so that I/O was polled.
    pub reactor_polls: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Gauge: connections that are open.
    pub open_connections: u64,
    /// Times that accepting had to pause because descriptors or memory were short.
    pub accept_errors: u64,
}

impl ShardStats {
    /// Reads all counters.
    pub fn snapshot(&self) -> StatsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatsSnapshot {
            queued: read(&self.queued),
            started: read(&self.started),
            blocked: read(&self.blocked),
            submitted: read(&self.submitted),
            rejected: read(&self.rejected),
            completed: read(&self.completed),
            cancelled: read(&self.cancelled),
            deadline_exceeded: read(&self.deadline_exceeded),
            cpu_budget_exceeded: read(&self.cpu_budget_exceeded),
            drained: read(&self.drained),
            panicked: read(&self.panicked),
            slices: read(&self.slices),
            preemptions: read(&self.preemptions),
            queued_ns: read(&self.queued_ns),
            busy_ns: read(&self.busy_ns),
            preempted_ns: read(&self.preempted_ns),
            blocked_ns: read(&self.blocked_ns),
            ready_ns: read(&self.ready_ns),
            reactor_polls: read(&self.reactor_polls),
            accepted: read(&self.accepted),
            open_connections: read(&self.open_connections),
            accept_errors: read(&self.accept_errors),
        }
    }

    pub(crate) fn set_load(&self, load: Load) {
        self.queued.store(load.queued as u64, Ordering::Relaxed);
        self.started.store(load.started as u64, Ordering::Relaxed);
        self.blocked.store(load.blocked as u64, Ordering::Relaxed);
    }

    pub(crate) fn admitted(&self) {
        add(&self.submitted, 1);
    }

    pub(crate) fn rejected(&self) {
        add(&self.rejected, 1);
    }

    /// Takes over where the time of all tasks went.
    pub(crate) fn set_total(&self, total: &Account) {
        self.slices.store(total.slices, Ordering::Relaxed);
        self.preemptions.store(total.preemptions, Ordering::Relaxed);
        for (counter, spent) in [
            (&self.queued_ns, total.queued),
            (&self.busy_ns, total.ran),
            (&self.preempted_ns, total.preempted),
            (&self.blocked_ns, total.blocked),
            (&self.ready_ns, total.ready),
        ] {
            counter.store(nanoseconds(spent), Ordering::Relaxed);
        }
    }

    pub(crate) fn ended(&self, ending: Ending) {
        add(
            match ending {
                Ending::Done => &self.completed,
                Ending::DeadlineExceeded => &self.deadline_exceeded,
                Ending::CpuBudgetExceeded => &self.cpu_budget_exceeded,
                Ending::Drained => &self.drained,
                // The other shard counts it.
                Ending::Released { .. } => return,
                Ending::Cancelled => &self.cancelled,
                Ending::Panicked => &self.panicked,
            },
            1,
        );
    }

    pub(crate) fn handed_off(&self, _latency: Duration) {}

    pub(crate) fn inbox_was_full(&self) {}

    pub(crate) fn unpark_sent(&self) {}

    pub(crate) fn interrupt_sent(&self) {}

    pub(crate) fn dozed(&self) {}

    pub(crate) fn slept(&self) {}

    pub(crate) fn future_panicked(&self) {
        add(&self.panicked, 1);
    }

    pub(crate) fn reactor_polled(&self) {
        add(&self.reactor_polls, 1);
    }

    pub(crate) fn connection_opened(&self) {
        add(&self.accepted, 1);
        add(&self.open_connections, 1);
    }

    pub(crate) fn connection_closed(&self) {
        self.open_connections.store(
            self.open_connections.load(Ordering::Relaxed) - 1,
            Ordering::Relaxed,
        );
    }

    pub(crate) fn accept_paused(&self) {
        add(&self.accept_errors, 1);
    }
}

/// Adds to a counter that only this thread writes.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(amount),
        Ordering::Relaxed,
    );
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_shards_never_share_a_pair_of_cache_lines() {
        assert_eq!(align_of::<ShardStats>(), 128);
        assert_eq!(size_of::<ShardStats>() % 128, 0);
    }

    #[test]
    fn each_ending_has_its_counter() {
        let stats = ShardStats::default();
        stats.set_total(&Account {
            ran: Duration::from_micros(7),
            ready: Duration::from_micros(2),
            slices: 1,
            ..Account::default()
        });
        stats.ended(Ending::Drained);
        stats.ended(Ending::Panicked);
        let expected = StatsSnapshot {
            slices: 1,
            busy_ns: 7_000,
            ready_ns: 2_000,
            drained: 1,
            panicked: 1,
            ..StatsSnapshot::default()
        };
        assert_eq!(stats.snapshot(), expected);
    }
}
