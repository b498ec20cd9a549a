//! The operators that structured modules are made of, by their types.

use std::sync::LazyLock;
use wasm_encoder::{Instruction, MemArg, ValType};

/// A type of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    I32,
    I64,
    F32,
    F64,
    V128,
}

impl Ty {
    pub(crate) fn encoded(self) -> ValType {
        match self {
            Self::I32 => ValType::I32,
            Self::I64 => ValType::I64,
            Self::F32 => ValType::F32,
            Self::F64 => ValType::F64,
            Self::V128 => ValType::V128,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

/// What has to be known of an operator beside its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trait {
    Plain,
    /// Traps unless its second operand is kept from being zero.
    Divides,
    /// Traps on many operands.
    Traps,
    /// Shows the bits of its float operands.
    Shows,
    /// Gives vectors of floats whose NaNs are open.
    Floats32,
    Floats64,
    /// Takes a lane number below this.
    Shuffles,
}

/// An operator on values.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) instruction: Instruction<'static>,
    pub(crate) params: &'static [Ty],
    pub(crate) result: Ty,
    pub(crate) kind: Trait,
}

/// A load or store.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) make: fn(MemArg) -> Instruction<'static>,
    pub(crate) ty: Ty,
    /// Largest alignment, as a power of two.
    pub(crate) align: u32,
}

/// An access to one lane: takes a vector, and gives one if it loads.
#[derive(Debug)]
pub(crate) struct LaneAccess {
    pub(crate) make: fn(MemArg, u8) -> Instruction<'static>,
    pub(crate) align: u32,
    pub(crate) lanes: u8,
}

macro_rules! operators {
    ($($kind:ident $params:tt -> $result:ident: $($name:ident)*;)*) => {{
        let mut all = Vec::new();
        $({ operators!(@row all $kind $params $result: $($name)*); })*
        all
    }};
    (@row $all:ident $kind:ident ($($param:ident)*) $result:ident: $($name:ident)*) => {
        const PARAMS: &[Ty] = &[$(Ty::$param),*];
        $all.extend([$(Instruction::$name),*].map(|instruction| Operator {
            instruction,
            params: PARAMS,
            result: Ty::$result,
            kind: Trait::$kind,
        }));
    };
}

/// All operators on values but those with lane numbers.
pub(crate) static OPERATORS: LazyLock<Vec<Operator>> = LazyLock::new(|| {
    let mut all = scalars();
    all.extend(conversions());
    all.extend(vectors());
    all.extend(vectors_of_floats());
    all.extend(lanes());
    all
});

/// Relaxed operators: ours are the deterministic profile's, another engine's need not be.
pub(crate) static RELAXED: LazyLock<Vec<Operator>> = LazyLock::new(|| {
    operators! {
        Plain (V128) -> V128: I32x4RelaxedTruncF32x4S I32x4RelaxedTruncF32x4U I32x4RelaxedTruncF64x2SZero
            I32x4RelaxedTruncF64x2UZero;
        Plain (V128 V128) -> V128: I8x16RelaxedSwizzle I16x8RelaxedQ15mulrS I16x8RelaxedDotI8x16I7x16S;
        Plain (V128 V128 V128) -> V128: I8x16RelaxedLaneselect I16x8RelaxedLaneselect I32x4RelaxedLaneselect
            I64x2RelaxedLaneselect I32x4RelaxedDotI8x16I7x16AddS;
        Floats32 (V128 V128) -> V128: F32x4RelaxedMin F32x4RelaxedMax;
        Floats64 (V128 V128) -> V128: F64x2RelaxedMin F64x2RelaxedMax;
        Floats32 (V128 V128 V128) -> V128: F32x4RelaxedMadd F32x4RelaxedNmadd;
        Floats64 (V128 V128 V128) -> V128: F64x2RelaxedMadd F64x2RelaxedNmadd;
    }
});

