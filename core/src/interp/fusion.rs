//! The table of fused instructions: two operators, or an operator and a jump, that run as one.
//!
//! A dispatch loop spends more time between two instructions than in most of them, so what saves time is to run fewer. The
//! rows are the pairs that run most in loops that LLVM has compiled: sums of products, hashes and random numbers out of
//! shifts, array elements, counters. Each is a row of this table and nothing else: the instruction, the
//! rule that makes it and the arm that runs it are generated, the meaning of both halves is the operator table's.
//!
//! ```text
//! before   Name NameWithImmediate: Inner InnerWithImmediate, Outer       dst = outer(inner(a, b), c)
//! behind   Name NameWithImmediate: Inner InnerWithImmediate, Outer       dst = outer(c, inner(a, b))
//! from_unary Name: Inner, Outer                                          dst = outer(c, inner(a))
//! outside  Name: Inner, Outer                                            dst = outer(inner(a, b), immediate)
//! loaded   Name (type in memory) -> type in the slot: Outer, Loads       dst = outer(c, memory[addr])
//! element  LoadIndexed LoadScaled LoadAbsolute (in memory) -> in the slot: Loads
//!                                                       dst = memory[a + b], memory[a << shift], memory[constant]
//! target   StoreIndexed StoreScaled StoreAbsolute StoreImmediate (in memory): Stores
//!                                                       memory[a + b], ... = src, memory[addr] = constant
//! stored   Name (type in memory): Outer, Store                           memory[addr] = outer(a, b)
//! chosen   Name: Compare                                                 dst = if compare(x, y) { a } else { b }
//! unless   Name NameImm: Compare CompareWithImmediate                                   a jump if not compare(a, b), of floats
//! step     Name NameImm NameReg: Add AddWithImmediate, Compare, its jumps
//!                            dst = a + by, and a jump if compare(dst, b)
//! ```
//!
//! `vector_before`, `vector_behind`, `vector_loaded` and `vector_stored` are the same of vectors, the loads `v128.load`.
//!
//! `before` and `behind` are apart because an operator of floats may keep either operand's NaN. Where the outer
//! operator is commutative, translation uses `before` for both.

