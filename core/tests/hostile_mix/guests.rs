//! The guests of the mix: what they do, and how each must end.
//!
//! An honest guest computes what this file computes too, so that a register, page or byte that an other's preemption or end has
//! touched shows. A hostile one tries one thing each.

use luge_core::pool::{Sandbox, Template};
use luge_core::wasi::{self, Fault, OutputOverflow, OutputStream, WasiCtx};
use luge_core::{Engine, FuncType, HostError, Limits, Linker, Module, Step, Trap, ValType, Value};
use std::time::{Duration, Instant};

/// Pages that memories may have, elements that tables may have, and bytes that a guest may write.
pub(crate) const PAGES: u32 = 24;
pub(crate) const ELEMENTS: u32 = 2000;
pub(crate) const OUTPUT: usize = 4096;

/// What the host keeps for a run.
pub(crate) struct Host {
    pub(crate) wasi: WasiCtx,
    calls: u64,
    waited: bool,
}

impl Host {
    pub(crate) fn new(wasi: WasiCtx) -> Self {
        Self {
            wasi,
            calls: 0,
            waited: false,
        }
    }
}

/// How a run has to end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// With this result, which is computed from the argument.
    Returns(fn(u32) -> i64),
    /// With this trap.
    Traps(Trap),
    /// With a trap that ends it for what it wrote.
    WritesTooMuch,
    /// With this code.
    Exits(u32),
    /// By its budget of CPU time.
    NeverEnds,
    /// By its limit of time, while it waits.
    Waits,
}

/// One kind of guest.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    text: String,
    pub(crate) end: End,
}

/// A kind, ready to run in a tier.
pub(crate) struct Ready {
    pub(crate) name: &'static str,
    pub(crate) end: End,
    pub(crate) template: Template<Host>,
}

impl Ready {
    /// Makes all kinds ready for an engine.
    pub(crate) fn all(engine: &Engine) -> Vec<Self> {
        let linker = linker(engine);
        let limits = Limits {
            memory_pages: PAGES,
            table_elements: ELEMENTS,
            stack_bytes: 256 << 10,
            exception_bytes: 64 << 10,
            ..Limits::default()
        };
        let ready = |Kind { name, text, end }| {
            let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let module = Module::new(engine, &wasm).unwrap_or_else(|error| panic!("{name}: {error}"));
            let linked = linker.link(&module).expect("imports");
            let template = linked
                .template(&limits, "run", Duration::from_millis(1))
                .expect("template");
            Self { name, end, template }
        };
        kinds().into_iter().map(ready).collect()
    }

    /// Whether a run that was given `argument` has ended as it must; `None` for one that was ended from outside.
    pub(crate) fn ended_well(&self, argument: u32, step: &Step, sandbox: &Sandbox<Host>) -> bool {
        match (self.end, step) {
            (End::Returns(wanted), Step::Finished) => sandbox.results() == [Value::I64(wanted(argument))],
            (End::Traps(wanted), Step::Trapped(report)) => report.trap == wanted,
            (End::WritesTooMuch, Step::Trapped(report)) => {
                let wasi = &sandbox.data().wasi;
                let fault = Fault::OutputLimit {
                    stream: OutputStream::Stdout,
                    limit: OUTPUT,
                };
                report.trap == Trap::HostAborted
                    && wasi.fault() == Some(fault)
                    && wasi.stdout().len() == OUTPUT
            }
            (End::Exits(wanted), &Step::Exited(code)) => code == wanted,
            _ => false,
        }
    }
}

/// What a call of `host.mix` gives.
fn mix(word: u64) -> u64 {
    (word ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0x2545_f491_4f6c_dd1d)
}

fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::<Host>::new(engine);
    wasi::add_to_linker(&mut linker, |host| &mut host.wasi);
    let ty = FuncType::new([ValType::I64], [ValType::I64]);
    linker.func("host", "mix", ty, |caller, slots| {
        let host = caller.data_mut();
        host.waited = !host.waited && host.calls % 7 == 6;
        if host.waited {
            return Err(HostError::Block {
                until: Instant::now(),
            });
        }
        host.calls += 1;
        slots[0] = mix(slots[0]);
        Ok(())
    });
    linker
}

/// What guests that write past their limit get.
pub(crate) const OVERFLOW: OutputOverflow = OutputOverflow::Stop;

fn kind(name: &'static str, end: End, text: &str) -> Kind {
    Kind {
        name,
        text: format!("(module {text})"),
        end,
    }
}

fn kinds() -> Vec<Kind> {
    let mut kinds = honest();
    kinds.extend(endless());
    kinds.extend(greedy());
    kinds.extend(faulty());
    kinds
}

/// Three kinds of arithmetic, memory, calls of the host, output.
#[expect(
    clippy::too_many_lines,
    reason = "a list of guests, most of it WebAssembly text"
)]
fn honest() -> Vec<Kind> {
    vec![
        kind(
            "scalar",
            End::Returns(|n| {
                let mut x = u64::from(n) | 1;
                for _ in 0..n {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                }
                x.cast_signed()
            }),
            r#"(func (export "run") (param $n i32) (result i64) (local $x i64)
              (local.set $x (i64.or (i64.extend_i32_u (local.get $n)) (i64.const 1)))
              (loop $again
                (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
                (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
                (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
              (local.get $x))"#,
        ),
        kind(
            "vectors",
            End::Returns(|n| {
                let mut lanes = [n, n ^ 1, n ^ 2, n ^ 3];
                for i in 0..n {
                    lanes = lanes.map(|lane| lane.wrapping_mul(0x9e37_79b1).rotate_left(5) ^ i);
                    lanes.rotate_left(1);
                }
                let sum = lanes[0] ^ lanes[1] ^ lanes[2] ^ lanes[3];
                i64::from(sum)
            }),
            r#"(func (export "run") (param $n i32) (result i64) (local $i i32) (local $v v128)
              (local.set $v (v128.xor (i32x4.splat (local.get $n)) (v128.const i32x4 0 1 2 3)))
              (loop $again
                (local.set $v (i32x4.mul (local.get $v) (v128.const i32x4 0x9e3779b1 0x9e3779b1 0x9e3779b1 0x9e3779b1)))
                (local.set $v (v128.xor (i32x4.splat (local.get $i))
                  (v128.or (i32x4.shl (local.get $v) (i32.const 5)) (i32x4.shr_u (local.get $v) (i32.const 27)))))
                (local.set $v (i8x16.shuffle 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 (local.get $v) (local.get $v)))
                (br_if $again (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
              (i64.extend_i32_u (i32.xor
                (i32.xor (i32x4.extract_lane 0 (local.get $v)) (i32x4.extract_lane 1 (local.get $v)))
                (i32.xor (i32x4.extract_lane 2 (local.get $v)) (i32x4.extract_lane 3 (local.get $v))))))"#,
        ),
        kind(
            "floats",
            End::Returns(|n| {
                let (mut x, mut y) = (f64::from(n), 1.0_f32);
                for _ in 0..n {
                    x = (x * 1.000_123 + 3.75).sqrt() + x / 3.0;
                    y = y / 1.5 + 0.25;
                }
                (x.to_bits() ^ u64::from(y.to_bits())).cast_signed()
            }),
            r#"(func (export "run") (param $n i32) (result i64) (local $x f64) (local $y f32)
              (local.set $x (f64.convert_i32_u (local.get $n))) (local.set $y (f32.const 1))
              (loop $again
                (local.set $x (f64.add
                  (f64.sqrt (f64.add (f64.mul (local.get $x) (f64.const 1.000123)) (f64.const 3.75)))
                  (f64.div (local.get $x) (f64.const 3))))
                (local.set $y (f32.add (f32.div (local.get $y) (f32.const 1.5)) (f32.const 0.25)))
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
              (i64.xor (i64.reinterpret_f64 (local.get $x)) (i64.extend_i32_u (i32.reinterpret_f32 (local.get $y)))))"#,
        ),
        kind(
            "memory",
            End::Returns(|n| {
                let mut words = vec![0_u64; 8192];
                for i in 0..u64::from(n) {
                    let at = (i.wrapping_mul(0x9e37_79b1) & 8191) as usize;
                    words[at] = words[at].wrapping_add(i).rotate_left(3);
                }
                words
                    .iter()
                    .fold(0_u64, |sum, word| sum.rotate_left(1) ^ word)
                    .cast_signed()
            }),
            r#"(memory 1 4) (func (export "run") (param $n i32) (result i64) (local $i i64) (local $at i32) (local $sum i64)
              (loop $again
                (local.set $at (i32.shl (i32.and
                  (i32.wrap_i64 (i64.mul (local.get $i) (i64.const 0x9e3779b1))) (i32.const 8191)) (i32.const 3)))
                (i64.store (local.get $at) (i64.rotl (i64.add (i64.load (local.get $at)) (local.get $i)) (i64.const 3)))
                (br_if $again (i64.ne (local.tee $i (i64.add (local.get $i) (i64.const 1))) (i64.extend_i32_u (local.get $n)))))
              (local.set $at (i32.const 0))
              (loop $sums
                (local.set $sum (i64.xor (i64.rotl (local.get $sum) (i64.const 1)) (i64.load (local.get $at))))
                (br_if $sums (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 65536))))
              (local.get $sum))"#,
        ),
        kind(
            "host calls",
            End::Returns(|n| (0..n % 300 + 1).fold(u64::from(n), |x, _| mix(x)).cast_signed()),
            r#"(import "host" "mix" (func $mix (param i64) (result i64)))
            (func (export "run") (param $n i32) (result i64) (local $x i64)
              (local.set $x (i64.extend_i32_u (local.get $n)))
              (local.set $n (i32.add (i32.rem_u (local.get $n) (i32.const 300)) (i32.const 1)))
              (loop $again
                (local.set $x (call $mix (local.get $x)))
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
              (local.get $x))"#,
        ),
        kind(
            "start",
            End::Returns(|n| 41 + i64::from(n)),
            r#"(memory 1) (global $g (mut i64) (i64.const 1)) (start $start)
            (func $start (global.set $g (i64.const 40)) (i64.store (i32.const 100) (i64.const 1)))
            (func (export "run") (param $n i32) (result i64)
              (i64.add (i64.add (global.get $g) (i64.load (i32.const 100))) (i64.extend_i32_u (local.get $n))))"#,
        ),
        kind(
            "exit",
            End::Exits(7),
            &format!(
                r#"{WASI} (func (export "run") (param i32) (result i64) (call $exit (i32.const 7)) (i64.const 0))"#
            ),
        ),
    ]
}

/// What the guests import that write or wait.
const WASI: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1 64)"#;

/// Guests that never give the core back.
fn endless() -> Vec<Kind> {
    let run = |name, body: &str| {
        kind(
            name,
            End::NeverEnds,
            &format!(
                r#"(import "host" "mix" (func $mix (param i64) (result i64))) (memory 16 64) (tag $e (param i64 v128))
                (table $t 10 100 funcref) (elem (i32.const 0) $leaf $leaf) (type $leaf (func (param i64) (result i64)))
                (func $leaf (type $leaf) (i64.mul (local.get 0) (i64.const 3)))
                (func $down (param i32) (local v128 i64 i64)
                  (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
                (func (export "run") (param $n i32) (result i64) (local $x i64) (local $v v128) (loop $again {body} (br $again)) unreachable)"#
            ),
        )
    };
    vec![
        run("endless loop", ""),
        run(
            "busy loop",
            "(local.set $v (i64x2.add (local.get $v) (i64x2.splat (local.get $x)))) (local.set $x (i64.add (local.get $x) (i64.const 7)))",
        ),
        run(
            "exceptions",
            "(block $h (result i64 v128) (try_table (catch $e $h) (throw $e (local.get $x) (local.get $v))) unreachable) (local.set $v) (local.set $x)",
        ),
        run(
            "kept exceptions",
            "(block $h (result i64 v128 exnref) (try_table (catch_ref $e $h) (throw $e (local.get $x) (local.get $v))) unreachable) (drop) (local.set $v) (local.set $x)",
        ),
        run(
            "table of branches",
            "(block $a (block $b (block $c (br_table $a $b $c $again (i32.and (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 3)))) (local.set $x (i64.const 1))) (local.set $x (i64.const 2)))",
        ),
        run(
            "fill",
            "(memory.fill (i32.const 0) (local.get $n) (i32.const 1048576))",
        ),
        run(
            "copy",
            "(memory.copy (i32.const 1) (i32.const 0) (i32.const 1048575))",
        ),
        run("deep and back", "(call $down (i32.const 300))"),
        run(
            "indirect calls",
            "(local.set $x (call_indirect $t (type $leaf) (local.get $x) (i32.const 1)))",
        ),
        run("host calls for ever", "(local.set $x (call $mix (local.get $x)))"),
        run("grow by nothing", "(drop (memory.grow (i32.const 0)))"),
        run(
            "table of references",
            "(table.fill $t (i32.const 0) (ref.func $leaf) (i32.const 10)) (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 9))",
        ),
        kind(
            "endless start",
            End::NeverEnds,
            r#"(start $s) (func $s (loop (br 0))) (func (export "run") (param i32) (result i64) (i64.const 0))"#,
        ),
    ]
}

/// Guests that take as much as they get.
fn greedy() -> Vec<Kind> {
    vec![
        kind(
            "memory to the limit",
            End::Returns(|_| i64::from(PAGES)),
            r#"(memory 1 1000)
            (func (export "run") (param i32) (result i64)
              (loop $again
                (i64.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)) (i64.const -1))
                (memory.fill (i32.mul (i32.sub (memory.size) (i32.const 1)) (i32.const 65536)) (i32.const 1) (i32.const 65536))
                (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
              (if (i32.ne (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))
              (i64.extend_i32_u (memory.size)))"#,
        ),
        kind(
            "table to the limit",
            End::Returns(|_| i64::from(ELEMENTS)),
            r#"(table $t 1 1000000 funcref) (func $f)  (elem declare func $f)
            (func (export "run") (param i32) (result i64)
              (loop $again (br_if $again (i32.ne (table.grow $t (ref.func $f) (i32.const 7)) (i32.const -1))))
              (loop $again (br_if $again (i32.ne (table.grow $t (ref.func $f) (i32.const 1)) (i32.const -1))))
              (i64.extend_i32_u (table.size $t)))"#,
        ),
        kind(
            "exceptions to the limit",
            End::Traps(Trap::TooManyExceptions),
            r#"(tag $e (param exnref))
            (func (export "run") (param i32) (result i64) (local $e exnref)
              (loop $again
                (block $h (result exnref exnref) (try_table (catch_ref $e $h) (throw $e (local.get $e))) unreachable)
                (local.set $e) (drop) (br $again)) unreachable)"#,
        ),
        kind(
            "deep recursion",
            End::Traps(Trap::StackExhausted),
            r#"(memory 1)
            (func $down (param i64 v128) (result i64) (local f64 i64)
              (i64.store (i32.const 8) (local.get 0))
              (i64.add (local.get 0) (call $down (i64.add (local.get 0) (i64.const 1)) (local.get 1))))
            (func (export "run") (param i32) (result i64) (call $down (i64.const 0) (v128.const i64x2 1 2)))"#,
        ),
        kind(
            "flood of output",
            End::WritesTooMuch,
            &format!(
                r#"{WASI} (data (i32.const 0) "\10\00\00\00\f0\00\00\00")
            (func (export "run") (param i32) (result i64)
              (memory.fill (i32.const 16) (i32.const 65) (i32.const 240))
              (loop $again (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $again)) unreachable)"#
            ),
        ),
        kind(
            "wait for an hour",
            End::Waits,
            &format!(
                r#"{WASI}
            (func (export "run") (param i32) (result i64)
              ;; a relative timeout of the monotonic clock, in nanoseconds
              (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 3600000000000))
              (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 256)))
              (i64.const 0))"#
            ),
        ),
    ]
}

/// Guests that do what they may not.
#[expect(
    clippy::too_many_lines,
    reason = "a list of guests, most of it WebAssembly text"
)]
fn faulty() -> Vec<Kind> {
    let run = |name, trap, body: &str| {
        kind(
            name,
            End::Traps(trap),
            &format!(
                r#"(memory 1 64) (table $t 4 funcref) (elem (i32.const 0) $leaf) (type $leaf (func)) (type $other (func (param i32) (result i64)))
                (func $leaf) (func (export "run") (param $n i32) (result i64) {body} (i64.const 0))"#
            ),
        )
    };
    vec![
        run(
            "store at 4 GiB - 1",
            Trap::MemoryOutOfBounds,
            "(i64.store (i32.const -1) (i64.const -1))",
        ),
        run(
            "store far beyond",
            Trap::MemoryOutOfBounds,
            "(v128.store offset=0xffffffff (i32.const -1) (v128.const i64x2 -1 -1))",
        ),
        run(
            "load behind the end",
            Trap::MemoryOutOfBounds,
            "(drop (i32.load8_u (i32.const 65536)))",
        ),
        run(
            "load across the end",
            Trap::MemoryOutOfBounds,
            "(drop (i64.load (i32.const 65529)))",
        ),
        run(
            "huge fill",
            Trap::MemoryOutOfBounds,
            "(memory.fill (i32.const 1) (i32.const 1) (i32.const -1))",
        ),
        run(
            "huge copy",
            Trap::MemoryOutOfBounds,
            "(memory.copy (i32.const 1) (i32.const 0) (i32.const -1))",
        ),
        run(
            "wrong type",
            Trap::IndirectCallTypeMismatch,
            "(drop (call_indirect $t (type $other) (local.get $n) (i32.const 0)))",
        ),
        run(
            "null element",
            Trap::UninitializedElement,
            "(call_indirect $t (type $leaf) (i32.const 1))",
        ),
        run(
            "no element",
            Trap::UndefinedElement,
            "(call_indirect $t (type $leaf) (i32.const -1))",
        ),
        run(
            "no division",
            Trap::IntegerDivideByZero,
            "(drop (i32.div_u (local.get $n) (i32.const 0)))",
        ),
        run(
            "overflow",
            Trap::IntegerOverflow,
            "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
        ),
        run("unreachable", Trap::Unreachable, "unreachable"),
        run(
            "table beyond",
            Trap::TableOutOfBounds,
            "(table.set $t (i32.const 4) (ref.null func))",
        ),
        kind(
            "trap in start",
            Trap::Unreachable.into(),
            r#"(memory 1) (start $s) (func $s (i32.store (i32.const 0) (i32.const 1)) unreachable)
            (func (export "run") (param i32) (result i64) (i64.const 0))"#,
        ),
        kind(
            "uncaught",
            Trap::UncaughtException.into(),
            r#"(tag $e) (func (export "run") (param i32) (result i64) (throw $e))"#,
        ),
    ]
}

impl From<Trap> for End {
    fn from(trap: Trap) -> Self {
        Self::Traps(trap)
    }
}
