"""Where the time of cells goes: tables that sum to the whole time, and the command that shows them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl import phases as command
from bcdl.errors import UsageError
from bcdl.records import store
from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.report.sections.phases import MEASURED, PHASES, phase_tables
from bcdl.report.tables import Table
from tests.factory import record

SECONDS = st.dictionaries(st.sampled_from([*PHASES, "a phase of another version"]), st.floats(0.1, 1000), min_size=1)


def with_phases(seconds: dict[str, float], **changes: object) -> Record:
    return dataclasses.replace(record(**changes), phases=seconds)


def group_of(*records: Record) -> Group:
    (group,) = group_records([("a-machine", entry) for entry in records])
    return group


def values(table: Table) -> dict[str, list[float]]:
    """The figures of each row, by the row's phase."""
    return {name.value: [entry.value for entry in entries] for name, *entries in table.rows}


@given(SECONDS, SECONDS)
def test_rows_and_columns_sum_to_the_whole_time(cnn: dict[str, float], mobilenet: dict[str, float]) -> None:
    (table,) = phase_tables(group_of(with_phases(cnn), with_phases(mobilenet, model="mobilenet")))
    rows = values(table)
    share, whole = rows.pop("of it measured, %"), rows.pop("all")
    assert rows.keys() == cnn.keys() | mobilenet.keys()
    assert [sum(column) for column in zip(*rows.values(), strict=True)] == pytest.approx(whole)
    each = [sum(cnn.values()), sum(mobilenet.values())]
    assert whole == pytest.approx([*each, sum(each)])
    measured = sum(seconds for name, seconds in cnn.items() if name in MEASURED)
    assert share[0] == pytest.approx(100 * measured / sum(cnn.values()))


def test_times_of_several_machines_are_said_to_be() -> None:
    entries = [with_phases({"building": 3.0}, seed=seed, timing=False) for seed in (0, 1)]
    (group,) = group_records(list(zip("mn", entries, strict=True)))
    (table,) = phase_tables(group)
    assert table.title == "Where the time goes on torch (s; cells of 2 machines)"


def test_a_figure_is_the_mean_over_seeds_so_that_what_only_the_first_did_counts() -> None:
    seeds = [{"building": 3.0, "first step": 96.0}, {"building": 3.0}, {"building": 6.0}]
    entries = [with_phases(each, seed=seed) for seed, each in enumerate(seeds)]
    for entry in entries[1:]:
        entry.environment.update({"compilation_cache": "warm", "process": {"cells_before": 1}})
    (table,) = phase_tables(group_of(*entries))
    assert values(table)["building"] == [4.0, 4.0]
    assert values(table)["first step"] == [32.0, 32.0]
    assert table.title == (
        "Where the time goes on torch (s; 2 of 3 cells from a warm compilation cache; 2 of 3 cells after others in one "
        "process)"
    )


def test_phases_stand_in_the_order_in_which_a_cell_comes_to_them() -> None:
    seconds = dict.fromkeys([*reversed(PHASES), "something new"], 1.0)
    (table,) = phase_tables(group_of(with_phases(seconds)))
    assert [row[0].value for row in table.rows] == [*PHASES, "something new", "all", "of it measured, %"]


def test_each_backend_has_a_table_and_older_records_have_none() -> None:
    both = group_of(with_phases({"building": 1.0}, backend="jax"), with_phases({"building": 3.0}, backend="torch"))
    assert [table.title for table in phase_tables(both)] == [
        "Where the time goes on jax (s)",
        "Where the time goes on torch (s)",
    ]
    assert phase_tables(group_of(record())) == ()


def test_the_command_shows_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(tmp_path, "a-machine", with_phases({"building": 1.25, "first step": 3.75}))
    monkeypatch.setattr("sys.argv", ["bcdl phases", "--results", str(tmp_path)])
    assert command.main() == 0
    shown = capsys.readouterr().out
    assert "a-machine: synthetic-48" in shown
    assert "5.0" in next(line for line in shown.splitlines() if line.startswith("│ all"))


def test_the_command_says_so_if_no_record_has_phases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(tmp_path, "a-machine", record())
    monkeypatch.setattr("sys.argv", ["bcdl phases", "--results", str(tmp_path)])
    with pytest.raises(UsageError, match=r"no record in .* says where its time went"):
        command.main()
