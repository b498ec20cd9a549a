//! Integer and float operators, loads and stores: what the classes of the operator table become.
//!
//! | module | holds |
//! |---|---|
//! | `int` | integer arithmetic and logic, counts |
//! | `shift` | shifts and rotations |
//! | `divide` | division and remainder |
//! | `float` | float arithmetic and comparisons |
//! | `convert` | conversions between integers and floats |
//! | `condition` | conditions as values, selection |
//! | `memory` | loads and stores |
//!
//! Operands are never scratch registers; the destination may be any of the operands. An `i32` in a general register is
//! zero-extended to 64 bits, and every `emit` both relies on that and keeps it.

mod condition;
mod convert;
mod divide;
mod float;
mod int;
mod memory;
mod shift;

use super::{Condition, Masm, Reg, Rhs};
use divide::Division;
use float::{FloatOp, Rounding};
use int::Alu;
use luge_core::operator::{BinaryOp, CompareOp, UnaryOp};
use shift::Shift;

impl Masm {
    /// `dst = op src`. The classes of the registers are those of the operator's types.
    pub(crate) fn unary(&mut self, op: UnaryOp, dst: Reg, src: Reg) {
        use UnaryOp as U;
        match op {
            U::I32Eqz => self.is_zero(dst, src, 4),
            U::I64Eqz | U::RefIsNull => self.is_zero(dst, src, 8),
            U::I32Clz => self.leading_zeros(dst, src, 4),
            U::I64Clz => self.leading_zeros(dst, src, 8),
            U::I32Ctz => self.trailing_zeros(dst, src, 4),
            U::I64Ctz => self.trailing_zeros(dst, src, 8),
            U::I32Popcnt => self.count_ones(dst, src, 4),
            U::I64Popcnt => self.count_ones(dst, src, 8),
            U::I32Extend8S
            | U::I32Extend16S
            | U::I64Extend8S
            | U::I64Extend16S
            | U::I64Extend32S
            | U::I64ExtendI32S => self.sign_extend(op, dst, src),
            U::I32WrapI64 => self.wrap(dst, src),
            U::I64ExtendI32U => self.mov(dst, src, 4),
            U::F32Abs => self.float_abs(dst, src, 4),
            U::F64Abs => self.float_abs(dst, src, 8),
            U::F32Neg => self.float_neg(dst, src, 4),
            U::F64Neg => self.float_neg(dst, src, 8),
            U::F32Ceil => self.round(Rounding::Up, dst, src, 4),
            U::F64Ceil => self.round(Rounding::Up, dst, src, 8),
            U::F32Floor => self.round(Rounding::Down, dst, src, 4),
            U::F64Floor => self.round(Rounding::Down, dst, src, 8),
            U::F32Trunc => self.round(Rounding::ToZero, dst, src, 4),
            U::F64Trunc => self.round(Rounding::ToZero, dst, src, 8),
            U::F32Nearest => self.round(Rounding::ToNearest, dst, src, 4),
            U::F64Nearest => self.round(Rounding::ToNearest, dst, src, 8),
            U::F32Sqrt => self.sqrt(dst, src, 4),
            U::F64Sqrt => self.sqrt(dst, src, 8),
            U::I32ReinterpretF32 | U::F32ReinterpretI32 => self.mov_across(dst, src, 4),
            U::I64ReinterpretF64 | U::F64ReinterpretI64 => self.mov_across(dst, src, 8),
            conversion => self.convert(conversion, dst, src),
        }
    }

