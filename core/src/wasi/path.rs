//! Paths: from a guest's string to a file beneath a directory, and never beside it.
//!
//! **Confinement.** The kernel resolves every path with `openat2` and `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS`: a `..`
//! or a symbolic link (relative or absolute) that leaves the directory, at any step, ends the resolution. There is no
//! check of ours that a rename could outrun. What escapes is `notcapable`; absolute names are so without asking the
//! kernel. `a/../b` stays inside and is allowed.
//!
//! **Look before opening.** Opening a device or a FIFO can have effects by itself. A path is therefore first resolved
//! with `O_PATH`, which opens nothing; only a regular file is then opened, with `O_RDONLY | O_NONBLOCK | O_NOCTTY`, and
//! looked at once more. A directory keeps its `O_PATH` handle. Everything else is `acces`, as on a mount without devices.
//!
//! **Read-only.** The whole behaves as Linux does on a read-only mount: the rights to change things are there to be
//! given away or asked for, and it is the file system that refuses them, with `rofs`. So a program hears `EROFS` from the
//! `open` for writing, and not something odd from a later write. Without the right itself the answer is `notcapable`.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    FileType as HostFileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, readlinkat_raw,
};
use rustix::io::Errno as HostErrno;

use super::Errno;
use super::ctx::WasiCtx;
use super::fd::{check_time_flags, shown};
use super::memory::GuestMemory;
use super::outcome::Outcome;
use super::table::{Descriptor, Directory, RegularFile, Resource};
use super::types::{Rights, fdflags, flags16, oflags};

/// The longest path, in bytes; longer ones are `nametoolong`. Linux's `PATH_MAX` less the NUL.
pub(super) const PATH_MAX: usize = 4095;

/// `$lookupflags`: a final symbolic link is followed.
const SYMLINK_FOLLOW: u32 = 1;

/// How often a resolution is tried that the kernel gave up because somebody renamed directories meanwhile.
const RENAME_RACE_TRIES: usize = 4;

/// `path_open`: opens a file for reading, or a directory.
#[expect(
    clippy::too_many_arguments,
    reason = "the standard gives the function these parameters"
)]
pub(super) fn path_open(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    length: u32,
    open_flags: u32,
    base: u64,
    inheriting: u64,
    flags: u32,
    result: u32,
) -> Outcome {
    let open_flags = flags16(open_flags, oflags::ALL)?;
    let flags = flags16(flags, fdflags::ALL)?;
    // Languages ask for "all" with bits that the standard does not know.
    let (base, inheriting) = (
        Rights(base).intersection(Rights::ALL),
        Rights(inheriting).intersection(Rights::ALL),
    );
    let directory = directory(ctx, fd, rights_to_open(open_flags))?;
    if !ctx.table.get(fd)?.inheriting.contains(base.union(inheriting)) {
        return Err(Errno::Notcapable.into());
    }
    let path = guest_path(memory, path, length)?;
    memory.check(result, 4)?;
    ctx.table.check_room()?;
    let exclusive = open_flags & (oflags::CREAT | oflags::EXCL) == oflags::CREAT | oflags::EXCL;
    let found = resolve(directory, path, follows(lookup)? && !exclusive);
    let (handle, stat) = match found {
        Err(Errno::Noent) if open_flags & oflags::CREAT != 0 => return Err(Errno::Rofs.into()),
        Ok(_) if exclusive => return Err(Errno::Exist.into()),
        found => found?,
    };
    let writes = open_flags & oflags::TRUNC != 0 || base.intersects(Rights::WRITING);
    let (resource, applicable) = match HostFileType::from_raw_mode(stat.st_mode) {
        HostFileType::Directory if writes => return Err(Errno::Isdir.into()),
        HostFileType::Directory => {
            let serial = ctx.next_serial();
            let directory = Directory {
                handle: Arc::new(handle),
                preopen: None,
                serial,
            };
            (Resource::Directory(directory), Rights::DIRECTORY)
        }
        HostFileType::Symlink => return Err(Errno::Loop.into()),
        _ if open_flags & oflags::DIRECTORY != 0 => return Err(Errno::Notdir.into()),
        HostFileType::RegularFile if writes => return Err(Errno::Rofs.into()),
        HostFileType::RegularFile => {
            let handle = open_regular(directory_handle(ctx, fd)?, path, follows(lookup)?)?;
            (
                Resource::File(RegularFile { handle, position: 0 }),
                Rights::REGULAR_FILE,
            )
        }
        _ => return Err(Errno::Acces.into()),
    };
    let base = base.intersection(applicable);
    let inheriting = match resource {
        Resource::Directory(_) => inheriting,
        _ => Rights::default(),
    };
    let flags = flags & fdflags::SETTABLE;
    let opened = ctx.table.insert(Descriptor {
        resource,
        base,
        inheriting,
        flags,
    })?;
    Ok(memory.write_u32(result, opened)?)
}

