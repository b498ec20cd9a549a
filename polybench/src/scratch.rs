//! A folder for what a run writes and nobody keeps: modules, native programs, dumps.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How names begin; a process's id and a number follow.
const PREFIX: &str = "luge-polybench-";

/// A folder that nobody holds and that has not changed for so long is of a run that was ended by a signal.
const ABANDONED: Duration = Duration::from_secs(60);

/// Names that are tried before giving up.
const ATTEMPTS: u32 = 1000;

/// A folder below the system's temporary one that only this user may enter. It goes with all it holds when this is dropped; where a
/// signal ends the process, the next run removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Held locked as long as the folder is in use.
    _lock: File,
}

impl Scratch {
    /// Makes one. A name that is taken, by whomever, is not used: making a folder fails where anything of its name is there.
    pub(crate) fn new() -> io::Result<Scratch> {
        // Compilers and peers are started in other folders than this process.
        let parent = std::path::absolute(std::env::temp_dir())?;
        sweep(&parent, ABANDONED);
        let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
        for attempt in 0..ATTEMPTS {
            let path = parent.join(format!("{PREFIX}{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let lock = File::open(&path)?;
                    // Where a file system has no locks, nobody gets one to remove it by either.
                    let _ = lock.lock();
                    return Ok(Scratch { path, _lock: lock });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes what runs left behind that had no time to. Another user's folder cannot be opened, and a run's that still goes on is
/// locked; what cannot be told or removed stays.
fn sweep(parent: &Path, age: Duration) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        let old = |entry: &std::fs::DirEntry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_dir)?;
            metadata
                .modified()
                .ok()?
                .elapsed()
                .ok()
                .filter(|passed| *passed >= age)
        };
        if ours
            && old(&entry).is_some()
            && let Ok(lock) = File::open(entry.path())
            && lock.try_lock().is_ok()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_run_left_is_removed_and_what_is_in_use_is_not() {
        let parent = tempfile::tempdir().expect("a folder");
        let folders =
            ["luge-polybench-1-0", "luge-polybench-2-0", "another"].map(|name| parent.path().join(name));
        for folder in &folders {
            std::fs::create_dir(folder).expect("room");
            std::fs::write(folder.join("file"), "text").expect("room");
        }
        let used = File::open(&folders[1]).expect("there");
        used.lock().expect("free");
        sweep(parent.path(), Duration::from_secs(3600));
        assert!(folders.iter().all(|folder| folder.exists()), "all are young");
        sweep(parent.path(), Duration::ZERO);
        assert_eq!(folders.map(|folder| folder.exists()), [false, true, true]);
    }

    #[test]
    fn each_is_another_private_folder_and_goes_with_its_files() {
        use std::os::unix::fs::PermissionsExt;
        let [first, second] = [(); 2].map(|()| Scratch::new().expect("room"));
        assert_ne!(first.path(), second.path());
        let path = first.path().to_owned();
        let mode = path.metadata().expect("a folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(path.join("file"), "text").expect("room");
        drop(first);
        assert!(!path.exists() && second.path().exists());
    }
}
