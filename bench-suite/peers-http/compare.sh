#!/usr/bin/env bash
# The scenario `hello` of luge-load against `luge serve` and every other server that this machine has, in turn.
#
#   bench-suite/peers-http/compare.sh [ROUNDS [SECONDS [SCALE]]]      5 rounds, 10 s each, 5 times the scenario's 1,000 a second
#
# All servers run from the beginning on one core, the generator on another where there is one, and each has one process or thread that
# serves. In each round every server is asked once, and another begins each round; the table has medians over the rounds, and the
# median of the ratios to luge of the same round. A server that is not there is left out with a notice:
#
#   nginx      nginx.conf, a constant answer             node   node.mjs, http.createServer
#   cgi        cgi.py, a process for each request; it is asked 20 times a second, as it cannot keep up
#   wasmtime   `wasmtime serve` with the component that COMPONENT names; there is none in the tree, see docs/benchmarks.md
#
# LUGE and LUGE_LOAD name binaries that exist already; otherwise release builds are made. Everything listens on loopback, on ports that
# were free; only what was started here is ended.
set -euo pipefail
export LC_ALL=C
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$folder/../.."

rounds=${1:-5}
seconds=${2:-10}
scale=${3:-5}

if [[ -z ${LUGE:-} || -z ${LUGE_LOAD:-} ]]; then
    cargo build --release --locked --bin luge --bin luge-load
    target=$(cargo metadata --format-version 1 --no-deps --locked | grep -o '"target_directory":"[^"]*"' | cut -d'"' -f4)
    LUGE=${LUGE:-$target/release/luge}
    LUGE_LOAD=${LUGE_LOAD:-$target/release/luge-load}
fi

of_server=()
of_generator=()
spin=()
if [[ $(nproc) -ge 2 ]] && command -v taskset >/dev/null; then
    # The first two cores that this process may use.
    read -r first second < <(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' |
        awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }' | head -n 2 | xargs)
    of_server=(taskset -c "$first")
    of_generator=(taskset -c "$second")
    # It has a core to itself: it need not sleep, and wake up late, before each start.
    spin=(--spin)
fi

