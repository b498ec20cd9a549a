//! `luge polybench`: how much longer than native code do our tiers and other engines take, kernel by kernel?
//!
//! The suite itself is [`luge_polybench`]; this is its command line. A wrong result of any engine ends it, exit code 1.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use luge_core::compiler::BoundsStrategy;
use luge_polybench::contender::Build;
use luge_polybench::native::Compiler;
use luge_polybench::peers::{PEERS, PeerKind};
use luge_polybench::progress::Progress;
use luge_polybench::report::chart::{self, ChartError};
use luge_polybench::report::{Report, records, text};
use luge_polybench::runner::{self, Plan, Subject, SuiteError};
use luge_polybench::suite::{KERNELS, Kernel, Size};

use crate::engine::{Bounds, Tier};

/// Arguments of `luge polybench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  luge polybench                                          all kernels, medium size, interpreter and baseline
  luge polybench --kernels gemm,lu --size small --reps 9
  luge polybench --tiers baseline --bounds guard,software,none
  luge polybench --tiers baseline --peers found --json run.json --svg run.svg

Native code comes from the C compiler found (clang, then clang-N, then gcc); without one there are no ratios to it. Keep the
machine quiet, and pin it (taskset -c 1 luge polybench ...): ratios taken in one run are worth quoting, times are not.")]
pub struct PolybenchArgs {
    /// Which kernels [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = parse_kernel)]
    pub kernels: Option<Vec<&'static Kernel>>,
    /// How large they run
    #[arg(long, value_enum, default_value = "medium")]
    pub size: DataSet,
    /// Our own tiers; none when the value is left out
    #[arg(long, value_enum, value_delimiter = ',', num_args = 0.., default_values = ["interp", "baseline"])]
    pub tiers: Vec<Tier>,
    /// How machine code stays inside its memory; the baseline tier runs once with each
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["guard"])]
    pub bounds: Vec<Bounds>,
    /// Which builds of the kernels
    #[arg(long, value_enum, default_value = "both")]
    pub simd: Builds,
    /// Timed runs of each kernel on each engine
    #[arg(long, alias = "rounds", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub reps: u32,
    /// Other engines: liftoff, turbofan (both: node), winch, wasmtime, wasmer, wasmi, or `found` for all that can be had
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = parse_peers)]
    pub peers: Vec<Peers>,
    /// Take NAME.wasm and NAME.simd.wasm from this folder where they are there, not the built-in modules
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// Leave out native code, and with it all ratios to it
    #[arg(long)]
    pub no_native: bool,
    /// Write the report with all samples to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a line for each kernel and engine to this file
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Draw the ratios to native code into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// The sizes of the suite, as the command line names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DataSet {
    /// About 16 KB: for checking
    Mini,
    /// About 128 KB
    Small,
    /// About a megabyte
    Medium,
    /// About 25 MB
    Large,
    /// About 120 MB
    #[value(name = "extralarge")]
    ExtraLarge,
}

impl DataSet {
    fn size(self) -> Size {
        Size::ALL[self as usize]
    }
}

/// Which builds of the modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Builds {
    /// Without vectors
    Scalar,
    /// With 128-bit vectors
    Simd,
    /// One after the other
    Both,
}

/// What one name after `--peers` stands for.
#[derive(Debug, Clone)]
pub struct Peers(Vec<PeerKind>);

/// Why there is no report, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolybenchProblem {
    /// The suite ended early: a result was wrong, or something failed.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// There is no chart.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Runs the suite, writes the files that were asked for, and then the tables. The inner result is that of writing these.
///
/// # Errors
/// [`PolybenchProblem`].
pub fn polybench(args: &PolybenchArgs, out: &mut impl Write) -> Result<io::Result<()>, PolybenchProblem> {
    let plan = plan(args)?;
    // What cannot be written is told now, not after an hour.
    check_files(args, &plan)?;
    let report = runner::run(&plan, &Progress::on_stderr())?;
    // The tables first: a file that cannot be written must not take the results away.
    let told = text::write(&report, out).and_then(|()| out.flush());
    write_files(args, &report)?;
    Ok(told)
}

fn plan(args: &PolybenchArgs) -> Result<Plan, SuiteError> {
    // In the suite's order, whatever the order of the names.
    let chosen = KERNELS.iter().filter(|kernel| match &args.kernels {
        Some(kernels) => kernels.iter().any(|asked| asked.name == kernel.name),
        None => true,
    });
    let subjects = chosen.map(|kernel| match &args.modules {
        Some(folder) => Subject::in_folder(kernel, folder),
        None => Ok(Subject::built_in(kernel)),
    });
    Ok(Plan {
        subjects: subjects.collect::<Result<_, _>>()?,
        size: args.size.size(),
        tiers: tiers(args),
        builds: match args.simd {
            Builds::Scalar => vec![Build::Scalar],
            Builds::Simd => vec![Build::Simd],
            Builds::Both => Build::ALL.to_vec(),
        },
        peers: PEERS
            .iter()
            .copied()
            .filter(|peer| args.peers.iter().any(|Peers(asked)| asked.contains(peer)))
            .collect(),
        rounds: args.reps,
        compiler: if args.no_native { None } else { Compiler::find() },
    })
}

