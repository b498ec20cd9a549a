//! The abstract value stack: where operands are, and how they come to their registers.
//!
//! Each local heads a chain of the operands that lie in it, newest first, so that writing a local costs only the operands
//! that have to move out of it. Popping takes the newest of a chain, because operands leave in the opposite order of
//! their coming.

use super::super::inst::{Inst, Reg};
use super::{Operand, Second, Translator, narrow};

impl Translator<'_> {
    /// The canonical register of a stack position. Too large a frame is found in `finish`; until then registers may
    /// wrap, and the code is thrown away.
    pub(super) fn temp(&self, position: usize) -> Reg {
        narrow(self.locals + position)
    }

    pub(super) fn push(&mut self, operand: Operand) {
        self.stack.push(operand);
        self.max_height = self.max_height.max(self.stack.len());
    }

    pub(super) fn push_local(&mut self, local: u32) {
        let newest = &mut self.newest[local as usize];
        let previous = std::mem::replace(newest, self.stack.len() as u32 + 1);
        self.push(Operand::Local {
            local: local as Reg,
            previous,
        });
    }

    /// Pops an operand. Operands leave in the opposite order of their coming, so one that lies in a local is the newest
    /// of its chain.
    pub(super) fn pop(&mut self) -> (Operand, usize) {
        let operand = self.stack.pop().expect("validated: the stack holds the operand");
        let position = self.stack.len();
        self.flushed = self.flushed.min(position);
        if let Operand::Local { local, previous } = operand {
            self.newest[usize::from(local)] = previous;
        }
        (operand, position)
    }

    /// Pops an operand into a register: its local's or its own.
    pub(super) fn pop_reg(&mut self) -> Reg {
        let (operand, position) = self.pop();
        match operand {
            Operand::Temp => self.temp(position),
            Operand::Local { local, .. } => local,
            Operand::Const(value) => {
                let dst = self.temp(position);
                self.emit(Inst::Const { dst, value });
                dst
            }
        }
    }

    /// Pops two operands, the second of which may be an immediate.
    pub(super) fn pop_two(&mut self) -> (Reg, Second) {
        let second = match self.stack.last() {
            Some(&Operand::Const(value)) => {
                self.pop();
                Second::Imm(value)
            }
            _ => Second::Reg(self.pop_reg()),
        };
        (self.pop_reg(), second)
    }

    /// Pushes a result and says which register it belongs in.
    pub(super) fn push_temp(&mut self) -> Reg {
        self.push(Operand::Temp);
        self.temp(self.stack.len() - 1)
    }

    /// Puts the value of an operand into its canonical register.
    pub(super) fn settle(&mut self, position: usize) {
        let dst = self.temp(position);
        match self.stack[position] {
            Operand::Temp => return,
            Operand::Local { local, .. } => self.emit(Inst::Copy { dst, src: local }),
            Operand::Const(value) => self.emit(Inst::Const { dst, value }),
        };
        self.stack[position] = Operand::Temp;
    }

    /// Puts all operands into their canonical registers.
    pub(super) fn flush(&mut self) {
        for position in self.flushed..self.stack.len() {
            if let Operand::Local { local, .. } = self.stack[position] {
                self.newest[usize::from(local)] = 0;
            }
            self.settle(position);
        }
        self.flushed = self.stack.len();
        // A result must not be redirected past the copies.
        self.barrier = self.code.len();
    }

    /// Moves operands that lie in `local` out of it, because it is about to be written.
    pub(super) fn preserve(&mut self, local: u32) {
        let mut next = std::mem::take(&mut self.newest[local as usize]);
        while next != 0 {
            let position = next as usize - 1;
            let Operand::Local { previous, .. } = self.stack[position] else {
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
            if let Operand::Local { local, previous } = self.stack[position] {
                // Newer entries of the chain settle in this same loop; what stays is what was there before.
                if self.newest[usize::from(local)] as usize > position {
                    self.newest[usize::from(local)] = previous.min(first as u32);
                }
            }
            self.settle(position);
        }
        self.temp(first)
    }

    /// Pops `count` operands that are settled and pushes `results` that appear in their place.
    pub(super) fn replace_top(&mut self, count: usize, results: usize) {
        self.stack.truncate(self.stack.len() - count);
        self.flushed = self.flushed.min(self.stack.len());
        for _ in 0..results {
            self.push(Operand::Temp);
        }
    }

    /// Forgets the operands above `height` and those chains that lead there.
    pub(super) fn truncate(&mut self, height: usize) {
        while self.stack.len() > height {
            self.pop();
        }
    }

    /// Exchanges the top two operands where neither has a register of its own to keep; says whether it did. The lower
    /// one is a constant, so nothing but its entry moves; the upper one may not be `Temp`, whose register is its place.
    pub(super) fn swap_top(&mut self) -> bool {
        let len = self.stack.len();
        match self.stack[len - 1] {
            Operand::Temp => {
                // Its value lies one register above the place that it would take: copy it down, the constant needs none.
                let (dst, src) = (self.temp(len - 2), self.temp(len - 1));
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
                self.stack.swap(len - 1, len - 2);
                true
            }
            Operand::Local { .. } => {
                let (operand, _) = self.pop();
                let (constant, _) = self.pop();
                let Operand::Local { local, .. } = operand else {
                    unreachable!("matched above")
                };
                self.push_local(u32::from(local));
                self.push(constant);
                true
            }
            Operand::Const(_) => false,
        }
    }
}
