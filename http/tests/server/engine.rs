//! Tiers and bounds as users choose them, and where they see what came of it.

use std::process::{Command, Output};

use luge_http::engine::{Attachments, EngineChoice, Engines};

use crate::support::{Folder, SLEEP, Server, command};

const EMPTY: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

/// The tier that functions have without a choice, on this machine.
fn usual_tier() -> &'static str {
    Engines::for_command(EngineChoice::default(), Attachments::default())
        .tier()
        .name()
}

fn luge(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luge"));
    command.args(args).output().expect("luge runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn functions_of(server: &Server, tier: &str) -> f64 {
    server.metric(&format!("luge_functions{{tier=\"{tier}\"}}"))
}

#[test]
fn the_tier_is_told_in_log_metrics_and_requests() {
    let server = Server::functions(&[("sleep", SLEEP, "")], "", &[]);
    let tier = usual_tier();
    server.wait_until("the start is logged", |server| {
        let log = server.log();
        let line = log.lines().find(|line| line.contains("started"));
        line.is_some_and(|line| line.contains(&format!("tier={tier} bounds=guard")))
    });
    let log = server.log();
    let deployed = log
        .lines()
        .find(|line| line.contains("deployed"))
        .expect("a line");
    for part in [
        "function=\"sleep\"",
        &format!("tier={tier}"),
        "code_bytes=",
        "compile_time=",
    ] {
        assert!(deployed.contains(part), "{part} is not in {deployed}");
    }
    assert_eq!(functions_of(&server, tier), 1.0);
    assert_eq!(server.metric("luge_compile_fallbacks_total"), 0.0);
    let labels = format!("{{function=\"sleep\",tier=\"{tier}\"}}");
    assert!(server.metric(&format!("luge_function_compile_seconds{labels}")) > 0.0);
    assert!(server.metric(&format!("luge_function_code_bytes{labels}")) > 0.0);
    let mut client = server.connect();
    client.send("GET", "/sleep", &[], b"");
    server.wait_until("the request is listed with its tier", |server| {
        let listed = server.admin("/requests").text();
        listed.contains(&format!("\"function\":\"sleep\",\"tier\":\"{tier}\""))
    });
    assert_eq!(client.answer("GET").text(), "done");
}

#[test]
fn a_function_may_have_a_tier_of_its_own() {
    let functions = [("one", EMPTY, ""), ("other", EMPTY, "tier = \"interp\"")];
    let server = Server::functions(&functions, "[engine]\ntier = \"baseline\"", &[]);
    let interpreted = if usual_tier() == "interp" { 2.0 } else { 1.0 };
    assert_eq!(functions_of(&server, "interp"), interpreted);
    assert_eq!(functions_of(&server, "baseline"), 2.0 - interpreted);
    assert_eq!(
        server.metric("luge_compile_fallbacks_total"),
        0.0,
        "a choice is no fallback"
    );
    for target in ["/one", "/other"] {
        assert_eq!(server.get(target).status, 200);
    }
}

#[test]
fn the_manifest_chooses_and_flags_win() {
    let manifest = "[engine]\ntier = \"interp\"\nbounds = \"software\"";
    let server = Server::functions(&[("one", EMPTY, "")], manifest, &[]);
    assert_eq!(functions_of(&server, "interp"), 1.0);
    server.wait_until("the start is logged", |server| {
        server.log().contains("tier=interp bounds=software")
    });
    let flags = ["--tier", "baseline", "--bounds", "guard"];
    let server = Server::functions(&[("one", EMPTY, "")], manifest, &flags);
    assert_eq!(functions_of(&server, usual_tier()), 1.0);
    server.wait_until("the start is logged", |server| {
        server
            .log()
            .contains(&format!("tier={} bounds=guard", usual_tier()))
    });
}

#[test]
fn unchecked_memory_is_for_measurements_only() {
    let reason = "bounds \"none\" would let guests leave their memory";
    let output = command(&["--bounds", "none"]).output().expect("luge runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(reason), "{}", stderr(&output));

    let folder = Folder::new();
    let module = folder.module("one", EMPTY).display().to_string();
    let function = "[[function]]\nname = \"one\"\nroute = \"/one\"\nmodule = \"one.wasm\"\n";
    let manifest = |text: &str| {
        let path = folder.write("luge.toml", format!("{text}\n{function}").as_bytes());
        path.display().to_string()
    };
    let path = manifest("");
    let output = luge(&["check", &path, "--bounds", "none"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    let path = manifest("[engine]\nbounds = \"none\"");
    for command in ["check", "serve"] {
        let output = luge(&[command, &path]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let told = stderr(&output);
        assert!(
            told.contains("luge.toml:2: `engine.bounds`") && told.contains(reason),
            "{told}"
        );
    }
    let output = luge(&["run", "--bounds", "none", &module]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn check_and_inspect_tell_the_tier() {
    let folder = Folder::new();
    let module = folder.module("one", EMPTY).display().to_string();
    let function = "[[function]]\nname = \"one\"\nroute = \"/one\"\nmodule = \"one.wasm\"\n";
    let path = folder
        .write("luge.toml", function.as_bytes())
        .display()
        .to_string();
    for (flags, tier) in [
        (&[][..], usual_tier()),
        (&["--tier", "interp"], "interp"),
        (&["--tier", "baseline", "--bounds", "software"], usual_tier()),
    ] {
        let told = stdout(&luge(&[&["check", path.as_str()], flags].concat()));
        assert!(
            told.contains(&format!("bytes, {tier}, compiled in ")),
            "{flags:?}: {told}"
        );
    }
    let told = stdout(&luge(&["inspect", &module]));
    let line = |tier: &str| {
        let line = told.lines().find(|line| line.starts_with(&format!("  {tier} ")));
        line.unwrap_or_else(|| panic!("no line for {tier} in {told}"))
    };
    assert!(line("interp").contains(" bytes of code, compiled in "));
    let taken = usual_tier() == "baseline";
    assert_eq!(line("baseline").contains(" bytes of code, compiled in "), taken);
}

#[test]
fn unknown_tiers_are_refused_with_the_known_ones() {
    let output = luge(&["run", "--tier", "fast", "x.wasm"]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.contains("interp") && told.contains("baseline"), "{told}");
}
