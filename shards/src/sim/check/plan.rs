//! Settings drawn from a seed: what the checkers look at.
//!
//! Bounds are drawn small, so that they are met; loads go from a third of the cores to twice of them. One run in four under
//! EDF is *honest*: costs are what they are said to be and nothing goes wrong, so that what is accepted must be in time.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::mesh::StealingConfig;
use crate::policy::PolicyKind;
use crate::settings::{ClassConfig, SchedulerConfig, TenantConfig};
use crate::sim::faults::Faults;
use crate::sim::random::{Purpose, Seed, Stream};
use crate::sim::settings::{Overheads, Settings};
use crate::sim::workload::{Arrivals, Class, Cost, Scenario};
use crate::steering::{Steering, SteeringConfig};

/// A run for the checkers.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its settings.
    pub settings: Settings,
    /// The kinds of requests.
    pub classes: Vec<Class>,
    /// Whether everything is as it is said to be.
    pub is_honest: bool,
}

/// About how many requests a run has.
const REQUESTS: f64 = 600.0;

impl Plan {
    /// The plan of a seed, with a policy that it draws itself if none is given.
    #[must_use]
    pub fn draw(seed: Seed, policy: Option<PolicyKind>) -> Self {
        let random = &mut seed.stream(Purpose::Plan);
        let drawn = *PolicyKind::ALL.choose(random).expect("there are policies");
        let policy = policy.unwrap_or(drawn);
        let cores = match random.random_range(0..200) {
            0 => 256,
            1..5 => 64,
            _ => *[1, 1, 2, 2, 2, 3, 4, 8, 16]
                .choose(random)
                .expect("there are some"),
        };
        let scenario = *Scenario::ALL.choose(random).expect("there are some");
        let load = random.random_range(0.3..2.0);
        // Least slack first keeps the promise only if it may switch at any instant, not between slices alone.
        let promises = matches!(policy, PolicyKind::Edf | PolicyKind::PlainEdf);
        let is_honest = random.random_range(0..4) == 0 && promises;
        let mut settings = Settings::new(cores, scenario, load, seed);
        let rate = Arrivals::rate(scenario, cores, load);
        settings.duration = Duration::from_secs_f64(REQUESTS.max(2.0 * cores as f64) / rate);
        settings.scheduler.policy = policy;
        let mut classes = scenario.classes();
        if is_honest {
            be_honest(&mut settings, &mut classes);
        } else {
            be_wild(&mut settings, &mut classes, random);
        }
        settings.steering = SteeringConfig {
            steering: if random.random_bool(0.3) {
                Steering::Home
            } else {
                Steering::Local
            },
            spill: random.random_bool(0.7),
            ..SteeringConfig::default()
        };
        settings.has_keys = random.random_bool(0.2);
        settings.steals = random.random_bool(0.7);
        settings.stealing = StealingConfig {
            reach: random.random_range(1..20),
            ..StealingConfig::default()
        };
        settings.ring_bound = random.random_range(1..20);
        Self {
            settings,
            classes,
            is_honest,
        }
    }

    /// Its requests.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        let mut arrivals = Arrivals::new(
            self.settings.scenario,
            self.settings.cores,
            self.settings.load,
            self.settings.faults,
            self.settings.seed,
            self.settings.duration,
        );
        arrivals.classes_mut().copy_from_slice(&self.classes);
        arrivals
    }
}

fn be_honest(settings: &mut Settings, classes: &mut [Class]) {
    settings.overheads = Overheads::NONE;
    for (class, known) in classes.iter_mut().zip(&mut settings.scheduler.classes) {
        let cost = Duration::from_secs_f64(class.cost.mean());
        class.cost = Cost::Even(cost, cost);
        known.prior = Some(cost);
    }
}

fn be_wild(settings: &mut Settings, classes: &mut [Class], random: &mut Stream) {
    settings.faults = Faults::swarm(random);
    if random.random_bool(0.2) {
        settings.faults = Faults::NONE;
    }
    settings.overheads = *[Overheads::MEASURED, Overheads::MEASURED, Overheads::NONE]
        .choose(random)
        .expect("there are some");
    settings.backlog_bound = random.random_range(1..200);
    if random.random_bool(0.15) {
        settings.drain_at = Some(settings.duration.mul_f64(random.random()));
    }
    let mut known = Vec::new();
    for class in classes.iter_mut() {
        class.naps = random.random_bool(0.3);
        class.firm = random.random_bool(0.5);
        if random.random_bool(0.2) {
            class.budget = class.cost.most().mul_f64(random.random_range(0.5..3.0));
        }
        let share = |random: &mut Stream| random.random_bool(0.1).then(|| random.random_range(0.05..1.0));
        known.push(ClassConfig {
            prior: random.random_bool(0.7).then(|| {
                class
                    .cost
                    .most()
                    .mul_f64(10_f64.powf(random.random_range(-1.0..1.0)))
            }),
            tenant: random.random_range(0..2),
            cpu_share: share(random),
        });
    }
    let tenants = (0..2).map(|_| TenantConfig {
        cpu_share: random.random_bool(0.1).then(|| random.random_range(0.05..1.0)),
    });
    let tenants = tenants.collect();
    settings.scheduler = SchedulerConfig {
        queue_bound: *[0, 1, 2, 5, 20, 100].choose(random).expect("there are some"),
        started_bound: *[1, 2, 5, 20, 100].choose(random).expect("there are some"),
        quantum: Duration::from_micros(random.random_range(50..5000)),
        drain_grace: Duration::from_micros(random.random_range(0..50_000)),
        preemptive: random.random_bool(0.8),
        fair_admission: random.random_bool(0.8),
        classes: known,
        tenants,
        ..settings.scheduler.clone()
    };
}
