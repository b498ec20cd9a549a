//! The short way: plain requests and plain answers, past the HTTP library.
//!
//! ```text
//!   bytes ──> Guard ──a whole plain head, nothing else──> Exchanges: admit, call ──a plain answer──> written here ──> bytes
//!               │                                                                       │
//!               └──anything else──────────────────> hyper <──a stand-in request─────────┘ any other answer
//! ```
//! Of what an empty function costs, HTTP is the largest part that is not the kernel's, and most of that went into things which most
//! requests do without: a second parse, a map of fields, bodies that come in pieces, upgrades, a state for everything. The guard has
//! read the head already, so where it found a whole request without a body and without a word about the connection, and hyper waits
//! between two requests, the request is called from here; hyper does not learn of it. An answer whose body is known and that says
//! nothing about the connection is written from here, field by field as hyper writes it. For all others hyper gets a request in its stead,
//! and is handed the answer to that: there is one opinion on the hard parts of the protocol, and it is hyper's.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use luge_shards::Instant;

use super::message::{Body, Response};
use super::outgoing::is_the_connections;
use super::transport::Transport;
use super::wire::Wire;

/// A body up to this size is copied behind its head, and both are written as one.
const COPIED_BYTES: usize = 4 * 1024;
/// For how long a date is used again: the field has a resolution of a second.
const DATE_AGE: Duration = Duration::from_millis(200);

thread_local! {
    /// Where answers are written together.
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The date as it was, and when.
    static NOW: RefCell<Option<(Instant, String)>> = const { RefCell::new(None) };
}

/// What of an answer the transport has yet to take; nothing, most of the time, so it is on the heap.
#[derive(Debug)]
pub(super) struct Unsent(Option<Box<Rest>>);

#[derive(Debug)]
struct Rest {
    head: Bytes,
    body: Bytes,
}

/// Whether an answer can be written from here. `close` says that the connection is to end with it.
pub(super) fn is_plain(response: &Response, close: bool) -> bool {
    let has_body = !response.status.is_informational()
        && !matches!(
            response.status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        );
    !close
        && has_body
        && response.status.canonical_reason().is_some()
        && matches!(response.body, Body::Full(_))
        && !fields_of(response).any(|(name, _)| is_the_connections(name))
}

fn fields_of(response: &Response) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    response.headers.iter().flat_map(|headers| headers.iter())
}

impl Unsent {
    /// Writes a plain answer, as much as the transport takes. Says what is left.
    pub(super) fn begin<T: Transport>(
        response: &Response,
        wire: &mut Wire<T>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> io::Result<Unsent> {
        let Body::Full(body) = &response.body else {
            unreachable!("a plain answer's body is known");
        };
        ANSWER.with_borrow_mut(|answer| {
            answer.clear();
            encode(answer, response, body.len(), now);
            let mut behind = &body[..];
            if body.len() <= COPIED_BYTES {
                answer.extend_from_slice(behind);
                behind = &[];
            }
            let mut head = answer.as_slice();
            while !head.is_empty() {
                let taken = match wire.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(behind)]) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(taken)) => taken,
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                };
                let of_head = taken.min(head.len());
                head = &head[of_head..];
                behind = &behind[taken - of_head..];
            }
            let is_left = !head.is_empty() || !behind.is_empty();
            Ok(Unsent(is_left.then(|| {
                Box::new(Rest {
                    head: Bytes::copy_from_slice(head),
                    body: body.slice(body.len() - behind.len()..),
                })
            })))
        })
    }

    /// Writes on. Ready when the transport has all of it.
    pub(super) fn poll<T: Transport>(
        &mut self,
        wire: &mut Wire<T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(rest) = &mut self.0 {
            let Rest { head, body } = &mut **rest;
            while !head.is_empty() || !body.is_empty() {
                let taken = ready!(wire.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(body)]))?;
                if taken == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                let of_head = taken.min(head.len());
                head.advance(of_head);
                body.advance(taken - of_head);
            }
        }
        wire.poll_flush(cx)
    }
}

/// The head of an answer: what hyper writes, in its order.
fn encode(to: &mut Vec<u8>, response: &Response, length: usize, now: Instant) {
    let status = response.status;
    if status == StatusCode::OK {
        to.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        let reason = status.canonical_reason().unwrap_or_default();
        for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
            to.extend_from_slice(part.as_bytes());
        }
    }
    let mut dated = false;
    let mut typed = false;
    for (name, value) in fields_of(response) {
        dated |= *name == DATE;
        typed |= *name == CONTENT_TYPE;
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            to.extend_from_slice(part);
        }
    }
    if let Some(content_type) = &response.content_type
        && !typed
    {
        for part in [&b"content-type: "[..], content_type.as_bytes(), b"\r\n"] {
            to.extend_from_slice(part);
        }
    }
    to.extend_from_slice(b"content-length: ");
    to.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    if !dated {
        to.extend_from_slice(b"\r\ndate: ");
        extend_by_date(to, now);
    }
    to.extend_from_slice(b"\r\n\r\n");
}

/// The date and time (RFC 9110, section 5.6.7) as of no more than [`DATE_AGE`] ago.
fn extend_by_date(to: &mut Vec<u8>, now: Instant) {
    NOW.with_borrow_mut(|known| {
        let fresh = known
            .as_ref()
            .and_then(|(at, _)| now.checked_duration_since(*at))
            .is_some_and(|age| age < DATE_AGE);
        if !fresh {
            *known = None;
        }
        let (_, text) = known.get_or_insert_with(|| (now, httpdate::fmt_http_date(SystemTime::now())));
        to.extend_from_slice(text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONNECTION, SET_COOKIE};

    use super::*;

    fn encoded(response: &Response, length: usize) -> String {
        let mut bytes = Vec::new();
        encode(&mut bytes, response, length, Instant::now());
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn heads_are_written_as_the_library_writes_them() {
        let mut response = Response::text(StatusCode::NOT_FOUND, "");
        for cookie in ["a=1", "b=2"] {
            response
                .headers_mut()
                .append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        response
            .headers_mut()
            .insert(DATE, HeaderValue::from_static("today"));
        assert_eq!(
            encoded(&response, 1200),
            "HTTP/1.1 404 Not Found\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ndate: today\r\n\
             content-type: text/plain; charset=utf-8\r\ncontent-length: 1200\r\n\r\n"
        );
        let head = encoded(&Response::new(StatusCode::OK), 0);
        let date = head
            .strip_prefix("HTTP/1.1 200 OK\r\ncontent-length: 0\r\ndate: ")
            .and_then(|rest| rest.strip_suffix("\r\n\r\n"))
            .expect(&head);
        let age = SystemTime::now().duration_since(httpdate::parse_http_date(date).expect("a date"));
        assert!(age.expect("past") < Duration::from_secs(3), "{date}");
    }

    #[test]
    fn what_takes_more_than_writing_is_not_plain() {
        assert!(is_plain(&Response::text(StatusCode::OK, "body"), false));
        assert!(is_plain(&Response::new(StatusCode::INTERNAL_SERVER_ERROR), false));
        assert!(!is_plain(&Response::new(StatusCode::OK), true));
        for status in [100, 103, 204, 205, 304, 299, 999] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert!(!is_plain(&Response::new(status), false), "{status}");
        }
        let mut response = Response::new(StatusCode::OK);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("a/b"));
        assert!(is_plain(&response, false));
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("x"));
        assert!(!is_plain(&response, false));
        let mut response = Response::new(StatusCode::OK);
        response.body = Body::stream(crate::h1::outgoing::Outgoing::Full(Bytes::new()));
        assert!(!is_plain(&response, false));
    }
}
