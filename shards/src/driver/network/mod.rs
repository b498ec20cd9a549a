//! The network of a shard on its own ring: [`Network`] keeps the sockets, begins what they need, and hands out what comes.
//!
//! ```text
//!   futures   poll_read, poll_write, poll_accept ──► socket, listed for a flush      no system call
//!   runner    flush: listed sockets' operations into the submission queue
//!             enter: one system call for all of them, and for what has come           drain: events to sockets, wakers
//!             wait:  the same, asleep until something comes
//!   bell      an eventfd that the ring signals while the executor sleeps
//! ```
//! Nothing here waits by itself: the runner decides when to look, between two tasks or when it has none.

mod accept;
mod connection;
mod listener;
mod stream;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;

use super::glommio;
use super::neighbours::Interrupt;
use super::runner::Wakeup;
use crate::ring::{Event, Ring, RingConfig};
use crate::stats::ShardStats;
use connection::Connection;
use listener::Accepting;

pub(crate) use accept::{AcceptFailure, Pause};
pub(crate) use listener::RingListener;
pub(crate) use stream::RingStream;

/// How often a wake-up is submitted that the kernel does not take at once.
const WAKE_TRIES: usize = 8;
/// How long bytes that were written may take to leave after their stream was dropped.
const LINGER: Duration = Duration::from_secs(5);

/// Told of each socket of a shard, so that what arrives there interrupts a task that runs.
///
/// What interrupts tasks is not known here; whoever makes them interruptible knows, and hands this in by
/// [`Shard::set_doorbell`](crate::Shard::set_doorbell).
pub trait Doorbell: 'static {
    /// Interrupts, from any thread, whatever runs on the thread that this belongs to.
    fn interrupt(&self) -> Interrupt;

    /// Takes what has rung on the thread that this belongs to and was not heard. Called before the shard looks what has come,
    /// so that a task is not interrupted for what was seen.
    fn hush(&self);

    /// Lets arrivals at this socket ring, until it is closed.
    ///
    /// # Errors
    /// What the system says; the socket is served all the same, and what arrives is seen a little later.
    fn watch(&self, socket: BorrowedFd<'_>) -> io::Result<()>;
}

/// The sockets of a shard, on its ring.
pub(crate) struct Network {
    ring: RefCell<Ring>,
    sockets: RefCell<Slab<Socket>>,
    /// Sockets that want something of the ring.
    listed: RefCell<Vec<usize>>,
    /// Room for events, kept from one look to the next.
    events: Cell<Vec<Event>>,
    doorbell: RefCell<Option<Rc<dyn Doorbell>>>,
    wakeup: Rc<Wakeup>,
    stats: Arc<ShardStats>,
    /// Connections since the start: each has its number.
    connections: Cell<u64>,
}

#[derive(Debug)]
enum Socket {
    Listener(Accepting),
    Connection(Connection),
}

impl Network {
    /// A network without sockets, whose bell is this eventfd.
    ///
    /// # Errors
    /// What the system says where it has no such ring.
    pub(super) fn new(
        config: RingConfig,
        bell: BorrowedFd<'_>,
        wakeup: Rc<Wakeup>,
        stats: Arc<ShardStats>,
    ) -> io::Result<Rc<Self>> {
        let mut ring = Ring::new(config)?;
        ring.register_bell(bell)?;
        Ok(Rc::new(Self {
            ring: RefCell::new(ring),
            sockets: RefCell::default(),
            listed: RefCell::default(),
            events: Cell::default(),
            doorbell: RefCell::default(),
            wakeup,
            stats,
            connections: Cell::new(0),
        }))
    }

    /// The ring's descriptor, by which other shards wake this one.
    pub(super) fn descriptor(&self) -> RawFd {
        self.ring.borrow().descriptor()
    }

    /// From now on new sockets are shown to this.
    pub(super) fn set_doorbell(&self, doorbell: Rc<dyn Doorbell>) {
        *self.doorbell.borrow_mut() = Some(doorbell);
    }

    /// Takes what has rung up to now: a look that follows sees what it rang for.
    pub(super) fn hush(&self) {
        if let Some(doorbell) = &*self.doorbell.borrow() {
            doorbell.hush();
        }
    }

