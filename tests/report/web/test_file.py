"""When `index.html` is written: only if its packages are there, and never over a file that is not ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from bcdl.records import store
from bcdl.report import page as report
from bcdl.report.sources import Sources
from bcdl.report.web import file
from tests import factory


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store.append(tmp_path, "m", factory.record())
    return tmp_path


def test_without_its_packages_one_line_says_how_to_get_them_and_all_else_is_made(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(file.importlib.util, "find_spec", lambda name: None if name == "itables" else find(name))
    lines = report.build(results)
    (said,) = [line for line in lines if "index.html" in line]
    assert "was not made" in said
    assert "bcdl[report]" in said
    assert (results / "README.md").is_file()
    assert not (results / "index.html").exists()


@pytest.mark.page
def test_a_file_of_somebody_else_is_kept_and_ours_is_made_anew(results: Path) -> None:
    explore = results / "index.html"
    explore.write_text("<!DOCTYPE html>\n<title>mine</title>", encoding="utf-8")
    (said,) = file.write(results, Sources.read(results))
    assert "not of bcdl" in said
    assert "mine" in explore.read_text(encoding="utf-8")
    explore.unlink()
    assert file.write(results, Sources.read(results)) == []
    first = explore.read_bytes()
    explore.write_bytes(first[:5000])
    assert file.write(results, Sources.read(results)) == []
    assert explore.read_bytes() == first


@pytest.mark.page
def test_the_page_is_none_of_the_files_that_a_check_compares(results: Path) -> None:
    report.build(results)
    assert (results / "index.html").is_file()
    assert "index.html" not in (results / "manifest.json").read_text(encoding="utf-8")
    report.check(results)
