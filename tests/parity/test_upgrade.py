"""Sides of one backend, as before and after an upgrade: what they compute, and whether they load each other's files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bcdl.errors import BcdlError, UsageError
from bcdl.parity import findings, upgrade
from bcdl.parity.dumps import dump_of
from bcdl.parity.settings import backend_of, check_side
from bcdl.parity.upgrade import Outcome, Side
from bcdl.parity.verdicts import group_findings
from tests.parity.dumps import PLAN, RUN, judged, write, write_reference

SIDES = (Side("jax.a", "python-a"), Side("jax.b", "python-b"))
LOADED: Any = {"state": "s", "outputs": [[0.5, 0.5]], "resumed_loss": 0.7, "resumed_outputs": [[0.4, 0.6]]}


class Steps:
    """In place of the steps that need a framework: made-up dumps of both sides.

    Args:
        off: by how much the last layer of side b is off, as a share.
        loads: what of a checkpoint of the other side is not as it is of its own, by the side that loads it.
        changes: those to the facts of side b's dump.
    """

    def __init__(self, off: float = 0.0, loads: dict[str, Any] | None = None, **changes: Any) -> None:
        self.off, self.loads, self.changes = off, loads or {}, changes
        self.run: list[str] = []

    def __call__(self, step: Any, name: str, side: Side) -> None:
        self.run.append(f"{name} {side.name}")
        if name == "dump":
            is_b = side.name == "jax.b"
            write(step.results, side.name, {"third": self.off if is_b else 0.0}, **(self.changes if is_b else {}))
        if name == "reference":
            write_reference(step.results)
        if name == "exchange":
            own = {**LOADED, "loads_as_it_is": True}
            loaded = {each.name: own if each == side else self.loads.get(side.name, own) for each in step.sides}
            dump_of(step.results, PLAN, side.name).write_loaded(loaded)


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Steps], Outcome]:
    """Compares the sides whose steps are given."""

    def run(steps: Steps) -> Outcome:
        monkeypatch.setattr(upgrade._Step, "_run", lambda step, name, side: steps(step, name, side))
        return upgrade.compare(SIDES, [PLAN], tmp_path, RUN, lambda line: None)

    return run


def test_sides_that_are_the_same_to_the_bit_need_no_reference(
    compare: Callable[[Steps], Outcome], tmp_path: Path
) -> None:
    steps = Steps()
    outcome = compare(steps)
    assert outcome.regressions == []
    assert outcome.lines == [
        "cnn, jax.a and jax.b: same answers: identical",
        "cnn: jax.b loads the checkpoint of jax.a: yes",
        "cnn: jax.a loads the checkpoint of jax.b: yes",
    ]
    assert steps.run == ["dump jax.a", "dump jax.b", "exchange jax.a", "exchange jax.b"]
    ((_, finding),), problems = findings.read_findings(tmp_path)
    assert (set(finding.backends), problems) == ({"jax.a", "jax.b"}, [])
    assert not list(tmp_path.glob("local/parity/*/jax.*"))  # dumps of big models are gigabytes


def test_a_difference_is_judged_by_a_reference(compare: Callable[[Steps], Outcome]) -> None:
    steps = Steps(off=1e-6)
    assert compare(steps).lines[0] == "cnn, jax.a and jax.b: same answers: within float32 rounding"
    assert "reference jax.a" in steps.run
    outcome = compare(Steps(off=1e-2))
    assert outcome.regressions == outcome.lines[:1]
    assert outcome.lines[0].startswith("cnn, jax.a and jax.b: same answers: differs: third (Conv2D, jax.b)")


def test_another_definition_of_the_model_is_a_regression_and_no_error(compare: Callable[[Steps], Outcome]) -> None:
    (line,) = compare(Steps(definition="f")).regressions
    assert line.startswith("cnn: differs: the dumps of jax.a, jax.b were made with another model definition")


@pytest.mark.parametrize(
    ("loaded", "reason"),
    [
        ({"error": "unknown class Dense9"}, "no: unknown class Dense9"),
        ({**LOADED, "loads_as_it_is": True, "state": "t"}, "no: the state that it has then is another"),
        ({**LOADED, "loads_as_it_is": False}, "only with help"),
    ],
)
def test_a_checkpoint_that_is_not_loaded_is_a_regression(
    compare: Callable[[Steps], Outcome], loaded: dict[str, Any], reason: str
) -> None:
    (line,) = compare(Steps(loads={"jax.b": loaded})).regressions
    assert line.startswith(f"cnn: jax.b loads the checkpoint of jax.a: {reason}")


def test_a_step_that_fails_names_its_side_and_its_last_line(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('first\\nno such framework\\n')\n")
    os.chmod(python, 0o755)
    sides = [Side("jax.a", str(python)), Side("jax.b", str(python))]
    with pytest.raises(BcdlError, match=r"cnn on side jax\.a: the step dump failed: no such framework"):
        upgrade.compare(sides, [PLAN], tmp_path, RUN, lambda line: None)


def test_findings_of_sides_stand_in_no_table_of_backends(tmp_path: Path) -> None:
    for name in ("jax", "torch", "jax.a", "jax.b"):
        write(tmp_path, name)
    of_backends = judged(tmp_path)
    of_sides = upgrade.judge(tmp_path, tmp_path, PLAN, RUN, ["jax.a", "jax.b"])
    groups = group_findings([("m", of_backends), ("m", of_sides)])
    assert [group.backends for group in groups] == [["jax", "torch"], ["jax.a", "jax.b"]]
    assert len({group.slug for group in groups}) == len({group.title for group in groups}) == 2


@pytest.mark.parametrize("name", ["jax", "jax.", "jax.ab", "../x.a", "abacus.a", "jax.a/..", "jax.A"])
def test_names_of_sides_lead_into_no_folder(name: str) -> None:
    with pytest.raises(UsageError, match=r"a side is named BACKEND\.LETTER"):
        check_side(name)
    check_side("torch.b")
    assert backend_of("torch.b") == backend_of("torch") == "torch"
