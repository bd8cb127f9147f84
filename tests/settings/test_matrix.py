"""A study's file gives exactly the cells that it asks for, or is refused in a line that says where it is wrong."""

from __future__ import annotations

import itertools
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl import backends, datasets
from bcdl.datasets import sources
from bcdl.errors import UsageError
from bcdl.settings import matrix
from bcdl.settings.cell import Cell
from bcdl.settings.matrix import MOST_CELLS, Matrix
from bcdl.settings.options import cell_options
from bcdl.settings.words import titles
from tests.conftest import ROOT

SMALL = {"profile": "smoke", "device": "cpu"}
# Values of options of every kind: of those that take one value, and of those that take several.
VALUES: dict[str, Sequence[Any]] = {
    "models": ("cnn", "mobilenet", "resnet50"),
    "image-size": (32, 64, 96),
    "batch-size": (2, 4),
    "learning-rate": (1e-05, 0.5, 1),
    "augment": (True, False),
    "optimizer": ("adam", "sgd"),
    "precision": ("float32", "tf32", "mixed_bfloat16"),
    "seed": (0, 7, 2),
    "split-by": ("group", "image"),
}


def toml(shared: Mapping[str, Any], *tables: Mapping[str, Any]) -> str:
    """A study's file: what stands above its tables, and the tables."""
    parts = [_lines(shared), *(f"[[matrix]]\n{_lines(table)}" for table in tables)]
    return "\n".join(parts)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


@pytest.fixture(autouse=True)
def every_backend_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda name: True)


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Matrix]:
    """Reads a study's file of these tables, in a folder of the test's own."""

    def read(shared: Mapping[str, Any], *tables: Mapping[str, Any], **options: Any) -> Matrix:
        return written(tmp_path, toml(shared, *tables), **options)

    return read


def written(folder: Path, text: str, **options: Any) -> Matrix:
    file = folder / "study.toml"
    file.write_text(text, encoding="utf-8")
    return matrix.read(file, **options)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UsageError) as refused:
        written(folder, text)
    return str(refused.value)


def cells(read: Matrix) -> list[Cell]:
    return [job.cell for of_backend in read.jobs.values() for job in of_backend]


def in_cell(key: str) -> str:
    return {"models": "model", "backends": "backend"}.get(key, key.replace("-", "_"))


def as_asked(cell: Cell, keys: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(cell, in_cell(key)) for key in keys)


some_values = st.fixed_dictionaries(
    {"backends": st.lists(st.sampled_from(backends.NAMES), min_size=1, unique=True)},
    optional={
        key: st.one_of(st.sampled_from(values), st.lists(st.sampled_from(values), min_size=1, unique=True))
        for key, values in VALUES.items()
    },
)


@given(some_values)
def test_the_jobs_are_exactly_the_product(table: dict[str, Any]) -> None:
    table = {"models": ["cnn"], **table}
    with tempfile.TemporaryDirectory() as folder:
        read = written(Path(folder), toml(SMALL, table))
    lists = [value if isinstance(value, list) else [value] for value in table.values()]
    keys = list(table)
    assert Counter(as_asked(cell, keys) for cell in cells(read)) == Counter(itertools.product(*lists))
    assert list(read.jobs) == table["backends"]
    assert all(job.cell.backend == name for name, jobs in read.jobs.items() for job in jobs)
    assert read.notices == ()


def test_of_a_table_the_keys_that_stand_first_vary_slowest_and_seeds_fastest(study: Callable[..., Matrix]) -> None:
    read = study({**SMALL, "backends": "jax", "image-size": [64, 32]}, {"seed": [1, 0], "models": ["cnn", "mobilenet"]})
    shown = [(cell.image_size, cell.model, cell.seed) for cell in cells(read)]
    assert shown == list(itertools.product((64, 32), ("cnn", "mobilenet"), (1, 0)))


def test_tables_run_one_after_another_on_each_backend_and_override_what_stands_above(
    study: Callable[..., Matrix],
) -> None:
    shared = {**SMALL, "backends": ["torch", "jax"], "batch-size": 4, "models": "cnn"}
    read = study(
        shared, {"seed": 0}, {"batch-size": [2, 8], "backends": ["jax"]}, {"seed": 5, "backends": "tensorflow"}
    )
    assert {name: [(job.cell.seed, job.cell.batch_size) for job in jobs] for name, jobs in read.jobs.items()} == {
        "torch": [(0, 4)],
        "jax": [(0, 4), (0, 2), (0, 8)],
        "tensorflow": [(5, 4)],
    }


