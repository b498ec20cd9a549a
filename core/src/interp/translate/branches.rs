//! Jumps: fused conditions, results that move to where a label wants them, and returns.

use super::super::inst::Inst;
use super::{Label, Operand, Translator, narrow};
use crate::frontend::{Control, ControlKind};

impl Translator<'_> {
    /// Whether the top `arity` operands are where a branch to a label at `height` wants them.
    pub(super) fn in_place(&self, height: usize, arity: usize) -> bool {
        let first = self.stack.len() - arity;
        first == height
            && self.stack[first..]
                .iter()
                .all(|operand| *operand == Operand::Temp)
    }

    /// Copies the top `arity` operands to the canonical registers at `height`, leaving the abstract stack as it is.
    /// Each source lies at or above its destination, so copying upwards overwrites nothing that is still needed.
    pub(super) fn move_results(&mut self, height: usize, arity: usize) {
        let first = self.stack.len() - arity;
        if self.code.len() > self.code_limit {
            return;
        }
        for i in 0..arity {
            let dst = self.temp(height + i);
            match self.stack[first + i] {
                Operand::Temp if first == height => {}
                Operand::Temp => {
                    let src = self.temp(first + i);
                    self.emit(Inst::Copy { dst, src });
                }
                Operand::Local { local, .. } => {
                    self.emit(Inst::Copy { dst, src: local });
                }
                Operand::Const(value) => {
                    self.emit(Inst::Const { dst, value });
                }
            }
        }
    }

    /// Jumps to a construct's branch target.
    pub(super) fn jump(&mut self, inst: Inst, target: &mut Control<Label>) {
        let at = self.emit(inst);
        if target.kind == ControlKind::Loop {
            *self.code[at as usize].target_mut().expect("a jump") = target.label.start;
        } else {
            target.label.pending.push(at);
            target.label.unpaid = target.label.unpaid.max(self.unpaid);
        }
    }

    /// Pops the condition and gives the jump that is taken when it is not zero (`when`) or zero: fused with the
    /// comparison that made it where possible.
    pub(super) fn conditional(&mut self, when: bool) -> Inst {
        let (operand, position) = self.pop();
        let own = self.temp(position);
        let mut when = when;
        if operand == Operand::Temp {
            // `i32.eqz` of what the instruction before it made only turns the jump around.
            while let Some(&mut Inst::I32Eqz { dst, a }) = self.last() {
                if dst != own || a != own {
                    break;
                }
                self.code.pop();
                when = !when;
            }
            if let Some(last) = self.last() {
                let fused = last.as_branch(when);
                if let (Some(&mut dst), Some(fused)) = (last.dst_mut(), fused)
                    && dst == own
                {
                    self.code.pop();
                    return fused;
                }
            }
        }
        let cond = match operand {
            Operand::Temp => own,
            Operand::Local { local, .. } => local,
            Operand::Const(value) => {
                self.emit(Inst::Const { dst: own, value });
                own
            }
        };
        if when {
            Inst::BrIf { cond, target: 0 }
        } else {
            Inst::BrIfNot { cond, target: 0 }
        }
    }

    pub(super) fn emit_return(&mut self) {
        let results = self.results;
        match results {
            0 => {
                self.emit(Inst::Return);
            }
            1 => {
                let src = self.pop_reg();
                self.emit(Inst::ReturnOne { src });
            }
            _ => {
                let first = self.settle_top(results);
                self.emit(Inst::ReturnMany {
                    first,
                    count: narrow(results),
                });
            }
        }
    }

    pub(super) fn open(&mut self, params: u32) -> Label {
        Label {
            height: self.stack.len() - params as usize,
            start: 0,
            pending: Vec::new(),
            unpaid: 0,
            otherwise: None,
        }
    }
}
