//! What the operators become, read back by an independent disassembler.

use super::super::testing::{BOTH, FULL, R12, RBP, RBX, RCX, RSI, X0, X1, X9, decode, listing};
use super::super::{Masm, Mem, Reg, ShiftCount, VSCRATCH, VSCRATCH2};
use crate::cpu::CpuFeatures;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use luge_core::Trap;
use luge_core::operator::{
    ExtractLaneOp, LaneWidth, ReplaceLaneOp, SplatOp, VectorBinaryOp, VectorLoadOp, VectorShiftOp,
    VectorTernaryOp, VectorTestOp, VectorUnaryOp,
};

/// Emits an access that faults, or one that does not.
type Access = Box<dyn Fn(&mut Masm, bool)>;

const SSE: CpuFeatures = CpuFeatures::BASELINE;

/// The instructions, without the constants behind them.
fn instructions(cpu: CpuFeatures, emit: impl FnOnce(&mut Masm)) -> Vec<u8> {
    let mut masm = Masm::new(cpu);
    emit(&mut masm);
    let end = masm.here() as usize;
    masm.finish_function();
    let mut code = masm.into_parts().0;
    code.truncate(end);
    code
}

fn text(cpu: CpuFeatures, emit: impl FnOnce(&mut Masm)) -> String {
    listing(&instructions(cpu, emit))
}

fn binary(cpu: CpuFeatures, op: VectorBinaryOp, dst: Reg, a: Reg, b: Reg) -> String {
    text(cpu, |masm| masm.vector_binary(op, dst, a, b))
}

#[test]
fn a_destination_of_its_own_costs_a_move_without_avx() {
    use VectorBinaryOp as O;
    assert_eq!(binary(FULL, O::I8x16Sub, X0, X1, X9), "vpsubb xmm0,xmm1,xmm9");
    assert_eq!(
        binary(SSE, O::I8x16Sub, X0, X1, X9),
        "movaps xmm0,xmm1; psubb xmm0,xmm9"
    );
    assert_eq!(binary(SSE, O::I8x16Sub, X1, X1, X9), "psubb xmm1,xmm9");
    assert_eq!(binary(SSE, O::I8x16Add, X9, X1, X9), "paddb xmm9,xmm1");
    assert_eq!(
        binary(SSE, O::I8x16Sub, X9, X1, X9),
        "movaps xmm15,xmm9; movaps xmm9,xmm1; psubb xmm9,xmm15"
    );
}

