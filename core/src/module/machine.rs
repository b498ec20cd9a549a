//! The machine code of a module, published and looked up.
//!
//! What a code generator hands over is checked for what the engine relies on without looking again: that every function
//! and trampoline that can be asked for is there, and lies in the text. That the bytes do what they should is the
//! code generator's word: an engine that is given one trusts it as it trusts itself.

use crate::compiler::{CodeArtifact, HandlerTable, TrapSite};
use crate::error::ModuleError;
use crate::index_spaces::IndexSpaces;
use crate::module::Names;
use crate::observer::{CodeObserver, CodeSymbol, CodeView, Observed};
use crate::trap::Trap;
use crate::vm::code::PublishedCode;
use crate::vm::layout::VmLayout;
use std::ops::Range;
use std::sync::Arc;

/// A module's code at the place where it runs.
#[derive(Debug)]
pub(crate) struct MachineCode {
    /// In front of the text, so that it is dropped first.
    #[expect(dead_code, reason = "it is there to be dropped")]
    observed: Option<Observed>,
    text: PublishedCode,
    layout: VmLayout,
    funcs: Box<[Range<u32>]>,
    entries: Box<[Option<u32>]>,
    host_calls: Box<[Option<u32>]>,
    traps: Box<[TrapSite]>,
    handlers: HandlerTable,
}

impl MachineCode {
    /// Publishes what the tier `tier` has made of a module with these index spaces.
    ///
    /// # Errors
    /// [`ModuleError::Unsupported`] where the artefact lacks something, [`ModuleError::CodeMemory`] where the system has no
    /// room for the code.
    pub(super) fn publish(
        tier: &'static str,
        types: &IndexSpaces,
        artifact: CodeArtifact,
        names: &Names,
        observer: Option<&Arc<dyn CodeObserver>>,
    ) -> Result<Self, ModuleError> {
        if let Err(what) = check(types, &artifact) {
            return Err(ModuleError::Unsupported {
                tier,
                what: format!("of its own fault ({what})"),
            });
        }
        let text =
            PublishedCode::new(&artifact.text).map_err(|error| ModuleError::CodeMemory(Arc::new(error)))?;
        let observed = observer.map(|observer| {
            let symbols = symbols(types, &artifact, names);
            Observed::tell(
                observer,
                &CodeView {
                    tier,
                    module: names.module.as_deref(),
                    address: text.start(),
                    text: &artifact.text,
                    symbols: &symbols,
                },
            )
        });
        let mut handlers = artifact.handlers;
        handlers.shrink();
        Ok(Self {
            observed,
            text,
            layout: VmLayout::new(types),
            funcs: artifact.funcs.into(),
            entries: artifact.entries.into(),
            host_calls: artifact.host_calls.into(),
            traps: artifact.traps.into(),
            handlers,
        })
    }

    /// Where the parts of its instances' contexts lie.
    pub(crate) fn layout(&self) -> VmLayout {
        self.layout
    }

    /// Bytes of code.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Address of the defined function `func`.
    pub(crate) fn entry(&self, func: u32) -> usize {
        self.text.start() + self.funcs[func as usize].start as usize
    }

    /// Address of the trampoline by which functions of type `ty` are entered.
    ///
    /// # Panics
    /// If the module defines no function of the type.
    pub(crate) fn trampoline(&self, ty: u32) -> usize {
        let offset = self.entries[ty as usize].expect("checked when it was published");
        self.text.start() + offset as usize
    }

    /// Address of the trampoline that stands for host functions of type `ty`.
    ///
    /// # Panics
    /// If the module imports no function of the type.
    pub(crate) fn host_call(&self, ty: u32) -> usize {
        let offset = self.host_calls[ty as usize].expect("checked when it was published");
        self.text.start() + offset as usize
    }

    /// Where exceptions are caught, by offsets.
    pub(crate) fn handlers(&self) -> &HandlerTable {
        &self.handlers
    }

    /// The address of an offset in the code.
    pub(crate) fn address_of(&self, offset: u32) -> usize {
        self.text.start() + offset as usize
    }

    /// The offset of an address in the code.
    pub(crate) fn offset_of(&self, address: usize) -> Option<u32> {
        self.text.offset_of(address)
    }

    /// The defined function that an offset belongs to. Looks at all of them: for reports, which are rare.
    pub(crate) fn func_at(&self, offset: u32) -> Option<u32> {
        let index = self.funcs.iter().position(|func| func.contains(&offset))?;
        Some(index as u32)
    }

    /// What a fault of the instruction at an offset means.
    pub(crate) fn trap_at(&self, offset: u32) -> Option<Trap> {
        let index = self
            .traps
            .binary_search_by_key(&offset, |site| site.offset)
            .ok()?;
        Some(self.traps[index].trap)
    }
}

