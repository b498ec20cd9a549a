//! The abstract value stack: where operands are, and how they come to their registers.
//!
//! Each local heads a chain of the operands that lie in it, newest first, so that writing a local costs only the operands
//! that have to move out of it. Popping takes the newest of a chain, because operands leave in the opposite order of
//! their coming.
//!
//! ```text
//!   position     0      1      2          3
//!   type         i32    v128   f64        i32
//!   offset       0      1  2   3          4        the slots above the locals that are the operand's own
//! ```

use super::super::inst::{Inst, Reg};
use super::{Operand, Second, Translator, narrow};
use crate::types::ValType;
use std::collections::HashMap;
use std::rc::Rc;

/// An operand on the stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) place: Operand,
    /// First of its own slots, counted from the locals' end.
    pub(super) offset: u32,
    /// Whether it is a vector, of two slots.
    pub(super) wide: bool,
}

impl Entry {
    /// The slot behind its own.
    pub(super) fn end(&self) -> u32 {
        self.offset + 1 + u32::from(self.wide)
    }
}

/// Which of a construct's values are vectors. `None` where none is, which is nearly always.
pub(super) type Shape = Option<Rc<[bool]>>;

/// The shapes of one function, each kept once: constructs may be open by the thousand, each with a thousand values.
#[derive(Debug, Default)]
pub(super) struct Shapes(HashMap<Box<[ValType]>, Rc<[bool]>>);

impl Shapes {
    pub(super) fn of(&mut self, types: &[ValType]) -> Shape {
        if !types.contains(&ValType::V128) {
            return None;
        }
        if let Some(shape) = self.0.get(types) {
            return Some(Rc::clone(shape));
        }
        let shape: Rc<[bool]> = types.iter().map(|ty| *ty == ValType::V128).collect();
        self.0.insert(types.into(), Rc::clone(&shape));
        Some(shape)
    }
}

