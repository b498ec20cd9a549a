//! The interpreter: the reference for every other tier, their fallback, and the engine where there is no code generator.
//!
//! [`translate`] turns a body into register bytecode ([`inst`]) in the front end's one pass; [`dispatch`] runs it. All of
//! it is safe Rust. A run can be left at any back edge or call and be taken up again later, because all of its state lies
//! in a [`Machine`](machine::Machine) on the heap and none on the host's stack.

mod access;
mod calls;
pub(crate) mod code;
mod dispatch;
mod fusion;
mod inst;
mod libcall;
pub(crate) mod machine;
mod routines;
pub(crate) mod stack;
mod translate;
mod unwind;
mod vectors;
mod wide;
mod word;

pub(crate) use code::ModuleCode;
pub(crate) use libcall::{Progress, perform_libcall};
pub(crate) use machine::{Exit, Machine};
pub(crate) use translate::Translator;
