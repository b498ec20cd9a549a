//! What the vector operators mean: the Rust half, as `eval` is for the scalar ones.
//!
//! A row is an operator's name and its meaning, a shape of `vector_lanes.rs` with a function on lanes nearly always. Each becomes
//! a function of the row's name, on vectors in memory: the interpreter calls these by name. `eval` on the classes, with a
//! vector as a number whose lowest bits are lane 0, is for everybody else.
//!
//! Rows are `near` where the compiler makes a few vector instructions of them, so that they are worth inlining
//! into the dispatch loop, and `far` where it does not.
//!
//! All follows the specification 3.0, section 4.3 "Numerics", whose vector part is that of 2.0; relaxed operators follow its
//! deterministic profile.

use super::eval::{self, Slot};
use super::vector::{
    ExtractLaneOp, LaneWidth, ReplaceLaneOp, SplatOp, VectorBinaryOp, VectorLoadOp, VectorShiftOp,
    VectorTernaryOp, VectorTestOp, VectorUnaryOp, for_each_vector_operator,
};
use super::vector_lanes::{
    self as lanes, Bytes, all_true, bitmask, bitmask_of_bytes, compare, halves, high, map, narrow, pairs,
    with_lane, zip, zip3,
};

macro_rules! meanings {
    ($class:ident $args:tt -> $out:ty;
     near { $($near:ident: $near_meaning:expr;)* }
     far { $($far:ident: $far_meaning:expr;)* }) => {
        #[doc = concat!("The operators of the class `", stringify!($class), "`.")]
        #[expect(non_snake_case, reason = "the functions carry the operators' own names")]
        pub(crate) mod $class {
            use super::*;

            $(#[inline(always)]
            pub(crate) fn $near $args -> $out { $near_meaning })*
            $(#[inline(never)]
            pub(crate) fn $far $args -> $out { $far_meaning })*
        }
    };
}

meanings! {
    unary(a: &Bytes) -> Bytes;
    near {
        V128Not: map(a, |x: u64| !x);
        I8x16Abs: map(a, i8::wrapping_abs);
        I8x16Neg: map(a, i8::wrapping_neg);
        I16x8ExtAddPairwiseI8x16S: pairs(a, |x: i8, y| i16::from(x) + i16::from(y));
        I16x8ExtAddPairwiseI8x16U: pairs(a, |x: u8, y| u16::from(x) + u16::from(y));
        I16x8Abs: map(a, i16::wrapping_abs);
        I16x8Neg: map(a, i16::wrapping_neg);
        I16x8ExtendLowI8x16S: map(a, <i16 as From<i8>>::from);
        I16x8ExtendHighI8x16S: map(&high(a), <i16 as From<i8>>::from);
        I16x8ExtendLowI8x16U: map(a, <u16 as From<u8>>::from);
        I16x8ExtendHighI8x16U: map(&high(a), <u16 as From<u8>>::from);
        I32x4ExtAddPairwiseI16x8S: pairs(a, |x: i16, y| i32::from(x) + i32::from(y));
        I32x4ExtAddPairwiseI16x8U: pairs(a, |x: u16, y| u32::from(x) + u32::from(y));
        I32x4Abs: map(a, i32::wrapping_abs);
        I32x4Neg: map(a, i32::wrapping_neg);
        I32x4ExtendLowI16x8S: map(a, <i32 as From<i16>>::from);
        I32x4ExtendHighI16x8S: map(&high(a), <i32 as From<i16>>::from);
        I32x4ExtendLowI16x8U: map(a, <u32 as From<u16>>::from);
        I32x4ExtendHighI16x8U: map(&high(a), <u32 as From<u16>>::from);
        I64x2Abs: map(a, i64::wrapping_abs);
        I64x2Neg: map(a, i64::wrapping_neg);
        I64x2ExtendLowI32x4S: map(a, <i64 as From<i32>>::from);
        I64x2ExtendHighI32x4S: map(&high(a), <i64 as From<i32>>::from);
        I64x2ExtendLowI32x4U: map(a, <u64 as From<u32>>::from);
        I64x2ExtendHighI32x4U: map(&high(a), <u64 as From<u32>>::from);
        // Sign operations work on bits, as the scalar ones do.
        F32x4Abs: map(a, |x: u32| x & !0x8000_0000);
        F32x4Neg: map(a, |x: u32| x ^ 0x8000_0000);
        F32x4Sqrt: map(a, f32::sqrt);
        F64x2Abs: map(a, |x: u64| x & !0x8000_0000_0000_0000);
        F64x2Neg: map(a, |x: u64| x ^ 0x8000_0000_0000_0000);
        F64x2Sqrt: map(a, f64::sqrt);
        F32x4ConvertI32x4S: map(a, |x: i32| x as f32);
        F64x2ConvertLowI32x4S: map(a, <f64 as From<i32>>::from);
        F64x2ConvertLowI32x4U: map(a, <f64 as From<u32>>::from);
        F32x4DemoteF64x2Zero: map(a, |x: f64| x as f32);
        F64x2PromoteLowF32x4: map(a, <f64 as From<f32>>::from);
    }
    far {
        I8x16Popcnt: map(a, |x: u8| x.count_ones() as u8);
        F32x4Ceil: map(a, eval::f32_ceil);
        F32x4Floor: map(a, eval::f32_floor);
        F32x4Trunc: map(a, eval::f32_trunc);
        F32x4Nearest: map(a, eval::f32_nearest);
        F64x2Ceil: map(a, eval::f64_ceil);
        F64x2Floor: map(a, eval::f64_floor);
        F64x2Trunc: map(a, eval::f64_trunc);
        F64x2Nearest: map(a, eval::f64_nearest);
        I32x4TruncSatF32x4S: map(a, |x: f32| x as i32);
        I32x4TruncSatF32x4U: map(a, |x: f32| x as u32);
        F32x4ConvertI32x4U: map(a, |x: u32| x as f32);
        I32x4TruncSatF64x2SZero: map(a, |x: f64| x as i32);
        I32x4TruncSatF64x2UZero: map(a, |x: f64| x as u32);
    }
}

