"""Speed and memory of xpnn on each of its backends, against PyTorch and others, side by side on this machine.

    python ci/bench.py [--workloads mlp,resnet20] [--competitors numpy,pytorch] [--quick] [--json FILE]
    python ci/bench.py --kernels [conv-c64,gelu]     single operations, forward and backward
    python ci/bench.py --sweep [lstm,mlp-batch]      small networks at many sizes, and their peak memory
    python ci/bench.py --models [unet,gpt]           a training step of each network of xpnn.models
    python ci/bench.py --layers [relu,conv3d]        layers and losses, forward and backward, at two sizes
    python ci/bench.py --earn [numpy.conv,numba]     what each kernel file gains, by switching it off
    python ci/bench.py --profile resnet20            where the milliseconds of a step on NumPy go
    python ci/bench.py --competitors numpy,numpy@../before,pytorch     this xpnn and the one in a folder

Needs xpnn and PyTorch: `pip install -e . torch`. Whoever else is installed takes part: numba, jax,
scikit-learn, thinc, mygrad, dezero. PyTorch's compiler needs one for C++. Those that are missing are left
out with a message.

The steps are the ordinary ones: nn modules, `loss.backward()`, `optimizer.step()`. Every competitor is a
process of its own, pinned to the same two cores with two threads. All of them start and warm up; then,
round after round, each in turn runs for a moment while all others are stopped, so that whatever the machine
is doing meets all of them alike. A sample taken while other processes used the cores is thrown away; the
table says how many were kept. The first 50 losses are compared, so that a fast wrong step is not praised.
Peak memory is the process's largest resident size. Quote the ratios rather than the times. All workloads
take about twenty minutes, the kernels five, the sweep five.
With `--earn`, `--workloads`, `--kernels` and `--sweep` restrict where the gain is looked for. `--show` prints
what was written by `--json`, of several runs as one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import earn, kernels, layers, models, report, sweep
from benchmarks.competitors import (
    DEFAULT,
    DISTURBED,
    LABELS,
    REFERENCE,
    XPNN,
    environment,
    label,
    parse,
    prepare,
    start,
)
from benchmarks.process import Worker, environment_of_a_competitor, pin, serve, take_turns
from benchmarks.sweep import SIZES, SWEEPS
from benchmarks.workloads import WORKLOADS

QUICK_ROUNDS = 3
QUICK_SECONDS = 10.0
# By what is measured; sampling takes so many seconds at most, and warming up comes on top.
ROUNDS = {"workload": 15, "kernel": 15, "sweep": 5, "model": 7, "layer": 5, "earn": 3}
SECONDS = {"workload": 45.0, "kernel": 12.0, "sweep": 8.0, "model": 6.0, "layer": 2.0, "earn": 15.0}
SAMPLE_SECONDS = {"workload": 0.4, "kernel": 0.4, "sweep": 0.12, "model": 0.15, "layer": 0.1, "earn": 0.2}
COMPETITORS = {
    "workload": DEFAULT,
    "kernel": kernels.COMPETITORS,
    "sweep": ("numpy", "pytorch", "pytorch-channels-last"),
    "model": models.COMPETITORS,
    "layer": layers.COMPETITORS,
    "earn": ("numpy", "numba"),
}

KINDS = (
    "results",
    "kernels",
    "sweep",
    "models",
    "layers",
    "earn",
)  # the lists of rows in what is written for JSON

Row = dict[str, Any]


def measure_workload(task: str, options: argparse.Namespace, left_out: list[Row]) -> list[Row]:
    """Run one workload: every competitor in a process of its own, which ends with it."""
    with ExitStack() as stack:
        field = []
        for name in options.competitors:
            worker = stack.enter_context(start(name, "workload", options.quick))
            if takes_part(worker, task, left_out):
                field.append(worker)
        disturbed = None
        if REFERENCE in options.competitors and WORKLOADS[task].optimizer is not None:
            with start(DISTURBED, "workload", options.quick) as worker:
                if takes_part(worker, task, left_out):
                    disturbed = worker.ready["losses"]
        take_turns(field, options.rounds, options.seconds)
        return list(report.workload_rows(task, [worker for worker in field if worker.samples], disturbed))


def measure_kernels(options: argparse.Namespace, left_out: list[Row]) -> list[Row]:
    """Run rows of the kernel table, one after the other in the same processes."""
    rows: list[Row] = []
    with ExitStack() as stack:
        workers = [stack.enter_context(start(name, "kernel")) for name in options.competitors]
        for task in options.kernels:
            say(f"{kernels.KERNELS[task].title} ...")
            able = [worker for worker in workers if kernels.has_variant(worker.name, task)]
            field = [worker for worker in able if takes_part(worker, task, left_out)]
            take_turns(field, options.rounds, options.seconds)
            rows += report.kernel_rows(task, [worker for worker in field if worker.samples])
    return rows


def measure_sweep(options: argparse.Namespace, left_out: list[Row]) -> list[Row]:
    """Run sizes: for each sweep a process for every competitor, which serves all of them in turn."""
    rows: list[Row] = []
    for name in SWEEPS:
        tasks = [task for task in options.sweep if task.partition("/")[0] == name]
        images = any(SIZES[task].images for task in tasks)
        with ExitStack() as stack:
            workers = [
                stack.enter_context(start(competitor, "sweep"))
                for competitor in (options.competitors if tasks else ())
                if images or competitor != "pytorch-channels-last"
            ]
            for task in tasks:
                field = [worker for worker in workers if takes_part(worker, task, left_out)]
                take_turns(field, options.rounds, options.seconds)
                rows += report.workload_rows(task, [worker for worker in field if worker.samples], None)
    return rows


def measure_models(options: argparse.Namespace, left_out: list[Row]) -> Iterator[list[Row]]:
    """A step of each network, one after the other in the same processes."""
    with ExitStack() as stack:
        workers = [stack.enter_context(start(name, "model")) for name in options.competitors]
        for task in options.models:
            say(f"{models.NETS[task].title} ...")
            field = [worker for worker in workers if takes_part(worker, task, left_out)]
            take_turns(field, options.rounds, options.seconds)
            yield list(report.model_rows(task, [worker for worker in field if worker.samples]))


def measure_layers(options: argparse.Namespace, left_out: list[Row]) -> Iterator[list[Row]]:
    """As `measure_models`, of layers."""
    with ExitStack() as stack:
        workers = [stack.enter_context(start(name, "layer")) for name in options.competitors]
        for task in options.layers:
            field = [worker for worker in workers if takes_part(worker, task, left_out)]
            take_turns(field, options.rounds, options.seconds)
            yield list(report.kernel_rows(task, [worker for worker in field if worker.samples]))


def measure_earn(options: argparse.Namespace) -> list[Row]:
    """Switch kernel files off in all tasks; in sweeps only those that have not gained enough before."""
    rows: list[Row] = []
    for competitor in options.competitors:
        files: list[str] = []
        for task in [*options.kernels, *options.workloads, *options.sweep]:
            gained = {row["file"] for row in rows if (row["gain"] or 0.0) >= report.ENOUGH}
            # As new as those that it is compared with: tasks before would leave their mark on its memory.
            with start(competitor, "earn") as base:
                found = earn.measure(
                    base, task, options.earn, gained if task in SIZES else (), options.rounds, options.seconds
                )
                files = earn.chosen(base.ready.get("files", files), options.earn, competitor)
            rows += found
            say(f"{task}: {report.gains(found, 'file')}")
        met = {row["file"] for row in rows}
        rows += [{"task": "", "file": file, "gain": None} for file in files if file not in met]
    return rows


def takes_part(worker: Worker, task: str, left_out: list[Row]) -> bool:
    """Have a worker prepare a task; if it cannot, write down why."""
    begin = time.monotonic()
    reason = worker.prepare(task)
    if reason is not None:
        left_out.append({"competitor": worker.name, "task": task, "reason": reason})
    if task not in SIZES and task not in layers.LAYERS and worker.name != DISTURBED:
        took = f"ready after {time.monotonic() - begin:.0f} s"
        say(f"  {label(worker.name)}: {took if reason is None else f'left out, {reason}'}")
    return reason is None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; mistakes end the program with status 2."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workloads", help=f"of: {','.join(WORKLOADS)}; default: all")
    parser.add_argument(
        "--competitors", "--backends", help=f"of: {','.join(DEFAULT)},cupy,pytorch:cuda; default: the CPU's"
    )
    parser.add_argument(
        "--kernels", nargs="?", const=",".join(kernels.KERNELS), metavar="NAMES", help="of: %(const)s"
    )
    parser.add_argument(
        "--sweep",
        nargs="?",
        const=",".join(SWEEPS),
        metavar="NAMES",
        help="of: %(const)s; or lstm for all that begin so, lstm-length/64 for one size",
    )
    parser.add_argument(
        "--models", nargs="?", const=",".join(models.NETS), metavar="NAMES", help="of: %(const)s"
    )
    parser.add_argument(
        "--layers", nargs="?", const=",".join(layers.NAMES), metavar="NAMES", help="of: %(const)s"
    )
    parser.add_argument(
        "--earn",
        nargs="?",
        const="",
        metavar="FILES",
        help="kernel files, or folders of them, as numpy.conv,numba.pool; default: all",
    )
    parser.add_argument("--show", metavar="FILES", help="print what --json wrote; of several runs as one")
    parser.add_argument(
        "--profile",
        metavar="WORKLOAD",
        help="or a size, as mlp-batch/64, or a network; of xpnn on NumPy, or with --competitors numba",
    )
    parser.add_argument("--quick", action="store_true", help="few samples: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured here")
    parser.add_argument("--seconds", type=float, help="of sampling for a workload or kernel, at most")
    parser.add_argument("--work", choices=tuple(SECONDS), help=argparse.SUPPRESS)
    options = parser.parse_args(words)

    words = {
        name: split(getattr(options, name)) for name in ("workloads", "kernels", "sweep", "models", "layers")
    }
    if options.earn is not None:
        task = "earn"
        if not any(words.values()):
            words |= {"workloads": list(WORKLOADS), "kernels": list(kernels.KERNELS), "sweep": earn.sizes()}
        options.earn = split(options.earn)
    else:
        kinds = {"kernel": "kernels", "sweep": "sweep", "model": "models", "layer": "layers"}
        task = next((kind for kind, name in kinds.items() if words[name]), "workload")
        words["workloads"] = words["workloads"] or list(WORKLOADS)
    vars(options).update(words, task=task)
    options.competitors = split(options.competitors) or list(COMPETITORS[task])
    known: dict[str, Any] = {
        "workload": WORKLOADS,
        "kernel": kernels.KERNELS,
        "model": models.NETS,
        "competitor": {**LABELS, DISTURBED: ""},
        "profile": {**WORKLOADS, **SIZES, **models.NETS},
    }
    given = [("workload", name) for name in options.workloads]
    given += [("kernel", name) for name in options.kernels]
    given += [("model", name) for name in options.models or ()]
    given += [("competitor", parse(name).name) for name in options.competitors]
    given += [("profile", options.profile)] if options.profile else []
    for kind, name in given:
        if name not in known[kind]:
            parser.error(f"unknown {kind} {name!r}; there are {', '.join(known[kind])}")
    try:
        options.sweep = sweep.chosen(options.sweep)
    except LookupError as error:
        parser.error(f"unknown sweep {error}; there are {', '.join(SWEEPS)}")
    try:
        options.layers = layers.chosen(options.layers or ())
    except LookupError as error:
        parser.error(f"unknown layer {error}; there are {', '.join(layers.NAMES)}")
    options.seconds = options.seconds or min(SECONDS[task], QUICK_SECONDS if options.quick else math.inf)
    options.rounds = min(ROUNDS[task], QUICK_ROUNDS if options.quick else math.inf)
    return options


def split(words: str | None) -> list[str]:
    return words.split(",") if words else []


def work(options: argparse.Namespace) -> None:
    """Be a competitor."""
    (competitor,) = options.competitors
    if options.work == "earn":
        serve(partial(earn.prepare, competitor), SAMPLE_SECONDS["earn"])
    else:
        serve(partial(prepare, competitor, options.work, options.quick), SAMPLE_SECONDS[options.work])


def profile(workload: str, competitor: str) -> str:
    """Tables of where the time of a step goes, in this process."""
    if competitor not in ("numpy", "numba"):
        raise SystemExit(f"--profile is for {' and '.join(XPNN[:2])}, not for {competitor}")
    variables = {**environment_of_a_competitor(), **environment(competitor)}
    os.environ.clear()
    os.environ.update(variables)
    pin()
    from benchmarks import profiling

    return profiling.profile(workload, competitor)


def main() -> None:
    options = arguments()
    if options.work:
        work(options)
        return
    if options.profile:
        print(profile(options.profile, options.competitors[0]))
        return

    if options.show:
        results = joined([json.loads(Path(name).read_text()) for name in split(options.show)])
    else:
        results = measure(options)
    parts = [report.about(results["machine"]), *tables(results), report.left_out_list(results["left_out"])]
    print("\n\n".join(part for part in parts if part))
    rows = [row for kind in KINDS for row in results[kind]]
    for row in rows:
        if row.get("wrong"):
            task = next(row[key] for key in ("workload", "net", "kernel") if key in row)
            say(f"WRONG: {label(row['competitor'])} in {task}")
    if not rows:
        sys.exit("nothing could be measured")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for, as it is written for JSON."""
    results = {"machine": report.machine(), "left_out": [], **{kind: [] for kind in KINDS}}
    if options.task == "kernel":
        results["kernels"] = measure_kernels(options, results["left_out"])
    elif options.task == "sweep":
        results["sweep"] = measure_sweep(options, results["left_out"])
    elif options.task == "model":
        for rows in measure_models(options, results["left_out"]):
            results["models"] += rows
            save(options.json, results)
    elif options.task == "layer":
        for rows in measure_layers(options, results["left_out"]):
            results["layers"] += rows
            save(options.json, results)
    elif options.task == "earn":
        results["earn"] = measure_earn(options)
    else:
        for task in options.workloads:
            say(f"{WORKLOADS[task].title} ...")
            results["results"] += measure_workload(task, options, results["left_out"])
            save(options.json, results)  # after each workload, so that a run that is cut leaves what it has
    save(options.json, results)
    return results


def joined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Several runs on one machine as one."""
    kinds = ("left_out", *KINDS)
    return {**runs[0], **{kind: [row for run in runs for row in run.get(kind, [])] for kind in kinds}}


def tables(results: dict[str, Any]) -> list[str]:
    found = report.workloads_tables(results["results"]) if results["results"] else []
    found += [report.kernels_table(results["kernels"])] if results["kernels"] else []
    found += report.sweep_tables(results["sweep"]) if results["sweep"] else []
    found += report.models_table(results["models"]) if results["models"] else []
    found += report.layers_table(results["layers"]) if results.get("layers") else []
    found += report.earn_tables(results["earn"]) if results["earn"] else []
    return found


def save(path: Path | None, results: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
