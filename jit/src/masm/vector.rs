//! 128-bit operators.
use super::{Masm, Mem, Reg};
use luge_core::operator::*;
#[derive(Debug, Clone, Copy)]
pub(crate) enum ShiftCount {
    Reg(Reg),
    Imm(u32),
}
impl Masm {
    pub(crate) fn vector_unary(&mut self, _op: VectorUnaryOp, _dst: Reg, _src: Reg) {}
    pub(crate) fn vector_binary(&mut self, _op: VectorBinaryOp, _dst: Reg, _a: Reg, _b: Reg) {}
    pub(crate) fn vector_ternary(&mut self, _op: VectorTernaryOp, _dst: Reg, _a: Reg, _b: Reg, _c: Reg) {}
    pub(crate) fn vector_shift(&mut self, _op: VectorShiftOp, _dst: Reg, _a: Reg, _c: ShiftCount) {}
    pub(crate) fn vector_test(&mut self, _op: VectorTestOp, _dst: Reg, _a: Reg) {}
    pub(crate) fn splat(&mut self, _op: SplatOp, _dst: Reg, _a: Reg) {}
    pub(crate) fn extract_lane(&mut self, _op: ExtractLaneOp, _dst: Reg, _a: Reg, _l: u8) {}
    pub(crate) fn replace_lane(&mut self, _op: ReplaceLaneOp, _dst: Reg, _a: Reg, _v: Reg, _l: u8) {}
    pub(crate) fn shuffle(&mut self, _dst: Reg, _a: Reg, _b: Reg, _l: [u8; 16]) {}
    pub(crate) fn vector_load(&mut self, _op: VectorLoadOp, _dst: Reg, _m: Mem, _f: bool) {}
    pub(crate) fn vector_store(&mut self, _m: Mem, _s: Reg, _f: bool) {}
    pub(crate) fn load_lane(&mut self, _w: LaneWidth, _dst: Reg, _a: Reg, _m: Mem, _l: u8, _f: bool) {}
    pub(crate) fn store_lane(&mut self, _w: LaneWidth, _m: Mem, _s: Reg, _l: u8, _f: bool) {}
}
