"""The corpus of hostile models and weights: each is read or refused on one line.

On torch all are tried, on the other backends a part: what reads them is Keras's and bcdl's own code on each.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bcdl import predict, train
from bcdl.errors import UsageError
from bcdl.records import model_file
from bcdl.records.model_file import Statement
from bcdl.settings.models import find
from tests import hostile_models
from tests.corpus import Hostile, pictures
from tests.faults.conftest import Injected
from tests.faults.test_corpus import SPRUNG
from tests.faults.watched import watched
from tests.in_process import SMALL_TRAINING, InProcess, Said

pytestmark = pytest.mark.keras
keras, h5py = pytest.importorskip("keras"), pytest.importorskip("h5py")
network, models = pytest.importorskip("bcdl.worker.network"), pytest.importorskip("tests.corpus.models")

BACKEND = os.environ.get("KERAS_BACKEND", "")
STEP = {"torch": 1}.get(BACKEND, 6)  # one of so many files is tried
KERNEL_SHAPE = (3, 3, 3, 4)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound model that says what it is, and a secret beside it."""
    folder = tmp_path_factory.mktemp("sound")
    with h5py.File(folder / "secret.h5", "w") as secret:
        secret["secret"] = np.ones(KERNEL_SHAPE, np.float32)
    statement = Statement("cnn", 32, "unit", "20260101T000000Z-0000")
    return hostile_models.save_sound(folder / "sound.keras", keras, lambda file: model_file.seal(file, statement))


Attempt = Callable[..., Said]


@pytest.fixture
def attempt(
    empty_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Attempt:
    """Runs `bcdl predict` in this process, which may do nothing that `watched` sees, nor leave a file where it runs."""
    run, here = InProcess(monkeypatch, capfd), tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def once(*arguments: str | Path) -> Said:
        compiled = tmp_path.parent.glob("compiled*")  # what tests of a session share
        with watched(tmp_path, *compiled) as deeds:
            said = run(predict.main, *arguments, "--device", "cpu")
        assert (deeds, list(here.iterdir())) == ([], []), said
        return said

    return once


def wrong(said: Said, file: Path, reads: bool | None, says: str = "") -> str:
    """What is wrong with what a command says of a file; empty if nothing is."""
    code, out, err = said
    if code == 0 and reads is not False:
        return err
    is_line = len(err.splitlines()) == 1 and err.startswith("error: ") and err.strip().isprintable()
    fits = code in (1, 2) and is_line and file.name in err and says in err and "\t" not in out and reads is not True
    return "" if fits else f"{file.name}: {said}"


def score(said: Said) -> float:
    """The malignant score that `predict` has printed last."""
    return float(said[1].split("\t")[-1])


MODELS: dict[str, Callable[[bytes, Path], Iterator[Hostile]]] = {
    "model_archives": models.archives,
    "model_configs": lambda sound, _: models.configs(sound),
    "model_demands": lambda sound, _: models.demands(sound),
    "model_weights": models.weights,
}


@pytest.mark.parametrize("fault", MODELS)
def test_a_hostile_model_is_read_as_what_it_is_or_refused(
    fault: str, sound: Path, tmp_path: Path, attempt: Attempt, injected: Injected
) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(pictures.encoded("PNG"))
    right = attempt(sound, image)
    secret = sound.with_name("secret.h5")
    step = 1 if fault == "model_demands" else STEP  # each framework takes memory in its own way
    for case in itertools.islice(MODELS[fault](sound.read_bytes(), secret), 0, None, step):
        file = tmp_path / case.name
        file.write_bytes(case.content)
        with injected(f"{fault}_{BACKEND}", names=[case.name]):
            said = attempt(Path("..") / case.name, image, *case.options)
            assert wrong(said, file, case.reads, case.says) == ""
            assert not case.reads or score(said) == pytest.approx(score(right), abs=0.001), said
        file.unlink()


def test_hostile_images_are_labelled_as_what_they_are_or_refused(sound: Path, tmp_path: Path, attempt: Attempt) -> None:
    """All of a kind are given to one command: the others get their labels."""
    for make in (pictures.pngs, pictures.jpegs, pictures.tiffs, lambda: pictures.others(SPRUNG)):
        made = list(make())
        for case in made:
            (tmp_path / case.name).write_bytes(case.content)
        code, out, err = attempt(sound, *(tmp_path / case.name for case in made))
        assert code == 1
        labelled = {Path(line.split("\t")[0]).name for line in out.splitlines()}
        refused = {case.name for case in made if f"error: {tmp_path / case.name}: " in err}
        assert labelled | refused == {case.name for case in made}
        assert labelled >= {case.name for case in made if case.reads}
        assert refused >= {case.name for case in made if case.reads is False}
        assert not labelled & refused
        assert all(line.startswith(("error: ", "note: ")) and line.isprintable() for line in err.splitlines()), err


def weights_files(folder: Path, secret: Path) -> Iterator[Hostile]:
    """Weights of MobileNet's backbone that are not what they should be."""
    whole = folder / "whole.weights.h5"
    backbone = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(32, 32, 3), alpha=1.0)
    backbone.save_weights(whole)
    content = whole.read_bytes()
    kernel = "layers/conv2d/vars/0"
    for name, change in models.h5_changes(secret, kernel, (3, 3, 3, 32)).items():
        if name not in (*models.H5_SOUND, *models.H5_EITHER):
            stream = io.BytesIO(content)
            with h5py.File(stream, "r+") as file:
                change(file)
            yield Hostile(f"{name}.weights.h5", stream.getvalue())
    for share in (0.001, 0.5, 0.99):
        yield Hostile(f"cut-at-{share}.weights.h5", content[: int(share * len(content))])
    yield Hostile("nothing.weights.h5", b"")
    yield Hostile("pickle.weights.h5", b"\x80\x04cos\nmkdir\n(V" + SPRUNG.encode() + b"\ntR.")


def test_hostile_weights_for_training_are_refused(sound: Path, tmp_path: Path, injected: Injected) -> None:
    for case in itertools.islice(weights_files(tmp_path, sound.with_name("secret.h5")), 0, None, STEP):
        file = tmp_path / case.name
        file.write_bytes(case.content)
        with injected(f"training_weights_{BACKEND}", names=[case.name]), watched(tmp_path) as deeds:
            with pytest.raises(UsageError, match=f"the weights file {case.name} does not fit mobilenet") as caught:
                network.build(find("mobilenet"), 32, seed=0, weights=file)
            assert str(caught.value).isprintable()
            assert deeds == []
        file.unlink()


def test_training_refuses_hostile_weights_on_one_line(sound: Path, tmp_path: Path, in_process: InProcess) -> None:
    case = next(weights_files(tmp_path, sound.with_name("secret.h5")))
    (tmp_path / case.name).write_bytes(case.content)
    weights = ("--weights", f"mobilenet={tmp_path / case.name}")
    model, places = ("--model", "mobilenet", "--no-timing"), ("--results", tmp_path / "results")
    code, _, err = in_process(train.main, *model, *SMALL_TRAINING, *weights, *places)
    last = err.splitlines()[-1]
    assert (code, last.startswith("error: "), case.name in last) == (1, True, True), err
