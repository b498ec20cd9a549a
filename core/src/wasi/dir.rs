//! Directories: the names of preopens, and listing.
//!
//! **Listing.** A cookie is an index into the entries of a directory, which are `.`, `..` and then the host's names in
//! the order of their bytes. The entries are read when the guest starts at cookie 0 (so that a rewind sees what is new)
//! and kept until another directory is listed; a guest that comes back later with a cookie finds them read again, in the
//! same order. Small indexes survive the `long` that C keeps them in, which the host's own cookies would not, and the
//! order does not depend on the file system. One context keeps one listing, of bounded length.
//!
//! ```text
//! buffer   | dirent 24 B | name | dirent | name | dirent | na|      the last entry is cut where the buffer ends
//! ```
//!
//! A buffer that is not filled to its end says that the directory has ended. `..` carries the number of the directory
//! itself: what lies above is not the guest's business. Names that are not UTF-8 are left out, since a guest could not
//! open them.

use std::mem::MaybeUninit;

use rustix::fs::{Mode, OFlags, RawDir, ResolveFlags, fstat};

use super::Errno;
use super::config::Prepared;
use super::ctx::WasiCtx;
use super::io::require;
use super::memory::GuestMemory;
use super::outcome::Outcome;
use super::table::{Directory, Resource};
use super::types::{FileType, Rights};

/// Bytes of a `$dirent`.
const DIRENT: usize = 24;

/// Fuel for an entry that is read from the host, kept and sorted.
const COST_OF_ENTRY: u64 = 200;

/// What is in a directory, in the order in which the guest is told.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Of the directory that was read.
    serial: u64,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    inode: u64,
    filetype: FileType,
}

/// `fd_prestat_get`: the length of a preopen's name. C libraries call it for 3, 4, ... until it is `badf`.
pub(super) fn fd_prestat_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    result: u32,
) -> Outcome {
    let name = preopen_name(ctx, fd)?;
    let mut record = [0; 8];
    let length = u32::try_from(name.len()).map_err(|_| Errno::Overflow)?;
    record[4..].copy_from_slice(&length.to_le_bytes());
    Ok(memory.write(result, &record)?)
}

/// `fd_prestat_dir_name`: the name of a preopen, without a NUL.
pub(super) fn fd_prestat_dir_name(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    path: u32,
    length: u32,
) -> Outcome {
    let name = preopen_name(ctx, fd)?;
    let buffer = memory.slice_mut(path, length)?;
    buffer
        .get_mut(..name.len())
        .ok_or(Errno::Nametoolong)?
        .copy_from_slice(name);
    Ok(())
}

/// `fd_readdir`: fills the buffer with the entries from `cookie` on.
pub(super) fn fd_readdir(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    buffer: u32,
    length: u32,
    cookie: u64,
    result: u32,
) -> Outcome {
    let descriptor = ctx.table.get(fd)?;
    require(descriptor, Rights::FD_READDIR)?;
    let Resource::Directory(directory) = &descriptor.resource else {
        return Err(Errno::Notdir.into());
    };
    memory.check(result, 4)?;
    memory.check(buffer, length)?;
    let known = ctx
        .listing
        .take()
        .filter(|known| cookie != 0 && known.serial == directory.serial);
    let listing = match known {
        Some(known) => known,
        None => {
            let read = Listing::read(&ctx.template, directory);
            // Of one that was refused, as many have been read as there may be.
            let entries = read
                .as_ref()
                .map_or(ctx.template.limits.directory_entries, |read| read.entries.len());
            ctx.charge_system_calls(4);
            ctx.charge(entries as u64 * COST_OF_ENTRY);
            read?
        }
    };
    let used = listing.fill(memory.slice_mut(buffer, length)?, cookie);
    ctx.charge_copied(used as u64);
    ctx.listing = Some(listing);
    Ok(memory.write_u32(result, u32::try_from(used).map_err(|_| Errno::Overflow)?)?)
}

