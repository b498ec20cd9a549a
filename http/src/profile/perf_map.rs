//! The map of symbols that `perf report` looks for, in the format of the Linux tree's `tools/perf/Documentation/jit-interface.txt`:
//! a line `START SIZE NAME` for each symbol, both numbers in hexadecimal.
//!
//! It has no way to say that code has gone. Where code is published in the place of other code, later lines win.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use luge_core::observer::{CodeObserver, CodeView};

/// A map that grows.
#[derive(Debug)]
pub(super) struct PerfMap {
    path: PathBuf,
    /// `None` after an error.
    file: Mutex<Option<File>>,
}

impl PerfMap {
    /// A new map, empty.
    ///
    /// # Errors
    /// The system's reason.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(Some(super::create(path)?)),
        })
    }
}

impl CodeObserver for PerfMap {
    fn published(&self, code: &CodeView<'_>) {
        let mut lines = String::new();
        for symbol in code.symbols {
            let start = code.address + symbol.range.start as usize;
            let name = super::symbol_name(code, &symbol.name);
            let _ = writeln!(lines, "{start:x} {:x} {name}", symbol.range.len());
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.as_mut().map(|file| file.write_all(lines.as_bytes()));
        if let Some(Err(error)) = written {
            super::given_up(&self.path, &error);
            *file = None;
        }
    }

    fn withdrawn(&self, _: usize) {}
}
