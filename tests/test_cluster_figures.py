"""The figures of docs/cluster.md follow from what the benchmark has measured, and say what they are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from bcdl.errors import UsageError
from benchmarks import cluster, two_nodes
from benchmarks.cluster import Measured

MADE = Measured(
    cells=100,
    arrays=1,
    nodes=2,
    records=100,
    wall_s=150.0,
    driver_cpu_s=5.0,
    driver_mib=80.4,
    report_mib=300.0,
    machine="a machine",
    measured="2026-01-01T00:00:00.000+00:00",
    commit="0123456789",
    version="0.1.0",
)


def test_the_document_has_the_figures_that_were_measured() -> None:
    text = (Path(cluster.__file__).parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert cluster.with_figures(text) == text, "run python -m benchmarks.cluster write"


def test_both_sizes_were_measured_and_no_record_is_missing() -> None:
    measured = cluster.read()
    assert {(made.cells, made.arrays) for made in measured} >= {(900, 1), (2500, 2)}
    assert all(made.records == made.cells for made in measured)


def test_a_cells_cost_is_the_time_of_the_node_that_it_had(tmp_path: Path) -> None:
    later = dataclasses.replace(MADE, wall_s=100.0)
    file = tmp_path / "measured.jsonl"
    file.write_text("".join(f"{json.dumps(dataclasses.asdict(made))}\n" for made in (MADE, later)))
    assert cluster.read(file) == [later]
    assert (MADE.cell_s, later.cell_s) == (3.0, 2.0)
    shown = cluster.table([MADE]).to_markdown()
    for part in ("3.00 s", "50 ms", "80 MiB", "300 MiB"):
        assert part in shown


def test_a_document_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(UsageError, match="lacks the lines"):
        cluster.with_figures("# A page")


def test_what_is_missing_is_said_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(two_nodes, "missing", lambda: ["slurmd", "munged"])
    assert two_nodes.main() == 1
    assert capsys.readouterr().out == f"this machine lacks slurmd, munged: {two_nodes.HOW_TO_GET}\n"
