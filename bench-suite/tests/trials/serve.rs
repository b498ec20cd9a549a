//! `luge serve` from its parts: the tests need the server as a program, and the package that holds it is not built with this one.

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use luge_http::cli::{Cli, Command};
use luge_http::config::Config;
use luge_http::log::Log;
use luge_http::server;

/// Serves as the command line says, until it is told to end.
pub(crate) fn serve() -> anyhow::Result<()> {
    let Command::Serve(args) = Cli::parse().command else {
        anyhow::bail!("this program serves and does nothing else");
    };
    let log = Log::start(args.log_format, &args.log)?;
    let mut config = Config::from_file(&args.manifest.context("a manifest is needed")?)?;
    config.listen = args.listen.unwrap_or(config.listen);
    config.admin = args.admin.unwrap_or(config.admin);
    config.cores = args.cores.or(config.cores);
    server::serve(config, log.dropped_lines(), |addresses| {
        let mut out = std::io::stdout().lock();
        // Nobody has to read this.
        let _ = server::greeting(&mut out, addresses, false).and_then(|()| out.flush());
    })?;
    Ok(())
}
