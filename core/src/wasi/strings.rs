//! Arguments and environment: a list of strings in the form in which a guest takes them, prepared once.
//!
//! A block is the strings one after the other, each ended by a NUL, and the offset of each:
//!
//! ```text
//! offsets  0        5              12
//! bytes    luge \0  A=first \0     B= \0
//! ```
//!
//! `args_get` and `environ_get` then are one copy of `bytes` and one addition per string. A template shares its blocks
//! with all contexts, so that a request allocates nothing for them.

use std::collections::HashMap;

use super::Errno;
use super::config::WasiConfigError;
use super::ctx::WasiCtx;
use super::memory::GuestMemory;
use super::outcome::Outcome;

/// The most bytes that the arguments, or the environment, may take together, NULs included.
pub const STRINGS_MAX: usize = 1 << 20;

/// NUL-terminated strings and where each begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StringBlock {
    offsets: Vec<u32>,
    bytes: Vec<u8>,
}

impl StringBlock {
    /// Appends a string made of `parts`. `what` names the list for the error.
    pub(super) fn push(&mut self, what: &'static str, parts: &[&[u8]]) -> Result<(), WasiConfigError> {
        if parts.iter().any(|part| part.contains(&0)) {
            return Err(WasiConfigError::InteriorNul { what });
        }
        self.append(what, parts)
    }

    /// As [`StringBlock::push`]; that there is no NUL in it is seen to elsewhere.
    fn append(&mut self, what: &'static str, parts: &[&[u8]]) -> Result<(), WasiConfigError> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let too_large = || WasiConfigError::TooLarge {
            what,
            limit: STRINGS_MAX,
        };
        let end = self.bytes.len().saturating_add(length).saturating_add(1);
        // Each string also costs a pointer in the guest: without counting it, a million empty ones would fit.
        if end.saturating_add(4 * (self.offsets.len() + 1)) > STRINGS_MAX {
            return Err(too_large());
        }
        self.offsets
            .push(u32::try_from(self.bytes.len()).map_err(|_| too_large())?);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.push(0);
        Ok(())
    }

    /// Appends the variable `key=value`.
    pub(super) fn push_variable(&mut self, key: &[u8], value: &[u8]) -> Result<(), WasiConfigError> {
        check_name(key)?;
        self.push(ENVIRONMENT, &[key, b"=", value])
    }

    /// The variables of this block and further ones. One that both have takes the new value; one that is named twice keeps
    /// the last.
    ///
    /// # Errors
    /// A name or a value cannot be a variable, or all together are too large.
    pub(super) fn extended<K, V>(
        &self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<StringBlock, WasiConfigError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        fn name(variable: &[u8]) -> &[u8] {
            variable.split(|byte| *byte == b'=').next().unwrap_or_default()
        }
        let mut more = StringBlock::default();
        for (key, value) in variables {
            more.push_variable(key.as_ref(), value.as_ref())?;
        }
        let last: HashMap<&[u8], &[u8]> = more.iter().map(|v| (name(v), v)).collect();
        let mut merged = StringBlock::default();
        for old in self.iter().filter(|old| !last.contains_key(name(old))) {
            merged.push(ENVIRONMENT, &[old])?;
        }
        // Those that are the last of their name, in the order in which they were given.
        for new in more.iter().filter(|new| {
            last.get(name(new))
                .is_some_and(|kept| kept.as_ptr() == new.as_ptr())
        }) {
            merged.push(ENVIRONMENT, &[new])?;
        }
        Ok(merged)
    }

    /// The strings, without their NULs.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self
            .offsets
            .iter()
            .skip(1)
            .map(|next| *next as usize)
            .chain([self.bytes.len()]);
        self.offsets
            .iter()
            .zip(ends)
            .map(|(start, end)| &self.bytes[*start as usize..end - 1])
    }

    fn sizes(&self, memory: &mut GuestMemory<'_>, count: u32, size: u32) -> Outcome {
        memory.check(size, 4)?;
        memory.write_u32(
            count,
            u32::try_from(self.offsets.len()).map_err(|_| Errno::Overflow)?,
        )?;
        memory.write_u32(
            size,
            u32::try_from(self.bytes.len()).map_err(|_| Errno::Overflow)?,
        )?;
        Ok(())
    }

    fn copy_out(&self, memory: &mut GuestMemory<'_>, pointers: u32, buffer: u32) -> Outcome {
        let count = u32::try_from(self.offsets.len()).map_err(|_| Errno::Overflow)?;
        let length = u32::try_from(self.bytes.len()).map_err(|_| Errno::Overflow)?;
        memory.check(pointers, count * 4)?;
        memory.slice_mut(buffer, length)?.copy_from_slice(&self.bytes);
        for (slot, offset) in (pointers..).step_by(4).zip(&self.offsets) {
            memory.write_u32(slot, buffer.wrapping_add(*offset))?;
        }
        Ok(())
    }
}

