//! Runs of machine code, from a code generator whose functions are written by hand: see [`assembled`].

mod assembled;
mod steps;

use crate::{
    CallError, Engine, EngineConfig, Execution, Func, FuncType, HostError, Instance, Limits, Linker, Module,
    RunError, Step, Store, Trap, TrapReport, ValType, Value,
};
use assembled::Assembled;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// An engine whose modules' functions have these names.
fn engine(functions: &[&'static str]) -> Engine {
    Engine::new(EngineConfig {
        compiler: Some(Arc::new(Assembled(functions.to_vec()))),
        ..EngineConfig::default()
    })
}

fn module(engine: &Engine, wat: &str) -> Module {
    Module::new(engine, &wat::parse_str(wat).expect("wat")).expect("module")
}

/// A linker with functions of the host's, and a store that counts the calls of `wait`.
fn linker(engine: &Engine) -> Linker<u32> {
    let mut linker = Linker::new(engine);
    let ty = FuncType::new([ValType::I32], [ValType::I32]);
    linker.func("host", "double", ty.clone(), |caller, slots| {
        assert!(slots.len() >= 16);
        if let Some(memory) = caller.memory() {
            memory[0] = 1;
        }
        slots[0] *= 2;
        Ok(())
    });
    linker.func("host", "wait", ty.clone(), |caller, slots| {
        *caller.data_mut() += 1;
        if *caller.data() < 3 {
            return Err(HostError::Block {
                until: Instant::now() + Duration::from_millis(1),
            });
        }
        slots[0] += 1;
        Ok(())
    });
    linker.func("host", "trap", ty.clone(), |_, _| Err(Trap::HostAborted.into()));
    linker.func("host", "exit", ty.clone(), |_, _| Err(HostError::Exit(3)));
    linker.func("host", "panic", ty, |_, _| panic!("a mistake of the embedder's"));
    linker
}

/// An instance of `wat`, whose functions are `functions`.
fn instance(functions: &[&'static str], wat: &str) -> (Store<u32>, Instance) {
    let engine = engine(functions);
    let module = module(&engine, wat);
    let mut store = Store::new(&engine, &Limits::default(), 0);
    let instance = linker(&engine)
        .instantiate(&mut store, &module)
        .expect("instance");
    (store, instance)
}

/// A module with one memory and a function `f` of two parameters.
const PLAIN: &str =
    r#"(module (memory (export "m") 1 20) (func (export "f") (param i32 i32) (result i32) unreachable))"#;

fn func(store: &Store<u32>, instance: Instance, name: &str) -> Func {
    instance.func(store, name).expect("export")
}

/// Calls function `name` of [`PLAIN`].
fn call(name: &'static str, a: i32, b: i32) -> Result<Vec<Value>, RunError> {
    let (mut store, instance) = instance(&[name], PLAIN);
    func(&store, instance, "f").call(&mut store, &[a.into(), b.into()])
}

fn trap(result: Result<Vec<Value>, RunError>) -> TrapReport {
    match result {
        Err(RunError::Trap(report)) => report,
        other => panic!("a trap, not {other:?}"),
    }
}

fn indices(report: &TrapReport) -> Vec<u32> {
    report.backtrace.iter().map(|frame| frame.func_index).collect()
}

#[test]
fn code_takes_arguments_and_returns() {
    assert_eq!(call("answer", 0, 0).expect("result"), [Value::I32(42)]);
    assert_eq!(call("add", 40, -2).expect("result"), [Value::I32(38)]);
    assert!(matches!(
        {
            let (mut store, instance) = instance(&["add"], PLAIN);
            func(&store, instance, "f").call(&mut store, &[])
        },
        Err(RunError::Call(CallError::Arguments { .. }))
    ));
}

#[test]
fn vectors_lie_in_two_slots() {
    let (mut store, instance) = instance(
        &["swap_halves"],
        r#"(module (func (export "f") (param v128) (result v128) unreachable))"#,
    );
    let results = func(&store, instance, "f").call(&mut store, &[Value::V128(1 | 2 << 64)]);
    assert_eq!(results.expect("results"), [Value::V128(2 | 1 << 64)]);
}

#[test]
fn faults_are_traps() {
    assert_eq!(call("load", 65_532, 0).expect("result"), [Value::I32(0)]);
    for address in [65_533, 65_536, i32::MAX, -1] {
        assert_eq!(trap(call("load", address, 0)).trap, Trap::MemoryOutOfBounds);
    }
    assert_eq!(call("divide", 7, 2).expect("result"), [Value::I32(3)]);
    assert_eq!(trap(call("divide", 7, 0)).trap, Trap::IntegerDivideByZero);
    assert_eq!(trap(call("unreachable", 0, 0)).trap, Trap::Unreachable);
}

#[test]
fn a_trap_leaves_the_store_as_it_was() {
    let (mut store, instance) = instance(&["divide"], PLAIN);
    let f = func(&store, instance, "f");
    for _ in 0..100 {
        assert!(f.call(&mut store, &[1.into(), 0.into()]).is_err());
        let results = f.call(&mut store, &[9.into(), 3.into()]);
        assert_eq!(results.expect("results"), [Value::I32(3)]);
    }
}

#[test]
fn a_trap_names_the_functions_that_were_active() {
    let (mut store, instance) = instance(
        &["unreachable", "outer"],
        r#"(module (func $inner) (func $outer (export "f")))"#,
    );
    let report = trap(func(&store, instance, "f").call(&mut store, &[]));
    assert_eq!(report.to_string(), "unreachable in `inner`");
    assert_eq!(indices(&report), [0, 1]);
}

#[test]
fn a_trap_of_the_engine_names_them_too() {
    let (mut store, instance) = instance(
        &["table_get"],
        r#"(module (table 3 externref) (func (export "f") (param i32) (result i32) unreachable))"#,
    );
    let f = func(&store, instance, "f");
    assert_eq!(f.call(&mut store, &[2.into()]).expect("result"), [Value::I32(0)]);
    let report = trap(f.call(&mut store, &[3.into()]));
    assert_eq!((report.trap, indices(&report)), (Trap::TableOutOfBounds, vec![0]));
}

#[test]
fn exhausted_stacks_are_traps() {
    let report = trap(call("recurse", 0, 0));
    assert_eq!(report.trap, Trap::StackExhausted);
    assert_eq!(indices(&report), [0; TrapReport::MAX_FRAMES]);
    // Code that forgets to compare runs into the guard.
    assert_eq!(trap(call("smash", 0, 0)).trap, Trap::StackExhausted);
}

#[test]
fn a_smaller_stack_is_exhausted_sooner() {
    let engine = engine(&["recurse"]);
    let module = module(&engine, PLAIN);
    for stack_bytes in [0, 1000, 1 << 16] {
        let limits = Limits {
            stack_bytes,
            ..Limits::default()
        };
        let mut store = Store::new(&engine, &limits, 0);
        let instance = linker(&engine)
            .instantiate(&mut store, &module)
            .expect("instance");
        let report = trap(func(&store, instance, "f").call(&mut store, &[0.into(), 0.into()]));
        assert_eq!(report.trap, Trap::StackExhausted);
    }
}

#[test]
fn code_sees_what_the_engine_has_grown() {
    let (mut store, instance) = instance(&["grow"], PLAIN);
    let f = func(&store, instance, "f");
    for pages in 2..=20 {
        let results = f.call(&mut store, &[1.into(), 0.into()]).expect("results");
        assert_eq!(results, [Value::I32(pages * 65_536)]);
    }
    let results = f.call(&mut store, &[1.into(), 0.into()]).expect("results");
    assert_eq!(results, [Value::I32(20 * 65_536)]);
}

#[test]
fn code_sees_a_table_that_has_moved() {
    let (mut store, instance) = instance(
        &["table_grow"],
        r#"(module (table 1 externref) (func (export "f") (param i32) (result i32) unreachable))"#,
    );
    let f = func(&store, instance, "f");
    for _ in 0..20 {
        let results = f.call(&mut store, &[1000.into()]).expect("results");
        assert_eq!(results, [Value::I32(9)]);
    }
}

#[test]
fn globals_are_where_the_embedder_sees_them() {
    let (mut store, instance) = instance(
        &["global_add"],
        r#"(module (memory 1) (global (export "g") (mut i32) (i32.const 5))
             (func (export "f") (param i32) (result i32) unreachable))"#,
    );
    let f = func(&store, instance, "f");
    let Some(crate::Extern::Global(global)) = instance.export(&store, "g") else {
        panic!("a global")
    };
    assert_eq!(f.call(&mut store, &[2.into()]).expect("result"), [Value::I32(7)]);
    // More of them move those that were there.
    let ty = global.ty(&store);
    for _ in 0..100 {
        crate::Global::new(&mut store, ty, Value::I32(0));
    }
    global.set(&mut store, Value::I32(20));
    assert_eq!(f.call(&mut store, &[2.into()]).expect("result"), [Value::I32(22)]);
    assert_eq!(global.get(&store), Value::I32(22));
}

#[test]
fn bulk_work_goes_on_after_preemption() {
    let (mut store, instance) = instance(&["fill"], PLAIN.replace("1 20", "16").as_str());
    let f = func(&store, instance, "f");
    let mut run = Execution::new(&mut store, f, &[1_048_576.into(), 0.into()]).expect("arguments");
    let mut slices = 0;
    while run.resume(&mut store, 10) == Step::Preempted {
        slices += 1;
    }
    assert_eq!(run.results(), [Value::I32(7)]);
    assert!(slices >= 15, "{slices}");
    assert_eq!(run.resume(&mut store, 10), Step::Finished);
    let report = trap(f.call(&mut store, &[1_048_577.into(), 0.into()]));
    assert_eq!(report.trap, Trap::MemoryOutOfBounds);
}

/// A module that imports `host`.`name` and calls it.
fn importing(name: &str) -> String {
    format!(
        r#"(module (import "host" "{name}" (func $i (param i32) (result i32))) (memory (export "m") 1)
             (export "i" (func $i)) (func $f (export "f") (param i32) (result i32) unreachable))"#
    )
}

