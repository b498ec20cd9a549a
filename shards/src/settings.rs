//! What a [`Scheduler`](crate::Scheduler) is made with: bounds, times, its policy, and what is known of classes and tenants.

use std::time::Duration;

use crate::policy::PolicyKind;

/// Number of classes for which estimates are kept. Tasks of a class beyond are scheduled as if nothing were ever known of
/// them, so that a number out of nowhere costs no memory.
pub const CLASSES_MAX: usize = 1 << 14;

/// Bounds, times and choices of a [`Scheduler`](crate::Scheduler).
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerConfig {
    /// Most tasks that wait without having run.
    pub queue_bound: usize,
    /// Most tasks that have run and not ended. At the bound, no new task starts until one ends.
    pub started_bound: usize,
    /// Longest slice.
    pub quantum: Duration,
    /// How long after [`Event::Drain`](crate::Event::Drain) admitted tasks may go on.
    pub drain_grace: Duration,
    /// The order of the tasks, for [`AnyPolicy::new`](crate::AnyPolicy::new) and for messages.
    pub policy: PolicyKind,
    /// Whether another task may take the core when a slice is over. If not, a task that was preempted goes on at once
    /// until it ends or blocks: the futures and the network get their turns, other tasks do not.
    pub preemptive: bool,
    /// Whether, once tasks are refused, classes that took more than others leave these room.
    pub fair_admission: bool,
    /// What is known of each class, by its number. A class that is not listed has the default.
    pub classes: Vec<ClassConfig>,
    /// What is known of each tenant, by its number, likewise.
    pub tenants: Vec<TenantConfig>,
}

impl Default for SchedulerConfig {
    /// 1,024 tasks waiting and as many under way, slices of a millisecond, 30 s to drain, earliest deadline first, fair admission.
    fn default() -> Self {
        Self {
            queue_bound: 1024,
            started_bound: 1024,
            quantum: Duration::from_millis(1),
            drain_grace: Duration::from_secs(30),
            policy: PolicyKind::default(),
            preemptive: true,
            fair_admission: true,
            classes: Vec::new(),
            tenants: Vec::new(),
        }
    }
}

/// What is known of the tasks of a class before any has run, and what they are granted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassConfig {
    /// How long one takes, as far as somebody has said so.
    pub prior: Option<Duration>,
    /// Whose class it is: an index into [`SchedulerConfig::tenants`].
    pub tenant: u32,
    /// Which part of the core all its tasks together may use, above 0 and at most 1. Nothing sets no limit.
    pub cpu_share: Option<f64>,
}

/// What a tenant is granted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TenantConfig {
    /// Which part of the core the tasks of all its classes together may use, above 0 and at most 1. Nothing sets no limit.
    pub cpu_share: Option<f64>,
}
