//! The instruction-count gate: benchmarks may not get slower, or faster, unseen.
//!
//! `cargo bench -p luge-bench-suite --bench counts` runs each benchmark once under callgrind, which counts instructions: a
//! figure that load on the machine does not move. The counts are compared with `bench-suite/expected.toml`; beyond
//! [`TOLERANCE_PERCENT`] in either direction the gate fails. A faster result fails too, for otherwise the next slowdown
//! could hide in the gain: bless it (`cargo xtask callgrind --bless`) in the commit that made it so.
//!
//! A benchmark without an expectation and an expectation without a benchmark are failures as well.
//!
//! A gate is worth as much as its counts are steady. `--twice` counts two times and fails where the same code gave counts
//! that are more than [`STEADY_PERMILLE`] apart.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// How far a count may be from the expected one. Allocation and hashing move counts by less than one percent.
const TOLERANCE_PERCENT: u64 = 3;

/// How far two counts of the same code may be from each other, in thousandths. Hash tables with random seeds free what they
/// hold in another order each time, so that strings lie elsewhere, and comparing one that lies close to the end of a page
/// takes some instructions more: at most 0.16 % of any count were seen.
const STEADY_PERMILLE: u64 = 2;

const EXPECTED: &str = "bench-suite/expected.toml";

/// The bench target of [`EXPECTED`]'s counts; their names leave it out.
const BENCH: &str = "counts";

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
    /// Count once more, and compare the counts with each other.
    Twice,
}

/// Instructions per benchmark, named `group::function id`.
type Counts = BTreeMap<String, u64>;

/// Runs the benchmarks, prints a table and gates or blesses.
pub(crate) fn run(root: &Path, mode: Mode) -> Result<()> {
    let path = root.join(EXPECTED);
    let counts = measure(root)?;
    let expected: Counts = match std::fs::read_to_string(&path) {
        _ if mode == Mode::Twice => measure(root)?,
        Ok(text) => toml::from_str(&text).context(EXPECTED)?,
        Err(_) if mode == Mode::Bless => Counts::new(),
        Err(error) => return Err(error).context(EXPECTED),
    };
    let rows = compare(&expected, &counts);
    match mode {
        Mode::Gate => {
            print!("{}", table(&rows, "expected", TOLERANCE_PERCENT * 10));
            gate(&rows)
        }
        Mode::Bless => {
            print!("{}", table(&rows, "expected", TOLERANCE_PERCENT * 10));
            std::fs::write(&path, render(&counts)).context(EXPECTED)
        }
        Mode::Twice => {
            print!("{}", table(&rows, "again", STEADY_PERMILLE));
            steady(&rows)
        }
    }
}

/// Fails where a count is outside of the tolerance, and names it.
fn gate(rows: &[Row]) -> Result<()> {
    let outside = outside(rows, TOLERANCE_PERCENT * 10);
    if !outside.is_empty() {
        bail!(
            "callgrind: {} of {} counts are not within {TOLERANCE_PERCENT} % of {EXPECTED}: {}; \
             where that is meant, run `cargo xtask callgrind --bless` and say why in the commit",
            outside.len(),
            rows.len(),
            outside.join(", ")
        );
    }
    println!("callgrind: {} counts within {TOLERANCE_PERCENT} %", rows.len());
    Ok(())
}

/// Fails where two counts of the same code differ, and names them.
fn steady(rows: &[Row]) -> Result<()> {
    let outside = outside(rows, STEADY_PERMILLE);
    if !outside.is_empty() {
        bail!(
            "callgrind: the same code gave counts that are more than 0.{STEADY_PERMILLE} % apart: {}",
            outside.join(", ")
        );
    }
    let same = rows.iter().filter(|row| row.expected == row.measured).count();
    println!(
        "callgrind: {} counts twice, {same} of them the very same, all within 0.{STEADY_PERMILLE} %",
        rows.len()
    );
    Ok(())
}

/// Names of the rows that change by more than so many thousandths.
fn outside(rows: &[Row], permille: u64) -> Vec<&str> {
    let outside = rows.iter().filter(|row| !row.is_within(permille));
    outside.map(|row| row.name.as_str()).collect()
}

