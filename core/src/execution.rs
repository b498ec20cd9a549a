//! A run of one function, which can be left and taken up again.
//!
//! The embedder gives a run fuel and gets it back when the guest has finished, failed, used the fuel up, or waits. Nothing
//! of a run lies on the host's stack meanwhile, so a shard can keep thousands of them and choose which one goes on.

use crate::compiler::abi::HOST_SLOTS;
use crate::error::{CallError, RunError};
use crate::exception;
use crate::interp::Exit;
use crate::linker::{Caller, HostError};
use crate::store::{Func, FuncEntity, Store, StoreInner};
use crate::tier::Tier;
use crate::trap::{Trap, TrapReport};
use crate::types::{FuncType, ValType};
use crate::value::Value;
use std::time::Instant;

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The function has returned; [`Execution::results`] has what.
    Finished,
    /// The fuel is used up, or the thread was asked for ([`preempt`](crate::preempt)); the run can go on.
    Preempted,
    /// A host call waits; the run can go on from then.
    Blocked {
        /// When there is something to look at.
        until: Instant,
    },
    /// The guest trapped. The run is over.
    Trapped(TrapReport),
    /// The guest exited. The run is over.
    Exited(u32),
}

/// A run of one function.
#[derive(Debug)]
pub struct Execution {
    func: Func,
    tier: Tier,
    state: State,
    ty: FuncType,
    results: Vec<Value>,
}

#[derive(Debug)]
enum State {
    /// In wasm code.
    Wasm,
    /// Before a call of a host function, its slots from `base` on. `instance` called it, or the embedder.
    Host {
        func: u32,
        base: usize,
        instance: Option<u32>,
    },
    /// Over; how it ended is given again.
    Ended(Step),
}

/// What a host call costs in fuel, beside what it does (see [`Caller::consume_fuel`]).
const HOST_CALL_COST: i64 = 64;

impl Execution {
    /// Prepares a call; nothing runs yet.
    ///
    /// # Errors
    /// [`CallError::Arguments`] where `arguments` are not what the function takes; [`CallError::Host`] where the system
    /// has no room for a stack.
    pub fn new<T>(store: &mut Store<T>, func: Func, arguments: &[Value]) -> Result<Self, CallError> {
        let ty = func.ty(store);
        if !arguments.iter().map(Value::ty).eq(ty.params().iter().copied()) {
            return Err(CallError::Arguments { wanted: ty });
        }
        let inner = &store.inner;
        let mut tier = Tier::new(inner)?;
        Value::write_slots(arguments, inner, tier.slots_mut());
        let number = func.index(inner) as u32;
        let state = match inner.funcs[number as usize] {
            FuncEntity::Host { .. } => State::Host {
                func: number,
                base: 0,
                instance: None,
            },
            FuncEntity::Wasm {
                instance,
                func: defined,
                ..
            } => match tier.enter(inner, instance, defined) {
                Ok(()) => State::Wasm,
                Err(trap) => State::Ended(Step::Trapped(TrapReport {
                    trap,
                    backtrace: Vec::new(),
                })),
            },
        };
        if !matches!(state, State::Ended(_)) {
            store.inner.runs += 1;
        }
        Ok(Self {
            func,
            tier,
            state,
            ty,
            results: Vec::new(),
        })
    }

