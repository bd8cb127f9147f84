"""Every model on the backend of this process: published sizes, a real forward pass, honest NASNets.

At its least size a model is built once for all tests of it, and goes forward once: the large ones compile for long.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bcdl.errors import UsageError
from bcdl.settings.models import MODELS, ModelRow, find

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
flops = pytest.importorskip("bcdl.worker.flops")
grad_cam = pytest.importorskip("bcdl.worker.grad_cam")
initial = pytest.importorskip("bcdl.worker.initial_weights")
layer_checks = pytest.importorskip("bcdl.parity.worker.layer_checks")
network = pytest.importorskip("bcdl.worker.network")


def build(row: ModelRow, size: int) -> Any:
    with initial.draws_left_out():
        return network.build(row, size, seed=0)


@pytest.fixture(scope="module", params=list(MODELS))
def smallest(request: pytest.FixtureRequest) -> Iterator[tuple[ModelRow, Any]]:
    """A row and its model at the least size, with its initial weights."""
    row = find(request.param)
    model = build(row, row.least_image_size)
    initial.draw_initial_weights(model, seed=0)
    yield row, model
    keras.backend.clear_session()


def pools_that_torch_gets_wrong(model: Any) -> list[str]:
    """Average pools of stride 2, padding `same`, on even maps: Keras 3.15.1 on torch differs there (#23177)."""
    return [
        layer.name
        for layer in network.every_layer(model)
        if isinstance(layer, keras.layers.AveragePooling2D)
        and layer.padding == "same"
        and tuple(layer.strides) == (2, 2)
        and any(side % 2 == 0 for side in layer.input.shape[1:3])
    ]


def layer_types_without_a_definition(model: Any) -> set[str]:
    """Layer types that parity has no row for, which would go unchecked against NumPy."""
    covered = {row.layer_type for row in layer_checks.LAYER_CHECKS}
    there = {type(layer).__name__ for layer in network.every_layer(model)}
    return there - covered - {"InputLayer", "Preprocess", "Dropout"}


@pytest.mark.parametrize("name", list(MODELS))
def test_the_published_model_at_224(name: str) -> None:
    row = find(name)
    model = build(row, 224)
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert (model.count_params(), trainable) == (row.parameters, row.trainable_parameters)
    assert sum(layer.forward for layer in flops.layer_flops(model)) == row.forward_flops
    assert not pools_that_torch_gets_wrong(model)
    if row.published:
        assert network.head_padding(model) == "valid"
    if name == "inceptionresnetv2":  # its map is 5x5, too small for three valid convolutions: the study never ran it
        assert network.head_padding(model) == "same"
    keras.backend.clear_session()


def test_a_forward_pass_at_the_least_size(smallest: tuple[ModelRow, Any]) -> None:
    _, model = smallest
    assert not pools_that_torch_gets_wrong(model)
    assert not layer_types_without_a_definition(model)
    images = np.random.default_rng(0).integers(0, 256, (2, *model.input.shape[1:]), dtype=np.uint8)
    outputs = model.predict(images, verbose=0)
    assert outputs.shape == (2, 2)
    assert outputs.dtype == np.float32
    assert ((outputs > 0) & (outputs < 1)).all()


@pytest.mark.parametrize("name", list(MODELS))
def test_under_the_least_size_is_refused(name: str) -> None:
    size = find(name).least_image_size - 1
    with pytest.raises(UsageError, match=f"--image-size {size} is too small: {name} needs {size + 1} or more"):
        network.build(find(name), size, seed=0)


def test_every_model_has_a_map_that_explains_it(smallest: tuple[ModelRow, Any]) -> None:
    row, model = smallest
    layer = model.get_layer(grad_cam.cut(model).layer)
    assert isinstance(layer, keras.Model) is (row.backbone is not None)
    assert len(layer.output.shape) == 4
    assert min(layer.output.shape[1:3]) >= 1


@pytest.mark.parametrize("name", list(MODELS))
def test_a_rows_preprocessing_is_the_one_of_its_application(name: str) -> None:
    row = find(name)
    if row.backbone is None:
        return
    module = (
        keras.applications.nasnet if "nasnet" in name else inspect.getmodule(getattr(keras.applications, row.title))
    )
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    wanted = keras.ops.convert_to_numpy(module.preprocess_input(pixels.astype(np.float32)))
    scaled = keras.ops.convert_to_numpy(network.Preprocess(row.preprocessing)(pixels))
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
