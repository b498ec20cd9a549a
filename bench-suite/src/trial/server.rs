//! Servers as child processes: started, asked where they listen, ended when dropped.
//!
//! Every server here prints `http://127.0.0.1:PORT`, its port being one that the system chose; luge prints its admin address after that.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::definition::{Definition, Module, Variant};
use super::metrics::Metrics;
use crate::load::{Target, duration_text};

/// Longest time until a server says where it listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for a server to end by itself.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Lines of what a server said that an error shows.
const LINES_SHOWN: usize = 6;

/// A server that runs.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) target: Target,
    admin: Option<SocketAddr>,
}

/// Why a server is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Its program cannot be started.
    #[error("cannot start {program}: {source}; build it first, or say where it is")]
    Program {
        /// Which program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended, or said nothing, before it listened.
    #[error(
        "the server did not start; it said:\n{said}\nIf it does not know a key of the manifest, leave the variant out: --variants"
    )]
    Start {
        /// The end of what it wrote.
        said: String,
    },
    /// Its metrics cannot be had.
    #[error("cannot read its metrics: {0}")]
    Metrics(std::io::Error),
    /// What it is built from, or with, is not here: it is left out.
    #[error("{0}")]
    Unavailable(String),
    /// Files of this machine.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

impl Server {
    /// Starts luge on the manifest of `variant`, which is written to `folder` together with the modules.
    pub(super) fn luge(
        program: &Path,
        folder: &Path,
        definition: &Definition,
        variant: &Variant,
        cores: usize,
    ) -> Result<Server, ServerError> {
        let file = folder.join(format!("{}.toml", variant.name));
        std::fs::write(&file, manifest(definition, variant))?;
        for module in [Module::Work, Module::Empty, Module::Echo] {
            std::fs::write(folder.join(module.file()), module.wasm())?;
        }
        let mut command = Command::new(program);
        command.arg("serve").arg(&file);
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--log",
            "warn",
        ]);
        command.args(["--cores", &cores.to_string()]);
        Server::start(command, &folder.join(format!("{}.err", variant.name)), true)
    }

    /// Starts `command`, whose standard error goes to the file `errors`.
    pub(super) fn start(mut command: Command, errors: &Path, has_admin: bool) -> Result<Server, ServerError> {
        let spawned = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(errors)?)
            .spawn();
        let mut child = spawned.map_err(|source| ServerError::Program {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        let lines = lines(child.stdout.take());
        let mut server = Server {
            child,
            target: Target {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                authority: String::new(),
            },
            admin: None,
        };
        let end = Instant::now() + START_TIMEOUT;
        let next = || loop {
            let line = lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
                .ok()?;
            if let Some(url) = url(&line) {
                return Some(url);
            }
        };
        let start_error = || ServerError::Start { said: tail(errors) };
        let address = next().ok_or_else(start_error)?;
        server.target = Target {
            address,
            authority: address.to_string(),
        };
        if has_admin {
            server.admin = Some(next().ok_or_else(start_error)?);
        }
        Ok(server)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What luge counts, as it stands now; nothing of another server.
    pub(super) fn metrics(&self) -> Result<Metrics, ServerError> {
        match self.admin {
            Some(admin) => Metrics::read(admin).map_err(ServerError::Metrics),
            None => Ok(Metrics::default()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // One that has ended already cannot be told to.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let end = Instant::now() + END_TIMEOUT;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Module {
    fn file(self) -> &'static str {
        match self {
            Module::Work => "work.wasm",
            Module::Empty => "empty.wasm",
            Module::Echo => "echo.wasm",
        }
    }

    fn wasm(self) -> &'static [u8] {
        match self {
            Module::Work => include_bytes!("../../../functions/wasm/work.wasm"),
            Module::Empty => include_bytes!("../../../functions/wasm/empty.wasm"),
            Module::Echo => include_bytes!("../../../functions/wasm/echo.wasm"),
        }
    }
}

/// The manifest of a variant: keys of the trial, tables of the variant, and the functions at the routes of their names.
fn manifest(definition: &Definition, variant: &Variant) -> String {
    let mut text = format!("{}\n{}\n", definition.manifest, variant.manifest);
    for function in &definition.functions {
        let deadline = duration_text_exact(function.deadline);
        text += &format!(
            "\n[[function]]\nname = \"{name}\"\nroute = \"/{name}\"\nmodule = \"{module}\"\ndeadline = \"{deadline}\"\n{more}\n",
            name = function.name,
            module = function.module.file(),
            more = function.manifest,
        );
    }
    text
}

/// A duration that a manifest takes, to the microsecond.
fn duration_text_exact(duration: Duration) -> String {
    match duration.as_micros() {
        micros if micros % 1000 == 0 => format!("{}ms", micros / 1000),
        micros => format!("{micros}us"),
    }
}

/// The lines of a server's standard output. A thread takes them to the end, so that the server never waits for a reader.
fn lines(output: Option<ChildStdout>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = output {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody reads what comes after the addresses.
                let _ = sender.send(line);
            }
        });
    }
    receiver
}

/// The loopback address of a URL in a line.
fn url(line: &str) -> Option<SocketAddr> {
    let rest = &line[line.find("http://")? + "http://".len()..];
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The last lines of a file.
fn tail(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
    if shown.is_empty() {
        format!("nothing, for {}", duration_text(START_TIMEOUT.as_nanos() as u64))
    } else {
        shown.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::super::definition::Definition;
    use super::*;

    #[test]
    fn addresses_are_found_in_words() {
        let found = url("luge listens on http://127.0.0.1:54933");
        assert_eq!(found, Some(SocketAddr::from(([127, 0, 0, 1], 54933))));
        let found = url("admin on http://127.0.0.1:37387 (/livez /readyz)");
        assert_eq!(found.map(|address| address.port()), Some(37387));
        assert_eq!(url("curl 'https://example.org'"), None);
        assert_eq!(url("http://localhost"), None);
    }

    #[test]
    fn manifests_of_all_trials_are_toml() {
        for (name, _) in super::super::TRIALS {
            let definition = Definition::load(name).expect(name);
            for variant in &definition.variants {
                let text = manifest(&definition, variant);
                let table: toml::Table = text.parse().expect("TOML");
                let functions = table["function"].as_array().expect("functions");
                assert_eq!(functions.len(), definition.functions.len());
            }
        }
    }

    #[test]
    fn deadlines_are_written_without_loss() {
        assert_eq!(duration_text_exact(Duration::from_micros(1500)), "1500us");
        assert_eq!(duration_text_exact(Duration::from_secs(10)), "10000ms");
    }

    #[test]
    fn a_server_that_does_not_start_has_the_last_word() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("sh");
        command.args(["-c", "echo unknown key >&2; exit 1"]);
        let error = Server::start(command, &folder.path().join("err"), false).expect_err("it ended");
        assert!(error.to_string().contains("unknown key"), "{error}");
        let missing = Server::start(Command::new("/no/such"), &folder.path().join("err"), false);
        assert!(matches!(missing, Err(ServerError::Program { .. })));
    }
}