#[test]
fn code_calls_the_host() {
    let (mut store, instance) = instance(&["call_import"], &importing("double"));
    let results = func(&store, instance, "f").call(&mut store, &[20.into()]);
    assert_eq!(results.expect("results"), [Value::I32(41)]);
    let Some(crate::Extern::Memory(memory)) = instance.export(&store, "m") else {
        panic!("a memory")
    };
    assert_eq!(
        memory.data(&store)[0],
        1,
        "the host function saw its caller's memory"
    );
    // The embedder can call the host's function by its export, without code.
    let results = func(&store, instance, "i").call(&mut store, &[20.into()]);
    assert_eq!(results.expect("results"), [Value::I32(40)]);
}

#[test]
fn a_waiting_host_call_is_made_again_with_its_arguments() {
    let (mut store, instance) = instance(&["call_import"], &importing("wait"));
    let f = func(&store, instance, "f");
    let mut run = Execution::new(&mut store, f, &[20.into()]).expect("arguments");
    assert!(matches!(run.resume(&mut store, 1000), Step::Blocked { .. }));
    assert!(matches!(run.resume(&mut store, 1000), Step::Blocked { .. }));
    // A host call costs more than this.
    assert_eq!(run.resume(&mut store, 1), Step::Preempted);
    assert_eq!(run.resume(&mut store, 1), Step::Finished);
    assert_eq!(run.results(), [Value::I32(22)]);
}

