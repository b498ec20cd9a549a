//! A code generator that generates nothing: it hands out functions written by hand, chosen by name.
//!
//! They follow the conventions of [`crate::compiler`], and are what the smallest code generator would have to make.

use crate::compiler::{CodeArtifact, CodeGenerator, ModuleTranslation, TrapSite, abi};
use crate::error::ModuleError;
use crate::operator::Libcall;
use crate::trap::Trap;
use crate::vm::vmctx::{MemoryRef, VmCtx, offsets, parts};
use std::ops::Range;

std::arch::global_asm!(
    r#"
    .pushsection .rodata.luge_test, "a", @progbits
    .macro begin name
        .globl luge_test_\name
        .hidden luge_test_\name
        luge_test_\name:
    .endm
    .macro function name
        begin \name
        push rbp
        mov rbp, rsp
        push r15
        sub rsp, 8
    .endm
    .macro done
        leave
        ret
    .endm

    begin text

    # Enters any function of at most two integers, and as many results: or of one vector, by halves.
    function entry
        mov [rbp - 16], rdi
        mov rsi, [rdi + 8]
        mov rdi, [rdi]
        call rax
        mov rdi, [rbp - 16]
        mov [rdi], rax
        mov [rdi + 8], rdx
        done

    # Stands for host functions of the same shape; the caller's context is in its frame.
    begin host_call
        mov rax, [rbp - 8]
        push rbp
        mov rbp, rsp
        push rax
        mov r15, rax
        sub rsp, {HOST_SLOTS} * 8 + 8
        mov [rsp], rdi
        mov [rsp + 8], rsi
        mov rdi, rsp
        mov eax, {LEAVE_HOST_CALL}
        mov ecx, [r11 + {FUNC_NUMBER}]
        call [r15 + {leave}]
        mov rax, [rsp]
        done

    function answer
        mov eax, 42
        done

    function add
        lea eax, [rdi + rsi]
        done

    function swap_halves
        mov rax, rsi
        mov rdx, rdi
        done

    function load
        mov eax, edi
    begin load_trap
        mov eax, [r14 + rax]
        done

    # Forgets the base of memory.
    function load_anywhere
        xor eax, eax
    begin load_anywhere_trap
        mov eax, [rax]
        done

    function divide
        mov eax, edi
        xor edx, edx
    begin divide_trap
        div esi
        done

    function unreachable
    begin unreachable_trap
        ud2
        done

    function wild
        ud2
        done

    function outer
        call luge_test_unreachable
        done

    # memory.grow by the first argument; gives the size in bytes after it.
    function grow
        sub rsp, 32
        mov [rsp], rdi
        mov rdi, rsp
        mov eax, {MemoryGrow}
        xor ecx, ecx
        call [r15 + {leave}]
        mov rax, [r15 + {memory_bytes}]
        done

    # memory.fill from 0 on with 7, as many bytes as the first argument; gives the last one.
    function fill
        sub rsp, 48
        mov [rbp - 16], rdi
        mov qword ptr [rsp], 0
        mov qword ptr [rsp + 8], 7
        mov [rsp + 16], rdi
        mov rdi, rsp
        mov eax, {MemoryFill}
        xor ecx, ecx
        call [r15 + {leave}]
        mov rax, [rbp - 16]
        movzx eax, byte ptr [r14 + rax - 1]
        done

    # table.get of the first argument.
    function table_get
        sub rsp, 32
        mov [rsp], rdi
        mov rdi, rsp
        mov eax, {TableGet}
        xor ecx, ecx
        call [r15 + {leave}]
        mov rax, [rsp]
        done

    # table.grow by the first argument in a module with one table and no memory; gives the new last element.
    function table_grow
        sub rsp, 32
        mov qword ptr [rsp], 9
        mov [rsp + 8], rdi
        mov rdi, rsp
        mov eax, {TableGrow}
        xor ecx, ecx
        call [r15 + {leave}]
        mov rcx, [r15 + {first}]
        mov rdx, [r15 + {first} + {TABLE_LEN}]
        mov rax, [rcx + rdx * 8 - 8]
        done

    # Adds the first argument to the global of a module with one memory and one global.
    function global_add
        mov rcx, [r15 + {first} + {MEMORY}]
        add [rcx], rdi
        mov rax, [rcx]
        done

    # Calls the first import with the first argument, and adds 1.
    function call_import
        lea r11, [r15 + {first}]
        mov r14, [r11 + {FUNC_VMCTX}]
        mov r15, r14
        test r14, r14
        je 1f
        mov r14, [r14 + {memory_base}]
    1:
        call [r11 + {FUNC_CODE}]
        mov r15, [rbp - 8]
        mov r14, [r15 + {memory_base}]
        inc eax
        done

    # Calls the function of the store that the reference in the first argument names.
    function call_ref
        lea r11, [rdi - 1]
        shl r11, {FUNC_SHIFT}
        add r11, [r15 + {funcs}]
        mov r15, [r11 + {FUNC_VMCTX}]
        mov r14, [r15 + {memory_base}]
        call [r11 + {FUNC_CODE}]
        mov r15, [rbp - 8]
        mov r14, [r15 + {memory_base}]
        done

    # Counts the first argument down to 0, one unit of fuel each; gives 7.
    function count
    1:
        mov rax, [r15 + {run}]
        sub qword ptr [rax], 1
        jns 2f
        call [r15 + {preempt}]
    2:
        dec edi
        jnz 1b
        mov eax, 7
        done

    # Gives 1 if a preemption keeps all registers.
    function registers
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        mov eax, 0x1111 * \n + 77
        movd xmm\n, eax
        pshufd xmm\n, xmm\n, 0
        .endr
        .irp r, rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14
        lea \r, [rip + 1f]
        mov \r, [\r]
        .endr
        mov rcx, 1
        mov r13, 2
        cmp rcx, r13
        call [r15 + {preempt}]
        jae 3f
        cmp rcx, 1
        jne 3f
        cmp r13, 2
        jne 3f
        .irp r, rax, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r14
        cmp \r, [rip + 1f]
        jne 3f
        .endr
        cmp r15, [rbp - 8]
        jne 3f
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        mov ecx, 0x1111 * \n + 77
        movd eax, xmm\n
        cmp eax, ecx
        jne 3f
        psrldq xmm\n, 12
        movd eax, xmm\n
        cmp eax, ecx
        jne 3f
        .endr
        mov eax, 1
        done
    1:
        .quad 0x0123456789abcdef
    3:
        xor eax, eax
        done

    function recurse
        lea rax, [rsp - 64]
        cmp rax, [r15 + {stack_limit}]
        jae 1f
    begin recurse_trap
        ud2
    1:
        sub rsp, 64
        call luge_test_recurse
        done

    # Recurses as deep as the limit allows and has a signal sent to the thread there.
    function signal_deep_down
        lea rax, [rsp - 64]
        cmp rax, [r15 + {stack_limit}]
        jae 1f
        mov eax, {GETPID}
        syscall
        mov ebx, eax
        mov eax, {GETTID}
        syscall
        mov edi, ebx
        mov esi, eax
        mov edx, {SIGUSR2}
        mov eax, {TGKILL}
        syscall
        mov eax, 1
        done
    1:
        sub rsp, 64
        call luge_test_signal_deep_down
        done

    # Never compares with the limit.
    function smash
        call luge_test_smash
        done

    # Touches the guard of a stack for 1 MiB of frames, and nothing above it.
    function fall
        mov rsp, [r15 + {stack_limit}]
        sub rsp, 0xff00
        push rax
        done

    begin end
    .popsection
    "#,
    LEAVE_HOST_CALL = const abi::LEAVE_HOST_CALL,
    HOST_SLOTS = const abi::HOST_SLOTS,
    FUNC_NUMBER = const parts::FUNC_NUMBER,
    FUNC_CODE = const parts::FUNC_CODE,
    FUNC_VMCTX = const parts::FUNC_VMCTX,
    FUNC_SHIFT = const parts::FUNC_SHIFT,
    TABLE_LEN = const parts::TABLE_LEN,
    MEMORY = const size_of::<MemoryRef>(),
    MemoryGrow = const Libcall::MemoryGrow as u32,
    MemoryFill = const Libcall::MemoryFill as u32,
    TableGet = const Libcall::TableGet as u32,
    TableGrow = const Libcall::TableGrow as u32,
    GETPID = const libc::SYS_getpid,
    GETTID = const libc::SYS_gettid,
    TGKILL = const libc::SYS_tgkill,
    SIGUSR2 = const libc::SIGUSR2,
    leave = const offsets::leave,
    preempt = const offsets::preempt,
    run = const offsets::run,
    funcs = const offsets::funcs,
    stack_limit = const offsets::stack_limit,
    memory_base = const offsets::memory_base,
    memory_bytes = const offsets::memory_bytes,
    // What lies first behind the fixed fields: the first import, or memory, or table.
    first = const size_of::<VmCtx>(),
);

