"""Writes the files of a report, and removes those of an earlier one that it no longer has; it changes only our files.

A file is ours if `manifest.json` lists it, or if it carries our mark: pages and cards begin with a
sentence of their own, and a plot's PNG names the digest of what it was drawn from (`SOURCE`). A table has no mark. In a
folder with a page of ours and without a manifest, made by an older bcdl, a table is taken for ours if its first cell is
`metric`; since it may be somebody's all the same, it is kept aside before it is removed.

`manifest.json` lists every file that the last report wrote, with its SHA-256, and is itself written last. Before
anything else, the report writes what it is going to list into `local/`, so that a report that is killed midway leaves
no file that the next one does not know. A listed file with another content was changed by a person: it is not removed,
and before it is written anew, a copy is kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import stat
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bcdl.errors import UsageError
from bcdl.records import disk, runs, store
from bcdl.records.claims import SILENT_S
from bcdl.records.store import CARDS, MANIFEST, PAGE, PAGES, PLOTS, TABLES, check_folder

SOURCE = "Source data SHA-256"  # the PNG's own text that holds the digest of what it was drawn from
DRAWN_BY, OVERLAY = "Drawn by", "bcdl predict --explain"  # the PNG's own text of an overlay, which no report writes
FOLDERS = (PAGES, TABLES, PLOTS, CARDS)
# How a page behind the first one begins, below its title.
PAGE_MARK = "[Results](../README.md), generated from records by `python -m bcdl.report`; edit nothing here by hand."
_PENDING = Path(runs.LOCAL) / "manifest-to-be.json"
_REPLACED = Path(runs.LOCAL) / "replaced"  # copies of files that a person had changed and a report wrote anew
_HEAD_BYTES = 4096  # a mark stands within so many
_PAGE = re.compile(rf"# .*\n\n{re.escape(PAGE_MARK)}")
_CARD = re.compile(r"# Model card: .*\n\n\*\*Not for clinical use\.\*\* Generated from records by `")
_TABLE = re.compile(rb'(\xef\xbb\xbf)?"?metric"?[,\r\n]')
_PNG = b"\x89PNG\r\n\x1a\n"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_NAMED = 5  # files in a message


def write(
    results: Path, files: Mapping[str, bytes], remove_stale: bool, check_turn: Callable[[], None] = lambda: None
) -> list[str]:
    """Write the files of a report, and remove those of ours that it no longer has.

    Killed at any instant, it leaves a folder that the next call brings to the same end.

    Args:
        results: the results folder.
        files: content by path, POSIX, relative to `results`: `README.md`, and what lies in `pages/`, `tables/`,
            `plots/` and `cards/`.
        remove_stale: whether files of ours that are not among `files` go.
        check_turn: called before each file is changed; whatever it raises ends this, so that the files of two reports
            are not mixed if another process has begun to write its own.

    Returns:
        A line for each file that a person had changed: it was kept although no record asks for it, or written anew.

    Raises:
        UsageError: before anything is written, if a file that is not ours, a folder or a link stands at the place of
            one of `files`; or if the disk can't be written.
    """
    _check_paths(files)
    check_folder(results)
    with disk.writing(results):
        manifest = Manifest.read(results)
        changed = _check_free(results, files, manifest)
        _remove_parts(results)
        stale = find_stale(results, files, manifest)
        unsure = [path for path in stale.removable if remove_stale and _is_unsure(path, manifest)]
        notices = [_keep_aside(results, path, _UNSURE) for path in unsure]
        manifest = _with_unlisted(results, manifest, stale)
        check_turn()
        _write_pending(results, files, manifest)
        notices = [*notices, *(_keep_aside(results, path, _REWRITTEN) for path in changed)]
        _write_files(results, files, check_turn)
        if remove_stale:
            notices += [f"{path}: no record asks for it; it was changed by hand, and is kept" for path in stale.changed]
            _remove(results, stale.removable, files, check_turn)
        check_turn()
        _write_manifest(results, files, [*stale.changed, *stale.removable], manifest)
    return notices


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What reports wrote into a results folder.

    Attributes:
        older: whether a report that knows no manifests was at work here alone: there is its page, and no manifest.
        digests: by path, the SHA-256 of each content that a report wrote, or was about to write, there.
    """

    older: bool
    digests: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, results: Path) -> Manifest:
        """The manifest of the folder, with what a report that was killed midway was about to write."""
        parts = [part for name in (MANIFEST, _PENDING) if (part := _read_digests(results / name)) is not None]
        digests: dict[str, list[str]] = {}
        for part in parts:
            for path, known in part.items():
                digests.setdefault(path, []).extend(known)
        page = results / PAGE
        return cls(not parts and page.is_file() and _is_marked(PAGE, page), digests)

    def lists(self, path: str, content: bytes) -> bool:
        """Whether a report wrote this content at `path`, on whatever system its lines were ended."""
        written = self.digests.get(path, ())
        return digest(content) in written or digest(content.replace(b"\r\n", b"\n")) in written


