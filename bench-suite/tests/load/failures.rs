//! What goes wrong: every request still ends in exactly one place, and the report says which.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use luge_bench_suite::load::{Connections, ErrorKind, Mode, Report, RunError, run, table};

use super::server::{Reply, class, ok, plan, serve};

const MS: u64 = 1_000_000;

fn errors(report: &Report, kind: ErrorKind) -> u64 {
    report.classes[0].record.errors(kind)
}

fn conserved(report: &Report) {
    let record = &report.classes[0].record;
    assert_eq!(
        record.scheduled,
        record.answers() + record.failures() + record.shed,
        "{record:?}"
    );
}

#[test]
fn what_exceeds_the_bound_is_shed_and_counted() {
    let (url, _) = serve(|_| Reply::Silence);
    let mut class = class("/", 1000.0);
    class.max_in_flight = 5;
    class.queue = 3;
    class.deadline = Some(Duration::from_millis(50));
    let mut plan = plan(&url, 100, vec![class]);
    plan.drain = Duration::from_millis(100);
    let report = run(&plan, None).expect("a run");
    assert_eq!((report.total.scheduled, report.total.shed), (100, 92));
    assert_eq!(errors(&report, ErrorKind::Unfinished), 8);
    let deadlines = report.total.deadlines.expect("deadlines");
    assert_eq!((deadlines.met, deadlines.late, deadlines.failed), (0, 0, 100));
    conserved(&report);
}

#[test]
fn a_timeout_counts_with_the_time_waited() {
    let (url, _) = serve(|request| {
        if request.number == 1 {
            Reply::Silence
        } else {
            ok("x")
        }
    });
    let mut class = class("/", 100.0);
    class.timeout = Duration::from_secs(1);
    let report = run(&plan(&url, 10, vec![class]), None).expect("a run");
    assert_eq!((report.total.good, errors(&report, ErrorKind::Timeout)), (9, 1));
    assert_eq!(report.total.latency.count, 10);
    assert!(report.total.latency.max_ns >= 1000 * MS);
    conserved(&report);
}

#[test]
fn a_request_that_waits_too_long_in_the_generator_times_out_too() {
    let (url, _) = serve(|_| Reply::Silence);
    let mut class = class("/", 1000.0);
    class.max_in_flight = 1;
    class.queue = 100;
    class.timeout = Duration::from_millis(100);
    let report = run(&plan(&url, 10, vec![class]), None).expect("a run");
    assert_eq!(errors(&report, ErrorKind::Timeout), 10);
    conserved(&report);
}

#[test]
fn an_answer_without_end_holds_nothing_up() {
    let (url, _) = serve(|request| {
        if request.head.starts_with("GET /endless") {
            Reply::Endless
        } else {
            ok("x")
        }
    });
    let mut endless = class("/endless", 10.0);
    endless.name = "endless".to_owned();
    endless.timeout = Duration::from_millis(300);
    let mut plan = plan(&url, 0, vec![class("/", 100.0), endless]);
    plan.requests = None;
    plan.duration = Duration::from_millis(505);
    let report = run(&plan, None).expect("a run");
    let [short, endless] = &report.classes[..] else {
        panic!("two classes")
    };
    assert_eq!(short.good, 50);
    assert_eq!((endless.good, endless.record.errors(ErrorKind::Timeout)), (0, 5));
}

#[test]
fn a_generator_that_is_behind_leaves_no_start_out() {
    let (url, _) = serve(|_| Reply::Silence);
    let mut class = class("/", 1e7);
    class.max_in_flight = 100;
    class.queue = 100_000;
    let mut plan = plan(&url, 0, vec![class]);
    plan.requests = None;
    plan.duration = Duration::from_millis(20);
    plan.drain = Duration::ZERO;
    let report = run(&plan, None).expect("a run");
    // Every tenth of a microsecond, the last one before 20 ms, whether or not there was time for it.
    assert_eq!(report.total.scheduled, 199_999);
    assert_eq!(report.total.lateness.count, 199_999);
    conserved(&report);
}

#[test]
fn an_answer_that_breaks_off_is_bad_however_it_ends() {
    let (url, _) = serve(|request| {
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_vec();
        match request.number % 2 {
            0 => Reply::SendAndClose(part),
            _ => Reply::SendAndReset(part),
        }
    });
    let report = run(&plan(&url, 20, vec![class("/", 200.0)]), None).expect("a run");
    assert_eq!(
        errors(&report, ErrorKind::BadAnswer),
        20,
        "{:?}",
        report.total.errors
    );
    assert!(table(&report).contains("20 requests failed"));
    conserved(&report);
}

#[test]
fn the_end_of_the_watched_process_costs_its_figures_only() {
    let (url, _) = serve(|_| ok("x"));
    let mut server = Command::new("sleep").arg("60").spawn().expect("a process");
    let pid = server.id();
    let mut plan = plan(&url, 0, vec![class("/", 100.0)]);
    plan.requests = None;
    plan.duration = Duration::from_millis(405);
    let ending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        server.kill().expect("it runs");
        server.wait().expect("it ended");
    });
    let report = run(&plan, Some(pid)).expect("a run");
    ending.join().expect("no panic");
    assert_eq!(report.total.good, 40);
    assert!(report.server.is_none());
    let lost = report.server_lost.as_deref().expect("a reason");
    assert!(lost.contains(&pid.to_string()), "{lost}");
    assert!(table(&report).contains("no figures of the server"));
}

