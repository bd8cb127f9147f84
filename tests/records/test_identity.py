"""A record counts once wherever it stands; one that was edited since it was written, or contradicts another, never."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcdl.records import archive, experiment, log, store
from bcdl.records.record import Record, RecordError
from tests.conftest import ROOT
from tests.factory import EXPERIMENT, as_of_older, record, with_rates

MACHINE = "a-machine"
RUN = record().run
EXAMPLE = (ROOT / "tests" / "records" / "schemas" / "13.json").read_text(encoding="utf-8").strip()
# What a line's own count is, is no part of its identity: each log gives another.
FREE = ("sequence",)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all that stands in a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in places(part, (*path, key)))]


PLACES = [path for path in places(json.loads(EXAMPLE)) if path and path[0] not in FREE]


def holder(values: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        values = values[key]
    return values


@settings(max_examples=150)
@given(st.sampled_from(PLACES), st.sampled_from(["removed", None, 0, -1, 0.5, "x", [], {}, True]))
def test_no_field_can_be_edited_unseen(path: tuple[Any, ...], value: Any) -> None:
    line = json.loads(EXAMPLE)
    within = holder(line, path)
    if value == "removed":
        del within[path[-1]]
    else:
        if json.dumps(within[path[-1]]) == json.dumps(value):
            return
        within[path[-1]] = value
    with pytest.raises(RecordError):
        Record.from_json(json.dumps(line))


@pytest.mark.parametrize(
    "formatted",
    [
        lambda values: json.dumps(values, separators=(",", ":")),
        lambda values: " ".join(json.dumps(values, indent=4).split("\n")),
        lambda values: json.dumps(values, ensure_ascii=False) + "\r",
        lambda values: json.dumps({**values, "sequence": 77}),
    ],
)
def test_a_line_that_was_formatted_anew_is_the_same_record(formatted: Any, tmp_path: Path) -> None:
    made = dataclasses.replace(record(), log_tail=["Größe"])
    file = store.append(tmp_path, MACHINE, made)
    line = file.read_text(encoding="utf-8").strip()
    other = formatted(json.loads(line))
    assert Record.from_json(other) == made
    file.write_text(f"{line}\n{other}\n", encoding="utf-8")
    records, (problem,) = store.read_all(tmp_path)
    assert (records, problem.copies, problem.is_loss) == ([(MACHINE, made)], 1, False)


def test_a_line_without_its_digest_or_with_one_of_an_older_schema_was_edited() -> None:
    values = json.loads(record().to_json())
    digest = values.pop("sha256")
    for edited in (values, {**values, "sha256": None}, {**values, "schema": 10, "sha256": digest}):
        with pytest.raises(RecordError, match="edited since it was written"):
            Record.from_json(json.dumps(edited))


def test_a_record_that_was_changed_by_this_code_is_another_record() -> None:
    changed = dataclasses.replace(record(), block="r/1")
    assert Record.from_json(changed.to_json()) == changed


def of_home(**changes: Any) -> Record:
    """A record of a machine whose folder's name its facts say."""
    made = record(**changes)
    return dataclasses.replace(made, environment={**made.environment, "cpu": "AMD EPYC"})


@pytest.mark.parametrize(
    ("copy", "reason"),
    [
        ("amd-epyc-2-cores (copy)/{run}.jsonl", "it has 3 lines that are copies of others"),
        ("aaa/{run}.jsonl", "it has 3 lines that are copies of others"),
        ("amd-epyc-2-cores/{run} (1).jsonl", "a copy of {run}.jsonl, as sync tools make, without any other line"),
        ("amd-epyc-2-cores/backup/{run}.jsonl", "it has 3 lines that are copies of others"),
        ("backup/2026/amd-epyc-2-cores/{run}.jsonl", "it has 3 lines that are copies of others"),
        ("{run}.jsonl", "it has 3 lines that are copies of others"),
    ],
)
def test_a_backup_within_the_log_counts_once_at_home_and_is_told(copy: str, reason: str, tmp_path: Path) -> None:
    made = [of_home(seed=seed) for seed in range(3)]
    for each in made:
        file = store.append(tmp_path, "amd-epyc-2-cores", each)
    other = tmp_path / "records" / copy.format(run=file.stem)
    other.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, other)
    records, (problem,) = store.read_all(tmp_path)
    assert records == [("amd-epyc-2-cores", each) for each in made]
    assert (problem.copies, problem.is_loss) == (3, False)
    assert str(problem).startswith(f"records/{copy}: {reason}".format(run=file.stem))


