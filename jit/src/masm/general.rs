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

    /// How many bits it has.
    #[inline(always)]
    fn bits(self) -> u32 {
        if self.0 > 0xff { 16 } else { 8 }
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
    prefixed(
        rex,
        keep_rex,
        u64::from(opcode.0) | u64::from(modrm) << opcode.bits(),
        opcode.bits() + 8,
    )
}

/// An instruction and how many bits it has, with a REX prefix if it needs one.
#[inline(always)]
fn prefixed(rex: u8, keep_rex: bool, word: u64, bits: u32) -> (u64, u32) {
    if rex != 0 || keep_rex {
        (word << 8 | u64::from(0x40 | rex), bits + 8)
    } else {
        (word, bits)
    }
}

impl Masm {
    /// Appends up to eight bytes.
    #[inline(always)]
    pub(super) fn put_short(&mut self, word: u64, bytes: u32) {
        self.code.put(word, bytes);
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
        if mem.index.is_none() && mem.base == Reg::RBP {
            self.of_frame(opcode, reg, mem.disp, wide);
        } else {
            self.of_memory_scaled(opcode, reg, mem, 0, wide, false);
        }
    }

    /// [`Masm::of_memory`] of `[rbp + disp]`, as half of all accesses are: no SIB byte, and always a displacement.
    #[inline(always)]
    pub(super) fn of_frame(&mut self, opcode: Opcode, reg: u8, disp: i32, wide: bool) {
        debug_assert!(reg < 16);
        let rex = u8::from(wide) << 3 | reg >> 3 << 2;
        let modrm = 5 | (reg & 7) << 3;
        let (mode, displacement, bits) = match i8::try_from(disp) {
            Ok(short) => (0x40, u64::from(short as u8), 8),
            Err(_) => (0x80, u64::from(disp as u32), 32),
        };
        let word = u64::from(opcode.0)
            | u64::from(mode | modrm) << opcode.bits()
            | displacement << (opcode.bits() + 8);
        // At most eight bytes.
        let (word, bits) = prefixed(rex, false, word, opcode.bits() + 8 + bits);
        self.put_short(word, bits / 8);
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
        if let (Reg::MEMORY, Some(index)) = (base, index) {
            return self.of_linear_memory(opcode, reg, index, scale, disp, wide);
        }
        let base = base.number();
        // No index is encoded as `rsp`.
        let index_number = index.map_or(4, Reg::number);
        let rex = u8::from(wide) << 3 | reg >> 3 << 2 | index_number >> 3 << 1 | base >> 3;
        let (reg, low_base) = ((reg & 7) << 3, base & 7);
        // With a base of 5 and no displacement the encoding has other meanings.
        let (mode, disp_bytes) = match (i8::try_from(disp), disp != 0 || low_base == 5) {
            (Ok(_), false) => (0, 0),
            (Ok(_), true) => (0x40, 1),
            (Err(_), _) => (0x80, 4),
        };
        let displacement = if disp_bytes == 4 {
            disp as u32
        } else {
            u32::from(disp as u8)
        };
        // A base of 4 means that a SIB byte follows.
        let (word, bits) = if index.is_some() || low_base == 4 {
            let sib = scale << 6 | (index_number & 7) << 3 | low_base;
            let (word, bits) = head(opcode, rex, keep_rex, mode | reg | 4);
            (word | u64::from(sib) << bits, bits + 8)
        } else {
            head(opcode, rex, keep_rex, mode | reg | low_base)
        };
        // At most five bytes so far.
        self.put_short(
            word | u64::from(displacement) << bits,
            bits / 8 + disp_bytes.min(3),
        );
        if disp_bytes == 4 {
            self.put_short(u64::from(displacement >> 24), 1);
        }
    }

    /// [`Masm::of_memory_scaled`] of `[r14 + index + disp]`, as nearly all other accesses are: a REX prefix and a SIB byte in any
    /// case, and a displacement unless it is 0.
    #[inline(always)]
    fn of_linear_memory(&mut self, opcode: Opcode, reg: u8, index: Reg, scale: u8, disp: i32, wide: bool) {
        let (base, index) = (Reg::MEMORY.number(), index.number());
        let rex = 0x40 | u8::from(wide) << 3 | reg >> 3 << 2 | index >> 3 << 1 | base >> 3;
        let (mode, bytes) = match i8::try_from(disp) {
            Ok(0) => (0, 0),
            Ok(_) => (0x40, 1),
            Err(_) => (0x80, 4),
        };
        let modrm = mode | (reg & 7) << 3 | 4;
        let sib = scale << 6 | (index & 7) << 3 | base & 7;
        let operand = u64::from(modrm) | u64::from(sib) << 8 | u64::from(disp as u32) << 16;
        // Its own eight bytes reach to the end of a displacement of three; what is behind those counts only if there is a fourth.
        let word = u64::from(rex) | u64::from(opcode.0) << 8 | operand << (8 + opcode.bits());
        let head = opcode.bits() / 8 + 3;
        if bytes < 4 {
            self.put_short(word, head + bytes);
        } else {
            self.put_short(word, head);
            self.put_short(u64::from(disp as u32), 4);
        }
    }

