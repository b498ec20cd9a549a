//! What was counted, per suite.

use crate::script;
use crate::suite::Script;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Counts of all suites.
#[derive(Default)]
pub(crate) struct Tally {
    /// By suite and configuration.
    suites: BTreeMap<(&'static str, &'static str), Counts>,
}

#[derive(Default)]
struct Counts {
    files: usize,
    passed: usize,
    failed: usize,
    expected_failures: usize,
}

impl Tally {
    /// Adds one trial.
    pub(crate) fn add(
        &mut self,
        (suite, configuration): (&'static str, &'static str),
        passed: usize,
        failed: usize,
        expected_failures: usize,
    ) {
        let counts = self.suites.entry((suite, configuration)).or_default();
        counts.files += 1;
        counts.passed += passed;
        counts.failed += failed;
        counts.expected_failures += expected_failures;
    }

    /// One line per suite and configuration that ran, then one per suite with scripts that are not yet covered.
    pub(crate) fn summary(&self, scripts: &[Script]) -> String {
        let mut text = String::new();
        for ((suite, configuration), counts) in &self.suites {
            let _ = writeln!(
                text,
                "{suite} ({configuration}): {} files, {} assertions passed, {} failed, {} expected failures",
                counts.files,
                grouped(counts.passed),
                grouped(counts.failed),
                grouped(counts.expected_failures),
            );
        }
        let uncovered: BTreeSet<_> = scripts
            .iter()
            .filter(|script| !script.covered)
            .map(|s| s.suite)
            .collect();
        for suite in uncovered {
            let scripts: Vec<_> = scripts
                .iter()
                .filter(|s| !s.covered && s.suite == suite)
                .collect();
            let names: Vec<_> = scripts.iter().map(|script| script.file.as_str()).collect();
            let assertions: usize = scripts
                .iter()
                .filter_map(|s| script::count_assertions(s).ok())
                .sum();
            let _ = writeln!(
                text,
                "{suite}: {} files, {} assertions not yet covered: {}",
                scripts.len(),
                grouped(assertions),
                names.join(" ")
            );
        }
        text
    }
}

/// `21234` as `21,234`.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
