//! Where values are: operands of the abstract stack, locals, and the registers that hold them.

use crate::masm::{Condition, Reg};
use luge_core::ValType;
use std::ops::{Deref, DerefMut};

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

/// An entry of the abstract stack: its type, its place, and its slot, as words of 8 bytes below it in the frame's operand
/// area.
///
/// Two words, which lie in two registers while they are looked at, and are written and read whole:
///
/// ```text
///   63      48      32              8       0
///   |  bits of the constant, or what else   |   payload
///   |  words below  | (none)  | type | kind |   meta
/// ```
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand {
    payload: u64,
    meta: u64,
}

/// Types by their numbers.
const TYPES: [ValType; 8] = [
    ValType::I32,
    ValType::I64,
    ValType::F32,
    ValType::F64,
    ValType::V128,
    ValType::FuncRef,
    ValType::ExternRef,
    ValType::ExnRef,
];

const _: () = {
    let mut number = 0;
    while number < TYPES.len() {
        assert!(TYPES[number] as usize == number);
        number += 1;
    }
};

impl Operand {
    const CONST: u64 = 0;
    const LOCAL: u64 = 1;
    const REG: u64 = 2;
    const SLOT: u64 = 3;
    const FLAGS: u64 = 4;

    /// An operand with so many words below it.
    #[inline(always)]
    pub(super) fn new(ty: ValType, place: Place, words: u32) -> Self {
        let (kind, payload) = Self::pack(place);
        Self {
            payload,
            meta: kind | (ty as u64) << 8 | u64::from(words) << 32,
        }
    }

    #[inline(always)]
    fn pack(place: Place) -> (u64, u64) {
        match place {
            Place::Const(bits) => (Self::CONST, bits),
            Place::Local { local, previous } => (Self::LOCAL, u64::from(local) | u64::from(previous) << 32),
            Place::Reg(reg) => (Self::REG, reg.index() as u64),
            Place::Slot => (Self::SLOT, 0),
            Place::Flags(condition) => (Self::FLAGS, u64::from(condition.to_bits())),
        }
    }

    /// The type.
    #[inline(always)]
    pub(super) fn ty(self) -> ValType {
        TYPES[(self.meta >> 8 & 7) as usize]
    }

    /// Where the value is.
    #[inline(always)]
    pub(super) fn place(self) -> Place {
        match self.meta & 0xff {
            Self::CONST => Place::Const(self.payload),
            Self::LOCAL => Place::Local {
                local: self.payload as u32,
                previous: (self.payload >> 32) as u32,
            },
            Self::REG => Place::Reg(Reg::from_index(self.payload as usize)),
            Self::SLOT => Place::Slot,
            _ => Place::Flags(Condition::from_bits(self.payload as u16)),
        }
    }

    /// The constant that it is.
    #[inline(always)]
    pub(super) fn constant(self) -> Option<u64> {
        (self.meta & 0xff == Self::CONST).then_some(self.payload)
    }

    /// Words below its slot.
    #[inline(always)]
    pub(super) fn words(self) -> u32 {
        (self.meta >> 32) as u32
    }

    /// The same operand in another place.
    #[inline(always)]
    pub(super) fn at(self, place: Place) -> Self {
        let (kind, payload) = Self::pack(place);
        Self {
            payload,
            meta: self.meta & !0xff | kind,
        }
    }
}

/// The abstract stack. Behind its top there is room, so that pushing is a check and two stores; making more is the last thing
/// that a push does, so that whoever pushes last has nothing to keep for afterwards.
#[derive(Debug, Default)]
pub(super) struct Stack {
    entries: Vec<Operand>,
    len: usize,
}

