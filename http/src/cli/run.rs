//! `luge run`: a WASI program as a command, with the process's own streams.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use luge_core::wasi::{Input, Output, WasiConfigError, WasiCtx};
use luge_core::{CallError, Execution, Func, InstantiateError, LinkError, Step, Store, TrapReport};

use super::RunArgs;
use crate::engine::{Attachments, CompileError, Compiled, EngineChoice, Engines};
use crate::function::is_command;
use crate::profile::{self, ProfileError};

/// Exit code after `--timeout`, as that of `timeout(1)`.
pub const EXIT_TIMEOUT: u8 = 124;
/// Exit code when the program could not be run at all, as that of `env(1)` and its kin.
pub const EXIT_FAILED: u8 = 125;
/// Exit code after a trap: what a shell shows for a process that was aborted (128 + SIGABRT).
pub const EXIT_TRAP: u8 = 134;

/// How a program came to its end.
#[derive(Debug)]
pub enum Ended {
    /// By itself, with this code.
    Exit(u32),
    /// By a trap.
    Trap(TrapReport),
    /// By `--timeout`.
    Timeout(Duration),
}

impl Ended {
    /// The code for this process. A program's code is cut to 8 bits, as the system does with every process's.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Exit(code) => code.to_le_bytes()[0],
            Self::Trap(_) => EXIT_TRAP,
            Self::Timeout(_) => EXIT_TIMEOUT,
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Timeout(time) => write!(f, "timeout of {time:?} exceeded"),
            Self::Trap(report) => {
                write!(f, "trap: {report}")?;
                for frame in &report.backtrace {
                    let name = frame.name.as_deref().unwrap_or("?");
                    write!(
                        f,
                        "\n    at {} (function {})",
                        name.escape_debug(),
                        frame.func_index
                    )?;
                }
                Ok(())
            }
        }
    }
}

/// Why a program could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunProblem {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The bytes are no module that the engine takes, or the tier cannot be had.
    #[error("{}: {source}", .path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CompileError,
    },
    /// Profilers cannot be given names.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// It imports what nobody provides.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It is no command.
    #[error("the module exports no function `_start` without parameters and results: it is no WASI command")]
    NoStart,
    /// What was granted cannot be granted.
    #[error(transparent)]
    Grant(#[from] WasiConfigError),
    /// Its instance could not be made.
    #[error(transparent)]
    Instantiate(#[from] InstantiateError),
    /// `_start` cannot be called.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Runs the program to its end.
///
/// # Errors
/// What kept it from being run.
pub fn run(args: &RunArgs) -> Result<Ended, RunProblem> {
    die_of_broken_pipes();
    // A program may block in a read of stdin, where no fuel is counted: the clock is kept by another thread, which ends
    // the process. Nothing is lost by that, since the program's writes are not buffered here.
    let deadline = args.timeout.map(|timeout| (Instant::now() + timeout, timeout));
    let choice = EngineChoice::default().overridden_by(args.engine.tier, args.engine.bounds);
    let attachments = Attachments {
        observer: profile::asked_for(args.perf_map)?,
        code_cache: None,
    };
    let engines = Engines::for_command(choice, attachments);
    let Compiled {
        module,
        tier,
        declined,
        ..
    } = load(&engines, args)?;
    if let Some(reason) = declined {
        super::report(&format_args!("the program is interpreted: {reason}"));
    }
    let engine = engines.engine(tier);
    let linked = engines.linker(tier).link(&module)?;
    if !is_command(&module) {
        return Err(RunProblem::NoStart);
    }
    let name = args.file().file_name().unwrap_or_default().to_string_lossy();
    let mut builder = WasiCtx::builder().arg(name.as_bytes()).args(args.args());
    for (name, value) in &args.env {
        builder = builder.env(name, value);
    }
    for dir in &args.dirs {
        builder = builder.preopen_read_only(&dir.host, &dir.guest)?;
    }
    let context = builder
        .stdin(Input::Inherit)
        .stdout(Output::Inherit)
        .stderr(Output::Inherit)
        .build()?;
    let mut store = Store::new(engine, &engine.config().limits.clone(), context);
    let instance = match linked.instantiate(&mut store) {
        Ok(instance) => instance,
        Err(InstantiateError::Trap(report)) => return Ok(Ended::Trap(report)),
        Err(InstantiateError::Exit(code)) => return Ok(Ended::Exit(code)),
        Err(error) => return Err(error.into()),
    };
    if let Some((deadline, timeout)) = deadline {
        watch(deadline, timeout);
    }
    let entries = [instance.start(&store), instance.func(&store, "_start")];
    for entry in entries.into_iter().flatten() {
        if let Some(ended) = call(&mut store, entry)? {
            return Ok(ended);
        }
    }
    Ok(Ended::Exit(0))
}

/// Gives SIGPIPE its default meaning again, which Rust's start-up code takes away: in `luge run x.wasm | head` the
/// program ends when its reader does, as any command, also one that ignores the errors of its writes.
fn die_of_broken_pipes() {
    let always = Arc::new(AtomicBool::new(true));
    // Without it a program gets EPIPE and has to look at it: worse, and no reason not to run.
    let _ = signal_hook::flag::register_conditional_default(signal_hook::consts::SIGPIPE, always);
}

/// Runs one function; `None` when it returned and the next may follow.
fn call(store: &mut Store<WasiCtx>, entry: Func) -> Result<Option<Ended>, CallError> {
    let mut execution = Execution::new(store, entry, &[])?;
    loop {
        match execution.resume(store, u64::MAX) {
            Step::Finished => return Ok(None),
            Step::Preempted => {}
            Step::Blocked { until } => std::thread::sleep(until.saturating_duration_since(Instant::now())),
            Step::Trapped(report) => return Ok(Some(Ended::Trap(report))),
            Step::Exited(code) => return Ok(Some(Ended::Exit(code))),
        }
    }
}

fn load(engines: &Engines, args: &RunArgs) -> Result<Compiled, RunProblem> {
    let path = args.file();
    let wasm = std::fs::read(path).map_err(|source| RunProblem::Read {
        path: path.to_owned(),
        source,
    })?;
    engines
        .compile(args.engine.tier, &wasm)
        .map_err(|source| RunProblem::Compile {
            path: path.to_owned(),
            source,
        })
}

fn watch(deadline: Instant, timeout: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        let ended = Ended::Timeout(timeout);
        super::report(&ended);
        std::process::exit(i32::from(ended.code()));
    });
}
