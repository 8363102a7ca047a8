#!/usr/bin/env bash
# What only a machine with a GPU can tell: ci/gpu.sh [--part NAME] [--wheels DIR] [--results DIR] [--dry-run]
#
# Needs CUDA's driver and Python 3.11 or newer. Packages that are missing are installed into a folder that goes
# at the end: from DIR, where nothing can be downloaded, as `pip download -d DIR array-api-compat ...` fills it.
# Each part has its time, and all of them end within nine minutes. They leave results.txt and results.json in
# ci/results/, in a folder with the name of the card, or in DIR. With --part, one of them alone:
#
#   agreement     every kernel, and the gradients of networks, against NumPy in float64
#   suite         a sample of the tests on CuPy
#   trajectories  twenty steps of the bench's networks, beside NumPy's
#   replay        the same bits at each run, and memory that does not grow
#   graphs        steps as CUDA graphs beside steps as they are
#   sanitizer     compute-sanitizer over the kernels, where it is installed
#   speed         a step against PyTorch's, eager and compiled
#   ceilings      bandwidth, products, launches
#
# --dry-run takes the stand-in for CuPy that lies beside the tests, needs no GPU, and is as short as can be.
set -uo pipefail
shopt -s inherit_errexit
# shellcheck source=ci/environment.sh
. "$(dirname "$0")/environment.sh"

limits="agreement:70 suite:90 trajectories:60 replay:40 graphs:40 sanitizer:70 speed:90 ceilings:20"
python=${PYTHON:-python3}
chosen="" wheels="" out="" dry=""
while [ $# -gt 0 ]; do
    case $1 in
        --part | --wheels | --results)
            [ $# -gt 1 ] || fail "$1 needs a word behind it"
            case $1 in --part) chosen=$2 ;; --wheels) wheels=$2 ;; --results) out=$2 ;; esac
            shift 2
            ;;
        --dry-run)
            dry=--dry-run
            shift
            ;;
        *) fail "does not know $1: ci/gpu.sh [--part NAME] [--wheels DIR] [--results DIR] [--dry-run]" ;;
    esac
done
[[ -z $chosen || " $limits" == *" $chosen:"* ]] || fail "has no part $chosen, only$(sed 's/:[0-9]*/,/g' <<<" $limits")"
[ -z "$wheels" ] || [ -d "$wheels" ] || fail "finds no folder $wheels"
check_version "$python" || fail "needs Python 3.11 or newer: PYTHON=/path/to/python $0"

if [ -n "$dry" ]; then  # on a machine that has other things to do
    limits=${limits//:/:1}  # 170 s instead of 70
    export XPNN_NUMBA=0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

card() {
    local name
    name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1 | tr -cs '[:alnum:]\n' -)
    echo "${name:-unknown}"
}

# The packages that parts need and Python does not find. CuPy's is the one for the driver's version of CUDA.
missing() {
    local pair
    for pair in numpy:numpy array_api_compat:array-api-compat pytest:pytest hypothesis:hypothesis; do
        "$python" -c "import ${pair%%:*}" 2>/dev/null || echo "${pair##*:}"
    done
    [ -n "$dry" ] || "$python" -c 'import cupy' 2>/dev/null && return
    if nvidia-smi | grep -q 'CUDA Version: 1[3-9]'; then echo cupy-cuda13x; else echo cupy-cuda12x; fi
}

# part NAME SECONDS COMMAND...: runs the command for at most so long
part() {
    local name=$1 limit=$2 start=$SECONDS status=0
    shift 2
    echo "== $name"
    timeout --kill-after=5 "$limit" "$@" 2>&1 || status=$?
    case $status in
        0) status=passed ;;
        124 | 137) status="ran out of its $limit s" ;;
        *) status="failed with status $status" ;;
    esac
    [ "$status" = passed ] || failed=1
    echo "$name: $status after $((SECONDS - start)) s" | tee -a "$work/summary"
}

[ -n "$out" ] || out=$([ -n "$dry" ] && echo "$work/results" || echo "$root/ci/results/$(card)")
mkdir -p "$out" || exit 1
[ -n "$chosen" ] || rm -f "$out/results.json"

run() {
    local packages name
    mapfile -t packages < <(missing)
    if [ "${#packages[@]}" -gt 0 ]; then
        part install 40 "$python" -m pip install --quiet --disable-pip-version-check --target "$work/site" \
            ${wheels:+--no-index --find-links "$wheels"} "${packages[@]}"
    fi
    export PYTHONPATH="$root:$work/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
    if [ -z "$dry" ]; then
        part machine 15 sh -c "nvidia-smi; '$python' -c 'import xpnn; xpnn.show_versions()'"
    fi
    for name in $limits; do
        if [ -z "$chosen" ] || [ "$chosen" = "${name%%:*}" ]; then
            part "${name%%:*}" "${name##*:}" "$python" "$root/ci/gpu.py" "${name%%:*}" --results "$out" \
                --seconds $((${name##*:} - 5)) $dry
        fi
    done
    echo "== summary"
    cat "$work/summary"
    return "$failed"
}

run | tee "$out/results.txt"
