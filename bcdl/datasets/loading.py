"""Loading: what `--data` names becomes a data set that is split."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

from bcdl.datasets import blank, handover, sources, split
from bcdl.datasets.dataset import Dataset, Request, Split
from bcdl.datasets.pool import Pool
from bcdl.datasets.sources import Source
from bcdl.errors import UsageError
from bcdl.text import quoted


def load(request: Request, handed: str | None = None) -> Dataset:
    """The data set that `request.data` names, split; UsageError if it can't be read or used.

    `handed` is the folder in which another process put its pool, by `handover.write`; None if none did.
    """
    return split_pool(_read(request, handed), request)


def loader() -> Callable[..., Dataset]:
    """A function that loads as `load` does, but reads once the images that stand in several splits, one after another.

    It keeps in memory the last data set and its images before the split.
    """
    read = functools.lru_cache(maxsize=1)(_read)

    @functools.lru_cache(maxsize=1)
    def load(request: Request, handed: str | None = None) -> Dataset:
        return split_pool(read(request.unsplit, handed), request)

    return load


def _read(request: Request, handed: str | None) -> Pool:
    return handover.read(Path(handed)) if handed else read_pool(request)


def read_pool(request: Request) -> Pool:
    """All images that `request.data` names, not split; UsageError if they can't be read or used, or show nothing."""
    source = _source(request.data)
    _check_is_folder(request)
    pool = source.read(request)
    blank.check(pool.images, f"data set {pool.name}")
    return dataclasses.replace(pool, notices=(*pool.notices, *blank.notices(pool.images, pool.labels, pool.given)))


def _check_is_folder(request: Request) -> None:
    """UsageError if it is asked for how the images of a folder are read, and the data is no folder."""
    asked = {
        "--labels": request.labels,
        "--class-map": request.class_map,
        "--magnification": request.magnification,
        "--grey-bits": request.grey_bits,
    }
    option = next((option for option, value in asked.items() if value), None)
    if option and not Path(request.data).is_dir():
        raise UsageError(
            f"{option} is for the images of a folder, and --data {quoted(request.data)} is no folder; leave it out"
        )


def split_pool(pool: Pool, request: Request) -> Dataset:
    """The data set that the request makes of a pool; UsageError if it can't be split so."""
    parts, notices = split.split(pool, request)
    for name, chosen in parts.items():
        blank.check((pool.images[place] for place in chosen), f"split {name} of data set {pool.name}")
    everything = Split(pool.images, pool.labels, pool.groups, pool.names, pool.groups_known())
    return Dataset(
        name=pool.name,
        synthetic=pool.synthetic,
        notices=(*pool.notices, *notices),
        rules=pool.rules,
        facts=pool.facts,
        fingerprints=pool.fingerprints,
        looked_for=pool.duplicates,
        private=pool.private,
        **{name: everything.at(chosen) for name, chosen in parts.items()},
    )


def is_name(data: str) -> bool:
    """Whether `--data` names a data set that lies at no path, so that it means the same in every folder."""
    return any(source.is_name(data) for source in sources.modules().values())


def name_of(data: str) -> str:
    """The name that records carry for the data set `--data` names; UsageError if no source reads it."""
    return _source(data).name_of(data)


def _source(data: str) -> Source:
    every = sources.modules().values()
    source = next((source for source in every if source.accepts(data)), None)
    if source is None:
        raise UsageError(f"no data set {quoted(data)}: use {', or '.join(source.READS for source in every)}")
    return source
