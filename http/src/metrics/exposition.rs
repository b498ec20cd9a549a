//! The counters as OpenMetrics text.

use std::fmt;
use std::sync::{Arc, OnceLock};

use luge_shards::{ShardStats, StatsSnapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{BUCKETS_SECONDS, Deployed, FunctionTotals, ShardMetrics};
use crate::engine::Tier;
use crate::error::FailureKind;

/// What `/metrics` tells; encodes the counters as they stand whenever it is asked.
#[derive(Debug)]
pub struct Exposition {
    registry: Registry,
}

/// One shard's counters: ours, and the scheduler's once the shard has started.
#[derive(Debug)]
pub struct ShardSource {
    /// Written by the connections of the shard.
    pub counters: ShardMetrics,
    /// Written by its scheduler.
    pub scheduler: OnceLock<Arc<ShardStats>>,
}

impl Exposition {
    /// The media type of the text.
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// An exposition of these shards and of these functions, in the registry's order.
    #[must_use]
    pub fn new(
        functions: Vec<Deployed>,
        shards: Arc<[ShardSource]>,
        dropped_log_lines: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Exposition {
        let mut registry = Registry::with_prefix("luge");
        registry.register_collector(Box::new(ServerCollector {
            shards: Arc::clone(&shards),
            dropped_log_lines: Box::new(dropped_log_lines),
        }));
        registry.register_collector(Box::new(FunctionCollector { functions, shards }));
        Exposition { registry }
    }

    /// The counters as they stand, in OpenMetrics text format 1.0.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Labels in the order in which they are written.
type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

/// Writes metric families whose members differ in `N` labels.
fn family<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, kind): (&str, &str, MetricType),
    members: impl Iterator<Item = (Labels<'a, N>, f64)>,
) -> fmt::Result
where
    Labels<'a, N>: EncodeLabelSet,
{
    let mut descriptor = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in members {
        let member = descriptor.encode_family(&labels)?;
        match kind {
            MetricType::Counter => ConstCounter::new(value).encode(member)?,
            _ => ConstGauge::new(value).encode(member)?,
        }
    }
    Ok(())
}

struct ServerCollector {
    shards: Arc<[ShardSource]>,
    dropped_log_lines: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// Name, help, type, and how to read it from a shard.
type ShardFamily = (&'static str, &'static str, MetricType, fn(&ShardSource) -> f64);

const SHARD_FAMILIES: [ShardFamily; 21] = [
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
        |shard| scheduler(shard, |stats| count(stats.accept_errors)),
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
        |shard| scheduler(shard, |stats| count(stats.queued)),
    ),
    (
        "running",
        "Runs that have had a slice and not ended",
        MetricType::Gauge,
        |shard| scheduler(shard, |stats| count(stats.started)),
    ),
    (
        "submitted",
        "Runs that were admitted",
        MetricType::Counter,
        |shard| scheduler(shard, |stats| count(stats.submitted)),
    ),
    (
        "completed",
        "Runs that came to their own end",
        MetricType::Counter,
        |shard| scheduler(shard, |stats| count(stats.completed)),
    ),
    (
        "rejected",
        "Runs rejected, mostly because the queue was full",
        MetricType::Counter,
        |shard| scheduler(shard, |stats| count(stats.rejected)),
    ),
    (
        "panicked",
        "Runs and connections that a defect of the server ended",
        MetricType::Counter,
        |shard| scheduler(shard, |stats| count(stats.panicked)),
    ),
    ("slices", "Slices given to runs", MetricType::Counter, |shard| {
        scheduler(shard, |stats| count(stats.slices))
    }),
    (
        "preemptions",
        "Slices that were too short for their run",
        MetricType::Counter,
        |shard| scheduler(shard, |stats| count(stats.preemptions)),
    ),
    (
        "busy_seconds",
        "Time that runs had the core",
        MetricType::Counter,
        |shard| scheduler(shard, |stats| count(stats.busy_ns) / 1e9),
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
type Member = (&'static str, fn(&ShardSource) -> f64);

/// Where the time of runs goes; a run's time in a state counts when it leaves it.
const STATES: [Member; 5] = [
    ("queued", |shard| {
        scheduler(shard, |stats| count(stats.queued_ns) / 1e9)
    }),
    ("running", |shard| {
        scheduler(shard, |stats| count(stats.busy_ns) / 1e9)
    }),
    ("preempted", |shard| {
        scheduler(shard, |stats| count(stats.preempted_ns) / 1e9)
    }),
    ("blocked", |shard| {
        scheduler(shard, |stats| count(stats.blocked_ns) / 1e9)
    }),
    ("ready", |shard| {
        scheduler(shard, |stats| count(stats.ready_ns) / 1e9)
    }),
];

/// Why runs were stopped.
const STOPPED: [Member; 4] = [
    ("deadline", |shard| {
        scheduler(shard, |stats| count(stats.deadline_exceeded))
    }),
    ("cpu_budget", |shard| {
        scheduler(shard, |stats| count(stats.cpu_budget_exceeded))
    }),
    ("drain", |shard| scheduler(shard, |stats| count(stats.drained))),
    ("cancelled", |shard| {
        scheduler(shard, |stats| count(stats.cancelled))
    }),
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

fn scheduler(shard: &ShardSource, read: impl Fn(&StatsSnapshot) -> f64) -> f64 {
    shard.scheduler.get().map_or(0.0, |stats| read(&stats.snapshot()))
}

/// OpenMetrics numbers are doubles: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counters stay below 2^53, and beyond it the last digits do not matter"
)]
fn count(value: u64) -> f64 {
    value as f64
}

impl fmt::Debug for ServerCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCollector")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl ServerCollector {
    /// What each shard tells with a second label.
    fn encode_labelled(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let names: Vec<String> = (0..self.shards.len()).map(|shard| shard.to_string()).collect();
        let families: [(_, _, &str, &[Member]); 3] = [
            ("run_seconds", "Time of runs by state", "state", &STATES),
            (
                "stopped",
                "Runs stopped at a limit, by a drain, or because the client went away",
                "reason",
                &STOPPED,
            ),
            (
                "preemption_signals",
                "Signals to preempt a guest, by what they found",
                "found",
                &SIGNALS,
            ),
        ];
        for (name, help, label, kinds) in families {
            let shards = names.iter().zip(self.shards.iter());
            let members = shards.flat_map(|(shard, source)| {
                kinds.iter().map(move |(kind, read)| {
                    let labels = [("shard", shard.as_str()), (label, *kind)];
                    (labels, read(source))
                })
            });
            family(encoder, (name, help, MetricType::Counter), members)?;
        }
        Ok(())
    }
}

impl Collector for ServerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let names: Vec<String> = (0..self.shards.len()).map(|shard| shard.to_string()).collect();
        let shards = || names.iter().map(String::as_str).zip(self.shards.iter());
        for (name, help, kind, read) in SHARD_FAMILIES {
            let members = shards().map(|(name, shard)| ([("shard", name)], read(shard)));
            family(&mut encoder, (name, help, kind), members)?;
        }
        let statuses: Vec<_> = shards()
            .flat_map(|(name, shard)| {
                shard
                    .counters
                    .refused()
                    .map(move |(status, number)| (name, status.to_string(), number))
            })
            .collect();
        let members = statuses.iter().filter(|(.., number)| *number > 0);
        let members =
            members.map(|(name, status, number)| ([("shard", *name), ("status", status)], count(*number)));
        let about = (
            "http_refused",
            "Requests that reached no function",
            MetricType::Counter,
        );
        family(&mut encoder, about, members)?;
        self.encode_labelled(&mut encoder)?;
        let help = "Log lines dropped because stderr was too slow";
        let lines = encoder.encode_descriptor("log_lines_dropped", help, None, MetricType::Counter)?;
        ConstCounter::new((self.dropped_log_lines)()).encode(lines)
    }
}

#[derive(Debug)]
struct FunctionCollector {
    functions: Vec<Deployed>,
    shards: Arc<[ShardSource]>,
}

impl FunctionCollector {
    fn totals(&self) -> Vec<(&str, FunctionTotals)> {
        let sum = |index: usize| {
            FunctionTotals::sum(
                self.shards
                    .iter()
                    .filter_map(|shard| shard.counters.functions.get(index)),
            )
        };
        self.functions
            .iter()
            .enumerate()
            .map(|(index, deployed)| (deployed.name.as_str(), sum(index)))
            .collect()
    }

    /// What was decided at deployment.
    fn encode_deployed(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of = |tier| {
            self.functions
                .iter()
                .filter(|deployed| deployed.tier == tier)
                .count()
        };
        let members = Tier::ALL.map(|tier| ([("tier", tier.name())], count(of(tier) as u64)));
        let about = ("functions", "Functions by tier", MetricType::Gauge);
        family(encoder, about, members.into_iter())?;
        let fallbacks = self
            .functions
            .iter()
            .filter(|deployed| deployed.fell_back)
            .count();
        let help = "Functions that are interpreted because the server's tier declined them";
        let lines = encoder.encode_descriptor("compile_fallbacks", help, None, MetricType::Counter)?;
        ConstCounter::new(count(fallbacks as u64)).encode(lines)?;
        let cached = |hit| {
            self.functions
                .iter()
                .filter(|deployed| deployed.from_cache == Some(hit))
                .count()
        };
        let members = [("hit", true), ("miss", false)]
            .map(|(result, hit)| ([("result", result)], count(cached(hit) as u64)));
        let about = (
            "code_cache_lookups",
            "Functions whose machine code was looked for in the code cache",
            MetricType::Counter,
        );
        family(encoder, about, members.into_iter())?;
        let members = |value: fn(&Deployed) -> f64| {
            self.functions.iter().map(move |deployed| {
                let labels = [
                    ("function", deployed.name.as_str()),
                    ("tier", deployed.tier.name()),
                ];
                (labels, value(deployed))
            })
        };
        let about = (
            "function_compile_seconds",
            "Time that decoding, validating and compiling took",
            MetricType::Gauge,
        );
        family(
            encoder,
            about,
            members(|deployed| deployed.compile_time.as_secs_f64()),
        )?;
        let about = ("function_code_bytes", "Size of the code", MetricType::Gauge);
        family(
            encoder,
            about,
            members(|deployed| count(deployed.code_bytes as u64)),
        )
    }
}

impl Collector for FunctionCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        self.encode_deployed(&mut encoder)?;
        let totals = self.totals();
        let functions = || totals.iter().map(|(name, total)| (*name, total));
        let classes = functions().flat_map(|(name, total)| {
            let classes = CLASSES
                .into_iter()
                .zip(total.classes)
                .filter(|(_, number)| *number > 0);
            classes.map(move |(class, number)| ([("function", name), ("class", class)], count(number)))
        });
        let about = (
            "function_requests",
            "Answers by class of status",
            MetricType::Counter,
        );
        family(&mut encoder, about, classes)?;
        let failures = functions().flat_map(|(name, total)| {
            let kinds = FailureKind::ALL
                .into_iter()
                .zip(total.failures)
                .filter(|(_, number)| *number > 0);
            kinds.map(move |(kind, number)| ([("function", name), ("kind", kind.label())], count(number)))
        });
        let about = (
            "function_failures",
            "Failed requests by kind",
            MetricType::Counter,
        );
        family(&mut encoder, about, failures)?;
        let about = (
            "function_cpu_seconds",
            "CPU time of the guests",
            MetricType::Counter,
        );
        let members = functions().map(|(name, total)| ([("function", name)], count(total.cpu_ns) / 1e9));
        family(&mut encoder, about, members)?;
        let about = (
            "function_request_bytes",
            "Bytes of request bodies",
            MetricType::Counter,
        );
        let members = functions().map(|(name, total)| ([("function", name)], count(total.bytes_in)));
        family(&mut encoder, about, members)?;
        let about = (
            "function_response_bytes",
            "Bytes of response bodies",
            MetricType::Counter,
        );
        let members = functions().map(|(name, total)| ([("function", name)], count(total.bytes_out)));
        family(&mut encoder, about, members)?;
        let help = "Time from the whole request to its answer";
        let name = "function_duration_seconds";
        let mut durations = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (name, total) in functions() {
            encode_durations(durations.encode_family(&[("function", name)])?, total)?;
        }
        Ok(())
    }
}

