//! The dispatch loop: one `match` over the instructions of one instance.
//!
//! Three facts make it quick without any unchecked access. The frame is a `&mut [u64; 65537]` and a register is a `u16`,
//! so no register access has a bounds check. And the arms of the numeric operators call `eval` on a constant operator, and
//! those of vector operators the function of that name, so that the compiler folds the operator tables into straight
//! code. And what the loop holds in local variables is little: where it is, its registers and memory 0. Fuel and the frame's
//! base stay in the machine, because one variable more costs a move to and from the stack in every arm; whatever needs
//! many registers is a call (`wide.rs`, and the vector operators that are `far`).
//!
//! Fuel. A jump backwards costs the number of instructions that it jumps over; forwards, each [`STRETCH`] of instructions is
//! paid for before it runs, the first by the call. When fuel is used up the loop is left with everything in its place.

use super::access::{Others, load, store};
use super::code::STRETCH;
use super::fusion::{for_each_instruction, wrapped};
use super::inst::{Inst, Pc};
use super::machine::{Frame, Machine};
use super::stack::{WINDOW, clear};
use super::vectors::{halves, halves_mut, vector, vector_mut, widened};
use super::wide::step;
use crate::operator::{
    BinaryOp, CompareOp, Libcall, Slot, UnaryOp, VectorLoadOp, binary, extract, load as vector_load, replace,
    shift, splat, ternary, test, unary,
};
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

