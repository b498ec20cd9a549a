//! What the vector operators mean: the Rust half, as `eval` is for the scalar ones.
//!
//! A vector is a `u128` whose lane 0 lies in the lowest bits. Nearly every operator is a scalar function on lanes, so four
//! shapes carry the whole file:
//!
//! ```text
//!   map(a, f)     out[i] = f(a[i])                  as many lanes as the wider type has: a function to a wider type takes
//!   zip(a, b, f)  out[i] = f(a[i], b[i])            the low half, one to a narrower type leaves the high half zero
//!   pairs(a, f)   out[i] = f(a[2i], a[2i + 1])
//!   narrow(a, b)  the lanes of a, then those of b, saturated
//! ```
//!
//! What takes a high half shifts it down first. The shapes are loops over arrays of known length, which the compiler turns
//! into vector instructions where the function lets it. All follows the specification 3.0, section 4.3 "Numerics", whose
//! vector part is that of 2.0; relaxed operators follow its deterministic profile.

use super::eval::{self, Slot};
use super::vector::{
    ExtractLaneOp, LaneWidth, ReplaceLaneOp, SplatOp, VectorBinaryOp, VectorLoadOp, VectorShiftOp,
    VectorTernaryOp, VectorTestOp, VectorUnaryOp,
};

/// A type that a lane may have.
trait Lane: Copy {
    /// Its size.
    const BYTES: usize;
    /// Reads one from exactly so many bytes.
    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
}

