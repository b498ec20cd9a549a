//! Open and closed loop: what is sent, when, over which connections, and what a stall looks like from both.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use luge_bench_suite::load::{Connections, Mode, Path, Report, run, run_on, svg, table};

use super::server::{Received, Reply, class, ok, plan, serve};

const MS: u64 = 1_000_000;
const STALL: Duration = Duration::from_millis(100);

/// A server that takes one request at a time, and 100 ms over number `stalled`.
fn stalling(stalled: u64) -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
    let core = Mutex::new(());
    move |request| {
        let _core = core.lock();
        if request.number == stalled {
            std::thread::sleep(STALL);
        }
        ok("x")
    }
}

fn slower_than(histogram: &Histogram<u64>, bound: u64) -> u64 {
    histogram.len() - histogram.count_between(0, bound - 1)
}

#[test]
fn the_open_loop_shows_the_queue_that_the_closed_loop_hides() {
    // 500 requests a second for 2 s over one connection; the 400th takes 100 ms.
    let (url, _) = serve(stalling(400));
    let mut one = class("/", 500.0);
    one.max_in_flight = 1;
    one.queue = 10_000;
    let open = run(&plan(&url, 1000, vec![one.clone()]), None).expect("a run");
    assert_eq!((open.total.good, open.total.shed), (1000, 0));
    let latency = &open.classes[0].record.latency;
    // Computed from the arrivals: 50 fall into the stall, the first waits 100 ms, the next 98, 96 ... So 26 wait at
    // least 50 ms, and more than a hundredth of all at least 80 ms.
    let delayed = slower_than(&latency.intended, 50 * MS);
    assert!(delayed >= 25, "{delayed} delayed");
    assert!(open.total.latency.max_ns >= 100 * MS, "{:?}", open.total.latency);
    assert!(open.total.latency.p99_ns >= 79 * MS, "{:?}", open.total.latency);
    // The same run, measured from the send: one request was slow, and the percentile knows nothing of it.
    let seen = slower_than(&latency.sent, 50 * MS);
    assert!(seen >= 1 && seen * 4 <= delayed, "{seen} seen of {delayed}");
    assert!(open.total.latency_from_send.p99_ns < open.total.latency.p99_ns);

    // A closed loop against the same fault: likewise.
    let (url, _) = serve(stalling(400));
    let mut closed = plan(&url, 1000, vec![one]);
    closed.mode = Mode::Closed;
    let closed = run(&closed, None).expect("a run");
    assert_eq!(closed.total.good, 1000);
    let latency = &closed.classes[0].record.latency;
    let seen = slower_than(&latency.intended, 50 * MS);
    assert!(seen >= 1 && seen * 4 <= delayed, "{seen} seen of {delayed}");
    assert!(closed.total.latency.max_ns >= 100 * MS);
}

#[test]
fn more_connections_do_not_hide_the_stall_either() {
    let (url, _) = serve(stalling(200));
    let report = run(&plan(&url, 500, vec![class("/", 500.0)]), None).expect("a run");
    assert_eq!((report.total.good, report.total.shed), (500, 0));
    assert!(slower_than(&report.classes[0].record.latency.intended, 50 * MS) >= 25);
}

#[test]
fn a_connection_for_each_request_is_one_for_each_request() {
    let (url, seen) = serve(|_| ok("x"));
    let mut churn = class("/", 2000.0);
    churn.connections = Connections::PerRequest;
    let report = run(&plan(&url, 100, vec![churn]), None).expect("a run");
    assert_eq!((report.total.good, report.total.connections), (100, 100));
    // One more has asked beforehand whether there is a server.
    assert_eq!(seen.connections.load(Ordering::SeqCst), 101);
}

#[test]
fn keep_alive_takes_connections_in_turn() {
    let (url, seen) = serve(|_| ok("x"));
    let mut class = class("/", 500.0);
    class.opened = 4;
    class.max_in_flight = 4;
    class.queue = 1000;
    let report = run(&plan(&url, 100, vec![class]), None).expect("a run");
    assert_eq!((report.total.good, report.total.connections), (100, 0));
    assert_eq!(seen.connections.load(Ordering::SeqCst), 4);
}

#[test]
fn the_closed_loop_keeps_every_connection_busy_on_every_thread() {
    let (url, seen) = serve(|_| ok("x"));
    let mut class = class("/", 1.0);
    class.opened = 6;
    let mut plan = plan(&url, 999, vec![class]);
    plan.mode = Mode::Closed;
    plan.threads = 3;
    let report = run(&plan, None).expect("a run");
    assert_eq!((report.total.good, report.generator.threads), (999, 3));
    assert_eq!(seen.connections.load(Ordering::SeqCst), 6);
    assert_eq!(report.classes[0].planned_rate, None);
}

#[test]
fn the_run_ends_with_its_time_and_the_warm_up_is_not_counted() {
    let (url, seen) = serve(|_| ok("x"));
    let mut plan = plan(&url, 0, vec![class("/", 100.0)]);
    plan.requests = None;
    plan.duration = Duration::from_millis(600);
    plan.warmup = Duration::from_millis(295);
    let report = run(&plan, None).expect("a run");
    // Starts at 10, 20 ... 590 ms; those from 300 ms on count.
    assert_eq!((report.total.scheduled, report.total.good), (30, 30));
    assert_eq!(seen.requests.load(Ordering::SeqCst), 59);
}

