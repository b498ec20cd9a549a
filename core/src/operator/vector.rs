//! Vector operators by class: the 128-bit part of WebAssembly 2.0, and of relaxed SIMD what is not a strict operator again.
//!
//! Relaxed operators follow the *deterministic profile* (specification 3.0, appendix "Profiles"): wherever a strict
//! operator already has the profile's meaning, the front end hands on that one, so that only fused multiply-add and the
//! dot products remain.

/// Hands the whole table of vector operators to `$callback!`, after the tokens `$extra`. The second name of a shift is the
/// interpreter's form with an immediate count.
macro_rules! for_each_vector_operator {
    ($callback:ident $($extra:tt)*) => {
        $callback! {
            $($extra)*
            unary {
            V128Not
            I8x16Abs
            I8x16Neg
            I8x16Popcnt
            I16x8ExtAddPairwiseI8x16S
            I16x8ExtAddPairwiseI8x16U
            I16x8Abs
            I16x8Neg
            I16x8ExtendLowI8x16S
            I16x8ExtendHighI8x16S
            I16x8ExtendLowI8x16U
            I16x8ExtendHighI8x16U
            I32x4ExtAddPairwiseI16x8S
            I32x4ExtAddPairwiseI16x8U
            I32x4Abs
            I32x4Neg
            I32x4ExtendLowI16x8S
            I32x4ExtendHighI16x8S
            I32x4ExtendLowI16x8U
            I32x4ExtendHighI16x8U
            I64x2Abs
            I64x2Neg
            I64x2ExtendLowI32x4S
            I64x2ExtendHighI32x4S
            I64x2ExtendLowI32x4U
            I64x2ExtendHighI32x4U
            F32x4Ceil
            F32x4Floor
            F32x4Trunc
            F32x4Nearest
            F32x4Abs
            F32x4Neg
            F32x4Sqrt
            F64x2Ceil
            F64x2Floor
            F64x2Trunc
            F64x2Nearest
            F64x2Abs
            F64x2Neg
            F64x2Sqrt
            I32x4TruncSatF32x4S
            I32x4TruncSatF32x4U
            F32x4ConvertI32x4S
            F32x4ConvertI32x4U
            I32x4TruncSatF64x2SZero
            I32x4TruncSatF64x2UZero
            F64x2ConvertLowI32x4S
            F64x2ConvertLowI32x4U
            F32x4DemoteF64x2Zero
            F64x2PromoteLowF32x4
            }
            binary {
            I8x16Swizzle
            I8x16Eq
            I8x16Ne
            I8x16LtS
            I8x16LtU
            I8x16GtS
            I8x16GtU
            I8x16LeS
            I8x16LeU
            I8x16GeS
            I8x16GeU
            I16x8Eq
            I16x8Ne
            I16x8LtS
            I16x8LtU
            I16x8GtS
            I16x8GtU
            I16x8LeS
            I16x8LeU
            I16x8GeS
            I16x8GeU
            I32x4Eq
            I32x4Ne
            I32x4LtS
            I32x4LtU
            I32x4GtS
            I32x4GtU
            I32x4LeS
            I32x4LeU
            I32x4GeS
            I32x4GeU
            I64x2Eq
            I64x2Ne
            I64x2LtS
            I64x2GtS
            I64x2LeS
            I64x2GeS
            F32x4Eq
            F32x4Ne
            F32x4Lt
            F32x4Gt
            F32x4Le
            F32x4Ge
            F64x2Eq
            F64x2Ne
            F64x2Lt
            F64x2Gt
            F64x2Le
            F64x2Ge
            V128And
            V128AndNot
            V128Or
            V128Xor
            I8x16NarrowI16x8S
            I8x16NarrowI16x8U
            I8x16Add
            I8x16AddSatS
            I8x16AddSatU
            I8x16Sub
            I8x16SubSatS
            I8x16SubSatU
            I8x16MinS
            I8x16MinU
            I8x16MaxS
            I8x16MaxU
            I8x16AvgrU
            I16x8Q15MulrSatS
            I16x8NarrowI32x4S
            I16x8NarrowI32x4U
            I16x8Add
            I16x8AddSatS
            I16x8AddSatU
            I16x8Sub
            I16x8SubSatS
            I16x8SubSatU
            I16x8Mul
            I16x8MinS
            I16x8MinU
            I16x8MaxS
            I16x8MaxU
            I16x8AvgrU
            I16x8ExtMulLowI8x16S
            I16x8ExtMulHighI8x16S
            I16x8ExtMulLowI8x16U
            I16x8ExtMulHighI8x16U
            I32x4Add
            I32x4Sub
            I32x4Mul
            I32x4MinS
            I32x4MinU
            I32x4MaxS
            I32x4MaxU
            I32x4DotI16x8S
            I32x4ExtMulLowI16x8S
            I32x4ExtMulHighI16x8S
            I32x4ExtMulLowI16x8U
            I32x4ExtMulHighI16x8U
            I64x2Add
            I64x2Sub
            I64x2Mul
            I64x2ExtMulLowI32x4S
            I64x2ExtMulHighI32x4S
            I64x2ExtMulLowI32x4U
            I64x2ExtMulHighI32x4U
            F32x4Add
            F32x4Sub
            F32x4Mul
            F32x4Div
            F32x4Min
            F32x4Max
            F32x4PMin
            F32x4PMax
            F64x2Add
            F64x2Sub
            F64x2Mul
            F64x2Div
            F64x2Min
            F64x2Max
            F64x2PMin
            F64x2PMax
            I16x8RelaxedDotI8x16I7x16S
            }
            ternary {
            V128Bitselect
            F32x4RelaxedMadd
            F32x4RelaxedNmadd
            F64x2RelaxedMadd
            F64x2RelaxedNmadd
            I32x4RelaxedDotI8x16I7x16AddS
            }
            shift {
            I8x16Shl I8x16ShlImm
            I8x16ShrS I8x16ShrSImm
            I8x16ShrU I8x16ShrUImm
            I16x8Shl I16x8ShlImm
            I16x8ShrS I16x8ShrSImm
            I16x8ShrU I16x8ShrUImm
            I32x4Shl I32x4ShlImm
            I32x4ShrS I32x4ShrSImm
            I32x4ShrU I32x4ShrUImm
            I64x2Shl I64x2ShlImm
            I64x2ShrS I64x2ShrSImm
            I64x2ShrU I64x2ShrUImm
            }
            test {
            V128AnyTrue
            I8x16AllTrue
            I8x16Bitmask
            I16x8AllTrue
            I16x8Bitmask
            I32x4AllTrue
            I32x4Bitmask
            I64x2AllTrue
            I64x2Bitmask
            }
            splat {
            I8x16Splat
            I16x8Splat
            I32x4Splat
            I64x2Splat
            F32x4Splat
            F64x2Splat
            }
            extract {
            I8x16ExtractLaneS
            I8x16ExtractLaneU
            I16x8ExtractLaneS
            I16x8ExtractLaneU
            I32x4ExtractLane
            I64x2ExtractLane
            F32x4ExtractLane
            F64x2ExtractLane
            }
            replace {
            I8x16ReplaceLane
            I16x8ReplaceLane
            I32x4ReplaceLane
            I64x2ReplaceLane
            F32x4ReplaceLane
            F64x2ReplaceLane
            }
            load {
            V128Load
            V128Load8x8S
            V128Load8x8U
            V128Load16x4S
            V128Load16x4U
            V128Load32x2S
            V128Load32x2U
            V128Load8Splat
            V128Load16Splat
            V128Load32Splat
            V128Load64Splat
            V128Load32Zero
            V128Load64Zero
            }
        }
    };
}

