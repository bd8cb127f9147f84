"""The file of a reference: whole or refused, and refused if it is of something else than the dumps."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.errors import UsageError
from bcdl.parity.references import Reference, default_folder, find
from bcdl.parity.settings import UNIT_ROUNDOFF, least_tolerance
from bcdl.parity.sketches import LENGTH, sketch
from tests.parity.dumps import IMAGES, LABELS, PLAN, judged, write, write_reference

LONG = 20 * LENGTH
FIRST_SUMS = [0.0, -192.0, 77.0, 0.0]  # of the sketch of 1, 2, ... 513


def test_a_reference_reads_back_as_it_was_written(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=LONG)
    parts = {"inference_layers": [("first", values[:3]), ("second", values), ("third", values[3:7])]}
    write_reference(tmp_path, parts=parts)
    reference = find(default_folder(tmp_path), PLAN)
    assert reference
    assert reference.facts["plan"] == PLAN.subject
    assert np.array_equal(reference.images, IMAGES)
    assert np.array_equal(reference.labels, LABELS)
    first, second, third = reference.vectors["inference_layers"]
    assert [part.name for part in (first, second, third)] == ["first", "second", "third"]
    assert [part.size for part in (first, second, third)] == [3, LONG, 4]
    assert np.array_equal(first.sketch, values[:3])
    assert np.array_equal(second.sketch, sketch(values))
    assert np.array_equal(third.sketch, values[3:7])
    assert second.norm == pytest.approx(np.linalg.norm(values))


@given(st.data())
def test_a_file_with_a_changed_byte_is_refused_or_says_the_same(tmp_path_factory: Any, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("reference")
    file = write_reference(folder)
    content = bytearray(file.read_bytes())
    sound = find(file.parent, PLAN)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    said, read = _read(file)
    if read is None:
        assert "is no whole parity reference of this bcdl" in said
        return
    assert sound is not None
    assert read.facts == sound.facts
    for vector, parts in sound.vectors.items():
        for before, after in zip(parts, read.vectors[vector], strict=True):
            assert np.array_equal(before.sketch, after.sketch)


def _read(file: Path) -> tuple[str, Reference | None]:
    """What is said of the file, and the reference in it."""
    try:
        return "", find(file.parent, PLAN)
    except UsageError as error:
        return str(error), None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": "other"}, "the reference of cnn was made from other initial weights than the dump of jax"),
        ({"definition": "other"}, "was made from another model definition than the dump of jax"),
        (
            {"plan": {**PLAN.subject, "draws": 4, "seed": 2}},
            "was made with other settings (seed 2, not 0; draws 4, not 1): make it anew with bcdl parity reference",
        ),
        ({"rounding": {}}, "was made with other settings (other float32 rounding)"),
    ],
)
def test_a_reference_of_something_else_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    write_reference(tmp_path, **changes)
    with pytest.raises(UsageError) as refused:
        judged(tmp_path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_reference_from_other_images_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "jax", first_batch="other")
    write(tmp_path, "torch", first_batch="other")
    write_reference(tmp_path)
    with pytest.raises(UsageError, match="was made from other images than the dump of jax"):
        judged(tmp_path)


def test_a_reference_is_of_all_precisions(tmp_path: Path) -> None:
    write_reference(tmp_path)
    for precision in UNIT_ROUNDOFF:
        reference = find(default_folder(tmp_path), dataclasses.replace(PLAN, precision=precision, device="gpu"))
        assert reference
        assert reference.facts["rounding"][precision]["moved"] == least_tolerance(precision)


@given(st.integers(0, 2**32), st.integers(LENGTH + 1, 50 * LENGTH), st.floats(0, 1))
def test_a_sketch_tells_how_long_a_vector_is(seed: int, size: int, skew: float) -> None:
    """Within 5 standard deviations, whether its elements are alike or some are many times as large as others."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=size) * np.exp(skew * generator.normal(size=size))
    assert np.linalg.norm(sketch(values)) == pytest.approx(np.linalg.norm(values), rel=5 / np.sqrt(2 * LENGTH))


@given(st.integers(0, 2**32), st.integers(1, 3 * LENGTH))
def test_the_sketch_of_a_difference_is_the_difference_of_sketches(seed: int, size: int) -> None:
    first, second = np.random.default_rng(seed).normal(size=(2, size))
    assert np.allclose(sketch(first - second), sketch(first) - sketch(second), rtol=0, atol=1e-10)


def test_a_fault_at_the_edge_of_a_map_can_not_hide() -> None:
    """As that of wrong padding: 4 percent of a map."""
    maps = np.random.default_rng(0).normal(size=(4, 62, 62, 16))
    faulty = maps.copy()
    faulty[:, -1] = 0
    share = np.linalg.norm(faulty - maps) / np.linalg.norm(maps)
    given = np.linalg.norm(sketch(faulty) - sketch(maps)) / np.linalg.norm(maps)
    assert given == pytest.approx(share, rel=5 / np.sqrt(2 * LENGTH))


def test_a_sketch_is_the_same_with_every_numpy() -> None:
    """Else a reference that was carried would say nothing."""
    given = sketch(np.arange(1, LENGTH + 2, dtype=np.float64))
    assert [float(value) for value in given[:4]] == FIRST_SUMS
