//! What a guest is given: decided once per function in a template, made into a context once per run.
//!
//! ```text
//! WasiBuilder --template()--> WasiTemplate (args, environment, open preopens, limits; behind one Arc)
//!                                  | instantiate(stdin, stdout, stderr): one Arc clone, no system call,
//!                                  v  no allocation unless there are preopens
//!                              WasiCtx (one run)  ──renew──► the same one, for the next run
//! ```
//!
//! Nothing of the host is granted by itself: no environment variable, no directory, no stream. Directories are opened
//! when they are configured, so a missing one is found at deploy and not by a request.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::ctx::WasiCtx;
use super::stdio::{Input, Output};
use super::strings::{StringBlock, Variables};

/// Bounds on what one context may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasiLimits {
    /// Descriptors that are open at once, the three standard streams and the preopens included. At least 3. Default 64.
    pub open_files: usize,
    /// Entries of a directory that `fd_readdir` lists; a larger directory answers `overflow`. Default 16,384 (at most
    /// some 4 MiB of names, for one directory at a time).
    pub directory_entries: usize,
    /// Subscriptions of one `poll_oneoff`; more answer `inval`. Default 1,024.
    pub subscriptions: u32,
}

impl Default for WasiLimits {
    fn default() -> Self {
        Self {
            open_files: 64,
            directory_entries: 16_384,
            subscriptions: 1_024,
        }
    }
}

/// What happens when a guest writes past the limit of an output buffer. What fits is kept in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputOverflow {
    /// The write is short, and the next one fails with `nospc`: the guest decides. A guest that ignores errors may go
    /// on for as long as its fuel lasts.
    #[default]
    Errno,
    /// The run ends with [`Fault::OutputLimit`](super::Fault::OutputLimit): for servers.
    Stop,
}

/// Why a guest's surroundings could not be prepared. The configuration is to blame; a guest never sees this, so the
/// host's paths may be named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasiConfigError {
    /// A string holds a NUL, which would end it early in the guest.
    #[error("a string among the {what} holds a NUL byte; remove it")]
    InteriorNul {
        /// Which list.
        what: &'static str,
    },
    /// The name of a variable is empty or holds `=`.
    #[error("`{name}` cannot be the name of an environment variable; it must be non-empty and without `=`")]
    VariableName {
        /// The name, as far as it is text.
        name: String,
    },
    /// A list is too long.
    #[error("the {what} take more than {limit} bytes together; shorten them")]
    TooLarge {
        /// Which list.
        what: &'static str,
        /// In bytes.
        limit: usize,
    },
    /// The name of a preopen is empty, too long or not fit for a path.
    #[error("`{name}` cannot be the name of a preopened directory; it must have 1 to 4095 bytes and no NUL")]
    PreopenName {
        /// The name.
        name: String,
    },
    /// A directory could not be opened.
    #[error("cannot open the directory {} for the guest: {source}", path.display())]
    Preopen {
        /// The host's path.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// The kernel cannot confine paths to a directory.
    #[error(
        "preopened directories need the system call openat2 (Linux 5.6 or later, not blocked by a seccomp filter): {source}"
    )]
    NoConfinement {
        /// What the kernel said.
        source: io::Error,
    },
    /// More preopens than descriptors.
    #[error(
        "{preopens} preopened directories and 3 streams do not fit into {limit} open files; raise the limit"
    )]
    OpenFiles {
        /// How many directories there are.
        preopens: usize,
        /// The limit on open descriptors.
        limit: usize,
    },
}

/// A directory that is open before the guest starts.
#[derive(Clone, Debug)]
pub(super) struct Preopen {
    pub(super) handle: Arc<OwnedFd>,
    pub(super) name: Arc<[u8]>,
}

/// The prepared surroundings of a function: shared by all its runs, cheap to clone.
#[derive(Clone, Debug)]
pub struct WasiTemplate(pub(super) Arc<Prepared>);

