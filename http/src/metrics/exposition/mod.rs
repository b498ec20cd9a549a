//! The counters as OpenMetrics text: `shards` has the families of each shard, `functions` those of each function.

mod functions;
mod shards;

use std::fmt;
use std::sync::{Arc, OnceLock};

use luge_shards::ShardStats;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{Deployed, ShardMetrics};
use functions::FunctionCollector;
use shards::ShardCollector;

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
        registry.register_collector(Box::new(ShardCollector {
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

/// Writes a histogram whose buckets end at `bounds` seconds and beyond the last of them.
fn histogram(
    member: MetricEncoder<'_>,
    bounds: impl IntoIterator<Item = f64>,
    buckets: &[u64],
    sum: f64,
) -> fmt::Result {
    let bounds = bounds.into_iter().chain([f64::INFINITY]);
    let ends: Vec<(f64, u64)> = bounds.zip(buckets.iter().copied()).collect();
    let mut member = member;
    member.encode_histogram::<Labels<'_, 0>>(sum, buckets.iter().sum(), &ends, None)
}

/// OpenMetrics numbers are doubles: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counters stay below 2^53, and beyond it the last digits do not matter"
)]
fn count(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::StatusCode;

    use super::*;
    use crate::engine::Tier;
    use crate::error::FailureKind;

    #[test]
    fn the_text_tells_what_was_counted() {
        let source = || ShardSource {
            counters: ShardMetrics::new(1),
            scheduler: OnceLock::new(),
        };
        let shards: Arc<[ShardSource]> = Arc::new([source(), source()]);
        shards[0].scheduler.set(Arc::new(ShardStats::new(1))).unwrap();
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
            "luge_blocked{shard=\"0\"} 0",
            "luge_sleeps_total{shard=\"1\",place=\"executor\"} 0",
            "luge_handoff_seconds_count{shard=\"0\"} 0",
            "luge_admission_slack_seconds_bucket{le=\"+Inf\",shard=\"1\"} 0",
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
