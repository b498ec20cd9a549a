//! One connection from its first byte to its close: drives hyper and keeps the time for everything.
//!
//! There is one timer for all bounds. After each poll the driver asks what the connection waits for, which gives at most
//! one deadline:
//!
//! | the connection waits for                  | until                      | then                                  |
//! |-------------------------------------------|----------------------------|---------------------------------------|
//! | the client to take bytes of an answer     | stall + `write_timeout`    | close                                 |
//! | the rest of a head                        | first byte + `head_timeout`| answer 408, close                     |
//! | the rest of a body                        | head + `body_timeout`      | answer 408, close                     |
//! | a first byte                              | last byte + `idle_timeout` | close without a word                  |
//! | the service                               | call + [`WATCH_AFTER`]     | read ahead, to learn of a broken peer |
//!
//! The timer is lazy: a deadline that moves away leaves it alone, and when it goes off too early it is set anew. So a
//! busy connection arms a timer a few times each second and not for each request, and a timer that is armed is not
//! polled until it goes off ([`LazySignal`]).

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::exchange::Exchanges;
use super::guard::{Guard, Refusal};
use super::lazy::LazySignal;
use super::limits::Limits;
use super::service::Service;
use super::transport::{Runtime, Transport};
use super::wire::{Io, Phase, Shared, Wire};

/// How a connection ended, for statistics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionEnd {
    /// In good order: the client closed, or an answer with `connection: close` was sent.
    Closed,
    /// A head or the framing of a body was refused, or too slow; the answer was sent as far as the client took it.
    Refused,
    /// No next request came within [`Limits::idle_timeout`].
    IdleTimeout,
    /// The client took no byte of an answer for [`Limits::write_timeout`].
    WriteStalled,
    /// The connection broke (reset), or the client closed inside a request, or an answer's body failed.
    Broken,
    /// The server drained; answers under way were finished.
    Drained,
}

/// A call that takes longer than this is worth a look at whether the client is still there; watching costs a system
/// call that the many short calls should not pay.
const WATCH_AFTER: Duration = Duration::from_millis(50);

/// hyper must be able to hold a whole head and to take some body beside it.
const PARSER_BYTES_MIN: usize = 64 * 1024;

const HEAD_TIMEOUT: Refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "head too slow");
const BODY_TIMEOUT: Refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "body too slow");

/// Serves one connection until it ends. On [`Runtime::draining`] the answers under way are finished and the connection
/// closes; requests that have arrived count as begun, and a connection without one closes at once.
pub async fn serve<T, R, S>(
    transport: T,
    runtime: R,
    peer: SocketAddr,
    service: Rc<S>,
    limits: Rc<Limits>,
) -> ConnectionEnd
where
    T: Transport,
    R: Runtime,
    S: Service,
{
    let shared = Rc::new(Shared::new(runtime.now()));
    let wire = Wire::new(transport, Guard::new(limits.clone()), shared.clone());
    let wire = Rc::new(RefCell::new(wire));
    let exchanges = Exchanges::new(service, shared.clone(), limits.clone(), peer);
    let end = {
        let calls = service_fn(|request| exchanges.answer(request));
        let mut connection = pin!(parser(&limits).serve_connection(Io(wire.clone()), calls));
        let mut driver = Driver {
            wire: &wire,
            shared: &shared,
            limits: &limits,
            drain: Some(LazySignal::new(runtime.draining())),
            timer: None,
            runtime: &runtime,
            watching: None,
        };
        poll_fn(|cx| driver.poll(connection.as_mut(), cx)).await
    };
    if matches!(
        end,
        ConnectionEnd::Closed | ConnectionEnd::Refused | ConnectionEnd::Drained
    ) {
        close(&wire, &runtime, &limits).await;
    }
    end
}

fn parser(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(true)
        .max_buf_size(limits.head_bytes.saturating_mul(2).max(PARSER_BYTES_MIN));
    // Up to its own bound of 100 hyper's table of fields lives on the stack.
    if limits.header_count_max() > 100 {
        builder.max_headers(limits.header_count_max());
    }
    builder
}

