//! The index spaces of a module: the type of each function, table, memory, global and tag, by number.
//!
//! This is all that translating a function body has to know of its module.

use crate::types::{FuncType, GlobalType, MemoryType, TableType};

/// The index spaces of a module, imports first.
#[derive(Debug, Default)]
pub(crate) struct IndexSpaces {
    pub(crate) types: Vec<FuncType>,
    /// Type of each function.
    pub(crate) funcs: Vec<u32>,
    pub(crate) tables: Vec<TableType>,
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) globals: Vec<GlobalType>,
    /// Type of each tag.
    pub(crate) tags: Vec<u32>,
    /// How many entries of each space are imported.
    pub(crate) imported_funcs: u32,
    pub(crate) imported_tables: u32,
    pub(crate) imported_memories: u32,
    pub(crate) imported_globals: u32,
    pub(crate) imported_tags: u32,
}

impl IndexSpaces {
    /// Type `index` of the type section.
    pub(crate) fn type_at(&self, index: u32) -> &FuncType {
        &self.types[index as usize]
    }

    /// Type of function `func`.
    pub(crate) fn func_type(&self, func: u32) -> &FuncType {
        self.type_at(self.funcs[func as usize])
    }

    /// Type of tag `tag`, whose parameters are the payload.
    pub(crate) fn tag_type(&self, tag: u32) -> &FuncType {
        self.type_at(self.tags[tag as usize])
    }

    /// Type of global `global`.
    pub(crate) fn global_type(&self, global: u32) -> GlobalType {
        self.globals[global as usize]
    }
}
