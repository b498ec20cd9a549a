//! Randomness that can be had again: one [`Seed`] names a run, and each use draws from a stream of its own.
//!
//! Separate streams keep runs comparable: with other faults, or another policy, the same requests arrive at the same
//! instants. The generator is xoshiro256++ (D. Blackman and S. Vigna, "Scrambled linear pseudorandom number generators",
//! 2021), which is defined bit by bit and so the same on every machine.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

/// The generator of one stream.
pub(super) type Stream = Xoshiro256PlusPlus;

/// What all randomness of a run comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed(pub u64);

/// What a stream is drawn for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// The shape of a run whose settings are random too.
    Plan = 1,
    /// When requests arrive, and where.
    Arrivals,
    /// What requests cost.
    Costs,
    /// What is wrong with requests and clients.
    Lies,
    /// What goes wrong with cores, clocks and bells.
    Faults,
    /// To which shard a request's function and key are hashed.
    Homes,
}

impl Seed {
    /// The stream of one purpose.
    pub(super) fn stream(self, purpose: Purpose) -> Stream {
        // The seeding of the generator spreads each of these over its whole state.
        Stream::seed_from_u64(
            self.0
                .rotate_left(17)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .wrapping_add(purpose as u64),
        )
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn streams_differ_by_seed_and_purpose_and_can_be_had_again() {
        let first = |seed, purpose| Seed(seed).stream(purpose).next_u64();
        assert_eq!(first(7, Purpose::Faults), first(7, Purpose::Faults));
        assert_ne!(first(7, Purpose::Faults), first(8, Purpose::Faults));
        assert_ne!(first(7, Purpose::Faults), first(7, Purpose::Costs));
    }
}
