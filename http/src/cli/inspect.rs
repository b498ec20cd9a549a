//! `luge inspect`: what a module holds, needs and uses, also of one that Luge cannot run.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use luge_core::compiler::compile;
use luge_core::{WasmLevel, features_used};
use wasmparser::{Encoding, Parser, Payload};

use super::{InspectArgs, disassembly};
use crate::engine::{Attachments, Bounds, CompileError, Compiled, EngineChoice, Engines, Tier, baseline};
use crate::function::is_command;
use crate::preemption::PreemptionMode;

/// Why a file cannot be inspected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no machine code of it, or none of what was asked for.
    #[error("{}: {reason}", .path.display())]
    Code {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is no WebAssembly at all.
    #[error("{}: {reason}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
}

/// Reads the module and writes what there is to know about it. The inner result is that of the writing.
///
/// # Errors
/// When the file is no module.
pub fn inspect(args: &InspectArgs, out: &mut impl Write) -> Result<io::Result<()>, InspectError> {
    let path = &args.file;
    let wasm = std::fs::read(path).map_err(|source| InspectError::Read {
        path: path.clone(),
        source,
    })?;
    if args.asm {
        return machine_code(&wasm, args.func.as_deref(), out).map_err(|reason| InspectError::Code {
            path: path.clone(),
            reason,
        });
    }
    let contents = Contents::read(&wasm).map_err(|reason| InspectError::Format {
        path: path.clone(),
        reason,
    })?;
    Ok(write_all(path, &wasm, &contents, out))
}

/// Writes the module's machine code, as the server runs it.
fn machine_code(wasm: &[u8], wanted: Option<&str>, out: &mut impl Write) -> Result<io::Result<()>, String> {
    let (preemption, _) = PreemptionMode::default().or_polls();
    let generator =
        baseline(Bounds::default(), preemption.counts_fuel(), true).map_err(|error| error.to_string())?;
    let artifact = compile(WasmLevel::default(), &*generator, wasm).map_err(|error| error.to_string())?;
    disassembly::write(wasm, &artifact, wanted, out)
}

/// What the sections say, gathered without judging it.
#[derive(Default)]
struct Contents {
    component: bool,
    sections: Vec<(String, u64)>,
    imports: Vec<(String, String, String)>,
    exports: Vec<(String, String)>,
    memories: Vec<String>,
    tables: Vec<String>,
    functions: u32,
}

