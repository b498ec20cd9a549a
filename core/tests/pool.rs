//! Sandboxes of a pool: each begins as the first did, whatever those before it have done and wherever they were ended.

use luge_core::compiler::BoundsStrategy;
use luge_core::pool::{AcquireError, Pool, PoolConfig, Sandbox, Template};
use luge_core::{
    Engine, EngineConfig, FuncType, HostError, Limits, Linker, Module, Step, Trap, ValType, Value,
};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Both tiers; the code of the second counts fuel, so that a run can be left at a known place.
fn engines() -> Vec<(&'static str, Engine)> {
    let mut engines = vec![("interp", Engine::default())];
    for (name, bounds) in [
        ("guard", BoundsStrategy::Guard),
        ("software", BoundsStrategy::Software),
    ] {
        let Some(cpu) = CpuFeatures::detect() else {
            continue;
        };
        let compiler = Baseline::new(BaselineOptions {
            bounds,
            fuel: true,
            positions: false,
            cpu,
        });
        let config = EngineConfig {
            compiler: Some(Arc::new(compiler)),
            ..EngineConfig::default()
        };
        engines.push((name, Engine::new(config)));
    }
    engines
}

fn template(engine: &Engine, wat: &str) -> Template<u32> {
    template_within(engine, wat, &Limits::default())
}

fn template_within(engine: &Engine, wat: &str, limits: &Limits) -> Template<u32> {
    let module = Module::new(engine, &wat::parse_str(wat).expect("wat")).expect("module");
    let mut linker = Linker::<u32>::new(engine);
    linker.func(
        "host",
        "count",
        FuncType::new([], [ValType::I32]),
        |caller, slots| {
            *caller.data_mut() += 1;
            slots[0] = u64::from(*caller.data());
            Ok(())
        },
    );
    linker.func("host", "wait", FuncType::new([], []), |_, _| {
        Err(HostError::Block {
            until: Instant::now(),
        })
    });
    linker
        .link(&module)
        .expect("linked")
        .template(limits, "run", Duration::from_millis(100))
        .expect("template")
}

fn pool(sandboxes: usize) -> Pool<u32> {
    Pool::new(PoolConfig {
        sandboxes,
        memories: sandboxes,
        ..PoolConfig::default()
    })
    .expect("address space")
}

fn finish(mut sandbox: Sandbox<u32>) -> Vec<Value> {
    loop {
        match sandbox.resume(10_000).expect("a stack") {
            Step::Finished => return sandbox.results().to_vec(),
            Step::Preempted => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Gives a checksum of all that the guest can see, then changes all of it.
const SCRIBBLER: &str = r#"(module
    (memory 3 20) (data (i32.const 65530) "across a page") (data $passive "later")
    (global $g (mut i64) (i64.const 7)) (global $v (mut v128) (v128.const i64x2 1 2))
    (table $t 4 50 funcref) (elem (i32.const 1) func $f) (elem $e func $f $f)
    (func $f (result i64) (i64.const 1000))
    (func (export "run") (param $seed i64) (result i64) (local $sum i64) (local $i i32)
      (local.set $sum (i64.add (global.get $g) (i64x2.extract_lane 1 (global.get $v))))
      (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (memory.size))))
      (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (table.size $t))))
      (loop $l
        (local.set $sum (i64.add (i64.rotl (local.get $sum) (i64.const 7)) (i64.load (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 8)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 196608))))
      (local.set $i (i32.const 0))
      (loop $t
        (if (i32.eqz (ref.is_null (table.get $t (local.get $i))))
          (then (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $i))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $t (i32.lt_u (local.get $i) (table.size $t))))
      (local.set $sum (i64.add (local.get $sum) (call_indirect $t (result i64) (i32.const 1))))
      ;; works once only, if anything of a run before is left
      (memory.init $passive (i32.const 100) (i32.const 0) (i32.const 5)) (data.drop $passive)
      (table.init $t $e (i32.const 2) (i32.const 0) (i32.const 2)) (elem.drop $e)
      (global.set $g (local.get $seed)) (global.set $v (i64x2.splat (local.get $seed)))
      (drop (memory.grow (i32.const 2))) (i64.store (i32.const 327672) (local.get $seed))
      (drop (table.grow $t (ref.func $f) (i32.const 5))) (table.set $t (i32.const 1) (ref.null func))
      (memory.fill (i32.const 0) (i32.wrap_i64 (local.get $seed)) (i32.const 196608))
      (local.get $sum))
    (elem declare func $f))"#;

