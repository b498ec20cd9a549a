//! Labels and jumps.
//!
//! Until a label is bound, the jumps to it form a chain through their own displacement fields, so that a label costs one
//! word however many jumps it has. Jumps to labels that are bound already are short where they can be.

use super::Masm;
use super::reg::{Condition, Parity};
use dynasmrt::DynasmApi;

/// A place in the code that jumps lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label(u32);

#[derive(Debug, Default)]
pub(super) struct Labels(Vec<State>);

#[derive(Debug, Clone, Copy)]
enum State {
    Bound(u32),
    /// Offset of the newest displacement that waits, or [`END`].
    Waiting(u32),
}

/// The end of a chain.
const END: u32 = u32::MAX;

impl Masm {
    /// A new label.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.0.push(State::Waiting(END));
        Label(self.labels.0.len() as u32 - 1)
    }

    /// A label that is bound here.
    pub(crate) fn label_here(&mut self) -> Label {
        self.zero_flag = None;
        self.labels.0.push(State::Bound(self.here()));
        Label(self.labels.0.len() as u32 - 1)
    }

    /// Forgets all labels, once a function is finished.
    pub(crate) fn clear_labels(&mut self) {
        self.labels.0.clear();
    }

    /// Where a label is, if it is bound.
    pub(crate) fn offset_of(&self, label: Label) -> Option<u32> {
        match self.labels.0[label.0 as usize] {
            State::Bound(offset) => Some(offset),
            State::Waiting(_) => None,
        }
    }

    /// Binds a label here.
    pub(crate) fn bind(&mut self, label: Label) {
        let here = self.here();
        // Flags are as whoever jumps here has left them.
        self.zero_flag = None;
        let state = &mut self.labels.0[label.0 as usize];
        let State::Waiting(mut waiting) = *state else {
            unreachable!("a label is bound once")
        };
        *state = State::Bound(here);
        while waiting != END {
            let next = self.read_u32(waiting);
            self.patch_u32(waiting, here.wrapping_sub(waiting + 4));
            waiting = next;
        }
    }

    /// Jumps.
    pub(crate) fn jump(&mut self, label: Label) {
        if let Some(distance) = self.short(label) {
            self.put_short(0xeb | u64::from(distance as u8) << 8, 2);
            return;
        }
        self.put_short(0xe9, 1);
        self.displacement(label);
    }

    /// Jumps if the condition holds.
    pub(crate) fn jump_if(&mut self, condition: Condition, label: Label) {
        match condition.parity() {
            Parity::Ignored => self.jump_on(condition.code(), label),
            Parity::OrUnordered => {
                self.jump_on(Condition::PARITY.code(), label);
                self.jump_on(condition.code(), label);
            }
            Parity::AndOrdered => {
                let skip = self.short_forward(Condition::PARITY);
                self.jump_on(condition.code(), label);
                self.land(skip);
            }
        }
    }

    /// A jump over few bytes, which [`Masm::land`] ends: `condition` must not look at parity beside its code.
    pub(crate) fn short_forward(&mut self, condition: Condition) -> ShortJump {
        self.push(0x70 | condition.code());
        self.push(0);
        ShortJump(self.here())
    }

    /// As [`Masm::short_forward`], always taken.
    pub(crate) fn short_forward_always(&mut self) -> ShortJump {
        self.push(0xeb);
        self.push(0);
        ShortJump(self.here())
    }

    /// Lets a short jump lead here.
    pub(crate) fn land(&mut self, jump: ShortJump) {
        let distance = self.here() - jump.0;
        self.code[jump.0 as usize - 1] = u8::try_from(distance)
            .ok()
            .filter(|&distance| distance < 0x80)
            .expect("an emit skips fewer than 128 bytes");
    }

    fn jump_on(&mut self, code: u8, label: Label) {
        if let Some(distance) = self.short(label) {
            self.put_short(u64::from(0x70 | code) | u64::from(distance as u8) << 8, 2);
            return;
        }
        self.put_short(0x0f | u64::from(0x80 | code) << 8, 2);
        self.displacement(label);
    }

    /// The distance to a bound label, if a two-byte jump reaches it.
    fn short(&self, label: Label) -> Option<i8> {
        let distance = i64::from(self.offset_of(label)?) - i64::from(self.here() + 2);
        i8::try_from(distance).ok()
    }

    /// Writes the 32-bit displacement to a label, the last field of an instruction: known, or chained until it is.
    pub(crate) fn displacement(&mut self, label: Label) {
        let here = self.here();
        let state = &mut self.labels.0[label.0 as usize];
        let value = match *state {
            State::Bound(offset) => offset.wrapping_sub(here + 4),
            State::Waiting(newest) => {
                *state = State::Waiting(here);
                newest
            }
        };
        self.put_short(u64::from(value), 4);
    }
}

/// A short jump whose target is not reached yet.
#[derive(Debug)]
#[must_use = "a short jump has to land"]
pub(crate) struct ShortJump(u32);
