#!/usr/bin/env bash
# Trains a network on real handwritten digits: ci/demo.sh [options of `xpnn train digits`]
set -euo pipefail
# shellcheck source=ci/environment.sh
. "$(dirname "$0")/environment.sh"

enter_environment train
exec xpnn train digits --overwrite "$@"
