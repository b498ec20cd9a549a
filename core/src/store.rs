//! The store: everything that the instances of one run own, and the handles that name it.
//!
//! Functions, tables, memories, globals and instances lie in arenas and are named by number. A handle ([`Func`],
//! [`Memory`] ...) is a number together with the store's own, so that a handle of another store is found out. Guests
//! see neither: what a guest holds of a function is its number plus one, and every use is checked.
//!
//! One request has one store. Dropping it frees all that the guest had.

use crate::engine::{Engine, Limits, Signature};
use crate::error::InstantiateError;
use crate::exception::Exceptions;
use crate::image::Image;
use crate::instance::InstanceEntity;
use crate::linker::HostFunc;
use crate::table::{Table as TableEntity, bounds};
use crate::trap::Trap;
use crate::types::{FuncType, GlobalType, MemoryType, TableType};
use crate::value::Value;
use crate::vm::context::Published;
use crate::vm::linear::LinearMemory;
use crate::vm::region::Region;
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Everything that the instances of one run own, and the embedder's `data` beside it.
pub struct Store<T> {
    pub(crate) inner: StoreInner,
    pub(crate) hosts: Vec<Arc<HostFunc<T>>>,
    /// There always, but in a store that waits in a pool, or of which a template is made.
    pub(crate) data: Option<T>,
}

/// Nobody outside of the crate gets hold of a store without data.
const NO_DATA: &str = "a store that can be asked has data";

/// The part of a store that does not depend on the embedder's data.
#[derive(Debug)]
pub(crate) struct StoreInner {
    id: u64,
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) instances: Vec<InstanceEntity>,
    pub(crate) funcs: Vec<FuncEntity>,
    pub(crate) tables: Vec<TableEntity>,
    pub(crate) memories: Vec<LinearMemory>,
    pub(crate) globals: Vec<GlobalEntity>,
    /// Type of each tag. A tag is itself by its number: two of one type are two.
    pub(crate) tags: Vec<FuncType>,
    pub(crate) exceptions: Exceptions,
    /// How many runs have begun and not ended; one that is dropped in between counts on.
    pub(crate) runs: u32,
    /// What machine code sees of the above.
    pub(crate) native: Published,
    /// What all tables have together, which the limits bound.
    pub(crate) table_elements: u32,
    /// What all memories have together, likewise.
    pub(crate) memory_pages: u32,
}

/// Where the memories of a new instance come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MemorySource<'a> {
    /// Each is a mapping of its own, of zeros.
    Own,
    /// From a pool, with these contents in the order of the module's own memories.
    Pool {
        region: &'a Arc<Region>,
        images: &'a [Arc<Image>],
    },
}

/// A function of a store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FuncEntity {
    /// Function `func` (among the defined ones) of an instance's module.
    Wasm {
        instance: u32,
        func: u32,
        signature: Signature,
    },
    /// A function of the embedder's.
    Host { host: u32, signature: Signature },
}

impl FuncEntity {
    #[inline(always)]
    pub(crate) fn signature(&self) -> Signature {
        match *self {
            Self::Wasm { signature, .. } | Self::Host { signature, .. } => signature,
        }
    }
}

/// A global of a store.
#[derive(Debug)]
pub(crate) struct GlobalEntity {
    /// The value's slots, of which a scalar uses the first.
    pub(crate) slot: [u64; 2],
    pub(crate) ty: GlobalType,
}

impl GlobalEntity {
    /// Where machine code finds the value.
    pub(crate) fn cell(&mut self) -> &mut [u64; 2] {
        &mut self.slot
    }
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name { store: u64, index: u32 }

        impl $name {
            pub(crate) fn new_handle(store: &StoreInner, index: u32) -> Self {
                Self { store: store.id, index }
            }

            /// Its number in its store.
            ///
            /// # Panics
            /// If the store is another one: a mistake of the embedder's, never of a guest's.
            pub(crate) fn index(self, store: &StoreInner) -> usize {
                assert_eq!(self.store, store.id, "a handle is used with the store that it came from");
                self.index as usize
            }
        }
    )*};
}

handles! {
    /// A function of a store.
    Func;
    /// A table of a store.
    Table;
    /// A linear memory of a store.
    Memory;
    /// A global of a store.
    Global;
    /// A tag of a store, by which exceptions are told apart.
    Tag;
    /// An exception of a store. It stays there for as long as the store.
    Exception;
    /// An instance of a store.
    Instance;
}

/// Something that an instance exports or imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A table.
    Table(Table),
    /// A linear memory.
    Memory(Memory),
    /// A global.
    Global(Global),
    /// A tag of exceptions.
    Tag(Tag),
}