def test_a_misplaced_file_with_a_line_that_stands_nowhere_else_is_a_loss(tmp_path: Path) -> None:
    file = store.append(tmp_path, MACHINE, record())
    other = file.with_name(f"{file.stem} (1).jsonl")
    other.write_text(file.read_text() + record(seed=1).to_json() + "\n")
    records, (problem,) = store.read_all(tmp_path)
    assert (len(records), problem.is_loss) == (1, True)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_any_order_and_repetition_of_lines_gives_the_same_records(chosen: list[int]) -> None:
    lines = [record(seed=seed).to_json() for seed in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        file = store.file_of(Path(folder), MACHINE, RUN)
        file.parent.mkdir(parents=True)
        file.write_text("".join(lines[number] + "\n" for number in chosen))
        records, problems = store.read_all(Path(folder))
        assert [entry.cell.seed for _, entry in records] == list(dict.fromkeys(chosen))
        assert sum(problem.copies for problem in problems) == len(chosen) - len(set(chosen))


SAMPLES = [0.041, 0.042, 0.043]


def sampled(**changes: Any) -> Record:
    made = record(**changes)
    return dataclasses.replace(
        made,
        samples={**made.samples, "step_s": SAMPLES},
        metrics={**made.metrics, "step_images_per_s": made.cell.batch_size / 0.042},
    )


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (record(), with_rates(record(), step=200.0), "one cell and start in one run"),
        (record(), dataclasses.replace(record(), log_tail=["x"]), "one cell and start in one run"),
        (sampled(), sampled(model="mobilenet"), "the same raw samples"),
        (sampled(), sampled(run="20260102T000000Z-0000"), "the same raw samples"),
        (sampled(), dataclasses.replace(sampled(), block="r/1"), "the same raw samples"),
    ],
)
def test_different_records_that_claim_one_identity_count_for_nothing(
    first: Record, second: Record, why: str, tmp_path: Path
) -> None:
    third = record(seed=9)
    for each in (first, second, third):
        store.append(tmp_path, MACHINE, each)
    records, problems = store.read_all(tmp_path)
    assert records == [(MACHINE, third)]
    assert [problem.is_loss for problem in problems] == [True, True]
    assert all(f"differ, but are of {why}" in str(problem) for problem in problems)
    assert {(Path(problem.file).stem, problem.line) for problem in problems} == {
        (first.run, 1),
        (second.run, 2 if first.run == second.run else 1),
    }


def test_experiments_and_findings_count_once(tmp_path: Path) -> None:
    for name in ("experiments", "parity"):
        shutil.copytree(ROOT / "results" / name, tmp_path / name)
        for folder in list((tmp_path / name).iterdir()):
            shutil.copytree(folder, folder.with_name(f"{folder.name}-backup"))
    for read in (experiment.read_all, lambda results: _findings(results)):
        entries, problems = read(tmp_path)
        assert entries == read(ROOT / "results")[0]
        assert sum(problem.copies for problem in problems) == len(entries) > 0


def _findings(results: Path) -> Any:
    from bcdl.parity import findings

    return findings.read_findings(results)


def test_an_experiment_that_is_appended_twice_counts_once(tmp_path: Path) -> None:
    for _ in range(2):
        experiment.append(tmp_path, "m", EXPERIMENT)
    entries, (problem,) = experiment.read_all(tmp_path)
    assert (len(entries), problem.copies) == (1, 1)


def test_what_came_home_under_another_name_or_twice_in_an_archive_is_no_new_line(tmp_path: Path) -> None:
    away, home = tmp_path / "away", tmp_path / "home"
    file = store.append(away, "a-gpu", record(run=RUN))
    file.write_text(file.read_text() * 4)
    shutil.copytree(file.parent, away / "records" / "a-gpu-backup")
    packed = archive.pack(away, tmp_path / "a")
    first = archive.unpack(packed, home)
    assert (sum(first.added.values()), first.known, first.left_out) == (1, 7, [])
    (home / "records" / "a-gpu").rename(home / "records" / "renamed")
    assert not archive.unpack(packed, home).added


def test_a_line_of_an_archive_that_contradicts_one_at_home_is_left_out(tmp_path: Path) -> None:
    store.append(tmp_path / "home", "a-gpu", record(run=RUN))
    store.append(tmp_path / "away", "a-gpu", with_rates(record(run=RUN), step=200.0))
    done = archive.unpack(archive.pack(tmp_path / "away", tmp_path / "a"), tmp_path / "home")
    (problem,) = done.left_out
    assert "differ, but are of one cell and start in one run" in str(problem)
    assert not done.added
    assert store.read_all(tmp_path / "home") == ([("a-gpu", record(run=RUN))], [])


def test_an_edited_line_of_an_archive_is_left_out(tmp_path: Path) -> None:
    file = store.append(tmp_path / "away", "a-gpu", record(run=RUN))
    file.write_text(file.read_text().replace('"test_accuracy": 0.75', '"test_accuracy": 0.95'))
    done = archive.unpack(archive.pack(tmp_path / "away", tmp_path / "a"), tmp_path / "home")
    assert "edited since it was written" in str(done.left_out[0])


def test_lines_of_older_schemas_have_an_identity_too(tmp_path: Path) -> None:
    """It is what they hold, since they name no digest."""
    file = store.file_of(tmp_path, MACHINE, RUN)
    file.parent.mkdir(parents=True)
    old = as_of_older(record())
    file.write_text(
        "\n".join([json.dumps(old), json.dumps(old, separators=(",", ":")), json.dumps(old, sort_keys=True)])
    )
    records, (problem,) = store.read_all(tmp_path)
    assert (len(records), problem.copies) == (1, 2)


def test_every_log_that_is_kept_has_no_copies() -> None:
    for name in log.LOGS:
        assert (ROOT / "results" / name).is_dir()
    assert [problem for problem in store.read_all(ROOT / "results")[1] if problem.copies] == []
