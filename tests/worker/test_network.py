"""All models on the backend of this process: published sizes, a real forward pass, honest NASNets."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bcdl.errors import UsageError
from bcdl.settings.models import MODELS, find

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
flops = pytest.importorskip("bcdl.worker.flops")
network = pytest.importorskip("bcdl.worker.network")
layer_checks = pytest.importorskip("bcdl.parity.worker.layer_checks")


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    yield
    keras.backend.clear_session()


def images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def every_layer(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        yield from every_layer(layer) if isinstance(layer, keras.Model) else (layer,)


def pools_that_torch_gets_wrong(model: keras.Model) -> list[str]:
    """Average pools of stride 2, padding `same`, on even maps: Keras 3.15.1 on torch differs there (#23177)."""
    return [
        layer.name
        for layer in every_layer(model)
        if isinstance(layer, keras.layers.AveragePooling2D)
        and layer.padding == "same"
        and tuple(layer.strides) == (2, 2)
        and any(side % 2 == 0 for side in layer.input.shape[1:3])
    ]


def layer_types_without_a_definition(model: keras.Model) -> set[str]:
    """Layer types that parity has no row for, which would go unchecked against NumPy."""
    covered = {row.layer_type for row in layer_checks.LAYER_CHECKS}
    return {type(layer).__name__ for layer in every_layer(model)} - covered - {"InputLayer", "Preprocess", "Dropout"}


@pytest.mark.parametrize("name", list(MODELS))
def test_the_published_model_at_224(name: str) -> None:
    row = find(name)
    model = network.build(row, 224, seed=0)
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert (model.count_params(), trainable) == (row.parameters, row.trainable_parameters)
    assert sum(layer.forward for layer in flops.layer_flops(model)) == row.forward_flops
    assert not pools_that_torch_gets_wrong(model)
    if row.published:
        assert network.head_padding(model) == "valid"
    if name == "inceptionresnetv2":  # its map is 5x5, too small for three valid convolutions: the study never ran it
        assert network.head_padding(model) == "same"


@pytest.mark.parametrize("name", list(MODELS))
def test_a_forward_pass_at_the_least_size(name: str) -> None:
    row = find(name)
    size = row.least_image_size
    model = network.build(row, size, seed=0)
    assert not pools_that_torch_gets_wrong(model)
    assert not layer_types_without_a_definition(model)
    outputs = model.predict(images(2, size), verbose=0)
    assert outputs.shape == (2, 2)
    assert outputs.dtype == np.float32
    assert ((outputs > 0) & (outputs < 1)).all()


@pytest.mark.parametrize("name", list(MODELS))
def test_under_the_least_size_is_refused(name: str) -> None:
    size = find(name).least_image_size - 1
    with pytest.raises(UsageError, match=f"--image-size {size} is too small: {name} needs {size + 1} or more"):
        network.build(find(name), size, seed=0)


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
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


@pytest.mark.parametrize("name", list(MODELS))
def test_a_rows_preprocessing_is_the_one_of_its_application(name: str) -> None:
    row = find(name)
    if row.backbone is None:
        return
    module = (
        keras.applications.nasnet if "nasnet" in name else inspect.getmodule(getattr(keras.applications, row.title))
    )
    pixels = images(1, 8).astype(np.float32)
    wanted = keras.ops.convert_to_numpy(module.preprocess_input(pixels.copy()))
    scaled = keras.ops.convert_to_numpy(network.Preprocess(row.preprocessing)(images(1, 8)))
    np.testing.assert_allclose(scaled, wanted, atol=1e-4)


def test_nasnetmobile_is_built_with_the_public_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Keras refuses it on no backend any more, the table can name the public constructor."""
    given: dict[str, object] = {}
    monkeypatch.setattr("keras.src.applications.nasnet.NASNet", lambda *shape, **named: given.update(named))
    try:
        keras.applications.NASNetMobile(include_top=False, weights=None, input_shape=(96, 96, 3))
    except ValueError as refusal:
        if "NASNetMobile" not in str(refusal):
            raise
    else:
        ours = find("nasnetmobile").arguments
        assert {name: given[name] for name in ours} == ours


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
