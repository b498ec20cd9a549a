//! Machine code as lines of text that say nothing of where it lies: jumps lead to numbered labels, calls to numbered
//! functions, and constants behind the code are shown in the place of their addresses.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, Mnemonic, NasmFormatter, OpKind};
use luge_core::compiler::CodeArtifact;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The lines of each function.
pub(crate) fn functions(artifact: &CodeArtifact, frames: bool) -> Vec<Vec<String>> {
    artifact
        .funcs
        .iter()
        .map(|func| Function::read(artifact, func.clone()).lines(frames))
        .collect()
}

/// The lines of one function from an offset in the code on.
pub(crate) fn from(artifact: &CodeArtifact, func: usize, offset: u32) -> Vec<String> {
    let mut function = Function::read(artifact, artifact.funcs[func].clone());
    function.pieces = function.pieces.split_off(&u64::from(offset));
    function.lines(true)
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
        let end = u64::from(range.end);
        let mut at = u64::from(range.start);
        while at < end {
            if let Some(data) = artifact.data.iter().find(|data| u64::from(data.start) == at) {
                at = u64::from(data.end);
                continue;
            }
            let code = &artifact.text[at as usize..end as usize];
            let instruction = Decoder::with_ip(64, code, at, DecoderOptions::NONE).decode();
            assert!(
                !instruction.is_invalid(),
                "no instruction at {at:#x}: {code:02x?}"
            );
            at = instruction.next_ip();
            if is_branch(&instruction) && instruction.mnemonic() != Mnemonic::Call {
                targets.insert(instruction.near_branch_target());
            }
            if instruction.mnemonic() == Mnemonic::Lea && instruction.is_ip_rel_memory_operand() {
                let start = instruction.ip_rel_memory_address();
                let table = artifact.data.iter().find(|data| u64::from(data.start) == start);
                let entries = entries(&artifact.text, table.expect("the address of a table").clone());
                targets.extend(&entries);
                pieces.insert(start, Piece::Table(entries));
            }
            // Padding.
            if instruction.mnemonic() != Mnemonic::Int3 {
                pieces.insert(instruction.ip(), Piece::Instruction(instruction));
            }
        }
        let labels = targets.into_iter().zip(1..).collect();
        Self {
            artifact,
            pieces,
            labels,
        }
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
                    let trap = self
                        .artifact
                        .traps
                        .binary_search_by_key(at, |site| u64::from(site.offset));
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
        self.labels
            .get(&target)
            .map_or_else(|| format!("{target:#x}"), |label| format!("L{label}"))
    }

    fn instruction(&self, instruction: &Instruction, formatter: &mut NasmFormatter) -> String {
        if is_branch(instruction) {
            let target = instruction.near_branch_target();
            let mut mnemonic = String::new();
            formatter.format_mnemonic(instruction, &mut mnemonic);
            let callee = self
                .artifact
                .funcs
                .iter()
                .position(|func| u64::from(func.start) == target);
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

fn is_branch(instruction: &Instruction) -> bool {
    instruction.op_count() > 0 && instruction.op0_kind() == OpKind::NearBranch64
}

/// Where the entries of a table lead: each is a distance from its start.
fn entries(text: &[u8], table: Range<u32>) -> Vec<u64> {
    let words = text[table.start as usize..table.end as usize].chunks_exact(4);
    let offsets = words.map(|word| i32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    offsets
        .map(|offset| u64::from(table.start).wrapping_add_signed(i64::from(offset)))
        .collect()
}

/// Leaves out what every function begins with: its frame, and the check of the stack.
fn without_frame(lines: Vec<String>) -> Vec<String> {
    let body = lines.iter().position(|line| line == "mov [rbp-8], r15");
    let body = body.map_or(0, |at| at + 1);
    without_exhaustion(lines.into_iter().skip(body).collect())
}

/// Leaves out where that check leads, which is behind the rest.
pub(crate) fn without_exhaustion(mut lines: Vec<String>) -> Vec<String> {
    if let Some(at) = lines
        .iter()
        .position(|line| line.ends_with("trap: call stack exhausted"))
    {
        lines.drain(at - 1..=at);
    }
    lines
}
