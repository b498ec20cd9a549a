//! How a shard learns of its mail, and a sender of what it must do so that it does: one word of state, one bit a sender.
//!
//! ```text
//!   sender                                    receiver
//!     push into its own ring                    state = Parked  (or Busy until a deadline)
//!     mail |= bit of the sender                 ---- fence ----
//!     ---- fence ----                           mail == 0 ?  sleep  :  state = Awake, read the mail first
//!     state == Parked ?  claim it, ring
//! ```
//!
//! Each side writes its own word, then reads the other's, with a sequentially consistent fence between: of the two
//! reads at least one sees the other side's write, so a receiver never sleeps on mail that nobody rings for. The claim
//! is a compare-and-exchange from what was seen to Awake, so of all senders that find a shard parked one rings, and the
//! others know that somebody did. A claim fails only where the receiver has moved on after the sender's fence; whatever
//! it announces next, its own check then sees the mail.
//!
//! The bits need no such care: the receiver takes them with an exchange and a sender sets its bit after the push, so a
//! bit that was missed comes with the next exchange. A bit may outlive its mail, which costs one look into an empty ring.

use super::MAX_SHARDS;
use super::sync::{AtomicU64, Ordering, fence};

/// Words of bits, one bit a sender.
pub(super) const WORDS: usize = MAX_SHARDS / 64;

/// The shard looks at its mail by itself.
const AWAKE: u64 = 0;
/// The shard sleeps until its bell rings.
const PARKED: u64 = 1;
/// The shard runs something, until a deadline in nanoseconds that is added to this.
const BUSY: u64 = 2;

/// What a sender must do at once so that the receiver sees what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a parked shard sleeps until somebody rings"]
pub enum Wake {
    /// The receiver comes by itself.
    Nothing,
    /// The receiver sleeps: ring its bell. No other sender will.
    Unpark,
    /// The receiver runs something that is due later than the parcel: signal its thread. No other sender will.
    Interrupt,
}

/// What a shard found when it announced that it stops looking at its mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "with mail waiting the shard must neither sleep nor run"]
pub enum Announced {
    /// There is no mail: go ahead. Who sends from now on sees the announcement.
    Clear,
    /// There is mail: receive it, then announce again. The announcement is taken back.
    MailFirst,
}

/// The shared part of a shard's mailbox. The state has two writers by turns: its shard, and the sender that claims it.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Inbox {
    mail: [AtomicU64; WORDS],
    state: AtomicU64,
    /// Words that have senders at all.
    words: usize,
}

impl Inbox {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            mail: std::array::from_fn(|_| AtomicU64::new(0)),
            state: AtomicU64::new(AWAKE),
            words: shards.div_ceil(64),
        }
    }

    /// Says that something of the shard `from` stands in its ring, due in nanoseconds where it is urgent.
    pub(super) fn posted(&self, from: usize, due: Option<u64>) -> Wake {
        self.mail[from / 64].fetch_or(1 << (from % 64), Ordering::Release);
        fence(Ordering::SeqCst);
        self.claim(due)
    }

    /// Claims the shard where it sleeps, with no mail for it.
    pub(super) fn nudge(&self) -> Wake {
        self.claim(None)
    }

    fn claim(&self, due: Option<u64>) -> Wake {
        // Relaxed: the fences order it, and what was sent travels through the ring and the bits.
        let seen = self.state.load(Ordering::Relaxed);
        let wake = match seen {
            AWAKE => return Wake::Nothing,
            PARKED => Wake::Unpark,
            busy if due.is_some_and(|due| due < busy - BUSY) => Wake::Interrupt,
            _ => return Wake::Nothing,
        };
        match self
            .state
            .compare_exchange(seen, AWAKE, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => wake,
            Err(_) => Wake::Nothing,
        }
    }

    /// For the receiver only: it will sleep.
    pub(super) fn park(&self) -> Announced {
        self.announce(PARKED)
    }

    /// For the receiver only: it will run something that is due in nanoseconds, or at no time.
    pub(super) fn busy(&self, due: Option<u64>) -> Announced {
        self.announce(due.map_or(u64::MAX, |due| due.saturating_add(BUSY)))
    }

    /// For the receiver only: it looks at its mail by itself again.
    pub(super) fn awake(&self) {
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    fn announce(&self, state: u64) -> Announced {
        // Only for speed: what is seen here needs no announcement that a sender might claim in vain.
        if self.has_mail() {
            self.awake();
            return Announced::MailFirst;
        }
        self.state.store(state, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.has_mail() {
            self.awake();
            return Announced::MailFirst;
        }
        Announced::Clear
    }

    /// Whether somebody has sent since the bits were last taken.
    pub(super) fn has_mail(&self) -> bool {
        self.mail[..self.words]
            .iter()
            .any(|word| word.load(Ordering::Relaxed) != 0)
    }

    pub(super) fn is_parked(&self) -> bool {
        self.state.load(Ordering::Relaxed) == PARKED
    }

    pub(super) fn is_awake(&self) -> bool {
        self.state.load(Ordering::Relaxed) == AWAKE
    }

    /// For the receiver only: moves the bits into `ready`. What their senders had pushed is visible then.
    pub(super) fn take(&self, ready: &mut [u64; WORDS]) {
        for (word, ready) in self.mail[..self.words].iter().zip(ready) {
            if word.load(Ordering::Relaxed) != 0 {
                *ready |= word.swap(0, Ordering::Acquire);
            }
        }
    }
}
