//! Where the parts of an instance's context lie behind its fixed fields.
//!
//! ```text
//! r15 ──► ┌───────────────────┐ 0
//!         │ VmCtx             │   fixed fields: vmctx::offsets
//!         ├───────────────────┤ layout.imported_func(0)
//!         │ imported funcs    │   a FuncRef each
//!         ├───────────────────┤ layout.memory(0)
//!         │ memories          │   MemoryRef: base, bytes
//!         ├───────────────────┤ layout.table(0)
//!         │ tables            │   TableRef: elements, len
//!         ├───────────────────┤ layout.global(0)
//!         │ globals           │   address of the 16-byte cell of each
//!         ├───────────────────┤ layout.signature(0)
//!         │ signatures        │   the engine's number of each type, 4 bytes
//!         └───────────────────┘ layout.size()
//! ```
//!
//! All of them are copies for machine code's sake. The engine writes them anew whenever what they stand for moves.

use super::vmctx::{FuncRef, MemoryRef, TableRef, VmCtx};
use crate::index_spaces::IndexSpaces;

/// Offsets, in bytes from `r15`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmLayout {
    memories: i32,
    tables: i32,
    globals: i32,
    signatures: i32,
    size: i32,
}

impl VmLayout {
    pub(crate) fn new(types: &IndexSpaces) -> Self {
        // The decoder bounds each of these spaces by a million entries or less, so that all is far below 2^31.
        let after = |start: i32, count: usize, size: usize| start + (count * size) as i32;
        let imported = types.imported_funcs as usize;
        let memories = after(size_of::<VmCtx>() as i32, imported, size_of::<FuncRef>());
        let tables = after(memories, types.memories.len(), size_of::<MemoryRef>());
        let globals = after(tables, types.tables.len(), size_of::<TableRef>());
        let signatures = after(globals, types.globals.len(), 8);
        let size = (after(signatures, types.types.len(), 4) + 15) & !15;
        Self {
            memories,
            tables,
            globals,
            signatures,
            size,
        }
    }

    /// The [`FuncRef`] of an imported function.
    pub fn imported_func(&self, func: u32) -> i32 {
        (size_of::<VmCtx>() + func as usize * size_of::<FuncRef>()) as i32
    }

    /// The [`MemoryRef`] of a memory.
    pub fn memory(&self, memory: u32) -> i32 {
        self.memories + (memory as usize * size_of::<MemoryRef>()) as i32
    }

    /// The [`TableRef`] of a table.
    pub fn table(&self, table: u32) -> i32 {
        self.tables + (table as usize * size_of::<TableRef>()) as i32
    }

    /// The address of a global's cell, 8 bytes.
    pub fn global(&self, global: u32) -> i32 {
        self.globals + (global * 8) as i32
    }

    /// The engine's number of a type, 4 bytes.
    pub fn signature(&self, ty: u32) -> i32 {
        self.signatures + (ty * 4) as i32
    }

    /// Bytes of the whole context.
    pub fn size(&self) -> usize {
        self.size as usize
    }
}
