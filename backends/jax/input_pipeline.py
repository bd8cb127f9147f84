"""The input pipeline that users of JAX choose: Grain. `bcdl experiment input-pipelines` measures it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import Examples

PACKAGE = "grain"


def threads(examples: Examples, batch_size: int, cores: int) -> Iterator[Any]:
    """Batches without end, by a thread for each core, two batches for each ahead."""
    import grain

    options = grain.ReadOptions(num_threads=cores, prefetch_buffer_size=2 * cores)
    return iter(_batches(examples, batch_size).to_iter_dataset(options))


def processes(examples: Examples, batch_size: int, cores: int) -> Iterator[Any]:
    """Batches without end, by a worker process for each core, which hands them over in shared memory."""
    import grain
    from absl import flags

    flags.FLAGS(["grain"], known_only=True)  # its worker processes read the parsed flags of this one
    alone = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)  # the process reads by itself
    dataset = _batches(examples, batch_size).to_iter_dataset(alone)
    return iter(dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=cores)))


def _batches(examples: Examples, batch_size: int) -> Any:
    import grain

    indices = grain.MapDataset.range(len(examples)).seed(0).shuffle().repeat()
    return indices.map(examples.draw).batch(batch_size, drop_remainder=True)


PIPELINES = {"Grain threads": threads, "Grain processes": processes}
