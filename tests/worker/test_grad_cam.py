"""Grad-CAM on the backend of this process: equal to NumPy in float64, so to the other backends; and its pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from bcdl import backends, predict
from bcdl.errors import UsageError
from bcdl.parity.worker import numpy_layers as exact
from bcdl.records import model_file
from bcdl.records.model_file import Statement
from bcdl.records.quality import malignant_scores
from bcdl.settings.models import find
from bcdl.worker import session

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
explain = pytest.importorskip("bcdl.worker.grad_cam")
initial = pytest.importorskip("bcdl.worker.initial_weights")
network = pytest.importorskip("bcdl.worker.network")

ROOT = Path(__file__).resolve().parents[2]
BACKEND = os.environ.get("KERAS_BACKEND", "")
# Of the map's largest value: room for float32 rounding through the 83 layers of a MobileNet.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def adapter() -> backends.Backend:
    return session.start_backend(BACKEND, "cpu", "float32")


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    yield
    keras.backend.clear_session()
    plt.close("all")


def noise(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def drawn(model: Any, seed: int = 0) -> Any:
    """The model with weights from NumPy, and batch norms whose statistics keep signals of a size of 1."""
    initial.draw_initial_weights(model, seed)
    generator = np.random.default_rng(seed)
    power = None
    for layer in network.every_layer(model):
        if hasattr(layer, "kernel"):
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            power = (kernel**2).sum(axis=(0, 1) if depthwise else tuple(range(kernel.ndim - 1))).ravel()
        elif isinstance(layer, keras.layers.BatchNormalization):
            shape = tuple(layer.moving_mean.shape)
            scale = power / 2 if power is not None and power.shape == shape else 1.0
            layer.moving_variance.assign((scale * generator.uniform(0.5, 1.5, shape)).astype(np.float32))
            layer.moving_mean.assign(generator.normal(0, 0.1, shape).astype(np.float32))
    return model


def tiny(*between: Any, classes: int = 2, activation: str = "sigmoid") -> Any:
    """Preprocessing, `between` and the scores, on 8x8 pixels."""
    values = images = keras.Input((8, 8, 3), dtype="uint8")
    for layer in (network.Preprocess("unit", name="preprocess"), *between, keras.layers.Flatten()):
        values = layer(values)
    return keras.Model(images, keras.layers.Dense(classes, activation=activation, name="scores")(values))


def convolution(name: str = "conv") -> Any:
    return keras.layers.Conv2D(4, 3, activation="relu", name=name)


def weights_of(layer: Any) -> dict[str, np.ndarray]:
    return {v.name: keras.ops.convert_to_numpy(v).astype(np.float64) for v in layer.weights}


def in_numpy(layer: Any, maps: np.ndarray) -> np.ndarray:
    """What the layer gives in float64; a sigmoid is left out, so that the scores are logits."""
    w = weights_of(layer)
    if isinstance(layer, keras.Model):
        for part in layer.layers:
            maps = in_numpy(part, maps)
        return maps
    match type(layer).__name__:
        case "Preprocess":
            return maps / 255.0 if layer.mode == "unit" else maps / 127.5 - 1
        case "Conv2D":
            maps = exact.conv2d(maps, w["kernel"], layer.strides[0], layer.padding, w.get("bias", 0.0))
            return np.maximum(maps, 0) if layer.activation is keras.activations.relu else maps
        case "DepthwiseConv2D":
            return exact.depthwise_conv2d(maps, w["kernel"], layer.strides[0], layer.padding)
        case "BatchNormalization":
            return exact.batch_norm(maps, w["moving_mean"], w["moving_variance"], w["gamma"], w["beta"], layer.epsilon)
        case "ReLU":
            return np.clip(maps, 0, layer.max_value)
        case "ZeroPadding2D":
            return np.pad(maps, [(0, 0), *layer.padding, (0, 0)])
        case "MaxPooling2D":
            return exact.max_pool(maps, layer.pool_size[0], layer.strides[0], layer.padding)
        case "Flatten":
            return maps.reshape(len(maps), -1)
        case "Dense":
            return maps @ w["kernel"] + w["bias"]
        case "InputLayer" | "Dropout":
            return maps
    raise AssertionError(f"no definition of {type(layer).__name__} here")


def by_finite_differences(model: Any, image: np.ndarray, layer: str) -> np.ndarray:
    """What Grad-CAM weighs the layer's map to, for malignant, in float64 and before its ReLU, from the definition.

    A channel's weight is how the logits' difference moves with the channel as a whole. Such a shift moves every
    max-pooling by as much, and all else here is linear between kinks.
    """
    place = [part.name for part in model.layers].index(layer) + 1
    maps = image[None].astype(np.float64)
    for part in model.layers[:place]:
        maps = in_numpy(part, maps)
    shift, channels = 1e-6, maps.shape[-1]
    logits = np.concatenate([maps, maps + shift * np.eye(channels)[:, None, None, :]])
    for part in model.layers[place:]:
        logits = in_numpy(part, logits)
    evidence = logits[:, 1] - logits[:, 0]
    return maps[0] @ (evidence[1:] - evidence[0]) / shift / maps[0, ..., 0].size


@pytest.mark.parametrize(
    ("name", "size", "layer"), [("cnn", 32, "head_conv64"), ("mobilenet", 64, "mobilenet_1.00_64")]
)
def test_every_backend_gives_the_heat_map_of_float64(
    name: str, size: int, layer: str, adapter: backends.Backend
) -> None:
    model, image = drawn(network.build(find(name), size, seed=0)), noise(size)
    cut = explain.cut(model)
    assert cut.layer == layer
    weighed = by_finite_differences(model, image, layer)
    assert np.ptp(weighed) > 0.1 * np.abs(weighed).max() > 0  # of a flat map, equality would say little
    for kind, sign in (("malignant", 1), ("benign", -1)):
        explanation = explain.explain(cut, adapter, image, kind)
        assert explanation.kind == kind
        expected = np.maximum(sign * weighed, 0)
        np.testing.assert_allclose(explanation.heat, expected, rtol=0, atol=TOLERANCE * np.abs(weighed).max())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_hand_worked_case(seed: int, adapter: backends.Backend) -> None:
    """Behind the last convolution everything is linear, so the gradient is known in closed form."""
    norm = keras.layers.BatchNormalization()
    model, image = drawn(tiny(convolution(), norm), seed), noise(8, seed)
    explanation = explain.explain(explain.cut(model), adapter, image, "malignant")
    maps = in_numpy(model.get_layer("conv"), image[None] / 255.0)
    kernel, w = weights_of(model.get_layer("scores"))["kernel"], weights_of(norm)
    slope = w["gamma"] / np.sqrt(w["moving_variance"] + norm.epsilon)
    gradient = (kernel[:, 1] - kernel[:, 0]).reshape(6, 6, 4) * slope
    expected = np.maximum((maps[0] * gradient.mean(axis=(0, 1))).sum(axis=-1), 0)
    np.testing.assert_allclose(explanation.heat, expected, rtol=0, atol=1e-5 * np.abs(maps).max())


def test_the_class_that_is_predicted_is_explained_and_its_score_given(adapter: backends.Backend) -> None:
    model = drawn(tiny(convolution()))
    cut = explain.cut(model)
    for seed in range(4):
        image = noise(8, seed)
        score = malignant_scores(model.predict(image[None], verbose=0))[0]
        explanation = explain.explain(cut, adapter, image)
        assert explanation.score == pytest.approx(score, abs=1e-6)
        assert explanation.kind == ("malignant" if score > 0.5 else "benign")
        both = [explain.explain(cut, adapter, image, kind).heat for kind in ("benign", "malignant")]
        assert (np.minimum(*both) == 0).all()  # no cell speaks for both classes


def test_mixed_precision_changes_a_heat_map_by_its_rounding_alone(adapter: backends.Backend) -> None:
    heat = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            model = drawn(network.build(find("cnn"), 32, seed=0))
        finally:
            keras.config.set_dtype_policy("float32")
        heat[policy] = explain.explain(explain.cut(model), adapter, noise(32), "benign").heat
    most = heat["float32"].max()
    assert most > 0
    np.testing.assert_allclose(heat["mixed_bfloat16"], heat["float32"], rtol=0, atol=0.05 * most)


@pytest.mark.parametrize("level", [0, 255])
def test_a_blank_image_has_a_heat_map_too(level: int, adapter: backends.Backend) -> None:
    model = drawn(network.build(find("cnn"), 32, seed=0))
    explanation = explain.explain(explain.cut(model), adapter, np.full((32, 32, 3), level, np.uint8))
    assert explanation.heat.shape == model.get_layer("head_conv64").output.shape[1:3]
    assert explanation.heat.dtype == np.float64
    assert np.isfinite(explanation.heat).all()
    assert (explanation.heat >= 0).all()


def test_a_layer_within_the_backbone_can_be_named(adapter: backends.Backend) -> None:
    model, image = drawn(network.build(find("mobilenet"), 32, seed=0)), noise(32)
    last, by_default = (
        explain.explain(explain.cut(model, name), adapter, image, "malignant") for name in ("conv_pw_13_relu", None)
    )
    np.testing.assert_array_equal(last.heat, by_default.heat)
    earlier = explain.explain(explain.cut(model, "conv_pw_5_relu"), adapter, image)
    assert earlier.heat.shape == (4, 4)
    assert explain.explain(explain.cut(model, "head_conv16"), adapter, image).layer == "head_conv16"


def branching() -> Any:
    """A backbone in which a convolution is bypassed."""
    pixels = keras.Input((8, 8, 3))
    bypassed = keras.layers.Conv2D(3, 3, padding="same", name="bypassed")(pixels)
    return keras.Model(pixels, keras.layers.Add(name="met")([pixels, bypassed]), name="backbone")


def with_bypass() -> Any:
    """A model without a backbone that is not one layer after another."""
    images = keras.Input((8, 8, 3), dtype="uint8")
    pixels = network.Preprocess("unit")(images)
    added = keras.layers.Add()([pixels, keras.layers.Conv2D(3, 3, padding="same")(pixels)])
    return keras.Model(images, keras.layers.Dense(2, activation="sigmoid")(keras.layers.Flatten()(added)))


def foreign(change: Callable[[Any], Any], **options: Any) -> Any:
    """A model of real numbers that another program made; `change` is what it does between its layers."""
    images = keras.Input((8, 8, 3))
    maps = change(keras.layers.Conv2D(3, 3, padding="same", name="conv", **options)(images))
    return keras.Model(images, keras.layers.Dense(2, activation="sigmoid")(keras.layers.Flatten()(maps)))


def twice(maps: Any) -> Any:
    """One layer that runs twice."""
    layer = keras.layers.Conv2D(3, 3, padding="same", name="shared")
    return layer(layer(maps))


def gated(maps: Any) -> Any:
    return maps * keras.ops.sigmoid(maps)


@pytest.mark.parametrize(
    ("make", "layer", "message"),
    [
        (lambda: foreign(lambda maps: maps - 0.5), None, "computes outside its layers"),
        (lambda: foreign(gated), None, "computes outside its layers"),
        (lambda: foreign(twice), None, "runs its layer 'shared' several times"),
        (
            lambda: foreign(keras.layers.Identity(), data_format="channels_first"),
            None,
            "its channels before its places",
        ),
        (lambda: tiny(), None, "has no convolution"),
        (lambda: tiny(convolution()), "nowhere", "no layer 'nowhere'; the layers that give one are preprocess, conv"),
        (lambda: tiny(convolution()), "scores", "not a map over places"),
        (lambda: tiny(convolution(), classes=2, activation="softmax"), None, "does not end in sigmoid outputs"),
        (lambda: tiny(branching()), "bypassed", "one of several branches of backbone"),
        (with_bypass, None, "branches outside its backbone"),
    ],
)
def test_what_can_not_be_explained_is_reported(make: Callable[[], Any], layer: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explain.cut(make(), layer)


def test_a_model_of_real_numbers_is_explained_by_images_as_they_are_read(adapter: backends.Backend) -> None:
    model, image = drawn(foreign(keras.layers.ReLU())), noise(8)
    explanation = explain.explain(explain.cut(model), adapter, image)
    expected = malignant_scores(np.asarray(model.predict(image[None], verbose=0)))[0]
    assert explanation.score == pytest.approx(expected, abs=1e-5)


def test_a_model_within_that_convolves_nothing_is_no_backbone() -> None:
    scaling = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255)], name="scaling")
    images = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(3, 3, name="conv")(scaling(images))
    model = keras.Model(images, keras.layers.Dense(2, activation="sigmoid")(keras.layers.Flatten()(maps)))
    assert explain.default_layer(model) == "conv"


def test_a_layer_in_which_branches_have_met_can_be_named(adapter: backends.Backend) -> None:
    model = drawn(tiny(branching()))
    first, second = (explain.explain(explain.cut(model, name), adapter, noise(8), "benign") for name in ("met", None))
    np.testing.assert_array_equal(first.heat, second.heat)


def test_the_gradient_of_a_function_on_this_backend(adapter: backends.Backend) -> None:
    point = np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32)
    gradient = adapter.gradient(lambda values: keras.ops.sum(values**3), point)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, 3 * point**2, rtol=1e-5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CNN's file, of weights that were never trained."""
    file = tmp_path_factory.mktemp("model") / "my $model$.keras"
    drawn(network.build(find("cnn"), 32, seed=0)).save(file)
    model_file.seal(file, Statement("cnn", 32, find("cnn").preprocessing, "a run"))
    return file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(file: Path, size: tuple[int, int] = (40, 30)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(noise(32), (size[1], size[0], 3))).save(file)
    return file


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments), "--device", "cpu"])
    return predict.main()


