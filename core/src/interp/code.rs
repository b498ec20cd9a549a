//! What translation leaves: one run of instructions for the whole module, and a few numbers for each function.

use super::inst::{Inst, Pc};

/// A function's place in the code and the shape of its frame, all counts in slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FunctionCode {
    /// Its first instruction.
    pub(super) entry: Pc,
    /// One past its last.
    pub(super) end: Pc,
    /// Parameters, which the caller leaves in the first registers.
    pub(super) params: u16,
    /// Parameters and declared locals; the latter start as zero.
    pub(super) locals: u16,
    /// The whole frame: locals and the operand stack at its highest.
    pub(super) frame: u16,
}

/// The bytecode of a module.
#[derive(Debug, Default)]
pub(crate) struct ModuleCode {
    pub(super) insts: Vec<Inst>,
    pub(super) funcs: Vec<FunctionCode>,
}

impl ModuleCode {
    /// Adds a function, in the order of the module's defined functions.
    pub(crate) fn push(&mut self, func: FunctionCode) {
        self.funcs.push(func);
    }

    /// Gives back what translation reserved too much.
    pub(crate) fn shrink(&mut self) {
        self.insts.shrink_to_fit();
        self.funcs.shrink_to_fit();
    }

    /// Size of the code in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.insts.len() * size_of::<Inst>()
    }

    /// The defined function that an instruction belongs to.
    pub(crate) fn func_at(&self, pc: Pc) -> Option<u32> {
        let index = self
            .funcs
            .partition_point(|func| func.entry <= pc)
            .checked_sub(1)?;
        (pc < self.funcs[index].end).then_some(index as u32)
    }
}
