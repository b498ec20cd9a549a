//! The kernels as programs of this machine: which compiler makes them, and how.
//!
//! All native builds of a report come from one compiler: a ratio between the code of two compilers would say as much about
//! them as about an engine. Clang is taken where it is there, because the modules in the tree are clang's too; otherwise the system's
//! compiler. The flags keep every floating-point operation as it is written, so that all builds must give the same bits.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::contender::ContenderError;
use crate::peer::Peer;
use crate::suite::{HEADER, Kernel, NATIVE_MAIN};

/// How a kernel is compiled for this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NativeBuild {
    /// `-O3`: what all ratios refer to.
    Plain,
    /// Without vectors that the compiler finds.
    Scalar,
    /// For exactly this processor.
    March,
}

impl NativeBuild {
    /// All of them, the reference first.
    pub const ALL: [NativeBuild; 3] = [Self::Plain, Self::Scalar, Self::March];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "native",
            Self::Scalar => "native-scalar",
            Self::March => "native-march",
        }
    }

    /// Its flags, as far as they differ from the others'.
    pub fn flags(self, family: Family) -> &'static [&'static str] {
        match (self, family) {
            (Self::Plain, _) => &["-O3"],
            (Self::Scalar, Family::Clang) => &["-O3", "-fno-vectorize", "-fno-slp-vectorize"],
            (Self::Scalar, Family::Gcc) => &["-O3", "-fno-tree-vectorize"],
            (Self::March, _) => &["-O3", "-march=native"],
        }
    }
}

/// Whose options a compiler understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Clang.
    Clang,
    /// GCC, and what calls itself `cc` and is no clang.
    Gcc,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clang => "clang",
            Self::Gcc => "gcc",
        })
    }
}

/// The C compiler of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compiler {
    /// The program.
    pub path: PathBuf,
    /// Whose options it takes.
    pub family: Family,
    /// The first line of what it says about itself.
    pub version: String,
}

impl Compiler {
    /// The compiler of this machine, if there is one that works: `clang`, then the newest `clang-N`, then `gcc`, then `cc`.
    pub fn find() -> Option<Compiler> {
        let path = std::env::var_os("PATH")?;
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        candidates(&folders).into_iter().find_map(Self::at)
    }

    fn at(path: PathBuf) -> Option<Compiler> {
        let output = Command::new(&path).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().next().filter(|_| output.status.success())?;
        let family = if version.contains("clang") {
            Family::Clang
        } else {
            Family::Gcc
        };
        Some(Compiler {
            path,
            family,
            version: version.to_owned(),
        })
    }

    /// Writes the sources of a kernel into a folder and builds the program.
    ///
    /// # Errors
    /// Where the compiler refuses, with what it says.
    pub fn build(&self, kernel: &Kernel, build: NativeBuild, folder: &Path) -> Result<PathBuf, NativeError> {
        let source = format!("{}.c", kernel.name);
        for (name, text) in [
            (source.as_str(), kernel.source),
            ("polybench.h", HEADER),
            ("native.c", NATIVE_MAIN),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|source| NativeError::Write { path, source })?;
        }
        let program = folder.join(format!("{}-{}", kernel.name, build.name()));
        let mut command = Command::new(&self.path);
        command
            .current_dir(folder)
            .args(["-std=c17", "-fno-math-errno", "-ffp-contract=off"])
            .args(build.flags(self.family))
            .args([&source, "native.c", "-o"])
            .arg(&program);
        let output = command.output().map_err(|source| NativeError::Start {
            path: self.path.clone(),
            source,
        })?;
        if output.status.success() {
            return Ok(program);
        }
        Err(NativeError::Refused {
            kernel: kernel.name,
            build: build.name(),
            path: self.path.clone(),
            says: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Builds a kernel and starts it.
    ///
    /// # Errors
    /// As of [`Compiler::build`], and where the program does not run.
    pub fn start(&self, kernel: &Kernel, build: NativeBuild, folder: &Path) -> Result<Peer, NativeError> {
        let program = self.build(kernel, build, folder)?;
        Peer::start(build.name(), &mut Command::new(&program)).map_err(|source| NativeError::Program {
            kernel: kernel.name,
            build: build.name(),
            source,
        })
    }
}

/// Why there is no native build although there is a compiler.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NativeError {
    /// The sources cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The compiler does not start.
    #[error("cannot start {}: {source}", .path.display())]
    Start {
        /// The compiler.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The compiler refuses the source.
    #[error("{} does not build {kernel} ({build}):\n{says}", .path.display())]
    Refused {
        /// The kernel.
        kernel: &'static str,
        /// The build.
        build: &'static str,
        /// The compiler.
        path: PathBuf,
        /// What it writes about that.
        says: String,
    },
    /// The program that was built does not run.
    #[error("{kernel} ({build}) does not run: {source}")]
    Program {
        /// The kernel.
        kernel: &'static str,
        /// The build.
        build: &'static str,
        /// What happened.
        source: ContenderError,
    },
}

/// Files that may be compilers, the preferred first.
fn candidates(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut numbered: Vec<(u32, PathBuf)> = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("clang-"));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                numbered.push((number, entry.path()));
            }
        }
    }
    // Stable: of equal numbers the first on the path.
    numbered.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let named = |name: &'static str| folders.iter().map(move |folder| folder.join(name));
    named("clang")
        .chain(numbered.into_iter().map(|(_, path)| path))
        .chain(named("gcc"))
        .chain(named("cc"))
        .filter(|path| path.is_file())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clang_is_preferred_and_of_several_the_newest() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        for (folder, names) in [
            (&first, ["gcc", "clang-9", "clang-19", "clang-format"]),
            (&second, ["clang-20", "cc", "clang-x", "clang"]),
        ] {
            for name in names {
                std::fs::write(folder.path().join(name), "").expect("room");
            }
        }
        let folders = [first.path().to_owned(), second.path().to_owned()];
        let found = candidates(&folders);
        let names: Vec<_> = found
            .iter()
            .filter_map(|path| path.file_name()?.to_str())
            .collect();
        assert_eq!(names, ["clang", "clang-20", "clang-19", "clang-9", "gcc", "cc"]);
        assert!(candidates(&[]).is_empty());
    }

    #[test]
    fn what_cannot_say_its_version_is_no_compiler() {
        assert_eq!(Compiler::at(PathBuf::from("/nonexistent/clang")), None);
        assert_eq!(Compiler::at(PathBuf::from("false")), None);
    }
}
