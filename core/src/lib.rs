//! Luge's WebAssembly engine: decode, validate, translate, interpret or run machine code; instances, memory, traps, WASI.
//!
//! ```text
//!   bytes ──► module::decode ──► frontend (one visitor) ──► Sink: a tier ──► code
//!                                     │ operator table                        │
//!                                     ▼                                       ▼
//!   Linker ──► Linked module ──► Store + Instance ──► Execution ──► tier: interp (machine, dispatch)
//!                                     │                              │   or vm::native
//!                                     ▼                              ▼
//!                                vm: reserved address space, machine code, the ways in and out of it
//! ```
//!
//! The engine does no network I/O and starts no threads. A guest can end only its own run: every fault of its is a
//! [`Trap`], a value. All of a run's state lies in its [`Store`] and its [`Execution`], so that a run can be left at any
//! back edge or call, machine code at any instruction ([`preempt`]), and be taken up later.
//!
//! ```
//! use luge_core::{Engine, Limits, Linker, Module, Store, Value};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::default();
//! // (module (func (export "answer") (result i32) (i32.const 42)))
//! let wasm = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x07\x0a\x01\x06answer\0\0\x0a\x06\x01\x04\0\x41\x2a\x0b";
//! let module = Module::new(&engine, wasm)?;
//! let mut store = Store::new(&engine, &Limits::default(), ());
//! let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
//! let answer = instance.func(&store, "answer").ok_or("no such function")?;
//! assert_eq!(answer.call(&mut store, &[])?, [Value::I32(42)]);
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]

pub mod cache;
pub mod compiler;
mod engine;
mod error;
mod exception;
mod execution;
mod frontend;
mod handlers;
mod image;
mod index_spaces;
mod instance;
mod interp;
mod linker;
mod module;
pub mod observer;
pub mod operator;
pub mod pool;
pub mod preempt;
mod store;
mod table;
mod tier;
mod trap;
mod types;
mod value;
#[allow(
    unsafe_code,
    reason = "the one door: address space, machine code and the ways in and out of it"
)]
mod vm;
pub mod wasi;

pub use engine::{Engine, EngineConfig, Limits, WasmLevel};
pub use error::{CallError, InstantiateError, LinkError, ModuleError, RunError};
pub use execution::{Execution, Step};
pub use frontend::{
    BlockSignature, Catch, Control, ControlKind, LocalUse, LoopHints, MemoryAccess, Next, Sink,
};
pub use linker::{Caller, HostError, Linked, Linker};
pub use module::{ExportType, ImportType, Module, features_used};
pub use store::{Exception, Extern, Func, Global, Instance, Memory, Store, Table, Tag};
pub use trap::{BacktraceFrame, Trap, TrapReport};
pub use types::{ExternType, FuncType, GlobalType, MemoryType, TableType, ValType};
pub use value::Value;
pub use vm::{layout, vmctx};