/// `path_filestat_get`: the attributes of a file, or of a symbolic link that is not followed.
pub(super) fn path_filestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    length: u32,
    result: u32,
) -> Outcome {
    let directory = directory(ctx, fd, Rights::PATH_FILESTAT_GET)?;
    let (_, stat) = resolve(directory, guest_path(memory, path, length)?, follows(lookup)?)?;
    Ok(memory.write(result, &shown(&ctx.template, &stat).encode())?)
}

/// `path_readlink`: where a symbolic link leads, cut to the buffer. An absolute target is a path of the host's, which
/// the guest could not follow and is not told: `notcapable`.
#[expect(
    clippy::too_many_arguments,
    reason = "the standard gives the function these parameters"
)]
pub(super) fn path_readlink(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    length: u32,
    buffer: u32,
    buffer_length: u32,
    result: u32,
) -> Outcome {
    let directory = directory(ctx, fd, Rights::PATH_READLINK)?;
    let (link, stat) = resolve(directory, guest_path(memory, path, length)?, false)?;
    if HostFileType::from_raw_mode(stat.st_mode) != HostFileType::Symlink {
        return Err(Errno::Inval.into());
    }
    memory.check(result, 4)?;
    let mut target = [0; PATH_MAX + 1];
    let count = readlinkat_raw(&link, c"", &mut target[..])?;
    if target.starts_with(b"/") {
        return Err(Errno::Notcapable.into());
    }
    let into = memory.slice_mut(buffer, buffer_length)?;
    let count = count.min(into.len());
    into[..count].copy_from_slice(&target[..count]);
    Ok(memory.write_u32(result, u32::try_from(count).map_err(|_| Errno::Overflow)?)?)
}

/// `path_create_directory`: `rofs`.
pub(super) fn path_create_directory(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    length: u32,
) -> Outcome {
    refuse_change(ctx, memory, fd, Rights::PATH_CREATE_DIRECTORY, (path, length))
}

/// `path_filestat_set_times`: `rofs`.
#[expect(
    clippy::too_many_arguments,
    reason = "the standard gives the function these parameters"
)]
pub(super) fn path_filestat_set_times(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    length: u32,
    _accessed: u64,
    _modified: u64,
    flags: u32,
) -> Outcome {
    follows(lookup)?;
    check_time_flags(flags)?;
    refuse_change(ctx, memory, fd, Rights::PATH_FILESTAT_SET_TIMES, (path, length))
}

/// `path_link`: `rofs`.
#[expect(
    clippy::too_many_arguments,
    reason = "the standard gives the function these parameters"
)]
pub(super) fn path_link(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    old_fd: u32,
    lookup: u32,
    old_path: u32,
    old_length: u32,
    new_fd: u32,
    new_path: u32,
    new_length: u32,
) -> Outcome {
    follows(lookup)?;
    directory(ctx, old_fd, Rights::PATH_LINK_SOURCE)?;
    guest_path(memory, old_path, old_length)?;
    refuse_change(
        ctx,
        memory,
        new_fd,
        Rights::PATH_LINK_TARGET,
        (new_path, new_length),
    )
}

/// `path_remove_directory`: `rofs`.
pub(super) fn path_remove_directory(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    length: u32,
) -> Outcome {
    refuse_change(ctx, memory, fd, Rights::PATH_REMOVE_DIRECTORY, (path, length))
}

/// `path_rename`: `rofs`.
#[expect(
    clippy::too_many_arguments,
    reason = "the standard gives the function these parameters"
)]
pub(super) fn path_rename(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    old_fd: u32,
    old_path: u32,
    old_length: u32,
    new_fd: u32,
    new_path: u32,
    new_length: u32,
) -> Outcome {
    directory(ctx, old_fd, Rights::PATH_RENAME_SOURCE)?;
    guest_path(memory, old_path, old_length)?;
    refuse_change(
        ctx,
        memory,
        new_fd,
        Rights::PATH_RENAME_TARGET,
        (new_path, new_length),
    )
}

