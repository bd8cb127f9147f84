"""Groups findings for the report, and gives their verdict on measured records."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Sequence

from bcdl.parity.findings import DIFFERS, NOT_JUDGED, Finding, pair_name
from bcdl.parity.settings import backend_of
from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Key, Purpose, differences
from bcdl.records.record import Record
from bcdl.settings.models import MODELS, place_of
from bcdl.text import safe_name

NEVER_MEASURED = "not measured"
# Signs of a rate whose backend differs from another, or was never compared with it.
MISMATCH, UNMEASURED = "‡", "†"


@dataclasses.dataclass(frozen=True)
class ParityGroup:
    """Findings of one machine, size and precision, the newest of each model, in the order of the model table.

    Attributes:
        machine: the folder that they lie in.
        findings: one a model.
        distinction: facts of the machine, in words, that set it apart from other groups of its folder and settings;
            empty if there are none.
        digest: of these facts, for names of files; empty for the oldest of such groups.
    """

    machine: str
    findings: tuple[Finding, ...]
    distinction: str = ""
    digest: str = ""

    @property
    def first(self) -> Finding:
        return self.findings[0]

    @property
    def title(self) -> str:
        plan = self.first.plan
        sides = [name for name in self.backends if backend_of(name) != name]
        return (
            f"{plan.precision}, {plan.image_size}x{plan.image_size}, batch {plan.batch_size}, seed {plan.seed}, "
            f"{', '.join(filter(None, (plan.device, ' and '.join(sides), self.distinction)))}"
        )

    @property
    def slug(self) -> str:
        """The part of the names of its files that no other group has."""
        plan = self.first.plan
        device = "" if plan.device == "cpu" else f"-{safe_name(plan.device)}"
        settings = f"{plan.precision}-{plan.image_size}px-b{plan.batch_size}-seed{plan.seed}{device}"
        sides = (safe_name(name) for name in self.backends if backend_of(name) != name)
        return "-".join(filter(None, ("parity", safe_name(self.machine), settings, *sides, self.digest)))

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
    by_settings: dict[tuple[str, ...], dict[Key, dict[str, Finding]]] = {}
    for machine, finding in findings:
        plan = finding.plan
        settings = (machine, *map(str, (plan.batch_size, plan.device, plan.image_size, plan.precision, plan.seed)))
        settings += tuple(name for name in sorted(finding.backends) if backend_of(name) != name)  # sides of one backend
        by_settings.setdefault(settings, {}).setdefault(_place(finding), {})[plan.model] = finding
    return [
        ParityGroup(settings[0], _in_order(places[key].values()), distinction, _digest(key) if number else "")
        for settings, places in sorted(by_settings.items())
        for number, (key, distinction) in enumerate(zip(places, comparability.apart(list(places)), strict=True))
    ]


def _in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: place_of(finding.plan.model)))


def _place(finding: Finding) -> Key:
    """What is known of the machine, as it was for the backends of a finding."""
    environments = (facts["environment"] for facts in finding.backends.values())
    sides = (Evidence({"device": finding.plan.device}, environment=environment) for environment in environments)
    return tuple(sorted({fact for side in sides for fact in comparability.key(side, Purpose.PARITY, ("versions",))}))


def _digest(key: Key) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()[:6]


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