impl<T> Store<T> {
    /// An empty store of `engine`, whose guests are bounded by `limits`.
    pub fn new(engine: &Engine, limits: &Limits, data: T) -> Self {
        let mut store = Self::without_data(engine, limits);
        store.data = Some(data);
        store
    }

    /// A store that is not anybody's yet.
    pub(crate) fn without_data(engine: &Engine, limits: &Limits) -> Self {
        let id = next_id();
        Self {
            inner: StoreInner {
                id,
                engine: engine.clone(),
                limits: limits.clone(),
                instances: Vec::new(),
                funcs: Vec::new(),
                tables: Vec::new(),
                memories: Vec::new(),
                globals: Vec::new(),
                tags: Vec::new(),
                exceptions: Exceptions::new(id as u32),
                runs: 0,
                native: Published::default(),
                table_elements: 0,
                memory_pages: 0,
            },
            hosts: Vec::new(),
            data: None,
        }
    }

    /// The embedder's data.
    pub fn data(&self) -> &T {
        self.data.as_ref().expect(NO_DATA)
    }

    /// The embedder's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        self.data.as_mut().expect(NO_DATA)
    }

    /// Takes the embedder's data out and frees everything else.
    pub fn into_data(self) -> T {
        self.data.expect(NO_DATA)
    }

    /// Adds a host function.
    pub(crate) fn add_host(&mut self, host: Arc<HostFunc<T>>) -> u32 {
        let signature = host.signature;
        let number = self.hosts.len() as u32;
        self.hosts.push(host);
        self.inner.add_func(FuncEntity::Host {
            host: number,
            signature,
        })
    }
}

/// A number that no store of the process has had.
///
/// What keeps a run of machine code from another store than its own, so there are so many that they never run out. Threads take them by
/// the million: a counter that all cores write would be what they share on every request.
fn next_id() -> u64 {
    const BLOCK: u64 = 1 << 20;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static BLOCK_LEFT: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }
    let (mut next, mut end) = BLOCK_LEFT.get();
    if next == end {
        next = NEXT.fetch_add(BLOCK, Ordering::Relaxed);
        end = next + BLOCK;
    }
    BLOCK_LEFT.set((next + 1, end));
    next
}

impl StoreInner {
    /// Lets no handle of before be used any more, nor a reference to an exception.
    pub(crate) fn renew_id(&mut self) {
        self.id = next_id();
        self.exceptions.begin(self.id as u32);
    }

    pub(crate) fn add_func(&mut self, func: FuncEntity) -> u32 {
        self.native.moved();
        self.funcs.push(func);
        self.funcs.len() as u32 - 1
    }

    /// A new table.
    ///
    /// # Errors
    /// [`InstantiateError::Limit`] where the store's tables come to more elements than they may have together.
    pub(crate) fn add_table(&mut self, ty: TableType, init: u64) -> Result<u32, InstantiateError> {
        let limit = self.limits.table_elements;
        let elements = self.table_elements.saturating_add(ty.minimum);
        if elements > limit {
            let (have, limit) = (u64::from(elements), u64::from(limit));
            return Err(InstantiateError::Limit {
                what: "table elements",
                have,
                limit,
            });
        }
        self.table_elements = elements;
        self.native.moved();
        self.tables.push(TableEntity::new(ty, limit, init));
        Ok(self.tables.len() as u32 - 1)
    }

    /// A new linear memory.
    ///
    /// # Errors
    /// [`InstantiateError::Limit`] where the store's memories come to more pages than they may have together,
    /// [`InstantiateError::Host`] where the host has no room.
    pub(crate) fn add_memory(&mut self, ty: MemoryType) -> Result<u32, InstantiateError> {
        self.add_memory_of(ty, LinearMemory::new)
    }

    /// A new linear memory in a slot of a region.
    ///
    /// # Errors
    /// As of [`StoreInner::add_memory`].
    pub(crate) fn add_pooled_memory(
        &mut self,
        ty: MemoryType,
        region: &Arc<Region>,
        image: &Arc<Image>,
    ) -> Result<u32, InstantiateError> {
        self.add_memory_of(ty, |ty, limit| {
            let slot = region.take().ok_or_else(|| {
                io::Error::new(io::ErrorKind::OutOfMemory, "all memories of the pool are taken")
            })?;
            Ok(LinearMemory::pooled(slot, image, ty, limit))
        })
    }

    fn add_memory_of(
        &mut self,
        ty: MemoryType,
        make: impl FnOnce(MemoryType, u32) -> io::Result<LinearMemory>,
    ) -> Result<u32, InstantiateError> {
        let limit = self.limits.memory_pages;
        let pages = self.memory_pages.saturating_add(ty.minimum);
        if pages > limit {
            let (have, limit) = (u64::from(pages), u64::from(limit));
            return Err(InstantiateError::Limit {
                what: "pages of memory",
                have,
                limit,
            });
        }
        let memory = make(ty, limit).map_err(|error| InstantiateError::Host(Arc::new(error)))?;
        self.memory_pages = pages;
        self.native.moved();
        self.memories.push(memory);
        Ok(self.memories.len() as u32 - 1)
    }

