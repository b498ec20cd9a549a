//! The ways between the host's stack and a guest's.
//!
//! ```text
//!   host's stack                         guest's stack
//!     enter(run) ───────────────────────►  entry trampoline ──► function
//!        ◄──────────── Finished ──────────────────┘                │
//!        ◄──────────── Request ──────────── leave ◄────────────────┤ call [r15 + leave]
//!     resume(run) ──────────────────────►  after the call          │
//!        ◄──────────── Preempted ────────── preempt ◄──────────────┤ call [r15 + preempt]
//!        ◄──────────── Faulted ──────────── landing ◄── handler ◄──┘ a fault
//! ```
//!
//! To the compiler, `enter` and `resume` are foreign functions that return a number. Both keep the registers that a callee
//! keeps (System V ABI) on the host's stack. Rust never runs on the guest's.
//!
//! Machine code must leave MXCSR and the x87 control word as it finds them, which are those that Rust assumes.

use super::run::{Left, RunRecord};
use super::vmctx::{offsets, parts};
use std::arch::naked_asm;
use std::ffi::c_void;
use std::mem::offset_of;

/// There are stubs for this processor and system.
pub(super) const SUPPORTED: bool = true;

/// Begins the run: calls `record.entry` with the function in `rax` and the slots in `rdi`.
///
/// `world` is not looked at: it tells the compiler that whatever can be reached from there may be read and written.
///
/// # Safety
/// The record's `code`, `entry` and `vmctx` belong together and are alive, `guest_rsp` is the 16-aligned upper end of a
/// stack, `vmctx` and every context that code can reach from there are up to date and name this record, the thread has an
/// alternate signal stack, and no reference exists to anything that the code may write.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn enter(record: *mut RunRecord, world: *mut c_void) -> u32 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi + {host_rsp}], rsp",
        "mov rsp, [rdi + {guest_rsp}]",
        // The record twice, so that the trampoline finds the stack aligned.
        "push rdi",
        "push rdi",
        "mov rax, [rdi + {code}]",
        "mov r11, [rdi + {entry}]",
        "mov r15, [rdi + {vmctx}]",
        "mov r14, [r15 + {memory_base}]",
        "mov rdi, [rdi + {slots}]",
        // The chain of frames ends here.
        "xor ebp, ebp",
        "call r11",
        "pop rdi",
        "mov eax, {finished}",
        "jmp {to_host}",
        host_rsp = const offset_of!(RunRecord, host_rsp),
        guest_rsp = const offset_of!(RunRecord, guest_rsp),
        code = const offset_of!(RunRecord, code),
        entry = const offset_of!(RunRecord, entry),
        vmctx = const offset_of!(RunRecord, vmctx),
        slots = const offset_of!(RunRecord, slots),
        memory_base = const offsets::memory_base,
        finished = const Left::Finished as u32,
        to_host = sym to_host,
    )
}

/// Goes on where the guest has left by `leave` or `preempt`.
///
/// # Safety
/// As of [`enter`]; and the run has left by a request or a preemption, and has not been resumed since.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn resume(record: *mut RunRecord, world: *mut c_void) -> u32 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi + {host_rsp}], rsp",
        "mov rsp, [rdi + {guest_rsp}]",
        "pop rax",
        "jmp rax",
        host_rsp = const offset_of!(RunRecord, host_rsp),
        guest_rsp = const offset_of!(RunRecord, guest_rsp),
    )
}

/// Where code leaves with a request: see [`crate::compiler::abi`]. What it pushes, `super::unwind` lays out anew where an
/// exception leads the guest elsewhere.
///
/// # Safety
/// For machine code alone to call, within [`enter`] or [`resume`], with its context in `r15`.
#[unsafe(naked)]
unsafe extern "sysv64" fn leave() {
    naked_asm!(
        "mov r10, [r15 + {run}]",
        "mov [r10 + {request}], eax",
        "mov [r10 + {a}], ecx",
        "mov [r10 + {b}], edx",
        "mov [r10 + {slots}], rdi",
        "mov rax, [r15 + {instance}]",
        "mov [r10 + {left_instance}], rax",
        "mov rax, [rsp]",
        "mov [r10 + {guest_pc}], rax",
        "mov [r10 + {guest_frame}], rbp",
        "push rbp",
        "push r15",
        "push r14",
        "lea rax, [rip + 2f]",
        "push rax",
        "mov [r10 + {guest_rsp}], rsp",
        "mov rdi, r10",
        "mov eax, {left}",
        "jmp {to_host}",
        "2:",
        "pop r14",
        "pop r15",
        "pop rbp",
        "ret",
        run = const offsets::run,
        instance = const offsets::instance,
        request = const offset_of!(RunRecord, request),
        a = const offset_of!(RunRecord, a),
        b = const offset_of!(RunRecord, b),
        slots = const offset_of!(RunRecord, slots),
        left_instance = const offset_of!(RunRecord, instance),
        guest_pc = const offset_of!(RunRecord, guest_pc),
        guest_frame = const offset_of!(RunRecord, guest_frame),
        guest_rsp = const offset_of!(RunRecord, guest_rsp),
        left = const Left::Request as u32,
        to_host = sym to_host,
    )
}

