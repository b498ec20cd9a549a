//! The seam between the engine and its code generators.
//!
//! A [`CodeGenerator`] turns the function bodies of a module into machine code that is inert: bytes and tables, which
//! the engine publishes, maps and enters. Code generators therefore need no `unsafe`, and the engine does not know them.
//!
//! ```text
//!   engine                                    code generator
//!     Module::new ── ModuleTranslation ──────►  compile: for each function
//!                     .next_function()            a Sink of its own
//!                     .translate(&mut sink) ◄───  reads the body through the one front end
//!     vm::code    ◄── CodeArtifact ───────────  text, entries, trap sites
//! ```
//!
//! What generated code may rely on at run time, and what is relied on of it:
//!
//! * **Registers.** `r15` is the instance's [`VmCtx`](crate::vmctx), `r14` the base of its memory 0, `rbp` the frame,
//!   `rsp` a stack of the run's own, 16-aligned before the entry trampoline is called. All other registers belong to the code:
//!   a call preserves none of them. MXCSR and the x87 control word stay as they are.
//! * **Values.** An `i32` in a general register is zero-extended; a reference is its slot (0 for null). Floats and
//!   vectors lie in vector registers, whose upper bits mean nothing.
//! * **Frames.** Each function, and each trampoline, begins with `push rbp; mov rbp, rsp` and keeps its `r15` at `[rbp - 8]`.
//!   The chain of `rbp` ends with 0. Backtraces follow it: whoever calls `leave` has a frame of its own.
//! * **Stack.** Before a frame is used, its lowest address, room for outgoing arguments included, is compared (unsigned) with
//!   `stack_limit`. What is below that suffices for one trampoline, which need not compare, one exit to the engine and a
//!   signal's frame. An access to the guard below the stack counts as an exhausted stack whatever instruction makes it, and so
//!   does a signal that finds no room for its frame.
//! * **Arguments and results** lie where [`abi`] says.
//! * **Calls into the engine** go through `leave`: see [`abi`]. While the code is away, by `leave` or `preempt`, the store
//!   may change under it, by itself or by another run: of what was loaded from the context nothing holds afterwards
//!   but the bases of memories, which never move, and their sizes as lower bounds, for memories never shrink.
//! * **Calls of what is not of the same module** take the callee's [`FuncRef`](crate::vmctx::FuncRef) in `r11`, set `r15`
//!   and `r14` from it (of a host's function: null), and restore both afterwards from the own frame and context.
//! * **Tail calls** out of the instance close their frame and jump to `tail_call`, with everything in registers. A tail call of a
//!   host's function (one whose `FuncRef` has no context), or one that passes anything on the stack, is a call and a return:
//!   the host's trampoline asks its caller's frame who calls.
//! * **Exceptions.** Code throws by leaving ([`abi::LEAVE_THROW`]), as from a call of the engine. The engine follows the chain of
//!   `rbp` and looks each return address up in [`CodeArtifact::handlers`], of the module whose context is at `[rbp - 8]`. In
//!   the innermost frame that catches, code goes on at the handler's target with `rbp`, `rsp`, `r15` and `r14` as after a
//!   call, and nothing else: what a handler needs of locals and operands is in the frame before any call in its region.
//! * **Interruption.** A signal may stop code between any two of its instructions and let the engine do other things first. All
//!   general registers, the flags and the lower 128 bits of the vector registers 0 to 15 are kept, and what lies at and above
//!   `rsp`, which is a multiple of 8: code has nothing below it, and uses no wider or other registers. What it has loaded
//!   from the context may be used behind such a stop, unlike behind a call: the run does not go on if any of it has moved.
//! * **Faults.** SIGSEGV, SIGBUS, SIGFPE and SIGILL at an instruction of [`CodeArtifact::traps`] are that trap, with the
//!   functions that are active as the chain of `rbp` gives them. At any other instruction, and at an access that reaches
//!   beyond what is reserved for memories, they are a bug of the code generator, after which nothing is certain: the
//!   process is aborted, and says where.

