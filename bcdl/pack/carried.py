"""The parity references that are carried along: the machine can use each, which is found out before it is paid for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bcdl.errors import UsageError
from bcdl.parity import references
from bcdl.parity.settings import DRAWS, UNIT_ROUNDOFF, Plan
from bcdl.settings.models import MODELS


def check(files: Sequence[Path]) -> None:
    """Raise UsageError if a file is no reference that `bcdl sprint` uses, or if two have one name."""
    for file in files:
        if not file.is_file():
            raise UsageError(f"--parity {file} is no file; `bcdl parity reference` makes one")
        _check_use(file)
    places: dict[str, Path] = {}
    for file in files:
        first = places.setdefault(file.name, file)
        if first is not file:
            raise UsageError(f"--parity {first} and {file} have one name, and one would replace the other; give one")


def _check_use(file: Path) -> None:
    """UsageError if the file is not whole, or if no dump on the machine would be judged by it."""
    facts = references.read(file).facts
    plans = [_plan(file, facts["plan"], precision) for precision in UNIT_ROUNDOFF]
    for plan in plans:
        references.check_settings(facts, plan)
    name = references.file_of(file.parent, plans[0]).name
    if file.name != name:
        raise UsageError(f"--parity {file} would not be found on the machine: it is {name}; give it that name again")


def _plan(file: Path, subject: dict[str, object], precision: str) -> Plan:
    """What the machine would ask of the reference: the settings in its name, and all else as it is by default."""
    try:
        plan = Plan(**{**subject, "draws": DRAWS}, precision=precision, device="gpu")  # type: ignore[arg-type]
    except TypeError:
        plan = None
    if plan is None or plan.model not in MODELS:
        raise UsageError(f"--parity {file} is of another bcdl: make it anew with bcdl parity reference")
    return plan
