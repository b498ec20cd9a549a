//! What a descriptor is: its attributes, flags and rights; closing and renumbering.
//!
//! A host file is open for reading only, so whatever would change it lacks its right (`notcapable`) or meets a file
//! system that is read-only (`rofs`). Advice is taken and not passed on: it could throw pages out of the host's cache
//! that other functions use.
//!
//! Inode numbers are shown through a keyed hash and every device is 1: a guest can tell whether two files are the same
//! one, and learns nothing of the host's disks.

use rustix::fs::{FileType as HostFileType, Stat, fstat};

use super::Errno;
use super::config::Prepared;
use super::ctx::WasiCtx;
use super::io::require;
use super::memory::GuestMemory;
use super::outcome::Outcome;
use super::table::Resource;
use super::types::{FdStat, FileStat, FileType, Rights, fdflags, flags16};

/// `fd_close`. Preopens and standard streams can be closed too.
pub(super) fn fd_close(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32) -> Outcome {
    Ok(ctx.table.remove(fd)?)
}

/// `fd_renumber`: moves `from` to `to`, which must be open and is closed by it.
pub(super) fn fd_renumber(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, from: u32, to: u32) -> Outcome {
    Ok(ctx.table.renumber(from, to)?)
}

/// `fd_fdstat_get`: type, flags and rights.
pub(super) fn fd_fdstat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    result: u32,
) -> Outcome {
    let descriptor = ctx.table.get(fd)?;
    let filetype = match descriptor.resource {
        Resource::Stdin => ctx.stdin.filetype(),
        Resource::Stdout => ctx.stdout.filetype(),
        Resource::Stderr => ctx.stderr.filetype(),
        Resource::Directory(_) => FileType::Directory,
        Resource::File(_) => FileType::RegularFile,
    };
    let (flags, base, inheriting) = (descriptor.flags, descriptor.base, descriptor.inheriting);
    Ok(memory.write(
        result,
        &FdStat {
            filetype,
            flags,
            base,
            inheriting,
        }
        .encode(),
    )?)
}

/// `fd_fdstat_set_flags`: append and non-blocking can be set; the synchronous kinds are `inval`.
pub(super) fn fd_fdstat_set_flags(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    flags: u32,
) -> Outcome {
    let descriptor = ctx.table.get_mut(fd)?;
    require(descriptor, Rights::FD_FDSTAT_SET_FLAGS)?;
    descriptor.flags = flags16(flags, fdflags::SETTABLE)?;
    Ok(())
}

/// `fd_fdstat_set_rights`: gives rights up. Asking for one that the descriptor lacks is `notcapable`.
pub(super) fn fd_fdstat_set_rights(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    base: u64,
    inheriting: u64,
) -> Outcome {
    let descriptor = ctx.table.get_mut(fd)?;
    let (base, inheriting) = (Rights(base), Rights(inheriting));
    if !descriptor.base.contains(base) || !descriptor.inheriting.contains(inheriting) {
        return Err(Errno::Notcapable.into());
    }
    (descriptor.base, descriptor.inheriting) = (base, inheriting);
    Ok(())
}

/// `fd_filestat_get`: the attributes of what is open.
pub(super) fn fd_filestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    result: u32,
) -> Outcome {
    let descriptor = ctx.table.get(fd)?;
    require(descriptor, Rights::FD_FILESTAT_GET)?;
    let stat = match &descriptor.resource {
        Resource::Stdin => FileStat::stream(ctx.stdin.filetype()),
        Resource::Stdout => FileStat::stream(ctx.stdout.filetype()),
        Resource::Stderr => FileStat::stream(ctx.stderr.filetype()),
        Resource::Directory(directory) => shown(&ctx.template, &fstat(&*directory.handle)?),
        Resource::File(file) => shown(&ctx.template, &fstat(&file.handle)?),
    };
    Ok(memory.write(result, &stat.encode())?)
}

/// `fd_filestat_set_size`: no file is open for writing.
pub(super) fn fd_filestat_set_size(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    _size: u64,
) -> Outcome {
    require(ctx.table.get(fd)?, Rights::FD_FILESTAT_SET_SIZE)?;
    Err(Errno::Rofs.into())
}

/// `fd_filestat_set_times`: the file system is read-only.
pub(super) fn fd_filestat_set_times(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    _accessed: u64,
    _modified: u64,
    flags: u32,
) -> Outcome {
    require(ctx.table.get(fd)?, Rights::FD_FILESTAT_SET_TIMES)?;
    check_time_flags(flags)?;
    Err(Errno::Rofs.into())
}

