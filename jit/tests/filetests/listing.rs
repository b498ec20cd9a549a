//! Machine code as lines of text that say nothing of where it lies: jumps lead to numbered labels, calls to numbered
//! functions, and constants behind the code are shown in the place of their addresses.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, Mnemonic, NasmFormatter, OpKind, Register};
use luge_core::compiler::CodeArtifact;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The lines of each function.
pub(crate) fn functions(artifact: &CodeArtifact, frames: bool) -> Vec<Vec<String>> {
    artifact.funcs.iter().map(|func| Function::read(artifact, func.clone()).lines(frames)).collect()
}

/// A line before it is text.
enum Piece {
    Instruction(Instruction),
    /// A jump table.
    Table(Vec<u64>),
}

struct Function<'a> {
    artifact: &'a CodeArtifact,
    pieces: BTreeMap<u64, Piece>,
    /// Numbers of the labels.
    labels: BTreeMap<u64, usize>,
}

impl<'a> Function<'a> {
    fn read(artifact: &'a CodeArtifact, range: Range<u32>) -> Self {
        let mut pieces = BTreeMap::new();
        let mut targets = BTreeSet::new();
        let mut end = u64::from(range.end);
        let mut at = u64::from(range.start);
        let mut table = None;
        let mut last = 0;
        while at < end {
            let code = &artifact.text[at as usize..end as usize];
            let instruction = Decoder::with_ip(64, code, at, DecoderOptions::NONE).decode();
            assert!(!instruction.is_invalid(), "no instruction at {at:#x}: {code:02x?}");
            at = instruction.next_ip();
            if instruction.is_jcc_short_or_near() || instruction.is_jmp_short_or_near() {
                targets.insert(instruction.near_branch_target());
            }
            if instruction.mnemonic() == Mnemonic::Mov && instruction.op0_register() == Register::EAX {
                last = u64::from(instruction.immediate32());
            }
            if instruction.is_ip_rel_memory_operand() {
                let address = instruction.ip_rel_memory_address();
                match instruction.mnemonic() {
                    Mnemonic::Lea => table = Some(address),
                    _ => end = end.min(address),
                }
            }
            let jumps = instruction.is_jmp_near_indirect();
            pieces.insert(instruction.ip(), Piece::Instruction(instruction));
            if let (true, Some(start)) = (jumps, table.take()) {
                let entries = entries(&artifact.text, start, last + 1);
                targets.extend(&entries);
                at = start + 4 * (last + 1);
                pieces.insert(start, Piece::Table(entries));
            }
        }
        let labels = targets.into_iter().zip(1..).collect();
        Self { artifact, pieces, labels }
    }

    fn lines(&self, frames: bool) -> Vec<String> {
        let mut formatter = NasmFormatter::new();
        formatter.options_mut().set_space_after_operand_separator(true);
        formatter.options_mut().set_rip_relative_addresses(false);
        let mut lines = Vec::new();
        for (at, piece) in &self.pieces {
            if let Some(label) = self.labels.get(at) {
                lines.push(format!("L{label}:"));
            }
            match piece {
                Piece::Table(entries) => {
                    let names: Vec<String> = entries.iter().map(|entry| self.label(*entry)).collect();
                    lines.push(format!("table {}", names.join(" ")));
                }
                Piece::Instruction(instruction) => {
                    let line = self.instruction(instruction, &mut formatter);
                    let trap = self.artifact.traps.binary_search_by_key(at, |site| u64::from(site.offset));
                    lines.push(match trap {
                        Ok(index) => format!("{line} ; trap: {}", self.artifact.traps[index].trap),
                        Err(_) => line,
                    });
                }
            }
        }
        if frames { lines } else { without_frame(lines) }
    }

    fn label(&self, target: u64) -> String {
        self.labels.get(&target).map_or_else(|| format!("{target:#x}"), |label| format!("L{label}"))
    }

    fn instruction(&self, instruction: &Instruction, formatter: &mut NasmFormatter) -> String {
        if instruction.op0_kind() == OpKind::NearBranch64 {
            let target = instruction.near_branch_target();
            let mut mnemonic = String::new();
            formatter.format_mnemonic(instruction, &mut mnemonic);
            let callee = self.artifact.funcs.iter().position(|func| u64::from(func.start) == target);
            return match callee {
                Some(callee) => format!("{mnemonic} func {callee}"),
                None => format!("{mnemonic} {}", self.label(target)),
            };
        }
        let mut text = String::new();
        formatter.format(instruction, &mut text);
        if instruction.is_ip_rel_memory_operand() && instruction.mnemonic() != Mnemonic::Lea {
            let from = instruction.ip_rel_memory_address() as usize;
            let size = instruction.memory_size().size().min(16);
            let bytes = self.artifact.text[from..from + size].iter().rev();
            let value: String = bytes.map(|byte| format!("{byte:02x}")).collect();
            let (open, close) = (text.find('[').unwrap_or(0), text.find(']').unwrap_or(0));
            text.replace_range(open..=close, &format!("[constant {value}]"));
        } else if instruction.is_ip_rel_memory_operand() {
            let (open, close) = (text.find('[').unwrap_or(0), text.find(']').unwrap_or(0));
            text.replace_range(open..=close, "[table]");
        }
        text
    }
}

fn entries(text: &[u8], start: u64, count: u64) -> Vec<u64> {
    let words = text[start as usize..][..4 * count as usize].chunks_exact(4);
    let offsets = words.map(|word| i32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    offsets.map(|offset| start.wrapping_add_signed(i64::from(offset))).collect()
}

/// Leaves out what every function has: the frame's beginning, and the check of the stack.
fn without_frame(lines: Vec<String>) -> Vec<String> {
    let is_end = |line: &String| line.starts_with("sub rsp") || line.starts_with("lea rsp");
    let body = lines.iter().position(is_end).map_or(0, |at| at + 1);
    lines.into_iter().skip(body).collect()
}
