//! From a seed to a module and its arguments.

use crate::sides::Observed;
use arbitrary::Unstructured;
use luge_core::ValType;
use wasm_smith::{Config, Module};

/// Loop turns, calls and bulk bytes that an instance may use up before every further call traps. Below the call depth that
/// both engines allow, so that recursion ends by this and not by the stack.
const FUEL: u32 = 1_000;

/// One module.
pub(crate) struct Case {
    seed: u64,
    pub(crate) wasm: Vec<u8>,
}

impl Case {
    /// The module of a seed: the same for ever, as long as wasm-smith's version stays.
    pub(crate) fn generate(seed: u64) -> Case {
        let mut random = Random::new(seed);
        // Small and large modules alike: 4 to 128 KiB of choices.
        let length = 1 << (12 + random.below(6));
        // Random code traps early; two of three modules are guarded against it, so that they compute something.
        let guarded = random.below(3) > 0;
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.next().to_le_bytes())
            .take(length / 8)
            .flatten()
            .collect();
        let mut module =
            Module::new(config(guarded), &mut Unstructured::new(&bytes)).expect("any bytes make a module");
        module.ensure_termination(FUEL).expect("all code was generated");
        Case {
            seed,
            wasm: module.to_bytes(),
        }
    }

    /// The choices of one round over this module.
    pub(crate) fn random(&self, round: u64) -> Random {
        Random::new(self.seed ^ (round + 1).wrapping_mul(0xd134_2543_de82_ef95))
    }
}

/// WebAssembly 2.0, longer constants, tail calls, several memories and 64-bit ones; and small state that can be compared whole.
fn config(guarded: bool) -> Config {
    Config {
        disallow_traps: guarded,
        max_imports: 0,
        export_everything: true,
        max_memory32_bytes: 2 << 16,
        max_memory64_bytes: 2 << 16,
        memory_max_size_required: true,
        max_memories: 3,
        max_tables: 4,
        max_table_elements: 1_000,
        table_max_size_required: true,
        min_types: 5,
        min_funcs: 5,
        max_funcs: 20,
        max_instructions: 400,
        canonicalize_nans: true,
        bulk_memory_enabled: true,
        multi_value_enabled: true,
        reference_types_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        compact_imports_enabled: false,
        exceptions_enabled: false,
        extended_const_enabled: true,
        gc_enabled: false,
        memory64_enabled: true,
        relaxed_simd_enabled: false,
        simd_enabled: true,
        tail_call_enabled: true,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        max_tags: 0,
        ..Config::default()
    }
}

/// SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub(crate) struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// Arguments for parameters of these types: edge values half of the time. References to functions are null.
    pub(crate) fn arguments(&mut self, types: &[ValType]) -> Vec<Observed> {
        types.iter().map(|ty| self.argument(*ty)).collect()
    }

    fn argument(&mut self, ty: ValType) -> Observed {
        const EDGES: [u64; 8] = [
            0,
            1,
            u64::MAX,
            0x7fff_ffff,
            0x8000_0000,
            i64::MAX as u64,
            i64::MIN as u64,
            0xffff_ffff,
        ];
        const FLOATS: [f64; 8] = [
            0.0,
            -0.0,
            1.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            2147483648.0,
            -1e300,
        ];
        let edge = self.below(2) == 0;
        let index = self.below(8) as usize;
        let bits = if edge { EDGES[index] } else { self.next() };
        match ty {
            ValType::I32 => Observed::I32(bits as u32),
            ValType::I64 => Observed::I64(bits),
            ValType::F32 if edge => Observed::F32((FLOATS[index] as f32).to_bits()),
            ValType::F32 => Observed::F32(bits as u32),
            ValType::F64 if edge => Observed::F64(FLOATS[index].to_bits()),
            ValType::F64 => Observed::F64(bits),
            ValType::V128 => Observed::V128(u128::from(bits) << 64 | u128::from(self.next())),
            ValType::FuncRef => Observed::FuncRef { null: true },
            ValType::ExternRef => Observed::ExternRef((!edge).then_some(index as u32)),
            other => unreachable!("the generator makes no {other}"),
        }
    }
}
