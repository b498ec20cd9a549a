//! How long a task will take: what its class took lately, and what to assume while that is unknown or looks wrong.
//!
//! ```text
//!   ended Done ----------> sample --------+
//!   ended by a limit ----> lower bound ---+--> sketch per class --> p50, p90, p99
//!   prior of the class --> a few samples -+                              |
//!                                                                        v
//!   new task:  p90 | p50, where p90 alone rules its deadline out | a guess, where nothing is known
//!   overrun:   next quantile above what it had, then twice what it had
//! ```
//!
//! *Nine of ten* is what a new task is assumed to need: admission promises by it, so most promises must hold, and yet the
//! rare long one must not keep the core idle, which p99 or the longest would.
//!
//! *Probes.* An estimate that is too long would never be put right if it kept every further task out. So a class whose
//! tasks are refused because of it is allowed one task now and then, under an optimistic estimate: if that one is quick, the
//! estimate falls. If it is not, the next one waits twice as long. And with silence an estimate itself fades, down to its
//! prior or to a guess.

mod sketch;

use std::time::Duration;

use sketch::{LONGEST, Sketch};

use crate::settings::{CLASSES_MAX, ClassConfig};
use crate::task::{Ending, TaskId};
use crate::time::{Instant, nanoseconds};

/// What a task is assumed to need when nothing is known of its class. Most functions are quicker; a longer one is known
/// after its first run.
const GUESS: Duration = Duration::from_millis(1);

/// As so many samples a prior counts: the first few runs outweigh it.
const PRIOR_SAMPLES: u32 = 4;

/// A class without samples for this long is assumed to be quicker by half of what it exceeds its prior or the guess, and so
/// on for each such time.
const FADES_AFTER: Duration = Duration::from_secs(60);

/// Between two probes of a class at least; doubled with each that was in vain, up to [`PROBES_AT_MOST_EVERY`].
const PROBES_EVERY: Duration = Duration::from_millis(100);
const PROBES_AT_MOST_EVERY: Duration = Duration::from_secs(8);

/// A class of which all tasks were refused for as long may probe.
const SHUT_OUT_AFTER: Duration = Duration::from_secs(1);

/// Samples from which a class's own tail is believed, more than a prior counts as.
const WELL_KNOWN: u64 = 32;

/// A step by which an estimate grows at least when it was overrun.
const LEAST_STEP: Duration = Duration::from_micros(50);

/// What is known of the service times of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// What half of its tasks do not exceed.
    pub p50: Duration,
    /// What nine of ten do not exceed.
    pub p90: Duration,
    /// What 99 of 100 do not exceed.
    pub p99: Duration,
    /// Number of samples ever, where a prior counts as a few; the figures are mostly those of the last few hundred.
    pub samples: u64,
}

/// The estimates of all classes.
#[derive(Debug, Default)]
pub(crate) struct Estimates {
    classes: Vec<Class>,
}

#[derive(Debug, Default)]
struct Class {
    /// Nothing before the first sample.
    sketch: Option<Box<Sketch>>,
    prior: Option<Duration>,
    sampled: Option<Instant>,
    /// When one was last accepted; at first, when the first was refused.
    accepted: Option<Instant>,
    probe: Probe,
}

#[derive(Debug, Default)]
struct Probe {
    /// The one under way.
    task: Option<TaskId>,
    /// Before this instant there is no other.
    not_before: Option<Instant>,
    /// Number of those in vain since the last that was not.
    in_vain: u32,
}

impl Estimates {
    pub(crate) fn new(classes: &[ClassConfig]) -> Self {
        let classes = classes.iter().take(CLASSES_MAX);
        Self {
            classes: classes.map(Class::new).collect(),
        }
    }

    /// What is known of a class, if anything is.
    pub(crate) fn of(&self, class: u32) -> Option<Estimate> {
        let sketch = self.class(class)?.sketch.as_ref()?;
        let [p50, p90, p99] = sketch.quantiles().map(Duration::from_nanos);
        Some(Estimate {
            p50,
            p90,
            p99,
            samples: sketch.seen(),
        })
    }