    /// `dst = a op b`. A constant is taken by integer operators only.
    pub(crate) fn binary(&mut self, op: BinaryOp, dst: Reg, a: Reg, b: Rhs) {
        use BinaryOp as B;
        match op {
            B::I32Add => self.add(dst, a, b, 4),
            B::I64Add => self.add(dst, a, b, 8),
            B::I32Sub => self.subtract(dst, a, b, 4),
            B::I64Sub => self.subtract(dst, a, b, 8),
            B::I32Mul => self.multiply(dst, a, b, 4),
            B::I64Mul => self.multiply(dst, a, b, 8),
            B::I32And => self.and(dst, a, b, 4),
            B::I64And => self.and(dst, a, b, 8),
            B::I32Or => self.commutative(Alu::Or, dst, a, b, 4),
            B::I64Or => self.commutative(Alu::Or, dst, a, b, 8),
            B::I32Xor => self.commutative(Alu::Xor, dst, a, b, 4),
            B::I64Xor => self.commutative(Alu::Xor, dst, a, b, 8),
            B::I32Shl => self.shift(Shift::Left, dst, a, b, 4),
            B::I64Shl => self.shift(Shift::Left, dst, a, b, 8),
            B::I32ShrS => self.shift(Shift::RightSigned, dst, a, b, 4),
            B::I64ShrS => self.shift(Shift::RightSigned, dst, a, b, 8),
            B::I32ShrU => self.shift(Shift::RightUnsigned, dst, a, b, 4),
            B::I64ShrU => self.shift(Shift::RightUnsigned, dst, a, b, 8),
            B::I32Rotl => self.shift(Shift::RotateLeft, dst, a, b, 4),
            B::I64Rotl => self.shift(Shift::RotateLeft, dst, a, b, 8),
            B::I32Rotr => self.shift(Shift::RotateRight, dst, a, b, 4),
            B::I64Rotr => self.shift(Shift::RotateRight, dst, a, b, 8),
            B::I32DivS => self.divide(Division::SIGNED_QUOTIENT, dst, a, b, 4),
            B::I64DivS => self.divide(Division::SIGNED_QUOTIENT, dst, a, b, 8),
            B::I32DivU => self.divide(Division::UNSIGNED_QUOTIENT, dst, a, b, 4),
            B::I64DivU => self.divide(Division::UNSIGNED_QUOTIENT, dst, a, b, 8),
            B::I32RemS => self.divide(Division::SIGNED_REMAINDER, dst, a, b, 4),
            B::I64RemS => self.divide(Division::SIGNED_REMAINDER, dst, a, b, 8),
            B::I32RemU => self.divide(Division::UNSIGNED_REMAINDER, dst, a, b, 4),
            B::I64RemU => self.divide(Division::UNSIGNED_REMAINDER, dst, a, b, 8),
            B::F32Add => self.float_arithmetic(FloatOp::Add, dst, a, b, 4),
            B::F64Add => self.float_arithmetic(FloatOp::Add, dst, a, b, 8),
            B::F32Sub => self.float_arithmetic(FloatOp::Sub, dst, a, b, 4),
            B::F64Sub => self.float_arithmetic(FloatOp::Sub, dst, a, b, 8),
            B::F32Mul => self.float_arithmetic(FloatOp::Mul, dst, a, b, 4),
            B::F64Mul => self.float_arithmetic(FloatOp::Mul, dst, a, b, 8),
            B::F32Div => self.float_arithmetic(FloatOp::Div, dst, a, b, 4),
            B::F64Div => self.float_arithmetic(FloatOp::Div, dst, a, b, 8),
            B::F32Min => self.extremum(FloatOp::Min, dst, a, b, 4),
            B::F64Min => self.extremum(FloatOp::Min, dst, a, b, 8),
            B::F32Max => self.extremum(FloatOp::Max, dst, a, b, 4),
            B::F64Max => self.extremum(FloatOp::Max, dst, a, b, 8),
            B::F32Copysign => self.copysign(dst, a, b, 4),
            B::F64Copysign => self.copysign(dst, a, b, 8),
        }
    }

    /// Compares; the condition holds when `a op b` does, until the flags change. Uses a scratch register of each class.
    #[must_use]
    pub(crate) fn compare(&mut self, op: CompareOp, a: Reg, b: Rhs) -> Condition {
        use CompareOp as C;
        let (condition, width) = match op {
            C::I32Eq => (Condition::EQUAL, 4),
            C::I32Ne => (Condition::NOT_EQUAL, 4),
            C::I32LtS => (Condition::LESS, 4),
            C::I32LtU => (Condition::BELOW, 4),
            C::I32GtS => (Condition::GREATER, 4),
            C::I32GtU => (Condition::ABOVE, 4),
            C::I32LeS => (Condition::LESS_EQUAL, 4),
            C::I32LeU => (Condition::BELOW_EQUAL, 4),
            C::I32GeS => (Condition::GREATER_EQUAL, 4),
            C::I32GeU => (Condition::ABOVE_EQUAL, 4),
            C::I64Eq => (Condition::EQUAL, 8),
            C::I64Ne => (Condition::NOT_EQUAL, 8),
            C::I64LtS => (Condition::LESS, 8),
            C::I64LtU => (Condition::BELOW, 8),
            C::I64GtS => (Condition::GREATER, 8),
            C::I64GtU => (Condition::ABOVE, 8),
            C::I64LeS => (Condition::LESS_EQUAL, 8),
            C::I64LeU => (Condition::BELOW_EQUAL, 8),
            C::I64GeS => (Condition::GREATER_EQUAL, 8),
            C::I64GeU => (Condition::ABOVE_EQUAL, 8),
            float => return self.compare_floats(float, a, b),
        };
        match b {
            Rhs::Imm(bits) if bits == 0 || (width == 4 && bits as u32 == 0) => {
                if matches!(condition, Condition::EQUAL | Condition::NOT_EQUAL) {
                    self.test_for_zero(a, width);
                } else {
                    self.test(a, a, width);
                }
            }
            b => self.alu(Alu::Cmp, a, b, width),
        }
        condition
    }

    /// Moves `a` to `dst` and says where `b` is then: what refers to `dst` is copied to a scratch register before.
    fn place(&mut self, dst: Reg, a: Reg, b: Rhs, scratch: Reg, width: u32) -> Rhs {
        if dst == a {
            return b;
        }
        let b = if b.mentions(dst) {
            Rhs::Reg(self.in_register(b, scratch, width))
        } else {
            b
        };
        self.mov(dst, a, width);
        b
    }

