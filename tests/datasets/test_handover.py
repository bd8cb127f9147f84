"""A pool that is handed over is the pool that was read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bcdl import datasets
from bcdl.datasets import handover, loading, sources
from bcdl.datasets.pool import Pool

# What only the driver needs, which looks for leaks and hides names.
_NOT_HANDED = ("fingerprints", "duplicates", "private")


def handed(pool: Pool, folder: Path) -> Pool:
    folder.mkdir()
    handover.write(pool, folder)
    return handover.read(folder)


@pytest.mark.parametrize("source", sources.modules())
def test_the_pool_of_every_source_arrives_as_it_was(source: str, tmp_path: Path) -> None:
    request = datasets.Request(sources.modules()[source].example(tmp_path), image_size=32)
    pool = loading.read_pool(request)
    arrived = handed(pool, tmp_path / "handed")
    for field in dataclasses.fields(Pool):
        before, after = getattr(pool, field.name), getattr(arrived, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype
        else:
            assert after == (None if field.name in _NOT_HANDED else before)
    assert isinstance(arrived.images, np.memmap)


@pytest.mark.parametrize("split", [{}, {"folds": 3, "fold": 1}, {"by_group": False}, {"split_seed": 5}])
def test_every_split_of_it_is_the_same(split: dict[str, int], tmp_path: Path) -> None:
    request = datasets.Request("synthetic-48", image_size=32, **split)  # type: ignore[arg-type]
    handed(loading.read_pool(request.unsplit), tmp_path / "handed")
    assert datasets.load(request, str(tmp_path / "handed")).checksum == datasets.load(request).checksum