    /// Whether anything waits to be submitted or looked at. No system call.
    pub(super) fn has_work(&self) -> bool {
        !self.listed.borrow().is_empty() || self.ring.borrow_mut().has_work()
    }

    /// Submits what the sockets want, and hands out what has come. Says whether anything has.
    ///
    /// # Errors
    /// What makes the ring useless.
    pub(super) fn turn(self: &Rc<Self>) -> io::Result<bool> {
        self.flush();
        self.ring.borrow_mut().enter()?;
        Ok(self.drain())
    }

    /// As [`Network::turn`], but sleeps until something comes or the time is over.
    ///
    /// # Errors
    /// As [`Network::turn`].
    pub(super) fn wait(self: &Rc<Self>, longest: Duration) -> io::Result<bool> {
        self.flush();
        let mut ring = self.ring.borrow_mut();
        if ring.has_completed() {
            ring.enter()?;
        } else {
            ring.wait(longest)?;
        }
        drop(ring);
        Ok(self.drain())
    }

    /// Whether connections are open.
    pub(super) fn is_used(&self) -> bool {
        !self.sockets.borrow().is_empty()
    }

    /// Wakes another shard, now.
    pub(super) fn wake(&self, peer: RawFd) {
        let mut ring = self.ring.borrow_mut();
        // A ring that takes nothing any more is noticed by whoever turns it.
        let _ = ring.wake(peer);
        for _ in 0..WAKE_TRIES {
            if ring.enter().is_err() || !ring.has_entries() {
                return;
            }
        }
    }

    /// Switches the bell on, or off. On, it may ring at once.
    pub(super) fn ring_bell(&self, on: bool) {
        self.ring.borrow_mut().ring_bell(on);
    }

    fn flush(self: &Rc<Self>) {
        // What is listed meanwhile is for the next time.
        let mut listed = std::mem::take(&mut *self.listed.borrow_mut());
        for key in listed.drain(..) {
            let wakers = {
                let mut sockets = self.sockets.borrow_mut();
                let mut ring = self.ring.borrow_mut();
                if !ring.has_room() {
                    // The kernel takes nothing just now: it stays listed, which is work to be done before the next long slice or sleep
                    // in the executor. A sleep in the ring is some milliseconds at most.
                    self.listed.borrow_mut().push(key);
                    continue;
                }
                match sockets.get_mut(key) {
                    Some(Socket::Connection(connection)) => {
                        connection.listed = false;
                        connection.flush(&mut ring, key)
                    }
                    Some(Socket::Listener(listener)) => {
                        if let Some(pause) = listener.flush(&mut ring, key) {
                            let network = self.clone();
                            glommio::after(pause, move || network.resume_accepting(key));
                        }
                        [None, None]
                    }
                    None => continue,
                }
            };
            wakers.into_iter().flatten().for_each(Waker::wake);
            self.remove_if_over(key);
        }
        let mut current = self.listed.borrow_mut();
        if current.is_empty() {
            *current = listed;
        }
    }

    fn drain(self: &Rc<Self>) -> bool {
        let mut events = self.events.take();
        self.ring.borrow_mut().complete(&mut events);
        let any = !events.is_empty();
        for event in events.drain(..) {
            if let Some(waker) = self.handle(event) {
                waker.wake();
            }
        }
        self.events.set(events);
        any
    }

    fn handle(self: &Rc<Self>, event: Event) -> Option<Waker> {
        let (owner, waker) = match event {
            Event::Woken => return None,
            Event::Accepted { owner, result, ended } => (owner, self.accepted(owner, result, ended)),
            Event::Received { owner, result, ended } => {
                return self.told(owner, |connection, ring| {
                    let (free, count) = ring.free_buffers();
                    // Where they are scarce, bytes that nobody reads yet are copied, so that no connection can hold them all.
                    connection.received(result, ended, free > count / 4)
                });
            }
            Event::Sent {
                owner,
                result,
                buffer,
                lent,
            } => {
                return self.told(owner, |connection, _| connection.sent(result, buffer, lent));
            }
            Event::Returned { owner, id, copied } => {
                self.stats.sent_without_copy(copied);
                self.with_connection(owner, |connection| connection.returned(id));
                return None;
            }
        };
        self.list_if_wanted(owner);
        self.remove_if_over(owner);
        waker
    }

