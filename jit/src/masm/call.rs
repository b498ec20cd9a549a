//! Frames, calls and dispatch: the instructions that tie functions together.

use super::{Condition, Label, Masm, Mem, Reg, SCRATCH, SCRATCH2};
use dynasmrt::{DynasmApi, dynasm};
use luge_core::Trap;
use luge_core::vmctx::{offsets, parts};

impl Masm {
    /// Opens a frame whose size is not known yet: checks it against the stack's limit, reserves it, keeps the context.
    /// Gives the offset at which [`Masm::patch_frame`] writes the size.
    pub(crate) fn open_frame(&mut self) -> u32 {
        dynasm!(self ; .arch x64
            ; push rbp
            ; mov rbp, rsp
            ; lea rax, [DWORD rsp + 0]);
        let patch = self.here() - 4;
        dynasm!(self ; .arch x64 ; cmp rax, [BYTE r15 + offsets::stack_limit as i8]);
        self.trap_if(Condition::BELOW, Trap::StackExhausted);
        dynasm!(self ; .arch x64
            ; mov rsp, rax
            ; mov [rbp - 8], r15);
        patch
    }

    /// Fills in the size of a frame, which is a multiple of 16.
    pub(crate) fn patch_frame(&mut self, patch: u32, size: u32) {
        self.patch_u32(patch, size.wrapping_neg());
    }

    /// Closes the frame and returns.
    pub(crate) fn return_(&mut self) {
        dynasm!(self ; .arch x64 ; leave ; ret);
    }

    /// Closes the frame and leaves the return address on top.
    pub(crate) fn close_frame(&mut self) {
        dynasm!(self ; .arch x64 ; leave);
    }

    /// Calls what is to be filled in; gives the offset of the displacement.
    pub(crate) fn call_unknown(&mut self) -> u32 {
        dynasm!(self ; .arch x64 ; .u8 0xe8 ; .u32 0);
        self.here() - 4
    }

    /// Jumps to what is to be filled in; gives the offset of the displacement.
    pub(crate) fn jump_unknown(&mut self) -> u32 {
        dynasm!(self ; .arch x64 ; .u8 0xe9 ; .u32 0);
        self.here() - 4
    }

    /// Lets the displacement at `at` lead to `target`.
    pub(crate) fn link(&mut self, at: u32, target: u32) {
        self.patch_u32(at, target.wrapping_sub(at + 4));
    }

    /// Enters the function of the `FuncRef` in [`SCRATCH2`], with its context, and comes back to the own.
    pub(crate) fn call_func_ref(&mut self) {
        dynasm!(self ; .arch x64
            ; mov rax, [BYTE r11 + parts::FUNC_CODE as i8]
            ; mov r15, [BYTE r11 + parts::FUNC_VMCTX as i8]
            ; mov r14, [BYTE r11 + parts::FUNC_MEMORY as i8]
            ; call rax
            ; mov r15, [rbp - 8]
            ; mov r14, [BYTE r15 + offsets::memory_base as i8]);
    }

    /// Jumps to the function of the `FuncRef` in [`SCRATCH2`], which is of the same instance.
    pub(crate) fn jump_func_ref(&mut self) {
        dynasm!(self ; .arch x64 ; jmp QWORD [BYTE r11 + parts::FUNC_CODE as i8]);
    }

    /// Whether the `FuncRef` in [`SCRATCH2`] is of another instance: [`Condition::NOT_EQUAL`].
    pub(crate) fn compare_instance(&mut self) -> Condition {
        dynasm!(self ; .arch x64 ; cmp r15, [BYTE r11 + parts::FUNC_VMCTX as i8]);
        Condition::NOT_EQUAL
    }

    /// Whether the `FuncRef` in [`SCRATCH2`] is a host's: [`Condition::EQUAL`].
    pub(crate) fn compare_host(&mut self) -> Condition {
        dynasm!(self ; .arch x64 ; cmp QWORD [BYTE r11 + parts::FUNC_VMCTX as i8], 0);
        Condition::EQUAL
    }