def test_every_option_of_a_cell_is_a_key_and_no_other() -> None:
    of_cells = {name.removeprefix("--") for option in cell_options() for name in option.names}
    assert matrix._destinations().keys() == {"backends", "models", *of_cells} - {"results", "require-clean"}


def test_folds_and_a_profile_of_several_values_make_their_cells(study: Callable[..., Matrix]) -> None:
    read = study({**SMALL, "backends": "jax", "models": "cnn"}, {"folds": 3}, {"profile": "full", "weights": "none"})
    assert [(cell.profile, cell.fold, cell.seed) for cell in cells(read)] == [
        *(("smoke", fold, 0) for fold in range(3)),
        *(("full", 0, seed) for seed in range(3)),
    ]


def test_a_table_without_a_setting_has_the_cells_of_the_profiles_companion_as_a_run_has(
    study: Callable[..., Matrix],
) -> None:
    read = study({}, {"backends": "jax", "device": "cpu"})
    assert [cell.profile for cell in cells(read)][-2:] == ["quick", "accuracy"]


def test_a_text_that_the_option_would_split_is_split(study: Callable[..., Matrix]) -> None:
    read = study(SMALL, {"backends": "jax, torch", "models": "cnn,mobilenet", "precision": "tf32,float32"})
    assert list(read.jobs) == ["jax", "torch"]
    assert len(cells(read)) == 8


def test_flags_and_paths_reach_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths lead from the file's folder, wherever it is read from."""
    folder = tmp_path / "study"
    images = Path(sources.modules()["folder"].example(folder))
    (folder / "w.weights.h5").touch()
    (folder / "table.csv").write_text("path,label\n")
    monkeypatch.chdir(tmp_path)
    asked = {
        "backends": "jax",
        "models": ["cnn", "mobilenet"],
        "data": images.name,
        "weights": "mobilenet=w.weights.h5",
        "labels": "table.csv",
        "label-column": "label",
        "cold": True,
        "keep-names": True,
        "skip-unreadable": True,
    }
    (tmp_path / "study" / "study.toml").write_text(toml(SMALL, asked), encoding="utf-8")
    for path in (Path("study/study.toml"), folder / "study.toml"):
        cnn, mobilenet = matrix.read(path).jobs["jax"]
        assert (cnn.weights_file, mobilenet.weights_file) == (None, str(folder / "w.weights.h5"))
        assert {Path(cnn.data).resolve(), Path(str(cnn.labels_file)).resolve()} == {images, folder / "table.csv"}
        assert (cnn.cold, cnn.keep_names, cnn.skip_unreadable) == (True, True, True)
        assert cnn.cell.data == datasets.name_of(cnn.data) == images.name
    monkeypatch.chdir(folder)
    assert matrix.read(Path("study.toml")).jobs["jax"][0].data == images.name


def test_a_name_of_a_data_set_is_no_path_although_a_folder_beside_the_file_has_it(
    tmp_path: Path, study: Callable[..., Matrix]
) -> None:
    (tmp_path / "synthetic-48").mkdir()
    (job,) = study(SMALL, {"backends": "jax", "models": "cnn", "data": "synthetic-48"}).jobs["jax"]
    assert job.data == "synthetic-48"


def test_a_cell_that_comes_up_again_runs_once_and_that_is_told(study: Callable[..., Matrix]) -> None:
    shared = {**SMALL, "backends": ["jax", "torch"], "models": "cnn"}
    read = study(shared, {"seed": [0, 1, 2]}, {"seed": [1, 2, 3]}, {"seed": 9, "head-epochs": [0, 1]})
    assert [job.cell.seed for job in read.jobs["torch"]] == [0, 1, 2, 3, 9]
    assert read.notices == (
        "study.toml, matrix 2: 4 of its cells are of matrix 1, too (cnn on jax, seed 1, for one); each runs once",
        # The CNN has no head of its own to be trained alone.
        "study.toml, matrix 3: 2 of its cells come up in it before (cnn on jax, seed 9, for one); each runs once",
    )


@pytest.mark.parametrize("apart", [{"cold": True}, {"keep-names": True}, {"data": "b/images"}])
def test_one_cell_of_two_kinds_is_refused(tmp_path: Path, apart: dict[str, Any]) -> None:
    """Their records could not be told apart: a cell holds names, and no paths."""
    for folder in "ab":
        for name in ("benign", "malignant"):
            (tmp_path / folder / "images" / name).mkdir(parents=True)
    table = {"backends": "jax", "models": "cnn", "data": "a/images"}
    said = refusal(tmp_path, toml(SMALL, table, {**table, **apart}))
    (key,) = apart
    assert said == (
        f"study.toml, matrix 2, {key}: cnn on jax, seed 0 is a cell of matrix 1, too, and the two differ only in what "
        f"a cell does not hold ({key}); give both the same, rename one, or write a file for each"
    )