meanings! {
    binary(a: &Bytes, b: &Bytes) -> Bytes;
    near {
        V128And: zip(a, b, |x: u64, y: u64| x & y);
        V128AndNot: zip(a, b, |x: u64, y: u64| x & !y);
        V128Or: zip(a, b, |x: u64, y: u64| x | y);
        V128Xor: zip(a, b, |x: u64, y: u64| x ^ y);
        I8x16Add: zip(a, b, u8::wrapping_add);
        I8x16AddSatS: zip(a, b, i8::saturating_add);
        I8x16AddSatU: zip(a, b, u8::saturating_add);
        I8x16Sub: zip(a, b, u8::wrapping_sub);
        I8x16SubSatS: zip(a, b, i8::saturating_sub);
        I8x16SubSatU: zip(a, b, u8::saturating_sub);
        I8x16MinS: zip::<i8, _>(a, b, Ord::min);
        I8x16MinU: zip::<u8, _>(a, b, Ord::min);
        I8x16MaxS: zip::<i8, _>(a, b, Ord::max);
        I8x16MaxU: zip::<u8, _>(a, b, Ord::max);
        I16x8Add: zip(a, b, u16::wrapping_add);
        I16x8AddSatS: zip(a, b, i16::saturating_add);
        I16x8AddSatU: zip(a, b, u16::saturating_add);
        I16x8Sub: zip(a, b, u16::wrapping_sub);
        I16x8SubSatS: zip(a, b, i16::saturating_sub);
        I16x8SubSatU: zip(a, b, u16::saturating_sub);
        I16x8Mul: zip(a, b, u16::wrapping_mul);
        I16x8MinS: zip::<i16, _>(a, b, Ord::min);
        I16x8MinU: zip::<u16, _>(a, b, Ord::min);
        I16x8MaxS: zip::<i16, _>(a, b, Ord::max);
        I16x8MaxU: zip::<u16, _>(a, b, Ord::max);
        I16x8AvgrU: zip(a, b, |x: u16, y| (u32::from(x) + u32::from(y)).div_ceil(2) as u16);
        I32x4Add: zip(a, b, u32::wrapping_add);
        I32x4Sub: zip(a, b, u32::wrapping_sub);
        I32x4Mul: zip(a, b, u32::wrapping_mul);
        I32x4MinS: zip::<i32, _>(a, b, Ord::min);
        I32x4MinU: zip::<u32, _>(a, b, Ord::min);
        I32x4MaxS: zip::<i32, _>(a, b, Ord::max);
        I32x4MaxU: zip::<u32, _>(a, b, Ord::max);
        I64x2Add: zip(a, b, u64::wrapping_add);
        I64x2Sub: zip(a, b, u64::wrapping_sub);
        F32x4Add: zip(a, b, |x: f32, y| x + y);
        F32x4Sub: zip(a, b, |x: f32, y| x - y);
        F32x4Mul: zip(a, b, |x: f32, y| x * y);
        F32x4Div: zip(a, b, |x: f32, y| x / y);
        // The pseudo-minimum and -maximum hand an operand on as it is, a NaN included.
        F32x4PMin: zip(a, b, |x: f32, y| if y < x { y } else { x });
        F32x4PMax: zip(a, b, |x: f32, y| if x < y { y } else { x });
        F64x2Add: zip(a, b, |x: f64, y| x + y);
        F64x2Sub: zip(a, b, |x: f64, y| x - y);
        F64x2Mul: zip(a, b, |x: f64, y| x * y);
        F64x2Div: zip(a, b, |x: f64, y| x / y);
        F64x2PMin: zip(a, b, |x: f64, y| if y < x { y } else { x });
        F64x2PMax: zip(a, b, |x: f64, y| if x < y { y } else { x });
        I16x8ExtMulLowI8x16S: zip(a, b, |x: i8, y| i16::from(x) * i16::from(y));
        I16x8ExtMulHighI8x16S: zip(&high(a), &high(b), |x: i8, y| i16::from(x) * i16::from(y));
        I16x8ExtMulLowI8x16U: zip(a, b, |x: u8, y| u16::from(x) * u16::from(y));
        I16x8ExtMulHighI8x16U: zip(&high(a), &high(b), |x: u8, y| u16::from(x) * u16::from(y));
        I32x4ExtMulLowI16x8S: zip(a, b, |x: i16, y| i32::from(x) * i32::from(y));
        I32x4ExtMulHighI16x8S: zip(&high(a), &high(b), |x: i16, y| i32::from(x) * i32::from(y));
        I32x4ExtMulLowI16x8U: zip(a, b, |x: u16, y| u32::from(x) * u32::from(y));
        I32x4ExtMulHighI16x8U: zip(&high(a), &high(b), |x: u16, y| u32::from(x) * u32::from(y));
        I64x2ExtMulLowI32x4S: zip(a, b, |x: i32, y| i64::from(x) * i64::from(y));
        I64x2ExtMulHighI32x4S: zip(&high(a), &high(b), |x: i32, y| i64::from(x) * i64::from(y));
        I64x2ExtMulLowI32x4U: zip(a, b, |x: u32, y| u64::from(x) * u64::from(y));
        I64x2ExtMulHighI32x4U: zip(&high(a), &high(b), |x: u32, y| u64::from(x) * u64::from(y));
        // Only four products of -2^15 with itself leave the 32 bits, and then the sum wraps.
        I32x4DotI16x8S: dot(a, b);
        I8x16Eq: compare::<u8>(a, b, u8::eq);
        I8x16Ne: compare::<u8>(a, b, u8::ne);
        I8x16LtS: compare::<i8>(a, b, i8::lt);
        I8x16LtU: compare::<u8>(a, b, u8::lt);
        I8x16GtS: compare::<i8>(a, b, i8::gt);
        I8x16GtU: compare::<u8>(a, b, u8::gt);
        I8x16LeS: compare::<i8>(a, b, i8::le);
        I8x16LeU: compare::<u8>(a, b, u8::le);
        I8x16GeS: compare::<i8>(a, b, i8::ge);
        I8x16GeU: compare::<u8>(a, b, u8::ge);
        I16x8Eq: compare::<u16>(a, b, u16::eq);
        I16x8Ne: compare::<u16>(a, b, u16::ne);
        I16x8LtS: compare::<i16>(a, b, i16::lt);
        I16x8LtU: compare::<u16>(a, b, u16::lt);
        I16x8GtS: compare::<i16>(a, b, i16::gt);
        I16x8GtU: compare::<u16>(a, b, u16::gt);
        I16x8LeS: compare::<i16>(a, b, i16::le);
        I16x8LeU: compare::<u16>(a, b, u16::le);
        I16x8GeS: compare::<i16>(a, b, i16::ge);
        I16x8GeU: compare::<u16>(a, b, u16::ge);
        I32x4Eq: compare::<u32>(a, b, u32::eq);
        I32x4Ne: compare::<u32>(a, b, u32::ne);
        I32x4LtS: compare::<i32>(a, b, i32::lt);
        I32x4LtU: compare::<u32>(a, b, u32::lt);
        I32x4GtS: compare::<i32>(a, b, i32::gt);
        I32x4GtU: compare::<u32>(a, b, u32::gt);
        I32x4LeS: compare::<i32>(a, b, i32::le);
        I32x4LeU: compare::<u32>(a, b, u32::le);
        I32x4GeS: compare::<i32>(a, b, i32::ge);
        I32x4GeU: compare::<u32>(a, b, u32::ge);
        I64x2Eq: compare::<u64>(a, b, u64::eq);
        I64x2Ne: compare::<u64>(a, b, u64::ne);
        I64x2LtS: compare::<i64>(a, b, i64::lt);
        I64x2GtS: compare::<i64>(a, b, i64::gt);
        I64x2LeS: compare::<i64>(a, b, i64::le);
        I64x2GeS: compare::<i64>(a, b, i64::ge);
        F32x4Eq: compare::<f32>(a, b, f32::eq);
        F32x4Ne: compare::<f32>(a, b, f32::ne);
        F32x4Lt: compare::<f32>(a, b, f32::lt);
        F32x4Gt: compare::<f32>(a, b, f32::gt);
        F32x4Le: compare::<f32>(a, b, f32::le);
        F32x4Ge: compare::<f32>(a, b, f32::ge);
        F64x2Eq: compare::<f64>(a, b, f64::eq);
        F64x2Ne: compare::<f64>(a, b, f64::ne);
        F64x2Lt: compare::<f64>(a, b, f64::lt);
        F64x2Gt: compare::<f64>(a, b, f64::gt);
        F64x2Le: compare::<f64>(a, b, f64::le);
        F64x2Ge: compare::<f64>(a, b, f64::ge);
    }
    far {
        I8x16Swizzle: map(b, |lane: u8| a.get(usize::from(lane)).copied().unwrap_or(0));
        I8x16AvgrU: zip(a, b, |x: u8, y| (u16::from(x) + u16::from(y)).div_ceil(2) as u8);
        I16x8Q15MulrSatS: zip(a, b, q15_multiply);
        I64x2Mul: zip(a, b, u64::wrapping_mul);
        F32x4Min: zip(a, b, eval::f32_min);
        F32x4Max: zip(a, b, eval::f32_max);
        F64x2Min: zip(a, b, eval::f64_min);
        F64x2Max: zip(a, b, eval::f64_max);
        I8x16NarrowI16x8S: narrow(a, b, |x: i16| x.clamp(-0x80, 0x7f) as i8);
        I8x16NarrowI16x8U: narrow(a, b, |x: i16| x.clamp(0, 0xff) as u8);
        I16x8NarrowI32x4S: narrow(a, b, |x: i32| x.clamp(-0x8000, 0x7fff) as i16);
        I16x8NarrowI32x4U: narrow(a, b, |x: i32| x.clamp(0, 0xffff) as u16);
        I16x8RelaxedDotI8x16I7x16S: relaxed_dot(a, b);
    }
}

