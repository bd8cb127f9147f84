"""The tree of a data folder: walked once, in a fixed order, every file sorted into what it is.

Images are what the layouts choose from. Hidden files, masks, previews, and files that are no images are counted, by
kind. Links that lead out of the folder are not followed; a link within it is, once, unless it leads in a circle.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from bcdl.datasets.decode import EXTENSIONS, is_image
from bcdl.errors import UsageError
from bcdl.text import LONGEST_NAME, comparable, encodable, legible, quoted

HIDDEN = "hidden or system files"
IN_CLOUD = "images that are not on this disk, but in iCloud,"
NAMELESS = "images without a suffix"
LINKS_OUT = "links out of the folder"
MASKS = "masks"
PREVIEWS = "previews"
STRAY = "stray files"
TABLES = "tables"
_CIRCLES = "links that lead in a circle or through another link"
_BROKEN = "broken links"
_SPECIAL = "pipes, sockets or devices"

_SYSTEM = frozenset(
    [
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "$recycle.bin",
        "recycler",
        "#recycle",
        "@eadir",
        "@__thumb",
        "lost+found",
        "__pycache__",
        "recycled",
        "@recycle",
        "#snapshot",
        "~snapshot",
        "@recently-snapshot",
        "network trash folder",
        "temporary items",
    ]
) | {"icon\r", "system volume information"}
_RECOVERED = re.compile(r"found\.\d{3}")  # folders of what Windows found on a damaged disk
_CLOUD_FILE = re.compile(r"\.(?P<name>.+)\.icloud")  # stands for a file that macOS has moved to its cloud

_REMEDIES = {
    LINKS_OUT: "copy the files into it",
    IN_CLOUD: "download them",
    NAMELESS: "give them names that end in their format, as .png",
}
# PNG, JPEG, TIFF, GIF, WebP and BMP begin so.
_BEGINS = re.compile(rb"\x89PNG\r\n|\xff\xd8\xff|II\*\0|MM\0\*|GIF8|RIFF....WEBP|BM....\0\0\0\0", re.DOTALL)

_FORMATS = {  # pictures, which no part of bcdl reads, unless it says that one is an image
    "HEIC images": ".heic .heif .hif",
    "AVIF images": ".avif",
    "JPEG XL images": ".jxl",
    "DICOM images": ".ima",
    "whole-slide images": ".svs .ndpi .mrxs .scn .vms .vmu .bif .czi .lif .qptiff .isyntax",
    "NIfTI volumes": ".nii .nii.gz",
    "NRRD or MetaImage volumes": ".nrrd .nhdr .mhd .mha",
    "MATLAB files": ".mat",
    "camera raw images": ".raw .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf",
    "LJPEG images": ".ljpeg .ljpg",
    "JPEG 2000 images of other kinds": ".j2k .j2c .jpc .jpf .jpx .jpm",
    "TGA images": ".tga",
    "PCX images": ".pcx",
    "MPO images": ".mpo",
    "PFM images": ".pfm",
    "OpenEXR images": ".exr",
    "FITS images": ".fits .fit .fts",
    "icons": ".ico .icns .cur",
    "NumPy arrays": ".npy .npz",
    "HDF5 files": ".h5 .hdf5",
    "drawings": ".svg .eps .ps .ai .psd .xcf",
    "PDF documents": ".pdf",
    "videos": ".avi .mp4 .mov .mkv .wmv .mpg .mpeg",
}
_OTHERS = {
    TABLES: ".csv .tsv .xlsx .xls .ods",
    "archives": ".zip .tar .gz .tgz .bz2 .xz .7z .rar",
}
UNREAD = frozenset(_FORMATS)
_KINDS = {
    suffix: kind for kinds in (_FORMATS, _OTHERS) for kind, suffixes in kinds.items() for suffix in suffixes.split()
}

# A file is a mask or a preview of X if its name is X and one of these words, and an X is there. By the first words it
# is a mask even if its X is missing, beside other images; if its X is there, some letters may stand after the word.
_CLEARLY_MASK = r"masks?|masken?|masques?|msk|segm|segmentations?|ground[ _-]?truths?|grad[ _-]?cam"
_PERHAPS_MASK = (
    r"seg|gt|rois?|binary|lesions?|tumou?rs?|contours?|annotations?|annotated|outlines?|overlays?|labels?|other"
)
_PREVIEW = r"thumb(?:nail)?s?|previews?|tn"
_MASK_FOLDER = re.compile(
    rf"(?:binary[ _-]*)?(?:{_CLEARLY_MASK}|segs?|gts?|contours?|annotations?|overlays?|labels?)"
    r"(?:[ _-]*(?:images?|png|tiff?|jpe?g))?"
    rf"|(?!(?:.*[ _.-])?(?:no|non|not|without|ohne)[ _.-])(?:.+[ _.-]+)?(?:{_CLEARLY_MASK})(?:[ _.-]+[^ _.-]+)?"
)
_PREVIEW_FOLDER = re.compile(_PREVIEW)


@dataclasses.dataclass(frozen=True)
class Found:
    """A file of the tree: its path, and its folders and its name under the data folder, as the disk has them."""

    path: Path = dataclasses.field(compare=False)  # the other says all of it
    parts: tuple[str, ...]

    @functools.cached_property
    def folders(self) -> tuple[str, ...]:
        return self.parts[:-1]

    @functools.cached_property
    def name(self) -> str:
        """Within the data folder, with forward slashes, as UTF-8 can hold it."""
        return encodable("/".join(self.parts))

    @functools.cached_property
    def stem(self) -> str:
        """The name without suffix, as names are compared."""
        return comparable(os.path.splitext(self.parts[-1])[0])


@dataclasses.dataclass(frozen=True)
class Tree:
    """What is in a data folder.

    Attributes:
        root: the folder.
        images: the files that may be images of the data set, in a fixed order.
        tables: CSV and other tables, which no count of `left_out` holds.
        folders: the names of the folders at its top that are not hidden, empty ones too.
        left_out: by kind, how many other files there are.
        notices: what a person should know of images that were hard to tell.
    """

    root: Path
    images: tuple[Found, ...]
    tables: tuple[Found, ...]
    folders: tuple[str, ...]
    left_out: collections.Counter[str]
    notices: tuple[str, ...]

    @property
    def called(self) -> str:
        """The folder's name, for a message."""
        return _called(self.root)