#[test]
fn a_host_function_may_end_the_run() {
    let (mut store, instance) = instance(&["call_import"], &importing("trap"));
    let report = trap(func(&store, instance, "f").call(&mut store, &[0.into()]));
    assert_eq!((report.trap, indices(&report)), (Trap::HostAborted, vec![1]));
    let (mut store, instance) = self::instance(&["call_import"], &importing("exit"));
    let exit = func(&store, instance, "f").call(&mut store, &[0.into()]);
    assert!(matches!(exit, Err(RunError::Exit(3))));
}

#[test]
fn a_panic_of_a_host_function_unwinds_to_the_embedder() {
    let (mut store, instance) = instance(&["call_import"], &importing("panic"));
    let f = func(&store, instance, "f");
    let call = std::panic::AssertUnwindSafe(|| f.call(&mut store, &[0.into()]));
    assert!(std::panic::catch_unwind(call).is_err());
}

#[test]
fn instances_call_each_other() {
    let engine = engine(&["global_add"]);
    let callee = module(
        &engine,
        r#"(module (memory 1) (global (mut i32) (i32.const 100))
             (func (export "g") (param i32) (result i32) unreachable))"#,
    );
    let mut store = Store::new(&engine, &Limits::default(), 0);
    let mut linker = linker(&engine);
    let callee = linker.instantiate(&mut store, &callee).expect("instance");
    linker.define_instance(&store, "callee", callee);
    let caller = module(
        &engine,
        r#"(module (import "callee" "g" (func $g (param i32) (result i32)))
             (export "again" (func $g)))"#,
    );
    let caller = linker.instantiate(&mut store, &caller).expect("instance");
    let again = func(&store, caller, "again");
    assert_eq!(
        again.call(&mut store, &[1.into()]).expect("result"),
        [Value::I32(101)]
    );
}

