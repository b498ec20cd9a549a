//! The futures of a shard: connections, acceptors, whatever is spawned on it.
//!
//! To the executor below they are one future, the runner's, which polls those that are ready between two slices and when it has none.
//! A small request makes its connection ready twice, once for its bytes and, unless it passes by the queue, once for its answer: what a step aside through the
//! executor's queues and its counted tasks costs is then a good part of what a shard does for it.
//!
//! ```text
//!   waker on this thread ──────────────────────────► ready ──► Futures::run, once each
//!   waker on another one ──► foreign ──► carry ──────┘
//!                                └─ wakes the executor
//! ```
//! Whoever wakes learns from a thread-local whether it is at home; then waking is a push. From other threads, which is rare, names go
//! through a lock, and a future of the executor's carries them over.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

use super::runner::Wakeup;

thread_local! {
    /// The ready queue of this thread's shard.
    static AT_HOME: RefCell<Option<Rc<Ready>>> = const { RefCell::new(None) };
}

/// The futures of one shard.
pub(super) struct Futures {
    all: RefCell<Slab<Place>>,
    ready: Rc<Ready>,
    home: Arc<Home>,
    spawned: Cell<u64>,
    /// Told of futures that panicked.
    panicked: Box<dyn Fn()>,
}

struct Place {
    key: Arc<Key>,
    /// Taken while it is polled.
    at_rest: Option<Spawned>,
}

/// A future, and the one waker that it is polled with.
struct Spawned {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

/// Which futures are to be polled.
struct Ready {
    queue: RefCell<VecDeque<Name>>,
    /// What the runner sleeps on in the executor.
    wakeup: Rc<Wakeup>,
    /// Whose thread this is: compared, never followed.
    home: *const Home,
}

/// The way in from other threads.
#[derive(Default)]
struct Home {
    foreign: Mutex<Foreign>,
}

#[derive(Default)]
struct Foreign {
    woken: Vec<Arc<Key>>,
    /// Nobody looks at it any more.
    is_closed: bool,
    /// The executor's future that carries them over; nothing before it has first done so and once the shard has ended. Stored and
    /// dropped by the shard alone.
    carrier: Option<Waker>,
}

/// Place and number of a future; the number is never given twice.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    place: usize,
    number: u64,
}

/// What a waker refers to.
struct Key {
    name: Name,
    /// Whether it is in the ready queue. For its home alone.
    is_ready: AtomicBool,
    /// Whether it waits to be carried over. Whoever finds it so has written what it wakes for before the carrier takes it away.
    is_foreign: AtomicBool,
    home: Arc<Home>,
}

impl Futures {
    /// No futures, on the calling thread. `wakeup` is notified for sleepers when one is ready; `panicked` is told of panics.
    pub(super) fn new(wakeup: Rc<Wakeup>, panicked: impl Fn() + 'static) -> Self {
        let home = Arc::<Home>::default();
        let ready = Rc::new(Ready {
            queue: RefCell::default(),
            wakeup,
            home: Arc::as_ptr(&home),
        });
        AT_HOME.set(Some(ready.clone()));
        Self {
            all: RefCell::default(),
            ready,
            home,
            spawned: Cell::new(0),
            panicked: Box::new(panicked),
        }
    }

