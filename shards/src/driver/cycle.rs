//! The cycle of a shard: look at the network, let the futures run, run the most urgent task, sleep when there is none.
//!
//! ```text
//!        ┌──────────────────────────────────────────────────────────────────────────────┐
//!        ▼                                                                              │
//!   turn the ring ──► futures run: parse, submit, answer ──► scheduler ──► one slice ───┤ short ones: several before
//!        ▲                                                       │                      │ the ring is turned again
//!        │            look on, where that is wanted ◄────────────┴─► nothing to run     │
//!        │            sleep in the ring, a little while                                 │
//!        │            sleep in the executor, for as long as it takes; the bell wakes ───┘
//! ```
//! **Between short slices** the ring is turned once in [`TURN`] only, and futures do not run either: system calls, and steps aside,
//! are what a small request costs most, and a request that waits that long is not late. A slice that may be long is not begun before
//! answers are on their way, which may take up to [`LOOKS`] turns. Until the ring is to be turned, short tasks may also pass by the queue
//! (the module `passing`), which futures then run themselves.
//!
//! **When a slice is interrupted**, the ring is turned if anything has come, and the scheduler decides anew: also when it was the
//! timer on CPU time that rang. A task that was interrupted too often for nothing has one slice to itself.
//!
//! **Busy-polling** comes before sleep, where it is asked for: the shard goes on looking, which makes no system call, because on a
//! virtual machine a core that was halted may be back milliseconds late. It goes round the cycle meanwhile, every [`SPELL`].
//!
//! **Sleep** is first in the ring itself, because whatever wakes a busy shard comes from there, and one system call then both
//! submits and sleeps. The executor's own sleep takes several, but it also ends for timers and for other threads: it is for
//! shards that have had nothing to do for [`DOZE`]. The executor is polled at least that often while the shard is busy.

use std::future::{Future, poll_fn};
use std::hint;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::glommio::{Bell, yield_to_reactor};
use super::neighbours::Neighbours;
use super::network::Network;
use super::runner::{Next, Runner};
use super::{clock, forget_time, look_at_clock};
use crate::mesh::Announced;
use crate::task::{Slice, TaskId};
use crate::time::Instant;

/// What is expected to take longer than this is long.
const BURST: Duration = Duration::from_micros(50);
/// For how long short slices may follow each other without a look at the network: less makes fewer requests share a look's costs, and
/// all of it is added to what they wait.
const TURN: Duration = Duration::from_micros(100);
/// A slice that is expected to take less than this is not disturbed by what arrives: hearing it costs two system calls and, at each
/// arrival, some microseconds. Should it take longer, the timer on CPU time ends it.
const WORTH_HEARING: Duration = Duration::from_micros(100);
/// Looks at the network in a row before a slice that may be long: the first shows what has come, the second sends what was answered to
/// it. Under load something comes during each.
const LOOKS: usize = 3;
/// How long a shard that has nothing to do sleeps in the ring before it sleeps in the executor; and the longest time for which
/// the executor, its timers among it, is not looked at.
const DOZE: Duration = Duration::from_millis(4);
/// How long a shard that busy-polls looks at its ring and its mail alone, before futures, executor and neighbours have their turn.
const SPELL: Duration = Duration::from_micros(100);
/// A sleep in the executor ends after this while sockets are open; see the module `glommio` on sleeps that should not have begun.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// The ring of a shard and what wakes the executor for it.
pub(super) struct Reactor {
    pub(super) network: Rc<Network>,
    bell: Rc<Bell>,
    /// The wait for the bell, which goes on from sleep to sleep.
    rung: Pin<Box<dyn Future<Output = ()>>>,
    turned: Instant,
    /// How long to look on before each sleep.
    busy_poll: Duration,
    /// Since when there is nothing to do.
    idle_since: Option<Instant>,
    /// Whether a neighbour may have been asked for work, which may still come.
    asks: bool,
}

impl Reactor {
    pub(super) fn new(network: Rc<Network>, bell: Rc<Bell>, busy_poll: Duration) -> Self {
        let rung = wait_for(bell.clone());
        Self {
            network,
            bell,
            rung,
            turned: clock(),
            busy_poll,
            idle_since: None,
            asks: false,
        }
    }

    /// Submits, and takes what has come. Says whether anything has.
    fn turn(&mut self, now: Instant) -> io::Result<bool> {
        self.turned = now;
        let any = self.network.turn()?;
        if any {
            self.idle_since = None;
        }
        Ok(any)
    }

