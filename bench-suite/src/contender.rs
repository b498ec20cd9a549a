//! Who is compared: the tiers of our engine, in this process, and other engines in processes of their own ([`Peer`]).
//!
//! [`Peer`]: crate::peer::Peer

use crate::kernel::Checksum;
use crate::timing::timed;
use luge_core::compiler::BoundsStrategy;
use luge_core::{Engine, EngineConfig, Func, Limits, Linker, Module, ModuleError, Store, Value};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An engine that runs kernels and compiles modules.
pub trait Contender {
    /// Its name in tables and on the command line.
    fn name(&self) -> &str;

    /// What exactly it is: program and version.
    fn description(&self) -> &str;

    /// Compiles and instantiates a module under a name.
    ///
    /// # Errors
    /// [`ContenderError::Unsupported`] where it does not take the module.
    fn load(&mut self, name: &str, path: &Path) -> Result<(), ContenderError>;

    /// Calls export `run` of a loaded module: its answer, and the CPU time of this call alone.
    ///
    /// # Errors
    /// [`ContenderError::Failed`] where the guest traps or the engine ends.
    fn run(&mut self, name: &str, n: i32) -> Result<(Checksum, Duration), ContenderError>;

    /// Compiles a module whole, validation included: the CPU time of it.
    ///
    /// # Errors
    /// [`ContenderError::Unsupported`] where it does not take the module.
    fn compile(&mut self, path: &Path) -> Result<Duration, ContenderError>;
}

/// Why a contender did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ContenderError {
    /// It cannot take this module; it may well take others.
    #[error("{0}")]
    Unsupported(String),
    /// It, or the guest, went wrong: nothing that it measured can be trusted.
    #[error("{0}")]
    Failed(String),
}

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
        engine: Engine::default,
    },
    Tier {
        name: "baseline",
        engine: || baseline(BoundsStrategy::Guard, false),
    },
    Tier {
        name: "baseline-software",
        engine: || baseline(BoundsStrategy::Software, false),
    },
    Tier {
        name: "baseline-fuel",
        engine: || baseline(BoundsStrategy::Guard, true),
    },
];

/// The baseline compiler for this processor.
///
/// # Panics
/// Where it makes no code for the processor.
fn baseline(bounds: BoundsStrategy, fuel: bool) -> Engine {
    let options = BaselineOptions {
        bounds,
        fuel,
        positions: false,
        cpu: CpuFeatures::detect().expect("a processor that machine code is made for"),
    };
    Engine::new(EngineConfig {
        compiler: Some(Arc::new(Baseline::new(options))),
        ..EngineConfig::default()
    })
}

/// A tier with the modules that it has loaded.
pub struct TierContender {
    tier: Tier,
    engine: Engine,
    loaded: HashMap<String, (Store<()>, Func)>,
}

impl TierContender {
    /// The tier, with nothing loaded.
    pub fn new(tier: Tier) -> TierContender {
        TierContender {
            tier,
            engine: (tier.engine)(),
            loaded: HashMap::new(),
        }
    }
}

impl Contender for TierContender {
    fn name(&self) -> &str {
        self.tier.name
    }

    fn description(&self) -> &str {
        concat!("luge ", env!("CARGO_PKG_VERSION"))
    }

    fn load(&mut self, name: &str, path: &Path) -> Result<(), ContenderError> {
        let module = Module::new(&self.engine, &read(path)?).map_err(refused)?;
        let mut store = Store::new(&self.engine, &Limits::default(), ());
        let instance = Linker::new(&self.engine)
            .instantiate(&mut store, &module)
            .map_err(|error| ContenderError::Failed(error.to_string()))?;
        let run = instance
            .func(&store, "run")
            .ok_or_else(|| ContenderError::Failed(format!("{name} has no export `run`")))?;
        self.loaded.insert(name.to_owned(), (store, run));
        Ok(())
    }

    fn run(&mut self, name: &str, n: i32) -> Result<(Checksum, Duration), ContenderError> {
        let (store, run) = self
            .loaded
            .get_mut(name)
            .ok_or_else(|| ContenderError::Failed(format!("{name} is not loaded")))?;
        let (results, time) = timed(|| run.call(store, &[Value::I32(n)]));
        match results.as_deref() {
            Ok([Value::I64(sum)]) => Ok((Checksum(sum.cast_unsigned()), time)),
            other => Err(ContenderError::Failed(format!(
                "{name}: run({n}) ended with {other:?}"
            ))),
        }
    }

    fn compile(&mut self, path: &Path) -> Result<Duration, ContenderError> {
        let wasm = read(path)?;
        let (module, time) = timed(|| Module::new(&self.engine, &wasm));
        module.map(|_| time).map_err(refused)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ContenderError> {
    std::fs::read(path).map_err(|error| ContenderError::Failed(format!("{}: {error}", path.display())))
}

fn refused(error: ModuleError) -> ContenderError {
    match error {
        ModuleError::Invalid { .. } => ContenderError::Failed(error.to_string()),
        _ => ContenderError::Unsupported(error.to_string()),
    }
}
