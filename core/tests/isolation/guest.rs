//! The guest that looks for what others have left, and then leaves as much as it can.
//!
//! ```text
//!   run(secret, how) = look: memories, grown pages, locals, globals, tables, segments, results ──► host.report(bits)
//!                      leave, if the secret is not 0: the same places, filled with it
//!                      end, as `how` says: return, trap, loop, wait, exit, fault, overflow the stack
//! ```
//!
//! Each check has a bit of what is reported, so that a failure names the place: see [`PLACES`].

use std::fmt::Write;

/// How a run ends, by number.
pub(crate) const ENDINGS: i32 = 7;

/// What each bit stands for.
pub(crate) const PLACES: [&str; 14] = [
    "memory between its data",
    "data in memory",
    "size of memory",
    "pages that it grew by",
    "locals",
    "locals after a call",
    "locals in a loop",
    "locals behind a branch",
    "locals in a handler",
    "globals",
    "references in globals",
    "tables",
    "segments",
    "results of the host",
];

/// Locals of each type in a frame.
const LOCALS: usize = 24;

/// What a module differs in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Byte of its data, and number of its constants.
    pub(crate) mark: u8,
    /// Type of its memory's addresses.
    pub(crate) address: &'static str,
    /// Whether it has a second memory.
    pub(crate) two: bool,
}

/// A module that looks, leaves and ends.
#[expect(clippy::too_many_lines, reason = "most of them are one WebAssembly text")]
pub(crate) fn module(kind: Kind) -> String {
    let memories: &[&str] = if kind.two { &["a", "b"] } else { &["a"] };
    let mut text = String::from(HEAD);
    for memory in memories {
        text += &memory_of(kind, memory);
    }
    for (name, before, after) in VARIANTS {
        text += &reader(name, before, after);
    }
    text += &writer();
    let mark = kind.mark;
    let data = format!("\\{mark:02x}").repeat(8);
    let word = i64::from_le_bytes([mark; 8]);
    let look: String = memories
        .iter()
        .map(|memory| format!("(call $look_{memory})"))
        .collect();
    let leave: String = memories
        .iter()
        .map(|memory| format!("(call $leave_{memory} (local.get $secret))"))
        .collect();
    let (address, memory_64) = (kind.address, kind.address == "i64");
    let word_at = if memory_64 {
        "(i64.const 512)"
    } else {
        "(i32.const 512)"
    };
    let _ = write!(
        text,
        r#"(data $later "{data}")
        (global $i (mut i32) (i32.const {mark})) (global $l (mut i64) (i64.const {mark}))
        (global $f (mut f32) (f32.const {mark})) (global $d (mut f64) (f64.const {mark}))
        (global $v (mut v128) (v128.const i64x2 {mark} {mark}))
        (func $look_segments
          (memory.init $a $later {word_at} (i32.const 0) (i32.const 8))
          (call $note (i32.const 12) (i64.ne (i64.load $a {word_at}) (i64.const {word})))
          (i64.store $a {word_at} (i64.const 0))
          (table.init $t $refs (i32.const 6) (i32.const 0) (i32.const 2))
          (call $note (i32.const 12) (i64.ne (call_indirect $t (type $number) (i32.const 6)) (i64.const 2)))
          (table.set $t (i32.const 6) (ref.null func)) (table.set $t (i32.const 7) (ref.null func)))
        (func $look_globals
          (call $note (i32.const 9) (i32.ne (global.get $i) (i32.const {mark})))
          (call $note (i32.const 9) (i64.ne (global.get $l) (i64.const {mark})))
          (call $note (i32.const 9) (f32.ne (global.get $f) (f32.const {mark})))
          (call $note (i32.const 9) (f64.ne (global.get $d) (f64.const {mark})))
          (call $note (i32.const 9)
            (v128.any_true (v128.xor (global.get $v) (v128.const i64x2 {mark} {mark})))))
        (func $leave_globals (param $secret i64)
          (global.set $i (i32.wrap_i64 (local.get $secret))) (global.set $l (local.get $secret))
          (global.set $f (f32.reinterpret_i32 (global.get $i))) (global.set $d (f64.reinterpret_i64 (local.get $secret)))
          (global.set $v (i64x2.splat (local.get $secret))))
        (func (export "run") (param $secret i64) (param $how i32) (local $depth i32)
          (local.set $depth (select (i32.const 80) (i32.const 8) (i64.eqz (i64.and (local.get $secret) (i64.const 15)))))
          {look} (call $look_globals) (call $look_references) (call $look_results)
          (call $note (i32.const 4) (call $plain (local.get $depth) (i32.const 0)))
          (call $note (i32.const 5) (call $call (local.get $depth) (i32.const 0)))
          (call $note (i32.const 6) (call $loop (local.get $depth) (i32.const 0)))
          (call $note (i32.const 7) (call $branch (local.get $depth) (i32.const 0)))
          (call $note (i32.const 8) (call $handler (local.get $depth) (i32.const 0)))
          (call $look_segments)
          (call $report (global.get $found))
          (if (i64.eqz (local.get $secret)) (then (return)))
          {leave} (call $leave_globals (local.get $secret)) (call $leave_references (local.get $secret))
          (drop (call $fill (i32.const 40) (local.get $secret)))
          (call $end (local.get $how) (local.get $secret)))
        (func $end (param $how i32) (param $secret i64) (local $v v128) (local $x f64)
          (local.set $v (i64x2.splat (local.get $secret))) (local.set $x (f64.reinterpret_i64 (local.get $secret)))
          (block $return (block $trap (block $loop (block $wait (block $exit (block $fault (block $stack
            (br_table $return $trap $loop $wait $exit $fault $stack (local.get $how)))
            (drop (call $fill (i32.const 0x7fffffff) (local.get $secret))) return)
            (v128.store $a ({address}.const 0xfffffff0) (local.get $v)) return)
            (call $exit) return)
            (loop $again (call $wait) (br $again)))
            (loop $again
              (v128.store $a ({address}.const 4096) (local.get $v)) (f64.store $a ({address}.const 8192) (local.get $x))
              (local.set $v (v128.not (v128.not (local.get $v)))) (br $again)))
            unreachable))
        )"#
    );
    text
}

