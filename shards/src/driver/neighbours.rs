//! A shard among others: mail, wake-ups, what it tells of its load, and work that goes from one to the other.
//!
//! ```text
//!   once in each cycle      mail is opened; whoever asks for work is given some
//!   while a slice runs      announced, with its deadline: mail that is more urgent interrupts it
//!   when there is nothing   load published, a neighbour asked for work; mail looked for, or parked: mail wakes the shard
//! ```
//! The mesh says what is to be done for a neighbour ([`Wake`]); here it is done: a message from ring to ring wakes one that
//! sleeps, in its ring or in its executor alike, and a signal interrupts one that computes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::clock;
use super::network::Network;
use crate::admission::Demand;
use crate::mesh::{Announced, Gift, Parcel, Port, ShardLoad, Stealing, StealingConfig, Wake};
use crate::stats::ShardStats;
use crate::steering::{self, Placement, Request, Steering, SteeringConfig};
use crate::time::Instant;

/// The names of parcels with tasks, which are counted: sent because this shard could not serve it in time or is not its home, and
/// taken over on request.
const SPILLED: &str = "run";
const STOLEN: &str = "stolen run";
/// Parcels that are opened before futures and tasks get their turn.
const BATCH: usize = 64;
/// Least time between two publications of the load, as long as there is some.
const PUBLISH: Duration = Duration::from_micros(20);
/// Likewise, as long as there is so little that no neighbour would be woken for it: small requests come and go within that. A neighbour
/// that looks by itself meanwhile may leave it here.
const PUBLISH_LITTLE: Duration = Duration::from_millis(1);
/// Time over which the utilisation is taken.
const WINDOW: Duration = Duration::from_millis(100);

/// Interrupts whatever the shard that made this runs. From any thread; not to be called often.
pub type Interrupt = Arc<dyn Fn() + Send + Sync>;

/// How each shard is reached by the others.
#[derive(Default)]
pub(super) struct Reach {
    /// The ring's descriptor; -1 where there is none, or none any more.
    ring: AtomicI32,
    interrupt: OnceLock<Interrupt>,
}

impl Reach {
    pub(super) fn nowhere() -> Self {
        Self {
            ring: AtomicI32::new(-1),
            interrupt: OnceLock::new(),
        }
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach")
            .field("ring", &self.ring)
            .finish_non_exhaustive()
    }
}

/// One shard's side of it.
pub(super) struct Neighbours {
    port: RefCell<Port>,
    reach: Arc<[Reach]>,
    network: Rc<Network>,
    stealing: RefCell<Option<Stealing>>,
    /// Less work than this is not told of at once.
    little: Duration,
    steering: SteeringConfig,
    /// Whom this shard has asked for work.
    asked: Cell<Option<usize>>,
    published: Cell<Option<Published>>,
    utilisation: Cell<Utilisation>,
    lot: Cell<u64>,
    stats: Arc<ShardStats>,
}

#[derive(Clone, Copy)]
struct Published {
    at: Instant,
    is_idle: bool,
    is_little: bool,
}

#[derive(Clone, Copy)]
struct Utilisation {
    since: Instant,
    busy: Duration,
    value: f64,
}

impl Neighbours {
    pub(super) fn new(
        port: Port,
        reach: Arc<[Reach]>,
        network: Rc<Network>,
        stealing: Option<Stealing>,
        steering: SteeringConfig,
        stats: Arc<ShardStats>,
    ) -> Self {
        reach[port.id()]
            .ring
            .store(network.descriptor(), Ordering::Release);
        let utilisation = Utilisation {
            since: clock(),
            busy: Duration::ZERO,
            value: 0.0,
        };
        let config = stealing.as_ref().map(Stealing::config);
        let StealingConfig { threshold, .. } = config.unwrap_or_default();
        Self {
            port: RefCell::new(port),
            reach,
            network,
            little: threshold,
            stealing: RefCell::new(stealing),
            steering,
            asked: Cell::new(None),
            published: Cell::new(None),
            utilisation: Cell::new(utilisation),
            lot: Cell::new(0),
            stats,
        }
    }

