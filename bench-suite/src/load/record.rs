//! What a worker writes down of a class: counts, and latencies in histograms of fixed size.
//!
//! Every request that was scheduled ends in exactly one place:
//!
//! ```text
//!   scheduled ─┬─ shed                     no connection was free and no more are allowed
//!              ├─ answered ─┬─ good        in `latency`
//!              │            └─ rejected    any other status: in `rejected`, because a fast 503 is no fast answer
//!              └─ failed, by ErrorKind     timeouts and unfinished ones are in `latency` with the time waited
//! ```
//! The last line keeps a server that never answers some requests from looking fast: their true latency is longer than
//! what is recorded, never shorter.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Histograms tell latencies apart to three digits from a microsecond up and to the nanosecond below, and hold up to two
/// hours; about 270 KiB each. A larger lowest value would make all steps as wide up to two thousand times that value.
const LOWEST_NS: u64 = 1;
const HIGHEST_NS: u64 = 2 * 3600 * 1_000_000_000;
const DIGITS: u8 = 3;

/// Statuses by which a server turns a request away that it could have served at another time.
const REFUSALS: [u16; 2] = [429, 503];

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The connection was refused or could not be made.
    Connect,
    /// The connection ended before the answer began.
    Reset,
    /// No complete answer within the class's timeout.
    Timeout,
    /// What came is no HTTP answer, or only a part of one.
    BadAnswer,
    /// The generator had no file descriptor, port or memory left: not the server's fault.
    Local,
    /// In flight when the time for the last answers was over, or not even sent because the generator was so far behind.
    Unfinished,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [ErrorKind; 6] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::BadAnswer,
        Self::Local,
        Self::Unfinished,
    ];

    /// Its name in tables and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::BadAnswer => "bad_answer",
            Self::Local => "local",
            Self::Unfinished => "unfinished",
        }
    }
}

/// Latencies of good answers and of requests that were given up, in nanoseconds.
#[derive(Debug, Clone)]
pub struct Latency {
    /// From the intended start: what a user waits.
    pub intended: Histogram<u64>,
    /// From the first byte sent: what tools with a closed loop show.
    pub sent: Histogram<u64>,
}

/// What became of the requests whose intended start lies in one window of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// How many there were.
    pub scheduled: u64,
    /// Good answers in time, or good answers where the class has no deadline.
    pub met: u64,
    /// Good answers too late.
    pub late: u64,
    /// Answered 429 or 503: turned away.
    pub refused: u64,
}

/// What became of the requests of a class. Those of the warm-up are not in it.
#[derive(Debug, Clone)]
pub struct Record {
    /// Good answers and requests given up.
    pub latency: Latency,
    /// Answers with another status, from the intended start.
    pub rejected: Histogram<u64>,
    /// Answers 429 and 503 alone, from the intended start: turned away before they ran.
    pub refused: Histogram<u64>,
    /// The generator's own lateness: from the intended start to the moment when the request was issued.
    pub lateness: Histogram<u64>,
    /// Requests whose intended start fell into the measured time.
    pub scheduled: u64,
    /// Of these, not sent because too many were in flight.
    pub shed: u64,
    /// Good answers.
    pub good: u64,
    /// Good answers after the class's deadline.
    pub late: u64,
    /// Requests that were sent again, on a new connection, because a reused one had ended without a byte of an answer.
    pub resent: u64,
    /// Connections opened during the run.
    pub connections: u64,
    /// Bytes of the bodies of answers.
    pub body_bytes: u64,
    /// When the last answer was complete, in nanoseconds from the start of the run.
    pub last_answer_ns: u64,
    /// By intended start; empty unless the plan asks for them.
    pub windows: Vec<Window>,
    window_ns: u64,
    /// What no window takes.
    outside: Window,
    statuses: Vec<u64>,
    errors: [u64; ErrorKind::ALL.len()],
}