/// Where code leaves when its fuel is used up. Keeps all general registers, the flags, and the lower 128 bits of the 16
/// vector registers.
///
/// # Safety
/// As of [`leave`].
#[unsafe(naked)]
unsafe extern "sysv64" fn preempt() {
    naked_asm!(
        "pushfq",
        ".irp register, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15",
        "push \\register",
        ".endr",
        "sub rsp, 256",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "movups [rsp + 16 * \\n], xmm\\n",
        ".endr",
        "lea rax, [rip + 2f]",
        "push rax",
        "mov rdi, [r15 + {run}]",
        "mov [rdi + {guest_rsp}], rsp",
        "mov eax, {left}",
        "jmp {to_host}",
        "2:",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "movups xmm\\n, [rsp + 16 * \\n]",
        ".endr",
        "add rsp, 256",
        ".irp register, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax",
        "pop \\register",
        ".endr",
        "popfq",
        "ret",
        run = const offsets::run,
        guest_rsp = const offset_of!(RunRecord, guest_rsp),
        left = const Left::Preempted as u32,
        to_host = sym to_host,
    )
}

/// Where code jumps, its own frame closed, to call what is of another instance in the place of a return: the callee's `FuncRef`
/// in `r11`, all arguments and results in registers.
///
/// The code that is returned to believes that its instance is still the one in `r15`. A frame that remembers it is
/// put in between, unless there is one already: then this very stub was the last to call, and its frame serves on. However
/// often instances call each other in this way, the stack does not grow.
///
/// # Safety
/// As of [`leave`]; and the return address is on top of the stack, which has room for a trampoline.
#[unsafe(naked)]
unsafe extern "sysv64" fn tail_call() {
    naked_asm!(
        "lea rax, [rip + 3f]",
        "cmp [rsp], rax",
        "je 2f",
        "push rbp",
        "mov rbp, rsp",
        // Room for the context, and for what every caller provides.
        "sub rsp, {frame}",
        "mov [rbp - 8], r15",
        "mov rax, [r11 + {code}]",
        "mov r15, [r11 + {vmctx}]",
        "mov r14, [r11 + {memory}]",
        "call rax",
        "3:",
        "mov r15, [rbp - 8]",
        "mov r14, [r15 + {memory_base}]",
        "leave",
        "ret",
        "2:",
        "mov rax, [r11 + {code}]",
        "mov r15, [r11 + {vmctx}]",
        "mov r14, [r11 + {memory}]",
        "jmp rax",
        frame = const 16 + crate::compiler::abi::LEAST_STACK_BYTES,
        code = const parts::FUNC_CODE,
        vmctx = const parts::FUNC_VMCTX,
        memory = const parts::FUNC_MEMORY,
        memory_base = const offsets::memory_base,
    )
}

/// Where the signal handler sends a thread whose guest has faulted, with the record in `rdi`.
///
/// # Safety
/// For a thread within [`enter`] or [`resume`] of that record alone.
#[unsafe(naked)]
unsafe extern "sysv64" fn landing() {
    naked_asm!(
        "cld",
        "mov eax, {left}",
        "jmp {to_host}",
        left = const Left::Faulted as u32,
        to_host = sym to_host,
    )
}

/// Returns `eax` from the [`enter`] or [`resume`] of the record in `rdi`.
///
/// # Safety
/// As of [`landing`].
#[unsafe(naked)]
unsafe extern "sysv64" fn to_host() {
    naked_asm!(
        "mov rsp, [rdi + {host_rsp}]",
        // Dirty upper halves would make the host's SSE code slow.
        "cmp dword ptr [rdi + {avx}], 0",
        "je 2f",
        "vzeroupper",
        "2:",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        host_rsp = const offset_of!(RunRecord, host_rsp),
        avx = const offset_of!(RunRecord, avx),
    )
}

/// Address of the stub for `VmCtx::leave`.
pub(super) fn leave_address() -> usize {
    leave as *const () as usize
}

/// Address of the stub for `VmCtx::preempt`.
pub(super) fn preempt_address() -> usize {
    preempt as *const () as usize
}

/// Address of the stub for `VmCtx::tail_call`.
pub(super) fn tail_call_address() -> usize {
    tail_call as *const () as usize
}

/// Whether the processor has state that is to be cleared on the way to the host.
pub(super) fn has_avx() -> bool {
    std::arch::is_x86_feature_detected!("avx")
}

/// Program counter and frame pointer of what a signal has interrupted.
pub(super) fn interrupted(context: &libc::ucontext_t) -> (usize, usize) {
    let registers = &context.uc_mcontext.gregs;
    (
        registers[libc::REG_RIP as usize] as usize,
        registers[libc::REG_RBP as usize] as usize,
    )
}

/// Makes the thread go on in [`landing`] when the handler returns, on the host's stack at once: on the guest's there may be no
/// room for the frame of another signal that arrives just then.
pub(super) fn redirect(context: &mut libc::ucontext_t, record: &mut RunRecord) {
    let registers = &mut context.uc_mcontext.gregs;
    registers[libc::REG_RIP as usize] = landing as *const () as i64;
    registers[libc::REG_RSP as usize] = record.host_rsp as i64;
    registers[libc::REG_RDI as usize] = std::ptr::from_mut(record).addr() as i64;
}
