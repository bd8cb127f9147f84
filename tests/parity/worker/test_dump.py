"""Dumps on the backend of this process: equal batches, planted faults that are named, checkpoints, determinism."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.parity.dumps import BackendFacts, Dump, Parts, ReferenceFacts, dump_of, reference_of, write_layer_checks
from bcdl.parity.judge import judge
from bcdl.parity.settings import Plan

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
network = pytest.importorskip("bcdl.worker.network")
dump = pytest.importorskip("bcdl.parity.worker.dump")
instrumented = pytest.importorskip("bcdl.parity.worker.instrumented")
determinism = pytest.importorskip("bcdl.parity.worker.determinism")
checkpoints = pytest.importorskip("bcdl.parity.worker.checkpoints")

PLAN = Plan("cnn", image_size=32, batch_size=4, seed=0, precision="float32", device="cpu", draws=0)
# SHA-256 of the first two epochs' images and labels at 32 pixels, batch 4, seed 0: the same on every backend.
BATCHES = [
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


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def clean(results: Path, adapter: backends.Backend) -> BackendFacts:
    """The facts of a dump of the CNN as it is; it also stands in for the reference, with rounding of 1e-6."""
    dumped = dump_of(results, PLAN, "jax")
    dump.dump(PLAN, adapter, dumped, perturbed=False)
    facts = dumped.facts
    parts = {name: _parts(dumped, name) for name in dumped.segments}
    reference: ReferenceFacts = {
        "plan": facts["plan"],
        "dataset": facts["dataset"],
        "started": facts["started"],
        "ended": facts["ended"],
        "environment": facts["environment"],
        "settled": facts["settled"],
        "backend": "jax",
        "worst_layer_check": 0.0,
        "gradient_check": 0.0,
        "loss": facts["losses"][0],
        "rounding": {
            "loss": 1e-6,
            "whole": dict.fromkeys(parts, 1e-6),
            "parts": {name: [1e-6] * len(named) for name, named in parts.items()},
        },
    }
    reference_of(results, PLAN).write(parts, reference)
    for name in ("jax", "torch"):
        write_layer_checks(results, PLAN.precision, name, {})
    return facts


def _parts(dumped: Dump[BackendFacts], name: str) -> Parts:
    names, sizes = zip(*dumped.segments[name], strict=True)
    return list(zip(names, np.split(dumped.vector(name), np.cumsum(sizes)[:-1]), strict=True))


def test_every_backend_is_given_the_same_bytes(clean: BackendFacts) -> None:
    assert clean["batches"] == BATCHES


def test_a_model_agrees_with_itself(results: Path, clean: BackendFacts, adapter: backends.Backend) -> None:
    dump.dump(PLAN, adapter, dump_of(results, PLAN, "torch"), perturbed=False)
    finding = judge(results, PLAN, "run")
    assert finding.pairs["jax-torch"]["verdict"] in ("identical", "within float32 rounding")
    assert finding.suspects == {}


def test_settled_outputs_depend_on_the_image(results: Path, clean: BackendFacts) -> None:
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
    clean: BackendFacts,
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
    finding = judge(results, PLAN, "run")
    assert finding.suspects["torch"]["layer"] == layer
    assert finding.pairs["jax-torch"]["verdict"].startswith(f"differs: {layer} (")


def test_a_checkpoint_comes_back_with_its_optimizer(results: Path, clean: BackendFacts) -> None:
    subject = instrumented.build(PLAN)
    files = {"a": dump_of(results, PLAN, "jax").checkpoint, "b": dump_of(results, PLAN, "jax").checkpoint}
    loaded = checkpoints.load_all(files, checkpoints.next_batch(subject))
    for resumed in loaded.values():
        assert resumed["state"] == clean["resumed"]["state"]
        assert np.allclose(resumed["outputs"], clean["resumed"]["outputs"], atol=1e-6)
        assert np.isclose(resumed["resumed_loss"], clean["resumed"]["resumed_loss"], atol=1e-5)


def test_a_model_is_the_same_by_whatever_names_keras_counted_on(results: Path, clean: BackendFacts) -> None:
    instrumented.build(PLAN)  # uses up names
    again, other = results / "again.keras", results / "other.keras"
    for plan, file in ((PLAN, again), (dataclasses.replace(PLAN, image_size=40), other)):
        subject = instrumented.build(plan)
        checkpoints.save(subject, instrumented.Snapshot(subject.model), file)
    files = {"first": dump_of(results, PLAN, "jax").checkpoint, "again": again, "other": other}
    loaded = checkpoints.load_all(files, checkpoints.next_batch(instrumented.build(PLAN)))
    assert loaded["again"]["state"] == loaded["first"]["state"]
    assert loaded["other"] == {"error": "another model definition"}


def test_a_backend_made_deterministic_repeats_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever its processes write to stdout and stderr, as frameworks do."""
    noise = "import atexit, sys\natexit.register(lambda: print('{\"steps_s\": 0}'))\nprint('hello', file=sys.stderr)\n"
    (tmp_path / "sitecustomize.py").write_text(noise, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(determinism, "ROUNDS", 1)
    cost = determinism.cost(PLAN, keras.backend.backend())
    assert cost["repeats"]
    assert cost["ratio"] > 0
    assert {kind: len(times) for kind, times in cost["steps_s"].items()} == {"as_it_is": 1, "deterministic": 1}


def test_repeatability_needs_exchanged_checkpoints(results: Path, clean: BackendFacts) -> None:
    exchanged = dump_of(results, PLAN, "jax")
    with pytest.raises(UsageError, match="run step exchange first"):
        determinism.is_repeatable(exchanged, "tensorflow")
    exchanged.write_loaded({"jax": clean["resumed"]})
    assert determinism.is_repeatable(exchanged, "jax") == clean["repeats_itself"]
    exchanged.write_loaded({"jax": {**clean["resumed"], "resumed_loss": -1.0}})
    assert not determinism.is_repeatable(exchanged, "jax")
