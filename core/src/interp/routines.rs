//! The instructions' routines, one for each.
//!
//! Most compute with registers and memory 0 and say how to go on ([`Flow`]); `computes!` makes a routine of that. The others
//! are written out, those of calls and returns in `calls.rs`.

#![expect(non_snake_case, reason = "a routine has its instruction's name")]

use super::access::{load, store};
pub(super) use super::calls::{
    Call, CallImport, CallIndirect, Return, ReturnCall, ReturnCallImport, ReturnCallIndirect, ReturnMany,
    ReturnOne,
};
use super::code::STRETCH;
use super::dispatch::{Action, Code, Context, Regs, dispatch, jump};
use super::fusion::{for_each_instruction, wrapped};
use super::inst::{Inst, Pc, Reg, operands};
use super::vectors::{halves, set_halves, set_vector, vector, widened};
use super::wide::step;
use crate::operator::{
    BinaryOp, CompareOp, Slot, UnaryOp, VectorLoadOp, binary, extract, load as vector_load, replace, shift,
    splat, ternary, test, unary,
};
use crate::trap::Trap;

/// How a routine goes on.
enum Flow {
    Next,
    Jump(Pc),
    Trap(Trap),
}

impl Flow {
    /// How it goes on after a body, which a `?` in it leaves.
    #[inline(always)]
    fn of<Outcome: Into<Self>>(body: impl FnOnce() -> Outcome) -> Self {
        body().into()
    }

    #[inline(always)]
    fn jump_if(condition: bool, target: Pc) -> Self {
        if condition { Self::Jump(target) } else { Self::Next }
    }
}

impl From<()> for Flow {
    #[inline(always)]
    fn from((): ()) -> Self {
        Self::Next
    }
}

impl From<Result<(), Trap>> for Flow {
    #[inline(always)]
    fn from(result: Result<(), Trap>) -> Self {
        match result {
            Ok(()) => Self::Next,
            Err(trap) => Self::Trap(trap),
        }
    }
}

impl From<Result<Flow, Trap>> for Flow {
    #[inline(always)]
    fn from(result: Result<Flow, Trap>) -> Self {
        match result {
            Ok(flow) => flow,
            Err(trap) => Self::Trap(trap),
        }
    }
}

#[inline(always)]
fn get(regs: Regs<'_>, reg: Reg) -> u64 {
    regs[usize::from(reg)].get()
}

#[inline(always)]
fn set(regs: Regs<'_>, reg: Reg, value: u64) {
    regs[usize::from(reg)].set(value);
}

/// A routine, in full.
macro_rules! routine {
    ($name:ident { $($field:tt)* } |$code:ident, $regs:ident, $memory:ident, $context:ident| $body:block) => {
        pub(super) fn $name<'a>($code: Code<'a>, $regs: Regs<'a>, $memory: &mut [u8], $context: &mut Context<'a>) {
            let Some(word) = $code.first() else {
                return $context.stray();
            };
            let operands::$name { $($field)* } = operands::$name::of(word);
            $body
        }
    };
}
pub(super) use routine;

/// A routine that computes with registers and memory 0.
macro_rules! computes {
    ($name:ident { $($field:tt)* } |$regs:ident| $body:expr) => {
        computes! { $name { $($field)* } |$regs, _memory| $body }
    };
    ($name:ident { $($field:tt)* } |$regs:ident, $memory:ident| $body:expr) => {
        pub(super) fn $name<'a>(code: Code<'a>, $regs: Regs<'a>, $memory: &mut [u8], context: &mut Context<'a>) {
            let [word, _, ..] = code else {
                return context.stray();
            };
            let operands::$name { $($field)* } = operands::$name::of(word);
            match Flow::of(|| $body) {
                Flow::Next => dispatch(&code[1..], $regs, $memory, context),
                Flow::Jump(target) => jump(target, code, $regs, $memory, context),
                Flow::Trap(trap) => context.trap(code, trap),
            }
        }
    };
}

