//! Constant expressions: how globals start, where segments go, and what they hold.
//!
//! Nearly all of them are one instruction. The longer ones of the extended-const proposal (3.0: sums, differences and
//! products of integers) are kept as they stand and computed at instantiation, when imported globals are known.

use crate::error::ModuleError;
use crate::operator::BinaryOp;
use wasmparser::Operator;

/// A constant expression (specification 3.0, section 3.4.13).
#[derive(Debug, Clone)]
pub(crate) enum ConstExpr {
    /// The slot of a scalar.
    Value(u64),
    Vector(Box<u128>),
    GlobalGet(u32),
    RefFunc(u32),
    /// More than one instruction.
    Computed(Box<[Step]>),
}

/// An instruction of a longer expression.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Value(u64),
    GlobalGet(u32),
    Binary(BinaryOp),
}

impl ConstExpr {
    /// Reads an expression that the validator has passed.
    pub(super) fn read(expr: &wasmparser::ConstExpr<'_>) -> Result<Self, ModuleError> {
        let mut operators = expr.get_operators_reader();
        let mut only = None;
        let mut steps = Vec::new();
        loop {
            let offset = operators.original_position();
            let operator = operators.read().map_err(ModuleError::invalid)?;
            if let Operator::End = operator {
                break;
            }
            let read = one(&operator).ok_or_else(|| ModuleError::Invalid {
                message: format!("{operator:?} in a constant expression is not implemented"),
                offset,
            })?;
            // The first is kept aside: a list is only made where a second comes.
            match (read, only.take()) {
                (read, None) if steps.is_empty() => only = Some(read),
                (read, first) => {
                    steps.extend(first.and_then(step));
                    steps.extend(step(read));
                }
            }
        }
        Ok(only.map_or_else(
            || Self::Computed(steps.into()),
            |only| match only {
                Read::Whole(expr) => expr,
                Read::Binary(op) => Self::Computed([Step::Binary(op)].into()),
            },
        ))
    }

    /// The value, as two slots of which a scalar uses the first. `global` gives an imported or earlier global's, and
    /// `func` a reference to a function of the instance.
    pub(crate) fn evaluate(&self, global: impl Fn(u32) -> [u64; 2], func: impl Fn(u32) -> u64) -> [u64; 2] {
        match *self {
            Self::Value(slot) => [slot, 0],
            Self::Vector(ref bits) => [**bits as u64, (**bits >> 64) as u64],
            Self::GlobalGet(index) => global(index),
            Self::RefFunc(index) => [func(index), 0],
            Self::Computed(ref steps) => [compute(steps, global), 0],
        }
    }
}

/// An instruction as it is read.
enum Read {
    Whole(ConstExpr),
    Binary(BinaryOp),
}

fn one(operator: &Operator<'_>) -> Option<Read> {
    let expr = match *operator {
        Operator::I32Const { value } => ConstExpr::Value(u64::from(value.cast_unsigned())),
        Operator::I64Const { value } => ConstExpr::Value(value.cast_unsigned()),
        Operator::F32Const { value } => ConstExpr::Value(u64::from(value.bits())),
        Operator::F64Const { value } => ConstExpr::Value(value.bits()),
        Operator::V128Const { value } => ConstExpr::Vector(Box::new(value.i128().cast_unsigned())),
        Operator::RefNull { .. } => ConstExpr::Value(0),
        Operator::RefFunc { function_index } => ConstExpr::RefFunc(function_index),
        Operator::GlobalGet { global_index } => ConstExpr::GlobalGet(global_index),
        Operator::I32Add => return Some(Read::Binary(BinaryOp::I32Add)),
        Operator::I32Sub => return Some(Read::Binary(BinaryOp::I32Sub)),
        Operator::I32Mul => return Some(Read::Binary(BinaryOp::I32Mul)),
        Operator::I64Add => return Some(Read::Binary(BinaryOp::I64Add)),
        Operator::I64Sub => return Some(Read::Binary(BinaryOp::I64Sub)),
        Operator::I64Mul => return Some(Read::Binary(BinaryOp::I64Mul)),
        _ => return None,
    };
    Some(Read::Whole(expr))
}

/// What an instruction is in a longer expression: references and vectors have no operators there.
fn step(read: Read) -> Option<Step> {
    Some(match read {
        Read::Binary(op) => Step::Binary(op),
        Read::Whole(ConstExpr::Value(slot)) => Step::Value(slot),
        Read::Whole(ConstExpr::GlobalGet(global)) => Step::GlobalGet(global),
        Read::Whole(_) => return None,
    })
}

fn compute(steps: &[Step], global: impl Fn(u32) -> [u64; 2]) -> u64 {
    let mut stack = Vec::new();
    for step in steps {
        let value = match *step {
            Step::Value(slot) => slot,
            Step::GlobalGet(index) => global(index)[0],
            Step::Binary(op) => {
                let (b, a) = (stack.pop().unwrap_or(0), stack.pop().unwrap_or(0));
                op.eval(a, b).expect("sums, differences and products do not trap")
            }
        };
        stack.push(value);
    }
    stack.pop().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_expression_is_computed_in_order() {
        let steps = [
            Step::Value(5),
            Step::GlobalGet(3),
            Step::Binary(BinaryOp::I32Sub),
            Step::Value(0xffff_ffff),
            Step::Binary(BinaryOp::I32Mul),
        ];
        let expr = ConstExpr::Computed(steps.into());
        // (5 - 7) * -1, in 32 bits.
        assert_eq!(expr.evaluate(|index| [u64::from(index) + 4, 0], |_| 0), [2, 0]);
    }
}
