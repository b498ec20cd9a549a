//! Sandboxes that are ready before they are asked for.
//!
//! ```text
//!   Pool, one for each shard
//!     region    address space for all memories
//!     idle      template A: [slot, slot]      template B: [slot]     each as fresh as the first
//!                   │ acquire ▲ drop: written back
//!                   ▼         │
//!   Sandbox ── slot: store, instance, its owner's data ── execution: its stack, while it lives
//! ```
//!
//! A slot is a store with an instance of one template in it. To acquire a sandbox is to take a slot of its template that
//! is idle, which has been made as new before it was put there: nothing is allocated, mapped or linked, and no page is touched. To
//! drop it, wherever its run stands, is to write back what it could have changed (see [`template`] and
//! `vm::region`). Only when no slot of the template is idle is one made, and when all are made, the one that has been
//! idle for longest, of whatever template, gives its place up. Stacks are kept likewise, as many as can be in use at once.
//!
//! A sandbox is a pointer to its slot, and all that a run needs lies there, so that whoever keeps a sandbox can move it
//! about. The owner's data can stay in the slot too, from one run to the next of the same template: see
//! [`Pool::acquire_with`] and [`Sandbox::retire`].
//!
//! **Isolation** rests on two things. What a guest can change is written back whole: each page that was accessible to it, each
//! table that was written, each global that is mutable, and all the store's counts. And stacks, which are not cleared, cannot be read
//! before they are written (see the crate's `vm::stack` and `interp::stack`).

mod template;

pub use template::{Template, TemplateError};

use crate::error::{CallError, InstantiateError};
use crate::execution::{Execution, Step};
use crate::instance::allocate;
use crate::store::{Func, Instance, MemorySource, Store};
use crate::value::Value;
use crate::vm::linear::LinearMemory;
use crate::vm::region::{Region, STRIDE, SlotMemory};
use crate::{interp, vm};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use template::TemplateInner;

/// Bytes of each memory that a slot keeps at most: to compare them with the image takes some 50 microseconds, during which the thread does
/// nothing else. Who touches more has what exceeds it made accessible anew by each run, and pays for it.
const SLOT_KEPT_MAX: usize = 1 << 20;

/// How large a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// Sandboxes that can live at once.
    pub sandboxes: usize,
    /// Linear memories that they can have together; each reserves 8 GiB of addresses, of which a process has 128 TiB.
    pub memories: usize,
    /// Bytes of memory that slots may keep while they are idle. What exceeds this is given back to the system, of those first that
    /// have been idle for longest.
    pub idle_bytes: usize,
    /// Ranges of accessible pages that memories may have together, beyond one for each. Each takes two of the process's
    /// mappings (`vm.max_map_count`). With fewer, the pages in between are made accessible too, and are then written back
    /// with the others.
    pub further_ranges: usize,
}

impl Default for PoolConfig {
    /// 256 sandboxes with a memory each, 64 MiB kept, 512 ranges.
    fn default() -> Self {
        Self {
            sandboxes: 256,
            memories: 256,
            idle_bytes: 64 << 20,
            further_ranges: 512,
        }
    }
}

impl PoolConfig {
    /// Bytes of addresses that the pool's memories reserve.
    #[must_use]
    pub fn address_bytes(&self) -> u64 {
        (self.memories as u64).saturating_mul(STRIDE as u64)
    }

    /// The process's mappings that the pool takes at most, its sandboxes' stacks included: two for each memory, each further
    /// range of one, and each stack of machine code, and one for each stack of the interpreter. The thread keeps stacks of
    /// either kind where it runs both.
    #[must_use]
    pub fn mappings(&self) -> usize {
        let stacks = self.sandboxes.saturating_add(vm::stack::SPARES);
        let pairs = self.memories.saturating_add(self.further_ranges);
        let pairs = pairs.saturating_add(stacks);
        pairs.saturating_mul(2).saturating_add(stacks)
    }
}

