//! Every operator's machine code against its meaning in Rust.
//!
//! Each operator is compiled in many forms (operands in registers, in the frame, constant; the result in an operand's
//! local, in a branch) for the least and for this processor, and called with edge values and random ones; `eval` says what has to come out.
//! Where the standard leaves a NaN's bits open, any NaN that it allows will do.

#[path = "emit/accesses.rs"]
mod accesses;
#[path = "emit/forms.rs"]
mod forms;
#[path = "emit/operators.rs"]
mod operators;

use forms::{Form, Forms, From, Gives};
use luge_core::compiler::BoundsStrategy;
use luge_core::{
    Engine, EngineConfig, Instance, Limits, Linker, Module, ModuleError, RunError, Store, Trap, ValType,
    Value,
};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use operators::Operator;
use std::sync::Arc;

/// Random inputs per form.
const RANDOM: usize = 12;

fn engine(cpu: CpuFeatures, bounds: BoundsStrategy) -> Engine {
    Engine::new(EngineConfig {
        compiler: Some(Arc::new(Baseline::new(BaselineOptions {
            bounds,
            fuel: false,
            positions: false,
            cpu,
        }))),
        ..EngineConfig::default()
    })
}

/// What is interesting of a type; the first few more than the rest.
#[expect(clippy::too_many_lines, reason = "lists of edge values, one for each type")]
fn edges(ty: ValType) -> Vec<u128> {
    let words = |all: &[u64]| all.iter().map(|&word| u128::from(word)).collect();
    match ty {
        ValType::I32 => words(&[
            0,
            1,
            2,
            0xffff_ffff,
            0x8000_0000,
            0x7fff_ffff,
            31,
            32,
            8,
            0x80,
            0xffff,
            0x8000,
            7,
            0xffff_fffe,
            100,
        ]),
        ValType::I64 => words(&[
            0,
            1,
            2,
            u64::MAX,
            1 << 63,
            (1 << 63) - 1,
            63,
            64,
            0x8000_0000,
            0xffff_ffff,
            0x7fff_ffff,
            0x80,
            1 << 32,
            u64::MAX - 1,
            0xffff_ffff_8000_0000,
            10,
        ]),
        ValType::F32 => {
            let all = [
                0.0_f32,
                -0.0,
                1.0,
                -1.0,
                0.5,
                -0.5,
                1.5,
                2.5,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::MAX,
                1e-40,
                2147483648.0,
                -2147483648.0,
                4294967296.0,
                9.223_372e18,
                -9.223_372e18,
                1.844_674_4e19,
                8388609.0,
                2147483520.0,
            ];
            let nans = [0x7fc0_0000, 0xffc0_0000, 0x7fa0_0000, 0x7fc0_1234];
            all.iter()
                .map(|x| x.to_bits())
                .chain(nans)
                .map(u128::from)
                .collect()
        }
        ValType::F64 => {
            let all = [
                0.0_f64,
                -0.0,
                1.0,
                -1.0,
                0.5,
                -0.5,
                1.5,
                2.5,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::MAX,
                1e-310,
                2147483647.0,
                2147483648.0,
                -2147483648.0,
                -2147483648.9,
                -2147483649.0,
                4294967295.9,
                4294967296.0,
                9.223_372_036_854_776e18,
                -9.223_372_036_854_776e18,
                1.844_674_407_370_955_2e19,
                4503599627370497.5,
                1.844_674_407_370_955e19,
            ];
            let nans = [0x7ff8 << 48, 0xfff8 << 48, 0x7ff4 << 48, 0x7ff8_0000_0000_1234];
            all.iter()
                .map(|x| x.to_bits())
                .chain(nans)
                .map(u128::from)
                .collect()
        }
        _ => vector_edges(),
    }
}

