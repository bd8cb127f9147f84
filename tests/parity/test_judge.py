"""From dumps to a finding: made-up dumps, no framework."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcdl.errors import UsageError
from bcdl.parity.dumps import dump_of, relative
from bcdl.parity.findings import WITHIN_ROUNDING
from bcdl.parity.settings import STEPS, UNIT_ROUNDOFF, least_tolerance
from tests.parity.dumps import PLAN, ROUNDING, judged, vectors, write, write_reference

# Of rounding that hides what the last layers give, and not what the first ones do.
HIDING: dict[str, Any] = {
    "whole": {"outputs": 0.6, "training_outputs": 0.6},
    "layers": {"inference_layers": [0.1, 0.1, 0.6], "training_layers": [0.1, 0.6, 0.6]},
}


def verdict(results: Path) -> str:
    """The verdict, whose first words are those of its outcome."""
    pair = judged(results).pairs["jax-torch"]
    first_words = f"within {PLAN.precision} rounding" if pair["outcome"] == WITHIN_ROUNDING else pair["outcome"]
    assert pair["verdict"].startswith(first_words)
    return pair["verdict"]


def test_the_same_bits_are_identical(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    assert verdict(tmp_path) == "identical"


def test_a_small_difference_is_rounding(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": ROUNDING * 0.9})
    write_reference(tmp_path)
    assert verdict(tmp_path) == "within float32 rounding"


def test_a_larger_difference_is_named_by_its_first_layer(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"second": 1e-3, "third": 1e-3})
    write_reference(tmp_path)
    finding = judged(tmp_path)
    assert finding.suspects["torch"]["layer"] == "second"
    assert finding.pairs["jax-torch"]["verdict"].startswith("differs: second (Conv2D, torch), 1.0e-03 relative")


def test_of_wrong_gradients_the_layer_nearest_the_outputs_is_named(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", gradient=1e-2)
    write_reference(tmp_path)
    assert judged(tmp_path).suspects["torch"]["layer"] == "third"


def test_runs_that_drift_apart_faster_than_chaos_differ(tmp_path: Path) -> None:
    draws = [{"weights": {str(step): 1e-3 for step in STEPS}, "loss": {str(step): 0.0 for step in STEPS}}]
    write(tmp_path, "jax", chaos=draws)
    write(tmp_path, "torch", {"third": 1e-8})
    write_reference(tmp_path)
    assert verdict(tmp_path) == "within float32 rounding"
    far = vectors({"third": 1e-8}) | {"weights_5": [("weights", np.full(3, 6.1))]}
    dump = dump_of(tmp_path, PLAN, "torch")
    dump.write(far, dump.facts)
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


@pytest.mark.parametrize(
    ("changes", "what"), [({"start": "other"}, "initial weights"), ({"batches": ["other"]}, "batches")]
)
def test_another_start_or_other_batches_differ(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", **changes)
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
    write_reference(tmp_path, moved_by=0.6)
    assert verdict(tmp_path).startswith("not judged: rounding alone moves outputs and training outputs")


def test_of_what_rounding_hides_the_layers_that_it_does_not_hide_are_judged(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"second": 0.05, "third": 0.3})
    write_reference(tmp_path, **HIDING)
    assert verdict(tmp_path) == (
        "not judged: rounding alone moves outputs and training outputs by more than 50%; what it moves less is within "
        "rounding, in layers 2 of 3 of outputs and 1 of 3 of training outputs"
    )


def test_what_chaos_has_taken_shows_a_fault_only_if_it_is_far_beyond(tmp_path: Path) -> None:
    write_reference(tmp_path, moved_by=0.6)
    write(tmp_path, "jax")
    write(tmp_path, "torch", gradient=0.7)
    assert verdict(tmp_path).startswith("not judged: ")
    write(tmp_path, "torch", gradient=3.0)
    assert verdict(tmp_path).startswith("differs: third (Conv2D, torch)")


def test_a_fault_in_a_layer_that_rounding_does_not_hide_is_named(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"second": 0.2, "third": 0.3})
    write_reference(tmp_path, **HIDING)
    assert verdict(tmp_path).startswith("differs: second (Conv2D, torch), 2.0e-01 relative (rounding: 1.0e-01)")


@pytest.mark.parametrize("precision", UNIT_ROUNDOFF)
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_one_reference_judges_every_precision_and_device(tmp_path: Path, precision: str, device: str) -> None:
    plan = dataclasses.replace(PLAN, precision=precision, device=device)
    allowed = max(ROUNDING, least_tolerance(precision))
    write_reference(tmp_path)
    for name, size in (("jax", 0.9), ("torch", 1.1)):
        write(tmp_path, name, {"second": allowed * size, "third": allowed * size}, of=plan)
    finding = judged(tmp_path, plan)
    assert [*finding.suspects] == ["torch"]
    assert finding.suspects["torch"]["layer"] == "second"
    write(tmp_path, "torch", of=plan)
    assert judged(tmp_path, plan).pairs["jax-torch"]["verdict"] == f"within {precision} rounding"


def test_one_dump_is_not_enough(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    with pytest.raises(UsageError, match="needs the dumps of two backends; there are jax"):
        judged(tmp_path)


def test_dumps_of_other_settings_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", plan={**PLAN.to_dict(), "seed": 1})
    with pytest.raises(UsageError, match="another plan"):
        judged(tmp_path)


def test_dumps_of_another_model_definition_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    dump = dump_of(tmp_path, PLAN, "torch")
    write(tmp_path, "torch")
    dump.write(vectors({}) | {"outputs": [("scores", np.ones(3))]}, dump.facts)
    with pytest.raises(UsageError, match="another model definition: make them anew"):
        judged(tmp_path)


def test_a_reference_of_another_model_definition_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    write_reference(tmp_path, parts={"outputs": [("scores", np.ones(3))]})
    with pytest.raises(UsageError, match="the reference of cnn has vectors of other lengths than its dumps"):
        judged(tmp_path)


_OF_AN_OLDER_BCDL = b'{"start": "a", "food": ["b"], "segments": {}}'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("facts.json", b""),
        ("facts.json", b'{"format": 3, "fa'),
        ("facts.json", _OF_AN_OLDER_BCDL),
        ("facts.json", b"[]"),
        ("outputs.npy", b""),
        ("outputs.npy", b"no array"),
        ("loaded.json", b"{"),
    ],
)
def test_a_dump_that_is_not_whole_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    (dump_of(tmp_path, PLAN, "torch").folder / name).write_bytes(content)
    with pytest.raises(UsageError, match=r"no whole parity dump of this bcdl in .*: make it anew"):
        judged(tmp_path)


def test_layer_checks_that_are_not_there_are_named(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    (dump_of(tmp_path, PLAN, "torch").folder.parent.parent / "layer-checks-torch.json").unlink()
    with pytest.raises(UsageError, match="no layer checks of torch in float32"):
        judged(tmp_path)


def test_relative_differences() -> None:
    assert relative(np.array([3.0, 4.0]), np.array([0.0, 10.0])) == 0.5
    assert relative(np.zeros(2), np.zeros(2)) == 0
    assert relative(np.ones(2), np.zeros(2)) == float("inf")