#[test]
fn code_calls_another_instance_by_import_and_by_reference() {
    let engine = engine(&["call_import", "call_ref"]);
    let callee = module(
        &engine,
        r#"(module (import "host" "double" (func (param i32) (result i32))) (memory 1)
             (func (export "g") (param i32) (result i32) unreachable))"#,
    );
    let mut store = Store::new(&engine, &Limits::default(), 0);
    let mut linker = linker(&engine);
    let callee = linker.instantiate(&mut store, &callee).expect("instance");
    linker.define_instance(&store, "callee", callee);
    let caller = module(
        &engine,
        r#"(module (import "callee" "g" (func $g (param i32) (result i32))) (memory 1)
             (func (export "f") (param i32) (result i32) unreachable)
             (func (export "r") (param i32) (result i32) unreachable))"#,
    );
    let caller = linker.instantiate(&mut store, &caller).expect("instance");
    let f = func(&store, caller, "f");
    let results = f.call(&mut store, &[20.into()]);
    // `f` calls `g` calls `double`.
    assert_eq!(results.expect("results"), [Value::I32(42)]);
    // The reference to `g`; it calls `double` with whatever the reference was.
    let g = func(&store, callee, "g");
    let reference = store.inner.slot_of(Value::FuncRef(Some(g)))[0] as i32;
    let results = func(&store, caller, "r").call(&mut store, &[reference.into()]);
    assert_eq!(results.expect("results"), [Value::I32(2 * reference + 1)]);
}

#[test]
fn a_preempted_run_goes_on_where_it_was() {
    let (mut store, instance) = instance(&["count"], PLAIN);
    let f = func(&store, instance, "f");
    let mut run = Execution::new(&mut store, f, &[10_000.into(), 0.into()]).expect("arguments");
    let mut slices = 0;
    while run.resume(&mut store, 99) == Step::Preempted {
        slices += 1;
    }
    assert_eq!(run.results(), [Value::I32(7)]);
    assert!((99..=101).contains(&slices), "{slices}");
}

