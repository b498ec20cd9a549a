//! What happens to a store while runs of machine code wait in it.
//!
//! A run that has left holds addresses: of its frames, of contexts, of the code that it goes on in. Meanwhile the
//! store's arenas grow and move, by instances that are made and by other runs. Whatever code takes up again must find
//! things where they are now, in whichever thread it goes on.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use luge_core::compiler::BoundsStrategy;
use luge_core::{
    Caller, Engine, EngineConfig, Execution, Func, FuncType, HostError, Instance, Limits, Linker, Module,
    Step, Store, ValType, Value,
};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

fn engine(bounds: BoundsStrategy) -> Engine {
    let options = BaselineOptions {
        bounds,
        fuel: true,
        positions: false,
        cpu: CpuFeatures::detect().unwrap_or(CpuFeatures::BASELINE),
    };
    Engine::new(EngineConfig {
        compiler: Some(Arc::new(Baseline::new(options))),
        ..EngineConfig::default()
    })
}

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, &wat::parse_str(text).expect("wat")).expect("module")
}

/// A linker whose `host.wait` gives its argument plus 1 once the store's data are true.
fn linker(engine: &Engine) -> Linker<bool> {
    let mut linker = Linker::new(engine);
    let ty = FuncType::new([ValType::I32], [ValType::I32]);
    let wait = |caller: &mut Caller<'_, bool>, slots: &mut [u64]| {
        if !*caller.data() {
            return Err(HostError::Block {
                until: Instant::now(),
            });
        }
        slots[0] += 1;
        Ok(())
    };
    linker.func("host", "wait", ty, wait);
    linker
}

fn func(store: &Store<bool>, instance: Instance, name: &str) -> Func {
    instance.func(store, name).expect("export")
}

/// A guest that looks at all that can move: `work` adds up its table's functions, its global and its memory `n` times,
/// `wait` does the same once, after the host function has let it, and `grow` makes table and memory larger.
const GUEST: &str = r#"(module
    (import "host" "wait" (func $wait (param i32) (result i32)))
    (type $get (func (param i32) (result i32)))
    (memory 1 100) (table $t 3 1000000 funcref) (global $g (mut i32) (i32.const 5)) (global $v (mut v128) (v128.const i32x4 1 2 3 4))
    (elem (i32.const 0) $double $triple $wait)
    (func $double (type $get) (i32.mul (local.get 0) (i32.const 2)))
    (func $triple (type $get) (i32.mul (local.get 0) (i32.const 3)))
    (func $look (param $i i32) (result i32)
      (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 7))
      (i32.add
        (i32.add (call_indirect $t (type $get) (i32.const 10) (i32.and (local.get $i) (i32.const 1))) (global.get $g))
        (i32.add (i32x4.extract_lane 3 (global.get $v))
          (i32.load (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4))))))
    (func (export "work") (param $n i32) (result i32) (local $sum i32)
      (loop $again
        (local.set $sum (i32.add (local.get $sum) (call $look (local.get $n))))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $sum))
    (func (export "wait") (param $n i32) (result i32)
      (i32.add (call_indirect $t (type $get) (local.get $n) (i32.const 2)) (call $look (i32.const 0))))
    (func (export "grow") (param i32) (result i32)
      (drop (memory.grow (i32.const 1)))
      (table.grow $t (ref.func $double) (local.get 0))))"#;

/// What `work` gives for an even number: 20 and 30 in turn, 5, 4 and 7.
fn worked(n: i32) -> Value {
    Value::I32(n * 25 + n * 16)
}

#[test]
fn runs_go_on_in_a_store_that_has_moved_under_them() {
    for bounds in [BoundsStrategy::Guard, BoundsStrategy::Software] {
        let engine = engine(bounds);
        let (linker, guest) = (linker(&engine), module(&engine, GUEST));
        let mut store = Store::new(&engine, &Limits::default(), false);
        let instance = linker.instantiate(&mut store, &guest).expect("instance");
        let (work, wait, grow) = (
            func(&store, instance, "work"),
            func(&store, instance, "wait"),
            func(&store, instance, "grow"),
        );
        let mut waiting = Execution::new(&mut store, wait, &[Value::I32(41)]).expect("run");
        assert!(matches!(waiting.resume(&mut store, 10_000), Step::Blocked { .. }));
        let mut working = Execution::new(&mut store, work, &[Value::I32(1000)]).expect("run");
        let mut others = Vec::new();
        while working.resume(&mut store, 100) == Step::Preempted {
            if others.len() < 40 {
                // Arenas of functions, tables, memories, globals and instances grow; then the table and the memory do.
                let other = linker.instantiate(&mut store, &guest).expect("instance");
                let work = func(&store, other, "work");
                let mut run = Execution::new(&mut store, work, &[Value::I32(100)]).expect("run");
                assert_eq!(run.resume(&mut store, 100), Step::Preempted);
                others.push(run);
                grow.call(&mut store, &[Value::I32(5000)]).expect("room");
            }
        }
        assert_eq!((working.results(), others.len()), (&[worked(1000)][..], 40));
        for mut run in others {
            assert_eq!(run.resume(&mut store, 1 << 30), Step::Finished);
            assert_eq!(run.results(), [worked(100)]);
        }
        *store.data_mut() = true;
        assert_eq!(waiting.resume(&mut store, 10_000), Step::Finished);
        assert_eq!(waiting.results(), [Value::I32(42 + 20 + 16)]);
    }
}

