//! The engine: validate, compile, instantiate and drop, run code, call the host.

use super::TIMES;
use luge_bench_suite::kernel::Kernel;
use luge_bench_suite::{Deployed, Guest};
use luge_core::compiler::{self, BoundsStrategy, CodeArtifact, CodeGenerator, ModuleTranslation};
use luge_core::pool::{Pool, PoolConfig, Template};
use luge_core::{Engine, EngineConfig, Limits, Linker, Module, ModuleError, Step, WasmLevel};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use luge_polybench::contender::Build;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// The processor that machine code is made for, whichever runs it: the extensions of x86-64-v3 (2013), which is also the
/// most that valgrind executes. With those of the machine at hand the counts would be the machine's.
pub(crate) const CPU: CpuFeatures = CpuFeatures {
    avx: true,
    avx2: true,
    fma: true,
    bmi1: true,
    bmi2: true,
    lzcnt: true,
    popcnt: true,
};

/// Who runs the code of a guest.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tier {
    /// The interpreter.
    Interp,
    /// Machine code of the baseline compiler, with guard pages and without fuel.
    Baseline,
}

impl Tier {
    /// An engine of the tier.
    ///
    /// # Panics
    /// Where the processor has less than [`CPU`]: its counts would be others.
    pub(crate) fn engine(self) -> Engine {
        let compiler: Option<Arc<dyn CodeGenerator>> = match self {
            Self::Interp => None,
            Self::Baseline => {
                let here = CpuFeatures::detect();
                assert_eq!(here, Some(CPU), "the counts need the extensions of x86-64-v3");
                Some(Arc::new(Baseline::new(BaselineOptions {
                    bounds: BoundsStrategy::Guard,
                    fuel: false,
                    positions: false,
                    cpu: CPU,
                })))
            }
        };
        Engine::new(EngineConfig {
            compiler,
            ..EngineConfig::default()
        })
    }
}

/// Decodes and validates a module, and makes nothing of it.
pub(crate) fn validate(wasm: &[u8]) -> CodeArtifact {
    compiler::compile(WasmLevel::Latest, &ValidateOnly, black_box(wasm)).expect("a valid module")
}

/// A tier that makes no code.
#[derive(Debug)]
struct ValidateOnly;

impl CodeGenerator for ValidateOnly {
    fn name(&self) -> &'static str {
        "validate"
    }

    fn fingerprint(&self) -> String {
        String::new()
    }

    fn compile(&self, module: &mut ModuleTranslation<'_>) -> Result<CodeArtifact, ModuleError> {
        while let Some(function) = module.next_function()? {
            function.validate()?;
        }
        Ok(CodeArtifact::default())
    }
}

/// A module that is to be compiled.
pub(crate) struct Source {
    engine: Engine,
    wasm: Vec<u8>,
}

/// A module for a tier.
pub(crate) fn source(tier: Tier, wasm: &[u8]) -> Source {
    Source {
        engine: tier.engine(),
        wasm: wasm.to_vec(),
    }
}

/// Decodes, validates and makes code, up to where instances can be made. The source comes back, so that it is not
/// dropped in the measured time.
pub(crate) fn compile(source: Source) -> (Module, Source) {
    let module = Module::new(&source.engine, black_box(&source.wasm)).expect("a valid module");
    (module, source)
}

/// A linked module for a tier.
pub(crate) fn deployed(tier: Tier, module: &[u8]) -> Deployed {
    let deployed = Deployed::new(tier.engine(), module);
    // The first instance of a thread finds no spare stack, and installs the signals.
    drop(deployed.instantiate());
    deployed
}

/// Makes a fresh store and instance and gives all of it back, [`TIMES`] times.
pub(crate) fn instantiate_and_drop(deployed: Deployed) -> Deployed {
    for _ in 0..TIMES {
        drop(black_box(deployed.instantiate()));
    }
    deployed
}

/// A pool that has run a function before, and that function.
pub(crate) struct Pooled {
    pool: Pool<()>,
    template: Template<()>,
}

/// A function that writes to so many pages of its memory and returns, in a pool of one place.
pub(crate) fn pooled(tier: Tier, pages: u32) -> Pooled {
    let engine = tier.engine();
    let stores: String = (0..pages)
        .map(|page| format!("(i32.store (i32.const {}) (i32.const 1))", page << 12))
        .collect();
    let text = format!(r#"(module (memory 16) (data (i32.const 8) "data") (func (export "run") {stores}))"#);
    let module = Module::new(&engine, &wat::parse_str(text).expect("a well-formed module"));
    let linked = Linker::new(&engine).link(&module.expect("a valid module"));
    let template = linked
        .expect("nothing is imported")
        .template(&Limits::default(), "run", Duration::ZERO)
        .expect("a small module");
    let config = PoolConfig {
        sandboxes: 1,
        memories: 1,
        ..PoolConfig::default()
    };
    let pooled = Pooled {
        pool: Pool::new(config).expect("8 GiB of addresses"),
        template,
    };
    // The first one makes the slot and the stack, and finds its pages missing.
    acquire_run_release(&pooled);
    pooled
}

/// Acquires a sandbox, runs it and gives it back, [`TIMES`] times.
pub(crate) fn recycle(pooled: Pooled) -> Pooled {
    for _ in 0..TIMES {
        acquire_run_release(black_box(&pooled));
    }
    pooled
}

fn acquire_run_release(pooled: &Pooled) {
    let sandbox = pooled.pool.acquire(&pooled.template, (), &[]);
    let step = sandbox.expect("the pool is empty").resume(u64::MAX);
    assert_eq!(step.expect("a stack"), Step::Finished);
}

/// A guest that is ready, with its argument and what it must answer.
pub(crate) struct Call {
    /// Whose instance it is; dropped with it, after the count.
    _deployed: Deployed,
    guest: Guest,
    n: i32,
    answer: i64,
}

/// A guest of the benchmarks' own modules.
pub(crate) fn guest(tier: Tier, module: &str, n: i32, answer: i64) -> Call {
    call(Deployed::new(tier.engine(), module), n, answer)
}

/// A guest that makes [`TIMES`] calls of the host for each call of `run`, which answers whether one failed.
pub(crate) fn caller(tier: Tier, module: &str) -> Call {
    let mut call = guest(tier, module, TIMES as i32, 0);
    // The first call of the host is not like the others: it meets what is made when it is first needed.
    call.guest.run(1);
    call
}

/// A kernel of `kernels/`, at the n of the tests.
pub(crate) fn kernel(tier: Tier, name: &str, build: Build) -> Call {
    let kernel = Kernel::all().into_iter().find(|kernel| kernel.name == name);
    let kernel = kernel.expect("a kernel of the list");
    let wasm = std::fs::read(kernel.path(build)).expect("a kernel is in the tree");
    let answer = kernel.test_checksum.0.cast_signed();
    call(Deployed::new(tier.engine(), &wasm), kernel.test_n, answer)
}

fn call(deployed: Deployed, n: i32, answer: i64) -> Call {
    let guest = deployed.instantiate();
    Call {
        _deployed: deployed,
        guest,
        n,
        answer,
    }
}

/// Runs it.
pub(crate) fn run(mut call: Call) -> Call {
    assert_eq!(call.guest.run(black_box(call.n)), call.answer);
    call
}
