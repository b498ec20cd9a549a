//! `overload`: more than there is capacity for, and then less.
//!
//! ```text
//!   offered  150 % ┌───────────────────┐
//!             50 % ┘                   └────────────────
//!                  0                 phase            2 phases
//!    capacity                                               capacity
//! ```
//! Capacity is that of each function alone, on the first variant that has as many cores, and the generator in the same place, as the one that is loaded. It is measured before
//! the load and after what follows it, function by function and then in the opposite order, so that the mean is that of one
//! moment: machines do not stay as fast as they are.
//!
//! One class at the rate of afterwards goes on throughout, a second one on top of it ends with the load. Requests are counted in windows
//! by their intended start:
//!
//! - *admitted* is what was scheduled and not turned away with 429 or 503: whatever else becomes of a request, its client has
//!   waited for it. *Met* is a good answer in time, as the client counts;
//! - *goodput* is what was met, each request counting as the part of a second of the whole server that it takes at capacity;
//! - *goodput by CPU time* is the same by what was left of the server's cores, then and now: without what the generator took of
//!   them, where they are all that it has, and without what the machine's other guests took. A request of the open loop costs the generator more than one of
//!   the closed loop that capacity is measured with, and that is no loss of the server's;
//! - all is *normal again* from the first of five windows in a row in which every request met its deadline.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bench::{Bench, Capacity, Running};
use super::definition::{Mix, Overload};
use super::samples::{Samples, Table, bar, cell, time_cell};
use super::{Outcome, TrialError};
use crate::load::{Class, Mode, Report, Window};

/// Windows in a row without a miss that count as normal.
const NORMAL_WINDOWS: usize = 5;

/// Figures of capacity, with the function as their phase.
const CAPACITY: &str = "capacity_per_s";
/// What others left of the server's cores, in percent, in any phase.
const LEFT: &str = "left_percent";

/// Runs it.
pub(super) fn run(bench: &mut Bench<'_>, of: &Overload) -> Result<Outcome, TrialError> {
    for round in 1..=bench.rounds {
        for variant in bench.order(round) {
            for mix in &of.mix {
                let before = capacity(bench, mix, (round, variant), Look::Before)?;
                let name = bench.running[variant].name.clone();
                bench.say(&format!(
                    "round {round} of {}: {name}, {}",
                    bench.rounds, mix.name
                ));
                let report = load(bench, of, mix, variant, &before)?;
                let after = capacity(bench, mix, (round, variant), Look::After)?;
                let costs: Vec<_> = before
                    .iter()
                    .zip(&after)
                    .map(|(before, after)| Cost::between(before, after))
                    .collect();
                keep(bench, of, mix, (round, variant), &report, &costs);
            }
        }
    }
    let names: Vec<_> = bench.running.iter().map(|running| running.name.clone()).collect();
    let mut text = table(&bench.samples, of, &names);
    for (variant, name) in names.iter().enumerate() {
        if reference(bench, variant) == variant {
            text += &bars(&bench.samples, of, name);
            text += "\n";
            for function in functions(of) {
                let capacity = bench.samples.median((name, function, CAPACITY));
                text += &format!("capacity {} of {function} a second\n", cell(capacity, 1, ""));
            }
        }
    }
    text += &format!(
        "\n{} rounds of {:?} and as long after it\n",
        bench.rounds, bench.phase
    );
    text += &bench.notes();
    Ok(Outcome {
        text,
        chart: None,
        samples: std::mem::take(&mut bench.samples),
        is_broken: false,
    })
}

/// The functions of all mixes.
fn functions(of: &Overload) -> BTreeSet<&str> {
    let names = of.mix.iter().flat_map(|mix| mix.shares.keys());
    names.map(String::as_str).collect()
}

/// The server by whose capacity a variant is measured: the first one with as many cores, and the generator beside it in the same place.
fn reference(bench: &Bench<'_>, variant: usize) -> usize {
    let place = |running: &Running| (running.cores, running.generator.clone());
    let own = place(&bench.running[variant]);
    let found = bench.running.iter().position(|running| place(running) == own);
    found.unwrap_or(variant)
}

