"""The tables of single metrics: what stands in them, and what they must not hide."""

from __future__ import annotations

import dataclasses

from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.report.sections.metrics import METRICS, STARTUP, WARM, metric_entry, metric_table, recordable
from tests.factory import record

ACCURACY = METRICS[0]


def groups(*records: Record) -> list[Group]:
    return group_records([("a-machine", entry) for entry in records])


def shown(*records: Record) -> list[tuple[str, ...]]:
    """The rows of the one group's table of accuracies, as people see them."""
    (group,) = groups(*records)
    return metric_table(group, ACCURACY).shown()


def with_metrics(entry: Record, **metrics: float | None) -> Record:
    return dataclasses.replace(entry, metrics={**entry.metrics, **metrics})


def test_models_go_down_and_backends_across() -> None:
    (group,) = groups(*(record(model=m, backend=b) for b in ("torch", "jax") for m in ("mobilenet", "cnn")))
    table = metric_table(group, ACCURACY)
    assert [column.title for column in table.columns] == ["model", "start", "jax", "torch"]
    assert [row[0] for row in table.shown()] == ["CNN", "MobileNet"]
    assert table.shown()[0][2:] == ("0.750", "0.750")
    assert [entry.value for entry in table.rows[0]] == ["CNN", "random", (0.75,), (0.75,)]


def test_a_rate_stands_under_its_backend_beside_the_parity_of_all() -> None:
    rates = {"jax": 10.0, "torch": 20.0}
    (group,) = groups(
        *(with_metrics(record(backend=backend), step_images_per_s=rate) for backend, rate in rates.items())
    )
    step = next(metric for metric in METRICS if metric.name == "step_images_per_s")
    table = metric_table(group, step)
    assert [column.title for column in table.columns] == ["model", "start", "jax", "torch", "parity"]
    assert table.shown()[0] == ("CNN", "random", "10.0†", "20.0†", "not measured")


def test_each_device_has_its_own_columns_of_memory() -> None:
    def columns(*records: Record) -> list[str]:
        return [row.name for row in recordable(METRICS, records) if "memory" in row.name]

    of_gpu = ["device_peak_memory_mib", "predict_device_peak_memory_mib", "host_peak_memory_mib"]
    assert columns(record()) == ["peak_memory_mib"]
    measured = dataclasses.replace(record(device="gpu"), metrics={"device_peak_memory_mib": 1.0})
    assert columns(measured) == of_gpu
    assert columns(record(device="gpu")) == ["peak_memory_mib", *of_gpu]  # as older schemas recorded it


def test_the_newest_run_of_a_cell_counts() -> None:
    (group,) = groups(record(run="1"), with_metrics(record(run="2"), test_accuracy=0.5))
    assert metric_table(group, ACCURACY).shown()[0][2] == "0.500"


def test_a_later_failure_is_shown_in_its_place() -> None:
    (group,) = groups(record(run="1"), record(run="2", status="out_of_memory"))
    assert metric_table(group, ACCURACY).shown()[0][2] == "out of memory"
    assert len(group.failures) == 1


def test_a_cell_that_was_not_run_says_so() -> None:
    (group,) = groups(record(model="cnn", backend="jax"), record(model="mobilenet", backend="torch"))
    assert metric_table(group, ACCURACY).shown()[0][2:] == ("0.750", "not run")


def test_seeds_give_a_median_with_its_range() -> None:
    values = (0.5, 0.7, 0.6)
    (group,) = groups(*(with_metrics(record(seed=i), test_accuracy=v) for i, v in enumerate(values)))
    assert metric_table(group, ACCURACY).shown()[0][2] == "0.600 (0.500 to 0.700)"


def test_samples_that_never_settled_give_no_median() -> None:
    drifting = record()
    drifting.samples["step_s"] = [0.02, 0.02, 0.04, 0.04]
    drifting.metrics["step_images_per_s"] = 4 / 0.03
    drifting.samples["request_s"] = [0.01, 0.01, 0.02, 0.02]
    drifting.metrics["latency_ms"] = 15.0
    texts = {metric.name: metric_entry([drifting], metric).shown for metric in METRICS}
    assert texts["step_images_per_s"] == "unstable (200.0, then 100.0)"
    assert texts["latency_ms"] == "unstable (10.0, then 20.0)"
    assert texts["predict_images_per_s"] == "480.0"  # too few to tell


def test_a_dirty_tree_is_marked() -> None:
    entry = record()
    dirty = dataclasses.replace(entry, environment={**entry.environment, "dirty": True})
    assert shown(dirty)[0][2] == "0.750*"


def test_a_model_of_two_starts_has_two_lines() -> None:
    (group,) = groups(record(model="mobilenet"), record(model="mobilenet", weights="some.weights.h5"))
    assert [row[:2] for row in metric_table(group, ACCURACY).shown()] == [
        ("MobileNet", "random"),
        ("MobileNet", "file some.weights.h5"),
    ]


