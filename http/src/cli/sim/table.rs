//! The figures as a table, a line for each number of cores, policy and load.

use std::io::{self, Write};
use std::time::Duration;

use luge_shards::sim::{ClassTally, Scenario};

use super::Point;

pub(super) fn write(scenario: Scenario, points: &[Point], out: &mut impl Write) -> io::Result<()> {
    let mut cores = None;
    for point in points {
        if cores.replace(point.cores) != Some(point.cores) {
            heading(scenario, point, out)?;
        }
        line(point, out)?;
    }
    Ok(())
}

fn heading(scenario: Scenario, point: &Point, out: &mut impl Write) -> io::Result<()> {
    let names: Vec<_> = point.tally.classes.iter().map(|class| class.name).collect();
    let names = names.join(", ");
    writeln!(
        out,
        "{}, {} cores; classes: {names}",
        scenario.name(),
        point.cores
    )?;
    writeln!(
        out,
        "{:<12} {:>5} {:>8} {:>8} {:>9} {:>9} {:>9} {:>8} {:>7} {:>8} {:>8}",
        "policy",
        "load",
        "missed",
        "refused",
        "short bad",
        "short p50",
        "short p99",
        "goodput",
        "busy",
        "spills",
        "steals"
    )
}

fn line(point: &Point, out: &mut impl Write) -> io::Result<()> {
    let tally = &point.tally;
    let (all, short) = (tally.all(), &tally.classes[0]);
    writeln!(
        out,
        "{:<12} {:>5} {:>8} {:>8} {:>9} {:>9} {:>9} {:>8} {:>7} {:>8} {:>8}",
        point.policy,
        point.load,
        percent(all.miss_rate()),
        percent(all.refusal_rate()),
        percent(short.failure_rate()),
        latency(short, 0.5),
        latency(short, 0.99),
        percent(tally.goodput()),
        percent(tally.utilisation()),
        tally.spills,
        tally.steals
    )
}

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

fn latency(class: &ClassTally, quantile: f64) -> String {
    class.latency(quantile).map_or_else(|| "-".to_owned(), time)
}

/// Three figures and a unit.
pub(super) fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1e3 => format!("{micros:.0} us"),
        ..1e4 => format!("{:.2} ms", micros / 1e3),
        ..1e5 => format!("{:.1} ms", micros / 1e3),
        ..1e6 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_figures() {
        let shown = [93, 1_500, 15_000, 150_000, 1_500_000].map(|micros| time(Duration::from_micros(micros)));
        assert_eq!(shown, ["93 us", "1.50 ms", "15.0 ms", "150 ms", "1.50 s"]);
    }
}
