//! A cache in a folder of its own: what happens to files, folders and keys that are not as they should be, and to several
//! writers at once.

use super::*;
use crate::compiler::{Handler, HandlerTable, ModuleTranslation, SourcePosition, TrapSite};
use crate::error::ModuleError;
use crate::trap::Trap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

pub(super) fn key(number: u8) -> CodeKey {
    CodeKey([number; 32])
}

/// Something in every table.
pub(super) fn artifact() -> CodeArtifact {
    let ranges = |ranges: &[(u32, u32)]| ranges.iter().map(|&(start, end)| start..end).collect();
    let mut handlers = HandlerTable::default();
    let handler = |tag, target| Handler {
        tag,
        with_ref: tag.is_none(),
        target,
        place: 32,
    };
    handlers.open(1, &[handler(Some(0), 2), handler(None, 3)]);
    handlers.open_tail_call(2);
    handlers.close(3);
    handlers.close(4);
    CodeArtifact {
        text: (0..16).collect(),
        funcs: ranges(&[(0, 4), (4, 8)]),
        entries: vec![Some(8), None],
        host_calls: vec![None, Some(12)],
        traps: vec![
            TrapSite {
                offset: 1,
                trap: Trap::IntegerDivideByZero,
            },
            TrapSite {
                offset: 5,
                trap: Trap::MemoryOutOfBounds,
            },
        ],
        positions: vec![SourcePosition { offset: 2, wasm: 40 }],
        data: ranges(&[(6, 8)]),
        handlers,
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(folder: &Path) -> CodeCache {
    CodeCache::open(folder, 1 << 20).expect("a cache")
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("a file of ours");
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().expect("ASCII"))
        .collect();
    names.sort();
    names
}

#[test]
fn code_outlives_the_cache_that_stored_it() {
    let folder = folder();
    let path = folder.path().join("made/for/it");
    let cache = open(&path);
    assert!(matches!(cache.load(&key(1)), Err(CacheMiss::Absent)));
    let bytes = cache.store(&key(1), &artifact()).expect("room");
    assert_eq!(open(&path).load(&key(1)).expect("a hit"), artifact());
    assert!(matches!(open(&path).load(&key(2)), Err(CacheMiss::Absent)));
    assert_eq!(files(&path), [key(1).file_name(), "key".to_owned()]);
    let mode = |name: &str| std::fs::metadata(path.join(name)).expect("a file").mode() & 0o777;
    assert_eq!(
        (mode("key"), mode(""), mode(&key(1).file_name())),
        (0o600, 0o700, 0o600)
    );
    assert_eq!(
        std::fs::metadata(path.join(key(1).file_name()))
            .expect("a file")
            .len(),
        bytes
    );
}

#[test]
fn broken_files_are_refused_and_replaced() {
    let folder = folder();
    let cache = open(folder.path());
    cache.store(&key(1), &artifact()).expect("room");
    let path = folder.path().join(key(1).file_name());
    let whole = std::fs::read(&path).expect("a file");
    let mut flipped = whole.clone();
    flipped[50] ^= 1;
    for bytes in [&whole[..whole.len() - 1], &whole[..20], &[], &flipped] {
        std::fs::write(&path, bytes).expect("a file of ours");
        assert!(matches!(cache.load(&key(1)), Err(CacheMiss::Rejected(_))));
        cache.store(&key(1), &artifact()).expect("room");
        assert!(cache.load(&key(1)).is_ok());
    }
    // The right bytes under another name.
    std::fs::copy(&path, folder.path().join(key(2).file_name())).expect("room");
    assert!(matches!(
        cache.load(&key(2)),
        Err(CacheMiss::Rejected(Rejection::OtherCode))
    ));
}

#[test]
fn what_others_could_have_written_is_refused() {
    let folder = folder();
    let cache = open(folder.path());
    cache.store(&key(1), &artifact()).expect("room");
    let path = folder.path().join(key(1).file_name());
    let refused = |reason: Rejection| {
        let answer = cache.load(&key(1));
        assert!(
            matches!(&answer, Err(CacheMiss::Rejected(found)) if *found == reason),
            "{answer:?} instead of {reason}"
        );
    };
    set_mode(&path, 0o620);
    refused(Rejection::Mode);
    set_mode(&path, 0o602);
    refused(Rejection::Mode);
    set_mode(&path, 0o644);
    assert!(cache.load(&key(1)).is_ok(), "code is no secret");
    std::fs::rename(&path, folder.path().join("elsewhere")).expect("a rename");
    symlink("elsewhere", &path).expect("a link");
    refused(Rejection::NotAFile);
    std::fs::remove_file(&path).expect("a link of ours");
    std::fs::create_dir(&path).expect("a folder");
    refused(Rejection::NotAFile);
    // It cannot be replaced either, which is said and leaves nothing behind.
    assert!(matches!(
        cache.store(&key(1), &artifact()),
        Err(StoreError::Write(_))
    ));
    assert!(files(folder.path()).iter().all(|name| !name.starts_with(".new")));
}

#[test]
fn folders_and_secrets_that_are_open_to_others_are_refused() {
    let folder = folder();
    for mode in [0o770, 0o707, 0o777] {
        set_mode(folder.path(), mode);
        let answer = CodeCache::open(folder.path(), 1000);
        assert!(
            matches!(
                answer,
                Err(CacheError::Unsafe {
                    reason: Rejection::Mode,
                    ..
                })
            ),
            "{mode:o}: {answer:?}"
        );
    }
    set_mode(folder.path(), 0o755);
    open(folder.path());
    let secret = folder.path().join("key");
    let refused = |what: &str| {
        let answer = CodeCache::open(folder.path(), 1000);
        assert!(
            matches!(answer, Err(CacheError::Key { .. })),
            "{what}: {answer:?}"
        );
    };
    set_mode(&secret, 0o640);
    refused("readable by others");
    set_mode(&secret, 0o600);
    open(folder.path());
    for bytes in [0, 31, 33] {
        std::fs::write(&secret, vec![1; bytes]).expect("a file of ours");
        refused("of another length");
    }
    std::fs::remove_file(&secret).expect("a file of ours");
    symlink("/dev/zero", &secret).expect("a link");
    refused("a link");
    assert!(matches!(
        CodeCache::open(Path::new("/proc/self/no"), 1000),
        Err(CacheError::Folder { .. })
    ));
}

#[test]
fn another_secret_makes_old_files_worthless() {
    let folder = folder();
    open(folder.path()).store(&key(1), &artifact()).expect("room");
    std::fs::remove_file(folder.path().join("key")).expect("a file of ours");
    assert!(matches!(
        open(folder.path()).load(&key(1)),
        Err(CacheMiss::Rejected(Rejection::NotAuthentic))
    ));
}

#[test]
fn a_folder_that_goes_away_is_no_more_than_a_miss() {
    let folder = folder();
    let path = folder.path().join("cache");
    let cache = open(&path);
    cache.store(&key(1), &artifact()).expect("room");
    std::fs::remove_dir_all(&path).expect("a folder of ours");
    assert!(matches!(cache.load(&key(1)), Err(CacheMiss::Absent)));
    assert!(matches!(
        cache.store(&key(1), &artifact()),
        Err(StoreError::Write(_))
    ));
}

#[test]
fn the_least_recently_used_go_first() {
    let folder = folder();
    let size = open(folder.path()).store(&key(1), &artifact()).expect("room");
    let cache = CodeCache::open(folder.path(), 3 * size).expect("a cache");
    let set_age = |number: u8, seconds: u64| {
        let file = std::fs::File::open(folder.path().join(key(number).file_name())).expect("a file");
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(seconds);
        file.set_modified(time).expect("a file of ours");
    };
    cache.store(&key(2), &artifact()).expect("room");
    cache.store(&key(3), &artifact()).expect("room");
    set_age(1, 300);
    set_age(2, 200);
    set_age(3, 100);
    cache.load(&key(1)).expect("a hit");
    cache.store(&key(4), &artifact()).expect("room");
    let there = [1, 2, 3, 4].map(|number| cache.load(&key(number)).is_ok());
    assert_eq!(there, [true, false, true, true]);

    let small = CodeCache::open(folder.path(), size - 1).expect("a cache");
    assert!(matches!(
        small.store(&key(5), &artifact()),
        Err(StoreError::TooLarge { .. })
    ));
    assert!(matches!(
        small.load(&key(4)),
        Err(CacheMiss::Rejected(Rejection::TooLarge))
    ));
}

#[test]
fn many_writers_and_readers_see_whole_files_only() {
    let folder = folder();
    let path = folder.path().join("shared");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // The folder and its secret are made by whoever comes first.
                let cache = open(&path);
                for round in 0..50 {
                    let key = key(round % 3);
                    match cache.load(&key) {
                        Ok(found) => assert_eq!(found, artifact()),
                        Err(CacheMiss::Absent) => {}
                        Err(miss) => panic!("{miss}"),
                    }
                    cache.store(&key, &artifact()).expect("room");
                }
            });
        }
    });
    assert_eq!(files(&path).len(), 4);
}

