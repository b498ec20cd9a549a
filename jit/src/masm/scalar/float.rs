//! Float arithmetic and comparisons.
//!
//! Each instruction has an older form of two operands and, with AVX, one of three. The older ones leave the upper part of
//! their destination as it was, and mixing both kinds costs where that part is not known to be clear, so that with AVX
//! only the newer ones are used. Of a float's register only the low 4 or 8 bytes count.
//!
//! Signs are handled as bits, by masks made from a register full of ones: that is two instructions without memory.

use super::super::encode::{emit, emit_mem};
use super::super::{Condition, Masm, Reg, Rhs, VSCRATCH, VSCRATCH2};
use dynasmrt::DynasmApi;
use luge_core::operator::CompareOp;

/// Float instructions with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FloatOp {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
}

/// Rounding modes, as `roundss` encodes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    ToNearest = 0,
    Down = 1,
    Up = 2,
    ToZero = 3,
}

/// Bitwise instructions on whole vector registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bitwise {
    And,
    /// The second operand without the first's bits.
    AndNot,
    Or,
    Xor,
}

/// Emits one of a group of float instructions, `dst = a op b`; without AVX `dst` is `a`.
macro_rules! float_op {
    ($masm:ident, $op:expr, $dst:ident, $a:ident, $b:ident, $width:ident;
     $($variant:path => $ss:ident $sd:ident $vss:ident $vsd:ident)*) => {
        match ($op, $b, $width == 8, $masm.cpu.avx) {
            $(
                ($variant, Rhs::Reg(b), false, false) => emit!($masm; $ss Rx($dst), Rx(b)),
                ($variant, Rhs::Reg(b), true, false) => emit!($masm; $sd Rx($dst), Rx(b)),
                ($variant, Rhs::Reg(b), false, true) => emit!($masm; $vss Rx($dst), Rx($a), Rx(b)),
                ($variant, Rhs::Reg(b), true, true) => emit!($masm; $vsd Rx($dst), Rx($a), Rx(b)),
                ($variant, Rhs::Mem(mem), false, false) => emit_mem!($masm, mem; $ss [Rx($dst),] DWORD []),
                ($variant, Rhs::Mem(mem), true, false) => emit_mem!($masm, mem; $sd [Rx($dst),] QWORD []),
                ($variant, Rhs::Mem(mem), false, true) => emit_mem!($masm, mem; $vss [Rx($dst), Rx($a),] DWORD []),
                ($variant, Rhs::Mem(mem), true, true) => emit_mem!($masm, mem; $vsd [Rx($dst), Rx($a),] QWORD []),
            )*
            (_, Rhs::Imm(_), _, _) => unreachable!("float operators take no constants"),
        }
    };
}

impl Masm {
    /// `dst = a op b`, the processor's way.
    pub(super) fn float_arithmetic(&mut self, op: FloatOp, dst: Reg, a: Reg, b: Rhs, width: u32) {
        let b = if self.cpu.avx {
            b
        } else {
            self.place(dst, a, b, VSCRATCH, width)
        };
        float_op! { self, op, dst, a, b, width;
            FloatOp::Add => addss addsd vaddss vaddsd
            FloatOp::Sub => subss subsd vsubss vsubsd
            FloatOp::Mul => mulss mulsd vmulss vmulsd
            FloatOp::Div => divss divsd vdivss vdivsd
            FloatOp::Min => minss minsd vminss vminsd
            FloatOp::Max => maxss maxsd vmaxss vmaxsd
        }
    }

    /// WebAssembly's minimum and maximum. The processor's give their second operand both for zeros of any sign and for
    /// NaNs; those cases have code of their own.
    pub(super) fn extremum(&mut self, op: FloatOp, dst: Reg, a: Reg, b: Rhs, width: u32) {
        let b = match self.place(dst, a, b, VSCRATCH, width) {
            Rhs::Reg(b) => b,
            b => self.in_register(b, VSCRATCH, width),
        };
        self.compare_ordered(dst, Rhs::Reg(b), width);
        let differ = self.short_forward(Condition::NOT_EQUAL);
        let unordered = self.short_forward(Condition::PARITY);
        // Equal: at most the signs of zeros differ.
        let combine = if op == FloatOp::Min {
            Bitwise::Or
        } else {
            Bitwise::And
        };
        self.bitwise(combine, dst, dst, b);
        let done = self.short_forward_always();
        self.land(unordered);
        // A sum with a NaN is a quiet NaN.
        self.float_arithmetic(FloatOp::Add, dst, dst, Rhs::Reg(b), width);
        let done_too = self.short_forward_always();
        self.land(differ);
        self.float_arithmetic(op, dst, dst, Rhs::Reg(b), width);
        self.land(done);
        self.land(done_too);
    }

