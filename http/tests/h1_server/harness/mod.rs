//! A server on an executor of the test program's choice, and a client that speaks raw bytes.

mod client;
mod service;

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use luge_http::h1::{ConnectionEnd, Limits};

use crate::executor::Executor;

pub(crate) use self::client::{Client, get, post};
pub(crate) use self::service::Functions;

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
    address: SocketAddr,
    executor: Executor,
    log: Arc<Mutex<Log>>,
}

impl Server {
    pub(crate) fn start(limits: Limits) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let (executor, address) = Executor::start(limits, log.clone());
        Self {
            address,
            executor,
            log,
        }
    }

    pub(crate) fn log(&self) -> Log {
        self.log.lock().expect("a healthy log").clone()
    }

    pub(crate) fn drain(&self) {
        self.executor.drain();
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