/// Each tier once, the baseline once with each way to stay in bounds.
fn tiers(args: &PolybenchArgs) -> Vec<runner::Tier> {
    let mut tiers = Vec::new();
    for tier in Tier::ALL.into_iter().filter(|tier| args.tiers.contains(tier)) {
        match tier {
            Tier::Interp => tiers.push(runner::Tier::Interp),
            Tier::Baseline => {
                for (bounds, strategy) in [
                    (Bounds::Guard, BoundsStrategy::Guard),
                    (Bounds::Software, BoundsStrategy::Software),
                    (Bounds::None, BoundsStrategy::None),
                ] {
                    if args.bounds.contains(&bounds) {
                        tiers.push(runner::Tier::Baseline(strategy));
                    }
                }
            }
        }
    }
    tiers
}

/// Whether the files that are asked for can be written, and the chart has something to show. Leaves everything as it was; what is
/// there and is no file, a pipe say, is not touched.
fn check_files(args: &PolybenchArgs, plan: &Plan) -> Result<(), PolybenchProblem> {
    if args.svg.is_some() && plan.compiler.is_none() {
        return Err(ChartError::Empty.into());
    }
    for path in [&args.json, &args.csv, &args.svg].into_iter().flatten() {
        let unwritten = |source| PolybenchProblem::Write {
            path: path.clone(),
            source,
        };
        let mut options = std::fs::File::options();
        options.append(true);
        if path.is_file() {
            options.open(path).map_err(unwritten)?;
        } else if path.symlink_metadata().is_err() {
            options.create_new(true).open(path).map_err(unwritten)?;
            std::fs::remove_file(path).map_err(unwritten)?;
        }
    }
    Ok(())
}

/// Writes all files that are asked for: one that cannot be written does not take the others away.
fn write_files(args: &PolybenchArgs, report: &Report) -> Result<(), PolybenchProblem> {
    let json = args.json.as_ref().map_or(Ok(()), |path| {
        write_file(path, |file| writeln!(file, "{:#}", records::json(report)))
    });
    let csv = args.csv.as_ref().map_or(Ok(()), |path| {
        write_file(path, |file| {
            records::write_csv(report, file).map_err(io::Error::other)
        })
    });
    let svg = args.svg.as_ref().map_or(Ok(()), |path| chart::draw(report, path));
    json.and(csv).and(svg.map_err(PolybenchProblem::from))
}

fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), PolybenchProblem> {
    let written = std::fs::File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    written.map_err(|source| PolybenchProblem::Write {
        path: path.to_owned(),
        source,
    })
}

fn parse_kernel(name: &str) -> Result<&'static Kernel, String> {
    Kernel::named(name).ok_or_else(|| {
        let names: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
        format!("there is no such kernel; there are {}", names.join(", "))
    })
}

