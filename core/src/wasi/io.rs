//! Reading, writing and seeking.
//!
//! A call checks everything that it was given before any byte moves: the descriptor, the right, the whole I/O vector, the
//! place of the result. Then it works region by region and stops at the first that is not filled; an error after the
//! first byte is a short count, as in POSIX.
//!
//! Host files are read synchronously on the calling thread, with `pread` straight into linear memory. One call moves at
//! most [`FILE_PORTION`] bytes, so that a guest cannot hold its thread with one enormous read; a longer one is short,
//! which every reader must expect. Nothing is ever written to a host file.

use rustix::fs::fstat;

use super::Errno;
use super::ctx::WasiCtx;
use super::memory::{GuestMemory, IoVector, touch};
use super::outcome::{Outcome, Refusal};
use super::table::{Descriptor, Resource};
use super::types::Rights;

/// The most bytes of a file that one call reads.
pub(super) const FILE_PORTION: u32 = 1 << 20;

/// `fd_read`: reads at the descriptor's position and moves it.
pub(super) fn fd_read(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    vector: u32,
    count: u32,
    result: u32,
) -> Outcome {
    let descriptor = ctx.table.get_mut(fd)?;
    require(descriptor, Rights::FD_READ)?;
    memory.check(result, 4)?;
    let vector = memory.io_vector(vector, count)?;
    let total = match &mut descriptor.resource {
        Resource::Stdin => scatter(memory, vector, u32::MAX, |into| ctx.stdin.read(into))?,
        Resource::File(file) => scatter(memory, vector, FILE_PORTION, |into| {
            let count = pread_retrying(&file.handle, into, file.position)?;
            file.position = file.position.saturating_add(count as u64);
            Ok(count)
        })?,
        Resource::Stdout | Resource::Stderr | Resource::Directory(_) => return Err(Errno::Badf.into()),
    };
    let reads = match descriptor.resource {
        Resource::File(_) => u64::from(vector.count()),
        _ => 0,
    };
    charge(ctx, vector, reads, total);
    Ok(memory.write_u32(result, total)?)
}

/// `fd_pread`: reads a file at `offset` and leaves the position alone.
pub(super) fn fd_pread(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    vector: u32,
    count: u32,
    offset: u64,
    result: u32,
) -> Outcome {
    let descriptor = ctx.table.get(fd)?;
    seekable(descriptor)?;
    require(descriptor, Rights::FD_READ.union(Rights::FD_SEEK))?;
    memory.check(result, 4)?;
    let vector = memory.io_vector(vector, count)?;
    let Resource::File(file) = &descriptor.resource else {
        return Err(Errno::Badf.into());
    };
    let mut position = in_file(i128::from(offset))?;
    let total = scatter(memory, vector, FILE_PORTION, |into| {
        let count = pread_retrying(&file.handle, into, position)?;
        position = position.saturating_add(count as u64);
        Ok(count)
    })?;
    charge(ctx, vector, u64::from(vector.count()), total);
    Ok(memory.write_u32(result, total)?)
}

/// `fd_write`: writes to a standard stream.
pub(super) fn fd_write(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    vector: u32,
    count: u32,
    result: u32,
) -> Outcome {
    let descriptor = ctx.table.get(fd)?;
    require(descriptor, Rights::FD_WRITE)?;
    memory.check(result, 4)?;
    let vector = memory.io_vector(vector, count)?;
    let stream = match descriptor.resource {
        Resource::Stdout => &mut ctx.stdout,
        Resource::Stderr => &mut ctx.stderr,
        Resource::Stdin | Resource::Directory(_) | Resource::File(_) => return Err(Errno::Badf.into()),
    };
    let total = gather(memory, vector, |bytes| stream.write(bytes))?;
    charge(ctx, vector, 0, total);
    Ok(memory.write_u32(result, total)?)
}

