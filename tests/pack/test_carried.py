"""References that are carried along: whole, of what the machine asks for, and each by its own name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bcdl.errors import UsageError
from bcdl.pack import carried
from bcdl.parity.settings import DRAWS
from tests.parity import dumps

PLAN = dataclasses.replace(dumps.PLAN, draws=DRAWS)


def carried_reference(results: Path, **changes: Any) -> Path:
    """The file of a reference that the machine can use, but for the changes to its facts."""
    return dumps.write_reference(results, of=PLAN, **changes)


def refusal(*files: Path) -> str:
    with pytest.raises(UsageError) as refused:
        carried.check(files)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_reference_that_the_machine_can_use_is_taken(tmp_path: Path) -> None:
    carried.check([])
    carried.check([carried_reference(tmp_path)])


def test_a_damaged_reference_is_refused(tmp_path: Path) -> None:
    file = carried_reference(tmp_path)
    content = file.read_bytes()
    for damaged in (b"", b"text", content[: len(content) // 2]):
        file.write_bytes(damaged)
        assert f"{file} is no whole parity reference" in refusal(file)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plan": {**PLAN.subject, "draws": 1}}, "other settings (draws 1, not 8)"),
        ({"plan": {**PLAN.subject, "model": "none"}}, "is of another bcdl"),
        ({"plan": {**PLAN.subject, "more": 1}}, "is of another bcdl"),
        ({"rounding": {}}, "other float32 rounding"),
    ],
)
def test_a_reference_of_something_else_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refusal(carried_reference(tmp_path, **changes))


def test_a_reference_by_another_name_is_refused(tmp_path: Path) -> None:
    file = carried_reference(tmp_path)
    assert f"it is {file.name};" in refusal(file.rename(tmp_path / "mine.npz"))


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    files = [carried_reference(tmp_path / name) for name in ("a", "b")]
    assert f"{files[0]} and {files[1]} have one name" in refusal(*files)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "is no file" in refusal(tmp_path)