/// Why there is no sandbox.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// As many live as the pool has room for.
    #[error(
        "all {sandboxes} sandboxes of the pool are in use: try again when one has ended, or raise their number"
    )]
    Full {
        /// How many there can be.
        sandboxes: usize,
    },
    /// The instance cannot be made.
    #[error(transparent)]
    Instantiate(#[from] InstantiateError),
    /// The call cannot begin.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// What a pool has done so far, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Sandboxes acquired.
    pub acquired: u64,
    /// Of those, how many found no slot of their template and had one made.
    pub made: u64,
    /// Idle slots that gave their place up to another template.
    pub evicted: u64,
    /// Sandboxes that live.
    pub live: usize,
    /// Slots that are idle.
    pub idle: usize,
    /// Bytes of linear memory that idle slots keep.
    pub idle_bytes: usize,
}

/// Sandboxes of one thread.
pub struct Pool<T> {
    inner: Rc<RefCell<Inner<T>>>,
}

struct Inner<T> {
    config: PoolConfig,
    region: Arc<Region>,
    /// Idle slots by template, those that became idle last at the end.
    idle: HashMap<u64, Vec<Box<Slot<T>>>, BuildHasherDefault<NumberHasher>>,
    /// Counts uses, for the order in which slots became idle.
    clock: u64,
    stats: PoolStats,
    _stacks: KeptStacks,
}

thread_local! {
    /// Sandboxes that the pools of this thread have room for.
    static SANDBOXES: Cell<usize> = const { Cell::new(0) };
}

/// Stacks that the thread keeps for a pool's sandboxes.
#[derive(Debug)]
struct KeptStacks(usize);

impl KeptStacks {
    fn new(sandboxes: usize) -> Self {
        Self::keep(SANDBOXES.get().saturating_add(sandboxes));
        Self(sandboxes)
    }

    fn keep(sandboxes: usize) {
        SANDBOXES.set(sandboxes);
        vm::stack::keep(sandboxes);
        interp::stack::keep(sandboxes);
    }
}

impl Drop for KeptStacks {
    fn drop(&mut self) {
        Self::keep(SANDBOXES.get().saturating_sub(self.0));
    }
}

/// Hashes the numbers of templates, which count up and are nobody's choice: by Fibonacci's multiplier, which spreads them over
/// the high bits and the low ones.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// A store with an instance of a template.
struct Slot<T> {
    /// There while a sandbox has the slot, but not between the start function and the template's. Dropped before the
    /// store that it runs in.
    execution: Option<Execution>,
    /// Of the function that runs behind the start function.
    arguments: Option<Box<[Value]>>,
    store: Store<T>,
    instance: Instance,
    template: Arc<TemplateInner<T>>,
    /// When it became idle.
    idle_since: u64,
    /// Bytes of memory that it keeps.
    kept: usize,
}

