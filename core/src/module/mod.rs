//! Modules: what decoding, validation and translation leave of the bytes.
//!
//! A [`Module`] is immutable and shared: every shard instantiates from the same one. Everything is translated when it
//! is made, so that the first request finds its code ready.

mod const_expr;
mod decode;
mod features;
mod machine;

pub(crate) use const_expr::ConstExpr;
pub use features::features_used;
pub(crate) use machine::MachineCode;

use crate::cache::CacheOutcome;
use crate::compiler::{CodeArtifact, CodeGenerator};
use crate::engine::{Engine, Signature, WasmLevel};
use crate::error::ModuleError;
use crate::index_spaces::IndexSpaces;
use crate::interp::ModuleCode;
use crate::types::{ExternType, MemoryType, TableType};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A compiled module. Cheap to clone; clones are the same module.
#[derive(Clone)]
pub struct Module(Arc<ModuleInner>);

pub(crate) struct ModuleInner {
    engine: Engine,
    types: IndexSpaces,
    /// For each type its number in the engine.
    signatures: Vec<Signature>,
    imports: Vec<Import>,
    exports: Vec<Export>,
    export_index: HashMap<Box<str>, u32>,
    /// How the defined globals start.
    globals: Vec<ConstExpr>,
    start: Option<u32>,
    elements: Vec<ElementSegment>,
    data: Vec<DataSegment>,
    names: Names,
    /// For the interpreter; empty where there is machine code.
    code: ModuleCode,
    /// Where the engine has a code generator.
    machine_code: Option<MachineCode>,
    /// Where the machine code came from, if the engine has a cache.
    cache: Option<CacheOutcome>,
}

/// An import.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) module: Box<str>,
    pub(crate) name: Box<str>,
    /// What it is, by its number in its index space.
    pub(crate) item: Item,
}

/// An export.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) name: Box<str>,
    pub(crate) item: Item,
}

/// An entry of an index space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    Func(u32),
    Table(u32),
    Memory(u32),
    Global(u32),
    Tag(u32),
}

/// An element segment.
#[derive(Debug)]
pub(crate) struct ElementSegment {
    pub(crate) items: Vec<ConstExpr>,
    pub(crate) mode: SegmentMode,
}

/// A data segment; its bytes are the module's own copy.
#[derive(Debug)]
pub(crate) struct DataSegment {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) mode: SegmentMode,
}

/// When a segment is used.
#[derive(Debug, Clone)]
pub(crate) enum SegmentMode {
    /// By `table.init` or `memory.init`.
    Passive,
    /// At instantiation, into this table or memory at this offset.
    Active { target: u32, offset: ConstExpr },
    /// Never: it only declares which functions may be referred to.
    Declared,
}

/// Names from the custom section "name", for people.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) module: Option<Box<str>>,
    pub(crate) funcs: HashMap<u32, Box<str>>,
}

/// An import as the embedder sees it.
#[derive(Debug, Clone)]
pub struct ImportType<'m> {
    /// Module name.
    pub module: &'m str,
    /// Its own name.
    pub name: &'m str,
    /// What is wanted.
    pub ty: ExternType,
}

/// An export as the embedder sees it.
#[derive(Debug, Clone)]
pub struct ExportType<'m> {
    /// Its name.
    pub name: &'m str,
    /// What it is.
    pub ty: ExternType,
}

impl Module {
    /// Decodes, validates and translates a module.
    ///
    /// # Errors
    /// [`ModuleError`] where the bytes are not a valid module of the engine's level, exceed what it takes, or where the
    /// engine's code generator declines them.
    pub fn new(engine: &Engine, wasm: &[u8]) -> Result<Self, ModuleError> {
        match decode::module(engine, wasm) {
            Ok(inner) => Ok(Self(Arc::new(inner))),
            Err(error) => Err(name_missing_features(engine.config().level, wasm, error)),
        }
    }

    /// Whether its machine code came from the engine's code cache, and if not, why. `None` where the engine has no cache or
    /// no code generator.
    pub fn cache_outcome(&self) -> Option<&CacheOutcome> {
        self.0.cache.as_ref()
    }

