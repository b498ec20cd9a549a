//! A run of machine code, with the interface of the interpreter's machine.
//!
//! ```text
//!   Execution ── run(fuel) ──► refresh the contexts ──► switch to the guest ─┐
//!        ▲                          ▲                                        │
//!        │ Exit                     └── libcall, done here ◄── Request ◄─────┤
//!        └── host call, preemption by poll or signal, end, trap ◄────────────┘
//! ```

use super::context;
use super::run::{Left, RunRecord};
use super::stack::{ENTRY_SLOTS, GuestStack};
use super::{preempt, signals, switch};
use crate::compiler::abi;
use crate::interp::{Exit, Progress, perform_libcall};
use crate::module::Module;
use crate::operator::Libcall;
use crate::store::StoreInner;
use crate::trap::{BacktraceFrame, Trap, TrapReport};
use crate::vm::linear::LinearMemory;
use std::io;

/// One run of machine code.
///
/// It may go on in another thread than it began in: no frame of Rust's is on its stack, and what belongs to a thread,
/// the host's stack pointer and the alternate signal stack, is found anew at each entry.
#[derive(Debug)]
pub(crate) struct NativeRun {
    pub(super) stack: GuestStack,
    stack_limit: usize,
    pub(super) fuel: i64,
    next: Next,
    /// Set while the guest stands between any two instructions: how often the store had moved what they refer to.
    interrupted: Option<u64>,
}

/// What is to be done before or when the guest goes on.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// Nothing has run yet.
    Enter,
    /// It goes on where it has left.
    Resume,
    /// The operator that it has left for is not done yet.
    Libcall { call: Libcall, a: u32, b: u32 },
    /// It has thrown an exception: of the instance's tag of this number, or once more what it refers to.
    Throw { tag: Option<u32> },
    /// It waits for the host's function.
    Host,
    /// Nothing can be: it is over.
    Over,
}

impl NativeRun {
    /// A run whose frames take at most `stack_bytes`.
    ///
    /// # Errors
    /// What the system says where it has no room for a stack.
    pub(crate) fn new(stack_bytes: usize) -> io::Result<Self> {
        let stack = GuestStack::new(stack_bytes)?;
        let record = RunRecord {
            guest_rsp: stack.slots(),
            slots: stack.slots(),
            avx: switch::has_avx().into(),
            ..RunRecord::default()
        };
        // SAFETY: the record lies in the stack's own accessible memory, aligned, and nothing refers to it.
        unsafe { stack.record().write(record) };
        Ok(Self {
            stack_limit: stack.limit(stack_bytes),
            stack,
            fuel: 0,
            next: Next::Over,
            interrupted: None,
        })
    }

    /// Prepares a call of a function that an instance defines, whose arguments are already in the first slots.
    ///
    /// # Panics
    /// If the instance has no machine code.
    pub(crate) fn enter(&mut self, store: &StoreInner, instance: u32, func: u32) {
        let instance = &store.instances[instance as usize];
        let (Some(code), Some(context)) = (instance.module.machine_code(), &instance.context) else {
            unreachable!("an instance of an engine with a code generator has code");
        };
        let types = instance.module.types();
        let ty = types.funcs[(types.imported_funcs + func) as usize];
        let (function, entry, vmctx) = (code.entry(func), code.trampoline(ty), context.vmctx().addr());
        let record = self.record_mut();
        record.code = function;
        record.entry = entry;
        record.vmctx = vmctx;
        self.next = Next::Enter;
    }

    /// The slots of the arguments, later of the results.
    pub(crate) fn slots_mut(&mut self) -> &mut [u64] {
        let slots = self.stack.slots();
        self.stack
            .slots_at(slots, ENTRY_SLOTS)
            .expect("every stack has them")
    }

    /// `count` slots for the host function that is waited for; `None` where there are not so many.
    pub(crate) fn host_slots(&mut self, count: usize) -> Option<&mut [u64]> {
        let slots = self.record().slots;
        self.stack.slots_at(slots, count)
    }

    /// Units of fuel that the last [`NativeRun::run`] has left.
    pub(crate) fn fuel_left(&self) -> i64 {
        self.fuel
    }

    /// After a host function has answered: the guest goes on.
    pub(crate) fn host_returned(&mut self) {
        self.next = Next::Resume;
    }