@dataclasses.dataclass(frozen=True)
class Stale:
    """Files of ours that a report no longer has: as they were written, and as a person has changed them."""

    removable: Sequence[str]
    changed: Sequence[str]


def find_stale(results: Path, files: Collection[str], manifest: Manifest) -> Stale:
    """The files of ours in the folder that are not among `files`."""
    removable: list[str] = []
    changed: list[str] = []
    for path, file in _files_of(results):
        if path in files:
            continue
        if path not in manifest.digests:
            if _is_marked(path, file) or (manifest.older and _is_table(path, file)):
                removable.append(path)
        elif (content := content_of(file)) is not None:
            (removable if manifest.lists(path, content) else changed).append(path)
    return Stale(removable, changed)


def listed(results: Path) -> dict[str, str] | None:
    """The SHA-256 of each file that the manifest lists; None if there is no manifest."""
    digests = _read_digests(results / MANIFEST)
    return None if digests is None else {path: known[-1] for path, known in digests.items()}


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _is_marked(path: str, file: Path) -> bool:
    """Whether the file at `path` carries our mark."""
    if path == PAGE:
        return store.is_page(_head(file))
    if path.startswith(f"{PLOTS}/") and path.endswith(".png"):
        return _names_its_source(_head(file))
    pattern = {PAGES: _PAGE, CARDS: _CARD}.get(path.partition("/")[0])
    if pattern is not None and path.endswith(".md"):
        return pattern.match(_head(file).decode(errors="replace").replace("\r\n", "\n")) is not None
    return False


def _is_table(path: str, file: Path) -> bool:
    """Whether the file may be a table of ours, which carries no mark, by its first cell."""
    return path.startswith(f"{TABLES}/") and path.endswith(".csv") and _TABLE.match(_head(file)) is not None


def _head(file: Path) -> bytes:
    """How a file begins; nothing if it has vanished meanwhile."""
    try:
        with file.open("rb") as content:
            return content.read(_HEAD_BYTES)
    except FileNotFoundError:
        return b""


def content_of(file: Path) -> bytes | None:
    """What a file holds; None if there is none, or none any more: other hosts and sync tools are at work, too."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _names_its_source(head: bytes) -> bool:
    """Whether a PNG has a text of ours with a digest."""
    return _DIGEST.fullmatch(_png_texts(head).get(SOURCE, "")) is not None


def is_overlay(file: Path) -> bool:
    """Whether the file is a PNG that says that `bcdl predict` drew it; not if it can't be read."""
    try:
        return file.is_file() and _png_texts(_head(file)).get(DRAWN_BY) == OVERLAY
    except OSError:
        return False


def _png_texts(head: bytes) -> dict[str, str]:
    """The texts of a PNG by their names, of those before its pixels (PNG specification, sections 5.3 and 11.3)."""
    texts: dict[str, str] = {}
    place = len(_PNG) if head.startswith(_PNG) else len(head)
    while place + 8 <= len(head):
        length, kind = struct.unpack_from(">I4s", head, place)
        name, _, text = head[place + 8 : place + 8 + length].partition(b"\0")
        if kind == b"tEXt":
            texts.setdefault(name.decode("latin-1"), text.decode("latin-1"))
        place += length + 12  # length, kind, content, checksum
    return texts


