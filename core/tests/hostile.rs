//! Modules that ask for as much as they can: each bound is met by an error, a trap or a preemption, never by the host's
//! memory or time.

use luge_core::{
    Engine, Execution, InstantiateError, Limits, Linker, Module, ModuleError, Step, Store, Value,
};

fn engine_and_module(text: &str) -> (Engine, Result<Module, ModuleError>) {
    let engine = Engine::default();
    let module = Module::new(&engine, &wat::parse_str(text).expect("wat"));
    (engine, module)
}

/// The validator has types of references that are never null, or always, which a construct could be said to give. All sides
/// have to see the same values: a construct with one that this engine does not have is refused, reached or not.
#[test]
fn constructs_of_types_that_the_engine_lacks_are_refused() {
    let caught = "(try_table (catch_all_ref 0) (throw $e)) unreachable";
    for ty in ["(ref exn)", "(ref null noexn)", "(ref noexn)"] {
        for body in [
            format!("(block (result {ty}) unreachable) drop"),
            format!("(loop (result {ty}) unreachable) drop"),
            format!("(if (result {ty}) (i32.const 0) (then unreachable) (else unreachable)) drop"),
            format!("(try_table (result {ty}) unreachable) drop"),
            format!("unreachable (block (result {ty}) unreachable) drop"),
        ] {
            let (_, module) = engine_and_module(&format!("(module (tag $e) (func {body}))"));
            let refused = matches!(&module, Err(ModuleError::Invalid { message, offset })
                if message.contains("proposal") && *offset > 0);
            assert!(refused, "{body}: {module:?}");
        }
    }
    let (_, module) = engine_and_module(&format!(
        "(module (tag $e) (func (i64.const 1) (block (result (ref exn)) {caught}) drop drop))"
    ));
    assert!(matches!(module, Err(ModuleError::Invalid { .. })), "{module:?}");
    // What the engine has is taken by either of its names.
    let (_, module) = engine_and_module(&format!(
        "(module (tag $e) (func (block (result (ref null exn)) {caught}) drop) (func (throw_ref (ref.null noexn))))"
    ));
    assert!(module.is_ok(), "{module:?}");
}

/// Two hundred functions of some forty bytes, each of which carries a thousand values over six branches.
#[test]
fn code_stays_in_proportion_to_the_module() {
    let results = "i32 ".repeat(1000);
    let branch = "(br_if 0 (i32.const 0)) ".repeat(6);
    let body = format!("(i32.const 1) (call 0) {branch} unreachable");
    let funcs = format!("(func (type 0) {body})").repeat(200);
    let (_, module) = engine_and_module(&format!("(module (type (func (result {results}))) {funcs})"));
    assert!(matches!(module, Err(ModuleError::TooLarge { .. })), "{module:?}");
}

/// As many vectors as a type may have, there and back: two thousand slots each way.
#[test]
fn a_thousand_vectors_come_and_go() {
    let types = "v128 ".repeat(1000);
    let locals: String = (0..1000).map(|i| format!("(local.get {i})")).collect();
    let (engine, module) = engine_and_module(&format!(
        r#"(module
             (func $id (export "id") (param {types}) (result {types}) {locals})
             (func (export "tail") (param {types}) (result {types}) (call $id {locals}) (return_call $id)))"#
    ));
    let module = module.expect("module");
    let mut store = Store::new(&engine, &Limits::default(), ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .expect("instance");
    let arguments: Vec<Value> = (0..1000_u128)
        .map(|i| Value::V128(i << 64 | (!i & 0xffff)))
        .collect();
    for name in ["id", "tail"] {
        let func = instance.func(&store, name).expect("export");
        assert_eq!(
            func.call(&mut store, &arguments).expect("results"),
            arguments,
            "{name}"
        );
    }
}

/// Fifty thousand locals are taken, but not if each takes two slots.
#[test]
fn frames_are_bounded_in_slots() {
    for (count, fits) in [(32_000, true), (33_000, false), (50_000, false)] {
        let locals = "v128 ".repeat(count);
        let last = count - 1;
        let (_, module) = engine_and_module(&format!(
            "(module (func (local {locals}) (local.set {last} (local.get {last})) (local.set 0 (local.get {last}))))"
        ));
        match module {
            Ok(_) => assert!(fits, "{count}"),
            Err(ModuleError::TooLarge { have, .. }) => assert!(!fits && have >= 2 * count as u64, "{count}"),
            Err(other) => panic!("{count}: {other}"),
        }
    }
}

