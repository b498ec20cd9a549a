//! The network ring: an io_uring of the shard's own, behind functions that cannot be misused.
//!
//! ```text
//!   listen, receive, send ──► submission queue ──┐ one system call submits all that waits, ends what the kernel
//!                                                │ has begun, and, where that is wanted, sleeps until something comes
//!   Event::{Accepted, Received, Sent} ◄── completion queue ◄┘
//! ```
//!
//! *Multishot* operations are submitted once and complete again and again: accepting, and receiving into
//! [provided buffers](buffers). The kernel does its part of the work when this thread asks for it (`DEFER_TASKRUN`), not whenever
//! something arrives: so nothing interrupts a guest but what is meant to, and completions come in batches.
//!
//! With a [thread of the kernel's](SubmissionThread) (`SQPOLL`) that thread does it instead, and takes what is submitted by itself:
//! a system call is left for it only when it sleeps, and for sleeping here.
//!
//! What the kernel may touch belongs to the ring while it may: the bytes of a send are moved in and come back with its
//! completion. Those of a send without a copy are *lent*: it completes when the socket has taken them, and a second time, when
//! nothing reads them any more; only then they are freed. Receives go to buffers that the ring lends out. A ring that is dropped with operations under way cancels
//! them and waits; what has not ended by then is leaked rather than freed.

mod buffers;
mod config;
mod event;

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::io::Errno;
use slab::Slab;

use buffers::Buffers;
pub(crate) use buffers::Chunk;
pub(crate) use config::RingConfig;
pub use config::SubmissionThread;
pub(crate) use event::Event;

/// The one group of provided buffers.
const GROUP: u16 = 0;
/// `IORING_ENTER_GETEVENTS`: do the work that was put off, and post what it completes.
const GETEVENTS: u32 = 1;
/// `IORING_ENTER_SQ_WAKEUP`: wake the submission thread.
const SQ_WAKEUP: u32 = 2;
/// Names the completion of another ring's wake-up.
const WOKEN: u64 = u64::MAX;
/// Names operations of which only a failure would complete, and that does not matter.
const SILENT: u64 = u64::MAX - 1;
/// How often a ring that is dropped looks whether its operations have ended, and how long it waits for it each time.
const LAST_LOOKS: u32 = 100;
const LAST_WAIT: Duration = Duration::from_millis(10);

/// Names an operation that is under way. Never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OperationId(u64);

/// An io_uring of this thread, for sockets.
pub(crate) struct Ring {
    uring: IoUring,
    operations: Slab<Operation>,
    /// Distinguishes operations that have had the same place.
    generation: u32,
    buffers: Rc<Buffers>,
    /// Whether a thread of the kernel's submits.
    has_thread: bool,
    zero_copy_from: Option<usize>,
    /// Sends without a copy whose bytes have not come back.
    zero_copies: usize,
}

struct Operation {
    id: OperationId,
    owner: usize,
    kind: Kind,
}

enum Kind {
    Accept,
    Receive,
    Send { buffer: Vec<u8>, zero_copy: bool },
}

impl Ring {
    /// Makes a ring. It belongs to the thread that calls this.
    ///
    /// # Errors
    /// What the system says: `EINVAL` where the kernel is older than 6.1, or the submission thread's CPU is none that this process may
    /// use; `EPERM` where it may have no such thread.
    pub(crate) fn new(config: RingConfig) -> io::Result<Self> {
        debug_assert!(config.entries as usize >= ROOM);
        let uring = config.build()?;
        let buffers = Buffers::new(config.buffers, config.buffer_size);
        // SAFETY: the entries live until after the ring is closed, see `drop`.
        unsafe {
            uring
                .submitter()
                .register_buf_ring_with_flags(buffers.address(), buffers.count(), GROUP, 0)
        }?;
        Ok(Self {
            uring,
            operations: Slab::new(),
            generation: 0,
            buffers,
            has_thread: config.thread.is_some(),
            zero_copy_from: config.zero_copy_from,
            zero_copies: 0,
        })
    }

    /// The descriptor, for [`Ring::wake`] in other threads.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    /// Provided buffers that can still be filled, and how many there are.
    pub(crate) fn free_buffers(&self) -> (u16, u16) {
        (self.buffers.free(), self.buffers.count())
    }

