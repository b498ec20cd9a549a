//! Reads one answer after another off a connection: head by `httparse`, framing after RFC 9112 section 6, body counted and
//! dropped.
//!
//! ```text
//!            1xx                       ┌─ Counted(n) ──────────┐
//!   Head ──┬─────► Head   Head ──┬────►├─ Chunk* ── Trailers ──┼──► Complete
//!          └──► (204, 304, HEAD) │     └─ UntilClose ── end ───┘         ▲
//!                                └───────────────────────────────────────┘
//! ```
//! In the common case a whole answer lies in one read, is parsed where it lies, and nothing is copied or allocated.

use std::ops::ControlFlow;

use httparse::{EMPTY_HEADER, Header, Response, Status};

/// Longest head, longest trailer section, and longest line of a chunk's size.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const CHUNK_LINE_BYTES_MAX: usize = 4096;
/// Most fields of a head.
const FIELDS_MAX: usize = 128;

/// Why what came is no answer. All of these are the server's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAnswer {
    /// Not HTTP/1.x.
    #[error("the answer is not HTTP/1.x: {0}")]
    Head(httparse::Error),
    /// More than 64 KiB of head or of trailers.
    #[error("the answer's head or its trailers are longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    /// `Content-Length` is no number, or said twice and not the same.
    #[error("the answer's length is no number, or there are two")]
    Length,
    /// A transfer coding other than `chunked` alone.
    #[error("the answer has a transfer coding that was not asked for")]
    Coding,
    /// A malformed chunk.
    #[error("a chunk of the answer is malformed")]
    Chunk,
    /// More bytes than the answer has, while no further request was sent.
    #[error("{0} bytes follow the answer")]
    Surplus(usize),
    /// The connection ended within the answer.
    #[error("the connection ended within the answer")]
    Truncated,
}

/// A complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Complete {
    /// The status code.
    pub status: u16,
    /// Whether the connection may carry another request.
    pub keep_alive: bool,
    /// Bytes of the body, without framing.
    pub body_bytes: u64,
}

/// What a piece of input led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The answer goes on.
    More,
    /// The answer is complete.
    Complete(Complete),
}

/// Reads one answer.
#[derive(Debug)]
pub struct AnswerReader {
    /// Of a head, a chunk line or trailers that came in pieces; empty otherwise.
    partial: Vec<u8>,
    state: State,
    is_head_request: bool,
    answer: Complete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Counted(u64),
    ChunkLine,
    ChunkData(u64),
    /// CR LF after a chunk's data: the number of bytes still to come.
    ChunkEnd(u8),
    Trailers,
    UntilClose,
}

impl AnswerReader {
    /// A reader for the answer to a `HEAD` request, which has no body, or to any other.
    #[must_use]
    pub fn new(is_head_request: bool) -> AnswerReader {
        AnswerReader {
            partial: Vec::new(),
            state: State::Head,
            is_head_request,
            answer: Complete {
                status: 0,
                keep_alive: true,
                body_bytes: 0,
            },
        }
    }

    /// Makes ready for the next answer of the same connection; keeps the memory.
    pub fn reset(&mut self) {
        self.partial.clear();
        self.state = State::Head;
        self.answer.body_bytes = 0;
    }

