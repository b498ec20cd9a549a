//! The routines of calls and returns: frames that open over their arguments, and close over their results.

#![expect(non_snake_case, reason = "a routine has its instruction's name")]

use super::code::FunctionCode;
use super::dispatch::{Action, Code, Context, Regs, dispatch};
use super::inst::{Pc, Reg, operands};
use super::machine::Frame;
use super::routines::routine;
use super::stack::WINDOW;
use crate::store::FuncEntity;
use crate::trap::Trap;

routine! { Call { base, func } |code, _regs, memory, context| { enter(base, func, code, memory, context); } }

routine! { CallImport { base, func } |code, _regs, _memory, context| {
    let func = context.instance.funcs[func as usize];
    let base = context.base + usize::from(base);
    context.leave(code, Action::Call { func, base });
} }

routine! { CallIndirect { base, index, table, ty } |code, regs, memory, context| {
    match context.element(table, regs[usize::from(index)].get(), ty) {
        Ok((_, FuncEntity::Wasm { instance, func, .. })) if instance == context.current => {
            enter(base, func, code, memory, context);
        }
        Ok((func, _)) => {
            let base = context.base + usize::from(base);
            context.leave(code, Action::Call { func, base });
        }
        Err(trap) => context.trap(code, trap),
    }
} }

routine! { ReturnCall { base, func } |code, regs, memory, context| { replace(base, func, code, regs, memory, context); } }

routine! { ReturnCallImport { base, func } |code, _regs, _memory, context| {
    let func = context.instance.funcs[func as usize];
    let base = context.base + usize::from(base);
    context.leave(code, Action::TailCall { func, base });
} }

routine! { ReturnCallIndirect { base, index, table, ty } |code, regs, memory, context| {
    match context.element(table, regs[usize::from(index)].get(), ty) {
        Ok((_, FuncEntity::Wasm { instance, func, .. })) if instance == context.current => {
            replace(base, func, code, regs, memory, context);
        }
        Ok((func, _)) => {
            let base = context.base + usize::from(base);
            context.leave(code, Action::TailCall { func, base });
        }
        Err(trap) => context.trap(code, trap),
    }
} }

routine! { Return {} |_code, _regs, memory, context| { leave_frame(memory, context); } }

routine! { ReturnOne { src } |_code, regs, memory, context| {
    regs[0].set(regs[usize::from(src)].get());
    leave_frame(memory, context);
} }

routine! { ReturnMany { first, count } |_code, regs, memory, context| {
    move_down(regs, usize::from(first), usize::from(count));
    leave_frame(memory, context);
} }

/// Copies `count` registers from `first` on to the frame's start.
fn move_down(regs: Regs<'_>, first: usize, count: usize) {
    for (to, from) in regs.iter().zip(&regs[first..first + count]) {
        to.set(from.get());
    }
}

/// Goes on in a function of the same module, whose frame begins at `base`.
#[inline(always)]
fn enter<'a>(base: Reg, func: u32, code: Code<'a>, memory: &mut [u8], context: &mut Context<'a>) {
    let Some(callee) = context.code.funcs.get(func as usize) else {
        return context.stray();
    };
    let base = context.base + usize::from(base);
    let Some(regs) = context.frame(base, callee) else {
        return context.trap(code, Trap::StackExhausted);
    };
    if context.frames.len() >= context.max_depth {
        return context.trap(code, Trap::StackExhausted);
    }
    if context.frames.len() == context.frames.capacity() {
        return grow(code, memory, context);
    }
    let pc = context.pc(code) as Pc + 1;
    context.frames.push(Frame {
        pc,
        instance: context.current,
        base: context.base,
    });
    context.base = base;
    begin(callee, regs, memory, context);
}

/// Makes room for more callers, and calls then.
#[cold]
#[inline(never)]
fn grow<'a>(code: Code<'a>, memory: &mut [u8], context: &mut Context<'a>) {
    context.frames.reserve(1);
    match context.window(context.base) {
        Some(regs) => dispatch(code, regs, memory, context),
        None => context.stray(),
    }
}

