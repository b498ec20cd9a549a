//! One run of the suite: who takes part, in which order, and that nothing wrong is ever timed.
//!
//! ```text
//!   for each kernel
//!     build natively, load everywhere
//!     run once on each contender, compare all live-out bytes with native's        a difference ends the run
//!     for each round
//!       A B C D ...  then B C D ... A        each once, CPU and wall of the kernel alone; checksum compared again
//!     compile once per round on each, after one time that does not count
//! ```
//!
//! All contenders meet in every round, and another begins each: load, clock frequency and temperature drift over minutes, but little
//! within a round, so that ratios taken within rounds are sound where times are not. The first run, which is verified, also
//! touches every page and so warms everything up; it is in no figure.

use std::borrow::Cow;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use luge_core::compiler::BoundsStrategy;

use crate::clock::Time;
use crate::contender::{Build, Checksum, Contender, ContenderError};
use crate::native::{Compiler, NativeBuild, NativeError};
use crate::peer::Peer;
use crate::peers::PeerKind;
use crate::progress::Progress;
use crate::report::{EngineInfo, KernelReport, Machine, Measured, Reference, Report};
use crate::scratch::Scratch;
use crate::suite::{KERNELS, Kernel, Size};
use crate::tier::{TierContender, baseline, interpreter};
use crate::verify::{Difference, checksum, difference};

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The kernels, in the order of the report.
    pub subjects: Vec<Subject>,
    /// The data set of all of them.
    pub size: Size,
    /// Our own tiers.
    pub tiers: Vec<Tier>,
    /// Which builds of the modules.
    pub builds: Vec<Build>,
    /// Other engines. One that cannot be had is left out, with a notice.
    pub peers: Vec<PeerKind>,
    /// Timed runs of each kernel on each contender, at least one.
    pub rounds: u32,
    /// The C compiler of the native builds. Without one there are none, no ratios to them, and results are compared with the
    /// checksums on record.
    pub compiler: Option<Compiler>,
}

impl Default for Plan {
    /// All kernels in their medium size, both builds, on both tiers, five times.
    fn default() -> Plan {
        Plan {
            subjects: KERNELS.iter().map(Subject::built_in).collect(),
            size: Size::Medium,
            tiers: vec![Tier::Interp, Tier::Baseline(BoundsStrategy::Guard)],
            builds: Build::ALL.to_vec(),
            peers: Vec::new(),
            rounds: 5,
            compiler: Compiler::find(),
        }
    }
}

/// A tier of ours, and for machine code how it stays inside its memory. (The interpreter always compares.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The interpreter.
    Interp,
    /// The baseline compiler.
    Baseline(BoundsStrategy),
}

impl Tier {
    fn name(self) -> &'static str {
        match self {
            Self::Interp => "interp",
            Self::Baseline(BoundsStrategy::Guard) => "baseline",
            Self::Baseline(BoundsStrategy::Software) => "baseline-software",
            Self::Baseline(BoundsStrategy::None) => "baseline-none",
        }
    }

    fn bounds(self) -> Option<&'static str> {
        match self {
            Self::Interp => None,
            Self::Baseline(BoundsStrategy::Guard) => Some("guard"),
            Self::Baseline(BoundsStrategy::Software) => Some("software"),
            Self::Baseline(BoundsStrategy::None) => Some("none"),
        }
    }

    fn contender(self) -> Option<TierContender> {
        let engine = match self {
            Self::Interp => interpreter(),
            Self::Baseline(bounds) => baseline(bounds, false)?,
        };
        Some(TierContender::new(self.name(), engine))
    }
}

/// A kernel with the modules that stand for it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The kernel.
    pub kernel: &'static Kernel,
    scalar: Cow<'static, [u8]>,
    simd: Cow<'static, [u8]>,
}

impl Subject {
    /// With the built-in modules.
    pub fn built_in(kernel: &'static Kernel) -> Subject {
        Subject {
            kernel,
            scalar: kernel.wasm(Build::Scalar).into(),
            simd: kernel.wasm(Build::Simd).into(),
        }
    }

    /// With the modules `NAME.wasm` and `NAME.simd.wasm` of a folder, where they are there: of another compiler, say.
    ///
    /// # Errors
    /// [`SuiteError::Read`]
    pub fn in_folder(kernel: &'static Kernel, folder: &Path) -> Result<Subject, SuiteError> {
        let mut subject = Subject::built_in(kernel);
        for build in Build::ALL {
            let path = folder
                .join(build.module_name(kernel.name))
                .with_added_extension("wasm");
            if path.exists() {
                *subject.module(build) = fs::read(&path)
                    .map_err(|source| SuiteError::Read { path, source })?
                    .into();
            }
        }
        Ok(subject)
    }

