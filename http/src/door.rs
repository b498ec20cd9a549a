//! Doors: a listener's accept loop, its open connections, and what it tells those beyond its number.
//!
//! ```text
//!   accept --fewer than connections_max open--> h1 with the door's service
//!          --else, fewer than REFUSALS_MAX----> h1 with `Refuse`: 503 with Retry-After, close
//!          --else-----------------------------> closed without a word
//! ```
//! One connection too many is served too, but only to be told so: a client that learns of the overload at once can go
//! elsewhere, while one that waits in the backlog of a full core cannot even be taken over by another.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use luge_shards::{Listener, Stream};

use crate::error::{Failure, explained};
use crate::h1::{self, Admission, Head, Request, Response, Service};
use crate::metrics::{ShardMetrics, ShardSource};
use crate::net::{ShardRuntime, ShardStream, unless};

/// Connections of one door that are told 503 at the same time.
pub const REFUSALS_MAX: usize = 64;
/// Pause after a failed accept: the reason (no descriptors left, for one) will not be gone at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An accept loop and its open connections.
pub struct Door<S> {
    /// Time and drain, for the loop and the connections.
    pub runtime: ShardRuntime,
    /// What answers.
    pub service: Rc<S>,
    /// Bounds of each connection.
    pub limits: Rc<h1::Limits>,
    /// Connections that may be open at a time.
    pub connections_max: usize,
    /// The connections that are open.
    pub open: Rc<OpenConnections>,
}

impl<S: Service> Door<S> {
    /// Accepts until the server drains, or for ever where the runtime does not drain.
    pub async fn accept(self, listener: Listener) {
        let shard = self.runtime.shard.clone();
        let refusing = Rc::new(OpenConnections::default());
        let mut drain = h1::Runtime::draining(&self.runtime);
        while let Some(accepted) = unless(&mut drain, listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.welcome(stream, peer, &refusing),
                Err(error) => {
                    tracing::error!(shard = shard.id().0, %error, "accept failed");
                    shard.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn welcome(&self, stream: Stream, peer: SocketAddr, refusing: &Rc<OpenConnections>) {
        // Answers are written in one piece; waiting for more of them would only delay the last.
        let _ = stream.set_nodelay(true);
        let (stream, runtime) = (ShardStream(stream), self.runtime.clone());
        let limits = Rc::clone(&self.limits);
        if self.open.count() < self.connections_max {
            let (place, service) = (self.open.enter(), Rc::clone(&self.service));
            self.runtime.shard.spawn_local(async move {
                let end = h1::serve(stream, runtime, peer, service, limits).await;
                tracing::trace!(%peer, ?end, "connection ended");
                drop(place);
            });
            return;
        }
        self.open.refuse();
        if refusing.count() < REFUSALS_MAX {
            let place = refusing.enter();
            self.runtime.shard.spawn_local(async move {
                h1::serve(stream, runtime, peer, Rc::new(Refuse), limits).await;
                drop(place);
            });
        }
    }
}

/// Answers every request with 503 and closes.
struct Refuse;

impl Refuse {
    fn response() -> Response {
        let mut response = Failure::TooManyConnections.response();
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

impl Service for Refuse {
    type Admitted = ();

    fn admit(&self, _: &Head) -> Result<Admission<()>, Response> {
        Err(Refuse::response())
    }

    async fn call(&self, _: &Request, (): &()) -> Response {
        Refuse::response()
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        explained(status, reason)
    }
}

/// How many connections are open, and who waits for none to be.
#[derive(Debug, Default)]
pub struct OpenConnections {
    count: Cell<usize>,
    waiter: RefCell<Option<Waker>>,
    metrics: Option<(Arc<[ShardSource]>, usize)>,
}

impl OpenConnections {
    /// None yet; they will be counted among those of this shard.
    #[must_use]
    pub fn counted(sources: Arc<[ShardSource]>, shard: usize) -> OpenConnections {
        OpenConnections {
            metrics: Some((sources, shard)),
            ..OpenConnections::default()
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// Resolves when no connection is open. There is one waiter at most.
    pub async fn idle(&self) {
        std::future::poll_fn(|cx| {
            if self.count.get() == 0 {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn enter(self: &Rc<Self>) -> Place {
        self.count.set(self.count.get() + 1);
        if let Some(metrics) = self.metrics() {
            metrics.connections_accepted.add(1);
            metrics.connections_open.add(1);
        }
        Place(Rc::clone(self))
    }

    fn refuse(&self) {
        if let Some(metrics) = self.metrics() {
            metrics.connections_accepted.add(1);
            metrics.connections_refused.add(1);
        }
    }

    fn metrics(&self) -> Option<&ShardMetrics> {
        self.metrics
            .as_ref()
            .map(|(sources, shard)| &sources[*shard].counters)
    }
}

/// A connection's place in the count; left by dropping it, so also when the connection's task panics.
struct Place(Rc<OpenConnections>);

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.0.count.get() - 1;
        self.0.count.set(left);
        if let Some(metrics) = self.0.metrics() {
            metrics.connections_open.subtract(1);
        }
        if left == 0
            && let Some(waker) = self.0.waiter.borrow_mut().take()
        {
            waker.wake();
        }
    }
}
