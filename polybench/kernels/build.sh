#!/usr/bin/env bash
# Rebuilds wasm/*.wasm from the kernels' C sources with Debian's clang-19 and lld-19.
#
#   polybench/kernels/build.sh           rebuild into wasm/
#   polybench/kernels/build.sh --check   rebuild into a temporary folder; fail when a byte differs from wasm/
#
# NAME.wasm is the scalar build, NAME.simd.wasm the one with 128-bit vectors. The bytes depend on the sources, on this file and
# on the compilers' versions; not on the folder, the user or the time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export LC_ALL=C

clang=/usr/bin/clang-19
linker=/usr/bin/wasm-ld-19

# WebAssembly 2.0 without SIMD, named one by one, so that a newer compiler's defaults change nothing.
features=(sign-ext bulk-memory reference-types multivalue nontrapping-fptoint mutable-globals)
flags=(--target=wasm32 -mcpu=mvp "${features[@]/#/-m}" -O3 -std=c17 -ffreestanding -fno-math-errno -ffp-contract=off
	-Wall -Wextra -Werror -nostdlib -Wl,--no-entry -Wl,--strip-debug -Wl,--stack-first -Wl,-z,stack-size=65536)
scalar=(-fno-vectorize -fno-slp-vectorize)
simd=(-msimd128)

# build_all FOLDER
build_all() {
	local source name
	for source in *.c; do
		name=${source%.c}
		[[ $name == native ]] && continue
		"$clang" "${flags[@]}" "${scalar[@]}" "$source" -o "$1/$name.wasm"
		"$clang" "${flags[@]}" "${simd[@]}" "$source" -o "$1/$name.simd.wasm"
	done
	chmod 644 "$1"/*.wasm
}

# Compares wasm/ with what was built into $1, both ways.
compare() {
	local file differ=0
	for file in wasm/*.wasm "$1"/*.wasm; do
		file=${file##*/}
		if ! cmp -s "$1/$file" "wasm/$file"; then
			echo "build.sh: wasm/$file is not what its source builds to; run polybench/kernels/build.sh" >&2
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
"")
	mkdir -p wasm
	build_all wasm
	;;
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
