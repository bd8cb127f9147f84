"""The model table, one row a model: `bcdl.worker.network` builds what a row describes, and plots draw it by its row.

To add a backbone is to add a row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from bcdl.errors import UsageError


@dataclasses.dataclass(frozen=True)
class ModelRow:
    """How to build a model, and what is known of it.

    Attributes:
        name: as typed on the command line and stored in a record.
        title: as printed in tables and plots.
        backbone: dotted name of the function that builds the backbone; None for the plain CNN.
        preprocessing: a mode of `bcdl.worker.network.Preprocess`: that with which the backbone's ImageNet weights
            were trained.
        least_image_size: smallest height and width that the backbone accepts, pixels.
        parameters: the number of all parameters at 224x224x3, the study's head included.
        trainable_parameters: the number of those that training changes.
        forward_flops: operations of the forward pass of one such image, as `bcdl.worker.flops` counts them.
        marker: matplotlib marker, the model's sign in every plot; no other model's, nor `*`, that of unknown
            models.
        published: whether the source study published the numbers of parameters; if not, they were counted here.
        arguments: keyword arguments of the backbone's function besides shape, weights and top.
    """

    name: str
    title: str
    backbone: str | None
    preprocessing: str
    least_image_size: int
    parameters: int
    trainable_parameters: int
    forward_flops: int
    marker: str
    published: bool = True
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)


# Keras 3.15.1's public NASNetMobile raises on torch ("outstanding bug", keras-team/keras #18451), though
# the generic builder it wraps computes the same function on every backend. That builder is used on all
# three, with the public constructor's arguments, so there is one definition. What differs on torch,
# average pooling 3x3 of stride 2 with `same` padding on even maps (#23177, #23233), occurs in neither
# NASNet: test_models.py checks both. Use `keras.applications.NASNetMobile` once it no longer refuses.
_NASNET_BUILDER = "keras.src.applications.nasnet.NASNet"
_NASNET_MOBILE = {
    "penultimate_filters": 1056,
    "num_blocks": 4,
    "stem_block_filters": 32,
    "skip_reduction": False,
    "filter_multiplier": 2,
    "default_size": 224,
    "name": "nasnet_mobile",
}

_ROWS = (
    ModelRow("cnn", "CNN", None, "unit", 32, 17_941_810, 11_969_842, 2_435_460_480, "o"),
    ModelRow(
        "resnet50", "ResNet50", "keras.applications.ResNet50", "caffe", 32, 23_906_162, 23_852_914, 7_726_716_160, "s"
    ),
    ModelRow(
        "densenet201",
        "DenseNet201",
        "keras.applications.DenseNet201",
        "torch",
        32,
        18_622_002,
        18_392_818,
        8_592_835_840,
        "^",
    ),
    ModelRow(
        "mobilenet", "MobileNet", "keras.applications.MobileNet", "tf", 32, 3_399_858, 3_377_842, 1_142_925_568, "D"
    ),
    ModelRow(
        "nasnetlarge",
        "NASNetLarge",
        "keras.applications.NASNetLarge",
        "tf",
        32,
        85_520_964,
        85_324_168,
        20_588_678_464,
        "v",
    ),
    ModelRow(
        "inceptionresnetv2",
        "InceptionResNetV2",
        "keras.applications.InceptionResNetV2",
        "tf",
        75,
        54_590_674,
        54_526_930,
        12_947_067_840,
        "P",
        published=False,
    ),
    ModelRow(
        "nasnetmobile",
        "NASNetMobile",
        _NASNET_BUILDER,
        "tf",
        32,
        4_445_318,
        4_408_452,
        1_132_888_896,
        "X",
        arguments=_NASNET_MOBILE,
    ),
)

MODELS = {row.name: row for row in _ROWS}
_PLACES = {name: place for place, name in enumerate(MODELS)}


def place_of(name: str) -> int:
    """Where a model stands in the order of the table; one that it lacks comes last."""
    return _PLACES.get(name, len(_PLACES))


def find(name: str) -> ModelRow:
    """The row of that name; UsageError, which lists all names, if there is none."""
    if name not in MODELS:
        raise UsageError(f"unknown model {name!r}; the models are {', '.join(MODELS)}")
    return MODELS[name]


def with_pixels(row: ModelRow, preprocessing: str) -> ModelRow:
    """The row, its pixels scaled as the value of the setting `preprocessing` says."""
    return dataclasses.replace(row, preprocessing="none") if preprocessing == "none" else row


def check_sizes(rows: Iterable[ModelRow], image_size: int) -> None:
    """Raise UsageError, naming each such model and its least size, if `image_size` is too small for one of `rows`."""
    too_small = [row for row in rows if image_size < row.least_image_size]
    if too_small:
        needs = ", ".join(f"{row.name} needs {row.least_image_size} or more" for row in too_small)
        raise UsageError(f"--image-size {image_size} is too small: {needs}")
