//! A template: a module that is linked, and what an instance of it is like at its beginning.
//!
//! ```text
//!   Linked ── instantiate once ──► segments written ──► start function run ──► Snapshot
//!                                                        (if it needs no host)    │
//!   Pool ── acquire ──► a slot whose memories, tables and globals are as ◄────────┘
//! ```
//!
//! What instantiation computes is the same each time, but for what a start function asks of the host. So it is done once, when the
//! module is deployed, and kept.

use crate::engine::Limits;
use crate::error::InstantiateError;
use crate::image::Image;
use crate::instance::InstanceEntity;
use crate::interp::Exit;
use crate::linker::Linked;
use crate::module::Item;
use crate::preempt::Preemption;
use crate::store::{FuncEntity, Store, StoreInner};
use crate::tier::Tier;
use crate::types::FuncType;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A module ready to be run in sandboxes of a [`Pool`](super::Pool). Cheap to clone, and shared by all shards.
pub struct Template<T>(Arc<TemplateInner<T>>);

pub(super) struct TemplateInner<T> {
    /// What no other template of the process has.
    pub(super) id: u64,
    pub(super) linked: Linked<T>,
    pub(super) limits: Limits,
    /// The exported function that a sandbox runs, by its number in the module.
    pub(super) entry: u32,
    pub(super) snapshot: Snapshot,
}

/// Why there is no template of a module.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// No instance can be made of it.
    #[error(transparent)]
    Instantiate(#[from] InstantiateError),
    /// Its data lies so scattered that its image would take many times what it holds.
    #[error(
        "the module's data takes {bytes} bytes in pages of 4 KiB, and may take {limit}: let its data segments lie closer together"
    )]
    Image {
        /// What the image would take.
        bytes: usize,
        /// What it may: twice what the segments hold, and 16 MiB.
        limit: usize,
    },
    /// It has no function of that name.
    #[error("the module exports no function `{0}`")]
    NoEntry(String),
}

/// Bytes that an image may take beside twice what the data segments hold.
const IMAGE_SPARE: usize = 16 << 20;

/// What a fresh instance holds.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Of the memories, in the order of the module's own.
    pub(super) images: Box<[Arc<Image>]>,
    /// Elements of the tables.
    tables: Box<[Box<[u64]>]>,
    /// Values of the globals that can change, by the store's numbers.
    globals: Box<[(u32, [u64; 2])]>,
    elements: Arc<[Box<[u64]>]>,
    dropped_elements: Box<[bool]>,
    dropped_data: Box<[bool]>,
    memory_pages: u32,
    table_elements: u32,
    /// Whether the start function has run, or there is none.
    pub(super) started: bool,
}

impl<T> Linked<T> {
    /// Prepares sandboxes that run the exported function `entry` within `limits`. A start function runs here, once, if it ends
    /// within about `start_time` and neither calls the host nor traps; otherwise each sandbox runs it for itself. With
    /// a `start_time` of zero that is always so.
    ///
    /// # Errors
    /// [`TemplateError`] where the module has no such function, exceeds the limits, or where a segment does not fit.
    pub fn template(
        &self,
        limits: &Limits,
        entry: &str,
        start_time: Duration,
    ) -> Result<Template<T>, TemplateError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some(Item::Func(entry)) = self.module().inner().export(entry) else {
            return Err(TemplateError::NoEntry(entry.to_owned()));
        };
        let mut store = Store::without_data(self.module().engine(), limits);
        self.instantiate(&mut store)?;
        let mut snapshot = Snapshot::of(&store.inner, self.module().inner().start().is_none());
        let limit = 2 * self.module().data_bytes() + IMAGE_SPARE;
        let bytes = snapshot.image_bytes();
        if bytes > limit {
            return Err(TemplateError::Image { bytes, limit });
        }
        if !snapshot.started && run_start(&mut store.inner, start_time) {
            let behind_start = Snapshot::of(&store.inner, true);
            if behind_start.image_bytes() <= limit {
                snapshot = behind_start;
            }
        }
        Ok(Template(Arc::new(TemplateInner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            linked: self.clone(),
            limits: limits.clone(),
            entry,
            snapshot,
        })))
    }
}

impl<T> Template<T> {
    /// The module.
    pub fn module(&self) -> &crate::Module {
        self.0.linked.module()
    }

    /// Type of the function that sandboxes run.
    pub fn entry_type(&self) -> FuncType {
        self.module().types().func_type(self.0.entry).clone()
    }

    /// Bytes of memory that an instance begins with and that are not zero, in pages of 4 KiB.
    pub fn image_bytes(&self) -> usize {
        self.0.snapshot.image_bytes()
    }

