"""The tables of utilisation and of what models cost, from records."""

from __future__ import annotations

import dataclasses

import pytest

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


H100 = "NVIDIA H100 80GB HBM3"


def on_gpu(name: str = H100, precision: str = "float32", rate: float = 5.36e13, **environment: object) -> Record:
    """A record of a GPU whose worker measured that rate, operations/s, and 3 TB/s."""
    example = record(device="gpu", precision=precision)
    metrics = {**example.metrics, "product_flops_per_s": rate, "memory_bytes_per_s": 3.015e12}
    facts = {**example.environment, "device": name, "gpus": [name], **environment}
    return dataclasses.replace(example, metrics=metrics, environment=facts)


def said(*records: Record) -> str:
    of = group(*records)
    limit = utilisation.peaks(of)
    assert limit is not None
    return section.text(of, limit)


def test_a_data_sheet_stands_beside_what_was_measured() -> None:
    assert said(on_gpu()).endswith(
        "Data sheet of NVIDIA H100 80GB HBM3 (dense, at boost clock): 67 TFLOP/s in float32, of which 80% were "
        "measured; 3350 GB/s, of which 90% were measured. Source: NVIDIA H100 Tensor Core GPU data sheet, table of "
        "specifications."
    )


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        ("tf32", "494.5 TFLOP/s in tf32, of which 50% were measured"),
        ("mixed_bfloat16", "989.5 TFLOP/s in mixed_bfloat16, of which 25% were measured"),
    ],
)
def test_the_sheets_rate_is_that_of_the_arithmetic_in_use(precision: str, words: str) -> None:
    assert words in said(on_gpu(precision=precision, rate=2.4725e14))


def test_what_a_sheet_does_not_give_is_said() -> None:
    older = on_gpu("Tesla T4")
    older = dataclasses.replace(older, metrics={**older.metrics, "memory_bytes_per_s": None})
    assert "8.1 TFLOP/s in float32" in said(older)
    assert "no figure in GB/s" in said(older)
    assert "no figure in TFLOP/s in tf32" in said(on_gpu("Tesla T4", precision="tf32"))


def test_a_card_without_a_sheet_is_named() -> None:
    assert said(on_gpu("NVIDIA A10G")).endswith("No data sheet known for NVIDIA A10G.")
    assert said(on_gpu("", gpus=[])).endswith("No data sheet known for an unknown GPU.")


def test_a_slice_of_a_card_is_not_the_card() -> None:
    """The driver lists the whole card, the framework the slice that it computes on."""
    text = said(on_gpu(f"{H100} MIG 1g.10gb", gpus=[H100]))
    assert text.endswith("No data sheet known for NVIDIA H100 80GB HBM3 MIG 1g.10gb.")


def test_if_the_framework_names_no_card_the_only_one_there_is_it() -> None:
    assert "67 TFLOP/s" in said(on_gpu("/physical_device:GPU:0", gpus=[H100, H100]))
    assert said(on_gpu("GPU:0", gpus=[H100, "NVIDIA A10"])).endswith("No data sheet known for GPU:0.")


def test_several_cards_have_no_sheet_in_common() -> None:
    one, other = on_gpu(), dataclasses.replace(on_gpu("NVIDIA H200"), cell=record(device="gpu", seed=1).cell)
    text = said(one, other)
    assert text.endswith("several GPUs computed (NVIDIA H100 80GB HBM3, NVIDIA H200).")


def test_a_processor_has_no_data_sheet() -> None:
    assert said(record()).endswith("a processor's gives no rate, and its clock under load is not known.")
