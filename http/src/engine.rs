//! Which engine runs a module: its tier, how its memory is kept in bounds, and what happens where there is no machine code.
//!
//! ```text
//!   manifest, flags --> EngineChoice --> Engines --compile--> Compiled: module, tier, why it was declined
//!                                        ├ baseline: machine code, where the processor can
//!                                        └ interp:   everything else
//! ```
//! An engine has one tier, so there are two of them, and a module belongs to the one that compiled it. The tier of a
//! server is a wish: a module that the code generator declines is interpreted, and the server says so in log and metrics. The
//! tier of one function, or of `luge run`, is a demand: what cannot be had is an error.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use luge_core::cache::CodeCache;
use luge_core::compiler::{BoundsStrategy, CodeGenerator};
use luge_core::observer::CodeObserver;
use luge_core::wasi::{self, WasiCtx};
use luge_core::{Engine, EngineConfig, Linker, Module, ModuleError};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};

use crate::preemption::PreemptionMode;

/// How a module is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// By the interpreter: everywhere, and slowly.
    Interp,
    /// As machine code, made in one pass when the module is deployed.
    Baseline,
}

impl Tier {
    /// All tiers, slowest first.
    pub const ALL: [Tier; 2] = [Self::Interp, Self::Baseline];

    /// The name in manifests, flags, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interp => "interp",
            Self::Baseline => "baseline",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How machine code stays inside its memory. The interpreter always checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Bounds {
    /// What lies outside faults, and costs nothing until then
    #[default]
    Guard,
    /// A comparison before each access
    Software,
    /// Not at all: for measurements, refused by the server
    None,
}

impl Bounds {
    /// The name in manifests, flags and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Software => "software",
            Self::None => "none",
        }
    }

    fn strategy(self) -> BoundsStrategy {
        match self {
            Self::Guard => BoundsStrategy::Guard,
            Self::Software => BoundsStrategy::Software,
            Self::None => BoundsStrategy::None,
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What manifest and flags say about engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineChoice {
    /// The tier that modules should have; `None` means the fastest that the processor can run.
    pub tier: Option<Tier>,
    /// How machine code stays inside its memory.
    pub bounds: Bounds,
}

impl EngineChoice {
    /// This choice, as far as the other does not say something else.
    #[must_use]
    pub fn overridden_by(self, tier: Option<Tier>, bounds: Option<Bounds>) -> EngineChoice {
        EngineChoice {
            tier: tier.or(self.tier),
            bounds: bounds.unwrap_or(self.bounds),
        }
    }
}

/// What engines have beside, for machine code only.
#[derive(Debug, Clone, Default)]
pub struct Attachments {
    /// Where code is kept from one process to the next.
    pub code_cache: Option<Arc<CodeCache>>,
    /// Who is told where code lies.
    pub observer: Option<Arc<dyn CodeObserver>>,
}

/// A server was asked to let guests leave their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "bounds \"none\" would let guests leave their memory: that is for measurements with `luge run`; choose \"guard\" or \
     \"software\""
)]
pub struct Unbounded;

/// Machine code cannot be had on this machine at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the baseline tier needs an x86-64 processor with SSE4.1, and this machine has none")]
pub struct Unavailable;

/// Why a module cannot be run in the tier that it has to have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The tier does not exist on this machine.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The tier does not take the module, or no tier does.
    #[error(transparent)]
    Module(#[from] ModuleError),
}

/// The engines of a process, and what modules may import in each.
#[derive(Debug)]
pub struct Engines {
    interp: Equipped,
    baseline: Result<Equipped, Unavailable>,
    choice: EngineChoice,
}

/// An engine and everything that its modules may import: WASI preview 1.
#[derive(Debug)]
struct Equipped {
    engine: Engine,
    linker: Linker<WasiCtx>,
}

/// A compiled module.
#[derive(Debug)]
pub struct Compiled {
    /// The module, which belongs to the engine of its tier.
    pub module: Module,
    /// Its tier.
    pub tier: Tier,
    /// Why it is not machine code although it should have been.
    pub declined: Option<ModuleError>,
    /// How long decoding, validating and compiling took, attempts included.
    pub time: Duration,
}

impl Engines {
    /// Engines of a server, from whose code the scheduler can take the core back: by signals, or because the code counts
    /// fuel.
    ///
    /// # Errors
    /// If guests could leave their memory.
    pub fn for_server(
        choice: EngineChoice,
        preemption: PreemptionMode,
        attachments: Attachments,
    ) -> Result<Engines, Unbounded> {
        if choice.bounds == Bounds::None {
            return Err(Unbounded);
        }
        let generator = baseline(choice.bounds, preemption.counts_fuel(), false);
        Ok(Self::new(choice, generator, attachments))
    }

    /// Engines of a program that has its process for itself: its code does not count fuel and can be stopped by ending
    /// the process only.
    #[must_use]
    pub fn for_command(choice: EngineChoice, attachments: Attachments) -> Engines {
        Self::new(choice, baseline(choice.bounds, false, false), attachments)
    }