    fn has_been_quiet_for(&self, time: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.turned) >= time
    }
}

/// What has come of busy-polling.
enum Look {
    /// Something to do.
    Something,
    /// Nothing yet.
    Nothing,
    /// It is time to sleep.
    Over,
}

fn wait_for(bell: Rc<Bell>) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move { bell.rung().await })
}

impl Runner {
    /// Runs tasks for ever, on a ring of the shard's own.
    ///
    /// # Errors
    /// What makes the ring useless.
    pub(super) async fn run_on_ring(self: Rc<Self>, mut reactor: Reactor) -> io::Result<()> {
        let mut now = look_at_clock();
        let mut polled = now;
        loop {
            if self.look_around(now) {
                reactor.idle_since = None;
                self.futures().run();
                now = look_at_clock();
            }
            // Before the core is given away for long: what waits to be sent, and what makes another task more urgent. What futures
            // write after one look leaves by the next.
            for _ in 0..LOOKS {
                if !self.next_is_longer_than(BURST) {
                    break;
                }
                reactor.network.hush();
                if !reactor.network.has_work() {
                    break;
                }
                self.turn(&mut reactor, now)?;
                look_at_clock();
                self.futures().run();
                now = look_at_clock();
            }
            // What is notified from here on, the scheduler may not have seen.
            self.wakeup().take();
            match self.next(now) {
                Next::Run { id, slice } => {
                    reactor.idle_since = None;
                    if mem::take(&mut reactor.asks) {
                        self.withdraw();
                    }
                    now = self.announced_slice(id, slice, now);
                    // Short ones follow at once: a step aside for each would cost as much as a run.
                    while self.next_is_shorter_than(BURST) && !reactor.has_been_quiet_for(TURN, now) {
                        let Next::Run { id, slice } = self.next(now) else {
                            break;
                        };
                        now = self.announced_slice(id, slice, now);
                    }
                    self.show();
                    if reactor.has_been_quiet_for(TURN, now) {
                        // What the futures answer now leaves by this turn. What they begin has not waited for these slices.
                        look_at_clock();
                        self.futures().run();
                        self.turn(&mut reactor, now)?;
                        look_at_clock();
                    }
                }
                Next::Idle { wake_at } => {
                    // Twice: one may have woken another. Mostly none has anything to do, and the last look at the clock is as good as new.
                    if self.futures().run() {
                        self.futures().run();
                        now = look_at_clock();
                    }
                    self.show();
                    if !self.wakeup().is_notified() && !self.futures().has_ready() {
                        if self.rest(&mut reactor, wake_at, now).await? {
                            polled = look_at_clock();
                        }
                    } else if reactor.has_been_quiet_for(TURN, now) {
                        // Futures that are always ready keep nobody from the network.
                        self.turn(&mut reactor, now)?;
                    }
                }
            }
            if now.saturating_duration_since(polled) >= DOZE {
                self.poll_executor().await;
                polled = look_at_clock();
            }
            self.let_pass_until(reactor.turned + TURN, BURST);
            self.futures().run();
            now = look_at_clock();
        }
    }

    fn turn(&self, reactor: &mut Reactor, now: Instant) -> io::Result<bool> {
        self.stats().ring_turned();
        reactor.turn(now)
    }

    async fn poll_executor(&self) {
        self.stats().reactor_polled();
        forget_time();
        yield_to_reactor(DOZE).await;
    }

    /// Opens mail, gives work to whoever asks for it, and tells what there is to do. Says whether futures may have something
    /// to do by that.
    fn look_around(&self, now: Instant) -> bool {
        let Some(neighbours) = self.neighbours() else {
            return false;
        };
        let mut any = neighbours.open_mail();
        // What came by mail was submitted at the time of its own looks at the clock.
        let now = if any { look_at_clock() } else { now };
        if let Some((thief, gift)) = neighbours.asked_for(|| self.demand(now), now) {
            self.release(thief, gift, now);
            any = true;
        }
        neighbours.publish(|| self.demand(now), self.work(), self.busy(), now);
        any
    }

