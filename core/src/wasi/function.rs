//! The table of all 46 functions: names, signatures, and the way from raw slots to a call.
//!
//! One list below says everything once; the enum, the names, the signatures and the dispatch are made from it, so that they
//! cannot disagree. A `string` or a `list` of the witx is two parameters (pointer, length), and each result but the errno
//! is one more pointer, which is how the standard lowers them to WebAssembly.
//!
//! ```text
//! slots on entry   [ i32, zero-extended | i64, raw | ... ]   one per parameter
//! slots on return  [ errno | ... ]                           `proc_exit` has no result
//! ```

use super::Errno;
use super::ctx::{Pending, WasiCtx};
use super::memory::GuestMemory;
use super::outcome::{Fault, Outcome, Refusal, Stop};
use super::{clock, dir, fd, io, path, poll, process, socket, strings};

/// The module name under which guests import these functions.
pub const MODULE: &str = "wasi_snapshot_preview1";

/// The type of a parameter or a result. The standard needs only these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotType {
    /// A 32-bit integer: numbers, flags and pointers.
    I32,
    /// A 64-bit integer: times, offsets and rights.
    I64,
}

macro_rules! slot {
    (I32, $slots:ident) => {
        // An i32 lies in the low half; whatever is in the high half is not part of it.
        ($slots.next().unwrap_or(0) & u64::from(u32::MAX)) as u32
    };
    (I64, $slots:ident) => {
        $slots.next().unwrap_or(0)
    };
}

macro_rules! functions {
    ($($variant:ident $name:literal ($($ty:ident)*) $handler:path;)*) => {
        /// A function of WASI snapshot preview 1.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum WasiFunction {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl WasiFunction {
            /// Every function, in the order of the standard.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name under which guests import it from [`MODULE`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The types of its parameters.
            #[must_use]
            pub const fn params(self) -> &'static [SlotType] {
                match self {
                    $(Self::$variant => &[$(SlotType::$ty,)*],)*
                }
            }

            fn dispatch(self, ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, slots: &[u64]) -> Outcome {
                let mut slots = slots.iter().copied();
                let _ = &mut slots;
                match self {
                    $(Self::$variant => $handler(ctx, memory, $(slot!($ty, slots)),*),)*
                }
            }
        }
    };
}

functions! {
    ArgsGet "args_get" (I32 I32) strings::args_get;
    ArgsSizesGet "args_sizes_get" (I32 I32) strings::args_sizes_get;
    EnvironGet "environ_get" (I32 I32) strings::environ_get;
    EnvironSizesGet "environ_sizes_get" (I32 I32) strings::environ_sizes_get;
    ClockResGet "clock_res_get" (I32 I32) clock::clock_res_get;
    ClockTimeGet "clock_time_get" (I32 I64 I32) clock::clock_time_get;
    FdAdvise "fd_advise" (I32 I64 I64 I32) fd::fd_advise;
    FdAllocate "fd_allocate" (I32 I64 I64) fd::fd_allocate;
    FdClose "fd_close" (I32) fd::fd_close;
    FdDatasync "fd_datasync" (I32) fd::fd_datasync;
    FdFdstatGet "fd_fdstat_get" (I32 I32) fd::fd_fdstat_get;
    FdFdstatSetFlags "fd_fdstat_set_flags" (I32 I32) fd::fd_fdstat_set_flags;
    FdFdstatSetRights "fd_fdstat_set_rights" (I32 I64 I64) fd::fd_fdstat_set_rights;
    FdFilestatGet "fd_filestat_get" (I32 I32) fd::fd_filestat_get;
    FdFilestatSetSize "fd_filestat_set_size" (I32 I64) fd::fd_filestat_set_size;
    FdFilestatSetTimes "fd_filestat_set_times" (I32 I64 I64 I32) fd::fd_filestat_set_times;
    FdPread "fd_pread" (I32 I32 I32 I64 I32) io::fd_pread;
    FdPrestatGet "fd_prestat_get" (I32 I32) dir::fd_prestat_get;
    FdPrestatDirName "fd_prestat_dir_name" (I32 I32 I32) dir::fd_prestat_dir_name;
    FdPwrite "fd_pwrite" (I32 I32 I32 I64 I32) io::fd_pwrite;
    FdRead "fd_read" (I32 I32 I32 I32) io::fd_read;
    FdReaddir "fd_readdir" (I32 I32 I32 I64 I32) dir::fd_readdir;
    FdRenumber "fd_renumber" (I32 I32) fd::fd_renumber;
    FdSeek "fd_seek" (I32 I64 I32 I32) io::fd_seek;
    FdSync "fd_sync" (I32) fd::fd_sync;
    FdTell "fd_tell" (I32 I32) io::fd_tell;
    FdWrite "fd_write" (I32 I32 I32 I32) io::fd_write;
    PathCreateDirectory "path_create_directory" (I32 I32 I32) path::path_create_directory;
    PathFilestatGet "path_filestat_get" (I32 I32 I32 I32 I32) path::path_filestat_get;
    PathFilestatSetTimes "path_filestat_set_times" (I32 I32 I32 I32 I64 I64 I32) path::path_filestat_set_times;
    PathLink "path_link" (I32 I32 I32 I32 I32 I32 I32) path::path_link;
    PathOpen "path_open" (I32 I32 I32 I32 I32 I64 I64 I32 I32) path::path_open;
    PathReadlink "path_readlink" (I32 I32 I32 I32 I32 I32) path::path_readlink;
    PathRemoveDirectory "path_remove_directory" (I32 I32 I32) path::path_remove_directory;
    PathRename "path_rename" (I32 I32 I32 I32 I32 I32) path::path_rename;
    PathSymlink "path_symlink" (I32 I32 I32 I32 I32) path::path_symlink;
    PathUnlinkFile "path_unlink_file" (I32 I32 I32) path::path_unlink_file;
    PollOneoff "poll_oneoff" (I32 I32 I32 I32) poll::poll_oneoff;
    ProcExit "proc_exit" (I32) process::proc_exit;
    ProcRaise "proc_raise" (I32) process::proc_raise;
    SchedYield "sched_yield" () process::sched_yield;
    RandomGet "random_get" (I32 I32) process::random_get;
    SockAccept "sock_accept" (I32 I32 I32) socket::sock_accept;
    SockRecv "sock_recv" (I32 I32 I32 I32 I32 I32) socket::sock_recv;
    SockSend "sock_send" (I32 I32 I32 I32 I32) socket::sock_send;
    SockShutdown "sock_shutdown" (I32 I32) socket::sock_shutdown;
}