    /// Jumps to what calls the `FuncRef` in [`SCRATCH2`], of another instance, in the place of a return.
    pub(crate) fn jump_tail_call(&mut self) {
        dynasm!(self ; .arch x64 ; jmp QWORD [BYTE r15 + offsets::tail_call as i8]);
    }

    /// Puts the checked `FuncRef` of element `index` of a table into [`SCRATCH2`]. `table` and `signature` are offsets in
    /// the context.
    pub(crate) fn load_func_ref(&mut self, index: Reg, table: i32, signature: i32) {
        dynasm!(self ; .arch x64 ; cmp Rq(index), [r15 + table + parts::TABLE_LEN]);
        self.trap_if(Condition::ABOVE_EQUAL, Trap::UndefinedElement);
        dynasm!(self ; .arch x64
            ; mov r11, [r15 + table + parts::TABLE_ELEMENTS]
            ; mov r11, [r11 + Rq(index) * 8]
            ; test r11, r11);
        self.trap_if(Condition::EQUAL, Trap::UninitializedElement);
        dynasm!(self ; .arch x64
            ; shl r11, parts::FUNC_SHIFT as i8
            ; add r11, [BYTE r15 + offsets::funcs as i8]
            ; mov eax, [r15 + signature]
            ; cmp eax, [BYTE r11 + (parts::FUNC_SIGNATURE - (1 << parts::FUNC_SHIFT)) as i8]);
        self.trap_if(Condition::NOT_EQUAL, Trap::IndirectCallTypeMismatch);
        // A reference is the function's number plus one.
        dynasm!(self ; .arch x64 ; sub r11, 1 << parts::FUNC_SHIFT);
    }

    /// Leaves for the engine: see `luge_core::compiler::abi`. The slots are at `[rsp]`.
    pub(crate) fn leave(&mut self, request: u32, a: u32, b: u32) {
        dynasm!(self ; .arch x64
            ; mov eax, request as i32
            ; mov ecx, a as i32
            ; mov edx, b as i32
            ; mov rdi, rsp
            ; call QWORD [BYTE r15 + offsets::leave as i8]);
    }

    /// Leaves for a host's function, whose `FuncRef` is in [`SCRATCH2`]. The slots are at `[rsp]`.
    pub(crate) fn leave_for_host(&mut self) {
        dynasm!(self ; .arch x64
            ; mov eax, luge_core::compiler::abi::LEAVE_HOST_CALL as i32
            ; mov ecx, [BYTE r11 + parts::FUNC_NUMBER as i8]
            ; xor edx, edx
            ; mov rdi, rsp
            ; call QWORD [BYTE r15 + offsets::leave as i8]);
    }

    /// In a frame that was just pushed by a trampoline: takes the caller's context as its own.
    pub(crate) fn adopt_caller(&mut self) {
        dynasm!(self ; .arch x64
            ; mov rax, [rbp]
            ; mov r15, [rax - 8]
            ; mov r14, [BYTE r15 + offsets::memory_base as i8]);
    }

    /// `push rbp; mov rbp, rsp`.
    pub(crate) fn push_frame(&mut self) {
        dynasm!(self ; .arch x64 ; push rbp ; mov rbp, rsp);
    }

    /// Lowers the stack by `bytes`, checked against its limit, and keeps the context.
    pub(crate) fn reserve(&mut self, bytes: u32) {
        dynasm!(self ; .arch x64
            ; lea rax, [rsp - bytes as i32]
            ; cmp rax, [BYTE r15 + offsets::stack_limit as i8]);
        self.trap_if(Condition::BELOW, Trap::StackExhausted);
        dynasm!(self ; .arch x64
            ; mov rsp, rax
            ; mov [rbp - 8], r15);
    }

    /// Lowers the stack by `bytes`, which are known to fit.
    pub(crate) fn reserve_unchecked(&mut self, bytes: u32) {
        dynasm!(self ; .arch x64
            ; sub rsp, bytes as i32
            ; mov [rbp - 8], r15);
    }

