"""What was measured as numbers for JSON, and as Markdown tables."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.competitors import DISTURBED, REFERENCE, label
from benchmarks.frameworks import PERTURBATION, THREADS
from benchmarks.kernels import KERNELS
from benchmarks.layers import LAYERS
from benchmarks.models import NETS
from benchmarks.process import Worker
from benchmarks.processor import processor
from benchmarks.sweep import SIZES, SWEEPS
from benchmarks.workloads import WORKLOADS

EAGER = (REFERENCE, "pytorch-channels-last")
TOLERANCE = 1e-4  # of a loss: what fast convolutions cost
DRIFT = 10  # times what a disturbed PyTorch was off so far is allowed, if that is more
OTHER_EPSILON = {"scikit-learn", "thinc", "dezero"}  # Adam divides by another epsilon there, at first
OTHER_EPSILON_FACTOR = 10
NORM_TOLERANCE = 5e-3  # of a kernel's results, whose masks are random in the row of dropout
ENOUGH = 1.1  # times as long without a kernel file somewhere: what the file has to gain
SLOW = 1.2  # of PyTorch's time: what no size of a sweep should take
SLOW_NET = 1.5  # and no network; half of them should take less than PyTorch
SLOW_LAYER = 2.0  # and no layer; half of them should take less than 1.1
NET_TOLERANCE = 2e-2  # of the first losses of a network: batch norm over few cells makes rounding larger
Row = dict[str, Any]


# Numbers


def workload_rows(workload: str, field: Sequence[Worker], disturbed: list[float] | None) -> Iterator[Row]:
    """A row for each competitor that took part.

    Args:
        disturbed: the losses of PyTorch from slightly different weights.
    """
    rows = {worker.name: {"workload": workload, **summarise(worker)} for worker in field}
    best = fastest([rows[name] for name in EAGER if name in rows])
    reference = rows.get(REFERENCE)
    for row in rows.values():
        if best is not None:
            row["ratio"] = row["median_ms"] / best["median_ms"]
            row["memory_ratio"] = row["peak_mb"] / best["peak_mb"]
        if reference is not None:
            allowed = differences(disturbed or [], reference["losses"])
            factor = OTHER_EPSILON_FACTOR if row["competitor"] in OTHER_EPSILON else 1
            row |= judged(differences(row["losses"], reference["losses"]), allowed, factor)
        yield row


def fastest(rows: list[Row]) -> Row | None:
    return min(rows, key=lambda row: row["median_ms"], default=None)


def kernel_rows(kernel: str, field: Sequence[Worker]) -> Iterator[Row]:
    """As `workload_rows`; results are compared by their norms."""
    rows = {worker.name: {"kernel": kernel, **summarise(worker)} for worker in field}
    theirs = [row["median_ms"] for name, row in rows.items() if name.startswith(REFERENCE)]
    for row in rows.values():
        if theirs:
            row["ratio"] = row["median_ms"] / min(theirs)
        if REFERENCE in rows:
            pairs = zip(row["check"], rows[REFERENCE]["check"], strict=True)
            row["difference"] = max(abs(a - b) / max(abs(b), 1e-12) for a, b in pairs)
            row["wrong"] = not row["difference"] <= NORM_TOLERANCE
        yield row


def model_rows(net: str, field: Sequence[Worker]) -> Iterator[Row]:
    """As `workload_rows`; the losses of networks that draw random numbers are not compared."""
    rows = {worker.name: {"net": net, **summarise(worker)} for worker in field}
    best = fastest([rows[name] for name in EAGER if name in rows])
    for row in rows.values():
        if best is not None:
            row["ratio"] = row["median_ms"] / best["median_ms"]
        if REFERENCE in rows and row["losses"]:
            row["difference"] = max(differences(row["losses"], rows[REFERENCE]["losses"]))
            row["wrong"] = not row["difference"] <= NET_TOLERANCE
        yield row


def summarise(worker: Worker) -> Row:
    """The median of the samples' medians and the fastest step; of all samples if none was undisturbed."""
    samples = worker.kept() or worker.samples
    return {
        "competitor": worker.name,
        **worker.ready,
        "median_ms": 1e3 * statistics.median(statistics.median(s["seconds"]) for s in samples),
        "min_ms": 1e3 * min(min(s["seconds"]) for s in samples),
        "peak_mb": max(s["peak_mb"] for s in worker.samples),
        "samples": len(worker.samples),
        "kept": len(worker.kept()),
        "samples_ms": [1e3 * statistics.median(s["seconds"]) for s in worker.samples],
        "others": [s["others"] for s in worker.samples],
    }