    pub(crate) fn add_global(&mut self, ty: GlobalType, slot: [u64; 2]) -> u32 {
        self.native.moved();
        self.globals.push(GlobalEntity { slot, ty });
        self.globals.len() as u32 - 1
    }

    pub(crate) fn add_tag(&mut self, ty: FuncType) -> u32 {
        self.tags.push(ty);
        self.tags.len() as u32 - 1
    }

    /// Memory `memory` of an instance.
    pub(crate) fn memory_of(&mut self, instance: usize, memory: u32) -> &mut LinearMemory {
        let memory = self.instances[instance].memories[memory as usize];
        &mut self.memories[memory as usize]
    }

    /// Table `table` of an instance.
    pub(crate) fn table_of(&mut self, instance: usize, table: u32) -> &mut TableEntity {
        let table = self.instances[instance].tables[table as usize];
        &mut self.tables[table as usize]
    }

    /// `table.grow`: the size before, or `None` where the table may not, or the store's limit leaves no room.
    pub(crate) fn grow_table(&mut self, instance: usize, table: u32, delta: u32, init: u64) -> Option<u32> {
        let elements = self.table_elements.checked_add(delta)?;
        if elements > self.limits.table_elements {
            return None;
        }
        let before = self.table_of(instance, table).grow(delta, init)?;
        self.table_elements = elements;
        self.native.moved();
        Some(before)
    }

    /// `memory.grow`: the size before, or `None` where the memory may not, or the store's limit leaves no room.
    pub(crate) fn grow_memory(&mut self, instance: usize, memory: u32, delta: u32) -> Option<u32> {
        let pages = self.memory_pages.checked_add(delta)?;
        if pages > self.limits.memory_pages {
            return None;
        }
        let before = self.memory_of(instance, memory).grow(delta)?;
        self.memory_pages = pages;
        self.native.resized();
        Some(before)
    }

    /// `table.init` with operands `[dst, src, len]`: checks both ranges and copies the first `piece` references of an
    /// element segment into a table.
    ///
    /// # Errors
    /// [`Trap::TableOutOfBounds`] where either range is too short.
    pub(crate) fn init_table(
        &mut self,
        instance: usize,
        table: u32,
        segment: u32,
        [dst, src, len]: [u64; 3],
        piece: u64,
    ) -> Result<(), Trap> {
        let Self {
            instances, tables, ..
        } = self;
        let instance = &instances[instance];
        let segment = instance.element_segment(segment);
        let (start, _) = bounds(src, len, segment.len()).ok_or(Trap::TableOutOfBounds)?;
        let table = &mut tables[instance.tables[table as usize] as usize];
        let piece = piece as usize;
        table.range_mut(dst, len)?[..piece].copy_from_slice(&segment[start..start + piece]);
        Ok(())
    }

    /// A value as the slots that guests compute with, of which a scalar uses the first.
    pub(crate) fn slot_of(&self, value: Value) -> [u64; 2] {
        let slot = match value {
            Value::I32(value) => u64::from(value.cast_unsigned()),
            Value::I64(value) => value.cast_unsigned(),
            Value::F32(bits) => u64::from(bits),
            Value::F64(bits) => bits,
            Value::V128(bits) => return [bits as u64, (bits >> 64) as u64],
            Value::FuncRef(None) | Value::ExternRef(None) | Value::ExnRef(None) => 0,
            Value::FuncRef(Some(func)) => func.index(self) as u64 + 1,
            Value::ExternRef(Some(number)) => u64::from(number) + 1,
            Value::ExnRef(Some(exception)) => self.exceptions.reference(exception.index(self) as u32),
        };
        [slot, 0]
    }

    /// Slots as the value of its type.
    pub(crate) fn value_of(&self, ty: crate::types::ValType, [slot, high]: [u64; 2]) -> Value {
        use crate::types::ValType;
        match ty {
            ValType::I32 => Value::I32(slot as i32),
            ValType::I64 => Value::I64(slot.cast_signed()),
            ValType::F32 => Value::F32(slot as u32),
            ValType::F64 => Value::F64(slot),
            ValType::V128 => Value::V128(u128::from(slot) | u128::from(high) << 64),
            ValType::FuncRef => Value::FuncRef(
                slot.checked_sub(1)
                    .map(|index| Func::new_handle(self, index as u32)),
            ),
            ValType::ExternRef => Value::ExternRef(slot.checked_sub(1).map(|number| number as u32)),
            ValType::ExnRef => {
                self.exceptions.keep(slot);
                let exception = self.exceptions.number(slot);
                Value::ExnRef(exception.map(|index| Exception::new_handle(self, index)))
            }
        }
    }
}

