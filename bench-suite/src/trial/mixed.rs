//! `mixed`: short urgent requests in an open loop beside long ones.
//!
//! ```text
//!   phase       short (open loop)     long
//!   idle        rate                  none: the short one's unloaded time, on this server, in this round
//!   50 % ...    rate                  open loop; both together take so much of the capacity
//!   saturated   rate                  closed loop, two for each core: no idle time is left
//! ```
//! Capacity is what the first variant completes of the long function alone in a closed loop, two for each core; the short
//! one's share of it is its rate by its own capacity.
//!
//! Waits are until an answer of whatever status. The server ends a short request at its deadline with 504, so a server that lets
//! them wait shows waits of about the deadline and more, and how many met it; how long they would have waited for a good answer it does not show.
//!
//! What the long ones lose is told by the last phase alone. Below capacity every server completes what is offered, so that an
//! open loop shows the same throughput for all; with the cores saturated each preemption costs completions.

use std::thread;
use std::time::Duration;

use super::bench::Bench;
use super::chart::{Series, loads};
use super::definition::Mixed;
use super::samples::{Samples, Table, bar, cell, time_cell};
use super::{Outcome, TrialError};
use crate::load::{self, ClassReport, Mode, Report};

const IDLE: &str = "idle";
const SATURATED: &str = "saturated";

const MS: f64 = 1e6;

/// Runs it.
pub(super) fn run(bench: &mut Bench<'_>, of: &Mixed) -> Result<Outcome, TrialError> {
    let long_capacity = bench.capacity(0, &of.long)?.rate;
    let short_share = of.rate / bench.capacity(0, &of.short)?.rate;
    for round in 1..=bench.rounds {
        for variant in bench.order(round) {
            let name = bench.running[variant].name.clone();
            bench.say(&format!("round {round} of {}: {name}", bench.rounds));
            open(bench, of, (round, variant), IDLE, 0.0)?;
            for load in &of.loads {
                // Nothing is left for long ones where the short ones alone exceed the load.
                let rate = (load / 100.0 - short_share).max(1e-3) * long_capacity;
                open(bench, of, (round, variant), &phase_of(*load), rate)?;
            }
            saturate(bench, of, (round, variant))?;
        }
    }
    let first = bench.running[0].name.clone();
    let names: Vec<_> = bench.running.iter().map(|running| running.name.clone()).collect();
    let mut text = latencies(&bench.samples, of, &names);
    text += &throughput(&bench.samples, of, &names);
    text += &bars(&bench.samples, of, &first);
    text += &format!(
        "\n{} rounds of {:?} a phase; capacity {long_capacity:.2} of {} a second.\n",
        bench.rounds, bench.phase, of.long
    );
    text += &bench.notes();
    Ok(Outcome {
        text,
        chart: Some(loads(
            &curves(&bench.samples, of, &names),
            &format!("p99 of {}", of.short),
        )?),
        samples: std::mem::take(&mut bench.samples),
        is_broken: false,
    })
}

fn phase_of(load: f64) -> String {
    format!("{load} %")
}

/// A phase in which both are open loops; without long ones where their rate is 0.
fn open(
    bench: &mut Bench<'_>,
    of: &Mixed,
    (round, variant): (u32, usize),
    phase: &str,
    long_rate: f64,
) -> Result<(), TrialError> {
    let mut classes = vec![bench.class(&of.short, of.rate)];
    if long_rate > 0.0 {
        classes.push(bench.class(&of.long, long_rate));
    }
    let plan = bench.plan(variant, Mode::Open, classes);
    let report = bench.run(variant, phase, &plan)?;
    let name = bench.running[variant].name.clone();
    short_figures(&mut bench.samples, round, (&name, phase), &report);
    if let Some(long) = report.classes.get(1) {
        let key = (name.as_str(), phase);
        bench.samples.add(round, key, "long_offered_per_s", long_rate);
        bench.samples.add(round, key, "long_per_s", long.good_per_second);
        bench
            .samples
            .add(round, key, "long_p99_ns", long.latency.p99_ns as f64);
        bench
            .samples
            .add(round, key, "long_met_percent", met_percent(long));
    }
    Ok(())
}