macro_rules! define_routines {
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
        computes! { Const { dst, value } |regs| set(regs, dst, value) }
        computes! { Copy { dst, src } |regs| set(regs, dst, get(regs, src)) }
        computes! { Select { dst, cond, a, b } |regs| {
            set(regs, dst, get(regs, if get(regs, cond) != 0 { a } else { b }));
        } }
        computes! { BrIf { cond, target } |regs| Flow::jump_if(get(regs, cond) != 0, target) }
        computes! { BrIfNot { cond, target } |regs| Flow::jump_if(get(regs, cond) == 0, target) }
        computes! { VectorCopy { dst, src } |regs| set_vector(regs, dst, vector(regs, src)) }
        computes! { VectorSelect { dst, cond, a, b } |regs| {
            set_vector(regs, dst, vector(regs, if get(regs, cond) != 0 { a } else { b }));
        } }
        computes! { VectorHalves { dst, low, high } |regs| set_halves(regs, dst, [get(regs, low), get(regs, high)]) }
        computes! { VectorStore { addr, src, plus, offset } |regs, memory| {
            store(memory, wrapped(get(regs, addr), plus), offset, vector(regs, src))
        } }

        $(computes! { $vun { dst, a } |regs| set_vector(regs, dst, unary::$vun(&vector(regs, a))) })*
        $(computes! { $vbin { dst, a, b } |regs| {
            set_vector(regs, dst, binary::$vbin(&vector(regs, a), &vector(regs, b)));
        } })*
        $(computes! { $vter { dst, a, b, c } |regs| {
            set_vector(regs, dst, ternary::$vter(&vector(regs, a), &vector(regs, b), &vector(regs, c)));
        } })*
        $(computes! { $vsh { dst, a, count } |regs| {
            set_vector(regs, dst, shift::$vsh(&vector(regs, a), get(regs, count) as u32));
        } }
        computes! { $vsh_imm { dst, a, count } |regs| {
            set_vector(regs, dst, shift::$vsh(&vector(regs, a), count));
        } })*
        $(computes! { $vtest { dst, a } |regs| set(regs, dst, u64::from(test::$vtest(&vector(regs, a)))) })*
        $(computes! { $vsplat { dst, a } |regs| set_vector(regs, dst, splat::$vsplat(get(regs, a))) })*
        $(computes! { $vext { lane, dst, a } |regs| set(regs, dst, extract::$vext(&vector(regs, a), lane)) })*
        $(computes! { $vrep { lane, dst, a, b } |regs| {
            set_vector(regs, dst, replace::$vrep(&vector(regs, a), get(regs, b), lane));
        } })*
        $(computes! { $vload { dst, addr, plus, offset } |regs, memory| {
            const WIDTH: usize = VectorLoadOp::$vload.width() as usize;
            let bytes: [u8; WIDTH] = load(memory, wrapped(get(regs, addr), plus), offset)?;
            set_vector(regs, dst, vector_load::$vload(&widened(bytes)));
            Ok(())
        } })*

        $(computes! { $un { dst, a } |regs| {
            set(regs, dst, UnaryOp::$un.eval(get(regs, a))?);
            Ok(())
        } })*
        $(computes! { $bin { dst, a, b } |regs| {
            set(regs, dst, BinaryOp::$bin.eval(get(regs, a), get(regs, b))?);
            Ok(())
        } }
        computes! { $bin_imm { dst, a, b } |regs| {
            set(regs, dst, BinaryOp::$bin.eval(get(regs, a), b)?);
            Ok(())
        } })*
        $(computes! { $cmp { dst, a, b } |regs| {
            set(regs, dst, u64::from(CompareOp::$cmp.eval(get(regs, a), get(regs, b))));
        } }
        computes! { $cmp_imm { dst, a, b } |regs| {
            set(regs, dst, u64::from(CompareOp::$cmp.eval(get(regs, a), b)));
        } }
        computes! { $cmp_br { a, b, target } |regs| {
            Flow::jump_if(CompareOp::$cmp.eval(get(regs, a), get(regs, b)), target)
        } }
        computes! { $cmp_br_imm { a, target, b } |regs| {
            Flow::jump_if(CompareOp::$cmp.eval(get(regs, a), b), target)
        } })*
        $(computes! { $load { dst, addr, plus, offset } |regs, memory| {
            let bytes = load(memory, wrapped(get(regs, addr), plus), offset)?;
            set(regs, dst, <$lv>::from(<$lm>::from_le_bytes(bytes)).into_slot());
            Ok(())
        } })*
        // Keeping the low bytes is the meaning of a narrow store.
        $(computes! { $store { addr, src, plus, offset } |regs, memory| {
            let bytes = (get(regs, src) as $sm).to_le_bytes();
            store(memory, wrapped(get(regs, addr), plus), offset, bytes)
        } })*

        $(computes! { $bef { dst, a, b, c } |regs| {
            let inner = BinaryOp::$bef_in.eval(get(regs, a), get(regs, b))?;
            set(regs, dst, BinaryOp::$bef_out.eval(inner, get(regs, c))?);
            Ok(())
        } }
        computes! { $bef_imm { dst, a, c, b } |regs| {
            let inner = BinaryOp::$bef_in.eval(get(regs, a), b)?;
            set(regs, dst, BinaryOp::$bef_out.eval(inner, get(regs, c))?);
            Ok(())
        } })*
        $(computes! { $beh { dst, a, b, c } |regs| {
            let inner = BinaryOp::$beh_in.eval(get(regs, a), get(regs, b))?;
            set(regs, dst, BinaryOp::$beh_out.eval(get(regs, c), inner)?);
            Ok(())
        } }
        computes! { $beh_imm { dst, a, c, b } |regs| {
            let inner = BinaryOp::$beh_in.eval(get(regs, a), b)?;
            set(regs, dst, BinaryOp::$beh_out.eval(get(regs, c), inner)?);
            Ok(())
        } })*
        $(computes! { $fru { dst, a, c } |regs| {
            let inner = UnaryOp::$fru_in.eval(get(regs, a))?;
            set(regs, dst, BinaryOp::$fru_out.eval(get(regs, c), inner)?);
            Ok(())
        } })*
        $(computes! { $outs { dst, a, b, c } |regs| {
            let inner = BinaryOp::$outs_in.eval(get(regs, a), get(regs, b))?;
            set(regs, dst, BinaryOp::$outs_out.eval(inner, c)?);
            Ok(())
        } })*
        $(computes! { $vbef { dst, a, b, c } |regs| {
            let inner = binary::$vbef_in(&vector(regs, a), &vector(regs, b));
            set_vector(regs, dst, binary::$vbef_out(&inner, &vector(regs, c)));
        } })*
        $(computes! { $vbeh { dst, a, b, c } |regs| {
            let inner = binary::$vbeh_in(&vector(regs, a), &vector(regs, b));
            set_vector(regs, dst, binary::$vbeh_out(&vector(regs, c), &inner));
        } })*
        $(computes! { $vlop { dst, c, addr, plus, offset } |regs, memory| {
            let loaded = load(memory, wrapped(get(regs, addr), plus), offset)?;
            set_vector(regs, dst, binary::$vlop_out(&vector(regs, c), &loaded));
            Ok(())
        } })*
        $(computes! { $vsop { addr, a, b, plus, offset } |regs, memory| {
            let value = binary::$vsop_in(&vector(regs, a), &vector(regs, b));
            store(memory, wrapped(get(regs, addr), plus), offset, value)
        } })*
        computes! { BrAnyTrue { a, target } |regs| {
            Flow::jump_if(test::V128AnyTrue(&vector(regs, a)) != 0, target)
        } }
        computes! { BrNoneTrue { a, target } |regs| {
            Flow::jump_if(test::V128AnyTrue(&vector(regs, a)) == 0, target)
        } }
        $(computes! { $unl { a, b, target } |regs| {
            Flow::jump_if(!CompareOp::$unl_cmp.eval(get(regs, a), get(regs, b)), target)
        } }
        computes! { $unl_imm { a, target, b } |regs| {
            Flow::jump_if(!CompareOp::$unl_cmp.eval(get(regs, a), b), target)
        } })*
        $(computes! { $lop { dst, c, addr, plus, offset } |regs, memory| {
            let bytes = load(memory, wrapped(get(regs, addr), plus), offset)?;
            let loaded = <$lopv>::from(<$lopm>::from_le_bytes(bytes)).into_slot();
            set(regs, dst, BinaryOp::$lop_out.eval(get(regs, c), loaded)?);
            Ok(())
        } })*
        $(computes! { $lidx { dst, a, b, plus, offset } |regs, memory| {
            let sum = get(regs, a).wrapping_add(get(regs, b));
            let bytes = load(memory, wrapped(sum, plus), offset)?;
            set(regs, dst, <$lxv>::from(<$lxm>::from_le_bytes(bytes)).into_slot());
            Ok(())
        } }
        computes! { $lscl { dst, a, shift, plus, offset } |regs, memory| {
            let scaled = (get(regs, a) as u32).wrapping_shl(u32::from(shift));
            let bytes = load(memory, wrapped(u64::from(scaled), plus), offset)?;
            set(regs, dst, <$lxv>::from(<$lxm>::from_le_bytes(bytes)).into_slot());
            Ok(())
        } }
        computes! { $labs { dst, at, offset } |regs, memory| {
            let bytes = load(memory, u64::from(at), offset)?;
            set(regs, dst, <$lxv>::from(<$lxm>::from_le_bytes(bytes)).into_slot());
            Ok(())
        } })*
        $(computes! { $sidx { src, a, b, plus, offset } |regs, memory| {
            let bytes = (get(regs, src) as $sxm).to_le_bytes();
            store(memory, wrapped(get(regs, a).wrapping_add(get(regs, b)), plus), offset, bytes)
        } }
        computes! { $sscl { src, a, shift, plus, offset } |regs, memory| {
            let bytes = (get(regs, src) as $sxm).to_le_bytes();
            let scaled = (get(regs, a) as u32).wrapping_shl(u32::from(shift));
            store(memory, wrapped(u64::from(scaled), plus), offset, bytes)
        } }
        computes! { $sabs { src, at, offset } |regs, memory| {
            store(memory, u64::from(at), offset, (get(regs, src) as $sxm).to_le_bytes())
        } }
        computes! { $simm { addr, value, plus, offset } |regs, memory| {
            store(memory, wrapped(get(regs, addr), plus), offset, (value as $sxm).to_le_bytes())
        } })*
        $(computes! { $sop { addr, a, b, plus, offset } |regs, memory| {
            let value = BinaryOp::$sop_in.eval(get(regs, a), get(regs, b))?;
            store(memory, wrapped(get(regs, addr), plus), offset, (value as $sopm).to_le_bytes())
        } })*
        $(computes! { $cho { dst, x, y, a, b } |regs| {
            let holds = CompareOp::$cho_cmp.eval(get(regs, x), get(regs, y));
            set(regs, dst, get(regs, if holds { a } else { b }));
        } })*
        computes! { Copy2 { dst, src, dst2, src2 } |regs| {
            set(regs, dst, get(regs, src));
            set(regs, dst2, get(regs, src2));
        } }
        computes! { Copy3 { dst, src, dst2, src2, dst3, src3 } |regs| {
            set(regs, dst, get(regs, src));
            set(regs, dst2, get(regs, src2));
            set(regs, dst3, get(regs, src3));
        } }
        computes! { I32Step2 { a, b, by_a, by_b } |regs| {
            set(regs, a, wrapped(get(regs, a), by_a as u32));
            set(regs, b, wrapped(get(regs, b), by_b as u32));
        } }
        computes! { I32RotlXorRotl { dst, a, b, by_a, by_b } |regs| {
            let a = (get(regs, a) as u32).rotate_left(u32::from(by_a));
            let b = (get(regs, b) as u32).rotate_left(u32::from(by_b));
            set(regs, dst, u64::from(a ^ b));
        } }
        $(computes! { $step { dst, a, b, by, target } |regs| {
            let sum = BinaryOp::$step_add.eval(get(regs, a), by as u64)?;
            set(regs, dst, sum);
            Ok(Flow::jump_if(CompareOp::$step_cmp.eval(sum, get(regs, b)), target))
        } }
        computes! { $step_imm { dst, a, by, b, target } |regs| {
            let sum = BinaryOp::$step_add.eval(get(regs, a), by as u64)?;
            set(regs, dst, sum);
            Ok(Flow::jump_if(CompareOp::$step_cmp.eval(sum, b as u64), target))
        } }
        computes! { $step_reg { dst, a, b, by, target } |regs| {
            let sum = BinaryOp::$step_add.eval(get(regs, a), get(regs, by))?;
            set(regs, dst, sum);
            Ok(Flow::jump_if(CompareOp::$step_cmp.eval(sum, get(regs, b)), target))
        } })*
    };
}
for_each_instruction!(define_routines);

