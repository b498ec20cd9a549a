//! A shard seen from inside: the [`Shard`] handle, and the order in which a shard begins and ends.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

use super::cycle::Reactor;
use super::glommio::{self, Bell, Heartbeat, Sleep};
use super::job::{Rejected, Submitted, Ticket, Unsubmitted};
use super::neighbours::Neighbours;
use super::network::{Doorbell, Network};
use super::runner::{Runner, catch_panic};
use super::tcp::Listener;
use super::{Birth, Everyone, clock, forget_time, panic_message, recent, turn_began};
use crate::config::{NetworkMode, ShardsConfig};
use crate::estimate::Estimate;
use crate::mesh::{Parcel, Stealing};
use crate::stats::ShardStats;
use crate::steering::{Placement, Request};
use crate::task::{Task, TaskMeta};
use crate::time::Instant;

/// How long the last look at the executor's rings may take.
const LAST_POLL: Duration = Duration::from_millis(1);

/// The number of a shard, from 0 to the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(
    /// The number.
    pub usize,
);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Handle of the shard that the caller runs on. Cheap to clone; stays on its thread.
#[derive(Clone, Debug)]
pub struct Shard {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: ShardId,
    everyone: Arc<Everyone>,
    runner: Rc<Runner>,
    /// The shard's own ring; without it the executor carries the network.
    network: Option<Rc<Network>>,
    heartbeat: Rc<Heartbeat>,
    draining: Cell<bool>,
    drain_waiters: RefCell<Slab<Option<Waker>>>,
    /// Set when `main` has returned: nothing is spawned any more.
    closing: Cell<bool>,
}

impl Shard {
    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.inner.id
    }

    /// Number of shards in the process.
    pub fn count(&self) -> usize {
        self.inner.everyone.stats.len()
    }

    /// The time on the monotonic clock, as of the shard's last look at it: before futures run, after each slice, and whenever a sleep
    /// begins or ends.
    pub fn now(&self) -> Instant {
        recent()
    }

    /// The shard's look at the clock before the futures that run now, one after the other: what has come for them was there by then. A
    /// little earlier than [`Shard::now`] where tasks of others among them have run at once ([`Submitted::Over`]).
    pub fn turn_began(&self) -> Instant {
        turn_began()
    }

    /// Runs `future` on this shard beside all others. It starts when the caller next waits, and is dropped when the
    /// shard's `main` returns. A panic ends that future alone and is counted.
    pub fn spawn_local(&self, future: impl Future<Output = ()> + 'static) {
        if !self.inner.closing.get() {
            self.inner.runner.futures().spawn(future);
        }
    }

    /// Resolves after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let now = clock();
        // Past the end of the clock: ten years do as well as for ever.
        self.sleep_until(
            now.checked_add(duration)
                .unwrap_or(now + Duration::from_secs(3600 * 24 * 3650)),
        )
    }

    /// Resolves at `at`, or at once if that has passed.
    pub fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep::until(at)
    }

    /// Resolves when the process was asked to drain; at once if it was.
    pub fn draining(&self) -> Draining {
        Draining {
            inner: self.inner.clone(),
            key: None,
        }
    }

    /// Whether the process was asked to drain.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.get()
    }

    /// Listens on `addr` with `SO_REUSEPORT`, so that every shard can listen on the same address and the kernel spreads
    /// the connections. With port 0 each shard would get its own: reserve it with
    /// [`ListenAddress`](crate::ListenAddress) first.
    ///
    /// # Errors
    /// What `bind(2)` and `listen(2)` report.
    pub fn listen(&self, addr: SocketAddr) -> io::Result<Listener> {
        match &self.inner.network {
            Some(network) => Listener::on_ring(network.clone(), addr),
            None => Listener::on_executor(addr, self.inner.stats().clone(), self.inner.heartbeat.clone()),
        }
    }

    /// From now on new sockets of this shard are shown to `doorbell`, so that what arrives there interrupts a task that
    /// runs. Without the shard's own ring nothing is shown to it: then tasks are interrupted by time alone.
    pub fn set_doorbell(&self, doorbell: Rc<dyn Doorbell>) {
        if let Some(neighbours) = self.inner.runner.neighbours() {
            neighbours.set_interrupt(doorbell.interrupt());
        }
        if let Some(network) = &self.inner.network {
            network.set_doorbell(doorbell);
        }
    }

    /// Whether a ring of the shard's own carries the network; if not, the executor does.
    pub fn has_ring(&self) -> bool {
        self.inner.network.is_some()
    }

    /// Sends a parcel to another shard, which opens it in the next microseconds: it is woken if it sleeps, and interrupted if
    /// the parcel is more urgent than what it runs.
    ///
    /// # Errors
    /// The parcel, where the other shard has too many unopened ones of this one, has ended, or is this one, or where shards do
    /// not know each other because the executor carries the network.
    pub fn send(&self, to: ShardId, parcel: Parcel) -> Result<(), Parcel> {
        match self.inner.runner.neighbours() {
            Some(neighbours) if to != self.id() && to.0 < self.count() => neighbours.send(to.0, parcel),
            _ => Err(parcel),
        }
    }

    /// Where a request that has arrived here is to be served, by what this shard and the others have to do.
    /// [`Request::lot`] is drawn here, and [`Request::held_back`] filled in.
    pub fn place(&self, request: &Request) -> Placement {
        self.inner.runner.place(request, recent())
    }

    /// What is known of how long tasks of this class take, if anything is.
    pub fn estimate(&self, class: u32) -> Option<Estimate> {
        self.inner.runner.estimate(class)
    }

    /// Gives `task` to this shard's scheduler.
    ///
    /// # Errors
    /// The task, when the queue is full or the shard is draining.
    pub fn submit<T: Task>(&self, task: T, meta: TaskMeta) -> Result<Ticket<T>, Rejected<T>> {
        self.inner.runner.submit(task, meta)
    }

    /// As [`Shard::submit`], for a task that is made only once it is admitted: what is refused under overload should cost nothing that
    /// was for its run. `make` is called at once or not at all, and must not submit.
    ///
    /// A task of a class that is known to be short may run at once, before this returns: where nobody waits for the core, and where the
    /// shard's own ring carries the network, so that it is known when that is to be looked at again.
    ///
    /// # Errors
    /// Why it was not admitted, or why it could not be made; nothing is submitted then.
    pub fn submit_with<T: Task, E>(
        &self,
        meta: TaskMeta,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Submitted<T>, Unsubmitted<E>> {
        self.inner.runner.submit_with(meta, make)
    }

    /// This shard's counters.
    pub fn stats(&self) -> Arc<ShardStats> {
        self.inner.stats().clone()
    }

    /// The counters of all shards, in the order of their ids.
    pub fn all_stats(&self) -> &[Arc<ShardStats>] {
        &self.inner.everyone.stats
    }
}

