//! wasmi: an interpreter with a translator and register code of its own.

use super::{Compiled, Ended, Kind, Live, Observed, Side, Snapshot, Uses, sorted};

const CALL_DEPTH: usize = 20_000;
const STACK_BYTES: usize = 64 << 20;
/// Modules after which an engine is made anew, for it keeps the code of all.
const MODULES: usize = 100;

/// The independent engine.
#[derive(Debug)]
pub struct Wasmi {
    engine: wasmi::Engine,
    modules: usize,
}

impl Wasmi {
    /// A new engine.
    #[must_use]
    pub fn new() -> Self {
        Self {
            engine: engine(),
            modules: 0,
        }
    }
}

fn engine() -> wasmi::Engine {
    let mut config = wasmi::Config::default();
    config
        .set_max_stack_height(STACK_BYTES)
        .set_max_recursion_depth(CALL_DEPTH);
    wasmi::Engine::new(&config)
}

impl Side for Wasmi {
    fn name(&self) -> &'static str {
        "wasmi"
    }

    /// It has no exceptions, and is free to differ in what is relaxed.
    fn takes(&self, uses: Uses) -> bool {
        !uses.exceptions && !uses.relaxed
    }

    fn compile(&mut self, wasm: &[u8], _seed: u64) -> Result<Box<dyn Compiled>, String> {
        self.modules += 1;
        if self.modules.is_multiple_of(MODULES) {
            self.engine = engine();
        }
        let module = wasmi::Module::new(&self.engine, wasm).map_err(|error| format!("refused: {error}"))?;
        Ok(Box::new(WasmiModule {
            engine: self.engine.clone(),
            module,
        }))
    }
}

struct WasmiModule {
    engine: wasmi::Engine,
    module: wasmi::Module,
}

impl Compiled for WasmiModule {
    fn instantiate(&self) -> Result<Result<Box<dyn Live>, Ended>, String> {
        let mut store = wasmi::Store::new(&self.engine, ());
        match wasmi::Linker::new(&self.engine).instantiate_and_start(&mut store, &self.module) {
            Ok(instance) => Ok(Ok(Box::new(WasmiInstance { store, instance }))),
            Err(error) => Ok(Err(ended(&error)?)),
        }
    }
}

struct WasmiInstance {
    store: wasmi::Store<()>,
    instance: wasmi::Instance,
}

impl WasmiInstance {
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
            Observed::ExnRef { .. } => unreachable!("it takes no module with exceptions"),
        }
    }

    fn observed(&self, value: &wasmi::Val) -> Observed {
        use wasmi::Val;
        match value {
            Val::I32(value) => Observed::I32(*value as u32),
            Val::I64(value) => Observed::I64(*value as u64),
            Val::F32(value) => Observed::F32(value.to_bits()),
            Val::F64(value) => Observed::F64(value.to_bits()),
            Val::V128(bits) => Observed::V128(bits.as_u128()),
            Val::FuncRef(func) => Observed::FuncRef { null: func.is_null() },
            Val::ExternRef(reference) => {
                let number = reference.val().map(|reference| {
                    let data = reference.data(&self.store).downcast_ref();
                    *data.expect("every external reference was made from a u32")
                });
                Observed::ExternRef(number)
            }
        }
    }
}

impl Live for WasmiInstance {
    fn call(&mut self, name: &str, arguments: &[Observed]) -> Result<Ended, String> {
        let func = self
            .instance
            .get_func(&self.store, name)
            .ok_or("no such function")?;
        let arguments: Vec<_> = arguments.iter().map(|value| self.value(value)).collect();
        let ty = func.ty(&self.store);
        let mut results: Vec<_> = ty.results().iter().map(|ty| wasmi::Val::default(*ty)).collect();
        match func.call(&mut self.store, &arguments, &mut results) {
            Ok(()) => Ok(Ended::Returned(
                results.iter().map(|value| self.observed(value)).collect(),
            )),
            Err(error) => ended(&error),
        }
    }

    fn state(&self) -> Vec<(String, Snapshot)> {
        let exports = self.instance.exports(&self.store).filter_map(|export| {
            let name = export.name().to_owned();
            let snapshot = match export.into_extern() {
                wasmi::Extern::Func(_) => return None,
                wasmi::Extern::Global(global) => Snapshot::Global(self.observed(&global.get(&self.store))),
                wasmi::Extern::Memory(memory) => Snapshot::memory(memory.data(&self.store)),
                wasmi::Extern::Table(table) => Snapshot::Table(table.size(&self.store)),
            };
            Some((name, snapshot))
        });
        sorted(exports.collect())
    }
}

fn ended(error: &wasmi::Error) -> Result<Ended, String> {
    use wasmi::TrapCode;
    use wasmi::errors::{ErrorKind, InstantiationError, MemoryError, TableError};
    match error.kind() {
        // By the standard an active segment that does not fit is a trap of `table.init`; there it is an error of its own.
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => {
            return Ok(Ended::Trapped(Kind::Table));
        }
        // So are some accesses in bulk.
        ErrorKind::Table(
            TableError::CopyOutOfBounds
            | TableError::FillOutOfBounds
            | TableError::InitOutOfBounds
            | TableError::SetOutOfBounds,
        ) => return Ok(Ended::Trapped(Kind::Table)),
        ErrorKind::Memory(MemoryError::OutOfBoundsAccess) => return Ok(Ended::Trapped(Kind::Memory)),
        _ => {}
    }
    let code = error
        .as_trap_code()
        .ok_or_else(|| format!("failed other than by a trap: {error}"))?;
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
        other => return Err(format!("a trap that nothing compares with: {other:?}")),
    }))
}