meanings! {
    ternary(a: &Bytes, b: &Bytes, c: &Bytes) -> Bytes;
    near {
        V128Bitselect: zip3(a, b, c, |x: u64, y, mask| (x & mask) | (y & !mask));
    }
    far {
        // The deterministic profile fuses: one rounding.
        F32x4RelaxedMadd: zip3(a, b, c, f32::mul_add);
        F32x4RelaxedNmadd: zip3(a, b, c, |a: f32, b, c| (-a).mul_add(b, c));
        F64x2RelaxedMadd: zip3(a, b, c, f64::mul_add);
        F64x2RelaxedNmadd: zip3(a, b, c, |a: f64, b, c| (-a).mul_add(b, c));
        I32x4RelaxedDotI8x16I7x16AddS: zip(&pairs(&relaxed_dot(a, b), |x: i16, y| i32::from(x) + i32::from(y)), c, i32::wrapping_add);
    }
}

meanings! {
    shift(a: &Bytes, count: u32) -> Bytes;
    near {
        I16x8Shl: map(a, |x: u16| x.wrapping_shl(count));
        I16x8ShrS: map(a, |x: i16| x.wrapping_shr(count));
        I16x8ShrU: map(a, |x: u16| x.wrapping_shr(count));
        I32x4Shl: map(a, |x: u32| x.wrapping_shl(count));
        I32x4ShrS: map(a, |x: i32| x.wrapping_shr(count));
        I32x4ShrU: map(a, |x: u32| x.wrapping_shr(count));
        I64x2Shl: map(a, |x: u64| x.wrapping_shl(count));
        I64x2ShrS: map(a, |x: i64| x.wrapping_shr(count));
        I64x2ShrU: map(a, |x: u64| x.wrapping_shr(count));
    }
    far {
        I8x16Shl: map(a, |x: u8| x.wrapping_shl(count));
        I8x16ShrS: map(a, |x: i8| x.wrapping_shr(count));
        I8x16ShrU: map(a, |x: u8| x.wrapping_shr(count));
    }
}

