"""A model that was saved to a file, loaded to label images.

A file of `bcdl train --save` says what it is; what another one's outputs mean, whoever uses it must say.
"""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bcdl.datasets.pool import CLASSES
from bcdl.errors import UsageError
from bcdl.records import model_file
from bcdl.records.model_file import Reading
from bcdl.records.quality import malignant_scores
from bcdl.text import legible, on_one_line, quoted
from bcdl.worker import demand, divergence, network, training  # noqa: F401 (they register what the file names of bcdl's own)

_CHANNELS = 3
_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
_MOST_PIXELS = 4096  # a side
_LONGEST_REASON = 200  # letters
_ROUNDING = 0.01  # of probabilities that add up to 1: those of bfloat16 have 3 significant digits
_ADVICE = (
    "train it with `bcdl train --save`, or, if you know what it takes and gives, say so: --assume benign,malignant"
)


class NoScoreError(ValueError):
    """The model gives an image no score; the message says why."""


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A model of two classes, not compiled.

    Attributes:
        model: Keras's.
        file: where it was saved.
        reading: of its outputs.
        assumed: whether `reading` is what a person says, and not the file.
        grey_bits: depth by which grey images of more than 8 bits were read in its training; 0 if that is not known.
    """

    model: keras.Model
    file: Path
    reading: Reading = dataclasses.field(default_factory=Reading)
    assumed: bool = False
    grey_bits: int = 0

    @property
    def image_size(self) -> int:
        """Height and width of the images that the model takes, pixels."""
        return int(self.model.inputs[0].shape[1])

    @property
    def _shown(self) -> str:
        return quoted(str(self.file))

    def malignant_score(self, image: np.ndarray) -> float:
        """The malignant score, 0 to 1, of `image` [S, S, 3] uint8.

        Raises:
            NoScoreError: the outputs are NaN or infinite, or both are 0.
            UsageError: the model can't be run, or its outputs are not what they are said to be.
        """
        outputs = self._outputs(image)
        if not np.isfinite(outputs).all():
            raise NoScoreError(f"its outputs are {_listed(outputs)}")
        if self.reading.outputs == "logits":
            shifted = np.exp(outputs - outputs.max())
            outputs = shifted / shifted.sum()
        self._check_probabilities(outputs)
        if not outputs.any():
            raise NoScoreError("both its outputs are 0")
        ordered = outputs[[self.reading.classes.index(name) for name in CLASSES]]
        return float(malignant_scores(ordered[None])[0])

    def _outputs(self, image: np.ndarray) -> np.ndarray:
        """The two outputs, [2] float64."""
        try:
            outputs = np.asarray(self.model.predict(image[None], verbose=0), dtype=np.float64)
        except Exception as error:  # of a model that someone else made, anything
            reason = on_one_line(error, _LONGEST_REASON)
            raise UsageError(f"{self._shown} can't be run on an image: {reason}") from error
        if outputs.shape != (1, len(CLASSES)):
            raise UsageError(f"{self._shown} gives outputs of shape {outputs.shape} for one image, not (1, 2)")
        return outputs[0]

    def _check_probabilities(self, outputs: np.ndarray) -> None:
        """UsageError if outputs [2] are no probabilities, or those of one distribution do not add up to 1."""
        named = f"{self._shown} gives the outputs {_listed(outputs)}"
        if outputs.min() < 0 or outputs.max() > 1:
            raise UsageError(f"{named}, no probabilities; if they are logits, say so: {self._assume('logits')}")
        if self.reading.outputs == "probabilities" and abs(outputs.sum() - 1) > _ROUNDING:
            advice = f"if each is a probability of its own, say so: {self._assume('sigmoid')}"
            raise UsageError(f"{named}, which do not add up to 1; {advice}")

    def _assume(self, outputs: str) -> str:
        return f"--assume {','.join(self.reading.classes)},{outputs}"

    def notice(self) -> str:
        """What is assumed of the model, for people; nothing if the file itself says what it is."""
        if not self.assumed:
            return ""
        return (
            f"note: {legible(self.file.name)} does not say what it is; assumed, as --assume has it: its outputs are "
            f"{' and '.join(self.reading.classes)}, as {self.reading.outputs}, of RGB images with values 0 to 255"
        )


def load(file: Path, assumed: Reading | None = None) -> SavedModel:
    """The model in `file`, loaded in Keras's safe mode: no code in the file is run.

    Args:
        file: a .keras file.
        assumed: how the outputs of a model are read that does not say what it is; None if that is not known.

    Raises:
        UsageError: the file is no whole Keras model, does not say what it is though nothing is assumed, or the model
            does not take one square RGB image and give two finite outputs.
    """
    statement, shown = model_file.read(file), quoted(str(file))
    if statement is None and assumed is None:
        raise UsageError(f"{shown} does not say what it is; {_ADVICE}")
    if statement is not None and assumed is not None:
        raise UsageError(f"{shown} says itself what it is, so nothing is to be assumed: leave --assume out")
    model = _loaded(file)
    if reason := _misfit(model):
        raise UsageError(f"{shown} {reason}; bcdl labels by models of one image [S, S, 3] and two outputs")
    if statement is None:
        return SavedModel(model, file, assumed or Reading(), assumed=True)
    saved = SavedModel(model, file, statement.reading, grey_bits=statement.grey_bits)
    if statement.image_size != saved.image_size:
        raise UsageError(
            f"{shown} says that its images have {statement.image_size} pixels, and takes {saved.image_size}"
        )
    return saved


def _loaded(file: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the optimizer, which labels nothing, and of names of inputs
            demand.check(file)
            return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # what a foreign or hostile file makes Keras raise is of all kinds
        reason = on_one_line(error, _LONGEST_REASON)
        raise UsageError(f"{quoted(str(file))} can't be loaded as a Keras model: {reason}") from error


def _misfit(model: Any) -> str:
    """Why the model, whatever Keras made of the file, can't label images; empty if it can."""
    if not isinstance(model, keras.Model):
        return f"holds no model but a {legible(type(model).__name__)}"
    if not model.built or not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        return "was saved before it was built, so that its input is not known"
    # A sequential model has no structure, but an array each way.
    taken, given = getattr(model, "input", model.inputs), getattr(model, "output", model.outputs)
    if len(model.inputs) != 1 or isinstance(taken, dict):
        return f"takes {_parts(taken)}, not one image"
    if len(model.outputs) != 1 or isinstance(given, dict):
        return f"gives {_parts(given)}, not one row of two numbers"
    return _misshapen(tuple(model.inputs[0].shape), tuple(model.outputs[0].shape)) or _unsound(model)


