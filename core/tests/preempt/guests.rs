//! Guests that notice when anything of theirs is lost: checksums over every register, the stack, memory, tables and globals.

use luge_core::compiler::BoundsStrategy;
use luge_core::{
    Caller, Engine, EngineConfig, Execution, Func, FuncType, HostError, Limits, Linker, Module, RunError,
    Store, ValType, Value,
};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

/// What makes the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    Interpreter,
    Baseline { bounds: BoundsStrategy, polls: bool },
}

impl Tier {
    pub(crate) const GUARD: Self = Self::Baseline {
        bounds: BoundsStrategy::Guard,
        polls: false,
    };
    pub(crate) const SOFTWARE: Self = Self::Baseline {
        bounds: BoundsStrategy::Software,
        polls: false,
    };
    pub(crate) const POLLS: Self = Self::Baseline {
        bounds: BoundsStrategy::Guard,
        polls: true,
    };

    pub(crate) fn engine(self) -> Engine {
        let Self::Baseline { bounds, polls } = self else {
            return Engine::default();
        };
        let options = BaselineOptions {
            bounds,
            fuel: polls,
            positions: false,
            cpu: CpuFeatures::detect().unwrap_or(CpuFeatures::BASELINE),
        };
        Engine::new(EngineConfig {
            compiler: Some(Arc::new(Baseline::new(options))),
            ..EngineConfig::default()
        })
    }
}

/// Counts calls of the host, of which every seventh waits first.
#[derive(Debug, Default)]
pub(crate) struct Host {
    calls: u64,
    waited: bool,
}

/// The host's side of all guests: `mix` is a function of its argument alone, and sometimes waits.
pub(crate) fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    let ty = FuncType::new([ValType::I64], [ValType::I64]);
    linker.func(
        "host",
        "mix",
        ty,
        |caller: &mut Caller<'_, Host>, slots: &mut [u64]| {
            let host = caller.data_mut();
            host.waited = !host.waited && host.calls % 7 == 6;
            if host.waited {
                return Err(HostError::Block {
                    until: Instant::now(),
                });
            }
            host.calls += 1;
            slots[0] = (slots[0] ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0x2545_f491_4f6c_dd1d);
            Ok(())
        },
    );
    linker
}

/// A guest, ready to be called.
pub(crate) struct Guest {
    pub(crate) name: &'static str,
    pub(crate) store: Store<Host>,
    pub(crate) run: Func,
    pub(crate) arguments: [Value; 1],
}

impl Guest {
    /// Makes the guest of this name and modules, of which the last exports `run`; it does `work` rounds.
    pub(crate) fn new(tier: Tier, name: &'static str, modules: &[String], work: i32) -> Self {
        let engine = tier.engine();
        let mut linker = linker(&engine);
        let mut store = Store::new(&engine, &Limits::default(), Host::default());
        let mut run = None;
        for text in modules {
            let wasm = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let module = Module::new(&engine, &wasm).unwrap_or_else(|error| panic!("{name}: {error}"));
            let instance = linker.instantiate(&mut store, &module).expect("instance");
            linker.define_instance(&store, "before", instance);
            run = instance.func(&store, "run").or(run);
        }
        Self {
            name,
            store,
            run: run.expect("the last one exports it"),
            arguments: [Value::I32(work)],
        }
    }

    /// What an uninterrupted call gives; a trap by its report, with all active functions.
    pub(crate) fn call(&mut self) -> Result<Vec<Value>, String> {
        match self.run.call(&mut self.store, &self.arguments) {
            Ok(results) => Ok(results),
            Err(RunError::Trap(report)) => Err(format!("{report:?}")),
            Err(other) => panic!("{}: {other}", self.name),
        }
    }

    /// A call that is to be resumed.
    pub(crate) fn begin(&mut self) -> Execution {
        Execution::new(&mut self.store, self.run, &self.arguments).expect("arguments")
    }
}

