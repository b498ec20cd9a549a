//! The report for people: tables in a terminal.
//!
//! For each build of the kernels a table with a row per kernel and a group of figures per engine: time, rate, ratio to native and its
//! spread. Groups that do not fit beside each other stand below each other. Then one table each for the geometric means, for the cost
//! of the bounds strategies, and for what compiling cost.

use std::io::{self, Write};

use super::records::compile_seconds;
use super::table::Table;
use super::{Figures, Mean, Report};
use crate::contender::Build;
use crate::measures::geometric_mean;
use crate::native::Compiler;

/// Writes everything.
///
/// # Errors
/// Where writing fails.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    heading(report, out)?;
    for build in Build::ALL {
        // Native code stands beside the first build only.
        let native = Some(build) == first_build(report);
        let mut columns: Vec<_> = report.native_columns().filter(|_| native).collect();
        columns.extend(report.columns_of(build));
        if report.columns_of(build).next().is_some() {
            writeln!(out, "\n{}\n", title(report, build))?;
            results(report, &columns).write(out)?;
        }
    }
    means(report, out)?;
    bounds(report, out)?;
    if report.is_incomplete() {
        writeln!(
            out,
            "\n* over fewer kernels than the others: not every kernel ran there, or by its clock it took no time"
        )?;
    }
    compilation(report, out)
}

fn first_build(report: &Report) -> Option<Build> {
    Build::ALL
        .into_iter()
        .find(|&build| report.columns_of(build).next().is_some())
}

fn heading(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let commit = report.commit.as_deref().unwrap_or("unknown");
    let machine = &report.machine;
    writeln!(out, "luge polybench {}, commit {commit}", report.version)?;
    writeln!(
        out,
        "{}, {} processors, {:.1} GB, {}",
        machine.processor,
        machine.processors,
        machine.memory_mb as f64 / 1e3,
        machine.system
    )?;
    let native = match &report.compiler {
        Some(Compiler { path, version, .. }) => format!("native code by {version} ({})", path.display()),
        None => "no native code".to_owned(),
    };
    writeln!(out, "{native}")?;
    let mut told: Vec<&str> = Vec::new();
    for engine in report.engines.iter().filter(|engine| engine.build.is_some()) {
        if !told.contains(&engine.name.as_str()) {
            told.push(&engine.name);
            writeln!(out, "{:<18} {}", engine.name, engine.description)?;
        }
    }
    for notice in &report.notices {
        writeln!(out, "notice: {notice}")?;
    }
    writeln!(
        out,
        "{} kernels, size {}, {} rounds; CPU time of the kernel alone, median; every result verified",
        report.kernels.len(),
        report.size,
        report.rounds
    )
}

fn title(report: &Report, build: Build) -> String {
    let what = match build {
        Build::Scalar => "WebAssembly without vectors",
        Build::Simd => "WebAssembly with 128-bit vectors",
    };
    match report.reference() {
        Some(_) => format!("{what}; x: times native -O3's time, +-: its relative interquartile range"),
        None => what.to_owned(),
    }
}

/// Time, rate and ratio of each kernel on each engine.
fn results(report: &Report, columns: &[usize]) -> Table {
    let reference = report.reference();
    let mut table = Table::new(&["kernel", "Mop"]);
    for &column in columns {
        let mut names = vec!["time", "Gop/s"];
        // Of the reference to itself there is none.
        if reference.is_some_and(|reference| reference != column) {
            names.extend(["x", "+-%"]);
        }
        table.group(&report.engines[column].name, &names);
    }
    for kernel in &report.kernels {
        let mut cells = vec![
            kernel.kernel.name.to_owned(),
            decimals(kernel.operations as f64 / 1e6),
        ];
        for &column in columns {
            let figures = report.figures(kernel, column);
            cells.push(show(figures, |figures| Some(duration(figures.cpu))));
            cells.push(show(figures, |figures| Some(decimals(figures.rate))));
            if reference.is_some_and(|reference| reference != column) {
                cells.push(show(figures, |figures| Some(decimals(figures.ratio?.median))));
                cells.push(show(figures, |figures| {
                    Some(format!("{:.0}", figures.ratio?.spread * 100.0))
                }));
            }
        }
        table.row(cells);
    }
    if let Some(reference) = reference {
        table.rule();
        let mut cells = vec!["geometric mean".to_owned(), String::new()];
        for &column in columns {
            cells.extend([String::new(), String::new()]);
            if reference != column {
                let mean = report.mean(column, reference);
                cells.push(average(report, mean));
                cells.push(String::new());
            }
        }
        table.row(cells);
    }
    table
}

