"""The section of a group is a value: it holds everything that is written of the group, and writes nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from bcdl.records.groups import Group, group_records
from bcdl.records.record import Record
from bcdl.report import artefacts, figures
from bcdl.report.section import Section
from bcdl.report.sections import group as group_section
from tests.factory import record
from tests.predictions import drawn, predicted


def group(*records: Record) -> Group:
    (made,) = group_records([("a-machine", entry) for entry in records])
    return made


def section_of(group: Group) -> Section:
    """The section of a group with the figures that a report draws of it."""
    return group_section.section(group, figures.of_group(group))


@pytest.fixture(scope="module")
def real() -> tuple[Group, Section]:
    """A group of one model on a real data set on two backends, one of which failed with a second model."""
    records = [predicted(drawn(60), drawn(30, 1), backend=backend, data="busi") for backend in ("jax", "torch")]
    failed = record(backend="jax", model="mobilenet", data="busi", status="crashed")
    of = group(*records, failed)
    return of, section_of(of)


def test_a_backend_without_a_column_is_named_with_why() -> None:
    """Records of a GPU machine that has no TensorFlow."""
    made = [record(backend=name, device="gpu", precision="mixed_bfloat16") for name in ("jax", "torch")]
    for each in made:
        each.environment["versions"] = {}
    text = group_section.section(group(*made), {}).text
    assert "- tensorflow: no column: nothing was run on it\n" in text
    for each in made:
        each.environment["versions"] = {"jax": "0.11.2", "keras": "3.15.1", "torch": "2.11.0"}
    text = group_section.section(group(*made), {}).text
    assert (
        "- tensorflow: no column: nothing was run on it; it is not installed in the Python that ran the others\n"
        in text
    )
    assert "| model | backend | fit images/s | step images/s |" in text
    made.append(record(backend="tensorflow", device="gpu", precision="mixed_bfloat16"))
    assert "no column" not in group_section.section(group(*made), {}).text


def test_the_files_of_a_group_bear_its_name(real: tuple[Group, Section]) -> None:
    of, section = real
    assert list(section.tables) == [of.slug, *(f"{of.slug}-{name}" for name in ("cost", "quality", "agreement"))]
    assert list(section.cards) == [f"{of.slug}-cnn-none"]
    assert {Path(key).parent.as_posix() for key in section.figures} == {of.slug}


def test_the_page_links_exactly_what_the_section_holds(real: tuple[Group, Section]) -> None:
    _, section = real
    targets = [part.partition(")")[0] for part in section.text.split("](")[1:]]
    links = [target.removeprefix("../") for target in targets if not target.startswith("how-to-read.md#")]
    files = section.files()
    assert links == [path for path in links if path in files]
    assert sorted(links) == sorted(path for path in files if not path.endswith(".csv"))


def test_figures_name_the_records_that_they_were_drawn_from(real: tuple[Group, Section]) -> None:
    of, section = real
    sources = set()
    for png in section.figures.values():
        with Image.open(io.BytesIO(png)) as image:
            sources.add(image.info[artefacts.SOURCE])
    assert len(sources) == 1
    again = section_of(of)
    assert (again.text, again.files()) == (section.text, section.files())


def test_a_section_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section_of(group(record()))
    assert os.listdir(tmp_path) == []


def test_what_was_not_timed_has_figures_of_quality_alone() -> None:
    text = group_section.section(group(record(timing=False)), {}).text
    assert "**Accuracy, AUROC and loss on test images (" in text
    assert "**Speed**" not in text
    assert "images/s" not in text
    assert "Before the steady state" not in text


def test_a_failed_cell_is_listed_with_its_reason(real: tuple[Group, Section]) -> None:
    _, section = real
    assert "## Cells that are not ok\n\n- mobilenet on jax, seed 0: crashed: it was made to fail\n" in section.text