    fn module(&mut self, build: Build) -> &mut Cow<'static, [u8]> {
        match build {
            Build::Scalar => &mut self.scalar,
            Build::Simd => &mut self.simd,
        }
    }

    fn wasm(&self, build: Build) -> &[u8] {
        match build {
            Build::Scalar => &self.scalar,
            Build::Simd => &self.simd,
        }
    }
}

/// Why a run of the suite ended without a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// A result is wrong. Nothing of that engine can be trusted.
    #[error("wrong result: {kernel} ({size}) on {engine}: {difference}")]
    Wrong {
        /// The kernel.
        kernel: &'static str,
        /// Its data set.
        size: Size,
        /// The engine, and which build it ran.
        engine: String,
        /// Array and element.
        difference: Box<Difference>,
    },
    /// A result has another checksum than it must have.
    #[error(
        "wrong result: {kernel} ({size}) on {engine}: the checksum of its results is {found}, and must be {expected}"
    )]
    Checksum {
        /// The kernel.
        kernel: &'static str,
        /// Its data set.
        size: Size,
        /// The engine, and which build it ran.
        engine: String,
        /// The checksum on record, or native's.
        expected: Checksum,
        /// What the engine answers.
        found: Checksum,
    },
    /// An engine or a guest failed.
    #[error("{kernel} ({size}) on {engine}: {source}")]
    Contender {
        /// The kernel.
        kernel: &'static str,
        /// Its data set.
        size: Size,
        /// The engine, and which build it ran.
        engine: String,
        /// What happened.
        source: ContenderError,
    },
    /// A peer that is there does not speak the protocol.
    #[error("{peer}: {source}")]
    Peer {
        /// The peer.
        peer: &'static str,
        /// What happened.
        source: ContenderError,
    },
    /// A native build failed.
    #[error(transparent)]
    Native(#[from] NativeError),
    /// There is nothing to run, or nothing to run it on.
    #[error("there is nothing to run: name a kernel, a build, and a tier or a peer that this machine has")]
    Empty,
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Runs the plan.
///
/// # Errors
/// [`SuiteError`], the first that happens: a wrong result above all.
pub fn run(plan: &Plan, progress: &Progress) -> Result<Report, SuiteError> {
    let scratch = Scratch::new().map_err(|source| SuiteError::Write {
        path: std::env::temp_dir(),
        source,
    })?;
    let mut report = Report::new(plan.size, plan.rounds, plan.compiler.clone(), Machine::here());
    let entrants = entrants(plan, &mut report, progress)?;
    if plan.subjects.is_empty() || plan.builds.is_empty() || entrants.is_empty() {
        return Err(SuiteError::Empty);
    }
    let mut run = Running {
        plan,
        columns: columns(plan, &entrants, &mut report),
        entrants,
        scratch,
        report,
        progress,
    };
    if plan.tiers.contains(&Tier::Baseline(BoundsStrategy::None)) {
        run.notice(
            "baseline-none: today the compiler makes guard's code for it, so it shows no cost of guard, only the noise of this machine",
        );
    }
    if plan.compiler.is_none() {
        run.notice("no native code: no ratios to it, and results are compared with the checksums on record");
        let recorded = |subject: &Subject| subject.kernel.checksum(plan.size).is_some();
        if !plan.subjects.iter().all(recorded) {
            run.notice("there are none of this size: results are only compared among the engines");
        }
    }
    // Loading and verifying count as one run each.
    progress.begin(plan.subjects.len() as u64 * run.columns.len() as u64 * (u64::from(plan.rounds) + 1));
    for subject in &plan.subjects {
        let measured = run.measure(subject)?;
        run.report.kernels.push(measured);
    }
    progress.end();
    Ok(run.report)
}

/// Who runs modules: a tier of ours, or a peer.
struct Entrant {
    tier: Option<Tier>,
    contender: Box<dyn Contender>,
}

/// Our tiers, then the peers that can be had.
fn entrants(plan: &Plan, report: &mut Report, progress: &Progress) -> Result<Vec<Entrant>, SuiteError> {
    let mut entrants: Vec<Entrant> = Vec::new();
    let mut enter = |tier, contender: Box<dyn Contender>| entrants.push(Entrant { tier, contender });
    let mut notice = |text: String| {
        progress.notice(&text);
        report.notices.push(text);
    };
    for &tier in &plan.tiers {
        match tier.contender() {
            Some(contender) => enter(Some(tier), Box::new(contender)),
            None => notice(format!("no {}: it makes no code for this processor", tier.name())),
        }
    }
    for peer in &plan.peers {
        progress.say(&format!("starting {}", peer.name));
        match peer.start() {
            Ok(started) => enter(None, Box::new(started)),
            Err(ContenderError::Unsupported(why)) => notice(format!("no {}: {why}", peer.name)),
            Err(source) => {
                return Err(SuiteError::Peer {
                    peer: peer.name,
                    source,
                });
            }
        }
    }
    Ok(entrants)
}

/// What stands in one column of the report.
#[derive(Debug, Clone, Copy)]
enum Column {
    Native(NativeBuild),
    /// An entrant by its number, with a build of the module.
    Module(usize, Build),
}

/// Native builds first, then each engine with the scalar build, then each with the other.
fn columns(plan: &Plan, entrants: &[Entrant], report: &mut Report) -> Vec<Column> {
    let mut columns = Vec::new();
    if let Some(compiler) = &plan.compiler {
        for build in NativeBuild::ALL {
            columns.push(Column::Native(build));
            report.engines.push(EngineInfo {
                name: build.name().to_owned(),
                description: format!("{}, {}", compiler.version, build.flags(compiler.family).join(" ")),
                bounds: None,
                build: None,
            });
        }
    }
    for &build in &plan.builds {
        for (number, Entrant { tier, contender }) in entrants.iter().enumerate() {
            columns.push(Column::Module(number, build));
            report.engines.push(EngineInfo {
                name: contender.name().to_owned(),
                description: contender.description().to_owned(),
                bounds: tier.and_then(Tier::bounds),
                build: Some(build),
            });
        }
    }
    columns
}

struct Running<'p> {
    plan: &'p Plan,
    entrants: Vec<Entrant>,
    columns: Vec<Column>,
    scratch: Scratch,
    report: Report,
    progress: &'p Progress,
}

