//! The operator table: every numeric and memory operator of WebAssembly, by class, with its meaning.
//!
//! It is written once, as a macro that hands its rows to another macro. The enums, `eval`, the interpreter's
//! instructions and its dispatch loop, and the tests that compare machine code with `eval` are all generated from it, so an
//! operator cannot be in one of them and missing from another. A row reads
//!
//! ```text
//! unary   Name (operand: type) -> result { meaning }
//! binary  Name NameWithImmediate (operands) -> result { meaning }
//! compare Name NameWithImmediate BranchIfName BranchIfNameWithImmediate (operands) -> bool { meaning }
//! load    Name (type in memory) -> type in the slot
//! store   Name (type in memory)
//! ```
//!
//! where the further names are the interpreter's fused forms. Sign is a property of the operator, so the Rust types say
//! it. Float sign operations work on bits: they must not touch a NaN's payload.

/// Hands the whole table to `$callback!`, after the tokens `$extra`.
macro_rules! for_each_operator {
    ($callback:ident $($extra:tt)*) => {
        $callback! {
            $($extra)*
            unary {
            I32Eqz (a: u32) -> bool { a == 0 }
            I32Clz (a: u32) -> u32 { a.leading_zeros() }
            I32Ctz (a: u32) -> u32 { a.trailing_zeros() }
            I32Popcnt (a: u32) -> u32 { a.count_ones() }
            I64Eqz (a: u64) -> bool { a == 0 }
            I64Clz (a: u64) -> u64 { u64::from(a.leading_zeros()) }
            I64Ctz (a: u64) -> u64 { u64::from(a.trailing_zeros()) }
            I64Popcnt (a: u64) -> u64 { u64::from(a.count_ones()) }
            I32Extend8S (a: u32) -> i32 { i32::from(a as i8) }
            I32Extend16S (a: u32) -> i32 { i32::from(a as i16) }
            I64Extend8S (a: u64) -> i64 { i64::from(a as i8) }
            I64Extend16S (a: u64) -> i64 { i64::from(a as i16) }
            I64Extend32S (a: u64) -> i64 { i64::from(a as i32) }
            F32Abs (a: u32) -> u32 { a & !0x8000_0000 }
            F32Neg (a: u32) -> u32 { a ^ 0x8000_0000 }
            F32Ceil (a: f32) -> f32 { eval::f32_ceil(a) }
            F32Floor (a: f32) -> f32 { eval::f32_floor(a) }
            F32Trunc (a: f32) -> f32 { eval::f32_trunc(a) }
            F32Nearest (a: f32) -> f32 { eval::f32_nearest(a) }
            F32Sqrt (a: f32) -> f32 { a.sqrt() }
            F64Abs (a: u64) -> u64 { a & !0x8000_0000_0000_0000 }
            F64Neg (a: u64) -> u64 { a ^ 0x8000_0000_0000_0000 }
            F64Ceil (a: f64) -> f64 { eval::f64_ceil(a) }
            F64Floor (a: f64) -> f64 { eval::f64_floor(a) }
            F64Trunc (a: f64) -> f64 { eval::f64_trunc(a) }
            F64Nearest (a: f64) -> f64 { eval::f64_nearest(a) }
            F64Sqrt (a: f64) -> f64 { a.sqrt() }
            I32WrapI64 (a: u64) -> u32 { a as u32 }
            I32TruncF32S (a: f32) -> Result<i32, Trap> { eval::i32_trunc_f32_s(a) }
            I32TruncSatF32S (a: f32) -> i32 { a as i32 }
            I32TruncF32U (a: f32) -> Result<u32, Trap> { eval::i32_trunc_f32_u(a) }
            I32TruncSatF32U (a: f32) -> u32 { a as u32 }
            I32TruncF64S (a: f64) -> Result<i32, Trap> { eval::i32_trunc_f64_s(a) }
            I32TruncSatF64S (a: f64) -> i32 { a as i32 }
            I32TruncF64U (a: f64) -> Result<u32, Trap> { eval::i32_trunc_f64_u(a) }
            I32TruncSatF64U (a: f64) -> u32 { a as u32 }
            I64TruncF32S (a: f32) -> Result<i64, Trap> { eval::i64_trunc_f32_s(a) }
            I64TruncSatF32S (a: f32) -> i64 { a as i64 }
            I64TruncF32U (a: f32) -> Result<u64, Trap> { eval::i64_trunc_f32_u(a) }
            I64TruncSatF32U (a: f32) -> u64 { a as u64 }
            I64TruncF64S (a: f64) -> Result<i64, Trap> { eval::i64_trunc_f64_s(a) }
            I64TruncSatF64S (a: f64) -> i64 { a as i64 }
            I64TruncF64U (a: f64) -> Result<u64, Trap> { eval::i64_trunc_f64_u(a) }
            I64TruncSatF64U (a: f64) -> u64 { a as u64 }
            I64ExtendI32S (a: i32) -> i64 { i64::from(a) }
            I64ExtendI32U (a: u32) -> u64 { u64::from(a) }
            F32ConvertI32S (a: i32) -> f32 { a as f32 }
            F32ConvertI32U (a: u32) -> f32 { a as f32 }
            F32ConvertI64S (a: i64) -> f32 { a as f32 }
            F32ConvertI64U (a: u64) -> f32 { a as f32 }
            F64ConvertI32S (a: i32) -> f64 { f64::from(a) }
            F64ConvertI32U (a: u32) -> f64 { f64::from(a) }
            F64ConvertI64S (a: i64) -> f64 { a as f64 }
            F64ConvertI64U (a: u64) -> f64 { a as f64 }
            F32DemoteF64 (a: f64) -> f32 { a as f32 }
            F64PromoteF32 (a: f32) -> f64 { f64::from(a) }
            I32ReinterpretF32 (a: u32) -> u32 { a }
            I64ReinterpretF64 (a: u64) -> u64 { a }
            F32ReinterpretI32 (a: u32) -> u32 { a }
            F64ReinterpretI64 (a: u64) -> u64 { a }
            RefIsNull (a: u64) -> bool { a == 0 }
            }
            binary {
            I32Add I32AddImm (a: u32, b: u32) -> u32 { a.wrapping_add(b) }
            I32Sub I32SubImm (a: u32, b: u32) -> u32 { a.wrapping_sub(b) }
            I32Mul I32MulImm (a: u32, b: u32) -> u32 { a.wrapping_mul(b) }
            I32DivS I32DivSImm (a: i32, b: i32) -> Result<i32, Trap> { eval::i32_div_s(a, b) }
            I32DivU I32DivUImm (a: u32, b: u32) -> Result<u32, Trap> { eval::i32_div_u(a, b) }
            I32RemS I32RemSImm (a: i32, b: i32) -> Result<i32, Trap> { eval::i32_rem_s(a, b) }
            I32RemU I32RemUImm (a: u32, b: u32) -> Result<u32, Trap> { eval::i32_rem_u(a, b) }
            I32And I32AndImm (a: u32, b: u32) -> u32 { a & b }
            I32Or I32OrImm (a: u32, b: u32) -> u32 { a | b }
            I32Xor I32XorImm (a: u32, b: u32) -> u32 { a ^ b }
            I32Shl I32ShlImm (a: u32, b: u32) -> u32 { a.wrapping_shl(b) }
            I32ShrS I32ShrSImm (a: i32, b: u32) -> i32 { a.wrapping_shr(b) }
            I32ShrU I32ShrUImm (a: u32, b: u32) -> u32 { a.wrapping_shr(b) }
            I32Rotl I32RotlImm (a: u32, b: u32) -> u32 { a.rotate_left(b & 31) }
            I32Rotr I32RotrImm (a: u32, b: u32) -> u32 { a.rotate_right(b & 31) }
            I64Add I64AddImm (a: u64, b: u64) -> u64 { a.wrapping_add(b) }
            I64Sub I64SubImm (a: u64, b: u64) -> u64 { a.wrapping_sub(b) }
            I64Mul I64MulImm (a: u64, b: u64) -> u64 { a.wrapping_mul(b) }
            I64DivS I64DivSImm (a: i64, b: i64) -> Result<i64, Trap> { eval::i64_div_s(a, b) }
            I64DivU I64DivUImm (a: u64, b: u64) -> Result<u64, Trap> { eval::i64_div_u(a, b) }
            I64RemS I64RemSImm (a: i64, b: i64) -> Result<i64, Trap> { eval::i64_rem_s(a, b) }
            I64RemU I64RemUImm (a: u64, b: u64) -> Result<u64, Trap> { eval::i64_rem_u(a, b) }
            I64And I64AndImm (a: u64, b: u64) -> u64 { a & b }
            I64Or I64OrImm (a: u64, b: u64) -> u64 { a | b }
            I64Xor I64XorImm (a: u64, b: u64) -> u64 { a ^ b }
            I64Shl I64ShlImm (a: u64, b: u64) -> u64 { a.wrapping_shl(b as u32) }
            I64ShrS I64ShrSImm (a: i64, b: u64) -> i64 { a.wrapping_shr(b as u32) }
            I64ShrU I64ShrUImm (a: u64, b: u64) -> u64 { a.wrapping_shr(b as u32) }
            I64Rotl I64RotlImm (a: u64, b: u64) -> u64 { a.rotate_left((b & 63) as u32) }
            I64Rotr I64RotrImm (a: u64, b: u64) -> u64 { a.rotate_right((b & 63) as u32) }
            F32Add F32AddImm (a: f32, b: f32) -> f32 { a + b }
            F32Sub F32SubImm (a: f32, b: f32) -> f32 { a - b }
            F32Mul F32MulImm (a: f32, b: f32) -> f32 { a * b }
            F32Div F32DivImm (a: f32, b: f32) -> f32 { a / b }
            F32Min F32MinImm (a: f32, b: f32) -> f32 { eval::f32_min(a, b) }
            F32Max F32MaxImm (a: f32, b: f32) -> f32 { eval::f32_max(a, b) }
            F32Copysign F32CopysignImm (a: u32, b: u32) -> u32 { (a & !0x8000_0000) | (b & 0x8000_0000) }
            F64Add F64AddImm (a: f64, b: f64) -> f64 { a + b }
            F64Sub F64SubImm (a: f64, b: f64) -> f64 { a - b }
            F64Mul F64MulImm (a: f64, b: f64) -> f64 { a * b }
            F64Div F64DivImm (a: f64, b: f64) -> f64 { a / b }
            F64Min F64MinImm (a: f64, b: f64) -> f64 { eval::f64_min(a, b) }
            F64Max F64MaxImm (a: f64, b: f64) -> f64 { eval::f64_max(a, b) }
            F64Copysign F64CopysignImm (a: u64, b: u64) -> u64 { (a & !0x8000_0000_0000_0000) | (b & 0x8000_0000_0000_0000) }
            }
            compare {
            I32Eq I32EqImm BrI32Eq BrI32EqImm (a: u32, b: u32) -> bool { a == b }
            I32Ne I32NeImm BrI32Ne BrI32NeImm (a: u32, b: u32) -> bool { a != b }
            I32LtS I32LtSImm BrI32LtS BrI32LtSImm (a: i32, b: i32) -> bool { a < b }
            I32LtU I32LtUImm BrI32LtU BrI32LtUImm (a: u32, b: u32) -> bool { a < b }
            I32GtS I32GtSImm BrI32GtS BrI32GtSImm (a: i32, b: i32) -> bool { a > b }
            I32GtU I32GtUImm BrI32GtU BrI32GtUImm (a: u32, b: u32) -> bool { a > b }
            I32LeS I32LeSImm BrI32LeS BrI32LeSImm (a: i32, b: i32) -> bool { a <= b }
            I32LeU I32LeUImm BrI32LeU BrI32LeUImm (a: u32, b: u32) -> bool { a <= b }
            I32GeS I32GeSImm BrI32GeS BrI32GeSImm (a: i32, b: i32) -> bool { a >= b }
            I32GeU I32GeUImm BrI32GeU BrI32GeUImm (a: u32, b: u32) -> bool { a >= b }
            I64Eq I64EqImm BrI64Eq BrI64EqImm (a: u64, b: u64) -> bool { a == b }
            I64Ne I64NeImm BrI64Ne BrI64NeImm (a: u64, b: u64) -> bool { a != b }
            I64LtS I64LtSImm BrI64LtS BrI64LtSImm (a: i64, b: i64) -> bool { a < b }
            I64LtU I64LtUImm BrI64LtU BrI64LtUImm (a: u64, b: u64) -> bool { a < b }
            I64GtS I64GtSImm BrI64GtS BrI64GtSImm (a: i64, b: i64) -> bool { a > b }
            I64GtU I64GtUImm BrI64GtU BrI64GtUImm (a: u64, b: u64) -> bool { a > b }
            I64LeS I64LeSImm BrI64LeS BrI64LeSImm (a: i64, b: i64) -> bool { a <= b }
            I64LeU I64LeUImm BrI64LeU BrI64LeUImm (a: u64, b: u64) -> bool { a <= b }
            I64GeS I64GeSImm BrI64GeS BrI64GeSImm (a: i64, b: i64) -> bool { a >= b }
            I64GeU I64GeUImm BrI64GeU BrI64GeUImm (a: u64, b: u64) -> bool { a >= b }
            F32Eq F32EqImm BrF32Eq BrF32EqImm (a: f32, b: f32) -> bool { a == b }
            F32Ne F32NeImm BrF32Ne BrF32NeImm (a: f32, b: f32) -> bool { a != b }
            F32Lt F32LtImm BrF32Lt BrF32LtImm (a: f32, b: f32) -> bool { a < b }
            F32Gt F32GtImm BrF32Gt BrF32GtImm (a: f32, b: f32) -> bool { a > b }
            F32Le F32LeImm BrF32Le BrF32LeImm (a: f32, b: f32) -> bool { a <= b }
            F32Ge F32GeImm BrF32Ge BrF32GeImm (a: f32, b: f32) -> bool { a >= b }
            F64Eq F64EqImm BrF64Eq BrF64EqImm (a: f64, b: f64) -> bool { a == b }
            F64Ne F64NeImm BrF64Ne BrF64NeImm (a: f64, b: f64) -> bool { a != b }
            F64Lt F64LtImm BrF64Lt BrF64LtImm (a: f64, b: f64) -> bool { a < b }
            F64Gt F64GtImm BrF64Gt BrF64GtImm (a: f64, b: f64) -> bool { a > b }
            F64Le F64LeImm BrF64Le BrF64LeImm (a: f64, b: f64) -> bool { a <= b }
            F64Ge F64GeImm BrF64Ge BrF64GeImm (a: f64, b: f64) -> bool { a >= b }
            }
            load {
            I32Load (u32) -> u32
            I64Load (u64) -> u64
            F32Load (u32) -> u32
            F64Load (u64) -> u64
            I32Load8S (i8) -> i32
            I32Load8U (u8) -> u32
            I32Load16S (i16) -> i32
            I32Load16U (u16) -> u32
            I64Load8S (i8) -> i64
            I64Load8U (u8) -> u64
            I64Load16S (i16) -> i64
            I64Load16U (u16) -> u64
            I64Load32S (i32) -> i64
            I64Load32U (u32) -> u64
            }
            store {
            I32Store (u32)
            I64Store (u64)
            F32Store (u32)
            F64Store (u64)
            I32Store8 (u8)
            I32Store16 (u16)
            I64Store8 (u8)
            I64Store16 (u16)
            I64Store32 (u32)
            }
        }
    };
}
pub(crate) use for_each_operator;