/// Geometric means of the ratios to native, each engine a line.
fn means(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Some(reference) = report.reference() else {
        return Ok(());
    };
    writeln!(out, "\nTime relative to native -O3, over the kernels\n")?;
    let builds: Vec<_> = Build::ALL
        .into_iter()
        .filter(|&build| report.columns_of(build).next().is_some())
        .collect();
    let mut table = Table::new(&["engine"]);
    let names = ["geo. mean", "least", "greatest", "kernels"];
    for build in &builds {
        table.group(build.name(), &names);
    }
    let figures = |mean: Option<Mean>| match mean {
        Some(mean) => [
            average(report, Some(mean)),
            decimals(mean.least),
            decimals(mean.greatest),
            mean.kernels.to_string(),
        ],
        None => [(); 4].map(|()| missing()),
    };
    let mut told: Vec<&str> = Vec::new();
    for engine in &report.engines {
        if told.contains(&engine.name.as_str()) {
            continue;
        }
        told.push(&engine.name);
        let mut cells = vec![engine.name.clone()];
        for &build in &builds {
            // Native code has no build: it stands in both.
            let column = (0..report.engines.len()).find(|&column| {
                let other = &report.engines[column];
                other.name == engine.name && other.build.is_none_or(|other| other == build)
            });
            cells.extend(figures(column.and_then(|column| report.mean(column, reference))));
        }
        table.row(cells);
    }
    table.write(out)
}

/// What keeping accesses in bounds costs: the other strategies relative to the first of guard, software and none that ran.
fn bounds(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    const STRATEGIES: [&str; 3] = ["guard", "software", "none"];
    let mut comparisons = Vec::new();
    for build in Build::ALL {
        let columns: Vec<_> = STRATEGIES
            .into_iter()
            .filter_map(|bounds| {
                let column = report
                    .columns_of(build)
                    .find(|&column| report.engines[column].bounds == Some(bounds))?;
                Some((bounds, column))
            })
            .collect();
        if let [first, rest @ ..] = columns.as_slice() {
            comparisons.extend(rest.iter().map(|other| (build, *first, *other)));
        }
    }
    let Some((_, (first, _), _)) = comparisons.first() else {
        return Ok(());
    };
    writeln!(
        out,
        "\nCost of keeping accesses in bounds: time of the baseline tier relative to `{first}`\n"
    )?;
    let mut table = Table::new(&["kernel"]);
    for (build, _, (bounds, _)) in &comparisons {
        table.group(&format!("{bounds}, {}", build.name()), &["x", "+-%"]);
    }
    for kernel in &report.kernels {
        let mut cells = vec![kernel.kernel.name.to_owned()];
        for (_, (_, first), (_, column)) in &comparisons {
            let ratio = report.ratio(kernel, *column, *first);
            cells.push(ratio.map_or_else(missing, |ratio| decimals(ratio.median)));
            cells.push(ratio.map_or_else(missing, |ratio| format!("{:.0}", ratio.spread * 100.0)));
        }
        table.row(cells);
    }
    table.rule();
    let mut cells = vec!["geometric mean".to_owned()];
    for (_, (_, first), (_, column)) in &comparisons {
        let mean = report.mean(*column, *first);
        cells.extend([average(report, mean), String::new()]);
    }
    table.row(cells);
    table.write(out)
}

/// Compile time and code size of each engine, over all kernels.
fn compilation(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "\nCompiling the kernels' modules: CPU time of all (medians), code for each byte of wasm\n"
    )?;
    let mut table = Table::new(&["engine"]);
    table.group("", &["build", "modules", "time", "MB/s", "code KB", "x wasm"]);
    for (column, engine) in report.engines.iter().enumerate() {
        let Some(build) = engine.build else {
            continue;
        };
        let cells: Vec<_> = report
            .kernels
            .iter()
            .filter_map(|kernel| kernel.results[column].as_ref())
            .collect();
        if cells.is_empty() {
            let mut row = vec![engine.name.clone(), build.name().to_owned(), "0".to_owned()];
            row.extend([(); 4].map(|()| missing()));
            table.row(row);
            continue;
        }
        let wasm: usize = cells.iter().filter_map(|measured| measured.wasm_bytes).sum();
        let time: Option<f64> = cells.iter().map(|measured| compile_seconds(measured)).sum();
        let code: Option<usize> = cells.iter().map(|measured| measured.code_bytes).sum();
        // Code for each byte of wasm, kernel by kernel, so that a large kernel counts as any other.
        let growth: Vec<_> = cells
            .iter()
            .filter_map(|measured| Some(measured.code_bytes? as f64 / measured.wasm_bytes? as f64))
            .collect();
        let mut row = vec![
            engine.name.clone(),
            build.name().to_owned(),
            cells.len().to_string(),
        ];
        row.push(time.map_or_else(missing, duration));
        row.push(time.map_or_else(missing, |time| decimals(wasm as f64 / 1e6 / time)));
        row.push(code.map_or_else(missing, |code| decimals(code as f64 / 1e3)));
        row.push(geometric_mean(&growth).map_or_else(|_| missing(), decimals));
        table.row(row);
    }
    table.write(out)
}

