//! Who takes work from whom, and who is woken for it: pure decisions over readings of the board.
//!
//! ```text
//!   busy shard, at each scheduling point              idle shard, once before it parks
//!     backlog of movable work over the threshold         a neighbour's wait is worth a hand-off
//!     and a neighbour is parked                          and no request of ours stands with it
//!       hint() -> nudge and ring its bell  ----------->    look() -> ask; then park
//!     asked() and gives() -> release a task,  <---------
//!       its holder sends the parcel
//! ```
//!
//! An idle shard never polls: it looks once each time that it is about to park, and then sleeps. Whoever has too much
//! tells it. The hint is judged anew at every scheduling point for as long as the backlog lasts, so one that is lost or
//! comes to nothing is followed by another, and a shard with a backlog comes to a scheduling point at least once a
//! quantum. Both sides are bounded in time: a busy shard wakes one neighbour in an interval, an idle one reads the board
//! once in half of it. A process without backlogs wakes nobody.

use std::time::{Duration, Instant};

use super::load::ShardLoad;

/// When stealing is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StealingConfig {
    /// What a hand-off costs: a wait that is not longer than this stays where it is. 50 us by default, a round trip with
    /// one side asleep.
    pub handoff: Duration,
    /// Backlog from which a shard with movable work wakes a parked neighbour. 200 us by default.
    pub threshold: Duration,
    /// Least time between two neighbours that a shard wakes; twice the least time between two looks of an idle shard.
    /// 200 us by default.
    pub interval: Duration,
    /// Neighbours that one look considers. The next look goes on where it ended. 16 by default.
    pub reach: usize,
}

impl Default for StealingConfig {
    fn default() -> Self {
        Self {
            handoff: Duration::from_micros(50),
            threshold: Duration::from_micros(200),
            interval: Duration::from_micros(200),
            reach: 16,
        }
    }
}

/// One shard's side of stealing: what it decides, as thief and as victim, and when it last did.
#[derive(Clone, Debug)]
pub struct Stealing {
    id: usize,
    shards: usize,
    config: StealingConfig,
    next_look: Option<Instant>,
    next_hint: Option<Instant>,
    /// The neighbour that the next look or hint begins with.
    cursor: usize,
}

impl Stealing {
    /// For the shard `id` of `shards`.
    pub fn new(id: usize, shards: usize, config: StealingConfig) -> Self {
        Self {
            id,
            shards,
            config,
            next_look: None,
            next_hint: None,
            cursor: (id + 1) % shards.max(1),
        }
    }

    /// For an idle shard, before it parks: the neighbour to [`ask`](super::Board::ask) for work, if any is worth it.
    ///
    /// That is the one with the most movable tasks, among those whose wait is longer than a hand-off; with as many, the
    /// one with the longer wait.
    pub fn look(&mut self, now: Instant, loads: impl Fn(usize) -> ShardLoad) -> Option<usize> {
        if self.next_look.is_some_and(|next| now < next) {
            return None;
        }
        self.next_look = Some(now + self.config.interval / 2);
        let handoff = self.config.handoff;
        self.neighbours()
            .map(|shard| (shard, loads(shard)))
            .filter(|(_, load)| load.movable > 0 && load.waiting(now) > handoff)
            .max_by_key(|(_, load)| (load.movable, load.waiting(now)))
            .map(|(shard, _)| shard)
    }

    /// For a busy shard, at a scheduling point: the parked neighbour to [`nudge`](super::Port::nudge), if it should wake
    /// one because of its `own` backlog.
    pub fn hint(
        &mut self,
        own: &ShardLoad,
        now: Instant,
        is_parked: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let has_backlog = own.movable > 0 && own.waiting(now) >= self.config.threshold;
        if !has_backlog || self.next_hint.is_some_and(|next| now < next) {
            return None;
        }
        // Also where none is parked: whoever parks after this looks at the board first.
        self.next_hint = Some(now + self.config.interval);
        self.neighbours().find(|shard| is_parked(*shard))
    }

    /// For a shard that was asked: the amount of work to give, if any. Half of the difference, so that both then wait as
    /// long; nothing where that is not worth a hand-off.
    pub fn gives(&self, own: &ShardLoad, thief: &ShardLoad, now: Instant) -> Option<Duration> {
        let difference = own.waiting(now).saturating_sub(thief.waiting(now));
        (own.movable > 0 && difference > self.config.handoff).then_some(difference / 2)
    }

    /// The next neighbours to consider, each at most once.
    fn neighbours(&mut self) -> impl Iterator<Item = usize> + use<> {
        let (id, shards, first) = (self.id, self.shards, self.cursor);
        // One more than the reach: the shard itself may be among them.
        let count = self.config.reach.saturating_add(1).min(shards);
        self.cursor = (first + count) % shards;
        (0..count)
            .map(move |step| (first + step) % shards)
            .filter(move |shard| *shard != id)
    }
}