    /// Whether anything is known of a class.
    pub(crate) fn knows(&self, class: u32) -> bool {
        self.class(class).is_some_and(|class| class.sketch.is_some())
    }

    /// What a new task of this class is assumed to need, that has `time` until its deadline.
    pub(crate) fn for_new(&self, class: u32, time: Duration, now: Instant) -> Duration {
        let known = self.class(class);
        let Some((known, sketch)) = known.and_then(|class| Some((class, class.sketch.as_ref()?))) else {
            return optimistic(None, time);
        };
        let [p50, p90, _] = sketch.quantiles();
        let p90 = known.faded(p90, now);
        if p90 > time { known.faded(p50, now) } else { p90 }
    }

    /// Whether nine of ten tasks of this class are known to take no longer than this.
    pub(crate) fn are_within(&self, class: u32, longest: Duration) -> bool {
        let sketch = self.class(class).and_then(|class| class.sketch.as_ref());
        sketch.is_some_and(|sketch| {
            let [_, p90, _] = sketch.quantiles();
            p90 <= nanoseconds(longest)
        })
    }

    /// What a task of this class that has had the core for `ran` is assumed to need, when it needed more than was assumed.
    pub(crate) fn after_overrun(&self, class: u32, ran: Duration) -> Duration {
        let least = ran + (ran / 8).max(LEAST_STEP);
        let sketch = self.class(class).and_then(|class| class.sketch.as_ref());
        let quantiles = sketch.map_or([0; 3], |sketch| sketch.quantiles());
        let next = quantiles
            .into_iter()
            .map(Duration::from_nanos)
            .find(|&next| next >= ran + LEAST_STEP);
        next.unwrap_or_else(|| {
            if self.is_usual(class, None, ran) {
                least
            } else {
                least.max(ran * 2)
            }
        })
    }

    /// Whether a task of this class may well have had the core for `ran`: no longer than 99 of 100 do, and an eighth or
    /// [`LEAST_STEP`] more, as costs vary with the machine. Nothing is usual in a
    /// class of which little was seen: it may be lying; nor for a probe, which was let in to be quicker than usual.
    pub(crate) fn is_usual(&self, class: u32, id: Option<TaskId>, ran: Duration) -> bool {
        let known = self
            .class(class)
            .filter(|class| id.is_none() || class.probe.task != id);
        known
            .and_then(|class| class.sketch.as_ref())
            .is_some_and(|sketch| {
                let [_, _, p99] = sketch.quantiles().map(Duration::from_nanos);
                sketch.seen() >= WELL_KNOWN && ran < p99 + (p99 / 8).max(LEAST_STEP)
            })
    }

    /// A task of this class would be refused, which has `time` until its deadline and is assumed to need `estimate`: the
    /// optimistic assumption under which it may be accepted as a probe, if it may.
    pub(crate) fn probe(
        &mut self,
        class: u32,
        time: Duration,
        estimate: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let class = self.class_mut(class)?;
        let hopeless = estimate > time;
        let accepted = *class.accepted.get_or_insert(now);
        let shut_out = now.saturating_duration_since(accepted) >= SHUT_OUT_AFTER;
        let free = class.probe.task.is_none() && class.probe.not_before.is_none_or(|at| at <= now);
        ((hopeless || shut_out) && free).then(|| optimistic(class.prior, time).min(estimate))
    }

    /// When a class whose estimate rules its deadline out may probe again.
    pub(crate) fn next_probe(&self, class: u32, now: Instant) -> Duration {
        let at = self.class(class).and_then(|class| class.probe.not_before);
        at.map_or(PROBES_EVERY, |at| at.saturating_duration_since(now))
            .max(Duration::from_millis(1))
    }

    /// A task of this class was accepted, as a probe or not.
    pub(crate) fn accepted(&mut self, class: u32, id: TaskId, as_probe: bool, now: Instant) {
        let Some(class) = self.class_mut(class) else {
            return;
        };
        class.accepted = Some(now);
        if as_probe {
            class.probe.task = Some(id);
            class.probe.not_before = now.checked_add(PROBES_EVERY);
        }
    }

