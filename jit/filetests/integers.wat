;; options:
;; Integer operators: operands in registers, the result in a new register or in the local of either operand.
(module
  (func (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    ;;| lea ecx, [rdi+rsi]
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32 i32) (result i32) (i32.sub (local.get 0) (local.get 1)))
    ;;| mov ecx, edi
    ;;| sub ecx, esi
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i64 i64) (result i64) (i64.sub (local.get 1) (local.get 0)))
    ;;| mov rcx, rsi
    ;;| sub rcx, rdi
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i64 i64) (result i64) (i64.mul (local.get 0) (local.get 1)))
    ;;| mov rcx, rdi
    ;;| imul rcx, rsi
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i32 i32) (result i32) (i32.and (local.get 0) (local.get 1)))
    ;;| mov ecx, edi
    ;;| and ecx, esi
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
    ;;| mov eax, edi
    ;;| mov r11, rdx
    ;;| cmp esi, 0FFFFFFFFh
    ;;| jne L1
    ;;| cmp eax, 1
    ;;| jo L3
    ;;| L1:
    ;;| cdq
    ;;| idiv esi ; trap: integer divide by zero
    ;;| mov rdx, r11
    ;;| mov ecx, eax
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
    ;;| L3:
    ;;| ud2 ; trap: integer overflow
  (func (param i64 i64) (result i64) (i64.div_u (local.get 0) (local.get 1)))
    ;;| mov rax, rdi
    ;;| mov r11, rdx
    ;;| xor edx, edx
    ;;| div rsi ; trap: integer divide by zero
    ;;| mov rdx, r11
    ;;| mov rcx, rax
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i32 i32) (result i32) (i32.rem_s (local.get 0) (local.get 1)))
    ;;| mov eax, edi
    ;;| mov r11, rdx
    ;;| xor edx, edx
    ;;| cmp esi, 0FFFFFFFFh
    ;;| je L1
    ;;| cdq
    ;;| idiv esi ; trap: integer divide by zero
    ;;| L1:
    ;;| mov ecx, edx
    ;;| mov rdx, r11
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32 i32) (result i32) (i32.shl (local.get 0) (local.get 1)))
    ;;| shlx ecx, edi, esi
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i64 i64) (result i64) (i64.shr_s (local.get 0) (local.get 1)))
    ;;| sarx rcx, rdi, rsi
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i32 i32) (result i32) (i32.rotl (local.get 0) (local.get 1)))
    ;;| mov eax, edi
    ;;| mov ecx, esi
    ;;| rol eax, cl
    ;;| mov ecx, eax
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.clz (local.get 0)))
    ;;| lzcnt ecx, edi
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i64) (result i64) (i64.ctz (local.get 0)))
    ;;| tzcnt rcx, rdi
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.popcnt (local.get 0)))
    ;;| popcnt ecx, edi
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.extend8_s (local.get 0)))
    ;;| movsx ecx, dil
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i64) (result i64) (i64.extend32_s (local.get 0)))
    ;;| movsxd rcx, edi
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i64) (result i32) (i32.wrap_i64 (local.get 0)))
    ;;| mov ecx, edi
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i64) (i64.extend_i32_s (local.get 0)))
    ;;| movsxd rcx, edi
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  ;; Into the left operand's local, and into the right one's.
  (func (param i32 i32) (local.set 0 (i32.sub (local.get 0) (local.get 1))))
    ;;| sub edi, esi
    ;;| leave
    ;;| ret
  (func (param i32 i32) (local.set 1 (i32.sub (local.get 0) (local.get 1))))
    ;;| neg esi
    ;;| add esi, edi
    ;;| leave
    ;;| ret
  (func (param i64 i64) (local.set 1 (i64.shl (local.get 0) (local.get 1))))
    ;;| shlx rsi, rdi, rsi
    ;;| leave
    ;;| ret
  ;; The old value of the destination is still wanted.
  (func (param i32 i32) (result i32)
    (local.get 0)
    (local.set 0 (i32.add (local.get 0) (local.get 1)))
    (i32.mul (local.get 0)))
    ;;| mov ecx, edi
    ;;| add edi, esi
    ;;| imul ecx, edi
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
)
