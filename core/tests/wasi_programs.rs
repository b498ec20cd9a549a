//! Ordinary C programs, compiled by clang against wasi-libc, run unchanged: the WASI of a whole C library at work.
//!
//! Each program's duties stand in `tests/wasi/README.md`. They print verdicts, not times, so that their output can be
//! compared as it is. Every run is bounded by fuel.

use luge_core::wasi::{self, Fault, Input, Output, OutputOverflow, WasiBuilder, WasiCtx};
use luge_core::{Engine, Execution, Limits, Linker, Module, Step, Store, Trap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How a program ended, and what it wrote.
struct Ended {
    step: Step,
    stdout: String,
    stderr: String,
    fault: Option<Fault>,
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/wasi")
        .join(name)
}

fn builder(program: &str, arguments: &[&str]) -> WasiBuilder {
    WasiCtx::builder()
        .arg(program)
        .args(arguments)
        .stdout(Output::Buffer { limit: 64 << 20 })
        .stderr(Output::Buffer { limit: 1 << 16 })
}

/// Runs a program to its end, or until it has used up `fuel` or waits longer than a test can.
fn run_with(program: &str, ctx: WasiBuilder, limits: &Limits, mut fuel: u64) -> Ended {
    const SLICE: u64 = 100_000;
    let engine = Engine::default();
    let wasm = fs::read(here(&format!("{program}.wasm"))).expect("the program is in the tree");
    let module = Module::new(&engine, &wasm).expect("a valid module");
    let mut linker = Linker::<WasiCtx>::new(&engine);
    wasi::add_to_linker(&mut linker, |ctx| ctx);
    let mut store = Store::new(&engine, limits, ctx.build().expect("a valid configuration"));
    let instance = linker
        .link(&module)
        .expect("all imports")
        .instantiate(&mut store)
        .expect("room");
    let start = instance.func(&store, "_start").expect("a command");
    let mut run = Execution::new(&mut store, start, &[]).expect("no arguments");
    let step = loop {
        match run.resume(&mut store, SLICE) {
            Step::Preempted if fuel > SLICE => fuel -= SLICE,
            Step::Blocked { until } if until < Instant::now() + Duration::from_secs(10) => {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
            }
            end => break end,
        }
    };
    let mut ctx = store.into_data();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ended {
        step,
        stdout: text(ctx.take_stdout()),
        stderr: text(ctx.take_stderr()),
        fault: ctx.fault(),
    }
}

fn run(program: &str, arguments: &[&str]) -> Ended {
    run_with(program, builder(program, arguments), &Limits::default(), 1 << 32)
}

fn trap_of(ended: &Ended) -> Trap {
    match &ended.step {
        Step::Trapped(report) => report.trap,
        other => panic!("a trap, not {other:?}"),
    }
}

#[test]
fn stdio_prints_sorts_scans_and_exits_with_its_code() {
    let input = fs::read(here("stdio.in")).expect("input");
    let ctx = builder("stdio", &[]).stdin(Input::Bytes(input.into()));
    let ended = run_with("stdio", ctx, &Limits::default(), 1 << 32);
    assert_eq!(
        ended.stdout,
        fs::read_to_string(here("stdio.expected")).expect("expected output")
    );
    assert_eq!(ended.stderr.lines().count(), 1);
    assert_eq!(ended.step, Step::Exited(3));
}

#[test]
fn the_environment_is_what_was_granted() {
    let ctx = builder("args_env", &["one", "two words"]).env("GREETING", "hello");
    let ended = run_with("args_env", ctx, &Limits::default(), 1 << 32);
    assert_eq!(
        ended.stdout,
        "argc=3\nargv[0]=args_env\nargv[1]=one\nargv[2]=two words\nenv GREETING=hello\nPATH is unset\n"
    );
}

#[test]
fn files_are_read_and_neither_left_nor_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    let granted = dir.path().join("granted");
    fs::create_dir_all(granted.join("sub")).expect("folder");
    fs::write(granted.join("hello.txt"), "hello, file\n").expect("file");
    fs::write(granted.join("sub/inner.txt"), "inner\n").expect("file");
    fs::write(dir.path().join("secret"), "secret\n").expect("file");
    std::os::unix::fs::symlink("hello.txt", granted.join("inside")).expect("link");
    std::os::unix::fs::symlink("../secret", granted.join("outside")).expect("link");
    std::os::unix::fs::symlink("..", granted.join("up")).expect("link");
    let ctx = builder("files", &["/data"])
        .preopen_read_only(&granted, "/data")
        .expect("a folder");
    let ended = run_with("files", ctx, &Limits::default(), 1 << 32);
    assert!(ended.stdout.contains("hello, file"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("OPENED"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("secret\n"), "{}", ended.stdout);
    assert_eq!(
        fs::read_to_string(granted.join("hello.txt")).expect("file"),
        "hello, file\n"
    );
    assert_eq!(
        fs::read_dir(&granted).expect("folder").count(),
        5,
        "nothing was made or removed"
    );
}

#[test]
fn clocks_tell_real_and_monotonic_time_only() {
    let ended = run("clocks", &[]);
    assert!(!ended.stdout.contains("BAD"), "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("refused").count(), 2, "{}", ended.stdout);
}

#[test]
fn sleeping_gives_the_core_back() {
    let ended = run("poll", &[]);
    assert!(
        ended.stdout.contains("nanosleep of 30 ms: OK, long enough"),
        "{}",
        ended.stdout
    );
    let ended = run("poll", &["long"]);
    assert_eq!(ended.stdout, "sleeping\n");
    assert!(matches!(ended.step, Step::Blocked { .. }), "{:?}", ended.step);
}

#[test]
fn an_exit_code_is_passed_on_with_what_was_written() {
    let ended = run("exit3", &[]);
    assert_eq!((ended.stdout.as_str(), ended.step), ("leaving", Step::Exited(3)));
}

#[test]
fn output_ends_at_its_limit() {
    let ended = run("bigout", &["2"]);
    assert_eq!(ended.stdout.len(), 2 << 20);
    let ctx = builder("bigout", &["2"])
        .stdout(Output::Buffer { limit: 1 << 20 })
        .output_overflow(OutputOverflow::Stop);
    let ended = run_with("bigout", ctx, &Limits::default(), 1 << 32);
    assert_eq!(trap_of(&ended), Trap::HostAborted);
    assert!(matches!(ended.fault, Some(Fault::OutputLimit { .. })));
    assert!(ended.stdout.len() <= 1 << 20);
}

#[test]
fn memory_grows_to_its_limit() {
    let limits = Limits {
        memory_pages: 512,
        ..Limits::default()
    };
    let ended = run_with("growmem", builder("growmem", &[]), &limits, 1 << 32);
    let megabytes: u32 = ended
        .stdout
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    assert!((20..32).contains(&megabytes), "{}", ended.stdout);
}

#[test]
fn recursion_without_end_is_a_trap() {
    let ended = run("recurse", &[]);
    assert_eq!(
        (ended.stdout.as_str(), trap_of(&ended)),
        ("recursing\n", Trap::StackExhausted)
    );
    let ended = run("recurse", &["linear"]);
    assert_eq!(trap_of(&ended), Trap::MemoryOutOfBounds);
}

#[test]
fn a_loop_without_end_can_be_left() {
    let ended = run_with("spin", builder("spin", &[]), &Limits::default(), 10_000_000);
    assert_eq!(
        (ended.stdout.as_str(), ended.step),
        ("spinning\n", Step::Preempted)
    );
}

#[test]
fn an_address_does_not_wrap_at_32_bits() {
    assert_eq!(
        run("wrap", &["control"]).stdout,
        "trying control\ncontrol gave 99\n"
    );
    for kind in ["load8", "load32", "far", "store"] {
        let ended = run("wrap", &[kind]);
        assert_eq!(ended.stdout.trim_end(), format!("trying {kind}"));
        assert_eq!(trap_of(&ended), Trap::MemoryOutOfBounds, "{kind}");
    }
}
