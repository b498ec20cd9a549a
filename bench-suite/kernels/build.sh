#!/usr/bin/env bash
# Rebuilds the kernels' .wasm files from their C sources with Debian's clang-19 and lld-19.
#
#   bench-suite/kernels/build.sh           rebuild into this folder
#   bench-suite/kernels/build.sh --check   rebuild into a temporary folder; fail when a byte differs from this one
#
# NAME.wasm is the scalar build, NAME.simd.wasm the one with 128-bit vectors. The bytes depend on the sources, on this file and
# on the compilers' versions; not on the folder, the user or the time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export LC_ALL=C

clang=/usr/bin/clang-19
linker=/usr/bin/wasm-ld-19

kernels=(matmul stencil sieve sha256 sort nbody mandelbrot)
scalar_only=(calls)

# WebAssembly 2.0 without SIMD, named one by one, so that a newer compiler's defaults change nothing.
features=(sign-ext bulk-memory reference-types multivalue nontrapping-fptoint mutable-globals)
flags=(--target=wasm32 -mcpu=mvp "${features[@]/#/-m}" -std=c17 -ffreestanding -fno-math-errno -ffp-contract=off
	-Wall -Wextra -Werror -nostdlib -Wl,--no-entry -Wl,--export=run -Wl,--strip-debug -Wl,--stack-first
	-Wl,-z,stack-size=65536)

# build_all FOLDER
build_all() {
	local name
	for name in "${kernels[@]}" "${scalar_only[@]}"; do
		"$clang" "${flags[@]}" -O2 "$name.c" -o "$1/$name.wasm"
	done
	for name in "${kernels[@]}"; do
		"$clang" "${flags[@]}" -O3 -msimd128 "$name.c" -o "$1/$name.simd.wasm"
	done
	chmod 644 "$1"/*.wasm
}

# Compares this folder with what was built into $1, both ways.
compare() {
	local file differ=0
	for file in *.wasm "$1"/*.wasm; do
		file=${file##*/}
		if ! cmp -s "$1/$file" "$file"; then
			echo "build.sh: $file is not what its source builds to; run bench-suite/kernels/build.sh" >&2
			differ=1
		fi
	done
	((differ == 0))
}

if [[ ! -x $clang || ! -x $linker ]]; then
	echo "build.sh: clang-19 or lld-19 is missing; on Debian 12 run: apt-get install clang-19 lld-19" >&2
	exit 1
fi
case ${1-} in
"") build_all . ;;
--check)
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	build_all "$scratch"
	compare "$scratch"
	echo "build.sh: $(find "$scratch" -name '*.wasm' | wc -l) files agree with their sources"
	;;
*)
	sed -n '2,8s/^# \{0,1\}//p' build.sh >&2
	exit 2
	;;
esac