fn measure(root: &Path) -> Result<Counts> {
    let output = Command::new("cargo")
        .args([
            "bench",
            "--quiet",
            "--locked",
            "--package",
            "luge-bench-suite",
            "--bench",
            BENCH,
        ])
        .args(["--", "--output-format=json"])
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
        let module = module
            .strip_prefix(BENCH)
            .and_then(|module| module.strip_prefix("::"))
            .unwrap_or(module);
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

    /// Whether the change is within so many thousandths; in integers, so that the limit itself is exact.
    fn is_within(&self, permille: u64) -> bool {
        let (Some(expected), Some(measured)) = (self.expected, self.measured) else {
            return false;
        };
        u128::from(measured.abs_diff(expected)) * 1000 <= u128::from(expected) * u128::from(permille)
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

/// A line for each row; `baseline` is what the measured counts are compared with.
fn table(rows: &[Row], baseline: &str, permille: u64) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut table = format!(
        "{:<width$} {:>14} {:>14} {:>9}\n",
        "benchmark", baseline, "measured", "change"
    );
    let cell = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    for row in rows {
        let change = row
            .change_percent()
            .map_or("-".to_owned(), |change| format!("{change:+.2} %"));
        let verdict = if row.is_within(permille) {
            ""
        } else {
            "  <- outside"
        };
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

    fn rows(expected: &[(&str, u64)], measured: &[(&str, u64)]) -> Vec<Row> {
        compare(&counts(expected), &counts(measured))
    }

    #[test]
    fn three_percent_either_way_pass_and_more_fails() {
        for (measured, passes) in [
            (9_690, false),
            (9_700, true),
            (10_000, true),
            (10_300, true),
            (10_301, false),
            (20_000, false),
            (0, false),
        ] {
            let rows = rows(&[("a", 10_000)], &[("a", measured)]);
            assert_eq!(gate(&rows).is_ok(), passes, "{measured}");
        }
    }

    #[test]
    fn one_slowdown_among_many_fails_and_is_named() {
        let expected = [("code::baseline sort", 1_000_000), ("h1::scan_heads small", 500)];
        assert!(gate(&rows(&expected, &expected)).is_ok());
        let slower = [("code::baseline sort", 1_031_000), ("h1::scan_heads small", 500)];
        let error = gate(&rows(&expected, &slower)).unwrap_err().to_string();
        assert!(
            error.contains("1 of 2 counts") && error.contains("code::baseline sort"),
            "{error}"
        );
        assert!(!error.contains("scan_heads"), "{error}");
    }

    #[test]
    fn a_benchmark_on_one_side_only_fails() {
        let rows = rows(&[("old", 5), ("both", 5)], &[("both", 5), ("new", 5)]);
        assert_eq!(outside(&rows, 1_000), ["new", "old"]);
        assert!(gate(&rows).is_err());
    }

    #[test]
    fn a_count_of_nothing_can_only_stay_so() {
        assert!(gate(&rows(&[("a", 0)], &[("a", 0)])).is_ok());
        assert!(gate(&rows(&[("a", 0)], &[("a", 1)])).is_err());
    }

    #[test]
    fn two_counts_of_the_same_code_agree() {
        let once = [("a", 10_000)];
        assert!(steady(&rows(&once, &[("a", 10_020)])).is_ok());
        let error = steady(&rows(&once, &[("a", 9_979)])).unwrap_err().to_string();
        assert!(error.contains("0.2 % apart: a"), "{error}");
    }

    #[test]
    fn blessed_counts_read_back_the_same() {
        let blessed = counts(&[("module::compile small", 12_345), ("b", 1)]);
        assert_eq!(toml::from_str::<Counts>(&render(&blessed)).unwrap(), blessed);
    }

    #[test]
    fn the_table_marks_what_is_outside() {
        let table = table(
            &rows(&[("a", 100), ("b", 9)], &[("a", 110), ("b", 9)]),
            "expected",
            30,
        );
        let lines: Vec<_> = table.lines().collect();
        assert!(
            lines[0].contains("expected") && lines[0].contains("measured"),
            "{table}"
        );
        assert!(lines[1].contains("+10.00 %  <- outside"), "{table}");
        assert!(lines[2].ends_with("+0.00 %"), "{table}");
    }

    #[test]
    fn counts_are_read_from_the_runners_documents() {
        let document = |metrics: &str| {
            format!(
                r#"{{"module_path":"counts::g::f","id":"x","profiles":[{{"tool":"Callgrind","summaries":{{"total":
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
                counts(&[("g::f x", 7)]),
                "{metrics}"
            );
        }
        let twice = document(r#"{"Left":7}"#).repeat(2);
        assert!(read_counts(&twice).is_err());
        assert!(read_counts("not JSON").is_err());
    }
}