    /// From now on this interrupts what this shard runs.
    pub(super) fn set_interrupt(&self, interrupt: Interrupt) {
        let _ = self.reach[self.id()].interrupt.set(interrupt);
    }

    fn id(&self) -> usize {
        self.port.borrow().id()
    }

    /// Sends a parcel, and wakes or interrupts its receiver where it is to be.
    ///
    /// # Errors
    /// The parcel, where the receiver's ring is full or the receiver has ended.
    pub(super) fn send(&self, to: usize, parcel: Parcel) -> Result<(), Parcel> {
        let is_spilled = parcel.name() == SPILLED;
        let sent = self.port.borrow_mut().send(to, parcel, clock());
        match sent {
            Ok(wake) => {
                if is_spilled {
                    self.stats.spilled_out();
                }
                self.carry_out(to, wake);
                Ok(())
            }
            Err(error) => {
                self.stats.inbox_was_full();
                Err(error.into_parcel())
            }
        }
    }

    /// Whether this shard is the first choice for a request, whatever the others have to do.
    pub(super) fn is_home_here(&self, request: &Request) -> bool {
        let is_local = request.affinity.is_none() && self.steering.steering == Steering::Local;
        is_local || self.reach.len() == 1
    }

    /// Where a request is to be served; `own` is what this shard has to do.
    pub(super) fn place(&self, request: &Request, own: &Demand, now: Instant) -> Placement {
        let port = self.port.borrow();
        let lot = self.lot.get().wrapping_add(1);
        self.lot.set(lot);
        let (here, shards) = (port.id(), port.shards());
        let request = Request { lot, ..*request };
        let loads = |shard| match shard == here {
            true => load(own, now, 0.0),
            false => port.board().load(shard),
        };
        steering::place(&request, here, shards, now, loads, &self.steering)
    }

    /// Opens the mail that is there, or a batch of it. Says whether there was any.
    pub(super) fn open_mail(&self) -> bool {
        if !self.port.borrow().has_mail() {
            return false;
        }
        for count in 0..BATCH {
            // The port is free again before the parcel is opened, which may send others.
            let delivered = self.port.borrow_mut().receive();
            let Some(delivered) = delivered else {
                return count > 0;
            };
            self.stats
                .handed_off(clock().saturating_duration_since(delivered.sent));
            match delivered.parcel.name() {
                SPILLED => self.stats.spilled_in(),
                STOLEN => self.stats.stolen(),
                _ => {}
            }
            if catch_unwind(AssertUnwindSafe(|| delivered.parcel.open())).is_err() {
                self.stats.future_panicked();
            }
        }
        true
    }

    /// Who has asked this shard for work, and how much of it to give.
    pub(super) fn asked_for(&self, demand: impl FnOnce() -> Demand, now: Instant) -> Option<(usize, Gift)> {
        let port = self.port.borrow();
        let thief = port.board().asked(port.id())?;
        let own = load(&demand(), now, 0.0);
        let theirs = port.board().load(thief);
        let gift = self.stealing.borrow().as_ref()?.gives(&own, &theirs, now)?;
        Some((thief, gift))
    }

    /// Announces a slice of a task with this deadline, or none. Where that says that there is mail, it has to be opened first.
    pub(super) fn run_until(&self, deadline: Option<Instant>) -> Announced {
        self.port.borrow().run_until(deadline)
    }

    /// The slice is over.
    pub(super) fn ran(&self) {
        self.port.borrow().ran();
    }

    /// Interrupts this shard's own next slice, as a neighbour would.
    pub(super) fn interrupt_self(&self) {
        self.interrupt(self.id());
    }

