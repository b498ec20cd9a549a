//! Modules made to be slow to compile, or to become much code: what a compiler does must stay in proportion to the bytes
//! that ask for it.
//!
//! Each shape makes a module of a size. `tests/hostile.rs` counts the code that comes of it at one size and at four times
//! it, which no busy machine changes; the program `hostile` shows time, instructions and memory per byte.

use std::fmt;

const I32: u8 = 0x7f;
const VOID: u8 = 0x40;
const UNREACHABLE: u8 = 0x00;
const BLOCK: u8 = 0x02;
const LOOP: u8 = 0x03;
const IF: u8 = 0x04;
const ELSE: u8 = 0x05;
const THROW: u8 = 0x08;
const END: u8 = 0x0b;
const BR_IF: u8 = 0x0d;
const BR_TABLE: u8 = 0x0e;
const CALL: u8 = 0x10;
const DROP: u8 = 0x1a;
const TRY_TABLE: u8 = 0x1f;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;
const I32_LOAD: u8 = 0x28;
const I32_CONST: u8 = 0x41;
const F64_CONST: u8 = 0x44;
const I32_ADD: u8 = 0x6a;
const I32_DIV_S: u8 = 0x6d;
const F64_MIN: u8 = 0xa4;

/// The types of every module, by their numbers.
mod ty {
    /// `[] -> []`
    pub(super) const NONE: u8 = 0;
    /// `[i32] -> []`
    pub(super) const TAKES: u8 = 1;
    /// `[] -> [i32 * wide]`
    pub(super) const GIVES_MANY: u8 = 2;
    /// `[i32 * wide] -> [i32 * wide]`
    pub(super) const PASSES_MANY: u8 = 3;
}

/// A kind of module, of any size.
pub struct Shape {
    /// What it is called.
    pub name: String,
    /// A size of which four times are still taken.
    pub size: usize,
    make: Box<dyn Fn(usize) -> Vec<u8> + Send + Sync>,
}

impl Shape {
    /// The module of a size.
    #[must_use]
    pub fn module(&self, size: usize) -> Vec<u8> {
        (self.make)(size)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name, self.size)
    }
}

/// All shapes that have to be taken.
#[must_use]
pub fn shapes() -> Vec<Shape> {
    let mut all = nested();
    all.extend(branches());
    all.extend(values());
    all.extend(plain());
    all.extend(modules());
    all
}

fn shape(name: &str, size: usize, make: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Shape {
    Shape {
        name: name.to_owned(),
        size,
        make: Box::new(make),
    }
}

fn nested() -> Vec<Shape> {
    let constructs = |open: &'static [u8], end: &'static [u8]| {
        move |n: usize| body(ty::TAKES, 0, 1, &[open.repeat(n), end.repeat(n)].concat())
    };
    const OPEN_IF: &[u8] = &[LOCAL_GET, 0, IF, VOID, LOCAL_GET, 0, LOCAL_SET, 1];
    // Each loop keeps as many locals as it may, and all loops the same.
    let uses: Vec<u8> = (0..20)
        .flat_map(|local| [LOCAL_GET, local, LOCAL_SET, local])
        .collect();
    // A loop around many blocks, in which calls, or loops that call, look for it.
    let far = |inner: &'static [u8]| {
        move |n: usize| {
            let blocks = [BLOCK, VOID].repeat(n);
            let body_bytes = [&[LOOP, VOID][..], &blocks, &inner.repeat(n), &vec![END; n + 1]];
            body(ty::NONE, 0, 0, &body_bytes.concat())
        }
    };
    vec![
        shape("nested blocks", 12_500, constructs(&[BLOCK, VOID], &[END])),
        shape("nested loops", 12_500, constructs(&[LOOP, VOID], &[END])),
        shape("nested ifs", 12_500, constructs(OPEN_IF, &[END])),
        shape("nested ifs and elses", 12_500, constructs(OPEN_IF, &[ELSE, END])),
        shape(
            "nested handlers",
            12_500,
            constructs(&[TRY_TABLE, VOID, 1, 2, 0], &[END]),
        ),
        shape("nested loops with many locals", 5_000, move |n| {
            let loops = [[LOOP, VOID].repeat(n), uses.clone(), vec![END; n]];
            body(ty::NONE, 0, 20, &loops.concat())
        }),
        shape("calls far inside a loop", 12_500, far(&[CALL, 0])),
        shape(
            "loops far inside a loop",
            12_500,
            far(&[LOOP, VOID, CALL, 0, END]),
        ),
        // What is kept of each must not grow with its values.
        shape("nested blocks with many values", 5_000, |n| {
            let blocks = [[BLOCK, ty::GIVES_MANY].repeat(n), vec![UNREACHABLE], vec![END; n]];
            body(ty::GIVES_MANY, 1000, 0, &blocks.concat())
        }),
    ]
}

