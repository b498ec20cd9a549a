//! The instruction-count gate: benchmarks may not get slower, or faster, unseen.
//!
//! `cargo bench -p luge-bench-suite` runs each benchmark once under callgrind, which counts instructions: a figure that
//! load on the machine does not move. The counts are compared with `bench-suite/expected.toml`; beyond
//! [`TOLERANCE_PERCENT`] in either direction the gate fails. A faster result fails too, for otherwise the next slowdown
//! could hide in the gain: bless it (`cargo xtask callgrind --bless`) in the commit that made it so.
//!
//! A benchmark without an expectation and an expectation without a benchmark are failures as well.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// How far a count may be from the expected one. Allocation and hashing move counts by less than one percent.
const TOLERANCE_PERCENT: u64 = 3;

const EXPECTED: &str = "bench-suite/expected.toml";

const HEADER: &str = "\
# Instructions executed per benchmark, as callgrind counts them (event Ir), by the pinned toolchain in the bench profile.
# Written by `cargo xtask callgrind --bless`; say in the commit message why a count moved.
";

/// What to do with the counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Compare with the expected counts.
    Gate,
    /// Rewrite the expected counts.
    Bless,
}

/// Instructions per benchmark, named `group::function id`.
type Counts = BTreeMap<String, u64>;

/// Runs the benchmarks, prints a table and gates or blesses.
pub(crate) fn run(root: &Path, mode: Mode) -> Result<()> {
    let path = root.join(EXPECTED);
    let counts = measure(root)?;
    let expected: Counts = match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).context(EXPECTED)?,
        Err(_) if mode == Mode::Bless => Counts::new(),
        Err(error) => return Err(error).context(EXPECTED),
    };
    let rows = compare(&expected, &counts);
    print!("{}", table(&rows));
    if mode == Mode::Bless {
        return std::fs::write(&path, render(&counts)).context(EXPECTED);
    }
    let outside = rows.iter().filter(|row| !row.is_within()).count();
    if outside > 0 {
        bail!(
            "callgrind: {outside} of {} counts are not within {TOLERANCE_PERCENT} % of {EXPECTED}; \
             where that is meant, run `cargo xtask callgrind --bless` and say why in the commit",
            rows.len()
        );
    }
    println!("callgrind: {} counts within {TOLERANCE_PERCENT} %", rows.len());
    Ok(())
}

