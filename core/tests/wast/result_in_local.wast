;; A result may be computed where the local lies that the next operator writes. What else still needs the local's old value
;; has to be moved out of its way, without losing anything that the operator under way has already prepared.

(module
  (memory $a 1) (memory $b 1)
  (data (memory $b) (i32.const 16) "\2a\00\00\00\00\00\00\00\00\00\00\00\00\00\f0\3f")
  (func $nothing)

  ;; After the call the local is in memory, and the values on the stack take all registers but the one that the loop keeps
  ;; for the local. The old value moves to memory while the base of the second memory is at hand.
  (func (export "load") (param $x i32) (result i32)
    (loop (result i32)
      (call $nothing)
      (local.get $x)
      (i32.load $a (i32.const 0)) (i32.load $a (i32.const 4)) (i32.load $a (i32.const 8)) (i32.load $a (i32.const 12)) (i32.load $a (i32.const 16)) (i32.load $a (i32.const 20)) (i32.load $a (i32.const 24)) (i32.load $a (i32.const 28)) (i32.load $a (i32.const 32))
      (local.set $x (i32.load $b (i32.const 16)))
      (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop)
      (i32.sub (local.get $x))))
  (func (export "load-float") (param $x f64) (result f64)
    (loop (result f64)
      (call $nothing)
      (local.get $x)
      (f64.load $a (i32.const 0)) (f64.load $a (i32.const 8)) (f64.load $a (i32.const 16)) (f64.load $a (i32.const 24)) (f64.load $a (i32.const 32)) (f64.load $a (i32.const 40)) (f64.load $a (i32.const 48)) (f64.load $a (i32.const 56)) (f64.load $a (i32.const 64)) (f64.load $a (i32.const 72)) (f64.load $a (i32.const 80)) (f64.load $a (i32.const 88)) (f64.load $a (i32.const 96))
      (local.set $x (f64.load $b (i32.const 24)))
      (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop)
      (f64.sub (local.get $x)))))

(assert_return (invoke "load" (i32.const 100)) (i32.const 58))
(assert_return (invoke "load-float" (f64.const 100)) (f64.const 99))
