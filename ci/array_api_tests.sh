#!/usr/bin/env bash
# The Array API standard's own tests against xpnn.xp and the library beneath it:
#
#     git clone --recurse-submodules https://github.com/data-apis/array-api-tests FOLDER
#     ci/array_api_tests.sh FOLDER [BACKEND]
#
# Both are given the same examples. What fails on the library too is the library's; what fails on xpnn.xp alone is
# listed, and makes the script fail. Operators of two Tensors are left out, as they promote as PyTorch's do.
# BACKEND is numpy (the default), torch or array_api_strict.
set -uo pipefail
export LC_ALL=C
shopt -s inherit_errexit
# shellcheck source=ci/environment.sh
. "$(dirname "$0")/environment.sh"

[ $# -eq 1 ] || [ $# -eq 2 ] || fail "expects a checkout of the tests: ci/array_api_tests.sh FOLDER [BACKEND]"
[ -d "$1/array_api_tests" ] || fail "finds no array-api-tests in $1"
[ -d "$1/array-api/spec" ] || fail "needs the standard, too: git -C $1 submodule update --init"
backend=${2:-numpy}
case $backend in
numpy) library=array_api_compat.numpy packages=() ;;
torch) library=array_api_compat.torch packages=(torch) ;;
array_api_strict) library=array_api_strict packages=(array-api-strict) ;;
*) fail "knows numpy, torch and array_api_strict, not '$backend'" ;;
esac
suite=$(cd "$1" && pwd)
python=$(find_python) || fail "no Python 3.11 or newer"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/environment" || exit 1
python=$work/environment/bin/python
"$python" -m pip install --quiet --disable-pip-version-check --requirement "$suite/requirements.txt" pytest-xdist \
    numpy array-api-compat "${packages[@]}" || exit 1

# The suite draws its special cases from Python's own generator, and writes no list of what failed.
cat >"$work/same_examples.py" <<'END'
import os, random, zlib

outcomes = {"passed": set(), "failed": set(), "skipped": set()}


def pytest_make_parametrize_id(config, val, argname):
    return getattr(val, "name", None) or val.__name__ if argname == "dtype" else None


def pytest_runtest_setup(item):
    random.seed(zlib.crc32(item.nodeid.encode()))


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        outcomes[report.outcome].add(report.nodeid)


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        with open(os.environ["RESULT"], "w") as file:
            print(*sorted(outcomes["failed"]), sep="\n", file=file)
        print()
        print(os.environ["SUBJECT"] + ":", *(f"{len(tests)} {name}" for name, tests in outcomes.items()))
END

# run NAME PYTHON: the suite on the `xp` that these lines of Python make; what fails is left in $work/NAME
run() {
    (cd "$suite" && SUBJECT=$1 RESULT="$work/$1" PYTHONPATH="$work:$root" ARRAY_API_TESTS_MODULE="exec('$2')" \
        ARRAY_API_TESTS_VERSION=2024.12 "$python" -m pytest -q -n 2 -p same_examples -p no:cacheprovider --tb=no \
        --disable-warnings --hypothesis-derandomize --hypothesis-disable-deadline array_api_tests || [ $? -eq 1 ]) |
        grep "^$1: " || fail "the suite did not run on $1"
}

run xpnn "import xpnn; xpnn.set_backend(\"$backend\"); xp = xpnn.xp"
run "$library" "import $library as xp"
# Of two Tensors of different types the one without axes gives way, as in PyTorch; to the standard both count.
alone=$(comm -23 "$work/xpnn" "$work/$library" | grep -v '\[__[a-z]*__(x1, x2)\]$')
[ -z "$alone" ] || fail "of these, on xpnn alone:
$alone"
echo "none fails on xpnn alone"
