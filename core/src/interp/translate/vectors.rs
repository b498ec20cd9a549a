//! Vectors, and memories other than the first.

use super::super::inst::{Inst, LaneAt, Reg};
use super::{Operand, Second, Translator};
use crate::frontend::MemoryAccess;
use crate::operator::{LaneWidth, LoadOp, SplatOp, StoreOp, VectorLoadOp, VectorShiftOp};

impl Translator<'_> {
    /// A 16-byte immediate's number in the module.
    fn immediate(&mut self, bits: u128) -> u32 {
        self.vectors.push(bits);
        self.vectors.len() as u32 - 1
    }

    pub(super) fn vector_const(&mut self, bits: u128) {
        let index = self.immediate(bits);
        let dst = self.push_vector();
        self.emit(Inst::VectorConst { dst, index });
    }

    pub(super) fn vector_shuffle(&mut self, lanes: [u8; 16]) {
        let (b, a) = (self.pop_reg(), self.pop_reg());
        let dst = self.push_vector();
        if let [Some(low), Some(high)] = [0, 8].map(|at| half(&lanes[at..at + 8], a, b)) {
            self.emit(Inst::VectorHalves { dst, low, high });
            return;
        }
        let lanes = self.immediate(u128::from_le_bytes(lanes));
        self.emit(Inst::Shuffle { dst, a, b, lanes });
    }

    /// A shift by a popped count, which is a constant nearly always.
    pub(super) fn shift_vector(&mut self, op: VectorShiftOp) {
        let (a, count) = self.pop_two();
        let dst = self.push_vector();
        self.emit(match count {
            Second::Reg(count) => op.inst(dst, a, count),
            Second::Imm(count) => op.inst_imm(dst, a, count as u32),
        });
    }

    /// A scalar in all lanes; a constant is spread here.
    pub(super) fn splat_vector(&mut self, op: SplatOp) {
        if let Some(Operand::Const(bits)) = self.stack.last().map(|entry| entry.place) {
            self.pop();
            return self.vector_const(op.eval(bits));
        }
        let a = self.pop_reg();
        let dst = self.push_vector();
        self.emit(op.inst(dst, a));
    }

    /// A load from a memory that the short form does not reach.
    pub(super) fn load_from(&mut self, op: LoadOp, access: MemoryAccess) {
        let addr = self.pop_reg();
        let dst = self.push_temp();
        self.emit(Inst::LoadFrom {
            op,
            memory: memory(access),
            dst,
            addr,
            offset: access.offset,
        });
    }

    pub(super) fn store_to(&mut self, op: StoreOp, access: MemoryAccess) {
        let (src, addr) = (self.pop_reg(), self.pop_reg());
        self.emit(Inst::StoreTo {
            op,
            memory: memory(access),
            addr,
            src,
            offset: access.offset,
        });
    }

    pub(super) fn load_vector(&mut self, op: VectorLoadOp, access: MemoryAccess) {
        if let Some(offset) = self.near(access) {
            return self.load_vector_near(op, offset);
        }
        let addr = self.pop_reg();
        let dst = self.push_vector();
        self.emit(Inst::VectorLoadFrom {
            op,
            memory: memory(access),
            dst,
            addr,
            offset: access.offset,
        });
    }

    pub(super) fn store_vector(&mut self, access: MemoryAccess) {
        if let Some(offset) = self.near(access) {
            return self.store_vector_near(offset);
        }
        let (src, addr) = (self.pop_reg(), self.pop_reg());
        self.emit(Inst::VectorStoreTo {
            memory: memory(access),
            addr,
            src,
            offset: access.offset,
        });
    }

    /// The vector settles into its own registers, right behind the one of the address, which is where the result goes: so
    /// the instruction need not name it.
    pub(super) fn load_into_lane(&mut self, at: (LaneWidth, u8), access: MemoryAccess) {
        self.settle_top(1);
        self.pop();
        let addr = self.pop_reg();
        let dst = self.push_vector();
        self.emit(Inst::LoadLane {
            at: LaneAt::new(at.0, at.1),
            memory: memory(access),
            dst,
            addr,
            offset: access.offset,
        });
    }

    pub(super) fn store_from_lane(&mut self, at: (LaneWidth, u8), access: MemoryAccess) {
        let (src, addr) = (self.pop_reg(), self.pop_reg());
        self.emit(Inst::StoreLane {
            at: LaneAt::new(at.0, at.1),
            memory: memory(access),
            addr,
            src,
            offset: access.offset,
        });
    }

    /// The top operand's value goes to a local.
    pub(super) fn write_local(&mut self, dst: Reg) {
        let entry = self.pop();
        let own = self.temp(entry.offset);
        let untouched = self.newest[usize::from(dst)] == 0;
        if entry.place == Operand::Temp
            && untouched
            && let Some(written) = self.last().and_then(Inst::dst_mut)
            && *written == own
        {
            *written = dst;
            self.join_steps();
            return;
        }
        self.preserve(dst);
        self.copy_to(dst, entry);
    }
}

/// The slot that these eight lanes of a shuffle are, if they are all of one, in their order.
fn half(lanes: &[u8], a: Reg, b: Reg) -> Option<Reg> {
    let first = lanes[0];
    let whole = first.is_multiple_of(8) && lanes.iter().zip(first..).all(|(&lane, wanted)| lane == wanted);
    let vector = if first < 16 { a } else { b };
    whole.then(|| vector.wrapping_add(u16::from(first / 8 % 2)))
}

/// A memory's number; there are at most a hundred.
fn memory(access: MemoryAccess) -> u8 {
    u8::try_from(access.memory)
        .expect("validated: the standard's implementations bound the number of memories")
}
