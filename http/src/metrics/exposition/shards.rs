//! The families of each shard: connections, runs, sandboxes, and what shards do to each other.
//!
//! Each shard is read once for a whole text, so that what one text says of a shard was true at about the same moment.

use std::fmt;
use std::sync::Arc;

use luge_shards::{ADMISSION_SLACK_BOUNDS, HANDOFF_BOUNDS, StatsSnapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::{ShardSource, count, family, histogram};
use crate::metrics::ShardMetrics;

pub(super) struct ShardCollector {
    pub(super) shards: Arc<[ShardSource]>,
    pub(super) dropped_log_lines: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// One shard, as one text tells of it.
struct Reading<'a> {
    name: String,
    counters: &'a ShardMetrics,
    /// Zeros before the shard has started.
    scheduler: StatsSnapshot,
}

/// Name, help, type, and how to read it from a shard.
type ShardFamily = (&'static str, &'static str, MetricType, fn(&Reading<'_>) -> f64);

const SHARD_FAMILIES: &[ShardFamily] = &[
    (
        "connections_open",
        "Connections open now",
        MetricType::Gauge,
        |shard| count(shard.counters.connections_open.value()),
    ),
    (
        "connections_accepted",
        "Connections accepted",
        MetricType::Counter,
        |shard| count(shard.counters.connections_accepted.value()),
    ),
    (
        "connections_refused",
        "Connections answered 503 at once",
        MetricType::Counter,
        |shard| count(shard.counters.connections_refused.value()),
    ),
    (
        "accept_errors",
        "Times that accepting paused for want of descriptors or memory",
        MetricType::Counter,
        |shard| count(shard.scheduler.accept_errors),
    ),
    (
        "http_requests",
        "Requests whose head was understood",
        MetricType::Counter,
        |shard| count(shard.counters.requests.value()),
    ),
    (
        "queue_length",
        "Runs that wait for their first slice",
        MetricType::Gauge,
        |shard| count(shard.scheduler.queued),
    ),
    (
        "running",
        "Runs that have had a slice and not ended",
        MetricType::Gauge,
        |shard| count(shard.scheduler.started),
    ),
    (
        "blocked",
        "Runs that wait on their own wish, of those that have had a slice",
        MetricType::Gauge,
        |shard| count(shard.scheduler.blocked),
    ),
    (
        "submitted",
        "Runs that were admitted",
        MetricType::Counter,
        |shard| count(shard.scheduler.submitted),
    ),
    (
        "completed",
        "Runs that came to their own end",
        MetricType::Counter,
        |shard| count(shard.scheduler.completed),
    ),
    (
        "rejected",
        "Runs rejected, mostly because the queue was full",
        MetricType::Counter,
        |shard| count(shard.scheduler.rejected),
    ),
    (
        "panicked",
        "Runs and connections that a defect of the server ended",
        MetricType::Counter,
        |shard| count(shard.scheduler.panicked),
    ),
    ("slices", "Slices given to runs", MetricType::Counter, |shard| {
        count(shard.scheduler.slices)
    }),
    (
        "preemptions",
        "Slices that were too short for their run",
        MetricType::Counter,
        |shard| count(shard.scheduler.preemptions),
    ),
    (
        "busy_seconds",
        "Time that runs had the core",
        MetricType::Counter,
        |shard| count(shard.scheduler.busy_ns) / 1e9,
    ),
    (
        "missed",
        "Runs that ended after their deadline, answered all the same or stopped by it",
        MetricType::Counter,
        |shard| count(shard.scheduler.missed),
    ),
    (
        "spilled_out",
        "Runs sent to another shard because here they would have been late",
        MetricType::Counter,
        |shard| count(shard.scheduler.spilled_out),
    ),
    (
        "spilled_in",
        "Runs that came from another shard for that reason",
        MetricType::Counter,
        |shard| count(shard.scheduler.spilled_in),
    ),
    (
        "stolen_from",
        "Runs given to a shard that asked for work",
        MetricType::Counter,
        |shard| count(shard.scheduler.stolen_from),
    ),
    (
        "stolen",
        "Runs got from another shard by asking for work",
        MetricType::Counter,
        |shard| count(shard.scheduler.stolen),
    ),
    (
        "interrupts_sent",
        "Signals to other shards that something urgent has come for them",
        MetricType::Counter,
        |shard| count(shard.scheduler.interrupts_sent),
    ),
    (
        "unparks_sent",
        "Times that another shard was woken from its sleep",
        MetricType::Counter,
        |shard| count(shard.scheduler.unparks_sent),
    ),
    (
        "inbox_full",
        "Runs and answers that did not fit another shard's inbox",
        MetricType::Counter,
        |shard| count(shard.scheduler.inbox_full),
    ),
    (
        "ring_turns",
        "Times that the network ring was asked what has come",
        MetricType::Counter,
        |shard| count(shard.scheduler.ring_turns),
    ),
    (
        "busy_poll_seconds",
        "Time with nothing to do in which the shard looked on rather than slept",
        MetricType::Counter,
        |shard| count(shard.scheduler.busy_poll_ns) / 1e9,
    ),
    (
        "busy_poll_hits",
        "Times that something has come meanwhile",
        MetricType::Counter,
        |shard| count(shard.scheduler.busy_poll_hits),
    ),
    (
        "zero_copy_sends",
        "Sends without a copy that are over",
        MetricType::Counter,
        |shard| count(shard.scheduler.zero_copies),
    ),
    (
        "zero_copy_sends_copied",
        "Of these, those that were copied all the same",
        MetricType::Counter,
        |shard| count(shard.scheduler.zero_copies_copied),
    ),
    (
        "sandboxes_live",
        "Sandboxes that have begun and not ended",
        MetricType::Gauge,
        |shard| count(shard.counters.sandboxes.live.value()),
    ),
    (
        "sandboxes_idle",
        "Sandboxes that are ready to be used",
        MetricType::Gauge,
        |shard| count(shard.counters.sandboxes.idle.value()),
    ),
    (
        "sandboxes_idle_bytes",
        "Bytes of memory that sandboxes keep which are ready to be used",
        MetricType::Gauge,
        |shard| count(shard.counters.sandboxes.idle_bytes.value()),
    ),
    (
        "sandboxes_acquired",
        "Sandboxes that have begun",
        MetricType::Counter,
        |shard| count(shard.counters.sandboxes.acquired.value()),
    ),
    (
        "sandboxes_made",
        "Sandboxes that had to be made because none of their function was ready",
        MetricType::Counter,
        |shard| count(shard.counters.sandboxes.made.value()),
    ),
    (
        "sandboxes_evicted",
        "Ready sandboxes that gave their place up to another function's",
        MetricType::Counter,
        |shard| count(shard.counters.sandboxes.evicted.value()),
    ),
    (
        "sandbox_page_faults",
        "Page faults of memories of sandboxes that have ended",
        MetricType::Counter,
        |shard| count(shard.counters.sandboxes.page_faults.value()),
    ),
];

/// A member's label and how to read it from a shard.
type Member = (&'static str, fn(&Reading<'_>) -> f64);

/// Where the time of runs goes; a run's time in a state counts when it leaves it.
const STATES: [Member; 5] = [
    ("queued", |shard| count(shard.scheduler.queued_ns) / 1e9),
    ("running", |shard| count(shard.scheduler.busy_ns) / 1e9),
    ("preempted", |shard| count(shard.scheduler.preempted_ns) / 1e9),
    ("blocked", |shard| count(shard.scheduler.blocked_ns) / 1e9),
    ("ready", |shard| count(shard.scheduler.ready_ns) / 1e9),
];

/// Why runs were stopped.
const STOPPED: [Member; 4] = [
    ("deadline", |shard| count(shard.scheduler.deadline_exceeded)),
    ("cpu_budget", |shard| count(shard.scheduler.cpu_budget_exceeded)),
    ("drain", |shard| count(shard.scheduler.drained)),
    ("cancelled", |shard| count(shard.scheduler.cancelled)),
];

/// Where a shard sleeps that has nothing to do.
const SLEEPS: [Member; 2] = [
    ("ring", |shard| count(shard.scheduler.dozes)),
    ("executor", |shard| count(shard.scheduler.sleeps)),
];

/// What signals found.
const SIGNALS: [Member; 3] = [
    ("suspended", |shard| {
        count(shard.counters.sandboxes.suspended.value())
    }),
    ("turned_back", |shard| {
        count(shard.counters.sandboxes.turned_back.value())
    }),
    ("marked", |shard| count(shard.counters.sandboxes.marked.value())),
];

impl fmt::Debug for ShardCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardCollector")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl ShardCollector {
    fn read(&self) -> Vec<Reading<'_>> {
        let shards = self.shards.iter().enumerate();
        shards
            .map(|(shard, source)| Reading {
                name: shard.to_string(),
                counters: &source.counters,
                scheduler: source
                    .scheduler
                    .get()
                    .map(|stats| stats.snapshot())
                    .unwrap_or_default(),
            })
            .collect()
    }
}

