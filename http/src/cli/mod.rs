//! The command line: what can be asked of `luge`, and the commands that are no server.
//!
//! Exit codes: 0 done; 1 something is wrong with what was given, and stderr says what; 2 the command line itself is not
//! understood. `luge run` passes the program's own code on and has three of its own, see [`run`].

pub mod check;
pub mod compile;
mod disassembly;
pub mod inspect;
pub mod polybench;
pub mod run;
pub mod sim;
pub mod top;

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{Preopen, parse_duration};
use crate::engine::{Bounds, Tier};
use crate::log::LogFormat;
use crate::preemption::PreemptionMode;

/// Serve WebAssembly functions over HTTP, on every core, each request in a sandbox of its own.
#[derive(Debug, Parser)]
#[command(name = "luge", version, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve functions over HTTP
    Serve(ServeArgs),
    /// Run a WASI program as a command
    Run(RunArgs),
    /// Check a manifest and compile its modules
    Check(CheckArgs),
    /// Tell what a module imports, exports, uses and needs, or show its machine code
    Inspect(InspectArgs),
    /// Compile a module as the server would, and tell what that costs
    Compile(CompileArgs),
    /// Compare the tiers with native code and other engines on the PolyBench kernels
    Polybench(polybench::PolybenchArgs),
    /// Simulate shards under a load and a policy, or check them with random seeds
    Sim(sim::SimArgs),
    /// Show what a running server does, again each second
    Top(top::TopArgs),
}

/// The options that choose an engine.
#[derive(Debug, Clone, Copy, Args)]
pub struct EngineArgs {
    /// Machine code made in advance, or the interpreter [default: baseline where the processor can]
    #[arg(long, value_enum, value_name = "TIER")]
    pub tier: Option<Tier>,
    /// How machine code stays inside its memory [default: guard]
    #[arg(long, value_enum, value_name = "BOUNDS")]
    pub bounds: Option<Bounds>,
}

/// Arguments of `luge serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  luge serve                                serve the built-in example functions
  luge serve luge.toml                      serve what the manifest deploys
  luge serve luge.toml --listen [::]:80     ... at another address
  luge serve --cores 1 --log luge=debug     one core, a log line for each request

SIGTERM and SIGINT drain: running requests are finished, then the program ends. A second signal ends it at once.")]
pub struct ServeArgs {
    /// The manifest; without one the built-in example functions are served
    pub manifest: Option<PathBuf>,
    /// Address of the functions; port 0 lets the system choose [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address of /livez, /readyz, /metrics and /requests [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub admin: Option<SocketAddr>,
    /// Number of cores to use [default: all]
    #[arg(long, value_name = "N")]
    pub cores: Option<NonZeroUsize>,
    /// Which engine runs functions that do not say it themselves.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// How a run is made to give its core back [default: signals where they can]
    #[arg(long, value_enum, value_name = "HOW")]
    pub preemption: Option<PreemptionMode>,
    /// Keep machine code in this folder, and take it from there at the next start
    #[arg(long, value_name = "DIR")]
    pub code_cache: Option<PathBuf>,
    /// Write /tmp/perf-PID.map, so that perf names functions
    #[arg(long)]
    pub perf_map: bool,
    /// How log lines look
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: a level, or target=level pairs
    #[arg(long, default_value = "info", value_name = "FILTER")]
    pub log: String,
}

/// Arguments of `luge run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  luge run hello.wasm world                        arguments follow the file
  luge run --dir data::/data count.wasm /data      the program may read the folder data, as /data
  luge run --env LANG=C --timeout 5s sort.wasm <in >out