fn scalars() -> Vec<Operator> {
    operators! {
        Plain (I32) -> I32: I32Eqz I32Clz I32Ctz I32Popcnt I32Extend8S I32Extend16S;
        Plain (I64) -> I64: I64Clz I64Ctz I64Popcnt I64Extend8S I64Extend16S I64Extend32S;
        Plain (I64) -> I32: I64Eqz I32WrapI64;
        Plain (I32) -> I64: I64ExtendI32S I64ExtendI32U;
        Plain (I32 I32) -> I32: I32Add I32Sub I32Mul I32And I32Or I32Xor I32Shl I32ShrS I32ShrU I32Rotl I32Rotr
            I32Add I32Sub I32Shl I32Add
            I32Eq I32Ne I32LtS I32LtU I32GtS I32GtU I32LeS I32LeU I32GeS I32GeU;
        Plain (I64 I64) -> I64: I64Add I64Sub I64Mul I64And I64Or I64Xor I64Shl I64ShrS I64ShrU I64Rotl I64Rotr
            I64Add I64Sub I64Shl I64Add;
        Plain (I64 I64) -> I32: I64Eq I64Ne I64LtS I64LtU I64GtS I64GtU I64LeS I64LeU I64GeS I64GeU;
        Divides (I32 I32) -> I32: I32DivS I32DivU I32RemS I32RemU;
        Divides (I64 I64) -> I64: I64DivS I64DivU I64RemS I64RemU;
        Plain (F32) -> F32: F32Abs F32Neg F32Ceil F32Floor F32Trunc F32Nearest F32Sqrt;
        Plain (F64) -> F64: F64Abs F64Neg F64Ceil F64Floor F64Trunc F64Nearest F64Sqrt;
        Plain (F32 F32) -> F32: F32Add F32Sub F32Mul F32Div F32Min F32Max;
        Plain (F64 F64) -> F64: F64Add F64Sub F64Mul F64Div F64Min F64Max;
        Shows (F32 F32) -> F32: F32Copysign;
        Shows (F64 F64) -> F64: F64Copysign;
        Plain (F32 F32) -> I32: F32Eq F32Ne F32Lt F32Gt F32Le F32Ge;
        Plain (F64 F64) -> I32: F64Eq F64Ne F64Lt F64Gt F64Le F64Ge;
    }
}

fn conversions() -> Vec<Operator> {
    operators! {
        Plain (F32) -> I32: I32TruncSatF32S I32TruncSatF32U;
        Plain (F64) -> I32: I32TruncSatF64S I32TruncSatF64U;
        Plain (F32) -> I64: I64TruncSatF32S I64TruncSatF32U;
        Plain (F64) -> I64: I64TruncSatF64S I64TruncSatF64U;
        Traps (F32) -> I32: I32TruncF32S I32TruncF32U;
        Traps (F64) -> I32: I32TruncF64S I32TruncF64U;
        Traps (F32) -> I64: I64TruncF32S I64TruncF32U;
        Traps (F64) -> I64: I64TruncF64S I64TruncF64U;
        Plain (I32) -> F32: F32ConvertI32S F32ConvertI32U F32ReinterpretI32;
        Plain (I64) -> F32: F32ConvertI64S F32ConvertI64U;
        Plain (I32) -> F64: F64ConvertI32S F64ConvertI32U;
        Plain (I64) -> F64: F64ConvertI64S F64ConvertI64U F64ReinterpretI64;
        Plain (F64) -> F32: F32DemoteF64;
        Plain (F32) -> F64: F64PromoteF32;
        Shows (F32) -> I32: I32ReinterpretF32;
        Shows (F64) -> I64: I64ReinterpretF64;
    }
}