use crate::engine::WasmLevel;
use crate::error::ModuleError;
use crate::frontend::{self, Scan, Sink};
use crate::index_spaces::IndexSpaces;
use crate::module;
use crate::trap::Trap;
use crate::types::{FuncType, GlobalType, MemoryType, TableType, ValType};
use crate::vm::layout::VmLayout;
use std::fmt::Debug;
use std::ops::Range;
use wasmparser::{FuncToValidate, FuncValidatorAllocations, FunctionBody, ValidatorResources};

pub use crate::handlers::{Handler, HandlerTable};

/// A tier that makes machine code.
pub trait CodeGenerator: Debug + Send + Sync {
    /// The tier's name, as metrics and logs show it.
    fn name(&self) -> &'static str;

    /// Everything that its code depends on beside the module: options, processor features, its own version. Cached code is
    /// used only where this is the same.
    fn fingerprint(&self) -> String;

    /// Compiles all functions of a module.
    ///
    /// # Errors
    /// What `module` gives where a body is malformed or invalid; [`ModuleError::Unsupported`] where the tier cannot take
    /// a function.
    fn compile(&self, module: &mut ModuleTranslation<'_>) -> Result<CodeArtifact, ModuleError>;
}

/// Makes the machine code of a module and publishes nothing: for tools that look at code or keep it.
///
/// # Errors
/// As of [`Module::new`](crate::Module::new).
pub fn compile(
    level: WasmLevel,
    compiler: &dyn CodeGenerator,
    wasm: &[u8],
) -> Result<CodeArtifact, ModuleError> {
    module::artifact(level, compiler, wasm)
}

/// How accesses to linear memory are kept in bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BoundsStrategy {
    /// By the address space around a memory: what lies outside of it faults. A 64-bit memory, which that cannot do for,
    /// is checked as with [`Software`](Self::Software).
    #[default]
    Guard,
    /// By a comparison before each access.
    Software,
    /// By nothing: for measurements only. (Today it makes the code of `Guard`, whose reservation is there all the same.)
    None,
}

/// Where arguments and results lie, and how code calls the engine.
///
/// Arguments take the registers of their class in order ([`abi::GENERAL_ARGUMENTS`], vector registers 0 to
/// [`abi::VECTOR_ARGUMENTS`] - 1); those that find none lie on the stack, in order, 8 bytes each and 16 for a vector, from
/// `[rsp]` before the call (`[rbp + 16]` in the callee) on. Results do the same; those on the stack lie in the same place as stack arguments, which the caller provides.
pub mod abi {
    /// Numbers of the general registers that take arguments, and results.
    pub const GENERAL_ARGUMENTS: [u8; 6] = [7, 6, 2, 1, 8, 9];
    /// How many vector registers take arguments, and results.
    pub const VECTOR_ARGUMENTS: u8 = 8;

    /// A call of `[r15 + leave]`: `eax` says for what, `rdi` points to slots of 8 bytes on the stack, which hold
    /// operands and take results. All registers but `rsp`, `rbp`, `r14` and `r15` are lost.
    ///
    /// Requests below this one are a [`Libcall`](crate::operator::Libcall) by its number (`as u32`), `ecx` and `edx` its
    /// immediates. A request ends by coming back, with the results in the slots, or not at all.
    pub const LEAVE_HOST_CALL: u32 = 0x100;

    /// Throws an exception: `ecx` is the module's number of its tag, and the slots, as many as the payload takes, hold the
    /// payload. Never comes back.
    pub const LEAVE_THROW: u32 = 0x101;

    /// Throws the exception that the first slot refers to. Never comes back.
    pub const LEAVE_THROW_REF: u32 = 0x102;

    /// Bytes that every frame which calls provides at its low end, however few the callee needs: a tail call of anything that
    /// fits needs no more than its caller's caller has given.
    pub const LEAST_STACK_BYTES: u32 = 64;

    /// How many 8-byte slots a call of the engine has to provide, however few it uses.
    pub const LEAVE_SLOTS: usize = 4;

