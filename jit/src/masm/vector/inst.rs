//! Vector instructions by their SSE names, each with a destination of its own.
//!
//! With AVX that is one instruction. Without it the destination is the first operand, which has to be moved there first:
//!
//! | | AVX | SSE |
//! |---|---|---|
//! | `psubb(x1, x1, x2)` | `vpsubb x1, x1, x2` | `psubb x1, x2` |
//! | `psubb(x1, x2, x3)` | `vpsubb x1, x2, x3` | `movaps x1, x2; psubb x1, x3` |
//! | `paddb(x1, x2, x1)` | `vpaddb x1, x2, x1` | `paddb x1, x2` |
//! | `psubb(x1, x2, x1)` | `vpsubb x1, x2, x1` | `movaps x15, x1; movaps x1, x2; psubb x1, x15` |
//!
//! The last line is the only one that takes a register on the side: a sequence that keeps something in [`VSCRATCH`] must not
//! come there. Addition and multiplication of floats do not count as commutative, because of two NaNs the processor
//! takes the first: so what a program computes does not depend on which registers it was given.

use super::super::encode::emit;
use super::super::{Masm, Reg, VSCRATCH};
use super::constants::Source;
use dynasmrt::DynasmApi;

/// Whether the operands of an instruction may change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Any,
    Fixed,
}

/// `dst = a inst b`.
macro_rules! three_operands {
    ($order:ident: $($sse:ident $avx:ident)*) => {
        impl Masm {
            $(pub(super) fn $sse(&mut self, dst: Reg, a: Reg, b: impl Into<Source>) {
                let b = b.into();
                if self.cpu.avx {
                    match b {
                        Source::Reg(b) => emit!(self; $avx Rx(dst), Rx(a), Rx(b)),
                        Source::Constant(b) => {
                            emit!(self; $avx Rx(dst), Rx(a), [rip + 0]);
                            self.refer_to(b);
                        }
                    }
                } else {
                    match self.in_two_addresses(dst, a, b, Order::$order) {
                        Source::Reg(b) => emit!(self; $sse Rx(dst), Rx(b)),
                        Source::Constant(b) => {
                            emit!(self; $sse Rx(dst), [rip + 0]);
                            self.refer_to(b);
                        }
                    }
                }
            })*
        }
    };
}

/// `dst = a inst b` with an immediate byte. The AVX form's sources are given in the order that `dynasm` wants.
macro_rules! three_operands_imm {
    ($exchanged:literal: $($sse:ident $avx:ident)*) => {
        impl Masm {
            $(pub(super) fn $sse(&mut self, dst: Reg, a: Reg, b: Reg, imm: u8) {
                if self.cpu.avx {
                    let (a, b) = if $exchanged { (b, a) } else { (a, b) };
                    emit!(self; $avx Rx(dst), Rx(a), Rx(b), imm as i8);
                } else {
                    let b = self.register_in_two_addresses(dst, a, b);
                    emit!(self; $sse Rx(dst), Rx(b), imm as i8);
                }
            })*
        }
    };
}

/// `dst = inst src`.
macro_rules! two_operands {
    ($($sse:ident $avx:ident)*) => {
        impl Masm {
            $(pub(super) fn $sse(&mut self, dst: Reg, src: Reg) {
                if self.cpu.avx {
                    emit!(self; $avx Rx(dst), Rx(src));
                } else {
                    emit!(self; $sse Rx(dst), Rx(src));
                }
            })*
        }
    };
}

/// `dst = inst src` with an immediate byte.
macro_rules! two_operands_imm {
    ($($sse:ident $avx:ident)*) => {
        impl Masm {
            $(pub(super) fn $sse(&mut self, dst: Reg, src: Reg, imm: u8) {
                if self.cpu.avx {
                    emit!(self; $avx Rx(dst), Rx(src), imm as i8);
                } else {
                    emit!(self; $sse Rx(dst), Rx(src), imm as i8);
                }
            })*
        }
    };
}

/// `dst = a` shifted by an immediate count below the width of a lane.
macro_rules! shifts_by_imm {
    ($($name:ident $sse:ident $avx:ident)*) => {
        impl Masm {
            $(pub(super) fn $name(&mut self, dst: Reg, a: Reg, count: u8) {
                if self.cpu.avx {
                    emit!(self; $avx Rx(dst), Rx(a), count as i8);
                } else {
                    self.mov(dst, a, 16);
                    emit!(self; $sse Rx(dst), count as i8);
                }
            })*
        }
    };
}

three_operands! { Any:
    paddb vpaddb  paddw vpaddw  paddd vpaddd  paddq vpaddq
    paddsb vpaddsb  paddsw vpaddsw  paddusb vpaddusb  paddusw vpaddusw
    pminsb vpminsb  pminsw vpminsw  pminsd vpminsd  pminub vpminub  pminuw vpminuw  pminud vpminud
    pmaxsb vpmaxsb  pmaxsw vpmaxsw  pmaxsd vpmaxsd  pmaxub vpmaxub  pmaxuw vpmaxuw  pmaxud vpmaxud
    pavgb vpavgb  pavgw vpavgw
    pmullw vpmullw  pmulhw vpmulhw  pmulhuw vpmulhuw  pmulhrsw vpmulhrsw  pmulld vpmulld
    pmuludq vpmuludq  pmuldq vpmuldq  pmaddwd vpmaddwd
    pcmpeqb vpcmpeqb  pcmpeqw vpcmpeqw  pcmpeqd vpcmpeqd  pcmpeqq vpcmpeqq
    pand vpand  por vpor  pxor vpxor  andps vandps  orps vorps  xorps vxorps
}

