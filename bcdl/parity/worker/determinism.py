"""Measures whether a backend repeats itself and, if it does not, what it costs to make it deterministic.

Frameworks fix once a process how deterministic they are. So processes run the same steps in turn, with the backend as
it is and made deterministic; each gives a pace.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import TypedDict

from bcdl.backends import Backend
from bcdl.errors import BcdlError, UsageError
from bcdl.machine import environment, scratch
from bcdl.parity.dumps import Dump
from bcdl.parity.findings import Determinism
from bcdl.parity.settings import STEPS, Plan
from bcdl.parity.worker import instrumented
from bcdl.parity.worker.dump import repeats_itself
from bcdl.worker import timing
from bcdl.worker.snapshot import Snapshot

# Processes of each kind.
ROUNDS = 3
_AS_IT_IS, _DETERMINISTIC = "as_it_is", "deterministic"
_LONGEST_REASON = 300  # letters of a framework's last words that an error repeats


class Pace(TypedDict):
    """The pace of one process: how many steps it took, in how many seconds, and whether it repeated itself."""

    backend: str
    steps: int
    steps_s: float
    repeats: bool


def is_repeatable(dump: Dump, backend: str) -> bool:
    """Whether the dump's backend gave the same bits twice in its process, and in another that loaded its checkpoint.

    Raises UsageError if checkpoints were not exchanged yet.
    """
    if backend not in dump.loaded:
        raise UsageError(f"no checkpoint of {dump.folder.name} was loaded by {backend}: run step exchange first")
    facts, loaded = dump.facts, dump.loaded[backend]
    resumed = facts["resumed"]
    same = (
        resumed["outputs"] == loaded.get("outputs"),
        resumed["resumed_loss"] == loaded.get("resumed_loss"),
        resumed["resumed_outputs"] == loaded.get("resumed_outputs"),
    )
    return facts["repeats_itself"] and all(same)


def cost(plan: Plan, backend: str) -> Determinism:
    """What it costs to make the backend deterministic, from processes of both kinds in turn."""
    paces: dict[str, list[Pace]] = {_AS_IT_IS: [], _DETERMINISTIC: []}
    for _ in range(ROUNDS):
        for kind, measured in paces.items():
            measured.append(_in_a_process(plan, backend, kind == _DETERMINISTIC))
    steps_s = {kind: [pace["steps_s"] for pace in measured] for kind, measured in paces.items()}
    return {
        "ratio": statistics.median(steps_s[_DETERMINISTIC]) / statistics.median(steps_s[_AS_IT_IS]),
        "repeats": all(pace["repeats"] for pace in paces[_DETERMINISTIC]),
        "steps_s": steps_s,
    }


def pace(plan: Plan, adapter: Backend) -> Pace:
    """The pace of the plan's steps on this backend, compiled before; and whether it repeats itself."""
    subject = instrumented.build(plan)
    start = Snapshot(subject.model)
    first = instrumented.train(subject.model, subject.batches, start)
    steps_s = timing.seconds_of(lambda: instrumented.train(subject.model, subject.batches, start))
    return {
        "backend": adapter.name,
        "steps": max(STEPS),
        "steps_s": steps_s,
        "repeats": repeats_itself(subject, start, first),
    }


def _in_a_process(plan: Plan, backend: str, deterministic: bool) -> Pace:
    """The pace that a process of its own gives; BcdlError if it gives none."""
    with scratch.folder() as folder:
        job, result = folder / "job.json", folder / "result.json"
        values = {"backend": backend, "plan": plan.to_dict(), "deterministic": deterministic}
        job.write_text(json.dumps(values), encoding="utf-8")
        command = [sys.executable, "-m", "bcdl.parity.worker", str(job), str(result)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment.of_child(),
        ) as process:
            assert process.stderr is not None
            last_words = process.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        if process.returncode or not result.is_file():
            raise BcdlError(
                f"timing {plan.model} on {backend} ended with code {process.returncode}: "
                f"{last_words[-_LONGEST_REASON:] or 'it said nothing'}; run step determinism again"
            )
        measured: Pace = json.loads(result.read_text(encoding="utf-8"))
        return measured
