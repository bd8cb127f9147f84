"""Dumps on the backend of this process: equal batches, planted faults that are named, checkpoints, determinism."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcdl import backends
from bcdl.errors import UsageError
from bcdl.parity.dumps import BackendFacts, dump_of, write_layer_checks
from bcdl.parity.findings import IDENTICAL, WITHIN_ROUNDING, Finding
from bcdl.parity.judge import judge
from bcdl.parity.references import Reference, find
from bcdl.parity.settings import UNIT_ROUNDOFF, Plan

pytestmark = pytest.mark.keras
keras = pytest.importorskip("keras")
network = pytest.importorskip("bcdl.worker.network")
session = pytest.importorskip("bcdl.worker.session")
dump = pytest.importorskip("bcdl.parity.worker.dump")
instrumented = pytest.importorskip("bcdl.parity.worker.instrumented")
referencing = pytest.importorskip("bcdl.parity.worker.reference")
determinism = pytest.importorskip("bcdl.parity.worker.determinism")
checkpoints = pytest.importorskip("bcdl.parity.worker.checkpoints")

PLAN = Plan("cnn", image_size=32, batch_size=4, seed=0, precision="float32", device="cpu", draws=2)
# SHA-256 of the first two epochs' images and labels at 32 pixels, batch 4, seed 0: the same on every backend.
BATCHES = [
    "46e9cb9f55fc2ec1146ade84121fc562bac80bb4588a28573de40797b8169499",
    "c61d4fe324978fdc444845650470429e74b376839a14e17697b0c421bd06d84e",
]
# Arithmetic that gives all of this number's bits but those that TF32's fraction of 10 bits has no place for.
_TF32_SPLITTER = 2.0**13 + 1


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    yield
    session.forget_models("float32")


@pytest.fixture(scope="module")
def adapter() -> backends.Backend:
    loaded = backends.load(keras.backend.backend())
    loaded.configure("cpu", "float32")
    return loaded


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def folder(results: Path, adapter: backends.Backend) -> Path:
    """The folder of a reference of the CNN, which this backend made in float32: its own is not sound on each."""
    made = results / "references"
    referencing.make(PLAN, adapter, made, 0.0)
    session.forget_models("float32")
    return made


@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    made = find(folder, PLAN)
    assert made
    return made


@pytest.fixture(scope="module")
def clean(results: Path, reference: Reference, adapter: backends.Backend) -> BackendFacts:
    """The facts of a dump of the CNN as it is."""
    dumped = dump_of(results, PLAN, "jax")
    dump.dump(PLAN, adapter, dumped, reference, perturbed=False)
    for precision in UNIT_ROUNDOFF:
        for name in ("jax", "torch"):
            write_layer_checks(results, precision, name, {})
    return dumped.facts


def test_every_backend_is_given_the_same_bytes(clean: BackendFacts) -> None:
    assert clean["batches"] == BATCHES


def test_a_model_agrees_with_itself(
    results: Path, folder: Path, reference: Reference, clean: BackendFacts, adapter: backends.Backend
) -> None:
    dump.dump(PLAN, adapter, dump_of(results, PLAN, "torch"), reference, perturbed=False)
    finding = judge(results, folder, PLAN, "run")
    assert finding.pairs["jax-torch"]["verdict"] in ("identical", "within float32 rounding")
    assert finding.suspects == {}


def test_a_dump_begins_with_the_images_and_sizes_of_the_reference(
    results: Path, reference: Reference, clean: BackendFacts, adapter: backends.Backend
) -> None:
    """Libraries that draw images, and rounding that a power of two hangs by, may differ from those of its machine."""
    sizes = {name: 2 * size for name, size in reference.facts["sizes"].items()}
    facts: Any = {**reference.facts, "sizes": sizes}
    carried = dataclasses.replace(reference, facts=facts, images=255 - reference.images)
    dumped = dump_of(results, dataclasses.replace(PLAN, model="carried"), "jax")
    dump.dump(PLAN, adapter, dumped, carried, perturbed=False)
    assert dumped.facts["first_batch"] == carried.first_batch != clean["first_batch"]
    assert dumped.facts["settled"] != clean["settled"]
    assert dumped.facts["batches"] == BATCHES


def test_a_reference_of_other_weights_is_refused_by_the_dump(
    results: Path, reference: Reference, adapter: backends.Backend
) -> None:
    facts: Any = {**reference.facts, "start": "other"}
    with pytest.raises(UsageError, match="the reference of cnn was made from other initial weights than this dump"):
        dump.dump(PLAN, adapter, dump_of(results, PLAN, "torch"), dataclasses.replace(reference, facts=facts), False)


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
    layer.epsilon = 1e-1


def _rounded_to_tf32(values: Any) -> Any:
    """The values rounded to 10 bits of fraction, to nearest (Dekker 1971, section 5); the gradient passes."""
    split = values * _TF32_SPLITTER
    return split - (split - values)


@contextlib.contextmanager
def _arithmetic_of(precision: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras in that precision; TF32, which a CPU has not, is imitated: factors of products are rounded to its bits."""
    session.set_keras_defaults(precision)
    with monkeypatch.context() as patches:
        if precision == "tf32":
            for name in ("conv", "matmul"):
                product = getattr(keras.src.ops, name)
                patches.setattr(
                    keras.src.ops,
                    name,
                    lambda maps, kernel, *rest, product=product, **options: product(
                        _rounded_to_tf32(maps), _rounded_to_tf32(kernel), *rest, **options
                    ),
                )
        yield