/// The times of a request, in nanoseconds from the start of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) intended: u64,
    /// When its first byte was sent, if it was.
    pub(super) sent: Option<u64>,
    pub(super) end: u64,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            latency: Latency {
                intended: histogram(),
                sent: histogram(),
            },
            rejected: histogram(),
            refused: histogram(),
            lateness: histogram(),
            scheduled: 0,
            shed: 0,
            good: 0,
            late: 0,
            resent: 0,
            connections: 0,
            body_bytes: 0,
            last_answer_ns: 0,
            windows: Vec::new(),
            window_ns: 0,
            outside: Window::default(),
            // A status has three digits.
            statuses: vec![0; 1000],
            errors: [0; ErrorKind::ALL.len()],
        }
    }
}

impl Record {
    /// A record with windows of `window_ns` up to `end_ns`; without any where the former is 0.
    pub(super) fn with_windows(window_ns: u64, end_ns: u64) -> Record {
        let count = end_ns.checked_div(window_ns).map_or(0, |count| count + 1);
        Record {
            windows: vec![Window::default(); count as usize],
            window_ns,
            ..Record::default()
        }
    }

    /// Adds what another worker wrote down of the same class, or another class for the total.
    pub fn add(&mut self, other: &Record) {
        for (mine, theirs) in [
            (&mut self.latency.intended, &other.latency.intended),
            (&mut self.latency.sent, &other.latency.sent),
            (&mut self.rejected, &other.rejected),
            (&mut self.refused, &other.refused),
            (&mut self.lateness, &other.lateness),
        ] {
            mine.add(theirs).expect("all have the same bounds");
        }
        self.scheduled += other.scheduled;
        self.shed += other.shed;
        self.good += other.good;
        self.late += other.late;
        self.resent += other.resent;
        self.connections += other.connections;
        self.body_bytes += other.body_bytes;
        self.last_answer_ns = self.last_answer_ns.max(other.last_answer_ns);
        if self.windows.len() < other.windows.len() {
            self.windows.resize(other.windows.len(), Window::default());
            self.window_ns = other.window_ns;
        }
        for (mine, theirs) in self.windows.iter_mut().zip(&other.windows) {
            mine.scheduled += theirs.scheduled;
            mine.met += theirs.met;
            mine.late += theirs.late;
            mine.refused += theirs.refused;
        }
        for (mine, theirs) in self.statuses.iter_mut().zip(&other.statuses) {
            *mine += theirs;
        }
        for (mine, theirs) in self.errors.iter_mut().zip(&other.errors) {
            *mine += theirs;
        }
    }

    /// A request is due whose start was to be at `intended`.
    pub(super) fn issued(&mut self, intended: u64, lateness_ns: u64) {
        self.scheduled += 1;
        self.window(intended).scheduled += 1;
        self.lateness.saturating_record(lateness_ns);
    }

    pub(super) fn answered(&mut self, status: u16, is_good: bool, deadline_ns: Option<u64>, times: Times) {
        self.statuses[usize::from(status).min(999)] += 1;
        self.last_answer_ns = self.last_answer_ns.max(times.end);
        if !is_good {
            let waited = times.end.saturating_sub(times.intended);
            self.rejected.saturating_record(waited);
            if REFUSALS.contains(&status) {
                self.refused.saturating_record(waited);
                self.window(times.intended).refused += 1;
            }
            return;
        }
        self.good += 1;
        self.latency(times);
        if deadline_ns.is_some_and(|deadline| times.end > times.intended.saturating_add(deadline)) {
            self.late += 1;
            self.window(times.intended).late += 1;
        } else {
            self.window(times.intended).met += 1;
        }
    }

    pub(super) fn failed(&mut self, kind: ErrorKind, times: Times) {
        self.errors[kind as usize] += 1;
        if matches!(kind, ErrorKind::Timeout | ErrorKind::Unfinished) {
            self.latency(times);
        }
    }

    fn latency(&mut self, times: Times) {
        let intended = times.end.saturating_sub(times.intended);
        self.latency.intended.saturating_record(intended);
        if let Some(sent) = times.sent {
            self.latency
                .sent
                .saturating_record(times.end.saturating_sub(sent));
        }
    }

    /// The window of a start, or one that nobody sees.
    fn window(&mut self, intended: u64) -> &mut Window {
        let index = intended.checked_div(self.window_ns);
        let window = index.and_then(|index| self.windows.get_mut(index as usize));
        window.unwrap_or(&mut self.outside)
    }

