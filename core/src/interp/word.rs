//! An instruction as it runs: the routine that carries it out, and its operands.
//!
//! ```text
//!   0         8     10    12    14    16                24
//!   ┌─────────┬─────┬─────┬─────┬─────┬─────────────────┐
//!   │ routine │ dst │ a   │ c   │     │ immediate       │     each operand where its size aligns it
//!   └─────────┴─────┴─────┴─────┴─────┴─────────────────┘
//! ```
//!
//! An [`Inst`] is what translation works on: it can be looked at and changed. A word says the same in a form that costs nothing to
//! take apart, because its routine knows what is in it. What the few instructions hold whose operands
//! are of other kinds than numbers lies in a table beside the code.

use super::dispatch::Routine;

/// One instruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub(super) routine: Routine,
    operands: Operands,
}

/// The operands' bytes.
#[derive(Debug, Clone, Copy)]
#[repr(align(8))]
struct Operands([u8; OPERAND_BYTES]);

/// The most that the operands of an instruction take.
const OPERAND_BYTES: usize = 16;

const _: () = assert!(size_of::<Word>() == 24);

impl Word {
    /// An instruction without operands yet.
    #[inline(always)]
    pub(super) fn new(routine: Routine) -> Self {
        Self {
            routine,
            operands: Operands([0; OPERAND_BYTES]),
        }
    }
}

/// The place of the operands that follow.
pub(super) struct Cursor(usize);

/// Where the first operand begins.
pub(super) const START: Cursor = Cursor(0);

impl Cursor {
    /// Passes over the next operand, and tells where it begins.
    #[inline(always)]
    fn pass(&mut self, size: usize) -> usize {
        let at = self.0.next_multiple_of(size);
        self.0 = at + size;
        at
    }
}

/// A number that is an operand.
pub(super) trait Operand: Copy {
    fn put(self, word: &mut Word, cursor: &mut Cursor);
    fn take(word: &Word, cursor: &mut Cursor) -> Self;
}

macro_rules! operand {
    ($($ty:ty)*) => {
        $(impl Operand for $ty {
            #[inline(always)]
            fn put(self, word: &mut Word, cursor: &mut Cursor) {
                let at = cursor.pass(size_of::<Self>());
                word.operands.0[at..at + size_of::<Self>()].copy_from_slice(&self.to_le_bytes());
            }

            #[inline(always)]
            fn take(word: &Word, cursor: &mut Cursor) -> Self {
                let at = cursor.pass(size_of::<Self>());
                let bytes = &word.operands.0[at..at + size_of::<Self>()];
                Self::from_le_bytes(bytes.try_into().expect("so many bytes"))
            }
        })*
    };
}
operand! { u8 u16 i16 u32 i32 u64 }

/// Defines [`Inst`], and how words are made of instructions and taken apart again.
macro_rules! instructions {
    (
        common { $($(#[$doc:meta])* $name:ident $({ $($field:ident: $ty:ty),* })?,)* }
        rare { $($(#[$rare_doc:meta])* $rare:ident { $($rare_field:ident: $rare_ty:ty),* },)* }
    ) => {
        /// One instruction. `dst` is written, other registers are read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Inst {
            $($(#[$doc])* $name $({ $($field: $ty),* })?,)*
            $($(#[$rare_doc])* $rare { $($rare_field: $rare_ty),* },)*
        }

        impl Inst {
            /// The instruction as it runs; what does not fit there goes to `rare`.
            pub(super) fn pack(self, rare: &mut Vec<Self>) -> $crate::interp::word::Word {
                match self {
                    $(Self::$name { $($($field),*)? } => operands::$name { $($($field),*)? }.pack(),)*
                    $(Self::$rare { .. } => {
                        let at = rare.len() as u32;
                        rare.push(self);
                        operands::$rare { at }.pack()
                    })*
                }
            }
        }

        /// The operands of each instruction.
        pub(super) mod operands {
            use super::*;
            use $crate::interp::word::operands_of;

            $(operands_of! { $name { $($($field: $ty),*)? } })*
            // Where it is among the rare ones.
            $(operands_of! { $rare { at: u32 } })*
        }
    };
}
pub(super) use instructions;

macro_rules! operands_of {
    ($name:ident { $($field:ident: $ty:ty),* }) => {
        pub(in crate::interp) struct $name { $(pub(in crate::interp) $field: $ty),* }

        impl $name {
            #[inline(always)]
            #[allow(unused_mut, unused_variables, reason = "some have no operands")]
            pub(super) fn pack(self) -> $crate::interp::word::Word {
                let mut word = $crate::interp::word::Word::new($crate::interp::routines::$name);
                let mut cursor = $crate::interp::word::START;
                $($crate::interp::word::Operand::put(self.$field, &mut word, &mut cursor);)*
                word
            }

            #[inline(always)]
            #[allow(unused_mut, unused_variables, reason = "some have no operands")]
            pub(in crate::interp) fn of(word: &$crate::interp::word::Word) -> Self {
                let mut cursor = $crate::interp::word::START;
                Self { $($field: $crate::interp::word::Operand::take(word, &mut cursor)),* }
            }
        }
    };
}
pub(super) use operands_of;
