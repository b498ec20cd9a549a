//! The ways in which operands reach an operator, and its result leaves it.
//!
//! One module per operator: each function applies the operator once, with operands in registers, in the frame, in slots,
//! constant, or the same twice; with the result nowhere in particular, in the local of an operand, or fused into a branch.

use super::operators::Operator;
use luge_core::ValType;
use std::fmt::Write;

/// What a function of the module takes and gives, in terms of the operator's operands.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) name: String,
    /// What the operands are.
    pub(crate) operands: Vec<From>,
    /// Types of its parameters.
    pub(crate) params: Vec<ValType>,
    pub(crate) gives: Vec<Gives>,
}

/// Where an operand comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From {
    Param(usize),
    Const(u128),
}

/// What a result is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gives {
    /// The operator's.
    Result,
    /// 1 where the operator's is 0, and 0 otherwise.
    Zero,
    /// An argument as it was.
    Param(usize),
}

/// A module under construction.
pub(crate) struct Forms {
    pub(crate) wat: String,
    pub(crate) forms: Vec<Form>,
}

pub(crate) fn type_text(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        _ => "v128",
    }
}

/// A constant that keeps its bits.
fn constant(ty: ValType, bits: u128) -> String {
    let float = |bits: u64, fraction: u32, width: u32| {
        let sign = if bits >> (width - 1) & 1 == 1 { "-" } else { "" };
        let payload = bits & ((1 << fraction) - 1);
        let exponent = bits >> fraction & ((1 << (width - 1 - fraction)) - 1);
        if exponent == (1 << (width - 1 - fraction)) - 1 {
            return if payload == 0 {
                format!("{sign}inf")
            } else {
                format!("{sign}nan:{payload:#x}")
            };
        }
        String::new()
    };
    match ty {
        ValType::I32 => format!("(i32.const {})", bits as u32 as i32),
        ValType::I64 => format!("(i64.const {})", bits as u64 as i64),
        ValType::F32 => match float(bits as u64, 23, 32) {
            special if !special.is_empty() => format!("(f32.const {special})"),
            _ => format!("(f32.const {:?})", f32::from_bits(bits as u32)),
        },
        ValType::F64 => match float(bits as u64, 52, 64) {
            special if !special.is_empty() => format!("(f64.const {special})"),
            _ => format!("(f64.const {:?})", f64::from_bits(bits as u64)),
        },
        _ => format!("(v128.const i64x2 {:#x} {:#x})", bits as u64, (bits >> 64) as u64),
    }
}

impl Forms {
    /// All forms of an operator, with these constants for operands of each type.
    pub(crate) fn of(op: &Operator, edges: impl Fn(ValType) -> Vec<u128>) -> Self {
        let mut forms = Self {
            wat: "(module (func $nop)".to_owned(),
            forms: Vec::new(),
        };
        for (i, &ty) in op.params.iter().enumerate() {
            let ty = type_text(ty);
            write!(
                forms.wat,
                "(global $g{i} (mut {ty}) {})",
                constant(op.params[i], 0)
            )
            .expect("a string");
        }
        let params: Vec<From> = (0..op.params.len()).map(From::Param).collect();
        let gets: String = (0..op.params.len()).map(|i| format!("local.get {i} ")).collect();
        forms.plain(op, &params, &gets);
        forms.result_to_locals(op, &params, &gets);
        if op.result == ValType::I32 {
            forms.conditions(op, &params, &gets);
        }
        forms.constants(op, &edges);
        if op.params.len() == 2 && op.params[0] == op.params[1] {
            let body = format!("local.get 0 local.get 0 {}", op.text);
            forms.add(
                op,
                "same",
                &[From::Param(0), From::Param(0)],
                &[Gives::Result],
                &body,
            );
        }
        forms.pressed(op);
        forms.wat.push(')');
        forms
    }

    fn add(&mut self, op: &Operator, name: &str, operands: &[From], gives: &[Gives], body: &str) {
        self.add_with(op, name, operands, &op.params, gives, body);
    }

    fn add_with(
        &mut self,
        op: &Operator,
        name: &str,
        operands: &[From],
        params: &[ValType],
        gives: &[Gives],
        body: &str,
    ) {
        let types = |types: Vec<ValType>| types.into_iter().map(type_text).collect::<Vec<_>>().join(" ");
        let results = gives.iter().map(|gives| match gives {
            Gives::Result => op.result,
            Gives::Zero => ValType::I32,
            Gives::Param(index) => params[*index],
        });
        let name = format!("{name}{}", self.forms.len());
        writeln!(
            self.wat,
            "(func (export \"{name}\") (param {}) (result {}) (local $r {}) (local $n i32) {body})",
            types(params.to_vec()),
            types(results.collect()),
            type_text(op.result)
        )
        .expect("a string");
        self.forms.push(Form {
            name,
            operands: operands.to_vec(),
            params: params.to_vec(),
            gives: gives.to_vec(),
        });
    }

    fn plain(&mut self, op: &Operator, params: &[From], gets: &str) {
        use Gives::Result;
        let text = &op.text;
        self.add(op, "registers", params, &[Result], &format!("{gets} {text}"));
        self.add(
            op,
            "frame",
            params,
            &[Result],
            &format!("call $nop {gets} {text}"),
        );
        self.add(
            op,
            "slots",
            params,
            &[Result],
            &format!("{gets} call $nop {text}"),
        );
        let count = op.params.len();
        let sets: String = (0..count)
            .map(|i| format!("local.get {i} global.set $g{i} "))
            .collect();
        let globals: String = (0..count).map(|i| format!("global.get $g{i} ")).collect();
        self.add(op, "own", params, &[Result], &format!("{sets} {globals} {text}"));
        let turns = format!(
            "i32.const 2 local.set $n loop {gets} {text} local.set $r
            local.get $n i32.const 1 i32.sub local.tee $n br_if 0 end local.get $r"
        );
        self.add(op, "loop", params, &[Result], &turns);
        if count == 2 {
            let lower = format!("local.get 0 call $nop local.get 1 {text}");
            self.add(op, "lower_slot", params, &[Result], &lower);
            let upper = format!(
                "local.get 0 global.get $g1 local.get 1 global.set $g1 drop global.get $g1 call $nop
                local.set $n drop local.get 0 local.get 1 {text}"
            );
            if op.params[1] == ValType::I32 {
                self.add(op, "after", params, &[Result], &upper);
            }
        }
    }

