"""Parity on the backend of this process: layer types against NumPy, equal food, and planted faults found."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.parity import judge, known_differences
from bcdl.parity.dumps import dump_of, units_of
from bcdl.parity.settings import REFERENCE, Plan

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
network = pytest.importorskip("bcdl.worker.network")
dump = pytest.importorskip("bcdl.parity.worker.dump")
trunk = pytest.importorskip("bcdl.parity.worker.instrumented")
units = pytest.importorskip("bcdl.parity.worker.layer_checks")
determinism = pytest.importorskip("bcdl.parity.worker.determinism")
checkpoints = pytest.importorskip("bcdl.parity.worker.checkpoints")

ROOT = Path(__file__).resolve().parents[2]
PLAN = Plan("cnn", image_size=32, batch_size=4, seed=0, precision="float32", device="cpu", draws=0)
# SHA-256 of the first two epochs' images and labels at 32 pixels, batch 4, seed 0: the same on every backend.
FOOD = [
    "46e9cb9f55fc2ec1146ade84121fc562bac80bb4588a28573de40797b8169499",
    "c61d4fe324978fdc444845650470429e74b376839a14e17697b0c421bd06d84e",
]


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    yield
    keras.backend.clear_session()


@pytest.fixture(scope="module")
def adapter() -> backends.Backend:
    loaded = backends.load(keras.backend.backend())
    loaded.configure("cpu", "float32")
    return loaded


def test_layer_types_agree_with_numpy_save_where_a_difference_is_known() -> None:
    beyond = {name for name, error in units.check().items() if not error <= units.FLOAT32_TOLERANCE}
    if not units.optimizer_is_portable():
        beyond.add(known_differences.OPTIMIZER_IN_A_FILE)
    expected = {row.unit for row in known_differences.KNOWN if row.backend == keras.backend.backend()}
    assert beyond == expected, "a new difference needs a row in known.py; one that is gone, none"


def test_only_sound_float64_gives_a_reference(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bcdl.parity", "reference", "--models", "cnn", "--image-size", "32"]
    done = subprocess.run(
        [*command, "--draws", "1", "--results", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    plan = Plan("cnn", 32, 4, 0, "float32", "cpu", 1)
    sound = dump_of(tmp_path, plan, REFERENCE).exists
    assert sound == ("no reference from" not in done.stdout)
    assert sound == (keras.backend.backend() not in known_differences.UNSOUND_FLOAT64)
    if sound:
        assert dump_of(tmp_path, plan, REFERENCE).facts["gradient_check"] < 1e-6


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def clean(results: Path, adapter: backends.Backend) -> dict[str, Any]:
    """The facts of a dump of the CNN as it is; it also stands in for the reference, with rounding of 1e-6."""
    found = dump_of(results, PLAN, "jax")
    dump.dump(PLAN, adapter, found, perturbed=False)
    facts, reference = found.facts, dump_of(results, PLAN, REFERENCE)
    parts = {name: _parts(found, name) for name in facts["segments"]}
    rounding = {
        "loss": 1e-6,
        "whole": dict.fromkeys(parts, 1e-6),
        "parts": {name: [1e-6] * len(named) for name, named in parts.items()},
    }
    stands_in = {"backend": "jax", "worst_unit": 0.0, "gradient_check": 0.0, "loss": facts["losses"][0]}
    reference.write(parts, {**facts, **stands_in, "rounding": rounding})
    for name in ("jax", "torch"):
        units_of(results, PLAN.precision, name).write_text("{}")
    return facts


def _parts(found: Any, name: str) -> list[tuple[str, np.ndarray]]:
    names, sizes = zip(*found.facts["segments"][name], strict=True)
    return list(zip(names, np.split(found.vector(name), np.cumsum(sizes)[:-1]), strict=True))


def test_every_backend_is_fed_the_same_bytes(clean: dict[str, Any]) -> None:
    assert clean["food"] == FOOD


def test_a_model_agrees_with_itself(results: Path, clean: dict[str, Any], adapter: backends.Backend) -> None:
    dump.dump(PLAN, adapter, dump_of(results, PLAN, "torch"), perturbed=False)
    found = judge.join(results, PLAN, "run")
    assert found.pairs["jax-torch"]["verdict"] in ("identical", "within float32 rounding")
    assert found.suspects == {}


def test_settled_outputs_depend_on_the_image(results: Path, clean: dict[str, Any]) -> None:
    outputs = dump_of(results, PLAN, "jax").vector("outputs").reshape(-1, 2)
    assert np.ptp(outputs, axis=0).min() > 1e-3
    assert 0.01 < outputs.min() < outputs.max() < 0.99, "nearly 0 or 1, scores hide differences"


def _wrong_side(layer: Any) -> None:
    """Pads on the other side of the map: every window is a pixel off."""
    right = layer.call
    layer.call = lambda maps: keras.ops.roll(right(maps), 1, axis=1)


def _transposed(layer: Any) -> None:
    layer.call = lambda maps: keras.ops.relu(
        keras.ops.conv(maps, keras.ops.transpose(layer.kernel, (1, 0, 2, 3)), padding=layer.padding) + layer.bias
    )


def _wrong_momentum(layer: Any) -> None:
    layer.momentum = 0.9


def _wrong_epsilon(layer: Any) -> None:
    layer.epsilon = 1e-2


@pytest.mark.parametrize(
    ("layer", "plant"),
    [
        ("head_pool32", _wrong_side),
        ("head_conv32", _transposed),
        ("head_norm", _wrong_momentum),
        ("head_norm", _wrong_epsilon),
    ],
)
def test_a_planted_fault_is_named_by_its_layer(
    results: Path,
    clean: dict[str, Any],
    adapter: backends.Backend,
    monkeypatch: pytest.MonkeyPatch,
    layer: str,
    plant: Callable[[Any], None],
) -> None:
    sound = network.build

    def faulty(*arguments: Any) -> Any:
        model = sound(*arguments)
        plant(model.get_layer(layer))
        return model

    monkeypatch.setattr(network, "build", faulty)
    dump.dump(PLAN, adapter, dump_of(results, PLAN, "torch"), perturbed=False)
    found = judge.join(results, PLAN, "run")
    assert found.suspects["torch"]["layer"] == layer
    assert found.pairs["jax-torch"]["verdict"].startswith(f"differs: {layer} (")


def test_a_checkpoint_comes_back_with_its_optimizer(results: Path, clean: dict[str, Any]) -> None:
    opened = trunk.build(PLAN)
    files = {"a": dump_of(results, PLAN, "jax").checkpoint, "b": dump_of(results, PLAN, "jax").checkpoint}
    loaded = checkpoints.load_all(files, checkpoints.next_batch(opened))
    for found in loaded.values():
        assert found["state"] == clean["resumed"]["state"]
        assert np.allclose(found["outputs"], clean["resumed"]["outputs"], atol=1e-6)
        assert np.isclose(found["resumed_loss"], clean["resumed"]["resumed_loss"], atol=1e-5)


def test_a_model_is_the_same_by_whatever_names_keras_counted_on(results: Path, clean: dict[str, Any]) -> None:
    trunk.build(PLAN)  # uses up names
    again, other = results / "again.keras", results / "other.keras"
    for plan, file in ((PLAN, again), (dataclasses.replace(PLAN, image_size=40), other)):
        opened = trunk.build(plan)
        checkpoints.save(opened, trunk.Snapshot(opened.model), file)
    files = {"first": dump_of(results, PLAN, "jax").checkpoint, "again": again, "other": other}
    loaded = checkpoints.load_all(files, checkpoints.next_batch(trunk.build(PLAN)))
    assert loaded["again"]["state"] == loaded["first"]["state"]
    assert loaded["other"] == {"error": "another model definition"}


def test_a_backend_made_deterministic_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(determinism, "ROUNDS", 1)
    found = determinism.cost(PLAN)
    assert found["repeats"]
    assert found["ratio"] > 0
    assert [len(times) for times in found["steps_s"].values()] == [1, 1]


def test_repeatability_needs_exchanged_checkpoints(results: Path, clean: dict[str, Any]) -> None:
    exchanged = dump_of(results, PLAN, "jax")
    with pytest.raises(UsageError, match="run step exchange first"):
        determinism.is_repeatable(exchanged, "tensorflow")
    exchanged.write_loaded({"jax": clean["resumed"]})
    assert determinism.is_repeatable(exchanged, "jax") == clean["repeats_itself"]
    exchanged.write_loaded({"jax": {**clean["resumed"], "resumed_loss": -1.0}})
    assert not determinism.is_repeatable(exchanged, "jax")
