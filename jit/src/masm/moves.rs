//! Moves between registers, memory and constants.
//!
//! None of them changes the flags, [`Masm::zero`] excepted, so that they may stand between a comparison and its use.
//! Widths are in bytes; the class of value (general or vector) is that of the register. Any register may take part,
//! scratch registers too, unless a method says that it uses one.

use super::encode::{emit, emit_mem};
use super::general::{Imm, Opcode};
use super::{Masm, Mem, Reg, SCRATCH};
use dynasmrt::DynasmApi;

impl Masm {
    /// Moves `width` bytes between registers of one class: 4 (which zero-extends) or 8 in general registers; vector
    /// registers are moved whole.
    pub(crate) fn mov(&mut self, dst: Reg, src: Reg, width: u32) {
        debug_assert_eq!(dst.is_xmm(), src.is_xmm());
        if dst == src {
            return;
        }
        if dst.is_xmm() {
            self.mov_vector(dst, src);
        } else {
            self.of_registers(Opcode::MOV_STORE, src.number(), dst, width != 4, Imm::None);
        }
    }

    #[inline(never)]
    fn mov_vector(&mut self, dst: Reg, src: Reg) {
        if self.cpu.avx {
            emit!(self; vmovaps Rx(dst), Rx(src));
        } else {
            emit!(self; movaps Rx(dst), Rx(src));
        }
    }

    /// Moves between a general and a vector register, `width` 4 or 8, bit for bit.
    pub(crate) fn mov_across(&mut self, dst: Reg, src: Reg, width: u32) {
        debug_assert_ne!(dst.is_xmm(), src.is_xmm());
        match (dst.is_xmm(), width == 8, self.cpu.avx) {
            (true, false, false) => emit!(self; movd Rx(dst), Rd(src)),
            (true, false, true) => emit!(self; vmovd Rx(dst), Rd(src)),
            (true, true, false) => emit!(self; movq Rx(dst), Rq(src)),
            (true, true, true) => emit!(self; vmovq Rx(dst), Rq(src)),
            (false, false, false) => emit!(self; movd Rd(dst), Rx(src)),
            (false, false, true) => emit!(self; vmovd Rd(dst), Rx(src)),
            (false, true, false) => emit!(self; movq Rq(dst), Rx(src)),
            (false, true, true) => emit!(self; vmovq Rq(dst), Rx(src)),
        }
    }

    /// Loads a constant into a general register; of width 4, the upper half of `bits` does not count.
    pub(crate) fn mov_imm(&mut self, dst: Reg, bits: u64, width: u32) {
        debug_assert!(!dst.is_xmm());
        let bits = if width == 4 { bits & 0xffff_ffff } else { bits };
        if let Ok(small) = u32::try_from(bits) {
            // mov r32, imm32
            let number = dst.number();
            let opcode = u64::from(0xb8 | number & 7) | u64::from(small) << 8;
            if number < 8 {
                self.put_short(opcode, 5);
            } else {
                self.put_short(opcode << 8 | 0x41, 6);
            }
        } else if let Ok(small) = i32::try_from(bits as i64) {
            self.of_registers(Opcode::MOV_IMM, 0, dst, true, Imm::Dword(small));
        } else {
            emit!(self; mov Rq(dst), QWORD bits as i64);
        }
    }

    /// Clears a general register. Changes the flags.
    pub(crate) fn zero(&mut self, dst: Reg) {
        self.of_registers(Opcode::alu_to_rm(6), dst.number(), dst, false, Imm::None);
    }

    /// Clears a vector register. Does not change the flags.
    pub(crate) fn zero_float(&mut self, dst: Reg) {
        debug_assert!(dst.is_xmm());
        if self.cpu.avx {
            emit!(self; vxorps Rx(dst), Rx(dst), Rx(dst));
        } else {
            emit!(self; xorps Rx(dst), Rx(dst));
        }
    }

    /// Loads a float constant of `width` 4 or 8 into a vector register. Uses [`SCRATCH`].
    pub(crate) fn float_imm(&mut self, dst: Reg, bits: u64, width: u32) {
        let bits = if width == 4 { bits & 0xffff_ffff } else { bits };
        if bits == 0 {
            self.zero_float(dst);
        } else {
            self.mov_imm(SCRATCH, bits, width);
            self.mov_across(dst, SCRATCH, width);
        }
    }

