//! Counters that the hot path writes and the admin address reads.
//!
//! ```text
//!   shard 0 --writes--> ShardMetrics 0 --+
//!   shard 1 --writes--> ShardMetrics 1 --+--summed and encoded when /metrics is asked--> OpenMetrics text
//! ```
//! Every counter has one writer, its shard. So no cache line bounces between cores and an increment is a plain load
//! and store, without a locked instruction; readers see a value that was true a moment ago.

mod exposition;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use luge_core::pool::PoolStats;
use luge_core::preempt;

use crate::engine::Tier;
use crate::error::FailureKind;
use crate::function::Function;

pub use exposition::{Exposition, ShardSource};

/// A number with one writing thread and any number of reading ones.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`. Only the owning shard may call this: additions of two threads could be lost.
    pub fn add(&self, amount: u64) {
        self.0.store(self.value().wrapping_add(amount), Ordering::Relaxed);
    }

    /// Takes `amount` away, for gauges. Only the owning shard may call this.
    pub fn subtract(&self, amount: u64) {
        self.0.store(self.value().wrapping_sub(amount), Ordering::Relaxed);
    }

    /// Replaces the value, for what is counted elsewhere. Only the owning shard may call this.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value, from any thread.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one shard counts. Aligned so that two shards never share a cache line (nor a pair of lines, which CPUs
/// prefetch together).
#[derive(Debug)]
#[repr(align(128))]
pub struct ShardMetrics {
    /// Connections open now.
    pub connections_open: Counter,
    /// Connections accepted.
    pub connections_accepted: Counter,
    /// Connections answered 503 at once, because the core had its full number.
    pub connections_refused: Counter,
    /// Requests whose head was understood.
    pub requests: Counter,
    /// Requests that reached no function, by [`REFUSED_STATUSES`].
    refused: [Counter; REFUSED_STATUSES.len()],
    /// Of the pool of sandboxes, and of the signals that preempt them.
    pub sandboxes: SandboxMetrics,
    /// One per function, in the order of the registry.
    pub functions: Box<[FunctionMetrics]>,
}

/// What one shard's sandboxes count.
#[derive(Debug, Default)]
pub struct SandboxMetrics {
    /// Sandboxes that have begun and not ended.
    pub live: Counter,
    /// Sandboxes that are ready to be used.
    pub idle: Counter,
    /// Bytes of memory that these keep.
    pub idle_bytes: Counter,
    /// Sandboxes that have begun.
    pub acquired: Counter,
    /// Of those, how many found none of their function that was ready.
    pub made: Counter,
    /// Ready ones that gave their place up to another function's.
    pub evicted: Counter,
    /// Page faults of memories of sandboxes that have ended.
    pub page_faults: Counter,
    /// Signals that found a guest in its code and made it leave.
    pub suspended: Counter,
    /// Signals that found the thread on its way to a guest.
    pub turned_back: Counter,
    /// Signals that found it elsewhere.
    pub marked: Counter,
}

impl SandboxMetrics {
    /// Takes over what the pool and the signals' handler have counted.
    pub fn set(&self, pool: &PoolStats, signals: &preempt::Stats) {
        self.live.set(pool.live as u64);
        self.idle.set(pool.idle as u64);
        self.idle_bytes.set(pool.idle_bytes as u64);
        self.acquired.set(pool.acquired);
        self.made.set(pool.made);
        self.evicted.set(pool.evicted);
        self.suspended.set(signals.suspended);
        self.turned_back.set(signals.turned_back);
        self.marked.set(signals.marked);
    }
}

/// The statuses with which a request ends that reaches no function.
pub(crate) const REFUSED_STATUSES: [u16; 13] =
    [400, 404, 405, 408, 411, 413, 414, 417, 431, 500, 501, 503, 505];

impl ShardMetrics {
    /// Counters at zero for that many functions.
    #[must_use]
    pub fn new(functions: usize) -> ShardMetrics {
        ShardMetrics {
            connections_open: Counter::default(),
            connections_accepted: Counter::default(),
            connections_refused: Counter::default(),
            requests: Counter::default(),
            refused: Default::default(),
            sandboxes: SandboxMetrics::default(),
            functions: (0..functions).map(|_| FunctionMetrics::default()).collect(),
        }
    }

    /// Counts a request that ended before it reached a function.
    pub fn refuse(&self, status: StatusCode) {
        if let Some(index) = REFUSED_STATUSES
            .iter()
            .position(|listed| *listed == status.as_u16())
        {
            self.refused[index].add(1);
        }
    }

    /// Counts of refused requests, in the order of [`REFUSED_STATUSES`].
    pub(crate) fn refused(&self) -> impl Iterator<Item = (u16, u64)> {
        REFUSED_STATUSES
            .into_iter()
            .zip(self.refused.iter().map(Counter::value))
    }
}

/// What is known of a function once it is deployed, and does not change.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// Its name.
    pub name: String,
    /// How it is run.
    pub tier: Tier,
    /// Whether it is interpreted because the server's tier has declined it.
    pub fell_back: bool,
    /// Whether its machine code came from the code cache; `None` where there is no cache or no machine code.
    pub from_cache: Option<bool>,
    /// Size of its code.
    pub code_bytes: usize,
    /// How long decoding, validating and compiling took.
    pub compile_time: Duration,
}

