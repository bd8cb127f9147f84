"""The part of the page that says whether the backend changes the diagnosis, and its table for programs."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from bcdl.evaluation import agreement
from bcdl.evaluation.agreement import Judged
from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.report import tables
from bcdl.report.sections import agreement as section
from tests.factory import record
from tests.predictions import grid, guessed, named, predicted, scored, split


def group(*records: Record) -> Group:
    return Group("m", "c", records)


def test_flips_between_backends_stand_beside_those_between_seeds() -> None:
    pairs, _ = agreement.pairs(group(*grid()))
    text, (table,) = section.section(group(*grid()))
    assert "## Does the backend change the diagnosis?" in text
    assert "**CNN, start: random; smoke test: 40 images of 40 groups, 40 images of no known patient**" in text
    counts = ([len(p.agreement.flipped) for p in pairs if p.across == kind] for kind in ("backends", "seeds"))
    backends, seeds = (f"{min(c)} to {max(c)}" if min(c) < max(c) else f"{min(c)}" for c in counts)
    assert f"Flipped images: {backends} of 40 between backends, {seeds} of 40 between seeds." in text
    rows = list(csv.DictReader(io.StringIO(tables.to_csv([table]))))
    differences = [pair.agreement.accuracy.value for pair in pairs]
    of_seeds = [np.mean([pair.agreement.accuracy.value for pair in pairs if pair.across == "backends"])]
    assert [float(row["accuracy b - a, value"]) for row in rows] == pytest.approx([*differences, *of_seeds], abs=1e-5)
    assert [row["across"] for row in rows] == ["backends"] * 2 + ["seeds"] * 2 + ["backends, over seeds"]


def test_one_cell_on_two_machines_has_a_row_with_its_flips() -> None:
    sides = [predicted(split(scores, [1, 1, 0]), timing=False) for scores in ([0.9, 0.4, 0.1], [0.9, 0.6, 0.1])]
    (made,) = group_records([("m", sides[0]), ("n", sides[1])])
    text, _ = section.section(made)
    assert "## Does the machine change the diagnosis?" in text
    assert "| m | n | torch, seed 0 | 0.667 |" in text
    assert "Flipped images: 1 of 3 between machines." in text
    assert "- m and n, torch, seed 0: image 1" in text


@pytest.mark.parametrize(
    ("labels", "b", "verdict"),
    [
        ("mb" * 63 + "b", "mb" * 63 + "b", "no difference larger than 0.05 of these two"),
        ("m" * 12, "m" * 12, "not shown"),
        ("m" * 63 + "b" * 64, "b" * 40 + "m" * 23 + "b" * 64, "a difference larger than 0.05 of these two"),
    ],
)
def test_verdicts_in_words(labels: str, b: str, verdict: str) -> None:
    wanted = (np.array(list(labels)) == "m").astype(int)
    sides = (Judged.of(scored(scores, wanted)) for scores in named(labels, b))
    assert section.verdict(agreement.compare(*sides), " of these two") == verdict


def test_a_verdict_on_one_class_is_said_to_be_empty() -> None:
    wanted = (np.array(list("mb" * 63 + "b")) == "m").astype(int)
    sides = (Judged.of(scored(scores, wanted)) for scores in named("b" * 127, "b" * 127))
    words = section.verdict(agreement.compare(*sides))
    assert words == "no difference larger than 0.05; empty: all images are named one class"


def test_what_is_not_compared_is_said_with_the_reason() -> None:
    first, second = predicted(guessed(0), backend="jax"), predicted(guessed(1), backend="torch", weights="others")
    text, made = section.section(group(first, second))
    assert "Not compared: CNN, jax and torch, seed 0: not known to have started" in text
    assert made == ()


def test_one_model_alone_has_nothing_to_agree_with() -> None:
    assert section.section(group(predicted(guessed(0)), record(backend="jax", status="crashed"))) == ("", ())


def test_flipped_images_are_listed_by_names_that_can_do_nothing() -> None:
    name = "![x](http://e) | <b>`\n_"
    flipped = [f"{place} {name}" for place in range(section.MOST_NAMES + 3)]
    tests = [split(scores, [1] * len(flipped)) for scores in named("m" * len(flipped), "b" * len(flipped))]
    for test in tests:
        test["names"] = flipped
    records = [predicted(test, backend=backend) for test, backend in zip(tests, ("jax", "torch"), strict=True)]
    text, _ = section.section(group(*records))
    (line,) = (line for line in text.splitlines() if line.startswith("- jax and torch, seed 0: "))
    assert line.endswith(" and 3 more")
    # Of images 0 and 10; 20 is not listed.
    assert line.count(r"0 !&#91;x&#93;(http:&#8203;//e) &#124; &lt;b&gt;\` \_") == 2


def test_a_split_by_image_is_marked() -> None:
    text, (table,) = section.section(
        group(*(predicted(guessed(0), backend=b, split_by="image") for b in ("jax", "torch")))
    )
    assert text.startswith("## LEAKY: ")
    assert "**LEAKY: CNN" in text
    assert all("by image (LEAKY)" in row for row in table.shown())


def same_on_both(*seeds: int, images: int = 200) -> list[Record]:
    """Two backends that name every image alike, with these seeds."""
    labels = [place % 2 for place in range(images)]
    test = split([0.2 + 0.6 * (label if place > 20 else 1 - label) for place, label in enumerate(labels)], labels)
    return [
        predicted(test, seed=seed, weights=f"start {seed}", backend=backend)
        for seed in seeds
        for backend in ("jax", "torch")
    ]


def test_a_verdict_on_one_seed_is_one_on_two_trained_models() -> None:
    text, _ = section.section(group(*same_on_both(0)))
    assert "| no difference larger than 0.05 of these two trained models (one seed) |" in text
    assert "over several seeds" not in text


def test_two_backends_over_seeds_have_a_row_of_their_own() -> None:
    text, (table,) = section.section(group(*same_on_both(0, 1, 2)))
    row = next(line for line in text.splitlines() if line.startswith("| CNN | jax | torch |"))
    assert row.startswith("| CNN | jax | torch | 0, 1, 2 | +0.000, +0.000, +0.000 | +0.000 (+0.000 to +0.000) | -0.0")
    assert row.endswith("| no difference larger than 0.05, over 3 seeds |")
    tidy = table.shown()[-1]
    assert (tidy[3], tidy[6]) == ("backends, over seeds", "seeds 0, 1, 2")


def test_flips_of_few_patients_have_a_p_of_their_own() -> None:
    labels, patients = [1] * 25, ["x"] * 3 + ["y"] * 2 + [f"p{place}" for place in range(20)]
    tests = [split(scores, labels, patients) for scores in named("b" * 5 + "m" * 20, "m" * 25)]
    records = [predicted(test, backend=backend) for test, backend in zip(tests, ("jax", "torch"), strict=True)]
    text, (table,) = section.section(group(*records))
    assert "| p by image | p by patient | p by patient (Holm) |" in text
    assert "| 5 | 0, 5 | 0.062 | 0.500 | 0.500 |" in text
    row = dict(zip((column.title for column in table.columns), table.shown()[0], strict=True))
    assert (row["p by image"], row["p by patient"]) == ("0.0625", "0.5")
