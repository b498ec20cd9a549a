//! The file format of cached code, and the only reader of it.
//!
//! ```text
//!      0  magic              "LUGECODE"
//!      8  version            u32; all numbers are little-endian
//!     12  counts             9 × u32: funcs, entries, host calls, traps, positions, data, regions, handlers, bytes of text
//!     48  key                32 bytes
//!     80  tag                32 bytes: HMAC-SHA-256 of all other bytes
//!    112  funcs              2 × u32 each: where it begins and ends
//!         entries            u32 each, u32::MAX where there is none
//!         host calls         likewise
//!         traps              2 × u32 each: offset and number of the trap
//!         positions          2 × u32 each: offset in the text and in the module
//!         data               2 × u32 each: where it begins and ends
//!         regions            6 × u32 each: where exceptions are caught, as `HandlerTable` numbers them
//!         handlers           4 × u32 each, likewise
//!         text               to the end of the file
//! ```
//!
//! The tag is verified before anything behind it is looked at. Lengths and offsets are checked all the same: what an older
//! bug of ours has written and signed is no reason to crash.

use super::{CodeKey, Rejection};
use crate::compiler::{CodeArtifact, HandlerTable, SourcePosition, TrapSite};
use crate::trap::Trap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::ops::Range;

const MAGIC: [u8; 8] = *b"LUGECODE";
const VERSION: u32 = 2;
const COUNTS: usize = 9;
const KEY: Range<usize> = 48..80;
const TAG: Range<usize> = 80..112;
/// Bytes of a `None` among trampolines.
const ABSENT: u32 = u32::MAX;

/// The traps by their numbers in files. A change is a new `VERSION`.
const TRAPS: [Trap; 15] = [
    Trap::Unreachable,
    Trap::MemoryOutOfBounds,
    Trap::TableOutOfBounds,
    Trap::UndefinedElement,
    Trap::UninitializedElement,
    Trap::IndirectCallTypeMismatch,
    Trap::IntegerOverflow,
    Trap::IntegerDivideByZero,
    Trap::InvalidConversionToInteger,
    Trap::StackExhausted,
    Trap::HostAborted,
    Trap::UncaughtException,
    Trap::NullException,
    Trap::TooManyExceptions,
    Trap::HostMemoryExhausted,
];

/// What files are authenticated with.
#[derive(Clone)]
pub(super) struct Secret([u8; Secret::BYTES]);

impl Secret {
    /// Its length.
    pub(super) const BYTES: usize = 32;
    /// The secret that is none.
    pub(super) const PUBLIC: Self = Self([0; Self::BYTES]);

    /// A secret of these bytes.
    pub(super) fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    fn authenticate(&self, file: &[u8]) -> Hmac<Sha256> {
        let mut hmac = Hmac::new_from_slice(&self.0).expect("a key of any length will do");
        hmac.update(&file[..TAG.start]);
        hmac.update(&file[TAG.end..]);
        hmac
    }
}

/// The file that holds an artefact.
pub(super) fn encode(key: &CodeKey, secret: &Secret, artifact: &CodeArtifact) -> Vec<u8> {
    let CodeArtifact {
        text,
        funcs,
        entries,
        host_calls,
        traps,
        positions,
        data,
        handlers,
    } = artifact;
    let mut file = Vec::with_capacity(TAG.end + text.len() + 8 * (funcs.len() + traps.len()));
    file.extend_from_slice(&MAGIC);
    let counts: [usize; COUNTS] = [
        funcs.len(),
        entries.len(),
        host_calls.len(),
        traps.len(),
        positions.len(),
        data.len(),
        handlers.region_numbers().len(),
        handlers.handler_numbers().len(),
        text.len(),
    ];
    let mut numbers = Numbers(&mut file);
    numbers.push(VERSION);
    for count in counts {
        numbers.push(
            u32::try_from(count).expect("offsets into the text are u32, and no table has more entries"),
        );
    }
    file.extend_from_slice(&key.0);
    file.resize(TAG.end, 0);
    let mut numbers = Numbers(&mut file);
    funcs.iter().for_each(|func| numbers.pair(func.start, func.end));
    for trampoline in entries.iter().chain(host_calls) {
        numbers.push(trampoline.unwrap_or(ABSENT));
    }
    traps
        .iter()
        .for_each(|site| numbers.pair(site.offset, trap_number(site.trap)));
    positions
        .iter()
        .for_each(|position| numbers.pair(position.offset, position.wasm));
    data.iter().for_each(|data| numbers.pair(data.start, data.end));
    let handlers = handlers
        .region_numbers()
        .flatten()
        .chain(handlers.handler_numbers().flatten());
    handlers.for_each(|number| numbers.push(number));
    file.extend_from_slice(text);
    let tag = secret.authenticate(&file).finalize().into_bytes();
    file[TAG].copy_from_slice(&tag);
    file
}

