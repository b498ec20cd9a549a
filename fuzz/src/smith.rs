//! Modules by wasm-smith: any valid module, most of which trap soon or compute little.

use crate::Case;
use crate::random::Random;
use crate::sides::Uses;
use crate::structured::Features;
use arbitrary::Unstructured;
use wasm_smith::{Config, Module};

/// Loop turns, calls and bulk bytes that an instance may use up before every further call traps. Below the call depth that
/// all engines allow, so that recursion ends by this and not by the stack.
const FUEL: u32 = 1_000;

/// The module of a seed: the same for ever, as long as wasm-smith's version stays.
#[must_use]
pub fn case(seed: u64, features: Features) -> Case {
    let mut random = Random::new(seed);
    // Small and large modules alike: 4 to 64 KiB of choices.
    let length = 1 << (12 + random.below(5));
    let config = config(&mut random, features);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.bits().to_le_bytes())
        .take(length / 8)
        .flatten()
        .collect();
    let uses = Uses {
        exceptions: config.exceptions_enabled,
        relaxed: config.relaxed_simd_enabled,
    };
    let mut module = Module::new(config, &mut Unstructured::new(&bytes)).expect("any bytes make a module");
    module.ensure_termination(FUEL).expect("all code was generated");
    Case {
        wasm: module.to_bytes(),
        uses,
        exact_nans: true,
    }
}

/// What this engine has, and small state that can be compared whole. Random code traps early: most modules are guarded against
/// it, so that they compute something.
fn config(random: &mut Random, features: Features) -> Config {
    let simd_enabled = features.vectors && random.chance(50);
    Config {
        disallow_traps: random.chance(70),
        max_imports: 0,
        export_everything: true,
        max_memory32_bytes: 2 << 16,
        max_memory64_bytes: 2 << 16,
        memory_max_size_required: true,
        max_memories: if features.memories { 3 } else { 1 },
        min_memories: 1,
        max_tables: 4,
        max_table_elements: 1_000,
        table_max_size_required: true,
        min_types: 5,
        max_types: 5 + random.below(20),
        min_funcs: 3,
        max_funcs: 5 + random.below(15),
        min_globals: random.below(5),
        max_instructions: *random.pick(&[50, 200, 400, 1000]),
        max_data_segments: 10,
        max_element_segments: 10,
        canonicalize_nans: true,
        bulk_memory_enabled: random.chance(90),
        multi_value_enabled: random.chance(80),
        reference_types_enabled: random.chance(60),
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        simd_enabled,
        tail_call_enabled: features.tail_calls && random.chance(50),
        extended_const_enabled: true,
        compact_imports_enabled: false,
        exceptions_enabled: features.exceptions && random.chance(20),
        gc_enabled: false,
        memory64_enabled: features.memories && random.chance(30),
        relaxed_simd_enabled: features.relaxed && simd_enabled && random.chance(15),
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        max_tags: 5,
        ..Config::default()
    }
}
