//! The suite as the test command runs it: every kernel in its smallest size on every tier of ours, against the checksums on record; and
//! that a run which finds a wrong result ends with that.
//!
//! No C compiler and no other engine is needed, and no clock decides anything. Where there is a compiler, the native builds are
//! compared too.

use std::process::Command;

use luge_core::compiler::BoundsStrategy::{Guard, None as Unchecked, Software};
use luge_polybench::contender::{Build, Checksum};
use luge_polybench::native::Compiler;
use luge_polybench::progress::Progress;
use luge_polybench::report::{EngineInfo, Reference, chart, records, text};
use luge_polybench::runner::{Plan, Subject, SuiteError, Tier, run};
use luge_polybench::suite::{KERNELS, Kernel, Size};
use luge_polybench::verify::Difference;

/// The smallest plan: nothing but what a test adds.
fn plan(kernels: &[&str], tiers: &[Tier]) -> Plan {
    let named = |name: &&str| Subject::built_in(Kernel::named(name).expect("a kernel"));
    Plan {
        subjects: kernels.iter().map(named).collect(),
        size: Size::Mini,
        tiers: tiers.to_vec(),
        rounds: 1,
        compiler: None,
        ..Plan::default()
    }
}

#[test]
fn every_kernel_gives_the_recorded_checksum_on_every_tier() {
    let tiers = [Tier::Interp, Tier::Baseline(Guard), Tier::Baseline(Software)];
    let every = Plan {
        subjects: KERNELS.iter().map(Subject::built_in).collect(),
        ..plan(&[], &tiers)
    };
    let report = run(&every, &Progress::silent()).expect("right results");
    assert_eq!(
        (report.kernels.len(), report.engines.len()),
        (30, 2 * tiers.len())
    );
    for kernel in &report.kernels {
        assert_eq!(kernel.reference, Reference::Recorded);
        assert_eq!(Some(kernel.checksum), kernel.kernel.checksum(Size::Mini));
        for measured in &kernel.results {
            let measured = measured.as_ref().expect("a tier of ours takes every kernel");
            assert_eq!((measured.samples.len(), measured.compile.len()), (1, 1));
            assert!(measured.code_bytes.is_some_and(|bytes| bytes > 0));
        }
    }
}

#[test]
fn small_kernels_run_without_checks_too_and_ratios_need_native_code() {
    let report = run(
        &plan(&["gemm"], &[Tier::Baseline(Unchecked)]),
        &Progress::silent(),
    )
    .expect("right");
    assert_eq!(report.engines[0].name, "baseline-none");
    assert!(
        report
            .notices
            .iter()
            .any(|notice| notice.contains("guard's code"))
    );
    assert_eq!(report.reference(), None);
    assert!(
        report
            .notices
            .iter()
            .any(|notice| notice.contains("no native code"))
    );
    let mut out = Vec::new();
    text::write(&report, &mut out).expect("room");
    assert!(String::from_utf8(out).expect("text").contains("no native code"));
}

#[test]
fn code_without_checks_is_the_code_of_guard_as_the_notice_says() {
    let tiers = [
        Tier::Baseline(Guard),
        Tier::Baseline(Unchecked),
        Tier::Baseline(Software),
    ];
    let report = run(&plan(&["lu"], &tiers), &Progress::silent()).expect("right");
    let bytes: Vec<_> = report.kernels[0]
        .results
        .iter()
        .map(|measured| measured.as_ref().and_then(|measured| measured.code_bytes))
        .collect();
    assert_eq!(
        bytes[0], bytes[1],
        "the notice and docs/polybench.md say otherwise"
    );
    assert!(bytes[0] < bytes[2], "{bytes:?}");
}