/// The artefact that a file holds.
///
/// # Errors
/// [`Rejection`] where it is not authentic, or anything about it is wrong.
pub(super) fn decode(key: &CodeKey, secret: &Secret, file: &[u8]) -> Result<CodeArtifact, Rejection> {
    let header = file.get(..TAG.end).ok_or(Rejection::Length)?;
    let mut reader = Reader(&header[MAGIC.len()..]);
    if header[..MAGIC.len()] != MAGIC || reader.number()? != VERSION {
        return Err(Rejection::Format);
    }
    secret
        .authenticate(file)
        .verify_slice(&header[TAG])
        .map_err(|_| Rejection::NotAuthentic)?;
    if header[KEY] != key.0 {
        return Err(Rejection::OtherCode);
    }
    let mut counts = [0; COUNTS];
    for count in &mut counts {
        *count = reader.number()? as usize;
    }
    let [
        funcs,
        entries,
        host_calls,
        traps,
        positions,
        data,
        regions,
        handlers,
        text,
    ] = counts;
    let pairs = funcs + traps + positions + data;
    let catching = regions * 24 + handlers * 16;
    if file.len() != TAG.end + pairs * 8 + (entries + host_calls) * 4 + catching + text {
        return Err(Rejection::Length);
    }
    let mut reader = Reader(&file[TAG.end..]);
    let artifact = CodeArtifact {
        funcs: reader.list(funcs, Reader::range)?,
        entries: reader.list(entries, Reader::trampoline)?,
        host_calls: reader.list(host_calls, Reader::trampoline)?,
        traps: reader.list(traps, Reader::trap)?,
        positions: reader.list(positions, Reader::position)?,
        data: reader.list(data, Reader::range)?,
        handlers: reader.handlers(regions, handlers)?,
        text: reader.0.to_vec(),
    };
    if is_consistent(&artifact) {
        Ok(artifact)
    } else {
        Err(Rejection::Tables)
    }
}

/// Whether all tables name only what is in the text, in the order that they have.
fn is_consistent(artifact: &CodeArtifact) -> bool {
    let end = artifact.text.len() as u64;
    // Which tags there are, the module knows, of which the code is.
    let catching = |end| artifact.handlers.check(end, u32::MAX).is_ok();
    let inside = |offset: u32| u64::from(offset) < end;
    let ranges = |ranges: &[Range<u32>]| {
        let forward = |range: &Range<u32>| range.start <= range.end && u64::from(range.end) <= end;
        ranges.iter().all(forward) && ranges.is_sorted_by(|left, right| left.end <= right.start)
    };
    let trampolines = artifact.entries.iter().chain(&artifact.host_calls);
    ranges(&artifact.funcs)
        && ranges(&artifact.data)
        && trampolines.flatten().all(|&offset| inside(offset))
        && artifact.traps.iter().all(|site| inside(site.offset))
        && artifact.traps.is_sorted_by_key(|site| site.offset)
        && artifact.positions.is_sorted_by_key(|position| position.offset)
        && u32::try_from(end).is_ok_and(catching)
}

fn trap_number(trap: Trap) -> u32 {
    let number = TRAPS.iter().position(|&known| known == trap);
    number.expect("the list is complete, which a test checks") as u32
}

struct Numbers<'f>(&'f mut Vec<u8>);

impl Numbers<'_> {
    fn push(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn pair(&mut self, first: u32, second: u32) {
        self.push(first);
        self.push(second);
    }
}

