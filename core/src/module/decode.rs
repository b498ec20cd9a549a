//! From bytes to a [`ModuleInner`]: one pass over the sections, each validated as it is read, then one pass over the
//! function bodies.
//!
//! Nothing here trusts a count from the file: vectors grow with what is really there.

use super::{
    ConstExpr, DataSegment, ElementSegment, Export, Import, Item, MachineCode, ModuleInner, Names,
    SegmentMode,
};
use crate::cache::{CacheMiss, CacheOutcome, Rejection};
use crate::compiler::{CodeArtifact, CodeGenerator, ModuleTranslation};
use crate::engine::{Engine, WasmLevel};
use crate::error::ModuleError;
use crate::frontend;
use crate::index_spaces::IndexSpaces;
use crate::interp::{ModuleCode, Translator};
use crate::types::{FuncType, GlobalType, MemoryType, TableType, ValType};
use crate::vm;
use std::collections::HashMap;
use wasmparser::{
    DataKind, ElementItems, ElementKind, ExternalKind, FuncToValidate, FuncValidatorAllocations,
    FunctionBody, KnownCustom, Parser, Payload, TypeRef, ValidPayload, Validator, ValidatorResources,
};

type Body<'w> = (FuncToValidate<ValidatorResources>, FunctionBody<'w>);

/// The largest module that is taken. Offsets into it fit 32 bits with room to spare.
const MAX_MODULE_BYTES: usize = 1 << 30;

/// The most memories of a module that are taken: each has 8 GiB of address space reserved, of which a process has 128 TiB.
const MAX_MEMORIES: usize = 16;

/// Reads a whole module.
pub(super) fn module(engine: &Engine, wasm: &[u8]) -> Result<ModuleInner, ModuleError> {
    let (sections, bodies) = sections(engine.config().level, wasm)?;
    let mut cache = None;
    let (code, machine_code) = match &engine.config().compiler {
        Some(compiler) => {
            let (published, outcome) = publish(engine, &**compiler, wasm, &sections, bodies)?;
            cache = outcome;
            (ModuleCode::default(), Some(published))
        }
        None => (translate(&sections.types, bodies)?, None),
    };
    Ok(sections.finish(engine, code, machine_code, cache))
}

/// Has a tier make machine code of a module, and publishes nothing.
pub(super) fn artifact(
    level: WasmLevel,
    compiler: &dyn CodeGenerator,
    wasm: &[u8],
) -> Result<CodeArtifact, ModuleError> {
    let (sections, bodies) = sections(level, wasm)?;
    generate(compiler, &sections.types, bodies)
}

/// Reads all sections, and lists the function bodies, which are yet to be validated.
fn sections(level: WasmLevel, wasm: &[u8]) -> Result<(Sections, Vec<Body<'_>>), ModuleError> {
    if wasm.len() > MAX_MODULE_BYTES {
        return Err(ModuleError::TooLarge {
            what: "the bytes of a module",
            have: wasm.len() as u64,
            limit: MAX_MODULE_BYTES as u64,
        });
    }
    let features = level.features();
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut sections = Sections::default();
    let mut bodies: Vec<Body<'_>> = Vec::new();
    for payload in parser.parse_all(wasm) {
        let payload = payload.map_err(ModuleError::invalid)?;
        match validator.payload(&payload).map_err(ModuleError::invalid)? {
            ValidPayload::Func(func, body) => bodies.push((func, body)),
            ValidPayload::Parser(_) => return Err(component()),
            ValidPayload::Ok | ValidPayload::End(_) => {}
        }
        sections.read(payload)?;
    }
    let memories = sections.types.memories.len();
    if memories > MAX_MEMORIES {
        return Err(ModuleError::TooLarge {
            what: "the memories of a module",
            have: memories as u64,
            limit: MAX_MEMORIES as u64,
        });
    }
    Ok((sections, bodies))
}

