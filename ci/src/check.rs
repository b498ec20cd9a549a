//! The stages of `cargo xtask check`, from the cheapest question to the dearest.
//!
//! All stages run even when one fails, so that one run tells everything that is wrong; the report at the end names
//! each with its outcome.

use crate::{callgrind, tidy};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// One stage: its name on the command line and what it runs.
struct Stage {
    name: &'static str,
    run: fn(&Path) -> Result<()>,
}

const STAGES: &[Stage] = &[
    Stage {
        name: "fmt",
        run: |root| cargo(root, &["fmt", "--all", "--check"]),
    },
    Stage {
        name: "clippy",
        run: |root| {
            cargo(
                root,
                &[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--locked",
                    "--",
                    "-D",
                    "warnings",
                ],
            )
        },
    },
    Stage {
        name: "deny",
        run: deny,
    },
    Stage {
        name: "tidy",
        run: tidy::run,
    },
    Stage {
        name: "callgrind",
        run: |root| callgrind::run(root, callgrind::Mode::Gate),
    },
];

/// Runs the named stages in their fixed order, or all of them when none is named.
pub(crate) fn run(root: &Path, names: &[&str]) -> Result<()> {
    if let Some(unknown) = names
        .iter()
        .find(|name| STAGES.iter().all(|stage| stage.name != **name))
    {
        let known: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        bail!(
            "there is no stage `{unknown}`; the stages are {}",
            known.join(", ")
        );
    }
    let mut report = Vec::new();
    for stage in STAGES
        .iter()
        .filter(|stage| names.is_empty() || names.contains(&stage.name))
    {
        eprintln!("== {}", stage.name);
        let outcome = (stage.run)(root);
        if let Err(error) = &outcome {
            eprintln!("error: {error:#}");
        }
        report.push((stage.name, outcome.is_ok()));
    }
    eprintln!("== report");
    for (name, passed) in &report {
        eprintln!("{name:<10} {}", if *passed { "ok" } else { "FAILED" });
    }
    let failed = report.iter().filter(|(_, passed)| !passed).count();
    if failed > 0 {
        bail!("{failed} of {} stages failed", report.len());
    }
    Ok(())
}

/// Licences, bans and sources always; the advisories too where their database can be had.
///
/// The database is fetched over the network. Where that is not possible the other three parts still gate.
fn deny(root: &Path) -> Result<()> {
    cargo(
        root,
        &["deny", "--offline", "check", "licenses", "bans", "sources"],
    )?;
    let advisories = Command::new("cargo")
        .args(["deny", "fetch", "db"])
        .current_dir(root)
        .output();
    if advisories.is_ok_and(|output| output.status.success()) {
        cargo(root, &["deny", "check", "advisories"])
    } else {
        eprintln!("advisories: not checked, their database cannot be had here");
        Ok(())
    }
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(root)
        .status()
        .with_context(|| format!("cannot start cargo {}", arguments.join(" ")))?;
    if !status.success() {
        bail!("cargo {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_stage_is_refused_and_the_known_ones_are_named() {
        let error = run(Path::new("."), &["fmtt"]).unwrap_err().to_string();
        assert!(
            error.contains("fmtt") && error.contains("fmt, clippy, deny, tidy, callgrind"),
            "{error}"
        );
    }
}