meanings! {
    test(a: &Bytes) -> u32;
    near {
        V128AnyTrue: u32::from(u128::from_le_bytes(*a) != 0);
        I8x16AllTrue: all_true::<u8>(a);
        I16x8AllTrue: all_true::<u16>(a);
        I32x4AllTrue: all_true::<u32>(a);
        I64x2AllTrue: all_true::<u64>(a);
        I8x16Bitmask: bitmask_of_bytes(a);
        I16x8Bitmask: bitmask(a, 2);
        I32x4Bitmask: bitmask(a, 4);
        I64x2Bitmask: bitmask(a, 8);
    }
    far {}
}

meanings! {
    splat(bits: u64) -> Bytes;
    near {
        I8x16Splat: lanes::splat(bits as u8);
        I16x8Splat: lanes::splat(bits as u16);
        I32x4Splat: lanes::splat(bits as u32);
        F32x4Splat: lanes::splat(bits as u32);
        I64x2Splat: lanes::splat(bits);
        F64x2Splat: lanes::splat(bits);
    }
    far {}
}

meanings! {
    extract(a: &Bytes, lane: u8) -> u64;
    near {
        I8x16ExtractLaneS: i32::from(lanes::lane::<1>(a, lane) as i8).into_slot();
        I8x16ExtractLaneU: lanes::lane::<1>(a, lane);
        I16x8ExtractLaneS: i32::from(lanes::lane::<2>(a, lane) as i16).into_slot();
        I16x8ExtractLaneU: lanes::lane::<2>(a, lane);
        I32x4ExtractLane: lanes::lane::<4>(a, lane);
        I64x2ExtractLane: lanes::lane::<8>(a, lane);
        F32x4ExtractLane: lanes::lane::<4>(a, lane);
        F64x2ExtractLane: lanes::lane::<8>(a, lane);
    }
    far {}
}

