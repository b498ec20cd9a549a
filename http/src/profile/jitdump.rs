//! The dump of generated code that `perf inject --jit` reads, in the format of the Linux tree's
//! `tools/perf/Documentation/jitdump-specification.txt`, version 1.
//!
//! ```text
//!   header       magic, version, 40, machine, 0, process | time | flags
//!   code load    0, size, time | process, thread | address | address | size | number | name, 0 | code
//!   close        3, 16, time
//! ```
//! All in the machine's own byte order. `perf record -k CLOCK_MONOTONIC` finds the file because one page of it is mapped
//! executable. Times are those of that clock, so that `perf inject` knows which code was where when.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use luge_core::observer::{CodeObserver, CodeView, FileMarker, monotonic_ns, thread_id};

const MAGIC: u32 = 0x4A69_5444;
const VERSION: u32 = 1;
const HEADER_BYTES: u32 = 40;
/// `EM_X86_64` of the ELF specification.
const MACHINE: u32 = 62;
const CODE_LOAD: u32 = 0;
const CODE_CLOSE: u32 = 3;
/// Bytes of a record's own header, and of what stands before the name of a load.
const RECORD_BYTES: usize = 16;
const LOAD_BYTES: usize = RECORD_BYTES + 40;

/// A dump that grows.
#[derive(Debug)]
pub(super) struct JitDump {
    path: PathBuf,
    /// `None` after an error.
    dump: Mutex<Option<Dump>>,
}

#[derive(Debug)]
struct Dump {
    file: File,
    /// The number of the next load.
    next: u64,
    /// Here so that it lives as long as the file is written.
    _marker: FileMarker,
}

impl JitDump {
    /// A new dump, without code. Profilers find it from now on.
    ///
    /// # Errors
    /// The system's reason.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut file = super::create(path)?;
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        for number in [MAGIC, VERSION, HEADER_BYTES, MACHINE, 0, std::process::id()] {
            header.extend_from_slice(&number.to_ne_bytes());
        }
        for number in [monotonic_ns(), 0] {
            header.extend_from_slice(&number.to_ne_bytes());
        }
        file.write_all(&header)?;
        let marker = FileMarker::map(&file)?;
        Ok(Self {
            path: path.to_owned(),
            dump: Mutex::new(Some(Dump {
                file,
                next: 0,
                _marker: marker,
            })),
        })
    }
}

impl CodeObserver for JitDump {
    fn published(&self, code: &CodeView<'_>) {
        let mut dump = self.dump.lock().unwrap_or_else(PoisonError::into_inner);
        let written = dump.as_mut().map(|dump| dump.load(code));
        if let Some(Err(error)) = written {
            super::given_up(&self.path, &error);
            *dump = None;
        }
    }

    fn withdrawn(&self, _: usize) {}
}

impl Dump {
    fn load(&mut self, code: &CodeView<'_>) -> io::Result<()> {
        let time = monotonic_ns();
        let mut records = Vec::with_capacity(code.text.len());
        for symbol in code.symbols {
            let bytes = &code.text[symbol.range.start as usize..symbol.range.end as usize];
            let name = super::symbol_name(code, &symbol.name);
            let address = (code.address + symbol.range.start as usize) as u64;
            let total = LOAD_BYTES + name.len() + 1 + bytes.len();
            let total = u32::try_from(total).map_err(io::Error::other)?;
            for number in [CODE_LOAD, total] {
                records.extend_from_slice(&number.to_ne_bytes());
            }
            records.extend_from_slice(&time.to_ne_bytes());
            for number in [std::process::id(), thread_id()] {
                records.extend_from_slice(&number.to_ne_bytes());
            }
            for number in [address, address, bytes.len() as u64, self.next] {
                records.extend_from_slice(&number.to_ne_bytes());
            }
            records.extend_from_slice(name.as_bytes());
            records.push(0);
            records.extend_from_slice(bytes);
            self.next += 1;
        }
        self.file.write_all(&records)
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        let mut record = Vec::with_capacity(RECORD_BYTES);
        for number in [CODE_CLOSE, RECORD_BYTES as u32] {
            record.extend_from_slice(&number.to_ne_bytes());
        }
        record.extend_from_slice(&monotonic_ns().to_ne_bytes());
        // A dump without its end is read as well.
        let _ = self.file.write_all(&record);
    }
}

/// The names in a dump, read by the format's own lengths.
#[cfg(test)]
pub(super) fn names(dump: &[u8]) -> Vec<String> {
    let number = |at: usize| u32::from_ne_bytes(dump[at..at + 4].try_into().expect("four bytes")) as usize;
    assert_eq!((number(0), number(4), number(12)), (MAGIC as usize, 1, 62));
    let (mut at, mut names) = (number(8), Vec::new());
    while at < dump.len() {
        let (kind, total) = (number(at), number(at + 4));
        assert_eq!(kind, CODE_LOAD as usize);
        let record = &dump[at + LOAD_BYTES..at + total];
        let end = record.iter().position(|&byte| byte == 0).expect("a name's end");
        let size = number(at + 40);
        assert_eq!(record.len(), end + 1 + size, "the code follows the name");
        names.push(String::from_utf8(record[..end].to_vec()).expect("a name"));
        at += total;
    }
    names
}
