"""A folder with files of every odd kind, in which invocations run: `python -m tests.invocations.places FOLDER`.

Their names are relative to the folder, so that a printed invocation can be run again in another one.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from bcdl.records import store
from tests import factory

LONG_NAME = "n" * 256  # a byte more than file systems take
LONG_PATH = "p/" * 2500  # longer than PATH_MAX
# What an invocation may be given for a path besides a new name: made by `make`, or there on every Linux.
ODD = (
    "file.txt",
    "empty",
    "folder",
    "loop",
    "dangling",
    "pipe",
    "file.txt/below",
    "missing/folder",
    "locked",
    "locked/below",
    LONG_NAME,
    f"{LONG_NAME}.keras",
    LONG_PATH,
    "/dev/null",
    "/dev/full",
    "/dev/zero",
    "/proc/sys/kernel",
    "/proc/self/mem",
    "/proc/x.keras",
)


def make(folder: Path) -> Path:
    """Fill the folder, which must be empty; it is returned."""
    (folder / "file.txt").write_text("no record, no image and no model\n")
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    (folder / "folder.keras").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    (folder / "locked").mkdir(mode=0)
    _make_good_ones(folder)
    return folder


def _make_good_ones(folder: Path) -> None:
    """What a command can read: an image, a folder of them, a model's file, records, an archive."""
    pixels = np.random.default_rng(0)
    for name in ("benign", "malignant"):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(6):
            picture = Image.fromarray(pixels.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            picture.save(folder / "images" / name / f"{number}.png")
    Image.new("RGB", (32, 32), "pink").save(folder / "image.png")
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    record = factory.record()
    store.append(folder / "measured", "a-machine", record)
    study = '[[matrix]]\nbackends = "torch"\nprofile = "smoke"\ndata = "synthetic-48"\nimage-size = 32\n'
    (folder / "study.toml").write_text(study)
    for side in "ab":
        (folder / f"{side}.jsonl").write_text(record.to_json() + "\n")


@dataclasses.dataclass(frozen=True)
class State:
    """What folders hold: each entry by its path, with its kind, size and time of change."""

    entries: dict[str, tuple[int, int, int]]

    @classmethod
    def of(cls, folder: Path) -> State:
        entries: dict[str, tuple[int, int, int]] = {}
        for base, names, files in os.walk(folder):
            for name in (*names, *files):
                entry = os.lstat(os.path.join(base, name))
                size, changed = (0, 0) if stat.S_ISDIR(entry.st_mode) else (entry.st_size, entry.st_mtime_ns)
                entries[os.path.join(base, name)] = (entry.st_mode, size, changed)
        return cls(entries)

    def changed(self, before: State) -> list[str]:
        """The paths that are new, gone, or other than before, those of a folder behind it."""
        paths = self.entries.keys() | before.entries.keys()
        return sorted(path for path in paths if self.entries.get(path) != before.entries.get(path))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True)
    make(place)
