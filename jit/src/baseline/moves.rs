//! Several moves at once: arguments to where a callee wants them, locals to where a label does.

use super::place::{RegSet, width};
use crate::masm::{Masm, Reg};
use luge_core::{FuncType, ValType};

/// A move between two registers of one class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) dst: Reg,
    pub(super) src: Reg,
    pub(super) ty: ValType,
}

/// Carries out `moves`, each between two registers, as if at once. No register is the destination of two of them. `general` and
/// `vector` are used where they form a circle, and are no part of them.
#[inline]
pub(super) fn parallel(masm: &mut Masm, moves: &mut Vec<Move>, general: Reg, vector: Reg) {
    match moves[..] {
        [] => {}
        [step] => {
            masm.mov(step.dst, step.src, width(step.ty));
            moves.clear();
        }
        _ => several(masm, moves, general, vector),
    }
}

#[inline(never)]
fn several(masm: &mut Masm, moves: &mut Vec<Move>, general: Reg, vector: Reg) {
    while !moves.is_empty() {
        let mut sources = RegSet::default();
        for step in &*moves {
            debug_assert_ne!(step.dst, step.src);
            sources.insert(step.src);
        }
        // A destination that is nobody's source can be written.
        let ready = moves.iter().position(|step| !sources.contains(step.dst));
        if let Some(at) = ready {
            let step = moves.swap_remove(at);
            masm.mov(step.dst, step.src, width(step.ty));
            continue;
        }
        // Only circles are left: one member steps aside.
        let first = moves[0];
        let aside = if first.src.is_xmm() { vector } else { general };
        let widest = moves
            .iter()
            .filter(|step| step.src == first.src)
            .map(|step| width(step.ty))
            .max()
            .unwrap_or(8);
        masm.mov(aside, first.src, widest.max(8));
        for step in moves.iter_mut().filter(|step| step.src == first.src) {
            step.src = aside;
        }
    }
}

/// Where an argument or a result lies: see `luge_core::compiler::abi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AbiPlace {
    Reg(Reg),
    /// Bytes from the start of the stack's part.
    Stack(u32),
}

/// Gives out places for arguments or results, in order.
#[derive(Debug, Default)]
pub(super) struct AbiPlaces {
    general: usize,
    vector: u8,
    stack: u32,
}

impl AbiPlaces {
    /// The place of the next value.
    pub(super) fn next(&mut self, ty: ValType) -> AbiPlace {
        use luge_core::compiler::abi;
        if ty.is_float() {
            if self.vector < abi::VECTOR_ARGUMENTS {
                self.vector += 1;
                return AbiPlace::Reg(Reg::xmm(self.vector - 1));
            }
        } else if let Some(&number) = abi::GENERAL_ARGUMENTS.get(self.general) {
            self.general += 1;
            return AbiPlace::Reg(Reg::gpr(number));
        }
        let at = self.stack;
        self.stack += width(ty).max(8);
        AbiPlace::Stack(at)
    }

    /// Bytes on the stack that values of these types take.
    pub(super) fn stack_bytes(types: &[ValType]) -> u32 {
        let mut places = Self::default();
        for &ty in types {
            places.next(ty);
        }
        places.stack
    }
}

/// Where the values of a type's calls lie.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) params: Box<[AbiPlace]>,
    pub(super) results: Box<[AbiPlace]>,
    /// Bytes on the stack that arguments or results take, whichever are more.
    pub(super) stack_bytes: u32,
}

impl Signature {
    pub(super) fn of(ty: &FuncType) -> Self {
        let places = |types: &[ValType]| {
            let mut places = AbiPlaces::default();
            types.iter().map(|&ty| places.next(ty)).collect()
        };
        Self {
            params: places(ty.params()),
            results: places(ty.results()),
            stack_bytes: AbiPlaces::stack_bytes(ty.params()).max(AbiPlaces::stack_bytes(ty.results())),
        }
    }
}