#[derive(Debug)]
struct Generator(&'static str, &'static str);

impl CodeGenerator for Generator {
    fn name(&self) -> &'static str {
        self.0
    }

    fn fingerprint(&self) -> String {
        self.1.to_owned()
    }

    fn compile(&self, _: &mut ModuleTranslation<'_>) -> Result<CodeArtifact, ModuleError> {
        Ok(CodeArtifact::default())
    }
}

#[test]
fn everything_that_code_depends_on_is_in_its_key() {
    let keys = [
        CodeKey::new(&[0; 32], b"wasm", WasmLevel::V2, &Generator("a", "b")),
        CodeKey::new(&[1; 32], b"wasm", WasmLevel::V2, &Generator("a", "b")),
        CodeKey::new(&[0; 32], b"wasn", WasmLevel::V2, &Generator("a", "b")),
        CodeKey::new(&[0; 32], b"wasm", WasmLevel::V1, &Generator("a", "b")),
        CodeKey::new(&[0; 32], b"wasm", WasmLevel::V2, &Generator("ab", "")),
        CodeKey::new(&[0; 32], b"wasm", WasmLevel::V2, &Generator("a", "c")),
        CodeKey::new(&[0; 32], b"asm", WasmLevel::V2, &Generator("a", "bw")),
    ];
    for (index, key) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(key), "{index}");
    }
}