/// `fd_advise`: accepted for a file, without effect.
pub(super) fn fd_advise(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    length: u64,
    advice: u32,
) -> Outcome {
    require(ctx.table.get(fd)?, Rights::FD_ADVISE)?;
    let last_advice = 5;
    let fits = offset
        .checked_add(length)
        .is_some_and(|end| i64::try_from(end).is_ok());
    if advice > last_advice || !fits {
        Err(Errno::Inval.into())
    } else {
        Ok(())
    }
}

/// `fd_allocate`: no file is open for writing.
pub(super) fn fd_allocate(
    ctx: &mut WasiCtx,
    _: &mut GuestMemory<'_>,
    fd: u32,
    _offset: u64,
    _length: u64,
) -> Outcome {
    require(ctx.table.get(fd)?, Rights::FD_ALLOCATE)?;
    Err(Errno::Rofs.into())
}

/// `fd_sync`: a file that is only read has nothing to be written back.
pub(super) fn fd_sync(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32) -> Outcome {
    Ok(require(ctx.table.get(fd)?, Rights::FD_SYNC)?)
}

/// `fd_datasync`: as [`fd_sync`].
pub(super) fn fd_datasync(ctx: &mut WasiCtx, _: &mut GuestMemory<'_>, fd: u32) -> Outcome {
    Ok(require(ctx.table.get(fd)?, Rights::FD_DATASYNC)?)
}

/// `$fstflags`: known bits only, and no timestamp both to a value and to now.
pub(super) fn check_time_flags(flags: u32) -> Result<(), Errno> {
    let (accessed, modified) = (0b0011, 0b1100);
    let flags = flags16(flags, accessed | modified)?;
    let contradicts = flags & accessed == accessed || flags & modified == modified;
    if contradicts { Err(Errno::Inval) } else { Ok(()) }
}