/// What lies in the code, by name and in ascending order: functions by their names in the name section, or else by their
/// numbers, and trampolines by those of their types.
fn symbols(types: &IndexSpaces, artifact: &CodeArtifact, names: &Names) -> Vec<CodeSymbol> {
    let funcs = artifact.funcs.iter().zip(types.imported_funcs..);
    let mut symbols: Vec<_> = funcs
        .map(|(range, index)| CodeSymbol {
            name: match names.funcs.get(&index) {
                Some(name) => (**name).to_owned(),
                None => format!("wasm-function[{index}]"),
            },
            func: Some(index),
            range: range.clone(),
        })
        .collect();
    for (what, trampolines) in [("entry", &artifact.entries), ("host call", &artifact.host_calls)] {
        for (ty, start) in trampolines.iter().enumerate() {
            symbols.extend(start.map(|start| CodeSymbol {
                name: format!("{what} trampoline of type {ty}"),
                func: None,
                range: start..start,
            }));
        }
    }
    symbols.sort_by_key(|symbol| symbol.range.start);
    // A trampoline ends where something else begins.
    let mut end = artifact.text.len() as u32;
    for symbol in symbols.iter_mut().rev() {
        if symbol.range.is_empty() {
            symbol.range.end = end;
        }
        end = symbol.range.start;
    }
    symbols
}

/// Finds what an artefact lacks.
fn check(types: &IndexSpaces, artifact: &CodeArtifact) -> Result<(), &'static str> {
    let end = artifact.text.len();
    let inside = |offset: &Option<u32>| offset.is_none_or(|offset| (offset as usize) < end);
    let (imported, defined) = types.funcs.split_at(types.imported_funcs as usize);
    let there = |trampolines: &[Option<u32>], funcs: &[u32]| {
        trampolines.len() == types.types.len()
            && trampolines.iter().all(inside)
            && funcs.iter().all(|&ty| trampolines[ty as usize].is_some())
    };
    let funcs = &artifact.funcs;
    if u32::try_from(end).is_err() {
        return Err("the text is larger than offsets reach");
    }
    if funcs.len() != defined.len() {
        return Err("not as many functions as the module defines");
    }
    if funcs
        .iter()
        .any(|func| func.is_empty() || func.end as usize > end)
    {
        return Err("a function outside of the text");
    }
    if !there(&artifact.entries, defined) {
        return Err("an entry trampoline is missing");
    }
    if !there(&artifact.host_calls, imported) {
        return Err("a host trampoline is missing");
    }
    artifact.handlers.check(end as u32, types.tags.len() as u32)?;
    if !artifact.traps.is_sorted_by_key(|site| site.offset) {
        return Err("trap sites in disorder");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FuncType;

    fn types() -> IndexSpaces {
        IndexSpaces {
            types: vec![FuncType::new([], [])],
            funcs: vec![0, 0],
            imported_funcs: 1,
            ..IndexSpaces::default()
        }
    }

    fn artifact() -> CodeArtifact {
        CodeArtifact {
            text: vec![0xcc; 16],
            funcs: std::iter::once(0..8).collect(),
            entries: vec![Some(8)],
            host_calls: vec![Some(12)],
            ..CodeArtifact::default()
        }
    }

    #[test]
    fn what_lacks_something_is_refused() {
        let broken: [fn(&mut CodeArtifact); 7] = [
            |artifact| artifact.funcs.clear(),
            |artifact| artifact.funcs[0].end = 17,
            |artifact| artifact.funcs[0].end = 0,
            |artifact| artifact.entries.clear(),
            |artifact| artifact.entries[0] = None,
            |artifact| artifact.host_calls[0] = Some(16),
            |artifact| {
                artifact.traps = [9, 8]
                    .map(|offset| TrapSite {
                        offset,
                        trap: Trap::Unreachable,
                    })
                    .into();
            },
        ];
        assert!(check(&types(), &artifact()).is_ok());
        for (index, break_it) in broken.into_iter().enumerate() {
            let mut artifact = artifact();
            break_it(&mut artifact);
            assert!(check(&types(), &artifact).is_err(), "{index}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no inaccessible pages")]
    fn addresses_are_looked_up() {
        let mut artifact = artifact();
        artifact.traps = vec![TrapSite {
            offset: 3,
            trap: Trap::Unreachable,
        }];
        let code = MachineCode::publish("test", &types(), artifact, &Names::default(), None)
            .expect("executable memory");
        assert_eq!(code.offset_of(code.entry(0) + 3), Some(3));
        assert_eq!(code.trap_at(3), Some(Trap::Unreachable));
        assert_eq!(code.trap_at(4), None);
        assert_eq!(code.func_at(7), Some(0));
        assert_eq!(code.func_at(8), None);
        assert_eq!(code.trampoline(0) - code.entry(0), 8);
        assert_eq!(code.host_call(0) - code.entry(0), 12);
    }
}
