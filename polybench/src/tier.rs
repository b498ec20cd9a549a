//! Our own tiers as contenders, in this process.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use luge_core::compiler::BoundsStrategy;
use luge_core::{
    Engine, EngineConfig, Extern, Func, Instance, Limits, Linker, Memory, Module, ModuleError, Store, Value,
};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};

use crate::clock::timed;
use crate::contender::{Checksum, Contender, ContenderError, Run};

/// The interpreter.
pub fn interpreter() -> Engine {
    Engine::default()
}

/// The baseline compiler for this processor, if it makes code for it.
pub fn baseline(bounds: BoundsStrategy, fuel: bool) -> Option<Engine> {
    let options = BaselineOptions {
        bounds,
        fuel,
        positions: false,
        cpu: CpuFeatures::detect()?,
    };
    Some(Engine::new(EngineConfig {
        compiler: Some(Arc::new(Baseline::new(options))),
        ..EngineConfig::default()
    }))
}

/// A tier with the modules that it has loaded.
pub struct TierContender {
    name: String,
    engine: Engine,
    loaded: HashMap<String, Loaded>,
}

/// A module, and what of it is called.
struct Loaded {
    store: Store<()>,
    code_bytes: usize,
    entry: Entry,
}

enum Entry {
    /// `run: i32 -> i64`
    Run(Func),
    /// A kernel of the suite.
    Suite(Suite),
}

#[derive(Clone, Copy)]
struct Suite {
    prepare: Func,
    kernel: Func,
    outputs: Func,
    output: Func,
    output_bytes: Func,
    checksum: Func,
    memory: Memory,
}

impl TierContender {
    /// The tier under a name, with nothing loaded.
    pub fn new(name: impl Into<String>, engine: Engine) -> TierContender {
        TierContender {
            name: name.into(),
            engine,
            loaded: HashMap::new(),
        }
    }

    fn loaded(&mut self, name: &str) -> Result<&mut Loaded, ContenderError> {
        let missing = || ContenderError::Failed(format!("{name} is not loaded"));
        self.loaded.get_mut(name).ok_or_else(missing)
    }
}

impl Contender for TierContender {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> &str {
        concat!("luge ", env!("CARGO_PKG_VERSION"))
    }

    fn load(&mut self, name: &str, path: &Path) -> Result<(), ContenderError> {
        // First, so that two large memories never exist at once.
        self.loaded.remove(name);
        let module = Module::new(&self.engine, &read(path)?).map_err(refused)?;
        let mut store = Store::new(&self.engine, &Limits::default(), ());
        let instance = Linker::new(&self.engine)
            .instantiate(&mut store, &module)
            .map_err(|error| ContenderError::Failed(error.to_string()))?;
        let entry = match instance.func(&store, "run") {
            Some(run) => Entry::Run(run),
            None => Entry::Suite(Suite::of(&store, instance)?),
        };
        let loaded = Loaded {
            code_bytes: module.code_bytes(),
            store,
            entry,
        };
        self.loaded.insert(name.to_owned(), loaded);
        Ok(())
    }

    fn run(&mut self, name: &str, argument: i32) -> Result<Run, ContenderError> {
        let Loaded { store, entry, .. } = self.loaded(name)?;
        let argument = Value::I32(argument);
        match *entry {
            Entry::Run(run) => {
                let (sum, time) = timed(|| call(store, "run", run, &[argument]));
                let checksum = Checksum(long(sum?)?.cast_unsigned());
                Ok(Run { checksum, time })
            }
            Entry::Suite(suite) => {
                match word(call(store, "prepare", suite.prepare, &[argument])?)? {
                    0 => {}
                    1 => return Err(ContenderError::Failed("prepare: unknown size".to_owned())),
                    _ => return Err(ContenderError::Failed("prepare: no memory".to_owned())),
                }
                let (done, time) = timed(|| call(store, "kernel", suite.kernel, &[]));
                done?;
                let sum = call(store, "checksum", suite.checksum, &[])?;
                let checksum = Checksum(long(sum)?.cast_unsigned());
                Ok(Run { checksum, time })
            }
        }
    }

    fn dump(&mut self, name: &str, path: &Path) -> Result<(), ContenderError> {
        let Loaded { store, entry, .. } = self.loaded(name)?;
        let Entry::Suite(suite) = *entry else {
            return Err(ContenderError::Failed(format!("{name} has no live-out arrays")));
        };
        let written = |error: std::io::Error| ContenderError::Failed(format!("{}: {error}", path.display()));
        let mut file = std::fs::File::create(path).map_err(written)?;
        for index in 0..word(call(store, "outputs", suite.outputs, &[])?)? {
            let index = Value::I32(index);
            let begin = word(call(store, "output", suite.output, &[index])?)?.cast_unsigned() as usize;
            let bytes = long(call(store, "output_bytes", suite.output_bytes, &[index])?)?;
            let array = usize::try_from(bytes)
                .ok()
                .and_then(|bytes| suite.memory.data(store).get(begin..begin.checked_add(bytes)?))
                .ok_or_else(|| ContenderError::Failed("a live-out array is outside the memory".to_owned()))?;
            file.write_all(array).map_err(written)?;
        }
        Ok(())
    }