impl Stack {
    #[inline(always)]
    pub(super) fn push(&mut self, operand: Operand) {
        match self.entries.get_mut(self.len) {
            Some(entry) => {
                *entry = operand;
                self.len += 1;
            }
            None => self.grow(operand),
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, operand: Operand) {
        self.entries.push(operand);
        self.len = self.entries.len();
        let room = self.len.max(64);
        self.entries.resize(self.len + room, operand);
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> Operand {
        self.len = self
            .len
            .checked_sub(1)
            .expect("validated: the stack holds the operand");
        self.entries[self.len]
    }

    /// Forgets what is above a height.
    pub(super) fn truncate(&mut self, height: usize) {
        self.len = self.len.min(height);
    }
}

impl Deref for Stack {
    type Target = [Operand];

    #[inline(always)]
    fn deref(&self) -> &[Operand] {
        &self.entries[..self.len]
    }
}

impl DerefMut for Stack {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [Operand] {
        &mut self.entries[..self.len]
    }
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

/// A set of registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct RegSet(pub(super) u32);

impl RegSet {
    #[inline(always)]
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

    /// Those that are in either.
    #[inline(always)]
    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline(always)]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
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

/// Which locals are in which registers, now or at a label, and which of those registers are newer than the frame.
#[derive(Debug, Clone)]
pub(super) struct Locations {
    /// The local of each register that holds one. A function has at most 50,000 locals.
    locals: [u16; 32],
    pub(super) used: RegSet,
    pub(super) dirty: RegSet,
}

impl PartialEq for Locations {
    fn eq(&self, other: &Self) -> bool {
        (self.used, self.dirty) == (other.used, other.dirty)
            && self.used.iter().all(|reg| self.holds(reg) == other.holds(reg))
    }
}

impl Locations {
    pub(super) const EMPTY: Self = Self {
        locals: [0; 32],
        used: RegSet(0),
        dirty: RegSet(0),
    };

    /// The local in a register that holds one.
    #[inline(always)]
    pub(super) fn holds(&self, reg: Reg) -> u32 {
        u32::from(self.locals[reg.index()])
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, reg: Reg, local: u32, dirty: bool) {
        self.locals[reg.index()] = local as u16;
        self.used.insert(reg);
        self.dirty.set(reg, dirty);
    }

    #[inline(always)]
    pub(super) fn remove(&mut self, reg: Reg) {
        self.used.remove(reg);
        self.dirty.remove(reg);
    }
}

#[cfg(test)]
mod tests {
    use super::{Operand, Place, Stack, TYPES};
    use crate::masm::{Condition, Reg};

    #[test]
    fn operands_are_read_as_they_were_made() {
        let places = [
            Place::Const(u64::MAX),
            Place::Local {
                local: 49_999,
                previous: u32::MAX,
            },
            Place::Reg(Reg::gpr(13)),
            Place::Reg(Reg::xmm(15)),
            Place::Slot,
            Place::Flags(Condition::GREATER),
            Place::Flags(Condition::FLOAT_EQUAL),
            Place::Flags(Condition::FLOAT_NOT_EQUAL),
        ];
        for ty in TYPES {
            for place in places {
                for words in [0, 1, u32::MAX] {
                    let operand = Operand::new(ty, place, words);
                    assert_eq!(
                        (operand.ty(), operand.place(), operand.words()),
                        (ty, place, words)
                    );
                    let constant = matches!(place, Place::Const(_));
                    assert_eq!(operand.constant().is_some(), constant);
                    for other in places {
                        let moved = operand.at(other);
                        assert_eq!((moved.ty(), moved.place(), moved.words()), (ty, other, words));
                    }
                }
            }
        }
    }

    #[test]
    fn a_stack_keeps_what_is_below_its_top() {
        let mut stack = Stack::default();
        for round in 0..3 {
            for height in 0..1000 {
                stack.push(Operand::new(TYPES[0], Place::Const(height), height as u32));
            }
            assert_eq!(stack.len(), 1000, "{round}");
            for height in (500..1000).rev() {
                assert_eq!(stack.pop().constant(), Some(height));
            }
            assert!((0..500).all(|height| stack[height as usize].constant() == Some(height)));
            stack.truncate(0);
            assert!(stack.is_empty());
        }
    }
}