def walk(root: Path, named: Collection[str] = ()) -> Tree:
    """What is in the folder; one of the folders `named`, as names are compared, is never one of masks or previews.

    Raises:
        UsageError: a folder in it can't be read.
    """
    scan = _Scan(root)
    by_kind: dict[str, list[Found]] = collections.defaultdict(list)
    for file in sorted(scan.files, key=lambda file: file.parts):
        by_kind[_kind(file.path)].append(file)
    candidates = by_kind.pop("", [])
    tables = by_kind.pop(TABLES, [])
    images, masks, previews, notices = _without_companions(candidates, frozenset(named))
    left_out = scan.left_out + collections.Counter({kind: len(files) for kind, files in by_kind.items()})
    left_out += collections.Counter({MASKS: len(masks), PREVIEWS: len(previews)})
    return Tree(root, tuple(images), tuple(tables), tuple(sorted(scan.tops)), left_out, tuple(notices))


def tell(left_out: collections.Counter[str]) -> list[str]:
    """A notice for each kind that is left out."""
    counted = [(kind, count, remedy(kind)) for kind, count in sorted(left_out.items()) if count]
    return [f"{count} {kind} left out{f': {cure}' if cure else ''}" for kind, count, cure in counted]


def remedy(kind: str) -> str:
    """What to do so that files of a kind that is left out are read; empty if they are no images."""
    return "no reader for this format, save them as PNG" if kind in UNREAD else _REMEDIES.get(kind, "")


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or is an operating system's or a tool's own."""
    plain = name.casefold()
    return name.startswith((".", "~$")) or plain in _SYSTEM or bool(_RECOVERED.fullmatch(plain))


def _hidden_kind(name: str) -> str:
    """What a hidden file or folder is: one that stands for an image in the cloud, or no more than hidden."""
    elsewhere = _CLOUD_FILE.fullmatch(name)
    return IN_CLOUD if elsewhere and Path(elsewhere["name"]).suffix.lower() in EXTENSIONS else HIDDEN


def _kind(file: Path) -> str:
    """What a file is, by its name, or by its beginning if it has no suffix; empty if it may be an image."""
    if is_image(file):
        return ""
    suffix = ".nii.gz" if file.name.lower().endswith(".nii.gz") else file.suffix.lower()
    return _KINDS.get(suffix) or (NAMELESS if not suffix and _begins_as_image(file) else STRAY)


def _begins_as_image(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            return bool(_BEGINS.match(content.read(12)))
    except OSError:
        return False


def _called(root: Path) -> str:
    return legible(encodable(root.resolve().name), LONGEST_NAME)


class _Scan:
    """All files under a folder, in no particular order, and the number of what is not even looked at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[Found] = []
        self.tops: list[str] = []
        self.left_out: collections.Counter[str] = collections.Counter()
        self._real_root = os.path.realpath(root)
        # Not by recursion: folders may lie deeper than Python's stack.
        self._waiting: list[tuple[tuple[str, ...], bool]] = [((), False)]  # with: whether a link led there
        while self._waiting:
            self._scan(*self._waiting.pop())

    def _scan(self, folders: tuple[str, ...], linked: bool) -> None:
        try:
            with os.scandir(self.root.joinpath(*folders)) as entries:
                for entry in entries:
                    self._sort(entry, folders, linked)
        except OSError as error:
            name = f"folder {quoted(encodable('/'.join(folders)))} of data set" if folders else "data set folder"
            raise UsageError(
                f"{name} {_called(self.root)} can't be read ({error.strerror or type(error).__name__}); "
                "see to its permissions, or move it out of the data set"
            ) from error

    def _sort(self, entry: os.DirEntry[str], folders: tuple[str, ...], linked: bool) -> None:
        if is_hidden(entry.name):
            self.left_out[_hidden_kind(entry.name)] += _count_files(entry)
            return
        link = entry.is_symlink()
        if link and (kind := self._refused_link(entry, linked)):
            self.left_out[kind] += 1
        elif entry.is_dir():
            if not folders:
                self.tops.append(entry.name)
            self._waiting.append(((*folders, entry.name), linked or link))
        elif entry.is_file():
            parts = (*folders, entry.name)
            self.files.append(Found(self.root.joinpath(*parts), parts))
        else:
            self.left_out[_SPECIAL] += 1

    def _refused_link(self, entry: os.DirEntry[str], linked: bool) -> str:
        """Why a link is not followed; empty if it is."""
        target = os.path.realpath(entry.path)
        if not _is_in(target, self._real_root):
            return LINKS_OUT
        if not os.path.exists(target):
            return _BROKEN
        if os.path.isdir(target) and (linked or _is_in(os.path.realpath(os.path.dirname(entry.path)), target)):
            return _CIRCLES
        return ""


