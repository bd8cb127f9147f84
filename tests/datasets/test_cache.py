"""The cache: what was kept comes back as it was, and an entry that is in doubt is never used, but made anew."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bcdl import datasets
from bcdl.datasets import cache, decode, mapped
from bcdl.datasets.fingerprint import FINGERPRINT
from bcdl.datasets.pixels import Depth
from bcdl.datasets.sources import folder
from bcdl.errors import UsageError
from bcdl.experiments import large_data_sets
from tests.conftest import ROOT
from tests.screens import Terminal

KEY = cache.key_of("rules", b"first", b"second")
IMAGES = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
ROW = (2, 2, 3)
Told = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("empty_cache")


def kept() -> Path:
    """The file of an entry with `IMAGES`."""
    cache.write(KEY, IMAGES)
    (file,) = cache.folder().iterdir()
    return file


def read() -> np.ndarray | None:
    return cache.read(KEY, IMAGES.dtype, ROW)


def test_an_array_comes_back_mapped_and_can_not_be_changed() -> None:
    kept()
    images = read()
    assert images is not None
    np.testing.assert_array_equal(images, IMAGES)
    assert (images.dtype, images.flags.writeable) == (IMAGES.dtype, False)
    mapped.release(images)
    np.testing.assert_array_equal(mapped.take(images, np.array([4, 0, 0])), IMAGES[[4, 0, 0]])


@pytest.mark.parametrize("array", [np.zeros(3, FINGERPRINT), np.zeros((0, 4)), np.arange(3), np.ones((2, 1), "<U7")])
def test_any_array_without_objects_comes_back(array: np.ndarray) -> None:
    cache.write(KEY, array)
    again = cache.read(KEY, array.dtype, array.shape[1:])
    assert again is not None
    np.testing.assert_array_equal(again, array)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)


def test_facts_come_back() -> None:
    facts = {"near": [["ä", "b"]], "count": 2}
    cache.write_facts(KEY, facts)
    assert cache.read_facts(KEY) == facts
    assert cache.read_facts(cache.key_of("another")) is None


def test_the_key_tells_parts_and_their_order_apart() -> None:
    keys = [cache.key_of(*parts) for parts in (["ab", "c"], ["a", "bc"], ["c", "ab"], ["abc"], [], [""])]
    assert len(set(keys)) == len(keys)


# An entry that is in doubt


@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_entry_that_was_damaged_anywhere_is_not_used_and_made_anew(data: st.DataObject) -> None:
    """Bits turned, parts cut, left out, put in, doubled or swapped, in its header and in its array."""
    file = kept()
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(place + 1, len(whole)))
    part = whole[place:end]
    damaged = data.draw(
        st.sampled_from(
            [
                whole[:place] + bytes([whole[place] ^ 1 << data.draw(st.integers(0, 7))]) + whole[place + 1 :],
                whole[:place],
                whole[:place] + whole[end:],
                whole[:place] + part + whole[place:],
                whole[:place] + data.draw(st.binary(min_size=1, max_size=9)) + whole[place:],
                whole[:place] + bytes(255 - byte for byte in part) + whole[end:],
                whole[:place] + part[::-1] + whole[end:],
                whole[end:] + whole[:end],
            ]
        ).filter(lambda content: content != whole)
    )
    file.write_bytes(damaged)
    assert read() is None
    cache.write(KEY, IMAGES)
    assert file.read_bytes() == whole


@pytest.mark.parametrize(
    "other",
    [
        np.invert(IMAGES),
        IMAGES[::-1],
        IMAGES.astype(np.float64),
        IMAGES.view(np.int8),
        IMAGES[:-1],
        np.zeros((5, 3, 3, 3), np.uint8),
        IMAGES.reshape(5, 12),
        np.zeros((0, *ROW), np.uint8),
    ],
)
def test_another_array_in_the_place_of_an_entry_is_not_used(other: np.ndarray, capsys: Told) -> None:
    """Whether it has a whole header, which then is that of another key, or the one that was there."""
    file = kept()
    header = file.read_bytes()[: -IMAGES.nbytes]
    another = cache.key_of("another")
    cache.write(another, other)
    for content in (cache._file(another).read_bytes(), header + other.tobytes()):
        file.write_bytes(content)
        images = read()
        assert images is None or content == header + IMAGES.tobytes()
    if other.tobytes() != IMAGES.tobytes():
        assert "note: an entry of the cache is " in capsys.readouterr().err


def test_an_entry_is_read_only_as_what_it_was_written() -> None:
    kept()
    for dtype, row in [("u1", (12,)), ("i1", ROW), ("u1", (3, 2, 2)), ("<u2", (2, 3)), ("u1", ())]:
        assert cache.read(KEY, np.dtype(dtype), row) is None


def test_an_entry_that_others_may_have_written_is_not_used(capsys: Told) -> None:
    file = kept()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.chmod(0o620)
    assert read() is None
    assert "others may write to it: it is not used, and made anew" in capsys.readouterr().err
    assert kept().stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users here")
def test_an_entry_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kept()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert read() is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_the_place_of_an_entry_is_not_waited_for() -> None:
    file = kept()
    file.unlink()
    os.mkfifo(file)
    assert read() is None
    cache.write(KEY, IMAGES)
    assert read() is not None


# Rows that come one after another


def test_rows_of_another_kind_are_refused() -> None:
    with cache.Rows(IMAGES.dtype, ROW, 5) as rows:
        for wrong in (IMAGES.astype(float), IMAGES[:, :1], np.concatenate([IMAGES, IMAGES])):
            with pytest.raises(ValueError, match="are no rows of"):
                rows.append(wrong)


def test_what_is_not_finished_leaves_nothing_behind() -> None:
    with cache.Rows(IMAGES.dtype, ROW, 5) as rows:
        rows.append(IMAGES)
    assert list(cache.folder().iterdir()) == []


# Several processes, and a limit

WRITE_AND_READ = """
import numpy as np
from bcdl.datasets import cache