/// What is behind a [`WasiTemplate`].
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) args: StringBlock,
    pub(super) environment: StringBlock,
    pub(super) preopens: Vec<Preopen>,
    pub(super) limits: WasiLimits,
    pub(super) overflow: OutputOverflow,
    inode_key: RandomState,
}

impl WasiTemplate {
    /// A context for one run with these streams. Makes no system call, and allocates only for preopens.
    #[must_use]
    pub fn instantiate(&self, stdin: Input, stdout: Output, stderr: Output) -> WasiCtx {
        WasiCtx::new(&self.0, stdin, stdout, stderr)
    }

    /// A context as [`instantiate`](Self::instantiate) gives, made of the one that is there. Where none is, or one of
    /// another template, a new one is put there.
    pub fn renew<'a>(
        &self,
        kept: &'a mut Option<WasiCtx>,
        stdin: Input,
        stdout: Output,
        stderr: Output,
    ) -> &'a mut WasiCtx {
        kept.take_if(|ctx| !Arc::ptr_eq(&ctx.template, &self.0));
        match kept {
            Some(ctx) => {
                ctx.reset(stdin, stdout, stderr);
                ctx
            }
            none => none.insert(self.instantiate(stdin, stdout, stderr)),
        }
    }

    /// The template's environment with the variables that `tell` adds, such as those of a CGI request, for one run
    /// ([`WasiCtx::set_environment`]).
    ///
    /// # Errors
    /// A name or a value cannot be a variable, or all together take more than [`STRINGS_MAX`](super::STRINGS_MAX).
    pub fn environment(&self, tell: impl FnOnce(&mut Variables)) -> Result<Environment, WasiConfigError> {
        let mut variables = Variables::of(&self.0.environment);
        tell(&mut variables);
        Ok(Environment(Box::new(variables.finish()?)))
    }
}

/// The environment of one run, where it is not its template's: see [`WasiTemplate::environment`].
#[derive(Debug)]
pub struct Environment(pub(super) Box<StringBlock>);

impl Prepared {
    /// The number by which the guest knows an inode: stable within a template, and telling nothing of the host's.
    pub(super) fn opaque_inode(&self, device: u64, inode: u64) -> u64 {
        self.inode_key.hash_one((device, inode))
    }
}

/// Collects what a guest is given. Made by [`WasiCtx::builder`].
#[derive(Debug, Default)]
pub struct WasiBuilder {
    args: StringBlock,
    environment: StringBlock,
    preopens: Vec<Preopen>,
    limits: WasiLimits,
    overflow: OutputOverflow,
    stdin: Input,
    stdout: Output,
    stderr: Output,
    /// The first mistake: reported when building, so that the calls before can be chained.
    mistake: Option<WasiConfigError>,
}

