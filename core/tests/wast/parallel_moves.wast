;; Values that change places. A translator that keeps stack values in registers has to move several of them at once
;; where control joins; done one after the other, a move overwrites the source of the next.

(module
  ;; Parameters of a loop rotate on every turn.
  (func (export "rotate") (param $n i32) (result i32 i32 i32)
    (i32.const 1) (i32.const 2) (i32.const 3)
    (loop $again (param i32 i32 i32) (result i32 i32 i32)
      (call $rot)
      (br_if $again (i32.ne (i32.const 0) (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
  (func $rot (param i32 i32 i32) (result i32 i32 i32) (local.get 1) (local.get 2) (local.get 0))

  ;; The same through locals, without a call.
  (func (export "rotate-locals") (param $n i32) (result i32 i32 i32)
    (local $a i32) (local $b i32) (local $c i32)
    (i32.const 1) (i32.const 2) (i32.const 3)
    (loop $again (param i32 i32 i32) (result i32 i32 i32)
      (local.set $c) (local.set $b) (local.set $a)
      (local.get $b) (local.get $c) (local.get $a)
      (br_if $again (i32.ne (i32.const 0) (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))

  ;; Two locals are swapped by way of the stack: both old values are there before either is written.
  (func (export "swap-locals") (param i64 i64) (result i64 i64)
    (local.get 1) (local.get 0)
    (local.set 1) (local.set 0)
    (local.get 0) (local.get 1))

  ;; A cycle of four, a chain that hangs on it, and a value that goes to two places.
  (func (export "cycle") (param i32 i32 i32 i32) (result i32 i32 i32 i32 i32 i32)
    (local.get 3) (local.get 0) (local.get 1) (local.get 2)
    (local.set 3) (local.set 2) (local.set 1) (local.set 0)
    (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 0) (local.get 0))

  ;; Fibonacci with both numbers as parameters of the loop: (a, b) <- (b, a + b).
  (func (export "fibonacci") (param $n i32) (result i64)
    (local $a i64) (local $b i64)
    (i64.const 0) (i64.const 1)
    (loop $again (param i64 i64) (result i64 i64)
      (local.set $b) (local.tee $a) (local.get $b)
      (block $continue (param i64 i64) (result i64 i64)
        (br_if $continue (i32.eqz (local.get $n)))
        (drop) (drop)
        (local.get $b)
        (i64.add (local.get $a) (local.get $b))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $again)))
    (drop))

  ;; Arguments of a call that are the callee's parameters in another order, of other types.
  (func $sub3 (param i32 f64 i64) (result f64)
    (f64.sub (f64.sub (f64.convert_i32_s (local.get 0)) (local.get 1)) (f64.convert_i64_s (local.get 2))))
  (func (export "call-permuted") (param i64 i32 f64) (result f64)
    (call $sub3 (local.get 1) (local.get 2) (local.get 0)))

  ;; A branch takes the top values over ones that stay below, and those it lands on are its sources.
  (func (export "shift-down") (param i32) (result i32 i32)
    (block (result i32 i32)
      (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4)
      (br_if 0 (local.get 0))
      (drop) (drop)))

  ;; Return of more values than one, permuted parameters of the function itself.
  (func (export "return-permuted") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    (return (local.get 3) (local.get 2) (local.get 1) (local.get 0)))

  ;; Both arms of an if give the two values, crossed in one of them.
  (func (export "cross-if") (param i32 i32 i32) (result i32 i32)
    (local.get 0) (local.get 1)
    (if (param i32 i32) (result i32 i32) (local.get 2)
      (then (local.set 0) (local.set 1) (local.get 0) (local.get 1))
      (else))))

(assert_return (invoke "rotate" (i32.const 1)) (i32.const 2) (i32.const 3) (i32.const 1))
(assert_return (invoke "rotate" (i32.const 2)) (i32.const 3) (i32.const 1) (i32.const 2))
(assert_return (invoke "rotate" (i32.const 300)) (i32.const 1) (i32.const 2) (i32.const 3))
(assert_return (invoke "rotate-locals" (i32.const 1)) (i32.const 2) (i32.const 3) (i32.const 1))
(assert_return (invoke "rotate-locals" (i32.const 301)) (i32.const 2) (i32.const 3) (i32.const 1))
(assert_return (invoke "swap-locals" (i64.const 1) (i64.const 2)) (i64.const 2) (i64.const 1))
(assert_return (invoke "cycle" (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4))
  (i32.const 4) (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 4))
(assert_return (invoke "fibonacci" (i32.const 0)) (i64.const 0))
(assert_return (invoke "fibonacci" (i32.const 1)) (i64.const 1))
(assert_return (invoke "fibonacci" (i32.const 50)) (i64.const 12586269025))
(assert_return (invoke "call-permuted" (i64.const 5) (i32.const 100) (f64.const 0.5)) (f64.const 94.5))
(assert_return (invoke "shift-down" (i32.const 0)) (i32.const 1) (i32.const 2))
(assert_return (invoke "shift-down" (i32.const 1)) (i32.const 3) (i32.const 4))
(assert_return (invoke "return-permuted" (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4))
  (f64.const 4) (f32.const 3) (i64.const 2) (i32.const 1))
(assert_return (invoke "cross-if" (i32.const 1) (i32.const 2) (i32.const 1)) (i32.const 2) (i32.const 1))
(assert_return (invoke "cross-if" (i32.const 1) (i32.const 2) (i32.const 0)) (i32.const 1) (i32.const 2))