impl Collector for ShardCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode_all(&mut encoder, &self.read())?;
        let help = "Log lines dropped because stderr was too slow";
        let lines = encoder.encode_descriptor("log_lines_dropped", help, None, MetricType::Counter)?;
        ConstCounter::new((self.dropped_log_lines)()).encode(lines)
    }
}

fn encode_all(encoder: &mut DescriptorEncoder<'_>, shards: &[Reading<'_>]) -> fmt::Result {
    for &(name, help, kind, read) in SHARD_FAMILIES {
        let members = shards
            .iter()
            .map(|shard| ([("shard", shard.name.as_str())], read(shard)));
        family(encoder, (name, help, kind), members)?;
    }
    encode_refused(encoder, shards)?;
    encode_labelled(encoder, shards)?;
    encode_histograms(encoder, shards)
}

fn encode_refused(encoder: &mut DescriptorEncoder<'_>, shards: &[Reading<'_>]) -> fmt::Result {
    let statuses: Vec<_> = shards
        .iter()
        .flat_map(|shard| {
            let refused = shard.counters.refused().filter(|(_, number)| *number > 0);
            refused.map(|(status, number)| (shard.name.as_str(), status.to_string(), number))
        })
        .collect();
    let members = statuses
        .iter()
        .map(|(name, status, number)| ([("shard", *name), ("status", status)], count(*number)));
    let about = (
        "http_refused",
        "Requests that reached no function",
        MetricType::Counter,
    );
    family(encoder, about, members)
}

