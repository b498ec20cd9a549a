;; br_table: indices are unsigned, the last label is the default, and values go along to each target's own height.

(module
  (func (export "only-default") (param i32) (result i32)
    (block (result i32) (br_table 0 (i32.const 5) (local.get 0))))

  (func (export "three") (param i32) (result i32)
    (block
      (block
        (block
          (br_table 0 1 2 (local.get 0)))
        (return (i32.const 100)))
      (return (i32.const 101)))
    (i32.const 102))

  ;; The same label more than once, and the function's own label as the default.
  (func (export "repeated") (param i32) (result i32)
    (block (result i32)
      (i32.add (i32.const 1000)
        (block (result i32)
          (br_table 0 1 0 1 2 (i32.const 7) (local.get 0))))))

  ;; A target with values below it that are dropped, and one with none.
  (func (export "heights") (param i32) (result i64)
    (i64.const 1)
    (block (result i64)
      (i64.const 10)
      (block (result i64)
        (i64.const 20)
        (i64.const 30)
        (i64.const 40)
        (br_table 0 1 (local.get 0)))
      (i64.add))
    (i64.add))

  ;; Two values at once, to targets of different depth.
  (func (export "pairs") (param i32) (result i32 i32)
    (i32.const 9)
    (block (result i32 i32)
      (i32.const 1) (i32.const 2)
      (block (param i32 i32) (result i32 i32)
        (br_table 0 1 (local.get 0)))
      (drop) (drop) (i32.const 3) (i32.const 4))
    (i32.sub)
    (i32.const 0)
    (i32.add))

  ;; A loop among the targets: the loop takes its parameter, the block its result.
  (func (export "loop") (param i32) (result i32)
    (block $out (result i32)
      (i32.const 0)
      (loop $again (param i32) (result i32)
        (i32.add (i32.const 1))
        (br_table $again $out (i32.ge_u (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0x80000000))))))

  ;; The index is a constant; what follows is dead code.
  (func (export "constant") (result i32)
    (block (result i32)
      (block (result i32)
        (br_table 0 1 (i32.const 8) (i32.const 1))
        (i32.add (i32.const 1)))
      (i32.const 50)
      (i32.add)))

  ;; The index is the value that goes along, too.
  (func (export "index-is-value") (param i32) (result i32)
    (block (result i32)
      (block (result i32)
        (br_table 0 1 (local.get 0) (local.get 0)))
      (i32.add (i32.const 1000)))))

(assert_return (invoke "only-default" (i32.const 0)) (i32.const 5))
(assert_return (invoke "only-default" (i32.const -1)) (i32.const 5))
(assert_return (invoke "three" (i32.const 0)) (i32.const 100))
(assert_return (invoke "three" (i32.const 1)) (i32.const 101))
(assert_return (invoke "three" (i32.const 2)) (i32.const 102))
(assert_return (invoke "three" (i32.const 3)) (i32.const 102))
(assert_return (invoke "three" (i32.const -1)) (i32.const 102))
(assert_return (invoke "three" (i32.const 0x80000000)) (i32.const 102))
(assert_return (invoke "repeated" (i32.const 0)) (i32.const 1007))
(assert_return (invoke "repeated" (i32.const 1)) (i32.const 7))
(assert_return (invoke "repeated" (i32.const 2)) (i32.const 1007))
(assert_return (invoke "repeated" (i32.const 3)) (i32.const 7))
(assert_return (invoke "repeated" (i32.const 4)) (i32.const 7))
(assert_return (invoke "repeated" (i32.const 0xffffffff)) (i32.const 7))
(assert_return (invoke "heights" (i32.const 0)) (i64.const 51))
(assert_return (invoke "heights" (i32.const 1)) (i64.const 41))
(assert_return (invoke "pairs" (i32.const 0)) (i32.const 9) (i32.const -1))
(assert_return (invoke "pairs" (i32.const 1)) (i32.const 9) (i32.const -1))
(assert_return (invoke "loop" (i32.const 5)) (i32.const 6))
(assert_return (invoke "loop" (i32.const 0)) (i32.const 1))
(assert_return (invoke "constant") (i32.const 8))
(assert_return (invoke "index-is-value" (i32.const 0)) (i32.const 1000))
(assert_return (invoke "index-is-value" (i32.const 1)) (i32.const 1))
(assert_return (invoke "index-is-value" (i32.const 77)) (i32.const 77))