impl Listing {
    fn read(prepared: &Prepared, directory: &Directory) -> Result<Self, Errno> {
        // Through a descriptor of its own: that of a preopen is shared, and a directory's position with it.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let host = rustix::fs::openat2(
            &directory.handle,
            c".",
            flags,
            Mode::empty(),
            ResolveFlags::BENEATH,
        )?;
        let stat = fstat(&host)?;
        let (device, itself) = (stat.st_dev, prepared.opaque_inode(stat.st_dev, stat.st_ino));
        let link = |name: &str| Entry {
            name: name.into(),
            inode: itself,
            filetype: FileType::Directory,
        };
        let mut entries = vec![link("."), link("..")];
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut read = RawDir::new(&host, &mut buffer);
        while let Some(entry) = read.next() {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() >= prepared.limits.directory_entries {
                return Err(Errno::Overflow);
            }
            let inode = prepared.opaque_inode(device, entry.ino());
            entries.push(Entry {
                name: name.into(),
                inode,
                filetype: entry.file_type().into(),
            });
        }
        entries[2..].sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            serial: directory.serial,
            entries,
        })
    }

    /// Writes entries from `cookie` on, the last one cut if need be, and tells how many bytes that made.
    fn fill(&self, buffer: &mut [u8], cookie: u64) -> usize {
        let first = usize::try_from(cookie).unwrap_or(usize::MAX);
        let mut used = 0;
        for (next, entry) in (1_u64..).zip(&self.entries).skip(first) {
            for part in [&entry.header(next)[..], entry.name.as_bytes()] {
                let room = &mut buffer[used..];
                let count = part.len().min(room.len());
                room[..count].copy_from_slice(&part[..count]);
                used += count;
            }
            if used == buffer.len() {
                break;
            }
        }
        used
    }
}

impl Entry {
    fn header(&self, next: u64) -> [u8; DIRENT] {
        let mut header = [0; DIRENT];
        header[0..8].copy_from_slice(&next.to_le_bytes());
        header[8..16].copy_from_slice(&self.inode.to_le_bytes());
        // A name on Linux has at most 255 bytes.
        let length = u32::try_from(self.name.len()).unwrap_or(u32::MAX);
        header[16..20].copy_from_slice(&length.to_le_bytes());
        header[20] = self.filetype as u8;
        header
    }
}

