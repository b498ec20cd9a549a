//! The ways between the host's stack and a guest's.
//!
//! ```text
//!   host's stack                         guest's stack
//!     enter(run) ───────────────────────►  entry trampoline ──► function
//!        ◄──────────── Finished ──────────────────┘                │
//!        ◄──────────── Request ──────────── leave ◄────────────────┤ call [r15 + leave]
//!     resume(run) ──────────────────────►  after the call          │
//!        ◄──────────── Preempted ────────── preempt ◄──────────────┤ call [r15 + preempt]
//!        ◄──────────── Faulted ──────────── landing ◄── handler ◄──┤ a fault
//!        ◄──────────── Interrupted ──────── landing ◄── handler ◄──┘ a preemption, at any instruction
//!        ◄──────────── TurnedBack   a preemption that finds the thread between the test of its mark and the guest
//! ```
//!
//! A run that was preempted, by a poll or by a signal, has left the same frame on its stack ([`SAVED_WORDS`]), and goes on by
//! [`restore`]. The way in only reads the guest's stack, or writes below its end, and leaves `guest_rsp` as it was: until
//! the guest's next instruction it can be given up at any point, and nothing has happened.
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
use std::ops::Range;

/// There are stubs for this processor and system.
pub(super) const SUPPORTED: bool = true;

/// Words of a preempted run's registers: [`restore`], 16 vector registers, 15 general ones, flags, program counter.
const SAVED_WORDS: usize = 1 + 32 + 15 + 1 + 1;

/// The general registers of that frame, from its low end on.
const SAVED: [libc::c_int; 15] = [
    libc::REG_R15,
    libc::REG_R14,
    libc::REG_R13,
    libc::REG_R12,
    libc::REG_R11,
    libc::REG_R10,
    libc::REG_R9,
    libc::REG_R8,
    libc::REG_RDI,
    libc::REG_RSI,
    libc::REG_RBP,
    libc::REG_RBX,
    libc::REG_RDX,
    libc::REG_RCX,
    libc::REG_RAX,
];

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
        "mov rax, [rdi + {mark}]",
        "cmp dword ptr [rax], 0",
        // Whoever comes before this line finds the mark looked at after him, whoever comes behind it turns the thread back.
        ".globl {this}_armed",
        ".hidden {this}_armed",
        "{this}_armed:",
        "jne 2f",
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
        ".globl {this}_entered",
        ".hidden {this}_entered",
        "{this}_entered:",
        "pop rdi",
        "mov eax, {finished}",
        "jmp {to_host}",
        "2:",
        "mov eax, {turned_back}",
        "jmp {to_host}",
        this = sym enter,
        mark = const offset_of!(RunRecord, mark),
        turned_back = const Left::TurnedBack as u32,
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

/// Goes on where the guest has left, by `leave`, by `preempt` or by a signal.
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
        "mov rax, [rdi + {mark}]",
        "cmp dword ptr [rax], 0",
        // As in `enter`.
        ".globl {this}_armed",
        ".hidden {this}_armed",
        "{this}_armed:",
        "jne 2f",
        "mov rsp, [rdi + {guest_rsp}]",
        "pop rax",
        "jmp rax",
        ".globl {this}_entered",
        ".hidden {this}_entered",
        "{this}_entered:",
        "2:",
        "mov eax, {turned_back}",
        "jmp {to_host}",
        this = sym resume,
        mark = const offset_of!(RunRecord, mark),
        turned_back = const Left::TurnedBack as u32,
        to_host = sym to_host,
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
        ".globl {this}_rest",
        ".hidden {this}_rest",
        "{this}_rest:",
        "2:",
        "pop r14",
        "pop r15",
        "pop rbp",
        "ret",
        ".globl {this}_end",
        ".hidden {this}_end",
        "{this}_end:",
        this = sym leave,
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

/// Where code leaves when its fuel is used up. Keeps, in a frame for [`restore`], all general registers, the flags, and the lower 128 bits of the 16
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
        "lea rax, [rip + {restore}]",
        "push rax",
        "mov rdi, [r15 + {run}]",
        "mov [rdi + {guest_rsp}], rsp",
        "mov eax, {left}",
        "jmp {to_host}",
        restore = sym restore,
        run = const offsets::run,
        guest_rsp = const offset_of!(RunRecord, guest_rsp),
        left = const Left::Preempted as u32,
        to_host = sym to_host,
    )
}

/// Where a run that was preempted goes on: takes all registers from the frame on top of its stack. Only reads, so that it
/// can be given up and begun again.
///
/// # Safety
/// For [`resume`] alone to jump to, with `rsp` at the second word of such a frame.
#[unsafe(naked)]
unsafe extern "sysv64" fn restore() {
    naked_asm!(
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "movups xmm\\n, [rsp + 16 * \\n]",
        ".endr",
        "add rsp, 256",
        ".irp register, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax",
        "pop \\register",
        ".endr",
        "popfq",
        "ret",
        ".globl {this}_end",
        ".hidden {this}_end",
        "{this}_end:",
        this = sym restore,
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
        ".globl {this}_end",
        ".hidden {this}_end",
        "{this}_end:",
        this = sym tail_call,
        frame = const 16 + crate::compiler::abi::LEAST_STACK_BYTES,
        code = const parts::FUNC_CODE,
        vmctx = const parts::FUNC_VMCTX,
        memory = const parts::FUNC_MEMORY,
        memory_base = const offsets::memory_base,
    )
}