    /// Loads a 128-bit constant into a vector register. Uses [`SCRATCH`].
    pub(crate) fn vector_imm(&mut self, dst: Reg, bits: u128) {
        let (low, high) = (bits as u64, (bits >> 64) as u64);
        if bits == 0 {
            self.zero_float(dst);
        } else if bits == u128::MAX {
            self.all_ones(dst);
        } else if low == high {
            self.float_imm(dst, low, 8);
            if self.cpu.avx {
                emit!(self; vpunpcklqdq Rx(dst), Rx(dst), Rx(dst));
            } else {
                emit!(self; punpcklqdq Rx(dst), Rx(dst));
            }
        } else {
            // Clears the upper half.
            self.float_imm(dst, low, 8);
            if high != 0 {
                self.mov_imm(SCRATCH, high, 8);
                if self.cpu.avx {
                    emit!(self; vpinsrq Rx(dst), Rx(dst), Rq(SCRATCH), 1);
                } else {
                    emit!(self; pinsrq Rx(dst), Rq(SCRATCH), 1);
                }
            }
        }
    }

    /// Sets all bits of a vector register.
    pub(crate) fn all_ones(&mut self, dst: Reg) {
        if self.cpu.avx {
            emit!(self; vpcmpeqd Rx(dst), Rx(dst), Rx(dst));
        } else {
            emit!(self; pcmpeqd Rx(dst), Rx(dst));
        }
    }

    /// Loads `width` bytes: 4 (zero-extended) or 8 into a general register; 4, 8 or 16 into a vector register. Memory
    /// needs no alignment.
    pub(crate) fn spill_load(&mut self, dst: Reg, mem: Mem, width: u32) {
        if dst.is_xmm() {
            self.load_vector(dst, mem, width);
        } else if mem.index.is_none() && mem.base == Reg::RBP {
            self.of_frame(Opcode::MOV_LOAD, dst.number(), mem.disp, width == 8);
        } else {
            self.of_memory_scaled(Opcode::MOV_LOAD, dst.number(), mem, 0, width == 8, false);
        }
    }

    #[inline(never)]
    fn load_vector(&mut self, dst: Reg, mem: Mem, width: u32) {
        match (width, self.cpu.avx) {
            (4, false) => emit_mem!(self, mem; movss [Rx(dst),] DWORD []),
            (4, true) => emit_mem!(self, mem; vmovss [Rx(dst),] DWORD []),
            (8, false) => emit_mem!(self, mem; movsd [Rx(dst),] QWORD []),
            (8, true) => emit_mem!(self, mem; vmovsd [Rx(dst),] QWORD []),
            (_, false) => emit_mem!(self, mem; movups [Rx(dst),] OWORD []),
            (_, true) => emit_mem!(self, mem; vmovups [Rx(dst),] OWORD []),
        }
    }

    /// Stores `width` bytes: 4 or 8 of a general register; 4, 8 or 16 of a vector register.
    pub(crate) fn spill_store(&mut self, mem: Mem, src: Reg, width: u32) {
        if src.is_xmm() {
            self.store_vector(mem, src, width);
        } else if mem.index.is_none() && mem.base == Reg::RBP {
            self.of_frame(Opcode::MOV_STORE, src.number(), mem.disp, width == 8);
        } else {
            self.of_memory_scaled(Opcode::MOV_STORE, src.number(), mem, 0, width == 8, false);
        }
    }

    #[inline(never)]
    fn store_vector(&mut self, mem: Mem, src: Reg, width: u32) {
        match (width, self.cpu.avx) {
            (4, false) => emit_mem!(self, mem; movss [] DWORD [, Rx(src)]),
            (4, true) => emit_mem!(self, mem; vmovss [] DWORD [, Rx(src)]),
            (8, false) => emit_mem!(self, mem; movsd [] QWORD [, Rx(src)]),
            (8, true) => emit_mem!(self, mem; vmovsd [] QWORD [, Rx(src)]),
            (_, false) => emit_mem!(self, mem; movups [] OWORD [, Rx(src)]),
            (_, true) => emit_mem!(self, mem; vmovups [] OWORD [, Rx(src)]),
        }
    }

    /// Stores a constant of `width` 1, 2, 4 or 8 bytes; of width 8 it is sign-extended.
    pub(crate) fn store_imm(&mut self, mem: Mem, value: i32, width: u32) {
        match width {
            1 => self.of_memory(Opcode::MOV_IMM_BYTE, 0, mem, false),
            2 => {
                self.operand_size_prefix();
                self.of_memory(Opcode::MOV_IMM, 0, mem, false);
            }
            _ => self.of_memory(Opcode::MOV_IMM, 0, mem, width == 8),
        }
        self.immediate_of(value, width.min(4));
    }

