//! Crates depend on each other only along the arrows of the architecture.
//!
//! ```text
//! http -> core, jit, shards, polybench      polybench -> core, jit      jit -> core      shards, core -> nothing
//! bench-suite, fuzz, ci: leaves, they may use any of these five and nobody uses them
//! ```
//!
//! Development and build dependencies count: a test that reaches up makes a cycle in the head if not in the build. There is
//! one exception, [`TESTS`]: the official tests run through every tier, and stand with the engine. A new member of the workspace is a violation until it has its line in [`ARROWS`].

use super::{Tree, Violation};
use toml::{Table, Value};

/// Folder of a crate, and the crates of ours that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("shards", &[]),
    ("jit", &["core"]),
    ("polybench", &["core", "jit"]),
    ("http", &["core", "jit", "shards", "polybench"]),
    ("bench-suite", &["core", "jit", "shards", "polybench", "http"]),
    ("fuzz", &["core", "jit", "shards", "http"]),
    ("ci", &["core", "jit", "shards", "http"]),
];

/// What the tests of a crate may depend on beside: they hand the engine a code generator.
const TESTS: &[(&str, &str)] = &[("core", "jit")];

/// Every package of ours is named by this and its folder.
const PREFIX: &str = "luge-";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(root) = tree.file("Cargo.toml") else {
        return Vec::new();
    };
    let members = match root.text.parse::<Table>() {
        Ok(table) => members(&table),
        Err(error) => return vec![Violation::new("Cargo.toml", 0, error.to_string())],
    };
    members
        .iter()
        .flat_map(|member| check_member(tree, member))
        .collect()
}

fn members(root: &Table) -> Vec<String> {
    let members = root
        .get("workspace")
        .and_then(|workspace| workspace.get("members"))
        .and_then(Value::as_array);
    members
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn check_member(tree: &Tree, member: &str) -> Vec<Violation> {
    let path = format!("{member}/Cargo.toml");
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == member) else {
        return vec![Violation::new(
            path,
            0,
            format!("`{member}` has no line in ARROWS of ci/src/tidy/arrows.rs"),
        )];
    };
    let Some(file) = tree.file(&path) else {
        return vec![Violation::new(
            path,
            0,
            "the workspace names this member, and it is not there",
        )];
    };
    let table = match file.text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => return vec![Violation::new(path, 0, error.to_string())],
    };
    let mut violations = Vec::new();
    let name = table
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(Value::as_str);
    if name != Some(format!("{PREFIX}{member}").as_str()) {
        violations.push(Violation::new(
            &path,
            0,
            format!("the package must be named `{PREFIX}{member}`"),
        ));
    }
    for (kind, dependency) in dependencies(&table) {
        let Some(folder) = dependency.strip_prefix(PREFIX) else {
            continue;
        };
        let tests = kind == "dev-dependencies" && TESTS.contains(&(member, folder));
        if !allowed.contains(&folder) && folder != member && !tests {
            let message =
                format!("`{member}` may not depend on `{folder}`: the architecture has no such arrow");
            violations.push(Violation::new(&path, 0, message));
        }
    }
    violations
}

/// Kind and package name of all dependencies, those of a target among them.
fn dependencies(manifest: &Table) -> Vec<(&'static str, String)> {
    const KINDS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    std::iter::once(manifest)
        .chain(targets)
        .flat_map(|table| {
            KINDS
                .iter()
                .filter_map(|kind| Some((*kind, table.get(*kind)?.as_table()?)))
        })
        .flat_map(|(kind, table)| table.iter().map(move |(name, value)| (kind, name, value)))
        .map(|(kind, name, value)| {
            let renamed = value.get("package").and_then(Value::as_str);
            (kind, renamed.unwrap_or(name).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::planted::violations;
    use super::*;

    const ROOT: (&str, &str) = ("Cargo.toml", "[workspace]\nmembers = ['core', 'http']\n");
    const CORE: (&str, &str) = ("core/Cargo.toml", "[package]\nname = 'luge-core'\n");

    fn http(dependencies: &str) -> String {
        format!("[package]\nname = 'luge-http'\n{dependencies}")
    }

    #[test]
    fn the_arrows_of_the_architecture_pass() {
        let http =
            http("[dependencies]\nluge-core.workspace = true\nluge-shards.workspace = true\nbytes = '1'\n");
        assert!(violations(check, &[ROOT, CORE, ("http/Cargo.toml", &http)]).is_empty());
    }

    #[test]
    fn an_arrow_that_points_up_is_found_in_every_kind_of_dependency() {
        for kind in [
            "dependencies",
            "dev-dependencies",
            "build-dependencies",
            "target.'cfg(unix)'.dependencies",
        ] {
            let core =
                format!("[package]\nname = 'luge-core'\n[{kind}]\nengine = {{ package = 'luge-http' }}\n");
            let found = violations(
                check,
                &[ROOT, ("core/Cargo.toml", &core), ("http/Cargo.toml", &http(""))],
            );
            assert_eq!(found.len(), 1, "{kind}: {found:?}");
            assert!(found[0].contains("`core` may not depend on `http`"), "{found:?}");
        }
    }

    #[test]
    fn a_leaf_is_used_by_nobody() {
        let http = http("[dev-dependencies]\nluge-bench-suite.workspace = true\n");
        assert_eq!(
            violations(check, &[ROOT, CORE, ("http/Cargo.toml", &http)]).len(),
            1
        );
    }

    #[test]
    fn an_unknown_or_misnamed_member_is_found() {
        let root = ("Cargo.toml", "[workspace]\nmembers = ['core', 'extra']\n");
        let core = ("core/Cargo.toml", "[package]\nname = 'core'\n");
        let found = violations(check, &[root, core]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("must be named") && found[1].contains("ARROWS"),
            "{found:?}"
        );
    }
}
