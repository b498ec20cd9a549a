//! A transport that takes an answer and cannot get it out: the connection ends in bounded time all the same.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use luge_http::h1::{Admission, Head, Limits, Request, Response, Runtime, Service, Signal, Transport, serve};
use luge_shards::Instant;

/// Sends what it has, then falls silent; takes everything, and is never done with it.
struct Stuck {
    input: &'static [u8],
}

impl Transport for Stuck {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.input.is_empty() {
            return Poll::Pending;
        }
        let count = self.input.len().min(buf.len());
        buf[..count].copy_from_slice(&self.input[..count]);
        self.input = &self.input[count..];
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

/// A clock that the test moves.
#[derive(Clone)]
struct Clock(Rc<Cell<Instant>>);

impl Runtime for Clock {
    fn now(&self) -> Instant {
        self.0.get()
    }

    fn sleep_until(&self, deadline: Instant) -> Signal {
        let now = Rc::clone(&self.0);
        Box::pin(poll_fn(move |_| {
            if now.get() >= deadline {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    }

    fn draining(&self) -> Signal {
        Box::pin(std::future::pending())
    }
}

struct Answers;

impl Service for Answers {
    type Admitted = ();

    fn admit(&self, _: &Head) -> Result<Admission<()>, Response> {
        Ok(Admission {
            body_limit: 0,
            context: (),
        })
    }

    async fn call(&self, _: &Request, (): &()) -> Response {
        Response::text(StatusCode::OK, Bytes::from_static(b"an answer"))
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        Response::text(status, reason)
    }
}

#[test]
fn an_answer_that_does_not_leave_holds_no_connection_for_ever() {
    let requests: [&[u8]; 2] = [
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
    ];
    for input in requests {
        let clock = Clock(Rc::new(Cell::new(Instant::now())));
        let limits = Rc::new(Limits::default());
        let patience = limits.write_timeout;
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut connection = pin!(serve(
            Stuck { input },
            clock.clone(),
            peer,
            Rc::new(Answers),
            limits
        ));
        let mut cx = Context::from_waker(Waker::noop());
        let mut poll = |passed: Duration| {
            clock.0.set(clock.0.get() + passed);
            (0..10).any(|_| connection.as_mut().poll(&mut cx).is_ready())
        };
        assert!(!poll(Duration::ZERO) && !poll(patience / 2), "it may still leave");
        // hyper gives up first, then the good-bye does.
        assert!(poll(patience) || poll(patience * 2), "it has had its time");
    }
}
