//! Every example function, over HTTP, against the answers that stand in `functions/inputs/cases.toml`.

use std::process::Command;

use crate::support::{Answer, Folder, Server, functions_folder, in_each_engine, picture_size};
use serde::Deserialize;

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    function: String,
    input: Option<String>,
    body: Option<String>,
    query: Option<String>,
    exit: Option<u32>,
    stderr: Option<String>,
    stdout: Option<String>,
    stdout_file: Option<String>,
    status: Option<String>,
    content_type: Option<String>,
    contains: Option<String>,
    body_sha256: Option<String>,
    picture: Option<Picture>,
}

#[derive(Deserialize)]
struct Picture {
    format: String,
    width: u32,
    height: u32,
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(functions_folder().join("inputs/cases.toml")).expect("the cases");
    toml::from_str::<Cases>(&text)
        .expect("cases as their README says")
        .case
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(functions_folder().join("inputs").join(name)).expect("an input")
}

in_each_engine!(every_case_is_answered_as_expected);

fn every_case_is_answered_as_expected(engine: &[&str]) {
    let server = Server::examples(engine);
    let cases = cases();
    assert!(cases.len() >= 30, "{} cases", cases.len());
    for case in &cases {
        let (target, body) = request(case);
        check(case, &server.post(&target, &body), &target, &server);
    }
    for name in [
        "empty",
        "echo",
        "fibonacci",
        "hash",
        "ekf",
        "cgi_env",
        "resize",
        "png2bmp",
    ] {
        assert!(
            cases.iter().any(|case| case.function == name),
            "no case for {name}"
        );
    }
}

/// Target and body of a case's request.
fn request(case: &Case) -> (String, Vec<u8>) {
    let body = match (&case.input, &case.body) {
        (Some(name), _) => file(name),
        (None, text) => text.clone().unwrap_or_default().into_bytes(),
    };
    let query = case
        .query
        .as_ref()
        .map_or(String::new(), |query| format!("?{query}"));
    (format!("/{}{query}", case.function), body)
}

#[test]
fn every_engine_gives_the_same_bytes() {
    let interp = Server::examples(&["--tier", "interp"]);
    let guard = Server::examples(&["--tier", "baseline"]);
    let software = Server::examples(&["--tier", "baseline", "--bounds", "software"]);
    for case in cases() {
        let (target, body) = request(&case);
        let expected = told(interp.post(&target, &body));
        for server in [&guard, &software] {
            // Pictures are large: a difference is told by where it is.
            let found = told(server.post(&target, &body));
            assert_eq!(
                (found.status, &found.headers),
                (expected.status, &expected.headers),
                "{target}"
            );
            let mut pairs = found.body.iter().zip(&expected.body);
            let differs = pairs.position(|(one, other)| one != other);
            assert_eq!(
                (differs, found.body.len()),
                (None, expected.body.len()),
                "{target}"
            );
        }
    }
}

/// The answer without what differs between two servers by right: the time of day, and the address in CGI variables.
fn told(mut answer: Answer) -> Answer {
    answer.headers.retain(|(name, _)| name != "date");
    let text = String::from_utf8_lossy(&answer.body);
    if text.contains("SERVER_PORT=") {
        let mine = |line: &&str| !line.starts_with("SERVER_PORT=") && !line.starts_with("REMOTE_PORT=");
        answer.body = text
            .lines()
            .filter(mine)
            .collect::<Vec<_>>()
            .join("\n")
            .into_bytes();
        answer.headers.retain(|(name, _)| name != "content-length");
    }
    answer
}

fn check(case: &Case, answer: &Answer, target: &str, server: &Server) {
    let context = format!("{target}: {} {:?}", answer.status, answer.headers);
    if let Some(code) = case.exit {
        assert_eq!(
            (answer.status, answer.reason()),
            (500, format!("exit code {code}").as_str()),
            "{context}"
        );
        let expected = case.stderr.as_deref().unwrap_or_default();
        server.wait_until("stderr in the log", |server| server.log().contains(expected));
        return;
    }
    let status = case.status.as_deref().unwrap_or("200");
    assert_eq!(answer.status.to_string(), status[..3], "{context}");
    if let Some(content_type) = &case.content_type {
        assert_eq!(
            answer.header("content-type"),
            Some(content_type.as_str()),
            "{context}"
        );
    }
    if let Some(text) = &case.stdout {
        assert_eq!(answer.text(), *text, "{context}");
    }
    if let Some(name) = &case.stdout_file {
        assert!(answer.body == file(name), "{context}: another body than {name}");
    }
    if let Some(part) = &case.contains {
        assert!(answer.text().contains(part), "{context}: {}", answer.text());
    }
    if let Some(picture) = &case.picture {
        assert_eq!(
            picture_size(&picture.format, &answer.body),
            (picture.width, picture.height),
            "{context}"
        );
    }
    if let Some(hash) = &case.body_sha256 {
        // Our own SHA-256, which the cases check against published values.
        assert_eq!(
            server.post("/hash", &answer.body).text().trim_end(),
            hash,
            "{context}"
        );
    }
}

#[test]
fn the_lines_that_the_server_prints_work_as_they_stand() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("no curl on this machine: its part of the test is left out");
        return;
    }
    let server = Server::examples(&[]);
    let folder = Folder::new();
    std::os::unix::fs::symlink(functions_folder(), folder.path().join("functions")).expect("a link");
    let lines: Vec<_> = server.examples_to_try().collect();
    assert_eq!(lines.len(), 8, "{}", server.greeting);
    for line in lines {
        let shell = format!("{} --fail-with-body --silent --show-error", line.trim());
        let output = Command::new("sh")
            .args(["-c", &shell])
            .current_dir(folder.path())
            .output()
            .expect("sh");
        let text = String::from_utf8_lossy(&output.stdout);
        // cgi_env was asked for a status of the 4xx class, which curl reports as a failure: it is the right answer.
        let right =
            output.status.success() || (line.contains("418") && text.contains("QUERY_STRING=status=418"));
        assert!(
            right,
            "{line}: {:?}\n{text}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        match () {
            () if line.contains("/echo") => assert_eq!(text, "Hello, Luge"),
            () if line.contains("/fibonacci") => assert_eq!(text, "6765\n"),
            () if line.contains("/hash") => assert!(text.starts_with("ba7816bf8f01cfea")),
            () => {}
        }
    }
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("curl wrote it");
    assert_eq!(picture_size("png", &read("small.png")), (320, 200));
    assert_eq!(picture_size("bmp", &read("roadside.bmp")), (480, 300));
}

#[test]
fn a_tracker_keeps_its_state_between_requests() {
    let server = Server::examples(&[]);
    let track = String::from_utf8(file("track.txt")).expect("text");
    let whole = server.post("/ekf", track.as_bytes()).text();
    let lines: Vec<&str> = track.lines().collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    let first = server.post("/ekf", first.join("\n").as_bytes()).text();
    let body = format!("{first}{}\n", second.join("\n"));
    let second = server.post("/ekf", body.as_bytes()).text();
    let estimates = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("est"))
            .map(str::to_owned)
            .collect()
    };
    let joined: Vec<String> = [estimates(&first), estimates(&second)].concat();
    let expected: Vec<String> = estimates(&whole);
    assert!(expected.len() > 400);
    assert_eq!(
        joined, expected,
        "the cut track gives the same estimates, to the last digit"
    );
}