#[test]
fn a_report_with_native_code_has_ratios_files_and_a_chart() {
    let Some(compiler) = Compiler::find() else {
        panic!("Rust's linker is a C compiler, and none is found");
    };
    let with_native = Plan {
        compiler: Some(compiler),
        rounds: 2,
        ..plan(&["atax", "nussinov"], &[Tier::Baseline(Guard)])
    };
    let report = run(&with_native, &Progress::silent()).expect("right results");
    let names: Vec<_> = report.engines.iter().map(EngineInfo::label).collect();
    assert_eq!(
        names,
        [
            "native",
            "native-scalar",
            "native-march",
            "baseline (scalar)",
            "baseline (simd)"
        ]
    );
    for kernel in &report.kernels {
        assert_eq!(kernel.reference, Reference::Native);
        for column in 0..5 {
            let figures = report.figures(kernel, column).expect("samples");
            assert!(figures.ratio.expect("native ran").median > 0.0 && figures.rate > 0.0);
        }
    }
    let value = records::json(&report);
    assert_eq!(value["results"].as_array().map(Vec::len), Some(10));
    assert_eq!(
        value["results"][0]["samples_cpu_ns"].as_array().map(Vec::len),
        Some(2)
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chart.svg");
    chart::draw(&report, &path).expect("a chart");
    let svg = std::fs::read_to_string(path).expect("a file");
    assert!(svg.contains("nussinov") && svg.contains("baseline"));
}

/// gemm whose beta is 1.25 in the place of 1.2, in every copy of the constant.
fn broken_gemm() -> Vec<u8> {
    let [right, wrong] = [1.2_f64, 1.25].map(f64::to_le_bytes);
    let mut wasm = Kernel::named("gemm")
        .expect("listed")
        .wasm(Build::Scalar)
        .to_vec();
    let places: Vec<_> = (0..wasm.len() - 8)
        .filter(|&at| wasm[at..at + 8] == right)
        .collect();
    assert!(!places.is_empty(), "the constant is an immediate");
    for at in places {
        wasm[at..at + 8].copy_from_slice(&wrong);
    }
    wasm
}

#[test]
fn a_wrong_result_ends_the_run_and_is_named() {
    let compiler = Compiler::find().expect("Rust's linker is a C compiler");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gemm.wasm"), broken_gemm()).expect("room");
    let gemm = Kernel::named("gemm").expect("listed");
    let broken = Plan {
        subjects: vec![
            Subject::built_in(Kernel::named("lu").expect("listed")),
            Subject::in_folder(gemm, folder.path()).expect("readable"),
        ],
        compiler: Some(compiler),
        ..plan(&[], &[Tier::Baseline(Guard)])
    };
    let error = run(&broken, &Progress::silent()).expect_err("a wrong result");
    let SuiteError::Wrong {
        kernel,
        engine,
        difference,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    let Difference::Element {
        array, index, wrong, ..
    } = &**difference
    else {
        panic!("{error}");
    };
    assert_eq!(
        (*kernel, engine.as_str(), *array),
        ("gemm", "baseline (scalar)", "C")
    );
    assert_eq!((index.as_slice(), *wrong > 100), (&[0, 0][..], true), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("wrong result: gemm (mini) on baseline (scalar): C[0][0] is ")
    );
}

#[test]
fn without_a_compiler_a_wrong_result_is_found_by_its_checksum() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gemm.wasm"), broken_gemm()).expect("room");
    let gemm = Kernel::named("gemm").expect("listed");
    let broken = Plan {
        subjects: vec![Subject::in_folder(gemm, folder.path()).expect("readable")],
        builds: vec![Build::Scalar],
        ..plan(&[], &[Tier::Interp])
    };
    let error = run(&broken, &Progress::silent()).expect_err("a wrong result");
    assert!(
        matches!(error, SuiteError::Checksum { kernel: "gemm", .. }),
        "{error}"
    );
}

/// A compiler that makes no program of `native-scalar` but one that answers the right checksum to everything.
fn liar(folder: &std::path::Path, sum: Checksum) -> Compiler {
    let honest = Compiler::find().expect("Rust's linker is a C compiler");
    let text = format!(
        r#"#!/bin/sh
for program; do :; done
case $program in
*-native-scalar)
    cat >"$program" <<'END'
#!/bin/sh
echo ready a liar
while read -r command rest; do
    case $command in
    run) echo ok {sum} 1 1 ;;
    *) echo ok ;;
    esac