fn encode_durations(mut member: MetricEncoder<'_>, total: &FunctionTotals) -> fmt::Result {
    let bounds = BUCKETS_SECONDS.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(total.durations).collect();
    let number = total.durations.iter().sum();
    member.encode_histogram::<Labels<'_, 0>>(count(total.duration_ns) / 1e9, number, &buckets, None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::StatusCode;

    use super::*;

    #[test]
    fn the_text_tells_what_was_counted() {
        let source = || ShardSource {
            counters: ShardMetrics::new(1),
            scheduler: OnceLock::new(),
        };
        let shards: Arc<[ShardSource]> = Arc::new([source(), source()]);
        let echo = Deployed {
            name: "echo".to_owned(),
            tier: Tier::Interp,
            fell_back: true,
            from_cache: Some(true),
            code_bytes: 640,
            compile_time: Duration::from_millis(250),
        };
        let exposition = Exposition::new(vec![echo], Arc::clone(&shards), || 7);
        shards[1].counters.requests.add(3);
        shards[1].counters.refuse(StatusCode::NOT_FOUND);
        let sandboxes = &shards[1].counters.sandboxes;
        sandboxes.suspended.set(5);
        sandboxes.idle.set(4);
        sandboxes.made.set(9);
        let echo = &shards[0].counters.functions[0];
        echo.answer(
            StatusCode::OK,
            Duration::from_millis(3),
            Duration::from_millis(2),
            5,
            6,
        );
        echo.fail(FailureKind::TrapStack);
        let text = exposition.encode().unwrap();
        for line in [
            "luge_http_requests_total{shard=\"0\"} 0",
            "luge_http_requests_total{shard=\"1\"} 3",
            "luge_http_refused_total{shard=\"1\",status=\"404\"} 1",
            "luge_run_seconds_total{shard=\"0\",state=\"preempted\"} 0",
            "luge_stopped_total{shard=\"1\",reason=\"cpu_budget\"} 0",
            "luge_preemption_signals_total{shard=\"1\",found=\"suspended\"} 5",
            "luge_sandboxes_idle{shard=\"1\"} 4",
            "luge_sandboxes_made_total{shard=\"1\"} 9",
            "luge_function_requests_total{function=\"echo\",class=\"2xx\"} 1",
            "luge_function_failures_total{function=\"echo\",kind=\"trap_stack\"} 1",
            "luge_function_cpu_seconds_total{function=\"echo\"} 0.002",
            "luge_function_duration_seconds_bucket{le=\"0.0025\",function=\"echo\"} 0",
            "luge_function_duration_seconds_bucket{le=\"0.005\",function=\"echo\"} 1",
            "luge_function_duration_seconds_bucket{le=\"+Inf\",function=\"echo\"} 1",
            "luge_function_duration_seconds_count{function=\"echo\"} 1",
            "luge_log_lines_dropped_total 7",
            "luge_functions{tier=\"interp\"} 1",
            "luge_functions{tier=\"baseline\"} 0",
            "luge_compile_fallbacks_total 1",
            "luge_code_cache_lookups_total{result=\"hit\"} 1",
            "luge_code_cache_lookups_total{result=\"miss\"} 0",
            "luge_function_compile_seconds{function=\"echo\",tier=\"interp\"} 0.25",
            "luge_function_code_bytes{function=\"echo\",tier=\"interp\"} 640",
        ] {
            let found = text
                .lines()
                .any(|found| found.trim_end_matches(".0") == line.trim_end_matches(".0"));
            assert!(found, "{line:?} is missing in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