scratch=$(mktemp -d)
started=()
end() {
    local pid
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${started[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    rm -r "$scratch"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

names=()
declare -A url pid scale_of
notice() { echo "notice: $*" >&2; }

# start NAME COMMAND...: the server prints its URL within 20 s, perhaps behind other words.
start() {
    local name=$1
    shift
    "${of_server[@]}" "$@" >"$scratch/$name.out" 2>"$scratch/$name.err" &
    pid[$name]=$! # taskset becomes what it starts
    started+=("$!")
    for _ in $(seq 200); do
        url[$name]=$(grep -o -m 1 'http://127\.0\.0\.1:[0-9]*' "$scratch/$name.out" 2>/dev/null || true)
        [[ -z ${url[$name]} ]] || break
        kill -0 "${pid[$name]}" 2>/dev/null || break
        sleep 0.1
    done
    ready "$name"
}

# start_at NAME PORT COMMAND...: for a server that cannot choose its port.
start_at() {
    local name=$1 port=$2
    shift 2
    "${of_server[@]}" "$@" >"$scratch/$name.out" 2>"$scratch/$name.err" &
    pid[$name]=$!
    started+=("$!")
    url[$name]=
    for _ in $(seq 200); do
        kill -0 "${pid[$name]}" 2>/dev/null || break
        if listens "$port"; then
            url[$name]=http://127.0.0.1:$port
            break
        fi
        sleep 0.1
    done
    ready "$name"
}

ready() {
    local name=$1
    if [[ -z ${url[$name]} ]]; then
        notice "$name did not start: $(tail -n 1 "$scratch/$name.err")"
        return
    fi
    names+=("$name")
    scale_of[$name]=$scale
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the ports that the system gives to others.
free_port() {
    local port
    for _ in $(seq 50); do
        port=$((20000 + RANDOM % 10000))
        if ! listens "$port"; then
            echo "$port"
            return
        fi
    done
    return 1
}

start luge "$LUGE" serve --cores 1 --listen 127.0.0.1:0 --admin 127.0.0.1:0 --log warn
[[ ${#names[@]} -eq 1 ]] || exit 1

if command -v nginx >/dev/null; then
    port=$(free_port)
    mkdir "$scratch/nginx"
    chmod 755 "$scratch"
    sed "s/@PORT@/$port/" "$folder/nginx.conf" >"$scratch/nginx/nginx.conf"
    start_at nginx "$port" nginx -p "$scratch/nginx" -c nginx.conf -e error.log
    # The first process, which listens first, only watches the one that serves.
    for _ in $(seq 50); do
        # The file has no end of line, which `read` takes for a failure.
        read -r worker _ <"/proc/${pid[nginx]}/task/${pid[nginx]}/children" || true
        if [[ -n $worker ]]; then
            pid[nginx]=$worker
            break
        fi
        sleep 0.1
    done
else
    notice "no nginx"
fi

if command -v node >/dev/null; then
    start node node "$folder/node.mjs"
else
    notice "no node"
fi

if python3 -W ignore -c 'from http.server import CGIHTTPRequestHandler' 2>/dev/null; then
    start cgi python3 -W ignore "$folder/cgi.py"
    scale_of[cgi]=0.02
else
    notice "no python3 with a CGI server"
fi

if command -v wasmtime >/dev/null && [[ -n ${COMPONENT:-} ]]; then
    port=$(free_port)
    start_at wasmtime "$port" wasmtime serve --addr "127.0.0.1:$port" "$COMPONENT"
else
    notice "no wasmtime, or COMPONENT names no component"
fi

# field NAME FILE: the first figure of that name, which is the class's, or the server's where only that has it.
field() { awk -F'[:,]' -v key="^ *\"$1\"$" '$1 ~ key { gsub(/ /, "", $2); print $2; exit }' "$2"; }

# ask NAME SECONDS: one line: name, p50, p99 and CPU time an answer in microseconds, percentage of requests without a good answer,
# and whether the latencies are to be believed: `late` where the generator's own lateness is more than half of them.
ask() {
    local name=$1 report=$scratch/$1.json status=0 cpu trust=ok
    "${of_generator[@]}" "$LUGE_LOAD" run hello --url "${url[$name]}" --scale "${scale_of[$name]}" --duration "$2s" "${spin[@]}" \
        --pid "${pid[$name]}" --json - >"$report" || status=$?
    case $status in
        0) ;;
        3) trust=late ;;
        *) return "$status" ;;
    esac
    cpu=$(field cpu_ns_per_answer "$report")
    # Python's own time is not that of the processes that it starts.
    [[ $name != cgi ]] || cpu=-
    awk -v name="$name" -v p50="$(field p50_ns "$report")" -v p99="$(field p99_ns "$report")" -v cpu="$cpu" \
        -v scheduled="$(field scheduled "$report")" -v good="$(field good "$report")" -v trust="$trust" 'BEGIN {
            printf "%s %.1f %.1f %s %.2f %s\n", name, p50 / 1e3, p99 / 1e3, cpu == "-" ? cpu : sprintf("%.1f", cpu / 1e3),
                (scheduled - good) * 100 / (scheduled > 0 ? scheduled : 1), trust }'
}

show() { printf '%-7s%-10s%10s%10s%12s%10s%11s\n' "$@"; }

for name in "${names[@]}"; do
    ask "$name" 1 >/dev/null
done
show round server 'p50 us' 'p99 us' 'CPU us/ans.' 'failed %' generator
for round in $(seq "$rounds"); do
    for turn in $(seq 0 $((${#names[@]} - 1))); do
        name=${names[$(((turn + round - 1) % ${#names[@]}))]}
        line=$(ask "$name" "$seconds")
        # shellcheck disable=SC2086 # six words
        show "$round" $line
        echo "$round $line" >>"$scratch/lines"
    done
done

printf '\nmedians of %s rounds; ratios to luge, round by round\n' "$rounds"
printf '%-10s%10s%10s%12s%12s%12s%14s\n' server 'p50 us' 'p99 us' 'CPU us/ans.' 'p50 ratio' 'CPU ratio' 'rounds late'
awk '
    function median(list, n,    i, j, t) {
        if (!n) return "-"
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
        return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    function column(name, field, is_ratio,    list, n, r, own, base) {
        for (r = 1; r <= rounds; r++) {
            own = value[r, name, field]; base = value[r, "luge", field]
            if (own == "-" || own == "" || is_ratio && base + 0 == 0) continue
            list[++n] = is_ratio ? own / base : own + 0
        }
        r = median(list, n)
        return r == "-" ? r : sprintf(is_ratio ? "%.2f" : "%.1f", r)
    }
    { rounds = $1 > rounds ? $1 : rounds; if (!seen[$2]++) order[++servers] = $2
      late[$2] += $7 == "late"
      for (f = 3; f <= 5; f++) value[$1, $2, f] = $f }
    END { for (s = 1; s <= servers; s++) { name = order[s]
        printf "%-10s%10s%10s%12s%12s%12s%14d\n", name, column(name, 3, 0), column(name, 4, 0), column(name, 5, 0),
            column(name, 3, 1), column(name, 5, 1), late[name] } }' "$scratch/lines"
if grep -q ' late$' "$scratch/lines"; then
    echo 'late: more than half of the latency is the generator'"'"'s own lateness. Such latencies say nothing; CPU time stands.'
fi
