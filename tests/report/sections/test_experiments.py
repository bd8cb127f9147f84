"""Experiments on the page: the newest of each, ratios, times, the best of settings, and the power of comparisons."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

import pytest

from bcdl.records import experiment
from bcdl.records.experiment import Experiment
from bcdl.report import page
from bcdl.report.sections import experiments
from bcdl.report.sections.experiment_tables import experiment_table
from bcdl.statistics import power_analysis
from tests import pages
from tests.conftest import ROOT
from tests.factory import EXPERIMENT as ONE
from tests.in_process import completed

OLDER = "20261123T142328Z-af84"


def text_of(*made: Experiment) -> str:
    """The section of experiments, all on one machine."""
    (section,) = experiments.sections([("m", entry) for entry in made])
    return section.text


def test_without_experiments_there_is_no_section() -> None:
    assert experiments.sections([]) == []


def test_the_newest_stands_on_the_page_with_its_ratio(tmp_path: Path) -> None:
    for ways in (ONE.ways, ("plain", "gone since")):
        experiment.append(tmp_path, "m", dataclasses.replace(ONE, run=OLDER, ways=ways, b=[1.0, 1.0, 1.0]))
    experiment.append(tmp_path, "m", ONE)
    page.build(tmp_path)
    text = pages.text(tmp_path)
    assert "# Experiments on m" in text
    assert "- keras 3.15.1 (2026-11-24)" in text
    figures = "10.5 | 5.2 | 0.498 |  | 0.499 | 0.25 | 0.25 | 3 | 0"  # three rounds give no interval
    assert f"| cnn on torch | plain | other | {figures} | window | 2026-11-24 | 0123456789 |" in text
    assert "gone since" not in text
    (table,) = tmp_path.glob("tables/*.csv")
    assert table.read_text().splitlines()[1].endswith("0.25,0.25,3,0,window,2026-11-24,0123456789")


def test_times_are_also_shown_by_their_difference() -> None:
    entry = dataclasses.replace(ONE, unit="s", a=[1.0, 2.0, 3.0], b=[1.4, 2.5, 3.6], sample="process")
    (row,) = experiment_table("A name", [entry]).shown()
    assert row[5:9] == ("1.281", "", "1.273", "+0.50 (+0.25 to +0.75)")
    assert row[9:14] == ("0.25", "0.25", "3", "0", "process")


def test_an_experiment_from_a_changed_tree_says_so() -> None:
    text = text_of(dataclasses.replace(ONE, environment={"commit": "0" * 40, "dirty": True}))
    assert "| 0000000000* |" in text
    assert "versions unknown" in text


def test_the_best_setting_stands_beside_the_default() -> None:
    tried = {"batch 1": [5.0, 5.1, 5.2], "batch 8": [20.0, 21.0, 22.0], "batch 16": [12.0, 13.0, 12.5]}
    made = [
        dataclasses.replace(ONE, name="Batch size", ways=("batch 4", way), b=rates, searches=True)
        for way, rates in tried.items()
    ]
    text = text_of(*made, dataclasses.replace(ONE, name="Settings", searches=True))
    assert "In all rows: a: batch 4 (shared); a, median: 10.5; " in text
    assert re.findall(r"^\| cnn on torch \| (batch \d+) \|", text, re.MULTILINE) == ["batch 1", "batch 8", "batch 16"]
    # Student's t of 2 degrees of freedom leaves out 0.05 / 3 beyond 7.65: of log ratios 0.693, 0.647 and 0.740.
    best = "| cnn on torch | Batch size | batch 4 | batch 8 | 2.000 | 1.629 to 2.456 | 2.000 | 3 |  | 3 | 0 |"
    assert best in text
    assert "| cnn on torch | Settings | plain | the default | 1 |  |  | 1 |  | 3 |  |" in text


def test_a_first_way_that_several_share_says_so_and_one_of_its_own_does_not() -> None:
    three = [dataclasses.replace(ONE, ways=("plain", way)) for way in ("other", "another")]
    alone = dataclasses.replace(ONE, subject="mobilenet on torch")
    rows = experiment_table("A name", [*three, alone]).shown()
    assert [row[1] for row in rows] == ["plain (shared)", "plain (shared)", "plain"]
    # Holm's method doubles the least of two p.
    assert [row[8:10] for row in rows] == [("0.25", "0.5"), ("0.25", "0.5"), ("0.25", "0.25")]


def test_two_regimes_are_shown_as_such_and_not_quoted() -> None:
    made = dataclasses.replace(ONE, a=[1.0] * 7, b=[1.2] * 3 + [1.9] * 4, searches=True)
    (row,) = experiment_table("A name", [made]).shown()
    assert row[5:8] == ("unstable (1.200, then 1.900)", "", "")
    assert "| plain | the default | 1 |  |  | 1 | other | 7 |  | window |" in text_of(made)


def test_rounds_of_the_warm_up_are_counted() -> None:
    (row,) = experiment_table("A name", [dataclasses.replace(ONE, a=[0.5, 0.5] + [1.0] * 5, b=[1.0] * 7)]).shown()
    assert (row[5], row[7], row[10:12]) == ("1.000", "1.000", ("5", "2"))


def test_subjects_are_in_the_order_of_their_numbers() -> None:
    sizes = [dataclasses.replace(ONE, subject=f"cnn, {size}x{size}") for size in (224, 80, 1000)]
    assert re.findall(r"\| cnn, (\d+)x", text_of(*sizes)) == ["80", "224", "1000"]


def test_names_that_differ_in_signs_alone_keep_a_table_each() -> None:
    names = ("CPU cores", "CPU, cores", "Power", "Best settings", "!", "?")
    slowed = [
        dataclasses.replace(ONE, name="Slowed", ways=("x", f"y{share}"), a=[1.0] * 10, b=[0.9] * 10, slowdown=share)
        for share in (0.0, 0.5)
    ]
    searched = dataclasses.replace(ONE, name="Power", searches=True)
    (section,) = experiments.sections(
        [("m", dataclasses.replace(searched, name=name)) for name in names] + [("m", entry) for entry in slowed]
    )
    assert len(section.tables) == len(names) + len(["Slowed", "the power", "the best"])


@pytest.fixture(scope="module")
def slowed() -> list[Experiment]:
    """Committed experiments of one subject in which a slow-down was known: equal sides, and two that are slower."""
    experiments, problems = experiment.read_all(ROOT / "results")
    assert not problems
    made = [
        entry
        for _, entry in experiments
        if entry.subject == "a loop of plain Python" and entry.slowdown in (0, 0.05, 0.5)
    ]
    assert len(made) == 3
    return made


def report(results: Path, made: list[Experiment]) -> dict[str, list[list[str]]]:
    """The tables that `python -m bcdl.report` makes of the experiments, by name."""
    (results / "records").mkdir(parents=True)
    for entry in made:
        experiment.append(results, "m", entry)
    done = completed("report", "--results", results)
    assert done.returncode == 0, done.stderr
    return {file.stem: list(csv.reader(file.open(encoding="utf-8"))) for file in (results / "tables").iterdir()}


def test_no_figure_depends_on_the_words_of_a_way(slowed: list[Experiment], tmp_path: Path) -> None:
    renamed = [
        dataclasses.replace(entry, ways=("undisturbed", f"delayed, variant {number}"))
        for number, entry in enumerate(slowed)
    ]
    before, after = report(tmp_path / "before", slowed), report(tmp_path / "after", renamed)
    # A head, and for each subject a row alone and one among several.
    assert len(before["experiment-m-power"]) == 1 + 2 * len({entry.subject for entry in slowed})
    assert before["experiment-m-power"] == after["experiment-m-power"]
    ways = slice(2, 4)  # the columns of the words themselves
    for rows in (before["experiment-m-slow-downs-injected"], after["experiment-m-slow-downs-injected"]):
        for row in rows:
            row[ways] = []
    assert before == after


def test_power_is_shown_only_of_subjects_with_equal_sides(
    slowed: list[Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power_analysis, "_RESAMPLES", 2)
    title = "What a comparison of 10 rounds finds"
    assert title in text_of(*slowed)
    assert title not in text_of(*(entry for entry in slowed if entry.slowdown))
    assert title not in text_of(*(dataclasses.replace(entry, a=entry.a[:9], b=entry.b[:9]) for entry in slowed))