macro_rules! define_dispatch {
    (
        before { $($bef:ident $bef_imm:ident: $bef_in:ident $bef_in_imm:ident, $bef_out:ident;)* }
        behind { $($beh:ident $beh_imm:ident: $beh_in:ident $beh_in_imm:ident, $beh_out:ident;)* }
        from_unary { $($fru:ident: $fru_in:ident, $fru_out:ident;)* }
        outside { $($outs:ident: $outs_in:ident, $outs_out:ident;)* }
        loaded { $($lop:ident ($lopm:ty) -> $lopv:ty: $lop_out:ident, $lop_load:ident;)* }
        element { $($lidx:ident $lscl:ident $labs:ident ($lxm:ty) -> $lxv:ty: $($lx_load:ident)*;)* }
        target { $($sidx:ident $sscl:ident $sabs:ident $simm:ident ($sxm:ty): $($sx_store:ident)*;)* }
        stored { $($sop:ident ($sopm:ty): $sop_in:ident, $sop_store:ident;)* }
        chosen { $($cho:ident: $cho_cmp:ident;)* }
        unless { $($unl:ident $unl_imm:ident: $unl_cmp:ident $unl_cmp_imm:ident;)* }
        step { $($step:ident $step_imm:ident $step_reg:ident: $step_add:ident $step_add_imm:ident, $step_cmp:ident,
                 $step_br:ident $step_br_imm:ident;)* }
        vector_before { $($vbef:ident: $vbef_in:ident, $vbef_out:ident;)* }
        vector_behind { $($vbeh:ident: $vbeh_in:ident, $vbeh_out:ident;)* }
        vector_loaded { $($vlop:ident: $vlop_out:ident;)* }
        vector_stored { $($vsop:ident: $vsop_in:ident;)* }
        vectors {
            unary { $($vun:ident)* } binary { $($vbin:ident)* } ternary { $($vter:ident)* }
            shift { $($vsh:ident $vsh_imm:ident)* } test { $($vtest:ident)* } splat { $($vsplat:ident)* }
            extract { $($vext:ident)* } replace { $($vrep:ident)* } load { $($vload:ident)* }
        }
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
            let mut next = insts[machine.pc as usize..].iter();

            // The running instruction's number; `next` has gone past it.
            macro_rules! pc {
                () => {
                    insts.len() - next.len() - 1
                };
            }
            // Goes on at an instruction.
            macro_rules! go {
                ($target:expr) => {
                    next = insts[$target as usize..].iter()
                };
            }
            // Leaves the loop with the machine's state written back.
            macro_rules! leave {
                ($action:expr) => {
                    leave!($action, pc!())
                };
                ($action:expr, $pc:expr) => {{
                    machine.pc = $pc as Pc;
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
                    let (target, after) = ($target as usize, insts.len() - next.len());
                    if target < after {
                        machine.fuel -= (after - target) as i64;
                        if machine.fuel < 0 {
                            leave!(Action::Preempted, target);
                        }
                    }
                    go!(target);
                    continue;
                }};
            }

            'frame: loop {
                let base = machine.base;
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
                        machine.frames.push(Frame { pc: (insts.len() - next.len()) as Pc, instance: current, base });
                        let first = usize::from(callee_base) + usize::from(callee.params);
                        let last = usize::from(callee_base) + usize::from(callee.locals);
                        // The callee's locals may reach past this window, so they are cleared through the stack.
                        clear(&mut machine.stack[base + first..], last.saturating_sub(first));
                        machine.base = new_base;
                        machine.fuel -= callee.call_cost();
                        if machine.fuel < 0 {
                            leave!(Action::Preempted, callee.entry);
                        }
                        go!(callee.entry);
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
                        machine.fuel -= callee.call_cost();
                        if machine.fuel < 0 {
                            leave!(Action::Preempted, callee.entry);
                        }
                        go!(callee.entry);
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
                // What an operator evaluates to.
                macro_rules! value {
                    ($result:expr) => {
                        match $result {
                            Ok(value) => value,
                            Err(trap) => trap!(trap),
                        }
                    };
                }
                macro_rules! leave_frame {
                    () => {{
                        let caller = machine.frames.pop().expect("a returning function has its frame");
                        machine.base = caller.base;
                        if caller.pc == Frame::ENTRY {
                            leave!(Action::Finished, caller.pc);
                        }
                        if caller.instance != current {
                            machine.instance = caller.instance;
                            leave!(Action::SwitchInstance, caller.pc);
                        }
                        go!(caller.pc);
                        continue 'frame;
                    }};
                }

                loop {
                    let inst = next.next().expect("code ends in a jump, a return or a trap");
                    match *inst {
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
                            machine.fuel -= i64::from(STRETCH);
                            if machine.fuel < 0 {
                                leave!(Action::Preempted, insts.len() - next.len());
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
                            go!(pc!() + 1 + index as usize);
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

                        Inst::VectorConst { dst, index } => {
                            *vector_mut(regs, dst) = code.vectors[index as usize].to_le_bytes();
                        }
                        Inst::VectorCopy { dst, src } => *vector_mut(regs, dst) = *vector(regs, src),
                        Inst::VectorSelect { dst, cond, a, b } => {
                            let chosen = if regs[usize::from(cond)] != 0 { a } else { b };
                            *vector_mut(regs, dst) = *vector(regs, chosen);
                        }
                        Inst::VectorGlobalGet { dst, global } => {
                            let halves = globals[instance.globals[global as usize] as usize].slot;
                            *halves_mut(regs, dst) = halves;
                        }
                        Inst::VectorGlobalSet { src, global } => {
                            globals[instance.globals[global as usize] as usize].slot = *halves(regs, src);
                        }
                        Inst::VectorStore { addr, src, plus, offset } => {
                            let address = wrapped(regs[usize::from(addr)], plus);
                            in_bounds!(store(memory, address, offset, *vector(regs, src)));
                        }
                        Inst::Shuffle { .. }
                        | Inst::VectorLoadFrom { .. }
                        | Inst::VectorStoreTo { .. }
                        | Inst::LoadLane { .. }
                        | Inst::StoreLane { .. }
                        | Inst::LoadFrom { .. }
                        | Inst::StoreTo { .. } => {
                            in_bounds!(step(inst, regs, memory, &mut others, instance, &code.vectors));
                        }

                        $(Inst::$vun { dst, a } => *vector_mut(regs, dst) = unary::$vun(vector(regs, a)),)*
                        $(Inst::$vbin { dst, a, b } => {
                            *vector_mut(regs, dst) = binary::$vbin(vector(regs, a), vector(regs, b));
                        })*
                        $(Inst::$vter { dst, a, b, c } => {
                            *vector_mut(regs, dst) = ternary::$vter(vector(regs, a), vector(regs, b), vector(regs, c));
                        })*
                        $(Inst::$vsh { dst, a, count } => {
                            *vector_mut(regs, dst) = shift::$vsh(vector(regs, a), regs[usize::from(count)] as u32);
                        }
                        Inst::$vsh_imm { dst, a, count } => *vector_mut(regs, dst) = shift::$vsh(vector(regs, a), count),)*
                        $(Inst::$vtest { dst, a } => {
                            regs[usize::from(dst)] = u64::from(test::$vtest(vector(regs, a)));
                        })*
                        $(Inst::$vsplat { dst, a } => *vector_mut(regs, dst) = splat::$vsplat(regs[usize::from(a)]),)*
                        $(Inst::$vext { lane, dst, a } => {
                            regs[usize::from(dst)] = extract::$vext(vector(regs, a), lane);
                        })*
                        $(Inst::$vrep { lane, dst, a, b } => {
                            *vector_mut(regs, dst) = replace::$vrep(vector(regs, a), regs[usize::from(b)], lane);
                        })*
                        $(Inst::$vload { dst, addr, plus, offset } => {
                            const WIDTH: usize = VectorLoadOp::$vload.width() as usize;
                            let address = wrapped(regs[usize::from(addr)], plus);
                            let bytes: [u8; WIDTH] = in_bounds!(load(memory, address, offset));
                            *vector_mut(regs, dst) = vector_load::$vload(&widened(bytes));
                        })*

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
                        $(Inst::$load { dst, addr, plus, offset } => {
                            let address = wrapped(regs[usize::from(addr)], plus);
                            let bytes = in_bounds!(load(memory, address, offset));
                            regs[usize::from(dst)] = <$lv>::from(<$lm>::from_le_bytes(bytes)).into_slot();
                        })*
                        // Keeping the low bytes is the meaning of a narrow store.
                        $(Inst::$store { addr, src, plus, offset } => {
                            let bytes = (regs[usize::from(src)] as $sm).to_le_bytes();
                            let address = wrapped(regs[usize::from(addr)], plus);
                            in_bounds!(store(memory, address, offset, bytes));
                        })*

                        $(Inst::$bef { dst, a, b, c } => {
                            let inner = value!(BinaryOp::$bef_in.eval(regs[usize::from(a)], regs[usize::from(b)]));
                            regs[usize::from(dst)] = value!(BinaryOp::$bef_out.eval(inner, regs[usize::from(c)]));
                        }
                        Inst::$bef_imm { dst, a, c, b } => {
                            let inner = value!(BinaryOp::$bef_in.eval(regs[usize::from(a)], b));
                            regs[usize::from(dst)] = value!(BinaryOp::$bef_out.eval(inner, regs[usize::from(c)]));
                        })*
                        $(Inst::$beh { dst, a, b, c } => {
                            let inner = value!(BinaryOp::$beh_in.eval(regs[usize::from(a)], regs[usize::from(b)]));
                            regs[usize::from(dst)] = value!(BinaryOp::$beh_out.eval(regs[usize::from(c)], inner));
                        }
                        Inst::$beh_imm { dst, a, c, b } => {
                            let inner = value!(BinaryOp::$beh_in.eval(regs[usize::from(a)], b));
                            regs[usize::from(dst)] = value!(BinaryOp::$beh_out.eval(regs[usize::from(c)], inner));
                        })*
                        $(Inst::$fru { dst, a, c } => {
                            let inner = value!(UnaryOp::$fru_in.eval(regs[usize::from(a)]));
                            regs[usize::from(dst)] = value!(BinaryOp::$fru_out.eval(regs[usize::from(c)], inner));
                        })*
                        $(Inst::$vbef { dst, a, b, c } => {
                            let inner = binary::$vbef_in(vector(regs, a), vector(regs, b));
                            *vector_mut(regs, dst) = binary::$vbef_out(&inner, vector(regs, c));
                        })*
                        $(Inst::$vbeh { dst, a, b, c } => {
                            let inner = binary::$vbeh_in(vector(regs, a), vector(regs, b));
                            *vector_mut(regs, dst) = binary::$vbeh_out(vector(regs, c), &inner);
                        })*
                        $(Inst::$vlop { dst, c, addr, plus, offset } => {
                            let loaded = in_bounds!(load(memory, wrapped(regs[usize::from(addr)], plus), offset));
                            *vector_mut(regs, dst) = binary::$vlop_out(vector(regs, c), &loaded);
                        })*
                        $(Inst::$vsop { addr, a, b, plus, offset } => {
                            let value = binary::$vsop_in(vector(regs, a), vector(regs, b));
                            in_bounds!(store(memory, wrapped(regs[usize::from(addr)], plus), offset, value));
                        })*
                        Inst::BrAnyTrue { a, target } => {
                            if test::V128AnyTrue(vector(regs, a)) != 0 {
                                jump!(target);
                            }
                        }
                        Inst::BrNoneTrue { a, target } => {
                            if test::V128AnyTrue(vector(regs, a)) == 0 {
                                jump!(target);
                            }
                        }
                        $(Inst::$unl { a, b, target } => {
                            if !CompareOp::$unl_cmp.eval(regs[usize::from(a)], regs[usize::from(b)]) {
                                jump!(target);
                            }
                        }
                        Inst::$unl_imm { a, target, b } => {
                            if !CompareOp::$unl_cmp.eval(regs[usize::from(a)], b) {
                                jump!(target);
                            }
                        })*
                        $(Inst::$outs { dst, a, b, c } => {
                            let inner = value!(BinaryOp::$outs_in.eval(regs[usize::from(a)], regs[usize::from(b)]));
                            regs[usize::from(dst)] = value!(BinaryOp::$outs_out.eval(inner, c));
                        })*
                        $(Inst::$lop { dst, c, addr, plus, offset } => {
                            let bytes = in_bounds!(load(memory, wrapped(regs[usize::from(addr)], plus), offset));
                            let loaded = <$lopv>::from(<$lopm>::from_le_bytes(bytes)).into_slot();
                            regs[usize::from(dst)] = value!(BinaryOp::$lop_out.eval(regs[usize::from(c)], loaded));
                        })*
                        $(Inst::$lidx { dst, a, b, plus, offset } => {
                            let sum = regs[usize::from(a)].wrapping_add(regs[usize::from(b)]);
                            let bytes = in_bounds!(load(memory, wrapped(sum, plus), offset));
                            regs[usize::from(dst)] = <$lxv>::from(<$lxm>::from_le_bytes(bytes)).into_slot();
                        }
                        Inst::$lscl { dst, a, shift, plus, offset } => {
                            let scaled = (regs[usize::from(a)] as u32).wrapping_shl(u32::from(shift));
                            let bytes = in_bounds!(load(memory, wrapped(u64::from(scaled), plus), offset));
                            regs[usize::from(dst)] = <$lxv>::from(<$lxm>::from_le_bytes(bytes)).into_slot();
                        })*
                        $(Inst::$labs { dst, at, offset } => {
                            let bytes = in_bounds!(load(memory, u64::from(at), offset));
                            regs[usize::from(dst)] = <$lxv>::from(<$lxm>::from_le_bytes(bytes)).into_slot();
                        })*
                        $(Inst::$sabs { src, at, offset } => {
                            let bytes = (regs[usize::from(src)] as $sxm).to_le_bytes();
                            in_bounds!(store(memory, u64::from(at), offset, bytes));
                        })*
                        $(Inst::$sidx { src, a, b, plus, offset } => {
                            let bytes = (regs[usize::from(src)] as $sxm).to_le_bytes();
                            let sum = regs[usize::from(a)].wrapping_add(regs[usize::from(b)]);
                            in_bounds!(store(memory, wrapped(sum, plus), offset, bytes));
                        }
                        Inst::$sscl { src, a, shift, plus, offset } => {
                            let bytes = (regs[usize::from(src)] as $sxm).to_le_bytes();
                            let scaled = (regs[usize::from(a)] as u32).wrapping_shl(u32::from(shift));
                            in_bounds!(store(memory, wrapped(u64::from(scaled), plus), offset, bytes));
                        }
                        Inst::$simm { addr, value, plus, offset } => {
                            let bytes = (value as $sxm).to_le_bytes();
                            in_bounds!(store(memory, wrapped(regs[usize::from(addr)], plus), offset, bytes));
                        })*
                        $(Inst::$sop { addr, a, b, plus, offset } => {
                            let value = value!(BinaryOp::$sop_in.eval(regs[usize::from(a)], regs[usize::from(b)]));
                            let address = wrapped(regs[usize::from(addr)], plus);
                            in_bounds!(store(memory, address, offset, (value as $sopm).to_le_bytes()));
                        })*
                        $(Inst::$cho { dst, x, y, a, b } => {
                            let holds = CompareOp::$cho_cmp.eval(regs[usize::from(x)], regs[usize::from(y)]);
                            regs[usize::from(dst)] = regs[usize::from(if holds { a } else { b })];
                        })*
                        Inst::Copy2 { dst, src, dst2, src2 } => {
                            regs[usize::from(dst)] = regs[usize::from(src)];
                            regs[usize::from(dst2)] = regs[usize::from(src2)];
                        }
                        Inst::Copy3 { dst, src, dst2, src2, dst3, src3 } => {
                            regs[usize::from(dst)] = regs[usize::from(src)];
                            regs[usize::from(dst2)] = regs[usize::from(src2)];
                            regs[usize::from(dst3)] = regs[usize::from(src3)];
                        }
                        Inst::I32Step2 { a, b, by_a, by_b } => {
                            regs[usize::from(a)] = wrapped(regs[usize::from(a)], by_a as u32);
                            regs[usize::from(b)] = wrapped(regs[usize::from(b)], by_b as u32);
                        }
                        Inst::I32RotlXorRotl { dst, a, b, by_a, by_b } => {
                            let a = (regs[usize::from(a)] as u32).rotate_left(u32::from(by_a));
                            let b = (regs[usize::from(b)] as u32).rotate_left(u32::from(by_b));
                            regs[usize::from(dst)] = u64::from(a ^ b);
                        }
                        $(Inst::$step { dst, a, b, by, target } => {
                            let sum = value!(BinaryOp::$step_add.eval(regs[usize::from(a)], by as u64));
                            regs[usize::from(dst)] = sum;
                            if CompareOp::$step_cmp.eval(sum, regs[usize::from(b)]) {
                                jump!(target);
                            }
                        }
                        Inst::$step_imm { dst, a, by, b, target } => {
                            let sum = value!(BinaryOp::$step_add.eval(regs[usize::from(a)], by as u64));
                            regs[usize::from(dst)] = sum;
                            if CompareOp::$step_cmp.eval(sum, b as u64) {
                                jump!(target);
                            }
                        }
                        Inst::$step_reg { dst, a, b, by, target } => {
                            let sum = value!(BinaryOp::$step_add.eval(regs[usize::from(a)], regs[usize::from(by)]));
                            regs[usize::from(dst)] = sum;
                            if CompareOp::$step_cmp.eval(sum, regs[usize::from(b)]) {
                                jump!(target);
                            }
                        })*
                    }
                }
            }
        }
    };
}
for_each_instruction!(define_dispatch);
