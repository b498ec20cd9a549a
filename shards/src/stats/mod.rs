//! Counters of one shard, written by its thread and read by any.
//!
//! Each counter has a single writer, so an increment is a load and a store without a locked instruction; the whole
//! block is aligned to 128 bytes (two cache lines: the adjacent-line prefetcher fetches pairs), so that a reader of one
//! shard never slows the writer of another. Readers see each counter at some recent moment, not all at the same one.
//!
//! `histogram` has the distributions, `classes` what is told of each class of tasks.

mod classes;
mod histogram;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use classes::ClassStats;
use histogram::Histogram;

use crate::estimate::Estimate;
use crate::event::Load;
use crate::settings::CLASSES_MAX;
use crate::task::{Account, Ending};
use crate::time::nanoseconds;

pub use classes::ClassSnapshot;
pub use histogram::{
    ADMISSION_SLACK_BOUNDS, ADMISSION_SLACK_BUCKETS, HANDOFF_BOUNDS, HANDOFF_BUCKETS, HistogramSnapshot,
};

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
    missed: AtomicU64,
    spilled_out: AtomicU64,
    spilled_in: AtomicU64,
    stolen_from: AtomicU64,
    stolen: AtomicU64,
    interrupts_sent: AtomicU64,
    unparks_sent: AtomicU64,
    inbox_full: AtomicU64,
    ring_turns: AtomicU64,
    dozes: AtomicU64,
    sleeps: AtomicU64,
    busy_poll_ns: AtomicU64,
    busy_poll_hits: AtomicU64,
    zero_copies: AtomicU64,
    zero_copies_copied: AtomicU64,
    handoffs: Histogram<HANDOFF_BUCKETS>,
    slack: Histogram<ADMISSION_SLACK_BUCKETS>,
    classes: Box<[ClassStats]>,
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
    /// Tasks that ended after their deadline, done all the same or ended by it.
    pub missed: u64,
    /// Tasks that were sent to another shard because here they would have been late, or because it is their home.
    pub spilled_out: u64,
    /// Tasks that came from another shard for that reason.
    pub spilled_in: u64,
    /// Tasks that were given to a shard which asked for work.
    pub stolen_from: u64,
    /// Tasks that were got from another shard by asking for work.
    pub stolen: u64,
    /// Signals to other shards that something urgent has come for them.
    pub interrupts_sent: u64,
    /// Times that another shard was woken from its sleep.
    pub unparks_sent: u64,
    /// Parcels that had to wait because the other shard's inbox was full.
    pub inbox_full: u64,
    /// Times that the network ring was asked what has come.
    pub ring_turns: u64,
    /// Sleeps in the network ring: short, woken by the network.
    pub dozes: u64,
    /// Sleeps in the executor: long, woken by whatever comes.
    pub sleeps: u64,
    /// Nanoseconds that the shard had nothing to do and looked on rather than slept.
    pub busy_poll_ns: u64,
    /// Times that something has come meanwhile.
    pub busy_poll_hits: u64,
    /// Sends without a copy that are over.
    pub zero_copies: u64,
    /// Of these, how many were copied all the same, because what carried them could not do without.
    pub zero_copies_copied: u64,
    /// How long parcels took from one shard's hand into the other's, counted where they arrive; see [`HANDOFF_BOUNDS`].
    pub handoffs: HistogramSnapshot<HANDOFF_BUCKETS>,
    /// How long tasks could have waited when they were admitted: the time to their deadline less that which they were
    /// assumed to need; see [`ADMISSION_SLACK_BOUNDS`].
    pub slack: HistogramSnapshot<ADMISSION_SLACK_BUCKETS>,
}

impl ShardStats {
    /// Counters at zero, with a table of that many classes, of which [`CLASSES_MAX`] are kept at most. What is said of
    /// classes beyond is not kept.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            classes: (0..classes.min(CLASSES_MAX))
                .map(|_| ClassStats::default())
                .collect(),
            ..Self::default()
        }
    }

    /// Reads what is told of a class; nothing if the table does not have it.
    #[must_use]
    pub fn class(&self, class: usize) -> Option<ClassSnapshot> {
        self.classes.get(class).map(ClassStats::snapshot)
    }

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
            missed: read(&self.missed),
            spilled_out: read(&self.spilled_out),
            spilled_in: read(&self.spilled_in),
            stolen_from: read(&self.stolen_from),
            stolen: read(&self.stolen),
            interrupts_sent: read(&self.interrupts_sent),
            unparks_sent: read(&self.unparks_sent),
            inbox_full: read(&self.inbox_full),
            ring_turns: read(&self.ring_turns),
            dozes: read(&self.dozes),
            sleeps: read(&self.sleeps),
            busy_poll_ns: read(&self.busy_poll_ns),
            busy_poll_hits: read(&self.busy_poll_hits),
            zero_copies: read(&self.zero_copies),
            zero_copies_copied: read(&self.zero_copies_copied),
            handoffs: self.handoffs.snapshot(),
            slack: self.slack.snapshot(),
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
        if ending == Ending::DeadlineExceeded {
            add(&self.missed, 1);
        }
    }

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

/// What shards do to each other, and how well promises are kept.
impl ShardStats {
    /// A task was admitted that has as much time to spare, by its estimate; nothing: it has too little.
    pub(crate) fn admitted_with_slack(&self, slack: Option<Duration>) {
        self.slack.admitted(slack);
    }

