//! Instances: a module with its own memory, tables and globals.
//!
//! Making one follows the specification (2.0, section 4.5.4): imports are matched, what the module defines is
//! allocated, globals are computed, then active element and data segments are written in their order. A segment that
//! does not fit traps and leaves what came before it in place. The start function is not run here but handed to
//! the embedder, because it can run as long as any other.

use crate::error::{InstantiateError, LinkError};
use crate::module::{ConstExpr, Item, Module, ModuleInner, SegmentMode};
use crate::store::{
    Extern, Func, FuncEntity, Global, Instance, Memory, MemorySource, Store, StoreInner, Table, Tag,
};
use crate::table::bounds;
use crate::trap::{Trap, TrapReport};
use crate::types::ExternType;
use crate::vm::context::{self, Context};
use std::sync::Arc;

/// An instance: the numbers in the store of what its module's index spaces name.
#[derive(Debug)]
pub(crate) struct InstanceEntity {
    pub(crate) module: Module,
    pub(crate) funcs: Box<[u32]>,
    pub(crate) tables: Box<[u32]>,
    pub(crate) memories: Box<[u32]>,
    pub(crate) globals: Box<[u32]>,
    pub(crate) tags: Box<[u32]>,
    /// References of each element segment, dropped or not.
    pub(crate) elements: Arc<[Box<[u64]>]>,
    pub(crate) dropped_elements: Box<[bool]>,
    pub(crate) dropped_data: Box<[bool]>,
    /// Where its module has machine code.
    pub(crate) context: Option<Context>,
}

impl Instance {
    /// The export of this name.
    pub fn export<T>(&self, store: &Store<T>, name: &str) -> Option<Extern> {
        let instance = &store.inner.instances[self.index(&store.inner)];
        let item = instance.module.inner().export(name)?;
        Some(instance.external(&store.inner, item))
    }

    /// The exported function of this name.
    pub fn func<T>(&self, store: &Store<T>, name: &str) -> Option<Func> {
        match self.export(store, name)? {
            Extern::Func(func) => Some(func),
            _ => None,
        }
    }

    /// All exports, in the module's order.
    pub fn exports<'s, T>(
        &self,
        store: &'s Store<T>,
    ) -> impl Iterator<Item = (&'s str, Extern)> + use<'s, T> {
        let instance = &store.inner.instances[self.index(&store.inner)];
        let exports = instance.module.inner().exports().iter();
        exports.map(|export| (&*export.name, instance.external(&store.inner, export.item)))
    }

    /// The start function, which is to run before any other.
    pub fn start<T>(&self, store: &Store<T>) -> Option<Func> {
        let instance = &store.inner.instances[self.index(&store.inner)];
        let start = instance.module.inner().start()?;
        Some(Func::new_handle(&store.inner, instance.funcs[start as usize]))
    }
}

impl InstanceEntity {
    /// The references of an element segment: none once it is dropped.
    pub(crate) fn element_segment(&self, segment: u32) -> &[u64] {
        let segment = segment as usize;
        if self.dropped_elements[segment] {
            &[]
        } else {
            &self.elements[segment]
        }
    }

    fn external(&self, store: &StoreInner, item: Item) -> Extern {
        match item {
            Item::Func(index) => Extern::Func(Func::new_handle(store, self.funcs[index as usize])),
            Item::Table(index) => Extern::Table(Table::new_handle(store, self.tables[index as usize])),
            Item::Memory(index) => Extern::Memory(Memory::new_handle(store, self.memories[index as usize])),
            Item::Global(index) => Extern::Global(Global::new_handle(store, self.globals[index as usize])),
            Item::Tag(index) => Extern::Tag(Tag::new_handle(store, self.tags[index as usize])),
        }
    }
}

/// Makes an instance whose imports are `imports`, in the module's order and of matching types. The start function is not
/// run.
pub(crate) fn instantiate<T>(
    store: &mut Store<T>,
    module: &Module,
    imports: &[Extern],
) -> Result<Instance, InstantiateError> {
    let instance = allocate(store, module, imports, MemorySource::Own)?;
    let number = instance.index(&store.inner) as u32;
    write_segments(&mut store.inner, module.inner(), number).map_err(|trap| {
        InstantiateError::Trap(TrapReport {
            trap,
            backtrace: Vec::new(),
        })
    })?;
    Ok(instance)
}

/// The same without its segments: what they write is yet to be written.
pub(crate) fn allocate<T>(
    store: &mut Store<T>,
    module: &Module,
    imports: &[Extern],
    memories: MemorySource<'_>,
) -> Result<Instance, InstantiateError> {
    assert!(
        store.inner.engine.same(module.engine()),
        "a module is instantiated in a store of its own engine"
    );
    let inner = &mut store.inner;
    let number = inner.instances.len() as u32;
    let mut spaces = Spaces::import(inner, imports);
    spaces.define(inner, module, number, memories)?;
    let segments = module
        .inner()
        .elements()
        .iter()
        .map(|segment| match segment.mode {
            SegmentMode::Declared => Box::default(),
            _ => segment
                .items
                .iter()
                .map(|item| spaces.evaluate(inner, item)[0])
                .collect(),
        });
    let elements = segments.collect();
    inner.instances.push(InstanceEntity {
        module: module.clone(),
        funcs: spaces.funcs.into(),
        tables: spaces.tables.into(),
        memories: spaces.memories.into(),
        globals: spaces.globals.into(),
        tags: spaces.tags.into(),
        elements,
        dropped_elements: vec![false; module.inner().elements().len()].into(),
        dropped_data: vec![false; module.inner().data().len()].into(),
        context: None,
    });
    context::publish_instance(inner, number);
    Ok(Instance::new_handle(inner, number))
}

