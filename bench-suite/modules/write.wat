;; The path of a WASI call: writes a line n times to standard output.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\05\00\00\00")
  (data (i32.const 16) "line\0a")
  (func (export "run") (param $n i32) (result i32)
    (local $failed i32)
    (loop $next
      (local.set $failed
        (i32.or (local.get $failed) (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $failed)))
