//! `luge inspect --asm`: the machine code of the baseline tier beside the WebAssembly that it was made of.
//!
//! ```text
//!   function 3 `gcd`, 84 bytes at 0x40
//!     0x2f  local.get 1
//!        004b  test esi,esi
//!        004d  je 0x6a
//!     0x33  i32.rem_u
//!        0057  div esi                       ; trap: integer divide by zero
//! ```
//! On the left of an operator is its offset in the module, on the left of an instruction its offset in the code. What an
//! operator does later, such as in a trap's stub behind the function, stands under the function's last operator.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, Mnemonic, NasmFormatter};
use luge_core::compiler::CodeArtifact;
use wasmparser::{BinaryReader, KnownCustom, Name, Operator, OperatorsReader, Parser, Payload};

/// Writes the code of all functions and trampolines, or of those functions whose number or name is `wanted`. The inner
/// result is that of the writing.
///
/// # Errors
/// Where no function is called so; the error says it.
pub(super) fn write(
    wasm: &[u8],
    artifact: &CodeArtifact,
    wanted: Option<&str>,
    out: &mut impl Write,
) -> Result<io::Result<()>, String> {
    let names = Names::read(wasm);
    let pieces = pieces(artifact, &names);
    let chosen: Vec<_> = match wanted {
        None => pieces.iter().collect(),
        Some(wanted) => pieces.iter().filter(|piece| piece.is(wanted)).collect(),
    };
    if let (true, Some(wanted)) = (chosen.is_empty(), wanted) {
        return Err(format!(
            "no function that the module defines has the number or name {wanted:?}"
        ));
    }
    let listing = Listing {
        wasm,
        artifact,
        pieces: &pieces,
    };
    Ok(chosen.into_iter().try_for_each(|piece| listing.piece(piece, out)))
}

/// What the module's own sections say about functions.
#[derive(Default)]
struct Names {
    imported: u32,
    funcs: HashMap<u32, String>,
}

impl Names {
    /// Reads what can be read: the module has been validated, but names are not part of that.
    fn read(wasm: &[u8]) -> Names {
        let mut names = Names::default();
        for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
            match payload {
                Payload::ImportSection(imports) => {
                    let imports = imports.into_imports().map_while(Result::ok);
                    let funcs = imports.filter(|import| {
                        matches!(
                            import.ty,
                            wasmparser::TypeRef::Func(_) | wasmparser::TypeRef::FuncExact(_)
                        )
                    });
                    names.imported = u32::try_from(funcs.count()).unwrap_or(u32::MAX);
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(subsections) = section.as_known() {
                        names.subsections(subsections);
                    }
                }
                _ => {}
            }
        }
        names
    }

    fn subsections(&mut self, subsections: wasmparser::NameSectionReader<'_>) {
        for subsection in subsections.into_iter().map_while(Result::ok) {
            if let Name::Function(namings) = subsection {
                let namings = namings.into_iter().map_while(Result::ok);
                self.funcs
                    .extend(namings.map(|naming| (naming.index, naming.name.to_owned())));
            }
        }
    }
}

/// A function or trampoline.
struct Piece {
    /// The function's number.
    func: Option<u32>,
    name: Option<String>,
    title: String,
    range: Range<u32>,
}

impl Piece {
    /// Whether somebody who says `wanted` means this function.
    fn is(&self, wanted: &str) -> bool {
        let Some(func) = self.func else { return false };
        wanted.parse() == Ok(func) || self.name.as_deref() == Some(wanted)
    }
}

fn pieces(artifact: &CodeArtifact, names: &Names) -> Vec<Piece> {
    let funcs = artifact.funcs.iter().zip(names.imported..);
    let mut pieces: Vec<_> = funcs
        .map(|(range, func)| {
            let name = names.funcs.get(&func).cloned();
            let title = match &name {
                Some(name) => format!("function {func} `{}`", name.escape_debug()),
                None => format!("function {func}"),
            };
            Piece {
                func: Some(func),
                name,
                title,
                range: range.clone(),
            }
        })
        .collect();
    for (what, offsets) in [("entry", &artifact.entries), ("host call", &artifact.host_calls)] {
        for (ty, start) in offsets.iter().enumerate() {
            pieces.extend(start.map(|start| Piece {
                func: None,
                name: None,
                title: format!("{what} trampoline of type {ty}"),
                range: start..start,
            }));
        }
    }
    pieces.sort_by_key(|piece| piece.range.start);
    // A trampoline ends where something else begins.
    let mut end = u32::try_from(artifact.text.len()).unwrap_or(u32::MAX);
    for piece in pieces.iter_mut().rev() {
        if piece.range.is_empty() {
            piece.range.end = end;
        }
        end = piece.range.start;
    }
    pieces
}

struct Listing<'a> {
    wasm: &'a [u8],
    artifact: &'a CodeArtifact,
    pieces: &'a [Piece],
}

