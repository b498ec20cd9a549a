//! The program itself: its arguments, its files, its exit codes.

use std::process::{Command, Output};

use super::server::{ok, serve};

fn luge_load(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luge-load"));
    command.args(arguments).output().expect("the program runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_url_gives_a_table_json_and_a_drawing() {
    let (url, _) = serve(|_| ok("x"));
    let folder = std::env::temp_dir().join(format!("luge-load-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str| folder.join(name).display().to_string();
    let (json, svg) = (file("a.json"), file("a.svg"));
    let pid = std::process::id().to_string();
    let output = luge_load(&[
        "url", &url, "--rate", "200", "-n", "40", "--pid", &pid, "--json", &json, "--svg", &svg,
    ]);
    // 3 is what a busy machine makes of the generator's lateness.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("40 x 200"));
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&json).expect("a file")).expect("JSON");
    assert_eq!(report["total"]["good"], 40);
    assert!(std::fs::read_to_string(&svg).expect("a file").starts_with("<svg"));
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn an_embedded_scenario_runs_against_any_server() {
    let (url, seen) = serve(|_| ok("x"));
    let output = luge_load(&[
        "run",
        "mixed",
        "--url",
        &url,
        "--duration",
        "300ms",
        "--json",
        "-",
    ]);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!(report["classes"][0]["name"], "urgent");
    assert!(report["classes"][0]["good"].as_u64() > Some(0));
    let lines = seen.lines.lock().expect("lines");
    assert!(lines.iter().any(|line| line == "POST /hash HTTP/1.1"));
}

#[test]
fn mistakes_end_in_words() {
    let (url, _) = serve(|_| ok("x"));
    for (arguments, part) in [
        (&["url", "http://192.0.2.1/"][..], "--allow-remote"),
        (&["url", "https://127.0.0.1/"], "TLS"),
        (&["run", "no-such-scenario"], "embedded scenarios are hello"),
        (&["url", &url, "--rate", "0"], "`rate`"),
        (&["url", &url, "--pid", "4294967295"], "does the process run"),
        (&["manifest", "no-such.wasm"], "no-such.wasm"),
        (&["scenarios", "none"], "no scenario is called none"),
    ] {
        let output = luge_load(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(
            stderr(&output).contains(part),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn scenarios_are_listed_and_shown() {
    let list = luge_load(&["scenarios"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("many-functions"));
    let one = luge_load(&["scenarios", "churn"]);
    assert!(String::from_utf8_lossy(&one.stdout).contains("per-request"));
}
