//! The baseline tier: one pass over the body, a cache of registers over the value stack.
//!
//! | module | holds |
//! |---|---|
//! | `function` | what is known while a function is translated, and its frame |
//! | `operators` | what each operator becomes |
//! | `address` | accesses to memory, and sums by `lea` |
//! | `registers` | which register is given out next, and what has to leave it |
//! | `control` | labels, loops, and what is in registers where ways meet |
//! | `calls` | calls and trampolines |
//! | `exceptions` | throwing, and where what is caught lands |
//! | `moves` | several moves at once, and the calling convention |
//! | `place` | the words in which all of them speak |
//!
//! It is V8 Liftoff's idea with two differences. Locals that a loop uses stay in registers around it: the front end has
//! looked ahead and says which. And a result that goes straight to a local is computed in the local's register, because
//! the front end also says what comes next.

mod address;
mod calls;
mod control;
mod exceptions;
mod function;
mod moves;
mod operators;
mod place;
mod registers;

use crate::cpu::CpuFeatures;
use function::Function;
use luge_core::ModuleError;
use luge_core::compiler::{BoundsStrategy, CodeArtifact, CodeGenerator, ModuleTranslation};

/// How code is made.
#[derive(Debug, Clone, Copy)]
pub struct BaselineOptions {
    /// How memory accesses are kept in bounds.
    pub bounds: BoundsStrategy,
    /// Whether code counts fuel at loop headers and calls, so that a run comes back when it is used up.
    pub fuel: bool,
    /// Whether the artefact says where each operator's code begins.
    pub positions: bool,
    /// What the processor has.
    pub cpu: CpuFeatures,
}

/// The baseline compiler.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    options: BaselineOptions,
}

impl Baseline {
    /// A compiler with these options.
    #[must_use]
    pub fn new(options: BaselineOptions) -> Self {
        Self { options }
    }
}

impl CodeGenerator for Baseline {
    fn name(&self) -> &'static str {
        "baseline"
    }

    fn fingerprint(&self) -> String {
        format!("{:?}", self.options)
    }

    fn compile(&self, module: &mut ModuleTranslation<'_>) -> Result<CodeArtifact, ModuleError> {
        let view = module.module();
        let mut function = Function::new(self.options, view);
        // What code usually comes to; it grows from there.
        let expected = module.body_bytes().saturating_mul(2).min(1 << 26);
        function.masm.reserve_code(usize::try_from(expected).unwrap_or(0));
        let mut funcs = Vec::with_capacity(module.remaining());
        while let Some(translation) = module.next_function()? {
            let index = translation.index() as usize;
            function.open(
                view.funcs()[index],
                translation.locals(),
                translation.body_bytes(),
            );
            let label = function.body_label();
            translation.translate(&mut function, label)?;
            if let Some(what) = function.unsupported {
                return Err(ModuleError::Unsupported {
                    tier: self.name(),
                    what: what.to_owned(),
                });
            }
            let limit = function.code_limit();
            refuse_excess(function.masm.here(), limit)?;
            function.close();
            // What lies behind the last instruction is in proportion to the function, but counts for the whole.
            refuse_excess(function.masm.here(), MOST_TEXT)?;
            funcs.push(function.first_byte()..function.masm.here());
        }
        for (at, callee) in std::mem::take(&mut function.calls) {
            let entry = function.entries[callee as usize];
            function.masm.link(at, entry);
        }
        let mut used = vec![(false, false); view.types().len()];
        for (index, &ty) in view.funcs().iter().enumerate() {
            if index < view.imported_funcs() as usize {
                used[ty as usize].1 = true;
            } else {
                used[ty as usize].0 = true;
            }
        }
        let (mut entries, mut host_calls) = (Vec::new(), Vec::new());
        for (ty, (entered, imported)) in view.types().iter().zip(used) {
            entries.push(entered.then(|| function.entry_trampoline(ty)));
            host_calls.push(imported.then(|| function.host_trampoline(ty)));
        }
        refuse_excess(function.masm.here(), MOST_TEXT)?;
        let (positions, handlers) = (function.positions, function.handlers);
        let data = function.masm.take_data();
        let (text, traps) = function.masm.into_parts();
        Ok(CodeArtifact {
            text,
            funcs,
            entries,
            host_calls,
            traps,
            handlers,
            positions,
            data,
        })
    }
}

/// Most bytes of a module's machine code: what displacements reach from one end to the other.
const MOST_TEXT: u32 = i32::MAX as u32;

/// Refuses code that has become larger than `limit`, which is a function's or the module's.
fn refuse_excess(have: u32, limit: u32) -> Result<(), ModuleError> {
    let what = match have {
        0..=MOST_TEXT if have <= limit => return Ok(()),
        0..=MOST_TEXT => "the bytes of code that branches and calls of a function carry values with",
        _ => "the bytes of the module's machine code",
    };
    Err(ModuleError::TooLarge {
        what,
        have: u64::from(have),
        limit: u64::from(limit.min(MOST_TEXT)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_is_told_apart() {
        assert!(refuse_excess(MOST_TEXT, MOST_TEXT).is_ok());
        for (have, limit, named) in [
            (1001, 1000, "branches"),
            (MOST_TEXT + 1, MOST_TEXT, "module"),
            (u32::MAX, 1000, "module"),
        ] {
            let Err(ModuleError::TooLarge { what, .. }) = refuse_excess(have, limit) else {
                panic!("{have} of {limit} is taken");
            };
            assert!(what.contains(named), "{what}");
        }
    }
}
