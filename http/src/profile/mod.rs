//! Names of generated code for profilers and debuggers, when they are asked for.
//!
//! | who | how | asked for by |
//! |---|---|---|
//! | `perf report` on the same machine | `/tmp/perf-PID.map` | `--perf-map`, or `LUGE_PERF=map` |
//! | `perf inject --jit`, with instructions | `jit-PID.dump` in the current folder | `LUGE_PERF=jitdump` |
//! | GDB | its own interface, in memory | `LUGE_PERF=gdb` |
//!
//! Several may be asked for, separated by commas. Nothing of it is on by default: the files grow with every module that is
//! published and are for nobody who does not look.

mod jitdump;
mod perf_map;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use luge_core::observer::{CodeObserver, CodeView, Debugger};

use jitdump::JitDump;
use perf_map::PerfMap;

/// The environment variable that asks for names.
pub const VARIABLE: &str = "LUGE_PERF";

/// Why names cannot be given to profilers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The variable holds what nobody knows.
    #[error("{VARIABLE}={0}: it takes `map`, `jitdump` and `gdb`, separated by commas")]
    Unknown(String),
    /// A file cannot be made.
    #[error("cannot make {} for profilers: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Those whom the flag and the variable ask for, as one; `None` where nobody is.
///
/// # Errors
/// Where the variable says what is not known, or a file cannot be made.
pub fn asked_for(perf_map: bool) -> Result<Option<Arc<dyn CodeObserver>>, ProfileError> {
    let variable = std::env::var_os(VARIABLE).unwrap_or_default();
    observers(
        perf_map,
        &variable.to_string_lossy(),
        Path::new("/tmp"),
        Path::new("."),
    )
}

/// As [`asked_for`], with the variable's value, and the folders for maps and dumps.
fn observers(
    perf_map: bool,
    variable: &str,
    maps: &Path,
    dumps: &Path,
) -> Result<Option<Arc<dyn CodeObserver>>, ProfileError> {
    let mut wanted: Vec<&str> = variable.split(',').filter(|word| !word.is_empty()).collect();
    if perf_map {
        wanted.push("map");
    }
    wanted.sort_unstable();
    wanted.dedup();
    let mut observers: Vec<Arc<dyn CodeObserver>> = Vec::new();
    let process = std::process::id();
    for word in wanted {
        match word {
            "map" => {
                let path = maps.join(format!("perf-{process}.map"));
                observers.push(Arc::new(made(&path, PerfMap::create)?));
            }
            "jitdump" => {
                let path = dumps.join(format!("jit-{process}.dump"));
                observers.push(Arc::new(made(&path, JitDump::create)?));
            }
            "gdb" => observers.push(Arc::new(Debugger::default())),
            _ => return Err(ProfileError::Unknown(variable.to_owned())),
        }
    }
    Ok(match observers.len() {
        0 => None,
        1 => observers.pop(),
        _ => Some(Arc::new(observers)),
    })
}

fn made<T>(path: &Path, make: impl FnOnce(&Path) -> io::Result<T>) -> Result<T, ProfileError> {
    make(path).map_err(|source| ProfileError::File {
        path: path.to_owned(),
        source,
    })
}

/// Opens a new file for writing. What has its name is of a process that had our number before, and goes. In a folder that
/// everybody may write, a link that somebody has laid there is not followed, and what is not ours stays and is an error.
fn create(path: &Path) -> io::Result<std::fs::File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Profilers map their files.
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
}

/// A symbol's name, with that of its module, on one line.
fn symbol_name(code: &CodeView<'_>, name: &str) -> String {
    let module = code.module.unwrap_or("wasm");
    let name = format!("{module}!{name} [{}]", code.tier);
    name.replace(|c: char| c.is_control(), "?")
}

/// Says once that a file is no longer written.
fn given_up(path: &Path, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "profilers get no more names");
}

#[cfg(test)]
mod tests {
    use luge_core::{Engine, EngineConfig, Linker, Module, Store, Value};

    use super::*;
    use crate::engine::{Bounds, baseline};

    #[test]
    fn names_of_a_module_reach_the_files_that_were_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let observer = observers(true, "jitdump,gdb,map", folder.path(), folder.path())
            .expect("room")
            .expect("somebody");
        let engine = Engine::new(EngineConfig {
            compiler: Some(baseline(Bounds::Guard, false, false).expect("a processor")),
            observer: Some(observer),
            ..EngineConfig::default()
        });
        let wasm = wat::parse_str(
            "(module $shop (func $sell (export \"f\") (result i32) (i32.const 7)) (func (result i32) (i32.const 8)))",
        )
        .expect("a module");
        let module = Module::new(&engine, &wasm).expect("code");
        let process = std::process::id();
        let map = std::fs::read_to_string(folder.path().join(format!("perf-{process}.map"))).expect("a map");
        let lines: Vec<_> = map.lines().collect();
        assert!(lines[0].ends_with(" shop!sell [baseline]"), "{map}");
        assert!(lines[1].ends_with(" shop!wasm-function[1] [baseline]"), "{map}");
        assert!(
            lines[2].ends_with(" shop!entry trampoline of type 0 [baseline]"),
            "{map}"
        );
        let mut end = 0;
        for line in &lines {
            let mut words = line.split(' ');
            let mut number = || u64::from_str_radix(words.next().expect("a word"), 16).expect("a number");
            let (start, size) = (number(), number());
            assert!(start >= end && size > 0, "{map}");
            end = start + size;
        }
        let dump = std::fs::read(folder.path().join(format!("jit-{process}.dump"))).expect("a dump");
        let name = |line: &&str| line.splitn(3, ' ').nth(2).expect("a name").to_owned();
        assert_eq!(jitdump::names(&dump), lines.iter().map(name).collect::<Vec<_>>());
        // The code is still that of the module.
        let mut store = Store::new(&engine, &engine.config().limits.clone(), ());
        let instance = Linker::new(&engine)
            .instantiate(&mut store, &module)
            .expect("an instance");
        let f = instance.func(&store, "f").expect("an export");
        assert_eq!(f.call(&mut store, &[]).expect("a result"), [Value::I32(7)]);
    }

    #[test]
    fn nobody_is_told_unless_asked() {
        let nowhere = Path::new("/nonexistent");
        assert!(observers(false, "", nowhere, nowhere).expect("nothing").is_none());
        assert!(matches!(
            observers(false, "everything", nowhere, nowhere),
            Err(ProfileError::Unknown(_))
        ));
        assert!(matches!(
            observers(true, "", nowhere, nowhere),
            Err(ProfileError::File { .. })
        ));
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, victim) = (folder.path().join("link"), folder.path().join("victim"));
        std::fs::write(&victim, "precious").expect("room");
        std::os::unix::fs::symlink(&victim, &link).expect("a link");
        create(&link).expect("a new file");
        assert_eq!(std::fs::read(&victim).expect("the file"), b"precious");
        assert!(!link.is_symlink());
    }
}
