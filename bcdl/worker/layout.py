"""The layout of maps inside a model: `channels_last`, [B, H, W, C], or `channels_first`, [B, C, H, W].

Images are [B, S, S, 3] up to the model's input in both. A layer that turns them stands behind the preprocessing, and
`Flatten` gives the same order in both (keras/src/layers/reshaping/flatten.py), so that weights, their names and their
checksums are the same, and outputs agree to rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import layers

# The name of the layer that turns images, in a model of the other layout.
TURN = "channels_first"
_CHANNELS_LAST_AXES = (3, -1)


@contextlib.contextmanager
def of_new_layers(data_format: str) -> Iterator[None]:
    """In this block layers are made for maps of that layout."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(data_format)
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


def turned(pixels: Any, data_format: str) -> Any:
    """Pixels [B, S, S, 3] in that layout."""
    if data_format == "channels_last":
        return pixels
    return layers.Permute((3, 1, 2), dtype="float32", name=TURN)(pixels)


def spatial(shape: tuple[int, ...], data_format: str) -> tuple[int, ...]:
    """Height and width of a map of that shape."""
    return shape[1:3] if data_format == "channels_last" else shape[2:4]


def is_turned(layer_names: list[str]) -> bool:
    """Whether the maps after layers of these names are `channels_first`."""
    return TURN in layer_names


def converted(model: keras.Model, data_format: str) -> keras.Model:
    """A functional `channels_last` model of one input as a model of that layout, with the same weights.

    Keras's own functions make some backbones in `channels_last` alone (keras/src/applications/nasnet.py, densenet.py),
    so that each is made so, and its layers are made anew from their configurations.
    """
    if data_format == "channels_last":
        return model
    _, height, width, channels = model.input.shape
    images = keras.Input((channels, height, width), dtype=model.input.dtype, name=model.input.name)
    other = keras.models.clone_model(model, input_tensors=images, clone_function=_channels_first)
    other.set_weights(model.get_weights())
    return other


def _channels_first(layer: Any) -> Any:
    config = layer.get_config()
    if "data_format" in config:
        config["data_format"] = "channels_first"
    if config.get("axis") in _CHANNELS_LAST_AXES:
        config["axis"] = 1
    return type(layer).from_config(config)
