//! Modules made to be slow to compile, or to become much code: what a compiler does must stay in proportion to the bytes
//! that ask for it.
//!
//! Each generator makes a module of a size, and is tried at one size and at four times it. Code is counted in bytes. Time
//! is only compared with itself: four times the work may take up to [`SLOWER`] times as long, which what is quadratic
//! misses by far, and the comparison is repeated where the machine was busy with something else.

use luge_core::compiler::{BoundsStrategy, CodeArtifact, compile};
use luge_core::{ModuleError, WasmLevel};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use std::time::{Duration, Instant};

/// How many times as long four times the work may take.
const SLOWER: u32 = 13;

/// How often that is tried.
const ATTEMPTS: usize = 6;

const I32: u8 = 0x7f;
const VOID: u8 = 0x40;
const UNREACHABLE: u8 = 0x00;
const BLOCK: u8 = 0x02;
const LOOP: u8 = 0x03;
const IF: u8 = 0x04;
const ELSE: u8 = 0x05;
const END: u8 = 0x0b;
const BR_IF: u8 = 0x0d;
const BR_TABLE: u8 = 0x0e;
const CALL: u8 = 0x10;
const DROP: u8 = 0x1a;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;
const I32_ADD: u8 = 0x6a;

/// A number in the form of the binary format.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

/// A module with the types `[] -> []`, `[i32] -> []` and `[] -> i32 * wide`, `i32 * wide -> i32 * wide`, whose function 0 is
/// empty and of the first type, and whose function 1 is of the type `ty`, with that many `i32` locals beside its
/// parameters.
fn module(ty: u8, wide: usize, locals: usize, body: &[u8]) -> Vec<u8> {
    let many = [leb(wide), vec![I32; wide]].concat();
    let types = [
        &[4, 0x60, 0, 0, 0x60, 1, I32, 0, 0x60, 0][..],
        &many,
        &[0x60],
        &many,
        &many,
    ]
    .concat();
    let locals = [&[1][..], &leb(locals), &[I32]].concat();
    let func = [&locals[..], body, &[END]].concat();
    let code = [&[2, 2, 0, END][..], &leb(func.len()), &func].concat();
    let sections = [section(1, &types), section(3, &[2, 0, ty]), section(10, &code)];
    [&b"\0asm\x01\0\0\0"[..], &sections.concat()].concat()
}

fn translate(wasm: &[u8]) -> Result<CodeArtifact, ModuleError> {
    let options = BaselineOptions {
        bounds: BoundsStrategy::Guard,
        fuel: true,
        positions: false,
        cpu: CpuFeatures::BASELINE,
    };
    compile(WasmLevel::default(), &Baseline::new(options), wasm)
}

fn timed(wasm: &[u8]) -> (usize, Duration) {
    let start = Instant::now();
    let artifact = translate(wasm).expect("a valid module that is not too large");
    (artifact.text.len(), start.elapsed())
}

/// Compiles what `generate` makes of `size` and of four times that.
fn is_linear(size: usize, generate: impl Fn(usize) -> Vec<u8>) {
    let (small, large) = (generate(size), generate(4 * size));
    let mut best: Option<(Duration, Duration)> = None;
    for _ in 0..ATTEMPTS {
        let (code, time) = timed(&small);
        let (more_code, more_time) = timed(&large);
        assert!(
            more_code <= 5 * code,
            "{more_code} bytes of code where a quarter was {code}"
        );
        let (least, least_more) = best.unwrap_or((time, more_time));
        let (least, least_more) = (least.min(time), least_more.min(more_time));
        if least_more <= SLOWER * least {
            return;
        }
        best = Some((least, least_more));
    }
    panic!("times for one and four: {best:?}");
}

#[test]
fn nested_constructs() {
    for open in [BLOCK, LOOP] {
        is_linear(12_500, |n| {
            module(0, 0, 0, &[[open, VOID].repeat(n), vec![END; n]].concat())
        });
    }
    for end in [&[END][..], &[ELSE, END]] {
        let open = [LOCAL_GET, 0, IF, VOID, LOCAL_GET, 0, LOCAL_SET, 1];
        is_linear(12_500, |n| {
            module(1, 0, 1, &[open.repeat(n), end.repeat(n)].concat())
        });
    }
}

/// Each loop keeps as many locals as it may, and all loops the same.
#[test]
fn nested_loops_with_many_locals() {
    let uses: Vec<u8> = (0..20)
        .flat_map(|local| [LOCAL_GET, local, LOCAL_SET, local])
        .collect();
    is_linear(5_000, |n| {
        module(
            0,
            0,
            20,
            &[[LOOP, VOID].repeat(n), uses.clone(), vec![END; n]].concat(),
        )
    });
}

/// A loop around many blocks, in which calls, or loops that call, look for it.
#[test]
fn calls_far_inside_a_loop() {
    for inner in [&[CALL, 0][..], &[LOOP, VOID, CALL, 0, END]] {
        is_linear(12_500, |n| {
            let blocks = [BLOCK, VOID].repeat(n);
            module(
                0,
                0,
                0,
                &[&[LOOP, VOID][..], &blocks, &inner.repeat(n), &vec![END; n + 1]].concat(),
            )
        });
    }
}