    /// Accepts connections from now on.
    ///
    /// # Errors
    /// What the system says where nothing can be submitted.
    pub(crate) fn accept(&mut self, listener: BorrowedFd<'_>, owner: usize) -> io::Result<OperationId> {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build();
        self.begin(entry, owner, Kind::Accept)
    }

    /// Receives from now on.
    ///
    /// # Errors
    /// As [`Ring::accept`].
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, owner: usize) -> io::Result<OperationId> {
        let entry = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build();
        self.begin(entry, owner, Kind::Receive)
    }

    /// Sends what lies in the buffer, or a part of it.
    ///
    /// # Errors
    /// As [`Ring::accept`]; the buffer is gone then.
    pub(crate) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        owner: usize,
        buffer: Vec<u8>,
    ) -> io::Result<OperationId> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(socket.as_raw_fd()), buffer.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL)
            .build();
        let zero_copy = false;
        self.begin(entry, owner, Kind::Send { buffer, zero_copy })
    }

    /// Whether a send of so many bytes should be one without a copy: it is large enough, and there are not too many.
    pub(crate) fn wants_zero_copy(&self, length: usize) -> bool {
        let is_large = self.zero_copy_from.is_some_and(|least| length >= least);
        is_large && self.zero_copies < ZERO_COPIES
    }

    /// As [`Ring::send`], without a copy in between: what carries the bytes reads them where they lie, where it can.
    ///
    /// # Errors
    /// As [`Ring::send`]. It may complete with [`Errno::NOBUFS`] or [`Errno::NOMEM`] where the process may lock no more memory.
    pub(crate) fn send_zero_copy(
        &mut self,
        socket: BorrowedFd<'_>,
        owner: usize,
        buffer: Vec<u8>,
    ) -> io::Result<OperationId> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let entry = opcode::SendZc::new(Fd(socket.as_raw_fd()), buffer.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL)
            .zc_flags(REPORT_USAGE)
            .build();
        let zero_copy = true;
        let id = self.begin(entry, owner, Kind::Send { buffer, zero_copy })?;
        self.zero_copies += 1;
        Ok(id)
    }

    /// Ends an operation early; it completes as cancelled, unless it has just completed otherwise.
    ///
    /// # Errors
    /// As [`Ring::accept`].
    pub(crate) fn cancel(&mut self, id: OperationId) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(id.0).build();
        self.push(&silent(entry))
    }

    /// Wakes the ring of another thread, which has an [`Event::Woken`] then.
    ///
    /// # Errors
    /// As [`Ring::accept`]. That the other ring is gone is no error.
    pub(crate) fn wake(&mut self, peer: RawFd) -> io::Result<()> {
        let entry = opcode::MsgRingData::new(Fd(peer), 0, WOKEN, None).build();
        self.push(&silent(entry))
    }

    /// Whether anything waits to be submitted, by this thread or the kernel's. Makes no system call.
    pub(crate) fn has_entries(&mut self) -> bool {
        !self.uring.submission().is_empty()
    }

    /// Whether anything waits to be submitted by this thread, or [`Ring::has_completed`]. Makes no system call.
    pub(crate) fn has_work(&mut self) -> bool {
        (!self.has_thread && self.has_entries()) || self.has_completed()
    }

    /// Whether something has come: then [`Ring::complete`] gives it, after an [`Ring::enter`]. Makes no system call. With a submission
    /// thread it may be a little behind: that thread has yet to do its part.
    pub(crate) fn has_completed(&mut self) -> bool {
        let submission = self.uring.submission();
        if submission.taskrun() || submission.cq_overflow() {
            return true;
        }
        drop(submission);
        !self.uring.completion().is_empty()
    }

    /// Submits what waits to be, and ends what has come meanwhile; wakes the submission thread for it, where there is one. Makes no
    /// system call where nothing of this is to be done.
    ///
    /// # Errors
    /// What the system says, but for what passes by itself.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        #[cfg(test)]
        tests::fail_if_told_to()?;
        let submission = self.uring.submission();
        let waiting = submission.len() as u32;
        let mut flags = 0;
        if submission.taskrun() || submission.cq_overflow() {
            flags |= GETEVENTS;
        }
        if self.has_thread {
            // It sees the entries or we see that it sleeps: `need_wakeup` has the fence between, and they were published before.
            if waiting > 0 && submission.need_wakeup() {
                flags |= SQ_WAKEUP;
            }
        } else if waiting > 0 {
            flags |= GETEVENTS;
        }
        drop(submission);
        if flags == 0 {
            return Ok(());
        }
        // SAFETY: no argument is given, and the flags need none. What the entries refer to belongs to their operations.
        let entered = unsafe { self.uring.submitter().enter::<()>(waiting, 0, flags, None) };
        passing(entered)
    }

    /// As [`Ring::enter`], and sleeps until something has completed or the time is over.
    ///
    /// # Errors
    /// As [`Ring::enter`].
    pub(crate) fn wait(&mut self, longest: Duration) -> io::Result<()> {
        #[cfg(test)]
        tests::fail_if_told_to()?;
        let time = Timespec::new()
            .sec(longest.as_secs())
            .nsec(longest.subsec_nanos());
        let arguments = SubmitArgs::new().timespec(&time);
        passing(self.uring.submitter().submit_with_args(1, &arguments))
    }

    /// From now on an eventfd is signalled when there is something to [enter](Ring::enter) for, while that is
    /// [switched on](Ring::ring_bell).
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn register_bell(&mut self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.uring.submitter().register_eventfd(eventfd.as_raw_fd())?;
        self.ring_bell(false);
        Ok(())
    }

    /// Switches the bell on or off.
    pub(crate) fn ring_bell(&mut self, on: bool) {
        let completion = self.uring.completion();
        if on {
            completion.enable_eventfd();
            // The kernel sees that before we look whether anything has come.
            fence(Ordering::SeqCst);
        } else {
            completion.disable_eventfd();
        }
    }

    /// Appends what has completed to `events`.
    pub(crate) fn complete(&mut self, events: &mut Vec<Event>) {
        let Self {
            uring,
            operations,
            buffers,
            zero_copies,
            ..
        } = self;
        let mut without_buffer = 0;
        for entry in uring.completion() {
            match entry.user_data() {
                WOKEN => events.push(Event::Woken),
                SILENT => {}
                data => {
                    let event = completed(operations, buffers, zero_copies, data, &entry);
                    without_buffer += u32::from(event.as_ref().is_some_and(Event::is_without_buffer));
                    events.extend(event);
                }
            }
        }
        if without_buffer > 0 {
            buffers.too_few(without_buffer);
        }
    }

    fn begin(&mut self, entry: squeue::Entry, owner: usize, kind: Kind) -> io::Result<OperationId> {
        self.generation = self.generation.wrapping_add(1);
        let place = self.operations.vacant_entry();
        // The highest generation is left out, which keeps the names clear of those that mean something else.
        let generation = u64::from(self.generation & (u32::MAX >> 1));
        let id = OperationId(generation << 32 | place.key() as u64);
        let key = place.key();
        place.insert(Operation { id, owner, kind });
        let pushed = self.push(&entry.user_data(id.0));
        if pushed.is_err() {
            // Nothing of it was submitted.
            self.operations.remove(key);
        }
        pushed.map(|()| id)
    }

    /// Whether a few operations can be begun now. Where they cannot, what waits to be submitted is, and it may be so then. A submission
    /// thread may take a little longer.
    pub(crate) fn has_room(&mut self) -> bool {
        for _ in 0..2 {
            let queue = self.uring.submission();
            if queue.capacity() - queue.len() >= ROOM {
                return true;
            }
            drop(queue);
            // An error is told to whoever turns the ring.
            if self.enter().is_err() {
                return false;
            }
        }
        false
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        let tries = if self.has_thread { THREAD_TRIES } else { 2 };
        for _ in 0..tries {
            // SAFETY: a send's bytes lie on the heap in a vector that its operation holds untouched until it has completed, twice where
            // they are lent; the other operations refer to nothing but descriptors and the registered buffers.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.enter()?;
            if self.has_thread {
                // It is awake, and takes entries before it sleeps again. What has to be done for this thread ends the wait early.
                passing(self.uring.submitter().squeue_wait())?;
            }
        }
        Err(Errno::AGAIN.into())
    }
}