Exit codes: the program's own; 124 after --timeout; 125 if the module cannot be run; 134 after a trap.")]
pub struct RunArgs {
    /// The module, a WASI preview 1 command, and the program's arguments; options of luge stand before it
    #[arg(required = true, trailing_var_arg = true, value_names = ["FILE", "ARGS"])]
    program: Vec<String>,
    /// Grant an environment variable (the host's own are never seen)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub env: Vec<(String, String)>,
    /// Let the program read a folder, under its own name or as GUEST
    #[arg(long = "dir", value_name = "HOST[::GUEST]", value_parser = parse_dir)]
    pub dirs: Vec<Preopen>,
    /// End the program after this time, like 500ms or 5s
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    pub timeout: Option<Duration>,
    /// Write /tmp/perf-PID.map, so that perf names the program's functions
    #[arg(long)]
    pub perf_map: bool,
    /// Which engine runs it.
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl RunArgs {
    /// The module.
    #[must_use]
    pub fn file(&self) -> &Path {
        Path::new(self.program.first().map_or("", String::as_str))
    }

    /// The program's arguments.
    #[must_use]
    pub fn args(&self) -> &[String] {
        self.program.get(1..).unwrap_or_default()
    }
}

/// Arguments of `luge check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  luge check luge.toml       report every problem, with file, line and key")]
pub struct CheckArgs {
    /// The manifest
    pub manifest: PathBuf,
    /// Which engine the server would be asked for.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Arguments of `luge inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  luge inspect hello.wasm    imports (provided or missing), exports, memories, features, sections, tiers
  luge inspect --asm hello.wasm                its machine code beside its operators
  luge inspect --asm --func main hello.wasm    ... of one function")]
pub struct InspectArgs {
    /// The module
    pub file: PathBuf,
    /// Show the machine code of the baseline tier instead, as the server runs it
    #[arg(long)]
    pub asm: bool,
    /// Only that of functions with this number or name
    #[arg(long, value_name = "N|NAME", requires = "asm")]
    pub func: Option<String>,
}

/// Arguments of `luge compile`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  luge compile hello.wasm                           sizes, and the time that it takes
  luge compile hello.wasm -o hello.lcode            ... and the code in a file, to be looked at
  luge compile hello.wasm --code-cache /var/cache/luge    ... and the code where luge serve finds it

Code is found again by the very program that made it: compile with the luge that will serve.")]
pub struct CompileArgs {
    /// The module
    pub file: PathBuf,
    /// Where to write the code, in the code cache's format but without its secret
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The code cache to put it in
    #[arg(long, value_name = "DIR")]
    pub code_cache: Option<PathBuf>,
    /// How the code stays inside its memory [default: guard]
    #[arg(long, value_enum, value_name = "BOUNDS")]
    pub bounds: Option<Bounds>,
    /// How the server will preempt the code [default: signals where they can]
    #[arg(long, value_enum, value_name = "HOW")]
    pub preemption: Option<PreemptionMode>,
}

/// Writes a line to stderr; a closed stderr is nobody's error.
pub fn report(message: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "luge: {message}");
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn parse_dir(text: &str) -> Result<Preopen, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("write HOST or HOST::GUEST".to_owned());
    }
    Ok(Preopen {
        host: host.into(),
        guest: guest.to_owned(),
    })
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a whole number and us, ms, s, min or h".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_programs_own_options_are_left_to_it() {
        let Cli { command } = Cli::parse_from([
            "luge", "run", "--env", "A=b=c", "x.wasm", "--env", "-v", "--", "y",
        ]);
        let Command::Run(run) = command else {
            panic!("another command")
        };
        assert_eq!(run.file(), Path::new("x.wasm"));
        assert_eq!(run.args(), ["--env", "-v", "--", "y"]);
        assert_eq!(run.env, [("A".to_owned(), "b=c".to_owned())]);
    }

    #[test]
    fn folders_are_granted_under_either_name() {
        assert_eq!(
            parse_dir("data").unwrap(),
            Preopen {
                host: "data".into(),
                guest: "data".into()
            }
        );
        assert_eq!(
            parse_dir("a/b::/c").unwrap(),
            Preopen {
                host: "a/b".into(),
                guest: "/c".into()
            }
        );
        assert!(parse_dir("").is_err() && parse_dir("a::").is_err() && parse_dir("::b").is_err());
    }
}
