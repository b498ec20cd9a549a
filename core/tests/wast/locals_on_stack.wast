;; local.get pushes the value that the local has then. A translator that pushes the local itself, to save a copy, must
;; rescue the old value when the local is written while it is still on the stack.

(module
  (func (export "set") (param i32) (result i32)
    (local.get 0)
    (local.set 0 (i32.const 10))
    (i32.sub (local.get 0)))

  (func (export "tee") (param i32) (result i32)
    (i32.sub (local.get 0) (local.tee 0 (i32.const 10))))

  (func (export "increment-in-place") (param i32) (result i32)
    (local.get 0)
    (local.set 0 (i32.add (local.get 0) (i32.const 1)))
    (local.get 0)
    (local.set 0 (i32.add (local.get 0) (i32.const 1)))
    (local.get 0)
    (i32.mul) (i32.mul))

  ;; The old value is there several times, and at several depths.
  (func (export "many") (param i64) (result i64 i64 i64 i64)
    (local.get 0) (local.get 0)
    (local.set 0 (i64.const 5))
    (local.get 0)
    (local.set 0 (i64.const 6))
    (local.get 0))

  ;; Written in a block, read from below it after its end.
  (func (export "across-block") (param i32) (result i32)
    (local.get 0)
    (block (local.set 0 (i32.const 20)))
    (i32.sub (local.get 0)))

  ;; Written in one arm only.
  (func (export "across-if") (param i32 i32) (result i32)
    (local.get 0)
    (if (local.get 1) (then (local.set 0 (i32.const 20))))
    (i32.sub (local.get 0)))

  ;; Written in the other arm only.
  (func (export "across-else") (param i32 i32) (result i32)
    (local.get 0)
    (if (local.get 1) (then) (else (local.set 0 (i32.const 20))))
    (i32.sub (local.get 0)))

  ;; Written on every turn of a loop that the old value lies below.
  (func (export "across-loop") (param i32) (result i32)
    (local $n i32)
    (local.get 0)
    (local.set $n (i32.const 3))
    (loop $again
      (local.set 0 (i32.mul (local.get 0) (i32.const 2)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.sub (local.get 0)))

  ;; The write is skipped by a branch.
  (func (export "skipped") (param i32 i32) (result i32)
    (local.get 0)
    (block
      (br_if 0 (local.get 1))
      (local.set 0 (i32.const 20)))
    (i32.sub (local.get 0)))

  ;; A branch takes the old value along.
  (func (export "branch-takes-old") (param i32) (result i32)
    (block (result i32)
      (local.get 0)
      (local.set 0 (i32.const 20))
      (br 0))
    (i32.sub (local.get 0)))

  ;; As operand of a call, of a store, of a select and as its own condition.
  (func $pair (param i32 i32) (result i32) (i32.sub (local.get 0) (local.get 1)))
  (func (export "argument") (param i32) (result i32)
    (call $pair (local.get 0) (local.tee 0 (i32.const 3))))
  (memory 1)
  (func (export "address") (param i32) (result i32)
    (i32.store (local.get 0) (local.tee 0 (i32.const 44)))
    (i32.load (i32.const 8)))
  (func (export "select") (param i32) (result i32)
    (select (local.get 0) (local.tee 0 (i32.const 9)) (local.tee 0 (i32.const 1))))
  (func (export "float") (param f64) (result f64)
    (f64.sub (local.get 0) (local.tee 0 (f64.const 0.5)))))

(assert_return (invoke "set" (i32.const 3)) (i32.const -7))
(assert_return (invoke "tee" (i32.const 3)) (i32.const -7))
(assert_return (invoke "increment-in-place" (i32.const 3)) (i32.const 60))
(assert_return (invoke "many" (i64.const 4)) (i64.const 4) (i64.const 4) (i64.const 5) (i64.const 6))
(assert_return (invoke "across-block" (i32.const 3)) (i32.const -17))
(assert_return (invoke "across-if" (i32.const 3) (i32.const 1)) (i32.const -17))
(assert_return (invoke "across-if" (i32.const 3) (i32.const 0)) (i32.const 0))
(assert_return (invoke "across-else" (i32.const 3) (i32.const 1)) (i32.const 0))
(assert_return (invoke "across-else" (i32.const 3) (i32.const 0)) (i32.const -17))
(assert_return (invoke "across-loop" (i32.const 3)) (i32.const -21))
(assert_return (invoke "skipped" (i32.const 3) (i32.const 1)) (i32.const 0))
(assert_return (invoke "skipped" (i32.const 3) (i32.const 0)) (i32.const -17))
(assert_return (invoke "branch-takes-old" (i32.const 3)) (i32.const -17))
(assert_return (invoke "argument" (i32.const 10)) (i32.const 7))
(assert_return (invoke "address" (i32.const 8)) (i32.const 44))
(assert_return (invoke "select" (i32.const 5)) (i32.const 5))
(assert_return (invoke "float" (f64.const 2)) (f64.const 1.5))
