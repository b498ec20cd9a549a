//! Other engines, each in a process of its own, driven by lines on its standard input and output.
//!
//! ```text
//!   harness                          peer
//!      │ ◄──────── ready DESCRIPTION ──┤   once it is built and started
//!      ├─ load NAME PATH ────────────► │
//!      │ ◄── ok | unsupported WHY ─────┤
//!      ├─ run NAME N ────────────────► │
//!      │ ◄── ok CHECKSUM NANOSECONDS ──┤   CPU time of the call, measured by the peer in itself
//!      ├─ compile PATH ──────────────► │
//!      │ ◄── ok NANOSECONDS ───────────┤
//! ```
//!
//! `error WHY` may answer everything. Only one process computes at a time: the harness waits for each answer.

use crate::contender::{Contender, ContenderError};
use crate::kernel::{Checksum, FOLDER};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// A kind of peer.
#[derive(Debug, Clone, Copy)]
pub struct PeerKind {
    /// Name on the command line and in tables.
    pub name: &'static str,
    /// The command line; `{}` stands for the folder of this crate.
    command: &'static [&'static str],
}

/// All peers. Those in Rust are built by cargo when they are first asked for.
pub const PEERS: &[PeerKind] = &[
    PeerKind {
        name: "liftoff",
        command: &[
            "node",
            "--single-threaded",
            "--allow-natives-syntax",
            "--no-wasm-lazy-compilation",
            "--liftoff",
            "--no-wasm-tier-up",
            // Without this V8 11 tiers up all the same.
            "--no-wasm-dynamic-tiering",
            "{}/peers/node.mjs",
            "liftoff",
        ],
    },
    PeerKind {
        name: "turbofan",
        command: &[
            "node",
            "--single-threaded",
            "--allow-natives-syntax",
            "--no-wasm-lazy-compilation",
            "--no-liftoff",
            "{}/peers/node.mjs",
            "turbofan",
        ],
    },
    PeerKind {
        name: "winch",
        command: &NATIVE_WINCH,
    },
    PeerKind {
        name: "wasmi",
        command: &NATIVE_WASMI,
    },
];

const NATIVE_WINCH: [&str; 10] = native("winch");
const NATIVE_WASMI: [&str; 10] = native("wasmi");

/// `cargo run` builds where needed and then becomes the program, standard input and output included.
const fn native(name: &'static str) -> [&'static str; 10] {
    [
        "cargo",
        "run",
        "--quiet",
        "--release",
        "--locked",
        "--manifest-path={}/peers/native/Cargo.toml",
        "--features",
        name,
        "--bin",
        name,
    ]
}

/// Longest time until a peer is built and ready.
const READY_TIMEOUT: Duration = Duration::from_secs(1800);

/// Longest time until a command is answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// A peer that runs. It is ended when this is dropped.
pub struct Peer {
    name: String,
    description: String,
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Peer {
    /// Starts a peer and waits until it is ready.
    ///
    /// # Errors
    /// [`ContenderError::Unsupported`] where it cannot be had on this machine.
    pub fn start(kind: PeerKind) -> Result<Peer, ContenderError> {
        let words: Vec<_> = kind
            .command
            .iter()
            .map(|word| word.replace("{}", FOLDER))
            .collect();
        Self::start_command(kind.name, Command::new(&words[0]).args(&words[1..]))
    }

    fn start_command(name: &str, command: &mut Command) -> Result<Peer, ContenderError> {
        let cannot = |why: &str| ContenderError::Unsupported(format!("cannot start {command:?}: {why}"));
        let described = cannot("no answer");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                ContenderError::Unsupported(format!(
                    "cannot start {}: {error}",
                    command.get_program().display()
                ))
            })?;
        let (Some(commands), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both are piped");
        };
        let (send, answers) = sync_channel(1);
        // Ends with the peer's output, or when nobody listens any more.
        std::thread::spawn(move || {
            BufReader::new(out)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| send.send(line))
        });
        let mut peer = Peer {
            name: name.to_owned(),
            description: String::new(),
            child,
            commands,
            answers,
        };
        let greeting = peer.receive(READY_TIMEOUT).map_err(|_| described)?;
        match greeting.strip_prefix("ready ") {
            Some(description) => description.clone_into(&mut peer.description),
            None => {
                return Err(ContenderError::Failed(format!(
                    "{name} greeted with `{greeting}`"
                )));
            }
        }
        Ok(peer)
    }

    /// The words after `ok` of the answer to a command.
    fn ask(&mut self, command: &str) -> Result<Vec<String>, ContenderError> {
        let failed = |why: String| ContenderError::Failed(format!("`{command}`: {why}"));
        writeln!(self.commands, "{command}").map_err(|error| failed(error.to_string()))?;
        let answer = self.receive(ANSWER_TIMEOUT).map_err(failed)?;
        match answer.split_once(' ').unwrap_or((&answer, "")) {
            ("ok", rest) => Ok(rest.split_whitespace().map(str::to_owned).collect()),
            ("unsupported", why) => Err(ContenderError::Unsupported(why.to_owned())),
            _ => Err(failed(format!("answered `{answer}`"))),
        }
    }

    fn receive(&mut self, timeout: Duration) -> Result<String, String> {
        self.answers.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("no answer within {} s", timeout.as_secs()),
            RecvTimeoutError::Disconnected => "the process has ended".to_owned(),
        })
    }
}