fn measure(root: &Path) -> Result<Counts> {
    let output = Command::new("cargo")
        .args([
            "bench",
            "--quiet",
            "--locked",
            "--package",
            "luge-bench-suite",
            "--",
        ])
        .args(["--output-format=json"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo bench")?;
    ensure!(
        output.status.success(),
        "cargo bench ended with {}; it needs valgrind and iai-callgrind-runner of the library's version",
        output.status
    );
    let counts = read_counts(&String::from_utf8_lossy(&output.stdout))?;
    ensure!(!counts.is_empty(), "cargo bench ran no benchmark");
    Ok(counts)
}

/// Reads the runner's output: one JSON document per benchmark, the count at `Ir` of callgrind's total.
fn read_counts(output: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    for document in serde_json::Deserializer::from_str(output).into_iter::<Value>() {
        let document = document.context("the benchmark runner's output is not JSON")?;
        let module = document["module_path"]
            .as_str()
            .context("a benchmark without module_path")?;
        let name = match document["id"].as_str() {
            Some(id) => format!("{module} {id}"),
            None => module.to_owned(),
        };
        let count = instructions(&document).with_context(|| format!("{name}: no instruction count"))?;
        ensure!(
            counts.insert(name.clone(), count).is_none(),
            "{name}: measured twice"
        );
    }
    Ok(counts)
}

/// The count of this run; the runner also reports the run before, from whatever commit that was.
fn instructions(document: &Value) -> Option<u64> {
    let profiles = document["profiles"].as_array()?;
    let callgrind = profiles.iter().find(|profile| profile["tool"] == "Callgrind")?;
    let metrics = &callgrind["summaries"]["total"]["summary"]["Callgrind"]["Ir"]["metrics"];
    let new = match (&metrics["Both"], &metrics["Left"]) {
        (Value::Array(both), _) => both.first()?,
        (_, left) => left,
    };
    new.as_u64().or_else(|| new["Int"].as_u64())
}

/// One line of the table; a count is missing where only the other side has the benchmark.
struct Row {
    name: String,
    expected: Option<u64>,
    measured: Option<u64>,
}

impl Row {
    fn change_percent(&self) -> Option<f64> {
        let (expected, measured) = (self.expected?, self.measured?);
        Some((measured as f64 / expected as f64 - 1.0) * 100.0)
    }

    /// Whether the change is within the tolerance; in integers, so that the limit itself is exact.
    fn is_within(&self) -> bool {
        let (Some(expected), Some(measured)) = (self.expected, self.measured) else {
            return false;
        };
        u128::from(measured.abs_diff(expected)) * 100 <= u128::from(expected) * u128::from(TOLERANCE_PERCENT)
    }
}

fn compare(expected: &Counts, measured: &Counts) -> Vec<Row> {
    let names: BTreeSet<_> = expected.keys().chain(measured.keys()).collect();
    let row = |name: &String| Row {
        name: name.clone(),
        expected: expected.get(name).copied(),
        measured: measured.get(name).copied(),
    };
    names.into_iter().map(row).collect()
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut table = format!(
        "{:<width$} {:>14} {:>14} {:>9}\n",
        "benchmark", "expected", "measured", "change"
    );
    let cell = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    for row in rows {
        let change = row
            .change_percent()
            .map_or("-".to_owned(), |change| format!("{change:+.2} %"));
        let verdict = if row.is_within() { "" } else { "  <- outside" };
        let (expected, measured) = (cell(row.expected), cell(row.measured));
        let _ = writeln!(
            table,
            "{:<width$} {expected:>14} {measured:>14} {change:>9}{verdict}",
            row.name
        );
    }
    table
}

fn render(counts: &Counts) -> String {
    counts.iter().fold(HEADER.to_owned(), |mut text, (name, count)| {
        let _ = writeln!(text, "{name:?} = {count}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    fn outside(expected: &[(&str, u64)], measured: &[(&str, u64)]) -> Vec<String> {
        let rows = compare(&counts(expected), &counts(measured));
        rows.into_iter()
            .filter(|row| !row.is_within())
            .map(|row| row.name)
            .collect()
    }

    #[test]
    fn three_percent_either_way_pass_and_more_fails() {
        for (measured, passes) in [
            (9_690, false),
            (9_700, true),
            (10_000, true),
            (10_300, true),
            (10_310, false),
        ] {
            assert_eq!(
                outside(&[("a", 10_000)], &[("a", measured)]).is_empty(),
                passes,
                "{measured}"
            );
        }
    }

    #[test]
    fn a_benchmark_on_one_side_only_fails() {
        assert_eq!(
            outside(&[("old", 5), ("both", 5)], &[("both", 5), ("new", 5)]),
            ["new", "old"]
        );
    }

    #[test]
    fn blessed_counts_read_back_the_same() {
        let blessed = counts(&[("engine::decode::module small", 12_345), ("b", 1)]);
        assert_eq!(toml::from_str::<Counts>(&render(&blessed)).unwrap(), blessed);
    }

    #[test]
    fn the_table_marks_what_is_outside() {
        let table = table(&compare(&counts(&[("a", 100)]), &counts(&[("a", 110)])));
        assert!(table.contains("+10.00 %  <- outside"), "{table}");
    }

    #[test]
    fn counts_are_read_from_the_runners_documents() {
        let document = |metrics: &str| {
            format!(
                r#"{{"module_path":"engine::g::f","id":"x","profiles":[{{"tool":"Callgrind","summaries":{{"total":
                {{"summary":{{"Callgrind":{{"Ir":{{"metrics":{metrics}}}}}}}}}}}}}]}}"#
            )
        };
        for metrics in [
            r#"{"Left":{"Int":7}}"#,
            r#"{"Both":[{"Int":7},{"Int":9}]}"#,
            r#"{"Left":7}"#,
        ] {
            assert_eq!(
                read_counts(&document(metrics)).unwrap(),
                counts(&[("engine::g::f x", 7)]),
                "{metrics}"
            );
        }
        let twice = document(r#"{"Left":7}"#).repeat(2);
        assert!(read_counts(&twice).is_err());
        assert!(read_counts("not JSON").is_err());
    }
}
