//! Checkers: rules that stand outside of what they check, and see only what goes into schedulers and comes out.
//!
//! ```text
//!   Seed ─► Plan ─► Simulation<Spy<P>> ─── Seen ──► Mirror ─► rule, rule, rule ...  ─► Violation
//!                          └─────────── told ─────────────────────┘
//! ```
//!
//! [`check`] runs a seed's [`Plan`] before them. What they find comes with the seed, which is all that it takes to see it again.

mod mirror;
mod plan;
mod rules;
mod spy;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use plan::Plan;
pub use spy::Spy;

use self::mirror::Mirror;
use self::rules::Rule;
use self::spy::Told;
use super::random::Seed;
use super::seen::{Observer, Seen, Trace};
use super::settings::Settings;
use super::simulation::{Simulation, start_of_time};
use super::tally::Tally;
use crate::policy::{AnyPolicy, Policy, PolicyKind};
use crate::settings::SchedulerConfig;
use crate::time::Instant;

/// What the rules need to know of a run.
#[derive(Clone, Debug)]
pub struct Expected {
    scheduler: SchedulerConfig,
    told: Vec<Told>,
    is_faultless: bool,
    is_honest: bool,
    /// How late a task may end in a run without faults.
    lateness: Duration,
    start: Instant,
}

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule} at {at:?}: {what}")]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// When.
    pub at: Duration,
    /// What has happened.
    pub what: String,
}

/// All rules, as an observer of a run.
pub struct Checkers {
    mirror: Mirror,
    rules: Vec<Box<dyn Rule>>,
    violation: Option<Violation>,
}

impl fmt::Debug for Checkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkers")
            .field("violation", &self.violation)
            .finish_non_exhaustive()
    }
}

impl Expected {
    /// Of a run with these settings.
    #[must_use]
    pub fn of(settings: &Settings, is_honest: bool, start: Instant) -> Self {
        let overheads = &settings.overheads;
        let switch = overheads.switch + overheads.wake + overheads.doorbell;
        Self {
            scheduler: settings.scheduler.clone(),
            told: (0..settings.cores).map(|_| Told::default()).collect(),
            is_faultless: settings.faults.are_none(),
            is_honest,
            // A guest is stopped at the backstop at the latest; then the mail is read, which may be long.
            lateness: overheads.backstop + switch + (overheads.request + overheads.parcel) * 64,
            start,
        }
    }

    /// How far an instant is from one long before the run, which latest starts may lie before.
    fn shifted(&self, at: Instant) -> Duration {
        const LONG: Duration = Duration::from_secs(1 << 20);
        (at + LONG).saturating_duration_since(self.start)
    }

    /// A shard's policy, with somebody listening.
    pub fn spy<P: Policy>(&self, shard: usize, policy: P) -> Spy<P> {
        Spy::new(policy, self.told[shard].clone())
    }
}

impl Checkers {
    /// Checkers of a run.
    #[must_use]
    pub fn new(expected: &Expected) -> Self {
        Self {
            mirror: Mirror::new(
                expected.told.len(),
                expected.scheduler.started_bound,
                expected.start,
            ),
            rules: rules::all(expected),
            violation: None,
        }
    }

    /// The run is over.
    ///
    /// # Errors
    /// The first rule that was broken.
    pub fn finish(mut self, at: Duration) -> Result<(), Violation> {
        for rule in &mut self.rules {
            if self.violation.is_none()
                && let Err(what) = rule.end()
            {
                self.violation = Some(Violation {
                    rule: rule.name(),
                    at,
                    what,
                });
            }
        }
        self.violation.map_or(Ok(()), Err)
    }
}

impl Observer for Checkers {
    fn see(&mut self, at: Duration, seen: &Seen) {
        if self.violation.is_some() {
            return;
        }
        for rule in &mut self.rules {
            if let Err(what) = rule.look(at, seen, &self.mirror) {
                self.violation = Some(Violation {
                    rule: rule.name(),
                    at,
                    what,
                });
                return;
            }
        }
        self.mirror.follow(at, seen);
    }
}

/// A run in which no rule was broken.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What was checked.
    pub plan: Plan,
    /// The run's fingerprint.
    pub trace: Trace,
    /// What was counted.
    pub tally: Tally,
}

/// A run in which a rule was broken, or the code itself gave up.
#[derive(Clone, Debug, thiserror::Error)]
#[error("seed {}, {}: {what}; replay with: luge sim --check --seeds {} --policy {}", .seed.0, .policy, .seed.0, .policy)]
pub struct Failed {
    /// The seed.
    pub seed: Seed,
    /// The policy.
    pub policy: PolicyKind,
    /// The broken rule, or the panic.
    pub what: String,
}

/// Runs the plan of a seed before all checkers.
///
/// # Errors
/// The first rule that was broken.
pub fn check(seed: Seed, policy: Option<PolicyKind>) -> Result<Checked, Box<Failed>> {
    let plan = Plan::draw(seed, policy);
    let policy = plan.settings.scheduler.policy;
    let failed = |what| Box::new(Failed { seed, policy, what });
    let run = || check_plan(&plan, |_| AnyPolicy::new(policy));
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok((trace, tally))) => Ok(Checked { plan, trace, tally }),
        Ok(Err(violation)) => Err(failed(violation.to_string())),
        Err(panic) => {
            let told = panic.downcast_ref::<String>().map(String::as_str);
            let told = told.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(failed(format!("panic: {}", told.unwrap_or("of no words"))))
        }
    }
}

/// Runs a plan with any policy before all checkers.
///
/// # Errors
/// The first rule that was broken.
pub fn check_plan<P: Policy>(
    plan: &Plan,
    mut policy: impl FnMut(usize) -> P,
) -> Result<(Trace, Tally), Violation> {
    let start = start_of_time();
    let expected = Expected::of(&plan.settings, plan.is_honest, start);
    let simulation = Simulation::with_arrivals(
        plan.settings.clone(),
        plan.arrivals(),
        start,
        |shard| expected.spy(shard, policy(shard)),
        (Trace::new(start), Checkers::new(&expected)),
    );
    let (tally, (trace, checkers)) = simulation.run();
    checkers.finish(tally.end)?;
    Ok((trace, tally))
}
