//! What translation leaves: one run of instructions for the whole module, and a few numbers for each function.

use super::inst::{Inst, Pc};
use super::word::Word;
use crate::handlers::HandlerTable;

/// The most instructions that run on one payment of fuel. A call pays for the first stretch of its callee, or for all of it
/// where that is less; on every path through a longer function an [`Inst::Pay`] stands before each further stretch;
/// a jump backwards pays for what it jumps over. Fuel is thus an upper bound of the instructions executed, and no
/// straight code, however long, runs for more than a stretch between two looks at it.
pub(super) const STRETCH: u32 = 128;

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
    /// Instructions of its first stretch.
    pub(super) stretch: u8,
    /// The whole frame: locals and the operand stack at its highest.
    pub(super) frame: u16,
}

impl FunctionCode {
    /// Locals that start as zero.
    #[inline(always)]
    pub(super) fn cleared(&self) -> u16 {
        self.locals - self.params
    }

    /// What calling it costs in fuel: its first stretch, and the locals that are cleared.
    #[inline(always)]
    pub(super) fn call_cost(&self) -> i64 {
        i64::from(self.stretch) + i64::from(self.cleared())
    }
}

/// The bytecode of a module.
#[derive(Debug, Default)]
pub(crate) struct ModuleCode {
    pub(super) words: Vec<Word>,
    /// The instructions of the function that is being translated.
    pub(super) insts: Vec<Inst>,
    /// What some words refer to.
    pub(super) rare: Vec<Inst>,
    /// Vector constants and the lanes of shuffles, which no instruction has room for.
    pub(super) vectors: Vec<u128>,
    pub(super) funcs: Vec<FunctionCode>,
    /// Where exceptions are caught.
    pub(super) handlers: HandlerTable,
}

impl ModuleCode {
    /// Adds a function, in the order of the module's defined functions.
    pub(crate) fn push(&mut self, func: FunctionCode) {
        let Self {
            words, insts, rare, ..
        } = self;
        words.extend(insts.drain(..).map(|inst| inst.pack(rare)));
        self.funcs.push(func);
    }

    /// Gives back what translation reserved too much.
    pub(crate) fn shrink(&mut self) {
        self.words.shrink_to_fit();
        self.insts = Vec::new();
        self.rare.shrink_to_fit();
        self.vectors.shrink_to_fit();
        self.funcs.shrink_to_fit();
        self.handlers.shrink();
    }

    /// Size of the code in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.words)
            + size_of_val(&*self.rare)
            + size_of_val(&*self.vectors)
            + self.handlers.bytes()
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
