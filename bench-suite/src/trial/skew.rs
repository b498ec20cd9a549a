//! `skew`: all connections on one shard.
//!
//! The kernel chooses a connection's shard by a hash of its addresses and ports. So connections are opened one at a time, and
//! the server's own counters tell by which shard each was accepted; those of shard 0 are kept until there are enough. On them goes a
//! closed loop of one hot function.
//!
//! A shard's utilisation is the time that runs had its core, by the time of the wall. It is the server's own figure; the CPU time of the
//! whole process stands beside it.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::bench::Bench;
use super::definition::Skew;
use super::samples::{Samples, Table, bar, cell, time_cell};
use super::{Outcome, TrialError};
use crate::load::{self, Mode};

const PHASE: &str = "skew";
/// Connections that are opened for each that is wanted, at the most.
const ATTEMPTS_EACH: usize = 64;
/// Longest time until a new connection is counted.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs it.
pub(super) fn run(bench: &mut Bench<'_>, of: &Skew) -> Result<Outcome, TrialError> {
    for round in 1..=bench.rounds {
        for variant in bench.order(round) {
            let name = bench.running[variant].name.clone();
            bench.say(&format!("round {round} of {}: {name}", bench.rounds));
            phase(bench, of, (round, variant))?;
        }
    }
    let names: Vec<_> = bench.running.iter().map(|running| running.name.clone()).collect();
    let mut text = table(&bench.samples, &names, bench.cores);
    text += &bars(&bench.samples, &names[0]);
    text += &format!(
        "\n{} rounds of {:?}, {} connections on shard 0\n",
        bench.rounds, bench.phase, of.connections
    );
    text += &bench.notes();
    Ok(Outcome {
        text,
        chart: None,
        samples: std::mem::take(&mut bench.samples),
        is_broken: false,
    })
}

/// Names of the shards' figures: those that a table can show.
const SHARDS: [&str; 4] = [
    "shard_0_percent",
    "shard_1_percent",
    "shard_2_percent",
    "shard_3_percent",
];

fn phase(bench: &mut Bench<'_>, of: &Skew, (round, variant): (u32, usize)) -> Result<(), TrialError> {
    let streams = on_first_shard(bench, variant, of.connections)?;
    let mut class = bench.class(&of.function, 1.0);
    class.opened = streams.len();
    let mut plan = bench.plan(variant, Mode::Closed, vec![class]);
    // The counters are read before and after, and know nothing of a warm-up.
    plan.warmup = Duration::ZERO;
    let running = &bench.running[variant];
    let name = running.name.clone();
    let metrics = || {
        running
            .server
            .metrics()
            .map_err(|source| bench.server_error(&name, source))
    };
    let (report, before, after, wall) = bench.undisturbed(|| {
        let streams = streams
            .iter()
            .map(TcpStream::try_clone)
            .collect::<Result<_, _>>()?;
        let (before, start) = (metrics()?, Instant::now());
        let report = load::run_on(&plan, Some(running.server.pid()), streams);
        let (after, wall) = (metrics()?, start.elapsed().as_secs_f64());
        Ok((bench.judge(variant, PHASE, report)?, before, after, wall))
    })?;
    let (before, after) = (before.busy_seconds(bench.cores), after.busy_seconds(bench.cores));
    let shares: Vec<_> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| (after - before) * 100.0 / wall)
        .collect();
    let key = (name.as_str(), PHASE);
    for (metric, share) in SHARDS.into_iter().zip(&shares) {
        bench.samples.add(round, key, metric, *share);
    }
    bench.samples.add(round, key, "evenness", evenness(&shares));
    bench
        .samples
        .add(round, key, "per_s", report.total.good_per_second);
    bench
        .samples
        .add(round, key, "p99_ns", report.total.latency.p99_ns as f64);
    if report.total.connections > 0 {
        let text = format!(
            "{name}: {} connections broke, and new ones went to whatever shard",
            report.total.connections
        );
        bench.notice(&text);
    }
    if let Some(server) = &report.server {
        let cpu = server.usage.user_seconds + server.usage.system_seconds;
        bench
            .samples
            .add(round, key, "server_cores", cpu * 1e9 / report.measured_ns as f64);
    }
    Ok(())
}

