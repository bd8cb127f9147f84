"""Jobs may share a process if they measure no speed and differ in nothing that a framework compiles."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from bcdl.settings.cell import Cell
from bcdl.settings.job import Job
from tests.cells import cells
from tests.factory import job

NAMES = sorted(Cell.rows())


@given(cells(), cells(), st.sets(st.sampled_from(NAMES), max_size=3))
def test_jobs_share_a_process_if_their_settings_allow_it(cell: Cell, other: Cell, names: set[str]) -> None:
    """The second cell is the first with some settings of another one."""
    mixed = {**cell.to_dict(), **{name: getattr(other, name) for name in names}}
    second = Cell(**{**mixed, "fold": mixed["fold"] % max(1, mixed["folds"])})
    differing = [name for name in NAMES if getattr(cell, name) != getattr(second, name)]
    wanted = not differing or (not cell.timing and all(Cell.rows()[name].same_model for name in differing))
    keys = {Job(each, "data", None, False).process_key for each in (cell, second)}
    assert (len(keys) == 1) == wanted


def test_a_shared_model_has_another_seed_another_split_or_both() -> None:
    same = {name for name in NAMES if Cell.rows()[name].same_model}
    assert same == {"seed", "split_seed", "split_by", "fold"}


def test_other_data_or_weights_are_another_model() -> None:
    alone = job(timing=False)
    others = [{"data": "elsewhere"}, {"weights_file": "other.h5"}, {"skip_unreadable": True}, {"cold": True}]
    keys = {dataclasses.replace(alone, **change).process_key for change in [{}, *others]}
    assert len(keys) == len(others) + 1
