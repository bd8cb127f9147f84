"""`bcdl collect`: what other folders hold arrives once, if it can be trusted, and nothing else does anything."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcdl.machine import hardware
from bcdl.records import archive, experiment, log, runs, store
from bcdl.records.record import SCHEMA, Record
from tests import factory
from tests.conftest import ROOT
from tests.in_process import completed
from tests.invocations.places import State
from tests.records.test_archive import lengths

RUN, OTHER = "20261121T142328Z-af84", "20261122T142328Z-af84"


def measured(folder: Path, *seeds: int, run: str = RUN, machine: str = "a-machine") -> Path:
    """A results folder with a record for each seed; the folder."""
    for seed in seeds:
        store.append(folder, machine, factory.record(run=run, seed=seed))
    return folder


def collect(home: Path, *folders: Path) -> subprocess.CompletedProcess[str]:
    return completed("collect", *folders, "--results", home)


def seeds(results: Path) -> list[int]:
    """Of all records, oldest first; nothing in the log may be odd."""
    records, problems = store.read_all(results)
    assert not problems
    return [record.cell.seed for _, record in records]


def file_of(folder: Path, run: str = RUN) -> Path:
    return log.file_of(folder, log.RECORDS, "a-machine", run)


def test_folders_are_joined_each_machine_in_its_own_and_stay_as_they_are(tmp_path: Path) -> None:
    home = measured(tmp_path / "home", 0)
    first = measured(tmp_path / "a", 1, 2, run=OTHER)
    second = measured(tmp_path / "b", 3, run="20261123T142328Z-af84", machine="another-machine")
    experiment.append(second, "another-machine", factory.EXPERIMENT)
    before = [State.of(folder) for folder in (first, second)]
    done = collect(home, first, second)
    assert done.returncode == 0, done.stderr
    assert f"{first}: 2 lines added, 0 were there already" in done.stdout
    assert f"{second}: 2 lines added, 0 were there already" in done.stdout
    assert f"bcdl report --results {home} makes tables and plots of all" in done.stdout
    assert seeds(home) == [0, 1, 2, 3]
    assert [record.sequence for _, record in store.read_all(home)[0]] == [1, 2, 3, 4]
    assert {machine for machine, _ in store.read_all(home)[0]} == {"a-machine", "another-machine"}
    assert [machine for machine, _ in experiment.read_all(home)[0]] == ["another-machine"]
    assert [State.of(folder) for folder in (first, second)] == before
    assert completed("report", "--results", home).returncode == 0


@settings(max_examples=20)
@given(st.lists(st.sets(st.integers(0, 9), min_size=1), min_size=1, max_size=3))
def test_whatever_folders_have_in_common_each_record_arrives_once(parts: list[set[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        sources = [measured(Path(folder) / str(number), *part) for number, part in enumerate(parts)]
        assert collect(home, *sources).returncode == 0
        assert sorted(seeds(home)) == sorted(set.union(*parts))
        again = collect(home, *sources, sources[0])
        assert " 0 lines added" in again.stdout
        assert sorted(seeds(home)) == sorted(set.union(*parts))


def test_every_log_that_is_committed_is_collected(tmp_path: Path) -> None:
    done = collect(tmp_path / "home", ROOT / "results")
    assert done.returncode == 0, done.stdout
    assert lengths(tmp_path / "home") == lengths(ROOT / "results")


def test_many_lines_of_a_run_are_added_in_their_order(tmp_path: Path) -> None:
    source = measured(tmp_path / "a", *range(50))
    assert collect(measured(tmp_path / "home", 99, run=OTHER), source).returncode == 0
    assert seeds(tmp_path / "home") == [99, *range(50)]


def test_records_of_a_later_folder_are_the_newer_ones(tmp_path: Path) -> None:
    first, second = measured(tmp_path / "a", 5, 6, run=OTHER), measured(tmp_path / "b", 7, run=RUN)
    assert collect(tmp_path / "home", first, second).returncode == 0
    assert seeds(tmp_path / "home") == [5, 6, 7]


def contradiction(folder: Path) -> Path:
    """A folder with another record of a cell that a run of this name started at this moment, and one of its own."""
    store.append(folder, "a-machine", factory.record(run=RUN, seed=1, status="failed"))
    return measured(folder, 4)


def test_of_two_that_claim_to_be_the_same_neither_is_added(tmp_path: Path) -> None:
    first, second = measured(tmp_path / "a", 1, 2), contradiction(tmp_path / "b")
    done = collect(tmp_path / "home", first, second)
    assert done.returncode == 1
    assert done.stderr == "error: 2 lines were left out, since they can't be trusted; the notes above say why\n"
    for one, other in ((file_of(first), file_of(second)), (file_of(second), file_of(first))):
        assert (
            f"the first: {one}, line 1: it and {other}, line 1 differ, but are of one cell and start in" in done.stdout
        )
    assert seeds(tmp_path / "home") == [2, 4]


def test_what_contradicts_a_record_that_is_there_is_not_added(tmp_path: Path) -> None:
    home = measured(tmp_path / "home", 1)
    before = file_of(home).read_bytes()
    done = collect(home, contradiction(tmp_path / "a"))
    assert done.returncode == 1
    assert f"note: 1 lines are left out, the first: {file_of(tmp_path / 'a')}, line 1: it and records/" in done.stdout
    assert file_of(home).read_bytes().startswith(before)
    assert seeds(home) == [1, 4]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"test_accuracy": 0.75', '"test_accuracy": 0.99', "edited since it was written"),
        ('"seed": 1', '"seed": -1', "edited since it was written"),
        (f'"run": "{RUN}"', f'"run": "{OTHER}"', "edited since it was written"),
        (f'"schema": {SCHEMA}', f'"schema": "{SCHEMA}"', "a line without a schema number"),
        ('{"schema"', '{"schema', "not a line of JSON"),
    ],
)
def test_a_line_that_was_edited_or_torn_is_left_out_and_the_others_arrive(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    source = measured(tmp_path / "a", 0, 1, 2)
    lines = file_of(source).read_text().splitlines()
    assert old in lines[1]
    file_of(source).write_text("\n".join([lines[0], lines[1].replace(old, new), lines[2]]))
    before = file_of(source).read_bytes()
    done = collect(tmp_path / "home", source)
    assert done.returncode == 1
    assert f"note: 1 lines are left out, the first: {file_of(source)}, line 2: {reason}" in done.stdout
    assert seeds(tmp_path / "home") == [0, 2]
    assert file_of(source).read_bytes() == before  # not even the end that its last line lacks


def test_a_line_that_is_sealed_but_says_what_its_samples_do_not_is_left_out(tmp_path: Path) -> None:
    made = factory.record(run=RUN, seed=1)
    false = dataclasses.replace(made, metrics={**made.metrics, "step_images_per_s": 9999.0})
    store.append(tmp_path / "a", "a-machine", false)
    done = collect(tmp_path / "home", measured(tmp_path / "a", 2))
    assert done.returncode == 1
    assert "step_images_per_s" in done.stdout
    assert seeds(tmp_path / "home") == [2]


def test_what_a_newer_bcdl_wrote_can_not_be_checked_and_is_left_out(tmp_path: Path) -> None:
    folder = measured(tmp_path / "a", 1)
    with file_of(folder).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"schema": 999, "run": RUN, "x": "anything"}) + "\n")
    done = collect(tmp_path / "home", folder)
    assert done.returncode == 1
    assert "schema 999 is newer than this bcdl reads" in done.stdout
    assert seeds(tmp_path / "home") == [1]


def test_links_and_foreign_files_are_left_alone_and_told(tmp_path: Path) -> None:
    source, secret = measured(tmp_path / "a", 1), measured(tmp_path / "secret", 2, run=OTHER)
    file_of(source, OTHER).symlink_to(file_of(secret, OTHER))
    (source / "records" / "linked").symlink_to(secret / "records" / "a-machine")
    (source / "experiments").symlink_to(secret / "records")
    (source / "records" / "notes.txt").write_text("of mine")
    (source / "records" / "a-machine" / "notes.jsonl").write_text("{}")
    (source / "records" / "a-machine" / f"{OTHER} (1).jsonl").write_text("{}")
    (source / "records" / "..b").mkdir()
    (source / "records" / "..b" / f"{OTHER}.jsonl").write_text(factory.record(run=OTHER).to_json())
    done = collect(tmp_path / "home", source)
    assert done.returncode == 0, done.stderr
    assert "note: 7 files are no logs of bcdl, records/..b/" in done.stdout
    assert seeds(tmp_path / "home") == [1]
    assert [path.name for path in (tmp_path / "home" / "records").iterdir()] == ["a-machine"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_the_place_of_a_log_is_not_waited_for(tmp_path: Path) -> None:
    source = measured(tmp_path / "a", 1)
    os.mkfifo(file_of(source, OTHER))
    done = collect(tmp_path / "home", source)
    assert f"note: 1 files are no logs of bcdl, records/a-machine/{OTHER}.jsonl for one" in done.stdout
    assert seeds(tmp_path / "home") == [1]


def test_what_is_no_results_folder_is_refused_and_nothing_is_added(tmp_path: Path) -> None:
    good, (empty, linked) = measured(tmp_path / "a", 1), (tmp_path / name for name in ("empty", "linked"))
    for folder in (empty, linked):
        folder.mkdir()
    (linked / "records").symlink_to(good / "records")
    (tmp_path / "file").write_text("x")
    for wrong, reason in (
        (empty, "holds no records, findings or experiments of bcdl; name a results folder"),
        (linked, "holds no records, findings or experiments of bcdl"),
        (tmp_path / "missing", "is no folder; name a results folder"),
        (tmp_path / "file", "is no folder; name a results folder"),
    ):
        done = collect(tmp_path / "home", good, wrong)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith(f"error: {wrong} {reason}")
    assert not (tmp_path / "home").exists()


def test_the_results_folder_itself_is_refused_by_any_of_its_names(tmp_path: Path) -> None:
    home = measured(tmp_path / "home", 1)
    (tmp_path / "link").symlink_to(home)
    for name in (home, tmp_path / "link", home / ".." / "home"):
        done = collect(home, name)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "is the results folder itself; name others, or another one with --results" in done.stderr


def test_logs_that_are_larger_than_memory_should_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 5000)
    done = collect(tmp_path / "home", measured(tmp_path / "a", 1, 2, 3))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the logs of one folder have more than 0 MiB" in done.stderr


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_a_log_that_cannot_be_read_is_named_and_nothing_is_added(tmp_path: Path) -> None:
    source = measured(tmp_path / "a", 1)
    file_of(source).chmod(0)
    done = collect(tmp_path / "home", source)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{file_of(source)} can't be read (Permission denied)" in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_run_that_is_under_way_in_the_results_folder_is_not_added_to(tmp_path: Path) -> None:
    with runs.claim(tmp_path / "home", RUN):
        done = collect(tmp_path / "home", measured(tmp_path / "a", 1))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"run {RUN} is under way in" in done.stderr


def test_a_record_in_the_folder_of_another_machine_is_told(tmp_path: Path) -> None:
    values = factory.as_of_older(factory.record(run=RUN))
    values["environment"] |= hardware.describe("cpu")
    store.append(tmp_path / "a", "another-machine", Record.from_json(json.dumps(values)))
    store.append(tmp_path / "b", hardware.machine_name("cpu"), Record.from_json(json.dumps({**values, "run": OTHER})))
    told = "note: 1 lines name another machine than their folder does"
    assert told in collect(tmp_path / "home", tmp_path / "a").stdout
    assert told not in collect(tmp_path / "home", tmp_path / "b").stdout


def test_of_copies_in_two_folders_of_machines_that_of_its_own_machine_is_added(tmp_path: Path) -> None:
    values = factory.as_of_older(factory.record(run=RUN))
    values["environment"] |= hardware.describe("cpu")
    for machine in ("a-copy", hardware.machine_name("cpu"), "z-copy"):
        store.append(tmp_path / "a", machine, Record.from_json(json.dumps(values)))
    assert "1 lines added, 2 were there already" in collect(tmp_path / "home", tmp_path / "a").stdout
    assert [machine for machine, _ in store.read_all(tmp_path / "home")[0]] == [hardware.machine_name("cpu")]
    store.append(tmp_path / "copied", "a-copy", Record.from_json(json.dumps(values)))
    # One that is there already, wherever it stands, is enough.
    assert "0 lines added, 3 were there already" in collect(tmp_path / "copied", tmp_path / "a").stdout


def printed(folder: Path, name: str, content: bytes) -> Path:
    """A file of what a worker of the run printed."""
    file = runs.folder_of(folder, RUN) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def test_what_workers_printed_comes_along_if_it_is_short_and_replaces_nothing(tmp_path: Path) -> None:
    source, home = measured(tmp_path / "a", 1), tmp_path / "home"
    printed(source, "cnn-torch-seed1.log", b"a trace\n")
    printed(source, "there.log", b"another\n")
    printed(source, "long.log", bytes(2**18 + 1))
    printed(source, "status.json", b"{}")
    printed(source, "linked.log", b"").unlink()
    runs.folder_of(source, RUN).joinpath("linked.log").symlink_to("/etc/passwd")
    mine = printed(home, "there.log", b"mine\n")
    done = collect(home, source)
    assert done.returncode == 0, done.stderr
    assert f"{source}: what 1 workers printed was copied to {home / 'local' / 'runs'}" in done.stdout
    assert f"note: what 2 workers printed stays in {source}: long, a link, or no room" in done.stdout
    assert mine.read_bytes() == b"mine\n"
    there = runs.folder_of(home, RUN)
    assert {file.name for file in there.iterdir()} == {"cnn-torch-seed1.log", "there.log", runs.OWNER_FILE}
    assert (there / "cnn-torch-seed1.log").read_bytes() == b"a trace\n"


def test_nothing_is_written_through_a_link_in_the_results_folder(tmp_path: Path) -> None:
    source, home, outside = measured(tmp_path / "a", 1), measured(tmp_path / "home", 2, run=OTHER), tmp_path / "outside"
    outside.mkdir()
    (home / "records" / "another-machine").symlink_to(outside)
    store.append(source, "another-machine", factory.record(run="20261123T142328Z-af84"))
    done = collect(home, source)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is a link, and would be written through" in done.stderr
    assert list(outside.iterdir()) == []
    assert seeds(home) == [2]


def test_many_runs_are_joined_by_a_process_that_may_open_few_files(tmp_path: Path) -> None:
    """Each cell of a cluster's run has a file of its own."""
    resource = pytest.importorskip("resource")
    for number in range(120):
        measured(tmp_path / "a", number, run=f"{RUN}-{number}")
    # A process of its own: this one has files open by now, of tests before this one.
    done = subprocess.run(
        [sys.executable, "-m", "bcdl", "collect", tmp_path / "a", "--results", tmp_path / "home"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    assert done.returncode == 0, done.stderr
    assert sorted(seeds(tmp_path / "home")) == list(range(120))


@pytest.mark.parametrize("link", ["local", "local/runs", "local/runs/RUN", "local/runs/RUN/tasks"])
def test_no_link_on_the_way_to_what_workers_printed_is_followed(tmp_path: Path, link: str) -> None:
    folder = measured(tmp_path / "a", 1, run=f"{RUN}-3")
    place = folder / link.replace("RUN", RUN)
    shutil.rmtree(folder / "local", ignore_errors=True)
    secret = tmp_path / "elsewhere" / os.path.relpath(runs.folder_of(folder, f"{RUN}-3"), place)
    secret.mkdir(parents=True)
    (secret / "secret.log").write_text("mine")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(tmp_path / "elsewhere")
    assert collect(tmp_path / "home", folder).returncode == 0
    assert not list((tmp_path / "home").rglob("*.log"))
