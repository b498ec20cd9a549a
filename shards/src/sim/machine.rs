//! The modelled parts of a run: requests on their way, what is in the mail, and a core with what it is doing.
//!
//! ```text
//!            mail, alarm                    Run
//!   Parked ─────────────► (look) ───────────────────────────► Slice
//!      ▲                   │ ▲ ▲                                │
//!      └───────────────────┘ │ └────────────────────────────────┘  work done, nap, `until`, backstop, doorbell
//!         Idle, no mail      │      ▲
//!                            ▼      │
//!                           Mail ───┘  a message was handled
//! ```
//!
//! A core does one thing at a time, and each takes its time. A core that stands still keeps what it is doing; it ends
//! later by as much, which the epoch of the happening that would have ended it tells apart.

use std::collections::VecDeque;
use std::time::Duration;

use super::settings::Settings;
use super::workload::Arrival;
use crate::mesh::{ShardLoad, Stealing};
use crate::policy::Policy;
use crate::scheduler::Scheduler;
use crate::task::{Ending, RejectReason, TaskId};
use crate::time::Instant;

/// Names a request: its place in the table, and its number, by which a message sees that it came too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) key: usize,
    pub(super) number: u64,
}

/// A request that was not answered yet.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) arrival: Arrival,
    /// A hash of the key that keeps requests together, where homes are asked for.
    pub(super) affinity: u64,
    /// How much of its work is done.
    pub(super) done: Duration,
    pub(super) stage: Stage,
    /// The other shard to which it went, if it did.
    pub(super) sent_to: Option<usize>,
}

impl Request {
    /// How long it works until it is done or naps.
    pub(super) fn goes_on_for(&self) -> Duration {
        let goal = self.arrival.nap.map_or(self.arrival.cost, |(at, _)| at);
        goal.saturating_sub(self.done)
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its own shard has not looked at it yet.
    Backlog,
    /// In a ring to this shard.
    Sent(usize),
    /// In this shard's scheduler.
    Submitted(usize, TaskId),
    /// In the ring back, with its answer.
    Returning,
}

/// What a shard finds when it looks at its network and its rings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mail {
    /// From the network: a request, in `name`'s place of the table.
    Request(Name),
    /// From the network: the client has gone.
    Gone(Name),
    /// A request to be run here.
    Parcel(Name),
    /// A request that ran elsewhere is over.
    Outcome(Name, Result<Ending, RejectReason>),
    /// A request that runs here is not wanted any more.
    Cancel(Name),
}

/// A core and its shard.
#[derive(Debug)]
pub(super) struct Core<P> {
    pub(super) scheduler: Scheduler<P>,
    pub(super) doing: Doing,
    /// Changes whenever the end of what is done now does.
    pub(super) epoch: u64,
    /// It stands still until then.
    pub(super) still_until: Duration,
    pub(super) mail: VecDeque<Mail>,
    /// How much of the mail comes from the network.
    pub(super) backlog: usize,
    /// How much mail may still be handled before the scheduler is asked.
    pub(super) batch: usize,
    /// By slot of the task.
    pub(super) carried: Vec<Option<Name>>,
    pub(super) last: Option<TaskId>,
    /// What the backstop's clock shows.
    pub(super) worked: Duration,
    /// What it has shown to others.
    pub(super) shown: ShardLoad,
    pub(super) stealing: Stealing,
    /// A shard that asks this one for work.
    pub(super) asked_by: Option<usize>,
    /// When what it does now ends.
    pub(super) busy_until: Duration,
}

/// What a core is doing.
#[derive(Debug)]
pub(super) enum Doing {
    /// Nothing. `waking`: somebody has rung already.
    Parked { waking: bool },
    /// It handles a message, since a time.
    Mail(Mail, Duration),
    /// It runs a guest.
    Slice(Slice),
}

/// A slice that runs.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) task: TaskId,
    pub(super) name: Name,
    /// When the core was given to it.
    pub(super) began: Duration,
    /// When its own work began.
    pub(super) works_from: Duration,
    /// For how long the core has stood still since.
    pub(super) lost: Duration,
}

/// How much mail a shard handles before it asks its scheduler.
pub(super) const BATCH: usize = 64;

impl<P: Policy> Core<P> {
    pub(super) fn new(shard: usize, settings: &Settings, policy: P, start: Instant) -> Self {
        Self {
            scheduler: Scheduler::new(settings.scheduler.clone(), policy),
            doing: Doing::Parked { waking: false },
            epoch: 0,
            still_until: Duration::ZERO,
            mail: VecDeque::new(),
            backlog: 0,
            batch: BATCH,
            carried: Vec::new(),
            last: None,
            worked: Duration::ZERO,
            shown: ShardLoad::idle(start),
            stealing: Stealing::new(shard, settings.cores, settings.stealing),
            asked_by: None,
            busy_until: Duration::ZERO,
        }
    }
}

impl<P> Core<P> {
    /// Whether it sleeps and nobody has rung.
    pub(super) fn is_parked(&self) -> bool {
        matches!(self.doing, Doing::Parked { waking: false })
    }

    /// Notes that a task carries a request.
    pub(super) fn carry(&mut self, task: TaskId, name: Name) {
        let slot = task.slot();
        if self.carried.len() <= slot {
            self.carried.resize(slot + 1, None);
        }
        self.carried[slot] = Some(name);
    }

    /// The request that a live task carries.
    pub(super) fn name_of(&self, task: TaskId) -> Name {
        self.carried[task.slot()].expect("a live task carries a request")
    }
}