    /// Computes an address.
    pub(crate) fn lea(&mut self, dst: Reg, mem: Mem) {
        self.lea_width(dst, mem, true);
    }

    /// Computes `base + (index << shift) + disp` in `width` bytes, 4 or 8. `shift` is at most 3.
    pub(crate) fn lea_scaled(
        &mut self,
        dst: Reg,
        base: Option<Reg>,
        index: Reg,
        shift: u8,
        disp: i32,
        width: u32,
    ) {
        debug_assert!(shift <= 3 && index != Reg::RSP);
        let wide = width == 8;
        match (base, shift) {
            (None, 0) => self.lea_width(dst, Mem::new(index, disp), wide),
            (None, 1) => self.lea_width(dst, Mem::indexed(index, index, disp), wide),
            (Some(base), 0) => self.lea_width(dst, Mem::indexed(base, index, disp), wide),
            (Some(base), _) => {
                let mem = Mem::indexed(base, index, disp);
                self.of_memory_scaled(Opcode::LEA, dst.number(), mem, shift, wide, false);
            }
            (None, _) => {
                let start = self.code.len();
                if wide {
                    dynasmrt::dynasm!(self ; .arch x64 ; lea Rq(dst), [NOSPLIT Rq(index) * 8 + disp]);
                } else {
                    dynasmrt::dynasm!(self ; .arch x64 ; lea Rd(dst), [NOSPLIT Rq(index) * 8 + disp]);
                }
                self.scale_index(start, shift);
                self.shorten_prefix(start);
            }
        }
    }

    /// Exchanges two general registers.
    pub(crate) fn exchange(&mut self, a: Reg, b: Reg) {
        emit!(self; xchg Rq(a), Rq(b));
    }

    pub(super) fn lea_width(&mut self, dst: Reg, mem: Mem, wide: bool) {
        self.of_memory(Opcode::LEA, dst.number(), mem, wide);
    }

    /// Sets the scale of the `lea` at `start`, as `dynasm` wrote it: REX, opcode, ModRM, SIB.
    fn scale_index(&mut self, start: usize, shift: u8) {
        let sib = &mut self.code[start + 3];
        *sib = (*sib & 0x3f) | (shift << 6);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FULL, R12, R13, RBP, RBX, RCX, RDX, RSI, RSP, X0, X9, check};
    use super::super::{Mem, SCRATCH};
    use crate::cpu::CpuFeatures;

    #[test]
    fn moves_keep_to_their_class() {
        check(CpuFeatures::BASELINE, |m| m.mov(RBX, RSI, 4), "mov ebx,esi");
        check(CpuFeatures::BASELINE, |m| m.mov(RBX, R12, 8), "mov rbx,r12");
        check(CpuFeatures::BASELINE, |m| m.mov(RBX, RBX, 4), "");
        check(CpuFeatures::BASELINE, |m| m.mov(X0, X9, 4), "movaps xmm0,xmm9");
        check(FULL, |m| m.mov(X0, X9, 16), "vmovaps xmm0,xmm9");
        check(
            CpuFeatures::BASELINE,
            |m| m.mov_across(X0, RBX, 4),
            "movd xmm0,ebx",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.mov_across(RBX, X9, 8),
            "movq rbx,xmm9",
        );
        check(FULL, |m| m.mov_across(X9, R12, 8), "vmovq xmm9,r12");
        check(FULL, |m| m.mov_across(RBX, X0, 4), "vmovd ebx,xmm0");
        check(CpuFeatures::BASELINE, |m| m.exchange(RBX, R12), "xchg rbx,r12");
    }

    #[test]
    fn constants_take_the_shortest_form() {
        check(CpuFeatures::BASELINE, |m| m.mov_imm(RBX, 0, 8), "mov ebx,0");
        check(
            CpuFeatures::BASELINE,
            |m| m.mov_imm(RBX, u64::MAX, 4),
            "mov ebx,0FFFFFFFFh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.mov_imm(R12, 0xffff_ffff, 8),
            "mov r12d,0FFFFFFFFh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.mov_imm(RBX, u64::MAX, 8),
            "mov rbx,0FFFFFFFFFFFFFFFFh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.mov_imm(R12, 0x1_0000_0000, 8),
            "mov r12,100000000h",
        );
        check(CpuFeatures::BASELINE, |m| m.zero(R12), "xor r12d,r12d");
        check(
            CpuFeatures::BASELINE,
            |m| m.float_imm(X9, 0, 8),
            "xorps xmm9,xmm9",
        );
        check(FULL, |m| m.float_imm(X9, 0, 4), "vxorps xmm9,xmm9,xmm9");
        check(
            CpuFeatures::BASELINE,
            |m| m.float_imm(X0, 0x3f80_0000, 4),
            "mov eax,3F800000h; movd xmm0,eax",
        );
        check(
            FULL,
            |m| m.float_imm(X0, 1 << 63, 8),
            "mov rax,8000000000000000h; vmovq xmm0,rax",
        );
    }

