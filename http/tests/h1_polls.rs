//! What a busy connection asks of its runtime: the timer and the drain once, the clock once for each of its polls.

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
use luge_http::h1::{
    Admission, ConnectionEnd, Head, Limits, Request, Response, Runtime, Service, Signal, Transport, serve,
};
use luge_shards::Instant;

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nhost: localhost:8080\r\n\r\n";
const REQUESTS: usize = 1000;

/// What the test sees and moves.
struct Desk {
    now: Cell<Instant>,
    clock_reads: Cell<usize>,
    timers: Cell<usize>,
    timer_polls: Cell<usize>,
    drain_polls: Cell<usize>,
    /// Who waits for the drain.
    drain: Cell<Option<Waker>>,
    draining: Cell<bool>,
    /// The client has sent a request.
    sent: Cell<bool>,
    answers: Cell<usize>,
}

fn count(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

#[derive(Clone)]
struct Shared(Rc<Desk>);

impl Runtime for Shared {
    fn now(&self) -> Instant {
        count(&self.0.clock_reads);
        self.0.now.get()
    }

    fn sleep_until(&self, deadline: Instant) -> Signal {
        let desk = Rc::clone(&self.0);
        count(&desk.timers);
        Box::pin(poll_fn(move |_| {
            count(&desk.timer_polls);
            if desk.now.get() >= deadline {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    }

    fn draining(&self) -> Signal {
        let desk = Rc::clone(&self.0);
        Box::pin(poll_fn(move |cx| {
            count(&desk.drain_polls);
            if desk.draining.get() {
                return Poll::Ready(());
            }
            desk.drain.set(Some(cx.waker().clone()));
            Poll::Pending
        }))
    }
}

impl Transport for Shared {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.0.sent.take() {
            return Poll::Pending;
        }
        buf[..REQUEST.len()].copy_from_slice(REQUEST);
        Poll::Ready(Ok(REQUEST.len()))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.starts_with(b"HTTP/1.1 200 OK\r\n") {
            count(&self.0.answers);
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Answers in the second poll, as a function's run does.
struct Second;

impl Service for Second {
    type Admitted = ();

    fn admit(&self, _: &Head) -> Result<Admission<()>, Response> {
        Ok(Admission {
            body_limit: 0,
            context: (),
        })
    }

    async fn call(&self, _: &Request, (): &()) -> Response {
        let mut waited = false;
        poll_fn(|_| {
            if std::mem::replace(&mut waited, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        Response::text(StatusCode::OK, Bytes::from_static(b"hello"))
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        Response::text(status, reason)
    }
}

#[test]
fn a_busy_connection_leaves_timer_and_drain_alone() {
    let desk = Rc::new(Desk {
        now: Cell::new(Instant::now()),
        clock_reads: Cell::new(0),
        timers: Cell::new(0),
        timer_polls: Cell::new(0),
        drain_polls: Cell::new(0),
        drain: Cell::new(None),
        draining: Cell::new(false),
        sent: Cell::new(false),
        answers: Cell::new(0),
    });
    let ends = Shared(Rc::clone(&desk));
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let (service, limits) = (Rc::new(Second), Rc::new(Limits::default()));
    let mut connection = pin!(serve(ends.clone(), ends, peer, service, limits));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(connection.as_mut().poll(&mut cx).is_pending());
    for answered in 1..=REQUESTS {
        desk.sent.set(true);
        assert!(connection.as_mut().poll(&mut cx).is_pending(), "it runs");
        desk.now.set(desk.now.get() + Duration::from_micros(20));
        assert!(connection.as_mut().poll(&mut cx).is_pending(), "it waits");
        assert_eq!(desk.answers.get(), answered);
    }
    // One timer for the first byte, one to look after the first call's client, which stands for all that follow.
    assert_eq!((desk.timers.get(), desk.timer_polls.get()), (2, 2));
    assert_eq!(desk.drain_polls.get(), 1);
    assert!(
        desk.clock_reads.get() <= 2 + 2 * REQUESTS,
        "{} clock reads",
        desk.clock_reads.get()
    );
    // Left alone is not forgotten.
    desk.draining.set(true);
    desk.drain.take().expect("the connection waits").wake();
    let end = connection.as_mut().poll(&mut cx);
    assert!(
        matches!(end, Poll::Ready(ConnectionEnd::Drained)),
        "ended as {end:?}"
    );
}
