//! Goldens of single operators: what each becomes for each way in which its operands can lie.
//!
//! ```text
//! i32.sub
//!   local, constant           lea ecx, [rdi-7]; mov edi, ecx
//!   slot, slot                mov ecx, [rbp-18h]; sub ecx, [rbp-20h]; mov edi, ecx
//! ```
//!
//! | operand | is |
//! |---|---|
//! | constant | known when it is compiled |
//! | local | a local that is in a register |
//! | register | a result in a register of its own |
//! | slot | a result that a call has sent to the frame |
//!
//! Beside: the result into the local of an operand (`-> 0`), a condition that is branched by (`br_if`), and, where it differs,
//! the code for a processor with nothing beyond the least (`least`). Shown is what is emitted from the operator on, so what
//! brings its operands into place and what becomes of its result belong to it; a function's end is left out where it is last.

use super::table::Operator;
use super::{FULL, listing};
use luge_core::compiler::{self, BoundsStrategy, CodeArtifact};
use luge_core::operator::{LoadOp, StoreOp, VectorLoadOp};
use luge_core::{ModuleError, ValType, WasmLevel};
use luge_jit::{Baseline, BaselineOptions, CpuFeatures};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Width of a line.
const WIDTH: usize = 120;
/// Where the code begins in it.
const INDENT: usize = 28;

/// The goldens by the first part of the operators' names, which is the name of their file.
pub(crate) fn goldens() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for operator in operators() {
        let (prefix, _) = operator.text.split_once('.').expect("a name with a type");
        let file = files.entry(prefix.to_owned()).or_default();
        write_operator(file, &operator);
    }
    files
}

/// An operator by its name and types.
struct Shape {
    text: String,
    params: Vec<ValType>,
    /// Stores give nothing.
    result: Option<ValType>,
}

fn operators() -> Vec<Shape> {
    let of_value = |operator: Operator| Shape {
        text: operator.text,
        params: operator.params,
        result: Some(operator.result),
    };
    // Of the lanes, the lowest and one other.
    let shown = |shape: &Shape| {
        let lane = shape.text.split_once(' ').map_or("0", |(_, lane)| lane);
        ["0", "1"].contains(&lane)
    };
    let mut all: Vec<Shape> = super::table::all()
        .into_iter()
        .map(of_value)
        .filter(shown)
        .collect();
    let access = |name: String, params: &[ValType], result| Shape {
        text: format!("{} offset=16", super::table::text(&name)),
        params: params.to_vec(),
        result,
    };
    let loads = LoadOp::ALL.iter().map(|op| (format!("{op:?}"), op.ty()));
    let vectors = VectorLoadOp::ALL.iter();
    let loads = loads.chain(vectors.map(|op| (op.name().to_owned(), ValType::V128)));
    all.extend(loads.map(|(name, ty)| access(name, &[ValType::I32], Some(ty))));
    let stores = StoreOp::ALL.iter().map(|op| (format!("{op:?}"), op.ty()));
    let stores = stores.chain([("V128Store".to_owned(), ValType::V128)]);
    all.extend(stores.map(|(name, ty)| access(name, &[ValType::I32, ty], None)));
    all
}

/// Where an operand lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Constant,
    Local,
    Register,
    Slot,
}

impl State {
    const ALL: [Self; 4] = [Self::Constant, Self::Local, Self::Register, Self::Slot];

    fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Local => "local",
            Self::Register => "register",
            Self::Slot => "slot",
        }
    }
}

/// What becomes of the result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Return,
    /// Into the local of this operand.
    Local(usize),
    /// Decides a branch.
    Branch,
}

/// The states that are shown of an operator's operands. A call sends everything below to the frame, so left of a slot lie
/// slots and constants only; constants alone are folded, and shown where there is one operand.
fn states(params: &[ValType]) -> Vec<Vec<State>> {
    let mut all: Vec<Vec<State>> = vec![Vec::new()];
    for _ in params {
        let longer = all
            .iter()
            .flat_map(|states| State::ALL.map(|state| [&states[..], &[state]].concat()));
        all = longer.collect();
    }
    let vectors = params.iter().filter(|&&ty| ty == ValType::V128).count();
    all.retain(|states| {
        let slot = states.iter().rposition(|&state| state == State::Slot);
        let below = &states[..slot.unwrap_or(0)];
        let possible = below
            .iter()
            .all(|state| matches!(state, State::Slot | State::Constant));
        let folds = states.len() > 1 && states.iter().all(|&state| state == State::Constant);
        // Every vector register is as any other, and a register that is a local's differs in nothing.
        let shown = vectors == 0 || !states.contains(&State::Register);
        let alike = vectors < 3 || states.iter().all(|&state| state == states[0]);
        possible && !folds && shown && alike
    });
    all
}

