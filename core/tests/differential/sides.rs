//! The engines behind one face.

use luge_core::compiler::{BoundsStrategy, CodeGenerator};
use luge_core::{
    Engine, EngineConfig, Execution, Extern, FuncType, Instance, InstantiateError, Limits, Linker, Module,
    Step, Store, Trap, Value,
};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use std::sync::Arc;

/// A value as far as two engines can agree on it: numbers by their bits, functions by whether they are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Observed {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
    V128(u128),
    FuncRef { null: bool },
    ExternRef(Option<u32>),
}

/// How an instantiation or a call ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Returned(Vec<Observed>),
    Trapped(Kind),
    /// The call stack was exhausted: not comparable.
    Exhausted,
}

/// Why it trapped, as finely as both engines tell. Calls through an element outside the table and table accesses outside
/// it are one trap code of wasmi's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unreachable,
    Memory,
    Table,
    NullElement,
    Signature,
    DivideByZero,
    Overflow,
    Conversion,
}

/// An export's state.
#[derive(Debug, PartialEq)]
pub(crate) enum Snapshot {
    Global(Observed),
    Memory(Vec<u8>),
    /// Elements.
    Table(u64),
}

/// An engine that runs one instance. The outer errors are failures of the comparison itself.
pub(crate) trait Side {
    fn call(&mut self, name: &str, arguments: &[Observed]) -> Result<Ended, String>;
    /// Exported globals, memories and tables, by name.
    fn state(&self) -> Vec<(String, Snapshot)>;
}

/// Call depth on both sides: above the generated modules' fuel.
const CALL_DEPTH: usize = 20_000;
/// Value stack on both sides.
const STACK_BYTES: usize = 64 << 20;
/// Fuel after which a module that should end counts as one that does not.
const FUEL_MAX: u64 = 1 << 32;

/// A way in which our engine runs a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    Interpreter,
    /// Compiled; memory is guarded by the address space, and no fuel is counted.
    Guarded,
    /// Compiled; memory is checked by code, and fuel is counted.
    Checked,
}

impl Tier {
    fn compiler(self) -> Option<Arc<dyn CodeGenerator>> {
        let bounds = match self {
            Self::Interpreter => return None,
            Self::Guarded => BoundsStrategy::Guard,
            Self::Checked => BoundsStrategy::Software,
        };
        Some(Arc::new(Baseline::new(BaselineOptions {
            bounds,
            fuel: self == Self::Checked,
            positions: false,
            cpu: CpuFeatures::detect().expect("a processor that machine code is made for"),
        })))
    }
}

/// Our engine.
pub(crate) struct Luge {
    store: Store<()>,
    instance: Instance,
    /// Fuel of a slice.
    slice: u64,
}

/// A module that our engine has taken, for many instances.
pub(crate) struct LugeModule {
    engine: Engine,
    module: Module,
    limits: Limits,
}

impl LugeModule {
    pub(crate) fn new(wasm: &[u8], tier: Tier) -> Result<LugeModule, String> {
        let limits = Limits {
            stack_bytes: STACK_BYTES,
            call_depth: CALL_DEPTH,
            ..Limits::default()
        };
        let engine = Engine::new(EngineConfig {
            limits: limits.clone(),
            compiler: tier.compiler(),
            ..EngineConfig::default()
        });
        let module = Module::new(&engine, wasm).map_err(|error| format!("refused by {tier:?}: {error}"))?;
        Ok(LugeModule {
            engine,
            module,
            limits,
        })
    }

    /// An instance whose calls run in slices of this fuel.
    pub(crate) fn instantiate(&self, slice: u64) -> Result<Result<Luge, Ended>, String> {
        let mut store = Store::new(&self.engine, &self.limits, ());
        match Linker::new(&self.engine).instantiate(&mut store, &self.module) {
            Ok(instance) => Ok(Ok(Luge {
                store,
                instance,
                slice,
            })),
            Err(InstantiateError::Trap(report)) => Ok(Err(our_end(report.trap)?)),
            Err(error) => Err(format!("not instantiated here: {error}")),
        }
    }
}

impl Luge {
    /// The exported functions with their types.
    pub(crate) fn functions(&self) -> Vec<(String, FuncType)> {
        let exports = self.instance.exports(&self.store);
        exports
            .filter_map(|(name, export)| match export {
                Extern::Func(func) => Some((name.to_owned(), func.ty(&self.store))),
                _ => None,
            })
            .collect()
    }
}