impl Listing<'_> {
    fn piece(&self, piece: &Piece, out: &mut impl Write) -> io::Result<()> {
        let Range { start, end } = piece.range;
        writeln!(out, "{}, {} bytes at {start:#x}", piece.title, end - start)?;
        let mut formatter = NasmFormatter::new();
        let options = formatter.options_mut();
        options.set_hex_prefix("0x");
        options.set_hex_suffix("");
        options.set_branch_leading_zeros(false);
        options.set_show_branch_size(false);
        options.set_rip_relative_addresses(false);
        let positions = &self.artifact.positions;
        let mut next = positions.partition_point(|position| position.offset < start);
        let mut at = start;
        while at < end {
            while let Some(position) = positions.get(next).filter(|position| position.offset <= at) {
                writeln!(
                    out,
                    "  {:#06x}  {}",
                    position.wasm,
                    operator(self.wasm, position.wasm)
                )?;
                next += 1;
            }
            let data = self.artifact.data.partition_point(|data| data.end <= at);
            let data = self.artifact.data.get(data).filter(|data| data.start < end);
            if let Some(data) = data.filter(|data| data.contains(&at)) {
                self.data(data, out)?;
                at = data.end;
                continue;
            }
            let stop = data.map_or(end, |data| data.start);
            at = self.instruction(at, stop, &mut formatter, out)?;
        }
        writeln!(out)
    }

    /// One instruction that begins at `at` and has to end by `stop`; gives where it ends.
    fn instruction(
        &self,
        at: u32,
        stop: u32,
        formatter: &mut NasmFormatter,
        out: &mut impl Write,
    ) -> io::Result<u32> {
        let bytes = &self.artifact.text[at as usize..stop as usize];
        let instruction = Decoder::with_ip(64, bytes, u64::from(at), DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            writeln!(out, "     {at:04x}  db {:#04x}", bytes[0])?;
            return Ok(at + 1);
        }
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        match self.remark(&instruction, at) {
            Some(remark) => writeln!(out, "     {at:04x}  {text:38}  ; {remark}")?,
            None => writeln!(out, "     {at:04x}  {text}")?,
        }
        Ok(at + u32::try_from(instruction.len()).unwrap_or(1))
    }

    /// What is not to be seen from an instruction itself.
    fn remark(&self, instruction: &Instruction, at: u32) -> Option<String> {
        let traps = &self.artifact.traps;
        if let Ok(index) = traps.binary_search_by_key(&at, |site| site.offset) {
            return Some(format!("trap: {}", traps[index].trap));
        }
        if instruction.mnemonic() != Mnemonic::Call {
            return None;
        }
        let target = u32::try_from(instruction.near_branch_target()).ok()?;
        let index = self
            .pieces
            .binary_search_by_key(&target, |piece| piece.range.start)
            .ok()?;
        Some(self.pieces[index].title.clone())
    }

    /// Words, or what is left of them.
    fn data(&self, data: &Range<u32>, out: &mut impl Write) -> io::Result<()> {
        let bytes = &self.artifact.text[data.start as usize..data.end as usize];
        for (word, at) in bytes.chunks(4).zip((data.start..).step_by(4)) {
            match <[u8; 4]>::try_from(word) {
                Ok(word) => writeln!(out, "     {at:04x}  dd {:#010x}", u32::from_le_bytes(word))?,
                Err(_) => writeln!(out, "     {at:04x}  db {word:02x?}")?,
            }
        }
        Ok(())
    }
}

/// The operator at an offset of the module, as the text format writes it, immediates in their order.
fn operator(wasm: &[u8], offset: u32) -> String {
    let bytes = wasm.get(offset as usize..).unwrap_or_default();
    let reader = BinaryReader::new(bytes, u64::from(offset));
    let Ok(operator) = OperatorsReader::new(reader).read() else {
        return "?".to_owned();
    };
    let name = text_name(visit_name(&operator));
    let debug = format!("{operator:?}");
    let immediates = debug
        .split_once(" { ")
        .map(|(_, rest)| rest.trim_end_matches(" }"))
        .unwrap_or_default();
    if let Some((_, access)) = immediates.split_once("MemArg {") {
        let offset = field(access, "offset: ").unwrap_or("?");
        let lane = field(access, "lane: ");
        return match lane {
            Some(lane) => format!("{name} offset={offset} lane={lane}"),
            None => format!("{name} offset={offset}"),
        };
    }
    match immediates.split_once(": ") {
        // The only immediate needs no name.
        Some((_, value)) if !value.contains(": ") => format!("{name} {value}"),
        Some(_) => format!("{name} {immediates}"),
        None => name,
    }
}

/// The value behind a field's name in a debug form.
fn field<'d>(debug: &'d str, name: &str) -> Option<&'d str> {
    let (_, value) = debug.split_once(name)?;
    value.split([',', ' ']).next()
}

/// The name of the operator's method in a visitor, which is that of the text format with `_` for `.`.
fn visit_name(operator: &Operator<'_>) -> &'static str {
    macro_rules! names {
        ($( @$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*) )*) => {
            match operator {
                $( Operator::$op { .. } => stringify!($visit), )*
                _ => "visit_unknown",
            }
        };
    }
    wasmparser::for_each_operator!(names)
}

