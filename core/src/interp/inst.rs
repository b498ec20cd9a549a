//! The interpreter's instructions: a register bytecode, 16 bytes each, generated from the operator table.
//!
//! A *register* ([`Reg`]) is a slot of the current frame. The frame is a window into the value stack:
//!
//! ```text
//!            caller's frame                        callee's frame (overlaps: arguments are passed in place)
//! ┌──────────┬──────────┬────────────────────┬─── base ──────────┬──────────┬────────────────────┐
//! │ params   │ locals   │ operand stack ...  │ params = arguments│ locals   │ operand stack ...  │
//! └──────────┴──────────┴────────────────────┴───────────────────┴──────────┴────────────────────┘
//!   r0 ...                                     r0 ... ; results are left from r0 on
//! ```
//!
//! Registers are 16 bits wide, so a window of 65,536 slots can be indexed by any register without a check. A vector takes two
//! consecutive ones, its low half first, and is named by the first.
//!
//! Scalar operators have an instruction each. Vector operators have one for each class, which holds the operator: their
//! work outweighs a second jump, and the dispatch loop stays small. Plain loads and stores go to memory 0; other memories,
//! of which there are at most a hundred, are named in `LoadFrom` and `StoreTo`.

use crate::operator::{
    ExtractLaneOp, LaneWidth, Libcall, ReplaceLaneOp, SplatOp, VectorBinaryOp, VectorLoadOp, VectorShiftOp,
    VectorTernaryOp, VectorTestOp, VectorUnaryOp, for_each_operator,
};

/// A slot of the current frame.
pub(super) type Reg = u16;

/// An instruction's place in its module's code.
pub(super) type Pc = u32;

