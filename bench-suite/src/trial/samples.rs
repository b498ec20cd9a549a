//! The figures of a trial: kept one by one, summed up by medians over rounds.
//!
//! A ratio or a difference is taken between two figures of the same round, and its median over the rounds: what disturbed a
//! round then disturbed both.

use std::fmt::Write;

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// From 1.
    pub round: u32,
    /// Of which server.
    pub variant: String,
    /// In which phase: a load, for instance.
    pub phase: String,
    /// What was measured, with its unit at the end of the name.
    pub metric: &'static str,
    /// How much.
    pub value: f64,
}

/// All figures of a trial, in the order in which they were taken.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Sample>);

/// Where a figure stands: variant, phase, metric.
pub type Key<'a> = (&'a str, &'a str, &'a str);

impl Samples {
    /// Keeps a figure.
    pub fn add(&mut self, round: u32, (variant, phase): (&str, &str), metric: &'static str, value: f64) {
        self.0.push(Sample {
            round,
            variant: variant.to_owned(),
            phase: phase.to_owned(),
            metric,
            value,
        });
    }

    /// The median over the rounds; none where nothing was measured.
    #[must_use]
    pub fn median(&self, key: Key<'_>) -> Option<f64> {
        median(self.of(key).map(|(_, value)| value).collect())
    }

    /// The median of `combine(one, other)` over the rounds in which both were measured.
    #[must_use]
    pub fn paired(&self, one: Key<'_>, other: Key<'_>, combine: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let pairs = self
            .of(one)
            .filter_map(|(round, value)| Some(combine(value, self.value(round, other)?)));
        median(pairs.collect())
    }

    /// The figure of one round.
    #[must_use]
    pub fn value(&self, round: u32, key: Key<'_>) -> Option<f64> {
        let (_, value) = self.of(key).find(|(of, _)| *of == round)?;
        Some(value)
    }

    /// Every figure as a line of CSV, under a head.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut text = "round,variant,phase,metric,value\n".to_owned();
        for sample in &self.0 {
            let Sample {
                round,
                variant,
                phase,
                metric,
                value,
            } = sample;
            // Writing to a string does not fail.
            let _ = writeln!(text, "{round},{variant},{phase},{metric},{value}");
        }
        text
    }

    fn of<'a>(&'a self, (variant, phase, metric): Key<'a>) -> impl Iterator<Item = (u32, f64)> + 'a {
        let is_it = move |sample: &&Sample| {
            sample.variant == variant && sample.phase == phase && sample.metric == metric
        };
        self.0
            .iter()
            .filter(is_it)
            .map(|sample| (sample.round, sample.value))
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// A table in Markdown, which a terminal shows well enough too.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(columns: &[&str]) -> Table {
        Table {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Appends a row. Cells that are missing are empty, those beyond the last column are not shown.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<_> = cells.into_iter().collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    /// The text, with columns as wide as their widest cell.
    #[must_use]
    pub fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(self.columns[column].chars().count())
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
        };
        let rules: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let mut text = line(&self.columns);
        text += &line(&rules);
        for row in &self.rows {
            text += &line(row);
        }
        text
    }
}

/// A time in a cell: `-` for none.
pub(super) fn time_cell(nanoseconds: Option<f64>) -> String {
    nanoseconds.map_or("-".to_owned(), |value| {
        let sign = if value < 0.0 { "-" } else { "" };
        format!("{sign}{}", crate::load::duration_text(value.abs() as u64))
    })
}

/// A number in a cell, with so many decimals and a unit: `-` for none.
pub(super) fn cell(value: Option<f64>, decimals: usize, unit: &str) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.decimals$}{unit}"))
}

/// A bar and whether it is reached.
pub(super) fn bar(
    text: &mut String,
    what: &str,
    value: Option<f64>,
    shown: &str,
    is_met: impl Fn(f64) -> bool,
) {
    let verdict = match value {
        None => "not measured",
        Some(value) if is_met(value) => "met",
        Some(_) => "MISSED",
    };
    let _ = writeln!(text, "- {what}: {shown}: {verdict}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Key<'static> = ("a", "50 %", "p99_ns");
    const OTHER: Key<'static> = ("b", "50 %", "p99_ns");

    fn samples() -> Samples {
        let mut samples = Samples::default();
        for (round, one, other) in [(1, 10.0, 5.0), (2, 90.0, 30.0), (3, 40.0, 40.0)] {
            samples.add(round, ("a", "50 %"), "p99_ns", one);
            samples.add(round, ("b", "50 %"), "p99_ns", other);
        }
        samples
    }

    #[test]
    fn medians_are_taken_over_rounds() {
        assert_eq!(samples().median(ONE), Some(40.0));
        assert_eq!(samples().median(("a", "80 %", "p99_ns")), None);
        let mut even = samples();
        even.add(4, ("a", "50 %"), "p99_ns", 20.0);
        assert_eq!(even.median(ONE), Some(30.0));
    }

    #[test]
    fn pairs_are_of_one_round() {
        // Ratios 2, 3, 1; the ratio of the medians would be 40 / 30.
        assert_eq!(samples().paired(ONE, OTHER, |one, other| one / other), Some(2.0));
        let mut more = samples();
        // Nothing stands beside it.
        more.add(4, ("a", "50 %"), "p99_ns", 1e9);
        assert_eq!(more.paired(ONE, OTHER, |one, other| one / other), Some(2.0));
    }

    #[test]
    fn every_figure_is_a_line() {
        let csv = samples().csv();
        assert_eq!(csv.lines().count(), 7);
        assert_eq!(csv.lines().nth(1), Some("1,a,50 %,p99_ns,10"));
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(&["variant", "p99"]);
        table.row(["luge".to_owned(), time_cell(Some(1500.0))]);
        table.row(["cgi".to_owned()]);
        assert_eq!(
            table.text(),
            "| variant | p99    |\n| ------- | ------ |\n| luge    | 1.50us |\n| cgi     |        |\n"
        );
    }

    #[test]
    fn bars_tell_what_is_reached() {
        let mut text = String::new();
        bar(&mut text, "a", Some(1.0), "1", |value| value < 2.0);
        bar(&mut text, "b", Some(3.0), "3", |value| value < 2.0);
        bar(&mut text, "c", None, "-", |value| value < 2.0);
        assert_eq!(text, "- a: 1: met\n- b: 3: MISSED\n- c: -: not measured\n");
    }
}