impl Contents {
    fn read(wasm: &[u8]) -> Result<Contents, String> {
        let mut contents = Contents::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(|error| error.to_string())? {
                Payload::Version {
                    encoding: Encoding::Component,
                    ..
                } => {
                    contents.component = true;
                    break;
                }
                other => contents.section(other).map_err(|error| error.to_string())?,
            }
        }
        Ok(contents)
    }

    fn section(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        if let Some((id, range)) = payload.as_section() {
            let name = match &payload {
                Payload::CustomSection(reader) => format!("custom {:?}", reader.name()),
                _ => section_name(id).to_owned(),
            };
            self.sections.push((name, range.end - range.start));
        }
        match payload {
            Payload::FunctionSection(reader) => self.functions = reader.count(),
            Payload::ImportSection(reader) => {
                for import in reader.into_imports() {
                    let import = import?;
                    let kind = kind(&format!("{:?}", import.ty));
                    self.imports
                        .push((import.module.to_owned(), import.name.to_owned(), kind));
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader {
                    let export = export?;
                    self.exports
                        .push((export.name.to_owned(), kind(&format!("{:?}", export.kind))));
                }
            }
            Payload::MemorySection(reader) => {
                for memory in reader {
                    let memory = memory?;
                    self.memories
                        .push(bounds(memory.initial, memory.maximum, "pages of 64 KiB"));
                }
            }
            Payload::TableSection(reader) => {
                for table in reader {
                    let ty = table?.ty;
                    self.tables
                        .push(bounds(ty.initial, ty.maximum, &format!("of {}", ty.element_type)));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Names of WebAssembly core specification 3.0, section 5.5.2.
fn section_name(id: u8) -> &'static str {
    const NAMES: [&str; 14] = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
        "tag",
    ];
    NAMES.get(usize::from(id)).copied().unwrap_or("unknown")
}

/// The first word of a debug form: `Func(3)` is a `func`.
fn kind(debug: &str) -> String {
    debug
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
}

fn bounds(initial: u64, maximum: Option<u64>, unit: &str) -> String {
    match maximum {
        Some(maximum) => format!("{initial} to {maximum} {unit}"),
        None => format!("{initial} {unit}, without a maximum"),
    }
}

fn write_all(path: &Path, wasm: &[u8], contents: &Contents, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{}: {} bytes, {} functions",
        path.display(),
        wasm.len(),
        contents.functions
    )?;
    if contents.component {
        return writeln!(out, "a component: Luge runs core modules");
    }
    let engines = Engines::for_command(EngineChoice::default(), Attachments::default());
    let linker = engines.linker(Tier::Interp);
    writeln!(out, "\nimports")?;
    for (module, name, kind) in &contents.imports {
        let state = if linker.provides(module, name) {
            "provided"
        } else {
            "MISSING"
        };
        writeln!(
            out,
            "  {state:8}  {kind:6}  {} {}",
            module.escape_debug(),
            name.escape_debug()
        )?;
    }
    writeln!(out, "\nexports")?;
    for (name, kind) in &contents.exports {
        writeln!(out, "  {kind:6}  {}", name.escape_debug())?;
    }
    writeln!(out, "\nmemories and tables")?;
    for line in &contents.memories {
        writeln!(out, "  memory  {line}")?;
    }
    for line in &contents.tables {
        writeln!(out, "  table   {line}")?;
    }
    match features_used(wasm) {
        Ok(names) if names.is_empty() => writeln!(out, "\nfeatures beyond WebAssembly 1.0: none")?,
        Ok(names) => writeln!(out, "\nfeatures beyond WebAssembly 1.0: {}", names.join(", "))?,
        Err(reason) => writeln!(out, "\nnot valid with any set of features: {reason}")?,
    }
    writeln!(out, "\nsections")?;
    for (name, bytes) in &contents.sections {
        writeln!(out, "  {bytes:9} bytes  {name}")?;
    }
    let attempts = Tier::ALL.map(|tier| (tier, engines.compile(Some(tier), wasm)));
    writeln!(out, "\ntiers")?;
    for (tier, attempt) in &attempts {
        match attempt {
            Ok(compiled) => writeln!(
                out,
                "  {tier:8}  {bytes} bytes of code, compiled in {time:.1?}",
                bytes = compiled.module.code_bytes(),
                time = compiled.time,
            )?,
            Err(reason) => writeln!(out, "  {tier:8}  none: {reason}")?,
        }
    }
    writeln!(
        out,
        "\n{}",
        verdict(&engines, attempts.map(|(_, attempt)| attempt))
    )
}

/// Whether Luge can run it, and if not, why.
fn verdict(engines: &Engines, attempts: [Result<Compiled, CompileError>; Tier::ALL.len()]) -> String {
    let mut reasons = Vec::new();
    for attempt in attempts {
        match attempt {
            Ok(compiled) => return verdict_of(engines, &compiled),
            Err(reason) => reasons.push(reason),
        }
    }
    // The interpreter's, which takes the most.
    let reason = reasons.first().map_or(String::new(), ToString::to_string);
    format!("Luge cannot run it: {reason}")
}

fn verdict_of(engines: &Engines, Compiled { module, tier, .. }: &Compiled) -> String {
    let linker = engines.linker(*tier);
    let mut missing = BTreeMap::<String, usize>::new();
    for import in module.imports() {
        if !linker.provides(import.module, import.name) {
            *missing.entry(import.module.to_owned()).or_default() += 1;
        }
    }
    if !missing.is_empty() {
        let list: Vec<_> = missing
            .iter()
            .map(|(module, count)| format!("{count} from {module:?}"))
            .collect();
        return format!("Luge cannot run it: missing imports: {}", list.join(", "));
    }
    if is_command(module) {
        "Luge can run it: a WASI command".to_owned()
    } else {
        "Luge cannot run it: it exports no `_start` without parameters and results".to_owned()
    }
}
