"""What a report does if it can't read all of what is there: it removes nothing, says so, and ends with exit code 1."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bcdl.records import store
from bcdl.report import page
from bcdl.report.artefacts import PAGE_MARK
from bcdl.report.sources import Sources
from tests import pages
from tests.conftest import ROOT
from tests.factory import record
from tests.in_process import blank_pictures, completed

pytestmark = pytest.mark.usefixtures("blank_pictures")

RUN = "20260101T000000Z-{:04x}"
MACHINE = "amd-epyc-2-cores"  # of the committed results


def run_report(results: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return completed("report", "--results", results, *options)


def contents(results: Path) -> dict[str, bytes]:
    """Every file of a results folder but those of running processes, by its path."""
    files = (file for file in results.rglob("*") if file.is_file() and "local" not in file.parts)
    return {file.relative_to(results).as_posix(): file.read_bytes() for file in files if os.access(file, os.R_OK)}


def raise_schemas(results: Path, log: str) -> None:
    """Give every line of the log a schema of the far future."""
    for file in (results / log).glob("*/*.jsonl"):
        lines = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
        file.write_text("".join(json.dumps({**line, "schema": 99}) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of two runs, with the parity and an experiment of the committed results, and its report."""
    results = tmp_path_factory.mktemp("reported")
    for number, backend in enumerate(("jax", "torch")):
        store.append(results, MACHINE, record(run=RUN.format(number), backend=backend))
    for log in ("parity", "experiments"):
        file = sorted((ROOT / "results" / log / MACHINE).glob("*.jsonl"))[0]
        (results / log / MACHINE).mkdir(parents=True)
        shutil.copy(file, results / log / MACHINE)
    with blank_pictures():
        page.build(results)
    assert {path.partition("/")[0] for path in contents(results)} >= {"README.md", "tables", "plots"}
    return results