meanings! {
    replace(a: &Bytes, bits: u64, lane: u8) -> Bytes;
    near {
        I8x16ReplaceLane: with_lane::<1>(a, lane, bits);
        I16x8ReplaceLane: with_lane::<2>(a, lane, bits);
        I32x4ReplaceLane: with_lane::<4>(a, lane, bits);
        I64x2ReplaceLane: with_lane::<8>(a, lane, bits);
        F32x4ReplaceLane: with_lane::<4>(a, lane, bits);
        F64x2ReplaceLane: with_lane::<8>(a, lane, bits);
    }
    far {}
}

meanings! {
    load(bytes: &Bytes) -> Bytes;
    near {
        // What was read, in the low bytes; zeros above.
        V128Load: *bytes;
        V128Load8x8S: unary::I16x8ExtendLowI8x16S(bytes);
        V128Load8x8U: unary::I16x8ExtendLowI8x16U(bytes);
        V128Load16x4S: unary::I32x4ExtendLowI16x8S(bytes);
        V128Load16x4U: unary::I32x4ExtendLowI16x8U(bytes);
        V128Load32x2S: unary::I64x2ExtendLowI32x4S(bytes);
        V128Load32x2U: unary::I64x2ExtendLowI32x4U(bytes);
        V128Load8Splat: lanes::splat(bytes[0]);
        V128Load16Splat: lanes::splat(lanes::lane::<2>(bytes, 0) as u16);
        V128Load32Splat: lanes::splat(lanes::lane::<4>(bytes, 0) as u32);
        V128Load64Splat: lanes::splat(lanes::lane::<8>(bytes, 0));
        V128Load32Zero: *bytes;
        V128Load64Zero: *bytes;
    }
    far {}
}

