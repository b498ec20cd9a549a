//! `cargo xtask tidy`: rules of the source tree that neither the compiler nor clippy knows.
//!
//! A rule is a function from the [`Tree`] to [`Violation`]s, one module each:
//!
//! | module | rule |
//! |---|---|
//! | [`sources`] | every Rust file opens with `//!`; one of more than 800 lines has an entry with its reason |
//! | [`arrows`] | crates depend on each other only along the arrows of the architecture |
//! | [`doors`] | crates forbid or deny `unsafe`, and the word stands only behind the listed doors |
//! | [`paths`] | a repository path that a document names exists |
//! | [`functions`] | the hashes in `functions/manifest.toml` agree with sources and modules |
//! | [`hosts`] | no registry's host name stands in the tree |
//!
//! Exceptions stand in `ci/tidy.toml`, each with a reason ([`Exceptions`]); one that is not needed is a violation, so
//! the file cannot grow stale.

mod arrows;
mod doors;
mod functions;
mod hosts;
mod paths;
mod rust_text;
mod sources;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Checks the tree at `root` by all rules and prints each violation.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let violations = check(&tree);
    for violation in &violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        bail!(
            "tidy: {} violations in {} files",
            violations.len(),
            tree.files.len()
        );
    }
    eprintln!("tidy: {} files, no violations", tree.files.len());
    Ok(())
}

fn check(tree: &Tree) -> Vec<Violation> {
    let rules: [fn(&Tree) -> Vec<Violation>; 6] = [
        sources::check,
        arrows::check,
        doors::check,
        paths::check,
        functions::check,
        hosts::check,
    ];
    rules.iter().flat_map(|rule| rule(tree)).collect()
}

/// A broken rule: where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Path from the root, with `/`.
    path: String,
    /// Line from 1, or 0 where the whole file is meant.
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Violation {
        Violation {
            path: path.into(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// `ci/tidy.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exceptions {
    /// Source files that may be long.
    #[serde(default)]
    long: Vec<Exception>,
    /// Files and folders in which `unsafe` may stand.
    #[serde(default)]
    unsafe_door: Vec<Exception>,
}

/// One exception: where, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    path: String,
    reason: String,
}

const EXCEPTIONS_PATH: &str = "ci/tidy.toml";

/// The text files of the repository, read once.
pub(crate) struct Tree {
    root: PathBuf,
    /// Sorted by path.
    files: Vec<File>,
    exceptions: Exceptions,
}

/// One text file.
pub(crate) struct File {
    /// Path from the root, with `/`.
    path: String,
    text: String,
}

impl Tree {
    /// Reads every text file below `root`; build output, version control and files that are not UTF-8 are left out.
    fn read(root: &Path) -> Result<Tree> {
        let mut files = Vec::new();
        read_folder(root, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let exceptions = match files.iter().find(|file| file.path == EXCEPTIONS_PATH) {
            Some(file) => toml::from_str(&file.text).context(EXCEPTIONS_PATH)?,
            None => Exceptions::default(),
        };
        Ok(Tree {
            root: root.to_path_buf(),
            files,
            exceptions,
        })
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files
            .binary_search_by(|file| file.path.as_str().cmp(path))
            .ok()
            .map(|index| &self.files[index])
    }

    /// The Rust files, the example functions' sources among them.
    fn rust_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }
}

/// Folders that hold no sources: build output and version control.
const SKIPPED_FOLDERS: &[&str] = &["target", ".git", ".build", "node_modules"];

fn read_folder(root: &Path, folder: &str, files: &mut Vec<File>) -> Result<()> {
    let full = root.join(folder);
    for entry in std::fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            bail!("{}: a file name is not UTF-8", full.display());
        };
        let path = if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                read_folder(root, &path, files)?;
            }
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

/// A tree of planted files, for the tests of the rules.
#[cfg(test)]
pub(crate) mod planted {
    use super::{Tree, Violation};

    /// Writes `files` (path, text) to a new folder and returns the tree with the folder that owns it.
    pub(crate) fn tree(files: &[(&str, &str)]) -> (Tree, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let full = folder.path().join(path);
            std::fs::create_dir_all(full.parent().expect("inside the folder")).expect("folders");
            std::fs::write(full, text).expect("a file");
        }
        (Tree::read(folder.path()).expect("a readable tree"), folder)
    }

    /// What `rule` says of `files`, one line per violation.
    pub(crate) fn violations(rule: fn(&Tree) -> Vec<Violation>, files: &[(&str, &str)]) -> Vec<String> {
        let (tree, _folder) = tree(files);
        rule(&tree).iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_output_and_binary_files_are_left_out() {
        let (_, folder) = planted::tree(&[("a.rs", "//! A.\n"), ("target/b.rs", ""), ("x/target/c.rs", "")]);
        std::fs::write(folder.path().join("module.wasm"), [0, 0x61, 0x73, 0x6d, 0xff]).unwrap();
        let tree = Tree::read(folder.path()).unwrap();
        assert_eq!(
            tree.files
                .iter()
                .map(|file| file.path.as_str())
                .collect::<Vec<_>>(),
            ["a.rs"]
        );
    }

    #[test]
    fn an_exceptions_file_with_an_unknown_key_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("ci")).unwrap();
        std::fs::write(
            folder.path().join(EXCEPTIONS_PATH),
            "[[lnog]]\npath='a'\nreason='b'\n",
        )
        .unwrap();
        assert!(Tree::read(folder.path()).is_err());
    }

    #[test]
    fn every_rule_runs() {
        let (tree, _folder) = planted::tree(&[
            ("Cargo.toml", "[workspace]\nmembers = ['core', 'jit']\n"),
            ("README.md", "See `core/src/gone.rs`.\n"),
            (
                "core/Cargo.toml",
                "[package]\nname='luge-core'\n[dependencies]\nluge-jit.path='../jit'\n",
            ),
            ("core/src/lib.rs", "fn f() {}\n"),
            ("jit/Cargo.toml", "[package]\nname='luge-jit'\n"),
            ("jit/src/lib.rs", "//! Jit.\n"),
            ("functions/manifest.toml", "[[function]]\n"),
            ("docs/a.md", concat!("https://index.", "crates.io/\n")),
        ]);
        let all = check(&tree)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n");
        for sign in [
            "must open with",
            "may not depend",
            "forbid(unsafe_code)",
            "gone.rs",
            "manifest",
            "host name",
        ] {
            assert!(all.contains(sign), "nothing says `{sign}` in:\n{all}");
        }
    }
}