/// Blocks inside each other, each of which leaves a thousand vectors: what is kept of each must not grow with those.
#[test]
fn open_blocks_with_many_vectors_are_cheap() {
    let results = "v128 ".repeat(1000);
    let blocks = "block (type 0) ".repeat(10_000);
    let ends = "end ".repeat(10_000);
    let (_, module) = engine_and_module(&format!(
        "(module (type (func (result {results}))) (func (type 0) {blocks} unreachable {ends}))"
    ));
    module.expect("module");
}

/// What is kept of each open construct is little, but not nothing.
#[test]
fn open_constructs_are_bounded() {
    for (count, fits) in [(100_000, true), (140_000, false)] {
        let (_, module) = engine_and_module(&format!(
            "(module (func {} {}))",
            "loop ".repeat(count),
            "end ".repeat(count)
        ));
        match module {
            Ok(_) => assert!(fits, "{count}"),
            Err(ModuleError::TooLarge { have, .. }) => assert!(!fits && have < count as u64, "{count}"),
            Err(other) => panic!("{count}: {other}"),
        }
    }
}

/// A function that calls itself in the place of a return never ends, and is never out of reach.
#[test]
fn endless_tail_recursion_gives_the_core_back() {
    let (engine, module) = engine_and_module(
        r#"(module (type $t (func (param v128)))
             (table funcref (elem $g))
             (func $f (export "f") (type $t) (return_call_indirect (type $t) (local.get 0) (i32.const 0)))
             (func $g (type $t) (local i64 i64) (return_call $f (local.get 0))))"#,
    );
    let mut store = Store::new(&engine, &Limits::default(), ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module.expect("module"))
        .expect("instance");
    let func = instance.func(&store, "f").expect("export");
    let mut run = Execution::new(&mut store, func, &[Value::V128(7)]).expect("arguments");
    for _ in 0..100 {
        assert_eq!(run.resume(&mut store, 10_000), Step::Preempted);
    }
}

/// Clauses that each carry a thousand values elsewhere.
#[test]
fn landings_stay_in_proportion_to_the_module() {
    let payload = "i32 ".repeat(1000);
    let clauses = "(catch 0 $h) ".repeat(1000);
    let (_, module) = engine_and_module(&format!(
        "(module (type $t (func (param {payload}))) (tag (type $t))
           (func (block $h (result {payload}) (i32.const 1) (try_table {clauses}) unreachable) unreachable))"
    ));
    assert!(matches!(module, Err(ModuleError::TooLarge { .. })), "{module:?}");
}

/// Ten thousand constructs in each other, and a throw that has to come through all of them.
#[test]
fn deep_handlers_are_walked_at_the_price_of_their_number() {
    let clauses = "(catch $other 0) ".repeat(3);
    let open = format!("try_table {clauses} ").repeat(10_000);
    let ends = "end ".repeat(10_000);
    let (engine, module) = engine_and_module(&format!(
        r#"(module (tag $e) (tag $other)
             (func (export "f") (block $h (try_table (catch $e $h) {} throw $e {ends}) unreachable)))"#,
        open.replace('(', " (")
    ));
    let mut store = Store::new(&engine, &Limits::default(), ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module.expect("module"))
        .expect("instance");
    let func = instance.func(&store, "f").expect("export");
    let mut run = Execution::new(&mut store, func, &[]).expect("arguments");
    assert_eq!(run.resume(&mut store, 30_000), Step::Preempted);
    assert_eq!(run.resume(&mut store, 30_000), Step::Finished);
}

/// Throwing and catching without end uses up fuel, however little runs in between, and nothing else.
#[test]
fn endless_throwing_gives_the_core_back() {
    let (engine, module) = engine_and_module(
        r#"(module (tag $e)
             (func $deep (param i32)
               (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))))
               (throw $e))
             (func (export "f")
               (loop $l
                 (try_table (catch $e $l) (throw $e))))
             (func (export "g") (local $e exnref)
               (loop $l
                 (block $h (result exnref)
                   (try_table (catch_all_ref $h) (call $deep (i32.const 1000)))
                   (unreachable))
                 (local.set $e)
                 (br $l))))"#,
    );
    let module = module.expect("module");
    for name in ["f", "g"] {
        let mut store = Store::new(&engine, &Limits::default(), ());
        let instance = Linker::new(&engine)
            .instantiate(&mut store, &module)
            .expect("instance");
        let func = instance.func(&store, name).expect("export");
        let mut run = Execution::new(&mut store, func, &[]).expect("arguments");
        for _ in 0..200 {
            assert_eq!(run.resume(&mut store, 10_000), Step::Preempted, "{name}");
        }
    }
}