/// The rounded product of two fractions of 15 bits; only -1 times -1 saturates.
#[inline(always)]
fn q15_multiply(x: i16, y: i16) -> i16 {
    let product = (i32::from(x) * i32::from(y) + 0x4000) >> 15;
    product.min(i32::from(i16::MAX)) as i16
}

/// Sums of two neighbouring products each.
#[inline(always)]
fn dot(a: &Bytes, b: &Bytes) -> Bytes {
    let low = zip(a, b, |x: i16, y| i32::from(x) * i32::from(y));
    let high = zip(&high(a), &high(b), |x: i16, y| i32::from(x) * i32::from(y));
    halves(&pairs(&low, i32::wrapping_add), &pairs(&high, i32::wrapping_add))
}

/// The deterministic profile takes both operands as signed and saturates the sum of two products.
#[inline(always)]
fn relaxed_dot(a: &Bytes, b: &Bytes) -> Bytes {
    let low = zip(a, b, |x: i8, y| i16::from(x) * i16::from(y));
    let high = zip(&high(a), &high(b), |x: i8, y| i16::from(x) * i16::from(y));
    halves(
        &pairs(&low, i16::saturating_add),
        &pairs(&high, i16::saturating_add),
    )
}

macro_rules! define_eval {
    (unary { $($unary:ident)* } binary { $($binary:ident)* } ternary { $($ternary:ident)* }
     shift { $($shift:ident $shift_imm:ident)* } test { $($test:ident)* } splat { $($splat:ident)* } extract { $($extract:ident)* }
     replace { $($replace:ident)* } load { $($load:ident)* }) => {
        impl VectorUnaryOp {
            /// The meaning.
            pub fn eval(self, a: u128) -> u128 {
                let a = &a.to_le_bytes();
                u128::from_le_bytes(match self { $(Self::$unary => unary::$unary(a)),* })
            }
        }
        impl VectorBinaryOp {
            /// The meaning.
            pub fn eval(self, a: u128, b: u128) -> u128 {
                let (a, b) = (&a.to_le_bytes(), &b.to_le_bytes());
                u128::from_le_bytes(match self { $(Self::$binary => binary::$binary(a, b)),* })
            }
        }
        impl VectorTernaryOp {
            /// The meaning.
            pub fn eval(self, a: u128, b: u128, c: u128) -> u128 {
                let (a, b, c) = (&a.to_le_bytes(), &b.to_le_bytes(), &c.to_le_bytes());
                u128::from_le_bytes(match self { $(Self::$ternary => ternary::$ternary(a, b, c)),* })
            }
        }
        impl VectorShiftOp {
            /// The meaning.
            pub fn eval(self, a: u128, count: u32) -> u128 {
                let a = &a.to_le_bytes();
                u128::from_le_bytes(match self { $(Self::$shift => shift::$shift(a, count)),* })
            }
        }
        impl VectorTestOp {
            /// The meaning.
            pub fn eval(self, a: u128) -> u32 {
                let a = &a.to_le_bytes();
                match self { $(Self::$test => test::$test(a)),* }
            }
        }
        impl SplatOp {
            /// The meaning, of a scalar's slot.
            pub fn eval(self, bits: u64) -> u128 {
                u128::from_le_bytes(match self { $(Self::$splat => splat::$splat(bits)),* })
            }
        }
        impl ExtractLaneOp {
            /// The meaning; the result is the scalar's slot. `lane` is taken modulo their number.
            pub fn eval(self, a: u128, lane: u8) -> u64 {
                let a = &a.to_le_bytes();
                match self { $(Self::$extract => extract::$extract(a, lane)),* }
            }
        }
        impl ReplaceLaneOp {
            /// The meaning; `bits` is the scalar's slot. `lane` is taken modulo their number.
            pub fn eval(self, a: u128, bits: u64, lane: u8) -> u128 {
                let a = &a.to_le_bytes();
                u128::from_le_bytes(match self { $(Self::$replace => replace::$replace(a, bits, lane)),* })
            }
        }
        impl VectorLoadOp {
            /// What becomes of the [`width`](Self::width) bytes read, which are the low bytes of `bits`; the others are zero.
            pub fn eval(self, bits: u128) -> u128 {
                let bytes = &bits.to_le_bytes();
                u128::from_le_bytes(match self { $(Self::$load => load::$load(bytes)),* })
            }
        }
    };
}
for_each_vector_operator!(define_eval);

