"""What of a record is stored: no path, no user and no host, and no name of a patient unless that was asked for."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bcdl.datasets.leaks import Leaks
from bcdl.datasets.private import HASHED, KEPT, Private
from bcdl.records.record import Record
from bcdl.settings.job import Job
from bcdl.text import scrub


def scrubbed(record: Record, job: Job, results: Path) -> Record:
    """The record without paths in any of its sentences."""
    folders = [str(results), *(path for path in (job.data, job.weights_file, job.labels_file, job.pool) if path)]
    folders = [folder for folder in folders if os.path.dirname(folder)]

    def clean(text: str) -> str:
        return scrub(text, folders)

    def clean_with_names(text: str) -> str:
        return scrub(text, folders, relative=False)

    return _with_texts(record, clean, clean_with_names)


def hidden(record: Record, private: Private) -> Record:
    """The record with hashes for the names of images and groups; `private` is that of its data set."""
    record = _with_texts(record, lambda text: private.hide(text, quoted=False), private.hide)
    predictions = {
        split: {**columns, **{part: list(map(private.hashed, columns[part])) for part in ("groups", "names")}}
        for split, columns in record.predictions.items()
    }
    return dataclasses.replace(record, predictions=predictions)


@dataclasses.dataclass(frozen=True)
class Marks:
    """What a run found of a job's data, for the job's record.

    Attributes:
        data_checksum: of the data set that was looked at.
        leaks: what a record says of its leaks, names hashed unless they may be told.
        private: hides names of images and patients; None if they may be told.
    """

    data_checksum: str
    leaks: Mapping[str, Any]
    private: Private | None

    @classmethod
    def of(cls, checksum: str, leaks: Leaks, private: Private | None) -> Marks:
        shown = leaks.renamed(private.hashed) if private else leaks
        return cls(checksum, shown.facts(), private)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for a process that runs the job elsewhere; they hold what hides the names."""
        private = self.private
        names = private and {"key": private.key, "names": sorted(private.names), "public": sorted(private.public)}
        return {"data_checksum": self.data_checksum, "leaks": self.leaks, "private": names}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Marks:
        names = values["private"]
        private = names and Private(names["key"], frozenset(names["names"]), frozenset(names["public"]))
        return cls(values["data_checksum"], values["leaks"], private)


def marked(record: Record, job: Job, results: Path, marks: Marks | None) -> Record:
    """The record as it is stored: names hidden, no path in a sentence, marked with the leaks of its data.

    The leaks are those of the data that was looked at, and no record of other data is marked with them.
    """
    if marks and marks.private:
        record = hidden(record, marks.private)
    record = scrubbed(record, job, results)
    checksum = record.dataset.get("checksum")
    if marks and checksum and checksum == marks.data_checksum:
        facts = {**record.dataset, "leaks": marks.leaks, "names": HASHED if marks.private else KEPT}
        record = dataclasses.replace(record, dataset=facts)
    return record


def with_sentences(record: Record, clean: Callable[[str], str]) -> Record:
    """The record with every sentence cleaned."""
    return _with_texts(record, clean, clean)


def _with_texts(record: Record, clean: Callable[[str], str], of_data: Callable[[str], str]) -> Record:
    """The record with every sentence cleaned; those about the data, which may name images on purpose, by `of_data`."""
    return dataclasses.replace(
        record,
        reason=clean(record.reason),
        log_tail=clean("\n".join(record.log_tail)).split("\n") if record.log_tail else [],
        dataset=_cleaned_dataset(record.dataset, of_data),
        environment=_cleaned(record.environment, clean, ("notes",)),
    )


def _cleaned_dataset(dataset: Mapping[str, Any], clean: Callable[[str], str]) -> dict[str, Any]:
    facts = _cleaned(dataset, clean, ("notices",))
    if left_out := dataset.get("source", {}).get("left_out"):
        facts["source"] = {**facts["source"], "left_out": {clean(kind): count for kind, count in left_out.items()}}
    return facts


def _cleaned(facts: Mapping[str, Any], clean: Callable[[str], str], names: tuple[str, ...]) -> dict[str, Any]:
    """The facts with each sentence of the lists of these names cleaned."""
    return {**facts, **{name: list(map(clean, facts[name])) for name in names if name in facts}}