def _misshapen(taken: tuple[int | None, ...], given: tuple[int | None, ...]) -> str:
    """Why the shapes of what the model takes and gives do not fit; empty if they do."""
    if len(taken) != 4 or taken[0] is not None or taken[3] != _CHANNELS:
        return f"takes {_shape(taken)}, not RGB images"
    if taken[1] is None or taken[1] != taken[2]:
        return f"takes images of {_side(taken[1])}x{_side(taken[2])} pixels, and bcdl's are square and of one size"
    if not 0 < taken[1] <= _MOST_PIXELS:
        return f"takes images of {taken[1]}x{taken[1]} pixels, more than {_MOST_PIXELS}"
    if given != (None, len(CLASSES)):
        return f"has outputs {_shape(given)}"
    return ""


def _unsound(model: keras.Model) -> str:
    """Why its layers or its weights give no probabilities; empty if they may."""
    others = {str(layer.compute_dtype) for layer in model._flatten_layers()} - _FLOATS
    if others:
        return f"computes with {legible(', '.join(sorted(others)), 60)}, not with floating-point numbers"
    wrong = divergence.broken_weights(model)
    return f"has NaN or infinite values in {wrong} of its {len(model.weights)} weights" if wrong else ""


def _parts(structure: Any) -> str:
    """How many arrays the structure has, and their names if it has names."""
    count = len(keras.tree.flatten(structure))
    names = f" by name ({legible(', '.join(map(str, structure)), 60)})" if isinstance(structure, dict) else ""
    return f"{count} array{'s' if count > 1 else ''}{names}"


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('any' if side is None else str(side) for side in shape)}]"


def _side(side: int | None) -> str:
    return "any" if side is None else str(side)


def _listed(outputs: np.ndarray) -> str:
    return " and ".join(f"{value:.4g}" for value in outputs)