fn parse_peers(name: &str) -> Result<Peers, String> {
    let named = |names: &[&str]| Peers(names.iter().filter_map(|name| PeerKind::named(name)).collect());
    match name {
        "found" => Ok(Peers(PEERS.to_vec())),
        "node" => Ok(named(&["liftoff", "turbofan"])),
        name => PeerKind::named(name)
            .map(|peer| Peers(vec![peer]))
            .ok_or_else(|| {
                let names: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
                format!(
                    "there is no such engine; there are {}, node and found",
                    names.join(", ")
                )
            }),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn arguments(words: &[&str]) -> PolybenchArgs {
        let command = ["luge", "polybench"].iter().chain(words);
        let Command::Polybench(args) = Cli::parse_from(command).command else {
            panic!("another command")
        };
        args
    }

    #[test]
    fn kernels_and_engines_are_chosen_by_name_in_the_suites_order() {
        let args = arguments(&[
            "--kernels",
            "lu,gemm",
            "--bounds",
            "none,guard",
            "--peers",
            "node,wasmi",
        ]);
        let plan = plan(&args).expect("built in");
        let names: Vec<_> = plan.subjects.iter().map(|subject| subject.kernel.name).collect();
        assert_eq!(names, ["gemm", "lu"]);
        let baseline = runner::Tier::Baseline;
        assert_eq!(
            plan.tiers,
            [
                runner::Tier::Interp,
                baseline(BoundsStrategy::Guard),
                baseline(BoundsStrategy::None)
            ]
        );
        let peers: Vec<_> = plan.peers.iter().map(|peer| peer.name).collect();
        assert_eq!(peers, ["liftoff", "turbofan", "wasmi"]);
        let unknown = Cli::try_parse_from(["luge", "polybench", "--kernels", "gemn"]);
        assert!(
            unknown
                .expect_err("no kernel")
                .to_string()
                .contains("there are correlation, ")
        );
        assert!(Cli::try_parse_from(["luge", "polybench", "--peers", "v9"]).is_err());
    }

    #[test]
    fn every_size_is_the_suites() {
        for (name, size) in ["mini", "small", "medium", "large", "extralarge"]
            .iter()
            .zip(Size::ALL)
        {
            assert_eq!(arguments(&["--size", name]).size.size(), size);
            assert_eq!(size.name(), *name);
        }
        assert_eq!(arguments(&[]).size, DataSet::Medium);
    }

    #[test]
    fn two_kernels_make_tables_and_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        let mut args = arguments(&["--kernels", "bicg,trisolv", "--size", "mini", "--reps", "2"]);
        (args.json, args.csv, args.svg) = (Some(file("r.json")), Some(file("r.csv")), Some(file("r.svg")));
        let mut out = Vec::new();
        polybench(&args, &mut out).expect("right results").expect("room");
        let text = String::from_utf8(out).expect("text");
        for part in [
            "bicg",
            "trisolv",
            "native-march",
            "geometric mean",
            "size mini, 2 rounds",
        ] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
        let json = std::fs::read_to_string(file("r.json")).expect("a file");
        assert!(json.contains("\"samples_cpu_ns\"") && json.contains("\"verified_against\": \"native\""));
        // A line of names, then 2 kernels on 3 native builds and 2 tiers with 2 builds.
        let csv = std::fs::read_to_string(file("r.csv")).expect("a file");
        assert_eq!(csv.lines().count(), 1 + 2 * (3 + 4));
        assert!(
            std::fs::read_to_string(file("r.svg"))
                .expect("a file")
                .contains("bicg")
        );
    }

    #[test]
    fn files_that_cannot_be_written_are_told_before_anything_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        // No kernel is ready in this: running would fail in another way.
        std::fs::write(folder.path().join("lu.wasm"), "no module").expect("room");
        let mut args = arguments(&["--kernels", "lu", "--size", "mini"]);
        args.modules = Some(folder.path().to_owned());
        args.json = Some(folder.path().join("new.json"));
        args.csv = Some(folder.path().join("no folder/run.csv"));
        let problem = polybench(&args, &mut Vec::new()).expect_err("no such folder");
        assert!(
            matches!(&problem, PolybenchProblem::Write { path, .. } if path.ends_with("run.csv")),
            "{problem}"
        );
        assert!(!folder.path().join("new.json").exists());
        (args.csv, args.svg, args.no_native) = (None, Some(folder.path().join("run.svg")), true);
        let problem = polybench(&args, &mut Vec::new()).expect_err("no ratios");
        assert!(matches!(problem, PolybenchProblem::Chart(ChartError::Empty)));
    }

    #[test]
    fn one_file_that_cannot_be_written_leaves_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let csv = folder.path().join("r.csv");
        let mut args = arguments(&[
            "--kernels",
            "lu",
            "--size",
            "mini",
            "--reps",
            "1",
            "--tiers",
            "interp",
        ]);
        args.no_native = true;
        (args.json, args.csv) = (Some("/dev/full".into()), Some(csv.clone()));
        let mut out = Vec::new();
        let problem = polybench(&args, &mut out).expect_err("a full disk");
        assert!(
            matches!(&problem, PolybenchProblem::Write { path, .. } if path.ends_with("full")),
            "{problem}"
        );
        assert!(!out.is_empty() && std::fs::read_to_string(csv).expect("a file").contains("lu"));
    }

    #[test]
    fn a_wrong_result_fails_the_command_and_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        // A module that is right, but for another kernel.
        let other = Kernel::named("mvt").expect("listed").wasm(Build::Scalar);
        std::fs::write(folder.path().join("gesummv.wasm"), other).expect("room");
        let mut args = arguments(&[
            "--kernels",
            "gesummv",
            "--size",
            "mini",
            "--reps",
            "1",
            "--tiers",
            "interp",
        ]);
        args.modules = Some(folder.path().to_owned());
        let problem = polybench(&args, &mut Vec::new())
            .expect_err("a wrong result")
            .to_string();
        assert!(
            problem.starts_with("wrong result: gesummv (mini) on interp (scalar): "),
            "{problem}"
        );
    }
}
