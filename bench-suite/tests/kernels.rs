//! Every kernel at a tiny n on every tier of ours, against the committed checksums.
//!
//! This is what the test command runs of the comparison: no other engine, no clock.

use luge_bench_suite::contender::{TIERS, Tiers};
use luge_bench_suite::kernel::{FOLDER, Kernel};
use luge_core::features_used;
use luge_polybench::contender::{Build, Contender};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

#[test]
fn every_kernel_answers_its_checksum_on_every_tier() {
    for tier in TIERS {
        let mut contender = match Tiers::new(Duration::from_millis(4)).start(*tier) {
            Ok(contender) => contender,
            // Preemption is for x86-64 Linux.
            Err(error) => {
                assert!(tier.preempts.is_some(), "{}: {error}", tier.name);
                continue;
            }
        };
        for kernel in Kernel::all() {
            for &build in kernel.builds() {
                let name = kernel.module_name(build);
                contender
                    .load(&name, &kernel.path(build))
                    .unwrap_or_else(|error| panic!("{}: {name}: {error}", tier.name));
                let run = contender
                    .run(&name, kernel.test_n)
                    .unwrap_or_else(|error| panic!("{}: {error}", tier.name));
                assert_eq!(run.checksum, kernel.test_checksum, "{}: {name}", tier.name);
            }
        }
    }
}

#[test]
fn builds_with_vectors_use_them_and_the_others_need_webassembly_2_without() {
    const WITHOUT_VECTORS: [&str; 6] = [
        "mutable-global",
        "saturating-float-to-int",
        "sign-extension",
        "multi-value",
        "bulk-memory",
        "reference-types",
    ];
    for kernel in Kernel::all() {
        for &build in kernel.builds() {
            let wasm = std::fs::read(kernel.path(build)).expect("a committed file");
            let mut used = features_used(&wasm).expect("valid");
            let before = used.len();
            used.retain(|feature| *feature != "simd");
            assert_eq!(before > used.len(), build == Build::Simd, "{}", kernel.name);
            assert!(
                used.iter().all(|feature| WITHOUT_VECTORS.contains(feature)),
                "{}: {used:?}",
                kernel.name
            );
        }
    }
}

#[test]
fn the_list_and_the_folder_agree() {
    let listed: BTreeSet<_> = Kernel::all()
        .iter()
        .flat_map(|kernel| kernel.builds().iter().map(|build| kernel.path(*build)))
        .collect();
    let folder = std::fs::read_dir(Path::new(FOLDER).join("kernels")).expect("a folder");
    let there: BTreeSet<_> = folder
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    assert_eq!(listed, there);
}