three_operands! { Fixed:
    psubb vpsubb  psubw vpsubw  psubd vpsubd  psubq vpsubq
    psubsb vpsubsb  psubsw vpsubsw  psubusb vpsubusb  psubusw vpsubusw
    pcmpgtb vpcmpgtb  pcmpgtw vpcmpgtw  pcmpgtd vpcmpgtd  pcmpgtq vpcmpgtq
    pandn vpandn  andnps vandnps
    packsswb vpacksswb  packuswb vpackuswb  packssdw vpackssdw  packusdw vpackusdw
    punpcklbw vpunpcklbw  punpcklwd vpunpcklwd  punpckldq vpunpckldq  punpcklqdq vpunpcklqdq
    punpckhbw vpunpckhbw  punpckhwd vpunpckhwd  punpckhdq vpunpckhdq  punpckhqdq vpunpckhqdq
    unpcklps vunpcklps  unpcklpd vunpcklpd
    pshufb vpshufb  pmaddubsw vpmaddubsw
    psllw vpsllw  pslld vpslld  psllq vpsllq  psrlw vpsrlw  psrld vpsrld  psrlq vpsrlq  psraw vpsraw  psrad vpsrad
    addps vaddps  subps vsubps  mulps vmulps  divps vdivps  minps vminps  maxps vmaxps
    addpd vaddpd  subpd vsubpd  mulpd vmulpd  divpd vdivpd  minpd vminpd  maxpd vmaxpd
}

three_operands_imm! { false:
    insertps vinsertps
}

// Of these, `dynasm` 5.1 takes the sources of the AVX form in the wrong order. The tests read the code back with another
// disassembler, and so will tell when it does not any more.
three_operands_imm! { true:
    cmpps vcmpps  cmppd vcmppd  shufps vshufps  palignr vpalignr  pblendw vpblendw
}

two_operands! {
    pabsb vpabsb  pabsw vpabsw  pabsd vpabsd
    pmovsxbw vpmovsxbw  pmovsxwd vpmovsxwd  pmovsxdq vpmovsxdq
    pmovzxbw vpmovzxbw  pmovzxwd vpmovzxwd  pmovzxdq vpmovzxdq
    cvtdq2ps vcvtdq2ps  cvttps2dq vcvttps2dq  cvttpd2dq vcvttpd2dq
    cvtdq2pd vcvtdq2pd  cvtpd2ps vcvtpd2ps  cvtps2pd vcvtps2pd
    sqrtps vsqrtps  sqrtpd vsqrtpd  movddup vmovddup
    ptest vptest
}

two_operands_imm! {
    pshufd vpshufd  pshuflw vpshuflw  pshufhw vpshufhw  roundps vroundps  roundpd vroundpd
}

shifts_by_imm! {
    psllw_imm psllw vpsllw  pslld_imm pslld vpslld  psllq_imm psllq vpsllq
    psrlw_imm psrlw vpsrlw  psrld_imm psrld vpsrld  psrlq_imm psrlq vpsrlq
    psraw_imm psraw vpsraw  psrad_imm psrad vpsrad
}

impl Masm {
    /// Moves a whole vector.
    pub(super) fn movaps(&mut self, dst: Reg, src: Reg) {
        self.mov(dst, src, 16);
    }

    /// The low half of `b` under the upper half of `a`.
    pub(super) fn movsd(&mut self, dst: Reg, a: Reg, b: Reg) {
        if self.cpu.avx {
            emit!(self; vmovsd Rx(dst), Rx(a), Rx(b));
        } else {
            let b = self.register_in_two_addresses(dst, a, b);
            emit!(self; movsd Rx(dst), Rx(b));
        }
    }

    /// Clears a vector register, by an idiom of the integer domain.
    pub(super) fn zero_vector(&mut self, dst: Reg) {
        self.pxor(dst, dst, dst);
    }

    /// Loads a constant.
    pub(super) fn load_constant(&mut self, dst: Reg, constant: Source) {
        match constant {
            Source::Reg(src) => self.movaps(dst, src),
            Source::Constant(label) => {
                if self.cpu.avx {
                    emit!(self; vmovaps Rx(dst), [rip + 0]);
                } else {
                    emit!(self; movaps Rx(dst), [rip + 0]);
                }
                self.refer_to(label);
            }
        }
    }

    /// Moves `a` to `dst` and says what the other operand of `dst = dst inst ...` is then.
    fn in_two_addresses(&mut self, dst: Reg, a: Reg, b: Source, order: Order) -> Source {
        if dst == a || b != Source::Reg(dst) {
            self.movaps(dst, a);
            return b;
        }
        if order == Order::Any {
            return Source::Reg(a);
        }
        debug_assert_ne!(a, VSCRATCH, "the first operand would be overwritten");
        self.movaps(VSCRATCH, dst);
        self.movaps(dst, a);
        Source::Reg(VSCRATCH)
    }

    /// As [`Masm::in_two_addresses`], for operands in registers whose order counts.
    fn register_in_two_addresses(&mut self, dst: Reg, a: Reg, b: Reg) -> Reg {
        match self.in_two_addresses(dst, a, Source::Reg(b), Order::Fixed) {
            Source::Reg(b) => b,
            Source::Constant(_) => unreachable!("a register goes in"),
        }
    }
}