# Judges, in a precision, the CNN as it is beside one whose layer of that name was changed.
Judged = Callable[[str, str, Callable[[Any], None]], Finding]


@pytest.fixture
def judged(
    results: Path, folder: Path, clean: BackendFacts, adapter: backends.Backend, monkeypatch: pytest.MonkeyPatch
) -> Judged:
    sound = network.build

    def judged_beside(precision: str, layer: str, plant: Callable[[Any], None]) -> Finding:
        def faulty(*arguments: Any) -> Any:
            model = sound(*arguments)
            planted = model.get_layer(layer)
            config = planted.get_config()
            plant(planted)
            # As if a backend computed the layer wrongly: the model's definition does not show it.
            planted.get_config = lambda: config
            return model

        plan = dataclasses.replace(PLAN, precision=precision)
        with _arithmetic_of(precision, monkeypatch):
            given = find(folder, plan)
            if not dump_of(results, plan, "jax").exists:
                dump.dump(plan, adapter, dump_of(results, plan, "jax"), given, perturbed=False)
                session.forget_models(precision)
            monkeypatch.setattr(network, "build", faulty)
            dump.dump(plan, adapter, dump_of(results, plan, "torch"), given, perturbed=False)
        return judge(results, folder, plan, "run")

    return judged_beside


@pytest.mark.parametrize("precision", UNIT_ROUNDOFF)
def test_rounding_alone_is_judged_as_rounding(judged: Judged, precision: str) -> None:
    finding = judged(precision, "head_norm", lambda layer: None)
    assert finding.suspects == {}
    assert finding.pairs["jax-torch"]["outcome"] in (IDENTICAL, WITHIN_ROUNDING)
    largest = max(float(error or 0) for errors in finding.errors.values() for error in errors.values())
    assert (largest > 8 * UNIT_ROUNDOFF["float32"]) == (precision != "float32"), "it was not computed in that precision"


@pytest.mark.parametrize("precision", UNIT_ROUNDOFF)
@pytest.mark.parametrize(("layer", "plant"), [("head_pool32", _wrong_side), ("head_norm", _wrong_epsilon)])
@pytest.mark.any_backend
def test_a_planted_fault_is_named_by_its_layer_in_each_precision(
    judged: Judged, precision: str, layer: str, plant: Callable[[Any], None]
) -> None:
    _check_is_named(judged(precision, layer, plant), layer)


@pytest.mark.parametrize(("layer", "plant"), [("head_conv32", _transposed), ("head_norm", _wrong_momentum)])
def test_a_planted_fault_is_named_by_its_layer(judged: Judged, layer: str, plant: Callable[[Any], None]) -> None:
    _check_is_named(judged("float32", layer, plant), layer)


def _check_is_named(finding: Finding, layer: str) -> None:
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