    #[test]
    fn vector_constants() {
        check(CpuFeatures::BASELINE, |m| m.vector_imm(X0, 0), "xorps xmm0,xmm0");
        check(
            CpuFeatures::BASELINE,
            |m| m.vector_imm(X9, u128::MAX),
            "pcmpeqd xmm9,xmm9",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.vector_imm(X0, (1 << 64) | 1),
            "mov eax,1; movq xmm0,rax; punpcklqdq xmm0,xmm0",
        );
        check(
            FULL,
            |m| m.vector_imm(X0, (1 << 64) | 1),
            "mov eax,1; vmovq xmm0,rax; vpunpcklqdq xmm0,xmm0,xmm0",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.vector_imm(X0, 7),
            "mov eax,7; movq xmm0,rax",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.vector_imm(X0, (2 << 64) | 1),
            "mov eax,1; movq xmm0,rax; mov eax,2; pinsrq xmm0,rax,1",
        );
        check(
            FULL,
            |m| m.vector_imm(X0, 2 << 64),
            "vxorps xmm0,xmm0,xmm0; mov eax,2; vpinsrq xmm0,xmm0,rax,1",
        );
    }

    #[test]
    fn frame_accesses_by_width() {
        check(
            CpuFeatures::BASELINE,
            |m| m.spill_load(RBX, Mem::new(RBP, -8), 4),
            "mov ebx,[rbp-8]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.spill_load(R12, Mem::new(RBP, -128), 8),
            "mov r12,[rbp-80h]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.spill_load(X0, Mem::new(RBP, -136), 4),
            "movss xmm0,[rbp-88h]",
        );
        check(
            FULL,
            |m| m.spill_load(X9, Mem::new(RSP, 8), 8),
            "vmovsd xmm9,[rsp+8]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.spill_load(X0, Mem::new(R13, 0), 16),
            "movups xmm0,[r13]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.spill_store(Mem::new(RBP, -8), RSI, 4),
            "mov [rbp-8],esi",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.spill_store(Mem::new(R12, 0), R12, 8),
            "mov [r12],r12",
        );
        check(
            FULL,
            |m| m.spill_store(Mem::new(RBP, -16), X0, 4),
            "vmovss [rbp-10h],xmm0",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.spill_store(Mem::new(RBP, -16), X9, 8),
            "movsd [rbp-10h],xmm9",
        );
        check(
            FULL,
            |m| m.spill_store(Mem::indexed(RBX, R12, 0x100), X0, 16),
            "vmovups [rbx+r12+100h],xmm0",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store_imm(Mem::new(RBP, -8), -1, 8),
            "mov qword [rbp-8],0FFFFFFFFFFFFFFFFh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store_imm(Mem::new(RBP, -8), 300, 4),
            "mov dword [rbp-8],12Ch",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store_imm(Mem::new(RBX, 0), -2, 2),
            "mov word [rbx],0FFFEh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.store_imm(Mem::indexed(RBX, RCX, 0), 0x7f, 1),
            "mov byte [rbx+rcx],7Fh",
        );
    }

    #[test]
    fn addresses() {
        check(
            CpuFeatures::BASELINE,
            |m| m.lea(RBX, Mem::new(RSP, 16)),
            "lea rbx,[rsp+10h]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.lea_scaled(RBX, Some(R13), R12, 0, 0, 4),
            "lea ebx,[r13+r12]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.lea_scaled(RBX, None, RCX, 0, 4, 4),
            "lea ebx,[rcx+4]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.lea_scaled(RBX, None, RCX, 1, 0, 8),
            "lea rbx,[rcx+rcx]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.lea_scaled(RBX, None, R12, 2, 4, 4),
            "lea ebx,[r12*4+4]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.lea_scaled(R12, None, R13, 3, -1, 8),
            "lea r12,[r13*8-1]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.lea_scaled(RBX, Some(RDX), RCX, 3, 0, 4),
            "lea ebx,[rdx+rcx*8]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.lea_scaled(SCRATCH, Some(R13), R12, 2, 0, 8),
            "lea rax,[r13+r12*4]",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.lea_scaled(RBX, Some(RBP), RBP, 1, 0x1000, 8),
            "lea rbx,[rbp+rbp*2+1000h]",
        );
    }
}