/// `fd_pwrite`: no stream has positions, and no file is open for writing.
pub(super) fn fd_pwrite(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    vector: u32,
    count: u32,
    _offset: u64,
    result: u32,
) -> Outcome {
    let descriptor = ctx.table.get(fd)?;
    seekable(descriptor)?;
    require(descriptor, Rights::FD_WRITE.union(Rights::FD_SEEK))?;
    memory.check(result, 4)?;
    memory.io_vector(vector, count)?;
    Err(Errno::Rofs.into())
}

/// `fd_seek`: moves the position. It may lie past the end, but never before the start.
pub(super) fn fd_seek(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    fd: u32,
    offset: u64,
    whence: u32,
    result: u32,
) -> Outcome {
    let descriptor = ctx.table.get_mut(fd)?;
    seekable(descriptor)?;
    let offset = i128::from(offset.cast_signed());
    let (current, end) = (1, 2);
    let only_tells = whence == current && offset == 0 && descriptor.base.contains(Rights::FD_TELL);
    if !only_tells {
        require(descriptor, Rights::FD_SEEK)?;
    }
    memory.check(result, 8)?;
    let Resource::File(file) = &mut descriptor.resource else {
        return Err(Errno::Badf.into());
    };
    let base = match whence {
        0 => 0,
        _ if whence == current => i128::from(file.position),
        _ if whence == end => i128::from(fstat(&file.handle)?.st_size),
        _ => return Err(Errno::Inval.into()),
    };
    file.position = in_file(base + offset)?;
    Ok(memory.write_u64(result, file.position)?)
}

/// `fd_tell`: the position.
pub(super) fn fd_tell(ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, fd: u32, result: u32) -> Outcome {
    let descriptor = ctx.table.get(fd)?;
    seekable(descriptor)?;
    if !descriptor.base.contains(Rights::FD_SEEK) {
        require(descriptor, Rights::FD_TELL)?;
    }
    let Resource::File(file) = &descriptor.resource else {
        return Err(Errno::Badf.into());
    };
    Ok(memory.write_u64(result, file.position)?)
}

/// Charges for an I/O vector that was walked, the system calls that it made, and the bytes that they moved.
fn charge(ctx: &mut WasiCtx, vector: IoVector, system_calls: u64, bytes: u32) {
    ctx.charge(u64::from(vector.count()) * 8);
    ctx.charge_system_calls(system_calls);
    ctx.charge_copied(u64::from(bytes));
}

/// Refuses with `notcapable` unless the descriptor has all of `rights`; a directory that is read as a file is `isdir`.
pub(super) fn require(descriptor: &Descriptor, rights: Rights) -> Result<(), Errno> {
    let reads = rights.intersects(Rights::FD_READ);
    match descriptor.resource {
        Resource::Directory(_) if reads => Err(Errno::Isdir),
        _ if descriptor.base.contains(rights) => Ok(()),
        _ => Err(Errno::Notcapable),
    }
}

/// Streams have no position: that is said before rights are looked at, so that C libraries report `ESPIPE`.
fn seekable(descriptor: &Descriptor) -> Result<(), Errno> {
    match descriptor.resource {
        Resource::Stdin | Resource::Stdout | Resource::Stderr => Err(Errno::Spipe),
        Resource::Directory(_) => Err(Errno::Isdir),
        Resource::File(_) => Ok(()),
    }
}

/// A position within what files can have: 0 to 2^63 - 1.
fn in_file(position: i128) -> Result<u64, Errno> {
    if position < 0 {
        return Err(Errno::Inval);
    }
    i64::try_from(position)
        .map(i64::cast_unsigned)
        .map_err(|_| Errno::Overflow)
}

fn pread_retrying(file: &std::os::fd::OwnedFd, into: &mut [u8], position: u64) -> Result<usize, Errno> {
    if i64::try_from(position).is_err() {
        return Err(Errno::Overflow);
    }
    touch(into);
    Ok(rustix::io::retry_on_intr(|| {
        rustix::io::pread(file, &mut *into, position)
    })?)
}

