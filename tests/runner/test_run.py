"""What --resume leaves out: cells whose newest record was made by the same code, of the same data, in the same place.

A worker ended by its driver leaves no digest of its code: such a cell is run again, since its limits may be others now.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bcdl import datasets
from bcdl.datasets import handover, sources
from bcdl.errors import UsageError
from bcdl.machine import hardware, provenance
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.report.doubt_lines import clock_lines
from bcdl.runner.progress import RunProgress
from bcdl.runner.run import Run
from tests.factory import as_of_older, job, record

Change = Callable[[dict[str, Any]], Any]


def made_here(run: str = "20260101T000000Z-0000", status: str = "ok", change: Change = dict) -> Record:
    """A record as a worker here and now would leave it, then changed."""
    values = as_of_older(record(run=run))
    values["environment"] |= {**hardware.describe("cpu"), "code": provenance.digest("torch")}
    values["status"] = status
    change(values)
    return Record.from_json(json.dumps(values))


def trained(**changes: Any) -> dict[str, Any]:
    """The values that follow from changes to the settings of the training."""
    values = as_of_older(record(**changes))
    return {name: values[name] for name in ("cell", "history", "metrics", "samples")}


def is_left_out(results: Path, *records: Record, resume: bool = True) -> bool:
    for entry in records:
        store.append(results, hardware.machine_name("cpu"), entry)
    run = Run([job()], results, resume=resume)
    notes = run.check()
    if resume:
        assert f"resumed: {1 - len(run.left)} of 1 cells have their record already" in notes
    return not run.left


@pytest.mark.parametrize("status", ["ok", "skipped", "out_of_memory"])
def test_what_would_end_in_the_same_way_is_left_out(status: str, tmp_path: Path) -> None:
    assert is_left_out(tmp_path, made_here(status=status))


@pytest.mark.parametrize("status", ["failed", "crashed", "timed_out", "unheard-of"])
def test_what_may_end_otherwise_is_run_again(status: str, tmp_path: Path) -> None:
    assert not is_left_out(tmp_path, made_here(status=status))


def test_records_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Or a cell would run again without a word of why."""
    file = store.append(tmp_path, hardware.machine_name("cpu"), made_here())
    file.write_text(file.read_text().replace('{"schema": ', '{"schema": 9'))
    run = Run([job()], tmp_path, resume=True)
    notes = run.check()
    assert run.left == [job()]
    unread = f"not read, and so not resumed from: records/{file.parent.name}/{file.name}, line 1: schema 9"
    assert any(note.startswith(unread) for note in notes)


def test_without_resume_everything_is_measured_anew(tmp_path: Path) -> None:
    assert not is_left_out(tmp_path, made_here(), resume=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values["environment"].update(code="0" * 16),
        lambda values: values["environment"].pop("code"),
        lambda values: values["environment"]["versions"].update(numpy="1.0"),
        lambda values: values["environment"].update(python="3.9.0"),
        lambda values: values["environment"].update(cpu="another"),
        lambda values: values["environment"].update(cpu_cores=1),
        lambda values: values["environment"].update(cpu_cores_allowed=99),
        lambda values: values["environment"].update(cpu_quota_cores=0.25),
        lambda values: values["environment"]["identity"].update(hardware="00000000"),
        lambda values: values["environment"].pop("identity"),
        lambda values: values["environment"]["variables"].update(OMP_NUM_THREADS="99"),
        lambda values: values["environment"].update(code_changed=True),
        lambda values: values["dataset"].update(checksum="0" * 64),
        lambda values: values["weights"].update(sha256="0" * 64),
        lambda values: values["cell"].update(seed=1),
        lambda values: values.update(trained(epochs=3)),
        lambda values: values.update(block="1"),
    ],
)
def test_what_was_made_otherwise_or_elsewhere_is_run_again(change: Change, tmp_path: Path) -> None:
    assert not is_left_out(tmp_path, made_here(change=change))


def test_another_commit_of_the_same_code_is_the_same(tmp_path: Path) -> None:
    assert is_left_out(
        tmp_path, made_here(change=lambda values: values["environment"].update(commit="0" * 40, dirty=True))
    )


def test_a_later_failure_counts_and_a_later_success_heals(tmp_path: Path) -> None:
    failed = made_here(run="20260102T000000Z-0000", status="failed")
    assert not is_left_out(tmp_path, made_here(), failed)
    assert is_left_out(tmp_path, dataclasses.replace(made_here(), run="20260103T000000Z-0000"))