#[test]
fn bad_answers_are_told_from_good_ones() {
    let (url, _) = serve(|request| {
        Reply::SendAndClose(match request.number % 4 {
            0 => b"SSH-2.0-x\r\n".to_vec(),
            1 => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_vec(),
            2 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ntoo much".to_vec(),
        })
    });
    let mut class = class("/", 500.0);
    class.connections = Connections::PerRequest;
    let report = run(&plan(&url, 40, vec![class]), None).expect("a run");
    assert_eq!(
        (report.total.good, errors(&report, ErrorKind::BadAnswer)),
        (0, 40)
    );
    conserved(&report);
}

#[test]
fn other_statuses_are_kept_apart() {
    let (url, _) = serve(|request| match request.number % 2 {
        0 => Reply::Send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec()),
        _ => ok("x"),
    });
    let mut expecting = class("/", 500.0);
    let report = run(&plan(&url, 40, vec![expecting.clone()]), None).expect("a run");
    assert_eq!(
        (
            report.total.good,
            report.total.latency.count,
            report.total.rejected.count
        ),
        (20, 20, 20)
    );
    assert_eq!(
        report
            .total
            .statuses
            .iter()
            .map(|(status, count)| (*status, *count))
            .collect::<Vec<_>>(),
        [(200, 20), (503, 20)]
    );
    expecting.expect = vec![200, 503];
    let report = run(&plan(&url, 40, vec![expecting]), None).expect("a run");
    assert_eq!((report.total.good, report.total.rejected.count), (40, 0));
}

#[test]
fn chunked_and_unframed_answers_are_read_to_their_end() {
    let (url, _) = serve(|request| {
        if request.head.starts_with("GET /chunked") {
            Reply::Send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"
                    .to_vec(),
            )
        } else {
            Reply::SendAndClose(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec())
        }
    });
    let chunked = run(&plan(&url, 50, vec![class("/chunked", 1000.0)]), None).expect("a run");
    assert_eq!((chunked.total.good, chunked.total.body_bytes), (50, 250));
    let unframed = run(&plan(&url, 50, vec![class("/", 1000.0)]), None).expect("a run");
    assert_eq!((unframed.total.good, unframed.total.body_bytes), (50, 13 * 50));
}

#[test]
fn a_head_request_has_an_answer_without_a_body() {
    let (url, seen) = serve(|_| Reply::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec()));
    let mut head = class("/", 200.0);
    head.method = "HEAD".to_owned();
    head.max_in_flight = 1;
    head.queue = 100;
    let report = run(&plan(&url, 20, vec![head]), None).expect("a run");
    assert_eq!((report.total.good, report.total.body_bytes), (20, 0));
    assert_eq!(seen.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn a_connection_that_the_server_closes_is_replaced() {
    // It says so with every fifth answer, or just does it with every fifth request.
    for is_told in [true, false] {
        let (url, _) = serve(move |request| {
            if request.on_connection % 5 != 0 {
                ok("x")
            } else if is_told {
                Reply::SendAndClose(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(),
                )
            } else {
                Reply::Close
            }
        });
        let mut class = class("/", 500.0);
        class.max_in_flight = 1;
        class.queue = 1000;
        let report = run(&plan(&url, 50, vec![class]), None).expect("a run");
        assert_eq!(report.total.good, 50, "{:?}", report.total.errors);
        // Told: the first was there before, and after the tenth nobody needs another.
        let expected = if is_told { (9, 0) } else { (12, 12) };
        assert_eq!(
            (report.total.connections, report.total.resent),
            expected,
            "told: {is_told}"
        );
    }
}

#[test]
fn a_server_that_ends_every_connection_at_once_fails_every_request() {
    let (url, _) = serve(|_| Reply::Close);
    for mode in [Mode::Open, Mode::Closed] {
        let mut plan = plan(&url, 20, vec![class("/", 500.0)]);
        plan.mode = mode;
        let report = run(&plan, None).expect("a run");
        assert_eq!(
            (report.total.good, errors(&report, ErrorKind::Reset)),
            (0, 20),
            "{mode:?}"
        );
        conserved(&report);
    }
}

#[test]
fn without_a_server_there_is_no_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let outcome = run(&plan(&url, 1, vec![class("/", 1.0)]), None);
    assert!(matches!(outcome, Err(RunError::Connect { .. })), "{outcome:?}");
}

#[test]
fn a_server_that_goes_away_is_refused_connections_not_a_hang() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let mut class = class("/", 20.0);
    class.opened = 1;
    // Takes the first connection and is gone.
    let server = std::thread::spawn(move || drop(listener.accept()));
    let outcome = run(&plan(&url, 10, vec![class]), None).expect("a run");
    server.join().expect("no panic");
    assert_eq!(outcome.total.good, 0);
    assert_eq!(
        errors(&outcome, ErrorKind::Connect) + errors(&outcome, ErrorKind::Reset),
        10
    );
    // Those that come before the listener is gone are reset; it has half a second to go.
    assert!(
        errors(&outcome, ErrorKind::Connect) > 0,
        "{:?}",
        outcome.total.errors
    );
}
