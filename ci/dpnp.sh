#!/usr/bin/env bash
# A sample of the tests on dpnp, which computes on the CPU by Intel's OpenCL driver: ci/dpnp.sh FOLDER
#
# The environment is made in FOLDER and removed at the end. Where it cannot be made, or finds no device, a line
# says so and the script succeeds: nothing of that is a fault of xpnn.
set -uo pipefail
shopt -s inherit_errexit
# shellcheck source=ci/environment.sh
. "$(dirname "$0")/environment.sh"

[ $# -eq 1 ] || fail "expects a folder for the environment: ci/dpnp.sh FOLDER"
mkdir -p "$1" || exit 1
environment="$(cd "$1" && pwd)/dpnp"
trap 'rm -rf "$environment"' EXIT
cd "$root" || exit 1

skip() {
    echo "dpnp: skipped: $1"
    exit 0
}

room=$(df --output=avail -B 1G "$1" 2>/dev/null | tail -n 1)
[ "${room:-0}" -ge 8 ] || skip "its environment takes 3 GB, there are ${room:-0} GB"
python=$(find_python) || skip "no Python 3.11 or newer"
"$python" -m venv "$environment" || skip "no environment can be made"
timeout --kill-after=5 240 "$environment/bin/python" -m pip install --quiet --retries 1 --disable-pip-version-check \
    dpnp==0.20.0 dpctl==0.22.1 intel-opencl-rt==2026.2.0 array-api-compat pytest pytest-xdist \
    >/dev/null 2>&1 || skip "it cannot be installed here"

export OCL_ICD_FILENAMES="$environment/lib/libintelocl.so" PYTHONPATH="$root"
timeout --kill-after=5 60 "$environment/bin/python" - >/dev/null 2>&1 <<'END' || skip "it does not compute here"
import dpnp, numpy

values = numpy.random.default_rng(0).normal(size=(64, 32)).astype("float32")
there = dpnp.asarray(values)
for name in ("exp", "sum", "sort", "cumsum"):
    numpy.testing.assert_allclose(getattr(dpnp, name)(there).asnumpy(), getattr(numpy, name)(values), rtol=1e-3)
numpy.testing.assert_allclose((there @ there.T).asnumpy(), values @ values.T, rtol=1e-3, atol=1e-4)
END

# What fails once and then no more is a matter of the driver, as is what ends without a verdict of pytest's.
run=("$environment/bin/python" -m pytest --backend dpnp -q -n 2 -o cache_dir="$environment/cache" --tb=short)
status=0
timeout --kill-after=5 240 "${run[@]}" tests/test_dpnp.py tests/test_end_to_end.py tests/test_cases.py \
    -k "not test_cases or test_forward or test_gradient or test_half" || status=$?
[ "$status" -le 1 ] || skip "the tests did not come to their end (status $status)"
[ "$status" -eq 1 ] || exit 0
status=0
timeout --kill-after=5 100 "${run[@]}" --last-failed || status=$?
[ "$status" -ne 1 ]