    /// Whether sandboxes begin behind the start function, or there is none.
    pub fn is_started(&self) -> bool {
        self.0.snapshot.started
    }

    pub(super) fn inner(&self) -> &Arc<TemplateInner<T>> {
        &self.0
    }
}

/// Runs the start function of the store's only instance; tells whether it came to its end, with nothing that a snapshot cannot keep.
fn run_start(store: &mut StoreInner, time: Duration) -> bool {
    let instance = &store.instances[0];
    let Some(start) = instance.module.inner().start() else {
        return true;
    };
    let func = instance.funcs[start as usize];
    let FuncEntity::Wasm { instance, func, .. } = store.funcs[func as usize] else {
        return false;
    };
    // Machine code may count no fuel, and then comes back for a signal only.
    let preemption = Preemption::enable();
    let backstop = preemption
        .as_ref()
        .ok()
        .and_then(|preemption| preemption.backstop(TICK).ok());
    if store.engine.config().compiler.is_some() && backstop.is_none() {
        return false;
    }
    let Ok(mut tier) = Tier::new(store) else {
        return false;
    };
    if tier.enter(store, instance, func).is_err() {
        return false;
    }
    let end = Instant::now() + time;
    while Instant::now() < end {
        match tier.run(store, FUEL) {
            Exit::Preempted => {}
            Exit::Finished => return store.exceptions.is_empty(),
            Exit::Host { .. } | Exit::Trapped(_) => return false,
        }
    }
    false
}

/// How often a start function is looked at.
const TICK: Duration = Duration::from_millis(4);

/// The same for the interpreter: less than a millisecond.
const FUEL: i64 = 100_000;

impl Snapshot {
    /// Of the store's only instance.
    fn of(store: &StoreInner, started: bool) -> Self {
        let instance = &store.instances[0];
        let globals = store
            .globals
            .iter()
            .zip(0..)
            .filter(|(global, _)| global.ty.mutable);
        Self {
            images: store
                .memories
                .iter()
                .map(|memory| Arc::new(Image::of(memory.bytes())))
                .collect(),
            tables: store.tables.iter().map(|table| table.elements().into()).collect(),
            globals: globals.map(|(global, number)| (number, global.slot)).collect(),
            elements: instance.elements.clone(),
            dropped_elements: instance.dropped_elements.clone(),
            dropped_data: instance.dropped_data.clone(),
            memory_pages: store.memory_pages,
            table_elements: store.table_elements,
            started,
        }
    }

    /// Bytes that the images keep.
    fn image_bytes(&self) -> usize {
        self.images.iter().map(|image| image.kept()).sum()
    }

    /// Makes a store of which an instance has just been allocated as the snapshot is.
    pub(super) fn apply(&self, store: &mut StoreInner) {
        for (table, elements) in store.tables.iter_mut().zip(&self.tables) {
            table.replace(elements);
        }
        // Tables may have moved.
        store.native.moved();
        store.instances[0].elements = self.elements.clone();
        self.restore_rest(store);
    }

    /// Makes a store as it was before a run, whatever the run has done and wherever it has ended. Of each memory, `kept` bytes
    /// stay accessible at most.
    ///
    /// Not touched is what a guest cannot change: the module, its functions and imports, types, tags, constants, and the
    /// contents of segments.
    pub(super) fn restore(&self, store: &mut StoreInner, kept: usize) {
        let mut moved = false;
        for memory in &mut store.memories {
            let grown = memory.pages();
            if let Some(slot) = memory.slot_mut() {
                slot.reset(kept);
            }
            moved |= memory.pages() != grown;
        }
        for (table, elements) in store.tables.iter_mut().zip(&self.tables) {
            moved |= table.restore(elements);
        }
        if moved {
            store.native.moved();
        }
        self.restore_rest(store);
    }

    fn restore_rest(&self, store: &mut StoreInner) {
        for &(global, slot) in &self.globals {
            store.globals[global as usize].slot = slot;
        }
        let InstanceEntity {
            dropped_elements,
            dropped_data,
            ..
        } = &mut store.instances[0];
        dropped_elements.copy_from_slice(&self.dropped_elements);
        dropped_data.copy_from_slice(&self.dropped_data);
        // Exceptions go when the next run begins a generation of its own, and all at once.
        store.runs = 0;
        store.memory_pages = self.memory_pages;
        store.table_elements = self.table_elements;
    }
}

impl<T> Clone for Template<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Template<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("module", self.module())
            .field("entry", &self.0.entry)
            .finish_non_exhaustive()
    }
}
