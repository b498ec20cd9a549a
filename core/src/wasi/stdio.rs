//! The three standard streams: where a guest's bytes come from and where they go.
//!
//! A server gives a function its request body as `stdin` and takes `stdout` and `stderr` back when the run is over; they
//! are memory, with a bound on what the guest may fill. The command line passes the process's own streams on instead;
//! these block the thread, which is right for a command and wrong for a server.
//!
//! A stream is not seekable and has no size. It is a character device only where the host's own stream is a terminal:
//! C libraries buffer whole blocks for everything else, which saves a call per line.

use std::io::{IsTerminal, Read, Write};

use bytes::{Buf, Bytes};

use super::Errno;
use super::config::OutputOverflow;
use super::memory::touch;
use super::outcome::{Fault, Outcome, OutputStream, Stop};
use super::types::FileType;

/// What a guest reads from descriptor 0.
#[derive(Clone, Debug, Default)]
pub enum Input {
    /// Nothing: the first read finds the end.
    #[default]
    Empty,
    /// These bytes, shared with whoever holds them: nothing is copied until the guest reads.
    Bytes(Bytes),
    /// The standard input of this process. A read blocks the thread.
    Inherit,
}

/// Bytes of room that an output keeps for the next run of the same context.
const KEPT_ROOM: usize = 8 << 10;

/// The most bytes that one call reads or writes of the process's own streams.
const INHERITED_PORTION: usize = 1 << 20;

/// Where a guest's descriptor 1 or 2 leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Nowhere: every write succeeds.
    #[default]
    Discard,
    /// Memory of the context, to be taken after the run. It holds at most `limit` bytes; what a write past it does,
    /// [`OutputOverflow`] says.
    Buffer {
        /// In bytes.
        limit: usize,
    },
    /// The same stream of this process. A write blocks the thread until it is done.
    Inherit,
}

impl Input {
    /// Reads up to `into.len()` bytes; 0 is the end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Empty => Ok(0),
            Self::Bytes(bytes) => {
                let count = bytes.len().min(into.len());
                bytes.copy_to_slice(&mut into[..count]);
                Ok(count)
            }
            Self::Inherit => {
                // Short reads are what every reader must expect.
                let count = into.len().min(INHERITED_PORTION);
                touch(&into[..count]);
                Ok(std::io::stdin().lock().read(&mut into[..count])?)
            }
        }
    }

    /// How many bytes a read would certainly find. For the process's own stream nobody knows: one is promised, and
    /// the read may block.
    pub(super) fn available(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Inherit => 1,
        }
    }

    /// Whether the end has been reached.
    pub(super) fn at_end(&self) -> bool {
        !matches!(self, Self::Inherit) && self.available() == 0
    }

    pub(super) fn filetype(&self) -> FileType {
        terminal(matches!(self, Self::Inherit) && std::io::stdin().is_terminal())
    }
}

/// An [`Output`] in use, with what was written to it.
#[derive(Debug)]
pub(super) struct OutputState {
    stream: OutputStream,
    output: Output,
    overflow: OutputOverflow,
    written: Vec<u8>,
}

impl OutputState {
    pub(super) fn new(stream: OutputStream, output: Output, overflow: OutputOverflow) -> Self {
        Self {
            stream,
            output,
            overflow,
            written: Vec::new(),
        }
    }