macro_rules! define_vector_operators {
    ($($class:ident { $($op:ident)* })*) => {
        $(define_vector_operators!(@ $class { $($op)* });)*
    };
    (@ unary $ops:tt) => { define_vector_operators!(# "One vector in, one out." VectorUnaryOp $ops); };
    (@ binary $ops:tt) => { define_vector_operators!(# "Two vectors in, one out: arithmetic, comparisons, swizzle, narrowing." VectorBinaryOp $ops); };
    (@ ternary $ops:tt) => { define_vector_operators!(# "Three vectors in, one out." VectorTernaryOp $ops); };
    (@ shift { $($op:ident $imm:ident)* }) => { define_vector_operators!(# "A vector and an `i32` count in, which is taken modulo the width of a lane; a vector out." VectorShiftOp { $($op)* }); };
    (@ test $ops:tt) => { define_vector_operators!(# "A vector in, an `i32` out." VectorTestOp $ops); };
    (@ splat $ops:tt) => { define_vector_operators!(# "A scalar in, a vector with it in every lane out." SplatOp $ops); };
    (@ extract $ops:tt) => { define_vector_operators!(# "A vector in, one of its lanes out; the lane is an immediate." ExtractLaneOp $ops); };
    (@ replace $ops:tt) => { define_vector_operators!(# "A vector and a scalar in, the vector with that lane replaced out; the lane is an immediate." ReplaceLaneOp $ops); };
    (@ load $ops:tt) => { define_vector_operators!(# "An address in, a vector out." VectorLoadOp $ops); };
    (# $doc:literal $name:ident { $($op:ident)* }) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the variants are the specification's operators by their own names")]
        pub enum $name { $($op),* }

        impl $name {
            /// Every operator of the class.
            pub const ALL: &'static [Self] = &[$(Self::$op),*];

            /// The specification's name, as the decoder spells it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$op => stringify!($op)),* }
            }
        }
    };
}
pub(crate) use for_each_vector_operator;
for_each_vector_operator!(define_vector_operators);

macro_rules! define_vector_operator {
    (unary { $($unary:ident)* } binary { $($binary:ident)* } ternary { $($ternary:ident)* }
     shift { $($shift:ident $shift_imm:ident)* }
     test { $($test:ident)* } splat { $($splat:ident)* } extract { $($extract:ident)* } replace { $($replace:ident)* }
     load { $($load:ident)* }) => {
        /// A vector operator by its name alone, whichever class it is of: the decoder's list knows arities, not classes.
        #[derive(Clone, Copy)]
        pub(crate) enum VectorOperator {
            Unary(VectorUnaryOp),
            Binary(VectorBinaryOp),
            Ternary(VectorTernaryOp),
            Shift(VectorShiftOp),
            Test(VectorTestOp),
            Splat(SplatOp),
            Extract(ExtractLaneOp),
            Replace(ReplaceLaneOp),
        }

        #[expect(non_upper_case_globals, reason = "the constants carry the operators' own names")]
        impl VectorOperator {
            $(pub(crate) const $unary: Self = Self::Unary(VectorUnaryOp::$unary);)*
            $(pub(crate) const $binary: Self = Self::Binary(VectorBinaryOp::$binary);)*
            $(pub(crate) const $ternary: Self = Self::Ternary(VectorTernaryOp::$ternary);)*
            $(pub(crate) const $shift: Self = Self::Shift(VectorShiftOp::$shift);)*
            $(pub(crate) const $test: Self = Self::Test(VectorTestOp::$test);)*
            $(pub(crate) const $splat: Self = Self::Splat(SplatOp::$splat);)*
            $(pub(crate) const $extract: Self = Self::Extract(ExtractLaneOp::$extract);)*
            $(pub(crate) const $replace: Self = Self::Replace(ReplaceLaneOp::$replace);)*
        }
    };
}
for_each_vector_operator!(define_vector_operator);

/// How wide the lane of a `load_lane` or `store_lane` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LaneWidth {
    /// One byte, 16 lanes.
    Bits8,
    /// Two bytes, 8 lanes.
    Bits16,
    /// Four bytes, 4 lanes.
    Bits32,
    /// Eight bytes, 2 lanes.
    Bits64,
}

impl LaneWidth {
    /// Bytes of a lane.
    pub fn bytes(self) -> u32 {
        match self {
            Self::Bits8 => 1,
            Self::Bits16 => 2,
            Self::Bits32 => 4,
            Self::Bits64 => 8,
        }
    }
}

impl ExtractLaneOp {
    /// Type of the result.
    pub fn lane_type(self) -> crate::types::ValType {
        use crate::types::ValType;
        match self {
            Self::I64x2ExtractLane => ValType::I64,
            Self::F32x4ExtractLane => ValType::F32,
            Self::F64x2ExtractLane => ValType::F64,
            _ => ValType::I32,
        }
    }
}

impl VectorLoadOp {
    /// Bytes that the operator reads.
    pub const fn width(self) -> u32 {
        match self {
            Self::V128Load => 16,
            Self::V128Load8x8S
            | Self::V128Load8x8U
            | Self::V128Load16x4S
            | Self::V128Load16x4U
            | Self::V128Load32x2S
            | Self::V128Load32x2U
            | Self::V128Load64Splat
            | Self::V128Load64Zero => 8,
            Self::V128Load32Splat | Self::V128Load32Zero => 4,
            Self::V128Load16Splat => 2,
            Self::V128Load8Splat => 1,
        }
    }
}
