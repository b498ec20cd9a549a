//! The example functions' built modules belong to their sources.
//!
//! A user without a wasm toolchain runs the `.wasm` files that the repository carries, and nothing rebuilds them in a
//! check. So `functions/manifest.toml` records what each was built from, and this rule recomputes it:
//!
//! ```text
//! [[function]]
//! name = "echo"
//! sources = ["echo/echo.c"]     sources_sha256 = SHA-256 of the files' bytes, concatenated in this order
//! wasm = "wasm/echo.wasm"       wasm_sha256    = SHA-256 of the module
//! ```
//!
//! Paths are relative to `functions/`. Whoever changes a source rebuilds the module by the script there, which rewrites
//! both hashes. A `.wasm` file in `functions/wasm` without an entry is a violation too: nobody could say what it is.

use super::{Tree, Violation};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "functions/manifest.toml";
const MODULES: &str = "functions/wasm";

#[derive(Deserialize)]
struct Manifest {
    function: Vec<Function>,
}

/// One function's entry. Keys that the build needs for itself, such as its flags, are not looked at here.
#[derive(Deserialize)]
struct Function {
    name: String,
    sources: Vec<String>,
    sources_sha256: String,
    wasm: String,
    wasm_sha256: String,
}

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(file) = tree.file(MANIFEST) else {
        let message = format!("is missing, so nothing says what the modules in {MODULES} were built from");
        return match modules(tree).is_empty() {
            true => Vec::new(),
            false => vec![Violation::new(MANIFEST, 0, message)],
        };
    };
    let manifest: Manifest = match toml::from_str(&file.text) {
        Ok(manifest) => manifest,
        Err(error) => return vec![Violation::new(MANIFEST, 0, format!("no manifest: {error}"))],
    };
    let folder = tree.root.join("functions");
    let mut violations: Vec<_> = manifest
        .function
        .iter()
        .flat_map(|entry| check_entry(&folder, entry))
        .collect();
    let listed: Vec<_> = manifest
        .function
        .iter()
        .map(|entry| folder.join(&entry.wasm))
        .collect();
    for module in modules(tree).iter().filter(|module| !listed.contains(module)) {
        let name = module
            .strip_prefix(&tree.root)
            .unwrap_or(module)
            .display()
            .to_string();
        violations.push(Violation::new(name, 0, format!("has no entry in {MANIFEST}")));
    }
    violations
}

fn modules(tree: &Tree) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(tree.root.join(MODULES))
        .into_iter()
        .flatten()
        .flatten();
    let mut modules: Vec<_> = entries.map(|entry| entry.path()).collect();
    modules.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    modules.sort();
    modules
}

fn check_entry(folder: &Path, entry: &Function) -> Vec<Violation> {
    let name = &entry.name;
    let mut violations = Vec::new();
    if entry.sources.is_empty() {
        violations.push(Violation::new(MANIFEST, 0, format!("{name}: names no source")));
    }
    let mut expect = |what: &str, files: &[String], recorded: &str| match sha256(folder, files) {
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
fn sha256(folder: &Path, files: &[String]) -> Result<String, String> {
    let mut hash = Sha256::new();
    for file in files {
        let bytes = std::fs::read(folder.join(file)).map_err(|error| format!("functions/{file}: {error}"))?;
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
            "[[function]]\nname = 'f'\nsources = ['f/one.c', 'f/two.c']\nsources_sha256 = '{sources_sha256}'\n\
             wasm = 'wasm/f.wasm'\nwasm_sha256 = '{wasm_sha256}'\n"
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
