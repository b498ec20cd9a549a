//! Threaded code: each instruction's routine does its work and goes on straight to the next one's.
//!
//! ```text
//!   code:      I32Add 4 ← 2 3      LoadIndexed64 5 ← 4 0      BrI32LtS 2 < 6 → 17
//!                 │                   │                          │
//!   routines:  [I32Add]──── jump ──►[LoadIndexed64]──── jump ──►[BrI32LtS]──── jump ──► ...
//! ```
//!
//! A routine ends in a call of another through a table. All of them have one signature, whose arguments fit
//! the registers that arguments are passed in, and nothing of theirs lives on when they make that call: an optimising compiler makes a jump
//! of it. So the processor predicts what comes next for each routine apart, and the compiler assigns registers for a few
//! instructions and not for all arms of a match at once.
//!
//! The language does not promise the jump. Nothing depends on it but speed, because a run is cut into pieces of at most [`PIECE`] units
//! of fuel, and fuel bounds the instructions that run: where calls are calls, so many frames are on the host's stack and then all are gone.
//!
//! Two facts make routines quick without any unchecked access. The frame is a `&[Cell<u64>; 65537]` and a register is a `u16`, so
//! no register access has a bounds check. And routines of operators call `eval` on a constant operator, so that the
//! compiler folds the operator tables into straight code.
//!
//! Fuel. A jump backwards costs the number of instructions that it jumps over; forwards, each [`STRETCH`](super::code::STRETCH) of instructions is
//! paid for before it runs, the first by the call. When fuel is used up the routines are left with everything in its place.

use super::access::Others;
use super::code::ModuleCode;
use super::inst::Pc;
use super::machine::{Frame, Machine};
use super::stack::WINDOW;
use super::word::Word;
use crate::instance::InstanceEntity;
use crate::operator::Libcall;
use crate::store::{FuncEntity, GlobalEntity, StoreInner};

use crate::table::Table;
use crate::trap::Trap;
use std::cell::Cell;

/// What has to be done outside of the routines. `pc` still points at the instruction that asks for it, except after
/// `SwitchInstance`, `Finished` and `Preempted`.
#[derive(Debug)]
pub(super) enum Action {
    /// The first function has returned.
    Finished,
    /// Fuel is used up.
    Preempted,
    /// The guest trapped.
    Trap(Trap),
    /// A return has led into another instance.
    SwitchInstance,
    /// A function that is a host's or another instance's is to be called; its number in the store.
    Call { func: u32, base: usize },
    /// The same in the place of a return. Where it is a host's, a return follows the call.
    TailCall { func: u32, base: usize },
    /// An exception of the instance's tag `tag` is thrown, its payload from `base` on.
    Throw { tag: u32, base: usize },
    /// The exception of this reference is thrown.
    ThrowRef { reference: u64 },
    /// The runtime has to carry out an operator.
    Libcall {
        base: usize,
        call: Libcall,
        a: u32,
        b: u32,
    },
    /// The code names what there is not: an error of translation.
    Stray,
}

/// The code from an instruction on, to its module's end.
pub(super) type Code<'a> = &'a [Word];

/// The running frame.
pub(super) type Regs<'a> = &'a [Cell<u64>; WINDOW];

/// What carries out an instruction, the first of `code`. The memory is the instance's memory 0.
pub(super) type Routine = for<'a> fn(Code<'a>, Regs<'a>, &mut [u8], &mut Context<'a>);

/// What few routines need: it is in memory, and not in registers.
pub(super) struct Context<'a> {
    pub(super) words: &'a [Word],
    pub(super) fuel: i64,
    /// The running frame's first slot.
    pub(super) base: usize,
    pub(super) stack: &'a [Cell<u64>],
    pub(super) frames: Vec<Frame>,
    pub(super) max_depth: usize,
    /// The running instance and its number.
    pub(super) current: u32,
    pub(super) instance: &'a InstanceEntity,
    pub(super) code: &'a ModuleCode,
    pub(super) globals: &'a mut [GlobalEntity],
    pub(super) tables: &'a [Table],
    pub(super) funcs: &'a [FuncEntity],
    pub(super) others: Others<'a>,
    /// Where to go on, and why not at once.
    pub(super) pc: Pc,
    pub(super) action: Action,
}