/// Fills the regions of `vector` in order, at most `budget` bytes, until `read` gives less than it was asked for.
fn scatter(
    memory: &mut GuestMemory<'_>,
    vector: IoVector,
    budget: u32,
    mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
) -> Result<u32, Errno> {
    let mut total = 0;
    for index in 0..vector.count() {
        let mut fill = || -> Result<(u32, bool), Errno> {
            let (pointer, length) = vector.region(memory, index)?;
            let into = memory.slice_mut(pointer, length.min(budget - total))?;
            let count = if into.is_empty() { 0 } else { read(into)? };
            let count = u32::try_from(count).map_err(|_| Errno::Overflow)?;
            Ok((count, count == length))
        };
        match fill() {
            Ok((count, full)) => {
                total += count;
                if !full {
                    break;
                }
            }
            Err(errno) if total == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(total)
}

/// Hands the regions of `vector` to `write` in order, until it takes less than it was given.
fn gather(
    memory: &GuestMemory<'_>,
    vector: IoVector,
    mut write: impl FnMut(&[u8]) -> Outcome<usize>,
) -> Outcome<u32> {
    let mut total = 0;
    for index in 0..vector.count() {
        let (pointer, length) = vector.region(memory, index)?;
        // The count that goes back has 32 bits.
        let bytes = memory.slice(pointer, length.min(u32::MAX - total))?;
        let taken = match write(bytes) {
            Err(Refusal::Errno(_)) if total > 0 => break,
            taken => u32::try_from(taken?).map_err(|_| Errno::Overflow)?,
        };
        total += taken;
        if taken < length {
            break;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wasi::testing::{Guest, TestDir, call};
    use crate::wasi::{Fault, Input, Output, OutputOverflow, OutputStream, Stop, WasiCtx, WasiFunction as F};

    fn with_limit(limit: usize, overflow: OutputOverflow) -> Guest {
        let builder = WasiCtx::builder().stdin(Input::Bytes(Bytes::from_static(b"request body")));
        let builder = builder
            .stdout(Output::Buffer { limit })
            .stderr(Output::Buffer { limit });
        Guest::new(builder.output_overflow(overflow).build().unwrap())
    }

    fn with_file(content: &[u8]) -> (TestDir, Guest, u64) {
        let dir = TestDir::new();
        dir.file("file", content);
        let mut guest = Guest::preopened(&dir);
        let fd = guest.open("file");
        (dir, guest, fd)
    }

    #[test]
    fn stdin_is_scattered_over_the_regions_in_order() {
        let mut guest = with_limit(10, OutputOverflow::Errno);
        guest.vector(0, &[(100, 3), (200, 0), (300, 100)]);
        assert_eq!(call(&mut guest, F::FdRead, &[0, 0, 3, 64]), Errno::Success);
        assert_eq!(guest.u32(64), 12);
        assert_eq!(&guest.memory[100..103], b"req");
        assert_eq!(&guest.memory[300..309], b"uest body");
        assert_eq!(call(&mut guest, F::FdRead, &[0, 0, 3, 64]), Errno::Success);
        assert_eq!(guest.u32(64), 0);
    }

    #[test]
    fn both_outputs_are_gathered_and_kept_apart() {
        let mut guest = with_limit(64, OutputOverflow::Errno);
        guest.memory[100..112].copy_from_slice(b"hello, world");
        guest.vector(0, &[(100, 5), (0, 0), (107, 5)]);
        assert_eq!(call(&mut guest, F::FdWrite, &[1, 0, 3, 64]), Errno::Success);
        assert_eq!(guest.u32(64), 10);
        assert_eq!(call(&mut guest, F::FdWrite, &[2, 0, 1, 64]), Errno::Success);
        assert_eq!(guest.ctx.stdout(), b"helloworld");
        assert_eq!(guest.ctx.take_stderr(), b"hello");
    }

    #[test]
    fn a_flood_is_cut_at_its_limit_or_ends_the_run() {
        let mut guest = with_limit(7, OutputOverflow::Errno);
        guest.vector(0, &[(100, 5), (100, 5)]);
        assert_eq!(call(&mut guest, F::FdWrite, &[1, 0, 2, 64]), Errno::Success);
        assert_eq!(guest.u32(64), 7);
        assert_eq!(call(&mut guest, F::FdWrite, &[1, 0, 2, 64]), Errno::Nospc);

        let mut guest = with_limit(7, OutputOverflow::Stop);
        guest.vector(0, &[(100, 5), (100, 5)]);
        let stop = F::FdWrite.call(&mut guest.ctx, &mut guest.memory, &mut [1, 0, 2, 64]);
        let fault = Fault::OutputLimit {
            stream: OutputStream::Stdout,
            limit: 7,
        };
        assert_eq!(stop, Err(Stop::Fault(fault)));
        assert_eq!(guest.ctx.stdout().len(), 7);
    }

    #[test]
    fn the_same_memory_a_thousand_times_costs_no_more_than_the_limit() {
        let mut guest = with_limit(1 << 20, OutputOverflow::Errno);
        guest.memory = vec![b'x'; 1 << 20];
        guest.vector(0, &[(16_384, (1 << 20) - 16_384); 1024]);
        assert_eq!(call(&mut guest, F::FdWrite, &[1, 0, 1024, 8192]), Errno::Success);
        assert_eq!(guest.u32(8192), 1 << 20);
        assert_eq!(guest.ctx.stdout().len(), 1 << 20);
    }

    #[test]
    fn a_discarded_flood_counts_to_what_32_bits_hold() {
        let mut guest = Guest::bare();
        guest.memory = vec![0; 8 << 20];
        guest.vector(0, &[(0, 8 << 20); 1024]);
        assert_eq!(call(&mut guest, F::FdWrite, &[1, 0, 1024, 8192]), Errno::Success);
        assert_eq!(guest.u32(8192), u32::MAX);
    }

    #[test]
    fn nothing_is_consumed_when_a_pointer_is_bad() {
        let mut guest = with_limit(10, OutputOverflow::Errno);
        let end = u32::try_from(guest.memory.len()).unwrap();
        guest.vector(0, &[(100, 3), (end, 1)]);
        assert_eq!(call(&mut guest, F::FdRead, &[0, 0, 2, 64]), Errno::Fault);
        assert_eq!(call(&mut guest, F::FdWrite, &[1, 0, 2, 64]), Errno::Fault);
        let past = u64::from(end) - 3;
        assert_eq!(call(&mut guest, F::FdRead, &[0, 0, 1, past]), Errno::Fault);
        assert_eq!(call(&mut guest, F::FdRead, &[0, 0, 1025, 64]), Errno::Inval);
        assert_eq!(
            call(&mut guest, F::FdRead, &[0, u64::from(u32::MAX), 1, 64]),
            Errno::Fault
        );
        assert_eq!((guest.ctx.stdin.available(), guest.ctx.stdout().len()), (12, 0));
    }

    #[test]
    fn a_read_that_overwrites_its_own_vector_is_checked_as_it_goes() {
        let body = Bytes::from(vec![0xff; 64]);
        let mut guest = Guest::new(WasiCtx::builder().stdin(Input::Bytes(body)).build().unwrap());
        guest.vector(0, &[(8, 8), (100, 8)]);
        assert_eq!(call(&mut guest, F::FdRead, &[0, 0, 2, 64]), Errno::Success);
        assert_eq!(guest.u32(64), 8);
    }

    #[test]
    fn a_stream_cannot_be_used_the_other_way_round_nor_sought() {
        let mut guest = with_limit(10, OutputOverflow::Errno);
        assert_eq!(call(&mut guest, F::FdRead, &[1, 0, 0, 64]), Errno::Notcapable);
        assert_eq!(call(&mut guest, F::FdWrite, &[0, 0, 0, 64]), Errno::Notcapable);
        for fd in 0..3 {
            assert_eq!(call(&mut guest, F::FdSeek, &[fd, 0, 1, 64]), Errno::Spipe);
            assert_eq!(call(&mut guest, F::FdTell, &[fd, 64]), Errno::Spipe);
            assert_eq!(call(&mut guest, F::FdPread, &[fd, 0, 0, 0, 64]), Errno::Spipe);
            assert_eq!(call(&mut guest, F::FdPwrite, &[fd, 0, 0, 0, 64]), Errno::Spipe);
        }
        assert_eq!(call(&mut guest, F::FdRead, &[3, 0, 0, 64]), Errno::Badf);
        assert_eq!(
            call(&mut guest, F::FdTell, &[u64::from(u32::MAX), 64]),
            Errno::Badf
        );
    }

    #[test]
    fn a_file_is_read_from_its_position_and_at_an_offset() {
        let (_dir, mut guest, fd) = with_file(b"0123456789");
        guest.vector(0, &[(100, 2), (110, 2)]);
        assert_eq!(call(&mut guest, F::FdRead, &[fd, 0, 2, 64]), Errno::Success);
        assert_eq!((guest.u32(64), &guest.memory[110..112]), (4, &b"23"[..]));
        assert_eq!(call(&mut guest, F::FdPread, &[fd, 0, 2, 7, 64]), Errno::Success);
        assert_eq!((guest.u32(64), &guest.memory[110..111]), (3, &b"9"[..]));
        assert_eq!(call(&mut guest, F::FdTell, &[fd, 72]), Errno::Success);
        assert_eq!(guest.u64(72), 4);
        assert_eq!(
            call(&mut guest, F::FdPread, &[fd, 0, 2, 1 << 63, 64]),
            Errno::Overflow
        );
        assert_eq!(
            call(&mut guest, F::FdPread, &[fd, 0, 2, 1 << 62, 64]),
            Errno::Success
        );
        assert_eq!(guest.u32(64), 0);
    }

    #[test]
    fn seeking_goes_from_all_three_bases_and_never_before_the_start() {
        let (_dir, mut guest, fd) = with_file(b"0123456789");
        let minus = |n: i64| n.cast_unsigned();
        let mut seek = |offset, whence| match call(&mut guest, F::FdSeek, &[fd, offset, whence, 64]) {
            Errno::Success => Ok(guest.u64(64)),
            errno => Err(errno),
        };
        assert_eq!(seek(4, 0), Ok(4));
        assert_eq!(seek(minus(-1), 1), Ok(3));
        assert_eq!(seek(minus(-2), 2), Ok(8));
        assert_eq!(seek(100, 2), Ok(110));
        assert_eq!(seek(minus(-111), 1), Err(Errno::Inval));
        assert_eq!(seek(minus(-1), 0), Err(Errno::Inval));
        assert_eq!(seek(minus(i64::MAX), 1), Err(Errno::Overflow));
        assert_eq!(seek(0, 3), Err(Errno::Inval));
        assert_eq!(seek(0, u64::from(u32::MAX)), Err(Errno::Inval));
        assert_eq!(seek(0, 1), Ok(110));
    }

    #[test]
    fn a_file_is_never_written() {
        let (dir, mut guest, fd) = with_file(b"content");
        guest.vector(0, &[(100, 2)]);
        assert_eq!(call(&mut guest, F::FdWrite, &[fd, 0, 1, 64]), Errno::Notcapable);
        assert_eq!(
            call(&mut guest, F::FdPwrite, &[fd, 0, 1, 0, 64]),
            Errno::Notcapable
        );
        assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"content");
    }

    #[test]
    fn one_call_reads_no_more_of_a_file_than_a_portion() {
        let length = FILE_PORTION + 1000;
        let (_dir, mut guest, fd) = with_file(&vec![b'z'; length as usize]);
        guest.memory = vec![0; length as usize + 4096];
        guest.vector(0, &[(4096, 10), (4106, length - 10)]);
        assert_eq!(call(&mut guest, F::FdRead, &[fd, 0, 2, 64]), Errno::Success);
        assert_eq!(guest.u32(64), FILE_PORTION);
        assert_eq!(call(&mut guest, F::FdRead, &[fd, 0, 2, 64]), Errno::Success);
        assert_eq!(guest.u32(64), 1000);
    }
}