def test_a_backend_is_needed_here_unless_another_python_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda name: name in ("keras", "torch"))
    text = toml({**SMALL, "models": "cnn"}, {"backends": ["torch", "jax"]})
    said = refusal(tmp_path, text)
    assert said.startswith("study.toml, backends: jax not installed in this Python; ")
    assert list(written(tmp_path, text, elsewhere=["jax"]).jobs) == ["torch", "jax"]


ONE = {"backends": "jax", "models": "cnn"}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([{**ONE, "image-size": 0}], "matrix 1, image-size: '0' is not a whole number from 1 to 8,192"),
        ([ONE, {**ONE, "image-size": [64, 8.5]}], "matrix 2, image-size: '8.5' is not a whole number from 1 to 8,192"),
        ([{**ONE, "image-size": "64"}], "matrix 1, image-size: '64' is a text; write the number without quotes, or"),
        ([{**ONE, "image-size": [[64]]}], "matrix 1, image-size: '[64]' is no single value"),
        ([{**ONE, "image-size": True}], "matrix 1, image-size: 'True' is not a whole number from"),
        ([{**ONE, "image-size": 16}], "matrix 1, image-size: 16 is too small: cnn needs 32 or more"),
        ([{**ONE, "learning-rate": "fast"}], "matrix 1, learning-rate: 'fast' is a text; write the number without"),
        ([{**ONE, "seed": [0, -1]}], "matrix 1, seed: '-1' is not a whole number from 0 to"),
        ([{**ONE, "seed": "0,1"}], "matrix 1, seed: '0,1' is a text; write the number without quotes, or several as"),
        ([{**ONE, "seed": []}], "matrix 1, seed: the list is empty; give a value, or leave the key out"),
        ([{**ONE, "seed": [1, 2, 1]}], "matrix 1, seed: '1' stands there twice; give it once"),
        ([{**ONE, "seed": 1, "seeds": 2}], "matrix 1, seeds: it is another name of a key that stands there, too"),
        ([{**ONE, "augment": "yes"}], "matrix 1, augment: 'yes' is not true or false; write one of these, without"),
        ([{**ONE, "cold": 1}], "matrix 1, cold: '1' is not true or false"),
        ([{**ONE, "optimizer": "adan"}], "matrix 1, optimizer: 'adan' is unknown; use adam, sgd"),
        ([{**ONE, "precision": ["float32", "half"]}], "matrix 1, precision: 'half' is unknown; use float32, tf32"),
        ([{**ONE, "precision": 32}], "matrix 1, precision: '32' is no text; write it between quotes"),
        ([{**ONE, "profile": "slow"}], "matrix 1, profile: unknown profile 'slow'; the profiles are smoke"),
        ([{**ONE, "models": ["cnn", "vgg"]}], "matrix 1, models: unknown model 'vgg'; the models are cnn"),
        ([{**ONE, "models": ["cnn", "cnn"]}], "matrix 1, models: 'cnn' stands there twice"),
        ([{**ONE, "backends": ["jax", "mxnet"]}], "matrix 1, backends: unknown backend 'mxnet'; the backends are"),
        ([{**ONE, "data": "nowhere"}], "matrix 1, data: no data set "),
        ([{**ONE, "data": ""}], "matrix 1, data: '' is empty; give a value, or leave the option out"),
        ([{**ONE, "data": "a\0b"}], "matrix 1, data: its value holds a zero byte"),
        ([{**ONE, "weights": "w.h5"}], "matrix 1, weights: "),
        ([{**ONE, "models": "mobilenet", "weights": "w.h5"}], "matrix 1, weights: there is no file "),
        ([{**ONE, "folds": 1}], "matrix 1, folds: 1 leaves nothing to train on; use 2 or more, or 0"),
        ([{**ONE, "folds": 3, "fold": 3}], "matrix 1, fold: 3 is none of the 3 folds"),
        ([{**ONE, "label-column": "class"}], "matrix 1, label-column: 'class' is a column of no table; name the table"),
        ([{**ONE, "imagesize": 64}], "matrix 1: there is no key 'imagesize'; image-size is meant, perhaps; keys are"),
        ([{**ONE, "image_size": 64}], "matrix 1: there is no key 'image_size'; image-size is meant, perhaps"),
        ([{**ONE, "x": 64}], "matrix 1: there is no key 'x'; keys are backends, and the options of a cell"),
        ([{**ONE, "results": "r"}], "matrix 1: results is of a whole run; give it on the command line, --results"),
        ([{**ONE, "budget": "5m"}], "matrix 1: budget is of a whole run; give it on the command line, --budget"),
        ([ONE, {"models": "cnn"}], "matrix 2: it names no backend to run on; add backends = [...]"),
        ([{**ONE, "device": ["cpu", "gpu"]}], "device: it asks for cells on cpu and on gpu, and those of one file run"),
    ],
)
def test_what_is_wrong_is_named_by_file_table_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: list[dict[str, Any]], message: str
) -> None:
    monkeypatch.setattr("bcdl.machine.gpus.check", lambda device: None)  # as on a machine that has one
    said = refusal(tmp_path, toml({} if "device" in tables[0] else SMALL, *tables))
    assert said.startswith(f"study.toml, {message}")
    assert "\n" not in said