    /// Engines with any code generator in the place of the baseline.
    pub(crate) fn new(
        choice: EngineChoice,
        generator: Result<Arc<dyn CodeGenerator>, Unavailable>,
        attachments: Attachments,
    ) -> Engines {
        let machine = |generator| {
            Equipped::new(EngineConfig {
                compiler: Some(generator),
                code_cache: attachments.code_cache,
                observer: attachments.observer,
                ..EngineConfig::default()
            })
        };
        Engines {
            interp: Equipped::new(EngineConfig::default()),
            baseline: generator.map(machine),
            choice,
        }
    }

    /// The tier that modules get which no tier is demanded for: the chosen one, or the interpreter where that is not to
    /// be had.
    #[must_use]
    pub fn tier(&self) -> Tier {
        match self.baseline {
            Ok(_) => self.choice.tier.unwrap_or(Tier::Baseline),
            Err(_) => Tier::Interp,
        }
    }

    /// Why modules are interpreted although nobody chose that.
    #[must_use]
    pub fn unavailable(&self) -> Option<&Unavailable> {
        self.baseline
            .as_ref()
            .err()
            .filter(|_| self.choice.tier != Some(Tier::Interp))
    }

    /// How machine code stays inside its memory.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.choice.bounds
    }

    /// The engine of a tier, or the interpreter's where this machine has no such tier.
    #[must_use]
    pub fn engine(&self, tier: Tier) -> &Engine {
        &self.equipped(tier).engine
    }

    /// What modules of that engine may import.
    #[must_use]
    pub fn linker(&self, tier: Tier) -> &Linker<WasiCtx> {
        &self.equipped(tier).linker
    }

    /// Compiles a module for the tier that is demanded, or else for [`Engines::tier`], or, where that declines it, for the
    /// interpreter.
    ///
    /// # Errors
    /// If the demanded tier cannot be had or does not take the module, or if no tier takes it.
    pub fn compile(&self, demanded: Option<Tier>, wasm: &[u8]) -> Result<Compiled, CompileError> {
        let started = Instant::now();
        if let (Some(Tier::Baseline), Err(unavailable)) = (demanded, &self.baseline) {
            return Err(unavailable.clone().into());
        }
        let tier = demanded.unwrap_or_else(|| self.tier());
        let (module, tier, declined) = match self.attempt(tier, wasm) {
            Ok(module) => (module, tier, None),
            Err(declined) if demanded.is_none() && tier != Tier::Interp && is_the_tiers(&declined) => {
                (self.attempt(Tier::Interp, wasm)?, Tier::Interp, Some(declined))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Compiled {
            module,
            tier,
            declined,
            time: started.elapsed(),
        })
    }

    fn attempt(&self, tier: Tier, wasm: &[u8]) -> Result<Module, ModuleError> {
        Module::new(self.engine(tier), wasm)
    }

    fn equipped(&self, tier: Tier) -> &Equipped {
        match (tier, &self.baseline) {
            (Tier::Baseline, Ok(equipped)) => equipped,
            _ => &self.interp,
        }
    }
}

/// Whether the refusal is the tier's own: what is no module is none in any tier.
fn is_the_tiers(error: &ModuleError) -> bool {
    !matches!(
        error,
        ModuleError::Invalid { .. } | ModuleError::MissingFeatures { .. }
    )
}

/// The code generator of the baseline tier: whether its code counts `fuel`, and whether it says the `positions` of operators.
///
/// # Errors
/// Where the processor cannot run its code.
pub(crate) fn baseline(
    bounds: Bounds,
    fuel: bool,
    positions: bool,
) -> Result<Arc<dyn CodeGenerator>, Unavailable> {
    let cpu = CpuFeatures::detect().ok_or(Unavailable)?;
    Ok(Arc::new(Baseline::new(BaselineOptions {
        bounds: bounds.strategy(),
        fuel,
        positions,
        cpu,
    })))
}

impl Equipped {
    fn new(config: EngineConfig) -> Equipped {
        let engine = Engine::new(config);
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker, |context| context);
        Equipped { engine, linker }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use luge_core::compiler::{CodeArtifact, ModuleTranslation};
    use luge_core::{Execution, Step, Store};

    use super::*;

    /// `_start` loops for ever.
    pub(crate) const SPIN: &str = r#"(module (func (export "_start") (loop (br 0))))"#;

    /// A code generator that takes nothing.
    #[derive(Debug)]
    struct Declines;

    impl CodeGenerator for Declines {
        fn name(&self) -> &'static str {
            "declines"
        }

        fn fingerprint(&self) -> String {
            String::new()
        }

