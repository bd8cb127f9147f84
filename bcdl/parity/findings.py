"""A finding: what is kept of one model's parity on one machine. Standard library only."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from bcdl.records import log
from bcdl.records.log import Problem

# 1: the first schema.
SCHEMA = 1

IDENTICAL, WITHIN_ROUNDING, DIFFERS, NOT_JUDGED = "identical", "within {} rounding", "differs", "not judged"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One model's parity.

    Attributes:
        run: id of the join that made it.
        plan: as in `bcdl.parity.plan.Plan`.
        dataset: name and checksum.
        backends: by name: environment, start, food, losses, steps_s, repeats_itself, and `determinism`: empty, or what
            it costs to make the backend repeat itself.
        reference: backend, gradient_check, worst_unit (relative error in float64) and environment, or None.
        tolerance: by quantity, the relative difference from the reference that is still rounding.
        errors: by backend and quantity, the relative difference from the reference.
        suspects: by backend beyond its tolerance, the first layer that is, how far, and the known cause.
        pairs: by `first-second`: relative and largest absolute differences by quantity, `steps`, `verdict`.
        chaos: the runs perturbed by one ulp: `backend`, and by draw the distance of weights and loss by step.
        checkpoints: by saver and loader: state equal, largest difference of outputs, gap of the resumed loss.
        units: by backend, the relative error of each row of `bcdl.parity.units` in float32.
        lacking: precisions that this machine has no arithmetic for, each with the reason.
    """

    run: str
    plan: dict[str, Any]
    dataset: dict[str, Any]
    backends: dict[str, dict[str, Any]]
    reference: dict[str, Any] | None
    tolerance: dict[str, float]
    errors: dict[str, dict[str, float]]
    suspects: dict[str, dict[str, Any]]
    pairs: dict[str, dict[str, Any]]
    chaos: dict[str, Any]
    checkpoints: dict[str, dict[str, Any]]
    units: dict[str, dict[str, float]]
    lacking: dict[str, str]

    def to_json(self) -> str:
        return json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Finding:
        """The finding on `line`; ValueError, with the reason, if it is none."""
        values = log.parse_object(line, SCHEMA, "a parity finding")
        schema = values.pop("schema")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"a parity finding whose fields do not fit schema {schema} ({error})") from error


def pair_name(first: str, second: str) -> str:
    """The key of a pair of backends."""
    return "-".join(sorted((first, second)))


def append_finding(results: Path, machine: str, finding: Finding) -> Path:
    """Add the finding to its run's file, on the disk when this returns; the file's path."""
    return log.append(results, log.PARITY, machine, finding.run, finding.to_json())


def read_findings(results: Path) -> tuple[list[tuple[str, Finding]], list[Problem]]:
    """Every finding with its machine, oldest run first, and each thing that is not a finding."""
    return log.read(results / log.PARITY, Finding.from_json, SCHEMA)
