#!/usr/bin/env bash
# Fetches the modules that compile/modules.txt lists into bench-suite/.cache, by npm's client and the registry it is set up for.
#
#   bench-suite/compile/fetch.sh
#
# What is there already and has the right checksum is kept. What cannot be fetched is left out with a notice, and that is no
# failure; a file with a wrong checksum is one, and is not kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C

has_sum() { # FILE SHA256
	[[ -f $1 && $(sha256sum <"$1" | cut -d' ' -f1) == "$2" ]]
}

if ! command -v npm >/dev/null; then
	echo "notice: npm is not there: nothing is fetched" >&2
	exit 0
fi
mkdir -p .cache
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
while read -r name package file sum; do
	[[ $name != \#* ]] || continue
	target=.cache/$name.wasm
	if has_sum "$target" "$sum"; then
		echo "$name: there already"
		continue
	fi
	mkdir "$scratch/$name"
	if ! timeout 300 npm pack --silent --ignore-scripts --pack-destination "$scratch/$name" "$package" \
		>/dev/null 2>"$scratch/log" </dev/null; then
		echo "notice: $name: cannot fetch $package: $(tail -n 1 "$scratch/log")" >&2
		continue
	fi
	tar -xzf "$scratch/$name"/*.tgz -C "$scratch/$name" "package/$file"
	if has_sum "$scratch/$name/package/$file" "$sum"; then
		install -m 644 "$scratch/$name/package/$file" "$target"
		echo "$name: $package, $(stat -c %s "$target") bytes"
	else
		echo "fetch.sh: $name: $file of $package has another checksum than compile/modules.txt says" >&2
		failures=1
	fi
done <compile/modules.txt
exit "$failures"
