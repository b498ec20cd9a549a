//! The one door of `unsafe` in this crate: what touches the machine itself.
//!
//! Today that is reserving and committing address space ([`linear`]) and the layout that machine code shares with
//! the runtime ([`vmctx`]). Everything outside of this module is `deny(unsafe_code)`.

pub mod layout;
pub(crate) mod linear;
mod mmap;
pub mod vmctx;