/// `path_symlink`: `rofs`.
pub(super) fn path_symlink(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    target: u32,
    target_length: u32,
    fd: u32,
    path: u32,
    length: u32,
) -> Outcome {
    memory.check(target, target_length)?;
    refuse_change(ctx, memory, fd, Rights::PATH_SYMLINK, (path, length))
}

/// `path_unlink_file`: `rofs`.
pub(super) fn path_unlink_file(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    length: u32,
) -> Outcome {
    refuse_change(ctx, memory, fd, Rights::PATH_UNLINK_FILE, (path, length))
}

/// Says no to whatever would change the file system, after the errors that come first.
fn refuse_change(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    right: Rights,
    path: (u32, u32),
) -> Outcome {
    directory(ctx, fd, right)?;
    guest_path(memory, path.0, path.1)?;
    Err(Errno::Rofs.into())
}

/// The directory that `fd` is, if it has `rights`.
fn directory(ctx: &WasiCtx, fd: u32, rights: Rights) -> Result<&OwnedFd, Errno> {
    let handle = directory_handle(ctx, fd)?;
    if ctx.table.get(fd)?.base.contains(rights) {
        Ok(handle)
    } else {
        Err(Errno::Notcapable)
    }
}

fn directory_handle(ctx: &WasiCtx, fd: u32) -> Result<&OwnedFd, Errno> {
    match &ctx.table.get(fd)?.resource {
        Resource::Directory(directory) => Ok(&directory.handle),
        Resource::File(_) | Resource::Stdin | Resource::Stdout | Resource::Stderr => Err(Errno::Notdir),
    }
}

/// What a directory needs for `path_open` with these flags.
fn rights_to_open(open_flags: u16) -> Rights {
    let mut rights = Rights::PATH_OPEN;
    if open_flags & oflags::CREAT != 0 {
        rights = rights.union(Rights::PATH_CREATE_FILE);
    }
    if open_flags & oflags::TRUNC != 0 {
        rights = rights.union(Rights::PATH_FILESTAT_SET_SIZE);
    }
    rights
}

fn follows(lookup: u32) -> Result<bool, Errno> {
    if lookup & !SYMLINK_FOLLOW != 0 {
        Err(Errno::Inval)
    } else {
        Ok(lookup != 0)
    }
}

/// A guest's path: UTF-8, relative, not empty, without NULs.
fn guest_path<'m>(memory: &'m GuestMemory<'_>, pointer: u32, length: u32) -> Result<&'m str, Errno> {
    let bytes = memory.slice(pointer, length)?;
    if bytes.len() > PATH_MAX {
        return Err(Errno::Nametoolong);
    }
    let path = std::str::from_utf8(bytes).map_err(|_| Errno::Ilseq)?;
    match path.as_bytes() {
        [] => Err(Errno::Noent),
        [b'/', ..] => Err(Errno::Notcapable),
        bytes if bytes.contains(&0) => Err(Errno::Inval),
        _ => Ok(path),
    }
}

/// Finds `path` beneath `directory` without opening it.
fn resolve(directory: &OwnedFd, path: &str, follow: bool) -> Result<(OwnedFd, Stat), Errno> {
    let handle = open_beneath(directory, path, OFlags::PATH, follow)?;
    let stat = fstat(&handle)?;
    Ok((handle, stat))
}

/// Opens a file that was found to be a regular one, and makes sure that it still is.
fn open_regular(directory: &OwnedFd, path: &str, follow: bool) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let handle = open_beneath(directory, path, flags, follow)?;
    match HostFileType::from_raw_mode(fstat(&handle)?.st_mode) {
        HostFileType::RegularFile => Ok(handle),
        _ => Err(Errno::Acces),
    }
}

fn open_beneath(directory: impl AsFd, path: &str, flags: OFlags, follow: bool) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut tries = RENAME_RACE_TRIES;
    loop {
        tries -= 1;
        match openat2(&directory, path, flags, Mode::empty(), confined) {
            Err(HostErrno::AGAIN | HostErrno::INTR) if tries > 0 => {}
            opened => return Ok(opened?),
        }
    }
}