/// Index spaces under construction.
#[derive(Default)]
struct Spaces {
    funcs: Vec<u32>,
    tables: Vec<u32>,
    memories: Vec<u32>,
    globals: Vec<u32>,
    tags: Vec<u32>,
}

impl Spaces {
    fn import(store: &StoreInner, imports: &[Extern]) -> Self {
        let mut spaces = Self::default();
        for import in imports {
            match *import {
                Extern::Func(func) => spaces.funcs.push(func.index(store) as u32),
                Extern::Table(table) => spaces.tables.push(table.index(store) as u32),
                Extern::Memory(memory) => spaces.memories.push(memory.index(store) as u32),
                Extern::Global(global) => spaces.globals.push(global.index(store) as u32),
                Extern::Tag(tag) => spaces.tags.push(tag.index(store) as u32),
            }
        }
        spaces
    }

    /// Allocates what the module defines.
    fn define(
        &mut self,
        store: &mut StoreInner,
        module: &Module,
        instance: u32,
        memories: MemorySource<'_>,
    ) -> Result<(), InstantiateError> {
        let types = module.types();
        for (&ty, func) in types.funcs[types.imported_funcs as usize..].iter().zip(0..) {
            let signature = module.signature(ty);
            self.funcs.push(store.add_func(FuncEntity::Wasm {
                instance,
                func,
                signature,
            }));
        }
        for &ty in &types.tables[types.imported_tables as usize..] {
            self.tables.push(store.add_table(ty, 0)?);
        }
        for (index, &ty) in types.memories[types.imported_memories as usize..]
            .iter()
            .enumerate()
        {
            self.memories.push(match memories {
                MemorySource::Own => store.add_memory(ty)?,
                MemorySource::Pool { region, images } => {
                    store.add_pooled_memory(ty, region, &images[index])?
                }
            });
        }
        for &ty in &types.tags[types.imported_tags as usize..] {
            self.tags.push(store.add_tag(types.type_at(ty).clone()));
        }
        let defined = &types.globals[types.imported_globals as usize..];
        for (&ty, init) in defined.iter().zip(module.inner().globals()) {
            let slot = self.evaluate(store, init);
            self.globals.push(store.add_global(ty, slot));
        }
        Ok(())
    }

    fn evaluate(&self, store: &StoreInner, expr: &ConstExpr) -> [u64; 2] {
        evaluate(store, &self.funcs, &self.globals, expr)
    }
}

fn evaluate(store: &StoreInner, funcs: &[u32], globals: &[u32], expr: &ConstExpr) -> [u64; 2] {
    expr.evaluate(
        |global| store.globals[globals[global as usize] as usize].slot,
        |func| u64::from(funcs[func as usize]) + 1,
    )
}

/// Writes active segments into tables and memories, and drops them.
fn write_segments(store: &mut StoreInner, module: &ModuleInner, number: u32) -> Result<(), Trap> {
    let index = number as usize;
    for (segment, i) in module.elements().iter().zip(0..) {
        let SegmentMode::Active { target, ref offset } = segment.mode else {
            continue;
        };
        let instance = &store.instances[index];
        let [offset, _] = evaluate(store, &instance.funcs, &instance.globals, offset);
        let len = segment.items.len() as u64;
        store.init_table(index, target, i, [offset, 0, len], len)?;
        store.instances[index].dropped_elements[i as usize] = true;
    }
    for (i, segment) in module.data().iter().enumerate() {
        let SegmentMode::Active { target, ref offset } = segment.mode else {
            continue;
        };
        let instance = &store.instances[index];
        let [offset, _] = evaluate(store, &instance.funcs, &instance.globals, offset);
        let memory = store.memory_of(index, target).bytes_mut();
        let (start, end) =
            bounds(offset, segment.bytes.len() as u64, memory.len()).ok_or(Trap::MemoryOutOfBounds)?;
        memory[start..end].copy_from_slice(&segment.bytes);
        store.instances[index].dropped_data[i] = true;
    }
    Ok(())
}

/// Whether something of type `provided` may stand for an import of type `wanted` (specification 2.0, section 3.4.4).
pub(crate) fn matches(wanted: &ExternType, provided: &ExternType) -> bool {
    let limits = |(wanted_min, wanted_max): (u32, Option<u32>), (min, max): (u32, Option<u32>)| {
        min >= wanted_min && wanted_max.is_none_or(|wanted| max.is_some_and(|max| max <= wanted))
    };
    match (wanted, provided) {
        (ExternType::Func(wanted), ExternType::Func(provided)) => wanted == provided,
        (ExternType::Table(wanted), ExternType::Table(provided)) => {
            wanted.element == provided.element
                && wanted.table64 == provided.table64
                && limits(
                    (wanted.minimum, wanted.maximum),
                    (provided.minimum, provided.maximum),
                )
        }
        (ExternType::Memory(wanted), ExternType::Memory(provided)) => {
            wanted.memory64 == provided.memory64
                && limits(
                    (wanted.minimum, wanted.maximum),
                    (provided.minimum, provided.maximum),
                )
        }
        (ExternType::Global(wanted), ExternType::Global(provided)) => wanted == provided,
        (ExternType::Tag(wanted), ExternType::Tag(provided)) => wanted == provided,
        _ => false,
    }
}

/// The error of an import that does not match.
pub(crate) fn incompatible(module: &str, name: &str, wanted: ExternType, provided: ExternType) -> LinkError {
    LinkError::IncompatibleImport {
        module: module.to_owned(),
        name: name.to_owned(),
        wanted,
        provided,
    }
}
