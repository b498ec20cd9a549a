//! The smallest ELF file (System V ABI, chapter 4, "Object Files") that names code: no bytes of the code itself, only where it
//! lies and what lies in it.
//!
//! ```text
//!     0  header
//!    64  5 section headers: null, .text (no bytes; the code's address), .symtab, .strtab, .shstrtab
//!   384  symbols, 24 bytes each, the first one null
//!        names of symbols
//!        names of sections
//! ```

use crate::observer::CodeView;

const HEADER: usize = 64;
const SECTION: usize = 64;
const SYMBOL: usize = 24;
const SECTIONS: usize = 5;
/// The number of .text.
const TEXT: u16 = 1;
/// Names of the sections, and where each begins.
const NAMES: &[u8] = b"\0.text\0.symtab\0.strtab\0.shstrtab\0";
const NAME_TEXT: u32 = 1;
const NAME_SYMTAB: u32 = 7;
const NAME_STRTAB: u32 = 15;
const NAME_SHSTRTAB: u32 = 23;

/// A relocatable file whose .text is the code, with a symbol for each function and trampoline.
pub(super) fn file(code: &CodeView<'_>) -> Vec<u8> {
    let mut strings = vec![0];
    let mut symbols = vec![0; SYMBOL];
    for symbol in code.symbols {
        let mut entry = Bytes(&mut symbols);
        entry.u32(strings.len() as u32);
        // A global function of default visibility.
        entry.u16(0x12);
        entry.u16(TEXT);
        entry.u64(u64::from(symbol.range.start));
        entry.u64(symbol.range.len() as u64);
        strings.extend(symbol.name.bytes().filter(|&byte| byte != 0));
        strings.push(0);
    }
    let symbols_at = HEADER + SECTIONS * SECTION;
    let strings_at = symbols_at + symbols.len();
    let names_at = strings_at + strings.len();
    let mut file = Vec::with_capacity(names_at + NAMES.len());
    header(&mut Bytes(&mut file));
    let mut sections = Bytes(&mut file);
    sections.section([0; 10]);
    let (address, length) = (code.address as u64, code.text.len() as u64);
    // SHT_NOBITS, to be allocated and executed.
    sections.section([u64::from(NAME_TEXT), 8, 6, address, 0, length, 0, 0, 16, 0]);
    // SHT_SYMTAB, its strings in section 3, one local symbol.
    let (at, length) = (symbols_at as u64, symbols.len() as u64);
    sections.section([
        u64::from(NAME_SYMTAB),
        2,
        0,
        0,
        at,
        length,
        3,
        1,
        8,
        SYMBOL as u64,
    ]);
    for (name, at, length) in [
        (NAME_STRTAB, strings_at, strings.len()),
        (NAME_SHSTRTAB, names_at, NAMES.len()),
    ] {
        // SHT_STRTAB.
        sections.section([u64::from(name), 3, 0, 0, at as u64, length as u64, 0, 0, 1, 0]);
    }
    file.extend_from_slice(&symbols);
    file.extend_from_slice(&strings);
    file.extend_from_slice(NAMES);
    file
}

fn header(bytes: &mut Bytes<'_>) {
    // 64 bits, little-endian, version 1, System V.
    bytes
        .0
        .extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // ET_REL, EM_X86_64.
    bytes.u16(1);
    bytes.u16(62);
    bytes.u32(1);
    // No entry, no segments; sections behind the header.
    for number in [0, 0, HEADER as u64] {
        bytes.u64(number);
    }
    bytes.u32(0);
    for number in [
        HEADER as u16,
        0,
        0,
        SECTION as u16,
        SECTIONS as u16,
        SECTIONS as u16 - 1,
    ] {
        bytes.u16(number);
    }
}

struct Bytes<'f>(&'f mut Vec<u8>);

impl Bytes<'_> {
    fn u16(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Name, type, flags, address, offset, size, link, info, alignment and size of an entry.
    fn section(&mut self, fields: [u64; 10]) {
        for (index, field) in fields.into_iter().enumerate() {
            match index {
                0 | 1 | 6 | 7 => self.u32(field as u32),
                _ => self.u64(field),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::CodeSymbol;

    #[test]
    fn what_it_says_of_itself_is_true() {
        let symbol = |name: &str, range| CodeSymbol {
            name: name.to_owned(),
            func: None,
            range,
        };
        let file = file(&CodeView {
            tier: "test",
            module: None,
            address: 0x7000_1234_5000,
            text: &[0xcc; 64],
            symbols: &[symbol("first", 0..16), symbol("sec\0ond", 16..64)],
        });
        let number = |at: usize, bytes: usize| {
            let bytes = file[at..at + bytes].iter().rev();
            bytes.fold(0, |number, &byte| number << 8 | usize::from(byte))
        };
        assert_eq!(
            (number(40, 8), number(58, 2), number(60, 2), number(62, 2)),
            (64, 64, 5, 4)
        );
        let section = |index: usize| {
            let at = HEADER + index * SECTION;
            (
                number(at + 4, 4),
                number(at + 16, 8),
                number(at + 24, 8),
                number(at + 32, 8),
            )
        };
        let text = |at: usize| {
            let end = file[at..].iter().position(|&byte| byte == 0).expect("an end");
            std::str::from_utf8(&file[at..at + end]).expect("ASCII")
        };
        let (_, _, names, names_bytes) = section(4);
        assert_eq!(names + names_bytes, file.len());
        let called = |index: usize| text(names + number(HEADER + index * SECTION, 4));
        assert_eq!(
            [1, 2, 3, 4].map(called),
            [".text", ".symtab", ".strtab", ".shstrtab"]
        );
        assert_eq!(section(1), (8, 0x7000_1234_5000, 0, 64));
        let (kind, _, symbols, symbols_bytes) = section(2);
        assert_eq!((kind, symbols_bytes), (2, 3 * SYMBOL));
        let strings = section(3).2;
        let read = |index: usize| {
            let at = symbols + index * SYMBOL;
            (
                text(strings + number(at, 4)),
                number(at + 6, 2),
                number(at + 8, 8),
                number(at + 16, 8),
            )
        };
        assert_eq!([1, 2].map(read), [("first", 1, 0, 16), ("second", 1, 16, 48)]);
    }
}