const HEAD: &str = r#"(module
    (import "host" "report" (func $report (param i64)))
    (import "host" "forget" (func $forget (result i64 v128 i32)))
    (import "host" "wait" (func $wait))
    (import "host" "exit" (func $exit))
    (type $number (func (result i64)))
    (tag $e (param i64 v128))
    (global $found (export "found") (mut i64) (i64.const 0))
    (global $func (mut funcref) (ref.func $one)) (global $exn (mut exnref) (ref.null exn))
    (global $extern (mut externref) (ref.null extern))
    (table $t 8 40 funcref) (table $x 2 10 exnref)
    (elem (table $t) (i32.const 1) func $one $two) (elem $refs func $two $one)
    (func $one (type $number) (i64.const 1))
    (func $two (type $number) (i64.const 2))
    (func $note (param $bit i32) (param $found i32)
      (if (local.get $found) (then
        (global.set $found (i64.or (global.get $found) (i64.shl (i64.const 1) (i64.extend_i32_u (local.get $bit))))))))
    (func $look_references (local $i i32)
      (call $note (i32.const 10) (ref.is_null (global.get $func)))
      (call $note (i32.const 10) (i32.eqz (ref.is_null (global.get $exn))))
      (call $note (i32.const 10) (i32.eqz (ref.is_null (global.get $extern))))
      (call $note (i32.const 11) (i32.ne (table.size $t) (i32.const 8)))
      (call $note (i32.const 11) (i32.ne (table.size $x) (i32.const 2)))
      (call $note (i32.const 11) (i64.ne (call_indirect $t (type $number) (i32.const 1)) (i64.const 1)))
      (call $note (i32.const 11) (i64.ne (call_indirect $t (type $number) (i32.const 2)) (i64.const 2)))
      (call $note (i32.const 11) (i32.eqz (ref.is_null (table.get $t (i32.const 0)))))
      (local.set $i (i32.const 3))
      (loop $again
        (call $note (i32.const 11) (i32.eqz (ref.is_null (table.get $t (local.get $i)))))
        (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8))))
      (call $note (i32.const 11) (i32.eqz (ref.is_null (table.get $x (i32.const 0)))))
      (call $note (i32.const 11) (i32.eqz (ref.is_null (table.get $x (i32.const 1))))))
    (func $leave_references (param $secret i64) (local $e exnref)
      (block $h (result i64 v128 exnref)
        (try_table (catch_ref $e $h) (throw $e (local.get $secret) (i64x2.splat (local.get $secret))))
        unreachable)
      (local.set $e) (drop) (drop)
      (global.set $exn (local.get $e)) (global.set $func (ref.func $two))
      (drop (table.grow $x (local.get $e) (i32.const 4))) (table.fill $x (i32.const 0) (local.get $e) (i32.const 6))
      (drop (table.grow $t (ref.func $two) (i32.const 20))) (table.fill $t (i32.const 0) (ref.func $two) (i32.const 28))
      (data.drop $later) (elem.drop $refs))
    (func $look_results (local $l i64) (local $i i32) (local $v v128)
      (call $forget) (local.set $i) (local.set $v) (local.set $l)
      (call $note (i32.const 13) (i64.ne (local.get $l) (i64.const 0)))
      (call $note (i32.const 13) (local.get $i))
      (call $note (i32.const 13) (v128.any_true (local.get $v))))
    "#;

