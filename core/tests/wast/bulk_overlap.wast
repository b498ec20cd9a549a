;; Bulk operations on more than 64 KiB, with source and destination overlapping either way: an engine that works in
;; chunks, to stay interruptible, must still behave as if it copied everything at once, and check before it writes.

(module
  (memory 4)
  (data $d "abcdefgh")
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param i32 i32 i32) (memory.init $d (local.get 0) (local.get 1) (local.get 2)))
  (func (export "drop") (data.drop $d))
  (func (export "at") (param i32) (result i32) (i32.load8_u (local.get 0)))
  ;; The low byte of i * 7 + i / 256 + i / 65536 * 31: no shift by less than the memory maps it to itself.
  (func $pattern (param $i i32) (result i32)
    (i32.and (i32.const 255)
      (i32.add (i32.mul (i32.shr_u (local.get $i) (i32.const 16)) (i32.const 31))
        (i32.add (i32.mul (local.get $i) (i32.const 7)) (i32.shr_u (local.get $i) (i32.const 8))))))
  (func (export "paint")
    (local $i i32)
    (loop $next
      (i32.store8 (local.get $i) (call $pattern (local.get $i)))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 0x40000)))))
  ;; How many of the `n` bytes from `at` are not the pattern of addresses from `origin`.
  (func (export "wrong") (param $at i32) (param $origin i32) (param $n i32) (result i32)
    (local $i i32) (local $wrong i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
        (local.set $wrong (i32.add (local.get $wrong)
          (i32.ne (i32.load8_u (i32.add (local.get $at) (local.get $i)))
                  (call $pattern (i32.add (local.get $origin) (local.get $i))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.get $wrong)))

;; Forward by one byte, over two chunks of 64 KiB and a bit.
(invoke "paint")
(assert_return (invoke "wrong" (i32.const 0) (i32.const 0) (i32.const 0x40000)) (i32.const 0))
(invoke "copy" (i32.const 1) (i32.const 0) (i32.const 0x20003))
(assert_return (invoke "wrong" (i32.const 1) (i32.const 0) (i32.const 0x20003)) (i32.const 0))
(assert_return (invoke "wrong" (i32.const 0x20004) (i32.const 0x20004) (i32.const 0x1fffc)) (i32.const 0))
;; Backward by one byte.
(invoke "paint")
(invoke "copy" (i32.const 0) (i32.const 1) (i32.const 0x20003))
(assert_return (invoke "wrong" (i32.const 0) (i32.const 1) (i32.const 0x20003)) (i32.const 0))
(assert_return (invoke "wrong" (i32.const 0x20003) (i32.const 0x20003) (i32.const 0x1fffd)) (i32.const 0))
;; Forward and backward by just under, exactly and just over 64 KiB.
(invoke "paint")
(invoke "copy" (i32.const 0xffff) (i32.const 0) (i32.const 0x30001))
(assert_return (invoke "wrong" (i32.const 0xffff) (i32.const 0) (i32.const 0x30001)) (i32.const 0))
(assert_return (invoke "wrong" (i32.const 0) (i32.const 0) (i32.const 0xffff)) (i32.const 0))
(invoke "paint")
(invoke "copy" (i32.const 0x10000) (i32.const 0) (i32.const 0x30000))
(assert_return (invoke "wrong" (i32.const 0x10000) (i32.const 0) (i32.const 0x30000)) (i32.const 0))
(invoke "paint")
(invoke "copy" (i32.const 0) (i32.const 0x10001) (i32.const 0x2ffff))
(assert_return (invoke "wrong" (i32.const 0) (i32.const 0x10001) (i32.const 0x2ffff)) (i32.const 0))
(assert_return (invoke "wrong" (i32.const 0x2ffff) (i32.const 0x2ffff) (i32.const 0x10001)) (i32.const 0))
;; Onto itself.
(invoke "paint")
(invoke "copy" (i32.const 5) (i32.const 5) (i32.const 0x3fffb))
(assert_return (invoke "wrong" (i32.const 0) (i32.const 0) (i32.const 0x40000)) (i32.const 0))

;; Nothing is written by what does not fit, however much of it would.
(assert_trap (invoke "copy" (i32.const 1) (i32.const 0) (i32.const 0x40000)) "out of bounds memory access")
(assert_trap (invoke "copy" (i32.const 0) (i32.const 1) (i32.const 0x40000)) "out of bounds memory access")
(assert_trap (invoke "fill" (i32.const 1) (i32.const 0) (i32.const 0x40000)) "out of bounds memory access")
(assert_trap (invoke "fill" (i32.const 0x3ffff) (i32.const 0) (i32.const -1)) "out of bounds memory access")
(assert_trap (invoke "copy" (i32.const -1) (i32.const 0) (i32.const 2)) "out of bounds memory access")
(assert_return (invoke "wrong" (i32.const 0) (i32.const 0) (i32.const 0x40000)) (i32.const 0))

;; Fill across chunks, to the last byte; the value is taken modulo 256.
(invoke "fill" (i32.const 0xfffe) (i32.const 0x1ab) (i32.const 0x30002))
(assert_return (invoke "at" (i32.const 0xfffd)) (i32.const 234))
(assert_return (invoke "at" (i32.const 0xfffe)) (i32.const 0xab))
(assert_return (invoke "at" (i32.const 0x1ffff)) (i32.const 0xab))
(assert_return (invoke "at" (i32.const 0x20000)) (i32.const 0xab))
(assert_return (invoke "at" (i32.const 0x3ffff)) (i32.const 0xab))
;; Nothing, at the very end, is no trap; one past it is.
(invoke "fill" (i32.const 0x40000) (i32.const 0) (i32.const 0))
(invoke "copy" (i32.const 0x40000) (i32.const 0x40000) (i32.const 0))
(assert_trap (invoke "fill" (i32.const 0x40001) (i32.const 0) (i32.const 0)) "out of bounds memory access")
(assert_trap (invoke "copy" (i32.const 0) (i32.const 0x40001) (i32.const 0)) "out of bounds memory access")

(invoke "init" (i32.const 0x3fffc) (i32.const 4) (i32.const 4))
(assert_return (invoke "at" (i32.const 0x3ffff)) (i32.const 0x68))
(assert_trap (invoke "init" (i32.const 0) (i32.const 5) (i32.const 4)) "out of bounds memory access")
(assert_trap (invoke "init" (i32.const 0x3fffd) (i32.const 4) (i32.const 4)) "out of bounds memory access")
(invoke "drop")
(invoke "drop")
(invoke "init" (i32.const 0) (i32.const 0) (i32.const 0))
(assert_trap (invoke "init" (i32.const 0) (i32.const 0) (i32.const 1)) "out of bounds memory access")

;; The same for tables.
(module
  (table $t 100000 externref)
  (func (export "set") (param i32 externref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get $t (local.get 0)))
  (func (export "fill") (param i32 externref i32) (table.fill $t (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (table.copy $t $t (local.get 0) (local.get 1) (local.get 2))))
(invoke "set" (i32.const 0) (ref.extern 1))
(invoke "set" (i32.const 70000) (ref.extern 2))
(invoke "set" (i32.const 99998) (ref.extern 3))
(invoke "copy" (i32.const 1) (i32.const 0) (i32.const 99999))
(assert_return (invoke "get" (i32.const 0)) (ref.extern 1))
(assert_return (invoke "get" (i32.const 1)) (ref.extern 1))
(assert_return (invoke "get" (i32.const 2)) (ref.null extern))
(assert_return (invoke "get" (i32.const 70001)) (ref.extern 2))
(assert_return (invoke "get" (i32.const 99999)) (ref.extern 3))
(invoke "copy" (i32.const 0) (i32.const 1) (i32.const 99999))
(assert_return (invoke "get" (i32.const 70000)) (ref.extern 2))
(assert_return (invoke "get" (i32.const 99998)) (ref.extern 3))
(assert_trap (invoke "fill" (i32.const 1) (ref.extern 9) (i32.const 100000)) "out of bounds table access")
(assert_return (invoke "get" (i32.const 70000)) (ref.extern 2))
(invoke "fill" (i32.const 1) (ref.extern 9) (i32.const 99999))
(assert_return (invoke "get" (i32.const 99999)) (ref.extern 9))
(assert_return (invoke "get" (i32.const 0)) (ref.extern 1))
