"""The plan of a parity run for one model, and the constants that all its steps share."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated, Any

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.records.fields import Field
from bcdl.text import quoted

# Steps of training after which weights and loss are compared.
STEPS = (1, 5, 20)
# Steps that run a second time in the same process, to see whether the backend repeats itself.
REPEATED_STEPS = 5
# Height and width of the images, pixels, and images a batch, unless options give others.
IMAGE_SIZE, BATCH_SIZE = 96, 4
# Perturbed runs, unless --draws gives another number.
DRAWS = 8
# A power of two: after the first step a momentum slot holds -rate * gradient, which gives the gradient exactly.
LEARNING_RATE = 2.0**-10
MOMENTUM = 0.9
DATA = "synthetic-72"
# Half the distance from 1 to the next larger number: the most that rounding to nearest once can do, relatively. Their
# fractions have 23, 10 and 7 bits. In TF32 only the factors of products are rounded; in mixed_bfloat16 the factors and
# the outputs of layers, but not the scores, the loss and what is inside a batch norm. Sums and variables are float32.
UNIT_ROUNDOFF = {"float32": 2.0**-24, "tf32": 2.0**-11, "mixed_bfloat16": 2.0**-8}
# The precisions that frameworks compute rightly, if slowly, on hardware that has no instructions for them.
EMULATED = ("mixed_bfloat16",)
# Units in the last place by which the reference's weights and pixels are moved. In float32 a layer's own sums round
# many times: over K terms the error grows like the square root of K (Higham 2002, section 4.2), and the longest sums
# here have some thousand terms. If only the factors are rounded and sums are kept in float32, a few units are enough.
# Moved by one unit and scaled up, the change would miss the jumps at kinks (ReLU, ties in pooling).
MOVED_ULPS = {"float32": 32, "tf32": 4, "mixed_bfloat16": 4}
MOST = 2**31  # of the sizes and counts in a plan, which stand in names of files


def backend_of(name: str) -> str:
    """The backend of a dump by its name: `jax` of `jax`, and of `jax.b`, side b of several that are of one backend."""
    return name.partition(".")[0]


def check_side(name: str) -> None:
    """Raise UsageError if this is no name of a side: a backend, a dot and a letter, which also names its folder."""
    if not re.fullmatch(rf"({'|'.join(backends.NAMES)})\.[a-z]", name):
        raise UsageError(f"--sides {quoted(name)}: a side is named BACKEND.LETTER, as jax.a")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is compared of one model; each attribute has its row."""

    model: Annotated[str, Field("name of a row of `bcdl.settings.models.MODELS`", "parity is measured model by model")]
    image_size: Annotated[
        int, Field("height and width of the images", "sums over other sizes round otherwise", unit="pixels")
    ]
    batch_size: Annotated[int, Field("images a batch", "as `image_size`", least=1, most=MOST)]
    seed: Annotated[
        int, Field("seed of initial weights, order of images and augmentation", "the same for all backends", most=MOST)
    ]
    precision: Annotated[
        str,
        Field(
            "the arithmetic under test: `float32`, `tf32` or `mixed_bfloat16`",
            "tolerances depend on it",
            choices=tuple(UNIT_ROUNDOFF),
        ),
    ]
    device: Annotated[str, Field("`cpu` or `gpu`", "they round otherwise")]
    draws: Annotated[
        int,
        Field(
            "number of perturbed runs that show the size of chaos and of rounding", "more of them show more", most=MOST
        ),
    ]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def subject(self) -> dict[str, Any]:
        """What a float64 reference depends on: all but the arithmetic under test and its device."""
        return {name: value for name, value in self.to_dict().items() if name not in ("precision", "device")}

    @property
    def least_tolerance(self) -> float:
        """The relative difference that always counts as rounding: as many roundoffs as the reference is moved by."""
        return least_tolerance(self.precision)


def least_tolerance(precision: str) -> float:
    """The relative difference that always counts as rounding in that precision."""
    return MOVED_ULPS[precision] * UNIT_ROUNDOFF[precision]
