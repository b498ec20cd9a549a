//! Operators by class, their names and their meaning.
//!
//! The front end hands operators to a tier by class ([`UnaryOp`], [`BinaryOp`], [`CompareOp`], [`LoadOp`], [`StoreOp`],
//! [`Libcall`]), not one method per opcode: a tier writes one rule per class and asks the table for the rest. `eval` on
//! each class is the meaning that every tier has to agree with.

mod eval;
mod table;
mod vector;
mod vector_eval;
mod vector_lanes;

use crate::trap::Trap;
use crate::types::ValType;
pub(crate) use eval::{Evaluated, Slot};
pub(crate) use table::for_each_operator;
pub use vector::{
    ExtractLaneOp, LaneWidth, ReplaceLaneOp, SplatOp, VectorBinaryOp, VectorLoadOp, VectorShiftOp,
    VectorTernaryOp, VectorTestOp, VectorUnaryOp,
};
pub(crate) use vector::{VectorOperator, for_each_vector_operator};
pub use vector_eval::shuffle;
pub(crate) use vector_eval::{binary, extract, load, replace, shift, shuffled, splat, ternary, test, unary};
pub(crate) use vector_lanes::Bytes;

macro_rules! define_operators {
    (
        unary { $($un:ident ($ua:ident: $uat:ty) -> $ur:ty { $ue:expr })* }
        binary { $($bin:ident $bin_imm:ident ($ba:ident: $bat:ty, $bb:ident: $bbt:ty) -> $br:ty { $be:expr })* }
        compare { $($cmp:ident $cmp_imm:ident $cmp_br:ident $cmp_br_imm:ident
                    ($ca:ident: $cat:ty, $cb:ident: $cbt:ty) -> bool { $ce:expr })* }
        load { $($load:ident ($lm:ty) -> $lv:ty)* }
        store { $($store:ident ($sm:ty))* }
    ) => {
        /// Operators that take one value and give one: tests, counts, conversions, float functions.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the variants are the specification's operators by their own names")]
        pub enum UnaryOp { $($un),* }

        impl UnaryOp {
            /// Every operator of the class.
            pub const ALL: &'static [Self] = &[$(Self::$un),*];

            /// Type of the operand; for `ref.is_null`, which takes any reference, the type of a function reference.
            pub fn operand(self) -> ValType {
                match self { $(Self::$un => const { operand_type(stringify!($un)) }),* }
            }

            /// Type of the result.
            pub fn result(self) -> ValType {
                match self { $(Self::$un => const { result_type(stringify!($un)) }),* }
            }

            /// The meaning, on slots.
            ///
            /// # Errors
            /// The trap that the specification asks for.
            #[inline(always)]
            pub fn eval(self, a: u64) -> Result<u64, Trap> {
                match self {
                    $(Self::$un => {
                        let $ua = <$uat as Slot>::from_slot(a);
                        let value: $ur = $ue;
                        value.into_result()
                    })*
                }
            }
        }

        /// Operators that take two values and give one, comparisons excepted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the variants are the specification's operators by their own names")]
        pub enum BinaryOp { $($bin),* }

        impl BinaryOp {
            /// Every operator of the class.
            pub const ALL: &'static [Self] = &[$(Self::$bin),*];

            /// Type of the operands and of the result.
            pub fn ty(self) -> ValType {
                match self { $(Self::$bin => const { leading_type(stringify!($bin)) }),* }
            }

            /// The meaning, on slots.
            ///
            /// # Errors
            /// The trap that the specification asks for.
            #[inline(always)]
            pub fn eval(self, a: u64, b: u64) -> Result<u64, Trap> {
                match self {
                    $(Self::$bin => {
                        let $ba = <$bat as Slot>::from_slot(a);
                        let $bb = <$bbt as Slot>::from_slot(b);
                        let value: $br = $be;
                        value.into_result()
                    })*
                }
            }
        }

        /// Operators that compare two values and give 0 or 1.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the variants are the specification's operators by their own names")]
        pub enum CompareOp { $($cmp),* }

        impl CompareOp {
            /// Every operator of the class.
            pub const ALL: &'static [Self] = &[$(Self::$cmp),*];

            /// Type of the operands.
            pub fn ty(self) -> ValType {
                match self { $(Self::$cmp => const { leading_type(stringify!($cmp)) }),* }
            }

            /// The meaning, on slots.
            #[inline(always)]
            pub fn eval(self, a: u64, b: u64) -> bool {
                match self {
                    $(Self::$cmp => {
                        let $ca = <$cat as Slot>::from_slot(a);
                        let $cb = <$cbt as Slot>::from_slot(b);
                        $ce
                    })*
                }
            }
        }

        /// A two-operand operator by its name alone, whichever class it is of. The decoder's list of operators knows
        /// arities, not classes; this is where the one is turned into the other.
        #[derive(Clone, Copy)]
        pub(crate) enum TwoOperands {
            Binary(BinaryOp),
            Compare(CompareOp),
        }

        #[expect(non_upper_case_globals, reason = "the constants carry the operators' own names")]
        impl TwoOperands {
            $(pub(crate) const $bin: Self = Self::Binary(BinaryOp::$bin);)*
            $(pub(crate) const $cmp: Self = Self::Compare(CompareOp::$cmp);)*
        }

        /// Operators that read a linear memory.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the variants are the specification's operators by their own names")]
        pub enum LoadOp { $($load),* }

        impl LoadOp {
            /// Every operator of the class.
            pub const ALL: &'static [Self] = &[$(Self::$load),*];

            /// Type of the value, as it lies on the stack.
            pub fn ty(self) -> ValType {
                match self { $(Self::$load => const { leading_type(stringify!($load)) }),* }
            }

            /// Bytes that the operator reads.
            pub fn width(self) -> u32 {
                match self { $(Self::$load => <$lm>::BITS / 8),* }
            }

            /// What becomes of the [`width`](Self::width) bytes read, which are the low bytes of `bits`.
            pub fn eval(self, bits: u64) -> u64 {
                match self { $(Self::$load => <$lv>::from(bits as $lm).into_slot()),* }
            }
        }

        /// Operators that write a linear memory.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the variants are the specification's operators by their own names")]
        pub enum StoreOp { $($store),* }

        impl StoreOp {
            /// Every operator of the class.
            pub const ALL: &'static [Self] = &[$(Self::$store),*];

            /// Type of the value, as it lies on the stack.
            pub fn ty(self) -> ValType {
                match self { $(Self::$store => const { leading_type(stringify!($store)) }),* }
            }

            /// Bytes that the operator writes.
            pub fn width(self) -> u32 {
                match self { $(Self::$store => <$sm>::BITS / 8),* }
            }
        }
    };
}
for_each_operator!(define_operators);