    /// Runs until something has to be done by the embedder.
    pub(crate) fn run(&mut self, store: &mut StoreInner, fuel: i64) -> Exit {
        self.fuel = fuel;
        loop {
            match self.next {
                Next::Enter | Next::Resume if self.is_stranded(store) => {
                    self.next = Next::Over;
                    // Where it stands is not known by function.
                    return Exit::Trapped(TrapReport {
                        trap: Trap::HostAborted,
                        backtrace: Vec::new(),
                    });
                }
                Next::Enter | Next::Resume => match self.switch(store) {
                    Ok(Left::Request) => {
                        if let Some(exit) = self.request() {
                            return exit;
                        }
                    }
                    Ok(Left::Preempted) => {
                        self.next = Next::Resume;
                        return Exit::Preempted;
                    }
                    Ok(Left::Interrupted) => {
                        self.next = Next::Resume;
                        self.interrupted = Some(store.native.moves());
                        return Exit::Preempted;
                    }
                    Ok(Left::TurnedBack) => {
                        preempt::take_mark();
                        return Exit::Preempted;
                    }
                    Ok(Left::Finished) => {
                        self.next = Next::Over;
                        return Exit::Finished;
                    }
                    Ok(Left::Faulted) => {
                        let trap = self.fault(store);
                        return self.trapped(store, trap);
                    }
                    // The thread can have no alternate stack: nothing of the guest's is to blame, and nothing can go on.
                    Err(_) => return self.trapped(store, Trap::HostAborted),
                },
                Next::Libcall { call, a, b } => {
                    match self.libcall(store, call, a, b) {
                        Ok(Progress::Done) => self.next = Next::Resume,
                        Ok(Progress::Partial) => {}
                        Err(trap) => return self.trapped(store, trap),
                    }
                    if self.fuel < 0 || preempt::take_mark() {
                        return Exit::Preempted;
                    }
                }
                Next::Throw { tag } => {
                    if let Err(trap) = self.throw(store, tag) {
                        return self.trapped(store, trap);
                    }
                    self.next = Next::Resume;
                    if self.fuel < 0 {
                        return Exit::Preempted;
                    }
                }
                Next::Host | Next::Over => {
                    unreachable!("a run goes on after its host call, and not after its end")
                }
            }
        }
    }

    /// A trap with the functions that are active.
    #[cold]
    pub(crate) fn report(&self, store: &StoreInner, trap: Trap) -> TrapReport {
        let mut backtrace = Vec::new();
        for (pc, _) in self.frames() {
            if backtrace.len() == TrapReport::MAX_FRAMES {
                break;
            }
            backtrace.extend(function_at(store, pc));
        }
        TrapReport { trap, backtrace }
    }

    /// The frames, innermost first: an address within the instruction at which each stands, and where it lies.
    pub(super) fn frames(&self) -> impl Iterator<Item = (usize, usize)> {
        let record = self.record();
        // A return address is one past the call; a fault's address is the instruction itself.
        let faulted = record.signal != 0;
        let innermost = (
            record.guest_pc.wrapping_sub(usize::from(!faulted)),
            record.guest_frame,
        );
        let outwards = std::iter::successors(Some(innermost), |&(_, frame)| {
            let caller = self.stack.word(frame)?;
            let to = self.stack.word(frame.wrapping_add(8))?;
            // Frames lie one above the other; whatever claims otherwise is none.
            (caller == 0 || caller > frame).then(|| (to.wrapping_sub(1), caller))
        });
        outwards.take_while(|&(pc, _)| pc != 0)
    }

    /// Whether the guest was stopped between any two instructions, and what the first may have loaded for the second, an
    /// address of a table's elements, of a global or of a function, may have moved since.
    fn is_stranded(&self, store: &StoreInner) -> bool {
        self.interrupted
            .is_some_and(|moves| moves != store.native.moves())
    }

    /// Lets the guest run until it leaves.
    fn switch(&mut self, store: &mut StoreInner) -> io::Result<Left> {
        signals::prepare_thread()?;
        let record = self.stack.record();
        context::refresh(store, record, self.stack_limit);
        let fuel = self.fuel;
        let ours = self.record_mut();
        ours.fuel = fuel;
        ours.mark = preempt::mark_address();
        let runs = signals::guest_runs(record);
        let world = std::ptr::from_mut(store).cast();
        let left = if matches!(self.next, Next::Enter) {
            // SAFETY: `enter` above wrote a function, its type's trampoline and its instance's context, all of this store
            // (`Execution` checks that), which keeps them alive and is borrowed mutably; `refresh` has made the
            // contexts true; `prepare_thread` has seen to the signal stack.
            unsafe { switch::enter(record, world) }
        } else {
            // SAFETY: as above; and `next` is `Resume` only after the guest has left by a request or a preemption, and if that was
            // between any two instructions, `is_stranded` has seen that what they refer to is where it was.
            unsafe { switch::resume(record, world) }
        };
        drop(runs);
        self.fuel = self.record().fuel;
        let left = Left::from_number(left);
        if left != Left::TurnedBack {
            self.next = Next::Over;
            self.interrupted = None;
        }
        Ok(left)
    }

