//! Our tiers that take part, each an engine of ours under a name.
//!
//! What a contender is, and the peers that stand beside ours, are the overhead suite's: [`luge_polybench::contender`].

use luge_core::Engine;
use luge_core::compiler::BoundsStrategy::{self, Guard, Software};
use luge_polybench::tier::{self, TierContender};

/// A tier of our engine.
#[derive(Debug, Clone, Copy)]
pub struct Tier {
    /// Name on the command line.
    pub name: &'static str,
    /// Makes an engine whose modules this tier compiles.
    pub engine: fn() -> Engine,
}

/// All tiers: a new one is a line here.
pub const TIERS: &[Tier] = &[
    Tier {
        name: "interp",
        engine: tier::interpreter,
    },
    Tier {
        name: "baseline",
        engine: || baseline(Guard, false),
    },
    Tier {
        name: "baseline-software",
        engine: || baseline(Software, false),
    },
    Tier {
        name: "baseline-fuel",
        engine: || baseline(Guard, true),
    },
];

impl Tier {
    /// The tier, with nothing loaded.
    pub fn contender(self) -> TierContender {
        TierContender::new(self.name, (self.engine)())
    }
}

/// The baseline compiler for this processor.
///
/// # Panics
/// Where it makes no code for the processor.
fn baseline(bounds: BoundsStrategy, fuel: bool) -> Engine {
    tier::baseline(bounds, fuel).expect("a processor that machine code is made for")
}
