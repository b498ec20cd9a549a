//! The contexts of a store's instances, kept true.
//!
//! ```text
//!   StoreInner ── native: Published ── funcs: a FuncRef of each function
//!      │                                 ▲
//!      ├── instances[i].context ── VmCtx ┘ memories, tables, globals: copies of where they are now
//!      ├── memories, tables, globals ◄─────────┘
//! ```
//!
//! What an instance imports and which functions there are is written once, when it is made ([`publish_instance`]).
//! Where memories, tables and globals lie, and which run is running, is written before code is entered, if it has
//! changed since ([`refresh`]). Whoever moves one of them says so by [`Published::moved`].

use super::layout::VmLayout;
use super::run::RunRecord;
use super::switch;
use super::vmctx::{FuncRef, MemoryRef, TableRef, VmCtx, offsets};
use crate::engine::Signature;
use crate::module::{MachineCode, Module};
use crate::store::{FuncEntity, StoreInner};
use std::ptr::{self, NonNull};

/// The memory of an instance's [`VmCtx`] and what lies behind it.
#[derive(Debug)]
pub(crate) struct Context {
    words: NonNull<[u128]>,
    layout: VmLayout,
}

// SAFETY: the memory is the context's own; the addresses in it are numbers to everybody but machine code, which
// runs only while the store that owns all of this is borrowed mutably.
unsafe impl Send for Context {}
// SAFETY: a shared reference gives nothing but the address.
unsafe impl Sync for Context {}

impl Context {
    /// A context of zeros.
    fn new(layout: VmLayout) -> Self {
        let words = vec![0_u128; layout.size() / size_of::<u128>()].into_boxed_slice();
        Self {
            words: NonNull::from(Box::leak(words)),
            layout,
        }
    }

    /// What `r15` is to hold.
    pub(super) fn vmctx(&self) -> *mut VmCtx {
        self.words.as_ptr().cast()
    }

    /// Writes a part of the context.
    fn set<V: Copy>(&mut self, offset: i32, value: V) {
        let offset = offset as usize;
        let end = offset + size_of::<V>();
        assert!(
            end <= self.layout.size() && offset.is_multiple_of(align_of::<V>()),
            "a part of the context"
        );
        let part = self.vmctx().wrapping_byte_add(offset).cast::<V>();
        // SAFETY: the part lies in our own memory and is aligned, as was just checked; machine code, which alone reads it,
        // does not run now, because it would have the store's mutable borrow.
        unsafe { part.write(value) };
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: `words` is the box that `new` has leaked.
        drop(unsafe { Box::from_raw(self.words.as_ptr()) });
    }
}

/// What a store keeps for machine code beside the contexts.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// By the store's numbers; null where a function has no code.
    funcs: Vec<FuncRef>,
    /// Whether something lies elsewhere than the contexts say.
    stale: bool,
    /// How often tables, globals, functions or instances have been added or moved.
    moves: u64,
    /// The run and the stack limit that the contexts name.
    run: (usize, usize),
}

// SAFETY: the addresses are numbers to everybody but machine code, which runs only while the store is borrowed mutably.
unsafe impl Send for Published {}
// SAFETY: as above.
unsafe impl Sync for Published {}

impl Published {
    /// To be called whenever a memory, table or global of the store has been added, or moved.
    pub(crate) fn moved(&mut self) {
        self.stale = true;
        self.moves += 1;
    }

    /// To be called whenever a memory has been resized, which leaves it where it is.
    pub(crate) fn resized(&mut self) {
        self.stale = true;
    }

    /// How often [`Published::moved`] has been called: while the number stays, every address that code has loaded holds.
    pub(super) fn moves(&self) -> u64 {
        self.moves
    }
}

/// A function without code. Its signature is nobody's, so that a call through a table traps before it could be entered.
const NO_FUNC: FuncRef = FuncRef {
    code: ptr::null(),
    vmctx: ptr::null_mut(),
    signature: Signature::NONE.number(),
    number: 0,
    memory_base: ptr::null_mut(),
};

