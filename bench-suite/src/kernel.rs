//! The loop kernels: which there are, how large they run, and what they must answer.
//!
//! `kernels/kernels.toml` lists them; `kernels/NAME.c` is the source, `NAME.wasm` and `NAME.simd.wasm` are its two builds.
//! Both must give the same checksum, on every engine: an engine that is fast and wrong is not fast.

use luge_polybench::contender::{Build, Checksum};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The folder of this crate, where kernels and fetched modules lie.
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
        build.module_name(&self.name)
    }

    /// The file of a build.
    pub fn path(&self, build: Build) -> PathBuf {
        let file = format!("{}.wasm", self.module_name(build));
        Path::new(FOLDER).join("kernels").join(file)
    }
}
