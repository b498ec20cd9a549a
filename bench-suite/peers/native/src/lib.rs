//! The line protocol of the comparison harness, for engines that are Rust crates.
//!
//! ```text
//! load NAME PATH   compile and instantiate a module       ok | unsupported WHY | error WHY
//! run NAME N       call its export `run`                  ok CHECKSUM NANOSECONDS
//! compile PATH     compile a module whole                 ok NANOSECONDS
//! ```
//!
//! A command is a line on standard input, its answer a line on standard output; the first line out is
//! `ready DESCRIPTION`. Times are CPU time of the calling thread, the same clock by which the harness measures our own
//! engine.
#![forbid(unsafe_code)]

use rustix::time::{ClockId, clock_gettime};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};

/// What an engine says when something goes wrong.
pub type AnyError = Box<dyn Error + Send + Sync>;

/// Another engine.
pub trait Peer {
    /// An instance whose export `run` can be called.
    type Instance;

    /// Compiles a module whole and drops the code.
    ///
    /// # Errors
    /// Where the engine does not take the module.
    fn compile(&self, wasm: &[u8]) -> Result<(), AnyError>;

    /// Compiles and instantiates a module without imports.
    ///
    /// # Errors
    /// Where the engine does not take the module, or it has no export `run: i32 -> i64`.
    fn load(&self, wasm: &[u8]) -> Result<Self::Instance, AnyError>;

    /// Calls `run`.
    ///
    /// # Errors
    /// The guest's trap.
    fn run(&self, instance: &mut Self::Instance, n: i32) -> Result<i64, AnyError>;
}

/// Answers commands until standard input ends.
///
/// # Errors
/// Where standard input or output fail.
pub fn serve<P: Peer>(description: &str, peer: &P) -> Result<(), AnyError> {
    let mut out = std::io::stdout().lock();
    let mut instances = HashMap::new();
    writeln!(out, "ready {description}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let answer = match answer(peer, &mut instances, &line?) {
            Ok(answer) => answer,
            Err(error) => format!("error {}", one_line(&*error)),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer<P: Peer>(
    peer: &P,
    instances: &mut HashMap<String, P::Instance>,
    line: &str,
) -> Result<String, AnyError> {
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["load", name, path] => match peer.load(&std::fs::read(path)?) {
            Ok(instance) => {
                instances.insert(name.to_owned(), instance);
                Ok("ok".to_owned())
            }
            Err(error) => Ok(format!("unsupported {}", one_line(&*error))),
        },
        ["run", name, n] => {
            let instance = instances
                .get_mut(name)
                .ok_or_else(|| format!("no module is loaded as {name}"))?;
            let n = n.parse()?;
            let before = thread_cpu_nanoseconds();
            let sum = peer.run(instance, n)?;
            let nanoseconds = thread_cpu_nanoseconds() - before;
            Ok(format!("ok {sum:016x} {nanoseconds}"))
        }
        ["compile", path] => {
            let wasm = std::fs::read(path)?;
            let before = thread_cpu_nanoseconds();
            let compiled = peer.compile(&wasm);
            let nanoseconds = thread_cpu_nanoseconds() - before;
            Ok(match compiled {
                Ok(()) => format!("ok {nanoseconds}"),
                Err(error) => format!("unsupported {}", one_line(&*error)),
            })
        }
        _ => Err(format!("there is no command `{line}`").into()),
    }
}

/// The error with what caused it.
fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace('\n', " ")
}

fn thread_cpu_nanoseconds() -> i128 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