/// A memory with data at its start, middle and end; what looks at all of it, grows it and looks at what has come; and what
/// fills it.
fn memory_of(kind: Kind, memory: &str) -> String {
    let Kind { mark, address, .. } = kind;
    let data = format!("\\{mark:02x}").repeat(64);
    let mut text = format!(
        "(memory ${memory} {} 1 4)",
        if address == "i64" { "i64" } else { "" }
    );
    let mut checks = String::new();
    for place in [0, 32_768, 65_472] {
        let _ = write!(
            text,
            r#"(data (memory ${memory}) ({address}.const {place}) "{data}")"#
        );
        for line in (place..place + 64).step_by(16) {
            let _ = write!(
                checks,
                "(call $note (i32.const 1) (v128.any_true (v128.xor
                   (v128.load ${memory} ({address}.const {line})) (i8x16.splat (i32.const {mark})))))"
            );
        }
    }
    let _ = write!(
        text,
        r#"(func $any_{memory} (param $at {address}) (param $end {address}) (result i32) (local $any v128)
          (loop $again
            (local.set $any (v128.or (local.get $any) (v128.or
              (v128.or (v128.load ${memory} (local.get $at)) (v128.load ${memory} offset=16 (local.get $at)))
              (v128.or (v128.load ${memory} offset=32 (local.get $at)) (v128.load ${memory} offset=48 (local.get $at))))))
            (local.set $at ({address}.add (local.get $at) ({address}.const 64)))
            (br_if $again ({address}.lt_u (local.get $at) (local.get $end))))
          (v128.any_true (local.get $any)))
        (func $look_{memory} {checks}
          (call $note (i32.const 0) (call $any_{memory} ({address}.const 64) ({address}.const 32768)))
          (call $note (i32.const 0) (call $any_{memory} ({address}.const 32832) ({address}.const 65472)))
          (call $note (i32.const 2) ({address}.ne (memory.grow ${memory} ({address}.const 2)) ({address}.const 1)))
          (call $note (i32.const 3) (call $any_{memory} ({address}.const 65536) ({address}.const 196608))))
        (func $leave_{memory} (param $secret i64)
          (drop (memory.grow ${memory} ({address}.const 1)))
          (memory.fill ${memory} ({address}.const 0) (i32.wrap_i64 (local.get $secret))
            ({address}.mul (memory.size ${memory}) ({address}.const 65536))))"#
    );
    text
}