@pytest.fixture
def results(reported: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return shutil.copytree(reported, tmp_path / "results")


@pytest.mark.parametrize("log", ["records", "parity", "experiments"])
def test_an_older_bcdl_leaves_the_report_of_a_newer_one_as_it_is(results: Path, log: str) -> None:
    raise_schemas(results, log)
    before = contents(results)
    done = run_report(results)
    assert done.returncode == 1
    assert contents(results) == before
    assert f"{log}/{MACHINE}/" in done.stdout
    assert "line 1: schema 99 is newer than this bcdl reads" in done.stdout
    assert "so that nothing was written or removed" in done.stderr
    assert "update bcdl" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_report_of_nothing_that_could_be_read_writes_nothing(results: Path) -> None:
    for log in ("records", "parity", "experiments"):
        for file in (results / log).glob("*/*.jsonl"):
            file.write_bytes(b'{"schema": 1, "run": "' + file.stem.encode() + b'"}\n' + b"\xff\xfe\n")
    before = contents(results)
    done = run_report(results)
    assert done.returncode == 1
    assert contents(results) == before
    assert "nothing was written or removed" in done.stderr


def last_line_torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def no_utf8(file: Path) -> None:
    file.write_bytes(b"\xff" + file.read_bytes())


def another_shape(file: Path) -> None:
    line = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    file.write_text(json.dumps({"schema": line["schema"], "run": line["run"]}) + "\n", encoding="utf-8")


def a_folder_instead(file: Path) -> None:
    file.unlink()
    file.mkdir()


def no_permission(file: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    file.chmod(0)


DAMAGES = [last_line_torn, no_utf8, another_shape, a_folder_instead, no_permission]


@pytest.mark.parametrize(
    ("log", "damage"), [("records", last_line_torn), ("parity", a_folder_instead), ("experiments", no_utf8)]
)
def test_what_is_damaged_is_listed_and_nothing_is_removed(
    results: Path, log: str, damage: Callable[[Path], None]
) -> None:
    before = contents(results)
    file = sorted((results / log / MACHINE).glob("*.jsonl"))[0]
    damage(file)
    done = run_report(results)
    assert done.returncode == 1, done.stderr
    assert f"not read: {log}/{MACHINE}/{file.name}" in done.stdout
    assert "could not be read, so that nothing was removed: restore" in done.stderr
    assert before.keys() - {f"{log}/{MACHINE}/{file.name}"} <= contents(results).keys()
    text = (results / "README.md").read_text(encoding="utf-8")
    assert "## Lines that could not be read" in text
    assert f"- {log}/{MACHINE}/{file.name}" in text


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("log", ["records", "parity", "experiments"])
def test_no_damage_of_any_log_ends_the_reading_or_goes_unnoticed(
    results: Path, log: str, damage: Callable[[Path], None]
) -> None:
    whole = Sources.read(results)
    file = sorted((results / log / MACHINE).glob("*.jsonl"))[0]
    damage(file)
    sources = Sources.read(results)
    assert sources.unread
    assert {problem.file for problem in sources.unread} == {f"{log}/{MACHINE}/{file.name}"}
    assert not sources.obstacle
    assert "nothing was removed" in sources.failure(results)
    for name in {"records", "findings", "experiments"} - {"findings" if log == "parity" else log}:
        assert getattr(sources, name) == getattr(whole, name)


@pytest.mark.parametrize("log", ["records", "parity", "experiments"])
def test_a_check_of_what_cannot_be_read_fails_and_says_so(results: Path, log: str) -> None:
    file = sorted((results / log / MACHINE).glob("*.jsonl"))[0]
    last_line_torn(file)
    before = contents(results)
    done = run_report(results, "--check")
    assert done.returncode == 1
    assert "could not be read" in done.stderr
    assert f"{log}/{MACHINE}/{file.name}" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(results) == before


def test_what_belongs_to_somebody_else_keeps_no_report_from_being_whole(results: Path) -> None:
    visits = results / "records" / "clinic" / "visits.jsonl"
    visits.parent.mkdir()
    visits.write_text('{"patient": 1}\n', encoding="utf-8")
    sources = Sources.read(results)
    assert sources.unread == []
    assert sources.failure(results) == ""
    assert [notice for notice in sources.notices if "visits.jsonl" in notice]


def test_what_is_mended_is_reported_whole_again(results: Path) -> None:
    file = sorted((results / "records" / MACHINE).glob("*.jsonl"))[0]
    before = contents(results)
    last_line_torn(file)
    lines = page.build(results)  # what other commands print, and go on
    assert any(line.startswith(f"not read: records/{MACHINE}/{file.name}") for line in lines)
    assert "so that nothing was removed" in lines[-1]
    file.write_bytes(before[file.relative_to(results).as_posix()])
    page.build(results)
    assert contents(results) == before


def test_every_section_has_a_page_and_the_first_page_links_them(results: Path) -> None:
    text = (results / "README.md").read_text(encoding="utf-8").partition("\n## Pages\n")[2]
    titles = {
        f"pages/{file.name}": file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        for file in pages.files(results)[1:]
    }
    assert {f"- [{title}]({path})" for path, title in titles.items()} == {
        line for line in text.splitlines() if line.startswith("- [")
    }
    assert [title.partition(":")[0].partition(",")[0] for title in titles.values()] == [
        "Experiments on amd-epyc-2-cores",
        "How to read the results",
        "Parity",
        "synthetic-48 (synthetic drawings)",
    ]


def test_a_page_that_no_record_asks_for_goes_and_one_of_somebody_else_stays(results: Path) -> None:
    (shown,) = (results / "pages").glob("synthetic-*.md")
    (results / "pages" / "notes.md").write_text("# Notes\n", encoding="utf-8")
    for file in (results / "records" / MACHINE).glob("*.jsonl"):
        file.unlink()
    page.build(results)
    assert not shown.exists()
    assert (results / "pages" / "notes.md").exists()
    shown.write_text("# A page of ours that no manifest lists\n\n" + PAGE_MARK + "\n", encoding="utf-8")
    assert page.build(results)
    assert not shown.exists()


def test_a_check_covers_the_pages(results: Path) -> None:
    (shown,) = (results / "pages").glob("parity-*.md")
    shown.write_text(shown.read_text(encoding="utf-8").replace("float32", "float64"), encoding="utf-8")
    done = run_report(results, "--check")
    assert done.returncode == 1
    assert f"pages/{shown.name}: differs from what the records give" in done.stderr
