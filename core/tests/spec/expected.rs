//! `core/tests/expected-failures.toml`: directives that are known to fail.
//!
//! ```toml
//! [[failure]]
//! file = "wasm-v2/linking.wast"
//! line = 12
//! configuration = "interp"
//! reason = "why it fails, and what has to come first"
//! ```
//!
//! `configuration = "*"` stands for all of them: a directive that the engine's level makes void, whatever runs it.
//!
//! The file may only shrink. An entry that passes is an error, and so is one without a reason, one that is there twice
//! and one that names no directive of a covered script.

use crate::script::Failure;
use crate::suite::{CONFIGURATIONS, Script};
use serde::Deserialize;
use std::path::Path;

/// All entries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedFailures {
    #[serde(default)]
    failure: Vec<Entry>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: String,
    /// The directive's first line, from 1.
    line: usize,
    configuration: String,
    reason: String,
}

/// What an entry for every configuration names.
const EVERY: &str = "*";

/// A trial's failures, held against the entries.
pub(crate) struct Verdict {
    /// Failures that no entry names.
    pub(crate) unexpected: Vec<String>,
    /// How many failures have an entry.
    pub(crate) expected: usize,
    /// Entries that did not fail.
    pub(crate) fixed: Vec<String>,
}

impl ExpectedFailures {
    /// Reads the file.
    pub(crate) fn read() -> Result<Self, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected-failures.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Sorts the failures of one trial into expected and unexpected ones, and finds entries that passed.
    pub(crate) fn judge(&self, file: &str, configuration: &str, failures: &[Failure]) -> Verdict {
        let entries: Vec<_> = self
            .failure
            .iter()
            .filter(|e| e.file == file && (e.configuration == EVERY || e.configuration == configuration))
            .collect();
        let is_expected = |failure: &&Failure| entries.iter().any(|entry| entry.line == failure.line);
        let (expected, unexpected): (Vec<_>, Vec<_>) = failures.iter().partition(is_expected);
        let fixed = entries
            .iter()
            .filter(|entry| failures.iter().all(|failure| failure.line != entry.line));
        Verdict {
            unexpected: unexpected
                .iter()
                .map(|failure| format!("{file}:{failure}"))
                .collect(),
            expected: expected.len(),
            fixed: fixed
                .map(|entry| {
                    format!(
                        "{file}:{}: is an expected failure and passes: drop the entry",
                        entry.line
                    )
                })
                .collect(),
        }
    }

    /// Checks that every entry has a reason, is there once, and names a covered script and a configuration.
    pub(crate) fn check(&self, scripts: &[Script]) -> Result<(), String> {
        for (index, entry) in self.failure.iter().enumerate() {
            let place = format!("{}:{} {}", entry.file, entry.line, entry.configuration);
            if entry.reason.trim().is_empty() {
                return Err(format!("{place}: gives no reason"));
            }
            if !scripts
                .iter()
                .any(|script| script.covered && script.name() == entry.file)
            {
                return Err(format!("{place}: no covered script has this name"));
            }
            let known = CONFIGURATIONS.iter().map(|configuration| configuration.name);
            if !known.chain([EVERY]).any(|name| name == entry.configuration) {
                return Err(format!("{place}: no configuration has this name"));
            }
            let same = |other: &&Entry| {
                (&other.file, other.line, &other.configuration)
                    == (&entry.file, entry.line, &entry.configuration)
            };
            if self.failure[..index].iter().any(|other| same(&other)) {
                return Err(format!("{place}: is there twice"));
            }
        }
        Ok(())
    }
}
