;; options: cpu=least
;; Vectors, one of each class, with SSE4.1.
(module
  (func (param v128 v128) (result v128) (i32x4.add (local.get 0) (local.get 1)))
    ;;| movaps xmm2, xmm0
    ;;| paddd xmm2, xmm1
    ;;| movaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param v128 v128) (local.set 1 (i16x8.sub (local.get 0) (local.get 1))))
    ;;| movaps xmm15, xmm1
    ;;| movaps xmm1, xmm0
    ;;| psubw xmm1, xmm15
    ;;| leave
    ;;| ret
  (func (param v128 v128) (result v128) (f64x2.min (local.get 0) (local.get 1)))
    ;;| movaps xmm15, xmm0
    ;;| minpd xmm15, xmm1
    ;;| movaps xmm14, xmm1
    ;;| minpd xmm14, xmm0
    ;;| orps xmm15, xmm14
    ;;| movaps xmm14, xmm15
    ;;| cmpunordpd xmm14, xmm15
    ;;| orps xmm15, xmm14
    ;;| psrlq xmm14, 0Dh
    ;;| andnps xmm14, xmm15
    ;;| movaps xmm2, xmm14
    ;;| movaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param v128 v128) (result v128) (i64x2.mul (local.get 0) (local.get 1)))
    ;;| movaps xmm15, xmm0
    ;;| psrlq xmm15, 20h
    ;;| pmuludq xmm15, xmm1
    ;;| movaps xmm14, xmm1
    ;;| psrlq xmm14, 20h
    ;;| pmuludq xmm14, xmm0
    ;;| paddq xmm15, xmm14
    ;;| psllq xmm15, 20h
    ;;| movaps xmm2, xmm0
    ;;| pmuludq xmm2, xmm1
    ;;| paddq xmm2, xmm15
    ;;| movaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param v128 v128) (result v128) (i8x16.swizzle (local.get 0) (local.get 1)))
    ;;| movaps xmm15, xmm1
    ;;| paddusb xmm15, [constant 70707070707070707070707070707070]
    ;;| movaps xmm2, xmm0
    ;;| pshufb xmm2, xmm15
    ;;| movaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param v128) (result v128) (i8x16.popcnt (local.get 0)))
    ;;| movaps xmm15, xmm0
    ;;| pand xmm15, [constant 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f]
    ;;| movaps xmm14, xmm0
    ;;| psrlw xmm14, 4
    ;;| pand xmm14, [constant 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f]
    ;;| movaps xmm1, [constant 04030302030202010302020102010100]
    ;;| pshufb xmm1, xmm15
    ;;| movaps xmm15, [constant 04030302030202010302020102010100]
    ;;| pshufb xmm15, xmm14
    ;;| paddb xmm1, xmm15
    ;;| movaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param v128) (result v128) (i32x4.trunc_sat_f32x4_u (local.get 0)))
    ;;| pxor xmm15, xmm15
    ;;| movaps xmm1, xmm0
    ;;| maxps xmm1, xmm15
    ;;| movaps xmm15, xmm1
    ;;| subps xmm15, [constant 4f0000004f0000004f0000004f000000]
    ;;| cvttps2dq xmm1, xmm1
    ;;| movaps xmm14, [constant 4f0000004f0000004f0000004f000000]
    ;;| cmpleps xmm14, xmm15
    ;;| cvttps2dq xmm15, xmm15
    ;;| pxor xmm15, xmm14
    ;;| pxor xmm14, xmm14
    ;;| pmaxsd xmm15, xmm14
    ;;| paddd xmm1, xmm15
    ;;| movaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param v128 v128 v128) (result v128) (v128.bitselect (local.get 0) (local.get 1) (local.get 2)))
    ;;| movaps xmm15, xmm0
    ;;| pxor xmm15, xmm1
    ;;| pand xmm15, xmm2
    ;;| movaps xmm3, xmm1
    ;;| pxor xmm3, xmm15
    ;;| movaps xmm0, xmm3
    ;;| leave
    ;;| ret
  (func (param v128 i32) (result v128) (i8x16.shl (local.get 0) (local.get 1)))
    ;;| mov eax, edi
    ;;| and eax, 7
    ;;| add eax, 8
    ;;| movd xmm15, eax
    ;;| pcmpeqd xmm14, xmm14
    ;;| psrlw xmm14, xmm15
    ;;| packuswb xmm14, xmm14
    ;;| add eax, 0FFFFFFF8h
    ;;| movd xmm15, eax
    ;;| movaps xmm1, xmm0
    ;;| pand xmm1, xmm14
    ;;| psllw xmm1, xmm15
    ;;| movaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param v128) (result v128) (i64x2.shr_s (local.get 0) (i32.const 3)))
    ;;| movaps xmm1, xmm0
    ;;| psrlq xmm1, 3
    ;;| pxor xmm1, [constant 10000000000000001000000000000000]
    ;;| psubq xmm1, [constant 10000000000000001000000000000000]
    ;;| movaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param v128) (result i32) (i16x8.bitmask (local.get 0)))
    ;;| movaps xmm15, xmm0
    ;;| packsswb xmm15, xmm0
    ;;| pmovmskb ecx, xmm15
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param v128) (result i32) (v128.any_true (local.get 0)))
    ;;| ptest xmm0, xmm0
    ;;| setne cl
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result v128) (i8x16.splat (local.get 0)))
    ;;| movd xmm0, edi
    ;;| pxor xmm15, xmm15
    ;;| pshufb xmm0, xmm15
    ;;| leave
    ;;| ret
  (func (param v128) (result i32) (i8x16.extract_lane_s 5 (local.get 0)))
    ;;| pextrb ecx, xmm0, 5
    ;;| movsx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param v128 f32) (result v128) (f32x4.replace_lane 2 (local.get 0) (local.get 1)))
    ;;| movaps xmm2, xmm0
    ;;| insertps xmm2, xmm1, 20h
    ;;| movaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param v128 v128) (result v128)
    (i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31 (local.get 0) (local.get 1)))
    ;;| movaps xmm14, xmm0
    ;;| pshufb xmm14, [constant 800e800c800a80088006800480028000]
    ;;| movaps xmm15, xmm1
    ;;| pshufb xmm15, [constant 0f800d800b8009800780058003800180]
    ;;| movaps xmm2, xmm14
    ;;| por xmm2, xmm15
    ;;| movaps xmm0, xmm2
    ;;| leave
    ;;| ret
)
