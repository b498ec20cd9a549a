//! A repository path that a document names exists.
//!
//! Documents rot when files move. Looked at are `*.md` at the root and everything under `docs`: code spans in single
//! backticks that look like a path from the root, and link targets relative to the document. A code span looks like a
//! path when it has a `/` and either begins with a folder of the root or ends in a source file's extension; spans with
//! placeholders, globs or spaces are prose.

use super::{File, Tree, Violation};

const EXTENSIONS: &[&str] = &[".rs", ".toml", ".md", ".wast", ".wat", ".wasm", ".sh", ".c", ".h"];

/// Folders that a document may name although a fresh clone does not hold them.
const BUILT: &[&str] = &["target"];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    tree.files
        .iter()
        .filter(|file| is_document(&file.path))
        .flat_map(|file| check_document(tree, file))
        .collect()
}

fn is_document(path: &str) -> bool {
    path.ends_with(".md") && (!path.contains('/') || path.starts_with("docs/"))
}

fn check_document(tree: &Tree, file: &File) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut fenced = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let spans = line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|span| looks_like_path(tree, span));
        let spans = spans.map(|span| without_line(span).to_owned());
        let links = link_targets(line).filter_map(|target| resolve(&file.path, target));
        violations.extend(spans.chain(links).filter(|path| !tree.exists(path)).map(|path| {
            Violation::new(
                &file.path,
                index + 1,
                format!("names `{path}`, which does not exist"),
            )
        }));
    }
    violations
}

fn looks_like_path(tree: &Tree, span: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    let Some((first, _)) = span.split_once('/') else {
        return false;
    };
    if first.is_empty() || first == "." || first == ".." || !span.chars().all(plain) || span.contains("//") {
        return false;
    }
    if BUILT.contains(&first) {
        return false;
    }
    let path = without_line(span);
    tree.root.join(first).is_dir() || EXTENSIONS.iter().any(|extension| path.ends_with(extension))
}

/// `path` of `path:line`.
fn without_line(span: &str) -> &str {
    span.split(':').next().unwrap_or(span)
}

/// Targets of inline links `[text](target)`.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The path from the root that a link in `document` leads to; `None` for addresses and anchors.
fn resolve(document: &str, target: &str) -> Option<String> {
    let target = target.split(['#', ' ']).next().unwrap_or(target);
    if target.is_empty() || target.contains(':') {
        return None;
    }
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::planted::violations;
    use super::*;

    #[test]
    fn a_path_that_is_gone_is_named_with_its_line() {
        let text = "Fine: `core/src/lib.rs`, `core/src`.\nGone: `core/src/old.rs` and `old/place.rs:12`.\n";
        let found = violations(check, &[("core/src/lib.rs", ""), ("ARCHITECTURE.md", text)]);
        assert_eq!(
            found,
            [
                "ARCHITECTURE.md:2: names `core/src/old.rs`, which does not exist",
                "ARCHITECTURE.md:2: names `old/place.rs`, which does not exist",
            ]
        );
    }

    #[test]
    fn prose_placeholders_and_code_blocks_are_no_paths() {
        let text = "`application/json`, `a/b`, `core/<name>.rs`, `core/*.rs`, `/livez`, `target/release/luge`,\n\
                    `http://127.0.0.1:8080/x.rs`\n```\ncat `core/gone.rs`\n```\n";
        assert_eq!(
            violations(check, &[("core/src/lib.rs", ""), ("README.md", text)]),
            [""; 0]
        );
    }

    #[test]
    fn links_are_followed_from_the_document() {
        let text =
            "[up](../README.md#top) [here](b.md) [gone](./c.md) [out](https://example.org/x) [a](#a)\n";
        let found = violations(
            check,
            &[("README.md", ""), ("docs/b.md", ""), ("docs/a.md", text)],
        );
        assert_eq!(found, ["docs/a.md:1: names `docs/c.md`, which does not exist"]);
    }

    #[test]
    fn documents_of_crates_are_not_looked_at() {
        assert!(violations(check, &[("core/notes.md", "`core/gone.rs`\n")]).is_empty());
    }
}
