"""Made-up sources of a page to explore: records of all kinds that it shows, and the committed findings of parity."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bcdl.parity import findings
from bcdl.records.record import Record
from bcdl.report.sources import Sources
from tests import factory
from tests.conftest import ROOT

MACHINE, RUN = "amd-epyc-2-cores", "20260101T000000Z-0000"
RATES = {"jax": 100.0, "tensorflow": 50.0, "torch": 25.0}
ROUNDS = 6


def in_turn(**changes: Any) -> list[Record]:
    """Records of the CNN on three backends, a side each, in so many rounds."""
    return [
        dataclasses.replace(of_round(backend, rate, number, **changes), block=f"{RUN}/{number}", side="abc"[place])
        for place, (backend, rate) in enumerate(RATES.items())
        for number in range(ROUNDS)
    ]


def of_round(backend: str, rate: float, number: int, **changes: Any) -> Record:
    noise = np.exp(np.random.default_rng(number).normal(0, 0.01))
    made = factory.record(run=RUN, backend=backend, **changes)
    return factory.with_rates(made, fit=rate, step=float(rate * noise), predict=4 * rate)


def one_after_another(seeds: int = 2) -> list[Record]:
    """Records of two models with predictions, enough of them for a ROC curve, and one that failed."""
    kept = [
        factory.with_predictions(
            factory.record(backend=backend, seed=seed, model=model, data="busi"), predictions(seed, backend, model)
        )
        for model in ("cnn", "mobilenet")
        for backend in RATES
        for seed in range(seeds)
    ]
    for record in kept:
        record.dataset["synthetic"] = False
    return [*kept, factory.record(status="failed", backend="jax", model="resnet50", data="busi")]


def predictions(seed: int, *names_of_model: str, images: int = 40) -> dict[str, dict[str, list[Any]]]:
    draws = np.random.default_rng([seed, *(ord(letter) for name in names_of_model for letter in name)])
    labels = np.arange(images) % 2
    scores = np.clip(0.5 + 0.2 * (labels - 0.5) + draws.normal(0, 0.2, images), 0.01, 0.99)
    outputs = np.stack([1 - scores, scores], axis=1).round(6)
    names = [f"image-{number}" for number in range(images)]
    columns = {"names": names, "groups": names, "labels": labels.tolist(), "outputs": outputs.tolist()}
    return {"test": columns}


def sources(*more: Record, machine: str = MACHINE) -> Sources:
    """All of them on one machine, and `more`."""
    records = [*one_after_another(), *in_turn(), *more]
    known, _ = findings.read_findings(ROOT / "results")
    return Sources([(machine, record) for record in records], known, [], [])