    /// Looks what the guest has left for; gives what the embedder has to do.
    fn request(&mut self) -> Option<Exit> {
        let &RunRecord {
            request,
            a,
            b,
            instance,
            ..
        } = self.record();
        if request == abi::LEAVE_HOST_CALL {
            self.next = Next::Host;
            return Some(Exit::Host {
                func: a,
                base: 0,
                instance: instance as u32,
            });
        }
        if request == abi::LEAVE_THROW || request == abi::LEAVE_THROW_REF {
            let tag = (request == abi::LEAVE_THROW).then_some(a);
            self.next = Next::Throw { tag };
            return None;
        }
        let Some(call) = Libcall::from_number(request) else {
            compiler_bug(&format!(
                "code left with request {request:#x}, which there is none of"
            ));
        };
        self.next = Next::Libcall { call, a, b };
        None
    }

    /// Does the operator that the guest has left for, or a piece of it.
    fn libcall(&mut self, store: &mut StoreInner, call: Libcall, a: u32, b: u32) -> Result<Progress, Trap> {
        let &RunRecord { instance, slots, .. } = self.record();
        let Some(slots) = self.stack.slots_at(slots, abi::LEAVE_SLOTS) else {
            compiler_bug(&format!(
                "{call:?} got its operands at {slots:#x}, outside of its stack"
            ));
        };
        perform_libcall(store, instance, slots, &mut self.fuel, call, a, b)
    }

    fn trapped(&mut self, store: &StoreInner, trap: Trap) -> Exit {
        self.next = Next::Over;
        Exit::Trapped(self.report(store, trap))
    }

    /// What a fault means.
    fn fault(&self, store: &StoreInner) -> Trap {
        let record = self.record();
        // Of a signal whose frame did not fit, which is for somebody else and does not ask for the alternate stack, the system makes a
        // SIGSEGV without an address, at whatever instruction the guest stands.
        let lacks_room = record.signal == libc::SIGSEGV && self.stack.lacks_room_for_signal(record.fault_rsp);
        if lacks_room || self.stack.is_guard(record.fault_address) {
            return Trap::StackExhausted;
        }
        let pc = record.guest_pc;
        let is_short = |memory: &LinearMemory| memory.is_in_bounds(record.fault_address);
        let site = module_at(store, pc).and_then(|(module, offset)| {
            let trap = module.machine_code()?.trap_at(offset);
            Some((module.name().unwrap_or("?").to_owned(), offset, trap))
        });
        match site {
            // A page that a touch should have made accessible: see `super::region`. An access whose bounds were checked before it
            // is at no place that may trap.
            Some(_) if record.signal == libc::SIGSEGV && store.memories.iter().any(is_short) => {
                Trap::HostMemoryExhausted
            }
            // What is out of a memory's bounds still lies in its reservation. Anywhere else nobody has kept the access in.
            Some((module, offset, Some(Trap::MemoryOutOfBounds)))
                if record.signal == libc::SIGSEGV
                    && !store
                        .memories
                        .iter()
                        .any(|memory| memory.reserves(record.fault_address)) =>
            {
                compiler_bug(&format!(
                    "an access at offset {offset:#x} of module `{module}` to {:#x}, in no memory of the store",
                    record.fault_address
                ))
            }
            Some((_, _, Some(trap))) => trap,
            Some((module, offset, None)) => compiler_bug(&format!(
                "signal {} at offset {offset:#x} of module `{module}`, address {:#x}: not an instruction that may trap",
                record.signal, record.fault_address
            )),
            None => compiler_bug(&format!(
                "signal {} at {pc:#x}, in no module of the store",
                record.signal
            )),
        }
    }

    pub(super) fn record(&self) -> &RunRecord {
        // SAFETY: written in `new`, in the stack's own memory; whatever the guest or the handler has written there are
        // integers, and neither runs now: both need `&mut self`.
        unsafe { &*self.stack.record() }
    }

    pub(super) fn record_mut(&mut self) -> &mut RunRecord {
        // SAFETY: as in `record`, and `&mut self` makes this the only reference.
        unsafe { &mut *self.stack.record() }
    }
}

/// The module of the store to which an address belongs, and the offset there.
fn module_at(store: &StoreInner, pc: usize) -> Option<(&Module, u32)> {
    let modules = store.instances.iter().map(|instance| &instance.module);
    modules
        .filter_map(|module| Some((module, module.machine_code()?.offset_of(pc)?)))
        .next()
}

/// The function to which an address belongs; none for a trampoline.
fn function_at(store: &StoreInner, pc: usize) -> Option<BacktraceFrame> {
    let (module, offset) = module_at(store, pc)?;
    let func_index = module.imported_funcs() + module.machine_code()?.func_at(offset)?;
    Some(BacktraceFrame {
        func_index,
        name: module.func_name(func_index).map(str::to_owned),
    })
}

/// Ends the process. Generated code has done what it never may, so that nothing is known of the guest's memory, or of
/// ours: going on could hand one guest's data to another.
#[cold]
pub(super) fn compiler_bug(what: &str) -> ! {
    eprintln!(
        "luge: a fault of generated code that no WebAssembly explains: {what}. This is a bug of the code generator."
    );
    std::process::abort()
}
