;; options:
;; More values than registers: the one that is cheapest to do without goes to its slot.
(module
  (func (param i32 i32 i32 i32 i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1)) (i32.add (local.get 1) (local.get 2))
    (i32.add (local.get 2) (local.get 3)) (i32.add (local.get 3) (local.get 4))
    (i32.add (local.get 4) (local.get 5)) (i32.add (local.get 5) (local.get 0))
    (i32.sub (local.get 0) (local.get 2)) (i32.sub (local.get 1) (local.get 3))
    (i32.xor) (i32.xor) (i32.xor) (i32.xor) (i32.xor) (i32.xor) (i32.xor))
    ;;| lea ebx, [rdi+rsi]
    ;;| lea r10d, [rsi+rdx]
    ;;| lea r12d, [rdx+rcx]
    ;;| lea r13d, [rcx+r8]
    ;;| mov [rbp-28h], ecx
    ;;| lea ecx, [r8+r9]
    ;;| mov [rbp-20h], edx
    ;;| lea edx, [r9+rdi]
    ;;| mov [rbp-18h], esi
    ;;| mov esi, [rbp-20h]
    ;;| mov [rbp-30h], r8d
    ;;| mov r8d, edi
    ;;| sub r8d, esi
    ;;| mov esi, [rbp-28h]
    ;;| mov [rbp-10h], edi
    ;;| mov edi, [rbp-18h]
    ;;| mov [rbp-38h], r9d
    ;;| mov r9d, edi
    ;;| sub r9d, esi
    ;;| xor r8d, r9d
    ;;| xor edx, r8d
    ;;| xor ecx, edx
    ;;| xor r13d, ecx
    ;;| xor r12d, r13d
    ;;| xor r10d, r12d
    ;;| xor ebx, r10d
    ;;| mov edi, ebx
    ;;| leave
    ;;| ret
  ;; Operands in a local that is written get out of it first.
  (func (param i32 i32) (result i32)
    (local.get 0) (local.get 0)
    (local.set 0 (i32.const 1))
    (i32.mul)
    (local.get 0)
    (i32.sub))
    ;;| mov ecx, edi
    ;;| mov edx, edi
    ;;| mov edi, 1
    ;;| imul edx, ecx
    ;;| sub edx, edi
    ;;| mov edi, edx
    ;;| leave
    ;;| ret
)
