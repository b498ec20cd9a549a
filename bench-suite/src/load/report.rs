//! The figures of a run, ready to be shown, written as JSON, or drawn.
//!
//! All durations are whole nanoseconds, and their names say so. Percentiles are those of [`super::Latency`]: good answers, and
//! requests that were given up with the time they had waited.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::plan::{Class, Mode, Path, Plan};
use super::process::Usage;
use super::record::{ErrorKind, Record};
use super::taken::Taken;

/// Lateness at the 99th percentile beyond this share of the latency there is worth a warning.
const LATE_SHARE_WARNING: f64 = 0.1;
/// Beyond this share, at the median or the 99th percentile, the figures are the generator's and not the server's.
const LATE_SHARE_MAX: f64 = 0.5;
/// A worker of the open loop that needs more of a core than this is worth a warning.
const BUSY_SHARE_MAX: f64 = 0.9;

/// A finished run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Address of the server.
    pub target: String,
    /// `open` or `closed`.
    pub mode: &'static str,
    /// The seed of all arrivals.
    pub seed: u64,
    /// Measured time: from the end of the warm-up to the last start or the last answer, whichever is later.
    pub measured_ns: u64,
    /// Each class, in the plan's order.
    pub classes: Vec<ClassReport>,
    /// All classes together.
    pub total: ClassReport,
    /// The generator's own state.
    pub generator: Generator,
    /// What the server's process used, when it was given.
    pub server: Option<Server>,
    /// Why there is nothing of it although it was given: it ended during the run, for instance.
    pub server_lost: Option<String>,
    /// What was taken of the cores by the plan's looks.
    #[serde(skip)]
    pub taken: Vec<Taken>,
}

/// The figures of a class.
#[derive(Debug, Clone, Serialize)]
pub struct ClassReport {
    /// Its name.
    pub name: String,
    /// What it asks for.
    pub request: String,
    /// Its rate in the plan, requests a second; none in the closed loop.
    pub planned_rate: Option<f64>,
    /// Requests that were due in the measured time.
    pub scheduled: u64,
    /// Of these, not sent because the bound on requests in flight was reached.
    pub shed: u64,
    /// Good answers.
    pub good: u64,
    /// Good answers a second of measured time.
    pub good_per_second: f64,
    /// Answers of any status a second of measured time.
    pub answers_per_second: f64,
    /// Bytes of answers' bodies.
    pub body_bytes: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer, by kind; kinds that did not occur are left out.
    pub errors: BTreeMap<&'static str, u64>,
    /// Requests sent again because an idle connection had been closed by the server.
    pub resent: u64,
    /// Connections opened during the run, warm-up included; those opened before are not in it.
    pub connections: u64,
    /// Deadlines, where the class has one.
    pub deadlines: Option<Deadlines>,
    /// From the intended start.
    pub latency: Percentiles,
    /// From the first byte sent.
    pub latency_from_send: Percentiles,
    /// Answers that are not good, from the intended start.
    pub rejected: Percentiles,
    /// Answers 429 and 503 alone, from the intended start.
    pub refused: Percentiles,
    /// The generator's lateness.
    pub lateness: Percentiles,
    /// What the histograms hold, for the chart.
    #[serde(skip)]
    pub record: Record,
}

/// How deadlines were kept. Every scheduled request is in exactly one of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Deadlines {
    /// Good answers in time, counted from the intended start.
    pub met: u64,
    /// Good answers too late.
    pub late: u64,
    /// Without a good answer: rejected, failed or shed.
    pub failed: u64,
}

/// A distribution of times, in nanoseconds; all 0 when `count` is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many values.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_ns: f64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// The largest value.
    pub max_ns: u64,
}

/// The generator's own state.
#[derive(Debug, Clone, Serialize)]
pub struct Generator {
    /// Workers.
    pub threads: usize,
    /// CPU time of the busiest worker by the time of the run: near 1, the generator is the limit. 1 is normal when it spins.
    pub busiest_share: f64,
    /// CPU time of all workers, in nanoseconds.
    pub cpu_ns: u64,
    /// Whether its lateness leaves the figures worth anything.
    pub trust: Trust,
}

/// How far the generator's own lateness spoils the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Lateness is small beside the latencies.
    Good,
    /// More than a tenth of the 99th percentile is the generator's own lateness; or a worker of the open loop had hardly
    /// any time left, so that answers waited for it too, which no lateness shows.
    Doubtful,
    /// More than half is: the figures are the generator's, not the server's.
    None,
}

/// What the server's process used in the measured time, and for each answer.
#[derive(Debug, Clone, Serialize)]
pub struct Server {
    /// What `/proc` says.
    #[serde(flatten)]
    pub usage: Usage,
    /// CPU time, user and system, by answers of any status.
    pub cpu_ns_per_answer: f64,
    /// Calls of read(2), write(2) and kin by answers: not all system calls, see [`Usage::read_calls`].
    pub read_write_calls_per_answer: Option<f64>,
    /// Context switches, voluntary and not, by answers.
    pub switches_per_answer: f64,
}

