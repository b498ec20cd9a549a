//! What a run of the suite found: samples, and the figures that are made of them.
//!
//! ```text
//!   Report ── engines: one per column ──────────────────────────────┐
//!      │                                                            ▼
//!      └── kernels: one per row ── results: samples, compile times, code size ── Figures
//!                                                                    │
//!   text::write ◄── csv, json: records::* ◄── chart::draw ◄──────────┘
//! ```
//!
//! The samples are kept; every figure is computed from them where it is shown, so that all four outputs agree.

pub mod chart;
pub mod records;
mod table;
pub mod text;

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::clock::Time;
use crate::contender::{Build, Checksum};
use crate::measures::{Ratio, Samples, geometric_mean, paired_ratio};
use crate::native::{Compiler, NativeBuild};
use crate::suite::{Kernel, Size};

/// A run of the suite.
#[derive(Debug, Clone)]
pub struct Report {
    /// The version of this program.
    pub version: &'static str,
    /// The commit of the tree that it was built in, if that can be told; `-dirty` where the tree has changes, `-newer` where the commit
    /// was made after the program.
    pub commit: Option<String>,
    /// Seconds since 1970 at the beginning.
    pub began: u64,
    /// Where it ran.
    pub machine: Machine,
    /// The data set.
    pub size: Size,
    /// Timed runs of each kernel on each engine.
    pub rounds: u32,
    /// Who made the native builds.
    pub compiler: Option<Compiler>,
    /// The columns.
    pub engines: Vec<EngineInfo>,
    /// The rows.
    pub kernels: Vec<KernelReport>,
    /// What else the reader has to know.
    pub notices: Vec<String>,
}

/// A column: who ran, and which build of the kernels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineInfo {
    /// Short name.
    pub name: String,
    /// Program, version, flags.
    pub description: String,
    /// How machine code of ours stayed inside its memory.
    pub bounds: Option<&'static str>,
    /// The build of the module; none for native code.
    pub build: Option<Build>,
}

impl EngineInfo {
    /// Name and build, as messages say it.
    pub fn label(&self) -> String {
        match self.build {
            Some(build) => format!("{} ({})", self.name, build.name()),
            None => self.name.clone(),
        }
    }
}

/// A row.
#[derive(Debug, Clone)]
pub struct KernelReport {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Operations of one run by its definition.
    pub operations: u64,
    /// What its results were compared with.
    pub reference: Reference,
    /// The checksum that all engines gave.
    pub checksum: Checksum,
    /// For each column what was measured; nothing where the engine does not take the module.
    pub results: Vec<Option<Measured>>,
}

/// What results were compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// All bytes that the native build left.
    Native,
    /// The checksum in `kernels/kernels.toml`, and all bytes that the first engine left.
    Recorded,
    /// All bytes that the first engine left: engines agree, which is not to say that they are right.
    FirstEngine,
}

/// What was measured of a kernel on an engine.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// One sample per round.
    pub samples: Vec<Time>,
    /// CPU time of compiling the module, once per round; none for native code.
    pub compile: Vec<Duration>,
    /// Bytes of code that the module became, where the engine tells.
    pub code_bytes: Option<usize>,
    /// Bytes of the module.
    pub wasm_bytes: Option<usize>,
}

/// What the samples of a kernel on an engine say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Median CPU time in seconds.
    pub cpu: f64,
    /// Median elapsed time in seconds.
    pub wall: f64,
    /// Relative interquartile range of the CPU time.
    pub spread: f64,
    /// 10^9 operations per CPU second.
    pub rate: f64,
    /// CPU time relative to the native build, paired by round.
    pub ratio: Option<Ratio>,
}

/// A column's geometric mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// Of the ratios to native.
    pub ratio: f64,
    /// The least of them.
    pub least: f64,
    /// The greatest of them.
    pub greatest: f64,
    /// Over how many kernels.
    pub kernels: usize,
}