    /// Imports, in the module's order.
    pub fn imports(&self) -> impl Iterator<Item = ImportType<'_>> {
        self.0.imports.iter().map(|import| ImportType {
            module: &import.module,
            name: &import.name,
            ty: self.item_type(import.item),
        })
    }

    /// Exports, in the module's order.
    pub fn exports(&self) -> impl Iterator<Item = ExportType<'_>> {
        self.0.exports.iter().map(|export| ExportType {
            name: &export.name,
            ty: self.item_type(export.item),
        })
    }

    /// Its name, from the name section.
    pub fn name(&self) -> Option<&str> {
        self.0.names.module.as_deref()
    }

    /// Its linear memories, imported ones first.
    pub fn memories(&self) -> &[MemoryType] {
        &self.0.types.memories
    }

    /// Its tables, imported ones first.
    pub fn tables(&self) -> &[TableType] {
        &self.0.types.tables
    }

    /// How many functions it defines.
    pub fn defined_funcs(&self) -> usize {
        self.0.types.funcs.len() - self.0.types.imported_funcs as usize
    }

    /// Size of the code for it, the interpreter's or the machine's, in bytes.
    pub fn code_bytes(&self) -> usize {
        let machine = self.0.machine_code.as_ref();
        machine.map_or_else(|| self.0.code.bytes(), MachineCode::bytes)
    }

    /// Bytes in its data segments.
    pub fn data_bytes(&self) -> usize {
        self.0.data.iter().map(|segment| segment.bytes.len()).sum()
    }

    /// Whether it has a start function, which runs at instantiation.
    pub fn has_start(&self) -> bool {
        self.0.start.is_some()
    }

    pub(crate) fn item_type(&self, item: Item) -> ExternType {
        let types = &self.0.types;
        match item {
            Item::Func(index) => ExternType::Func(types.func_type(index).clone()),
            Item::Table(index) => ExternType::Table(types.tables[index as usize]),
            Item::Memory(index) => ExternType::Memory(types.memories[index as usize]),
            Item::Global(index) => ExternType::Global(types.globals[index as usize]),
            Item::Tag(index) => ExternType::Tag(types.tag_type(index).clone()),
        }
    }

    pub(crate) fn inner(&self) -> &ModuleInner {
        &self.0
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn types(&self) -> &IndexSpaces {
        &self.0.types
    }

    pub(crate) fn code(&self) -> &ModuleCode {
        &self.0.code
    }

    pub(crate) fn machine_code(&self) -> Option<&MachineCode> {
        self.0.machine_code.as_ref()
    }

    #[inline(always)]
    pub(crate) fn signature(&self, ty: u32) -> Signature {
        self.0.signatures[ty as usize]
    }

    pub(crate) fn imported_funcs(&self) -> u32 {
        self.0.types.imported_funcs
    }

    pub(crate) fn func_name(&self, func: u32) -> Option<&str> {
        self.0.names.funcs.get(&func).map(|name| &**name)
    }

    pub(crate) fn data_segment(&self, segment: u32) -> &[u8] {
        &self.0.data[segment as usize].bytes
    }
}

/// Makes the machine code of a module without publishing it.
pub(crate) fn artifact(
    level: WasmLevel,
    compiler: &dyn CodeGenerator,
    wasm: &[u8],
) -> Result<CodeArtifact, ModuleError> {
    decode::artifact(level, compiler, wasm).map_err(|error| name_missing_features(level, wasm, error))
}

/// Where a module is invalid only because it uses what the engine does not implement, says what that is.
#[cold]
fn name_missing_features(level: WasmLevel, wasm: &[u8], error: ModuleError) -> ModuleError {
    let ModuleError::Invalid { .. } = error else {
        return error;
    };
    let Ok(used) = features_used(wasm) else {
        return error;
    };
    let missing: Vec<&str> = used.into_iter().filter(|name| !level.implements(name)).collect();
    if missing.is_empty() {
        error
    } else {
        ModuleError::MissingFeatures {
            features: missing.join(", "),
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("name", &self.name())
            .field("functions", &self.0.types.funcs.len())
            .finish_non_exhaustive()
    }
}

impl ModuleInner {
    pub(crate) fn exports(&self) -> &[Export] {
        &self.exports
    }

    pub(crate) fn export(&self, name: &str) -> Option<Item> {
        self.export_index
            .get(name)
            .map(|&index| self.exports[index as usize].item)
    }

    pub(crate) fn globals(&self) -> &[ConstExpr] {
        &self.globals
    }

    pub(crate) fn start(&self) -> Option<u32> {
        self.start
    }

    pub(crate) fn elements(&self) -> &[ElementSegment] {
        &self.elements
    }

    pub(crate) fn data(&self) -> &[DataSegment] {
        &self.data
    }
}
