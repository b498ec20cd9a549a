;; options: cpu=least
;; The integer operators of which a processor with nothing beyond the least has no instruction.
(module
  (func (param i32 i32) (result i32) (i32.shl (local.get 0) (local.get 1)))
    ;;| mov eax, edi
    ;;| mov ecx, esi
    ;;| shl eax, cl
    ;;| mov ecx, eax
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i64 i64) (result i64) (i64.shr_s (local.get 0) (local.get 1)))
    ;;| mov rax, rdi
    ;;| mov rcx, rsi
    ;;| sar rax, cl
    ;;| mov rcx, rax
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
    ;;| bsr eax, edi
    ;;| mov r11d, 3Fh
    ;;| cmove eax, r11d
    ;;| xor eax, 1Fh
    ;;| mov ecx, eax
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i64) (result i64) (i64.ctz (local.get 0)))
    ;;| bsf rax, rdi
    ;;| mov r11d, 40h
    ;;| cmove eax, r11d
    ;;| mov ecx, eax
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.popcnt (local.get 0)))
    ;;| mov eax, edi
    ;;| mov r11d, eax
    ;;| shr r11d, 1
    ;;| mov ecx, 55555555h
    ;;| and r11d, ecx
    ;;| sub eax, r11d
    ;;| mov r11d, eax
    ;;| shr eax, 2
    ;;| mov ecx, 33333333h
    ;;| and eax, ecx
    ;;| and r11d, ecx
    ;;| add eax, r11d
    ;;| mov r11d, eax
    ;;| shr r11d, 4
    ;;| add eax, r11d
    ;;| mov ecx, 0F0F0F0Fh
    ;;| and eax, ecx
    ;;| mov ecx, 1010101h
    ;;| imul ecx, eax
    ;;| shr ecx, 18h
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
)
