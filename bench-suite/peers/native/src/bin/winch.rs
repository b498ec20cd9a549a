//! Winch, Wasmtime's baseline compiler, behind the line protocol.

use luge_bench_peers::{AnyError, Peer, serve};
use wasmtime::{Config, Engine, Instance, Module, Store, Strategy, TypedFunc};

struct Winch(Engine);

impl Peer for Winch {
    type Instance = (Store<()>, TypedFunc<i32, i64>);

    fn compile(&self, wasm: &[u8]) -> Result<(), AnyError> {
        self.0.precompile_module(wasm)?;
        Ok(())
    }

    fn load(&self, wasm: &[u8]) -> Result<Self::Instance, AnyError> {
        let module = Module::new(&self.0, wasm)?;
        let mut store = Store::new(&self.0, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        let run = instance.get_typed_func(&mut store, "run")?;
        Ok((store, run))
    }

    fn run(&self, (store, run): &mut Self::Instance, n: i32) -> Result<i64, AnyError> {
        Ok(run.call(store, n)?)
    }
}

fn main() -> Result<(), AnyError> {
    let mut config = Config::new();
    config.strategy(Strategy::Winch);
    serve("wasmtime 48.0.8 with Winch", &Winch(Engine::new(&config)?))
}