/// What each shard tells with a second label.
fn encode_labelled(encoder: &mut DescriptorEncoder<'_>, shards: &[Reading<'_>]) -> fmt::Result {
    let families: [(_, _, &str, &[Member]); 4] = [
        ("run_seconds", "Time of runs by state", "state", &STATES),
        (
            "stopped",
            "Runs stopped at a limit, by a drain, or because the client went away",
            "reason",
            &STOPPED,
        ),
        (
            "sleeps",
            "Sleeps of a shard with nothing to do, by where",
            "place",
            &SLEEPS,
        ),
        (
            "preemption_signals",
            "Signals to preempt a guest, by what they found",
            "found",
            &SIGNALS,
        ),
    ];
    for (name, help, label, kinds) in families {
        let members = shards.iter().flat_map(|shard| {
            kinds.iter().map(move |(kind, read)| {
                let labels = [("shard", shard.name.as_str()), (label, *kind)];
                (labels, read(shard))
            })
        });
        family(encoder, (name, help, MetricType::Counter), members)?;
    }
    Ok(())
}

fn encode_histograms(encoder: &mut DescriptorEncoder<'_>, shards: &[Reading<'_>]) -> fmt::Result {
    let help = "Time from one shard's hand into another's, by the shard that received";
    let mut family = encoder.encode_descriptor("handoff_seconds", help, None, MetricType::Histogram)?;
    for shard in shards {
        let labels = [("shard", shard.name.as_str())];
        let member = family.encode_family(&labels)?;
        let read = &shard.scheduler.handoffs;
        let bounds = HANDOFF_BOUNDS.map(|bound| bound.as_secs_f64());
        histogram(member, bounds, &read.buckets, read.sum.as_secs_f64())?;
    }
    let help = "Time to the deadline less the estimate when a run was admitted, at least zero";
    let mut family =
        encoder.encode_descriptor("admission_slack_seconds", help, None, MetricType::Histogram)?;
    for shard in shards {
        let labels = [("shard", shard.name.as_str())];
        let member = family.encode_family(&labels)?;
        let read = &shard.scheduler.slack;
        let bounds = ADMISSION_SLACK_BOUNDS.map(|bound| bound.as_secs_f64());
        histogram(member, bounds, &read.buckets, read.sum.as_secs_f64())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use luge_shards::{ADMISSION_SLACK_BUCKETS, HANDOFF_BUCKETS, HistogramSnapshot};
    use prometheus_client::registry::Registry;

    use super::*;

    /// What a shard tells that has counted something else everywhere.
    #[derive(Debug)]
    struct Told(ShardMetrics);

    impl Told {
        fn scheduler() -> StatsSnapshot {
            let (mut hand_offs, mut slack) = ([0; HANDOFF_BUCKETS], [0; ADMISSION_SLACK_BUCKETS]);
            (hand_offs[0], hand_offs[2], hand_offs[HANDOFF_BUCKETS - 1]) = (20, 21, 22);
            (slack[0], slack[ADMISSION_SLACK_BUCKETS - 1]) = (30, 31);
            StatsSnapshot {
                blocked: 1,
                missed: 2,
                spilled_out: 3,
                spilled_in: 4,
                stolen_from: 5,
                stolen: 6,
                interrupts_sent: 7,
                unparks_sent: 8,
                inbox_full: 9,
                ring_turns: 10,
                dozes: 11,
                sleeps: 12,
                handoffs: HistogramSnapshot {
                    buckets: hand_offs,
                    sum: Duration::from_micros(1500),
                },
                slack: HistogramSnapshot {
                    buckets: slack,
                    sum: Duration::from_secs(90),
                },
                ..StatsSnapshot::default()
            }
        }
    }

    impl Collector for Told {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let shard = Reading {
                name: "7".to_owned(),
                counters: &self.0,
                scheduler: Told::scheduler(),
            };
            encode_all(&mut encoder, &[shard])
        }
    }

    #[test]
    fn each_counter_has_its_family() {
        let mut registry = Registry::with_prefix("luge");
        registry.register_collector(Box::new(Told(ShardMetrics::new(0))));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "luge_blocked{shard=\"7\"} 1.0",
            "luge_missed_total{shard=\"7\"} 2.0",
            "luge_spilled_out_total{shard=\"7\"} 3.0",
            "luge_spilled_in_total{shard=\"7\"} 4.0",
            "luge_stolen_from_total{shard=\"7\"} 5.0",
            "luge_stolen_total{shard=\"7\"} 6.0",
            "luge_interrupts_sent_total{shard=\"7\"} 7.0",
            "luge_unparks_sent_total{shard=\"7\"} 8.0",
            "luge_inbox_full_total{shard=\"7\"} 9.0",
            "luge_ring_turns_total{shard=\"7\"} 10.0",
            "luge_sleeps_total{shard=\"7\",place=\"ring\"} 11.0",
            "luge_sleeps_total{shard=\"7\",place=\"executor\"} 12.0",
            "luge_handoff_seconds_sum{shard=\"7\"} 0.0015",
            "luge_handoff_seconds_count{shard=\"7\"} 63",
            "luge_handoff_seconds_bucket{le=\"2.56e-7\",shard=\"7\"} 20",
            "luge_handoff_seconds_bucket{le=\"5.12e-7\",shard=\"7\"} 20",
            "luge_handoff_seconds_bucket{le=\"0.000001024\",shard=\"7\"} 41",
            "luge_handoff_seconds_bucket{le=\"0.067108864\",shard=\"7\"} 41",
            "luge_handoff_seconds_bucket{le=\"+Inf\",shard=\"7\"} 63",
            "luge_admission_slack_seconds_sum{shard=\"7\"} 90.0",
            "luge_admission_slack_seconds_bucket{le=\"0.0\",shard=\"7\"} 30",
            "luge_admission_slack_seconds_bucket{le=\"0.0001\",shard=\"7\"} 30",
            "luge_admission_slack_seconds_bucket{le=\"1.0\",shard=\"7\"} 30",
            "luge_admission_slack_seconds_bucket{le=\"+Inf\",shard=\"7\"} 61",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line:?} is missing in:\n{text}"
            );
        }
    }
}
