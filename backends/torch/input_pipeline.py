"""The input pipeline that users of torch choose: its DataLoader. `bcdl experiment input-pipelines` measures it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import Examples

PACKAGE = "torch"


def data_loader(examples: Examples, batch_size: int, cores: int) -> Iterator[Any]:
    """Batches without end, by a worker process for each core; on one core in this process, which is faster there.

    The sampler has no end either: at the end of an epoch a DataLoader waits for its workers.
    """
    import torch
    from torch.utils.data import DataLoader, RandomSampler

    torch.set_num_threads(1)  # collating is copying: threads of OpenMP would wait for each other
    workers = cores if cores > 1 else 0
    return iter(
        DataLoader(
            _Dataset(examples),
            batch_size,
            sampler=RandomSampler(_Dataset(examples), num_samples=2**40),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
        )
    )


class _Dataset:
    """What a DataLoader reads."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Any:
        return self._examples.draw(index)


PIPELINES = {"DataLoader": data_loader}
