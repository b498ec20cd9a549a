//! Loads and stores.
//!
//! Just the accesses: the address has been made by whoever knows how bounds are kept. Where a guard region keeps them, the
//! access itself is what faults, and is marked.

use super::super::general::Opcode;
use super::super::{Masm, Mem, Reg, Rhs, SCRATCH, SCRATCH2};
use luge_core::Trap;
use luge_core::operator::{LoadOp, StoreOp};

impl Masm {
    /// `dst = op [mem]`. If it `faults`, its fault is marked as an access out of bounds.
    pub(crate) fn load(&mut self, op: LoadOp, dst: Reg, mem: Mem, faults: bool) {
        use LoadOp as L;
        if faults {
            self.trap_here(Trap::MemoryOutOfBounds);
        }
        match op {
            L::I32Load | L::F32Load | L::I64Load32U => self.spill_load(dst, mem, 4),
            L::I64Load | L::F64Load => self.spill_load(dst, mem, 8),
            L::I32Load8U | L::I64Load8U => self.of_memory(Opcode::MOVZX_BYTE, dst.number(), mem, false),
            L::I32Load16U | L::I64Load16U => self.of_memory(Opcode::MOVZX_WORD, dst.number(), mem, false),
            L::I32Load8S => self.of_memory(Opcode::MOVSX_BYTE, dst.number(), mem, false),
            L::I32Load16S => self.of_memory(Opcode::MOVSX_WORD, dst.number(), mem, false),
            L::I64Load8S => self.of_memory(Opcode::MOVSX_BYTE, dst.number(), mem, true),
            L::I64Load16S => self.of_memory(Opcode::MOVSX_WORD, dst.number(), mem, true),
            L::I64Load32S => self.of_memory(Opcode::MOVSXD, dst.number(), mem, true),
        }
    }

    /// `op [mem] = src`. A constant is taken as bits, for floats too; it and what is in memory may go through a scratch
    /// register, one of which the address may use. If it `faults`, its fault is marked as an access out of bounds.
    pub(crate) fn store(&mut self, op: StoreOp, mem: Mem, src: Rhs, faults: bool) {
        let width = op.width();
        let scratch = if mem.mentions(SCRATCH) { SCRATCH2 } else { SCRATCH };
        let src = match src {
            Rhs::Imm(bits) => match Self::immediate(bits, width.max(4)) {
                Some(_) => src,
                None if width < 8 => Rhs::Imm(bits & 0xffff_ffff),
                None => Rhs::Reg(self.in_register(src, scratch, 8)),
            },
            Rhs::Mem(_) => Rhs::Reg(self.in_register(src, scratch, width.max(4))),
            Rhs::Reg(_) => src,
        };
        if faults {
            self.trap_here(Trap::MemoryOutOfBounds);
        }
        match (src, width) {
            (Rhs::Imm(bits), _) => self.store_imm(mem, bits as u32 as i32, width),
            (Rhs::Reg(src), 1) => self.store_byte(mem, src),
            (Rhs::Reg(src), 2) => {
                self.operand_size_prefix();
                self.of_memory(Opcode::MOV_STORE, src.number(), mem, false);
            }
            (Rhs::Reg(src), _) => self.spill_store(mem, src, width),
            (Rhs::Mem(_), _) => unreachable!("it has been loaded"),
        }
    }

    fn store_byte(&mut self, mem: Mem, src: Reg) {
        let opcode = Opcode::MOV_STORE_BYTE;
        self.of_memory_scaled(opcode, src.number(), mem, 0, false, src.is_byte_with_rex());
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{FULL, R12, RBX, RCX, RSI, X0, assemble, check};
    use super::super::super::{Mem, Reg, Rhs};
    use crate::cpu::CpuFeatures;
    use luge_core::Trap;
    use luge_core::operator::LoadOp as L;
    use luge_core::operator::StoreOp as S;

    const PLACE: Mem = Mem::indexed(Reg::MEMORY, RCX, 0);

    #[test]
    fn loads_extend() {
        check(
            CpuFeatures::BASELINE,
            |m| m.load(L::I32Load, RBX, PLACE, false),
            "mov ebx,[r14+rcx]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.load(L::I64Load, RBX, PLACE, false),
            "mov rbx,[r14+rcx]",
        );
        check(
            FULL,
            |m| m.load(L::F32Load, X0, PLACE, false),
            "vmovss xmm0,[r14+rcx]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.load(L::F64Load, X0, PLACE, false),
            "movsd xmm0,[r14+rcx]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.load(L::I32Load8S, RSI, PLACE, false),
            "movsx esi,byte [r14+rcx]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.load(L::I64Load8U, RSI, PLACE, false),
            "movzx esi,byte [r14+rcx]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.load(L::I64Load16S, RBX, PLACE, false),
            "movsx rbx,word [r14+rcx]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.load(L::I64Load32S, R12, Mem::indexed(Reg::MEMORY, R12, 0x1000), false),
            "movsxd r12,[r14+r12+1000h]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.load(L::I64Load32U, RBX, PLACE, false),
            "mov ebx,[r14+rcx]",
        );
    }

    #[test]
    fn stores_cut() {
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I32Store8, PLACE, Rhs::Reg(RSI), false),
            "mov [r14+rcx],sil",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I64Store8, PLACE, Rhs::Reg(RBX), false),
            "mov [r14+rcx],bl",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I32Store16, PLACE, Rhs::Reg(RSI), false),
            "mov [r14+rcx],si",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I64Store32, PLACE, Rhs::Reg(R12), false),
            "mov [r14+rcx],r12d",
        );
        check(
            FULL,
            |m| m.store(S::F64Store, PLACE, Rhs::Reg(X0), false),
            "vmovsd [r14+rcx],xmm0",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I32Store8, PLACE, Rhs::Imm(0xffff_ffff), false),
            "mov byte [r14+rcx],0FFh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I64Store16, PLACE, Rhs::Imm(u64::MAX), false),
            "mov word [r14+rcx],0FFFFh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I64Store32, PLACE, Rhs::Imm(1 << 40 | 7), false),
            "mov dword [r14+rcx],7",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I64Store, PLACE, Rhs::Imm(u64::MAX), false),
            "mov qword [r14+rcx],0FFFFFFFFFFFFFFFFh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I64Store, PLACE, Rhs::Imm(1 << 40), false),
            "mov rax,10000000000h; mov [r14+rcx],rax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I64Store, Mem::new(Reg::RAX, 8), Rhs::Imm(1 << 40), false),
            "mov r11,10000000000h; mov [rax+8],r11",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::F32Store, PLACE, Rhs::Imm(0x3f80_0000), false),
            "mov dword [r14+rcx],3F800000h",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store(S::I32Store, PLACE, Rhs::Mem(Mem::new(RBX, 8)), false),
            "mov eax,[rbx+8]; mov [r14+rcx],eax",
        );
    }

    #[test]
    fn only_the_access_is_marked() {
        let (code, traps) = assemble(CpuFeatures::BASELINE, |m| {
            m.store(S::I64Store, PLACE, Rhs::Imm(1 << 40), true);
            m.load(L::I32Load, RBX, PLACE, true);
            m.load(L::I32Load, RBX, PLACE, false);
        });
        let offsets: Vec<_> = traps.iter().map(|site| site.offset).collect();
        assert!(traps.iter().all(|site| site.trap == Trap::MemoryOutOfBounds));
        // A constant of ten bytes, a store of four, loads of four each.
        assert_eq!((offsets, code.len()), (vec![10, 14], 22));
    }
}
