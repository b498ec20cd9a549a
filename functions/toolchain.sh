# shellcheck shell=bash disable=SC2034,SC2054
# What the bytes of a .wasm file depend on besides its own sources: tools, target, features and flags. Read by build.sh, and
# counted by the manifest as a source of every file.

# Debian 12 packages and what they bring.
packages=(clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32 rustc-web cargo-web rust-web-src)
clang=/usr/bin/clang-19
linker=/usr/bin/wasm-ld-19
sysroot=/usr/lib/wasm32-wasi
rustc=/usr/bin/rustc
cargo=/usr/bin/cargo
rust_version=1.96.0

# WebAssembly 2.0 without SIMD, named one by one, so that a newer compiler's defaults change nothing.
wasm_features=(sign-ext bulk-memory reference-types multivalue nontrapping-fptoint mutable-globals)

# The stack lies below the data, so that overflowing it traps and does not change data. Debug sections go; the name section
# stays, because it makes traps readable.
c_flags=(--target=wasm32-wasi -mcpu=mvp "${wasm_features[@]/#/-m}" -std=c17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror
	-Wl,--strip-debug -Wl,--stack-first -Wl,-z,stack-size=65536)

# rustc adds --stack-first and a stack of 1 MiB by itself. Debian's C library stands where rustc would bring its own.
rust_flags=(-Ctarget-cpu=mvp "-Ctarget-feature=$(IFS=,; echo "${wasm_features[*]/#/+}")" -Cstrip=debuginfo
	-Clinker="$linker" -Clink-self-contained=no -Clink-arg=-L"$sysroot" -Clink-arg="$sysroot/crt1-command.o")