/// The environment of one run in the making: the template's variables, and those of the run. One block of memory, however many
/// there are.
#[derive(Debug)]
pub struct Variables {
    block: StringBlock,
    /// The first one, told at the end: whoever adds variables has nothing to decide by it.
    mistake: Option<WasiConfigError>,
}

impl Variables {
    /// Room for what most requests bring, so that the block seldom grows.
    const BYTES: usize = 960;
    const COUNT: usize = 32;

    pub(super) fn of(base: &StringBlock) -> Self {
        let mut block = StringBlock {
            offsets: Vec::with_capacity(base.offsets.len() + Self::COUNT),
            bytes: Vec::with_capacity(base.bytes.len() + Self::BYTES),
        };
        block.offsets.extend_from_slice(&base.offsets);
        block.bytes.extend_from_slice(&base.bytes);
        Self { block, mistake: None }
    }

    /// Adds a variable whose name is not there yet: nobody looks. Of two of one name a guest takes whichever it finds.
    pub fn add(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (key, value) = (key.as_ref(), value.as_ref());
        if self.mistake.is_none() {
            let added = check_name(key).and_then(|()| self.block.append(ENVIRONMENT, &[key, b"=", value]));
            self.mistake = added.err();
        }
    }

    /// # Errors
    /// The first mistake that was made in adding them, or that there is a NUL within one.
    pub(super) fn finish(self) -> Result<StringBlock, WasiConfigError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        // Each string has its own NUL. One look at all bytes costs a fraction of one at each string.
        let nuls = count_nuls(&self.block.bytes);
        if nuls != self.block.offsets.len() {
            return Err(WasiConfigError::InteriorNul { what: ENVIRONMENT });
        }
        Ok(self.block)
    }
}

/// In pieces whose count fits a byte, so that as many bytes are looked at at once as a register holds.
fn count_nuls(bytes: &[u8]) -> usize {
    let count = |piece: &[u8]| piece.iter().map(|byte| u8::from(*byte == 0)).sum::<u8>();
    bytes.chunks(255).map(|piece| usize::from(count(piece))).sum()
}

/// What errors call it.
const ENVIRONMENT: &str = "environment";

fn check_name(key: &[u8]) -> Result<(), WasiConfigError> {
    if key.is_empty() || key.contains(&b'=') {
        return Err(WasiConfigError::VariableName {
            name: String::from_utf8_lossy(key).into_owned(),
        });
    }
    Ok(())
}

/// `args_get`: the arguments, and a pointer to each.
pub(super) fn args_get(ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, argv: u32, buffer: u32) -> Outcome {
    ctx.charge_copied(ctx.template.args.bytes.len() as u64);
    ctx.charge(ctx.template.args.offsets.len() as u64);
    ctx.template.args.copy_out(memory, argv, buffer)
}

/// `args_sizes_get`: how many arguments there are, and their bytes.
pub(super) fn args_sizes_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    count: u32,
    size: u32,
) -> Outcome {
    ctx.template.args.sizes(memory, count, size)
}

/// `environ_get`: the variables that the context was given, and none of the host's.
pub(super) fn environ_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    environ: u32,
    buffer: u32,
) -> Outcome {
    ctx.charge_copied(ctx.environment().bytes.len() as u64);
    ctx.charge(ctx.environment().offsets.len() as u64);
    ctx.environment().copy_out(memory, environ, buffer)
}

