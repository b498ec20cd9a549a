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
//!         │ run                  │──► what the run counts: its fuel
//!         │ funcs                │──► a FuncRef of each function of the store
//!         │ leave                │──► leaves for the engine and comes back
//!         │ preempt              │──► the same, but no register is lost
//!         │ tail_call            │──► calls another instance in the place of a return
//!         │ instance             │    the instance's number in its store
//!         ├──────────────────────┤
//!         │ what the module has  │    see `layout`
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
            /// What the run counts: its first 8 bytes are the fuel that is left, which code that was asked to counts down
            /// and compares with 0.
            run: *mut i64,
            /// The functions, by the store's numbers.
            funcs: *const FuncRef,
            /// Where code calls to leave for the engine: see [`crate::compiler::abi`].
            leave: usize,
            /// Where code calls when its fuel is below 0. No register and no flag that matters is lost.
            preempt: usize,
            /// Where code jumps, its frame closed, to call another instance's function in the place of a return; the
            /// `FuncRef` is in `r11`, and arguments and results are all in registers.
            tail_call: usize,
            /// The instance's number in its store.
            instance: usize,
        }
    };
}

/// Changes whenever anything that machine code relies on does: the fields here, register use, or how calls are made. It is
/// part of the key under which compiled code is kept.
pub const ABI_VERSION: u32 = 3;

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
    /// Its own number in the store.
    pub number: u32,
    /// Base of its instance's memory 0, for `r14`; null where it has none.
    pub memory_base: *mut u8,
}

/// A memory as machine code sees it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct MemoryRef {
    /// First byte.
    pub base: *mut u8,
    /// Bytes that are accessible.
    pub bytes: usize,
}

/// Offsets within [`FuncRef`], [`MemoryRef`] and [`TableRef`].
pub mod parts {
    /// [`super::FuncRef::code`].
    pub const FUNC_CODE: i32 = 0;
    /// [`super::FuncRef::vmctx`].
    pub const FUNC_VMCTX: i32 = 8;
    /// [`super::FuncRef::signature`].
    pub const FUNC_SIGNATURE: i32 = 16;
    /// [`super::FuncRef::number`].
    pub const FUNC_NUMBER: i32 = 20;
    /// [`super::FuncRef::memory_base`].
    pub const FUNC_MEMORY: i32 = 24;
    /// log2 of a [`super::FuncRef`]'s size.
    pub const FUNC_SHIFT: u8 = 5;
    /// [`super::MemoryRef::base`].
    pub const MEMORY_BASE: i32 = 0;
    /// [`super::MemoryRef::bytes`].
    pub const MEMORY_BYTES: i32 = 8;
    /// [`super::TableRef::elements`].
    pub const TABLE_ELEMENTS: i32 = 0;
    /// [`super::TableRef::len`].
    pub const TABLE_LEN: i32 = 8;
}

const _: () = {
    assert!(std::mem::offset_of!(FuncRef, code) == parts::FUNC_CODE as usize);
    assert!(std::mem::offset_of!(FuncRef, vmctx) == parts::FUNC_VMCTX as usize);
    assert!(std::mem::offset_of!(FuncRef, signature) == parts::FUNC_SIGNATURE as usize);
    assert!(std::mem::offset_of!(FuncRef, number) == parts::FUNC_NUMBER as usize);
    assert!(std::mem::offset_of!(FuncRef, memory_base) == parts::FUNC_MEMORY as usize);
    assert!(size_of::<FuncRef>() == 1 << parts::FUNC_SHIFT);
    assert!(std::mem::offset_of!(MemoryRef, base) == parts::MEMORY_BASE as usize);
    assert!(std::mem::offset_of!(MemoryRef, bytes) == parts::MEMORY_BYTES as usize);
    assert!(std::mem::offset_of!(TableRef, elements) == parts::TABLE_ELEMENTS as usize);
    assert!(std::mem::offset_of!(TableRef, len) == parts::TABLE_LEN as usize);
};

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