impl Side for Luge {
    fn call(&mut self, name: &str, arguments: &[Observed]) -> Result<Ended, String> {
        let func = self
            .instance
            .func(&self.store, name)
            .ok_or("no such function here")?;
        let arguments: Vec<Value> = arguments.iter().map(to_value).collect();
        let execution = Execution::new(&mut self.store, func, &arguments);
        let mut execution = execution.map_err(|error| error.to_string())?;
        let mut fuel = FUEL_MAX;
        loop {
            match execution.resume(&mut self.store, self.slice) {
                Step::Finished => {
                    return Ok(Ended::Returned(
                        execution.results().iter().map(from_value).collect(),
                    ));
                }
                Step::Trapped(report) => return our_end(report.trap),
                Step::Preempted if self.slice == u64::MAX => return Err("ran out of endless fuel".to_owned()),
                Step::Preempted => fuel = fuel.checked_sub(self.slice).ok_or("does not end here")?,
                other => return Err(format!("ended here with {other:?}")),
            }
        }
    }

    fn state(&self) -> Vec<(String, Snapshot)> {
        let exports = self.instance.exports(&self.store).filter_map(|(name, export)| {
            let snapshot = match export {
                Extern::Func(_) | Extern::Tag(_) => return None,
                Extern::Global(global) => Snapshot::Global(from_value(&global.get(&self.store))),
                Extern::Memory(memory) => Snapshot::Memory(memory.data(&self.store).to_vec()),
                Extern::Table(table) => Snapshot::Table(u64::from(table.size(&self.store))),
            };
            Some((name.to_owned(), snapshot))
        });
        sorted(exports.collect())
    }
}

fn sorted(mut state: Vec<(String, Snapshot)>) -> Vec<(String, Snapshot)> {
    state.sort_by(|a, b| a.0.cmp(&b.0));
    state
}

fn our_end(trap: Trap) -> Result<Ended, String> {
    Ok(Ended::Trapped(match trap {
        Trap::Unreachable => Kind::Unreachable,
        Trap::MemoryOutOfBounds => Kind::Memory,
        Trap::TableOutOfBounds | Trap::UndefinedElement => Kind::Table,
        Trap::UninitializedElement => Kind::NullElement,
        Trap::IndirectCallTypeMismatch => Kind::Signature,
        Trap::IntegerDivideByZero => Kind::DivideByZero,
        Trap::IntegerOverflow => Kind::Overflow,
        Trap::InvalidConversionToInteger => Kind::Conversion,
        Trap::StackExhausted => return Ok(Ended::Exhausted),
        other => return Err(format!("a trap that nothing there compares with: {other}")),
    }))
}

fn to_value(value: &Observed) -> Value {
    match *value {
        Observed::I32(bits) => Value::I32(bits as i32),
        Observed::I64(bits) => Value::I64(bits as i64),
        Observed::F32(bits) => Value::F32(bits),
        Observed::F64(bits) => Value::F64(bits),
        Observed::V128(bits) => Value::V128(bits),
        Observed::FuncRef { .. } => Value::FuncRef(None),
        Observed::ExternRef(number) => Value::ExternRef(number),
    }
}

fn from_value(value: &Value) -> Observed {
    match *value {
        Value::I32(value) => Observed::I32(value as u32),
        Value::I64(value) => Observed::I64(value as u64),
        Value::F32(bits) => Observed::F32(bits),
        Value::F64(bits) => Observed::F64(bits),
        Value::V128(bits) => Observed::V128(bits),
        Value::FuncRef(func) => Observed::FuncRef { null: func.is_none() },
        Value::ExternRef(number) => Observed::ExternRef(number),
        other => unreachable!("the generator makes no {}", other.ty()),
    }
}

/// wasmi, an interpreter with a translator and register code of its own.
pub(crate) struct Wasmi {
    store: wasmi::Store<()>,
    instance: wasmi::Instance,
}

/// A module that wasmi has taken.
pub(crate) struct WasmiModule {
    engine: wasmi::Engine,
    module: wasmi::Module,
}

impl WasmiModule {
    pub(crate) fn new(wasm: &[u8]) -> Result<WasmiModule, String> {
        let mut config = wasmi::Config::default();
        config
            .set_max_stack_height(STACK_BYTES)
            .set_max_recursion_depth(CALL_DEPTH);
        let engine = wasmi::Engine::new(&config);
        let module = wasmi::Module::new(&engine, wasm).map_err(|error| format!("refused there: {error}"))?;
        Ok(WasmiModule { engine, module })
    }

    pub(crate) fn instantiate(&self) -> Result<Result<Wasmi, Ended>, String> {
        let mut store = wasmi::Store::new(&self.engine, ());
        match wasmi::Linker::new(&self.engine).instantiate_and_start(&mut store, &self.module) {
            Ok(instance) => Ok(Ok(Wasmi { store, instance })),
            Err(error) => Ok(Err(their_end(&error)?)),
        }
    }
}