    /// Appends a constant of `bytes` bytes, which ends an instruction.
    #[inline]
    pub(super) fn immediate_of(&mut self, value: i32, bytes: u32) {
        self.put_short(u64::from(value as u32), bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::assemble;
    use super::super::{Masm, Mem, Reg};
    use super::{Imm, Opcode};
    use crate::cpu::CpuFeatures;
    use iced_x86::{Code, Encoder, IcedError, Instruction, MemoryOperand, Register};

    const SIGNED_BYTES: [i8; 4] = [0, 1, -1, -128];
    const SIGNED: [i32; 4] = [128, -129, i32::MAX, i32::MIN];
    const DISPLACEMENTS: [i32; 5] = [0, 127, -128, 128, i32::MIN];

    /// A group's number; `r/m op= reg`, `reg op= r/m`, `r/m op= dword` and `r/m op= byte`, of 32 and of 64 bits.
    #[rustfmt::skip]
    const ALU: [(u8, [[Code; 2]; 4]); 6] = [
        (0, [[Code::Add_rm32_r32, Code::Add_rm64_r64], [Code::Add_r32_rm32, Code::Add_r64_rm64],
             [Code::Add_rm32_imm32, Code::Add_rm64_imm32], [Code::Add_rm32_imm8, Code::Add_rm64_imm8]]),
        (1, [[Code::Or_rm32_r32, Code::Or_rm64_r64], [Code::Or_r32_rm32, Code::Or_r64_rm64],
             [Code::Or_rm32_imm32, Code::Or_rm64_imm32], [Code::Or_rm32_imm8, Code::Or_rm64_imm8]]),
        (4, [[Code::And_rm32_r32, Code::And_rm64_r64], [Code::And_r32_rm32, Code::And_r64_rm64],
             [Code::And_rm32_imm32, Code::And_rm64_imm32], [Code::And_rm32_imm8, Code::And_rm64_imm8]]),
        (5, [[Code::Sub_rm32_r32, Code::Sub_rm64_r64], [Code::Sub_r32_rm32, Code::Sub_r64_rm64],
             [Code::Sub_rm32_imm32, Code::Sub_rm64_imm32], [Code::Sub_rm32_imm8, Code::Sub_rm64_imm8]]),
        (6, [[Code::Xor_rm32_r32, Code::Xor_rm64_r64], [Code::Xor_r32_rm32, Code::Xor_r64_rm64],
             [Code::Xor_rm32_imm32, Code::Xor_rm64_imm32], [Code::Xor_rm32_imm8, Code::Xor_rm64_imm8]]),
        (7, [[Code::Cmp_rm32_r32, Code::Cmp_rm64_r64], [Code::Cmp_r32_rm32, Code::Cmp_r64_rm64],
             [Code::Cmp_rm32_imm32, Code::Cmp_rm64_imm32], [Code::Cmp_rm32_imm8, Code::Cmp_rm64_imm8]]),
    ];

    /// A group's number; by a constant and by `cl`.
    #[rustfmt::skip]
    const SHIFTS: [(u8, [Code; 2], [Code; 2]); 5] = [
        (0, [Code::Rol_rm32_imm8, Code::Rol_rm64_imm8], [Code::Rol_rm32_CL, Code::Rol_rm64_CL]),
        (1, [Code::Ror_rm32_imm8, Code::Ror_rm64_imm8], [Code::Ror_rm32_CL, Code::Ror_rm64_CL]),
        (4, [Code::Shl_rm32_imm8, Code::Shl_rm64_imm8], [Code::Shl_rm32_CL, Code::Shl_rm64_CL]),
        (5, [Code::Shr_rm32_imm8, Code::Shr_rm64_imm8], [Code::Shr_rm32_CL, Code::Shr_rm64_CL]),
        (7, [Code::Sar_rm32_imm8, Code::Sar_rm64_imm8], [Code::Sar_rm32_CL, Code::Sar_rm64_CL]),
    ];

    /// By condition: the moves and the bytes.
    #[rustfmt::skip]
    const CONDITIONS: [([Code; 2], Code); 16] = [
        ([Code::Cmovo_r32_rm32, Code::Cmovo_r64_rm64], Code::Seto_rm8),
        ([Code::Cmovno_r32_rm32, Code::Cmovno_r64_rm64], Code::Setno_rm8),
        ([Code::Cmovb_r32_rm32, Code::Cmovb_r64_rm64], Code::Setb_rm8),
        ([Code::Cmovae_r32_rm32, Code::Cmovae_r64_rm64], Code::Setae_rm8),
        ([Code::Cmove_r32_rm32, Code::Cmove_r64_rm64], Code::Sete_rm8),
        ([Code::Cmovne_r32_rm32, Code::Cmovne_r64_rm64], Code::Setne_rm8),
        ([Code::Cmovbe_r32_rm32, Code::Cmovbe_r64_rm64], Code::Setbe_rm8),
        ([Code::Cmova_r32_rm32, Code::Cmova_r64_rm64], Code::Seta_rm8),
        ([Code::Cmovs_r32_rm32, Code::Cmovs_r64_rm64], Code::Sets_rm8),
        ([Code::Cmovns_r32_rm32, Code::Cmovns_r64_rm64], Code::Setns_rm8),
        ([Code::Cmovp_r32_rm32, Code::Cmovp_r64_rm64], Code::Setp_rm8),
        ([Code::Cmovnp_r32_rm32, Code::Cmovnp_r64_rm64], Code::Setnp_rm8),
        ([Code::Cmovl_r32_rm32, Code::Cmovl_r64_rm64], Code::Setl_rm8),
        ([Code::Cmovge_r32_rm32, Code::Cmovge_r64_rm64], Code::Setge_rm8),
        ([Code::Cmovle_r32_rm32, Code::Cmovle_r64_rm64], Code::Setle_rm8),
        ([Code::Cmovg_r32_rm32, Code::Cmovg_r64_rm64], Code::Setg_rm8),
    ];

    /// Opcodes that read `r/m` of so many bytes, 0 for their own width, and write `reg`: of 32 and of 64 bits.
    fn reading() -> Vec<(Opcode, u32, [Code; 2])> {
        let mut all = vec![
            (Opcode::MOV_LOAD, 0, [Code::Mov_r32_rm32, Code::Mov_r64_rm64]),
            (Opcode::IMUL, 0, [Code::Imul_r32_rm32, Code::Imul_r64_rm64]),
            (Opcode::MOVZX_BYTE, 1, [Code::Movzx_r32_rm8, Code::Movzx_r64_rm8]),
            (
                Opcode::MOVZX_WORD,
                2,
                [Code::Movzx_r32_rm16, Code::Movzx_r64_rm16],
            ),
            (Opcode::MOVSX_BYTE, 1, [Code::Movsx_r32_rm8, Code::Movsx_r64_rm8]),
            (
                Opcode::MOVSX_WORD,
                2,
                [Code::Movsx_r32_rm16, Code::Movsx_r64_rm16],
            ),
            (Opcode::MOVSXD, 4, [Code::Movsxd_r32_rm32, Code::Movsxd_r64_rm32]),
        ];
        all.extend(ALU.map(|(number, [_, codes, ..])| (Opcode::alu_to_reg(number), 0, codes)));
        all.extend((0..16).map(|condition| {
            let (codes, _) = CONDITIONS[usize::from(condition)];
            (Opcode::cmov(condition), 0, codes)
        }));
        all
    }

    /// Opcodes that read `reg` and read or write `r/m`: of 32 and of 64 bits.
    fn writing() -> Vec<(Opcode, [Code; 2])> {
        let mut all = vec![
            (Opcode::MOV_STORE, [Code::Mov_rm32_r32, Code::Mov_rm64_r64]),
            (Opcode::TEST, [Code::Test_rm32_r32, Code::Test_rm64_r64]),
        ];
        all.extend(ALU.map(|(number, [codes, ..])| (Opcode::alu_to_rm(number), codes)));
        all
    }

    fn widths() -> [(bool, u32); 2] {
        [(false, 4), (true, 8)]
    }

    /// A general register as operands of so many bytes name it.
    fn named(number: u8, bytes: u32) -> Register {
        let number = u32::from(number);
        match bytes {
            1 if number < 4 => Register::AL + number,
            1 => Register::SPL + (number - 4),
            2 => Register::AX + number,
            4 => Register::EAX + number,
            _ => Register::RAX + number,
        }
    }

    /// Asserts that an emit becomes, byte by byte, what an independent encoder makes of an instruction.
    #[track_caller]
    fn check(emit: impl FnOnce(&mut Masm), expected: Result<Instruction, IcedError>) {
        let expected = expected.expect("an instruction with these operands");
        let mut encoder = Encoder::new(64);
        encoder.encode(&expected, 0).expect("an encoding");
        let (code, _) = assemble(CpuFeatures::BASELINE, emit);
        assert_eq!(code, encoder.take_buffer(), "{expected:?}");
    }

    /// All pairs of registers.
    fn pairs() -> impl Iterator<Item = (u8, u8)> {
        (0..16).flat_map(|reg| (0..16).map(move |rm| (reg, rm)))
    }

    /// All bases, indexes and sizes of displacements.
    fn places() -> impl Iterator<Item = Mem> {
        let indexes = || std::iter::once(None).chain((0..16).map(|number| Some(Reg::gpr(number))));
        (0..16)
            .flat_map(move |base| indexes().map(move |index| (Reg::gpr(base), index)))
            .filter(|&(_, index)| index != Some(Reg::RSP))
            .flat_map(|(base, index)| DISPLACEMENTS.map(|disp| Mem { base, index, disp }))
    }

    fn operand(mem: Mem, scale: u8) -> MemoryOperand {
        let size = match mem.disp {
            0 => 0,
            -128..128 => 1,
            _ => 8,
        };
        let index = mem.index.map_or(Register::None, |index| named(index.number(), 8));
        let base = named(mem.base.number(), 8);
        MemoryOperand::new(
            base,
            index,
            1 << scale,
            mem.disp.into(),
            size,
            false,
            Register::None,
        )
    }

    #[test]
    fn of_two_registers() {
        for (wide, width) in widths() {
            for (reg, rm) in pairs() {
                for (opcode, bytes, codes) in reading() {
                    let read = if bytes == 0 { width } else { bytes };
                    let keep_rex = bytes == 1 && Reg::gpr(rm).is_byte_with_rex();
                    check(
                        |m| m.of_registers_keeping(opcode, reg, Reg::gpr(rm), wide, keep_rex, Imm::None),
                        Instruction::with2(codes[usize::from(wide)], named(reg, width), named(rm, read)),
                    );
                }
                for (opcode, codes) in writing() {
                    check(
                        |m| m.of_registers(opcode, reg, Reg::gpr(rm), wide, Imm::None),
                        Instruction::with2(codes[usize::from(wide)], named(rm, width), named(reg, width)),
                    );
                }
            }
        }
    }

    #[test]
    fn of_one_register() {
        for (wide, width) in widths() {
            for number in 0..16 {
                let (reg, name) = (Reg::gpr(number), named(number, width));
                for (group, by_constant, by_cl) in SHIFTS {
                    check(
                        |m| m.of_registers(Opcode::SHIFT_IMM, group, reg, wide, Imm::Byte(31)),
                        Instruction::with2(by_constant[usize::from(wide)], name, 31),
                    );
                    check(
                        |m| m.of_registers(Opcode::SHIFT_CL, group, reg, wide, Imm::None),
                        Instruction::with2(by_cl[usize::from(wide)], name, Register::CL),
                    );
                }
                for (condition, (_, code)) in (0..).zip(CONDITIONS) {
                    let (opcode, keep_rex) = (Opcode::setcc(condition), reg.is_byte_with_rex());
                    check(
                        |m| m.of_registers_keeping(opcode, 0, reg, false, keep_rex, Imm::None),
                        Instruction::with1(code, named(number, 1)),
                    );
                }
            }
        }
    }

    #[test]
    fn of_registers_and_constants() {
        for (wide, width) in widths() {
            let code = |codes: [Code; 2]| codes[usize::from(wide)];
            for (reg, rm) in pairs() {
                let (rm, names) = (Reg::gpr(rm), (named(reg, width), named(rm, width)));
                for value in SIGNED_BYTES {
                    let by_byte = code([Code::Imul_r32_rm32_imm8, Code::Imul_r64_rm64_imm8]);
                    check(
                        |m| m.of_registers(Opcode::IMUL_IMM_BYTE, reg, rm, wide, Imm::Byte(value)),
                        Instruction::with3(by_byte, names.0, names.1, i32::from(value)),
                    );
                }
                for value in SIGNED {
                    let by_dword = code([Code::Imul_r32_rm32_imm32, Code::Imul_r64_rm64_imm32]);
                    check(
                        |m| m.of_registers(Opcode::IMUL_IMM, reg, rm, wide, Imm::Dword(value)),
                        Instruction::with3(by_dword, names.0, names.1, value),
                    );
                }
            }
            for number in 0..16 {
                let (rm, name) = (Reg::gpr(number), named(number, width));
                for value in SIGNED {
                    for (group, [_, _, by_dword, _]) in ALU {
                        check(
                            |m| m.of_registers(Opcode::ALU_IMM, group, rm, wide, Imm::Dword(value)),
                            Instruction::with2(code(by_dword), name, value),
                        );
                    }
                    check(
                        |m| m.of_registers(Opcode::MOV_IMM, 0, rm, wide, Imm::Dword(value)),
                        Instruction::with2(code([Code::Mov_rm32_imm32, Code::Mov_rm64_imm32]), name, value),
                    );
                }
                for (value, (group, [.., by_byte])) in
                    SIGNED_BYTES.iter().flat_map(|v| ALU.map(|alu| (v, alu)))
                {
                    check(
                        |m| m.of_registers(Opcode::ALU_IMM_BYTE, group, rm, wide, Imm::Byte(*value)),
                        Instruction::with2(code(by_byte), name, i32::from(*value)),
                    );
                }
            }
        }
    }

    /// Every opcode that takes memory, with every address and every register.
    #[test]
    fn of_memory() {
        for mem in places() {
            for (wide, width) in widths() {
                let code = |codes: [Code; 2]| codes[usize::from(wide)];
                // All registers beside few opcodes, and all opcodes beside registers with and without a prefix.
                for reg in 0..16 {
                    check(
                        |m| m.of_memory(Opcode::MOV_LOAD, reg, mem, wide),
                        Instruction::with2(
                            code([Code::Mov_r32_rm32, Code::Mov_r64_rm64]),
                            named(reg, width),
                            operand(mem, 0),
                        ),
                    );
                }
                for reg in [6, 13] {
                    for (opcode, _, codes) in reading() {
                        check(
                            |m| m.of_memory(opcode, reg, mem, wide),
                            Instruction::with2(code(codes), named(reg, width), operand(mem, 0)),
                        );
                    }
                    for (opcode, codes) in writing() {
                        check(
                            |m| m.of_memory(opcode, reg, mem, wide),
                            Instruction::with2(code(codes), operand(mem, 0), named(reg, width)),
                        );
                    }
                }
                for scale in 0..if mem.index.is_some() { 4 } else { 1 } {
                    check(
                        |m| m.of_memory_scaled(Opcode::LEA, 11, mem, scale, wide, false),
                        Instruction::with2(
                            code([Code::Lea_r32_m, Code::Lea_r64_m]),
                            named(11, width),
                            operand(mem, scale),
                        ),
                    );
                }
            }
        }
    }

    /// Stores of registers and constants of each width, as loads and stores use them.
    #[test]
    fn of_memory_and_narrow_operands() {
        for mem in places() {
            for number in 0..16 {
                let reg = Reg::gpr(number);
                check(
                    |m| {
                        let keep_rex = reg.is_byte_with_rex();
                        m.of_memory_scaled(Opcode::MOV_STORE_BYTE, number, mem, 0, false, keep_rex);
                    },
                    Instruction::with2(Code::Mov_rm8_r8, operand(mem, 0), named(number, 1)),
                );
                check(
                    |m| {
                        m.operand_size_prefix();
                        m.of_memory(Opcode::MOV_STORE, number, mem, false);
                    },
                    Instruction::with2(Code::Mov_rm16_r16, operand(mem, 0), named(number, 2)),
                );
            }
            for (code, width) in [
                (Code::Mov_rm8_imm8, 1),
                (Code::Mov_rm16_imm16, 2),
                (Code::Mov_rm32_imm32, 4),
                (Code::Mov_rm64_imm32, 8),
            ] {
                for value in [0, 0x7f, -0x80] {
                    check(
                        |m| m.store_imm(mem, value, width),
                        Instruction::with2(code, operand(mem, 0), value),
                    );
                }
            }
        }
    }

    #[test]
    fn constants_of_32_bits() {
        for number in 0..16 {
            for value in [0, 1, 0x8000_0000, u32::MAX] {
                check(
                    |m| m.mov_imm(Reg::gpr(number), value.into(), 8),
                    Instruction::with2(Code::Mov_r32_imm32, named(number, 4), value),
                );
            }
        }
    }
}
