"""Cells made up by Hypothesis from the rows of the settings."""

from __future__ import annotations

from hypothesis import strategies as st

from bcdl.settings.cell import Cell
from bcdl.settings.setting import Setting


def cells(cell_type: type[Cell] = Cell) -> st.SearchStrategy[Cell]:
    """Any cell that the rows allow."""
    values = st.fixed_dictionaries({name: values_of(row) for name, row in cell_type.rows().items()})
    return values.map(lambda made: cell_type(**{**made, "fold": made["fold"] % max(1, made["folds"])}))


def values_of(row: Setting) -> st.SearchStrategy[object]:
    """Any value that the row allows."""
    if row.choices:
        return st.sampled_from(row.choices)
    if row.kind is bool:
        return st.booleans()
    if row.kind is int:
        return st.integers(row.least, row.most)
    if row.kind is float:
        return st.floats(row.least, row.most)
    return st.text(min_size=1, max_size=20)
