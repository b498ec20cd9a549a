//! A quick look ahead over a loop: which locals it and each loop in it use, and how much.
//!
//! A one-pass code generator meets a loop's header before its body, and has to decide there which locals stay in registers
//! while it runs. This scan tells it. It only skips over operators, needs no validity, and stops at what it does not
//! know: hints may be missing or wrong without harm. Code outside of loops is not looked at.
//!
//! Uses are logged as they come; where a loop ends, the part of the log that is its own is counted, cut down to the most
//! used locals, and put back in their place with more weight as uses of the loop around it. Each entry is thus
//! counted once and a loop leaves a bounded number of them, so that time is linear however deeply loops nest.

use crate::types::ValType;

/// How one local is used in a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalUse {
    /// The local.
    pub local: u32,
    /// How often, uses in inner loops counting more.
    pub weight: u32,
    /// Whether it is written.
    pub written: bool,
}

/// What a loop uses: its most used locals, the most used first; at most [`LoopHints::MAX`] general and as many float and
/// vector ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoopHints<'h> {
    /// The locals.
    pub locals: &'h [LocalUse],
    /// Whether it calls anything, other than in front of `unreachable`.
    pub calls: bool,
}

impl LoopHints<'_> {
    /// Most locals of each of the two kinds.
    pub const MAX: usize = 12;
}

/// An outermost loop and the loops in it, in the order in which they open.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    uses: Vec<LocalUse>,
    loops: Vec<Found>,
    log: Vec<LocalUse>,
    open: Vec<Open>,
    /// Places in `open` of the loops among them.
    open_loops: Vec<usize>,
    /// For each local what has been counted; all zero but while a loop is counted.
    counts: Vec<(u32, bool)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Found {
    first: u32,
    count: u32,
    calls: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    /// The loop's number; `None` for other constructs.
    number: Option<u32>,
    /// Where its part of the log begins.
    log: usize,
    calls: bool,
}

/// Most uses that are kept of one outermost loop: loops in loops may repeat those of the innermost. Later loops go without.
const MOST_USES: usize = 1 << 18;

/// How much more a use in an inner loop weighs.
const INNER: u32 = 8;

impl Scan {
    /// Reads the loop whose first operator begins here, in a function with these locals, to its end; gives how many bytes it
    /// has looked at.
    pub(crate) fn read(&mut self, operators: &[u8], locals: &[ValType]) -> usize {
        self.uses.clear();
        self.loops.clear();
        self.log.clear();
        self.open.clear();
        self.open_loops.clear();
        self.counts.resize(locals.len(), (0, false));
        let mut reader = Skipper(operators);
        let stopped = self.operators(&mut reader, locals);
        debug_assert!(stopped.is_none());
        while !self.open.is_empty() {
            self.end(locals);
        }
        operators.len() - reader.0.len()
    }

