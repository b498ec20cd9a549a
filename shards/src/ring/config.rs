//! How large a ring is, and whether a thread of the kernel's serves it.

use std::io;
use std::time::Duration;

use io_uring::IoUring;

/// Sizes of a [`Ring`](super::Ring).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingConfig {
    /// Entries of the submission queue; a power of two.
    pub(crate) entries: u32,
    /// Entries of the completion queue; a power of two.
    pub(crate) completions: u32,
    /// Number of provided buffers; a power of two.
    pub(crate) buffers: u16,
    /// Bytes of each.
    pub(crate) buffer_size: u32,
    /// Who submits and does the kernel's part. Nothing: this thread, when it enters the ring.
    pub(crate) thread: Option<SubmissionThread>,
    /// Sends of at least so many bytes may be made without a copy; nothing: none.
    pub(crate) zero_copy_from: Option<usize>,
}

/// A thread of the kernel's that watches the submission queue (`SQPOLL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmissionThread {
    /// For how long it goes on watching when nothing comes, before it sleeps and has to be woken by a system call. Rounded up to whole
    /// milliseconds, at least one, at most [`SubmissionThread::IDLE_MAX`].
    pub idle: Duration,
    /// The CPU that it runs on, by the kernel's number; nothing: any.
    pub cpu: Option<u32>,
}

impl SubmissionThread {
    /// The longest that it may watch in vain; more is as much.
    pub const IDLE_MAX: Duration = Duration::from_secs(60);
}

impl Default for RingConfig {
    fn default() -> Self {
        Self {
            entries: 256,
            completions: 4096,
            buffers: 256,
            buffer_size: 4096,
            thread: None,
            zero_copy_from: None,
        }
    }
}

impl RingConfig {
    /// Makes the ring of the kernel's.
    pub(super) fn build(&self) -> io::Result<IoUring> {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_submit_all()
            .setup_cqsize(self.completions)
            .dontfork();
        match self.thread {
            None => {
                builder.setup_defer_taskrun().setup_taskrun_flag();
            }
            Some(SubmissionThread { idle, cpu }) => {
                // Zero would be the kernel's own default, a second.
                let milliseconds = idle.min(SubmissionThread::IDLE_MAX).as_micros().div_ceil(1_000);
                builder.setup_sqpoll(milliseconds.max(1) as u32);
                if let Some(cpu) = cpu {
                    builder.setup_sqpoll_cpu(cpu);
                }
            }
        }
        builder.build(self.entries)
    }
}
