;; options: fuel frames
;; Fuel: taken where a function and where a loop begins, and given back to nobody.
(module
  (func (param i32)
    (loop
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
)
