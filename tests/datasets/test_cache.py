"""The cache: what was kept comes back as it was, and an entry that is in doubt is never used, but made anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcdl.datasets import cache, mapped
from bcdl.datasets.fingerprint import FINGERPRINT

KEY = cache.key_of("rules", b"first", b"second")
IMAGES = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
ROW = (2, 2, 3)
Told = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A cache of each test's own, and what was said before is said again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache._tell.cache_clear()
    yield
    cache._tell.cache_clear()


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
