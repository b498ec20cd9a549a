//! What the benchmarks measure: guests that are ready to run.
//!
//! Three kinds share this crate. `benches/counts.rs` counts instructions against the expectations in the tree, and
//! `benches/wallclock.rs` times the same operations; the programs `kernels` and `compile` measure time against other engines, by
//! [`kernel`], [`lineup`], [`contender`], and by what the overhead suite has for it: `luge_polybench`; the program `luge-load`
//! measures the server as its clients see it, by [`load`], and beside others in one run, by [`trial`]. See
//! `bench-suite/README.md`.
//!
//! A count is of one operation and nothing else, so that everything that is not to be measured (reading a module, linking
//! it, making a store) happens here or in `benches/operations`, before the count begins. Each guest's result is checked
//! after the run: a benchmark of a wrong answer measures nothing. The expected counts stand in `expected.toml`;
//! `cargo xtask callgrind` compares them.
#![forbid(unsafe_code)]

pub mod contender;
pub mod kernel;
pub mod lineup;
pub mod load;
pub mod trial;

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
/// `modules/clock.wat`: calls of WASI's `clock_time_get`.
pub const CLOCK: &str = include_str!("../modules/clock.wat");
/// `modules/arguments.wat`: calls of WASI's `args_get`.
pub const ARGUMENTS: &str = include_str!("../modules/arguments.wat");
/// The example function `png2bmp`: a real program of 270 KB, compiled by rustc or clang.
pub const PNG2BMP: &[u8] = include_bytes!("../../functions/wasm/png2bmp.wasm");

/// Output that a guest may write: more than any benchmark does.
const OUTPUT_BYTES: usize = 1 << 20;

/// A deployed module: linked once, instantiated by every run.
pub struct Deployed {
    linked: Linked<WasiCtx>,
    wasi: WasiTemplate,
    engine: Engine,
    /// Kept for the heap's sake: its names would be freed in the order of a randomly seeded hash table, and what an
    /// allocation costs afterwards would differ from run to run.
    _linker: Linker<WasiCtx>,
}

impl Deployed {
    /// Compiles and links a module, in the text format or in the binary one, on an engine of either tier.
    ///
    /// # Panics
    /// If it does not compile or link: the modules are the benchmarks' own.
    pub fn new(engine: Engine, module: impl AsRef<[u8]>) -> Deployed {
        let wasm = wat::parse_bytes(module.as_ref()).expect("a well-formed module");
        let module = Module::new(&engine, &wasm).expect("a valid module");
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker, |ctx| ctx);
        let linked = linker.link(&module).expect("imports of preview 1 only");
        let wasi = WasiCtx::builder()
            .arg("bench")
            .template()
            .expect("a plain argument");
        Deployed {
            linked,
            wasi,
            engine,
            _linker: linker,
        }
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
        let run = ["run", "_start"]
            .iter()
            .find_map(|name| instance.func(&store, name))
            .expect("every module exports `run` or is a command");
        Guest { store, run }
    }
}

/// An instance whose export `run` takes a number and gives one, or a command.
pub struct Guest {
    store: Store<WasiCtx>,
    run: Func,
}

impl Guest {
    /// Calls `run`; an `i32` that it answers is extended with its sign.
    ///
    /// # Panics
    /// If the guest traps.
    pub fn run(&mut self, n: i32) -> i64 {
        match self.run.call(&mut self.store, &[Value::I32(n)]).as_deref() {
            Ok([Value::I32(result)]) => i64::from(*result),
            Ok([Value::I64(result)]) => *result,
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
        let guest = |wat| Deployed::new(Engine::default(), wat).instantiate();
        assert_eq!(guest(FIBONACCI).run(20), 6_765);
        assert_eq!(guest(SIEVE).run(10_000), 1_229);
        assert_eq!(guest(SMALL).run(2), 2);
        assert_eq!(guest(CLOCK).run(3), 0);
        assert_eq!(guest(ARGUMENTS).run(3), 0);
        let mut guest = guest(WRITE);
        assert_eq!(guest.run(3), 0);
        assert_eq!(guest.stdout(), b"line\nline\nline\n");
    }

    #[test]
    fn the_real_module_compiles() {
        assert!(Module::new(&Engine::default(), PNG2BMP).is_ok());
    }
}
