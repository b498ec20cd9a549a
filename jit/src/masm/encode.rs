//! Instructions that `dynasm` writes, in their shortest form. The common ones it does not write: see `general`.
//!
//! `dynasm` has to reserve room for whatever register is chosen at run time: a REX prefix or a three-byte VEX prefix
//! always, and a SIB byte for every base. Most instructions need neither. What it wrote is therefore looked at once more,
//! while it is the last thing in the buffer:
//!
//! ```text
//! f2 40 0f 58 c1          addsd xmm0, xmm1         ->  f2 0f 58 c1
//! c4 e1 7a 58 c1          vaddss xmm0, xmm0, xmm1  ->  c5 fa 58 c1
//! f3 40 0f 10 44 25 f8    movss xmm0, [rbp-8]      ->  f3 0f 10 45 f8
//! f3 40 0f 10 44 23 00    movss xmm0, [rbx+0]      ->  f3 0f 10 03
//! ```
//!
//! The macros choose between displacements of one and four bytes, so that each instruction is written once where it is
//! used, whatever its memory operand looks like.

use super::Masm;

/// Emits one instruction whose operands are registers and constants.
macro_rules! emit {
    ($masm:ident; $($instruction:tt)*) => {{
        let start = $masm.code.len();
        dynasmrt::dynasm!($masm ; .arch x64 ; $($instruction)*);
        $masm.shorten_prefix(start);
    }};
}

/// [`emit!`] for an instruction that takes the lowest byte of the general register `$byte`.
macro_rules! emit_byte {
    ($masm:ident, $byte:expr; $($instruction:tt)*) => {{
        let start = $masm.code.len();
        dynasmrt::dynasm!($masm ; .arch x64 ; $($instruction)*);
        $masm.shorten_prefix_unless($byte.is_byte_with_rex(), start);
    }};
}

/// Emits one instruction with a memory operand: `emit_mem!(self, mem; add [Rd(dst),] DWORD [])`, where the brackets hold
/// the operands before and behind it.
macro_rules! emit_mem {
    ($masm:ident, $mem:expr; $name:ident [$($before:tt)*] $($size:ident)? [$($behind:tt)*]) => {{
        let start = $masm.code.len();
        $crate::masm::encode::mem_operand!($masm, $mem; $name [$($before)*] $($size)? [$($behind)*]);
        let modrm = $masm.shorten_prefix(start);
        $masm.shorten_operand(modrm);
    }};
}

/// [`emit_mem!`] without a look at the result.
macro_rules! mem_operand {
    ($masm:ident, $mem:expr; $name:ident [$($before:tt)*] $($size:ident)? [$($behind:tt)*]) => {{
        let $crate::masm::Mem { base, index, disp } = $mem;
        // As an index, `rsp` would silently mean none.
        debug_assert_ne!(index, Some($crate::masm::Reg::RSP));
        match (index, i8::try_from(disp)) {
            (None, Ok(disp)) => {
                dynasmrt::dynasm!($masm ; .arch x64 ; $name $($before)* $($size)? [BYTE Rq(base) + disp] $($behind)*);
            }
            (None, Err(_)) => {
                dynasmrt::dynasm!($masm ; .arch x64 ; $name $($before)* $($size)? [DWORD Rq(base) + disp] $($behind)*);
            }
            (Some(index), Ok(disp)) => {
                dynasmrt::dynasm!($masm ; .arch x64 ; $name $($before)* $($size)? [BYTE Rq(base) + Rq(index) + disp] $($behind)*);
            }
            (Some(index), Err(_)) => {
                dynasmrt::dynasm!($masm ; .arch x64 ; $name $($before)* $($size)? [DWORD Rq(base) + Rq(index) + disp] $($behind)*);
            }
        }
    }};
}

pub(super) use {emit, emit_byte, emit_mem, mem_operand};

/// Where an instruction's operands are encoded, as far as the shortening has to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModRm {
    /// Offset of its ModRM byte, if it has one.
    at: usize,
    /// Whether the prefix extends the index, so that 4 means `r12` and not none.
    extends_index: bool,
}

impl Masm {
    /// Drops an empty REX prefix or halves a VEX prefix, of the instruction that starts at `start` and is the last one.
    #[inline]
    pub(super) fn shorten_prefix(&mut self, start: usize) -> ModRm {
        self.shorten_prefix_unless(false, start)
    }