/// The host's attributes as a guest is shown them.
#[expect(
    clippy::unnecessary_cast,
    reason = "the types of the fields differ between architectures"
)]
pub(super) fn shown(prepared: &Prepared, stat: &Stat) -> FileStat {
    let time = |seconds: i64, nanoseconds: u64| {
        u64::try_from(seconds)
            .unwrap_or(0)
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds)
    };
    FileStat {
        device: 1,
        inode: prepared.opaque_inode(stat.st_dev as u64, stat.st_ino as u64),
        filetype: HostFileType::from_raw_mode(stat.st_mode).into(),
        links: stat.st_nlink as u64,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        accessed_ns: time(stat.st_atime as i64, stat.st_atime_nsec as u64),
        modified_ns: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        changed_ns: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::wasi::WasiFunction as F;
    use crate::wasi::testing::{Guest, TestDir, call};

    #[test]
    fn a_stream_in_memory_is_no_terminal_and_not_seekable() {
        let mut guest = Guest::bare();
        for (fd, rights) in [(0, Rights::INPUT), (1, Rights::OUTPUT), (2, Rights::OUTPUT)] {
            assert_eq!(call(&mut guest, F::FdFdstatGet, &[fd, 8]), Errno::Success);
            assert_eq!(guest.memory[8], FileType::Unknown as u8);
            assert_eq!((guest.u64(16), guest.u64(24)), (rights.0, 0));
            assert!(!rights.intersects(Rights::FD_SEEK.union(Rights::FD_TELL)));
        }
    }

    #[test]
    fn flags_are_remembered_and_the_synchronous_ones_refused() {
        let mut guest = Guest::bare();
        assert_eq!(call(&mut guest, F::FdFdstatSetFlags, &[1, 0b101]), Errno::Success);
        assert_eq!(call(&mut guest, F::FdFdstatGet, &[1, 8]), Errno::Success);
        assert_eq!(guest.memory[10..12], [0b101, 0]);
        for flags in [0b10, 0b1000, 0b1_0000, 0b10_0000, u64::from(u32::MAX)] {
            assert_eq!(call(&mut guest, F::FdFdstatSetFlags, &[1, flags]), Errno::Inval);
        }
    }

    #[test]
    fn rights_can_only_be_given_up() {
        let mut guest = Guest::bare();
        let fewer = Rights::FD_FILESTAT_GET.0;
        assert_eq!(
            call(&mut guest, F::FdFdstatSetRights, &[1, fewer, 0]),
            Errno::Success
        );
        assert_eq!(call(&mut guest, F::FdWrite, &[1, 0, 0, 8]), Errno::Notcapable);
        assert_eq!(call(&mut guest, F::FdFdstatSetFlags, &[1, 0]), Errno::Notcapable);
        for (base, inheriting) in [(Rights::FD_WRITE.0, 0), (0, 1), (1 << 63, 0)] {
            assert_eq!(
                call(&mut guest, F::FdFdstatSetRights, &[1, base, inheriting]),
                Errno::Notcapable
            );
        }
    }

    #[test]
    fn attributes_of_a_file_are_the_hosts_but_for_its_identity() {
        let dir = TestDir::new();
        dir.file("file", b"12345");
        let host = std::fs::metadata(dir.path().join("file")).unwrap();
        let mut guest = Guest::preopened(&dir);
        let fd = guest.open("file");
        assert_eq!(call(&mut guest, F::FdFilestatGet, &[fd, 128]), Errno::Success);
        assert_eq!(
            (guest.u64(128), guest.memory[128 + 16]),
            (1, FileType::RegularFile as u8)
        );
        assert_ne!(guest.u64(136), host.ino());
        assert_eq!((guest.u64(152), guest.u64(160)), (1, 5));
        let modified = host.mtime() * 1_000_000_000 + host.mtime_nsec();
        assert_eq!(guest.u64(176), modified.cast_unsigned());
        let again = guest.open("file");
        assert_eq!(call(&mut guest, F::FdFilestatGet, &[again, 256]), Errno::Success);
        assert_eq!(guest.u64(136), guest.u64(264));
    }

    #[test]
    fn closing_frees_the_number() {
        let mut guest = Guest::bare();
        assert_eq!(call(&mut guest, F::FdClose, &[1]), Errno::Success);
        assert_eq!(call(&mut guest, F::FdClose, &[1]), Errno::Badf);
        assert_eq!(call(&mut guest, F::FdWrite, &[1, 0, 0, 8]), Errno::Badf);
    }

    #[test]
    fn a_renumbered_output_still_goes_to_its_own_stream() {
        let builder = crate::wasi::WasiCtx::builder().stderr(crate::wasi::Output::Buffer { limit: 9 });
        let mut guest = Guest::new(builder.build().unwrap());
        assert_eq!(call(&mut guest, F::FdRenumber, &[2, 1]), Errno::Success);
        guest.vector(0, &[(100, 3)]);
        assert_eq!(call(&mut guest, F::FdWrite, &[1, 0, 1, 64]), Errno::Success);
        assert_eq!(call(&mut guest, F::FdWrite, &[2, 0, 1, 64]), Errno::Badf);
        assert_eq!(guest.ctx.stderr(), [0, 0, 0]);
        assert_eq!(call(&mut guest, F::FdRenumber, &[1, 40]), Errno::Badf);
    }

    #[test]
    fn advice_and_syncs_are_accepted_for_a_file_and_changes_are_not() {
        let dir = TestDir::new();
        dir.file("file", b"12345");
        let mut guest = Guest::preopened(&dir);
        let fd = guest.open("file");
        assert_eq!(call(&mut guest, F::FdAdvise, &[fd, 0, 5, 4]), Errno::Success);
        assert_eq!(call(&mut guest, F::FdAdvise, &[fd, 0, 5, 6]), Errno::Inval);
        assert_eq!(call(&mut guest, F::FdAdvise, &[fd, u64::MAX, 5, 0]), Errno::Inval);
        assert_eq!(call(&mut guest, F::FdSync, &[fd]), Errno::Success);
        assert_eq!(call(&mut guest, F::FdDatasync, &[fd]), Errno::Success);
        assert_eq!(call(&mut guest, F::FdAllocate, &[fd, 0, 9]), Errno::Notcapable);
        assert_eq!(
            call(&mut guest, F::FdFilestatSetSize, &[fd, 0]),
            Errno::Notcapable
        );
        assert_eq!(
            call(&mut guest, F::FdFilestatSetTimes, &[fd, 0, 0, 1]),
            Errno::Rofs
        );
        assert_eq!(
            call(&mut guest, F::FdFilestatSetTimes, &[fd, 0, 0, 3]),
            Errno::Inval
        );
        assert_eq!(call(&mut guest, F::FdAdvise, &[3, 0, 0, 0]), Errno::Notcapable);
        assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"12345");
    }
}