    /// Tells a connection what has become of it, and sees to what it then wants. Gives who waits for that.
    fn told(
        &self,
        key: usize,
        tell: impl FnOnce(&mut Connection, &mut Ring) -> Option<Waker>,
    ) -> Option<Waker> {
        let mut sockets = self.sockets.borrow_mut();
        let Some(Socket::Connection(connection)) = sockets.get_mut(key) else {
            return None;
        };
        let waker = tell(connection, &mut self.ring.borrow_mut());
        if connection.wants_flush() && !std::mem::replace(&mut connection.listed, true) {
            self.listed.borrow_mut().push(key);
            self.wakeup.notify();
        } else if connection.is_over() && !connection.listed {
            sockets.remove(key);
        }
        waker
    }

    fn accepted(self: &Rc<Self>, owner: usize, result: io::Result<OwnedFd>, ended: bool) -> Option<Waker> {
        let mut sockets = self.sockets.borrow_mut();
        let Some(Socket::Listener(listener)) = sockets.get_mut(owner) else {
            return None;
        };
        let pause = listener.accepted(result, ended, &self.stats);
        if let Some(pause) = pause {
            let network = self.clone();
            glommio::after(pause, move || network.resume_accepting(owner));
        }
        listener.take_caller()
    }

    fn resume_accepting(self: &Rc<Self>, owner: usize) {
        if let Some(Socket::Listener(listener)) = self.sockets.borrow_mut().get_mut(owner) {
            listener.resume();
        }
        self.list_if_wanted(owner);
    }

    /// Puts a socket that wants something into the list for the next flush, and sees to it that there is one.
    fn list_if_wanted(&self, key: usize) {
        let mut sockets = self.sockets.borrow_mut();
        let is_new = match sockets.get_mut(key) {
            Some(Socket::Connection(connection)) => {
                connection.wants_flush() && !std::mem::replace(&mut connection.listed, true)
            }
            Some(Socket::Listener(listener)) => listener.wants_flush(),
            None => false,
        };
        if is_new {
            self.listed.borrow_mut().push(key);
            self.wakeup.notify();
        }
    }

    fn remove_if_over(&self, key: usize) {
        let mut sockets = self.sockets.borrow_mut();
        let is_over = match sockets.get(key) {
            Some(Socket::Connection(connection)) => connection.is_over() && !connection.listed,
            Some(Socket::Listener(listener)) => listener.is_over(),
            None => false,
        };
        if is_over {
            sockets.remove(key);
        }
    }

    fn with_connection<R>(&self, key: usize, act: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        match self.sockets.borrow_mut().get_mut(key) {
            Some(Socket::Connection(connection)) => Some(act(connection)),
            _ => None,
        }
    }

    fn add_connection(&self, socket: OwnedFd, peer: SocketAddr) -> usize {
        self.show(socket.as_fd());
        let serial = self.connections.get();
        self.connections.set(serial + 1);
        let connection = Connection::new(socket, peer, serial);
        let key = self.sockets.borrow_mut().insert(Socket::Connection(connection));
        self.stats.connection_opened();
        self.list_if_wanted(key);
        key
    }

    fn show(&self, socket: BorrowedFd<'_>) {
        if let Some(doorbell) = &*self.doorbell.borrow() {
            // Without it the timer on CPU time makes the task look.
            let _ = doorbell.watch(socket);
        }
    }

    /// A stream was dropped: what it had written may still leave, for a while.
    fn release(self: &Rc<Self>, key: usize) {
        let lingering = self.with_connection(key, Connection::release).flatten();
        self.stats.connection_closed();
        self.list_if_wanted(key);
        if let Some(serial) = lingering {
            let network = self.clone();
            glommio::after(LINGER, move || network.abandon(key, serial));
        }
        self.remove_if_over(key);
    }

    fn abandon(&self, key: usize, serial: u64) {
        self.with_connection(key, |connection| connection.abandon(serial));
        self.list_if_wanted(key);
        self.remove_if_over(key);
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("ring", &self.ring)
            .field("sockets", &self.sockets.borrow().len())
            .finish_non_exhaustive()
    }
}
