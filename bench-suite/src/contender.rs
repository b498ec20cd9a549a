//! Our tiers that take part, each an engine of ours under a name.
//!
//! What a contender is, and the peers that stand beside ours, are the overhead suite's: [`luge_polybench::contender`]. One
//! tier takes part twice: as it is, and preemptible as in a server, with a timer that asks for the thread now and then.

use luge_core::Engine;
use luge_core::compiler::BoundsStrategy::{self, Guard, Software};
use luge_core::preempt::Preemption;
use luge_polybench::contender::{Contender, ContenderError, Run};
use luge_polybench::tier::{self, TierContender};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// A tier of our engine.
#[derive(Debug, Clone, Copy)]
pub struct Tier {
    /// Name on the command line.
    pub name: &'static str,
    /// Makes an engine whose modules this tier compiles.
    pub engine: fn() -> Engine,
    /// The tier in whose instances it runs, if it is one that a timer preempts: code and memory are the very same, because where memory
    /// lies can make more of a difference than what is to be measured.
    pub preempts: Option<&'static str>,
}

/// All tiers: a new one is a line here.
pub const TIERS: &[Tier] = &[
    Tier {
        name: "interp",
        engine: tier::interpreter,
        preempts: None,
    },
    Tier {
        name: "baseline",
        engine: || baseline(Guard, false),
        preempts: None,
    },
    Tier {
        name: "baseline-preemptible",
        engine: || baseline(Guard, false),
        preempts: Some("baseline"),
    },
    Tier {
        name: "baseline-software",
        engine: || baseline(Software, false),
        preempts: None,
    },
    Tier {
        name: "baseline-fuel",
        engine: || baseline(Guard, true),
        preempts: None,
    },
];

/// Tiers that take part in one run.
#[derive(Default)]
pub struct Tiers {
    /// Whose instances several may share.
    started: HashMap<&'static str, Rc<RefCell<TierContender>>>,
    backstop: Duration,
}

impl Tiers {
    /// None yet; those that a timer preempts will be after each `backstop` of CPU time.
    pub fn new(backstop: Duration) -> Self {
        Self {
            started: HashMap::new(),
            backstop,
        }
    }

    /// A tier, with nothing loaded but what the tier has in whose instances it runs.
    ///
    /// # Errors
    /// [`ContenderError::Unsupported`] where the machine cannot preempt.
    pub fn start(&mut self, tier: Tier) -> Result<Ours, ContenderError> {
        if tier.preempts.is_some() {
            // Only to see whether it can be had.
            let timer = Preemption::enable().and_then(|preemption| preemption.backstop(self.backstop));
            drop(timer.map_err(|error| ContenderError::Unsupported(error.to_string()))?);
        }
        let instances = tier.preempts.unwrap_or(tier.name);
        let make = || Rc::new(RefCell::new(TierContender::new(instances, (tier.engine)())));
        Ok(Ours {
            name: tier.name,
            tier: Rc::clone(self.started.entry(instances).or_insert_with(make)),
            backstop: tier.preempts.map(|_| self.backstop),
        })
    }
}

/// A tier of ours that takes part.
pub struct Ours {
    name: &'static str,
    tier: Rc<RefCell<TierContender>>,
    /// How often it is preempted, if it is. It goes on at once.
    backstop: Option<Duration>,
}

impl Contender for Ours {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> &str {
        concat!("luge ", env!("CARGO_PKG_VERSION"))
    }

    fn load(&mut self, name: &str, path: &Path) -> Result<(), ContenderError> {
        self.tier.borrow_mut().load(name, path)
    }

    fn run(&mut self, name: &str, argument: i32) -> Result<Run, ContenderError> {
        // Only while it runs: the timer is not to tick for the others.
        let timer = self.backstop.map(|period| Preemption::enable()?.backstop(period));
        let failed = |error: io::Error| ContenderError::Failed(error.to_string());
        let _timer = timer.transpose().map_err(failed)?;
        self.tier.borrow_mut().run(name, argument)
    }

    fn dump(&mut self, name: &str, path: &Path) -> Result<(), ContenderError> {
        self.tier.borrow_mut().dump(name, path)
    }

    fn compile(&mut self, path: &Path) -> Result<Duration, ContenderError> {
        self.tier.borrow_mut().compile(path)
    }

    fn code_bytes(&self, name: &str) -> Option<usize> {
        self.tier.borrow().code_bytes(name)
    }
}

/// The baseline compiler for this processor.
///
/// # Panics
/// Where it makes no code for the processor.
fn baseline(bounds: BoundsStrategy, fuel: bool) -> Engine {
    tier::baseline(bounds, fuel).expect("a processor that machine code is made for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use luge_core::preempt::stats;
    use luge_polybench::contender::Build;

    #[test]
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn a_preemptible_tier_is_preempted_and_answers_the_same() {
        let tier = TIERS.iter().find(|tier| tier.preempts.is_some());
        let started = Tiers::new(Duration::from_millis(1)).start(*tier.expect("there is one"));
        let mut contender = started.expect("timers");
        let sort = Kernel::all().into_iter().find(|kernel| kernel.name == "sort");
        let sort = sort.expect("a kernel");
        contender.load("sort", &sort.path(Build::Scalar)).expect("loads");
        // Each run takes several of the kernel's ticks, at one of which the timer rings.
        while stats().signals == 0 {
            let run = contender.run("sort", sort.n).expect("runs");
            assert_eq!(run.checksum, sort.checksum);
        }
    }
}