/// The same in the place of the running function, whose frame and caller it takes over.
#[inline(always)]
fn replace<'a>(
    base: Reg,
    func: u32,
    code: Code<'a>,
    regs: Regs<'a>,
    memory: &mut [u8],
    context: &mut Context<'a>,
) {
    let Some(callee) = context.code.funcs.get(func as usize) else {
        return context.stray();
    };
    if context.frame(context.base, callee).is_none() {
        return context.trap(code, Trap::StackExhausted);
    }
    move_down(regs, usize::from(base), usize::from(callee.params));
    begin(callee, regs, memory, context);
}

/// Begins a function whose parameters are in their places. A few locals are cleared four by four: what follows them is
/// written before it is read.
#[inline(always)]
fn begin<'a>(callee: &FunctionCode, regs: Regs<'a>, memory: &mut [u8], context: &mut Context<'a>) {
    let first = usize::from(callee.params);
    let cleared = match callee.cleared() {
        0 => true,
        1..=4 => clear::<4>(regs, first),
        5..=8 => clear::<8>(regs, first),
        _ => false,
    };
    if cleared {
        pay(callee, regs, memory, context);
    } else {
        begin_large(callee, regs, memory, context);
    }
}

/// Zeroes `COUNT` registers from `first` on; not those that a window ends before.
#[inline(always)]
fn clear<const COUNT: usize>(regs: Regs<'_>, first: usize) -> bool {
    let Some(slots) = regs[first..].first_chunk::<COUNT>() else {
        return false;
    };
    for slot in slots {
        slot.set(0);
    }
    true
}

/// The same for any number of locals.
#[inline(never)]
fn begin_large<'a>(callee: &FunctionCode, regs: Regs<'a>, memory: &mut [u8], context: &mut Context<'a>) {
    for slot in &regs[usize::from(callee.params)..usize::from(callee.locals)] {
        slot.set(0);
    }
    pay(callee, regs, memory, context);
}

/// Pays for a function's beginning.
#[inline(always)]
fn pay<'a>(callee: &FunctionCode, regs: Regs<'a>, memory: &mut [u8], context: &mut Context<'a>) {
    context.fuel -= callee.call_cost();
    if context.fuel < 0 {
        return context.preempt(callee.entry);
    }
    match context.code_at(callee.entry) {
        Some((next, code)) => (next.routine)(code, regs, memory, context),
        None => context.stray(),
    }
}

/// Goes on in the caller.
#[inline(always)]
fn leave_frame<'a>(memory: &mut [u8], context: &mut Context<'a>) {
    let Some(caller) = context.frames.pop() else {
        return context.stray();
    };
    context.base = caller.base;
    if caller.pc == Frame::ENTRY || caller.instance != context.current {
        return leave_instance(caller, context);
    }
    match (context.code_at(caller.pc), context.window(caller.base)) {
        (Some((next, code)), Some(regs)) => (next.routine)(code, regs, memory, context),
        _ => context.stray(),
    }
}

/// Leaves for the embedder or for another instance.
#[inline(never)]
fn leave_instance(caller: Frame, context: &mut Context<'_>) {
    context.pc = caller.pc;
    context.action = if caller.pc == Frame::ENTRY {
        Action::Finished
    } else {
        context.current = caller.instance;
        Action::SwitchInstance
    };
}

impl<'a> Context<'a> {
    /// The registers of a frame at `base`, if it fits.
    #[inline(always)]
    fn frame(&self, base: usize, callee: &FunctionCode) -> Option<Regs<'a>> {
        let above = self.stack.get(base..)?;
        let fits = above.len() >= WINDOW + usize::from(callee.frame);
        above.first_chunk().filter(|_| fits)
    }
}

impl Context<'_> {
    /// The function that an element of a table refers to, if it is of the type; its number in the store too.
    #[inline(always)]
    fn element(&self, table: u32, index: u64, ty: u32) -> Result<(u32, FuncEntity), Trap> {
        let table = &self.tables[self.instance.tables[table as usize] as usize];
        let reference = table.get(index).ok_or(Trap::UndefinedElement)?;
        let func = reference.checked_sub(1).ok_or(Trap::UninitializedElement)?;
        let entity = self.funcs[func as usize];
        if entity.signature() != self.instance.module.signature(ty) {
            return Err(Trap::IndirectCallTypeMismatch);
        }
        Ok((func as u32, entity))
    }
}