/// Hands all three tables to `$callback!`: this one's sections, the vector operators and the scalar ones.
macro_rules! for_each_instruction {
    ($callback:ident) => {
        $crate::operator::for_each_vector_operator! { for_each_instruction @ $callback {
            before {
            I32MulAdd I32MulImmAdd: I32Mul I32MulImm, I32Add;
            I32ShlAdd I32ShlImmAdd: I32Shl I32ShlImm, I32Add;
            I32AddAdd I32AddImmAdd: I32Add I32AddImm, I32Add;
            I32XorAdd I32XorImmAdd: I32Xor I32XorImm, I32Add;
            I32OrAdd I32OrImmAdd: I32Or I32OrImm, I32Add;
            I32AndAdd I32AndImmAdd: I32And I32AndImm, I32Add;
            I32AndXor I32AndImmXor: I32And I32AndImm, I32Xor;
            I32AndOr I32AndImmOr: I32And I32AndImm, I32Or;
            I32XorAnd I32XorImmAnd: I32Xor I32XorImm, I32And;
            I32XorXor I32XorImmXor: I32Xor I32XorImm, I32Xor;
            I32ShlXor I32ShlImmXor: I32Shl I32ShlImm, I32Xor;
            I32ShrUXor I32ShrUImmXor: I32ShrU I32ShrUImm, I32Xor;
            I32RotlXor I32RotlImmXor: I32Rotl I32RotlImm, I32Xor;
            I32RotrXor I32RotrImmXor: I32Rotr I32RotrImm, I32Xor;
            I32ShlOr I32ShlImmOr: I32Shl I32ShlImm, I32Or;
            I32ShrUAdd I32ShrUImmAdd: I32ShrU I32ShrUImm, I32Add;
            I64MulAdd I64MulImmAdd: I64Mul I64MulImm, I64Add;
            I64ShlXor I64ShlImmXor: I64Shl I64ShlImm, I64Xor;
            I64ShrUXor I64ShrUImmXor: I64ShrU I64ShrUImm, I64Xor;
            I64RotlXor I64RotlImmXor: I64Rotl I64RotlImm, I64Xor;
            I64XorXor I64XorImmXor: I64Xor I64XorImm, I64Xor;
            I64AddAdd I64AddImmAdd: I64Add I64AddImm, I64Add;
            I64ShlAdd I64ShlImmAdd: I64Shl I64ShlImm, I64Add;
            F64MulAdd F64MulImmAdd: F64Mul F64MulImm, F64Add;
            F64MulSub F64MulImmSub: F64Mul F64MulImm, F64Sub;
            F64MulMul F64MulImmMul: F64Mul F64MulImm, F64Mul;
            F64AddAdd F64AddImmAdd: F64Add F64AddImm, F64Add;
            F64AddMul F64AddImmMul: F64Add F64AddImm, F64Mul;
            F32MulAdd F32MulImmAdd: F32Mul F32MulImm, F32Add;
            F32MulSub F32MulImmSub: F32Mul F32MulImm, F32Sub;
            }
            behind {
            F64AddOfMul F64AddOfMulImm: F64Mul F64MulImm, F64Add;
            F64SubOfMul F64SubOfMulImm: F64Mul F64MulImm, F64Sub;
            F64MulOfMul F64MulOfMulImm: F64Mul F64MulImm, F64Mul;
            F64AddOfSub F64AddOfSubImm: F64Sub F64SubImm, F64Add;
            F64AddOfAdd F64AddOfAddImm: F64Add F64AddImm, F64Add;
            F32AddOfMul F32AddOfMulImm: F32Mul F32MulImm, F32Add;
            F32SubOfMul F32SubOfMulImm: F32Mul F32MulImm, F32Sub;
            I32SubOfMul I32SubOfMulImm: I32Mul I32MulImm, I32Sub;
            }
            from_unary {
            I32EqzAdd: I32Eqz, I32Add;
            I32WrapAdd: I32WrapI64, I32Add;
            I64ExtendSAdd: I64ExtendI32S, I64Add;
            I64ExtendUAdd: I64ExtendI32U, I64Add;
            I64ExtendUXor: I64ExtendI32U, I64Xor;
            I64ExtendUOr: I64ExtendI32U, I64Or;
            F64NegMul: F64Neg, F64Mul;
            F64SqrtMul: F64Sqrt, F64Mul;
            }
            outside {
            I32AddThenAddImm: I32Add, I32Add;
            I32AddThenShlImm: I32Add, I32Shl;
            I32AddThenAndImm: I32Add, I32And;
            I64XorThenMulImm: I64Xor, I64Mul;
            F64MulThenAddImm: F64Mul, F64Add;
            F64AddThenMulImm: F64Add, F64Mul;
            }
            loaded {
            I32AddLoaded (u32) -> u32: I32Add, I32Load;
            I32XorLoaded (u32) -> u32: I32Xor, I32Load;
            I64AddLoaded (u64) -> u64: I64Add, I64Load;
            I64XorLoaded (u64) -> u64: I64Xor, I64Load;
            F64AddLoaded (u64) -> u64: F64Add, F64Load;
            F64SubLoaded (u64) -> u64: F64Sub, F64Load;
            F64MulLoaded (u64) -> u64: F64Mul, F64Load;
            F32AddLoaded (u32) -> u32: F32Add, F32Load;
            F32MulLoaded (u32) -> u32: F32Mul, F32Load;
            }
            element {
            LoadIndexed32 LoadScaled32 LoadAbsolute32 (u32) -> u32: I32Load F32Load I64Load32U;
            LoadIndexed64 LoadScaled64 LoadAbsolute64 (u64) -> u64: I64Load F64Load;
            LoadIndexed8U LoadScaled8U LoadAbsolute8U (u8) -> u32: I32Load8U I64Load8U;
            LoadIndexed16U LoadScaled16U LoadAbsolute16U (u16) -> u32: I32Load16U I64Load16U;
            }
            target {
            StoreIndexed8 StoreScaled8 StoreAbsolute8 StoreImmediate8 (u8): I32Store8 I64Store8;
            StoreIndexed16 StoreScaled16 StoreAbsolute16 StoreImmediate16 (u16): I32Store16 I64Store16;
            StoreIndexed32 StoreScaled32 StoreAbsolute32 StoreImmediate32 (u32): I32Store F32Store I64Store32;
            StoreIndexed64 StoreScaled64 StoreAbsolute64 StoreImmediate64 (u64): I64Store F64Store;
            }
            stored {
            I32AddStored (u32): I32Add, I32Store;
            I32XorStored (u32): I32Xor, I32Store;
            I64AddStored (u64): I64Add, I64Store;
            F64AddStored (u64): F64Add, F64Store;
            F64SubStored (u64): F64Sub, F64Store;
            F64MulStored (u64): F64Mul, F64Store;
            F32AddStored (u32): F32Add, F32Store;
            F32MulStored (u32): F32Mul, F32Store;
            }
            chosen {
            SelectI32Eq: I32Eq;
            SelectI32Ne: I32Ne;
            SelectI32LtS: I32LtS;
            SelectI32LtU: I32LtU;
            SelectI32GtS: I32GtS;
            SelectI32GtU: I32GtU;
            }
            unless {
            UnlessF32Lt UnlessF32LtImm: F32Lt F32LtImm;
            UnlessF32Gt UnlessF32GtImm: F32Gt F32GtImm;
            UnlessF32Le UnlessF32LeImm: F32Le F32LeImm;
            UnlessF32Ge UnlessF32GeImm: F32Ge F32GeImm;
            UnlessF64Lt UnlessF64LtImm: F64Lt F64LtImm;
            UnlessF64Gt UnlessF64GtImm: F64Gt F64GtImm;
            UnlessF64Le UnlessF64LeImm: F64Le F64LeImm;
            UnlessF64Ge UnlessF64GeImm: F64Ge F64GeImm;
            }
            step {
            StepI32Eq StepI32EqImm StepI32EqReg: I32Add I32AddImm, I32Eq, BrI32Eq BrI32EqImm;
            StepI32Ne StepI32NeImm StepI32NeReg: I32Add I32AddImm, I32Ne, BrI32Ne BrI32NeImm;
            StepI32LtS StepI32LtSImm StepI32LtSReg: I32Add I32AddImm, I32LtS, BrI32LtS BrI32LtSImm;
            StepI32LtU StepI32LtUImm StepI32LtUReg: I32Add I32AddImm, I32LtU, BrI32LtU BrI32LtUImm;
            StepI32GtS StepI32GtSImm StepI32GtSReg: I32Add I32AddImm, I32GtS, BrI32GtS BrI32GtSImm;
            StepI32GtU StepI32GtUImm StepI32GtUReg: I32Add I32AddImm, I32GtU, BrI32GtU BrI32GtUImm;
            StepI32LeS StepI32LeSImm StepI32LeSReg: I32Add I32AddImm, I32LeS, BrI32LeS BrI32LeSImm;
            StepI32LeU StepI32LeUImm StepI32LeUReg: I32Add I32AddImm, I32LeU, BrI32LeU BrI32LeUImm;
            StepI32GeS StepI32GeSImm StepI32GeSReg: I32Add I32AddImm, I32GeS, BrI32GeS BrI32GeSImm;
            StepI32GeU StepI32GeUImm StepI32GeUReg: I32Add I32AddImm, I32GeU, BrI32GeU BrI32GeUImm;
            StepI64Ne StepI64NeImm StepI64NeReg: I64Add I64AddImm, I64Ne, BrI64Ne BrI64NeImm;
            StepI64LtS StepI64LtSImm StepI64LtSReg: I64Add I64AddImm, I64LtS, BrI64LtS BrI64LtSImm;
            StepI64LtU StepI64LtUImm StepI64LtUReg: I64Add I64AddImm, I64LtU, BrI64LtU BrI64LtUImm;
            }
            vector_before {
            F64x2MulAdd: F64x2Mul, F64x2Add;
            F64x2MulSub: F64x2Mul, F64x2Sub;
            F64x2AddAdd: F64x2Add, F64x2Add;
            F64x2SubAdd: F64x2Sub, F64x2Add;
            F64x2AddMul: F64x2Add, F64x2Mul;
            F64x2LtAnd: F64x2Lt, V128And;
            F64x2LeAnd: F64x2Le, V128And;
            F32x4MulAdd: F32x4Mul, F32x4Add;
            F32x4MulSub: F32x4Mul, F32x4Sub;
            F32x4AddAdd: F32x4Add, F32x4Add;
            I32x4AddAdd: I32x4Add, I32x4Add;
            I32x4MulAdd: I32x4Mul, I32x4Add;
            V128XorXor: V128Xor, V128Xor;
            V128XorAnd: V128Xor, V128And;
            V128AndXor: V128And, V128Xor;
            V128AndOr: V128And, V128Or;
            }
            vector_behind {
            F64x2AddOfMul: F64x2Mul, F64x2Add;
            F64x2SubOfMul: F64x2Mul, F64x2Sub;
            F64x2AddOfAdd: F64x2Add, F64x2Add;
            F64x2AddOfSub: F64x2Sub, F64x2Add;
            F32x4AddOfMul: F32x4Mul, F32x4Add;
            F32x4SubOfMul: F32x4Mul, F32x4Sub;
            F32x4AddOfAdd: F32x4Add, F32x4Add;
            }
            vector_loaded {
            F64x2AddLoaded: F64x2Add;
            F64x2SubLoaded: F64x2Sub;
            F64x2MulLoaded: F64x2Mul;
            F32x4AddLoaded: F32x4Add;
            F32x4SubLoaded: F32x4Sub;
            F32x4MulLoaded: F32x4Mul;
            I32x4AddLoaded: I32x4Add;
            V128AndLoaded: V128And;
            V128XorLoaded: V128Xor;
            }
            vector_stored {
            F64x2AddStored: F64x2Add;
            F64x2SubStored: F64x2Sub;
            F64x2MulStored: F64x2Mul;
            F32x4AddStored: F32x4Add;
            F32x4SubStored: F32x4Sub;
            F32x4MulStored: F32x4Mul;
            I32x4AddStored: I32x4Add;
            V128XorStored: V128Xor;
            }
        } }
    };
    (@ $callback:ident { $($fused:tt)* } $($vectors:tt)*) => {
        $crate::operator::for_each_operator! { $callback $($fused)* vectors { $($vectors)* } }
    };
}
pub(super) use for_each_instruction;

/// A memory address in the making: a register, and what is added to it with wrap-around, as 32-bit guests do.
#[inline(always)]
pub(super) fn wrapped(slot: u64, plus: u32) -> u64 {
    u64::from((slot as u32).wrapping_add(plus))
}
