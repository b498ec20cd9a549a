//! What one text of metrics says of shards and functions, and what has happened from one reading to the next.
//!
//! ```text
//!   text at t0 --> Reading --+
//!                            +--> Change: gauges of t1, rates and distributions of t0..t1
//!   text at t1 --> Reading --+
//! ```
//! A counter that has gone back belongs to a server that was started anew: all that it counts is new then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::text::{NoMetric, Sample, samples};

/// In the order in which it is shown: by number, then by name.
type ByName<T> = BTreeMap<(u64, String), T>;

/// What one text says.
#[derive(Debug)]
pub(super) struct Reading {
    at: Instant,
    shards: ByName<ShardReading>,
    functions: ByName<FunctionReading>,
    slack: Buckets,
}

/// Counters of a shard by [`COUNTERS`], its gauges, and how long hand-offs took.
#[derive(Debug, Default)]
struct ShardReading {
    counters: [f64; COUNTERS.len()],
    queue: f64,
    running: f64,
    blocked: f64,
    handoffs: Buckets,
}

#[derive(Debug, Default)]
struct FunctionReading {
    requests: f64,
    failures: f64,
    cpu_seconds: f64,
    estimate: [Option<f64>; 2],
}

/// What counts on a shard, in the order of [`ShardChange::rates`].
const COUNTERS: [&str; 7] = [
    "luge_busy_seconds_total",
    "luge_missed_total",
    "luge_preemptions_total",
    "luge_spilled_out_total",
    "luge_spilled_in_total",
    "luge_stolen_total",
    "luge_stolen_from_total",
];

/// The quantiles of estimates that are shown.
const QUANTILES: [&str; 2] = ["0.5", "0.99"];

/// What has happened between two readings, and what was so at the second.
#[derive(Debug, PartialEq)]
pub(super) struct Change {
    /// From the first to the second.
    pub(super) time: Duration,
    pub(super) shards: Vec<ShardChange>,
    /// The busiest first.
    pub(super) functions: Vec<FunctionChange>,
    /// How much time runs had to spare when they were admitted.
    pub(super) slack: Buckets,
}

/// Of one shard.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ShardChange {
    pub(super) name: String,
    pub(super) queue: f64,
    pub(super) running: f64,
    pub(super) blocked: f64,
    /// Per second, by [`COUNTERS`]; the first, busy seconds a second, is the utilisation.
    pub(super) rates: [f64; COUNTERS.len()],
    /// Latencies of hand-offs to this shard.
    pub(super) handoffs: Buckets,
}

/// Of one function.
#[derive(Debug, Default, PartialEq)]
pub(super) struct FunctionChange {
    pub(super) name: String,
    /// Per second.
    pub(super) requests: f64,
    /// Per second.
    pub(super) failures: f64,
    /// Of one core, 1 is all.
    pub(super) utilisation: f64,
    /// Median and p99 in seconds, where the scheduler has learnt any.
    pub(super) estimate: [Option<f64>; 2],
}

impl Reading {
    /// Reads the text that was true at `at`. What is not known here is passed over.
    pub(super) fn parse(text: &str, at: Instant) -> Result<Reading, NoMetric> {
        let mut reading = Reading {
            at,
            shards: ByName::new(),
            functions: ByName::new(),
            slack: Buckets::default(),
        };
        for sample in samples(text) {
            reading.take(&sample?);
        }
        Ok(reading)
    }

    /// Whether the text was that of a server of ours.
    pub(super) fn is_of_luge(&self) -> bool {
        !self.shards.is_empty()
    }

    fn take(&mut self, sample: &Sample<'_>) {
        if !sample.name.starts_with("luge_") {
            return;
        }
        if sample.name == "luge_admission_slack_seconds_bucket" {
            self.slack.take(sample);
        } else if let Some(function) = sample.label("function") {
            self.take_function(function, sample);
        } else if let Some(shard) = sample.label("shard") {
            self.take_shard(shard, sample);
        }
    }

    fn take_shard(&mut self, name: &str, sample: &Sample<'_>) {
        // By number, so that 10 comes after 2.
        let shard = self
            .shards
            .entry((name.parse().unwrap_or(0), name.to_owned()))
            .or_default();
        match sample.name {
            "luge_queue_length" => shard.queue = sample.value,
            "luge_running" => shard.running = sample.value,
            "luge_blocked" => shard.blocked = sample.value,
            "luge_handoff_seconds_bucket" => shard.handoffs.take(sample),
            other => {
                if let Some(index) = COUNTERS.iter().position(|counter| *counter == other) {
                    shard.counters[index] = sample.value;
                }
            }
        }
    }

