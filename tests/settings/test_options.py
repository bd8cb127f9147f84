"""Options resolve to jobs, and a wrong one is named together with its remedy."""

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bcdl import datasets
from bcdl.errors import UsageError
from bcdl.evaluation import smoke
from bcdl.settings import job, limits, models, options, profiles
from bcdl.settings.cell import Cell
from bcdl.settings.limits import resolve_limits
from bcdl.settings.option import Number
from bcdl.settings.setting import Setting
from tests.conftest import ROOT
from tests.factory import OPTIONS
from tests.machine import fake_nvml
from tests.machine.fake_nvml import FakeGpu


@pytest.fixture(autouse=True)
def every_backend_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bcdl.backends.is_installed", lambda name: True)


def resolve(names: str | None = None, backend: str = "jax", **changes: object) -> list[job.Job]:
    return options.resolve({**OPTIONS, **changes}, backend, names)


def test_quick_runs_every_model_once() -> None:
    jobs = resolve(profile="quick")
    assert [job.cell.model for job in jobs] == list(models.MODELS)
    assert {job.cell.seed for job in jobs} == {0}


def asked(*arguments: str) -> list[job.Job]:
    """The jobs of a run on JAX with these options, as `pytest benchmarks` and `nox -s bench-jax` resolve them."""
    parser = argparse.ArgumentParser()
    for option in (options.MODELS, options.RESUME, *limits.OPTIONS):
        option.add(parser.add_argument)
    options.add_cell_options(parser.add_argument)
    values = vars(parser.parse_args(arguments))
    return options.resolve_run(values, "jax", values["models"])


def of_profiles(jobs: list[job.Job]) -> list[tuple[str, str]]:
    return [(job.cell.profile, job.cell.model) for job in jobs]


QUICK = [("quick", model) for model in models.MODELS]
ACCURACY = [("accuracy", "cnn")]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ((), QUICK + ACCURACY),
        (("--profile", "quick"), QUICK + ACCURACY),
        (
            ("--device", "cpu", "--resume", "--results", "r", "--require-clean", "--cell-timeout", "9m"),
            QUICK + ACCURACY,
        ),
        (
            ("--models", "resnet50,cnn"),
            [("quick", "resnet50"), ("quick", "cnn"), ("accuracy", "cnn")],
        ),
        (("--models", "resnet50"), [("quick", "resnet50")]),
        (("--profile", "accuracy"), ACCURACY),
        (("--profile", "smoke"), [("smoke", "cnn"), ("smoke", "mobilenet")]),
    ],
)
def test_a_run_without_a_setting_has_the_cells_of_the_companion_after_its_own(
    arguments: tuple[str, ...], wanted: list[tuple[str, str]]
) -> None:
    assert of_profiles(asked(*arguments)) == wanted


SETTINGS = [row for row in Cell.rows().values() if row.given_by == "option" and row.name not in ("device", "profile")]


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_a_run_with_any_other_setting_has_its_own_cells_alone(row: Setting) -> None:
    needed = {"data": "synthetic-48", "image_size": "80", "weights": "none", "fold": "0"}
    value = needed.get(row.name) or str(row.choices[0] if row.choices else 2)
    given = (row.option,) if row.kind is bool else (row.option, value)
    assert {profile for profile, _ in of_profiles(asked("--models", "cnn", *given))} == {"quick"}


def test_the_cells_of_a_run_can_be_told_apart() -> None:
    """Also those of a companion: by their lines on the screen, and by the files of their logs."""
    cells = [job.cell for job in asked()]
    for names in ({cell.title for cell in cells}, {cell.stem for cell in cells}):
        assert len(names) == len(cells)


def test_the_test_set_of_the_accuracy_cells_is_no_smoke_test() -> None:
    """As long as a patient of the drawings has as many images as now."""
    dataset = datasets.load(asked("--profile", "accuracy", "--models", "cnn")[0].request)
    assert len(dataset.test) >= 200
    assert not smoke.Images(len(dataset.test), len(set(dataset.test.groups))).is_smoke_test


