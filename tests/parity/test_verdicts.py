"""What findings say of records: which count, and the mark beside a rate."""

from __future__ import annotations

import copy
from pathlib import Path

from bcdl.parity.findings import Finding
from bcdl.parity.verdicts import NEVER_MEASURED, Verdicts, group_findings
from bcdl.records.groups import group_records
from bcdl.report import tables
from bcdl.report.sections.metrics import METRICS, metric_table
from bcdl.report.tables import Table
from tests.factory import record
from tests.parity.dumps import judged, write, write_reference


def fit_table(*findings: Finding) -> Table:
    """The fit rates of a record on each of two backends, beside these findings."""
    verdicts = Verdicts([("a-machine", finding) for finding in findings])
    (group,) = group_records([("a-machine", record(backend=backend)) for backend in ("jax", "torch")], verdicts)
    (fit,) = (metric for metric in METRICS if metric.name == "fit_images_per_s")
    return metric_table(group, fit)


def fit_rates(*findings: Finding) -> tuple[str, ...]:
    """Their row, as people see it."""
    return fit_table(*findings).shown()[0]


def test_a_rate_without_parity_is_marked() -> None:
    assert fit_rates()[2:] == ("100.0†", "100.0†", "not measured")
    assert tables.to_csv([fit_table()]).splitlines()[1] == "Fit rate (images/s),CNN,random,100.0,100.0,not measured"


def test_a_rate_whose_parity_failed_is_marked_with_the_layer(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"second": 1e-3, "third": 1e-3})
    write_reference(tmp_path)
    *rates, parity = fit_rates(judged(tmp_path))
    assert rates[2:] == ["100.0‡", "100.0‡"]
    assert parity.startswith("differs: second (Conv2D, torch)")


def test_a_rate_with_parity_is_not_marked(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8})
    write_reference(tmp_path)
    assert fit_rates(judged(tmp_path))[2:] == ("100.0", "100.0", "within float32 rounding")


def test_the_outcome_decides_on_the_mark_and_not_the_words(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", start="other")
    finding = judged(tmp_path)
    finding.pairs["jax-torch"]["verdict"] = "not the same: initial weights"
    assert fit_rates(finding)[2:] == ("100.0‡", "100.0‡", "not the same: initial weights")


def test_findings_of_two_processors_in_one_folder_stand_apart(tmp_path: Path) -> None:
    """Arithmetic rounds as the instruction sets have it."""
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8})
    write_reference(tmp_path)
    older = judged(tmp_path)
    newer = copy.deepcopy(older)
    for facts in newer.backends.values():
        facts["environment"]["identity"] = {"hardware": "1a2b3c4d", "vendor": "AuthenticAMD"}
    groups = group_findings([("a-machine", older), ("a-machine", newer)])
    assert [group.findings for group in groups] == [(older,), (newer,)]
    assert len({group.slug for group in groups}) == len({group.title for group in groups}) == 2
    assert groups[0].slug == group_findings([("a-machine", older)])[0].slug
    assert fit_rates(newer)[2:] == ("100.0†", "100.0†", "not measured")


def test_a_verdict_of_another_size_says_so(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    verdicts = Verdicts([("a-machine", judged(tmp_path))])
    larger = [record(backend=backend, image_size=96) for backend in ("jax", "torch")]
    assert verdicts.of("a-machine", *larger) == "identical at 32x32"
    assert verdicts.mark("a-machine", larger[:1], larger) == ""


def test_parity_of_other_versions_or_another_machine_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    verdicts = Verdicts([("a-machine", judged(tmp_path))])
    first, other = record(backend="jax"), record(backend="torch")
    assert verdicts.of("a-machine", first, other) == "identical"
    assert verdicts.of("another", first, other) == NEVER_MEASURED
    newer = record(backend="torch")
    newer.environment["versions"] = {"keras": "3.16.0"}
    assert verdicts.of("a-machine", first, newer) == NEVER_MEASURED
