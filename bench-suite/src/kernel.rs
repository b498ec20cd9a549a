//! The loop kernels: which there are, how large they run, and what they must answer.
//!
//! `kernels/kernels.toml` lists them; `kernels/NAME.c` is the source, `NAME.wasm` and `NAME.simd.wasm` are its two builds.
//! Both must give the same checksum, on every engine: an engine that is fast and wrong is not fast.

use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// The folder of this crate, where kernels, peers and fetched modules lie.
pub const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// A kernel, as `kernels/kernels.toml` describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Name of its files.
    pub name: String,
    /// Argument of a measured run: chosen so that a baseline compiler takes about 100 ms.
    pub n: i32,
    /// What `run(n)` answers.
    pub checksum: Checksum,
    /// Argument of a run in the tests, a few milliseconds in an interpreter.
    pub test_n: i32,
    /// What `run(test_n)` answers.
    pub test_checksum: Checksum,
    /// Whether there is a build with vectors.
    pub simd: bool,
}

/// What a kernel answers: all of its results' bits, folded into 64. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Checksum(pub u64);

impl TryFrom<String> for Checksum {
    type Error = std::num::ParseIntError;

    fn try_from(digits: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&digits, 16).map(Self)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One of the two builds of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// Without vectors.
    Scalar,
    /// With 128-bit vectors.
    Simd,
}

impl Build {
    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Simd => "simd",
        }
    }
}

impl Kernel {
    /// All kernels, in the order of reports.
    ///
    /// # Panics
    /// If `kernels/kernels.toml` is not well-formed: it is a part of this crate.
    pub fn all() -> Vec<Kernel> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct List {
            kernel: Vec<Kernel>,
        }
        let list: List =
            toml::from_str(include_str!("../kernels/kernels.toml")).expect("a well-formed list of kernels");
        list.kernel
    }

    /// The builds that there are.
    pub fn builds(&self) -> &'static [Build] {
        if self.simd {
            &[Build::Scalar, Build::Simd]
        } else {
            &[Build::Scalar]
        }
    }

    /// Name of a build: that of its file without the extension.
    pub fn module_name(&self, build: Build) -> String {
        match build {
            Build::Scalar => self.name.clone(),
            Build::Simd => format!("{}.simd", self.name),
        }
    }

    /// The file of a build.
    pub fn path(&self, build: Build) -> PathBuf {
        let file = format!("{}.wasm", self.module_name(build));
        Path::new(FOLDER).join("kernels").join(file)
    }
}