done
END
    chmod 700 "$program"
    ;;
*) exec {} "$@" ;;
esac
"#,
        honest.path.display()
    );
    let path = folder.join("cc");
    // Another process writes it: what this one has open for writing cannot be run while a third is being started.
    let written = Command::new("sh")
        .args(["-c", r#"printf %s "$1" >"$0" && chmod 700 "$0""#])
        .arg(&path)
        .arg(text)
        .status();
    assert!(written.expect("a shell").success());
    Compiler { path, ..honest }
}

#[test]
fn results_that_are_only_claimed_are_not_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let sum = Kernel::named("gemm").expect("listed").checksum(Size::Mini);
    let deceived = Plan {
        compiler: Some(liar(folder.path(), sum.expect("on record"))),
        ..plan(&["gemm"], &[Tier::Interp])
    };
    let error = run(&deceived, &Progress::silent())
        .expect_err("no dump")
        .to_string();
    assert!(
        error.starts_with("gemm (mini) on native-scalar: ") && error.contains("there is no file"),
        "{error}"
    );
}

#[test]
fn a_checksum_that_is_not_of_the_results_is_wrong() {
    // A lu that computes nothing and answers the checksum on record.
    let lu = Kernel::named("lu").expect("listed");
    let sum = lu.checksum(Size::Mini).expect("on record");
    let bytes = 40 * 40 * 8;
    let text = format!(
        r#"(module (memory (export "memory") 1)
        (func (export "prepare") (param i32) (result i32) (i32.const 0))
        (func (export "kernel"))
        (func (export "outputs") (result i32) (i32.const 1))
        (func (export "output") (param i32) (result i32) (i32.const 0))
        (func (export "output_bytes") (param i32) (result i64) (i64.const {bytes}))
        (func (export "checksum") (result i64) (i64.const 0x{sum})))"#
    );
    let folder = tempfile::tempdir().expect("a folder");
    let wasm = wat::parse_str(text).expect("well-formed");
    std::fs::write(folder.path().join("lu.wasm"), wasm).expect("room");
    let broken = Plan {
        subjects: vec![Subject::in_folder(lu, folder.path()).expect("readable")],
        builds: vec![Build::Scalar],
        ..plan(&[], &[Tier::Interp])
    };
    let error = run(&broken, &Progress::silent()).expect_err("zeros");
    let SuiteError::Checksum { expected, found, .. } = error else {
        panic!("{error}");
    };
    assert!(found == sum && expected != sum);
}

#[test]
fn a_kernel_that_traps_ends_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let trap = r#"(module (memory (export "memory") 1)
        (func (export "prepare") (param i32) (result i32) (i32.const 0))
        (func (export "kernel") unreachable)
        (func (export "outputs") (result i32) (i32.const 0))
        (func (export "output") (param i32) (result i32) (i32.const 0))
        (func (export "output_bytes") (param i32) (result i64) (i64.const 0))
        (func (export "checksum") (result i64) (i64.const 0)))"#;
    let wasm = wat::parse_str(trap).expect("well-formed");
    std::fs::write(folder.path().join("lu.simd.wasm"), wasm).expect("room");
    let lu = Kernel::named("lu").expect("listed");
    let broken = Plan {
        subjects: vec![Subject::in_folder(lu, folder.path()).expect("readable")],
        ..plan(&[], &[Tier::Interp])
    };
    let error = run(&broken, &Progress::silent()).expect_err("a trap").to_string();
    assert!(
        error.starts_with("lu (mini) on interp (simd): kernel:"),
        "{error}"
    );
    assert!(error.contains("unreachable"), "{error}");
}

#[test]
fn nothing_to_run_is_an_error() {
    let error = run(&plan(&["gemm"], &[]), &Progress::silent()).expect_err("no engine");
    assert!(matches!(error, SuiteError::Empty));
    let error = run(&plan(&[], &[Tier::Interp]), &Progress::silent()).expect_err("no kernel");
    assert!(matches!(error, SuiteError::Empty));
}
