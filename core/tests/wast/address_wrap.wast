;; An effective address is the 33-bit sum of base and offset: it never wraps back into the memory.
;; An engine that adds in 32 bits reads byte 0 where it must trap.

(module
  (memory 1)
  (data (i32.const 0) "\11\22\33\44\55\66\77\88")
  (func (export "load8") (param i32) (result i32) (i32.load8_u offset=0xffffffff (local.get 0)))
  (func (export "load32") (param i32) (result i32) (i32.load offset=0xffffffff align=1 (local.get 0)))
  (func (export "load64") (param i32) (result i64) (i64.load offset=0xfffffff8 (local.get 0)))
  (func (export "loadf64") (param i32) (result f64) (f64.load offset=0xfffffff8 (local.get 0)))
  (func (export "store8") (param i32) (i32.store8 offset=0xffffffff (local.get 0) (i32.const 0xee)))
  (func (export "store64") (param i32) (i64.store offset=0xfffffff8 (local.get 0) (i64.const -1)))
  ;; The same with a constant base, which a translator may fold.
  (func (export "const-load") (result i32) (i32.load8_u offset=0xffffffff (i32.const 1)))
  (func (export "const-store") (i32.store8 offset=0xffffffff (i32.const 1) (i32.const 0xee)))
  ;; A base that is itself computed by an addition that wraps: that one is arithmetic, and does wrap.
  (func (export "base-wraps") (param i32) (result i32) (i32.load8_u (i32.add (local.get 0) (i32.const 2))))
  (func (export "base-wraps-offset") (param i32) (result i32)
    (i32.load8_u offset=1 (i32.add (local.get 0) (i32.const 2))))
  (func (export "at") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "load32-at") (param i32) (result i32) (i32.load align=1 (local.get 0)))
  (func (export "load64-at") (param i32) (result i64) (i64.load offset=65528 (local.get 0))))

(assert_trap (invoke "load8" (i32.const 0)) "out of bounds memory access")
(assert_trap (invoke "load8" (i32.const 1)) "out of bounds memory access")
(assert_trap (invoke "load8" (i32.const -1)) "out of bounds memory access")
(assert_trap (invoke "load32" (i32.const 1)) "out of bounds memory access")
(assert_trap (invoke "load64" (i32.const 8)) "out of bounds memory access")
(assert_trap (invoke "load64" (i32.const -8)) "out of bounds memory access")
(assert_trap (invoke "loadf64" (i32.const 8)) "out of bounds memory access")
(assert_trap (invoke "store8" (i32.const 1)) "out of bounds memory access")
(assert_trap (invoke "store64" (i32.const 8)) "out of bounds memory access")
(assert_trap (invoke "const-load") "out of bounds memory access")
(assert_trap (invoke "const-store") "out of bounds memory access")
;; No store went through.
(assert_return (invoke "at" (i32.const 0)) (i32.const 0x11))
(assert_return (invoke "at" (i32.const 7)) (i32.const 0x88))
(assert_return (invoke "base-wraps" (i32.const -2)) (i32.const 0x11))
(assert_return (invoke "base-wraps-offset" (i32.const -1)) (i32.const 0x33))
(assert_trap (invoke "base-wraps-offset" (i32.const -3)) "out of bounds memory access")
;; The last bytes of the memory, and an access that straddles its end.
(assert_return (invoke "at" (i32.const 65535)) (i32.const 0))
(assert_trap (invoke "at" (i32.const 65536)) "out of bounds memory access")
(assert_return (invoke "load32-at" (i32.const 65532)) (i32.const 0))
(assert_trap (invoke "load32-at" (i32.const 65533)) "out of bounds memory access")
(assert_return (invoke "load64-at" (i32.const 0)) (i64.const 0))
(assert_trap (invoke "load64-at" (i32.const 1)) "out of bounds memory access")

;; A memory of no pages has no byte.
(module
  (memory 0)
  (func (export "load") (param i32) (result i32) (i32.load8_s (local.get 0)))
  (func (export "store") (param i32) (i64.store32 (local.get 0) (i64.const 0))))
(assert_trap (invoke "load" (i32.const 0)) "out of bounds memory access")
(assert_trap (invoke "load" (i32.const -1)) "out of bounds memory access")
(assert_trap (invoke "store" (i32.const 0)) "out of bounds memory access")
