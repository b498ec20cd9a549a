//! How large the shards' pools are, checked against what the system has before anything is made.
//!
//! ```text
//!   limits.started ──► sandboxes ──┬─ x memories of the largest module x 8 GiB ──► addresses   at most 47 bits, ulimit -v
//!                                  └─ x memories, stacks, ranges ───────────────► mappings    at most vm.max_map_count
//! ```
//! A pool has room for as many sandboxes as the scheduler starts, so a request that was started finds one. What could be
//! wanting is found here, with what to change, and not in the middle of a request.

use luge_core::pool::PoolConfig;

use crate::config::ServerLimits;
use crate::function::Registry;

/// Addresses of a process on x86-64, and on most other machines of 64 bits.
const ADDRESSES: u64 = 1 << 47;
/// Addresses for all else: code, heaps, stacks, rings, libraries.
const ADDRESSES_BESIDE: u64 = 1 << 40;
/// The same where the operator has set a limit, which is then a small one.
const LIMITED_BESIDE: u64 = 1 << 30;
/// Addresses of one sandbox's stack, and more.
const STACK: u64 = 2 << 20;
/// Mappings for all else.
const MAPPINGS_BESIDE: u64 = 2048;
/// Ranges of pages that a memory may have beyond its first, on average, if there is room.
const FURTHER_RANGES: usize = 2;

/// What the system has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of addresses; `None` without a limit of the operator's.
    pub address_space: Option<u64>,
    /// Mappings; `None` where the system does not tell.
    pub mappings: Option<u64>,
}

/// What the server is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Shards, each with a pool.
    pub shards: usize,
    /// Runs of one shard that have begun and not ended.
    pub started: usize,
    /// Memories of the deployed module that has most.
    pub memories: usize,
    /// Bytes that idle sandboxes of a shard may keep.
    pub idle_bytes: usize,
}

/// The system has no room for so many sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapacityError {
    /// Too few addresses.
    #[error(
        "{shards} core(s) with {started} started runs, each with {memories} memories of 8 GiB of addresses, need {needed} GiB \
         of addresses, and {most} GiB can be had: lower `limits.started` or `cores`{}",
        if *.is_limited { ", or raise the limit on address space (ulimit -v)" } else { "" }
    )]
    Addresses {
        /// Shards.
        shards: usize,
        /// Runs of each.
        started: usize,
        /// Memories of each run.
        memories: usize,
        /// GiB needed.
        needed: u64,
        /// GiB that can be had.
        most: u64,
        /// Whether that is a limit of the operator's.
        is_limited: bool,
    },
    /// Too few mappings.
    #[error(
        "{shards} core(s) with {started} started runs, each with {memories} memories, need {needed} mappings, and {most} can \
         be had: lower `limits.started` or `cores`, or raise the limit (sysctl -w vm.max_map_count=N)"
    )]
    Mappings {
        /// Shards.
        shards: usize,
        /// Runs of each.
        started: usize,
        /// Memories of each run.
        memories: usize,
        /// Mappings needed.
        needed: u64,
        /// Mappings that can be had.
        most: u64,
    },
}

impl Demand {
    /// What a server of these functions and limits is to hold.
    #[must_use]
    pub fn new(shards: usize, limits: &ServerLimits, registry: &Registry) -> Demand {
        let memories = registry
            .functions()
            .iter()
            .map(|function| function.template().module().memories().len());
        Demand {
            shards,
            started: limits.started,
            memories: memories.max().unwrap_or(0),
            idle_bytes: limits.idle_memory,
        }
    }

