//! Loads and stores.
//!
//! Just the accesses: the address has been made by whoever knows how bounds are kept. Where a guard region keeps them, the
//! access itself is what faults, and is marked.

use super::super::encode::{emit_mem, mem_operand};
use super::super::{Masm, Mem, Reg, Rhs, SCRATCH};
use dynasmrt::DynasmApi;
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
            L::I32Load8U | L::I64Load8U => emit_mem!(self, mem; movzx [Rd(dst),] BYTE []),
            L::I32Load16U | L::I64Load16U => emit_mem!(self, mem; movzx [Rd(dst),] WORD []),
            L::I32Load8S => emit_mem!(self, mem; movsx [Rd(dst),] BYTE []),
            L::I32Load16S => emit_mem!(self, mem; movsx [Rd(dst),] WORD []),
            L::I64Load8S => emit_mem!(self, mem; movsx [Rq(dst),] BYTE []),
            L::I64Load16S => emit_mem!(self, mem; movsx [Rq(dst),] WORD []),
            L::I64Load32S => emit_mem!(self, mem; movsxd [Rq(dst),] DWORD []),
        }
    }

    /// `op [mem] = src`. A constant is taken as bits, for floats too; it and what is in memory may go through
    /// [`SCRATCH`]. If it `faults`, its fault is marked as an access out of bounds.
    pub(crate) fn store(&mut self, op: StoreOp, mem: Mem, src: Rhs, faults: bool) {
        let width = op.width();
        let src = match src {
            Rhs::Imm(bits) => match Self::immediate(bits, width.max(4)) {
                Some(_) => src,
                None if width < 8 => Rhs::Imm(bits & 0xffff_ffff),
                None => Rhs::Reg(self.in_register(src, SCRATCH, 8)),
            },
            Rhs::Mem(_) => Rhs::Reg(self.in_register(src, SCRATCH, width.max(4))),
            Rhs::Reg(_) => src,
        };
        if faults {
            self.trap_here(Trap::MemoryOutOfBounds);
        }
        match (src, width) {
            (Rhs::Imm(bits), _) => self.store_imm(mem, bits as u32 as i32, width),
            (Rhs::Reg(src), 1) => self.store_byte(mem, src),
            (Rhs::Reg(src), 2) => emit_mem!(self, mem; mov [] WORD [, Rw(src)]),
            (Rhs::Reg(src), _) => self.spill_store(mem, src, width),
            (Rhs::Mem(_), _) => unreachable!("it has been loaded"),
        }
    }

    fn store_byte(&mut self, mem: Mem, src: Reg) {
        if !src.is_byte_with_rex() {
            emit_mem!(self, mem; mov [] BYTE [, Rb(src)]);
            return;
        }
        mem_operand!(self, mem; mov [] BYTE [, Rb(src)]);
    }
}