/// All of them. An interpreter gets less to do.
pub(crate) fn all(tier: Tier) -> Vec<Guest> {
    let work = |rounds: i32| match tier {
        Tier::Interpreter => rounds / 8,
        Tier::Baseline { .. } => rounds,
    };
    let guest = |name, modules: &[String], rounds: i32| Guest::new(tier, name, modules, work(rounds).max(1));
    vec![
        guest("scalar", &[scalar()], 20_000),
        guest("vectors", &[vectors()], 20_000),
        guest("floats", &[floats()], 20_000),
        guest("calls", &[CALLS.to_owned()], 400),
        guest("engine", &[ENGINE.to_owned()], 400),
        guest("exceptions", &[EXCEPTIONS.to_owned()], 400),
        guest("tail calls", &[PING.to_owned(), PONG.to_owned()], 20_000),
        guest(
            "deep trap",
            &[trap("i64.div_u (i64.const 1) (i64.const 0)")],
            30_000,
        ),
        guest("deep fault", &[trap("i64.load (i32.const -9)")], 30_000),
        guest("no stack", &[NO_STACK.to_owned()], 1),
    ]
}

/// Sixteen integers, more than there are registers for, each changed by all operators that the flags and fixed registers are
/// needed for.
fn scalar() -> String {
    let mut body = String::new();
    for i in 0..16 {
        let (next, turn) = ((i + 1) % 16, 7 + i * 3);
        let _ = write!(
            body,
            "(local.set $v{i} (i64.xor (i64.rotl (i64.mul (local.get $v{i}) (i64.const {})) (i64.const {turn}))
               (i64.add (local.get $v{next}) (i64.extend_i32_u (local.get $n)))))",
            0x9e37_79b9_i64 * 2 + i * 16 + 1
        );
    }
    let locals: String = (0..16).map(|i| format!("(local $v{i} i64)")).collect();
    let start: String = (0..16)
        .map(|i| format!("(local.set $v{i} (i64.const {}))", i * 77 + 5))
        .collect();
    let sum: String = (0..16)
        .map(|i| {
            format!("(local.set $v0 (i64.xor (i64.rotl (local.get $v0) (i64.const 9)) (local.get $v{i})))")
        })
        .collect();
    format!(
        r#"(module (memory 1) (func (export "run") (param $n i32) (result i64) {locals} {start}
          (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536))
          (loop $again {body}
            (i64.store (i32.and (local.get $n) (i32.const 0xfff8)) (local.get $v3))
            (local.set $v5 (i64.add (local.get $v5) (i64.load (i32.and (i32.mul (local.get $n) (i32.const 40)) (i32.const 0xfff8)))))
            (local.set $v7 (select (i64.add (local.get $v7) (i64.const 3)) (local.get $v8) (i64.lt_s (local.get $v9) (local.get $v10))))
            (if (i64.lt_u (local.get $v1) (local.get $v2)) (then (local.set $v4 (i64.sub (local.get $v4) (local.get $v6)))))
            (local.set $v11 (i64.add (i64.div_u (local.get $v11) (i64.or (local.get $v12) (i64.const 1))) (local.get $v13)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
          {sum} (local.get $v0)))"#
    )
}