impl Wasmi {
    fn value(&mut self, value: &Observed) -> wasmi::Val {
        use wasmi::{ExternRef, F32, F64, Ref, V128, Val};
        match *value {
            Observed::I32(bits) => Val::I32(bits as i32),
            Observed::I64(bits) => Val::I64(bits as i64),
            Observed::F32(bits) => Val::F32(F32::from_bits(bits)),
            Observed::F64(bits) => Val::F64(F64::from_bits(bits)),
            Observed::V128(bits) => Val::V128(V128::from(bits)),
            Observed::FuncRef { .. } => Val::FuncRef(Ref::Null),
            Observed::ExternRef(None) => Val::ExternRef(Ref::Null),
            Observed::ExternRef(Some(number)) => {
                Val::ExternRef(Ref::Val(ExternRef::new(&mut self.store, number)))
            }
        }
    }

    fn observed(&self, value: &wasmi::Val) -> Observed {
        use wasmi::Val;
        match value {
            Val::I32(value) => Observed::I32(*value as u32),
            Val::I64(value) => Observed::I64(*value as u64),
            Val::F32(value) => Observed::F32(value.to_bits()),
            Val::F64(value) => Observed::F64(value.to_bits()),
            Val::FuncRef(func) => Observed::FuncRef { null: func.is_null() },
            Val::ExternRef(reference) => {
                let number = reference.val().map(|reference| {
                    let data = reference.data(&self.store).downcast_ref();
                    *data.expect("every external reference was made from a u32")
                });
                Observed::ExternRef(number)
            }
            Val::V128(bits) => Observed::V128(bits.as_u128()),
        }
    }
}

impl Side for Wasmi {
    fn call(&mut self, name: &str, arguments: &[Observed]) -> Result<Ended, String> {
        let func = self
            .instance
            .get_func(&self.store, name)
            .ok_or("no such function there")?;
        let arguments: Vec<_> = arguments.iter().map(|value| self.value(value)).collect();
        let ty = func.ty(&self.store);
        let mut results: Vec<_> = ty.results().iter().map(|ty| wasmi::Val::default(*ty)).collect();
        match func.call(&mut self.store, &arguments, &mut results) {
            Ok(()) => Ok(Ended::Returned(
                results.iter().map(|value| self.observed(value)).collect(),
            )),
            Err(error) => their_end(&error),
        }
    }

    fn state(&self) -> Vec<(String, Snapshot)> {
        let exports = self.instance.exports(&self.store).filter_map(|export| {
            let name = export.name().to_owned();
            let snapshot = match export.into_extern() {
                wasmi::Extern::Func(_) => return None,
                wasmi::Extern::Global(global) => Snapshot::Global(self.observed(&global.get(&self.store))),
                wasmi::Extern::Memory(memory) => Snapshot::Memory(memory.data(&self.store).to_vec()),
                wasmi::Extern::Table(table) => Snapshot::Table(table.size(&self.store)),
            };
            Some((name, snapshot))
        });
        sorted(exports.collect())
    }
}

fn their_end(error: &wasmi::Error) -> Result<Ended, String> {
    use wasmi::TrapCode;
    use wasmi::errors::{ErrorKind, InstantiationError, TableError};
    // By the standard an active segment that does not fit is a trap of `table.init`; there it is an error of its own.
    if let ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) = error.kind() {
        return Ok(Ended::Trapped(Kind::Table));
    }
    // So is one into a table that is too small for what it copies.
    if let ErrorKind::Table(TableError::CopyOutOfBounds) = error.kind() {
        return Ok(Ended::Trapped(Kind::Table));
    }
    let code = error
        .as_trap_code()
        .ok_or_else(|| format!("failed there other than by a trap: {error}"))?;
    Ok(Ended::Trapped(match code {
        TrapCode::UnreachableCodeReached => Kind::Unreachable,
        TrapCode::MemoryOutOfBounds => Kind::Memory,
        TrapCode::TableOutOfBounds => Kind::Table,
        TrapCode::IndirectCallToNull => Kind::NullElement,
        TrapCode::BadSignature => Kind::Signature,
        TrapCode::IntegerDivisionByZero => Kind::DivideByZero,
        TrapCode::IntegerOverflow => Kind::Overflow,
        TrapCode::BadConversionToInteger => Kind::Conversion,
        TrapCode::StackOverflow => return Ok(Ended::Exhausted),
        other => return Err(format!("a trap that nothing here compares with: {other:?}")),
    }))
}
