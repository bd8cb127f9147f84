"""Builds a row of the model table into a Keras model: preprocessing, backbone and head.

The architecture is the source study's: every model ends in three 3x3 convolutions (16, 32 and 64
filters), each followed by a 2x2 max-pooling of stride 1, then dropout, batch normalisation and two
sigmoid outputs, benign first.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from bcdl.datasets.pool import CLASSES
from bcdl.errors import BcdlError, UsageError
from bcdl.settings.models import ModelRow, check_sizes
from bcdl.text import on_one_line
from bcdl.worker import divergence, layout, weights_file

HEAD_FILTERS = (16, 32, 64)
DROPOUT_RATE = 0.5
# Three valid 3x3 convolutions, with the published pooling of stride 1, take a 7x7 map down to 1x1.
LEAST_MAP_FOR_VALID_HEAD = 7


@keras.saving.register_keras_serializable(package="bcdl")
class Preprocess(layers.Layer):
    """Turns uint8 images [B, H, W, 3] into the float32 pixels that a backbone was trained on; it has no weights.

    Modes: `none` leaves them from 0 to 255; `unit` scales to 0..1; `tf`, `torch` and `caffe` are those of
    `keras.applications.imagenet_utils.preprocess_input`. It runs in float32 under every precision, since
    bfloat16 can't hold 256 levels.
    """

    def __init__(self, mode: str, **arguments: Any) -> None:
        super().__init__(**{**arguments, "dtype": "float32"})
        self.mode = mode

    def call(self, images: Any) -> Any:
        pixels = keras.ops.cast(images, "float32")
        if self.mode == "none":
            return pixels
        if self.mode == "unit":
            return pixels / 255.0
        return keras.applications.imagenet_utils.preprocess_input(pixels, data_format="channels_last", mode=self.mode)

    def compute_output_spec(self, images: Any) -> keras.KerasTensor:
        return keras.KerasTensor(images.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode}


def build(
    row: ModelRow,
    image_size: int,
    seed: int,
    weights: str | Path | None = None,
    data_format: str = "channels_last",
) -> keras.Model:
    """The whole model: uint8 [B, S, S, 3] in, float32 [B, 2] sigmoid outputs (benign, malignant) out.

    Args:
        row: the row of the model table.
        image_size: S, pixels.
        seed: seed of the dropout masks.
        weights: weights of the backbone: None (Keras's own random start), `imagenet`, or a weights file.
        data_format: layout of the maps inside, as `bcdl.worker.layout` has them.

    Raises:
        UsageError: the image size is under the model's least, or the weights file does not fit.
        BcdlError: the ImageNet weights can't be downloaded.
    """
    check_sizes([row], image_size)
    images = keras.Input((image_size, image_size, 3), dtype="uint8", name="images")
    pixels = layout.turned(Preprocess(row.preprocessing, name="preprocess")(images), data_format)
    backbone = None if row.backbone is None else layout.converted(_backbone(row, image_size, weights), data_format)
    with layout.of_new_layers(data_format):
        features = backbone(pixels) if backbone else _stem(pixels)
        return keras.Model(images, _head(features, seed, data_format), name=row.name)


def every_layer(model: keras.Model) -> Iterator[Any]:
    """Every layer in topological order; a nested model is replaced by its layers."""
    for layer in model.layers:
        yield from every_layer(layer) if isinstance(layer, keras.Model) else (layer,)


def seed_dropout(model: keras.Model, seed: int) -> None:
    """Have a built model draw its dropout masks as if it had been built with that seed."""
    dropout = model.get_layer("head_dropout")
    dropout.seed_generator.state.assign(keras.random.SeedGenerator(seed).state)


def head_padding(model: keras.Model) -> str:
    """Padding of the head's convolutions: `valid`, as published, or `same` on maps under 7x7."""
    return model.get_layer(f"head_conv{HEAD_FILTERS[0]}").padding


def weights_checksum(model: keras.Model) -> str:
    """SHA-256 over every weight's bytes as float32, in the model's order: equal starts have equal checksums."""
    digest = hashlib.sha256()
    for variable in model.weights:
        digest.update(keras.ops.convert_to_numpy(variable).astype(np.float32).tobytes())
    return digest.hexdigest()


def named_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Every weight, [...] float32, by `<layer>/<variable>`; random states are left out."""
    return {short_name(variable.path): np.array(keras.ops.convert_to_numpy(variable)) for variable in model.weights}


def short_name(path: str) -> str:
    """The last two parts of a variable's path: its layer and its own name."""
    return "/".join(path.split("/")[-2:])


def _stem(pixels: Any) -> Any:
    return layers.Conv2D(16, 3, activation="relu", name="stem_conv")(pixels)


def _head(features: Any, seed: int, data_format: str) -> Any:
    padding = "valid" if min(layout.spatial(features.shape, data_format)) >= LEAST_MAP_FOR_VALID_HEAD else "same"
    for filters in HEAD_FILTERS:
        features = layers.Conv2D(filters, 3, padding=padding, activation="relu", name=f"head_conv{filters}")(features)
        features = layers.MaxPooling2D(2, strides=1, padding="same", name=f"head_pool{filters}")(features)
    features = layers.Flatten(name="head_flatten")(features)
    features = layers.Dropout(DROPOUT_RATE, seed=seed, name="head_dropout")(features)
    features = layers.BatchNormalization(name="head_norm")(features)
    # The outputs stay in full precision under a mixed one: a bfloat16 score has 3 significant digits.
    return layers.Dense(len(CLASSES), activation="sigmoid", dtype=keras.config.floatx(), name="scores")(features)


def _backbone(row: ModelRow, image_size: int, weights: str | Path | None) -> keras.Model:
    make = _function(row.backbone)
    arguments = {**row.arguments, "include_top": False, "input_shape": (image_size, image_size, 3)}
    if weights is None:
        return make(weights=None, **arguments)
    if weights == "imagenet":
        return _downloaded(row, make, arguments)
    try:
        weights_file.check(Path(weights))
        backbone = make(weights=str(weights), **arguments)
        if wrong := divergence.broken_weights(backbone):
            raise ValueError(f"{wrong} of its weights hold values that are NaN or infinite")
        return backbone
    except (ValueError, OSError, KeyError) as error:
        raise UsageError(
            f"the weights file {Path(weights).name} does not fit {row.name} without its top: {on_one_line(error)}"
        ) from error


def _downloaded(row: ModelRow, make: Callable[..., keras.Model], arguments: dict[str, Any]) -> keras.Model:
    try:
        return make(weights="imagenet", **arguments)
    except Exception as error:  # Keras raises a bare Exception if a download fails
        raise BcdlError(
            f"the ImageNet weights of {row.name} could not be loaded ({on_one_line(error)}); "
            f"use --weights none, or --weights {row.name}=FILE with a file you have"
        ) from error


def _function(dotted: str | None) -> Callable[..., keras.Model]:
    module, _, name = str(dotted).rpartition(".")
    return getattr(importlib.import_module(module), name)
