"""A study of stand-in cells that a cluster runs, and what its records say."""

from __future__ import annotations

from pathlib import Path

from bcdl.records import store
from bcdl.records.record import Record

STUDY = """
data = "synthetic-48"
device = "cpu"
profile = "smoke"
image-size = 32

[[matrix]]
backends = ["torch"]
models = ["cnn"]
seed = [{seeds}]
"""


class ClusterStudy:
    """A study of a cell for each of some seeds.

    Attributes:
        folder: has the study's file, and the results.
    """

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "study.toml"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def write_file(self, seeds: int, text: str = STUDY) -> None:
        """Write the study's file, of a cell for each of so many seeds."""
        self.file.write_text(text.format(seeds=", ".join(map(str, range(seeds)))), encoding="utf-8")

    def records(self) -> list[Record]:
        """All records, each of which can be read."""
        records, problems = store.read_all(self.results)
        assert problems == []
        return [record for _, record in records]

    def statuses(self) -> dict[int, str]:
        """The status of each cell by its seed; no cell has two records."""
        records = self.records()
        by_seed = {record.cell.seed: record.status for record in records}
        assert len(by_seed) == len(records)
        return by_seed

    def reason(self, seed: int) -> str:
        (record,) = (record for record in self.records() if record.cell.seed == seed)
        return record.reason