    /// Whether nothing of the answer has been read yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.state == State::Head && self.partial.is_empty()
    }

    /// Takes the next bytes of the connection.
    ///
    /// # Errors
    /// [`BadAnswer`]; the connection is of no further use.
    pub fn take(&mut self, mut input: &[u8]) -> Result<Progress, BadAnswer> {
        loop {
            let flow = match self.state {
                State::Head => self.head(&mut input)?,
                State::Counted(left) => self.counted(left, &mut input),
                State::ChunkLine => self.chunk_line(&mut input)?,
                State::ChunkData(left) => self.chunk_data(left, &mut input),
                State::ChunkEnd(left) => self.chunk_end(left, &mut input)?,
                State::Trailers => self.trailers(&mut input)?,
                State::UntilClose => {
                    self.answer.body_bytes += input.len() as u64;
                    ControlFlow::Break(false)
                }
            };
            match flow {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(false) => return Ok(Progress::More),
                ControlFlow::Break(true) if input.is_empty() => return Ok(Progress::Complete(self.answer)),
                ControlFlow::Break(true) => return Err(BadAnswer::Surplus(input.len())),
            }
        }
    }

    /// The connection has ended: right for an answer whose body lasts until then.
    ///
    /// # Errors
    /// [`BadAnswer::Truncated`] for every other.
    pub fn end(&mut self) -> Result<Complete, BadAnswer> {
        match self.state {
            State::UntilClose => Ok(self.answer),
            _ => Err(BadAnswer::Truncated),
        }
    }

    fn head(&mut self, input: &mut &[u8]) -> Result<ControlFlow<bool>, BadAnswer> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = Response::new(&mut fields);
        let held = self.partial.len();
        if held == 0 {
            return match response.parse(input).map_err(BadAnswer::Head)? {
                Status::Complete(length) => {
                    let head = Head::of(&response)?;
                    *input = &input[length..];
                    Ok(self.begin_body(&head))
                }
                Status::Partial => self
                    .keep(input, HEAD_BYTES_MAX)
                    .map(|()| ControlFlow::Break(false)),
            };
        }
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend_from_slice(input);
        let parsed = match response.parse(&bytes).map_err(BadAnswer::Head)? {
            Status::Complete(length) => Some((Head::of(&response)?, length)),
            Status::Partial => None,
        };
        if let Some((head, length)) = parsed {
            *input = &input[length - held..];
            bytes.clear();
            self.partial = bytes;
            return Ok(self.begin_body(&head));
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(BadAnswer::HeadTooLong);
        }
        self.partial = bytes;
        *input = &[];
        Ok(ControlFlow::Break(false))
    }

    /// RFC 9112 section 6.3: which body follows.
    fn begin_body(&mut self, head: &Head) -> ControlFlow<bool> {
        if (100..200).contains(&head.status) && head.status != 101 {
            return ControlFlow::Continue(());
        }
        self.answer.status = head.status;
        self.answer.keep_alive = head.keep_alive;
        if self.is_head_request || matches!(head.status, 101 | 204 | 304) {
            self.answer.keep_alive &= head.status != 101;
            return ControlFlow::Break(true);
        }
        self.state = match (head.is_chunked, head.length) {
            (true, _) => State::ChunkLine,
            (false, Some(length)) => State::Counted(length),
            (false, None) => {
                self.answer.keep_alive = false;
                State::UntilClose
            }
        };
        ControlFlow::Continue(())
    }

    fn counted(&mut self, left: u64, input: &mut &[u8]) -> ControlFlow<bool> {
        let left = self.pass(left, input);
        self.state = State::Counted(left);
        ControlFlow::Break(left == 0)
    }

    fn chunk_data(&mut self, left: u64, input: &mut &[u8]) -> ControlFlow<bool> {
        let left = self.pass(left, input);
        if left > 0 {
            self.state = State::ChunkData(left);
            return ControlFlow::Break(false);
        }
        self.state = State::ChunkEnd(2);
        ControlFlow::Continue(())
    }

    /// Drops at most `left` bytes of body; returns how many are still to come.
    fn pass(&mut self, left: u64, input: &mut &[u8]) -> u64 {
        let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        *input = &input[taken..];
        self.answer.body_bytes += taken as u64;
        left - taken as u64
    }

    fn chunk_end(&mut self, left: u8, input: &mut &[u8]) -> Result<ControlFlow<bool>, BadAnswer> {
        let Some((&byte, rest)) = input.split_first() else {
            return Ok(ControlFlow::Break(false));
        };
        let expected = if left == 2 { b'\r' } else { b'\n' };
        if byte != expected {
            return Err(BadAnswer::Chunk);
        }
        *input = rest;
        self.state = if left == 2 {
            State::ChunkEnd(1)
        } else {
            State::ChunkLine
        };
        Ok(ControlFlow::Continue(()))
    }

    fn chunk_line(&mut self, input: &mut &[u8]) -> Result<ControlFlow<bool>, BadAnswer> {
        let Some(line) = self.line(input, CHUNK_LINE_BYTES_MAX, BadAnswer::Chunk)? else {
            return Ok(ControlFlow::Break(false));
        };
        let Ok(Status::Complete((_, size))) = httparse::parse_chunk_size(&line) else {
            return Err(BadAnswer::Chunk);
        };
        self.state = if size == 0 {
            State::Trailers
        } else {
            State::ChunkData(size)
        };
        Ok(ControlFlow::Continue(()))
    }

    /// Trailers are passed over, line by line, to the empty one.
    fn trailers(&mut self, input: &mut &[u8]) -> Result<ControlFlow<bool>, BadAnswer> {
        match self.line(input, HEAD_BYTES_MAX, BadAnswer::HeadTooLong)? {
            None => Ok(ControlFlow::Break(false)),
            Some(line) if line == b"\r\n" => Ok(ControlFlow::Break(true)),
            Some(_) => Ok(ControlFlow::Continue(())),
        }
    }

    /// A line with its end, once it is complete; `too_long` beyond `most` bytes.
    fn line(
        &mut self,
        input: &mut &[u8],
        most: usize,
        too_long: BadAnswer,
    ) -> Result<Option<Vec<u8>>, BadAnswer> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let mut rest = &input[end.map_or(input.len(), |end| end + 1)..];
        std::mem::swap(input, &mut rest);
        let taken = &rest[..rest.len() - input.len()];
        if self.partial.len() + taken.len() > most {
            return Err(too_long);
        }
        self.partial.extend_from_slice(taken);
        Ok(end.map(|_| std::mem::take(&mut self.partial)))
    }

    fn keep(&mut self, input: &mut &[u8], most: usize) -> Result<(), BadAnswer> {
        if input.len() > most {
            return Err(BadAnswer::HeadTooLong);
        }
        self.partial.extend_from_slice(input);
        *input = &[];
        Ok(())
    }
}

