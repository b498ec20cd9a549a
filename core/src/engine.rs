//! The engine: what all modules of a process share, and the limits that bound every guest.

use crate::cache::CodeCache;
use crate::compiler::CodeGenerator;
use crate::observer::CodeObserver;
use crate::types::FuncType;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The version of WebAssembly that modules are validated against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WasmLevel {
    /// WebAssembly 1.0 (2019) with mutable globals that can be imported and exported.
    V1,
    /// WebAssembly 2.0 (2022).
    V2,
    /// All that the engine implements: WebAssembly 2.0, and of 3.0 (2025) relaxed vector instructions in the deterministic
    /// profile, longer constant expressions, tail calls, several memories, 64-bit memories and tables, and exceptions. Garbage
    /// collection, function references, the exceptions of before 3.0, and threads, which are no part of it, are refused by
    /// name.
    #[default]
    Latest,
}

impl WasmLevel {
    /// Whether modules of this level may use a feature, by the names of [`crate::features_used`].
    pub(crate) fn implements(self, feature: &str) -> bool {
        const V2: [&str; 6] = [
            "saturating-float-to-int",
            "sign-extension",
            "multi-value",
            "bulk-memory",
            "reference-types",
            "simd",
        ];
        const LATEST: [&str; 6] = [
            "relaxed-simd",
            "extended-const",
            "tail-call",
            "multi-memory",
            "memory64",
            "exceptions",
        ];
        feature == "mutable-global"
            || (self != Self::V1 && V2.contains(&feature))
            || (self == Self::Latest && LATEST.contains(&feature))
    }

    pub(crate) fn features(self) -> wasmparser::WasmFeatures {
        use wasmparser::WasmFeatures;
        match self {
            Self::V1 => WasmFeatures::WASM1,
            Self::V2 => WasmFeatures::WASM2,
            Self::Latest => {
                WasmFeatures::WASM2
                    | WasmFeatures::RELAXED_SIMD
                    | WasmFeatures::EXTENDED_CONST
                    | WasmFeatures::TAIL_CALL
                    | WasmFeatures::MULTI_MEMORY
                    | WasmFeatures::MEMORY64
                    | WasmFeatures::EXCEPTIONS
            }
        }
    }
}

/// Bounds on what one guest may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Pages of 64 KiB that all linear memories of a store may have together; one of them has at most 65,536.
    pub memory_pages: u32,
    /// Elements that all tables of a store may have together; 8 bytes each. `table.grow` fills what it adds in one go.
    pub table_elements: u32,
    /// Bytes of stack, which all active calls of a run share: the interpreter's value stack, or the machine's own.
    pub stack_bytes: usize,
    /// Calls that may be active at once in the interpreter. Machine code is bounded by its stack alone.
    pub call_depth: usize,
    /// Bytes that all exceptions of a store may take to which guests hold references; those that are only thrown and
    /// caught take none.
    pub exception_bytes: usize,
}

impl Default for Limits {
    /// 4 GiB of memory, ten million table elements, 1 MiB of stack, 20,000 calls and 16 MiB of exceptions: bounds for a command line. A server
    /// sets its own.
    fn default() -> Self {
        Self {
            memory_pages: 65536,
            table_elements: 10_000_000,
            stack_bytes: 1 << 20,
            call_depth: 20_000,
            exception_bytes: 16 << 20,
        }
    }
}

/// How an engine is made.
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// The version of WebAssembly.
    pub level: WasmLevel,
    /// Limits of stores that are made without any of their own.
    pub limits: Limits,
    /// What makes machine code of modules; the interpreter runs them where there is none. An engine has one tier only, so
    /// that all instances of a store are of the same. The code is run as it comes: a code generator is trusted as the
    /// engine itself.
    pub compiler: Option<Arc<dyn CodeGenerator>>,
    /// Where machine code is kept from one process to the next, if anywhere.
    pub code_cache: Option<Arc<CodeCache>>,
    /// Who is told where machine code lies, if anybody.
    pub observer: Option<Arc<dyn CodeObserver>>,
}

/// What all modules of a process share. Cheap to clone; clones are the same engine.
#[derive(Debug, Clone, Default)]
pub struct Engine(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    config: EngineConfig,
    signatures: Mutex<HashMap<FuncType, Signature>>,
}

/// A function type by number: equal types have equal numbers throughout an engine, so that an indirect call compares two
/// integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature(u32);

impl Signature {
    /// What is no type's number: of a function that cannot be called.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// The number, as machine code compares it.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

impl Engine {
    /// An engine of this configuration.
    pub fn new(config: EngineConfig) -> Self {
        Self(Arc::new(Inner {
            config,
            signatures: Mutex::default(),
        }))
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    /// The number of a function type. Taken when modules are compiled and hosts are defined, never while guests run.
    pub(crate) fn signature(&self, ty: &FuncType) -> Signature {
        let mut signatures = self.0.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&signature) = signatures.get(ty) {
            return signature;
        }
        let next =
            u32::try_from(signatures.len()).expect("fewer than 2^32 types, each of several bytes of module");
        assert_ne!(next, Signature::NONE.0, "a number that is some type's");
        signatures.insert(ty.clone(), Signature(next));
        Signature(next)
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