def test_what_is_wrong_above_the_tables_is_named_without_one(tmp_path: Path) -> None:
    assert refusal(tmp_path, toml({"epochs": 0}, ONE)).startswith(
        "study.toml, epochs: '0' is not a whole number from 1"
    )
    assert refusal(tmp_path, toml({"epoch": 1}, ONE)).startswith("study.toml: there is no key 'epoch'; epochs is meant")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "study.toml: it asks for no cell; write [[matrix]], and what to run below it"),
        ('backends = ["jax"]', "study.toml: it asks for no cell; write [[matrix]]"),
        ("matrix = []", "study.toml: it asks for no cell; write [[matrix]]"),
        ("matrix = [1]", "study.toml: it asks for no cell; write [[matrix]]"),
        (
            "[matrix]\nbackends = 'jax'",
            "study.toml: [matrix] is one table; write [[matrix]], in two brackets, before each",
        ),
        ("[[matrix]]\nseed = ", "study.toml: it is no TOML: Invalid value (at "),
        ("a = 1\na = 2", "study.toml: it is no TOML: Cannot overwrite a value (at "),
        (f"a = {'9' * 5000}", "study.toml: it is no TOML: Exceeds the limit"),
        (f"a = {'[' * 100_000}", "study.toml: it is no TOML: "),
        ("[[matrix]]\nseed = 2026-01-01\nbackends = 'jax'", "study.toml, matrix 1, seed: '2026-01-01' is not a whole"),
        ("[[matrix]]\nseed = {a = 1}\nbackends = 'jax'", "study.toml, matrix 1, seed: \"{'a': 1}\" is no single value"),
        ("[[matrix]]\nlearning-rate = nan\nbackends = 'jax'", "study.toml, matrix 1, learning-rate: 'nan' is not a nu"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, text: str, message: str) -> None:
    said = refusal(tmp_path, text)
    assert said.startswith(message)
    assert "\n" not in said