    fn compile(&mut self, path: &Path) -> Result<Duration, ContenderError> {
        let wasm = read(path)?;
        let (module, time) = timed(|| Module::new(&self.engine, &wasm));
        module.map(|_| time.cpu).map_err(refused)
    }

    fn code_bytes(&self, name: &str) -> Option<usize> {
        self.loaded.get(name).map(|loaded| loaded.code_bytes)
    }
}

impl Suite {
    fn of(store: &Store<()>, instance: Instance) -> Result<Suite, ContenderError> {
        let missing = |name| ContenderError::Failed(format!("the module exports neither `run` nor `{name}`"));
        let func = |name| instance.func(store, name).ok_or_else(|| missing(name));
        let Some(Extern::Memory(memory)) = instance.export(store, "memory") else {
            return Err(missing("memory"));
        };
        Ok(Suite {
            prepare: func("prepare")?,
            kernel: func("kernel")?,
            outputs: func("outputs")?,
            output: func("output")?,
            output_bytes: func("output_bytes")?,
            checksum: func("checksum")?,
            memory,
        })
    }
}

/// Calls an export and gives its result, if it has one.
fn call(
    store: &mut Store<()>,
    name: &str,
    func: Func,
    arguments: &[Value],
) -> Result<Option<Value>, ContenderError> {
    match func.call(store, arguments) {
        Ok(results) => Ok(results.first().copied()),
        Err(error) => Err(ContenderError::Failed(format!("{name}: {error}"))),
    }
}

fn word(value: Option<Value>) -> Result<i32, ContenderError> {
    match value {
        Some(Value::I32(word)) => Ok(word),
        other => Err(ContenderError::Failed(format!("{other:?} is no i32"))),
    }
}

fn long(value: Option<Value>) -> Result<i64, ContenderError> {
    match value {
        Some(Value::I64(long)) => Ok(long),
        other => Err(ContenderError::Failed(format!("{other:?} is no i64"))),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn load(wat: &str) -> Result<TierContender, ContenderError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.wasm");
        std::fs::write(&path, wat::parse_str(wat).expect("well-formed")).expect("room");
        let mut tier = TierContender::new("interp", interpreter());
        tier.load("m", &path).map(|()| tier)
    }

    #[test]
    fn a_module_with_run_is_one_call() {
        let mut tier =
            load("(module (func (export \"run\") (param i32) (result i64) i64.const -1))").expect("loads");
        assert_eq!(tier.run("m", 1).expect("runs").checksum, Checksum(u64::MAX));
        assert!(tier.code_bytes("m").is_some_and(|bytes| bytes > 0));
        let error = tier.dump("m", Path::new("unused")).expect_err("no arrays");
        assert!(error.to_string().contains("no live-out"), "{error}");
        assert!(tier.run("other", 1).is_err() && tier.code_bytes("other").is_none());
    }

    #[test]
    fn arrays_outside_the_memory_and_missing_exports_are_errors() {
        let suite = |bytes: i64| {
            format!(
                r#"(module (memory (export "memory") 1)
                 (func (export "prepare") (param i32) (result i32) (local.get 0))
                 (func (export "kernel"))
                 (func (export "outputs") (result i32) (i32.const 1))
                 (func (export "output") (param i32) (result i32) (i32.const 65528))
                 (func (export "output_bytes") (param i32) (result i64) (i64.const {bytes}))
                 (func (export "checksum") (result i64) (i64.const 5)))"#
            )
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dump");
        let mut tier = load(&suite(8)).expect("loads");
        assert_eq!(tier.run("m", 0).expect("runs").checksum, Checksum(5));
        assert!(
            tier.run("m", 1)
                .expect_err("a size")
                .to_string()
                .contains("unknown size")
        );
        assert!(
            tier.run("m", 2)
                .expect_err("a size")
                .to_string()
                .contains("no memory")
        );
        tier.dump("m", &path).expect("dumps");
        assert_eq!(std::fs::read(&path).expect("a file"), [0; 8]);
        for bytes in [9, -1] {
            let error = load(&suite(bytes))
                .expect("loads")
                .dump("m", &path)
                .expect_err("too long");
            assert!(error.to_string().contains("outside the memory"), "{error}");
        }
        let error = load("(module (memory (export \"memory\") 1))")
            .err()
            .expect("nothing to call");
        assert!(
            error.to_string().contains("neither `run` nor `prepare`"),
            "{error}"
        );
    }
}