#[test]
fn preemption_keeps_all_registers() {
    let (mut store, instance) = instance(&["registers"], PLAIN);
    let f = func(&store, instance, "f");
    let mut run = Execution::new(&mut store, f, &[0.into(), 0.into()]).expect("arguments");
    assert_eq!(run.resume(&mut store, 99), Step::Preempted);
    // The host uses the registers for something else meanwhile.
    assert!((0..100).map(f64::from).map(f64::sqrt).sum::<f64>() > 600.0);
    assert_eq!(run.resume(&mut store, 99), Step::Finished);
    assert_eq!(run.results(), [Value::I32(1)]);
}

#[test]
fn two_suspended_runs_do_not_disturb_each_other() {
    let (mut store, instance) = instance(&["count"], PLAIN);
    let f = func(&store, instance, "f");
    let mut runs =
        [5000, 7000, 9000].map(|n| Execution::new(&mut store, f, &[n.into(), 0.into()]).expect("arguments"));
    let mut slices = [0; 3];
    while runs.iter().any(|run| run.results().is_empty()) {
        for (run, slices) in runs.iter_mut().zip(&mut slices) {
            *slices += i32::from(run.resume(&mut store, 99) == Step::Preempted);
        }
    }
    for (slices, iterations) in slices.into_iter().zip([5000, 7000, 9000]) {
        assert!(
            (slices - iterations / 100).abs() <= 2,
            "{slices} for {iterations}"
        );
    }
    assert!(runs.iter().all(|run| run.results() == [Value::I32(7)]));
}

#[test]
fn a_suspended_run_gives_its_stack_back() {
    let (mut store, instance) = instance(&["count"], PLAIN);
    let f = func(&store, instance, "f");
    let before = mappings();
    for _ in 0..500 {
        let mut run = Execution::new(&mut store, f, &[1000.into(), 0.into()]).expect("arguments");
        assert_eq!(run.resume(&mut store, 10), Step::Preempted);
    }
    let now = mappings();
    assert!(now < before + 300, "{before} mappings became {now}");
}

#[test]
fn a_thousand_instances_leave_no_mappings() {
    let engine = engine(&["add"]);
    let linker = linker(&engine);
    let before = mappings();
    for i in 0..1000 {
        let module = module(&engine, PLAIN);
        let mut store = Store::new(&engine, &Limits::default(), 0);
        let instance = linker.instantiate(&mut store, &module).expect("instance");
        let results = func(&store, instance, "f").call(&mut store, &[i.into(), 1.into()]);
        assert_eq!(results.expect("results"), [Value::I32(i + 1)]);
    }
    let now = mappings();
    assert!(now < before + 300, "{before} mappings became {now}");
}

/// How many mappings the process has; other tests have some at the same time.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    maps.lines().count()
}

#[test]
fn faults_are_traps_in_every_thread_and_runs_may_move() {
    let (mut store, instance) = instance(&["count"], PLAIN);
    let f = func(&store, instance, "f");
    let mut run = Execution::new(&mut store, f, &[1000.into(), 0.into()]).expect("arguments");
    assert_eq!(run.resume(&mut store, 500), Step::Preempted);
    let results = std::thread::spawn(move || {
        assert_eq!(trap(call("load", -1, 0)).trap, Trap::MemoryOutOfBounds);
        assert_eq!(trap(call("smash", -1, 0)).trap, Trap::StackExhausted);
        assert_eq!(run.resume(&mut store, 1000), Step::Finished);
        run.results().to_vec()
    });
    assert_eq!(results.join().expect("no panic"), [Value::I32(7)]);
}

#[test]
fn a_thread_that_ends_may_still_run_guests() {
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            // The alternate stack that the thread had is gone: this fault needs one.
            assert_eq!(trap(call("smash", 0, 0)).trap, Trap::StackExhausted);
            DROPPED.store(true, Ordering::Relaxed);
        }
    }
    static DROPPED: AtomicBool = AtomicBool::new(false);
    thread_local!(static LAST: Last = const { Last });
    let thread = std::thread::spawn(|| {
        // Used first, dropped last: after what keeps the alternate stack.
        LAST.with(|_| ());
        assert_eq!(trap(call("smash", 0, 0)).trap, Trap::StackExhausted);
    });
    thread.join().expect("no panic");
    assert!(DROPPED.load(Ordering::Relaxed));
}

