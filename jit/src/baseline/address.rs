//! Addresses: where an access to linear memory goes and how it is kept in bounds, and sums that one `lea` makes.
//!
//! ```text
//!   guard       mov dst, [r14 + index + offset]     faults outside of what the memory has
//!   software    lea rax, [index + offset + size]
//!               cmp rax, [r15 + memory_bytes]
//!               ja  out of bounds
//!               mov dst, [r14 + index + offset]
//! ```
//!
//! An index is an `i32` in a register, zero-extended, and the sum is one of 64 bits: it cannot wrap.

use super::function::Function;
use super::place::{Operand, Place, width};
use crate::masm::{Condition, Mem, Reg, SCRATCH, SCRATCH2};
use luge_core::compiler::BoundsStrategy;
use luge_core::vmctx::{offsets, parts};
use luge_core::{MemoryAccess, Trap, ValType};

/// A shift to the left that an addition behind it can do itself: `lea` scales one of its operands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shifted {
    /// Where it begins and ends.
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) dst: Reg,
    pub(super) src: Reg,
    pub(super) shift: u8,
    pub(super) ty: ValType,
}

impl Function<'_> {
    /// Pops an address; gives where the access goes, and whether it faults when that is out of bounds. May use
    /// both scratch registers.
    pub(super) fn pop_address(&mut self, access: MemoryAccess, size: u32) -> (Mem, bool) {
        let operand = self.pop();
        let base = if access.memory == 0 { Reg::MEMORY } else { SCRATCH2 };
        let checked = self.is_64(access.memory) || self.options.bounds == BoundsStrategy::Software;
        let index = match operand.place() {
            Place::Const(address) if !checked => {
                let Some(disp) = address.checked_add(access.offset) else {
                    unreachable!("two numbers of 32 bits")
                };
                self.memory_base(access.memory);
                if let Ok(disp) = i32::try_from(disp) {
                    return (Mem::new(base, disp), true);
                }
                self.masm.mov_imm(SCRATCH, disp, 8);
                return (Mem::indexed(base, SCRATCH, 0), true);
            }
            _ => self.in_reg(operand),
        };
        if checked {
            self.check_bounds(access, size, index);
        }
        self.memory_base(access.memory);
        let mem = if let Ok(disp) = i32::try_from(access.offset) {
            Mem::indexed(base, index, disp)
        } else {
            self.masm.mov_imm(SCRATCH, access.offset, 8);
            self.masm.lea(SCRATCH, Mem::indexed(SCRATCH, index, 0));
            Mem::indexed(base, SCRATCH, 0)
        };
        (mem, !checked)
    }

    /// Traps unless `index + offset + size` lies within the memory.
    fn check_bounds(&mut self, access: MemoryAccess, size: u32, index: Reg) {
        let Some(end) = access.offset.checked_add(u64::from(size)) else {
            self.masm.trap_always(Trap::MemoryOutOfBounds);
            return;
        };
        if let (Ok(disp), false) = (i32::try_from(end), self.is_64(access.memory)) {
            self.masm.lea(SCRATCH, Mem::new(index, disp));
        } else {
            self.masm.mov(SCRATCH, index, 8);
            self.masm.add_wide(SCRATCH, end);
            self.masm.trap_if(Condition::BELOW, Trap::MemoryOutOfBounds);
        }
        let bytes = if access.memory == 0 {
            offsets::memory_bytes
        } else {
            self.module.layout().memory(access.memory) + parts::MEMORY_BYTES
        };
        self.masm.compare_memory(SCRATCH, Mem::new(Reg::VMCTX, bytes));
        self.masm.trap_if(Condition::ABOVE, Trap::MemoryOutOfBounds);
    }

    /// Whether a memory has 64-bit addresses.
    pub(super) fn is_64(&self, memory: u32) -> bool {
        self.module.memories()[memory as usize].memory64
    }

    /// Puts the base of a memory other than the first into [`SCRATCH2`].
    fn memory_base(&mut self, memory: u32) {
        if memory != 0 {
            // What leaves the result's local when its register is claimed may go through this very register.
            if let Some(local) = self.result_local
                && (local as usize) < self.locals.len()
            {
                self.preserve(local);
            }
            let at = self.module.layout().memory(memory) + parts::MEMORY_BASE;
            self.masm.spill_load(SCRATCH2, Mem::new(Reg::VMCTX, at), 8);
        }
    }

    pub(super) fn memory_size(&mut self, memory: u32) {
        let ty = if self.is_64(memory) {
            ValType::I64
        } else {
            ValType::I32
        };
        let dst = self.result_reg(ty, []);
        let at = if memory == 0 {
            offsets::memory_bytes
        } else {
            self.module.layout().memory(memory) + parts::MEMORY_BYTES
        };
        self.masm.spill_load(dst, Mem::new(Reg::VMCTX, at), 8);
        self.masm.bytes_to_pages(dst);
        self.push_result(ty, dst);
    }

    /// Adds two popped operands by one `lea` if the last instruction scales one of them; says whether it did.
    pub(super) fn add_scaled(&mut self, ty: ValType, a: Operand, b: Operand) -> bool {
        let Some(shifted) = self.shifted.take() else {
            return false;
        };
        if shifted.end != self.masm.here() || shifted.ty != ty {
            return false;
        }
        let scaled = Place::Reg(shifted.dst);
        let other = match (a.place() == scaled, b.place() == scaled) {
            (true, _) => b,
            (_, true) => a,
            _ => return false,
        };
        let constant = match other.place() {
            Place::Const(bits) if ty == ValType::I32 => Some(bits as u32 as i32),
            Place::Const(bits) => i32::try_from(bits.cast_signed()).ok(),
            _ => None,
        };
        self.masm.rewind(shifted.start);
        // Operators in between made no code, and begin where the instruction did that is taken back.
        for position in self.positions.iter_mut().rev() {
            if position.offset <= shifted.start {
                break;
            }
            position.offset = shifted.start;
        }
        // Nothing was emitted since: what was shifted is still where it was.
        self.busy.insert(shifted.src);
        let base = if constant.is_some() {
            None
        } else {
            Some(self.in_reg(other))
        };
        let dst = self.result_reg(ty, [a, b]);
        self.masm.lea_scaled(
            dst,
            base,
            shifted.src,
            shifted.shift,
            constant.unwrap_or(0),
            width(ty),
        );
        self.push_result(ty, dst);
        true
    }
}
