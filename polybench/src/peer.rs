//! A program that runs kernels, driven by lines on its standard input and output: another engine, or a native build.
//!
//! ```text
//!   driver                            peer
//!      │ ◄──────── ready DESCRIPTION ──┤   once it is built and started
//!      ├─ load NAME PATH ────────────► │
//!      │ ◄── ok | unsupported WHY ─────┤
//!      ├─ run NAME ARGUMENT ─────────► │   what is called is told by the module's exports, see [`contender`]
//!      │ ◄── ok CHECKSUM CPU WALL ─────┤   16 hexadecimal digits; nanoseconds, measured by the peer in itself
//!      ├─ dump NAME PATH ────────────► │   writes the live-out arrays of the last run, one after the other
//!      │ ◄── ok ───────────────────────┤
//!      ├─ compile PATH ──────────────► │
//!      │ ◄── ok NANOSECONDS ───────────┤
//! ```
//!
//! `error WHY` may answer everything. A path is the rest of its line. Only one process computes at a time: the driver waits for
//! each answer.
//!
//! [`contender`]: crate::contender

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::clock::Time;
use crate::contender::{Checksum, Contender, ContenderError, Run};

/// Longest time until a peer is built and ready.
const READY_TIMEOUT: Duration = Duration::from_secs(1800);

/// Longest time until a command is answered: the largest data set takes an interpreter the better part of an hour.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(7200);

/// Longest answer. One that is longer ends the conversation.
const ANSWER_BYTES_MAX: u64 = 1 << 16;

/// A peer that runs. It is ended when this is dropped.
pub struct Peer {
    name: String,
    description: String,
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Peer {
    /// Starts a program and waits until it is ready.
    ///
    /// # Errors
    /// [`ContenderError::Unsupported`] where it cannot be started or ends at once.
    pub fn start(name: &str, command: &mut Command) -> Result<Peer, ContenderError> {
        let program = command.get_program().display().to_string();
        let cannot = |why: String| ContenderError::Unsupported(format!("cannot start {program}: {why}"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| cannot(error.to_string()))?;
        let (Some(commands), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both are piped");
        };
        let (send, answers) = sync_channel(1);
        // Ends with the peer's output, or when nobody listens any more.
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            while let Some(line) = read_line(&mut out) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut peer = Peer {
            name: name.to_owned(),
            description: String::new(),
            child,
            commands,
            answers,
        };
        let greeting = peer.receive(READY_TIMEOUT).map_err(cannot)?;
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
        if command.contains('\n') {
            return Err(failed("a line break cannot be said".to_owned()));
        }
        // Every later answer would be taken for another command's.
        if let Ok(line) = self.answers.try_recv() {
            return Err(failed(format!("it said `{line}` before it was asked")));
        }
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

    fn run(&mut self, name: &str, argument: i32) -> Result<Run, ContenderError> {
        let words = self.ask(&format!("run {name} {argument}"))?;
        let parsed = match words.as_slice() {
            [sum, cpu, wall] => u64::from_str_radix(sum, 16)
                .ok()
                .zip(nanoseconds(cpu).zip(nanoseconds(wall))),
            _ => None,
        };
        let (sum, (cpu, wall)) =
            parsed.ok_or_else(|| ContenderError::Failed(format!("no checksum and two times: {words:?}")))?;
        Ok(Run {
            checksum: Checksum(sum),
            time: Time { cpu, wall },
        })
    }

    fn dump(&mut self, name: &str, path: &Path) -> Result<(), ContenderError> {
        self.ask(&format!("dump {name} {}", path.display())).map(drop)
    }

    fn compile(&mut self, path: &Path) -> Result<Duration, ContenderError> {
        let words = self.ask(&format!("compile {}", path.display()))?;
        let time = words.first().and_then(|word| nanoseconds(word));
        time.ok_or_else(|| ContenderError::Failed(format!("no time: {words:?}")))
    }
}

fn nanoseconds(word: &str) -> Option<Duration> {
    word.parse().ok().map(Duration::from_nanos)
}

/// A line without its end; nothing where the output has ended, is no text, or has no line's end within the longest answer.
fn read_line(out: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    match out.take(ANSWER_BYTES_MAX).read_line(&mut line) {
        Ok(_) => line.strip_suffix('\n').map(str::to_owned),
        Err(_) => None,
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
        Peer::start("script", Command::new("sh").args(["-c", &script]))
    }

    #[test]
    fn answers_are_understood() {
        let mut peer =
            scripted("ok 'ok 00000000000000ff 1500 1600' ok 'ok 7' 'unsupported no vectors' 'error trap'")
                .expect("a shell");
        assert_eq!(peer.description(), "a script");
        peer.load("a", Path::new("a.wasm")).expect("loaded");
        let run = peer.run("a", 1).expect("run");
        assert_eq!(run.checksum, Checksum(255));
        let [cpu, wall] = [1500, 1600].map(Duration::from_nanos);
        assert_eq!(run.time, Time { cpu, wall });
        peer.dump("a", Path::new("dump")).expect("dumped");
        let time = peer.compile(Path::new("a.wasm")).expect("compiled");
        assert_eq!(time, Duration::from_nanos(7));
        let refused = peer.load("b", Path::new("b.wasm"));
        assert!(matches!(refused, Err(ContenderError::Unsupported(why)) if why == "no vectors"));
        let trapped = peer.run("a", 2);
        assert!(matches!(trapped, Err(ContenderError::Failed(why)) if why.contains("trap")));
    }

    #[test]
    fn a_peer_that_is_not_there_or_ends_is_told_apart_from_one_that_fails() {
        let absent = Peer::start("absent", &mut Command::new("/nonexistent/program"));
        assert!(matches!(absent, Err(ContenderError::Unsupported(_))));
        let ended = Peer::start("ended", &mut Command::new("true"));
        assert!(matches!(ended, Err(ContenderError::Unsupported(_))));
        let babbling = Peer::start("babbling", Command::new("echo").arg("hello"));
        assert!(matches!(babbling, Err(ContenderError::Failed(_))));
    }

    #[test]
    fn an_answer_without_end_or_question_is_none() {
        let endless = "echo ready endless; read -r _; head -c 70000 /dev/zero | tr '\\0' x; echo; read -r _";
        let mut peer = Peer::start("endless", Command::new("sh").args(["-c", endless])).expect("a shell");
        let error = peer.load("a", Path::new("a")).expect_err("too long");
        assert!(error.to_string().contains("has ended"), "{error}");
        // Now and then a question may come before the next answer, but not a thousand times.
        let eager = "echo ready eager; while echo ok; do :; done";
        let mut peer = Peer::start("eager", Command::new("sh").args(["-c", eager])).expect("a shell");
        let mut asked = (0..1000).map(|_| {
            // Time for the answer to the next question to come, which on a busy machine is not soon read.
            std::thread::sleep(Duration::from_millis(2));
            peer.load("a", Path::new("a"))
        });
        let error = asked.find_map(Result::err).expect("an error").to_string();
        assert!(error.contains("before it was asked"), "{error}");
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut peer = scripted("'ok zz 1 1' 'ok 00000000000000ff 1' 'ok'").expect("a shell");
        assert!(matches!(peer.run("a", 1), Err(ContenderError::Failed(_))));
        assert!(matches!(peer.run("a", 1), Err(ContenderError::Failed(_))));
        assert!(matches!(
            peer.compile(Path::new("a")),
            Err(ContenderError::Failed(_))
        ));
        let broken = peer.load("a", Path::new("a\nrun"));
        assert!(matches!(broken, Err(ContenderError::Failed(why)) if why.contains("line break")));
    }
}