/// Twenty vectors of integers.
fn vectors() -> String {
    let mut body = String::new();
    for i in 0..20 {
        let (next, far) = ((i + 1) % 20, (i + 7) % 20);
        let operator = [
            "i64x2.add",
            "i32x4.mul",
            "i8x16.swizzle",
            "i16x8.add_sat_u",
            "v128.xor",
        ][i % 5];
        let _ = write!(
            body,
            "(local.set $v{i} ({operator} (v128.xor (local.get $v{i}) (local.get $v{far}))
               (i32x4.add (local.get $v{next}) (local.get $k))))"
        );
    }
    let locals: String = (0..20).map(|i| format!("(local $v{i} v128)")).collect();
    let start: String = (0..20)
        .map(|i| {
            format!(
                "(local.set $v{i} (v128.const i32x4 {} {} {} {}))",
                i + 1,
                i * 9,
                i * 31,
                i * 1001
            )
        })
        .collect();
    let sum: String = (0..20)
        .map(|i| {
            format!(
                "(local.set $v0 (i64x2.add (i32x4.mul (local.get $v0) (local.get $k)) (local.get $v{i})))"
            )
        })
        .collect();
    format!(
        r#"(module (memory 1) (func (export "run") (param $n i32) (result v128) (local $k v128) {locals} {start}
          (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536))
          (loop $again
            (local.set $k (i32x4.add (i32x4.splat (local.get $n)) (v128.const i32x4 3 5 7 9))) {body}
            (v128.store (i32.and (local.get $n) (i32.const 0xfff0)) (local.get $v3))
            (local.set $v5 (v128.xor (local.get $v5) (v128.load (i32.and (i32.mul (local.get $n) (i32.const 80)) (i32.const 0xfff0)))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
          {sum} (local.get $v0)))"#
    )
}

/// Sixteen floats that stay finite.
fn floats() -> String {
    let mut body = String::new();
    for i in 0..16 {
        let next = (i + 1) % 16;
        let _ = write!(
            body,
            "(local.set $v{i} (f64.sub (f64.mul (local.get $v{i}) (f64.const 0.{}))
               (f64.add (f64.mul (local.get $v{next}) (f64.const 0.25)) (f64.convert_i32_s (local.get $n)))))",
            500 + i * 7
        );
    }
    let locals: String = (0..16).map(|i| format!("(local $v{i} f64)")).collect();
    let sum: String = (0..16)
        .map(|i| {
            format!("(local.set $v0 (f64.add (f64.mul (local.get $v0) (f64.const 0.7)) (local.get $v{i})))")
        })
        .collect();
    format!(
        r#"(module (func (export "run") (param $n i32) (result f64) {locals}
          (loop $again {body}
            (local.set $v3 (f64.add (local.get $v3) (f64.sqrt (f64.abs (local.get $v4)))))
            (local.set $v6 (f64.max (local.get $v6) (f64.promote_f32 (f32.demote_f64 (local.get $v7)))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
          {sum} (local.get $v0)))"#
    )
}

