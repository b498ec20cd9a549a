;; options:
;; Where operands are: in locals that a call has sent to the frame, and in slots.
(module
  (func)
  ;; A local in the frame is loaded once and cached.
  (func (param i32 i32) (result i32)
    (call 0)
    (i32.sub (local.get 0) (i32.mul (local.get 1) (local.get 0))))
  ;; The upper operand in its slot is read where it is; the lower one is loaded.
  (func (param i64 i64) (result i64)
    (i64.add (local.get 0) (i64.const 1))
    (i64.add (local.get 1) (i64.const 2))
    (call 0)
    (i64.sub))
  (func (param f64 f64) (result f64)
    (f64.add (local.get 0) (local.get 1))
    (f64.sqrt (local.get 1))
    (call 0)
    (f64.div))
  ;; Zero needs no register on its way to a local in the frame.
  (func (param i32)
    (call 0)
    (local.set 0 (i32.const 0)))
  (func (param i64)
    (call 0)
    (local.set 0 (i64.const 7)))
  ;; Declared locals start as zero.
  (func (local i32 i64 f64 v128)
    (call 0))
)
