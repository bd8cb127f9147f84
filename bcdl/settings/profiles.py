"""The profiles: named sets of settings, from a smoke test to the source study's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bcdl.errors import UsageError
from bcdl.settings.models import MODELS


@dataclasses.dataclass(frozen=True)
class Profile:
    """What a run starts from; the option of a setting overrides it.

    Attributes:
        name: as typed on the command line and stored in a record.
        models: names of the models that are run.
        settings: values by the names of the cell's settings; those left out have the default of their row.
    """

    name: str
    models: tuple[str, ...]
    settings: Mapping[str, object]


_ALL = (
    # Minutes for all three backends: what CI runs.
    Profile(
        "smoke",
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
    # About 20 minutes for seven models of one backend, cold, on 2 CPU cores: 80 pixels are near the
    # least that InceptionResNetV2 takes, and NASNetLarge's steps set the number of images.
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


def find(name: str) -> Profile:
    """The profile of that name; UsageError, listing the names there are, if there is none."""
    if name not in PROFILES:
        raise UsageError(f"unknown profile {name!r}; the profiles are {', '.join(PROFILES)}")
    return PROFILES[name]
