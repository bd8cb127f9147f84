"""The experiment on input pipelines: what is compared, how a process ends, and each framework's pipeline itself."""

from __future__ import annotations

import argparse
import itertools
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bcdl import backends
from bcdl import experiment as command
from bcdl.errors import BcdlError, UsageError
from bcdl.experiments import input_pipelines
from bcdl.experiments.engine import cores
from bcdl.experiments.workers.batches import OWN, Drawn, images_per_s
from bcdl.records import experiment
from bcdl.report.sections import experiments as section
from bcdl.worker.augmentation import DRAWS, augment
from tests.worker.test_input_pipeline import noise

BACKEND = os.environ.get("KERAS_BACKEND", "")
INSTALLED = [name for name, (package, _) in backends.input_pipelines().items() if backends.is_installed(package)]
HELD = pytest.mark.skipif(
    not hasattr(psutil.Process, "cpu_affinity"), reason="only Linux holds a process to some cores"
)


def options(**given: str) -> argparse.Namespace:
    return argparse.Namespace(**{"pixels": "96,224", "batch": "32", "pipelines": None, **given})


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda package: True)


def test_the_pipelines_of_all_frameworks_are_known_without_importing_them() -> None:
    assert list(backends.input_pipelines()) == ["Grain threads", "Grain processes", "tf.data", "DataLoader"]


@HELD
@pytest.mark.usefixtures("all_installed")
def test_each_is_compared_with_bcdls_on_as_many_cores_and_bcdls_with_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "counts", lambda: [2, 1])
    ways, comparisons = input_pipelines.plan(options(pixels="96", pipelines="tf.data"))
    assert [(each.subject, each.ways) for each in comparisons] == [
        ("96x96, batch 32, 1 core", ("bcdl", "tf.data")),
        ("96x96, batch 32, 2 cores", ("bcdl", "tf.data")),
        ("96x96, batch 32, bcdl", ("1 core", "2 cores")),
    ]
    assert {name for each in comparisons for name in each.figures} == set(ways)


@HELD
@pytest.mark.usefixtures("all_installed")
def test_what_is_measured_is_kept_and_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Through the command, with rates that say how many cores the process was held to, and what it was to do."""
    speeds = {name: place for place, name in enumerate([*backends.input_pipelines(), OWN], start=1)}

    def rate(name: str, arguments: list[str]) -> float:
        pipeline, pixels, batch_size, count = arguments
        assert (batch_size, int(count)) == ("8", len(psutil.Process().cpu_affinity()))
        return int(pixels) * int(count) * speeds[pipeline]

    before = psutil.Process().cpu_affinity()
    monkeypatch.setattr(input_pipelines, "_rate_in_process", rate)
    given = ["--rounds", "2", "--pixels", "32,64", "--batch", "8", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["experiment", "input-pipelines", *given])
    assert command.main() == 0
    assert psutil.Process().cpu_affinity() == before
    kept = [made for _, made in experiment.read_all(tmp_path)[0]]
    assert {made.subject for made in kept if made.ways[0] == OWN} >= {
        "32x32, batch 8, 1 core",
        "64x64, batch 8, 1 core",
    }
    for made in kept:
        wanted = speeds[OWN] / speeds[made.ways[1]] if made.ways[0] == OWN else 1 / len(before)
        assert [a / b for a, b in zip(made.a, made.b, strict=True)] == pytest.approx([wanted] * 2)
        assert (made.cell, made.sample, made.unit) == ({}, "process", "images/s")
    (shown,) = section.sections(experiment.read_all(tmp_path)[0])
    assert "Input pipelines" in shown.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pixels": "96,x"}, "--pixels 'x' is not a whole number from 8 to 8,192"),
        ({"batch": "0"}, "--batch '0' is not a whole number from 1 to "),
        ({"pipelines": "DALI"}, "unknown input pipeline 'DALI'; those known are Grain threads, "),
    ],
)
@pytest.mark.usefixtures("all_installed")
def test_what_cannot_be_measured_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        input_pipelines.plan(options(**given))


def test_a_pipeline_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda package: False)
    with pytest.raises(UsageError, match="grain is not installed, which Grain threads needs; use nox -s bench-input"):
        input_pipelines.plan(options())


def test_a_process_that_fails_ends_the_experiment_and_says_why() -> None:
    with pytest.raises(BcdlError, match=r"gone, 1 core: exit code 1.*KeyError: 'gone'"):
        input_pipelines._rate_in_process("gone, 1 core", ["gone", "8", "1", "1"])


def test_bcdls_own_pipeline_is_timed_in_a_process() -> None:
    assert input_pipelines._rate_in_process("bcdl, 1 core", [OWN, "8", "4", "1"]) > 0


def test_an_example_is_augmented_as_a_batch_is() -> None:
    split = noise(6, 24)
    drawn = pickle.loads(pickle.dumps(Drawn(split)))
    for index in range(6):
        drawn.draw(index)
        drawn._of_thread.generator = np.random.default_rng(index)
        image, label = drawn.draw(index)
        wanted = np.empty_like(split.images[:1])
        augment([split.images[index]], np.random.default_rng(index).random((1, DRAWS)), wanted)
        np.testing.assert_array_equal(image, wanted[0])
        assert label.tolist() == np.eye(2)[split.labels[index]].tolist()


class Numbered:
    """Examples that show their own number."""

    image_shape, label_shape = (8, 8, 3), (2,)

    def __len__(self) -> int:
        return 50

    def draw(self, index: Any) -> tuple[np.ndarray, np.ndarray]:
        return np.full(self.image_shape, index, np.uint8), np.array([index % 2 == 0, index % 2], np.float32)


@pytest.mark.keras
@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("count", [1, 2])
def test_a_frameworks_pipeline_draws_all_examples_at_random_in_full_batches(name: str, count: int) -> None:
    _, pipeline = backends.input_pipelines()[name]
    batches = [tuple(map(np.asarray, batch)) for batch in itertools.islice(pipeline(Numbered(), 10, count), 10)]
    for images, labels in batches:
        assert (images.shape, images.dtype) == ((10, 8, 8, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((10, 2), np.float32)
        np.testing.assert_array_equal(labels.argmax(axis=1), images[:, 0, 0, 0] % 2)
    drawn = np.concatenate([images[:, 0, 0, 0] for images, _ in batches])
    assert sorted(drawn[:50]) == sorted(drawn[50:]) == list(range(50))
    assert drawn[:50].tolist() != list(range(50)) != drawn[50:].tolist()


@pytest.mark.keras
@pytest.mark.parametrize("name", INSTALLED)
def test_a_frameworks_pipeline_is_timed_in_a_process(name: str) -> None:
    assert input_pipelines._rate_in_process(f"{name}, 2 cores", [name, "8", "4", "2"]) > 0


def test_a_rate_is_of_batches_that_came_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.count()
    monkeypatch.setattr("bcdl.experiments.workers.batches.stopwatch", lambda: lambda: next(now) / 100)
    assert images_per_s(iter(range(10**6)), batch_size=4) > 0
