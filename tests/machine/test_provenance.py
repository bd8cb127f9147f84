"""The digest is of what is measured; that it is of every file a worker imports, `test_isolation.py` shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcdl import backends
from bcdl.machine import provenance


@pytest.mark.parametrize("backend", backends.NAMES)
def test_reports_are_no_part_of_what_is_measured(backend: str) -> None:
    names = {file.relative_to(provenance.ROOT).as_posix() for file in provenance.files(backend)}
    assert {
        "bcdl/worker/measurement.py",
        "bcdl/worker/regimes.py",
        f"backends/{backend}/adapter.py",
        "bcdl/settings/cell.py",
    } <= names
    assert not names & {"bcdl/report/page.py", "bcdl/report/tables.py", "bcdl/compare.py", "bcdl/runner/run.py"}
    assert not any(f"backends/{other}/" in name for name in names for other in backends.NAMES if other != backend)


def test_backends_have_digests_of_their_own() -> None:
    assert len({provenance.digest(backend) for backend in backends.NAMES}) == len(backends.NAMES)


def test_another_file_is_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = provenance.digest(backends.NAMES[0])
    copy_code(tmp_path)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    digests = []
    for addition in (b"", b"# changed\n"):
        edit(tmp_path / "bcdl" / "worker" / "input_pipeline.py", addition)
        forget()
        digests.append(provenance.digest(backends.NAMES[0]))
    assert digests[0] == before != digests[1]


def test_what_was_taken_is_what_is_said_whoever_edits_it_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_code(tmp_path)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    forget()
    provenance.take()
    edit(tmp_path / "bcdl" / "worker" / "input_pipeline.py", b"import bcdl.worker.gone\n")
    facts, changed = provenance.facts(backends.NAMES[0]), provenance.changed(backends.NAMES[0])
    monkeypatch.undo()
    forget()
    assert facts["code"] == provenance.digest(backends.NAMES[0])
    assert (changed, provenance.changed(backends.NAMES[0])) == (True, False)


def test_a_file_that_a_worker_does_not_import_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_code(tmp_path)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    forget()
    provenance.take()
    edit(tmp_path / "bcdl" / "report" / "page.py", b"# changed\n")
    assert not provenance.changed(backends.NAMES[0])
    assert provenance.changed(backends.NAMES[0], "bcdl.report.page")
    (tmp_path / "bcdl" / "worker" / "input_pipeline.py").unlink()
    assert provenance.changed(backends.NAMES[0])


def test_a_figure_of_code_that_changed_is_marked_as_one_of_a_changed_tree() -> None:
    assert provenance.short_commit({"commit": "0" * 40, "dirty": False}) == "0" * 10
    for more in ({"dirty": True}, {"code_changed": True}):
        assert provenance.short_commit({"commit": "0" * 40, **more}) == "0" * 10 + "*"


@pytest.fixture(autouse=True)
def of_this_checkout_again() -> Iterator[None]:
    """What a test has read of a copy is forgotten after it."""
    yield
    forget()


def forget() -> None:
    for read in (provenance._sources, provenance._commit, provenance.files, provenance.digest):
        read.cache_clear()


def copy_code(folder: Path) -> None:
    for name in ("bcdl", "backends"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(provenance.ROOT / name, folder / name, ignore=ignored)


def edit(file: Path, addition: bytes) -> None:
    with file.open("ab") as stream:
        stream.write(addition)
