//! Wasmer with Cranelift behind the line protocol.

use luge_bench_peers::{AnyError, Peer, serve};
use std::io::Write;
use wasmer::sys::{Cranelift, EngineBuilder};
use wasmer::{Engine, Function, Imports, Instance, Module, Store, Value};

/// Bytes that are copied out of a memory at once.
const CHUNK_BYTES: usize = 1 << 20;

struct Wasmer(Engine);

impl Peer for Wasmer {
    type Module = Module;
    type Instance = (Store, Instance);
    type Func = Function;

    fn compile(&self, wasm: &[u8]) -> Result<Module, AnyError> {
        Ok(Module::new(&self.0, wasm)?)
    }

    fn instantiate(&self, module: &Module) -> Result<Self::Instance, AnyError> {
        let mut store = Store::new(self.0.clone());
        let instance = Instance::new(&mut store, module, &Imports::new())?;
        Ok((store, instance))
    }

    fn func(&self, (_, instance): &mut Self::Instance, name: &str) -> Option<Function> {
        instance.exports.get_function(name).ok().cloned()
    }

    fn call(
        &self,
        (store, _): &mut Self::Instance,
        func: &Function,
        arguments: &[i32],
    ) -> Result<i64, AnyError> {
        let arguments: Vec<_> = arguments.iter().copied().map(Value::I32).collect();
        match func.call(store, &arguments)?.first() {
            None => Ok(0),
            Some(Value::I32(result)) => Ok(i64::from(*result)),
            Some(Value::I64(result)) => Ok(*result),
            Some(other) => Err(format!("{other:?} is no integer").into()),
        }
    }

    fn write(
        &self,
        (store, instance): &mut Self::Instance,
        begin: usize,
        bytes: usize,
        out: &mut dyn Write,
    ) -> Result<(), AnyError> {
        let view = instance.exports.get_memory("memory")?.view(store);
        let mut chunk = vec![0; CHUNK_BYTES.min(bytes)];
        for at in (0..bytes).step_by(CHUNK_BYTES) {
            let chunk = &mut chunk[..CHUNK_BYTES.min(bytes - at)];
            view.read((begin + at).try_into()?, chunk)?;
            out.write_all(chunk)?;
        }
        Ok(())
    }
}

fn main() -> Result<(), AnyError> {
    let engine = EngineBuilder::new(Cranelift::default()).engine();
    serve("wasmer 7.3.0 with Cranelift", &Wasmer(engine.into()))
}
