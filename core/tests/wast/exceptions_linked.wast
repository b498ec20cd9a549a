;; Exceptions between instances: whose memory and globals a handler sees, which tags are the same, and frames of tail calls
;; between instances on the way.

(module $thrower
  (tag $e (export "e") (param i32 v128))
  (tag $own (param i32 v128))
  (tag $alike (export "alike") (param i32 v128))
  (memory (export "memory") 1)
  (data (i32.const 0) "\01")
  (global (export "kept") (mut exnref) (ref.null exn))
  (table (export "table") 2 funcref)
  (func (export "throw") (param i32)
    (throw $e (i32.add (local.get 0) (i32.load8_u (i32.const 0))) (v128.const i64x2 6 7)))
  (func (export "throw_own") (param i32) (throw $own (local.get 0) (v128.const i64x2 0 0)))
  (func (export "throw_alike") (param i32) (throw $alike (local.get 0) (v128.const i64x2 0 0)))
  (func (export "rethrow") (throw_ref (global.get 0))))
(register "thrower" $thrower)

(module $between
  (import "thrower" "throw" (func $throw (param i32)))
  (import "thrower" "table" (table 2 funcref))
  (memory 1)
  (data (i32.const 0) "\02")
  (elem (i32.const 0) $tail)
  (func (export "call") (param i32) (call $throw (i32.add (local.get 0) (i32.load8_u (i32.const 0)))))
  (func $tail (export "tail") (param i32)
    (return_call $throw (i32.add (local.get 0) (i32.load8_u (i32.const 0))))))
(register "between" $between)

(module $catcher
  (import "thrower" "e" (tag $e (param i32 v128)))
  (import "thrower" "e" (tag $same (param i32 v128)))
  (import "thrower" "alike" (tag $alike (param i32 v128)))
  (import "thrower" "kept" (global $kept (mut exnref)))
  (import "thrower" "throw" (func $throw (param i32)))
  (import "thrower" "throw_own" (func $throw_own (param i32)))
  (import "thrower" "throw_alike" (func $throw_alike (param i32)))
  (import "thrower" "rethrow" (func $rethrow))
  (import "between" "call" (func $between (param i32)))
  (import "between" "tail" (func $tail (param i32)))
  (import "thrower" "table" (table $table 2 funcref))
  (tag $own (param i32 v128))
  (type $int (func (param i32)))
  (memory 1)
  (data (i32.const 0) "\04")
  (global $mine i32 (i32.const 1000))

  (func $call (param i32 i32)
    (block $e (block $d (block $c (block $b (block $a (block $z
      (br_table $z $a $b $c $d $e (local.get 0)))
      (call $throw (local.get 1)) (return))
      (call $throw_own (local.get 1)) (return))
      (call $throw_alike (local.get 1)) (return))
      (call $between (local.get 1)) (return))
      (call $tail (local.get 1)) (return))
    (call_indirect $table (type $int) (local.get 1) (i32.const 0)))

  ;; Memory and global are the catching instance's own again.
  (func (export "catch") (param i32 i32) (result i32 v128) (local $v v128)
    (block $other
      (block $h (result i32 v128)
        (block $never (result i32 v128)
          (try_table (catch $own $never) (catch $same $h) (catch_all $other)
            (call $call (local.get 0) (local.get 1)))
          (unreachable))
        (unreachable))
      (local.set $v)
      (i32.add (i32.load8_u (i32.const 0)))
      (i32.add (global.get $mine))
      (local.get $v)
      (return))
    (i32.load8_u (i32.const 0)) (v128.const i64x2 0 0))

  (func (export "keep") (param i32)
    (block $h (result exnref)
      (try_table (catch_all_ref $h) (call $call (i32.const 4) (local.get 0)))
      (unreachable))
    (global.set $kept))
  (func (export "kept") (result i32 v128)
    (try_table (catch $e 0) (call $rethrow))
    (unreachable)))

(assert_return (invoke "catch" (i32.const 0) (i32.const 100)) (i32.const 1105) (v128.const i64x2 6 7))
(assert_return (invoke "catch" (i32.const 1) (i32.const 100)) (i32.const 4) (v128.const i64x2 0 0))
(assert_return (invoke "catch" (i32.const 2) (i32.const 100)) (i32.const 4) (v128.const i64x2 0 0))
(assert_return (invoke "catch" (i32.const 3) (i32.const 100)) (i32.const 1107) (v128.const i64x2 6 7))
(assert_return (invoke "catch" (i32.const 4) (i32.const 100)) (i32.const 1107) (v128.const i64x2 6 7))
(assert_return (invoke "catch" (i32.const 5) (i32.const 100)) (i32.const 1107) (v128.const i64x2 6 7))
(assert_trap (invoke "kept") "null exception reference")
(assert_return (invoke "keep" (i32.const 50)))
(assert_return (invoke "kept") (i32.const 53) (v128.const i64x2 6 7))
(assert_return (invoke "kept") (i32.const 53) (v128.const i64x2 6 7))
(assert_exception (invoke $thrower "rethrow"))
(assert_exception (invoke $between "tail" (i32.const 1)))

;; Tags are linked by identity, and imported by type.
(assert_unlinkable
  (module (import "thrower" "e" (tag (param i32))))
  "incompatible import type")
(assert_unlinkable
  (module (import "thrower" "throw" (tag (param i32 v128))))
  "incompatible import type")
(assert_unlinkable
  (module (import "thrower" "no such" (tag)))
  "unknown import")

;; One module twice has two tags.
(module definition $twin
  (tag $t (export "t"))
  (func (export "throw") (throw $t)))
(module instance $one $twin)
(module instance $two $twin)
(register "one" $one)
(register "two" $two)
(module
  (import "one" "t" (tag $one))
  (import "two" "t" (tag $two))
  (import "two" "throw" (func $throw))
  (func (export "whose") (result i32)
    (block $a
      (block $b
        (try_table (catch $one $a) (catch $two $b) (call $throw))
        (unreachable))
      (return (i32.const 2)))
    (i32.const 1)))
(assert_return (invoke "whose") (i32.const 2))