/// `visit_i32_add` is `i32.add`, `visit_br_if` is `br_if`.
fn text_name(visit: &str) -> String {
    const SPACES: [&str; 16] = [
        "i32", "i64", "f32", "f64", "v128", "i8x16", "i16x8", "i32x4", "i64x2", "f32x4", "f64x2", "local",
        "global", "table", "memory", "ref",
    ];
    let name = visit.strip_prefix("visit_").unwrap_or(visit);
    match name.split_once('_') {
        Some((space, rest)) if SPACES.contains(&space) || ["elem", "data"].contains(&space) => {
            format!("{space}.{rest}")
        }
        _ => name.trim_start_matches("typed_").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use luge_core::WasmLevel;
    use luge_core::compiler::compile;

    use super::*;
    use crate::engine::{Bounds, baseline};

    fn listing(wat: &str, wanted: Option<&str>) -> Result<String, String> {
        let wasm = wat::parse_str(wat).expect("a module");
        let generator = baseline(Bounds::Guard, false, true).expect("a processor");
        let artifact = compile(WasmLevel::default(), &*generator, &wasm).expect("code");
        let mut out = Vec::new();
        write(&wasm, &artifact, wanted, &mut out)?.expect("a vector takes everything");
        Ok(String::from_utf8(out).expect("text"))
    }

    const DIVIDE: &str = r#"(module
        (import "host" "f" (func $host (param i32)))
        (func $divide (param i32 i32) (result i32)
            (i32.div_u (local.get 0) (local.get 1)))
        (func $twice (export "twice") (param i32) (result i32)
            (call $divide (local.get 0) (i32.const 5)) (call $host (i32.const 7))))"#;

    #[test]
    fn operators_stand_beside_their_instructions() {
        let text = listing(DIVIDE, Some("divide")).expect("a function of the name");
        assert!(text.starts_with("function 1 `divide`, "), "{text}");
        for (operator, instruction) in [
            ("i32.div_u", "div "),
            ("i32.div_u", "; trap: integer divide by zero"),
        ] {
            let behind = text.split_once(operator).expect(operator).1;
            assert!(behind.contains(instruction), "{instruction} in {text}");
        }
        assert!(text.contains("local.get 0\n"), "{text}");
        assert!(!text.contains("db "), "{text}");
        assert_eq!(text.matches("function ").count(), 1, "{text}");
    }

    #[test]
    fn functions_are_found_by_number_and_called_by_name() {
        let text = listing(DIVIDE, Some("2")).expect("a function of the number");
        assert!(text.starts_with("function 2 `twice`, "), "{text}");
        assert!(text.contains("; function 1 `divide`"), "{text}");
        assert!(text.contains("i32.const 5\n"), "{text}");
        // Imported functions have no code.
        assert!(listing(DIVIDE, Some("0")).is_err());
        assert!(listing(DIVIDE, Some("nobody")).is_err());
        let all = listing(DIVIDE, None).expect("everything");
        assert!(
            all.contains("entry trampoline of type") && all.contains("host call trampoline of type"),
            "{all}"
        );
    }

    #[test]
    fn accesses_say_their_offsets() {
        let wat = "(module (memory 1) (func (param i32) (result v128)
            (i32.store offset=24 (local.get 0) (i32.const 7))
            (v128.load8_lane offset=9 3 (local.get 0) (v128.const i32x4 0 0 0 0))))";
        let text = listing(wat, Some("0")).expect("a function");
        assert!(text.contains("  i32.store offset=24\n"), "{text}");
        assert!(text.contains("  v128.load8_lane offset=9 lane=3\n"), "{text}");
        assert!(text.contains("; trap: out of bounds memory access"), "{text}");
    }

    #[test]
    fn jump_tables_are_data() {
        let wat = "(module (func (param i32) (result i32)
            (block (block (block (br_table 0 1 2 1 0 (local.get 0)))
                (return (i32.const 10))) (return (i32.const 20))) (i32.const 30)))";
        let text = listing(wat, None).expect("everything");
        assert_eq!(text.matches("  dd 0x").count(), 5, "{text}");
        assert!(!text.contains("(bad)") && !text.contains("db 0x"), "{text}");
    }

    #[test]
    fn names_are_those_of_the_text_format() {
        for (visit, name) in [
            ("visit_i32_add", "i32.add"),
            ("visit_br_if", "br_if"),
            ("visit_i64_trunc_sat_f32_u", "i64.trunc_sat_f32_u"),
            ("visit_i8x16_extract_lane_s", "i8x16.extract_lane_s"),
            ("visit_memory_grow", "memory.grow"),
            ("visit_data_drop", "data.drop"),
            ("visit_typed_select", "select"),
            ("visit_unreachable", "unreachable"),
            ("visit_local_tee", "local.tee"),
        ] {
            assert_eq!(text_name(visit), name);
        }
    }
}