    /// Tells the others what this shard has to do, if it is time to, and wakes one that sleeps if it is too much.
    pub(super) fn publish(
        &self,
        demand: impl FnOnce() -> Demand,
        work: Duration,
        busy: Duration,
        now: Instant,
    ) {
        let published = self.published.get();
        if self.reach.len() == 1 {
            return;
        }
        let is_little = work < self.little;
        if let Some(last) = published {
            let pause = if is_little && last.is_little {
                PUBLISH_LITTLE
            } else {
                PUBLISH
            };
            if now.saturating_duration_since(last.at) < pause {
                return;
            }
        }
        let demand = demand();
        let is_idle = demand.total.is_zero() && demand.unstarted_movable == 0;
        let load = load(&demand, now, self.utilisation(busy, now));
        self.port.borrow_mut().publish(&load);
        self.published.set(Some(Published {
            at: now,
            is_idle,
            is_little,
        }));
        let port = self.port.borrow();
        let hint = self
            .stealing
            .borrow_mut()
            .as_mut()
            .and_then(|stealing| stealing.hint(&load, now, |shard| port.board().is_parked(shard)));
        if let Some(parked) = hint {
            let wake = port.nudge(parked);
            drop(port);
            self.carry_out(parked, wake);
        }
    }

    /// Whether there is mail.
    pub(super) fn has_mail(&self) -> bool {
        self.port.borrow().has_mail()
    }

    /// Tells that this shard has nothing to do, and asks for work where there is some.
    pub(super) fn look_for_work(&self, busy: Duration, now: Instant) {
        let mut port = self.port.borrow_mut();
        if !self.published.get().is_some_and(|last| last.is_idle) {
            let load = ShardLoad {
                utilisation: self.utilisation(busy, now),
                ..ShardLoad::idle(now)
            };
            port.publish(&load);
            self.published.set(Some(Published {
                at: now,
                is_idle: true,
                is_little: true,
            }));
        }
        let board = port.board().clone();
        let victim = self
            .stealing
            .borrow_mut()
            .as_mut()
            .and_then(|stealing| stealing.look(now, |shard| board.load(shard)));
        let Some(victim) = victim else { return };
        if let Some(before) = self.asked.take() {
            board.withdraw(port.id(), before);
        }
        if board.ask(port.id(), victim) {
            self.asked.set(Some(victim));
            // It looks when its slice is over; that may be a while.
            self.interrupt(victim);
        }
    }

    /// Announces that this shard sleeps. `false`: there is mail.
    pub(super) fn park(&self) -> bool {
        self.port.borrow().park() == Announced::Clear
    }

    /// This shard is awake again, and has something to do.
    pub(super) fn unpark(&self) {
        let port = self.port.borrow();
        port.unpark();
        if let Some(victim) = self.asked.take() {
            port.board().withdraw(port.id(), victim);
        }
    }

    fn carry_out(&self, to: usize, wake: Wake) {
        match wake {
            Wake::Nothing => {}
            Wake::Unpark => {
                self.stats.unpark_sent();
                let ring: RawFd = self.reach[to].ring.load(Ordering::Acquire);
                if ring >= 0 {
                    self.network.wake(ring);
                }
            }
            Wake::Interrupt => self.interrupt(to),
        }
    }

    fn interrupt(&self, shard: usize) {
        if let Some(interrupt) = self.reach[shard].interrupt.get() {
            self.stats.interrupt_sent();
            interrupt();
        }
    }

    fn utilisation(&self, busy: Duration, now: Instant) -> f64 {
        let mut last = self.utilisation.get();
        let time = now.saturating_duration_since(last.since);
        if time >= WINDOW {
            let worked = busy.saturating_sub(last.busy);
            last = Utilisation {
                since: now,
                busy,
                value: (worked.as_secs_f64() / time.as_secs_f64()).min(1.0),
            };
            self.utilisation.set(last);
        }
        last.value
    }
}

fn load(demand: &Demand, now: Instant, utilisation: f64) -> ShardLoad {
    ShardLoad {
        movable: demand.unstarted_movable,
        total: demand.total,
        by_slack: demand.by_slack,
        utilisation,
        ..ShardLoad::idle(now)
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.reach[self.id()].ring.store(-1, Ordering::Release);
    }
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Neighbours")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