impl<T> Pool<T> {
    /// Reserves a pool.
    ///
    /// # Errors
    /// What the system says where it has no room for the addresses, with what to change; `Unsupported` where it could refuse pages at any
    /// time, by a limit on data.
    pub fn new(config: PoolConfig) -> io::Result<Self> {
        if rustix::process::getrlimit(rustix::process::Resource::Data)
            .current
            .is_some()
        {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the process has a limit on its data, and reaching it would end the process instead of a guest: lift it (ulimit -d \
                 unlimited) and bound the memory of functions instead",
            ));
        }
        let region = Region::new(config.memories, config.further_ranges).map_err(|error| {
            let wanted = (config.memories as u64) << 3;
            io::Error::new(
                error.kind(),
                format!(
                    "cannot reserve {wanted} GiB of addresses for {} memories: {error}; ask for fewer sandboxes, or raise the limit \
                     on address space (ulimit -v)",
                    config.memories
                ),
            )
        })?;
        Ok(Self {
            inner: Rc::new(RefCell::new(Inner {
                config,
                region,
                idle: HashMap::default(),
                clock: 0,
                stats: PoolStats::default(),
                _stacks: KeptStacks::new(config.sandboxes),
            })),
        })
    }

    /// A sandbox of `template` with its owner's `data`, about to run the template's function with `arguments`.
    ///
    /// # Errors
    /// [`AcquireError`], as its variants say; `data` is dropped.
    pub fn acquire(
        &self,
        template: &Template<T>,
        data: T,
        arguments: &[Value],
    ) -> Result<Sandbox<T>, AcquireError> {
        self.acquire_with(template, |kept| *kept = Some(data), arguments)
    }

    /// As [`Pool::acquire`], with data that `renew` makes where it is to lie. There it finds what an earlier sandbox of the same
    /// template has left ([`Sandbox::retire`]), or nothing.
    ///
    /// # Errors
    /// [`AcquireError`], as its variants say; when there is no slot, `renew` is not called.
    ///
    /// # Panics
    /// If `renew` leaves nothing there.
    pub fn acquire_with(
        &self,
        template: &Template<T>,
        renew: impl FnOnce(&mut Option<T>),
        arguments: &[Value],
    ) -> Result<Sandbox<T>, AcquireError> {
        let mut slot = self.inner.borrow_mut().take(template.inner())?;
        slot.store.inner.renew_id();
        slot.instance = Instance::new_handle(&slot.store.inner, 0);
        // From here on the sandbox sees to it that the slot comes back.
        let mut sandbox = Sandbox {
            slot: Some(slot),
            pool: self.inner.clone(),
        };
        let data = &mut sandbox.slot_mut().store.data;
        renew(data);
        assert!(data.is_some(), "a sandbox is given data");
        sandbox.begin(arguments)?;
        Ok(sandbox)
    }

    /// What it has done and holds.
    pub fn stats(&self) -> PoolStats {
        self.inner.borrow().stats
    }

    /// Gives the memory of idle slots back to the system until they keep at most `bytes`.
    pub fn trim(&self, bytes: usize) {
        self.inner.borrow_mut().trim(bytes);
    }

    /// Forgets a template: its idle slots are given up.
    pub fn forget(&self, template: &Template<T>) {
        let mut inner = self.inner.borrow_mut();
        let slots = inner.idle.remove(&template.inner().id).unwrap_or_default();
        for slot in slots {
            inner.discard(*slot);
        }
    }
}

impl<T> Inner<T> {
    /// A slot of the template that is as new.
    fn take(&mut self, template: &Arc<TemplateInner<T>>) -> Result<Box<Slot<T>>, AcquireError> {
        if let Some(slot) = self.idle.get_mut(&template.id).and_then(Vec::pop) {
            self.stats.idle -= 1;
            self.stats.idle_bytes -= slot.kept;
            self.note_acquired();
            return Ok(slot);
        }
        if self.stats.live == self.config.sandboxes {
            return Err(AcquireError::Full {
                sandboxes: self.config.sandboxes,
            });
        }
        let memories = template.snapshot.images.len();
        let idle: usize = self.idle.values().flatten().map(|slot| slot.memories()).sum();
        if memories > self.region.available() + idle {
            // To push others out would not help.
            let error = io::Error::new(io::ErrorKind::OutOfMemory, "all memories of the pool are taken");
            return Err(InstantiateError::Host(Arc::new(error)).into());
        }
        while self.stats.live + self.stats.idle >= self.config.sandboxes || self.region.available() < memories
        {
            let Some(oldest) = self.oldest() else { break };
            self.discard(*oldest);
            self.stats.evicted += 1;
        }
        let slot = Slot::new(template, &self.region)?;
        self.stats.made += 1;
        self.note_acquired();
        Ok(Box::new(slot))
    }

    fn note_acquired(&mut self) {
        self.stats.acquired += 1;
        self.stats.live += 1;
    }

