//! Who takes work from whom, and who is woken for it: pure decisions over readings of the board.
//!
//! ```text
//!   busy shard, at each scheduling point              idle shard, once before it parks
//!     backlog of movable work over the threshold         a neighbour's wait is worth a hand-off
//!     and a neighbour is parked                          and no request of ours stands with it
//!       hint() -> nudge and ring its bell  ----------->    look() -> ask; then park
//!     asked() and gives() -> release tasks,  <---------
//!       their holders send the parcels
//! ```
//!
//! An idle shard that does not busy-poll looks once each time that it is about to park, and then sleeps; one that does looks again from
//! time to time, as long as it does. Whoever has too much tells it. The hint is judged anew at every scheduling point for as long as the backlog lasts, so one that is lost or
//! comes to nothing is followed by another, and a shard with a backlog comes to a scheduling point at least once a
//! quantum. Both sides are bounded in time: a busy shard wakes one neighbour in an interval, an idle one reads the board
//! once in half of it. A process without backlogs wakes nobody.

use std::time::Duration;

use super::load::ShardLoad;
use crate::time::Instant;

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

/// Tasks that go to one who asks once, at most.
const GIVEN_AT_ONCE: u32 = 16;

/// What a shard gives to one that has asked, task by task: half of the difference in all, so that both then wait as long; but the first
/// task may be longer, if only it begins sooner there than it would here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gift {
    in_all: Duration,
    next: Duration,
    tasks: u32,
}

impl Gift {
    /// The most work that the next task may be, while there is to be one.
    pub fn next(&self) -> Option<Duration> {
        (self.tasks > 0 && !self.next.is_zero()).then_some(self.next)
    }

