#!/usr/bin/env bash
# A sample of the tests on MLX, on the CPU: ci/mlx.sh FOLDER
set -uo pipefail
shopt -s inherit_errexit
library=mlx
# shellcheck source=ci/sample.sh
. "$(dirname "$0")/sample.sh"

[ $# -eq 1 ] || fail "expects a folder for the environment: ci/mlx.sh FOLDER"
make_environment_of 2 "$1" "mlx[cpu]==0.32.4" numpy
timeout --kill-after=5 60 "$python" -c 'import mlx.core as mx; assert (mx.ones(3) + 1).tolist() == [2, 2, 2]' \
    >/dev/null 2>&1 || skip "it does not compute here"

run_sample tests/test_mlx.py tests/test_hosts.py tests/test_end_to_end.py tests/test_cases.py \
    -k "not test_cases or test_forward or test_gradient"
