"""Published figures: what others wrote of how good networks are on the data sets that are used here, with the source.

They are cited, not measured, and a row says of its split what the source says of it. A figure of images that were split
by image, or of a data set whose near-duplicates were left in it, is no reference for one that was split by group:
Pawlowska et al. 2023 (Data in Brief 48:109247) count the duplicates of BUSI, and find lesions under both labels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

NOT_SAID = "not said"
OF_STUDY = "breakhis"  # the data set of the source study


@dataclasses.dataclass(frozen=True)
class Published:
    """A figure that a source gives.

    Attributes:
        data: the data set, as `of` knows it.
        model: what was trained, and from which start if the source says so.
        images: what was tested, and how the data was split, as the source says.
        auroc, accuracy: None if the source gives none.
        source: authors, year, and where it was published.
    """

    data: str
    model: str
    images: str
    auroc: float | None
    accuracy: float | None
    source: str


_MEDMNIST = "Yang et al. 2023, Scientific Data 10:41 (MedMNIST v2), table of BreastMNIST"
_BREASTMNIST = "the publisher's 156 test images"
_STUDY = "the source study (a notebook), best validation accuracy of 10 epochs"
_BREAKHIS = "BreaKHis at 400X, 545 images, by image: patients in training and test"

FIGURES = (
    Published("breastmnist", "ResNet-18, random start, 28 px", _BREASTMNIST, 0.901, 0.863, _MEDMNIST),
    Published("breastmnist", "ResNet-50, random start, 28 px", _BREASTMNIST, 0.857, 0.812, _MEDMNIST),
    Published(
        "busi",
        "VGG, ResNet and DenseNet together, with masks of the tumours",
        f"share and split: {NOT_SAID} in the abstract",
        0.9711,
        0.9462,
        "Moon et al. 2020, Computer Methods and Programs in Biomedicine 190:105361",
    ),
    Published(
        "busi",
        "support vector machine on features of DenseNet-201",
        f"20% of 780 images; by patient or group: {NOT_SAID} in the abstract",
        None,
        0.9039,
        "Alduraibi 2022, Intelligent Automation & Soft Computing 33(2), doi 10.32604/iasc.2022.025021",
    ),
    Published(
        "busi",
        "support vector machine on features of MobileNet-v2, with augmented images",
        f"20% of the images; by patient or group: {NOT_SAID} in the abstract",
        None,
        0.9457,
        "Alduraibi 2022, Intelligent Automation & Soft Computing 33(2), doi 10.32604/iasc.2022.025021",
    ),
    Published(OF_STUDY, "CNN, random start", _BREAKHIS, None, 0.8275, _STUDY),
    Published(OF_STUDY, "ResNet50, ImageNet", _BREAKHIS, None, 0.8936, _STUDY),
    Published(OF_STUDY, "DenseNet201, ImageNet", _BREAKHIS, None, 0.9394, _STUDY),
    Published(OF_STUDY, "MobileNet, ImageNet", _BREAKHIS, None, 0.8862, _STUDY),
    Published(OF_STUDY, "NASNetLarge, ImageNet", _BREAKHIS, None, 0.6734, _STUDY),
)


def of(dataset: Mapping[str, Any]) -> list[Published]:
    """The figures of the data set of a record, which is known by its name alone; none if it has another."""
    words = str(dataset.get("name", "")).lower().replace("_", "-").removesuffix(".npz").split("-")
    return [figure for figure in FIGURES if figure.data in words[:1]]
