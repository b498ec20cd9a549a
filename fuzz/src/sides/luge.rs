//! Our own engine: the interpreter, or the baseline tier in one of its forms.

use super::{Compiled, Ended, Kind, Live, Observed, Side, Snapshot, Uses, sorted};
use crate::random::Random;
use luge_core::compiler::{BoundsStrategy, CodeGenerator};
use luge_core::{
    Engine, EngineConfig, Execution, Extern, Instance, InstantiateError, Limits, Linker, Module, Step, Store,
    Trap, Value,
};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use std::sync::Arc;

/// Call depth: above what generated modules can reach.
const CALL_DEPTH: usize = 20_000;
/// Stack of a run.
const STACK_BYTES: usize = 16 << 20;
/// Fuel after which a module that should end counts as one that does not.
const FUEL_MAX: u64 = 1 << 32;
/// Modules after which an engine is made anew, for it remembers every function type it has seen.
const MODULES: usize = 1000;

/// What runs the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The interpreter, preempted after few instructions.
    Interpreter,
    /// Machine code with memory guarded by address space.
    Guard,
    /// Machine code that checks bounds itself, for a processor with nothing beyond the least.
    Software,
    /// Machine code that counts fuel and is preempted everywhere.
    Fuel,
}

impl Tier {
    fn compiler(self) -> Option<Arc<dyn CodeGenerator>> {
        let detected = CpuFeatures::detect().expect("a processor that machine code is made for");
        let (bounds, fuel, cpu) = match self {
            Self::Interpreter => return None,
            Self::Guard => (BoundsStrategy::Guard, false, detected),
            Self::Software => (BoundsStrategy::Software, false, CpuFeatures::BASELINE),
            Self::Fuel => (BoundsStrategy::Guard, true, detected),
        };
        Some(Arc::new(Baseline::new(BaselineOptions {
            bounds,
            fuel,
            positions: false,
            cpu,
        })))
    }
}

/// Our engine with one tier.
#[derive(Debug)]
pub struct Luge {
    tier: Tier,
    engine: Engine,
    modules: usize,
}

impl Luge {
    /// An engine with this tier.
    #[must_use]
    pub fn new(tier: Tier) -> Self {
        Self {
            tier,
            engine: engine(tier),
            modules: 0,
        }
    }
}

fn limits() -> Limits {
    Limits {
        stack_bytes: STACK_BYTES,
        call_depth: CALL_DEPTH,
        ..Limits::default()
    }
}

fn engine(tier: Tier) -> Engine {
    Engine::new(EngineConfig {
        limits: limits(),
        compiler: tier.compiler(),
        ..EngineConfig::default()
    })
}

impl Side for Luge {
    fn name(&self) -> &'static str {
        match self.tier {
            Tier::Interpreter => "interpreter",
            Tier::Guard => "baseline-guard",
            Tier::Software => "baseline-software",
            Tier::Fuel => "baseline-fuel",
        }
    }

    /// The least processor has no fused multiplication and addition, which are made of nothing else.
    fn takes(&self, uses: Uses) -> bool {
        self.tier != Tier::Software || !uses.relaxed
    }

    fn compile(&mut self, wasm: &[u8], seed: u64) -> Result<Box<dyn Compiled>, String> {
        self.modules += 1;
        if self.modules.is_multiple_of(MODULES) {
            self.engine = engine(self.tier);
        }
        let slice = match self.tier {
            Tier::Interpreter => 1 << Random::new(seed).below(12),
            Tier::Fuel => 1 << Random::new(seed).below(8),
            Tier::Guard | Tier::Software => 1 << 40,
        };
        Ok(Box::new(LugeModule {
            engine: self.engine.clone(),
            module: Module::new(&self.engine, wasm).map_err(|error| format!("refused: {error}"))?,
            slice,
        }))
    }
}

struct LugeModule {
    engine: Engine,
    module: Module,
    slice: u64,
}

impl Compiled for LugeModule {
    fn instantiate(&self) -> Result<Result<Box<dyn Live>, Ended>, String> {
        let mut store = Store::new(&self.engine, &limits(), ());
        match Linker::new(&self.engine).instantiate(&mut store, &self.module) {
            Ok(instance) => Ok(Ok(Box::new(LugeInstance {
                store,
                instance,
                slice: self.slice,
            }))),
            Err(InstantiateError::Trap(report)) => Ok(Err(ended(report.trap)?)),
            Err(error) => Err(format!("not instantiated: {error}")),
        }
    }
}

struct LugeInstance {
    store: Store<()>,
    instance: Instance,
    /// Fuel of a slice.
    slice: u64,
}

impl Live for LugeInstance {
    fn call(&mut self, name: &str, arguments: &[Observed]) -> Result<Ended, String> {
        let func = self.instance.func(&self.store, name).ok_or("no such function")?;
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
                Step::Trapped(report) => return ended(report.trap),
                Step::Preempted => fuel = fuel.checked_sub(self.slice).ok_or("does not end")?,
                other => return Err(format!("ended with {other:?}")),
            }
        }
    }

    fn state(&self) -> Vec<(String, Snapshot)> {
        let exports = self.instance.exports(&self.store).filter_map(|(name, export)| {
            let snapshot = match export {
                Extern::Func(_) | Extern::Tag(_) => return None,
                Extern::Global(global) => Snapshot::Global(from_value(&global.get(&self.store))),
                Extern::Memory(memory) => Snapshot::memory(memory.data(&self.store)),
                Extern::Table(table) => Snapshot::Table(u64::from(table.size(&self.store))),
            };
            Some((name.to_owned(), snapshot))
        });
        sorted(exports.collect())
    }
}

fn ended(trap: Trap) -> Result<Ended, String> {
    Ok(Ended::Trapped(match trap {
        Trap::Unreachable => Kind::Unreachable,
        Trap::MemoryOutOfBounds => Kind::Memory,
        Trap::TableOutOfBounds | Trap::UndefinedElement => Kind::Table,
        Trap::UninitializedElement => Kind::NullElement,
        Trap::IndirectCallTypeMismatch => Kind::Signature,
        Trap::IntegerDivideByZero => Kind::DivideByZero,
        Trap::IntegerOverflow => Kind::Overflow,
        Trap::InvalidConversionToInteger => Kind::Conversion,
        Trap::UncaughtException => Kind::Exception,
        Trap::NullException => Kind::NullException,
        Trap::StackExhausted | Trap::TooManyExceptions => return Ok(Ended::Exhausted),
        other => return Err(format!("a trap that nothing compares with: {other}")),
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
        Observed::ExnRef { .. } => Value::ExnRef(None),
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
        Value::ExnRef(exception) => Observed::ExnRef {
            null: exception.is_none(),
        },
        other => unreachable!("the generators make no {}", other.ty()),
    }
}
