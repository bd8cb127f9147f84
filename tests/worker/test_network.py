"""Networks on the backend of this process: preprocessing, precision, and weights that are loaded and saved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.settings.models import find
from bcdl.worker import session

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
network = pytest.importorskip("bcdl.worker.network")
flops = pytest.importorskip("bcdl.worker.flops")
grad_cam = pytest.importorskip("bcdl.worker.grad_cam")
initial = pytest.importorskip("bcdl.worker.initial_weights")

BACKEND = os.environ.get("KERAS_BACKEND", "")


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    yield
    keras.backend.clear_session()


def images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("none", lambda rgb: rgb),
        ("unit", lambda rgb: rgb / 255),
        ("tf", lambda rgb: rgb / 127.5 - 1),
        ("torch", lambda rgb: (rgb / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
        ("caffe", lambda rgb: rgb[..., ::-1] - [103.939, 116.779, 123.68]),
    ],
)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_preprocessing_is_the_applications_own_in_float32(mode: str, wanted: object, policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        pixels = images(2, 8)
        scaled = keras.ops.convert_to_numpy(network.Preprocess(mode)(pixels))
    finally:
        keras.config.set_dtype_policy("float32")
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, wanted(pixels.astype(np.float64)), atol=2e-4, rtol=1e-6)


def test_a_saved_model_reloads_in_safe_mode_and_predicts_the_same(tmp_path: Path) -> None:
    model = network.build(find("mobilenet"), 32, seed=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict(images(2, 32), verbose=0), model.predict(images(2, 32), verbose=0))


def test_scores_stay_float32_under_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network.build(find("cnn"), 32, seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("head_conv16").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"
    assert model.predict(images(1, 32), verbose=0).dtype == np.float32


def test_real_weights_fit_and_are_loaded(real_weights: Path) -> None:
    model = network.build(find("mobilenet"), 64, seed=0, weights=real_weights)
    plain = network.build(find("mobilenet"), 64, seed=0)
    loaded, fresh = (
        next(layer for layer in built.layers if isinstance(layer, keras.Model)).get_layer("conv1_bn")
        for built in (model, plain)
    )
    assert not np.allclose(keras.ops.convert_to_numpy(loaded.moving_variance), 1)
    assert np.allclose(keras.ops.convert_to_numpy(fresh.moving_variance), 1)


def test_weights_of_another_model_are_refused(real_weights: Path) -> None:
    with pytest.raises(UsageError, match="does not fit resnet50 without its top"):
        network.build(find("resnet50"), 64, seed=0, weights=real_weights)


def test_a_weights_file_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.weights.h5"
    file.write_bytes(b"not HDF5")
    with pytest.raises(UsageError, match=r"bad.weights.h5 does not fit mobilenet"):
        network.build(find("mobilenet"), 64, seed=0, weights=file)


@pytest.fixture
def adapter() -> backends.Backend:
    adapter = session.start_backend(BACKEND, "cpu", "float32")
    try:
        adapter.check_settings("channels_first", "keras")
    except backends.UnsupportedError as error:
        pytest.skip(str(error))
    return adapter


@pytest.mark.parametrize("name", ["cnn", "mobilenet"])
@pytest.mark.parametrize("size", [32, 75])  # maps under and over the least of the head's valid convolutions
def test_both_layouts_are_one_model(name: str, size: int, adapter: backends.Backend) -> None:
    built = {}
    for data_format in ("channels_last", "channels_first"):
        with initial.draws_left_out():
            built[data_format] = network.build(find(name), size, seed=0, data_format=data_format)
        initial.draw_initial_weights(built[data_format], seed=0)
        assert built[data_format].input.shape == (None, size, size, 3)
    last, first = built.values()
    assert [network.short_name(v.path) for v in first.weights] == [network.short_name(v.path) for v in last.weights]
    assert network.weights_checksum(first) == network.weights_checksum(last)
    assert network.head_padding(first) == network.head_padding(last)
    assert flops.describe(first)["training_flops"] == flops.describe(last)["training_flops"]
    pixels = images(3, size)
    for mode in (True, False):
        given, wanted = (keras.ops.convert_to_numpy(model(pixels, training=mode)) for model in (first, last))
        np.testing.assert_allclose(given, wanted, atol=1e-5)
    explained = [grad_cam.explain(grad_cam.cut(model), adapter, pixels[0]).heat for model in (first, last)]
    np.testing.assert_allclose(*explained, atol=1e-6)
    assert keras.config.image_data_format() == "channels_last"


def test_loaded_weights_stand_in_either_layout(real_weights: Path) -> None:
    first, last = (
        network.build(find("mobilenet"), 64, seed=0, weights=real_weights, data_format=data_format)
        for data_format in ("channels_first", "channels_last")
    )
    backbones = [next(part for part in model.layers if isinstance(part, keras.Model)) for model in (first, last)]
    for given, wanted in zip(*(backbone.get_weights() for backbone in backbones), strict=True):
        np.testing.assert_array_equal(given, wanted)
