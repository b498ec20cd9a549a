//! One request and its answer: what hyper calls, and how it asks the [`Service`].

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::mem;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{HeaderMap, Method, StatusCode};

use super::guard::Refusal;
use super::limits::Limits;
use super::message::{Body, BodyError, BodyLength, BodyStream, Head, Request, Response};
use super::service::{Admission, Service};
use super::wire::{Phase, Shared};

/// A body's memory is reserved up to here on the word of its head; beyond, as the bytes come.
const RESERVE_BYTES_MAX: u64 = 256 * 1024;

const PANICKED: Refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the service panicked");
const DECLARED_TOO_LONG: Refusal = Refusal::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "declared body longer than the limit",
);
const TOO_LONG: Refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body longer than the limit");
const NO_ROOM: Refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no room for more request bodies");
const ENDED_EARLY: Refusal = Refusal::new(StatusCode::BAD_REQUEST, "body ended early");

/// What every exchange of a connection has in common.
pub(super) struct Exchanges<S> {
    pub(super) service: Rc<S>,
    pub(super) shared: Rc<Shared>,
    pub(super) limits: Rc<Limits>,
    pub(super) peer: SocketAddr,
}

impl<S: Service> Exchanges<S> {
    /// Answers one request of hyper's; never fails, because every failure has an answer.
    pub(super) async fn answer(
        self: Rc<Self>,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Outgoing>, Infallible> {
        let number = self.shared.calls.replace(self.shared.calls.get() + 1);
        let to_head = request.method() == Method::HEAD;
        let mut close = self
            .limits
            .requests_per_connection
            .is_some_and(|most| number + 1 >= most);
        let response = match self.stand_in(number) {
            Some(refusal) => self.refused(refusal),
            None => match self.exchange(request).await {
                Ok(response) => response,
                Err(response) => {
                    close = true;
                    response
                }
            },
        };
        self.shared.phase.set(Phase::Waiting);
        Ok(finish(response, close, to_head))
    }

    /// The refusal that this call answers, if it stands in for a head that the guard kept back.
    fn stand_in(&self, number: u64) -> Option<Refusal> {
        let refused = self.shared.refused.get()?;
        (refused.stand_in == Some(number)).then_some(refused.refusal)
    }

    /// `Err` holds an answer after which the connection cannot go on, because part of the request is unread.
    async fn exchange(&self, request: hyper::Request<Incoming>) -> Result<Response, Response> {
        let (parts, incoming) = request.into_parts();
        let length = incoming
            .size_hint()
            .exact()
            .map_or(BodyLength::Chunked, BodyLength::Declared);
        let head = Head {
            method: parts.method,
            target: parts.uri,
            headers: parts.headers,
            version: parts.version,
            body: length,
            peer: self.peer,
            received: self.shared.now.get(),
        };
        let mut admission = match self.admit(&head) {
            Ok(admission) => admission,
            Err(response) => return self.answered_on_head(length, response),
        };
        let limit = admission.body_limit.min(self.limits.body_bytes);
        let body = match length {
            BodyLength::Declared(0) => Bytes::new(),
            BodyLength::Declared(length) if length > limit => {
                self.shared.unread.set(true);
                return Err(self.refused(DECLARED_TOO_LONG));
            }
            _ => self
                .read_body(incoming, limit, &mut admission.context)
                .await
                .map_err(|refusal| self.refused(refusal))?,
        };
        self.shared.phase.set(Phase::Calling(self.shared.now.get()));
        let call = async {
            self.service
                .call(Request::new(head, body), admission.context)
                .await
        };
        Ok(unless_panicked(call)
            .await
            .unwrap_or_else(|| self.refused(PANICKED)))
    }

    /// The service's decision on the head, or the answer to its panic.
    #[expect(
        clippy::result_large_err,
        reason = "the error is the answer itself, moved once on its way out"
    )]
    fn admit(&self, head: &Head) -> Result<Admission<S::Admitted>, Response> {
        let mut decision = None;
        let decided = catch_unwind(AssertUnwindSafe(|| decision = Some(self.service.admit(head))));
        decided
            .ok()
            .and(decision)
            .unwrap_or_else(|| Err(self.refused(PANICKED)))
    }

    /// An answer given on the head alone; it costs the connection if there is a body that nobody reads.
    #[expect(
        clippy::result_large_err,
        reason = "the error is the answer itself, moved once on its way out"
    )]
    fn answered_on_head(&self, length: BodyLength, response: Response) -> Result<Response, Response> {
        if length == BodyLength::Declared(0) {
            return Ok(response);
        }
        self.shared.unread.set(true);
        Err(response)
    }

    /// The whole body. A body that came in one piece is not copied.
    async fn read_body(
        &self,
        mut incoming: Incoming,
        limit: u64,
        admitted: &mut S::Admitted,
    ) -> Result<Bytes, Refusal> {
        self.shared.phase.set(Phase::Body(self.shared.now.get()));
        let declared = incoming.size_hint().exact();
        let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
        loop {
            let data = match poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
                None => break,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(_trailers) => continue,
                },
                Some(Err(_)) => {
                    self.shared.unread.set(true);
                    return Err(self
                        .shared
                        .refused
                        .get()
                        .map_or(ENDED_EARLY, |refused| refused.refusal));
                }
            };
            if (first.len() + rest.len() + data.len()) as u64 > limit {
                self.shared.unread.set(true);
                return Err(TOO_LONG);
            }
            if !self.service.body_grows(admitted, data.len()) {
                self.shared.unread.set(true);
                return Err(NO_ROOM);
            }
            if first.is_empty() && rest.is_empty() {
                first = data;
                continue;
            }
            if rest.is_empty() {
                let length = declared.unwrap_or(0).min(RESERVE_BYTES_MAX);
                rest.reserve(usize::try_from(length).unwrap_or(0).max(first.len() + data.len()));
                rest.extend_from_slice(&mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
        Ok(if rest.is_empty() { first } else { rest.freeze() })
    }

    fn refused(&self, Refusal { status, reason }: Refusal) -> Response {
        catch_unwind(AssertUnwindSafe(|| self.service.refused(status, reason)))
            .unwrap_or_else(|_| Response::new(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

/// The future's output, or `None` if a poll panicked. The panic's message went out through the panic hook.
async fn unless_panicked<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        },
    )
    .await
}

/// The response as hyper sends it: framing and connection fields are the connection's own.
fn finish(response: Response, close: bool, to_head: bool) -> hyper::Response<Outgoing> {
    let Response {
        mut status,
        mut headers,
        mut body,
    } = response;
    if status.is_informational() {
        (status, headers, body) = (
            StatusCode::INTERNAL_SERVER_ERROR,
            HeaderMap::new(),
            Body::Full(Bytes::new()),
        );
    }
    let close = close || asks_close(&headers);
    if !headers.is_empty() {
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
