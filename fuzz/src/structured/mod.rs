//! Random programs with a structure of the kind that people's programs have.
//!
//! wasm-smith makes any valid module, of which few compute much. These compute: expression trees, loops that count down,
//! blocks with results, many locals under pressure, calls with many arguments, and accesses to a small part of memory, so
//! that one wrong register shows in the results.
//!
//! | module | holds |
//! |---|---|
//! | `operators` | the operators by type |
//! | `tree` | programs as trees |
//! | `generate` | from a seed to a tree |
//! | `encode` | from a tree to a module |
//! | `reduce` | from a tree that fails to a smaller one |

mod encode;
mod generate;
mod operators;
mod reduce;
mod tree;

use crate::Case;
use crate::random::Random;
use crate::sides::Uses;
pub use generate::Features;
use tree::Program;

/// A random program.
#[derive(Debug, Clone)]
pub struct Structured(Program);

impl Structured {
    /// The program of a seed.
    #[must_use]
    pub fn generate(seed: u64, features: Features) -> Self {
        Self(generate::program(&mut Random::new(seed), features))
    }

    /// Its module. Where NaNs would show as bits they are made one, but not where a function returns them.
    #[must_use]
    pub fn case(&self) -> Case {
        case(&self.0)
    }

    /// A smaller program of which `fails` holds as it does of this one.
    #[must_use]
    pub fn reduced(&self, mut fails: impl FnMut(&Case) -> bool) -> Self {
        Self(reduce::reduce(self.0.clone(), |program| fails(&case(program))))
    }
}

fn case(program: &Program) -> Case {
    Case {
        wasm: encode::encode(program),
        uses: Uses {
            exceptions: !program.tags.is_empty(),
            relaxed: program.relaxed,
        },
        exact_nans: false,
    }
}