/// Makes the context of an instance that has just been added to the store, and lets its functions be called. Does nothing
/// where its module has no machine code.
pub(crate) fn publish_instance(store: &mut StoreInner, number: u32) {
    let module = store.instances[number as usize].module.clone();
    let Some(code) = module.machine_code() else {
        return;
    };
    let mut context = Context::new(code.layout());
    context.set(offsets::instance, number as usize);
    context.set(offsets::leave, switch::leave_address());
    context.set(offsets::preempt, switch::preempt_address());
    context.set(offsets::tail_call, switch::tail_call_address());
    for ty in 0..module.types().types.len() as u32 {
        context.set(code.layout().signature(ty), module.signature(ty).number());
    }
    publish_funcs(store, &module, code, number, context.vmctx());
    let imported = module.imported_funcs();
    for (func, &number) in (0..imported).zip(&store.instances[number as usize].funcs) {
        let import = store.native.funcs[number as usize];
        assert!(
            !import.code.is_null(),
            "what is imported has been published before"
        );
        context.set(code.layout().imported_func(func), import);
    }
    store.instances[number as usize].context = Some(context);
    store.native.moved();
    // The new context names no run yet.
    store.native.run = (0, 0);
}

/// Writes the `FuncRef`s of what an instance defines, and of host functions that enter the store by it.
fn publish_funcs(
    store: &mut StoreInner,
    module: &Module,
    code: &MachineCode,
    number: u32,
    vmctx: *mut VmCtx,
) {
    let StoreInner {
        instances,
        funcs,
        memories,
        native,
        ..
    } = store;
    let memory_base = match instances[number as usize].memories.first() {
        Some(&memory) => memories[memory as usize].bytes_mut().as_mut_ptr(),
        None => ptr::null_mut(),
    };
    native.funcs.resize(funcs.len(), NO_FUNC);
    for (&func, &ty) in instances[number as usize].funcs.iter().zip(&module.types().funcs) {
        let published = &mut native.funcs[func as usize];
        let entry = match funcs[func as usize] {
            FuncEntity::Wasm {
                instance,
                func: defined,
                ..
            } if instance == number => (code.entry(defined), vmctx, memory_base),
            FuncEntity::Host { .. } if published.code.is_null() => {
                (code.host_call(ty), ptr::null_mut(), ptr::null_mut())
            }
            // Another instance's, or a host's that has its trampoline already.
            _ => continue,
        };
        *published = FuncRef {
            code: ptr::without_provenance(entry.0),
            vmctx: entry.1,
            signature: module.signature(ty).number(),
            number: func,
            memory_base: entry.2,
        };
    }
}

/// Brings all contexts of the store up to date for a run.
pub(super) fn refresh(store: &mut StoreInner, run: *mut RunRecord, stack_limit: usize) {
    if store.native.stale {
        store.native.stale = false;
        refresh_places(store);
    }
    if store.native.run != (run.addr(), stack_limit) {
        store.native.run = (run.addr(), stack_limit);
        for context in store.instances.iter_mut().filter_map(|i| i.context.as_mut()) {
            context.set(offsets::run, run);
            context.set(offsets::stack_limit, stack_limit);
        }
    }
}

/// Writes anew where memories, tables, globals and functions are.
fn refresh_places(store: &mut StoreInner) {
    let StoreInner {
        instances,
        tables,
        memories,
        globals,
        funcs,
        native,
        ..
    } = store;
    // An instantiation that failed half-way has left functions that nothing has published: they are within too.
    native.funcs.resize(funcs.len(), NO_FUNC);
    for instance in instances {
        let Some(context) = &mut instance.context else {
            continue;
        };
        let layout = context.layout;
        context.set(offsets::funcs, native.funcs.as_ptr());
        for (&memory, index) in instance.memories.iter().zip(0..) {
            let bytes = memories[memory as usize].bytes_mut();
            let memory = MemoryRef {
                base: bytes.as_mut_ptr(),
                bytes: bytes.len(),
            };
            context.set(layout.memory(index), memory);
            if index == 0 {
                context.set(offsets::memory_base, memory.base);
                context.set(offsets::memory_bytes, memory.bytes);
            }
        }
        for (&table, index) in instance.tables.iter().zip(0..) {
            let elements = tables[table as usize].elements();
            let table = TableRef {
                elements: elements.as_ptr(),
                len: elements.len(),
            };
            context.set(layout.table(index), table);
        }
        for (&global, index) in instance.globals.iter().zip(0..) {
            let cell: *mut _ = globals[global as usize].cell();
            context.set(layout.global(index), cell);
        }
    }
}