impl From<&Function> for Deployed {
    fn from(function: &Function) -> Deployed {
        Deployed {
            name: function.config().name.clone(),
            tier: function.tier(),
            fell_back: function.declined().is_some(),
            from_cache: function.from_cache(),
            code_bytes: function.code_bytes(),
            compile_time: function.compile_time(),
        }
    }
}

/// Upper bounds of the duration histogram, in seconds; one more bucket takes the rest.
pub(crate) const BUCKETS_SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The same in nanoseconds.
const BUCKETS_NS: [u64; BUCKETS_SECONDS.len()] = {
    const US: u64 = 1_000;
    const MS: u64 = 1_000 * US;
    const S: u64 = 1_000 * MS;
    [
        100 * US,
        250 * US,
        500 * US,
        MS,
        2_500 * US,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        S,
        2_500 * MS,
        5 * S,
        10 * S,
    ]
};

/// What one shard counts for one function. Aligned as [`ShardMetrics`] is, because it lies elsewhere; what each answer
/// changes comes first.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct FunctionMetrics {
    duration_ns: Counter,
    cpu_ns: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    /// Answers by class: 1xx (never), 2xx, 3xx, 4xx, 5xx.
    classes: [Counter; 5],
    durations: [Counter; BUCKETS_SECONDS.len() + 1],
    failures: [Counter; FailureKind::ALL.len()],
}

impl FunctionMetrics {
    /// Counts one answered request: `duration` from the whole request to its answer, `cpu` of the guest, sizes of the
    /// bodies.
    pub fn answer(
        &self,
        status: StatusCode,
        duration: Duration,
        cpu: Duration,
        bytes_in: usize,
        bytes_out: usize,
    ) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.classes[class].add(1);
        let duration_ns = nanoseconds(duration);
        self.durations[bucket(duration_ns)].add(1);
        self.duration_ns.add(duration_ns);
        self.cpu_ns.add(nanoseconds(cpu));
        self.bytes_in.add(bytes_in as u64);
        self.bytes_out.add(bytes_out as u64);
    }

    /// Counts why a request failed.
    pub fn fail(&self, kind: FailureKind) {
        self.failures[kind as usize].add(1);
    }
}

/// The bucket of a duration. Looked for from the shortest on: to find it costs least where the request did.
fn bucket(duration_ns: u64) -> usize {
    let found = BUCKETS_NS.iter().position(|bound| duration_ns <= *bound);
    found.unwrap_or(BUCKETS_NS.len())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A function's counters, summed over the shards.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct FunctionTotals {
    pub(crate) classes: [u64; 5],
    pub(crate) durations: [u64; BUCKETS_SECONDS.len() + 1],
    pub(crate) duration_ns: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) failures: [u64; FailureKind::ALL.len()],
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl FunctionTotals {
    pub(crate) fn sum<'a>(parts: impl Iterator<Item = &'a FunctionMetrics>) -> FunctionTotals {
        let mut total = FunctionTotals::default();
        for part in parts {
            accumulate(&mut total.classes, &part.classes);
            accumulate(&mut total.durations, &part.durations);
            accumulate(&mut total.failures, &part.failures);
            total.duration_ns += part.duration_ns.value();
            total.cpu_ns += part.cpu_ns.value();
            total.bytes_in += part.bytes_in.value();
            total.bytes_out += part.bytes_out.value();
        }
        total
    }
}

fn accumulate(totals: &mut [u64], counters: &[Counter]) {
    for (total, counter) in totals.iter_mut().zip(counters) {
        *total += counter.value();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class_and_bucket() {
        let shards = [ShardMetrics::new(1), ShardMetrics::new(1)];
        let ms = Duration::from_millis;
        shards[0].functions[0].answer(StatusCode::OK, ms(1), ms(1), 10, 20);
        shards[1].functions[0].answer(StatusCode::GATEWAY_TIMEOUT, ms(60_000), ms(2), 1, 2);
        shards[1].functions[0].fail(FailureKind::Deadline);
        let total = FunctionTotals::sum(shards.iter().map(|shard| &shard.functions[0]));
        assert_eq!(total.classes, [0, 1, 0, 0, 1]);
        assert_eq!(
            total.durations[3], 1,
            "1 ms belongs to the bucket that ends there"
        );
        assert_eq!(total.durations[BUCKETS_SECONDS.len()], 1);
        assert_eq!(total.cpu_ns, 3_000_000);
        assert_eq!((total.bytes_in, total.bytes_out), (11, 22));
        assert_eq!(total.failures[FailureKind::Deadline as usize], 1);
    }

    #[test]
    fn buckets_end_where_the_exposition_says() {
        for (index, seconds) in BUCKETS_SECONDS.into_iter().enumerate() {
            let bound = Duration::from_secs_f64(seconds);
            assert_eq!(nanoseconds(bound), BUCKETS_NS[index]);
            assert_eq!(bucket(BUCKETS_NS[index]), index);
            assert_eq!(bucket(BUCKETS_NS[index] + 1), index + 1);
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(nanoseconds(Duration::MAX)), BUCKETS_NS.len());
    }

    #[test]
    fn refusals_are_counted_by_status() {
        let shard = ShardMetrics::new(0);
        shard.refuse(StatusCode::NOT_FOUND);
        shard.refuse(StatusCode::NOT_FOUND);
        shard.refuse(StatusCode::IM_A_TEAPOT);
        let counted: Vec<_> = shard.refused().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(404, 2)]);
    }
}
