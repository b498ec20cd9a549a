//! No registry's host name stands in the tree.
//!
//! A host name in a manifest or script ties the build to one mirror. Registries are reached by their clients' defaults,
//! which every user may redirect. The lock file is exempt: cargo writes the default registry's identity into it.

use super::{Tree, Violation};

/// Written in two parts each, so that this file keeps its own rule.
const HOSTS: &[&str] = &[
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("crates.io", "-index"),
    concat!("registry.", "npmjs"),
    concat!("pypi.", "org"),
    concat!("pythonhosted.", "org"),
    concat!("deb.", "debian.org"),
    concat!("arti", "factory"),
    concat!("proxy.", "golang.org"),
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree
        .files
        .iter()
        .filter(|file| !file.path.ends_with("Cargo.lock"))
    {
        for (index, line) in file.text.lines().enumerate() {
            for host in HOSTS.iter().filter(|host| line.contains(**host)) {
                let message =
                    format!("names the registry host name `{host}`; leave it to the client's default");
                violations.push(Violation::new(&file.path, index + 1, message));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::planted::violations;
    use super::*;

    #[test]
    fn a_host_is_found_in_any_text_file_but_the_lock() {
        let text = format!("a\nsource = 'https://{}/x'\n", HOSTS[0]);
        let found = violations(check, &[(".cargo/config.toml", &text), ("Cargo.lock", &text)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with(".cargo/config.toml:2: "), "{found:?}");
    }

    #[test]
    fn the_registry_by_its_common_name_passes() {
        assert!(violations(check, &[("README.md", "from crates.io\n")]).is_empty());
    }
}
