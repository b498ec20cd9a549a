//! `luge run`, `luge check` and `luge inspect`, and what `luge serve` says when it cannot start.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use crate::support::{Folder, Server, command, functions_folder, in_each_engine};

fn luge(args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_luge"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("luge starts");
    // A program need not read its input.
    let _ = child.stdin.take().expect("piped").write_all(stdin);
    child.wait_with_output().expect("luge ends")
}

/// `luge run` in an engine.
fn run(engine: &[&str], args: &[&str], stdin: &[u8]) -> Output {
    luge(&[&["run"], engine, args].concat(), stdin)
}

in_each_engine!(
    run_passes_streams_arguments_and_code_on,
    run_executes_ordinary_c,
    run_reports_traps_timeouts_and_misfits,
    run_starts_with_the_start_function,
);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn example(name: &str) -> String {
    functions_folder()
        .join(format!("wasm/{name}.wasm"))
        .display()
        .to_string()
}

fn run_passes_streams_arguments_and_code_on(engine: &[&str]) {
    let output = run(engine, &[&example("hash")], b"abc");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"
    );
    let output = run(engine, &[&example("fibonacci")], b"not a number");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("not a decimal number"),
        "{}",
        text(&output.stderr)
    );
    let file = example("cgi_env");
    let output = run(
        engine,
        &["--env", "COLOUR=blue", &file, "--flag", "last argument"],
        b"",
    );
    let listing = text(&output.stdout);
    for part in ["COLOUR=blue\n", "--flag", "last argument", "cgi_env.wasm"] {
        assert!(listing.contains(part), "{part} is not in {listing}");
    }
    assert!(
        !listing.contains("PATH="),
        "the host's environment stays outside: {listing}"
    );
}

fn wasi_program(name: &str) -> String {
    functions_folder()
        .join(format!("../core/tests/wasi/{name}"))
        .display()
        .to_string()
}

fn run_executes_ordinary_c(engine: &[&str]) {
    let read = |name: &str| std::fs::read(wasi_program(name)).expect("a file of the test programs");
    let output = run(engine, &[&wasi_program("stdio.wasm")], &read("stdio.in"));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), text(&read("stdio.expected")));
    assert_eq!(
        text(&output.stderr).lines().count(),
        1,
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_granted_folder_can_be_read_and_not_left_or_changed() {
    let folder = Folder::new();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("sub")).expect("a folder");
    std::fs::write(data.join("hello.txt"), "hello, file\n").expect("a file");
    std::fs::write(data.join("sub/inner.txt"), "inner\n").expect("a file");
    std::fs::write(folder.path().join("secret.txt"), "secret\n").expect("a file");
    std::os::unix::fs::symlink("../secret.txt", data.join("outside")).expect("a link");
    std::os::unix::fs::symlink("..", data.join("up")).expect("a link");
    let grant = format!("{}::/data", data.display());
    let output = luge(
        &["run", "--dir", &grant, &wasi_program("files.wasm"), "/data"],
        b"",
    );
    let as_command = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{as_command}{}",
        text(&output.stderr)
    );
    assert!(
        as_command.contains("entry hello.txt\n") && !as_command.contains("OPENED"),
        "{as_command}"
    );
    assert!(!as_command.contains("secret\n"), "{as_command}");

    std::fs::copy(wasi_program("files.wasm"), folder.path().join("files.wasm")).expect("copied");
    let manifest = "[[function]]\nname = \"files\"\nroute = \"/files\"\nmodule = \"files.wasm\"\n\
                    args = [\"/data\"]\ndirs = { data = \"/data\" }\n";
    let path = folder.write("luge.toml", manifest.as_bytes());
    let server = Server::start(command(&[]).arg(path), Some(folder));
    let answer = server.get("/files");
    assert_eq!(
        (answer.status, answer.text()),
        (200, as_command),
        "served and run are the same"
    );
}