/// Sends without a copy whose bytes may be lent at a time, by all connections together. What a peer does not acknowledge stays lent,
/// also when its connection is over.
const ZERO_COPIES: usize = 64;
/// `IORING_SEND_ZC_REPORT_USAGE`: the second completion says whether there was a copy after all.
const REPORT_USAGE: u16 = 1 << 3;
/// `IORING_NOTIF_USAGE_ZC_COPIED`: there was.
const COPIED: i32 = 1 << 31;
/// How often it is waited for that a submission thread takes entries.
const THREAD_TRIES: usize = 64;
/// Operations that one socket begins at a time, at most.
const ROOM: usize = 4;

/// An operation that completes only when it fails, which nobody looks at.
fn silent(entry: squeue::Entry) -> squeue::Entry {
    entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(SILENT)
}

/// What a completion says of its operation.
fn completed(
    operations: &mut Slab<Operation>,
    buffers: &Rc<Buffers>,
    zero_copies: &mut usize,
    data: u64,
    entry: &cqueue::Entry,
) -> Option<Event> {
    let key = (data & u64::from(u32::MAX)) as usize;
    let operation = operations.get(key).filter(|operation| operation.id.0 == data)?;
    let owner = operation.owner;
    if cqueue::notif(entry.flags()) {
        let id = operations.remove(key).id;
        *zero_copies -= 1;
        let copied = entry.result() & COPIED != 0;
        return Some(Event::Returned { owner, id, copied });
    }
    let ended = !cqueue::more(entry.flags());
    let result = match entry.result() {
        error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
        result => Ok(result as usize),
    };
    Some(match &operation.kind {
        Kind::Accept => {
            if ended {
                operations.remove(key);
            }
            Event::Accepted {
                owner,
                // SAFETY: the kernel has just made this descriptor for us and tells of it once.
                result: result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
                ended,
            }
        }
        Kind::Receive => {
            if ended {
                operations.remove(key);
            }
            let length = result.as_ref().map_or(0, |length| *length);
            let chunk = cqueue::buffer_select(entry.flags()).map(|id| {
                // SAFETY: the completion says that the kernel has filled this buffer, and completions are seen once.
                unsafe { buffers.take(id, length) }
            });
            let result = result.map(|length| chunk.filter(|_| length > 0));
            Event::Received { owner, result, ended }
        }
        Kind::Send { buffer, .. } if !ended => {
            let all = result.as_ref().is_ok_and(|length| *length == buffer.len());
            Event::Sent {
                owner,
                result,
                buffer: if all { Vec::new() } else { buffer.clone() },
                lent: true,
            }
        }
        Kind::Send { .. } => {
            let Kind::Send { buffer, zero_copy } = operations.remove(key).kind else {
                unreachable!("it was one just now");
            };
            *zero_copies -= usize::from(zero_copy);
            Event::Sent {
                owner,
                result,
                buffer,
                lent: false,
            }
        }
    })
}

/// What passes by itself is none: a signal, the end of the time, and a completion queue that is full until it is read.
fn passing<T>(entered: io::Result<T>) -> io::Result<()> {
    match entered {
        Ok(_) => Ok(()),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::INTR | Errno::TIME | Errno::BUSY | Errno::AGAIN) => Ok(()),
            _ => Err(error),
        },
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let left: Vec<OperationId> = self.operations.iter().map(|(_, left)| left.id).collect();
        for id in left {
            let _ = self.cancel(id);
        }
        let mut events = Vec::new();
        for _ in 0..LAST_LOOKS {
            let is_over = self.operations.is_empty() && !self.has_entries();
            if is_over || self.wait(LAST_WAIT).is_err() {
                break;
            }
            self.complete(&mut events);
            events.clear();
        }
        // The kernel may still read from and write to what these have.
        if !self.operations.is_empty() {
            mem::forget(mem::take(&mut self.operations));
            mem::forget(self.buffers.clone());
        }
        let _ = self.uring.submitter().unregister_buf_ring(GROUP);
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("operations", &self.operations.len())
            .field("buffers", &self.buffers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
