//! `luge check`: everything that could be wrong with a deployment, found before it serves.

use std::io::{self, Write};

use super::CheckArgs;
use crate::config::{Config, ModuleSource};
use crate::function::Registry;

/// Checks the manifest and compiles every module. Writes a line per function, or, as the error, a line per problem.
///
/// # Errors
/// The problems, each on a line.
pub fn check(args: &CheckArgs, out: &mut impl Write) -> Result<io::Result<()>, String> {
    let config = Config::from_file(&args.manifest).map_err(|errors| errors.to_string())?;
    let registry = Registry::deploy(config.functions).map_err(|errors| {
        let lines: Vec<_> = errors
            .iter()
            .map(|error| format!("{}: {error}", args.manifest.display()))
            .collect();
        lines.join("\n")
    })?;
    Ok(report(&registry, out))
}

fn report(registry: &Registry, out: &mut impl Write) -> io::Result<()> {
    for function in registry.functions() {
        let config = function.config();
        let ModuleSource::File(path) = &config.module else {
            continue;
        };
        writeln!(
            out,
            "ok  {name}  {route}  {path}  {bytes} bytes, compiled in {time:.1?}",
            name = config.name,
            route = config.route,
            path = path.display(),
            bytes = function.module_bytes(),
            time = function.compile_time(),
        )?;
    }
    Ok(())
}
