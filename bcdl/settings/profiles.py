"""The profiles: named sets of settings, from a smoke test to the source study's own."""

from __future__ import annotations

import dataclasses

from bcdl.errors import UsageError
from bcdl.settings.models import MODELS


@dataclasses.dataclass(frozen=True)
class Profile:
    """Default settings; every one can be overridden by the option of its name. See `bcdl.cell.Cell`."""

    name: str
    models: tuple[str, ...]
    data: str
    image_size: int
    batch_size: int
    epochs: int
    weights: str
    seeds: tuple[int, ...]
    windows: int
    window_steps: int
    learning_rate: float = 1e-4
    head_epochs: int = 0
    keep: str = "best"
    class_weights: bool = False
    batch_norm: str = "reestimated"
    precision: str = "float32"
    augment: bool = True


_ALL = (
    # Minutes for all three backends: what CI runs.
    Profile(
        "smoke",
        models=("cnn", "mobilenet"),
        data="synthetic-48",
        image_size=64,
        batch_size=4,
        epochs=2,
        weights="none",
        seeds=(0,),
        windows=3,
        window_steps=1,
    ),
    # About 20 minutes for the seven models of one backend, cold, on 2 CPU cores: 80 pixels are near the
    # least that InceptionResNetV2 takes, and NASNetLarge's steps set the number of images.
    Profile(
        "quick",
        models=tuple(MODELS),
        data="synthetic-72",
        image_size=80,
        batch_size=4,
        epochs=3,
        weights="none",
        seeds=(0,),
        windows=5,
        window_steps=1,
    ),
    # The source study's settings: 1,693 images, 224x224, batch 32, 10 epochs, Adam 1e-4, ImageNet weights.
    Profile(
        "full",
        models=tuple(MODELS),
        data="synthetic-1693",
        image_size=224,
        batch_size=32,
        epochs=10,
        weights="imagenet",
        seeds=(0, 1, 2),
        windows=10,
        window_steps=10,
    ),
)

PROFILES = {profile.name: profile for profile in _ALL}
DEFAULT = "quick"


def find(name: str) -> Profile:
    """The profile of that name; UsageError, listing the names there are, where there is none."""
    if name not in PROFILES:
        raise UsageError(f"unknown profile {name!r}; the profiles are {', '.join(PROFILES)}")
    return PROFILES[name]