fn show(figures: Option<Figures>, of: impl Fn(Figures) -> Option<String>) -> String {
    figures.and_then(of).unwrap_or_else(missing)
}

/// A geometric mean, marked where it is not over all kernels.
fn average(report: &Report, mean: Option<Mean>) -> String {
    match mean {
        Some(mean) if mean.kernels < report.kernels.len() => format!("{}*", decimals(mean.ratio)),
        Some(mean) => decimals(mean.ratio),
        None => missing(),
    }
}

fn missing() -> String {
    "-".to_owned()
}

/// Three significant digits, without an exponent.
fn decimals(value: f64) -> String {
    match value.abs() {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        value if value >= 0.0995 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

/// Seconds in the unit that suits them.
fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 0.9995 => format!("{} s", decimals(seconds)),
        seconds if seconds >= 0.9995e-3 => format!("{} ms", decimals(seconds * 1e3)),
        seconds => format!("{} us", decimals(seconds * 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::WIDTH;
    use crate::report::tests::sample;

    fn text(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_report_has_every_table() {
        let text = text(&sample());
        for part in [
            "luge polybench 0.1.0, commit 0123456789ab",
            "A processor, 2 processors, 4.1 GB, Linux 6.18",
            "notice: a notice",
            "2 kernels, size small, 3 rounds",
            "WebAssembly without vectors; x: times native -O3's time",
            "WebAssembly with 128-bit vectors",
            "Time relative to native -O3, over the kernels",
            "relative to `guard`",
            "Compiling the kernels' modules",
        ] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }

    #[test]
    fn lines_are_aligned_and_not_too_long() {
        let text = text(&sample());
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let mut lines = text.lines().skip_while(|line| !line.starts_with("kernel"));
        let columns = lines.next().expect("names").find("Gop/s").expect("a rate") + "Gop/s".len();
        // gemm: 2,000 million operations natively in 100 ms, 20 billion a second; then the interpreter, 10 times as long.
        let gemm = lines.next().expect("a row");
        assert!(
            gemm.starts_with("gemm") && gemm[..columns].ends_with("20.0"),
            "{text}"
        );
        let words: Vec<_> = gemm.split_whitespace().collect();
        assert_eq!(
            words[..9],
            ["gemm", "2000", "100", "ms", "20.0", "1.00", "s", "2.00", "10.0"]
        );
    }

    #[test]
    fn what_did_not_run_is_a_dash() {
        let text = text(&sample());
        let simd = text.split("128-bit").nth(1).expect("a table");
        let row = simd.lines().find(|line| line.starts_with("lu ")).expect("a row");
        assert_eq!(
            row.split_whitespace().filter(|word| *word == "-").count(),
            4,
            "{text}"
        );
    }

    #[test]
    fn a_mean_over_fewer_kernels_is_marked() {
        let mut report = sample();
        let marked = text(&report);
        let table = marked.split("over the kernels\n").nth(1).expect("means");
        let row = table
            .lines()
            .find(|line| line.starts_with("baseline "))
            .expect("a row");
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "baseline", "3.00", "1.50", "6.00", "2", "0.50*", "0.50", "0.50", "1"
            ]
        );
        assert!(marked.contains("\n* over fewer kernels"));
        report.kernels.truncate(1);
        assert!(!text(&report).contains('*'));
    }

    #[test]
    fn who_took_no_kernel_has_no_figures() {
        let mut report = sample();
        report.kernels.remove(0);
        let text = text(&report);
        let table = text.split("Compiling").nth(1).expect("a table");
        let row = table.lines().find(|line| line.contains("simd")).expect("a row");
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words, ["baseline", "simd", "0", "-", "-", "-", "-"]);
        assert!(!text.contains("NaN"));
    }

    #[test]
    fn the_cost_of_bounds_is_relative_to_guard() {
        let text = text(&sample());
        let table = text.split("Cost of keeping").nth(1).expect("a table");
        let row = |name| table.lines().find(|line| line.starts_with(name)).expect("a row");
        assert_eq!(
            row("gemm").split_whitespace().collect::<Vec<_>>(),
            ["gemm", "2.00", "0"]
        );
        assert_eq!(row("geometric").split_whitespace().last(), Some("1.41"), "{text}");
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.012_34, 0.123_4, 1.234, 12.34, 123.4, 12_340.0].map(decimals);
        assert_eq!(shown, ["0.012", "0.12", "1.23", "12.3", "123", "12340"]);
        assert_eq!([2.0, 0.002, 2e-6].map(duration), ["2.00 s", "2.00 ms", "2.00 us"]);
    }
}
