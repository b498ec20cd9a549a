//! The folder of a cache: everything is done relative to one descriptor of it, whose owner and mode have been looked at, so
//! that it does not matter what its path leads to later.

use super::file::Secret;
use super::{CacheError, CacheMiss, EXTENSION, Rejection};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Name of the secret's file.
const SECRET: &str = "key";
/// What names of files begin with that are being written.
const UNFINISHED: &str = ".new-";
/// Seconds after which an unfinished file is nobody's any more.
const UNFINISHED_SECONDS: i64 = 3600;

/// An open folder that is ours.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder, or makes it.
    ///
    /// # Errors
    /// [`CacheError`] where that is not possible, or where others could put files there.
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        let failed = |source: io::Error| CacheError::Folder {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let stat = fs::fstat(&folder).map_err(|errno| failed(errno.into()))?;
        trust(&stat, FileType::Directory, Mode::WGRP | Mode::WOTH).map_err(|reason| CacheError::Unsafe {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self(folder))
    }

    /// The secret, which is made where it is missing.
    ///
    /// # Errors
    /// [`CacheMiss`] where it cannot be read or made, or others can read it.
    pub(super) fn secret(&self) -> Result<Secret, CacheMiss> {
        match self.read_secret() {
            Err(CacheMiss::Absent) => {
                self.make_secret()?;
                self.read_secret()
            }
            answer => answer,
        }
    }

    fn read_secret(&self) -> Result<Secret, CacheMiss> {
        let limit = Secret::BYTES as u64;
        let (file, _) = self.open_file(SECRET, limit, Mode::RWXG | Mode::RWXO)?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        let bytes = bytes.try_into().map_err(|_| Rejection::Length)?;
        Ok(Secret::new(bytes))
    }

    /// Writes a new secret, unless another has been written meanwhile: the first is everybody's.
    fn make_secret(&self) -> io::Result<()> {
        let mut secret = [0; Secret::BYTES];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let name = self.write_unfinished(&secret, true)?;
        let linked = fs::linkat(&self.0, &name, &self.0, SECRET, AtFlags::empty());
        fs::unlinkat(&self.0, &name, AtFlags::empty())?;
        match linked {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes of a file of ours, at most `limit`.
    ///
    /// # Errors
    /// [`CacheMiss`] where it is not there, not readable, or not to be trusted.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, CacheMiss> {
        let (file, size) = self.open_file(name, limit, Mode::WGRP | Mode::WOTH)?;
        // It has been used: it goes later when room is needed. Where that cannot be noted, it goes sooner.
        let _ = fs::futimens(&file, &NOW);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Opens a file that belongs to us, and to which others have none of the access rights `denied`. Gives its size too.
    fn open_file(&self, name: &str, limit: u64, denied: Mode) -> Result<(File, u64), CacheMiss> {
        // A link is not followed, a pipe not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Err(CacheMiss::Absent),
            Err(Errno::LOOP) => return Err(Rejection::NotAFile.into()),
            Err(error) => return Err(CacheMiss::Unreadable(error.into())),
        };
        let stat = fs::fstat(&file).map_err(io::Error::from)?;
        trust(&stat, FileType::RegularFile, denied)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size > limit {
            return Err(Rejection::TooLarge.into());
        }
        Ok((File::from(file), size))
    }

    /// Writes a file, in place of one that has the name already: readers see the one or the other whole.
    ///
    /// # Errors
    /// What the system says; what was there is untouched then.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.write_unfinished(bytes, false)?;
        let renamed = fs::renameat(&self.0, &unfinished, &self.0, name);
        if renamed.is_err() {
            self.remove(&unfinished);
        }
        Ok(renamed?)
    }

    /// Writes a file of a name that nobody else uses.
    fn write_unfinished(&self, bytes: &[u8], lasting: bool) -> io::Result<String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{UNFINISHED}{}-{number}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let open = || fs::openat(&self.0, name.as_str(), flags, mode);
        let file = match open() {
            Err(Errno::EXIST) => {
                // Of a process that had our number and has ended without finishing.
                self.remove(&name);
                open()?
            }
            answer => answer?,
        };
        let mut file = File::from(file);
        let written = file
            .write_all(bytes)
            .and_then(|()| if lasting { file.sync_all() } else { Ok(()) });
        if let Err(error) = written {
            self.remove(&name);
            return Err(error);
        }
        Ok(name)
    }

    /// Removes the least recently used files until all that are left take at most `limit` bytes; `keep` stays. What was left
    /// unfinished long ago goes too.
    ///
    /// # Errors
    /// What the system says about reading the folder.
    pub(super) fn shrink_to(&self, limit: u64, keep: &str) -> io::Result<()> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let mut total = 0_u64;
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let name: CString = entry?.file_name().to_owned();
            let Ok(name) = name.into_string() else { continue };
            // What is gone by now needs no room.
            let Ok(stat) = fs::statat(&self.0, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if name.starts_with(UNFINISHED) {
                if now - stat.st_mtime > UNFINISHED_SECONDS {
                    self.remove(&name);
                }
            } else if name.ends_with(EXTENSION) {
                let bytes = u64::try_from(stat.st_size).unwrap_or(0);
                total += bytes;
                if name != keep {
                    files.push(((stat.st_mtime, stat.st_mtime_nsec), bytes, name));
                }
            }
        }
        files.sort_unstable();
        for (_, bytes, name) in files {
            if total <= limit {
                break;
            }
            self.remove(&name);
            total -= bytes;
        }
        Ok(())
    }

    /// Removes a file. Another process may have done so already, and what cannot be removed is looked at again next time.
    fn remove(&self, name: &str) {
        let _ = fs::unlinkat(&self.0, name, AtFlags::empty());
    }
}

/// The current time for both times of a file.
const NOW: Timestamps = Timestamps {
    last_access: CURRENT,
    last_modification: CURRENT,
};
const CURRENT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: fs::UTIME_NOW,
};

/// Whether something is of this kind, ours, and not open to others.
fn trust(stat: &Stat, kind: FileType, denied: Mode) -> Result<(), Rejection> {
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(Rejection::NotAFile);
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Rejection::Owner);
    }
    if Mode::from_raw_mode(stat.st_mode).intersects(denied) {
        return Err(Rejection::Mode);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_others_is_not_trusted() {
        let file = tempfile::tempfile().expect("a file");
        let mut stat = fs::fstat(&file).expect("its state");
        stat.st_mode = (stat.st_mode & !0o777) | 0o600;
        let denied = Mode::RWXG | Mode::RWXO;
        let trust = |stat: &Stat| trust(stat, FileType::RegularFile, denied);
        assert_eq!(trust(&stat), Ok(()));
        for bit in 0..6 {
            let mut open = stat;
            open.st_mode |= 1 << bit;
            assert_eq!(trust(&open), Err(Rejection::Mode), "bit {bit}");
        }
        let mut foreign = stat;
        foreign.st_uid += 1;
        assert_eq!(trust(&foreign), Err(Rejection::Owner));
        let mut pipe = stat;
        pipe.st_mode = 0o010_600;
        assert_eq!(trust(&pipe), Err(Rejection::NotAFile));
    }
}