    /// The hints of the `number`th loop to open, counted from the one that was read.
    pub(crate) fn hints(&self, number: usize) -> LoopHints<'_> {
        let Some(found) = self.loops.get(number) else {
            return LoopHints::default();
        };
        LoopHints {
            locals: &self.uses[found.first as usize..][..found.count as usize],
            calls: found.calls,
        }
    }

    /// Ends at the end of the loop, or at what is not known.
    fn operators(&mut self, reader: &mut Skipper<'_>, locals: &[ValType]) -> Option<()> {
        loop {
            let opcode = reader.byte()?;
            match FORMS[usize::from(opcode)] {
                Form::Numbers(count) => reader.numbers(count)?,
                Form::Memory => reader.memarg()?,
                Form::Local => {
                    let local = reader.leb()?;
                    if (local as usize) < locals.len() {
                        self.log.push(LocalUse {
                            local,
                            weight: 1,
                            written: opcode != 0x20,
                        });
                    }
                }
                Form::Call => {
                    reader.numbers(1 + u8::from(opcode == 0x11))?;
                    if reader.0.first() != Some(&UNREACHABLE) {
                        self.note_call();
                    }
                }
                Form::Block => {
                    reader.value_type()?;
                    self.open(None);
                }
                Form::Loop => {
                    reader.value_type()?;
                    let number = self.loops.len() as u32;
                    self.loops.push(Found::default());
                    self.open_loops.push(self.open.len());
                    self.open(Some(number));
                }
                Form::End => {
                    self.end(locals);
                    if self.open.is_empty() {
                        return None;
                    }
                }
                Form::Other => {
                    if opcode == 0x1f {
                        reader.try_table()?;
                        self.open(None);
                    } else {
                        reader.skip_other(opcode)?;
                    }
                }
            }
        }
    }

    fn open(&mut self, number: Option<u32>) {
        self.open.push(Open {
            number,
            log: self.log.len(),
            calls: false,
        });
    }

    /// The innermost loop calls something.
    fn note_call(&mut self) {
        if let Some(&innermost) = self.open_loops.last() {
            self.open[innermost].calls = true;
        }
    }

    fn end(&mut self, locals: &[ValType]) {
        let Some(open) = self.open.pop() else { return };
        let Some(number) = open.number else { return };
        self.open_loops.pop();
        // Summed up by local: the first entry of each becomes its sum.
        let mut distinct = open.log;
        for at in open.log..self.log.len() {
            let LocalUse {
                local,
                weight,
                written,
            } = self.log[at];
            let count = &mut self.counts[local as usize];
            if count.0 == 0 {
                self.log[distinct].local = local;
                distinct += 1;
            }
            count.0 = count.0.saturating_add(weight);
            count.1 |= written;
        }
        self.log.truncate(distinct);
        for entry in &mut self.log[open.log..] {
            let (weight, written) = std::mem::take(&mut self.counts[entry.local as usize]);
            (entry.weight, entry.written) = (weight, written);
        }
        self.log[open.log..].sort_unstable_by_key(|entry| (std::cmp::Reverse(entry.weight), entry.local));
        // The most used of each kind stay, as uses of the loop around.
        let first = self.uses.len();
        let mut kept = [0_usize; 2];
        for at in open.log..self.log.len() {
            let entry = self.log[at];
            let kind = &mut kept[usize::from(locals[entry.local as usize].is_float())];
            if *kind < LoopHints::MAX && self.uses.len() < MOST_USES {
                *kind += 1;
                self.uses.push(entry);
            }
        }
        self.log.truncate(open.log);
        for &entry in &self.uses[first..] {
            self.log.push(LocalUse {
                weight: entry.weight.saturating_mul(INNER),
                ..entry
            });
        }
        self.loops[number as usize] = Found {
            first: first as u32,
            count: (self.uses.len() - first) as u32,
            calls: open.calls,
        };
        if open.calls {
            self.note_call();
        }
    }
}

const UNREACHABLE: u8 = 0x00;

/// Skips over operators (specification, "Binary Format", "Instructions").
struct Skipper<'b>(&'b [u8]);