def _files_of(results: Path) -> Iterator[tuple[str, Path]]:
    """Every file, no link, in the folders that reports write to, and the page, with its path; follows no link."""
    for folder in FOLDERS:
        for parent, _, names in os.walk(results / folder):
            for name in sorted(names):
                file = Path(parent, name)
                if stat.S_ISREG(_mode(file) or 0):
                    yield file.relative_to(results).as_posix(), file
    page = results / PAGE
    if page.is_file():
        yield PAGE, page


def _check_paths(files: Iterable[str]) -> None:
    """ValueError if a path leads anywhere but to the page or into one of the folders."""
    for path in files:
        if not _is_path(path):
            raise ValueError(f"no report writes a file at {path!r}")


def _is_path(path: str) -> bool:
    first, *rest = path.split("/")
    plain = all(part not in ("", ".", "..") and "\\" not in part and "\0" not in part for part in rest)
    return path == PAGE or (first in FOLDERS and bool(rest) and plain)


def _check_free(results: Path, files: Mapping[str, bytes], manifest: Manifest) -> list[str]:
    """The paths of our files that a person has changed; UsageError if a file that is not ours is in the way."""
    changed, foreign = [], []
    for path, content in files.items():
        if (blocking := _blocking(results, path)) is not None:
            foreign.append(blocking)
            continue
        file = results / path
        there = content_of(file)
        if there is None or there == content or manifest.lists(path, there):
            continue
        is_listed = path in manifest.digests
        if _is_marked(path, file) or ((is_listed or manifest.older) and _is_table(path, file)):
            changed += [path] if is_listed else []
        else:
            foreign.append(path)
    if foreign:
        foreign = list(dict.fromkeys(foreign))
        named = ", ".join(foreign[:_MOST_NAMED])
        more = f" and {len(foreign) - _MOST_NAMED} more" if len(foreign) > _MOST_NAMED else ""
        raise UsageError(
            f"{results} has files that the report would overwrite and that are not of bcdl, or were changed by hand: "
            f"{named}{more}; move them away or choose another folder with --results"
        )
    return changed


def _blocking(results: Path, path: str) -> str | None:
    """What keeps a file from being written at `path`, a path in place of a folder or a file that is none; or None."""
    *folders, _ = PurePosixPath(path).parents  # from the innermost to the results folder, which is left out
    for folder in reversed(folders):
        mode = _mode(results / folder)
        if mode is not None and not stat.S_ISDIR(mode):
            return folder.as_posix()
    mode = _mode(results / path)
    return None if mode is None or stat.S_ISREG(mode) else path


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None


def _is_unsure(path: str, manifest: Manifest) -> bool:
    """Whether the file at `path`, taken for ours, may be somebody's: it has no mark, and no manifest lists it."""
    return path.startswith(f"{TABLES}/") and path not in manifest.digests


_REWRITTEN = "it was changed by hand and is written anew; the changed one"
_UNSURE = "it looks like a table of an older bcdl that no record asks for, and is removed; it"


def _keep_aside(results: Path, path: str, reason: str) -> str:
    """Keep what a person may have made of a file that is removed or written anew; a line that says so."""
    content = content_of(results / path) or b""
    aside = _REPLACED / f"{digest(content)[:12]}-{PurePosixPath(path).name}"
    disk.replace(results / aside, content)
    return f"{path}: {reason} is kept in {aside.as_posix()}"


def _with_unlisted(results: Path, manifest: Manifest, stale: Stale) -> Manifest:
    """The manifest with those stale files that are ours by their mark: a folder with a manifest must list them."""
    unlisted = [path for path in stale.removable if path not in manifest.digests]
    added = {path: [digest(content_of(results / path) or b"")] for path in unlisted}
    return dataclasses.replace(manifest, digests={**manifest.digests, **added})


