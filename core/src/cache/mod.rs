//! Machine code on disk, from one process to the next.
//!
//! ```text
//!   folder/            ours, 0700
//!     key              32 random bytes, 0600: the secret with which files are authenticated
//!     3f9a...c1.lcode  code; the name is the CodeKey of what it was made from and by
//!     .new-812-0       being written; becomes a .lcode by rename
//! ```
//!
//! **What is found under a key.** A [`CodeKey`] is the SHA-256 of everything that the code depends on: the module's bytes
//! and the level that they were validated against, the ABI, the generator's name and fingerprint (which names its options
//! and the processor's features), and the program itself. The last is the hash of the running executable: code is used
//! again by the very program that made it only, so that no change of the compiler, however small, can meet old code.
//!
//! **Who is trusted.** Code that is run is as good as the program. A file is used only if HMAC-SHA-256 (RFC 2104) over all
//! of it verifies under the folder's secret, which the server's user alone can read; if the file and the folder belong to
//! that user; and if nobody else may write them. HMAC with SHA-256 rather than a newer keyed hash, because the hash is
//! needed anyway and processors have instructions for it. What is *not* protected against is that user itself, and who can
//! act as it: they could as well replace the program.
//!
//! **Why files are read and not mapped.** A private mapping of a file is not a copy of it: until a page is written, what
//! others write to the file shows through, and where they truncate it, or the disk fails, a touch of the page is SIGBUS. So
//! bytes could change between being verified and being run, and a broken file could end the process. Both go away when
//! the file is read once, what was read is verified, and that is what is published. The price is one copy of
//! the text, a small part of what hashing it costs, which has to be done in either case; and pages are not shared
//! between processes, of which a server has one.
//!
//! **What can go wrong** with a file, or the disk, ends in a [`CacheMiss`]: the module is compiled again and
//! [`CacheOutcome`] says why, for the log. Only [`CodeCache::open`] fails, and then an engine is made without a cache.
//! Files are not synchronised to the disk: one that a crash has torn fails its verification.

mod file;
mod folder;

use crate::compiler::{CodeArtifact, CodeGenerator};
use crate::engine::WasmLevel;
use crate::vmctx::ABI_VERSION;
use file::Secret;
use folder::Folder;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What file names of cached code end with.
pub const EXTENSION: &str = ".lcode";

/// A folder of machine code. Several threads and processes may use one folder at once.
pub struct CodeCache {
    folder: Folder,
    secret: Secret,
    program: [u8; 32],
    max_bytes: u64,
}

/// What code was made from and by (see the module's text).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeKey([u8; 32]);

/// Where a module's machine code came from.
#[derive(Debug)]
#[non_exhaustive]
pub enum CacheOutcome {
    /// From the cache.
    Hit,
    /// It was compiled, and is in the cache now if `stored` says so.
    Compiled {
        /// Why the cache did not have it.
        miss: CacheMiss,
        /// How many bytes were written, or why they could not be.
        stored: Result<u64, StoreError>,
    },
}

impl CacheOutcome {
    /// Whether nothing went wrong: code was there, or was missing and has been stored.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        match self {
            Self::Hit => true,
            Self::Compiled { miss, stored } => matches!(miss, CacheMiss::Absent) && stored.is_ok(),
        }
    }
}

impl fmt::Display for CacheOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit => f.write_str("from the code cache"),
            Self::Compiled { miss, stored: Ok(_) } => write!(f, "compiled and cached: {miss}"),
            Self::Compiled {
                miss,
                stored: Err(error),
            } => write!(f, "compiled: {miss}; not cached: {error}"),
        }
    }
}

/// Why the cache has no code for a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheMiss {
    /// There is none.
    #[error("no code was cached for it")]
    Absent,
    /// There is a file, which cannot be used. It is replaced by the next that is stored under the key.
    #[error("the cached file was refused: {0}")]
    Rejected(#[from] Rejection),
    /// The file cannot be read.
    #[error("the cached file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// It is a folder, a pipe, or another thing that is no file.
    #[error("it is no regular file")]
    NotAFile,
    /// It belongs to somebody else.
    #[error("it belongs to another user")]
    Owner,
    /// Somebody else may write it, or read it where it is secret.
    #[error("others have access to it; take that away with chmod")]
    Mode,
    /// It is larger than the whole cache may be.
    #[error("it is larger than the cache may be")]
    TooLarge,
    /// It is shorter, or longer, than it says.
    #[error("its length is wrong")]
    Length,
    /// It is no file of this format, or of another version of it.
    #[error("it is of another format")]
    Format,
    /// It was not written with this folder's secret, or has been changed since.
    #[error("it is not authentic")]
    NotAuthentic,
    /// It is the code of something else.
    #[error("it holds other code than its name says")]
    OtherCode,
    /// A table names what is not in the text.
    #[error("its tables do not fit its text")]
    Tables,
    /// It lacks what the module needs.
    #[error("it does not fit the module")]
    OtherModule,
}

