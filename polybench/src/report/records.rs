//! The report for other programs: one record per kernel and engine, as CSV and as JSON.
//!
//! Both have the same fields. JSON has all samples beside, in the order of the rounds, so that sample `i` of two engines is a pair.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::{EngineInfo, KernelReport, Measured, Report};
use crate::measures::Samples;

/// A cell of the report, flat.
#[derive(Debug, Clone, Serialize)]
struct Record<'r> {
    kernel: &'r str,
    category: &'r str,
    size: &'r str,
    engine: &'r str,
    build: &'r str,
    bounds: Option<&'r str>,
    operations: u64,
    rate_unit: &'r str,
    /// Median.
    cpu_ns: Option<f64>,
    /// Median.
    wall_ns: Option<f64>,
    /// Relative interquartile range of the CPU time.
    spread: Option<f64>,
    rate: Option<f64>,
    ratio_to_native: Option<f64>,
    ratio_spread: Option<f64>,
    /// Median CPU time.
    compile_ns: Option<f64>,
    code_bytes: Option<usize>,
    wasm_bytes: Option<usize>,
}

impl<'r> Record<'r> {
    fn of(report: &Report, kernel: &'r KernelReport, column: usize, engine: &'r EngineInfo) -> Record<'r> {
        let figures = report.figures(kernel, column);
        let measured = kernel.results[column].as_ref();
        let ratio = figures.and_then(|figures| figures.ratio);
        Record {
            kernel: kernel.kernel.name,
            category: kernel.kernel.category.name(),
            size: report.size.name(),
            engine: &engine.name,
            build: engine.build.map_or("native", super::Build::name),
            bounds: engine.bounds,
            operations: kernel.operations,
            rate_unit: kernel.kernel.arithmetic.rate_unit(),
            cpu_ns: figures.map(|figures| figures.cpu * 1e9),
            wall_ns: figures.map(|figures| figures.wall * 1e9),
            spread: figures.map(|figures| figures.spread),
            rate: figures.map(|figures| figures.rate),
            ratio_to_native: ratio.map(|ratio| ratio.median),
            ratio_spread: ratio.map(|ratio| ratio.spread),
            compile_ns: measured.and_then(compile_seconds).map(|seconds| seconds * 1e9),
            code_bytes: measured.and_then(|measured| measured.code_bytes),
            wasm_bytes: measured.and_then(|measured| measured.wasm_bytes),
        }
    }
}

/// Median CPU time of compiling, in seconds.
pub(super) fn compile_seconds(measured: &Measured) -> Option<f64> {
    let seconds: Vec<_> = measured.compile.iter().map(Duration::as_secs_f64).collect();
    Samples::new(&seconds).ok().map(|samples| samples.median())
}

/// Writes one line per kernel and engine, after a line of names.
///
/// # Errors
/// Where writing fails.
pub fn write_csv(report: &Report, out: impl Write) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_writer(out);
    for kernel in &report.kernels {
        for (column, engine) in report.engines.iter().enumerate() {
            writer.serialize(Record::of(report, kernel, column, engine))?;
        }
    }
    writer.flush()?;
    Ok(())
}

/// The whole report with all samples.
pub fn json(report: &Report) -> serde_json::Value {
    let mut results = Vec::new();
    for kernel in &report.kernels {
        for (column, engine) in report.engines.iter().enumerate() {
            let mut record = json!(Record::of(report, kernel, column, engine));
            record["checksum"] = json!(kernel.checksum.to_string());
            record["verified_against"] = json!(kernel.reference);
            record["dimensions"] = json!(kernel.kernel.dimensions(report.size));
            if let Some(measured) = &kernel.results[column] {
                let samples = &measured.samples;
                record["samples_cpu_ns"] = samples.iter().map(|time| nanoseconds(time.cpu)).collect();
                record["samples_wall_ns"] = samples.iter().map(|time| nanoseconds(time.wall)).collect();
                record["samples_compile_ns"] = measured.compile.iter().copied().map(nanoseconds).collect();
            }
            results.push(record);
        }
    }
    let means = report.engines.iter().enumerate().map(|(column, engine)| {
        let mean = report
            .reference()
            .and_then(|reference| report.mean(column, reference));
        json!({
            "engine": engine.name,
            "build": engine.build.map_or("native", super::Build::name),
            "ratio_to_native": mean.map(|mean| mean.ratio),
            "least": mean.map(|mean| mean.least),
            "greatest": mean.map(|mean| mean.greatest),
            "kernels": mean.map(|mean| mean.kernels),
        })
    });
    json!({
        "program": "luge polybench",
        "version": report.version,
        "commit": report.commit,
        "began_unix_s": report.began,
        "machine": report.machine,
        "size": report.size,
        "rounds": report.rounds,
        "compiler": report.compiler,
        "engines": report.engines,
        "geometric_means": means.collect::<Vec<_>>(),
        "notices": report.notices,
        "results": results,
    })
}

/// As a number: 2^64 ns are more than 500 years.
fn nanoseconds(time: Duration) -> serde_json::Value {
    json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn csv_has_a_line_for_each_cell() {
        let mut out = Vec::new();
        write_csv(&sample(), &mut out).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 2 * 5);
        assert!(lines[0].starts_with("kernel,category,size,engine,build,bounds,operations,"));
        assert!(
            lines[3].starts_with("gemm,blas,small,baseline,scalar,guard,2000000000,GFLOP/s,150000000.0,"),
            "{}",
            lines[3]
        );
        let empty = lines[10].split(',').filter(|field| field.is_empty()).count();
        assert!(
            lines[10].starts_with("lu,solvers,small,baseline,simd") && empty == 9,
            "{}",
            lines[10]
        );
    }

    #[test]
    fn json_has_the_samples_in_the_order_of_the_rounds() {
        let value = json(&sample());
        assert_eq!(value["results"].as_array().expect("a list").len(), 10);
        assert_eq!(
            value["results"][2]["samples_cpu_ns"],
            json!([150_000_000, 300_000_000, 150_000_000])
        );
        let ratio = value["results"][2]["ratio_to_native"].as_f64().expect("a number");
        assert!((ratio - 1.5).abs() < 1e-9);
        assert_eq!(value["results"][9]["cpu_ns"], json!(null));
        let mean = value["geometric_means"][2]["ratio_to_native"]
            .as_f64()
            .expect("a number");
        assert!((mean - 3.0).abs() < 1e-9);
        assert_eq!(value["machine"]["processor"], json!("A processor"));
        assert_eq!(value["size"], json!("small"));
    }
}
