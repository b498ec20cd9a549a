//! What a pool does where the system's limits are reached, and what guests can make it hold.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use luge_core::compiler::BoundsStrategy;
use luge_core::pool::{Pool, PoolConfig, Sandbox, Template};
use luge_core::{Engine, EngineConfig, FuncType, Limits, Linker, Module, Step, ValType, Value};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

fn native(bounds: BoundsStrategy) -> Engine {
    Engine::new(EngineConfig {
        compiler: Some(Arc::new(Baseline::new(BaselineOptions {
            bounds,
            fuel: true,
            positions: false,
            cpu: CpuFeatures::detect().unwrap_or(CpuFeatures::BASELINE),
        }))),
        ..EngineConfig::default()
    })
}

fn template(engine: &Engine, wat: &str) -> Template<u32> {
    let module = Module::new(engine, &wat::parse_str(wat).expect("wat")).expect("module");
    let mut linker = Linker::<u32>::new(engine);
    linker.func(
        "host",
        "count",
        FuncType::new([], [ValType::I32]),
        |caller, slots| {
            *caller.data_mut() += 1;
            slots[0] = u64::from(*caller.data());
            Ok(())
        },
    );
    let linked = linker.link(&module).expect("linked");
    linked
        .template(&Limits::default(), "run", Duration::from_millis(100))
        .expect("template")
}

fn pool(sandboxes: usize) -> Pool<u32> {
    Pool::new(PoolConfig {
        sandboxes,
        memories: sandboxes,
        ..PoolConfig::default()
    })
    .expect("address space")
}

fn step(sandbox: &mut Sandbox<u32>) -> Step {
    loop {
        match sandbox.resume(1 << 40).expect("a stack") {
            Step::Preempted => {}
            step => return step,
        }
    }
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .expect("maps")
        .lines()
        .count()
}

/// Runs one of the tests below in a process of its own, where `LUGE_CHILD` is set.
fn in_child(name: &str) -> Option<std::process::Output> {
    if std::env::var_os("LUGE_CHILD").is_some() {
        return None;
    }
    let test = std::env::current_exe().expect("this program");
    let output = Command::new(test)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("LUGE_CHILD", "1")
        .output()
        .expect("a child");
    println!(
        "code {:?} signal {:?}\n{}{}",
        output.status.code(),
        output.status.signal(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Some(output)
}

/// Touches a page five beyond its accessible ones, then those between, again and again: each time two ranges, whose pages
/// were written apart, become one.
fn joins(pages: u32, last: u32) -> String {
    format!(
        r#"(module (memory {pages})
        (func (export "run") (local $n i32)
          (i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 4096) (i32.const 1))
          (i32.store8 (i32.const 8192) (i32.const 1)) (i32.store8 (i32.const 16384) (i32.const 1))
          (local.set $n (i32.const 32768))
          (loop $l
            (i32.store8 offset=20480 (local.get $n) (i32.const 1))
            (i32.store8 (local.get $n) (i32.const 1))
            (local.set $n (i32.add (local.get $n) (i32.const 24576)))
            (br_if $l (i32.lt_u (local.get $n) (i32.const {last}))))))"#
    )
}

#[test]
fn a_guest_makes_few_mappings() {
    // In a process of its own: other tests make mappings too.
    if let Some(output) = in_child("a_guest_makes_few_mappings") {
        assert!(output.status.success(), "{:?}", output.status);
        return;
    }
    let engine = Engine::default();
    let (pool, template) = (pool(1), template(&engine, &joins(1024, 60 << 20)));
    let before = mappings();
    let mut sandbox = pool.acquire(&template, 0, &[]).expect("room");
    assert_eq!(step(&mut sandbox), Step::Finished);
    let (after, committed) = (mappings(), sandbox.committed_bytes());
    drop(sandbox);
    let reset = mappings();
    assert!(
        after <= before + 32 && reset <= before + 32,
        "{before} mappings, {after} at the end of a run that has {committed} bytes, {reset} behind it"
    );
}

#[test]
fn a_guest_cannot_use_up_the_mappings_of_the_process() {
    if let Some(output) = in_child("a_guest_cannot_use_up_the_mappings_of_the_process") {
        assert!(output.status.success(), "{:?}", output.status);
        return;
    }
    let engine = Engine::default();
    let (pool, template) = (pool(1), template(&engine, &joins(65536, 3 << 30)));
    let mut sandbox = pool.acquire(&template, 0, &[]).expect("room");
    let step = step(&mut sandbox);
    println!("{step:?}, {} mappings", mappings());
}