key, images = cache.key_of("shared"), np.full((40, 64, 64), 7, np.uint8)
for _ in range(50):
    cache.write(key, images)
    again = cache.read(key, images.dtype, (64, 64))
    assert again is not None and (again == images).all()
"""


def test_processes_that_write_one_entry_at_once_all_read_it_whole() -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", WRITE_AND_READ], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 3
    assert len(list(cache.folder().iterdir())) == 1


def test_the_least_recently_used_entries_go_and_are_counted(monkeypatch: pytest.MonkeyPatch, capsys: Told) -> None:
    keys = [cache.key_of(str(number)) for number in range(4)]
    for age, key in enumerate(keys[:3]):
        cache.write(key, np.zeros((1000, 3), np.uint8))
        os.utime(cache._file(key), (1000 + age, 1000 + age))
    assert cache.read(keys[0], np.dtype(np.uint8), (3,)) is not None  # so that it is used now
    stray, old_part = cache.folder() / "mine.txt", cache.folder() / "part-of-a-killed-process"
    for file in (stray, old_part):
        file.write_bytes(b"x" * 9000)
        os.utime(file, (0, 0))
    monkeypatch.setattr(cache, "MOST_BYTES", 9000)
    cache.write(keys[3], np.zeros((1000, 3), np.uint8))
    assert {file.stem for file in cache.folder().iterdir()} == {keys[0], keys[3], "mine"}
    assert "note: 2 entries of the cache removed" in capsys.readouterr().err
    assert cache.usage()[0] == 2


# The loading of images


def test_decoding_leaves_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    data = Path(folder.example(tmp_path))
    before = list(warnings.filters)
    decode.decode(list(data.rglob("*.png")), ["name"] * 24, 8, False, Depth())
    decode.read_image(next(data.rglob("*.png")), 8)
    assert warnings.filters == before


def test_loading_takes_little_more_memory_than_the_pixels(tmp_path: Path) -> None:
    """Of many small images, in a process of its own: their arrays, and no copy of them."""
    (tmp_path / "data").mkdir()
    for first, kind in ((0, "benign"), (100, "malignant")):
        (tmp_path / "data" / kind).mkdir()
        for number in range(first, first + 30):
            pixels = np.arange(number, number + 16, dtype=np.uint8).reshape(4, 4)
            Image.fromarray(pixels).save(tmp_path / "data" / kind / f"{number:03d}.png")
    for cold in (True, False):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(tmp_path / "data"), "600"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert float(done.stdout) < 1.3, f"cold: {cold}"


# Loads a small version first, so that what is imported and what threads take is there already.
MEASURE = """
import resource, sys
from bcdl import datasets

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

data, size = sys.argv[1], int(sys.argv[2])
datasets.load(datasets.Request(data, 300)).checksum
before = peak_bytes()
dataset = datasets.load(datasets.Request(data, size))
dataset.checksum
print((peak_bytes() - before) / sum(part.images.nbytes for part in dataset.splits.values()))
"""


# What is read of files whose images are in the cache


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the image files that are read, one after another."""
    names: list[str] = []
    original = decode._read

    def read(file: Path) -> bytes:
        names.append(file.name)
        return original(file)

    monkeypatch.setattr(decode, "_read", read)
    monkeypatch.setattr(decode, "_surveyed", {})
    return names


