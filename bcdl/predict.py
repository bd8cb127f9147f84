"""Print the label and the malignant score that a saved model gives each image file.

A model that `bcdl train` did not save does not say what it is: --assume then does. --explain also draws which parts of
each image speak for the class (Grad-CAM). Not for clinical use.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bcdl import backends
from bcdl.datasets.pool import CLASSES
from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.machine import gpus, hardware
from bcdl.records import model_file
from bcdl.records.model_file import Reading
from bcdl.report import artefacts
from bcdl.screen import say, warn
from bcdl.settings import option
from bcdl.settings.arguments import Parser
from bcdl.settings.cell import Cell
from bcdl.settings.options import DEVICES, check_backend, one_of

if TYPE_CHECKING:
    import numpy as np

    from bcdl.datasets.pixels import Depth
    from bcdl.worker.saved_model import SavedModel

# Largest side of the picture under a heat map, pixels: a whole micrograph has more than the page can show.
_MOST_DRAWN = 1024
_ROUNDING = 0.02  # of a score that was computed twice, in bfloat16 at worst


@dataclasses.dataclass(frozen=True)
class _Task:
    """What was asked for, checked as far as that can be done without the model.

    Attributes:
        model: file of the model.
        images: files to label, in order.
        device: `cpu` or `gpu`.
        overlays: by image, the file that its explanation goes to; empty if none is asked for.
        assumed: how the outputs of a model are read that does not say what it is, or None.
        kind: the class to explain, or None for the predicted one.
        layer: the layer whose map explains, or None for the default one.
        grey_bits: the depth of grey images of more than 8 bits; 0 for that of the model's training data.
    """

    model: Path
    images: list[Path]
    device: str
    overlays: dict[Path, Path]
    assumed: Reading | None
    kind: str | None
    layer: str | None
    grey_bits: int


# Prints the label of an image file, decoded to [S, S, 3] uint8, and writes its overlay if one is asked for.
_Label = Callable[[Path, "np.ndarray"], None]


def main() -> int:
    task = _parse()
    adapter = _start(task.device)
    from bcdl.worker import saved_model  # here: it imports Keras, on the backend that is there by now

    model = saved_model.load(task.model, task.assumed)
    depth = _depth(task, model)
    label = _explainer(task, adapter, model, depth) if task.overlays else _labeller(model)
    if notice := model.notice():
        say(notice, flush=True)
    labelled = [_label(file, model, depth, label) for file in task.images]
    return 0 if all(labelled) else 1


def _label(file: Path, model: SavedModel, depth: Depth, label: _Label) -> bool:
    """Print the label of the image, or why it has none: the image, or the model, which gives it no score."""
    from bcdl.datasets.decode import read_image
    from bcdl.worker.saved_model import NoScoreError

    try:
        image = read_image(file, model.image_size, depth)
    except ValueError as error:
        warn(f"error: {file}: {error}")
        return False
    try:
        label(file, image)
    except NoScoreError as error:
        warn(f"error: {model.file}: gives no score for {file}: {error}")
        return False
    return True


def _parse() -> _Task:
    """The task that the arguments name: the model is --model, or else the first of the files."""
    arguments = _parser().parse_args()
    gpus.check(one_of("--device", arguments.device, DEVICES))
    model, images = arguments.model, arguments.images
    if model is None:
        model, *images = images
        if model.suffix != ".keras":
            raise UsageError(f"no --model, and {str(model)!r}, named first, is no PATH.keras; name a model")
    if model.suffix != ".keras":
        raise UsageError(f"{str(model)!r} can't be loaded as a Keras model: its name does not end in .keras")
    if not model.is_file():
        raise UsageError(f"there is no model file {str(model)!r}; python -m bcdl.train --save makes one")
    if not images:
        raise UsageError(f"no image to label: name image files after the model {str(model)!r}")
    overlays = _overlays(arguments, model, images)
    grey_bits = option.read(Cell.rows()["grey_bits"], arguments.grey_bits)
    assumed = None if arguments.assume is None else _reading(arguments.assume)
    if overlays and assumed not in (None, Reading()):
        raise UsageError(f"--explain needs outputs as bcdl's models have them: --assume {','.join(CLASSES)},sigmoid")
    return _Task(model, images, arguments.device, overlays, assumed, arguments.kind, arguments.layer, grey_bits)


def _reading(text: str) -> Reading:
    """What --assume says of the outputs; UsageError if it is not both classes, and then how they are to be read."""
    parts = tuple(part.strip() for part in text.split(","))
    classes, rest = parts[:2], parts[2:]
    outputs = rest[0] if rest else model_file.OUTPUTS[0]
    if sorted(classes) != sorted(CLASSES) or outputs not in model_file.OUTPUTS or len(rest) > 1:
        raise UsageError(
            f"--assume {text!r} is not {','.join(CLASSES)}, in the order of the outputs, and then, if they are not "
            f"probabilities that add up to 1, one of {', '.join(model_file.OUTPUTS[1:])}"
        )
    return Reading(classes, outputs)


def _parser() -> Parser:
    parser = Parser("predict", __doc__)
    parser.add_argument("--model", type=Path, metavar="PATH.keras", help="a model saved by bcdl.train")
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="image files; without --model, the model's comes first"
    )
    parser.add_argument(
        "--assume",
        metavar="CLASSES",
        help="of a model that does not say what it is: its images are RGB with values 0 to 255, and its outputs, in "
        "this order, the probabilities benign,malignant; with ,sigmoid each is one of its own, with ,logits none yet",
    )
    parser.add_argument("--explain", action="store_true", help="write a Grad-CAM overlay of each image")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.png", help="the overlay's file, for a single image; default here"
    )
    parser.add_argument("--class", dest="kind", help="class to explain, benign or malignant; default the one predicted")
    parser.add_argument("--layer", metavar="NAME", help="layer whose map explains; default the last of the backbone")
    parser.add_argument(
        "--grey-bits",
        default="0",
        metavar="N",
        help="depth of grey images of more than 8 bits; default that of the training data, else found over all given",
    )
    parser.add_argument(
        "--device", default=hardware.default_device(), help="cpu or gpu; default gpu if there is an NVIDIA GPU"
    )
    return parser


def _overlays(arguments: argparse.Namespace, model: Path, images: list[Path]) -> dict[Path, Path]:
    """The file that each image's overlay goes to, none if none is asked for; UsageError if one can't be written."""
    if not arguments.explain:
        alone = {"--output": arguments.output, "--class": arguments.kind, "--layer": arguments.layer}
        if given := [option for option, value in alone.items() if value is not None]:
            raise UsageError(f"{', '.join(given)} belongs to --explain; give that too")
        return {}
    if arguments.kind is not None:
        one_of("--class", arguments.kind, CLASSES)
    images = list(dict.fromkeys(images))
    if arguments.output and len(images) > 1:
        raise UsageError(f"--output names one file for {len(images)} images; leave it out, or give one image")
    files = [arguments.output or Path(f"{image.stem}-{model.stem}-gradcam.png") for image in images]
    for file in files:
        _check_overlay(file, [*images, model])
        if files.count(file) > 1:
            raise UsageError(f"two images would be explained in {str(file)!r}; give them one at a time, with --output")
    return dict(zip(images, files, strict=True))


def _check_overlay(file: Path, inputs: list[Path]) -> None:
    """UsageError if the overlay can't be written to `file`, or would overwrite there what is no overlay of ours.

    What it would overwrite may be one of the `inputs`.
    """
    if file.suffix.lower() != ".png":
        raise UsageError(f"--output {str(file)!r} does not end in .png, the one format overlays are written in")
    if not file.parent.is_dir():
        raise UsageError(f"--output {str(file)!r}: there is no folder {str(file.parent)!r}; make it first")
    if file.exists() and any(read.exists() and file.samefile(read) for read in inputs):
        raise UsageError(f"the overlay would overwrite {str(file)!r}, which is read; choose another --output")
    if os.path.lexists(file) and not artefacts.is_overlay(file):
        raise UsageError(
            f"{str(file)!r} is there already, and is no overlay of bcdl's; move it, or choose another --output"
        )


def _start(device: str) -> backends.Backend:
    """Start the backend of KERAS_BACKEND, or one that is installed: the model is the same on each."""
    from bcdl.worker.session import start_backend

    installed = [name for name in backends.NAMES if backends.is_installed(name)]
    name = os.environ.get("KERAS_BACKEND") or next(iter(installed), "")
    if not name:
        raise UsageError("Keras and a backend are needed; install bcdl[jax], [tensorflow] or [torch]")
    check_backend(name)
    try:
        return start_backend(name, device, "float32")
    except backends.DeviceError as error:
        raise UsageError(str(error)) from error


def _depth(task: _Task, model: SavedModel) -> Depth:
    """The depth of grey images of more than 8 bits that state none; notices go to stderr.

    It is the one that was asked for, or else that of the images that the model learnt from: by another, the model would
    see them brighter or darker than those. If that is not known, it is found over all images, taken as one set.
    """
    from bcdl.datasets.decode import survey
    from bcdl.datasets.pixels import DEEP_GREY, Depth

    seen = survey(task.images, list(map(str, task.images)), task.grey_bits)
    notices, depth = list(seen.notices), seen.depth
    if seen.found and model.grey_bits:
        depth = Depth(model.grey_bits)
        learnt = f"{DEEP_GREY} are read as of {depth.bits} bits, as those that the model learnt from"
        notices = [learnt, *(notice for notice in notices if notice not in seen.found)]
    elif seen.found:
        notices.append("the model does not say by which depth it was trained; give --grey-bits")
    for notice in notices:
        warn(f"note: {notice}")
    return depth


def _labeller(model: SavedModel) -> _Label:
    """Labels an image alone."""
    return lambda file, image: _print_label(file, model.malignant_score(image))


def _explainer(task: _Task, adapter: backends.Backend, model: SavedModel, depth: Depth) -> _Label:
    """Labels an image and writes its overlay."""
    from bcdl.datasets.decode import read_picture
    from bcdl.report.plots import overlay
    from bcdl.worker import grad_cam

    cut = grad_cam.cut(model.model, task.layer)

    def label(file: Path, image: np.ndarray) -> None:
        score = model.malignant_score(image)
        explanation = grad_cam.explain(cut, adapter, image, task.kind or _kind(score))
        if abs(explanation.score - score) > _ROUNDING:
            raise BcdlError(
                f"{str(model.file)!r} can't be explained: its layers, one after another, give the score "
                f"{explanation.score:.4f}, and the model {score:.4f}"
            )
        picture = read_picture(file, _MOST_DRAWN, depth)
        overlay.save(overlay.overlay(picture, explanation, file.name, task.model.name), task.overlays[file])
        _print_label(file, score)
        written = f"by the map of layer {explanation.layer}, in {task.overlays[file]}"
        say(f"  explained: {explanation.kind}, {written}", flush=True)

    return label


def _print_label(file: Path, score: float) -> None:
    say(str(file), _kind(score), f"{score:.4f}", flush=True)


def _kind(score: float) -> str:
    """The class that a malignant score names."""
    return CLASSES[int(score > 0.5)]


if __name__ == "__main__":
    run_command(main)