/// The phase in which long ones come in a closed loop.
fn saturate(bench: &mut Bench<'_>, of: &Mixed, (round, variant): (u32, usize)) -> Result<(), TrialError> {
    let mut long = bench.class(&of.long, 1.0);
    long.opened = 2 * bench.running[variant].cores;
    long.timeout = long.timeout.max(Duration::from_secs(60));
    let closed = bench.plan(variant, Mode::Closed, vec![long]);
    let urgent = bench.plan(variant, Mode::Open, vec![bench.class(&of.short, of.rate)]);
    let pid = bench.running[variant].server.pid();
    let (long, short) = bench.undisturbed(|| {
        let (long, short) = thread::scope(|scope| {
            let long = scope.spawn(|| load::run(&closed, None));
            let short = load::run(&urgent, Some(pid));
            (long.join(), short)
        });
        let long = long.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((
            bench.judge(variant, SATURATED, long)?,
            bench.judge(variant, SATURATED, short)?,
        ))
    })?;
    let name = bench.running[variant].name.clone();
    short_figures(&mut bench.samples, round, (&name, SATURATED), &short);
    let key = (name.as_str(), SATURATED);
    bench
        .samples
        .add(round, key, "long_per_s", long.total.good_per_second);
    bench
        .samples
        .add(round, key, "long_p99_ns", long.total.latency.p99_ns as f64);
    Ok(())
}

fn short_figures(samples: &mut Samples, round: u32, key: (&str, &str), report: &Report) {
    let short = &report.classes[0];
    let waited = short.until_any_answer();
    for (metric, value) in [
        ("short_p50_ns", waited.p50_ns as f64),
        ("short_p99_ns", waited.p99_ns as f64),
        ("short_p999_ns", waited.p999_ns as f64),
        ("short_met_percent", met_percent(short)),
        ("lateness_p99_ns", short.lateness.p99_ns as f64),
        (
            "generator_cores",
            report.generator.cpu_ns as f64 / report.measured_ns as f64,
        ),
    ] {
        samples.add(round, key, metric, value);
    }
}

fn met_percent(class: &ClassReport) -> f64 {
    let met = class.deadlines.map_or(class.good, |deadlines| deadlines.met);
    met as f64 * 100.0 / class.scheduled.max(1) as f64
}

fn phases(of: &Mixed) -> Vec<String> {
    let mut phases = vec![IDLE.to_owned()];
    phases.extend(of.loads.iter().map(|load| phase_of(*load)));
    phases.push(SATURATED.to_owned());
    phases
}

fn latencies(samples: &Samples, of: &Mixed, names: &[String]) -> String {
    let mut table = Table::new(&[
        "server",
        "load",
        "short p50",
        "p99",
        "p99.9",
        "p99 over unloaded",
        "deadlines met",
        "long/s",
        "of offered",
        "lateness p99",
        "generator",
    ]);
    for name in names {
        for phase in phases(of) {
            let of_phase = |metric| samples.median((name, &phase, metric));
            let above = samples.paired(
                (name, &phase, "short_p99_ns"),
                (name, IDLE, "short_p99_ns"),
                |loaded, unloaded| loaded - unloaded,
            );
            let done = (name.as_str(), phase.as_str(), "long_per_s");
            let offered = (name.as_str(), phase.as_str(), "long_offered_per_s");
            let share = samples.paired(done, offered, |done, offered| done * 100.0 / offered);
            table.row([
                name.clone(),
                phase.clone(),
                time_cell(of_phase("short_p50_ns")),
                time_cell(of_phase("short_p99_ns")),
                time_cell(of_phase("short_p999_ns")),
                time_cell(above),
                cell(of_phase("short_met_percent"), 2, " %"),
                cell(of_phase("long_per_s"), 1, ""),
                cell(share, 1, " %"),
                time_cell(of_phase("lateness_p99_ns")),
                cell(of_phase("generator_cores").map(|cores| cores * 100.0), 1, " %"),
            ]);
        }
    }
    table.text()
}