#[test]
fn what_a_run_has_changed_is_as_it_was() {
    for (name, engine) in engines() {
        let (pool, template) = (pool(2), template(&engine, SCRIBBLER));
        let run = |seed| finish(pool.acquire(&template, 0, &[Value::I64(seed)]).expect("room"));
        let first = run(-1);
        for seed in 0..50 {
            assert_eq!(run(seed), first, "{name}, {seed}");
        }
        let stats = pool.stats();
        assert_eq!(
            (stats.acquired, stats.made, stats.live, stats.idle),
            (51, 1, 0, 1),
            "{name}"
        );
    }
}

#[test]
fn a_run_that_is_ended_anywhere_leaves_nothing() {
    for (name, engine) in engines() {
        let (pool, template) = (pool(2), template(&engine, SCRIBBLER));
        let begin = || pool.acquire(&template, 0, &[Value::I64(-1)]).expect("room");
        let first = finish(begin());
        for slices in 0..60 {
            let mut sandbox = begin();
            for _ in 0..slices {
                let _ = sandbox.resume(3000).expect("a stack");
            }
            drop(sandbox);
            assert_eq!(finish(begin()), first, "{name}, after {slices}");
        }
    }
}

#[test]
fn an_access_beyond_the_size_traps_however_large_the_memory_was_before() {
    let wat = r#"(module (memory 1 100)
        (func (export "run") (param $grow i32) (param $address i32)
          (if (local.get $grow) (then
            (drop (memory.grow (local.get $grow)))
            (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))))
          (i32.store8 (local.get $address) (i32.const 1))))"#;
    for (name, engine) in engines() {
        let (pool, template) = (pool(1), template(&engine, wat));
        let run = |grow, address: i64| {
            let arguments = [Value::I32(grow), Value::I32(address as i32)];
            let mut sandbox = pool.acquire(&template, 0, &arguments).expect("room");
            loop {
                match sandbox.resume(u64::MAX).expect("a stack") {
                    Step::Finished => return None,
                    Step::Trapped(report) => return Some(report.trap),
                    Step::Preempted => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        for grow in [50, 0, 99, 3, 0] {
            let size = (i64::from(grow) + 1) << 16;
            assert_eq!(run(grow, size - 1), None, "{name}");
            for beyond in [1 << 16, 70_000, 1 << 20, 1 << 31, (1 << 32) - 1] {
                assert_eq!(run(0, beyond), Some(Trap::MemoryOutOfBounds), "{name}, {beyond}");
            }
            assert_eq!(run(grow, size), Some(Trap::MemoryOutOfBounds), "{name}");
        }
    }
}

#[test]
fn the_steady_state_has_no_faults() {
    for (name, engine) in engines() {
        let wat = r#"(module (memory 16) (data (i32.const 1024) "data") (data (i32.const 300000) "more")
            (func (export "run") (result i32)
              (i32.store (i32.const 65532) (i32.load (i32.const 1024)))
              (i32.store (i32.const 900000) (i32.load (i32.const 300000)))
              (i32.load (i32.const 65532))))"#;
        let (pool, template) = (pool(3), template(&engine, wat));
        let mut sandbox = pool.acquire(&template, 0, &[]).expect("room");
        sandbox.resume(1000).expect("a stack");
        let (faults, committed) = (sandbox.faults(), sandbox.committed_bytes());
        assert!((3..=4).contains(&faults), "{name}: {faults}");
        assert!(committed <= 16 << 12, "{name}: {committed}");
        drop(sandbox);
        for _ in 0..100 {
            let mut sandbox = pool.acquire(&template, 0, &[]).expect("room");
            assert_eq!(sandbox.resume(1000).expect("a stack"), Step::Finished);
            assert_eq!(sandbox.results(), [Value::I32(i32::from_le_bytes(*b"data"))]);
            assert_eq!(
                (sandbox.faults(), sandbox.committed_bytes()),
                (faults, committed),
                "{name}"
            );
        }
    }
}

#[test]
fn a_start_function_runs_once_if_it_needs_nobody() {
    let pure = r#"(module (memory 1) (global $g (mut i32) (i32.const 1)) (start $s)
        (func $s (global.set $g (i32.const 41)) (i32.store (i32.const 8) (i32.const 1)))
        (func (export "run") (result i32) (i32.add (global.get $g) (i32.load (i32.const 8)))))"#;
    let asks = r#"(module (import "host" "count" (func $count (result i32))) (global $g (mut i32) (i32.const 1)) (start $s)
        (func $s (global.set $g (i32.mul (i32.const 10) (call $count))))
        (func (export "run") (result i32) (i32.add (global.get $g) (call $count))))"#;
    let endless = r#"(module (start $s) (func $s (loop (br 0))) (func (export "run")))"#;
    let traps = r#"(module (memory 1) (start $s)
        (func $s (i32.store (i32.const 0) (i32.const 1)) unreachable) (func (export "run")))"#;
    for (name, engine) in engines() {
        let pool = pool(4);
        let of = template(&engine, pure);
        assert!(of.is_started(), "{name}");
        for _ in 0..3 {
            assert_eq!(
                finish(pool.acquire(&of, 0, &[]).expect("room")),
                [Value::I32(42)],
                "{name}"
            );
        }
        let of = template(&engine, asks);
        assert!(!of.is_started(), "{name}");
        for data in [0, 5, 0] {
            let results = finish(pool.acquire(&of, data, &[]).expect("room"));
            assert_eq!(
                results,
                [Value::I32(10 * (data as i32 + 1) + data as i32 + 2)],
                "{name}"
            );
        }
        let of = template(&engine, endless);
        assert!(!of.is_started(), "{name}");
        let mut sandbox = pool.acquire(&of, 0, &[]).expect("room");
        assert_eq!(sandbox.resume(1000).expect("a stack"), Step::Preempted, "{name}");
        let of = template(&engine, traps);
        assert!(!of.is_started(), "{name}");
        for _ in 0..3 {
            let mut sandbox = pool.acquire(&of, 0, &[]).expect("room");
            let step = sandbox.resume(1000).expect("a stack");
            assert!(
                matches!(step, Step::Trapped(report) if report.trap == Trap::Unreachable),
                "{name}"
            );
        }
    }
}