/// Which of two looks at the capacity.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Look {
    Before,
    After,
}

/// What the variant's reference can do of a mix now, in a phase for each function: in a short one, what is under way at its ends counts.
fn capacity(
    bench: &mut Bench<'_>,
    mix: &Mix,
    (round, variant): (u32, usize),
    look: Look,
) -> Result<Vec<Capacity>, TrialError> {
    let server = reference(bench, variant);
    let name = bench.running[server].name.clone();
    let mut functions: Vec<_> = mix.shares.keys().collect();
    if look == Look::After {
        functions.reverse();
    }
    let mut capacity = Vec::new();
    for function in functions {
        let found = bench.capacity(server, function)?;
        let key = (name.as_str(), function.as_str());
        bench.samples.add(round, key, CAPACITY, found.rate);
        bench.samples.add(round, key, LEFT, found.left * 100.0);
        capacity.push(found);
    }
    if look == Look::After {
        capacity.reverse();
    }
    Ok(capacity)
}

/// What a request of a function takes, in seconds of the whole server.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost {
    /// By the clock.
    wall: f64,
    /// Of what was left of its cores.
    cpu: f64,
}

impl Cost {
    /// The mean of two looks at the capacity.
    fn between(one: &Capacity, other: &Capacity) -> Cost {
        Cost {
            wall: f64::midpoint(1.0 / one.rate, 1.0 / other.rate),
            cpu: f64::midpoint(one.left / one.rate, other.left / other.rate),
        }
    }
}

/// Offers what is too much, and then less.
fn load(
    bench: &mut Bench<'_>,
    of: &Overload,
    mix: &Mix,
    variant: usize,
    capacity: &[Capacity],
) -> Result<Report, TrialError> {
    let mut classes = Vec::new();
    for ((name, share), capacity) in mix.shares.iter().zip(capacity) {
        let with = |suffix: &str, by_capacity: f64| {
            let mut class = bench.class(name, share * capacity.rate * by_capacity);
            class.name = format!("{name}{suffix}");
            class
        };
        let mut extra: Class = with("-extra", of.offered - of.after);
        extra.active = Some(Duration::ZERO..bench.phase);
        classes.extend([with("", of.after), extra]);
    }
    let mut plan = bench.plan(variant, Mode::Open, classes);
    plan.duration = bench.phase * 2;
    plan.window = of.window;
    plan.looks = vec![plan.warmup, bench.phase];
    bench.run(variant, &mix.name, &plan)
}

/// Keeps what became of it.
fn keep(
    bench: &mut Bench<'_>,
    of: &Overload,
    mix: &Mix,
    (round, variant): (u32, usize),
    report: &Report,
    costs: &[Cost],
) {
    let (load_start, load_end) = (bench.warmup(), bench.phase);
    // Two classes of each function.
    let by_class: Vec<_> = costs.iter().flat_map(|cost| [*cost; 2]).collect();
    let left = bench.left(variant, report);
    let seen = Seen::of(report, &by_class, left, of.window, (load_start, load_end));
    let name = bench.running[variant].name.clone();
    for (function, cost) in mix.shares.keys().zip(costs) {
        let phase = format!("{}: {function}", mix.name);
        bench
            .samples
            .add(round, (&name, &phase), "mean_capacity_per_s", 1.0 / cost.wall);
    }
    let key = (name.as_str(), mix.name.as_str());
    let mut add = |metric, value| bench.samples.add(round, key, metric, value);
    add("admitted_met_percent", seen.admitted_met_percent);
    add("refused_percent", seen.refused_percent);
    add("goodput_percent", seen.goodput_percent);
    add("goodput_by_cpu_percent", seen.goodput_by_cpu_percent);
    add(LEFT, left * 100.0);
    // What never came back to normal took the whole rest.
    add(
        "normal_after_ns",
        seen.normal_after.unwrap_or(load_end).as_nanos() as f64,
    );
    if report.total.refused.count > 0 {
        add("refused_p50_ns", report.total.refused.p50_ns as f64);
        add("refused_p99_ns", report.total.refused.p99_ns as f64);
    }
    add("lateness_p99_ns", report.total.lateness.p99_ns as f64);
    add(
        "generator_cores",
        report.generator.cpu_ns as f64 / report.measured_ns as f64,
    );
    add("shed", report.total.shed as f64);
    if report.total.shed > 0 {
        let text = format!(
            "{name}, {}: {} requests were not sent, as too many were under way",
            mix.name, report.total.shed
        );
        bench.notice(&text);
    }
}