@pytest.mark.any_backend
def test_the_command_as_it_is_typed(saved: Path, here: Path) -> None:
    hostile = picture(here / "in" / "a $x_1$ <b>\n\x1b[31m.png")
    command = [sys.executable, "-m", "bcdl.predict", "--explain", str(saved), str(hostile), "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    label, explained = done.stdout.splitlines()[-2:]
    name, kind, score = label.split("\t")
    assert name.endswith(r"a $x_1$ <b>\n\x1b[31m.png")
    assert kind == ("malignant" if float(score) > 0.5 else "benign")
    assert explained.startswith(f"  explained: {kind}, by the map of layer head_conv64, in a $x_1$")
    (written,) = here.glob("*-gradcam.png")
    assert Image.open(written).size > (400, 200)


def test_several_images_each_have_an_overlay(saved: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [picture(here / "in" / f"{name}.png") for name in ("a", "b")]
    before = [image.read_bytes() for image in images]
    assert run(monkeypatch, "--model", saved, "--explain", *images, "--class", "benign", "--layer", "stem_conv") == 0
    assert sorted(file.name for file in here.glob("*.png")) == [f"{n}-my $model$-gradcam.png" for n in ("a", "b")]
    assert [image.read_bytes() for image in images] == before


def test_what_can_not_be_read_is_reported_and_the_others_explained(
    saved: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "bad.png").write_bytes(b"not an image")
    assert run(monkeypatch, "--explain", saved, "bad.png", picture(here / "good.png")) == 1
    assert "error: bad.png: not a readable image" in capsys.readouterr().err
    assert [file.name for file in here.glob("*-gradcam.png")] == ["good-my $model$-gradcam.png"]


@pytest.mark.parametrize("output", [None, "out.png"])
@pytest.mark.parametrize("kind", ["text", "picture", "folder", "broken link"])
def test_only_overlays_are_overwritten(
    output: str | None, kind: str, saved: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, there = picture(here / "in" / "a.png"), here / (output or "a-my $model$-gradcam.png")
    arguments = ("--explain", saved, image, *(("--output", output) if output else ()))
    make: dict[str, Callable[[], object]] = {
        "text": lambda: there.write_text("precious"),
        "picture": lambda: picture(there),
        "folder": there.mkdir,
        "broken link": lambda: there.symlink_to(here / "nowhere"),
    }
    make[kind]()
    before = there.read_bytes() if there.is_file() else b""
    with pytest.raises(UsageError, match="is there already, and is no overlay of bcdl's; move it, or choose another"):
        run(monkeypatch, *arguments)
    assert (there.read_bytes() if there.is_file() else b"") == before
    there.rename(here / "moved")
    assert run(monkeypatch, *arguments) == 0
    assert run(monkeypatch, *arguments) == 0


def test_an_overlay_is_written_whole_or_not_at_all(saved: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, output = picture(here / "in" / "a.png"), here / "out.png"
    assert run(monkeypatch, "--explain", saved, image, "--output", output) == 0
    whole = output.read_bytes()

    def fills_the_disk(file: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fills_the_disk)
    with pytest.raises(UsageError, match=r"can't be written \(No space left on device\)"):
        run(monkeypatch, "--explain", saved, image, "--output", output)
    assert output.read_bytes() == whole
    assert {file.name for file in here.iterdir()} == {"in", "out.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--explain", "MODEL", "a.png", "--output", "a.png"), "would overwrite 'a.png', which is read"),
        (("--explain", "MODEL", "a.png", "--output", "sub/../a.png"), "would overwrite"),
        (("--explain", "MODEL", "a.png", "--output", "nowhere/a.png"), "there is no folder 'nowhere'"),
        (("--explain", "MODEL", "a.png", "--output", "a.jpg"), "does not end in .png"),
        (("--explain", "MODEL", "a.png", "sub/b.png", "--output", "c.png"), "one file for 2 images"),
        (("--explain", "MODEL", "a.png", "sub/a.png"), "two images would be explained in 'a-my"),
        (("--explain", "MODEL", "a.png", "--class", "normal"), "--class 'normal' is unknown; use benign, malignant"),
        (("--explain", "MODEL", "a.png", "--layer", "nowhere"), "no layer 'nowhere'"),
        (("--explain", "a.png"), "no --model, and 'a.png', named first, is no PATH.keras"),
        (("--explain", "MODEL"), "no image to label"),
        (("--explain", "nowhere.keras", "a.png"), "there is no model file 'nowhere.keras'"),
        (("MODEL", "a.png", "--layer", "stem_conv"), "--layer belongs to --explain"),
    ],
)
def test_wrong_usage_is_reported(
    arguments: tuple[str, ...], message: str, saved: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(here / "sub" / "a.png")
    image = picture(here / "a.png").read_bytes()
    with pytest.raises(UsageError, match=message):
        run(monkeypatch, *(saved if argument == "MODEL" else argument for argument in arguments))
    assert (here / "a.png").read_bytes() == image
    assert not list(here.glob("*gradcam*"))
