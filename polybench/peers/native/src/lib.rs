//! The line protocol of the comparisons, for engines that are Rust crates.
//!
//! ```text
//! load NAME PATH       compile and instantiate a module             ok | unsupported WHY | error WHY
//! run NAME ARGUMENT    `run(ARGUMENT)`, or, where there is none,    ok CHECKSUM CPU WALL
//!                      `prepare(ARGUMENT)`, `kernel()`, `checksum()`
//! dump NAME PATH       write the live-out arrays to a file          ok
//! compile PATH         compile a module whole                       ok NANOSECONDS
//! ```
//!
//! A command is a line on standard input, its answer a line on standard output; the first line out is
//! `ready DESCRIPTION`. Times are nanoseconds of `run` or `kernel` alone: CPU time of the calling thread, the same clock by which our
//! own engine is measured, and elapsed time. Of compiling it is the CPU time of the process: some engines compile on several threads
//! (Wasmer does), and the work of all is what counts. A path is the rest of its line.
#![forbid(unsafe_code)]

#[cfg(any(feature = "winch", feature = "wasmtime"))]
pub mod wasmtime;

use rustix::time::{ClockId, clock_gettime};
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, Write};

/// What an engine says when something goes wrong.
pub type AnyError = Box<dyn Error + Send + Sync>;

/// Another engine.
pub trait Peer {
    /// A compiled module.
    type Module;
    /// An instance of a module without imports.
    type Instance;
    /// A function of an instance.
    type Func;

    /// Compiles a module whole, until its code is ready to run.
    ///
    /// # Errors
    /// Where the engine does not take the module.
    fn compile(&self, wasm: &[u8]) -> Result<Self::Module, AnyError>;

    /// Instantiates a module without imports.
    ///
    /// # Errors
    /// Where the engine cannot, or the module has imports.
    fn instantiate(&self, module: &Self::Module) -> Result<Self::Instance, AnyError>;

    /// An exported function.
    fn func(&self, instance: &mut Self::Instance, name: &str) -> Option<Self::Func>;

    /// Calls a function that takes `i32` and gives nothing (then this gives 0), an `i32` or an `i64`.
    ///
    /// # Errors
    /// The guest's trap.
    fn call(
        &self,
        instance: &mut Self::Instance,
        func: &Self::Func,
        arguments: &[i32],
    ) -> Result<i64, AnyError>;

    /// Writes a range of the exported memory `memory`.
    ///
    /// # Errors
    /// Where the range is not in it, or writing fails.
    fn write(
        &self,
        instance: &mut Self::Instance,
        begin: usize,
        bytes: usize,
        out: &mut dyn Write,
    ) -> Result<(), AnyError>;
}

/// What is called of a module.
struct Loaded<P: Peer> {
    instance: P::Instance,
    entry: Entry<P::Func>,
}

enum Entry<F> {
    Run(F),
    Suite { prepare: F, kernel: F, checksum: F },
}