    /// Calls the address in [`SCRATCH`].
    pub(crate) fn call_scratch(&mut self) {
        debug_assert_eq!(SCRATCH, Reg::RAX);
        dynasm!(self ; .arch x64 ; call rax);
    }

    /// Takes fuel and jumps to `out` if there is none left. Gives the offset at which the amount is to be written.
    pub(crate) fn take_fuel(&mut self, out: Label) -> u32 {
        dynasm!(self ; .arch x64
            ; mov rax, [BYTE r15 + offsets::run as i8]
            ; sub QWORD [rax], DWORD 0x7fff_ffff);
        let patch = self.here() - 4;
        self.jump_if(Condition::SIGN, out);
        patch
    }

    /// Offers the run back; nothing is lost.
    pub(crate) fn preempt(&mut self) {
        dynasm!(self ; .arch x64 ; call QWORD [BYTE r15 + offsets::preempt as i8]);
    }

    /// Jumps to entry `min(index, last)` of the table at `table`, whose entries are distances from its start. Changes both
    /// scratch registers.
    pub(crate) fn jump_table(&mut self, index: Reg, last: u32, table: Label) {
        dynasm!(self ; .arch x64
            ; mov eax, last as i32
            ; cmp Rd(index), eax
            ; cmovb eax, Rd(index));
        // lea r11, [rip + table]
        dynasm!(self ; .arch x64 ; .u8 0x4c ; .u8 0x8d ; .u8 0x1d);
        self.displacement(table);
        dynasm!(self ; .arch x64
            ; movsxd rax, DWORD [r11 + rax * 4]
            ; add rax, r11
            ; jmp rax);
    }

    /// A word of data.
    pub(crate) fn word(&mut self, value: u32) {
        self.push_u32(value);
    }

    /// Compares `left` with what lies in memory, 64 bits.
    pub(crate) fn compare_memory(&mut self, left: Reg, mem: Mem) {
        let base = mem.base;
        dynasm!(self ; .arch x64 ; cmp Rq(left), [Rq(base) + mem.disp]);
    }

    /// `dst += bits`, 64 bits, through [`SCRATCH2`] where they are wide. Sets the carry.
    pub(crate) fn add_wide(&mut self, dst: Reg, bits: u64) {
        if let Ok(small) = i32::try_from(bits) {
            dynasm!(self ; .arch x64 ; add Rq(dst), small);
        } else {
            debug_assert_ne!(dst, SCRATCH2);
            dynasm!(self ; .arch x64
                ; mov r11, QWORD bits as i64
                ; add Rq(dst), r11);
        }
    }

    /// Divides the bytes in `dst` by the size of a page.
    pub(crate) fn bytes_to_pages(&mut self, dst: Reg) {
        dynasm!(self ; .arch x64 ; shr Rq(dst), 16);
    }

    /// Fills `count` 8-byte words from `[rbp + lowest]` on with zero. Changes both scratch registers and the vector one.
    pub(crate) fn zero_words(&mut self, lowest: i32, count: u32) {
        let pairs = count / 2;
        if count % 2 == 1 {
            dynasm!(self ; .arch x64 ; mov QWORD [rbp + lowest + (count as i32 - 1) * 8], 0);
        }
        if pairs == 0 {
            return;
        }
        dynasm!(self ; .arch x64 ; xorps xmm15, xmm15);
        if pairs <= 8 {
            for pair in 0..pairs as i32 {
                let disp = lowest + pair * 16;
                match i8::try_from(disp) {
                    Ok(disp) => dynasm!(self ; .arch x64 ; movups [BYTE rbp + disp], xmm15),
                    Err(_) => dynasm!(self ; .arch x64 ; movups [DWORD rbp + disp], xmm15),
                }
            }
            return;
        }
        let bytes = pairs as i32 * 16;
        dynasm!(self ; .arch x64
            ; lea rax, [DWORD rbp + lowest]
            ; lea r11, [DWORD rax + bytes]);
        let again = self.label_here();
        dynasm!(self ; .arch x64
            ; movups [rax], xmm15
            ; add rax, 16
            ; cmp rax, r11);
        self.jump_if(Condition::BELOW, again);
    }
}