    /// Rounds to an integral value; quiets NaNs.
    pub(super) fn round(&mut self, mode: Rounding, dst: Reg, src: Reg, width: u32) {
        // Bit 3: do not signal that the result is inexact.
        let mode = mode as i8 | 8;
        match (width == 8, self.cpu.avx) {
            (false, false) => emit!(self; roundss Rx(dst), Rx(src), BYTE mode),
            (true, false) => emit!(self; roundsd Rx(dst), Rx(src), BYTE mode),
            (false, true) => emit!(self; vroundss Rx(dst), Rx(src), Rx(src), BYTE mode),
            (true, true) => emit!(self; vroundsd Rx(dst), Rx(src), Rx(src), BYTE mode),
        }
    }

    pub(super) fn sqrt(&mut self, dst: Reg, src: Reg, width: u32) {
        match (width == 8, self.cpu.avx) {
            (false, false) => emit!(self; sqrtss Rx(dst), Rx(src)),
            (true, false) => emit!(self; sqrtsd Rx(dst), Rx(src)),
            (false, true) => emit!(self; vsqrtss Rx(dst), Rx(src), Rx(src)),
            (true, true) => emit!(self; vsqrtsd Rx(dst), Rx(src), Rx(src)),
        }
    }

    pub(super) fn float_abs(&mut self, dst: Reg, src: Reg, width: u32) {
        self.all_but_sign_mask(VSCRATCH, width);
        self.bitwise(Bitwise::And, dst, src, VSCRATCH);
    }

    pub(super) fn float_neg(&mut self, dst: Reg, src: Reg, width: u32) {
        self.sign_mask(VSCRATCH, width);
        self.bitwise(Bitwise::Xor, dst, src, VSCRATCH);
    }

    pub(super) fn copysign(&mut self, dst: Reg, a: Reg, b: Rhs, width: u32) {
        let b = match b {
            Rhs::Reg(b) => b,
            b => self.in_register(b, VSCRATCH2, width),
        };
        self.sign_mask(VSCRATCH, width);
        self.bitwise(Bitwise::And, VSCRATCH2, b, VSCRATCH);
        self.bitwise(Bitwise::AndNot, VSCRATCH, VSCRATCH, a);
        self.bitwise(Bitwise::Or, dst, VSCRATCH, VSCRATCH2);
    }

    /// Compares for equality and order: the carry flag says below, the zero flag equal, and if unordered, both and parity
    /// are set.
    pub(super) fn compare_ordered(&mut self, a: Reg, b: Rhs, width: u32) {
        match (b, width == 8, self.cpu.avx) {
            (Rhs::Reg(b), false, false) => emit!(self; ucomiss Rx(a), Rx(b)),
            (Rhs::Reg(b), true, false) => emit!(self; ucomisd Rx(a), Rx(b)),
            (Rhs::Reg(b), false, true) => emit!(self; vucomiss Rx(a), Rx(b)),
            (Rhs::Reg(b), true, true) => emit!(self; vucomisd Rx(a), Rx(b)),
            (Rhs::Mem(mem), false, false) => emit_mem!(self, mem; ucomiss [Rx(a),] DWORD []),
            (Rhs::Mem(mem), true, false) => emit_mem!(self, mem; ucomisd [Rx(a),] QWORD []),
            (Rhs::Mem(mem), false, true) => emit_mem!(self, mem; vucomiss [Rx(a),] DWORD []),
            (Rhs::Mem(mem), true, true) => emit_mem!(self, mem; vucomisd [Rx(a),] QWORD []),
            (Rhs::Imm(_), _, _) => unreachable!("float operators take no constants"),
        }
    }

