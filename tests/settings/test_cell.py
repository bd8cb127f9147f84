"""Cells are hashable, have stable ids, and ids are parsed back."""

import dataclasses

import pytest
from hypothesis import given

from bcdl.errors import UsageError
from bcdl.settings.cell import Cell
from tests.cells import cells
from tests.factory import cell


@given(cells())
def test_an_id_is_parsed_back_to_its_cell(example: Cell) -> None:
    assert Cell.parse(example.id) == example
    assert "\n" not in example.id


@given(cells())
def test_a_cell_survives_json_values(example: Cell) -> None:
    assert Cell.from_dict(example.to_dict()) == example


def test_every_field_is_in_the_id() -> None:
    example = cell()
    for field in dataclasses.fields(Cell):
        assert f"{field.name}=" in example.id


@pytest.mark.parametrize("text", ["", "cnn", "model=cnn", cell().id + ",more=1", cell().id.replace("seed=0", "seed=x")])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a cell's id"):
        Cell.parse(text)


@pytest.mark.parametrize(
    "changes",
    [{"batch_size": 0}, {"batch_size": "many"}, {"batch_size": 1.5}, {"folds": 5, "fold": 5}, {"fold": 1}]
    + [{"augment": 1}, {"seed": True}, {"model": 3}]
    + [{"learning_rate": value} for value in ("nan", float("inf"), True, 10**400)],
)
def test_values_of_another_kind_are_no_cell(changes: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError)):
        Cell.from_dict({**cell().to_dict(), **changes})