macro_rules! labels {
    ($($label:ident = $symbol:literal,)*) => {
        unsafe extern "C" {
            $(#[link_name = $symbol] static $label: u8;)*
        }

        /// Labels and their offsets in the text, in its order.
        fn labels() -> Vec<(&'static str, u32)> {
            let start = (&raw const TEXT).addr();
            vec![$((&$symbol["luge_test_".len()..], ((&raw const $label).addr() - start) as u32),)*]
        }
    };
}

labels! {
    TEXT = "luge_test_text",
    ENTRY = "luge_test_entry",
    HOST_CALL = "luge_test_host_call",
    ANSWER = "luge_test_answer",
    ADD = "luge_test_add",
    SWAP_HALVES = "luge_test_swap_halves",
    LOAD = "luge_test_load",
    LOAD_TRAP = "luge_test_load_trap",
    LOAD_ANYWHERE = "luge_test_load_anywhere",
    LOAD_ANYWHERE_TRAP = "luge_test_load_anywhere_trap",
    DIVIDE = "luge_test_divide",
    DIVIDE_TRAP = "luge_test_divide_trap",
    UNREACHABLE = "luge_test_unreachable",
    UNREACHABLE_TRAP = "luge_test_unreachable_trap",
    WILD = "luge_test_wild",
    OUTER = "luge_test_outer",
    GROW = "luge_test_grow",
    FILL = "luge_test_fill",
    TABLE_GET = "luge_test_table_get",
    TABLE_GROW = "luge_test_table_grow",
    GLOBAL_ADD = "luge_test_global_add",
    CALL_IMPORT = "luge_test_call_import",
    CALL_REF = "luge_test_call_ref",
    COUNT = "luge_test_count",
    REGISTERS = "luge_test_registers",
    RECURSE = "luge_test_recurse",
    SIGNAL_DEEP_DOWN = "luge_test_signal_deep_down",
    RECURSE_TRAP = "luge_test_recurse_trap",
    SMASH = "luge_test_smash",
    FALL = "luge_test_fall",
    END = "luge_test_end",
}

/// What faults at labels mean.
const TRAPS: [(&str, Trap); 5] = [
    ("load_trap", Trap::MemoryOutOfBounds),
    ("load_anywhere_trap", Trap::MemoryOutOfBounds),
    ("divide_trap", Trap::IntegerDivideByZero),
    ("unreachable_trap", Trap::Unreachable),
    ("recurse_trap", Trap::StackExhausted),
];

/// The code generator. A function gets the code that its name in the list says.
#[derive(Debug)]
pub(super) struct Assembled(pub(super) Vec<&'static str>);

impl CodeGenerator for Assembled {
    fn name(&self) -> &'static str {
        "assembled"
    }

    fn fingerprint(&self) -> String {
        self.0.join(" ")
    }

    fn compile(&self, module: &mut ModuleTranslation<'_>) -> Result<CodeArtifact, ModuleError> {
        let defined = module.remaining();
        while module.next_function()?.is_some() {}
        let labels = labels();
        let at = |name: &str| {
            let label = labels.iter().find(|(label, _)| *label == name);
            label.unwrap_or_else(|| panic!("no code is called {name}")).1
        };
        let functions = self.0.iter().cycle().take(defined);
        let types = module.module().types().len();
        Ok(CodeArtifact {
            text: text(at("end") as usize).to_vec(),
            funcs: functions.map(|name| range(&labels, at(name))).collect(),
            entries: vec![Some(at("entry")); types],
            host_calls: vec![Some(at("host_call")); types],
            traps: TRAPS
                .map(|(label, trap)| TrapSite {
                    offset: at(label),
                    trap,
                })
                .into(),
            ..CodeArtifact::default()
        })
    }
}

/// From a function's start to that of the next.
fn range(labels: &[(&str, u32)], start: u32) -> Range<u32> {
    let ends = labels.iter().filter(|(name, _)| !name.contains("trap"));
    let end = ends
        .map(|&(_, offset)| offset)
        .filter(|&offset| offset > start)
        .min();
    start..end.expect("the text has an end")
}

fn text(len: usize) -> &'static [u8] {
    // SAFETY: the assembler has laid out `len` bytes of constants from the one label to the other.
    unsafe { std::slice::from_raw_parts(&raw const TEXT, len) }
}
