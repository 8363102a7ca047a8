#!/usr/bin/env bash
# A sample of the tests on dpnp, which computes on the CPU by Intel's OpenCL driver: ci/dpnp.sh FOLDER
set -uo pipefail
shopt -s inherit_errexit
library=dpnp
# shellcheck source=ci/sample.sh
. "$(dirname "$0")/sample.sh"

[ $# -eq 1 ] || fail "expects a folder for the environment: ci/dpnp.sh FOLDER"
make_environment_of 8 "$1" dpnp==0.20.0 dpctl==0.22.1 intel-opencl-rt==2026.2.0
export OCL_ICD_FILENAMES="$environment/lib/libintelocl.so"
timeout --kill-after=5 60 "$python" - >/dev/null 2>&1 <<'END' || skip "it does not compute here"
import dpnp, numpy

values = numpy.random.default_rng(0).normal(size=(64, 32)).astype("float32")
there = dpnp.asarray(values)
for name in ("exp", "sum", "sort", "cumsum"):
    numpy.testing.assert_allclose(getattr(dpnp, name)(there).asnumpy(), getattr(numpy, name)(values), rtol=1e-3)
numpy.testing.assert_allclose((there @ there.T).asnumpy(), values @ values.T, rtol=1e-3, atol=1e-4)
END

run_sample tests/test_dpnp.py tests/test_end_to_end.py tests/test_cases.py \
    -k "not test_cases or test_forward or test_gradient or test_half"
