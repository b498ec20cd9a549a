//! Random requests over random loads: what holds of every placement, checked from outside.
#![expect(clippy::disallowed_methods, reason = "any instant will do as a start")]

use std::cell::Cell;
use std::time::Duration;

use luge_shards::{
    Instant, Placement, Request, ShardLoad, Steering, SteeringConfig, home, place, slack_of_bucket,
};

const US: Duration = Duration::from_micros(1);

/// Seeded numbers: xorshift64 (Marsaglia, 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn odds(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// Up to a second, short times as often as long ones.
    fn time(&mut self) -> Duration {
        let magnitude = self.below(21);
        Duration::from_micros(self.below(1 << magnitude))
    }

    fn load(&mut self, now: Instant) -> ShardLoad {
        let mut work = Duration::ZERO;
        let by_slack = std::array::from_fn(|bucket| {
            if self.odds(2) {
                work += self.time().min(slack_of_bucket(bucket));
            }
            work
        });
        ShardLoad {
            by_slack,
            total: work + self.time(),
            ..ShardLoad::idle(now - self.time() / 64)
        }
    }

    fn request(&mut self, now: Instant) -> Request {
        Request {
            class: 0,
            held_back: Duration::ZERO,
            function: self.below(50),
            affinity: self.odds(4).then(|| self.below(1000)),
            deadline: (!self.odds(8)).then(|| now + self.time()),
            estimate: self.time() / 8,
            movable: !self.odds(8),
            spills: true,
            firm: self.odds(2),
            lot: self.below(u64::MAX),
        }
    }
}

/// One request, the loads that it meets, and the bounds that a checker derives from them by itself.
struct Case {
    seed: u64,
    now: Instant,
    here: usize,
    loads: Vec<ShardLoad>,
    request: Request,
    config: SteeringConfig,
}

impl Case {
    fn random(seed: u64, start: Instant) -> Self {
        let numbers = &mut Numbers(seed * 0x9E37_79B9);
        let now = start + numbers.time();
        let shards = 1 + numbers.below(12);
        // One in four is overloaded.
        let factor = if numbers.odds(4) { 256 } else { 1 };
        let load = |numbers: &mut Numbers| {
            let load = numbers.load(now);
            ShardLoad {
                total: load.total * factor,
                by_slack: load.by_slack.map(|work| work * factor),
                ..load
            }
        };
        Self {
            seed,
            now,
            here: numbers.below(shards) as usize,
            loads: (0..shards).map(|_| load(numbers)).collect(),
            request: numbers.request(now),
            config: SteeringConfig {
                steering: if numbers.odds(2) {
                    Steering::Home
                } else {
                    Steering::Local
                },
                ..SteeringConfig::default()
            },
        }
    }

    fn place(&self) -> Placement {
        let reads = Cell::new(0);
        let read = |shard: usize| {
            reads.set(reads.get() + 1);
            self.loads[shard]
        };
        let shards = self.loads.len();
        let placement = place(&self.request, self.here, shards, self.now, read, &self.config);
        let at_most = if shards <= self.config.full_scan {
            shards
        } else {
            4
        };
        assert!(reads.get() <= at_most, "{} loads were read", reads.get());
        placement
    }

    fn first_choice(&self) -> usize {
        let wants_home = self.config.steering == Steering::Home || self.request.affinity.is_some();
        match self.request.movable && wants_home {
            true => home(self.request.function, self.request.affinity, self.loads.len()),
            false => self.here,
        }
    }

    fn slack(&self) -> Duration {
        let deadline = self.request.deadline.expect("steered by its deadline");
        deadline.saturating_duration_since(self.now)
    }

    /// In what time it would be over on the shard: at least and at most.
    fn over(&self, shard: usize) -> (Duration, Duration) {
        let deadline = self.request.deadline.expect("steered by its deadline");
        let due = self.loads[shard].due(deadline, self.now);
        let handoff = if shard == self.here {
            Duration::ZERO
        } else {
            self.config.handoff
        };
        let rest = self.request.estimate + handoff;
        (due.at_least + rest, due.at_most + rest)
    }

    fn check_refusal(&self, retry_after: Duration) {
        let seed = self.seed;
        let Request {
            firm,
            movable,
            estimate,
            ..
        } = self.request;
        assert!(firm && movable && estimate <= self.slack(), "seed {seed}");
        assert!(retry_after > Duration::ZERO, "seed {seed}");
        assert!(
            self.over(self.first_choice()).0 >= self.slack() + retry_after,
            "seed {seed}"
        );
        if self.loads.len() <= self.config.full_scan {
            let least = (0..self.loads.len()).map(|shard| self.over(shard).0).min();
            assert_eq!(Some(self.slack() + retry_after), least, "seed {seed}");
        }
    }

    fn check_spill(&self, to: usize) {
        let seed = self.seed;
        let ((_, over), (_, stay)) = (self.over(to), self.over(self.first_choice()));
        assert!(self.request.movable, "seed {seed}");
        assert!(over <= self.slack() && stay > self.slack(), "seed {seed}");
        assert!(over + self.config.margin <= stay, "seed {seed}");
    }
}

#[test]
fn a_placement_is_where_the_request_surely_fits_or_its_first_choice() {
    let start = Instant::now() + Duration::from_secs(2);
    let (mut stayed, mut went_home, mut spilled, mut refused) = (0, 0, 0, 0);
    for seed in 1..=20_000 {
        let case = Case::random(seed, start);
        let placement = case.place();
        let chosen = match placement {
            Placement::Infeasible { retry_after } => {
                refused += 1;
                case.check_refusal(retry_after);
                continue;
            }
            Placement::Here => case.here,
            Placement::There(shard) => {
                assert!(shard != case.here && shard < case.loads.len(), "seed {seed}");
                shard
            }
        };
        if chosen != case.first_choice() {
            spilled += 1;
            case.check_spill(chosen);
        } else if chosen == case.here {
            stayed += 1;
        } else {
            went_home += 1;
        }
    }
    let seen = [stayed, went_home, spilled, refused];
    assert!(
        seen.iter().all(|count| *count > 100),
        "all outcomes are seen: {seen:?}"
    );
}

#[test]
fn what_moved_once_stays_whatever_the_loads_are() {
    let now = Instant::now() + Duration::from_secs(2);
    let mut moved = 0;
    for seed in 1..=2_000 {
        let mut numbers = Numbers(seed * 0x9E37_79B9);
        let mut request = numbers.request(now);
        request.movable = true;
        let config = SteeringConfig::default();
        let loads: Vec<ShardLoad> = (0..4).map(|_| numbers.load(now)).collect();
        if let Placement::There(shard) = place(&request, 0, 4, now, |shard| loads[shard], &config) {
            moved += 1;
            request.movable = false;
            // There it is looked at again, after a while and with other loads.
            let later = now + 100 * US;
            let again = place(
                &request,
                shard,
                4,
                later,
                |_| Numbers(seed * 31).load(later),
                &config,
            );
            assert_eq!(again, Placement::Here);
        }
    }
    assert!(moved > 50, "{moved}");
}
