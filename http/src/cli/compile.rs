//! `luge compile`: machine code ahead of time, and what making it cost.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use luge_core::cache::{self, CacheError, CodeCache, StoreError};
use luge_core::compiler::{CodeArtifact, CodeGenerator, ModuleTranslation, compile as generate};
use luge_core::{ModuleError, WasmLevel};

use super::CompileArgs;
use crate::engine::{Bounds, Unavailable, Unbounded, baseline};

/// How often each phase is run for the sake of its time. The least counts: what disturbs only ever adds.
const ROUNDS: usize = 3;

/// Why a module cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileProblem {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The machine has no machine code.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Guests could leave their memory.
    #[error(transparent)]
    Unbounded(#[from] Unbounded),
    /// The tier does not take the module.
    #[error("{}: {source}", .path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ModuleError,
    },
    /// The code cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The cache does not take the code.
    #[error("the code cache: {0}")]
    Store(#[from] StoreError),
}

/// Compiles the module as the server would, writes what it is asked to, and tells what it found. The inner result is that
/// of the telling.
///
/// # Errors
/// [`CompileProblem`].
pub fn compile(args: &CompileArgs, out: &mut impl Write) -> Result<io::Result<()>, CompileProblem> {
    let path = &args.file;
    let wasm = std::fs::read(path).map_err(|source| CompileProblem::Read {
        path: path.clone(),
        source,
    })?;
    let bounds = args.bounds.unwrap_or_default();
    if bounds == Bounds::None {
        return Err(Unbounded.into());
    }
    let (preemption, _) = args.preemption.unwrap_or_default().or_polls();
    let generator = baseline(bounds, preemption.counts_fuel(), false)?;
    let invalid = |source| CompileProblem::Module {
        path: path.clone(),
        source,
    };
    let level = WasmLevel::default();
    let (_, validation) = least(|| generate(level, &Validation, &wasm)).map_err(invalid)?;
    let (artifact, whole) = least(|| generate(level, &*generator, &wasm)).map_err(invalid)?;
    if let Some(output) = &args.output {
        cache::export(&wasm, level, &*generator, &artifact)
            .and_then(|bytes| std::fs::write(output, bytes))
            .map_err(|source| CompileProblem::Write {
                path: output.clone(),
                source,
            })?;
    }
    let mut cached = None;
    if let Some(folder) = &args.code_cache {
        let cache = CodeCache::open(folder, CodeCache::DEFAULT_BYTES)?;
        let key = cache.key(&wasm, level, &*generator);
        cached = Some((folder, key.file_name(), cache.store(&key, &artifact)?));
    }
    let statistics = Statistics {
        wasm: wasm.len(),
        validation,
        whole,
        artifact: &artifact,
    };
    let told = statistics.write(out);
    Ok(told.and_then(|()| match cached {
        Some((folder, name, bytes)) => {
            writeln!(
                out,
                "cached       {} ({bytes} bytes)",
                folder.join(name).display()
            )
        }
        None => Ok(()),
    }))
}

/// A tier that makes nothing: what decoding and validating cost.
#[derive(Debug)]
struct Validation;

impl CodeGenerator for Validation {
    fn name(&self) -> &'static str {
        "validation"
    }

    fn fingerprint(&self) -> String {
        String::new()
    }

    fn compile(&self, module: &mut ModuleTranslation<'_>) -> Result<CodeArtifact, ModuleError> {
        while let Some(function) = module.next_function()? {
            function.validate()?;
        }
        Ok(CodeArtifact::default())
    }
}

fn least<T, E>(mut work: impl FnMut() -> Result<T, E>) -> Result<(T, Duration), E> {
    let mut timed = || {
        let started = Instant::now();
        work().map(|made| (made, started.elapsed()))
    };
    let (mut made, mut time) = timed()?;
    for _ in 1..ROUNDS {
        let again = timed()?;
        made = again.0;
        time = time.min(again.1);
    }
    Ok((made, time))
}

struct Statistics<'a> {
    wasm: usize,
    validation: Duration,
    whole: Duration,
    artifact: &'a CodeArtifact,
}