fn vectors() -> Vec<Operator> {
    operators! {
        Plain (I32) -> V128: I8x16Splat I16x8Splat I32x4Splat;
        Plain (I64) -> V128: I64x2Splat;
        Shows (F32) -> V128: F32x4Splat;
        Shows (F64) -> V128: F64x2Splat;
        Plain (V128) -> I32: V128AnyTrue I8x16AllTrue I8x16Bitmask I16x8AllTrue I16x8Bitmask I32x4AllTrue I32x4Bitmask
            I64x2AllTrue I64x2Bitmask;
        Plain (V128 I32) -> V128: I8x16Shl I8x16ShrS I8x16ShrU I16x8Shl I16x8ShrS I16x8ShrU I32x4Shl I32x4ShrS I32x4ShrU
            I64x2Shl I64x2ShrS I64x2ShrU;
        Plain (V128) -> V128: V128Not I8x16Abs I8x16Neg I8x16Popcnt I16x8Abs I16x8Neg I32x4Abs I32x4Neg I64x2Abs I64x2Neg
            I16x8ExtAddPairwiseI8x16S I16x8ExtAddPairwiseI8x16U I32x4ExtAddPairwiseI16x8S I32x4ExtAddPairwiseI16x8U
            I16x8ExtendLowI8x16S I16x8ExtendHighI8x16S I16x8ExtendLowI8x16U I16x8ExtendHighI8x16U
            I32x4ExtendLowI16x8S I32x4ExtendHighI16x8S I32x4ExtendLowI16x8U I32x4ExtendHighI16x8U
            I64x2ExtendLowI32x4S I64x2ExtendHighI32x4S I64x2ExtendLowI32x4U I64x2ExtendHighI32x4U;
        Plain (V128 V128) -> V128: I8x16Swizzle I8x16Eq I8x16Ne I8x16LtS I8x16LtU I8x16GtS I8x16GtU I8x16LeS I8x16LeU
            I8x16GeS I8x16GeU I16x8Eq I16x8Ne I16x8LtS I16x8LtU I16x8GtS I16x8GtU I16x8LeS I16x8LeU I16x8GeS I16x8GeU
            I32x4Eq I32x4Ne I32x4LtS I32x4LtU I32x4GtS I32x4GtU I32x4LeS I32x4LeU I32x4GeS I32x4GeU
            I64x2Eq I64x2Ne I64x2LtS I64x2GtS I64x2LeS I64x2GeS V128And V128AndNot V128Or V128Xor
            I8x16NarrowI16x8S I8x16NarrowI16x8U I8x16Add I8x16AddSatS I8x16AddSatU I8x16Sub I8x16SubSatS I8x16SubSatU
            I8x16MinS I8x16MinU I8x16MaxS I8x16MaxU I8x16AvgrU I16x8Q15MulrSatS I16x8NarrowI32x4S I16x8NarrowI32x4U
            I16x8Add I16x8AddSatS I16x8AddSatU I16x8Sub I16x8SubSatS I16x8SubSatU I16x8Mul I16x8MinS I16x8MinU I16x8MaxS
            I16x8MaxU I16x8AvgrU I16x8ExtMulLowI8x16S I16x8ExtMulHighI8x16S I16x8ExtMulLowI8x16U I16x8ExtMulHighI8x16U
            I32x4Add I32x4Sub I32x4Mul I32x4MinS I32x4MinU I32x4MaxS I32x4MaxU I32x4DotI16x8S
            I32x4ExtMulLowI16x8S I32x4ExtMulHighI16x8S I32x4ExtMulLowI16x8U I32x4ExtMulHighI16x8U
            I64x2Add I64x2Sub I64x2Mul I64x2ExtMulLowI32x4S I64x2ExtMulHighI32x4S I64x2ExtMulLowI32x4U
            I64x2ExtMulHighI32x4U;
        Plain (V128 V128 V128) -> V128: V128Bitselect;
    }
}

fn vectors_of_floats() -> Vec<Operator> {
    operators! {
        Plain (V128) -> V128: F32x4Abs F32x4Neg F64x2Abs F64x2Neg I32x4TruncSatF32x4S I32x4TruncSatF32x4U
            F32x4ConvertI32x4S F32x4ConvertI32x4U I32x4TruncSatF64x2SZero I32x4TruncSatF64x2UZero F64x2ConvertLowI32x4S
            F64x2ConvertLowI32x4U;
        Plain (V128 V128) -> V128: F32x4Eq F32x4Ne F32x4Lt F32x4Gt F32x4Le F32x4Ge F64x2Eq F64x2Ne F64x2Lt F64x2Gt F64x2Le
            F64x2Ge F32x4PMin F32x4PMax F64x2PMin F64x2PMax;
        Floats32 (V128) -> V128: F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest F32x4Sqrt F32x4DemoteF64x2Zero;
        Floats32 (V128 V128) -> V128: F32x4Add F32x4Sub F32x4Mul F32x4Div F32x4Min F32x4Max;
        Floats64 (V128) -> V128: F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest F64x2Sqrt F64x2PromoteLowF32x4;
        Floats64 (V128 V128) -> V128: F64x2Add F64x2Sub F64x2Mul F64x2Div F64x2Min F64x2Max;
    }
}

