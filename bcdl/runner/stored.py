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


def with_leaks(record: Record, leaks: Leaks, private: Private | None) -> Record:
    """The record with what is known of its data's leaks, their names hashed unless they may be told."""
    shown = leaks.renamed(private.hashed) if private else leaks
    facts = {**record.dataset, "leaks": shown.facts(), "names": HASHED if private else KEPT}
    return dataclasses.replace(record, dataset=facts)


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
