;; options:
;; More values than registers: the one that is cheapest to do without goes to its slot.
(module
  (func (param i32 i32 i32 i32 i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1)) (i32.add (local.get 1) (local.get 2))
    (i32.add (local.get 2) (local.get 3)) (i32.add (local.get 3) (local.get 4))
    (i32.add (local.get 4) (local.get 5)) (i32.add (local.get 5) (local.get 0))
    (i32.sub (local.get 0) (local.get 2)) (i32.sub (local.get 1) (local.get 3))
    (i32.xor) (i32.xor) (i32.xor) (i32.xor) (i32.xor) (i32.xor) (i32.xor))
  ;; Operands in a local that is written get out of it first.
  (func (param i32 i32) (result i32)
    (local.get 0) (local.get 0)
    (local.set 0 (i32.const 1))
    (i32.mul)
    (local.get 0)
    (i32.sub))
)