def of_accuracy_alone(change: Change = dict) -> Record:
    """A record of such a cell, as another machine with our software would leave it, then changed."""

    def elsewhere(values: dict[str, Any]) -> None:
        values.update(trained(timing=False))
        values["environment"] |= {"cpu": "another", "cpu_cores": 64, "cpu_cores_allowed": 64}
        values["environment"]["identity"] |= {"hardware": "00000000", "digest": "11111111"}
        change(values)

    return made_here(change=elsewhere)


def test_of_accuracy_alone_a_record_of_another_machine_stands(tmp_path: Path) -> None:
    """Before, a study that another machine had begun was begun anew."""
    store.append(tmp_path, "another-machine-11111111", of_accuracy_alone())
    run = Run([job(timing=False), job()], tmp_path, resume=True)
    notes = run.check()
    assert "resumed: 1 of 2 cells have their record already" in notes
    assert "resumed from records of another-machine-11111111, of accuracy alone: 1" in notes
    assert run.left == [job()]


def test_a_newer_record_of_other_software_elsewhere_leaves_ours_as_it_is(tmp_path: Path) -> None:
    """Or two machines would train each other's cells again and again."""
    ours = made_here(change=lambda values: values.update(trained(timing=False)))
    theirs = of_accuracy_alone(lambda values: values["environment"]["versions"].update(numpy="1.0"))
    store.append(tmp_path, hardware.machine_name("cpu"), ours)
    store.append(tmp_path, "another-machine-11111111", dataclasses.replace(theirs, run="20260102T000000Z-0000"))
    run = Run([job(timing=False)], tmp_path, resume=True)
    run.check()
    assert run.left == []


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(status="out_of_memory"),
        lambda values: values.update(status="skipped"),
        lambda values: values["environment"].update(code="0" * 16),
        lambda values: values["environment"].update(python="3.9.0"),
        lambda values: values["environment"]["versions"].update(numpy="1.0"),
        lambda values: values["environment"]["variables"].update(OMP_NUM_THREADS="99"),
        lambda values: values["dataset"].update(checksum="0" * 64),
    ],
)
def test_of_accuracy_alone_what_may_end_otherwise_here_is_run_again(change: Change, tmp_path: Path) -> None:
    store.append(tmp_path, "another-machine-11111111", of_accuracy_alone(change))
    run = Run([job(timing=False)], tmp_path, resume=True)
    run.check()
    assert run.left == [job(timing=False)]


def test_records_of_another_machine_count_for_nothing_if_cells_are_timed(tmp_path: Path) -> None:
    store.append(tmp_path, "another-machine", made_here())
    run = Run([job()], tmp_path, resume=True)
    said = "not resumed from records of another machine, other cores or no known identity: another-machine"
    assert said in run.check()
    assert run.left == [job()]


# Runs of several data sets, such as the main job, whose companion has its own


def test_every_data_set_of_a_run_is_checked_as_its_own_jobs_need_it(tmp_path: Path) -> None:
    small, large = job(), job("synthetic-120", batch_size=64)
    run = Run([small, large], tmp_path)
    notes = run.check()
    assert [note for note in notes if note.endswith("images")] == [
        "data set synthetic-48: 28 train, 8 val, 12 test images",
        "data set synthetic-120: 84 train, 12 val, 24 test images",
    ]
    assert [run.leaks[each.request].duplicates.images for each in (small, large)] == [48, 120]


def test_a_batch_that_one_of_the_data_sets_cannot_fill_is_refused(tmp_path: Path) -> None:
    jobs = [job("synthetic-120", batch_size=64), job(batch_size=64)]
    with pytest.raises(UsageError, match="--batch-size 64 is more than the 28 training images"):
        Run(jobs, tmp_path).check()


SHOW_DATA = """
import json, sys
from bcdl import datasets
from bcdl.settings.job import Job

job = Job.from_dict(json.load(open(sys.argv[1]))["job"])
print(datasets.load(job.request, job.pool).checksum)
"""


def test_workers_get_the_images_that_the_driver_has_read(tmp_path: Path) -> None:
    """The folder is gone by the time at which they look."""
    data = Path(sources.modules()["folder"].example(tmp_path))
    cells = [job(image_size=8, folds=2, fold=fold) for fold in (0, 1)]
    asked = [
        dataclasses.replace(each, data=str(data), cell=dataclasses.replace(each.cell, data=data.name)) for each in cells
    ]
    run = Run(asked, tmp_path / "results", worker=("-c", SHOW_DATA))
    run.check()
    wanted = [datasets.load(each.request).checksum for each in asked]
    shutil.rmtree(data)
    for each in asked:
        run.measure([each], RunProgress(Console(file=io.StringIO()), [each.cell], None))
    assert [run.log(each).read_text().split()[-1] for each in asked] == wanted
    assert wanted[0] != wanted[1]