fn preopen_name(ctx: &WasiCtx, fd: u32) -> Result<&[u8], Errno> {
    match &ctx.table.get(fd)?.resource {
        Resource::Directory(Directory {
            preopen: Some(name), ..
        }) => Ok(name),
        _ => Err(Errno::Badf),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::testing::{Guest, TestDir, call};
    use crate::wasi::{WasiCtx, WasiFunction as F, WasiLimits};

    /// Lists as a C library does: from the cookie of the last whole entry, with a buffer of `length` bytes.
    fn list(guest: &mut Guest, fd: u64, length: u64) -> Vec<(String, u8)> {
        let (mut found, mut cookie) = (Vec::new(), 0);
        loop {
            assert_eq!(
                call(guest, F::FdReaddir, &[fd, 1024, length, cookie, 0]),
                Errno::Success
            );
            let used = u64::from(guest.u32(0));
            let mut at = 0;
            while at + DIRENT as u64 <= used {
                let entry = 1024 + usize::try_from(at).unwrap();
                let name_length = u64::from(guest.u32(entry + 16));
                let name = &guest.memory[entry + DIRENT..];
                at += DIRENT as u64 + name_length;
                if at > used {
                    break;
                }
                let name = std::str::from_utf8(&name[..usize::try_from(name_length).unwrap()]).unwrap();
                found.push((name.to_owned(), guest.memory[entry + 20]));
                cookie = guest.u64(entry);
            }
            if used < length {
                return found;
            }
            assert!(found.len() < 1000, "the listing does not end");
        }
    }

    fn populated() -> (TestDir, Guest) {
        let dir = TestDir::new();
        for index in 0..20 {
            dir.file(&format!("file{index:02}"), b"");
        }
        dir.directory("sub");
        dir.symlink("link", "file00");
        let guest = Guest::preopened(&dir);
        (dir, guest)
    }

    #[test]
    fn every_size_of_buffer_finds_the_same_entries_in_order() {
        let (_dir, mut guest) = populated();
        let mut expected = vec![(".".to_owned(), 3), ("..".to_owned(), 3)];
        expected.extend((0..20).map(|index| (format!("file{index:02}"), 4)));
        expected.extend([("link".to_owned(), 7), ("sub".to_owned(), 3)]);
        for length in [31, 32, 33, 55, 64, 100, 333, 4096] {
            assert_eq!(list(&mut guest, 3, length), expected, "with {length} bytes");
        }
    }

    #[test]
    fn the_last_entry_is_cut_exactly_where_the_buffer_ends() {
        let (_dir, mut guest) = populated();
        guest.memory[1024..2048].fill(0xaa);
        assert_eq!(
            call(&mut guest, F::FdReaddir, &[3, 1024, 30, 2, 0]),
            Errno::Success
        );
        assert_eq!(guest.u32(0), 30);
        assert_eq!((guest.u64(1024), guest.u32(1040)), (3, 6));
        assert_eq!(guest.memory[1044..1048], [4, 0, 0, 0]);
        assert_eq!(&guest.memory[1048..1055], b"file00\xaa");
        assert_eq!(
            call(&mut guest, F::FdReaddir, &[3, 1024, 10, 0, 0]),
            Errno::Success
        );
        assert_eq!(guest.u32(0), 10);
        assert_eq!(
            call(&mut guest, F::FdReaddir, &[3, 1024, 0, 0, 0]),
            Errno::Success
        );
        assert_eq!(guest.u32(0), 0);
    }

    #[test]
    fn a_cookie_past_the_end_finds_nothing() {
        let (_dir, mut guest) = populated();
        for cookie in [24, 1 << 40, u64::MAX] {
            assert_eq!(
                call(&mut guest, F::FdReaddir, &[3, 1024, 64, cookie, 0]),
                Errno::Success
            );
            assert_eq!(guest.u32(0), 0);
        }
    }

    #[test]
    fn two_directories_listed_in_turn_do_not_disturb_each_other() {
        let (_dir, mut guest) = populated();
        let sub = guest.open_directory("sub");
        assert_eq!(
            call(&mut guest, F::FdReaddir, &[3, 1024, 64, 5, 0]),
            Errno::Success
        );
        let before = guest.memory[1024..1088].to_vec();
        assert_eq!(list(&mut guest, sub, 4096).len(), 2);
        assert_eq!(
            call(&mut guest, F::FdReaddir, &[3, 1024, 64, 5, 0]),
            Errno::Success
        );
        assert_eq!(before, &guest.memory[1024..1088]);
    }

    #[test]
    fn a_rewind_sees_what_is_new() {
        let (dir, mut guest) = populated();
        let before = list(&mut guest, 3, 4096).len();
        dir.file("zzz", b"");
        assert_eq!(list(&mut guest, 3, 4096).len(), before + 1);
    }

    #[test]
    fn names_that_a_guest_could_not_say_are_left_out() {
        use std::os::unix::ffi::OsStrExt;
        let dir = TestDir::new();
        std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"bad\xff")), b"").unwrap();
        let mut guest = Guest::preopened(&dir);
        assert_eq!(list(&mut guest, 3, 4096).len(), 2);
    }

    #[test]
    fn a_directory_beyond_the_limit_is_refused() {
        let dir = TestDir::new();
        dir.file("a", b"");
        dir.file("b", b"");
        let limits = WasiLimits {
            directory_entries: 3,
            ..WasiLimits::default()
        };
        let builder = WasiCtx::builder()
            .limits(limits)
            .preopen_read_only(dir.path(), "/")
            .unwrap();
        let mut guest = Guest::new(builder.build().unwrap());
        assert_eq!(
            call(&mut guest, F::FdReaddir, &[3, 1024, 64, 0, 0]),
            Errno::Overflow
        );
    }

    #[test]
    fn what_is_no_directory_cannot_be_listed() {
        let (_dir, mut guest) = populated();
        let file = guest.open("file00");
        assert_eq!(
            call(&mut guest, F::FdReaddir, &[file, 1024, 64, 0, 0]),
            Errno::Notcapable
        );
        assert_eq!(
            call(&mut guest, F::FdReaddir, &[0, 1024, 64, 0, 0]),
            Errno::Notcapable
        );
        assert_eq!(call(&mut guest, F::FdReaddir, &[99, 1024, 64, 0, 0]), Errno::Badf);
        let end = guest.memory.len() as u64;
        assert_eq!(
            call(&mut guest, F::FdReaddir, &[3, end - 63, 64, 0, 0]),
            Errno::Fault
        );
        assert_eq!(
            call(&mut guest, F::FdReaddir, &[3, 1024, 64, 0, end - 3]),
            Errno::Fault
        );
    }

    #[test]
    fn preopens_tell_their_names_and_nothing_else_does() {
        let (_dir, mut guest) = populated();
        assert_eq!(call(&mut guest, F::FdPrestatGet, &[3, 8]), Errno::Success);
        assert_eq!((guest.u32(8), guest.u32(12)), (0, 1));
        assert_eq!(call(&mut guest, F::FdPrestatDirName, &[3, 64, 1]), Errno::Success);
        assert_eq!(&guest.memory[64..66], b"/\0");
        assert_eq!(
            call(&mut guest, F::FdPrestatDirName, &[3, 64, 0]),
            Errno::Nametoolong
        );
        let sub = guest.open_directory("sub");
        for fd in [0, 1, 2, sub, 99] {
            assert_eq!(call(&mut guest, F::FdPrestatGet, &[fd, 8]), Errno::Badf);
            assert_eq!(call(&mut guest, F::FdPrestatDirName, &[fd, 64, 1]), Errno::Badf);
        }
        let end = guest.memory.len() as u64;
        assert_eq!(call(&mut guest, F::FdPrestatGet, &[3, end - 7]), Errno::Fault);
        assert_eq!(call(&mut guest, F::FdPrestatDirName, &[3, end, 1]), Errno::Fault);
    }
}