    /// How many 8-byte slots a call of a host function has to provide at least, and no fewer than its parameters or its
    /// results take; a vector takes two.
    pub const HOST_SLOTS: usize = 16;
}

/// A module of which a code generator reads the functions, one after the other.
pub struct ModuleTranslation<'w> {
    types: &'w IndexSpaces,
    layout: VmLayout,
    bodies: std::vec::IntoIter<(FuncToValidate<ValidatorResources>, FunctionBody<'w>)>,
    allocations: FuncValidatorAllocations,
    scan: Scan,
    /// Locals of the functions so far.
    locals: u64,
}

/// Most locals of all functions of a module. A few bytes declare fifty thousand, and each costs its compiler some time.
const MAX_LOCALS: u64 = 1 << 24;

impl<'w> ModuleTranslation<'w> {
    pub(crate) fn new(
        types: &'w IndexSpaces,
        bodies: Vec<(FuncToValidate<ValidatorResources>, FunctionBody<'w>)>,
    ) -> Self {
        Self {
            types,
            layout: VmLayout::new(types),
            bodies: bodies.into_iter(),
            allocations: FuncValidatorAllocations::default(),
            scan: Scan::default(),
            locals: 0,
        }
    }

    /// What code can know of the module.
    pub fn module(&self) -> ModuleView<'w> {
        ModuleView {
            types: self.types,
            layout: self.layout,
        }
    }

    /// Bytes of all bodies that are left: a measure of how much code there will be.
    pub fn body_bytes(&self) -> u64 {
        let ranges = self.bodies.as_slice().iter().map(|(_, body)| body.range());
        ranges.map(|range| range.end.saturating_sub(range.start)).sum()
    }

    /// How many functions are left.
    pub fn remaining(&self) -> usize {
        self.bodies.len()
    }

    /// The next function, in the order in which the module defines them.
    ///
    /// # Errors
    /// [`ModuleError`] where the declaration of its locals is malformed, or all functions together have too many.
    pub fn next_function(&mut self) -> Result<Option<FunctionTranslation<'_, 'w>>, ModuleError> {
        let Some((func, body)) = self.bodies.next() else {
            return Ok(None);
        };
        let index = func.index;
        let locals = frontend::local_types(self.types, index, &body)?;
        self.locals += locals.len() as u64;
        if self.locals > MAX_LOCALS {
            return Err(ModuleError::TooLarge {
                what: "the locals of all functions",
                have: self.locals,
                limit: MAX_LOCALS,
            });
        }
        Ok(Some(FunctionTranslation {
            module: self,
            func,
            body,
            index,
            locals,
        }))
    }
}

/// A function that is about to be read.
pub struct FunctionTranslation<'t, 'w> {
    module: &'t mut ModuleTranslation<'w>,
    func: FuncToValidate<ValidatorResources>,
    body: FunctionBody<'w>,
    index: u32,
    locals: Vec<ValType>,
}

impl FunctionTranslation<'_, '_> {
    /// Its number in the module's function index space.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its type.
    pub fn ty(&self) -> &FuncType {
        self.module.types.func_type(self.index)
    }

    /// Types of its locals, parameters first.
    pub fn locals(&self) -> &[ValType] {
        &self.locals
    }

    /// Bytes of its body.
    pub fn body_bytes(&self) -> u64 {
        self.body.range().end.saturating_sub(self.body.range().start)
    }

    /// Where its body begins, in bytes from the module's start.
    pub fn offset(&self) -> u64 {
        self.body.range().start
    }

    /// Reads and validates the body, and makes nothing of it: what a pass costs before any code is made.
    ///
    /// # Errors
    /// [`ModuleError::Invalid`] where the body is malformed or invalid.
    pub fn validate(self) -> Result<(), ModuleError> {
        let mut validator = self
            .func
            .into_validator(std::mem::take(&mut self.module.allocations));
        validator.validate(&self.body).map_err(ModuleError::invalid)?;
        self.module.allocations = validator.into_allocations();
        Ok(())
    }

