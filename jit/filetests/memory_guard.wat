;; options:
;; Accesses to memory, bounds kept by the address space around it.
(module
  (memory 1)
  (memory $other 1)
  (memory $wide i64 1)
  (func (param i32) (result i32) (i32.load (local.get 0)))
    ;;| mov ecx, [r14+rdi] ; trap: out of bounds memory access
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i64) (i64.load32_s offset=8 (local.get 0)))
    ;;| movsxd rcx, [r14+rdi+8] ; trap: out of bounds memory access
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.load8_u offset=0x7fffffff (local.get 0)))
    ;;| movzx ecx, byte [r14+rdi+7FFFFFFFh] ; trap: out of bounds memory access
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result f64) (f64.load offset=0xffffffff (local.get 0)))
    ;;| mov eax, 0FFFFFFFFh
    ;;| lea rax, [rax+rdi]
    ;;| vmovsd xmm0, [r14+rax] ; trap: out of bounds memory access
    ;;| leave
    ;;| ret
  (func (result i32) (i32.load16_s offset=4 (i32.const 100)))
    ;;| movsx ecx, word [r14+68h] ; trap: out of bounds memory access
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (result i32) (i32.load (i32.const -4)))
    ;;| mov eax, 0FFFFFFFCh
    ;;| mov ecx, [r14+rax] ; trap: out of bounds memory access
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (local.set 0 (i32.load (local.get 0))))
    ;;| mov edi, [r14+rdi] ; trap: out of bounds memory access
    ;;| leave
    ;;| ret
  (func (param i32 i32) (i32.store (local.get 0) (local.get 1)))
    ;;| mov [r14+rdi], esi ; trap: out of bounds memory access
    ;;| leave
    ;;| ret
  (func (param i32) (i32.store8 offset=3 (local.get 0) (i32.const 255)))
    ;;| mov byte [r14+rdi+3], 0FFh ; trap: out of bounds memory access
    ;;| leave
    ;;| ret
  (func (param i32) (i64.store (local.get 0) (i64.const -1)))
    ;;| mov qword [r14+rdi], 0FFFFFFFFFFFFFFFFh ; trap: out of bounds memory access
    ;;| leave
    ;;| ret
  (func (param i32) (i64.store (local.get 0) (i64.const 0x123456789ab)))
    ;;| mov rcx, 123456789ABh
    ;;| mov [r14+rdi], rcx ; trap: out of bounds memory access
    ;;| leave
    ;;| ret
  (func (param i32 f32) (f32.store offset=12 (local.get 0) (local.get 1)))
    ;;| vmovss [r14+rdi+0Ch], xmm0 ; trap: out of bounds memory access
    ;;| leave
    ;;| ret
  (func (param i32 v128) (v128.store offset=16 (local.get 0) (local.get 1)))
    ;;| vmovups [r14+rdi+10h], xmm0 ; trap: out of bounds memory access
    ;;| leave
    ;;| ret
  (func (param i32) (result v128) (v128.load8x8_s (local.get 0)))
    ;;| vpmovsxbw xmm0, [r14+rdi] ; trap: out of bounds memory access
    ;;| leave
    ;;| ret
  (func (param i32) (result v128) (v128.load32_splat (local.get 0)))
    ;;| vbroadcastss xmm0, [r14+rdi] ; trap: out of bounds memory access
    ;;| leave
    ;;| ret
  (func (param i32 v128) (result v128) (v128.load16_lane 3 (local.get 0) (local.get 1)))
    ;;| vpinsrw xmm1, xmm0, [r14+rdi], 3 ; trap: out of bounds memory access
    ;;| vmovaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (i32.load $other (local.get 0)))
    ;;| mov r11, [r15+58h]
    ;;| mov ecx, [r11+rdi] ; trap: out of bounds memory access
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i64) (result i32) (i32.load $wide offset=4 (local.get 0)))
    ;;| mov rax, rdi
    ;;| add rax, 8
    ;;| jb L2
    ;;| cmp rax, [r15+70h]
    ;;| ja L2
    ;;| mov r11, [r15+68h]
    ;;| mov ecx, [r11+rdi+4]
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
    ;;| L2:
    ;;| ud2 ; trap: out of bounds memory access
  (func (result i32) (memory.size))
    ;;| mov rcx, [r15+8]
    ;;| shr rcx, 10h
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32) (memory.grow (local.get 0)))
    ;;| mov [rbp-10h], edi
    ;;| mov [rsp], edi
    ;;| mov dword [rsp+4], 0
    ;;| mov eax, 1
    ;;| mov ecx, 0
    ;;| mov edx, 0
    ;;| mov rdi, rsp
    ;;| call qword [r15+28h]
    ;;| mov ecx, [rsp]
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
)