/// Answers commands until standard input ends.
///
/// # Errors
/// Where standard input or output fail.
pub fn serve<P: Peer>(description: &str, peer: &P) -> Result<(), AnyError> {
    let mut out = std::io::stdout().lock();
    let mut loaded = HashMap::new();
    writeln!(out, "ready {description}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let answer = match answer(peer, &mut loaded, &line?) {
            Ok(answer) => answer,
            Err(error) => format!("error {}", one_line(&*error)),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

/// The memory between two addresses, as [`Peer::write`] has it.
///
/// # Errors
/// Where it is not there.
pub fn slice(memory: &[u8], begin: usize, bytes: usize) -> Result<&[u8], AnyError> {
    let end = begin.checked_add(bytes).ok_or("no address")?;
    Ok(memory
        .get(begin..end)
        .ok_or("a live-out array is outside the memory")?)
}

fn answer<P: Peer>(
    peer: &P,
    loaded: &mut HashMap<String, Loaded<P>>,
    line: &str,
) -> Result<String, AnyError> {
    let unknown = || format!("there is no command `{line}`");
    let (command, rest) = line.split_once(' ').ok_or_else(unknown)?;
    if command == "compile" {
        return compile(peer, rest);
    }
    let (name, operand) = rest.split_once(' ').ok_or_else(unknown)?;
    if command == "load" {
        // First, so that two large memories never exist at once.
        loaded.remove(name);
        return Ok(match load(peer, &std::fs::read(operand)?) {
            Ok(module) => {
                loaded.insert(name.to_owned(), module);
                "ok".to_owned()
            }
            Err(error) => format!("unsupported {}", one_line(&*error)),
        });
    }
    let module = loaded
        .get_mut(name)
        .ok_or_else(|| format!("no module is loaded as {name}"))?;
    match command {
        "run" => run(peer, module, operand.parse()?),
        "dump" => dump(peer, &mut module.instance, operand),
        _ => Err(unknown().into()),
    }
}

fn load<P: Peer>(peer: &P, wasm: &[u8]) -> Result<Loaded<P>, AnyError> {
    let mut instance = peer.instantiate(&peer.compile(wasm)?)?;
    let entry = match peer.func(&mut instance, "run") {
        Some(run) => Entry::Run(run),
        None => Entry::Suite {
            prepare: export(peer, &mut instance, "prepare")?,
            kernel: export(peer, &mut instance, "kernel")?,
            checksum: export(peer, &mut instance, "checksum")?,
        },
    };
    Ok(Loaded { instance, entry })
}

fn export<P: Peer>(peer: &P, instance: &mut P::Instance, name: &str) -> Result<P::Func, AnyError> {
    let func = peer.func(instance, name);
    Ok(func.ok_or_else(|| format!("the module exports no function `{name}`"))?)
}

fn run<P: Peer>(peer: &P, loaded: &mut Loaded<P>, argument: i32) -> Result<String, AnyError> {
    let Loaded { instance, entry } = loaded;
    let (sum, [cpu, wall]) = match entry {
        Entry::Run(run) => {
            let (sum, times) = timed(|| peer.call(instance, run, &[argument]));
            (sum?, times)
        }
        Entry::Suite {
            prepare,
            kernel,
            checksum,
        } => {
            match peer.call(instance, prepare, &[argument])? {
                0 => {}
                problem => return Err(format!("prepare answered {problem}").into()),
            }
            let (done, times) = timed(|| peer.call(instance, kernel, &[]));
            done?;
            (peer.call(instance, checksum, &[])?, times)
        }
    };
    Ok(format!("ok {sum:016x} {cpu} {wall}"))
}

fn dump<P: Peer>(peer: &P, instance: &mut P::Instance, path: &str) -> Result<String, AnyError> {
    let [outputs, output, output_bytes] =
        ["outputs", "output", "output_bytes"].map(|name| export(peer, instance, name));
    let (outputs, output, output_bytes) = (outputs?, output?, output_bytes?);
    let mut file = File::create(path)?;
    for index in 0..i32::try_from(peer.call(instance, &outputs, &[])?)? {
        let address = i32::try_from(peer.call(instance, &output, &[index])?)?.cast_unsigned();
        let bytes = usize::try_from(peer.call(instance, &output_bytes, &[index])?)?;
        peer.write(instance, address as usize, bytes, &mut file)?;
    }
    Ok("ok".to_owned())
}

fn compile<P: Peer>(peer: &P, path: &str) -> Result<String, AnyError> {
    let wasm = std::fs::read(path)?;
    let before = nanoseconds(ClockId::ProcessCPUTime);
    let compiled = peer.compile(&wasm);
    let cpu = nanoseconds(ClockId::ProcessCPUTime) - before;
    Ok(match compiled {
        Ok(_) => format!("ok {cpu}"),
        Err(error) => format!("unsupported {}", one_line(&*error)),
    })
}

/// What `work` gives, and what it took: CPU time of this thread, elapsed time.
fn timed<T>(work: impl FnOnce() -> T) -> (T, [i128; 2]) {
    const CLOCKS: [ClockId; 2] = [ClockId::ThreadCPUTime, ClockId::Monotonic];
    let before = CLOCKS.map(nanoseconds);
    let result = work();
    let after = CLOCKS.map(nanoseconds);
    (result, [after[0] - before[0], after[1] - before[1]])
}

fn nanoseconds(clock: ClockId) -> i128 {
    let time = clock_gettime(clock);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// The error with what caused it.
fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace('\n', " ")
}