/// What the windows tell.
#[derive(Debug, PartialEq)]
struct Seen {
    admitted_met_percent: f64,
    refused_percent: f64,
    goodput_percent: f64,
    goodput_by_cpu_percent: f64,
    /// None when it never was.
    normal_after: Option<Duration>,
}

impl Seen {
    /// `costs` are what a request of each class takes; the load lasts from `start` to `end`, and `left` is the part of the server's
    /// cores that was left to it meanwhile.
    fn of(
        report: &Report,
        costs: &[Cost],
        left: f64,
        window: Duration,
        (start, end): (Duration, Duration),
    ) -> Seen {
        let by_class: Vec<_> = report
            .classes
            .iter()
            .map(|class| class.record.windows.as_slice())
            .collect();
        Seen::of_windows(&by_class, costs, left, window, (start, end))
    }

    fn of_windows(
        by_class: &[&[Window]],
        costs: &[Cost],
        left: f64,
        window: Duration,
        (start, end): (Duration, Duration),
    ) -> Seen {
        let index = |time: Duration| (time.as_nanos() / window.as_nanos()) as usize;
        // Whole windows only.
        let first = (start.as_nanos().div_ceil(window.as_nanos())) as usize;
        let loaded = first..index(end);
        let mut all = Window::default();
        let (mut used, mut used_cpu) = (0.0, 0.0);
        for (windows, cost) in by_class.iter().zip(costs) {
            for one in windows.get(loaded.clone()).unwrap_or_default() {
                all.scheduled += one.scheduled;
                all.met += one.met;
                all.refused += one.refused;
                used += one.met as f64 * cost.wall;
                used_cpu += one.met as f64 * cost.cpu;
            }
        }
        let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
        let seconds = window.as_secs_f64() * loaded.len().max(1) as f64;
        Seen {
            admitted_met_percent: percent(all.met, all.scheduled - all.refused),
            refused_percent: percent(all.refused, all.scheduled),
            goodput_percent: used * 100.0 / seconds,
            goodput_by_cpu_percent: used_cpu * 100.0 / (seconds * left.max(f64::EPSILON)),
            normal_after: normal_after(by_class, index(end)).map(|windows| window * windows as u32),
        }
    }
}

/// How many windows after `end` the first of [`NORMAL_WINDOWS`] begins in which all is met. The last window is cut short by the
/// end of the run.
fn normal_after(by_class: &[&[Window]], end: usize) -> Option<usize> {
    let count = by_class
        .iter()
        .map(|windows| windows.len())
        .max()?
        .saturating_sub(1);
    let is_met = |index: usize| {
        let windows = by_class.iter().filter_map(|windows| windows.get(index));
        windows.into_iter().all(|window| window.met == window.scheduled)
    };
    let is_normal = |from: &usize| (*from..from + NORMAL_WINDOWS).all(is_met);
    let found = (end..(count + 1).saturating_sub(NORMAL_WINDOWS)).find(is_normal)?;
    Some(found - end)
}

fn table(samples: &Samples, of: &Overload, names: &[String]) -> String {
    let mut table = Table::new(&[
        "server",
        "mix",
        "refused",
        "admitted: met",
        "goodput",
        "by CPU time",
        "refusal p50",
        "p99",
        "normal after",
        "lateness p99",
        "generator",
    ]);
    for mix in &of.mix {
        for name in names {
            let median = |metric| samples.median((name, &mix.name, metric));
            table.row([
                name.clone(),
                mix.name.clone(),
                cell(median("refused_percent"), 1, " %"),
                cell(median("admitted_met_percent"), 2, " %"),
                cell(median("goodput_percent"), 1, " %"),
                cell(median("goodput_by_cpu_percent"), 1, " %"),
                time_cell(median("refused_p50_ns")),
                time_cell(median("refused_p99_ns")),
                time_cell(median("normal_after_ns")),
                time_cell(median("lateness_p99_ns")),
                cell(median("generator_cores").map(|cores| cores * 100.0), 1, " %"),
            ]);
        }
    }
    table.text()
}

