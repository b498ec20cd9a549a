//! Bounds of one HTTP/1.1 connection: every length, count and wait that a client can stretch has a number here.
//!
//! A bound that is passed is answered (where an answer is still possible) with the status that RFC 9110 section 15.5
//! and RFC 6585 section 5 give for it, and the connection is closed, because what follows cannot be trusted.

use std::time::Duration;

/// Bounds of one connection. `Limits::default()` suits a public server with bodies of up to 16 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest head in bytes: request line, header fields and the empty line. Passed: 431. Default 64 KiB.
    pub head_bytes: usize,
    /// Most header fields in one head (and, apart from it, most trailer fields). Passed: 431. Default 100, the number
    /// up to which the parser keeps its table on the stack; never more than 8,192.
    pub header_count: usize,
    /// Longest request target in bytes. Passed: 414. Default 8 KiB; never more than 65,534, which is the longest
    /// that [`http::Uri`](hyper::Uri) holds.
    pub target_bytes: usize,
    /// Longest request body in bytes, whatever [`Service::admit`](super::Service::admit) allows. Passed: 413, before
    /// the body is read when its length is declared. Default 16 MiB.
    pub body_bytes: u64,
    /// Time from the first byte of a head to its last. Passed: 408. Default 10 s.
    pub head_timeout: Duration,
    /// Time from the end of the head to the end of the body. Passed: 408. Default 60 s.
    pub body_timeout: Duration,
    /// Time without a byte of a next request. Passed: the connection is closed without a word. Default 60 s.
    pub idle_timeout: Duration,
    /// Time in which the client takes not a single byte of an answer. Passed: the connection is closed. Default 30 s.
    pub write_timeout: Duration,
    /// After an answer that closes a connection which still has unread input, the time during which that input is
    /// read and thrown away so that the client sees the answer and not a reset. Default 2 s.
    pub linger_timeout: Duration,
    /// The bytes thrown away in that time, at most. Default 256 KiB.
    pub linger_bytes: usize,
    /// Requests after which the connection is closed; the last answer says `connection: close`. Default: no bound.
    pub requests_per_connection: Option<u64>,
}

/// The longest target that the URI type can hold.
const TARGET_BYTES_MAX: usize = u16::MAX as usize - 1;
/// Well below the number of fields that the header map can hold.
const HEADER_COUNT_MAX: usize = 8192;

impl Limits {
    /// [`Limits::target_bytes`] as far as the URI type goes.
    pub(super) fn target_bytes_max(&self) -> usize {
        self.target_bytes.min(TARGET_BYTES_MAX)
    }

    /// [`Limits::header_count`] as far as the header map goes.
    pub(super) fn header_count_max(&self) -> usize {
        self.header_count.min(HEADER_COUNT_MAX)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            header_count: 100,
            target_bytes: 8 * 1024,
            body_bytes: 16 * 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            linger_bytes: 256 * 1024,
            requests_per_connection: None,
        }
    }
}