def _is_in(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _count_files(entry: os.DirEntry[str]) -> int:
    """The number of files in a hidden folder, links not followed; 1 for a file, and for what can't be looked into."""
    if entry.is_symlink() or not entry.is_dir():
        return 1
    return sum(len(files) for _, _, files in os.walk(entry.path)) or 1


def _without_companions(
    candidates: Sequence[Found], named: frozenset[str]
) -> tuple[list[Found], list[Found], list[Found], list[str]]:
    """The images, the masks and the previews among the candidates, and notices of what could be either."""
    rest, mask_folders = _part(candidates, _in_folder(candidates, _MASK_FOLDER, named))
    rest, preview_folders = _part(rest, _in_folder(rest, _PREVIEW_FOLDER, named))
    rest, previews = _part(rest, _companions(rest, _PREVIEW))
    rest, beside = _part(rest, _companions(rest, f"{_CLEARLY_MASK}|{_PERHAPS_MASK}"))
    images, orphans, notices = _orphans(rest)
    return images, mask_folders + beside + orphans, preview_folders + previews, notices


def _part(files: Sequence[Found], is_other: Callable[[Found], bool]) -> tuple[list[Found], list[Found]]:
    """The files of which that is not true, and those of which it is."""
    parted: tuple[list[Found], list[Found]] = ([], [])
    for file in files:
        parted[is_other(file)].append(file)
    return parted


def _in_folder(files: Sequence[Found], name: re.Pattern[str], named: frozenset[str]) -> Callable[[Found], bool]:
    """Whether a file is in a folder of such a name, if there are images in others, too."""
    folders = {file.folders for file in files}
    siblings = {(*parent, comparable(last)) for *parent, last in _with_parents(folders)}

    def is_one(folder: tuple[str, ...]) -> bool:
        *parent, last = (*folder[:-1], comparable(folder[-1]))
        if last in named:
            return False
        before = re.fullmatch(rf"(?P<of>.+?)[ _.-]+(?:{name.pattern})", last)
        return bool(name.fullmatch(last) or (before and (*parent, before["of"]) in siblings))

    suspects = {folder for folder in _with_parents(folders) if is_one(folder)}
    inside = {folder for folder in folders if any(start in suspects for start in _starts(folder))}
    if inside == folders:  # nothing is beside them: they are what there is
        return lambda file: False
    return lambda file: file.folders in inside


def _starts(folder: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The folder and all folders above it, the data folder first."""
    return (folder[:length] for length in range(len(folder) + 1))


def _with_parents(folders: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The folders and all above them, but not the data folder itself."""
    return {start for folder in folders for start in _starts(folder) if start}


def _companions(files: Sequence[Found], words: str) -> Callable[[Found], bool]:
    """Whether a file's name is that of an image beside it, or of one anywhere if a word leaves no doubt, and a word."""
    beside = {(file.folders, file.stem) for file in files}
    anywhere = {file.stem for file in files}

    def is_one(file: Found) -> bool:
        of = _owners(file.stem, words)
        clearly = _owners(file.stem, _CLEARLY_MASK, _ANYTHING) if _CLEARLY_MASK in words else set()
        return any((file.folders, stem) in beside for stem in of | clearly) or bool(clearly & anywhere)

    return is_one


_NUMBERS = r"[\d _.()-]*"
_ANYTHING = r"(?:[^a-z].{0,12})?"


def _owners(stem: str, words: str, rest: str = _NUMBERS) -> set[str]:
    """The stems of which `stem` would be a companion: what stands before a word and the rest, or after a word."""
    word, after, before = _patterns(words, rest)
    if not word.search(stem):  # as in most names; that is found sooner
        return set()
    of = {stem[: match.start()] for match in after.finditer(stem) if match.start()}  # wherever the word may begin
    return of | ({match["of"]} if (match := before.fullmatch(stem)) else set())


@functools.cache
def _patterns(words: str, rest: str) -> tuple[re.Pattern[str], ...]:
    """Of one of the words anywhere, of the place before a word and the rest, and of a name with a word before it."""
    after = rf"(?=(?:[ _.-]+|(?<=[\d)]))(?:{words}){rest}\Z)"
    return re.compile(words), re.compile(after), re.compile(rf"(?:{words})[ _.-]+(?P<of>.+)")


def _orphans(files: Sequence[Found]) -> tuple[list[Found], list[Found], list[str]]:
    """The images, the masks whose image is missing, in folders that have other images, and a notice of the others."""
    plain, masks = _part(files, lambda file: bool(_owners(file.stem, _CLEARLY_MASK)))
    with_images = {file.folders for file in plain}
    alone, orphans = _part(masks, lambda file: file.folders in with_images)
    told = [f"{len(alone)} images are named as masks, but no other image is beside them: they are read"]
    return sorted([*plain, *alone], key=lambda file: file.parts), orphans, told if alone else []
