"""python -m bcdl.predict: label and malignant score of image files, by a saved model; and why.

With --explain also a picture of each image that shows which parts of it speak for the class (Grad-CAM). Not for
clinical use.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bcdl import backends
from bcdl.datasets.decode import read_image, read_picture
from bcdl.datasets.pool import LABELS
from bcdl.errors import UsageError, program, run_command
from bcdl.evaluation.quality import malignant_scores
from bcdl.machine import hardware
from bcdl.settings.options import DEVICES, check_backend, one_of
from bcdl.text import legible

_NAMES = {label: name for name, label in LABELS.items()}
# Side of the picture drawn under a heat map, pixels at most: a whole micrograph would not fit the page anyway.
_MOST_DRAWN = 1024

# Prints what there is to say of an image file, decoded to [S, S, 3] uint8.
Tell = Callable[[Path, np.ndarray], None]


def main() -> int:
    arguments = _parse()
    overlays = _overlays(arguments)
    adapter = _start(arguments.device)
    model = _load(arguments.model)
    tell = _explainer(arguments, adapter, model, overlays) if arguments.explain else _labeller(model)
    failed = False
    for file in arguments.images:
        try:
            image = read_image(file, model.input_shape[1])
        except ValueError as error:
            print(f"error: {legible(str(file))}: {error}", file=sys.stderr)
            failed = True
            continue
        tell(file, image)
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    """The arguments; `model` and `images` apart, wherever the model was named."""
    parser = argparse.ArgumentParser(prog=program("predict"), description=__doc__)
    parser.add_argument("--model", type=Path, metavar="PATH.keras", help="a model saved by bcdl.train")
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="image files; without --model, the model's comes first"
    )
    parser.add_argument("--explain", action="store_true", help="write a Grad-CAM overlay of each image")
    parser.add_argument("--output", type=Path, metavar="FILE.png", help="where, for a single image; default here")
    parser.add_argument("--class", dest="kind", help="class to explain, benign or malignant; default the one predicted")
    parser.add_argument("--layer", metavar="NAME", help="layer whose map explains; default the last of the backbone")
    parser.add_argument(
        "--device", default=hardware.default_device(), help="cpu or gpu; default gpu if there is an NVIDIA driver"
    )
    arguments = parser.parse_args()
    one_of("--device", arguments.device, DEVICES)
    if arguments.model is None:
        arguments.model, *arguments.images = arguments.images
        if arguments.model.suffix != ".keras":
            raise UsageError(f"no --model, and {str(arguments.model)!r}, named first, is no PATH.keras; name a model")
    if not arguments.model.is_file():
        raise UsageError(f"there is no model file {str(arguments.model)!r}; python -m bcdl.train --save makes one")
    if not arguments.images:
        raise UsageError(f"no image to label: name image files after the model {str(arguments.model)!r}")
    return arguments


def _overlays(arguments: argparse.Namespace) -> dict[Path, Path]:
    """The file that each image's overlay goes to, none where none is asked for; UsageError where one can't be had."""
    if not arguments.explain:
        alone = {"--output": arguments.output, "--class": arguments.kind, "--layer": arguments.layer}
        if given := [option for option, value in alone.items() if value is not None]:
            raise UsageError(f"{', '.join(given)} belongs to --explain; give that too")
        return {}
    if arguments.kind is not None:
        one_of("--class", arguments.kind, tuple(LABELS))
    images = list(dict.fromkeys(arguments.images))
    if arguments.output and len(images) > 1:
        raise UsageError(f"--output names one file for {len(images)} images; leave it out, or give one image")
    files = [arguments.output or Path(f"{image.stem}-{arguments.model.stem}-gradcam.png") for image in images]
    for file in files:
        _check_overlay(file, [*images, arguments.model])
        if files.count(file) > 1:
            raise UsageError(f"two images would be explained in {str(file)!r}; give them one at a time, with --output")
    return dict(zip(images, files, strict=True))


def _check_overlay(file: Path, inputs: list[Path]) -> None:
    if file.suffix.lower() != ".png":
        raise UsageError(f"--output {str(file)!r} does not end in .png, the one format overlays are written in")
    if not file.parent.is_dir():
        raise UsageError(f"--output {str(file)!r}: there is no folder {str(file.parent)!r}; make it first")
    if file.exists() and any(one.exists() and file.samefile(one) for one in inputs):
        raise UsageError(f"the overlay would overwrite {str(file)!r}, which is read; choose another --output")


def _start(device: str) -> backends.Backend:
    """The adapter of KERAS_BACKEND, or of a backend that is installed: the model is the same on each."""
    installed = [name for name in backends.NAMES if backends.is_installed(name)]
    name = os.environ.setdefault("KERAS_BACKEND", next(iter(installed), ""))
    if not name:
        raise UsageError("Keras and a backend are needed; install bcdl[jax], [tensorflow] or [torch]")
    check_backend(name)
    adapter = backends.load(name)
    try:
        adapter.configure(device, "float32")
    except backends.DeviceError as error:
        raise UsageError(f"{error}; use --device cpu") from error
    return adapter


def _load(file: Path) -> Any:
    """The model in `file`, loaded in Keras's safe mode: nothing in the file is run."""
    import keras

    from bcdl.worker import network

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


def _labeller(model: Any) -> Tell:
    def tell(file: Path, image: np.ndarray) -> None:
        _print_label(file, float(malignant_scores(np.asarray(model.predict(image[None], verbose=0)))[0]))

    return tell


def _explainer(
    arguments: argparse.Namespace, adapter: backends.Backend, model: Any, overlays: dict[Path, Path]
) -> Tell:
    """What tells an image's label and writes its overlay."""
    from bcdl.report.plots import overlay
    from bcdl.worker import grad_cam

    cut = grad_cam.cut(model, arguments.layer)

    def tell(file: Path, image: np.ndarray) -> None:
        found = grad_cam.explain(cut, adapter, image, arguments.kind)
        picture = read_picture(file, _MOST_DRAWN)
        overlay.save(overlay.overlay(picture, found, file.name, arguments.model.name), overlays[file])
        _print_label(file, found.score)
        written = legible(str(overlays[file]))
        print(f"  explained: {found.kind}, by the map of layer {found.layer}, in {written}", flush=True)

    return tell


def _print_label(file: Path, score: float) -> None:
    print(f"{legible(str(file))}\t{_NAMES[int(score > 0.5)]}\t{score:.4f}", flush=True)


if __name__ == "__main__":
    run_command(main)