def test_hostile_names_stay_inside_their_cell() -> None:
    name = "a|b\n<script>"
    text = metric_table(groups(record(model=name))[0], ACCURACY).to_markdown()
    assert "<script>" not in text
    assert "a&#124;b &lt;script&gt;" in text


def test_of_how_many_a_figure_is_stands_beside_it() -> None:
    undefined = with_metrics(record(seed=2), test_accuracy=None)
    records = [record(seed=0), record(seed=1), undefined, record(seed=0, backend="jax")]
    records += [record(seed=seed, backend="tensorflow", status="failed" if seed else "ok") for seed in range(2)]
    (row,) = shown(*records)
    assert row[2:] == ("0.750, 1 of 3", "failed (1 of 3)", "0.750 (0.750 to 0.750), 2 of 3")


def test_a_value_is_not_lost_if_it_is_not_a_number() -> None:
    undefined = with_metrics(record(), test_accuracy=float("nan"))
    assert shown(undefined)[0][2] == "not measured"
    drifting = with_metrics(record(), step_images_per_s=None)
    drifting.samples["step_s"] = [0.02, 0.02, 0.04, 0.04]
    (step,) = (metric for metric in METRICS if metric.name == "step_images_per_s")
    assert metric_entry([drifting], step).shown == "not measured"


def test_a_first_step_from_a_warm_cache_never_stands_among_cold_ones() -> None:
    cold, warm = record(backend="jax"), record(backend="tensorflow")
    seconds = warm.metrics.pop("first_step_s")
    (group,) = groups(cold, with_metrics(warm, warm_first_step_s=seconds))
    first_step = next(metric for metric in METRICS if metric.name == "first_step_s")
    assert metric_table(group, first_step).shown()[0][2:] == ("1.5", "warm cache")
    assert metric_table(group, WARM[0]).shown()[0][2:] == ("not measured", "1.5")


def test_what_has_another_name_in_a_warm_cell_has_a_table_under_it() -> None:
    compiling = {metric.name for metric in (*METRICS, *STARTUP) if metric.of_compiling}
    assert {metric.name for metric in WARM} == {f"warm_{name}" for name in compiling}


STEP = next(metric for metric in METRICS if metric.name == "step_images_per_s")
FIT = next(metric for metric in METRICS if metric.name == "fit_images_per_s")


def disturbed(entry: Record, regime: str = "step", **readings: float) -> Record:
    seen = {"wall_s": 10.0, "machine_s": 20.0, "others_s": 8.0, **readings}
    return dataclasses.replace(entry, environment={**entry.environment, "disturbance": {regime: seen}})


def test_samples_that_spread_widely_give_no_median() -> None:
    spread = record()
    spread.samples["step_s"] = [0.02, 0.04, 0.02, 0.04]
    spread.metrics["step_images_per_s"] = 4 / 0.03
    assert metric_entry([spread], STEP).shown == "unstable (100.0 to 200.0)"


def test_a_rate_of_a_disturbed_machine_is_marked_and_the_table_says_why() -> None:
    (group,) = groups(disturbed(record()), record(model="mobilenet"))
    table = metric_table(group, STEP)
    assert [row[2] for row in table.shown()] == ["120.0!", "120.0"]
    note = "! other processes were busy: CNN on torch (40% of the processors' time)"
    assert table.notes == (note,)
    assert table.to_markdown().endswith(f"\n\n- {note}")
    assert metric_table(group, FIT).notes == ()
    assert metric_table(group, ACCURACY).shown()[0][2] == "0.750"


def test_a_fit_of_one_epoch_is_marked() -> None:
    single = record()
    single.samples["fit_s"] = [0.25]
    (group,) = groups(single)
    table = metric_table(group, FIT)
    assert table.shown()[0][2] == "100.0!"
    assert table.notes == ("! it is of one sample: CNN on torch (6 steps, one epoch)",)


def test_a_mark_counts_the_seeds_that_it_is_about() -> None:
    (group,) = groups(*(disturbed(record(seed=seed)) if seed else record(seed=seed) for seed in range(3)))
    table = metric_table(group, STEP)
    assert table.shown()[0][2] == "120.0 (120.0 to 120.0)!"
    assert table.notes == ("! other processes were busy: CNN on torch (2 of 3: 40% of the processors' time)",)


def test_an_unstable_rate_of_a_disturbed_machine_is_marked_too() -> None:
    spread = disturbed(record())
    spread.samples["step_s"] = [0.02, 0.04, 0.02, 0.04]
    assert metric_entry([spread], STEP).shown.startswith("unstable (")
    assert metric_entry([spread], STEP).shown.endswith(")!")