impl Statistics<'_> {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let artifact = self.artifact;
        let code = artifact.text.len();
        let trampolines = artifact.entries.iter().chain(&artifact.host_calls).flatten();
        let data: usize = artifact.data.iter().map(ExactSizeIterator::len).sum();
        let generation = self.whole.saturating_sub(self.validation);
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let ratio = code as f64 / self.wasm.max(1) as f64;
        writeln!(out, "wasm         {} bytes", self.wasm)?;
        writeln!(
            out,
            "code         {code} bytes, {ratio:.2} for each byte of wasm; {data} of them tables and constants"
        )?;
        writeln!(
            out,
            "functions    {}, and {} trampolines",
            artifact.funcs.len(),
            trampolines.count()
        )?;
        writeln!(out, "trap sites   {}", artifact.traps.len())?;
        writeln!(
            out,
            "validation   {:.2?} ({:.1} MB/s of wasm), the least of {ROUNDS} runs",
            self.validation,
            self.rate(self.validation)
        )?;
        writeln!(
            out,
            "generation   {generation:.2?} ({:.1} MB/s), the difference",
            self.rate(generation)
        )?;
        writeln!(
            out,
            "whole        {:.2?} ({:.1} MB/s)",
            self.whole,
            self.rate(self.whole)
        )
    }

    /// Megabytes of wasm in a second.
    fn rate(&self, time: Duration) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let megabytes = self.wasm as f64 / 1e6;
        megabytes / time.as_secs_f64().max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use luge_core::wasi::WasiCtx;
    use luge_core::{Limits, Store};

    use super::*;
    use crate::engine::{Attachments, EngineChoice, Engines, Tier};
    use crate::preemption::PreemptionMode;

    fn arguments(file: PathBuf) -> CompileArgs {
        CompileArgs {
            file,
            output: None,
            code_cache: None,
            bounds: None,
            preemption: None,
        }
    }

    #[test]
    fn code_is_written_cached_and_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("m.wasm");
        let wasm =
            wat::parse_str("(module (func (export \"f\") (result i32) (i32.const 1)))").expect("a module");
        std::fs::write(&file, &wasm).expect("room");
        let args = CompileArgs {
            output: Some(folder.path().join("m.lcode")),
            code_cache: Some(folder.path().join("cache")),
            ..arguments(file)
        };
        let mut out = Vec::new();
        compile(&args, &mut out)
            .expect("code")
            .expect("a vector takes everything");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("functions    1, and 1 trampolines"), "{text}");
        assert!(
            text.contains(&format!("wasm         {} bytes", wasm.len())),
            "{text}"
        );
        let code = std::fs::read(folder.path().join("m.lcode")).expect("a file");
        assert!(code.starts_with(b"LUGECODE"));
        // What it cached is what an engine of the server's looks for.
        let (preemption, _) = PreemptionMode::default().or_polls();
        let generator = baseline(Bounds::Guard, preemption.counts_fuel(), false).expect("a processor");
        let cache = CodeCache::open(&folder.path().join("cache"), CodeCache::DEFAULT_BYTES).expect("a cache");
        let key = cache.key(&wasm, WasmLevel::default(), &*generator);
        assert!(cache.load(&key).is_ok());
    }

    #[test]
    fn engines_take_code_from_the_cache_and_compile_what_is_broken() {
        let folder = tempfile::tempdir().expect("a folder");
        let wasm = wat::parse_str("(module (func (export \"_start\")))").expect("a module");
        let outcome = || {
            let cache = CodeCache::open(folder.path(), CodeCache::DEFAULT_BYTES).expect("a cache");
            let attachments = Attachments {
                code_cache: Some(Arc::new(cache)),
                observer: None,
            };
            let engines = Engines::for_server(EngineChoice::default(), PreemptionMode::Polls, attachments)
                .expect("bounds");
            let module = engines.compile(Some(Tier::Baseline), &wasm).expect("code").module;
            let mut store = Store::new(
                engines.engine(Tier::Baseline),
                &Limits::default(),
                WasiCtx::builder().build().expect("nothing is granted"),
            );
            let linked = engines.linker(Tier::Baseline).link(&module).expect("no imports");
            let instance = linked.instantiate(&mut store).expect("an instance");
            let start = instance.func(&store, "_start").expect("an export");
            assert_eq!(start.call(&mut store, &[]).expect("an end"), []);
            module.cache_outcome().expect("there is a cache").to_string()
        };
        assert!(outcome().contains("no code was cached for it"));
        assert_eq!(outcome(), "from the code cache");
        let entries = std::fs::read_dir(folder.path()).expect("the folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let file = paths
            .into_iter()
            .find(|path| path.extension().is_some())
            .expect("a file");
        let mut bytes = std::fs::read(&file).expect("a file of ours");
        *bytes.last_mut().expect("text") ^= 1;
        std::fs::write(&file, bytes).expect("room");
        assert!(outcome().contains("not authentic"));
        assert_eq!(outcome(), "from the code cache");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("m.wasm");
        let mut out = Vec::new();
        assert!(matches!(
            compile(&arguments(file.clone()), &mut out),
            Err(CompileProblem::Read { .. })
        ));
        std::fs::write(&file, b"no module").expect("room");
        assert!(matches!(
            compile(&arguments(file.clone()), &mut out),
            Err(CompileProblem::Module { .. })
        ));
        let args = CompileArgs {
            bounds: Some(Bounds::None),
            ..arguments(file)
        };
        assert!(matches!(
            compile(&args, &mut out),
            Err(CompileProblem::Unbounded(_))
        ));
    }
}
