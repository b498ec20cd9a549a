//! A shard's own end of the mesh: its rings to and from every other shard, and its announcements.
//!
//! Receiving is fair: one parcel from each sender that has one, then the next round. A round looks only at rings whose
//! bit is set, so its cost grows with the mail and not with the number of shards.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::board::Board;
use super::inbox::{Announced, WORDS, Wake};
use super::load::ShardLoad;
use super::parcel::{Delivered, Parcel, SendError};
use super::ring::{Consumer, Producer, PushError, ring};
use crate::time::Instant;

/// A shard's end of the mesh. Moves into the shard's thread and is used there only.
///
/// ```compile_fail,E0277
/// fn shared_between_threads<T: Sync>() {}
/// shared_between_threads::<luge_shards::Port>();
/// ```
pub struct Port {
    id: usize,
    /// By the other shard's number; nothing at the own one.
    outgoing: Box<[Option<Producer<Letter>>]>,
    incoming: Box<[Option<Consumer<Letter>>]>,
    /// Senders whose bits were taken from the inbox and whose rings were not found empty since.
    ready: [u64; WORDS],
    /// Where the present round goes on.
    cursor: usize,
    board: Arc<Board>,
    not_shared: PhantomData<Cell<()>>,
}

/// What stands in a ring.
struct Letter {
    parcel: Parcel,
    sent: Instant,
}

/// Bytes that a place in a ring takes.
#[cfg(all(test, not(loom)))]
pub(super) const LETTER_SIZE: usize = size_of::<Letter>();

/// Makes a ring from every shard of the board to every other.
pub(super) fn connect(board: &Arc<Board>, capacity: usize) -> Vec<Port> {
    let shards = board.shards();
    let mut ports: Vec<Port> = (0..shards)
        .map(|id| Port {
            id,
            outgoing: (0..shards).map(|_| None).collect(),
            incoming: (0..shards).map(|_| None).collect(),
            ready: [0; WORDS],
            cursor: 0,
            board: board.clone(),
            not_shared: PhantomData,
        })
        .collect();
    for from in 0..shards {
        for to in (0..shards).filter(|to| *to != from) {
            let (producer, consumer) = ring(capacity);
            ports[from].outgoing[to] = Some(producer);
            ports[to].incoming[from] = Some(consumer);
        }
    }
    ports
}

impl Port {
    /// The number of the shard that this is the end of.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Shards in the mesh, this one among them.
    pub fn shards(&self) -> usize {
        self.outgoing.len()
    }

    /// What all shards can read.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Puts `parcel` into the ring to the shard `to`. `now` travels with it, so that the receiver can tell the hand-off's
    /// latency.
    ///
    /// What the result asks for is to be done at once, before anything that may wait: until then the receiver may sleep
    /// on the parcel, and no other sender rings for it.
    ///
    /// # Errors
    /// The parcel, when the ring is full or that shard has ended.
    ///
    /// # Panics
    /// If `to` is this shard or no shard at all.
    pub fn send(&mut self, to: usize, parcel: Parcel, now: Instant) -> Result<Wake, SendError> {
        let ring = self.outgoing[to]
            .as_mut()
            .expect("a shard sends itself no parcels");
        if ring.is_abandoned() {
            return Err(SendError::Gone(parcel));
        }
        let due = parcel.urgency().map(|due| self.board.nanoseconds(due));
        match ring.push(Letter { parcel, sent: now }) {
            Ok(()) => Ok(self.board.inbox(to).posted(self.id, due)),
            Err(PushError::Full(letter)) => Err(SendError::Full(letter.parcel)),
        }
    }

    /// Wakes the shard `to` where it is parked, without mail: it looks for work to take over before it parks again.
    pub fn nudge(&self, to: usize) -> Wake {
        self.board.inbox(to).nudge()
    }

    /// Takes the next parcel, from each sender in turn. Each sender's parcels come in the order in which they were sent.
    ///
    /// Mail can come faster than it is opened: take a bounded number, then let the shard do its other work.
    pub fn receive(&mut self) -> Option<Delivered> {
        loop {
            let from = self.next_sender()?;
            self.cursor = from + 1;
            let letter = self.incoming[from].as_mut().and_then(|ring| ring.pop().ok());
            let Some(Letter { parcel, sent }) = letter else {
                // Who pushes from now on sets the inbox's bit afterwards.
                self.ready[from / 64] &= !(1 << (from % 64));
                continue;
            };
            return Some(Delivered { from, sent, parcel });
        }
    }

