//! The instructions that the dispatch loop calls a function for: vector operators, and memories other than the first.
//!
//! Their work outweighs a call. What they would cost the loop, were they in it, is registers: each of them needs
//! most of the machine's, and the loop's own state would move out of the way around all of its arms.

use super::access::{Others, load_lane, load_vector, read, store_lane, write};
use super::inst::{Inst, Reg};
use super::stack::WINDOW;
use crate::instance::InstanceEntity;
use crate::operator::shuffle;

/// The vector whose low half is in register `reg`. Frames end below the window's end, so that the wrap never happens: it
/// only spares a bounds check.
#[inline(always)]
pub(super) fn vector(regs: &[u64; WINDOW], reg: Reg) -> u128 {
    let (low, high) = (regs[usize::from(reg)], regs[usize::from(reg.wrapping_add(1))]);
    u128::from(low) | u128::from(high) << 64
}

#[inline(always)]
pub(super) fn set_vector(regs: &mut [u64; WINDOW], reg: Reg, value: u128) {
    regs[usize::from(reg)] = value as u64;
    regs[usize::from(reg.wrapping_add(1))] = (value >> 64) as u64;
}

/// Runs one such instruction; `None` where it goes out of its memory's bounds. `memory` is the instance's memory 0, `vectors` the
/// module's immediates.
#[inline(never)]
#[expect(
    clippy::too_many_lines,
    reason = "one arm per instruction, as in the dispatch loop"
)]
pub(super) fn step(
    inst: &Inst,
    regs: &mut [u64; WINDOW],
    memory: &mut [u8],
    others: &mut Others<'_>,
    instance: &InstanceEntity,
    vectors: &[u128],
) -> Option<()> {
    match *inst {
        Inst::VectorUnary { op, dst, a } => set_vector(regs, dst, op.eval(vector(regs, a))),
        Inst::VectorBinary { op, dst, a, b } => {
            set_vector(regs, dst, op.eval(vector(regs, a), vector(regs, b)));
        }
        Inst::VectorTernary { op, dst, a, b, c } => {
            set_vector(
                regs,
                dst,
                op.eval(vector(regs, a), vector(regs, b), vector(regs, c)),
            );
        }
        Inst::VectorShift { op, dst, a, count } => {
            set_vector(
                regs,
                dst,
                op.eval(vector(regs, a), regs[usize::from(count)] as u32),
            );
        }
        Inst::VectorTest { op, dst, a } => {
            regs[usize::from(dst)] = u64::from(op.eval(vector(regs, a)));
        }
        Inst::Splat { op, dst, a } => set_vector(regs, dst, op.eval(regs[usize::from(a)])),
        Inst::ExtractLane { op, lane, dst, a } => {
            regs[usize::from(dst)] = op.eval(vector(regs, a), lane);
        }
        Inst::ReplaceLane { op, lane, dst, a, b } => {
            set_vector(regs, dst, op.eval(vector(regs, a), regs[usize::from(b)], lane));
        }
        Inst::Shuffle { dst, a, b, lanes } => {
            let lanes = vectors[lanes as usize].to_le_bytes();
            set_vector(regs, dst, shuffle(lanes, vector(regs, a), vector(regs, b)));
        }
        Inst::VectorLoad {
            op,
            memory: number,
            dst,
            addr,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            let loaded = load_vector(memory, regs[usize::from(addr)], offset, op);
            set_vector(regs, dst, loaded?);
        }
        Inst::VectorStore {
            memory: number,
            addr,
            src,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            write(memory, regs[usize::from(addr)], offset, vector(regs, src), 16)?;
        }
        Inst::LoadLane {
            at,
            memory: number,
            dst,
            addr,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            let behind = vector(regs, dst.wrapping_add(1));
            let loaded = load_lane(memory, regs[usize::from(addr)], offset, at, behind);
            set_vector(regs, dst, loaded?);
        }
        Inst::StoreLane {
            at,
            memory: number,
            addr,
            src,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            store_lane(memory, regs[usize::from(addr)], offset, at, vector(regs, src))?;
        }
        Inst::LoadFrom {
            op,
            memory: number,
            dst,
            addr,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            let bits = read(memory, regs[usize::from(addr)], offset, op.width())?;
            regs[usize::from(dst)] = op.eval(bits as u64);
        }
        Inst::StoreTo {
            op,
            memory: number,
            addr,
            src,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            let bits = u128::from(regs[usize::from(src)]);
            write(memory, regs[usize::from(addr)], offset, bits, op.width())?;
        }
        _ => unreachable!("the dispatch loop runs the others itself"),
    }
    Some(())
}
