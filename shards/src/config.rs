//! What a set of shards is started with.

use std::time::Duration;

use crate::mesh::StealingConfig;
use crate::policy::PolicyKind;
use crate::ring::{RingConfig, SubmissionThread};
use crate::settings::{ClassConfig, SchedulerConfig, TenantConfig};
use crate::steering::SteeringConfig;

/// Settings of [`start`](crate::start); the defaults serve.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardsConfig {
    /// Which CPUs get a shard.
    pub cores: CoreSelection,
    /// Most tasks per shard that wait without having run; further ones are rejected. Default 1,024.
    pub queue_bound: usize,
    /// Most tasks per shard that have run and not ended (preempted or asleep). At the bound no new task starts, and the
    /// queue fills up behind it. Default 1,024.
    pub started_bound: usize,
    /// Longest slice of a task. Between slices other futures of the shard run and I/O is polled, so this is about how
    /// long an arriving request can go unseen.
    ///
    /// Default 1 ms: stepping aside costs a few microseconds, well under one per cent of the slice.
    pub quantum: Duration,
    /// How long after [`Shards::drain`](crate::Shards::drain) admitted tasks may go on before they end as
    /// [`Ending::Drained`](crate::Ending::Drained). Default 30 s.
    pub drain_grace: Duration,
    /// Bytes of memory per shard for direct file I/O, rounded up to at least 64 KiB. The executor registers it with
    /// io_uring at its start. Default 64 KiB, as the network does not use it.
    pub io_memory: usize,
    /// Entries of each submission queue of the executor's rings. Default 256.
    pub ring_depth: usize,
    /// What carries the network. Default: a ring of the shard's own.
    pub network: NetworkMode,
    /// Buffers of 4 KiB per shard that the kernel receives into, for all connections together; rounded up to a power of
    /// two, at most 32,768. Default 256.
    pub receive_buffers: u16,
    /// A thread of the kernel's for each ring, which submits and receives for it (`SQPOLL`). It takes a part of a core of its own, and
    /// leaves the shard few system calls; what arrives during a slice is seen a little later, at worst at the next tick of CPU time.
    /// Means nothing where the executor carries the network. Default: none.
    pub submission_thread: Option<SubmissionThread>,
    /// Sends of at least so many bytes are made without a copy where the network allows it; a send has [`ShardsConfig::SEND_MAX`] at most.
    /// Means nothing where the executor carries the network. Default: none are.
    pub zero_copy_from: Option<usize>,
    /// How long a shard that has nothing to do goes on looking at its ring, its mail and its executor before it sleeps; at most
    /// [`ShardsConfig::BUSY_POLL_MAX`]. It takes the core meanwhile, and spares what comes the way out of a sleep. Means nothing where
    /// the executor carries the network. Default: zero, which is not at all.
    pub busy_poll: Duration,
    /// The order of tasks. Default: earliest deadline first.
    pub policy: PolicyKind,
    /// Whether a more urgent task takes the core from one that has begun. Default: yes.
    pub preemptive: bool,
    /// Whether, once tasks are refused, classes that took more than others leave these room, so that each gets what it asks for or an
    /// equal part of what fits. Default: yes.
    pub fair_admission: bool,
    /// What is known of each class of tasks before any has run, by its number.
    pub classes: Vec<ClassConfig>,
    /// What each tenant is granted, by its number.
    pub tenants: Vec<TenantConfig>,
    /// Which shard a request is served by.
    pub steering: SteeringConfig,
    /// When idle shards take work from others; nothing: never. Default: on.
    pub stealing: Option<StealingConfig>,
}

/// What carries a shard's network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// An io_uring of the shard's own: connections are accepted and received from without asking for each, and answers leave
    /// many at a time. Wants Linux 6.1.
    #[default]
    Ring,
    /// The executor's sockets, by readiness: on any kernel that the executor runs on.
    Executor,
}

/// Which CPUs get a shard, out of those that the process may use (its affinity mask, as set by `taskset`, systemd or a
/// container's CPU set).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CoreSelection {
    /// All of them.
    #[default]
    All,
    /// The first so many of them.
    Count(usize),
    /// Exactly these, by the kernel's number.
    List(Vec<usize>),
}

impl Default for ShardsConfig {
    fn default() -> Self {
        Self {
            cores: CoreSelection::All,
            queue_bound: 1024,
            started_bound: 1024,
            quantum: Duration::from_millis(1),
            drain_grace: Duration::from_secs(30),
            io_memory: 64 << 10,
            ring_depth: 256,
            network: NetworkMode::Ring,
            receive_buffers: 256,
            submission_thread: None,
            zero_copy_from: None,
            busy_poll: Duration::ZERO,
            policy: PolicyKind::default(),
            preemptive: true,
            fair_admission: true,
            classes: Vec::new(),
            tenants: Vec::new(),
            steering: SteeringConfig::default(),
            stealing: Some(StealingConfig::default()),
        }
    }
}

impl ShardsConfig {
    /// Bytes of a connection that are sent at a time, at most.
    pub const SEND_MAX: usize = 64 << 10;
    /// The longest [`ShardsConfig::busy_poll`]; more is as much.
    pub const BUSY_POLL_MAX: Duration = Duration::from_secs(1);

    pub(crate) fn busy_poll(&self) -> Duration {
        self.busy_poll.min(Self::BUSY_POLL_MAX)
    }

    pub(crate) fn ring(&self) -> RingConfig {
        RingConfig {
            buffers: self.receive_buffers.clamp(1, 1 << 15).next_power_of_two(),
            thread: self.submission_thread,
            zero_copy_from: self.zero_copy_from,
            ..RingConfig::default()
        }
    }

    pub(crate) fn scheduler(&self) -> SchedulerConfig {
        SchedulerConfig {
            queue_bound: self.queue_bound,
            started_bound: self.started_bound,
            quantum: self.quantum,
            drain_grace: self.drain_grace,
            policy: self.policy,
            preemptive: self.preemptive,
            fair_admission: self.fair_admission,
            classes: self.classes.clone(),
            tenants: self.tenants.clone(),
        }
    }
}
