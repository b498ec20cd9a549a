//! What a tier has to understand of a function body, once the front end has read it.
//!
//! A [`Sink`] keeps an abstract value stack of its own: for the interpreter an entry is a register, a constant or a
//! local not yet copied; for a machine-code tier it is also a machine register or a spill slot. The front end keeps
//! everything else: the control stack, what is reachable, types, and validity. It calls the sink only for code that
//! can be reached, so a sink never sees a polymorphic stack.
//!
//! Each control construct has a [`Control`] entry. Its [`Control::label`] is the sink's own note of the branch target
//! (for instance the list of jumps to patch). The protocol, for values on the abstract stack:
//!
//! | call | before | after |
//! |---|---|---|
//! | `block`, `loop_`, `try_table` | parameters on top | the same, canonical |
//! | `if_` | parameters, then the condition | parameters, canonical |
//! | `else_` | the then-arm's results if `reachable` | parameters, canonical |
//! | `end` | results if `reachable` | results, canonical; the construct is closed |
//! | `br_if` | results, then the condition | the results stay |
//! | `br`, `br_table`, `return_`, `unreachable`, `throw`, `throw_ref` | what they take | nothing is asked: dead code follows |
//!
//! *Canonical* means: in the place that every path to the label agrees on.

use super::scan::LoopHints;
use crate::operator::{
    BinaryOp, CompareOp, ExtractLaneOp, LaneWidth, Libcall, LoadOp, ReplaceLaneOp, SplatOp, StoreOp, UnaryOp,
    VectorBinaryOp, VectorLoadOp, VectorShiftOp, VectorTernaryOp, VectorTestOp, VectorUnaryOp,
};
use crate::types::{FuncType, ValType};

/// What kind of construct a control entry stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// The function body itself: a branch to it returns.
    Body,
    /// `block`, or `try_table`, which branches see as one: a branch to it goes to its end.
    Block,
    /// `loop`: a branch to it goes back to its start.
    Loop,
    /// `if` before its `else`; a branch goes to its end.
    If,
    /// `if` after its `else`.
    Else,
}

/// An open control construct.
#[derive(Debug)]
pub struct Control<L> {
    /// Its kind.
    pub kind: ControlKind,
    /// How many values it takes from the stack.
    pub params: u32,
    /// How many values it leaves.
    pub results: u32,
    /// The sink's own note of this branch target.
    pub label: L,
}

impl<L> Control<L> {
    /// How many values a branch to this construct carries.
    pub fn branch_arity(&self) -> u32 {
        if self.kind == ControlKind::Loop {
            self.params
        } else {
            self.results
        }
    }
}

/// The immediate of a load or store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryAccess {
    /// Which linear memory.
    pub memory: u32,
    /// Constant part of the address, in bytes. It is added in 64 bits: the sum never wraps.
    pub offset: u64,
}

/// What a construct takes from the stack and what it leaves there.
#[derive(Debug, Clone, Copy)]
pub struct BlockSignature<'t> {
    /// Types of what it takes.
    pub params: &'t [ValType],
    /// Types of what it leaves.
    pub results: &'t [ValType],
}

/// A clause of a `try_table`: which exceptions it catches, and where it branches with what.
#[derive(Debug, Clone, Copy)]
pub struct Catch<'t> {
    /// The tag that it catches; `None` catches all.
    pub tag: Option<u32>,
    /// Types of the payload that the branch carries: the tag's, or none where it catches all.
    pub payload: &'t [ValType],
    /// Whether the branch carries a reference to the exception behind the payload.
    pub with_ref: bool,
    /// The target among the constructs around the `try_table`; 0 is the innermost.
    pub depth: u32,
}

/// The operator behind the one that a sink is being told of, as far as it is worth knowing ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The result goes to this local.
    LocalSet(u32),
    /// The result goes to this local and stays on the stack.
    LocalTee(u32),
    /// Something else.
    Other,
}

/// A tier's half of a translation: see the module's documentation for the protocol.
pub trait Sink {
    /// The tier's own note of a branch target.
    type Label;

    /// Whether the tier wants to know what loops use before it enters them ([`LoopHints`]), and what comes next
    /// ([`Sink::begin`]). It costs a second reading of each body.
    const LOOKS_AHEAD: bool = false;

    /// Told before each operator of reachable code: where it begins, in bytes from the module's start, and, before operators
    /// that give one value, what follows it.
    #[expect(unused_variables, reason = "for those who look ahead")]
    fn begin(&mut self, offset: u64, next: Next) {}

