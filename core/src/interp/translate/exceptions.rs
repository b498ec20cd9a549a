//! `try_table`: a region of the code, and a landing for each of its clauses.
//!
//! ```text
//!        br body                 over the landings
//!   L0:  (copies)                payload and reference to where the label wants them
//!        br label of clause 0
//!   L1:  ...
//! body:  ...                     the region: from here ..
//!        ...                     .. to the construct's end
//! ```
//!
//! A landing begins with the operands that are below the construct's parameters; the runtime leaves payload and reference
//! behind them.

use super::super::inst::Inst;
use super::branches::Label;
use super::{Operand, Translator};
use crate::frontend::{BlockSignature, Catch, Control, ControlKind};
use crate::handlers::Handler;
use crate::types::ValType;

impl Translator<'_> {
    pub(super) fn open_try_table(
        &mut self,
        controls: &mut [Control<Label>],
        ty: BlockSignature<'_>,
        catches: &[Catch<'_>],
    ) -> Label {
        self.flush();
        let mut label = self.open(ty);
        if catches.is_empty() {
            return label;
        }
        let over = self.emit(Inst::Br { target: 0 });
        let unpaid = self.unpaid;
        let mut handlers = Vec::with_capacity(catches.len());
        for catch in catches {
            self.truncate(label.height);
            let target = self.position();
            handlers.push(Handler {
                tag: catch.tag,
                with_ref: catch.with_ref,
                target,
                place: u32::from(self.temp(self.top())),
            });
            // Throwing has paid for what follows.
            self.unpaid = 0;
            self.land(catch, controls);
            if self.code.len() > self.code_limit {
                break;
            }
        }
        self.truncate(label.height);
        self.push_shape(ty.params.len() as u32, &label.params);
        self.flushed = self.stack.len();
        self.bind(vec![over]);
        self.unpaid = unpaid;
        self.handlers.open(self.position(), &handlers);
        label.catches = true;
        label
    }

    /// Branches with what is caught.
    fn land(&mut self, catch: &Catch<'_>, controls: &mut [Control<Label>]) {
        for ty in catch.payload {
            self.push(Operand::Temp, *ty == ValType::V128);
        }
        if catch.with_ref {
            self.push(Operand::Temp, false);
        }
        self.barrier = self.code.len();
        let around = controls.len() - 1 - catch.depth as usize;
        let target = &mut controls[around];
        if target.kind == ControlKind::Body {
            self.emit_return();
            return;
        }
        self.move_results(target.label.offset, target.branch_arity() as usize);
        self.jump(Inst::Br { target: 0 }, target);
    }
}
