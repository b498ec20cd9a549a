//! What a run has left on a stack no later one can learn of, not even by what the collector of exceptions takes for references.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use luge_core::compiler::BoundsStrategy;
use luge_core::pool::{Pool, PoolConfig, Template};
use luge_core::{Engine, EngineConfig, FuncType, Limits, Linker, Module, Step, Trap, ValType, Value};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use std::sync::Arc;
use std::time::Duration;

fn engines() -> [(&'static str, Engine); 2] {
    let compiler = Baseline::new(BaselineOptions {
        bounds: BoundsStrategy::Guard,
        fuel: true,
        positions: false,
        cpu: CpuFeatures::detect().unwrap_or(CpuFeatures::BASELINE),
    });
    let compiled = Engine::new(EngineConfig {
        compiler: Some(Arc::new(compiler)),
        ..EngineConfig::default()
    });
    [("interp", Engine::default()), ("guard", compiled)]
}

fn template(engine: &Engine, wat: &str) -> Template<u32> {
    let module = Module::new(engine, &wat::parse_str(wat).expect("wat")).expect("module");
    let mut linker = Linker::<u32>::new(engine);
    linker.func(
        "host",
        "data",
        FuncType::new([], [ValType::I32]),
        |caller, slots| {
            slots[0] = u64::from(*caller.data());
            Ok(())
        },
    );
    let limits = Limits {
        exception_bytes: 128 << 10,
        ..Limits::default()
    };
    linker
        .link(&module)
        .expect("linked")
        .template(&limits, "run", Duration::ZERO)
        .expect("template")
}

const VICTIM: &str = r#"(module (func (export "run") (param i64) (result i64) (local.get 0)))"#;

/// Makes exceptions that nobody refers to, then as many as it is told that a chain refers to.
const SPY: &str = r#"(module (import "host" "data" (func $data (result i32)))
    (tag $e (param i64)) (tag $chain (param exnref))
    (func $one (local $e exnref)
      (block $h (result i64 exnref) (try_table (catch_ref $e $h) (throw $e (i64.const 0))) (unreachable))
      (local.set $e) (drop))
    (func (export "run") (local $n i32) (local $e exnref)
      (local.set $n (i32.const 1500))
      (loop $l (call $one) (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.set $n (call $data))
      (loop $l
        (block $h (result exnref exnref)
          (try_table (catch_ref $chain $h) (throw $chain (local.get $e))) (unreachable))
        (local.set $e) (drop)
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;

#[test]
fn what_a_run_leaves_on_its_stack_keeps_no_exceptions() {
    for (name, engine) in engines() {
        let pool = Pool::new(PoolConfig::default()).expect("address space");
        let (victim, spy) = (template(&engine, VICTIM), template(&engine, SPY));
        // How long a chain may be behind a run that was given `secret`.
        let longest = |secret: i64| {
            let fits = |length: u32| {
                let mut run = pool.acquire(&victim, 0, &[Value::I64(secret)]).expect("room");
                assert_eq!(run.resume(1 << 40).expect("a stack"), Step::Finished);
                drop(run);
                let mut run = pool.acquire(&spy, length, &[]).expect("room");
                match run.resume(1 << 40).expect("a stack") {
                    Step::Finished => true,
                    Step::Trapped(report) => {
                        assert_eq!(report.trap, Trap::TooManyExceptions);
                        false
                    }
                    other => panic!("{other:?}"),
                }
            };
            let (mut fits_still, mut too_long) = (1, 8000);
            while too_long - fits_still > 1 {
                let middle = (fits_still + too_long) / 2;
                if fits(middle) {
                    fits_still = middle;
                } else {
                    too_long = middle;
                }
            }
            fits_still
        };
        let lengths = [0, 1, 100, 700, -1].map(longest);
        println!("{name}: {lengths:?}");
        assert!(
            lengths.iter().all(|&length| length == lengths[0]),
            "{name}: {lengths:?}"
        );
    }
}
