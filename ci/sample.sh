# Read by dpnp.sh and mlx.sh: a sample of the tests on a library that has an environment of its own.
# shellcheck shell=bash
#
# The environment is made in a folder and removed at the end. Where it cannot be made, or does not compute, a line
# says so and the script succeeds: nothing of that is a fault of xpnn.

# shellcheck source=ci/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

skip() {
    echo "$library: skipped: $1"
    exit 0
}

# make_environment_of GIGABYTES FOLDER PACKAGE...: an environment in the folder; its Python is $python
make_environment_of() {
    local gigabytes=$1 folder=$2 room found
    shift 2
    mkdir -p "$folder" || exit 1
    environment="$(cd "$folder" && pwd)/$library"
    trap 'rm -rf "$environment"' EXIT
    cd "$root" || exit 1
    room=$(df --output=avail -B 1G "$folder" 2>/dev/null | tail -n 1)
    [ "${room:-0}" -ge "$gigabytes" ] || skip "its environment needs $gigabytes GB, there are ${room:-0} GB"
    found=$(find_python) || skip "no Python 3.11 or newer"
    "$found" -m venv "$environment" || skip "no environment can be made"
    python=$environment/bin/python
    timeout --kill-after=5 180 "$python" -m pip install --quiet --retries 1 --disable-pip-version-check \
        "$@" array-api-compat pytest pytest-xdist >/dev/null 2>&1 || skip "it cannot be installed here"
    export PYTHONPATH="$root"
}

# What fails once and then no more is a matter of the driver, as is what ends without a verdict of pytest's.
run_sample() {
    local run=("$python" -m pytest --backend "$library" -q -n 2 -o cache_dir="$environment/cache" --tb=short)
    local status=0
    timeout --kill-after=5 $((SECONDS < 270 ? 300 - SECONDS : 30)) "${run[@]}" "$@" || status=$?
    [ "$status" -le 1 ] || skip "the tests did not come to their end (status $status)"
    [ "$status" -eq 1 ] || exit 0
    status=0
    timeout --kill-after=5 100 "${run[@]}" --last-failed || status=$?
    [ "$status" -ne 1 ]
}
