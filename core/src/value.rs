//! The values that cross the engine's border.
//!
//! Inside, every value is one untyped 64-bit *slot*: an `i32` is zero-extended, floats are their bits, a reference is
//! 0 for null and otherwise an index plus one. A vector is two slots, its low half first. Validation has proved the types, so the slots carry no tags; [`Value`]
//! puts the tag back where the embedder looks.

use crate::store::{Exception, Func, StoreInner};
use crate::types::ValType;

/// A value with its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a binary32, so that NaN payloads survive and equality is exact.
    F32(u32),
    /// Bits of a binary64.
    F64(u64),
    /// A vector; lane 0 lies in the lowest bits.
    V128(u128),
    /// Reference to a function of the store, or null.
    FuncRef(Option<Func>),
    /// Reference to something that the embedder numbers, or null.
    ExternRef(Option<u32>),
    /// Reference to an exception of the store, or null.
    ExnRef(Option<Exception>),
}

impl Value {
    /// The type of this value.
    pub fn ty(&self) -> ValType {
        match self {
            Self::I32(_) => ValType::I32,
            Self::I64(_) => ValType::I64,
            Self::F32(_) => ValType::F32,
            Self::F64(_) => ValType::F64,
            Self::V128(_) => ValType::V128,
            Self::FuncRef(_) => ValType::FuncRef,
            Self::ExternRef(_) => ValType::ExternRef,
            Self::ExnRef(_) => ValType::ExnRef,
        }
    }

    /// Writes values as guests have them, one behind the other.
    pub(crate) fn write_slots(values: &[Self], store: &StoreInner, slots: &mut [u64]) {
        let mut at = 0;
        for &value in values {
            let width = value.ty().slots();
            slots[at..at + width].copy_from_slice(&store.slot_of(value)[..width]);
            at += width;
        }
    }

    /// Reads values of these types as guests have them, one behind the other.
    pub(crate) fn read_slots(types: &[ValType], store: &StoreInner, slots: &[u64]) -> Vec<Self> {
        let mut at = 0;
        let read = |ty: &ValType| {
            let high = if ty.slots() == 2 { slots[at + 1] } else { 0 };
            let value = store.value_of(*ty, [slots[at], high]);
            at += ty.slots();
            value
        };
        types.iter().map(read).collect()
    }

    /// Zero, or null, of a type: what locals and new table elements start as.
    pub fn default_of(ty: ValType) -> Self {
        match ty {
            ValType::I32 => Self::I32(0),
            ValType::I64 => Self::I64(0),
            ValType::F32 => Self::F32(0),
            ValType::F64 => Self::F64(0),
            ValType::V128 => Self::V128(0),
            ValType::FuncRef => Self::FuncRef(None),
            ValType::ExternRef => Self::ExternRef(None),
            ValType::ExnRef => Self::ExnRef(None),
        }
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::I32(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Self::F32(value.to_bits())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::F64(value.to_bits())
    }
}