impl LaneWidth {
    /// The lane of a vector, zero-extended. `lane` is taken modulo their number.
    pub fn extract(self, a: u128, lane: u8) -> u64 {
        let bits = 8 * self.bytes();
        (a >> (u32::from(lane) * bits % 128)) as u64 & (u64::MAX >> (64 - bits))
    }

    /// The vector with a lane replaced by the low bits of `bits`. `lane` is taken modulo their number.
    #[must_use]
    pub fn replace(self, a: u128, lane: u8, bits: u64) -> u128 {
        let width = 8 * self.bytes();
        let shift = u32::from(lane) * width % 128;
        let mask = u128::from(u64::MAX >> (64 - width)) << shift;
        (a & !mask) | ((u128::from(bits) << shift) & mask)
    }
}

impl ExtractLaneOp {
    /// Width of the lanes.
    pub fn width(self) -> LaneWidth {
        match self {
            Self::I8x16ExtractLaneS | Self::I8x16ExtractLaneU => LaneWidth::Bits8,
            Self::I16x8ExtractLaneS | Self::I16x8ExtractLaneU => LaneWidth::Bits16,
            Self::I32x4ExtractLane | Self::F32x4ExtractLane => LaneWidth::Bits32,
            Self::I64x2ExtractLane | Self::F64x2ExtractLane => LaneWidth::Bits64,
        }
    }
}

impl ReplaceLaneOp {
    /// Width of the lanes.
    pub fn width(self) -> LaneWidth {
        match self {
            Self::I8x16ReplaceLane => LaneWidth::Bits8,
            Self::I16x8ReplaceLane => LaneWidth::Bits16,
            Self::I32x4ReplaceLane | Self::F32x4ReplaceLane => LaneWidth::Bits32,
            Self::I64x2ReplaceLane | Self::F64x2ReplaceLane => LaneWidth::Bits64,
        }
    }
}

/// `i8x16.shuffle`: byte `i` of the result is byte `lanes[i]` of `a` and `b`, one behind the other.
pub fn shuffle(lanes: [u8; 16], a: u128, b: u128) -> u128 {
    u128::from_le_bytes(shuffled(&lanes, &a.to_le_bytes(), &b.to_le_bytes()))
}

/// The same of vectors in memory.
#[inline(never)]
pub(crate) fn shuffled(lanes: &Bytes, a: &Bytes, b: &Bytes) -> Bytes {
    let mut both = [0; 32];
    both[..16].copy_from_slice(a);
    both[16..].copy_from_slice(b);
    lanes.map(|lane| both[usize::from(lane % 32)])
}

#[cfg(test)]
mod tests {
    use super::super::vector_lanes::Lane;
    use super::*;

    fn splat<T: Lane>(value: T) -> u128 {
        u128::from_le_bytes(lanes::splat(value))
    }

    const EDGES: [u128; 6] = [
        0,
        u128::MAX,
        0x8000_7fff_0001_ffff_7f80_00ff_0102_8081,
        // Infinities, NaNs and zeros of both widths.
        0x7ff8_0000_0000_0000_8000_0000_0000_0000,
        0x7fc0_0000_ff80_0000_8000_0000_7fa0_0001,
        0x3f80_0000_4f80_0000_cf00_0001_3eff_ffff,
    ];

