//! Instructions of general registers, written at once.
//!
//! Nine of ten instructions of ordinary code are moves, arithmetic, comparisons and jumps in general registers. They differ in
//! an opcode and have one layout (Intel, "Software Developer's Manual", volume 2, section 2.1):
//!
//! ```text
//!   [REX]  opcode of one or two bytes  ModRM  [SIB]  [displacement of 1 or 4 bytes]  [immediate]
//! ```
//!
//! So they are put together in a register, by arithmetic and almost without branches, and appended to the code as a word of eight
//! bytes, of which as many count as the instruction has. All others, those of vectors and floats above all, go through
//! `dynasm` and the second look of `encode`.

use super::{Masm, Mem, Reg};

/// An opcode of one byte, or of two, of which the first is the lower one: `0f b6` is `0xb60f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opcode(u16);

impl Opcode {
    pub(super) const MOV_LOAD: Self = Self(0x8b);
    pub(super) const MOV_STORE: Self = Self(0x89);
    pub(super) const MOV_STORE_BYTE: Self = Self(0x88);
    pub(super) const MOV_IMM: Self = Self(0xc7);
    pub(super) const MOV_IMM_BYTE: Self = Self(0xc6);
    pub(super) const LEA: Self = Self(0x8d);
    pub(super) const TEST: Self = Self(0x85);
    pub(super) const IMUL: Self = Self(0xaf0f);
    pub(super) const IMUL_IMM: Self = Self(0x69);
    pub(super) const IMUL_IMM_BYTE: Self = Self(0x6b);
    pub(super) const MOVZX_BYTE: Self = Self(0xb60f);
    pub(super) const MOVZX_WORD: Self = Self(0xb70f);
    pub(super) const MOVSX_BYTE: Self = Self(0xbe0f);
    pub(super) const MOVSX_WORD: Self = Self(0xbf0f);
    pub(super) const MOVSXD: Self = Self(0x63);
    /// The group of two-operand instructions with a constant.
    pub(super) const ALU_IMM: Self = Self(0x81);
    pub(super) const ALU_IMM_BYTE: Self = Self(0x83);
    /// The group of shifts, by a constant and by `cl`.
    pub(super) const SHIFT_IMM: Self = Self(0xc1);
    pub(super) const SHIFT_CL: Self = Self(0xd3);

    /// One of the group of two-operand instructions: `r/m op= reg`.
    pub(super) fn alu_to_rm(number: u8) -> Self {
        Self(u16::from(number << 3 | 1))
    }

    /// `reg op= r/m`.
    pub(super) fn alu_to_reg(number: u8) -> Self {
        Self(u16::from(number << 3 | 3))
    }

    /// A conditional move.
    pub(super) fn cmov(condition: u8) -> Self {
        Self(0x400f | u16::from(condition) << 8)
    }

    /// A condition into a byte.
    pub(super) fn setcc(condition: u8) -> Self {
        Self(0x900f | u16::from(condition) << 8)
    }
}

/// A constant at an instruction's end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Imm {
    None,
    Byte(i8),
    Dword(i32),
}

impl Imm {
    #[inline(always)]
    fn parts(self) -> (u32, u32) {
        match self {
            Self::None => (0, 0),
            Self::Byte(value) => (u32::from(value as u8), 1),
            Self::Dword(value) => (value as u32, 4),
        }
    }
}

/// REX, opcode and ModRM, and how many bits they are. `reg` and the rest are numbers of registers.
#[inline(always)]
fn head(opcode: Opcode, rex: u8, keep_rex: bool, modrm: u8) -> (u64, u32) {
    let prefixed = rex != 0 || keep_rex;
    let mut word = if prefixed { u64::from(0x40 | rex) } else { 0 };
    let mut bits = u32::from(prefixed) * 8;
    word |= u64::from(opcode.0) << bits;
    bits += if opcode.0 > 0xff { 16 } else { 8 };
    word |= u64::from(modrm) << bits;
    (word, bits + 8)
}

