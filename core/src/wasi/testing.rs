//! What the tests of this module share: a guest with a memory, and a directory of its own on the host.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::types::Rights;
use super::{Errno, WasiCtx, WasiFunction};

/// A context together with one page of memory.
pub(super) struct Guest {
    pub(super) ctx: WasiCtx,
    pub(super) memory: Vec<u8>,
}

/// Calls `function` and expects it to return to the guest.
pub(super) fn call(guest: &mut Guest, function: WasiFunction, slots: &[u64]) -> Errno {
    let mut raw = [0; 9];
    raw[..slots.len()].copy_from_slice(slots);
    let raw = &mut raw[..function.params().len().max(1)];
    let errno = function.invoke(&mut guest.ctx, &mut guest.memory, raw);
    errno.unwrap_or_else(|stop| panic!("{} stopped: {stop:?}", function.name()))
}

impl Guest {
    pub(super) fn new(ctx: WasiCtx) -> Self {
        Self {
            ctx,
            memory: vec![0; 65_536],
        }
    }

    /// A guest that was given nothing.
    pub(super) fn bare() -> Self {
        Self::new(WasiCtx::builder().build().unwrap())
    }

    /// A guest with `dir` as descriptor 3, under the name `/`.
    pub(super) fn preopened(dir: &TestDir) -> Self {
        Self::new(
            WasiCtx::builder()
                .preopen_read_only(dir.path(), "/")
                .unwrap()
                .build()
                .unwrap(),
        )
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.memory[at..at + 4].try_into().unwrap())
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.memory[at..at + 8].try_into().unwrap())
    }

    /// Writes an I/O vector.
    pub(super) fn vector(&mut self, at: usize, pairs: &[(u32, u32)]) {
        for (place, (pointer, length)) in (at..).step_by(8).zip(pairs) {
            self.memory[place..place + 4].copy_from_slice(&pointer.to_le_bytes());
            self.memory[place + 4..place + 8].copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Writes `path` at 4096 and tells (pointer, length) as slots.
    pub(super) fn path(&mut self, path: impl AsRef<[u8]>) -> (u64, u64) {
        let path = path.as_ref();
        self.memory[4096..4096 + path.len()].copy_from_slice(path);
        (4096, path.len() as u64)
    }

    /// `path_open` beneath descriptor 3, following links, with all the rights of reading.
    pub(super) fn try_open(&mut self, path: impl AsRef<[u8]>, open_flags: u64) -> Result<u64, Errno> {
        let (pointer, length) = self.path(path);
        let rights = Rights::REGULAR_FILE.union(Rights::DIRECTORY).0;
        let slots = [3, 1, pointer, length, open_flags, rights, Rights::ALL.0, 0, 8192];
        match call(self, WasiFunction::PathOpen, &slots) {
            Errno::Success => Ok(u64::from(self.u32(8192))),
            errno => Err(errno),
        }
    }

    pub(super) fn open(&mut self, path: &str) -> u64 {
        self.try_open(path, 0).unwrap()
    }

    pub(super) fn open_directory(&mut self, path: &str) -> u64 {
        self.try_open(path, u64::from(super::types::oflags::DIRECTORY))
            .unwrap()
    }
}

/// A fresh directory, removed at the end.
pub(super) struct TestDir(PathBuf);

impl TestDir {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("luge-wasi-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str, content: &[u8]) {
        std::fs::write(self.0.join(name), content).unwrap();
    }

    pub(super) fn directory(&self, name: &str) {
        std::fs::create_dir(self.0.join(name)).unwrap();
    }

    pub(super) fn symlink(&self, name: &str, target: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.0.join(name)).unwrap();
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        // A leftover in the temporary directory is no reason to fail a test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