    #[test]
    #[cfg_attr(miri, ignore = "Miri would take minutes for so many operators")]
    fn every_operator_has_a_meaning() {
        for a in EDGES {
            for b in EDGES {
                let mut sum = 0_u128;
                for op in VectorUnaryOp::ALL {
                    sum ^= op.eval(a);
                }
                for op in VectorBinaryOp::ALL {
                    sum ^= op.eval(a, b);
                }
                for op in VectorTernaryOp::ALL {
                    sum ^= op.eval(a, b, a ^ b);
                }
                for op in VectorShiftOp::ALL {
                    let width = 128 / lanes(op.name());
                    assert_eq!(op.eval(a, 3), op.eval(a, 3 + width), "{op:?}");
                }
                std::hint::black_box(sum);
            }
        }
    }

    fn lanes(name: &str) -> u32 {
        match name.as_bytes() {
            [b'I', b'8', ..] => 16,
            [b'I', b'1', ..] => 8,
            [b'I', b'3', ..] => 4,
            _ => 2,
        }
    }

    #[test]
    fn lanes_go_in_and_out() {
        for &width in &[
            LaneWidth::Bits8,
            LaneWidth::Bits16,
            LaneWidth::Bits32,
            LaneWidth::Bits64,
        ] {
            for lane in 0..(16 / width.bytes()) as u8 {
                for a in EDGES {
                    let bits = width.extract(EDGES[2], lane);
                    let replaced = width.replace(a, lane, bits | 1 << 63);
                    assert_eq!(width.extract(replaced, lane) | 1 << 63, bits | 1 << 63);
                    assert_eq!(width.replace(replaced, lane, width.extract(a, lane)), a);
                }
            }
        }
        assert_eq!(ExtractLaneOp::I8x16ExtractLaneS.eval(0x80, 0), 0xffff_ff80);
        assert_eq!(ExtractLaneOp::I16x8ExtractLaneU.eval(u128::MAX, 7), 0xffff);
    }

    #[test]
    fn saturation_happens_at_the_corners() {
        let all = |x: i16| splat(x);
        let dot = VectorBinaryOp::I16x8RelaxedDotI8x16I7x16S;
        assert_eq!(dot.eval(splat(-128_i8), splat(-128_i8)), all(i16::MAX));
        let q15 = VectorBinaryOp::I16x8Q15MulrSatS;
        assert_eq!(q15.eval(all(i16::MIN), all(i16::MIN)), all(i16::MAX));
        let narrow = VectorBinaryOp::I8x16NarrowI16x8U;
        assert_eq!(
            narrow.eval(all(-1), all(256)),
            0xffff_ffff_ffff_ffff_0000_0000_0000_0000
        );
        let dot = VectorBinaryOp::I32x4DotI16x8S;
        assert_eq!(dot.eval(all(i16::MIN), all(i16::MIN)), splat(i32::MIN));
    }

    #[test]
    fn high_halves_and_zero_halves() {
        let a = 0x0807_0605_0403_0201_8f8e_8d8c_8b8a_8988;
        assert_eq!(
            VectorUnaryOp::I16x8ExtendHighI8x16U.eval(a),
            0x0008_0007_0006_0005_0004_0003_0002_0001
        );
        assert_eq!(
            VectorUnaryOp::I64x2ExtendLowI32x4S.eval(a),
            0xffff_ffff_8f8e_8d8c_ffff_ffff_8b8a_8988
        );
        let two = splat(2.5_f64);
        assert_eq!(
            VectorUnaryOp::I32x4TruncSatF64x2SZero.eval(two),
            0x0000_0002_0000_0002
        );
    }

    #[test]
    fn bytes_are_shuffled_and_swizzled() {
        let (a, b) = (EDGES[2], EDGES[5]);
        assert_eq!(shuffle(std::array::from_fn(|i| i as u8), a, b), a);
        assert_eq!(shuffle(std::array::from_fn(|i| i as u8 + 16), a, b), b);
        let reversed = u128::from_be_bytes(std::array::from_fn(|i| i as u8));
        assert_eq!(VectorBinaryOp::I8x16Swizzle.eval(a, reversed), a.swap_bytes());
        assert_eq!(VectorBinaryOp::I8x16Swizzle.eval(a, splat(16_u8)), 0);
    }
}