/// Says good-bye so that the client reads the answer: FIN first, then input is thrown away for a bounded while, because
/// a close with unread input makes the kernel send a reset, which takes the answer away from the client.
async fn close<T: Transport, R: Runtime>(wire: &RefCell<Wire<T>>, runtime: &R, limits: &Limits) {
    let mut time = None;
    let mut left = limits.linger_bytes;
    let mut unread = wire.borrow().has_unread_input();
    let mut stall = None;
    poll_fn(|cx| {
        let mut wire = wire.borrow_mut();
        match wire.poll_shutdown(cx) {
            Poll::Ready(Ok(())) if !wire.at_end() => {}
            Poll::Ready(_) => return Poll::Ready(()),
            // What was written has not left yet.
            Poll::Pending => {
                let Some(end) = runtime.now().checked_add(limits.write_timeout) else {
                    return Poll::Pending;
                };
                let stall = stall.get_or_insert_with(|| runtime.sleep_until(end));
                return stall.as_mut().poll(cx);
            }
        }
        while left > 0 {
            match wire.poll_discard(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(count)) => {
                    left = left.saturating_sub(count);
                    unread = true;
                }
                // Everything that was to come has come: nothing is lost by a plain close.
                Poll::Pending if !unread => return Poll::Ready(()),
                Poll::Pending => {
                    let Some(end) = runtime.now().checked_add(limits.linger_timeout) else {
                        return Poll::Pending;
                    };
                    return time
                        .get_or_insert_with(|| runtime.sleep_until(end))
                        .as_mut()
                        .poll(cx);
                }
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Write,
    Head,
    Body,
    Idle,
    Watch,
}

struct Driver<'a, T, R> {
    wire: &'a RefCell<Wire<T>>,
    shared: &'a Shared,
    limits: &'a Limits,
    runtime: &'a R,
    drain: Option<LazySignal>,
    timer: Option<(Instant, LazySignal)>,
    /// The call during which input is read ahead.
    watching: Option<u64>,
}

impl<T: Transport, R: Runtime> Driver<'_, T, R> {
    fn poll<C>(&mut self, mut connection: Pin<&mut C>, cx: &mut Context<'_>) -> Poll<ConnectionEnd>
    where
        C: Graceful,
    {
        self.shared.now.set(self.runtime.now());
        let draining = self.drain.as_mut().is_some_and(|drain| drain.poll(cx).is_ready());
        loop {
            self.wire.borrow_mut().begin_poll();
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(self.ended(result.is_ok()));
            }
            // Only now, so that a request which has arrived is still answered.
            if draining && self.drain.take().is_some() {
                connection.as_mut().drain();
                continue;
            }
            if self.watching == Some(self.shared.calls.get())
                && matches!(self.shared.phase.get(), Phase::Calling(_))
                && self.wire.borrow_mut().poll_broken(cx).is_ready()
            {
                return Poll::Ready(ConnectionEnd::Broken);
            }
            let Some((deadline, wait)) = self.deadline() else {
                return Poll::Pending;
            };
            if self.shared.now.get() < deadline {
                ready!(self.poll_timer(deadline, cx));
                self.shared.now.set(self.runtime.now());
                continue;
            }
            match wait {
                Wait::Write => return Poll::Ready(ConnectionEnd::WriteStalled),
                Wait::Idle => return Poll::Ready(ConnectionEnd::IdleTimeout),
                Wait::Head => self.wire.borrow_mut().refuse(HEAD_TIMEOUT),
                Wait::Body => self.wire.borrow_mut().refuse(BODY_TIMEOUT),
                Wait::Watch => self.watching = Some(self.shared.calls.get()),
            }
        }
    }

    fn ended(&self, in_order: bool) -> ConnectionEnd {
        let calls = self.shared.calls.get();
        let refused = self.shared.refused.get();
        if refused.is_some_and(|refused| refused.stand_in.is_none_or(|number| number < calls)) {
            ConnectionEnd::Refused
        } else if !in_order || self.shared.cut.get() {
            ConnectionEnd::Broken
        } else if self.drain.is_none() {
            ConnectionEnd::Drained
        } else {
            ConnectionEnd::Closed
        }
    }

    /// The next moment at which something must be done if nothing happens.
    fn deadline(&self) -> Option<(Instant, Wait)> {
        let (wire, limits) = (self.wire.borrow(), self.limits);
        let watching = self.watching == Some(self.shared.calls.get());
        let (since, bound, wait) = match (wire.stalled_since(), self.shared.phase.get()) {
            (Some(since), _) => (since, limits.write_timeout, Wait::Write),
            (None, Phase::Body(since)) if self.shared.refused.get().is_none() => {
                (since, limits.body_timeout, Wait::Body)
            }
            (None, Phase::Calling(since)) if !watching => (since, WATCH_AFTER, Wait::Watch),
            (None, Phase::Waiting) => match (wire.head_since(), wire.idle_since()) {
                (Some(since), _) => (since, limits.head_timeout, Wait::Head),
                (None, Some(since)) => (since, limits.idle_timeout, Wait::Idle),
                (None, None) => return None,
            },
            _ => return None,
        };
        // A bound beyond the end of time is none.
        since.checked_add(bound).map(|deadline| (deadline, wait))
    }

    /// Ready when the timer went off, which may be before `deadline`, never much after it.
    fn poll_timer(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let (_, sleep) = match &mut self.timer {
            Some(timer) if timer.0 <= deadline => timer,
            slot => slot.insert((deadline, LazySignal::new(self.runtime.sleep_until(deadline)))),
        };
        ready!(sleep.poll(cx));
        self.timer = None;
        Poll::Ready(())
    }
}

/// What the driver needs of hyper's connection, whose type cannot be written down.
trait Graceful: Future<Output = hyper::Result<()>> {
    fn drain(self: Pin<&mut Self>);
}

impl<I, S, B> Graceful for http1::Connection<I, S>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