/// Reads numbers off the front.
struct Reader<'f>(&'f [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Result<u32, Rejection> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Rejection::Length)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*number))
    }

    fn list<T>(
        &mut self,
        count: usize,
        mut entry: impl FnMut(&mut Self) -> Result<T, Rejection>,
    ) -> Result<Vec<T>, Rejection> {
        (0..count).map(|_| entry(self)).collect()
    }

    fn range(&mut self) -> Result<Range<u32>, Rejection> {
        Ok(self.number()?..self.number()?)
    }

    fn array<const N: usize>(&mut self) -> Result<[u32; N], Rejection> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.number()?;
        }
        Ok(numbers)
    }

    fn handlers(&mut self, regions: usize, handlers: usize) -> Result<HandlerTable, Rejection> {
        let regions = self.list(regions, Self::array)?;
        let handlers = self.list(handlers, Self::array)?;
        HandlerTable::from_numbers(&regions, &handlers).ok_or(Rejection::Tables)
    }

    fn trampoline(&mut self) -> Result<Option<u32>, Rejection> {
        Ok(Some(self.number()?).filter(|&offset| offset != ABSENT))
    }

    fn trap(&mut self) -> Result<TrapSite, Rejection> {
        let (offset, number) = (self.number()?, self.number()?);
        let trap = *TRAPS.get(number as usize).ok_or(Rejection::Tables)?;
        Ok(TrapSite { offset, trap })
    }

    fn position(&mut self) -> Result<SourcePosition, Rejection> {
        Ok(SourcePosition {
            offset: self.number()?,
            wasm: self.number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::{artifact, key};

    const SECRET: Secret = Secret([7; 32]);

    fn sample() -> Vec<u8> {
        encode(&key(1), &SECRET, &artifact())
    }

    /// The file with its tag made right again.
    fn signed(mut file: Vec<u8>) -> Vec<u8> {
        let tag = SECRET.authenticate(&file).finalize().into_bytes();
        file[TAG].copy_from_slice(&tag);
        file
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(decode(&key(1), &SECRET, &sample()), Ok(artifact()));
        let empty = CodeArtifact::default();
        assert_eq!(
            decode(&key(1), &SECRET, &encode(&key(1), &SECRET, &empty)),
            Ok(empty)
        );
    }

    #[test]
    fn every_bit_counts() {
        let file = sample();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[at] ^= 1 << bit;
                let answer = decode(&key(1), &SECRET, &changed);
                assert!(
                    matches!(answer, Err(Rejection::Format | Rejection::NotAuthentic)),
                    "byte {at}, bit {bit}: {answer:?}"
                );
            }
        }
    }

    #[test]
    fn every_other_length_is_refused() {
        let file = sample();
        for len in 0..file.len() {
            assert!(decode(&key(1), &SECRET, &file[..len]).is_err(), "{len} bytes");
        }
        let longer = [&file[..], &[0]].concat();
        assert_eq!(decode(&key(1), &SECRET, &longer), Err(Rejection::NotAuthentic));
        assert_eq!(decode(&key(1), &SECRET, &signed(longer)), Err(Rejection::Length));
    }

    #[test]
    fn other_keys_and_secrets_are_refused() {
        let file = sample();
        assert_eq!(decode(&key(2), &SECRET, &file), Err(Rejection::OtherCode));
        assert_eq!(
            decode(&key(1), &Secret::PUBLIC, &file),
            Err(Rejection::NotAuthentic)
        );
    }

    #[test]
    fn signed_nonsense_is_refused_or_harmless() {
        // Every number of counts and tables, replaced by extremes and signed: nothing may panic or reach out of the text.
        let file = sample();
        let tables = file.len() - artifact().text.len();
        for at in (12..KEY.start).chain(TAG.end..tables).step_by(4) {
            for number in [0, 1, 15, 16, 17, 1 << 31, u32::MAX - 1, u32::MAX] {
                let mut changed = file.clone();
                changed[at..at + 4].copy_from_slice(&number.to_le_bytes());
                match decode(&key(1), &SECRET, &signed(changed)) {
                    Ok(artifact) => assert!(is_consistent(&artifact), "{at}: {number}"),
                    Err(reason) => assert!(
                        matches!(reason, Rejection::Length | Rejection::Tables),
                        "{at}: {number}: {reason}"
                    ),
                }
            }
        }
    }

    #[test]
    fn every_trap_has_a_number() {
        for (number, &trap) in TRAPS.iter().enumerate() {
            assert_eq!(trap_number(trap) as usize, number);
            // Whoever adds a trap is led here by the compiler, and has to add it to the list too.
            match trap {
                Trap::Unreachable
                | Trap::MemoryOutOfBounds
                | Trap::TableOutOfBounds
                | Trap::UndefinedElement
                | Trap::UninitializedElement
                | Trap::IndirectCallTypeMismatch
                | Trap::IntegerOverflow
                | Trap::IntegerDivideByZero
                | Trap::InvalidConversionToInteger
                | Trap::StackExhausted
                | Trap::HostAborted
                | Trap::UncaughtException
                | Trap::NullException
                | Trap::TooManyExceptions
                | Trap::HostMemoryExhausted => {}
            }
        }
    }
}