fn component() -> ModuleError {
    ModuleError::Invalid {
        message: "this is a component, not a core module".to_owned(),
        offset: 0,
    }
}

/// Publishes the machine code of all function bodies: what the engine's cache has, or else what a tier makes of them now.
///
/// What the cache has was made of the same bytes at the same level, so that the bodies have been validated then.
fn publish(
    engine: &Engine,
    compiler: &dyn CodeGenerator,
    wasm: &[u8],
    sections: &Sections,
    bodies: Vec<Body<'_>>,
) -> Result<(MachineCode, Option<CacheOutcome>), ModuleError> {
    let unsupported = |what: &str| ModuleError::Unsupported {
        tier: compiler.name(),
        what: what.to_owned(),
    };
    if !vm::SUPPORTED {
        return Err(unsupported(
            "machine code cannot be run on this processor or system",
        ));
    }
    let config = engine.config();
    let publish = |artifact| {
        MachineCode::publish(
            compiler.name(),
            &sections.types,
            artifact,
            &sections.names,
            config.observer.as_ref(),
        )
    };
    let Some(cache) = &config.code_cache else {
        return Ok((publish(generate(compiler, &sections.types, bodies)?)?, None));
    };
    let key = cache.key(wasm, config.level, compiler);
    let miss = match cache.load(&key) {
        Ok(artifact) => match publish(artifact) {
            Ok(code) => return Ok((code, Some(CacheOutcome::Hit))),
            Err(ModuleError::Unsupported { .. }) => CacheMiss::Rejected(Rejection::OtherModule),
            Err(error) => return Err(error),
        },
        Err(miss) => miss,
    };
    let artifact = generate(compiler, &sections.types, bodies)?;
    let stored = cache.store(&key, &artifact);
    Ok((publish(artifact)?, Some(CacheOutcome::Compiled { miss, stored })))
}

/// Has a tier make machine code of all function bodies.
fn generate(
    compiler: &dyn CodeGenerator,
    types: &IndexSpaces,
    bodies: Vec<Body<'_>>,
) -> Result<CodeArtifact, ModuleError> {
    let mut translation = ModuleTranslation::new(types, bodies);
    let artifact = compiler.compile(&mut translation)?;
    if translation.remaining() != 0 {
        // What is not read is not validated either.
        return Err(ModuleError::Unsupported {
            tier: compiler.name(),
            what: "it has not read all functions".to_owned(),
        });
    }
    Ok(artifact)
}

/// Translates all function bodies for the interpreter.
fn translate(types: &IndexSpaces, bodies: Vec<Body<'_>>) -> Result<ModuleCode, ModuleError> {
    let mut code = ModuleCode::default();
    let mut allocations = FuncValidatorAllocations::default();
    let mut scan = frontend::Scan::default();
    let mut body_bytes = 0_usize;
    for (func, body) in bodies {
        let index = func.index;
        let mut validator = func.into_validator(allocations);
        let locals = frontend::local_types(types, index, &body)?;
        let length = body.range().end.saturating_sub(body.range().start);
        body_bytes = body_bytes.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        let mut sink = Translator::new(&mut code, types, index, &locals, body_bytes);
        let label = Translator::body_label();
        frontend::translate(types, &mut validator, &body, &mut sink, &locals, &mut scan, label)?;
        let func = sink.finish()?;
        code.push(func);
        allocations = validator.into_allocations();
    }
    code.shrink();
    Ok(code)
}

/// What the sections have given so far.
#[derive(Default)]
struct Sections {
    types: IndexSpaces,
    imports: Vec<Import>,
    exports: Vec<Export>,
    globals: Vec<ConstExpr>,
    start: Option<u32>,
    elements: Vec<ElementSegment>,
    data: Vec<DataSegment>,
    names: Names,
}