        fn compile(&self, _: &mut ModuleTranslation<'_>) -> Result<CodeArtifact, ModuleError> {
            Err(ModuleError::Unsupported {
                tier: "baseline",
                what: "not today".to_owned(),
            })
        }
    }

    /// Engines whose baseline takes nothing.
    pub(crate) fn declining() -> Engines {
        Engines::new(
            EngineChoice::default(),
            Ok(Arc::new(Declines)),
            Attachments::default(),
        )
    }

    /// Engines of a machine without machine code.
    fn unable(tier: Option<Tier>) -> Engines {
        let bounds = Bounds::Guard;
        Engines::new(
            EngineChoice { tier, bounds },
            Err(Unavailable),
            Attachments::default(),
        )
    }

    fn spin() -> Vec<u8> {
        wat::parse_str(SPIN).unwrap()
    }

    #[test]
    fn what_the_tier_declines_is_interpreted_and_the_reason_kept() {
        let engines = declining();
        assert_eq!(engines.tier(), Tier::Baseline);
        let compiled = engines.compile(None, &spin()).unwrap();
        assert_eq!(compiled.tier, Tier::Interp);
        let reason = compiled.declined.unwrap().to_string();
        assert!(
            reason.contains("baseline") && reason.contains("not today"),
            "{reason}"
        );
        let compiled = engines.compile(Some(Tier::Interp), &spin()).unwrap();
        assert!(compiled.declined.is_none(), "nobody has asked the baseline");
    }

    #[test]
    fn a_demanded_tier_is_had_or_an_error() {
        let error = declining().compile(Some(Tier::Baseline), &spin()).unwrap_err();
        assert!(error.to_string().contains("not today"), "{error}");
        let error = unable(None).compile(Some(Tier::Baseline), &spin()).unwrap_err();
        assert!(matches!(error, CompileError::Unavailable(_)), "{error}");
    }

    #[test]
    fn what_is_no_module_is_none_in_any_tier() {
        let error = declining().compile(None, b"\0asm\x01\0\0\0\x7f").unwrap_err();
        assert!(
            matches!(error, CompileError::Module(ModuleError::Invalid { .. })),
            "{error}"
        );
    }

    #[test]
    fn without_machine_code_everything_is_interpreted() {
        for asked in [None, Some(Tier::Baseline)] {
            let engines = unable(asked);
            assert_eq!(engines.tier(), Tier::Interp);
            assert!(engines.unavailable().is_some(), "the reason is told");
            let compiled = engines.compile(None, &spin()).unwrap();
            assert_eq!(
                (compiled.tier, compiled.declined.is_some()),
                (Tier::Interp, false)
            );
        }
        assert!(
            unable(Some(Tier::Interp)).unavailable().is_none(),
            "that was wanted"
        );
    }

    #[test]
    fn a_server_bounds_its_guests() {
        let choice = |bounds| EngineChoice { tier: None, bounds };
        let server =
            |bounds| Engines::for_server(choice(bounds), PreemptionMode::Polls, Attachments::default());
        assert_eq!(server(Bounds::None).unwrap_err(), Unbounded);
        for bounds in [Bounds::Guard, Bounds::Software] {
            assert_eq!(server(bounds).unwrap().bounds(), bounds);
        }
        let engines = Engines::for_command(choice(Bounds::None), Attachments::default());
        assert_eq!(engines.bounds(), Bounds::None);
    }

    #[test]
    fn a_server_gets_the_core_back_in_every_tier() {
        for mode in [PreemptionMode::Polls, PreemptionMode::Signals.or_polls().0] {
            let _guard = mode.begin().expect("a timer");
            let engines = Engines::for_server(EngineChoice::default(), mode, Attachments::default()).unwrap();
            let fuel = if mode.counts_fuel() { 10_000 } else { u64::MAX };
            for tier in [Tier::Interp, engines.tier()] {
                let Compiled { module, .. } = engines.compile(Some(tier), &spin()).unwrap();
                let linked = engines.linker(tier).link(&module).unwrap();
                let context = WasiCtx::builder().build().unwrap();
                let engine = engines.engine(tier);
                let mut store = Store::new(engine, &engine.config().limits.clone(), context);
                let instance = linked.instantiate(&mut store).unwrap();
                let start = instance.func(&store, "_start").unwrap();
                let mut execution = Execution::new(&mut store, start, &[]).unwrap();
                for _ in 0..3 {
                    assert!(matches!(execution.resume(&mut store, fuel), Step::Preempted));
                }
            }
        }
    }

    #[test]
    fn names_are_those_of_manifests_and_flags() {
        use clap::ValueEnum;
        for tier in Tier::ALL {
            assert_eq!(Tier::from_str(tier.name(), false), Ok(tier));
        }
        for bounds in [Bounds::Guard, Bounds::Software, Bounds::None] {
            assert_eq!(Bounds::from_str(bounds.name(), false), Ok(bounds));
        }
    }

    #[test]
    fn flags_win() {
        let manifest = EngineChoice {
            tier: Some(Tier::Interp),
            bounds: Bounds::Software,
        };
        assert_eq!(manifest.overridden_by(None, None), manifest);
        let flags = manifest.overridden_by(Some(Tier::Baseline), Some(Bounds::Guard));
        assert_eq!((flags.tier, flags.bounds), (Some(Tier::Baseline), Bounds::Guard));
    }
}
