"""The experiment on large data sets: what is drawn, what a round gives, and what is kept and shown of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bcdl import datasets
from bcdl import experiment as command
from bcdl.errors import UsageError
from bcdl.experiments import large_data_sets
from bcdl.experiments.workers import check
from bcdl.records import experiment
from bcdl.report.sections import experiments as section


def run(monkeypatch: pytest.MonkeyPatch, results: Path, **given: str) -> int:
    options = [text for name, value in given.items() for text in (f"--{name}", value)]
    monkeypatch.setattr(sys, "argv", ["experiment", "large-data-sets", "--results", str(results), *options])
    return command.main()


def test_every_tenth_image_is_a_brighter_copy_and_nothing_else_is_a_copy(tmp_path: Path) -> None:
    large_data_sets.draw(tmp_path, 40, 32)
    dataset = datasets.load(datasets.Request(str(tmp_path), 32))
    duplicates = dataset.leaks().duplicates
    assert (duplicates.images, duplicates.identical, duplicates.near_conflicting) == (40, (), ())
    assert {frozenset(Path(name).stem for name in names) for names in duplicates.near} == {
        frozenset({f"{number - 1:06d}", f"{number:06d}"}) for number in (10, 20, 30, 40)
    }


def test_what_is_measured_is_kept_and_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the command, with two processes a round: the second finds what the first has put into the cache."""
    assert run(monkeypatch, tmp_path, rounds="2", images="60", pixels="32") == 0
    told = capsys.readouterr().out
    assert "Large data sets (s)" in told
    assert "Memory that large data sets take (times the pixels)" in told
    kept = [made for _, made in experiment.read_all(tmp_path)[0]]
    assert [(made.subject, made.unit) for made in kept] == [
        ("60 images of 32x32, all", "s"),
        ("60 images of 32x32, loading alone", "s"),
        ("60 images of 32x32, peak", "times the pixels"),
    ]
    assert all((made.ways, made.cell, made.sample) == (("cold", "warm"), {}, "process") for made in kept)
    every, loading, _ = kept
    assert all(part < whole for part, whole in zip(loading.a + loading.b, every.a + every.b, strict=True))
    (shown,) = section.sections(experiment.read_all(tmp_path)[0])
    assert "Large data sets" in shown.text


def test_a_process_that_finds_a_full_cache_decodes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    large_data_sets.draw(tmp_path / "data", 20, 32)
    request = datasets.Request(str(tmp_path / "data"), 32)
    check.measure(request)
    monkeypatch.setattr("bcdl.datasets.decode._decode_all", None)
    monkeypatch.setattr("bcdl.datasets.near_duplicates._find_clusters", None)
    assert min(check.measure(request).values()) > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": "7"}, "--images '7' is not a whole number from 20 to 10,000,000"),
        ({"pixels": "x"}, "--pixels 'x' is not a whole number from 8 to 8,192"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(monkeypatch, tmp_path, **given)
