#!/usr/bin/env bash
# Does luge-load drive a server as hard as wrk does? Both run a closed loop against the same `luge serve`, in turn, five pairs, the
# first of a pair changing; printed are the requests a second of each and the median of the ratios.
#
#   bench-suite/load-vs-wrk.sh [SECONDS [CONNECTIONS]]
#
# Exit code 0 when the median ratio is between 0.9 and 1.1, else 1; 0 with a notice where there is no wrk. LUGE and LUGE_LOAD name
# binaries that exist already; otherwise release builds are made. Keep the machine quiet.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-5}
connections=${2:-64}
pairs=5

if ! command -v wrk > /dev/null; then
    echo "load-vs-wrk: there is no wrk on this machine; nothing was compared" >&2
    exit 0
fi
if [[ -z ${LUGE:-} || -z ${LUGE_LOAD:-} ]]; then
    cargo build --release --locked --bin luge --bin luge-load
    target=$(cargo metadata --format-version 1 --no-deps --locked | grep -o '"target_directory":"[^"]*"' | cut -d'"' -f4)
    LUGE=${LUGE:-$target/release/luge}
    LUGE_LOAD=${LUGE_LOAD:-$target/release/luge-load}
fi

folder=$(mktemp -d)
"$LUGE" serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 --log warn > "$folder/greeting" &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; rm -r "$folder"' EXIT

url=
for _ in $(seq 100); do
    url=$(sed -n 's/^luge listens on //p' "$folder/greeting")
    [[ -n $url ]] && break
    sleep 0.1
done
if [[ -z $url ]]; then
    echo "load-vs-wrk: the server did not start" >&2
    exit 1
fi

# Both print requests a second and nothing else.
run_wrk() {
    wrk --threads 1 --connections "$connections" --duration "${1}s" "$url/empty" | awk '/^Requests\/sec/ { print $2 }'
}
run_luge_load() {
    "$LUGE_LOAD" url "$url/empty" --closed --connections "$connections" --duration "${1}s" --json - |
        awk -F'[:,]' '/"total"/ { total = 1 } total && /"answers_per_second"/ { print $2; exit }'
}

run_wrk 1 > /dev/null
run_luge_load 1 > /dev/null
printf '%-6s %12s %12s %8s\n' pair wrk luge-load ratio
for pair in $(seq "$pairs"); do
    if ((pair % 2)); then
        wrk=$(run_wrk "$seconds")
        own=$(run_luge_load "$seconds")
    else
        own=$(run_luge_load "$seconds")
        wrk=$(run_wrk "$seconds")
    fi
    awk -v pair="$pair" -v own="$own" -v wrk="$wrk" 'BEGIN { printf "%-6s %12.0f %12.0f %8.3f\n", pair, wrk, own, own / wrk }' |
        tee -a "$folder/pairs"
done
median=$(awk '{ print $4 }' "$folder/pairs" | sort -n | sed -n "$((pairs / 2 + 1))p")
echo "median ratio luge-load / wrk: $median"
awk -v median="$median" 'BEGIN { exit !(median >= 0.9 && median <= 1.1) }'
