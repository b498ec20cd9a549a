//! How `perf` finds a file: it notes what is mapped executable, with the file's name, and looks for names that it knows.

use rustix::fd::AsFd;
use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::ptr::NonNull;

const PAGE: usize = 4096;

/// One page of a file, mapped executable for profilers to see. Nobody reads it, and nobody runs it.
#[derive(Debug)]
pub struct FileMarker(NonNull<std::ffi::c_void>);

// SAFETY: the page belongs to this value, and nobody touches it but to unmap it.
unsafe impl Send for FileMarker {}
// SAFETY: there is nothing to be done with a shared reference.
unsafe impl Sync for FileMarker {}

impl FileMarker {
    /// Maps the first page of a file.
    ///
    /// # Errors
    /// What the system says, for instance where files of this file system may not be executed.
    pub fn map(file: &impl AsFd) -> io::Result<Self> {
        // SAFETY: a new private mapping at an address of the kernel's choice replaces nothing, and is never touched.
        let page = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                PAGE,
                ProtFlags::READ | ProtFlags::EXEC,
                MapFlags::PRIVATE,
                file,
                0,
            )
        }?;
        let page = NonNull::new(page).ok_or_else(|| io::Error::other("a mapping at address zero"))?;
        Ok(Self(page))
    }
}

impl Drop for FileMarker {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and nothing refers to it.
        let unmapped = unsafe { rustix::mm::munmap(self.0.as_ptr(), PAGE) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}