routine! { Unreachable {} |code, _regs, _memory, context| { context.trap(code, Trap::Unreachable); } }
routine! { Br { target } |code, regs, memory, context| { jump(target, code, regs, memory, context); } }
routine! { BrTable { index, last } |code, regs, memory, context| {
    // The entry is a `Br`, which pays where it leads backwards.
    let index = get(regs, index).min(u64::from(last));
    dispatch(&code[1 + index as usize..], regs, memory, context);
} }
routine! { Pay {} |code, regs, memory, context| {
    context.fuel -= i64::from(STRETCH);
    if context.fuel < 0 {
        return context.preempt(context.pc(code) as Pc + 1);
    }
    dispatch(&code[1..], regs, memory, context);
} }
routine! { GlobalGet { dst, global } |code, regs, memory, context| {
    set(regs, dst, context.global(global)[0]);
    dispatch(&code[1..], regs, memory, context);
} }
routine! { GlobalSet { src, global } |code, regs, memory, context| {
    context.global(global)[0] = get(regs, src);
    dispatch(&code[1..], regs, memory, context);
} }
routine! { VectorGlobalGet { dst, global } |code, regs, memory, context| {
    set_halves(regs, dst, *context.global(global));
    dispatch(&code[1..], regs, memory, context);
} }
routine! { VectorGlobalSet { src, global } |code, regs, memory, context| {
    *context.global(global) = halves(regs, src);
    dispatch(&code[1..], regs, memory, context);
} }
routine! { VectorConst { dst, index } |code, regs, memory, context| {
    set_vector(regs, dst, context.code.vectors[index as usize].to_le_bytes());
    dispatch(&code[1..], regs, memory, context);
} }
routine! { Libcall { at } |code, _regs, _memory, context| {
    let Inst::Libcall { base, call, a, b } = context.code.rare[at as usize] else {
        unreachable!("the instruction that was packed")
    };
    let base = context.base + usize::from(base);
    context.leave(code, Action::Libcall { base, call, a, b });
} }
routine! { Throw { base, tag } |code, _regs, _memory, context| {
    let base = context.base + usize::from(base);
    context.leave(code, Action::Throw { tag, base });
} }
routine! { ThrowRef { src } |code, regs, _memory, context| {
    context.leave(code, Action::ThrowRef { reference: get(regs, src) });
} }

/// Routines that call one function for their work.
macro_rules! stepped {
    ($($name:ident)*) => {
        $(routine! { $name { at } |code, regs, memory, context| {
            if step(at, regs, memory, context).is_none() {
                return context.trap(code, Trap::MemoryOutOfBounds);
            }
            dispatch(&code[1..], regs, memory, context);
        } })*
    };
}
stepped! { Shuffle VectorLoadFrom VectorStoreTo LoadLane StoreLane LoadFrom StoreTo }
