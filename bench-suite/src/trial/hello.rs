//! `hello`: what an empty function in a fresh sandbox costs, beside a server on which nothing runs.
//!
//! Keep-alive connections, on each one request after another. The server's CPU time for an answer is user and system time of
//! its whole process by `/proc`, the generator's own not in it. System calls are counted in a phase of their own, because counting
//! slows the server: by `perf stat` where the kernel lets it, which slows it little, or else by `strace -c`.
//!
//! **Scaling.** Server and generator share the cores, so requests a second on two cores say as much of the generator as of the server.
//! What does not depend on it is the CPU time that an answer takes: two cores that the server had to itself would serve
//! `2 / (CPU time on two)`, one core `1 / (CPU time on one)`. Their ratio is the scaling that is reported: 2 where an answer costs the same,
//! 1.8 where it costs a ninth more. Time that a shard waits for another without using its core is not in it; an empty function
//! on connections of its own shard has nothing to wait for.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::bench::Bench;
use super::definition::Hello;
use super::samples::{Samples, Table, bar, cell, time_cell};
use super::{Outcome, TrialError};
use crate::load::{Mode, Plan};

const PHASE: &str = "hello";
/// Requests whose system calls are counted.
const TRACED_REQUESTS: u64 = 20_000;
/// A tracer needs so long to attach to all threads.
const ATTACH: Duration = Duration::from_millis(500);

/// Who counts system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tracer {
    Perf,
    Strace,
}

