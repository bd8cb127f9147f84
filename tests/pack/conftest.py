"""What tests of packs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bcdl.pack import wheels


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wheels come from nowhere: an empty file stands for each."""

    def download(requirements: list[str], version: str, into: Path) -> None:
        into.mkdir()
        for requirement in requirements:
            (into / f"{requirement.replace('==', '-')}-py3-none-any.whl").touch()

    monkeypatch.setattr(wheels, "download", download)
