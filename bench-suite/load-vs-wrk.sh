#!/usr/bin/env bash
# Does luge-load drive a server as hard as wrk does? Both run a closed loop against the same `luge serve`, in turn, five pairs, the
# first of a pair changing; printed are the requests a second of each and the median of the ratios.
#
#   bench-suite/load-vs-wrk.sh [SECONDS [CONNECTIONS [pinned|shared]]]
#
# pinned: the server has one core and the generator another, so that the server is the limit and both should see the same.
# shared: server and generator use all cores; what a generator saves, the server serves, so that the ratio tells which is cheaper.
# Without a value it is pinned where there are two cores.
#
# Exit code 0 when the median ratio is at least 0.9 and, pinned, at most 1.1, else 1; 0 with a notice where there is no wrk. LUGE and LUGE_LOAD name
# binaries that exist already; otherwise release builds are made. Keep the machine quiet.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-5}
connections=${2:-64}
placement=${3:-$([[ $(nproc) -ge 2 ]] && echo pinned || echo shared)}
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

of_server=()
of_generator=()
case $placement in
    pinned)
        # The first two cores that this process may use.
        read -r first second < <(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' |
            awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }' | head -n 2 | xargs)
        of_server=(taskset -c "$first")
        of_generator=(taskset -c "$second")
        ;;
    shared) ;;
    *)
        echo "load-vs-wrk: write pinned or shared, not $placement" >&2
        exit 2
        ;;
esac

folder=$(mktemp -d)
"${of_server[@]}" "$LUGE" serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 --log warn > "$folder/greeting" &
# taskset becomes what it starts.
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
    "${of_generator[@]}" wrk --threads 1 --connections "$connections" --duration "${1}s" "$url/empty" | awk '/^Requests\/sec/ { print $2 }'
}
run_luge_load() {
    "${of_generator[@]}" "$LUGE_LOAD" url "$url/empty" --closed --connections "$connections" --duration "${1}s" --json - |
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
echo "median ratio luge-load / wrk, $placement: $median"
awk -v median="$median" -v placement="$placement" \
    'BEGIN { exit !(median >= 0.9 && (median <= 1.1 || placement == "shared")) }'
