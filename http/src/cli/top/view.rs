//! The tables: shards, functions, and how much time to spare runs had.

use std::io::{self, Write};

use super::reading::{Buckets, Change, FunctionChange, ShardChange};

/// What part of all each bar is for: above so much. An eighth of a line's height each.
const BARS: [(f64, char); 8] = [
    (0.0, '▁'),
    (0.125, '▂'),
    (0.25, '▃'),
    (0.375, '▄'),
    (0.5, '▅'),
    (0.625, '▆'),
    (0.75, '▇'),
    (0.875, '█'),
];

/// Writes what has happened at `server`; of the functions, the first `functions_max`.
pub(super) fn write(
    server: &str,
    change: &Change,
    functions_max: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(
        out,
        "luge at {server}, {} shards, {} functions, {:.1} s",
        change.shards.len(),
        change.functions.len(),
        change.time.as_secs_f64()
    )?;
    writeln!(out)?;
    write_shards(&change.shards, out)?;
    writeln!(out)?;
    write_functions(&change.functions, functions_max, out)?;
    writeln!(out)?;
    write_slack(&change.slack, out)
}

fn write_shards(shards: &[ShardChange], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>5} {:>6} {:>6} {:>7} {:>7} {:>8} {:>9} {:>11} {:>10} {:>8} {:>7} {:>8} {:>8}",
        "shard",
        "busy",
        "queue",
        "started",
        "blocked",
        "missed/s",
        "preempt/s",
        "spill out/s",
        "spill in/s",
        "stolen/s",
        "given/s",
        "hand p50",
        "hand p99"
    )?;
    for shard in shards {
        let [busy, missed, preemptions, spilled_out, spilled_in, stolen, given] = shard.rates;
        writeln!(
            out,
            "{:>5} {:>6} {:>6} {:>7} {:>7} {:>8} {:>9} {:>11} {:>10} {:>8} {:>7} {:>8} {:>8}",
            shard.name,
            percent(busy),
            shard.queue,
            shard.running,
            shard.blocked,
            rate(missed),
            rate(preemptions),
            rate(spilled_out),
            rate(spilled_in),
            rate(stolen),
            rate(given),
            time(shard.handoffs.quantile(0.5)),
            time(shard.handoffs.quantile(0.99))
        )?;
    }
    Ok(())
}

fn write_functions(functions: &[FunctionChange], max: usize, out: &mut impl Write) -> io::Result<()> {
    let shown = &functions[..functions.len().min(max)];
    let widest = shown.iter().map(|function| function.name.chars().count()).max();
    let width = widest.unwrap_or(0).max("function".len());
    writeln!(
        out,
        "{:<width$} {:>10} {:>8} {:>6} {:>12} {:>12}",
        "function", "requests/s", "errors/s", "busy", "estimate p50", "estimate p99"
    )?;
    for function in shown {
        let [median, p99] = function.estimate;
        writeln!(
            out,
            "{:<width$} {:>10} {:>8} {:>6} {:>12} {:>12}",
            function.name,
            rate(function.requests),
            rate(function.failures),
            percent(function.utilisation),
            time(median),
            time(p99)
        )?;
    }
    match functions.len() - shown.len() {
        0 => Ok(()),
        more => writeln!(out, "... and {more} that use less"),
    }
}

/// The distribution as bars over their parts of all, one column for each range of slack.
fn write_slack(slack: &Buckets, out: &mut impl Write) -> io::Result<()> {
    let all = slack.count();
    if all == 0.0 {
        return writeln!(out, "slack at admission: nothing was admitted");
    }
    writeln!(out, "slack at admission, of {all} runs; up to")?;
    let (mut bounds, mut bars, mut parts) = (String::new(), String::new(), String::new());
    for (bound, here) in slack.each() {
        let bound = match bound {
            0.0 => "none".to_owned(),
            bound if bound.is_finite() => time(Some(bound)),
            _ => "more".to_owned(),
        };
        bounds += &format!("{bound:>8}");
        bars += &format!("{:>8}", bar(here / all).to_string().repeat(3));
        parts += &format!("{:>8}", percent(here / all));
    }
    writeln!(out, "{bounds}\n{}\n{parts}", bars.trim_end())
}

/// Whatever is more than nothing is seen.
fn bar(part: f64) -> char {
    let bar = BARS.iter().rev().find(|(above, _)| part > *above);
    bar.map_or(' ', |(_, bar)| *bar)
}

