;; options:
;; Branches: results of blocks, jump tables, and locals that are elsewhere on each way.
(module
  (func)
    ;;| leave
    ;;| ret
  (func (param i32 i32) (result i32)
    (block (result i32)
      (br_if 0 (local.get 0) (local.get 1))
      (drop)
      (i32.const 5)))
    ;;| test esi, esi
    ;;| je L1
    ;;| mov eax, edi
    ;;| jmp L2
    ;;| L1:
    ;;| mov eax, 5
    ;;| L2:
    ;;| mov ecx, eax
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32)
    (block (result i32)
      (i32.add (i32.const 1) (local.get 0))))
    ;;| lea ecx, [rdi+1]
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result i32 i64)
    (block (result i32 i64)
      (local.get 0) (i64.const 1)
      (br_if 0 (local.get 0))
      (drop) (drop)
      (i32.const 5) (i64.const 6)))
    ;;| test edi, edi
    ;;| je L1
    ;;| mov [rbp-18h], edi
    ;;| mov qword [rbp-20h], 1
    ;;| jmp L2
    ;;| L1:
    ;;| mov dword [rbp-18h], 5
    ;;| mov qword [rbp-20h], 6
    ;;| L2:
    ;;| mov edi, [rbp-18h]
    ;;| mov rsi, [rbp-20h]
    ;;| leave
    ;;| ret
  ;; The local is in a register on one way, and in the frame on the other.
  (func (param i32 i32) (result i32)
    (if (local.get 0)
      (then (call 0))
      (else (local.set 1 (i32.const 3))))
    (local.get 1))
    ;;| test edi, edi
    ;;| je L1
    ;;| mov [rbp-18h], esi
    ;;| mov [rbp-10h], edi
    ;;| call func 0
    ;;| jmp L2
    ;;| L1:
    ;;| mov esi, 3
    ;;| mov [rbp-18h], esi
    ;;| mov [rbp-10h], edi
    ;;| L2:
    ;;| mov edi, [rbp-18h]
    ;;| leave
    ;;| ret
  (func (param i32) (result i32)
    (block $c (block $b (block $a
      (br_table $a $b $c $b (local.get 0)))
      (return (i32.const 10)))
      (return (i32.const 11)))
    (i32.const 12))
    ;;| mov eax, 3
    ;;| cmp edi, eax
    ;;| cmovb eax, edi
    ;;| lea r11, [table]
    ;;| movsxd rax, [r11+rax*4]
    ;;| add rax, r11
    ;;| jmp rax
    ;;| table L1 L2 L3 L2
    ;;| L1:
    ;;| jmp L4
    ;;| L2:
    ;;| jmp L5
    ;;| L3:
    ;;| jmp L6
    ;;| L4:
    ;;| mov edi, 0Ah
    ;;| leave
    ;;| ret
    ;;| L5:
    ;;| mov edi, 0Bh
    ;;| leave
    ;;| ret
    ;;| L6:
    ;;| mov edi, 0Ch
    ;;| leave
    ;;| ret
  (func (param i32) (result i32)
    (block $b (result i32) (block $a (result i32)
      (br_table $a $b (i32.const 7) (local.get 0)))
      (i32.const 1)
      (i32.add)))
    ;;| mov eax, 1
    ;;| cmp edi, eax
    ;;| cmovb eax, edi
    ;;| lea r11, [table]
    ;;| movsxd rax, [r11+rax*4]
    ;;| add rax, r11
    ;;| jmp rax
    ;;| table L1 L2
    ;;| L1:
    ;;| mov eax, 7
    ;;| jmp L3
    ;;| L2:
    ;;| mov eax, 7
    ;;| jmp L4
    ;;| L3:
    ;;| mov ecx, eax
    ;;| add ecx, 1
    ;;| mov eax, ecx
    ;;| L4:
    ;;| mov ecx, eax
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32)
    (if (local.get 0) (then (return)))
    (unreachable))
    ;;| test edi, edi
    ;;| je L1
    ;;| leave
    ;;| ret
    ;;| L1:
    ;;| ud2 ; trap: unreachable
)
