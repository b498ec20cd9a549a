//! On which shard a request is served: a pure decision over the loads that shards publish.
//!
//! ```text
//!                  affinity key, or steering by home          otherwise
//!   first choice:  jump hash of (function, key)               the connection's own shard
//!                        |
//!            fits its slack there ----------------------------> first choice
//!            surely fits a neighbour, and is over there
//!            earlier by a margin -----------------------------> spill: the one where it is over first
//!            surely fits nobody, and must meet its deadline --> infeasible, retry after
//!            not sure ----------------------------------------> first choice, whose exact books decide
//! ```
//!
//! *Home* is Lamping and Veach's jump consistent hash ("A fast, minimal memory, consistent hash algorithm", 2014): no
//! table, a handful of steps, an even spread, and when the number of shards goes from n to n + 1 only one key in n + 1
//! moves, each to the new shard. Rendezvous hashing moves as few, and lets any shard leave; it also takes a hash for each
//! shard and request. Shards are numbered without gaps and only the last ones come or go, which is all that jump asks.
//!
//! *Candidates* of a spill are all shards where there are up to [`SteeringConfig::full_scan`]; beyond, the connection's
//! shard and two others by lot (Mitzenmacher, "The power of two choices in randomized load balancing", 2001), so that
//! many shards do not all pick the same idle one from the same readings.
//!
//! *Nothing ping-pongs*: a request that came by parcel is not movable, so it moves once at most; a spill must gain the
//! margin over staying; and both bounds of a reading ([`Due`]) must agree before a request is moved or refused.

use std::time::Duration;

use crate::mesh::{Due, ShardLoad};
use crate::time::Instant;

/// Where a request is served in the first place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steering {
    /// On the shard of its connection, unless it has an affinity key.
    #[default]
    Local,
    /// On the home of its function.
    Home,
}

/// How requests are steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteeringConfig {
    /// The first choice. Local by default.
    pub steering: Steering,
    /// Whether a request may be served elsewhere than at its first choice. True by default.
    pub spill: bool,
    /// What serving on another shard than the connection's costs. 50 us by default, a round trip with one side asleep.
    pub handoff: Duration,
    /// How much earlier than at the first choice a request must be over to be spilled, its hand-off included. 100 us by
    /// default.
    pub margin: Duration,
    /// Number of shards up to which all are candidates of a spill. 8 by default.
    pub full_scan: usize,
}

impl Default for SteeringConfig {
    fn default() -> Self {
        Self {
            steering: Steering::Local,
            spill: true,
            handoff: Duration::from_micros(50),
            margin: Duration::from_micros(100),
            full_scan: 8,
        }
    }
}

/// What steering knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its class, as its shard's scheduler knows it.
    pub class: u32,
    /// A hash of the function's identity.
    pub function: u64,
    /// A hash of the key that keeps requests together, where the route names one.
    pub affinity: Option<u64>,
    /// When it must be answered. Without a deadline a request never spills.
    pub deadline: Option<Instant>,
    /// How long it will occupy a core.
    pub estimate: Duration,
    /// How much of the time to its deadline may not be taken by work, beside its own: see [`Scheduler::held_back`](crate::Scheduler::held_back).
    /// What `here` says counts for all.
    pub held_back: Duration,
    /// Whether it may be served elsewhere than on `here`: it has not moved before and nothing holds it.
    pub movable: bool,
    /// Whether it may be served elsewhere than on the shard of its first choice: it takes longer than handing it over.
    pub spills: bool,
    /// Whether to refuse it if it cannot meet its deadline.
    pub firm: bool,
    /// Any number that differs from request to request: draws candidates by lot. A counter will do.
    pub lot: u64,
}

/// Where a request is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On the connection's shard.
    Here,
    /// On the shard of this number.
    There(usize),
    /// Nowhere in time, because of what waits on every candidate.
    Infeasible {
        /// When the backlog of the candidate that is free first will have shrunk far enough for such a request.
        retry_after: Duration,
    },
}

