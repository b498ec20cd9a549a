//! The report as a table for a terminal.

use std::fmt::Write;

use super::report::{ClassReport, Percentiles, Report, Server, Trust};
use super::units::duration_text;

/// The report as text: latencies by class, what went wrong, the server's costs, and whether to believe it.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    let seconds = report.measured_ns as f64 / 1e9;
    let Report {
        target, mode, seed, ..
    } = report;
    line(
        &mut text,
        format_args!("{target}, {mode} loop, {seconds:.2} s measured, seed {seed}\n"),
    );
    head(&mut text);
    let is_single = report.classes.len() == 1;
    for class in report.classes.iter().chain((!is_single).then_some(&report.total)) {
        rows(&mut text, class, report.mode == "closed");
    }
    line(&mut text, format_args!(""));
    for class in &report.classes {
        counts(&mut text, class);
    }
    if let Some(server) = &report.server {
        costs(&mut text, server);
    }
    if let Some(why) = &report.server_lost {
        line(
            &mut text,
            format_args!("WARNING: no figures of the server: {why}"),
        );
    }
    let generator = &report.generator;
    line(
        &mut text,
        format_args!(
            "generator: {} thread{}, busiest {:.0} % of a core",
            generator.threads,
            if generator.threads == 1 { "" } else { "s" },
            generator.busiest_share * 100.0
        ),
    );
    verdict(&mut text, report);
    text
}

fn head(text: &mut String) {
    line(
        text,
        format_args!(
            "{:<14} {:>12} {:<10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "class", "good/s", "from", "mean", "p50", "p90", "p99", "p99.9", "max"
        ),
    );
}

fn rows(text: &mut String, class: &ClassReport, is_closed: bool) {
    let good = format!("{:.1}", class.good_per_second);
    row(
        text,
        &class.name,
        &good,
        if is_closed { "send" } else { "intended" },
        &class.latency,
    );
    if !is_closed {
        row(text, "", "", "send", &class.latency_from_send);
        row(text, "", "", "lateness", &class.lateness);
    }
    if class.rejected.count > 0 {
        row(text, "", "", "rejected", &class.rejected);
    }
}

fn row(text: &mut String, name: &str, good: &str, from: &str, times: &Percentiles) {
    let Percentiles {
        p50_ns,
        p90_ns,
        p99_ns,
        p999_ns,
        max_ns,
        ..
    } = *times;
    let values = [times.mean_ns as u64, p50_ns, p90_ns, p99_ns, p999_ns, max_ns];
    let _ = write!(text, "{name:<14} {good:>12} {from:<10}");
    for value in values {
        let shown = if times.count == 0 {
            "-".to_owned()
        } else {
            duration_text(value)
        };
        let _ = write!(text, " {shown:>8}");
    }
    text.push('\n');
}

fn counts(text: &mut String, class: &ClassReport) {
    let _ = write!(text, "{}: {} requests", class.name, class.scheduled);
    for (status, count) in &class.statuses {
        let _ = write!(text, ", {count} x {status}");
    }
    for (kind, count) in &class.errors {
        let _ = write!(text, ", {count} x {kind}");
    }
    for (count, what) in [
        (class.shed, "shed"),
        (class.resent, "sent again"),
        (class.connections, "connections opened"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if let Some(deadlines) = class.deadlines {
        let missed = deadlines.late + deadlines.failed;
        let percent = missed as f64 * 100.0 / class.scheduled.max(1) as f64;
        let _ = write!(
            text,
            "; {missed} deadlines missed ({percent:.2} %: {} late, {} without a good answer)",
            deadlines.late, deadlines.failed
        );
    }
    text.push('\n');
}

fn costs(text: &mut String, server: &Server) {
    let usage = &server.usage;
    line(
        text,
        format_args!(
            "server {} ({}): {} CPU an answer ({:.2} s user, {:.2} s system), {:.2} context switches an answer",
            usage.name,
            usage.pid,
            duration_text(server.cpu_ns_per_answer as u64),
            usage.user_seconds,
            usage.system_seconds,
            server.switches_per_answer
        ),
    );
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let _ = write!(
        text,
        "  {:.1} MiB resident, at most {:.1}; {} threads; {} page faults",
        mib(usage.resident_bytes),
        mib(usage.resident_peak_bytes),
        usage.threads,
        usage.minor_faults + usage.major_faults
    );
    match server.read_write_calls_per_answer {
        Some(calls) => line(
            text,
            format_args!(
                "; {calls:.2} read and write calls an answer (send, recv, epoll and io_uring are not in /proc)"
            ),
        ),
        None => line(text, format_args!("; /proc/{}/io may not be read", usage.pid)),
    }
}

fn verdict(text: &mut String, report: &Report) {
    match report.generator.trust {
        Trust::Good => {}
        Trust::Doubtful => line(
            text,
            format_args!(
                "WARNING: more than a tenth of the p99 is the generator's own lateness, or it had no time left; try --spin, \
                 more --threads or a quieter machine"
            ),
        ),
        Trust::None => line(
            text,
            format_args!(
                "NOT TRUSTWORTHY: more than half of the latency is the generator's own lateness. Lower the rate, raise --threads, \
                 use --spin, or give the generator a core of its own"
            ),
        ),
    }
    let shed = report.total.shed;
    if shed > 0 {
        line(
            text,
            format_args!(
                "WARNING: {shed} requests were shed: the percentiles are those of the others. The server is overloaded, or \
                 max_in_flight is too low for the rate"
            ),
        );
    }
    let failed: u64 = ["connect", "reset", "bad_answer"]
        .iter()
        .filter_map(|kind| report.total.errors.get(kind))
        .sum();
    if failed > 0 {
        line(
            text,
            format_args!(
                "WARNING: {failed} requests failed without an answer: the percentiles are those of the others"
            ),
        );
    }
    let local = report.total.errors.get("local").copied().unwrap_or(0);
    if local > 0 {
        line(
            text,
            format_args!("WARNING: for {local} requests the generator had no descriptor or port left"),
        );
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{arguments}");
}