#[test]
fn a_full_pool_says_so_and_idle_slots_make_room() {
    let engine = Engine::default();
    let of = |n: u32| {
        template(
            &engine,
            &format!(r#"(module (memory 1) (func (export "run") (result i32) (i32.const {n})))"#),
        )
    };
    let (pool, templates) = (pool(3), [of(0), of(1), of(2), of(3)]);
    let live: Vec<_> = (0..3)
        .map(|n| pool.acquire(&templates[n], 0, &[]).expect("room"))
        .collect();
    let refused = pool.acquire(&templates[3], 0, &[]).expect_err("no room");
    assert!(
        matches!(refused, AcquireError::Full { sandboxes: 3 }),
        "{refused}"
    );
    drop(live);
    assert_eq!((pool.stats().live, pool.stats().idle), (0, 3));
    // The slot that has been idle for longest gives way, then the next.
    for (n, evicted) in [(3, 1), (2, 1), (0, 2), (3, 2)] {
        let results = finish(pool.acquire(&templates[n], 0, &[]).expect("room"));
        assert_eq!(results, [Value::I32(n as i32)]);
        assert_eq!(pool.stats().evicted, evicted, "{n}");
    }
    pool.forget(&templates[3]);
    assert_eq!(pool.stats().idle, 2);
}

#[test]
fn memory_above_the_budget_is_given_back() {
    let engine = Engine::default();
    let wat = r#"(module (memory 16)
        (func (export "run") (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576))))"#;
    let pool = Pool::new(PoolConfig {
        sandboxes: 8,
        memories: 8,
        idle_bytes: 3 << 20,
        further_ranges: 8,
    })
    .expect("address space");
    let of = template(&engine, wat);
    let live: Vec<_> = (0..8)
        .map(|_| {
            let mut sandbox = pool.acquire(&of, 0, &[]).expect("room");
            while sandbox.resume(u64::MAX).expect("a stack") != Step::Finished {}
            assert_eq!(sandbox.committed_bytes(), 1 << 20);
            sandbox
        })
        .collect();
    drop(live);
    let stats = pool.stats();
    assert!(stats.idle_bytes <= 3 << 20 && stats.idle_bytes > 0, "{stats:?}");
    pool.trim(0);
    assert_eq!(pool.stats().idle_bytes, 0);
    let mut sandbox = pool.acquire(&of, 0, &[]).expect("room");
    assert_eq!(sandbox.committed_bytes(), 0);
    assert_eq!(sandbox.resume(u64::MAX).expect("a stack"), Step::Finished);
}