/// What of a head decides the framing.
struct Head {
    status: u16,
    keep_alive: bool,
    /// Whether `close` was said, which wins over `keep-alive`.
    is_closing: bool,
    is_chunked: bool,
    length: Option<u64>,
}

impl Head {
    fn of(response: &Response<'_, '_>) -> Result<Head, BadAnswer> {
        let mut head = Head {
            status: response.code.unwrap_or(0),
            keep_alive: response.version == Some(1),
            is_closing: false,
            is_chunked: false,
            length: None,
        };
        for field in response.headers.iter() {
            head.field(field)?;
        }
        head.keep_alive &= !head.is_closing;
        Ok(head)
    }

    fn field(&mut self, field: &Header<'_>) -> Result<(), BadAnswer> {
        // The length tells most fields apart without looking at their letters.
        match field.name.len() {
            10 if field.name.eq_ignore_ascii_case("connection") => {
                for token in field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if token.eq_ignore_ascii_case(b"close") {
                        self.is_closing = true;
                    } else if token.eq_ignore_ascii_case(b"keep-alive") {
                        self.keep_alive = true;
                    }
                }
            }
            14 if field.name.eq_ignore_ascii_case("content-length") => {
                let length = decimal(field.value.trim_ascii()).ok_or(BadAnswer::Length)?;
                if self.length.is_some_and(|first| first != length) {
                    return Err(BadAnswer::Length);
                }
                self.length = Some(length);
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                if !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(BadAnswer::Coding);
                }
                self.is_chunked = true;
            }
            _ => {}
        }
        Ok(())
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes` whole, and then in pieces of every size: the outcome must be the same.
    fn read(is_head_request: bool, bytes: &[u8]) -> Result<Progress, BadAnswer> {
        let whole = AnswerReader::new(is_head_request).take(bytes);
        for size in 1..bytes.len() {
            let mut reader = AnswerReader::new(is_head_request);
            let mut outcome = Ok(Progress::More);
            let mut taken = 0;
            for piece in bytes.chunks(size) {
                outcome = reader.take(piece);
                taken += piece.len();
                if outcome != Ok(Progress::More) {
                    break;
                }
            }
            if let Ok(Progress::Complete(_)) = whole {
                assert_eq!(taken, bytes.len(), "complete before its end, in pieces of {size}");
            }
            match (whole, outcome) {
                // Surplus shows in the piece that ends the answer, or in none.
                (Err(BadAnswer::Surplus(_)), Err(BadAnswer::Surplus(_)) | Ok(Progress::Complete(_))) => {}
                _ => assert_eq!(outcome, whole, "in pieces of {size}"),
            }
        }
        whole
    }

    fn complete(status: u16, keep_alive: bool, body_bytes: u64) -> Result<Progress, BadAnswer> {
        Ok(Progress::Complete(Complete {
            status,
            keep_alive,
            body_bytes,
        }))
    }

    #[test]
    fn a_counted_body() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\nX: y\r\n\r\nhello";
        assert_eq!(read(false, bytes), complete(200, true, 5));
        assert_eq!(
            read(false, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            complete(200, true, 0)
        );
    }

    #[test]
    fn chunks_with_extensions_and_trailers() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\n";
        assert_eq!(read(false, bytes), complete(200, true, 15));
    }

    #[test]
    fn answers_without_a_body() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(read(true, head), complete(200, true, 0));
        assert_eq!(
            read(false, b"HTTP/1.1 204 No Content\r\n\r\n"),
            complete(204, true, 0)
        );
        assert_eq!(
            read(false, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
            complete(304, true, 0)
        );
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(read(false, bytes), complete(201, true, 1));
    }

    #[test]
    fn the_end_of_the_connection_may_be_the_end_of_the_body() {
        let mut reader = AnswerReader::new(false);
        assert_eq!(reader.take(b"HTTP/1.1 200 OK\r\n\r\nabc"), Ok(Progress::More));
        assert_eq!(reader.take(b"defg"), Ok(Progress::More));
        let Ok(answer) = reader.end() else {
            panic!("complete")
        };
        assert_eq!(
            (answer.status, answer.keep_alive, answer.body_bytes),
            (200, false, 7)
        );
        let mut reader = AnswerReader::new(false);
        let _ = reader.take(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        assert_eq!(reader.end(), Err(BadAnswer::Truncated));
    }

    #[test]
    fn who_wants_to_close_is_heard() {
        let closing = b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(false, closing), complete(200, false, 0));
        assert_eq!(
            read(false, b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
            complete(200, false, 0)
        );
        let both = b"HTTP/1.1 200 OK\r\nConnection: close, keep-alive\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(false, both), complete(200, false, 0));
        let staying = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(false, staying), complete(200, true, 0));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert!(matches!(
            read(false, b"SSH-2.0-OpenSSH_9.2\r\n"),
            Err(BadAnswer::Head(_))
        ));
        let answer = |fields: &str, body: &str| {
            read(false, format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}").as_bytes())
        };
        assert_eq!(answer("Content-Length: 1, 2\r\n", ""), Err(BadAnswer::Length));
        assert_eq!(
            answer("Content-Length: 1\r\nContent-Length: 2\r\n", ""),
            Err(BadAnswer::Length)
        );
        assert_eq!(answer("Content-Length: -1\r\n", ""), Err(BadAnswer::Length));
        assert_eq!(answer("Transfer-Encoding: gzip\r\n", ""), Err(BadAnswer::Coding));
        assert_eq!(
            answer("Transfer-Encoding: chunked\r\n", "zz\r\n"),
            Err(BadAnswer::Chunk)
        );
        assert_eq!(
            answer("Transfer-Encoding: chunked\r\n", "1\r\nabc"),
            Err(BadAnswer::Chunk)
        );
        assert_eq!(answer("Content-Length: 1\r\n", "abc"), Err(BadAnswer::Surplus(2)));
    }

    #[test]
    fn nothing_grows_without_end() {
        let mut reader = AnswerReader::new(false);
        let _ = reader.take(b"HTTP/1.1 200 OK\r\n");
        let field = format!("X-Long: {}\r\n", "y".repeat(1000));
        let outcome = (0..200)
            .map(|_| reader.take(field.as_bytes()))
            .find(|taken| *taken != Ok(Progress::More));
        assert!(
            matches!(outcome, Some(Err(BadAnswer::HeadTooLong | BadAnswer::Head(_)))),
            "{outcome:?}"
        );
        let mut reader = AnswerReader::new(false);
        let _ = reader.take(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let outcome = (0..200)
            .map(|_| reader.take(&[b'1'; 100]))
            .find(|taken| *taken != Ok(Progress::More));
        assert_eq!(outcome, Some(Err(BadAnswer::Chunk)));
    }
}