    /// [`Masm::compare`] for floats. What asks for less exchanges the operands and asks for more, because unordered
    /// operands set the carry flag, which "above" wants clear.
    pub(super) fn compare_floats(&mut self, op: CompareOp, a: Reg, b: Rhs) -> Condition {
        use CompareOp as C;
        let width = match op {
            C::F32Eq | C::F32Ne | C::F32Lt | C::F32Gt | C::F32Le | C::F32Ge => 4,
            _ => 8,
        };
        let (exchanged, condition) = match op {
            C::F32Eq | C::F64Eq => (false, Condition::FLOAT_EQUAL),
            C::F32Ne | C::F64Ne => (false, Condition::FLOAT_NOT_EQUAL),
            C::F32Gt | C::F64Gt => (false, Condition::ABOVE),
            C::F32Ge | C::F64Ge => (false, Condition::ABOVE_EQUAL),
            C::F32Lt | C::F64Lt => (true, Condition::ABOVE),
            C::F32Le | C::F64Le => (true, Condition::ABOVE_EQUAL),
            _ => unreachable!("integers are compared elsewhere"),
        };
        if exchanged {
            let b = match b {
                Rhs::Reg(b) => b,
                b => self.in_register(b, VSCRATCH, width),
            };
            self.compare_ordered(b, Rhs::Reg(a), width);
        } else {
            self.compare_ordered(a, b, width);
        }
        condition
    }

    /// `dst = a op b` on whole registers. `b` may be `dst` only where `a` is, or with AVX, or if the operands may change
    /// places.
    pub(super) fn bitwise(&mut self, op: Bitwise, dst: Reg, a: Reg, b: Reg) {
        if self.cpu.avx {
            match op {
                Bitwise::And => emit!(self; vandps Rx(dst), Rx(a), Rx(b)),
                Bitwise::AndNot => emit!(self; vandnps Rx(dst), Rx(a), Rx(b)),
                Bitwise::Or => emit!(self; vorps Rx(dst), Rx(a), Rx(b)),
                Bitwise::Xor => emit!(self; vxorps Rx(dst), Rx(a), Rx(b)),
            }
            return;
        }
        let b = if dst == b {
            debug_assert!(a == b || op != Bitwise::AndNot);
            a
        } else {
            self.mov(dst, a, 16);
            b
        };
        match op {
            Bitwise::And => emit!(self; andps Rx(dst), Rx(b)),
            Bitwise::AndNot => emit!(self; andnps Rx(dst), Rx(b)),
            Bitwise::Or => emit!(self; orps Rx(dst), Rx(b)),
            Bitwise::Xor => emit!(self; xorps Rx(dst), Rx(b)),
        }
    }

    /// Every lane's sign bit.
    pub(super) fn sign_mask(&mut self, dst: Reg, width: u32) {
        self.all_ones(dst);
        match (width == 8, self.cpu.avx) {
            (false, false) => emit!(self; pslld Rx(dst), BYTE 31),
            (true, false) => emit!(self; psllq Rx(dst), BYTE 63),
            (false, true) => emit!(self; vpslld Rx(dst), Rx(dst), BYTE 31),
            (true, true) => emit!(self; vpsllq Rx(dst), Rx(dst), BYTE 63),
        }
    }

