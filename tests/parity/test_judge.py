"""From dumps to verdicts, and what the report makes of them: made-up dumps, no framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcdl.errors import UsageError
from bcdl.parity import findings, judge
from bcdl.parity.dumps import dump_of, relative, units_of
from bcdl.parity.findings import Finding, append_finding, read_findings
from bcdl.parity.settings import REFERENCE, STEPS, Plan
from bcdl.parity.verdicts import NEVER_MEASURED, Verdicts
from bcdl.records.groups import group_records
from bcdl.report import page as report
from bcdl.report import tables
from bcdl.report.sections.metrics import METRICS, metric_table
from bcdl.report.tables import Table
from tests.factory import record

PLAN = Plan("cnn", image_size=32, batch_size=4, seed=0, precision="float32", device="cpu", draws=1)
LAYERS = ("first", "second", "third")
ROUNDING = 1e-5
ENVIRONMENT = {"versions": {"keras": "3.15.1"}}


def vectors(layers: dict[str, float], gradient: float = 0.0) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Vectors of ones, the layers named in `layers` (and the gradient) off by a share."""
    walk = [(name, np.full(4, 1 + layers.get(name, 0.0))) for name in LAYERS]
    off = layers.get(LAYERS[-1], 0.0)
    found = {
        "pixels": [("preprocess", np.ones(4))],
        "outputs": [("scores", np.full(2, 1 + off))],
        "inference_layers": walk,
        "training_layers": walk,
        "training_outputs": walk[-1:],
        "frozen_gradient": [(f"net/{name}/kernel", np.ones(2)) for name in LAYERS],
        "gradient": [(f"net/{name}/kernel", np.full(2, 1 + gradient)) for name in LAYERS],
        "statistics": [("net/second/moving_mean", np.ones(2))],
    }
    return found | {f"weights_{step}": [("weights", np.full(3, 1.0 + step))] for step in (0, *STEPS)}


def write(results: Path, backend: str, layers: dict[str, float] | None = None, **changes: Any) -> None:
    resumed = {"state": "s", "outputs": [[0.5, 0.5]], "resumed_loss": 0.7, "resumed_outputs": [[0.4, 0.6]]}
    facts = {
        "start": "a",
        "food": ["b"],
        "settled": "c",
        "losses": [0.7] * max(STEPS),
        "repeats_itself": True,
        "steps_s": 1.0,
        "chaos": [],
        "resumed": resumed,
        "layers": dict.fromkeys(LAYERS, "Conv2D"),
        "plan": PLAN.to_dict(),
        "dataset": {"name": "synthetic-72", "checksum": "d" * 64},
        "started": "t0",
        "ended": "t1",
        "environment": ENVIRONMENT,
    }
    dump = dump_of(results, PLAN, backend)
    dump.write(vectors(layers or {}, changes.pop("gradient", 0.0)), facts | changes)
    dump.write_loaded({backend: {**resumed, "loads_as_it_is": True}})
    units_of(results, PLAN.precision, backend).write_text('{"Conv2D": 1e-8}')


def write_reference(results: Path, rounding: float = ROUNDING) -> None:
    parts = vectors({})
    moved = {
        "loss": rounding,
        "whole": dict.fromkeys(parts, rounding),
        "parts": {name: [rounding] * len(named) for name, named in parts.items()},
    }
    facts = {
        "backend": "tensorflow",
        "worst_unit": 1e-15,
        "gradient_check": 1e-8,
        "settled": "c",
        "loss": 0.7,
        "rounding": moved,
        "plan": PLAN.to_dict(),
        "environment": ENVIRONMENT,
    }
    dump_of(results, PLAN, REFERENCE).write(parts, facts)


def joined(results: Path) -> Finding:
    return judge.join(results, PLAN, "20260101T000000Z-0000")


def verdict(results: Path) -> str:
    return str(joined(results).pairs["jax-torch"]["verdict"])


def test_the_same_bits_are_identical(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    assert verdict(tmp_path) == "identical"


def test_a_small_difference_is_rounding(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": ROUNDING * 0.9})
    write_reference(tmp_path)
    assert verdict(tmp_path) == "within float32 rounding"


def test_a_larger_one_differs_and_is_named_by_its_first_layer(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"second": 1e-3, "third": 1e-3})
    write_reference(tmp_path)
    found = joined(tmp_path)
    assert found.suspects["torch"]["layer"] == "second"
    assert found.pairs["jax-torch"]["verdict"].startswith("differs: second (Conv2D, torch), 1.0e-03 relative")


def test_of_wrong_gradients_the_layer_nearest_the_outputs_is_named(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", gradient=1e-2)
    write_reference(tmp_path)
    assert joined(tmp_path).suspects["torch"]["layer"] == "third"


def test_runs_that_drift_apart_faster_than_chaos_differ(tmp_path: Path) -> None:
    draws = [{"weights": {str(step): 1e-3 for step in STEPS}, "loss": {str(step): 0.0 for step in STEPS}}]
    write(tmp_path, "jax", chaos=draws)
    write(tmp_path, "torch", {"third": 1e-8})
    write_reference(tmp_path)
    assert verdict(tmp_path) == "within float32 rounding"
    far = vectors({"third": 1e-8}) | {"weights_5": [("weights", np.full(3, 6.1))]}
    dump = dump_of(tmp_path, PLAN, "torch")
    dump.write(far, {key: value for key, value in dump.facts.items() if key != "segments"})
    assert verdict(tmp_path).startswith("differs: weights after 5 steps")


def test_nan_is_no_rounding(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": float("nan")})
    write_reference(tmp_path)
    assert verdict(tmp_path).startswith("differs: third")


def test_without_a_reference_nothing_is_judged(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8})
    assert verdict(tmp_path) == "not judged: no float64 reference"


@pytest.mark.parametrize(("key", "what"), [("start", "initial weights"), ("food", "batches")])
def test_another_start_or_food_differs(tmp_path: Path, key: str, what: str) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", **{key: "other"})
    assert verdict(tmp_path) == f"differs: {what}"


def test_batch_norms_settled_otherwise_are_not_judged(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8}, settled="other")
    write_reference(tmp_path)
    assert verdict(tmp_path) == "not judged: rounding settled the batch norms on other powers of two"


def test_a_fault_before_them_is_named_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"second": 1e-3, "third": 1e-3}, settled="other")
    write_reference(tmp_path)
    assert verdict(tmp_path).startswith("differs: second (Conv2D, torch)")