impl WasiBuilder {
    /// Appends an argument. The first one is the program's name.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<[u8]>) -> Self {
        let pushed = self.args.push("arguments", &[arg.as_ref()]);
        self.note(pushed);
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<A: AsRef<[u8]>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Grants an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let pushed = self.environment.push_variable(key.as_ref(), value.as_ref());
        self.note(pushed);
        self
    }

    /// What the guest reads; [`Input::Empty`] if not said.
    #[must_use]
    pub fn stdin(mut self, input: Input) -> Self {
        self.stdin = input;
        self
    }

    /// Where the guest's standard output goes; [`Output::Discard`] if not said.
    #[must_use]
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// Where the guest's standard error goes; [`Output::Discard`] if not said.
    #[must_use]
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// Bounds other than the default.
    #[must_use]
    pub fn limits(mut self, limits: WasiLimits) -> Self {
        self.limits = limits;
        self
    }

    /// What a write past an output's limit does.
    #[must_use]
    pub fn output_overflow(mut self, overflow: OutputOverflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Lets the guest read the host's directory `host_path` and all beneath it, under the name `guest_name`. The
    /// directory is opened now and stays the same one however the host renames it.
    ///
    /// # Errors
    /// The name is unfit, the directory cannot be opened, or the kernel has no `openat2`.
    pub fn preopen_read_only(
        mut self,
        host_path: impl AsRef<Path>,
        guest_name: impl AsRef<str>,
    ) -> Result<Self, WasiConfigError> {
        let (path, name) = (host_path.as_ref(), guest_name.as_ref());
        if name.is_empty() || name.len() > super::path::PATH_MAX || name.contains('\0') {
            return Err(WasiConfigError::PreopenName {
                name: name.to_owned(),
            });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|source| WasiConfigError::Preopen {
                path: path.to_owned(),
                source: source.into(),
            })?;
        rustix::fs::openat2(&handle, c".", flags, Mode::empty(), ResolveFlags::BENEATH).map_err(
            |source| WasiConfigError::NoConfinement {
                source: source.into(),
            },
        )?;
        self.preopens.push(Preopen {
            handle: Arc::new(handle),
            name: name.as_bytes().into(),
        });
        Ok(self)
    }

    /// The prepared surroundings, for many runs. The streams said so far are not part of them.
    ///
    /// # Errors
    /// The first mistake among the arguments and variables, or more preopens than may be open.
    pub fn template(self) -> Result<WasiTemplate, WasiConfigError> {
        self.split().map(|(template, ..)| template)
    }

    /// A context for a single run.
    ///
    /// # Errors
    /// As [`template`](Self::template).
    pub fn build(self) -> Result<WasiCtx, WasiConfigError> {
        let (template, stdin, stdout, stderr) = self.split()?;
        Ok(template.instantiate(stdin, stdout, stderr))
    }

    fn split(self) -> Result<(WasiTemplate, Input, Output, Output), WasiConfigError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        if self.limits.open_files < self.preopens.len().saturating_add(3) {
            let (preopens, limit) = (self.preopens.len(), self.limits.open_files);
            return Err(WasiConfigError::OpenFiles { preopens, limit });
        }
        let prepared = Prepared {
            args: self.args,
            environment: self.environment,
            preopens: self.preopens,
            limits: self.limits,
            overflow: self.overflow,
            inode_key: RandomState::new(),
        };
        Ok((
            WasiTemplate(Arc::new(prepared)),
            self.stdin,
            self.stdout,
            self.stderr,
        ))
    }

    fn note(&mut self, pushed: Result<(), WasiConfigError>) {
        if let Err(error) = pushed {
            self.mistake.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::testing::TestDir;

    #[test]
    fn the_first_mistake_is_reported_when_building() {
        let builder = WasiCtx::builder().arg("a\0").env("", "x");
        assert!(matches!(
            builder.build(),
            Err(WasiConfigError::InteriorNul { what: "arguments" })
        ));
    }

    #[test]
    fn a_directory_that_is_none_is_refused_at_once() {
        let dir = TestDir::new();
        dir.file("plain", b"");
        let refused = |path: &str, name: &str| {
            WasiCtx::builder()
                .preopen_read_only(dir.path().join(path), name)
                .unwrap_err()
        };
        assert!(matches!(refused("absent", "/"), WasiConfigError::Preopen { .. }));
        assert!(matches!(refused("plain", "/"), WasiConfigError::Preopen { .. }));
        assert!(matches!(refused("", ""), WasiConfigError::PreopenName { .. }));
        assert!(matches!(refused("", "a\0b"), WasiConfigError::PreopenName { .. }));
    }

    #[test]
    fn preopens_count_as_open_files() {
        let dir = TestDir::new();
        let limits = WasiLimits {
            open_files: 3,
            ..WasiLimits::default()
        };
        let builder = WasiCtx::builder()
            .limits(limits)
            .preopen_read_only(dir.path(), "/")
            .unwrap();
        assert!(matches!(
            builder.template(),
            Err(WasiConfigError::OpenFiles {
                preopens: 1,
                limit: 3
            })
        ));
    }
}