/// `environ_sizes_get`: how many variables there are, and their bytes.
pub(super) fn environ_sizes_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    count: u32,
    size: u32,
) -> Outcome {
    ctx.environment().sizes(memory, count, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::testing::{Guest, call};
    use crate::wasi::{WasiCtx, WasiFunction as F};

    fn guest() -> Guest {
        let builder = WasiCtx::builder()
            .arg("prog")
            .arg("")
            .arg("x y")
            .env("A", "1")
            .env("EMPTY", "");
        Guest::new(builder.build().unwrap())
    }

    #[test]
    fn nuls_are_counted_across_pieces() {
        for length in [0, 1, 254, 255, 256, 509, 510, 511, 2000] {
            assert_eq!(count_nuls(&vec![0; length]), length);
            assert_eq!(count_nuls(&vec![1; length]), 0);
            let mixed: Vec<u8> = (0..length).map(|at| u8::from(at % 3 != 0)).collect();
            assert_eq!(count_nuls(&mixed), length.div_ceil(3));
        }
    }

    #[test]
    fn arguments_arrive_with_their_pointers() {
        let mut guest = guest();
        assert_eq!(call(&mut guest, F::ArgsSizesGet, &[0, 4]), Errno::Success);
        assert_eq!((guest.u32(0), guest.u32(4)), (3, 10));
        assert_eq!(call(&mut guest, F::ArgsGet, &[16, 64]), Errno::Success);
        assert_eq!([guest.u32(16), guest.u32(20), guest.u32(24)], [64, 69, 70]);
        assert_eq!(&guest.memory[64..74], b"prog\0\0x y\0");
    }

    #[test]
    fn only_the_granted_variables_are_there() {
        let mut guest = guest();
        assert_eq!(call(&mut guest, F::EnvironSizesGet, &[0, 4]), Errno::Success);
        assert_eq!((guest.u32(0), guest.u32(4)), (2, 11));
        assert_eq!(call(&mut guest, F::EnvironGet, &[16, 64]), Errno::Success);
        assert_eq!(&guest.memory[64..75], b"A=1\0EMPTY=\0");
    }

    #[test]
    fn a_pointer_outside_of_memory_is_a_fault_and_writes_nothing() {
        let mut guest = guest();
        let end = guest.memory.len() as u64;
        for slots in [
            [end - 11, 64],
            [16, end - 9],
            [u64::from(u32::MAX), 0],
            [0, u64::from(u32::MAX)],
        ] {
            assert_eq!(call(&mut guest, F::ArgsGet, &slots), Errno::Fault);
        }
        assert_eq!(call(&mut guest, F::ArgsSizesGet, &[0, end - 3]), Errno::Fault);
        assert!(guest.memory.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn no_arguments_are_no_error() {
        let mut guest = Guest::new(WasiCtx::builder().build().unwrap());
        assert_eq!(call(&mut guest, F::ArgsGet, &[0, 0]), Errno::Success);
        assert_eq!(call(&mut guest, F::EnvironGet, &[0, 0]), Errno::Success);
    }

    #[test]
    fn what_no_guest_could_read_back_is_refused_when_it_is_configured() {
        let mut block = StringBlock::default();
        assert!(matches!(
            block.push("arguments", &[b"a\0b"]),
            Err(WasiConfigError::InteriorNul { .. })
        ));
        assert!(matches!(
            block.push_variable(b"A=B", b""),
            Err(WasiConfigError::VariableName { .. })
        ));
        assert!(matches!(
            block.push_variable(b"", b""),
            Err(WasiConfigError::VariableName { .. })
        ));
        let large = vec![b'x'; STRINGS_MAX];
        assert!(matches!(
            block.push("arguments", &[&large]),
            Err(WasiConfigError::TooLarge { .. })
        ));
        assert_eq!(block, StringBlock::default());
    }

    #[test]
    fn a_runs_variables_follow_the_templates() {
        let mut base = StringBlock::default();
        base.push_variable(b"A", b"1").unwrap();
        let mut variables = Variables::of(&base);
        // More than there is room for at first.
        for number in 0..100 {
            variables.add(format!("NAME_{number}"), "value".repeat(number));
        }
        let block = variables.finish().unwrap();
        let expected =
            (0..100).map(|number| format!("NAME_{number}={}", "value".repeat(number)).into_bytes());
        assert!(
            block
                .iter()
                .map(<[u8]>::to_vec)
                .eq([b"A=1".to_vec()].into_iter().chain(expected))
        );
    }

    #[test]
    fn the_first_mistake_is_told() {
        let mut variables = Variables::of(&StringBlock::default());
        variables.add("GOOD", "1");
        variables.add("", "2");
        variables.add("BAD", "\0");
        assert!(matches!(
            variables.finish(),
            Err(WasiConfigError::VariableName { name }) if name.is_empty()
        ));
        for (key, value) in [("A", "a\0b"), ("A", "\0"), ("A\0", "b")] {
            let mut variables = Variables::of(&StringBlock::default());
            variables.add("GOOD", "");
            variables.add(key, value);
            assert!(matches!(
                variables.finish(),
                Err(WasiConfigError::InteriorNul { .. })
            ));
        }
        let mut variables = Variables::of(&StringBlock::default());
        variables.add("A", vec![b'x'; STRINGS_MAX]);
        assert!(matches!(
            variables.finish(),
            Err(WasiConfigError::TooLarge { .. })
        ));
    }

    #[test]
    fn the_block_gives_back_its_strings() {
        let mut block = StringBlock::default();
        for text in [&b"one"[..], b"", b"three"] {
            block.push("arguments", &[text]).unwrap();
        }
        assert_eq!(block.iter().collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!(StringBlock::default().iter().count(), 0);
    }
}
