//! An eventfd that ends the executor's sleep: the network ring signals it when something has come for the shard.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use glommio::io::BufferedFile;
use rustix::event::{EventfdFlags, eventfd};

/// The bell of one shard, made on its thread.
pub(crate) struct Bell {
    file: BufferedFile,
    /// The same eventfd, for whoever rings.
    eventfd: OwnedFd,
}

impl Bell {
    /// A bell that has not rung.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC)?;
        let raw = eventfd.try_clone()?.into_raw_fd();
        // SAFETY: the descriptor was made just now, belongs to nobody else, and is handed over whole.
        let file = unsafe { BufferedFile::from_raw_fd(raw) };
        Ok(Self { file, eventfd })
    }

    /// Returns when it has rung since this last returned. To be called by one at a time, and to be waited for to the end.
    pub(crate) async fn rung(&self) {
        // The counter; what it says does not matter. An eventfd that cannot be read does not exist.
        let _ = self.file.read_at(0, size_of::<u64>()).await;
    }

    /// Rings.
    pub(crate) fn ring(&self) {
        // It can fail only where the counter is full; then it has rung.
        let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell")
            .field("eventfd", &self.eventfd)
            .finish_non_exhaustive()
    }
}