    /// The pool of each shard.
    ///
    /// # Errors
    /// What lacks, and what to change.
    pub fn plan(&self, room: &Room) -> Result<PoolConfig, CapacityError> {
        let &Demand {
            shards,
            started,
            memories,
            idle_bytes,
        } = self;
        let mut pool = PoolConfig {
            sandboxes: started,
            memories: started.saturating_mul(memories).max(1),
            idle_bytes,
            further_ranges: 0,
        };
        let all = shards as u64;
        let stacks = STACK.saturating_mul(started as u64);
        let needed = pool.address_bytes().saturating_add(stacks).saturating_mul(all);
        let most = room.address_space.map_or(ADDRESSES - ADDRESSES_BESIDE, |limit| {
            limit
                .saturating_sub(LIMITED_BESIDE)
                .min(ADDRESSES - ADDRESSES_BESIDE)
        });
        if needed > most {
            return Err(CapacityError::Addresses {
                shards,
                started,
                memories,
                needed: needed.div_ceil(1 << 30),
                most: most >> 30,
                is_limited: room.address_space.is_some(),
            });
        }
        let needed = (pool.mappings() as u64).saturating_mul(all);
        let most = room
            .mappings
            .map_or(u64::MAX, |most| most.saturating_sub(MAPPINGS_BESIDE));
        let Some(left) = most.checked_sub(needed) else {
            return Err(CapacityError::Mappings {
                shards,
                started,
                memories,
                needed,
                most,
            });
        };
        let further = usize::try_from(left / (2 * all.max(1))).unwrap_or(usize::MAX);
        pool.further_ranges = further.min(pool.memories.saturating_mul(FURTHER_RANGES));
        Ok(pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand {
        shards: 2,
        started: 256,
        memories: 1,
        idle_bytes: 64 << 20,
    };
    const ROOM: Room = Room {
        address_space: None,
        mappings: Some(65_530),
    };

    #[test]
    fn a_pool_has_a_place_for_each_run_that_is_started() {
        let pool = DEMAND.plan(&ROOM).unwrap();
        assert_eq!((pool.sandboxes, pool.memories), (256, 256));
        assert_eq!((pool.further_ranges, pool.idle_bytes), (512, 64 << 20));
        let three = Demand {
            memories: 3,
            ..DEMAND
        };
        assert_eq!(three.plan(&ROOM).unwrap().memories, 768);
        let none = Demand {
            memories: 0,
            ..DEMAND
        };
        assert_eq!(none.plan(&ROOM).unwrap().memories, 1);
    }

    #[test]
    fn ten_thousand_fit_into_what_systems_have() {
        let many = Demand {
            shards: 1,
            started: 10_000,
            ..DEMAND
        };
        let pool = many.plan(&ROOM).unwrap();
        assert_eq!((pool.sandboxes, pool.memories), (10_000, 10_000));
        assert!(pool.mappings() as u64 <= 65_530 - MAPPINGS_BESIDE);
    }

    #[test]
    fn further_ranges_give_way_before_anything_fails() {
        let needed = DEMAND.plan(&ROOM).unwrap();
        let least = 2 * PoolConfig {
            further_ranges: 0,
            ..needed
        }
        .mappings() as u64
            + MAPPINGS_BESIDE;
        let room = |mappings| Room {
            mappings: Some(mappings),
            ..ROOM
        };
        assert_eq!(DEMAND.plan(&room(least)).unwrap().further_ranges, 0);
        assert_eq!(DEMAND.plan(&room(least + 40)).unwrap().further_ranges, 10);
        let error = DEMAND.plan(&room(least - 1)).unwrap_err().to_string();
        assert!(
            error.contains("vm.max_map_count") && error.contains("limits.started"),
            "{error}"
        );
    }

    #[test]
    fn what_lacks_is_told_with_what_to_change() {
        let limited = Room {
            address_space: Some(1 << 40),
            ..ROOM
        };
        let error = DEMAND.plan(&limited).unwrap_err().to_string();
        assert!(
            error.contains("ulimit -v") && error.contains("need 4098 GiB"),
            "{error}"
        );
        let huge = Demand {
            started: 1 << 20,
            ..DEMAND
        };
        let error = huge.plan(&ROOM).unwrap_err().to_string();
        assert!(
            error.contains("limits.started") && !error.contains("ulimit"),
            "{error}"
        );
        let absurd = Demand {
            started: usize::MAX,
            memories: usize::MAX,
            ..DEMAND
        };
        assert!(absurd.plan(&ROOM).is_err());
    }
}
