#!/usr/bin/env bash
# What only a machine with a GPU can tell: ci/gpu.sh FOLDER
#
# Needs CUDA; CuPy, pytest and the rest are installed where they are missing. Runs the test suite on CuPy, the
# comparison of training on the GPU with training on the CPU, and the benchmark, and leaves a text file of each
# in FOLDER, with a line a part in FOLDER/summary.txt. Ends within nine minutes: every part has its time.
set -uo pipefail
shopt -s inherit_errexit
# shellcheck source=ci/environment.sh
. "$(dirname "$0")/environment.sh"

[ $# -eq 1 ] || fail "expects the folder for the results: ci/gpu.sh FOLDER"
mkdir -p "$1" || exit 1
out=$(cd "$1" && pwd)
cd "$root" || exit 1
python=${PYTHON:-python3}
failed=0
: >"$out/summary.txt"

# part NAME SECONDS COMMAND...: runs the command for at most so long, with its output in NAME.txt
part() {
    local name=$1 limit=$2 start=$SECONDS status=0
    shift 2
    timeout --kill-after=5 "$limit" "$@" >"$out/$name.txt" 2>&1 || status=$?
    case $status in
        0) status=passed ;;
        124 | 137) status="ran out of its $limit s" ;;
        *) status="failed with status $status" ;;
    esac
    [ "$status" = passed ] || failed=1
    echo "$name: $status after $((SECONDS - start)) s: $(tail -n 1 "$out/$name.txt")" | tee -a "$out/summary.txt"
}

# The CuPy wheel is the one for the driver's version of CUDA.
requirements() {
    "$python" -c 'import array_api_compat, hypothesis, pytest' 2>/dev/null || echo ".[test]"
    "$python" -c 'import cupy' 2>/dev/null && return
    if nvidia-smi | grep -q 'CUDA Version: 1[3-9]'; then echo ".[cuda13]"; else echo ".[cuda12]"; fi
}

mapfile -t missing < <(requirements)
if [ "${#missing[@]}" -gt 0 ]; then
    part install 90 "$python" -m pip install --editable "${missing[@]}"
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
part machine 20 sh -c "nvidia-smi; '$python' -c 'import xpnn; xpnn.show_versions()'"
part agreement 90 "$python" -m pytest --backend cupy tests/test_end_to_end.py
part bench 90 "$python" ci/bench.py --quick --workloads mlp,lenet,resnet20 \
    --competitors numpy,cupy,pytorch,pytorch:cuda --json "$out/bench.json"
part tests 240 "$python" -m pytest --backend cupy --durations=15 --ignore tests/test_end_to_end.py
exit "$failed"