    /// A task of this class has ended, which has had the core for `ran`.
    pub(crate) fn ended(&mut self, class: u32, id: TaskId, ending: Ending, ran: Duration, now: Instant) {
        let Some(class) = self.class_mut(class) else {
            return;
        };
        if class.probe.task == Some(id) {
            class.probe.ended(ending, now);
        }
        let sample = u64::try_from(ran.as_nanos()).unwrap_or(LONGEST);
        let is_limit = matches!(ending, Ending::DeadlineExceeded | Ending::CpuBudgetExceeded);
        if ending != Ending::Done && !(is_limit && sample > 0) {
            return;
        }
        class.sampled = Some(now);
        let sketch = class.sketch.get_or_insert_with(|| Box::new(Sketch::new()));
        if is_limit {
            sketch.add_censored(sample);
        } else {
            sketch.add(sample);
        }
    }

    fn class(&self, class: u32) -> Option<&Class> {
        self.classes.get(class as usize)
    }

    /// The class, made if there is none; nothing beyond the bound.
    fn class_mut(&mut self, class: u32) -> Option<&mut Class> {
        let index = class as usize;
        if index >= CLASSES_MAX {
            return None;
        }
        if index >= self.classes.len() {
            self.classes.resize_with(index + 1, Class::default);
        }
        Some(&mut self.classes[index])
    }
}

impl Class {
    fn new(config: &ClassConfig) -> Self {
        let sketch = config.prior.map(|prior| {
            let mut sketch = Box::new(Sketch::new());
            for _ in 0..PRIOR_SAMPLES {
                sketch.add(u64::try_from(prior.as_nanos()).unwrap_or(LONGEST));
            }
            sketch
        });
        Self {
            sketch,
            prior: config.prior,
            ..Self::default()
        }
    }

    /// A quantile, with what the time without samples takes off it.
    fn faded(&self, quantile: u64, now: Instant) -> Duration {
        let floor = nanoseconds(self.prior.unwrap_or(GUESS));
        let Some(at) = self.sampled.filter(|_| quantile > floor) else {
            return Duration::from_nanos(quantile);
        };
        let silent = now.saturating_duration_since(at).as_secs() / FADES_AFTER.as_secs();
        Duration::from_nanos(floor + ((quantile - floor) >> silent.min(30)))
    }
}

impl Probe {
    fn ended(&mut self, ending: Ending, now: Instant) {
        self.task = None;
        self.in_vain = match ending {
            Ending::Done => 0,
            // Not its own doing.
            Ending::Cancelled | Ending::Drained | Ending::Released { .. } => self.in_vain,
            _ => self.in_vain.saturating_add(1),
        };
        let pause = PROBES_EVERY * (1 << self.in_vain.min(16));
        self.not_before = now.checked_add(pause.min(PROBES_AT_MOST_EVERY));
    }
}

