"""The profiles: named sets of settings, from a smoke test to the source study's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bcdl.errors import UsageError
from bcdl.settings.models import MODELS


@dataclasses.dataclass(frozen=True)
class Profile:
    """The settings that a run starts from; options override them.

    Attributes:
        name: as typed on the command line and stored in a record.
        models: names of the models that are run.
        settings: values by the names of the cell's settings; one that is not here has the default of its row.
        also: the profile whose cells a run has besides, if it is asked for no other setting; empty for none.
        first: the models of most value. Cells run in the order of their value: those of these models first, then those
            of the others, and of either each arithmetic before the next. If empty, they run model by model, and a
            budget takes the shortest first.
    """

    name: str
    models: tuple[str, ...]
    settings: Mapping[str, object]
    also: str = ""
    first: tuple[str, ...] = ()


SMOKE = "smoke"
_ALL = (
    # Minutes for all three backends: what CI runs.
    Profile(
        SMOKE,
        models=("cnn", "mobilenet"),
        settings={
            "data": "synthetic-48",
            "image_size": 64,
            "batch_size": 4,
            "epochs": 2,
            "weights": "none",
            "seed": (0,),
            "windows": 3,
            "window_steps": 1,
        },
    ),
    # 10 to 15 minutes for the seven models of one backend, nothing compiled before, on 2 CPU cores. 80 pixels are near
    # the least that InceptionResNetV2 takes; there are as few images as NASNetLarge's slow steps leave time for.
    Profile(
        "quick",
        models=tuple(MODELS),
        settings={
            "data": "synthetic-72",
            "image_size": 80,
            "batch_size": 4,
            "epochs": 3,
            "weights": "none",
            "seed": (0,),
            "windows": 5,
            "window_steps": 1,
        },
        also="accuracy",
    ),
    # Less than half a minute on 2 CPU cores: of the models, the CNN alone is so quick on every backend. The test set of
    # `quick` is a smoke test, and this one, 400 drawings of 100 patients, has an interval worth printing. 32 pixels are
    # the least that models take; at ten times the usual learning rate two epochs are enough to learn.
    Profile(
        "accuracy",
        models=("cnn",),
        settings={
            "data": "synthetic-2000",
            "image_size": 32,
            "batch_size": 32,
            "epochs": 2,
            "learning_rate": 1e-3,
            "weights": "none",
            "seed": (0,),
            "timing": False,
            "windows": 5,
            "window_steps": 1,
        },
    ),
    # What a GPU is bought for: large images, its fast arithmetic first, windows long enough that launches overlap. The
    # drawings are as many as keep a fast GPU busy for most of a second an epoch; one core makes them in half a minute.
    Profile(
        "gpu",
        models=tuple(MODELS),
        settings={
            "data": "synthetic-2560",
            "image_size": 224,
            "batch_size": 32,
            "epochs": 3,
            "weights": "none",
            "precision": ("mixed_bfloat16", "tf32", "float32"),
            "seed": (0,),
            "windows": 5,
            "window_steps": 20,
        },
        first=("resnet50", "mobilenet"),
    ),
    # The source study's settings: 1,693 images, 224x224, batch 32, 10 epochs, Adam 1e-4, ImageNet weights.
    Profile(
        "full",
        models=tuple(MODELS),
        settings={
            "data": "synthetic-1693",
            "image_size": 224,
            "batch_size": 32,
            "epochs": 10,
            "weights": "imagenet",
            "seed": (0, 1, 2),
            "windows": 10,
            "window_steps": 10,
        },
    ),
)

PROFILES = {profile.name: profile for profile in _ALL}


# By device, the profile of a run that names none.
_DEFAULTS = {"cpu": "quick", "gpu": "gpu"}


def default(device: str) -> str:
    """The name of the profile of a run on that device that names none."""
    return _DEFAULTS.get(device, _DEFAULTS["cpu"])


def find(name: str) -> Profile:
    """The profile of that name; UsageError, which lists all names, if there is none."""
    if name not in PROFILES:
        raise UsageError(f"unknown profile {name!r}; the profiles are {', '.join(PROFILES)}")
    return PROFILES[name]