def test_full_is_the_studys_setting_from_three_seeds() -> None:
    cells = [job.cell for job in resolve("resnet50", profile="full")]
    assert [cell.seed for cell in cells] == [0, 1, 2]
    cell = cells[0]
    assert (cell.image_size, cell.batch_size, cell.epochs, cell.learning_rate) == (224, 32, 10, 1e-4)
    assert cell.weights == "imagenet"


def test_an_option_overrides_its_profile() -> None:
    cell = resolve("cnn", image_size="48", batch_size="2", epochs="7", learning_rate="0.5", augment=False)[0].cell
    assert (cell.image_size, cell.batch_size, cell.epochs, cell.learning_rate, cell.augment) == (48, 2, 7, 0.5, False)


def test_imagenet_resolves_to_none_for_the_cnn() -> None:
    weights = {job.cell.model: job.cell.weights for job in resolve("cnn,mobilenet", weights="imagenet")}
    assert weights == {"cnn": "none", "mobilenet": "imagenet"}


def test_a_weights_file_is_a_name_in_the_cell_and_a_path_in_the_job(tmp_path: Path) -> None:
    file = tmp_path / "some.weights.h5"
    file.touch()
    cnn, mobilenet = resolve("cnn,mobilenet", weights=str(file))
    assert (cnn.cell.weights, cnn.weights_file) == ("none", None)
    assert (mobilenet.cell.weights, mobilenet.weights_file) == ("some.weights.h5", str(file))
    resnet50, mobilenet = resolve("resnet50,mobilenet", weights=f"mobilenet={file}")
    assert (resnet50.cell.weights, mobilenet.cell.weights) == ("none", "some.weights.h5")
    assert str(tmp_path) not in mobilenet.cell.id


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are not UTF-8")
def test_names_of_files_that_are_no_utf_8_stand_in_the_id_of_a_cell(tmp_path: Path) -> None:
    weights, data = tmp_path / os.fsdecode(b"w\xff.h5"), tmp_path / os.fsdecode(b"d\xff")
    weights.touch()
    data.mkdir()
    (made,) = resolve("mobilenet", weights=str(weights), data=str(data))
    assert (made.cell.weights, made.cell.data) == (r"w\udcff.h5", r"d\udcff")
    assert Cell.parse(made.cell.id) == made.cell
    assert job.Job.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_seeds_make_a_cell_each() -> None:
    assert [job.cell.seed for job in resolve("cnn", seed="3,1,3")] == [3, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": "vgg"}, "unknown model 'vgg'; the models are cnn, resnet50"),
        ({"backend": "mxnet"}, "unknown backend 'mxnet'; the backends are jax, tensorflow, torch"),
        ({"profile": "fast"}, "unknown profile 'fast'; the profiles are smoke, quick, accuracy, gpu, full"),
        ({"precision": "float8"}, "--precision 'float8' is unknown; use float32"),
        ({"device": "tpu"}, "--device 'tpu' is unknown; use cpu, gpu"),
        ({"data": "nowhere"}, "no data set 'nowhere': use "),
        ({"data": "synthetic-3"}, "synthetic needs 36 or more"),
        ({"image_size": "31"}, "--image-size 31 is too small: cnn needs 32 or more"),
        ({"names": "inceptionresnetv2", "image_size": "74"}, "inceptionresnetv2 needs 75 or more"),
        ({"batch_size": "0"}, "--batch-size '0' is not a whole number from 1 to 1,000,000"),
        ({"epochs": "two"}, "--epochs 'two' is not a whole number"),
        ({"learning_rate": "nan"}, "--learning-rate 'nan' is not a number from 1e-30 to 1e+38"),
        ({"learning_rate": "1e-320"}, "--learning-rate '1e-320' is not a number from 1e-30"),
        ({"seed": "2147483648"}, "--seed '2147483648' is not a whole number from 0 to 2,147,483,647"),
        ({"zoom_range": "-1"}, "--zoom-range '-1' is not a number from 0 to 10"),
        ({"zoom_range": "2", "augment": False}, "--zoom-range has no effect with --no-augment; leave one of them out"),
        ({"folds": "999999999999"}, "--folds '999999999999' is not a whole number from 0 to 1,000"),
        ({"folds": "1000", "seed": ",".join(map(str, range(101)))}, "1000 of fold times 101 of seed are 101,000 cells"),
        ({"names": ""}, "unknown model ''"),
        ({"names": "cnn,,mobilenet"}, "unknown model ''"),
        ({"seed": "0,x"}, "--seed 'x' is not a whole number from 0"),
        ({"magnification": "60"}, "--magnification '60' is not one of BreaKHis's: 40, 100, 200, 400"),
        ({"names": "mobilenet", "weights": "nowhere.h5"}, "there is no file 'nowhere.h5' for mobilenet"),
        ({"names": "cnn", "weights": "nowhere.h5"}, "cnn has no backbone to load it into"),
        ({"weights": "cnn=nowhere.h5"}, "cnn has no backbone to load a file into"),
        ({"weights": "vgg=nowhere.h5"}, "unknown model 'vgg'"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(changes: dict[str, Any], message: str) -> None:
    names = changes.pop("names", None)
    with pytest.raises(UsageError) as error:
        resolve(names, **changes)
    assert message in str(error.value)
    assert error.value.exit_code == 2


def test_a_backend_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bcdl.backends.is_installed", lambda name: name != "jax")
    with pytest.raises(UsageError, match=r"jax not installed in this Python; .* the extra jax .*use nox -s bench-jax"):
        resolve()


def test_a_folder_that_only_has_a_frameworks_name_is_no_framework(tmp_path: Path) -> None:
    """As `python -m bcdl.train` finds it, which looks in the current folder first."""
    for name in ("nonesuch", "another"):
        (tmp_path / name).mkdir()
    (tmp_path / "another" / "__init__.py").touch()
    code = "from bcdl.backends import is_installed as i; print(i('nonesuch'), i('another'), i('missing'), i('json'))"
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False True False True\n"


def test_a_model_that_is_named_twice_runs_once() -> None:
    assert [each.cell.model for each in resolve("cnn,mobilenet, cnn", image_size="32")] == ["cnn", "mobilenet"]


@pytest.mark.parametrize(("option", "value"), [("cell_timeout", "9" * 400 + "h"), ("memory_limit", "9" * 400 + "GiB")])
def test_a_limit_beyond_all_numbers_is_refused(option: str, value: str) -> None:
    with pytest.raises(UsageError, match="is no amount above 0 with its unit"):
        resolve_limits({"cell_timeout": "4h", "memory_limit": "1GiB", option: value})


def test_every_profile_suits_its_models() -> None:
    for name, profile in profiles.PROFILES.items():
        several = [values for values in profile.settings.values() if isinstance(values, tuple)]
        count = len(profile.models) * math.prod(map(len, several))
        assert [job.cell.profile for job in resolve(profile=name)] == [name] * count


def test_the_head_alone_is_trained_first_only_behind_a_backbone() -> None:
    epochs = {job.cell.model: job.cell.head_epochs for job in resolve("cnn,mobilenet", head_epochs="3")}
    assert epochs == {"cnn": 0, "mobilenet": 3}


@pytest.mark.parametrize(
    ("timeout", "memory", "wanted"),
    [
        ("90s", "6000MiB", limits.Limits(90, 6000 * 2**20)),
        ("1.5m", "0.5GiB", limits.Limits(90, 2**29)),
        ("30m", "12GiB", limits.Limits(1800, 12 * 2**30)),
        ("4h", "1MiB", limits.Limits(14400, 2**20)),
    ],
)
def test_limits_have_their_units(timeout: str, memory: str, wanted: limits.Limits) -> None:
    assert limits.resolve_limits({"cell_timeout": timeout, "memory_limit": memory}) == wanted


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("cell_timeout", "8761h"),
        ("cell_timeout", "\u0661s"),
        ("memory_limit", "1048577GiB"),
        ("memory_limit", "9" * 300 + "GiB"),
    ],
)
def test_a_limit_that_nothing_reaches_is_refused(option: str, value: str) -> None:
    with pytest.raises(UsageError, match=r"is no amount above 0 with its unit; write it as .* at most"):
        limits.resolve_limits({"cell_timeout": "4h", "memory_limit": "1GiB", option: value})


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "", "8", "999999999999", "9" * 5000])
def test_a_number_out_of_its_range_is_refused_with_the_range(value: str) -> None:
    rounds = Number("--rounds", "rounds", least=1, most=7, default="2")
    with pytest.raises(UsageError, match=f"--rounds '{value[:40]}' is not a whole number from 1 to 7"):
        rounds.read(value)
    assert (rounds.read("1"), rounds.read_all("7, 1,7")) == (1, [7, 1])


