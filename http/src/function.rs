//! Functions as deployed: compiled, linked and granted what the manifest says, once, before the first request.
//!
//! What an instance is like at its beginning is found here too, once, and kept as a template of sandboxes; a request only
//! takes one and makes a WASI context, from parts that are ready. Everything that can be wrong with a module shows here and
//! not in a request: bytes that are no module, imports that nobody provides, no `_start`, a first memory beyond the limit, a
//! segment that does not fit, a folder that cannot be opened.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use luge_core::pool::{Template, TemplateError};
use luge_core::wasi::{WasiConfigError, WasiCtx, WasiTemplate};
use luge_core::{ExternType, Limits, LinkError, Module, ModuleError};

use crate::config::{FunctionConfig, ModuleSource};
use crate::engine::{CompileError, Compiled, Engines, Tier};

/// Bytes of guest stack: what a C program's shadow stack does not hold. Deep recursion ends there in a trap.
const STACK_BYTES: usize = 1 << 20;
/// Calls that may be active at once in one interpreted run; machine code is bounded by its stack alone.
const CALL_DEPTH: usize = 20_000;
/// Bytes of exceptions that are referred to: more of them than any program has under way.
const EXCEPTION_BYTES: usize = 1 << 20;
/// Elements of a table: function pointers of a large program, and some to grow.
const TABLE_ELEMENTS: u32 = 1 << 20;
/// Time for a start function when it is deployed. One that needs longer runs in each sandbox.
const START_TIME: Duration = Duration::from_millis(100);