    /// Answers of whatever status.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.statuses.iter().sum()
    }

    /// The statuses that occurred, and how often.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        (0..)
            .zip(self.statuses.iter().copied())
            .filter(|(_, count)| *count > 0)
    }

    /// How many requests failed in this way.
    #[must_use]
    pub fn errors(&self, kind: ErrorKind) -> u64 {
        self.errors[kind as usize]
    }

    /// How many requests failed in any way.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.errors.iter().sum()
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS).expect("valid bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn times(intended: u64, sent: u64, end: u64) -> Times {
        Times {
            intended: intended * MS,
            sent: Some(sent * MS),
            end: end * MS,
        }
    }

    #[test]
    fn every_request_ends_in_one_place() {
        let mut record = Record::default();
        for _ in 0..5 {
            record.issued(0, 0);
        }
        record.answered(200, true, Some(50 * MS), times(0, 0, 10));
        record.answered(200, true, Some(50 * MS), times(0, 40, 60));
        record.answered(503, false, Some(50 * MS), times(0, 0, 1));
        record.failed(ErrorKind::Timeout, times(0, 0, 1000));
        record.shed += 1;
        assert_eq!(
            record.scheduled,
            record.answers() + record.failures() + record.shed
        );
        assert_eq!((record.good, record.late), (2, 1));
        assert_eq!(record.statuses().collect::<Vec<_>>(), [(200, 2), (503, 1)]);
        // The fast refusal is no latency, the timeout is one.
        assert_eq!((record.latency.intended.len(), record.rejected.len()), (3, 1));
        assert!(record.latency.intended.max() >= 1000 * MS);
        assert!(record.latency.sent.value_at_quantile(0.5) < 21 * MS);
    }

    #[test]
    fn three_digits_from_a_microsecond_up() {
        for value in [1_000, 4_321, 87_654, 999_999, 12_345_678, HIGHEST_NS] {
            let mut record = Record::default();
            let times = Times {
                intended: 0,
                sent: Some(0),
                end: value,
            };
            record.answered(200, true, None, times);
            let found = record.latency.intended.value_at_quantile(0.5);
            assert!(found.abs_diff(value) <= value / 1000, "{found} for {value}");
        }
        // Beyond two hours the largest value stands for all.
        let mut record = Record::default();
        record.issued(0, u64::MAX);
        assert!(record.lateness.max() >= HIGHEST_NS);
    }

    #[test]
    fn records_add_up() {
        let mut one = Record::default();
        one.issued(0, 0);
        one.answered(200, true, None, times(0, 0, 10));
        let mut other = Record::default();
        other.issued(0, MS);
        other.failed(ErrorKind::Reset, times(0, 0, 5));
        one.add(&other);
        assert_eq!((one.scheduled, one.good, one.failures()), (2, 1, 1));
        assert_eq!(one.errors(ErrorKind::Reset), 1);
        assert_eq!(one.lateness.len(), 2);
        assert_eq!(one.last_answer_ns, 10 * MS);
    }

    #[test]
    fn windows_are_those_of_the_intended_start() {
        let mut record = Record::with_windows(100 * MS, 250 * MS);
        for intended in [0, 150, 240, 900] {
            record.issued(intended * MS, 0);
        }
        record.answered(200, true, Some(50 * MS), times(0, 0, 10));
        // Late, and answered in another window than it was to start in.
        record.answered(200, true, Some(50 * MS), times(150, 150, 290));
        record.answered(503, false, Some(50 * MS), times(240, 240, 241));
        // Beyond the last window: counted, but in none.
        record.answered(200, true, Some(50 * MS), times(900, 900, 910));
        let [met, late, refused] = [(1, 0, 0), (0, 1, 0), (0, 0, 1)].map(|(met, late, refused)| Window {
            scheduled: 1,
            met,
            late,
            refused,
        });
        assert_eq!(record.windows, [met, late, refused]);
        let mut sum = Record::default();
        sum.add(&record);
        sum.add(&record);
        assert_eq!(
            (sum.windows.len(), sum.windows[1].late, sum.refused.len()),
            (3, 2, 2)
        );
    }
}
