//! The dispatch loop: one `match` over the instructions of one instance.
//!
//! Two facts make it quick without any unchecked access. The frame is a `&mut [u64; 65536]` and a register is a `u16`,
//! so no register access has a bounds check. And the arms of the numeric operators call `eval` on a constant operator, so
//! that the compiler folds the operator table into straight code.
//!
//! Fuel. A jump backwards costs the number of instructions that it jumps over; forwards, each [`STRETCH`] of instructions is
//! paid for before it runs, the first by the call. When fuel is used up the loop is left with everything in its place.

use super::access::{Others, load, load_lane, load_vector, read, store, store_lane, write};
use super::code::STRETCH;
use super::inst::{Inst, Pc, Reg};
use super::machine::{Frame, Machine};
use super::stack::WINDOW;
use crate::operator::{BinaryOp, CompareOp, Libcall, Slot, UnaryOp, for_each_operator, shuffle};
use crate::store::{FuncEntity, StoreInner};
use crate::trap::Trap;

/// What has to be done outside of the loop. `pc` still points at the instruction that asks for it, except after
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
}

/// The vector whose low half is in register `reg`. Frames end below the window's end, so that the wrap never happens: it
/// only spares a bounds check.
#[inline(always)]
fn vector(regs: &[u64; WINDOW], reg: Reg) -> u128 {
    let (low, high) = (regs[usize::from(reg)], regs[usize::from(reg.wrapping_add(1))]);
    u128::from(low) | u128::from(high) << 64
}

#[inline(always)]
fn set_vector(regs: &mut [u64; WINDOW], reg: Reg, value: u128) {
    regs[usize::from(reg)] = value as u64;
    regs[usize::from(reg.wrapping_add(1))] = (value >> 64) as u64;
}