    /// Goes on until the run is over, waits, has used up `fuel`, or a signal asks for the thread ([`preempt`](crate::preempt)). A unit of fuel is about one instruction of the
    /// interpreter; it is looked at when code jumps backwards or calls, and within straight code every 128 instructions.
    /// Machine code counts as its code generator was told to, and otherwise looks at the fuel only when it calls the host or
    /// the engine. After the run is over, says again how it ended.
    ///
    /// # Panics
    /// If `store` is not the one that the run began in, or a host function returns a function reference that is none.
    pub fn resume<T>(&mut self, store: &mut Store<T>, fuel: u64) -> Step {
        // A run holds numbers of things in its store: in another one they would name a stranger's.
        self.func.index(&store.inner);
        let mut fuel = i64::try_from(fuel).unwrap_or(i64::MAX);
        loop {
            match self.state {
                State::Ended(ref step) => return step.clone(),
                State::Wasm => match self.tier.run(&mut store.inner, fuel) {
                    Exit::Finished => return self.finish(store),
                    Exit::Preempted => return Step::Preempted,
                    Exit::Trapped(report) => return self.end(&mut store.inner, Step::Trapped(report)),
                    Exit::Host { func, base, instance } => {
                        fuel = self.tier.fuel_left();
                        self.state = State::Host {
                            func,
                            base,
                            instance: Some(instance),
                        };
                    }
                },
                State::Host { func, base, instance } => {
                    let (called, cost) = self.call_host(store, func, base, instance);
                    match called {
                        Ok(()) => {}
                        Err(HostError::Block { until }) => return Step::Blocked { until },
                        Err(HostError::Exit(code)) => return self.end(&mut store.inner, Step::Exited(code)),
                        Err(HostError::Trap(trap)) => {
                            let report = self.tier.report(&store.inner, trap);
                            return self.end(&mut store.inner, Step::Trapped(report));
                        }
                    }
                    if instance.is_none() {
                        return self.finish(store);
                    }
                    self.tier.host_returned();
                    self.state = State::Wasm;
                    fuel = fuel.saturating_sub(HOST_CALL_COST).saturating_sub_unsigned(cost);
                    if fuel < 0 {
                        return Step::Preempted;
                    }
                }
            }
        }
    }

    /// What the function returned; empty until [`Step::Finished`].
    pub fn results(&self) -> &[Value] {
        &self.results
    }

    /// Makes the call, and tells what it cost beside its flat price.
    fn call_host<T>(
        &mut self,
        store: &mut Store<T>,
        func: u32,
        base: usize,
        instance: Option<u32>,
    ) -> (Result<(), HostError>, u64) {
        let FuncEntity::Host { host, .. } = store.inner.funcs[func as usize] else {
            unreachable!("only host functions are called here")
        };
        let host = &store.hosts[host as usize];
        let (params, results) = (host.ty.param_slots(), host.ty.result_slots());
        let wanted = params.max(results).max(HOST_SLOTS);
        let Some(slots) = self.tier.host_slots(base, wanted) else {
            return (Err(HostError::Trap(Trap::StackExhausted)), 0);
        };
        // What the host should forget to write is not to show what an earlier run has left there.
        if let Some(unwritten) = slots.get_mut(params..results) {
            unwritten.fill(0);
        }
        let mut caller = Caller {
            store: &mut store.inner,
            data: store.data.as_mut().expect("a run has data"),
            instance,
            cost: 0,
        };
        let called = (host.call)(&mut caller, slots);
        let cost = caller.cost;
        if called.is_ok() {
            assert_references(host.ty.results(), slots, store.inner.funcs.len());
        }
        (called, cost)
    }

    fn finish<T>(&mut self, store: &mut Store<T>) -> Step {
        self.results = Value::read_slots(self.ty.results(), &store.inner, self.tier.slots_mut());
        self.end(&mut store.inner, Step::Finished)
    }

    fn end(&mut self, store: &mut StoreInner, step: Step) -> Step {
        store.runs -= 1;
        exception::reclaim(store);
        self.state = State::Ended(step.clone());
        step
    }
}

/// Guests use references without looking again: what a host function returns as one has to be.
fn assert_references(results: &[ValType], slots: &[u64], funcs: usize) {
    let mut at = 0;
    for ty in results {
        assert!(
            *ty != ValType::FuncRef || slots[at] <= funcs as u64,
            "a host function returns references to functions of the store alone, and not {:#x}",
            slots[at]
        );
        at += ty.slots();
    }
}