    /// [`Masm::shorten_prefix`] unless an empty REX prefix has a meaning, which it has beside some byte registers.
    #[inline]
    pub(super) fn shorten_prefix_unless(&mut self, keep_empty_rex: bool, start: usize) -> ModRm {
        let mut at = start;
        let mut extends_index = false;
        if self.code[at] == 0xc4 {
            let (rxb_map, rest) = (self.code[at + 1], self.code[at + 2]);
            extends_index = rxb_map & 0x40 == 0;
            if rxb_map & 0x7f == 0x61 && rest & 0x80 == 0 {
                self.code[at] = 0xc5;
                self.code[at + 1] = (rxb_map & 0x80) | rest;
                self.remove(at + 2);
                at += 2;
            } else {
                at += 3;
            }
        } else if self.code[at] == 0xc5 {
            at += 2;
        } else {
            at += usize::from(matches!(self.code[at], 0x66 | 0xf2 | 0xf3));
            let rex = self.code[at];
            if rex == 0x40 && !keep_empty_rex {
                self.remove(at);
            } else if rex & 0xf0 == 0x40 {
                extends_index = rex & 2 != 0;
                at += 1;
            }
            if self.code[at] == 0x0f {
                at += 1 + usize::from(matches!(self.code[at + 1], 0x38 | 0x3a));
            }
        }
        ModRm {
            at: at + 1,
            extends_index,
        }
    }

    /// Drops a SIB byte that says nothing and a displacement of zero, of the last instruction, whose operand is in memory
    /// and encoded with a SIB byte.
    #[inline]
    pub(super) fn shorten_operand(&mut self, operand: ModRm) {
        let ModRm { at, extends_index } = operand;
        let (modrm, sib) = (self.code[at], self.code[at + 1]);
        debug_assert!(
            modrm & 0xc7 == 0x44 || modrm & 0xc7 == 0x84,
            "a base, a SIB byte and a displacement"
        );
        let base = sib & 7;
        let mut disp = at + 2;
        if sib & 0x38 == 0x20 && !extends_index && base != 4 {
            self.code[at] = (modrm & !7) | base;
            self.remove(at + 1);
            disp -= 1;
        }
        // With a base of 5 and no displacement the encoding has other meanings.
        if modrm >> 6 == 1 && self.code[disp] == 0 && base != 5 {
            self.code[at] &= 0x3f;
            self.remove(disp);
        }
    }

    /// As [`Vec::remove`] near the end of the code, without a call.
    #[inline]
    fn remove(&mut self, at: usize) {
        let len = self.code.len();
        for i in at + 1..len {
            self.code[i - 1] = self.code[i];
        }
        self.code.truncate(len - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOTH, X0, X9, assemble, assert_shortest, check, decode};
    use super::super::{Masm, Mem, Reg};
    use crate::cpu::CpuFeatures;
    use iced_x86::Register;

    const DISPLACEMENTS: [i32; 8] = [0, 1, -1, 127, -128, 128, -129, i32::MIN];

    fn name(reg: Option<Reg>) -> Register {
        reg.map_or(Register::None, |reg| Register::RAX + u32::from(reg.number()))
    }

    /// Every base, index and size of displacement, in the encodings of all prefixes.
    #[test]
    fn memory_operands_are_those_asked_for_and_short() {
        for cpu in BOTH {
            for base in (0..16).map(Reg::gpr) {
                for index in std::iter::once(None).chain((0..16).map(|i| Some(Reg::gpr(i)))) {
                    if index == Some(Reg::RSP) {
                        continue;
                    }
                    for disp in DISPLACEMENTS {
                        check_operand(cpu, Mem { base, index, disp });
                    }
                }
            }
        }
    }

    fn check_operand(cpu: CpuFeatures, mem: Mem) {
        type Emit = fn(&mut Masm, Mem);
        let emits: [(Emit, Register); 6] = [
            (|m, mem| m.spill_load(Reg::gpr(3), mem, 4), Register::EBX),
            (|m, mem| m.spill_load(Reg::gpr(10), mem, 4), Register::R10D),
            (|m, mem| m.spill_load(Reg::gpr(3), mem, 8), Register::RBX),
            (|m, mem| m.spill_load(X0, mem, 4), Register::XMM0),
            (|m, mem| m.spill_load(X9, mem, 8), Register::XMM9),
            (|m, mem| m.spill_load(X9, mem, 16), Register::XMM9),
        ];
        for (emit, register) in emits {
            let (code, _) = assemble(cpu, |m| emit(m, mem));
            let [instruction] = decode(&code)[..] else {
                panic!("{mem:?} became {code:02x?}");
            };
            assert_eq!(instruction.op0_register(), register);
            assert_eq!(
                instruction.memory_displacement64(),
                mem.disp as u64,
                "{mem:?} {code:02x?}"
            );
            assert_eq!(instruction.memory_index_scale(), 1);
            assert_eq!(
                (instruction.memory_base(), instruction.memory_index()),
                (name(Some(mem.base)), name(mem.index)),
                "{mem:?} {code:02x?}"
            );
            assert_shortest(&code);
        }
    }

    #[test]
    fn an_empty_prefix_stays_where_it_chooses_a_byte_register() {
        check(
            CpuFeatures::BASELINE,
            |m| m.zero_extend_byte(Reg::gpr(6)),
            "movzx esi,sil",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.zero_extend_byte(Reg::gpr(3)),
            "movzx ebx,bl",
        );
    }
}