/// Decides where a request is served that arrived on the shard `here` of `shards`. `loads` reads the board.
///
/// A load is read only where it can matter: none at all for a request that cannot move and has no deadline.
///
/// # Panics
/// If there are no shards.
pub fn place(
    request: &Request,
    here: usize,
    shards: usize,
    now: Instant,
    loads: impl Fn(usize) -> ShardLoad,
    config: &SteeringConfig,
) -> Placement {
    assert!(shards > 0, "a request needs a shard");
    if !request.movable || shards == 1 {
        return Placement::Here;
    }
    let first = first_choice(request, here, shards, config.steering);
    let at = |shard| {
        if shard == here {
            Placement::Here
        } else {
            Placement::There(shard)
        }
    };
    let Some(deadline) = request.deadline.filter(|_| config.spill && request.spills) else {
        return at(first);
    };
    let slack = deadline.saturating_duration_since(now);
    // By its estimate it is late on an idle shard: no load explains that. The shard's admission knows when to try it.
    if request.estimate > slack {
        return at(first);
    }
    let over = |shard| {
        // Who holds it back is not shown. Mostly others do as well, as they are asked for the same.
        let cost = if shard == here {
            request.held_back
        } else {
            request.held_back + config.handoff
        };
        let due = loads(shard).due(deadline, now);
        Due {
            at_least: due.at_least + request.estimate + cost,
            at_most: due.at_most + request.estimate + cost,
        }
    };
    let over_first = over(first);
    if over_first.at_most <= slack {
        return at(first);
    }
    let mut best: Option<(usize, Duration)> = None;
    let mut least = over_first.at_least;
    for shard in candidates(request.lot, here, shards, config.full_scan).filter(|shard| *shard != first) {
        let over = over(shard);
        least = least.min(over.at_least);
        if best.is_none_or(|(_, so_far)| over.at_most < so_far) {
            best = Some((shard, over.at_most));
        }
    }
    match best {
        Some((shard, over)) if over <= slack && over + config.margin <= over_first.at_most => at(shard),
        _ if request.firm && least > slack => Placement::Infeasible {
            retry_after: least - slack,
        },
        _ => at(first),
    }
}

/// The home of a function, or of an affinity key within it, among `shards`: a number below `shards`, or 0.
///
/// Lamping and Veach's jump consistent hash, on a mixed key.
pub fn home(function: u64, affinity: Option<u64>, shards: usize) -> usize {
    let mut key = mix(function ^ affinity.map_or(0, |affinity| mix(affinity.wrapping_add(1))));
    let (mut bucket, mut next) = (0, 0);
    while next < shards {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // The next number of shards at which this key would move: at least one more.
        let draw = ((key >> 33) + 1) as f64 / (1_u64 << 31) as f64;
        next = ((bucket + 1) as f64 / draw) as usize;
    }
    bucket
}

fn first_choice(request: &Request, here: usize, shards: usize, steering: Steering) -> usize {
    if steering == Steering::Home || request.affinity.is_some() {
        home(request.function, request.affinity, shards)
    } else {
        here
    }
}

