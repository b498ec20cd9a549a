//! Runs on other shards: a request whose connection belongs to one shard is served by another, and the answer comes back.
//!
//! ```text
//!   shard of the connection                                shard that serves
//!   depart(run) ──► awaited, by number ── "run" ─────────► submit, like a request of its own
//!        │                                                    │
//!        ◄── answer, or why it was refused ──── "answer" ─────┘ its task has ended
//!   the client goes away ─────────────────── "cancel" ────► the ticket is dropped, which ends the run
//! ```
//! What travels is what a run is made of before it begins: the request's body and variables. A run that has begun
//! stays. One that has come from elsewhere is not sent on, so no request goes further than one hop.
//!
//! Runs and answers are parcels that cannot wait, as bytes at a socket cannot: whatever the other shard runs is interrupted, it takes
//! the run in or answers the client, and its scheduler decides who goes on.
//!
//! A parcel is code that runs on the shard that opens it; there it finds what it needs by [`Host::here`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use luge_shards::{Completed, Ending, Parcel, RejectReason, Shard, ShardId, TaskMeta};
use slab::Slab;

use crate::error::Failure;
use crate::function::Registry;
use crate::sandbox::{Departing, Sandbox};
use crate::sandboxes::Sandboxes;

/// How long after its deadline an answer may come; then the other shard has ended without a word.
const GRACE: Duration = Duration::from_secs(1);
/// How often an answer is sent that finds the way full, and how long to wait in between.
const TRIES: usize = 10_000;
const TRY_AGAIN: Duration = Duration::from_micros(200);

thread_local! {
    static HERE: RefCell<Option<Rc<Host>>> = const { RefCell::new(None) };
}

/// How a run ended, wherever it took place.
pub struct Ended {
    /// How its task ended.
    pub ending: Ending,
    /// What it wrote, or why it failed; nothing where it was ended from outside.
    pub outcome: Option<Result<Bytes, Failure>>,
    /// How long it had the core.
    pub ran: Duration,
}

impl From<Completed<Sandbox>> for Ended {
    fn from(completed: Completed<Sandbox>) -> Ended {
        Ended {
            ending: completed.ending,
            outcome: completed.task.into_outcome(),
            ran: completed.account.ran,
        }
    }
}

/// What came of a run that was sent away.
pub enum Return {
    /// It has ended there.
    Ended(Box<Ended>),
    /// It was refused there, and is back.
    Rejected(RejectReason, Option<Box<Departing>>),
    /// It could not be sent: it is to be served here.
    Undelivered(Box<Departing>),
    /// Nothing was heard of it.
    Lost,
}

/// Names a run between the two shards: the number of its place, and how many had been sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Label {
    home: usize,
    place: usize,
    serial: u64,
}

/// A shard's part in it: runs that it has sent away, and those that have come.
pub struct Host {
    shard: Shard,
    sandboxes: Rc<Sandboxes>,
    registry: Registry,
    awaited: RefCell<Slab<Awaited>>,
    serials: Cell<u64>,
    guests: RefCell<HashMap<Label, Rc<Cancel>>>,
}

struct Awaited {
    serial: u64,
    returned: Option<Return>,
    waiter: Option<Waker>,
}