fn run_reports_traps_timeouts_and_misfits(engine: &[&str]) {
    let folder = Folder::new();
    let path = |name: &str, text: &str| folder.module(name, text).display().to_string();
    let trap = path(
        "trap",
        r#"(module (func $inner unreachable) (func $_start (export "_start") (call $inner)))"#,
    );
    let output = run(engine, &[&trap], b"");
    assert_eq!(output.status.code(), Some(134));
    let report = text(&output.stderr);
    assert!(
        report.starts_with("luge: trap: unreachable in `inner`\n    at inner"),
        "{report}"
    );
    assert!(report.contains("at _start (function 1)"), "{report}");

    let spin = path("spin", r#"(module (func (export "_start") (loop (br 0))))"#);
    let output = run(engine, &["--timeout", "100ms", &spin], b"");
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(124), "luge: timeout of 100ms exceeded\n")
    );

    let foreign = path(
        "foreign",
        r#"(module (import "env" "f" (func)) (func (export "_start")))"#,
    );
    let library = path("library", r#"(module (func (export "f")))"#);
    let broken = folder
        .write("broken.wasm", b"\0asm\x01\0\0\0\x7f")
        .display()
        .to_string();
    for (file, reason) in [
        (foreign.as_str(), "`env` `f`"),
        (&library, "`_start`"),
        (&broken, "not a valid WebAssembly module"),
        ("/nowhere.wasm", "cannot read /nowhere.wasm"),
    ] {
        let output = run(engine, &[file], b"");
        assert_eq!(output.status.code(), Some(125), "{file}");
        assert!(
            text(&output.stderr).contains(reason),
            "{file}: {}",
            text(&output.stderr)
        );
    }
    assert_eq!(
        run(engine, &[], b"").status.code(),
        Some(2),
        "the command line itself is wrong"
    );
}

fn run_starts_with_the_start_function(engine: &[&str]) {
    let folder = Folder::new();
    let module = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (global $seen (mut i32) (i32.const 0))
        (func $early (global.set $seen (i32.const 7))) (start $early)
        (func (export "_start") (call $exit (global.get $seen))))"#;
    let path = folder.module("early", module).display().to_string();
    assert_eq!(run(engine, &[&path], b"").status.code(), Some(7));
}

#[test]
fn check_finds_every_problem_at_once() {
    let folder = Folder::new();
    folder.module(
        "good",
        r#"(module (memory (export "memory") 1) (func (export "_start")))"#,
    );
    folder.module("library", r#"(module (func (export "f")))"#);
    folder.module(
        "foreign",
        r#"(module (import "env" "f" (func)) (func (export "_start")))"#,
    );
    folder.module("large", r#"(module (memory 100) (func (export "_start")))"#);
    let function = |name: &str, more: &str| {
        format!("[[function]]\nname = \"{name}\"\nroute = \"/{name}\"\nmodule = \"{name}.wasm\"\n{more}\n")
    };
    let check = |manifest: &str| {
        let path = folder
            .write("luge.toml", manifest.as_bytes())
            .display()
            .to_string();
        luge(&["check", &path], b"")
    };
    let output = check(&function("good", "deadline = \"1s\""));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).starts_with("ok  good  /good  "),
        "{}",
        text(&output.stdout)
    );

    let output = check(&(function("good", "deadline = \"1\"") + &function("absent", "body = \"x\"")));
    assert_eq!(output.status.code(), Some(1));
    let problems = text(&output.stderr);
    for part in [
        "luge.toml:5: `function.good.deadline`",
        "`function.absent.module`",
        "`function.absent.body`",
    ] {
        assert!(problems.contains(part), "{part} is not in {problems}");
    }
    let manifest = [
        function("library", ""),
        function("foreign", ""),
        function("large", "memory = \"1MiB\""),
    ];
    let output = check(&manifest.concat());
    assert_eq!(output.status.code(), Some(1));
    let problems = text(&output.stderr);
    for part in [
        "\"library\": the module exports no function `_start`",
        "\"foreign\": ",
        "100 pages of 64 KiB",
    ] {
        assert!(problems.contains(part), "{part} is not in {problems}");
    }
    let output = luge(
        &["serve", folder.path().join("luge.toml").to_str().expect("text")],
        b"",
    );
    assert_eq!(output.status.code(), Some(1), "serve refuses what check refuses");
}

