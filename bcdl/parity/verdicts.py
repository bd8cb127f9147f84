"""Findings sorted for reading: which stand together, and what they say of a measured record. Never imports Keras."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence

from bcdl.parity.findings import DIFFERS, NOT_JUDGED, Finding, pair_name
from bcdl.records.comparability import Evidence, Purpose, differences
from bcdl.records.record import Record
from bcdl.settings.models import MODELS

NEVER_MEASURED = "not measured"
# Signs of a rate whose backend differs from another, or was never compared with it.
MISMATCH, UNMEASURED = "‡", "†"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Findings of one machine, size and precision, the newest of each model, in the order of the model table."""

    machine: str
    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        return self.findings[0]

    @property
    def title(self) -> str:
        plan = self.first.plan
        return (
            f"{plan['precision']}, {plan['image_size']}x{plan['image_size']}, batch {plan['batch_size']}, "
            f"seed {plan['seed']}, {plan['device']}"
        )

    @property
    def slug(self) -> str:
        plan = self.first.plan
        settings = f"{plan['precision']}-{plan['image_size']}px-b{plan['batch_size']}-seed{plan['seed']}"
        name = f"parity-{self.machine}-{settings}"
        return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)

    @functools.cached_property
    def backends(self) -> list[str]:
        return sorted({name for finding in self.findings for name in finding.backends})

    @functools.cached_property
    def pairs(self) -> list[str]:
        return sorted({name for finding in self.findings for name in finding.pairs})


def title_of(finding: Finding) -> str:
    """The model's name as printed."""
    model = finding.plan["model"]
    return MODELS[model].title if model in MODELS else str(model)


def comparisons(findings: Sequence[tuple[str, Finding]]) -> list[Comparison]:
    """Findings (oldest first, each with its machine) as comparisons."""
    sorted_out: dict[tuple[object, ...], dict[str, Finding]] = {}
    for machine, finding in findings:
        key = (machine, *(value for name, value in sorted(finding.plan.items()) if name not in ("model", "draws")))
        sorted_out.setdefault(key, {})[finding.plan["model"]] = finding
    order = {name: place for place, name in enumerate(MODELS)}
    return [
        Comparison(str(key[0]), tuple(sorted(by_model.values(), key=lambda f: order.get(f.plan["model"], len(order)))))
        for key, by_model in sorted(sorted_out.items(), key=lambda item: tuple(map(str, item[0])))
    ]


class Verdicts:
    """What the findings say of records: the same machine, model, precision and versions count, nothing else."""

    def __init__(self, findings: Sequence[tuple[str, Finding]]) -> None:
        self._findings = list(reversed(findings))

    def of(self, machine: str, record: Record, other: Record) -> str:
        """The verdict on the backends of two records of one model, or that it was never measured.

        Measured at the records' own image size where there is such a finding; at another, the verdict says at which.
        """
        name = pair_name(record.cell.backend, other.cell.backend)
        found = [
            finding
            for place, finding in self._findings
            if place == machine and name in finding.pairs and all(_same_program(finding, r) for r in (record, other))
        ]
        size = record.cell.image_size
        for finding in found:
            if finding.plan["image_size"] == size:
                return str(finding.pairs[name]["verdict"])
        if not found:
            return NEVER_MEASURED
        elsewhere = found[0].plan["image_size"]
        return f"{found[0].pairs[name]['verdict']} at {elsewhere}x{elsewhere}"

    def mark(self, machine: str, records: Sequence[Record], others: Sequence[Record]) -> str:
        """The sign of figures whose backend differs from another, or was never compared with it; else nothing."""
        rivals = [(a, b) for a in records for b in others if a.ok and a.cell.backend != b.cell.backend]
        verdicts = [self.of(machine, a, b) for a, b in rivals]
        if any(verdict.startswith(DIFFERS) for verdict in verdicts):
            return MISMATCH
        return UNMEASURED if any(map(_bad, verdicts)) else ""

    def among(self, machine: str, records: Sequence[Record]) -> str:
        """One verdict for all backends of one model: the worst there is among their pairs."""
        pairs = [(a, b) for a in records for b in records if a.cell.backend < b.cell.backend]
        found = {pair_name(a.cell.backend, b.cell.backend): self.of(machine, a, b) for a, b in pairs}
        bad = {name: verdict for name, verdict in found.items() if _bad(verdict)}
        if len(set(found.values())) > 1 and bad:
            return "; ".join(f"{name} {verdict}" for name, verdict in bad.items())
        return next(iter(found.values()), "")


# Of a report that was given no findings.
NO_FINDINGS = Verdicts(())


def _bad(verdict: str) -> bool:
    return verdict.startswith((DIFFERS, NOT_JUDGED, NEVER_MEASURED))


def _same_program(finding: Finding, record: Record) -> bool:
    """Whether the finding is of the record's model, precision and versions (bcdl's own may move on)."""
    environment = finding.backends.get(record.cell.backend, {}).get("environment")
    if environment is None:
        return False
    measured = Evidence(finding.plan, environment=environment)
    return not differences(measured, Evidence.of(record), Purpose.PARITY)
