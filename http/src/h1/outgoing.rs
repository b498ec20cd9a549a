//! An answer on its way to hyper: framing, and what is said of the connection, are the connection's own and not the service's.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::{HeaderMap, StatusCode};

use super::message::{Body, BodyError, BodyStream, Response};

/// The response as hyper sends it: framing and connection fields are the connection's own.
pub(super) fn finish(response: Response, close: bool, to_head: bool) -> hyper::Response<Outgoing> {
    let Response {
        mut status,
        mut content_type,
        headers,
        mut body,
    } = response;
    let mut headers = headers.map_or_else(HeaderMap::new, |headers| *headers);
    if status.is_informational() {
        (status, content_type, headers, body) = (
            StatusCode::INTERNAL_SERVER_ERROR,
            None,
            HeaderMap::new(),
            Body::Full(Bytes::new()),
        );
    }
    if let Some(content_type) = content_type {
        headers.entry(CONTENT_TYPE).or_insert(content_type);
    }
    let mut close = close;
    // Most answers have none of them: a look at the names that are there is cheaper than a search for each of these.
    if headers.keys().any(is_the_connections) {
        close |= asks_close(&headers);
        for name in [
            CONTENT_LENGTH,
            TRANSFER_ENCODING,
            CONNECTION,
            UPGRADE,
            TRAILER,
            TE,
        ] {
            headers.remove(name);
        }
        headers.remove(HeaderName::from_static("keep-alive"));
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let bodiless = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    let outgoing = match body {
        Body::Full(bytes) if !bodiless => Outgoing::Full(bytes),
        Body::Stream(stream) if !bodiless && !to_head => Outgoing::Stream(stream),
        _ => Outgoing::Full(Bytes::new()),
    };
    let mut answer = hyper::Response::new(outgoing);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// Whether a field says how messages are delimited or what becomes of the connection.
pub(super) fn is_the_connections(name: &HeaderName) -> bool {
    matches!(
        *name,
        CONTENT_LENGTH | TRANSFER_ENCODING | CONNECTION | UPGRADE | TRAILER | TE
    ) || name == "keep-alive"
}

fn asks_close(headers: &HeaderMap) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
    })
}

/// A response's body on its way to hyper.
pub(super) enum Outgoing {
    Full(Bytes),
    Stream(BodyStream),
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(mem::take(bytes))))),
            Self::Stream(stream) => catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll_frame(cx)))
                .unwrap_or_else(|_| Poll::Ready(Some(Err("the body panicked".into())))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_own_fields_are_known_in_any_spelling() {
        for name in [
            "Content-Length",
            "transfer-encoding",
            "Connection",
            "Keep-Alive",
            "upgrade",
            "Trailer",
            "TE",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            assert!(is_the_connections(&name), "{name}");
        }
        for name in ["content-type", "date", "x-keep-alive", "location"] {
            assert!(!is_the_connections(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn an_answer_keeps_its_fields_but_the_connections() {
        let mut response = Response::text(StatusCode::OK, "text");
        for (name, value) in [
            ("connection", "x, Close"),
            ("keep-alive", "timeout=5"),
            ("content-length", "77"),
            ("x-a", "1"),
            ("x-a", "2"),
        ] {
            let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
            response.headers_mut().append(name, value);
        }
        let answer = finish(response, false, false);
        let mut left: Vec<_> = answer
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "connection: close",
                "content-type: text/plain; charset=utf-8",
                "x-a: 1",
                "x-a: 2"
            ]
        );
    }
}
