;; options:
;; Comparisons: as values, and fused into what decides by them.
(module
  (func (param i32 i32) (result i32) (i32.lt_s (local.get 0) (local.get 1)))
    ;;| cmp edi, esi
    ;;| setl cl
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i64) (result i32) (i64.gt_u (local.get 0) (i64.const 5)))
    ;;| cmp rdi, 5
    ;;| seta cl
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i64) (result i32) (i64.lt_s (i64.const 5) (local.get 0)))
    ;;| cmp rdi, 5
    ;;| setg cl
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.eqz (local.get 0)))
    ;;| test edi, edi
    ;;| sete cl
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param f64 f64) (result i32) (f64.eq (local.get 0) (local.get 1)))
    ;;| vucomisd xmm0, xmm1
    ;;| sete cl
    ;;| setnp r11b
    ;;| and ecx, r11d
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param f64 f64) (result i32) (f64.lt (local.get 0) (local.get 1)))
    ;;| vucomisd xmm1, xmm0
    ;;| seta cl
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param f32 f32) (result i32) (f32.ne (local.get 0) (local.get 1)))
    ;;| vucomiss xmm0, xmm1
    ;;| setne cl
    ;;| setp r11b
    ;;| or ecx, r11d
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32 i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (local.get 1))
      (then (i32.const 3)) (else (i32.const 4))))
    ;;| cmp edi, esi
    ;;| jge L1
    ;;| mov eax, 3
    ;;| jmp L2
    ;;| L1:
    ;;| mov eax, 4
    ;;| L2:
    ;;| mov ecx, eax
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32 i32)
    (block (br_if 0 (i32.eqz (i32.eqz (i32.and (local.get 0) (local.get 1)))))
      (unreachable)))
    ;;| mov ecx, edi
    ;;| and ecx, esi
    ;;| jne L1
    ;;| ud2 ; trap: unreachable
    ;;| L1:
    ;;| leave
    ;;| ret
  (func (param f64 f64)
    (block (br_if 0 (f64.ge (local.get 0) (local.get 1)))
      (unreachable)))
    ;;| vucomisd xmm0, xmm1
    ;;| jae L1
    ;;| ud2 ; trap: unreachable
    ;;| L1:
    ;;| leave
    ;;| ret
  (func (param f64 f64)
    (block (br_if 0 (f64.eq (local.get 0) (local.get 1)))
      (unreachable)))
    ;;| vucomisd xmm0, xmm1
    ;;| jp L1
    ;;| je L2
    ;;| L1:
    ;;| ud2 ; trap: unreachable
    ;;| L2:
    ;;| leave
    ;;| ret
  (func (param i32 i32) (result i32)
    (select (local.get 0) (local.get 1) (i32.lt_u (local.get 0) (local.get 1))))
    ;;| cmp edi, esi
    ;;| mov ecx, esi
    ;;| cmovb ecx, edi
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param f64 f64 i32) (result f64)
    (select (local.get 0) (local.get 1) (local.get 2)))
    ;;| test edi, edi
    ;;| vmovaps xmm2, xmm1
    ;;| je L1
    ;;| vmovaps xmm2, xmm0
    ;;| L1:
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param i64 i64) (result i64)
    (local.tee 0 (select (local.get 1) (i64.const 9) (i64.eq (local.get 0) (local.get 1)))))
    ;;| cmp rdi, rsi
    ;;| mov ecx, 9
    ;;| mov rdx, rcx
    ;;| cmove rdx, rsi
    ;;| mov rdi, rdx
    ;;| leave
    ;;| ret
)