/// The least of the shards' utilisations by the largest: 1 when all are alike.
fn evenness(shares: &[f64]) -> f64 {
    let least = shares.iter().copied().fold(f64::MAX, f64::min);
    let most = shares.iter().copied().fold(0.0, f64::max);
    if most > 0.0 { least / most } else { 0.0 }
}

/// Opens connections until `wanted` are on shard 0.
fn on_first_shard(bench: &Bench<'_>, variant: usize, wanted: usize) -> Result<Vec<TcpStream>, TrialError> {
    let running = &bench.running[variant];
    let accepted = || {
        let metrics = running
            .server
            .metrics()
            .map_err(|source| bench.server_error(&running.name, source))?;
        let all = metrics.sum("luge_connections_accepted_total", "", "");
        Ok::<_, TrialError>((metrics.accepted_by_first(), all))
    };
    let (mut first, mut all) = accepted()?;
    let mut kept = Vec::new();
    for _ in 0..wanted * ATTEMPTS_EACH {
        let stream = TcpStream::connect(running.server.target.address)?;
        let end = Instant::now() + ACCEPT_TIMEOUT;
        // Counted by some shard, and perhaps by the first; one that nobody counts in time is left.
        let is_on_first = loop {
            let (first_before, all_before) = (first, all);
            (first, all) = accepted()?;
            if all > all_before {
                break first > first_before;
            }
            if Instant::now() >= end {
                break false;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if is_on_first {
            kept.push(stream);
        }
        if kept.len() == wanted {
            return Ok(kept);
        }
    }
    Err(TrialError::NoShard(wanted * ATTEMPTS_EACH))
}

fn table(samples: &Samples, names: &[String], cores: usize) -> String {
    let shards: Vec<_> = (0..cores.min(SHARDS.len()))
        .map(|shard| format!("shard {shard} busy"))
        .collect();
    let mut columns = vec!["server"];
    columns.extend(shards.iter().map(String::as_str));
    columns.extend(["least by most", "requests/s", "p99", "server's cores"]);
    let mut table = Table::new(&columns);
    for name in names {
        let median = |metric| samples.median((name, PHASE, metric));
        let mut cells = vec![name.clone()];
        cells.extend(
            SHARDS
                .into_iter()
                .take(shards.len())
                .map(|metric| cell(median(metric), 1, " %")),
        );
        cells.extend([
            cell(median("evenness"), 3, ""),
            cell(median("per_s"), 1, ""),
            time_cell(median("p99_ns")),
            cell(median("server_cores"), 2, ""),
        ]);
        table.row(cells);
    }
    table.text()
}

fn bars(samples: &Samples, first: &str) -> String {
    let mut text = format!("\n{first}:\n");
    let even = samples.median((first, PHASE, "evenness"));
    let what = "utilisation of the shards within 10 % of each other";
    bar(&mut text, what, even, &cell(even, 3, ""), |even| even >= 0.9);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenness_is_the_least_by_the_most() {
        assert_eq!(evenness(&[90.0, 81.0]), 0.9);
        assert_eq!(evenness(&[100.0, 0.0]), 0.0);
        assert_eq!(evenness(&[0.0, 0.0]), 0.0);
    }

    #[test]
    fn a_table_has_a_column_for_each_shard() {
        let mut samples = Samples::default();
        samples.add(1, ("luge", PHASE), SHARDS[0], 95.0);
        samples.add(1, ("luge", PHASE), SHARDS[1], 94.0);
        samples.add(1, ("luge", PHASE), "evenness", evenness(&[95.0, 94.0]));
        let text = table(&samples, &["luge".to_owned()], 2);
        assert!(text.contains("shard 1 busy") && text.contains("94.0 %"), "{text}");
        assert!(bars(&samples, "luge").contains("0.989: met"));
    }
}