fn percent(part: f64) -> String {
    format!("{:.1}%", part * 100.0)
}

fn rate(per_second: f64) -> String {
    match per_second {
        ..9.95 => format!("{per_second:.1}"),
        ..99_999.5 => format!("{per_second:.0}"),
        _ => format!("{:.0}k", per_second / 1e3),
    }
}

/// Up to three figures and a unit.
fn time(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else {
        return "-".to_owned();
    };
    let (value, unit) = match seconds {
        ..1e-6 => (seconds * 1e9, "ns"),
        ..1e-3 => (seconds * 1e6, "us"),
        ..1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    // A whole number of figures would round 9.99 up to 10.0 and 99.9 to 100.
    let figures = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    let number = format!("{value:.figures$}");
    let number = if figures > 0 {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        &number
    };
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn change() -> Change {
        let shard = |name: &str, busy, handoffs| ShardChange {
            name: name.to_owned(),
            queue: 12.0,
            running: 3.0,
            blocked: 1.0,
            rates: [busy, 0.5, 250.0, 40.0, 0.0, 0.0, 120_000.0],
            handoffs,
        };
        let function = |name: &str, requests, estimate| FunctionChange {
            name: name.to_owned(),
            requests,
            failures: 0.25,
            utilisation: 0.875,
            estimate,
        };
        Change {
            time: Duration::from_millis(1004),
            shards: vec![
                shard(
                    "0",
                    0.953,
                    Buckets::of(&[(256e-9, 8.0), (512e-9, 8.0), (1e-6, 10.0), (f64::INFINITY, 10.0)]),
                ),
                shard("1", 0.0, Buckets::default()),
            ],
            functions: vec![
                function("fibonacci", 1234.0, [Some(0.000_05), Some(0.061)]),
                function("hash", 0.0, [None, None]),
                function("idle", 0.0, [None, None]),
            ],
            slack: Buckets::of(&[
                (0.0, 1.0),
                (1e-4, 1.0),
                (1e-3, 41.0),
                (1.0, 61.0),
                (f64::INFINITY, 100.0),
            ]),
        }
    }

    #[test]
    fn the_tables_are_laid_out() {
        let mut out = Vec::new();
        write("127.0.0.1:9090", &change(), 2, &mut out).unwrap();
        let expected = "\
luge at 127.0.0.1:9090, 2 shards, 3 functions, 1.0 s

shard   busy  queue started blocked missed/s preempt/s spill out/s spill in/s stolen/s given/s hand p50 hand p99
    0  95.3%     12       3       1      0.5       250          40        0.0      0.0    120k   160 ns   976 ns
    1   0.0%     12       3       1      0.5       250          40        0.0      0.0    120k        -        -

function  requests/s errors/s   busy estimate p50 estimate p99
fibonacci       1234      0.2  87.5%        50 us        61 ms
hash             0.0      0.2  87.5%            -            -
... and 1 that use less

slack at admission, of 100 runs; up to
    none  100 us    1 ms     1 s    more
     ▁▁▁             ▄▄▄     ▂▂▂     ▄▄▄
    1.0%    0.0%   40.0%   20.0%   39.0%
";
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn without_runs_there_is_no_distribution() {
        let mut out = Vec::new();
        write_slack(&Buckets::of(&[(0.0, 0.0), (f64::INFINITY, 0.0)]), &mut out).unwrap();
        assert_eq!(out, b"slack at admission: nothing was admitted\n");
    }

    #[test]
    fn numbers_keep_their_columns() {
        let times = [0.0, 256e-9, 1.5e-6, 61e-6, 0.000_999, 0.0125, 0.1, 1.0, 90.0];
        let shown = times.map(|seconds| time(Some(seconds)));
        assert_eq!(
            shown,
            [
                "0 ns", "256 ns", "1.5 us", "61 us", "999 us", "12.5 ms", "100 ms", "1 s", "90 s"
            ]
        );
        let shown = [0.0, 9.94, 9.96, 1234.4, 99_999.0, 1e6].map(rate);
        assert_eq!(shown, ["0.0", "9.9", "10", "1234", "99999", "1000k"]);
        assert_eq!(
            [0.0, 0.001, 0.125, 0.5, 0.51, 1.0].map(bar),
            [' ', '▁', '▁', '▄', '▅', '█']
        );
    }
}