def _write_pending(results: Path, files: Mapping[str, bytes], manifest: Manifest) -> None:
    """Write down what is going to be written, so that the next report knows it if this one is killed."""
    known = {path: [*manifest.digests.get(path, ()), digest(content)] for path, content in files.items()}
    disk.replace(results / _PENDING, _manifest_of({**manifest.digests, **known}))


def _write_files(results: Path, files: Mapping[str, bytes], check_turn: Callable[[], None]) -> None:
    """Write the files that differ, the page last, so that what it links is there."""
    for path in sorted(files, key=lambda path: (path == PAGE, path)):
        file = results / path
        if content_of(file) != files[path]:
            check_turn()
            disk.replace(file, files[path])


def _remove(results: Path, stale: Sequence[str], files: Iterable[str], check_turn: Callable[[], None]) -> None:
    """Remove the stale files, and the folders that this empties."""
    written = {_identity(results / path) for path in files} - {None}
    for path in stale:
        file = results / path
        if _identity(file) in written:  # the same file by another name, on a system that does not distinguish a from A
            continue
        check_turn()
        _unlink(results, path)


def _remove_parts(results: Path) -> None:
    """Remove the unfinished files that a report left which was killed.

    In `local/` other commands write, too: there a file must have been left for a while.
    """
    local = [file for file in (results / runs.LOCAL).glob("*") if disk.is_part(file.name)]
    left = [file for file in local if (disk.age_s(file) or 0.0) > SILENT_S]
    for file in [*(file for _, file in _files_of(results)), *results.glob("*"), *left]:
        if disk.is_part(file.name) and stat.S_ISREG(_mode(file) or 0):
            _unlink(results, file.relative_to(results).as_posix())


def _unlink(results: Path, path: str) -> None:
    """Remove a file of ours, and the folders that this empties, but for the outermost."""
    (results / path).unlink(missing_ok=True)
    for parent in PurePosixPath(path).parents[:-2]:
        with contextlib.suppress(OSError):  # it is not empty
            (results / parent).rmdir()


def _identity(file: Path) -> tuple[int, int] | None:
    """What tells a file from all others, whatever its name; None if it is gone."""
    try:
        status = file.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _write_manifest(results: Path, files: Mapping[str, bytes], others: Iterable[str], manifest: Manifest) -> None:
    """List what was written, and those of `others` that were listed and are still there."""
    kept = {
        path: manifest.digests[path][:1] for path in others if path in manifest.digests and (results / path).exists()
    }
    written = {path: [digest(content)] for path, content in files.items()}
    content = _manifest_of({**kept, **written})
    file = results / MANIFEST
    if content_of(file) != content:
        disk.replace(file, content)
    (results / _PENDING).unlink(missing_ok=True)


def _manifest_of(digests: Mapping[str, Sequence[str]]) -> bytes:
    """A manifest, an entry a line; a path that has more than one digest has a list of them."""
    files = {path: known[0] if len(set(known)) == 1 else sorted(set(known)) for path, known in sorted(digests.items())}
    return (json.dumps({store.WRITER_KEY: store.WRITER, "files": files}, indent=1) + "\n").encode()


def _read_digests(file: Path) -> dict[str, list[str]] | None:
    """The digests that a manifest of ours lists, by path; None if there is none.

    If the file is no JSON, after a merge with conflicts for instance, those of its lines that are entries count.
    """
    content = content_of(file) if file.is_file() else None
    if content is None:
        return None
    text = content.decode(errors="replace")
    try:
        entries = list(json.loads(text)["files"].items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        entries = [entry for line in text.splitlines() for entry in _entry(line)]
    digests: dict[str, list[str]] = {}
    for path, known in entries:
        values = [known] if isinstance(known, str) else known if isinstance(known, list) else []
        whole = [value for value in values if isinstance(value, str) and _DIGEST.fullmatch(value)]
        if whole and _is_path(path):
            digests.setdefault(path, []).extend(whole)
    return digests


def _entry(line: str) -> list[tuple[str, Any]]:
    try:
        return list(json.loads("{" + line.strip().rstrip(",") + "}").items())
    except (ValueError, RecursionError):
        return []