/// The type that an operator's name begins with, which is that of its result (`I32WrapI64`), or of its operands if it is
/// a comparison (`F64Lt`).
const fn leading_type(name: &str) -> ValType {
    match name.as_bytes() {
        [b'I', b'3', ..] => ValType::I32,
        [b'I', b'6', ..] => ValType::I64,
        [b'F', b'3', ..] => ValType::F32,
        [b'F', b'6', ..] => ValType::F64,
        _ => ValType::FuncRef,
    }
}

/// The type of a unary operator's result: what its name begins with, but for the tests (`I64Eqz`, `RefIsNull`).
const fn result_type(name: &str) -> ValType {
    match name.as_bytes() {
        [b'R', ..] | [.., b'E', b'q', b'z'] => ValType::I32,
        _ => leading_type(name),
    }
}

/// The type of a unary operator's operand: the second that its name has (`I32TruncF64S`), or else the first.
const fn operand_type(name: &str) -> ValType {
    let bytes = name.as_bytes();
    let mut at = 3;
    while at + 3 <= bytes.len() {
        match [bytes[at], bytes[at + 1], bytes[at + 2]] {
            [b'I', b'3', b'2'] => return ValType::I32,
            [b'I', b'6', b'4'] => return ValType::I64,
            [b'F', b'3', b'2'] => return ValType::F32,
            [b'F', b'6', b'4'] => return ValType::F64,
            _ => at += 1,
        }
    }
    leading_type(name)
}

impl BinaryOp {
    /// Whether the operands may change places.
    pub fn is_commutative(self) -> bool {
        use BinaryOp::{I32Add, I32And, I32Mul, I32Or, I32Xor, I64Add, I64And, I64Mul, I64Or, I64Xor};
        matches!(
            self,
            I32Add | I32And | I32Mul | I32Or | I32Xor | I64Add | I64And | I64Mul | I64Or | I64Xor
        )
    }
}

