//! One request and its answer: what hyper and the [short way](super::plain) call, and how it asks the [`Service`].

use std::cell::{Cell, RefCell, RefMut};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::mem;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::header::CONNECTION;
use hyper::{Method, StatusCode, Version};

use super::guard::Refusal;
use super::limits::Limits;
use super::message::{BodyLength, Found, Head, Request, Response};
use super::outgoing::{Outgoing, finish};
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

/// What every exchange of a connection has in common, and its calls.
///
/// ```text
///   hyper, or the ──request──> Exchanges ──asked──> calls: loop { call(asked).await } ──answered──> Exchanges ──> back
///   short way
/// ```
/// A call's future is by far the largest thing here, and it would be moved whole to wherever it is to live. So it is made
/// and stays inside of one future that outlives it, a loop that serves all calls of the connection one after the other;
/// hyper gets the small [`Answer`], which it may move.
pub(super) struct Exchanges<S: Service> {
    service: Rc<S>,
    shared: Rc<Shared>,
    limits: Rc<Limits>,
    peer: SocketAddr,
    desk: Rc<Desk<S::Admitted>>,
    /// The answer to a request that went past hyper, and whether the connection ends with it; hyper asks for it on account of a stand-in.
    given: Cell<Option<(Box<Response>, bool)>>,
    /// [`calls`], from the first call on; anew after one that panicked or was given up.
    calls: RefCell<Option<Pin<Box<dyn Future<Output = Infallible>>>>>,
}

/// What passes between a connection and the future of its calls. Both stay where they were put until they are dropped: they are large.
struct Desk<A> {
    /// Lent to the call from its beginning to its end.
    asked: RefCell<Option<(Request, A)>>,
    answered: RefCell<Option<Response>>,
}

/// Asks the service each time that something lies on the desk.
#[expect(
    clippy::await_holding_refcell_ref,
    reason = "what is asked is changed by nobody while its call is under way: the next one comes after it, and who gives it up drops \
              it first"
)]
async fn calls<S: Service>(service: Rc<S>, desk: Rc<Desk<S::Admitted>>) -> Infallible {
    loop {
        // Whoever puts something there polls afterwards.
        poll_fn(|_| match *desk.asked.borrow() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        })
        .await;
        let response = {
            let asked = desk.asked.borrow();
            let (request, admitted) = asked.as_ref().expect("it was there just now");
            service.call(request, admitted).await
        };
        *desk.asked.borrow_mut() = None;
        *desk.answered.borrow_mut() = Some(response);
    }
}