/// The most fuel that is used between two returns to [`run`]. Tests of an optimised build would overflow their stack if it grew.
const PIECE: i64 = if cfg!(debug_assertions) {
    256
} else if cfg!(test) {
    1 << 20
} else {
    1 << 12
};

/// Runs the machine's current instance until an [`Action`] is due.
pub(super) fn run(store: &mut StoreInner, machine: &mut Machine) -> Action {
    let StoreInner {
        instances,
        memories,
        globals,
        tables,
        funcs,
        ..
    } = store;
    let instance = &instances[machine.instance as usize];
    let code = instance.module.code();
    let (memory, others) = Others::split(memories, instance);
    let mut context = Context {
        words: &code.words,
        fuel: 0,
        base: machine.base,
        stack: Cell::from_mut(&mut *machine.stack).as_slice_of_cells(),
        frames: std::mem::take(&mut machine.frames),
        max_depth: machine.max_depth,
        current: machine.instance,
        instance,
        code,
        globals,
        tables,
        funcs,
        others,
        pc: machine.pc,
        action: Action::Preempted,
    };
    let mut fuel = machine.fuel;
    loop {
        let piece = fuel.min(PIECE);
        context.fuel = piece;
        match (context.code_at(context.pc), context.window(context.base)) {
            (Some((next, from)), Some(regs)) => (next.routine)(from, regs, memory, &mut context),
            _ => context.stray(),
        }
        fuel -= piece - context.fuel;
        if fuel < 0 || !matches!(context.action, Action::Preempted) {
            break;
        }
    }
    let Context {
        base,
        frames,
        current,
        pc,
        action,
        ..
    } = context;
    (machine.frames, machine.base) = (frames, base);
    (machine.fuel, machine.instance, machine.pc) = (fuel, current, pc);
    action
}

/// Goes on with the first instruction of `code`.
#[inline(always)]
pub(super) fn dispatch<'a>(code: Code<'a>, regs: Regs<'a>, memory: &mut [u8], context: &mut Context<'a>) {
    match code.first() {
        Some(next) => (next.routine)(code, regs, memory, context),
        None => context.stray(),
    }
}

/// Jumps; a jump backwards pays for what it will run again.
#[inline(always)]
pub(super) fn jump<'a>(
    target: Pc,
    code: Code<'a>,
    regs: Regs<'a>,
    memory: &mut [u8],
    context: &mut Context<'a>,
) {
    let Some((next, to)) = context.code_at(target) else {
        return context.stray();
    };
    let after = code.len() - 1;
    if to.len() > after {
        context.fuel -= (to.len() - after) as i64;
        if context.fuel < 0 {
            return context.preempt(target);
        }
    }
    (next.routine)(to, regs, memory, context);
}

impl<'a> Context<'a> {
    /// An instruction, and the code from it on.
    #[inline(always)]
    pub(super) fn code_at(&self, pc: Pc) -> Option<(&'a Word, Code<'a>)> {
        let code = self.words.get(pc as usize..)?;
        Some((code.first()?, code))
    }

