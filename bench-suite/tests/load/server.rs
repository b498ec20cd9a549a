//! A server with faults made to order: `std::net`, a thread for each connection, on a port that the system chooses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use luge_bench_suite::load::{Class, Mode, Path, Plan, Target};

/// What a request got.
pub(crate) enum Reply {
    /// These bytes; the connection stays.
    Send(Vec<u8>),
    /// These bytes, and the end of the connection.
    SendAndClose(Vec<u8>),
    /// These bytes, and the end of the connection by a reset.
    SendAndReset(Vec<u8>),
    /// The end of the connection, without a byte.
    Close,
    /// Nothing, for as long as the client stays.
    Silence,
    /// An answer without an end, as fast as the client takes it.
    Endless,
}

/// What the server has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicU64,
    pub(crate) requests: AtomicU64,
    /// Request lines, of the first thousand requests.
    pub(crate) lines: Mutex<Vec<String>>,
}

/// A request as the server read it.
pub(crate) struct Received {
    /// Its number, from 1, over all connections.
    pub(crate) number: u64,
    /// Its number on its connection, from 1.
    pub(crate) on_connection: u64,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Starts a server that answers as `reply` says. Its threads end with their connections, the last one with the process.
pub(crate) fn serve(reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> (String, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let seen = Arc::new(Seen::default());
    let reply = Arc::new(reply);
    let shared = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            shared.connections.fetch_add(1, Ordering::SeqCst);
            let (seen, reply) = (Arc::clone(&shared), Arc::clone(&reply));
            std::thread::spawn(move || converse(stream, &seen, &*reply));
        }
    });
    (url, seen)
}

fn converse(stream: TcpStream, seen: &Seen, reply: &dyn Fn(&Received) -> Reply) -> Option<()> {
    // Small answers go out at once.
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    for on_connection in 1.. {
        let head = read_head(&mut reader)?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().expect("a length"))];
        reader.read_exact(&mut body).ok()?;
        let number = seen.requests.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(mut lines) = seen.lines.lock()
            && lines.len() < 1000
        {
            lines.push(head.lines().next().unwrap_or_default().to_owned());
        }
        let received = Received {
            number,
            on_connection,
            head,
            body,
        };
        match reply(&received) {
            Reply::Send(bytes) => writer.write_all(&bytes).ok()?,
            Reply::SendAndClose(bytes) => return writer.write_all(&bytes).ok(),
            Reply::SendAndReset(bytes) => {
                writer.write_all(&bytes).ok()?;
                rustix::net::sockopt::set_socket_linger(&writer, Some(Duration::ZERO)).ok()?;
                return None;
            }
            Reply::Close => return None,
            Reply::Endless => {
                writer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
                let piece = vec![b'x'; 1 << 20];
                while writer.write_all(&piece).is_ok() {}
                return None;
            }
            Reply::Silence => {
                let _ = reader.read(&mut [0]);
                return None;
            }
        }
        if received.head.contains("Connection: close") {
            return None;
        }
    }
    None
}

fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// A good answer.
pub(crate) fn ok(body: &str) -> Reply {
    Reply::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// A class with constant gaps. It is patient: on a busy machine even this server may be slow, and timeouts have tests of their own.
pub(crate) fn class(path: &str, rate: f64) -> Class {
    let mut class = Class::new("test", Path::Fixed(path.to_owned()), rate);
    class.arrivals = luge_bench_suite::load::Arrivals::Fixed;
    class.opened = 1;
    class.timeout = Duration::from_secs(60);
    class
}

/// An open loop of these classes that ends after `requests`.
pub(crate) fn plan(url: &str, requests: u64, classes: Vec<Class>) -> Plan {
    let (target, _) = Target::parse(url, false).expect("a loopback address");
    Plan {
        target,
        mode: Mode::Open,
        seed: 1,
        threads: 1,
        warmup: Duration::ZERO,
        duration: Duration::from_secs(60),
        requests: Some(requests),
        drain: Duration::from_secs(60),
        spin: Duration::ZERO,
        window: Duration::ZERO,
        looks: Vec::new(),
        nice: 0,
        cpus: Vec::new(),
        classes,
    }
}