/// Runs it.
pub(super) fn run(bench: &mut Bench<'_>, of: &Hello) -> Result<Outcome, TrialError> {
    for round in 1..=bench.rounds {
        for variant in bench.order(round) {
            let name = bench.running[variant].name.clone();
            bench.say(&format!("round {round} of {}: {name}", bench.rounds));
            cpu_phase(bench, of, (round, variant))?;
        }
    }
    for variant in 0..bench.running.len() {
        let name = bench.running[variant].name.clone();
        bench.say(&format!("system calls: {name}"));
        calls_phase(bench, of, variant)?;
    }
    let names: Vec<_> = bench.running.iter().map(|running| running.name.clone()).collect();
    let mut text = table(&bench.samples, of, &names);
    text += &bars(&bench.samples, of, &names[0]);
    text += &format!(
        "\n{} rounds of {:?}, {} connections\n",
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

fn plan(bench: &Bench<'_>, of: &Hello, variant: usize) -> Plan {
    let mut class = bench.class(&of.function, 1.0);
    class.opened = of.connections;
    bench.plan(variant, Mode::Closed, vec![class])
}

fn cpu_phase(bench: &mut Bench<'_>, of: &Hello, (round, variant): (u32, usize)) -> Result<(), TrialError> {
    let report = bench.run(variant, PHASE, &plan(bench, of, variant))?;
    let name = bench.running[variant].name.clone();
    let key = (name.as_str(), PHASE);
    if let Some(server) = &report.server {
        bench.samples.add(round, key, "cpu_ns", server.cpu_ns_per_answer);
        bench
            .samples
            .add(round, key, "switches", server.switches_per_answer);
    }
    bench
        .samples
        .add(round, key, "per_s", report.total.good_per_second);
    bench
        .samples
        .add(round, key, "p50_ns", report.total.latency.p50_ns as f64);
    let generator = report.generator.cpu_ns as f64 / report.measured_ns as f64;
    bench.samples.add(round, key, "generator_cores", generator);
    Ok(())
}

/// Counts the system calls of a bounded number of requests, by the first tracer that works.
fn calls_phase(bench: &mut Bench<'_>, of: &Hello, variant: usize) -> Result<(), TrialError> {
    let name = bench.running[variant].name.clone();
    for tracer in [Tracer::Perf, Tracer::Strace] {
        let file = tempfile::NamedTempFile::new()?;
        let Ok(child) = tracer.attach(bench.running[variant].server.pid(), file.path()) else {
            continue;
        };
        std::thread::sleep(ATTACH);
        let mut plan = plan(bench, of, variant);
        plan.warmup = Duration::ZERO;
        plan.duration = Duration::from_secs(60);
        plan.requests = Some(TRACED_REQUESTS);
        // Once, as the tracer counts as well what would be measured again.
        let report = bench.run_once(variant, "system calls", &plan);
        // An interrupt makes either write its figures and let go.
        let pid = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        child.wait_with_output()?;
        let report = report?;
        let text = std::fs::read_to_string(file.path())?;
        if let Some(calls) = tracer.calls(&text) {
            let each = calls / report.total.good as f64;
            bench.samples.add(1, (&name, PHASE), tracer.metric(), each);
            bench.samples.add(1, (&name, PHASE), "calls", each);
            return Ok(());
        }
    }
    bench.notice(&format!(
        "no system calls of {name}: neither perf nor strace may count them"
    ));
    Ok(())
}

impl Tracer {
    fn attach(self, pid: u32, file: &Path) -> std::io::Result<Child> {
        let mut command = match self {
            Tracer::Perf => {
                let mut command = Command::new("perf");
                command.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o"]);
                command
            }
            Tracer::Strace => {
                let mut command = Command::new("strace");
                command.args(["-f", "-c", "-o"]);
                command
            }
        };
        command.arg(file).args(["-p", &pid.to_string()]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }

    /// System calls in what it wrote; none where it could not count.
    fn calls(self, text: &str) -> Option<f64> {
        match self {
            Tracer::Perf => {
                let line = text
                    .lines()
                    .find(|line| line.contains("raw_syscalls:sys_enter"))?;
                line.split(',').next()?.parse().ok()
            }
            Tracer::Strace => {
                let line = text.lines().find(|line| line.ends_with(" total"))?;
                line.split_ascii_whitespace().nth(3)?.parse().ok()
            }
        }
    }

    fn metric(self) -> &'static str {
        match self {
            Tracer::Perf => "calls_by_perf",
            Tracer::Strace => "calls_by_strace",
        }
    }
}

fn scaling(samples: &Samples, [one, two]: &[String; 2]) -> Option<f64> {
    samples.paired((one, PHASE, "cpu_ns"), (two, PHASE, "cpu_ns"), |one, two| {
        2.0 * one / two
    })
}

fn ratio(samples: &Samples, [own, peer]: &[String; 2]) -> Option<f64> {
    samples.paired((own, PHASE, "cpu_ns"), (peer, PHASE, "cpu_ns"), |own, peer| {
        own / peer
    })
}

fn table(samples: &Samples, of: &Hello, names: &[String]) -> String {
    let mut table = Table::new(&[
        "server",
        "CPU an answer",
        "system calls",
        "switches",
        "requests/s",
        "p50",
        "generator",
    ]);
    for name in names {
        let median = |metric| samples.median((name, PHASE, metric));
        table.row([
            name.clone(),
            time_cell(median("cpu_ns")),
            cell(median("calls"), 3, ""),
            cell(median("switches"), 3, ""),
            cell(median("per_s"), 0, ""),
            time_cell(median("p50_ns")),
            cell(median("generator_cores").map(|cores| cores * 100.0), 0, " %"),
        ]);
    }
    let mut ratios = Table::new(&["", "median of the rounds' ratios"]);
    for pair in &of.ratios {
        ratios.row([
            format!("CPU of {} by {}", pair[0], pair[1]),
            cell(ratio(samples, pair), 3, ""),
        ]);
    }
    for pair in &of.scaling {
        ratios.row([
            format!("scaling, {} to {}", pair[0], pair[1]),
            cell(scaling(samples, pair), 3, ""),
        ]);
    }
    format!("{}\n{}", table.text(), ratios.text())
}

fn bars(samples: &Samples, of: &Hello, first: &str) -> String {
    let mut text = "\n".to_owned();
    let calls = samples.median((first, PHASE, "calls"));
    let what = format!("system calls a request of {first}, below 0.5");
    bar(&mut text, &what, calls, &cell(calls, 3, ""), |calls| calls < 0.5);
    if let Some(pair) = of.ratios.first() {
        let found = ratio(samples, pair);
        let what = format!("CPU time of {} by {}, at most 1", pair[0], pair[1]);
        bar(&mut text, &what, found, &cell(found, 3, ""), |found| found <= 1.0);
    }
    if let Some(pair) = of.scaling.first() {
        let found = scaling(samples, pair);
        let what = format!("{} serves what {} does, at least 1.8 times", pair[1], pair[0]);
        bar(&mut text, &what, found, &cell(found, 3, ""), |found| found >= 1.8);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracers_are_understood() {
        let perf = "# started on Sat\n\n41234,,raw_syscalls:sys_enter,80123456,100.00,,\n";
        assert_eq!(Tracer::Perf.calls(perf), Some(41234.0));
        let refused = "<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n";
        assert_eq!(Tracer::Perf.calls(refused), None);
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      \x2099.00    0.100000           5     20000         2 io_uring_enter\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      100.00    0.101000           5     20100         2 total\n";
        assert_eq!(Tracer::Strace.calls(strace), Some(20100.0));
        assert_eq!(Tracer::Strace.calls(""), None);
    }

    #[test]
    fn two_cores_serve_by_what_an_answer_costs_on_them() {
        let mut samples = Samples::default();
        for (round, one, two) in [(1, 9000.0, 10_000.0), (2, 18_000.0, 20_000.0)] {
            samples.add(round, ("luge-1", PHASE), "cpu_ns", one);
            samples.add(round, ("luge-2", PHASE), "cpu_ns", two);
        }
        let pair = ["luge-1".to_owned(), "luge-2".to_owned()];
        assert_eq!(scaling(&samples, &pair), Some(1.8));
        assert_eq!(ratio(&samples, &pair), Some(0.9));
    }
}