    /// A task of so much work was given; nothing, if there was none that suits.
    pub fn gave(&mut self, work: Duration) {
        self.in_all = self.in_all.saturating_sub(work);
        self.next = self.in_all;
        self.tasks = if work.is_zero() { 0 } else { self.tasks - 1 };
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
    ///
    /// # Panics
    /// If there are no shards.
    pub fn new(id: usize, shards: usize, config: StealingConfig) -> Self {
        Self {
            id,
            shards,
            config,
            next_look: None,
            next_hint: None,
            cursor: (id + 1) % shards,
        }
    }

    /// When it is worth it here.
    pub fn config(&self) -> StealingConfig {
        self.config
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
        let parked = self.neighbours().find(|shard| is_parked(*shard))?;
        self.cursor = (parked + 1) % self.shards;
        Some(parked)
    }

    /// For a shard that was asked: the work to give, if any. Nothing where that is not worth a hand-off.
    pub fn gives(&self, own: &ShardLoad, thief: &ShardLoad, now: Instant) -> Option<Gift> {
        let difference = own.waiting(now).saturating_sub(thief.waiting(now));
        (own.movable > 0 && difference > self.config.handoff).then(|| Gift {
            in_all: difference / 2,
            next: difference - self.config.handoff,
            tasks: GIVEN_AT_ONCE,
        })
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

#[cfg(all(test, not(loom)))]
#[expect(clippy::disallowed_methods, reason = "any instant will do as a start")]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    fn backlog(now: Instant, movable: u32, wait: Duration) -> ShardLoad {
        ShardLoad {
            movable,
            total: wait,
            ..ShardLoad::idle(now)
        }
    }

    /// What an idle shard 0 asks, where each other shard has so many movable tasks and so long a wait.
    fn look_at(others: &[(u32, Duration)]) -> Option<usize> {
        let now = Instant::now();
        let mut stealing = Stealing::new(0, others.len() + 1, StealingConfig::default());
        stealing.look(now, |shard| {
            let (movable, wait) = others[shard - 1];
            backlog(now, movable, wait)
        })
    }

    #[test]
    fn an_idle_shard_asks_the_largest_backlog_that_is_worth_it() {
        assert_eq!(look_at(&[(1, 900 * US), (3, 200 * US), (3, 300 * US)]), Some(3));
        assert_eq!(
            look_at(&[(9, 50 * US), (1, 51 * US)]),
            Some(2),
            "a short wait stays"
        );
        assert_eq!(look_at(&[(0, 900 * US)]), None, "what has started stays");
        assert_eq!(look_at(&[]), None);
    }

    #[test]
    fn an_old_reading_is_worth_less() {
        let then = Instant::now();
        let loads = |_| backlog(then, 2, 300 * US);
        let look = |now| Stealing::new(0, 2, StealingConfig::default()).look(now, loads);
        assert_eq!(look(then + 100 * US), Some(1));
        assert_eq!(look(then + 260 * US), None);
    }

    #[test]
    fn looks_go_round_where_there_are_many_shards() {
        let now = Instant::now();
        let config = StealingConfig::default();
        let mut stealing = Stealing::new(0, 100, config);
        let loads = |shard| backlog(now, u32::from(shard == 99), 10_000 * US);
        let found = (0..7).position(|look| stealing.look(now + look * config.interval, loads) == Some(99));
        assert_eq!(found, Some(5), "17 at a look");
    }

    #[test]
    fn a_shard_with_a_backlog_wakes_one_neighbour_in_an_interval() {
        let start = Instant::now();
        let config = StealingConfig::default();
        let mut stealing = Stealing::new(1, 4, config);
        let mut woken = [0_u32; 4];
        for step in 0..100_000 {
            let now = start + step * 10 * US;
            let own = backlog(now, 1, config.threshold);
            if let Some(parked) = stealing.hint(&own, now, |shard| shard != 2) {
                woken[parked] += 1;
            }
        }
        // A second at 200 us each; never itself, never one that is awake.
        assert_eq!(woken.iter().sum::<u32>(), 5_000);
        assert_eq!((woken[1], woken[2]), (0, 0));
        assert!(woken[0] > 1_000 && woken[3] > 1_000, "{woken:?}");
    }

    #[test]
    fn without_a_backlog_nobody_is_woken() {
        let now = Instant::now();
        let config = StealingConfig::default();
        let mut stealing = Stealing::new(0, 2, config);
        for own in [
            backlog(now, 0, 9_000 * US),
            backlog(now, 5, config.threshold - US),
        ] {
            assert_eq!(stealing.hint(&own, now, |_| true), None);
        }
    }

    #[test]
    fn a_gift_ends_where_nothing_suits_or_enough_was_given() {
        let now = Instant::now();
        let stealing = Stealing::new(0, 2, StealingConfig::default());
        let gift = || {
            stealing.gives(
                &backlog(now, 99, 9_000 * US),
                &backlog(now, 0, Duration::ZERO),
                now,
            )
        };
        let mut given = 0;
        let mut small = gift().expect("it is worth it");
        while small.next().is_some() {
            small.gave(US);
            given += 1;
        }
        assert_eq!(given, GIVEN_AT_ONCE);
        let mut none = gift().expect("it is worth it");
        none.gave(Duration::ZERO);
        assert_eq!(none.next(), None);
    }

    #[test]
    fn half_of_the_difference_is_given_where_it_is_worth_a_handoff() {
        let now = Instant::now();
        let stealing = Stealing::new(0, 2, StealingConfig::default());
        let gives = |movable, own, thief| {
            let own = backlog(now, movable, own);
            stealing.gives(&own, &backlog(now, 0, thief), now)
        };
        let mut gift = gives(3, 500 * US, 100 * US).expect("it is worth it");
        assert_eq!(gift.next(), Some(350 * US), "one that begins sooner there");
        gift.gave(150 * US);
        assert_eq!(gift.next(), Some(50 * US));
        gift.gave(50 * US);
        assert_eq!(gift.next(), None, "half of the difference");
        assert_eq!(gives(3, 500 * US, 460 * US), None);
        assert_eq!(
            gives(3, 500 * US, 900 * US),
            None,
            "the thief has found work meanwhile"
        );
        assert_eq!(gives(0, 500 * US, Duration::ZERO), None);
    }
}
