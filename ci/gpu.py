"""One part of what ci/gpu.sh runs on a machine with a GPU.

    python ci/gpu.py agreement [--results FOLDER] [--seconds 60] [--dry-run]

Prints a line for each thing that was found, and keeps all of them in FOLDER/results.json, under the name of
the part, as they come. Ends with status 1 if something is wrong. The dry run takes the stand-in for CuPy that
lies beside the tests.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[1:1] = [str(ROOT), str(ROOT / "tests")]

from on_gpu import agreement, ceilings, graphs, replay, sanitizer, speed, suite, trajectories  # noqa: E402
from on_gpu.setting import Part, Row, Setting  # noqa: E402

PARTS: dict[str, Part] = {
    "agreement": agreement.rows,
    "trajectories": trajectories.rows,
    "replay": replay.rows,
    "graphs": graphs.rows,
    "ceilings": ceilings.rows,
    "speed": speed.rows,
    "sanitizer": sanitizer.rows,
    "suite": suite.rows,
}
LISTS = ("losses",)  # what is kept, but not printed


def main(words: Sequence[str] | None = None) -> int:
    """Run a part, or be one of its processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=[*PARTS, "exercises", "speed-of"], metavar="PART")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args(words)
    setting = Setting(options.dry_run, options.seconds)
    if options.dry_run:
        import targets  # noqa: F401 - registers the stand-in
    if options.part == "exercises":
        print(sanitizer.exercise(setting))
        return 0
    if options.part == "speed-of":
        print(json.dumps(speed.speed_of(setting, *options.words)))
        return 0
    found: list[Row] = []
    for row in PARTS[options.part](setting):
        found.append(row)
        print(line(row), flush=True)
        if options.results is not None:
            keep(options.results / "results.json", options.part, found)
    wrong = sum("wrong" in row for row in found)
    print(f"{options.part}: {len(found)} results, {wrong} wrong")
    return 1 if wrong or not found else 0


def line(row: Row) -> str:
    """A row as text."""
    parts = [
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in row.items()
        if key != "name" and key not in LISTS
    ]
    return f"{row['name']}: {', '.join(parts)}"


def keep(path: Path, part: str, found: list[Row]) -> None:
    """Write the rows of a part beside those of the others."""
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**results, part: found}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
