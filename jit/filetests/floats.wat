;; options:
;; Floats: arithmetic, what follows the standard where the processor does not, and conversions.
(module
  (func (param f64 f64) (result f64) (f64.sub (local.get 0) (local.get 1)))
    ;;| vsubsd xmm2, xmm0, xmm1
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param f32 f32) (local.set 1 (f32.div (local.get 0) (local.get 1))))
    ;;| vdivss xmm1, xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param f64 f64) (result f64) (f64.min (local.get 0) (local.get 1)))
    ;;| vmovaps xmm2, xmm0
    ;;| vucomisd xmm2, xmm1
    ;;| jne L2
    ;;| jp L1
    ;;| vorps xmm2, xmm2, xmm1
    ;;| jmp L3
    ;;| L1:
    ;;| vaddsd xmm2, xmm2, xmm1
    ;;| jmp L3
    ;;| L2:
    ;;| vminsd xmm2, xmm2, xmm1
    ;;| L3:
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param f32 f32) (result f32) (f32.max (local.get 0) (local.get 1)))
    ;;| vmovaps xmm2, xmm0
    ;;| vucomiss xmm2, xmm1
    ;;| jne L2
    ;;| jp L1
    ;;| vandps xmm2, xmm2, xmm1
    ;;| jmp L3
    ;;| L1:
    ;;| vaddss xmm2, xmm2, xmm1
    ;;| jmp L3
    ;;| L2:
    ;;| vmaxss xmm2, xmm2, xmm1
    ;;| L3:
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param f64 f64) (result f64) (f64.copysign (local.get 0) (local.get 1)))
    ;;| vpcmpeqd xmm15, xmm15, xmm15
    ;;| vpsllq xmm15, xmm15, 3Fh
    ;;| vandps xmm14, xmm1, xmm15
    ;;| vandnps xmm15, xmm15, xmm0
    ;;| vorps xmm2, xmm15, xmm14
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param f64) (result f64) (f64.abs (local.get 0)))
    ;;| vpcmpeqd xmm15, xmm15, xmm15
    ;;| vpsrlq xmm15, xmm15, 1
    ;;| vandps xmm1, xmm0, xmm15
    ;;| vmovaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param f32) (result f32) (f32.neg (local.get 0)))
    ;;| vpcmpeqd xmm15, xmm15, xmm15
    ;;| vpslld xmm15, xmm15, 1Fh
    ;;| vxorps xmm1, xmm0, xmm15
    ;;| vmovaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param f64) (result f64) (f64.nearest (local.get 0)))
    ;;| vroundsd xmm1, xmm0, xmm0, 8
    ;;| vmovaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param f64) (result i32) (i32.trunc_f64_s (local.get 0)))
    ;;| vcvttsd2si rax, xmm0
    ;;| mov ecx, eax
    ;;| movsxd r11, eax
    ;;| cmp rax, r11
    ;;| je L1
    ;;| vucomisd xmm0, xmm0
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
    ;;| vcvttss2si rcx, xmm0
    ;;| test rcx, rcx
    ;;| jns L1
    ;;| mov eax, 5F000000h
    ;;| vmovd xmm14, eax
    ;;| vsubss xmm15, xmm0, xmm14
    ;;| vcvttss2si rcx, xmm15
    ;;| btc rcx, 3Fh
    ;;| jae L1
    ;;| vucomiss xmm0, xmm0
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
    ;;| vcvttsd2si rax, xmm0
    ;;| mov ecx, eax
    ;;| cmp rax, rcx
    ;;| je L1
    ;;| vxorps xmm15, xmm15, xmm15
    ;;| xor ecx, ecx
    ;;| vucomisd xmm0, xmm15
    ;;| jbe L1
    ;;| mov ecx, 0FFFFFFFFh
    ;;| L1:
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param f64) (result i64) (i64.trunc_sat_f64_s (local.get 0)))
    ;;| vcvttsd2si rcx, xmm0
    ;;| cmp rcx, 1
    ;;| jno L1
    ;;| vxorps xmm15, xmm15, xmm15
    ;;| xor ecx, ecx
    ;;| vucomisd xmm0, xmm15
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
    ;;| vxorps xmm0, xmm0, xmm0
    ;;| vcvtsi2sd xmm0, xmm0, rdi
    ;;| jmp L2
    ;;| L1:
    ;;| mov rax, rdi
    ;;| mov r11d, edi
    ;;| shr rax, 1
    ;;| and r11d, 1
    ;;| or rax, r11
    ;;| vxorps xmm0, xmm0, xmm0
    ;;| vcvtsi2sd xmm0, xmm0, rax
    ;;| vaddsd xmm0, xmm0, xmm0
    ;;| L2:
    ;;| leave
    ;;| ret
  (func (param i32) (result f32) (f32.convert_i32_u (local.get 0)))
    ;;| vxorps xmm0, xmm0, xmm0
    ;;| vcvtsi2ss xmm0, xmm0, rdi
    ;;| leave
    ;;| ret
  (func (param f64) (result f32) (f32.demote_f64 (local.get 0)))
    ;;| vcvtsd2ss xmm1, xmm0, xmm0
    ;;| vmovaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
    ;;| vmovq rcx, xmm0
    ;;| mov rdi, rcx
    ;;| leave
    ;;| ret
)
