//! A preemption at every single instruction, from before a guest is entered until after it has left.
//!
//! The processor's trap flag stops the thread behind each instruction; after so many of them the handler of those stops sends the
//! preemption, which comes when it returns: exactly there. Then one instruction further, and so on; of the host's own code,
//! where one is like the other, one in sixteen is enough. A window in which a
//! signal were lost would be one in which the guest runs to its end although it should not have gone on, and which another
//! follows in which it does not: that order is what is looked for.

use super::{PLAIN, func, importing, instance};
use crate::preempt::{Preemption, Stats, stats, take_request};
use crate::vm::switch::Stubs;
use crate::vm::{code, preempt};
use crate::{Execution, Step, Store, Value};
use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Instructions before the preemption is sent; [`DONE`] when there is nothing to send.
static LEFT: AtomicU64 = AtomicU64::new(DONE);
const DONE: u64 = u64::MAX;

/// Instructions of the host's since the thread began to step.
static HOSTS: AtomicU64 = AtomicU64::new(0);

/// Where the stubs are, once a thread steps.
static STUBS: OnceLock<Stubs> = OnceLock::new();

/// The processor's trap flag.
const TRAP: i64 = 0x100;

/// One thread steps at a time.
static STEPPING: Mutex<()> = Mutex::new(());

extern "C" fn stopped(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the third argument is a ucontext_t, which nobody else refers to while we run.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let left = LEFT.load(Ordering::Relaxed);
    if left != DONE {
        if !counts(context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize) {
            return;
        }
        if left > 0 {
            LEFT.store(left - 1, Ordering::Relaxed);
            return;
        }
    }
    context.uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP;
    if left == 0 {
        LEFT.store(DONE, Ordering::Relaxed);
        preempt::send(preempt::this_thread());
    }
}

/// Whether the preemption is to be sent before this instruction in its turn: one of the guest's, of a stub on the way to it, the
/// comparison in front of that (3 bytes), or one in sixteen others.
fn counts(pc: usize) -> bool {
    let near = |stubs: &Stubs| stubs.is_entering(pc) || stubs.is_entering(pc + 3) || stubs.is_guest(pc);
    code::contains(pc)
        || STUBS.get().is_some_and(near)
        || HOSTS.fetch_add(1, Ordering::Relaxed).is_multiple_of(16)
}

/// Takes the turn, and handles stops on the alternate stack, where a guest's own is not touched.
fn stepping() -> MutexGuard<'static, ()> {
    let turn = STEPPING.lock().unwrap_or_else(PoisonError::into_inner);
    STUBS.get_or_init(Stubs::find);
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = stopped;
    // SAFETY: zero is a valid value of the plain struct.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the set is a valid one, and the signal exists. It waits until the stop is over.
    let masked = unsafe { libc::sigaddset(&raw mut action.sa_mask, libc::SIGURG) };
    assert_eq!(masked, 0);
    // SAFETY: `stopped` is a handler of the kind that SA_SIGINFO says, and does only what a handler may.
    let installed = unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut()) };
    assert_eq!(installed, 0);
    turn
}

/// Does `body` with a preemption after so many instructions. Tells whether there were so many.
fn preempted_after<R>(instructions: u64, body: impl FnOnce() -> R) -> (R, bool) {
    HOSTS.store(0, Ordering::Relaxed);
    LEFT.store(instructions, Ordering::Relaxed);
    // SAFETY: the flag changes nothing but that our handler is called; it takes the flag back.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    let result = body();
    (result, LEFT.swap(DONE, Ordering::Relaxed) == DONE)
}