/// A deployed function, shared by all shards.
#[derive(Debug)]
pub struct Function {
    config: FunctionConfig,
    template: Template<WasiCtx>,
    surroundings: WasiTemplate,
    tier: Tier,
    declined: Option<ModuleError>,
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
    /// The bytes are no module that the engine takes, or its tier cannot be had.
    #[error("{0}; `luge inspect` tells what the module uses and which tiers take it")]
    Compile(#[from] CompileError),
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
    /// No instance can be made of it.
    #[error("no instance of the module can be made: {0}; each of its runs would fail in this way")]
    Instantiate(#[source] TemplateError),
    /// What the manifest grants cannot be granted.
    #[error(transparent)]
    Grant(#[from] WasiConfigError),
}

impl Function {
    /// Reads, compiles and links a function's module, in its own tier or in that of the engines.
    ///
    /// # Errors
    /// Whatever keeps the function from being run.
    pub fn deploy(engines: &Engines, config: FunctionConfig) -> Result<Function, DeployError> {
        Self::prepare(engines, &config)
            .map_err(|problem| DeployError {
                function: config.name.clone(),
                problem: Box::new(problem),
            })
            .map(|parts| parts.assemble(config))
    }

    fn prepare(engines: &Engines, config: &FunctionConfig) -> Result<Parts, DeployProblem> {
        let wasm = read(&config.module)?;
        let Compiled {
            module,
            tier,
            declined,
            time: compile_time,
        } = engines.compile(config.tier, &wasm)?;
        log_cache(&config.name, &module);
        let linked = engines.linker(tier).link(&module)?;
        if !is_command(&module) {
            return Err(DeployProblem::NoStart);
        }
        // The limit is on all memories together.
        let needed = module
            .memories()
            .iter()
            .map(|memory| memory.minimum)
            .fold(0_u32, u32::saturating_add);
        if needed > config.memory_pages {
            return Err(DeployProblem::Memory {
                needed,
                limit: config.memory_pages,
            });
        }
        let template = linked
            .template(&limits(config), "_start", START_TIME)
            .map_err(DeployProblem::Instantiate)?;
        log_template(&config.name, &template);
        let mut builder = WasiCtx::builder().arg(&config.name).args(&config.args);
        for (name, value) in &config.env {
            builder = builder.env(name, value);
        }
        for dir in &config.dirs {
            builder = builder.preopen_read_only(&dir.host, &dir.guest)?;
        }
        Ok(Parts {
            template,
            surroundings: builder.template()?,
            tier,
            declined,
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

    /// What its sandboxes are made by: the module, linked, and what an instance of it begins with.
    #[must_use]
    pub fn template(&self) -> &Template<WasiCtx> {
        &self.template
    }

    /// Arguments, environment and folders, ready to be given to a run.
    #[must_use]
    pub fn surroundings(&self) -> &WasiTemplate {
        &self.surroundings
    }

    /// Whether the module can look at its environment at all: it imports `environ_get`. A run of one that does not
    /// needs no variables made of its request.
    #[must_use]
    pub fn reads_environment(&self) -> bool {
        self.reads_environment
    }

    /// How it is run.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Why it is interpreted, where the server's tier is another one and has declined it.
    #[must_use]
    pub fn declined(&self) -> Option<&ModuleError> {
        self.declined.as_ref()
    }

    /// Whether its machine code came from the code cache; `None` where there is no cache or no machine code.
    #[must_use]
    pub fn from_cache(&self) -> Option<bool> {
        let outcome = self.template.module().cache_outcome()?;
        Some(matches!(outcome, luge_core::cache::CacheOutcome::Hit))
    }

    /// Size of its code, the machine's or the interpreter's.
    #[must_use]
    pub fn code_bytes(&self) -> usize {
        self.template.module().code_bytes()
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

/// Says where a function's machine code came from, where there is a cache.
fn log_cache(function: &str, module: &Module) {
    match module.cache_outcome() {
        Some(outcome) if outcome.is_ordinary() => tracing::debug!(function, %outcome, "machine code"),
        Some(outcome) => tracing::warn!(function, %outcome, "machine code"),
        None => {}
    }
}

/// Says what a function's sandboxes begin with.
fn log_template(function: &str, template: &Template<WasiCtx>) {
    let (image_bytes, is_started) = (template.image_bytes(), template.is_started());
    tracing::debug!(function, image_bytes, is_started, "template");
}

/// What one run of a function may use.
fn limits(config: &FunctionConfig) -> Limits {
    Limits {
        memory_pages: config.memory_pages,
        table_elements: TABLE_ELEMENTS,
        stack_bytes: STACK_BYTES,
        call_depth: CALL_DEPTH,
        exception_bytes: EXCEPTION_BYTES,
    }
}

struct Parts {
    template: Template<WasiCtx>,
    surroundings: WasiTemplate,
    tier: Tier,
    declined: Option<ModuleError>,
    compile_time: Duration,
    module_bytes: usize,
    reads_environment: bool,
}

impl Parts {
    fn assemble(self, config: FunctionConfig) -> Function {
        let Parts {
            template,
            surroundings,
            tier,
            declined,
            compile_time,
            module_bytes,
            reads_environment,
        } = self;
        Function {
            config,
            template,
            surroundings,
            tier,
            declined,
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
    pub fn deploy(engines: &Engines, configs: Vec<FunctionConfig>) -> Result<Registry, Vec<DeployError>> {
        let mut functions = Vec::with_capacity(configs.len());
        let mut errors = Vec::new();
        for config in configs {
            match Function::deploy(engines, config) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{SPIN, declining};

    /// A function of a module that lives as long as the process.
    fn config(tier: Option<Tier>) -> FunctionConfig {
        let wasm = wat::parse_str(SPIN).unwrap().leak();
        let module = ModuleSource::Embedded(wasm);
        let mut config = FunctionConfig::new("spin".to_owned(), "/spin".to_owned(), module);
        config.tier = tier;
        config
    }

    #[test]
    fn a_declined_function_is_deployed_all_the_same() {
        let registry = Registry::deploy(&declining(), vec![config(None)]).unwrap();
        let function = &registry.functions()[0];
        assert_eq!(function.tier(), Tier::Interp);
        assert!(function.declined().is_some() && function.code_bytes() > 0);
    }

    #[test]
    fn a_segment_that_does_not_fit_is_found_at_deployment() {
        let wat = r#"(module (memory 1) (data (i32.const 65535) "ab") (func (export "_start")))"#;
        let mut config = config(None);
        config.module = ModuleSource::Embedded(wat::parse_str(wat).unwrap().leak());
        let errors = Registry::deploy(&declining(), vec![config]).unwrap_err();
        let text = errors[0].to_string();
        assert!(
            text.contains("no instance of the module can be made") && text.contains("out of bounds"),
            "{text}"
        );
    }

    #[test]
    fn a_start_function_runs_once_if_it_needs_nobody() {
        let quick = r#"(module (memory 1) (func $s (i32.store8 (i32.const 9) (i32.const 7))) (start $s)
            (func (export "_start")))"#;
        let endless = r#"(module (func $s (loop (br 0))) (start $s) (func (export "_start")))"#;
        for (wat, is_started, image_bytes) in [(quick, true, 4096), (endless, false, 0), (SPIN, true, 0)] {
            let mut config = config(None);
            config.module = ModuleSource::Embedded(wat::parse_str(wat).unwrap().leak());
            let registry = Registry::deploy(&declining(), vec![config]).unwrap();
            let template = registry.functions()[0].template();
            assert_eq!(
                (template.is_started(), template.image_bytes()),
                (is_started, image_bytes)
            );
        }
    }

    #[test]
    fn a_function_that_must_have_its_tier_is_refused_without_it() {
        let errors = Registry::deploy(&declining(), vec![config(Some(Tier::Baseline))]).unwrap_err();
        let text = errors[0].to_string();
        assert!(
            text.starts_with("function \"spin\": ") && text.contains("not today"),
            "{text}"
        );
        let registry = Registry::deploy(&declining(), vec![config(Some(Tier::Interp))]).unwrap();
        assert!(
            registry.functions()[0].declined().is_none(),
            "its own choice is no fallback"
        );
    }
}
