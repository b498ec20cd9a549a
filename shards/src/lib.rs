//! One executor per core, and the scheduler of what runs on it.
//!
//! A *shard* is one core's thread with everything that it owns: an executor, a listening socket, connections, a queue
//! of tasks. The kernel spreads connections over the shards; what they share while serving is in `mesh`, without a lock.
//!
//! ```text
//!                    kernel: one port, SO_REUSEPORT
//!                   /                              \
//!   +--------- shard 0, CPU 0 ---------+   +--------- shard 1, CPU 1 ---------+
//!   | Listener -> Stream, Stream, ...  |   | Listener -> Stream, ...          |
//!   |    futures: one per connection   |   |                                  |
//!   |       | submit(task)   ^ ticket  |   |              ...                 |
//!   |       v                |         |   |                                  |
//!   |   Scheduler ---------> runner    |   |                                  |
//!   |   (pure)              (slices)   |   |                                  |
//!   +----------------------------------+   +----------------------------------+
//!            |\___ counters: written by one thread, read by any ___/ |
//!            +---- mesh: rings of parcels, and a board of loads -----+
//! ```
//!
//! Two kinds of work live on a shard. *Futures* wait most of the time: connections, timers. They are polled by the
//! executor and must return quickly. *Tasks* ([`Task`]) occupy the core: they run in slices of at most a quantum, under
//! a deadline and a budget of CPU time, in the order that a [`Policy`] decides. Between two slices the futures run and
//! the network is looked at, so a task that computes for a minute does not stop the connections beside it.
//!
//! The crate does not know what a task computes. It also does not show which executor it stands on: one module names
//! it, and the network under [`Stream`] can change without a change above.
//!
//! # Starting and ending
//!
//! ```no_run
//! use luge_shards::{ListenAddress, ShardsConfig, start};
//!
//! let address = ListenAddress::reserve("127.0.0.1:0".parse()?)?;
//! let addr = address.addr();
//! let shards = start(ShardsConfig::default(), move |shard| async move {
//!     let listener = shard.listen(addr).expect("the address was reserved");
//!     while let Ok((stream, peer)) = listener.accept().await {
//!         shard.spawn_local(async move { drop((stream, peer)) });
//!     }
//! })?;
//! shards.drain();
//! shards.join()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`start`] first probes the machine ([`probe()`]) and says what to set if it lacks something. [`Shards::drain`] refuses
//! new tasks and resolves [`Shard::draining`]; admitted tasks may finish until their deadlines or the end of the grace
//! period; a shard ends when its `main` returns.
//!
//! # Where things are
//!
//! - `scheduler`, `event`, `state`, `policy`, `estimate`, `admission`, `settings`, `task`: the state machine
//!   `(Event, now) -> Actions`, without a clock and without I/O.
//! - `mesh`: what shards share: bounded rings of parcels, who sleeps, how much each has to do, who asks whom for work.
//! - `steering`: on which shard a request is served.
//! - [`sim`]: the same under a virtual clock, with checkers.
//! - `time`: points in time ([`Instant`]), of which all of these reckon.
//! - `driver`: threads, executor, network, the runner that carries out actions. Only here is the clock read.
//! - `probe`, `cores`, `listen`, `config`, `stats`: what is around a start, and what is counted.

#![deny(unsafe_code)]

mod admission;
mod config;
mod cores;
mod driver;
mod estimate;
mod event;
mod listen;
mod mesh;
mod policy;
mod probe;
#[expect(
    unsafe_code,
    reason = "the door to what the kernel reads and writes while it is asked for it"
)]
mod ring;
mod scheduler;
mod settings;
pub mod sim;
mod sorted;
mod state;
mod stats;
mod steering;
mod task;
mod time;

pub use admission::{Demand, Fit, SLACK_STEPS, TASK_OVERHEAD};
pub use config::{CoreSelection, NetworkMode, ShardsConfig};
pub use cores::{CoresError, available_cores};
pub use driver::glommio::Sleep;
pub use driver::{
    Completed, Doorbell, Drainer, Draining, Interrupt, Listener, Rejected, Shard, ShardFailed, ShardId,
    Shards, StartError, Stream, Submitted, Ticket, Unsubmitted, start,
};
pub use estimate::Estimate;
pub use event::{Action, Event, Load, SliceOutcome};
pub use listen::ListenAddress;
pub use mesh::{
    Announced, Board, Delivered, Due, Gift, MAX_SHARDS, Mesh, Parcel, Port, SLACK_BUCKETS, SendError,
    ShardLoad, Stealing, StealingConfig, Wake, Watch, slack_of_bucket,
};
pub use policy::{
    AnyPolicy, Band, Candidate, Edf, Fifo, LeastSlack, Policy, PolicyKind, RoundRobin, Rules, Srsf,
    UnknownPolicy,
};
pub use probe::{Capabilities, KernelVersion, MINIMUM_KERNEL, ProbeError, probe, probe_for};
pub use ring::SubmissionThread;
pub use scheduler::Scheduler;
pub use settings::{CLASSES_MAX, ClassConfig, SchedulerConfig, TenantConfig};
pub use stats::{
    ADMISSION_SLACK_BOUNDS, ADMISSION_SLACK_BUCKETS, ClassSnapshot, HANDOFF_BOUNDS, HANDOFF_BUCKETS,
    HistogramSnapshot, ShardStats, StatsSnapshot,
};
pub use steering::{Placement, Request, Steering, SteeringConfig, home, place};
pub use task::{Account, Ending, RejectReason, Slice, Step, Task, TaskId, TaskMeta};
pub use time::Instant;
