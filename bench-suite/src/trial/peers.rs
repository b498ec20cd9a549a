//! Other servers: built here when they are first asked for, and left out with a notice where that cannot be done.

use std::path::Path;
use std::process::Command;

use super::definition::{Definition, Module, Peer};
use super::server::{Server, ServerError};

/// The CGI server and its function, as sources.
const CGI_SOURCE: &str = include_str!("../../peers-http/cgi.c");
const WORK_SOURCE: &str = include_str!("../../../functions/work/work.c");
const BODY_SOURCE: &str = include_str!("../../../functions/include/body.h");

/// The crate of the server on hyper and tokio: a workspace of its own with a lock file of its own.
const HYPER_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers-http/hyper-tokio");

impl Peer {
    /// Starts it, with files in `folder`.
    pub(super) fn start(
        self,
        folder: &Path,
        definition: &Definition,
        cores: usize,
    ) -> Result<Server, ServerError> {
        match self {
            Peer::Cgi => cgi(folder, definition),
            Peer::Hyper => hyper(folder, cores),
        }
    }
}

/// The kernel gives its processes all cores; a trial that compares it gives luge all as well.
fn cgi(folder: &Path, definition: &Definition) -> Result<Server, ServerError> {
    std::fs::write(folder.join("cgi.c"), CGI_SOURCE)?;
    std::fs::write(folder.join("work.c"), WORK_SOURCE)?;
    std::fs::write(folder.join("body.h"), BODY_SOURCE)?;
    compile(folder, &["-pthread", "-o", "cgi", "cgi.c"])?;
    // A static program starts several times as fast as one that has to be linked first.
    compile(folder, &["-static", "-D_GNU_SOURCE", "-o", "work", "work.c"])?;
    let mut command = Command::new(folder.join("cgi"));
    let functions = definition.functions.iter();
    for function in functions.filter(|function| function.module == Module::Work) {
        command.arg(format!("{}={}", function.name, folder.join("work").display()));
    }
    Server::start(command, &folder.join("cgi.err"), false)
}

fn compile(folder: &Path, arguments: &[&str]) -> Result<(), ServerError> {
    let output = Command::new("cc")
        .current_dir(folder)
        .args(["-std=gnu17", "-O2", "-I."])
        .args(arguments)
        .output()
        .map_err(|error| ServerError::Unavailable(format!("no C compiler cc: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(ServerError::Unavailable(format!("cc failed: {said}")))
}

fn hyper(folder: &Path, threads: usize) -> Result<Server, ServerError> {
    if !Path::new(HYPER_FOLDER).exists() {
        let why = "it is built from the source tree of luge, which is not where this program was built";
        return Err(ServerError::Unavailable(why.to_owned()));
    }
    // In its folder, where the toolchain of the tree holds.
    let built = Command::new("cargo")
        .current_dir(HYPER_FOLDER)
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--message-format",
            "json",
        ])
        .output()
        .map_err(|error| ServerError::Unavailable(format!("no cargo: {error}")))?;
    let program = executable(&String::from_utf8_lossy(&built.stdout));
    let Some(program) = program.filter(|_| built.status.success()) else {
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        return Err(ServerError::Unavailable(format!("cargo failed: {said}")));
    };
    let mut command = Command::new(program);
    command.arg(threads.to_string());
    Server::start(command, &folder.join(format!("hyper-{threads}.err")), false)
}

/// Where cargo says that it has put the program.
fn executable(messages: &str) -> Option<String> {
    let values = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut paths = values.filter_map(|value| value.get("executable")?.as_str().map(str::to_owned));
    paths.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tells_where_the_program_is() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/a/hyper-tokio\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages).as_deref(), Some("/a/hyper-tokio"));
        assert_eq!(executable(""), None);
    }
}
