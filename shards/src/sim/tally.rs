//! What is counted in a run: what became of the requests of each class, and what the cores did.

use std::time::Duration;

use super::seen::Answer;
use super::settings::Settings;
use super::workload::{Arrival, Class};
use crate::task::Ending;

/// The counts of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// By class, in the scenario's order.
    pub classes: Vec<ClassTally>,
    /// Parcels that were placed on another shard.
    pub spills: u64,
    /// Parcels that another shard asked for.
    pub steals: u64,
    /// Time that cores were not parked while requests arrived, over all cores.
    pub busy: Duration,
    /// Number of cores, and for how long requests arrived.
    pub capacity: (usize, Duration),
    /// When the last thing happened.
    pub end: Duration,
    /// Requests that were never answered. Not none is a defect.
    pub left_over: usize,
}

/// What became of the requests of a class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassTally {
    /// The class's name.
    pub name: &'static str,
    /// Requests that came.
    pub offered: u64,
    /// Requests that were told at once that they are not taken.
    pub refused: u64,
    /// Requests that were taken and done in time.
    pub met: u64,
    /// Requests that were taken and not done in time.
    pub missed: u64,
    /// Requests whose client went away, or that the drain ended.
    pub dropped: u64,
    /// Work of those that were done in time, while requests arrived.
    pub good: Duration,
    /// Nanoseconds from arrival to answer of those that were taken and waited for.
    latencies: Vec<u64>,
}

impl Tally {
    pub(super) fn new(settings: &Settings, classes: &[Class]) -> Self {
        let class = |class: &Class| ClassTally {
            name: class.name,
            ..ClassTally::default()
        };
        Self {
            classes: classes.iter().map(class).collect(),
            spills: 0,
            steals: 0,
            busy: Duration::ZERO,
            capacity: (settings.cores, settings.duration),
            end: Duration::ZERO,
            left_over: 0,
        }
    }

    pub(super) fn arrived(&mut self, class: u32) {
        self.classes[class as usize].offered += 1;
    }

    pub(super) fn sent(&mut self, stolen: bool) {
        if stolen {
            self.steals += 1;
        } else {
            self.spills += 1;
        }
    }

    pub(super) fn answered(&mut self, arrival: &Arrival, answer: Answer, now: Duration) {
        let class = &mut self.classes[arrival.class as usize];
        match answer {
            Answer::Refused | Answer::Rejected(_) => return class.refused += 1,
            Answer::Ended(Ending::Cancelled | Ending::Drained) => return class.dropped += 1,
            Answer::Ended(Ending::Done) if now <= arrival.deadline => {
                class.met += 1;
                if now <= self.capacity.1 {
                    class.good += arrival.cost;
                }
            }
            Answer::Ended(_) => class.missed += 1,
        }
        let latency = now.saturating_sub(arrival.at).as_nanos();
        class.latencies.push(u64::try_from(latency).unwrap_or(u64::MAX));
    }

    /// A core was not parked for a while.
    pub(super) fn busy(&mut self, from: Duration, to: Duration) {
        let end = self.capacity.1;
        self.busy += to.min(end).saturating_sub(from.min(end));
    }

    /// Latencies can be asked for from now on.
    pub(super) fn sort(&mut self) {
        for class in &mut self.classes {
            class.latencies.sort_unstable();
        }
    }

    /// Part of the cores' time in which they were not parked.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        self.busy.as_secs_f64() / self.core_seconds()
    }

    /// Work of requests that were done in time, as a part of the cores' time.
    #[must_use]
    pub fn goodput(&self) -> f64 {
        let good: Duration = self.classes.iter().map(|class| class.good).sum();
        good.as_secs_f64() / self.core_seconds()
    }

    /// The sum of all classes, without latencies.
    #[must_use]
    pub fn all(&self) -> ClassTally {
        let mut sum = ClassTally::default();
        for class in &self.classes {
            sum.offered += class.offered;
            sum.refused += class.refused;
            sum.met += class.met;
            sum.missed += class.missed;
            sum.dropped += class.dropped;
            sum.good += class.good;
        }
        sum
    }

    fn core_seconds(&self) -> f64 {
        self.capacity.0 as f64 * self.capacity.1.as_secs_f64()
    }
}

impl ClassTally {
    /// Part of the requests that were taken and not done in time, clients that went away left out.
    #[must_use]
    pub fn miss_rate(&self) -> f64 {
        rate(self.missed, self.met + self.missed)
    }

    /// Part of the requests that were not taken.
    #[must_use]
    pub fn refusal_rate(&self) -> f64 {
        rate(self.refused, self.offered)
    }

    /// Part of all requests that were not served in time, whether they were taken or not.
    #[must_use]
    pub fn failure_rate(&self) -> f64 {
        rate(self.missed + self.refused, self.offered - self.dropped)
    }

    /// The time below which a part of the requests that were taken was answered: 0.99 for the 99th percentile.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Option<Duration> {
        let last = self.latencies.len().checked_sub(1)?;
        let rank = (quantile * self.latencies.len() as f64).ceil() as usize;
        Some(Duration::from_nanos(
            self.latencies[rank.saturating_sub(1).min(last)],
        ))
    }

    /// The mean of these times.
    #[must_use]
    pub fn mean_latency(&self) -> Option<Duration> {
        let count = u32::try_from(self.latencies.len())
            .ok()
            .filter(|count| *count > 0)?;
        let sum: Duration = self
            .latencies
            .iter()
            .map(|&nanos| Duration::from_nanos(nanos))
            .sum();
        Some(sum / count)
    }
}

fn rate(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn quantiles_are_values_that_were_counted() {
        let class = ClassTally {
            latencies: (1..=200).collect(),
            ..ClassTally::default()
        };
        let at = |quantile| class.latency(quantile).unwrap().as_nanos();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(at), [1, 100, 198, 200]);
        assert_eq!(class.mean_latency().unwrap().as_nanos(), 100);
        assert_eq!(ClassTally::default().latency(0.5), None);
        assert_eq!(ClassTally::default().mean_latency(), None);
    }

    #[test]
    fn those_who_went_away_count_for_nobody() {
        let class = ClassTally {
            offered: 10,
            refused: 2,
            met: 3,
            missed: 1,
            dropped: 4,
            ..ClassTally::default()
        };
        let rates = [class.miss_rate(), class.refusal_rate(), class.failure_rate()];
        assert_eq!(rates, [0.25, 0.2, 0.5]);
    }

    #[test]
    fn only_the_time_in_which_requests_arrive_counts_as_busy() {
        let mut settings = Settings::new(2, crate::sim::Scenario::Mixed, 1.0, crate::sim::Seed(1));
        settings.duration = 10 * MS;
        let mut tally = Tally::new(&settings, &[]);
        for (from, to) in [(0, 4), (9, 12), (11, 30)] {
            tally.busy(from * MS, to * MS);
        }
        assert_eq!(tally.busy, 5 * MS);
        assert_eq!(tally.utilisation(), 0.25);
    }
}
