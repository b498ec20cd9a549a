//! One connection from its first byte to its close: takes the [short way](super::plain) where it can, drives hyper where it cannot, and
//! keeps the time for everything.
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
use std::time::Duration;

use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use luge_shards::Instant;

use super::exchange::Exchanges;
use super::guard::{Guard, Refusal};
use super::lazy::LazySignal;
use super::limits::Limits;
use super::plain::{Unsent, is_plain};
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
    let wire = Wire::new(transport, peer, Guard::new(limits.clone()), shared.clone());
    let wire = Rc::new(RefCell::new(wire));
    let end = {
        let exchanges = Exchanges::new(service, shared.clone(), limits.clone(), peer);
        let calls = service_fn(|request| exchanges.answer(request));
        let mut connection = pin!(parser(&limits).serve_connection(Io(wire.clone()), calls));
        let mut driver = Driver {
            wire: &wire,
            shared: &shared,
            limits: &limits,
            exchanges: &exchanges,
            plain: Plain::Idle,
            parser_rests: true,
            drain: Some(LazySignal::new(runtime.draining())),
            draining: false,
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

/// What is done past the parser.
#[derive(Debug)]
enum Plain {
    /// Nothing: the next request is looked for, unless the parser has one.
    Idle,
    /// A call is under way; the connection may be to end with its answer.
    Calling { close: bool },
    /// An answer leaves; the connection may be to end after it.
    Sending { unsent: Unsent, close: bool },
}

/// Whose turn it is.
enum Turn {
    /// The parser's.
    Parser,
    /// Nobody's before this task is woken.
    Nobody,
    /// Nobody's for now: there may be more to do here, and this task will be woken for it at once.
    Again,
    /// The parser's, which is to end the connection.
    Drain,
    /// The transport is broken.
    Broken,
}

/// Steps in a row past the parser in one poll, of which a request takes three.
const STEPS: usize = 32;

struct Driver<'a, T, R, S: Service> {
    wire: &'a RefCell<Wire<T>>,
    shared: &'a Shared,
    limits: &'a Limits,
    runtime: &'a R,
    exchanges: &'a Exchanges<S>,
    plain: Plain,
    /// Whether the parser only waits for the head of a request, of which nothing has come.
    parser_rests: bool,
    /// Until it was acted upon.
    drain: Option<LazySignal>,
    /// Whether it has gone off.
    draining: bool,
    timer: Option<(Instant, LazySignal)>,
    /// The call during which input is read ahead.
    watching: Option<u64>,
}

impl<T: Transport, R: Runtime, S: Service> Driver<'_, T, R, S> {
    fn poll<C>(&mut self, mut connection: Pin<&mut C>, cx: &mut Context<'_>) -> Poll<ConnectionEnd>
    where
        C: Graceful,
    {
        self.shared.now.set(self.runtime.now());
        if !self.draining
            && let Some(drain) = &mut self.drain
        {
            self.draining = drain.poll(cx).is_ready();
        }
        loop {
            self.wire.borrow_mut().begin_poll();
            let turn = self.poll_plain(cx);
            match turn {
                Turn::Nobody | Turn::Again => {}
                Turn::Broken => return Poll::Ready(self.ended(false)),
                Turn::Parser | Turn::Drain => {
                    if matches!(turn, Turn::Drain) {
                        connection.as_mut().drain();
                    }
                    if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                        return Poll::Ready(self.ended(result.is_ok()));
                    }
                    self.parser_rests = self.is_parser_at_rest();
                }
            }
            // Only now, so that a request which has arrived is still answered.
            if self.draining && !matches!(turn, Turn::Again) && self.drain.take().is_some() {
                match &mut self.plain {
                    Plain::Calling { close } | Plain::Sending { close, .. } => *close = true,
                    Plain::Idle => {
                        self.parser_rests = false;
                        connection.as_mut().drain();
                        continue;
                    }
                }
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

    /// Takes plain requests past the parser, until there is something for it to do or nothing for anybody.
    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Turn {
        for _ in 0..STEPS {
            let close = match &mut self.plain {
                Plain::Idle if !self.parser_rests || !self.wire.borrow().is_between() => {
                    return self.leave_to_parser();
                }
                Plain::Idle => {
                    let came = self.wire.borrow_mut().poll_plain(cx);
                    match came {
                        Poll::Pending => return Turn::Nobody,
                        Poll::Ready(Err(_)) => return Turn::Broken,
                        Poll::Ready(Ok(None)) => return self.leave_to_parser(),
                        Poll::Ready(Ok(Some(head))) => {
                            let close = self.exchanges.begin_plain(head);
                            self.plain = Plain::Calling { close };
                            continue;
                        }
                    }
                }
                Plain::Calling { close } => match self.exchanges.poll_plain(cx) {
                    Poll::Ready(()) => *close,
                    Poll::Pending => return Turn::Nobody,
                },
                Plain::Sending { unsent, close } => {
                    let close = *close;
                    match unsent.poll(&mut self.wire.borrow_mut(), cx) {
                        Poll::Pending => return Turn::Nobody,
                        Poll::Ready(Err(_)) => return Turn::Broken,
                        Poll::Ready(Ok(())) => self.plain = Plain::Idle,
                    }
                    if close {
                        self.parser_rests = false;
                        return Turn::Drain;
                    }
                    continue;
                }
            };
            self.shared.phase.set(Phase::Waiting);
            let mut answer = self.exchanges.plain_answer();
            let Some(response) = answer.as_ref().filter(|response| is_plain(response, close)) else {
                drop(answer);
                self.plain = Plain::Idle;
                self.exchanges.give_plain(close);
                self.wire.borrow_mut().feed_stand_in();
                return self.leave_to_parser();
            };
            let begun = Unsent::begin(response, &mut self.wire.borrow_mut(), self.shared.now.get(), cx);
            *answer = None;
            match begun {
                Ok(unsent) => self.plain = Plain::Sending { unsent, close },
                Err(_) => return Turn::Broken,
            }
        }
        // There may be more, but others want their turn.
        cx.waker().wake_by_ref();
        Turn::Again
    }

    fn leave_to_parser(&mut self) -> Turn {
        self.parser_rests = false;
        Turn::Parser
    }

    /// Whether the parser, which has just been polled, waits for the first byte of a request and for nothing else.
    fn is_parser_at_rest(&self) -> bool {
        let wire = self.wire.borrow();
        let waits = self.shared.phase.get() == Phase::Waiting && self.drain.is_some();
        waits && !self.shared.streamed.get() && wire.is_starved() && wire.is_between()
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