    /// A task came to its own end, after its deadline. Those that were ended there count by themselves.
    pub(crate) fn done_late(&self) {
        add(&self.missed, 1);
    }

    /// A task of this class has ended, which had the core for `ran`; `estimate`: what is known of the class since.
    pub(crate) fn class_ended(&self, class: u32, ran: Duration, estimate: Option<Estimate>) {
        if let Some(stats) = self.classes.get(class as usize) {
            stats.ended(ran, estimate);
        }
    }

    /// A parcel was taken from the inbox, so long after it was sent.
    pub(crate) fn handed_off(&self, latency: Duration) {
        self.handoffs.handed_off(latency);
    }

    /// A task was sent to another shard, where it will be in time or has its home.
    pub(crate) fn spilled_out(&self) {
        add(&self.spilled_out, 1);
    }

    /// A task has come that would have been late where it was, or has its home here.
    pub(crate) fn spilled_in(&self) {
        add(&self.spilled_in, 1);
    }

    /// A task was given to a shard that asked for work.
    pub(crate) fn stolen_from(&self) {
        add(&self.stolen_from, 1);
    }

    /// A task has come that this shard asked for.
    pub(crate) fn stolen(&self) {
        add(&self.stolen, 1);
    }

    /// Another shard's thread was interrupted by a signal.
    pub(crate) fn interrupt_sent(&self) {
        add(&self.interrupts_sent, 1);
    }

    /// Another shard was woken from its sleep.
    pub(crate) fn unpark_sent(&self) {
        add(&self.unparks_sent, 1);
    }

    /// A parcel did not fit another shard's inbox.
    pub(crate) fn inbox_was_full(&self) {
        add(&self.inbox_full, 1);
    }

    /// The network ring was asked what has come.
    pub(crate) fn ring_turned(&self) {
        add(&self.ring_turns, 1);
    }

    /// The shard slept in its network ring.
    pub(crate) fn dozed(&self) {
        add(&self.dozes, 1);
    }

    /// The shard slept in its executor.
    pub(crate) fn slept(&self) {
        add(&self.sleeps, 1);
    }

    /// The shard looked on rather than slept, for so long, and something has come or not.
    pub(crate) fn busy_polled(&self, time: Duration, any: bool) {
        add(&self.busy_poll_ns, nanoseconds(time));
        add(&self.busy_poll_hits, u64::from(any));
    }

    /// A send without a copy is over; there was a copy or not.
    pub(crate) fn sent_without_copy(&self, copied: bool) {
        add(&self.zero_copies, 1);
        add(&self.zero_copies_copied, u64::from(copied));
    }
}

/// Adds to a counter that only this thread writes.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(amount),
        Ordering::Relaxed,
    );
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

    #[test]
    fn a_deadline_is_missed_by_tasks_that_it_ended_and_by_those_that_were_done_later() {
        let stats = ShardStats::default();
        stats.ended(Ending::DeadlineExceeded);
        stats.ended(Ending::Done);
        stats.done_late();
        stats.ended(Ending::Done);
        let read = stats.snapshot();
        assert_eq!((read.missed, read.deadline_exceeded, read.completed), (2, 1, 2));
    }

    #[test]
    fn what_shards_do_to_each_other_is_counted() {
        let stats = ShardStats::default();
        let counted: [fn(&ShardStats); 9] = [
            ShardStats::spilled_out,
            ShardStats::spilled_in,
            ShardStats::stolen_from,
            ShardStats::stolen,
            ShardStats::interrupt_sent,
            ShardStats::unpark_sent,
            ShardStats::inbox_was_full,
            ShardStats::ring_turned,
            ShardStats::dozed,
        ];
        for (times, count) in (1..).zip(counted) {
            (0..times).for_each(|_| count(&stats));
        }
        (0..10).for_each(|_| stats.slept());
        stats.busy_polled(Duration::from_nanos(20), false);
        stats.busy_polled(Duration::from_nanos(7), true);
        stats.sent_without_copy(false);
        stats.sent_without_copy(true);
        stats.handed_off(Duration::from_nanos(300));
        stats.admitted_with_slack(None);
        let expected = StatsSnapshot {
            spilled_out: 1,
            spilled_in: 2,
            stolen_from: 3,
            stolen: 4,
            interrupts_sent: 5,
            unparks_sent: 6,
            inbox_full: 7,
            ring_turns: 8,
            dozes: 9,
            sleeps: 10,
            busy_poll_ns: 27,
            busy_poll_hits: 1,
            zero_copies: 2,
            zero_copies_copied: 1,
            ..stats.snapshot()
        };
        assert_eq!(stats.snapshot(), expected);
        assert_eq!((expected.handoffs.buckets[1], expected.slack.buckets[0]), (1, 1));
    }

    #[test]
    fn classes_beyond_the_table_are_not_kept() {
        let stats = ShardStats::new(2);
        for class in 1..4 {
            stats.class_ended(class, Duration::from_micros(5), None);
        }
        assert_eq!(stats.class(0), Some(ClassSnapshot::default()));
        assert_eq!(
            stats.class(1).map(|class| class.busy),
            Some(Duration::from_micros(5))
        );
        assert_eq!(stats.class(2), None);
        assert_eq!(ShardStats::new(usize::MAX).classes.len(), CLASSES_MAX);
    }
}