impl Masm {
    /// Appends up to eight bytes.
    #[inline(always)]
    pub(super) fn put_short(&mut self, word: u64, bytes: u32) {
        let end = self.code.len() + bytes as usize;
        self.code.extend_from_slice(&word.to_le_bytes());
        self.code.truncate(end);
    }

    /// The prefix by which the next instruction is one of 16 bits.
    pub(super) fn operand_size_prefix(&mut self) {
        self.put_short(0x66, 1);
    }

    /// An instruction of two general registers: `reg` is in that field of ModRM, and may be a group's number instead; `rm` in
    /// the other.
    #[inline]
    pub(super) fn of_registers(&mut self, opcode: Opcode, reg: u8, rm: Reg, wide: bool, imm: Imm) {
        self.of_registers_keeping(opcode, reg, rm, wide, false, imm);
    }

    /// [`Masm::of_registers`], with a REX prefix even if it is empty where `keep_rex` says so: beside some registers of bytes it
    /// has a meaning.
    #[inline]
    pub(super) fn of_registers_keeping(
        &mut self,
        opcode: Opcode,
        reg: u8,
        rm: Reg,
        wide: bool,
        keep_rex: bool,
        imm: Imm,
    ) {
        debug_assert!(!rm.is_xmm() && reg < 16);
        let rm = rm.number();
        let rex = u8::from(wide) << 3 | reg >> 3 << 2 | rm >> 3;
        let (word, bits) = head(opcode, rex, keep_rex, 0xc0 | (reg & 7) << 3 | rm & 7);
        let (imm, size) = imm.parts();
        // At most four bytes so far.
        self.put_short(word | u64::from(imm) << bits, bits / 8 + size);
    }

    /// An instruction of a general register, or a group's number, and memory; a constant is the caller's to append.
    #[inline]
    pub(super) fn of_memory(&mut self, opcode: Opcode, reg: u8, mem: Mem, wide: bool) {
        self.of_memory_scaled(opcode, reg, mem, 0, wide, false);
    }

    /// [`Masm::of_memory`], the index shifted to the left by `scale`, and with a REX prefix even if it is empty where
    /// `keep_rex` says so.
    pub(super) fn of_memory_scaled(
        &mut self,
        opcode: Opcode,
        reg: u8,
        mem: Mem,
        scale: u8,
        wide: bool,
        keep_rex: bool,
    ) {
        let Mem { base, index, disp } = mem;
        // As an index, `rsp` would silently mean none.
        debug_assert!(index != Some(Reg::RSP) && !base.is_xmm() && reg < 16);
        let base = base.number();
        // No index is encoded as `rsp`.
        let index_number = index.map_or(4, Reg::number);
        let rex = u8::from(wide) << 3 | reg >> 3 << 2 | index_number >> 3 << 1 | base >> 3;
        // A base of 4 means that a SIB byte follows.
        let with_sib = index.is_some() || base & 7 == 4;
        let rm = if with_sib { 4 } else { base & 7 };
        // With a base of 5 and no displacement the encoding has other meanings.
        let with_disp = disp != 0 || base & 7 == 5;
        let short = i32::from(disp as i8) == disp;
        let mode = if short { u8::from(with_disp) << 6 } else { 0x80 };
        let (mut word, mut bits) = head(opcode, rex, keep_rex, mode | (reg & 7) << 3 | rm);
        let sib = scale << 6 | (index_number & 7) << 3 | base & 7;
        word |= (u64::from(sib) * u64::from(with_sib)) << bits;
        bits += u32::from(with_sib) * 8;
        // At most five bytes so far.
        if short {
            word |= u64::from(disp as u8) << bits;
            self.put_short(word, bits / 8 + u32::from(with_disp));
        } else {
            self.put_short(word, bits / 8);
            self.put_short(u64::from(disp as u32), 4);
        }
    }

    /// Appends a constant of `bytes` bytes, which ends an instruction.
    #[inline]
    pub(super) fn immediate_of(&mut self, value: i32, bytes: u32) {
        self.put_short(u64::from(value as u32), bytes);
    }
}