fn without_data_memory(name: &str, engine: &Engine, wat: &str) {
    if let Some(output) = in_child(name) {
        assert!(output.status.success(), "{:?}", output.status);
        return;
    }
    let (pool, first, template) = (pool(2), self::template(engine, STORE), template(engine, wat));
    // What the thread needs for itself it has from here on.
    assert_eq!(
        step(&mut pool.acquire(&first, 0, &[]).expect("room")),
        Step::Finished
    );
    let mut sandbox = pool.acquire(&template, 0, &[]).expect("room");
    assert_eq!(sandbox.committed_bytes(), 0);
    // From here on the system gives nobody pages to write.
    let before = getrlimit(Resource::Data);
    let limit = Rlimit {
        current: Some(4096),
        ..before
    };
    setrlimit(Resource::Data, limit).expect("a lower limit");
    let ended = sandbox.resume(u64::MAX);
    setrlimit(Resource::Data, before).expect("the limit of before");
    println!("{ended:?}");
    assert!(matches!(ended, Ok(Step::Trapped(_))));
}

const STORE: &str =
    r#"(module (memory 1)  (func (export "run") (i32.store (i32.const 5000) (i32.const 1))))"#;
const LOAD: &str = r#"(module (memory 1) (func (export "run") (drop (i32.load (i32.const 5000)))))"#;

#[test]
fn no_memory_for_a_compiled_guest() {
    without_data_memory(
        "no_memory_for_a_compiled_guest",
        &native(BoundsStrategy::Guard),
        LOAD,
    );
}

#[test]
fn no_memory_for_a_compiled_guest_that_checks_bounds() {
    without_data_memory(
        "no_memory_for_a_compiled_guest_that_checks_bounds",
        &native(BoundsStrategy::Software),
        LOAD,
    );
}

#[test]
fn a_sandbox_can_be_dropped_where_there_are_no_mappings_left() {
    if let Some(output) = in_child("a_sandbox_can_be_dropped_where_there_are_no_mappings_left") {
        assert!(output.status.success(), "{:?}", output.status);
        return;
    }
    let engine = Engine::default();
    let wat = r#"(module (memory 1 2) (func (export "run") (drop (memory.grow (i32.const 1)))
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 131072))))"#;
    let (pool, template) = (pool(1), template(&engine, wat));
    let mut sandbox = pool.acquire(&template, 0, &[]).expect("room");
    assert_eq!(step(&mut sandbox), Step::Finished);
    // Takes all mappings that the process may have: these are far apart.
    let hog = self::template(
        &native(BoundsStrategy::Guard),
        r#"(module (memory 100) (func (export "run") (local $i i32)
          (loop $l
            (i32.store (local.get $i) (i32.const 1))
            (local.set $i (i32.add (local.get $i) (i32.const 1048576)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 6291456))))))"#,
    );
    let hogs = Pool::new(PoolConfig {
        sandboxes: 7000,
        memories: 7000,
        further_ranges: 100_000,
        ..PoolConfig::default()
    })
    .expect("address space");
    let mut held = Vec::new();
    let last = loop {
        match hogs.acquire(&hog, 0, &[]) {
            Ok(mut hog) => match self::step(&mut hog) {
                Step::Finished => held.push(hog),
                step => break format!("{step:?}"),
            },
            Err(error) => break error.to_string(),
        }
    };
    println!("{} hogs, {} mappings, then: {last}", held.len(), mappings());
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(sandbox)));
    assert!(dropped.is_ok());
}

#[test]
fn a_sandbox_that_could_not_begin_its_function_says_so_again() {
    let engine = Engine::default();
    let wat = r#"(module (import "host" "count" (func $count (result i32))) (start $s)
        (func $s (drop (call $count))) (func (export "run") (param i32)))"#;
    let (pool, template) = (pool(1), template(&engine, wat));
    let mut sandbox = pool.acquire(&template, 0, &[Value::I64(1)]).expect("room");
    assert!(sandbox.resume(1000).is_err());
    assert!(sandbox.resume(1000).is_err());
}

#[test]
fn a_module_for_which_there_is_never_room_pushes_nobody_out() {
    let engine = Engine::default();
    let modest = template(&engine, r#"(module (memory 1) (func (export "run")))"#);
    let greedy = template(
        &engine,
        r#"(module (memory 1) (memory 1) (memory 1) (memory 1) (memory 1) (func (export "run")))"#,
    );
    let pool = pool(4);
    drop(
        (0..4)
            .map(|_| pool.acquire(&modest, 0, &[]).expect("room"))
            .collect::<Vec<_>>(),
    );
    assert_eq!(pool.stats().idle, 4);
    assert!(pool.acquire(&greedy, 0, &[]).is_err());
    assert_eq!((pool.stats().idle, pool.stats().evicted), (4, 0));
}

#[test]
fn pools_come_and_go_on_all_threads() {
    if let Some(output) = in_child("pools_come_and_go_on_all_threads") {
        assert!(output.status.success(), "{:?}", output.status);
        return;
    }
    let engine = Engine::default();
    let template = template(&engine, STORE);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let pool = pool(1);
                    let mut sandbox = pool.acquire(&template, 0, &[]).expect("room");
                    assert_eq!(step(&mut sandbox), Step::Finished);
                }
            });
        }
    });
}