/// Recursion, calls through a table, arguments in registers and on the stack, and a branch table.
const CALLS: &str = r#"(module
    (type $f (func (param i64) (result i64)))
    (table 4 funcref) (elem (i32.const 0) $add $turn $case $many)
    (func $add (type $f) (i64.add (i64.mul (local.get 0) (i64.const 31)) (i64.const 17)))
    (func $turn (type $f) (i64.rotl (local.get 0) (i64.const 11)))
    (func $case (type $f)
      (block $c (block $b (block $a (br_table $a $b $c $a (i32.wrap_i64 (i64.and (local.get 0) (i64.const 3)))))
        (return (i64.add (local.get 0) (i64.const 5))))
        (return (i64.xor (local.get 0) (i64.const 0x5555))))
      (i64.mul (local.get 0) (i64.const 7)))
    (func $ten (param i64 i64 i64 i64 i64 i64 i64 i64 i64 v128 v128 f64 i64) (result i64 v128)
      (i64.add (i64.rotl (i64.sub (local.get 0) (local.get 8)) (i64.const 3))
        (i64.xor (i64.add (local.get 7) (local.get 12)) (i64.reinterpret_f64 (local.get 11))))
      (i64x2.add (local.get 9) (local.get 10)))
    (func $many (type $f) (local $v v128)
      (call $ten (local.get 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6)
        (i64.rotl (local.get 0) (i64.const 5)) (i64.const 8) (i64x2.splat (local.get 0)) (v128.const i64x2 1 2)
        (f64.const 1.5) (i64.const 12))
      (local.set $v) (i64.xor (i64x2.extract_lane 1 (local.get $v))))
    (func $fib (param i32) (result i64)
      (if (result i64) (i32.lt_u (local.get 0) (i32.const 2)) (then (i64.extend_i32_u (local.get 0)))
        (else (i64.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
    (func (export "run") (param $n i32) (result i64) (local $s i64)
      (loop $again
        (local.set $s (call_indirect (type $f) (local.get $s) (i32.and (local.get $n) (i32.const 3))))
        (local.set $s (call_indirect (type $f) (local.get $s) (i32.wrap_i64 (i64.and (local.get $s) (i64.const 3)))))
        (local.set $s (i64.add (local.get $s) (call $fib (i32.and (local.get $n) (i32.const 11)))))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $s)))"#;

/// Leaves for the engine and the host, and comes back.
const ENGINE: &str = r#"(module
    (import "host" "mix" (func $mix (param i64) (result i64)))
    (type $f (func (param i64) (result i64)))
    (memory 2) (table $t 8 funcref) (elem declare func $mix $own)
    (global $g (mut i64) (i64.const 1)) (global $v (mut v128) (v128.const i64x2 1 2))
    (func $own (type $f) (i64.mul (local.get 0) (i64.const 0x10001)))
    (func (export "run") (param $n i32) (result i64) (local $s i64) (local $v v128)
      (memory.fill (i32.const 0) (i32.const 0) (i32.const 131072))
      (global.set $g (i64.const 1)) (global.set $v (v128.const i64x2 1 2))
      (loop $again
        (local.set $v (i64x2.add (local.get $v) (i64x2.splat (local.get $s))))
        (memory.fill (i32.and (local.get $n) (i32.const 0x7fff)) (i32.wrap_i64 (local.get $s)) (i32.const 300))
        (memory.copy (i32.const 70000) (i32.and (local.get $n) (i32.const 0x7ff)) (i32.const 3000))
        (local.set $s (i64.add (local.get $s) (i64.load (i32.add (i32.const 70000) (i32.and (local.get $n) (i32.const 0x3ff))))))
        (local.set $s (call $mix (local.get $s)))
        (table.set $t (i32.and (local.get $n) (i32.const 7)) (ref.func $own))
        (table.set $t (i32.and (i32.add (local.get $n) (i32.const 3)) (i32.const 7)) (ref.func $mix))
        (local.set $s (call_indirect $t (type $f) (local.get $s) (i32.and (local.get $n) (i32.const 7))))
        (local.set $s (call_indirect $t (type $f) (local.get $s) (i32.and (i32.add (local.get $n) (i32.const 3)) (i32.const 7))))
        (global.set $g (i64.add (global.get $g) (i64.xor (local.get $s) (i64.extend_i32_u (memory.size)))))
        (global.set $v (v128.xor (global.get $v) (local.get $v)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (i64.add (i64.xor (local.get $s) (global.get $g)) (i64x2.extract_lane 1 (global.get $v)))))"#;

/// Exceptions that pass frames, with and without references.
const EXCEPTIONS: &str = r#"(module
    (tag $e (param i64 v128)) (tag $other (param i32))
    (func $throws (param $x i64) (param $deep i32) (result i64)
      (if (local.get $deep) (then (return (i64.add (i64.const 1) (call $throws (local.get $x) (i32.sub (local.get $deep) (i32.const 1)))))))
      (if (i64.eqz (i64.and (local.get $x) (i64.const 3))) (then (throw $other (i32.wrap_i64 (local.get $x)))))
      (if (i64.eqz (i64.and (local.get $x) (i64.const 4))) (then (throw $e (local.get $x) (i64x2.splat (local.get $x)))))
      (i64.rotl (local.get $x) (i64.const 5)))
    (func $passes (param $x i64) (result i64) (local $r exnref) (local $keep v128)
      (local.set $keep (i64x2.splat (i64.mul (local.get $x) (i64.const 3))))
      (block $caught (result i32 exnref)
        (try_table (result i64) (catch_ref $other $caught)
          (call $throws (local.get $x) (i32.wrap_i64 (i64.and (i64.shr_u (local.get $x) (i64.const 7)) (i64.const 15)))))
        (return (i64.add (i64x2.extract_lane 0 (local.get $keep)))))
      (local.set $r)
      (if (i32.eqz (i32.and (i32.const 64))) (then (throw_ref (local.get $r))))
      (i64x2.extract_lane 1 (local.get $keep)))
    (func (export "run") (param $n i32) (result i64) (local $s i64) (local $v v128) (local $at i32)
      (loop $again
        (local.set $s (i64.add (local.get $s) (i64.mul (i64.extend_i32_u (local.get $n)) (i64.const 0x9e3779b9))))
        (block $done
          (block $o (result i32)
            (block $h (result i64 v128)
              (try_table (catch $e $h) (catch $other $o)
                (local.set $s (call $passes (local.get $s)))
                (br $done))
              (unreachable))
            (local.set $v (i64x2.add (local.get $v)))
            (local.set $s (i64.xor (i64.const 0x77)))
            (br $done))
          (local.set $at (i32.add (local.get $at)))
          (local.set $s (i64.add (local.get $s) (i64.const 1))))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (i64.add (i64.add (local.get $s) (i64x2.extract_lane 0 (local.get $v))) (i64.extend_i32_u (local.get $at)))))"#;

/// Two instances that call each other in the place of a return.
const PING: &str = r#"(module
    (type $f (func (param i32 i64 f64) (result i64 f64)))
    (table (export "t") 2 funcref) (elem (i32.const 0) $ping)
    (memory 1) (global $g (mut i64) (i64.const 0))
    (func $ping (export "ping") (type $f)
      (if (i32.eqz (local.get 0)) (then (return (local.get 1) (local.get 2))))
      (i64.store (i32.const 8) (local.get 1))
      (return_call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1))
        (i64.add (i64.mul (i64.load (i32.const 8)) (i64.const 31)) (i64.extend_i32_u (local.get 0)))
        (f64.add (local.get 2) (f64.const 0.5)) (i32.and (local.get 0) (i32.const 1)))))"#;
const PONG: &str = r#"(module
    (type $f (func (param i32 i64 f64) (result i64 f64)))
    (import "before" "t" (table 2 funcref)) (import "before" "ping" (func $ping (type $f)))
    (elem (i32.const 1) func $pong) (memory 1)
    (func $pong (type $f)
      (if (i32.eqz (local.get 0)) (then (return (local.get 1) (local.get 2))))
      (i64.store (i32.const 8) (local.get 1))
      (return_call $ping (i32.sub (local.get 0) (i32.const 1))
        (i64.rotl (i64.xor (i64.load (i32.const 8)) (i64.const 0x1234567)) (i64.const 9))
        (f64.mul (local.get 2) (f64.const 0.75))))
    (func (export "run") (param $n i32) (result i64 f64) (local $s i64)
      (local.set $s (i64.const 99))
      (call $pong (local.get $n) (local.get $s) (f64.const 1)) ))"#;

/// Works for a while, and then traps in a depth that the backtrace shows.
fn trap(how: &str) -> String {
    format!(
        r#"(module (memory 1)
          (func $work (param $n i32) (result i64) (local $s i64)
            (loop $again
              (local.set $s (i64.add (i64.mul (local.get $s) (i64.const 3)) (i64.extend_i32_u (local.get $n))))
              (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $s))
          (func $inner (param $n i32) (result i64) (i64.add (call $work (local.get $n)) ({how})))
          (func $outer (param $n i32) (result i64) (i64.mul (call $inner (local.get $n)) (i64.const 2)))
          (func (export "run") (param $n i32) (result i64) (i64.sub (call $outer (local.get $n)) (i64.const 1))))"#
    )
}

/// Calls itself until its stack is used up: preempted within its last bytes, too.
const NO_STACK: &str = r#"(module
    (func $deeper (param i32) (result i32) (local i64 i64 v128)
      (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
    (func (export "run") (param i32) (result i32) (call $deeper (local.get 0))))"#;
