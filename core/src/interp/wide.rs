//! The instructions that the dispatch loop calls one function for: shuffles, lanes in memory, and memories other than the first.
//!
//! Their work outweighs a call. What they would cost the loop, were they in it, is registers: each of them needs
//! most of the machine's, and the loop's own state would move out of the way around all of its arms.

use super::access::{load_lane, load_vector, read, store_lane, write};
use super::code::ModuleCode;
use super::dispatch::{Context, Regs};
use super::inst::Inst;
use super::vectors::{set_vector, vector};
use crate::operator::shuffled;

/// Runs such an instruction, the module's rare one `at`; `None` where it goes out of its memory's bounds.
#[inline(never)]
#[expect(
    clippy::too_many_lines,
    reason = "one arm per instruction, as in the dispatch loop"
)]
pub(super) fn step(at: u32, regs: Regs<'_>, memory: &mut [u8], context: &mut Context<'_>) -> Option<()> {
    let Context {
        others,
        instance,
        code: ModuleCode { vectors, rare, .. },
        ..
    } = context;
    match rare[at as usize] {
        Inst::Shuffle { dst, a, b, lanes } => {
            let lanes = vectors[lanes as usize].to_le_bytes();
            set_vector(regs, dst, shuffled(&lanes, &vector(regs, a), &vector(regs, b)));
        }
        Inst::VectorLoadFrom {
            op,
            memory: number,
            dst,
            addr,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            let loaded = load_vector(memory, regs[usize::from(addr)].get(), offset, op);
            set_vector(regs, dst, loaded?.to_le_bytes());
        }
        Inst::VectorStoreTo {
            memory: number,
            addr,
            src,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            let bits = u128::from_le_bytes(vector(regs, src));
            write(memory, regs[usize::from(addr)].get(), offset, bits, 16)?;
        }
        Inst::LoadLane {
            at,
            memory: number,
            dst,
            addr,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            let behind = u128::from_le_bytes(vector(regs, dst.wrapping_add(1)));
            let loaded = load_lane(memory, regs[usize::from(addr)].get(), offset, at, behind);
            set_vector(regs, dst, loaded?.to_le_bytes());
        }
        Inst::StoreLane {
            at,
            memory: number,
            addr,
            src,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            let bits = u128::from_le_bytes(vector(regs, src));
            store_lane(memory, regs[usize::from(addr)].get(), offset, at, bits)?;
        }
        Inst::LoadFrom {
            op,
            memory: number,
            dst,
            addr,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            let bits = read(memory, regs[usize::from(addr)].get(), offset, op.width())?;
            regs[usize::from(dst)].set(op.eval(bits as u64));
        }
        Inst::StoreTo {
            op,
            memory: number,
            addr,
            src,
            offset,
        } => {
            let memory = others.get(memory, instance, number);
            let bits = u128::from(regs[usize::from(src)].get());
            write(memory, regs[usize::from(addr)].get(), offset, bits, op.width())?;
        }
        _ => unreachable!("the dispatch loop runs the others itself"),
    }
    Some(())
}