    /// Takes a slot back whose run is over.
    fn put(&mut self, mut slot: Box<Slot<T>>) {
        let inner = &mut slot.store.inner;
        slot.template
            .snapshot
            .restore(inner, self.config.idle_bytes.min(SLOT_KEPT_MAX));
        slot.kept = inner
            .memories
            .iter()
            .filter_map(LinearMemory::slot)
            .map(SlotMemory::committed)
            .sum();
        self.clock += 1;
        slot.idle_since = self.clock;
        self.stats.live -= 1;
        self.stats.idle += 1;
        self.stats.idle_bytes += slot.kept;
        match self.idle.get_mut(&slot.template.id) {
            Some(slots) => slots.push(slot),
            None => {
                self.idle.insert(slot.template.id, vec![slot]);
            }
        }
        if self.stats.idle_bytes > self.config.idle_bytes {
            self.trim(self.config.idle_bytes / 4 * 3);
        }
    }

    fn trim(&mut self, bytes: usize) {
        let mut slots: Vec<_> = self
            .idle
            .values_mut()
            .flatten()
            .filter(|slot| slot.kept > 0)
            .collect();
        slots.sort_by_key(|slot| slot.idle_since);
        for slot in slots {
            if self.stats.idle_bytes <= bytes {
                break;
            }
            slot.template.snapshot.restore(&mut slot.store.inner, 0);
            self.stats.idle_bytes -= std::mem::take(&mut slot.kept);
        }
    }

    /// Takes out the slot that has been idle for longest.
    fn oldest(&mut self) -> Option<Box<Slot<T>>> {
        let of_each = self
            .idle
            .iter()
            .filter_map(|(&id, slots)| Some((slots.first()?.idle_since, id)));
        let (_, id) = of_each.min()?;
        let slots = self.idle.get_mut(&id)?;
        let slot = slots.remove(0);
        if slots.is_empty() {
            self.idle.remove(&id);
        }
        Some(slot)
    }

    /// Frees an idle slot that is in no list any more.
    fn discard(&mut self, slot: Slot<T>) {
        self.stats.idle -= 1;
        self.stats.idle_bytes -= slot.kept;
    }
}

impl<T> Slot<T> {
    fn new(template: &Arc<TemplateInner<T>>, region: &Arc<Region>) -> Result<Self, InstantiateError> {
        let module = template.linked.module();
        let mut store = Store::without_data(module.engine(), &template.limits);
        let imports = template.linked.imports(&mut store);
        let images = &template.snapshot.images;
        let instance = allocate(
            &mut store,
            module,
            &imports,
            MemorySource::Pool { region, images },
        )?;
        template.snapshot.apply(&mut store.inner);
        Ok(Self {
            execution: None,
            arguments: None,
            store,
            instance,
            template: template.clone(),
            idle_since: 0,
            kept: 0,
        })
    }
}

/// One run in a slot of a pool. Dropped, it ends at once, wherever it stands, and its slot is as good as new.
pub struct Sandbox<T> {
    /// Always there until the sandbox is dropped.
    slot: Option<Box<Slot<T>>>,
    pool: Rc<RefCell<Inner<T>>>,
}

/// Why a slot is there.
const HAS_SLOT: &str = "a sandbox has its slot until it is dropped";

impl<T> Sandbox<T> {
    fn begin(&mut self, arguments: &[Value]) -> Result<(), CallError> {
        let slot = self.slot_mut();
        let start = match slot.template.snapshot.started {
            true => None,
            false => slot.instance.start(&slot.store),
        };
        let Some(start) = start else {
            return slot.enter(arguments);
        };
        slot.execution = Some(Execution::new(&mut slot.store, start, &[])?);
        slot.arguments = Some(arguments.into());
        Ok(())
    }

    /// Goes on as [`Execution::resume`] does, through the start function, if it is yet to be run, and the template's function.
    ///
    /// # Errors
    /// [`CallError`] where the host has no room for a stack, or the arguments are not what the function takes.
    pub fn resume(&mut self, fuel: u64) -> Result<Step, CallError> {
        let slot = self.slot_mut();
        loop {
            if slot.execution.is_none()
                && let Some(arguments) = slot.arguments.take()
                && let Err(error) = slot.enter(&arguments)
            {
                // It can be tried again.
                slot.arguments = Some(arguments);
                return Err(error);
            }
            let execution = slot
                .execution
                .as_mut()
                .expect("a sandbox that is handed out has a run");
            let step = execution.resume(&mut slot.store, fuel);
            if slot.arguments.is_none() || step != Step::Finished {
                return Ok(step);
            }
            // The stack of the start function is the next one's.
            slot.execution = None;
        }
    }