#[test]
fn threads_come_and_go() {
    for _ in 0..50 {
        let trapped = std::thread::spawn(|| trap(call("divide", 1, 0)).trap);
        assert_eq!(trapped.join().expect("no panic"), Trap::IntegerDivideByZero);
    }
}

#[test]
fn a_signal_finds_room_where_no_frame_would() {
    static ARRIVED: AtomicBool = AtomicBool::new(false);
    extern "C" fn handler(_: libc::c_int) {
        std::hint::black_box([1_u8; 8192]);
        ARRIVED.store(true, Ordering::Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = handler;
    // SAFETY: the handler writes to its own frame and to an atomic. It runs on the guest's stack, for it does not ask for
    // another.
    let before = unsafe { libc::signal(libc::SIGUSR2, handler as libc::sighandler_t) };
    assert_ne!(before, libc::SIG_ERR);
    assert_eq!(call("signal_deep_down", 0, 0).expect("result"), [Value::I32(1)]);
    assert!(ARRIVED.load(Ordering::Relaxed));
}

#[test]
fn signals_come_at_any_time_while_a_fault_lands() {
    extern "C" fn handler(_: libc::c_int) {}
    let Some(output) = in_a_child("signals_come_at_any_time_while_a_fault_lands") else {
        let handler: extern "C" fn(libc::c_int) = handler;
        let every = libc::timeval {
            tv_sec: 0,
            tv_usec: 20,
        };
        let timer = libc::itimerval {
            it_interval: every,
            it_value: every,
        };
        let (mut store, instance) = instance(&["fall"], PLAIN);
        let f = func(&store, instance, "f");
        // SAFETY: the handler does nothing.
        let before = unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
        assert_ne!(before, libc::SIG_ERR);
        // SAFETY: the timer is a value that lives as long as the call.
        let started = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
        assert_eq!(started, 0);
        for _ in 0..50_000 {
            let report = trap(f.call(&mut store, &[0.into(), 0.into()]));
            assert_eq!(report.trap, Trap::StackExhausted);
        }
        return;
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {told}", signal(&output));
}

/// Runs one of the tests below in a process of its own, where it does what ends the process.
fn in_a_child(test: &str) -> Option<Output> {
    if std::env::var_os("LUGE_TEST_CHILD").is_some() {
        return None;
    }
    let exe = std::env::current_exe().expect("the test program");
    let test = format!("vm::tests::{test}");
    let output = Command::new(exe)
        .args(["--exact", &test, "--nocapture", "--test-threads=1"])
        .env("LUGE_TEST_CHILD", "1")
        .output();
    Some(output.expect("a child"))
}

fn signal(output: &Output) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&output.status)
}

#[test]
fn an_overflow_of_the_hosts_stack_is_still_told() {
    #[expect(unconditional_recursion, reason = "it is to overflow the stack")]
    fn deep(depth: u64) -> u64 {
        std::hint::black_box(deep(std::hint::black_box(depth + 1))) + 1
    }
    let Some(output) = in_a_child("an_overflow_of_the_hosts_stack_is_still_told") else {
        assert_eq!(trap(call("load", -1, 0)).trap, Trap::MemoryOutOfBounds);
        deep(0);
        return;
    };
    assert_eq!(signal(&output), Some(libc::SIGABRT));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("has overflowed its stack"), "{told}");
}