impl<S: Service> Exchanges<S> {
    /// No exchange yet.
    pub(super) fn new(service: Rc<S>, shared: Rc<Shared>, limits: Rc<Limits>, peer: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            service,
            shared,
            limits,
            peer,
            desk: Rc::new(Desk {
                asked: RefCell::new(None),
                answered: RefCell::new(None),
            }),
            given: Cell::new(None),
            calls: RefCell::new(None),
        })
    }

    /// Answers one request of hyper's; never fails, because every failure has an answer. There is one at a time.
    pub(super) fn answer(self: &Rc<Self>, request: hyper::Request<Incoming>) -> Answer<S> {
        if let Some((response, close)) = self.given.take() {
            return Answer {
                exchanges: Rc::clone(self),
                to_head: false,
                to_old: false,
                close,
                state: State::Given(response),
            };
        }
        let (number, close) = self.count_call();
        Answer {
            exchanges: Rc::clone(self),
            to_head: request.method() == Method::HEAD,
            to_old: request.version() == Version::HTTP_10,
            close,
            state: match self.stand_in(number) {
                Some(refusal) => State::Given(Box::new(self.refused(refusal))),
                None => self.begin(request),
            },
        }
    }

    /// The number of the call that begins, and whether the connection ends with it.
    fn count_call(&self) -> (u64, bool) {
        let number = self.shared.calls.replace(self.shared.calls.get() + 1);
        let last = self.limits.requests_per_connection;
        (number, last.is_some_and(|most| number + 1 >= most))
    }

    /// Asks about a plain request, which hyper does not see: [`Exchanges::poll_plain`] knows when it is answered. Says whether the
    /// connection ends with it.
    pub(super) fn begin_plain(&self, head: Rc<Head>) -> bool {
        let (_, close) = self.count_call();
        match self.admit(&head) {
            Ok(admission) => {
                let body = Bytes::new();
                self.start(Request { head, body }, admission.context);
            }
            Err(response) => *self.desk.answered.borrow_mut() = Some(response),
        }
        close
    }

    /// Whether a plain request is answered.
    pub(super) fn poll_plain(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.desk.answered.borrow().is_none() {
            return self.poll_desk(cx);
        }
        Poll::Ready(())
    }

    /// The answer to a plain request, which is lent; nothing before it is there.
    pub(super) fn plain_answer(&self) -> RefMut<'_, Option<Response>> {
        self.desk.answered.borrow_mut()
    }

    /// Keeps the answer for hyper's next request, which stands in for the one that it belongs to.
    pub(super) fn give_plain(&self, close: bool) {
        let response = self.desk.answered.take();
        self.given
            .set(response.map(|response| (Box::new(response), close)));
    }

    /// The refusal that this call answers, if it stands in for a head that the guard kept back.
    fn stand_in(&self, number: u64) -> Option<Refusal> {
        let refused = self.shared.refused.get()?;
        (refused.stand_in == Some(number)).then_some(refused.refusal)
    }

    /// Most requests have no body: their heads are decided on at once, and nothing of them is moved but into the call.
    fn begin(self: &Rc<Self>, request: hyper::Request<Incoming>) -> State<S::Admitted> {
        let (parts, incoming) = request.into_parts();
        let body = incoming
            .size_hint()
            .exact()
            .map_or(BodyLength::Chunked, BodyLength::Declared);
        let head = Head {
            method: parts.method,
            target: parts.uri.into(),
            headers: parts.headers.into(),
            version: parts.version,
            body,
            peer: self.peer,
            found: Found::default(),
        };
        if body != BodyLength::Declared(0) {
            return State::Reading(Box::pin(Rc::clone(self).receive(head, incoming)));
        }
        match self.admit(&head) {
            Ok(admission) => {
                let (head, body) = (Rc::new(head), Bytes::new());
                self.start(Request { head, body }, admission.context);
                State::Calling
            }
            Err(response) => State::Given(Box::new(response)),
        }
    }

    /// A request that has a body. `Err` holds an answer after which the connection cannot go on, because part of the
    /// request is unread.
    async fn receive(
        self: Rc<Self>,
        head: Head,
        incoming: Incoming,
    ) -> Result<(Request, S::Admitted), Response> {
        let mut admission = self.admit(&head).inspect_err(|_| self.shared.unread.set(true))?;
        let limit = admission.body_limit.min(self.limits.body_bytes);
        if matches!(head.body, BodyLength::Declared(length) if length > limit) {
            self.shared.unread.set(true);
            return Err(self.refused(DECLARED_TOO_LONG));
        }
        let body = self
            .read_body(incoming, limit, &mut admission.context)
            .await
            .map_err(|refusal| self.refused(refusal))?;
        let head = Rc::new(head);
        Ok((Request { head, body }, admission.context))
    }

    /// Has the service called with the next [`Exchanges::poll_desk`].
    fn start(&self, request: Request, admitted: S::Admitted) {
        self.shared.phase.set(Phase::Calling(self.shared.now.get()));
        *self.desk.asked.borrow_mut() = Some((request, admitted));
    }

    /// Whether the service's answer is there. The panic's message, if that is how a poll ended, went out through the panic hook.
    fn poll_desk(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.calls.borrow_mut();
        let (service, desk) = (&self.service, &self.desk);
        let running = slot.get_or_insert_with(|| Box::pin(calls(Rc::clone(service), Rc::clone(desk))));
        if catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx).is_pending())).is_err() {
            *slot = None;
            *desk.asked.borrow_mut() = None;
            *desk.answered.borrow_mut() = Some(self.refused(PANICKED));
        }
        match *desk.answered.borrow() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }

    /// Nobody waits for the call any more: it is dropped, wherever it stands.
    fn give_up(&self) {
        *self.calls.borrow_mut() = None;
        *self.desk.asked.borrow_mut() = None;
    }

    /// The service's decision on the head, or the answer to its panic.
    fn admit(&self, head: &Head) -> Result<Admission<S::Admitted>, Response> {
        catch_unwind(AssertUnwindSafe(|| self.service.admit(head)))
            .unwrap_or_else(|_| Err(self.refused(PANICKED)))
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

/// A request with its body, or why the connection ends. On the heap: most requests have no body.
type Reading<A> = Pin<Box<dyn Future<Output = Result<(Request, A), Response>>>>;

/// The answer to one request, as hyper waits for it.
pub(super) struct Answer<S: Service> {
    exchanges: Rc<Exchanges<S>>,
    state: State<S::Admitted>,
    to_head: bool,
    /// Whether the request is one of HTTP/1.0.
    to_old: bool,
    close: bool,
}

/// Small, because hyper moves it into place for each request.
enum State<A> {
    /// The head was enough to answer.
    Given(Box<Response>),
    Reading(Reading<A>),
    /// [`Exchanges::calls`] is at this one's call.
    Calling,
    Answered,
}

impl<S: Service> Answer<S> {
    /// The answer as the service, or a refusal, gave it.
    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Response> {
        if let State::Reading(reading) = &mut self.state {
            match ready!(reading.as_mut().poll(cx)) {
                Ok((request, admitted)) => {
                    self.exchanges.start(request, admitted);
                    self.state = State::Calling;
                }
                Err(response) => {
                    self.close = true;
                    self.state = State::Given(Box::new(response));
                }
            }
        }
        if let State::Calling = self.state {
            ready!(self.exchanges.poll_desk(cx));
            self.state = State::Answered;
            let response = self.exchanges.desk.answered.take();
            return Poll::Ready(response.expect("it is there"));
        }
        match mem::replace(&mut self.state, State::Answered) {
            State::Given(response) => Poll::Ready(*response),
            _ => unreachable!("hyper polls no answer that it has"),
        }
    }
}

impl<S: Service> Future for Answer<S> {
    type Output = Result<hyper::Response<Outgoing>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let response = ready!(this.poll_response(cx));
        this.exchanges.shared.phase.set(Phase::Waiting);
        let mut answer = finish(response, this.close, this.to_head);
        // Told in its own version, hyper takes our word that the connection closes, and does not put its own behind it.
        if this.to_old && answer.headers().contains_key(CONNECTION) {
            *answer.version_mut() = Version::HTTP_10;
        }
        if matches!(answer.body(), Outgoing::Stream(_)) {
            this.exchanges.shared.streamed.set(true);
        }
        Poll::Ready(Ok(answer))
    }
}