    /// What the function returned; empty until [`Step::Finished`].
    pub fn results(&self) -> &[Value] {
        let execution = &self.slot.as_ref().expect(HAS_SLOT).execution;
        execution.as_ref().map_or(&[], Execution::results)
    }

    /// Its owner's data.
    pub fn data(&self) -> &T {
        self.slot.as_ref().expect(HAS_SLOT).store.data()
    }

    /// Its owner's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        self.slot_mut().store.data_mut()
    }

    fn slot_mut(&mut self) -> &mut Slot<T> {
        self.slot.as_mut().expect(HAS_SLOT)
    }

    /// Ends the sandbox and gives its owner's data back.
    pub fn finish(mut self) -> T {
        let store = &mut self.slot_mut().store;
        store.data.take().expect("a live sandbox has data")
    }

    /// Ends the sandbox and leaves its owner's data in the slot, as `clear` makes it, for [`Pool::acquire_with`]. It stays there
    /// until it is used again, or until the slot is given up: then it is dropped, and must not ask anything of the pool.
    pub fn retire(mut self, clear: impl FnOnce(&mut T)) {
        let slot = self.slot_mut();
        slot.stop();
        clear(slot.store.data_mut());
        if let Some(slot) = self.slot.take() {
            self.pool.borrow_mut().put(slot);
        }
    }

    /// Bytes of linear memory that are accessible to it now, in pages of 4 KiB, and so may take memory.
    pub fn committed_bytes(&self) -> usize {
        self.slots().map(SlotMemory::committed).sum()
    }

    /// Page faults of its memories that made pages accessible, since its slot was made.
    pub fn faults(&self) -> u64 {
        self.slots().map(|slot| u64::from(slot.faults())).sum()
    }

    fn slots(&self) -> impl Iterator<Item = &SlotMemory> {
        let store = &self.slot.as_ref().expect(HAS_SLOT).store;
        store.inner.memories.iter().filter_map(LinearMemory::slot)
    }
}

impl<T> Slot<T> {
    /// How many memories it has.
    fn memories(&self) -> usize {
        self.template.snapshot.images.len()
    }

    /// Begins the template's function.
    fn enter(&mut self, arguments: &[Value]) -> Result<(), CallError> {
        let inner = &self.store.inner;
        let entry = Func::new_handle(inner, inner.instances[0].funcs[self.template.entry as usize]);
        self.execution = Some(Execution::new(&mut self.store, entry, arguments)?);
        Ok(())
    }

    /// Ends what runs, wherever it stands.
    fn stop(&mut self) {
        self.execution = None;
        self.arguments = None;
    }
}

impl<T> Drop for Sandbox<T> {
    fn drop(&mut self) {
        let Some(mut slot) = self.slot.take() else { return };
        // First what runs, then what it runs in.
        slot.stop();
        // Dropped last, when the pool is not borrowed any more: to drop it may be anything, and may panic.
        let _data = slot.store.data.take();
        if std::thread::panicking() {
            // Nobody knows what the engine has left half-done: this slot is not given to anybody again.
            self.pool.borrow_mut().stats.live -= 1;
            return;
        }
        self.pool.borrow_mut().put(slot);
    }
}

impl<T> fmt::Debug for Sandbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let execution = self.slot.as_ref().map(|slot| &slot.execution);
        f.debug_struct("Sandbox")
            .field("execution", &execution)
            .finish_non_exhaustive()
    }
}

impl<T> Clone for Pool<T> {
    /// The same pool.
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.borrow();
        f.debug_struct("Pool")
            .field("config", &inner.config)
            .field("stats", &inner.stats)
            .finish_non_exhaustive()
    }
}
