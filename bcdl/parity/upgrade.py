"""Whether the sides of one backend, as before and after an upgrade, compute the same, and load each other's files.

Each side's own Python and bcdl make its dumps, as `bcdl parity` makes them of backends. A float64 reference is made
only if the sides are not the same to the bit: only then does anything have to be judged by it.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bcdl.errors import BcdlError, UsageError
from bcdl.machine import environment, hardware
from bcdl.parity import dumps, references
from bcdl.parity.findings import DIFFERS, Exchange, Finding, append_finding, pair_name
from bcdl.parity.judge import judge
from bcdl.parity.settings import Plan, backend_of
from bcdl.text import legible, on_one_line

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Side:
    """A side of one backend.

    Attributes:
        name: its backend, a dot and its letter: `jax.a`.
        interpreter: its Python.
        source: top of the checkout whose bcdl that runs; None for this one.
    """

    name: str
    interpreter: str
    source: Path | None = None

    @property
    def backend(self) -> str:
        return backend_of(self.name)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was found of the sides.

    Attributes:
        lines: for people: a verdict for each model and pair, and what became of checkpoints.
        regressions: those of them that say that an upgrade changed the answers, or that a file is not loaded.
    """

    lines: list[str]
    regressions: list[str]


def compare(sides: Sequence[Side], plans: Sequence[Plan], results: Path, run: str, say: Say) -> Outcome:
    """Make the dumps of all sides, exchange checkpoints and judge, model by model; the findings are kept.

    Args:
        sides: of one backend, the first the one that others are held to.
        plans: one a model.
        results: the results folder.
        run: id of the run that the findings belong to.
        say: takes a line as each step begins.

    Raises:
        BcdlError: a step failed; the message names it and gives its last line.
    """
    try:
        outcomes = [_of_model(sides, plan, results, run, say) for plan in plans]
    finally:
        for side in sides:
            shutil.rmtree(dumps.folder_of(results, plans[0].precision, side.name), ignore_errors=True)
    lines = [line for outcome in outcomes for line in outcome.lines]
    return Outcome(lines, [line for outcome in outcomes for line in outcome.regressions])


def _of_model(sides: Sequence[Side], plan: Plan, results: Path, run: str, say: Say) -> Outcome:
    step = _Step(sides, plan, results, say)
    try:
        finding = _finding(step, run)
    except UsageError as error:  # of dumps that can't be compared at all, since the definition changed
        line = f"{plan.model}: {DIFFERS}: {error}"
        return Outcome([line], [line])
    append_finding(results, hardware.machine_name(plan.device), finding)
    return _outcome(sides, finding)


def _finding(step: _Step, run: str) -> Finding:
    """What a judge says of the sides, with a reference if they are not the same to the bit."""
    folder = references.default_folder(step.results)
    names = [side.name for side in step.sides]
    step.of_all("dump")
    finding = judge(step.results, folder, step.plan, run, names)
    if finding.reference is None and not all(pair["bits"] and pair["settled"] for pair in finding.pairs.values()):
        step.of_all("reference")
        step.of_all("dump")
    step.of_all("exchange")
    return judge(step.results, folder, step.plan, run, names)


@dataclasses.dataclass(frozen=True)
class _Step:
    """Runs the steps of `bcdl parity` for one model, each in the Python of a side."""

    sides: Sequence[Side]
    plan: Plan
    results: Path
    say: Say

    def of_all(self, step: str) -> None:
        """Run the step for each side; BcdlError if it fails for one."""
        for side in self.sides:
            self.say(f"{self.plan.model}, {side.name}: {step}")
            self._run(step, side)

    def _run(self, step: str, side: Side) -> None:
        command = [side.interpreter, "-m", "bcdl.parity", *self._arguments(step, side)]
        variables = {**environment.of_child(side.source), "KERAS_BACKEND": side.backend}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            last = on_one_line(said[-1]) if said else f"exit code {done.returncode}"
            raise BcdlError(f"parity of {self.plan.model} on side {side.name}: the step {step} failed: {last}")

    def _arguments(self, step: str, side: Side) -> list[str]:
        """Those of `bcdl parity` for the step."""
        plan = self.plan
        options: Mapping[str, object] = {
            "--models": plan.model,
            "--image-size": plan.image_size,
            "--batch-size": plan.batch_size,
            "--seed": plan.seed,
            "--precision": plan.precision,
            "--device": plan.device,
            "--draws": plan.draws,
            "--results": self.results,
            "--sides": ",".join(each.name for each in self.sides),
            "--as": side.name,
        }
        return [step, *(str(word) for option in options.items() for word in option)]


def _outcome(sides: Sequence[Side], finding: Finding) -> Outcome:
    first, *others = sides
    model = finding.plan.model
    lines, regressions = [], []
    for other in others:
        pair = finding.pairs[pair_name(first.name, other.name)]
        lines.append(f"{model}, {first.name} and {other.name}: same answers: {pair['verdict']}")
        regressions += lines[-1:] if pair["outcome"] == DIFFERS else []
        for saver, loader in ((first, other), (other, first)):
            trouble = _trouble(finding.checkpoints.get(saver.name, {}), saver.name, loader.name)
            lines.append(f"{model}: {loader.name} loads the checkpoint of {saver.name}: {trouble or 'yes'}")
            regressions += lines[-1:] if trouble else []
    return Outcome(list(map(legible, lines)), list(map(legible, regressions)))


def _trouble(loaders: Mapping[str, Exchange], saver: str, loader: str) -> str:
    """Why the loader does not load the saver's checkpoint as the saver does; empty if it does."""
    own, other = loaders.get(saver, {}), loaders.get(loader)
    if other is None:
        return "no: it was not tried"
    if "error" in other:
        return f"no: {other['error']}"
    if not other["same_state"]:
        return "no: the state that it has then is another"
    if own.get("loads_as_it_is") and not other["loads_as_it_is"]:
        return "only with help: a class of the file is not known there"
    return ""
