//! The plain data of preview 1: rights, flags, file types, and the records that cross linear memory.
//!
//! Sizes and offsets are those of `typenames.witx` under the wasm32 ABI, little-endian, with every padding byte written
//! as zero:
//!
//! ```text
//! fdstat   (24)  0 filetype u8 | 2 flags u16 | 8 rights_base u64 | 16 rights_inheriting u64
//! filestat (64)  0 dev u64 | 8 ino u64 | 16 filetype u8 | 24 nlink u64 | 32 size u64 | 40 atim | 48 mtim | 56 ctim
//! dirent   (24)  0 next u64 | 8 ino u64 | 16 namlen u32 | 20 type u8        (the name follows, unterminated)
//! prestat   (8)  0 tag u8 (0 = directory) | 4 name_len u32
//! ```

use rustix::fs::FileType as HostFileType;

use super::Errno;

/// The rights of a descriptor (`$rights`): one bit per operation that it permits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights(pub(super) u64);

impl Rights {
    pub(super) const FD_DATASYNC: Self = Self(1 << 0);
    pub(super) const FD_READ: Self = Self(1 << 1);
    pub(super) const FD_SEEK: Self = Self(1 << 2);
    pub(super) const FD_FDSTAT_SET_FLAGS: Self = Self(1 << 3);
    pub(super) const FD_SYNC: Self = Self(1 << 4);
    pub(super) const FD_TELL: Self = Self(1 << 5);
    pub(super) const FD_WRITE: Self = Self(1 << 6);
    pub(super) const FD_ADVISE: Self = Self(1 << 7);
    pub(super) const FD_ALLOCATE: Self = Self(1 << 8);
    pub(super) const PATH_CREATE_DIRECTORY: Self = Self(1 << 9);
    pub(super) const PATH_CREATE_FILE: Self = Self(1 << 10);
    pub(super) const PATH_LINK_SOURCE: Self = Self(1 << 11);
    pub(super) const PATH_LINK_TARGET: Self = Self(1 << 12);
    pub(super) const PATH_OPEN: Self = Self(1 << 13);
    pub(super) const FD_READDIR: Self = Self(1 << 14);
    pub(super) const PATH_READLINK: Self = Self(1 << 15);
    pub(super) const PATH_RENAME_SOURCE: Self = Self(1 << 16);
    pub(super) const PATH_RENAME_TARGET: Self = Self(1 << 17);
    pub(super) const PATH_FILESTAT_GET: Self = Self(1 << 18);
    pub(super) const PATH_FILESTAT_SET_SIZE: Self = Self(1 << 19);
    pub(super) const PATH_FILESTAT_SET_TIMES: Self = Self(1 << 20);
    pub(super) const FD_FILESTAT_GET: Self = Self(1 << 21);
    pub(super) const FD_FILESTAT_SET_SIZE: Self = Self(1 << 22);
    pub(super) const FD_FILESTAT_SET_TIMES: Self = Self(1 << 23);
    pub(super) const PATH_SYMLINK: Self = Self(1 << 24);
    pub(super) const PATH_REMOVE_DIRECTORY: Self = Self(1 << 25);
    pub(super) const PATH_UNLINK_FILE: Self = Self(1 << 26);
    pub(super) const POLL_FD_READWRITE: Self = Self(1 << 27);

    /// Every right that the standard defines, the two of sockets (28 and 29) included.
    pub(super) const ALL: Self = Self((1 << 30) - 1);

    /// What needs a file to be open for writing: asking for one of these at `path_open` is asking to write.
    pub(super) const WRITING: Self =
        Self(Self::FD_WRITE.0 | Self::FD_ALLOCATE.0 | Self::FD_FILESTAT_SET_SIZE.0);

    /// What applies to a regular file that is open for reading.
    pub(super) const REGULAR_FILE: Self = Self(
        Self::FD_DATASYNC.0
            | Self::FD_READ.0
            | Self::FD_SEEK.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_SYNC.0
            | Self::FD_TELL.0
            | Self::FD_ADVISE.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_FILESTAT_SET_TIMES.0
            | Self::POLL_FD_READWRITE.0,
    );