#[test]
fn scattered_touches_are_few_ranges() {
    // Every third page of 16 MiB, from both ends.
    let wat = r#"(module (memory 256)
        (func (export "run") (result i64) (local $i i32) (local $sum i64)
          (loop $l
            (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $i))))
            (i64.store (local.get $i) (i64.const 1))
            (local.set $sum (i64.add (local.get $sum) (i64.load (i32.sub (i32.const 16777208) (local.get $i)))))
            (local.set $i (i32.add (local.get $i) (i32.const 12288)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 8388608))))
          (local.get $sum)))"#;
    let hops = r#"(module (memory 256)
        (func (export "run") (result i64) (local $i i32) (local $at i32) (local $sum i64)
          (loop $l
            (local.set $at (i32.and (i32.mul (local.get $i) (i32.const 2654435761)) (i32.const 16777208)))
            (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $at))))
            (i64.store (local.get $at) (i64.const 0x100000000))
            (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 500))))
          (local.get $sum)))"#;
    for (name, engine) in engines() {
        for wat in [wat, hops] {
            let (pool, of) = (pool(2), template(&engine, wat));
            let first = finish(pool.acquire(&of, 0, &[]).expect("room"));
            let maps = std::fs::read_to_string("/proc/self/maps")
                .expect("maps")
                .lines()
                .count();
            for _ in 0..5 {
                assert_eq!(finish(pool.acquire(&of, 0, &[]).expect("room")), first, "{name}");
            }
            let after = std::fs::read_to_string("/proc/self/maps")
                .expect("maps")
                .lines()
                .count();
            assert!(after <= maps + 20, "{name}: {maps} mappings, then {after}");
        }
    }
}

#[test]
fn two_memories_and_none() {
    let two = r#"(module (memory $a 1) (memory $b 1) (data (memory $b) (i32.const 8) "\05")
        (func (export "run") (result i32)
          (i32.store $a (i32.const 8) (i32.add (i32.load $a (i32.const 8)) (i32.const 1)))
          (i32.store $b (i32.const 8) (i32.add (i32.load $b (i32.const 8)) (i32.const 1)))
          (i32.add (i32.mul (i32.const 10) (i32.load $a (i32.const 8))) (i32.load $b (i32.const 8)))))"#;
    let none = r#"(module (func (export "run") (result i32) (i32.const 3)))"#;
    for (name, engine) in engines() {
        let pool = pool(2);
        let (two, none) = (template(&engine, two), template(&engine, none));
        for _ in 0..3 {
            assert_eq!(
                finish(pool.acquire(&two, 0, &[]).expect("room")),
                [Value::I32(16)],
                "{name}"
            );
            assert_eq!(
                finish(pool.acquire(&none, 0, &[]).expect("room")),
                [Value::I32(3)],
                "{name}"
            );
        }
        let held = pool.acquire(&two, 0, &[]).expect("room");
        assert!(
            pool.acquire(&two, 0, &[]).is_err(),
            "{name}: no memories are left"
        );
        drop(held);
        assert!(pool.acquire(&two, 0, &[]).is_ok());
    }
}