/// What a result is compared with.
struct Expected {
    checksum: Option<Checksum>,
    dump: Option<Vec<u8>>,
}

impl Running<'_> {
    fn notice(&mut self, text: &str) {
        self.progress.notice(text);
        self.report.notices.push(text.to_owned());
    }

    fn measure(&mut self, subject: &Subject) -> Result<KernelReport, SuiteError> {
        let (kernel, size) = (subject.kernel, self.plan.size);
        self.progress.say(kernel.name);
        let mut natives = self.build_natively(kernel)?;
        self.write_modules(subject)?;
        let mut results = Vec::new();
        for column in 0..self.columns.len() {
            results.push(self.load(subject, column)?);
        }
        let reference = self.verify(kernel, &mut natives, &mut results)?;
        for round in 0..self.plan.rounds as usize {
            for position in 0..self.columns.len() {
                let column = (position + round) % self.columns.len();
                if let Some(measured) = &mut results[column] {
                    let time = self.timed(kernel, column, &mut natives, reference.1)?;
                    measured.samples.push(time);
                }
                self.progress.step();
            }
        }
        for round in 0..self.plan.rounds as usize {
            for position in 0..self.columns.len() {
                let column = (position + round) % self.columns.len();
                if let Some(measured) = &mut results[column]
                    && let Some(time) = self.compile(kernel, column)?
                {
                    measured.compile.push(time);
                }
            }
        }
        Ok(KernelReport {
            kernel,
            operations: kernel.operations(size),
            reference: reference.0,
            checksum: reference.1,
            results,
        })
    }

    /// Each native build of a kernel, started.
    fn build_natively(&self, kernel: &'static Kernel) -> Result<Vec<Peer>, SuiteError> {
        let Some(compiler) = &self.plan.compiler else {
            return Ok(Vec::new());
        };
        let started = NativeBuild::ALL.map(|build| compiler.start(kernel, build, self.scratch.path()));
        Ok(started.into_iter().collect::<Result<_, NativeError>>()?)
    }

    fn write_modules(&self, subject: &Subject) -> Result<(), SuiteError> {
        for &build in &self.plan.builds {
            let path = self.module_path(build);
            fs::write(&path, subject.wasm(build)).map_err(|source| SuiteError::Write { path, source })?;
        }
        Ok(())
    }

    /// Where the current kernel's module lies: one place for all, so that loading another gives up the one before.
    fn module_path(&self, build: Build) -> PathBuf {
        self.scratch
            .path()
            .join(build.name())
            .with_added_extension("wasm")
    }

    /// An empty cell where the contender takes the module, none where it does not.
    fn load(&mut self, subject: &Subject, column: usize) -> Result<Option<Measured>, SuiteError> {
        let Column::Module(number, build) = self.columns[column] else {
            return Ok(Some(Measured::default()));
        };
        let path = self.module_path(build);
        let contender = &mut self.entrants[number].contender;
        match contender.load(build.name(), &path) {
            Ok(()) => Ok(Some(Measured {
                code_bytes: contender.code_bytes(build.name()),
                wasm_bytes: Some(subject.wasm(build).len()),
                ..Measured::default()
            })),
            Err(ContenderError::Unsupported(why)) => {
                let text = format!(
                    "{} does not take {}: {why}",
                    contender.name(),
                    build.module_name(subject.kernel.name)
                );
                self.notice(&text);
                Ok(None)
            }
            Err(source) => Err(self.failed(subject.kernel, column, source)),
        }
    }

    /// Runs the kernel once everywhere and compares all results. The reference is native's dump; where there is none, the checksum
    /// on record, or at least the first engine's dump. A wrong result is told before a wrong checksum: it says more.
    fn verify(
        &mut self,
        kernel: &'static Kernel,
        natives: &mut [Peer],
        results: &mut [Option<Measured>],
    ) -> Result<(Reference, Checksum), SuiteError> {
        let size = self.plan.size;
        let recorded = kernel.checksum(size);
        let reference = match (natives.is_empty(), recorded) {
            (false, _) => Reference::Native,
            (true, Some(_)) => Reference::Recorded,
            (true, None) => Reference::FirstEngine,
        };
        let mut expected = Expected {
            checksum: recorded,
            dump: None,
        };
        for (column, result) in results.iter().enumerate() {
            if result.is_some() {
                self.verify_one(kernel, column, natives, &mut expected)?;
            }
            self.progress.step();
        }
        match expected.checksum {
            Some(checksum) => Ok((reference, checksum)),
            None => Err(SuiteError::Empty),
        }
    }

    fn verify_one(
        &mut self,
        kernel: &'static Kernel,
        column: usize,
        natives: &mut [Peer],
        expected: &mut Expected,
    ) -> Result<(), SuiteError> {
        let size = self.plan.size;
        let path = self.scratch.path().join("dump");
        // Else who writes nothing would be compared with who came before.
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(SuiteError::Write { path, source });
            }
            _ => {}
        }
        let (contender, name) = self.contender(kernel, column, natives);
        let ran = contender
            .run(name, size.number())
            .and_then(|run| contender.dump(name, &path).map(|()| run.checksum));
        let found = ran.map_err(|source| self.failed(kernel, column, source))?;
        let dump = fs::read(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => {
                let why = "it says that its results are written, and there is no file".to_owned();
                self.failed(kernel, column, ContenderError::Failed(why))
            }
            _ => SuiteError::Read { path, source },
        })?;
        // The first is compared with itself: that its length is right.
        let must_be = expected.dump.as_ref().unwrap_or(&dump);
        if let Some(difference) = difference(kernel, size, must_be, &dump) {
            return Err(SuiteError::Wrong {
                kernel: kernel.name,
                size,
                engine: self.report.engines[column].label(),
                difference: Box::new(difference),
            });
        }
        self.compare(kernel, column, checksum(kernel, size, &dump), found)?;
        self.compare(kernel, column, *expected.checksum.get_or_insert(found), found)?;
        expected.dump.get_or_insert(dump);
        Ok(())
    }

    fn timed(
        &mut self,
        kernel: &'static Kernel,
        column: usize,
        natives: &mut [Peer],
        expected: Checksum,
    ) -> Result<Time, SuiteError> {
        let size = self.plan.size.number();
        let (contender, name) = self.contender(kernel, column, natives);
        let run = contender
            .run(name, size)
            .map_err(|source| self.failed(kernel, column, source))?;
        self.compare(kernel, column, expected, run.checksum)?;
        Ok(run.time)
    }

    fn compile(&mut self, kernel: &'static Kernel, column: usize) -> Result<Option<Duration>, SuiteError> {
        let Column::Module(number, build) = self.columns[column] else {
            return Ok(None);
        };
        let path = self.module_path(build);
        let contender = &mut self.entrants[number].contender;
        // Twice: the first finds caches full of whoever was before, always the same.
        let time = contender.compile(&path).and_then(|_| contender.compile(&path));
        time.map(Some)
            .map_err(|source| self.failed(kernel, column, source))
    }

    /// Who runs a column, and the name under which it has loaded the kernel.
    fn contender<'c>(
        &'c mut self,
        kernel: &'static Kernel,
        column: usize,
        natives: &'c mut [Peer],
    ) -> (&'c mut dyn Contender, &'static str) {
        match self.columns[column] {
            Column::Native(build) => (&mut natives[build as usize], kernel.name),
            Column::Module(number, build) => (&mut *self.entrants[number].contender, build.name()),
        }
    }

    fn compare(
        &self,
        kernel: &'static Kernel,
        column: usize,
        expected: Checksum,
        found: Checksum,
    ) -> Result<(), SuiteError> {
        if expected == found {
            return Ok(());
        }
        Err(SuiteError::Checksum {
            kernel: kernel.name,
            size: self.plan.size,
            engine: self.report.engines[column].label(),
            expected,
            found,
        })
    }

    fn failed(&self, kernel: &'static Kernel, column: usize, source: ContenderError) -> SuiteError {
        SuiteError::Contender {
            kernel: kernel.name,
            size: self.plan.size,
            engine: self.report.engines[column].label(),
            source,
        }
    }
}