    /// What applies to a directory.
    pub(super) const DIRECTORY: Self = Self(
        Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_SYNC.0
            | Self::FD_DATASYNC.0
            | Self::PATH_CREATE_DIRECTORY.0
            | Self::PATH_CREATE_FILE.0
            | Self::PATH_LINK_SOURCE.0
            | Self::PATH_LINK_TARGET.0
            | Self::PATH_OPEN.0
            | Self::FD_READDIR.0
            | Self::PATH_READLINK.0
            | Self::PATH_RENAME_SOURCE.0
            | Self::PATH_RENAME_TARGET.0
            | Self::PATH_FILESTAT_GET.0
            | Self::PATH_FILESTAT_SET_SIZE.0
            | Self::PATH_FILESTAT_SET_TIMES.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_FILESTAT_SET_TIMES.0
            | Self::PATH_SYMLINK.0
            | Self::PATH_REMOVE_DIRECTORY.0
            | Self::PATH_UNLINK_FILE.0,
    );

    /// What applies to a stream that is read.
    pub(super) const INPUT: Self = Self(
        Self::FD_READ.0 | Self::FD_FDSTAT_SET_FLAGS.0 | Self::FD_FILESTAT_GET.0 | Self::POLL_FD_READWRITE.0,
    );

    /// What applies to a stream that is written.
    pub(super) const OUTPUT: Self = Self(
        Self::FD_WRITE.0 | Self::FD_FDSTAT_SET_FLAGS.0 | Self::FD_FILESTAT_GET.0 | Self::POLL_FD_READWRITE.0,
    );

    /// Whether every right of `other` is among these.
    pub(super) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The rights that both have.
    pub(super) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The rights of either.
    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether at least one right of `other` is among these.
    pub(super) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Descriptor flags (`$fdflags`). Append and non-blocking are remembered and reported; they change nothing about
/// streams that never block the guest and files that are never written.
pub(super) mod fdflags {
    pub(in super::super) const APPEND: u16 = 1 << 0;
    pub(in super::super) const DSYNC: u16 = 1 << 1;
    pub(in super::super) const NONBLOCK: u16 = 1 << 2;
    pub(in super::super) const RSYNC: u16 = 1 << 3;
    pub(in super::super) const SYNC: u16 = 1 << 4;
    pub(in super::super) const SETTABLE: u16 = APPEND | NONBLOCK;
    pub(in super::super) const ALL: u16 = APPEND | DSYNC | NONBLOCK | RSYNC | SYNC;
}

/// Flags of `path_open` (`$oflags`).
pub(super) mod oflags {
    pub(in super::super) const CREAT: u16 = 1 << 0;
    pub(in super::super) const DIRECTORY: u16 = 1 << 1;
    pub(in super::super) const EXCL: u16 = 1 << 2;
    pub(in super::super) const TRUNC: u16 = 1 << 3;
    pub(in super::super) const ALL: u16 = CREAT | DIRECTORY | EXCL | TRUNC;
}

/// `$filetype`: what a descriptor or a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FileType {
    Unknown = 0,
    BlockDevice = 1,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    SocketStream = 6,
    SymbolicLink = 7,
}

impl From<HostFileType> for FileType {
    /// The standard has no word for a FIFO: it is `unknown`.
    fn from(host: HostFileType) -> Self {
        match host {
            HostFileType::RegularFile => Self::RegularFile,
            HostFileType::Directory => Self::Directory,
            HostFileType::Symlink => Self::SymbolicLink,
            HostFileType::Socket => Self::SocketStream,
            HostFileType::CharacterDevice => Self::CharacterDevice,
            HostFileType::BlockDevice => Self::BlockDevice,
            _ => Self::Unknown,
        }
    }
}

/// `$fdstat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FdStat {
    pub(super) filetype: FileType,
    pub(super) flags: u16,
    pub(super) base: Rights,
    pub(super) inheriting: Rights,
}

