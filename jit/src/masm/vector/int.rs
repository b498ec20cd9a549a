//! Integer operators that the processor has no instruction for.

use super::super::encode::emit;
use super::super::{Condition, Masm, Reg, SCRATCH, VSCRATCH, VSCRATCH2};
use super::constants::{Source, bytes, dwords, words};
use super::convert::Part;
use dynasmrt::DynasmApi;

/// An instruction with two sources.
pub(super) type Binary = fn(&mut Masm, Reg, Reg, Reg);

/// One of one source.
pub(super) type Unary = fn(&mut Masm, Reg, Reg);

/// Among the bits of a byte, those set in each value of four bits.
const POPULATION: u128 = u128::from_le_bytes([0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4]);

impl Masm {
    /// `dst = src op constant`.
    pub(super) fn with_constant(
        &mut self,
        dst: Reg,
        src: Reg,
        bits: u128,
        op: fn(&mut Self, Reg, Reg, Source),
    ) {
        let constant = self.constant(bits);
        op(self, dst, src, constant);
    }

    /// `dst = !src`.
    pub(super) fn invert(&mut self, dst: Reg, src: Reg) {
        self.all_ones(VSCRATCH);
        self.pxor(dst, src, VSCRATCH);
    }

    /// `dst = !(a op b)`.
    pub(super) fn inverted(&mut self, dst: Reg, a: Reg, b: Reg, op: Binary) {
        op(self, dst, a, b);
        self.invert(dst, dst);
    }

    /// `dst = 0 - src`.
    pub(super) fn negate_lanes(&mut self, dst: Reg, src: Reg, subtract: Binary) {
        let to = self.beside(dst, src);
        self.zero_vector(to);
        subtract(self, to, to, src);
        self.movaps(dst, to);
    }

    pub(super) fn abs_qwords(&mut self, dst: Reg, src: Reg) {
        // The signs, over the whole lanes.
        self.pshufd(VSCRATCH, src, 0b11_11_01_01);
        self.psrad_imm(VSCRATCH, VSCRATCH, 31);
        self.pxor(dst, src, VSCRATCH);
        self.psubq(dst, dst, VSCRATCH);
    }

    /// Looks up the population of both halves of each byte (Mula, Kurz and Lemire, "Faster Population Counts", 2016).
    pub(super) fn popcnt_bytes(&mut self, dst: Reg, src: Reg) {
        let low = self.constant(bytes(0x0f));
        let table = self.constant(POPULATION);
        self.pand(VSCRATCH, src, low);
        self.psrlw_imm(VSCRATCH2, src, 4);
        self.pand(VSCRATCH2, VSCRATCH2, low);
        self.load_constant(dst, table);
        self.pshufb(dst, dst, VSCRATCH);
        self.load_constant(VSCRATCH, table);
        self.pshufb(VSCRATCH, VSCRATCH, VSCRATCH2);
        self.paddb(dst, dst, VSCRATCH);
    }

    pub(super) fn add_pairs_of_bytes_s(&mut self, dst: Reg, src: Reg) {
        // The first factor is taken as unsigned, so that the ones have to be it.
        let ones = self.constant(bytes(1));
        let to = self.beside(dst, src);
        self.load_constant(to, ones);
        self.pmaddubsw(to, to, src);
        self.movaps(dst, to);
    }

    pub(super) fn add_pairs_of_bytes_u(&mut self, dst: Reg, src: Reg) {
        self.with_constant(dst, src, bytes(1), Self::pmaddubsw);
    }

    pub(super) fn add_pairs_of_words_s(&mut self, dst: Reg, src: Reg) {
        self.with_constant(dst, src, words(1), Self::pmaddwd);
    }

    pub(super) fn add_pairs_of_words_u(&mut self, dst: Reg, src: Reg) {
        self.psrld_imm(VSCRATCH, src, 16);
        self.with_constant(dst, src, dwords(0xffff), Self::pand);
        self.paddd(dst, dst, VSCRATCH);
    }

    /// `dst = a > b` of unsigned lanes: as signed ones, with their highest bits turned.
    pub(super) fn above(&mut self, dst: Reg, a: Reg, b: Reg, highest: u128, greater: Binary) {
        let highest = self.constant(highest);
        self.pxor(VSCRATCH2, a, highest);
        self.pxor(VSCRATCH, b, highest);
        greater(self, dst, VSCRATCH2, VSCRATCH);
    }

    /// `dst = (a extremum b) == a`.
    pub(super) fn is_extremum(&mut self, dst: Reg, a: Reg, b: Reg, extremum: Binary, equal: Binary) {
        let to = self.beside(dst, a);
        extremum(self, to, a, b);
        equal(self, dst, to, a);
    }

    /// Fixed-point product, rounded: of all products only `-1 * -1` does not fit, and comes out as `-1`.
    pub(super) fn q15_mul(&mut self, dst: Reg, a: Reg, b: Reg) {
        self.pmulhrsw(dst, a, b);
        self.with_constant(VSCRATCH, dst, words(0x8000), Self::pcmpeqw);
        self.pxor(dst, dst, VSCRATCH);
    }

    /// `(ah bl + al bh) << 32 + al bl`, for want of a multiplication of 64 bits.
    pub(super) fn mul_qwords(&mut self, dst: Reg, a: Reg, b: Reg) {
        self.psrlq_imm(VSCRATCH, a, 32);
        self.pmuludq(VSCRATCH, VSCRATCH, b);
        self.psrlq_imm(VSCRATCH2, b, 32);
        self.pmuludq(VSCRATCH2, VSCRATCH2, a);
        self.paddq(VSCRATCH, VSCRATCH, VSCRATCH2);
        self.psllq_imm(VSCRATCH, VSCRATCH, 32);
        self.pmuludq(dst, a, b);
        self.paddq(dst, dst, VSCRATCH);
    }

