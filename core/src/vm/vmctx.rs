//! `VmCtx`: what machine code can reach of its instance, and where.
//!
//! Machine code holds the address of its instance's `VmCtx` in `r15` and the base of memory 0 in `r14`. Every run-time
//! reference goes through the former, so that code has no relocations: a compiled artefact is the same bytes in every
//! process and can be mapped as it is.
//!
//! ```text
//! r15 ──► ┌──────────────────────┐
//!         │ memory_base          │──► linear memory 0 (never moves; also in r14)
//!         │ memory_bytes         │    its size now, for the explicit bounds check
//!         │ stack_limit          │    lowest address that a frame may reach; checked in prologues
//!         │ interrupt            │──► word that is not zero when the run shall come back
//!         │ globals              │──► addresses of the globals' slots
//!         │ tables               │──► (elements, length) of each table
//!         │ funcs                │──► (code, vmctx, signature) of each function of the store
//!         │ signatures           │──► engine-wide number of each of the module's types
//!         │ libcalls             │──► entry of each runtime operator
//!         │ trap_offset          │    where the last trap was, written on the way out
//!         └──────────────────────┘
//! ```
//!
//! The layout has one source, [`for_each_vmctx_field`]. It makes the struct, the offsets that code generators use
//! ([`offsets`]), and an assertion for each field that the two agree; no code generator writes a number.
//!
//! A function reference is never one of these addresses: guests hold numbers (see `table`), and `funcs` is
//! indexed after a check.

/// Hands `(name: type, "meaning")` of each field to `$callback!`.
macro_rules! for_each_vmctx_field {
    ($callback:ident) => {
        $callback! {
            /// First byte of linear memory 0.
            memory_base: *mut u8,
            /// Bytes of linear memory 0 that are accessible.
            memory_bytes: usize,
            /// The lowest stack address that a frame of this run may reach.
            stack_limit: usize,
            /// Looked at by code that was asked to poll; not zero when the run shall come back.
            interrupt: *const std::sync::atomic::AtomicU32,
            /// Addresses of the globals' slots, by the module's own numbers.
            globals: *const *mut u64,
            /// The tables, by the module's own numbers.
            tables: *const TableRef,
            /// The functions, by the store's numbers.
            funcs: *const FuncRef,
            /// The engine's number of each of the module's types.
            signatures: *const u32,
            /// Entry points of the runtime's operators, by `Libcall`.
            libcalls: *const usize,
            /// Code offset of the instruction that trapped last.
            trap_offset: usize,
        }
    };
}

/// Changes whenever anything that machine code relies on does: the fields here, register use, or how calls are made. It is
/// part of the key under which compiled code is kept.
pub const ABI_VERSION: u32 = 1;

/// A table as machine code sees it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct TableRef {
    /// First element; each is a reference's slot.
    pub elements: *const u64,
    /// How many there are.
    pub len: usize,
}

/// A function of the store as machine code sees it: what a checked indirect call loads.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct FuncRef {
    /// Its entry.
    pub code: *const u8,
    /// Its instance's context.
    pub vmctx: *mut VmCtx,
    /// The engine's number of its type.
    pub signature: u32,
}

macro_rules! define_vmctx {
    ($($(#[$doc:meta])* $name:ident: $ty:ty,)*) => {
        /// An instance's context; see the module's documentation.
        #[derive(Debug)]
        #[repr(C)]
        pub struct VmCtx {
            $($(#[$doc])* pub $name: $ty,)*
        }

        /// The fields in order, for the offsets.
        #[expect(non_camel_case_types, reason = "the variants are the fields' own names")]
        #[repr(i32)]
        enum Field { $($name),* }

        /// Byte offsets of [`VmCtx`]'s fields, as displacements from `r15`.
        pub mod offsets {
            use super::Field;
            $($(#[$doc])* #[expect(non_upper_case_globals, reason = "the constants are the fields' own names")]
            pub const $name: i32 = Field::$name as i32 * 8;)*
        }

        $(const _: () = assert!(std::mem::offset_of!(VmCtx, $name) == offsets::$name as usize);)*
    };
}
for_each_vmctx_field!(define_vmctx);

// One-byte displacements reach every field, which is what keeps an access to them short.
const _: () = assert!(size_of::<VmCtx>() <= 128);
// Indexing scales by these sizes.
const _: () = assert!(size_of::<TableRef>() == 16 && size_of::<FuncRef>() == 24);
