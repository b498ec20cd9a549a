;; options: frames
;; Calls: arguments and results in registers and on the stack, what has to be in the frame meanwhile, and tail calls.
(module
  (type $many (func (param i64 i64 i64 i64 i64 i64 i64 f64)))
  (import "host" "f" (func $host (param i32) (result i32)))
  (table 4 funcref)
  (func $two (param i32 i32) (result i32) (local.get 1))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-20h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L1
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| mov edi, esi
    ;;| leave
    ;;| ret
    ;;| L1:
    ;;| ud2 ; trap: call stack exhausted
  (func $swap (param i32 i32) (result i32)
    (call $two (local.get 1) (local.get 0)))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-70h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L1
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| mov [rbp-18h], esi
    ;;| mov [rbp-10h], edi
    ;;| mov rax, rsi
    ;;| mov esi, edi
    ;;| mov edi, eax
    ;;| call func 0
    ;;| leave
    ;;| ret
    ;;| L1:
    ;;| ud2 ; trap: call stack exhausted
  (func (param i32 f64) (result f64)
    (local.set 0 (call $two (local.get 0) (i32.const 3)))
    (f64.add (local.get 1) (f64.convert_i32_s (local.get 0))))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-70h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L1
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| mov [rbp-10h], edi
    ;;| vmovsd [rbp-18h], xmm0
    ;;| mov esi, 3
    ;;| call func 0
    ;;| vxorps xmm0, xmm0, xmm0
    ;;| vcvtsi2sd xmm0, xmm0, edi
    ;;| vmovsd xmm1, [rbp-18h]
    ;;| vaddsd xmm0, xmm1, xmm0
    ;;| leave
    ;;| ret
    ;;| L1:
    ;;| ud2 ; trap: call stack exhausted
  (func $many (param i64 i64 i64 i64 i64 i64 i64 f64))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-40h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L1
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| leave
    ;;| ret
    ;;| L1:
    ;;| ud2 ; trap: call stack exhausted
  (func (param i64 f64)
    (call $many (local.get 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
      (local.get 0) (local.get 1)))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-0A0h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L1
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| mov [rbp-10h], rdi
    ;;| vmovsd [rbp-18h], xmm0
    ;;| mov [rsp], rdi
    ;;| mov esi, 1
    ;;| mov edx, 2
    ;;| mov ecx, 3
    ;;| mov r8d, 4
    ;;| mov r9d, 5
    ;;| call func 3
    ;;| leave
    ;;| ret
    ;;| L1:
    ;;| ud2 ; trap: call stack exhausted
  (func (param i32) (result i32) (call $host (local.get 0)))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-60h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L1
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| mov [rbp-10h], edi
    ;;| lea r11, [r15+48h]
    ;;| mov rax, [r11]
    ;;| mov r15, [r11+8]
    ;;| mov r14, [r11+18h]
    ;;| call rax
    ;;| mov r15, [rbp-8]
    ;;| mov r14, [r15]
    ;;| leave
    ;;| ret
    ;;| L1:
    ;;| ud2 ; trap: call stack exhausted
  (func (param i32) (result i32) (call_indirect (param i32) (result i32) (local.get 0) (i32.const 2)))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-60h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L1
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| mov ecx, 2
    ;;| cmp rcx, [r15+70h]
    ;;| jae L2
    ;;| mov r11, [r15+68h]
    ;;| mov r11, [r11+rcx*8]
    ;;| test r11, r11
    ;;| je L3
    ;;| shl r11, 5
    ;;| add r11, [r15+20h]
    ;;| mov eax, [r15+7Ch]
    ;;| cmp eax, [r11-10h]
    ;;| jne L4
    ;;| sub r11, 20h
    ;;| mov [rbp-10h], edi
    ;;| mov rax, [r11]
    ;;| mov r15, [r11+8]
    ;;| mov r14, [r11+18h]
    ;;| call rax
    ;;| mov r15, [rbp-8]
    ;;| mov r14, [r15]
    ;;| leave
    ;;| ret
    ;;| L1:
    ;;| ud2 ; trap: call stack exhausted
    ;;| L2:
    ;;| ud2 ; trap: undefined element
    ;;| L3:
    ;;| ud2 ; trap: uninitialized element
    ;;| L4:
    ;;| ud2 ; trap: indirect call type mismatch
  (func $three (param i32) (result i32 i64 f32)
    (i32.add (local.get 0) (i32.const 1)) (i64.const 2) (f32.const 3))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-30h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L1
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| lea ecx, [rdi+1]
    ;;| mov edi, ecx
    ;;| mov esi, 2
    ;;| mov eax, 40400000h
    ;;| vmovd xmm0, eax
    ;;| leave
    ;;| ret
    ;;| L1:
    ;;| ud2 ; trap: call stack exhausted
  (func (param i32) (result i64)
    (local f32)
    (call $three (local.get 0))
    (local.set 1)
    (return (i64.add (i64.const 10))))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-70h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L1
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| mov qword [rbp-18h], 0
    ;;| mov [rbp-10h], edi
    ;;| call func 7
    ;;| add rsi, 0Ah
    ;;| mov rdi, rsi
    ;;| leave
    ;;| ret
    ;;| L1:
    ;;| ud2 ; trap: call stack exhausted
  (func (param i32 i32) (result i32) (return_call $two (local.get 1) (local.get 0)))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-30h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L2
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| mov rax, rsi
    ;;| mov esi, edi
    ;;| mov edi, eax
    ;;| leave
    ;;| jmp func 0
    ;;| L2:
    ;;| ud2 ; trap: call stack exhausted
  (func (param i32 i32) (result i32)
    (return_call_indirect (param i32 i32) (result i32) (local.get 0) (local.get 1) (i32.const 1)))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-70h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L3
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| mov ecx, 1
    ;;| cmp rcx, [r15+70h]
    ;;| jae L4
    ;;| mov r11, [r15+68h]
    ;;| mov r11, [r11+rcx*8]
    ;;| test r11, r11
    ;;| je L5
    ;;| shl r11, 5
    ;;| add r11, [r15+20h]
    ;;| mov eax, [r15+80h]
    ;;| cmp eax, [r11-10h]
    ;;| jne L6
    ;;| sub r11, 20h
    ;;| cmp r15, [r11+8]
    ;;| jne L1
    ;;| leave
    ;;| jmp qword [r11]
    ;;| L1:
    ;;| cmp qword [r11+8], 0
    ;;| je L2
    ;;| leave
    ;;| jmp qword [r15+38h]
    ;;| L2:
    ;;| mov [rbp-18h], esi
    ;;| mov [rbp-10h], edi
    ;;| mov rax, [r11]
    ;;| mov r15, [r11+8]
    ;;| mov r14, [r11+18h]
    ;;| call rax
    ;;| mov r15, [rbp-8]
    ;;| mov r14, [r15]
    ;;| leave
    ;;| ret
    ;;| L3:
    ;;| ud2 ; trap: call stack exhausted
    ;;| L4:
    ;;| ud2 ; trap: undefined element
    ;;| L5:
    ;;| ud2 ; trap: uninitialized element
    ;;| L6:
    ;;| ud2 ; trap: indirect call type mismatch
)