    /// Writes as much of `bytes` as fits. With nothing written for want of room the answer is `nospc`, or a stop.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Outcome<usize> {
        match self.output {
            Output::Discard => Ok(bytes.len()),
            Output::Buffer { limit } => self.write_buffer(bytes, limit),
            Output::Inherit => {
                let bytes = &bytes[..bytes.len().min(INHERITED_PORTION)];
                touch(bytes);
                let done = match self.stream {
                    OutputStream::Stdout => write_through(std::io::stdout().lock(), bytes),
                    OutputStream::Stderr => write_through(std::io::stderr().lock(), bytes),
                };
                done.map_err(Errno::from)?;
                Ok(bytes.len())
            }
        }
    }

    fn write_buffer(&mut self, bytes: &[u8], limit: usize) -> Outcome<usize> {
        let count = bytes.len().min(limit - self.written.len());
        self.written.extend_from_slice(&bytes[..count]);
        if count == bytes.len() {
            return Ok(count);
        }
        match self.overflow {
            OutputOverflow::Stop => Err(Stop::Fault(Fault::OutputLimit {
                stream: self.stream,
                limit,
            })
            .into()),
            OutputOverflow::Errno if count == 0 => Err(Errno::Nospc.into()),
            OutputOverflow::Errno => Ok(count),
        }
    }

    /// How many bytes a write would certainly take.
    pub(super) fn room(&self) -> u64 {
        match self.output {
            Output::Buffer { limit } => (limit - self.written.len()) as u64,
            // Without a bound of ours: what Linux promises of a pipe.
            Output::Discard | Output::Inherit => 65_536,
        }
    }

    pub(super) fn filetype(&self) -> FileType {
        terminal(
            self.output == Output::Inherit
                && match self.stream {
                    OutputStream::Stdout => std::io::stdout().is_terminal(),
                    OutputStream::Stderr => std::io::stderr().is_terminal(),
                },
        )
    }

    pub(super) fn written(&self) -> &[u8] {
        &self.written
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }

    /// As [`take`](Self::take), to be shared. A small output is copied to what just holds it, so that its room stays for the next;
    /// a large one goes as it is.
    pub(super) fn take_bytes(&mut self) -> Bytes {
        if self.written.is_empty() {
            return Bytes::new();
        }
        if self.written.capacity() > KEPT_ROOM {
            return Bytes::from(self.take());
        }
        let bytes = Bytes::copy_from_slice(&self.written);
        self.written.clear();
        bytes
    }

    /// Makes it what it was when it was made, with another output. Room for a small one stays, and nothing that was in it.
    pub(super) fn reset(&mut self, output: Output) {
        self.output = output;
        self.written.clear();
        if self.written.capacity() > KEPT_ROOM {
            self.written = Vec::new();
        }
    }
}

fn write_through(mut stream: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn terminal(is_terminal: bool) -> FileType {
    if is_terminal {
        FileType::CharacterDevice
    } else {
        FileType::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::outcome::Refusal;

    #[test]
    fn input_is_read_piece_by_piece_to_its_end() {
        let mut input = Input::Bytes(Bytes::from_static(b"hello"));
        let mut into = [0; 3];
        assert_eq!(input.read(&mut into), Ok(3));
        assert_eq!(&into, b"hel");
        assert_eq!((input.available(), input.at_end()), (2, false));
        assert_eq!(input.read(&mut into), Ok(2));
        assert_eq!(input.read(&mut into), Ok(0));
        assert!(input.at_end() && Input::Empty.at_end());
    }

    #[test]
    fn past_its_limit_a_buffer_takes_what_fits_and_then_refuses() {
        let output = Output::Buffer { limit: 4 };
        let mut state = OutputState::new(OutputStream::Stdout, output, OutputOverflow::Errno);
        assert_eq!(state.write(b"abc"), Ok(3));
        assert_eq!(state.write(b"def"), Ok(1));
        assert_eq!(state.write(b"ef"), Err(Refusal::Errno(Errno::Nospc)));
        assert_eq!(state.write(b""), Ok(0));
        assert_eq!((state.written(), state.room()), (&b"abcd"[..], 0));
    }

    #[test]
    fn or_it_ends_the_run_with_what_fitted() {
        let output = Output::Buffer { limit: 4 };
        let mut state = OutputState::new(OutputStream::Stderr, output, OutputOverflow::Stop);
        let fault = Fault::OutputLimit {
            stream: OutputStream::Stderr,
            limit: 4,
        };
        assert_eq!(state.write(b"abcdef"), Err(Refusal::Stop(Stop::Fault(fault))));
        assert_eq!(state.take(), b"abcd");
    }

    #[test]
    fn what_is_small_leaves_its_room_and_nothing_else() {
        let output = Output::Buffer { limit: 1 << 20 };
        let mut state = OutputState::new(OutputStream::Stdout, output, OutputOverflow::Errno);
        assert_eq!(state.take_bytes(), Bytes::new());
        assert_eq!(state.written.capacity(), 0);
        state.write(b"ab").unwrap();
        assert_eq!(state.take_bytes(), "ab");
        assert!(state.written().is_empty() && state.written.capacity() >= 2);
        state.write(b"c").unwrap();
        state.reset(Output::Discard);
        assert!(state.written().is_empty() && state.written.capacity() >= 2);
        state.reset(output);
        let large = vec![b'x'; KEPT_ROOM + 1];
        state.write(&large).unwrap();
        assert_eq!(state.take_bytes(), large);
        state.write(&large).unwrap();
        state.reset(output);
        assert_eq!(state.written.capacity(), 0, "a large output's room is given back");
    }

    #[test]
    fn taking_the_bytes_frees_their_room() {
        let output = Output::Buffer { limit: 2 };
        let mut state = OutputState::new(OutputStream::Stdout, output, OutputOverflow::Errno);
        assert_eq!(state.write(b"ab"), Ok(2));
        assert_eq!(state.take(), b"ab");
        assert_eq!(state.room(), 2);
    }
}