impl Skipper<'_> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn bytes(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    /// Skips up to two numbers. Nearly always all of them end within eight bytes, and are found there without a branch.
    #[inline]
    fn numbers(&mut self, count: u8) -> Option<()> {
        let Some((first, _)) = self.0.split_first_chunk() else {
            return self.numbers_one_by_one(count);
        };
        let ends = !u64::from_le_bytes(*first) & 0x8080_8080_8080_8080;
        let second = ends & ends.wrapping_sub(1);
        let behind = |end: u64| (end.trailing_zeros() / 8 + 1) as usize;
        let skipped = [0, behind(ends), behind(second)][usize::from(count)];
        if skipped > 8 {
            return self.numbers_one_by_one(count);
        }
        self.0 = &self.0[skipped..];
        Some(())
    }

    #[cold]
    fn numbers_one_by_one(&mut self, count: u8) -> Option<()> {
        (0..count).try_for_each(|_| self.leb().map(drop))
    }

    /// A number of up to 64 bits; only its low 32 are given.
    #[inline]
    fn leb(&mut self) -> Option<u32> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(u32::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).unbounded_shl(shift);
            if byte < 0x80 {
                return Some(value as u32);
            }
        }
        None
    }

    fn memarg(&mut self) -> Option<()> {
        // The alignment says whether the memory's number stands before the offset.
        let with_memory = self.0.first()? & 0x40 != 0;
        self.numbers(2)?;
        if with_memory { self.numbers(1) } else { Some(()) }
    }

    /// A construct's type, or a value's: a number, behind a prefix where a reference is spelled out.
    #[inline]
    fn value_type(&mut self) -> Option<()> {
        if matches!(self.0.first(), Some(0x63 | 0x64)) {
            self.byte()?;
        }
        self.numbers(1)
    }

    fn try_table(&mut self) -> Option<()> {
        self.value_type()?;
        for _ in 0..self.leb()? {
            if self.byte()? < 2 {
                self.leb()?;
            }
            self.leb()?;
        }
        Some(())
    }

    /// The immediates of operators that are rare.
    fn skip_other(&mut self, opcode: u8) -> Option<()> {
        match opcode {
            0x13 => {
                self.leb()?;
                self.leb()?;
            }
            0x0e => {
                for _ in 0..self.leb()? {
                    self.leb()?;
                }
                self.leb()?;
            }
            0x1c => {
                for _ in 0..self.leb()? {
                    self.value_type()?;
                }
            }
            0x43 => self.bytes(4)?,
            0x44 => self.bytes(8)?,
            0xfc => match self.leb()? {
                0..=7 => {}
                9 | 11 | 13 | 15..=17 => {
                    self.leb()?;
                }
                8 | 10 | 12 | 14 => {
                    self.leb()?;
                    self.leb()?;
                }
                _ => return None,
            },
            0xfd => match self.leb()? {
                0..=11 | 92 | 93 => self.memarg()?,
                12 | 13 => self.bytes(16)?,
                21..=34 => self.bytes(1)?,
                84..=91 => {
                    self.memarg()?;
                    self.bytes(1)?;
                }
                _ => {}
            },
            _ => return None,
        }
        Some(())
    }
}

/// What stands behind an opcode, and what the scan makes of it.
#[derive(Clone, Copy)]
enum Form {
    /// So many numbers, two at most.
    Numbers(u8),
    Memory,
    Local,
    Call,
    Block,
    Loop,
    End,
    Other,
}

static FORMS: [Form; 256] = {
    let mut forms = [Form::Other; 256];
    let mut opcode = 0;
    while opcode < 256 {
        forms[opcode] = match opcode {
            0x00 | 0x01 | 0x05 | 0x0a | 0x0f | 0x1a | 0x1b | 0x45..=0xc4 | 0xd1 => Form::Numbers(0),
            0x08 | 0x0c | 0x0d | 0x12 | 0x23..=0x26 | 0x3f..=0x42 | 0xd0 | 0xd2 => Form::Numbers(1),
            0x10 | 0x11 => Form::Call,
            0x20..=0x22 => Form::Local,
            0x28..=0x3e => Form::Memory,
            0x02 | 0x04 => Form::Block,
            0x03 => Form::Loop,
            0x0b => Form::End,
            _ => Form::Other,
        };
        opcode += 1;
    }
    forms
};

/// What follows the operator of one byte, or with a prefix, that begins at `operator` and has `immediates`.
pub(super) fn next_after(operator: &[u8], immediates: Immediates) -> super::Next {
    use super::Next;
    let mut reader = Skipper(operator);
    let mut read = || {
        let opcode = reader.byte()?;
        if opcode >= 0xfc {
            reader.leb()?;
        }
        match immediates {
            Immediates::None => {}
            Immediates::Memory => reader.memarg()?,
        }
        let next = reader.byte()?;
        match next {
            0x21 => Some(Next::LocalSet(reader.leb()?)),
            0x22 => Some(Next::LocalTee(reader.leb()?)),
            _ => None,
        }
    };
    read().unwrap_or(Next::Other)
}