#[test]
fn the_documented_example_passes() {
    let path = functions_folder().join("../docs/luge.toml").display().to_string();
    let output = luge(&["check", &path], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).lines().count() > 1);
}

#[test]
fn inspect_tells_what_a_module_needs() {
    let output = luge(&["inspect", &example("cgi_env")], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    for part in [
        "provided  func    wasi_snapshot_preview1 fd_write",
        "_start",
        "memory  ",
        "code",
        "  interp    ",
        "  baseline  ",
        " bytes of code, compiled in ",
        "Luge can run it",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let folder = Folder::new();
    let module = r#"(module (import "env" "f" (func)) (memory 1 3) (func (export "_start") (result v128)
        (v128.const i64x2 0 0)))"#;
    let path = folder.module("odd", module).display().to_string();
    let told = text(&luge(&["inspect", &path], b"").stdout);
    for part in [
        "MISSING   func    env f",
        "1 to 3 pages of 64 KiB",
        "simd",
        "Luge cannot run it",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let path = folder.write("text.wasm", b"hello").display().to_string();
    assert_eq!(luge(&["inspect", &path], b"").status.code(), Some(1));
    assert_eq!(
        text(&luge(&["inspect", "/nowhere.wasm"], b"").stderr),
        "luge: cannot read /nowhere.wasm: No such file or directory (os error 2)\n",
        "the cause is told once"
    );
}

#[test]
fn a_reader_may_leave_early() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_luge"))
        .args(["inspect", &example("resize")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("luge starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("luge ends");
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(0), "")
    );
}

#[test]
fn a_program_ends_with_its_reader() {
    let folder = Folder::new();
    // Writes for ever and looks at no error.
    let yes = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 64) "y\n")
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 2))
            (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br 0))))"#;
    let mut child = Command::new(env!("CARGO_BIN_EXE_luge"))
        .args(["run", "--timeout", "60s"])
        .arg(folder.module("yes", yes))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("luge starts");
    let mut first = [0; 2];
    let mut reader = child.stdout.take().expect("piped");
    reader.read_exact(&mut first).expect("a line");
    drop(reader);
    let output = child.wait_with_output().expect("luge ends");
    assert_eq!(&first, b"y\n");
    let sigpipe = signal_hook::consts::SIGPIPE;
    assert_eq!(output.status.signal(), Some(sigpipe), "{:?}", output.status);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn serve_says_why_it_cannot_start() {
    let server = Server::examples(&[]);
    let taken = server.listen.to_string();
    let run = |flags: &[&str]| command(&[]).args(flags).output().expect("luge runs");
    // Another kind of server, and one of this kind, which could share the port and would then share its requests.
    let blocker = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let blocked = blocker.local_addr().expect("an address").to_string();
    for address in [&blocked, &taken] {
        let output = Command::new(env!("CARGO_BIN_EXE_luge"))
            .args(["serve", "--listen", address, "--admin", "127.0.0.1:0"])
            .output()
            .expect("luge runs");
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).contains(&format!("cannot listen on {address}")),
            "{}",
            text(&output.stderr)
        );
    }
    // Both would bind, and the kernel would give each connection to either.
    let output = Command::new(env!("CARGO_BIN_EXE_luge"))
        .args(["serve", "--listen", "127.0.0.1:1", "--admin", "127.0.0.1:1"])
        .output()
        .expect("luge runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("cannot both listen on 127.0.0.1:1"),
        "{}",
        text(&output.stderr)
    );
    let output = run(&["--cores", "4000000000"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("4000000000 cores asked for"),
        "{}",
        text(&output.stderr)
    );
    let output = run(&["/nowhere/luge.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nowhere/luge.toml: cannot read the manifest"));
    let output = run(&["--log", "luge=loud"]);
    assert!(
        text(&output.stderr).contains("is not understood"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(server.get("/empty").status, 200, "{taken} still serves");
}
