;; options:
;; Where operands are: in locals that a call has sent to the frame, and in slots.
(module
  (func)
    ;;| leave
    ;;| ret
  ;; A local in the frame is loaded once and cached.
  (func (param i32 i32) (result i32)
    (call 0)
    (i32.sub (local.get 0) (i32.mul (local.get 1) (local.get 0))))
    ;;| mov [rbp-18h], esi
    ;;| mov [rbp-10h], edi
    ;;| call func 0
    ;;| mov ecx, [rbp-10h]
    ;;| mov edx, [rbp-18h]
    ;;| mov ebx, edx
    ;;| imul ebx, ecx
    ;;| neg ebx
    ;;| add ebx, ecx
    ;;| mov edi, ebx
    ;;| leave
    ;;| ret
  ;; The upper operand in its slot is read where it is; the lower one is loaded.
  (func (param i64 i64) (result i64)
    (i64.add (local.get 0) (i64.const 1))
    (i64.add (local.get 1) (i64.const 2))
    (call 0)
    (i64.sub))
    ;;| lea rcx, [rdi+1]
    ;;| lea rdx, [rsi+2]
    ;;| mov [rbp-20h], rcx
    ;;| mov [rbp-28h], rdx
    ;;| mov [rbp-18h], rsi
    ;;| mov [rbp-10h], rdi
    ;;| call func 0
    ;;| mov rcx, [rbp-20h]
    ;;| mov rdx, rcx
    ;;| sub rdx, [rbp-28h]
    ;;| mov rdi, rdx
    ;;| leave
    ;;| ret
  (func (param f64 f64) (result f64)
    (f64.add (local.get 0) (local.get 1))
    (f64.sqrt (local.get 1))
    (call 0)
    (f64.div))
    ;;| vaddsd xmm2, xmm0, xmm1
    ;;| vsqrtsd xmm3, xmm1, xmm1
    ;;| vmovsd [rbp-10h], xmm0
    ;;| vmovsd [rbp-18h], xmm1
    ;;| vmovsd [rbp-20h], xmm2
    ;;| vmovsd [rbp-28h], xmm3
    ;;| call func 0
    ;;| vmovsd xmm0, [rbp-20h]
    ;;| vdivsd xmm1, xmm0, [rbp-28h]
    ;;| vmovaps xmm0, xmm1
    ;;| leave
    ;;| ret
  ;; Zero needs no register on its way to a local in the frame.
  (func (param i32)
    (call 0)
    (local.set 0 (i32.const 0)))
    ;;| mov [rbp-10h], edi
    ;;| call func 0
    ;;| mov dword [rbp-10h], 0
    ;;| leave
    ;;| ret
  (func (param i64)
    (call 0)
    (local.set 0 (i64.const 7)))
    ;;| mov [rbp-10h], rdi
    ;;| call func 0
    ;;| mov ecx, 7
    ;;| leave
    ;;| ret
  ;; Declared locals start as zero.
  (func (local i32 i64 f64 v128)
    (call 0))
    ;;| mov qword [rbp-10h], 0
    ;;| xorps xmm15, xmm15
    ;;| movups [rbp-30h], xmm15
    ;;| movups [rbp-20h], xmm15
    ;;| call func 0
    ;;| leave
    ;;| ret
)
