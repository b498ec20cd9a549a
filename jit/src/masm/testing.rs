//! What the macro assembler's tests share: reading machine code back with an independent disassembler.

use super::{Masm, Reg};
use crate::cpu::CpuFeatures;
use iced_x86::{Decoder, DecoderOptions, Encoder, Formatter, Instruction, NasmFormatter, OpKind, Register};
use luge_core::compiler::TrapSite;

/// Everything that code generation knows of.
pub(super) const FULL: CpuFeatures = CpuFeatures {
    avx: true,
    avx2: true,
    fma: true,
    bmi1: true,
    bmi2: true,
    lzcnt: true,
    popcnt: true,
};

/// The least, and everything.
pub(super) const BOTH: [CpuFeatures; 2] = [CpuFeatures::BASELINE, FULL];

pub(super) const RCX: Reg = Reg::RCX;
pub(super) const RDX: Reg = Reg::RDX;
pub(super) const RBX: Reg = Reg::gpr(3);
pub(super) const RSP: Reg = Reg::RSP;
pub(super) const RBP: Reg = Reg::RBP;
pub(super) const RSI: Reg = Reg::gpr(6);
pub(super) const R12: Reg = Reg::gpr(12);
pub(super) const R13: Reg = Reg::gpr(13);
pub(super) const X0: Reg = Reg::xmm(0);
pub(super) const X1: Reg = Reg::xmm(1);
pub(super) const X9: Reg = Reg::xmm(9);

/// Emits a function's worth of code.
pub(super) fn assemble(cpu: CpuFeatures, emit: impl FnOnce(&mut Masm)) -> (Vec<u8>, Vec<TrapSite>) {
    let mut masm = Masm::new(cpu);
    emit(&mut masm);
    masm.finish_function();
    masm.into_parts()
}

/// Reads code back.
pub(super) fn decode(code: &[u8]) -> Vec<Instruction> {
    let instructions: Vec<_> = Decoder::new(64, code, DecoderOptions::NONE).iter().collect();
    for instruction in &instructions {
        assert!(!instruction.is_invalid(), "no instruction in {code:02x?}");
    }
    instructions
}

/// Code as text, instructions separated by `; `, jumps with the offsets of their targets.
pub(super) fn listing(code: &[u8]) -> String {
    let mut formatter = NasmFormatter::new();
    formatter.options_mut().set_branch_leading_zeros(false);
    formatter.options_mut().set_show_branch_size(false);
    let mut text = String::new();
    for instruction in decode(code) {
        if !text.is_empty() {
            text.push_str("; ");
        }
        formatter.format(&instruction, &mut text);
    }
    text
}

/// Asserts what an emit becomes, and that each instruction is encoded as short as it can be.
#[track_caller]
pub(super) fn check(cpu: CpuFeatures, emit: impl FnOnce(&mut Masm), expected: &str) {
    let (code, _) = assemble(cpu, emit);
    assert_eq!(listing(&code), expected);
    assert_shortest(&code);
}

/// Asserts that an independent encoder finds no shorter encoding of any of the instructions.
#[track_caller]
pub(super) fn assert_shortest(code: &[u8]) {
    for instruction in decode(code) {
        // Jumps to where code was not yet have to be long, and jumps are not shortened here.
        if instruction.op0_kind() == OpKind::NearBranch64 {
            continue;
        }
        let mut again = instruction;
        if again.memory_base() != Register::None {
            again.set_memory_displ_size(match again.memory_displacement64() as i64 {
                0 => 0,
                -128..128 => 1,
                _ => 8,
            });
        }
        let mut encoder = Encoder::new(64);
        let length = encoder
            .encode(&again, instruction.ip())
            .expect("what was decoded can be encoded");
        assert_eq!(instruction.len(), length, "{instruction:?} is encoded too long");
    }
}
