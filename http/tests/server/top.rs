//! `luge top` before a server of ours, before one that says what a test wants, and before others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use crate::support::Server;

/// An admin address that answers each request, in turn, with one of the bodies, and then is gone.
struct Fake {
    address: SocketAddr,
    thread: JoinHandle<Vec<String>>,
}

impl Fake {
    fn answering(head: &'static str, bodies: Vec<String>) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let thread = std::thread::spawn(move || {
            let answer = |body: String| {
                let (stream, _) = listener.accept().expect("luge top comes");
                let mut lines = BufReader::new(&stream).lines().map(|line| line.expect("text"));
                let request: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
                write!(&stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                    .expect("it is read");
                request.join("\n")
            };
            bodies.into_iter().map(answer).collect()
        });
        Fake { address, thread }
    }

    /// The heads of the requests.
    fn requests(self) -> Vec<String> {
        self.thread.join().expect("as many requests as bodies")
    }
}

fn top(admin: SocketAddr, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luge"));
    command.args(["top", "--admin", &admin.to_string()]).args(flags);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn body(missed: u32, queue: u32) -> String {
    format!(
        "luge_queue_length{{shard=\"0\"}} {queue}\nluge_missed_total{{shard=\"0\"}} {missed}\n\
         luge_function_requests_total{{function=\"hash\",class=\"2xx\"}} 5\n# EOF\n"
    )
}

#[test]
fn tables_follow_each_other() {
    let fake = Fake::answering(
        "HTTP/1.1 200 OK",
        vec![body(0, 1), body(0, 2), body(1_000_000, 3)],
    );
    let output = top(fake.address, &["--count", "2", "--interval", "20ms"])
        .output()
        .expect("luge starts");
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    let shards: Vec<Vec<&str>> = stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.first() == Some(&"0"))
        .collect();
    let [first, second] = &shards[..] else {
        panic!("two tables:\n{stdout}")
    };
    assert_eq!((first[2], first[5]), ("2", "0.0"));
    assert_eq!(second[2], "3");
    assert!(second[5].ends_with('k'), "a million in a moment:\n{stdout}");
    assert!(stdout.contains("\nhash "), "{stdout}");
    assert!(!stdout.contains('\x1b'), "no terminal, no escapes:\n{stdout}");
    let requests = fake.requests();
    assert!(
        requests[0].starts_with("GET /metrics HTTP/1.1\nHost: 127.0.0.1:"),
        "{requests:?}"
    );
}

#[test]
fn what_is_no_server_of_ours_is_told() {
    for (head, body, told) in [
        ("HTTP/1.1 404 Not Found", "no", "status 404"),
        ("HTTP/1.1 200 OK", "<html></html>", "line 1 is no metric"),
        ("HTTP/1.1 200 OK", "node_load1 0.5\n", "not luge's"),
        ("hello", "", "no whole HTTP/1.1"),
    ] {
        let fake = Fake::answering(head, vec![body.to_owned()]);
        let output = top(fake.address, &["--once"]).output().expect("luge starts");
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        assert!(stderr.contains(told), "{told:?} is missing in {stderr}");
        fake.requests();
    }
}

#[test]
fn a_server_that_has_gone_is_told() {
    let fake = Fake::answering("HTTP/1.1 200 OK", vec![body(0, 0)]);
    let address = fake.address;
    let output = top(address, &["--interval", "20ms"])
        .output()
        .expect("luge starts");
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains(&format!("{address} does not tell: ")), "{stderr}");
    fake.requests();
}

#[test]
fn our_own_metrics_are_understood() {
    let server = Server::examples(&["--cores", "1"]);
    assert_eq!(server.post("/fibonacci", b"10").status, 200);
    let output = top(server.admin, &["--once", "--interval", "10ms"])
        .output()
        .expect("luge starts");
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stderr}");
    for part in ["1 shards", "\nfibonacci ", "\n    0 ", "slack at admission"] {
        assert!(stdout.contains(part), "{part:?} is missing in:\n{stdout}");
    }
}

#[test]
fn an_interrupt_ends_it_well() {
    let server = Server::examples(&["--cores", "1"]);
    let mut child = top(server.admin, &["--interval", "20ms"])
        .spawn()
        .expect("luge starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("text");
    assert!(line.starts_with("luge at "), "{line}");
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.expect("kill runs").success());
    stdout.read_to_string(&mut line).expect("text");
    assert!(child.wait().expect("the child is ours").success());
}