impl WasiFunction {
    /// The types of its results: one errno, but for `proc_exit`, which does not return.
    #[must_use]
    pub const fn results(self) -> &'static [SlotType] {
        match self {
            Self::ProcExit => &[],
            _ => &[SlotType::I32],
        }
    }

    /// Calls it with raw slots, and answers with the errno that the guest is due.
    ///
    /// `memory` is the guest's memory 0, or empty where it has none: then every pointer is a fault.
    ///
    /// # Errors
    /// The guest must not simply go on: it exits, waits, or is to be ended.
    pub fn invoke(self, ctx: &mut WasiCtx, memory: &mut [u8], slots: &[u64]) -> Result<Errno, Stop> {
        if slots.len() < self.params().len() {
            return Err(self.wrong_signature(slots.len()));
        }
        // A call that has begun is known only to itself: anything else between means that it was given up.
        let resumes = match ctx.pending {
            None => true,
            Some(Pending::Poll { .. }) => self == Self::PollOneoff,
            Some(Pending::Random { .. }) => self == Self::RandomGet,
        };
        if !resumes {
            ctx.pending = None;
        }
        ctx.charge_system_calls(self.system_calls());
        match self.dispatch(ctx, &mut GuestMemory::new(memory), slots) {
            Ok(()) => Ok(Errno::Success),
            Err(Refusal::Errno(errno)) => Ok(errno),
            Err(Refusal::Stop(stop)) => Err(stop),
        }
    }

    /// Calls it with raw slots, and leaves the errno in slot 0. When it stops, the slots are as they were, so that the
    /// same call can be made again with them.
    ///
    /// # Errors
    /// As [`invoke`](Self::invoke).
    pub fn call(self, ctx: &mut WasiCtx, memory: &mut [u8], slots: &mut [u64]) -> Result<(), Stop> {
        if slots.len() < self.results().len() {
            return Err(self.wrong_signature(slots.len()));
        }
        let errno = self.invoke(ctx, memory, slots)?;
        if let (Some(slot), [_]) = (slots.first_mut(), self.results()) {
            *slot = u64::from(errno as u16);
        }
        Ok(())
    }

    /// About how many system calls it makes, but for those that are counted where they are made.
    const fn system_calls(self) -> u64 {
        match self {
            Self::PathOpen => 6,
            Self::PathFilestatGet | Self::PathReadlink => 4,
            Self::FdFilestatGet | Self::FdSeek | Self::FdClose | Self::FdRenumber => 1,
            _ => 0,
        }
    }

    fn wrong_signature(self, slots: usize) -> Stop {
        Stop::Fault(Fault::Signature {
            function: self.name(),
            slots,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::testing::Guest;

    #[test]
    fn there_are_46_functions_with_names_of_their_own() {
        let names: std::collections::HashSet<_> = WasiFunction::ALL.iter().map(|f| f.name()).collect();
        assert_eq!((WasiFunction::ALL.len(), names.len()), (46, 46));
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        use SlotType::{I32, I64};
        let params = |name| {
            let found = WasiFunction::ALL.iter().find(|f| f.name() == name);
            found.unwrap_or_else(|| panic!("no {name}")).params()
        };
        assert_eq!(params("path_open"), [I32, I32, I32, I32, I32, I64, I64, I32, I32]);
        assert_eq!(params("fd_seek"), [I32, I64, I32, I32]);
        assert_eq!(params("fd_readdir"), [I32, I32, I32, I64, I32]);
        assert_eq!(params("clock_time_get"), [I32, I64, I32]);
        assert_eq!(
            params("path_filestat_set_times"),
            [I32, I32, I32, I32, I64, I64, I32]
        );
        assert!(params("sched_yield").is_empty());
        assert!(WasiFunction::ProcExit.results().is_empty());
        assert_eq!(WasiFunction::FdClose.results(), [I32]);
    }

    #[test]
    fn too_few_slots_are_the_embedders_defect_and_no_panic() {
        let mut guest = Guest::bare();
        for function in WasiFunction::ALL {
            let needed = function.params().len().max(function.results().len());
            for slots in 0..needed {
                let stop = function.call(&mut guest.ctx, &mut guest.memory, &mut vec![0; slots]);
                assert_eq!(
                    stop,
                    Err(Stop::Fault(Fault::Signature {
                        function: function.name(),
                        slots
                    }))
                );
            }
        }
    }

    #[test]
    fn the_high_half_of_an_i32_slot_is_ignored() {
        let mut guest = Guest::bare();
        let mut slots = [(7 << 32) | 1, 8];
        let answer = WasiFunction::FdFdstatGet.call(&mut guest.ctx, &mut guest.memory, &mut slots);
        assert_eq!((answer, slots[0]), (Ok(()), 0));
    }
}