    /// A constant is pushed, as the bits of its slot.
    fn constant(&mut self, ty: ValType, bits: u64);
    /// A local is pushed.
    fn local_get(&mut self, local: u32, ty: ValType);
    /// A value is popped into a local.
    fn local_set(&mut self, local: u32, ty: ValType);
    /// A vector constant is pushed.
    fn vector_constant(&mut self, bits: u128);
    /// The top value is copied into a local.
    fn local_tee(&mut self, local: u32, ty: ValType);
    /// A global is pushed.
    fn global_get(&mut self, global: u32, ty: ValType);
    /// A value is popped into a global.
    fn global_set(&mut self, global: u32, ty: ValType);
    /// A value is popped and forgotten.
    fn drop_value(&mut self);
    /// Pops a condition and two values; pushes the first if the condition is not zero, else the second.
    fn select(&mut self);
    /// One value in, one out.
    fn unary(&mut self, op: UnaryOp);
    /// Two values in, one out.
    fn binary(&mut self, op: BinaryOp);
    /// Two values in, 0 or 1 out.
    fn compare(&mut self, op: CompareOp);
    /// An address in, a value out.
    fn load(&mut self, op: LoadOp, access: MemoryAccess);
    /// An address and a value in.
    fn store(&mut self, op: StoreOp, access: MemoryAccess);
    /// An operator that the runtime carries out; immediates as [`Libcall`] says, unused ones 0.
    fn libcall(&mut self, libcall: Libcall, immediates: [u32; 2]);
    /// One vector in, one out.
    fn vector_unary(&mut self, op: VectorUnaryOp);
    /// Two vectors in, one out.
    fn vector_binary(&mut self, op: VectorBinaryOp);
    /// Three vectors in, one out.
    fn vector_ternary(&mut self, op: VectorTernaryOp);
    /// A vector and a count in, a vector out.
    fn vector_shift(&mut self, op: VectorShiftOp);
    /// A vector in, an `i32` out.
    fn vector_test(&mut self, op: VectorTestOp);
    /// A scalar in, a vector out.
    fn splat(&mut self, op: SplatOp);
    /// A vector in, its lane out.
    fn extract_lane(&mut self, op: ExtractLaneOp, lane: u8);
    /// A vector and a scalar in, a vector out.
    fn replace_lane(&mut self, op: ReplaceLaneOp, lane: u8);
    /// Two vectors in; out one whose byte `i` is byte `lanes[i]` of the two.
    fn shuffle(&mut self, lanes: [u8; 16]);
    /// An address in, a vector out.
    fn vector_load(&mut self, op: VectorLoadOp, access: MemoryAccess);
    /// An address and a vector in.
    fn vector_store(&mut self, access: MemoryAccess);
    /// An address and a vector in; out the vector with the lane read.
    fn load_lane(&mut self, width: LaneWidth, access: MemoryAccess, lane: u8);
    /// An address and a vector in; the lane is written.
    fn store_lane(&mut self, width: LaneWidth, access: MemoryAccess, lane: u8);
    /// A direct call; `func` in the module's function index space.
    fn call(&mut self, func: u32, ty: &FuncType);
    /// A call through a table; the element's index is on top of the arguments.
    fn call_indirect(&mut self, table: u32, type_index: u32, ty: &FuncType);

    /// A direct call in the place of a return.
    fn return_call(&mut self, func: u32, ty: &FuncType);
    /// A call through a table in the place of a return.
    fn return_call_indirect(&mut self, table: u32, type_index: u32, ty: &FuncType);

    /// Opens a block.
    fn block(&mut self, ty: BlockSignature<'_>) -> Self::Label;
    /// Opens a block within which, and within whose callees, exceptions are caught. `controls` are those around it. What
    /// was on the stack below the parameters is there when a clause branches.
    fn try_table(
        &mut self,
        controls: &mut [Control<Self::Label>],
        ty: BlockSignature<'_>,
        catches: &[Catch<'_>],
    ) -> Self::Label;
    /// Opens a loop. `hints` is empty unless the tier looks ahead.
    fn loop_(&mut self, ty: BlockSignature<'_>, hints: &LoopHints<'_>) -> Self::Label;
    /// Opens an if; the condition is on top.
    fn if_(&mut self, ty: BlockSignature<'_>) -> Self::Label;
    /// Ends the first arm, whose end is reached if `reachable`, and begins the second.
    fn else_(&mut self, control: &mut Control<Self::Label>, reachable: bool);
    /// Closes a construct. `reachable` says whether the end is reached by falling through; for an `if` without an
    /// `else` the sink also binds the missing arm.
    fn end(&mut self, control: Control<Self::Label>, reachable: bool);

    /// Branches.
    fn br(&mut self, target: &mut Control<Self::Label>);
    /// Pops a condition and branches if it is not zero.
    fn br_if(&mut self, target: &mut Control<Self::Label>);
    /// Pops an index and branches to the target of that number, or to the last. `depths` index `controls` from its end
    /// (0 is the innermost) and are all of the same arity.
    fn br_table(&mut self, controls: &mut [Control<Self::Label>], depths: &[u32]);
    /// Returns from the function.
    fn return_(&mut self);
    /// Traps.
    fn unreachable(&mut self);
    /// Throws an exception of a tag, whose payload, `ty`'s parameters, is on top.
    fn throw(&mut self, tag: u32, ty: &FuncType);
    /// Throws the exception that a reference on top refers to.
    fn throw_ref(&mut self);

    /// Whether the function has outgrown what the tier can represent. The front end looks after every operator
    /// and stops; the tier says why when it is asked for its result.
    fn is_exhausted(&self) -> bool;
}
