//! Loads and stores of vectors and of their lanes. None of them needs alignment.
//!
//! As with scalars, these are just the accesses. Where an access may fault, its instruction is marked: that is always the
//! one that accesses memory, after what else its sequence has to do before.

use super::super::encode::emit_mem;
use super::super::{Masm, Mem, Reg, SCRATCH};
use dynasmrt::DynasmApi;
use luge_core::Trap;
use luge_core::operator::{LaneWidth, LoadOp, VectorLoadOp};

/// `dst = inst [mem]`.
macro_rules! load {
    ($self:ident, $dst:ident, $mem:ident; $sse:ident $avx:ident $($size:ident)?) => {
        if $self.cpu.avx {
            emit_mem!($self, $mem; $avx [Rx($dst),] $($size)? []);
        } else {
            emit_mem!($self, $mem; $sse [Rx($dst),] $($size)? []);
        }
    };
}

/// `dst = a` with a lane from `[mem]`.
macro_rules! insert {
    ($self:ident, $dst:ident, $a:ident, $mem:ident, $lane:ident; $sse:ident $avx:ident $size:ident) => {
        if $self.cpu.avx {
            emit_mem!($self, $mem; $avx [Rx($dst), Rx($a),] $size [, $lane as i8]);
        } else {
            emit_mem!($self, $mem; $sse [Rx($dst),] $size [, $lane as i8]);
        }
    };
}

/// `[mem]` = a lane of `src`.
macro_rules! extract {
    ($self:ident, $mem:ident, $src:ident, $lane:ident; $sse:ident $avx:ident $size:ident) => {
        if $self.cpu.avx {
            emit_mem!($self, $mem; $avx [] $size [, Rx($src), $lane as i8]);
        } else {
            emit_mem!($self, $mem; $sse [] $size [, Rx($src), $lane as i8]);
        }
    };
}

impl Masm {
    /// `dst = op [mem]`. If it `faults`, its fault is marked as an access out of bounds.
    pub(crate) fn vector_load(&mut self, op: VectorLoadOp, dst: Reg, mem: Mem, faults: bool) {
        use VectorLoadOp as O;
        match op {
            // Through a general register: an insertion would wait for what `dst` held before.
            O::V128Load8Splat if !self.cpu.avx2 => {
                self.load(LoadOp::I32Load8U, SCRATCH, mem, faults);
                self.mov_across(dst, SCRATCH, 4);
                return self.spread_byte(dst);
            }
            O::V128Load16Splat if !self.cpu.avx2 => {
                self.load(LoadOp::I32Load16U, SCRATCH, mem, faults);
                self.mov_across(dst, SCRATCH, 4);
                return self.spread_word(dst);
            }
            _ => self.mark(faults),
        }
        match op {
            O::V128Load => self.spill_load(dst, mem, 16),
            O::V128Load8x8S => load!(self, dst, mem; pmovsxbw vpmovsxbw QWORD),
            O::V128Load8x8U => load!(self, dst, mem; pmovzxbw vpmovzxbw QWORD),
            O::V128Load16x4S => load!(self, dst, mem; pmovsxwd vpmovsxwd QWORD),
            O::V128Load16x4U => load!(self, dst, mem; pmovzxwd vpmovzxwd QWORD),
            O::V128Load32x2S => load!(self, dst, mem; pmovsxdq vpmovsxdq QWORD),
            O::V128Load32x2U => load!(self, dst, mem; pmovzxdq vpmovzxdq QWORD),
            O::V128Load8Splat => emit_mem!(self, mem; vpbroadcastb [Rx(dst),] BYTE []),
            O::V128Load16Splat => emit_mem!(self, mem; vpbroadcastw [Rx(dst),] WORD []),
            O::V128Load32Splat if self.cpu.avx => emit_mem!(self, mem; vbroadcastss [Rx(dst),] DWORD []),
            O::V128Load32Splat => {
                self.spill_load(dst, mem, 4);
                self.shufps(dst, dst, dst, 0);
            }
            O::V128Load64Splat => load!(self, dst, mem; movddup vmovddup QWORD),
            O::V128Load32Zero => self.spill_load(dst, mem, 4),
            O::V128Load64Zero => self.spill_load(dst, mem, 8),
        }
    }

    /// `[mem] = src`, all 16 bytes. If it `faults`, its fault is marked as an access out of bounds.
    pub(crate) fn vector_store(&mut self, mem: Mem, src: Reg, faults: bool) {
        self.mark(faults);
        self.spill_store(mem, src, 16);
    }

    /// `dst` = `a` with a lane replaced by `[mem]`. If it `faults`, its fault is marked as an access out of bounds.
    pub(crate) fn load_lane(&mut self, width: LaneWidth, dst: Reg, a: Reg, mem: Mem, lane: u8, faults: bool) {
        if !self.cpu.avx {
            self.mov(dst, a, 16);
        }
        self.mark(faults);
        match width {
            LaneWidth::Bits8 => insert!(self, dst, a, mem, lane; pinsrb vpinsrb BYTE),
            LaneWidth::Bits16 => insert!(self, dst, a, mem, lane; pinsrw vpinsrw WORD),
            LaneWidth::Bits32 => insert!(self, dst, a, mem, lane; pinsrd vpinsrd DWORD),
            LaneWidth::Bits64 => insert!(self, dst, a, mem, lane; pinsrq vpinsrq QWORD),
        }
    }

    /// `[mem]` = a lane of `src`. If it `faults`, its fault is marked as an access out of bounds.
    pub(crate) fn store_lane(&mut self, width: LaneWidth, mem: Mem, src: Reg, lane: u8, faults: bool) {
        self.mark(faults);
        match width {
            LaneWidth::Bits8 => extract!(self, mem, src, lane; pextrb vpextrb BYTE),
            LaneWidth::Bits16 => extract!(self, mem, src, lane; pextrw vpextrw WORD),
            LaneWidth::Bits32 if lane == 0 => self.spill_store(mem, src, 4),
            LaneWidth::Bits32 => extract!(self, mem, src, lane; pextrd vpextrd DWORD),
            LaneWidth::Bits64 if lane == 0 => self.spill_store(mem, src, 8),
            LaneWidth::Bits64 => extract!(self, mem, src, lane; pextrq vpextrq QWORD),
        }
    }

    fn mark(&mut self, faults: bool) {
        if faults {
            self.trap_here(Trap::MemoryOutOfBounds);
        }
    }
}