impl Report {
    pub(crate) fn new(size: Size, rounds: u32, compiler: Option<Compiler>, machine: Machine) -> Report {
        let began = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
        Report {
            version: env!("CARGO_PKG_VERSION"),
            commit: commit(),
            began,
            machine,
            size,
            rounds,
            compiler,
            engines: Vec::new(),
            kernels: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// The column to which ratios refer: native code at `-O3`.
    pub fn reference(&self) -> Option<usize> {
        let name = NativeBuild::Plain.name();
        self.engines.iter().position(|engine| engine.name == name)
    }

    /// The figures of a cell, if it has samples by which they can be told.
    pub fn figures(&self, kernel: &KernelReport, engine: usize) -> Option<Figures> {
        let measured = kernel.results.get(engine)?.as_ref()?;
        let cpu = Samples::new(&cpu_seconds(measured)).ok()?;
        let wall: Vec<_> = measured
            .samples
            .iter()
            .map(|time| time.wall.as_secs_f64())
            .collect();
        Some(Figures {
            cpu: cpu.median(),
            wall: Samples::new(&wall).ok()?.median(),
            spread: cpu.spread(),
            rate: kernel.operations as f64 / cpu.median() / 1e9,
            ratio: self
                .reference()
                .and_then(|reference| self.ratio(kernel, engine, reference)),
        })
    }

    /// CPU time of one column relative to another's, paired by round.
    pub fn ratio(&self, kernel: &KernelReport, engine: usize, reference: usize) -> Option<Ratio> {
        let [engine, reference] =
            [engine, reference].map(|column| kernel.results.get(column)?.as_ref().map(cpu_seconds));
        paired_ratio(&engine?, &reference?).ok()
    }

    /// The geometric mean of a column's ratios to another, over the kernels that both ran.
    pub fn mean(&self, engine: usize, reference: usize) -> Option<Mean> {
        let ratios: Vec<_> = self
            .kernels
            .iter()
            .filter_map(|kernel| Some(self.ratio(kernel, engine, reference)?.median))
            .collect();
        Some(Mean {
            ratio: geometric_mean(&ratios).ok()?,
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            greatest: ratios.iter().copied().fold(0.0, f64::max),
            kernels: ratios.len(),
        })
    }

    /// Whether some column has no figure for some kernel, so that its means are over fewer than others'.
    pub fn is_incomplete(&self) -> bool {
        let mut columns = 0..self.engines.len();
        columns.any(|column| {
            self.kernels
                .iter()
                .any(|kernel| self.figures(kernel, column).is_none())
        })
    }

    /// The columns that ran a build.
    pub fn columns_of(&self, build: Build) -> impl Iterator<Item = usize> + '_ {
        (0..self.engines.len()).filter(move |&column| self.engines[column].build == Some(build))
    }

    /// The columns of native code.
    pub fn native_columns(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.engines.len()).filter(|&column| self.engines[column].build.is_none())
    }
}

fn cpu_seconds(measured: &Measured) -> Vec<f64> {
    measured
        .samples
        .iter()
        .map(|time| time.cpu.as_secs_f64())
        .collect()
}

/// A machine, as far as a reader has to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Megabytes (10^6 bytes) of memory.
    pub memory_mb: u64,
    /// Kernel and its version.
    pub system: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Machine {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let unknown = || "unknown".to_owned();
        let memory_kib = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0);
        let release = read("/proc/sys/kernel/osrelease");
        Machine {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_mb: memory_kib * 1024 / 1_000_000,
            system: format!("Linux {}", release.trim()),
        }
    }
}

/// The value of the first line `NAME : VALUE`.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The commit of the source tree, as far as it is there and git is.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    let made = git(&["log", "-1", "--format=%ct"]).and_then(|seconds| seconds.parse().ok());
    let newer = made.is_some_and(|made| built_before(SystemTime::UNIX_EPOCH + Duration::from_secs(made)));
    let mut commit = hash;
    for (mark, holds) in [("-dirty", changed), ("-newer", newer)] {
        commit += if holds { mark } else { "" };
    }
    Some(commit)
}

