//! Where values are: operands of the abstract stack, locals, and the registers that hold them.

use crate::masm::{Condition, Reg};
use luge_core::ValType;

/// Where an operand's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere yet: the bits of its slot.
    Const(u64),
    /// Still in the local that it was read from. `previous` is the stack position of the next older operand in the
    /// same local, plus one.
    Local { local: u32, previous: u32 },
    /// In a register of its own.
    Reg(Reg),
    /// In its own slot of the frame.
    Slot,
    /// In the flags; only ever on top of the stack, and only until the next operator.
    Flags(Condition),
}

/// An entry of the abstract stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand {
    pub(super) ty: ValType,
    pub(super) place: Place,
    /// Its slot: words of 8 bytes below it in the frame's operand area.
    pub(super) words: u32,
}

/// A local.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    pub(super) ty: ValType,
    /// Its place in the frame, from `rbp`.
    pub(super) disp: i32,
    /// The register that it is cached in.
    pub(super) reg: Option<Reg>,
    /// The register that the innermost loop wants it in.
    pub(super) home: Option<Reg>,
    /// The newest operand that lies in it: stack position plus one, 0 for none.
    pub(super) newest: u32,
}

/// What a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Nothing,
    Local(u32),
    /// The operand at this stack position.
    Operand(u32),
}

/// A set of registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct RegSet(pub(super) u32);

impl RegSet {
    pub(super) fn contains(self, reg: Reg) -> bool {
        self.0 >> reg.index() & 1 != 0
    }

    pub(super) fn insert(&mut self, reg: Reg) {
        self.0 |= 1 << reg.index();
    }

    pub(super) fn remove(&mut self, reg: Reg) {
        self.0 &= !(1 << reg.index());
    }

    pub(super) fn set(&mut self, reg: Reg, on: bool) {
        if on {
            self.insert(reg);
        } else {
            self.remove(reg);
        }
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn first(self) -> Option<Reg> {
        (self.0 != 0).then(|| Reg::from_index(self.0.trailing_zeros() as usize))
    }

    pub(super) fn iter(mut self) -> impl Iterator<Item = Reg> {
        std::iter::from_fn(move || {
            let first = self.first()?;
            self.remove(first);
            Some(first)
        })
    }
}

/// General registers that hold values: all but the stack's two, the two fixed ones and the two scratch ones.
const GENERAL: RegSet = RegSet(0b0011_0111_1100_1110);
/// Vector registers that do: all but the two scratch ones.
const VECTOR: RegSet = RegSet(0x3fff_0000);

/// The registers that values of a type may be in.
pub(super) fn registers_for(ty: ValType) -> RegSet {
    if ty.is_float() { VECTOR } else { GENERAL }
}

/// Bytes of a value of a type, in a register or in the frame.
pub(super) fn width(ty: ValType) -> u32 {
    match ty {
        ValType::I32 | ValType::F32 => 4,
        ValType::V128 => 16,
        _ => 8,
    }
}

/// Words of 8 bytes that it takes in the frame.
pub(super) fn words(ty: ValType) -> u32 {
    if ty == ValType::V128 { 2 } else { 1 }
}

/// Which locals are in which registers at a label, and which of those registers are newer than the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locations {
    /// The local of each register, plus one; 0 for none. A function has at most 50,000 locals.
    pub(super) locals: [u16; 32],
    pub(super) used: RegSet,
    pub(super) dirty: RegSet,
}

impl Locations {
    pub(super) fn empty() -> Self {
        Self {
            locals: [0; 32],
            used: RegSet::default(),
            dirty: RegSet::default(),
        }
    }

    pub(super) fn local_in(&self, reg: Reg) -> Option<u32> {
        self.locals[reg.index()].checked_sub(1).map(u32::from)
    }

    pub(super) fn insert(&mut self, reg: Reg, local: u32, dirty: bool) {
        self.locals[reg.index()] = local as u16 + 1;
        self.used.insert(reg);
        self.dirty.set(reg, dirty);
    }
}