    /// The registers of a frame.
    #[inline(always)]
    pub(super) fn window(&self, base: usize) -> Option<Regs<'a>> {
        self.stack.get(base..)?.first_chunk()
    }

    /// The slots of a global of the instance.
    #[inline(always)]
    pub(super) fn global(&mut self, global: u32) -> &mut [u64; 2] {
        &mut self.globals[self.instance.globals[global as usize] as usize].slot
    }

    /// The number of the first instruction of `code`.
    #[inline(always)]
    pub(super) fn pc(&self, code: Code<'a>) -> usize {
        self.words.len() - code.len()
    }

    /// Leaves the routines because fuel is used up, to go on at `pc`.
    #[cold]
    #[inline(never)]
    pub(super) fn preempt(&mut self, pc: Pc) {
        self.pc = pc;
        self.action = Action::Preempted;
    }

    /// Leaves the routines for what the instruction asks for.
    #[inline(never)]
    pub(super) fn leave(&mut self, code: Code<'a>, action: Action) {
        self.pc = self.pc(code) as Pc;
        self.action = action;
    }

    /// Leaves the routines because of the instruction's trap.
    #[cold]
    #[inline(never)]
    pub(super) fn trap(&mut self, code: Code<'a>, trap: Trap) {
        self.leave(code, Action::Trap(trap));
    }

    /// Leaves the routines because there is no instruction, function or frame where the code says that there is. Only who
    /// called them panics: a routine that could would have to prepare for it.
    #[cold]
    #[inline(never)]
    pub(super) fn stray(&mut self) {
        self.action = Action::Stray;
    }
}

#[cfg(test)]
mod tests {
    use crate::{Engine, Limits, Linker, Module, Store, Value};
    use std::thread;

    /// A loop of a million rounds over what routines end in: the next one, a jump taken and not, a payment, calls of all sorts
    /// and returns, globals, memory, vectors, a function of the interpreter's own.
    const LONG: &str = r#"(module
        (memory 1) (table funcref (elem $callee)) (global $g (mut i32) (i32.const 1)) (type $t (func (param i32) (result i32)))
        (func $callee (type $t) (i32.mul (local.get 0) (i32.const 3)))
        (func $tail (type $t) (return_call $callee (local.get 0)))
        (func $tail_indirect (type $t) (return_call_indirect (type $t) (local.get 0) (i32.const 0)))
        (func (export "f") (param $n i32) (result i32) (local $x i32) (local $v v128) (local $d f64)
          (loop $l
            (block $a (block $b (br_table $a $b (i32.and (local.get $n) (i32.const 1)))))
            (if (i32.and (local.get $n) (i32.const 2)) (then (local.set $x (i32.div_u (local.get $x) (i32.const 7)))))
            (local.set $x (i32.add (local.get $x) (call $callee (local.get $n))))
            (local.set $x (i32.xor (local.get $x) (call $tail (local.get $n))))
            (local.set $x (i32.add (local.get $x) (call $tail_indirect (local.get $n))))
            (local.set $x (i32.add (local.get $x) (call_indirect (type $t) (local.get $n) (i32.const 0))))
            (global.set $g (i32.add (global.get $g) (local.get $x)))
            (i32.store (i32.const 8) (i32.load (i32.const 4)))
            (f64.store (i32.const 16) (f64.sqrt (f64.load (i32.const 16))))
            (local.set $v (i8x16.swizzle (local.get $v) (i32x4.splat (local.get $x))))
            (local.set $v (i8x16.shuffle 3 2 1 0 7 6 5 4 8 9 10 11 12 13 14 15 (local.get $v) (local.get $v)))
            (v128.store (i32.const 32) (f64x2.mul (local.get $v) (local.get $v)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
          (i32.add (global.get $g) (local.get $x))))"#;

    #[test]
    #[cfg_attr(miri, ignore = "Miri would take minutes for so much code")]
    fn the_host_stack_does_not_grow_with_what_runs() {
        let run = || {
            let engine = Engine::default();
            let module = Module::new(&engine, &wat::parse_str(LONG).expect("wat")).expect("module");
            let mut store = Store::new(&engine, &Limits::default(), ());
            let instance = Linker::new(&engine)
                .instantiate(&mut store, &module)
                .expect("instance");
            let f = instance.func(&store, "f").expect("export");
            f.call(&mut store, &[Value::I32(100_000)]).expect("a result")
        };
        let on_little_stack = thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(run)
            .expect("a thread");
        assert_eq!(on_little_stack.join().expect("no panic").len(), 1);
    }
}
