//! A server on one thread and a client that speaks raw bytes.

mod client;
mod executor;
mod service;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use luge_http::h1::{ConnectionEnd, Limits};

pub(crate) use self::client::{Client, get, post};

/// No wait in these tests is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) requests: Vec<(String, String, usize)>,
    pub(crate) refused: Vec<(u16, &'static str)>,
    pub(crate) ends: Vec<ConnectionEnd>,
    pub(crate) calls_dropped: usize,
}

/// A running server; stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
    drain: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Mutex::new(Log::default()));
        let (drain, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (log, drain, stop) = (log.clone(), drain.clone(), stop.clone());
            thread::spawn(move || executor::run(&listener, limits, &log, &drain, &stop))
        };
        Self {
            address,
            log,
            drain,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn log(&self) -> Log {
        self.log.lock().expect("a healthy log").clone()
    }

    pub(crate) fn drain(&self) {
        self.drain.store(true, Ordering::Relaxed);
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client::new(stream)
    }

    /// Waits until the log satisfies the condition.
    #[track_caller]
    pub(crate) fn wait(&self, condition: impl Fn(&Log) -> bool) -> Log {
        let start = Instant::now();
        loop {
            let log = self.log();
            if condition(&log) {
                return log;
            }
            assert!(start.elapsed() < PATIENCE, "never came true: {log:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the end of the only connection.
    #[track_caller]
    pub(crate) fn end(&self) -> ConnectionEnd {
        self.wait(|log| !log.ends.is_empty()).ends[0]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server panicked");
        }
    }
}
