//! What the non-trivial operators mean: the Rust half of the rule that each meaning is written twice only.
//!
//! The operator table names these functions (or says a one-line meaning itself). They follow the WebAssembly core
//! specification 2.0, section 4.3 "Numerics", and are total: what the specification calls a trap is an `Err`.

use crate::trap::Trap;

/// A type that fits one slot of the value stack.
pub(crate) trait Slot: Copy {
    fn from_slot(slot: u64) -> Self;
    fn into_slot(self) -> u64;
}

/// What an operator's meaning may evaluate to: a value, or a value or a trap.
pub(crate) trait Evaluated {
    fn into_result(self) -> Result<u64, Trap>;
}

macro_rules! slot {
    ($($ty:ty: |$slot:ident| $from:expr, |$value:ident| $into:expr;)*) => {$(
        impl Slot for $ty {
            #[inline(always)]
            fn from_slot($slot: u64) -> Self { $from }
            #[inline(always)]
            fn into_slot(self) -> u64 { let $value = self; $into }
        }
        impl Evaluated for $ty {
            #[inline(always)]
            fn into_result(self) -> Result<u64, Trap> { Ok(self.into_slot()) }
        }
        impl Evaluated for Result<$ty, Trap> {
            #[inline(always)]
            fn into_result(self) -> Result<u64, Trap> { self.map(Slot::into_slot) }
        }
    )*};
}

// Truncation to 32 bits is the meaning of reading an i32 out of its slot.
slot! {
    u32: |s| s as u32, |v| u64::from(v);
    i32: |s| s as i32, |v| u64::from(v as u32);
    u64: |s| s, |v| v;
    i64: |s| s as i64, |v| v as u64;
    f32: |s| f32::from_bits(s as u32), |v| u64::from(v.to_bits());
    f64: |s| f64::from_bits(s), |v| v.to_bits();
    bool: |s| s != 0, |v| u64::from(v);
}

macro_rules! integer_division {
    ($($ty:ty: $div:ident, $rem:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $div(a: $ty, b: $ty) -> Result<$ty, Trap> {
            if b == 0 {
                return Err(Trap::IntegerDivideByZero);
            }
            a.checked_div(b).ok_or(Trap::IntegerOverflow)
        }
        // The remainder of the overflowing division is 0, not a trap.
        #[inline(always)]
        pub(crate) fn $rem(a: $ty, b: $ty) -> Result<$ty, Trap> {
            if b == 0 {
                return Err(Trap::IntegerDivideByZero);
            }
            Ok(a.wrapping_rem(b))
        }
    )*};
}

integer_division! {
    i32: i32_div_s, i32_rem_s;
    u32: i32_div_u, i32_rem_u;
    i64: i64_div_s, i64_rem_s;
    u64: i64_div_u, i64_rem_u;
}

macro_rules! float_operators {
    ($ty:ident, $bits:ident: $quiet:ident, $min:ident, $max:ident, $ceil:ident, $floor:ident, $trunc:ident, $nearest:ident, $mask:literal) => {
        /// A NaN operand becomes its quiet form; other values pass through `f`, which never sees a NaN.
        #[inline(always)]
        fn $quiet(a: $ty, f: impl Fn($ty) -> $ty) -> $ty {
            if a.is_nan() {
                $ty::from_bits(a.to_bits() | $mask)
            } else {
                f(a)
            }
        }
        #[inline(always)]
        pub(crate) fn $min(a: $ty, b: $ty) -> $ty {
            if a.is_nan() || b.is_nan() {
                $ty::from_bits((a + b).to_bits() | $mask)
            } else if a == b {
                // Equal values differ at most in the sign of zero: the minimum takes it.
                $ty::from_bits(a.to_bits() | b.to_bits())
            } else if a < b {
                a
            } else {
                b
            }
        }
        #[inline(always)]
        pub(crate) fn $max(a: $ty, b: $ty) -> $ty {
            if a.is_nan() || b.is_nan() {
                $ty::from_bits((a + b).to_bits() | $mask)
            } else if a == b {
                $ty::from_bits(a.to_bits() & b.to_bits())
            } else if a > b {
                a
            } else {
                b
            }
        }
        #[inline(always)]
        pub(crate) fn $ceil(a: $ty) -> $ty {
            $quiet(a, $ty::ceil)
        }
        #[inline(always)]
        pub(crate) fn $floor(a: $ty) -> $ty {
            $quiet(a, $ty::floor)
        }
        #[inline(always)]
        pub(crate) fn $trunc(a: $ty) -> $ty {
            $quiet(a, $ty::trunc)
        }
        #[inline(always)]
        pub(crate) fn $nearest(a: $ty) -> $ty {
            $quiet(a, $ty::round_ties_even)
        }
    };
}

float_operators!(f32, u32: f32_quiet, f32_min, f32_max, f32_ceil, f32_floor, f32_trunc, f32_nearest, 0x0040_0000);
float_operators!(f64, u64: f64_quiet, f64_min, f64_max, f64_ceil, f64_floor, f64_trunc, f64_nearest, 0x0008_0000_0000_0000);

macro_rules! truncations {
    ($($name:ident: $float:ident => $int:ident, $low:literal < x < $high:literal;)*) => {$(
        /// Truncates towards zero; traps on NaN and on what does not fit. Both bounds are exclusive and exact.
        #[inline(always)]
        pub(crate) fn $name(a: $float) -> Result<$int, Trap> {
            if a.is_nan() {
                Err(Trap::InvalidConversionToInteger)
            } else if a > $low && a < $high {
                Ok(a as $int)
            } else {
                Err(Trap::IntegerOverflow)
            }
        }
    )*};
}

// Where the largest value below the least integer is not a float of that width, the bound is the next one below,
// which is exclusive all the same: -2^31 itself has to pass.
truncations! {
    i32_trunc_f32_s: f32 => i32, -2147483904.0 < x < 2147483648.0;
    i32_trunc_f32_u: f32 => u32, -1.0 < x < 4294967296.0;
    i32_trunc_f64_s: f64 => i32, -2147483649.0 < x < 2147483648.0;
    i32_trunc_f64_u: f64 => u32, -1.0 < x < 4294967296.0;
    i64_trunc_f32_s: f32 => i64, -9223373136366403584.0 < x < 9223372036854775808.0;
    i64_trunc_f32_u: f32 => u64, -1.0 < x < 18446744073709551616.0;
    i64_trunc_f64_s: f64 => i64, -9223372036854777856.0 < x < 9223372036854775808.0;
    i64_trunc_f64_u: f64 => u64, -1.0 < x < 18446744073709551616.0;
}