impl Contender for Peer {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn load(&mut self, name: &str, path: &Path) -> Result<(), ContenderError> {
        self.ask(&format!("load {name} {}", path.display())).map(drop)
    }

    fn run(&mut self, name: &str, n: i32) -> Result<(Checksum, Duration), ContenderError> {
        let words = self.ask(&format!("run {name} {n}"))?;
        let parsed = match words.as_slice() {
            [sum, time] => u64::from_str_radix(sum, 16).ok().zip(time.parse().ok()),
            _ => None,
        };
        let (sum, nanoseconds) =
            parsed.ok_or_else(|| ContenderError::Failed(format!("no checksum and time: {words:?}")))?;
        Ok((Checksum(sum), Duration::from_nanos(nanoseconds)))
    }

    fn compile(&mut self, path: &Path) -> Result<Duration, ContenderError> {
        let words = self.ask(&format!("compile {}", path.display()))?;
        let time = words.first().and_then(|word| word.parse().ok());
        time.map(Duration::from_nanos)
            .ok_or_else(|| ContenderError::Failed(format!("no time: {words:?}")))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself, which is all that is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that answers each command with the next of these lines.
    fn scripted(answers: &str) -> Result<Peer, ContenderError> {
        let script = format!(
            "echo ready a script; for answer in {answers}; do read -r _; echo \"$answer\"; done; read -r _"
        );
        Peer::start_command("script", Command::new("sh").args(["-c", &script]))
    }

    #[test]
    fn answers_are_understood() {
        let mut peer = scripted("ok 'ok 00000000000000ff 1500' 'ok 7' 'unsupported no vectors' 'error trap'")
            .expect("a shell");
        assert_eq!(peer.description(), "a script");
        peer.load("a", Path::new("a.wasm")).expect("loaded");
        let run = peer.run("a", 1).expect("run");
        assert_eq!(run, (Checksum(255), Duration::from_nanos(1500)));
        let time = peer.compile(Path::new("a.wasm")).expect("compiled");
        assert_eq!(time, Duration::from_nanos(7));
        let refused = peer.load("b", Path::new("b.wasm"));
        assert!(matches!(refused, Err(ContenderError::Unsupported(why)) if why == "no vectors"));
        let trapped = peer.run("a", 2);
        assert!(matches!(trapped, Err(ContenderError::Failed(why)) if why.contains("trap")));
    }

    #[test]
    fn a_peer_that_is_not_there_or_ends_is_told_apart_from_one_that_fails() {
        let absent = Peer::start_command("absent", &mut Command::new("/nonexistent/program"));
        assert!(matches!(absent, Err(ContenderError::Unsupported(_))));
        let ended = Peer::start_command("ended", &mut Command::new("true"));
        assert!(matches!(ended, Err(ContenderError::Unsupported(_))));
        let babbling = Peer::start_command("babbling", Command::new("echo").arg("hello"));
        assert!(matches!(babbling, Err(ContenderError::Failed(_))));
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut peer = scripted("'ok zz 1' 'ok'").expect("a shell");
        assert!(matches!(peer.run("a", 1), Err(ContenderError::Failed(_))));
        assert!(matches!(
            peer.compile(Path::new("a")),
            Err(ContenderError::Failed(_))
        ));
    }
}
