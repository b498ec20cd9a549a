//! Wasmtime, with either of its compilers, behind the line protocol.

use crate::{AnyError, Peer, serve, slice};
use std::io::Write;
use wasmtime::{Config, Engine, Extern, Func, Instance, Module, Store, Strategy, Val};

struct Wasmtime(Engine);

impl Peer for Wasmtime {
    type Module = Module;
    type Instance = (Store<()>, Instance);
    type Func = Func;

    fn compile(&self, wasm: &[u8]) -> Result<Module, AnyError> {
        Ok(Module::new(&self.0, wasm)?)
    }

    fn instantiate(&self, module: &Module) -> Result<Self::Instance, AnyError> {
        let mut store = Store::new(&self.0, ());
        let instance = Instance::new(&mut store, module, &[])?;
        Ok((store, instance))
    }

    fn func(&self, (store, instance): &mut Self::Instance, name: &str) -> Option<Func> {
        instance.get_func(store, name)
    }

    fn call(&self, (store, _): &mut Self::Instance, func: &Func, arguments: &[i32]) -> Result<i64, AnyError> {
        let arguments: Vec<_> = arguments.iter().copied().map(Val::I32).collect();
        let mut results = vec![Val::I32(0); func.ty(&*store).results().len()];
        func.call(store, &arguments, &mut results)?;
        match results.first() {
            None => Ok(0),
            Some(Val::I32(result)) => Ok(i64::from(*result)),
            Some(Val::I64(result)) => Ok(*result),
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
        let Some(Extern::Memory(memory)) = instance.get_export(&mut *store, "memory") else {
            return Err("the module exports no memory".into());
        };
        Ok(out.write_all(slice(memory.data(store), begin, bytes)?)?)
    }
}

/// Serves Wasmtime with one of its compilers.
///
/// # Errors
/// Where it was built without that, and those of [`serve`].
pub fn serve_with(strategy: Strategy, description: &str) -> Result<(), AnyError> {
    let mut config = Config::new();
    config.strategy(strategy);
    serve(description, &Wasmtime(Engine::new(&config)?))
}