    /// Reads and validates the body, and tells `sink` what it means; `label` is the sink's own of the whole body.
    ///
    /// # Errors
    /// [`ModuleError::Invalid`] where the body is malformed or invalid.
    pub fn translate<S: Sink>(self, sink: &mut S, label: S::Label) -> Result<(), ModuleError> {
        let Self {
            module,
            func,
            body,
            locals,
            ..
        } = self;
        let mut validator = func.into_validator(std::mem::take(&mut module.allocations));
        frontend::translate(
            module.types,
            &mut validator,
            &body,
            sink,
            &locals,
            &mut module.scan,
            label,
        )?;
        module.allocations = validator.into_allocations();
        Ok(())
    }
}

/// What code can know of its module while it is made.
#[derive(Debug, Clone, Copy)]
pub struct ModuleView<'w> {
    types: &'w IndexSpaces,
    layout: VmLayout,
}

impl<'w> ModuleView<'w> {
    /// Where the parts of the instance's context lie.
    pub fn layout(&self) -> VmLayout {
        self.layout
    }

    /// The types of the type section.
    pub fn types(&self) -> &'w [FuncType] {
        &self.types.types
    }

    /// For each function, imported ones first, the number of its type.
    pub fn funcs(&self) -> &'w [u32] {
        &self.types.funcs
    }

    /// How many functions are imported.
    pub fn imported_funcs(&self) -> u32 {
        self.types.imported_funcs
    }

    /// The globals' types, imported ones first.
    pub fn globals(&self) -> &'w [GlobalType] {
        &self.types.globals
    }

    /// The memories' types, imported ones first.
    pub fn memories(&self) -> &'w [MemoryType] {
        &self.types.memories
    }

    /// The tables' types, imported ones first.
    pub fn tables(&self) -> &'w [TableType] {
        &self.types.tables
    }
}

/// The machine code of a module: position-independent, without relocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeArtifact {
    /// The code. Offsets below are into it.
    pub text: Vec<u8>,
    /// Where each defined function lies, in their order; it is entered at its start.
    pub funcs: Vec<Range<u32>>,
    /// For each type of the type section, a trampoline by which the engine enters functions of the type: called with
    /// the slots in `rdi`, the function's address in `rax`, and `r15` and `r14` as the function wants them, it loads the
    /// arguments from the slots, calls, and stores the results from the first slot on. A `v128` takes two slots, the lower
    /// half first. It keeps no register but `rsp`. `None` where no defined function has the type.
    pub entries: Vec<Option<u32>>,
    /// For each type of the type section, a trampoline that stands for host functions of the type: called by code with
    /// the callee's `FuncRef` in `r11`, it leaves with [`abi::LEAVE_HOST_CALL`], the arguments in at least
    /// [`abi::HOST_SLOTS`] slots and the function's number in `ecx`. It finds its caller's context at `[rbp - 8]` before it
    /// makes its own frame. Functions of the host's that enter a store by this module keep the trampoline for calls from other
    /// modules too. `None` where no imported function has the type.
    pub host_calls: Vec<Option<u32>>,
    /// The instructions that can trap, in ascending order: an offset is that of the instruction that faults.
    pub traps: Vec<TrapSite>,
    /// Where exceptions are caught. What a handler takes lies at `[rsp]`, a slot of 8 bytes behind the other and two for a
    /// vector, the reference last. [`Handler::place`] is a multiple of 16.
    pub handlers: HandlerTable,
    /// Where operators begin in the code, in ascending order: for profilers and people, if it was asked for.
    pub positions: Vec<SourcePosition>,
    /// The parts of the code that are data (jump tables, constants), in ascending order: for who disassembles.
    pub data: Vec<Range<u32>>,
}

/// An instruction that can trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrapSite {
    /// Its offset in the code.
    pub offset: u32,
    /// What a fault there means.
    pub trap: Trap,
}

/// Where an operator begins in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePosition {
    /// Offset in the code.
    pub offset: u32,
    /// Offset of the operator in the module's bytes.
    pub wasm: u32,
}
