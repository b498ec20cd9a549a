//! The seam between the engine and its code generators.
//!
//! A [`Compiler`] turns a validated function into machine code that is inert: bytes and tables, which the engine
//! publishes, maps and enters. Code generators therefore need no `unsafe`, and the engine does not know them. What
//! generated code may rely on at run time is in [`crate::vmctx`].
//!
//! The engine drives the front end: the compiler gives a [`Sink`] for each function and takes its code from it.

use crate::frontend::Sink;
use crate::trap::Trap;
use crate::types::{FuncType, ValType};
use std::fmt::Debug;

/// A code generator.
pub trait Compiler: Debug + Send + Sync {
    /// What translates one function.
    type Function: Sink;

    /// The tier's name, as it appears in metrics and in the key of cached code.
    fn name(&self) -> &'static str;

    /// Begins a function of this type, whose locals (parameters included) have these types.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] where it cannot take the function; the engine then interprets it, says so in the
    /// log and counts it.
    fn begin(&self, ty: &FuncType, locals: &[ValType]) -> Result<Self::Function, CompileError>;

    /// Takes the code of a function whose body has been read to its end.
    ///
    /// # Errors
    /// As [`Compiler::begin`], and [`CompileError::Internal`] for a mistake of the compiler's own.
    fn finish(&self, function: Self::Function) -> Result<FunctionArtifact, CompileError>;
}

/// The machine code of one function: position-independent, without relocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FunctionArtifact {
    /// The code.
    pub text: Vec<u8>,
    /// The instructions that can trap, in ascending order of their offsets.
    pub traps: Vec<TrapSite>,
    /// Direct calls to functions of the same module, which are resolved when the module's code is laid out.
    pub calls: Vec<CallSite>,
    /// Where operators of the body begin in the code, in ascending order, for profilers and backtraces.
    pub positions: Vec<SourcePosition>,
}

/// An instruction that can trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrapSite {
    /// Offset of the instruction in the function's code.
    pub offset: u32,
    /// What a fault there means.
    pub trap: Trap,
}

/// A direct call: a 32-bit relative displacement to be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSite {
    /// Offset of the displacement in the function's code.
    pub offset: u32,
    /// The callee, among the module's defined functions.
    pub func: u32,
}

/// Where an operator begins in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePosition {
    /// Offset in the function's code.
    pub offset: u32,
    /// Offset of the operator in the module's bytes.
    pub wasm: u32,
}

/// Why a function was not compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The tier does not do this; the interpreter does.
    #[error("the {tier} tier does not take this function: {what}")]
    Unsupported {
        /// The tier.
        tier: &'static str,
        /// What it lacks.
        what: &'static str,
    },
    /// The tier is wrong; nothing that a module does may lead here.
    #[error("the {tier} tier failed, which is a mistake of its own, please report it: {what}")]
    Internal {
        /// The tier.
        tier: &'static str,
        /// What went wrong.
        what: String,
    },
}