macro_rules! define_instructions {
    (
        unary { $($un:ident ($ua:ident: $uat:ty) -> $ur:ty { $ue:expr })* }
        binary { $($bin:ident $bin_imm:ident ($ba:ident: $bat:ty, $bb:ident: $bbt:ty) -> $br:ty { $be:expr })* }
        compare { $($cmp:ident $cmp_imm:ident $cmp_br:ident $cmp_br_imm:ident
                    ($ca:ident: $cat:ty, $cb:ident: $cbt:ty) -> bool { $ce:expr })* }
        load { $($load:ident ($lm:ty) -> $lv:ty)* }
        store { $($store:ident ($sm:ty))* }
    ) => {
        /// One instruction. `dst` is written, other registers are read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Inst {
            /// Traps.
            Unreachable,
            /// `dst = value`.
            Const { dst: Reg, value: u64 },
            /// `dst = src`.
            Copy { dst: Reg, src: Reg },
            /// `dst = if cond != 0 { a } else { b }`.
            Select { dst: Reg, cond: Reg, a: Reg, b: Reg },
            /// Reads global `global` of the instance.
            GlobalGet { dst: Reg, global: u32 },
            /// Writes it.
            GlobalSet { src: Reg, global: u32 },
            /// Pays fuel for the stretch of code that follows.
            Pay,
            /// Jumps.
            Br { target: Pc },
            /// Jumps if `cond != 0`.
            BrIf { cond: Reg, target: Pc },
            /// Jumps if `cond == 0`.
            BrIfNot { cond: Reg, target: Pc },
            /// Continues at the instruction `min(index, last) + 1` further on: each is a `Br`.
            BrTable { index: Reg, last: u32 },
            /// Returns nothing.
            Return,
            /// Returns `src`.
            ReturnOne { src: Reg },
            /// Returns `count` registers from `first` on.
            ReturnMany { first: Reg, count: u16 },
            /// Calls a function of the same module; its frame begins at `base`.
            Call { base: Reg, func: u32 },
            /// Calls an imported function.
            CallImport { base: Reg, func: u32 },
            /// Calls element `index` of `table`, which must be of type `ty`.
            CallIndirect { base: Reg, index: Reg, table: u32, ty: u32 },
            /// Calls in the place of a return: the arguments from `base` on move to the frame's start.
            ReturnCall { base: Reg, func: u32 },
            /// The same with an imported function. A host's is called like any other, and a return stands behind.
            ReturnCallImport { base: Reg, func: u32 },
            /// The same with element `index` of `table`.
            ReturnCallIndirect { base: Reg, index: Reg, table: u32, ty: u32 },
            /// Has the runtime carry out an operator; operands and result from `base` on.
            Libcall { base: Reg, call: Libcall, a: u32, b: u32 },

            /// Throws an exception of the module's tag `tag`, its payload from `base` on.
            Throw { base: Reg, tag: u32 },
            /// Throws the exception that `src` refers to.
            ThrowRef { src: Reg },

            /// `dst = vectors[index]`, of the module's code.
            VectorConst { dst: Reg, index: u32 },
            /// As `Copy`, of a vector; likewise the next ones.
            VectorCopy { dst: Reg, src: Reg },
            VectorSelect { dst: Reg, cond: Reg, a: Reg, b: Reg },
            VectorGlobalGet { dst: Reg, global: u32 },
            VectorGlobalSet { src: Reg, global: u32 },
            VectorUnary { op: VectorUnaryOp, dst: Reg, a: Reg },
            VectorBinary { op: VectorBinaryOp, dst: Reg, a: Reg, b: Reg },
            VectorTernary { op: VectorTernaryOp, dst: Reg, a: Reg, b: Reg, c: Reg },
            VectorShift { op: VectorShiftOp, dst: Reg, a: Reg, count: Reg },
            VectorTest { op: VectorTestOp, dst: Reg, a: Reg },
            Splat { op: SplatOp, dst: Reg, a: Reg },
            ExtractLane { op: ExtractLaneOp, lane: u8, dst: Reg, a: Reg },
            ReplaceLane { op: ReplaceLaneOp, lane: u8, dst: Reg, a: Reg, b: Reg },
            /// The lanes to take are the bytes of `vectors[lanes]`.
            Shuffle { dst: Reg, a: Reg, b: Reg, lanes: u32 },
            VectorLoad { op: VectorLoadOp, memory: u8, dst: Reg, addr: Reg, offset: u64 },
            VectorStore { memory: u8, addr: Reg, src: Reg, offset: u64 },
            /// The vector that the lane is read into lies right behind `dst`, where the operand stack has it.
            LoadLane { at: LaneAt, memory: u8, dst: Reg, addr: Reg, offset: u64 },
            StoreLane { at: LaneAt, memory: u8, addr: Reg, src: Reg, offset: u64 },
            /// A load from any memory.
            LoadFrom { op: LoadOp, memory: u8, dst: Reg, addr: Reg, offset: u64 },
            /// A store to any memory.
            StoreTo { op: StoreOp, memory: u8, addr: Reg, src: Reg, offset: u64 },

            $($un { dst: Reg, a: Reg },)*
            $($bin { dst: Reg, a: Reg, b: Reg }, $bin_imm { dst: Reg, a: Reg, b: u64 },)*
            $($cmp { dst: Reg, a: Reg, b: Reg }, $cmp_imm { dst: Reg, a: Reg, b: u64 },
              $cmp_br { a: Reg, b: Reg, target: Pc }, $cmp_br_imm { a: Reg, target: Pc, b: u64 },)*
            $($load { dst: Reg, addr: Reg, offset: u64 },)*
            $($store { addr: Reg, src: Reg, offset: u64 },)*
        }

        impl Inst {
            /// The register that the instruction writes, where it writes one and only that.
            pub(super) fn dst_mut(&mut self) -> Option<&mut Reg> {
                match self {
                    Self::Const { dst, .. } | Self::Copy { dst, .. } | Self::Select { dst, .. } => Some(dst),
                    Self::GlobalGet { dst, .. } | Self::VectorGlobalGet { dst, .. } => Some(dst),
                    Self::VectorConst { dst, .. } | Self::VectorCopy { dst, .. } => Some(dst),
                    Self::VectorSelect { dst, .. } | Self::VectorUnary { dst, .. } => Some(dst),
                    Self::VectorBinary { dst, .. } | Self::VectorTernary { dst, .. } => Some(dst),
                    Self::VectorShift { dst, .. } | Self::VectorTest { dst, .. } => Some(dst),
                    Self::Splat { dst, .. } | Self::ExtractLane { dst, .. } => Some(dst),
                    Self::ReplaceLane { dst, .. } | Self::Shuffle { dst, .. } => Some(dst),
                    Self::VectorLoad { dst, .. } | Self::LoadFrom { dst, .. } => Some(dst),
                    $(Self::$un { dst, .. })|* => Some(dst),
                    $(Self::$bin { dst, .. } | Self::$bin_imm { dst, .. })|* => Some(dst),
                    $(Self::$cmp { dst, .. } | Self::$cmp_imm { dst, .. })|* => Some(dst),
                    $(Self::$load { dst, .. })|* => Some(dst),
                    _ => None,
                }
            }

            /// Where a jump goes, to be filled in once the label is bound.
            pub(super) fn target_mut(&mut self) -> Option<&mut Pc> {
                match self {
                    Self::Br { target } | Self::BrIf { target, .. } | Self::BrIfNot { target, .. } => Some(target),
                    $(Self::$cmp_br { target, .. } | Self::$cmp_br_imm { target, .. })|* => Some(target),
                    _ => None,
                }
            }

            /// This comparison as a jump that is taken when it holds (`when`) or does not hold. `None` if it is no
            /// comparison, or one of floats whose negation is no single comparison.
            pub(super) fn as_branch(self, when: bool) -> Option<Self> {
                Some(match self {
                    $(Self::$cmp { a, b, .. } => branch_on(CompareOp::$cmp, when)?.inst(a, b),
                      Self::$cmp_imm { a, b, .. } => branch_on(CompareOp::$cmp, when)?.inst_imm(a, b),)*
                    Self::I32Eqz { a, .. } | Self::I64Eqz { a, .. } | Self::RefIsNull { a, .. } => {
                        if when { Self::BrIfNot { cond: a, target: 0 } } else { Self::BrIf { cond: a, target: 0 } }
                    }
                    _ => return None,
                })
            }
        }

        impl UnaryOp {
            pub(super) fn inst(self, dst: Reg, a: Reg) -> Inst {
                match self { $(Self::$un => Inst::$un { dst, a }),* }
            }
        }
        impl BinaryOp {
            pub(super) fn inst(self, dst: Reg, a: Reg, b: Reg) -> Inst {
                match self { $(Self::$bin => Inst::$bin { dst, a, b }),* }
            }
            pub(super) fn inst_imm(self, dst: Reg, a: Reg, b: u64) -> Inst {
                match self { $(Self::$bin => Inst::$bin_imm { dst, a, b }),* }
            }
        }
        impl CompareOp {
            pub(super) fn inst(self, dst: Reg, a: Reg, b: Reg) -> Inst {
                match self { $(Self::$cmp => Inst::$cmp { dst, a, b }),* }
            }
            pub(super) fn inst_imm(self, dst: Reg, a: Reg, b: u64) -> Inst {
                match self { $(Self::$cmp => Inst::$cmp_imm { dst, a, b }),* }
            }
        }
        impl BranchOn {
            fn inst(self, a: Reg, b: Reg) -> Inst {
                match self.0 { $(CompareOp::$cmp => Inst::$cmp_br { a, b, target: 0 }),* }
            }
            fn inst_imm(self, a: Reg, b: u64) -> Inst {
                match self.0 { $(CompareOp::$cmp => Inst::$cmp_br_imm { a, b, target: 0 }),* }
            }
        }
        impl LoadOp {
            pub(super) fn inst(self, dst: Reg, addr: Reg, offset: u64) -> Inst {
                match self { $(Self::$load => Inst::$load { dst, addr, offset }),* }
            }
        }
        impl StoreOp {
            pub(super) fn inst(self, addr: Reg, src: Reg, offset: u64) -> Inst {
                match self { $(Self::$store => Inst::$store { addr, src, offset }),* }
            }
        }
    };
}