/// Whether this program is older than that, if its age can be told.
fn built_before(time: SystemTime) -> bool {
    let built = std::env::current_exe().and_then(|path| path.metadata()?.modified());
    built.is_ok_and(|built| built < time)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A cell whose samples are these milliseconds.
    fn cell(millis: &[u64]) -> Option<Measured> {
        (!millis.is_empty()).then(|| Measured {
            samples: millis
                .iter()
                .map(|&millis| Time {
                    cpu: Duration::from_millis(millis),
                    wall: Duration::from_millis(millis * 2),
                })
                .collect(),
            compile: vec![Duration::from_micros(80); millis.len()],
            code_bytes: Some(2000),
            wasm_bytes: Some(1000),
        })
    }

    fn engine(name: &str, bounds: Option<&'static str>, build: Option<Build>) -> EngineInfo {
        EngineInfo {
            name: name.to_owned(),
            description: format!("{name} 1.0"),
            bounds,
            build,
        }
    }

    /// Two kernels, native code, three engines and a second build; one cell is empty.
    pub(crate) fn sample() -> Report {
        let scalar = Some(Build::Scalar);
        let row = |name: &str, cells: [&[u64]; 5]| {
            let kernel = Kernel::named(name).expect("listed");
            KernelReport {
                kernel,
                operations: 2_000_000_000,
                reference: Reference::Native,
                checksum: Checksum(0xab),
                results: cells.into_iter().map(cell).collect(),
            }
        };
        Report {
            version: "0.1.0",
            commit: Some("0123456789ab".to_owned()),
            began: 1_700_000_000,
            machine: Machine {
                processor: "A processor".to_owned(),
                processors: 2,
                memory_mb: 4096,
                system: "Linux 6.18".to_owned(),
            },
            size: Size::Small,
            rounds: 3,
            compiler: None,
            engines: vec![
                engine("native", None, None),
                engine("interp", None, scalar),
                engine("baseline", Some("guard"), scalar),
                engine("baseline-software", Some("software"), scalar),
                engine("baseline", Some("guard"), Some(Build::Simd)),
            ],
            kernels: vec![
                row(
                    "gemm",
                    [
                        &[100, 200, 100],
                        &[1000, 2000, 1000],
                        &[150, 300, 150],
                        &[300, 600, 300],
                        &[50, 100, 50],
                    ],
                ),
                row(
                    "lu",
                    [&[10, 10, 10], &[160, 160, 160], &[60, 60, 60], &[60, 60, 60], &[]],
                ),
            ],
            notices: vec!["a notice".to_owned()],
        }
    }

    #[test]
    fn figures_are_medians_rates_and_paired_ratios() {
        let report = sample();
        let figures = report.figures(&report.kernels[0], 2).expect("samples");
        assert!((figures.cpu - 0.15).abs() < 1e-12 && (figures.wall - 0.3).abs() < 1e-12);
        assert!((figures.rate - 2.0 / 0.15).abs() < 1e-9);
        let ratio = figures.ratio.expect("native ran");
        assert!((ratio.median - 1.5).abs() < 1e-12 && ratio.spread < 1e-12);
        assert_eq!(report.figures(&report.kernels[1], 4), None);
    }

    #[test]
    fn means_are_geometric_over_what_both_ran() {
        let report = sample();
        let mean = report.mean(2, 0).expect("two kernels");
        assert!((mean.ratio - 3.0).abs() < 1e-12, "{mean:?}");
        assert!((mean.least - 1.5).abs() < 1e-12 && (mean.greatest - 6.0).abs() < 1e-12);
        assert_eq!(mean.kernels, 2);
        assert_eq!(report.mean(4, 0).expect("one kernel").kernels, 1);
        let nothing = Report {
            kernels: Vec::new(),
            ..report
        };
        assert_eq!(nothing.mean(2, 0), None);
    }

    #[test]
    fn a_program_is_older_than_the_future_only() {
        assert!(built_before(SystemTime::now() + Duration::from_secs(3600)));
        assert!(!built_before(SystemTime::UNIX_EPOCH));
    }

    #[test]
    fn this_machine_has_a_name_and_processors() {
        let machine = Machine::here();
        assert!(machine.processors > 0 && machine.memory_mb > 0);
        assert!(machine.system.len() > "Linux ".len());
        assert_eq!(
            field("a: 1\nmodel name\t: X Y\n", "model name").as_deref(),
            Some("X Y")
        );
    }
}
