//! A service whose paths each stand for one kind of behaviour.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Frame;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use luge_http::h1::{Admission, Body, BodyError, Head, Request, Response, Service};

use super::Log;

/// See the module.
pub(crate) struct Functions {
    log: Arc<Mutex<Log>>,
}

impl Functions {
    pub(crate) fn new(log: Arc<Mutex<Log>>) -> Self {
        Self { log }
    }
}

/// Counts calls that are dropped before their end.
struct Dropped<'a>(&'a Functions, Cell<bool>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        if !self.1.get() {
            self.0.log.lock().expect("a healthy log").calls_dropped += 1;
        }
    }
}

impl Service for Functions {
    type Admitted = String;

    fn admit(&self, head: &Head) -> Result<Admission<String>, Response> {
        match head.target.path() {
            "/missing" => return Err(Response::text(StatusCode::NOT_FOUND, "no such route")),
            "/panic-admit" => panic!("admit panics, as the test wants"),
            "/get-only" if head.method != Method::GET => {
                return Err(Response::text(StatusCode::METHOD_NOT_ALLOWED, "GET only"));
            }
            _ => {}
        }
        let body_limit = if head.target.path() == "/small" {
            10
        } else {
            u64::MAX
        };
        Ok(Admission {
            body_limit,
            context: head.target.path().to_owned(),
        })
    }

    async fn call(&self, request: &Request, path: &String) -> Response {
        let seen = (request.head.method.to_string(), path.clone(), request.body.len());
        self.log.lock().expect("a healthy log").requests.push(seen);
        let mut response = Response::text(StatusCode::OK, request.body.clone());
        match path.as_str() {
            "/panic" => panic!("call panics, as the test wants"),
            "/never" => {
                let _dropped = Dropped(self, Cell::new(false));
                std::future::pending::<()>().await;
            }
            "/nap" => {
                let until = Instant::now() + Duration::from_millis(250);
                // Busy, like a function that computes in slices.
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if Instant::now() < until {
                        Poll::Pending
                    } else {
                        Poll::Ready(())
                    }
                })
                .await;
            }
            "/big" => response.body = Body::Full(vec![b'b'; 32 << 20].into()),
            "/stream" => response.body = Body::stream(Pieces::new(&["one", "", "two", "three"], None)),
            "/stream-slow" => {
                let mut pieces = Pieces::new(&["one", "two"], None);
                pieces.rest = Duration::from_millis(150);
                response.body = Body::stream(pieces);
            }
            "/stream-cut" => response.body = Body::stream(Pieces::new(&["one"], Some(false))),
            "/stream-panic" => response.body = Body::stream(Pieces::new(&["one"], Some(true))),
            "/empty" => response = Response::new(StatusCode::NO_CONTENT),
            "/informational" => response = Response::text(StatusCode::EARLY_HINTS, "x"),
            "/own-framing" => {
                for (name, value) in [
                    ("content-length", "3"),
                    ("transfer-encoding", "gzip"),
                    ("connection", "x-own"),
                    ("keep-alive", "timeout=1"),
                    ("x-own", "kept"),
                ] {
                    response
                        .headers_mut()
                        .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
                }
            }
            "/close" => {
                response.headers_mut().insert(
                    HeaderName::from_static("connection"),
                    HeaderValue::from_static("Close"),
                );
            }
            _ => {}
        }
        response
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        self.log
            .lock()
            .expect("a healthy log")
            .refused
            .push((status.as_u16(), reason));
        Response::text(status, reason)
    }
}

/// A body of pieces with pauses, which may end in an error (`Some(false)`) or a panic (`Some(true)`).
struct Pieces {
    pieces: std::slice::Iter<'static, &'static str>,
    failure: Option<bool>,
    /// How long each pause is, at least.
    rest: Duration,
    pause: Option<Instant>,
}

impl Pieces {
    fn new(pieces: &'static [&'static str], failure: Option<bool>) -> Self {
        Self {
            pieces: pieces.iter(),
            failure,
            rest: Duration::ZERO,
            pause: None,
        }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let rested = self.pause.is_some_and(|since| since.elapsed() >= self.rest);
        if !rested {
            self.pause.get_or_insert_with(Instant::now);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.pause = None;
        match (self.pieces.next(), self.failure) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes()))))),
            (None, Some(true)) => panic!("the body panics, as the test wants"),
            (None, Some(false)) => Poll::Ready(Some(Err("cut".into()))),
            (None, None) => Poll::Ready(None),
        }
    }
}
