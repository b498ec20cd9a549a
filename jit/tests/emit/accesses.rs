//! Loads and stores against a copy of the memory: with static offsets of every size, at constant addresses, at the edges of
//! the memory and beyond, where they have to trap and change nothing.

use crate::operators::text;
use crate::{bits, engine, value};
use luge_core::compiler::BoundsStrategy;
use luge_core::operator::{LoadOp, StoreOp, VectorLoadOp};
use luge_core::{Instance, Limits, Linker, Memory, Module, RunError, Store, Trap, ValType, Value};
use luge_jit::CpuFeatures;
use std::fmt::Write;

/// Bytes of the memory.
const MEMORY: u64 = 65536;

/// Static offsets: none, one that fits a displacement, the largest that do and the smallest that do not.
const OFFSETS: [u64; 8] = [0, 1, 24, 65520, 65535, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Addresses.
const ADDRESSES: [u32; 12] = [
    0,
    3,
    1000,
    65519,
    65520,
    65521,
    65528,
    65532,
    65535,
    65536,
    0x8000_0000,
    0xffff_ffff,
];

/// What a load makes of the bytes that it reads, given the vector that it takes a lane of, if it does.
type Read = Box<dyn Fn(u128, u128) -> u128>;

/// A load or store.
struct Access {
    text: String,
    /// Immediates behind the offset.
    lane: String,
    width: u32,
    ty: ValType,
    what: What,
}

enum What {
    Load(Read),
    /// A load that replaces a lane of a vector.
    LoadLane(Read),
    /// Stores the value shifted to the right by so many bits.
    Store(u32),
}

#[expect(clippy::too_many_lines, reason = "a row for each access")]
fn accesses() -> Vec<Access> {
    let mut all = Vec::new();
    let mut add = |text: String, lane: String, width: u32, ty: ValType, what: What| {
        all.push(Access {
            text,
            lane,
            width,
            ty,
            what,
        });
    };
    for &op in LoadOp::ALL {
        let read: Read = Box::new(move |bytes, _| u128::from(op.eval(bytes as u64)));
        add(
            text(&format!("{op:?}")),
            String::new(),
            op.width(),
            op.ty(),
            What::Load(read),
        );
    }
    for &op in VectorLoadOp::ALL {
        let read: Read = Box::new(move |bytes, _| op.eval(bytes));
        add(
            text(op.name()),
            String::new(),
            op.width(),
            ValType::V128,
            What::Load(read),
        );
    }
    for &op in StoreOp::ALL {
        add(
            text(&format!("{op:?}")),
            String::new(),
            op.width(),
            op.ty(),
            What::Store(0),
        );
    }
    add(
        "v128.store".to_owned(),
        String::new(),
        16,
        ValType::V128,
        What::Store(0),
    );
    for width in [1_u32, 2, 4, 8] {
        let bits = width * 8;
        for lane in 0..16 / width {
            let read: Read = Box::new(move |bytes, vector| {
                let mask = (u128::MAX >> (128 - bits)) << (lane * bits);
                vector & !mask | bytes << (lane * bits)
            });
            let text = format!("v128.load{bits}_lane");
            add(
                text,
                format!(" {lane}"),
                width,
                ValType::V128,
                What::LoadLane(read),
            );
            let text = format!("v128.store{bits}_lane");
            add(
                text,
                format!(" {lane}"),
                width,
                ValType::V128,
                What::Store(lane * bits),
            );
        }
    }
    all
}

/// A module with a function for each offset and form.
fn wat(access: &Access) -> String {
    let mut wat = "(module (memory (export \"m\") 1) (func $nop)".to_owned();
    let ty = crate::forms::type_text(access.ty);
    for offset in OFFSETS {
        let apply = format!("{} offset={offset}{}", access.text, access.lane);
        let mut add = |name: String, address: &str, before: &str| {
            let body = match access.what {
                What::Load(_) => format!("(result {ty}) {before} ({apply} {address})"),
                What::LoadLane(_) => format!("(result {ty}) {before} ({apply} {address} (local.get 1))"),
                What::Store(_) => format!("{before} ({apply} {address} (local.get 1))"),
            };
            writeln!(wat, "(func (export \"{name}\") (param i32 {ty}) {body})").expect("a string");
        };
        add(format!("plain{offset}"), "(local.get 0)", "");
        add(format!("frame{offset}"), "(local.get 0)", "call $nop");
        add(
            format!("own{offset}"),
            "(i32.add (local.get 0) (i32.const 0))",
            "",
        );
        for address in ADDRESSES {
            add(
                format!("const{offset}_{address}"),
                &format!("(i32.const {})", address as i32),
                "",
            );
        }
        if matches!(access.what, What::Load(_) | What::LoadLane(_)) {
            let operands = if matches!(access.what, What::Load(_)) {
                ""
            } else {
                "(local.get 1)"
            };
            writeln!(
                wat,
                "(func (export \"into{offset}\") (param i32 {ty}) (result {ty} {ty})
                   local.get 1 ({apply} (local.get 0) {operands}) local.set 1 local.get 1)"
            )
            .expect("a string");
        }
    }
    wat.push(')');
    wat
}

