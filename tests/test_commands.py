"""The commands as people type them, on the backend of this process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdl.records import store
from bcdl.records.record import Record
from bcdl.records.shapes import COLD, LOOKED, TIMED, WARM
from bcdl.report.sections.phases import PHASES
from tests.described import absent, undescribed

pytestmark = pytest.mark.keras
pytest.importorskip("keras")

ROOT = Path(__file__).resolve().parent.parent
BACKEND = os.environ.get("KERAS_BACKEND", "")
SMALL = ("--profile", "smoke", "--image-size", "32", "--epochs", "1")


def run(*arguments: str, without: Sequence[str] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m ARGUMENTS` in the project's folder."""
    # Without the variables by which a nested pytest takes itself for one of several: it would measure nothing.
    values = {key: value for key, value in os.environ.items() if key not in without and not key.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**values, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A results folder with a CNN that was trained without KERAS_BACKEND and saved, and what the command printed."""
    folder, home = tmp_path_factory.mktemp("train"), tmp_path_factory.mktemp("keras")
    (home / "keras.json").write_text(json.dumps({"backend": BACKEND}))
    arguments = ("--model", "cnn", *SMALL, "--results", str(folder), "--save", str(folder / "cnn.keras"))
    return folder, run("bcdl.train", *arguments, without=["KERAS_BACKEND"], KERAS_HOME=str(home))


def test_train_prints_writes_and_plots(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = trained
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    (machine_and_record,), problems = store.read_all(folder)
    assert machine_and_record[1].ok
    assert machine_and_record[1].cell.backend == BACKEND
    assert not problems
    assert len(list(folder.glob("plots/*/throughput.png"))) == 1


def test_without_keras_backend_train_says_what_is_installed(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, done = trained
    assert "KERAS_BACKEND is not set; installed here:" in done.stdout
    assert f"Keras's own choice is {BACKEND}" in done.stdout


def test_predict_names_file_label_and_score(trained: tuple[Path, object], tmp_path: Path) -> None:
    folder, _ = trained
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (40, 30), (200, 150, 180)).save(good)
    bad.write_bytes(b"not an image")
    done = run("bcdl.predict", "--model", str(folder / "cnn.keras"), str(bad), str(good))
    assert done.returncode == 1
    assert f"error: {bad}: not a readable image" in done.stderr
    file, label, score = done.stdout.splitlines()[-1].split("\t")
    assert file == str(good)
    assert label == ("malignant" if float(score) > 0.5 else "benign")


@pytest.mark.any_backend
def test_predict_reads_grey_of_more_than_8_bits_by_the_depth_of_all_its_images(
    trained: tuple[Path, object], tmp_path: Path
) -> None:
    folder, _ = trained
    files = {level: tmp_path / f"{level}.png" for level in (900, 4000)}
    for level, file in files.items():
        Image.fromarray(np.full((32, 32), level, np.uint16)).save(file)
    Image.new("L", (32, 32), round(900 * 255 / 4095)).save(tmp_path / "same.png")
    done = run("bcdl.predict", str(folder / "cnn.keras"), *map(str, files.values()), str(tmp_path / "same.png"))
    assert done.returncode == 0, done.stderr
    assert "note: 2 grey images of more than 8 bits: 12 bits found (greatest level 4,000)" in done.stderr
    assert "note: the model does not say by which depth it was trained; give --grey-bits" in done.stderr
    scores = [line.split("\t")[2] for line in done.stdout.splitlines()[-3:]]
    assert scores[0] == scores[2] != scores[1]
    for bits, message in (("10", "--grey-bits 10 holds grey levels of up to 1,023, and "), ("7", "--grey-bits '7' is")):
        done = run("bcdl.predict", str(folder / "cnn.keras"), str(files[4000]), "--grey-bits", bits)
        assert done.returncode == 2
        assert f"error: {message}" in done.stderr


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bcdl.train", "--model", "vgg"), "unknown model 'vgg'"),
        (("bcdl.train", "--model", "cnn,mobilenet"), "give one --model"),
        (("bcdl.train", "--model", "cnn", "--save", "model.h5"), "does not end in NAME.keras"),
        (("bcdl.train", "--model", "cnn", "--data", "nowhere"), "no data set 'nowhere'"),
        (("bcdl.predict", "--model", "nowhere.keras", "a.png"), "there is no model file 'nowhere.keras'"),
        (("bcdl.predict", "--model", "README.md", "a.png"), "can't be loaded as a Keras model"),
        (("bcdl.report", "--results", "nowhere"), "nowhere holds no records/ folder"),
    ],
)
def test_wrong_usage_is_reported_without_a_traceback(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_fails_keeps_its_record(tmp_path: Path) -> None:
    done = run(
        "bcdl.train", "--model", "cnn", *SMALL, "--precision", "tf32", "--results", str(tmp_path), "--device", "cpu"
    )
    assert done.returncode == 1
    assert "error: skipped: TF32 is arithmetic of NVIDIA GPUs" in done.stderr
    ((_, record),), _ = store.read_all(tmp_path)
    assert record.status == "skipped"


def test_doctor_says_what_is_resolved() -> None:
    done = run("bcdl.doctor", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    for word in (
        "python",
        "keras",
        "jit_compile",
        "dtype_policy",
        "mixed_bfloat16",
        "decoded images",
        f"backend {BACKEND}",
    ):
        assert word in done.stdout


@pytest.fixture(scope="module")
def benchmarked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("bench")
    options = (*SMALL, "--models", "cnn", "--results", str(folder), "--benchmark-json", str(folder / "bench.json"))
    return folder, run("pytest", "benchmarks", "--backend", BACKEND, *options)


def test_benchmarks_end_with_a_table_and_a_report(benchmarked: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = benchmarked
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    assert "[1/1] cnn on" in done.stdout
    assert "fit images/s" in done.stdout
    assert (folder / "README.md").is_file()
    ((_, record),), _ = store.read_all(folder)
    assert record.ok


@pytest.mark.parametrize("made_by", ["trained", "benchmarked"])
def test_a_record_holds_every_field_that_is_described_and_no_other(
    made_by: str, request: pytest.FixtureRequest
) -> None:
    folder, _ = request.getfixturevalue(made_by)
    ((_, record),), _ = store.read_all(folder)
    cache = WARM if "warm" in record.environment["compilation_cache"] else COLD
    line = json.loads(record.to_json())
    assert undescribed(line, Record) == []
    assert absent(line, Record, (TIMED, LOOKED, cache)) == []


def test_the_phases_of_a_cell_sum_to_its_time(benchmarked: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """By two other clocks: the time of day at both ends of the measurement, and the driver's, in whole seconds."""
    folder, done = benchmarked
    ((_, record),), _ = store.read_all(folder)
    assert record.phases.keys() == PHASES.keys() - {"training the head", "measuring idle power", "measuring energy"}
    whole = sum(record.phases.values())
    started, ended = map(datetime.fromisoformat, (record.started, record.ended))
    inner = whole - record.phases["starting"] - record.phases["ending"]
    assert inner == pytest.approx((ended - started).total_seconds(), rel=0.02)
    shown = re.search(r": ok \((\d+) s\)", done.stdout)
    assert shown
    assert whole == pytest.approx(int(shown[1]), rel=0.02, abs=1)


def test_benchmark_json_holds_the_records_samples(benchmarked: tuple[Path, object]) -> None:
    folder, _ = benchmarked
    ((_, record),), _ = store.read_all(folder)
    benchmarks = {
        benchmark["name"]: benchmark for benchmark in json.loads((folder / "bench.json").read_text())["benchmarks"]
    }
    for regime in ("fit", "step", "predict"):
        benchmark = benchmarks[f"bench_{regime}[cnn-{BACKEND}]"]
        assert benchmark["stats"]["data"] == pytest.approx(record.samples[f"{regime}_s"])
        assert benchmark["extra_info"]["cell"] == record.cell.id


@pytest.mark.any_backend
def test_collect_only_measures_nothing(tmp_path: Path) -> None:
    done = run(
        "pytest", "benchmarks", "--backend", BACKEND, "--collect-only", "-q", "--results", str(tmp_path / "none")
    )
    assert done.returncode == 0, done.stdout
    assert f"bench_train.py::bench_fit[nasnetlarge-{BACKEND}]" in done.stdout
    assert "32 tests collected" in done.stdout
    assert not (tmp_path / "none").exists()


@pytest.mark.any_backend
def test_a_failed_cell_fails_its_benchmarks_with_the_reason(tmp_path: Path) -> None:
    options = (*SMALL, "--models", "cnn", "--precision", "tf32", "--device", "cpu", "--results", str(tmp_path), "-x")
    done = run("pytest", "benchmarks", "--backend", BACKEND, *options)
    assert done.returncode == 1
    assert "skipped: TF32 is arithmetic of NVIDIA GPUs" in done.stdout
    assert "1 failed" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--models", "vgg"), "unknown model 'vgg'"),
        (("--backend", "mxnet"), "unknown backend 'mxnet'"),
        (("--data", "nowhere"), "no data set 'nowhere'"),
        (("--batch-size", "500"), "--batch-size 500 is more than the"),
        (("--results", "README.md"), "can't be written"),
        (("-n", "2"), "cells run one after another"),
    ],
)
@pytest.mark.any_backend
def test_wrong_usage_of_benchmarks_ends_with_2(options: tuple[str, ...], message: str) -> None:
    done = run("pytest", "benchmarks", "--backend", BACKEND, "--profile", "smoke", *options)
    assert done.returncode == 2, done.stdout
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.any_backend
def test_the_main_job_has_the_accuracy_cells_after_the_timed_ones(tmp_path: Path) -> None:
    listed = ("--collect-only", "-q", "--results", str(tmp_path))
    done = run("pytest", "benchmarks", "--backend", BACKEND, "--models", "cnn,resnet50", *listed)
    names = [line.partition("[")[2] for line in done.stdout.splitlines() if "bench_fit[" in line]
    assert names == [f"cnn-{BACKEND}]", f"resnet50-{BACKEND}]", f"cnn-{BACKEND}-accuracy]"]
    assert not list(tmp_path.iterdir())
