//! The executor under a shard. This module and [`net`] are the only ones that name glommio.
//!
//! What the rest of the driver needs of an executor is little: run a future on this thread, spawn another, sleep, step
//! aside for the other futures, and step aside so that I/O is polled. The last two differ, and much depends on it. (What users spawn
//! is not among these futures but polled by one of them, see the module `futures`.)
//!
//! ```text
//!   the executor's loop       [poll all rings] -> [run futures until none is ready] -> [poll; sleep if idle] -> ...
//!
//!   yield_to_futures()        to the back of the ready queue: the others run, the rings are NOT polled
//!   yield_to_reactor()        off the ready queue, behind a timer that has expired already: the executor finds nothing
//!                             ready, polls the rings, sees the timer, and comes back without sleeping
//! ```
//!
//! A future that only yields to other futures keeps the executor from its rings until the preemption timer fires
//! (100 ms), because readiness of sockets is posted to a ring that the executor does not watch while futures are ready.
//!
//! Two hazards of the executor are held off here. It may go to sleep although futures are ready, when an event without
//! a waiter (an expired preemption timer, a late wake-up from another thread) arrives between its last poll and its
//! first look at the queue: so a *guard* timer stands while the runner yields, and a *heartbeat* ticks while
//! connections are open; either ends such a sleep. And a future that is dropped with its executor is leaked rather than
//! dropped: so whoever spawns keeps the handle and cancels before the end.

#[expect(
    unsafe_code,
    reason = "a descriptor is handed to the executor, whose type takes it by number only"
)]
mod bell;
pub(crate) mod net;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use glommio::timer::Timer;
use glommio::{LocalExecutorBuilder, Placement};

use super::clock;
use crate::time::Instant;

pub(super) use bell::Bell;

/// Ends a sleep that the executor fell into while connections had work; see the module's text.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// The longest time that is handed to one timer; longer sleeps take several.
const LONGEST_TIMER: Duration = Duration::from_secs(3600 * 24 * 365);

/// Runs `future` to its end on an executor of this thread, which the caller has pinned.
///
/// Futures that were spawned and not cancelled by then are leaked.
pub(super) fn run<F: Future>(io_memory: usize, ring_depth: usize, future: F) -> io::Result<F::Output> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(io_memory)
        .ring_depth(ring_depth.max(1))
        .make()
        .map_err(io::Error::from)?;
    Ok(executor.run(future))
}

/// A spawned future; dropping this cancels it, which takes effect when the executor next runs.
#[derive(Debug)]
pub(super) struct Spawned(glommio::Task<()>);

/// Puts `future` at the end of the ready queue. It does not run before the caller yields.
pub(super) fn spawn(future: impl Future<Output = ()> + 'static) -> Spawned {
    let executor = glommio::executor();
    let queue = executor.current_task_queue();
    Spawned(glommio::spawn_local_into(future, queue).expect("the queue that runs us exists"))
}

impl Spawned {
    /// Lets the future go on without a handle. Only for a future that is about to end.
    pub(super) fn detach(self) {
        drop(self.0.detach());
    }

    /// Drops the future, and returns when that has happened.
    pub(super) async fn cancel(self) {
        self.0.cancel().await;
    }
}

/// Lets every future run that is ready now. Does not poll I/O.
pub(super) async fn yield_to_futures() {
    glommio::executor().yield_task_queue_now().await;
}

/// Lets every ready future run, and the executor poll all its rings. Never sleeps.
pub(super) async fn yield_to_reactor(guard: Duration) {
    let mut expired = Timer::new(LONGEST_TIMER);
    let mut guard = Timer::new(guard);
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        if Pin::new(&mut guard).poll(cx).is_ready() || Pin::new(&mut expired).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        // Only now is the timer known to the executor, and a known timer may be moved into the past.
        expired.reset(Duration::ZERO);
        Poll::Pending
    })
    .await;
}

/// Calls `then` after a while, in a future of its own.
pub(super) fn after(pause: Duration, then: impl FnOnce() + 'static) {
    spawn(async move {
        Timer::new(pause).await;
        then();
    })
    .detach();
}

/// A future that is ready from a given instant on. Made by [`Shard::sleep`](crate::Shard::sleep).
///
/// It belongs to the shard that made it and must be dropped there.
#[derive(Debug)]
pub struct Sleep {
    timer: Timer,
    at: Instant,
}

impl Sleep {
    pub(super) fn until(at: Instant) -> Self {
        Self {
            timer: Timer::new(timer_length(at)),
            at,
        }
    }

    /// When it is ready.
    pub fn deadline(&self) -> Instant {
        self.at
    }

    /// Moves the instant, earlier or later. A task that waits stays registered.
    pub fn reset(&mut self, at: Instant) {
        self.at = at;
        self.timer.reset(timer_length(at));
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            if clock() >= self.at {
                return Poll::Ready(());
            }
            let at = self.at;
            self.timer = Timer::new(timer_length(at));
        }
    }
}

fn timer_length(at: Instant) -> Duration {
    at.saturating_duration_since(clock()).min(LONGEST_TIMER)
}

/// Ticks while anything holds a [`Beat`]; see the module's text.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    holders: Cell<usize>,
    ticking: Cell<bool>,
}

/// Keeps a [`Heartbeat`] ticking.
#[derive(Debug)]
struct Beat(Rc<Heartbeat>);

impl Beat {
    fn new(heartbeat: &Rc<Heartbeat>) -> Self {
        heartbeat.holders.set(heartbeat.holders.get() + 1);
        if !heartbeat.ticking.replace(true) {
            let heartbeat = heartbeat.clone();
            spawn(async move {
                while heartbeat.holders.get() > 0 {
                    Timer::new(HEARTBEAT).await;
                }
                heartbeat.ticking.set(false);
            })
            .detach();
        }
        Self(heartbeat.clone())
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.holders.set(self.0.holders.get() - 1);
    }
}
