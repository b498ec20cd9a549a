//! Jumps: fused conditions, results that move to where a label wants them, and returns.

use super::super::inst::{Inst, Pc};
use super::operands::Shape;
use super::{Operand, Translator, narrow};
use crate::frontend::{BlockSignature, Control, ControlKind};
use std::collections::HashMap;

/// A branch target.
#[derive(Debug)]
pub(crate) struct Label {
    /// Stack height below the construct's parameters.
    pub(super) height: usize,
    /// The slot that its parameters, and its results, begin at.
    pub(super) offset: u32,
    pub(super) params: Shape,
    pub(super) results: Shape,
    /// Where a loop begins.
    pub(super) start: Pc,
    /// Jumps to the end, waiting for it.
    pub(super) pending: Vec<Pc>,
    /// The most that is unpaid where one of them comes from.
    pub(super) unpaid: u32,
    /// The jump of an `if` around its first arm, and what is unpaid there.
    pub(super) otherwise: Option<(Pc, u32)>,
    /// Whether it opened a region of handlers, which ends with it.
    pub(super) catches: bool,
}

impl Label {
    /// The label of a function's body, whose results return instead.
    pub(super) fn body() -> Self {
        Self {
            height: 0,
            offset: 0,
            params: None,
            results: None,
            start: 0,
            pending: Vec::new(),
            unpaid: 0,
            otherwise: None,
            catches: false,
        }
    }
}

impl Translator<'_> {
    pub(super) fn open(&mut self, ty: BlockSignature<'_>) -> Label {
        Label {
            height: self.stack.len() - ty.params.len(),
            offset: self.offset_of_top(ty.params.len()),
            params: self.shapes.of(ty.params),
            results: self.shapes.of(ty.results),
            ..Label::body()
        }
    }

    /// Whether the top `arity` operands are where a branch to a label at `offset` wants them.
    fn in_place(&self, offset: u32, arity: usize) -> bool {
        let results = &self.stack[self.stack.len() - arity..];
        results.first().is_none_or(|first| first.offset == offset)
            && results.iter().all(|entry| entry.place == Operand::Temp)
    }

    /// Copies the top `arity` operands to the canonical registers from `offset` on, leaving the abstract stack as it is.
    /// Each source lies at or above its destination, so copying upwards overwrites nothing that is still needed.
    pub(super) fn move_results(&mut self, offset: u32, arity: usize) {
        if self.code.len() > self.code_limit {
            return;
        }
        let mut to = offset;
        for i in self.stack.len() - arity..self.stack.len() {
            let entry = self.stack[i];
            if entry.place != Operand::Temp || entry.offset != to {
                self.copy_to(self.temp(to), entry);
            }
            to += entry.end() - entry.offset;
        }
    }

    /// Jumps to a construct's branch target.
    pub(super) fn jump(&mut self, inst: Inst, target: &mut Control<Label>) {
        let at = self.emit(inst);
        if target.kind == ControlKind::Loop {
            *self.inst_mut(at).target_mut().expect("a jump") = target.label.start;
        } else {
            target.label.pending.push(at);
            target.label.unpaid = target.label.unpaid.max(self.unpaid);
        }
    }

    /// Pops a condition and branches if it is not zero, with the `arity` results below it.
    pub(super) fn branch_if(&mut self, target: &mut Control<Label>) {
        let arity = target.branch_arity() as usize;
        // Seen without the condition: are the results where the label wants them?
        let condition = self.stack.pop().expect("validated: a condition");
        let in_place = self.in_place(target.label.offset, arity);
        self.stack.push(condition);
        if in_place {
            let jump = self.conditional(true);
            self.jump(jump, target);
        } else {
            let skip = self.conditional(false);
            let skip = self.emit(skip);
            let unpaid = self.unpaid;
            self.move_results(target.label.offset, arity);
            self.jump(Inst::Br { target: 0 }, target);
            self.bind(vec![skip]);
            self.unpaid = unpaid;
        }
        self.barrier = self.code.len();
    }

    /// Pops an index and branches by it. The results settle once, before the jump; where a target wants them lower, a stub
    /// moves them there.
    pub(super) fn branch_table(&mut self, controls: &mut [Control<Label>], depths: &[u32]) {
        let index = self.pop_reg();
        let innermost = controls.len() - 1;
        let arity = controls[innermost - *depths.last().expect("a default") as usize].branch_arity() as usize;
        self.settle_top(arity);
        let settled = self.offset_of_top(arity);
        let last = depths.len() as u32 - 1;
        self.emit(Inst::BrTable { index, last });
        let first_entry = self.position();
        self.code
            .resize(self.code.len() + depths.len(), Inst::Br { target: 0 });
        // The entry is an instruction as well.
        let unpaid = self.unpaid + 1;
        // One stub for each distinct target that needs one, found by depth.
        let mut stubs: HashMap<u32, Pc> = HashMap::new();
        for (i, &depth) in depths.iter().enumerate() {
            let entry = first_entry + i as Pc;
            let target = &mut controls[innermost - depth as usize];
            if arity == 0 || target.label.offset == settled {
                if target.kind == ControlKind::Loop {
                    *self.inst_mut(entry) = Inst::Br {
                        target: target.label.start,
                    };
                } else {
                    target.label.pending.push(entry);
                    target.label.unpaid = target.label.unpaid.max(unpaid);
                }
                continue;
            }
            let here = self.position();
            let stub = *stubs.entry(depth).or_insert(here);
            if stub == here {
                self.unpaid = unpaid;
                self.move_results(target.label.offset, arity);
                self.jump(Inst::Br { target: 0 }, target);
            }
            *self.inst_mut(entry) = Inst::Br { target: stub };
        }
        self.barrier = self.code.len();
    }

    /// Pops the condition and gives the jump that is taken when it is not zero (`when`) or zero: fused with the
    /// comparison that made it where possible.
    pub(super) fn conditional(&mut self, when: bool) -> Inst {
        let entry = self.pop();
        let own = self.temp(entry.offset);
        let mut when = when;
        if entry.place == Operand::Temp {
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
                    return self.with_step(fused);
                }
            }
        }
        let cond = match entry.place {
            Operand::Temp => own,
            Operand::Local { local, .. } => local,
            Operand::Const(value) => {
                self.emit(Inst::Const { dst: own, value });
                own
            }
        };
        let jump = if when {
            Inst::BrIf { cond, target: 0 }
        } else {
            Inst::BrIfNot { cond, target: 0 }
        };
        self.with_step(jump)
    }

    pub(super) fn emit_return(&mut self) {
        let (results, slots) = self.results;
        match (results, slots) {
            (0, _) => {
                self.emit(Inst::Return);
            }
            (1, 1) => {
                let src = self.pop_reg();
                self.emit(Inst::ReturnOne { src });
            }
            _ => {
                let first = self.settle_top(results);
                let count = narrow(slots);
                self.emit(Inst::ReturnMany { first, count });
            }
        }
    }
}
