"""A sample of the test suite, the same at every run, on CuPy."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from on_gpu.setting import Row, Setting

ROOT = Path(__file__).parent.parent.parent
FILES = (
    *("test_cases", "test_end_to_end", "test_front", "test_front_creation", "test_modules", "test_optim"),
    *("test_in_place", "test_views", "test_autocast", "test_dropout", "test_linalg", "test_compile"),
)
EVERY = 10  # of the tests, one in so many
GRACE = 15.0  # seconds to write the report in


def rows(setting: Setting) -> Iterator[Row]:
    """A row with the numbers of tests, and one for each that failed."""
    files = [f"tests/{name}.py" for name in setting.pick(FILES, ["test_end_to_end"])]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
        command += ["--backend", setting.backend, "--every", str(setting.pick(EVERY, 8))]
        command += [f"--junitxml={report}", "--tb=short"]
        if not setting.dry and importlib.util.find_spec("xdist"):
            command += ["-n", str(max(min((os.cpu_count() or 2) // 2, 8), 1))]
        running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stopped = False
        try:
            running.wait(max(setting.seconds - GRACE, 1))
        except subprocess.TimeoutExpired:
            stopped = True
            running.send_signal(signal.SIGINT)  # which lets it write what it has
            try:
                running.wait(GRACE)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
        if not report.exists():
            yield {"name": "suite", "wrong": f"pytest ended with status {running.returncode} and no report"}
            return
        suite = next(ElementTree.parse(report).iter("testsuite"))
    counts = {kind: int(suite.get(kind, 0)) for kind in ("tests", "failures", "errors", "skipped")}
    yield {"name": "suite", **counts, "stopped early": stopped, **_too_few(counts)}
    for case in suite.iter("testcase"):
        for problem in (*case.iter("failure"), *case.iter("error")):
            said = (problem.text or problem.get("message") or "")[-2000:]
            yield {"name": f"{case.get('classname')}::{case.get('name')}", "wrong": said}


def _too_few(counts: dict[str, int]) -> dict[str, str]:
    return {} if counts["tests"] > counts["skipped"] else {"wrong": "no test was run"}