macro_rules! define_dispatch {
    (
        unary { $($un:ident ($ua:ident: $uat:ty) -> $ur:ty { $ue:expr })* }
        binary { $($bin:ident $bin_imm:ident ($ba:ident: $bat:ty, $bb:ident: $bbt:ty) -> $br:ty { $be:expr })* }
        compare { $($cmp:ident $cmp_imm:ident $cmp_br:ident $cmp_br_imm:ident
                    ($ca:ident: $cat:ty, $cb:ident: $cbt:ty) -> bool { $ce:expr })* }
        load { $($load:ident ($lm:ty) -> $lv:ty)* }
        store { $($store:ident ($sm:ty))* }
    ) => {
        /// Runs the machine's current instance until an [`Action`] is due.
        #[expect(clippy::too_many_lines, reason = "one arm per instruction, in one function, is what a dispatch loop is")]
        pub(super) fn run(store_inner: &mut StoreInner, machine: &mut Machine) -> Action {
            let StoreInner { instances, memories, globals, tables, funcs, .. } = store_inner;
            let current = machine.instance;
            let instance = &instances[current as usize];
            let code = instance.module.code();
            let insts: &[Inst] = &code.insts;
            let (memory, mut others) = Others::split(memories, instance);
            let mut pc = machine.pc as usize;
            let mut base = machine.base;
            let mut fuel = machine.fuel;

            // Leaves the loop with the machine's state written back.
            macro_rules! leave {
                ($action:expr) => {{
                    machine.pc = pc as Pc;
                    machine.base = base;
                    machine.fuel = fuel;
                    return $action;
                }};
            }
            macro_rules! trap {
                ($trap:expr) => {
                    leave!(Action::Trap($trap))
                };
            }
            // Jumps; a jump backwards pays for what it will run again.
            macro_rules! jump {
                ($target:expr) => {{
                    let target = $target as usize;
                    if target <= pc {
                        fuel -= (pc - target + 1) as i64;
                        if fuel < 0 {
                            pc = target;
                            leave!(Action::Preempted);
                        }
                    }
                    pc = target;
                    continue;
                }};
            }

            'frame: loop {
                let regs: &mut [u64; WINDOW] = (&mut machine.stack[base..base + WINDOW])
                    .try_into()
                    .expect("the window has its length");
                // A callee of this module, as `Call` and `CallIndirect` enter it.
                macro_rules! enter {
                    ($callee_base:expr, $func:expr) => {{
                        let callee = &code.funcs[$func as usize];
                        let callee_base: u16 = $callee_base;
                        let new_base = base + usize::from(callee_base);
                        if new_base + usize::from(callee.frame) > machine.limit
                            || machine.frames.len() >= machine.max_depth
                        {
                            trap!(Trap::StackExhausted);
                        }
                        machine.frames.push(Frame { pc: pc as Pc + 1, instance: current, base });
                        let first = usize::from(callee_base) + usize::from(callee.params);
                        let last = usize::from(callee_base) + usize::from(callee.locals);
                        // The callee's locals may reach past this window, so they are cleared through the stack.
                        if first < last {
                            machine.stack[base + first..base + last].fill(0);
                        }
                        base = new_base;
                        pc = callee.entry as usize;
                        fuel -= callee.call_cost();
                        if fuel < 0 {
                            leave!(Action::Preempted);
                        }
                        continue 'frame;
                    }};
                }
                // The same in the place of the running function, whose frame and caller it takes over.
                macro_rules! replace {
                    ($callee_base:expr, $func:expr) => {{
                        let callee = &code.funcs[$func as usize];
                        if base + usize::from(callee.frame) > machine.limit {
                            trap!(Trap::StackExhausted);
                        }
                        let first = usize::from($callee_base);
                        let (params, locals) = (usize::from(callee.params), usize::from(callee.locals));
                        regs.copy_within(first..first + params, 0);
                        regs[params..locals].fill(0);
                        pc = callee.entry as usize;
                        fuel -= callee.call_cost();
                        if fuel < 0 {
                            leave!(Action::Preempted);
                        }
                        continue;
                    }};
                }
                // The function that an element of a table refers to, if it is of the type.
                macro_rules! element {
                    ($table:expr, $index:expr, $ty:expr) => {{
                        let table = &tables[instance.tables[$table as usize] as usize];
                        let index = regs[usize::from($index)];
                        let Some(reference) = table.get(index) else {
                            trap!(Trap::UndefinedElement)
                        };
                        let Some(func) = reference.checked_sub(1) else {
                            trap!(Trap::UninitializedElement)
                        };
                        let entity = funcs[func as usize];
                        if entity.signature() != instance.module.signature($ty) {
                            trap!(Trap::IndirectCallTypeMismatch)
                        }
                        (func as u32, entity)
                    }};
                }
                // A memory access that may be out of bounds.
                macro_rules! in_bounds {
                    ($access:expr) => {
                        match $access {
                            Some(value) => value,
                            None => trap!(Trap::MemoryOutOfBounds),
                        }
                    };
                }
                macro_rules! leave_frame {
                    () => {{
                        let caller = machine.frames.pop().expect("a returning function has its frame");
                        base = caller.base;
                        pc = caller.pc as usize;
                        if caller.pc == Frame::ENTRY {
                            leave!(Action::Finished);
                        }
                        if caller.instance != current {
                            machine.instance = caller.instance;
                            leave!(Action::SwitchInstance);
                        }
                        continue 'frame;
                    }};
                }

                loop {
                    match insts[pc] {
                        Inst::Unreachable => trap!(Trap::Unreachable),
                        Inst::Const { dst, value } => regs[usize::from(dst)] = value,
                        Inst::Copy { dst, src } => regs[usize::from(dst)] = regs[usize::from(src)],
                        Inst::Select { dst, cond, a, b } => {
                            let chosen = if regs[usize::from(cond)] != 0 { a } else { b };
                            regs[usize::from(dst)] = regs[usize::from(chosen)];
                        }
                        Inst::GlobalGet { dst, global } => {
                            regs[usize::from(dst)] = globals[instance.globals[global as usize] as usize].slot[0];
                        }
                        Inst::GlobalSet { src, global } => {
                            globals[instance.globals[global as usize] as usize].slot[0] = regs[usize::from(src)];
                        }
                        Inst::Pay => {
                            fuel -= i64::from(STRETCH);
                            if fuel < 0 {
                                pc += 1;
                                leave!(Action::Preempted);
                            }
                        }
                        Inst::Br { target } => jump!(target),
                        Inst::BrIf { cond, target } => {
                            if regs[usize::from(cond)] != 0 {
                                jump!(target);
                            }
                        }
                        Inst::BrIfNot { cond, target } => {
                            if regs[usize::from(cond)] == 0 {
                                jump!(target);
                            }
                        }
                        Inst::BrTable { index, last } => {
                            // The entry is a `Br`, which pays where it leads backwards.
                            let index = regs[usize::from(index)].min(u64::from(last));
                            pc += 1 + index as usize;
                            continue;
                        }
                        Inst::Return => leave_frame!(),
                        Inst::ReturnOne { src } => {
                            regs[0] = regs[usize::from(src)];
                            leave_frame!();
                        }
                        Inst::ReturnMany { first, count } => {
                            let first = usize::from(first);
                            regs.copy_within(first..first + usize::from(count), 0);
                            leave_frame!();
                        }
                        Inst::Call { base: callee_base, func } => enter!(callee_base, func),
                        Inst::CallImport { base: callee_base, func } => {
                            let func = instance.funcs[func as usize];
                            leave!(Action::Call { func, base: base + usize::from(callee_base) });
                        }
                        Inst::CallIndirect { base: callee_base, index, table, ty } => {
                            let (func, entity) = element!(table, index, ty);
                            match entity {
                                FuncEntity::Wasm { instance, func, .. } if instance == current => {
                                    enter!(callee_base, func)
                                }
                                _ => leave!(Action::Call { func, base: base + usize::from(callee_base) }),
                            }
                        }
                        Inst::ReturnCall { base: callee_base, func } => replace!(callee_base, func),
                        Inst::ReturnCallImport { base: callee_base, func } => {
                            let func = instance.funcs[func as usize];
                            leave!(Action::TailCall { func, base: base + usize::from(callee_base) });
                        }
                        Inst::ReturnCallIndirect { base: callee_base, index, table, ty } => {
                            let (func, entity) = element!(table, index, ty);
                            match entity {
                                FuncEntity::Wasm { instance, func, .. } if instance == current => {
                                    replace!(callee_base, func)
                                }
                                _ => leave!(Action::TailCall { func, base: base + usize::from(callee_base) }),
                            }
                        }
                        Inst::Throw { base: first, tag } => {
                            leave!(Action::Throw { tag, base: base + usize::from(first) })
                        }
                        Inst::ThrowRef { src } => {
                            leave!(Action::ThrowRef { reference: regs[usize::from(src)] })
                        }
                        Inst::Libcall { base: first, call, a, b } => {
                            leave!(Action::Libcall { base: base + usize::from(first), call, a, b })
                        }

                        Inst::VectorConst { dst, index } => set_vector(regs, dst, code.vectors[index as usize]),
                        Inst::VectorCopy { dst, src } => set_vector(regs, dst, vector(regs, src)),
                        Inst::VectorSelect { dst, cond, a, b } => {
                            let chosen = if regs[usize::from(cond)] != 0 { a } else { b };
                            set_vector(regs, dst, vector(regs, chosen));
                        }
                        Inst::VectorGlobalGet { dst, global } => {
                            let [low, high] = globals[instance.globals[global as usize] as usize].slot;
                            set_vector(regs, dst, u128::from(low) | u128::from(high) << 64);
                        }
                        Inst::VectorGlobalSet { src, global } => {
                            let value = vector(regs, src);
                            globals[instance.globals[global as usize] as usize].slot = [value as u64, (value >> 64) as u64];
                        }
                        Inst::VectorUnary { op, dst, a } => set_vector(regs, dst, op.eval(vector(regs, a))),
                        Inst::VectorBinary { op, dst, a, b } => {
                            set_vector(regs, dst, op.eval(vector(regs, a), vector(regs, b)));
                        }
                        Inst::VectorTernary { op, dst, a, b, c } => {
                            set_vector(regs, dst, op.eval(vector(regs, a), vector(regs, b), vector(regs, c)));
                        }
                        Inst::VectorShift { op, dst, a, count } => {
                            set_vector(regs, dst, op.eval(vector(regs, a), regs[usize::from(count)] as u32));
                        }
                        Inst::VectorTest { op, dst, a } => {
                            regs[usize::from(dst)] = u64::from(op.eval(vector(regs, a)));
                        }
                        Inst::Splat { op, dst, a } => set_vector(regs, dst, op.eval(regs[usize::from(a)])),
                        Inst::ExtractLane { op, lane, dst, a } => {
                            regs[usize::from(dst)] = op.eval(vector(regs, a), lane);
                        }
                        Inst::ReplaceLane { op, lane, dst, a, b } => {
                            set_vector(regs, dst, op.eval(vector(regs, a), regs[usize::from(b)], lane));
                        }
                        Inst::Shuffle { dst, a, b, lanes } => {
                            let lanes = code.vectors[lanes as usize].to_le_bytes();
                            set_vector(regs, dst, shuffle(lanes, vector(regs, a), vector(regs, b)));
                        }
                        Inst::VectorLoad { op, memory: number, dst, addr, offset } => {
                            let memory = others.get(memory, instance, number);
                            let loaded = load_vector(memory, regs[usize::from(addr)], offset, op);
                            set_vector(regs, dst, in_bounds!(loaded));
                        }
                        Inst::VectorStore { memory: number, addr, src, offset } => {
                            let memory = others.get(memory, instance, number);
                            in_bounds!(write(memory, regs[usize::from(addr)], offset, vector(regs, src), 16));
                        }
                        Inst::LoadLane { at, memory: number, dst, addr, offset } => {
                            let memory = others.get(memory, instance, number);
                            let behind = vector(regs, dst.wrapping_add(1));
                            let loaded = load_lane(memory, regs[usize::from(addr)], offset, at, behind);
                            set_vector(regs, dst, in_bounds!(loaded));
                        }
                        Inst::StoreLane { at, memory: number, addr, src, offset } => {
                            let memory = others.get(memory, instance, number);
                            in_bounds!(store_lane(memory, regs[usize::from(addr)], offset, at, vector(regs, src)));
                        }
                        Inst::LoadFrom { op, memory: number, dst, addr, offset } => {
                            let memory = others.get(memory, instance, number);
                            let bits = in_bounds!(read(memory, regs[usize::from(addr)], offset, op.width()));
                            regs[usize::from(dst)] = op.eval(bits as u64);
                        }
                        Inst::StoreTo { op, memory: number, addr, src, offset } => {
                            let memory = others.get(memory, instance, number);
                            let bits = u128::from(regs[usize::from(src)]);
                            in_bounds!(write(memory, regs[usize::from(addr)], offset, bits, op.width()));
                        }

                        $(Inst::$un { dst, a } => match UnaryOp::$un.eval(regs[usize::from(a)]) {
                            Ok(value) => regs[usize::from(dst)] = value,
                            Err(trap) => trap!(trap),
                        },)*
                        $(Inst::$bin { dst, a, b } => {
                            match BinaryOp::$bin.eval(regs[usize::from(a)], regs[usize::from(b)]) {
                                Ok(value) => regs[usize::from(dst)] = value,
                                Err(trap) => trap!(trap),
                            }
                        }
                        Inst::$bin_imm { dst, a, b } => match BinaryOp::$bin.eval(regs[usize::from(a)], b) {
                            Ok(value) => regs[usize::from(dst)] = value,
                            Err(trap) => trap!(trap),
                        },)*
                        $(Inst::$cmp { dst, a, b } => {
                            let holds = CompareOp::$cmp.eval(regs[usize::from(a)], regs[usize::from(b)]);
                            regs[usize::from(dst)] = u64::from(holds);
                        }
                        Inst::$cmp_imm { dst, a, b } => {
                            regs[usize::from(dst)] = u64::from(CompareOp::$cmp.eval(regs[usize::from(a)], b));
                        }
                        Inst::$cmp_br { a, b, target } => {
                            if CompareOp::$cmp.eval(regs[usize::from(a)], regs[usize::from(b)]) {
                                jump!(target);
                            }
                        }
                        Inst::$cmp_br_imm { a, target, b } => {
                            if CompareOp::$cmp.eval(regs[usize::from(a)], b) {
                                jump!(target);
                            }
                        })*
                        $(Inst::$load { dst, addr, offset } => {
                            let Some(bytes) = load(memory, regs[usize::from(addr)], offset) else {
                                trap!(Trap::MemoryOutOfBounds)
                            };
                            regs[usize::from(dst)] = <$lv>::from(<$lm>::from_le_bytes(bytes)).into_slot();
                        })*
                        $(Inst::$store { addr, src, offset } => {
                            // Keeping the low bytes is the meaning of a narrow store.
                            let bytes = (regs[usize::from(src)] as $sm).to_le_bytes();
                            if store(memory, regs[usize::from(addr)], offset, bytes).is_none() {
                                trap!(Trap::MemoryOutOfBounds);
                            }
                        })*
                    }
                    pc += 1;
                }
            }
        }
    };
}
for_each_operator!(define_dispatch);