    /// Whether there is mail, or was a moment ago. A load or a few from one cache line; orders nothing.
    pub fn has_mail(&self) -> bool {
        self.ready != [0; WORDS] || self.board.inbox(self.id).has_mail()
    }

    /// Announces that the shard sleeps until its bell rings. To be called last, when all mail is read.
    pub fn park(&self) -> Announced {
        if self.ready != [0; WORDS] {
            return Announced::MailFirst;
        }
        self.board.inbox(self.id).park()
    }

    /// Takes the announcement back, whether or not anybody rang. A bell that rings later belongs to a sender that claimed
    /// the shard before: it wakes a shard for nothing once, and does no harm.
    pub fn unpark(&self) {
        self.board.inbox(self.id).awake();
    }

    /// Announces that the shard runs something with this deadline (`None`: whatever is urgent goes before it) and does not
    /// look at its mail. The first sender with an earlier deadline gets [`Wake::Interrupt`].
    ///
    /// An interrupt may come late, when something else runs: it then ends a slice early and does no harm.
    pub fn run_until(&self, deadline: Option<Instant>) -> Announced {
        if self.ready != [0; WORDS] {
            return Announced::MailFirst;
        }
        let due = deadline.map(|deadline| self.board.nanoseconds(deadline));
        self.board.inbox(self.id).busy(due)
    }

    /// The counterpart of [`run_until`](Self::run_until): the shard looks at its mail by itself again.
    pub fn ran(&self) {
        self.board.inbox(self.id).awake();
    }

    /// Tells all shards how much this one has to do. `load.parked` is not taken from here but from the announcements.
    pub fn publish(&mut self, load: &ShardLoad) {
        self.board.publish(self.id, load);
    }

    /// A view of this shard's mail for whoever cannot hold the port: a signal handler, a test.
    pub fn watch(&self) -> Watch {
        Watch {
            board: self.board.clone(),
            id: self.id,
        }
    }

    /// The next sender of this round, or the first of the next one.
    fn next_sender(&mut self) -> Option<usize> {
        first_from(&self.ready, self.cursor).or_else(|| {
            // Who has sent during a round joins the next, so nobody is passed over by those before it.
            self.board.inbox(self.id).take(&mut self.ready);
            first_from(&self.ready, 0)
        })
    }
}

/// An ended shard reads no mail: what stands in its rings is dropped, senders are told, and nobody gives it work.
///
/// A parcel that is sent at this very moment may stay in its ring until its sender's port is dropped.
impl Drop for Port {
    fn drop(&mut self) {
        self.board.publish_ended(self.id);
        while let Some(delivered) = self.receive() {
            drop(delivered);
        }
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("id", &self.id)
            .field("shards", &self.shards())
            .finish_non_exhaustive()
    }
}

/// A view of one shard's mail, from any thread and from a signal handler: it only loads.
#[derive(Clone, Debug)]
pub struct Watch {
    board: Arc<Board>,
    id: usize,
}

impl Watch {
    /// Whether somebody has sent since the shard last took its mail.
    pub fn has_mail(&self) -> bool {
        self.board.inbox(self.id).has_mail()
    }

    /// Whether the shard's latest announcement is over: a sender has claimed it, or the shard has taken it back.
    ///
    /// Between [`Port::run_until`] and [`Port::ran`] that means that an earlier deadline waits in the mail.
    pub fn is_claimed(&self) -> bool {
        self.board.inbox(self.id).is_awake()
    }
}

/// The first number in the set that is not below `from`.
fn first_from(set: &[u64; WORDS], from: usize) -> Option<usize> {
    let mut mask = u64::MAX << (from % 64);
    for (word, bits) in set.iter().enumerate().skip(from / 64) {
        if bits & mask != 0 {
            return Some(word * 64 + (bits & mask).trailing_zeros() as usize);
        }
        mask = u64::MAX;
    }
    None
}