macro_rules! lane {
    ($($ty:ty)*) => {$(
        impl Lane for $ty {
            const BYTES: usize = size_of::<$ty>();
            #[inline(always)]
            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("a lane's bytes"))
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
lane!(i8 u8 i16 u16 i32 u32 i64 u64 f32 f64);

#[inline(always)]
fn map<T: Lane, U: Lane>(a: u128, f: impl Fn(T) -> U) -> u128 {
    let mut out = [0; 16];
    let lanes = a.to_le_bytes();
    for (from, to) in lanes.chunks_exact(T::BYTES).zip(out.chunks_exact_mut(U::BYTES)) {
        f(T::read(from)).write(to);
    }
    u128::from_le_bytes(out)
}

#[inline(always)]
fn zip<T: Lane, U: Lane>(a: u128, b: u128, f: impl Fn(T, T) -> U) -> u128 {
    let mut out = [0; 16];
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    let lanes = a.chunks_exact(T::BYTES).zip(b.chunks_exact(T::BYTES));
    for ((a, b), to) in lanes.zip(out.chunks_exact_mut(U::BYTES)) {
        f(T::read(a), T::read(b)).write(to);
    }
    u128::from_le_bytes(out)
}

#[inline(always)]
fn pairs<T: Lane, U: Lane>(a: u128, f: impl Fn(T, T) -> U) -> u128 {
    let mut out = [0; 16];
    let lanes = a.to_le_bytes();
    for (pair, to) in lanes
        .chunks_exact(2 * T::BYTES)
        .zip(out.chunks_exact_mut(U::BYTES))
    {
        let (even, odd) = pair.split_at(T::BYTES);
        f(T::read(even), T::read(odd)).write(to);
    }
    u128::from_le_bytes(out)
}

/// `f` saturates a lane to half its width.
#[inline(always)]
fn narrow<T: Lane, U: Lane>(a: u128, b: u128, f: impl Fn(T) -> U) -> u128 {
    map(a, &f) | map(b, &f) << 64
}

/// All bits of a lane set where `f` holds, else none.
#[inline(always)]
fn compare<T: Lane>(a: u128, b: u128, f: impl Fn(&T, &T) -> bool) -> u128 {
    let mut out = [0; 16];
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    let lanes = a.chunks_exact(T::BYTES).zip(b.chunks_exact(T::BYTES));
    for ((a, b), to) in lanes.zip(out.chunks_exact_mut(T::BYTES)) {
        to.fill(if f(&T::read(a), &T::read(b)) { 0xff } else { 0 });
    }
    u128::from_le_bytes(out)
}

#[inline(always)]
fn zip3<T: Lane>(a: u128, b: u128, c: u128, f: impl Fn(T, T, T) -> T) -> u128 {
    let mut out = [0; 16];
    let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    let lanes = a
        .chunks_exact(T::BYTES)
        .zip(b.chunks_exact(T::BYTES))
        .zip(c.chunks_exact(T::BYTES));
    for (((a, b), c), to) in lanes.zip(out.chunks_exact_mut(T::BYTES)) {
        f(T::read(a), T::read(b), T::read(c)).write(to);
    }
    u128::from_le_bytes(out)
}

#[inline(always)]
fn splat<T: Lane>(value: T) -> u128 {
    map(0, |_: T| value)
}

fn all_true<T: Lane + PartialEq + From<bool>>(a: u128) -> u32 {
    let lanes = a.to_le_bytes();
    let all = lanes
        .chunks_exact(T::BYTES)
        .all(|lane| T::read(lane) != T::from(false));
    u32::from(all)
}

/// The sign bits of lanes of `width` bytes, the first lowest.
fn bitmask(a: u128, width: usize) -> u32 {
    let lanes = a.to_le_bytes();
    let signs = lanes.chunks_exact(width).map(|lane| lane[width - 1] >> 7);
    signs
        .zip(0..)
        .fold(0, |mask, (sign, i)| mask | u32::from(sign) << i)
}

impl VectorUnaryOp {
    /// The meaning.
    pub fn eval(self, a: u128) -> u128 {
        use VectorUnaryOp as Op;
        let high = a >> 64;
        match self {
            Op::V128Not => !a,
            Op::I8x16Abs => map(a, i8::wrapping_abs),
            Op::I8x16Neg => map(a, i8::wrapping_neg),
            Op::I8x16Popcnt => map(a, |x: u8| x.count_ones() as u8),
            Op::I16x8ExtAddPairwiseI8x16S => pairs(a, |x: i8, y| i16::from(x) + i16::from(y)),
            Op::I16x8ExtAddPairwiseI8x16U => pairs(a, |x: u8, y| u16::from(x) + u16::from(y)),
            Op::I16x8Abs => map(a, i16::wrapping_abs),
            Op::I16x8Neg => map(a, i16::wrapping_neg),
            Op::I16x8ExtendLowI8x16S => map(a, <i16 as From<i8>>::from),
            Op::I16x8ExtendHighI8x16S => map(high, <i16 as From<i8>>::from),
            Op::I16x8ExtendLowI8x16U => map(a, <u16 as From<u8>>::from),
            Op::I16x8ExtendHighI8x16U => map(high, <u16 as From<u8>>::from),
            Op::I32x4ExtAddPairwiseI16x8S => pairs(a, |x: i16, y| i32::from(x) + i32::from(y)),
            Op::I32x4ExtAddPairwiseI16x8U => pairs(a, |x: u16, y| u32::from(x) + u32::from(y)),
            Op::I32x4Abs => map(a, i32::wrapping_abs),
            Op::I32x4Neg => map(a, i32::wrapping_neg),
            Op::I32x4ExtendLowI16x8S => map(a, <i32 as From<i16>>::from),
            Op::I32x4ExtendHighI16x8S => map(high, <i32 as From<i16>>::from),
            Op::I32x4ExtendLowI16x8U => map(a, <u32 as From<u16>>::from),
            Op::I32x4ExtendHighI16x8U => map(high, <u32 as From<u16>>::from),
            Op::I64x2Abs => map(a, i64::wrapping_abs),
            Op::I64x2Neg => map(a, i64::wrapping_neg),
            Op::I64x2ExtendLowI32x4S => map(a, <i64 as From<i32>>::from),
            Op::I64x2ExtendHighI32x4S => map(high, <i64 as From<i32>>::from),
            Op::I64x2ExtendLowI32x4U => map(a, <u64 as From<u32>>::from),
            Op::I64x2ExtendHighI32x4U => map(high, <u64 as From<u32>>::from),
            _ => self.eval_float(a),
        }
    }

    /// The part that has to do with floats. Sign operations work on bits, as the scalar ones do.
    fn eval_float(self, a: u128) -> u128 {
        use VectorUnaryOp as Op;
        match self {
            Op::F32x4Ceil => map(a, eval::f32_ceil),
            Op::F32x4Floor => map(a, eval::f32_floor),
            Op::F32x4Trunc => map(a, eval::f32_trunc),
            Op::F32x4Nearest => map(a, eval::f32_nearest),
            Op::F32x4Abs => map(a, |x: u32| x & !0x8000_0000),
            Op::F32x4Neg => map(a, |x: u32| x ^ 0x8000_0000),
            Op::F32x4Sqrt => map(a, f32::sqrt),
            Op::F64x2Ceil => map(a, eval::f64_ceil),
            Op::F64x2Floor => map(a, eval::f64_floor),
            Op::F64x2Trunc => map(a, eval::f64_trunc),
            Op::F64x2Nearest => map(a, eval::f64_nearest),
            Op::F64x2Abs => map(a, |x: u64| x & !0x8000_0000_0000_0000),
            Op::F64x2Neg => map(a, |x: u64| x ^ 0x8000_0000_0000_0000),
            Op::F64x2Sqrt => map(a, f64::sqrt),
            Op::I32x4TruncSatF32x4S => map(a, |x: f32| x as i32),
            Op::I32x4TruncSatF32x4U => map(a, |x: f32| x as u32),
            Op::F32x4ConvertI32x4S => map(a, |x: i32| x as f32),
            Op::F32x4ConvertI32x4U => map(a, |x: u32| x as f32),
            Op::I32x4TruncSatF64x2SZero => map(a, |x: f64| x as i32),
            Op::I32x4TruncSatF64x2UZero => map(a, |x: f64| x as u32),
            Op::F64x2ConvertLowI32x4S => map(a, <f64 as From<i32>>::from),
            Op::F64x2ConvertLowI32x4U => map(a, <f64 as From<u32>>::from),
            Op::F32x4DemoteF64x2Zero => map(a, |x: f64| x as f32),
            Op::F64x2PromoteLowF32x4 => map(a, <f64 as From<f32>>::from),
            other => unreachable!("{other:?} is no operator on floats"),
        }
    }
}

impl VectorBinaryOp {
    /// The meaning.
    pub fn eval(self, a: u128, b: u128) -> u128 {
        use VectorBinaryOp as Op;
        match self {
            Op::V128And => a & b,
            Op::V128AndNot => a & !b,
            Op::V128Or => a | b,
            Op::V128Xor => a ^ b,
            Op::I8x16Swizzle => map(b, |lane: u8| byte(a, lane)),
            Op::I8x16Add => zip(a, b, u8::wrapping_add),
            Op::I8x16AddSatS => zip(a, b, i8::saturating_add),
            Op::I8x16AddSatU => zip(a, b, u8::saturating_add),
            Op::I8x16Sub => zip(a, b, u8::wrapping_sub),
            Op::I8x16SubSatS => zip(a, b, i8::saturating_sub),
            Op::I8x16SubSatU => zip(a, b, u8::saturating_sub),
            Op::I8x16MinS => zip::<i8, _>(a, b, Ord::min),
            Op::I8x16MinU => zip::<u8, _>(a, b, Ord::min),
            Op::I8x16MaxS => zip::<i8, _>(a, b, Ord::max),
            Op::I8x16MaxU => zip::<u8, _>(a, b, Ord::max),
            Op::I8x16AvgrU => zip(a, b, |x: u8, y| (u16::from(x) + u16::from(y)).div_ceil(2) as u8),
            Op::I16x8Q15MulrSatS => zip(a, b, q15_multiply),
            Op::I16x8Add => zip(a, b, u16::wrapping_add),
            Op::I16x8AddSatS => zip(a, b, i16::saturating_add),
            Op::I16x8AddSatU => zip(a, b, u16::saturating_add),
            Op::I16x8Sub => zip(a, b, u16::wrapping_sub),
            Op::I16x8SubSatS => zip(a, b, i16::saturating_sub),
            Op::I16x8SubSatU => zip(a, b, u16::saturating_sub),
            Op::I16x8Mul => zip(a, b, u16::wrapping_mul),
            Op::I16x8MinS => zip::<i16, _>(a, b, Ord::min),
            Op::I16x8MinU => zip::<u16, _>(a, b, Ord::min),
            Op::I16x8MaxS => zip::<i16, _>(a, b, Ord::max),
            Op::I16x8MaxU => zip::<u16, _>(a, b, Ord::max),
            Op::I16x8AvgrU => zip(a, b, |x: u16, y| (u32::from(x) + u32::from(y)).div_ceil(2) as u16),
            Op::I32x4Add => zip(a, b, u32::wrapping_add),
            Op::I32x4Sub => zip(a, b, u32::wrapping_sub),
            Op::I32x4Mul => zip(a, b, u32::wrapping_mul),
            Op::I32x4MinS => zip::<i32, _>(a, b, Ord::min),
            Op::I32x4MinU => zip::<u32, _>(a, b, Ord::min),
            Op::I32x4MaxS => zip::<i32, _>(a, b, Ord::max),
            Op::I32x4MaxU => zip::<u32, _>(a, b, Ord::max),
            Op::I64x2Add => zip(a, b, u64::wrapping_add),
            Op::I64x2Sub => zip(a, b, u64::wrapping_sub),
            Op::I64x2Mul => zip(a, b, u64::wrapping_mul),
            Op::F32x4Add => zip(a, b, |x: f32, y| x + y),
            Op::F32x4Sub => zip(a, b, |x: f32, y| x - y),
            Op::F32x4Mul => zip(a, b, |x: f32, y| x * y),
            Op::F32x4Div => zip(a, b, |x: f32, y| x / y),
            Op::F32x4Min => zip(a, b, eval::f32_min),
            Op::F32x4Max => zip(a, b, eval::f32_max),
            // The pseudo-minimum and -maximum hand an operand on as it is, a NaN included.
            Op::F32x4PMin => zip(a, b, |x: f32, y| if y < x { y } else { x }),
            Op::F32x4PMax => zip(a, b, |x: f32, y| if x < y { y } else { x }),
            Op::F64x2Add => zip(a, b, |x: f64, y| x + y),
            Op::F64x2Sub => zip(a, b, |x: f64, y| x - y),
            Op::F64x2Mul => zip(a, b, |x: f64, y| x * y),
            Op::F64x2Div => zip(a, b, |x: f64, y| x / y),
            Op::F64x2Min => zip(a, b, eval::f64_min),
            Op::F64x2Max => zip(a, b, eval::f64_max),
            Op::F64x2PMin => zip(a, b, |x: f64, y| if y < x { y } else { x }),
            Op::F64x2PMax => zip(a, b, |x: f64, y| if x < y { y } else { x }),
            _ => self.eval_width(a, b),
        }
    }

    /// Those whose lanes go in and come out at different widths.
    fn eval_width(self, a: u128, b: u128) -> u128 {
        use VectorBinaryOp as Op;
        let (c, d) = (a >> 64, b >> 64);
        match self {
            Op::I8x16NarrowI16x8S => narrow(a, b, |x: i16| x.clamp(-0x80, 0x7f) as i8),
            Op::I8x16NarrowI16x8U => narrow(a, b, |x: i16| x.clamp(0, 0xff) as u8),
            Op::I16x8NarrowI32x4S => narrow(a, b, |x: i32| x.clamp(-0x8000, 0x7fff) as i16),
            Op::I16x8NarrowI32x4U => narrow(a, b, |x: i32| x.clamp(0, 0xffff) as u16),
            Op::I16x8ExtMulLowI8x16S => zip(a, b, |x: i8, y| i16::from(x) * i16::from(y)),
            Op::I16x8ExtMulHighI8x16S => zip(c, d, |x: i8, y| i16::from(x) * i16::from(y)),
            Op::I16x8ExtMulLowI8x16U => zip(a, b, |x: u8, y| u16::from(x) * u16::from(y)),
            Op::I16x8ExtMulHighI8x16U => zip(c, d, |x: u8, y| u16::from(x) * u16::from(y)),
            Op::I32x4ExtMulLowI16x8S => zip(a, b, |x: i16, y| i32::from(x) * i32::from(y)),
            Op::I32x4ExtMulHighI16x8S => zip(c, d, |x: i16, y| i32::from(x) * i32::from(y)),
            Op::I32x4ExtMulLowI16x8U => zip(a, b, |x: u16, y| u32::from(x) * u32::from(y)),
            Op::I32x4ExtMulHighI16x8U => zip(c, d, |x: u16, y| u32::from(x) * u32::from(y)),
            Op::I64x2ExtMulLowI32x4S => zip(a, b, |x: i32, y| i64::from(x) * i64::from(y)),
            Op::I64x2ExtMulHighI32x4S => zip(c, d, |x: i32, y| i64::from(x) * i64::from(y)),
            Op::I64x2ExtMulLowI32x4U => zip(a, b, |x: u32, y| u64::from(x) * u64::from(y)),
            Op::I64x2ExtMulHighI32x4U => zip(c, d, |x: u32, y| u64::from(x) * u64::from(y)),
            // Only four products of -2^15 with itself leave the 32 bits, and then the sum wraps.
            Op::I32x4DotI16x8S => {
                let low = zip(a, b, |x: i16, y| i32::from(x) * i32::from(y));
                let high = zip(c, d, |x: i16, y| i32::from(x) * i32::from(y));
                pairs(low, i32::wrapping_add) | pairs(high, i32::wrapping_add) << 64
            }
            Op::I16x8RelaxedDotI8x16I7x16S => relaxed_dot(a, b),
            _ => self.eval_compare(a, b),
        }
    }

    fn eval_compare(self, a: u128, b: u128) -> u128 {
        use VectorBinaryOp as Op;
        match self {
            Op::I8x16Eq => compare::<u8>(a, b, u8::eq),
            Op::I8x16Ne => compare::<u8>(a, b, u8::ne),
            Op::I8x16LtS => compare::<i8>(a, b, i8::lt),
            Op::I8x16LtU => compare::<u8>(a, b, u8::lt),
            Op::I8x16GtS => compare::<i8>(a, b, i8::gt),
            Op::I8x16GtU => compare::<u8>(a, b, u8::gt),
            Op::I8x16LeS => compare::<i8>(a, b, i8::le),
            Op::I8x16LeU => compare::<u8>(a, b, u8::le),
            Op::I8x16GeS => compare::<i8>(a, b, i8::ge),
            Op::I8x16GeU => compare::<u8>(a, b, u8::ge),
            Op::I16x8Eq => compare::<u16>(a, b, u16::eq),
            Op::I16x8Ne => compare::<u16>(a, b, u16::ne),
            Op::I16x8LtS => compare::<i16>(a, b, i16::lt),
            Op::I16x8LtU => compare::<u16>(a, b, u16::lt),
            Op::I16x8GtS => compare::<i16>(a, b, i16::gt),
            Op::I16x8GtU => compare::<u16>(a, b, u16::gt),
            Op::I16x8LeS => compare::<i16>(a, b, i16::le),
            Op::I16x8LeU => compare::<u16>(a, b, u16::le),
            Op::I16x8GeS => compare::<i16>(a, b, i16::ge),
            Op::I16x8GeU => compare::<u16>(a, b, u16::ge),
            Op::I32x4Eq => compare::<u32>(a, b, u32::eq),
            Op::I32x4Ne => compare::<u32>(a, b, u32::ne),
            Op::I32x4LtS => compare::<i32>(a, b, i32::lt),
            Op::I32x4LtU => compare::<u32>(a, b, u32::lt),
            Op::I32x4GtS => compare::<i32>(a, b, i32::gt),
            Op::I32x4GtU => compare::<u32>(a, b, u32::gt),
            Op::I32x4LeS => compare::<i32>(a, b, i32::le),
            Op::I32x4LeU => compare::<u32>(a, b, u32::le),
            Op::I32x4GeS => compare::<i32>(a, b, i32::ge),
            Op::I32x4GeU => compare::<u32>(a, b, u32::ge),
            Op::I64x2Eq => compare::<u64>(a, b, u64::eq),
            Op::I64x2Ne => compare::<u64>(a, b, u64::ne),
            Op::I64x2LtS => compare::<i64>(a, b, i64::lt),
            Op::I64x2GtS => compare::<i64>(a, b, i64::gt),
            Op::I64x2LeS => compare::<i64>(a, b, i64::le),
            Op::I64x2GeS => compare::<i64>(a, b, i64::ge),
            Op::F32x4Eq => compare::<f32>(a, b, f32::eq),
            Op::F32x4Ne => compare::<f32>(a, b, f32::ne),
            Op::F32x4Lt => compare::<f32>(a, b, f32::lt),
            Op::F32x4Gt => compare::<f32>(a, b, f32::gt),
            Op::F32x4Le => compare::<f32>(a, b, f32::le),
            Op::F32x4Ge => compare::<f32>(a, b, f32::ge),
            Op::F64x2Eq => compare::<f64>(a, b, f64::eq),
            Op::F64x2Ne => compare::<f64>(a, b, f64::ne),
            Op::F64x2Lt => compare::<f64>(a, b, f64::lt),
            Op::F64x2Gt => compare::<f64>(a, b, f64::gt),
            Op::F64x2Le => compare::<f64>(a, b, f64::le),
            Op::F64x2Ge => compare::<f64>(a, b, f64::ge),
            other => unreachable!("{other:?} is no comparison"),
        }
    }
}

/// The byte of a vector, or 0 where there is none of that number.
#[inline(always)]
fn byte(a: u128, lane: u8) -> u8 {
    a.to_le_bytes().get(usize::from(lane)).copied().unwrap_or(0)
}

/// The rounded product of two fractions of 15 bits; only -1 times -1 saturates.
#[inline(always)]
fn q15_multiply(x: i16, y: i16) -> i16 {
    let product = (i32::from(x) * i32::from(y) + 0x4000) >> 15;
    product.min(i32::from(i16::MAX)) as i16
}

/// The deterministic profile takes both operands as signed and saturates the sum of two products.
#[inline(always)]
fn relaxed_dot(a: u128, b: u128) -> u128 {
    let low = zip(a, b, |x: i8, y| i16::from(x) * i16::from(y));
    let high = zip(a >> 64, b >> 64, |x: i8, y| i16::from(x) * i16::from(y));
    pairs(low, i16::saturating_add) | pairs(high, i16::saturating_add) << 64
}

impl VectorTernaryOp {
    /// The meaning.
    pub fn eval(self, a: u128, b: u128, c: u128) -> u128 {
        match self {
            Self::V128Bitselect => (a & c) | (b & !c),
            // The deterministic profile fuses: one rounding.
            Self::F32x4RelaxedMadd => zip3(a, b, c, f32::mul_add),
            Self::F32x4RelaxedNmadd => zip3(a, b, c, |a: f32, b, c| (-a).mul_add(b, c)),
            Self::F64x2RelaxedMadd => zip3(a, b, c, f64::mul_add),
            Self::F64x2RelaxedNmadd => zip3(a, b, c, |a: f64, b, c| (-a).mul_add(b, c)),
            Self::I32x4RelaxedDotI8x16I7x16AddS => {
                let sums = pairs(relaxed_dot(a, b), |x: i16, y| i32::from(x) + i32::from(y));
                zip(sums, c, i32::wrapping_add)
            }
        }
    }
}

impl VectorShiftOp {
    /// The meaning.
    pub fn eval(self, a: u128, count: u32) -> u128 {
        match self {
            Self::I8x16Shl => map(a, |x: u8| x.wrapping_shl(count)),
            Self::I8x16ShrS => map(a, |x: i8| x.wrapping_shr(count)),
            Self::I8x16ShrU => map(a, |x: u8| x.wrapping_shr(count)),
            Self::I16x8Shl => map(a, |x: u16| x.wrapping_shl(count)),
            Self::I16x8ShrS => map(a, |x: i16| x.wrapping_shr(count)),
            Self::I16x8ShrU => map(a, |x: u16| x.wrapping_shr(count)),
            Self::I32x4Shl => map(a, |x: u32| x.wrapping_shl(count)),
            Self::I32x4ShrS => map(a, |x: i32| x.wrapping_shr(count)),
            Self::I32x4ShrU => map(a, |x: u32| x.wrapping_shr(count)),
            Self::I64x2Shl => map(a, |x: u64| x.wrapping_shl(count)),
            Self::I64x2ShrS => map(a, |x: i64| x.wrapping_shr(count)),
            Self::I64x2ShrU => map(a, |x: u64| x.wrapping_shr(count)),
        }
    }
}

impl VectorTestOp {
    /// The meaning.
    pub fn eval(self, a: u128) -> u32 {
        match self {
            Self::V128AnyTrue => u32::from(a != 0),
            Self::I8x16AllTrue => all_true::<u8>(a),
            Self::I16x8AllTrue => all_true::<u16>(a),
            Self::I32x4AllTrue => all_true::<u32>(a),
            Self::I64x2AllTrue => all_true::<u64>(a),
            Self::I8x16Bitmask => bitmask(a, 1),
            Self::I16x8Bitmask => bitmask(a, 2),
            Self::I32x4Bitmask => bitmask(a, 4),
            Self::I64x2Bitmask => bitmask(a, 8),
        }
    }
}

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

impl SplatOp {
    /// The meaning, of a scalar's slot.
    pub fn eval(self, bits: u64) -> u128 {
        match self {
            Self::I8x16Splat => splat(bits as u8),
            Self::I16x8Splat => splat(bits as u16),
            Self::I32x4Splat | Self::F32x4Splat => splat(bits as u32),
            Self::I64x2Splat | Self::F64x2Splat => splat(bits),
        }
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

    /// The meaning; the result is the scalar's slot.
    pub fn eval(self, a: u128, lane: u8) -> u64 {
        let bits = self.width().extract(a, lane);
        match self {
            Self::I8x16ExtractLaneS => i32::from(bits as i8).into_slot(),
            Self::I16x8ExtractLaneS => i32::from(bits as i16).into_slot(),
            _ => bits,
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

    /// The meaning; `bits` is the scalar's slot.
    pub fn eval(self, a: u128, bits: u64, lane: u8) -> u128 {
        self.width().replace(a, lane, bits)
    }
}

impl VectorLoadOp {
    /// What becomes of the [`width`](Self::width) bytes read, which are the low bytes of `bits`; the others are zero.
    pub fn eval(self, bits: u128) -> u128 {
        match self {
            Self::V128Load | Self::V128Load32Zero | Self::V128Load64Zero => bits,
            Self::V128Load8x8S => VectorUnaryOp::I16x8ExtendLowI8x16S.eval(bits),
            Self::V128Load8x8U => VectorUnaryOp::I16x8ExtendLowI8x16U.eval(bits),
            Self::V128Load16x4S => VectorUnaryOp::I32x4ExtendLowI16x8S.eval(bits),
            Self::V128Load16x4U => VectorUnaryOp::I32x4ExtendLowI16x8U.eval(bits),
            Self::V128Load32x2S => VectorUnaryOp::I64x2ExtendLowI32x4S.eval(bits),
            Self::V128Load32x2U => VectorUnaryOp::I64x2ExtendLowI32x4U.eval(bits),
            Self::V128Load8Splat => splat(bits as u8),
            Self::V128Load16Splat => splat(bits as u16),
            Self::V128Load32Splat => splat(bits as u32),
            Self::V128Load64Splat => splat(bits as u64),
        }
    }
}

/// `i8x16.shuffle`: byte `i` of the result is byte `lanes[i]` of `a` and `b`, one behind the other.
pub fn shuffle(lanes: [u8; 16], a: u128, b: u128) -> u128 {
    let mut both = [0; 32];
    both[..16].copy_from_slice(&a.to_le_bytes());
    both[16..].copy_from_slice(&b.to_le_bytes());
    u128::from_le_bytes(lanes.map(|lane| both[usize::from(lane % 32)]))
}

#[cfg(test)]
mod tests {
    use super::*;

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