impl CompareOp {
    /// The comparison that holds exactly when this one does not. `None` for float orders, which a NaN makes false
    /// both ways.
    pub fn negated(self) -> Option<Self> {
        use CompareOp as C;
        Some(match self {
            C::I32Eq => C::I32Ne,
            C::I32Ne => C::I32Eq,
            C::I32LtS => C::I32GeS,
            C::I32LtU => C::I32GeU,
            C::I32GtS => C::I32LeS,
            C::I32GtU => C::I32LeU,
            C::I32LeS => C::I32GtS,
            C::I32LeU => C::I32GtU,
            C::I32GeS => C::I32LtS,
            C::I32GeU => C::I32LtU,
            C::I64Eq => C::I64Ne,
            C::I64Ne => C::I64Eq,
            C::I64LtS => C::I64GeS,
            C::I64LtU => C::I64GeU,
            C::I64GtS => C::I64LeS,
            C::I64GtU => C::I64LeU,
            C::I64LeS => C::I64GtS,
            C::I64LeU => C::I64GtU,
            C::I64GeS => C::I64LtS,
            C::I64GeU => C::I64LtU,
            C::F32Eq => C::F32Ne,
            C::F32Ne => C::F32Eq,
            C::F64Eq => C::F64Ne,
            C::F64Ne => C::F64Eq,
            C::F32Lt | C::F32Gt | C::F32Le | C::F32Ge => return None,
            C::F64Lt | C::F64Gt | C::F64Le | C::F64Ge => return None,
        })
    }

    /// The comparison with its operands exchanged: `a op b` holds when `b op.swapped() a` does.
    #[must_use]
    pub fn swapped(self) -> Self {
        use CompareOp as C;
        match self {
            C::I32LtS => C::I32GtS,
            C::I32LtU => C::I32GtU,
            C::I32GtS => C::I32LtS,
            C::I32GtU => C::I32LtU,
            C::I32LeS => C::I32GeS,
            C::I32LeU => C::I32GeU,
            C::I32GeS => C::I32LeS,
            C::I32GeU => C::I32LeU,
            C::I64LtS => C::I64GtS,
            C::I64LtU => C::I64GtU,
            C::I64GtS => C::I64LtS,
            C::I64GtU => C::I64LtU,
            C::I64LeS => C::I64GeS,
            C::I64LeU => C::I64GeU,
            C::I64GeS => C::I64LeS,
            C::I64GeU => C::I64LeU,
            C::F32Lt => C::F32Gt,
            C::F32Gt => C::F32Lt,
            C::F32Le => C::F32Ge,
            C::F32Ge => C::F32Le,
            C::F64Lt => C::F64Gt,
            C::F64Gt => C::F64Lt,
            C::F64Le => C::F64Ge,
            C::F64Ge => C::F64Le,
            same => same,
        }
    }
}

/// Operators that the generated code leaves to the runtime: everything on tables, and what changes or moves memory in
/// bulk. They take their operands from consecutive slots and leave their result in the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Libcall {
    /// `memory.size`; immediate: memory.
    MemorySize,
    /// `memory.grow`; immediate: memory.
    MemoryGrow,
    /// `memory.fill`; immediate: memory.
    MemoryFill,
    /// `memory.copy`; immediates: destination and source memory.
    MemoryCopy,
    /// `memory.init`; immediates: memory and data segment.
    MemoryInit,
    /// `data.drop`; immediate: data segment.
    DataDrop,
    /// `table.get`; immediate: table.
    TableGet,
    /// `table.set`; immediate: table.
    TableSet,
    /// `table.size`; immediate: table.
    TableSize,
    /// `table.grow`; immediate: table.
    TableGrow,
    /// `table.fill`; immediate: table.
    TableFill,
    /// `table.copy`; immediates: destination and source table.
    TableCopy,
    /// `table.init`; immediates: table and element segment.
    TableInit,
    /// `elem.drop`; immediate: element segment.
    ElemDrop,
    /// `ref.func`; immediate: function.
    RefFunc,
}

