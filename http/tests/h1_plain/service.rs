//! A service that does as a request's target says.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{CONNECTION, CONTENT_TYPE, DATE, HeaderName, HeaderValue, SET_COOKIE};
use luge_http::h1::{Admission, Body, BodyError, Head, Request, Response, Service};

use crate::desk::wake;
use crate::random::Random;

/// What the service sets as the date where it is to set one.
pub(crate) const OWN_DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// When an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Instead of an admission.
    Admit,
    /// After so many polls of the call that were pending.
    Call(usize),
    /// When the test says so.
    Told,
}

/// What a target asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) number: usize,
    pub(crate) status: u16,
    pub(crate) streamed: bool,
    pub(crate) size: usize,
    pub(crate) cookies: bool,
    pub(crate) typed: bool,
    pub(crate) dated: bool,
    pub(crate) close: bool,
    pub(crate) panics: bool,
    pub(crate) when: When,
}

impl Order {
    /// An empty answer, at once.
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            status: 200,
            streamed: false,
            size: 0,
            cookies: false,
            typed: false,
            dated: false,
            close: false,
            panics: false,
            when: When::Call(0),
        }
    }

    pub(crate) fn random(number: usize, sizes: &[usize], random: &mut Random) -> Self {
        Self {
            number,
            status: random.of(&[200, 200, 200, 200, 200, 404, 404, 500, 204, 205, 304, 299]),
            streamed: random.one_in(8),
            size: random.of(sizes),
            cookies: random.one_in(4),
            typed: random.one_in(3),
            dated: random.one_in(8),
            close: random.one_in(16),
            panics: random.one_in(16),
            when: match random.below(5) {
                0 => When::Admit,
                polls => When::Call(polls - 1),
            },
        }
    }

    pub(crate) fn target(&self) -> String {
        let flag = |flag: bool, letter: char| if flag { Some(letter) } else { None };
        let flags: String = [
            flag(self.streamed, 's'),
            flag(self.cookies, 'c'),
            flag(self.typed, 't'),
            flag(self.dated, 'd'),
            flag(self.close, 'x'),
            flag(self.panics, 'p'),
        ]
        .into_iter()
        .flatten()
        .collect();
        let when = match self.when {
            When::Admit => "a".to_owned(),
            When::Call(polls) => polls.to_string(),
            When::Told => "w".to_owned(),
        };
        format!("/{}/{}/{}/-{flags}?{when}", self.number, self.status, self.size)
    }

    fn parse(head: &Head) -> Self {
        let parts: Vec<&str> = head.target.path().split('/').collect();
        let number = |at: usize| parts[at].parse().expect("a number");
        let flag = |letter: char| parts[4].contains(letter);
        Self {
            number: number(1),
            status: u16::try_from(number(2)).expect("a status"),
            streamed: flag('s'),
            size: number(3),
            cookies: flag('c'),
            typed: flag('t'),
            dated: flag('d'),
            close: flag('x'),
            panics: flag('p'),
            when: match head.target.query() {
                Some("a") => When::Admit,
                Some("w") => When::Told,
                polls => When::Call(polls.expect("a query").parse().expect("a number")),
            },
        }
    }

    fn response(&self, received: usize) -> Response {
        let mut response = Response::new(StatusCode::from_u16(self.status).expect("a status"));
        if self.typed {
            response.content_type = Some(HeaderValue::from_static("text/x-test"));
        }
        let fields = response.headers_mut();
        fields.insert("x-number", HeaderValue::from(self.number));
        if self.cookies {
            fields.append(SET_COOKIE, HeaderValue::from_static("a=1"));
            fields.insert(HeaderName::from_static("x-between"), HeaderValue::from_static(""));
            fields.append(SET_COOKIE, HeaderValue::from_static("b=2; Path=/"));
            if self.number % 2 == 1 {
                fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/x-field"));
            }
        }
        if self.dated {
            fields.insert(DATE, HeaderValue::from_static(OWN_DATE));
        }
        if self.close {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        fields.insert("x-received", HeaderValue::from(received));
        let body = pattern(self.number, self.size);
        response.body = if self.streamed {
            Body::stream(Pieces { left: body, turns: 0 })
        } else {
            Body::Full(body.into())
        };
        response
    }
}

/// The body that belongs to a request, and to its answer: its number, again and again.
pub(crate) fn pattern(number: usize, size: usize) -> Vec<u8> {
    let period = format!("{number};");
    period.bytes().cycle().take(size).collect()
}

/// A body that comes in pieces, with pauses.
struct Pieces {
    left: Vec<u8>,
    turns: usize,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.turns += 1;
        if self.turns.is_multiple_of(3) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let count = (self.turns * 7919 % 30_000).min(self.left.len());
        let piece: Vec<u8> = self.left.drain(..count).collect();
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }
}

/// Does as the target says.
#[derive(Default)]
pub(crate) struct Obedient {
    pub(crate) calls: Cell<usize>,
    pub(crate) admitted: Cell<usize>,
    /// How many of these heads brought nothing along.
    pub(crate) searched: Cell<usize>,
    /// Who panics.
    panicking: Cell<Option<usize>>,
    told: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Obedient {
    /// Has the call under way answered.
    pub(crate) fn tell(&self) {
        self.told.set(true);
        wake(&self.waiter);
    }

    fn panic(&self, order: &Order) {
        if order.panics {
            self.panicking.set(Some(order.number));
            // Without a word of the panic hook.
            resume_unwind(Box::new("as the test wants"));
        }
    }
}

impl Service for Obedient {
    type Admitted = Order;

    fn admit(&self, head: &Head) -> Result<Admission<Order>, Response> {
        self.admitted.set(self.admitted.get() + 1);
        let order = Order::parse(head);
        let found = head.found.or_find(|| {
            self.searched.set(self.searched.get() + 1);
            Ok::<_, Infallible>(order.number)
        });
        assert_eq!(found, Ok(Rc::new(order.number)), "of this very head");
        if order.when == When::Admit {
            self.panic(&order);
            return Err(order.response(0));
        }
        Ok(Admission {
            body_limit: u64::MAX,
            context: order,
        })
    }

    async fn call(&self, request: &Request, order: &Order) -> Response {
        self.calls.set(self.calls.get() + 1);
        let name = request.head.headers.map().get("x-name").expect("all have one");
        assert_eq!(name, order.number.to_string().as_str());
        assert!(request.body == pattern(order.number, request.body.len()));
        let mut polls = 0;
        poll_fn(|cx| match order.when {
            When::Call(pending) if polls < pending => {
                polls += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            When::Told if !self.told.take() => {
                *self.waiter.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
        .await;
        self.panic(order);
        order.response(request.body.len())
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        let mut response = Response::text(status, reason);
        if let Some(number) = self.panicking.take() {
            response
                .headers_mut()
                .insert("x-number", HeaderValue::from(number));
        }
        response
    }
}