/// Where a signal handler sends a thread whose guest is to leave, with the record in `rdi` and a [`Left`] in `eax`.
///
/// # Safety
/// For a thread within [`enter`] or [`resume`] of that record alone.
#[unsafe(naked)]
unsafe extern "sysv64" fn landing() {
    naked_asm!(
        "cld",
        "jmp {to_host}",
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

/// Where the stack ended of what a signal has interrupted.
pub(super) fn stack_pointer(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize
}

/// The addresses of stubs that a preemption has to tell apart.
#[derive(Debug)]
pub(super) struct Stubs {
    /// Between the test of the mark and the guest's next instruction.
    entering: [Range<usize>; 4],
    /// On the guest's side, as good as its own code.
    tail_call: Range<usize>,
}

impl Stubs {
    /// Where they are.
    pub(super) fn find() -> Self {
        let mut bounds = [0; 9];
        // SAFETY: the function writes 9 addresses, and does nothing else.
        unsafe { stub_bounds(&raw mut bounds) };
        let [
            enter,
            entered,
            resume,
            resumed,
            rest,
            leave_end,
            restored,
            tail_call,
            tail_call_end,
        ] = bounds;
        Self {
            entering: [
                enter..entered,
                resume..resumed,
                rest..leave_end,
                restore as *const () as usize..restored,
            ],
            tail_call: tail_call..tail_call_end,
        }
    }

    /// Whether the thread, at this address, is on its way to the guest, and can still be turned back.
    pub(super) fn is_entering(&self, pc: usize) -> bool {
        self.entering.iter().any(|stub| stub.contains(&pc))
    }

    /// Whether it is in a stub that can be left like the guest's own code.
    pub(super) fn is_guest(&self, pc: usize) -> bool {
        self.tail_call.contains(&pc)
    }
}

/// Writes the bounds of [`Stubs`] in the order of [`Stubs::find`].
///
/// # Safety
/// `to` can be written.
#[unsafe(naked)]
unsafe extern "sysv64" fn stub_bounds(to: *mut [usize; 9]) {
    naked_asm!(
        "lea rax, [rip + {enter}_armed]",
        "mov [rdi], rax",
        "lea rax, [rip + {enter}_entered]",
        "mov [rdi + 8], rax",
        "lea rax, [rip + {resume}_armed]",
        "mov [rdi + 16], rax",
        "lea rax, [rip + {resume}_entered]",
        "mov [rdi + 24], rax",
        "lea rax, [rip + {leave}_rest]",
        "mov [rdi + 32], rax",
        "lea rax, [rip + {leave}_end]",
        "mov [rdi + 40], rax",
        "lea rax, [rip + {restore}_end]",
        "mov [rdi + 48], rax",
        "lea rax, [rip + {tail_call}]",
        "mov [rdi + 56], rax",
        "lea rax, [rip + {tail_call}_end]",
        "mov [rdi + 64], rax",
        "ret",
        enter = sym enter,
        resume = sym resume,
        leave = sym leave,
        restore = sym restore,
        tail_call = sym tail_call,
    )
}

/// Keeps all registers of the guest on its stack, as [`restore`] wants them, and makes the thread go on in [`landing`]. The
/// lower 128 bits of the vector registers are all that code has: none of its instructions is wider. `false`, and nothing
/// has changed, where the system has not said what the vector registers hold.
///
/// # Safety
/// The context is of a thread that a signal has interrupted in generated code, or where [`Stubs::is_guest`] says so, of the
/// run of `record`.
pub(super) unsafe fn suspend(context: &mut libc::ucontext_t, record: &mut RunRecord) -> bool {
    let registers = &context.uc_mcontext.gregs;
    if context.uc_mcontext.fpregs.is_null() {
        return false;
    }
    // SAFETY: not null, it points into the signal's frame, which lives as long as the context.
    let vectors = unsafe { &(*context.uc_mcontext.fpregs)._xmm };
    let mut frame = [0_u64; SAVED_WORDS];
    frame[0] = restore as *const () as u64;
    for (words, vector) in frame[1..33].chunks_exact_mut(2).zip(vectors) {
        let [a, b, c, d] = vector.element.map(u64::from);
        words.copy_from_slice(&[a | b << 32, c | d << 32]);
    }
    for (word, register) in frame[33..48].iter_mut().zip(SAVED) {
        *word = registers[register as usize] as u64;
    }
    frame[48] = registers[libc::REG_EFL as usize] as u64;
    frame[49] = registers[libc::REG_RIP as usize] as u64;
    let low = registers[libc::REG_RSP as usize] as usize - size_of_val(&frame);
    // SAFETY: code keeps nothing below `rsp`, there is room for a signal's frame below its limit, of which this is a part (see
    // `compiler`), and `rsp` is a multiple of 8. Nobody refers to the guest's stack while it runs.
    unsafe { std::ptr::with_exposed_provenance_mut::<[u64; SAVED_WORDS]>(low).write(frame) };
    record.guest_rsp = low;
    redirect(context, record, Left::Interrupted);
    true
}

/// Makes the thread go on in [`landing`] when the handler returns, on the host's stack at once: on the guest's there may be no
/// room for the frame of another signal that arrives just then.
pub(super) fn redirect(context: &mut libc::ucontext_t, record: &mut RunRecord, left: Left) {
    let registers = &mut context.uc_mcontext.gregs;
    registers[libc::REG_RIP as usize] = landing as *const () as i64;
    registers[libc::REG_RAX as usize] = i64::from(left as u32);
    registers[libc::REG_RSP as usize] = record.host_rsp as i64;
    registers[libc::REG_RDI as usize] = std::ptr::from_mut(record).addr() as i64;
}