    /// Every lane's other bits.
    fn all_but_sign_mask(&mut self, dst: Reg, width: u32) {
        self.all_ones(dst);
        match (width == 8, self.cpu.avx) {
            (false, false) => emit!(self; psrld Rx(dst), BYTE 1),
            (true, false) => emit!(self; psrlq Rx(dst), BYTE 1),
            (false, true) => emit!(self; vpsrld Rx(dst), Rx(dst), BYTE 1),
            (true, true) => emit!(self; vpsrlq Rx(dst), Rx(dst), BYTE 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{FULL, RBP, RBX, X0, X1, X9, check};
    use super::super::super::{Mem, Rhs};
    use crate::cpu::CpuFeatures;
    use luge_core::operator::BinaryOp as B;
    use luge_core::operator::CompareOp as C;
    use luge_core::operator::UnaryOp as U;

    #[test]
    fn arithmetic_minds_its_destination() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::F32Add, X0, X0, Rhs::Reg(X9)),
            "addss xmm0,xmm9",
        );
        check(
            FULL,
            |m| m.binary(B::F32Add, X0, X1, Rhs::Reg(X9)),
            "vaddss xmm0,xmm1,xmm9",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::F64Sub, X0, X1, Rhs::Reg(X0)),
            "movaps xmm15,xmm0; movaps xmm0,xmm1; subsd xmm0,xmm15",
        );
        check(
            FULL,
            |m| m.binary(B::F64Sub, X0, X1, Rhs::Reg(X0)),
            "vsubsd xmm0,xmm1,xmm0",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::F32Div, X0, X1, Rhs::Mem(Mem::new(RBP, -4))),
            "movaps xmm0,xmm1; divss xmm0,[rbp-4]",
        );
        check(
            FULL,
            |m| m.binary(B::F64Mul, X0, X0, Rhs::Mem(Mem::indexed(RBX, RBP, 8))),
            "vmulsd xmm0,xmm0,[rbx+rbp+8]",
        );
    }

    #[test]
    fn extremes_have_a_path_for_zeros_and_one_for_nans() {
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::F32Min, X0, X1, Rhs::Reg(X0)),
            "movaps xmm15,xmm0; movaps xmm0,xmm1; ucomiss xmm0,xmm15; jne 1Ch; jp 15h; orps xmm0,xmm15; jmp 21h; addss xmm0,xmm15; jmp 21h; minss xmm0,xmm15",
        );
        check(
            FULL,
            |m| m.binary(B::F64Max, X0, X0, Rhs::Reg(X1)),
            "vucomisd xmm0,xmm1; jne 14h; jp 0Eh; vandps xmm0,xmm0,xmm1; jmp 18h; vaddsd xmm0,xmm0,xmm1; jmp 18h; vmaxsd xmm0,xmm0,xmm1",
        );
    }

    #[test]
    fn signs_are_masked() {
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::F32Abs, X0, X1),
            "pcmpeqd xmm15,xmm15; psrld xmm15,1; movaps xmm0,xmm1; andps xmm0,xmm15",
        );
        check(
            FULL,
            |m| m.unary(U::F64Neg, X0, X0),
            "vpcmpeqd xmm15,xmm15,xmm15; vpsllq xmm15,xmm15,3Fh; vxorps xmm0,xmm0,xmm15",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.binary(B::F64Copysign, X0, X1, Rhs::Reg(X0)),
            "pcmpeqd xmm15,xmm15; psllq xmm15,3Fh; movaps xmm14,xmm0; andps xmm14,xmm15; andnps xmm15,xmm1; movaps xmm0,xmm15; orps xmm0,xmm14",
        );
        check(
            FULL,
            |m| m.binary(B::F32Copysign, X0, X1, Rhs::Reg(X9)),
            "vpcmpeqd xmm15,xmm15,xmm15; vpslld xmm15,xmm15,1Fh; vandps xmm14,xmm9,xmm15; vandnps xmm15,xmm15,xmm1; vorps xmm0,xmm15,xmm14",
        );
    }

    #[test]
    fn roundings_and_roots() {
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::F32Nearest, X0, X9),
            "roundss xmm0,xmm9,8",
        );
        check(
            FULL,
            |m| m.unary(U::F64Floor, X0, X1),
            "vroundsd xmm0,xmm1,xmm1,9",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::F64Ceil, X0, X0),
            "roundsd xmm0,xmm0,0Ah",
        );
        check(
            FULL,
            |m| m.unary(U::F32Trunc, X9, X0),
            "vroundss xmm9,xmm0,xmm0,0Bh",
        );
        check(
            CpuFeatures::BASELINE,
            |m| m.unary(U::F64Sqrt, X0, X1),
            "sqrtsd xmm0,xmm1",
        );
        check(FULL, |m| m.unary(U::F32Sqrt, X0, X1), "vsqrtss xmm0,xmm1,xmm1");
    }

    #[test]
    fn less_is_more_with_operands_exchanged() {
        check(
            CpuFeatures::BASELINE,
            |m| {
                let c = m.compare(C::F32Lt, X0, Rhs::Reg(X1));
                m.set(RBX, c);
            },
            "ucomiss xmm1,xmm0; seta bl; movzx ebx,bl",
        );
        check(
            FULL,
            |m| {
                let c = m.compare(C::F64Le, X0, Rhs::Mem(Mem::new(RBP, -8)));
                m.set(RBX, c);
            },
            "vmovsd xmm15,[rbp-8]; vucomisd xmm15,xmm0; setae bl; movzx ebx,bl",
        );
        check(
            CpuFeatures::BASELINE,
            |m| {
                let c = m.compare(C::F64Gt, X0, Rhs::Mem(Mem::new(RBP, -8)));
                m.set(RBX, c);
            },
            "ucomisd xmm0,[rbp-8]; seta bl; movzx ebx,bl",
        );
        check(
            FULL,
            |m| {
                let c = m.compare(C::F32Ge, X0, Rhs::Reg(X9));
                m.set(RBX, c.negated());
            },
            "vucomiss xmm0,xmm9; setb bl; movzx ebx,bl",
        );
    }
}
