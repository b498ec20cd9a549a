;; A WASI call that asks the host and writes 8 bytes of the guest's memory: reads the monotonic clock n times.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (param $n i32) (result i32)
    (local $failed i32)
    (loop $next
      (local.set $failed
        (i32.or (local.get $failed) (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 8))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $failed)))