impl<S: Service> Drop for Answer<S> {
    fn drop(&mut self) {
        if matches!(self.state, State::Calling) {
            self.exchanges.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hyper::HeaderMap;
    use luge_shards::Instant;

    use super::*;

    /// Does as its `Admitted` says, and counts the calls that have begun and not ended.
    #[derive(Default)]
    struct Obedient {
        open: Cell<usize>,
        held: Rc<Cell<usize>>,
    }

    /// What admission found out, counted while anybody has it.
    struct Held {
        order: Order,
        count: Rc<Cell<usize>>,
    }

    impl Drop for Held {
        fn drop(&mut self) {
            self.count.set(self.count.get() - 1);
        }
    }

    #[derive(Clone, Copy)]
    enum Order {
        Answer(u16),
        Panic,
        Hang,
    }

    struct Open<'a>(&'a Cell<usize>);

    impl Drop for Open<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    impl Service for Obedient {
        type Admitted = Held;

        fn admit(&self, _: &Head) -> Result<Admission<Held>, Response> {
            Err(Response::new(StatusCode::NOT_FOUND))
        }

        async fn call(&self, _: &Request, &Held { order, .. }: &Held) -> Response {
            self.open.set(self.open.get() + 1);
            let _open = Open(&self.open);
            let mut polls = 0;
            poll_fn(|_| {
                polls += 1;
                match order {
                    Order::Answer(_) if polls > 1 => Poll::Ready(()),
                    Order::Panic if polls > 1 => panic!("the call panics, as the test wants"),
                    _ => Poll::Pending,
                }
            })
            .await;
            let Order::Answer(status) = order else {
                unreachable!("the others do not come here");
            };
            Response::new(StatusCode::from_u16(status).expect("a status"))
        }

        fn refused(&self, status: StatusCode, _: &'static str) -> Response {
            Response::new(status)
        }
    }

    fn request() -> Request {
        let head = Head {
            method: Method::GET,
            target: "/".parse().expect("a target"),
            headers: HeaderMap::new().into(),
            version: Version::HTTP_11,
            body: BodyLength::Declared(0),
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            found: Found::default(),
        };
        Request {
            head: Rc::new(head),
            body: Bytes::new(),
        }
    }

    /// A call as it is after the head was decided on.
    fn called(exchanges: &Rc<Exchanges<Obedient>>, order: Order) -> Answer<Obedient> {
        let count = Rc::clone(&exchanges.service.held);
        count.set(count.get() + 1);
        exchanges.start(request(), Held { order, count });
        Answer {
            exchanges: Rc::clone(exchanges),
            state: State::Calling,
            to_head: false,
            to_old: false,
            close: false,
        }
    }

    #[test]
    fn calls_follow_each_other_whatever_becomes_of_them() {
        let exchanges = Exchanges::new(
            Rc::new(Obedient::default()),
            Rc::new(Shared::new(Instant::now())),
            Rc::new(Limits::default()),
            SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        );
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut ends = |order| {
            let mut answer = called(&exchanges, order);
            let first = answer.poll_response(&mut cx);
            assert!(first.is_pending() && exchanges.service.open.get() == 1);
            match answer.poll_response(&mut cx) {
                Poll::Ready(response) => {
                    // The request and its context are gone before the answer leaves.
                    assert_eq!(exchanges.service.held.get(), 0);
                    Some(response.status.as_u16())
                }
                Poll::Pending => None,
            }
        };
        for _ in 0..3 {
            assert_eq!(ends(Order::Answer(200)), Some(200));
            assert_eq!(ends(Order::Answer(404)), Some(404));
            assert_eq!(ends(Order::Panic), Some(500));
            // Dropped while it runs.
            assert_eq!(ends(Order::Hang), None);
            assert_eq!(
                (exchanges.service.open.get(), exchanges.service.held.get()),
                (0, 0)
            );
            // Dropped before it ran.
            drop(called(&exchanges, Order::Answer(204)));
            assert_eq!(exchanges.service.held.get(), 0);
        }
        assert_eq!(ends(Order::Answer(200)), Some(200));
        assert_eq!(exchanges.service.open.get(), 0);
    }

    /// hyper moves it into place for each request.
    #[test]
    fn what_hyper_moves_is_small() {
        assert!(size_of::<Answer<Obedient>>() <= 64);
    }
}
