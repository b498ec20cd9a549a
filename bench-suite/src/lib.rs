//! What the benchmarks measure: guests that are ready to run.
//!
//! Three kinds share this crate. `benches/engine.rs` counts instructions against the expectations in the tree; the programs
//! `kernels` and `compile` measure time against other engines, by [`kernel`], [`lineup`], [`contender`], and by what the overhead
//! suite has for it: `luge_polybench`; the program `luge-load` measures the server as its clients see it, by [`load`]. See
//! `bench-suite/README.md`.
//!
//! `benches/engine.rs` counts instructions by callgrind and nothing else, so that everything that is not to be measured
//! (reading a module, linking it, making a store) happens here, before the count begins. Each guest's result is checked
//! after the run: a benchmark of a wrong answer measures nothing. The expected counts stand in `expected.toml`;
//! `cargo xtask callgrind` compares them.
#![forbid(unsafe_code)]

pub mod contender;
pub mod kernel;
pub mod lineup;
pub mod load;

use luge_core::wasi::{self, Output, WasiCtx, WasiTemplate};
use luge_core::{Engine, Func, Limits, Linked, Linker, Module, Store, Value};

/// `modules/fibonacci.wat`: calls and compares.
pub const FIBONACCI: &str = include_str!("../modules/fibonacci.wat");
/// `modules/sieve.wat`: loops, loads and stores.
pub const SIEVE: &str = include_str!("../modules/sieve.wat");
/// `modules/small.wat`: memory, table, globals and data of a small function.
pub const SMALL: &str = include_str!("../modules/small.wat");
/// `modules/write.wat`: calls of WASI's `fd_write`.
pub const WRITE: &str = include_str!("../modules/write.wat");
/// The example function `png2bmp`: a real program of 270 KB, compiled by rustc or clang.
pub const PNG2BMP: &[u8] = include_bytes!("../../functions/wasm/png2bmp.wasm");

/// Output that a guest may write: more than any benchmark does.
const OUTPUT_BYTES: usize = 1 << 20;

/// A deployed module: linked once, instantiated by every run.
pub struct Deployed {
    linked: Linked<WasiCtx>,
    wasi: WasiTemplate,
    engine: Engine,
}

impl Deployed {
    /// Compiles and links a module in the text format.
    ///
    /// # Panics
    /// If it does not compile or link: the modules are the benchmarks' own.
    pub fn new(wat: &str) -> Deployed {
        let engine = Engine::default();
        let wasm = wat::parse_str(wat).expect("a well-formed module");
        let module = Module::new(&engine, &wasm).expect("a valid module");
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker, |ctx| ctx);
        let linked = linker.link(&module).expect("imports of preview 1 only");
        let wasi = WasiCtx::builder()
            .arg("bench")
            .template()
            .expect("a plain argument");
        Deployed { linked, wasi, engine }
    }

    /// A fresh instance, ready to run.
    ///
    /// # Panics
    /// If it cannot be instantiated.
    pub fn instantiate(&self) -> Guest {
        let output = Output::Buffer { limit: OUTPUT_BYTES };
        let ctx = self.wasi.instantiate(wasi::Input::Empty, output, Output::Discard);
        let mut store = Store::new(&self.engine, &Limits::default(), ctx);
        let instance = self
            .linked
            .instantiate(&mut store)
            .expect("memory for a small module");
        let run = instance.func(&store, "run").expect("every module exports `run`");
        Guest { store, run }
    }
}

/// An instance whose export `run` takes a number and gives one.
pub struct Guest {
    store: Store<WasiCtx>,
    run: Func,
}

impl Guest {
    /// Calls `run`.
    ///
    /// # Panics
    /// If the guest traps.
    pub fn run(&mut self, n: i32) -> i32 {
        match self.run.call(&mut self.store, &[Value::I32(n)]).as_deref() {
            Ok([Value::I32(result)]) => *result,
            other => panic!("the guest ended with {other:?}"),
        }
    }

    /// What the guest wrote to standard output.
    pub fn stdout(&self) -> &[u8] {
        self.store.data().stdout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_give_the_right_answers() {
        assert_eq!(Deployed::new(FIBONACCI).instantiate().run(20), 6_765);
        assert_eq!(Deployed::new(SIEVE).instantiate().run(10_000), 1_229);
        assert_eq!(Deployed::new(SMALL).instantiate().run(2), 2);
        let mut guest = Deployed::new(WRITE).instantiate();
        assert_eq!(guest.run(3), 0);
        assert_eq!(guest.stdout(), b"line\nline\nline\n");
    }

    #[test]
    fn the_real_module_compiles() {
        assert!(Module::new(&Engine::default(), PNG2BMP).is_ok());
    }
}