def differences(losses: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Relative differences; to a hundredth of the first loss, where a net that has learnt all has none."""
    floor = abs(reference[0]) / 100 if reference else 0.0
    return [abs(a - b) / max(abs(b), floor) for a, b in zip(losses, reference)]


def judged(found: list[float], allowed: list[float], factor: float = 1) -> Row:
    """The largest difference, what is allowed at the end, and whether a loss is wrong (NaN is)."""
    drift = [max(allowed[: i + 1], default=0.0) for i in range(len(found))]
    tolerances = [factor * max(TOLERANCE, DRIFT * x) for x in drift]
    fine = all(x <= tolerance for x, tolerance in zip(found, tolerances))
    return {"difference": max(found), "tolerance": tolerances[-1], "wrong": not fine}


def machine() -> Row:
    """The processor, the system and the versions of what is installed."""
    packages = (
        "xpnn", "numpy", "numba", "torch", "jax", "cupy-cuda12x", "cupy-cuda13x", "scikit-learn", "thinc",
        "mygrad", "dezero",
    )  # fmt: skip
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


# Markdown


def about(machine: Row) -> str:
    """The line above the tables."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, {versions}. Medians of one step, float32."
    )


def workloads_tables(rows: list[Row]) -> list[str]:
    """The targets, everything that was measured in training and in inference, and a word on the losses."""
    training = [row for row in rows if WORKLOADS[row["workload"]].optimizer is not None]
    inference = [row for row in rows if WORKLOADS[row["workload"]].optimizer is None]
    tables = [workloads_table(part) for part in (training, inference) if part]
    return [targets_table(rows), *tables, losses_explained(rows)]


