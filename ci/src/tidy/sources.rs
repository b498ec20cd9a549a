//! Every Rust file says first what idea lives in it, and holds one idea.
//!
//! The first line is a `//!` line. A file of more than [`LINES_MAX`] lines is split, or has an entry in `ci/tidy.toml`
//! that says why it is one idea all the same. Tables in a folder named `generated` are exempt from the length.

use super::{EXCEPTIONS_PATH, File, Tree, Violation};

/// Lines up to which a file needs no reason.
const LINES_MAX: usize = 800;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.rust_files() {
        if !file.text.starts_with("//!") {
            violations.push(Violation::new(
                &file.path,
                1,
                "a Rust file must open with `//!` that says what idea lives here and why",
            ));
        }
        let excepted = tree.exceptions.long.iter().any(|entry| entry.path == file.path);
        if is_long(file) && !excepted {
            let lines = file.text.lines().count();
            violations.push(Violation::new(
                &file.path,
                0,
                format!(
                    "{lines} lines; split it, or give a reason under [[long]] in {EXCEPTIONS_PATH} (limit {LINES_MAX})"
                ),
            ));
        }
    }
    for entry in &tree.exceptions.long {
        if entry.reason.trim().is_empty() {
            violations.push(Violation::new(
                EXCEPTIONS_PATH,
                0,
                format!("{}: gives no reason", entry.path),
            ));
        }
        if !tree.file(&entry.path).is_some_and(is_long) {
            let message = format!("{}: is not a long file; drop the entry", entry.path);
            violations.push(Violation::new(EXCEPTIONS_PATH, 0, message));
        }
    }
    violations
}

fn is_long(file: &File) -> bool {
    !file.path.split('/').any(|part| part == "generated") && file.text.lines().count() > LINES_MAX
}

#[cfg(test)]
mod tests {
    use super::super::planted::violations;
    use super::*;

    fn long() -> String {
        format!("//! Long.\n{}", "\n".repeat(LINES_MAX))
    }

    #[test]
    fn a_file_without_its_opening_is_named() {
        let found = violations(check, &[("a.rs", "//! A.\n"), ("b/c.rs", "// C.\nfn c() {}\n")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("b/c.rs:1: "), "{found:?}");
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let found = violations(check, &[("a.rs", &long()), ("x/generated/b.rs", &long())]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a.rs: 801 lines"), "{found:?}");
        let entry = "[[long]]\npath = 'a.rs'\nreason = 'one table'\n";
        assert!(violations(check, &[("a.rs", &long()), (EXCEPTIONS_PATH, entry)]).is_empty());
    }

    #[test]
    fn an_entry_without_reason_or_need_is_a_violation() {
        let entry = "[[long]]\npath = 'a.rs'\nreason = ' '\n";
        let found = violations(check, &[("a.rs", &long()), (EXCEPTIONS_PATH, entry)]);
        assert_eq!(found, ["ci/tidy.toml: a.rs: gives no reason"]);
        let entry = "[[long]]\npath = 'a.rs'\nreason = 'once'\n";
        let found = violations(check, &[("a.rs", "//! A.\n"), (EXCEPTIONS_PATH, entry)]);
        assert_eq!(found, ["ci/tidy.toml: a.rs: is not a long file; drop the entry"]);
    }
}
