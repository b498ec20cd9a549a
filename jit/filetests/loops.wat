;; options:
;; Loops: the locals that they use stay in registers around them.
(module
  (memory 1)
  (func)
  (func (param i32 i32) (result i32)
    (loop
      (local.set 1 (i32.add (local.get 1) (local.get 0)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  ;; A sum over memory: base and counter in registers, one way back.
  (func (param $from i32) (param $count i32) (result f64)
    (local $sum f64)
    (block
      (loop
        (br_if 1 (i32.eqz (local.get $count)))
        (local.set $sum (f64.add (local.get $sum) (f64.load (local.get $from))))
        (local.set $from (i32.add (local.get $from) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br 0)))
    (local.get $sum))
  ;; A call inside: what the loop keeps in registers is stored and loaded around it.
  (func (param i32)
    (loop
      (call 0)
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  ;; One inside the other.
  (func (param i32 i32) (local i32)
    (loop
      (local.set 2 (local.get 1))
      (loop
        (br_if 0 (local.tee 2 (i32.sub (local.get 2) (i32.const 1)))))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  ;; A loop with a parameter.
  (func (param i32) (result i32)
    (local.get 0)
    (loop (param i32) (result i32)
      (local.tee 0 (i32.sub (i32.const 1)))
      (br_if 0 (local.get 0) (i32.gt_s (local.get 0) (i32.const 5)))))
)