/// Each lane operator with each of its lanes, and some shuffles.
fn lanes() -> Vec<Operator> {
    type Make = fn(u8) -> Instruction<'static>;
    let mut all = Vec::new();
    let extracts: [(Make, Ty, u8); 8] = [
        (Instruction::I8x16ExtractLaneS, Ty::I32, 16),
        (Instruction::I8x16ExtractLaneU, Ty::I32, 16),
        (Instruction::I16x8ExtractLaneS, Ty::I32, 8),
        (Instruction::I16x8ExtractLaneU, Ty::I32, 8),
        (Instruction::I32x4ExtractLane, Ty::I32, 4),
        (Instruction::I64x2ExtractLane, Ty::I64, 2),
        (Instruction::F32x4ExtractLane, Ty::F32, 4),
        (Instruction::F64x2ExtractLane, Ty::F64, 2),
    ];
    for (make, result, lanes) in extracts {
        all.extend((0..lanes).map(|lane| Operator {
            instruction: make(lane),
            params: &[Ty::V128],
            result,
            kind: Trait::Plain,
        }));
    }
    let replaces: [(Make, &'static [Ty], u8); 6] = [
        (Instruction::I8x16ReplaceLane, &[Ty::V128, Ty::I32], 16),
        (Instruction::I16x8ReplaceLane, &[Ty::V128, Ty::I32], 8),
        (Instruction::I32x4ReplaceLane, &[Ty::V128, Ty::I32], 4),
        (Instruction::I64x2ReplaceLane, &[Ty::V128, Ty::I64], 2),
        (Instruction::F32x4ReplaceLane, &[Ty::V128, Ty::F32], 4),
        (Instruction::F64x2ReplaceLane, &[Ty::V128, Ty::F64], 2),
    ];
    for (make, params, lanes) in replaces {
        all.extend((0..lanes).map(|lane| Operator {
            instruction: make(lane),
            params,
            result: Ty::V128,
            kind: Trait::Shows,
        }));
    }
    all.push(Operator {
        instruction: Instruction::I8x16Shuffle([0; 16]),
        params: &[Ty::V128, Ty::V128],
        result: Ty::V128,
        kind: Trait::Shuffles,
    });
    all
}

macro_rules! accesses {
    ($($name:ident $ty:ident $align:literal;)*) => {
        &[$(Access { make: Instruction::$name, ty: Ty::$ty, align: $align }),*]
    };
}

/// Loads.
pub(crate) static LOADS: &[Access] = accesses! {
    I32Load I32 2; I32Load8S I32 0; I32Load8U I32 0; I32Load16S I32 1; I32Load16U I32 1;
    I64Load I64 3; I64Load8S I64 0; I64Load8U I64 0; I64Load16S I64 1; I64Load16U I64 1; I64Load32S I64 2; I64Load32U I64 2;
    F32Load F32 2; F64Load F64 3;
    V128Load V128 4; V128Load8x8S V128 3; V128Load8x8U V128 3; V128Load16x4S V128 3; V128Load16x4U V128 3;
    V128Load32x2S V128 3; V128Load32x2U V128 3; V128Load8Splat V128 0; V128Load16Splat V128 1; V128Load32Splat V128 2;
    V128Load64Splat V128 3; V128Load32Zero V128 2; V128Load64Zero V128 3;
};

/// Stores.
pub(crate) static STORES: &[Access] = accesses! {
    I32Store I32 2; I32Store8 I32 0; I32Store16 I32 1;
    I64Store I64 3; I64Store8 I64 0; I64Store16 I64 1; I64Store32 I64 2;
    F32Store F32 2; F64Store F64 3; V128Store V128 4;
};

/// Loads of a lane.
pub(crate) static LANE_LOADS: &[LaneAccess] = &[
    LaneAccess {
        make: |memarg, lane| Instruction::V128Load8Lane { memarg, lane },
        align: 0,
        lanes: 16,
    },
    LaneAccess {
        make: |memarg, lane| Instruction::V128Load16Lane { memarg, lane },
        align: 1,
        lanes: 8,
    },
    LaneAccess {
        make: |memarg, lane| Instruction::V128Load32Lane { memarg, lane },
        align: 2,
        lanes: 4,
    },
    LaneAccess {
        make: |memarg, lane| Instruction::V128Load64Lane { memarg, lane },
        align: 3,
        lanes: 2,
    },
];

/// Stores of a lane.
pub(crate) static LANE_STORES: &[LaneAccess] = &[
    LaneAccess {
        make: |memarg, lane| Instruction::V128Store8Lane { memarg, lane },
        align: 0,
        lanes: 16,
    },
    LaneAccess {
        make: |memarg, lane| Instruction::V128Store16Lane { memarg, lane },
        align: 1,
        lanes: 8,
    },
    LaneAccess {
        make: |memarg, lane| Instruction::V128Store32Lane { memarg, lane },
        align: 2,
        lanes: 4,
    },
    LaneAccess {
        make: |memarg, lane| Instruction::V128Store64Lane { memarg, lane },
        align: 3,
        lanes: 2,
    },
];