#[test]
fn classes_run_beside_each_other_and_add_up() {
    let (url, _) = serve(|request| {
        if request.head.starts_with("POST /b") {
            ok("bb")
        } else {
            ok("a")
        }
    });
    let mut two = class("/b", 200.0);
    two.name = "second".to_owned();
    two.method = "POST".to_owned();
    two.body = b"body".to_vec();
    two.deadline = Some(Duration::from_secs(20));
    let mut plan = plan(&url, 0, vec![class("/a", 400.0), two]);
    plan.requests = None;
    plan.duration = Duration::from_millis(502);
    let report = run(&plan, Some(std::process::id())).expect("a run");
    let [one, two] = &report.classes[..] else {
        panic!("two classes")
    };
    assert_eq!((one.good, one.body_bytes), (200, 200));
    assert_eq!((two.good, two.body_bytes), (100, 200));
    assert_eq!((report.total.good, report.total.scheduled), (300, 300));
    let deadlines = two.deadlines.expect("deadlines");
    assert_eq!((deadlines.met, deadlines.late, deadlines.failed), (100, 0, 0));
    assert!(one.deadlines.is_none());
    shown(&report);
}

/// All three forms of a report say what is in it.
fn shown(report: &Report) {
    let text = table(report);
    for part in [
        "test",
        "second",
        "all",
        "lateness",
        "100 x 200",
        "0 deadlines missed",
        "CPU an answer",
        "resident",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let drawn = svg(report, "a title").expect("a drawing");
    assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
    for part in [
        "a title",
        "99 %",
        "test (from intended start)",
        "second (from send)",
        "latency",
        "percentile",
    ] {
        assert!(drawn.contains(part), "{part}");
    }
    let json = serde_json::to_value(report).expect("JSON");
    assert_eq!(json["classes"][1]["deadlines"]["met"], 100);
    assert_eq!(json["total"]["statuses"]["200"], 300);
    assert!(json["total"]["latency"]["p999_ns"].as_u64() > Some(0));
    assert_eq!(json["server"]["pid"], std::process::id());
}

#[test]
fn popular_functions_are_asked_for_more_often() {
    let (url, seen) = serve(|_| ok("x"));
    let mut many = class("/", 5000.0);
    many.path = Path::Numbered {
        before: "/f/".to_owned(),
        after: "?q".to_owned(),
        routes: 50,
        zipf: 1.0,
    };
    many.queue = 1000;
    let report = run(&plan(&url, 1000, vec![many]), None).expect("a run");
    assert_eq!(report.total.good, 1000);
    let lines = seen.lines.lock().expect("lines").clone();
    let mut counts: HashMap<u32, u32> = HashMap::new();
    for line in &lines {
        let number = line
            .strip_prefix("GET /f/")
            .and_then(|rest| rest.strip_suffix("?q HTTP/1.1"));
        *counts
            .entry(number.expect("a number").parse().expect("a number"))
            .or_default() += 1;
    }
    assert!(counts.keys().all(|number| (1..=50).contains(number)));
    // The harmonic number of 50 is 4.5: the first has 22 % and the tenth 2 %.
    let first = counts[&1];
    assert!((170..=280).contains(&first), "{first}");
    assert!(
        counts.get(&10).is_none_or(|tenth| tenth * 4 < first),
        "{counts:?}"
    );
}

#[test]
fn the_same_seed_asks_for_the_same() {
    let lines = |seed| {
        let (url, seen) = serve(|_| ok("x"));
        let mut many = class("/", 5000.0);
        many.path = Path::Numbered {
            before: "/".to_owned(),
            after: String::new(),
            routes: 1000,
            zipf: 0.8,
        };
        // One connection, so that the server sees the order.
        many.max_in_flight = 1;
        many.queue = 1000;
        let mut plan = plan(&url, 100, vec![many]);
        plan.seed = seed;
        run(&plan, None).expect("a run");
        seen.lines.lock().expect("lines").clone()
    };
    assert_eq!(lines(7), lines(7));
    assert_ne!(lines(7), lines(8));
}

#[test]
fn large_bodies_go_out_whole() {
    let (url, _) = serve(|request| {
        ok(&request
            .body
            .iter()
            .map(|byte| u64::from(*byte))
            .sum::<u64>()
            .to_string())
    });
    let mut large = class("/", 50.0);
    large.method = "PUT".to_owned();
    large.body = vec![1; 8 << 20];
    let report = run(&plan(&url, 3, vec![large]), None).expect("a run");
    // The sum, 8388608, has seven digits.
    assert_eq!((report.total.good, report.total.body_bytes), (3, 21));
}

#[test]
fn connections_that_are_given_are_those_that_are_used() {
    let (url, seen) = serve(|_| ok("x"));
    let mut closed = plan(&url, 20, vec![class("/", 1.0)]);
    closed.mode = Mode::Closed;
    let connect = || std::net::TcpStream::connect(closed.target.address).expect("a connection");
    let streams = vec![connect(), connect()];
    let report = run_on(&closed, None, streams).expect("a run");
    assert_eq!((report.total.good, report.total.connections), (20, 0));
    assert_eq!(seen.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn a_class_starts_and_ends_when_it_is_told_to() {
    let (url, _) = serve(|_| ok("x"));
    let mut part = class("/", 100.0);
    part.active = Some(Duration::from_millis(200)..Duration::from_millis(300));
    let mut open = plan(&url, 1000, vec![part]);
    open.duration = Duration::from_millis(400);
    open.window = Duration::from_millis(100);
    let report = run(&open, None).expect("a run");
    let windows: Vec<_> = report.classes[0]
        .record
        .windows
        .iter()
        .map(|window| window.scheduled)
        .collect();
    assert!(matches!(windows[..], [0, 0, 9 | 10, 0, 0]), "{windows:?}");
    open.classes[0].active = Some(Duration::from_secs(1)..Duration::from_secs(1));
    assert!(run(&open, None).is_err());
}
