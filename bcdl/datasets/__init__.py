"""Data sets: named uint8 images, labels and patient groups, in train, val and test splits.

source -> `Pool` (all its images) -> split -> `Dataset`; a source is a module of `bcdl.datasets.sources`.
"""

from bcdl.datasets.dataset import Dataset, LabelsTable, Request, Split
from bcdl.datasets.loading import is_name, load, loader, name_of, read_pool, split_pool
from bcdl.datasets.pool import LABELS, SPLITS, Pool

__all__ = [
    "LABELS",
    "SPLITS",
    "Dataset",
    "LabelsTable",
    "Pool",
    "Request",
    "Split",
    "is_name",
    "load",
    "loader",
    "name_of",
    "read_pool",
    "split_pool",
]