#[test]
fn sources_with_an_immediate_come_in_their_order() {
    use VectorBinaryOp as O;
    assert_eq!(binary(FULL, O::F32x4Lt, X0, X1, X9), "vcmpltps xmm0,xmm1,xmm9");
    assert_eq!(binary(FULL, O::F64x2Gt, X0, X1, X9), "vcmpltpd xmm0,xmm9,xmm1");
    let shuffle = |lanes| text(FULL, |masm| masm.shuffle(X0, X1, X9, lanes));
    assert_eq!(
        shuffle([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]),
        "vpalignr xmm0,xmm9,xmm1,4"
    );
    assert_eq!(
        shuffle([0, 1, 18, 19, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
        "vpblendw xmm0,xmm1,xmm9,2"
    );
    assert_eq!(
        shuffle([12, 13, 14, 15, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23]),
        "vshufps xmm0,xmm1,xmm9,43h"
    );
    let replace = |op| text(FULL, |masm| masm.replace_lane(op, X0, X1, X9, 1));
    assert_eq!(
        replace(ReplaceLaneOp::F32x4ReplaceLane),
        "vinsertps xmm0,xmm1,xmm9,10h"
    );
}

#[test]
fn multiplication_and_addition_are_fused_in_the_order_that_keeps_the_sources() {
    use VectorTernaryOp as O;
    let fused = |op, dst, a, b, c| text(FULL, |masm| masm.vector_ternary(op, dst, a, b, c));
    let x3 = Reg::xmm(3);
    assert_eq!(
        fused(O::F32x4RelaxedMadd, X0, X0, X1, X9),
        "vfmadd213ps xmm0,xmm1,xmm9"
    );
    assert_eq!(
        fused(O::F64x2RelaxedMadd, X0, X1, X0, X9),
        "vfmadd213pd xmm0,xmm1,xmm9"
    );
    assert_eq!(
        fused(O::F64x2RelaxedNmadd, X9, X0, X1, X9),
        "vfnmadd231pd xmm9,xmm0,xmm1"
    );
    assert_eq!(
        fused(O::F32x4RelaxedNmadd, X0, X1, x3, X9),
        "vmovaps xmm0,xmm9; vfnmadd231ps xmm0,xmm1,xmm3"
    );
    assert!(Masm::new(FULL).supports_relaxed_madd());
    assert!(!Masm::new(SSE).supports_relaxed_madd());
}

#[test]
fn recognises_what_one_instruction_shuffles() {
    let shuffle = |lanes| text(SSE, |masm| masm.shuffle(X0, X0, X9, lanes));
    let units = |width: u8, units: &[u8]| {
        std::array::from_fn(|i| units[i / usize::from(width)] * width + i as u8 % width)
    };
    assert_eq!(shuffle(units(4, &[0, 1, 2, 3])), "");
    assert_eq!(shuffle(units(4, &[7, 6, 5, 4])), "pshufd xmm0,xmm9,1Bh");
    assert_eq!(
        shuffle(units(2, &[3, 2, 1, 0, 4, 5, 6, 7])),
        "pshuflw xmm0,xmm0,1Bh"
    );
    assert_eq!(
        shuffle(units(2, &[0, 1, 2, 3, 4, 4, 4, 4])),
        "pshufhw xmm0,xmm0,0"
    );
    assert_eq!(shuffle(units(8, &[1, 3])), "punpckhqdq xmm0,xmm9");
    assert_eq!(
        shuffle(units(2, &[0, 8, 1, 9, 2, 10, 3, 11])),
        "punpcklwd xmm0,xmm9"
    );
    assert_eq!(shuffle(units(4, &[0, 5, 2, 7])), "pblendw xmm0,xmm9,0CCh");
    assert_eq!(shuffle(units(4, &[0, 2, 4, 6])), "shufps xmm0,xmm9,88h");
    // The constant is at 16.
    assert_eq!(
        shuffle([15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        "pshufb xmm0,[rel 10h]"
    );
}

#[test]
fn constants_are_shared_and_aligned_behind_the_code() {
    for cpu in BOTH {
        let mut masm = Masm::new(cpu);
        masm.vector_unary(VectorUnaryOp::F32x4Abs, X0, X0);
        masm.vector_unary(VectorUnaryOp::F32x4Abs, X1, X1);
        masm.vector_constant(X9, 1 << 100);
        let end = masm.here() as usize;
        masm.finish_function();
        let code = masm.into_parts().0;
        let pool = end.next_multiple_of(16);
        assert!(code[end..pool].iter().all(|&byte| byte == 0xcc));
        assert_eq!(code.len(), pool + 32);
        assert_eq!(code[pool..pool + 16], (1_u128 << 100).to_le_bytes());
        let at: Vec<u64> = decode(&code[..end])
            .iter()
            .map(Instruction::memory_displacement64)
            .collect();
        let pool = pool as u64;
        assert_eq!(at, [pool + 16, pool + 16, pool]);
    }
}

#[test]
fn counts_are_taken_modulo_the_width() {
    let shift = |op, count| text(FULL, |masm| masm.vector_shift(op, X0, X1, count));
    assert_eq!(
        shift(VectorShiftOp::I16x8Shl, ShiftCount::Imm(17)),
        "vpsllw xmm0,xmm1,1"
    );
    assert_eq!(
        shift(VectorShiftOp::I64x2ShrS, ShiftCount::Imm(64)),
        "vmovaps xmm0,xmm1"
    );
    assert_eq!(
        shift(VectorShiftOp::I32x4ShrS, ShiftCount::Reg(RCX)),
        "mov eax,ecx; and eax,1Fh; vmovd xmm15,eax; vpsrad xmm0,xmm1,xmm15"
    );
}

#[test]
fn lanes_go_between_the_classes_of_registers() {
    let extract = |op, lane| text(FULL, |masm| masm.extract_lane(op, RSI, X9, lane));
    assert_eq!(
        extract(ExtractLaneOp::I8x16ExtractLaneS, 5),
        "vpextrb esi,xmm9,5; movsx esi,sil"
    );
    assert_eq!(extract(ExtractLaneOp::I64x2ExtractLane, 0), "vmovq rsi,xmm9");
    let splat = |cpu| text(cpu, |masm| masm.splat(SplatOp::I8x16Splat, X0, RSI));
    assert_eq!(splat(FULL), "vmovd xmm0,esi; vpbroadcastb xmm0,xmm0");
    assert_eq!(splat(SSE), "movd xmm0,esi; pxor xmm15,xmm15; pshufb xmm0,xmm15");
    let test = |cpu, op| text(cpu, |masm| masm.vector_test(op, RSI, X9));
    assert_eq!(test(FULL, VectorTestOp::I8x16Bitmask), "vpmovmskb esi,xmm9");
    assert_eq!(test(FULL, VectorTestOp::I64x2Bitmask), "vmovmskpd esi,xmm9");
    assert_eq!(test(FULL, VectorTestOp::I32x4Bitmask), "vmovmskps esi,xmm9");
    assert_eq!(
        test(SSE, VectorTestOp::V128AnyTrue),
        "ptest xmm9,xmm9; setne sil; movzx esi,sil"
    );
}

#[test]
fn just_the_instruction_that_accesses_memory_is_marked() {
    let mem = Mem::indexed(RBP, R12, 0x12_3456);
    let widths = [
        LaneWidth::Bits8,
        LaneWidth::Bits16,
        LaneWidth::Bits32,
        LaneWidth::Bits64,
    ];
    let mut emits: Vec<Access> = vec![Box::new(move |m, f| m.vector_store(mem, X9, f))];
    for &op in VectorLoadOp::ALL {
        emits.push(Box::new(move |m, f| m.vector_load(op, X9, mem, f)));
    }
    for width in widths {
        for lane in [0, 1] {
            emits.push(Box::new(move |m, f| m.load_lane(width, X9, X1, mem, lane, f)));
            emits.push(Box::new(move |m, f| m.store_lane(width, mem, X9, lane, f)));
        }
    }
    for cpu in BOTH {
        for emit in &emits {
            let mut masm = Masm::new(cpu);
            emit(&mut masm, true);
            let (code, traps) = masm.into_parts();
            let [site] = traps[..] else {
                panic!("one mark: {traps:?}")
            };
            assert_eq!(site.trap, Trap::MemoryOutOfBounds);
            for instruction in decode(&code) {
                let accesses = instruction.memory_base() == Register::RBP;
                assert_eq!(
                    accesses,
                    instruction.ip() == u64::from(site.offset),
                    "{}",
                    listing(&code)
                );
            }
            let mut masm = Masm::new(cpu);
            emit(&mut masm, false);
            assert!(masm.into_parts().1.is_empty());
        }
    }
}

/// Writes to nothing but destination and scratch registers. All vector instructions in use have what they write as their
/// first operand, tests excepted.
fn check_writes(code: &[u8], dst: Reg, what: &str) {
    for instruction in decode(code) {
        if instruction.mnemonic() == Mnemonic::Ptest || instruction.mnemonic() == Mnemonic::Vptest {
            continue;
        }
        assert_eq!(instruction.op0_kind(), OpKind::Register, "{what}");
        let written = instruction.op0_register();
        let allowed = if written.is_xmm() {
            let number = written as usize - Register::XMM0 as usize;
            [dst, VSCRATCH, VSCRATCH2]
                .iter()
                .any(|r| r.is_xmm() && usize::from(r.number()) == number)
        } else {
            // The scratch registers, and the destination of the tests.
            use Register as R;
            let is_destination = matches!(written, R::ESI | R::SIL) && dst == RSI;
            is_destination || matches!(written, R::EAX | R::RAX | R::R11 | R::R11D)
        };
        assert!(allowed, "{what} writes {written:?}: {}", listing(code));
    }
}

#[test]
fn sources_are_left_alone() {
    let registers = [X0, X1, X9];
    for cpu in BOTH {
        for dst in registers {
            for a in registers {
                let check = |name: &str, emit: &dyn Fn(&mut Masm)| {
                    check_writes(&instructions(cpu, |masm| emit(masm)), dst, name);
                };
                for &op in VectorUnaryOp::ALL {
                    check(op.name(), &|m| m.vector_unary(op, dst, a));
                }
                for &op in VectorShiftOp::ALL {
                    check(op.name(), &|m| m.vector_shift(op, dst, a, ShiftCount::Reg(RBX)));
                    check(op.name(), &|m| m.vector_shift(op, dst, a, ShiftCount::Imm(3)));
                }
                for b in registers {
                    for &op in VectorBinaryOp::ALL {
                        check(op.name(), &|m| m.vector_binary(op, dst, a, b));
                    }
                    for c in registers {
                        for &op in VectorTernaryOp::ALL {
                            if cpu.fma || matches!(op, VectorTernaryOp::V128Bitselect) {
                                check(op.name(), &|m| m.vector_ternary(op, dst, a, b, c));
                            }
                        }
                    }
                }
            }
        }
        for &op in VectorTestOp::ALL {
            check_writes(&instructions(cpu, |m| m.vector_test(op, RSI, X9)), RSI, op.name());
        }
    }
}

#[test]
fn the_two_sets_of_instructions_do_not_mix() {
    for &op in VectorBinaryOp::ALL {
        for cpu in BOTH {
            let code = instructions(cpu, |masm| masm.vector_binary(op, X0, X1, X9));
            for instruction in decode(&code) {
                let is_vex = matches!(code[instruction.ip() as usize], 0xc4 | 0xc5);
                assert_eq!(is_vex, cpu.avx, "{}", listing(&code));
            }
        }
    }
}
