//! The macro assembler: x86-64 instructions by name, and what each operator of WebAssembly becomes.
//!
//! It is shared by all machine-code tiers, which stand above it and decide where values live. A tier hands over an operator
//! and places, and gets instructions; each operator's `emit` stands here once. The common instructions are encoded here too,
//! all others by `dynasm`:
//!
//! | module | holds |
//! |---|---|
//! | `reg` | registers, places, conditions |
//! | `code` | the bytes so far |
//! | `label` | labels and jumps |
//! | `general` | the common instructions of general registers |
//! | `encode` | the shortest encoding of all others, which `dynasm` writes |
//! | `moves` | moves between registers, memory and constants |
//! | `scalar` | integer and float operators, loads and stores |
//! | `vector` | 128-bit operators, with AVX or with SSE4.2 |
//!
//! An `emit` may use the scratch registers ([`reg::SCRATCH`] and its fellows) as it likes and leaves every other register
//! but its destination as it was. Its destination may be one of its sources. It may change the flags.

mod call;
mod code;
mod encode;
mod general;
mod label;
mod moves;
mod reg;
mod scalar;
#[cfg(test)]
mod testing;
mod vector;

pub(crate) use label::Label;
pub(crate) use reg::{Condition, Mem, Reg, Rhs, SCRATCH, SCRATCH2, VSCRATCH, VSCRATCH2};
pub(crate) use vector::ShiftCount;

use crate::cpu::CpuFeatures;
use code::Code;
use dynasmrt::DynasmApi;
use label::Labels;
use luge_core::Trap;
use luge_core::compiler::TrapSite;

/// An instruction stream under construction.
#[derive(Debug)]
pub(crate) struct Masm {
    code: Code,
    cpu: CpuFeatures,
    labels: Labels,
    traps: Vec<TrapSite>,
    constants: vector::Constants,
    /// Jump tables and constants among the code.
    data: Vec<std::ops::Range<u32>>,
    /// The register whose value the zero flag tells of, its width, and where the instruction that set it ends.
    zero_flag: Option<(Reg, u32, u32)>,
    /// Labels of this function's trap instructions, one for each kind that is used.
    stubs: Vec<(Trap, Label)>,
}

impl Masm {
    /// An empty stream for a processor with these features.
    pub(crate) fn new(cpu: CpuFeatures) -> Self {
        Self {
            code: Code::default(),
            cpu,
            labels: Labels::default(),
            traps: Vec::new(),
            constants: vector::Constants::default(),
            data: Vec::new(),
            zero_flag: None,
            stubs: Vec::new(),
        }
    }

    /// Makes room for so many bytes of code.
    pub(crate) fn reserve_code(&mut self, bytes: usize) {
        self.code.reserve(bytes);
    }

    /// Where the next instruction goes, in bytes from the start.
    #[inline]
    pub(crate) fn here(&self) -> u32 {
        // `is_full` is looked at long before a stream comes near this.
        self.code.len() as u32
    }

    /// The code and its trap sites.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<TrapSite>) {
        (self.code.into_bytes(), self.traps)
    }

    /// Says that what was emitted from `start` on is data.
    pub(crate) fn data_since(&mut self, start: u32) {
        let range = start..self.here();
        self.data.push(range);
    }

    /// What was said to be data, in ascending order.
    pub(crate) fn take_data(&mut self) -> Vec<std::ops::Range<u32>> {
        std::mem::take(&mut self.data)
    }

    /// Overwrites the four bytes at `offset`, for what is known only later.
    pub(crate) fn patch_u32(&mut self, offset: u32, value: u32) {
        let offset = offset as usize;
        self.code[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Takes back what was emitted from `offset` on, which nothing refers to.
    pub(crate) fn rewind(&mut self, offset: u32) {
        self.code.truncate(offset as usize);
        self.zero_flag = None;
    }

    /// Reads back the four bytes at `offset`.
    pub(crate) fn read_u32(&self, offset: u32) -> u32 {
        let bytes = &self.code[offset as usize..][..4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Says that the next instruction may fault, and what that means.
    #[inline]
    pub(crate) fn trap_here(&mut self, trap: Trap) {
        let offset = self.here();
        self.traps.push(TrapSite { offset, trap });
    }

    /// A label of this function at which the guest traps.
    pub(crate) fn trap_label(&mut self, trap: Trap) -> Label {
        if let Some(&(_, label)) = self.stubs.iter().find(|(of, _)| *of == trap) {
            return label;
        }
        let label = self.label();
        self.stubs.push((trap, label));
        label
    }

    /// Traps if the condition holds.
    pub(crate) fn trap_if(&mut self, condition: Condition, trap: Trap) {
        let label = self.trap_label(trap);
        self.jump_if(condition, label);
    }

    /// Emits the trap instructions that this function's jumps lead to, and its constants. Called once, behind the
    /// function's last instruction. Constants are aligned to 16 bytes, and so must be the function.
    pub(crate) fn finish_function(&mut self) {
        // Kept to be used again.
        let mut stubs = std::mem::take(&mut self.stubs);
        for (trap, label) in stubs.drain(..) {
            self.bind(label);
            self.trap(trap);
        }
        self.stubs = stubs;
        self.finish_constants();
    }

    /// Goes to where the guest traps; what follows is reached all the same, as far as the caller knows.
    pub(crate) fn trap_always(&mut self, trap: Trap) {
        let label = self.trap_label(trap);
        self.jump(label);
    }

    /// Fills up to where a function may begin.
    pub(crate) fn align_function(&mut self) {
        self.align(16, 0xcc);
    }

    /// Fills up to where words may lie.
    pub(crate) fn align_data(&mut self) {
        self.align(4, 0xcc);
    }

    /// Traps.
    pub(crate) fn trap(&mut self, trap: Trap) {
        self.trap_here(trap);
        dynasmrt::dynasm!(self ; .arch x64 ; ud2);
    }
}

/// `dynasm!` writes through these.
impl Extend<u8> for Masm {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        bytes.into_iter().for_each(|byte| self.push(byte));
    }
}

impl<'a> Extend<&'a u8> for Masm {
    #[inline]
    fn extend<T: IntoIterator<Item = &'a u8>>(&mut self, bytes: T) {
        bytes.into_iter().for_each(|&byte| self.push(byte));
    }
}

impl DynasmApi for Masm {
    fn offset(&self) -> dynasmrt::AssemblyOffset {
        dynasmrt::AssemblyOffset(self.code.len())
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.code.put(u64::from(byte), 1);
    }

    fn align(&mut self, alignment: usize, with: u8) {
        while !self.code.len().is_multiple_of(alignment) {
            self.push(with);
        }
    }

    #[inline]
    fn push_i32(&mut self, value: i32) {
        self.code.put(u64::from(value as u32), 4);
    }
}
