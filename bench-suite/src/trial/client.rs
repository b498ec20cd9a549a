//! A client that looks at every byte of its answers, one request after another on a connection.
//!
//! The load generator drops bodies and reads as fast as it can; this one is for trials in which each answer is checked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use httparse::{EMPTY_HEADER, Response, Status};

/// Longest wait for an answer, or for more of it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// What a read takes at a time.
const READ_BYTES: usize = 32 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    /// What has come and is not yet taken.
    input: Vec<u8>,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Whether the server goes on with this connection.
    pub(super) keep_alive: bool,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Client {
            stream,
            input: Vec::new(),
        })
    }

    /// Sends a request.
    pub(super) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// Reads the answer to it; its length has to stand in its head.
    pub(super) fn receive(&mut self) -> io::Result<Answer> {
        loop {
            if let Some((length, answer)) = parse(&self.input)? {
                self.input.drain(..length);
                return Ok(answer);
            }
            if self.input.len() > ANSWER_BYTES_MAX {
                return Err(io::Error::other("the answer is too long"));
            }
            if self.read()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Says that there are no more requests; returns the bytes that come although no answer is due.
    pub(super) fn finish(mut self) -> io::Result<usize> {
        self.stream.shutdown(std::net::Shutdown::Write)?;
        while self.input.len() <= ANSWER_BYTES_MAX && self.read()? > 0 {}
        Ok(self.input.len())
    }

    fn read(&mut self) -> io::Result<usize> {
        let used = self.input.len();
        self.input.resize(used + READ_BYTES, 0);
        let result = self.stream.read(&mut self.input[used..]);
        self.input
            .truncate(used + result.as_ref().map_or(0, |taken| *taken));
        result
    }
}

/// A whole answer at the beginning of `input`, and its length.
fn parse(input: &[u8]) -> io::Result<Option<(usize, Answer)>> {
    let mut fields = [EMPTY_HEADER; 32];
    let mut head = Response::new(&mut fields);
    let start = match head.parse(input).map_err(io::Error::other)? {
        Status::Complete(length) => length,
        Status::Partial => return Ok(None),
    };
    let value = |name: &str| {
        let field = head
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        field.and_then(|field| std::str::from_utf8(field.value).ok())
    };
    let length: usize = value("content-length")
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| io::Error::other("the answer does not say its length"))?;
    let end = start.saturating_add(length);
    let Some(body) = input.get(start..end) else {
        return Ok(None);
    };
    let answer = Answer {
        status: head.code.unwrap_or_default(),
        body: body.to_vec(),
        keep_alive: value("connection").is_none_or(|text| !text.eq_ignore_ascii_case("close")),
    };
    Ok(Some((end, answer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_it_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP";
        for length in 0..text.len() - 4 {
            assert!(
                parse(&text[..length]).is_ok_and(|found| found.is_none()),
                "{length}"
            );
        }
        let (length, answer) = parse(text).expect("HTTP").expect("whole");
        assert_eq!(length, text.len() - 4);
        assert_eq!(
            (answer.status, answer.body.as_slice(), answer.keep_alive),
            (200, &b"abc"[..], true)
        );
        let close = b"HTTP/1.1 503 No\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n";
        assert!(parse(close).is_ok_and(|found| found.is_some_and(|(_, answer)| !answer.keep_alive)));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").is_err());
    }
}
