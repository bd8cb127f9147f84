"""What `bcdl predict` says of models: each score is the model's own, and a file that gives none is refused by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcdl import predict
from bcdl.records import model_file
from bcdl.records.model_file import Reading, Statement
from tests import hostile_models
from tests.in_process import InProcess, Said

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
session = pytest.importorskip("bcdl.worker.session")

STATEMENT = Statement("cnn", 32, "unit", "20260101T000000Z-0000")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)).save(file)
    return file


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sound") / "sound.keras"
    return hostile_models.save_sound(file, keras, lambda saved: model_file.seal(saved, STATEMENT))


@pytest.fixture
def run(in_process: InProcess) -> Callable[..., Said]:
    """`bcdl predict` on this CPU."""
    return lambda *arguments: in_process(predict.main, *arguments, "--device", "cpu")


def test_a_model_says_what_it_is_and_is_believed(run: Callable[..., Said], sound: Path, image: Path) -> None:
    code, out, err = run(sound, image)
    assert (code, err) == (0, "")
    file, label, score = out.strip().split("\t")
    assert (file, label) == (str(image), "malignant" if float(score) > 0.5 else "benign")
    assert model_file.read(sound) == STATEMENT
    assert keras.saving.load_model(sound, compile=False).output_shape == (None, 2)


def model_of(first: float, second: float) -> object:
    """A model of these two outputs, whatever the image."""
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    model.layers[-1].set_weights([np.zeros((3, 2), np.float32), np.array([first, second], np.float32)])
    return model


@pytest.mark.parametrize(
    ("outputs", "assume", "score"),
    [
        ((0.25, 0.75), "benign,malignant", 0.75),
        ((0.25, 0.75), "malignant,benign", 0.25),
        ((0.25, 0.75), "benign, malignant, probabilities", 0.75),
        ((0.9, 0.6), "benign,malignant,sigmoid", 0.4),
        ((-1.0, -2.0), "benign,malignant,logits", 1 / (1 + np.e)),
        ((-1000.0, 1000.0), "benign,malignant,logits", 1.0),
        ((-1.0, -2.0), "malignant,benign,logits", np.e / (1 + np.e)),
    ],
)
def test_what_is_assumed_is_used_and_said(
    run: Callable[..., Said], image: Path, tmp_path: Path, outputs: tuple[float, float], assume: str, score: float
) -> None:
    model_of(*outputs).save(tmp_path / "foreign.keras")  # type: ignore[attr-defined]
    code, out, err = run(tmp_path / "foreign.keras", image, "--assume", assume)
    assert (code, err) == (0, "")
    note, line = out.splitlines()
    first = " and ".join(part.strip() for part in assume.split(",")[:2])
    assert note.startswith("note: foreign.keras does not say what it is; assumed, as --assume has it: its outputs are")
    assert first in note
    assert line == f"{image}\t{'malignant' if score > 0.5 else 'benign'}\t{score:.4f}"


@pytest.mark.parametrize(
    "assume",
    ["benign", "malignant", "benign,benign", "cat,dog", "benign,malignant,", "benign,malignant,softmax", ","],
)
def test_a_wrong_assumption_is_refused(run: Callable[..., Said], sound: Path, image: Path, assume: str) -> None:
    code, _, err = run(sound, image, "--assume", assume)
    assert (code, len(err.splitlines())) == (2, 1)
    assert f"--assume {assume!r} is not benign,malignant, in the order of the outputs" in err


def test_an_empty_assumption_is_refused(run: Callable[..., Said], sound: Path, image: Path) -> None:
    code, _, err = run(sound, image, "--assume", "")
    assert (code, err) == (
        2,
        "error: --assume: '' is empty; give a value, or leave the option out; see bcdl predict --help\n",
    )


def test_nothing_is_assumed_of_a_model_that_says_what_it_is(run: Callable[..., Said], sound: Path, image: Path) -> None:
    code, _, err = run(sound, image, "--assume", "malignant,benign")
    assert code == 2
    assert "says itself what it is" in err


def test_what_is_no_keras_file_is_refused_by_its_name(run: Callable[..., Said], image: Path, tmp_path: Path) -> None:
    for name in ("model.h5", "model", "model.keras.zip"):
        (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n")
        code, _, err = run("--model", tmp_path / name, image)
        assert (code, "its name does not end in .keras" in err) == (2, True)


def test_only_outputs_like_bcdls_are_explained(run: Callable[..., Said], image: Path, tmp_path: Path) -> None:
    model_of(0.25, 0.75).save(tmp_path / "foreign.keras")  # type: ignore[attr-defined]
    arguments = (tmp_path / "foreign.keras", image, "--explain", "--output", tmp_path / "out.png")
    code, _, err = run(*arguments, "--assume", "malignant,benign")
    assert (code, "--explain needs outputs as bcdl's models have them" in err) == (2, True)
    code, _, err = run(*arguments, "--assume", "benign,malignant,sigmoid")
    assert (code, len(err.splitlines()), "does not end in sigmoid outputs" in err) == (2, 1, True)


def test_an_image_that_has_no_score_costs_no_other(run: Callable[..., Said], image: Path, tmp_path: Path) -> None:
    """On black it gives 0 and 0, elsewhere numbers."""
    model = model_of(0.0, 0.0)
    kernel = np.array([[0.001, 0.002]] * 3, np.float32)
    model.layers[-1].set_weights([kernel, np.zeros(2, np.float32)])  # type: ignore[attr-defined]
    model.save(tmp_path / "foreign.keras")  # type: ignore[attr-defined]
    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    code, out, err = run(
        tmp_path / "foreign.keras", tmp_path / "black.png", image, "--assume", "benign,malignant,sigmoid"
    )
    assert code == 1
    assert f"foreign.keras: gives no score for {tmp_path / 'black.png'}: both its outputs are 0" in err
    assert out.splitlines()[-1].startswith(f"{image}\tmalignant\t0.6667")


def deep_grey(level: int, file: Path) -> Path:
    """An image file of 16 bits that states no depth, with grey levels up to `level`."""
    levels = np.linspace(0, level, 32 * 32).round().astype(np.uint16).reshape(32, 32)
    Image.fromarray(levels).save(file)
    return file


def learnt_by(grey_bits: int, file: Path) -> Path:
    """A model that learnt from deep grey images of so many bits."""
    statement = dataclasses.replace(STATEMENT, grey_bits=grey_bits)
    return hostile_models.save_sound(file, keras, lambda saved: model_file.seal(saved, statement))


LEARNT = "note: grey images of more than 8 bits are read as of 12 bits, as those that the model learnt from"


def test_deep_grey_is_read_as_the_model_learnt_it_whatever_is_beside_it(
    run: Callable[..., Said], tmp_path: Path
) -> None:
    """A dark image alone was read as brighter than beside a bright one, and as any that the model had seen."""
    model = learnt_by(12, tmp_path / "deep.keras")
    dark, bright = deep_grey(900, tmp_path / "dark.png"), deep_grey(4000, tmp_path / "bright.png")
    alone, beside = run(model, dark), run(model, dark, bright)
    same = run(model, dark, "--grey-bits", "12")
    assert (alone[0], alone[2]) == (beside[0], beside[2]) == (0, f"{LEARNT}\n")
    assert alone[1] == beside[1].splitlines(keepends=True)[0] == same[1]
    assert "as --grey-bits says" in same[2]
    assert run(model, dark, "--grey-bits", "10")[1] != alone[1]


def test_a_level_above_the_depth_that_was_learnt_costs_no_other_image(run: Callable[..., Said], tmp_path: Path) -> None:
    model = learnt_by(12, tmp_path / "deep.keras")
    dark, above = deep_grey(900, tmp_path / "dark.png"), deep_grey(5000, tmp_path / "above.png")
    code, out, err = run(model, above, dark)
    assert (code, out) == (1, run(model, dark)[1])
    assert err.splitlines() == [
        LEARNT,
        f"error: {above}: a grey level of 5,000 is above what 12 bits hold, 4,095; --grey-bits sets the depth",
    ]


def test_a_model_that_does_not_say_its_depth_is_told_of(run: Callable[..., Said], sound: Path, tmp_path: Path) -> None:
    found = "note: 1 grey images of more than 8 bits: 10 bits found (greatest level 900); --grey-bits sets it"
    unsaid = "note: the model does not say by which depth it was trained; give --grey-bits"
    dark = deep_grey(900, tmp_path / "dark.png")
    assert run(sound, dark)[2].splitlines() == [found, unsaid]
    assert unsaid not in run(sound, dark, "--grey-bits", "10")[2]


def test_a_depth_that_a_file_states_counts_before_that_which_the_model_learnt(
    run: Callable[..., Said], tmp_path: Path
) -> None:
    model = learnt_by(12, tmp_path / "deep.keras")
    stating, plain = tmp_path / "stating.pgm", tmp_path / "plain.png"
    levels = np.linspace(0, 1023, 32 * 32).round()
    stating.write_bytes(b"P5\n32 32\n1023\n" + levels.astype(">u2").tobytes())
    Image.fromarray(np.rint(levels / 1023 * 255).astype(np.uint8).reshape(32, 32)).save(plain)
    code, out, err = run(model, stating, plain)
    assert code == 0
    first, second = (line.split("\t")[1:] for line in out.splitlines())
    assert first == second
    assert "learnt" not in err


@pytest.mark.parametrize("grey_bits", [b"17", b"-1", b"true", b"12.0", b'"12"', b"null"])
def test_a_depth_that_is_none_is_damage(
    run: Callable[..., Said], image: Path, tmp_path: Path, grey_bits: bytes
) -> None:
    model = learnt_by(12, tmp_path / "deep.keras")
    said = hostile_models.comment(model).replace(b'"grey_bits": 12', b'"grey_bits": ' + grey_bits)
    hostile_models.archive(model, hostile_models.members(model), said)
    code, _, err = run(model, image)
    assert (code, len(err.splitlines()), "is damaged or was changed" in err) == (2, 1, True)


def test_a_model_that_is_older_says_no_depth(sound: Path, tmp_path: Path) -> None:
    said = hostile_models.comment(sound).replace(b'"grey_bits": 0, ', b"")
    assert b"grey_bits" not in said
    older = hostile_models.archive(tmp_path / "older.keras", hostile_models.members(sound), said)
    assert model_file.read(older) == STATEMENT


def test_a_reading_is_of_both_classes() -> None:
    assert Reading() == Reading(("benign", "malignant"), "sigmoid")