/// Functions that look at locals which nobody has written: name, what comes before, what comes behind.
const VARIANTS: [(&str, &str, &str); 5] = [
    ("plain", "", ""),
    (
        "call",
        "(drop (call_indirect $t (type $number) (i32.const 1)))",
        "",
    ),
    (
        "loop",
        "(loop $twice",
        "(br_if $twice (i32.eq (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1))))",
    ),
    ("branch", "WRITE", ""),
    (
        "handler",
        "(block $h (try_table (catch_all $h) (throw $e (i64.const 0) (v128.const i64x2 0 0))))",
        "",
    ),
];

/// All locals of a frame, by type.
fn locals() -> String {
    ["i32", "i64", "f32", "f64", "v128"]
        .map(|ty| {
            (0..LOCALS)
                .map(|i| format!("(local ${ty}_{i} {ty})"))
                .collect::<String>()
        })
        .concat()
}

/// Writes all locals with `$secret`, in which no byte is 0.
fn write_locals(secret: &str) -> String {
    let values = [
        ("i32", format!("(i32.wrap_i64 {secret})")),
        ("i64", secret.to_owned()),
        ("f32", format!("(f32.reinterpret_i32 (i32.wrap_i64 {secret}))")),
        ("f64", format!("(f64.reinterpret_i64 {secret})")),
        ("v128", format!("(i64x2.splat {secret})")),
    ];
    values
        .map(|(ty, value)| {
            (0..LOCALS)
                .map(|i| format!("(local.set ${ty}_{i} {value})"))
                .collect::<String>()
        })
        .concat()
}

/// Adds all locals' bits to `$any` and `$vectors`.
fn read_locals() -> String {
    let bits = [
        ("i32", "(i64.extend_i32_u", ")"),
        ("i64", "(i64.or (i64.const 0)", ")"),
        ("f32", "(i64.extend_i32_u (i32.reinterpret_f32", "))"),
        ("f64", "(i64.reinterpret_f64", ")"),
    ];
    let mut text = String::new();
    for i in 0..LOCALS {
        for (ty, open, close) in bits {
            let _ = write!(
                text,
                "(local.set $any (i64.or (local.get $any) {open} (local.get ${ty}_{i}){close}))"
            );
        }
        let _ = write!(
            text,
            "(local.set $vectors (v128.or (local.get $vectors) (local.get $v128_{i})))"
        );
    }
    text
}

/// Looks at its locals, `depth` times over.
fn reader(name: &str, before: &str, after: &str) -> String {
    let before = match before {
        "WRITE" => format!("(if (local.get $n) (then {}))", write_locals("(i64.const -1)")),
        other => other.to_owned(),
    };
    format!(
        r#"(func ${name} (param $depth i32) (param $n i32) (result i32) {} (local $any i64) (local $vectors v128)
          {before} {} {after}
          (i32.or (i32.or (i64.ne (local.get $any) (i64.const 0)) (v128.any_true (local.get $vectors)))
            (if (result i32) (local.get $depth)
              (then (call ${name} (i32.sub (local.get $depth) (i32.const 1)) (i32.const 0)))
              (else (i32.const 0)))))"#,
        locals(),
        read_locals()
    )
}

/// Fills its locals, `depth` times over, and needs them afterwards.
fn writer() -> String {
    format!(
        r#"(func $fill (param $depth i32) (param $secret i64) (result i64) {} (local $any i64) (local $vectors v128)
          {}
          (if (local.get $depth) (then
            (local.set $any (call $fill (i32.sub (local.get $depth) (i32.const 1)) (local.get $secret)))))
          {}
          (i64.or (local.get $any) (i64x2.extract_lane 0 (local.get $vectors))))"#,
        locals(),
        write_locals("(local.get $secret)"),
        read_locals()
    )
}
