//! A client of raw bytes over a blocking socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

/// A client's end of a connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header field's value.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

impl Client {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server takes it");
    }

    /// Sends what the server may already refuse to take.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub(crate) fn shut(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a half-close");
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Reads one answer with its body.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.answer_head();
        if answer.field("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(self.line().trim(), 16).expect("a chunk size");
                answer.body.extend(self.take(size));
                assert_eq!(self.line(), "\r\n");
                if size == 0 {
                    return answer;
                }
            }
        }
        let length = answer
            .field("content-length")
            .map_or(0, |value| value.parse().expect("a length"));
        answer.body = self.take(length);
        answer
    }

    /// Reads one answer that has no body whatever its head says.
    #[track_caller]
    pub(crate) fn answer_head(&mut self) -> Answer {
        let mut head = String::new();
        loop {
            let line = self.line();
            assert!(line.ends_with("\r\n"), "cut inside a head: {head}{line}");
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let status = head
            .split(' ')
            .nth(1)
            .expect("a status")
            .parse()
            .expect("a status");
        Answer {
            status,
            head,
            body: Vec::new(),
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                return String::from_utf8(self.take(end + 1)).expect("text");
            }
            if self.fill() == 0 {
                return String::from_utf8(std::mem::take(&mut self.buffer)).expect("text");
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill() > 0, "cut inside a body");
        }
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }

    fn fill(&mut self) -> usize {
        let mut piece = vec![0; 64 * 1024];
        let count = loop {
            match self.stream.read(&mut piece) {
                // An executor's signals end even a read that would be restarted, because it has a timeout.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.expect("bytes or an end, in time"),
            }
        };
        self.buffer.extend_from_slice(&piece[..count]);
        count
    }

    /// Everything up to the end of the connection, which must come in good order (no reset).
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// The server must close without another word.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "more came: {}", String::from_utf8_lossy(&rest));
    }
}

/// A `GET` of the path.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// A `POST` of the body to the path.
pub(crate) fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