/// Long functions at saturation, by the reference.
fn throughput(samples: &Samples, of: &Mixed, names: &[String]) -> String {
    let by_reference = format!("ratio to {}", of.reference);
    let mut table = Table::new(&["server", "long/s, saturated", &by_reference]);
    for name in names {
        table.row([
            name.clone(),
            cell(samples.median((name, SATURATED, "long_per_s")), 2, ""),
            cell(loss(samples, of, name), 3, ""),
        ]);
    }
    format!("\n{}", table.text())
}

fn loss(samples: &Samples, of: &Mixed, name: &str) -> Option<f64> {
    let own = (name, SATURATED, "long_per_s");
    let reference = (of.reference.as_str(), SATURATED, "long_per_s");
    samples.paired(own, reference, |own, reference| own / reference)
}

/// What the first variant is held to.
fn bars(samples: &Samples, of: &Mixed, first: &str) -> String {
    let mut text = format!("\n{first}:\n");
    for load in &of.loads {
        let phase = phase_of(*load);
        let above = samples.paired(
            (first, &phase, "short_p99_ns"),
            (first, IDLE, "short_p99_ns"),
            |loaded, unloaded| loaded - unloaded,
        );
        let what = format!(
            "p99 of {} at {phase} is less than 1 ms above its unloaded p99",
            of.short
        );
        bar(&mut text, &what, above, &time_cell(above), |above| above < MS);
        let met = samples.median((first, &phase, "short_met_percent"));
        let what = format!("deadlines of {} met at {phase}, at least 99.9 %", of.short);
        bar(&mut text, &what, met, &cell(met, 3, " %"), |met| met >= 99.9);
    }
    let kept = loss(samples, of, first);
    let what = format!("throughput of {} beside {}, at least 0.97", of.long, of.reference);
    bar(&mut text, &what, kept, &cell(kept, 3, ""), |kept| kept >= 0.97);
    text
}

fn curves(samples: &Samples, of: &Mixed, names: &[String]) -> Vec<Series> {
    let of_name = |name: &String| {
        let at = |load: f64, phase: &str| Some((load, samples.median((name, phase, "short_p99_ns"))?));
        let loaded = of.loads.iter().filter_map(|load| at(*load, &phase_of(*load)));
        Series {
            name: name.clone(),
            points: at(0.0, IDLE).into_iter().chain(loaded).collect(),
        }
    };
    names.iter().map(of_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Samples {
        let mut samples = Samples::default();
        for round in 1..=3 {
            let scale = f64::from(round);
            samples.add(round, ("luge", IDLE), "short_p99_ns", 0.2 * MS * scale);
            samples.add(round, ("luge", "50 %"), "short_p99_ns", 0.5 * MS * scale);
            samples.add(round, ("luge", "50 %"), "short_met_percent", 99.95);
            samples.add(round, ("luge", SATURATED), "long_per_s", 30.0 * scale);
            samples.add(round, ("off", SATURATED), "long_per_s", 32.0 * scale);
        }
        samples
    }

    fn of() -> Mixed {
        Mixed {
            short: "short".to_owned(),
            rate: 200.0,
            long: "long".to_owned(),
            loads: vec![50.0],
            reference: "off".to_owned(),
        }
    }

    #[test]
    fn bars_compare_figures_of_one_round() {
        let text = bars(&samples(), &of(), "luge");
        // 0.3, 0.6 and 0.9 ms above; 30 / 32 of the throughput.
        assert!(text.contains("600us: met"), "{text}");
        assert!(text.contains("99.950 %: met"), "{text}");
        assert!(text.contains("0.938: MISSED"), "{text}");
    }

    #[test]
    fn curves_have_a_point_for_each_load() {
        let curves = curves(&samples(), &of(), &["luge".to_owned()]);
        assert_eq!(curves[0].points, [(0.0, 0.4 * MS), (50.0, 1.0 * MS)]);
    }

    #[test]
    fn a_figure_that_was_not_taken_is_no_figure() {
        let text = latencies(&samples(), &of(), &["cgi".to_owned()]);
        assert!(
            text.lines().nth(2).is_some_and(|line| line.contains("| -")),
            "{text}"
        );
        assert!(bars(&Samples::default(), &of(), "luge").contains("not measured"));
    }
}