# The profile of a GPU


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml.loaded(monkeypatch, tmp_path, FakeGpu())


@pytest.mark.usefixtures("gpu")
def test_a_machine_with_a_gpu_has_a_profile_of_its_own_and_says_so() -> None:
    cells = [job.cell for job in options.resolve_run({}, "torch", None)]
    assert {(cell.profile, cell.device, cell.image_size, cell.batch_size) for cell in cells} == {
        ("gpu", "gpu", 224, 32)
    }
    assert {cell.window_steps >= 20 and cell.epochs == 3 for cell in cells} == {True}
    assert options.notices({}) == ["profile gpu, the default on a GPU; --profile chooses another"]
    assert options.notices({"profile": "gpu"}) == options.notices({"device": "cpu"}) == []
    assert {job.cell.profile for job in options.resolve({"device": "cpu"}, "torch", None)} == {"quick"}
    for names in ({cell.title for cell in cells}, {cell.stem for cell in cells}):
        assert len(names) == len(cells)


def test_without_a_gpu_the_profile_is_that_of_a_cpu() -> None:
    assert {job.cell.profile for job in options.resolve({"device": "cpu"}, "torch", None)} == {"quick"}
    assert {job.cell.profile for job in options.resolve({"device": "gpu"}, "torch", None)} == {"gpu"}