fn vector_edges() -> Vec<u128> {
    let floats32 = |all: [u32; 4]| {
        all.iter()
            .rev()
            .fold(0, |bits, &lane| bits << 32 | u128::from(lane))
    };
    let pair = |low: f64, high: f64| u128::from(high.to_bits()) << 64 | u128::from(low.to_bits());
    vec![
        0,
        u128::MAX,
        0x7f80_7f80_0180_ff01_7fff_8000_0001_ffff,
        0x7fff_ffff_8000_0000_ffff_8001_8000_7fff,
        0x8000_0000_0000_0000_7fff_ffff_ffff_ffff,
        0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100,
        floats32([0x3f80_0000, 0x7fc0_0000, 0x8000_0000, 0x4f00_0000]),
        floats32([0, 0xff80_0000, 0x3fc0_0000, 0xcf00_0001]),
        pair(-0.0, f64::NAN),
        pair(2.5, -2147483649.5),
    ]
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn value(&mut self, ty: ValType) -> u128 {
        let (low, high) = (self.next(), self.next());
        match ty {
            ValType::I32 | ValType::F32 => u128::from(low as u32),
            ValType::V128 => u128::from(high) << 64 | u128::from(low),
            // Floats of moderate size, half of the time.
            ValType::F64 if high & 1 == 0 => u128::from(((low as i32) as f64 / 256.0).to_bits()),
            _ => u128::from(low),
        }
    }
}

fn value(ty: ValType, bits: u128) -> Value {
    match ty {
        ValType::I32 => Value::I32(bits as i32),
        ValType::I64 => Value::I64(bits as i64),
        ValType::F32 => Value::F32(bits as u32),
        ValType::F64 => Value::F64(bits as u64),
        _ => Value::V128(bits),
    }
}

fn bits(value: Value) -> u128 {
    match value {
        Value::I32(value) => u128::from(value as u32),
        Value::I64(value) => u128::from(value as u64),
        Value::F32(bits) => u128::from(bits),
        Value::F64(bits) => u128::from(bits),
        Value::V128(bits) => bits,
        other => unreachable!("no operator here gives {other:?}"),
    }
}

/// Lanes of floats in a value of an operator: their width in bits, and how many.
fn float_lanes(text: &str, ty: ValType) -> Option<(u32, u32)> {
    match ty {
        ValType::F32 => Some((32, 1)),
        ValType::F64 => Some((64, 1)),
        ValType::V128 if text.starts_with("f32x4") => Some((32, 4)),
        ValType::V128 if text.starts_with("f64x2") => Some((64, 2)),
        _ => None,
    }
}

/// Whether the standard allows `got` where `eval` gave `wanted`: the same bits, or another NaN with its quiet bit set.
fn allowed(op: &Operator, wanted: u128, got: u128) -> bool {
    let Some((width, count)) = float_lanes(&op.text, op.result) else {
        return wanted == got;
    };
    let lane = |value: u128, index: u32| (value >> (index * width)) as u64 & (u64::MAX >> (64 - width));
    (0..count).all(|index| {
        let (wanted, got) = (lane(wanted, index), lane(got, index));
        let quiet: u64 = if width == 32 { 0x7fc0_0000 } else { 0x7ff8 << 48 };
        wanted == got
            || (operators::nans_are_open(&op.text) && wanted & quiet == quiet && got & quiet == quiet)
    })
}

struct Tested<'o> {
    op: &'o Operator,
    store: Store<()>,
    instance: Instance,
    wat: String,
}

