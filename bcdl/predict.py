"""python -m bcdl.predict: label and malignant score of image files, by a saved model."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import backends
from bcdl.datasets.decode import read_image
from bcdl.datasets.pool import LABELS
from bcdl.errors import UsageError, run_command
from bcdl.quality import malignant_scores

_NAMES = {label: name for name, label in LABELS.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bcdl.predict", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, metavar="PATH.keras", help="a model saved by bcdl.train")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files")
    arguments = parser.parse_args()
    model = _load(arguments.model)
    size = model.input_shape[1]
    failed = False
    for file in arguments.images:
        try:
            image = read_image(file, size)
        except ValueError as error:
            print(f"error: {file}: {error}", file=sys.stderr)
            failed = True
            continue
        score = float(malignant_scores(np.asarray(model.predict(image[None], verbose=0)))[0])
        print(f"{file}\t{_NAMES[int(score > 0.5)]}\t{score:.4f}", flush=True)
    return 1 if failed else 0


def _load(file: Path) -> Any:
    """The model in `file`, loaded in Keras's safe mode: nothing in the file is run."""
    if not file.is_file():
        raise UsageError(f"there is no model file {str(file)!r}; python -m bcdl.train --save makes one")
    if "KERAS_BACKEND" not in os.environ:
        installed = [name for name in backends.NAMES if backends.is_installed(name)]
        if installed:  # the model is the same on each
            os.environ["KERAS_BACKEND"] = installed[0]
    try:
        import keras

        from bcdl import network  # registers the layers a saved model names
    except ImportError as error:
        raise UsageError(
            f"Keras and a backend are needed ({error}); install bcdl[jax], [tensorflow] or [torch]"
        ) from error
    try:
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{str(file)!r} can't be loaded as a Keras model: {reason}") from error
    if model.output_shape != (None, len(network.CLASSES)):
        raise UsageError(
            f"{str(file)!r} has outputs {model.output_shape}; a model of bcdl has two, benign and malignant"
        )
    return model


if __name__ == "__main__":
    run_command(main)