def settled(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The images under the folder, as they are seen if nothing was written for a while."""
    monkeypatch.setattr(decode, "_SETTLED_NS", -(10**12))
    return sorted(root.rglob("*.png"))


def test_files_whose_images_are_in_the_cache_are_read_once(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = datasets.Request(folder.example(tmp_path), 8)
    files = settled(tmp_path, monkeypatch)
    expected = datasets.load(request)
    decode._surveyed.clear()  # as in another process
    reads.clear()
    assert datasets.load(request).checksum == expected.checksum
    assert sorted(reads) == sorted(file.name for file in files)
    reads.clear()
    assert datasets.load(request).checksum == expected.checksum
    assert reads == []


def test_a_file_of_which_anything_was_changed_is_read_again(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes, even if its size and time are as they were; its time alone; or which file it is."""
    request = datasets.Request(folder.example(tmp_path), 8)
    first, second, third, *_ = settled(tmp_path, monkeypatch)
    before = datasets.load(request).checksum
    status = first.stat()
    first.write_bytes(second.read_bytes()[: status.st_size].ljust(status.st_size))
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    second.touch()
    third.replace(tmp_path / "aside")
    (tmp_path / "other").write_bytes((tmp_path / "aside").read_bytes())
    (tmp_path / "other").replace(third)
    (tmp_path / "aside").unlink()
    reads.clear()
    digests = decode._digests([first, second, third], decode._statuses([first, second, third]))
    assert sorted(reads) == sorted(file.name for file in (first, second, third))
    assert digests[0] != decode._surveyed[first][0]
    assert digests[1:] == [decode._surveyed[file][0] for file in (second, third)]
    first.write_bytes(first.read_bytes()[: status.st_size // 2])
    with pytest.raises(UsageError, match="unreadable"):
        datasets.load(request)
    first.write_bytes(second.read_bytes())
    assert datasets.load(request).checksum != before


def test_a_file_that_was_just_written_is_read_again_whatever_its_status_says(tmp_path: Path, reads: list[str]) -> None:
    """It may be written once more within one step of the clock of files."""
    datasets.load(datasets.Request(folder.example(tmp_path), 8))
    files = sorted(tmp_path.rglob("*.png"))
    reads.clear()
    decode._digests(files, decode._statuses(files))
    assert len(reads) == len(files)


def test_what_copies_are_found_by_is_not_read_if_the_lists_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And made again, whatever of it is missing."""
    (tmp_path / "data").mkdir()
    large_data_sets.draw(tmp_path / "data", 20, 32)
    request = datasets.Request(str(tmp_path / "data"), 32)
    expected = datasets.load(request)
    assert expected.duplicates.near
    types: list[np.dtype] = []
    original = cache.read

    def read(key: str, dtype: np.dtype, row: tuple[int, ...] = ()) -> np.ndarray | None:
        types.append(dtype)
        return original(key, dtype, row)

    monkeypatch.setattr(cache, "read", read)
    for entry in [None, *sorted(cache.folder().iterdir())]:
        types.clear()
        if entry:
            entry.unlink()
        loaded = datasets.load(request)
        assert (loaded.checksum, loaded.leaks().facts()) == (expected.checksum, expected.leaks().facts())
        assert entry or FINGERPRINT not in types


def test_fingerprints_that_are_read_late_are_those_of_the_same_files(tmp_path: Path) -> None:
    folder.example(tmp_path)
    files = sorted(tmp_path.rglob("*.png"))
    depth = decode.survey(files, [file.name for file in files], 0).depth
    first, _ = decode.read_fingerprints(files, depth)
    late, _ = decode.read_fingerprints(files, depth)
    np.testing.assert_array_equal(late.greys(), first.greys())
    files[0].write_bytes(files[1].read_bytes())
    with pytest.raises(UsageError, match=f"1 image changed while the data was read .*{files[0].name}"):
        late.greys()
    files[0].unlink()
    with pytest.raises(UsageError, match="1 image changed while the data was read"):
        late.greys()


def test_reading_is_shown_if_somebody_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.example(tmp_path)
    files, screen = list(tmp_path.rglob("*.png")), Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    decode.decode(files[:2], ["name"] * 2, 8, False, Depth())
    assert screen.getvalue() == ""
    monkeypatch.setattr("bcdl.datasets.progress._LEAST", 24)
    decode.decode(files, ["name"] * 24, 8, False, Depth())
    assert "reading images" in screen.getvalue()