/// Makes a run and resumes it with a preemption at the first instruction, the second, and so on until it ends before. Each time
/// it goes on undisturbed, and has to give what is wanted.
fn at_every_instruction(
    store: &mut Store<u32>,
    wanted: &Value,
    mut begin: impl FnMut(&mut Store<u32>) -> Execution,
) -> Stats {
    let before = stats();
    let mut finished = false;
    for at in 0.. {
        let mut run = begin(store);
        assert!(!take_request());
        let (step, sent) = preempted_after(at, || run.resume(store, u64::MAX));
        let marked = take_request();
        match step {
            Step::Preempted => {
                assert!(!finished, "the preemption before instruction {at} was lost");
                assert!(sent && !marked);
            }
            Step::Finished if !sent => break,
            Step::Finished => {
                assert!(marked, "the preemption at {at} has gone");
                finished = true;
            }
            other => panic!("{other:?}"),
        }
        while run.resume(store, u64::MAX) != Step::Finished {}
        assert_eq!(run.results(), std::slice::from_ref(wanted), "at {at}");
        assert!(at < 100_000, "it does not end");
    }
    let after = stats();
    Stats {
        signals: after.signals - before.signals,
        suspended: after.suspended - before.suspended,
        turned_back: after.turned_back - before.turned_back,
        marked: after.marked - before.marked,
    }
}

#[test]
fn every_instruction_of_entering_and_leaving_can_be_preempted() {
    let _turn = stepping();
    let _preemption = Preemption::enable().expect("preemption");
    let cases = [
        ("count", PLAIN.to_owned(), 3, 7),
        ("call_import", importing("double"), 20, 41),
        ("fill", PLAIN.to_owned(), 1000, 7),
    ];
    for (name, wat, argument, result) in cases {
        let (mut store, instance) = instance(&[name], &wat);
        let f = func(&store, instance, "f");
        let arguments: Vec<Value> = match name {
            "call_import" => vec![argument.into()],
            _ => vec![argument.into(), 0.into()],
        };
        let begin = |store: &mut Store<u32>| Execution::new(store, f, &arguments).expect("run");
        let stats = at_every_instruction(&mut store, &Value::I32(result), begin);
        assert!(
            stats.suspended >= 15 && stats.turned_back >= 10 && stats.marked >= 10,
            "{name}: {stats:?}"
        );
    }
}

#[test]
fn every_instruction_of_going_on_can_be_preempted() {
    let _turn = stepping();
    let _preemption = Preemption::enable().expect("preemption");
    let (mut store, instance) = instance(&["count"], PLAIN);
    let f = func(&store, instance, "f");
    let new = |store: &mut Store<u32>| Execution::new(store, f, &[3.into(), 0.into()]).expect("run");
    // The first instruction of the guest's that can be found, and a few more.
    let mut inside = 0;
    let before = stats().suspended;
    while stats().suspended == before {
        inside += 1;
        let mut run = new(&mut store);
        preempted_after(inside, || run.resume(&mut store, u64::MAX));
        take_request();
        assert!(inside < 100_000, "the guest is not reached");
    }
    let suspended = |store: &mut Store<u32>| {
        let (mut run, before) = (new(store), stats().suspended);
        let (step, _) = preempted_after(inside + 6, || run.resume(store, u64::MAX));
        assert_eq!((step, stats().suspended), (Step::Preempted, before + 1));
        run
    };
    // All registers are taken back by some forty instructions, of which the last but one takes the trap flag too.
    let stats = at_every_instruction(&mut store, &Value::I32(7), suspended);
    assert!(stats.turned_back >= 30, "{stats:?}");
}

#[test]
fn every_instruction_keeps_all_registers() {
    let _turn = stepping();
    let _preemption = Preemption::enable().expect("preemption");
    let (mut store, instance) = instance(&["registers"], PLAIN);
    let f = func(&store, instance, "f");
    let before = stats().suspended;
    for at in 0.. {
        let mut run = Execution::new(&mut store, f, &[0.into(), 0.into()]).expect("run");
        // It offers itself once in the middle; what follows is stepped through as well.
        let (_, sent) = preempted_after(at, || while run.resume(&mut store, u64::MAX) != Step::Finished {});
        take_request();
        assert_eq!(run.results(), [Value::I32(1)], "a register was lost at {at}");
        if !sent {
            break;
        }
        assert!(at < 100_000, "it does not end");
    }
    assert!(stats().suspended - before >= 100);
}