fn bars(samples: &Samples, of: &Overload, server: &str) -> String {
    let mut text = format!("\n{server}:\n");
    for mix in &of.mix {
        let median = |metric| samples.median((server, &mix.name, metric));
        let name = &mix.name;
        let met = median("admitted_met_percent");
        let what = format!("{name}: admitted requests that met their deadline, at least 99 %");
        bar(&mut text, &what, met, &cell(met, 2, " %"), |met| met >= 99.0);
        let goodput = median("goodput_percent");
        let what = format!("{name}: goodput, at least 95 % of capacity");
        bar(&mut text, &what, goodput, &cell(goodput, 1, " %"), |goodput| {
            goodput >= 95.0
        });
        let by_cpu = median("goodput_by_cpu_percent");
        let what = format!("{name}: goodput by CPU time, at least 95 % of capacity");
        bar(&mut text, &what, by_cpu, &cell(by_cpu, 1, " %"), |goodput| {
            goodput >= 95.0
        });
        let refusal = median("refused_p99_ns");
        let what = format!("{name}: p99 of refusals, below 2 ms");
        bar(&mut text, &what, refusal, &time_cell(refusal), |refusal| {
            refusal < 2e6
        });
        let normal = median("normal_after_ns");
        let what = format!("{name}: normal again, within a second");
        bar(&mut text, &what, normal, &time_cell(normal), |normal| {
            normal <= 1e9
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);

    fn window(scheduled: u64, met: u64, refused: u64) -> Window {
        Window {
            scheduled,
            met,
            late: 0,
            refused,
        }
    }

    #[test]
    fn windows_tell_shares_and_goodput() {
        // Half a second of load after 100 ms of warm-up; ten windows after it, of which the first two have misses.
        let mut windows = vec![window(9, 0, 0)];
        windows.extend([window(30, 19, 10); 5]);
        windows.extend([window(10, 9, 0), window(10, 9, 1)]);
        windows.extend([window(10, 10, 0); 8]);
        // The last one of a record is the part of a window beyond the end.
        windows.push(window(0, 0, 0));
        let of_load = (WINDOW, WINDOW * 6);
        // 200 requests a second are the capacity, when a twentieth of the cores is taken; now a tenth is.
        let cost = Cost {
            wall: 1.0 / 200.0,
            cpu: 0.95 / 200.0,
        };
        let seen = Seen::of_windows(&[&windows], &[cost], 0.9, WINDOW, of_load);
        assert_eq!(seen.admitted_met_percent, 95.0);
        assert!((seen.refused_percent - 100.0 / 3.0).abs() < 1e-9);
        assert!((seen.goodput_percent - 95.0).abs() < 1e-9, "{seen:?}");
        let by_cpu = 95.0 * 0.95 / 0.9;
        assert!((seen.goodput_by_cpu_percent - by_cpu).abs() < 1e-9, "{seen:?}");
        assert_eq!(seen.normal_after, Some(WINDOW * 2));
    }

    #[test]
    fn capacity_lies_between_two_looks_at_it() {
        let one = |rate, left| Capacity { rate, left };
        // Requests took 10 ms of the server, of which it had nine tenths; and 5 ms, which it had all.
        let between = Cost::between(&one(100.0, 0.9), &one(200.0, 1.0));
        assert!((between.wall - 7.5e-3).abs() < 1e-12, "{between:?}");
        assert!((between.cpu - 7e-3).abs() < 1e-12, "{between:?}");
    }

    #[test]
    fn every_class_must_be_normal_for_long_enough() {
        let good = vec![window(1, 1, 0); 12];
        let mut bad = good.clone();
        bad[4].met = 0;
        assert_eq!(normal_after(&[&good], 2), Some(0));
        assert_eq!(normal_after(&[&good, &bad], 2), Some(3));
        // Four windows are left.
        assert_eq!(normal_after(&[&good[..10], &bad[..10]], 2), None);
    }
}
