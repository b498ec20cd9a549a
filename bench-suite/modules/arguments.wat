;; A WASI call without a system call: reads the program's arguments n times.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (param $n i32) (result i32)
    (local $failed i32)
    (loop $next
      (local.set $failed (i32.or (local.get $failed) (call $args_get (i32.const 8) (i32.const 64))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $failed)))
