"""MedMNIST's BreastMNIST: an `.npz` by path, or `breastmnist` by name, downloaded once.

BreastMNIST labels malignant 0 and normal or benign 1 (MedMNIST v2, Yang et al. 2023, Scientific Data 10);
here 1 is always malignant, so the labels are swapped.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from bcdl.datasets import room
from bcdl.datasets.dataset import Request
from bcdl.datasets.decode import resize
from bcdl.datasets.fingerprint import Fingerprinted, Fingerprints, fingerprint
from bcdl.datasets.pool import SPLITS, Pool
from bcdl.errors import UsageError
from bcdl.machine import places
from bcdl.machine.hardware import MIB
from bcdl.text import encodable, on_one_line, quoted

READS = "breastmnist or a MedMNIST .npz file that exists"
NAME = "breastmnist"
URL = "https://zenodo.org/records/10519652/files/breastmnist.npz"
MD5 = "750601b1f35ba3300ea97c75c52ff8f6"
_MOST_BYTES = 1024 * MIB  # BreastMNIST's largest edition takes 40 MiB
_MOST_HEADER_BYTES = 10_000  # as NumPy has it
_LONGEST_REASON = 200  # letters


def accepts(data: str) -> bool:
    return is_name(data) or (data.endswith(".npz") and Path(data).is_file())


def is_name(data: str) -> bool:
    return data == NAME


def name_of(data: str) -> str:
    return encodable(Path(data).stem)


def example(folder: Path) -> str:
    """A noise file of BreastMNIST's layout: 12 images a split, half of each class."""
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for split in SPLITS:
        arrays[f"{split}_images"] = generator.integers(0, 256, (12, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(12, dtype=np.uint8)[:, None] % 2
    np.savez(folder / "example.npz", **arrays)  # type: ignore[arg-type]
    return str(folder / "example.npz")


def read(request: Request) -> Pool:
    file = _download() if request.data == NAME else Path(request.data)
    parts = _read_parts(file)
    _check_sizes(file, parts)
    room.check(sum(len(images) for images, _ in parts.values()), request.image_size)
    images = np.concatenate([images for images, _ in parts.values()])
    labels = np.concatenate([labels for _, labels in parts.values()])
    names = np.array([f"{split}/{index:04d}" for split, (_, part) in parts.items() for index in range(len(part))])
    originals = [Image.fromarray(image).convert("RGB") for image in images]
    return Pool(
        name=name_of(request.data),
        synthetic=False,
        images=np.stack([resize(image, request.image_size) for image in originals]),
        labels=1 - labels,
        groups=names,
        names=names,
        given=np.array([name.split("/")[0] for name in names]),
        known=np.zeros(len(names), bool),
        notices=("labels read as BreastMNIST's: 0 malignant, 1 normal or benign; turned round, 1 is malignant here",),
        fingerprints=lambda: Fingerprints(
            Fingerprinted.of(np.stack([fingerprint(image) for image in originals])), names, 1 - labels
        ),
    )


def _download() -> Path:
    import pooch  # here: only a download needs it

    folder = places.downloads(f"{NAME}.npz")
    try:
        return Path(pooch.retrieve(URL, f"md5:{MD5}", fname=f"{NAME}.npz", path=folder, progressbar=False))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{NAME} could not be downloaded ({type(error).__name__}); download {URL} on another machine "
            "and give its path with --data"
        ) from error


def _read_parts(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images [N, H, W] or [N, H, W, 3] uint8 and labels [N] int64 in {0, 1}, by split."""
    try:
        with zipfile.ZipFile(file) as members:
            _refuse_bombs(members)
        with np.load(file, allow_pickle=False) as arrays:
            return {
                split: _check(file, split, arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in SPLITS
            }
    except KeyError as error:
        raise UsageError(
            f"{file.name} lacks an array: {error.args[0]}; MedMNIST files have SPLIT_images, SPLIT_labels"
        ) from error
    except UsageError:
        raise
    except Exception as error:  # readers of zip and npy raise all kinds of errors on broken bytes
        reason = on_one_line(error, _LONGEST_REASON)
        raise UsageError(f"{file.name} is not a plain .npz of arrays, or is refused: {reason}") from error


def _check_sizes(file: Path, parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """UsageError if the images of the splits are of several sizes, or some grey and others in colour."""
    shapes = {split: list(images.shape[1:]) for split, (images, _) in parts.items()}
    if len({*map(tuple, shapes.values())}) > 1:
        of_each = ", ".join(f"{split} {shape}" for split, shape in shapes.items())
        raise UsageError(f"{file.name} has images of several sizes ({of_each}); save all splits at one size")


def _refuse_bombs(members: zipfile.ZipFile) -> None:
    """Raise ValueError if reading would allocate more than the arrays' bytes in the file, or than `_MOST_BYTES`.

    So it does if two arrays have one name: which of them is read would be a matter of the reader.
    """
    entries = members.infolist()
    if (total := sum(entry.file_size for entry in entries)) > _MOST_BYTES:
        raise ValueError(f"its arrays would take {total // MIB} MiB; {_MOST_BYTES // MIB} MiB are the most")
    names = [entry.filename for entry in entries]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"it holds {quoted(doubled[0])} several times")
    for entry in entries:
        with members.open(entry) as stream:
            shape, _, dtype = _read_header(stream)
            if math.prod(shape) * dtype.itemsize + stream.tell() != entry.file_size:
                raise ValueError(f"{entry.filename} claims {dtype}{list(shape)} and holds another number of bytes")


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the order is Fortran's, and dtype of an .npy file; ValueError if it is no such file."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    # NumPy reads the whole header, and only then looks whether it is too long.
    if (length := int.from_bytes(stream.peek(4)[:4], "little")) > _MOST_HEADER_BYTES:  # type: ignore[attr-defined]
        raise ValueError(f"a header claims {length:,} bytes; {_MOST_HEADER_BYTES:,} are the most")
    return np.lib.format.read_array_header_2_0(stream)


def _check(file: Path, split: str, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)
    if images.dtype != np.uint8 or not fits or labels.size != len(images) or not images.size:
        raise UsageError(
            f"{file.name}: {split} has images {images.dtype}{list(images.shape)} and labels {list(labels.shape)}; "
            "wanted are uint8 [N, H, W] or [N, H, W, 3] and one label an image"
        )
    labels = labels.reshape(-1)
    if labels.dtype.kind not in "iu":
        raise UsageError(f"{file.name}: {split} has labels of type {labels.dtype}; BreastMNIST's are whole numbers")
    if not np.isin(labels, (0, 1)).all():
        raise UsageError(f"{file.name}: {split} has labels {np.unique(labels)[:9].tolist()}; BreastMNIST has 0 and 1")
    return images, labels.astype(np.int64)
