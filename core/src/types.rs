//! The type language of WebAssembly, as far as this engine speaks it.

use std::fmt;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// 128 bits, which vector operators see as lanes.
    V128,
    /// Nullable reference to a function.
    FuncRef,
    /// Nullable reference to something of the embedder's.
    ExternRef,
    /// Nullable reference to an exception.
    ExnRef,
}

impl ValType {
    /// Converts the decoder's type. `None` for types that this engine lacks. The validator refuses most of them, but not all:
    /// with exceptions it takes references that are never null, or always, which whoever asks has to refuse.
    pub(crate) fn from_wasm(ty: wasmparser::ValType) -> Option<Self> {
        Some(match ty {
            wasmparser::ValType::I32 => Self::I32,
            wasmparser::ValType::I64 => Self::I64,
            wasmparser::ValType::F32 => Self::F32,
            wasmparser::ValType::F64 => Self::F64,
            wasmparser::ValType::V128 => Self::V128,
            wasmparser::ValType::Ref(r) if r == wasmparser::RefType::FUNCREF => Self::FuncRef,
            wasmparser::ValType::Ref(r) if r == wasmparser::RefType::EXTERNREF => Self::ExternRef,
            wasmparser::ValType::Ref(r) if r == wasmparser::RefType::EXNREF => Self::ExnRef,
            wasmparser::ValType::Ref(_) => return None,
        })
    }
}

impl ValType {
    /// Whether values of the type lie in vector registers: floats and vectors.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::V128)
    }

    /// How many 64-bit slots a value of the type takes: a vector two, its low half first, everything else one.
    pub fn slots(self) -> usize {
        if self == Self::V128 { 2 } else { 1 }
    }

    /// The one type, as the results of a construct that has one.
    pub(crate) fn as_slice(self) -> &'static [Self] {
        match self {
            Self::I32 => &[Self::I32],
            Self::I64 => &[Self::I64],
            Self::F32 => &[Self::F32],
            Self::F64 => &[Self::F64],
            Self::V128 => &[Self::V128],
            Self::FuncRef => &[Self::FuncRef],
            Self::ExternRef => &[Self::ExternRef],
            Self::ExnRef => &[Self::ExnRef],
        }
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::V128 => "v128",
            Self::FuncRef => "funcref",
            Self::ExternRef => "externref",
            Self::ExnRef => "exnref",
        })
    }
}

/// The type of a function: what it takes and what it gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FuncType {
    all: Box<[ValType]>,
    param_count: usize,
}

impl FuncType {
    /// A function type with these parameters and results.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        let mut all: Vec<ValType> = params.into_iter().collect();
        let param_count = all.len();
        all.extend(results);
        Self {
            all: all.into(),
            param_count,
        }
    }

    /// Types of the parameters.
    pub fn params(&self) -> &[ValType] {
        &self.all[..self.param_count]
    }

    /// Types of the results.
    pub fn results(&self) -> &[ValType] {
        &self.all[self.param_count..]
    }

    /// Slots that the arguments take together (see [`ValType::slots`]).
    pub fn param_slots(&self) -> usize {
        self.params().iter().map(|ty| ty.slots()).sum()
    }

    /// Slots that the results take together.
    pub fn result_slots(&self) -> usize {
        self.results().iter().map(|ty| ty.slots()).sum()
    }

    pub(crate) fn from_wasm(ty: &wasmparser::FuncType) -> Option<Self> {
        let params: Option<Vec<_>> = ty.params().iter().map(|&t| ValType::from_wasm(t)).collect();
        let results: Option<Vec<_>> = ty.results().iter().map(|&t| ValType::from_wasm(t)).collect();
        Some(Self::new(params?, results?))
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &[ValType]| {
            f.write_str("(")?;
            for (i, ty) in types.iter().enumerate() {
                if i > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{ty}")?;
            }
            f.write_str(")")
        };
        list(f, self.params())?;
        f.write_str(" -> ")?;
        list(f, self.results())
    }
}

/// The type of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableType {
    /// [`ValType::FuncRef`], [`ValType::ExternRef`] or [`ValType::ExnRef`].
    pub element: ValType,
    /// Elements at the start.
    pub minimum: u32,
    /// Elements that the table may grow to; `None` leaves it to the engine's limit. What does not fit 32 bits is given as
    /// their greatest number.
    pub maximum: Option<u32>,
    /// Whether elements are numbered by `i64`. There are not more of them for that.
    pub table64: bool,
}

/// The type of a linear memory, in pages of 64 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryType {
    /// Pages at the start.
    pub minimum: u32,
    /// Pages that the memory may grow to; `None` leaves it to the engine's limit. What does not fit 32 bits is given as
    /// their greatest number.
    pub maximum: Option<u32>,
    /// Whether addresses are `i64`. The memory is not larger for that: 4 GiB at most.
    pub memory64: bool,
}

/// The type of a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalType {
    /// Type of the value.
    pub content: ValType,
    /// Whether `global.set` may change it.
    pub mutable: bool,
}

/// The type of something that a module imports or exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A table.
    Table(TableType),
    /// A linear memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
    /// A tag of exceptions: the parameters are its payload, and there are no results.
    Tag(FuncType),
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = |f: &mut fmt::Formatter<'_>, min: u32, max: Option<u32>| match max {
            Some(max) => write!(f, "{min}..{max}"),
            None => write!(f, "{min}.."),
        };
        match self {
            Self::Func(ty) => write!(f, "func {ty}"),
            Self::Table(ty) => {
                write!(
                    f,
                    "{}table of {} ",
                    if ty.table64 { "64-bit " } else { "" },
                    ty.element
                )?;
                limits(f, ty.minimum, ty.maximum)
            }
            Self::Memory(ty) => {
                f.write_str(if ty.memory64 {
                    "64-bit memory of pages "
                } else {
                    "memory of pages "
                })?;
                limits(f, ty.minimum, ty.maximum)
            }
            Self::Tag(ty) => write!(f, "tag {ty}"),
            Self::Global(ty) => write!(f, "global {}{}", if ty.mutable { "mut " } else { "" }, ty.content),
        }
    }
}
