//! Functions as deployed: compiled, linked and granted what the manifest says, once, before the first request.
//!
//! A request then only makes a store, an instance and a WASI context, all from parts that are ready. Everything that can
//! be wrong with a module shows here and not in a request: bytes that are no module, imports that nobody provides, no
//! `_start`, a first memory beyond the limit, a folder that cannot be opened.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use luge_core::wasi::{self, WasiConfigError, WasiCtx, WasiTemplate};
use luge_core::{Engine, EngineConfig, ExternType, Limits, LinkError, Linked, Linker, Module, ModuleError};

use crate::config::{FunctionConfig, ModuleSource};

/// Bytes of guest value stack: what a C program's shadow stack does not hold. Deep recursion ends there in a trap.
const STACK_BYTES: usize = 1 << 20;
/// Calls that may be active at once in one run.
const CALL_DEPTH: usize = 20_000;
/// Bytes of exceptions that are referred to: more of them than any program has under way.
const EXCEPTION_BYTES: usize = 1 << 20;
/// Elements of a table: function pointers of a large program, and some to grow.
const TABLE_ELEMENTS: u32 = 1 << 20;

/// A deployed function, shared by all shards.
#[derive(Debug)]
pub struct Function {
    config: FunctionConfig,
    engine: Engine,
    limits: Limits,
    linked: Linked<WasiCtx>,
    template: WasiTemplate,
    compile_time: Duration,
    module_bytes: usize,
    reads_environment: bool,
}

/// Why a function cannot be deployed.
#[derive(Debug, thiserror::Error)]
#[error("function {function:?}: {problem}")]
pub struct DeployError {
    /// Its name.
    pub function: String,
    /// What is wrong.
    #[source]
    pub problem: Box<DeployProblem>,
}

/// What keeps a function from being deployed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployProblem {
    /// The file cannot be read.
    #[error("cannot read the module {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The bytes are no module that the engine takes.
    #[error("{0}; `luge inspect` tells what the module uses")]
    Module(#[from] ModuleError),
    /// It imports what nobody provides.
    #[error("{0}; functions are WASI preview 1 commands and import from `wasi_snapshot_preview1` only")]
    Link(#[from] LinkError),
    /// It is no command.
    #[error(
        "the module exports no function `_start` without parameters and results: build it as a WASI command"
    )]
    NoStart,
    /// Its first memory is beyond its limit.
    #[error(
        "the module starts with {needed} pages of 64 KiB and its limit is {limit}: raise `memory` in the manifest"
    )]
    Memory {
        /// Pages that it asks for.
        needed: u32,
        /// Pages that it may have.
        limit: u32,
    },
    /// What the manifest grants cannot be granted.
    #[error(transparent)]
    Grant(#[from] WasiConfigError),
}

impl Function {
    /// Reads, compiles and links a function's module.
    ///
    /// # Errors
    /// Whatever keeps the function from being run.
    pub fn deploy(
        engine: &Engine,
        linker: &Linker<WasiCtx>,
        config: FunctionConfig,
    ) -> Result<Function, DeployError> {
        Self::prepare(engine, linker, &config)
            .map_err(|problem| DeployError {
                function: config.name.clone(),
                problem: Box::new(problem),
            })
            .map(|parts| parts.assemble(config, engine))
    }

    fn prepare(
        engine: &Engine,
        linker: &Linker<WasiCtx>,
        config: &FunctionConfig,
    ) -> Result<Parts, DeployProblem> {
        let wasm = read(&config.module)?;
        let started = Instant::now();
        let module = Module::new(engine, &wasm)?;
        let linked = linker.link(&module)?;
        let compile_time = started.elapsed();
        if !is_command(&module) {
            return Err(DeployProblem::NoStart);
        }
        let needed = module
            .memories()
            .iter()
            .map(|memory| memory.minimum)
            .max()
            .unwrap_or(0);
        if needed > config.memory_pages {
            return Err(DeployProblem::Memory {
                needed,
                limit: config.memory_pages,
            });
        }
        let mut builder = WasiCtx::builder().arg(&config.name).args(&config.args);
        for (name, value) in &config.env {
            builder = builder.env(name, value);
        }
        for dir in &config.dirs {
            builder = builder.preopen_read_only(&dir.host, &dir.guest)?;
        }
        Ok(Parts {
            linked,
            template: builder.template()?,
            compile_time,
            module_bytes: wasm.len(),
            reads_environment: reads_environment(&module),
        })
    }

