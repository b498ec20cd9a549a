//! One function under translation: what is known at the current point, and the function's frame.
//!
//! ```text
//!   rbp + 16 ..   arguments that found no register, and results likewise (the caller's frame)
//!   rbp + 8       return address
//!   rbp           the caller's rbp
//!   rbp - 8       the instance's context
//!   rbp - 16 ..   locals
//!        ..       operands, one slot for each height of the stack
//!   rsp ..        what this function passes on the stack, or hands to the engine
//! ```

use super::BaselineOptions;
use super::address::Shifted;
use super::moves::{AbiPlace, AbiPlaces, Move, Signature};
use super::place::{Local, Locations, Operand, RegSet, Stack, words};
use crate::masm::{self, Masm, Reg};
use luge_core::compiler::{HandlerTable, ModuleView, SourcePosition, abi};
use luge_core::{FuncType, ValType};
use std::collections::HashSet;
use std::rc::Rc;

/// The compiler of a module's functions, one after the other; its buffers are used again for each.
pub(super) struct Function<'w> {
    pub(super) options: BaselineOptions,
    pub(super) module: ModuleView<'w>,
    pub(super) masm: Masm,
    pub(super) positions: Vec<SourcePosition>,
    /// Direct calls of functions that are not compiled yet: the displacement and the callee.
    pub(super) calls: Vec<(u32, u32)>,
    /// Where each compiled function begins.
    pub(super) entries: Vec<u32>,
    /// Where exceptions are caught.
    pub(super) handlers: HandlerTable,
    /// The first handler of the current function.
    first_handler: usize,

    /// For each type of the module, where values of its calls lie.
    pub(super) signatures: Vec<Rc<Signature>>,

    // Of the current function.
    pub(super) signature: Rc<Signature>,
    pub(super) locals: Vec<Local>,
    pub(super) stack: Stack,
    /// Operands below this position are in their slots, or constants.
    pub(super) flushed: usize,
    /// Words of the operand area that the stack reaches to.
    pub(super) height_words: u32,
    /// Whether the value on top of the stack is in the flags.
    pub(super) flags_on_top: bool,
    /// Distance of the operand area's upper end from `rbp`.
    pub(super) operands_end: i32,
    pub(super) most_words: u32,
    /// Bytes at the frame's low end for what is passed on.
    pub(super) outgoing: u32,
    /// Bytes of the caller's frame that this function's arguments and results may lie in.
    pub(super) incoming: u32,
    /// Registers that hold locals.
    pub(super) cached: Locations,
    /// Registers that hold operands, and the stack positions of those.
    pub(super) holding: RegSet,
    pub(super) positions_held: [u32; 32],
    /// Registers that the operator under translation uses.
    pub(super) busy: RegSet,
    /// Registers that the innermost loop wants for its locals, and those locals.
    pub(super) homes: RegSet,
    pub(super) home_locals: Vec<u32>,
    /// The local that the next operator writes the result to.
    pub(super) result_local: Option<u32>,
    /// Kept to be used again.
    pub(super) moves: Vec<Move>,
    pub(super) elsewhere: Vec<(Reg, Operand)>,
    pub(super) wanted: Vec<(u32, bool)>,
    /// For each depth, where a jump table's way there begins; all empty but while one is written.
    pub(super) ways: Vec<Option<masm::Label>>,
    #[expect(
        clippy::vec_box,
        reason = "labels hold boxes, which come from here and go back"
    )]
    pub(super) spare: Vec<Box<Locations>>,
    /// Lists of types that labels share: of the module's types, so that there are no more than it has.
    pub(super) type_lists: HashSet<Rc<[ValType]>>,
    /// The last instruction, if it is a small shift to the left.
    pub(super) shifted: Option<Shifted>,
    /// Operators so far.
    pub(super) operators: u32,
    /// Where fuel runs out, and where to go on.
    pub(super) preemptions: Vec<(masm::Label, masm::Label)>,
    /// Entries of jump tables: where, the table's start, and the target.
    pub(super) table_entries: Vec<(u32, u32, masm::Label)>,
    /// What the module asks for that this tier does not do.
    pub(super) unsupported: Option<&'static str>,
    frame_patch: u32,
    fuel_patch: Option<u32>,
    code_limit: u32,
    first_byte: u32,
}

/// Bytes of code that a function may become for each byte of its body, and in any case. Ordinary code needs less than
/// ten; only branches that carry many values around need more, and hostile bodies could ask for thousands.
const CODE_PER_BYTE: u64 = 64;
const CODE_FREE: u64 = 1 << 20;