#[test]
fn data_stays_in_its_slot_where_its_owner_leaves_it() {
    let wat = r#"(module (func (export "run") (result i32) (i32.const 3)))"#;
    for (name, engine) in engines() {
        let (of, other) = (template(&engine, wat), template(&engine, wat));
        let pool = pool(1);
        let found = |of| {
            let mut found = None;
            let sandbox = pool.acquire_with(of, |kept| found = kept.replace(7), &[]);
            (sandbox.expect("room"), found)
        };
        let (mut first, none) = found(&of);
        assert_eq!(none, None, "{name}: a slot begins with none");
        assert_eq!(first.resume(u64::MAX).expect("a stack"), Step::Finished);
        first.retire(|data| *data += 1);
        let (second, kept) = found(&of);
        assert_eq!(kept, Some(8), "{name}");
        assert_eq!(
            finish(second),
            [Value::I32(3)],
            "{name}: a sandbox that is dropped"
        );
        let (third, none) = found(&of);
        assert_eq!(none, None, "{name}: takes its data along");
        third.retire(|_| {});
        let (fourth, none) = found(&other);
        assert_eq!(none, None, "{name}: another template's slot has other data");
        assert_eq!(fourth.finish(), 7);
        assert_eq!(
            found(&other).1,
            None,
            "{name}: and so does one whose data was taken"
        );
        assert_eq!((pool.stats().live, pool.stats().idle), (0, 1), "{name}");
    }
}

#[test]
fn a_retired_run_leaves_nothing_wherever_it_stands() {
    for (name, engine) in engines() {
        let (pool, template) = (pool(1), template(&engine, SCRIBBLER));
        let begin = || {
            let renew = |kept: &mut Option<u32>| *kept = Some(0);
            pool.acquire_with(&template, renew, &[Value::I64(-1)])
                .expect("room")
        };
        let first = finish(begin());
        for slices in 0..20 {
            let mut sandbox = begin();
            for _ in 0..slices {
                let _ = sandbox.resume(3000).expect("a stack");
            }
            sandbox.retire(|_| {});
            assert_eq!(finish(begin()), first, "{name}, after {slices}");
        }
    }
}

#[test]
fn a_slot_whose_data_could_not_be_cleared_is_not_used_again() {
    let wat = r#"(module (func (export "run")))"#;
    for (name, engine) in engines() {
        let (pool, template) = (pool(1), template(&engine, wat));
        for round in 1..=3 {
            let sandbox = pool.acquire(&template, 0, &[]).expect("room");
            let cleared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                sandbox.retire(|_| panic!("on purpose"));
            }));
            assert!(cleared.is_err());
            let stats = pool.stats();
            assert_eq!((stats.made, stats.live, stats.idle), (round, 0, 0), "{name}");
        }
    }
}

#[test]
fn a_slot_in_which_the_host_has_panicked_is_not_used_again() {
    for (name, engine) in engines() {
        let module = Module::new(&engine, &wat::parse_str(PANICS).expect("wat")).expect("module");
        let mut linker = Linker::<u32>::new(&engine);
        linker.func("host", "panic", FuncType::new([], []), |_, _| {
            panic!("on purpose")
        });
        let linked = linker.link(&module).expect("linked");
        let template = linked
            .template(&Limits::default(), "run", Duration::ZERO)
            .expect("template");
        let pool = pool(1);
        for round in 1..=3 {
            let mut sandbox = pool.acquire(&template, 0, &[]).expect("room");
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let _ = sandbox.resume(10_000);
            }));
            assert!(ran.is_err());
            let stats = pool.stats();
            assert_eq!((stats.made, stats.live, stats.idle), (round, 0, 0), "{name}");
        }
    }
}

const PANICS: &str = r#"(module (import "host" "panic" (func $panic))
    (memory 1) (func (export "run") (i32.store (i32.const 0) (i32.const 7)) (call $panic)))"#;

#[test]
fn what_a_pool_takes_of_the_process_is_told_beforehand() {
    let config = PoolConfig {
        sandboxes: 10,
        memories: 20,
        idle_bytes: 0,
        further_ranges: 5,
    };
    assert_eq!(config.address_bytes(), 20 * ((8 << 30) + (64 << 10)));
    assert_eq!(config.mappings(), 2 * (20 + 5 + 26) + 26);
}