impl FdStat {
    pub(super) fn encode(&self) -> [u8; 24] {
        let mut record = [0; 24];
        record[0] = self.filetype as u8;
        record[2..4].copy_from_slice(&self.flags.to_le_bytes());
        record[8..16].copy_from_slice(&self.base.0.to_le_bytes());
        record[16..24].copy_from_slice(&self.inheriting.0.to_le_bytes());
        record
    }
}

/// `$filestat`. Timestamps are nanoseconds since 1970; what lies before is reported as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStat {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) filetype: FileType,
    pub(super) links: u64,
    pub(super) size: u64,
    pub(super) accessed_ns: u64,
    pub(super) modified_ns: u64,
    pub(super) changed_ns: u64,
}

impl FileStat {
    /// The attributes of a stream: it has a type and nothing else.
    pub(super) const fn stream(filetype: FileType) -> Self {
        Self {
            device: 0,
            inode: 0,
            filetype,
            links: 0,
            size: 0,
            accessed_ns: 0,
            modified_ns: 0,
            changed_ns: 0,
        }
    }

    pub(super) fn encode(&self) -> [u8; 64] {
        let mut record = [0; 64];
        record[0..8].copy_from_slice(&self.device.to_le_bytes());
        record[8..16].copy_from_slice(&self.inode.to_le_bytes());
        record[16] = self.filetype as u8;
        record[24..32].copy_from_slice(&self.links.to_le_bytes());
        record[32..40].copy_from_slice(&self.size.to_le_bytes());
        record[40..48].copy_from_slice(&self.accessed_ns.to_le_bytes());
        record[48..56].copy_from_slice(&self.modified_ns.to_le_bytes());
        record[56..64].copy_from_slice(&self.changed_ns.to_le_bytes());
        record
    }
}

/// A 16-bit flag set that a guest passed as an i32: bits outside of `known` are `inval`.
pub(super) fn flags16(raw: u32, known: u16) -> Result<u16, Errno> {
    let flags = u16::try_from(raw).map_err(|_| Errno::Inval)?;
    if flags & !known != 0 {
        Err(Errno::Inval)
    } else {
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdstat_lies_in_memory_as_the_standard_says() {
        let stat = FdStat {
            filetype: FileType::Directory,
            flags: 0x0405,
            base: Rights(0x1122_3344_5566_7788),
            inheriting: Rights(9),
        };
        let record = stat.encode();
        assert_eq!(record[..8], [3, 0, 5, 4, 0, 0, 0, 0]);
        assert_eq!(record[8..16], 0x1122_3344_5566_7788_u64.to_le_bytes());
        assert_eq!(record[16..], 9_u64.to_le_bytes());
    }

    #[test]
    fn filestat_lies_in_memory_as_the_standard_says() {
        let stat = FileStat {
            device: 1,
            inode: 2,
            filetype: FileType::RegularFile,
            links: 3,
            size: 4,
            accessed_ns: 5,
            modified_ns: 6,
            changed_ns: 7,
        };
        let record = stat.encode();
        let word = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap());
        assert_eq!([word(0), word(8), word(16), word(24)], [1, 2, 4, 3]);
        assert_eq!([word(32), word(40), word(48), word(56)], [4, 5, 6, 7]);
    }

    #[test]
    fn unknown_flag_bits_are_refused() {
        assert_eq!(flags16(0b101, fdflags::SETTABLE), Ok(0b101));
        assert_eq!(flags16(0b10_0000, fdflags::ALL), Err(Errno::Inval));
        assert_eq!(flags16(0x1_0001, oflags::ALL), Err(Errno::Inval));
    }

    #[test]
    fn no_right_of_an_open_file_lets_it_be_written() {
        assert!(!Rights::REGULAR_FILE.intersects(Rights::WRITING));
        assert!(!Rights::DIRECTORY.intersects(Rights::WRITING));
        assert!(Rights::ALL.contains(Rights::REGULAR_FILE.union(Rights::DIRECTORY)));
    }
}
