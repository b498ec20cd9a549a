//! A folder for what a run writes and nobody keeps: modules, native programs, dumps.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Names that are tried before giving up.
const ATTEMPTS: u32 = 1000;

/// A folder below the system's temporary one that only this user may enter. It goes with all it holds when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one. A name that is taken, by whomever, is not used: making a folder fails where anything of its name is there.
    pub(crate) fn new() -> io::Result<Scratch> {
        let parent = std::env::temp_dir();
        let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
        for attempt in 0..ATTEMPTS {
            let path = parent.join(format!("luge-polybench-{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Scratch { path }),
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

#[cfg(test)]
mod tests {
    use super::*;

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
