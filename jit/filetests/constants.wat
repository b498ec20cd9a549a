;; options:
;; Constants: on the right, on the left of what commutes, too wide for an instruction, and of the shapes that have one of their own.
(module
  (func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    ;;| lea ecx, [rdi+1]
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.sub (local.get 0) (i32.const -128)))
    ;;| lea ecx, [rdi+80h]
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.add (i32.const 1000) (local.get 0)))
    ;;| lea ecx, [rdi+3E8h]
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.sub (i32.const 1000) (local.get 0)))
    ;;| mov ecx, 3E8h
    ;;| mov edx, ecx
    ;;| sub edx, edi
    ;;| mov edi, edx
    ;;| leave
    ;;| ret
  (func (param i64) (result i64) (i64.add (local.get 0) (i64.const 0x123456789ab)))
    ;;| mov rcx, rdi
    ;;| mov rax, 123456789ABh
    ;;| add rcx, rax
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i64) (result i64) (i64.and (local.get 0) (i64.const 0xffffffff)))
    ;;| mov ecx, edi
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.mul (local.get 0) (i32.const 100)))
    ;;| imul ecx, edi, 64h
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.mul (local.get 0) (i32.const 8)))
    ;;| mov ecx, edi
    ;;| shl ecx, 3
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.shl (local.get 0) (i32.const 35)))
    ;;| mov ecx, edi
    ;;| shl ecx, 3
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.div_u (local.get 0) (i32.const 8)))
    ;;| mov ecx, edi
    ;;| shr ecx, 3
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.div_s (local.get 0) (i32.const 8)))
    ;;| mov eax, edi
    ;;| sar eax, 1Fh
    ;;| shr eax, 1Dh
    ;;| add eax, edi
    ;;| mov ecx, eax
    ;;| sar ecx, 3
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.rem_u (local.get 0) (i32.const 8)))
    ;;| mov ecx, edi
    ;;| and ecx, 7
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.div_s (local.get 0) (i32.const -1)))
    ;;| mov ecx, edi
    ;;| neg ecx
    ;;| jo L2
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
    ;;| L2:
    ;;| ud2 ; trap: integer overflow
  (func (param i32) (result i32) (i32.div_u (local.get 0) (i32.const 0)))
    ;;| mov eax, edi
    ;;| mov rcx, rdx
    ;;| mov r11d, 0
    ;;| xor edx, edx
    ;;| div r11d ; trap: integer divide by zero
    ;;| mov rdx, rcx
    ;;| mov ecx, eax
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (result i64) (i64.const 0x123456789abcdef))
    ;;| mov rdi, 123456789ABCDEFh
    ;;| leave
    ;;| ret
  (func (result i32) (i32.const 0))
    ;;| mov edi, 0
    ;;| leave
    ;;| ret
  (func (result f64) (f64.const 0))
    ;;| vxorps xmm0, xmm0, xmm0
    ;;| leave
    ;;| ret
  (func (result f32) (f32.const 1.5))
    ;;| mov eax, 3FC00000h
    ;;| vmovd xmm0, eax
    ;;| leave
    ;;| ret
  (func (result v128) (v128.const i64x2 1 2))
    ;;| vmovaps xmm0, [constant 00000000000000020000000000000001]
    ;;| leave
    ;;| ret
  ;; A shift that the addition behind it does itself.
  (func (param i32 i32) (result i32) (i32.add (i32.shl (local.get 0) (i32.const 2)) (local.get 1)))
    ;;| lea ecx, [rsi+rdi*4]
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i64) (result i64) (i64.add (i64.shl (local.get 0) (i64.const 3)) (i64.const 40)))
    ;;| lea rcx, [rdi*8+28h]
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
)
