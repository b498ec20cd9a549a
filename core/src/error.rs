//! What can go wrong before a guest runs, by who is to blame.
//!
//! [`ModuleError`] is the module author's: the bytes are malformed, invalid, or beyond what the engine takes.
//! [`LinkError`] is between the module and the embedder. [`InstantiateError`] adds what happens while memories and
//! tables are filled. A guest that fails while it runs is not an error but a [`crate::Trap`].

use crate::trap::TrapReport;
use crate::types::ExternType;

/// A module that cannot be taken.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The bytes are not a valid module of the level that the engine implements.
    #[error("not a valid WebAssembly module: {message} (at byte {offset:#x})")]
    Invalid {
        /// What the decoder or validator found.
        message: String,
        /// Where, counted in bytes from the start of the module.
        offset: u64,
    },
    /// The module is valid WebAssembly, but uses features that the engine does not implement.
    #[error("the module uses features that are not implemented: {features}; build it without them")]
    MissingFeatures {
        /// Their names, separated by commas.
        features: String,
    },
    /// The module is valid, but a tier cannot make code for it.
    #[error("the {tier} tier cannot compile the module: {what}; the interpreter can run it")]
    Unsupported {
        /// The tier.
        tier: &'static str,
        /// What it does not do.
        what: String,
    },
    /// The host could not give the module's machine code a place to run.
    #[error(
        "the host could not provide executable memory: {0}; check the limits on address space and what may be mapped executable"
    )]
    CodeMemory(std::sync::Arc<std::io::Error>),
    /// The module is valid but larger than the engine takes.
    #[error("{what} come to {have}, and at most {limit} are taken: split the function or module")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        have: u64,
        /// How large it may be.
        limit: u64,
    },
}

impl ModuleError {
    #[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
    pub(crate) fn invalid(error: wasmparser::Error) -> Self {
        Self::Invalid {
            message: error.message().to_owned(),
            offset: error.offset(),
        }
    }

    pub(crate) fn unsupported_type(ty: &dyn std::fmt::Display) -> Self {
        Self::Invalid {
            message: format!("type {ty} is of a proposal that this engine does not implement"),
            offset: 0,
        }
    }
}

/// A module's imports and what was offered for them do not fit.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nothing of that name is provided.
    #[error("unknown import `{module}` `{name}` ({ty}): nothing of that name is provided")]
    UnknownImport {
        /// Module name of the import.
        module: String,
        /// Its own name.
        name: String,
        /// The type that the module asks for.
        ty: ExternType,
    },
    /// Something of that name is provided, but of another type.
    #[error("incompatible import type: `{module}` `{name}` is wanted as {wanted} and provided as {provided}")]
    IncompatibleImport {
        /// Module name of the import.
        module: String,
        /// Its own name.
        name: String,
        /// The type that the module asks for.
        wanted: ExternType,
        /// The type of what is there.
        provided: ExternType,
    },
}

/// An instance could not be made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum InstantiateError {
    /// Imports do not fit.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A data or element segment does not fit its memory or table, or the start function trapped.
    #[error("instantiation trapped: {0}")]
    Trap(TrapReport),
    /// The start function called `proc_exit`.
    #[error("the start function exited with code {0}")]
    Exit(u32),
    /// The module asks for more at its start than its limits allow.
    #[error(
        "the module starts with {have} {what}, and its limit is {limit}: raise the limit or shrink the module"
    )]
    Limit {
        /// The unit: pages of memory or elements of a table.
        what: &'static str,
        /// How many it asks for.
        have: u64,
        /// How many it may have.
        limit: u64,
    },
    /// The host could not reserve the address space or memory.
    #[error(
        "the host could not provide a linear memory: {0}; check the limits on address space and vm.max_map_count"
    )]
    Host(std::sync::Arc<std::io::Error>),
}

/// A call that could not begin.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The arguments are not what the function takes.
    #[error("the function takes {wanted}, and was given other arguments")]
    Arguments {
        /// Its type.
        wanted: crate::types::FuncType,
    },
    /// The host could not provide a stack to run on.
    #[error(
        "the host could not provide a stack: {0}; check the limits on address space and vm.max_map_count"
    )]
    Host(std::sync::Arc<std::io::Error>),
}

/// A call that ended without results.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It could not begin.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It trapped.
    #[error(transparent)]
    Trap(#[from] TrapReport),
    /// It exited through WASI's `proc_exit`.
    #[error("exit with code {0}")]
    Exit(u32),
}
