//! Every operator on values, with its name in the text format, its types and its meaning.

use luge_core::operator::{
    BinaryOp, CompareOp, ExtractLaneOp, ReplaceLaneOp, SplatOp, UnaryOp, VectorBinaryOp, VectorShiftOp,
    VectorTernaryOp, VectorTestOp, VectorUnaryOp,
};
use luge_core::{Trap, ValType};

type Meaning = Box<dyn Fn(&[u128]) -> Result<u128, Trap>>;

/// An operator, with its lane if it has one.
pub(crate) struct Operator {
    /// In the text format, immediates included.
    pub(crate) text: String,
    pub(crate) params: Vec<ValType>,
    pub(crate) result: ValType,
    pub(crate) eval: Meaning,
}

/// All of them.
pub(crate) fn all() -> Vec<Operator> {
    let mut all = scalars();
    all.extend(vectors());
    all.extend(lanes());
    all
}

fn operator(
    name: &str,
    params: &[ValType],
    result: ValType,
    eval: impl Fn(&[u128]) -> Result<u128, Trap> + 'static,
) -> Operator {
    Operator {
        text: text(name),
        params: params.to_vec(),
        result,
        eval: Box::new(eval),
    }
}

fn scalars() -> Vec<Operator> {
    let mut all = Vec::new();
    for &op in UnaryOp::ALL.iter().filter(|&&op| op != UnaryOp::RefIsNull) {
        let eval = move |v: &[u128]| op.eval(v[0] as u64).map(u128::from);
        all.push(operator(&format!("{op:?}"), &[op.operand()], op.result(), eval));
    }
    for &op in BinaryOp::ALL {
        let eval = move |v: &[u128]| op.eval(v[0] as u64, v[1] as u64).map(u128::from);
        all.push(operator(&format!("{op:?}"), &[op.ty(); 2], op.ty(), eval));
    }
    for &op in CompareOp::ALL {
        let eval = move |v: &[u128]| Ok(u128::from(op.eval(v[0] as u64, v[1] as u64)));
        all.push(operator(&format!("{op:?}"), &[op.ty(); 2], ValType::I32, eval));
    }
    all
}

fn vectors() -> Vec<Operator> {
    const V: ValType = ValType::V128;
    let mut all = Vec::new();
    for &op in VectorUnaryOp::ALL {
        all.push(operator(op.name(), &[V], V, move |v| Ok(op.eval(v[0]))));
    }
    for &op in VectorBinaryOp::ALL {
        all.push(operator(op.name(), &[V; 2], V, move |v| Ok(op.eval(v[0], v[1]))));
    }
    for &op in VectorTernaryOp::ALL {
        all.push(operator(op.name(), &[V; 3], V, move |v| {
            Ok(op.eval(v[0], v[1], v[2]))
        }));
    }
    for &op in VectorShiftOp::ALL {
        let eval = move |v: &[u128]| Ok(op.eval(v[0], v[1] as u32));
        all.push(operator(op.name(), &[V, ValType::I32], V, eval));
    }
    for &op in VectorTestOp::ALL {
        all.push(operator(op.name(), &[V], ValType::I32, move |v| {
            Ok(u128::from(op.eval(v[0])))
        }));
    }
    for &op in SplatOp::ALL {
        let lane = lane_type(op.name());
        all.push(operator(op.name(), &[lane], V, move |v| Ok(op.eval(v[0] as u64))));
    }
    all
}

fn lanes() -> Vec<Operator> {
    const V: ValType = ValType::V128;
    let mut all = Vec::new();
    for &op in ExtractLaneOp::ALL {
        for lane in 0..lane_count(op.name()) {
            let eval = move |v: &[u128]| Ok(u128::from(op.eval(v[0], lane)));
            let mut extract = operator(op.name(), &[V], op.lane_type(), eval);
            extract.text = format!("{} {lane}", extract.text);
            all.push(extract);
        }
    }
    for &op in ReplaceLaneOp::ALL {
        for lane in 0..lane_count(op.name()) {
            let eval = move |v: &[u128]| Ok(op.eval(v[0], v[1] as u64, lane));
            let mut replace = operator(op.name(), &[V, lane_type(op.name())], V, eval);
            replace.text = format!("{} {lane}", replace.text);
            all.push(replace);
        }
    }
    all
}

fn lane_count(name: &str) -> u8 {
    match &name[3..5] {
        "x1" => 16,
        "x8" => 8,
        "x4" => 4,
        _ if name.starts_with("I8x16") => 16,
        _ => 2,
    }
}

fn lane_type(name: &str) -> ValType {
    match &name[..3] {
        "I64" => ValType::I64,
        "F32" => ValType::F32,
        "F64" => ValType::F64,
        _ => ValType::I32,
    }
}

/// An operator's name in the text format: `I32TruncSatF64U` is `i32.trunc_sat_f64_u`.
pub(crate) fn text(name: &str) -> String {
    let shape = [
        "I8x16", "I16x8", "I32x4", "I64x2", "F32x4", "F64x2", "V128", "I32", "I64", "F32", "F64",
    ];
    let prefix = shape
        .into_iter()
        .find(|shape| name.starts_with(shape))
        .expect("a type in front");
    let mut text = format!("{}.", prefix.to_lowercase());
    for (index, letter) in name[prefix.len()..].chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    // What the text format writes as one word.
    for (ours, theirs) in [
        ("ext_add", "extadd"),
        ("ext_mul", "extmul"),
        ("p_min", "pmin"),
        ("p_max", "pmax"),
        ("and_not", "andnot"),
        ("v128.bit_select", "v128.bitselect"),
        ("q15_mulr", "q15mulr"),
    ] {
        text = text.replace(ours, theirs);
    }
    text
}

/// Whether the standard leaves NaNs that an operator gives open.
pub(crate) fn nans_are_open(text: &str) -> bool {
    const OPEN: [&str; 13] = [
        ".add", ".sub", ".mul", ".div", ".min", ".max", ".sqrt", ".ceil", ".floor", ".trunc", ".nearest",
        "demote", "promote",
    ];
    text.starts_with('f') && (OPEN.iter().any(|name| text.contains(name)) || text.contains("madd"))
}
