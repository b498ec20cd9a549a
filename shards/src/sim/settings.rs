//! What a run is made of: the machine, its load, its faults, and what everything costs.

use std::time::Duration;

use super::faults::Faults;
use super::random::Seed;
use super::workload::Scenario;
use crate::mesh::StealingConfig;
use crate::settings::{ClassConfig, SchedulerConfig};
use crate::steering::SteeringConfig;

/// The most cores of a run.
pub const CORES_MAX: usize = 256;

/// Settings of a [`Simulation`](super::Simulation).
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Number of shards, one on each core.
    pub cores: usize,
    /// What arrives.
    pub scenario: Scenario,
    /// Work offered, as a part of what the cores can do without any overhead.
    pub load: f64,
    /// For how long requests arrive. Those that are left then run to their ends.
    pub duration: Duration,
    /// What goes wrong.
    pub faults: Faults,
    /// Where all randomness comes from.
    pub seed: Seed,
    /// The schedulers' own settings, the policy among them.
    pub scheduler: SchedulerConfig,
    /// Whether firm requests are refused that would be late. If not, only the bounds refuse.
    pub admission: bool,
    /// Where requests go.
    pub steering: SteeringConfig,
    /// Whether requests have affinity keys, which send each to the home of its key.
    pub has_keys: bool,
    /// Whether idle shards take work from others.
    pub steals: bool,
    /// When that is worth it.
    pub stealing: StealingConfig,
    /// Modelled costs.
    pub overheads: Overheads,
    /// Most parcels from one shard to another that are not answered yet.
    pub ring_bound: usize,
    /// Most requests of a shard that its network has and nobody has looked at. Further connections are refused.
    pub backlog_bound: usize,
    /// When all shards begin to drain, if they do.
    pub drain_at: Option<Duration>,
}

/// What it costs to do anything but the requests' own work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overheads {
    /// To take in a request, place it, and answer it.
    pub request: Duration,
    /// To give the core to another task than it had last.
    pub switch: Duration,
    /// To put a parcel into a ring, or to take it out.
    pub parcel: Duration,
    /// Until another shard that is awake can see a parcel.
    pub hand_off: Duration,
    /// Until a parked shard is awake.
    pub wake: Duration,
    /// Until a doorbell has stopped a guest.
    pub doorbell: Duration,
    /// Guests are stopped each time that their core has worked for so long.
    pub backstop: Duration,
}

impl Overheads {
    /// As measured on a two-core virtual machine.
    pub const MEASURED: Self = Self {
        request: Duration::from_micros(10),
        switch: Duration::from_micros(5),
        parcel: Duration::from_micros(1),
        hand_off: Duration::from_micros(2),
        wake: Duration::from_micros(40),
        doorbell: Duration::from_micros(10),
        backstop: Duration::from_millis(4),
    };

    /// A machine out of the textbook: only work takes time.
    pub const NONE: Self = Self {
        request: Duration::ZERO,
        switch: Duration::ZERO,
        parcel: Duration::ZERO,
        hand_off: Duration::ZERO,
        wake: Duration::ZERO,
        doorbell: Duration::ZERO,
        backstop: Duration::from_millis(4),
    };
}

impl Settings {
    /// A scenario on so many cores at such a load, for ten seconds, without faults, with spill and stealing.
    ///
    /// The schedulers know from the start what a request of each class takes at most, up to a hundred milliseconds.
    #[must_use]
    pub fn new(cores: usize, scenario: Scenario, load: f64, seed: Seed) -> Self {
        let prior = |class: &super::Class| ClassConfig {
            prior: Some(class.cost.most().min(Duration::from_millis(100))),
            ..ClassConfig::default()
        };
        Self {
            cores,
            scenario,
            load,
            duration: Duration::from_secs(10),
            faults: Faults::NONE,
            seed,
            scheduler: SchedulerConfig {
                classes: scenario.classes().iter().map(prior).collect(),
                ..SchedulerConfig::default()
            },
            admission: true,
            steering: SteeringConfig::default(),
            has_keys: false,
            steals: true,
            stealing: StealingConfig::default(),
            overheads: Overheads::MEASURED,
            ring_bound: 64,
            backlog_bound: 1024,
            drain_at: None,
        }
    }
}
