//! Engines behind one face, and what they are compared by.

mod luge;
mod wasmi;

pub use luge::{Luge, Tier};
pub use wasmi::Wasmi;

use std::hash::Hasher;

/// A value as far as engines can agree on it: numbers by their bits, references to functions and exceptions by whether they
/// are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// A 32-bit integer.
    I32(u32),
    /// A 64-bit integer.
    I64(u64),
    /// Bits of a float of 32 bits.
    F32(u32),
    /// Bits of a float of 64 bits.
    F64(u64),
    /// A vector.
    V128(u128),
    /// A reference to a function.
    FuncRef {
        /// Whether it refers to none.
        null: bool,
    },
    /// A number of the embedder's.
    ExternRef(Option<u32>),
    /// A reference to an exception.
    ExnRef {
        /// Whether it refers to none.
        null: bool,
    },
}

impl Observed {
    /// The same with all NaNs made one: the standard leaves their bits open.
    fn with_one_nan(self) -> Self {
        match self {
            Self::F32(bits) if f32::from_bits(bits).is_nan() => Self::F32(f32::NAN.to_bits()),
            Self::F64(bits) if f64::from_bits(bits).is_nan() => Self::F64(f64::NAN.to_bits()),
            other => other,
        }
    }
}

/// How an instantiation or a call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// With these results.
    Returned(Vec<Observed>),
    /// With a trap.
    Trapped(Kind),
    /// The call stack was exhausted, or what is kept of exceptions: not comparable.
    Exhausted,
}

impl Ended {
    /// The same with all NaNs made one.
    pub fn with_one_nan(self) -> Self {
        match self {
            Self::Returned(results) => {
                Self::Returned(results.into_iter().map(Observed::with_one_nan).collect())
            }
            other => other,
        }
    }
}

/// Why it trapped, as finely as all engines tell. Calls through an element outside the table and table accesses outside it
/// are one trap code of wasmi's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Unreachable,
    Memory,
    Table,
    NullElement,
    Signature,
    DivideByZero,
    Overflow,
    Conversion,
    Exception,
    NullException,
}

/// An export's state.
#[derive(Debug, Clone, PartialEq)]
pub enum Snapshot {
    /// A global's value.
    Global(Observed),
    /// A memory: a hash of each 256 bytes.
    Memory(Vec<u64>),
    /// A table's number of elements.
    Table(u64),
}

impl Snapshot {
    /// The same with all NaNs made one.
    pub fn with_one_nan(self) -> Self {
        match self {
            Self::Global(value) => Self::Global(value.with_one_nan()),
            other => other,
        }
    }

    fn memory(bytes: &[u8]) -> Self {
        let hash = |part: &[u8]| {
            let mut hasher = std::hash::DefaultHasher::new();
            if part.iter().any(|&byte| byte != 0) {
                hasher.write(part);
            }
            hasher.finish()
        };
        Self::Memory(bytes.chunks(256).map(hash).collect())
    }
}

/// What a module may use that not every engine has, or gives the same meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// Exceptions.
    pub exceptions: bool,
    /// Relaxed vectors.
    pub relaxed: bool,
}

/// An engine. The errors here and below are failures of the comparison itself.
pub trait Side {
    /// How it is called in reports.
    fn name(&self) -> &'static str;

    /// Whether it has what a module may use.
    fn takes(&self, uses: Uses) -> bool;

    /// Compiles a module.
    ///
    /// # Errors
    /// Why it is refused.
    fn compile(&mut self, wasm: &[u8], seed: u64) -> Result<Box<dyn Compiled>, String>;
}

/// A module of an engine.
pub trait Compiled {
    /// Makes an instance of it.
    ///
    /// # Errors
    /// What nothing can be compared with.
    fn instantiate(&self) -> Result<Result<Box<dyn Live>, Ended>, String>;
}

/// An instance.
pub trait Live {
    /// Calls an exported function.
    ///
    /// # Errors
    /// What nothing can be compared with.
    fn call(&mut self, name: &str, arguments: &[Observed]) -> Result<Ended, String>;

    /// Exported globals, memories and tables, by name.
    fn state(&self) -> Vec<(String, Snapshot)>;
}

fn sorted(mut state: Vec<(String, Snapshot)>) -> Vec<(String, Snapshot)> {
    state.sort_by(|a, b| a.0.cmp(&b.0));
    state
}
