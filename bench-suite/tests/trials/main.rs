//! Every trial in miniature, against the real server: that it comes to its end, and what its report says.
//!
//! No figure is compared with a bar here, as a busy machine may miss every one: deadlines are far away, and only what must
//! hold at any speed is asserted. The program is also the server that it starts: with `serve` as its first argument.

mod serve;

use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Failed, Trial};

const FUNCTIONS: &str = r#"
[[function]]
name = "short"
cpu = "20us"
deadline = "30s"
[[function]]
name = "long"
cpu = "2ms"
deadline = "30s"
[[function]]
name = "hello"
module = "empty"
deadline = "30s"
[[function]]
name = "mirror"
module = "echo"
deadline = "30s"
[[variant]]
name = "luge"
"#;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return match serve::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let tests: [(&str, fn()); 6] = [
        (
            "mixed_has_a_row_for_each_load_and_a_chart",
            mixed_has_a_row_for_each_load_and_a_chart,
        ),
        (
            "overload_tells_what_became_of_each_mix",
            overload_tells_what_became_of_each_mix,
        ),
        ("hello_takes_ratios_of_cpu_time", hello_takes_ratios_of_cpu_time),
        (
            "skew_keeps_connections_of_one_shard",
            skew_keeps_connections_of_one_shard,
        ),
        ("soak_counts_every_request_once", soak_counts_every_request_once),
        (
            "a_manifest_that_the_server_refuses_is_told_in_its_words",
            a_manifest_that_the_server_refuses_is_told_in_its_words,
        ),
    ];
    let trials = tests.map(|(name, test)| {
        let test = move || {
            test();
            Ok::<_, Failed>(())
        };
        Trial::test(name, test)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// Runs the trial whose kind's table and further variants are `text`.
fn trial(text: &str, arguments: &[&str]) -> Output {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2));
    let head = format!("description = \"small\"\nrounds = 1\nphase = \"300ms\"\ncores = {cores}\n");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("small.toml");
    std::fs::write(&file, format!("{head}{FUNCTIONS}{text}")).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_luge-load"));
    command
        .arg("trial")
        .arg(&file)
        .arg("--luge")
        .arg(std::env::current_exe().expect("a path"))
        .args(arguments);
    command.output().expect("the program runs")
}

/// What a trial that came to its end wrote.
fn text(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn mixed_has_a_row_for_each_load_and_a_chart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (csv, svg) = (folder.path().join("a.csv"), folder.path().join("a.svg"));
    let files = [
        "--csv",
        csv.to_str().expect("text"),
        "--svg",
        svg.to_str().expect("text"),
    ];
    let of = "[[variant]]\nname = \"cgi\"\npeer = \"cgi\"\n\
              [mixed]\nshort = \"short\"\nrate = 100\nlong = \"long\"\nloads = [20]\nreference = \"luge\"\n";
    let text = text(&trial(of, &files));
    for load in ["idle", "20 %", "saturated"] {
        let row = text
            .lines()
            .find(|line| line.starts_with("| luge") && line.contains(load));
        assert!(row.is_some(), "{load}: {text}");
    }
    // Its own reference loses nothing.
    assert!(
        text.contains("throughput of long beside luge, at least 0.97: 1.000: met"),
        "{text}"
    );
    let csv = std::fs::read_to_string(csv).expect("a file");
    assert!(
        csv.lines()
            .any(|line| line.starts_with("1,luge,20 %,short_p99_ns,")),
        "{csv}"
    );
    assert!(std::fs::read_to_string(svg).expect("a file").starts_with("<svg"));
}

fn overload_tells_what_became_of_each_mix() {
    let of = "[overload]\noffered = 0.4\nafter = 0.2\nwindow = \"20ms\"\n\
              [[overload.mix]]\nname = \"one\"\nshares = { long = 1.0 }\n\
              [[overload.mix]]\nname = \"two\"\nshares = { short = 0.1, long = 0.9 }\n";
    let slow = "[[variant]]\nname = \"small\"\ncores = 1\n";
    let text = text(&trial(&format!("{slow}{of}"), &[]));
    assert!(text.contains("| one") && text.contains("| two"), "{text}");
    // Each number of cores has a capacity, and bars, of its own.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let servers = cores.min(2);
    assert_eq!(text.matches(" of short a second").count(), servers, "{text}");
    assert_eq!(
        text.matches("- two: goodput, at least 95 %").count(),
        servers,
        "{text}"
    );
    assert_eq!(
        text.matches("- two: goodput by CPU time, at least 95 %").count(),
        servers,
        "{text}"
    );
}

fn hello_takes_ratios_of_cpu_time() {
    let of = "[[variant]]\nname = \"again\"\ncores = 1\n\
              [hello]\nfunction = \"hello\"\nconnections = 4\nratios = [[\"luge\", \"again\"]]\nscaling = [[\"again\", \"luge\"]]\n";
    let text = text(&trial(of, &[]));
    assert!(
        text.contains("CPU of luge by again") && text.contains("scaling, again to luge"),
        "{text}"
    );
}

fn skew_keeps_connections_of_one_shard() {
    let of = "[skew]\nfunction = \"long\"\nconnections = 3\n";
    let text = text(&trial(of, &["--max-steal", "50"]));
    assert!(text.contains("3 connections on shard 0"), "{text}");
}

fn soak_counts_every_request_once() {
    let of = "[soak]\nrequests = 3000\nconnections = 8\nrequests_per_connection = 20\nstall = \"5ms\"\nstall_every = \"50ms\"\n\
              guests = { short = 50, long = 1, hello = 10, mirror = 39 }\n";
    let text = text(&trial(of, &[]));
    assert!(text.contains("3000 requests in"), "{text}");
    assert!(text.contains("every number has one answer: met"), "{text}");
}

fn a_manifest_that_the_server_refuses_is_told_in_its_words() {
    let of = "[[variant]]\nname = \"odd\"\nmanifest = \"[engine]\\nno_such_key = 1\"\n\
              [skew]\nfunction = \"long\"\nconnections = 1\n";
    let output = trial(of, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["variant odd", "no_such_key", "--variants"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let output = trial(of, &["--variants", "even"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("no variant is called even; there are luge, odd"),
        "{said}"
    );
}