def test_each_cell_has_a_log_of_its_own_whatever_its_name_leaves_out(tmp_path: Path) -> None:
    jobs = [job(batch_size=size, seed=seed) for size in (2, 4) for seed in (0, 1)]
    run = Run(jobs, tmp_path)
    assert [run.log(each).name for each in jobs] == [
        "cnn-torch-seed0.log",
        "cnn-torch-seed1.log",
        "cnn-torch-seed0-2.log",
        "cnn-torch-seed1-2.log",
    ]


def test_a_source_is_read_once_for_all_folds_and_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic = sources.modules()["synthetic"]
    original, read = synthetic.read, []
    monkeypatch.setattr(synthetic, "read", lambda request: read.append(request) or original(request))
    Run([job(folds=3, fold=fold, seed=seed) for fold in range(3) for seed in (0, 1)], tmp_path).check()
    assert len(read) == 1


def test_without_room_for_the_images_each_worker_reads_them_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(handover, "write", full)
    (asked,) = [job()]
    run = Run([asked], tmp_path, worker=("-c", SHOW_DATA))
    notes = run.check()
    assert any(
        "each worker reads the data anew, since there is no room for it (No space left" in note for note in notes
    )
    run.measure([asked], RunProgress(Console(file=io.StringIO()), [asked.cell], None))
    assert run.log(asked).read_text().split()[-1] == datasets.load(asked.request).checksum


def warm(values: dict[str, Any]) -> None:
    values["environment"]["compilation_cache"] = "warm"


def test_a_record_from_a_warm_cache_stands_for_no_cell_that_is_to_be_cold(tmp_path: Path) -> None:
    store.append(tmp_path, hardware.machine_name("cpu"), made_here(change=warm))
    cold = Run([dataclasses.replace(job(), cold=True)], tmp_path, resume=True)
    notes = cold.check()
    assert len(cold.left) == 1
    assert "1 of 1 cells run again: their records differ from what is asked now in compilation cache (--cold)" in notes
    again = Run([job()], tmp_path, resume=True)
    again.check()
    assert not again.left


@pytest.mark.parametrize(("cold", "code"), [(False, "this"), (True, "this"), (False, "another")])
def test_how_long_a_warm_cell_took_says_nothing_of_a_cold_one(tmp_path: Path, cold: bool, code: str) -> None:
    def change(values: dict[str, Any]) -> None:
        warm(values)
        values["environment"]["code"] = values["environment"]["code"] if code == "this" else code

    store.append(tmp_path, hardware.machine_name("cpu"), made_here(change=change))
    run = Run([dataclasses.replace(job(), cold=cold)], tmp_path)
    run.check()
    known = run.estimates().seconds(job().cell)
    assert (known is None) == (cold or code == "another")


def test_a_clock_that_was_set_back_is_told_and_the_record_says_it(tmp_path: Path) -> None:
    ahead = dataclasses.replace(made_here(), ended="2999-01-01T00:00:00.000+00:00")
    store.append(tmp_path, hardware.machine_name("cpu"), ahead)
    run = Run([job()], tmp_path)
    (notice,) = [note for note in run.check() if "the clock" in note]
    assert "s behind the end of a record of run 20260101T000000Z-0000: it jumped back since" in notice
    run.keep(job(), record(run=run.id))
    records, _ = store.read_all(tmp_path)
    kept = records[-1][1]
    assert kept.run == run.id
    assert kept.environment["clock"]["behind_s"] > 1e9
    (line,) = clock_lines(kept.environment)
    assert line.startswith("the clock was ")


@pytest.mark.parametrize("ended", ["2020-01-01T00:00:00.000+00:00", "t1", "2999-01-01T00:00:00"])
def test_a_clock_that_goes_right_is_not_told_of(ended: str, tmp_path: Path) -> None:
    store.append(tmp_path, hardware.machine_name("cpu"), dataclasses.replace(made_here(), ended=ended))
    run = Run([job()], tmp_path)
    assert not any("the clock" in note for note in run.check())
    run.keep(job(), record(run=run.id))
    assert "clock" not in store.read_all(tmp_path)[0][-1][1].environment