#[test]
fn little_address_space_is_an_error_that_says_so() {
    let Some(output) = in_a_child("little_address_space_is_an_error_that_says_so") else {
        limit_address_space(256 << 20);
        // Code finds a smaller range; a memory finds none, again and again, and leaves nothing behind.
        let engine = engine(&["answer"]);
        let with_memory = module(&engine, PLAIN);
        for _ in 0..10_000 {
            let mut store = Store::new(&engine, &Limits::default(), 0);
            let refused = linker(&engine).instantiate(&mut store, &with_memory);
            let told = refused.expect_err("8 GiB").to_string();
            assert!(told.contains("address space"), "{told}");
        }
        let without = r#"(module (func (export "f") (result i32) unreachable))"#;
        let mut store = Store::new(&engine, &Limits::default(), 0);
        let instance = linker(&engine).instantiate(&mut store, &module(&engine, without));
        let f = func(&store, instance.expect("instance"), "f");
        let mut runs = Vec::with_capacity(1000);
        let error = loop {
            match Execution::new(&mut store, f, &[]) {
                Ok(run) => runs.push(run),
                Err(error) => break error,
            }
        };
        assert!(runs.len() > 10, "{}", runs.len());
        for run in &mut runs {
            assert_eq!(run.resume(&mut store, 1000), Step::Finished);
        }
        drop(runs);
        assert!(error.to_string().contains("could not provide a stack"), "{error}");
        assert_eq!(f.call(&mut store, &[]).expect("result"), [Value::I32(42)]);
        return;
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

/// Lets the process have `more` bytes of address space than it has, as `ulimit -v` does.
fn limit_address_space(more: u64) {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = statm
        .split(' ')
        .next()
        .and_then(|pages| pages.parse().ok())
        .expect("pages");
    let limit = libc::rlimit {
        rlim_cur: pages * 4096 + more,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: a limit of our own process is set from a value that lives as long as the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

#[test]
fn code_memory_of_modules_that_come_and_go_is_used_again() {
    let engine = engine(&["add"]);
    let mut kept = std::collections::VecDeque::new();
    let mut highest = 0;
    for i in 0..2000 {
        let module = module(&engine, PLAIN);
        let entry = module.machine_code().expect("code").entry(0);
        highest = highest.max(entry);
        assert!(entry < kept.front().map_or(usize::MAX, |(first, _)| first + (64 << 20)));
        kept.push_back((entry, module));
        // Neither in the order in which they came nor in the other.
        if kept.len() > 20 {
            kept.swap(0, i % 20);
            kept.pop_front();
        }
    }
    assert_ne!(highest, 0);
}

#[test]
fn a_fault_of_the_hosts_ends_the_process() {
    let Some(output) = in_a_child("a_fault_of_the_hosts_ends_the_process") else {
        assert_eq!(trap(call("load", -1, 0)).trap, Trap::MemoryOutOfBounds);
        // SAFETY: none: the address is not mapped, which is what the test is about.
        unsafe { std::ptr::without_provenance::<u8>(8).read_volatile() };
        return;
    };
    assert_eq!(signal(&output), Some(libc::SIGSEGV));
}

#[test]
fn a_fault_that_nothing_explains_ends_the_process_and_says_where() {
    let Some(output) = in_a_child("a_fault_that_nothing_explains_ends_the_process_and_says_where") else {
        let _ = call("wild", 0, 0);
        return;
    };
    assert_eq!(signal(&output), Some(libc::SIGABRT));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("not an instruction that may trap"), "{told}");
}

#[test]
fn an_access_that_nobody_kept_in_ends_the_process() {
    let Some(output) = in_a_child("an_access_that_nobody_kept_in_ends_the_process") else {
        let _ = call("load_anywhere", 0, 0);
        return;
    };
    assert_eq!(signal(&output), Some(libc::SIGABRT));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("in no memory of the store"), "{told}");
}

#[test]
fn a_signal_that_is_sent_does_what_it_always_does() {
    let Some(output) = in_a_child("a_signal_that_is_sent_does_what_it_always_does") else {
        assert_eq!(trap(call("load", -1, 0)).trap, Trap::MemoryOutOfBounds);
        // SAFETY: sends a signal to ourselves.
        unsafe { libc::raise(libc::SIGFPE) };
        return;
    };
    assert_eq!(signal(&output), Some(libc::SIGFPE));
}
