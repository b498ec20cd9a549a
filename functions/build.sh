#!/usr/bin/env bash
# Rebuilds every .wasm file of the tree from its sources, and functions/manifest.toml, which ties the two together.
#
#   functions/build.sh             rebuild into the tree
#   functions/build.sh --check     rebuild into a temporary folder; fail when a byte differs from the tree
#   functions/build.sh --install   install the Debian packages that the build needs (as root)
#
# The bytes depend on the sources, on toolchain.sh and on the versions of the compilers, which the manifest names; not on the
# folder, the user or the time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
source functions/toolchain.sh

# Functions: name, contract mode, sources besides toolchain.sh. The first source says how it is built.
functions=(
	"empty raw functions/empty/empty.c"
	"echo raw functions/echo/echo.c functions/include/body.h"
	"fibonacci raw functions/fibonacci/fibonacci.c functions/include/body.h"
	"hash raw functions/hash/hash.c functions/include/body.h"
	"work raw functions/work/work.c functions/include/body.h"
	"ekf raw functions/ekf/ekf.c functions/ekf/filter.c functions/ekf/filter.h functions/include/body.h"
	"cgi_env cgi functions/cgi_env/cgi_env.c functions/include/body.h"
	"resize cgi functions/resize/Cargo.toml functions/resize/src/main.rs"
	"png2bmp cgi functions/png2bmp/Cargo.toml functions/png2bmp/src/main.rs"
)
# What every Rust function is made of besides its own files.
rust_shared=(functions/Cargo.toml functions/Cargo.lock functions/picture/Cargo.toml functions/picture/src/lib.rs)

# Programs that test the engine's WASI; one C file each.
wasi_tests=(args_env bigout clocks exit3 files growmem poll recurse spin stdio wrap)