#[test]
fn jump_tables() {
    // As many entries as possible, for few targets; and as many targets as entries.
    for depths in [100, usize::MAX] {
        is_linear(25_000, |n| {
            let depth = depths.min(n);
            let entries: Vec<u8> = (0..n).flat_map(|i| leb(i % depth)).collect();
            let table = [&[LOCAL_GET, 0, BR_TABLE][..], &leb(n), &entries, &[0]].concat();
            module(
                1,
                0,
                0,
                &[[BLOCK, VOID].repeat(depth), table, vec![END; depth]].concat(),
            )
        });
    }
}

/// Fifty thousand locals, all written, between labels.
#[test]
fn many_locals_and_labels() {
    is_linear(12_000, |n| {
        let body = (0..n).flat_map(|i| {
            let local = leb(i + 1);
            [
                &[BLOCK, VOID, LOCAL_GET, 0, LOCAL_SET][..],
                &local,
                &[LOCAL_GET, 0, BR_IF, 0, LOCAL_GET, 0, LOCAL_SET],
                &local,
                &[END],
            ]
            .concat()
        });
        module(1, 0, n, &body.collect::<Vec<_>>())
    });
}

/// Values in locals, in registers and in memory stay on the stack over as many blocks and calls.
#[test]
fn values_alive_over_blocks_and_calls() {
    let values = [
        &[LOCAL_GET, 0][..],
        &[LOCAL_GET, 0, LOCAL_GET, 0, I32_ADD],
        &[LOCAL_GET, 0, LOCAL_GET, 0, LOCAL_SET, 0],
    ];
    let between = [
        &[BLOCK, VOID, LOCAL_GET, 0, BR_IF, 0, END][..],
        &[CALL, 0],
        &[LOCAL_GET, 0, IF, VOID, CALL, 0, END],
        &[LOOP, VOID, LOCAL_GET, 0, LOCAL_SET, 0, END],
    ];
    for value in values {
        for between in between {
            is_linear(2_500, |n| {
                let body = [value.repeat(n), between.repeat(n), vec![DROP; n]];
                module(1, 0, 0, &body.concat())
            });
        }
    }
}

/// Many operands lie in one local when it is written; and a few, each time.
#[test]
fn aliases_of_locals() {
    is_linear(12_500, |n| {
        let body = [
            [LOCAL_GET, 0].repeat(n),
            vec![LOCAL_GET, 1, LOCAL_SET, 0],
            vec![DROP; n],
        ];
        module(1, 0, 1, &body.concat())
    });
    is_linear(12_500, |n| {
        let body = [
            [LOCAL_GET, 0, LOCAL_GET, 1, LOCAL_SET, 0].repeat(n),
            vec![DROP; n],
        ];
        module(1, 0, 1, &body.concat())
    });
}

#[test]
fn many_branches_out_of_one_block() {
    is_linear(50_000, |n| {
        let branches = [LOCAL_GET, 0, BR_IF, 0].repeat(n);
        module(1, 0, 0, &[&[BLOCK, VOID][..], &branches, &[END]].concat())
    });
}

/// A thousand values, carried by calls and branches of two bytes each: refused, at a bound that the body's size gives.
#[test]
fn a_thousand_values_again_and_again() {
    let make = [CALL, 1];
    let bodies = [
        // Calls of itself, which takes and gives a thousand.
        make.repeat(20_000),
        [LOCAL_GET, 0, BR_IF, 0].repeat(20_000),
    ];
    for body in bodies {
        let gets: Vec<u8> = (0..1000)
            .flat_map(|i| [vec![LOCAL_GET], leb(i)].concat())
            .collect();
        let wasm = module(3, 1000, 0, &[gets, body].concat());
        match translate(&wasm) {
            Err(ModuleError::TooLarge { have, limit, .. }) => {
                assert!(have > limit && have < limit + (1 << 20), "{have} of {limit}");
            }
            other => panic!("{:?}", other.map(|artifact| artifact.text.len())),
        }
    }
}

/// Blocks in each other that take and leave a thousand values: what is kept of each must not grow with those.
#[test]
fn nested_blocks_with_many_values() {
    is_linear(5_000, |n| {
        let body = [[BLOCK, 2].repeat(n), vec![UNREACHABLE], vec![END; n]];
        module(2, 1000, 0, &body.concat())
    });
}

/// A function of ten bytes may have fifty thousand locals, but not a million such functions.
#[test]
fn locals_of_all_functions_are_bounded() {
    let func = [&[1][..], &leb(50_000), &[I32, END]].concat();
    for (count, fits) in [(300, true), (400, false)] {
        let types = section(1, &[1, 0x60, 0, 0]);
        let funcs = section(3, &[leb(count), vec![0; count]].concat());
        let body = [leb(func.len()), func.clone()].concat();
        let code = section(10, &[leb(count), body.repeat(count)].concat());
        let wasm = [&b"\0asm\x01\0\0\0"[..], &types, &funcs, &code].concat();
        match translate(&wasm) {
            Ok(_) => assert!(fits, "{count}"),
            Err(ModuleError::TooLarge { have, limit, .. }) => assert!(!fits && have > limit, "{count}"),
            Err(other) => panic!("{count}: {other}"),
        }
    }
}
