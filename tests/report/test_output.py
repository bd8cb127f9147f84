"""What commands write to a file that a person names replaces nothing but what such a command wrote."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bcdl import export
from bcdl.errors import UsageError
from bcdl.records import store
from bcdl.report import __main__ as report
from bcdl.report import output
from tests.factory import record
from tests.in_process import InProcess

COMMANDS: dict[str, tuple[Callable[[], int], tuple[str, ...]]] = {
    "csv": (export.main, ("csv", "--out")),
    "json": (export.main, ("github-action-benchmark", "--out")),
    "summary": (report.main, ("--summary",)),
}
# Of a results folder, with what is its own.
OWN = ("records/m/new.jsonl", "parity/x", "experiments/x", "pages/x.md", "tables/x", "plots/x", "cards/x", "local/x")
OWN += ("README.md", "manifest.json", "index.html", ".gitignore")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store.append(tmp_path / "results", "a-machine", record())
    return tmp_path / "results"


def content(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_records_are_not_overwritten(command: str, results: Path, in_process: InProcess) -> None:
    main, arguments = COMMANDS[command]
    (log,) = results.glob("records/*/*.jsonl")
    (results.parent / "link").symlink_to(results)
    before = content(results)
    for target in (log, results.parent / "link" / log.relative_to(results), results / "pages" / ".." / "README.md"):
        code, printed, said = in_process(main, "--results", results, *arguments, target)
        assert (code, printed) == (2, "")
        assert "keeps what is its own; name another file" in said
        assert len(said.splitlines()) == 1
    assert content(results) == before


@pytest.mark.parametrize("place", OWN)
def test_nothing_is_written_where_any_results_folder_keeps_its_own(place: str, results: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(results, other)
    with pytest.raises(UsageError, match="keeps what is its own"):
        output.write("text\n", other / place)
    assert not (other / place).exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_a_person_is_left_alone_and_an_own_one_is_written_anew(
    command: str, results: Path, tmp_path: Path, in_process: InProcess
) -> None:
    main, arguments = COMMANDS[command]
    precious, link, own = tmp_path / "precious", tmp_path / "link", tmp_path / "own"
    precious.write_bytes(b"precious, and long enough to be something else\n")
    link.symlink_to(precious)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for target, why in ((precious, "did not write it"), (link, "is a link"), (tmp_path / "loop", "is a link")):
        code, _, said = in_process(main, "--results", results, *arguments, target)
        assert (code, why in said, len(said.splitlines())) == (2, True, 1), said
    assert precious.read_bytes() == b"precious, and long enough to be something else\n"
    assert link.is_symlink()
    own.touch()
    for _ in range(2):
        assert in_process(main, "--results", results, *arguments, own)[0] == 0
        assert own.stat().st_size > 100


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_is_refused_before_anything_is_read(
    command: str, results: Path, tmp_path: Path, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, arguments = COMMANDS[command]
    monkeypatch.setattr("bcdl.report.sources.Sources.read", None)
    code, _, said = in_process(main, "--results", results, *arguments, tmp_path)
    assert (code, said) == (2, f"error: {tmp_path} is a folder; name a file\n")