impl Func {
    /// Its type.
    pub fn ty<T>(&self, store: &Store<T>) -> FuncType {
        match store.inner.funcs[self.index(&store.inner)] {
            FuncEntity::Wasm { instance, func, .. } => {
                let module = &store.inner.instances[instance as usize].module;
                module.types().func_type(module.imported_funcs() + func).clone()
            }
            FuncEntity::Host { host, .. } => store.hosts[host as usize].ty.clone(),
        }
    }
}

impl Global {
    /// A global of the embedder's own.
    ///
    /// # Panics
    /// If `value` is not of the type's content: a mistake of the embedder's.
    pub fn new<T>(store: &mut Store<T>, ty: GlobalType, value: Value) -> Self {
        assert_eq!(ty.content, value.ty(), "a global starts with a value of its type");
        let slot = store.inner.slot_of(value);
        let index = store.inner.add_global(ty, slot);
        Self::new_handle(&store.inner, index)
    }

    /// Its type.
    pub fn ty<T>(&self, store: &Store<T>) -> GlobalType {
        store.inner.globals[self.index(&store.inner)].ty
    }

    /// Its value now.
    pub fn get<T>(&self, store: &Store<T>) -> Value {
        let global = &store.inner.globals[self.index(&store.inner)];
        store.inner.value_of(global.ty.content, global.slot)
    }

    /// Gives it a value.
    ///
    /// # Panics
    /// If the global is not mutable or of another type: a mistake of the embedder's.
    pub fn set<T>(&self, store: &mut Store<T>, value: Value) {
        let slot = store.inner.slot_of(value);
        let index = self.index(&store.inner);
        let global = &mut store.inner.globals[index];
        assert!(
            global.ty.mutable && global.ty.content == value.ty(),
            "a mutable global of the value's type"
        );
        global.slot = slot;
    }
}

impl Tag {
    /// A tag of the embedder's own, whose exceptions carry `ty`'s parameters.
    ///
    /// # Panics
    /// If the type has results: a mistake of the embedder's.
    pub fn new<T>(store: &mut Store<T>, ty: FuncType) -> Self {
        assert!(
            ty.results().is_empty(),
            "an exception has a payload and no results"
        );
        let index = store.inner.add_tag(ty);
        Self::new_handle(&store.inner, index)
    }

    /// Its type.
    pub fn ty<T>(&self, store: &Store<T>) -> FuncType {
        store.inner.tags[self.index(&store.inner)].clone()
    }
}

impl Memory {
    /// A memory of the embedder's own.
    ///
    /// # Errors
    /// Where it exceeds the store's limits or the host's room.
    pub fn new<T>(store: &mut Store<T>, ty: MemoryType) -> Result<Self, InstantiateError> {
        let index = store.inner.add_memory(ty)?;
        Ok(Self::new_handle(&store.inner, index))
    }

    /// Its type; `minimum` is its size now.
    pub fn ty<T>(&self, store: &Store<T>) -> MemoryType {
        store.inner.memories[self.index(&store.inner)].ty()
    }

    /// Its size in pages of 64 KiB.
    pub fn size_pages<T>(&self, store: &Store<T>) -> u32 {
        store.inner.memories[self.index(&store.inner)].pages()
    }

    /// All its bytes.
    pub fn data<'s, T>(&self, store: &'s Store<T>) -> &'s [u8] {
        store.inner.memories[self.index(&store.inner)].bytes()
    }

    /// All its bytes, to be written.
    pub fn data_mut<'s, T>(&self, store: &'s mut Store<T>) -> &'s mut [u8] {
        let index = self.index(&store.inner);
        store.inner.memories[index].bytes_mut()
    }
}

impl Table {
    /// A table of the embedder's own, all elements `init`.
    ///
    /// # Errors
    /// Where it exceeds the store's limits.
    ///
    /// # Panics
    /// If `init` is not of the element type: a mistake of the embedder's.
    pub fn new<T>(store: &mut Store<T>, ty: TableType, init: Value) -> Result<Self, InstantiateError> {
        assert_eq!(
            ty.element,
            init.ty(),
            "a table starts with values of its element type"
        );
        let [init, _] = store.inner.slot_of(init);
        let index = store.inner.add_table(ty, init)?;
        Ok(Self::new_handle(&store.inner, index))
    }

    /// Its type; `minimum` is its size now.
    pub fn ty<T>(&self, store: &Store<T>) -> TableType {
        store.inner.tables[self.index(&store.inner)].ty()
    }

    /// Its number of elements.
    pub fn size<T>(&self, store: &Store<T>) -> u32 {
        store.inner.tables[self.index(&store.inner)].size()
    }
}
