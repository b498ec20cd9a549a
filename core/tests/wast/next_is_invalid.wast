;; The next operator is looked at before it is validated: nothing may be taken from it that does not hold.
(assert_invalid
  (module (func (param i32) (local.set 1 (i32.add (local.get 0) (local.get 0)))))
  "unknown local")
(assert_invalid
  (module (func (param i32) (drop (local.tee 0xffffffff (i32.load8_u (local.get 0))))) (memory 1))
  "unknown local")
(assert_invalid
  (module (func (param i32 f64) (local.set 1 (i32.add (local.get 0) (local.get 0)))))
  "type mismatch")
(assert_invalid
  (module (func (param i32 v128) (local.set 0 (i8x16.add (local.get 1) (local.get 1)))))
  "type mismatch")