    /// The register that holds an operand, which is `scratch`, after a copy or load, if the operand is no register or
    /// must not stay where it is.
    fn in_register(&mut self, b: Rhs, scratch: Reg, width: u32) -> Reg {
        match b {
            Rhs::Reg(reg) => self.mov(scratch, reg, width),
            Rhs::Mem(mem) => self.spill_load(scratch, mem, width),
            Rhs::Imm(bits) if scratch.is_xmm() => self.float_imm(scratch, bits, width),
            Rhs::Imm(bits) => self.mov_imm(scratch, bits, width),
        }
        scratch
    }

    /// A constant as an instruction's 32-bit field means it, sign-extended to `width`. `None` if it does not fit.
    fn immediate(bits: u64, width: u32) -> Option<i32> {
        if width == 4 {
            Some(bits as u32 as i32)
        } else {
            i32::try_from(bits as i64).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOTH, assemble, assert_shortest, decode};
    use super::super::{Masm, Mem, Reg, Rhs};
    use crate::cpu::CpuFeatures;
    use iced_x86::OpKind;
    use luge_core::operator::{BinaryOp, CompareOp, UnaryOp};

    const GENERAL: [Reg; 5] = [Reg::RCX, Reg::RDX, Reg::gpr(6), Reg::gpr(12), Reg::gpr(13)];
    const VECTOR: [Reg; 3] = [Reg::xmm(0), Reg::xmm(1), Reg::xmm(9)];

    /// Checks that code is whole instructions, none longer than it has to be, and that jumps lead to instructions.
    fn check_shape(cpu: CpuFeatures, emit: impl FnOnce(&mut Masm)) {
        let (code, _) = assemble(cpu, emit);
        assert_shortest(&code);
        let instructions = decode(&code);
        for jump in instructions
            .iter()
            .filter(|i| i.op0_kind() == OpKind::NearBranch64)
        {
            let target = jump.near_branch64();
            assert!(
                target == code.len() as u64 || instructions.iter().any(|i| i.ip() == target),
                "{jump:?} in {code:02x?}"
            );
        }
    }

    /// The registers that an operator's operands and result may be in, by its name.
    fn registers(name: &str) -> &'static [Reg] {
        if name.starts_with('F') { &VECTOR } else { &GENERAL }
    }

    #[test]
    fn every_unary_operator_has_a_sound_shape() {
        for cpu in BOTH {
            for &op in UnaryOp::ALL {
                let name = format!("{op:?}");
                let result = registers(&name);
                // A conversion ends in the type that it converts from, and maybe a sign.
                let operand = match name.trim_end_matches(['S', 'U']) {
                    from if from.ends_with("F32") || from.ends_with("F64") => &VECTOR[..],
                    from if from[1..].contains("I32") || from[1..].contains("I64") => &GENERAL,
                    _ => result,
                };
                for &dst in result {
                    for &src in operand {
                        check_shape(cpu, |m| m.unary(op, dst, src));
                    }
                }
            }
        }
    }

    #[test]
    fn every_binary_operator_has_a_sound_shape() {
        for cpu in BOTH {
            for &op in BinaryOp::ALL {
                let registers = registers(&format!("{op:?}"));
                let general = registers == GENERAL;
                let constants = [
                    0,
                    1,
                    3,
                    8,
                    200,
                    1 << 31,
                    0xffff_ffff,
                    1 << 40,
                    u64::MAX - 9,
                    u64::MAX,
                ];
                let others = registers
                    .iter()
                    .map(|&b| Rhs::Reg(b))
                    .chain([
                        Rhs::Mem(Mem::new(Reg::RBP, -8)),
                        Rhs::Mem(Mem::indexed(Reg::RDX, Reg::RCX, 0)),
                    ])
                    .chain(constants.map(Rhs::Imm).into_iter().filter(|_| general));
                for b in others {
                    for &dst in registers {
                        for &a in registers {
                            check_shape(cpu, |m| m.binary(op, dst, a, b));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_comparison_has_a_sound_shape() {
        for cpu in BOTH {
            for &op in CompareOp::ALL {
                let registers = registers(&format!("{op:?}"));
                for b in [
                    Rhs::Reg(registers[1]),
                    Rhs::Reg(registers[2]),
                    Rhs::Mem(Mem::new(Reg::RBP, -8)),
                ] {
                    check_shape(cpu, |m| {
                        let condition = m.compare(op, registers[0], b);
                        m.set(Reg::gpr(6), condition);
                        m.select(Reg::RDX, condition, Reg::RCX, Reg::RDX, 8);
                        m.select(VECTOR[0], condition.negated(), VECTOR[1], VECTOR[0], 16);
                    });
                }
            }
        }
    }
}
