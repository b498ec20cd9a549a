//! The descriptor table: what each small number of the guest stands for, and what it may do with it.
//!
//! A guest never sees a host descriptor. Its numbers index this table; 0, 1 and 2 begin as the standard streams, the
//! preopened directories follow, and `path_open` takes the lowest free number, as POSIX does. The three first live in the
//! table itself, so that a context without directories costs no allocation.
//!
//! ```text
//! 0 stdin | 1 stdout | 2 stderr || 3 preopen "/" | 4 file | 5 (free) | 6 directory ...      at most `open_files`
//! ```

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::Errno;
use super::types::Rights;

/// An open descriptor.
#[derive(Debug)]
pub(super) struct Descriptor {
    pub(super) resource: Resource,
    /// What may be done with the descriptor itself.
    pub(super) base: Rights,
    /// The most that descriptors opened through it may be given.
    pub(super) inheriting: Rights,
    /// `$fdflags` as last set; see [`super::types::fdflags`].
    pub(super) flags: u16,
}

/// What a descriptor stands for.
#[derive(Debug)]
pub(super) enum Resource {
    Stdin,
    Stdout,
    Stderr,
    Directory(Directory),
    File(RegularFile),
}

/// A directory beneath which paths are resolved.
#[derive(Debug)]
pub(super) struct Directory {
    /// Opened with `O_PATH`; shared with the template for a preopen.
    pub(super) handle: Arc<OwnedFd>,
    /// The name that the guest knows a preopen by.
    pub(super) preopen: Option<Arc<[u8]>>,
    /// Different for each directory that a context opens: tells whose listing is cached.
    pub(super) serial: u64,
}

/// A regular file, open for reading. The position is ours, so that the host's descriptor has no state.
#[derive(Debug)]
pub(super) struct RegularFile {
    pub(super) handle: OwnedFd,
    /// In bytes from the start; at most `i64::MAX`.
    pub(super) position: u64,
}

/// Descriptors by number.
#[derive(Debug)]
pub(super) struct DescriptorTable {
    standard: [Option<Descriptor>; 3],
    others: Vec<Option<Descriptor>>,
    open: usize,
    limit: usize,
    /// Whether it may be otherwise than [`DescriptorTable::set_initial`] has found it.
    changed: bool,
}

impl DescriptorTable {
    /// A table with the standard streams and nothing else. `limit` counts every open descriptor.
    pub(super) fn new(limit: usize) -> Self {
        let stream = |resource, base| {
            Some(Descriptor {
                resource,
                base,
                inheriting: Rights::default(),
                flags: 0,
            })
        };
        let standard = [
            stream(Resource::Stdin, Rights::INPUT),
            stream(Resource::Stdout, Rights::OUTPUT),
            stream(Resource::Stderr, Rights::OUTPUT),
        ];
        Self {
            standard,
            others: Vec::new(),
            open: 3,
            limit,
            changed: false,
        }
    }

    /// Takes the table as it is for what it begins with.
    pub(super) fn set_initial(&mut self) {
        self.changed = false;
    }

    /// Whether it may have changed since then.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    pub(super) fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        let index = fd as usize;
        let slot = match index.checked_sub(self.standard.len()) {
            None => self.standard.get(index),
            Some(index) => self.others.get(index),
        };
        slot.and_then(Option::as_ref).ok_or(Errno::Badf)
    }

    pub(super) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.slot(fd).and_then(Option::as_mut).ok_or(Errno::Badf)
    }

    /// Whether another descriptor may be opened; asked before the host is.
    pub(super) fn check_room(&self) -> Result<(), Errno> {
        if self.open < self.limit {
            Ok(())
        } else {
            Err(Errno::Mfile)
        }
    }

    /// Gives `descriptor` the lowest free number.
    pub(super) fn insert(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        self.check_room()?;
        let free = self.standard.iter().chain(&self.others).position(Option::is_none);
        let index = free.unwrap_or(self.standard.len() + self.others.len());
        let fd = u32::try_from(index).map_err(|_| Errno::Mfile)?;
        match self.slot(fd) {
            Some(slot) => *slot = Some(descriptor),
            None => self.others.push(Some(descriptor)),
        }
        self.open += 1;
        Ok(fd)
    }

    /// Closes `fd`.
    pub(super) fn remove(&mut self, fd: u32) -> Result<(), Errno> {
        let descriptor = self.slot(fd).and_then(Option::take).ok_or(Errno::Badf)?;
        self.open -= 1;
        drop(descriptor);
        Ok(())
    }

    /// Moves `from` to `to`, closing what `to` was. Both must be open, so the table never grows.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(to)?;
        if from == to {
            return Ok(());
        }
        let moved = self.slot(from).and_then(Option::take).ok_or(Errno::Badf)?;
        *self.get_mut(to)? = moved;
        self.open -= 1;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        let counted = self.standard.iter().chain(&self.others).flatten().count();
        assert_eq!(counted, self.open, "the count of open descriptors went astray");
        counted
    }

    /// The only way to what can be changed.
    fn slot(&mut self, fd: u32) -> Option<&mut Option<Descriptor>> {
        self.changed = true;
        let index = fd as usize;
        match index.checked_sub(self.standard.len()) {
            None => self.standard.get_mut(index),
            Some(index) => self.others.get_mut(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Descriptor {
        Descriptor {
            resource: Resource::Stdin,
            base: Rights(7),
            inheriting: Rights(0),
            flags: 0,
        }
    }

    #[test]
    fn the_lowest_free_number_is_taken_and_the_limit_holds() {
        let mut table = DescriptorTable::new(5);
        assert_eq!(table.insert(stream()), Ok(3));
        assert_eq!(table.insert(stream()), Ok(4));
        assert_eq!(table.insert(stream()), Err(Errno::Mfile));
        table.remove(1).unwrap();
        table.remove(3).unwrap();
        assert_eq!(table.insert(stream()), Ok(1));
        assert_eq!(table.insert(stream()), Ok(3));
        assert_eq!(table.open(), 5);
    }

    #[test]
    fn closed_and_absurd_numbers_are_bad() {
        let mut table = DescriptorTable::new(5);
        table.remove(0).unwrap();
        for fd in [0, 3, 77, u32::MAX] {
            assert_eq!(table.get(fd).err(), Some(Errno::Badf));
            assert_eq!(table.remove(fd), Err(Errno::Badf));
            assert_eq!(table.renumber(fd, 1), Err(Errno::Badf));
            assert_eq!(table.renumber(1, fd), Err(Errno::Badf));
        }
        assert_eq!(table.open(), 2);
    }

    #[test]
    fn renumbering_closes_the_target_and_frees_the_source() {
        let mut table = DescriptorTable::new(8);
        table.insert(stream()).unwrap();
        table.renumber(3, 1).unwrap();
        assert_eq!(table.get(1).unwrap().base, Rights(7));
        assert_eq!(table.get(3).err(), Some(Errno::Badf));
        table.renumber(1, 1).unwrap();
        assert_eq!(table.open(), 3);
    }
}
