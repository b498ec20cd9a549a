;; What a small compiled function looks like to the engine at its start: a memory with data, a table, globals.
(module
  (type $t (func (result i32)))
  (memory (export "memory") 2)
  (table 4 funcref)
  (elem (i32.const 1) $one $two $one)
  (global $stack (mut i32) (i32.const 66560))
  (global $base i32 (i32.const 1024))
  (data (i32.const 1024) "a constant string of the program, and another one")
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (i32.const 2))
  (func (export "run") (param $n i32) (result i32) (call_indirect (type $t) (local.get $n))))