/// What the workers measured.
pub(super) struct Measured {
    pub(super) records: Vec<Record>,
    pub(super) stopped_ns: u64,
    pub(super) cpu: Duration,
    pub(super) busiest: Duration,
    pub(super) wall: Duration,
    pub(super) taken: Vec<Taken>,
}

impl Report {
    pub(super) fn new(plan: &Plan, measured: Measured, usage: Option<Result<Usage, String>>) -> Report {
        let (usage, server_lost) = match usage {
            Some(Ok(usage)) => (Some(usage), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        let mut total = Record::default();
        for record in &measured.records {
            total.add(record);
        }
        let end = total.last_answer_ns.max(measured.stopped_ns);
        let measured_ns = end.saturating_sub(plan.warmup.as_nanos() as u64).max(1);
        let answers = total.answers().max(1) as f64;
        let server = usage.map(|usage| Server {
            cpu_ns_per_answer: (usage.user_seconds + usage.system_seconds) * 1e9 / answers,
            read_write_calls_per_answer: usage
                .read_calls
                .zip(usage.write_calls)
                .map(|(reads, writes)| (reads + writes) as f64 / answers),
            switches_per_answer: (usage.voluntary_switches + usage.involuntary_switches) as f64 / answers,
            usage,
        });
        let busiest_share = measured.busiest.as_secs_f64() / measured.wall.as_secs_f64().max(1e-9);
        let deadlines: Vec<_> = plan
            .classes
            .iter()
            .zip(&measured.records)
            .filter_map(deadlines)
            .collect();
        let classes: Vec<_> = plan
            .classes
            .iter()
            .zip(measured.records)
            .map(|(class, record)| ClassReport::of(plan, class, record, measured_ns))
            .collect();
        let mut total = ClassReport::new("all", measured_ns, total);
        total.planned_rate = classes.iter().map(|class| class.planned_rate).sum();
        total.deadlines = deadlines.into_iter().reduce(|one, other| Deadlines {
            met: one.met + other.met,
            late: one.late + other.late,
            failed: one.failed + other.failed,
        });
        Report {
            target: plan.target.address.to_string(),
            mode: match plan.mode {
                Mode::Open => "open",
                Mode::Closed => "closed",
            },
            seed: plan.seed,
            measured_ns,
            generator: Generator {
                threads: plan.threads,
                busiest_share,
                cpu_ns: measured.cpu.as_nanos() as u64,
                trust: classes
                    .iter()
                    .map(Trust::of)
                    .chain([Trust::of_worker(plan, busiest_share)])
                    .max_by_key(|trust| *trust as u8)
                    .unwrap_or(Trust::Good),
            },
            classes,
            total,
            server,
            server_lost,
            taken: measured.taken,
        }
    }
}

fn deadlines((class, record): (&Class, &Record)) -> Option<Deadlines> {
    class.deadline?;
    Some(Deadlines {
        met: record.good - record.late,
        late: record.late,
        failed: record.scheduled - record.good,
    })
}

impl ClassReport {
    /// The distribution of the time until an answer of whatever status, from the intended start, with requests that were given up.
    ///
    /// Where a server ends what is too late, good answers alone look fast: the slow ones are no longer among them.
    #[must_use]
    pub fn until_any_answer(&self) -> Percentiles {
        let mut all = self.record.latency.intended.clone();
        all.add(&self.record.rejected).expect("both have the same bounds");
        Percentiles::of(&all)
    }

    fn of(plan: &Plan, class: &Class, record: Record, measured_ns: u64) -> ClassReport {
        let path = match &class.path {
            Path::Fixed(path) => path.clone(),
            Path::Numbered {
                before,
                after,
                routes,
                ..
            } => format!("{before}1..{routes}{after}"),
        };
        let deadlines = deadlines((class, &record));
        ClassReport {
            request: format!("{} {path}", class.method),
            planned_rate: (plan.mode == Mode::Open).then_some(class.rate),
            deadlines,
            ..ClassReport::new(&class.name, measured_ns, record)
        }
    }

    fn new(name: &str, measured_ns: u64, record: Record) -> ClassReport {
        let seconds = measured_ns as f64 / 1e9;
        let errors = ErrorKind::ALL.map(|kind| (kind.name(), record.errors(kind)));
        ClassReport {
            name: name.to_owned(),
            request: String::new(),
            planned_rate: None,
            scheduled: record.scheduled,
            shed: record.shed,
            good: record.good,
            good_per_second: record.good as f64 / seconds,
            answers_per_second: record.answers() as f64 / seconds,
            body_bytes: record.body_bytes,
            statuses: record.statuses().collect(),
            errors: errors.into_iter().filter(|(_, count)| *count > 0).collect(),
            resent: record.resent,
            connections: record.connections,
            deadlines: None,
            latency: Percentiles::of(&record.latency.intended),
            latency_from_send: Percentiles::of(&record.latency.sent),
            rejected: Percentiles::of(&record.rejected),
            refused: Percentiles::of(&record.refused),
            lateness: Percentiles::of(&record.lateness),
            record,
        }
    }
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Percentiles {
        if histogram.is_empty() {
            return Percentiles::default();
        }
        Percentiles {
            count: histogram.len(),
            mean_ns: histogram.mean(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
        }
    }
}

impl Trust {
    /// Judges the busiest worker by its share of a core. One that spins always has all of it, the closed loop takes what it gets.
    fn of_worker(plan: &Plan, busiest_share: f64) -> Trust {
        if plan.mode == Mode::Open && plan.spin.is_zero() && busiest_share > BUSY_SHARE_MAX {
            Trust::Doubtful
        } else {
            Trust::Good
        }
    }

    /// Judges a class by its lateness beside its latency, both from the intended start.
    fn of(class: &ClassReport) -> Trust {
        if class.latency.count == 0 {
            return Trust::Good;
        }
        let share = |late: u64, latency: u64| late as f64 / latency.max(1) as f64;
        let median = share(class.lateness.p50_ns, class.latency.p50_ns);
        let tail = share(class.lateness.p99_ns, class.latency.p99_ns);
        if median.max(tail) > LATE_SHARE_MAX {
            Trust::None
        } else if tail > LATE_SHARE_WARNING {
            Trust::Doubtful
        } else {
            Trust::Good
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Times;
    use super::*;

    const MS: u64 = 1_000_000;

    /// A class of which every request was `late` and answered after `latency`.
    fn class(late: u64, latency: u64) -> ClassReport {
        let mut record = Record::default();
        for _ in 0..100 {
            record.issued(0, late);
            let times = Times {
                intended: 0,
                sent: Some(late),
                end: latency,
            };
            record.answered(200, true, None, times);
        }
        ClassReport::new("a", 1000 * MS, record)
    }

    #[test]
    fn a_late_generator_is_not_believed() {
        assert_eq!(Trust::of(&class(MS / 100, MS)), Trust::Good);
        assert_eq!(Trust::of(&class(MS / 4, MS)), Trust::Doubtful);
        assert_eq!(Trust::of(&class(MS * 3 / 4, MS)), Trust::None);
        assert_eq!(
            Trust::of(&ClassReport::new("a", MS, Record::default())),
            Trust::Good
        );
    }

    #[test]
    fn a_worker_without_time_left_is_doubted() {
        let (target, _) = super::super::plan::Target::parse("http://127.0.0.1:1", false).expect("a target");
        let mut plan = Plan {
            target,
            mode: Mode::Open,
            seed: 1,
            threads: 1,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(1),
            requests: None,
            drain: Duration::ZERO,
            spin: Duration::ZERO,
            window: Duration::ZERO,
            looks: Vec::new(),
            nice: 0,
            cpus: Vec::new(),
            classes: Vec::new(),
        };
        assert_eq!(Trust::of_worker(&plan, 0.5), Trust::Good);
        assert_eq!(Trust::of_worker(&plan, 0.97), Trust::Doubtful);
        plan.spin = Duration::from_micros(200);
        assert_eq!(Trust::of_worker(&plan, 0.97), Trust::Good);
        plan.spin = Duration::ZERO;
        plan.mode = Mode::Closed;
        assert_eq!(Trust::of_worker(&plan, 0.97), Trust::Good);
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut record = Record::default();
        for ms in 1..=1000 {
            let times = Times {
                intended: 0,
                sent: Some(0),
                end: ms * MS,
            };
            record.answered(200, true, Some(900 * MS), times);
        }
        let report = ClassReport::new("a", 2000 * MS, record);
        let near = |found: u64, expected: u64| found.abs_diff(expected * MS) <= expected * MS / 500;
        let Percentiles {
            p50_ns,
            p90_ns,
            p99_ns,
            p999_ns,
            max_ns,
            ..
        } = report.latency;
        let pairs = [
            (p50_ns, 500),
            (p90_ns, 900),
            (p99_ns, 990),
            (p999_ns, 999),
            (max_ns, 1000),
        ];
        assert!(
            pairs.iter().all(|(found, expected)| near(*found, *expected)),
            "{pairs:?}"
        );
        assert_eq!(report.good_per_second, 500.0);
        assert_eq!(report.record.late, 100);
    }

    #[test]
    fn answers_that_are_not_good_are_waited_for_too() {
        let mut record = Record::default();
        for (status, end) in [(200, MS), (504, 9 * MS), (504, 9 * MS)] {
            let times = Times {
                intended: 0,
                sent: Some(0),
                end,
            };
            record.answered(status, status == 200, None, times);
        }
        let report = ClassReport::new("a", MS, record);
        assert!(report.latency.p50_ns < 2 * MS);
        let any = report.until_any_answer();
        assert!(any.count == 3 && any.p50_ns > 8 * MS, "{any:?}");
        // Neither 429 nor 503.
        assert_eq!(report.refused.count, 0);
    }
}
