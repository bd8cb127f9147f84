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
        return st.integers(row.least, 10**6 if row.most is None else int(row.most))
    if row.kind is float:
        least = row.least if row.above is None else row.above
        return st.floats(least, 1e3 if row.most is None else row.most, exclude_min=row.above is not None)
    return st.text(min_size=1, max_size=20)