fn branches() -> Vec<Shape> {
    let table = |most: usize| {
        move |n: usize| {
            let depth = most.min(n);
            let entries: Vec<u8> = (0..n).flat_map(|i| leb(i % depth)).collect();
            let table = [&[LOCAL_GET, 0, BR_TABLE][..], &leb(n), &entries, &[0]].concat();
            let blocks = [[BLOCK, VOID].repeat(depth), table, vec![END; depth]];
            body(ty::TAKES, 0, 0, &blocks.concat())
        }
    };
    vec![
        shape("jump table to few", 25_000, table(100)),
        shape("jump table to many", 25_000, table(usize::MAX)),
        shape("branches out of one block", 50_000, |n| {
            let branches = [LOCAL_GET, 0, BR_IF, 0].repeat(n);
            body(ty::TAKES, 0, 0, &[&[BLOCK, VOID][..], &branches, &[END]].concat())
        }),
        // A scan looks ahead over each outermost loop, and must not look over all that follows it.
        shape("loops, one after another", 25_000, |n| {
            let one = [LOOP, VOID, LOCAL_GET, 0, LOCAL_SET, 1, END];
            body(ty::TAKES, 0, 1, &one.repeat(n))
        }),
        shape("loops with types spelled out", 12_500, |n| {
            // try_table (result (ref null func))
            let result = [TRY_TABLE, 0x63, 0x70, 0, UNREACHABLE, END, DROP];
            let one = [&[LOOP, VOID][..], &result, &[END]].concat();
            body(ty::TAKES, 0, 0, &one.repeat(n))
        }),
        shape("many locals and loops", 12_000, |n| {
            let loops = (0..n).flat_map(|i| {
                let local = leb(i + 1);
                [&[LOOP, VOID, LOCAL_GET][..], &local, &[LOCAL_SET], &local, &[END]].concat()
            });
            body(ty::TAKES, 0, n, &loops.collect::<Vec<_>>())
        }),
        // Up to fifty thousand locals, all written, between labels.
        shape("many locals and labels", 12_000, |n| {
            let labels = (0..n).flat_map(|i| {
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
            body(ty::TAKES, 0, n, &labels.collect::<Vec<_>>())
        }),
        shape("throws into one handler", 50_000, |n| {
            let throws = [LOCAL_GET, 0, IF, VOID, THROW, 0, END].repeat(n);
            let around = [&[BLOCK, VOID, TRY_TABLE, VOID, 1, 2, 0][..], &throws, &[END, END]];
            body(ty::TAKES, 0, 0, &around.concat())
        }),
    ]
}

/// Values in locals, in registers and in memory that stay on the stack over as many blocks and calls, or over writes of the
/// local in which they lie.
fn values() -> Vec<Shape> {
    const VALUES: [(&str, &[u8]); 3] = [
        ("locals", &[LOCAL_GET, 0]),
        ("sums", &[LOCAL_GET, 0, LOCAL_GET, 0, I32_ADD]),
        ("old locals", &[LOCAL_GET, 0, LOCAL_GET, 0, LOCAL_SET, 0]),
    ];
    const BETWEEN: [(&str, &[u8]); 4] = [
        ("blocks", &[BLOCK, VOID, LOCAL_GET, 0, BR_IF, 0, END]),
        ("calls", &[CALL, 0]),
        ("ifs with calls", &[LOCAL_GET, 0, IF, VOID, CALL, 0, END]),
        ("loops", &[LOOP, VOID, LOCAL_GET, 0, LOCAL_SET, 0, END]),
    ];
    let mut all = Vec::new();
    for (value_name, value) in VALUES {
        for (between_name, between) in BETWEEN {
            all.push(shape(&format!("{value_name} over {between_name}"), 2_500, |n| {
                let parts = [value.repeat(n), between.repeat(n), vec![DROP; n]];
                body(ty::TAKES, 0, 0, &parts.concat())
            }));
        }
    }
    all.push(shape("many aliases, one write", 12_500, |n| {
        let parts = [
            [LOCAL_GET, 0].repeat(n),
            vec![LOCAL_GET, 1, LOCAL_SET, 0],
            vec![DROP; n],
        ];
        body(ty::TAKES, 0, 1, &parts.concat())
    }));
    all.push(shape("an alias for each write", 12_500, |n| {
        let parts = [
            [LOCAL_GET, 0, LOCAL_GET, 1, LOCAL_SET, 0].repeat(n),
            vec![DROP; n],
        ];
        body(ty::TAKES, 0, 1, &parts.concat())
    }));
    all
}

/// Functions of up to 900 KB, each of one thing.
fn plain() -> Vec<Shape> {
    let of = |one: &'static [u8]| move |n: usize| body(ty::TAKES, 0, 1, &one.repeat(n));
    vec![
        shape(
            "sums",
            30_000,
            of(&[LOCAL_GET, 0, LOCAL_GET, 1, I32_ADD, LOCAL_SET, 1]),
        ),
        shape(
            "divisions",
            30_000,
            of(&[LOCAL_GET, 0, LOCAL_GET, 1, I32_DIV_S, LOCAL_SET, 1]),
        ),
        shape("loads", 30_000, of(&[LOCAL_GET, 0, I32_LOAD, 2, 0, LOCAL_SET, 1])),
        shape("a deep expression", 15_000, |n| {
            let parts = [[LOCAL_GET, 0].repeat(n), vec![I32_ADD; n - 1], vec![DROP]];
            body(ty::TAKES, 0, 0, &parts.concat())
        }),
        shape("constants of floats", 10_000, |n| {
            let one = |i: usize| {
                let bits = (1.5 + i as f64).to_le_bytes();
                [&[F64_CONST][..], &bits, &[F64_CONST], &bits, &[F64_MIN, DROP]].concat()
            };
            body(ty::TAKES, 0, 0, &(0..n).flat_map(one).collect::<Vec<_>>())
        }),
    ]
}

/// Much of what lies around functions.
fn modules() -> Vec<Shape> {
    vec![
        shape("functions", 20_000, |n| {
            let funcs = [leb(n), vec![ty::NONE; n]].concat();
            let code = [leb(n), [4, 0, CALL, 0, END].repeat(n)].concat();
            module(0, &funcs, &[], &code)
        }),
        shape("elements", 200_000, |n| {
            let funcs = [1, ty::NONE];
            let elements = [&[1, 0, I32_CONST, 0, END][..], &leb(n), &vec![0; n]].concat();
            let table = section(4, &[&[1, 0x70, 0][..], &leb(n)].concat());
            let between = [table, section(9, &elements)].concat();
            module(0, &funcs, &between, &[1, 2, 0, END])
        }),
    ]
}

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

/// A module with the types of [`ty`], and the sections after that of its functions, before that of its code.
fn module(wide: usize, funcs: &[u8], between: &[u8], code: &[u8]) -> Vec<u8> {
    let many = [leb(wide), vec![I32; wide]].concat();
    let types = [
        &[4, 0x60, 0, 0, 0x60, 1, I32, 0, 0x60, 0][..],
        &many,
        &[0x60],
        &many,
        &many,
    ]
    .concat();
    let sections = [
        section(1, &types),
        section(3, funcs),
        between.to_vec(),
        section(10, code),
    ];
    [&b"\0asm\x01\0\0\0"[..], &sections.concat()].concat()
}

/// A module with a memory and a tag, whose function 0 is empty and of the first type, and whose function 1 has the type
/// `ty`, that many `i32` locals beside its parameters, and these operators.
pub fn body(ty: u8, wide: usize, locals: usize, operators: &[u8]) -> Vec<u8> {
    let locals = [&[1][..], &leb(locals), &[I32]].concat();
    let func = [&locals[..], operators, &[END]].concat();
    let code = [&[2, 2, 0, END][..], &leb(func.len()), &func].concat();
    let between = [section(5, &[1, 0, 1]), section(13, &[1, 0, ty::NONE])].concat();
    module(wide, &[2, 0, ty], &between, &code)
}

/// A function of `count` operators that carry a thousand values each: refused, at a bound that the body's size gives.
#[must_use]
pub fn thousand_values_each(count: usize, branches: bool) -> Vec<u8> {
    let gets: Vec<u8> = (0..1000)
        .flat_map(|i| [vec![LOCAL_GET], leb(i)].concat())
        .collect();
    let operators = if branches {
        [LOCAL_GET, 0, BR_IF, 0].repeat(count)
    } else {
        // Calls of itself, which takes and gives a thousand.
        [CALL, 1].repeat(count)
    };
    body(ty::PASSES_MANY, 1000, 0, &[gets, operators].concat())
}

/// That many functions of ten bytes with fifty thousand locals each.
#[must_use]
pub fn functions_with_many_locals(count: usize) -> Vec<u8> {
    let func = [&[1][..], &leb(50_000), &[I32, END]].concat();
    let code = [leb(count), [leb(func.len()), func].concat().repeat(count)].concat();
    module(0, &[leb(count), vec![0; count]].concat(), &[], &code)
}