    fn take_function(&mut self, name: &str, sample: &Sample<'_>) {
        let function = self.functions.entry((0, name.to_owned())).or_default();
        match sample.name {
            "luge_function_requests_total" => function.requests += sample.value,
            "luge_function_failures_total" => function.failures += sample.value,
            "luge_function_cpu_seconds_total" => function.cpu_seconds = sample.value,
            "luge_function_estimate_seconds" => {
                let quantile = QUANTILES
                    .iter()
                    .position(|quantile| sample.label("quantile") == Some(quantile));
                if let Some(index) = quantile {
                    function.estimate[index] = Some(sample.value);
                }
            }
            _ => {}
        }
    }
}

impl Change {
    /// What has happened from one reading to a later one.
    pub(super) fn between(before: &Reading, after: &Reading) -> Change {
        let time = after.at.saturating_duration_since(before.at);
        // A rate over no time would be infinite.
        let seconds = time.as_secs_f64().max(1e-3);
        let shards = after.shards.iter().map(|(key, after)| {
            let nothing = ShardReading::default();
            let before = before.shards.get(key).unwrap_or(&nothing);
            ShardChange {
                name: key.1.clone(),
                queue: after.queue,
                running: after.running,
                blocked: after.blocked,
                rates: std::array::from_fn(|index| {
                    grown(before.counters[index], after.counters[index]) / seconds
                }),
                handoffs: after.handoffs.since(&before.handoffs),
            }
        });
        let mut functions: Vec<FunctionChange> = after
            .functions
            .iter()
            .map(|(key, after)| {
                let nothing = FunctionReading::default();
                let before = before.functions.get(key).unwrap_or(&nothing);
                FunctionChange {
                    name: key.1.clone(),
                    requests: grown(before.requests, after.requests) / seconds,
                    failures: grown(before.failures, after.failures) / seconds,
                    utilisation: grown(before.cpu_seconds, after.cpu_seconds) / seconds,
                    estimate: after.estimate,
                }
            })
            .collect();
        let rank = |function: &FunctionChange| (function.utilisation, function.requests);
        // Stable: those that do nothing stay in the order of their names.
        functions.sort_by(|one, other| {
            let ((one_busy, one_asked), (other_busy, other_asked)) = (rank(one), rank(other));
            other_busy
                .total_cmp(&one_busy)
                .then(other_asked.total_cmp(&one_asked))
        });
        Change {
            time,
            shards: shards.collect(),
            functions,
            slack: after.slack.since(&before.slack),
        }
    }
}

/// How much a counter has grown.
fn grown(before: f64, after: f64) -> f64 {
    if after < before { after } else { after - before }
}