    /// Runs a slice. One that may be long is disturbed by what arrives and by neighbours, unless it was too often. Gives the time
    /// at its end.
    fn announced_slice(&self, id: TaskId, mut slice: Slice, began: Instant) -> Instant {
        slice.undisturbed = !self.may_take_longer_than(id, WORTH_HEARING) || self.is_hindered(id);
        if !slice.undisturbed {
            // It will be seen for a while.
            self.show();
        }
        let announced = self.neighbours().filter(|_| !slice.undisturbed);
        if let Some(neighbours) = announced
            && neighbours.run_until(self.promised(id)) == Announced::MailFirst
        {
            // It was decided without what has just come: the task takes its turn, and gives it back at once.
            neighbours.open_mail();
            neighbours.interrupt_self();
        }
        let ended = self.slice(id, slice, began);
        if let Some(neighbours) = announced {
            neighbours.ran();
        }
        self.count_hindrance(id, ended.saturating_duration_since(began) < BURST);
        ended
    }

    /// Looks on, or sleeps until there is something to do. Says whether the executor was polled meanwhile.
    async fn rest(&self, reactor: &mut Reactor, wake_at: Option<Instant>, now: Instant) -> io::Result<bool> {
        if let Some(neighbours) = self.neighbours() {
            neighbours.look_for_work(self.busy(), now);
        }
        match self.look_on(reactor, wake_at, now)? {
            Look::Over => {}
            // What was asked for may still come.
            Look::Nothing => {
                reactor.asks = true;
                return Ok(false);
            }
            Look::Something => {
                self.withdraw();
                return Ok(false);
            }
        }
        reactor.asks = false;
        if let Some(neighbours) = self.neighbours()
            && !neighbours.park()
        {
            neighbours.unpark();
            return Ok(false);
        }
        let nothing = self.doze(reactor, wake_at, now)?;
        if nothing {
            self.sleep(reactor, wake_at).await;
        }
        self.withdraw();
        Ok(nothing)
    }

    /// This shard has something to do, and asks nobody for work.
    fn withdraw(&self) {
        if let Some(neighbours) = self.neighbours() {
            neighbours.unpark();
        }
    }

    /// Looks for what comes, for a spell, as long as a shard does that before it sleeps. Makes no system call before something has.
    fn look_on(&self, reactor: &mut Reactor, wake_at: Option<Instant>, now: Instant) -> io::Result<Look> {
        let over = *reactor.idle_since.get_or_insert(now) + reactor.busy_poll;
        if now >= over {
            return Ok(Look::Over);
        }
        // What futures have written leaves first.
        if reactor.turn(now)? {
            return Ok(Look::Something);
        }
        let until = wake_at.map_or(over, |at| at.min(over)).min(now + SPELL);
        let has_come = || reactor.network.has_work() || self.neighbours().is_some_and(Neighbours::has_mail);
        let mut looked = now;
        let mut any = has_come();
        while !any && looked < until {
            hint::spin_loop();
            looked = clock();
            any = has_come();
        }
        self.stats()
            .busy_polled(looked.saturating_duration_since(now), any);
        look_at_clock();
        if any {
            reactor.turn(looked)?;
        }
        let is_due = wake_at.is_some_and(|at| looked >= at);
        Ok(if any || is_due {
            Look::Something
        } else {
            Look::Nothing
        })
    }

    /// Sleeps in the ring. Says whether nothing has come of it.
    fn doze(&self, reactor: &mut Reactor, wake_at: Option<Instant>, now: Instant) -> io::Result<bool> {
        let longest = wake_at.map_or(DOZE, |at| at.saturating_duration_since(now).min(DOZE));
        self.stats().dozed();
        let any = reactor.network.wait(longest)?;
        reactor.turned = look_at_clock();
        if any {
            reactor.idle_since = None;
        }
        Ok(!any && longest == DOZE)
    }

    /// Sleeps in the executor until a task or a future has something to do, or the ring.
    async fn sleep(&self, reactor: &mut Reactor, wake_at: Option<Instant>) {
        reactor.network.ring_bell(true);
        // What came before the bell was switched on does not ring.
        if !reactor.network.has_work() && !self.futures().has_ready() {
            self.stats().slept();
            forget_time();
            let guard = reactor.network.is_used().then(|| clock() + LONGEST_SLEEP);
            let until = [wake_at, guard].into_iter().flatten().min();
            let mut woken = pin!(self.wakeup().wait(until));
            poll_fn(|cx| {
                let mut is_over = woken.as_mut().poll(cx).is_ready();
                if reactor.rung.as_mut().poll(cx).is_ready() {
                    reactor.rung = wait_for(reactor.bell.clone());
                    is_over = true;
                }
                if is_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        reactor.network.ring_bell(false);
    }
}