usage() {
	sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# Fails with the one command that brings what is missing.
require_toolchain() {
	local missing=()
	[[ -x $clang ]] || missing+=(clang-19)
	[[ -x $linker ]] || missing+=(lld-19)
	[[ -f $sysroot/libc.a ]] || missing+=(wasi-libc)
	[[ -f $($clang --target=wasm32-wasi -print-libgcc-file-name 2>/dev/null) ]] || missing+=(libclang-rt-19-dev-wasm32)
	[[ -x $rustc ]] && [[ $($rustc --version) == "rustc $rust_version "* ]] || missing+=(rustc-web)
	[[ -x $cargo ]] || missing+=(cargo-web)
	[[ -d /usr/lib/rustlib/src/rust/library/std ]] || missing+=(rust-web-src)
	if ((${#missing[@]})); then
		echo "build.sh: missing: ${missing[*]}" >&2
		echo "build.sh: on Debian 12 run: apt-get install --no-install-recommends ${packages[*]}" >&2
		exit 1
	fi
}

# build_c OUTPUT SOURCE...
build_c() {
	local output=$1 source c_sources=()
	shift
	for source; do [[ $source == *.h ]] || c_sources+=("$source"); done
	"$clang" "${c_flags[@]}" -Ifunctions/include "${c_sources[@]}" -o "$output"
	chmod 644 "$output"
}

# build_rust TARGET_DIR: every member of the workspace in functions/, with a standard library built from source, because
# Debian ships none for wasm32-wasip1.
build_rust() {
	local registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
	(
		cd functions
		unset RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
		export RUSTC=$rustc RUSTC_BOOTSTRAP=1
		# Fetched first, because the folders of the sources must be known to be mapped away.
		"$cargo" fetch --quiet --locked --target wasm32-wasip1
		# One flag a word, whatever the folders are called.
		local flags=("${rust_flags[@]}" --remap-path-prefix="$PWD=functions" --remap-path-prefix="$1=target")
		for index in "$registry"/*/; do flags+=(--remap-path-prefix="${index%/}=registry"); done
		CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}") \
			"$cargo" build --quiet --release --locked --target wasm32-wasip1 --target-dir "$1" \
			-Zbuild-std=std,panic_abort -Zbuild-std-features=
	)
}

# Prints one table of the manifest: table NAME MODE WASM ROOT SOURCE...; ROOT is where the built file lies now.
table() {
	local name=$1 mode=$2 wasm=$3 root=$4 source
	shift 4
	printf '\n[%s]\n' "$name"
	[[ -z $mode ]] || printf 'mode = "%s"\n' "$mode"
	printf 'wasm = "%s"\n' "$wasm"
	printf 'sources = [\n'
	for source; do printf '  "%s",\n' "$source"; done
	printf ']\n'
	printf 'sources_sha256 = "%s"\n' "$(cat -- "$@" | sha256sum | cut -d' ' -f1)"
	printf 'wasm_sha256 = "%s"\n' "$(sha256sum <"$root/$wasm" | cut -d' ' -f1)"
}

# build_all ROOT TARGET_DIR: writes every file below ROOT, at its path in the tree.
build_all() {
	local root=$1 target=$2 entry name mode sources wasm
	mkdir -p "$root/functions/wasm" "$root/core/tests/wasi"
	build_rust "$target"
	{
		echo "# Written by functions/build.sh; the rule of the hashes is in functions/README.md."
		printf '\n[toolchain]\nclang = "%s"\nlinker = "%s"\nrustc = "%s"\n' \
			"$("$clang" -dumpversion)" "$("$linker" --version | grep -o '[0-9][0-9.]*' | head -1)" \
			"$("$rustc" --version | cut -d' ' -f2)"
		for entry in "${functions[@]}"; do
			read -r name mode sources <<<"$entry"
			read -ra sources <<<"$sources"
			wasm=functions/wasm/$name.wasm
			if [[ ${sources[0]} == *.c ]]; then
				build_c "$root/$wasm" "${sources[@]}"
			else
				sources+=("${rust_shared[@]}")
				install -m 644 "$target/wasm32-wasip1/release/$name.wasm" "$root/$wasm"
			fi
			table "function.$name" "$mode" "$wasm" "$root" "${sources[@]}" functions/toolchain.sh
		done
		for name in "${wasi_tests[@]}"; do
			wasm=core/tests/wasi/$name.wasm
			sources=("core/tests/wasi/$name.c")
			if grep -q '"errno_name.h"' "${sources[0]}"; then sources+=(core/tests/wasi/errno_name.h); fi
			build_c "$root/$wasm" "${sources[@]}"
			table "wasi_test.$name" "" "$wasm" "$root" "${sources[@]}" functions/toolchain.sh
		done
	} >"$root/functions/manifest.toml.new"
	mv "$root/functions/manifest.toml.new" "$root/functions/manifest.toml"
}

# Compares the tree with what was built below $1, and says which files differ.
compare() {
	local root=$1 file differ=0
	while read -r file; do
		if ! cmp -s "$root/$file" "$file"; then
			echo "build.sh: $file is not what its sources build to; run functions/build.sh" >&2
			differ=1
		fi
	done < <(cd "$root" && find functions core -type f | sort)
	for file in functions/wasm/*.wasm core/tests/wasi/*.wasm; do
		if [[ ! -e $root/$file ]]; then
			echo "build.sh: nothing builds $file; add it to build.sh or remove it" >&2
			differ=1
		fi
	done
	((differ == 0))
}

main() {
	case ${1-} in
	"")
		require_toolchain
		build_all "$PWD" "$PWD/functions/.build"
		;;
	--check)
		require_toolchain
		scratch=$(mktemp -d)
		trap 'rm -rf "$scratch"' EXIT
		build_all "$scratch" "$scratch/target"
		rm -rf "$scratch/target"
		compare "$scratch"
		echo "build.sh: $(find "$scratch" -name '*.wasm' | wc -l) files agree with their sources"
		;;
	--install) apt-get install --yes --no-install-recommends "${packages[@]}" ;;
	*)
		usage >&2
		exit 2
		;;
	esac
}

main "$@"
