//! The front end: reads a function body once, validates it, and tells a tier what it means.
//!
//! There is exactly one `VisitOperator` in the tree, [`Visitor`]. What it visits comes from the decoder, but for the operators that
//! most code consists of, which `common` reads itself. For each operator it first asks the validator, then,
//! if the code can be reached, hands the operator to the [`Sink`] by class. What it owns itself is the control stack:
//! which constructs are open, whether the current point can be reached, and whether anything branches to a label. Code
//! that cannot be reached is validated and then forgotten.
//!
//! Memory is linear in the size of the body, and so is time but for what the standard itself allows: each call, and each
//! entry of a `br_table`, may carry a thousand values, which the validator checks one by one; and a few bytes may declare
//! fifty thousand locals.

mod common;
mod scan;
mod sink;
mod visitor;

pub(crate) use scan::Scan;
pub use scan::{LocalUse, LoopHints};
pub use sink::{BlockSignature, Catch, Control, ControlKind, MemoryAccess, Next, Sink};

use crate::error::ModuleError;
use crate::index_spaces::IndexSpaces;
use crate::types::ValType;
use visitor::Visitor;
use wasmparser::{BinaryReader, FuncValidator, FunctionBody, ValidatorResources};

/// Reads, validates and translates one function body.
///
/// # Errors
/// [`ModuleError::Invalid`] where the body is malformed or invalid, with the byte offset.
pub(crate) fn translate<S: Sink>(
    types: &IndexSpaces,
    validator: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
    sink: &mut S,
    locals: &[ValType],
    scan: &mut Scan,
    body_label: S::Label,
) -> Result<(), ModuleError> {
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader).map_err(ModuleError::invalid)?;
    let ty = types.func_type(validator.index());
    let results = u32::try_from(ty.results().len()).expect("the validator bounds the number of results");
    let mut visitor = Visitor::new(types, validator, sink, locals, results, body_label, body);
    visitor.look_ahead(scan);
    let (bytes, start) = (body.as_bytes(), body.range().start);
    // The reader itself stays behind the last operator that was not a common one.
    let mut at = reader.current_position();
    debug_assert_eq!(start + at as u64, reader.original_position());
    while at < bytes.len() {
        visitor.offset = start + at as u64;
        let outcome = if visitor.is_open()
            && let Some((length, outcome)) = common::visit(&mut visitor, &bytes[at..])
        {
            at += length;
            outcome
        } else {
            visitor.length = 0;
            skip_to(&mut reader, at)?;
            let outcome = reader
                .visit_operator(&mut visitor)
                .map_err(ModuleError::invalid)?;
            at = reader.current_position();
            outcome
        };
        outcome.map_err(|error| *error)?;
        if visitor.is_exhausted() {
            return visitor.excess();
        }
    }
    skip_to(&mut reader, at)?;
    reader.finish_expression(&visitor).map_err(ModuleError::invalid)
}

/// Lets a body's reader go on at a place that it has not passed yet.
fn skip_to(reader: &mut BinaryReader<'_>, at: usize) -> Result<(), ModuleError> {
    let skipped = at - reader.current_position();
    reader.read_bytes(skipped).map_err(ModuleError::invalid)?;
    Ok(())
}

/// The types of a function's locals, parameters first.
///
/// # Errors
/// [`ModuleError::Invalid`] where the declaration is malformed, declares too many, or uses a type of a proposal
/// that the engine does not implement.
pub(crate) fn local_types(
    types: &IndexSpaces,
    func: u32,
    body: &FunctionBody<'_>,
) -> Result<Vec<ValType>, ModuleError> {
    /// The bound that all engines share (JavaScript embedding, "Implementation limits").
    const MAX_LOCALS: usize = 50_000;
    let mut locals = types.func_type(func).params().to_vec();
    for entry in body.get_locals_reader().map_err(ModuleError::invalid)? {
        let (count, ty) = entry.map_err(ModuleError::invalid)?;
        let total = locals
            .len()
            .saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
        if total > MAX_LOCALS {
            return Err(ModuleError::Invalid {
                message: format!("too many locals: {total}, and at most {MAX_LOCALS} are taken"),
                offset: body.range().start,
            });
        }
        let ty = ValType::from_wasm(ty).ok_or_else(|| ModuleError::unsupported_type(&ty))?;
        locals.resize(total, ty);
    }
    Ok(locals)
}