/// The life of a shard on its executor. The error is the message of a panic in `main`.
pub(super) async fn live<F, Fut>(birth: Birth, main: F) -> Result<(), String>
where
    F: Fn(Shard) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let Birth {
        id,
        config,
        everyone,
        port,
        ..
    } = birth;
    let runner = Rc::new(Runner::new(config.scheduler(), everyone.stats[id.0].clone()));
    let (network, bell) = match config.network {
        NetworkMode::Executor => (None, None),
        NetworkMode::Ring => {
            let (network, bell) = ring(&config, &runner, &everyone.stats[id.0]).map_err(|error| {
                format!("its network ring cannot be made: {error} (choose the executor's network instead)")
            })?;
            (Some(network), Some(bell))
        }
    };
    if let (Some(network), Some(port)) = (&network, port) {
        let stealing = config
            .stealing
            .map(|stealing| Stealing::new(id.0, port.shards(), stealing));
        runner.join(Neighbours::new(
            port,
            everyone.reach.clone(),
            network.clone(),
            stealing,
            config.steering,
            everyone.stats[id.0].clone(),
        ));
    }
    let inner = Rc::new(Inner {
        id,
        everyone,
        runner,
        network,
        heartbeat: Rc::default(),
        draining: Cell::new(false),
        drain_waiters: RefCell::default(),
        closing: Cell::new(false),
    });
    let running = glommio::spawn(run(inner.clone(), bell.clone(), config.busy_poll()));
    let watching = glommio::spawn(watch_for_drain(inner.clone()));
    let carrying = glommio::spawn(carry(inner.clone()));

    let result = live_main(&inner, main).await;

    inner.runner.futures().clear();
    if let Some(bell) = &bell {
        // So that the wait for it is over before it is dropped.
        bell.ring();
        glommio::yield_to_reactor(LAST_POLL).await;
    }
    running.cancel().await;
    watching.cancel().await;
    carrying.cancel().await;
    inner.runner.futures().close();
    inner.everyone.controls[id.0].forget_watcher();
    // What was cancelled by being dropped (an acceptor, say) is itself dropped when the executor next comes by.
    glommio::yield_to_reactor(LAST_POLL).await;
    result.map_err(|panic| panic_message(&*panic))
}

