;; options:
;; Loops: the locals that they use stay in registers around them.
(module
  (memory 1)
  (func)
    ;;| leave
    ;;| ret
  (func (param i32 i32) (result i32)
    (loop
      (local.set 1 (i32.add (local.get 1) (local.get 0)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
    ;;| L1:
    ;;| add esi, edi
    ;;| sub edi, 1
    ;;| jne L1
    ;;| mov edi, esi
    ;;| leave
    ;;| ret
  ;; A sum over memory: base and counter in registers, one way back.
  (func (param $from i32) (param $count i32) (result f64)
    (local $sum f64)
    (block
      (loop
        (br_if 1 (i32.eqz (local.get $count)))
        (local.set $sum (f64.add (local.get $sum) (f64.load (local.get $from))))
        (local.set $from (i32.add (local.get $from) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br 0)))
    (local.get $sum))
    ;;| mov qword [rbp-20h], 0
    ;;| vmovsd xmm0, [rbp-20h]
    ;;| L1:
    ;;| test esi, esi
    ;;| je L2
    ;;| vmovsd xmm1, [r14+rdi] ; trap: out of bounds memory access
    ;;| vaddsd xmm0, xmm0, xmm1
    ;;| add edi, 8
    ;;| sub esi, 1
    ;;| jmp L1
    ;;| L2:
    ;;| leave
    ;;| ret
  ;; A call inside: what the loop keeps in registers is stored and loaded around it.
  (func (param i32)
    (loop
      (call 0)
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    ;;| L1:
    ;;| mov [rbp-10h], edi
    ;;| call func 0
    ;;| mov edi, [rbp-10h]
    ;;| sub edi, 1
    ;;| jne L1
    ;;| leave
    ;;| ret
  ;; One inside the other.
  (func (param i32 i32) (local i32)
    (loop
      (local.set 2 (local.get 1))
      (loop
        (br_if 0 (local.tee 2 (i32.sub (local.get 2) (i32.const 1)))))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    ;;| mov qword [rbp-20h], 0
    ;;| mov ecx, [rbp-20h]
    ;;| mov [rbp-18h], esi
    ;;| L1:
    ;;| mov ecx, esi
    ;;| mov [rbp-10h], edi
    ;;| L2:
    ;;| sub ecx, 1
    ;;| jne L2
    ;;| sub edi, 1
    ;;| jne L1
    ;;| leave
    ;;| ret
  ;; A loop with a parameter.
  (func (param i32) (result i32)
    (local.get 0)
    (loop (param i32) (result i32)
      (local.set 0 (i32.sub (i32.const 1)))
      (br_if 0 (local.get 0) (i32.gt_s (local.get 0) (i32.const 5)))))
    ;;| mov [rbp-18h], edi
    ;;| L1:
    ;;| mov ecx, [rbp-18h]
    ;;| lea edi, [rcx-1]
    ;;| cmp edi, 5
    ;;| jle L2
    ;;| mov [rbp-18h], edi
    ;;| jmp L1
    ;;| L2:
    ;;| leave
    ;;| ret
)
