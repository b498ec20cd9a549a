;; options: fuel frames
;; Fuel: taken where a function and where a loop begins, and given back to nobody.
(module
  (func (param i32)
    (loop
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    ;;| push rbp
    ;;| mov rbp, rsp
    ;;| lea rax, [rsp-20h]
    ;;| cmp rax, [r15+10h]
    ;;| jb L5
    ;;| mov rsp, rax
    ;;| mov [rbp-8], r15
    ;;| mov rax, [r15+18h]
    ;;| sub qword [rax], 8
    ;;| js L3
    ;;| L1:
    ;;| mov rax, [r15+18h]
    ;;| sub qword [rax], 6
    ;;| js L4
    ;;| L2:
    ;;| sub edi, 1
    ;;| jne L1
    ;;| leave
    ;;| ret
    ;;| L3:
    ;;| call qword [r15+30h]
    ;;| jmp L1
    ;;| L4:
    ;;| call qword [r15+30h]
    ;;| jmp L2
    ;;| L5:
    ;;| ud2 ; trap: call stack exhausted
)
