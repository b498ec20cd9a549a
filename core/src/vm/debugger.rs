//! Names of generated code for GDB, by its interface for just-in-time compilers ("JIT Compilation Interface" of its manual).
//!
//! ```text
//!   __jit_debug_descriptor ── first ──► entry ◄──► entry ◄──► ...     one for each module's code
//!                                         └─► an ELF file in memory: a section at the code's address, and its symbols
//!   __jit_debug_register_code()          GDB has a breakpoint here, and looks at the list when it is hit
//! ```
//!
//! The two symbols are found by their names, once in a process. Only the debugger follows the pointers: here, the list is
//! that of a vector, in its order.

use super::elf;
use crate::observer::{CodeObserver, CodeView};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tells GDB of generated code, if it looks: it may be attached at any time.
#[derive(Debug, Default)]
pub struct Debugger(());

/// `struct jit_code_entry`.
#[derive(Debug)]
#[repr(C)]
struct Entry {
    next: AtomicPtr<Entry>,
    previous: AtomicPtr<Entry>,
    symbol_file: *const u8,
    symbol_file_bytes: u64,
}

/// `struct jit_descriptor`.
#[derive(Debug)]
#[repr(C)]
struct Descriptor {
    version: u32,
    action: AtomicU32,
    relevant: AtomicPtr<Entry>,
    first: AtomicPtr<Entry>,
}

/// `JIT_NOACTION`, `JIT_REGISTER_FN` and `JIT_UNREGISTER_FN`.
const NOTHING: u32 = 0;
const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

// SAFETY: no other part of the program has a symbol of this name, which GDB's interface sets.
#[unsafe(no_mangle)]
#[used]
static __jit_debug_descriptor: Descriptor = Descriptor {
    version: 1,
    action: AtomicU32::new(NOTHING),
    relevant: AtomicPtr::new(ptr::null_mut()),
    first: AtomicPtr::new(ptr::null_mut()),
};

// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn __jit_debug_register_code() {
    // All that was written before is in memory when the debugger stops here.
    std::hint::black_box(&__jit_debug_descriptor);
}

/// What the debugger is told of at the moment.
static LIST: Mutex<Vec<Registration>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Registration {
    address: usize,
    entry: Box<Entry>,
    /// What the entry points to.
    _symbols: Box<[u8]>,
}

// SAFETY: the entry's pointers lead into `_symbols`, which is the registration's own, and to entries of the same list; they
// are followed by a debugger only, which stops all threads before.
unsafe impl Send for Registration {}

impl CodeObserver for Debugger {
    fn published(&self, code: &CodeView<'_>) {
        let symbols = elf::file(code).into_boxed_slice();
        let mut list = lock();
        let last = list.last().map(|last| ptr::from_ref(&*last.entry).cast_mut());
        let entry = Box::new(Entry {
            next: AtomicPtr::default(),
            previous: AtomicPtr::new(last.unwrap_or_default()),
            symbol_file: symbols.as_ptr(),
            symbol_file_bytes: symbols.len() as u64,
        });
        link(list.last(), &entry);
        announce(REGISTER, &entry);
        list.push(Registration {
            address: code.address,
            entry,
            _symbols: symbols,
        });
    }

    fn withdrawn(&self, address: usize) {
        let mut list = lock();
        let Some(index) = list.iter().position(|registered| registered.address == address) else {
            return;
        };
        let gone = list.remove(index);
        let next = gone.entry.next.load(Ordering::Relaxed);
        let before = index.checked_sub(1).map(|before| &list[before].entry);
        let pointer = before.map_or(&__jit_debug_descriptor.first, |entry| &entry.next);
        pointer.store(next, Ordering::Release);
        if let Some(behind) = list.get(index) {
            let previous = gone.entry.previous.load(Ordering::Relaxed);
            behind.entry.previous.store(previous, Ordering::Release);
        }
        announce(UNREGISTER, &gone.entry);
    }
}

fn lock() -> MutexGuard<'static, Vec<Registration>> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Appends an entry.
fn link(last: Option<&Registration>, entry: &Entry) {
    let pointer = last.map_or(&__jit_debug_descriptor.first, |last| &last.entry.next);
    pointer.store(ptr::from_ref(entry).cast_mut(), Ordering::Release);
}

/// Lets the debugger look, if there is one.
fn announce(action: u32, entry: &Entry) {
    let descriptor = &__jit_debug_descriptor;
    descriptor
        .relevant
        .store(ptr::from_ref(entry).cast_mut(), Ordering::Release);
    descriptor.action.store(action, Ordering::Release);
    __jit_debug_register_code();
    descriptor.action.store(NOTHING, Ordering::Release);
    descriptor.relevant.store(ptr::null_mut(), Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_what_is_published() {
        let debugger = Debugger::default();
        // Nothing is run, so that any addresses do.
        let publish = |address| {
            debugger.published(&CodeView {
                tier: "test",
                module: None,
                address,
                text: &[0xcc; 4],
                symbols: &[],
            });
        };
        let entry = |address| {
            let list = lock();
            let registered = list.iter().find(|registered| registered.address == address);
            let entry = &registered.expect("registered").entry;
            let load = |pointer: &AtomicPtr<Entry>| pointer.load(Ordering::Relaxed).cast_const();
            (ptr::from_ref(&**entry), load(&entry.previous), load(&entry.next))
        };
        publish(0x1000);
        publish(0x2000);
        publish(0x3000);
        let [(first, ..), (second, before, behind), (third, ..)] = [0x1000, 0x2000, 0x3000].map(entry);
        assert_eq!((before, behind), (first, third));
        assert!(!second.is_null());
        debugger.withdrawn(0x2000);
        assert_eq!(entry(0x1000).2, third);
        assert_eq!(entry(0x3000).1, first);
        assert_eq!(
            __jit_debug_descriptor.first.load(Ordering::Relaxed).cast_const(),
            first
        );
        debugger.withdrawn(0x1000);
        assert_eq!(
            __jit_debug_descriptor.first.load(Ordering::Relaxed).cast_const(),
            third
        );
        assert_eq!(entry(0x3000), (third, ptr::null(), ptr::null()));
        debugger.withdrawn(0x3000);
        debugger.withdrawn(0x3000);
        assert!(__jit_debug_descriptor.first.load(Ordering::Relaxed).is_null());
        assert_eq!(__jit_debug_descriptor.action.load(Ordering::Relaxed), NOTHING);
    }
}
