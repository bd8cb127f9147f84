"""What a change must pass, in stages; three run at a time.

Style, types, imports, tables and plots that follow from their records, the tests, those on a SLURM of two nodes if its
programs are there, parity of two models, a smoke benchmark of each backend and two backends in turn, ending in the
tables. What a stage prints is shown whole when it has ended, and the time of each stage at the end. A stage that fails
ends its chain alone, so that all faults are seen at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = sorted(path.parent.name for path in ROOT.glob("backends/*/adapter.py"))
# Tests of the harness's own code that need a backend, whichever, run on the last; on the others those of the backend.
OF_BACKEND = ("-m", "keras and not any_backend")
AT_A_TIME = 3  # on two cores: tests of faults and commands wait, for processes to start and to end
# OpenMP's threads wait for each other by spinning: beside another stage, two are slower than one by far.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

# The arguments of nox for one session.
Stage = Sequence[str]


def chains(results: str) -> list[Sequence[Stage]]:
    """The stages. Those of a chain need what the ones before them left; the first chains are the longest.

    A stage of tests runs them in one process, since other stages have the other core.
    """
    into = ("--results", results)
    smoke = ("--profile", "smoke", *into)
    suite = ("--", "-n", "0", "--durations", "10")
    return [
        [
            ("parity", "--", "--models", "cnn,mobilenet", "--image-size", "64", *into),
            ("bench", "--", *smoke),
            ("bench-ab", "--", "--a", "jax", "--b", "torch", "--models", "cnn", "--rounds", "2", *smoke),
            ("report", "--", *into),
        ],
        [("lint",), ("report", "--", "--check")],
        *([(f"tests-{name}", *suite, *(OF_BACKEND if name != BACKENDS[-1] else ()))] for name in BACKENDS),
        [("tests-fast", "--", "-n", "0")],
        [("tests-faults",)],
        [("tests-wheel",)],
        [("tests-page", "--", "-rs")],
        [("tests-slurm", "--", "-rs")],
    ]


class Stages:
    """Runs stages, and notes how each ended and after how many seconds."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, float, bool]] = []
        self._lock = threading.Lock()

    @property
    def passed(self) -> bool:
        return all(passed for _, _, passed in self.ended)

    def run_chain(self, chain: Sequence[Stage]) -> None:
        """Run the stages of a chain one after the other, until one fails."""
        for stage in chain:
            if not self._run(stage):
                break

    def _run(self, stage: Stage) -> bool:
        """Run a stage to its end; whether it passed."""
        print(f"started: nox -s {' '.join(stage)}", flush=True)
        start = time.monotonic()
        done = subprocess.run(
            ["nox", "-s", *stage], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        with self._lock:
            sys.stdout.buffer.write(done.stdout)
            self.ended.append((stage[0], time.monotonic() - start, done.returncode == 0))
            print(self.line(*self.ended[-1]), flush=True)
        return done.returncode == 0

    def line(self, name: str, seconds: float, passed: bool) -> str:
        return f"{name:20} {seconds:6.0f} s  {'passed' if passed else 'FAILED'}"


def main() -> int:
    start = time.monotonic()
    stages = Stages()
    with tempfile.TemporaryDirectory() as results:
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(stages.run_chain, chains(results)))
        page = Path(results) / "README.md"
        if stages.passed:
            print(page.read_text(encoding="utf-8"))
    for ended in stages.ended:
        print(stages.line(*ended))
    print(stages.line("all", time.monotonic() - start, stages.passed))
    return 0 if stages.passed else 1


if __name__ == "__main__":
    sys.exit(main())
