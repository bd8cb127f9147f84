"""Groups findings for the report, and gives their verdict on measured records."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from bcdl.parity.findings import DIFFERS, NOT_JUDGED, Finding, pair_name
from bcdl.records.comparability import Evidence, Purpose, differences
from bcdl.records.record import Record
from bcdl.settings.models import MODELS
from bcdl.text import safe_name

NEVER_MEASURED = "not measured"
# Signs of a rate whose backend differs from another, or was never compared with it.
MISMATCH, UNMEASURED = "‡", "†"


@dataclasses.dataclass(frozen=True)
class ParityGroup:
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
            f"{plan.precision}, {plan.image_size}x{plan.image_size}, batch {plan.batch_size}, seed {plan.seed}, "
            f"{plan.device}"
        )

    @property
    def slug(self) -> str:
        """The part of the names of its files that no other group has."""
        plan = self.first.plan
        device = "" if plan.device == "cpu" else f"-{safe_name(plan.device)}"
        settings = f"{plan.precision}-{plan.image_size}px-b{plan.batch_size}-seed{plan.seed}{device}"
        return f"parity-{safe_name(self.machine)}-{settings}"

    @functools.cached_property
    def backends(self) -> list[str]:
        return sorted({name for finding in self.findings for name in finding.backends})

    @functools.cached_property
    def pairs(self) -> list[str]:
        return sorted({name for finding in self.findings for name in finding.pairs})


def title_of(finding: Finding) -> str:
    """The model's name as printed."""
    model = finding.plan.model
    return MODELS[model].title if model in MODELS else model


def group_findings(findings: Sequence[tuple[str, Finding]]) -> list[ParityGroup]:
    """Findings (oldest first, each with its machine) as groups."""
    by_settings: dict[tuple[object, ...], dict[str, Finding]] = {}
    for machine, finding in findings:
        plan = finding.plan
        key = (machine, plan.batch_size, plan.device, plan.image_size, plan.precision, plan.seed)
        by_settings.setdefault(key, {})[plan.model] = finding
    order = {name: place for place, name in enumerate(MODELS)}
    return [
        ParityGroup(str(key[0]), tuple(sorted(by_model.values(), key=lambda f: order.get(f.plan.model, len(order)))))
        for key, by_model in sorted(by_settings.items(), key=lambda item: tuple(map(str, item[0])))
    ]


@dataclasses.dataclass(frozen=True)
class _Verdict:
    """What is known of a pair of backends: the outcome, None if they were never compared, and the verdict in words."""

    outcome: str | None
    words: str

    @property
    def is_proof(self) -> bool:
        return self.outcome not in (DIFFERS, NOT_JUDGED, None)


_UNKNOWN = _Verdict(None, NEVER_MEASURED)


class Verdicts:
    """The verdicts of findings on records; a finding counts if it has their machine, model, precision and versions."""

    def __init__(self, findings: Sequence[tuple[str, Finding]]) -> None:
        self._findings = list(reversed(findings))

    def of(self, machine: str, record: Record, other: Record) -> str:
        """The verdict on the backends of two records of one model, or that it was never measured.

        It is that of the records' own image size, if there is such a finding; of another, the verdict says at which.
        """
        return self._of(machine, record, other).words

    def mark(self, machine: str, records: Sequence[Record], others: Sequence[Record]) -> str:
        """The sign of figures whose backend differs from another, or was never compared with it; else nothing."""
        rivals = [(a, b) for a in records for b in others if a.ok and a.cell.backend != b.cell.backend]
        verdicts = [self._of(machine, a, b) for a, b in rivals]
        if any(verdict.outcome == DIFFERS for verdict in verdicts):
            return MISMATCH
        return "" if all(verdict.is_proof for verdict in verdicts) else UNMEASURED

    def among(self, machine: str, records: Sequence[Record]) -> str:
        """One verdict for all backends of one model: the worst there is among their pairs."""
        pairs = [(a, b) for a in records for b in records if a.cell.backend < b.cell.backend]
        verdicts = {pair_name(a.cell.backend, b.cell.backend): self._of(machine, a, b) for a, b in pairs}
        bad = {name: verdict for name, verdict in verdicts.items() if not verdict.is_proof}
        if bad and len(set(verdicts.values())) > 1:
            return "; ".join(f"{name} {verdict.words}" for name, verdict in bad.items())
        return next((verdict.words for verdict in verdicts.values()), "")

    def _of(self, machine: str, record: Record, other: Record) -> _Verdict:
        name = pair_name(record.cell.backend, other.cell.backend)
        findings = [
            finding
            for place, finding in self._findings
            if place == machine and name in finding.pairs and all(_same_program(finding, r) for r in (record, other))
        ]
        if not findings:
            return _UNKNOWN
        size = record.cell.image_size
        newest = next((finding for finding in findings if finding.plan.image_size == size), findings[0])
        pair, measured_at = newest.pairs[name], newest.plan.image_size
        elsewhere = "" if measured_at == size else f" at {measured_at}x{measured_at}"
        return _Verdict(pair["outcome"], pair["verdict"] + elsewhere)


# For a report without findings.
NO_FINDINGS = Verdicts(())


def _same_program(finding: Finding, record: Record) -> bool:
    """Whether the finding is of the record's model, precision and versions (bcdl's own may move on)."""
    if record.cell.backend not in finding.backends:
        return False
    environment = finding.backends[record.cell.backend]["environment"]
    measured = Evidence(finding.plan.to_dict(), environment=environment)
    return not differences(measured, Evidence.of(record), Purpose.PARITY)