impl Tested<'_> {
    /// Calls a form with its arguments, and compares.
    fn call(&mut self, form: &Form, arguments: &[u128]) {
        let operands: Vec<u128> = form
            .operands
            .iter()
            .map(|from| match from {
                From::Param(index) => arguments[*index],
                From::Const(bits) => *bits,
            })
            .collect();
        let values: Vec<Value> = form
            .params
            .iter()
            .zip(arguments)
            .map(|(&ty, &bits)| value(ty, bits))
            .collect();
        let func = self.instance.func(&self.store, &form.name).expect("an export");
        let got = func.call(&mut self.store, &values);
        let wanted = (self.op.eval)(&operands);
        let as_wanted = match (&got, wanted) {
            (Ok(results), Ok(wanted)) => {
                results
                    .iter()
                    .zip(&form.gives)
                    .all(|(&result, gives)| match gives {
                        Gives::Result => allowed(self.op, wanted, bits(result)),
                        Gives::Zero => bits(result) == u128::from(wanted == 0),
                        Gives::Param(index) => bits(result) == arguments[*index],
                    })
            }
            (Err(RunError::Trap(report)), Err(trap)) => report.trap == trap,
            _ => false,
        };
        assert!(
            as_wanted,
            "{} {}: operands {operands:#x?}, arguments {arguments:#x?}\nwanted {wanted:#x?}\ngot {got:#x?}\n{}",
            self.op.text,
            form.name,
            self.wat
                .lines()
                .find(|line| line.contains(&format!("\"{}\"", form.name)))
                .unwrap_or_default()
        );
    }

    fn form(&mut self, form: &Form, random: &mut Random) {
        let pressed = form.params.len() > self.op.params.len();
        let lists: Vec<Vec<u128>> = form
            .params
            .iter()
            .enumerate()
            .map(|(index, &ty)| {
                let used = form
                    .operands
                    .iter()
                    .any(|from| matches!(from, From::Param(other) if *other == index));
                let mut all = edges(ty);
                match (used, pressed || form.params.len() == 3) {
                    (false, _) => vec![random.value(ty)],
                    (true, true) => {
                        all.truncate(5);
                        all
                    }
                    (true, false) => all,
                }
            })
            .collect();
        let total: usize = lists.iter().map(Vec::len).product();
        for mut number in 0..total {
            let arguments: Vec<u128> = lists
                .iter()
                .map(|list| {
                    let pick = list[number % list.len()];
                    number /= list.len();
                    pick
                })
                .collect();
            self.call(form, &arguments);
        }
        for _ in 0..RANDOM {
            let arguments: Vec<u128> = form.params.iter().map(|&ty| random.value(ty)).collect();
            self.call(form, &arguments);
        }
    }
}

fn test_operator(engine: &Engine, fma: bool, op: &Operator, random: &mut Random) -> Result<(), String> {
    let Forms { wat, forms } = Forms::of(op, edges);
    let wasm = wat::parse_str(&wat).map_err(|error| format!("{}: {error}", op.text))?;
    let module = match Module::new(engine, &wasm) {
        // What no instruction of an older processor does exactly is left to the interpreter, by name.
        Err(ModuleError::Unsupported { .. }) if op.text.contains("madd") && !fma => return Ok(()),
        other => other.map_err(|error| format!("{}: {error}", op.text))?,
    };
    let mut store = Store::new(engine, &Limits::default(), ());
    let instance = Linker::new(engine)
        .instantiate(&mut store, &module)
        .map_err(|error| error.to_string())?;
    let mut tested = Tested {
        op,
        store,
        instance,
        wat,
    };
    for form in &forms {
        tested.form(form, random);
    }
    Ok(())
}

/// Tests one part of the operators under both processors.
fn test_all(choose: impl Fn(&Operator) -> bool) {
    let seed = std::env::var("LUGE_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    println!("again: LUGE_SEED={seed}");
    let host = CpuFeatures::detect().expect("a processor that machine code is made for");
    let mut failures = Vec::new();
    for cpu in [CpuFeatures::BASELINE, host] {
        let engine = engine(cpu, BoundsStrategy::Guard);
        let mut random = Random(seed);
        for op in operators::all().iter().filter(|op| choose(op)) {
            let test = || test_operator(&engine, cpu.fma, op, &mut random);
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)) {
                Ok(Ok(())) => {}
                Ok(Err(message)) => failures.push(message),
                Err(_) => failures.push(format!("{} (with AVX: {})", op.text, cpu.avx)),
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

fn is_vector(op: &Operator) -> bool {
    op.result == ValType::V128 || op.params.contains(&ValType::V128)
}

#[test]
fn integers() {
    let integer = |ty: &ValType| matches!(ty, ValType::I32 | ValType::I64);
    test_all(|op| op.params.iter().all(integer) && integer(&op.result));
}

#[test]
fn floats() {
    let float = |ty: &ValType| matches!(ty, ValType::F32 | ValType::F64);
    test_all(|op| !is_vector(op) && (op.params.iter().any(float) || float(&op.result)));
}

#[test]
fn vectors() {
    test_all(|op| is_vector(op) && !op.text.starts_with('f'));
}

#[test]
fn vectors_of_floats() {
    test_all(|op| is_vector(op) && op.text.starts_with('f'));
}

#[test]
fn no_operator_is_left_out() {
    let all = operators::all();
    assert!(all.len() > 400, "{}", all.len());
    let division = all.iter().find(|op| op.text == "i32.div_s").expect("division");
    assert_eq!((division.eval)(&[1, 0]), Err(Trap::IntegerDivideByZero));
}
