#!/usr/bin/env bash
# Processes on two machines, as far as one can show it: ci/hosts.sh
#
# Two network namespaces stand for the machines, with an address each and a virtual cable between them: MPI finds no
# memory to share, and sends everything through TCP. Needs Linux, root, `ip`, and a Python (PYTHON=...) with
# xpnn[mpi] and MPICH. What is run is what tests/test_distributed.py runs on one machine.
set -euo pipefail
# shellcheck source=ci/environment.sh
. "$(dirname "$0")/environment.sh"

[ $# -eq 0 ] || fail "expects no arguments"
[ "$(id -u)" = 0 ] || fail "needs root, to make network namespaces"
cd "$root"
python=${PYTHON:-python3}
first=10.213.0.1 second=10.213.0.2
work=$(mktemp -d)
cleanup() {
    ip netns del xpnn-first 2>/dev/null || true
    ip netns del xpnn-second 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

ip netns add xpnn-first
ip netns add xpnn-second
ip link add xpnn0 netns xpnn-first type veth peer name xpnn0 netns xpnn-second
for place in first second; do
    ip -n "xpnn-$place" addr add "${!place}/24" dev xpnn0
    ip -n "xpnn-$place" link set xpnn0 up
    ip -n "xpnn-$place" link set lo up
done

# What MPICH's launcher uses in the place of ssh: HOST COMMAND...
cat >"$work/ssh" <<END
#!/bin/sh
while [ "\${1#-}" != "\$1" ]; do shift; done
case \$1 in $first) place=xpnn-first ;; *) place=xpnn-second ;; esac
shift
exec ip netns exec \$place sh -c "\$*"
END
chmod +x "$work/ssh"
export HYDRA_LAUNCHER=ssh HYDRA_LAUNCHER_EXEC="$work/ssh" HYDRA_IFACE=xpnn0
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH="$root"

launch() { ip netns exec xpnn-first timeout 300 "$python" -m xpnn launch --hosts "$first,$second" "$@"; }

launch -n 4 tests/ranks.py collectives
launch -n 2 tests/ranks.py gradients
launch -n 3 tests/ranks.py zero_redundancy
timeout 300 "$python" tests/ranks_training.py "$work/alone" 3 >"$work/alone.json"
launch -n 2 --restarts 2 tests/ranks_training.py "$work/cut" 3 often kill 1 9 | tee "$work/said.txt"
"$python" - "$work" <<'END'
import json, sys
from pathlib import Path

folder = Path(sys.argv[1])
alone = json.loads((folder / "alone.json").read_text())
cut = json.loads((folder / "said.txt").read_text().splitlines()[-1])
largest = max(abs(a / b - 1) for a, b in zip(cut["sums"], alone["sums"]))
assert largest < 1e-8, largest
print(f"a run on two hosts, killed twice, ends as one of a single process does, to {largest:.0e}")
END
cat >"$work/rate.py" <<'END'
import time

import xpnn
from xpnn import distributed

group = distributed.init()
for count, repeats in ((1, 1000), (4_000_000, 10)):
    x = xpnn.ones(count)
    distributed.all_reduce(x)
    start = time.perf_counter()
    for _ in range(repeats):
        distributed.all_reduce(x)
    seconds = (time.perf_counter() - start) / repeats
    if group.rank == 0:
        print(f"all_reduce of {count * 4:,} bytes between two hosts: {seconds * 1e6:,.0f} us")
END
launch -n 2 "$work/rate.py"
