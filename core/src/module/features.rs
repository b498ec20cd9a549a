//! Which features of WebAssembly a module uses: for people who are told that one of them is missing.
//!
//! A feature is used if the module is valid with all features on and invalid with that one off. This asks the
//! validator alone and so cannot fall behind it. It validates the module once per feature: a tool's work, not a
//! server's.

use crate::error::ModuleError;
use wasmparser::{Validator, WasmFeatures};

/// The features, by the names that their proposals have, oldest first.
const FEATURES: &[(&str, WasmFeatures)] = &[
    ("mutable-global", WasmFeatures::MUTABLE_GLOBAL),
    ("saturating-float-to-int", WasmFeatures::SATURATING_FLOAT_TO_INT),
    ("sign-extension", WasmFeatures::SIGN_EXTENSION),
    ("multi-value", WasmFeatures::MULTI_VALUE),
    ("bulk-memory", WasmFeatures::BULK_MEMORY),
    ("reference-types", WasmFeatures::REFERENCE_TYPES),
    ("simd", WasmFeatures::SIMD),
    ("relaxed-simd", WasmFeatures::RELAXED_SIMD),
    ("extended-const", WasmFeatures::EXTENDED_CONST),
    ("tail-call", WasmFeatures::TAIL_CALL),
    ("multi-memory", WasmFeatures::MULTI_MEMORY),
    ("memory64", WasmFeatures::MEMORY64),
    ("exceptions", WasmFeatures::EXCEPTIONS),
    ("legacy-exceptions", WasmFeatures::LEGACY_EXCEPTIONS),
    ("threads", WasmFeatures::THREADS),
    ("function-references", WasmFeatures::FUNCTION_REFERENCES),
    ("gc", WasmFeatures::GC),
    ("wide-arithmetic", WasmFeatures::WIDE_ARITHMETIC),
    ("custom-page-sizes", WasmFeatures::CUSTOM_PAGE_SIZES),
];

/// Names of the features that a module uses, among those that WebAssembly 1.0 (2017) lacks.
///
/// # Errors
/// [`ModuleError::Invalid`] where the bytes are no valid module even with all features.
pub fn features_used(wasm: &[u8]) -> Result<Vec<&'static str>, ModuleError> {
    let all = FEATURES
        .iter()
        .fold(WasmFeatures::MVP, |all, &(_, feature)| all | feature);
    let valid = |features| Validator::new_with_features(features).validate_all(wasm);
    valid(all).map_err(ModuleError::invalid)?;
    let used = FEATURES
        .iter()
        .filter(|&&(_, feature)| valid(all.difference(feature)).is_err());
    Ok(used.map(|&(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(text: &str) -> Vec<&'static str> {
        features_used(&wat::parse_str(text).expect("wat")).expect("a valid module")
    }

    #[test]
    fn a_plain_module_uses_none() {
        assert!(used("(module (func (param i32)) (memory 1))").is_empty());
    }

    #[test]
    fn each_feature_is_named() {
        assert_eq!(
            used("(module (func (drop (i32.extend8_s (i32.const 1)))))"),
            ["sign-extension"]
        );
        assert_eq!(
            used("(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))"),
            ["bulk-memory"]
        );
        assert_eq!(
            used("(module (func (result v128) (v128.const i32x4 0 0 0 0)))"),
            ["simd"]
        );
        assert_eq!(used("(module (memory i64 1))"), ["memory64"]);
    }

    #[test]
    fn what_no_feature_makes_valid_is_an_error() {
        let wasm = wat::parse_str("(module (func (result i32)))").expect("wat");
        assert!(matches!(features_used(&wasm), Err(ModuleError::Invalid { .. })));
    }
}