/// Whether a run that has come is still wanted.
#[derive(Default)]
struct Cancel {
    asked: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Host {
    /// Makes this shard's part, where parcels find it. To be called once, on the shard's thread.
    pub fn install(shard: &Shard, sandboxes: &Rc<Sandboxes>, registry: &Registry) -> Rc<Host> {
        let host = Rc::new(Host {
            shard: shard.clone(),
            sandboxes: Rc::clone(sandboxes),
            registry: registry.clone(),
            awaited: RefCell::default(),
            serials: Cell::new(0),
            guests: RefCell::default(),
        });
        HERE.set(Some(Rc::clone(&host)));
        host
    }

    /// Ends this shard's part: parcels that come now find nobody.
    pub fn remove() {
        HERE.set(None);
    }

    /// The part of the shard that this is called on, while it serves.
    fn here() -> Option<Rc<Host>> {
        HERE.with_borrow(Option::clone)
    }

    /// Has a run take place on another shard, and waits for what comes of it. When this is dropped, the run is cancelled.
    /// `why` names the parcel: "run", or "stolen run" if the other shard has asked for it.
    pub async fn depart(
        self: &Rc<Host>,
        to: ShardId,
        run: Departing,
        meta: TaskMeta,
        why: &'static str,
    ) -> Return {
        let meta = TaskMeta {
            movable: false,
            ..meta
        };
        let serial = self.serials.get();
        self.serials.set(serial + 1);
        let place = self.awaited.borrow_mut().insert(Awaited {
            serial,
            returned: None,
            waiter: None,
        });
        let label = Label {
            home: self.shard.id().0,
            place,
            serial,
        };
        let mut journey = Journey {
            host: Rc::clone(self),
            to,
            label,
            is_over: false,
        };
        // The run stays within reach until the parcel is on its way.
        let luggage = std::sync::Arc::new(std::sync::Mutex::new(Some(run)));
        let sent = std::sync::Arc::clone(&luggage);
        let parcel = Parcel::new(why, Some(self.shard.now()), move || {
            let run = sent.lock().ok().and_then(|mut run| run.take());
            if let (Some(host), Some(run)) = (Host::here(), run) {
                host.arrive(label, run, meta);
            }
        });
        if self.shard.send(to, parcel).is_err() {
            journey.is_over = true;
            let run = luggage.lock().ok().and_then(|mut run| run.take());
            return run.map_or(Return::Lost, |run| Return::Undelivered(Box::new(run)));
        }
        drop(luggage);
        let returned = self.returned(&journey, meta).await;
        journey.is_over = true;
        returned
    }

    async fn returned(&self, journey: &Journey, meta: TaskMeta) -> Return {
        let mut patience = pin!(self.shard.sleep_until(meta.deadline + GRACE));
        poll_fn(|cx| {
            let mut awaited = self.awaited.borrow_mut();
            let Some(awaited) = awaited.get_mut(journey.label.place) else {
                return Poll::Ready(Return::Lost);
            };
            if let Some(returned) = awaited.returned.take() {
                return Poll::Ready(returned);
            }
            awaited.waiter = Some(cx.waker().clone());
            patience.as_mut().poll(cx).map(|()| Return::Lost)
        })
        .await
    }

    /// A run has come from another shard.
    fn arrive(self: &Rc<Host>, label: Label, run: Departing, meta: TaskMeta) {
        let sandbox = Sandbox::arriving(&self.sandboxes, &self.registry, run);
        let ticket = match self.shard.submit(sandbox, meta) {
            Ok(ticket) => ticket,
            Err(rejected) => {
                let run = rejected.task.departing().map(Box::new);
                return self.reply(label, Return::Rejected(rejected.reason, run));
            }
        };
        let cancel = Rc::new(Cancel::default());
        self.guests.borrow_mut().insert(label, Rc::clone(&cancel));
        let host = Rc::clone(self);
        self.shard.spawn_local(async move {
            let mut ticket = pin!(ticket);
            let completed = poll_fn(|cx| {
                if cancel.asked.get() {
                    return Poll::Ready(None);
                }
                cancel.waiter.set(Some(cx.waker().clone()));
                ticket.as_mut().poll(cx).map(Some)
            })
            .await;
            host.guests.borrow_mut().remove(&label);
            let Some(completed) = completed else { return };
            host.reply(label, Return::Ended(Box::new(completed.into())));
        });
    }

    /// Sends what came of a run to where it came from.
    fn reply(self: &Rc<Host>, label: Label, returned: Return) {
        let parcel = Parcel::new("answer", Some(self.shard.now()), move || {
            if let Some(host) = Host::here() {
                host.receive(label, returned);
            }
        });
        let Err(mut parcel) = self.shard.send(ShardId(label.home), parcel) else {
            return;
        };
        let host = Rc::clone(self);
        self.shard.spawn_local(async move {
            for _ in 0..TRIES {
                host.shard.sleep(TRY_AGAIN).await;
                match host.shard.send(ShardId(label.home), parcel) {
                    Ok(()) => return,
                    Err(again) => parcel = again,
                }
            }
            tracing::error!(
                to = label.home,
                "an answer could not be handed to its connection's shard"
            );
        });
    }

    fn receive(&self, label: Label, returned: Return) {
        let mut awaited = self.awaited.borrow_mut();
        let Some(awaited) = awaited
            .get_mut(label.place)
            .filter(|awaited| awaited.serial == label.serial)
        else {
            return;
        };
        awaited.returned = Some(returned);
        if let Some(waiter) = awaited.waiter.take() {
            waiter.wake();
        }
    }

    fn cancel(&self, label: Label) {
        let guest = self.guests.borrow().get(&label).cloned();
        if let Some(cancel) = guest {
            cancel.asked.set(true);
            if let Some(waiter) = cancel.waiter.take() {
                waiter.wake();
            }
        }
    }
}

/// A run that is elsewhere. Dropped before it is over, it is cancelled there.
struct Journey {
    host: Rc<Host>,
    to: ShardId,
    label: Label,
    is_over: bool,
}

impl Drop for Journey {
    fn drop(&mut self) {
        let label = self.label;
        self.host.awaited.borrow_mut().remove(label.place);
        if !self.is_over {
            let parcel = Parcel::new("cancel", None, move || {
                if let Some(host) = Host::here() {
                    host.cancel(label);
                }
            });
            // Where the way is full, the run's own deadline ends it.
            let _ = self.host.shard.send(self.to, parcel);
        }
    }
}
