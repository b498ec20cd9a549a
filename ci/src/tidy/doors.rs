//! Where `unsafe` may stand.
//!
//! A crate's roots (`src/lib.rs`, `src/main.rs`) carry `#![forbid(unsafe_code)]`. A crate that has a door, that is, an
//! `[[unsafe_door]]` entry of `ci/tidy.toml` below its folder, carries `#![deny(unsafe_code)]` instead, and the word
//! `unsafe` stands only behind that door. The compiler enforces the attributes; this rule keeps them from being removed
//! and the doors from multiplying unseen. Example functions run inside the sandbox and are not looked at.

use super::rust_text::{code_only, lines_with_word};
use super::{EXCEPTIONS_PATH, File, Tree, Violation};

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let files: Vec<_> = tree
        .rust_files()
        .filter(|file| !file.path.starts_with("functions/"))
        .map(Source::new)
        .collect();
    for source in &files {
        violations.extend(check_root(tree, source));
        if !tree
            .exceptions
            .unsafe_door
            .iter()
            .any(|door| is_behind(&source.file.path, &door.path))
        {
            violations.extend(source.unsafe_lines().map(|line| {
                let message =
                    format!("`unsafe` may stand only behind an [[unsafe_door]] of {EXCEPTIONS_PATH}");
                Violation::new(&source.file.path, line, message)
            }));
        }
    }
    for door in &tree.exceptions.unsafe_door {
        let used = files
            .iter()
            .any(|source| is_behind(&source.file.path, &door.path) && source.unsafe_lines().next().is_some());
        if door.reason.trim().is_empty() {
            violations.push(Violation::new(
                EXCEPTIONS_PATH,
                0,
                format!("{}: gives no reason", door.path),
            ));
        }
        if !used {
            let message = format!("{}: has no `unsafe` behind it; drop the door", door.path);
            violations.push(Violation::new(EXCEPTIONS_PATH, 0, message));
        }
    }
    violations
}

/// A Rust file and its code.
struct Source<'a> {
    file: &'a File,
    code: String,
}

impl<'a> Source<'a> {
    fn new(file: &'a File) -> Source<'a> {
        Source {
            file,
            code: code_only(&file.text),
        }
    }

    fn unsafe_lines(&self) -> impl Iterator<Item = usize> {
        lines_with_word(&self.code, "unsafe")
    }
}

/// Whether `path` is the door itself or lies in the folder that it names.
fn is_behind(path: &str, door: &str) -> bool {
    path.strip_prefix(door)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn check_root(tree: &Tree, source: &Source<'_>) -> Option<Violation> {
    let path = &source.file.path;
    let member = path
        .strip_suffix("/src/lib.rs")
        .or_else(|| path.strip_suffix("/src/main.rs"))?;
    let has_door = tree
        .exceptions
        .unsafe_door
        .iter()
        .any(|door| is_behind(&door.path, member));
    let attribute = if has_door {
        "#![deny(unsafe_code)]"
    } else {
        "#![forbid(unsafe_code)]"
    };
    let code: String = source.code.split_whitespace().collect();
    // A crate with a door only in its tests or benches may still forbid it in itself.
    let held = code.contains(attribute) || code.contains("#![forbid(unsafe_code)]");
    (!held).then(|| Violation::new(path, 0, format!("the crate's root must carry `{attribute}`")))
}

#[cfg(test)]
mod tests {
    use super::super::planted::violations;
    use super::*;

    const DOOR: (&str, &str) = (
        EXCEPTIONS_PATH,
        "[[unsafe_door]]\npath = 'core/src/vm'\nreason = 'maps memory'\n",
    );
    const VM: (&str, &str) = ("core/src/vm/map.rs", "//! Map.\nfn f() { unsafe {} }\n");

    #[test]
    fn a_root_without_its_attribute_is_found() {
        let found = violations(
            check,
            &[("jit/src/lib.rs", "//! `#![forbid(unsafe_code)]` in prose only.\n")],
        );
        assert_eq!(
            found,
            ["jit/src/lib.rs: the crate's root must carry `#![forbid(unsafe_code)]`"]
        );
        assert!(violations(check, &[("jit/src/lib.rs", "#![forbid(unsafe_code)]")]).is_empty());
    }

    #[test]
    fn a_crate_with_a_door_denies_and_uses_it_only_there() {
        let root = ("core/src/lib.rs", "//! Core.\n#![deny(unsafe_code)]\n");
        assert!(violations(check, &[root, VM, DOOR]).is_empty());
        let outside = (
            "core/src/vmx.rs",
            "// unsafe here is prose\nlet s = \"unsafe\";\nunsafe fn f() {}\n",
        );
        let found = violations(check, &[root, VM, DOOR, outside]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("core/src/vmx.rs:3: "), "{found:?}");
    }

    #[test]
    fn a_door_without_reason_or_use_is_found() {
        let door = (
            EXCEPTIONS_PATH,
            "[[unsafe_door]]\npath = 'core/src/vm'\nreason = ''\n",
        );
        let found = violations(check, &[door]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("no reason") && found[1].contains("drop the door"),
            "{found:?}"
        );
    }
}
