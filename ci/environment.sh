# Read by the scripts beside it: a virtual environment with xpnn in it, made at the first run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# enter_environment EXTRA: enters .venv, unless an environment is active, and installs xpnn[EXTRA] in it.
enter_environment() {
    if [ -z "${VIRTUAL_ENV:-}" ]; then
        [ -x "$root/.venv/bin/python" ] || make_environment
        # shellcheck disable=SC1091
        . "$root/.venv/bin/activate"
    fi
    check_version python || fail "the active environment has $(python --version 2>&1), xpnn needs Python 3.11 or newer"
    install "$1"
}

make_environment() {
    local python
    python=$(find_python) || fail "no Python 3.11 or newer found; install one, or name it: PYTHON=/path/to/python $0"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments; on Debian and Ubuntu: sudo apt install python3-venv"
    echo "Making a virtual environment in .venv with $("$python" --version)"
    "$python" -m venv "$root/.venv" || { rm -rf "$root/.venv"; fail "the virtual environment could not be made"; }
}

find_python() {
    local python
    for python in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if check_version "$python"; then
            echo "$python"
            return
        fi
    done
    return 1
}

check_version() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# install EXTRA: skipped if pyproject.toml is what it was the last time. An extra may contain another.
install() {
    local stamp="$VIRTUAL_ENV/.xpnn-$1" state
    state="$root $(cksum <"$root/pyproject.toml")"
    if [ "$(cat "$stamp" 2>/dev/null)" != "$state" ]; then
        echo "Installing xpnn[$1] in $VIRTUAL_ENV"
        python -m pip install --quiet --disable-pip-version-check --editable "${root}[$1]" ||
            fail "the installation failed; is there a connection to the package index?"
        echo "$state" >"$stamp"
    fi
}

fail() {
    echo "$(basename "$0"): $1" >&2
    exit 1
}