/// A histogram: how many in all do not exceed each bound, by bound.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    #[cfg(test)]
    pub(super) fn of(buckets: &[(f64, f64)]) -> Buckets {
        Buckets(buckets.to_vec())
    }

    /// Takes a line in; those of several shards with the same bound are added up.
    fn take(&mut self, sample: &Sample<'_>) {
        let Some(bound) = sample.label("le").and_then(|bound| bound.parse::<f64>().ok()) else {
            return;
        };
        match self.0.binary_search_by(|(known, _)| known.total_cmp(&bound)) {
            Ok(index) => self.0[index].1 += sample.value,
            Err(index) => self.0.insert(index, (bound, sample.value)),
        }
    }

    fn since(&self, before: &Buckets) -> Buckets {
        let restarted = before.count() > self.count();
        let change = self.0.iter().map(|&(bound, count)| {
            let earlier = before
                .0
                .iter()
                .find(|(known, _)| known.total_cmp(&bound).is_eq())
                .filter(|_| !restarted);
            (bound, count - earlier.map_or(0.0, |(_, count)| *count))
        });
        Buckets(change.collect())
    }

    /// How many there are in all.
    pub(super) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// Each bucket's upper bound and how many are in it alone.
    pub(super) fn each(&self) -> impl Iterator<Item = (f64, f64)> {
        let mut below = 0.0;
        self.0.iter().map(move |&(bound, count)| {
            let here = count - below;
            below = count;
            (bound, here.max(0.0))
        })
    }

    /// The value that a part of all does not exceed, as if each bucket were filled evenly; that beyond the last bound is
    /// taken for the bound. Nothing if there are none.
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        let rank = self.count() * part;
        let (mut below, mut from) = (0.0, 0.0);
        for (to, here) in self.each() {
            if here > 0.0 && below + here >= rank {
                return Some(if to.is_finite() {
                    from + (to - from) * ((rank - below) / here)
                } else {
                    from
                });
            }
            below += here;
            from = to;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
luge_queue_length{shard="0"} 9
luge_busy_seconds_total{shard="0"} 10.0
luge_busy_seconds_total{shard="10"} 1.0
luge_busy_seconds_total{shard="2"} 8.0
luge_missed_total{shard="0"} 3
luge_handoff_seconds_bucket{le="1e-6",shard="0"} 5
luge_handoff_seconds_bucket{le="2e-6",shard="0"} 5
luge_handoff_seconds_bucket{le="+Inf",shard="0"} 5
luge_function_requests_total{function="a",class="2xx"} 100
luge_function_cpu_seconds_total{function="a"} 5
luge_admission_slack_seconds_bucket{le="0.0",shard="0"} 1
luge_admission_slack_seconds_bucket{le="+Inf",shard="0"} 4
"#;

    const AFTER: &str = r#"
luge_queue_length{shard="0"} 7
luge_running{shard="0"} 2
luge_blocked{shard="0"} 1
luge_busy_seconds_total{shard="0"} 11.5
luge_busy_seconds_total{shard="10"} 2.0
luge_busy_seconds_total{shard="2"} 0.5
luge_missed_total{shard="0"} 7
luge_spilled_in_total{shard="2"} 6
luge_handoff_seconds_bucket{le="1e-6",shard="0"} 5
luge_handoff_seconds_bucket{le="2e-6",shard="0"} 13
luge_handoff_seconds_bucket{le="+Inf",shard="0"} 15
luge_function_requests_total{function="a",class="2xx"} 140
luge_function_requests_total{function="a",class="5xx"} 10
luge_function_failures_total{function="a",kind="deadline"} 4
luge_function_failures_total{function="a",kind="queue_full"} 2
luge_function_cpu_seconds_total{function="a"} 5.5
luge_function_cpu_seconds_total{function="b"} 1
luge_function_estimate_seconds{function="b",quantile="0.5"} 0.001
luge_function_estimate_seconds{function="b",quantile="0.9"} 0.002
luge_function_estimate_seconds{function="b",quantile="0.99"} 0.004
luge_admission_slack_seconds_bucket{le="0.0",shard="0"} 2
luge_admission_slack_seconds_bucket{le="+Inf",shard="0"} 8
luge_admission_slack_seconds_bucket{le="0.0",shard="2"} 3
luge_admission_slack_seconds_bucket{le="+Inf",shard="2"} 3
"#;

    fn change() -> Change {
        let start = Instant::now();
        let before = Reading::parse(BEFORE, start).unwrap();
        let after = Reading::parse(AFTER, start + Duration::from_secs(2)).unwrap();
        assert!(before.is_of_luge() && after.is_of_luge());
        Change::between(&before, &after)
    }

    #[test]
    fn shards_have_gauges_and_rates() {
        let change = change();
        let names: Vec<&str> = change.shards.iter().map(|shard| shard.name.as_str()).collect();
        assert_eq!(names, ["0", "2", "10"]);
        let shard = &change.shards[0];
        assert_eq!((shard.queue, shard.running, shard.blocked), (7.0, 2.0, 1.0));
        assert_eq!(shard.rates, [0.75, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let restarted = &change.shards[1];
        assert_eq!(restarted.rates, [0.25, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0]);
    }

    #[test]
    fn functions_come_by_what_they_use() {
        let change = change();
        let [first, second] = &change.functions[..] else {
            panic!("two functions: {change:?}")
        };
        assert_eq!((first.name.as_str(), first.utilisation), ("b", 0.5));
        assert_eq!(first.estimate, [Some(0.001), Some(0.004)]);
        let expected = FunctionChange {
            name: "a".to_owned(),
            requests: 25.0,
            failures: 3.0,
            utilisation: 0.25,
            estimate: [None, None],
        };
        assert_eq!(second, &expected);
    }

    #[test]
    fn distributions_are_those_of_the_time_between() {
        let change = change();
        let handoffs = &change.shards[0].handoffs;
        assert_eq!(handoffs.count(), 10.0);
        let micros = |part| (handoffs.quantile(part).unwrap() * 1e9).round();
        assert_eq!((micros(0.4), micros(0.8), micros(0.99)), (1500.0, 2000.0, 2000.0));
        let slack: Vec<(f64, f64)> = change.slack.each().collect();
        assert_eq!(slack, [(0.0, 4.0), (f64::INFINITY, 3.0)]);
        assert_eq!(change.shards[1].handoffs.quantile(0.5), None);
    }

    #[test]
    fn other_metrics_are_not_ours() {
        let reading = Reading::parse("node_load1 0.5\nshards{shard=\"0\"} 1\n", Instant::now()).unwrap();
        assert!(!reading.is_of_luge());
    }
}
