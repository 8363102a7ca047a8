#!/usr/bin/env bash
# Runs the tests: ci/test.sh [options of pytest]; --slow for those that take longer.
set -euo pipefail
# shellcheck source=ci/environment.sh
. "$(dirname "$0")/environment.sh"

enter_environment test
cd "$root"
exec python -m pytest "$@"