    /// Adds a future, which is polled in the next [`Futures::run`].
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let future = Box::pin(future);
        let number = self.spawned.get();
        self.spawned.set(number + 1);
        let mut all = self.all.borrow_mut();
        let place = all.vacant_entry();
        let name = Name {
            place: place.key(),
            number,
        };
        let key = Arc::new(Key {
            name,
            is_ready: AtomicBool::new(true),
            is_foreign: AtomicBool::new(false),
            home: self.home.clone(),
        });
        let waker = key.clone().into();
        place.insert(Place {
            key,
            at_rest: Some(Spawned { future, waker }),
        });
        drop(all);
        self.ready.insert(name);
    }

    /// Whether any is ready.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.queue.borrow().is_empty()
    }

    /// Polls those that are ready now, once each. Says whether there were any.
    pub(super) fn run(&self) -> bool {
        let count = self.ready.queue.borrow().len();
        for _ in 0..count {
            let Some(name) = self.ready.queue.borrow_mut().pop_front() else {
                break;
            };
            self.poll(name);
        }
        count > 0
    }

    fn poll(&self, name: Name) {
        let taken = match self.all.borrow_mut().get_mut(name.place) {
            Some(place) if place.key.name == name => {
                // From here on it may be woken again.
                place.key.is_ready.store(false, Relaxed);
                place.at_rest.take()
            }
            _ => None,
        };
        // Nothing of one that has ended.
        let Some(mut spawned) = taken else { return };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::from_waker(&spawned.waker);
            spawned.future.as_mut().poll(&mut context)
        }));
        if let Ok(Poll::Pending) = polled {
            // Its place is still its own: it is given up below, or when the shard ends, which is not from within a future.
            if let Some(place) = self.all.borrow_mut().get_mut(name.place) {
                place.at_rest = Some(spawned);
            }
            return;
        }
        if polled.is_err() {
            (self.panicked)();
        }
        // Its destructor may wake and spawn others.
        let place = self.all.borrow_mut().try_remove(name.place);
        drop(place);
        self.let_go(spawned);
    }

    /// Drops all futures. What they spawn meanwhile is dropped too.
    pub(super) fn clear(&self) {
        while !self.all.borrow().is_empty() {
            let all: Vec<_> = self.all.borrow_mut().drain().collect();
            for spawned in all.into_iter().filter_map(|place| place.at_rest) {
                self.let_go(spawned);
            }
        }
        self.ready.queue.borrow_mut().clear();
    }

    /// Drops a future. A panic of a destructor ends here.
    fn let_go(&self, spawned: Spawned) {
        if catch_unwind(AssertUnwindSafe(|| drop(spawned))).is_err() {
            (self.panicked)();
        }
    }

    /// To be polled by the executor for as long as the shard lives, with a waker that works from any thread: carries over what other
    /// threads have woken.
    pub(super) fn carry(&self, waker: &Waker) {
        let woken = {
            let mut foreign = self.home.foreign();
            foreign.carrier = Some(waker.clone());
            std::mem::take(&mut foreign.woken)
        };
        for key in woken {
            key.is_foreign.swap(false, AcqRel);
            self.ready.wake(&key);
        }
    }

    /// Ends the way in from other threads, whose wakers do nothing from here on.
    pub(super) fn close(&self) {
        *self.home.foreign() = Foreign {
            is_closed: true,
            ..Foreign::default()
        };
        AT_HOME.set(None);
    }
}

impl fmt::Debug for Futures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Futures")
            .field("count", &self.all.borrow().len())
            .field("ready", &self.ready.queue.borrow().len())
            .finish_non_exhaustive()
    }
}

impl Ready {
    fn wake(&self, key: &Key) {
        if !key.is_ready.load(Relaxed) {
            key.is_ready.store(true, Relaxed);
            self.insert(key.name);
        }
    }

    fn insert(&self, name: Name) {
        self.queue.borrow_mut().push_back(name);
        self.wakeup.stir();
    }
}

impl Home {
    fn foreign(&self) -> MutexGuard<'_, Foreign> {
        // A waker that panicked leaves the rest intact.
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Key {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // At the end of a thread, when its locals are gone, nobody is at home.
        let is_at_home = AT_HOME.try_with(|ready| match &*ready.borrow() {
            Some(ready) if ptr::eq(ready.home, Arc::as_ptr(&self.home)) => {
                ready.wake(self);
                true
            }
            _ => false,
        });
        if is_at_home == Ok(true) || self.is_foreign.swap(true, AcqRel) {
            return;
        }
        let mut foreign = self.home.foreign();
        if foreign.is_closed {
            return;
        }
        foreign.woken.push(self.clone());
        // Under the lock: the carrier's waker is of no use once the shard has taken it back.
        if let Some(carrier) = &foreign.carrier {
            carrier.wake_by_ref();
        }
    }
}
