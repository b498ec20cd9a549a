;; options:
;; Vectors, one of each class, with AVX.
(module
  (func (param v128 v128) (result v128) (i32x4.add (local.get 0) (local.get 1)))
    ;;| vpaddd xmm2, xmm0, xmm1
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param v128 v128) (local.set 1 (i16x8.sub (local.get 0) (local.get 1))))
    ;;| vpsubw xmm1, xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param v128 v128) (result v128) (f64x2.min (local.get 0) (local.get 1)))
    ;;| vminpd xmm15, xmm0, xmm1
    ;;| vminpd xmm14, xmm1, xmm0
    ;;| vorps xmm15, xmm15, xmm14
    ;;| vcmpunordpd xmm14, xmm15, xmm15
    ;;| vorps xmm15, xmm15, xmm14
    ;;| vpsrlq xmm14, xmm14, 0Dh
    ;;| vandnps xmm14, xmm14, xmm15
    ;;| vmovaps xmm2, xmm14
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param v128 v128) (result v128) (i64x2.mul (local.get 0) (local.get 1)))
    ;;| vpsrlq xmm15, xmm0, 20h
    ;;| vpmuludq xmm15, xmm15, xmm1
    ;;| vpsrlq xmm14, xmm1, 20h
    ;;| vpmuludq xmm14, xmm14, xmm0
    ;;| vpaddq xmm15, xmm15, xmm14
    ;;| vpsllq xmm15, xmm15, 20h
    ;;| vpmuludq xmm2, xmm0, xmm1
    ;;| vpaddq xmm2, xmm2, xmm15
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param v128 v128) (result v128) (i8x16.swizzle (local.get 0) (local.get 1)))
    ;;| vpaddusb xmm15, xmm1, [constant 70707070707070707070707070707070]
    ;;| vpshufb xmm2, xmm0, xmm15
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param v128) (result v128) (i8x16.popcnt (local.get 0)))
    ;;| vpand xmm15, xmm0, [constant 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f]
    ;;| vpsrlw xmm14, xmm0, 4
    ;;| vpand xmm14, xmm14, [constant 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f]
    ;;| vmovaps xmm1, [constant 04030302030202010302020102010100]
    ;;| vpshufb xmm1, xmm1, xmm15
    ;;| vmovaps xmm15, [constant 04030302030202010302020102010100]
    ;;| vpshufb xmm15, xmm15, xmm14
    ;;| vpaddb xmm1, xmm1, xmm15
    ;;| vmovaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param v128) (result v128) (i32x4.trunc_sat_f32x4_u (local.get 0)))
    ;;| vpxor xmm15, xmm15, xmm15
    ;;| vmaxps xmm1, xmm0, xmm15
    ;;| vsubps xmm15, xmm1, [constant 4f0000004f0000004f0000004f000000]
    ;;| vcvttps2dq xmm1, xmm1
    ;;| vmovaps xmm14, [constant 4f0000004f0000004f0000004f000000]
    ;;| vcmpleps xmm14, xmm14, xmm15
    ;;| vcvttps2dq xmm15, xmm15
    ;;| vpxor xmm15, xmm15, xmm14
    ;;| vpxor xmm14, xmm14, xmm14
    ;;| vpmaxsd xmm15, xmm15, xmm14
    ;;| vpaddd xmm1, xmm1, xmm15
    ;;| vmovaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param v128 v128 v128) (result v128) (v128.bitselect (local.get 0) (local.get 1) (local.get 2)))
    ;;| vpxor xmm15, xmm0, xmm1
    ;;| vpand xmm15, xmm15, xmm2
    ;;| vpxor xmm3, xmm1, xmm15
    ;;| vmovaps xmm0, xmm3
    ;;| leave
    ;;| ret
  (func (param v128 i32) (result v128) (i8x16.shl (local.get 0) (local.get 1)))
    ;;| mov eax, edi
    ;;| and eax, 7
    ;;| add eax, 8
    ;;| vmovd xmm15, eax
    ;;| vpcmpeqd xmm14, xmm14, xmm14
    ;;| vpsrlw xmm14, xmm14, xmm15
    ;;| vpackuswb xmm14, xmm14, xmm14
    ;;| add eax, 0FFFFFFF8h
    ;;| vmovd xmm15, eax
    ;;| vpand xmm1, xmm0, xmm14
    ;;| vpsllw xmm1, xmm1, xmm15
    ;;| vmovaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param v128) (result v128) (i64x2.shr_s (local.get 0) (i32.const 3)))
    ;;| vpsrlq xmm1, xmm0, 3
    ;;| vpxor xmm1, xmm1, [constant 10000000000000001000000000000000]
    ;;| vpsubq xmm1, xmm1, [constant 10000000000000001000000000000000]
    ;;| vmovaps xmm0, xmm1
    ;;| leave
    ;;| ret
  (func (param v128) (result i32) (i16x8.bitmask (local.get 0)))
    ;;| vpacksswb xmm15, xmm0, xmm0
    ;;| vpmovmskb ecx, xmm15
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param v128) (result i32) (v128.any_true (local.get 0)))
    ;;| vptest xmm0, xmm0
    ;;| setne cl
    ;;| movzx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param i32) (result v128) (i8x16.splat (local.get 0)))
    ;;| vmovd xmm0, edi
    ;;| vpbroadcastb xmm0, xmm0
    ;;| leave
    ;;| ret
  (func (param v128) (result i32) (i8x16.extract_lane_s 5 (local.get 0)))
    ;;| vpextrb ecx, xmm0, 5
    ;;| movsx ecx, cl
    ;;| mov edi, ecx
    ;;| leave
    ;;| ret
  (func (param v128 f32) (result v128) (f32x4.replace_lane 2 (local.get 0) (local.get 1)))
    ;;| vinsertps xmm2, xmm0, xmm1, 20h
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
  (func (param v128 v128) (result v128)
    (i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31 (local.get 0) (local.get 1)))
    ;;| vpshufb xmm14, xmm0, [constant 800e800c800a80088006800480028000]
    ;;| vpshufb xmm15, xmm1, [constant 0f800d800b8009800780058003800180]
    ;;| vpor xmm2, xmm14, xmm15
    ;;| vmovaps xmm0, xmm2
    ;;| leave
    ;;| ret
)
