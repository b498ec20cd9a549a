//! The adapter between these functions and the engine's linker: the one file here that knows the engine.
//!
//! ```text
//! Ok            slot 0 holds the errno          Stop::Exit    HostError::Exit
//! Stop::Block   HostError::Block                Stop::Fault   HostError::Trap, the fault kept in the context
//! ```
//!
//! What a call costs beyond the flat price of a host call, the context says ([`WasiCtx::take_cost`]): fuel is what the
//! embedder measures a slice by, and a call may work for as long as many thousand instructions do.
//!
//! A host that ends a run does so with a trap of its own, so that there is a backtrace; [`WasiCtx::fault`] says what the
//! matter was.

use super::ctx::WasiCtx;
use super::function::{MODULE, SlotType, WasiFunction};
use super::outcome::Stop;
use crate::{FuncType, HostError, Linker, Trap, ValType};

/// Provides all of preview 1 to the modules of `linker`. `context` finds the WASI state in the data of a store.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    context: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
) {
    let types = |slots: &[SlotType]| -> Vec<ValType> { slots.iter().copied().map(value_type).collect() };
    for function in WasiFunction::ALL.iter().copied() {
        let ty = FuncType::new(types(function.params()), types(function.results()));
        linker.func(MODULE, function.name(), ty, move |caller, slots| {
            let (data, memory) = caller.data_and_memory();
            let ctx = context(data);
            let called = function
                .call(ctx, memory.unwrap_or_default(), slots)
                .map_err(|stop| host_error(ctx, stop));
            let cost = ctx.take_cost();
            caller.consume_fuel(cost);
            called
        });
    }
}

fn value_type(slot: SlotType) -> ValType {
    match slot {
        SlotType::I32 => ValType::I32,
        SlotType::I64 => ValType::I64,
    }
}

fn host_error(ctx: &mut WasiCtx, stop: Stop) -> HostError {
    match stop {
        Stop::Exit(code) => HostError::Exit(code),
        Stop::Block { until } => HostError::Block { until },
        Stop::Fault(fault) => {
            ctx.fault = Some(fault);
            HostError::Trap(Trap::HostAborted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::{Fault, Output, OutputOverflow, OutputStream};
    use crate::{Engine, Execution, Extern, Limits, Module, RunError, Step, Store, Value};

    /// Runs `_start` of a module with one page of memory and these functions imported.
    fn run(builder: crate::wasi::WasiBuilder, body: &str) -> (Result<(), RunError>, WasiCtx) {
        let wat = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
                (memory (export "memory") 1)
                (data (i32.const 64) "\60\00\00\00\05\00\00\00")
                (data (i32.const 96) "hello")
                (func (export "_start") {body}))"#
        );
        let engine = Engine::default();
        let module = Module::new(&engine, &wat::parse_str(wat).unwrap()).unwrap();
        let mut linker = Linker::<WasiCtx>::new(&engine);
        add_to_linker(&mut linker, |ctx| ctx);
        let mut store = Store::new(&engine, &Limits::default(), builder.build().unwrap());
        let instance = linker.link(&module).unwrap().instantiate(&mut store).unwrap();
        let start = instance.func(&store, "_start").unwrap();
        let ended = start.call(&mut store, &[]).map(|_| ());
        (ended, store.into_data())
    }

    fn with_output(limit: usize) -> crate::wasi::WasiBuilder {
        WasiCtx::builder()
            .stdout(Output::Buffer { limit })
            .output_overflow(OutputOverflow::Stop)
    }

    const WRITE: &str = "(drop (call $fd_write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0)))";

    #[test]
    fn a_guest_writes_and_exits_with_its_code() {
        let (ended, ctx) = run(
            with_output(100),
            &format!("{WRITE} (call $proc_exit (i32.const -1))"),
        );
        assert!(matches!(ended, Err(RunError::Exit(u32::MAX))), "{ended:?}");
        assert_eq!(ctx.stdout(), b"hello");
        assert_eq!(ctx.fault(), None);
    }

    #[test]
    fn a_flood_traps_and_the_context_says_why() {
        let (ended, ctx) = run(with_output(7), &format!("(loop {WRITE} (br 0))"));
        assert!(matches!(ended, Err(RunError::Trap(_))), "{ended:?}");
        assert_eq!(ctx.stdout(), b"hellohe");
        let fault = Fault::OutputLimit {
            stream: OutputStream::Stdout,
            limit: 7,
        };
        assert_eq!(ctx.fault(), Some(fault));
    }

    #[test]
    fn a_sleeping_guest_goes_on_after_its_sleep_and_sleeps_again() {
        let sleep =
            "(i32.store (i32.const 1040) (i32.const 1)) (i64.store (i32.const 1048) (i64.const 1000000))
             (if (call $poll (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 4096))
                (then (call $proc_exit (i32.const 1))))
             (if (i32.ne (i32.load (i32.const 4096)) (i32.const 1)) (then (call $proc_exit (i32.const 2))))
             (i32.store (i32.const 4096) (i32.const 0))";
        let before = std::time::Instant::now();
        let (ended, ctx) = run(with_output(100), &format!("{sleep} {sleep} {WRITE}"));
        assert!(ended.is_ok(), "{ended:?}");
        assert!(before.elapsed() >= std::time::Duration::from_millis(2));
        assert_eq!(ctx.stdout(), b"hello");
    }

    /// How many calls of an imported function a run makes, one after the other, before it has used up `fuel`.
    fn calls_within(fuel: u64, body: &str) -> u64 {
        let wat = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
                (memory 2)
                (global $calls (export "calls") (mut i64) (i64.const 0))
                (data (i32.const 64) "\00\01\00\00\00\f0\00\00")
                (func (export "_start")
                    (loop (drop {body})
                        (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
                        (br 0))))"#
        );
        let engine = Engine::default();
        let module = Module::new(&engine, &wat::parse_str(wat).unwrap()).unwrap();
        let mut linker = Linker::<WasiCtx>::new(&engine);
        add_to_linker(&mut linker, |ctx| ctx);
        let ctx = WasiCtx::builder().build().unwrap();
        let mut store = Store::new(&engine, &Limits::default(), ctx);
        let instance = linker.link(&module).unwrap().instantiate(&mut store).unwrap();
        let start = instance.func(&store, "_start").unwrap();
        let mut run = Execution::new(&mut store, start, &[]).unwrap();
        assert!(matches!(run.resume(&mut store, fuel), Step::Preempted));
        let Some(Extern::Global(calls)) = instance.export(&store, "calls") else {
            panic!("the module exports its count");
        };
        match calls.get(&store) {
            Value::I64(calls) => calls.cast_unsigned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_dear_call_uses_up_fuel_as_the_instructions_would_that_take_as_long() {
        let fuel = 100_000;
        let free = calls_within(fuel, "(call $sched_yield)");
        assert!(free > 1000, "{free}");
        let random = calls_within(fuel, "(call $random_get (i32.const 0) (i32.const 65536))");
        assert!(random <= 2, "{random} times 64 KiB of random bytes");
        let written = "(call $fd_write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0))";
        let written = calls_within(fuel, written);
        assert!(written <= 27, "{written} times 60 KiB of output");
    }
}
