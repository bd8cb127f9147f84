"""A model that was saved to a file, loaded to label images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np

from bcdl.datasets.pool import CLASSES
from bcdl.errors import UsageError
from bcdl.evaluation.quality import malignant_scores
from bcdl.worker import network  # noqa: F401 (registers the layer of bcdl's own that the file names)


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A model of bcdl, not compiled."""

    model: keras.Model

    @property
    def image_size(self) -> int:
        """Height and width of the images that the model takes, pixels."""
        return int(self.model.input_shape[1])

    def malignant_score(self, image: np.ndarray) -> float:
        """The malignant score, 0 to 1, of `image` [S, S, 3] uint8."""
        return float(malignant_scores(np.asarray(self.model.predict(image[None], verbose=0)))[0])


def load(file: Path) -> SavedModel:
    """The model in `file`, loaded in Keras's safe mode: no code in the file is run.

    Raises UsageError if the file is no Keras model, or its outputs are not those of bcdl's models.
    """
    try:
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{str(file)!r} can't be loaded as a Keras model: {reason}") from error
    if model.output_shape != (None, len(CLASSES)):
        raise UsageError(
            f"{str(file)!r} has outputs {model.output_shape}; a model of bcdl has two, benign and malignant"
        )
    return SavedModel(model)
