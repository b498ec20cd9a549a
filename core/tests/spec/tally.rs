//! What was counted, per suite.

use crate::suite::{CONFIGURATIONS, Script};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Counts of all suites.
#[derive(Default)]
pub(crate) struct Tally {
    suites: BTreeMap<&'static str, Counts>,
}

#[derive(Default)]
struct Counts {
    trials: usize,
    passed: usize,
    failed: usize,
    expected_failures: usize,
}

impl Tally {
    /// Adds one trial.
    pub(crate) fn add(
        &mut self,
        suite: &'static str,
        passed: usize,
        failed: usize,
        expected_failures: usize,
    ) {
        let counts = self.suites.entry(suite).or_default();
        counts.trials += 1;
        counts.passed += passed;
        counts.failed += failed;
        counts.expected_failures += expected_failures;
    }

    /// One line per suite that ran, then one per suite with scripts that are not yet covered.
    pub(crate) fn summary(&self, scripts: &[Script]) -> String {
        let mut text = String::new();
        for (suite, counts) in &self.suites {
            let _ = writeln!(
                text,
                "{suite}: {} files in {} configurations, {} assertions passed, {} failed, {} expected failures",
                counts.trials.div_ceil(CONFIGURATIONS.len()),
                CONFIGURATIONS.len(),
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
            let files: Vec<_> = scripts
                .iter()
                .filter(|s| !s.covered && s.suite == suite)
                .map(|s| s.file.as_str())
                .collect();
            let _ = writeln!(
                text,
                "{suite}: {} files not yet covered: {}",
                files.len(),
                files.join(" ")
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