impl Libcall {
    /// How many values it takes and gives.
    pub fn arity(self) -> (u16, u16) {
        match self {
            Self::MemorySize | Self::TableSize | Self::RefFunc => (0, 1),
            Self::MemoryGrow | Self::TableGet => (1, 1),
            Self::TableGrow => (2, 1),
            Self::TableSet => (2, 0),
            Self::DataDrop | Self::ElemDrop => (0, 0),
            Self::MemoryFill
            | Self::MemoryCopy
            | Self::MemoryInit
            | Self::TableFill
            | Self::TableCopy
            | Self::TableInit => (3, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [u64; 16] = [
        0,
        1,
        2,
        31,
        63,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        0x7fff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        u64::MAX,
        0x3f80_0000,           // 1.0f32
        0x7fc0_0000,           // NaN f32
        0x3ff0_0000_0000_0000, // 1.0f64
        0x7ff8_0000_0000_0000, // NaN f64
        0x7ff0_0000_0000_0001, // signalling NaN f64
    ];

    #[test]
    fn negated_and_swapped_comparisons_agree_with_eval() {
        for &op in CompareOp::ALL {
            for a in EDGES {
                for b in EDGES {
                    assert_eq!(op.eval(a, b), op.swapped().eval(b, a), "{op:?} {a:#x} {b:#x}");
                    if let Some(not) = op.negated() {
                        assert_ne!(op.eval(a, b), not.eval(a, b), "{op:?} {a:#x} {b:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn types_follow_from_names() {
        assert_eq!(
            (UnaryOp::I32WrapI64.operand(), UnaryOp::I32WrapI64.result()),
            (ValType::I64, ValType::I32)
        );
        assert_eq!(
            (UnaryOp::I64Eqz.operand(), UnaryOp::I64Eqz.result()),
            (ValType::I64, ValType::I32)
        );
        assert_eq!(UnaryOp::I64Extend32S.operand(), ValType::I64);
        assert_eq!(UnaryOp::F32DemoteF64.operand(), ValType::F64);
        assert_eq!(UnaryOp::I64TruncSatF32U.operand(), ValType::F32);
        assert_eq!(BinaryOp::F32Copysign.ty(), ValType::F32);
        assert_eq!(LoadOp::I64Load32U.ty(), ValType::I64);
    }

    #[test]
    fn commutative_operators_commute() {
        for &op in BinaryOp::ALL.iter().filter(|op| op.is_commutative()) {
            for a in EDGES {
                for b in EDGES {
                    assert_eq!(op.eval(a, b), op.eval(b, a), "{op:?}");
                }
            }
        }
    }

    #[test]
    fn division_traps_where_the_standard_says() {
        assert_eq!(BinaryOp::I32DivS.eval(7, 0), Err(Trap::IntegerDivideByZero));
        assert_eq!(
            BinaryOp::I32DivS.eval(0x8000_0000, 0xffff_ffff),
            Err(Trap::IntegerOverflow)
        );
        assert_eq!(BinaryOp::I32RemS.eval(0x8000_0000, 0xffff_ffff), Ok(0));
        assert_eq!(BinaryOp::I64DivU.eval(9, 2), Ok(4));
    }

    #[test]
    fn an_i32_result_is_zero_extended() {
        assert_eq!(BinaryOp::I32Sub.eval(0, 1), Ok(0xffff_ffff));
        assert_eq!(UnaryOp::I32Extend8S.eval(0x80), Ok(0xffff_ff80));
    }

    #[test]
    fn truncation_bounds_are_exact() {
        let f32_slot = |x: f32| u64::from(x.to_bits());
        assert_eq!(
            UnaryOp::I32TruncF32S.eval(f32_slot(-2_147_483_648.0)),
            Ok(0x8000_0000)
        );
        assert_eq!(
            UnaryOp::I32TruncF32S.eval(f32_slot(2_147_483_648.0)),
            Err(Trap::IntegerOverflow)
        );
        assert_eq!(
            UnaryOp::I32TruncF64S.eval((-2_147_483_648.9_f64).to_bits()),
            Ok(0x8000_0000)
        );
        assert_eq!(
            UnaryOp::I32TruncF64S.eval((-2_147_483_649.0_f64).to_bits()),
            Err(Trap::IntegerOverflow)
        );
        assert_eq!(UnaryOp::I32TruncF32U.eval(f32_slot(-0.9)), Ok(0));
        assert_eq!(
            UnaryOp::I64TruncF64S.eval(f64::NAN.to_bits()),
            Err(Trap::InvalidConversionToInteger)
        );
    }
}
