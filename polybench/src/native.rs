//! The kernels as programs of this machine: which compiler makes them, and how.
//!
//! All native builds of a report come from one compiler: a ratio between the code of two compilers would say as much about
//! them as about an engine. Clang is taken where it is there, because the modules in the tree are clang's too; otherwise the system's
//! compiler. The flags keep every floating-point operation as it is written, so that all builds must give the same bits.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::contender::ContenderError;
use crate::peer::Peer;
use crate::suite::{HEADER, Kernel, NATIVE_MAIN};

/// Longest time until a compiler has said its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time for the build of one kernel, which takes a second.
const BUILD_TIMEOUT: Duration = Duration::from_secs(300);

/// What is kept of a compiler's words, each of output and error. Who writes more is cut off.
const OUTPUT_BYTES_MAX: u64 = 1 << 16;

/// Characters of a compiler's version in reports.
const VERSION_CHARS_MAX: usize = 100;

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
    #[serde(serialize_with = "as_text")]
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
        // It runs in another folder than this process.
        let folders: Vec<_> = std::env::split_paths(&path)
            .filter_map(|folder| std::path::absolute(folder).ok())
            .collect();
        candidates(&folders).into_iter().find_map(Self::at)
    }

    fn at(path: PathBuf) -> Option<Compiler> {
        Self::asked(path, VERSION_TIMEOUT)
    }

    fn asked(path: PathBuf, timeout: Duration) -> Option<Compiler> {
        let output = bounded(Command::new(&path).arg("--version"), timeout).ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().next().filter(|_| output.status.success())?;
        let plain = version.chars().filter(|character| !character.is_control());
        let version: String = plain.take(VERSION_CHARS_MAX).collect();
        let family = if version.contains("clang") {
            Family::Clang
        } else {
            Family::Gcc
        };
        Some(Compiler {
            path,
            family,
            version,
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
            // So that what it leaves behind when it is ended goes too, and a relative path need not hold there.
            .env("TMPDIR", folder)
            .args(["-std=c17", "-fno-math-errno", "-ffp-contract=off"])
            .args(build.flags(self.family))
            .args([&source, "native.c", "-o"])
            .arg(&program);
        let output = bounded(&mut command, BUILD_TIMEOUT).map_err(|source| NativeError::Start {
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
    /// The compiler does not start, or does not end.
    #[error("cannot run {}: {source}", .path.display())]
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

/// Runs a program that gets no input. It is ended when its time is over.
fn bounded(command: &mut Command, timeout: Duration) -> io::Result<Output> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        unreachable!("both are piped");
    };
    let (out, err) = (collect(out), collect(err));
    let deadline = Instant::now() + timeout;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            // It may end by itself right now, which is all that is wanted.
            let _ = child.kill();
            child.wait()?;
            let why = format!("it did not end within {} s", timeout.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    // A process that it left behind may hold the pipes open: nobody waits for that.
    let words = |pipe: Receiver<Vec<u8>>| pipe.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    Ok(Output {
        status,
        stdout: words(out),
        stderr: words(err),
    })
}

/// What a pipe says until it ends or has said enough.
fn collect(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, words) = sync_channel(1);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        // An error ends it as its end does.
        let _ = pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut kept);
        let _ = send.send(kept);
    });
    words
}

/// A path need not be text.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
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

    /// An executable shell script. Written by another process: what this one has open for writing cannot be run while a
    /// third is being started.
    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        let written = Command::new("sh")
            .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod 700 "$0""#])
            .arg(&path)
            .arg(text)
            .status();
        assert!(written.expect("a shell").success());
        path
    }

    #[test]
    fn a_compiler_that_hangs_or_babbles_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let hangs = script(folder.path(), "hangs", "exec sleep 600");
        assert_eq!(Compiler::asked(hangs, Duration::from_millis(50)), None);
        let babbles = script(folder.path(), "babbles", "exec yes");
        assert_eq!(Compiler::at(babbles), None);
        let odd = script(folder.path(), "odd", r"printf 'gcc\033[31m %0500d\n' 1");
        let version = Compiler::at(odd).expect("it ends well").version;
        assert!(
            version.starts_with("gcc[31m 000") && version.len() == VERSION_CHARS_MAX,
            "{version}"
        );
    }

    #[test]
    fn what_a_compiler_says_against_a_kernel_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let compiler = Compiler {
            path: script(folder.path(), "refuses", "echo no stdio.h >&2; exit 1"),
            family: Family::Gcc,
            version: String::new(),
        };
        let kernel = Kernel::named("lu").expect("listed");
        let error = compiler.build(kernel, NativeBuild::Plain, folder.path());
        let error = error.expect_err("refused").to_string();
        assert!(
            error.ends_with("does not build lu (native):\nno stdio.h\n"),
            "{error}"
        );
    }

    #[test]
    fn a_path_that_is_no_text_is_written_all_the_same() {
        use std::os::unix::ffi::OsStringExt;
        let compiler = Compiler {
            path: std::ffi::OsString::from_vec(b"/\xff/cc".to_vec()).into(),
            family: Family::Gcc,
            version: String::new(),
        };
        let written = serde_json::to_value(&compiler).expect("text");
        assert_eq!(written["path"], "/\u{fffd}/cc");
    }
}
