//! `luge check`: everything that could be wrong with a deployment, found before it serves.

use std::io::{self, Write};

use super::CheckArgs;
use crate::config::{Config, ModuleSource};
use crate::engine::{Attachments, Engines};
use crate::function::Registry;

/// Checks the manifest and compiles every module. Writes a line per function, or, as the error, a line per problem.
///
/// # Errors
/// The problems, each on a line.
pub fn check(args: &CheckArgs, out: &mut impl Write) -> Result<io::Result<()>, String> {
    let config = Config::from_file(&args.manifest).map_err(|errors| errors.to_string())?;
    let choice = config.engine.overridden_by(args.engine.tier, args.engine.bounds);
    let (preemption, _) = config.preemption.or_polls();
    let engines =
        Engines::for_server(choice, preemption, Attachments::default()).map_err(|error| error.to_string())?;
    let registry = Registry::deploy(&engines, config.functions).map_err(|errors| {
        let lines: Vec<_> = errors
            .iter()
            .map(|error| format!("{}: {error}", args.manifest.display()))
            .collect();
        lines.join("\n")
    })?;
    Ok(report(&engines, &registry, out))
}

fn report(engines: &Engines, registry: &Registry, out: &mut impl Write) -> io::Result<()> {
    if let Some(reason) = engines.unavailable() {
        writeln!(out, "note  functions are interpreted: {reason}")?;
    }
    for function in registry.functions() {
        let config = function.config();
        let ModuleSource::File(path) = &config.module else {
            continue;
        };
        writeln!(
            out,
            "ok  {name}  {route}  {path}  {bytes} bytes, {tier}, compiled in {time:.1?}",
            name = config.name,
            route = config.route,
            path = path.display(),
            bytes = function.module_bytes(),
            tier = function.tier(),
            time = function.compile_time(),
        )?;
        if let Some(reason) = function.declined() {
            writeln!(out, "    interpreted: {reason}")?;
        }
    }
    Ok(())
}
