"""The digest is of what is measured; that it is of every file a worker imports, `test_isolation.py` shows."""

from __future__ import annotations

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
    for file in provenance.files(backends.NAMES[0]):
        copy = tmp_path / file.relative_to(provenance.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    before = provenance.digest(backends.NAMES[0])
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    digests = []
    for addition in (b"", b"# changed\n"):
        with (tmp_path / "bcdl" / "worker" / "input_pipeline.py").open("ab") as file:
            file.write(addition)
        provenance.files.cache_clear()
        provenance.digest.cache_clear()
        digests.append(provenance.digest(backends.NAMES[0]))
    assert digests[0] == before != digests[1]
    provenance.files.cache_clear()
    provenance.digest.cache_clear()