def test_a_tolerance_that_could_hide_a_fault_is_no_proof(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8})
    write_reference(tmp_path, rounding=0.6)
    assert verdict(tmp_path).startswith("not judged: rounding alone moves outputs and training outputs")


def test_one_dump_is_not_enough(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    with pytest.raises(UsageError, match="needs the dumps of two backends; there are jax"):
        joined(tmp_path)


def test_dumps_of_other_settings_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", plan={**PLAN.to_dict(), "seed": 1})
    with pytest.raises(UsageError, match="another plan"):
        joined(tmp_path)


def test_a_finding_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8})
    write_reference(tmp_path)
    found = joined(tmp_path)
    append_finding(tmp_path, "a-machine", found)
    assert read_findings(tmp_path) == [("a-machine", found)]


def test_a_torn_finding_is_named(tmp_path: Path) -> None:
    folder = tmp_path / findings.PARITY / "a-machine"
    folder.mkdir(parents=True)
    (folder / "run.jsonl").write_text('{"schema": 1, "run"')
    with pytest.raises(UsageError, match=r"run\.jsonl, line 1"):
        read_findings(tmp_path)


def test_relative_differences() -> None:
    assert relative(np.array([3.0, 4.0]), np.array([0.0, 10.0])) == 0.5
    assert relative(np.zeros(2), np.zeros(2)) == 0
    assert relative(np.ones(2), np.zeros(2)) == float("inf")


def fit_table(*findings: Finding) -> Table:
    """The fit rates of a record on each of two backends, beside these findings."""
    verdicts = Verdicts([("a-machine", one) for one in findings])
    (group,) = group_records([("a-machine", record(backend=backend)) for backend in ("jax", "torch")], verdicts)
    (fit,) = (metric for metric in METRICS if metric.name == "fit_images_per_s")
    return metric_table(group, fit)


def fit_rates(*findings: Finding) -> tuple[str, ...]:
    """Their row, as people see it."""
    return fit_table(*findings).shown()[0]


def test_a_rate_without_parity_is_marked() -> None:
    assert fit_rates()[2:] == ("100.0†", "100.0†", "not measured")
    assert tables.to_csv([fit_table()]).splitlines()[1] == "Fit rate (images/s),CNN,random,100.0,100.0,not measured"


def test_a_rate_whose_parity_failed_is_marked_with_the_layer(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"second": 1e-3, "third": 1e-3})
    write_reference(tmp_path)
    *rates, parity = fit_rates(joined(tmp_path))
    assert rates[2:] == ["100.0‡", "100.0‡"]
    assert parity.startswith("differs: second (Conv2D, torch)")


def test_a_rate_with_parity_is_not_marked_and_the_section_is_drawn(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8})
    write_reference(tmp_path)
    assert fit_rates(joined(tmp_path))[2:] == ("100.0", "100.0", "within float32 rounding")
    append_finding(tmp_path, "a-machine", joined(tmp_path))
    report.build(tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "- tf32: not run on this machine: TF32 is arithmetic of NVIDIA GPUs" in page
    assert "## Parity: float32, 32x32, batch 4" in page
    assert {file.stem for file in tmp_path.glob("plots/parity-*/*.png")} == {"parity_reference", "parity_steps"}
    assert len(list(tmp_path.glob("tables/parity-*.csv"))) == 6


def test_a_verdict_of_another_size_says_so(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    verdicts = Verdicts([("a-machine", joined(tmp_path))])
    larger = [record(backend=backend, image_size=96) for backend in ("jax", "torch")]
    assert verdicts.of("a-machine", *larger) == "identical at 32x32"
    assert verdicts.mark("a-machine", larger[:1], larger) == ""


def test_parity_of_other_versions_or_another_machine_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    verdicts = Verdicts([("a-machine", joined(tmp_path))])
    one, other = record(backend="jax"), record(backend="torch")
    assert verdicts.of("a-machine", one, other) == "identical"
    assert verdicts.of("another", one, other) == NEVER_MEASURED
    newer = record(backend="torch")
    newer.environment["versions"] = {"keras": "3.16.0"}
    assert verdicts.of("a-machine", one, newer) == NEVER_MEASURED
