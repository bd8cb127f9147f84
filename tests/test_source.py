"""The digest is of the very files that a worker imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import backends
from bcdl import source


@pytest.mark.parametrize("backend", backends.NAMES)
def test_reports_are_no_part_of_what_is_measured(backend: str) -> None:
    names = {file.relative_to(source.ROOT).as_posix() for file in source.files(backend)}
    assert {"bcdl/worker.py", "bcdl/regimes.py", f"backends/{backend}/adapter.py", "bcdl/cell.py"} <= names
    assert not names & {"bcdl/report.py", "bcdl/tables.py", "bcdl/compare.py", "bcdl/run.py"}
    assert not any(f"backends/{other}/" in name for name in names for other in backends.NAMES if other != backend)


def test_backends_have_digests_of_their_own() -> None:
    assert len({source.digest(backend) for backend in backends.NAMES}) == len(backends.NAMES)


def test_another_file_is_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in source.files(backends.NAMES[0]):
        copy = tmp_path / file.relative_to(source.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    before = source.digest(backends.NAMES[0])
    monkeypatch.setattr(source, "ROOT", tmp_path)
    found = []
    for addition in (b"", b"# changed\n"):
        with (tmp_path / "bcdl" / "feed.py").open("ab") as file:
            file.write(addition)
        source.files.cache_clear()
        source.digest.cache_clear()
        found.append(source.digest(backends.NAMES[0]))
    assert found[0] == before != found[1]
    source.files.cache_clear()
    source.digest.cache_clear()


@pytest.mark.keras
def test_a_worker_imports_no_other_file_of_the_project() -> None:
    backend = os.environ["KERAS_BACKEND"]
    code = (
        "import sys, importlib, bcdl.worker\n"
        f"importlib.import_module('backends.{backend}.adapter'); import bcdl.regimes, bcdl.augment\n"
        "print('\\n'.join(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('bcdl', 'backends')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=source.ROOT, capture_output=True, text=True, check=True)
    loaded = {Path(line) for line in done.stdout.splitlines() if line.startswith(str(source.ROOT))}
    assert loaded <= set(source.files(backend))