    /// The result goes to the local of an operand, whose old value may still be wanted.
    fn result_to_locals(&mut self, op: &Operator, params: &[From], gets: &str) {
        use Gives::{Param, Result};
        let text = &op.text;
        for (k, _) in op.params.iter().enumerate().filter(|(_, ty)| **ty == op.result) {
            let set = format!("{gets} {text} local.set {k} local.get {k}");
            self.add(op, "into", params, &[Result], &set);
            self.add(op, "into_frame", params, &[Result], &format!("call $nop {set}"));
            let kept = format!("local.get {k} {gets} {text} local.set {k} local.get {k}");
            self.add(op, "into_kept", params, &[Param(k), Result], &kept);
            let tee = format!("local.get {k} {gets} {text} local.tee {k}");
            self.add(op, "tee_kept", params, &[Param(k), Result], &tee);
            let turns = format!(
                "i32.const 1 local.set $n loop {gets} {text} local.set {k}
                local.get $n i32.const 1 i32.sub local.tee $n br_if 0 end local.get {k}"
            );
            self.add(op, "into_home", params, &[Result], &turns);
        }
    }

    /// The result decides something.
    fn conditions(&mut self, op: &Operator, params: &[From], gets: &str) {
        use Gives::{Result, Zero};
        let text = &op.text;
        let one = "(i32.const 1) (i32.const 0)";
        let apply = format!("{gets} {text}");
        self.add(op, "eqz", params, &[Zero], &format!("{apply} i32.eqz"));
        self.add(
            op,
            "eqz_eqz",
            params,
            &[Zero],
            &format!("{apply} i32.eqz i32.eqz i32.eqz"),
        );
        let arms = |then: u8, otherwise: u8| {
            format!("if (result i32) i32.const {then} else i32.const {otherwise} end")
        };
        self.add(op, "if", params, &[Zero], &format!("{apply} {}", arms(0, 1)));
        self.add(
            op,
            "if_not",
            params,
            &[Zero],
            &format!("{apply} i32.eqz {}", arms(1, 0)),
        );
        let branch = |not: &str| format!("block {apply} {not} br_if 0 i32.const 1 return end i32.const 0");
        self.add(op, "br_if", params, &[Zero], &branch(""));
        self.add(
            op,
            "br_if_value",
            params,
            &[Zero],
            &format!("block (result i32) i32.const 0 {apply} br_if 0 drop i32.const 1 end"),
        );
        self.add(
            op,
            "select",
            params,
            &[Zero],
            &format!("i32.const 0 i32.const 1 {apply} select"),
        );
        self.add(
            op,
            "select_not",
            params,
            &[Zero],
            &format!("{one} {apply} i32.eqz select"),
        );
        self.add(
            op,
            "store",
            params,
            &[Result],
            &format!("{apply} local.set $n local.get $n"),
        );
    }

    fn constants(&mut self, op: &Operator, edges: impl Fn(ValType) -> Vec<u128>) {
        for k in 0..op.params.len() {
            for bits in edges(op.params[k]) {
                let mut operands = Vec::new();
                let mut body = String::new();
                for (i, &ty) in op.params.iter().enumerate() {
                    if i == k {
                        operands.push(From::Const(bits));
                        body.push_str(&constant(ty, bits));
                    } else {
                        operands.push(From::Param(i));
                        write!(body, " local.get {i} ").expect("a string");
                    }
                }
                self.add(
                    op,
                    "const",
                    &operands,
                    &[Gives::Result],
                    &format!("{body} {}", op.text),
                );
                if k == 0 && op.params.len() == 2 && op.params[1] == op.result {
                    let into = format!("{body} {} local.set 1 local.get 1", op.text);
                    self.add(op, "const_into", &operands, &[Gives::Result], &into);
                }
            }
        }
    }

    /// Operands and result in each of the argument registers, all of which have to keep their values.
    fn pressed(&mut self, op: &Operator) {
        let vector = |ty: ValType| matches!(ty, ValType::F32 | ValType::F64 | ValType::V128);
        if op.params.iter().any(|&ty| vector(ty)) || vector(op.result) {
            return;
        }
        for i in 0..6 {
            for j in 0..6 {
                if op.params.len() == 1 && j > 0 || op.params.len() == 2 && i == j {
                    continue;
                }
                let mut params = vec![op.params[0]; 6];
                let mut operands = vec![From::Param(i)];
                let mut body: String = (0..6).map(|k| format!("local.get {k} ")).collect();
                write!(body, "local.get {i} ").expect("a string");
                if op.params.len() == 2 {
                    params[j] = op.params[1];
                    operands.push(From::Param(j));
                    write!(body, "local.get {j} ").expect("a string");
                }
                let mut gives: Vec<Gives> = (0..6).map(Gives::Param).collect();
                gives.push(Gives::Result);
                body.push_str(&op.text);
                self.add_with(op, "pressed", &operands, &params, &gives, &body);
            }
        }
    }
}