impl Sections {
    /// Takes in one section, which the validator has passed.
    fn read(&mut self, payload: Payload<'_>) -> Result<(), ModuleError> {
        let invalid = ModuleError::invalid;
        match payload {
            Payload::TypeSection(types) => {
                for ty in types.into_iter_err_on_gc_types() {
                    let ty = ty.map_err(invalid)?;
                    self.types.types.push(func_type(&ty)?);
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    self.import(&import.map_err(invalid)?)?;
                }
            }
            Payload::FunctionSection(funcs) => {
                for ty in funcs {
                    self.types.funcs.push(ty.map_err(invalid)?);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    self.types.tables.push(table_type(&table.map_err(invalid)?.ty)?);
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    self.types.memories.push(memory_type(&memory.map_err(invalid)?));
                }
            }
            Payload::TagSection(tags) => {
                for tag in tags {
                    self.types.tags.push(tag.map_err(invalid)?.func_type_idx);
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let global = global.map_err(invalid)?;
                    self.types.globals.push(global_type(&global.ty)?);
                    self.globals.push(ConstExpr::read(&global.init_expr)?);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(invalid)?;
                    let item = item(export.kind, export.index)?;
                    self.exports.push(Export {
                        name: export.name.into(),
                        item,
                    });
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(elements) => {
                for element in elements {
                    let segment = element_segment(element.map_err(invalid)?)?;
                    self.elements.push(segment);
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    self.data.push(data_segment(&segment.map_err(invalid)?)?);
                }
            }
            Payload::CustomSection(section) => {
                // Names are for people: a malformed name section is no error, it only names less.
                if let KnownCustom::Name(names) = section.as_known() {
                    self.names.read(names);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: &wasmparser::Import<'_>) -> Result<(), ModuleError> {
        let types = &mut self.types;
        let item = match import.ty {
            TypeRef::Func(ty) => {
                types.funcs.push(ty);
                types.imported_funcs += 1;
                Item::Func(types.imported_funcs - 1)
            }
            TypeRef::Table(ty) => {
                types.tables.push(table_type(&ty)?);
                types.imported_tables += 1;
                Item::Table(types.imported_tables - 1)
            }
            TypeRef::Memory(ty) => {
                types.memories.push(memory_type(&ty));
                types.imported_memories += 1;
                Item::Memory(types.imported_memories - 1)
            }
            TypeRef::Global(ty) => {
                types.globals.push(global_type(&ty)?);
                types.imported_globals += 1;
                Item::Global(types.imported_globals - 1)
            }
            TypeRef::Tag(ty) => {
                types.tags.push(ty.func_type_idx);
                types.imported_tags += 1;
                Item::Tag(types.imported_tags - 1)
            }
            TypeRef::FuncExact(_) => {
                return Err(ModuleError::unsupported_type(&"of an import"));
            }
        };
        self.imports.push(Import {
            module: import.module.into(),
            name: import.name.into(),
            item,
        });
        Ok(())
    }

    fn finish(
        self,
        engine: &Engine,
        code: ModuleCode,
        machine_code: Option<MachineCode>,
        cache: Option<CacheOutcome>,
    ) -> ModuleInner {
        let signatures = self.types.types.iter().map(|ty| engine.signature(ty)).collect();
        let export_index: HashMap<Box<str>, u32> = self
            .exports
            .iter()
            .zip(0..)
            .map(|(export, index)| (export.name.clone(), index))
            .collect();
        ModuleInner {
            engine: engine.clone(),
            types: self.types,
            signatures,
            imports: self.imports,
            exports: self.exports,
            export_index,
            globals: self.globals,
            start: self.start,
            elements: self.elements,
            data: self.data,
            names: self.names,
            code,
            machine_code,
            cache,
        }
    }
}

impl Names {
    /// Takes what can be read of a name section.
    fn read(&mut self, reader: wasmparser::NameSectionReader<'_>) {
        /// Bytes of one name that are kept.
        const MAX_NAME: usize = 256;
        let cut = |name: &str| -> Box<str> {
            let end = (0..=MAX_NAME.min(name.len()))
                .rev()
                .find(|&i| name.is_char_boundary(i));
            name[..end.unwrap_or(0)].into()
        };
        for subsection in reader.into_iter().map_while(Result::ok) {
            match subsection {
                wasmparser::Name::Module { name, .. } => self.module = Some(cut(name)),
                wasmparser::Name::Function(map) => {
                    let named = map.into_iter().map_while(Result::ok);
                    self.funcs
                        .extend(named.map(|naming| (naming.index, cut(naming.name))));
                }
                _ => {}
            }
        }
    }
}

fn func_type(ty: &wasmparser::FuncType) -> Result<FuncType, ModuleError> {
    FuncType::from_wasm(ty).ok_or_else(|| ModuleError::unsupported_type(&"of a function"))
}

fn val_type(ty: wasmparser::ValType) -> Result<ValType, ModuleError> {
    ValType::from_wasm(ty).ok_or_else(|| ModuleError::unsupported_type(&ty))
}

/// A bound as far as 32 bits reach, which is beyond any limit of ours.
fn narrow(bound: u64) -> u32 {
    u32::try_from(bound).unwrap_or(u32::MAX)
}

fn table_type(ty: &wasmparser::TableType) -> Result<TableType, ModuleError> {
    Ok(TableType {
        element: val_type(wasmparser::ValType::Ref(ty.element_type))?,
        minimum: narrow(ty.initial),
        maximum: ty.maximum.map(narrow),
        table64: ty.table64,
    })
}

fn memory_type(ty: &wasmparser::MemoryType) -> MemoryType {
    MemoryType {
        minimum: narrow(ty.initial),
        maximum: ty.maximum.map(narrow),
        memory64: ty.memory64,
    }
}

fn global_type(ty: &wasmparser::GlobalType) -> Result<GlobalType, ModuleError> {
    Ok(GlobalType {
        content: val_type(ty.content_type)?,
        mutable: ty.mutable,
    })
}

fn item(kind: ExternalKind, index: u32) -> Result<Item, ModuleError> {
    Ok(match kind {
        ExternalKind::Func => Item::Func(index),
        ExternalKind::Table => Item::Table(index),
        ExternalKind::Memory => Item::Memory(index),
        ExternalKind::Global => Item::Global(index),
        ExternalKind::Tag => Item::Tag(index),
        ExternalKind::FuncExact => {
            return Err(ModuleError::unsupported_type(&"of an export"));
        }
    })
}

fn element_segment(element: wasmparser::Element<'_>) -> Result<ElementSegment, ModuleError> {
    let mut items = Vec::new();
    match element.items {
        ElementItems::Functions(funcs) => {
            for func in funcs {
                items.push(ConstExpr::RefFunc(func.map_err(ModuleError::invalid)?));
            }
        }
        ElementItems::Expressions(_, exprs) => {
            for expr in exprs {
                items.push(ConstExpr::read(&expr.map_err(ModuleError::invalid)?)?);
            }
        }
    }
    let mode = match element.kind {
        ElementKind::Passive => SegmentMode::Passive,
        ElementKind::Declared => SegmentMode::Declared,
        ElementKind::Active {
            table_index,
            offset_expr,
        } => SegmentMode::Active {
            target: table_index.unwrap_or(0),
            offset: ConstExpr::read(&offset_expr)?,
        },
    };
    Ok(ElementSegment { items, mode })
}

fn data_segment(data: &wasmparser::Data<'_>) -> Result<DataSegment, ModuleError> {
    let mode = match &data.kind {
        DataKind::Passive => SegmentMode::Passive,
        DataKind::Active {
            memory_index,
            offset_expr,
        } => SegmentMode::Active {
            target: *memory_index,
            offset: ConstExpr::read(offset_expr)?,
        },
    };
    Ok(DataSegment {
        bytes: data.data.into(),
        mode,
    })
}
