"""The most confident errors: which they are, that their pictures stay out of git, and are of the record's images."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl import datasets, gallery
from bcdl.errors import UsageError
from bcdl.records import store
from bcdl.records.record import Record
from tests.factory import job, record, with_predictions

DATA = "synthetic-48"
SCORES = st.floats(0, 1) | st.just(float("nan"))


@given(st.lists(st.tuples(SCORES, st.integers(0, 1)), max_size=30))
def test_every_error_is_found_the_most_confident_first(images: list[tuple[float, int]]) -> None:
    scores = np.array([score for score, _ in images])
    labels = np.array([label for _, label in images], dtype=np.int64)
    errors = gallery.most_confident_errors(scores, labels).tolist()
    wrong = {i for i, (score, label) in enumerate(images) if (score > 0.5 and not label) or (score <= 0.5 and label)}
    assert set(errors) == wrong
    assert len(errors) == len(wrong)
    distances = [abs(scores[i] - 0.5) for i in errors]
    assert distances == sorted(distances, reverse=True)


def predicted(wrong: dict[int, float], **changes: Any) -> Record:
    """A record whose model gets all test images right, with a score of 0.1 or 0.9, but for those of index `wrong`."""
    test = datasets.load(job(DATA).request).test
    scores = np.where(test.labels == 1, 0.9, 0.1)
    for index, sureness in wrong.items():
        scores[index] = 1 - sureness if test.labels[index] else sureness
    return with_predictions(record(**changes), {"test": predictions(scores, test.labels)})


def predictions(scores: np.ndarray, labels: np.ndarray) -> dict[str, list[Any]]:
    """What a record holds of these malignant scores; names and groups are not read from it."""
    names = [str(number) for number in range(len(labels))]
    outputs = np.stack([1 - scores, scores], axis=1)
    return {
        "outputs": outputs.tolist(),
        "scores": scores.tolist(),
        "labels": labels.tolist(),
        "groups": names,
        "names": names,
    }


def run(monkeypatch: pytest.MonkeyPatch, results: Path, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gallery", "--results", str(results), "--data", DATA, *arguments])
    return gallery.main()


def pictures(results: Path) -> list[str]:
    return sorted(file.relative_to(results).as_posix() for file in results.rglob("*.png"))


def test_errors_are_named_with_label_score_and_group_and_drawn_into_a_folder_that_git_ignores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.append(tmp_path, "a-machine", predicted({0: 0.7, 3: 0.99, 5: 0.8}, seed=0))
    store.append(tmp_path, "a-machine", predicted({}, seed=1))
    assert run(monkeypatch, tmp_path, "--count", "2") == 0
    test = datasets.load(job(DATA).request).test
    lines = capsys.readouterr().out.splitlines()
    rests = "rests on 4 benign images in test"
    assert lines[0] == f"cnn on torch, seed 0: 3 of {len(test)} test images wrong; {rests}"
    for line, index, sureness in zip(lines[1:3], (3, 5), (0.99, 0.8), strict=True):
        malignant = test.labels[index] == 1
        score = 1 - sureness if malignant else sureness
        label = "malignant" if malignant else "benign"
        assert line == f"{test.names[index]}\t{label}\t{score:.4f}\t{test.groups[index]}"
    assert lines[-1] == f"cnn on torch, seed 1: 0 of {len(test)} test images wrong; {rests}"
    assert pictures(tmp_path) == ["local/errors/20260101t000000z-0000/cnn-on-torch-seed-0.png"]


def test_the_newest_run_is_shown_or_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, month in enumerate(("01", "02")):
        store.append(tmp_path, "a-machine", predicted({}, run=f"2026{month}01T000000Z-0000", seed=seed))
    run(monkeypatch, tmp_path)
    assert capsys.readouterr().out.startswith("cnn on torch, seed 1: 0 of")
    run(monkeypatch, tmp_path, "--run", "20260101T000000Z-0000")
    assert capsys.readouterr().out.startswith("cnn on torch, seed 0: 0 of")
    with pytest.raises(UsageError, match=r"no run 'nowhere' .* the newest are 20260201T000000Z-0000, 20260101T000000Z"):
        run(monkeypatch, tmp_path, "--run", "nowhere")


def test_records_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of a newer bcdl for instance: what is shown is not the newest run then."""
    file = store.append(tmp_path, "a-machine", predicted({}))
    with file.open("a") as lines:
        lines.write(f'{{"schema": 99, "run": "{file.stem}"}}\n')
    assert run(monkeypatch, tmp_path) == 0
    said = capsys.readouterr().err
    assert said.startswith(f"not read: records/a-machine/{file.name}, line 2: schema 99 is newer than this bcdl reads")


def test_other_images_than_the_records_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = predicted({0: 0.7})
    store.append(tmp_path, "a-machine", dataclasses.replace(entry, dataset={**entry.dataset, "checksum": "0" * 64}))
    with pytest.raises(UsageError, match=r"is not what cnn on torch, seed 0 of run .* was tested on"):
        run(monkeypatch, tmp_path)
    assert not pictures(tmp_path)


def test_a_hostile_record_stays_in_its_folder_and_on_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "../../../$x\n\x1b[31m"
    store.append(tmp_path / "results", "a-machine", predicted({0: 0.7}, run="20260101T000000Z-0000", model=name))
    run(monkeypatch, tmp_path / "results")
    assert pictures(tmp_path) == ["results/local/errors/20260101t000000z-0000/x-n-x1b-31m-on-torch-seed-0.png"]
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_images_split_by_image_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = predicted({})
    cell = dataclasses.replace(entry.cell, split_by="image")
    dataset = datasets.load(dataclasses.replace(job(DATA), cell=cell).request)
    scores = dataset.test.labels.astype(float)
    scores[0] = 1 - scores[0]
    leaky = dataclasses.replace(entry, cell=cell, dataset={**entry.dataset, "checksum": dataset.checksum})
    predicted_leaky = with_predictions(leaky, {"test": predictions(scores, dataset.test.labels)})
    store.append(tmp_path, "a-machine", predicted_leaky)
    run(monkeypatch, tmp_path)
    assert capsys.readouterr().out.startswith("LEAKY (split by image): cnn on torch, seed 0: ")
    assert [file for file in pictures(tmp_path) if "leaky" in file]


@pytest.mark.parametrize(
    ("of_splits", "message"),
    [
        ({}, "holds no record of a model tested on synthetic-48"),
        ({"val": predictions(np.array([0.5]), np.array([1]))}, "holds no record of a model tested on synthetic-48"),
        ({"test": predictions(np.array([0.5]), np.array([1]))}, "is damaged: its outputs do not fit its data"),
    ],
)
def test_a_record_that_can_not_be_shown_is_reported(
    of_splits: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(tmp_path, "a-machine", with_predictions(record(), of_splits))
    with pytest.raises(UsageError, match=message):
        run(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("labels", "given", "message"),
    [
        ("labels.csv", (), r"was tested on images labelled by 'labels.csv'; give that table with --labels"),
        ("", ("--labels", "labels.csv"), "was tested on images labelled by their folders; leave --labels out"),
    ],
)
def test_the_table_of_labels_is_asked_for_if_there_was_one(
    labels: str, given: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = predicted({})
    cell = dataclasses.replace(entry.cell, labels=labels)
    store.append(tmp_path, "a-machine", dataclasses.replace(entry, cell=cell))
    with pytest.raises(UsageError, match=message):
        run(monkeypatch, tmp_path, *given)