impl Translator<'_> {
    /// The register of an offset. Too large a frame is found in `finish`; until then registers may wrap, and the code is
    /// thrown away.
    pub(super) fn temp(&self, offset: u32) -> Reg {
        narrow(self.locals + offset as usize)
    }

    /// The first slot above all operands.
    pub(super) fn top(&self) -> u32 {
        self.stack.last().map_or(0, Entry::end)
    }

    /// The first slot of the top `count` operands.
    pub(super) fn offset_of_top(&self, count: usize) -> u32 {
        let first = self.stack.get(self.stack.len() - count);
        first.map_or_else(|| self.top(), |entry| entry.offset)
    }

    /// The register of a local.
    pub(super) fn local_reg(&self, local: u32) -> Reg {
        self.local_regs
            .as_ref()
            .map_or(local as Reg, |regs| regs[local as usize])
    }

    pub(super) fn push(&mut self, place: Operand, wide: bool) {
        let offset = self.top();
        let entry = Entry { place, offset, wide };
        self.max_height = self.max_height.max(entry.end() as usize);
        self.stack.push(entry);
    }

    pub(super) fn push_local(&mut self, local: Reg, wide: bool) {
        let newest = &mut self.newest[usize::from(local)];
        let previous = std::mem::replace(newest, self.stack.len() as u32 + 1);
        self.push(Operand::Local { local, previous }, wide);
    }

    /// Pops an operand. Operands leave in the opposite order of their coming, so one that lies in a local is the newest
    /// of its chain.
    pub(super) fn pop(&mut self) -> Entry {
        let entry = self.stack.pop().expect("validated: the stack holds the operand");
        self.flushed = self.flushed.min(self.stack.len());
        if let Operand::Local { local, previous } = entry.place {
            self.newest[usize::from(local)] = previous;
        }
        entry
    }

    /// Pops an operand into a register: its local's or its own.
    pub(super) fn pop_reg(&mut self) -> Reg {
        let entry = self.pop();
        let own = self.temp(entry.offset);
        match entry.place {
            Operand::Temp => own,
            Operand::Local { local, .. } => local,
            Operand::Const(value) => {
                self.emit(Inst::Const { dst: own, value });
                own
            }
        }
    }

    /// Pops two operands, the second of which may be an immediate.
    pub(super) fn pop_two(&mut self) -> (Reg, Second) {
        let second = match self.stack.last().map(|entry| entry.place) {
            Some(Operand::Const(value)) => {
                self.pop();
                Second::Imm(value)
            }
            _ => Second::Reg(self.pop_reg()),
        };
        (self.pop_reg(), second)
    }

    /// Pushes a scalar result and says which register it belongs in.
    pub(super) fn push_temp(&mut self) -> Reg {
        self.push_result(false)
    }

    /// Pushes a vector result and says which registers it belongs in.
    pub(super) fn push_vector(&mut self) -> Reg {
        self.push_result(true)
    }

    pub(super) fn push_result(&mut self, wide: bool) -> Reg {
        let offset = self.top();
        self.push(Operand::Temp, wide);
        self.temp(offset)
    }

    /// Copies an operand's value to a register, wherever it is.
    pub(super) fn copy_to(&mut self, dst: Reg, entry: Entry) {
        let src = match entry.place {
            Operand::Const(value) => {
                self.emit(Inst::Const { dst, value });
                return;
            }
            Operand::Temp => self.temp(entry.offset),
            Operand::Local { local, .. } => local,
        };
        if entry.wide {
            self.emit(Inst::VectorCopy { dst, src });
        } else {
            self.emit_copy(dst, src);
        }
    }

    /// Puts the value of an operand into its canonical register.
    pub(super) fn settle(&mut self, position: usize) {
        let entry = self.stack[position];
        if entry.place != Operand::Temp {
            self.copy_to(self.temp(entry.offset), entry);
            self.stack[position].place = Operand::Temp;
        }
    }

    /// Puts all operands into their canonical registers.
    pub(super) fn flush(&mut self) {
        for position in self.flushed..self.stack.len() {
            if let Operand::Local { local, .. } = self.stack[position].place {
                self.newest[usize::from(local)] = 0;
            }
            self.settle(position);
        }
        self.flushed = self.stack.len();
        // A result must not be redirected past the copies.
        self.barrier = self.code.len();
    }

    /// Moves operands that lie in `local` out of it, because it is about to be written.
    pub(super) fn preserve(&mut self, local: Reg) {
        let mut next = std::mem::take(&mut self.newest[usize::from(local)]);
        while next != 0 {
            let position = next as usize - 1;
            let Operand::Local { previous, .. } = self.stack[position].place else {
                unreachable!("the chain of a local holds operands in that local")
            };
            self.settle(position);
            next = previous;
        }
    }

    /// Puts the top `count` operands into their canonical registers, for callees; gives the first register.
    pub(super) fn settle_top(&mut self, count: usize) -> Reg {
        let first = self.stack.len() - count;
        for position in first..self.stack.len() {
            if let Operand::Local { local, previous } = self.stack[position].place {
                // Newer entries of the chain settle in this same loop; what stays is what was there before.
                if self.newest[usize::from(local)] as usize > position {
                    self.newest[usize::from(local)] = previous.min(first as u32);
                }
            }
            self.settle(position);
        }
        self.temp(self.offset_of_top(count))
    }

    /// Pops `count` operands that are settled.
    pub(super) fn pop_settled(&mut self, count: usize) {
        self.stack.truncate(self.stack.len() - count);
        self.flushed = self.flushed.min(self.stack.len());
    }

    /// Pops `count` operands that are settled and pushes results of these types that appear in their place.
    pub(super) fn replace_top(&mut self, count: usize, results: &[ValType]) {
        self.pop_settled(count);
        for ty in results {
            self.push(Operand::Temp, *ty == ValType::V128);
        }
    }

    /// Pushes `count` values of a shape, which lie in their canonical registers.
    pub(super) fn push_shape(&mut self, count: u32, shape: &Shape) {
        for i in 0..count as usize {
            self.push(Operand::Temp, shape.as_ref().is_some_and(|wide| wide[i]));
        }
    }

    /// Forgets the operands above `height` and those chains that lead there.
    pub(super) fn truncate(&mut self, height: usize) {
        while self.stack.len() > height {
            self.pop();
        }
    }

    /// Exchanges the top two operands, scalars both, where neither has a register of its own to keep; says whether it did.
    /// The lower one is a constant, so nothing but its entry moves; the upper one may not be `Temp`, whose register is
    /// its place.
    pub(super) fn swap_top(&mut self) -> bool {
        let len = self.stack.len();
        let (lower, upper) = (self.stack[len - 2], self.stack[len - 1]);
        match upper.place {
            Operand::Temp => {
                // Its value lies one register above the place that it would take: have it written there.
                let (dst, src) = (self.temp(lower.offset), self.temp(upper.offset));
                let redirected = match self.last().and_then(Inst::dst_mut) {
                    Some(written) if *written == src => {
                        *written = dst;
                        true
                    }
                    _ => false,
                };
                if !redirected {
                    return false;
                }
                self.stack[len - 2].place = upper.place;
                self.stack[len - 1].place = lower.place;
                true
            }
            Operand::Local { local, .. } => {
                self.pop();
                let constant = self.pop();
                self.push_local(local, false);
                self.push(constant.place, false);
                true
            }
            Operand::Const(_) => false,
        }
    }
}
