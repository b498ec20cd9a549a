//! Writes a manifest for the server with as many functions as the scenario `many-functions` asks for.
//!
//! Functions take the given modules in turn: the server deploys each function by itself, whatever file it comes from.

use std::fmt::Write;
use std::path::Path;

/// Most functions: a manifest of the server has at most 4 MiB.
pub const ROUTES_MAX: u32 = 20_000;

/// Why no manifest is written. All of these are the caller's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// No functions, or too many.
    #[error("{0} functions: write a number from 1 to {ROUTES_MAX}")]
    Routes(u32),
    /// No module.
    #[error("no module is given")]
    NoModule,
    /// TOML is text.
    #[error("the path {0} is not UTF-8")]
    Path(String),
}

/// The text of a manifest: functions `f1` to `f{routes}`, each at `/f/NUMBER`, of `modules` in turn.
///
/// Paths of modules are written as they are given; the server takes relative ones from the manifest's folder.
///
/// # Errors
/// [`ManifestError`].
pub fn manifest(routes: u32, modules: &[&Path], deadline: &str) -> Result<String, ManifestError> {
    if !(1..=ROUTES_MAX).contains(&routes) {
        return Err(ManifestError::Routes(routes));
    }
    if modules.is_empty() {
        return Err(ManifestError::NoModule);
    }
    let mut text = format!("# {routes} functions, written by luge-load manifest.\n");
    let deadline = quoted(deadline);
    for (number, module) in (1..=routes).zip(modules.iter().cycle()) {
        let path = module
            .to_str()
            .ok_or_else(|| ManifestError::Path(module.display().to_string()))?;
        let path = quoted(path);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n[[function]]\nname = \"f{number}\"\nroute = \"/f/{number}\"\nmodule = {path}\ndeadline = {deadline}\n"
        );
    }
    Ok(text)
}

/// A TOML string: what JSON escapes, TOML escapes the same way.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_each_function_once() {
        let modules = [Path::new("a.wasm"), Path::new("odd \"name\".wasm")];
        let text = manifest(1000, &modules, "1s").expect("a manifest");
        let read: toml::Table = text.parse().expect("TOML");
        let functions = read["function"].as_array().expect("functions");
        assert_eq!(functions.len(), 1000);
        assert_eq!(functions[999]["route"].as_str(), Some("/f/1000"));
        assert_eq!(functions[999]["name"].as_str(), Some("f1000"));
        assert_eq!(functions[999]["module"].as_str(), Some("odd \"name\".wasm"));
        assert_eq!(functions[0]["module"].as_str(), Some("a.wasm"));
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        assert_eq!(
            manifest(0, &[Path::new("a")], "1s"),
            Err(ManifestError::Routes(0))
        );
        assert_eq!(
            manifest(ROUTES_MAX + 1, &[Path::new("a")], "1s"),
            Err(ManifestError::Routes(ROUTES_MAX + 1))
        );
        assert_eq!(manifest(1, &[], "1s"), Err(ManifestError::NoModule));
        let largest = manifest(
            ROUTES_MAX,
            &[Path::new("/a/path/of/the/usual/length/functions/wasm/a.wasm")],
            "1s",
        );
        assert!(largest.is_ok_and(|text| text.len() < 4 << 20));
    }
}