def targets_table(rows: list[Row]) -> str:
    """Steps and memory as shares of PyTorch's, each beside its target."""
    lines = [
        "| workload | NumPy | target | with Numba | target | peak memory | target |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    found = {(row["workload"], row["competitor"]): row for row in rows}
    for name in dict.fromkeys(row["workload"] for row in rows):
        targets = WORKLOADS[name].targets
        cells = []
        for competitor in ("numpy", "numba"):
            ratio = found.get((name, competitor), {}).get("ratio")
            cells += [against(ratio, targets.get(competitor)), bound(targets.get(competitor))]
        memory = found.get((name, "numpy"), {}).get("memory_ratio")
        cells += [against(memory, targets.get("memory")), bound(targets.get("memory"))]
        if targets:
            lines.append(f"| {WORKLOADS[name].title} | {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def against(value: float | None, target: float | None) -> str:
    """A ratio, in bold where it misses its target."""
    if value is None:
        return ""
    missed = target is not None and value > target
    return f"**{value:.2f}**" if missed else f"{value:.2f}"


def bound(target: float | None) -> str:
    return "" if target is None else f"<= {target:g}"


def workloads_table(rows: list[Row]) -> str:
    """Everything that was measured; PyTorch's best is the faster of its two layouts, run eagerly."""
    lines = [
        "| workload | library | ms per step | fastest | PyTorch's best = 1 | peak MB | of PyTorch's "
        "| losses differ by | allowed | samples |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        ratio, memory = (f"{row[key]:.2f}" if key in row else "" for key in ("ratio", "memory_ratio"))
        lines.append(
            f"| {WORKLOADS[row['workload']].title} | {label(row['competitor'])} | {row['median_ms']:.2f} "
            f"| {row['min_ms']:.2f} | {ratio} | {row['peak_mb']:.0f} | {memory} "
            f"| {verdict(row)} | {row['kept']} of {row['samples']} |"
        )
    return "\n".join(lines)


def losses_explained(rows: list[Row]) -> str:
    """How losses were compared, and why so."""
    count = max((len(row["losses"]) for row in rows), default=0)
    return f"""\
Losses: the largest relative difference from PyTorch's in the first {count} steps from equal weights (to a
hundredth of the first loss where a loss is smaller). Rounding grows as training goes on; how much float32
allows is taken from PyTorch itself, started from weights that differ by {PERTURBATION:g}. A step is called
wrong if a loss differs by more than {TOLERANCE:g} and by more than {DRIFT} times what those differed by until
then; scikit-learn, Thinc and DeZero, whose Adam has its epsilon at another place, may differ
{OTHER_EPSILON_FACTOR} times as much."""


def verdict(row: Row) -> str:
    """Two cells: by how much the losses differ, and the tolerance; empty for the reference itself."""
    if "difference" not in row or row["competitor"] == REFERENCE:
        return " | "
    warning = " **WRONG**" if row["wrong"] else ""
    return f"{row['difference']:.0e}{warning} | {row['tolerance']:.0e}"


def sweep_tables(rows: list[Row]) -> list[str]:
    """The ratios by size, the peaks of memory, and the sum of it; for each of xpnn's competitors."""
    names = list(dict.fromkeys(row["competitor"] for row in rows))
    ours = [name for name in names if name not in EAGER]
    return [
        sweep_table(rows, ours, f"ratio to {label(REFERENCE)}'s best (its ms)", speed),
        sweep_table(rows, ours, f"peak MB ({label(REFERENCE)}'s)", memory),
        "\n".join(
            summary([row for row in rows if row["competitor"] == name], "workload", SLOW) for name in ours
        ),
    ]


def sweep_table(rows: list[Row], ours: list[str], head: str, cell: Callable[[Row, Row], str]) -> str:
    """A line for each network and competitor, with its sizes behind one another."""
    found = {(row["workload"], row["competitor"]): row for row in rows}
    lines = [f"| sweep | network, and what varies | library | {head}, by size |", "|---|---|---|---|"]
    for name, swept in SWEEPS.items():
        for competitor in ours:
            cells = []
            for size in swept.sizes:
                task = f"{name}/{size}"
                best = fastest([found[task, eager] for eager in EAGER if (task, eager) in found])
                if (task, competitor) in found:
                    cells.append(f"{size}: {cell(found[task, competitor], best or {})}")
            if cells:
                lines.append(f"| {name} | {swept.title} | {label(competitor)} | {', '.join(cells)} |")
    return "\n".join(lines)


def speed(row: Row, best: Row) -> str:
    if not best:
        return f"{row['median_ms']:.3g} ms"
    wrong = " **WRONG**" if row["wrong"] else ""
    return f"{against(row['ratio'], SLOW)}{wrong} ({best['median_ms']:.3g})"


def memory(row: Row, best: Row) -> str:
    return f"{row['peak_mb']:.0f}" + (f" ({best['peak_mb']:.0f})" if best else "")


def summary(rows: list[Row], key: str, limit: float) -> str:
    """The median, the worst and those above a limit of a competitor's rows, which `key` names."""
    measured = sorted((row for row in rows if "ratio" in row), key=lambda row: -row["ratio"])
    if not measured:
        return ""
    slow = [row for row in measured if row["ratio"] > limit]
    middle = statistics.median(row["ratio"] for row in measured)
    things = {"workload": "sizes", "net": "networks", "kernel": "layers"}[key]
    text = f"{label(rows[0]['competitor'])}: {len(measured)} {things}, median {middle:.2f}, "
    text += f"worst {measured[0]['ratio']:.2f}, above {limit:g}: {len(slow)}"
    listed = ", ".join(f"{row[key]} {row['ratio']:.2f}" for row in slow)
    return text + (f" ({listed})." if slow else ".")


def models_table(rows: list[Row]) -> list[str]:
    """A line for each network and competitor of xpnn's, and the sum of it."""
    names = list(dict.fromkeys(row["competitor"] for row in rows if row["competitor"] not in EAGER))
    lines = [
        "| network, and the size of a step | library | ms | PyTorch = 1 | losses differ by | samples |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row["competitor"] in names:
            ratio = against(row.get("ratio"), SLOW_NET)
            differs = f"{row['difference']:.0e}" if "difference" in row else ""
            differs += " **WRONG**" if row.get("wrong") else ""
            lines.append(
                f"| {NETS[row['net']].title} | {label(row['competitor'])} | {row['median_ms']:.3g} | {ratio} "
                f"| {differs} | {row['kept']} of {row['samples']} |"
            )
    parts = (summary([row for row in rows if row["competitor"] == name], "net", SLOW_NET) for name in names)
    return ["\n".join(lines), "\n".join(parts)]


def layers_table(rows: list[Row]) -> list[str]:
    """A line for each layer, size and competitor of xpnn's, and the sum of it."""
    ours = [row for row in rows if row["competitor"] not in EAGER]
    lines = [
        "| layer, and the size of its input | library | ms | PyTorch = 1 | samples |",
        "|---|---|---:|---:|---:|",
    ]
    for row in ours:
        ratio = against(row.get("ratio"), SLOW_LAYER) + (" **WRONG**" if row.get("wrong") else "")
        lines.append(
            f"| {LAYERS[row['kernel']].title} | {label(row['competitor'])} | {row['median_ms']:.3g} "
            f"| {ratio} | {row['kept']} of {row['samples']} |"
        )
    names = dict.fromkeys(row["competitor"] for row in ours)
    fields = [[row for row in ours if row["competitor"] == name] for name in names]
    return ["\n".join(lines), "\n".join(summary(field, "kernel", SLOW_LAYER) for field in fields)]


def earn_tables(rows: list[Row]) -> list[str]:
    """A line for each kernel file: what it gains most, and where; in bold what gains too little."""
    lines = [
        "| kernel file | at best | workloads | single operations | between the workloads' sizes |",
        "|---|---:|---|---|---|",
    ]
    for file in sorted({row["file"] for row in rows}):
        own = [row for row in rows if row["file"] == file]
        best = max((row["gain"] for row in own if row["gain"] is not None), default=None)
        if best is None:
            mark = "needed" if any(row["task"] for row in own) else "**not entered**"
        else:
            mark = f"{best:.2f}" if best >= ENOUGH else f"**{best:.2f}**"
        places = (WORKLOADS, KERNELS, SIZES)
        cells = [gains([row for row in own if row["task"] in tasks], "task") for tasks in places]
        lines.append(f"| {file} | {mark} | {' | '.join(cells)} |")
    return [EARN_EXPLAINED, "\n".join(lines)]


EARN_EXPLAINED = f"""\
How many times as long a step takes without a kernel file (`XPNN_WITHOUT_KERNELS`): from {ENOUGH:g}, and the
three largest. Files for Numba are measured with all others in use, those for NumPy without Numba.
What gains {ENOUGH:g} in a workload or a single operation is not measured at other sizes."""


def gains(rows: list[Row], key: str) -> str:
    """The largest gains first; then where nothing works without the file."""
    found = sorted((row for row in rows if row["gain"] is not None), key=lambda row: -row["gain"])
    shown = [row for i, row in enumerate(found) if i < 3 or row["gain"] >= ENOUGH]
    fails = [f"{row[key]}: cannot do without" for row in rows if row["gain"] is None]
    return ", ".join([*(f"{row[key]} {row['gain']:.2f}" for row in shown), *fails])


def kernels_table(rows: list[Row]) -> str:
    """A line for each kernel with the milliseconds of each competitor, the ratio to PyTorch's best."""
    names = list(dict.fromkeys(row["competitor"] for row in rows))
    ours = [name for name in names if not name.startswith(REFERENCE)]
    heads = [label(name) for name in names] + [f"{label(name)}, PyTorch's best = 1" for name in ours]
    lines = [
        f"| forward + backward, ms | {' | '.join(heads)} | samples |",
        f"|---|{'---:|' * (len(heads) + 1)}",
    ]
    found = {(row["kernel"], row["competitor"]): row for row in rows}
    for kernel in dict.fromkeys(row["kernel"] for row in rows):
        present = [found[kernel, name] for name in names if (kernel, name) in found]
        cells = [milliseconds(found.get((kernel, name))) for name in names]
        cells += [f"{found.get((kernel, name), {}).get('ratio', float('nan')):.2f}" for name in ours]
        kept, samples = (min(row[key] for row in present) for key in ("kept", "samples"))
        lines.append(f"| {KERNELS[kernel].title} | {' | '.join(cells)} | {kept} of {samples} |")
    return "\n".join(lines).replace(" nan ", "  ")


def milliseconds(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{row['median_ms']:.3g}" + (" **WRONG**" if row.get("wrong") else "")


def left_out_list(left_out: list[Row]) -> str:
    """Who took no part, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in left_out:
        if row["competitor"] != DISTURBED:
            reasons.setdefault((row["competitor"], row["reason"]), []).append(row["task"])
    return "\n".join(
        f"- {label(competitor)} is left out of {', '.join(tasks)}: {reason}."
        for (competitor, reason), tasks in reasons.items()
    )
