//! The chunked coding (RFC 9112, section 7.1), checked byte by byte as it passes.
//!
//! ```text
//!   1a;name=value CRLF  <26 bytes>  CRLF   ...   0 CRLF  [trailer: field CRLF]...  CRLF
//!   ^Size ^Extension    ^Data                            ^TrailerName ^TrailerValue
//! ```
//!
//! Nothing is kept back here: a parser that has seen a good beginning of a size line only waits for its end.

use hyper::StatusCode;

use super::Refusal;
use super::classes::{is_text, is_token};
use crate::h1::limits::Limits;

/// Sixteen hexadecimal digits fill 64 bits; a seventeenth would overflow.
const SIZE_DIGITS_MAX: u8 = 16;
/// Longest extension of one size line, and of all of a body's, in bytes. Nobody uses them; they are read past.
const EXTENSION_BYTES_MAX: u32 = 256;
const EXTENSION_BYTES_TOTAL_MAX: u32 = 4096;
/// Longest trailer section in bytes.
const TRAILER_BYTES_MAX: u32 = 8192;
/// Most trailer fields.
const TRAILER_COUNT_MAX: usize = 64;

/// A chunked body in progress.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    state: State,
    size: u64,
    digits: u8,
    /// Sum of the sizes that the chunks so far declared.
    total: u64,
    extension_bytes: u32,
    extension_bytes_total: u32,
    trailer_bytes: u32,
    trailer_count: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

impl Chunked {
    /// Reads on. Returns how many bytes are good, and whether the body has ended with the last of them.
    pub(super) fn scan(&mut self, input: &[u8], limits: &Limits) -> (usize, Result<bool, Refusal>) {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if self.state == State::Data {
                let left = input.len() - at;
                let data = usize::try_from(self.size).map_or(left, |size| size.min(left));
                self.size -= data as u64;
                at += data;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            match self.step(byte, limits) {
                Ok(Some(next)) => self.state = next,
                Ok(None) => return (at + 1, Ok(true)),
                Err(refusal) => return (at, Err(refusal)),
            }
            at += 1;
        }
        (at, Ok(false))
    }

    /// The state after one byte outside of chunk data; `None` after the body's last. A refused byte leaves everything
    /// as it was, so that the refusal can be asked for again.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<Option<State>, Refusal> {
        use State::{
            Data, DataCr, DataLf, EndLf, Extension, Size, SizeLf, TrailerLf, TrailerName, TrailerStart,
            TrailerValue,
        };
        if matches!(self.state, TrailerStart | TrailerName | TrailerValue | TrailerLf) {
            return self.trailer(byte, limits).map(Some);
        }
        Ok(Some(match (self.state, byte) {
            (Size, b'\r') if self.digits > 0 => SizeLf,
            (Size, b';') if self.digits > 0 => Extension,
            (Size, _) => self.size_digit(byte)?,
            (Extension, b'\r') => SizeLf,
            (Extension, _) => self.extension(byte)?,
            (SizeLf, b'\n') => self.size_line_end(limits)?,
            (SizeLf, _) => return Err(Refusal::bad("bare CR in a chunk size")),
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => Size,
            (Data | DataCr | DataLf, _) => return Err(Refusal::bad("chunk longer than its size")),
            (EndLf, b'\n') => return Ok(None),
            (_, _) => return Err(Refusal::bad("malformed end of a chunked body")),
        }))
    }

    fn size_digit(&mut self, byte: u8) -> Result<State, Refusal> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            return Err(Refusal::bad("malformed chunk size"));
        };
        if self.digits == SIZE_DIGITS_MAX {
            return Err(Refusal::bad("chunk size overflows"));
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn extension(&mut self, byte: u8) -> Result<State, Refusal> {
        if !is_text(byte) {
            return Err(Refusal::bad("control character in a chunk extension"));
        }
        if self.extension_bytes >= EXTENSION_BYTES_MAX
            || self.extension_bytes_total >= EXTENSION_BYTES_TOTAL_MAX
        {
            return Err(Refusal::bad("chunk extensions longer than the limit"));
        }
        self.extension_bytes += 1;
        self.extension_bytes_total += 1;
        Ok(State::Extension)
    }

    fn size_line_end(&mut self, limits: &Limits) -> Result<State, Refusal> {
        let total = self
            .total
            .checked_add(self.size)
            .filter(|&total| total <= limits.body_bytes);
        self.total = total.ok_or(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "chunked body longer than the limit",
        ))?;
        self.digits = 0;
        self.extension_bytes = 0;
        Ok(if self.size == 0 {
            State::TrailerStart
        } else {
            State::Data
        })
    }

    /// Trailer fields obey the rules of header fields and mean nothing here.
    fn trailer(&mut self, byte: u8, limits: &Limits) -> Result<State, Refusal> {
        let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        if self.trailer_bytes >= TRAILER_BYTES_MAX {
            return Err(Refusal::new(too_large, "trailer longer than the limit"));
        }
        let next = match (self.state, byte) {
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart, byte) if is_token(byte) => {
                if self.trailer_count >= TRAILER_COUNT_MAX.min(limits.header_count_max()) {
                    return Err(Refusal::new(too_large, "too many trailer fields"));
                }
                self.trailer_count += 1;
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerName, byte) if is_token(byte) => State::TrailerName,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, byte) if is_text(byte) => State::TrailerValue,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            _ => return Err(Refusal::bad("malformed trailer field")),
        };
        self.trailer_bytes += 1;
        Ok(next)
    }
}
