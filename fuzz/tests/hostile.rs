//! Modules made to be slow to compile, or to become much code: code is counted in bytes, which no busy machine changes.
//!
//! Time is not measured here: the sizes are such that work which grows with their square would be noticed by who runs the
//! tests. The program `hostile` measures it.

use luge_core::compiler::{BoundsStrategy, CodeArtifact, compile};
use luge_core::{Engine, Module, ModuleError, WasmLevel};
use luge_fuzz::hostile;
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};

fn translate(wasm: &[u8]) -> Result<CodeArtifact, ModuleError> {
    let options = BaselineOptions {
        bounds: BoundsStrategy::Guard,
        fuel: true,
        positions: false,
        cpu: CpuFeatures::BASELINE,
    };
    compile(WasmLevel::default(), &Baseline::new(options), wasm)
}

#[test]
fn code_grows_as_the_module_does() {
    for shape in hostile::shapes() {
        let code = |size: usize| {
            let wasm = shape.module(size);
            translate(&wasm)
                .unwrap_or_else(|error| panic!("{shape:?}: {error}"))
                .text
                .len()
        };
        let (code, more_code) = (code(shape.size), code(4 * shape.size));
        assert!(
            more_code <= 5 * code,
            "{shape:?}: {more_code} bytes of code where a quarter was {code}"
        );
    }
}

#[test]
fn the_interpreter_takes_them() {
    for shape in hostile::shapes() {
        let taken = Module::new(&Engine::default(), &shape.module(4 * shape.size));
        assert!(taken.is_ok(), "{shape:?}: {taken:?}");
    }
}

#[test]
fn a_thousand_values_again_and_again() {
    for branches in [false, true] {
        match translate(&hostile::thousand_values_each(20_000, branches)) {
            Err(ModuleError::TooLarge { have, limit, .. }) => {
                assert!(have > limit && have < limit + (1 << 20), "{have} of {limit}");
            }
            other => panic!("{:?}", other.map(|artifact| artifact.text.len())),
        }
    }
}

/// A function of ten bytes may have fifty thousand locals, but not a million such functions.
#[test]
fn locals_of_all_functions_are_bounded() {
    for (count, fits) in [(300, true), (400, false)] {
        match translate(&hostile::functions_with_many_locals(count)) {
            Ok(_) => assert!(fits, "{count}"),
            Err(ModuleError::TooLarge { have, limit, .. }) => assert!(!fits && have > limit, "{count}"),
            Err(other) => panic!("{count}: {other}"),
        }
    }
}