fn write_operator(file: &mut String, operator: &Shape) {
    let mut rows: Vec<(String, Vec<State>, Use)> = Vec::new();
    let name = |states: &[State]| {
        let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
        names.join(", ")
    };
    for states in states(&operator.params) {
        rows.push((name(&states), states, Use::Return));
    }
    let plain = vec![State::Local; operator.params.len()];
    for (index, &ty) in operator.params.iter().enumerate() {
        if Some(ty) == operator.result {
            rows.push((
                format!("{} -> {index}", name(&plain)),
                plain.clone(),
                Use::Local(index),
            ));
        }
    }
    if operator.result == Some(ValType::I32) {
        rows.push((format!("{} br_if", name(&plain)), plain.clone(), Use::Branch));
    }
    let full = compile(operator, &rows, FULL).expect("what the processor has everything for");
    let least = compile(operator, &rows, CpuFeatures::BASELINE);
    writeln!(file, "{}", operator.text).expect("a string");
    for (number, (row, states, r#use)) in rows.iter().enumerate() {
        let made = code(&full, number, states, *r#use, operator);
        write_row(file, row, &made);
        let for_least = match &least {
            Ok(least) => code(least, number, states, *r#use, operator),
            Err(error) => vec![error.to_string()],
        };
        if *states == plain && *r#use == Use::Return && made != for_least {
            write_row(file, &format!("{row} least"), &for_least);
        }
    }
}

fn write_row(file: &mut String, name: &str, code: &[String]) {
    let mut line = format!("  {name:width$}", width = INDENT - 2);
    for (index, instruction) in code.iter().enumerate() {
        let label = instruction.ends_with(':');
        let separator = match label {
            _ if index + 1 == code.len() => "",
            true => " ",
            false => "; ",
        };
        if line.len() + instruction.len() >= WIDTH {
            writeln!(file, "{}", line.trim_end()).expect("a string");
            line = " ".repeat(INDENT);
        }
        line.push_str(&instruction.replace(" ; trap:", " for"));
        line.push_str(separator);
    }
    writeln!(file, "{}", line.trim_end()).expect("a string");
}

/// A module with a function for each row; function 0 is called to send what lies in registers to the frame.
fn compile(
    operator: &Shape,
    rows: &[(String, Vec<State>, Use)],
    cpu: CpuFeatures,
) -> Result<CodeArtifact, ModuleError> {
    let mut wat = "(module (memory 1) (func)".to_owned();
    for (index, &ty) in operator.params.iter().enumerate() {
        let ty = type_name(ty);
        write!(
            wat,
            "(global $g{index} (mut {ty}) ({ty}.const {}))",
            zero(operator.params[index])
        )
        .expect("a string");
    }
    let params: Vec<&str> = operator.params.iter().map(|&ty| type_name(ty)).collect();
    for (_, states, r#use) in rows {
        let mut body = operators_before(&operator.params, states, *r#use);
        body.push(operator.text.clone());
        match r#use {
            Use::Local(index) => body.push(format!("local.set {index}")),
            Use::Branch => body.extend(["br_if 0", "unreachable", "end"].map(str::to_owned)),
            Use::Return => {}
        }
        let result = operator.result.filter(|_| *r#use == Use::Return);
        let result = result.map_or(String::new(), |ty| format!("(result {})", type_name(ty)));
        write!(
            wat,
            "(func (param {}) {result} {})",
            params.join(" "),
            body.join(" ")
        )
        .expect("a string");
    }
    wat.push(')');
    let options = BaselineOptions {
        bounds: BoundsStrategy::Guard,
        fuel: false,
        positions: true,
        cpu,
    };
    let wasm = wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}: {wat}"));
    compiler::compile(WasmLevel::Latest, &Baseline::new(options), &wasm)
}

/// What brings the operands into their states, one operator in each text.
fn operators_before(params: &[ValType], states: &[State], r#use: Use) -> Vec<String> {
    let mut before = Vec::new();
    if r#use == Use::Branch {
        before.push("block".to_owned());
    }
    let last_slot = states.iter().rposition(|&state| state == State::Slot);
    for (index, (&ty, &state)) in params.iter().zip(states).enumerate() {
        match state {
            State::Constant => before.push(constant(ty)),
            State::Local => {
                if last_slot.is_some() {
                    before.push(format!("global.get $g{index}"));
                    before.push(format!("local.set {index}"));
                }
                before.push(format!("local.get {index}"));
            }
            State::Register | State::Slot => before.push(format!("global.get $g{index}")),
        }
        if last_slot == Some(index) {
            before.push("call 0".to_owned());
        }
    }
    before
}

/// What the function of a row has from the operator on.
fn code(artifact: &CodeArtifact, row: usize, states: &[State], r#use: Use, operator: &Shape) -> Vec<String> {
    let func = artifact.funcs[row + 1].clone();
    let mut here = artifact
        .positions
        .iter()
        .filter(|position| func.contains(&position.offset));
    let before = operators_before(&operator.params, states, r#use).len();
    let begins = here.nth(before).expect("the operator's place");
    let mut lines = listing::without_exhaustion(listing::from(artifact, row + 1, begins.offset));
    // Where the function ends in nothing else, it says nothing.
    if lines.ends_with(&["leave".to_owned(), "ret".to_owned()]) {
        lines.truncate(lines.len() - 2);
    }
    lines
}

fn constant(ty: ValType) -> String {
    match ty {
        ValType::V128 => "v128.const i32x4 1 2 3 4".to_owned(),
        ValType::F32 | ValType::F64 => format!("{}.const 1.5", type_name(ty)),
        _ => format!("{}.const 7", type_name(ty)),
    }
}

fn zero(ty: ValType) -> &'static str {
    if ty == ValType::V128 { "i64x2 0 0" } else { "0" }
}

fn type_name(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        _ => "v128",
    }
}
