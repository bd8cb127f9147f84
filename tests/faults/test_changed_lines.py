"""Lines of records that were copied, edited or forged: no command counts them as measurements, or keeps silent."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bcdl import compare, phases
from bcdl.machine import hardware, provenance
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.report import __main__ as report
from bcdl.report import group_sections, plots
from bcdl.runner.run import Run
from tests.factory import as_of_older, job, record, with_rates
from tests.faults.conftest import Injected
from tests.in_process import InProcess

MACHINE = "a-machine"
REGIMES = ("fit", "step", "predict")


def side(results: Path, name: str, factor: float, rounds: int = 3) -> Path:
    """A record file of a side, measured in turn: too few rounds to show anything."""
    for number in range(rounds):
        made = record(run=f"20260101T000000Z-0000-{name}")
        made = with_rates(made, **dict.fromkeys(REGIMES, (100 + number) * factor))
        made = dataclasses.replace(made, block=f"r/{number}", side=name, phases={"training": 1.0})
        file = store.append(results, MACHINE, made)
    return file


def p_values(said: str) -> list[str]:
    return re.findall(r"no p can be under [0-9.]+", said)


def four_times(file: Path) -> Path:
    file.write_text(file.read_text() * 4)
    return file


def with_backup_beside(file: Path) -> Path:
    shutil.copy(file, file.with_name(f"{file.stem} (copy).jsonl"))
    return file.parent


def with_backup_folder(file: Path) -> Path:
    shutil.copytree(file.parent, file.parent / "backup")
    return file.parent


def formatted_anew(file: Path) -> Path:
    lines = file.read_text().splitlines()
    anew = [json.dumps(json.loads(line), separators=(",", ":")) for line in lines]
    file.write_text("\n".join([*lines, *anew]))
    return file


def counted_anew(file: Path) -> Path:
    lines = [re.sub('"sequence": [0-9]+', '"sequence": 99', line) for line in file.read_text().splitlines()]
    file.write_text(file.read_text() + "\n".join(lines))
    return file


COPYING = [four_times, with_backup_beside, with_backup_folder, formatted_anew, counted_anew]


@pytest.mark.parametrize("copying", COPYING)
def test_copies_make_no_difference_significant(
    copying: Callable[[Path], Path], tmp_path: Path, in_process: InProcess, injected: Injected
) -> None:
    """Of three rounds a side no p is under 0.75; counted four times each, it was 0.0001."""
    files = [side(tmp_path / name, name, factor) for name, factor in (("a", 1.0), ("b", 0.5))]
    before = in_process(compare.main, *files)
    with injected("copied_lines"):
        code, out, err = in_process(compare.main, *map(copying, files))
        assert (before[0], code) == (2, 2)
        assert p_values(err) == p_values(before[2]) != []
        assert len(re.findall("(3|9) copies of records that it holds already do not count", err)) == 2
        assert "Traceback" not in out + err


def test_a_record_on_both_sides_counts_for_the_first(tmp_path: Path, in_process: InProcess, injected: Injected) -> None:
    a, b = side(tmp_path / "a", "a", 1.0), side(tmp_path / "b", "b", 0.5)
    before = in_process(compare.main, a, b)
    with injected("copied_lines", times=2):
        code, _, err = in_process(compare.main, a, a)
        assert code == 2
        assert "has nothing that a side before it lacks: give two sides of different records" in err
        b.write_text(b.read_text() + a.read_text())
        code, _, err = in_process(compare.main, a, b)
        assert (code, p_values(err)) == (2, p_values(before[2]))
        assert f"{b}: 3 records do not count, since a side before it has them, too" in err


def benchmark_json(file: Path, times: int, home: Path) -> Path:
    """JSON of pytest-benchmark of the records in the file, each so many times."""
    lines = file.read_text().splitlines()
    of_records = [sample for line in lines for sample in zip_runs(Record.from_json(line))]
    home.write_text(json.dumps({"benchmarks": [{"extra_info": info} for info in of_records * times]}))
    return home


def zip_runs(made: Record) -> list[dict[str, Any]]:
    return [
        {
            "run": made.run,
            "cell": sample.cell.id,
            "regime": sample.regime,
            "images_per_s": sample.rate,
            "block": sample.block,
            "facts": dict(sample.facts),
        }
        for sample in compare.samples(made)
    ]


def test_copies_in_json_of_pytest_benchmark_do_not_count(
    tmp_path: Path, in_process: InProcess, injected: Injected
) -> None:
    files = [side(tmp_path / name, name, factor) for name, factor in (("a", 1.0), ("b", 0.5))]
    before = in_process(compare.main, *files)
    with injected("copied_lines", times=2):
        fourfold = [benchmark_json(file, 4, tmp_path / f"{file.parents[2].name}.json") for file in files]
        code, _, err = in_process(compare.main, *fourfold)
        assert (code, p_values(err)) == (2, p_values(before[2]))
        assert err.count("27 copies of rates that it holds already do not count") == 2
        code, _, err = in_process(compare.main, files[0], fourfold[0])  # the same, as records and as JSON
        assert (code, "has nothing that a side before it lacks" in err) == (2, True)


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "modules", dict)
    monkeypatch.setattr(group_sections, "_FEWEST_GROUPS", 10**9)  # other processes would make them


@pytest.mark.parametrize("copying", COPYING)
@pytest.mark.usefixtures("no_plots")
def test_a_report_says_what_it_holds_twice_and_ends_well(
    copying: Callable[[Path], Path], tmp_path: Path, in_process: InProcess, injected: Injected
) -> None:
    file = side(tmp_path, "a", 1.0)
    with injected("copied_lines"):
        copying(file)
        for main, arguments in ((report.main, ()), (report.main, ("--check",)), (phases.main, ())):
            code, out, err = in_process(main, "--results", tmp_path, *arguments)
            assert (code, err) == (0, "")
            expected = "it has [39] lines that are copies of others|a copy of .*, without any other line"
            assert re.search(f"note: records/a-machine/.*: ({expected})", out)
        assert "Lines that could not be read" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def metric(values: dict[str, Any]) -> None:
    values["metrics"]["step_images_per_s"] = 62.0


def sample(values: dict[str, Any]) -> None:
    values["samples"]["step_s"][0] *= 0.5


def setting(values: dict[str, Any]) -> None:
    values["cell"]["epochs"] = 3


def environment(values: dict[str, Any]) -> None:
    values["environment"]["commit"] = "0" * 40


def digest(values: dict[str, Any]) -> None:
    values["sha256"] = "0" * 64


def older(values: dict[str, Any]) -> None:
    """Line and digest of a time before digests, with a metric that does not follow."""
    del values["sha256"]
    values["schema"] = 10
    metric(values)


EDITS = [metric, sample, setting, environment, digest, older]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.usefixtures("no_plots")
def test_an_edited_record_is_left_out_named_and_measured_again(
    edit: Callable[[dict[str, Any]], None], tmp_path: Path, in_process: InProcess, injected: Injected
) -> None:
    made = Record.from_json(json.dumps(as_of_older(record())))
    here = {**made.environment, **hardware.describe("cpu"), "code": provenance.digest("torch")}
    file = store.append(tmp_path, hardware.machine_name("cpu"), dataclasses.replace(made, environment=here))
    store.append(tmp_path, "another-machine", record(run="20260102T000000Z-0000"))
    run = Run([job()], tmp_path, resume=True)
    run.check()
    assert not run.left
    with injected("edited_records"):
        values = json.loads(file.read_text())
        edit(values)
        file.write_text(json.dumps(values) + "\n")
        code, out, err = in_process(report.main, "--results", tmp_path)
        assert (code, "Traceback" in out + err) == (1, False)
        assert "line 1: edited " in out
        assert "1 line or file" in err
        again = Run([job()], tmp_path, resume=True)
        notes = again.check()
        assert again.left == [job()]
        assert any(note.startswith("not read, and so not resumed from: ") and "edited" in note for note in notes)


CLAIMS = [
    with_rates(record(), step=200.0),
    dataclasses.replace(record(), log_tail=["another"]),
    dataclasses.replace(record(), environment={**record().environment, "commit": "0" * 40}),
    record(run="20260102T000000Z-0000"),
    record(model="mobilenet"),
]


@pytest.mark.parametrize("claim", range(len(CLAIMS)))
@pytest.mark.usefixtures("no_plots")
def test_two_records_that_claim_one_identity_are_both_refused(
    claim: int, tmp_path: Path, in_process: InProcess, injected: Injected
) -> None:
    """The last two have another run or model, and samples that no two processes measure."""
    for made in (record(), CLAIMS[claim]):
        samples = {**made.samples, "request_s": [0.0124, 0.0125, 0.0126]}
        store.append(tmp_path, MACHINE, dataclasses.replace(made, samples=samples))
    store.append(tmp_path, MACHINE, record(seed=5))
    with injected("contradictions"):
        code, out, err = in_process(report.main, "--results", tmp_path)
        assert (code, "2 lines or files" in err) == (1, True)
        assert out.startswith("1 records: ")
        assert out.count("differ, but are of ") == 2
