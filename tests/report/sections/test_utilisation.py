"""The tables of utilisation and of what models cost, from records."""

from __future__ import annotations

import dataclasses

from bcdl.evaluation import utilisation
from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.report.sections import utilisation as section
from tests.factory import record


def group(*records: Record) -> Group:
    (group,) = group_records([("m", entry) for entry in records])
    return group


def test_utilisation_is_the_models_operations_over_the_best_peak() -> None:
    better = record(backend="jax")
    better = dataclasses.replace(better, metrics={**better.metrics, "product_flops_per_s": 2e11})
    both = group(record(), better)
    step, predict = section.utilisation_tables(both, utilisation.peaks(both))
    # 120 images/s of 233 MFLOP, 480 of 81, over 200 GFLOP/s.
    assert step.shown() == [("CNN", "random", "14.0", "14.0")]
    assert predict.shown() == [("CNN", "random", "19.4", "19.4")]


def test_costs_are_given_for_one_image() -> None:
    costs = section.cost_table(group(record()))
    assert costs.shown() == [("CNN", "random", "0.081", "0.233", "0.381", "1.91")]


def test_what_was_not_counted_is_said() -> None:
    old = dataclasses.replace(record(backend="jax"), model={})
    both = group(record(), old)
    step, _ = section.utilisation_tables(both, utilisation.peaks(both))
    assert step.shown() == [("CNN", "random", "not measured", "28.0")]
    assert utilisation.peaks(group(dataclasses.replace(record(), metrics={}))) is None
