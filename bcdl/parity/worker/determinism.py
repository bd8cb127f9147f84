"""Does a backend repeat itself, and where it doesn't, what does it cost to make it?

Frameworks fix how deterministic they are once a process, so each pace is a process of its own: as it is, and
made deterministic, in turn, on the same steps.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from bcdl.backends import Backend
from bcdl.errors import UsageError
from bcdl.parity.dumps import Dump
from bcdl.parity.settings import STEPS, Plan
from bcdl.parity.worker import instrumented
from bcdl.parity.worker.dump import repeats_itself
from bcdl.worker import timing
from bcdl.worker.snapshot import Snapshot

# Processes of each kind.
ROUNDS = 3


def is_repeatable(dump: Dump, backend: str) -> bool:
    """Whether the dump's backend gave the same bits twice in its process, and in another that loaded its checkpoint.

    Raises UsageError where checkpoints were not exchanged yet.
    """
    if backend not in dump.loaded:
        raise UsageError(f"no checkpoint of {dump.folder.name} was loaded by {backend}: run step exchange first")
    facts, loaded = dump.facts, dump.loaded[backend]
    resumed = ("outputs", "resumed_loss", "resumed_outputs")
    return bool(facts["repeats_itself"]) and all(facts["resumed"][key] == loaded.get(key) for key in resumed)


def cost(plan: Plan) -> dict[str, Any]:
    """Paces of both kinds in turn: `ratio` of their medians, `repeats` when made to, and `steps_s` of each process."""
    paces: dict[str, list[dict[str, Any]]] = {"as it is": [], "deterministic": []}
    for _ in range(ROUNDS):
        for kind, found in paces.items():
            found.append(_in_a_process(plan, kind == "deterministic"))
    steps_s = {kind: [pace["steps_s"] for pace in found] for kind, found in paces.items()}
    plain, made = (statistics.median(times) for times in steps_s.values())
    repeats = all(pace["repeats"] for pace in paces["deterministic"])
    return {"ratio": made / plain, "repeats": repeats, "steps_s": steps_s}


def pace(plan: Plan, adapter: Backend) -> dict[str, Any]:
    """Seconds of the plan's steps on this backend, compiled before; and whether it repeats itself."""
    opened = instrumented.build(plan)
    start = Snapshot(opened.model)
    first = instrumented.train(opened.model, opened.batches, start)
    steps_s = timing.seconds_of(lambda: instrumented.train(opened.model, opened.batches, start))
    return {
        "backend": adapter.name,
        "steps": max(STEPS),
        "steps_s": steps_s,
        "repeats": repeats_itself(opened, start, first),
    }


def _in_a_process(plan: Plan, deterministic: bool) -> dict[str, Any]:
    settings = [f"--{key.replace('_', '-')}={value}" for key, value in plan.to_dict().items() if key != "model"]
    command = [sys.executable, "-m", "bcdl.parity", "pace", f"--models={plan.model}", *settings]
    command += ["--deterministic"] if deterministic else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"timing {plan.model} failed:\n{done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
