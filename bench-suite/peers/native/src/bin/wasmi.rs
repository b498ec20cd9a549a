//! wasmi 2.0, the interpreter to be level with, behind the line protocol.

use luge_bench_peers::{AnyError, Peer, serve};
use wasmi::{CompilationMode, Config, Engine, Instance, Module, Store, TypedFunc};

struct Wasmi(Engine);

impl Peer for Wasmi {
    type Instance = (Store<()>, TypedFunc<i32, i64>);

    fn compile(&self, wasm: &[u8]) -> Result<(), AnyError> {
        Module::new(&self.0, wasm)?;
        Ok(())
    }

    fn load(&self, wasm: &[u8]) -> Result<Self::Instance, AnyError> {
        let module = Module::new(&self.0, wasm)?;
        let mut store = Store::new(&self.0, ());
        let instance = Instance::new(&mut store, &module, &[])?;
        let run = instance.get_typed_func(&store, "run")?;
        Ok((store, run))
    }

    fn run(&self, (store, run): &mut Self::Instance, n: i32) -> Result<i64, AnyError> {
        Ok(run.call(store, n)?)
    }
}

fn main() -> Result<(), AnyError> {
    let mut config = Config::default();
    config.compilation_mode(CompilationMode::Eager);
    serve("wasmi 2.0.0", &Wasmi(Engine::new(&config)))
}
