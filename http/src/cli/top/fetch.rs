//! Gets `/metrics` from an admin address: one request on a connection of its own, with bounds on time and size.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For everything, from the connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer that is read: some ten thousand functions.
const ANSWER_MAX: usize = 64 << 20;

/// The largest head that is read.
const HEAD_MAX: usize = 16 << 10;

/// Why an admin address did not give its metrics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nobody is there, or the connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It took longer than five seconds.
    #[error("no whole answer within {} s", PATIENCE.as_secs())]
    Late,
    /// More than is read.
    #[error("the answer is larger than {} MiB", ANSWER_MAX >> 20)]
    TooLarge,
    /// What came is no HTTP/1.1, or not all of it came.
    #[error("the answer is no whole HTTP/1.1: {0}")]
    Protocol(&'static str),
    /// Something answers there, but not with metrics.
    #[error("/metrics is answered with status {0}: is this the admin address?")]
    Status(u16),
}

/// The body of `http://address/metrics`.
pub(super) fn metrics(address: SocketAddr) -> Result<String, FetchError> {
    let end = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        if let Some(whole) = whole(&answer)? {
            return body(answer, whole);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(FetchError::Late);
        }
        stream.set_read_timeout(Some(left))?;
        let read = match stream.read(&mut part) {
            Ok(0) if answer.is_empty() => return Err(FetchError::Protocol("it is empty")),
            Ok(0) => return at_end(answer),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(FetchError::Late);
            }
            Err(error) => return Err(error.into()),
        };
        if answer.len() + read > ANSWER_MAX {
            return Err(FetchError::TooLarge);
        }
        answer.extend_from_slice(&part[..read]);
    }
}

/// Where the body lies in the answer, if it is all there by what the head says.
fn whole(answer: &[u8]) -> Result<Option<(usize, usize)>, FetchError> {
    let Some(head) = Head::parse(answer)? else {
        return Ok(None);
    };
    let end = head.length.and_then(|length| head.size.checked_add(length));
    Ok(end.filter(|end| *end <= answer.len()).map(|end| (head.size, end)))
}

/// The peer has closed: fine if it never said how much there is.
fn at_end(answer: Vec<u8>) -> Result<String, FetchError> {
    match Head::parse(&answer)? {
        Some(Head { length: None, size }) => {
            let end = answer.len();
            body(answer, (size, end))
        }
        _ => Err(FetchError::Protocol("it ends early")),
    }
}

fn body(mut answer: Vec<u8>, (start, end): (usize, usize)) -> Result<String, FetchError> {
    answer.truncate(end);
    answer.drain(..start);
    String::from_utf8(answer).map_err(|_| FetchError::Protocol("it is no text"))
}

#[derive(Debug, PartialEq)]
struct Head {
    /// Its own size.
    size: usize,
    /// That of the body.
    length: Option<usize>,
}

impl Head {
    /// The head, once it is all there, of an answer that has what was asked for.
    fn parse(answer: &[u8]) -> Result<Option<Head>, FetchError> {
        let beginning = &answer[..answer.len().min(HEAD_MAX)];
        let Some(end) = beginning.windows(4).position(|end| end == b"\r\n\r\n") else {
            return match answer.len() {
                ..HEAD_MAX => Ok(None),
                _ => Err(FetchError::Protocol("its head does not end")),
            };
        };
        let head =
            std::str::from_utf8(&answer[..end]).map_err(|_| FetchError::Protocol("its head is no text"))?;
        let (first, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = first
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
            .ok_or(FetchError::Protocol("its first line has no status"))?;
        if status != 200 {
            return Err(FetchError::Status(status));
        }
        let mut length = None;
        for (name, value) in fields.split("\r\n").filter_map(|field| field.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                let said = value.trim().parse();
                length = Some(said.map_err(|_| FetchError::Protocol("its length is no number"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(FetchError::Protocol(
                    "it comes in chunks, which Luge does not send",
                ));
            }
        }
        Ok(Some(Head {
            size: end + 4,
            length,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_its_length_says() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcd";
        assert_eq!(whole(&answer[..answer.len() - 2]).unwrap(), None);
        let place = whole(answer).unwrap().unwrap();
        assert_eq!(body(answer.to_vec(), place).unwrap(), "abc");
    }

    #[test]
    fn without_a_length_it_ends_with_the_connection() {
        let answer = b"HTTP/1.0 200 OK\r\n\r\nabcd".to_vec();
        assert_eq!(whole(&answer).unwrap(), None);
        assert_eq!(at_end(answer).unwrap(), "abcd");
    }

    #[test]
    fn other_answers_are_told() {
        let told = |answer: &[u8]| at_end(answer.to_vec()).unwrap_err().to_string();
        assert!(told(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabcd").contains("ends early"));
        assert!(told(b"HTTP/1.1 200 OK\r\nContent-Le").contains("ends early"));
        assert!(told(b"HTTP/1.1 404 Not Found\r\n\r\n").contains("status 404"));
        assert!(told(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").contains("chunks"));
        assert!(told(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").contains("no number"));
        assert!(told(&[b'a'; HEAD_MAX]).contains("does not end"));
        assert!(told(b"220 smtp.example ESMTP\r\n\r\n").contains("no status"));
        assert!(told(b"HTTP/1.1 200 OK\r\n\r\n\xff").contains("no text"));
    }
}