use crate::operator::{BinaryOp, CompareOp, LoadOp, StoreOp, UnaryOp};
for_each_operator!(define_instructions);

/// A lane's width and number in one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LaneAt(u8);

impl LaneAt {
    pub(super) fn new(width: LaneWidth, lane: u8) -> Self {
        Self((width as u8) << 4 | (lane & 15))
    }

    #[inline(always)]
    pub(super) fn width(self) -> LaneWidth {
        match self.0 >> 4 {
            0 => LaneWidth::Bits8,
            1 => LaneWidth::Bits16,
            2 => LaneWidth::Bits32,
            _ => LaneWidth::Bits64,
        }
    }

    #[inline(always)]
    pub(super) fn lane(self) -> u8 {
        self.0 & 15
    }
}

/// The comparison that a fused jump carries out.
struct BranchOn(CompareOp);

fn branch_on(op: CompareOp, when: bool) -> Option<BranchOn> {
    Some(BranchOn(if when { op } else { op.negated()? }))
}

// Sixteen bytes: one cache line holds four, and an instruction's address is its number shifted.
const _: () = assert!(size_of::<Inst>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_what_was_packed() {
        for width in [
            LaneWidth::Bits8,
            LaneWidth::Bits16,
            LaneWidth::Bits32,
            LaneWidth::Bits64,
        ] {
            for lane in 0..(16 / width.bytes()) as u8 {
                let at = LaneAt::new(width, lane);
                assert_eq!((at.width(), at.lane()), (width, lane));
            }
        }
    }

    #[test]
    fn a_comparison_fuses_with_its_branch() {
        let less = Inst::I32LtS { dst: 9, a: 1, b: 2 };
        assert_eq!(
            less.as_branch(true),
            Some(Inst::BrI32LtS {
                a: 1,
                b: 2,
                target: 0
            })
        );
        assert_eq!(
            less.as_branch(false),
            Some(Inst::BrI32GeS {
                a: 1,
                b: 2,
                target: 0
            })
        );
        assert_eq!(Inst::F64Lt { dst: 9, a: 1, b: 2 }.as_branch(false), None);
        assert_eq!(
            Inst::I32Eqz { dst: 0, a: 3 }.as_branch(true),
            Some(Inst::BrIfNot { cond: 3, target: 0 })
        );
    }
}