#[test]
fn a_run_outlives_every_other_owner_of_its_code() {
    let engine = engine(BoundsStrategy::Guard);
    let guest = module(&engine, GUEST);
    let mut store = Store::new(&engine, &Limits::default(), true);
    let instance = linker(&engine).instantiate(&mut store, &guest).expect("instance");
    let work = func(&store, instance, "work");
    let mut run = Execution::new(&mut store, work, &[Value::I32(100)]).expect("run");
    assert_eq!(run.resume(&mut store, 100), Step::Preempted);
    drop((guest, engine));
    // Whatever is published now would lie where the run's code was, had it been given back.
    let another = self::engine(BoundsStrategy::Guard);
    let _others: Vec<_> = (0..20).map(|_| module(&another, GUEST)).collect();
    assert_eq!(run.resume(&mut store, 1 << 30), Step::Finished);
    assert_eq!(run.results(), [worked(100)]);
    // And the other way round: a run whose store is gone is memory to be given back, nothing more.
    let mut left = Execution::new(&mut store, work, &[Value::I32(100)]).expect("run");
    assert_eq!(left.resume(&mut store, 100), Step::Preempted);
    drop(store);
    drop(left);
}

#[test]
fn runs_are_passed_from_thread_to_thread() {
    const RUNS: usize = 64;
    let engine = engine(BoundsStrategy::Guard);
    let (linker, guest) = (linker(&engine), module(&engine, GUEST));
    let fault = module(
        &engine,
        r#"(module (func (export "f") (drop (i32.div_u (i32.const 1) (i32.const 0)))))"#,
    );
    let runs = (0..RUNS).map(|_| {
        let mut store = Store::new(&engine, &Limits::default(), true);
        let instance = linker.instantiate(&mut store, &guest).expect("instance");
        let work = func(&store, instance, "work");
        let run = Execution::new(&mut store, work, &[Value::I32(300)]).expect("run");
        (store, run)
    });
    let queue: Mutex<VecDeque<_>> = Mutex::new(runs.collect());
    let finished = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut store = Store::new(&engine, &Limits::default(), true);
                let instance = linker.instantiate(&mut store, &fault).expect("instance");
                let f = func(&store, instance, "f");
                loop {
                    let next = queue.lock().expect("no panic").pop_front();
                    let Some((mut its_store, mut run)) = next else {
                        break;
                    };
                    // A fault of this thread's own between two slices of a stranger's run.
                    assert!(f.call(&mut store, &[]).is_err());
                    match run.resume(&mut its_store, 200) {
                        Step::Preempted => queue.lock().expect("no panic").push_back((its_store, run)),
                        Step::Finished => {
                            assert_eq!(run.results(), [worked(300)]);
                            *finished.lock().expect("no panic") += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    assert_eq!(finished.into_inner().expect("no panic"), RUNS);
}

#[test]
fn thousands_of_runs_wait_in_one_thread() {
    let engine = engine(BoundsStrategy::Guard);
    let (linker, guest) = (linker(&engine), module(&engine, GUEST));
    let limits = Limits {
        stack_bytes: 16 << 10,
        ..Limits::default()
    };
    let mut store = Store::new(&engine, &limits, false);
    let instance = linker.instantiate(&mut store, &guest).expect("instance");
    let wait = func(&store, instance, "wait");
    let mut runs: Vec<_> = (0..3000)
        .map(|n| Execution::new(&mut store, wait, &[Value::I32(n)]).expect("run"))
        .collect();
    for run in &mut runs {
        assert!(matches!(run.resume(&mut store, 10_000), Step::Blocked { .. }));
    }
    *store.data_mut() = true;
    for (run, n) in runs.iter_mut().zip(0..3000).rev() {
        assert_eq!(run.resume(&mut store, 10_000), Step::Finished);
        assert_eq!(run.results(), [Value::I32(n + 1 + 20 + 16)]);
    }
}
