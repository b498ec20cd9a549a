//! The families of each function, summed over the shards: requests, times, and how long the scheduler expects a run to take.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use luge_shards::{ClassSnapshot, Estimate};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::{ShardSource, count, family, histogram};
use crate::engine::Tier;
use crate::error::FailureKind;
use crate::metrics::{BUCKETS_SECONDS, Deployed, FunctionTotals, nanoseconds};

#[derive(Debug)]
pub(super) struct FunctionCollector {
    pub(super) functions: Vec<Deployed>,
    pub(super) shards: Arc<[ShardSource]>,
}

impl FunctionCollector {
    fn totals(&self) -> Vec<(&str, FunctionTotals)> {
        let sum = |index: usize| {
            let counters = self
                .shards
                .iter()
                .filter_map(|shard| shard.counters.functions.get(index));
            let mut total = FunctionTotals::sum(counters);
            // The schedulers know of runs, too, whose clients went away before there was an answer to count with.
            let classes = self
                .shards
                .iter()
                .filter_map(|shard| shard.scheduler.get()?.class(index));
            let busy: Duration = classes.map(|class| class.busy).sum();
            total.cpu_ns = total.cpu_ns.max(nanoseconds(busy));
            total
        };
        self.functions
            .iter()
            .enumerate()
            .map(|(index, deployed)| (deployed.name.as_str(), sum(index)))
            .collect()
    }

    /// What each shard's scheduler tells of the functions, where it tells anything: name, shard, figures.
    fn classes(&self) -> Vec<(&str, usize, ClassSnapshot)> {
        let mut told = Vec::new();
        for (index, deployed) in self.functions.iter().enumerate() {
            for (shard, source) in self.shards.iter().enumerate() {
                // A function's class is its place in the registry.
                if let Some(class) = source.scheduler.get().and_then(|stats| stats.class(index)) {
                    told.push((deployed.name.as_str(), shard, class));
                }
            }
        }
        told
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

/// What the schedulers of the shards tell of the functions.
fn encode_scheduled(
    encoder: &mut DescriptorEncoder<'_>,
    classes: &[(&str, usize, ClassSnapshot)],
) -> fmt::Result {
    let busy: Vec<(&str, String, f64)> = classes
        .iter()
        .filter(|(.., class)| class.ended > 0)
        .map(|(name, shard, class)| (*name, shard.to_string(), class.busy.as_secs_f64()))
        .collect();
    let about = (
        "function_busy_seconds",
        "Time that runs which have ended had the core, by the shard that ran them",
        MetricType::Counter,
    );
    let members = busy
        .iter()
        .map(|(name, shard, busy)| ([("function", *name), ("shard", shard.as_str())], *busy));
    family(encoder, about, members)?;
    let estimates = estimates(classes);
    let about = (
        "function_estimate_seconds",
        "How long the scheduler expects a run to have the core, mean of the shards by their samples",
        MetricType::Gauge,
    );
    let members = estimates.iter().flat_map(|(name, mean)| {
        let quantiles = ["0.5", "0.9", "0.99"].into_iter().zip(mean.quantiles);
        quantiles.map(move |(quantile, value)| ([("function", *name), ("quantile", quantile)], value))
    });
    family(encoder, about, members)?;
    let about = (
        "function_estimate_samples",
        "Runs from which the schedulers have learnt how long one takes",
        MetricType::Counter,
    );
    let members = estimates
        .iter()
        .map(|(name, mean)| ([("function", *name)], count(mean.samples)));
    family(encoder, about, members)
}

/// Of the functions of which any shard has an estimate.
fn estimates<'a>(classes: &[(&'a str, usize, ClassSnapshot)]) -> Vec<(&'a str, MeanEstimate)> {
    let mut means: Vec<(&str, MeanEstimate)> = Vec::new();
    for (name, _, class) in classes {
        let Some(estimate) = class.estimate else { continue };
        if means.last().is_none_or(|(last, _)| last != name) {
            means.push((name, MeanEstimate::default()));
        }
        if let Some((_, mean)) = means.last_mut() {
            mean.add(&estimate);
        }
    }
    means
}

/// The mean of several shards' estimates, each weighed by its samples: not the quantile of all their runs, which would take
/// the samples themselves, but between the shards' own.
#[derive(Debug, Default, PartialEq)]
struct MeanEstimate {
    /// In seconds.
    quantiles: [f64; 3],
    samples: u64,
}

impl MeanEstimate {
    fn add(&mut self, estimate: &Estimate) {
        self.samples += estimate.samples;
        let part = count(estimate.samples) / count(self.samples);
        for (mean, quantile) in self
            .quantiles
            .iter_mut()
            .zip([estimate.p50, estimate.p90, estimate.p99])
        {
            *mean += (quantile.as_secs_f64() - *mean) * part;
        }
    }
}

impl Collector for FunctionCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        self.encode_deployed(&mut encoder)?;
        encode_scheduled(&mut encoder, &self.classes())?;
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
            let labels = [("function", name)];
            let member = durations.encode_family(&labels)?;
            let sum = count(total.duration_ns) / 1e9;
            histogram(member, BUCKETS_SECONDS, &total.durations, sum)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    /// A function that two shards know, and one that none does.
    #[derive(Debug)]
    struct Told;

    impl Collector for Told {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let class = |millis, samples| ClassSnapshot {
                estimate: Some(Estimate {
                    p50: Duration::from_millis(millis),
                    p90: Duration::from_millis(2 * millis),
                    p99: Duration::from_millis(4 * millis),
                    samples,
                }),
                ended: samples,
                busy: Duration::from_millis(samples * millis),
            };
            let unknown = ClassSnapshot::default();
            let told = [
                ("known", 0, class(16, 3)),
                ("known", 1, class(8, 1)),
                ("other", 0, unknown),
            ];
            encode_scheduled(&mut encoder, &told)
        }
    }

    #[test]
    fn a_shard_counts_by_its_samples() {
        let mut registry = Registry::with_prefix("luge");
        registry.register_collector(Box::new(Told));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "luge_function_busy_seconds_total{function=\"known\",shard=\"0\"} 0.048",
            "luge_function_busy_seconds_total{function=\"known\",shard=\"1\"} 0.008",
            "luge_function_estimate_seconds{function=\"known\",quantile=\"0.5\"} 0.014",
            "luge_function_estimate_seconds{function=\"known\",quantile=\"0.9\"} 0.028",
            "luge_function_estimate_seconds{function=\"known\",quantile=\"0.99\"} 0.056",
            "luge_function_estimate_samples_total{function=\"known\"} 4.0",
        ];
        assert_eq!(lines, expected);
    }
}