def test_cells_of_a_gpu_come_in_the_order_of_their_value() -> None:
    cells = [(job.cell.model, job.cell.precision) for job in options.resolve({"device": "gpu"}, "torch", None)]
    first = [(model, precision) for precision in ("mixed_bfloat16", "tf32", "float32") for model in FIRST]
    assert cells[: len(first)] == first
    others = [model for model in profiles.find("gpu").models if model not in FIRST]
    assert cells[len(first) : len(first) + len(others)] == [(model, "mixed_bfloat16") for model in others]
    assert len(cells) == 3 * len(profiles.find("gpu").models)


FIRST = profiles.find("gpu").first


def test_a_command_of_one_cell_takes_the_first_of_a_profiles_several_values_and_says_so() -> None:
    (job,) = options.resolve({"device": "gpu"}, "torch", "mobilenet", spread=False)
    assert (job.cell.precision, job.cell.seed) == ("mixed_bfloat16", 0)
    (notice,) = options.notices({"device": "cpu", "profile": "gpu"}, spread=False)
    assert notice == "profile gpu: of its several values of precision the first, mixed_bfloat16, is run"
    asked = {"device": "gpu", "precision": "float32,tf32"}
    assert [job.cell.precision for job in options.resolve(asked, "torch", "cnn", spread=False)] == ["float32", "tf32"]
