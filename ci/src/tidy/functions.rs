//! The example functions' built modules belong to their sources.
//!
//! A user without a wasm toolchain runs the `.wasm` files that the repository carries, and nothing rebuilds them in a
//! check. So `functions/manifest.toml` records what each was built from, and this rule recomputes it:
//!
//! ```text
//! [function.echo]
//! sources = ["functions/echo/echo.c"]   sources_sha256 = SHA-256 of the files' bytes, concatenated in this order
//! wasm = "functions/wasm/echo.wasm"     wasm_sha256    = SHA-256 of the module
//! ```
//!
//! Paths are from the root. Test programs stand in `[wasi_test.NAME]` tables of the same form. Whoever changes a source
//! rebuilds the module by the script there, which rewrites both hashes. A `.wasm` file in a folder that holds listed ones,
//! or in `functions/wasm`, is a violation without an entry: nobody could say what it is.

use super::{Tree, Violation};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

const MANIFEST: &str = "functions/manifest.toml";
const MODULES: &str = "functions/wasm";

#[derive(Deserialize)]
struct Manifest {
    function: BTreeMap<String, Entry>,
    #[serde(default)]
    wasi_test: BTreeMap<String, Entry>,
}

/// One program's entry. Keys that others need, such as the mode, are not looked at here.
#[derive(Deserialize)]
struct Entry {
    sources: Vec<String>,
    sources_sha256: String,
    wasm: String,
    wasm_sha256: String,
}

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(file) = tree.file(MANIFEST) else {
        let message = format!("is missing, so nothing says what the modules in {MODULES} were built from");
        return match modules(&tree.root, MODULES).is_empty() {
            true => Vec::new(),
            false => vec![Violation::new(MANIFEST, 0, message)],
        };
    };
    let manifest: Manifest = match toml::from_str(&file.text) {
        Ok(manifest) => manifest,
        Err(error) => return vec![Violation::new(MANIFEST, 0, format!("no manifest: {error}"))],
    };
    let entries: Vec<_> = manifest.function.iter().chain(&manifest.wasi_test).collect();
    let mut violations: Vec<_> = entries
        .iter()
        .flat_map(|(name, entry)| check_entry(&tree.root, name, entry))
        .collect();
    let listed: BTreeSet<&str> = entries.iter().map(|(_, entry)| entry.wasm.as_str()).collect();
    let folders = listed
        .iter()
        .filter_map(|path| path.rsplit_once('/'))
        .map(|(folder, _)| folder);
    let folders: BTreeSet<&str> = folders.chain([MODULES]).collect();
    for module in folders.iter().flat_map(|folder| modules(&tree.root, folder)) {
        if !listed.contains(module.as_str()) {
            violations.push(Violation::new(module, 0, format!("has no entry in {MANIFEST}")));
        }
    }
    violations
}

/// The `.wasm` files in a folder, by their paths from the root.
fn modules(root: &Path, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root.join(folder))
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut modules: Vec<_> = names
        .filter(|name| name.ends_with(".wasm"))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    modules.sort();
    modules
}

fn check_entry(root: &Path, name: &str, entry: &Entry) -> Vec<Violation> {
    let mut violations = Vec::new();
    if entry.sources.is_empty() {
        violations.push(Violation::new(MANIFEST, 0, format!("{name}: names no source")));
    }
    let mut expect = |what: &str, files: &[String], recorded: &str| match sha256(root, files) {
        Ok(found) if found == recorded => {}
        Ok(found) => {
            let message = format!(
                "{name}: {what} is {recorded}, the tree has {found}; rebuild by the script in functions/"
            );
            violations.push(Violation::new(MANIFEST, 0, message));
        }
        Err(message) => violations.push(Violation::new(MANIFEST, 0, format!("{name}: {message}"))),
    };
    expect("sources_sha256", &entry.sources, &entry.sources_sha256);
    expect(
        "wasm_sha256",
        std::slice::from_ref(&entry.wasm),
        &entry.wasm_sha256,
    );
    violations
}

/// SHA-256 (FIPS 180-4) of the files' bytes one after the other, in lower-case hexadecimal.
fn sha256(root: &Path, files: &[String]) -> Result<String, String> {
    let mut hash = Sha256::new();
    for file in files {
        let bytes = std::fs::read(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
        hash.update(bytes);
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::super::planted::violations;
    use super::*;

    /// SHA-256 of "abc", from FIPS 180-4's examples.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn manifest(sources_sha256: &str, wasm_sha256: &str) -> String {
        format!(
            "[function.f]\nsources = ['functions/f/one.c', 'functions/f/two.c']\n\
             sources_sha256 = '{sources_sha256}'\nwasm = 'functions/wasm/f.wasm'\nwasm_sha256 = '{wasm_sha256}'\n"
        )
    }

    const SOURCES: [(&str, &str); 3] = [
        ("functions/f/one.c", "a"),
        ("functions/f/two.c", "bc"),
        ("functions/wasm/f.wasm", "abc"),
    ];

    #[test]
    fn hashes_that_agree_pass() {
        let mut files = SOURCES.to_vec();
        let manifest = manifest(ABC, ABC);
        files.push((MANIFEST, &manifest));
        assert_eq!(violations(check, &files), [""; 0]);
    }

    #[test]
    fn a_changed_source_or_module_is_found() {
        let manifest = manifest(ABC, ABC);
        for changed in 0..3 {
            let mut files = SOURCES.to_vec();
            files[changed].1 = "changed";
            files.push((MANIFEST, &manifest));
            let found = violations(check, &files);
            assert_eq!(found.len(), 1, "{found:?}");
            let key = if changed == 2 {
                "wasm_sha256"
            } else {
                "sources_sha256"
            };
            assert!(found[0].contains(key), "{found:?}");
        }
    }

    #[test]
    fn a_missing_file_or_entry_is_found() {
        let manifest = manifest(ABC, ABC);
        let found = violations(check, &[SOURCES[0], SOURCES[1], (MANIFEST, &manifest)]);
        assert!(found.len() == 1 && found[0].contains("wasm/f.wasm"), "{found:?}");
        let mut files = SOURCES.to_vec();
        files.extend([(MANIFEST, manifest.as_str()), ("functions/wasm/g.wasm", "")]);
        assert_eq!(
            violations(check, &files),
            ["functions/wasm/g.wasm: has no entry in functions/manifest.toml"]
        );
        assert_eq!(violations(check, &SOURCES).len(), 1, "a tree without a manifest");
    }
}