#[test]
fn the_tables_of_a_store_share_their_limit() {
    let limits = Limits {
        table_elements: 1000,
        ..Limits::default()
    };
    let (engine, module) = engine_and_module(
        r#"(module (table $a 400 funcref) (table $b 400 externref)
             (func (export "grow") (param i32) (result i32) (table.grow $a (ref.null func) (local.get 0))))"#,
    );
    let module = module.expect("module");
    let mut store = Store::new(&engine, &limits, ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .expect("instance");
    let grow = instance.func(&store, "grow").expect("export");
    for (delta, before) in [(201, -1), (200, 400), (1, -1), (0, 600)] {
        let results = grow.call(&mut store, &[Value::I32(delta)]).expect("results");
        assert_eq!(results, [Value::I32(before)], "{delta}");
    }
    let refused = Linker::new(&engine).instantiate(&mut store, &module);
    assert!(matches!(
        refused,
        Err(InstantiateError::Limit {
            have: 1400,
            limit: 1000,
            ..
        })
    ));
}

#[test]
fn the_memories_of_a_store_share_their_limit() {
    let limits = Limits {
        memory_pages: 100,
        ..Limits::default()
    };
    let (engine, module) = engine_and_module(
        r#"(module (memory $a 40) (memory $b 40)
             (func (export "grow") (param i32) (result i32) (memory.grow $b (local.get 0))))"#,
    );
    let module = module.expect("module");
    let mut store = Store::new(&engine, &limits, ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .expect("instance");
    let grow = instance.func(&store, "grow").expect("export");
    for (delta, before) in [(21, -1), (-1, -1), (20, 40), (1, -1), (0, 60)] {
        let results = grow.call(&mut store, &[Value::I32(delta)]).expect("results");
        assert_eq!(results, [Value::I32(before)], "{delta}");
    }
    let refused = Linker::new(&engine).instantiate(&mut store, &module);
    assert!(matches!(
        refused,
        Err(InstantiateError::Limit {
            have: 140,
            limit: 100,
            ..
        })
    ));
}

#[test]
fn a_module_has_few_memories() {
    for (count, taken) in [(16, true), (17, false), (100, false)] {
        let (_, module) = engine_and_module(&format!("(module {})", "(memory 0)".repeat(count)));
        match module {
            Ok(_) => assert!(taken, "{count}"),
            Err(ModuleError::TooLarge { have, limit, .. }) => {
                assert_eq!((have, limit, taken), (count as u64, 16, false));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Filling, copying both ways and initialising: a range of 100,000 elements is done in pieces, and rightly.
#[test]
fn table_ranges_go_on_after_preemption() {
    const LEN: usize = 100_000;
    let items = "(ref.null func) (ref.func $f) (ref.null func) ".repeat(LEN / 3 + 1);
    let text = format!(
        r#"(module (table $t 100010 funcref) (table $u 100010 funcref) (elem $e funcref {items})
             (func $f (export "mark") (param $i i32) (result i32)
               (ref.is_null (table.get $t (local.get $i))))
             (func (export "init") (table.init $t $e (i32.const 0) (i32.const 0) (i32.const {LEN})))
             (func (export "up") (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const {LEN})))
             (func (export "down") (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const {LEN})))
             (func (export "there") (table.copy $u $t (i32.const 0) (i32.const 0) (i32.const {LEN})))
             (func (export "clear") (table.fill $t (i32.const 0) (ref.null func) (i32.const {LEN})))
             (func (export "back") (table.copy $t $u (i32.const 0) (i32.const 0) (i32.const {LEN}))))"#
    );
    let (engine, module) = engine_and_module(&text);
    let mut store = Store::new(&engine, &Limits::default(), ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module.expect("module"))
        .expect("instance");
    let mark = instance.func(&store, "mark").expect("export");
    let steps = [
        ("init", 1),
        ("up", 2),
        ("down", 1),
        ("there", 1),
        ("clear", 3),
        ("back", 1),
    ];
    for (name, first) in steps {
        let func = instance.func(&store, name).expect("export");
        let mut run = Execution::new(&mut store, func, &[]).expect("arguments");
        let mut slices = 1;
        while run.resume(&mut store, 10) == Step::Preempted {
            slices += 1;
        }
        assert!(slices >= 10, "{name}: {slices}");
        for i in (3..LEN - 3).step_by(997) {
            let is_null = first == 3 || i % 3 != first % 3;
            let results = mark.call(&mut store, &[Value::I32(i as i32)]).expect("results");
            assert_eq!(results, [Value::I32(i32::from(is_null))], "{name} {i}");
        }
    }
}