struct Tested {
    store: Store<()>,
    instance: Instance,
    memory: Memory,
}

/// What a call should give: its results, and the bytes that it writes.
type Wanted = Result<(Vec<u128>, Option<u128>), Trap>;

fn wanted(access: &Access, bytes: &[u8], at: u64, passed: u128) -> Wanted {
    let end = at + u64::from(access.width);
    if end > MEMORY {
        return Err(Trap::MemoryOutOfBounds);
    }
    let here = &bytes[at as usize..end as usize];
    let there = here
        .iter()
        .rev()
        .fold(0_u128, |bits, &byte| bits << 8 | u128::from(byte));
    Ok(match &access.what {
        What::Load(read) | What::LoadLane(read) => (vec![read(there, passed)], None),
        What::Store(shift) => (Vec::new(), Some(passed >> shift)),
    })
}

impl Tested {
    fn call(&mut self, access: &Access, name: &str, address: u32, offset: u64, passed: u128) {
        let before = self.memory.data(&self.store).to_vec();
        let at = u64::from(address) + offset;
        let func = self.instance.func(&self.store, name).expect("an export");
        let arguments = [Value::I32(address.cast_signed()), value(access.ty, passed)];
        let got = func.call(&mut self.store, &arguments);
        let place = format!(
            "{}{} {name} at {address:#x} with {passed:#x}",
            access.text, access.lane
        );
        let mut after = before.clone();
        match (got, wanted(access, &before, at, passed)) {
            (Ok(results), Ok((mut values, written))) => {
                if results.len() == 2 {
                    values.insert(0, passed);
                }
                let results: Vec<u128> = results.into_iter().map(bits).collect();
                assert_eq!(results, values, "{place}");
                if let Some(written) = written {
                    let width = access.width as usize;
                    after[at as usize..][..width].copy_from_slice(&written.to_le_bytes()[..width]);
                }
            }
            (Err(RunError::Trap(report)), Err(trap)) => assert_eq!(report.trap, trap, "{place}"),
            (got, wanted) => panic!("{place}: got {got:?}, wanted {wanted:?}"),
        }
        assert!(
            self.memory.data(&self.store) == after,
            "{place}: other bytes were written"
        );
        if after != before {
            self.memory.data_mut(&mut self.store).copy_from_slice(&before);
        }
    }
}

fn test_access(access: &Access, bounds: BoundsStrategy, cpu: CpuFeatures) {
    let engine = engine(cpu, bounds);
    let wat = wat(access);
    let wasm = wat::parse_str(&wat).unwrap_or_else(|error| panic!("{}: {error}", access.text));
    let module = Module::new(&engine, &wasm).expect("a module");
    let mut store = Store::new(&engine, &Limits::default(), ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .expect("an instance");
    let Some(luge_core::Extern::Memory(memory)) = instance.export(&store, "m") else {
        panic!("the memory is exported")
    };
    for (index, byte) in memory.data_mut(&mut store).iter_mut().enumerate() {
        *byte = (index * 37 + index / 256) as u8;
    }
    let mut tested = Tested {
        store,
        instance,
        memory,
    };
    let loads = !matches!(access.what, What::Store(_));
    // In the low bits, so that it is a value of any type.
    let passed = match access.ty {
        ValType::I32 | ValType::F32 => 0x8192_a3b4,
        ValType::I64 | ValType::F64 => 0x8192_a3b4_c5d6_e7f8,
        _ => 0x8192_a3b4_c5d6_e7f8_0112_2334_4556_6778,
    };
    for offset in OFFSETS {
        for address in ADDRESSES {
            let forms = ["plain", "frame", "own", "into"];
            for form in &forms[..if loads { 4 } else { 3 }] {
                tested.call(access, &format!("{form}{offset}"), address, offset, passed);
            }
            tested.call(
                access,
                &format!("const{offset}_{address}"),
                address,
                offset,
                passed,
            );
        }
    }
}

#[test]
fn loads_and_stores() {
    let host = CpuFeatures::detect().expect("a processor that machine code is made for");
    for access in accesses() {
        for cpu in [CpuFeatures::BASELINE, host] {
            for bounds in [BoundsStrategy::Guard, BoundsStrategy::Software] {
                test_access(&access, bounds, cpu);
            }
        }
    }
}