impl<'w> Function<'w> {
    pub(super) fn new(options: BaselineOptions, module: ModuleView<'w>) -> Self {
        Self {
            options,
            module,
            masm: Masm::new(options.cpu),
            positions: Vec::new(),
            calls: Vec::new(),
            entries: Vec::new(),
            handlers: HandlerTable::default(),
            first_handler: 0,
            signatures: module
                .types()
                .iter()
                .map(|ty| Rc::new(Signature::of(ty)))
                .collect(),
            signature: Rc::new(Signature::of(&FuncType::new([], []))),
            locals: Vec::new(),
            stack: Stack::default(),
            flushed: 0,
            height_words: 0,
            flags_on_top: false,
            operands_end: 0,
            most_words: 0,
            outgoing: 0,
            incoming: 0,
            cached: Locations::EMPTY,
            holding: RegSet::default(),
            positions_held: [0; 32],
            busy: RegSet::default(),
            homes: RegSet::default(),
            home_locals: Vec::new(),
            result_local: None,
            moves: Vec::new(),
            elsewhere: Vec::new(),
            wanted: Vec::new(),
            ways: Vec::new(),
            spare: Vec::new(),
            type_lists: HashSet::new(),
            shifted: None,
            operators: 0,
            preemptions: Vec::new(),
            table_entries: Vec::new(),
            unsupported: None,
            frame_patch: 0,
            fuel_patch: None,
            code_limit: 0,
            first_byte: 0,
        }
    }

    /// Begins a function of the module.
    pub(super) fn open(&mut self, type_index: u32, locals: &[ValType], body_bytes: u64) {
        let types = self.module.types();
        let ty = &types[type_index as usize];
        self.stack.truncate(0);
        self.locals.clear();
        self.flushed = 0;
        self.height_words = 0;
        self.flags_on_top = false;
        self.most_words = 0;
        self.outgoing = 0;
        self.cached = Locations::EMPTY;
        self.holding = RegSet::default();
        self.busy = RegSet::default();
        self.homes = RegSet::default();
        self.home_locals.clear();
        self.operators = 0;
        self.shifted = None;
        self.result_local = None;
        self.first_handler = self.handlers.len();
        self.masm.clear_labels();
        self.signature = Rc::clone(&self.signatures[type_index as usize]);
        self.incoming = self.signature.stack_bytes.max(abi::LEAST_STACK_BYTES);
        self.masm.align_function();
        self.first_byte = self.masm.here();
        let limit = body_bytes.saturating_mul(CODE_PER_BYTE) + CODE_FREE + u64::from(self.first_byte);
        self.code_limit = u32::try_from(limit).unwrap_or(u32::MAX).min(super::MOST_TEXT);
        self.entries.push(self.first_byte);
        self.frame_patch = self.masm.open_frame();
        self.open_locals(ty.params(), locals);
        if self.options.fuel {
            let (out, back) = (self.masm.label(), self.masm.label());
            self.fuel_patch = Some(self.masm.take_fuel(out));
            self.masm.bind(back);
            self.preemptions.push((out, back));
        }
    }

    fn open_locals(&mut self, params: &[ValType], locals: &[ValType]) {
        let mut places = AbiPlaces::default();
        let mut disp = -8;
        for (index, &ty) in locals.iter().enumerate() {
            let place = params.get(index).map(|&ty| places.next(ty));
            let local_disp = match place {
                Some(AbiPlace::Stack(at)) => 16 + at as i32,
                _ => {
                    disp -= words(ty) as i32 * 8;
                    disp
                }
            };
            self.locals.push(Local {
                ty,
                disp: local_disp,
                reg: None,
                home: None,
                newest: 0,
            });
            if let Some(AbiPlace::Reg(reg)) = place {
                self.cache(reg, index as u32, true);
            }
            if index + 1 == params.len() {
                self.operands_end = disp;
            }
        }
        if params.is_empty() {
            self.operands_end = -8;
        }
        let declared = (self.operands_end - disp) as u32 / 8;
        self.masm.zero_words(disp, declared);
        self.operands_end = disp;
    }

    /// Ends the function: what lies behind its last instruction, and what was left open in it.
    pub(super) fn close(&mut self) {
        for (out, back) in std::mem::take(&mut self.preemptions) {
            self.masm.bind(out);
            self.masm.preempt();
            self.masm.jump(back);
        }
        self.masm.finish_function();
        for (at, table, target) in std::mem::take(&mut self.table_entries) {
            let target = self
                .masm
                .offset_of(target)
                .expect("every label is bound at the end");
            self.masm.patch_u32(at, target.wrapping_sub(table));
        }
        let below = (-self.operands_end) as u32 + self.most_words * 8 + self.outgoing;
        let size = (below + 15) & !15;
        self.masm.patch_frame(self.frame_patch, size);
        for handler in self.handlers.handlers_mut(self.first_handler) {
            handler.place = size;
        }
        if let Some(patch) = self.fuel_patch.take() {
            self.masm.patch_u32(patch, self.operators.clamp(1, 1 << 20));
        }
    }

    /// Whether the function has become larger than it may.
    pub(super) fn is_too_large(&self) -> bool {
        self.masm.here() > self.code_limit
    }

    /// How large the code may be after this function.
    pub(super) fn code_limit(&self) -> u32 {
        self.code_limit
    }

    /// Where this function begins.
    pub(super) fn first_byte(&self) -> u32 {
        self.first_byte
    }

    /// Makes room for what is passed on the stack.
    pub(super) fn needs_outgoing(&mut self, bytes: u32) {
        self.outgoing = self.outgoing.max(bytes);
    }
}