/// Code could not be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is larger than the whole cache may be.
    #[error("{bytes} bytes are more than the cache may hold, {limit}: raise its limit")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The cache's limit.
        limit: u64,
    },
    /// The system's reason, such as a full disk.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// A folder cannot be used as a cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The folder cannot be made or opened.
    #[error("cannot use {} as a code cache: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others could put code there.
    #[error("cannot use {} as a code cache: {reason}", .path.display())]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: Rejection,
    },
    /// The secret cannot be read or made.
    #[error("cannot use the key file in {}: {source}", .path.display())]
    Key {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        source: CacheMiss,
    },
    /// The running program cannot be read, so that its code cannot be told from that of others.
    #[error("cannot read the running program, which names its code: {0}")]
    Program(io::Error),
}

impl CodeCache {
    /// The size that a cache may have if nobody says another.
    pub const DEFAULT_BYTES: u64 = 1 << 30;

    /// Opens a folder, which is made where it is missing, and its secret, likewise. All files together take at most
    /// `max_bytes` bytes: the least recently used go first.
    ///
    /// # Errors
    /// [`CacheError`] where folder or secret cannot be used, or others have access to them.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Self, CacheError> {
        let folder = Folder::open(path)?;
        let secret = folder.secret().map_err(|source| CacheError::Key {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            folder,
            secret,
            program: program().map_err(CacheError::Program)?,
            max_bytes,
        })
    }

    /// Under which key the code is that `generator` makes of a module.
    #[must_use]
    pub fn key(&self, wasm: &[u8], level: WasmLevel, generator: &dyn CodeGenerator) -> CodeKey {
        CodeKey::new(&self.program, wasm, level, generator)
    }

    /// The code under a key, of which nothing is used that is not authentic.
    ///
    /// # Errors
    /// [`CacheMiss`] where there is none, or none that can be used.
    pub fn load(&self, key: &CodeKey) -> Result<CodeArtifact, CacheMiss> {
        let bytes = self.folder.read(&key.file_name(), self.max_bytes)?;
        Ok(file::decode(key, &self.secret, &bytes)?)
    }

    /// Keeps code under a key, and makes room for it. Gives the file's size in bytes.
    ///
    /// # Errors
    /// [`StoreError`] where it is too large or cannot be written; the cache is as it was then.
    pub fn store(&self, key: &CodeKey, artifact: &CodeArtifact) -> Result<u64, StoreError> {
        let bytes = file::encode(key, &self.secret, artifact);
        let size = bytes.len() as u64;
        if size > self.max_bytes {
            return Err(StoreError::TooLarge {
                bytes: size,
                limit: self.max_bytes,
            });
        }
        let name = key.file_name();
        self.folder.write(&name, &bytes)?;
        self.folder.shrink_to(self.max_bytes, &name)?;
        Ok(size)
    }
}

impl fmt::Debug for CodeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is nobody's business.
        f.debug_struct("CodeCache")
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

impl CodeKey {
    fn new(program: &[u8; 32], wasm: &[u8], level: WasmLevel, generator: &dyn CodeGenerator) -> Self {
        let mut hash = Sha256::new();
        hash.update(program);
        hash.update(ABI_VERSION.to_le_bytes());
        // Each part behind its length, so that no two lists of parts look alike.
        let level = format!("{level:?}");
        for part in [
            level.as_bytes(),
            generator.name().as_bytes(),
            generator.fingerprint().as_bytes(),
            wasm,
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        let mut name = String::with_capacity(64 + EXTENSION.len());
        for byte in self.0 {
            let _ = write!(name, "{byte:02x}");
        }
        name + EXTENSION
    }
}

/// Code as a file of the cache's format, for who wants to keep or look at it. Its secret is all zeroes: no cache takes it.
///
/// # Errors
/// When the running program cannot be read, which is part of the file's key.
pub fn export(
    wasm: &[u8],
    level: WasmLevel,
    generator: &dyn CodeGenerator,
    artifact: &CodeArtifact,
) -> io::Result<Vec<u8>> {
    let key = CodeKey::new(&program()?, wasm, level, generator);
    Ok(file::encode(&key, &Secret::PUBLIC, artifact))
}

/// SHA-256 of the running executable.
fn program() -> io::Result<[u8; 32]> {
    static PROGRAM: OnceLock<[u8; 32]> = OnceLock::new();
    if let Some(hash) = PROGRAM.get() {
        return Ok(*hash);
    }
    // By this name it is the file that runs, also after another has taken its place.
    let mut program = std::fs::File::open("/proc/self/exe")?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match program.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(*PROGRAM.get_or_init(|| hash.finalize().into()))
}

#[cfg(test)]
mod tests;