    /// What the manifest says of it.
    #[must_use]
    pub fn config(&self) -> &FunctionConfig {
        &self.config
    }

    /// The engine that it was compiled for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What one run may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The module, its imports resolved.
    #[must_use]
    pub fn linked(&self) -> &Linked<WasiCtx> {
        &self.linked
    }

    /// Arguments, environment and folders, ready to be given to a run.
    #[must_use]
    pub fn template(&self) -> &WasiTemplate {
        &self.template
    }

    /// Whether the module can look at its environment at all: it imports `environ_get`. A run of one that does not
    /// needs no variables made of its request.
    #[must_use]
    pub fn reads_environment(&self) -> bool {
        self.reads_environment
    }

    /// How long decoding, validating and compiling took.
    #[must_use]
    pub fn compile_time(&self) -> Duration {
        self.compile_time
    }

    /// Size of the module.
    #[must_use]
    pub fn module_bytes(&self) -> usize {
        self.module_bytes
    }
}

struct Parts {
    linked: Linked<WasiCtx>,
    template: WasiTemplate,
    compile_time: Duration,
    module_bytes: usize,
    reads_environment: bool,
}

impl Parts {
    fn assemble(self, config: FunctionConfig, engine: &Engine) -> Function {
        let limits = Limits {
            memory_pages: config.memory_pages,
            table_elements: TABLE_ELEMENTS,
            stack_bytes: STACK_BYTES,
            call_depth: CALL_DEPTH,
            exception_bytes: EXCEPTION_BYTES,
        };
        let Parts {
            linked,
            template,
            compile_time,
            module_bytes,
            reads_environment,
        } = self;
        Function {
            config,
            engine: engine.clone(),
            limits,
            linked,
            template,
            compile_time,
            module_bytes,
            reads_environment,
        }
    }
}

/// All functions of a server, in the order of the configuration; compiled modules are shared by all shards.
#[derive(Debug, Clone)]
pub struct Registry(Arc<[Function]>);

impl Registry {
    /// Deploys every function.
    ///
    /// # Errors
    /// All problems, one per function that has any.
    pub fn deploy(configs: Vec<FunctionConfig>) -> Result<Registry, Vec<DeployError>> {
        let engine = Engine::new(EngineConfig::default());
        let linker = linker(&engine);
        let mut functions = Vec::with_capacity(configs.len());
        let mut errors = Vec::new();
        for config in configs {
            match Function::deploy(&engine, &linker, config) {
                Ok(function) => functions.push(function),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(Registry(functions.into()))
        } else {
            Err(errors)
        }
    }

    /// The functions.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        &self.0
    }
}

/// Everything that a function may import: WASI preview 1.
#[must_use]
pub fn linker(engine: &Engine) -> Linker<WasiCtx> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker, |context| context);
    linker
}

/// Whether the module is a WASI command: it exports `_start: [] -> []`.
#[must_use]
pub fn is_command(module: &Module) -> bool {
    module.exports().any(|export| {
        export.name == "_start"
            && matches!(&export.ty, ExternType::Func(ty) if ty.params().is_empty() && ty.results().is_empty())
    })
}

fn reads_environment(module: &Module) -> bool {
    module
        .imports()
        .any(|import| matches!(import.name, "environ_get" | "environ_sizes_get"))
}

fn read(source: &ModuleSource) -> Result<Cow<'static, [u8]>, DeployProblem> {
    match source {
        ModuleSource::Embedded(bytes) => Ok(Cow::Borrowed(bytes)),
        ModuleSource::File(path) => {
            std::fs::read(path)
                .map(Cow::Owned)
                .map_err(|source| DeployProblem::Read {
                    path: path.clone(),
                    source,
                })
        }
    }
}
