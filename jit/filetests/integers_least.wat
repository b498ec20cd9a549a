;; options: cpu=least
;; The integer operators of which a processor with nothing beyond the least has no instruction.
(module
  (func (param i32 i32) (result i32) (i32.shl (local.get 0) (local.get 1)))
  (func (param i64 i64) (result i64) (i64.shr_s (local.get 0) (local.get 1)))
  (func (param i32 i32) (result i32) (i32.rotl (local.get 0) (local.get 1)))
  (func (param i32) (result i32) (i32.clz (local.get 0)))
  (func (param i64) (result i64) (i64.ctz (local.get 0)))
  (func (param i32) (result i32) (i32.popcnt (local.get 0)))
)
