//! The admin address, the counters, and the orderly end.

use crate::support::{Client, SLEEP, Server};

#[test]
fn health_checks_and_metrics_answer() {
    let server = Server::examples(&[]);
    let answer = server.admin("/livez");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    let answer = server.admin("/readyz");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ready\n"));
    assert_eq!(server.post("/echo", b"12345").status, 200);
    let answer = server.admin("/metrics");
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(
        text.contains("# TYPE luge_function_duration_seconds histogram"),
        "{text}"
    );
    let echo = |name: &str| server.metric(&format!("luge_function_{name}_total{{function=\"echo\"}}"));
    assert_eq!((echo("request_bytes"), echo("response_bytes")), (5.0, 5.0));
    assert!(echo("cpu_seconds") > 0.0);
    assert_eq!(server.admin("/echo").status, 404, "functions are not served here");
    let answer = Client::connect(server.admin).request("POST", "/livez", &[], b"x");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn every_core_serves() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let server = Server::examples(&[]);
    // The kernel spreads connections by a hash of their addresses: 128 of them reach every core.
    let mut clients: Vec<Client> = (0..128).map(|_| server.connect()).collect();
    for round in 0..3 {
        for client in &mut clients {
            client.send("POST", "/echo", &[], format!("round {round}").as_bytes());
        }
        for client in &mut clients {
            assert_eq!(client.answer("POST").text(), format!("round {round}"));
        }
    }
    let of = |name: &str, shard: usize| server.metric(&format!("luge_{name}{{shard=\"{shard}\"}}"));
    for shard in 0..cores {
        assert!(
            of("http_requests_total", shard) > 0.0,
            "shard {shard} served nothing"
        );
        assert!(of("completed_total", shard) > 0.0 && of("busy_seconds_total", shard) > 0.0);
    }
    let total: f64 = (0..cores).map(|shard| of("http_requests_total", shard)).sum();
    assert_eq!(total, 384.0);
}

#[test]
fn requests_in_flight_are_listed() {
    let server = Server::functions(&[("sleep", SLEEP, "")], "", &[]);
    assert_eq!(server.admin("/requests").text(), "");
    let mut client = server.connect();
    client.send("GET", "/sleep", &[], b"");
    server.wait_until("the request is listed", |server| {
        let text = server.admin("/requests").text();
        text.lines().count() == 1 && text.contains("\"function\":\"sleep\"") && text.contains("\"age_us\":")
    });
    assert_eq!(client.answer("GET").text(), "done");
    assert_eq!(server.admin("/requests").text(), "");
}

#[test]
fn a_signal_drains() {
    let mut server = Server::functions(&[("sleep", SLEEP, "")], "", &[]);
    let mut busy: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in &mut busy {
        client.send("GET", "/sleep", &[], b"");
    }
    server.wait_until("all run", |server| {
        server.admin("/requests").text().lines().count() == 8
    });
    let mut idle = server.connect();
    server.signal("-TERM");
    server.wait_until("not ready", |server| {
        server.admin("/readyz").text() == "draining\n"
    });
    assert!(idle.is_closed(), "connections without a request are closed");
    for client in &mut busy {
        let answer = client.answer("GET");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "done"),
            "running requests are finished"
        );
    }
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(std::net::TcpStream::connect(server.listen).is_err());
}

#[test]
fn a_drain_has_an_end_and_a_second_signal_needs_none() {
    let spin = r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;
    let lines = "deadline = \"1h\"";
    let mut server = Server::functions(&[("spin", spin, lines)], "[limits]\ndrain = \"200ms\"", &[]);
    let mut client = server.connect();
    client.send("GET", "/spin", &[], b"");
    let is_running = |server: &Server| server.admin("/requests").text().contains("spin");
    server.wait_until("the loop runs", is_running);
    server.signal("-INT");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());

    let mut server = Server::functions(&[("spin", spin, lines)], "[limits]\ndrain = \"1h\"", &[]);
    let mut client = server.connect();
    client.send("GET", "/spin", &[], b"");
    server.wait_until("the loop runs", is_running);
    server.signal("-TERM");
    server.wait_until("not ready", |server| server.admin("/readyz").status == 503);
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(128 + 15));
}

#[test]
fn the_log_is_structured_and_its_reader_may_leave() {
    let mut server = Server::examples(&["--log-format", "json", "--log", "debug"]);
    assert_eq!(server.get("/fibonacci?n=x").status, 500);
    server.wait_until("both lines", |server| {
        server.log().contains(r#""stderr":"#) && server.log().contains(r#""reason":"exit code 2""#)
    });
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(0));
    for line in server.log().lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
    assert!(
        server.log().contains("\"started\"") && server.log().contains("\"stopped\""),
        "{}",
        server.log()
    );

    let mut server = Server::examples(&["--log", "debug"]);
    server.close_stderr();
    for _ in 0..50 {
        assert_eq!(server.get("/fibonacci?n=x").status, 500);
    }
    assert_eq!(server.get("/empty").status, 200);
}