def test_an_error_of_toml_says_its_line(tmp_path: Path) -> None:
    said = refusal(tmp_path, "[[matrix]]\nbackends = ['jax']\nseed 0\n")
    assert said == "study.toml: it is no TOML: Expected '=' after a key in a key/value pair (at line 3, column 6)"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no.toml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError, match=rf"can't be read \({reason}\); name the file that says what to run"):
            matrix.read(path)
    (tmp_path / "b.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(UsageError, match=r"b\.toml: it holds bytes that are no UTF-8"):
        matrix.read(tmp_path / "b.toml")
    (tmp_path / "c.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(UsageError, match=r"c\.toml: it has more than 1,048,576 bytes"):
        matrix.read(tmp_path / "c.toml")


def test_a_mark_of_the_order_of_bytes_is_no_part_of_the_file(tmp_path: Path) -> None:
    """As Windows's editors put it before the text."""
    assert cells(written(tmp_path, "\ufeff" + toml(SMALL, ONE)))


@pytest.mark.parametrize("is_of_one_list", [True, False])
def test_more_cells_than_a_study_has_are_refused_before_they_are_made(tmp_path: Path, is_of_one_list: bool) -> None:
    one = [{**ONE, "seed": list(range(MOST_CELLS + 1))}]
    product = {"seed": list(range(1000)), "split-seed": list(range(1000)), "patience": list(range(1000))}
    said = refusal(tmp_path, toml(SMALL, *(one if is_of_one_list else [{**ONE, **product}])))
    count = MOST_CELLS + 1 if is_of_one_list else 10**9
    assert said.startswith(f"study.toml: it asks for {count:,} cells or more, and a study has 100,000 at most")


def test_cells_that_folds_make_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "MOST_CELLS", 50)
    said = refusal(tmp_path, toml(SMALL, {**ONE, "folds": 10, "split-seed": list(range(9))}))
    assert said.startswith("study.toml: it asks for 60 cells or more, and a study has 50 at most")


def test_the_example_of_the_documentation_gives_the_cells_that_it_says(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "study-file.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    read = written(tmp_path, example)
    assert Counter(cell.optimizer if not cell.timing else "timed" for cell in cells(read)) == {
        "timed": 36,
        "adam": 2,
        "sgd": 2,
    }
    (error,) = re.findall(r"^error: (study.toml, .*)$", text, flags=re.MULTILINE)
    assert refusal(tmp_path, toml(SMALL, ONE, {**ONE, "image-size": 0})) == error


def test_titles_tell_the_cells_of_a_study_apart(study: Callable[..., Matrix]) -> None:
    asked = {**ONE, "image-size": [32, 64], "learning-rate": [0.1, 0.01], "seed": [0, 1]}
    read = cells(study(SMALL, asked))
    titled = titles(read)
    assert len(set(titled.values())) == len(read) == 8
    assert titled[read[0]] == "cnn on jax, seed 0, image size 32, learning rate 0.1"
    assert titles(read[:1]) == {read[0]: "cnn on jax, seed 0"}
    assert titles([]) == {}


def test_set_overrides_what_every_table_says(study: Callable[..., Matrix]) -> None:
    tables = ({"backends": "jax", "models": "cnn", "epochs": 7}, {"backends": "torch", "models": "cnn"})
    read = study({**SMALL, "data": "synthetic-72"}, *tables, settings=["epochs=1", "seed=[0, 3]", "data=synthetic-48"])
    assert [(cell.backend, cell.epochs, cell.seed, cell.data) for cell in cells(read)] == [
        (backend, 1, seed, "synthetic-48") for backend in ("jax", "torch") for seed in (0, 3)
    ]


def test_a_path_of_set_leads_from_the_working_folder(
    tmp_path: Path, study: Callable[..., Matrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere" / "images").mkdir(parents=True)
    (tmp_path / "elsewhere" / "some.weights.h5").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    read = study(SMALL, {"backends": "jax", "models": "mobilenet"}, settings=["weights=some.weights.h5", "data=images"])
    (job,) = read.jobs["jax"]
    assert (job.weights_file, job.data) == (str(Path.cwd() / "some.weights.h5"), "images")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["epochs"], "--set 'epochs' names no key, or no value"),
        (["epochs="], "names no key, or no value"),
        (["=1"], "--set: there is no key ''"),
        (["epochs=1", "epochs=2"], "--set 'epochs' is given twice"),
        (
            ["seed=[0,1]\nepochs=2"],
            "--set '[0,1]\\nepochs=2' gives more than one value; write --set once for each key",
        ),
        (["epoch=1"], "--set: there is no key 'epoch'; epochs is meant, perhaps"),
        (["epochs=0"], "--set, epochs: "),
        (["epochs=one"], "--set, epochs: 'one' is a text"),
        (["results=x"], "--set: results is of a whole run"),
        (["data=[[1]]"], "--set, data: "),
        (["backends=numpy"], "--set, backends: "),
        (["a" * 5000], "names no key, or no value"),
    ],
)
def test_what_set_can_not_be_is_refused_by_its_key(tmp_path: Path, settings: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as refused:
        written(tmp_path, toml(SMALL, {"backends": "jax", "models": "cnn"}), settings=settings)
    assert len(str(refused.value)) < 400


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A reader of a pipe that nobody writes waits for ever."""
    os.mkfifo(tmp_path / "study.toml")
    with pytest.raises(UsageError, match=r"study\.toml is no file"):
        matrix.read(tmp_path / "study.toml")


@pytest.mark.parametrize("value", [[[0, 1], [2]], [{"a": 1}], {"a": 1}])
def test_a_list_in_a_list_is_shown_whole(tmp_path: Path, value: object) -> None:
    given = "{a = 1}" if isinstance(value, dict) else "[{a = 1}]" if isinstance(value[0], dict) else json.dumps(value)  # type: ignore[index]
    text = toml(SMALL, {"backends": "jax", "models": "cnn"}) + f"seed = {given}\n"
    assert "is no single value; give values in one list" in refusal(tmp_path, text)
