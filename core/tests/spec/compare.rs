//! Arguments that scripts give, and the patterns that results must match.

use luge_core::{ValType, Value};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

/// The value of an argument.
pub(crate) fn argument(arg: &WastArg<'_>) -> Result<Value, String> {
    let WastArg::Core(arg) = arg else {
        return Err(format!("{arg:?} is not a core argument"));
    };
    Ok(match arg {
        WastArgCore::I32(value) => Value::I32(*value),
        WastArgCore::I64(value) => Value::I64(*value),
        WastArgCore::F32(value) => Value::F32(value.bits),
        WastArgCore::F64(value) => Value::F64(value.bits),
        WastArgCore::V128(value) => Value::V128(u128::from_le_bytes(value.to_le_bytes())),
        WastArgCore::RefExtern(number) => Value::ExternRef(Some(*number)),
        WastArgCore::RefNull(heap) => Value::default_of(reference(heap)?),
        other => return Err(format!("no argument of the covered levels: {other:?}")),
    })
}

/// Compares results with their patterns.
pub(crate) fn results(found: &[Value], patterns: &[WastRet<'_>]) -> Result<(), String> {
    if found.len() != patterns.len() {
        return Err(format!(
            "{} results, expected {}: {found:?}",
            found.len(),
            patterns.len()
        ));
    }
    for (index, (found, pattern)) in found.iter().zip(patterns).enumerate() {
        let WastRet::Core(pattern) = pattern else {
            return Err(format!("{pattern:?} is not a core result"));
        };
        if !matches(*found, pattern)? {
            return Err(format!(
                "result {index} is {}, expected {pattern:?}",
                shown(*found)
            ));
        }
    }
    Ok(())
}

fn matches(found: Value, pattern: &WastRetCore<'_>) -> Result<bool, String> {
    Ok(match (found, pattern) {
        (found, WastRetCore::Either(cases)) => {
            for case in cases {
                if matches(found, case)? {
                    return Ok(true);
                }
            }
            false
        }
        (Value::I32(found), WastRetCore::I32(expected)) => found == *expected,
        (Value::I64(found), WastRetCore::I64(expected)) => found == *expected,
        (Value::F32(found), WastRetCore::F32(pattern)) => f32_matches(found, pattern),
        (Value::F64(found), WastRetCore::F64(pattern)) => f64_matches(found, pattern),
        (Value::FuncRef(None) | Value::ExternRef(None) | Value::ExnRef(None), WastRetCore::RefNull(heap)) => {
            match heap {
                Some(heap) => found.ty() == reference(heap)?,
                None => true,
            }
        }
        (Value::ExternRef(Some(_)), WastRetCore::RefExtern(None)) => true,
        (Value::ExternRef(Some(found)), WastRetCore::RefExtern(Some(expected))) => found == *expected,
        (Value::FuncRef(Some(_)), WastRetCore::RefFunc(None)) => true,
        (Value::V128(found), WastRetCore::V128(pattern)) => v128_matches(found, pattern),
        (_, WastRetCore::RefFunc(Some(_))) => {
            return Err(format!("no result of the covered levels: {pattern:?}"));
        }
        _ => false,
    })
}

/// A canonical NaN has only the top bit of its payload set, with any sign; an arithmetic one has at least that bit
/// (WebAssembly core specification 2.0, section 2.2.3).
fn f32_matches(found: u32, pattern: &NanPattern<F32>) -> bool {
    match pattern {
        NanPattern::CanonicalNan => found & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => found & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(expected) => found == expected.bits,
    }
}

fn f64_matches(found: u64, pattern: &NanPattern<F64>) -> bool {
    match pattern {
        NanPattern::CanonicalNan => found & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => found & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(expected) => found == expected.bits,
    }
}

/// Lane by lane; those of floats have patterns of their own.
fn v128_matches(found: u128, pattern: &V128Pattern) -> bool {
    fn lanes<'p, P>(found: u128, patterns: &'p [P], matches: impl Fn(u64, &'p P) -> bool) -> bool {
        let bits = 128 / patterns.len();
        let lane = |i: usize| (found >> (i * bits)) as u64 & (u64::MAX >> (64 - bits));
        patterns
            .iter()
            .enumerate()
            .all(|(i, pattern)| matches(lane(i), pattern))
    }
    match pattern {
        V128Pattern::I8x16(p) => lanes(found, p, |lane, p| lane as u8 == p.cast_unsigned()),
        V128Pattern::I16x8(p) => lanes(found, p, |lane, p| lane as u16 == p.cast_unsigned()),
        V128Pattern::I32x4(p) => lanes(found, p, |lane, p| lane as u32 == p.cast_unsigned()),
        V128Pattern::I64x2(p) => lanes(found, p, |lane, p| lane == p.cast_unsigned()),
        V128Pattern::F32x4(p) => lanes(found, p, |lane, p| f32_matches(lane as u32, p)),
        V128Pattern::F64x2(p) => lanes(found, p, f64_matches),
    }
}

fn reference(heap: &HeapType<'_>) -> Result<ValType, String> {
    match heap {
        HeapType::Abstract {
            shared: false,
            ty: AbstractHeapType::Func,
        } => Ok(ValType::FuncRef),
        HeapType::Abstract {
            shared: false,
            ty: AbstractHeapType::Extern,
        } => Ok(ValType::ExternRef),
        HeapType::Abstract {
            shared: false,
            ty: AbstractHeapType::Exn,
        } => Ok(ValType::ExnRef),
        other => Err(format!("no reference type of the covered levels: {other:?}")),
    }
}

/// A value for a message: floats both as bits and as numbers.
fn shown(value: Value) -> String {
    match value {
        Value::F32(bits) => format!("F32({bits:#010x}, {})", f32::from_bits(bits)),
        Value::F64(bits) => format!("F64({bits:#018x}, {})", f64::from_bits(bits)),
        Value::V128(bits) => format!("V128({bits:#034x})"),
        other => format!("{other:?}"),
    }
}