/// The shard's ring, and the bell by which it wakes the executor.
fn ring(
    config: &ShardsConfig,
    runner: &Runner,
    stats: &Arc<ShardStats>,
) -> io::Result<(Rc<Network>, Rc<Bell>)> {
    let bell = Rc::new(Bell::new()?);
    let network = Network::new(
        config.ring(),
        bell.as_fd(),
        runner.wakeup().clone(),
        stats.clone(),
    )?;
    Ok((network, bell))
}

/// Runs tasks until the shard ends. A ring that fails in service ends the process in order, as a lost core does: what there is is
/// served on without a network, until `main` has returned.
async fn run(inner: Rc<Inner>, bell: Option<Rc<Bell>>, busy_poll: Duration) {
    let (Some(network), Some(bell)) = (&inner.network, bell) else {
        return inner.runner.clone().run_on_executor().await;
    };
    let reactor = Reactor::new(network.clone(), bell, busy_poll);
    if let Err(error) = inner.runner.clone().run_on_ring(reactor).await {
        eprintln!("shard {}: the network ring has failed: {error}", inner.id);
        inner.everyone.drain();
        forget_time();
        inner.runner.clone().run_on_executor().await;
    }
}

/// Runs `main` among the shard's futures, and gives what it panicked with.
async fn live_main<F, Fut>(inner: &Rc<Inner>, main: F) -> Result<(), Box<dyn Any + Send>>
where
    F: Fn(Shard) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    #[derive(Default)]
    struct Over {
        result: Cell<Option<Result<(), Box<dyn Any + Send>>>>,
        waiter: Cell<Option<Waker>>,
    }
    let over = Rc::<Over>::default();
    let (told, shard) = (over.clone(), Shard { inner: inner.clone() });
    inner.runner.futures().spawn(async move {
        let inner = shard.inner.clone();
        let result = catch_panic(async { main(shard).await }).await;
        inner.closing.set(true);
        told.result.set(Some(result));
        if let Some(waiter) = told.waiter.take() {
            waiter.wake();
        }
    });
    poll_fn(|cx| match over.result.take() {
        Some(result) => Poll::Ready(result),
        None => {
            over.waiter.set(Some(cx.waker().clone()));
            Poll::Pending
        }
    })
    .await
}

/// Brings the futures what other threads have woken.
async fn carry(inner: Rc<Inner>) {
    poll_fn(|cx| {
        inner.runner.futures().carry(cx.waker());
        Poll::<()>::Pending
    })
    .await;
}

async fn watch_for_drain(inner: Rc<Inner>) {
    let control = &inner.everyone.controls[inner.id.0];
    poll_fn(|cx| control.poll_draining(cx.waker())).await;
    inner.draining.set(true);
    inner.runner.drain();
    let waiters: Vec<Waker> = inner
        .drain_waiters
        .borrow_mut()
        .iter_mut()
        .filter_map(|(_, waker)| waker.take())
        .collect();
    for waiter in waiters {
        waiter.wake();
    }
}

impl Inner {
    fn stats(&self) -> &Arc<ShardStats> {
        &self.everyone.stats[self.id.0]
    }
}

/// Resolves when the process drains. Made by [`Shard::draining`].
///
/// Each one registers its own waker, so any number of connections may wait.
#[derive(Debug)]
pub struct Draining {
    inner: Rc<Inner>,
    key: Option<usize>,
}

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.inner.draining.get() {
            return Poll::Ready(());
        }
        let waker = Some(cx.waker().clone());
        let key = self.key;
        let mut waiters = self.inner.drain_waiters.borrow_mut();
        if let Some(key) = key {
            waiters[key] = waker;
            return Poll::Pending;
        }
        let key = waiters.insert(waker);
        drop(waiters);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.inner.drain_waiters.borrow_mut().remove(key);
        }
    }
}
