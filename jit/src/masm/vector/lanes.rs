//! Single lanes: splat, extract, replace, swizzle.

use super::super::encode::{emit, emit_byte};
use super::super::{Masm, Reg, VSCRATCH};
use super::constants::bytes;
use dynasmrt::DynasmApi;
use luge_core::operator::{ExtractLaneOp, ReplaceLaneOp, SplatOp};

/// `dst = a` with a lane from a general register.
macro_rules! insert {
    ($($name:ident $sse:ident $avx:ident $view:ident)*) => {
        $(fn $name(&mut self, dst: Reg, a: Reg, value: Reg, lane: u8) {
            if self.cpu.avx {
                emit!(self; $avx Rx(dst), Rx(a), $view(value), lane as i8);
            } else {
                self.mov(dst, a, 16);
                emit!(self; $sse Rx(dst), $view(value), lane as i8);
            }
        })*
    };
}

/// A general register from a lane, zero-extended.
macro_rules! extract {
    ($($name:ident $sse:ident $avx:ident $view:ident)*) => {
        $(fn $name(&mut self, dst: Reg, src: Reg, lane: u8) {
            if self.cpu.avx {
                emit!(self; $avx $view(dst), Rx(src), lane as i8);
            } else {
                emit!(self; $sse $view(dst), Rx(src), lane as i8);
            }
        })*
    };
}

impl Masm {
    /// `dst` = `src` in every lane; `src` is a general register for integers and a vector register for floats.
    pub(crate) fn splat(&mut self, op: SplatOp, dst: Reg, src: Reg) {
        debug_assert_eq!(
            src.is_xmm(),
            matches!(op, SplatOp::F32x4Splat | SplatOp::F64x2Splat)
        );
        match op {
            SplatOp::I8x16Splat => {
                self.mov_across(dst, src, 4);
                self.spread_byte(dst);
            }
            SplatOp::I16x8Splat => {
                self.mov_across(dst, src, 4);
                self.spread_word(dst);
            }
            SplatOp::I32x4Splat => {
                self.mov_across(dst, src, 4);
                self.pshufd(dst, dst, 0);
            }
            SplatOp::I64x2Splat => {
                self.mov_across(dst, src, 8);
                self.punpcklqdq(dst, dst, dst);
            }
            SplatOp::F32x4Splat => self.shufps(dst, src, src, 0),
            SplatOp::F64x2Splat => self.movddup(dst, src),
        }
    }

    /// `dst` = a lane of `src`; `dst` is a general register for integers and a vector register for floats.
    pub(crate) fn extract_lane(&mut self, op: ExtractLaneOp, dst: Reg, src: Reg, lane: u8) {
        use ExtractLaneOp as O;
        match op {
            O::I8x16ExtractLaneS => {
                self.pextrb(dst, src, lane);
                emit_byte!(self, dst; movsx Rd(dst), Rb(dst));
            }
            O::I8x16ExtractLaneU => self.pextrb(dst, src, lane),
            O::I16x8ExtractLaneS => {
                self.pextrw(dst, src, lane);
                emit!(self; movsx Rd(dst), Rw(dst));
            }
            O::I16x8ExtractLaneU => self.pextrw(dst, src, lane),
            O::I32x4ExtractLane if lane == 0 => self.mov_across(dst, src, 4),
            O::I32x4ExtractLane => self.pextrd(dst, src, lane),
            O::I64x2ExtractLane if lane == 0 => self.mov_across(dst, src, 8),
            O::I64x2ExtractLane => self.pextrq(dst, src, lane),
            O::F32x4ExtractLane | O::F64x2ExtractLane if lane == 0 => self.movaps(dst, src),
            O::F32x4ExtractLane => self.pshufd(dst, src, lane),
            O::F64x2ExtractLane => self.pshufd(dst, src, 0b11_10_11_10),
        }
    }

    /// `dst` = `a` with a lane replaced by `value`, which is in a general register for integers and in a vector register for
    /// floats.
    pub(crate) fn replace_lane(&mut self, op: ReplaceLaneOp, dst: Reg, a: Reg, value: Reg, lane: u8) {
        use ReplaceLaneOp as O;
        match op {
            O::I8x16ReplaceLane => self.pinsrb(dst, a, value, lane),
            O::I16x8ReplaceLane => self.pinsrw(dst, a, value, lane),
            O::I32x4ReplaceLane => self.pinsrd(dst, a, value, lane),
            O::I64x2ReplaceLane => self.pinsrq(dst, a, value, lane),
            O::F32x4ReplaceLane => self.insertps(dst, a, value, lane << 4),
            O::F64x2ReplaceLane if lane == 0 => self.movsd(dst, a, value),
            O::F64x2ReplaceLane => self.unpcklpd(dst, a, value),
        }
    }

    /// Bytes of `a` by the indices in `b`: adding 0x70 with saturation sets the highest bit of those from 16 on, which
    /// asks for zero.
    pub(super) fn swizzle(&mut self, dst: Reg, a: Reg, b: Reg) {
        self.with_constant(VSCRATCH, b, bytes(0x70), Self::paddusb);
        self.pshufb(dst, a, VSCRATCH);
    }

    /// Puts the lowest byte into every lane.
    pub(super) fn spread_byte(&mut self, dst: Reg) {
        if self.cpu.avx2 {
            emit!(self; vpbroadcastb Rx(dst), Rx(dst));
        } else {
            self.zero_vector(VSCRATCH);
            self.pshufb(dst, dst, VSCRATCH);
        }
    }

    /// Puts the lowest word into every lane.
    pub(super) fn spread_word(&mut self, dst: Reg) {
        if self.cpu.avx2 {
            emit!(self; vpbroadcastw Rx(dst), Rx(dst));
        } else {
            self.pshuflw(dst, dst, 0);
            self.punpcklqdq(dst, dst, dst);
        }
    }

    insert! {
        pinsrb pinsrb vpinsrb Rd
        pinsrw pinsrw vpinsrw Rd
        pinsrd pinsrd vpinsrd Rd
        pinsrq pinsrq vpinsrq Rq
    }

    extract! {
        pextrb pextrb vpextrb Rd
        pextrw pextrw vpextrw Rd
        pextrd pextrd vpextrd Rd
        pextrq pextrq vpextrq Rq
    }
}