    pub(super) fn mul_widened_bytes(&mut self, dst: Reg, a: Reg, b: Reg, part: Part, widen: Unary) {
        self.widen(VSCRATCH, a, part, widen);
        self.widen(VSCRATCH2, b, part, widen);
        self.pmullw(dst, VSCRATCH, VSCRATCH2);
    }

    /// Lower and upper halves of the products, interleaved.
    pub(super) fn mul_widened_words(&mut self, dst: Reg, a: Reg, b: Reg, high: Binary, interleave: Binary) {
        high(self, VSCRATCH, a, b);
        self.pmullw(dst, a, b);
        interleave(self, dst, dst, VSCRATCH);
    }

    pub(super) fn mul_widened_dwords(&mut self, dst: Reg, a: Reg, b: Reg, part: Part, multiply: Binary) {
        let spread = match part {
            Part::Low => 0b01_01_00_00,
            Part::High => 0b11_11_10_10,
        };
        self.pshufd(VSCRATCH, a, spread);
        self.pshufd(VSCRATCH2, b, spread);
        multiply(self, dst, VSCRATCH, VSCRATCH2);
    }

    /// `i16x8.relaxed_dot_i8x16_i7x16_s` in the deterministic profile: both factors signed, sums saturated.
    pub(super) fn dot_bytes(&mut self, dst: Reg, a: Reg, b: Reg) {
        self.dot_halves(a, b);
        self.punpcklqdq(dst, VSCRATCH2, VSCRATCH);
    }

    /// The same, its pairs of lanes added up and added to `c`.
    pub(super) fn dot_bytes_add(&mut self, dst: Reg, a: Reg, b: Reg, c: Reg) {
        self.dot_halves(a, b);
        self.punpcklqdq(VSCRATCH2, VSCRATCH2, VSCRATCH);
        self.with_constant(VSCRATCH2, VSCRATCH2, words(1), Self::pmaddwd);
        self.paddd(dst, c, VSCRATCH2);
    }

    /// The lower four lanes of the dot product in [`VSCRATCH2`] and the upper four in [`VSCRATCH`].
    ///
    /// Each half takes both registers, so that the lower one waits in a general register.
    fn dot_halves(&mut self, a: Reg, b: Reg) {
        self.dot_half(a, b, Part::Low);
        self.mov_across(SCRATCH, VSCRATCH, 8);
        self.dot_half(a, b, Part::High);
        self.mov_across(VSCRATCH2, SCRATCH, 8);
    }

    fn dot_half(&mut self, a: Reg, b: Reg, part: Part) {
        self.widen(VSCRATCH, a, part, Self::pmovsxbw);
        self.widen(VSCRATCH2, b, part, Self::pmovsxbw);
        self.pmaddwd(VSCRATCH, VSCRATCH, VSCRATCH2);
        self.packssdw(VSCRATCH, VSCRATCH, VSCRATCH);
    }

    /// `(a & c) | (b & !c)`, with one operation less.
    pub(super) fn select_bits(&mut self, dst: Reg, a: Reg, b: Reg, c: Reg) {
        self.pxor(VSCRATCH, a, b);
        self.pand(VSCRATCH, VSCRATCH, c);
        self.pxor(dst, b, VSCRATCH);
    }

    /// `dst` = 1 if no lane of `src` is zero, otherwise 0.
    pub(super) fn no_lane_is_zero(&mut self, dst: Reg, src: Reg, equal: Binary) {
        self.zero_vector(VSCRATCH);
        equal(self, VSCRATCH, VSCRATCH, src);
        self.ptest(VSCRATCH, VSCRATCH);
        self.set(dst, Condition::EQUAL);
    }

    pub(super) fn sign_bits_of_bytes(&mut self, dst: Reg, src: Reg) {
        if self.cpu.avx {
            self.sign_bits(dst, src, 1, 0xd7);
        } else {
            emit!(self; pmovmskb Rd(dst), Rx(src));
        }
    }

    pub(super) fn sign_bits_of_dwords(&mut self, dst: Reg, src: Reg) {
        if self.cpu.avx {
            self.sign_bits(dst, src, 0, 0x50);
        } else {
            emit!(self; movmskps Rd(dst), Rx(src));
        }
    }

    pub(super) fn sign_bits_of_qwords(&mut self, dst: Reg, src: Reg) {
        if self.cpu.avx {
            self.sign_bits(dst, src, 1, 0x50);
        } else {
            emit!(self; movmskpd Rd(dst), Rx(src));
        }
    }

    /// `vpmovmskb`, `vmovmskps` and `vmovmskpd`, by prefix and opcode: `dynasm` knows their names, but takes no operands.
    fn sign_bits(&mut self, dst: Reg, src: Reg, prefix: u8, opcode: u8) {
        let start = self.code.len();
        let (reg, rm) = (dst.number(), src.number());
        let extensions = (!reg & 8) << 4 | 0x40 | (!rm & 8) << 2;
        self.code.put_bytes(&[
            0xc4,
            extensions | 1,
            0x78 | prefix,
            opcode,
            0xc0 | (reg & 7) << 3 | rm & 7,
        ]);
        self.shorten_prefix(start);
    }

    /// A register to compute `dst` in while `src` is needed: `dst` itself unless it is `src`.
    pub(super) fn beside(&self, dst: Reg, src: Reg) -> Reg {
        if dst == src { VSCRATCH } else { dst }
    }
}