/// What stands between an operator and the next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Immediates {
    None,
    Memory,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each loop its locals with their weights and whether they are written, and whether it calls.
    type Hints = Vec<(Vec<(u32, u32, bool)>, bool)>;

    /// The hints of each loop of the one function of a module in text.
    fn hints(text: &str, locals: &[ValType]) -> Hints {
        let wasm = wat::parse_str(text).expect("wat");
        let mut found = Vec::new();
        for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
            if let Ok(wasmparser::Payload::CodeSectionEntry(body)) = payload {
                let mut reader = body.get_binary_reader();
                for _ in 0..reader.read_var_u32().expect("groups") {
                    reader.read_var_u32().expect("count");
                    reader.read::<wasmparser::ValType>().expect("type");
                }
                let rest = reader.read_bytes(reader.bytes_remaining()).expect("operators");
                let mut scan = Scan::default();
                scan.read(rest, locals);
                for number in 0..scan.loops.len() {
                    let hints = scan.hints(number);
                    let locals = hints.locals.iter();
                    found.push((
                        locals
                            .map(|used| (used.local, used.weight, used.written))
                            .collect(),
                        hints.calls,
                    ));
                }
            }
        }
        found
    }

    #[test]
    fn inner_uses_count_for_the_outer_loop() {
        let found = hints(
            "(module (func (param i32 f64)
               (loop (local.set 0 (local.get 0))
                 (loop (drop (local.get 1)) (br_if 0 (local.get 0))))))",
            &[ValType::I32, ValType::F64],
        );
        assert_eq!(
            found,
            [
                (vec![(0, 10, true), (1, 8, false)], false),
                (vec![(0, 1, false), (1, 1, false)], false)
            ]
        );
    }

    /// Types that are spelled out, and numbers in more bytes than they need, do not lead astray.
    #[test]
    fn a_loop_ends_where_it_does() {
        let operators = [
            &[0x03, 0x40][..],
            // try_table (result (ref null func)), without and with a clause
            &[0x1f, 0x63, 0x70, 0x00, 0x00, 0x0b, 0x1a],
            &[0x1f, 0x63, 0x6f, 0x81, 0x00, 0x02, 0x80, 0x00, 0x00, 0x0b, 0x1a],
            // block, loop, if and select of spelled-out types
            &[0x02, 0x63, 0x70, 0x00, 0x0b, 0x1a],
            &[0x03, 0x63, 0x69, 0x00, 0x0b, 0x1a],
            &[0x41, 0x00, 0x04, 0x63, 0x70, 0x00, 0x05, 0x00, 0x0b, 0x1a],
            &[0x1c, 0x01, 0x63, 0x70],
            // i64.const and i64.load of memory 1 in as many bytes as they may have
            &[0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[
                0x29, 0xc3, 0x80, 0x00, 0x81, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                0x01,
            ],
            &[0x0b],
        ]
        .concat();
        let behind = [0x0b; 20];
        let read = Scan::default().read(&[&operators[..], &behind].concat(), &[]);
        assert_eq!(read, operators.len());
    }

    #[test]
    fn a_call_that_does_not_come_back_is_no_call() {
        let text = |after: &str| {
            format!(
                "(module (func $f) (func (local i32) (loop (call $f) {after} (local.set 0 (i32.const 1)))))"
            )
        };
        assert!(!hints(&text("unreachable"), &[ValType::I32])[0].1);
        assert!(hints(&text("nop"), &[ValType::I32])[0].1);
    }

    #[test]
    fn what_follows_is_seen_past_the_immediates() {
        use super::super::Next;
        assert_eq!(
            next_after(&[0x6a, 0x21, 0x80, 0x01], Immediates::None),
            Next::LocalSet(128)
        );
        assert_eq!(
            next_after(&[0x28, 0x02, 0x08, 0x22, 0x05], Immediates::Memory),
            Next::LocalTee(5)
        );
        assert_eq!(next_after(&[0x6a], Immediates::None), Next::Other);
    }
}
