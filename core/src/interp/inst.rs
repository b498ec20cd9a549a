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
//! Registers are 16 bits wide, so a window of 65,537 slots can be indexed without a check by any register, and by the one
//! behind it: a vector takes two consecutive ones, its low half first, and is named by the first.
//!
//! Operators have an instruction each, and pairs of them that run often have one together: see
//! [`fusion`](super::fusion). Plain loads and stores go to memory 0; other memories, of which there are at most a
//! hundred, are named in `LoadFrom` and its like.

use super::fusion::for_each_instruction;
use super::word::instructions;
use crate::operator::{
    ExtractLaneOp, LaneWidth, Libcall, ReplaceLaneOp, SplatOp, VectorBinaryOp, VectorLoadOp, VectorShiftOp,
    VectorTernaryOp, VectorTestOp, VectorUnaryOp,
};

/// A slot of the current frame.
pub(super) type Reg = u16;

/// An instruction's place in its module's code.
pub(super) type Pc = u32;

macro_rules! define_instructions {
    (
        before { $($bef:ident $bef_imm:ident: $bef_in:ident $bef_in_imm:ident, $bef_out:ident;)* }
        behind { $($beh:ident $beh_imm:ident: $beh_in:ident $beh_in_imm:ident, $beh_out:ident;)* }
        from_unary { $($fru:ident: $fru_in:ident, $fru_out:ident;)* }
        outside { $($outs:ident: $outs_in:ident, $outs_out:ident;)* }
        loaded { $($lop:ident ($lopm:ty) -> $lopv:ty: $lop_out:ident, $lop_load:ident;)* }
        element { $($lidx:ident $lscl:ident $labs:ident ($lxm:ty) -> $lxv:ty: $($lx_load:ident)*;)* }
        target { $($sidx:ident $sscl:ident $sabs:ident $simm:ident ($sxm:ty): $($sx_store:ident)*;)* }
        stored { $($sop:ident ($sopm:ty): $sop_in:ident, $sop_store:ident;)* }
        chosen { $($cho:ident: $cho_cmp:ident;)* }
        unless { $($unl:ident $unl_imm:ident: $unl_cmp:ident $unl_cmp_imm:ident;)* }
        step { $($step:ident $step_imm:ident $step_reg:ident: $step_add:ident $step_add_imm:ident, $step_cmp:ident,
                 $step_br:ident $step_br_imm:ident;)* }
        vector_before { $($vbef:ident: $vbef_in:ident, $vbef_out:ident;)* }
        vector_behind { $($vbeh:ident: $vbeh_in:ident, $vbeh_out:ident;)* }
        vector_loaded { $($vlop:ident: $vlop_out:ident;)* }
        vector_stored { $($vsop:ident: $vsop_in:ident;)* }
        vectors {
            unary { $($vun:ident)* } binary { $($vbin:ident)* } ternary { $($vter:ident)* }
            shift { $($vsh:ident $vsh_imm:ident)* } test { $($vtest:ident)* } splat { $($vsplat:ident)* }
            extract { $($vext:ident)* } replace { $($vrep:ident)* } load { $($vload:ident)* }
        }
        unary { $($un:ident ($ua:ident: $uat:ty) -> $ur:ty { $ue:expr })* }
        binary { $($bin:ident $bin_imm:ident ($ba:ident: $bat:ty, $bb:ident: $bbt:ty) -> $br:ty { $be:expr })* }
        compare { $($cmp:ident $cmp_imm:ident $cmp_br:ident $cmp_br_imm:ident
                    ($ca:ident: $cat:ty, $cb:ident: $cbt:ty) -> bool { $ce:expr })* }
        load { $($load:ident ($lm:ty) -> $lv:ty)* }
        store { $($store:ident ($sm:ty))* }
    ) => {
        instructions! { common {
            /// Traps.
            Unreachable,
            /// `dst = value`.
            Const { dst: Reg, value: u64 },
            /// `dst = src`.
            Copy { dst: Reg, src: Reg },
            /// `dst = if cond != 0 { a } else { b }`.
            Select { dst: Reg, cond: Reg, a: Reg, b: Reg },
            /// Two and three copies, one after the other.
            Copy2 { dst: Reg, src: Reg, dst2: Reg, src2: Reg },
            Copy3 { dst: Reg, src: Reg, dst2: Reg, src2: Reg, dst3: Reg, src3: Reg },
            /// Adds to two registers, 32 bits each, one after the other.
            I32Step2 { a: Reg, b: Reg, by_a: i32, by_b: i32 },
            /// `dst = rotl(a, by_a) ^ rotl(b, by_b)`, of 32 bits.
            I32RotlXorRotl { dst: Reg, a: Reg, b: Reg, by_a: u8, by_b: u8 },
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

            /// Throws an exception of the module's tag `tag`, its payload from `base` on.
            Throw { base: Reg, tag: u32 },
            /// Throws the exception that `src` refers to.
            ThrowRef { src: Reg },

            /// `dst = vectors[index]`, of the module's code.
            VectorConst { dst: Reg, index: u32 },
            /// As `Copy`, of a vector; likewise the next ones.
            VectorCopy { dst: Reg, src: Reg },
            VectorSelect { dst: Reg, cond: Reg, a: Reg, b: Reg },
            /// A vector of two slots, each half of a vector.
            VectorHalves { dst: Reg, low: Reg, high: Reg },
            VectorGlobalGet { dst: Reg, global: u32 },
            VectorGlobalSet { src: Reg, global: u32 },
            /// A vector store to memory 0 with an address of 32 bits.
            VectorStore { addr: Reg, src: Reg, plus: u32, offset: u32 },

            $($vun { dst: Reg, a: Reg },)*
            $($vbin { dst: Reg, a: Reg, b: Reg },)*
            $($vter { dst: Reg, a: Reg, b: Reg, c: Reg },)*
            $($vsh { dst: Reg, a: Reg, count: Reg }, $vsh_imm { dst: Reg, a: Reg, count: u32 },)*
            $($vtest { dst: Reg, a: Reg },)*
            $($vsplat { dst: Reg, a: Reg },)*
            $($vext { lane: u8, dst: Reg, a: Reg },)*
            $($vrep { lane: u8, dst: Reg, a: Reg, b: Reg },)*
            $($vload { dst: Reg, addr: Reg, plus: u32, offset: u32 },)*

            $($un { dst: Reg, a: Reg },)*
            $($bin { dst: Reg, a: Reg, b: Reg }, $bin_imm { dst: Reg, a: Reg, b: u64 },)*
            $($cmp { dst: Reg, a: Reg, b: Reg }, $cmp_imm { dst: Reg, a: Reg, b: u64 },
              $cmp_br { a: Reg, b: Reg, target: Pc }, $cmp_br_imm { a: Reg, target: Pc, b: u64 },)*
            // Addresses have 32 bits here: `plus` is added with wrap-around, `offset` without.
            $($load { dst: Reg, addr: Reg, plus: u32, offset: u32 },)*
            $($store { addr: Reg, src: Reg, plus: u32, offset: u32 },)*

            $($bef { dst: Reg, a: Reg, b: Reg, c: Reg }, $bef_imm { dst: Reg, a: Reg, c: Reg, b: u64 },)*
            $($beh { dst: Reg, a: Reg, b: Reg, c: Reg }, $beh_imm { dst: Reg, a: Reg, c: Reg, b: u64 },)*
            $($fru { dst: Reg, a: Reg, c: Reg },)*
            $($outs { dst: Reg, a: Reg, b: Reg, c: u64 },)*
            $($vbef { dst: Reg, a: Reg, b: Reg, c: Reg },)*
            $($vbeh { dst: Reg, a: Reg, b: Reg, c: Reg },)*
            $($vlop { dst: Reg, c: Reg, addr: Reg, plus: u32, offset: u32 },)*
            $($vsop { addr: Reg, a: Reg, b: Reg, plus: u32, offset: u32 },)*
            /// Jump if any bit of `a` is set, and if none is.
            BrAnyTrue { a: Reg, target: Pc },
            BrNoneTrue { a: Reg, target: Pc },
            $($lop { dst: Reg, c: Reg, addr: Reg, plus: u32, offset: u32 },)*
            $($lidx { dst: Reg, a: Reg, b: Reg, plus: u32, offset: u32 },
              $lscl { dst: Reg, a: Reg, shift: u8, plus: u32, offset: u32 },
              $labs { dst: Reg, at: u32, offset: u32 },)*
            $($sidx { src: Reg, a: Reg, b: Reg, plus: u32, offset: u32 },
              $sscl { src: Reg, a: Reg, shift: u8, plus: u32, offset: u32 },
              $sabs { src: Reg, at: u32, offset: u32 },
              $simm { addr: Reg, value: i32, plus: u32, offset: u32 },)*
            $($sop { addr: Reg, a: Reg, b: Reg, plus: u32, offset: u32 },)*
            $($cho { dst: Reg, x: Reg, y: Reg, a: Reg, b: Reg },)*
            $($unl { a: Reg, b: Reg, target: Pc }, $unl_imm { a: Reg, target: Pc, b: u64 },)*
            $($step { dst: Reg, a: Reg, b: Reg, by: i32, target: Pc },
              $step_imm { dst: Reg, a: Reg, by: i16, b: i32, target: Pc },
              $step_reg { dst: Reg, a: Reg, b: Reg, by: Reg, target: Pc },)*
        } rare {
            /// Has the runtime carry out an operator; operands and result from `base` on.
            Libcall { base: Reg, call: Libcall, a: u32, b: u32 },
            /// The lanes to take are the bytes of `vectors[lanes]`.
            Shuffle { dst: Reg, a: Reg, b: Reg, lanes: u32 },
            /// A vector load from any memory.
            VectorLoadFrom { op: VectorLoadOp, memory: u8, dst: Reg, addr: Reg, offset: u64 },
            /// A vector store to any memory.
            VectorStoreTo { memory: u8, addr: Reg, src: Reg, offset: u64 },
            /// The vector that the lane is read into lies right behind `dst`, where the operand stack has it.
            LoadLane { at: LaneAt, memory: u8, dst: Reg, addr: Reg, offset: u64 },
            StoreLane { at: LaneAt, memory: u8, addr: Reg, src: Reg, offset: u64 },
            /// A load from any memory.
            LoadFrom { op: LoadOp, memory: u8, dst: Reg, addr: Reg, offset: u64 },
            /// A store to any memory.
            StoreTo { op: StoreOp, memory: u8, addr: Reg, src: Reg, offset: u64 },
        } }

        impl Inst {
            /// The register that the instruction writes, where it writes one and only that.
            pub(super) fn dst_mut(&mut self) -> Option<&mut Reg> {
                match self {
                    Self::Const { dst, .. } | Self::Copy { dst, .. } | Self::Select { dst, .. } => Some(dst),
                    Self::GlobalGet { dst, .. } | Self::VectorGlobalGet { dst, .. } => Some(dst),
                    Self::VectorConst { dst, .. } | Self::VectorCopy { dst, .. } => Some(dst),
                    Self::VectorSelect { dst, .. } | Self::VectorHalves { dst, .. } | Self::Shuffle { dst, .. } => Some(dst),
                    Self::VectorLoadFrom { dst, .. } | Self::LoadFrom { dst, .. } => Some(dst),
                    $(Self::$vun { dst, .. })|* => Some(dst),
                    $(Self::$vbin { dst, .. })|* => Some(dst),
                    $(Self::$vter { dst, .. })|* => Some(dst),
                    $(Self::$vsh { dst, .. } | Self::$vsh_imm { dst, .. })|* => Some(dst),
                    $(Self::$vtest { dst, .. })|* => Some(dst),
                    $(Self::$vsplat { dst, .. })|* => Some(dst),
                    $(Self::$vext { dst, .. })|* => Some(dst),
                    $(Self::$vrep { dst, .. })|* => Some(dst),
                    $(Self::$vload { dst, .. })|* => Some(dst),
                    $(Self::$un { dst, .. })|* => Some(dst),
                    $(Self::$bin { dst, .. } | Self::$bin_imm { dst, .. })|* => Some(dst),
                    $(Self::$cmp { dst, .. } | Self::$cmp_imm { dst, .. })|* => Some(dst),
                    $(Self::$load { dst, .. })|* => Some(dst),
                    $(Self::$bef { dst, .. } | Self::$bef_imm { dst, .. })|* => Some(dst),
                    $(Self::$beh { dst, .. } | Self::$beh_imm { dst, .. })|* => Some(dst),
                    $(Self::$outs { dst, .. })|* => Some(dst),
                    $(Self::$cho { dst, .. })|* => Some(dst),
                    Self::I32RotlXorRotl { dst, .. } => Some(dst),
                    $(Self::$lop { dst, .. })|* => Some(dst),
                    $(Self::$lidx { dst, .. } | Self::$lscl { dst, .. } | Self::$labs { dst, .. })|* => Some(dst),
                    $(Self::$fru { dst, .. })|* => Some(dst),
                    $(Self::$vbef { dst, .. })|* => Some(dst),
                    $(Self::$vbeh { dst, .. })|* => Some(dst),
                    $(Self::$vlop { dst, .. })|* => Some(dst),
                    _ => None,
                }
            }

            /// Where a jump goes, to be filled in once the label is bound.
            pub(super) fn target_mut(&mut self) -> Option<&mut Pc> {
                match self {
                    Self::Br { target } | Self::BrIf { target, .. } | Self::BrIfNot { target, .. } => Some(target),
                    $(Self::$cmp_br { target, .. } | Self::$cmp_br_imm { target, .. })|* => Some(target),
                    Self::BrAnyTrue { target, .. } | Self::BrNoneTrue { target, .. } => Some(target),
                    $(Self::$unl { target, .. } | Self::$unl_imm { target, .. })|* => Some(target),
                    $(Self::$step { target, .. } | Self::$step_imm { target, .. } | Self::$step_reg { target, .. })|*
                        => Some(target),
                    _ => None,
                }
            }

            /// `op` of this instruction's result and `c`.
            pub(super) fn before(self, op: BinaryOp, dst: Reg, c: Reg) -> Option<Self> {
                Some(match (op, self) {
                    $((BinaryOp::$bef_out, Self::$bef_in { a, b, .. }) => Self::$bef { dst, a, b, c },
                      (BinaryOp::$bef_out, Self::$bef_in_imm { a, b, .. }) => Self::$bef_imm { dst, a, c, b },)*
                    $((BinaryOp::$fru_out, Self::$fru_in { a, .. }) if op.is_commutative() => Self::$fru { dst, a, c },)*
                    _ if op.is_commutative() => return self.loaded(op, dst, c),
                    _ => return None,
                })
            }

            /// `op` of `c` and this instruction's result.
            pub(super) fn behind(self, op: BinaryOp, dst: Reg, c: Reg) -> Option<Self> {
                Some(match (op, self) {
                    $((BinaryOp::$beh_out, Self::$beh_in { a, b, .. }) => Self::$beh { dst, a, b, c },
                      (BinaryOp::$beh_out, Self::$beh_in_imm { a, b, .. }) => Self::$beh_imm { dst, a, c, b },)*
                    $((BinaryOp::$fru_out, Self::$fru_in { a, .. }) => Self::$fru { dst, a, c },)*
                    _ if op.is_commutative() => return self.before(op, dst, c),
                    _ => return self.loaded(op, dst, c),
                })
            }

            /// `op` of `c` and what this instruction loads.
            fn loaded(self, op: BinaryOp, dst: Reg, c: Reg) -> Option<Self> {
                Some(match (op, self) {
                    $((BinaryOp::$lop_out, Self::$lop_load { addr, plus, offset, .. }) => {
                        Self::$lop { dst, c, addr, plus, offset }
                    })*
                    _ => return None,
                })
            }

            /// `op` of this instruction's result and an immediate.
            pub(super) fn outside(self, op: BinaryOp, dst: Reg, c: u64) -> Option<Self> {
                Some(match (op, self) {
                    $((BinaryOp::$outs_out, Self::$outs_in { a, b, .. }) => Self::$outs { dst, a, b, c },)*
                    _ => return None,
                })
            }

            /// `op` of this instruction's result and `c`, all vectors.
            pub(super) fn vector_before(self, op: VectorBinaryOp, dst: Reg, c: Reg) -> Option<Self> {
                Some(match (op, self) {
                    $((VectorBinaryOp::$vbef_out, Self::$vbef_in { a, b, .. }) => Self::$vbef { dst, a, b, c },)*
                    _ if may_exchange(op) => return self.vector_loaded(op, dst, c),
                    _ => return None,
                })
            }

            /// `op` of `c` and this instruction's result, all vectors.
            pub(super) fn vector_behind(self, op: VectorBinaryOp, dst: Reg, c: Reg) -> Option<Self> {
                Some(match (op, self) {
                    $((VectorBinaryOp::$vbeh_out, Self::$vbeh_in { a, b, .. }) => Self::$vbeh { dst, a, b, c },)*
                    _ if may_exchange(op) => return self.vector_before(op, dst, c),
                    _ => return self.vector_loaded(op, dst, c),
                })
            }

            /// `op` of `c` and the vector that this instruction loads.
            fn vector_loaded(self, op: VectorBinaryOp, dst: Reg, c: Reg) -> Option<Self> {
                Some(match (op, self) {
                    $((VectorBinaryOp::$vlop_out, Self::V128Load { addr, plus, offset, .. }) => {
                        Self::$vlop { dst, c, addr, plus, offset }
                    })*
                    _ => return None,
                })
            }

            /// The store of the vector that this instruction makes.
            pub(super) fn vector_stored(self, addr: Reg, plus: u32, offset: u32) -> Option<Self> {
                Some(match self {
                    $(Self::$vsop_in { a, b, .. } => Self::$vsop { addr, a, b, plus, offset },)*
                    _ => return None,
                })
            }

            /// The store of this instruction's result.
            pub(super) fn stored(self, op: StoreOp, addr: Reg, plus: u32, offset: u32) -> Option<Self> {
                Some(match (op, self) {
                    $((StoreOp::$sop_store, Self::$sop_in { a, b, .. }) => Self::$sop { addr, a, b, plus, offset },)*
                    _ => return None,
                })
            }

            /// The selection between `a` and `b` by this comparison.
            pub(super) fn chosen(self, dst: Reg, a: Reg, b: Reg) -> Option<Self> {
                Some(match self {
                    $(Self::$cho_cmp { a: x, b: y, .. } => Self::$cho { dst, x, y, a, b },)*
                    _ => return None,
                })
            }

            /// This jump together with `add`, the addition before it to the register that it compares.
            pub(super) fn with_step(self, add: Self) -> Option<Self> {
                Some(match (self, add) {
                    $((Self::$step_br { a, b, .. }, Self::$step_add_imm { dst, a: from, b: by }) if dst == a && b != a => {
                        Self::$step { dst, a: from, b, by: step_constant(BinaryOp::$step_add, by)?, target: 0 }
                    }
                    (Self::$step_br_imm { a, b, .. }, Self::$step_add_imm { dst, a: from, b: by }) if dst == a => {
                        let by = i16::try_from(step_constant(BinaryOp::$step_add, by)?).ok()?;
                        let b = step_constant(BinaryOp::$step_add, b)?;
                        Self::$step_imm { dst, a: from, by, b, target: 0 }
                    }
                    (Self::$step_br { a, b, .. }, Self::$step_add { dst, a: from, b: by }) if dst == a && b != a => {
                        Self::$step_reg { dst, a: from, b, by, target: 0 }
                    })*
                    _ => return None,
                })
            }

            /// The same jump with its comparison's registers exchanged.
            pub(super) fn with_operands_exchanged(self) -> Option<Self> {
                Some(match self {
                    $(Self::$cmp_br { a, b, .. } => BranchOn(CompareOp::$cmp.swapped()).inst(b, a),)*
                    _ => return None,
                })
            }

            /// This comparison as a jump that is taken when it holds (`when`) or does not hold. `None` if it is no
            /// comparison, or one of floats whose negation is no single comparison.
            pub(super) fn as_branch(self, when: bool) -> Option<Self> {
                Some(match self {
                    Self::V128AnyTrue { a, .. } if when => Self::BrAnyTrue { a, target: 0 },
                    Self::V128AnyTrue { a, .. } => Self::BrNoneTrue { a, target: 0 },
                    $(Self::$unl_cmp { a, b, .. } if !when => Self::$unl { a, b, target: 0 },
                      Self::$unl_cmp_imm { a, b, .. } if !when => Self::$unl_imm { a, target: 0, b },)*
                    _ => return self.as_compared_branch(when),
                })
            }

            /// The part of it that is about comparisons with a jump for either outcome.
            fn as_compared_branch(self, when: bool) -> Option<Self> {
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

        impl VectorUnaryOp {
            pub(super) fn inst(self, dst: Reg, a: Reg) -> Inst {
                match self { $(Self::$vun => Inst::$vun { dst, a }),* }
            }
        }
        impl VectorBinaryOp {
            pub(super) fn inst(self, dst: Reg, a: Reg, b: Reg) -> Inst {
                match self { $(Self::$vbin => Inst::$vbin { dst, a, b }),* }
            }
        }
        impl VectorTernaryOp {
            pub(super) fn inst(self, dst: Reg, a: Reg, b: Reg, c: Reg) -> Inst {
                match self { $(Self::$vter => Inst::$vter { dst, a, b, c }),* }
            }
        }
        impl VectorShiftOp {
            pub(super) fn inst(self, dst: Reg, a: Reg, count: Reg) -> Inst {
                match self { $(Self::$vsh => Inst::$vsh { dst, a, count }),* }
            }
            pub(super) fn inst_imm(self, dst: Reg, a: Reg, count: u32) -> Inst {
                match self { $(Self::$vsh => Inst::$vsh_imm { dst, a, count }),* }
            }
        }
        impl VectorTestOp {
            pub(super) fn inst(self, dst: Reg, a: Reg) -> Inst {
                match self { $(Self::$vtest => Inst::$vtest { dst, a }),* }
            }
        }
        impl SplatOp {
            pub(super) fn inst(self, dst: Reg, a: Reg) -> Inst {
                match self { $(Self::$vsplat => Inst::$vsplat { dst, a }),* }
            }
        }
        impl ExtractLaneOp {
            pub(super) fn inst(self, lane: u8, dst: Reg, a: Reg) -> Inst {
                match self { $(Self::$vext => Inst::$vext { lane, dst, a }),* }
            }
        }
        impl ReplaceLaneOp {
            pub(super) fn inst(self, lane: u8, dst: Reg, a: Reg, b: Reg) -> Inst {
                match self { $(Self::$vrep => Inst::$vrep { lane, dst, a, b }),* }
            }
        }
        impl VectorLoadOp {
            pub(super) fn inst(self, dst: Reg, addr: Reg, plus: u32, offset: u32) -> Inst {
                match self { $(Self::$vload => Inst::$vload { dst, addr, plus, offset }),* }
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
            pub(super) fn inst(self, dst: Reg, addr: Reg, plus: u32, offset: u32) -> Inst {
                match self { $(Self::$load => Inst::$load { dst, addr, plus, offset }),* }
            }
            /// The load from the sum of two registers.
            pub(super) fn indexed(self, dst: Reg, [a, b]: [Reg; 2], plus: u32, offset: u32) -> Option<Inst> {
                Some(match self {
                    $($(Self::$lx_load)|* => Inst::$lidx { dst, a, b, plus, offset },)*
                    _ => return None,
                })
            }
            /// The load from a constant address.
            pub(super) fn absolute(self, dst: Reg, at: u32, offset: u32) -> Option<Inst> {
                Some(match self {
                    $($(Self::$lx_load)|* => Inst::$labs { dst, at, offset },)*
                    _ => return None,
                })
            }
            /// The load from a register shifted to the left.
            pub(super) fn scaled(self, dst: Reg, (a, shift): (Reg, u8), plus: u32, offset: u32) -> Option<Inst> {
                Some(match self {
                    $($(Self::$lx_load)|* => Inst::$lscl { dst, a, shift, plus, offset },)*
                    _ => return None,
                })
            }
        }
        impl StoreOp {
            pub(super) fn inst(self, addr: Reg, src: Reg, plus: u32, offset: u32) -> Inst {
                match self { $(Self::$store => Inst::$store { addr, src, plus, offset }),* }
            }
            /// The store to the sum of two registers.
            pub(super) fn indexed(self, [a, b]: [Reg; 2], src: Reg, plus: u32, offset: u32) -> Inst {
                match self { $($(Self::$sx_store)|* => Inst::$sidx { src, a, b, plus, offset },)* }
            }
            /// The store to a constant address.
            pub(super) fn absolute(self, at: u32, src: Reg, offset: u32) -> Inst {
                match self { $($(Self::$sx_store)|* => Inst::$sabs { src, at, offset },)* }
            }
            /// The store to a register shifted to the left.
            pub(super) fn scaled(self, (a, shift): (Reg, u8), src: Reg, plus: u32, offset: u32) -> Inst {
                match self { $($(Self::$sx_store)|* => Inst::$sscl { src, a, shift, plus, offset },)* }
            }
            /// A constant as [`StoreOp::immediate`] takes it, where it fits.
            pub(super) fn short_constant(self, bits: u64) -> Option<i32> {
                match self {
                    Self::I64Store | Self::F64Store => i32::try_from(bits as i64).ok(),
                    _ => Some(bits as i32),
                }
            }
            /// The store of a number, whose sign is extended.
            pub(super) fn immediate(self, addr: Reg, value: i32, plus: u32, offset: u32) -> Inst {
                match self { $($(Self::$sx_store)|* => Inst::$simm { addr, value, plus, offset },)* }
            }
        }
    };
}

use crate::operator::{BinaryOp, CompareOp, LoadOp, StoreOp, UnaryOp};
for_each_instruction!(define_instructions);

/// Whether the operands may change places without a bit of the result being another one.
fn may_exchange(op: VectorBinaryOp) -> bool {
    use VectorBinaryOp::{I32x4Add, V128And, V128Or, V128Xor};
    matches!(op, I32x4Add | V128And | V128Or | V128Xor)
}

/// A constant operand of `op` as a number whose sign is extended: of 32 bits, or one that fits them.
fn step_constant(op: BinaryOp, bits: u64) -> Option<i32> {
    match op {
        BinaryOp::I32Add => Some(bits as i32),
        _ => i32::try_from(bits as i64).ok(),
    }
}

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
    fn operators_fuse_on_the_side_that_they_are_on() {
        let product = Inst::F64Mul { dst: 9, a: 1, b: 2 };
        let (dst, a, b, c) = (8, 1, 2, 3);
        let minuend = product.before(BinaryOp::F64Sub, dst, c);
        assert_eq!(minuend, Some(Inst::F64MulSub { dst, a, b, c }));
        let subtrahend = product.behind(BinaryOp::F64Sub, dst, c);
        assert_eq!(subtrahend, Some(Inst::F64SubOfMul { dst, a, b, c }));
        assert_eq!(product.before(BinaryOp::F64Div, dst, c), None);
    }

    #[test]
    fn a_counter_fuses_with_its_jump() {
        let by_one = |dst, a| Inst::I32AddImm { dst, a, b: 1 };
        let jump = Inst::BrI32LtS {
            a: 4,
            b: 5,
            target: 0,
        };
        let fused = Inst::StepI32LtS {
            dst: 4,
            a: 4,
            b: 5,
            by: 1,
            target: 0,
        };
        assert_eq!(jump.with_step(by_one(4, 4)), Some(fused));
        let from_another = Inst::StepI32LtS {
            dst: 4,
            a: 3,
            b: 5,
            by: 1,
            target: 0,
        };
        assert_eq!(jump.with_step(by_one(4, 3)), Some(from_another));
        assert_eq!(jump.with_step(by_one(5, 5)), None);
        let far = Inst::BrI64NeImm {
            a: 4,
            target: 0,
            b: 1 << 40,
        };
        assert_eq!(far.with_step(Inst::I64AddImm { dst: 4, a: 4, b: 1 }), None);
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
        let not_less = Inst::F64Lt { dst: 9, a: 1, b: 2 }.as_branch(false);
        assert_eq!(
            not_less,
            Some(Inst::UnlessF64Lt {
                a: 1,
                b: 2,
                target: 0
            })
        );
        assert_eq!(
            Inst::I32Eqz { dst: 0, a: 3 }.as_branch(true),
            Some(Inst::BrIfNot { cond: 3, target: 0 })
        );
    }
}
