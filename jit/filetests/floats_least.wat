;; options: cpu=least
;; Floats: arithmetic, what follows the standard where the processor does not, and conversions.
(module
  (func (param f64 f64) (result f64) (f64.sub (local.get 0) (local.get 1)))
    ;;| movaps xmm2, xmm0
    ;;| subsd xmm2, xmm1
    ;;| movaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param f32 f32) (local.set 1 (f32.div (local.get 0) (local.get 1))))
    ;;| movaps xmm15, xmm1
    ;;| movaps xmm1, xmm0
    ;;| divss xmm1, xmm15
    ;;| leave
    ;;| ret
  (func (param f64 f64) (result f64) (f64.min (local.get 0) (local.get 1)))
    ;;| movaps xmm2, xmm0
    ;;| ucomisd xmm2, xmm1
    ;;| jne L2
    ;;| jp L1
    ;;| orps xmm2, xmm1
    ;;| jmp L3
    ;;| L1:
    ;;| addsd xmm2, xmm1
    ;;| jmp L3
    ;;| L2:
    ;;| minsd xmm2, xmm1
    ;;| L3:
    ;;| movaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param f32 f32) (result f32) (f32.max (local.get 0) (local.get 1)))
    ;;| movaps xmm2, xmm0
    ;;| ucomiss xmm2, xmm1
    ;;| jne L2
    ;;| jp L1
    ;;| andps xmm2, xmm1
    ;;| jmp L3
    ;;| L1:
    ;;| addss xmm2, xmm1
    ;;| jmp L3
    ;;| L2:
    ;;| maxss xmm2, xmm1
    ;;| L3:
    ;;| movaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param f64 f64) (result f64) (f64.copysign (local.get 0) (local.get 1)))
    ;;| pcmpeqd xmm15, xmm15
    ;;| psllq xmm15, 3Fh
    ;;| movaps xmm14, xmm1
    ;;| andps xmm14, xmm15
    ;;| andnps xmm15, xmm0
    ;;| movaps xmm2, xmm15
    ;;| orps xmm2, xmm14
    ;;| movaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param f64) (result f64) (f64.abs (local.get 0)))
    ;;| pcmpeqd xmm15, xmm15
    ;;| psrlq xmm15, 1
    ;;| movaps xmm1, xmm0
    ;;| andps xmm1, xmm15
    ;;| movaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param f32) (result f32) (f32.neg (local.get 0)))
    ;;| pcmpeqd xmm15, xmm15
    ;;| pslld xmm15, 1Fh
    ;;| movaps xmm1, xmm0
    ;;| xorps xmm1, xmm15
    ;;| movaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param f64) (result f64) (f64.nearest (local.get 0)))
    ;;| roundsd xmm1, xmm0, 8
    ;;| movaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param f64) (result i32) (i32.trunc_f64_s (local.get 0)))
    ;;| cvttsd2si rax, xmm0
    ;;| mov ecx, eax
    ;;| movsxd r11, eax
    ;;| cmp rax, r11
    ;;| je L1
    ;;| ucomisd xmm0, xmm0
    ;;| jp L3
    ;;| jmp L4
    ;;| L1:
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
    ;;| L3:
    ;;| ud2 ; trap: invalid conversion to integer
    ;;| L4:
    ;;| ud2 ; trap: integer overflow
  (func (param f32) (result i64) (i64.trunc_f32_u (local.get 0)))
    ;;| cvttss2si rcx, xmm0
    ;;| test rcx, rcx
    ;;| jns L1
    ;;| mov eax, 5F000000h
    ;;| movd xmm14, eax
    ;;| movaps xmm15, xmm0
    ;;| subss xmm15, xmm14
    ;;| cvttss2si rcx, xmm15
    ;;| btc rcx, 3Fh
    ;;| jae L1
    ;;| ucomiss xmm0, xmm0
    ;;| jp L3
    ;;| jmp L4
    ;;| L1:
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
    ;;| L3:
    ;;| ud2 ; trap: invalid conversion to integer
    ;;| L4:
    ;;| ud2 ; trap: integer overflow
  (func (param f64) (result i32) (i32.trunc_sat_f64_u (local.get 0)))
    ;;| cvttsd2si rax, xmm0
    ;;| mov ecx, eax
    ;;| cmp rax, rcx
    ;;| je L1
    ;;| xorps xmm15, xmm15
    ;;| xor ecx, ecx
    ;;| ucomisd xmm0, xmm15
    ;;| jbe L1
    ;;| mov ecx, 0FFFFFFFFh
    ;;| L1:
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param f64) (result i64) (i64.trunc_sat_f64_s (local.get 0)))
    ;;| cvttsd2si rcx, xmm0
    ;;| cmp rcx, 1
    ;;| jno L1
    ;;| xorps xmm15, xmm15
    ;;| xor ecx, ecx
    ;;| ucomisd xmm0, xmm15
    ;;| jp L1
    ;;| mov rcx, 7FFFFFFFFFFFFFFFh
    ;;| ja L1
    ;;| mov rcx, 8000000000000000h
    ;;| L1:
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
  (func (param i64) (result f64) (f64.convert_i64_u (local.get 0)))
    ;;| test rdi, rdi
    ;;| js L1
    ;;| xorps xmm0, xmm0
    ;;| cvtsi2sd xmm0, rdi
    ;;| jmp L2
    ;;| L1:
    ;;| mov rax, rdi
    ;;| mov r11d, edi
    ;;| shr rax, 1
    ;;| and r11d, 1
    ;;| or rax, r11
    ;;| xorps xmm0, xmm0
    ;;| cvtsi2sd xmm0, rax
    ;;| addsd xmm0, xmm0
    ;;| L2:
    ;;| leave
    ;;| ret
  (func (param i32) (result f32) (f32.convert_i32_u (local.get 0)))
    ;;| xorps xmm0, xmm0
    ;;| cvtsi2ss xmm0, rdi
    ;;| leave
    ;;| ret
  (func (param f64) (result f32) (f32.demote_f64 (local.get 0)))
    ;;| cvtsd2ss xmm1, xmm0
    ;;| movaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
    ;;| movq rcx, xmm0
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
)