/// What is assumed where there is no reason to assume more: it leaves a chance even where the time is short.
fn optimistic(prior: Option<Duration>, time: Duration) -> Duration {
    let least = Duration::from_micros(1);
    prior.unwrap_or(GUESS).min(time / 4).max(least)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to start from")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const DAY: Duration = Duration::from_secs(86_400);

    fn id(generation: u32) -> TaskId {
        TaskId { slot: 0, generation }
    }

    /// Estimates of one class, of which one task after the other took so many milliseconds.
    fn after(milliseconds: &[u32], now: Instant) -> Estimates {
        let mut estimates = Estimates::default();
        for &took in milliseconds {
            estimates.ended(0, id(0), Ending::Done, took * MS, now);
        }
        estimates
    }

    /// Whether `actual` is in the bucket of `expected`, or the upper end of it.
    #[track_caller]
    fn assert_about(actual: Duration, expected: Duration) {
        assert!(
            actual >= expected && actual <= expected * 9 / 8,
            "{actual:?}, expected {expected:?}"
        );
    }

    #[test]
    fn a_new_task_is_taken_for_one_of_the_slower_if_that_leaves_it_a_chance() {
        let now = Instant::now();
        let estimates = after(&[1, 1, 1, 1, 1, 1, 1, 1, 40, 40], now);
        assert_about(estimates.for_new(0, DAY, now), 40 * MS);
        assert_about(estimates.for_new(0, 30 * MS, now), MS);
        assert!(!estimates.knows(1));
        assert_eq!(estimates.for_new(1, DAY, now), GUESS);
        assert_eq!(estimates.for_new(u32::MAX, 2 * MS, now), MS / 2);
    }

    #[test]
    fn a_prior_is_outweighed_by_what_is_seen() {
        let now = Instant::now();
        let prior = Some(100 * MS);
        let mut estimates = Estimates::new(&[ClassConfig {
            prior,
            ..ClassConfig::default()
        }]);
        assert_about(estimates.for_new(0, DAY, now), 100 * MS);
        for _ in 0..60 {
            estimates.ended(0, id(0), Ending::Done, 2 * MS, now);
        }
        assert_about(estimates.for_new(0, DAY, now), 2 * MS);
    }

    #[test]
    fn an_overrun_leads_to_the_next_quantile_and_then_doubles() {
        let now = Instant::now();
        let estimates = after(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 10, 10, 10, 30], now);
        assert_about(estimates.after_overrun(0, 2 * MS), 10 * MS);
        assert_about(estimates.after_overrun(0, 12 * MS), 30 * MS);
        assert_eq!(estimates.after_overrun(0, 40 * MS), 80 * MS);
        assert_eq!(estimates.after_overrun(7, MS), 2 * MS);
        assert_eq!(estimates.after_overrun(7, Duration::ZERO), LEAST_STEP);
    }

    #[test]
    fn silence_takes_off_an_estimate_but_not_below_what_is_assumed_without_it() {
        let now = Instant::now();
        let estimates = after(&[81, 81], now);
        let at = |minutes: u32| estimates.for_new(0, DAY, now + minutes * FADES_AFTER);
        assert_about(at(0), 81 * MS);
        assert_about(at(1), 41 * MS);
        assert_about(at(2), 21 * MS);
        assert_eq!(at(1_000), GUESS);
    }

    #[test]
    fn one_probe_at_a_time_and_each_in_vain_delays_the_next() {
        let now = Instant::now();
        let mut estimates = after(&[300], now);
        let estimate = estimates.for_new(0, 50 * MS, now);
        let probe = |estimates: &mut Estimates, at: Duration| {
            estimates.probe(0, 50 * MS, estimate, now + at).is_some()
        };
        assert_eq!(estimates.probe(0, 50 * MS, estimate, now), Some(GUESS));
        estimates.accepted(0, id(1), true, now);
        assert!(!probe(&mut estimates, 40 * MS) && !probe(&mut estimates, DAY));
        estimates.ended(0, id(1), Ending::DeadlineExceeded, 50 * MS, now + 50 * MS);
        assert!(!probe(&mut estimates, 249 * MS) && probe(&mut estimates, 250 * MS));
        estimates.accepted(0, id(2), true, now + 250 * MS);
        estimates.ended(0, id(2), Ending::DeadlineExceeded, 50 * MS, now + 300 * MS);
        assert!(!probe(&mut estimates, 699 * MS) && probe(&mut estimates, 700 * MS));
        estimates.accepted(0, id(3), true, now + 700 * MS);
        estimates.ended(0, id(3), Ending::Done, MS, now + 701 * MS);
        assert!(probe(&mut estimates, 801 * MS));
    }

    #[test]
    fn a_class_that_would_fit_an_idle_core_probes_when_it_was_shut_out_for_long() {
        let now = Instant::now();
        let mut estimates = after(&[10], now);
        estimates.accepted(0, id(0), false, now);
        assert_eq!(
            estimates.probe(0, 50 * MS, 10 * MS, now + SHUT_OUT_AFTER - MS),
            None
        );
        assert_eq!(
            estimates.probe(0, 50 * MS, 10 * MS, now + SHUT_OUT_AFTER),
            Some(GUESS)
        );
    }
}
