//! The program `luge`: reads the command line, does what it says, and makes exit codes of errors.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser;
use luge_http::cli::{self, Cli, Command, ServeArgs, check, compile, inspect, polybench, run, sim, top};
use luge_http::config::Config;
use luge_http::log::Log;
use luge_http::{examples, server};

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // Every error's own text holds its cause already.
            cli::report(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match command {
        Command::Serve(args) => {
            drop(out);
            serve(args)
        }
        Command::Run(args) => {
            drop(out);
            match run::run(&args) {
                Ok(run::Ended::Exit(code)) => Ok(run::Ended::Exit(code).code().into()),
                Ok(ended) => {
                    cli::report(&ended);
                    Ok(ended.code().into())
                }
                Err(problem) => {
                    cli::report(&problem);
                    Ok(run::EXIT_FAILED.into())
                }
            }
        }
        Command::Check(args) => {
            let written = check::check(&args, &mut out).map_err(|problems| anyhow!("{problems}"))?;
            finish(written)
        }
        Command::Inspect(args) => finish(inspect::inspect(&args, &mut out)?),
        Command::Compile(args) => finish(compile::compile(&args, &mut out)?),
        Command::Sim(args) => finish(sim::sim(&args, &mut out)?),
        Command::Top(args) => finish(top::top(&args, &mut out)?),
        Command::Polybench(args) => finish(polybench::polybench(&args, &mut out)?),
    }
}

/// A reader that has seen enough and closed the pipe (`luge inspect x.wasm | head`) is no error.
fn finish(written: io::Result<()>) -> anyhow::Result<ExitCode> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow!("cannot write to stdout: {error}"))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let log = Log::start(args.log_format, &args.log)?;
    log.take_panics();
    let mut config = match &args.manifest {
        Some(path) => Config::from_file(path)?,
        None => Config::for_functions(examples::functions()),
    };
    config.listen = args.listen.unwrap_or(config.listen);
    config.admin = args.admin.unwrap_or(config.admin);
    config.cores = args.cores.or(config.cores);
    config.engine = config.engine.overridden_by(args.engine.tier, args.engine.bounds);
    config.preemption = args.preemption.unwrap_or(config.preemption);
    config.code_cache = args.code_cache.or(config.code_cache);
    config.perf_map |= args.perf_map;
    let is_example = args.manifest.is_none();
    server::serve(config, log.dropped_lines(), |addresses| {
        // Nobody has to read this.
        let mut out = io::stdout().lock();
        let _ = server::greeting(&mut out, addresses, is_example).and_then(|()| out.flush());
    })?;
    Ok(ExitCode::SUCCESS)
}