impl Func {
    /// Calls the function and runs it to its end, however long that takes, sleeping where it waits.
    ///
    /// # Errors
    /// [`RunError`] where it does not return.
    pub fn call<T>(&self, store: &mut Store<T>, arguments: &[Value]) -> Result<Vec<Value>, RunError> {
        let mut execution = Execution::new(store, *self, arguments)?;
        loop {
            match execution.resume(store, u64::MAX) {
                Step::Finished => return Ok(execution.results),
                Step::Preempted => {}
                Step::Blocked { until } => {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                }
                Step::Trapped(report) => return Err(report.into()),
                Step::Exited(code) => return Err(RunError::Exit(code)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, Limits, Linker, Module, RunError};
    use std::time::Duration;

    fn instance(wat: &str) -> (Store<u32>, crate::Instance) {
        let engine = Engine::default();
        let module = Module::new(&engine, &wat::parse_str(wat).expect("wat")).expect("module");
        let mut store = Store::new(&engine, &Limits::default(), 0);
        let mut linker = Linker::new(&engine);
        linker.func(
            "host",
            "wait",
            FuncType::new([ValType::I32], [ValType::I32]),
            |caller, slots| {
                *caller.data_mut() += 1;
                if *caller.data() < 3 {
                    return Err(HostError::Block {
                        until: Instant::now() + Duration::from_millis(1),
                    });
                }
                slots[0] += 1;
                Ok(())
            },
        );
        linker.func(
            "host",
            "forget",
            FuncType::new([], [ValType::I64, ValType::I64]),
            |_, _| Ok(()),
        );
        let instance = linker.instantiate(&mut store, &module).expect("instance");
        (store, instance)
    }

    const SUM: &str = r#"(module (func (export "sum") (param $n i32) (result i64) (local $s i64)
        (loop $l
          (local.set $s (i64.add (local.get $s) (i64.extend_i32_u (local.get $n))))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $s)))"#;

    #[test]
    fn a_preempted_run_goes_on_where_it_was() {
        let (mut store, instance) = instance(SUM);
        let sum = instance.func(&store, "sum").expect("export");
        let mut run = Execution::new(&mut store, sum, &[Value::I32(10_000)]).expect("arguments");
        let mut slices = 0;
        while run.resume(&mut store, 100) == Step::Preempted {
            slices += 1;
        }
        assert_eq!(run.results(), [Value::I64(50_005_000)]);
        assert!(slices > 100, "{slices}");
        assert_eq!(run.resume(&mut store, 1), Step::Finished);
    }

    #[test]
    fn an_endless_loop_gives_the_core_back() {
        let (mut store, instance) = instance(r#"(module (func (export "spin") (loop (br 0))))"#);
        let spin = instance.func(&store, "spin").expect("export");
        let mut run = Execution::new(&mut store, spin, &[]).expect("arguments");
        for _ in 0..10 {
            assert_eq!(run.resume(&mut store, 1000), Step::Preempted);
        }
    }

    /// Slices of `fuel` that a call of `f` takes.
    fn slices(wat: &str, arguments: &[Value], fuel: u64) -> u32 {
        let (mut store, instance) = instance(wat);
        let f = instance.func(&store, "f").expect("export");
        let mut run = Execution::new(&mut store, f, arguments).expect("arguments");
        let mut slices = 1;
        loop {
            match run.resume(&mut store, fuel) {
                Step::Preempted => slices += 1,
                Step::Finished => return slices,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri would take minutes for so much code")]
    fn straight_code_pays_for_its_length() {
        let long = "(local.set 0 (i32.mul (local.get 0) (i32.const 3)))".repeat(10_000);
        let wat = format!(r#"(module (func (export "f") (param i32) {long}))"#);
        assert!(slices(&wat, &[Value::I32(1)], 1000) >= 9);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri would take minutes for so much code")]
    fn no_path_jumps_past_what_it_has_to_pay() {
        // What is skipped is of all lengths, so that payments for the code in its order would often lie there.
        let block = |length| {
            let skipped = "(local.set 0 (i32.mul (local.get 0) (i32.const 3)))".repeat(length);
            format!("(block (br_if 0 (local.get 0)) {skipped}) (if (local.get 0) (then) (else {skipped}))")
        };
        let blocks: String = (0..2000).map(|i| block(i % 140)).collect();
        let wat = format!(r#"(module (func (export "f") (param i32) {blocks}))"#);
        assert!(slices(&wat, &[Value::I32(1)], 256) >= 4000 / 256);
    }

    #[test]
    fn a_call_into_another_instance_pays_for_its_locals() {
        let engine = Engine::default();
        let compile = |wat: &str| Module::new(&engine, &wat::parse_str(wat).expect("wat")).expect("module");
        let locals = "i64 ".repeat(10_000);
        let callee = compile(&format!(r#"(module (func (export "g") (local {locals})))"#));
        let caller = compile(
            r#"(module (import "callee" "g" (func $g)) (func (export "f") (call $g) (call $g) (call $g)))"#,
        );
        let mut store = Store::new(&engine, &Limits::default(), ());
        let mut linker = Linker::new(&engine);
        let callee = linker.instantiate(&mut store, &callee).expect("instance");
        linker.define_instance(&store, "callee", callee);
        let caller = linker.instantiate(&mut store, &caller).expect("instance");
        let f = caller.func(&store, "f").expect("export");
        let mut run = Execution::new(&mut store, f, &[]).expect("arguments");
        for _ in 0..3 {
            assert_eq!(run.resume(&mut store, 1000), Step::Preempted);
        }
        assert_eq!(run.resume(&mut store, 1000), Step::Finished);
    }

    #[test]
    fn a_waiting_host_call_is_made_again_with_its_arguments() {
        let (mut store, instance) = instance(
            r#"(module (import "host" "wait" (func $wait (param i32) (result i32)))
                 (func (export "f") (result i32) (i32.mul (call $wait (i32.const 20)) (i32.const 2))))"#,
        );
        let f = instance.func(&store, "f").expect("export");
        let mut run = Execution::new(&mut store, f, &[]).expect("arguments");
        assert!(matches!(run.resume(&mut store, 1000), Step::Blocked { .. }));
        assert!(matches!(run.resume(&mut store, 1000), Step::Blocked { .. }));
        assert_eq!(run.resume(&mut store, 1000), Step::Finished);
        assert_eq!(run.results(), [Value::I32(42)]);
    }

    #[test]
    fn a_trap_names_the_functions_that_were_active() {
        let (mut store, instance) = instance(
            r#"(module (func $inner (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
                 (func $outer (export "outer") (result i32) (call $inner (i32.const 0))))"#,
        );
        let outer = instance.func(&store, "outer").expect("export");
        let Err(RunError::Trap(report)) = outer.call(&mut store, &[]) else {
            panic!("a trap")
        };
        assert_eq!(report.to_string(), "integer divide by zero in `inner`");
        let names: Vec<_> = report
            .backtrace
            .iter()
            .map(|frame| frame.name.as_deref())
            .collect();
        assert_eq!(names, [Some("inner"), Some("outer")]);
    }

    #[test]
    fn a_trap_of_an_exported_import_names_no_function() {
        let (mut store, _) = instance("(module (func unreachable))");
        let engine = store.inner.engine.clone();
        let wasm = wat::parse_str(
            r#"(module (import "host" "trap" (func $trap)) (export "f" (func $trap)) (func unreachable))"#,
        );
        let module = Module::new(&engine, &wasm.expect("wat")).expect("module");
        let mut linker = Linker::new(&engine);
        linker.func("host", "trap", FuncType::new([], []), |_, _| {
            Err(Trap::Unreachable.into())
        });
        let instance = linker.instantiate(&mut store, &module).expect("instance");
        let f = instance.func(&store, "f").expect("export");
        let Err(RunError::Trap(report)) = f.call(&mut store, &[]) else {
            panic!("a trap")
        };
        assert_eq!(report.backtrace, []);
    }

    #[test]
    fn a_result_that_the_host_forgets_is_zero() {
        let (mut store, instance) = instance(
            r#"(module (import "host" "forget" (func $forget (result i64 i64)))
                 (func $dirty (param i64 i64 i64 i64))
                 (func (export "f") (result i64 i64)
                   (call $dirty (i64.const -1) (i64.const -1) (i64.const -1) (i64.const -1))
                   (call $forget)))"#,
        );
        let f = instance.func(&store, "f").expect("export");
        let results = f.call(&mut store, &[]).expect("results");
        assert_eq!(results, [Value::I64(0), Value::I64(0)]);
    }

    #[test]
    fn a_reference_that_the_host_makes_up_is_found_out() {
        let engine = Engine::default();
        let wasm = wat::parse_str(
            r#"(module (import "host" "forge" (func $forge (param i64) (result i64 funcref i32)))
                 (table (export "t") 1 funcref)
                 (func (export "f") (param i64) (local funcref)
                   (call $forge (local.get 0)) (drop) (local.set 1) (drop)
                   (table.set (i32.const 0) (local.get 1))))"#,
        );
        let module = Module::new(&engine, &wasm.expect("wat")).expect("module");
        let mut linker = Linker::new(&engine);
        let ty = FuncType::new([ValType::I64], [ValType::I64, ValType::FuncRef, ValType::I32]);
        linker.func("host", "forge", ty, |_, slots| {
            slots[1] = slots[0];
            Ok(())
        });
        let mut store = Store::new(&engine, &Limits::default(), ());
        let instance = linker.instantiate(&mut store, &module).expect("instance");
        let f = instance.func(&store, "f").expect("export");
        // The store has two functions, and a reference is one more than its number.
        for (reference, good) in [
            (0, true),
            (2, true),
            (3, false),
            (-1, false),
            (1 << 32 | 1, false),
        ] {
            let call = std::panic::AssertUnwindSafe(|| f.call(&mut store, &[Value::I64(reference)]));
            assert_eq!(std::panic::catch_unwind(call).is_ok(), good, "{reference}");
        }
    }

    #[test]
    fn a_run_knows_its_store() {
        let (mut store, instance) = instance(SUM);
        let (mut other, _) = self::instance(SUM);
        let sum = instance.func(&store, "sum").expect("export");
        let mut run = Execution::new(&mut store, sum, &[Value::I32(1000)]).expect("arguments");
        assert_eq!(run.resume(&mut store, 100), Step::Preempted);
        let resumed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.resume(&mut other, 100)));
        assert!(resumed.is_err());
    }

    #[test]
    fn endless_recursion_is_a_trap() {
        let (mut store, instance) = instance(r#"(module (func $f (export "f") (call $f)))"#);
        let f = instance.func(&store, "f").expect("export");
        let Err(RunError::Trap(report)) = f.call(&mut store, &[]) else {
            panic!("a trap")
        };
        assert_eq!(report.trap, Trap::StackExhausted);
        assert_eq!(report.backtrace.len(), TrapReport::MAX_FRAMES);
    }

    #[test]
    fn locals_start_as_zero_on_a_used_stack() {
        let (mut store, instance) = instance(
            r#"(module
                 (func $dirty (result i64) (local i64 i64) (local.set 0 (i64.const -1)) (local.set 1 (i64.const -1)) (local.get 0))
                 (func $clean (result i64) (local i64 i64) (i64.or (local.get 0) (local.get 1)))
                 (func (export "f") (result i64) (drop (call $dirty)) (call $clean)))"#,
        );
        let f = instance.func(&store, "f").expect("export");
        assert_eq!(f.call(&mut store, &[]).expect("a result"), [Value::I64(0)]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn bulk_copies_go_on_after_preemption() {
        let (mut store, instance) = instance(
            r#"(module (memory (export "m") 8)
                 (func (export "up") (memory.copy (i32.const 1) (i32.const 0) (i32.const 300000)))
                 (func (export "down") (memory.copy (i32.const 0) (i32.const 1) (i32.const 300000))))"#,
        );
        let Some(crate::Extern::Memory(memory)) = instance.export(&store, "m") else {
            panic!("a memory")
        };
        for (i, byte) in memory.data_mut(&mut store).iter_mut().enumerate() {
            *byte = (i % 251) as u8;
        }
        let before = memory.data(&store).to_vec();
        for name in ["up", "down"] {
            let func = instance.func(&store, name).expect("export");
            let mut run = Execution::new(&mut store, func, &[]).expect("arguments");
            let mut slices = 0;
            while run.resume(&mut store, 10) == Step::Preempted {
                slices += 1;
            }
            assert!(slices >= 3, "{slices}");
            if name == "up" {
                assert_eq!(memory.data(&store)[1..300_001], before[..300_000]);
            }
        }
        assert_eq!(memory.data(&store)[..300_000], before[..300_000]);
    }
}
