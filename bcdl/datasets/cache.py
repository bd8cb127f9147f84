"""The cache of decoded images: arrays in the user's cache folder, under a digest of the files that they are from."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import platformdirs

from bcdl.errors import UsageError


def folder() -> Path:
    """The folder of all entries; it may not exist yet."""
    return platformdirs.user_cache_path("bcdl") / "decoded"


def entry(files: Sequence[Path], rules: str) -> Path:
    """The path of the entry for what `rules` make of the contents of these files.

    Raises:
        UsageError: one of the files can't be read.
    """
    digest = hashlib.sha256(f"{rules} ".encode() + b"".join(map(_digest, files)))
    return folder() / f"{digest.hexdigest()}.npy"


def read(file: Path) -> np.ndarray | None:
    """The array of an entry; None if it is missing or damaged."""
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError):
        return None


def write(file: Path, images: np.ndarray) -> None:
    """Keep an array as an entry; a cache that can't be written makes the next run slower, and nothing else."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # The folder holds the file until it is complete: a full disk leaves nothing of it.
        with tempfile.TemporaryDirectory(dir=file.parent) as folder_of_part:
            part = Path(folder_of_part) / file.name
            np.save(part, images)
            part.replace(file)
    except OSError as error:
        print(f"note: decoded images could not be cached ({error.strerror or error})", file=sys.stderr)


def _digest(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise UsageError(f"{file.name} can't be read: {error.strerror}") from error