/// All shards of a few; of many `here` and two others by lot, which differ.
fn candidates(lot: u64, here: usize, shards: usize, full_scan: usize) -> impl Iterator<Item = usize> {
    let (all, few) = if shards <= full_scan.max(3) {
        (0..shards, None)
    } else {
        let lot = mix(lot);
        // Steps from here: two different ones of 1 to shards - 1.
        let others = shards as u64 - 1;
        let one = lot % others;
        let other = (one + 1 + (lot >> 32) % (others - 1)) % others;
        let step = move |steps: u64| (here + 1 + steps as usize) % shards;
        (0..0, Some([here, step(one), step(other)]))
    };
    all.chain(few.into_iter().flatten())
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): every bit
/// of the key bears on every bit of the result.
fn mix(key: u64) -> u64 {
    let key = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    key ^ (key >> 31)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as a start")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Places a request of 1 ms, due in 16 ms (a bucket's end), that arrived on shard 0, where each shard has the given
    /// milliseconds due before it.
    fn place_by(loads: &[u64], change: impl FnOnce(&mut Request, &mut SteeringConfig)) -> Placement {
        let now = Instant::now();
        let mut request = Request {
            class: 0,
            held_back: Duration::ZERO,
            function: 7,
            affinity: None,
            deadline: Some(now + 16 * MS),
            estimate: MS,
            movable: true,
            spills: true,
            firm: true,
            lot: 1,
        };
        let mut config = SteeringConfig::default();
        change(&mut request, &mut config);
        let load = |shard: usize| {
            let work = loads[shard] as u32 * MS;
            ShardLoad {
                total: work,
                by_slack: [
                    Duration::ZERO,
                    Duration::ZERO,
                    Duration::ZERO,
                    work,
                    work,
                    work,
                    work,
                    work,
                ],
                ..ShardLoad::idle(now)
            }
        };
        place(&request, 0, loads.len(), now, load, &config)
    }

    #[test]
    fn a_request_that_fits_stays() {
        assert_eq!(place_by(&[15, 0], |_, _| ()), Placement::Here);
        assert_eq!(place_by(&[0, 0], |_, _| ()), Placement::Here);
    }

    #[test]
    fn a_request_that_would_be_late_goes_where_it_is_over_first() {
        assert_eq!(place_by(&[16, 9, 3, 5], |_, _| ()), Placement::There(2));
        assert_eq!(place_by(&[500, 14], |_, _| ()), Placement::There(1));
    }

    #[test]
    fn what_is_held_back_goes_where_as_much_is_free() {
        let held_back = |request: &mut Request, _: &mut SteeringConfig| request.held_back = 12 * MS;
        assert_eq!(place_by(&[3, 2], held_back), Placement::Here);
        assert_eq!(place_by(&[4, 2], held_back), Placement::There(1));
        // Another that is as busy would send it back.
        assert!(matches!(
            place_by(&[4, 3], held_back),
            Placement::Infeasible { .. }
        ));
    }

    #[test]
    fn the_handoff_counts_against_the_neighbour() {
        // 15 ms and 1 ms just fit here, but not with 50 us on top.
        assert_eq!(
            place_by(&[16, 15], |request, _| request.firm = false),
            Placement::Here
        );
        let dear = |_: &mut Request, config: &mut SteeringConfig| config.handoff = 13 * MS;
        assert!(matches!(place_by(&[16, 3], dear), Placement::Infeasible { .. }));
    }

    #[test]
    fn a_gain_below_the_margin_moves_nothing() {
        let wide = |margin| {
            move |request: &mut Request, config: &mut SteeringConfig| {
                request.firm = false;
                config.margin = margin;
            }
        };
        assert_eq!(place_by(&[16, 14], wide(3 * MS)), Placement::Here);
        assert_eq!(place_by(&[16, 14], wide(MS)), Placement::There(1));
    }

    #[test]
    fn what_fits_nowhere_is_told_when_to_come_again() {
        let expected = Placement::Infeasible {
            retry_after: Duration::from_micros(3_050),
        };
        assert_eq!(place_by(&[30, 18, 40], |_, _| ()), expected);
        let soft = |request: &mut Request, _: &mut SteeringConfig| request.firm = false;
        assert_eq!(place_by(&[30, 18, 40], soft), Placement::Here);
    }

    #[test]
    fn wide_buckets_alone_refuse_nothing() {
        // Due in 5 ms, while the 20 ms here may all be due between 5 and 16 ms: its own shard knows.
        let early = |request: &mut Request, _: &mut SteeringConfig| {
            request.deadline = request.deadline.map(|deadline| deadline - 11 * MS);
        };
        assert_eq!(place_by(&[20, 20], early), Placement::Here);
        assert_eq!(place_by(&[20, 0], early), Placement::There(1));
    }

    #[test]
    fn a_request_too_long_for_its_own_deadline_is_left_to_admission() {
        let long = |request: &mut Request, _: &mut SteeringConfig| request.estimate = 17 * MS;
        assert_eq!(place_by(&[900, 900], long), Placement::Here);
    }

    #[test]
    fn what_may_not_move_or_has_no_deadline_does_not_spill() {
        let fixed = |request: &mut Request, _: &mut SteeringConfig| request.movable = false;
        assert_eq!(place_by(&[900, 0], fixed), Placement::Here);
        let endless = |request: &mut Request, _: &mut SteeringConfig| request.deadline = None;
        assert_eq!(place_by(&[900, 0], endless), Placement::Here);
        let quick = |request: &mut Request, _: &mut SteeringConfig| request.spills = false;
        assert_eq!(place_by(&[900, 0], quick), Placement::Here);
        let off = |_: &mut Request, config: &mut SteeringConfig| config.spill = false;
        assert_eq!(place_by(&[900, 0], off), Placement::Here);
    }

    #[test]
    fn a_quick_request_goes_to_the_home_of_its_key_as_well() {
        let away = (0..).find(|key| home(7, Some(*key), 2) == 1);
        let quick = |request: &mut Request, _: &mut SteeringConfig| {
            (request.affinity, request.spills) = (away, false);
        };
        assert_eq!(place_by(&[0, 900], quick), Placement::There(1));
    }

    #[test]
    fn keys_go_home_and_spill_back_to_the_connections_shard() {
        // The first key whose home is the other one of two shards.
        let away = (0..).find(|key| home(7, Some(*key), 2) == 1);
        let keyed = |request: &mut Request, _: &mut SteeringConfig| request.affinity = away;
        assert_eq!(place_by(&[0, 0], keyed), Placement::There(1));
        assert_eq!(
            place_by(&[0, 14], keyed),
            Placement::There(1),
            "14.95 and 1 ms fit"
        );
        assert_eq!(place_by(&[0, 16], keyed), Placement::Here);
        let mode = |request: &mut Request, config: &mut SteeringConfig| {
            config.steering = Steering::Home;
            request.function = (0..).find(|function| home(*function, None, 2) == 1).unwrap();
        };
        assert_eq!(place_by(&[0, 0], mode), Placement::There(1));
    }

    #[test]
    fn of_many_shards_two_others_are_drawn_and_all_come_to_it() {
        let mut drawn = [0_u32; 64];
        for lot in 0..10_000 {
            let picked: Vec<usize> = candidates(lot, 5, 64, 8).collect();
            assert_eq!(picked.len(), 3);
            assert_eq!(picked[0], 5);
            assert!(
                picked[1] != 5 && picked[2] != 5 && picked[1] != picked[2],
                "{picked:?}"
            );
            drawn[picked[1]] += 1;
            drawn[picked[2]] += 1;
        }
        // 20,000 draws of 63: 317 each.
        drawn[5] = 317;
        assert!(drawn.iter().all(|count| (220..420).contains(count)), "{drawn:?}");
        assert_eq!(
            candidates(0, 5, 8, 8).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5, 6, 7]
        );
        let mut loads = [900; 64];
        loads[9] = 0;
        let lots = (0..1000).filter(|lot| {
            let place = place_by(&loads, |request, _| request.lot = *lot);
            assert!(matches!(
                place,
                Placement::There(9) | Placement::Infeasible { .. }
            ));
            place == Placement::There(9)
        });
        assert!(
            (10..60).contains(&lots.count()),
            "about 2 in 63 draw the idle one"
        );
    }

    #[test]
    fn one_more_shard_moves_its_own_share_and_nothing_else() {
        const KEYS: u64 = 20_000;
        for shards in [1, 2, 3, 8, 63, 255] {
            let mut moved = 0;
            for key in 0..KEYS {
                let (before, after) = (home(key, None, shards), home(key, None, shards + 1));
                assert!(before < shards);
                assert!(
                    after == before || after == shards,
                    "a key moved between old shards"
                );
                moved += u64::from(after != before);
            }
            let share = KEYS / (shards as u64 + 1);
            let tolerance = 5 * share.isqrt();
            assert!(
                moved.abs_diff(share) <= tolerance,
                "{shards}: {moved} of {KEYS} moved"
            );
        }
    }

    #[test]
    fn homes_are_spread_evenly_by_function_and_by_key() {
        let by_function = |key| home(key, None, 16);
        let by_key = |key| home(7, Some(key), 16);
        for spread in [&by_function as &dyn Fn(u64) -> usize, &by_key] {
            let mut counts = [0_u32; 16];
            (0..16_000).for_each(|key| counts[spread(key)] += 1);
            assert!(
                counts.iter().all(|count| (840..1160).contains(count)),
                "{counts:?}"
            );
        }
    }
}
