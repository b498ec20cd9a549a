//! Who is compared: anything that loads a module, runs it, shows its results and compiles.
//!
//! The tiers of our engine do so in this process ([`TierContender`](crate::tier::TierContender)), other engines and native
//! builds in processes of their own ([`Peer`](crate::peer::Peer)). Two kinds of modules are run, told apart by their exports:
//!
//! | exports | a run is |
//! |---|---|
//! | `run: i32 -> i64` | one call, timed; its result is the checksum |
//! | `prepare`, `kernel`, `outputs`, `output`, `output_bytes`, `checksum` | `prepare(argument)`, then `kernel()`, timed alone, then `checksum()` |

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Time;

/// An engine that runs kernels and compiles modules.
pub trait Contender {
    /// Its name in tables and on the command line.
    fn name(&self) -> &str;

    /// What exactly it is: program and version.
    fn description(&self) -> &str;

    /// Compiles and instantiates a module under a name. What was loaded under that name before is given up.
    ///
    /// # Errors
    /// [`ContenderError::Unsupported`] where it does not take the module.
    fn load(&mut self, name: &str, path: &Path) -> Result<(), ContenderError>;

    /// Runs a loaded module once, with its `n` or its size.
    ///
    /// # Errors
    /// [`ContenderError::Failed`] where the guest traps or the engine ends.
    fn run(&mut self, name: &str, argument: i32) -> Result<Run, ContenderError>;

    /// Writes all live-out arrays of the last run to a file, one after the other.
    ///
    /// # Errors
    /// [`ContenderError::Failed`] where the module has none or the file cannot be written.
    fn dump(&mut self, name: &str, path: &Path) -> Result<(), ContenderError>;

    /// Compiles a module whole, validation included: the CPU time of it.
    ///
    /// # Errors
    /// [`ContenderError::Unsupported`] where it does not take the module.
    fn compile(&mut self, path: &Path) -> Result<Duration, ContenderError>;

    /// Bytes of code that a loaded module became, where the engine tells.
    fn code_bytes(&self, _name: &str) -> Option<usize> {
        None
    }
}

/// One run of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// What it answered.
    pub checksum: Checksum,
    /// What the kernel alone took.
    pub time: Time,
}

/// Why a contender did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ContenderError {
    /// It cannot take this module; it may well take others.
    #[error("{0}")]
    Unsupported(String),
    /// It, or the guest, went wrong: nothing that it measured can be trusted.
    #[error("{0}")]
    Failed(String),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Build {
    /// Without vectors.
    Scalar,
    /// With 128-bit vectors.
    Simd,
}

impl Build {
    /// Both, the plain one first.
    pub const ALL: [Build; 2] = [Self::Scalar, Self::Simd];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Simd => "simd",
        }
    }

    /// The file of a kernel's build, without the extension.
    pub fn module_name(self, kernel: &str) -> String {
        match self {
            Self::Scalar => kernel.to_owned(),
            Self::Simd => format!("{kernel}.simd"),
        }
    }
}
